//! The poll loop of a receiver (RFC 8936) as a state machine: what to send, what an answer means, when to send again.
//!
//! Acknowledgements live in memory only: whatever was stored and not acknowledged before a crash comes again, is found to be
//! there, and is acknowledged then (POLL-R-21).

use serde::Serialize;
use serde_json::{Map, Value};

use crate::delivery::retry::RetryPolicy;
use crate::protocol::json::{self, json};
use crate::protocol::push::ErrorBody;
use crate::protocol::record::Record;

use super::remote::Trouble;

/// SETs that are asked for at once; fewer where an answer did not fit.
const MOST_EVENTS: u32 = 100;

/// So many entries of one answer are looked at: `maxEvents` is a wish, and whoever does not heed it sends the rest again.
const MOST_READ: usize = 2 * MOST_EVENTS as usize;

/// An empty answer to a long poll that comes sooner than this, so often in a row, comes from a transmitter that does not hold.
const HELD_MS: u64 = 1000;
const QUICK_ANSWERS: u32 = 3;

/// Where the transmitter does not hold: longest wait between two polls.
const MOST_WAIT_MS: u64 = 60_000;

/// A poll request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub body: String,
    pub at_once: bool,
    acks: usize,
    errs: usize,
}

/// What an answer held: SETs by the key they came under, in its order, and `None` for what is no SET at all.
pub type Sets = Vec<(String, Option<String>)>;

/// A wait so long outlives the object in memory, and has to be known to the next life.
const LONG_MS: u64 = 5_000;

/// What a later life of the object has to know of the loop: without it each would begin by asking at once, and count its
/// failures from none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Record)]
pub struct Pace {
    #[serde(default)]
    pub failures: u32,
    #[serde(default)]
    pub quick: u32,
    #[serde(default)]
    pub waits: u32,
    /// Unix milliseconds.
    #[serde(default)]
    pub next_at: u64,
}

/// How polls are spaced.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// 0: poll all the time, and let the transmitter hold the request.
    pub interval_ms: u64,
    /// First wait where it does not.
    pub idle_ms: u64,
    pub retry: RetryPolicy,
}

#[derive(Debug)]
pub struct Poller {
    acks: Vec<String>,
    errs: Vec<(String, ErrorBody)>,
    more: bool,
    most: u32,
    pace: Pace,
    /// The pace is known: that of the life before this one, or a new one.
    is_known: bool,
}

impl Default for Poller {
    fn default() -> Self {
        Self {
            acks: Vec::new(),
            errs: Vec::new(),
            more: false,
            most: MOST_EVENTS,
            pace: Pace::default(),
            is_known: false,
        }
    }
}

impl Poller {
    /// When to poll next, in Unix milliseconds.
    pub fn due(&self) -> u64 {
        self.pace.next_at
    }

    /// How many polls failed in a row.
    pub fn failures(&self) -> u32 {
        self.pace.failures
    }

    /// Goes on at this pace, unless there is one already.
    pub fn go_on(&mut self, pace: Pace) {
        if !self.is_known {
            (self.pace, self.is_known) = (pace, true);
        }
    }

    /// The pace as it is kept: that of a loop in which all is well is none. Nothing where it is not known.
    pub fn kept(&self, now: u64) -> Option<Pace> {
        let waits = self.pace.failures > 0 || self.pace.next_at > now.saturating_add(LONG_MS);
        self.is_known
            .then(|| Some(self.pace).filter(|_| waits).unwrap_or_default())
    }

    /// What was learnt of the transmitter's pace is forgotten: the poll's settings changed.
    pub fn start_over(&mut self) {
        (self.pace, self.is_known) = (Pace::default(), true);
    }

    /// This SET is stored: it is acknowledged with the next request.
    pub fn ack(&mut self, key: &str) {
        self.acks.push(key.to_owned());
    }

    /// This one never will be (POLL-2.4.4-1).
    pub fn refuse(&mut self, key: &str, error: ErrorBody) {
        self.errs.push((key.to_owned(), error));
    }

    pub fn request(&self, rules: &Rules) -> Request {
        let at_once = self.more || rules.interval_ms > 0 || self.pace.quick >= QUICK_ANSWERS;
        let mut body = Map::new();
        body.insert("maxEvents".to_owned(), json!(self.most));
        body.insert("returnImmediately".to_owned(), json!(at_once));
        // POLL-2.4.1-1: what is empty is left out.
        if !self.acks.is_empty() {
            body.insert("ack".to_owned(), json!(self.acks));
        }
        if !self.errs.is_empty() {
            let errs = self.errs.iter().map(|(key, error)| (key.clone(), error.to_json()));
            body.insert("setErrs".to_owned(), Value::Object(errs.collect()));
        }
        Request {
            body: Value::Object(body).to_string(),
            at_once,
            acks: self.acks.len(),
            errs: self.errs.len(),
        }
    }

