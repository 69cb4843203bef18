//! Killed with SIGKILL at any moment of a handshake: what an endpoint said before holds, and a question that was cut off is asked
//! again.

use serde_json::{Value, json};

use crate::harness::{Reply, ScriptedReceiver, eventually};
use crate::outbox::ids;

use super::{World, assert_members, callback_of, consent, later, now_ms, pushed, soon};

#[test]
fn a_question_that_was_cut_off_is_asked_again() {
    let mut world = World::start(soon().set("HANDSHAKE_TIMEOUT_MS", 500));
    let endpoint = ScriptedReceiver::start();
    let gate = endpoint.then_consent_held(consent("5"));
    endpoint.otherwise_consent(consent("*"));
    let asked = world.asked_at(&endpoint.url("/events"));
    world.publish(&["a1"]);
    endpoint.wait_for_ask(1);
    world.instance.kill();
    gate.open();
    world.instance.restart();
    endpoint.wait_for_ask(2);
    let grant = asked.wait_for("granted");
    assert_eq!(
        grant["allowed_rate"],
        json!("*"),
        "the answer that nobody read means nothing"
    );
    asked.wait_until_idle();
    assert_eq!(ids(&pushed(&endpoint)), ["a1"]);
}

/// WH-4.1-13: it was stored before the question left.
#[test]
fn the_callback_of_a_question_that_was_cut_off_is_good() {
    let mut world = World::start(soon().set("HANDSHAKE_TIMEOUT_MS", 30_000));
    let endpoint = ScriptedReceiver::start();
    let gate = endpoint.then_consent_held(later());
    let asked = world.asked_at(&endpoint.url("/events"));
    world.publish(&["a1"]);
    let callback = callback_of(&endpoint.wait_for_ask(1));
    world.instance.restart();
    assert_eq!(asked.grant()["state"], json!("pending"));
    asked.call("POST", &callback, 200);
    asked.wait_until_idle();
    assert_eq!(ids(&pushed(&endpoint)), ["a1"]);
    gate.open();
    assert_eq!(endpoint.asks().len(), 1);
}

#[test]
fn a_stream_that_was_created_is_asked_about_although_nobody_was_asked_yet() {
    // A question that was cut off counts, and so does the next.
    let options = soon().set("HANDSHAKE_TIMEOUT_MS", 500).set("HANDSHAKES_PER_HOST", 100);
    let mut world = World::start(options);
    let endpoint = ScriptedReceiver::start();
    endpoint.otherwise_consent(consent("*"));
    for _ in 0..5 {
        let asked = world.asked_at(&endpoint.url("/events"));
        world.instance.restart();
        asked.wait_for("granted");
        asked.stream.delete();
    }
}

#[test]
fn who_may_call_back_may_do_so_after_a_restart_and_is_not_asked_again() {
    let mut world = World::start(soon());
    let (endpoint, asked) = world.asked(later());
    let callback = callback_of(&endpoint.wait_for_ask(1));
    asked.wait_for_exchange();
    world.publish(&["a1"]);
    let before = asked.grant();
    world.instance.restart();
    let after = asked.grant();
    for member in ["state", "since", "requested_rate", "detail", "handshake", "history"] {
        assert_eq!(after[member], before[member], "{member}");
    }
    asked.call_with("POST", &callback, &[("webhook-allowed-rate", "600")], 200);
    // Killed before anything was delivered, or in the middle of it.
    world.instance.restart();
    asked.wait_until_idle();
    let arrived = ids(&pushed(&endpoint));
    assert!(
        arrived.iter().all(|id| id == "a1") && (1..=2).contains(&arrived.len()),
        "{arrived:?}"
    );
    assert_members(
        &asked.grant(),
        &json!({"state": "granted", "allowed_rate": 600}),
        "it stays",
    );
    asked.call_with("GET", &callback, &[("webhook-allowed-rate", "700")], 200);
    assert_eq!(endpoint.asks().len(), 1);
}

