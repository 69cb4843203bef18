//! Whoever may create streams must not be able to turn us on others: one host is asked so often in ten minutes (T-H-11, WH-4.1-14).

use serde_json::json;

use crate::harness::{Reply, ScriptedReceiver};
use crate::manage::Tenant;

use super::{Asked, World, assert_members, consent, later, now_ms, pushed, soon};

const TEN_MINUTES: u64 = 600_000;

/// Waits until a stream knows that it has to wait for its turn: about ten minutes from the first question on.
#[track_caller]
fn waits_for_its_turn(asked: &Asked, since: u64) {
    let grant = asked.wait_until("it waits for its turn", |grant| {
        grant["handshake"]["next_attempt_at"].as_u64() > Some(now_ms() + TEN_MINUTES / 2)
    });
    let at = grant["handshake"]["next_attempt_at"].as_u64().expect("an instant");
    // Whole seconds are waited.
    assert!(
        (since + TEN_MINUTES..=now_ms() + TEN_MINUTES + 1000).contains(&at),
        "{grant}"
    );
    assert_eq!(grant["state"], json!("pending"));
}

#[test]
fn a_host_is_asked_so_often_and_the_others_wait() {
    let mut world = World::start(soon().set("HANDSHAKES_PER_HOST", 3));
    let endpoint = ScriptedReceiver::start();
    endpoint.otherwise_consent(later());
    let since = now_ms();
    let streams: Vec<Asked> = (0..3)
        .map(|number| world.asked_at(&endpoint.url(&format!("/events/{number}"))))
        .collect();
    endpoint.wait_for_ask(3);
    let crowded = world.asked_at(&endpoint.url("/another/path?of=it"));
    waits_for_its_turn(&crowded, since);
    let expected = json!({"attempts": 0, "asked_at": null});
    assert_members(&crowded.grant()["handshake"], &expected, "nobody was asked");

    // Asking by hand, deleting and creating again, and a restart change nothing.
    crowded.decide(&json!({"action": "ask"}), 202);
    waits_for_its_turn(&crowded, since);
    for asked in &streams {
        asked.stream.delete();
    }
    world.instance.restart();
    let again = world.asked_at(&endpoint.url("/events/0"));
    waits_for_its_turn(&again, since);
    again.stream.try_status(&json!({"status": "enabled"}), 202);
    waits_for_its_turn(&again, since);
    assert_eq!(endpoint.asks().len(), 3);

    // Another port is another host, and another tenant asks for itself.
    let other = ScriptedReceiver::start();
    other.otherwise_consent(consent("*"));
    world.asked_at(&other.url("/events")).wait_for("granted");
    let tenant = Tenant::create(&world.instance, &json!({}));
    tenant.register(&json!({})).push_stream(&endpoint.url("/events"));
    endpoint.wait_for_ask(4);
    // Whoever waits may be granted by hand, without having been asked: at the rate that he was to be asked for.
    crowded.stream.operate(&json!({"request_rate": 30}));
    assert_eq!(crowded.grant()["requested_rate"], json!(30));
    let granted = crowded.decide(&json!({"action": "grant"}), 200).json();
    assert_members(&granted, &json!({"state": "granted", "allowed_rate": 30}), "by hand");
    world.publish(&["a1"]);
    endpoint.wait_for_push(1);
    assert_eq!(crate::outbox::ids(&pushed(&endpoint)), ["a1"]);
}

/// Five, where nobody chose: attempts that are repeated count like others.
#[test]
fn attempts_that_are_repeated_count() {
    let world = World::start(soon().set("HANDSHAKE_RETRY_MS", 1));
    let since = now_ms();
    let (endpoint, asked) = world.asked(Reply::status(503));
    endpoint.wait_for_ask(5);
    waits_for_its_turn(&asked, since);
    assert_eq!(asked.grant()["handshake"]["attempts"], json!(5));
    let neighbour = world.asked_at(&endpoint.url("/other"));
    waits_for_its_turn(&neighbour, since);
    assert_eq!(endpoint.asks().len(), 5);
}

/// Registered endpoints are not asked, and pushes are no questions.
#[test]
fn deliveries_are_not_counted() {
    let world = World::start(soon().set("HANDSHAKES_PER_HOST", 1));
    let (endpoint, asked) = world.agreed("*");
    for number in 0..5 {
        world.publish(&[&format!("a{number}")]);
        endpoint.wait_for_push(number + 1);
    }
    asked.wait_until_idle();
    assert_eq!(asked.grant()["state"], json!("granted"));
    // A grant stands while its renewal waits.
    let since = now_ms() - 20_000;
    asked.decide(&json!({"action": "ask"}), 202);
    let grant = asked.wait_until("it waits for its turn", |grant| {
        grant["handshake"]["next_attempt_at"].as_u64() > Some(since + TEN_MINUTES / 2)
    });
    assert_eq!(grant["state"], json!("granted"));
    world.publish(&["b1"]);
    endpoint.wait_for_push(6);
}
