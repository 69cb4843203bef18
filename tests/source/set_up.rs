//! The steps of the set-up, done, refused, cut off and repeated.

use serde_json::{Value, json};

use super::{
    connect, credentials, health, options, problems, received, request, setup, until_done, until_problem, until_set_up,
};
use crate::harness::{ADMIN_TOKEN, Fault, Instance, Reply, SsfTransmitter, eventually};
use crate::support::{ACME_AUDIENCE, Source, pointer_of, restart_with};

/// SSF-8.1.1.1-1, SSF-6.1.1-3, SSF-8.1.3.2-4.
#[test]
fn one_request_makes_a_stream_that_is_verified() {
    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    let mut wanted = request(&transmitter, "push");
    let subjects: Vec<Value> = (0..20)
        .map(|n| json!({"format": "opaque", "id": n.to_string()}))
        .collect();
    wanted["subjects"] = json!(subjects);
    wanted["events_requested"] = json!(["https://schemas.openid.net/secevent/caep/event-type/session-revoked"]);
    let source = Source::create(&instance, &wanted);
    assert!(
        !source.created.to_string().contains("secret\""),
        "pitfall 23: {}",
        source.created
    );
    until_done(&instance, &source);

    let stream = transmitter.streams().remove(0);
    assert_eq!(stream["delivery"]["endpoint_url"], source.created["receive_url"]);
    assert_eq!(stream["delivery"]["authorization_header"], json!(source.authorization));
    assert_eq!(stream["events_requested"], wanted["events_requested"]);
    let mut added = transmitter.subjects();
    added.sort_by_key(|subject| subject["id"].as_str().and_then(|id| id.parse::<u32>().ok()));
    assert_eq!(added, subjects);
    let shown = instance.operator().get(&source.path(), 200);
    assert_eq!(shown["stream"]["stream_id"], "stream-1");
    assert_eq!(
        shown["credentials"],
        json!({"kind": "client_secret_basic", "client_id": "client"})
    );
    assert!(shown["stream"]["verified_at"].is_u64());
    eventually("the health is good", || {
        (health(&instance, &source)["state"] == "ok").then_some(())
    });
    // SSF-8.1.1.3-13: nothing of the transmitter's own is sent.
    let created: Value = serde_json::from_str(transmitter.requests("POST /streams")[0].text()).expect("JSON");
    let members: Vec<_> = created.as_object().expect("an object").keys().cloned().collect();
    assert_eq!(members, ["delivery", "description", "events_requested"]);
    let listed = instance
        .operator()
        .get(&format!("{}/subjects?limit=5", source.path()), 200);
    assert_eq!(
        (listed["subjects"][0]["state"].clone(), listed["cursor"].clone()),
        (json!("added"), json!("5"))
    );
}

/// The runtime dies at each step; the set-up goes on where it was, and there is one stream.
#[test]
fn a_set_up_that_is_killed_goes_on() {
    for (at, what) in [
        "GET /.well-known/ssf-configuration",
        "GET /jwks.json",
        "POST /token",
        "GET /streams",
        "POST /streams",
        "POST /add",
        "POST /verify",
    ]
    .into_iter()
    .enumerate()
    {
        let mut instance = Instance::start(options());
        let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
        let mut wanted = request(&transmitter, if at % 2 == 0 { "push" } else { "poll" });
        wanted["subjects"] = json!([{"format": "opaque", "id": "1"}]);
        transmitter.fail(what, Fault::Instead(Reply::Never));
        let source = Source::create(&instance, &wanted);
        eventually(what, || (!transmitter.requests(what).is_empty()).then_some(()));
        instance.restart();
        until_done(&instance, &source);
        assert_eq!(transmitter.streams().len(), 1, "{what}");
        assert_eq!(transmitter.subjects().len(), 1, "{what}");
    }
}

/// SSF-8.1.1.1-15: the answer to POST is lost, or comes after the runtime died: the stream is found, not made twice.
#[test]
fn a_lost_answer_makes_no_second_stream() {
    for delivery in ["push", "poll"] {
        let instance = Instance::start(options());
        let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
        transmitter.fail("POST /streams", Fault::Lost);
        let source = Source::create(&instance, &request(&transmitter, delivery));
        until_done(&instance, &source);
        assert_eq!(transmitter.streams().len(), 1);
        assert_eq!(transmitter.requests("POST /streams").len(), 1);
        assert_eq!(transmitter.requests("PATCH /streams").len(), 1);
    }
}

