//! Forwarding is begun, changed and ended.

use serde_json::{Value, json};

use crate::cloudevents::{assert_signed, header};
use crate::handshake::consent;
use crate::harness::{ScriptedReceiver, eventually};
use crate::support::{ACME_AUDIENCE, Source, pointer_of};

use super::{Chain, secret_in, soon};

#[test]
fn forwarding_begins_with_what_comes_next_and_ends_with_its_stream() {
    let chain = Chain::start(soon(), &json!({}));
    let plain = json!({"issuer": chain.transmitter.issuer(), "audience": ACME_AUDIENCE});
    let source = Source::create(&chain.instance, &plain);
    assert_eq!(source.created["forward"], Value::Null);
    source.push(&chain.instance, &chain.set("a1", "a@example.com"), 202);
    let forward = json!({"endpoint_url": chain.endpoint.url("/late")});
    let shown = chain
        .operator()
        .patch_json(&source.path(), &json!({"forward": forward, "description": "late"}), 200);
    assert_eq!(shown["description"], json!("late"));
    let secret = secret_in(&shown);
    assert_eq!(
        chain.operator().get(&source.path(), 200)["forward"].get("webhook_secret"),
        None
    );
    source.push(&chain.instance, &chain.set("a2", "a@example.com"), 202);
    let push = eventually("it arrives", || {
        chain.endpoint.pushes().into_iter().find(|push| push.target == "/late")
    });
    assert_signed(&push, &secret);
    let ids: Vec<String> = chain
        .arrived_at("/late")
        .iter()
        .map(|event| event.text("id").to_owned())
        .collect();
    assert_eq!(ids, ["a2"], "what was there before stays");

    // The operator sees the stream, no client does.
    let stream_id = shown["forward"]["stream_id"].as_str().expect("an id");
    let streams = chain.operator().get("/admin/streams", 200);
    let of_source = |stream: &&Value| stream["client_id"] == json!(source.id);
    let listed = streams["streams"].as_array().expect("streams").iter().find(of_source);
    assert_eq!(listed.map(|stream| &stream["stream_id"]), Some(&json!(stream_id)));

    let shown = chain
        .operator()
        .patch_json(&source.path(), &json!({"forward": null}), 200);
    assert_eq!(shown["forward"], Value::Null);
    chain.operator().get(&format!("/admin/streams/{stream_id}"), 404);
    source.push(&chain.instance, &chain.set("a3", "a@example.com"), 202);
    // Taken back once more: nothing changes.
    chain
        .operator()
        .patch_json(&source.path(), &json!({"forward": null}), 200);
    chain.receive_all(&["z1"]);
    chain.wait_for_ids(&["z1"]);
    assert_eq!(chain.arrived_at("/late").len(), 1);
}

/// The streams that are shown as a source's.
fn streams_of(chain: &Chain, source: &Source) -> Vec<Value> {
    let streams = chain.operator().get("/admin/streams", 200);
    let streams = streams["streams"].as_array().expect("streams").iter();
    let ours = streams.filter(|stream| stream["client_id"] == json!(source.id));
    ours.map(|stream| stream["stream_id"].clone()).collect()
}

#[test]
fn requests_at_once_make_one_stream_and_none_for_a_source_that_goes() {
    let chain = Chain::start(soon(), &json!({}));
    let patch = json!({"forward": {"endpoint_url": chain.endpoint.url("/late")}}).to_string();
    let headers = [("content-type", "application/json")];
    let send = |method: &str, source: &Source, body: &str| {
        let answer = chain
            .operator()
            .try_send(method, &source.path(), &headers, body.as_bytes());
        answer.expect("an answer").status
    };
    for _ in 0..3 {
        let plain = json!({"issuer": chain.transmitter.issuer(), "audience": ACME_AUDIENCE});
        let source = Source::create(&chain.instance, &plain);
        let statuses: Vec<u16> = std::thread::scope(|threads| {
            let sent: Vec<_> = (0..4)
                .map(|_| threads.spawn(|| send("PATCH", &source, &patch)))
                .collect();
            sent.into_iter().map(|sent| sent.join().expect("a status")).collect()
        });
        assert!(statuses.contains(&200), "{statuses:?}");
        assert!(
            statuses.iter().all(|status| [200, 409].contains(status)),
            "{statuses:?}"
        );
        let shown = chain.operator().get(&source.path(), 200);
        assert_eq!(streams_of(&chain, &source), [shown["forward"]["stream_id"].clone()]);

        let source = Source::create(&chain.instance, &plain);
        let (changed, deleted) = std::thread::scope(|threads| {
            let changed = threads.spawn(|| send("PATCH", &source, &patch));
            let deleted = threads.spawn(|| send("DELETE", &source, ""));
            (changed.join().expect("a status"), deleted.join().expect("a status"))
        });
        assert!([200, 404].contains(&changed), "{changed}");
        assert_eq!(deleted, 204);
        chain.operator().get(&source.path(), 404);
        assert!(streams_of(&chain, &source).is_empty(), "{changed}");
    }
}

