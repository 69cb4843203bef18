//! The status of a stream (SSF 1.0 section 8.1.2), the request that changes it, and the event that announces a change
//! (section 8.1.5).

use serde_json::{Map, Value};

use super::json::json;
use super::problem::{self, Invalid, Problem};
use super::stream;
use crate::protocol::record::Record;

/// Longest reason for a status, in characters: it says why in a line, and travels in a SET.
pub const MAX_REASON: usize = 256;

/// Whether a stream sends its events, keeps them, or loses them (SSF-8.1.2.1-1 to -3). New streams are enabled
/// (SSF-8.1.1-21).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Record)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    #[default]
    Enabled,
    Paused,
    Disabled,
}

impl Status {
    /// The value of the `status` member.
    pub fn name(self) -> &'static str {
        match self {
            Status::Enabled => "enabled",
            Status::Paused => "paused",
            Status::Disabled => "disabled",
        }
    }

    /// Reads a `status` member: exactly one of the three names (SSF-8.1.2.2-4).
    pub fn parse(value: &Value) -> Result<Status, Invalid> {
        match value.as_str() {
            Some("enabled") => Ok(Status::Enabled),
            Some("paused") => Ok(Status::Paused),
            Some("disabled") => Ok(Status::Disabled),
            _ => Err(Invalid::here(Problem::NotOneOf(&["enabled", "paused", "disabled"]))),
        }
    }
}

/// A receiver's wish for the status of a stream (SSF-8.1.2.2-1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRequest {
    pub stream_id: String,
    pub status: Status,
    /// Not empty, at most [`MAX_REASON`] characters. `None` clears the earlier reason (SSF-8.1.2.2-6).
    pub reason: Option<String>,
}

impl StatusRequest {
    /// Reads the body of a request to change a status. Unknown members are ignored.
    pub fn parse(value: &Value) -> Result<StatusRequest, Invalid> {
        let members = problem::object(value)?;
        let stream_id = stream::stream_id(members)?;
        let status = problem::optional(members, "status", Status::parse)?;
        Ok(StatusRequest {
            stream_id,
            status: status.ok_or_else(|| Invalid::at("status", Problem::Missing))?,
            reason: reason(members)?,
        })
    }
}

/// Reads an optional `reason` member. An empty one says nothing and counts as absent.
pub fn reason(members: &Map<String, Value>) -> Result<Option<String>, Invalid> {
    let read = |value: &Value| match value.as_str() {
        Some("") => Ok(String::new()),
        _ => problem::text(value, MAX_REASON).map(str::to_owned),
    };
    let reason = problem::optional(members, "reason", read)?;
    Ok(reason.filter(|text| !text.is_empty()))
}

/// What the status endpoint answers, to a question as to a change (SSF-8.1.2.1-5, SSF-8.1.2.2-2).
pub fn to_json(stream_id: &str, status: Status, reason: Option<&str>) -> Value {
    let mut object = updated_event(status, reason);
    if let Some(members) = object.as_object_mut() {
        members.insert("stream_id".to_owned(), json!(stream_id));
    }
    object
}

