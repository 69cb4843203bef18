//! Poll delivery (RFC 8936): the request of a polling receiver and the answer with its SETs.

use serde_json::Value;

use super::json::{self, JsonError};
use super::problem::{self, Invalid, Problem};
use super::push::ErrorBody;

/// Most entries of `ack`, and of `setErrs`, in one request; no answer of ours holds more SETs than this (POLL-R-7).
pub const MAX_ENTRIES: usize = 1000;

/// A poll request (RFC 8936 2.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PollRequest {
    /// At most this many SETs are wanted; `Some(0)` only acknowledges; `None` leaves it to us.
    pub max_events: Option<u32>,
    /// True: answer at once even with nothing (short poll).
    pub return_immediately: bool,
    /// The `jti`s that the receiver has taken over.
    pub ack: Vec<String>,
    /// The `jti`s that the receiver refused, with its reasons.
    pub set_errs: Vec<(String, ErrorBody)>,
}

/// Why a poll request is answered 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PollError {
    #[error("the body is not acceptable JSON: {0}")]
    Json(JsonError),
    #[error("{0}")]
    Member(#[from] Invalid),
}

impl PollRequest {
    /// Reads a request body as POLL-R-8 says: an empty one is `{}`, unknown members are ignored, wrong types refused.
    pub fn parse(bytes: &[u8]) -> Result<PollRequest, PollError> {
        if bytes.trim_ascii().is_empty() {
            return Ok(PollRequest::default());
        }
        let body = json::parse_strict(bytes, 8).map_err(PollError::Json)?;
        let members = problem::object(&body)?;
        Ok(PollRequest {
            max_events: problem::optional(members, "maxEvents", max_events)?,
            return_immediately: problem::optional(members, "returnImmediately", boolean)?.unwrap_or(false),
            ack: problem::optional(members, "ack", ack)?.unwrap_or_default(),
            set_errs: problem::optional(members, "setErrs", set_errs)?.unwrap_or_default(),
        })
    }
}

