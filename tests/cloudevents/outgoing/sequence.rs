//! `sequence` (CE-1-10) and identity: by them a receiver sees that nothing is missing and what came twice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::harness::{Options, Reply};

use super::super::{Line, MODES, Pushed, soon};

/// The events by their numbers; whatever came more than once came as the same bytes.
#[track_caller]
fn by_sequence(pushed: &[Pushed]) -> BTreeMap<u64, Pushed> {
    let mut found: BTreeMap<u64, Pushed> = BTreeMap::new();
    for event in pushed {
        let first = found.entry(event.sequence()).or_insert_with(|| event.clone());
        // WH-2.2-54, CE-4-10
        assert_eq!(
            String::from_utf8_lossy(&first.bytes),
            String::from_utf8_lossy(&event.bytes)
        );
    }
    found
}

/// Nothing is missing between the first and the last, and each number is another event's.
#[track_caller]
fn assert_contiguous(pushed: &[Pushed], count: usize) {
    let found = by_sequence(pushed);
    let numbers: Vec<u64> = found.keys().copied().collect();
    let first = numbers.first().copied().unwrap_or_default();
    let expected: Vec<u64> = (first..first + count as u64).collect();
    assert_eq!(numbers, expected);
    let mut ids: Vec<&str> = found.values().map(|event| event.text("id")).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "one id for one number");
}

#[test]
fn numbers_follow_the_order_in_which_events_were_accepted() {
    for mode in MODES {
        let line = Line::start(Options::default(), mode);
        line.publish(&["a1"]);
        line.wait_until_idle();
        line.pause();
        // In several requests, some of them with repeats, which are no new events.
        line.publish(&["b1", "c1", "a2"]);
        line.publish(&["b1", "d1", "d1"]);
        line.publish(&["a1"]);
        line.publish(&["b2"]);
        line.resume();
        line.wait_until_idle();
        let pushed: Vec<Pushed> = line
            .pushed()
            .into_iter()
            .filter(|event| event.attributes.contains_key("sequence"))
            .collect();
        assert_contiguous(&pushed, 6);
        let found = by_sequence(&pushed);
        let briefs: Vec<&str> = found.values().map(Pushed::brief).collect();
        assert_eq!(briefs, ["a1", "b1", "c1", "a2", "d1", "b2"], "{mode}");
    }
}

#[test]
fn numbers_are_contiguous_across_failures_and_repeats() {
    for mode in MODES {
        let line = Line::with(
            soon().set("RETRY_BASE_MS", 2).set("RETRY_CAP_MS", 10),
            &match mode {
                "batched" => json!({"mode": mode, "max_events": 7}),
                _ => json!({"mode": mode}),
            },
        );
        let pushes = AtomicUsize::new(0);
        line.endpoint
            .otherwise_decide(move |_| match pushes.fetch_add(1, Ordering::SeqCst) % 7 {
                1 => Reply::status(503),
                3 => Reply::Reset,
                5 => Reply::Close,
                _ => Reply::status(202),
            });
        for round in 0..8 {
            let ids: Vec<String> = ["a", "b", "c", "d", "e"]
                .iter()
                .map(|subject| format!("{subject}{round}"))
                .collect();
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            line.publish(&ids);
            line.publish(&ids[1..3]);
        }
        let health = line.wait_until_idle();
        assert_eq!(health["dead_letters"], json!(0), "{mode}");
        assert_contiguous(&line.pushed(), 40);
    }
}

#[test]
fn numbers_go_on_after_a_restart() {
    for mode in MODES {
        let mut line = Line::start(soon(), mode);
        line.publish(&["a1", "b1"]);
        line.wait_until_idle();
        // One is under way when the process dies, one waits.
        let gate = line.endpoint.then_held(Reply::status(202));
        let before = line.endpoint.requests().len();
        line.publish(&["a2"]);
        line.endpoint.wait_for(before + 1);
        line.publish(&["a3"]);
        line.instance.kill();
        gate.open();
        line.instance.restart();
        line.wait_until_idle();
        line.publish(&["a4", "b2"]);
        line.wait_until_idle();
        line.instance.restart();
        line.publish(&["c1"]);
        line.wait_until_idle();
        assert_contiguous(&line.pushed(), 7);
        let found = by_sequence(&line.pushed());
        let briefs: Vec<&str> = found.values().map(Pushed::brief).collect();
        assert_eq!(briefs, ["a1", "b1", "a2", "a3", "a4", "b2", "c1"], "{mode}");
    }
}

/// What is sent again on demand is the same event with the same number.
#[test]
fn a_replay_and_a_redrive_send_the_same_bytes() {
    for mode in MODES {
        let line = Line::start(soon(), mode);
        let since = crate::outbox::a_moment_between();
        line.endpoint.then(Reply::status(422));
        line.publish(&["a1"]);
        line.wait_until_idle();
        let seen = line.pushed().len();
        // A batch that is refused is tried once more, event by event.
        assert!(seen <= 2, "{mode}");
        if seen == 2 {
            assert_eq!(line.stream.dead_letters().len(), 0, "the second attempt went through");
        } else {
            assert_eq!(line.stream.dead_letters().len(), 1, "{mode}");
            let path = format!("{}/dead-letters/redrive", line.stream.admin_path());
            line.tenant.operator().post_json(&path, &json!({"all": true}), 200);
        }
        line.wait_until_idle();
        line.publish(&["b1"]);
        line.wait_until_idle();
        let path = format!("{}/replay", line.stream.admin_path());
        line.tenant.operator().post_json(&path, &json!({"since": since}), 200);
        line.wait_until_idle();
        assert!(line.pushed().len() >= 4, "{mode}");
        let found = by_sequence(&line.pushed());
        assert_eq!(found.len(), 2, "{mode}");
    }
}

/// Streams count for themselves, from the same number on.
#[test]
fn each_stream_has_numbers_of_its_own() {
    let line = Line::start(Options::default(), "structured");
    line.publish(&["a1", "b1"]);
    line.wait_until_idle();
    let delivery = json!({
        "method": crate::support::PUSH, "endpoint_url": line.endpoint.url("/second"), "cloudevents": {"mode": "binary"},
    });
    let second = line.receiver.stream(&json!({"delivery": delivery}));
    line.publish(&["a2"]);
    line.wait_until_idle();
    crate::harness::eventually("the second has it, too", || {
        (second.health()["queued_events"] == json!(0)).then_some(())
    });
    let first = line.pushed();
    let other = super::super::pushed_to(&line.endpoint, "/second");
    assert_contiguous(&first, 3);
    let lowest = first.iter().map(Pushed::sequence).min();
    assert_eq!(other.len(), 1);
    assert_eq!(Some(other[0].sequence()), lowest);
    assert_ne!(other[0].text("id"), first[2].text("id"));
    assert_ne!(other[0].text("source"), first[2].text("source"));
}
