//! CloudEvents 1.0, as publishers send events and as push receivers may want theirs: the JSON format and the three content
//! modes of the HTTP binding. Only what can become a security event is read, so the payload is always JSON.
//!
//! The handshake that comes before delivery is not here, and neither is the signature (see [`super::webhook`]).

mod attribute;
mod header;
mod outgoing;
mod read;
mod timestamp;

use serde::Serialize;
use serde_json::Value;

use super::event;
use super::event::publish::NewEvent;
use super::json::content_type_is;
use super::problem::{self, Invalid, Problem};
use crate::protocol::record::Record;

pub use read::attributes_in;
pub use timestamp::parse as parse_time;

pub use outgoing::{Headers, Outgoing, to_batch, to_binary};

/// The media type of one event as a JSON document (CE-4-1).
pub const STRUCTURED: &str = "application/cloudevents+json";
/// The media type of an array of such documents (CE-3.3-1).
pub const BATCHED: &str = "application/cloudevents-batch+json";

/// What all media types of whole events begin with, batched ones, too.
const PREFIX: &str = "application/cloudevents";

/// How an HTTP message holds CloudEvents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Record)]
#[serde(rename_all = "lowercase")]
pub enum ContentMode {
    /// The body is the event.
    Structured,
    /// The body is the event's data, the headers are its attributes.
    Binary,
    /// The body is an array of events.
    Batched,
}

/// The body is a CloudEvent, but not in a format that is read here: to be answered with 415 (CE-3-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body must be JSON in UTF-8: {STRUCTURED}, {BATCHED}, or the data of an event with ce- headers")]
pub struct UnsupportedFormat;

/// How a request holds CloudEvents, from its `Content-Type` and from whether it has a header `ce-specversion`; `None` when it
/// holds none (CE-3-3).
pub fn is_cloudevent(
    content_type: Option<&str>,
    has_specversion_header: bool,
) -> Result<Option<ContentMode>, UnsupportedFormat> {
    let starts_so = |given: &str| {
        let start = given.trim_ascii_start().get(..PREFIX.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
    };
    let mode = if content_type.is_some_and(starts_so) {
        if content_type_is(content_type, BATCHED) {
            ContentMode::Batched
        } else if content_type_is(content_type, STRUCTURED) {
            ContentMode::Structured
        } else {
            return Err(UnsupportedFormat);
        }
    } else if !has_specversion_header {
        return Ok(None);
    } else if content_type.is_none_or(attribute::is_json) {
        ContentMode::Binary
    } else {
        return Err(UnsupportedFormat);
    };
    match content_type.is_none_or(attribute::is_utf8) {
        true => Ok(Some(mode)),
        false => Err(UnsupportedFormat),
    }
}

/// One event as somebody sent it, its attributes checked, its data not yet. Extensions that we would not pass on are dropped.
#[derive(Debug, Clone, PartialEq)]
pub struct CloudEvent {
    pub id: String,
    /// With `id` the identity of the event, as far as its sender is concerned (CE-1-2).
    pub source: String,
    pub event_type: String,
    /// Seconds since 1970, a fraction cut off.
    pub time: Option<i64>,
    /// The trace that the event belongs to (W3C Trace Context).
    pub traceparent: Option<String>,
    pub tracestate: Option<String>,
    /// Its number, as its sender counts (CE-1-10).
    pub sequence: Option<String>,
    /// `null` is data, too (CE-4-8).
    pub data: Option<Value>,
    /// Where the attributes were, for the pointers of later findings.
    in_headers: bool,
}

impl CloudEvent {
    /// What a publisher wants to be told of: the event and the `source` whose `id` it has. The data is an object with
    /// `sub_id`, and maybe `event` and `txn`; the rules for these are those of the native form.
    pub fn into_event(self) -> Result<(String, NewEvent), Invalid> {
        let place = |name| attribute::pointer(name, self.in_headers);
        let event_type = Value::String(self.event_type);
        let event_type = event::type_uri(&event_type).map_err(|found| found.under(place("type")))?;
        if self.time.is_some_and(|time| time < 0) {
            return Err(Invalid::at(place("time"), Problem::Refused("must not be before 1970")));
        }
        let data = self.data.ok_or_else(|| Invalid::at("data", Problem::Missing))?;
        let new = problem::object(&data)
            .and_then(|members| problem::only_members(members, &["sub_id", "event", "txn"]))
            .and_then(|()| NewEvent::of(event_type.to_owned(), data))
            .map_err(|found| found.under("data"))?;
        let new = NewEvent {
            id: Some(self.id),
            toe: self.time,
            traceparent: self.traceparent,
            tracestate: self.tracestate,
            ..new
        };
        Ok((self.source, new))
    }
}

#[cfg(test)]
mod tests;
