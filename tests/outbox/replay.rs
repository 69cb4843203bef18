//! Replay: everything that was accepted from an instant or an event on is sent again, in its order and as the same SETs.

use std::thread::scope;

use serde_json::{Value, json};

use crate::harness::{Options, Reply};
use crate::manage::briefs;
use crate::support::POLL;

use super::{Outbox, a_moment_between, about, essence, ids, now_ms, refusal, soon};

/// Strictly one after the other, so that the order of arrival is the order of sending.
fn in_order() -> Options {
    soon().set("WINDOW", 1)
}

#[test]
fn what_was_accepted_since_an_instant_is_pushed_again() {
    let outbox = Outbox::pushed(in_order());
    outbox.accept(&["a1", "b1"]);
    outbox.wait_until_idle();
    let since = a_moment_between();
    outbox.accept(&["a2", "b2"]);
    outbox.accept(&["c1"]);
    outbox.wait_until_idle();
    let first = outbox.arrived();
    let answer = outbox.replay(&json!({"since": since}));
    assert_eq!(
        (&answer["replayed"], &answer["from"]["jti"]),
        (&json!(3), &first[2].claims["jti"])
    );
    let at = answer["from"]["at"].as_u64().expect("an instant");
    assert!((since..=now_ms()).contains(&at), "{since} {answer}");
    outbox.wait_until_idle();
    let again = outbox.arrived()[5..].to_vec();
    assert_eq!(ids(&again), ["a2", "b2", "c1"]);
    assert_eq!(essence(&again), essence(&first[2..]));
}

#[test]
fn what_was_accepted_from_an_event_on_is_pushed_again() {
    let outbox = Outbox::pushed(in_order());
    outbox.accept(&["a1"]);
    // The middle of what came in one request.
    outbox.accept(&["b1", "b2", "b3"]);
    outbox.accept(&["c1"]);
    outbox.wait_until_idle();
    let first = outbox.arrived();
    let mut seen = first.len();
    for (from, expected) in [
        (2, &["b2", "b3", "c1"][..]),
        (4, &["c1"]),
        (0, &["a1", "b1", "b2", "b3", "c1"]),
    ] {
        let answer = outbox.replay(&json!({"jti": first[from].jti()}));
        assert_eq!(
            (&answer["replayed"], &answer["from"]["jti"]),
            (&json!(expected.len()), &json!(first[from].jti()))
        );
        outbox.wait_until_idle();
        let again = outbox.arrived()[seen..].to_vec();
        assert_eq!(ids(&again), expected);
        assert_eq!(essence(&again), essence(&first[from..]));
        seen += again.len();
    }
}

#[test]
fn a_stream_that_is_polled_is_given_everything_again() {
    let outbox = Outbox::polled(Options::default());
    let start = a_moment_between();
    outbox.accept(&["a1", "b1"]);
    let between = a_moment_between();
    outbox.accept(&["a2", "c1"]);
    let first = outbox.stream.drain();
    assert_eq!(briefs(&first), ["a1", "b1", "a2", "c1"]);
    for (body, from) in [
        (json!({"since": start}), 0),
        (json!({"since": between}), 2),
        (json!({"jti": first[1].jti()}), 1),
        (json!({"jti": first[3].jti()}), 3),
    ] {
        let answer = outbox.replay(&body);
        assert_eq!(
            (&answer["replayed"], &answer["from"]["jti"]),
            (&json!(4 - from), &json!(first[from].jti())),
            "{body}"
        );
        assert_eq!(outbox.queued(), 4 - from as u64, "{body}");
        assert_eq!(essence(&outbox.stream.drain()), essence(&first[from..]), "{body}");
    }
}

#[test]
fn what_was_never_delivered_keeps_its_place_in_a_replay() {
    let outbox = Outbox::polled(Options::default());
    let start = a_moment_between();
    outbox.accept(&["a1", "b1", "c1", "d1"]);
    let handed_out = outbox.stream.hand_out(3);
    let second = handed_out
        .iter()
        .find(|set| set.email() == "b@example.com")
        .expect("b1");
    outbox.stream.ack(std::slice::from_ref(second));
    assert_eq!(outbox.queued(), 3);
    assert_eq!(outbox.replay(&json!({"since": start}))["replayed"], json!(4));
    outbox.accept(&["e1"]);
    assert_eq!(outbox.queued(), 5);
    assert_eq!(briefs(&outbox.stream.drain()), ["a1", "b1", "c1", "d1", "e1"]);
}

