//! Answers that concern the endpoint rather than an event: the whole stream waits.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Reply, eventually};
use crate::support::event;

use super::{Line, set_of, soon};

#[test]
fn retry_after_holds_the_whole_stream_for_its_full_time() {
    let mut line = Line::start(soon());
    for status in [429, 503] {
        line = line.anew();
        line.receiver.then(Reply::status(status).header("retry-after", "1"));
        line.publish(&[event("evt-1", "ana@example.com")]);
        let refused = line.receiver.wait_for(1);
        eventually("the stream waits", || {
            Some(line.health()).filter(|health| health["hold"]["reason"] == "retry_after")
        });
        line.publish(&[event("evt-2", "bob@example.com")]);
        for nth in [2, 3] {
            let push = line.receiver.wait_for(nth);
            // The clock that holds counts whole milliseconds.
            let waited = push.at - refused.at;
            assert!(
                waited >= Duration::from_millis(999),
                "{status}: push {nth} came after {waited:?}"
            );
        }
        let health = line.wait_until_idle();
        assert_eq!((&health["hold"], &health["dead_letters"]), (&json!(null), &json!(0)));
    }
}

#[test]
fn a_hold_is_told_with_its_reason_and_its_end() {
    let mut line = Line::start(soon());
    for (status, reason) in [
        (429, "retry_after"),
        (503, "retry_after"),
        (401, "unauthorized"),
        (403, "unauthorized"),
        (405, "method_refused"),
        (307, "redirected"),
    ] {
        line = line.anew();
        line.receiver.then(Reply::status(status).header("retry-after", "3600"));
        line.publish(&[event("evt-1", "ana@example.com")]);
        let health = eventually("the stream waits", || {
            Some(line.health()).filter(|health| !health["hold"].is_null())
        });
        assert_eq!(health["hold"]["reason"], json!(reason), "{status}");
        let until = health["hold"]["until"].as_u64().expect("an instant");
        let at = health["last_error"]["at"].as_u64().expect("an instant");
        assert!(
            (3_600_000..3_601_000).contains(&(until - at)),
            "{status}: {}",
            until - at
        );
        assert_eq!(health["next_wake_at"], json!(until), "{status}");
        assert_eq!(health["queued_events"], json!(1), "{status}: held, not lost");
        // What is published meanwhile waits too.
        line.publish(&[event("evt-2", "bob@example.com")]);
        assert_eq!(line.health()["queued_events"], json!(2));
        assert_eq!(line.receiver.requests().len(), 1, "{status}");
    }
}

#[test]
fn an_endpoint_that_lost_its_way_gets_everything_when_it_found_it() {
    let mut line = Line::start(soon());
    for status in [401, 403, 405, 451, 501, 302] {
        line = line.anew();
        line.receiver.then(Reply::status(status)).then(Reply::status(status));
        line.publish(&[event("evt-1", "ana@example.com")]);
        let first = set_of(&line.receiver.wait_for(1));
        line.publish(&[event("evt-2", "bob@example.com")]);
        line.receiver.wait_for(4);
        let health = line.wait_until_idle();
        assert_eq!(
            (&health["dead_letters"], &health["hold"]),
            (&json!(0), &json!(null)),
            "{status}"
        );
        let pushes: Vec<_> = line.receiver.requests().iter().map(set_of).collect();
        assert!(
            pushes.iter().filter(|set| set.jti() == first.jti()).count() >= 2,
            "{status}"
        );
        assert!(pushes.iter().any(|set| set.email() == "bob@example.com"), "{status}");
        assert_eq!(pushes.len(), 4, "{status}: after a hold one event probes the endpoint");
    }
}
