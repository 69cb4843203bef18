//! What to push next, what an answer means for the stream, and when to wake up.
//!
//! A state machine without I/O: the object asks [`Courier::next`], pushes, and reports each answer to [`Courier::handle`].
//! Up to `window` pushes are in flight. Events of one subject (a lane) go out one after the other; a lane that fails waits by
//! itself while others pass it. Answers that concern the endpoint rather than an event hold the whole stream. A granted rate is
//! kept, and several events share a request where the receiver asked for that.

mod batch;
mod paced;

use std::collections::{BTreeMap, BTreeSet};

use crate::protocol::record::{self, Record};

use super::answer::{FORMAT_REFUSED, HoldReason, Verdict};
use super::chunk::Lane;
use super::dead_letters::Death;
use super::outbox::{Outbox, Pos};
use super::retry::RetryPolicy;
use super::sql::MAX_INT;

pub use batch::Batch;
use paced::Paced;

/// Failures in a row, on whatever lanes, after which the endpoint itself is taken to be down: the stream waits, then probes
/// with one event.
pub const FAILURES_BEFORE_HOLD: u32 = 5;

/// The end of a hold that no time ends.
pub const NEVER: u64 = MAX_INT as u64;

/// A hold that is shorter is over before anybody could be told of it.
pub const LASTING_MS: u64 = 60_000;

/// How a stream is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Pushes in flight at once; 1 gives strict order across subjects.
    pub window: usize,
    pub retry: RetryPolicy,
}

/// A lane whose first event fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Record)]
struct Failing {
    /// Which event that is. The attempts are its own; the wait is the lane's.
    pos: Pos,
    attempts: u32,
    first_failed_at: u64,
    next_at: u64,
}

/// Why and until when the whole stream waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Record)]
pub struct Hold {
    pub reason: HoldReason,
    /// When the stream began to wait, through whatever probes failed since.
    #[serde(default)]
    pub since: u64,
    /// It was meant to last for a while at some time: see [`LASTING_MS`]. That stays so until it ends.
    #[serde(default)]
    pub lasting: bool,
    pub until: u64,
    in_a_row: u32,
    /// Before this the endpoint wants nothing, by its own word: the latest of all that it named meanwhile.
    #[serde(default)]
    not_before: u64,
}

impl Hold {
    /// A hold that begins now and has no end yet.
    pub fn new(reason: HoldReason, now: u64) -> Self {
        Self {
            reason,
            since: now,
            lasting: false,
            until: now,
            in_a_row: 0,
            not_before: 0,
        }
    }
}

/// The part that survives a restart, kept with the outbox's cursor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Record)]
struct Kept {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lanes: Vec<(Lane, Failing)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hold: Option<Hold>,
    #[serde(default, skip_serializing_if = "is_zero")]
    failures_in_a_row: u32,
    #[serde(default, skip_serializing_if = "is_false")]
    format_refused: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pace: Option<paced::Kept>,
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Push this event.
    Push(Pos),
    /// Nothing before an answer comes.
    AwaitAnswer,
    /// Nothing before this instant, in Unix milliseconds, or an answer.
    WakeAt(u64),
    /// Nothing waits.
    Idle,
}

/// What an answer led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// To be acknowledged in the outbox.
    Delivered,
    /// To be buried in the outbox.
    Dead(Death),
    /// Its lane waits until then.
    RetryAt(u64),
    /// The stream waits until then.
    HeldUntil(u64, HoldReason),
}

/// The courier of one stream.
#[derive(Debug)]
pub struct Courier {
    policy: Policy,
    lanes: BTreeMap<Lane, Failing>,
    hold: Option<Hold>,
    failures_in_a_row: u32,
    /// The last event that was read was answered 415.
    format_refused: bool,
    /// With the lane of each, and the first event of the request that it is in.
    in_flight: BTreeMap<Pos, (Lane, Pos)>,
    batch: Option<Batch>,
    /// Events that a request with several was refused for: each goes out by itself.
    alone: BTreeSet<Pos>,
    pace: Option<Paced>,
    /// What an earlier life knew of the pace.
    kept_pace: paced::Kept,
}

