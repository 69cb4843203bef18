//! What answers about streams mean.

use super::*;
use serde_json::json;

/// SSF-8.1.1.1-3, SSF-8.1.1.1-12, SSF-8.1.1.2-2.
#[test]
fn a_stream_of_somebody_else_is_not_ours() {
    let audience = Audience::One("me".into());
    let good = json!({"stream_id": "s", "iss": "https://tx.example", "aud": ["me", "you"],
                      "delivery": {"method": POLL, "endpoint_url": "https://tx.example/poll/s"},
                      "events_delivered": ["urn:a", 5], "min_verification_interval": 60});
    let read = |value: &Value| read_stream(value, "https://tx.example", &audience);
    let stream = read(&good).unwrap();
    assert_eq!(stream.poll_url.as_deref(), Some("https://tx.example/poll/s"));
    assert_eq!(
        (stream.events_delivered.len(), stream.min_verification_interval),
        (1, Some(60))
    );
    for (name, value) in [
        ("iss", json!("https://tx.example/")),
        ("iss", json!(null)),
        ("aud", json!("you")),
        ("aud", json!(5)),
        ("stream_id", json!("")),
        ("stream_id", json!(null)),
    ] {
        let mut stream = good.clone();
        stream[name] = value;
        assert!(read(&stream).is_err(), "{stream}");
    }
    assert!(read(&json!([])).is_err());
}

/// SSF-8.1.1.1-15: an answer that is no list must not look like a list without ours.
#[test]
fn what_is_no_list_of_streams_is_not_an_empty_one() {
    for (body, expected) in [
        (json!([]), 0),
        (json!([{"stream_id": "a"}, {"stream_id": "b"}]), 2),
        (json!({"stream_id": "s"}), 1),
    ] {
        assert_eq!(streams(Some(body)).unwrap().len(), expected);
    }
    for body in [
        json!({}),
        json!({"streams": []}),
        json!([{"stream_id": "a"}, {}]),
        json!(["a"]),
        json!(null),
        json!("[]"),
    ] {
        assert!(streams(Some(body.clone())).is_err(), "{body}");
    }
    assert!(streams(None).is_err(), "HTML, an empty body, a repeated member");
}

#[test]
fn a_stream_is_held_against_what_was_asked_for() {
    let requested = ["urn:a".to_owned(), "urn:b".to_owned()];
    let mut wanted = Wanted {
        endpoint_url: Some("https://me.example/receive/1"),
        authorization_header: None,
        events_requested: &requested,
        description: "d",
    };
    for (delivery, good) in [
        (
            json!({"method": PUSH, "endpoint_url": "https://me.example/receive/1"}),
            true,
        ),
        (json!({"method": PUSH}), true),
        (
            json!({"method": PUSH, "endpoint_url": "https://before.example/"}),
            false,
        ),
        (json!({"method": POLL}), false),
    ] {
        let stream = json!({"delivery": delivery});
        assert_eq!(wanted.leads_to_us(&stream).is_ok(), good, "{stream}");
    }
    assert!(wanted.leads_to_us(&json!({})).is_ok(), "says nothing");
    for (delivered, expected) in [
        (json!(["urn:b", "urn:c", 5]), Some(1)),
        (json!([]), Some(0)),
        (json!(null), None),
    ] {
        assert_eq!(wanted.delivered(&json!({"events_delivered": delivered})), expected);
    }
    wanted.endpoint_url = None;
    assert!(
        wanted
            .leads_to_us(&json!({"delivery": {"method": POLL, "endpoint_url": "https://tx.example/poll"}}))
            .is_ok()
    );
}
