//! What an operator chooses for one stream: how many pushes at once, what becomes of the stream when an event dies, and whether
//! polls say that there is more. And the settings that say when an event is given up.

use serde_json::{Value, json};

use crate::harness::{Gate, Options, Reply, eventually};
use crate::manage::{briefs, events_and_truth};
use crate::support::{POLL, Set, pointer_of};

use super::{Outbox, essence, ids, now_ms, patient, refusal, soon};

#[test]
fn a_window_of_one_is_strict_order_where_other_streams_let_events_pass() {
    let strict = Outbox::pushed(soon());
    let free = strict.receiver.push_stream(&strict.endpoint.url("/free"));
    let chosen = strict.stream.operate(&json!({"window": 1}));
    assert_eq!(chosen["window"], json!(1));
    // One push of each is held up.
    let gates = [(); 2].map(|()| strict.endpoint.then_held(Reply::status(202)));
    strict.accept(&["a1"]);
    strict.endpoint.wait_for(2);
    strict.accept(&["a2", "b1", "c1", "b2"]);
    let passed = eventually("the others pass", || {
        Some(ids(&crate::manage::pushed_to(&strict.endpoint, "/free"))).filter(|ids| ids.len() == 4)
    });
    assert!(!passed.contains(&"a2".to_owned()), "{passed:?}");
    assert_eq!(ids(&strict.arrived()), ["a1"], "nothing passes where order is strict");
    gates.iter().for_each(Gate::open);
    strict.wait_until_idle();
    assert_eq!(ids(&strict.arrived()), ["a1", "a2", "b1", "c1", "b2"]);
    assert_eq!(free.health()["window"], Value::Null);
}

#[test]
fn with_strict_order_nothing_passes_an_event_that_fails() {
    let mut outbox = Outbox::pushed(soon());
    outbox.stream.operate(&json!({"window": 1}));
    outbox.instance.restart();
    assert_eq!(outbox.stream.health()["window"], json!(1), "it is kept");
    for reply in [Reply::status(500), Reply::Reset, Reply::status(202), Reply::status(503)] {
        outbox.endpoint.then(reply);
    }
    outbox.accept(&["a1", "b1"]);
    outbox.accept(&["c1"]);
    outbox.wait_until_idle();
    assert_eq!(ids(&outbox.arrived()), ["a1", "a1", "a1", "b1", "b1", "c1"]);
}

#[test]
fn a_window_is_wide_as_chosen_or_as_the_setting_says() {
    let outbox = Outbox::pushed(soon().set("WINDOW", 2));
    for (round, (window, expected)) in [(json!(4), 4), (json!(null), 2), (json!(3), 3)].into_iter().enumerate() {
        assert_eq!(outbox.stream.operate(&json!({"window": window}))["window"], window);
        let seen = outbox.endpoint.requests().len();
        let gates: Vec<Gate> = (0..5).map(|_| outbox.endpoint.then_held(Reply::status(202))).collect();
        let names = ["a", "b", "c", "d", "e"].map(|subject| format!("{subject}{round}"));
        outbox.accept(&names.each_ref().map(String::as_str));
        outbox.endpoint.wait_for(seen + expected);
        // Whatever else could be pushed would have been before this is answered.
        assert_eq!(outbox.stream.health()["queued_events"], json!(5));
        assert_eq!(outbox.endpoint.requests().len(), seen + expected, "window {window}");
        gates.iter().for_each(Gate::open);
        outbox.wait_until_idle();
        assert_eq!(outbox.endpoint.requests().len(), seen + 5);
    }
}

#[test]
fn a_window_that_is_narrowed_while_pushes_are_under_way_counts_from_there_on() {
    let outbox = Outbox::pushed(soon());
    let gates = [(); 2].map(|()| outbox.endpoint.then_held(Reply::status(202)));
    outbox.accept(&["a1", "b1"]);
    outbox.endpoint.wait_for(2);
    outbox.stream.operate(&json!({"window": 1}));
    outbox.accept(&["c1", "a2", "d1"]);
    gates[1].open();
    eventually("one of two is known", || (outbox.queued() == 4).then_some(()));
    assert_eq!(outbox.endpoint.requests().len(), 2, "c1 would pass a1");
    gates[0].open();
    outbox.wait_until_idle();
    assert_eq!(ids(&outbox.arrived()[2..]), ["c1", "a2", "d1"]);
}

