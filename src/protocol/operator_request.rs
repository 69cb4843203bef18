//! What an operator may change about a single stream. Not of any standard.

use serde::Serialize;
use serde_json::{Map, Value};

use super::handshake::Rate;
use super::metadata::DefaultSubjects;
use super::problem::{self, Invalid, Problem};
use super::record::Record;
use super::set::jti_bytes;
use super::status::{self, Status};
use super::tenant::default_subjects;

/// Most pushes of a stream that may be in flight at once.
pub const MAX_WINDOW: u32 = 64;

/// Most requests a minute that may be asked for or granted by number.
pub const MAX_RATE: u32 = 1_000_000;

/// What is done with an event that its receiver will never take (WH-2.2-24).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Record)]
#[serde(rename_all = "snake_case")]
pub enum OnDead {
    /// It goes to the dead letters, and the next one is sent.
    #[default]
    Skip,
    /// It stays, and the stream is paused until somebody enables it.
    Pause,
}

/// A change of a stream by the operator; what is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorRequest {
    pub status: Option<Status>,
    /// Only together with a status.
    pub reason: Option<String>,
    /// `Some(None)`: what the client's registration and the tenant say.
    pub default_subjects: Option<Option<DefaultSubjects>>,
    /// `Some(None)`: what the deployment's setting says.
    pub window: Option<Option<u32>>,
    pub on_dead: Option<OnDead>,
    /// Whether answers to polls may say `moreAvailable` (pitfall 3).
    pub more_available: Option<bool>,
    /// Requests a minute to ask the endpoint for. `Some(None)`: what the deployment's setting says.
    pub request_rate: Option<Option<u32>>,
    /// Whether pushes carry `Origin`, too (WH-2.1-7).
    pub legacy_origin_header: Option<bool>,
}

impl OperatorRequest {
    /// Reads the body of a PATCH. Members that would change nothing are refused.
    pub fn parse(value: &Value) -> Result<Self, Invalid> {
        let members = problem::object(value)?;
        let known = [
            "status",
            "reason",
            "default_subjects",
            "window",
            "on_dead",
            "more_available",
            "request_rate",
            "legacy_origin_header",
        ];
        problem::only_members(members, &known)?;
        let status = problem::optional(members, "status", Status::parse)?;
        if members.is_empty() {
            return Err(Invalid::here(Problem::Empty));
        }
        if status.is_none() && members.contains_key("reason") {
            return Err(Invalid::at("status", Problem::Missing));
        }
        Ok(Self {
            status,
            reason: status::reason(members)?,
            default_subjects: problem::optional(members, "default_subjects", choice)?,
            window: problem::optional(members, "window", window)?,
            on_dead: problem::optional(members, "on_dead", on_dead)?,
            more_available: problem::optional(members, "more_available", boolean)?,
            request_rate: problem::optional(members, "request_rate", request_rate)?,
            legacy_origin_header: problem::optional(members, "legacy_origin_header", boolean)?,
        })
    }
}

/// Which dead letters are sent again or thrown away: all, or the one of this `jti`.
pub fn chosen_letters(value: &Value) -> Result<Option<[u8; 16]>, Invalid> {
    let members = one_of(value, "all", "jti")?;
    match members.get("all") {
        Some(Value::Bool(true)) => Ok(None),
        Some(_) => Err(Invalid::at("all", Problem::NotA("true"))),
        None => jti(members).map(Some),
    }
}

/// Where a replay begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Record)]
#[serde(rename_all = "snake_case")]
pub enum ReplayFrom {
    /// With what was accepted at this instant (Unix milliseconds) or later.
    Since(u64),
    Jti([u8; 16]),
}

impl ReplayFrom {
    /// Reads the body of a request for a replay.
    pub fn parse(value: &Value) -> Result<Self, Invalid> {
        let members = one_of(value, "since", "jti")?;
        match members.get("since") {
            Some(since) => {
                let since = since.as_u64();
                let since = since.ok_or_else(|| Invalid::at("since", Problem::NotA("a time in Unix milliseconds")))?;
                Ok(Self::Since(since))
            }
            None => jti(members).map(Self::Jti),
        }
    }
}

/// An object with exactly one of these two members.
fn one_of<'a>(value: &'a Value, one: &'static str, other: &'static str) -> Result<&'a Map<String, Value>, Invalid> {
    let members = problem::object(value)?;
    problem::only_members(members, &[one, other])?;
    match (members.contains_key(one), members.contains_key(other)) {
        (true, true) => Err(Invalid::at(
            other,
            Problem::NotA("absent where another choice is given"),
        )),
        (false, false) => Err(Invalid::here(Problem::Empty)),
        _ => Ok(members),
    }
}

fn jti(members: &Map<String, Value>) -> Result<[u8; 16], Invalid> {
    let found = members.get("jti").and_then(Value::as_str).and_then(jti_bytes);
    found.ok_or_else(|| Invalid::at("jti", Problem::NotA("a jti of this service")))
}

