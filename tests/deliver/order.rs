//! Order: strict within a subject, free across subjects, strict altogether where that was chosen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::harness::{Reply, eventually};
use crate::support::{Set, event};

use super::{Line, set_of, soon};

/// Events `a1`, `a2`… of one subject each: the `txn` tells them apart, since it repeats the id.
fn events(ids: &[&str]) -> Vec<Value> {
    ids.iter()
        .map(|id| event(id, &format!("{}@example.com", &id[..1])))
        .collect()
}

/// The ids of all pushes so far, in the order of their arrival.
fn arrived(line: &Line) -> Vec<String> {
    line.receiver
        .requests()
        .iter()
        .map(|push| id_of(&set_of(push)))
        .collect()
}

fn of_subject<'a>(ids: &'a [String], subject: &str) -> Vec<&'a str> {
    ids.iter()
        .map(String::as_str)
        .filter(|id| id.starts_with(subject))
        .collect()
}

fn id_of(set: &Set) -> String {
    set.text("txn").trim_start_matches("txn-").to_owned()
}

#[test]
fn a_failed_event_is_not_overtaken_by_the_next_of_its_subject() {
    let line = Line::start(soon());
    line.receiver
        .then(Reply::status(500))
        .then(Reply::status(503))
        .then(Reply::Reset);
    line.publish(&events(&["a1", "a2", "a3"]));
    line.publish(&events(&["a4"]));
    line.wait_until_idle();
    assert_eq!(arrived(&line), ["a1", "a1", "a1", "a1", "a2", "a3", "a4"]);
}

#[test]
fn a_dead_event_makes_way_for_the_next_of_its_subject() {
    let line = Line::start(soon());
    line.receiver.then(Reply::status(500)).then(Reply::status(400));
    line.publish(&events(&["a1", "a2"]));
    line.wait_until_idle();
    assert_eq!(arrived(&line), ["a1", "a1", "a2"]);
}

#[test]
fn other_subjects_pass_one_that_fails() {
    // The failing one is not tried again within this test unless its turn comes by chance: bob does not wait for it.
    let line = Line::start(soon().set("RETRY_BASE_MS", 600_000).set("RETRY_CAP_MS", 600_000));
    line.receiver.otherwise_decide(|push| {
        let about_ana = set_of(push).email() == "a@example.com";
        Reply::status(if about_ana { 500 } else { 202 })
    });
    line.publish(&events(&["a1", "b1", "a2", "b2", "c1", "b3"]));
    let health = eventually("all others are delivered", || {
        Some(line.health()).filter(|health| health["queued_events"] == 2)
    });
    assert_eq!(health["hold"], Value::Null, "only one subject waits");
    let pushes = arrived(&line);
    assert_eq!(of_subject(&pushes, "b"), ["b1", "b2", "b3"]);
    assert_eq!(of_subject(&pushes, "c"), ["c1"]);
    assert!(!pushes.contains(&"a2".to_owned()), "a2 waits for a1: {pushes:?}");
}

#[test]
fn other_subjects_pass_one_that_hangs() {
    let line = Line::start(soon());
    let gate = line.receiver.then_held(Reply::status(202));
    line.publish(&events(&["a1"]));
    line.receiver.wait_for(1);
    line.publish(&events(&["a2", "b1", "c1", "b2"]));
    line.receiver.wait_for(4);
    let passed = arrived(&line);
    assert!(
        !passed.contains(&"a2".to_owned()),
        "a2 is not sent while a1 is on its way"
    );
    assert_eq!(of_subject(&passed, "b"), ["b1", "b2"]);
    gate.open();
    line.receiver.wait_for(5);
    line.wait_until_idle();
    assert_eq!(arrived(&line).last().map(String::as_str), Some("a2"));
}

#[test]
fn so_many_pushes_are_under_way_at_once_and_no_more() {
    let line = Line::start(soon().set("WINDOW", 3));
    let gates: Vec<_> = (0..5).map(|_| line.receiver.then_held(Reply::status(202))).collect();
    line.publish(&events(&["a1", "b1", "c1", "d1", "e1"]));
    line.receiver.wait_for(3);
    // The courier is busy with three; whatever else it could do, it would have done before it answers this.
    line.health();
    assert_eq!(
        arrived(&line).iter().cloned().collect::<BTreeSet<_>>(),
        ["a1", "b1", "c1"].map(str::to_owned).into()
    );
    gates[1].open();
    line.receiver.wait_for(4);
    line.health();
    assert_eq!(line.receiver.requests().len(), 4);
    gates.iter().for_each(crate::harness::Gate::open);
    line.wait_until_idle();
    assert_eq!(line.receiver.requests().len(), 5);
}

#[test]
fn a_window_of_one_keeps_all_events_in_order() {
    let line = Line::start(soon().set("WINDOW", 1));
    line.receiver
        .then(Reply::status(500))
        .then(Reply::status(202))
        .then(Reply::Close);
    line.publish(&events(&["a1", "b1", "c1", "a2"]));
    line.publish(&events(&["d1", "b2"]));
    line.wait_until_idle();
    assert_eq!(arrived(&line), ["a1", "a1", "b1", "b1", "c1", "a2", "d1", "b2"]);
}

#[test]
fn every_event_arrives_and_each_subjects_in_order_while_many_pushes_fail() {
    let line = Line::start(soon().set("RETRY_BASE_MS", 2).set("RETRY_CAP_MS", 10));
    let pushes = AtomicUsize::new(0);
    // Every third push fails, each time in another way; the last kind after the event was taken.
    line.receiver
        .otherwise_decide(move |_| match pushes.fetch_add(1, Ordering::SeqCst) % 9 {
            2 => Reply::status(503),
            5 => Reply::Close,
            8 => Reply::Reset,
            _ => Reply::status(202),
        });
    let subjects = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut published: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for round in 0..25 {
        let ids: Vec<String> = subjects.iter().map(|subject| format!("{subject}{round}")).collect();
        line.publish(&events(&ids.iter().map(String::as_str).collect::<Vec<_>>()));
        for id in ids {
            published.entry(id[..1].to_owned()).or_default().push(id);
        }
    }
    let health = line.wait_until_idle();
    assert_eq!(health["dead_letters"], 0);
    // A repeat comes right after its first attempt, so the order shows when repeats are taken out.
    let mut received: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for id in arrived(&line) {
        let of_subject = received.entry(id[..1].to_owned()).or_default();
        if of_subject.last() != Some(&id) {
            of_subject.push(id);
        }
    }
    assert_eq!(received, published);
}
