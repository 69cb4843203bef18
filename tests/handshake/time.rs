//! What time does to a handshake and to a grant: attempts that are repeated, a window that ends, a grant that has to be renewed.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Reply, ScriptedReceiver, eventually};
use crate::outbox::ids;

use super::{Asked, World, assert_members, callback_of, consent, later, pushed, soon};

/// How much earlier than it should an attempt may seem to come: instances count whole milliseconds.
const ROUNDING: Duration = Duration::from_millis(2);

fn patient_guard() -> crate::harness::Options {
    soon().set("HANDSHAKES_PER_HOST", 100_000)
}

fn asked_at(endpoint: &ScriptedReceiver, nth: usize) -> Instant {
    endpoint.wait_for_ask(nth).at
}

/// Section 2.1, "requested": once, six times and thirty times the first wait, then that again and again.
#[test]
fn an_attempt_without_an_answer_is_repeated_more_and_more_seldom() {
    let world = World::start(patient_guard().set("HANDSHAKE_RETRY_MS", 40));
    let (endpoint, asked) = world.asked(Reply::status(503));
    for (nth, times) in [(1, 1), (2, 6), (3, 30), (4, 30)] {
        let waited = asked_at(&endpoint, nth + 1) - asked_at(&endpoint, nth);
        let least = Duration::from_millis(40 * times) - ROUNDING;
        assert!(
            waited >= least,
            "attempt {} came after {waited:?} of {least:?}",
            nth + 1
        );
    }
    let grant = asked.wait_until("five attempts were answered", |grant| {
        grant["handshake"]["attempts"].as_u64() >= Some(5)
    });
    assert_members(
        &grant,
        &json!({"state": "pending", "requested_rate": 600}),
        "it is asked still",
    );
    let history = grant["history"].as_array().expect("an array");
    assert_eq!(history.len(), 1, "an attempt changes nothing: {grant}");
}

/// WH-2.2-10, WH-2.2-36
#[test]
fn an_endpoint_that_names_a_later_time_is_asked_then() {
    let world = World::start(patient_guard());
    let named = |status: u16, text: &str| Reply::status(status).header("retry-after", text);
    for reply in [named(503, "1"), named(429, "1"), named(500, "1")] {
        let endpoint = ScriptedReceiver::start();
        endpoint.then_consent(reply).otherwise_consent(consent("60"));
        let asked = world.asked_at(&endpoint.url("/events"));
        let waited = asked_at(&endpoint, 2) - asked_at(&endpoint, 1);
        assert!(waited >= Duration::from_secs(1) - ROUNDING, "{waited:?}");
        asked.wait_for("granted");
    }
    // What cannot be read is as good as nothing: WH-2.2-41.
    for text in ["-5", "1.5", "inf", "1e300", "soon", ""] {
        let endpoint = ScriptedReceiver::start();
        endpoint.then_consent(named(503, text)).otherwise_consent(consent("60"));
        world.asked_at(&endpoint.url("/events")).wait_for("granted");
    }
}

#[test]
fn an_endpoint_that_names_an_earlier_time_is_not_asked_before_its_turn() {
    let world = World::start(patient_guard().set("HANDSHAKE_RETRY_MS", 1000));
    let endpoint = ScriptedReceiver::start();
    endpoint
        .then_consent(Reply::status(503).header("retry-after", "0"))
        .otherwise_consent(consent("60"));
    world.asked_at(&endpoint.url("/events"));
    let waited = asked_at(&endpoint, 2) - asked_at(&endpoint, 1);
    assert!(waited >= Duration::from_secs(1) - ROUNDING, "{waited:?}");
}

/// WH-4.1-24: after the window a new handshake is needed, and nobody begins one by himself.
#[test]
fn a_window_ends_and_takes_the_callback_with_it() {
    let world = World::start(
        patient_guard()
            .set("GRANT_WINDOW_S", 2)
            .set("HANDSHAKE_TIMEOUT_MS", 200),
    );
    let rows: Vec<(&str, Reply, &str)> = vec![
        ("nobody called", later(), "expired"),
        ("it never could answer", Reply::status(503), "expired"),
        (
            "it asked to wait for longer",
            Reply::status(503).header("retry-after", "3600"),
            "expired",
        ),
        ("it never answered", Reply::Never, "expired"),
        ("it takes no part", Reply::status(405), "unsupported"),
    ];
    let asked: Vec<_> = rows
        .into_iter()
        .map(|(what, reply, state)| (what, world.asked(reply), state))
        .collect();
    for (what, (endpoint, asked), state) in &asked {
        let callback = callback_of(&endpoint.wait_for_ask(1));
        let grant = asked.wait_until(&format!("{what}: the window is over"), |grant| {
            grant["state"] != "pending" && grant["handshake"].is_null()
        });
        assert_members(
            &grant,
            &json!({"state": state, "allowed_rate": null, "via": grant["via"]}),
            what,
        );
        assert!(grant["detail"].is_string(), "{what}: {grant}");
        asked.call("POST", &callback, 404);
        asked.call("GET", &callback, 404);
        assert!(asked.is_held(), "{what}");
    }
    let asks = |endpoint: &ScriptedReceiver| endpoint.asks().len();
    let before: Vec<usize> = asked.iter().map(|(_, (endpoint, _), _)| asks(endpoint)).collect();
    // A neighbour's handshake, from its beginning to its end, is time enough for more.
    world.asked(later()).1.wait_for("expired");
    let after: Vec<usize> = asked.iter().map(|(_, (endpoint, _), _)| asks(endpoint)).collect();
    assert_eq!(before, after);
    assert_eq!((before[0], before[2], before[4]), (1, 1, 1));
}

