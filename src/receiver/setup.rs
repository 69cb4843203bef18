//! The set-up of a managed source: six steps, each repeatable, kept in one row so that a crash loses none. What a step does is
//! the edge's; here is only where it stands, and what was learnt on the way.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::delivery::meta;
use crate::delivery::sql::{Sql, SqlError};
use crate::protocol::json::json;
use crate::protocol::record::{self, Record};

use super::remote::{Endpoints, RemoteStream, Trouble};

/// The steps, in order.
pub const STEPS: [&str; 6] = ["discovery", "keys", "token", "stream", "subjects", "verification"];

pub const DISCOVERY: usize = 0;
pub const KEYS: usize = 1;
pub const TOKEN: usize = 2;
pub const STREAM: usize = 3;
pub const SUBJECTS: usize = 4;
pub const VERIFICATION: usize = 5;

/// Expected states that are remembered at once; the oldest go.
const MAX_EXPECTED: usize = 8;

/// A stream that was gone sooner than this was lost soon: another one may be, too.
const SOON_MS: u64 = 3_600_000;

/// A verification event may come late: for so long its state is known. That it is late shows long before.
const EXPECTED_MS: u64 = 24 * 3_600_000;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Record)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    #[default]
    Todo,
    Doing,
    Done,
    /// It is tried again, or something has to come first.
    Waiting,
    /// Trying again would not help; it is, now and then.
    Failed,
    Skipped,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Record)]
pub struct Step {
    pub state: StepState,
    /// When that began, in Unix milliseconds.
    pub at: Option<u64>,
    pub detail: Option<String>,
    pub attempts: u32,
    pub next_attempt_at: Option<u64>,
}

/// A verification event that we asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Record)]
pub struct Expected {
    pub state: String,
    pub asked_at: u64,
}

/// Everything that is known of the other side.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Record)]
pub struct Setup {
    pub steps: Vec<Step>,
    pub endpoints: Option<Endpoints>,
    pub token_endpoint: Option<String>,
    /// The scopes to ask for, where none were given.
    #[serde(default)]
    pub scope: Option<String>,
    pub stream: Option<RemoteStream>,
    /// The id of one that was gone: until there is another one it may come back, and would be left behind otherwise.
    #[serde(default)]
    pub former: Option<String>,
    /// As last heard of.
    pub status: Option<String>,
    pub reason: Option<String>,
    #[serde(default)]
    pub expected: Vec<Expected>,
    pub verified_at: Option<u64>,
    /// When the stream was last looked after.
    pub watched_at: Option<u64>,
    /// When a verification event was last asked for.
    pub asked_at: Option<u64>,
    /// Streams in a row that were gone soon after we had them.
    #[serde(default)]
    pub lost: u32,
    /// A stream was looked for, and so may have been made, whatever is known of it.
    #[serde(default)]
    pub may_have_stream: bool,
}

impl Setup {
    pub fn new() -> Self {
        Self {
            steps: vec![Step::default(); STEPS.len()],
            ..Self::default()
        }
    }

    pub fn load(sql: &dyn Sql) -> Result<Self, SqlError> {
        let text = meta::get(sql, "setup")?;
        text.map_or_else(
            || Ok(Self::new()),
            |text| record::read(&text).map_err(|error| SqlError::corrupt("setup", error)),
        )
    }

    /// One row.
    pub fn save(&self, sql: &dyn Sql) -> Result<(), SqlError> {
        meta::set(sql, "setup", &record::text(self))
    }

    fn step(&mut self, at: usize) -> Option<&mut Step> {
        self.steps.get_mut(at)
    }

    pub fn state(&self, at: usize) -> StepState {
        self.steps.get(at).map(|step| step.state).unwrap_or_default()
    }

    pub fn is_over(&self, at: usize) -> bool {
        matches!(self.state(at), StepState::Done | StepState::Skipped)
    }

    /// Of the stream that we have now. It carries events also while a step of the set-up is done again, or refused.
    pub fn stream_id(&self) -> Option<&str> {
        self.stream.as_ref().map(|stream| stream.stream_id.as_str())
    }

    /// The step whose turn it is, and when.
    pub fn next(&self, now: u64) -> Option<(usize, u64)> {
        let at = (0..self.steps.len()).find(|at| !self.is_over(*at))?;
        Some((at, self.steps.get(at)?.next_attempt_at.unwrap_or(now)))
    }

    pub fn begin(&mut self, at: usize, now: u64) {
        self.may_have_stream |= at == STREAM;
        if let Some(step) = self.step(at) {
            (step.state, step.at) = (StepState::Doing, Some(now));
            step.next_attempt_at = None;
        }
    }

    pub fn end(&mut self, at: usize, state: StepState, detail: Option<String>, now: u64) {
        if let Some(step) = self.step(at) {
            *step = Step {
                state,
                at: Some(now),
                detail,
                // What came further did not fail.
                attempts: match state {
                    StepState::Doing => 0,
                    _ => step.attempts + 1,
                },
                next_attempt_at: None,
            };
        }
    }

