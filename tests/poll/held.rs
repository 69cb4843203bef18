//! Long polls: held until something comes or their time is over, and not too many at once.

use std::thread::{ScopedJoinHandle, scope};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{DEADLINE, Options, eventually};

use super::Polled;

/// The longest that a poll may be held: in a test that ends before, nothing ended by itself.
const LONGEST: u32 = 25_000;

fn holding() -> Options {
    Options::default().set("LONG_POLL_MS", LONGEST)
}

#[test]
fn a_short_poll_answers_at_once() {
    let polled = Polled::start(holding());
    let started = Instant::now();
    let answer = polled.stream.poll(&json!({"returnImmediately": true}));
    assert_eq!(answer, json!({"sets": {}}), "POLL-2.3-1");
    assert!(
        started.elapsed() < Duration::from_millis(u64::from(LONGEST)),
        "POLL-2.2-2"
    );
}

#[test]
fn a_poll_is_held_until_an_event_comes() {
    let polled = Polled::start(holding());
    let started = Instant::now();
    scope(|threads| {
        let held = threads.spawn(|| polled.stream.poll(&json!({})));
        // Not observable from outside, but if it is not held yet it will find the event: the answer is the same.
        polled.stream.health(&polled.instance);
        assert!(!held.is_finished(), "POLL-2.5-2");
        polled.publish(0..1);
        let answer = held.join().expect("no panic");
        assert_eq!(answer["sets"].as_object().map(serde_json::Map::len), Some(1));
        assert!(
            started.elapsed() < DEADLINE,
            "woken by the event: {:?}",
            started.elapsed()
        );
    });
}

#[test]
fn a_poll_that_nothing_comes_for_is_answered_when_its_time_is_over() {
    let polled = Polled::start(Options::default().set("LONG_POLL_MS", 400));
    for request in [
        json!({}),
        json!({"returnImmediately": false}),
        json!({"maxEvents": 5}),
        json!({"maxEvents": 0}),
    ] {
        let started = Instant::now();
        // POLL-2.5-3, POLL-R-9
        assert_eq!(polled.stream.poll(&request), json!({"sets": {}}), "{request}");
        assert!(
            started.elapsed() >= Duration::from_millis(395),
            "{request}: {:?}",
            started.elapsed()
        );
    }
    // An empty body is an empty request (POLL-R-8).
    let started = Instant::now();
    let headers = [("content-type", "application/json")];
    let answer = polled
        .acme
        .api
        .send("POST", &polled.stream.poll_path(), &headers, b"", 200);
    assert_eq!(answer.json(), json!({"sets": {}}));
    assert!(started.elapsed() >= Duration::from_millis(395));
}

#[test]
fn a_poll_that_only_acknowledges_waits_for_an_event_that_it_does_not_take() {
    let polled = Polled::start(holding());
    scope(|threads| {
        let held = threads.spawn(|| polled.stream.poll(&json!({"maxEvents": 0})));
        polled.stream.health(&polled.instance);
        polled.publish(0..1);
        // POLL-2.4.2-2
        assert_eq!(held.join().expect("no panic")["sets"], json!({}));
    });
    assert_eq!(polled.stream.poll_now().len(), 1);
}

#[test]
fn a_poll_does_not_wait_while_something_is_unacknowledged() {
    let polled = Polled::start(holding());
    polled.publish(0..1);
    let first = polled.stream.poll(&json!({}));
    assert_eq!(
        polled.stream.poll(&json!({})),
        first,
        "RS256 signs the same claims the same way"
    );
}

#[test]
fn of_three_held_polls_the_oldest_makes_room() {
    let polled = Polled::start(holding());
    scope(|threads| {
        let poll = || polled.stream.poll(&json!({}));
        let mut held: Vec<ScopedJoinHandle<'_, Value>> = (0..3).map(|_| threads.spawn(poll)).collect();
        // POLL-R-6: answered empty, long before its time.
        let released = eventually("one of three polls is let go", || {
            held.iter().position(ScopedJoinHandle::is_finished)
        });
        assert_eq!(held.remove(released).join().expect("no panic"), json!({"sets": {}}));
        polled.stream.health(&polled.instance);
        assert!(held.iter().all(|poll| !poll.is_finished()), "two may be held");
        polled.publish(0..1);
        let answers: Vec<Value> = held.into_iter().map(|poll| poll.join().expect("no panic")).collect();
        assert_eq!(answers[0]["sets"].as_object().map(serde_json::Map::len), Some(1));
        assert_eq!(answers[0], answers[1], "both are told");
    });
}

#[test]
fn short_polls_do_not_end_one_that_is_held() {
    let polled = Polled::start(holding());
    scope(|threads| {
        let held = threads.spawn(|| polled.stream.poll(&json!({})));
        // A receiver that acknowledges beside the poll it holds open (POLL-2.4.2-2).
        for _ in 0..10 {
            polled.stream.ack(&["AAAAAAAAAAAAAAAAAAAAAA"]);
            polled.stream.health(&polled.instance);
        }
        polled.publish(0..1);
        let answer = held.join().expect("no panic");
        assert_eq!(
            answer["sets"].as_object().map(serde_json::Map::len),
            Some(1),
            "it was held until the event came"
        );
    });
}

#[test]
fn a_poll_that_is_held_ends_when_its_stream_is_deleted() {
    let polled = Polled::start(holding());
    scope(|threads| {
        let headers = [("content-type", "application/json")];
        let api = &polled.acme.api;
        let path = polled.stream.poll_path();
        let held = threads.spawn(move || api.send("POST", &path, &headers, b"{}", 404));
        polled.stream.health(&polled.instance);
        polled.stream.delete();
        held.join().expect("no panic");
    });
}