/// T-H-07: a callback that granted is good until the window is over, and what it granted stays.
#[test]
fn what_a_callback_granted_outlives_its_window() {
    let world = World::start(patient_guard().set("GRANT_WINDOW_S", 2));
    let (endpoint, asked) = world.asked(later());
    let callback = callback_of(&endpoint.wait_for_ask(1));
    asked.call("POST", &callback, 200);
    asked.wait_until("the window is over", |grant| grant["handshake"].is_null());
    asked.call_with("POST", &callback, &[("webhook-allowed-rate", "1")], 404);
    assert_members(
        &asked.grant(),
        &json!({"state": "granted", "allowed_rate": 600}),
        "it stays",
    );
    world.publish(&["a1"]);
    endpoint.wait_for_push(1);
}

/// WH-4-2: asked again when the grant is old; until there is an answer, what was granted goes on.
#[test]
fn a_grant_that_is_over_is_renewed_while_deliveries_go_on() {
    let world = World::start(patient_guard().set("GRANT_TTL_S", 1));
    let endpoint = ScriptedReceiver::start();
    endpoint.then_consent(consent("6000"));
    let gate = endpoint.then_consent_held(consent("3000"));
    endpoint.otherwise_consent(consent("3001"));
    let asked = world.asked_at(&endpoint.url("/events"));
    let first = asked.wait_for("granted");
    let (granted_at, expires_at) = (first["granted_at"].as_u64(), first["expires_at"].as_u64());
    assert_eq!(expires_at, granted_at.map(|at| at + 1000));

    endpoint.wait_for_ask(2);
    world.publish(&["a1", "b1", "c1"]);
    endpoint.wait_for_push(3);
    asked.wait_until_idle();
    let during = asked.grant();
    let expected =
        json!({"state": "granted", "allowed_rate": 6000, "granted_at": granted_at, "expires_at": expires_at});
    assert_members(&during, &expected, "the answer is not there yet");
    assert_eq!(asked.stream.status(), json!({"status": "enabled"}));
    gate.open();
    let renewed = asked.wait_until("it is renewed", |grant| grant["allowed_rate"] != 6000);
    assert_eq!(renewed["state"], json!("granted"));
    assert!(renewed["granted_at"].as_u64() > granted_at, "{renewed}");
    let rates: Vec<&Value> = renewed["history"].as_array().expect("an array").iter().rev().collect();
    let rates: Vec<&Value> = rates.into_iter().map(|entry| &entry["allowed_rate"]).take(3).collect();
    assert_eq!(rates, [&Value::Null, &json!(6000), &json!(3000)], "{renewed}");
    // And so on.
    endpoint.wait_for_ask(4);
    world.publish(&["a2"]);
    endpoint.wait_for_push(4);
}

#[test]
fn a_renewal_that_is_refused_ends_the_deliveries() {
    let world = World::start(patient_guard().set("GRANT_TTL_S", 1));
    let endpoint = ScriptedReceiver::start();
    endpoint
        .then_consent(consent("*"))
        .otherwise_consent(Reply::status(403));
    let asked = world.asked_at(&endpoint.url("/events"));
    world.publish(&["a1"]);
    endpoint.wait_for_push(1);
    let grant = asked.wait_for("denied");
    assert_members(&grant, &json!({"allowed_rate": null, "expires_at": null}), "it refused");
    asked.call("POST", &callback_of(&endpoint.wait_for_ask(2)), 404);
    world.publish(&["a2"]);
    eventually("it waits", || (asked.queued() == 1).then_some(()));
    assert!(asked.is_held());
    assert_eq!(ids(&pushed(&endpoint)), ["a1"]);
    assert_eq!(endpoint.asks().len(), 2);
}

