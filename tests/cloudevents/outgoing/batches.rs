//! Batched mode: fewer requests, within the bounds that the receiver set, and a bad event takes no other with it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Options, Recorded, Reply, eventually};
use crate::support::event;

use super::super::{Line, Pushed, events_of, header, soon};

/// Events of so many subjects.
fn many(count: usize) -> Vec<Value> {
    let of = |number: usize| event(&format!("evt-{number}"), &format!("{number}@example.com"));
    (0..count).map(of).collect()
}

/// Lets these events wait, then go all at once; the requests.
#[track_caller]
fn release(line: &Line, events: &[Value]) -> Vec<Recorded> {
    line.pause();
    for part in events.chunks(50) {
        line.tenant.publish(part);
    }
    let before = line.endpoint.requests().len();
    line.resume();
    line.wait_until_idle();
    line.endpoint.requests()[before..].to_vec()
}

fn briefs(pushed: &[Pushed]) -> Vec<String> {
    pushed.iter().map(|event| event.brief().to_owned()).collect()
}

#[test]
fn what_waits_goes_in_few_requests() {
    let line = Line::start(Options::default(), "batched");
    let requests = release(&line, &many(250));
    // The default is a hundred in one.
    assert!((3..=8).contains(&requests.len()), "{} requests", requests.len());
    let sizes: Vec<usize> = requests.iter().map(|push| events_of(push).len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 250);
    assert!(sizes.iter().all(|size| *size <= 100), "{sizes:?}");
    let once: BTreeSet<String> = briefs(&line.pushed()).into_iter().collect();
    assert_eq!(once.len(), 250);
    // Each request has an id of its own.
    let ids: BTreeSet<&str> = requests.iter().map(|push| header(push, "webhook-id")).collect();
    assert_eq!(ids.len(), requests.len());
    for push in &requests {
        super::super::assert_signed(push, &line.secret());
    }
}

/// Events of one subject may share a request: they stand in it in their order.
#[test]
fn events_of_one_subject_share_a_batch_in_their_order() {
    let line = Line::with(Options::default(), &json!({"mode": "batched", "max_events": 20}));
    let events: Vec<Value> = (0..60)
        .map(|number| event(&format!("a{number}"), "ana@example.com"))
        .collect();
    let requests = release(&line, &events);
    assert!((3..=6).contains(&requests.len()), "{} requests", requests.len());
    let expected: Vec<String> = (0..60).map(|number| format!("a{number}")).collect();
    assert_eq!(briefs(&line.pushed()), expected);
}

/// CE-3-2
#[test]
fn no_batch_has_more_events_than_asked_for() {
    for most in [1, 2, 7] {
        let line = Line::with(Options::default(), &json!({"mode": "batched", "max_events": most}));
        let requests = release(&line, &many(40));
        let sizes: Vec<usize> = requests.iter().map(|push| events_of(push).len()).collect();
        assert!(sizes.iter().all(|size| (1..=most).contains(size)), "{most}: {sizes:?}");
        assert_eq!(sizes.iter().sum::<usize>(), 40);
    }
}

#[test]
fn no_batch_has_more_bytes_than_asked_for() {
    for most in [1024, 2000, 4096] {
        let line = Line::with(
            Options::default(),
            &json!({"mode": "batched", "max_events": 1000, "max_bytes": most}),
        );
        let requests = release(&line, &many(40));
        let sizes: Vec<usize> = requests.iter().map(|push| push.body.len()).collect();
        assert!(sizes.iter().all(|size| *size <= most), "{most}: {sizes:?}");
        assert_eq!(line.pushed().len(), 40);
        // Bounds are no excuse for one by one: a third of an event's place may be left over.
        let total: usize = sizes.iter().sum();
        assert!(requests.len() <= total / (most / 2) + 7, "{most}: {sizes:?}");
    }
}

/// What is too large for a batch goes alone: it was accepted, so it is delivered.
#[test]
fn an_event_that_alone_is_too_large_goes_alone() {
    let line = Line::with(Options::default(), &json!({"mode": "batched", "max_bytes": 1024}));
    let mut large = event("b-large", "bob@example.com");
    large["event"]["reason_admin"] = json!({"en": "x".repeat(3000)});
    let events = [event("a1", "ana@example.com"), large, event("c1", "cyd@example.com")];
    let requests = release(&line, &events);
    for push in &requests {
        let inside = events_of(push);
        if briefs(&inside).contains(&"b-large".to_owned()) {
            assert_eq!(inside.len(), 1);
        } else {
            assert!(push.body.len() <= 1024);
        }
    }
    let mut arrived = briefs(&line.pushed());
    arrived.sort();
    assert_eq!(arrived, ["a1", "b-large", "c1"]);
}