impl Courier {
    /// A courier that goes on where `kept` (see [`Courier::kept`]) left off. State that cannot be read is forgotten: it only
    /// spaces retries.
    pub fn new(policy: Policy, kept: &str) -> Self {
        let kept: Kept = record::read(kept).unwrap_or_default();
        // One by one: to `collect` them takes a sort of their own.
        let mut lanes = BTreeMap::new();
        lanes.extend(kept.lanes);
        Self {
            policy,
            lanes,
            hold: kept.hold,
            failures_in_a_row: kept.failures_in_a_row,
            format_refused: kept.format_refused,
            in_flight: BTreeMap::new(),
            batch: None,
            alone: BTreeSet::new(),
            pace: None,
            kept_pace: kept.pace.unwrap_or_default(),
        }
    }

    /// Forgets what is noted of events that do not wait any more: their places may be taken by others.
    pub fn forget_the_gone(&mut self, outbox: &Outbox) {
        self.lanes.retain(|_, failing| outbox.get(failing.pos).is_some());
    }

    /// What must survive a restart; empty when all is well.
    pub fn kept(&self) -> String {
        let kept = Kept {
            lanes: self.lanes.iter().map(|(lane, failing)| (*lane, *failing)).collect(),
            hold: self.hold,
            failures_in_a_row: self.failures_in_a_row,
            format_refused: self.format_refused,
            pace: self.kept_pace(),
        };
        if kept == Kept::default() {
            return String::new();
        }
        record::text(&kept)
    }

    /// Why the stream waits, if it does.
    pub fn hold(&self) -> Option<Hold> {
        self.hold
    }

    /// Tries the endpoint again at once, because somebody asks for it (SSF 8.1.2.2). A hold for failures in a row is lifted;
    /// any other is the endpoint's own word and stays until an event probes it. Returns whether one stays.
    pub fn ask_again(&mut self, now: u64) -> bool {
        self.failures_in_a_row = 0;
        self.hold = self.hold.filter(|hold| hold.reason != HoldReason::Failing);
        for failing in self.lanes.values_mut() {
            failing.next_at = failing.next_at.min(now);
            // What was held over a pause is as patient as if it had come now.
            failing.first_failed_at = now;
            failing.attempts = 0;
        }
        if let Some(hold) = &mut self.hold {
            hold.until = hold.until.min(now);
            hold.not_before = 0;
        }
        self.hold.is_some()
    }

    /// Forgets which subjects fail: their events are dropped. What the endpoint itself asked for stands.
    pub fn forget_lanes(&mut self) {
        self.lanes.clear();
        self.alone.clear();
    }

    /// Forgets what an endpoint did: the events go to another one from here on.
    pub fn start_afresh(&mut self) {
        self.lanes.clear();
        self.alone.clear();
        self.hold = None;
        self.failures_in_a_row = 0;
        self.format_refused = false;
    }

    /// From now on so many pushes are in flight at once.
    pub fn set_window(&mut self, window: usize) {
        self.policy.window = window;
    }

    pub fn window(&self) -> usize {
        self.policy.window
    }

    /// Whether the whole stream waits now.
    pub fn is_held(&self, now: u64) -> bool {
        self.hold.is_some_and(|hold| hold.until > now)
    }

    /// How often this event was tried before, when it is the one of its lane that fails.
    pub fn attempts(&self, lane: &Lane, pos: Pos) -> u32 {
        let failing = self.lanes.get(lane).filter(|failing| failing.pos == pos);
        failing.map_or(0, |failing| failing.attempts)
    }

    /// Chooses the next push and counts it as in flight. Refill the outbox before asking.
    pub fn next(&mut self, outbox: &Outbox, now: u64) -> Next {
        let (next, lane) = self.choose(outbox, now);
        if let Next::Push(pos) = next {
            self.in_flight.insert(pos, (lane, pos));
            self.take_riders(outbox, pos, now);
            self.pay(now);
        }
        next
    }

    /// When there will be something to push, if nothing else happens: `now`, later, or never. For alarms and watchdogs.
    pub fn due_at(&self, outbox: &Outbox, now: u64) -> Option<u64> {
        match self.choose(outbox, now).0 {
            Next::Push(_) => Some(now),
            Next::WakeAt(at) => Some(at),
            Next::AwaitAnswer | Next::Idle => None,
        }
    }

