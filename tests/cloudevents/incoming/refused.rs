//! Events that are refused, with the place of their fault.

use serde_json::{Value, json};

use crate::support::pointer_of;

use super::super::{cloud_event, structured, with, without};
use super::{World, required};

/// CE-1-1, CE-1-3, CE-1-5, CE-1-6
#[test]
fn attributes_that_are_wrong_are_named() {
    let world = World::start();
    let operator = world.tenant.operator();
    let good = cloud_event("evt-1", "ana@example.com");
    let mut cases: Vec<(Value, String)> = Vec::new();
    for name in ["specversion", "id", "source", "type"] {
        cases.push((without(&good, name), format!("/{name}")));
        for value in [json!(null), json!(""), json!(5), json!(["x"]), json!({}), json!(true)] {
            cases.push((with(&good, name, value), format!("/{name}")));
        }
        for text in ["a\u{0}b", "a\nb", "\u{7f}", "\u{85}", "\u{ffff}"] {
            cases.push((with(&good, name, text), format!("/{name}")));
        }
        cases.push((with(&good, name, "x".repeat(5000)), format!("/{name}")));
    }
    for (name, value) in [
        ("specversion", json!("0.3")),
        ("specversion", json!("1")),
        ("specversion", json!(1.0)),
        ("source", json!("not a reference")),
        ("source", json!("https://idp.example.com/<>")),
        ("type", json!("session-revoked")),
        ("type", json!("https://vendor.example/unheard-of")),
        (
            "type",
            json!("https://schemas.openid.net/secevent/ssf/event-type/verification"),
        ),
        ("time", json!("")),
        ("time", json!("yesterday")),
        ("time", json!("2026-11-21")),
        ("time", json!("2026-11-21T12:10:00")),
        ("time", json!("2026-11-21 12:10:00Z")),
        ("time", json!("2026-02-29T12:10:00Z")),
        ("time", json!("2026-13-01T12:10:00Z")),
        ("time", json!("2026-11-21T24:10:00Z")),
        ("time", json!("2026-11-21T12:60:00Z")),
        ("time", json!("2026-11-21T12:10:00+25:00")),
        ("time", json!("2026-11-21T12:10:00.Z")),
        ("time", json!(1_795_263_000)),
        ("traceparent", json!(5)),
        ("traceparent", json!("")),
        ("tracestate", json!({})),
    ] {
        cases.push((with(&good, name, value), format!("/{name}")));
    }
    for (event, pointer) in cases {
        let text = event.to_string();
        let refused = structured(&operator, &event, 400);
        assert_eq!(pointer_of(&refused), pointer, "{}", &text[..text.len().min(400)]);
    }
    assert_eq!(world.queued(), 0);
}

/// The data is checked as an event in our own form is.
#[test]
fn data_that_is_wrong_is_named() {
    let world = World::start();
    let operator = world.tenant.operator();
    let good = cloud_event("evt-1", "ana@example.com");
    let sub_id = json!({"format": "email", "email": "ana@example.com"});
    for (data, pointer) in [
        (json!({}), "/data/sub_id"),
        (json!({"event": {}}), "/data/sub_id"),
        (json!({"sub_id": null}), "/data/sub_id"),
        (json!({"sub_id": "ana"}), "/data/sub_id"),
        (json!({"sub_id": {}}), "/data/sub_id/format"),
        (json!({"sub_id": {"format": "email"}}), "/data/sub_id/email"),
        (json!({"sub_id": sub_id, "event": null}), "/data/event"),
        (json!({"sub_id": sub_id, "event": []}), "/data/event"),
        (
            json!({"sub_id": sub_id, "event": {"reason_admin": "x"}}),
            "/data/event/reason_admin",
        ),
        (
            json!({"sub_id": sub_id, "event": {"event_timestamp": "now"}}),
            "/data/event/event_timestamp",
        ),
        (json!({"sub_id": sub_id, "txn": ""}), "/data/txn"),
        (json!({"sub_id": sub_id, "txn": 5}), "/data/txn"),
        (json!({"sub_id": sub_id, "txn": "x".repeat(257)}), "/data/txn"),
        (json!({"sub_id": sub_id, "subject": {}}), "/data/subject"),
        (json!({"sub_id": sub_id, "toe": 1_795_263_000}), "/data/toe"),
        (json!({"sub_id": sub_id, "id": "evt-1"}), "/data/id"),
        (json!({"events": []}), "/data/events"),
    ] {
        let event = with(&good, "data", data.clone());
        assert_eq!(pointer_of(&structured(&operator, &event, 400)), pointer, "{data}");
        let binary = world.publish(&required("x"), &data.to_string(), 400);
        assert_eq!(pointer_of(&binary), pointer, "{data}");
    }
    assert_eq!(world.queued(), 0);
    // What may be left out may be left out.
    structured(&operator, &with(&good, "data", json!({"sub_id": sub_id})), 202);
    let sets = world.waiting();
    assert_eq!(sets.len(), 1);
    assert_ne!(sets[0].text("txn"), "");
}
