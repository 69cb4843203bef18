//! A request to publish events in our native form: up to a thousand at once, all good or none taken.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::rule;
use crate::protocol::problem::{self, Invalid, Problem};
use crate::protocol::subject;

/// Most events in one request.
pub const MAX_EVENTS: usize = 1000;
/// Longest event id and `txn`, in characters.
pub const MAX_ID: usize = 256;

const MEMBERS: [&str; 6] = ["id", "type", "sub_id", "event", "txn", "toe"];

/// What is wrong with a publish request, and where.
pub type PublishError = Invalid;

/// The events of one request, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PublishRequest {
    pub events: Vec<NewEvent>,
}

/// One event as its publisher gives it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewEvent {
    /// The publisher's own id, which makes a repeat harmless. `None`: every request is a new event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The event type's URI; one of the supported ones.
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
}

impl PublishRequest {
    /// Reads and checks the whole request; the pointer of an error leads to the first fault (`/events/3/sub_id/email`).
    pub fn parse(value: &Value) -> Result<PublishRequest, PublishError> {
        let members = problem::object(value)?;
        problem::only_members(members, &["events"])?;
        let entries = members
            .get("events")
            .ok_or_else(|| Invalid::at("events", Problem::Missing))?;
        let events = events(entries).map_err(|found| found.under("events"))?;
        Ok(PublishRequest { events })
    }
}

fn events(value: &Value) -> Result<Vec<NewEvent>, PublishError> {
    let entries = value
        .as_array()
        .ok_or_else(|| Invalid::here(Problem::NotA("an array")))?;
    match entries.len() {
        0 => Err(Invalid::here(Problem::Empty)),
        1..=MAX_EVENTS => entries
            .iter()
            .enumerate()
            .map(|(at, entry)| NewEvent::parse(entry).map_err(|found| found.under(at)))
            .collect(),
        _ => Err(Invalid::here(Problem::TooMany(MAX_EVENTS))),
    }
}

impl NewEvent {
    /// Reads and checks one event. Members that we would not act on are refused.
    pub fn parse(value: &Value) -> Result<NewEvent, PublishError> {
        let members = problem::object(value)?;
        problem::only_members(members, &MEMBERS)?;
        let event_type = event_type(members)?;
        let sub_id = members
            .get("sub_id")
            .ok_or_else(|| Invalid::at("sub_id", Problem::Missing))?;
        subject::validate(sub_id)
            .and_then(|()| super::validate_subject(event_type, sub_id))
            .map_err(|found| found.under("sub_id"))?;
        let event = members
            .get("event")
            .cloned()
            .unwrap_or_else(|| Value::Object(Map::new()));
        super::validate(event_type, &event).map_err(|found| found.under("event"))?;
        Ok(NewEvent {
            id: short_text(members, "id")?,
            event_type: event_type.to_owned(),
            sub_id: sub_id.clone(),
            event,
            txn: short_text(members, "txn")?,
            toe: members
                .get("toe")
                .map(toe)
                .transpose()
                .map_err(|found| found.under("toe"))?,
        })
    }
}

fn event_type(members: &Map<String, Value>) -> Result<&'static str, PublishError> {
    let value = members
        .get("type")
        .ok_or_else(|| Invalid::at("type", Problem::Missing))?;
    let uri = value
        .as_str()
        .ok_or_else(|| Invalid::at("type", Problem::NotA("a string")))?;
    let known =
        super::find(uri).ok_or_else(|| Invalid::at("type", Problem::Refused("is not a supported event type")))?;
    Ok(known.uri)
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