    fn choose(&self, outbox: &Outbox, now: u64) -> (Next, Lane) {
        let none = Lane::default();
        if let Some(hold) = self.hold.filter(|_| self.is_held(now)) {
            let comes = hold.until < NEVER && !outbox.is_empty();
            return (if comes { Next::WakeAt(hold.until) } else { Next::Idle }, none);
        }
        let limit = if self.is_probing() {
            1
        } else {
            self.policy.window.max(1)
        };
        if self.in_flight.iter().filter(|(pos, (_, head))| *pos == head).count() >= limit {
            return (Next::AwaitAnswer, none);
        }
        // With a window of 1 nothing overtakes anything: only the very first event comes into question.
        let candidates = if self.policy.window <= 1 { 1 } else { usize::MAX };
        let mut passed: BTreeSet<Lane> = BTreeSet::new();
        let mut wake_at: Option<u64> = None;
        // What tells of the stream itself arrives before the events, not beside them; where it fails they do not wait for it.
        let telling = self.in_flight.keys().any(|pos| pos.seq < 0);
        for item in outbox.window().filter(|item| !item.acked).take(candidates) {
            if telling && item.pos.seq >= 0 {
                break;
            }
            // After a replay an event may be under way that others stand before again.
            if !passed.insert(item.lane) || self.in_flight.values().any(|(lane, _)| *lane == item.lane) {
                continue;
            }
            match self.lanes.get(&item.lane) {
                Some(failing) if failing.next_at > now => {
                    wake_at = Some(wake_at.map_or(failing.next_at, |at| at.min(failing.next_at)));
                }
                _ => match self.pace.map_or(0, |pace| pace.wait_ms(now)) {
                    0 => return (Next::Push(item.pos), item.lane),
                    wait_ms => return (Next::WakeAt(now + wait_ms), none),
                },
            }
        }
        let next = match wake_at {
            Some(at) => Next::WakeAt(at),
            None if self.in_flight.is_empty() => Next::Idle,
            None => Next::AwaitAnswer,
        };
        (next, none)
    }

    /// After a hold, or a row of failures, one event probes the endpoint before the others follow.
    fn is_probing(&self) -> bool {
        self.hold.is_some() || self.failures_in_a_row >= FAILURES_BEFORE_HOLD
    }

    /// Takes the verdict on a push that was in flight. `draw` is uniform in 0..1.
    pub fn handle(&mut self, pos: Pos, verdict: &Verdict, now: u64, draw: f64) -> Outcome {
        let lane = self.in_flight.remove(&pos).map(|(lane, _)| lane).unwrap_or_default();
        let again = self.second_refusal(verdict);
        match again.as_ref().unwrap_or(verdict) {
            Verdict::Delivered => {
                self.endpoint_works(now);
                self.format_refused = false;
                self.lanes.remove(&lane);
                Outcome::Delivered
            }
            Verdict::Dead { err, description } => {
                self.format_refused = err == FORMAT_REFUSED;
                self.endpoint_works(now);
                let attempts = self.attempts(&lane, pos) + 1;
                self.lanes.remove(&lane);
                Outcome::Dead(Death {
                    err: err.clone(),
                    description: description.clone(),
                    attempts,
                })
            }
            Verdict::Retry { detail } => {
                self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
                let failed = self.failed(pos, lane, detail, now, draw);
                let over = self.failures_in_a_row.saturating_sub(FAILURES_BEFORE_HOLD);
                if self.failures_in_a_row >= FAILURES_BEFORE_HOLD {
                    let until = now + self.policy.retry.backoff_ms(over + 1, draw);
                    self.wait_until(HoldReason::Failing, now, until, over + 1, 0);
                }
                failed.map_or_else(Outcome::Dead, Outcome::RetryAt)
            }
            Verdict::Hold {
                reason,
                detail,
                not_before,
                counts,
            } => {
                // That an event is given up does not make the endpoint's word undone.
                let death = if *counts {
                    self.failed(pos, lane, detail, now, 0.0).err()
                } else {
                    None
                };
                if let Some(pace) = self.pace.as_mut().filter(|_| *reason == HoldReason::RetryAfter) {
                    pace.ease(now);
                }
                let in_a_row = self.hold.map_or(0, |hold| hold.in_a_row).saturating_add(1);
                let until = match not_before {
                    // Nobody is there any more: no time brings it back (WH-2.2-7).
                    _ if *reason == HoldReason::Gone => NEVER,
                    // The peer's time is kept in full and jitter only comes on top (WH-2.2-44); a time that is over at once does not
                    // switch the back-off off (WH-2.2-36).
                    Some(not_before) => (not_before + self.policy.retry.backoff_ms(1, draw))
                        .max(now + self.policy.retry.backoff_ms(in_a_row, draw)),
                    None => now + self.policy.retry.backoff_ms(in_a_row, draw),
                };
                let hold = self.wait_until(*reason, now, until, in_a_row, not_before.unwrap_or(0));
                match death {
                    Some(death) => Outcome::Dead(death),
                    None => Outcome::HeldUntil(hold.until, hold.reason),
                }
            }
        }
    }

