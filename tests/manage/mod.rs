//! The management API of SSF 1.0 (section 8) as receivers use it, and the operator's hand on their streams: which status codes
//! come when, what changes a stream and what that does to its events, and the events that a stream sends about itself.

mod heartbeat;
mod holds;
mod inactivity;
mod matrix;
mod moves;
mod operator;
mod order;
mod rows;
mod status;
mod streams;
mod tenant;
mod update;
mod verification;
mod world;

use serde_json::{Value, json};

use crate::harness::{Recorded, ScriptedReceiver, eventually};
use crate::support::{Set, event};

pub use tenant::{Receiver, Stream, Tenant, sets};

pub const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
pub const STREAM_UPDATED: &str = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated";

/// An event about Ana, always the same subject.
pub fn about_ana(id: &str) -> Value {
    event(id, "ana@example.com")
}

/// What a SET says, in short: the publisher's id of an event, or what the stream says about itself.
#[track_caller]
pub fn brief(set: &Set) -> String {
    let events = set.claims["events"].as_object().expect("events are an object");
    assert_eq!(events.len(), 1, "SSF-4.2.1-4: {}", set.claims);
    let (event_type, event) = events.iter().next().expect("one event");
    match (event_type.as_str(), event["state"].as_str()) {
        (VERIFICATION, None) => "verification".to_owned(),
        (VERIFICATION, Some(state)) => format!("verification {state}"),
        (STREAM_UPDATED, _) => format!("now {}", event["status"].as_str().expect("a status")),
        _ => set.text("txn").trim_start_matches("txn-").to_owned(),
    }
}

#[track_caller]
pub fn briefs(sets: &[Set]) -> Vec<String> {
    sets.iter().map(brief).collect()
}

/// Waits until what a receiver has heard of its stream's status is true, and returns the briefs of its published events. What
/// it hears last is what it believes (SSF-8.1.5-7); nothing at all is fine where it made the change itself.
#[track_caller]
pub fn events_and_truth(status: &str, mut heard: impl FnMut() -> Vec<Set>) -> Vec<String> {
    eventually(&format!("its receiver believes that the stream is {status}"), || {
        let is_told = |brief: &String| brief.starts_with("now ");
        let (told, events): (Vec<String>, Vec<String>) = briefs(&heard()).into_iter().partition(is_told);
        told.last()
            .is_none_or(|last| *last == format!("now {status}"))
            .then_some(events)
    })
}

/// What was pushed to a path of the receiver so far, in its order.
#[track_caller]
pub fn pushed_to(receiver: &ScriptedReceiver, path: &str) -> Vec<Set> {
    let requests = receiver.requests();
    let here = requests.iter().filter(|request| request.target == path);
    here.map(Recorded::text).map(Set::decode).collect()
}

/// Waits until so many SETs were pushed to a path, and returns them.
#[track_caller]
pub fn wait_for_pushes(receiver: &ScriptedReceiver, path: &str, count: usize) -> Vec<Set> {
    eventually(&format!("{count} pushes to {path}"), || {
        Some(pushed_to(receiver, path)).filter(|sets| sets.len() >= count)
    })
}

/// Checks everything but the event of a SET that a stream sends about itself: envelope, subject, signature (SSF-4, SSF-8.1.4.1-1,
/// SSF-8.1.5-5). Returns the event.
#[track_caller]
pub fn control_event(compact: &str, tenant: &Tenant, stream: &Stream, event_type: &str) -> Value {
    let set = Set::verified(compact, &tenant.jwks());
    assert_eq!(set.header["typ"], json!("secevent+jwt"), "SSF-4.1.1-1");
    assert_eq!(set.claims["iss"], json!(tenant.issuer()), "SSF-4.1.6-1");
    assert_eq!(set.claims["aud"], stream.configuration["aud"]);
    assert_eq!(set.claims["sub_id"], json!({"format": "opaque", "id": stream.id}));
    assert!(
        set.claims["iat"].is_u64() && !set.text("txn").is_empty(),
        "{}",
        set.claims
    );
    for (claim, requirement) in [
        ("sub", "SSF-4.1.2-1"),
        ("exp", "SSF-4.1.7-1"),
        ("toe", "not about a time"),
    ] {
        assert_eq!(set.claims.get(claim), None, "{requirement}");
    }
    let events = set.claims["events"].as_object().expect("events are an object");
    let types: Vec<&str> = events.keys().map(String::as_str).collect();
    assert_eq!(types, [event_type], "SSF-4.2.1-4");
    events[event_type].clone()
}