#[test]
fn an_endpoint_a_header_and_a_form_are_changed_one_by_one() {
    let chain = Chain::start(soon(), &json!({"authorization_header": "Bearer one"}));
    let stream_id = chain.stream_id();
    chain.receive_all(&["a1"]);
    chain.endpoint.wait_for_push(1);
    let shown = chain.patch(&json!({"envelope": "claims"}));
    assert_eq!(
        shown["forward"],
        json!({"stream_id": stream_id, "endpoint_url": chain.endpoint.url("/events"), "envelope": "claims"})
    );
    chain.receive_all(&["a2"]);
    let push = chain.endpoint.wait_for_push(2);
    assert_eq!(
        (header(&push, "content-type"), header(&push, "authorization")),
        ("application/json", "Bearer one")
    );
    assert_signed(&push, &chain.secret());

    chain.patch(&json!({"authorization_header": "Bearer two"}));
    chain.receive_all(&["a3"]);
    assert_eq!(header(&chain.endpoint.wait_for_push(3), "authorization"), "Bearer two");
    chain.patch(&json!({"authorization_header": null, "envelope": null}));
    chain.receive_all(&["a4"]);
    let push = chain.endpoint.wait_for_push(4);
    assert_eq!(push.header("authorization"), None);
    let event: Value = serde_json::from_str(push.text()).expect("JSON");
    assert_eq!(
        (&event["id"], &event["sequence"]),
        (&json!("a4"), &json!("00000000000000000004"))
    );
    let asked = chain.endpoint.asks().len();

    // Another endpoint is asked for its own consent.
    let other = ScriptedReceiver::start();
    other.otherwise_consent(consent("*"));
    chain.patch(&json!({"endpoint_url": other.url("/new")}));
    chain.receive_all(&["a5"]);
    other.wait_for_ask(1);
    assert_eq!(other.wait_for_push(1).target, "/new");
    assert_eq!((chain.endpoint.pushes().len(), chain.endpoint.asks().len()), (4, asked));
    assert_eq!(chain.stream_id(), stream_id);
}

#[test]
fn its_secret_is_rotated_as_that_of_any_stream() {
    let chain = Chain::start(soon(), &json!({"envelope": "claims"}));
    let path = format!("{}/webhook-secret", chain.stream_path());
    let rotated = chain.operator().post_json(&path, &json!({}), 200);
    chain.receive_all(&["a1"]);
    let push = chain.endpoint.wait_for_push(1);
    assert_signed(&push, rotated["secret"].as_str().expect("a secret"));
    assert_signed(&push, &chain.secret());
}

#[test]
fn bad_wishes_are_refused_and_change_nothing() {
    let chain = Chain::start(soon(), &json!({}));
    let before = chain.operator().get(&chain.source.path(), 200);
    let streams = chain.operator().get("/admin/streams", 200)["streams"]
        .as_array()
        .map(Vec::len);
    for (patch, pointer) in [
        (json!({"forward": 5}), "/forward"),
        (
            json!({"forward": {"endpoint_url": "ftp://app.example/"}}),
            "/forward/endpoint_url",
        ),
        (
            json!({"forward": {"endpoint_url": chain.instance.url("/events")}}),
            "/forward/endpoint_url",
        ),
        (json!({"forward": {"envelope": "binary"}}), "/forward/envelope"),
        (json!({"forward": {"mode": "binary"}}), "/forward/mode"),
        (
            json!({"forward": {"authorization_header": "a\r\nb"}}),
            "/forward/authorization_header",
        ),
        (json!({"forward": null, "description": 5}), "/description"),
        (json!({"forward": null, "issuer": "https://other.example"}), "/issuer"),
    ] {
        let answer = chain.operator().send_json("PATCH", &chain.source.path(), &patch, 400);
        assert_eq!(pointer_of(&answer), pointer, "{patch}");
        assert_eq!(chain.operator().get(&chain.source.path(), 200), before, "{patch}");
    }
    let new = json!({"issuer": chain.transmitter.issuer(), "audience": ACME_AUDIENCE, "forward": {}});
    let answer = chain.operator().send_json("POST", "/admin/sources", &new, 400);
    assert_eq!(pointer_of(&answer), "/forward/endpoint_url");
    assert_eq!(
        chain.operator().get("/admin/streams", 200)["streams"]
            .as_array()
            .map(Vec::len),
        streams
    );
    assert_eq!(
        chain.operator().get("/admin/sources", 200)["sources"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    chain
        .operator()
        .send_json("PATCH", "/admin/sources/nobody", &json!({"forward": null}), 404);
}
