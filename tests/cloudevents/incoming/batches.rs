//! Many events at once: all are taken, or none.

use serde_json::{Value, json};

use crate::support::pointer_of;

use super::super::{BATCHED, batched, cloud_event, send, with, without};
use super::{World, assert_accepted};

fn events(count: usize) -> Vec<Value> {
    let of = |number: usize| cloud_event(&format!("evt-{number}"), &format!("{number}@example.com"));
    (0..count).map(of).collect()
}

#[test]
fn all_events_of_a_batch_are_taken_in_their_order() {
    let world = World::start();
    assert_accepted(&batched(&world.tenant.operator(), &events(20), 202), 20, 1);
    let emails: Vec<String> = world.drain().iter().map(|set| set.email().to_owned()).collect();
    let expected: Vec<String> = (0..20).map(|number| format!("{number}@example.com")).collect();
    assert_eq!(emails, expected);
}

/// CE-3.3-1: an empty batch is legal, and there is nothing to say about it.
#[test]
fn an_empty_batch_is_answered_with_nothing() {
    let world = World::start();
    for body in ["[]", " [ ]\n"] {
        let answer = world.publish(&[("content-type", BATCHED)], body, 204);
        assert_eq!(answer.text(), "");
    }
    assert_eq!(world.queued(), 0);
}

/// CE-3.3-2: the pointer says which one is bad.
#[test]
fn one_bad_event_refuses_the_batch() {
    let world = World::start();
    let operator = world.tenant.operator();
    let good = cloud_event("evt-x", "bob@example.com");
    for (bad, pointer) in [
        (without(&good, "id"), "/3/id"),
        (with(&good, "specversion", "0.3"), "/3/specversion"),
        (with(&good, "data", json!({})), "/3/data/sub_id"),
        (
            with(&good, "data", json!({"sub_id": {"format": "email"}})),
            "/3/data/sub_id/email",
        ),
        (with(&good, "time", "yesterday"), "/3/time"),
        (with(&good, "type", "https://vendor.example/unheard-of"), "/3/type"),
        (json!("no object"), "/3"),
        (json!([]), "/3"),
        (Value::Null, "/3"),
    ] {
        let mut all = events(5);
        all[3] = bad.clone();
        assert_eq!(pointer_of(&batched(&operator, &all, 400)), pointer, "{bad}");
        assert_eq!(world.queued(), 0, "{bad}");
    }
    assert_accepted(&batched(&operator, &events(5), 202), 5, 1);
}

#[test]
fn a_batch_has_a_bound() {
    let world = World::start();
    let operator = world.tenant.operator();
    let small = |number: usize| {
        json!({
            "specversion": "1.0", "id": number.to_string(), "source": "s", "type": crate::support::SESSION_REVOKED,
            "data": {"sub_id": {"format": "opaque", "id": number.to_string()}},
        })
    };
    let all: Vec<Value> = (0..1001).map(small).collect();
    assert_eq!(pointer_of(&batched(&operator, &all, 400)), "");
    assert_eq!(world.queued(), 0);
    assert_accepted(&batched(&operator, &all[..1000], 202), 1000, 1);
    assert_eq!(world.queued(), 1000);
}

#[test]
fn what_is_no_array_is_no_batch() {
    let world = World::start();
    let operator = world.tenant.operator();
    for body in [
        json!({}),
        cloud_event("evt-1", "ana@example.com"),
        json!("x"),
        Value::Null,
    ] {
        assert_eq!(pointer_of(&send(&operator, BATCHED, &body, 400)), "", "{body}");
    }
    let array = json!([cloud_event("evt-1", "ana@example.com")]);
    assert_eq!(pointer_of(&send(&operator, super::super::STRUCTURED, &array, 400)), "");
    assert_eq!(world.queued(), 0);
}

/// The same event twice in a batch is one event.
#[test]
fn a_repeat_within_a_batch_is_harmless() {
    let world = World::start();
    let operator = world.tenant.operator();
    let event = cloud_event("evt-1", "ana@example.com");
    assert_accepted(&batched(&operator, &[event.clone(), event.clone()], 202), 2, 1);
    assert_eq!(world.queued(), 1);
    let other = with(&event, "data", cloud_event("evt-1", "bob@example.com")["data"].clone());
    let fresh = cloud_event("evt-2", "ana@example.com");
    let refused = batched(&operator, &[fresh.clone(), event.clone(), other.clone()], 409);
    assert_eq!(pointer_of(&refused), "/2/id");
    assert_eq!(world.queued(), 1, "all or nothing");
    let two = [with(&fresh, "id", "evt-3"), with(&other, "id", "evt-3")];
    assert_eq!(pointer_of(&batched(&operator, &two, 409)), "/1/id");
    assert_eq!(world.queued(), 1);
}
