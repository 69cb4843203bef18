//! Whether an endpoint agreed to be pushed to, at which rate and for how long (design 5), as a state machine: who is asked when,
//! and what answers, callbacks and the operator make of it.

use crate::protocol::handshake::{Answer, Rate};
use crate::protocol::record::Record;

/// Waits between the attempts of one handshake, in units of [`Rules::retry_ms`]; the last one goes on.
const RETRY_STEPS: [u64; 3] = [1, 6, 30];

const NOT_REGISTERED: &str = "the endpoint is not registered for this client";

/// Secrets of one handshake that are remembered: each attempt has its own, and any of them is good.
const MAX_SECRETS: usize = 8;

/// What the deployment's settings say about consent. Times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Requests a minute that are asked for, where the operator chose no number for the stream.
    pub request_rate: u32,
    /// A grant ends after this; 0: never.
    pub ttl_ms: u64,
    /// A handshake takes this long at most: until then the callback is good.
    pub window_ms: u64,
    /// The first wait after an attempt without an answer.
    pub retry_ms: u64,
    pub timeout_ms: u32,
}

/// How an endpoint stands to us.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, Record)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was registered beforehand, or there is none: the stream is polled.
    #[default]
    NotRequired,
    /// It is being asked, or may still call back.
    Pending,
    Granted,
    Denied,
    /// It does not take part in the handshake.
    Unsupported,
    /// It did not answer in time, or what it granted is over.
    Expired,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::NotRequired => "not_required",
            Self::Pending => "pending",
            Self::Granted => "granted",
            Self::Denied => "denied",
            Self::Unsupported => "unsupported",
            Self::Expired => "expired",
        }
    }
}

/// How a decision came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, Record)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    Options,
    CallbackGet,
    CallbackPost,
    Operator,
}

/// A handshake under way.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
pub struct Handshake {
    /// SHA-256 of the callbacks' secrets, in hex, newest last.
    #[serde(default)]
    pub secrets: Vec<String>,
    pub begun_at: u64,
    pub asked_at: Option<u64>,
    pub attempts: u32,
    /// When the endpoint is asked; `None` while only a callback can come.
    pub next_at: Option<u64>,
    /// The end of it, whatever happened.
    pub until: u64,
}

/// The standing of a stream's endpoint. Times in Unix milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Record)]
pub struct Grant {
    #[serde(default)]
    pub state: State,
    #[serde(default)]
    pub since: u64,
    /// What was asked for last.
    #[serde(default)]
    pub requested_rate: Option<u32>,
    #[serde(default)]
    pub allowed_rate: Option<Rate>,
    #[serde(default)]
    pub via: Option<Via>,
    #[serde(default)]
    pub granted_at: Option<u64>,
    #[serde(default)]
    pub expires_at: Option<u64>,
    /// In words, what the last answer was.
    #[serde(default)]
    pub detail: Option<String>,
    #[serde(default)]
    pub handshake: Option<Handshake>,
}

impl Grant {
    /// Whether anything may be pushed.
    pub fn permits(&self) -> bool {
        matches!(self.state, State::NotRequired | State::Granted)
    }

    pub fn is_required(&self) -> bool {
        self.state != State::NotRequired
    }

    /// The rate that is kept, where there is one.
    pub fn pace(&self) -> Option<u32> {
        let rate = self.allowed_rate.filter(|_| self.state == State::Granted);
        rate.and_then(Rate::per_minute)
    }

