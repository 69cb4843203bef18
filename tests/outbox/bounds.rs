//! An outbox that is full takes nothing new and says so; what it has goes on, and so does everybody else.

use serde_json::{Value, json};

use crate::harness::{Options, Reply, eventually};
use crate::manage::{Stream, briefs};
use crate::support::{CREDENTIAL_CHANGE, PUSH, SESSION_REVOKED, event};

use super::{Outbox, events, ids, now_ms, patient};

fn room_for(events: u32) -> Options {
    Options::default().set("OUTBOX_EVENTS", events)
}

/// Full, for everybody to see. The reason that is told.
#[track_caller]
fn assert_full(stream: &Stream) -> String {
    let health = stream.health();
    assert_eq!(health["outbox_full"], json!(true), "{health}");
    let hold = &health["hold"];
    assert_eq!((&hold["reason"], &hold["until"]), (&json!("outbox_full"), &Value::Null));
    assert!(hold["since"].as_u64().is_some_and(|since| since <= now_ms()), "{hold}");
    let why = health["reason"].as_str().expect("a reason").to_owned();
    assert!(why.contains("full"), "{why}");
    assert_eq!(health["status"], json!("paused"));
    assert_eq!(stream.status(), json!({"status": "paused", "reason": why}));
    why
}

#[track_caller]
fn assert_open(stream: &Stream) {
    let health = stream.health();
    assert_eq!(
        (&health["outbox_full"], &health["hold"]),
        (&json!(false), &Value::Null),
        "{health}"
    );
    assert_eq!(stream.status(), json!({"status": "enabled"}));
}

/// Takes the first of what waits, for good.
#[track_caller]
fn take_one(stream: &Stream) {
    let set = stream.first().expect("polls go on");
    stream.ack(&[set]);
}

#[test]
fn a_full_outbox_refuses_its_own_share_and_the_other_streams_go_on() {
    let slow = Outbox::polled(room_for(4));
    let quick = slow.receiver.poll_stream();
    slow.accept(&["a1", "a2", "a3"]);
    slow.accept(&["a4"]);
    assert_open(&slow.stream);
    assert_eq!(briefs(&quick.drain()), ["a1", "a2", "a3", "a4"]);

    let answer = slow.publish(&["b1"]);
    let refused = json!([{"stream_id": slow.stream.id, "reason": "outbox_full"}]);
    assert_eq!(answer, json!({"accepted": 1, "streams": 1, "refused": refused}));
    assert_full(&slow.stream);
    assert_open(&quick);
    assert_eq!(briefs(&quick.drain()), ["b1"]);

    // What waits is handed out, and room is made.
    assert_eq!(slow.stream.poll_now().len(), 4);
    take_one(&slow.stream);
    assert_open(&slow.stream);
    // The publisher sends again what was refused: who has it already does not get it twice.
    let answer = slow.publish(&["b1"]);
    assert_eq!(answer, json!({"accepted": 1, "streams": 2, "refused": []}));
    assert_eq!(briefs(&slow.stream.drain()), ["a2", "a3", "a4", "b1"]);
    assert_eq!(briefs(&quick.drain()), [] as [&str; 0]);
}

#[test]
fn a_stream_that_is_pushed_goes_on_while_it_is_full() {
    let outbox = Outbox::pushed(room_for(4));
    let gate = outbox.endpoint.then_held(Reply::status(202));
    outbox.accept(&["a1", "a2", "a3", "a4"]);
    outbox.endpoint.wait_for(1);
    outbox.refuse(&["a5"]);
    assert_full(&outbox.stream);
    gate.open();
    outbox.wait_until_idle();
    assert_open(&outbox.stream);
    outbox.accept(&["a5"]);
    outbox.wait_until_idle();
    // That it was full for a moment is not told.
    assert_eq!(briefs(&outbox.arrived()), ["a1", "a2", "a3", "a4", "a5"]);
}