/// The answer: compact SETs under their `jti` (RFC 8936 2.3). `moreAvailable` is left out when false, because clients
/// exist that cannot read it at all (pitfall 3).
///
/// As text, since it has them in the order given, oldest first: a receiver that reads it as it stands takes them in that order.
pub fn response(sets: &[(String, String)], more: bool) -> String {
    let mut text = br#"{"sets":{"#.to_vec();
    for (at, (jti, set)) in sets.iter().enumerate() {
        json::append(&mut text, if at > 0 { b"," } else { b"" }, jti);
        json::append(&mut text, b":", set);
    }
    text.extend_from_slice(if more { br#"},"moreAvailable":true}"# } else { b"}}" });
    String::from_utf8(text).unwrap_or_default()
}

/// A whole number from 0; one beyond our range asks for more than there can be, which is no reason to refuse.
fn max_events(value: &Value) -> Result<u32, Invalid> {
    let number = value
        .as_u64()
        .ok_or_else(|| Invalid::here(Problem::NotA("a whole number from 0")))?;
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}

fn boolean(value: &Value) -> Result<bool, Invalid> {
    value.as_bool().ok_or_else(|| Invalid::here(Problem::NotA("a boolean")))
}

fn ack(value: &Value) -> Result<Vec<String>, Invalid> {
    let entries = value
        .as_array()
        .ok_or_else(|| Invalid::here(Problem::NotA("an array")))?;
    if entries.len() > MAX_ENTRIES {
        return Err(Invalid::here(Problem::TooMany(MAX_ENTRIES)));
    }
    let jti = |(at, entry): (usize, &Value)| {
        entry
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| Invalid::at(at, Problem::NotA("a string")))
    };
    entries.iter().enumerate().map(jti).collect()
}

fn set_errs(value: &Value) -> Result<Vec<(String, ErrorBody)>, Invalid> {
    let entries = problem::object(value)?;
    if entries.len() > MAX_ENTRIES {
        return Err(Invalid::here(Problem::TooMany(MAX_ENTRIES)));
    }
    let error = |(jti, entry): (&String, &Value)| {
        ErrorBody::from_value(entry)
            .map(|body| (jti.clone(), body))
            .ok_or_else(|| Invalid::at(jti, Problem::NotA("an object with a string err")))
    };
    entries.iter().map(error).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::set::SetErr;
    use serde_json::Map;
    use serde_json::json;

    #[test]
    fn an_empty_request_is_a_long_poll_for_anything() {
        for body in [
            "",
            "  \r\n",
            "{}",
            r#"{"ack":[],"setErrs":{}}"#,
            r#"{"max_events":5,"stream_id":"s"}"#,
        ] {
            assert_eq!(
                PollRequest::parse(body.as_bytes()),
                Ok(PollRequest::default()),
                "{body}"
            );
        }
    }

    #[test]
    fn reads_every_member() {
        let body = br#"{"ack":["a","b"],"setErrs":{"c":{"err":"invalid_state","description":"d"},"e":{"err":"odd"}},
            "maxEvents":25,"returnImmediately":true,"other":null}"#;
        assert_eq!(
            PollRequest::parse(body),
            Ok(PollRequest {
                max_events: Some(25),
                return_immediately: true,
                ack: vec!["a".into(), "b".into()],
                set_errs: vec![
                    ("c".into(), ErrorBody::new(SetErr::InvalidState, "d")),
                    ("e".into(), ErrorBody::new(SetErr::Other("odd".into()), "")),
                ],
            })
        );
        for (max, expected) in [("0", 0), ("1", 1), ("4294967296", u32::MAX)] {
            let request = PollRequest::parse(format!("{{\"maxEvents\":{max}}}").as_bytes()).unwrap();
            assert_eq!(request.max_events, Some(expected));
        }
    }

    #[test]
    fn refuses_wrong_types_with_their_place() {
        // POLL-R-8
        for (body, pointer) in [
            (r#"[]"#, ""),
            (r#"{"maxEvents":-1}"#, "/maxEvents"),
            (r#"{"maxEvents":1.5}"#, "/maxEvents"),
            (r#"{"maxEvents":"1"}"#, "/maxEvents"),
            (r#"{"maxEvents":null}"#, "/maxEvents"),
            (r#"{"returnImmediately":"true"}"#, "/returnImmediately"),
            (r#"{"ack":"a"}"#, "/ack"),
            (r#"{"ack":["a",1]}"#, "/ack/1"),
            (r#"{"setErrs":[]}"#, "/setErrs"),
            (r#"{"setErrs":{"a/b":"invalid_key"}}"#, "/setErrs/a~1b"),
            (r#"{"setErrs":{"a":{"description":"no code"}}}"#, "/setErrs/a"),
        ] {
            match PollRequest::parse(body.as_bytes()) {
                Err(PollError::Member(found)) => assert_eq!(found.pointer, pointer, "{body}"),
                other => panic!("{body}: {other:?}"),
            }
        }
        for body in [r#"{"ack":[],"ack":["a"]}"#, "{", "x"] {
            assert!(
                matches!(PollRequest::parse(body.as_bytes()), Err(PollError::Json(_))),
                "{body}"
            );
        }
    }

    #[test]
    fn acks_and_errors_are_capped() {
        for (entries, accepted) in [(MAX_ENTRIES, true), (MAX_ENTRIES + 1, false)] {
            let acks: Vec<String> = (0..entries).map(|n| n.to_string()).collect();
            let errors: Map<String, Value> = acks.iter().map(|jti| (jti.clone(), json!({"err": "x"}))).collect();
            assert_eq!(
                PollRequest::parse(json!({"ack": acks}).to_string().as_bytes()).is_ok(),
                accepted
            );
            assert_eq!(
                PollRequest::parse(json!({"setErrs": errors}).to_string().as_bytes()).is_ok(),
                accepted
            );
        }
    }

    #[test]
    fn more_available_is_absent_when_false() {
        let sets = [("a".to_owned(), "x.y.z".to_owned())];
        assert_eq!(response(&sets, true), r#"{"sets":{"a":"x.y.z"},"moreAvailable":true}"#);
        assert_eq!(response(&sets, false), r#"{"sets":{"a":"x.y.z"}}"#);
        assert_eq!(response(&[], false), r#"{"sets":{}}"#); // POLL-2.3-1
    }

    #[test]
    fn sets_stand_in_the_order_given() {
        let sets = ["b", "a", "\"", "c"].map(|jti| (jti.to_owned(), format!("{jti}.")));
        let text = response(&sets, false);
        assert_eq!(text, r#"{"sets":{"b":"b.","a":"a.","\"":"\".","c":"c."}}"#);
        assert!(json::read(text.as_bytes()).is_some());
    }
}
