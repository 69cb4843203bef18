//! What a receiver may say about CloudEvents in its stream's configuration.

use serde_json::{Value, json};

use crate::harness::{Instance, Options, ScriptedReceiver};
use crate::manage::Tenant;
use crate::support::{POLL, PUSH, pointer_of};

use super::super::{Line, delivery, secret_in};

#[test]
fn the_configuration_shows_what_was_asked_for() {
    let line = Line::start(Options::default(), "structured");
    for (asked, shown) in [
        (json!({"mode": "structured"}), json!({"mode": "structured"})),
        (json!({"mode": "binary"}), json!({"mode": "binary"})),
        (
            json!({"mode": "batched"}),
            json!({"mode": "batched", "max_events": 100, "max_bytes": 262_144}),
        ),
        (
            json!({"mode": "batched", "max_events": 1, "max_bytes": 1024}),
            json!({"mode": "batched", "max_events": 1, "max_bytes": 1024}),
        ),
        (
            json!({"mode": "batched", "max_events": 1000, "max_bytes": 1_048_576}),
            json!({"mode": "batched", "max_events": 1000, "max_bytes": 1_048_576}),
        ),
    ] {
        let created = line
            .receiver
            .stream(&json!({"delivery": delivery(&line.endpoint, &asked)}));
        let mut answered = created.configuration["delivery"]["cloudevents"].clone();
        let secret = answered.as_object_mut().expect("an object").remove("secret");
        assert!(secret.is_some_and(|secret| secret.as_str().is_some_and(|text| text.starts_with("whsec_"))));
        assert_eq!(answered, shown);
        assert_eq!(created.read()["delivery"]["cloudevents"], shown, "without the secret");
        assert_eq!(created.health()["configuration"]["delivery"]["cloudevents"], shown);
        created.delete();
    }
    assert_eq!(
        line.receiver.push_stream(&line.endpoint.url("/sets")).read()["delivery"].get("cloudevents"),
        None
    );
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    let line = Line::start(Options::default(), "batched");
    let before = line.stream.read();
    for (asked, pointer) in [
        (json!(null), ""),
        (json!(true), ""),
        (json!("structured"), ""),
        (json!({}), "/mode"),
        (json!({"mode": null}), "/mode"),
        (json!({"mode": "Structured"}), "/mode"),
        (json!({"mode": "avro"}), "/mode"),
        (json!({"mode": "structured", "max_events": 10}), "/max_events"),
        (json!({"mode": "binary", "max_bytes": 2048}), "/max_bytes"),
        (json!({"mode": "batched", "max_events": 0}), "/max_events"),
        (json!({"mode": "batched", "max_events": 1001}), "/max_events"),
        (json!({"mode": "batched", "max_events": 1.5}), "/max_events"),
        (json!({"mode": "batched", "max_events": "10"}), "/max_events"),
        (json!({"mode": "batched", "max_bytes": 1023}), "/max_bytes"),
        (json!({"mode": "batched", "max_bytes": 1_048_577}), "/max_bytes"),
    ] {
        let request = json!({"delivery": delivery(&line.endpoint, &asked)});
        let pointer = format!("/delivery/cloudevents{pointer}");
        let path = line.receiver.path("/ssf/streams");
        let refused = line.receiver.api.send_json("POST", &path, &request, 400);
        assert_eq!(pointer_of(&refused), pointer, "{asked}");
        for method in ["PATCH", "PUT"] {
            assert_eq!(
                pointer_of(&line.stream.send(method, &request, 400)),
                pointer,
                "{method} {asked}"
            );
        }
    }
    assert_eq!(line.stream.read(), before);
    assert_eq!(line.receiver.list().len(), 1);
}

/// CloudEvents are pushed; a poll hands out SETs.
#[test]
fn a_stream_that_is_polled_has_no_cloudevents() {
    let line = Line::start(Options::default(), "structured");
    let polled = json!({"delivery": {"method": POLL, "cloudevents": {"mode": "structured"}}});
    let path = line.receiver.path("/ssf/streams");
    let refused = line.receiver.api.send_json("POST", &path, &polled, 400);
    assert_eq!(pointer_of(&refused), "/delivery/cloudevents");
    for method in ["PATCH", "PUT"] {
        let refused = line.stream.send(method, &polled, 400);
        assert_eq!(pointer_of(&refused), "/delivery/cloudevents", "{method}");
    }
    // Turning to poll turns CloudEvents off: what waits is handed out as SETs.
    line.pause();
    line.publish(&["a1"]);
    let changed = line.stream.patch(&json!({"delivery": {"method": POLL}}));
    assert_eq!(changed["delivery"].get("cloudevents"), None);
    line.resume();
    let sets = line.stream.drain();
    assert_eq!(crate::manage::briefs(&sets), ["a1"]);
}

/// What a receiver may not choose is not taken from it: the secret is ours to make.
#[test]
fn a_receiver_cannot_choose_the_secret() {
    let instance = Instance::start(Options::default());
    let endpoint = ScriptedReceiver::start();
    let receiver = Tenant::default(&instance).receiver(&[&endpoint.url("/")]);
    let chosen = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let asked = json!({"mode": "structured", "secret": chosen});
    let request = json!({"delivery": delivery(&endpoint, &asked)}).to_string();
    let headers = [("content-type", "application/json")];
    let path = receiver.path("/ssf/streams");
    let answer = receiver
        .api
        .try_send("POST", &path, &headers, request.as_bytes())
        .expect("an answer");
    match answer.status {
        400 => assert_eq!(pointer_of(&answer), "/delivery/cloudevents/secret"),
        201 => assert_ne!(secret_in(&answer.json()), chosen),
        _ => panic!("{answer}"),
    }
}

/// PUT says everything: without CloudEvents the stream is one of SETs.
#[test]
fn put_without_cloudevents_turns_them_off() {
    let line = Line::start(Options::default(), "structured");
    let sets = json!({"method": PUSH, "endpoint_url": line.endpoint.url("/events")});
    let answer = line.stream.put(&json!({"delivery": sets}));
    assert_eq!(answer["delivery"], sets);
    let _: Value = line.stream.patch(&json!({"description": "x"}));
    assert_eq!(line.stream.read()["delivery"], sets);
    line.publish(&["a1"]);
    let push = line.endpoint.wait_for(1);
    assert_eq!(push.header("content-type"), Some("application/secevent+jwt"));
    for absent in ["webhook-signature", "webhook-id", "webhook-timestamp"] {
        assert_eq!(push.header(absent), None, "{absent}");
    }
}
