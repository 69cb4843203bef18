//! Dead letters that are sent again: as the same SETs, behind what waits, and without being lost on the way.

use std::collections::BTreeMap;
use std::thread::scope;

use serde_json::{Value, json};

use crate::harness::{Options, Reply, eventually};
use crate::manage::briefs;
use crate::support::{POLL, assert_problem};

use super::{Outbox, about, essence, ids, refusal, soon};

fn all() -> Value {
    json!({"all": true})
}

#[test]
fn one_letter_is_sent_again_as_the_same_set() {
    let outbox = Outbox::pushed(soon());
    let dead = outbox.bury(&["a1", "b1", "c1"]);
    let answer = outbox.redrive(&json!({"jti": dead[1].jti()}));
    assert_eq!(answer, json!({"redriven": 1, "remaining": 2}));
    outbox.letter(dead[1].jti(), 404);
    outbox.endpoint.wait_for(4);
    outbox.wait_until_idle();
    // Design 4: the same event is the same claims, to the byte.
    assert_eq!(essence(&outbox.arrived()[3..]), essence(&dead[1..2]));
    let left: Vec<Value> = outbox.stream.dead_letters();
    assert_eq!(left.len(), 2);
    assert_eq!(
        (&left[0]["jti"], &left[1]["jti"]),
        (&dead[0].claims["jti"], &dead[2].claims["jti"])
    );
}

#[test]
fn all_letters_are_sent_again_each_subjects_in_order() {
    let outbox = Outbox::pushed(soon());
    let dead = outbox.bury(&["a1", "b1", "a2", "c1", "b2", "a3"]);
    assert_eq!(outbox.redrive(&all()), json!({"redriven": 6, "remaining": 0}));
    assert_eq!(outbox.stream.dead_letters(), [] as [Value; 0]);
    outbox.wait_until_idle();
    let again = outbox.arrived()[6..].to_vec();
    let arrived = ids(&again);
    assert_eq!(about(&arrived, "a"), ["a1", "a2", "a3"]);
    assert_eq!(about(&arrived, "b"), ["b1", "b2"]);
    assert_eq!(about(&arrived, "c"), ["c1"]);
    let sorted = |sets| {
        let mut essence = essence(sets);
        essence.sort();
        essence
    };
    assert_eq!(sorted(&again), sorted(&dead));
    assert_eq!(outbox.stream.health()["dead_letters"], json!(0));
}

#[test]
fn letters_go_behind_what_waits_and_before_what_comes_later() {
    let outbox = Outbox::pushed(soon());
    outbox.bury(&["a1", "a2", "a3"]);
    let gate = outbox.endpoint.then_held(Reply::status(202));
    outbox.accept(&["a4", "a5"]);
    outbox.endpoint.wait_for(4);
    assert_eq!(outbox.redrive(&all()), json!({"redriven": 3, "remaining": 0}));
    outbox.accept(&["a6"]);
    assert_eq!(outbox.queued(), 6);
    gate.open();
    outbox.wait_until_idle();
    assert_eq!(ids(&outbox.arrived()[3..]), ["a4", "a5", "a1", "a2", "a3", "a6"]);
}

#[test]
fn a_letter_that_is_refused_again_is_a_letter_again() {
    let outbox = Outbox::pushed(soon());
    let dead = outbox.bury(&["a1"]);
    let first = outbox.stream.dead_letters();
    let reply = json!({"err": "invalid_key", "description": "still not"});
    outbox.endpoint.then(Reply::json(400, &reply));
    assert_eq!(outbox.redrive(&all()), json!({"redriven": 1, "remaining": 0}));
    let letters = outbox.wait_for_letters(1);
    assert_eq!(
        (&letters[0]["jti"], &letters[0]["err"], &letters[0]["description"]),
        (&first[0]["jti"], &json!("invalid_key"), &json!("still not"))
    );
    assert!(letters[0]["at"].as_u64() >= first[0]["at"].as_u64());
    assert_eq!(outbox.letter(dead[0].jti(), 200)["claims"], dead[0].claims);
    assert_eq!(outbox.queued(), 0);
    // As often as anybody wants.
    assert_eq!(outbox.redrive(&all()), json!({"redriven": 1, "remaining": 0}));
    outbox.wait_until_idle();
    assert_eq!(ids(&outbox.arrived()), ["a1", "a1", "a1"]);
    assert_eq!(outbox.stream.dead_letters(), [] as [Value; 0]);
}

