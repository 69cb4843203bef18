//! Poll in: nothing is lost, whatever the transmitter sends and however the poll ends.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    connect, health, managed, options, received, request, until_done, until_no_problem, until_problem, until_received,
};
use crate::harness::{Draft, Fault, Instance, Key, Reply, SsfTransmitter, eventually};
use crate::support::{ACME_AUDIENCE, Source};

/// POLL-2-4, POLL-2-6, POLL-R-20, POLL-R-23.
#[test]
fn events_are_stored_and_then_acknowledged() {
    let (instance, transmitter, source) = connect(options(), "poll");
    let jtis: Vec<String> = (0..250).map(|_| transmitter.queue(&transmitter.draft())).collect();
    until_received(&instance, &source, &jtis);
    eventually("all are acknowledged", || (transmitter.queued() == 0).then_some(()));
    assert!(transmitter.refused().is_empty());
    let poll = transmitter.requests("POST /poll").remove(0);
    assert_eq!(poll.header("content-language"), Some("en"), "POLL-2.6-1");
    let body: Value = serde_json::from_str(poll.text()).expect("JSON");
    assert_eq!(body["returnImmediately"], json!(false), "it is held");
    let health = health(&instance, &source);
    assert_eq!(health["received"], json!(251), "with the verification");
    assert!(health["last_poll_at"].is_u64());
}

/// POLL-2-7, POLL-2.5-4, POLL-R-24, pitfalls 14 and 16.
#[test]
fn a_set_that_is_no_good_is_reported_and_holds_nothing_up() {
    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    // It has the length of a point, and is none.
    let zero = "A".repeat(43);
    transmitter.publish_oddly(json!({"kty": "EC", "crv": "P-256", "kid": "odd", "x": zero, "y": zero}));
    let source = managed(&instance, &transmitter, "poll");
    let other = transmitter.draft();
    let state = json!({"https://schemas.openid.net/secevent/ssf/event-type/verification": {"state": "stray"}});
    let stream = json!({"format": "opaque", "id": "stream-1"});
    let cases = [
        ("not-a-set", json!("x"), "invalid_request"),
        ("not-text", json!(5), "invalid_request"),
        ("null", json!(null), "invalid_request"),
        ("another-key", json!(other.sign()), "invalid_request"),
        (
            "forged",
            json!(transmitter.draft().forged_with(Key::Second).sign()),
            "invalid_key",
        ),
        (
            "issuer",
            json!(transmitter.draft().claim("iss", "https://x.example").sign()),
            "invalid_issuer",
        ),
        (
            "off-the-curve",
            json!(transmitter.draft().header("kid", "odd").header("alg", "ES256").sign()),
            "invalid_key",
        ),
        // It fits into no row.
        (
            "too-long",
            json!(transmitter.draft().claim("long", "x".repeat(1_700_000)).sign()),
            "invalid_request",
        ),
        (
            "audience",
            json!(transmitter.draft().claim("aud", "https://x.example").sign()),
            "invalid_audience",
        ),
        (
            "stray",
            json!(
                transmitter
                    .draft()
                    .claim("jti", "stray")
                    .claim("sub_id", stream)
                    .claim("events", state)
                    .sign()
            ),
            "invalid_state",
        ),
    ];
    for (key, set, _) in &cases {
        transmitter.queue_as(key, set.clone());
    }
    let good = transmitter.queue(&transmitter.draft());
    eventually("all are answered", || (transmitter.queued() == 0).then_some(()));
    let refused = transmitter.refused();
    for (key, _, err) in &cases {
        assert_eq!(refused[*key]["err"], json!(err), "{key}: {refused:#?}");
    }
    assert_eq!(refused.len(), cases.len());
    assert_eq!(received(&instance, &source), [good]);
    assert_eq!(health(&instance, &source)["refused"], json!(cases.len()));
}

/// Pitfall 3.
#[test]
fn odd_answers_are_read_as_they_are_meant() {
    let instance = Instance::start(options());
    for members in [
        json!({"moreAvailable": "true"}),
        json!({"moreAvailable": 1}),
        json!({"moreAvailable": null, "surprise": {}}),
        json!({"moreAvailable": true}),
    ] {
        let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
        transmitter.decorate_polls(members);
        transmitter.hold_polls(Duration::ZERO);
        let source = managed(&instance, &transmitter, "poll");
        let jtis: Vec<String> = (0..3).map(|_| transmitter.queue(&transmitter.draft())).collect();
        until_received(&instance, &source, &jtis);
    }
    for body in ["{}", r#"{"sets":null}"#, ""] {
        let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
        let source = managed(&instance, &transmitter, "poll");
        for _ in 0..3 {
            transmitter.fail("POST /poll", Fault::Instead(Reply::status(200).body(body)));
        }
        let jti = transmitter.queue(&transmitter.draft());
        until_received(&instance, &source, &[jti]);
    }
}