#[test]
fn choices_are_answered_kept_and_refused_when_they_are_none() {
    let mut outbox = Outbox::polled(Options::default());
    let choices = |health: &Value| ["window", "on_dead", "more_available"].map(|name| health[name].clone());
    let default = choices(&outbox.stream.health());
    assert_eq!(default, [Value::Null, json!("skip"), json!(true)]);
    let chosen = json!({"window": 64, "on_dead": "pause", "more_available": false});
    let health = outbox.stream.operate(&chosen);
    let expected = [json!(64), json!("pause"), json!(false)];
    assert_eq!(choices(&health), expected);
    for (body, pointer) in [
        (json!({"window": 0}), "/window"),
        (json!({"window": 65}), "/window"),
        (json!({"window": -1}), "/window"),
        (json!({"window": 1.5}), "/window"),
        (json!({"window": "6"}), "/window"),
        (json!({"window": [6]}), "/window"),
        (json!({"on_dead": "stop"}), "/on_dead"),
        (json!({"on_dead": true}), "/on_dead"),
        (json!({"more_available": "no"}), "/more_available"),
        (json!({"more_available": 0}), "/more_available"),
        // All or nothing.
        (json!({"on_dead": "skip", "window": 99}), "/window"),
        (json!({"window": 2, "status": "off"}), "/status"),
    ] {
        let path = outbox.stream.admin_path();
        let answer = outbox.tenant.operator().send_json("PATCH", &path, &body, 400);
        assert_eq!(pointer_of(&answer), pointer, "{body}");
    }
    outbox.instance.restart();
    assert_eq!(choices(&outbox.stream.health()), expected);
    // Its receiver's changes are of other things.
    outbox.stream.patch(&json!({"description": "new"}));
    outbox.stream.put(&json!({"delivery": {"method": POLL}}));
    assert_eq!(
        choices(&outbox.stream.operate(&json!({"window": null}))),
        [Value::Null, json!("pause"), json!(false)]
    );
    assert_eq!(
        choices(
            &outbox
                .stream
                .operate(&json!({"on_dead": "skip", "more_available": true}))
        ),
        default
    );
}

/// Pitfall 3: there are receivers that cannot read the member at all.
#[test]
fn a_stream_may_do_without_the_member_that_says_there_is_more() {
    let outbox = Outbox::polled(Options::default());
    outbox.accept(&["a1", "a2", "a3"]);
    let poll = |most: u32| {
        outbox
            .stream
            .poll(&json!({"returnImmediately": true, "maxEvents": most}))
    };
    assert_eq!(poll(1)["moreAvailable"], json!(true));
    for (choice, expected) in [(false, None), (true, Some(&json!(true))), (false, None)] {
        outbox.stream.operate(&json!({"more_available": choice}));
        for most in [1, 2] {
            let answer = poll(most);
            assert_eq!(answer.get("moreAvailable"), expected, "{choice}");
            assert_eq!(
                answer["sets"].as_object().map(serde_json::Map::len),
                Some(most as usize)
            );
        }
    }
    let drained = outbox.stream.drain();
    assert_eq!(ids(&drained), ["a1", "a2", "a3"], "nothing but the member is missing");
}

/// Paused by us, with the event that died at its head. Why.
#[track_caller]
fn wait_for_pause(outbox: &Outbox) -> String {
    let status = eventually("the stream is paused", || {
        Some(outbox.stream.status()).filter(|status| status["status"] == "paused")
    });
    let why = status["reason"].as_str().expect("SSF-8.1.2.1-12").to_owned();
    let health = outbox.stream.health();
    assert_eq!((&health["status"], &health["reason"]), (&json!("paused"), &json!(why)));
    assert_eq!(health["status_set_by"], json!("transmitter"), "{health}");
    assert_eq!(outbox.stream.dead_letters(), [] as [Value; 0]);
    why
}

/// The endpoint refuses this event and takes all else.
fn refuse_only(outbox: &Outbox, txn: &'static str) {
    outbox.endpoint.otherwise_decide(move |push| {
        let set = Set::decode(push.text());
        if set.text("txn") == txn {
            refusal()
        } else {
            Reply::status(202)
        }
    });
}