/// SSF-8.1.1.1-5, SSF-8.1.1.1-6.
#[test]
fn the_only_stream_that_may_be_is_taken_over() {
    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    transmitter.allow_one_stream();
    transmitter.add_stream(json!({
        "stream_id": "old", "iss": transmitter.issuer(), "aud": ACME_AUDIENCE, "status": "enabled",
        "delivery": {"method": "urn:ietf:rfc:8935", "endpoint_url": "https://before.example/events"},
    }));
    let source = Source::create(&instance, &request(&transmitter, "push"));
    until_done(&instance, &source);
    let streams = transmitter.streams();
    assert_eq!(streams.len(), 1);
    assert_eq!(streams[0]["delivery"]["endpoint_url"], source.created["receive_url"]);
}

/// SSF-8.1.1.1-3, SSF-8.1.1.1-12, SSF-8.1.1.3-2, pitfall 24.
#[test]
fn a_stream_of_another_issuer_or_for_somebody_else_is_given_back() {
    let changes: [fn(&mut Value); 3] = [
        |stream| stream["delivery"]["endpoint_url"] = json!("https://elsewhere.example"),
        |stream| stream["iss"] = json!("https://other.example"),
        |stream| stream["aud"] = json!("https://somebody.example"),
    ];
    for change in changes {
        let instance = Instance::start(options().set("SETUP_AGAIN_S", 3600));
        let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
        transmitter.fail("POST /streams", Fault::Changed(change));
        let source = Source::create(&instance, &request(&transmitter, "push"));
        let shown = until_set_up(&instance, &source, "failed");
        assert_eq!(shown["steps"][3]["state"], "failed");
        assert!(transmitter.streams().is_empty(), "what was made just now does not stay");
        assert_eq!(problems(&instance, &source), ["setup_failed"]);
        let again = json!({"from": "stream"});
        instance
            .operator()
            .post_json(&format!("{}/setup", source.path()), &again, 202);
        until_done(&instance, &source);
        assert_eq!(health(&instance, &source)["state"], "ok");
    }
}

/// SSF-8.1.1.3-2: the answer to the change of a stream that was there names another issuer.
#[test]
fn a_change_that_another_issuer_answers_is_refused() {
    let (instance, transmitter, source) = connect(options().set("SETUP_AGAIN_S", 3600), "push");
    let foreign: fn(&mut Value) = |stream| stream["iss"] = json!("https://other.example");
    transmitter.fail("PATCH /streams", Fault::Changed(foreign));
    let change = json!({"events_requested": ["https://schemas.openid.net/secevent/caep/event-type/credential-change"]});
    instance.operator().patch_json(&source.path(), &change, 200);
    let shown = until_set_up(&instance, &source, "failed");
    assert_eq!(shown["steps"][3]["state"], "failed");
    assert_eq!(transmitter.streams().len(), 1, "it was there before");
}

#[test]
fn exactly_the_stream_that_is_named_is_taken() {
    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    let mut wanted = request(&transmitter, "poll");
    wanted["stream_id"] = json!("the-one");
    let source = Source::create(&instance, &wanted);
    until_set_up(&instance, &source, "failed");
    assert!(transmitter.streams().is_empty(), "none is made instead");
    transmitter.add_stream(
        json!({"stream_id": "the-one", "iss": transmitter.issuer(), "aud": ACME_AUDIENCE, "status": "enabled"}),
    );
    until_done(&instance, &source);
    assert_eq!(transmitter.streams().len(), 1);
}

#[test]
fn a_transmitter_that_is_down_or_busy_is_asked_again_and_its_times_are_kept() {
    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    for what in [
        "GET /.well-known/ssf-configuration",
        "POST /token",
        "POST /streams",
        "POST /verify",
    ] {
        transmitter.fail(what, Fault::Instead(Reply::status(503)));
        transmitter.fail(what, Fault::Instead(Reply::Reset));
    }
    transmitter.fail(
        "GET /streams",
        Fault::Instead(Reply::status(429).header("retry-after", "1")),
    );
    let source = Source::create(&instance, &request(&transmitter, "push"));
    until_done(&instance, &source);
    let lists = transmitter.requests("GET /streams");
    assert!((lists[1].at - lists[0].at).as_millis() >= 1000, "Retry-After");
}

#[test]
fn what_no_repetition_mends_is_said() {
    let instance = Instance::start(options().set("SETUP_AGAIN_S", 3600));
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    transmitter.metadata("configuration_endpoint", Value::Null);
    let source = Source::create(&instance, &request(&transmitter, "push"));
    let shown = until_set_up(&instance, &source, "failed");
    let detail = shown["steps"][0]["detail"].as_str().expect("a text");
    assert!(detail.contains("configuration_endpoint"), "{detail}");
    // SSF-7.2.4-2
    transmitter.metadata("issuer", json!("https://other.example"));
    let again = json!({"from": "discovery"});
    instance
        .operator()
        .post_json(&format!("{}/setup", source.path()), &again, 202);
    until_problem(&instance, &source, "setup_failed");
    until_set_up(&instance, &source, "failed");
    assert_eq!(transmitter.requests("POST /token").len(), 0, "SSF-7.2.4-1");
}

