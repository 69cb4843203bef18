//! What was set up: origin, keys, clients, streams.

use serde_json::json;

use crate::harness::{Instance, Options};
use crate::support::{Acme, Set, event, publish};

#[test]
fn origin_keys_clients_and_streams_are_the_same_after_a_restart() {
    let mut instance = Instance::start(Options::default());
    let acme = Acme::register(&instance, &[]);
    let stream = acme.poll_stream();
    let deleted = acme.poll_stream();
    deleted.delete();
    let operator = instance.operator();
    let pictures = [
        "/jwks.json",
        "/console.json",
        "/admin/clients",
        "/admin/streams",
        "/.well-known/ssf-configuration",
    ];
    let picture = |path| {
        let mut picture = operator.get(path, 200);
        // What the objects did since they woke is not kept.
        picture.as_object_mut().expect("an object").remove("usage");
        picture
    };
    let before = pictures.map(picture);
    assert_eq!(before[1]["origin"], json!(instance.origin()));

    instance.restart();
    assert_eq!(pictures.map(picture), before, "the same kid above all");
    // The old token is good, and the secret gets a new one.
    assert_eq!(acme.api.get("/ssf/streams", 200), json!([stream.configuration]));
    let renewed = instance.anyone().bearer(&acme.new_token(&instance));
    assert_eq!(renewed.get(&stream.path(), 200), stream.configuration);
    renewed.get(&deleted.path(), 404);
    // And what is signed now verifies with the key of before.
    publish(&operator, &[event("evt-1", "ana@example.com")]);
    Set::verified(&stream.poll_now()[0].1, &before[0]);
}

#[test]
fn a_stream_answered_201_is_there_after_the_process_died_at_once() {
    let mut instance = Instance::start(Options::default());
    let acme = Acme::register(&instance, &[]);
    let mut streams = Vec::new();
    for round in 0..3 {
        let stream = acme.poll_stream();
        instance.restart();
        assert_eq!(
            publish(
                &instance.operator(),
                &[event(&format!("evt-{round}"), "ana@example.com")]
            ),
            round + 1
        );
        assert_eq!(stream.poll_now().len(), 1);
        streams.push(stream);
    }
    assert_eq!(
        acme.api.get("/ssf/streams", 200).as_array().map(Vec::len),
        Some(streams.len())
    );
}