#[test]
fn a_letter_that_is_asked_for_by_two_is_sent_once() {
    let outbox = Outbox::polled(Options::default());
    let dead = outbox.bury_polled(&["a1"]);
    let body = json!({"jti": dead[0].jti()}).to_string();
    let path = format!("{}/dead-letters/redrive", outbox.stream.admin_path());
    let operator = outbox.tenant.operator();
    let mut answered = scope(|threads| {
        let ask = || {
            let headers = [("content-type", "application/json")];
            let answer = operator.try_send("POST", &path, &headers, body.as_bytes());
            answer.expect("an answer").status
        };
        let asked: Vec<_> = (0..4).map(|_| threads.spawn(ask)).collect();
        asked
            .into_iter()
            .map(|asked| asked.join().expect("no panic"))
            .collect::<Vec<_>>()
    });
    answered.sort_unstable();
    assert_eq!(answered, [200, 404, 404, 404]);
    assert_eq!(ids(&outbox.stream.drain()), ["a1"]);
}

#[test]
fn a_receiver_that_polls_gets_what_it_once_reported() {
    let outbox = Outbox::polled(Options::default());
    let dead = outbox.bury_polled(&["a1", "b1"]);
    outbox.accept(&["c1"]);
    assert_eq!(outbox.redrive(&all()), json!({"redriven": 2, "remaining": 0}));
    assert_eq!(outbox.queued(), 3);
    // It knows them from before; but only what was handed out since is taken away.
    outbox.stream.ack(&dead);
    assert_eq!(outbox.queued(), 3);
    let drained = outbox.stream.drain();
    assert_eq!(briefs(&drained), ["c1", "a1", "b1"]);
    assert_eq!(essence(&drained[1..]), essence(&dead));
    assert_eq!(outbox.stream.dead_letters(), [] as [Value; 0]);
}

#[test]
fn a_held_poll_is_woken_by_a_letter_that_comes_again() {
    let outbox = Outbox::polled(Options::default().set("LONG_POLL_MS", 25_000));
    let dead = outbox.bury_polled(&["a1"]);
    scope(|threads| {
        let held = threads.spawn(|| outbox.stream.poll(&json!({})));
        outbox.stream.health();
        outbox.redrive(&all());
        let sets = crate::manage::sets(&held.join().expect("no panic"));
        assert_eq!(essence(&sets), essence(&dead));
    });
}

#[test]
fn letters_follow_the_stream_to_another_method() {
    let outbox = Outbox::pushed(soon());
    let dead = outbox.bury(&["a1", "b1"]);
    outbox.stream.patch(&json!({"delivery": {"method": POLL}}));
    assert_eq!(outbox.stream.dead_letters().len(), 2);
    assert_eq!(outbox.redrive(&all()), json!({"redriven": 2, "remaining": 0}));
    assert_eq!(essence(&outbox.stream.drain()), essence(&dead));
    assert_eq!(outbox.endpoint.requests().len(), 2);
}

#[test]
fn a_full_outbox_takes_as_many_letters_as_it_has_room_for() {
    let outbox = Outbox::polled(Options::default().set("OUTBOX_EVENTS", 4));
    let dead = outbox.bury_polled(&["a1", "a2", "a3"]);
    outbox.accept(&["b1", "b2", "b3", "b4"]);
    let one = json!({"jti": dead[2].jti()});
    assert_problem(&outbox.ask("/dead-letters/redrive", &one, 409), 409);
    assert_eq!(outbox.redrive(&all()), json!({"redriven": 0, "remaining": 3}));
    assert_eq!((outbox.queued(), outbox.stream.dead_letters().len()), (4, 3));

    let handed_out = outbox.stream.hand_out(2);
    outbox.stream.ack(&handed_out);
    assert_eq!(outbox.redrive(&all()), json!({"redriven": 2, "remaining": 1}));
    assert_eq!(outbox.queued(), 4);
    outbox.letter(dead[2].jti(), 200);
    assert_problem(&outbox.ask("/dead-letters/redrive", &one, 409), 409);
    // The oldest ones went first.
    assert_eq!(ids(&outbox.stream.drain()), ["b3", "b4", "a1", "a2"]);
    assert_eq!(outbox.redrive(&one), json!({"redriven": 1, "remaining": 0}));
    assert_eq!(ids(&outbox.stream.drain()), ["a3"]);
}

#[test]
fn a_disabled_stream_keeps_its_letters_until_it_is_enabled() {
    let outbox = Outbox::pushed(soon());
    let dead = outbox.bury(&["a1", "a2"]);
    outbox.stream.set_status("disabled");
    for body in [all(), json!({"jti": dead[0].jti()})] {
        assert_problem(&outbox.ask("/dead-letters/redrive", &body, 409), 409);
    }
    assert_eq!(outbox.stream.dead_letters().len(), 2);
    assert_eq!(outbox.letter(dead[0].jti(), 200)["claims"], dead[0].claims);
    assert_eq!(
        outbox.purge(&json!({"jti": dead[1].jti()})),
        json!({"purged": 1, "remaining": 1})
    );
    outbox.stream.set_status("enabled");
    assert_eq!(outbox.redrive(&all()), json!({"redriven": 1, "remaining": 0}));
    outbox.wait_until_idle();
    assert_eq!(ids(&outbox.arrived()), ["a1", "a2", "a1"]);
}

