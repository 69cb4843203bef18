//! Event types: the registered ones with the rules for their members (CAEP 1.0, RISC 1.0, and SSF's own two).
//!
//! The rules are those for publishing. A receiver hands on what it cannot place instead of refusing it (SSF-4.2.3-2). Event
//! types beyond the built-in ones are named by tenants; of their events only the outline is known.

mod caep;
pub mod profile;
pub mod publish;
mod risc;
mod rule;

use serde_json::Value;

use super::list;
use super::problem::{self, Invalid, Problem};
use super::subject;
use rule::Member;

pub use publish::{NewEvent, PublishError, PublishRequest};

/// A stream proves that it works (SSF 1.0 section 8.1.4).
pub const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
/// A stream changed its status (SSF 1.0 section 8.1.5).
pub const STREAM_UPDATED: &str = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated";

/// Longest URI of an event type, in characters.
pub const MAX_TYPE: usize = 2048;
/// Most event types that a tenant supports or a client may have.
pub const MAX_TYPES: usize = 256;

/// Which document defines an event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Caep,
    Risc,
}

/// A registered event type that can be published.
#[derive(Debug)]
pub struct EventType {
    /// The key under `events`, compared exactly.
    pub uri: &'static str,
    /// The last segment of the URI.
    pub name: &'static str,
    pub family: Family,
    members: &'static [Member],
    subject: SubjectRule,
}

/// What the subject of an event type has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SubjectRule {
    Any,
    /// An e-mail address or phone number (RISC-2.5-2, RISC-2.6-2).
    Identifier,
}

/// What is wrong with an event object, and where in it.
pub type EventError = Invalid;

/// The built-in event types: CAEP's 8, then RISC's 14. They are what publishers may send unless the tenant chose others.
pub const SUPPORTED: &[EventType] = &{
    let [c0, c1, c2, c3, c4, c5, c6, c7] = caep::TYPES;
    let [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, r13] = risc::TYPES;
    [
        c0, c1, c2, c3, c4, c5, c6, c7, r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, r13,
    ]
};

/// The event type of exactly this URI. RISC's `sessions-revoked` is not CAEP's `session-revoked`.
pub fn find(uri: &str) -> Option<&'static EventType> {
    SUPPORTED.iter().find(|event_type| event_type.uri == uri)
}

/// Whether we know the rules of this event type.
pub fn is_built_in(uri: &str) -> bool {
    find(uri).is_some()
}

/// The URIs of all built-in types, as `events_supported` lists them.
pub fn supported_uris() -> Vec<&'static str> {
    SUPPORTED.iter().map(|event_type| event_type.uri).collect()
}

/// Reads the name of an event type that publishers can send: a URI with a scheme of at most [`MAX_TYPE`] characters. SSF's
/// own two are the transmitter's to send, and flow whatever a list says (SSF-8.1.1-19).
pub fn type_uri(value: &Value) -> Result<&str, EventError> {
    let uri = problem::text(value, MAX_TYPE)?;
    if [VERIFICATION, STREAM_UPDATED].contains(&uri) {
        return Err(Invalid::here(Problem::Refused("is sent by the transmitter alone")));
    }
    if !subject::is_uri(uri) {
        return Err(Invalid::here(Problem::Refused("must be a URI with a scheme")));
    }
    Ok(uri)
}

/// Reads a list of such names: 1 to [`MAX_TYPES`], none twice.
pub fn type_list(value: &Value) -> Result<Vec<String>, EventError> {
    list::distinct(value, 1..=MAX_TYPES, &|entry| type_uri(entry).map(str::to_owned))
}

/// Checks an event object: against its type's rules if that is built in, else that it is an object. Members that a type does
/// not define are allowed (SSF-4.2.3-1).
pub fn validate(uri: &str, event: &Value) -> Result<(), EventError> {
    let members = problem::object(event)?;
    let rules = find(uri).map_or(&[][..], |event_type| event_type.members);
    rules.iter().try_for_each(|member| member.check(members))
}

/// Checks what an event type demands of its subject, on top of [`super::subject::validate`].
pub fn validate_subject(uri: &str, sub_id: &Value) -> Result<(), EventError> {
    let format = sub_id.get("format").and_then(Value::as_str);
    match find(uri).map_or(SubjectRule::Any, |event_type| event_type.subject) {
        SubjectRule::Identifier if !matches!(format, Some("email" | "phone_number")) => {
            Err(Invalid::at("format", Problem::NotOneOf(&["email", "phone_number"])))
        }
        SubjectRule::Identifier | SubjectRule::Any => Ok(()),
    }
}

#[cfg(test)]
mod tests;
