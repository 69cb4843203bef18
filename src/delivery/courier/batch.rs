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
        let mut failed: BTreeSet<Lane> = first.into_iter().collect();
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
