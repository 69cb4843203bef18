//! A request to publish events in our native form: up to a thousand at once, all good or none taken.

use serde_json::{Map, Value};

use super::rule;
use crate::protocol::problem::{self, Invalid, Problem};
use crate::protocol::record::Record;
use crate::protocol::subject;

/// Most events in one request.
pub const MAX_EVENTS: usize = 1000;
/// Longest event id and `txn`, in characters.
pub const MAX_ID: usize = 256;

const MEMBERS: [&str; 6] = ["id", "type", "sub_id", "event", "txn", "toe"];

/// What is wrong with a publish request, and where.
pub type PublishError = Invalid;

/// The events of one request, in order.
#[derive(Debug, Clone, PartialEq, Record)]
pub struct PublishRequest {
    pub events: Vec<NewEvent>,
}

/// One event as its publisher gives it.
#[derive(Debug, Clone, PartialEq, Record)]
pub struct NewEvent {
    /// The publisher's own id, which makes a repeat harmless. `None`: every request is a new event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The event type's URI: a built-in one, or any other that the tenant may have registered.
    #[serde(rename = "type")]
    pub event_type: String,
    pub sub_id: Value,
    /// The event object; `{}` when not given.
    pub event: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txn: Option<String>,
    /// When it happened, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toe: Option<i64>,
    /// The trace that it belongs to (W3C Trace Context), which only a CloudEvent can name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
}

impl PublishRequest {
    /// Reads and checks the whole request; the pointer of an error leads to the first fault (`/events/3/sub_id/email`).
    pub fn parse(mut value: Value) -> Result<PublishRequest, PublishError> {
        problem::only_members(problem::object(&value)?, &["events"])?;
        let entries = value.get_mut("events").map(Value::take);
        let entries = entries.ok_or_else(|| Invalid::at("events", Problem::Missing))?;
        let events = events(entries).map_err(|found| found.under("events"))?;
        Ok(PublishRequest { events })
    }
}

fn events(value: Value) -> Result<Vec<NewEvent>, PublishError> {
    let Value::Array(entries) = value else {
        return Err(Invalid::here(Problem::NotA("an array")));
    };
    match entries.len() {
        0 => Err(Invalid::here(Problem::Empty)),
        1..=MAX_EVENTS => entries
            .into_iter()
            .enumerate()
            .map(|(at, entry)| NewEvent::take(entry).map_err(|found| found.under(at)))
            .collect(),
        _ => Err(Invalid::here(Problem::TooMany(MAX_EVENTS))),
    }
}

impl NewEvent {
    /// Reads and checks one event. Members that we would not act on are refused.
    ///
    /// An event of a type that is not built in needs a valid subject and an object; whether the tenant has such a type is for
    /// the caller to check.
    pub fn parse(value: &Value) -> Result<NewEvent, PublishError> {
        Self::take(value.clone())
    }

    fn take(value: Value) -> Result<NewEvent, PublishError> {
        let members = problem::object(&value)?;
        problem::only_members(members, &MEMBERS)?;
        let event_type = event_type(members)?.to_owned();
        let id = short_text(members, "id")?;
        let toe = members.get("toe").map(toe).transpose();
        let toe = toe.map_err(|found| found.under("toe"))?;
        let new = NewEvent::of(event_type, value)?;
        Ok(NewEvent { id, toe, ..new })
    }

    /// The event of a type, which is a legal one, with the members of `content` that say what happened to whom: `sub_id`,
    /// `event` and `txn`. What else is in there was the caller's to look at.
    pub(in crate::protocol) fn of(event_type: String, mut content: Value) -> Result<NewEvent, PublishError> {
        let members = problem::object(&content)?;
        let sub_id = members
            .get("sub_id")
            .ok_or_else(|| Invalid::at("sub_id", Problem::Missing))?;
        subject::validate(sub_id)
            .and_then(|()| super::validate_subject(&event_type, sub_id))
            .map_err(|found| found.under("sub_id"))?;
        let none = Value::Object(Map::new());
        super::validate(&event_type, members.get("event").unwrap_or(&none)).map_err(|found| found.under("event"))?;
        let mut new = NewEvent {
            id: None,
            event_type,
            sub_id: Value::Null,
            event: none,
            txn: short_text(members, "txn")?,
            toe: None,
            traceparent: None,
            tracestate: None,
        };
        // The long ones are moved: copying and dropping them was a good part of what an event cost.
        for (name, place) in [("sub_id", &mut new.sub_id), ("event", &mut new.event)] {
            if let Some(given) = content.get_mut(name) {
                *place = given.take();
            }
        }
        Ok(new)
    }
}