fn boolean(value: &Value) -> Result<bool, Invalid> {
    value.as_bool().ok_or_else(|| Invalid::here(Problem::NotA("a boolean")))
}

/// A number of requests a minute that somebody may choose.
pub fn rate(value: &Value) -> Result<u32, Invalid> {
    let rate = value.as_u64().and_then(|rate| u32::try_from(rate).ok());
    rate.filter(|rate| (1..=MAX_RATE).contains(rate))
        .ok_or_else(|| Invalid::here(Problem::NotA("a whole number from 1 to 1000000")))
}

fn request_rate(value: &Value) -> Result<Option<u32>, Invalid> {
    if value.is_null() {
        return Ok(None);
    }
    rate(value).map(Some)
}

/// Longest time that an older webhook secret signs beside the new one, and how long it does if nobody says, in seconds (SW-6).
const MAX_OVERLAP_S: u64 = 604_800;
const OVERLAP_S: u64 = 86_400;

/// Reads the body of a request for another webhook secret: for how many milliseconds the older ones sign beside it.
pub fn overlap_ms(value: &Value) -> Result<u64, Invalid> {
    let members = problem::object(value)?;
    problem::only_members(members, &["overlap_s"])?;
    let seconds = problem::optional(members, "overlap_s", |value| {
        let seconds = value.as_u64().filter(|seconds| *seconds <= MAX_OVERLAP_S);
        seconds.ok_or_else(|| Invalid::here(Problem::NotA("a whole number of seconds from 0 to 604800")))
    })?;
    Ok(seconds.unwrap_or(OVERLAP_S) * 1000)
}

/// What an operator does about a consent.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[serde(rename_all = "snake_case")]
pub enum GrantAction {
    /// The endpoint is asked anew.
    Ask,
    /// At this rate, or at what was asked for.
    Grant {
        allowed_rate: Option<Rate>,
    },
    Revoke {
        reason: Option<String>,
    },
}

impl GrantAction {
    /// Reads the body of a request about a consent.
    pub fn parse(value: &Value) -> Result<Self, Invalid> {
        let members = problem::object(value)?;
        let only = |known: &[&str]| problem::only_members(members, known);
        match members.get("action").map(Value::as_str) {
            Some(Some("ask")) => only(&["action"]).map(|()| Self::Ask),
            Some(Some("grant")) => {
                only(&["action", "allowed_rate"])?;
                let allowed_rate = problem::optional(members, "allowed_rate", allowed_rate)?;
                Ok(Self::Grant { allowed_rate })
            }
            Some(Some("revoke")) => {
                only(&["action", "reason"])?;
                Ok(Self::Revoke {
                    reason: status::reason(members)?,
                })
            }
            Some(_) => Err(Invalid::at("action", Problem::NotOneOf(&["ask", "grant", "revoke"]))),
            None => Err(Invalid::at("action", Problem::Missing)),
        }
    }
}

/// A rate that somebody may grant: a number of requests a minute, or `*`.
pub fn allowed_rate(value: &Value) -> Result<Rate, Invalid> {
    if value == "*" {
        return Ok(Rate::Unlimited);
    }
    let wanted = |_| Invalid::here(Problem::NotA("a whole number from 1 to 1000000, or *"));
    rate(value).map(Rate::PerMinute).map_err(wanted)
}

fn window(value: &Value) -> Result<Option<u32>, Invalid> {
    if value.is_null() {
        return Ok(None);
    }
    let window = value.as_u64().and_then(|window| u32::try_from(window).ok());
    window
        .filter(|window| (1..=MAX_WINDOW).contains(window))
        .map(Some)
        .ok_or_else(|| Invalid::here(Problem::NotA("a whole number from 1 to 64, or null")))
}

fn on_dead(value: &Value) -> Result<OnDead, Invalid> {
    match value.as_str() {
        Some("skip") => Ok(OnDead::Skip),
        Some("pause") => Ok(OnDead::Pause),
        _ => Err(Invalid::here(Problem::NotA("skip or pause"))),
    }
}