/// Whatever does not renew the grant in its window: the old rate until then, and then nothing.
#[test]
fn a_renewal_that_is_not_answered_ends_the_deliveries_with_its_window() {
    let options = patient_guard()
        .set("GRANT_TTL_S", 1)
        .set("GRANT_WINDOW_S", 3)
        .set("HANDSHAKE_TIMEOUT_MS", 300)
        .set("HANDSHAKE_RETRY_MS", 50);
    let world = World::start(options);
    let replies = [
        ("later", later()),
        ("unavailable", Reply::status(503)),
        ("silent", Reply::Never),
        ("unsupported", Reply::status(405)),
        ("a redirect", Reply::status(307).header("location", "/other")),
        ("no rate", consent("0")),
    ];
    let cases: Vec<(&str, ScriptedReceiver, Asked)> = replies
        .into_iter()
        .map(|(what, reply)| {
            let endpoint = ScriptedReceiver::start();
            endpoint.then_consent(consent("*")).otherwise_consent(reply);
            let asked = world.asked_at(&endpoint.url("/events"));
            (what, endpoint, asked)
        })
        .collect();
    for (_, endpoint, _) in &cases {
        endpoint.wait_for_ask(2);
    }
    // All of them are in their windows still, which are long enough for that.
    world.publish(&["a1"]);
    for (what, endpoint, asked) in &cases {
        endpoint.wait_for_push(1);
        let grant = asked.wait_for("expired");
        let expected = json!({"allowed_rate": null, "granted_at": null, "expires_at": null, "handshake": null});
        assert_members(&grant, &expected, what);
        assert!(asked.is_held(), "{what}");
        let callback = callback_of(&endpoint.wait_for_ask(2));
        asked.call("POST", &callback, 404);
    }
    world.publish(&["a2"]);
    for (what, endpoint, asked) in &cases {
        eventually("it waits", || (asked.queued() == 1).then_some(()));
        assert_eq!(ids(&pushed(endpoint)), ["a1"], "{what}");
        assert_eq!(asked.stream.status()["status"], json!("paused"), "{what}");
    }
}

/// WH-2.2-7: whoever said that it is gone is left alone, though its consent wants to be renewed.
#[test]
fn an_endpoint_that_is_gone_is_not_asked_when_its_grant_is_over() {
    let world = World::start(patient_guard().set("GRANT_TTL_S", 2).set("GRANT_WINDOW_S", 1));
    let (endpoint, asked) = world.agreed("*");
    endpoint.otherwise(Reply::status(410));
    world.publish(&["a1"]);
    endpoint.wait_for_push(1);
    asked.wait_for("expired");
    assert_eq!(endpoint.asks().len(), 1);
    // Somebody who says that it is back has it asked.
    asked.decide(&json!({"action": "ask"}), 202);
    asked.wait_for("granted");
}

/// WH-2.2-10: what a push was told holds for the question, too.
#[test]
fn a_grant_that_is_over_is_renewed_when_the_endpoint_wants_to_hear_again() {
    let world = World::start(patient_guard().set("GRANT_TTL_S", 1));
    let (endpoint, _asked) = world.agreed("*");
    endpoint.then(Reply::status(429).header("retry-after", "3"));
    world.publish(&["a1"]);
    let told = endpoint.wait_for_push(1).at;
    assert!(asked_at(&endpoint, 2) - told >= Duration::from_secs(3) - ROUNDING);
    endpoint.wait_for_push(2);
}

#[test]
fn a_renewal_may_come_through_the_callback() {
    let world = World::start(patient_guard().set("GRANT_TTL_S", 2));
    let endpoint = ScriptedReceiver::start();
    endpoint.then_consent(consent("*")).otherwise_consent(later());
    let asked = world.asked_at(&endpoint.url("/events"));
    let first = asked.wait_for("granted");
    let callback = callback_of(&endpoint.wait_for_ask(2));
    asked.call("POST", &callback_of(&endpoint.wait_for_ask(1)), 404);
    asked.call_with("GET", &callback, &[("webhook-allowed-rate", "6000")], 200);
    let renewed = asked.grant();
    let expected = json!({"state": "granted", "via": "callback_get", "allowed_rate": 6000});
    assert_members(&renewed, &expected, "renewed");
    assert!(renewed["expires_at"].as_u64() > first["expires_at"].as_u64());
    world.publish(&["a1"]);
    endpoint.wait_for_push(1);
}

/// WH-4-2: 0 is never.
#[test]
fn a_grant_may_last_for_ever() {
    let world = World::start(soon().set("GRANT_TTL_S", 0));
    let (_endpoint, asked) = world.agreed("60");
    assert_eq!(asked.grant()["expires_at"], Value::Null);
}