#[test]
fn an_outbox_stays_full_until_an_eighth_of_it_is_free() {
    let outbox = Outbox::polled(room_for(16));
    let names: Vec<String> = (0..16).map(|number| format!("a{number}")).collect();
    outbox.accept(&names.iter().map(String::as_str).collect::<Vec<_>>());
    assert_open(&outbox.stream);
    outbox.refuse(&["b1"]);
    let why = assert_full(&outbox.stream);
    let since = outbox.stream.health()["hold"]["since"].clone();
    take_one(&outbox.stream);
    assert_eq!(assert_full(&outbox.stream), why);
    assert_eq!(outbox.stream.health()["hold"]["since"], since);
    take_one(&outbox.stream);
    assert_eq!(outbox.queued(), 14);
    assert_open(&outbox.stream);
    outbox.accept(&["b1", "b2"]);
    outbox.refuse(&["b3"]);
    assert_full(&outbox.stream);
}

#[test]
fn a_share_is_refused_whole_and_may_come_again() {
    let outbox = Outbox::polled(room_for(16));
    let names: Vec<String> = (0..15).map(|number| format!("a{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    outbox.accept(&names);
    // One of two would have room.
    outbox.refuse(&["b1", "b2"]);
    assert_full(&outbox.stream);
    // What it has is not refused, alone or with others that are new.
    outbox.accept(&["a0", "a14"]);
    outbox.refuse(&["a0", "b1", "b2"]);
    assert_eq!(outbox.queued(), 15);
    for _ in 0..3 {
        take_one(&outbox.stream);
    }
    outbox.accept(&["a0", "b1", "b2"]);
    let rest = briefs(&outbox.stream.drain());
    assert_eq!(rest[..12], names[3..]);
    assert_eq!(rest[12..], ["b1", "b2"], "once each, and a0 not again");
}

#[test]
fn more_than_an_outbox_can_ever_hold_is_refused_and_does_not_close_it() {
    let outbox = Outbox::polled(room_for(2));
    outbox.refuse(&["a1", "a2", "a3"]);
    outbox.accept(&["a1"]);
    assert_open(&outbox.stream);
    outbox.accept(&["a2"]);
    assert_eq!(briefs(&outbox.stream.drain()), ["a1", "a2"]);
}

#[test]
fn events_that_a_full_outbox_has_are_accepted_again() {
    let mut outbox = Outbox::polled(room_for(2));
    outbox.accept(&["a1", "a2"]);
    outbox.refuse(&["a3"]);
    for _ in 0..2 {
        let answer = outbox.publish(&["a1"]);
        assert_eq!(answer, json!({"accepted": 1, "streams": 1, "refused": []}));
        outbox.accept(&["a2", "a1"]);
        // Other content under the same id is a mistake, whether there is room or not.
        let other = json!({"events": [event("a1", "somebody-else@example.com")]});
        outbox.tenant.operator().post_json("/events", &other, 409);
        outbox.instance.restart();
    }
    assert_eq!(outbox.queued(), 2);
    assert_full(&outbox.stream);
}

#[test]
fn being_full_survives_a_restart() {
    let mut outbox = Outbox::polled(room_for(4));
    outbox.accept(&["a1", "a2", "a3", "a4"]);
    outbox.refuse(&["b1"]);
    let before = outbox.stream.health();
    outbox.instance.restart();
    assert_full(&outbox.stream);
    let after = outbox.stream.health();
    for member in ["hold", "status", "reason", "queued_events", "queued_bytes", "oldest_at"] {
        assert_eq!(after[member], before[member], "{member}");
    }
    outbox.refuse(&["b1"]);
    take_one(&outbox.stream);
    assert_open(&outbox.stream);
    outbox.instance.restart();
    assert_open(&outbox.stream);
    outbox.accept(&["b1"]);
    assert_eq!(briefs(&outbox.stream.drain()), ["a2", "a3", "a4", "b1"]);
}

#[test]
fn when_all_streams_are_full_all_of_them_are_named() {
    let outbox = Outbox::polled(room_for(1));
    let second = outbox.receiver.poll_stream();
    outbox.accept(&["a1"]);
    let answer = outbox.publish(&["a2"]);
    assert_eq!((&answer["accepted"], &answer["streams"]), (&json!(1), &json!(0)));
    let refused = answer["refused"].as_array().expect("an array");
    let mut named: Vec<&str> = refused.iter().filter_map(|entry| entry["stream_id"].as_str()).collect();
    named.sort_unstable();
    let mut expected = [outbox.stream.id.as_str(), &second.id];
    expected.sort_unstable();
    assert_eq!(named, expected);
    assert!(refused.iter().all(|entry| entry["reason"] == "outbox_full"), "{answer}");
    // Room for one is made.
    take_one(&second);
    outbox.refuse(&["a2"]);
    assert_eq!(briefs(&second.drain()), ["a2"]);
}

#[test]
fn bytes_are_bounded_as_events_are() {
    const MOST: u64 = 8000;
    let outbox = Outbox::polled(Options::default().set("OUTBOX_BYTES", MOST));
    let bytes = || outbox.stream.health()["queued_bytes"].as_u64().expect("a number");
    let mut accepted = 0;
    let largest = loop {
        let before = bytes();
        let id = format!("a{accepted}");
        if outbox.publish(&[&id])["refused"] != json!([]) {
            break before;
        }
        let growth = bytes() - before;
        assert!(growth > 300 && bytes() <= MOST, "{growth} more, {} in all", bytes());
        accepted += 1;
    };
    let each = largest / accepted;
    assert!(largest + each + 100 > MOST, "refused too early, at {largest}");
    assert_full(&outbox.stream);
    while bytes() > MOST / 8 * 7 {
        assert_full(&outbox.stream);
        take_one(&outbox.stream);
    }
    assert_open(&outbox.stream);
    outbox.accept(&["b1"]);
}

#[test]
fn an_outbox_whose_oldest_event_is_too_old_takes_nothing_new() {
    let outbox = Outbox::polled(Options::default().set("OUTBOX_AGE_S", 1));
    assert_eq!(outbox.stream.health()["oldest_age_s"], Value::Null);
    outbox.accept(&["a1"]);
    assert!(outbox.stream.health()["oldest_age_s"].is_u64());
    eventually("the event is old", || {
        (outbox.stream.health()["oldest_age_s"].as_u64() >= Some(2)).then_some(())
    });
    outbox.refuse(&["b1"]);
    assert_full(&outbox.stream);
    // It has this one.
    outbox.accept(&["a1"]);
    assert_full(&outbox.stream);
    take_one(&outbox.stream);
    assert_open(&outbox.stream);
    outbox.accept(&["b1"]);
    assert_eq!(briefs(&outbox.stream.drain()), ["b1"]);
}

#[test]
fn a_full_outbox_is_no_matter_of_events_that_it_does_not_want() {
    let outbox = Outbox::polled(room_for(1));
    outbox.stream.patch(&json!({"events_requested": [SESSION_REVOKED]}));
    outbox.accept(&["a1"]);
    outbox.refuse(&["a2"]);
    let mut unwanted = event("a3", "a@example.com");
    unwanted["type"] = json!(CREDENTIAL_CHANGE);
    unwanted["event"] = json!({"credential_type": "password", "change_type": "update"});
    let body = json!({"events": [unwanted]});
    let answer = outbox.tenant.operator().post_json("/events", &body, 202);
    assert_eq!(answer, json!({"accepted": 1, "streams": 0, "refused": []}));
    // Nor of subjects that it does not have.
    outbox.stream.operate(&json!({"default_subjects": "NONE"}));
    let answer = outbox.publish(&["b1"]);
    assert_eq!(answer, json!({"accepted": 1, "streams": 0, "refused": []}));
}

#[test]
fn a_full_stream_that_is_disabled_is_empty_when_it_is_enabled_again() {
    let outbox = Outbox::polled(room_for(2));
    outbox.accept(&["a1", "a2"]);
    outbox.refuse(&["a3"]);
    assert_eq!(outbox.stream.set_status("disabled"), json!({"status": "disabled"}));
    assert_eq!(outbox.queued(), 0, "SSF-8.1.2.1-3");
    assert_eq!(outbox.stream.set_status("enabled"), json!({"status": "enabled"}));
    assert_open(&outbox.stream);
    outbox.accept(&["a3"]);
    assert_eq!(ids(&outbox.stream.drain()), ["a3"]);
}

/// Only its own cause ends a hold, and nobody's wish is overridden (design 4).
#[test]
fn a_receiver_cannot_ask_room_into_being_and_its_own_pause_comes_first() {
    let outbox = Outbox::polled(room_for(2));
    outbox.accept(&["a1", "a2"]);
    outbox.refuse(&["a3"]);
    let why = assert_full(&outbox.stream);
    let told = json!({"status": "paused", "reason": "night shift"});
    assert_eq!(outbox.stream.set_status_because("paused", Some("night shift")), told);
    assert_eq!(outbox.stream.status(), told);
    assert_eq!(outbox.stream.health()["outbox_full"], json!(true));
    let full = json!({"status": "paused", "reason": why});
    assert_eq!(outbox.ask_for_enabled(), full);
    assert_eq!(outbox.stream.status(), full);
    outbox.refuse(&["a3"]);
    // A verification waits for nobody's outbox (SSF-8.1.4-1).
    outbox.stream.verify(&json!({"state": "v-1"}), 204);
    let mut handed_out = briefs(&outbox.stream.poll_now());
    handed_out.sort();
    assert_eq!(handed_out, ["a1", "a2", "verification v-1"]);
    outbox.stream.drain();
    assert_open(&outbox.stream);
}

/// The endpoint's own word is the more useful one to know.
#[test]
fn the_hold_of_the_endpoint_is_shown_before_that_of_the_outbox() {
    let outbox = Outbox::pushed(patient().set("OUTBOX_EVENTS", 4));
    outbox.endpoint.then(Reply::status(503).header("retry-after", "3600"));
    outbox.accept(&["a1"]);
    let wait = outbox.wait_for_hold("retry_after");
    outbox.accept(&["a2", "a3", "a4"]);
    outbox.refuse(&["a5"]);
    let health = outbox.stream.health();
    assert_eq!((&health["outbox_full"], &health["hold"]), (&json!(true), &wait));
    assert_eq!(outbox.stream.status()["status"], json!("paused"));
    // The other endpoint was asked for nothing, and makes room.
    let delivery = json!({"method": PUSH, "endpoint_url": outbox.endpoint.url("/other")});
    outbox.stream.patch(&json!({"delivery": delivery}));
    outbox.wait_until_idle();
    assert_open(&outbox.stream);
    let moved = crate::manage::pushed_to(&outbox.endpoint, "/other");
    assert_eq!(ids(&moved), ["a1", "a2", "a3", "a4"]);
}

#[test]
fn the_bounds_are_each_streams_own() {
    let outbox = Outbox::polled(room_for(3));
    let neighbour = crate::manage::Tenant::create(&outbox.instance, &json!({}));
    let theirs = neighbour.receiver(&[]).poll_stream();
    outbox.accept(&["a1", "a2", "a3"]);
    outbox.refuse(&["a4"]);
    assert_eq!(neighbour.publish(&events(&["a1", "a2", "a3"])), 1);
    assert_open(&theirs);
    assert_eq!(briefs(&theirs.drain()), ["a1", "a2", "a3"]);
    assert_full(&outbox.stream);
}