/// Pitfall 20.
#[test]
fn credentials_that_cannot_be_opened_any_more_are_given_anew() {
    let mut instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    transmitter.fail_always("POST /streams", Reply::status(503));
    let source = Source::create(&instance, &request(&transmitter, "push"));
    eventually("the stream is asked for", || {
        (!transmitter.requests("POST /streams").is_empty()).then_some(())
    });
    let settings = [
        ("ADMIN_TOKEN", ADMIN_TOKEN),
        ("KEY_ENCRYPTION_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"),
        ("ALLOW_LOOPBACK", "1"),
        ("RETRY_BASE_MS", "40"),
        ("RETRY_CAP_MS", "200"),
    ];
    restart_with(&mut instance, &settings);
    until_problem(&instance, &source, "credentials_unreadable");
    transmitter.mend();
    instance
        .operator()
        .patch_json(&source.path(), &json!({"credentials": credentials()}), 200);
    until_done(&instance, &source);
    assert!(problems(&instance, &source).is_empty());
    // The header could not be opened either: the transmitter has a new one.
    let stream = transmitter.streams().remove(0);
    assert_ne!(stream["delivery"]["authorization_header"], json!(source.authorization));
    let draft = transmitter.draft();
    assert_eq!(transmitter.push(&draft.sign()), Some(202));
    assert_eq!(received(&instance, &source), [draft.jti()]);
    // The old one opens nothing any more.
    eventually("the header of before is refused", || {
        let client = source.transmitter(&instance);
        let headers = [("content-type", "application/secevent+jwt")];
        let answer = client.try_send("POST", &source.receive_path(), &headers, draft.sign().as_bytes());
        answer.is_ok_and(|answer| answer.status == 400).then_some(())
    });
}

#[test]
fn subjects_are_added_and_removed_later_in_bulk_and_refusals_are_said() {
    let (instance, transmitter, source) = connect(options(), "poll");
    let path = format!("{}/subjects", source.path());
    let subject = |n: u32| json!({"format": "opaque", "id": n.to_string()});
    transmitter.fail("POST /add", Fault::Instead(Reply::status(400)));
    transmitter.fail("POST /add", Fault::Instead(Reply::status(503)));
    let many: Vec<Value> = (0..60).map(subject).collect();
    let answer = instance.operator().post_json(&path, &json!({"add": many}), 202);
    assert_eq!(answer, json!({"waiting": 60}));
    until_done(&instance, &source);
    assert_eq!(transmitter.subjects().len(), 59);
    assert_eq!(problems(&instance, &source), ["subjects_refused"]);
    instance
        .operator()
        .post_json(&path, &json!({"add": many, "remove": [subject(7)]}), 202);
    eventually("all is as wished", || {
        let there = transmitter.subjects();
        (there.len() == 59 && !there.contains(&subject(7))).then_some(())
    });
    // SSF-9.3-2, SSF-9.3-3: one about who was removed may still come.
    let late = transmitter.draft().claim("sub_id", subject(7));
    let jti = transmitter.queue(&late);
    super::until_received(&instance, &source, &[jti]);
    assert!(transmitter.refused().is_empty());
    until_done(&instance, &source);
    assert!(problems(&instance, &source).is_empty());
}

#[test]
fn without_credentials_nothing_is_managed() {
    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    let source = Source::register(&instance, &transmitter.issuer(), ACME_AUDIENCE);
    assert_eq!(setup(&instance, &source), json!({"state": "unmanaged", "steps": []}));
    assert_eq!(health(&instance, &source)["state"], "ok");
    instance
        .operator()
        .post_json(&format!("{}/verification", source.path()), &json!({}), 409);
    instance.operator().get(&format!("{}/status", source.path()), 409);
    let refused = instance.operator().send_json(
        "PATCH",
        &source.path(),
        &json!({"credentials": credentials(), "stream_id": "x"}),
        400,
    );
    assert_eq!(pointer_of(&refused), "/stream_id");
    // It may become managed later.
    instance
        .operator()
        .patch_json(&source.path(), &json!({"credentials": credentials()}), 200);
    until_done(&instance, &source);
    assert_eq!(transmitter.streams().len(), 1);
}