    /// The second 415 in a row without a success between: the endpoint is to blame, not the event (WH-2.2-33).
    fn second_refusal(&self, verdict: &Verdict) -> Option<Verdict> {
        match verdict {
            Verdict::Dead { err, description } if err == FORMAT_REFUSED && self.format_refused => Some(Verdict::Hold {
                reason: HoldReason::FormatRefused,
                detail: description.clone(),
                not_before: None,
                counts: true,
            }),
            _ => None,
        }
    }

    /// Forgets one push whose answer says nothing any more: it went to an endpoint that is not the stream's now.
    pub fn forget(&mut self, pos: Pos) {
        self.in_flight.retain(|_, (_, head)| *head != pos);
    }

    /// Forgets a push that was chosen and not sent.
    pub fn not_sent(&mut self, pos: Pos, now: u64) {
        self.forget(pos);
        self.give_back(now);
    }

    /// Forgets a push whose run ended before its answer: it will be sent again.
    pub fn forget_in_flight(&mut self) {
        self.in_flight.clear();
    }

    fn endpoint_works(&mut self, now: u64) {
        self.failures_in_a_row = 0;
        let Some(hold) = &mut self.hold else {
            return;
        };
        // A success that left before the hold began does not lift it; the probe after it does. That the endpoint keeps failing
        // is not so any more, but what it asked for stands.
        let failing = hold.reason == HoldReason::Failing;
        if hold.until <= now || (failing && hold.not_before <= now) {
            self.hold = None;
        } else if failing {
            hold.reason = HoldReason::RetryAfter;
            hold.until = hold.not_before;
        }
    }

    /// Holds the stream, unless it is held for longer already; `named` is the instant that the endpoint itself named, or 0.
    /// Returns the hold that stands.
    fn wait_until(&mut self, reason: HoldReason, now: u64, until: u64, in_a_row: u32, named: u64) -> Hold {
        let begun = self.hold.unwrap_or(Hold::new(reason, now));
        let not_before = begun.not_before.max(named);
        let new = Hold {
            reason,
            lasting: begun.lasting || until.saturating_sub(begun.since) >= LASTING_MS,
            until,
            in_a_row,
            ..begun
        };
        let stands = self.hold.filter(|hold| hold.until > until).unwrap_or(new);
        *self.hold.insert(Hold { not_before, ..stands })
    }

    /// Counts a failed attempt; the instant of the next, or the end of the event's patience.
    fn failed(&mut self, pos: Pos, lane: Lane, detail: &str, now: u64, draw: f64) -> Result<u64, Death> {
        let new = Failing {
            pos,
            attempts: 0,
            first_failed_at: now,
            next_at: now,
        };
        let failing = self.lanes.entry(lane).or_insert(new);
        if failing.pos != pos {
            *failing = new;
        }
        failing.attempts = failing.attempts.saturating_add(1);
        let RetryPolicy {
            give_up_after_ms,
            give_up_attempts,
            ..
        } = self.policy.retry;
        if now.saturating_sub(failing.first_failed_at) >= give_up_after_ms
            || (give_up_attempts > 0 && failing.attempts >= give_up_attempts)
        {
            let attempts = failing.attempts;
            self.lanes.remove(&lane);
            return Err(Death {
                err: "given_up".to_owned(),
                description: detail.to_owned(),
                attempts,
            });
        }
        failing.next_at = now + self.policy.retry.backoff_ms(failing.attempts, draw);
        Ok(failing.next_at)
    }
}

#[cfg(test)]
#[path = "courier_tests.rs"]
mod tests;
