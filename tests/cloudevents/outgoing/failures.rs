//! Answers of an endpoint of CloudEvents (webhooks digest, 1.3), and what becomes of the events.

use serde_json::{Value, json};

use crate::harness::{Options, Reply, eventually};
use crate::support::SESSION_REVOKED;

use super::super::{Line, MODES, Pushed, soon};

#[test]
fn any_success_means_delivered() {
    for mode in MODES {
        let line = Line::start(Options::default(), mode);
        for (number, status) in [200, 201, 202, 204, 206].into_iter().enumerate() {
            line.endpoint.then(Reply::status(status));
            line.publish(&[&format!("a{number}")]);
            line.endpoint.wait_for(number + 1);
            let health = line.wait_until_idle();
            assert_eq!(
                (&health["hold"], &health["dead_letters"], &health["last_error"]),
                (&Value::Null, &json!(0), &Value::Null),
                "{mode} {status}"
            );
        }
        assert_eq!(line.endpoint.requests().len(), 5);
    }
}

/// WH-2.2-54, SW-3
#[test]
fn a_temporary_failure_is_tried_again_with_the_same_bytes() {
    for mode in MODES {
        let line = Line::start(soon(), mode);
        let failures = [500, 502, 503, 504, 408, 425, 409, 404, 507];
        for status in failures {
            line.endpoint.then(Reply::status(status));
        }
        line.endpoint.then(Reply::Reset).then(Reply::Close);
        line.publish(&["a1"]);
        let first = line.endpoint.wait_for(1);
        line.wait_until_idle();
        let pushes = line.endpoint.requests();
        assert_eq!(pushes.len(), failures.len() + 3, "{mode}");
        let pushed = line.pushed();
        for (push, event) in pushes.iter().zip(&pushed) {
            assert_eq!((&push.body, event), (&first.body, &pushed[0]), "{mode}");
            assert_eq!(push.header("webhook-id"), first.header("webhook-id"), "{mode}");
            super::super::assert_signed(push, &line.secret());
        }
        assert_eq!(line.stream.health()["dead_letters"], json!(0));
    }
}

#[test]
fn a_refusal_is_the_end_of_its_event() {
    for mode in ["structured", "binary"] {
        let line = Line::start(soon(), mode);
        // Twice in a row 415 would stop the stream: the format is refused, not an event.
        let replies = [400, 422, 413, 406, 411, 414, 431, 415];
        for (number, status) in replies.into_iter().enumerate() {
            line.endpoint.then(Reply::status(status));
            line.publish(&[&format!("a{number}")]);
            let letters = eventually("there is a dead letter", || {
                Some(line.stream.dead_letters()).filter(|letters| letters.len() == number + 1)
            });
            let letter = letters.last().expect("a letter");
            let pushed = line.pushed();
            assert_eq!(letter["jti"], json!(pushed[number].text("id")), "{mode} {status}");
            assert_eq!(
                (&letter["type"], &letter["attempts"]),
                (&json!(SESSION_REVOKED), &json!(1))
            );
            assert!(
                letter["description"]
                    .as_str()
                    .is_some_and(|text| text.contains(&status.to_string())),
                "{letter}"
            );
        }
        line.publish(&["b1"]);
        line.wait_until_idle();
        let health = line.stream.health();
        assert_eq!(
            (&health["hold"], &health["dead_letters"]),
            (&Value::Null, &json!(replies.len()))
        );
        assert_eq!(line.endpoint.requests().len(), replies.len() + 1, "none is sent again");
    }
}

#[test]
fn retry_after_holds_the_stream_for_its_full_time() {
    for mode in MODES {
        let line = Line::start(soon(), mode);
        line.endpoint.then(Reply::status(429).header("retry-after", "1"));
        line.publish(&["a1"]);
        let refused = line.endpoint.wait_for(1);
        eventually("the stream waits", || {
            Some(line.stream.health()).filter(|health| health["hold"]["reason"] == "retry_after")
        });
        line.publish(&["b1"]);
        line.wait_until_idle();
        for push in &line.endpoint.requests()[1..] {
            let waited = push.at - refused.at;
            assert!(waited.as_millis() >= 999, "{mode}: {waited:?}");
        }
        let briefs: Vec<String> = line.pushed().iter().map(|event| event.brief().to_owned()).collect();
        assert_eq!((briefs[0].as_str(), briefs.len()), ("a1", 3), "{mode}: {briefs:?}");
    }
}

/// WH-2.2-7
#[test]
fn an_endpoint_that_is_gone_gets_nothing_more() {
    for mode in MODES {
        let line = Line::start(soon(), mode);
        line.endpoint.then(Reply::status(410));
        line.publish(&["a1"]);
        eventually("the stream stops", || {
            Some(line.stream.health()).filter(|health| health["hold"]["reason"] == "gone")
        });
        line.publish(&["b1", "c1"]);
        let health = line.stream.health();
        assert_eq!(
            (&health["queued_events"], &health["dead_letters"]),
            (&json!(3), &json!(0)),
            "{mode}"
        );
        assert_eq!(line.endpoint.requests().len(), 1, "{mode}");
    }
}

/// What failed for good and what waits is all there after a restart.
#[test]
fn an_event_that_was_not_answered_arrives_after_a_restart() {
    for mode in MODES {
        let mut line = Line::start(soon(), mode);
        let gate = line.endpoint.then_held(Reply::status(202));
        line.publish(&["a1"]);
        line.endpoint.wait_for(1);
        line.publish(&["a2"]);
        line.instance.kill();
        gate.open();
        line.instance.restart();
        line.wait_until_idle();
        let pushed = line.pushed();
        assert_eq!(pushed[0], pushed[1], "{mode}: the same bytes");
        let briefs: Vec<&str> = pushed.iter().map(Pushed::brief).collect();
        assert_eq!(briefs, ["a1", "a1", "a2"], "{mode}");
        let requests = line.endpoint.requests();
        super::super::assert_signed(requests.last().expect("a push"), &line.secret());
    }
}

/// The operator sees what was sent, but for what signs it.
#[test]
fn the_record_of_a_delivery_shows_its_headers() {
    for mode in MODES {
        let line = Line::start(Options::default(), mode);
        line.publish(&["a1"]);
        let push = line.endpoint.wait_for(1);
        let delivery = eventually("the delivery is on record", || line.stream.deliveries().pop());
        let headers = delivery["request"]["headers"].as_array().expect("pairs");
        for name in ["content-type", "webhook-id", "webhook-request-origin"] {
            let value = super::super::header(&push, name);
            assert!(headers.contains(&json!([name, value])), "{mode}: {name} in {headers:?}");
        }
        assert_eq!(delivery["request"]["method"], json!("POST"), "{mode}");
    }
}
