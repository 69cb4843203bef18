//! Endpoints that misbehave below HTTP: the event is tried again until it arrives.

use serde_json::json;

use crate::harness::{Reply, ScriptedReceiver, eventually};
use crate::support::event;

use super::{Line, set_of, soon};

#[test]
fn a_connection_that_breaks_is_tried_again() {
    let line = Line::start(soon());
    let raw = |bytes: &str| Reply::Raw(bytes.as_bytes().to_vec());
    let failures = vec![
        Reply::Reset,
        Reply::Close,
        raw("x"),
        raw("SSH-2.0-OpenSSH_9.9\r\n"),
        raw("HTTP/1.1 202 Acc"),
        raw("HTTP/1.1 999999 Nonsense\r\n\r\n"),
        Reply::Reset,
    ];
    let count = failures.len();
    for failure in failures {
        line.receiver.then(failure);
    }
    line.publish(&[event("evt-1", "ana@example.com")]);
    let first = set_of(&line.receiver.wait_for(1));
    for attempt in 2..=count + 1 {
        let again = set_of(&line.receiver.wait_for(attempt));
        assert_eq!(
            (again.jti(), &again.claims_bytes),
            (first.jti(), &first.claims_bytes),
            "attempt {attempt}"
        );
    }
    let health = line.wait_until_idle();
    assert_eq!(health["dead_letters"], json!(0));
    let detail = health["last_error"]["detail"].as_str().expect("a reason").to_owned();
    assert!(detail.contains("could not be reached"), "{detail}");
    assert!(
        !detail.contains(line.receiver.url("").trim_start_matches("http://")),
        "no addresses in words: {detail}"
    );
}

#[test]
fn an_endpoint_that_never_answers_has_failed_after_its_time() {
    let line = Line::start(soon().set("PUSH_TIMEOUT_MS", 300));
    line.receiver.then(Reply::Never);
    line.publish(&[event("evt-1", "ana@example.com")]);
    let (first, second) = (line.receiver.wait_for(1), line.receiver.wait_for(2));
    assert_eq!(set_of(&first).jti(), set_of(&second).jti());
    let waited = second.at - first.at;
    assert!(waited.as_millis() >= 290, "it had its time: {waited:?}");
    let health = line.wait_until_idle();
    assert_eq!(
        health["last_error"]["detail"],
        json!("the endpoint did not answer in time")
    );
}

#[test]
fn a_redirect_is_not_followed() {
    let line = Line::start(soon());
    let elsewhere = ScriptedReceiver::start();
    for status in [301, 302, 303, 307, 308] {
        line.receiver
            .then(Reply::status(status).header("location", &elsewhere.url("/events")));
    }
    line.publish(&[event("evt-1", "ana@example.com")]);
    // PUSH-2.3-7: a failure like others; the event waits for the endpoint to be itself again.
    let first = set_of(&line.receiver.wait_for(1));
    let last = set_of(&line.receiver.wait_for(6));
    assert_eq!(first.jti(), last.jti());
    let health = line.wait_until_idle();
    assert_eq!(health["dead_letters"], json!(0));
    assert_eq!(
        elsewhere.requests().len(),
        0,
        "SSF-6.1.1-7: nothing goes where nobody agreed to"
    );
}

#[test]
fn an_endpoint_that_is_down_gets_its_events_when_it_is_back() {
    let line = Line::start(soon());
    line.receiver.otherwise(Reply::Reset);
    for number in 0..12 {
        line.publish(&[event(&format!("evt-{number}"), &format!("{number}@example.com"))]);
    }
    let health = eventually("the whole stream waits", || {
        Some(line.health()).filter(|health| health["hold"]["reason"] == "failing")
    });
    assert_eq!(health["queued_events"], json!(12));
    line.receiver.otherwise(Reply::status(202));
    let health = line.wait_until_idle();
    assert_eq!((&health["hold"], &health["dead_letters"]), (&json!(null), &json!(0)));
}