#[test]
fn the_dead_come_again_and_their_letters_stay() {
    let outbox = Outbox::pushed(in_order());
    let start = a_moment_between();
    outbox.accept(&["a1"]);
    outbox.wait_until_idle();
    let dead = outbox.bury(&["a2"]);
    outbox.accept(&["a3"]);
    outbox.wait_until_idle();
    let letters = outbox.stream.dead_letters();
    let first = outbox.arrived();
    assert_eq!(outbox.replay(&json!({"since": start}))["replayed"], json!(3));
    outbox.wait_until_idle();
    assert_eq!(essence(&outbox.arrived()[3..]), essence(&first));
    assert_eq!(outbox.stream.dead_letters(), letters);
    // Also from itself on.
    assert_eq!(outbox.replay(&json!({"jti": dead[0].jti()}))["replayed"], json!(2));
    outbox.wait_until_idle();
    assert_eq!(ids(&outbox.arrived()[6..]), ["a2", "a3"]);
    assert_eq!(
        outbox.purge(&json!({"all": true})),
        json!({"purged": 1, "remaining": 0})
    );
}

#[test]
fn a_replay_from_an_event_that_was_sent_again_begins_where_it_was_accepted() {
    let outbox = Outbox::pushed(in_order());
    let dead = outbox.bury(&["a1"]);
    outbox.accept(&["b1", "c1"]);
    outbox.wait_until_idle();
    outbox.redrive(&json!({"jti": dead[0].jti()}));
    outbox.wait_until_idle();
    let seen = outbox.endpoint.requests().len();
    outbox.replay(&json!({"jti": dead[0].jti()}));
    outbox.wait_until_idle();
    let again = ids(&outbox.arrived()[seen..]);
    let first: Vec<&String> = again.iter().take(3).collect();
    assert_eq!(first, ["a1", "b1", "c1"], "{again:?}");
}

#[test]
fn nothing_changes_when_nothing_came_since() {
    let outbox = Outbox::pushed(soon());
    let none = json!({"replayed": 0, "from": null});
    assert_eq!(outbox.replay(&json!({"since": now_ms()})), none);
    outbox.accept(&["a1"]);
    outbox.wait_until_idle();
    let gate = outbox.endpoint.then_held(Reply::status(202));
    outbox.accept(&["a2", "a3"]);
    outbox.endpoint.wait_for(2);
    for since in [a_moment_between(), now_ms() + 3_600_000, 9_007_199_254_740_991] {
        assert_eq!(outbox.replay(&json!({"since": since})), none, "{since}");
        assert_eq!(outbox.queued(), 2);
    }
    // Not even the answer that is on its way goes by.
    gate.open();
    outbox.wait_until_idle();
    assert_eq!(ids(&outbox.arrived()), ["a1", "a2", "a3"]);
}

/// Design 4: results of older generations are ignored.
#[test]
fn an_answer_from_before_the_replay_says_nothing() {
    for reply in [Reply::status(202), refusal()] {
        let outbox = Outbox::pushed(soon());
        let start = a_moment_between();
        let gate = outbox.endpoint.then_held(reply.clone());
        outbox.accept(&["a1", "a2"]);
        outbox.endpoint.wait_for(1);
        assert_eq!(
            outbox.replay(&json!({"since": start}))["replayed"],
            json!(2),
            "{reply:?}"
        );
        gate.open();
        outbox.wait_until_idle();
        let arrived = outbox.arrived();
        assert_eq!(ids(&arrived), ["a1", "a1", "a2"], "{reply:?}");
        assert_eq!(essence(&arrived[..1]), essence(&arrived[1..2]));
        assert_eq!(outbox.stream.dead_letters(), [] as [Value; 0], "{reply:?}");
    }
}

#[test]
fn an_acknowledgement_of_what_was_handed_out_before_the_replay_takes_nothing_away() {
    let outbox = Outbox::polled(Options::default());
    let start = a_moment_between();
    outbox.accept(&["a1", "b1", "c1"]);
    let before = outbox.stream.hand_out(2);
    outbox.replay(&json!({"since": start}));
    outbox.stream.ack(&before);
    let errors = json!({before[0].jti(): super::refused_by_poll()});
    outbox
        .stream
        .poll(&json!({"returnImmediately": true, "maxEvents": 0, "setErrs": errors}));
    assert_eq!((outbox.queued(), outbox.stream.dead_letters().len()), (3, 0));
    // Handed out again, it counts again.
    let again = outbox.stream.hand_out(2);
    assert_eq!(essence(&again), essence(&before));
    outbox.stream.ack(&again);
    assert_eq!(briefs(&outbox.stream.drain()), ["c1"]);
}

#[test]
fn a_held_poll_is_woken_by_a_replay() {
    let outbox = Outbox::polled(Options::default().set("LONG_POLL_MS", 25_000));
    outbox.accept(&["a1"]);
    let first = outbox.stream.drain();
    scope(|threads| {
        let held = threads.spawn(|| outbox.stream.poll(&json!({})));
        outbox.stream.health();
        outbox.replay(&json!({"jti": first[0].jti()}));
        let sets = crate::manage::sets(&held.join().expect("no panic"));
        assert_eq!(essence(&sets), essence(&first));
    });
}

