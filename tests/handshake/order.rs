//! Events that wait for consent: they are taken, kept, and delivered in their order.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Options, Reply, eventually};
use crate::outbox::{about, ids};

use super::{World, callback_of, consent, later, pushed, soon};

const IDS: [&str; 12] = ["a1", "b1", "a2", "c1", "b2", "a3", "c2", "a4", "b3", "c3", "a5", "b4"];

#[test]
fn what_waited_is_delivered_in_its_order() {
    let world = World::start(soon());
    let (endpoint, asked) = world.asked(later());
    for pair in IDS.chunks(2) {
        world.publish(pair);
    }
    assert_eq!(asked.queued(), 12);
    let callback = callback_of(&endpoint.wait_for_ask(1));
    asked.call_with("POST", &callback, &[("webhook-allowed-rate", "*")], 200);
    asked.wait_until_idle();
    eventually("all arrived", || (endpoint.pushes().len() >= 12).then_some(()));
    let arrived = ids(&pushed(&endpoint));
    assert_eq!(arrived.len(), 12, "once each: {arrived:?}");
    for subject in ["a", "b", "c"] {
        let wanted: Vec<&str> = IDS.into_iter().filter(|id| id.starts_with(subject)).collect();
        assert_eq!(about(&arrived, subject), wanted);
    }
    assert_eq!(asked.stream.dead_letters(), [] as [Value; 0]);
    let attempts = asked.stream.deliveries();
    assert!(attempts.iter().all(|attempt| attempt["attempt"] == 1), "{attempts:?}");
}

/// A window of one: no event overtakes any other, through a refusal and a renewal.
#[test]
fn strict_order_holds_over_consents_that_come_and_go() {
    let world = World::start(soon().set("WINDOW", 1));
    let (endpoint, asked) = world.agreed("*");
    for (round, pair) in IDS.chunks(2).enumerate() {
        world.publish(&pair[..1]);
        asked.wait_until_idle();
        asked.decide(&json!({"action": "revoke"}), 200);
        world.publish(&pair[1..]);
        assert_eq!(asked.queued(), 1);
        let by_hand = round % 2 == 0;
        let request = if by_hand {
            json!({"action": "grant", "allowed_rate": "*"})
        } else {
            json!({"action": "ask"})
        };
        asked.decide(&request, if by_hand { 200 } else { 202 });
        asked.wait_for("granted");
        asked.wait_until_idle();
    }
    assert_eq!(ids(&pushed(&endpoint)), IDS);
}

/// A push that failed before the consent ended is repeated after it came back: the same SET.
#[test]
fn an_event_that_was_tried_before_goes_on_afterwards() {
    let options = Options::default().set("RETRY_BASE_MS", 1000).set("RETRY_CAP_MS", 1000);
    let world = World::start(options);
    let (endpoint, asked) = world.agreed("*");
    endpoint.then(Reply::status(500));
    world.publish(&["a1", "a2"]);
    endpoint.wait_for_push(1);
    eventually("the failure is known", || {
        (asked.stream.deliveries().len() == 1).then_some(())
    });
    asked.decide(&json!({"action": "revoke"}), 200);
    assert!(asked.is_held());
    let (_endpoint, neighbour) = world.agreed("*");
    neighbour.wait_until_idle();
    assert_eq!(endpoint.pushes().len(), 1);
    endpoint.otherwise_consent(consent("*"));
    asked.decide(&json!({"action": "ask"}), 202);
    asked.wait_until_idle();
    eventually("all arrived", || (endpoint.pushes().len() == 3).then_some(()));
    let arrived = pushed(&endpoint);
    assert_eq!(ids(&arrived), ["a1", "a1", "a2"]);
    assert_eq!(arrived[0].jti(), arrived[1].jti(), "WH-2.2-54");
    assert_eq!(arrived[0].claims_bytes, arrived[1].claims_bytes);
}

/// What is in flight while the consent ends was pushed when it stood: its answer counts. Nothing follows it.
#[test]
fn a_push_under_way_counts_although_the_consent_ends() {
    let world = World::start(soon());
    let (endpoint, asked) = world.agreed("*");
    let gate = endpoint.then_held(Reply::status(202));
    world.publish(&["a1"]);
    endpoint.wait_for_push(1);
    world.publish(&["a2"]);
    asked.decide(&json!({"action": "revoke"}), 200);
    gate.open();
    eventually("a1 is delivered", || (asked.queued() == 1).then_some(()));
    assert_eq!(ids(&pushed(&endpoint)), ["a1"]);
    assert!(asked.is_held());
    asked.decide(&json!({"action": "grant"}), 200);
    asked.wait_until_idle();
    let arrived = ids(&pushed(&endpoint));
    assert_eq!(arrived, ["a1", "a2"]);
    let distinct: BTreeSet<&String> = arrived.iter().collect();
    assert_eq!(distinct.len(), 2);
}