    /// The request was answered with success. `cut`: its body did not fit into what we read.
    pub fn answered(
        &mut self,
        request: &Request,
        body: &[u8],
        cut: bool,
        rules: &Rules,
        sent_at: u64,
        now: u64,
    ) -> Result<Sets, Trouble> {
        // POLL-R-23: only now they are known to have arrived.
        self.acks.drain(..request.acks.min(self.acks.len()));
        self.errs.drain(..request.errs.min(self.errs.len()));
        if cut && self.most > 1 {
            self.most /= 2;
            (self.more, self.pace.next_at) = (true, now);
            return Ok(Sets::new());
        }
        if cut {
            return Err(Trouble::later("answered a poll with more than can be read"));
        }
        let (sets, more) =
            read(body).ok_or_else(|| Trouble::later("answered a poll with something that is no poll response"))?;
        self.pace.failures = 0;
        self.most = MOST_EVENTS;
        self.more = more;
        let held = !request.at_once && now.saturating_sub(sent_at) >= HELD_MS;
        if sets.is_empty() && rules.interval_ms > 0 && !more {
            self.pace.next_at = now.saturating_add(rules.interval_ms);
        } else if sets.is_empty() && !held {
            self.nothing_new(rules, now);
        } else {
            self.pace.next_at = now;
            if held {
                self.something_new();
            }
        }
        Ok(sets)
    }

    /// The answer held something that was not there before.
    pub fn something_new(&mut self) {
        (self.pace.quick, self.pace.waits) = (0, 0);
    }

    /// A long poll was held for longer than we wait. RFC 8936 leaves that to the transmitter, so it is no failure; but what the
    /// request carried may not have arrived, and the transmitter may be gone: the next one wants an answer at once.
    pub fn held_too_long(&mut self, now: u64) {
        self.something_new();
        (self.more, self.pace.next_at) = (true, now);
    }

    /// The answer came at once, and held nothing, or nothing but what was there already: a transmitter that goes on like that
    /// must not keep us busy.
    pub fn nothing_new(&mut self, rules: &Rules, now: u64) {
        let pace = &mut self.pace;
        pace.quick += 1;
        pace.next_at = now;
        if pace.quick >= QUICK_ANSWERS {
            let wait = rules.idle_ms.saturating_mul(1 << pace.waits.min(16));
            pace.waits += 1;
            pace.next_at = now.saturating_add(wait.min(MOST_WAIT_MS.max(rules.idle_ms)));
        }
    }

    /// There was no answer, or one that is none. What it should have carried goes with the next request.
    pub fn failed(&mut self, trouble: &Trouble, rules: &Rules, draw: f64, now: u64) {
        self.pace.failures += 1;
        let wait = rules
            .retry
            .backoff_ms(self.pace.failures, draw)
            .max(rules.retry.base_ms / 2);
        let not_before = match trouble {
            Trouble::Later { not_before, .. } => not_before.unwrap_or(0),
            // Only a change helps.
            _ => now.saturating_add(rules.retry.cap_ms),
        };
        self.pace.next_at = not_before.max(now.saturating_add(wait));
    }

    /// Something of our own has to come first, such as a key: what was not acknowledged comes again.
    pub fn hold_until(&mut self, at: u64) {
        self.pace.next_at = self.pace.next_at.max(at);
        self.more = true;
    }
}

/// Reads a poll response in any shape that peers send it: `sets` may be missing or null, `moreAvailable` may be a text or a number
/// (pitfall 3); an entry that is no text is a SET that cannot be parsed. Nothing at all is what some have who have no SETs.
fn read(body: &[u8]) -> Option<(Sets, bool)> {
    if body.trim_ascii().is_empty() {
        return Some((Sets::new(), false));
    }
    let (body, order) = json::parse_in_order(body, 8, "sets").ok()?;
    let members = body.as_object()?;
    let more = match members.get("moreAvailable") {
        Some(Value::Bool(more)) => *more,
        Some(Value::String(more)) => more.eq_ignore_ascii_case("true"),
        Some(Value::Number(more)) => more.as_u64() == Some(1),
        _ => false,
    };
    let sets = match members.get("sets") {
        None | Some(Value::Null) => return Some((Sets::new(), more)),
        Some(sets) => sets.as_object()?,
    };
    // A JSON object has no order; but the text has one, and it is the only one that there is (SET-5.3-1).
    let mut read = Sets::new();
    for key in order.into_iter().take(MOST_READ) {
        let set = sets.get(&key).and_then(Value::as_str).map(str::to_owned);
        read.push((key, set));
    }
    Some((read, more))
}

#[cfg(test)]
#[path = "poller_tests.rs"]
mod tests;
