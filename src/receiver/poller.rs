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
mod tests {
    use super::*;
    use crate::protocol::set::SetErr;
    use serde_json::json;

    const RULES: Rules = Rules {
        interval_ms: 0,
        idle_ms: 5000,
        retry: RetryPolicy {
            base_ms: 1000,
            cap_ms: 300_000,
            give_up_after_ms: 0,
            give_up_attempts: 0,
        },
    };

    fn body(request: &Request) -> Value {
        serde_json::from_str(&request.body).unwrap()
    }

    /// Answers the next request with this after `took` milliseconds; returns the keys.
    fn turn(poller: &mut Poller, rules: &Rules, answer: &str, took: u64, now: u64) -> Vec<String> {
        let request = poller.request(rules);
        let sets = poller
            .answered(&request, answer.as_bytes(), false, rules, now - took, now)
            .unwrap();
        sets.into_iter().map(|(key, _)| key).collect()
    }

    /// POLL-R-20, POLL-R-23, POLL-2.4.1-1.
    #[test]
    fn acks_are_kept_until_a_request_with_them_was_answered() {
        let mut poller = Poller::default();
        assert_eq!(
            body(&poller.request(&RULES)),
            json!({"maxEvents": 100, "returnImmediately": false})
        );
        assert_eq!(
            turn(&mut poller, &RULES, r#"{"sets":{"a":"x.y.z","b":5}}"#, 0, 10),
            ["a", "b"]
        );
        poller.ack("a");
        poller.refuse("b", ErrorBody::new(SetErr::InvalidRequest, "no"));
        let request = poller.request(&RULES);
        assert_eq!(body(&request)["ack"], json!(["a"]));
        assert_eq!(
            body(&request)["setErrs"],
            json!({"b": {"err": "invalid_request", "description": "no"}})
        );
        poller.failed(&Trouble::later("503"), &RULES, 1.0, 20);
        assert_eq!(poller.due(), 1020);
        assert_eq!(poller.request(&RULES), request, "once more with the same");
        poller.ack("c");
        poller.answered(&request, b"{}", false, &RULES, 0, 2000).unwrap();
        assert_eq!(
            body(&poller.request(&RULES))["ack"],
            json!(["c"]),
            "what came meanwhile stays"
        );
    }

    /// SET-5.3-1: the text's order is all there is.
    #[test]
    fn sets_are_read_in_the_order_of_the_text_and_not_without_end() {
        let mut poller = Poller::default();
        let answer = r#"{"sets":{"c":"x","a":5,"\u0062":"y"}}"#;
        assert_eq!(turn(&mut poller, &RULES, answer, 0, 10), ["c", "a", "b"]);
        let many: Vec<_> = (0..1000).map(|n| format!("\"{}\":0", 1000 - n)).collect();
        let found = turn(
            &mut poller,
            &RULES,
            &format!("{{\"sets\":{{{}}}}}", many.join(",")),
            0,
            10,
        );
        assert_eq!(
            (found.len(), found[0].as_str(), found[199].as_str()),
            (200, "1000", "801")
        );
    }

    /// Pitfall 3.
    #[test]
    fn every_shape_of_more_available_and_of_no_sets_is_read() {
        for (answer, more) in [
            (r#"{"sets":{},"moreAvailable":true}"#, true),
            (r#"{"sets":{},"moreAvailable":"true"}"#, true),
            (r#"{"sets":{},"moreAvailable":1}"#, true),
            (r#"{"sets":null,"moreAvailable":"false"}"#, false),
            (r#"{"moreAvailable":{}}"#, false),
            (r#"{"sets":{},"moreAvailable":null}"#, false),
            ("{}", false),
            ("", false),
        ] {
            let mut poller = Poller::default();
            assert!(turn(&mut poller, &RULES, answer, 0, 10).is_empty());
            assert_eq!(poller.request(&RULES).at_once, more, "{answer}");
        }
        for answer in ["[]", "null", "<html>", r#"{"sets":[]}"#, r#"{"sets":"x"}"#] {
            let mut poller = Poller::default();
            let request = poller.request(&RULES);
            assert!(
                poller
                    .answered(&request, answer.as_bytes(), false, &RULES, 0, 10)
                    .is_err(),
                "{answer}"
            );
        }
    }

    #[test]
    fn a_transmitter_that_does_not_hold_is_asked_less_and_less_until_something_comes() {
        let mut poller = Poller::default();
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..8 {
            turn(&mut poller, &RULES, "{}", 0, now);
            waits.push(poller.due() - now);
            now = poller.due();
        }
        assert_eq!(waits, [0, 0, 5000, 10_000, 20_000, 40_000, 60_000, 60_000]);
        turn(&mut poller, &RULES, r#"{"sets":{"a":"x"}}"#, 0, now);
        poller.something_new();
        assert_eq!((poller.due(), poller.request(&RULES).at_once), (now, false));
        let mut busy = Poller::default();
        for _ in 0..3 {
            turn(&mut busy, &RULES, r#"{"sets":{},"moreAvailable":true}"#, 0, now);
        }
        assert_eq!(
            busy.due(),
            now + 5000,
            "more that never comes is no reason to ask all the time"
        );
        let mut held = Poller::default();
        for _ in 0..10 {
            now += 25_000;
            turn(&mut held, &RULES, "{}", 25_000, now);
            assert_eq!((held.due(), held.request(&RULES).at_once), (now, false));
        }
    }

    #[test]
    fn short_polls_go_on_until_nothing_is_left_and_then_wait() {
        let rules = Rules {
            interval_ms: 30_000,
            ..RULES
        };
        let mut poller = Poller::default();
        assert!(poller.request(&rules).at_once);
        turn(&mut poller, &rules, r#"{"sets":{"a":"x"}}"#, 0, 10);
        assert_eq!(poller.due(), 10);
        turn(&mut poller, &rules, "{}", 0, 20);
        assert_eq!(poller.due(), 30_020);
    }

    #[test]
    fn failures_back_off_and_named_times_are_obeyed() {
        let mut poller = Poller::default();
        for (n, expected) in [(1, 1000), (2, 2000), (3, 4000)] {
            poller.failed(&Trouble::later(""), &RULES, 1.0, 0);
            assert_eq!((poller.failures(), poller.due()), (n, expected));
        }
        poller.failed(
            &Trouble::Later {
                detail: String::new(),
                not_before: Some(90_000),
            },
            &RULES,
            1.0,
            0,
        );
        assert_eq!(poller.due(), 90_000);
        poller.failed(&Trouble::Refused(String::new()), &RULES, 0.0, 0);
        assert_eq!(poller.due(), 300_000);
        poller.failed(&Trouble::later(""), &RULES, 0.0, 0);
        assert_eq!(poller.due(), 500, "never at once");
    }

    /// The object that polls lives for seconds; what it waits for may be hours away.
    #[test]
    fn a_pace_outlives_the_object() {
        let again = |poller: &Poller, now: u64| {
            let mut next = Poller::default();
            assert_eq!(next.kept(now), None, "nobody knows yet");
            next.go_on(poller.kept(now).unwrap());
            next
        };
        let mut poller = Poller::default();
        poller.go_on(Pace::default());
        let hour = Trouble::Later {
            detail: String::new(),
            not_before: Some(3_600_000),
        };
        for n in 1..=3 {
            poller.failed(&hour, &RULES, 1.0, n);
            poller = again(&poller, n);
            assert_eq!((poller.failures(), poller.due()), (n as u32, 3_600_000));
        }
        let mut changed = Poller::default();
        changed.start_over();
        changed.go_on(poller.kept(3).unwrap());
        assert_eq!(changed.due(), 0, "what was before a change counts no more");
        let rules = Rules {
            interval_ms: 86_400_000,
            ..RULES
        };
        turn(&mut poller, &rules, "{}", 0, 10);
        assert_eq!(again(&poller, 10).due(), 86_400_010);
        let mut well = Poller::default();
        well.go_on(Pace::default());
        turn(&mut well, &RULES, "{}", 25_000, 50_000);
        assert_eq!(well.kept(50_000), Some(Pace::default()), "no row while all is well");
    }

    #[test]
    fn a_transmitter_may_hold_a_poll_for_longer_than_we_wait() {
        let mut poller = Poller::default();
        poller.ack("a");
        for now in [60_000, 120_000, 180_000] {
            assert!(!poller.request(&RULES).at_once);
            poller.held_too_long(now);
            assert_eq!((poller.failures(), poller.due()), (0, now));
            let request = poller.request(&RULES);
            assert!(request.at_once, "is it there, and has it heard?");
            assert_eq!(body(&request).get("ack").is_some(), now == 60_000);
            turn(&mut poller, &RULES, "{}", 0, now);
        }
    }

    #[test]
    fn an_answer_that_does_not_fit_is_asked_for_in_smaller_pieces() {
        let mut poller = Poller::default();
        for expected in [50, 25, 12, 6, 3, 1] {
            let request = poller.request(&RULES);
            assert!(poller.answered(&request, b"{", true, &RULES, 0, 10).unwrap().is_empty());
            assert_eq!(body(&poller.request(&RULES))["maxEvents"], json!(expected));
        }
        let request = poller.request(&RULES);
        assert!(poller.answered(&request, b"{", true, &RULES, 0, 10).is_err());
    }
}