    /// Why nothing is pushed, in words for receivers and operators.
    pub fn obstacle(&self) -> Option<&'static str> {
        match self.state {
            State::NotRequired | State::Granted => None,
            State::Pending => Some("the endpoint has not agreed yet to being pushed to"),
            State::Denied => Some("the endpoint does not agree to being pushed to"),
            State::Unsupported => Some("the endpoint has not agreed: it does not take part in the web hook handshake"),
            State::Expired => Some("the endpoint's consent is over, or never came"),
        }
    }

    /// When time brings something by itself: the end of a handshake, the end of a grant.
    pub fn clock_at(&self) -> Option<u64> {
        let until = self.handshake.as_ref().map(|handshake| handshake.until);
        let over = self.expires_at.filter(|_| !self.is_renewing());
        [until, over].into_iter().flatten().min()
    }

    /// When the endpoint is to be asked next.
    pub fn asks_at(&self) -> Option<u64> {
        self.handshake.as_ref()?.next_at
    }

    /// Whether a handshake is under way that began when the grant was over.
    fn is_renewing(&self) -> bool {
        let begun_at = self.handshake.as_ref().map(|handshake| handshake.begun_at);
        begun_at.is_some_and(|begun_at| self.expires_at.is_some_and(|over| over <= begun_at))
    }

    /// Whether a callback with this secret (its hash) is good at `now`.
    pub fn knows(&self, secret: &str, now: u64) -> bool {
        let current = self.handshake.as_ref().filter(|current| current.until > now);
        current.is_some_and(|current| current.knows(secret))
    }

    /// Nobody has to be asked.
    pub fn not_required(&mut self, now: u64) {
        *self = Self {
            since: now,
            ..Self::default()
        };
    }

    /// Consent is needed, and what there was means nothing any more (WH-4-2).
    pub fn require(&mut self, rules: &Rules, now: u64) {
        *self = Self {
            state: State::Pending,
            since: now,
            handshake: Some(handshake(rules, now)),
            ..Self::default()
        };
    }

    /// Only a registration would do, and there is none.
    pub fn not_registered(&mut self, now: u64) {
        if self.state != State::Denied || self.handshake.is_some() {
            self.revoke(Some(NOT_REGISTERED.to_owned()), now);
            self.via = None;
        }
    }

    /// Whether that was why: nobody was asked, so nobody refused.
    pub fn was_not_registered(&self) -> bool {
        self.state == State::Denied && self.via.is_none()
    }

    /// Asks once more. What was granted stands until the answer comes, and callbacks of a handshake under way stay good; any
    /// other standing makes way.
    pub fn ask_again(&mut self, rules: &Rules, now: u64) {
        match (self.state, &mut self.handshake) {
            (State::NotRequired, _) => {}
            (State::Pending, Some(current)) => {
                current.next_at = Some(now);
                current.until = now + rules.window_ms;
            }
            (State::Granted, _) => self.handshake = Some(handshake(rules, now)),
            _ => self.require(rules, now),
        }
    }

    /// Does what is due by the clock, but for the asking itself. Returns whether anything changed.
    pub fn keep_time(&mut self, rules: &Rules, now: u64) -> bool {
        let over = self.expires_at.is_some_and(|at| at <= now);
        if over && !self.is_renewing() {
            // What was granted goes on until the endpoint answers, or its time for that is over.
            self.handshake = Some(handshake(rules, now));
            return true;
        }
        if self.handshake.as_ref().is_none_or(|handshake| handshake.until > now) {
            return false;
        }
        self.handshake = None;
        if over {
            self.turn(State::Expired, now, Some("nobody renewed the grant".to_owned()));
        } else if self.state == State::Pending {
            self.turn(State::Expired, now, Some("nobody agreed in time".to_owned()));
        }
        true
    }

    /// Begins an attempt: `secret` is the hash of its callback's secret. To be stored before anything is sent (WH-4.1-13); an
    /// attempt that a crash cuts off is followed by another one.
    pub fn begin(&mut self, secret: &str, requested: u32, rules: &Rules, now: u64) {
        self.requested_rate = Some(requested);
        if let Some(handshake) = &mut self.handshake {
            handshake.attempts = handshake.attempts.saturating_add(1);
            handshake.asked_at = Some(now);
            handshake.next_at = Some(now + u64::from(rules.timeout_ms) + wait(handshake.attempts, rules));
            if handshake.secrets.len() >= MAX_SECRETS {
                handshake.secrets.remove(0);
            }
            handshake.secrets.push(secret.to_owned());
        }
    }

    /// The endpoint is not asked before `at`, because others of its host were just now. What it had no chance to answer does
    /// not take of its time for that.
    pub fn postpone(&mut self, at: u64, now: u64) {
        let Some(current) = self.handshake.as_mut().filter(|current| current.next_at.is_some()) else {
            return;
        };
        current.next_at = Some(at);
        if current.attempts == 0 {
            current.until = current.until.saturating_add(at.saturating_sub(now));
        }
        self.detail = Some("endpoints of the same host were asked often of late".to_owned());
    }

    /// Takes the answer to the attempt with that secret; `not_before` is the instant that an endpoint named which could not
    /// answer. Returns whether it meant anything: it does not after a callback granted, unless it refuses, or when another
    /// handshake took the place of this one.
    pub fn answered(&mut self, secret: &str, answer: Answer, not_before: u64, rules: &Rules, now: u64) -> bool {
        let Some(current) = self.handshake.as_mut().filter(|current| current.knows(secret)) else {
            return false;
        };
        // A callback came first.
        let overtaken = current.next_at.is_none();
        match answer {
            Answer::Granted { .. } | Answer::Later | Answer::Unsupported(_) | Answer::Again { .. } if overtaken => {
                return false;
            }
            Answer::Granted { rate, rate_missing } => {
                let detail = rate_missing.then(|| "the endpoint did not say a rate".to_owned());
                self.handshake = None;
                self.grant(rate, Via::Options, detail, rules, now);
            }
            Answer::Refused(detail) => {
                self.handshake = None;
                self.turn(State::Denied, now, Some(detail));
            }
            Answer::Unsupported(detail) => {
                current.next_at = None;
                if self.state == State::Pending {
                    self.turn(State::Unsupported, now, Some(detail));
                } else {
                    self.detail = Some(detail);
                }
            }
            Answer::Later => {
                current.next_at = None;
                self.detail = Some("the endpoint may agree through the callback".to_owned());
            }
            Answer::Again { detail, .. } => {
                let next = now + wait(current.attempts, rules);
                current.next_at = Some(next.max(not_before));
                self.detail = Some(detail);
            }
        }
        true
    }

    /// Somebody who knows the secret grants, at the requested rate if he says none. False when no handshake of ours has it.
    /// Repeating it is harmless and may change the rate (WH-4.1-23).
    pub fn called_back(&mut self, secret: &str, rate: Option<Rate>, via: Via, rules: &Rules, now: u64) -> bool {
        if !self.knows(secret, now) {
            return false;
        }
        let mut is_older = false;
        if let Some(current) = &mut self.handshake {
            current.next_at = None;
            // What stands was granted before this was asked: it is granted anew, even if in the same words.
            is_older = self.granted_at < Some(current.begun_at);
        }
        // WH-4.1-22
        let asked = self.requested_rate.unwrap_or(rules.request_rate);
        let rate = rate.unwrap_or(Rate::PerMinute(asked));
        if is_older || self.via != Some(via) || self.allowed_rate != Some(rate) || self.state != State::Granted {
            self.grant(rate, via, None, rules, now);
        }
        true
    }

    /// The operator knows that the endpoint agrees.
    pub fn grant_by_hand(&mut self, rate: Rate, rules: &Rules, now: u64) {
        self.handshake = None;
        self.grant(rate, Via::Operator, None, rules, now);
    }

    /// The operator takes the consent back, or knows that there is none.
    pub fn revoke(&mut self, reason: Option<String>, now: u64) {
        self.handshake = None;
        self.turn(State::Denied, now, reason);
        self.via = Some(Via::Operator);
    }

    fn grant(&mut self, rate: Rate, via: Via, detail: Option<String>, rules: &Rules, now: u64) {
        self.turn(State::Granted, now, detail);
        self.allowed_rate = Some(rate);
        self.via = Some(via);
        self.granted_at = Some(now);
        self.expires_at = (rules.ttl_ms > 0).then(|| now + rules.ttl_ms);
    }

    fn turn(&mut self, state: State, now: u64, detail: Option<String>) {
        if self.state != state {
            self.since = now;
        }
        self.state = state;
        self.detail = detail;
        if state != State::Granted {
            self.allowed_rate = None;
            self.granted_at = None;
            self.expires_at = None;
            self.via = (state != State::Expired).then_some(Via::Options);
        }
    }
}

impl Handshake {
    fn knows(&self, secret: &str) -> bool {
        use subtle::ConstantTimeEq;
        let known = self
            .secrets
            .iter()
            .map(|known| known.as_bytes().ct_eq(secret.as_bytes()));
        known.fold(subtle::Choice::from(0), |found, same| found | same).into()
    }
}

fn handshake(rules: &Rules, now: u64) -> Handshake {
    Handshake {
        secrets: Vec::new(),
        begun_at: now,
        asked_at: None,
        attempts: 0,
        next_at: Some(now),
        until: now + rules.window_ms,
    }
}

fn wait(attempts: u32, rules: &Rules) -> u64 {
    let step = (attempts.max(1) as usize - 1).min(RETRY_STEPS.len() - 1);
    RETRY_STEPS.get(step).map_or(0, |times| times * rules.retry_ms)
}

#[cfg(test)]
#[path = "grant_tests.rs"]
mod tests;