/// WH-2.2-24 in an ordered stream: `dead` pauses it where that was chosen.
#[test]
fn where_it_was_chosen_an_event_that_dies_pauses_its_stream_instead() {
    let mut outbox = Outbox::pushed(soon());
    outbox.stream.operate(&json!({"on_dead": "pause", "window": 1}));
    refuse_only(&outbox, "txn-a1");
    outbox.accept(&["a1", "b1"]);
    let why = wait_for_pause(&outbox);
    assert!(why.contains("invalid_audience"), "{why}");
    outbox.accept(&["c1"]);
    assert_eq!(outbox.queued(), 3);
    // Its receiver is told; stream-updated passes the pause (SSF-8.1.5-2).
    outbox.endpoint.wait_for(2);
    assert_eq!(briefs(&outbox.arrived()), ["a1", "now paused"]);
    outbox.instance.restart();
    assert_eq!(wait_for_pause(&outbox), why);
    assert_eq!(ids(&outbox.arrived()), ["a1"]);

    // Its receiver tries, and the event is not better than it was.
    outbox.ask_for_enabled();
    eventually("it is tried again", || {
        (ids(&outbox.arrived()).len() == 2).then_some(())
    });
    assert_eq!(wait_for_pause(&outbox), why);
    assert_eq!(ids(&outbox.arrived()), ["a1", "a1"]);

    // The operator tries, and it is.
    outbox.endpoint.otherwise(Reply::status(202));
    outbox.stream.operate(&json!({"status": "enabled"}));
    outbox.wait_until_idle();
    let heard = || outbox.arrived();
    assert_eq!(events_and_truth("enabled", heard), ["a1", "a1", "a1", "b1", "c1"]);
    assert_eq!(outbox.stream.status(), json!({"status": "enabled"}));
    assert_eq!(outbox.stream.dead_letters(), [] as [Value; 0]);
    let events: Vec<_> = outbox
        .arrived()
        .into_iter()
        .filter(|set| set.email() == "a@example.com")
        .collect();
    assert_eq!(essence(&events[..1]), essence(&events[1..2]));
    assert_eq!(essence(&events[..1]), essence(&events[2..]));
}

#[test]
fn an_event_that_is_given_up_pauses_its_stream_as_well() {
    for (setting, value) in [("GIVE_UP_ATTEMPTS", 2), ("GIVE_UP_AFTER_S", 0)] {
        let outbox = Outbox::pushed(soon().set(setting, value));
        outbox.stream.operate(&json!({"on_dead": "pause", "window": 1}));
        outbox.endpoint.otherwise_decide(|push| {
            let set = Set::decode(push.text());
            let published = set.email() == "a@example.com";
            Reply::status(if published { 500 } else { 202 })
        });
        outbox.accept(&["a1", "b1"]);
        wait_for_pause(&outbox);
        assert_eq!(outbox.queued(), 2, "{setting}");
        let tried = ids(&outbox.arrived());
        assert!(tried.iter().all(|id| id == "a1"), "{setting}: {tried:?}");
        assert_eq!(tried.len(), if value == 2 { 2 } else { 1 }, "{setting}");
        outbox.endpoint.otherwise(Reply::status(202));
        outbox.ask_for_enabled();
        outbox.wait_until_idle();
        assert_eq!(ids(&outbox.arrived())[tried.len()..], ["a1", "b1"], "{setting}");
        assert_eq!(outbox.stream.status(), json!({"status": "enabled"}));
    }
}

#[test]
fn what_else_is_under_way_when_a_stream_is_paused_for_an_event_still_counts() {
    let outbox = Outbox::pushed(soon());
    outbox.stream.operate(&json!({"on_dead": "pause"}));
    let gates = [refusal(), Reply::status(202), Reply::status(500)].map(|reply| outbox.endpoint.then_held(reply));
    // One after the other, so that it is known which gate is whose.
    for (number, id) in ["a1", "b1", "c1"].into_iter().enumerate() {
        outbox.accept(&[id]);
        outbox.endpoint.wait_for(number + 1);
    }
    gates[0].open();
    wait_for_pause(&outbox);
    gates[1].open();
    gates[2].open();
    eventually("what was delivered is known", || (outbox.queued() == 2).then_some(()));
    outbox.accept(&["d1"]);
    outbox.ask_for_enabled();
    outbox.wait_until_idle();
    let mut events = ids(&outbox.arrived());
    events.sort();
    assert_eq!(events, ["a1", "a1", "b1", "c1", "c1", "d1"]);
}