#[test]
fn a_replay_survives_a_restart_and_reaches_behind_one() {
    let mut outbox = Outbox::pushed(in_order());
    let start = a_moment_between();
    outbox.accept(&["a1", "a2", "a3"]);
    outbox.wait_until_idle();
    let first = outbox.arrived();
    outbox.instance.restart();
    outbox.stream.set_status("paused");
    assert_eq!(outbox.replay(&json!({"since": start}))["replayed"], json!(3));
    outbox.instance.restart();
    assert_eq!((outbox.queued(), outbox.endpoint.requests().len()), (3, 3));
    outbox.stream.set_status("enabled");
    outbox.wait_until_idle();
    assert_eq!(essence(&outbox.arrived()[3..]), essence(&first));

    // And one in the middle of which the process dies.
    let gate = outbox.endpoint.then_held(Reply::status(202));
    outbox.replay(&json!({"jti": first[1].jti()}));
    outbox.endpoint.wait_for(7);
    outbox.instance.kill();
    gate.open();
    outbox.instance.restart();
    outbox.wait_until_idle();
    assert_eq!(ids(&outbox.arrived()[6..]), ["a2", "a2", "a3"]);
}

#[test]
fn a_replay_may_be_replayed_while_it_is_under_way() {
    let outbox = Outbox::pushed(soon());
    let start = a_moment_between();
    outbox.accept(&["a1", "b1", "a2", "b2"]);
    outbox.wait_until_idle();
    for round in 1..=10 {
        let seen = outbox.endpoint.requests().len();
        assert_eq!(
            outbox.replay(&json!({"since": start}))["replayed"],
            json!(4),
            "round {round}"
        );
        outbox.endpoint.wait_for(seen + round % 4 + 1);
    }
    outbox.wait_until_idle();
    let arrived = ids(&outbox.arrived());
    for (subject, both) in [("a", ["a1", "a2"]), ("b", ["b1", "b2"])] {
        let of_subject = about(&arrived, subject);
        assert_eq!(
            of_subject[of_subject.len() - 2..],
            both,
            "the last of them is complete: {arrived:?}"
        );
    }
}

#[test]
fn a_replay_follows_the_stream_to_another_method() {
    let outbox = Outbox::pushed(in_order());
    let start = a_moment_between();
    outbox.accept(&["a1", "b1"]);
    outbox.wait_until_idle();
    outbox.stream.patch(&json!({"delivery": {"method": POLL}}));
    outbox.accept(&["c1"]);
    assert_eq!(outbox.replay(&json!({"since": start}))["replayed"], json!(3));
    let drained = outbox.stream.drain();
    assert_eq!(briefs(&drained), ["a1", "b1", "c1"]);
    assert_eq!(essence(&drained[..2]), essence(&outbox.arrived()));
}

/// What a stream says about itself is true once.
#[test]
fn verifications_and_announcements_are_not_replayed() {
    let outbox = Outbox::polled(Options::default());
    let start = a_moment_between();
    outbox.accept(&["a1"]);
    outbox.stream.verify(&json!({"state": "v-1"}), 204);
    outbox.stream.operate(&json!({"status": "paused"}));
    outbox.stream.operate(&json!({"status": "enabled"}));
    assert_eq!(outbox.stream.drain().len(), 4);
    assert_eq!(outbox.replay(&json!({"since": start}))["replayed"], json!(1));
    assert_eq!(briefs(&outbox.stream.drain()), ["a1"]);
}

#[test]
fn ids_stay_known_through_a_replay() {
    let outbox = Outbox::polled(Options::default());
    let start = a_moment_between();
    outbox.accept(&["a1", "b1"]);
    outbox.stream.drain();
    outbox.replay(&json!({"since": start}));
    outbox.accept(&["a1", "b1"]);
    assert_eq!(outbox.queued(), 2);
    outbox.stream.drain();
    outbox.accept(&["b1", "a1"]);
    assert_eq!(outbox.queued(), 0);
}

/// A replay is never refused for want of room, but room it takes.
#[test]
fn what_is_replayed_counts_in_the_outbox() {
    let outbox = Outbox::polled(Options::default().set("OUTBOX_EVENTS", 4));
    let start = a_moment_between();
    for batch in [["a1", "a2", "a3"], ["b1", "b2", "b3"]] {
        outbox.accept(&batch);
        outbox.stream.drain();
    }
    assert_eq!(outbox.replay(&json!({"since": start}))["replayed"], json!(6));
    outbox.refuse(&["c1"]);
    assert_eq!(outbox.stream.health()["outbox_full"], json!(true));
    assert_eq!(briefs(&outbox.stream.drain()), ["a1", "a2", "a3", "b1", "b2", "b3"]);
    outbox.accept(&["c1"]);
    assert_eq!(outbox.stream.status(), json!({"status": "enabled"}));
}
