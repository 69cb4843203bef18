//! Endpoints that say no for good: 410, after which only somebody's word leads back, and the second 415 in a row.

use serde_json::{Value, json};

use crate::harness::{Reply, ScriptedReceiver, eventually};
use crate::manage::{Tenant, about_ana, briefs, events_and_truth};
use crate::support::PUSH;

use super::{Outbox, ids, patient, soon};

/// How often an endpoint is tried that is tried by time: long enough for another one to be tried, too.
const PATIENCE: usize = 10;

/// Time goes by: another stream's endpoint, which refuses as well, is tried again and again.
#[track_caller]
fn let_time_go_by(outbox: &Outbox) {
    let neighbour = Tenant::create(&outbox.instance, &json!({}));
    let endpoint = ScriptedReceiver::start();
    endpoint.otherwise(Reply::status(405));
    let stream = neighbour
        .receiver(&[&endpoint.url("/")])
        .push_stream(&endpoint.url("/events"));
    neighbour.publish(&[about_ana("evt-1")]);
    endpoint.wait_for(PATIENCE);
    stream.delete();
}

/// A stream whose endpoint is gone, with two events that wait.
#[track_caller]
fn gone() -> Outbox {
    let outbox = Outbox::pushed(soon().set("WINDOW", 1));
    outbox.endpoint.otherwise(Reply::status(410));
    outbox.accept(&["a1", "b1"]);
    outbox.wait_for_hold("gone");
    outbox
}

#[track_caller]
fn assert_gone(outbox: &Outbox, tried: usize) {
    let health = outbox.stream.health();
    assert_eq!(
        (&health["hold"]["reason"], &health["hold"]["until"]),
        (&json!("gone"), &Value::Null),
        "{health}"
    );
    assert!(health["hold"]["since"].is_u64(), "{health}");
    assert_eq!(outbox.stream.status()["status"], json!("paused"));
    assert_eq!(
        outbox.endpoint.requests().len(),
        tried,
        "{:?}",
        briefs(&outbox.arrived())
    );
}

fn same_delivery(outbox: &Outbox) -> Value {
    json!({"delivery": {"method": PUSH, "endpoint_url": outbox.endpoint.url("/events")}})
}

/// WH-2.2-7, WH-2.2-31
#[test]
fn an_endpoint_that_is_gone_is_not_tried_by_time() {
    let mut outbox = gone();
    assert_gone(&outbox, 1);
    outbox.accept(&["c1"]);
    let_time_go_by(&outbox);
    assert_gone(&outbox, 1);
    outbox.instance.restart();
    outbox.accept(&["d1"]);
    let_time_go_by(&outbox);
    assert_gone(&outbox, 1);
    assert_eq!(outbox.queued(), 4);
    assert_eq!(
        outbox.stream.dead_letters(),
        [] as [Value; 0],
        "what waits is not to blame"
    );
}

/// 410 is for good, whatever else the answer says.
#[test]
fn an_endpoint_that_is_gone_names_no_time_to_come_back() {
    let outbox = Outbox::pushed(soon());
    outbox.endpoint.otherwise(Reply::status(410).header("retry-after", "0"));
    outbox.accept(&["a1"]);
    outbox.wait_for_hold("gone");
    let_time_go_by(&outbox);
    assert_gone(&outbox, 1);
}

#[test]
fn nothing_passes_an_endpoint_that_is_gone() {
    let outbox = gone();
    outbox.stream.verify(&json!({"state": "v-1"}), 204);
    outbox
        .stream
        .operate(&json!({"status": "paused", "reason": "an audit"}));
    let_time_go_by(&outbox);
    assert_eq!(outbox.endpoint.requests().len(), 1);
    // Registered anew, it hears first of all how things stand (SSF-8.1.5-2), and nothing else.
    outbox.endpoint.otherwise(Reply::status(202));
    outbox.stream.patch(&same_delivery(&outbox));
    outbox.endpoint.wait_for(2);
    let_time_go_by(&outbox);
    assert_eq!(briefs(&outbox.arrived()[1..]), ["now paused"]);
    outbox.stream.operate(&json!({"status": "enabled"}));
    outbox.wait_until_idle();
    outbox.endpoint.wait_for(6);
    let heard = || outbox.arrived()[1..].to_vec();
    let events = events_and_truth("enabled", heard);
    assert_eq!(events[0], "verification v-1");
    // Events of two subjects may change places on the way.
    assert!(events.len() == 3 && ["a1", "b1"].iter().all(|event| events.contains(&(*event).to_owned())));
}

