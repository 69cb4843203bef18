//! An endpoint that was gone (410): only a new consent brings it back, or a registration (WH-2.2-31, WH-4-2).

use serde_json::{Value, json};

use crate::harness::{Reply, ScriptedReceiver, eventually};
use crate::outbox::ids;
use crate::support::PUSH;

use super::{Asked, World, assert_members, callback_of, consent, later, pushed, soon};

/// A stream whose endpoint agreed and then was gone, with an event that waits.
#[track_caller]
fn gone(world: &World) -> (ScriptedReceiver, Asked) {
    let (endpoint, asked) = world.agreed("*");
    endpoint.otherwise(Reply::status(410));
    world.publish(&["a1"]);
    eventually("it is gone", || {
        (asked.stream.health()["hold"]["reason"] == "gone").then_some(())
    });
    endpoint.otherwise(Reply::status(202));
    (endpoint, asked)
}

#[track_caller]
fn wish(asked: &Asked, by: &str, endpoint: &ScriptedReceiver) {
    match by {
        "receiver" => {
            let answer = asked.stream.try_status(&json!({"status": "enabled"}), 202);
            assert_eq!(asked.stream.without_id(answer.json())["status"], json!("paused"));
        }
        "operator" => {
            asked.stream.operate(&json!({"status": "enabled"}));
        }
        _ => {
            asked
                .stream
                .patch(&json!({"delivery": {"method": PUSH, "endpoint_url": endpoint.url("/events")}}));
        }
    }
}

/// T-S-05
#[test]
fn an_endpoint_that_was_gone_is_asked_before_it_is_pushed_to() {
    let world = World::start(soon());
    for by in ["receiver", "operator", "registration"] {
        let (endpoint, asked) = gone(&world);
        let gate = endpoint.then_consent_held(consent("*"));
        wish(&asked, by, &endpoint);
        endpoint.wait_for_ask(2);
        assert_members(&asked.grant(), &json!({"state": "pending", "allowed_rate": null}), by);
        assert!(asked.is_held(), "{by}");
        assert_eq!(endpoint.pushes().len(), 1, "{by}: nothing before the answer");
        gate.open();
        asked.wait_for("granted");
        asked.wait_until_idle();
        assert_eq!(ids(&pushed(&endpoint)), ["a1", "a1"], "{by}");
        assert_eq!(asked.stream.status(), json!({"status": "enabled"}), "{by}");
        assert_eq!(asked.stream.health()["hold"], Value::Null, "{by}");
        asked.stream.delete();
    }
}

#[test]
fn an_endpoint_that_was_gone_may_stay_so() {
    let world = World::start(soon());
    for (reply, state) in [
        (Reply::status(410), "denied"),
        (Reply::status(405), "unsupported"),
        (later(), "pending"),
    ] {
        let (endpoint, asked) = gone(&world);
        endpoint.otherwise_consent(reply);
        wish(&asked, "receiver", &endpoint);
        endpoint.wait_for_ask(2);
        let grant = asked.wait_until("it answered", |grant| {
            grant["state"] == *state && grant["handshake"]["next_attempt_at"].is_null()
        });
        assert_eq!(endpoint.pushes().len(), 1, "{state}: {grant}");
        if state == "denied" {
            asked.decide(&json!({"action": "grant"}), 200);
        } else {
            asked.call("POST", &callback_of(&endpoint.wait_for_ask(2)), 200);
        }
        asked.wait_until_idle();
        assert_eq!(ids(&pushed(&endpoint)), ["a1", "a1"], "{state}");
        asked.stream.delete();
    }
}

#[test]
fn a_registered_endpoint_that_was_gone_is_tried_as_ever() {
    let world = World::start(soon());
    let endpoint = ScriptedReceiver::start();
    let stream = world
        .tenant
        .receiver(&[&endpoint.url("/")])
        .push_stream(&endpoint.url("/events"));
    let asked = world.watch(stream);
    for (round, by) in ["receiver", "operator", "registration"].into_iter().enumerate() {
        endpoint.otherwise(Reply::status(410));
        let id = format!("a{round}");
        world.publish(&[&id]);
        eventually("it is gone", || {
            (asked.stream.health()["hold"]["reason"] == "gone").then_some(())
        });
        endpoint.otherwise(Reply::status(202));
        wish(&asked, by, &endpoint);
        asked.wait_until_idle();
        eventually("it is back", || {
            (asked.stream.status() == json!({"status": "enabled"})).then_some(())
        });
    }
    assert_eq!(ids(&pushed(&endpoint)), ["a0", "a0", "a1", "a1", "a2", "a2"]);
    assert_eq!(endpoint.asks().len(), 0);
    assert_eq!(asked.grant()["state"], json!("not_required"));
}
