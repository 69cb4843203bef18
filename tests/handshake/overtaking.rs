//! A callback that comes before the answer to the question (T-H-06, WH-4.1-13): the answer is held back, the callback used, and
//! then the answer let go.

use serde_json::json;

use crate::harness::{Reply, ScriptedReceiver, eventually};

use super::{Asked, ORIGIN, World, assert_members, callback_of, consent, later, pushed, soon};

/// Lets the answer come after a callback that granted 300 a minute. Returns once it is known.
#[track_caller]
fn overtaken(world: &World, reply: Reply) -> (ScriptedReceiver, Asked) {
    let endpoint = ScriptedReceiver::start();
    let gate = endpoint.then_consent_held(reply);
    let asked = world.asked_at(&endpoint.url("/events"));
    world.publish(&["a1"]);
    let callback = callback_of(&endpoint.wait_for_ask(1));
    asked.call_with("POST", &callback, &[("webhook-allowed-rate", "300")], 200);
    let expected = json!({"state": "granted", "via": "callback_post", "allowed_rate": 300, "exchange": null});
    assert_members(&asked.grant(), &expected, "the callback came first");
    // Events do not wait for the answer.
    endpoint.wait_for_push(1);
    gate.open();
    asked.wait_for_exchange();
    (endpoint, asked)
}

#[test]
fn a_callback_that_overtakes_the_answer_grants_and_the_answer_changes_nothing() {
    let world = World::start(soon());
    let replies = [
        later(),
        consent("5"),
        consent("*"),
        consent("0"),
        Reply::status(404),
        Reply::status(405),
        Reply::status(500),
        Reply::status(503).header("retry-after", "1"),
        Reply::Close,
        Reply::status(200).header("webhook-allowed-origin", ORIGIN),
    ];
    for reply in replies {
        let what = format!("{reply:?}");
        let (endpoint, asked) = overtaken(&world, reply);
        let expected = json!({"state": "granted", "via": "callback_post", "allowed_rate": 300});
        let grant = asked.grant();
        assert_members(&grant, &expected, &what);
        assert_eq!(grant["handshake"]["next_attempt_at"], json!(null), "{what}");
        // Another event, to give time to whatever else might come.
        world.publish(&["a2"]);
        endpoint.wait_for_push(2);
        asked.wait_until_idle();
        assert_members(&asked.grant(), &expected, &what);
        assert_eq!(endpoint.asks().len(), 1, "{what}");
        // The callback is good still.
        let callback = callback_of(&endpoint.wait_for_ask(1));
        asked.call_with("POST", &callback, &[("webhook-allowed-rate", "301")], 200);
        asked.stream.delete();
    }
}

/// WH-4-6: who contradicts himself does not agree.
#[test]
fn a_refusal_counts_although_a_callback_overtook_it() {
    let world = World::start(soon());
    let replies = [
        Reply::status(403),
        Reply::status(401),
        Reply::status(410),
        Reply::status(200).header("webhook-allowed-origin", "somebody.example"),
    ];
    for reply in replies {
        let what = format!("{reply:?}");
        let (endpoint, asked) = overtaken(&world, reply);
        asked.wait_for("denied");
        asked.call("POST", &callback_of(&endpoint.wait_for_ask(1)), 404);
        world.publish(&["a2"]);
        eventually("it waits", || (asked.queued() == 1).then_some(()));
        assert_eq!(crate::outbox::ids(&pushed(&endpoint)), ["a1"], "{what}");
        asked.stream.delete();
    }
}

/// A callback while an attempt without an answer waits to be repeated: it is not repeated.
#[test]
fn a_callback_between_two_attempts_ends_them() {
    let world = World::start(soon().set("HANDSHAKE_RETRY_MS", 3_600_000));
    let (endpoint, asked) = world.asked(Reply::status(503));
    let ask = endpoint.wait_for_ask(1);
    let grant = asked.wait_for_exchange();
    assert!(grant["handshake"]["next_attempt_at"].is_u64(), "{grant}");
    asked.call("GET", &callback_of(&ask), 200);
    let grant = asked.grant();
    assert_members(
        &grant,
        &json!({"state": "granted", "via": "callback_get"}),
        "the callback",
    );
    assert_eq!(grant["handshake"]["next_attempt_at"], json!(null));
}

/// An answer to a question that nobody asks any more, because the stream changed meanwhile, means nothing.
#[test]
fn an_answer_that_comes_too_late_means_nothing() {
    let world = World::start(soon());
    let held = |reply: Reply| {
        let endpoint = ScriptedReceiver::start();
        let gate = endpoint.then_consent_held(reply);
        let asked = world.asked_at(&endpoint.url("/events"));
        endpoint.wait_for_ask(1);
        (endpoint, gate, asked)
    };
    // Revoked while the endpoint was about to agree, and granted while it was about to refuse.
    let (_endpoint, gate, asked) = held(consent("*"));
    asked.decide(&json!({"action": "revoke"}), 200);
    gate.open();
    asked.wait_for_exchange();
    assert_members(
        &asked.grant(),
        &json!({"state": "denied", "via": "operator"}),
        "revoked",
    );
    asked.stream.delete();
    let (_endpoint, gate, asked) = held(Reply::status(403));
    asked.decide(&json!({"action": "grant", "allowed_rate": 5}), 200);
    gate.open();
    asked.wait_for_exchange();
    let expected = json!({"state": "granted", "via": "operator", "allowed_rate": 5});
    assert_members(&asked.grant(), &expected, "granted");
    asked.stream.delete();

    // T-H-10: the old endpoint agrees when it is none any more.
    let (old, gate, asked) = held(consent("*"));
    let new = ScriptedReceiver::start();
    new.otherwise_consent(consent("77"));
    asked
        .stream
        .patch(&json!({"delivery": {"method": crate::support::PUSH, "endpoint_url": new.url("/events")}}));
    world.publish(&["a1"]);
    assert_eq!(asked.grant()["state"], json!("pending"));
    gate.open();
    assert_eq!(asked.wait_for("granted")["allowed_rate"], json!(77));
    new.wait_for_push(1);
    assert_eq!((old.pushes().len(), old.asks().len(), new.asks().len()), (0, 1, 1));
    asked.stream.delete();

    // The stream itself is gone.
    let (endpoint, gate, asked) = held(consent("*"));
    let callback = callback_of(&endpoint.wait_for_ask(1));
    asked.stream.delete();
    gate.open();
    asked.call("POST", &callback, 404);
    world.agreed("*");
    assert_eq!(endpoint.requests().len(), 1);
}
