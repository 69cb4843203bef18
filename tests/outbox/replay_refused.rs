//! Replays that cannot be: of what is not kept, of streams that keep nothing, and asked for in a wrong way.

use serde_json::{Value, json};

use crate::harness::{Options, eventually};
use crate::support::{assert_problem, event, pointer_of};

use super::{Outbox, a_moment_between, essence, ids, now_ms, soon};

#[test]
fn an_event_that_is_not_kept_is_not_replayed_from() {
    let outbox = Outbox::polled(Options::default());
    outbox.accept(&["a1"]);
    let own = outbox.stream.drain().pop().expect("a1");
    let neighbour = outbox.receiver.poll_stream();
    outbox.accept(&["a2"]);
    let theirs = neighbour.drain().pop().expect("a2");
    outbox.stream.drain();
    outbox.stream.verify(&json!({"state": "v-1"}), 204);
    let verification = outbox.stream.drain().pop().expect("a verification");
    for jti in [
        theirs.jti(),
        // It was true once, and is not kept.
        verification.jti(),
        "AAAAAAAAAAAAAAAAAAAAAA",
        "x",
        "",
        "é",
        &own.jti()[1..],
        &format!("{}x", own.jti()),
    ] {
        let answer = outbox.ask("/replay", &json!({"jti": jti}), 400);
        assert_eq!(pointer_of(&answer), "/jti", "{jti}");
        assert_eq!(outbox.queued(), 0, "{jti}");
    }
}

#[test]
fn a_body_that_does_not_say_from_where_is_refused() {
    let outbox = Outbox::polled(Options::default());
    let start = a_moment_between();
    outbox.accept(&["a1"]);
    let set = outbox.stream.drain().pop().expect("a1");
    for (body, pointer) in [
        (json!({}), None),
        (json!({"since": start, "jti": set.jti()}), None),
        (json!({"from": start}), None),
        (json!({"since": "yesterday"}), Some("/since")),
        (json!({"since": start.to_string()}), Some("/since")),
        (json!({"since": -1}), Some("/since")),
        (json!({"since": 1.5}), Some("/since")),
        (json!({"since": null}), Some("/since")),
        (json!({"since": [start]}), Some("/since")),
        (json!({"since": 1e300}), Some("/since")),
        (json!({"jti": 1}), Some("/jti")),
        (json!({"jti": null}), Some("/jti")),
        (json!({"jti": [set.jti()]}), Some("/jti")),
    ] {
        let found = pointer_of(&outbox.ask("/replay", &body, 400));
        assert!(pointer.is_none_or(|pointer| pointer == found), "{body}: {found}");
    }
    assert_eq!(outbox.queued(), 0);
}

#[test]
fn nothing_is_replayed_from_before_the_retention() {
    let outbox = Outbox::polled(Options::default());
    outbox.accept(&["a1"]);
    outbox.stream.drain();
    let week = 604_800_000;
    for since in [0, now_ms() - week - 60_000] {
        let answer = outbox.ask("/replay", &json!({"since": since}), 400);
        assert_eq!(pointer_of(&answer), "/since", "{since}");
    }
    assert_eq!(outbox.queued(), 0);
    // Within it, before there was anything at all, is all of it.
    assert_eq!(
        outbox.replay(&json!({"since": now_ms() - week + 60_000}))["replayed"],
        json!(1)
    );
}

#[test]
fn what_was_delivered_is_kept_for_the_retention_and_not_for_ever() {
    let outbox = Outbox::polled(Options::default().set("RETENTION_S", 1));
    let start = a_moment_between();
    outbox.accept(&["a1"]);
    let first = outbox.stream.drain();
    eventually("the retention is over", || (now_ms() > start + 1500).then_some(()));
    assert_eq!(
        pointer_of(&outbox.ask("/replay", &json!({"since": start}), 400)),
        "/since"
    );
    assert_eq!(
        pointer_of(&outbox.ask("/replay", &json!({"jti": first[0].jti()}), 400)),
        "/jti"
    );
    assert_eq!(
        outbox.replay(&json!({"since": now_ms()})),
        json!({"replayed": 0, "from": null})
    );
    // What waits is kept however long it does.
    outbox.accept(&["a2"]);
    let waiting = outbox.stream.hand_out(1);
    let accepted_at = now_ms();
    eventually("the retention is over", || {
        (now_ms() > accepted_at + 1500).then_some(())
    });
    assert_eq!(ids(&outbox.stream.hand_out(1)), ["a2"]);
    outbox.stream.ack(&waiting);
    // Its publisher is still understood (design 3).
    outbox.accept(&["a1", "a2"]);
    assert_eq!(outbox.queued(), 0);
}