/// WH-2.2-31: a registration is what revives it, the same URL included.
#[test]
fn a_receiver_that_registers_its_endpoint_anew_gets_everything() {
    for method in ["PATCH", "PUT"] {
        let mut outbox = gone();
        // Other changes say nothing about the endpoint.
        outbox.stream.patch(&json!({"description": "still here"}));
        outbox.stream.patch(&json!({}));
        let_time_go_by(&outbox);
        assert_gone(&outbox, 1);
        outbox.instance.restart();
        // Too early: it is gone still.
        outbox.stream.send(method, &same_delivery(&outbox), 200);
        outbox.endpoint.wait_for(2);
        outbox.wait_for_hold("gone");
        let_time_go_by(&outbox);
        assert_gone(&outbox, 2);
        outbox.endpoint.otherwise(Reply::status(202));
        outbox.stream.send(method, &same_delivery(&outbox), 200);
        outbox.wait_until_idle();
        let heard = || outbox.arrived()[2..].to_vec();
        assert_eq!(events_and_truth("enabled", heard), ["a1", "b1"], "{method}");
        assert_eq!(outbox.stream.status(), json!({"status": "enabled"}));
        assert_eq!(outbox.stream.health()["hold"], Value::Null);
    }
}

#[test]
fn another_endpoint_is_not_gone() {
    let outbox = gone();
    outbox.endpoint.otherwise(Reply::status(202));
    let delivery = json!({"method": PUSH, "endpoint_url": outbox.endpoint.url("/other")});
    outbox.stream.patch(&json!({"delivery": delivery}));
    outbox.wait_until_idle();
    let heard = || crate::manage::pushed_to(&outbox.endpoint, "/other");
    assert_eq!(events_and_truth("enabled", heard), ["a1", "b1"]);
    assert_eq!(outbox.arrived().len(), 1);
}

/// SSF-8.1.2.2-3
#[test]
fn who_asks_for_the_stream_has_the_endpoint_asked_once() {
    let mut outbox = gone();
    let paused = outbox.stream.status();
    let ask = |outbox: &Outbox, by_operator: bool| {
        if by_operator {
            outbox.stream.operate(&json!({"status": "enabled"}));
        } else {
            let answer = outbox.stream.try_status(&json!({"status": "enabled"}), 202);
            assert_eq!(outbox.stream.without_id(answer.json()), paused);
        }
    };
    for (round, by_operator) in [false, true, false, true].into_iter().enumerate() {
        ask(&outbox, by_operator);
        outbox.endpoint.wait_for(round + 2);
        let_time_go_by(&outbox);
        assert_gone(&outbox, round + 2);
        outbox.instance.restart();
    }
    outbox.endpoint.otherwise(Reply::status(202));
    ask(&outbox, false);
    outbox.wait_until_idle();
    let heard = || outbox.arrived()[5..].to_vec();
    assert_eq!(events_and_truth("enabled", heard), ["a1", "b1"]);
    assert_eq!(outbox.stream.status(), json!({"status": "enabled"}));
}

/// Who was asked before the endpoint went may still take it; that does not bring the endpoint back.
#[test]
fn a_push_that_was_under_way_when_the_endpoint_went_counts_and_proves_nothing() {
    let outbox = Outbox::pushed(soon());
    let gates = [410, 202, 500].map(|status| outbox.endpoint.then_held(Reply::status(status)));
    for (number, id) in ["a1", "b1", "c1"].into_iter().enumerate() {
        outbox.accept(&[id]);
        outbox.endpoint.wait_for(number + 1);
    }
    gates[0].open();
    outbox.wait_for_hold("gone");
    gates[1].open();
    eventually("b1 is delivered", || (outbox.queued() == 2).then_some(()));
    gates[2].open();
    eventually("c1 has failed", || {
        (outbox.stream.deliveries().len() == 3).then_some(())
    });
    outbox.accept(&["d1"]);
    let_time_go_by(&outbox);
    assert_gone(&outbox, 3);
    outbox.stream.patch(&same_delivery(&outbox));
    outbox.wait_until_idle();
    let mut after = ids(&outbox.arrived()[3..]);
    after.sort();
    assert_eq!(after, ["a1", "c1", "d1"]);
}

