//! Event types: the registered ones with the rules for their members (CAEP 1.0, RISC 1.0, and SSF's own two).
//!
//! The rules are those for publishing. A receiver hands on what it cannot place instead of refusing it (SSF-4.2.3-2).

mod caep;
pub mod publish;
mod risc;
mod rule;

use serde_json::Value;

use super::problem::{self, Invalid, Problem};
use rule::Member;

pub use publish::{NewEvent, PublishError, PublishRequest};

/// A stream proves that it works (SSF 1.0 section 8.1.4).
pub const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
/// A stream changed its status (SSF 1.0 section 8.1.5).
pub const STREAM_UPDATED: &str = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated";

/// Which document defines an event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
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
    pub profile: Profile,
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

/// Every event type that publishers may send: CAEP's 8, then RISC's 14.
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

/// The URIs of all supported types, as `events_supported` lists them.
pub fn supported_uris() -> Vec<&'static str> {
    SUPPORTED.iter().map(|event_type| event_type.uri).collect()
}

/// Checks an event object against its type. Members that the type does not define are allowed (SSF-4.2.3-1).
pub fn validate(uri: &str, event: &Value) -> Result<(), EventError> {
    let event_type = find(uri).ok_or_else(|| Invalid::here(Problem::Refused("has an unsupported event type")))?;
    let members = problem::object(event)?;
    event_type.members.iter().try_for_each(|member| member.check(members))
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
