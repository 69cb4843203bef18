//! Events that are not acceptable: the first fault is named, and nothing of the request is stored.

use serde_json::{Value, json};

use crate::support::{CREDENTIAL_CHANGE, SESSION_REVOKED, event, pointer_of, publish};

use super::world::{Bad, World};

const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
const STREAM_UPDATED: &str = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated";

/// One event in which something is changed.
fn with(name: &str, value: Value) -> Value {
    let mut changed = event("evt-bad", "ana@example.com");
    changed[name] = value;
    json!({"events": [changed]})
}

fn without(name: &str) -> Value {
    let mut changed = event("evt-bad", "ana@example.com");
    changed.as_object_mut().expect("an object").remove(name);
    json!({"events": [changed]})
}

fn of_type(event_type: &str, content: Value) -> Value {
    let mut changed = event("evt-bad", "ana@example.com");
    changed["type"] = json!(event_type);
    changed["event"] = content;
    json!({"events": [changed]})
}

fn cases() -> Vec<(Value, &'static str)> {
    let good = event("evt-good", "ana@example.com");
    let many: Vec<Value> = (0..1001)
        .map(|number| event(&format!("evt-{number}"), "ana@example.com"))
        .collect();
    let members: serde_json::Map<String, Value> = (0..33)
        .map(|number| (format!("m{number}"), json!({"format": "opaque", "id": "x"})))
        .collect();
    let mut crowded = json!(members);
    crowded["format"] = json!("complex");
    vec![
        (json!({}), "/events"),
        (json!({"events": null}), "/events"),
        (json!({"events": good}), "/events"),
        (json!({"events": []}), "/events"),
        (json!({"events": many}), "/events"),
        (json!({"events": [good], "source": "me"}), "/source"),
        (json!({"events": [good, 1]}), "/events/1"),
        (json!({"events": [good, good, {}]}), "/events/2/type"),
        // The type: one that we know, written as it stands in the registry.
        (without("type"), "/events/0/type"),
        (with("type", json!(null)), "/events/0/type"),
        (with("type", json!("session-revoked")), "/events/0/type"),
        (with("type", json!(SESSION_REVOKED.to_uppercase())), "/events/0/type"),
        (
            with("type", json!("https://vendor.example/event/unheard-of")),
            "/events/0/type",
        ),
        // SSF's own two are the transmitter's to send.
        (of_type(VERIFICATION, json!({"state": "x"})), "/events/0/type"),
        (of_type(STREAM_UPDATED, json!({"status": "paused"})), "/events/0/type"),
        // The subject (RFC 9493): exactly the members of its format.
        (without("sub_id"), "/events/0/sub_id"),
        (with("sub_id", json!("ana@example.com")), "/events/0/sub_id"),
        (with("sub_id", json!({})), "/events/0/sub_id/format"),
        (with("sub_id", json!({"format": ""})), "/events/0/sub_id/format"),
        (with("sub_id", json!({"format": "email"})), "/events/0/sub_id/email"),
        (
            with("sub_id", json!({"format": "email", "email": "ana"})),
            "/events/0/sub_id/email",
        ),
        (
            with("sub_id", json!({"format": "email", "email": "a@b", "name": "Ana"})),
            "/events/0/sub_id/name",
        ),
        (
            with("sub_id", json!({"format": "phone_number", "phone_number": "0123"})),
            "/events/0/sub_id/phone_number",
        ),
        (
            with("sub_id", json!({"format": "iss_sub", "iss": "https://idp.example"})),
            "/events/0/sub_id/sub",
        ),
        (
            with("sub_id", json!({"format": "opaque", "id": ""})),
            "/events/0/sub_id/id",
        ),
        (with("sub_id", json!({"format": "complex"})), "/events/0/sub_id"),
        (
            with("sub_id", json!({"format": "complex", "user": "ana"})),
            "/events/0/sub_id/user",
        ),
        (
            with(
                "sub_id",
                json!({"format": "complex", "user": {"format": "complex", "user": {"format": "opaque", "id": "x"}}}),
            ),
            "/events/0/sub_id/user/format",
        ),
        (with("sub_id", crowded), "/events/0/sub_id"),
        (
            with("sub_id", json!({"format": "aliases", "identifiers": []})),
            "/events/0/sub_id/identifiers",
        ),
        (
            with(
                "sub_id",
                json!({"format": "aliases", "identifiers": [{"format": "email", "email": "ana"}]}),
            ),
            "/events/0/sub_id/identifiers/0/email",
        ),
        // The event: the members that its definition knows, as it says (CAEP 2, 3).
        (with("event", json!(null)), "/events/0/event"),
        (with("event", json!([])), "/events/0/event"),
        (
            with("event", json!({"initiating_entity": "root"})),
            "/events/0/event/initiating_entity",
        ),
        (
            with("event", json!({"event_timestamp": "now"})),
            "/events/0/event/event_timestamp",
        ),
        (
            with("event", json!({"event_timestamp": 1_795_263_000_000_u64})),
            "/events/0/event/event_timestamp",
        ),
        (
            with("event", json!({"reason_admin": "Lost laptop"})),
            "/events/0/event/reason_admin",
        ),
        (
            with("event", json!({"reason_admin": {}})),
            "/events/0/event/reason_admin",
        ),
        (
            with("event", json!({"reason_admin": {"not a tag": "x"}})),
            "/events/0/event/reason_admin/not a tag",
        ),
        (
            with("event", json!({"reason_user": {"en": 1}})),
            "/events/0/event/reason_user/en",
        ),
        (
            of_type(CREDENTIAL_CHANGE, json!({"change_type": "update"})),
            "/events/0/event/credential_type",
        ),
        (
            of_type(CREDENTIAL_CHANGE, json!({"credential_type": "pin"})),
            "/events/0/event/change_type",
        ),
        (
            of_type(
                CREDENTIAL_CHANGE,
                json!({"credential_type": "pin", "change_type": "lost"}),
            ),
            "/events/0/event/change_type",
        ),
        // What the publisher says about it.
        (with("id", json!("")), "/events/0/id"),
        (with("id", json!(1)), "/events/0/id"),
        (with("id", json!(null)), "/events/0/id"),
        (with("id", json!("i".repeat(257))), "/events/0/id"),
        (with("txn", json!("")), "/events/0/txn"),
        (with("txn", json!("t".repeat(257))), "/events/0/txn"),
        (with("toe", json!("2026-11-21T00:00:00Z")), "/events/0/toe"),
        (with("toe", json!(1_795_263_000_000_u64)), "/events/0/toe"),
        (with("toe", json!(-1)), "/events/0/toe"),
        (with("toe", json!(1.5)), "/events/0/toe"),
        (with("jti", json!("chosen")), "/events/0/jti"),
        (with("iss", json!("https://idp.example")), "/events/0/iss"),
        (with("exp", json!(1)), "/events/0/exp"),
    ]
}

#[test]
fn an_event_that_is_not_acceptable_is_named_by_its_place() {
    let world = World::start();
    for (body, pointer) in cases() {
        let text = body.to_string();
        for publisher in [&world.instance.operator(), &world.publisher.api] {
            let answer = world.problem(publisher, &Bad::json("/events", &text), 400);
            assert_eq!(pointer_of(&answer), pointer, "{}", &text[..text.len().min(500)]);
        }
    }
    world.assert_unchanged();
}

#[test]
fn as_many_events_as_allowed_are_taken_at_once() {
    let world = World::start();
    let thousand: Vec<Value> = (0..1000)
        .map(|number| {
            let mut small = json!({"type": SESSION_REVOKED, "sub_id": {"format": "opaque", "id": number.to_string()}});
            small["id"] = json!(format!("evt-{number}"));
            small
        })
        .collect();
    assert_eq!(publish(&world.publisher.api, &thousand), 2);
}