    /// The step did not come to its end: it is tried again after `wait_ms` of ours, or after `again_ms` when only a change could
    /// help.
    pub fn fail(&mut self, at: usize, trouble: &Trouble, wait_ms: u64, again_ms: u64, now: u64) {
        let (state, next) = match trouble {
            Trouble::Later { not_before, .. } => (StepState::Waiting, not_before.unwrap_or(0).max(now + wait_ms)),
            _ => (StepState::Failed, now + again_ms),
        };
        self.end(at, state, Some(trouble.detail().to_owned()), now);
        if let Some(step) = self.step(at) {
            step.next_attempt_at = Some(next);
        }
    }

    /// The step waits for something that should come by then.
    pub fn wait(&mut self, at: usize, detail: &str, until: u64, now: u64) {
        self.end(at, StepState::Waiting, Some(detail.to_owned()), now);
        if let Some(step) = self.step(at) {
            (step.attempts, step.next_attempt_at) = (0, Some(until));
        }
    }

    pub fn attempts(&self, at: usize) -> u32 {
        self.steps.get(at).map_or(0, |step| step.attempts)
    }

    /// Everything from this step on is done again.
    pub fn repeat_from(&mut self, at: usize) {
        for step in self.steps.iter_mut().skip(at) {
            *step = Step::default();
        }
    }

    /// This step alone is done again.
    pub fn again(&mut self, at: usize) {
        if let Some(step) = self.step(at) {
            *step = Step::default();
        }
    }

    /// The stream is gone at the transmitter: another one is wanted, not before `backoff` of how often in a row that was soon, so
    /// that a transmitter that loses all of them is not asked without end.
    pub fn lose_stream(&mut self, backoff: &dyn Fn(u32) -> u64, now: u64) {
        let had_at = self.steps.get(STREAM).and_then(|step| step.at).unwrap_or(0);
        self.lost = match now.saturating_sub(had_at) < SOON_MS {
            true => self.lost.saturating_add(1),
            false => 0,
        };
        if let Some(stream) = self.stream.take() {
            self.former = Some(stream.stream_id);
        }
        self.status = None;
        self.reason = None;
        self.expected.clear();
        self.repeat_from(STREAM);
        if let (Some(step), 1..) = (self.steps.get_mut(STREAM), self.lost) {
            step.next_attempt_at = Some(now.saturating_add(backoff(self.lost)));
        }
    }

    /// SSF-8.1.4.2-7: remembered before it is asked for.
    pub fn expect(&mut self, state: &str, now: u64) {
        self.expected
            .retain(|expected| now.saturating_sub(expected.asked_at) < EXPECTED_MS);
        if self.expected.len() >= MAX_EXPECTED {
            self.expected.remove(0);
        }
        self.expected.push(Expected {
            state: state.to_owned(),
            asked_at: now,
        });
        self.asked_at = Some(now);
    }

    /// The transmitter refused to send it.
    pub fn forget(&mut self, state: &str) {
        self.expected.retain(|expected| expected.state != state);
    }

    pub fn expects(&self, state: &str, now: u64) -> bool {
        let mut known = self.expected.iter();
        known.any(|expected| expected.state == state && now.saturating_sub(expected.asked_at) < EXPECTED_MS)
    }

    /// A verification event came with this state: everything asked for until then is answered.
    pub fn verified(&mut self, state: &str, now: u64) {
        if let Some(at) = self.expected.iter().position(|expected| expected.state == state) {
            self.expected.drain(..=at);
        }
        self.verified_at = Some(now);
        if !self.is_over(VERIFICATION) {
            self.end(VERIFICATION, StepState::Done, None, now);
        }
    }

    /// When the oldest question that nobody answered was asked.
    pub fn unanswered_since(&self) -> Option<u64> {
        self.expected.first().map(|expected| expected.asked_at)
    }