#[test]
fn a_paused_stream_sends_its_letters_again_when_it_goes_on() {
    let outbox = Outbox::pushed(soon());
    outbox.bury(&["a1", "b1"]);
    outbox.stream.set_status("paused");
    assert_eq!(outbox.redrive(&all()), json!({"redriven": 2, "remaining": 0}));
    assert_eq!(outbox.queued(), 2);
    assert_eq!(outbox.endpoint.requests().len(), 2);
    outbox.stream.set_status("enabled");
    outbox.wait_until_idle();
    assert_eq!(outbox.endpoint.requests().len(), 4);
}

#[test]
fn what_is_sent_again_survives_a_restart() {
    let mut outbox = Outbox::pushed(soon());
    let dead = outbox.bury(&["a1", "a2", "a3"]);
    outbox.instance.restart();
    // The process dies while the first of them is on its way.
    let gate = outbox.endpoint.then_held(Reply::status(202));
    assert_eq!(
        outbox.redrive(&json!({"jti": dead[0].jti()})),
        json!({"redriven": 1, "remaining": 2})
    );
    assert_eq!(outbox.redrive(&all()), json!({"redriven": 2, "remaining": 0}));
    outbox.endpoint.wait_for(4);
    outbox.instance.kill();
    gate.open();
    outbox.instance.restart();
    outbox.wait_until_idle();
    assert_eq!(outbox.stream.dead_letters(), [] as [Value; 0]);
    let again = &outbox.arrived()[3..];
    assert_eq!(ids(again), ["a1", "a1", "a2", "a3"]);
    assert_eq!(essence(&again[1..]), essence(&dead));
}

/// The publisher's retry and the operator's are the same event.
#[test]
fn an_id_stays_known_when_its_letter_is_sent_again() {
    let outbox = Outbox::polled(Options::default());
    outbox.bury_polled(&["a1"]);
    outbox.accept(&["a1"]);
    assert_eq!(outbox.queued(), 0, "dead is known, too");
    outbox.redrive(&all());
    outbox.accept(&["a1"]);
    assert_eq!(ids(&outbox.stream.drain()), ["a1"]);
    outbox.accept(&["a1"]);
    assert_eq!(outbox.queued(), 0);
}

/// Publishes events of one subject that all die.
#[track_caller]
fn bury_many(outbox: &Outbox, names: &[&str]) {
    outbox.endpoint.otherwise(refusal());
    for batch in names.chunks(200) {
        outbox.accept(batch);
    }
    eventually("all of them are dead", || {
        (outbox.stream.health()["dead_letters"] == json!(names.len())).then_some(())
    });
}

#[test]
fn many_letters_are_sent_again_in_their_order() {
    let outbox = Outbox::pushed(soon());
    let names: Vec<String> = (0..600).map(|number| format!("a{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    bury_many(&outbox, &names);
    outbox.endpoint.otherwise(Reply::status(202));
    assert_eq!(outbox.redrive(&all()), json!({"redriven": 600, "remaining": 0}));
    outbox.wait_until_idle();
    assert_eq!(ids(&outbox.arrived()[600..]), names);
}

/// One request sends each letter once, however soon it is back.
#[test]
fn letters_that_die_again_are_for_the_next_request() {
    let outbox = Outbox::pushed(soon());
    let named = |range: std::ops::Range<u32>| -> Vec<String> {
        range.map(|number| format!("{}{number}", number % 10)).collect()
    };
    let (dead, dying) = (named(0..600), named(600..900));
    bury_many(&outbox, &dead.iter().map(String::as_str).collect::<Vec<_>>());
    // Delivery is busy with others, so that it comes to the letters at once.
    outbox.accept(&dying.iter().map(String::as_str).collect::<Vec<_>>());
    let redriven = outbox.redrive(&all())["redriven"].as_u64().expect("a number");
    assert!((600..=900).contains(&redriven), "{redriven}");
    eventually("all of them are dead", || {
        (outbox.stream.health()["dead_letters"] == json!(900)).then_some(())
    });
    let mut pushes: BTreeMap<String, u32> = BTreeMap::new();
    for id in ids(&outbox.arrived()) {
        *pushes.entry(id).or_default() += 1;
    }
    assert!(dead.iter().all(|id| pushes[id] == 2), "{pushes:?}");
    assert!(dying.iter().all(|id| pushes[id] <= 2), "{pushes:?}");
}