/// The event object of stream-updated (SSF 1.0 section 8.1.5). Its subject is [`super::verification::subject`].
pub fn updated_event(status: Status, reason: Option<&str>) -> Value {
    match reason {
        Some(reason) => json!({"status": status.name(), "reason": reason}),
        None => json!({"status": status.name()}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::mutate;
    use crate::protocol::record;
    use serde_json::json;

    #[test]
    fn a_wish_is_read_with_its_reason() {
        // SSF-8.1.2.2-1, SSF-8.1.2.2-6; CIP-2.3.5-2
        for (body, status, reason) in [
            (json!({"stream_id": "st-1", "status": "enabled"}), Status::Enabled, None),
            (
                json!({"stream_id": "st-1", "status": "paused", "reason": "night shift"}),
                Status::Paused,
                Some("night shift"),
            ),
            (
                json!({"stream_id": "st-1", "status": "disabled", "reason": ""}),
                Status::Disabled,
                None,
            ),
            (
                json!({"stream_id": "st-1", "status": "paused", "subject": {"format": "x"}}),
                Status::Paused,
                None,
            ),
        ] {
            assert_eq!(
                StatusRequest::parse(&body),
                Ok(StatusRequest {
                    stream_id: "st-1".into(),
                    status,
                    reason: reason.map(String::from)
                }),
                "{body}"
            );
        }
        let longest = "é".repeat(MAX_REASON);
        let body = json!({"stream_id": "st-1", "status": "paused", "reason": longest});
        assert_eq!(
            StatusRequest::parse(&body).map(|request| request.reason),
            Ok(Some(longest))
        );
    }

    #[test]
    fn faults_are_found_and_placed() {
        use Problem::{Empty, Missing, NotA, NotOneOf, TooLong};
        const NAMES: &[&str] = &["enabled", "paused", "disabled"];
        for (body, pointer, problem) in [
            (json!([]), "", NotA("an object")),
            (json!({"status": "paused"}), "/stream_id", Missing),
            (
                json!({"stream_id": 1, "status": "paused"}),
                "/stream_id",
                NotA("a string"),
            ),
            (json!({"stream_id": "", "status": "paused"}), "/stream_id", Empty),
            (json!({"stream_id": "st-1"}), "/status", Missing),
            (
                json!({"stream_id": "st-1", "status": "Paused"}),
                "/status",
                NotOneOf(NAMES),
            ), // SSF-8.1.2.2-4
            (json!({"stream_id": "st-1", "status": null}), "/status", NotOneOf(NAMES)),
            (
                json!({"stream_id": "st-1", "status": ["paused"]}),
                "/status",
                NotOneOf(NAMES),
            ),
            (
                json!({"stream_id": "st-1", "status": "paused", "reason": null}),
                "/reason",
                NotA("a string"),
            ),
            (
                json!({"stream_id": "st-1", "status": "paused", "reason": {"en": "x"}}),
                "/reason",
                NotA("a string"),
            ), // SSF-8.1.5-7: a plain string here
            (
                json!({"stream_id": "st-1", "status": "paused", "reason": "é".repeat(257)}),
                "/reason",
                TooLong(256),
            ),
        ] {
            let pointer = pointer.to_owned();
            assert_eq!(StatusRequest::parse(&body), Err(Invalid { pointer, problem }), "{body}");
        }
    }

    #[test]
    fn answer_and_event_say_the_same() {
        // SSF-8.1.2.1-5, SSF-8.1.2.1-11, SSF-8.1.5
        for (status, name) in [
            (Status::Enabled, "enabled"),
            (Status::Paused, "paused"),
            (Status::Disabled, "disabled"),
        ] {
            assert_eq!(
                to_json("st-1", status, Some("why")),
                json!({"stream_id": "st-1", "status": name, "reason": "why"})
            );
            assert_eq!(
                to_json("st-1", status, None),
                json!({"stream_id": "st-1", "status": name})
            );
            assert_eq!(
                updated_event(status, Some("why")),
                json!({"status": name, "reason": "why"})
            );
            assert_eq!(updated_event(status, None), json!({"status": name}));
            // What is stored is the same name.
            assert_eq!(record::text(&status), format!("\"{name}\""));
            assert_eq!(Status::from_json(json!(name)).unwrap(), status);
        }
        assert_eq!(Status::default(), Status::Enabled); // SSF-8.1.1-21
    }

    /// What is accepted, said back, is accepted again with the same meaning.
    #[test]
    fn no_body_upsets_the_parser() {
        let seed = r#"{"stream_id":"st-1","status":"paused","reason":"night shift"}"#;
        let mut accepted = 0;
        for bytes in mutate::variants(&[seed], 10_000) {
            let Ok(body) = serde_json::from_slice::<Value>(&bytes) else {
                continue;
            };
            let Ok(request) = StatusRequest::parse(&body) else {
                continue;
            };
            accepted += 1;
            let said = to_json(&request.stream_id, request.status, request.reason.as_deref());
            assert_eq!(StatusRequest::parse(&said), Ok(request), "{body}");
        }
        assert!(accepted > 500, "the seed is no longer near the rules: {accepted}");
    }
}
