//! Several events in one request, where the receiver asked for that: which of them ride along, and what its answer means for
//! each.

use std::collections::BTreeSet;

use super::{Courier, FORMAT_REFUSED, Outcome};
use crate::delivery::answer::Verdict;
use crate::delivery::chunk::Lane;
use crate::delivery::dead_letters::Death;
use crate::delivery::outbox::{Outbox, Pos};

/// What a request may carry at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    pub max_events: usize,
    /// Of the request's body.
    pub max_bytes: usize,
}

/// Brackets, and a comma for each event.
const BRACKETS: usize = 2;
const COMMA: usize = 1;

impl Courier {
    /// From now on requests carry so much; `None`: one event each.
    pub fn set_batch(&mut self, batch: Option<Batch>) {
        self.batch = batch;
    }

    /// Puts events beside the one that was chosen into its request, in their order: of each subject only what has nothing
    /// before it that is not in the request.
    pub(super) fn take_riders(&mut self, outbox: &Outbox, head: Pos, now: u64) {
        let Some(batch) = self.batch.filter(|_| head.seq >= 0 && !self.is_probing()) else {
            return;
        };
        if self.alone.contains(&head) {
            return;
        }
        let size = |pos| outbox.get(pos).map_or(0, |item| item.claims().len() + COMMA);
        let (mut events, mut bytes) = (1, BRACKETS + size(head));
        let mut blocked: BTreeSet<Lane> = BTreeSet::new();
        for (pos, (lane, of)) in &self.in_flight {
            if *of != head && pos.seq >= 0 {
                blocked.insert(*lane);
            }
        }
        let mut riders = Vec::new();
        for item in outbox.window().filter(|item| !item.acked && item.pos.seq >= 0) {
            if item.pos == head {
                continue;
            }
            let waits = self.lanes.get(&item.lane).is_some_and(|failing| failing.next_at > now);
            if waits || self.alone.contains(&item.pos) || blocked.contains(&item.lane) {
                // With a window of 1 nothing overtakes anything.
                if self.policy.window <= 1 {
                    break;
                }
                blocked.insert(item.lane);
                continue;
            }
            bytes += item.claims().len() + COMMA;
            if events >= batch.max_events || bytes > batch.max_bytes {
                break;
            }
            events += 1;
            riders.push((item.pos, item.lane));
        }
        self.in_flight
            .extend(riders.into_iter().map(|(pos, lane)| (pos, (lane, head))));
    }

    /// The events that ride with this one.
    pub fn riders(&self, head: Pos) -> Vec<Pos> {
        let with = self
            .in_flight
            .iter()
            .filter(|(pos, (_, of))| *of == head && **pos != head);
        with.map(|(pos, _)| *pos).collect()
    }

    /// Takes the verdict on a request with several events, before [`Courier::handle`] takes it for its first one. `Err`: it is
    /// not known which of them the endpoint means, so each goes out by itself; the first one, too, and its verdict is void.
    /// Otherwise the events that died beside the first.
    pub fn handle_riders(
        &mut self,
        head: Pos,
        verdict: &Verdict,
        now: u64,
        draw: f64,
    ) -> Result<Vec<(Pos, Death)>, Outcome> {
        let riders = self.riders(head);
        if riders.is_empty() {
            self.alone.remove(&head);
            return Ok(Vec::new());
        }
        let first = self.in_flight.get(&head).map(|(lane, _)| *lane);
        let mut failed: BTreeSet<Lane> = BTreeSet::new();
        failed.extend(first);
        let mut deaths = Vec::new();
        for rider in &riders {
            let lane = self.in_flight.remove(rider).map(|(lane, _)| lane).unwrap_or_default();
            match verdict {
                Verdict::Delivered => {
                    self.lanes.remove(&lane);
                }
                Verdict::Dead { .. } => {
                    self.alone.insert(*rider);
                }
                // The first of each subject failed; what comes after it waits for it.
                Verdict::Retry { detail }
                | Verdict::Hold {
                    detail, counts: true, ..
                } if failed.insert(lane) => {
                    if let Err(death) = self.failed(*rider, lane, detail, now, draw) {
                        deaths.push((*rider, death));
                    }
                }
                Verdict::Retry { .. } | Verdict::Hold { .. } => {}
            }
        }
        if let Verdict::Dead { err, .. } = verdict {
            self.in_flight.remove(&head);
            self.alone.insert(head);
            self.format_refused = err == FORMAT_REFUSED;
            self.endpoint_works(now);
            return Err(Outcome::RetryAt(now));
        }
        Ok(deaths)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, POLICY, at, hold, outbox, retry};
    use super::super::{Courier, Next};
    use super::*;
    use crate::delivery::answer::HoldReason;

    fn courier(window: usize, max_events: usize, max_bytes: usize) -> Courier {
        let mut courier = Courier::new(super::super::Policy { window, ..POLICY }, "");
        courier.set_batch(Some(Batch { max_events, max_bytes }));
        courier
    }

    fn dead() -> Verdict {
        Verdict::Dead {
            err: "400".into(),
            description: "no".into(),
        }
    }