/// POLL-2.4-3, POLL-R-22, POLL-R-23.
#[test]
fn failures_lose_neither_events_nor_acknowledgements() {
    let (instance, transmitter, source) = connect(options(), "poll");
    let mut jtis = Vec::new();
    for fault in [
        Fault::Instead(Reply::status(500)),
        Fault::Instead(Reply::Reset),
        Fault::Lost,
        Fault::Instead(Reply::status(200).body("<html>")),
        Fault::Instead(Reply::status(429).header("retry-after", "1")),
        Fault::Instead(Reply::status(401)),
        Fault::Instead(Reply::status(302).header("location", "/elsewhere")),
    ] {
        transmitter.fail("POST /poll", fault);
        jtis.push(transmitter.queue(&transmitter.draft()));
        until_received(&instance, &source, &jtis);
    }
    eventually("all are acknowledged", || (transmitter.queued() == 0).then_some(()));
    assert!(
        transmitter.requests("POST /token").len() >= 2,
        "401 is answered with a new token"
    );
    transmitter.fail_always("POST /poll", Reply::status(503));
    transmitter.queue_as("wakes-the-poll", json!("x"));
    until_problem(&instance, &source, "poll_failing");
    transmitter.mend();
    until_no_problem(&instance, &source, "poll_failing");
}

/// SSF-4.1.4-2: a new key signs before anybody here has seen it.
#[test]
fn a_new_key_of_the_transmitter_loses_nothing() {
    let (instance, transmitter, source) = connect(options().set("KEY_REFETCH_MS", 1500), "poll");
    let mut jtis = vec![transmitter.queue(&transmitter.draft())];
    transmitter.sign_with(Key::Second, &[Key::Second]);
    jtis.extend((0..5).map(|_| transmitter.queue(&transmitter.draft())));
    until_received(
        &instance,
        &source,
        &jtis[1..].iter().chain(&jtis[..1]).cloned().collect::<Vec<_>>(),
    );
    eventually("all are acknowledged", || (transmitter.queued() == 0).then_some(()));
    assert!(transmitter.refused().is_empty(), "{:?}", transmitter.refused());
}

/// Pitfall 28: the document of keys may be older than the key, and it does not have to be said twice that there is none.
#[test]
fn a_key_that_is_not_published_is_waited_for_and_not_for_ever() {
    let (instance, transmitter, source) = connect(options().set("KEY_REFETCH_MS", 2000), "poll");
    let fetches = || transmitter.requests("GET /jwks.json").len();
    let before = fetches();
    transmitter.sign_with(Key::Second, &[Key::First]);
    let late = transmitter.queue(&transmitter.draft());
    eventually("the keys are fetched without it", || (fetches() > before).then_some(()));
    transmitter.sign_with(Key::Second, &[Key::First, Key::Second]);
    until_received(&instance, &source, std::slice::from_ref(&late));
    assert!(transmitter.refused().is_empty(), "{:?}", transmitter.refused());

    let before = fetches();
    for n in 0..20 {
        let lost = transmitter.draft().header("kid", "withdrawn").sign();
        transmitter.queue_as(&format!("lost-{n}"), json!(lost));
    }
    let good = transmitter.queue(&transmitter.draft());
    until_received(&instance, &source, &[late, good]);
    eventually("all are answered", || (transmitter.queued() == 0).then_some(()));
    let refused = transmitter.refused();
    assert!(refused.len() == 20 && refused.values().all(|error| error["err"] == "invalid_key"));
    assert!(
        fetches() <= before + 3,
        "not one for each of them: {}",
        fetches() - before
    );
}

