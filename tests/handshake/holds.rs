//! The hold `consent` beside what others wish of the stream: each ends for its own cause alone (design 4).

use serde_json::{Value, json};

use crate::harness::{Reply, ScriptedReceiver, eventually};
use crate::manage::briefs;

use super::{Asked, World, callback_of, later, pushed, soon};

/// A stream whose endpoint may agree through the callback, with an event that waits.
#[track_caller]
fn waiting(world: &World) -> (ScriptedReceiver, Asked, String) {
    let (endpoint, asked) = world.asked(later());
    let callback = callback_of(&endpoint.wait_for_ask(1));
    asked.wait_for_exchange();
    world.publish(&["a1"]);
    assert_eq!(asked.queued(), 1);
    (endpoint, asked, callback)
}

#[test]
fn nobody_has_to_wish_for_the_stream_once_its_endpoint_agrees() {
    let world = World::start(soon());
    let (endpoint, asked, callback) = waiting(&world);
    let paused = asked.stream.status();
    assert_eq!(paused["status"], json!("paused"));
    assert!(paused["reason"].is_string(), "SSF-8.1.2.1-12");
    let health = asked.stream.health();
    assert_eq!(
        (&health["status"], &health["reason"]),
        (&json!("paused"), &paused["reason"])
    );
    asked.call("GET", &callback, 200);
    assert_eq!(asked.stream.status(), json!({"status": "enabled"}));
    asked.wait_until_idle();
    // Neither that it waited nor that it goes on is told: who is asked does not hear it by an event.
    assert_eq!(briefs(&pushed(&endpoint)), ["a1"]);
}

/// Everything that would be pushed waits, what tells of the stream included (T-H-08).
#[test]
fn nothing_at_all_is_pushed_without_a_grant() {
    let world = World::start(soon());
    for reply in [later(), Reply::status(405), Reply::status(403)] {
        let (endpoint, asked) = world.asked(reply);
        asked.wait_for_exchange();
        world.publish(&["a1", "a2"]);
        asked.stream.verify(&json!({"state": "v-1"}), 204);
        asked.stream.operate(&json!({"status": "paused", "reason": "an audit"}));
        // Another stream's handshake and delivery are time enough for a push that should not be.
        let (neighbour, _agreed) = world.agreed("*");
        world.publish(&["a3"]);
        neighbour.wait_for_push(1);
        assert_eq!(briefs(&pushed(&endpoint)), [] as [&str; 0]);

        asked.decide(&json!({"action": "grant", "allowed_rate": "*"}), 200);
        let told = eventually("its receiver hears of the pause", || {
            Some(briefs(&pushed(&endpoint))).filter(|heard| !heard.is_empty())
        });
        assert_eq!(told, ["now paused"], "SSF-8.1.5-2");
        asked.stream.operate(&json!({"status": "enabled"}));
        asked.wait_until_idle();
        let heard = eventually("everything arrives", || {
            Some(briefs(&pushed(&endpoint))).filter(|heard| heard.len() == 6)
        });
        let events: Vec<&String> = heard.iter().filter(|brief| !brief.starts_with("now ")).collect();
        assert_eq!(events, ["verification v-1", "a1", "a2", "a3"], "{heard:?}");
        asked.stream.delete();
        _agreed.stream.delete();
    }
}

#[test]
fn a_pause_outlasts_the_consent() {
    let world = World::start(soon());
    for by_operator in [false, true] {
        let (endpoint, asked, callback) = waiting(&world);
        let paused = json!({"status": "paused", "reason": "night shift"});
        if by_operator {
            asked.stream.operate(&paused);
        } else {
            let told = asked.stream.set_status_because("paused", Some("night shift"));
            assert_eq!(told, paused, "200: it can be decided");
        }
        assert_eq!(asked.stream.status(), paused, "its own reason comes first");
        assert!(asked.is_held(), "the hold is told beside it");
        asked.call("POST", &callback, 200);
        assert_eq!(asked.stream.status(), paused);
        assert_eq!(asked.stream.health()["hold"], Value::Null);
        assert_eq!(asked.queued(), 1, "it waits still");
        let wanted = json!({"status": "enabled"});
        if by_operator {
            asked.stream.try_status(&wanted, 403);
            asked.stream.operate(&wanted);
        } else {
            asked.stream.try_status(&wanted, 200);
        }
        asked.wait_until_idle();
        let events = crate::outbox::ids(&pushed(&endpoint));
        assert_eq!(events, ["a1"]);
        assert_eq!(endpoint.asks().len(), 1, "nobody is asked who agreed");
        asked.stream.delete();
    }
}

