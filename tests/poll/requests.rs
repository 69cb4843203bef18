//! Poll requests that are not acceptable, and members that are passed over.

use serde_json::{Value, json};

use crate::harness::{Options, ScriptedReceiver};
use crate::support::{Acme, pointer_of, without_request_id};

use super::Polled;

#[test]
fn a_member_of_the_wrong_kind_is_refused_and_nothing_is_acknowledged() {
    let polled = Polled::start(Options::default());
    polled.publish(0..1);
    let (jti, _) = polled.stream.poll_now().remove(0);
    let many: Vec<String> = (0..1001).map(|number| number.to_string()).collect();
    let many_errors: serde_json::Map<String, Value> =
        many.iter().map(|jti| (jti.clone(), json!({"err": "x"}))).collect();
    // POLL-R-8
    for (name, value, pointer) in [
        ("maxEvents", json!(-1), "/maxEvents"),
        ("maxEvents", json!(1.5), "/maxEvents"),
        ("maxEvents", json!("1"), "/maxEvents"),
        ("maxEvents", json!(null), "/maxEvents"),
        ("maxEvents", json!([1]), "/maxEvents"),
        ("returnImmediately", json!("true"), "/returnImmediately"),
        ("returnImmediately", json!(1), "/returnImmediately"),
        ("returnImmediately", json!(null), "/returnImmediately"),
        ("ack", json!(jti), "/ack"),
        ("ack", json!({jti.as_str(): true}), "/ack"),
        ("ack", json!(null), "/ack"),
        ("ack", json!([jti, 1]), "/ack/1"),
        ("ack", json!([[jti]]), "/ack/0"),
        ("ack", json!(many), "/ack"),
        ("setErrs", json!([]), "/setErrs"),
        ("setErrs", json!(null), "/setErrs"),
        (
            "setErrs",
            json!({jti.as_str(): "invalid_key"}),
            &format!("/setErrs/{jti}"),
        ),
        (
            "setErrs",
            json!({jti.as_str(): {"description": "no code"}}),
            &format!("/setErrs/{jti}"),
        ),
        ("setErrs", json!({jti.as_str(): {"err": 7}}), &format!("/setErrs/{jti}")),
        ("setErrs", json!({"a/b~c": null}), "/setErrs/a~1b~0c"),
        ("setErrs", json!(many_errors), "/setErrs"),
    ] {
        let mut body = json!({"ack": [jti], "returnImmediately": true});
        body[name] = value;
        let answer = polled
            .acme
            .api
            .send_json("POST", &polled.stream.poll_path(), &body, 400);
        assert_eq!(pointer_of(&answer), pointer, "{name}");
        assert_eq!(polled.queued(), 1, "{name}");
    }
    assert_eq!(polled.stream.dead_letters(&polled.instance), [] as [Value; 0]);
}

#[test]
fn members_that_nobody_knows_are_passed_over() {
    let polled = Polled::start(Options::default());
    polled.publish(0..1);
    // Pitfall 5
    let body = json!({"returnImmediately": true, "max_events": "x", "stream_id": 7, "vendor": {"a": null}});
    assert_eq!(
        polled.stream.poll(&body)["sets"].as_object().map(serde_json::Map::len),
        Some(1)
    );
    let most: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    polled.stream.poll(&json!({"ack": most, "returnImmediately": true}));
    assert_eq!(polled.queued(), 1);
}

#[test]
fn a_stream_that_is_pushed_cannot_be_polled() {
    let polled = Polled::start(Options::default());
    let receiver = ScriptedReceiver::start();
    let acme = Acme::register(&polled.instance, &[&receiver.url("/")]);
    let pushed = acme.push_stream(&receiver.url("/events"));
    let poll = json!({"returnImmediately": true});
    let answer = acme.api.send_json("POST", &pushed.poll_path(), &poll, 404);
    // POLL-R-11: as one that is another's, and one that is none.
    for id in [&polled.stream.id, &"0123456789abcdef".repeat(4)] {
        let none = acme.api.send_json("POST", &format!("/ssf/poll/{id}"), &poll, 404);
        assert_eq!(without_request_id(&answer), without_request_id(&none));
    }
}
