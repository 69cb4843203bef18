//! Streams as their clients manage them: their own, up to a number, and nobody else's.

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Instance, Options, Reply, ScriptedReceiver};
use crate::support::{Acme, Stream, assert_problem, event, publish, without_request_id};

#[test]
fn streams_are_listed_read_and_deleted() {
    let instance = Instance::start(Options::default());
    let acme = Acme::register(&instance, &["https://acme.example/"]);
    assert_eq!(acme.api.get("/ssf/streams", 200), json!([]), "SSF-8.1.1.2-5");

    let polled = acme.poll_stream();
    assert_eq!(
        acme.api.get("/ssf/streams", 200),
        json!([polled.configuration]),
        "SSF-8.1.1.2-4: an array, for one too"
    );
    let pushed = acme.push_stream("https://acme.example/events");
    assert_ne!(polled.id, pushed.id, "SSF-8.1.1.1-4");
    let listed = acme.api.get("/ssf/streams", 200);
    let listed = listed.as_array().expect("an array");
    assert_eq!(listed.len(), 2);
    for stream in [&polled, &pushed] {
        assert!(listed.contains(&stream.configuration), "{listed:?}");
        assert_eq!(acme.api.get(&stream.path(), 200), stream.configuration, "SSF-8.1.1.2-3");
        let known = admin_streams(&instance)
            .into_iter()
            .find(|known| known["stream_id"] == json!(stream.id))
            .expect("the operator sees it");
        assert_eq!(known["client_id"], json!(acme.client_id));
        assert_eq!(known["method"], stream.configuration["delivery"]["method"]);
    }

    // SSF-8.1.1.5-3: a stream has to be named.
    assert_problem(&acme.api.send("DELETE", "/ssf/streams", &[], b"", 400), 400);
    acme.api.get("/ssf/streams?stream_id=", 404);
    let deleted = acme.api.send("DELETE", &polled.path(), &[], b"", 204);
    assert_eq!(deleted.text(), "", "SSF-8.1.1.5-1");
    assert_eq!(deleted.header("cache-control"), Some("no-store"), "SSF-8-8");

    // SSF-8.1.1.5-4
    acme.api.get(&polled.path(), 404);
    acme.api.delete(&polled.path(), 404);
    acme.api
        .post_json(&polled.poll_path(), &json!({"returnImmediately": true}), 404);
    instance.operator().get(&format!("/admin/streams/{}", polled.id), 404);
    assert_eq!(acme.api.get("/ssf/streams", 200), json!([pushed.configuration]));
    assert_eq!(admin_streams(&instance).len(), 1);
}

#[test]
fn a_stream_of_another_client_looks_like_none() {
    let instance = Instance::start(Options::default());
    let acme = Acme::register(&instance, &[]);
    let stream = acme.poll_stream();
    publish(&instance.operator(), &[event("evt-1", "ana@example.com")]);
    let (jti, _) = stream.poll_now().remove(0);

    // SSF-8-2, SSF-8-5: an id that was never given out, and one that is gone, against one that is another's.
    let other = Acme::register(&instance, &[]);
    let gone = other.poll_stream();
    gone.delete();
    let ack = json!({"ack": [jti], "returnImmediately": true});
    let theirs = attempts(&other.api, &stream.id, &ack);
    assert_eq!(theirs.len(), 3);
    for (attempt, answer) in &theirs {
        assert_problem(answer, 404);
        for id in [&gone.id, &"0123456789abcdef".repeat(4), &"no-such-stream".to_owned()] {
            let (_, unknown) = attempts(&other.api, id, &ack)
                .into_iter()
                .find(|(name, _)| name == attempt)
                .expect("the same");
            assert_eq!(
                without_request_id(answer),
                without_request_id(&unknown),
                "{attempt} of {id}"
            );
        }
    }
    assert_eq!(other.api.get("/ssf/streams", 200), json!([]));
    assert_eq!(stream.poll_now()[0].0, jti, "nobody else acknowledges");
    assert_eq!(acme.api.get(&stream.path(), 200), stream.configuration);
}

fn attempts(client: &Client, stream_id: &str, poll: &Value) -> Vec<(&'static str, Answer)> {
    let path = format!("/ssf/streams?stream_id={stream_id}");
    vec![
        ("read", client.send("GET", &path, &[], b"", 404)),
        ("delete", client.send("DELETE", &path, &[], b"", 404)),
        (
            "poll",
            client.send_json("POST", &format!("/ssf/poll/{stream_id}"), poll, 404),
        ),
    ]
}

#[test]
fn a_client_has_so_many_streams_and_a_deleted_one_makes_room() {
    let instance = Instance::start(Options::default().set("STREAMS_PER_CLIENT", 2));
    let acme = Acme::register(&instance, &[]);
    let first = acme.poll_stream();
    acme.poll_stream();
    let refused = acme.api.send_json("POST", "/ssf/streams", &json!({}), 409);
    assert_problem(&refused, 409);
    assert_eq!(acme.api.get("/ssf/streams", 200).as_array().map(Vec::len), Some(2));

    // The limit is each client's own.
    Acme::register(&instance, &[]).poll_stream();
    first.delete();
    acme.poll_stream();
    acme.api.post_json("/ssf/streams", &json!({}), 409);
}

#[test]
fn a_deleted_stream_gets_no_events_and_its_queue_is_gone() {
    let instance = Instance::start(Options::default());
    let (kept, deleted) = (ScriptedReceiver::start(), ScriptedReceiver::start());
    // Held by its endpoint for an hour, so that something waits when it is deleted.
    deleted.otherwise(Reply::status(503).header("retry-after", "3600"));
    let acme = Acme::register(&instance, &[&kept.url("/"), &deleted.url("/")]);
    let streams: Vec<Stream> = [&kept, &deleted]
        .map(|receiver| acme.push_stream(&receiver.url("/events")))
        .into();
    assert_eq!(publish(&instance.operator(), &[event("evt-1", "ana@example.com")]), 2);
    kept.wait_for(1);
    deleted.wait_for(1);

    streams[1].delete();
    assert_eq!(publish(&instance.operator(), &[event("evt-2", "ana@example.com")]), 1);
    kept.wait_for(2);
    assert_eq!(
        deleted.requests().len(),
        1,
        "nothing is pushed to a deleted stream's endpoint"
    );
    let operator = instance.operator();
    for path in ["", "/deliveries", "/dead-letters"] {
        operator.get(&format!("/admin/streams/{}{path}", streams[1].id), 404);
    }
}

fn admin_streams(instance: &Instance) -> Vec<Value> {
    let answer = instance.operator().get("/admin/streams", 200);
    answer["streams"].as_array().expect("an array").clone()
}
