//! A source as the target of the web hook handshake: who may push to it, what is answered to whoever asks, and what becomes
//! of callbacks (CloudEvents web hooks, sections 4.2 and 4.1.3).

mod grants;

use serde::Serialize;
use serde_json::Value;

use crate::protocol::endpoint_url::is_refused_port;
use crate::protocol::handshake::{Rate, allows, normal_origin};
use crate::protocol::json::json;
use crate::protocol::json::put;
use crate::protocol::list;
use crate::protocol::operator_request::rate;
use crate::protocol::problem::{self, Invalid, Problem};
use crate::protocol::record::Record;

pub use grants::{
    Callback, CallbackState, Grant, GrantState, MAX_WAITING, SCHEMA, Via, all, any_was_granted, callback_due, find,
    paid_until, save, save_paid_until,
};

/// Most origins and callback hosts of a source.
const MAX_ENTRIES: usize = 20;

/// How an origin that may push is told so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Record)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// In the answer.
    #[default]
    Answer,
    /// Later, by its callback.
    Callback,
    /// When the operator has approved it, whoever it is.
    Operator,
}

/// How a callback is called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Record)]
pub enum CallbackMethod {
    #[default]
    #[serde(rename = "POST")]
    Post,
    #[serde(rename = "GET")]
    Get,
}

impl CallbackMethod {
    pub fn name(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Get => "GET",
        }
    }
}

/// What the operator laid down for the handshake of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Record)]
pub struct Target {
    /// Host names in their compared form, or `*`. None: nobody is allowed, and nobody is asked who he is.
    #[serde(default)]
    pub allowed_origins: Vec<String>,
    /// Requests a minute; `None`: no limit.
    #[serde(default)]
    pub allowed_rate: Option<u32>,
    #[serde(default)]
    pub handshake: Mode,
    /// `host`, `*.suffix`, each maybe with a port.
    #[serde(default)]
    pub callback_hosts: Vec<String>,
    #[serde(default)]
    pub callback_method: CallbackMethod,
}

/// The members of a source that [`Target::set`] takes.
pub const MEMBERS: [&str; 5] = [
    "allowed_origins",
    "allowed_rate",
    "handshake",
    "callback_hosts",
    "callback_method",
];

impl Target {
    /// Sets a member, or takes it back.
    pub fn set(&mut self, name: &str, given: Option<&Value>) -> Result<(), Invalid> {
        match name {
            "allowed_origins" => {
                let read = |value: &Value| list::distinct(value, 1..=MAX_ENTRIES, &origin);
                self.allowed_origins = given.map(read).transpose()?.unwrap_or_default();
            }
            "allowed_rate" => self.allowed_rate = given.map(rate).transpose()?,
            "handshake" => {
                self.handshake = match given.map(Value::as_str) {
                    None | Some(Some("answer")) => Mode::Answer,
                    Some(Some("callback")) => Mode::Callback,
                    Some(Some("operator")) => Mode::Operator,
                    _ => return Err(Invalid::here(Problem::NotOneOf(&["answer", "callback", "operator"]))),
                }
            }
            "callback_hosts" => {
                let read = |value: &Value| list::distinct(value, 0..=MAX_ENTRIES, &callback_host);
                self.callback_hosts = given.map(read).transpose()?.unwrap_or_default();
            }
            "callback_method" => {
                self.callback_method = match given.map(Value::as_str) {
                    None | Some(Some("POST")) => CallbackMethod::Post,
                    Some(Some("GET")) => CallbackMethod::Get,
                    _ => return Err(Invalid::here(Problem::NotOneOf(&["POST", "GET"]))),
                }
            }
            _ => return Err(Invalid::here(Problem::UnknownMember)),
        }
        Ok(())
    }

    /// Adds the members to what an operator sees of the source.
    pub fn show(&self, shown: &mut Value) {
        put(shown, "allowed_origins", json!(self.allowed_origins));
        put(shown, "allowed_rate", json!(self.allowed_rate));
        put(shown, "handshake", json!(self.handshake));
        put(shown, "callback_hosts", json!(self.callback_hosts));
        put(shown, "callback_method", json!(self.callback_method));
    }

    /// Whether deliveries have to come from an origin that was granted, once one was (design 5).
    pub fn enforces(&self) -> bool {
        !self.allowed_origins.is_empty() || self.handshake == Mode::Operator
    }

    /// The rate for somebody who asks for `requested` (WH-4.2-17).
    pub fn rate_for(&self, requested: Option<Rate>) -> Rate {
        let ours = self.allowed_rate.map_or(Rate::Unlimited, Rate::PerMinute);
        requested.map_or(ours, |requested| requested.min(ours))
    }