#[test]
fn what_was_decided_stays_decided() {
    let mut world = World::start(soon());
    let (agrees, granted) = world.agreed("6000");
    let (refuses, denied) = world.asked(Reply::status(403));
    denied.wait_for("denied");
    let (ignores, unsupported) = world.asked(Reply::status(405));
    unsupported.wait_for("unsupported");
    let streams = [&granted, &denied, &unsupported];
    let before: Vec<Value> = streams.iter().map(|asked| asked.grant()).collect();
    for round in 0..3 {
        world.instance.restart();
        for (asked, before) in streams.iter().zip(&before) {
            let after = asked.grant();
            for member in [
                "state",
                "since",
                "endpoint_url",
                "origin",
                "requested_rate",
                "allowed_rate",
                "via",
                "granted_at",
                "expires_at",
                "detail",
                "handshake",
                "history",
            ] {
                assert_eq!(after[member], before[member], "{member} in round {round}");
            }
        }
        world.publish(&[&format!("a{round}")]);
        granted.wait_until_idle();
    }
    // What was acknowledged last may not be written down yet when the process dies: then it comes twice.
    let mut arrived = ids(&pushed(&agrees));
    arrived.dedup();
    assert_eq!(arrived, ["a0", "a1", "a2"]);
    denied.call("POST", &callback_of(&refuses.wait_for_ask(1)), 404);
    unsupported.call("POST", &callback_of(&ignores.wait_for_ask(1)), 200);
    for endpoint in [&agrees, &refuses, &ignores] {
        assert_eq!(endpoint.asks().len(), 1);
    }
    unsupported.wait_until_idle();
    assert_eq!(ids(&pushed(&ignores)), ["a0", "a1", "a2"]);
    assert_eq!((refuses.pushes().len(), denied.queued()), (0, 3));
}

#[test]
fn an_attempt_that_waits_for_its_turn_is_made_after_a_restart() {
    let mut world = World::start(soon().set("HANDSHAKE_RETRY_MS", 1000));
    let endpoint = ScriptedReceiver::start();
    endpoint
        .then_consent(Reply::status(503))
        .otherwise_consent(consent("*"));
    let asked = world.asked_at(&endpoint.url("/events"));
    let first = endpoint.wait_for_ask(1);
    let grant = asked.wait_for_exchange();
    assert_eq!(grant["handshake"]["attempts"], json!(1));
    world.instance.restart();
    let second = endpoint.wait_for_ask(2);
    assert!((second.at - first.at).as_millis() >= 998, "{:?}", second.at - first.at);
    asked.wait_for("granted");
}

/// A window that ended while nobody was there.
#[test]
fn time_passes_while_the_process_is_gone() {
    let mut world = World::start(soon().set("GRANT_WINDOW_S", 2));
    let (endpoint, asked) = world.asked(later());
    let callback = callback_of(&endpoint.wait_for_ask(1));
    let until = asked.wait_for_exchange()["handshake"]["callback_until"]
        .as_u64()
        .expect("an instant");
    world.instance.kill();
    eventually("the window is over", || (now_ms() > until).then_some(()));
    world.instance.restart();
    asked.call("POST", &callback, 404);
    asked.wait_for("expired");
    assert_eq!(endpoint.asks().len(), 1);
}

/// A grant that ended while nobody was there is renewed, and goes on until that is decided.
#[test]
fn a_grant_that_ended_meanwhile_is_renewed() {
    let mut world = World::start(soon().set("GRANT_TTL_S", 1).set("HANDSHAKES_PER_HOST", 1000));
    let endpoint = ScriptedReceiver::start();
    endpoint.then_consent(consent("*"));
    let asked = world.asked_at(&endpoint.url("/events"));
    let over = asked.wait_for("granted")["expires_at"].as_u64().expect("an instant");
    world.instance.kill();
    eventually("the grant is over", || (now_ms() > over).then_some(()));
    let gate = endpoint.then_consent_held(consent("6000"));
    endpoint.otherwise_consent(consent("6000"));
    world.instance.restart();
    world.publish(&["a1"]);
    endpoint.wait_for_push(1);
    endpoint.wait_for_ask(2);
    gate.open();
    asked.wait_until("it is renewed", |grant| grant["allowed_rate"] == 6000);
}