    /// CE-3-2
    #[test]
    fn a_request_takes_what_it_may_in_order_and_leaves_no_gap_within_a_subject() {
        let (_sql, outbox) = outbox(&[1, 1, 2, 3, 1]);
        let mut courier = courier(3, 4, 1000);
        assert_eq!(courier.next(&outbox, NOW), Next::Push(at(0)));
        assert_eq!(courier.riders(at(0)), [at(1), at(2), at(3)]);
        // The last one has its subject under way.
        assert_eq!(courier.next(&outbox, NOW), Next::AwaitAnswer);
        // Each event of these has one byte and a comma.
        let mut small = self::courier(3, 100, 2 + 2 * 2);
        assert_eq!(small.next(&outbox, NOW), Next::Push(at(0)));
        assert_eq!(small.riders(at(0)), [at(1)]);
        assert_eq!(small.next(&outbox, NOW), Next::Push(at(2)));
        assert_eq!(small.riders(at(2)), [at(3)], "nothing passes what is under way");
        assert_eq!(small.next(&outbox, NOW), Next::AwaitAnswer);
        // The window counts requests.
        let mut tiny = self::courier(2, 2, 3);
        assert_eq!(tiny.next(&outbox, NOW), Next::Push(at(0)), "one is always sent");
        assert_eq!(tiny.riders(at(0)), []);
    }

    #[test]
    fn a_success_is_everybodys() {
        let (_sql, outbox) = outbox(&[1, 2, 3]);
        let mut courier = courier(3, 2, 1000);
        courier.next(&outbox, NOW);
        assert_eq!(courier.handle_riders(at(0), &Verdict::Delivered, NOW, 0.5), Ok(vec![]));
        assert_eq!(courier.handle(at(0), &Verdict::Delivered, NOW, 0.5), Outcome::Delivered);
        assert_eq!(courier.riders(at(0)), []);
    }

    #[test]
    fn what_is_refused_together_is_sent_one_by_one() {
        let (_sql, mut outbox) = outbox(&[1, 1, 2]);
        let mut courier = courier(3, 10, 1000);
        courier.next(&outbox, NOW);
        assert_eq!(courier.riders(at(0)).len(), 2);
        assert_eq!(
            courier.handle_riders(at(0), &dead(), NOW, 0.5),
            Err(Outcome::RetryAt(NOW)),
            "it is not known who is meant"
        );
        for pos in [at(0), at(2)] {
            assert_eq!(courier.next(&outbox, NOW), Next::Push(pos));
            assert_eq!(courier.riders(pos), []);
        }
        assert_eq!(
            courier.next(&outbox, NOW),
            Next::AwaitAnswer,
            "the second of its subject"
        );
        assert_eq!(courier.handle_riders(at(0), &dead(), NOW, 0.5), Ok(vec![]));
        assert!(
            matches!(courier.handle(at(0), &dead(), NOW, 0.5), Outcome::Dead(_)),
            "now it is"
        );
        outbox.ack(at(0));
        assert_eq!(courier.next(&outbox, NOW), Next::Push(at(1)));
        assert_eq!(courier.riders(at(1)), []);
    }

    #[test]
    fn a_failure_delays_each_subject_once_and_the_rest_of_it_waits_behind() {
        let (_sql, outbox) = outbox(&[1, 2, 2, 3]);
        let mut courier = courier(3, 3, 1000);
        courier.next(&outbox, NOW);
        assert_eq!(courier.riders(at(0)), [at(1), at(2)]);
        assert_eq!(courier.handle_riders(at(0), &retry(), NOW, 1.0), Ok(vec![]));
        assert_eq!(courier.handle(at(0), &retry(), NOW, 1.0), Outcome::RetryAt(NOW + 100));
        assert_eq!(
            (courier.attempts(&[1; 8], at(0)), courier.attempts(&[2; 8], at(1))),
            (1, 1)
        );
        assert_eq!(courier.next(&outbox, NOW), Next::Push(at(3)), "others pass");
        assert_eq!(courier.riders(at(3)), []);
        assert_eq!(courier.next(&outbox, NOW + 100), Next::Push(at(0)));
        assert_eq!(courier.riders(at(0)), [at(1), at(2)], "together again");
    }

    #[test]
    fn a_hold_that_counts_counts_for_all_and_the_probe_goes_alone() {
        let (_sql, outbox) = outbox(&[1, 2]);
        let mut courier = courier(3, 3, 1000);
        courier.next(&outbox, NOW);
        let verdict = hold(HoldReason::Redirected, None);
        assert_eq!(courier.handle_riders(at(0), &verdict, NOW, 1.0), Ok(vec![]));
        let Outcome::HeldUntil(until, _) = courier.handle(at(0), &verdict, NOW, 1.0) else {
            panic!("it is held");
        };
        assert_eq!(courier.attempts(&[2; 8], at(1)), 1);
        assert_eq!(courier.next(&outbox, until), Next::Push(at(0)));
        assert_eq!(courier.riders(at(0)), []);
    }

    #[test]
    fn with_a_window_of_one_a_request_stops_where_order_would_break() {
        let (_sql, outbox) = outbox(&[1, 2, 3]);
        let mut courier = courier(1, 10, 1000);
        courier.alone.insert(at(1));
        assert_eq!(courier.next(&outbox, NOW), Next::Push(at(0)));
        assert_eq!(
            courier.riders(at(0)),
            [],
            "the next one goes alone, and nothing passes it"
        );
    }
}