    /// What is answered to the origin that asks; `known` is what was decided about it before.
    pub fn judge(&self, origin: &str, requested: Option<Rate>, known: Option<&Grant>) -> Judgement {
        let state = known.map(|known| known.state);
        if state == Some(GrantState::Rejected) {
            return Judgement::Refused;
        }
        // What the operator decided is his, whatever others are answered.
        if let Some(decided) = known.filter(|known| known.is_approved()) {
            let decided = decided.approved_rate.unwrap_or_else(|| self.rate_for(None));
            return Judgement::Granted(requested.map_or(decided, |requested| requested.min(decided)));
        }
        let allowed = self.allowed_origins.iter().any(|allowed| allows(allowed, origin));
        match self.handshake {
            Mode::Operator if state == Some(GrantState::Granted) => Judgement::Granted(self.rate_for(requested)),
            Mode::Operator => Judgement::Later,
            Mode::Answer if allowed => Judgement::Granted(self.rate_for(requested)),
            Mode::Callback if allowed => Judgement::CalledBack,
            Mode::Answer | Mode::Callback => Judgement::Refused,
        }
    }

    /// Whether an origin that was granted may push still.
    pub fn lets_in(&self, grant: &Grant) -> bool {
        grant.state == GrantState::Granted
            && (grant.is_approved()
                || self.handshake == Mode::Operator
                || self
                    .allowed_origins
                    .iter()
                    .any(|allowed| allows(allowed, &grant.origin)))
    }

    /// Whether the callback of this origin is to be called still: by the operator's word, or because it would be by itself if
    /// the origin asked now.
    pub fn calls_back(&self, grant: &Grant) -> bool {
        let listed = || {
            let authority = grant.callback.as_ref().map_or("", |callback| callback.host.as_str());
            let (host, port) = authority
                .rsplit_once(':')
                .and_then(|(host, port)| Some((host, port.parse().ok()?)))
                .unwrap_or((authority, 443));
            self.may_call(host, port)
        };
        match self.judge(&grant.origin, grant.requested_rate, Some(grant)) {
            Judgement::CalledBack => listed(),
            Judgement::Granted(_) => grant.is_approved(),
            Judgement::Refused | Judgement::Later => false,
        }
    }

    /// Whether a callback at this host and port may be called without asking anybody (WH-4.1-28, WH-4.1-31).
    pub fn may_call(&self, host: &str, port: u16) -> bool {
        self.callback_hosts.iter().any(|entry| {
            let (name, listed) = match entry.rsplit_once(':') {
                Some((name, listed)) => (name, listed.parse().unwrap_or(443)),
                None => (entry.as_str(), 443),
            };
            let same = match name.strip_prefix("*.") {
                Some(suffix) => host
                    .strip_suffix(suffix)
                    .is_some_and(|rest| rest.ends_with('.') && rest.len() > 1),
                None => host == name,
            };
            same && listed == port
        })
    }
}

/// What is answered to somebody who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    Refused,
    /// With grant headers.
    Granted(Rate),
    /// Without them; its callback is called.
    CalledBack,
    /// Without them; the operator decides.
    Later,
}

fn origin(value: &Value) -> Result<String, Invalid> {
    let text = problem::text(value, 254)?;
    if text == "*" {
        return Ok(text.to_owned());
    }
    normal_origin(text).ok_or_else(|| Invalid::here(Problem::NotA("the name of a host, or *")))
}

fn callback_host(value: &Value) -> Result<String, Invalid> {
    let wrong = || Invalid::here(Problem::NotA("host, *.host, host:port or *.host:port"));
    let text = problem::text(value, 262)?;
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, Some(port.parse::<u16>().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let (star, plain) = match name.strip_prefix("*.") {
        Some(plain) => ("*.", plain),
        None => ("", name),
    };
    let plain = normal_origin(plain).ok_or_else(wrong)?;
    if port.is_some_and(is_refused_port) {
        return Err(Invalid::here(Problem::Refused("has a port of another kind of service")));
    }
    Ok(match port.filter(|port| *port != 443) {
        Some(port) => format!("{star}{plain}:{port}"),
        None => format!("{star}{plain}"),
    })
}

/// What an operator does about an origin.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
pub struct Decision {
    pub origin: String,
    /// `None`: it is refused from here on.
    #[serde(default)]
    pub approved: Option<Approval>,
}

/// That an origin may push, at this rate or at what it asked for.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
pub struct Approval {
    #[serde(default)]
    pub allowed_rate: Option<Rate>,
}

impl Decision {
    /// Reads the body of a request about an origin.
    pub fn parse(value: &Value) -> Result<Self, Invalid> {
        let members = problem::object(value)?;
        problem::only_members(members, &["origin", "action", "allowed_rate"])?;
        let named = problem::optional(members, "origin", origin)?;
        let origin = named.ok_or_else(|| Invalid::at("origin", Problem::Missing))?;
        let allowed_rate = problem::optional(members, "allowed_rate", crate::protocol::operator_request::allowed_rate)?;
        let approved = match members.get("action").map(Value::as_str) {
            Some(Some("approve")) => Some(Approval { allowed_rate }),
            Some(Some("reject" | "revoke")) if allowed_rate.is_none() => None,
            Some(Some("reject" | "revoke")) => return Err(Invalid::at("allowed_rate", Problem::UnknownMember)),
            Some(_) => {
                return Err(Invalid::at(
                    "action",
                    Problem::NotOneOf(&["approve", "reject", "revoke"]),
                ));
            }
            None => return Err(Invalid::at("action", Problem::Missing)),
        };
        Ok(Self { origin, approved })
    }
}

#[cfg(test)]
mod tests;