#[test]
fn a_disabled_stream_stays_disabled_whatever_its_endpoint_says() {
    let world = World::start(soon());
    let (endpoint, asked, callback) = waiting(&world);
    asked.stream.set_status("disabled");
    assert_eq!(asked.queued(), 0, "SSF-8.1.2.1-3");
    asked.call("POST", &callback, 200);
    assert_eq!(asked.stream.status(), json!({"status": "disabled"}));
    world.publish(&["a2"]);
    assert_eq!(asked.queued(), 0);
    assert_eq!(asked.stream.set_status("enabled"), json!({"status": "enabled"}));
    world.publish(&["a3"]);
    asked.wait_until_idle();
    eventually("it arrived", || {
        (crate::outbox::ids(&pushed(&endpoint)) == ["a3"]).then_some(())
    });
}

/// WH-4-2, design 4: 202, for the endpoint decides.
#[test]
fn who_wants_the_stream_has_the_endpoint_asked_again() {
    let world = World::start(soon());
    let rows = [
        ("denied", Reply::status(403)),
        ("unsupported", Reply::status(405)),
        ("pending", later()),
    ];
    for (state, reply) in rows {
        let (endpoint, asked) = world.asked(reply);
        asked.wait_for_exchange();
        world.publish(&["a1"]);
        let paused = asked.stream.status();
        assert_eq!(paused["status"], json!("paused"));
        for (nth, by_operator) in [(2, false), (3, true)] {
            if by_operator {
                asked.stream.operate(&json!({"status": "enabled"}));
            } else {
                let answer = asked.stream.try_status(&json!({"status": "enabled"}), 202);
                assert_eq!(
                    asked.stream.without_id(answer.json())["status"],
                    json!("paused"),
                    "{state}"
                );
            }
            endpoint.wait_for_ask(nth);
            asked.wait_until("it answered as before", |grant| {
                grant["state"] == *state && grant["handshake"]["next_attempt_at"].is_null()
            });
            assert_eq!(asked.stream.status(), paused, "{state}");
        }
        assert_eq!(endpoint.pushes().len(), 0);
        endpoint.otherwise_consent(super::consent("*"));
        asked.stream.try_status(&json!({"status": "enabled"}), 202);
        asked.wait_for("granted");
        asked.wait_until_idle();
        assert_eq!(
            asked.stream.set_status("enabled"),
            json!({"status": "enabled"}),
            "200: it is"
        );
        assert_eq!(endpoint.asks().len(), 4, "who agreed is not asked");
        eventually("it arrived", || (briefs(&pushed(&endpoint)) == ["a1"]).then_some(()));
        asked.stream.delete();
    }
}

/// Its receiver ends its own pause before the endpoint agrees: the endpoint decides, and nobody has to wish again.
#[test]
fn a_wish_that_is_taken_back_under_the_hold_is_gone_when_the_endpoint_agrees() {
    let world = World::start(soon());
    for wish in ["paused", "disabled"] {
        let (endpoint, asked, _) = waiting(&world);
        asked.stream.set_status_because(wish, Some("night shift"));
        let answer = asked.stream.try_status(&json!({"status": "enabled"}), 202);
        let told = asked.stream.without_id(answer.json());
        assert_eq!(told["status"], json!("paused"), "{wish}");
        assert_ne!(told["reason"], json!("night shift"), "{wish}");
        let again = callback_of(&endpoint.wait_for_ask(2));
        world.publish(&["a2"]);
        asked.call("POST", &again, 200);
        assert_eq!(asked.stream.status(), json!({"status": "enabled"}), "{wish}");
        asked.wait_until_idle();
        asked.stream.delete();
    }
}

/// What nobody may wish asks nobody.
#[test]
fn an_operators_pause_is_not_ended_by_asking() {
    let world = World::start(soon());
    let (endpoint, asked) = world.asked(Reply::status(403));
    asked.wait_for("denied");
    asked.stream.operate(&json!({"status": "paused", "reason": "an audit"}));
    asked.stream.try_status(&json!({"status": "enabled"}), 403);
    let (_endpoint, neighbour) = world.asked(Reply::status(403));
    neighbour.wait_for("denied");
    assert_eq!(endpoint.asks().len(), 1);
    assert_eq!(asked.grant()["state"], json!("denied"));
}

/// A stream whose endpoint has not agreed can be read, changed and deleted as any other.
#[test]
fn a_stream_that_waits_for_consent_is_a_stream() {
    let world = World::start(soon());
    let (_endpoint, asked, callback) = waiting(&world);
    assert_eq!(asked.stream.read()["stream_id"], json!(asked.stream.id));
    let changed = asked.stream.patch(&json!({"description": "waits"}));
    assert_eq!(changed["description"], json!("waits"));
    assert_eq!(asked.grant()["state"], json!("pending"));
    assert_eq!(
        asked.grant()["handshake"]["attempts"],
        json!(1),
        "a description concerns nobody else"
    );
    asked.stream.delete();
    asked.call("POST", &callback, 404);
    world.tenant.operator().get(&asked.grant_path(), 404);
}