    /// In one word.
    pub fn word(&self) -> &'static str {
        let has = |state| self.steps.iter().any(|step| step.state == state);
        if has(StepState::Failed) {
            "failed"
        } else if (0..self.steps.len()).all(|at| self.is_over(at)) {
            "done"
        } else if has(StepState::Waiting) {
            "waiting"
        } else {
            "running"
        }
    }

    pub fn to_json(&self) -> Value {
        let steps = STEPS.iter().zip(&self.steps).map(|(name, step)| {
            let mut shown = json!(step);
            if let Some(members) = shown.as_object_mut() {
                members.insert("step".to_owned(), json!(name));
            }
            shown
        });
        json!({"state": self.word(), "steps": steps.collect::<Vec<_>>()})
    }

    /// The stream as an operator sees it.
    pub fn stream_json(&self) -> Value {
        let Some(stream) = &self.stream else { return Value::Null };
        let mut shown = Map::new();
        for (name, value) in [
            ("stream_id", json!(stream.stream_id)),
            ("status", json!(self.status)),
            ("reason", json!(self.reason)),
            ("events_delivered", json!(stream.events_delivered)),
            ("events_requested", json!(stream.events_requested)),
            ("min_verification_interval", json!(stream.min_verification_interval)),
            ("inactivity_timeout", json!(stream.inactivity_timeout)),
            ("verified_at", json!(self.verified_at)),
        ] {
            shown.insert(name.to_owned(), value);
        }
        Value::Object(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::sql::testing::TestSql;

    #[test]
    fn steps_are_done_in_order_and_a_crash_in_one_repeats_that_one() {
        let sql = TestSql::default();
        meta::migrate(&sql, crate::receiver::source::MIGRATIONS).unwrap();
        let mut setup = Setup::load(&sql).unwrap();
        assert_eq!((setup.next(5), setup.word()), (Some((DISCOVERY, 5)), "running"));
        for at in 0..STEPS.len() {
            assert_eq!(setup.next(5), Some((at, 5)));
            setup.begin(at, 5);
            sql.take_written_rows();
            setup.save(&sql).unwrap();
            assert_eq!(sql.take_written_rows(), 1);
            setup = Setup::load(&sql).unwrap();
            assert_eq!(setup.next(6), Some((at, 6)), "begun is not done");
            setup.end(
                at,
                if at == SUBJECTS {
                    StepState::Skipped
                } else {
                    StepState::Done
                },
                None,
                7,
            );
        }
        assert_eq!((setup.next(8), setup.word()), (None, "done"));
        setup.repeat_from(SUBJECTS);
        assert_eq!(setup.next(8), Some((SUBJECTS, 8)));
        assert!(setup.is_over(TOKEN));
    }

    #[test]
    fn what_may_help_is_tried_soon_and_what_cannot_seldom() {
        let mut setup = Setup::new();
        setup.fail(DISCOVERY, &Trouble::later("no route"), 50, 3600, 1000);
        assert_eq!((setup.next(0), setup.word()), (Some((DISCOVERY, 1050)), "waiting"));
        let later = Trouble::Later {
            detail: String::new(),
            not_before: Some(9000),
        };
        setup.fail(DISCOVERY, &later, 50, 3600, 1000);
        assert_eq!(setup.next(0), Some((DISCOVERY, 9000)), "Retry-After is obeyed in full");
        setup.fail(DISCOVERY, &Trouble::Refused("403".into()), 50, 3600, 1000);
        assert_eq!((setup.next(0), setup.word()), (Some((DISCOVERY, 4600)), "failed"));
        assert_eq!(setup.attempts(DISCOVERY), 3);
        for _ in 0..40 {
            setup.end(SUBJECTS, StepState::Doing, None, 1000);
            setup.wait(VERIFICATION, "", 2000, 1000);
        }
        assert_eq!(
            (setup.attempts(SUBJECTS), setup.attempts(VERIFICATION)),
            (0, 0),
            "no failures"
        );
    }

    #[test]
    fn streams_that_are_gone_as_soon_as_they_are_made_are_made_ever_more_seldom() {
        let mut setup = Setup::new();
        let backoff = |failures: u32| u64::from(failures) * 1000;
        for (lived, wait) in [
            (SOON_MS, None),
            (5, Some(1000)),
            (5, Some(2000)),
            (SOON_MS - 1, Some(3000)),
            (SOON_MS, None),
            (5, Some(1000)),
        ] {
            let had_at = SOON_MS;
            (0..STEPS.len()).for_each(|at| setup.end(at, StepState::Done, None, had_at));
            setup.stream = Some(RemoteStream {
                stream_id: "s".into(),
                ..RemoteStream::default()
            });
            assert_eq!(setup.stream_id(), Some("s"));
            setup.expect("a", had_at);
            let now = had_at + lived;
            setup.lose_stream(&backoff, now);
            assert_eq!(setup.next(now), Some((STREAM, now + wait.unwrap_or(0))), "{lived}");
            assert_eq!((setup.stream_id(), setup.former.as_deref()), (None, Some("s")));
            assert!(setup.expected.is_empty());
        }
    }

    /// SSF-8.1.4.1-7, SSF-8.1.4.2-7.
    #[test]
    fn several_states_may_be_awaited_and_the_newest_answer_answers_the_older_questions() {
        let mut setup = Setup::new();
        for (at, state) in ["a", "b", "c"].into_iter().enumerate() {
            setup.expect(state, at as u64);
        }
        assert!(setup.expects("a", 10) && !setup.expects("x", 10));
        assert!(!setup.expects("a", EXPECTED_MS), "not for ever");
        setup.verified("b", 20);
        assert!(!setup.expects("a", 21) && setup.expects("c", 21));
        assert_eq!((setup.verified_at, setup.unanswered_since()), (Some(20), Some(2)));
        assert_eq!(setup.state(VERIFICATION), StepState::Done);
        for n in 0..100 {
            setup.expect(&n.to_string(), 30);
        }
        assert_eq!(setup.expected.len(), MAX_EXPECTED);
    }
}
