//! Attributes in headers (T-T-07): how their values are decoded. What came out shows in the identity: an event whose decoded id was
//! seen before is no new one.

use serde_json::json;

use crate::support::pointer_of;

use super::super::{cloud_event, structured, with};
use super::{World, but, data, required};

/// Publishes the event with this id in structured mode, where nothing is encoded.
#[track_caller]
fn known(world: &World, id: &str) {
    let mut event = cloud_event("", "ana@example.com");
    event["data"] = data();
    event.as_object_mut().expect("an object").remove("time");
    structured(&world.tenant.operator(), &with(&event, "id", id), 202);
}

/// CE-3.1-3, CE-3.1-4
#[test]
fn values_are_decoded_once_and_as_they_are_meant() {
    let world = World::start();
    for (id, spellings) in [
        (
            "plain",
            &["plain", "\"plain\"", "%70lain", "\"pl\\ain\"", "pl%61in"][..],
        ),
        (
            "Euro \u{20ac} \u{1f600}",
            &[
                "Euro%20%E2%82%AC%20%F0%9F%98%80",
                "Euro%20%e2%82%ac%20%f0%9f%98%80",
                "Euro %E2%82%AC %F0%9F%98%80",
                "\"Euro %E2%82%AC %F0%9F%98%80\"",
                "%45uro%20%E2%82%AC%20%F0%9F%98%80",
            ],
        ),
        (
            "100% \"sure\"",
            &[
                "100%25%20%22sure%22",
                "\"100%25 \\\"sure\\\"\"",
                "\"100%25%20%22sure%22\"",
            ],
        ),
        ("\u{fc}n\u{ef}", &["%C3%BCn%C3%AF", "%c3%bcn%c3%af"]),
        // One round only.
        ("%41", &["%2541", "\"%2541\""]),
        ("%", &["%25"]),
        ("a\\b", &["a\\b", "\"a\\\\b\"", "a%5Cb"]),
        ("a+b", &["a+b", "a%2Bb"]),
        // A quote alone is no quoted string.
        ("a\"", &["a%22"]),
    ] {
        let before = world.queued();
        known(&world, id);
        assert_eq!(world.queued(), before + 1, "{id}: it is new");
        for spelling in spellings {
            let headers = but(&required("x"), "ce-id", spelling);
            world.publish(&headers, &data().to_string(), 202);
            assert_eq!(world.queued(), before + 1, "{spelling} is not {id}");
        }
    }
}

#[test]
fn values_that_are_no_text_are_refused() {
    let world = World::start();
    for value in [
        // Overlong forms, halves, and other bytes that are no UTF-8.
        "%C0%A0",
        "%c0%af",
        "%E0%80%AF",
        "%F0%80%80%AF",
        "%ED%A0%80",
        "%ED%A0%BD%ED%B8%80",
        "%F4%90%80%80",
        "%FF",
        "%E2%82",
        "a%80b",
        // What no attribute may hold (CE-1-6).
        "%00",
        "a%0Ab",
        "a%09b",
        "%7F",
        "%C2%85",
        "%EF%BF%BF",
        // Half an encoding.
        "%",
        "%4",
        "%zz",
        "100%",
        "%%41",
        "% 41",
        // Half a quoted string.
        "\"open",
        "\"open\\\"",
        "\"closed\" and more",
        "",
        "\"\"",
    ] {
        let headers = but(&required("x"), "ce-id", value);
        let refused = world.publish(&headers, &data().to_string(), 400);
        assert_eq!(pointer_of(&refused), "/ce-id", "{value:?}");
    }
    assert_eq!(world.queued(), 0);
}

/// CE-1-4: each attribute at most once.
#[test]
fn an_attribute_that_comes_twice_is_refused() {
    let world = World::start();
    for (name, value) in [
        ("ce-type", crate::support::SESSION_REVOKED),
        ("ce-source", "https://idp.example.com/tenants/9"),
        ("ce-specversion", "1.0"),
    ] {
        let mut headers = required("x");
        headers.push((name, value));
        let answer = world.publish(&headers, &data().to_string(), 400);
        assert_eq!(pointer_of(&answer), format!("/{name}"));
    }
    assert_eq!(world.queued(), 0);
}

/// CE-3.1-5, CE-3.1-1
#[test]
fn an_event_whose_headers_are_not_in_order_is_refused_with_its_place() {
    let world = World::start();
    let good = required("x");
    let long = "x".repeat(5000);
    for (headers, pointer) in [
        (super::lacking(&good, "ce-id"), "/ce-id"),
        (super::lacking(&good, "ce-source"), "/ce-source"),
        (super::lacking(&good, "ce-type"), "/ce-type"),
        (but(&good, "ce-source", ""), "/ce-source"),
        (but(&good, "ce-source", "not%20a%20reference"), "/ce-source"),
        (but(&good, "ce-type", ""), "/ce-type"),
        (but(&good, "ce-type", "session-revoked"), "/ce-type"),
        (but(&good, "ce-type", "https://vendor.example/unheard-of"), "/ce-type"),
        (but(&good, "ce-specversion", "0.3"), "/ce-specversion"),
        (but(&good, "ce-specversion", "1"), "/ce-specversion"),
        (but(&good, "ce-specversion", ""), "/ce-specversion"),
        (but(&good, "ce-specversion", "1.1"), "/ce-specversion"),
        (but(&good, "ce-time", "yesterday"), "/ce-time"),
        (but(&good, "ce-time", "1795263000"), "/ce-time"),
        (
            but(&good, "ce-datacontenttype", "application/json"),
            "/ce-datacontenttype",
        ),
        (but(&good, "ce-id", &long), "/ce-id"),
    ] {
        let refused = world.publish(&headers, &data().to_string(), 400);
        assert_eq!(pointer_of(&refused), pointer, "{headers:?}");
    }
    assert_eq!(world.queued(), 0);
    // The version may be encoded like any other.
    let mut headers = but(&required("x"), "ce-specversion", "%31%2E0");
    headers.push(("ce-time", "\"2026-11-21T12:10:00Z\""));
    world.publish(&headers, &data().to_string(), 202);
    assert_eq!(world.waiting()[0].claims["toe"], json!(1_795_263_000));
}
