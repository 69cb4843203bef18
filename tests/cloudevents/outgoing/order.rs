//! Order within a subject holds for CloudEvents as for SETs, alone and in batches.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::harness::Reply;

use super::super::{Line, MODES, events_of, soon};

#[test]
fn each_subjects_events_arrive_in_order_while_many_pushes_fail() {
    for mode in MODES {
        let line = Line::with(
            soon().set("RETRY_BASE_MS", 2).set("RETRY_CAP_MS", 10),
            &match mode {
                "batched" => json!({"mode": mode, "max_events": 5}),
                _ => json!({"mode": mode}),
            },
        );
        let pushes = AtomicUsize::new(0);
        line.endpoint
            .otherwise_decide(move |_| match pushes.fetch_add(1, Ordering::SeqCst) % 9 {
                2 => Reply::status(503),
                5 => Reply::Close,
                8 => Reply::Reset,
                _ => Reply::status(202),
            });
        let subjects = ["a", "b", "c", "d", "e", "f"];
        let mut published: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for round in 0..15 {
            // Some subjects come twice in one request.
            let ids: Vec<String> = subjects
                .iter()
                .map(|subject| format!("{subject}{round}"))
                .chain([format!("a{round}x"), format!("b{round}x")])
                .collect();
            line.publish(&ids.iter().map(String::as_str).collect::<Vec<_>>());
            for id in ids {
                published.entry(id[..1].to_owned()).or_default().push(id);
            }
        }
        let health = line.wait_until_idle();
        assert_eq!(health["dead_letters"], json!(0), "{mode}");
        // A request that failed is repeated before anything later of its subjects, so the order shows in the last time that
        // each event came, and in the first.
        let mut last: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut first: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for event in line.pushed() {
            let id = event.brief().to_owned();
            let subject = id[..1].to_owned();
            let of_subject = last.entry(subject.clone()).or_default();
            of_subject.retain(|known| *known != id);
            of_subject.push(id.clone());
            let of_subject = first.entry(subject).or_default();
            if !of_subject.contains(&id) {
                of_subject.push(id);
            }
        }
        assert_eq!(first, published, "{mode}");
        assert_eq!(last, published, "{mode}");
    }
}

#[test]
fn a_failed_event_is_not_overtaken_by_the_next_of_its_subject() {
    for mode in ["structured", "binary"] {
        let line = Line::start(soon(), mode);
        line.endpoint
            .then(Reply::status(500))
            .then(Reply::status(503))
            .then(Reply::Reset);
        line.publish(&["a1", "a2", "a3"]);
        line.wait_until_idle();
        let arrived: Vec<String> = line.pushed().iter().map(|event| event.brief().to_owned()).collect();
        assert_eq!(arrived, ["a1", "a1", "a1", "a1", "a2", "a3"], "{mode}");
    }
}

/// What is under way in one batch is not passed by the next.
#[test]
fn a_batch_under_way_holds_its_subjects_only() {
    let line = Line::start(soon(), "batched");
    let gate = line.endpoint.then_held(Reply::status(202));
    line.publish(&["a1", "b1"]);
    let first = events_of(&line.endpoint.wait_for(1));
    let first: Vec<&str> = first.iter().map(|event| event.brief()).collect();
    line.publish(&["a2", "c1", "b2", "d1"]);
    let others = crate::harness::eventually("others pass", || {
        let pushed = line.pushed();
        let later: Vec<String> = pushed[first.len()..]
            .iter()
            .map(|event| event.brief().to_owned())
            .collect();
        ["c1", "d1"]
            .iter()
            .all(|id| later.contains(&(*id).to_owned()))
            .then_some(later)
    });
    for id in &first {
        let subject = &id[..1];
        let next = format!("{subject}2");
        assert!(!others.contains(&next), "{next} passes {id}: {others:?}");
    }
    gate.open();
    line.wait_until_idle();
    let mut arrived: Vec<String> = line.pushed().iter().map(|event| event.brief().to_owned()).collect();
    let position = |id: &str| arrived.iter().position(|known| known == id).expect("it arrived");
    assert!(
        position("a1") < position("a2") && position("b1") < position("b2"),
        "{arrived:?}"
    );
    arrived.sort();
    assert_eq!(arrived, ["a1", "a2", "b1", "b2", "c1", "d1"]);
}

#[test]
fn a_window_of_one_keeps_all_events_in_order() {
    for mode in MODES {
        let line = Line::with(
            soon().set("WINDOW", 1),
            &match mode {
                "batched" => json!({"mode": mode, "max_events": 2}),
                _ => json!({"mode": mode}),
            },
        );
        line.endpoint
            .then(Reply::status(500))
            .then(Reply::status(202))
            .then(Reply::Close);
        line.publish(&["a1", "b1", "c1", "a2"]);
        line.publish(&["d1", "b2"]);
        line.wait_until_idle();
        let mut arrived: Vec<String> = Vec::new();
        for event in line.pushed() {
            if !arrived.contains(&event.brief().to_owned()) {
                arrived.push(event.brief().to_owned());
            }
        }
        assert_eq!(arrived, ["a1", "b1", "c1", "a2", "d1", "b2"], "{mode}");
    }
}
