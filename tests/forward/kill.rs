//! Killed with SIGKILL between any two steps: whatever was answered 202 arrives, and what arrives twice is recognised by its id.

use std::collections::BTreeSet;

use serde_json::json;

use crate::handshake::consent;
use crate::harness::{Reply, ScriptedReceiver, eventually};

use crate::support::lose_alarms;

use super::{Chain, of_subject, soon};

#[test]
fn nothing_that_was_received_is_lost() {
    let mut chain = Chain::start(soon(), &json!({}));
    let mut sent: Vec<String> = Vec::new();
    for round in 0..6 {
        for n in 0..8 {
            let id = format!("{}{round}{n}", ["a", "b", "c"][n % 3]);
            chain.receive(&id, &format!("{}@example.com", &id[..1]));
            sent.push(id);
        }
        // At whatever it is: storing, handing over, pushing, noting.
        chain.instance.restart();
    }
    let wanted: Vec<&str> = sent.iter().map(String::as_str).collect();
    let arrived = chain.wait_for_ids(&wanted);
    let distinct: BTreeSet<&String> = arrived.iter().collect();
    assert_eq!(distinct.len(), sent.len(), "nothing else arrives");
    // At most two windows of pushes for each kill (design 4).
    assert!(arrived.len() <= sent.len() + 6 * 12, "{}", arrived.len());
    for subject in ['a', 'b', 'c'] {
        let mut first = Vec::new();
        for id in of_subject(&arrived, subject) {
            if !first.contains(&id) {
                first.push(id);
            }
        }
        assert_eq!(first, of_subject(&sent, subject), "in order for each subject");
    }
    // What came twice has the same number, and no number is missing.
    let mut numbers: Vec<(u64, String)> = Vec::new();
    for event in chain.arrived_at("/events") {
        numbers.push((event.sequence(), event.text("id").to_owned()));
    }
    numbers.sort();
    numbers.dedup();
    let only: Vec<u64> = numbers.iter().map(|(number, _)| *number).collect();
    assert_eq!(only, (1..=sent.len() as u64).collect::<Vec<_>>());
}

/// The stream has them, the source has not noted it: they are handed over again, and recognised.
#[test]
fn what_was_handed_over_but_not_noted_does_not_go_on_twice() {
    let mut chain = Chain::start(soon(), &json!({}));
    chain.receive_all(&["a1", "b1"]);
    chain.wait_for_ids(&["a1", "b1"]);
    eventually("both are acknowledged", || {
        let health = chain.health();
        (health["queued_events"] == 0 && health["delivered"] == 2).then_some(())
    });
    chain.instance.kill();
    let mut set_back = 0;
    for path in crate::support::databases(&chain.instance, "SourceObject") {
        let database = rusqlite::Connection::open(path).expect("a database");
        if crate::support::has_table(&database, "meta") {
            let sql = "UPDATE meta SET v = '0' WHERE k = 'forwarded'";
            set_back += database.execute(sql, []).expect("the cursor is set back");
        }
    }
    assert_eq!(set_back, 1);
    chain.instance.restart();
    chain.receive_all(&["c1"]);
    let mut arrived = chain.wait_for_ids(&["c1"]);
    arrived.sort();
    arrived.dedup();
    assert_eq!(arrived, ["a1", "b1", "c1"]);
    let c1 = chain
        .arrived_at("/events")
        .into_iter()
        .find(|event| event.text("id") == "c1");
    assert_eq!(c1.expect("it arrived").sequence(), 3, "the others were no new events");
}

#[test]
fn a_source_that_was_cut_off_hands_over_when_it_wakes() {
    let mut chain = Chain::start(soon(), &json!({}));
    let held = chain.endpoint.then_held(Reply::status(202));
    chain.receive_all(&["a1", "a2"]);
    chain.endpoint.wait_for_push(1);
    chain.instance.kill();
    held.open();
    chain.instance.restart();
    // Nobody sends anything that would wake it.
    let arrived = chain.wait_for_ids(&["a1", "a2"]);
    assert!(arrived.len() <= 3, "{arrived:?}");
}

/// Pitfall 19: whoever asks for the source sets an alarm again that was lost, though nobody manages its stream.
#[test]
fn a_source_whose_alarm_was_lost_hands_over_when_somebody_asks() {
    let endpoint = ScriptedReceiver::start();
    endpoint.otherwise_consent(Reply::status(503));
    let mut chain = Chain::to(endpoint, soon().set("OUTBOX_EVENTS", 1), &json!({}));
    chain.receive_all(&["a1", "b1"]);
    eventually("one waits in the source", || chain.problem("forward_waiting"));
    chain.instance.kill();
    lose_alarms(&chain.instance, "SourceObject");
    chain.endpoint.otherwise_consent(consent("*"));
    chain.instance.restart();
    assert_eq!(chain.source.jtis(&chain.instance), ["a1", "b1"]);
    chain.wait_for_ids(&["a1", "b1"]);
}