#[test]
fn without_a_retention_there_is_no_replay_and_ids_are_known_all_the_same() {
    // One push at a time is written down one by one: no restart repeats any of them.
    let mut outbox = Outbox::pushed(soon().set("RETENTION_S", 0).set("WINDOW", 1));
    let start = a_moment_between();
    outbox.accept(&["a1", "b1"]);
    outbox.wait_until_idle();
    let pushed = outbox.arrived();
    for body in [
        json!({"since": start}),
        json!({"since": now_ms()}),
        json!({"jti": pushed[0].jti()}),
        json!({"jti": "AAAAAAAAAAAAAAAAAAAAAA"}),
    ] {
        assert_problem(&outbox.ask("/replay", &body, 409), 409);
    }
    for _ in 0..2 {
        outbox.accept(&["a1", "b1", "c1"]);
        outbox.wait_until_idle();
        let mut arrived = ids(&outbox.arrived());
        arrived.sort();
        assert_eq!(arrived, ["a1", "b1", "c1"]);
        let other = json!({"events": [event("a1", "somebody-else@example.com")]});
        let answer = outbox.tenant.operator().send_json("POST", "/events", &other, 409);
        assert_eq!(pointer_of(&answer), "/events/0/id");
        outbox.instance.restart();
    }
    // The dead are kept with what they said.
    let dead = outbox.bury(&["d1"]);
    assert_eq!(
        outbox.redrive(&json!({"jti": dead[0].jti()})),
        json!({"redriven": 1, "remaining": 0})
    );
    outbox.wait_until_idle();
    assert_eq!(ids(&outbox.arrived()[3..]), ["d1", "d1"]);
}

/// SSF-8.1.2.1-3
#[test]
fn no_replay_brings_back_what_a_disabled_stream_dropped() {
    let mut outbox = Outbox::polled(Options::default());
    let start = a_moment_between();
    outbox.accept(&["a1", "b1"]);
    let delivered = outbox.stream.drain();
    outbox.accept(&["c1", "d1"]);
    let (waiting, third) = (outbox.queued(), outbox.stream.hand_out(1));
    outbox.stream.ack(&third);
    outbox.stream.set_status("disabled");
    for body in [
        json!({"since": start}),
        json!({"since": now_ms() + 3_600_000}),
        json!({"jti": delivered[0].jti()}),
    ] {
        assert_problem(&outbox.ask("/replay", &body, 409), 409);
    }
    outbox.stream.set_status("enabled");
    assert_eq!((waiting, outbox.queued()), (2, 0));
    // What was delivered before is kept still, but for what shared a request with the dropped.
    for _ in 0..2 {
        let answer = outbox.ask("/replay", &json!({"jti": third[0].jti()}), 400);
        assert_eq!(pointer_of(&answer), "/jti");
        assert_eq!(outbox.replay(&json!({"since": start}))["replayed"], json!(2));
        assert_eq!(essence(&outbox.stream.drain()), essence(&delivered));
        outbox.instance.restart();
    }
    outbox.accept(&["e1"]);
    assert_eq!(outbox.replay(&json!({"since": start}))["replayed"], json!(3));
    assert_eq!(ids(&outbox.stream.drain()), ["a1", "b1", "e1"]);
}

#[test]
fn a_deleted_stream_is_not_replayed() {
    let outbox = Outbox::polled(Options::default());
    let start = a_moment_between();
    outbox.accept(&["a1"]);
    outbox.stream.delete();
    assert_problem(&outbox.ask("/replay", &json!({"since": start}), 404), 404);
    let letters: Value = json!({"all": true});
    assert_problem(&outbox.ask("/dead-letters/redrive", &letters, 404), 404);
    assert_problem(&outbox.ask("/dead-letters/purge", &letters, 404), 404);
}