#[test]
fn an_endpoint_may_say_so_to_a_verification_and_hears_that_again() {
    let outbox = Outbox::pushed(soon());
    outbox.endpoint.otherwise(Reply::status(410));
    outbox.stream.verify(&json!({"state": "v-1"}), 204);
    outbox.wait_for_hold("gone");
    let_time_go_by(&outbox);
    assert_gone(&outbox, 1);
    outbox.endpoint.otherwise(Reply::status(202));
    outbox.stream.patch(&same_delivery(&outbox));
    outbox.endpoint.wait_for(2);
    let heard = || outbox.arrived()[1..].to_vec();
    assert_eq!(events_and_truth("enabled", heard), ["verification v-1"]);
}

/// WH-2.2-10: who is there and named a time is given that time, registered anew or not.
#[test]
fn an_endpoint_that_asked_to_wait_is_left_alone_when_it_is_registered_anew() {
    let outbox = Outbox::pushed(soon());
    outbox
        .endpoint
        .otherwise(Reply::status(503).header("retry-after", "3600"));
    outbox.accept(&["a1"]);
    let hold = outbox.wait_for_hold("retry_after");
    for method in ["PATCH", "PUT"] {
        outbox.stream.send(method, &same_delivery(&outbox), 200);
    }
    let_time_go_by(&outbox);
    assert_eq!(outbox.stream.health()["hold"], hold);
    assert_eq!(outbox.endpoint.requests().len(), 1);
}

/// WH-2.2-33
#[test]
fn the_second_refusal_of_the_format_in_a_row_holds_the_stream() {
    let outbox = Outbox::pushed(patient().set("WINDOW", 1));
    outbox.endpoint.otherwise(Reply::status(415));
    outbox.accept(&["a1", "b1", "c1"]);
    let hold = outbox.wait_for_hold("format_refused");
    assert!(hold["until"].is_u64(), "it is tried by time: {hold}");
    assert_eq!(ids(&outbox.arrived()), ["a1", "b1"]);
    let letters = outbox.stream.dead_letters();
    assert_eq!((letters.len(), &letters[0]["err"]), (1, &json!("format_refused")));
    assert_eq!(outbox.queued(), 2);
    // Asked again, it refuses again: nothing more dies for it.
    outbox.stream.try_status(&json!({"status": "enabled"}), 202);
    outbox.endpoint.wait_for(3);
    eventually("the refusal is known", || {
        (outbox.stream.deliveries().len() == 3).then_some(())
    });
    outbox.wait_for_hold("format_refused");
    assert_eq!((outbox.queued(), outbox.stream.dead_letters().len()), (2, 1));
    outbox.endpoint.otherwise(Reply::status(202));
    outbox.stream.try_status(&json!({"status": "enabled"}), 202);
    outbox.wait_until_idle();
    let heard = || outbox.arrived()[3..].to_vec();
    assert_eq!(events_and_truth("enabled", heard), ["b1", "c1"]);
    assert_eq!(outbox.stream.dead_letters(), letters);
}

#[test]
fn a_format_that_is_taken_in_between_is_not_refused_in_a_row() {
    let outbox = Outbox::pushed(patient().set("WINDOW", 1));
    for status in [415, 202, 415, 202] {
        outbox.endpoint.then(Reply::status(status));
    }
    outbox.accept(&["a1", "a2", "b1", "b2"]);
    outbox.wait_until_idle();
    assert_eq!(outbox.stream.health()["hold"], Value::Null);
    assert_eq!(outbox.wait_for_letters(2).len(), 2);
    assert_eq!(ids(&outbox.arrived()), ["a1", "a2", "b1", "b2"]);
}

#[test]
fn a_refused_format_is_remembered_over_a_restart() {
    let mut outbox = Outbox::pushed(soon().set("WINDOW", 1));
    outbox.endpoint.otherwise(Reply::status(415));
    outbox.accept(&["a1"]);
    outbox.wait_for_letters(1);
    outbox.instance.restart();
    outbox.accept(&["a2"]);
    outbox.wait_for_hold("format_refused");
    // By time, too, it is asked again, and until it takes the format nothing dies.
    let_time_go_by(&outbox);
    assert_eq!((outbox.queued(), outbox.stream.dead_letters().len()), (1, 1));
    outbox.endpoint.otherwise(Reply::status(202));
    outbox.wait_until_idle();
    assert_eq!(outbox.stream.dead_letters().len(), 1);
    let last = outbox.arrived();
    assert_eq!(ids(&last[last.len() - 1..]), ["a2"]);
}