fn event_type(members: &Map<String, Value>) -> Result<&str, PublishError> {
    let value = members
        .get("type")
        .ok_or_else(|| Invalid::at("type", Problem::Missing))?;
    super::type_uri(value).map_err(|found| found.under("type"))
}

fn short_text(members: &Map<String, Value>, name: &str) -> Result<Option<String>, PublishError> {
    let Some(value) = members.get(name) else {
        return Ok(None);
    };
    problem::text(value, MAX_ID)
        .map(|text| Some(text.to_owned()))
        .map_err(|found| found.under(name))
}

fn toe(value: &Value) -> Result<i64, PublishError> {
    rule::seconds(value)?;
    value
        .as_i64()
        .ok_or_else(|| Invalid::here(Problem::NotA("a whole number of seconds")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::record;
    use serde_json::json;

    const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

    fn event() -> Value {
        json!({"type": REVOKED, "sub_id": {"format": "email", "email": "ana@quarry.example"}})
    }

    fn with(name: &str, value: Value) -> Value {
        let mut event = event();
        event[name] = value;
        event
    }

    fn without(name: &str) -> Value {
        let mut event = event();
        event.as_object_mut().unwrap().remove(name);
        event
    }

    #[test]
    fn a_request_is_read_whole() {
        let full = json!({
            "id": "evt-1", "type": REVOKED, "sub_id": {"format": "opaque", "id": "1"},
            "event": {"initiating_entity": "admin"}, "txn": "tx-1", "toe": 1_795_263_000,
        });
        let request = PublishRequest::parse(json!({"events": [full, event()]})).unwrap();
        assert_eq!(
            request.events,
            [
                NewEvent {
                    id: Some("evt-1".into()),
                    event_type: REVOKED.into(),
                    sub_id: json!({"format": "opaque", "id": "1"}),
                    event: json!({"initiating_entity": "admin"}),
                    txn: Some("tx-1".into()),
                    toe: Some(1_795_263_000),
                    traceparent: None,
                    tracestate: None,
                },
                NewEvent {
                    id: None,
                    event_type: REVOKED.into(),
                    sub_id: json!({"format": "email", "email": "ana@quarry.example"}),
                    event: json!({}),
                    txn: None,
                    toe: None,
                    traceparent: None,
                    tracestate: None,
                },
            ]
        );
        // What passes between our own parts is the same document.
        let passed: Value = record::read(&record::text(&request)).unwrap();
        assert_eq!(PublishRequest::parse(passed), Ok(request));
    }

    #[test]
    fn faults_are_found_and_placed() {
        use Problem::{Empty, Missing, NotA, Refused, TooLong, TooMany, UnknownMember};
        for (body, pointer, problem) in [
            (json!([]), "", NotA("an object")),
            (json!({}), "/events", Missing),
            (json!({"events": [event()], "dry_run": true}), "/dry_run", UnknownMember),
            (json!({"events": event()}), "/events", NotA("an array")),
            (json!({"events": []}), "/events", Empty),
            (json!({"events": vec![event(); 1001]}), "/events", TooMany(1000)),
            (json!({"events": [event(), 5]}), "/events/1", NotA("an object")),
        ] {
            assert_eq!(
                PublishRequest::parse(body.clone()),
                Err(Invalid {
                    pointer: pointer.into(),
                    problem
                }),
                "{body}"
            );
        }
        for (second, pointer, problem) in [
            (with("subject", json!({})), "/events/1/subject", UnknownMember), // SSF-3.1.2-2, pitfall 2
            (with("exp", json!(1)), "/events/1/exp", UnknownMember),
            (with("traceparent", json!("")), "/events/1/traceparent", UnknownMember),
            (without("type"), "/events/1/type", Missing),
            (with("type", json!(1)), "/events/1/type", NotA("a string")),
            (
                with("type", json!("session-revoked")),
                "/events/1/type",
                Refused("must be a URI with a scheme"),
            ),
            (
                with("type", json!(crate::protocol::event::VERIFICATION)),
                "/events/1/type",
                Refused("is sent by the transmitter alone"),
            ),
            (without("sub_id"), "/events/1/sub_id", Missing),
            (
                with("sub_id", json!({"format": "email"})),
                "/events/1/sub_id/email",
                Missing,
            ),
            (with("event", json!(null)), "/events/1/event", NotA("an object")),
            (
                with("event", json!({"reason_admin": "x"})),
                "/events/1/event/reason_admin",
                NotA("an object"),
            ),
            (with("id", json!("")), "/events/1/id", Empty),
            (with("id", json!(7)), "/events/1/id", NotA("a string")),
            (with("id", json!("a".repeat(257))), "/events/1/id", TooLong(256)),
            (with("txn", json!("a".repeat(257))), "/events/1/txn", TooLong(256)),
            (with("toe", json!("now")), "/events/1/toe", NotA("a number of seconds")),
            (
                with("toe", json!(1.5)),
                "/events/1/toe",
                NotA("a whole number of seconds"),
            ),
            (
                with("toe", json!(1_795_263_000_000_u64)),
                "/events/1/toe",
                Refused("must be in seconds, not milliseconds"),
            ),
        ] {
            let body = json!({"events": [event(), second]});
            assert_eq!(
                PublishRequest::parse(body.clone()),
                Err(Invalid {
                    pointer: pointer.into(),
                    problem
                }),
                "{body}"
            );
        }
    }

    #[test]
    fn a_type_may_restrict_its_subject() {
        let recycled = "https://schemas.openid.net/secevent/risc/event-type/identifier-recycled";
        let mut event = with("type", json!(recycled));
        assert!(NewEvent::parse(&event).is_ok());
        event["sub_id"] = json!({"format": "opaque", "id": "1"});
        assert_eq!(NewEvent::parse(&event).unwrap_err().pointer, "/sub_id/format");
    }

    #[test]
    fn a_type_of_somebody_elses_making_needs_a_subject_and_an_object() {
        use Problem::{Missing, NotA, UnknownMember};
        let custom = |members: Value| {
            let mut event = with("type", json!("https://events.quarry.example/badge-lost"));
            let members = members.as_object().unwrap().clone();
            event.as_object_mut().unwrap().extend(members);
            event
        };
        let event = json!({"reason_admin": "plain here", "badge": [7], "event_timestamp": null});
        for (members, expected) in [
            (json!({}), Ok(json!({}))),
            (json!({"event": event}), Ok(event)),
            (json!({"event": []}), Err(Invalid::at("event", NotA("an object")))),
            (
                json!({"sub_id": {"format": "email"}}),
                Err(Invalid::at("email", Missing).under("sub_id")),
            ),
            (json!({"subject": {}}), Err(Invalid::at("subject", UnknownMember))), // SSF-3.1.2-2
        ] {
            let body = custom(members);
            assert_eq!(NewEvent::parse(&body).map(|event| event.event), expected, "{body}");
        }
        assert!(!crate::protocol::event::is_built_in(
            "https://events.quarry.example/badge-lost"
        ));
        assert!(crate::protocol::event::is_built_in(REVOKED));
    }

    #[test]
    fn a_thousand_events_fit() {
        let body = json!({"events": vec![event(); MAX_EVENTS]});
        assert_eq!(
            PublishRequest::parse(body.clone()).map(|request| request.events.len()),
            Ok(MAX_EVENTS)
        );
    }
}