#[test]
fn a_stream_that_skips_the_dead_again_buries_the_one_it_was_paused_for() {
    let outbox = Outbox::pushed(soon());
    outbox.stream.operate(&json!({"on_dead": "pause"}));
    refuse_only(&outbox, "txn-a1");
    outbox.accept(&["a1", "a2"]);
    wait_for_pause(&outbox);
    outbox.stream.operate(&json!({"on_dead": "skip"}));
    assert_eq!(outbox.stream.status()["status"], json!("paused"), "until somebody asks");
    outbox.ask_for_enabled();
    outbox.wait_until_idle();
    assert_eq!(outbox.wait_for_letters(1)[0]["err"], json!("invalid_audience"));
    assert_eq!(ids(&outbox.arrived()), ["a1", "a1", "a2"]);
}

/// Who reports an error has taken the SET off its own list: nobody waits for it any more (POLL-R-3).
#[test]
fn an_error_that_a_polling_receiver_reports_buries_whatever_was_chosen() {
    let outbox = Outbox::polled(Options::default());
    outbox.stream.operate(&json!({"on_dead": "pause"}));
    outbox.bury_polled(&["a1"]);
    assert_eq!(outbox.stream.dead_letters().len(), 1);
    assert_eq!(outbox.stream.status(), json!({"status": "enabled"}));
    outbox.accept(&["a2"]);
    assert_eq!(ids(&outbox.stream.drain()), ["a2"]);
}

#[test]
fn an_event_is_given_up_after_so_many_attempts() {
    let outbox = Outbox::pushed(soon().set("GIVE_UP_ATTEMPTS", 3));
    for reply in [Reply::status(500), Reply::Reset, Reply::status(503), Reply::status(202)] {
        outbox.endpoint.then(reply);
    }
    outbox.accept(&["a1", "a2"]);
    outbox.wait_until_idle();
    assert_eq!(ids(&outbox.arrived()), ["a1", "a1", "a1", "a2"]);
    let letter = outbox.wait_for_letters(1).remove(0);
    assert_eq!((&letter["err"], &letter["attempts"]), (&json!("given_up"), &json!(3)));
    // Sent again, it has as many attempts as before.
    for _ in 0..2 {
        outbox.endpoint.then(Reply::status(500));
    }
    outbox.redrive(&json!({"all": true}));
    outbox.wait_until_idle();
    assert_eq!(ids(&outbox.arrived()[4..]), ["a1", "a1", "a1"]);
    assert_eq!(outbox.stream.dead_letters(), [] as [Value; 0]);
}

#[test]
fn without_a_number_of_attempts_only_time_counts() {
    let outbox = Outbox::pushed(soon().set("GIVE_UP_ATTEMPTS", 0));
    for _ in 0..20 {
        outbox.endpoint.then(Reply::status(500));
    }
    outbox.accept(&["a1"]);
    outbox.wait_until_idle();
    assert_eq!(outbox.endpoint.requests().len(), 21);
    assert_eq!(outbox.stream.dead_letters(), [] as [Value; 0]);
}

/// WH-2.2-34: an event is not to blame for the rate it meets.
#[test]
fn being_asked_to_wait_is_no_attempt() {
    let outbox = Outbox::pushed(soon().set("GIVE_UP_ATTEMPTS", 1));
    let started = now_ms();
    outbox.endpoint.then(Reply::status(429).header("retry-after", "1"));
    outbox.accept(&["a1"]);
    outbox.wait_until_idle();
    assert!(now_ms() - started >= 999);
    assert_eq!(ids(&outbox.arrived()), ["a1", "a1"]);
    assert_eq!(outbox.stream.dead_letters(), [] as [Value; 0]);
}

#[test]
fn one_attempt_may_be_all_there_is() {
    let outbox = Outbox::pushed(patient().set("GIVE_UP_ATTEMPTS", 1));
    outbox.endpoint.then(Reply::status(500));
    outbox.accept(&["a1", "a2"]);
    outbox.wait_until_idle();
    assert_eq!(ids(&outbox.arrived()), ["a1", "a2"]);
    assert_eq!(outbox.wait_for_letters(1)[0]["attempts"], json!(1));
}