/// What the transmitter asked for counts longer than the object lives.
#[test]
fn a_transmitter_that_wants_to_be_left_alone_is_also_after_the_runtime_died() {
    let (mut instance, transmitter, source) = connect(options(), "poll");
    let polls = || transmitter.requests("POST /poll").len();
    let later = Reply::status(503).header("retry-after", "3600");
    transmitter.fail("POST /poll", Fault::Instead(later));
    transmitter.queue_as("wakes-the-poll", json!("x"));
    // An hour without events is a problem at once.
    until_problem(&instance, &source, "poll_failing");
    let before = polls();
    instance.restart();
    let verified = transmitter.requests("POST /verify").len();
    let again = json!({"from": "verification"});
    instance
        .operator()
        .post_json(&format!("{}/setup", source.path()), &again, 202);
    eventually("the object works", || {
        (transmitter.requests("POST /verify").len() > verified).then_some(())
    });
    instance.operator().get(&format!("{}/status", source.path()), 200);
    assert_eq!(polls(), before);
}

/// RFC 8936 leaves to the transmitter for how long it holds a poll.
#[test]
fn a_transmitter_may_hold_a_poll_for_longer_than_we_wait() {
    let (instance, transmitter, source) = connect(options().set("POLL_TIMEOUT_MS", 1000), "poll");
    let at_once = |yes: bool| {
        let wanted = format!("\"returnImmediately\":{yes}");
        let polls = transmitter.requests("POST /poll");
        polls.iter().filter(|poll| poll.text().contains(&wanted)).count()
    };
    eventually("some were held too long", || (at_once(false) >= 5).then_some(()));
    assert!(at_once(true) >= 3, "whether it is still there");
    assert_eq!(health(&instance, &source)["state"], json!("ok"));
    let jti = transmitter.queue(&transmitter.draft());
    until_received(&instance, &source, &[jti]);
}

#[test]
fn a_short_poll_comes_at_its_interval() {
    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    let mut wanted = request(&transmitter, "poll");
    wanted["poll_interval"] = json!(1);
    let source = Source::create(&instance, &wanted);
    until_done(&instance, &source);
    let jtis: Vec<String> = (0..3).map(|_| transmitter.queue(&transmitter.draft())).collect();
    until_received(&instance, &source, &jtis);
    let bodies = transmitter.requests("POST /poll");
    assert!(
        bodies
            .iter()
            .all(|poll| poll.text().contains("\"returnImmediately\":true"))
    );
}

/// SSF-3.6-3, SSF-3.6-4: acknowledged, counted, and not kept.
#[test]
fn what_is_critical_and_not_understood_is_discarded() {
    for delivery in ["poll", "push"] {
        critical_by(delivery);
    }
}

fn critical_by(delivery: &str) {
    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    transmitter.metadata("critical_subject_members", json!(["ship"]));
    let source = Source::create(&instance, &request(&transmitter, delivery));
    until_done(&instance, &source);
    let come = |draft: &Draft| match delivery {
        "poll" => transmitter.queue(draft),
        _ => {
            source.push(&instance, &draft.sign(), 202);
            draft.jti()
        }
    };
    let ship = json!({"format": "complex", "ship": {"format": "opaque", "id": "1"}});
    come(&transmitter.draft().claim("sub_id", ship.clone()));
    eventually("it is acknowledged", || {
        (health(&instance, &source)["discarded"] == json!(1)).then_some(())
    });
    assert!(received(&instance, &source).is_empty());
    instance
        .operator()
        .patch_json(&source.path(), &json!({"understood_members": ["ship"]}), 200);
    let jti = come(&transmitter.draft().claim("sub_id", ship));
    until_received(&instance, &source, &[jti]);
    assert!(transmitter.refused().is_empty());
}

/// Pitfall 19: the loop goes on after the runtime died.
#[test]
fn polling_goes_on_after_the_runtime_died() {
    let (mut instance, transmitter, source) = connect(options(), "poll");
    let mut jtis = Vec::new();
    for _ in 0..3 {
        jtis.push(transmitter.queue(&transmitter.draft()));
        instance.restart();
        jtis.push(transmitter.queue(&transmitter.draft()));
        until_received(&instance, &source, &jtis);
    }
}

#[test]
fn a_stream_that_is_gone_is_made_again() {
    let (instance, transmitter, source) = connect(options(), "poll");
    transmitter.forget_streams();
    transmitter.fail("POST /poll", Fault::Instead(Reply::status(404)));
    transmitter.queue_as("wakes-the-poll", json!("x"));
    eventually("there is a new stream", || {
        (!transmitter.streams().is_empty()).then_some(())
    });
    until_done(&instance, &source);
    until_no_problem(&instance, &source, "stream_gone");
    let jti = transmitter.queue(&transmitter.draft());
    until_received(&instance, &source, &[jti]);
}