fn choice(value: &Value) -> Result<Option<DefaultSubjects>, Invalid> {
    match value {
        Value::Null => Ok(None),
        value => default_subjects(value).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_operator_changes_what_is_named_and_nothing_else() {
        assert_eq!(
            OperatorRequest::parse(&json!({"status": "paused", "reason": "storage work"})),
            Ok(OperatorRequest {
                status: Some(Status::Paused),
                reason: Some("storage work".into()),
                default_subjects: None,
                window: None,
                on_dead: None,
                more_available: None,
                request_rate: None,
                legacy_origin_header: None,
            })
        );
        for (given, expected) in [
            (json!("ALL"), Some(DefaultSubjects::All)),
            (json!("NONE"), Some(DefaultSubjects::None)),
            (Value::Null, None),
        ] {
            let parsed = OperatorRequest::parse(&json!({"default_subjects": given})).unwrap();
            assert_eq!(parsed.default_subjects, Some(expected));
        }
    }

    #[test]
    fn delivery_is_chosen_stream_by_stream() {
        let parse = |body: Value| OperatorRequest::parse(&body).unwrap();
        for (given, expected) in [(json!(1), Some(1)), (json!(64), Some(64)), (Value::Null, None)] {
            assert_eq!(parse(json!({"window": given})).window, Some(expected));
        }
        assert_eq!(parse(json!({"on_dead": "pause"})).on_dead, Some(OnDead::Pause));
        assert_eq!(parse(json!({"on_dead": "skip"})).on_dead, Some(OnDead::Skip));
        assert_eq!(parse(json!({"more_available": false})).more_available, Some(false));
    }

    #[test]
    fn letters_and_replays_are_chosen_one_way() {
        let jti = crate::protocol::set::jti_text(&[7; 16]);
        assert_eq!(chosen_letters(&json!({"all": true})), Ok(None));
        assert_eq!(chosen_letters(&json!({"jti": jti})), Ok(Some([7; 16])));
        assert_eq!(ReplayFrom::parse(&json!({"since": 5})), Ok(ReplayFrom::Since(5)));
        assert_eq!(ReplayFrom::parse(&json!({"jti": jti})), Ok(ReplayFrom::Jti([7; 16])));
        for (body, pointer) in [
            (json!([]), ""),
            (json!({}), ""),
            (json!({"all": false}), "/all"),
            (json!({"jti": "x"}), "/jti"),
            (json!({"jti": 1}), "/jti"),
            (json!({"all": true, "jti": jti}), "/jti"),
            (json!({"every": true}), "/every"),
        ] {
            assert_eq!(chosen_letters(&body).unwrap_err().pointer, pointer, "{body}");
        }
        for (body, pointer) in [
            (json!({}), ""),
            (json!({"since": -1}), "/since"),
            (json!({"since": "now"}), "/since"),
            (json!({"since": 1, "jti": jti}), "/jti"),
            (json!({"all": true}), "/all"),
        ] {
            assert_eq!(ReplayFrom::parse(&body).unwrap_err().pointer, pointer, "{body}");
        }
    }

    #[test]
    fn faults_are_found_and_placed() {
        for (body, pointer) in [
            (json!([]), ""),
            (json!({}), ""),
            (json!({"status": "on"}), "/status"),
            (json!({"status": null}), "/status"),
            (json!({"reason": "why"}), "/status"),
            (json!({"status": "paused", "reason": 1}), "/reason"),
            (
                json!({"status": "paused", "reason": "x".repeat(status::MAX_REASON + 1)}),
                "/reason",
            ),
            (json!({"default_subjects": "all"}), "/default_subjects"),
            (json!({"window": 0}), "/window"),
            (json!({"window": 65}), "/window"),
            (json!({"window": "6"}), "/window"),
            (json!({"on_dead": "stop"}), "/on_dead"),
            (json!({"on_dead": null}), "/on_dead"),
            (json!({"more_available": 1}), "/more_available"),
            (json!({"request_rate": 0}), "/request_rate"),
            (json!({"request_rate": "*"}), "/request_rate"),
            (json!({"request_rate": 1_000_001}), "/request_rate"),
            (json!({"legacy_origin_header": null}), "/legacy_origin_header"),
            (json!({"description": "x"}), "/description"),
        ] {
            assert_eq!(OperatorRequest::parse(&body).unwrap_err().pointer, pointer, "{body}");
        }
    }

    #[test]
    fn a_consent_is_asked_for_granted_or_revoked() {
        for (body, action) in [
            (json!({"action": "ask"}), GrantAction::Ask),
            (json!({"action": "grant"}), GrantAction::Grant { allowed_rate: None }),
            (
                json!({"action": "grant", "allowed_rate": 300}),
                GrantAction::Grant {
                    allowed_rate: Some(Rate::PerMinute(300)),
                },
            ),
            (
                json!({"action": "grant", "allowed_rate": "*"}),
                GrantAction::Grant {
                    allowed_rate: Some(Rate::Unlimited),
                },
            ),
            (
                json!({"action": "revoke", "reason": "a complaint"}),
                GrantAction::Revoke {
                    reason: Some("a complaint".into()),
                },
            ),
        ] {
            assert_eq!(GrantAction::parse(&body), Ok(action), "{body}");
        }
        for (body, pointer) in [
            (json!([]), ""),
            (json!({}), "/action"),
            (json!({"action": "allow"}), "/action"),
            (json!({"action": 1}), "/action"),
            (json!({"action": "ask", "reason": "why"}), "/reason"),
            (json!({"action": "grant", "allowed_rate": 0}), "/allowed_rate"),
            (json!({"action": "grant", "allowed_rate": "60"}), "/allowed_rate"),
            (json!({"action": "revoke", "reason": 1}), "/reason"),
        ] {
            assert_eq!(GrantAction::parse(&body).unwrap_err().pointer, pointer, "{body}");
        }
    }
}