/// A batch that is refused says nothing of which event is bad, so each is sent by itself.
#[test]
fn only_the_bad_event_of_a_refused_batch_dies() {
    for status in [400, 413, 422] {
        let line = Line::start(soon(), "batched");
        line.endpoint.otherwise_decide(move |push| {
            let bad = events_of(push).iter().any(|event| event.email() == "bad@example.com");
            Reply::status(if bad { status } else { 202 })
        });
        let events = [
            event("a1", "ana@example.com"),
            event("x1", "bad@example.com"),
            event("b1", "bob@example.com"),
            event("c1", "cyd@example.com"),
            event("a2", "ana@example.com"),
        ];
        release(&line, &events);
        let letters = line.stream.dead_letters();
        assert_eq!(letters.len(), 1, "{status}: {letters:?}");
        assert_eq!(letters[0]["sub_id"]["email"], json!("bad@example.com"));
        let taken = |push: &&Recorded| events_of(push).iter().all(|event| event.email() != "bad@example.com");
        let requests = line.endpoint.requests();
        let delivered: Vec<Pushed> = requests.iter().filter(taken).flat_map(events_of).collect();
        let mut once = briefs(&delivered);
        assert!(
            once.iter().position(|id| id == "a1") < once.iter().position(|id| id == "a2"),
            "{once:?}"
        );
        once.sort();
        assert_eq!(once, ["a1", "a2", "b1", "c1"], "{status}: each was taken once");
        // Every time the bad one came, it was the same bytes.
        let bad: BTreeSet<Vec<u8>> = line
            .pushed()
            .into_iter()
            .filter(|event| event.email() == "bad@example.com")
            .map(|event| event.bytes)
            .collect();
        assert_eq!(bad.len(), 1);
        assert_eq!(line.stream.health()["hold"], Value::Null, "{status}");
        // What comes later is batched again.
        let before = line.endpoint.requests().len();
        release(&line, &[event("d1", "dan@example.com"), event("e1", "eve@example.com")]);
        assert_eq!(line.endpoint.requests().len(), before + 1, "{status}");
    }
}

/// How many events each request carried.
#[track_caller]
fn sizes(line: &Line) -> Vec<usize> {
    let requests = line.endpoint.requests();
    requests.iter().map(|push| events_of(push).len()).collect()
}

/// All bad: all die, each by itself.
#[test]
fn a_batch_of_bad_events_dies_one_by_one() {
    let line = Line::start(soon(), "batched");
    line.endpoint.otherwise(Reply::status(400));
    release(&line, &many(3));
    assert_eq!(line.stream.dead_letters().len(), 3);
    assert_eq!(sizes(&line), [3, 1, 1, 1]);
}

/// A batch that fails for now is tried again; nothing of it dies.
#[test]
fn a_batch_that_fails_for_now_is_tried_again() {
    let line = Line::start(soon(), "batched");
    line.endpoint
        .then(Reply::status(503))
        .then(Reply::Reset)
        .then(Reply::status(500));
    release(&line, &many(10));
    assert_eq!(line.stream.dead_letters(), [] as [Value; 0]);
    let mut seen: std::collections::BTreeMap<String, Vec<u8>> = std::collections::BTreeMap::new();
    for pushed in line.pushed() {
        let first = seen
            .entry(pushed.text("id").to_owned())
            .or_insert_with(|| pushed.bytes.clone());
        assert_eq!(*first, pushed.bytes);
    }
    assert_eq!(seen.len(), 10);
    assert!(
        line.endpoint.requests().len() <= 20,
        "{}",
        line.endpoint.requests().len()
    );
}

/// The same request again is the same request: id and body.
#[test]
fn requests_with_one_id_have_one_body() {
    let line = Line::with(soon(), &json!({"mode": "batched", "max_events": 3}));
    line.endpoint
        .then(Reply::status(503))
        .then(Reply::Close)
        .then(Reply::status(202))
        .then(Reply::status(500));
    release(&line, &many(9));
    let mut bodies: std::collections::BTreeMap<String, Vec<u8>> = std::collections::BTreeMap::new();
    for push in line.endpoint.requests() {
        let id = header(&push, "webhook-id").to_owned();
        let first = bodies.entry(id).or_insert_with(|| push.body.clone());
        assert_eq!(String::from_utf8_lossy(first), push.text(), "SW-3");
    }
}

/// An attempt is a request, however many events it carries.
#[test]
fn a_batch_is_one_attempt_on_record() {
    let line = Line::start(Options::default(), "batched");
    let requests = release(&line, &many(3));
    assert_eq!(requests.len(), 1);
    let attempts = eventually("it is on record", || {
        Some(line.stream.deliveries()).filter(|attempts| !attempts.is_empty())
    });
    assert_eq!(attempts.len(), 1);
    assert_eq!(
        (&attempts[0]["events"], &attempts[0]["jti"]),
        (&json!(3), &json!(line.pushed()[0].text("id")))
    );
    assert_eq!(attempts[0]["request"]["body"], json!(requests[0].text()));
}

/// Bounds can be changed while events wait.
#[test]
fn bounds_can_be_changed() {
    let line = Line::with(Options::default(), &json!({"mode": "batched", "max_events": 2}));
    line.pause();
    line.tenant.publish(&many(10));
    let changed = super::super::delivery(&line.endpoint, &json!({"mode": "batched", "max_events": 5}));
    let answer = line.stream.patch(&json!({"delivery": changed}));
    assert_eq!(answer["delivery"]["cloudevents"]["max_events"], json!(5));
    assert_eq!(
        answer["delivery"]["cloudevents"].get("secret"),
        None,
        "it is the same as before"
    );
    line.resume();
    line.wait_until_idle();
    assert_eq!(sizes(&line), [5, 5]);
    super::super::assert_signed(&line.endpoint.requests()[0], &line.secret());
}
