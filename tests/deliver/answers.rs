//! What an answer of the endpoint means for the event.

use serde_json::{Value, json};

use crate::harness::{Options, Reply};
use crate::support::event;

use super::{Line, set_of, soon};

#[test]
fn any_success_means_delivered() {
    let line = Line::start(Options::default());
    // PUSH-2.3-7
    let replies = [
        Reply::status(202),
        Reply::status(200).body("thank you"),
        Reply::status(204),
        Reply::status(201),
        Reply::status(206),
        Reply::json(
            202,
            &json!({"err": "access_denied", "description": "said with a success"}),
        ),
        Reply::status(202).body("x".repeat(1024 * 1024)),
        Reply::status(202).header("retry-after", "60"),
    ];
    for (number, reply) in replies.iter().enumerate() {
        line.receiver.then(reply.clone());
        line.publish(&[event(&format!("evt-{number}"), "ana@example.com")]);
        line.receiver.wait_for(number + 1);
        let health = line.wait_until_idle();
        assert_eq!(
            (&health["last_error"], &health["hold"], &health["dead_letters"]),
            (&Value::Null, &Value::Null, &json!(0)),
            "{reply:?}"
        );
        assert!(health["last_success_at"].is_u64());
    }
    assert_eq!(line.receiver.requests().len(), replies.len());
}

#[test]
fn a_temporary_failure_is_tried_again_with_the_same_event() {
    let line = Line::start(soon());
    let failures = [500, 502, 503, 504, 408, 425, 409, 404, 500, 500];
    for status in failures {
        line.receiver.then(Reply::status(status));
    }
    line.publish(&[event("evt-1", "ana@example.com")]);
    let first = set_of(&line.receiver.wait_for(1));
    for attempt in 2..=failures.len() + 1 {
        let again = set_of(&line.receiver.wait_for(attempt));
        // Design 4: the same event is the same claims, to the byte.
        assert_eq!(
            (again.jti(), &again.claims_bytes),
            (first.jti(), &first.claims_bytes),
            "attempt {attempt}"
        );
    }
    let health = line.wait_until_idle();
    assert_eq!(health["dead_letters"], json!(0));
    assert_eq!(line.receiver.requests().len(), failures.len() + 1);
}

#[test]
fn a_set_error_is_the_end_of_its_event_and_not_of_the_stream() {
    let line = Line::start(soon());
    let answers = [
        (
            Reply::json(400, &json!({"err": "invalid_audience", "description": "aud is not me"})),
            "invalid_audience",
            "aud is not me",
        ),
        (
            Reply::json(400, &json!({"err": "jwtCrypto", "description": "an older code"})),
            "jwtCrypto",
            "an older code",
        ),
        (Reply::json(400, &json!({"err": "access_denied"})), "access_denied", ""),
        (
            Reply::json(400, &json!({"error": "no SET error"})),
            "refused",
            "the endpoint answered 400",
        ),
        (
            Reply::status(400).body("<html>Bad Request</html>"),
            "refused",
            "the endpoint answered 400",
        ),
        (Reply::status(400), "refused", "the endpoint answered 400"),
        (Reply::status(413), "too_large", "the endpoint answered 413"),
        (Reply::status(415), "format_refused", "the endpoint answered 415"),
        (Reply::status(422), "refused", "the endpoint answered 422"),
    ];
    for (number, (reply, err, description)) in answers.iter().enumerate() {
        line.receiver.then(reply.clone());
        // The same subject each time: the next event is not held up by a dead one.
        line.publish(&[event(&format!("evt-{number}"), "ana@example.com")]);
        let push = set_of(&line.receiver.wait_for(number + 1));
        let health = line.wait_until_idle();
        assert_eq!(health["dead_letters"], json!(number + 1), "{reply:?}");
        let letters = line.stream.dead_letters(&line.instance);
        let letter = letters.last().expect("a dead letter");
        assert_eq!(
            (&letter["err"], &letter["description"]),
            (&json!(err), &json!(description))
        );
        assert_eq!((&letter["jti"], &letter["attempts"]), (&push.claims["jti"], &json!(1)));
        assert_eq!(letter["type"], json!(crate::support::SESSION_REVOKED));
        assert_eq!(letter["sub_id"], json!({"format": "email", "email": "ana@example.com"}));
        let detail = health["last_error"]["detail"].as_str().expect("a reason").to_owned();
        assert!(detail.contains(err) || detail.contains(description), "{detail}");
    }
    line.publish(&[event("evt-last", "ana@example.com")]);
    line.receiver.wait_for(answers.len() + 1);
    line.wait_until_idle();
    assert_eq!(
        line.receiver.requests().len(),
        answers.len() + 1,
        "PUSH-4-1: none of them is sent again"
    );
}

#[test]
fn an_event_that_fails_for_too_long_is_given_up() {
    let line = Line::start(soon().set("GIVE_UP_AFTER_S", 0));
    line.receiver.then(Reply::status(500)).then(Reply::status(202));
    line.publish(&[event("evt-1", "ana@example.com"), event("evt-2", "ana@example.com")]);
    let letter = line.wait_for_dead_letter();
    assert_eq!((&letter["err"], &letter["attempts"]), (&json!("given_up"), &json!(1)));
    assert_eq!(letter["description"], json!("the endpoint answered 500"));
    let (first, second) = (set_of(&line.receiver.wait_for(1)), set_of(&line.receiver.wait_for(2)));
    assert_eq!(letter["jti"], first.claims["jti"]);
    assert_ne!(first.jti(), second.jti());
    line.wait_until_idle();
    assert_eq!(line.receiver.requests().len(), 2);
}

#[test]
fn dead_letters_are_read_page_by_page() {
    let line = Line::start(soon());
    line.receiver.otherwise(Reply::json(
        400,
        &json!({"err": "invalid_request", "description": "no"}),
    ));
    let events: Vec<Value> = (0..5)
        .map(|number| event(&format!("evt-{number}"), "ana@example.com"))
        .collect();
    line.publish(&events);
    line.wait_until_idle();
    let path = format!("/admin/streams/{}/dead-letters", line.stream.id);
    let (mut cursor, mut jtis, mut sizes) = ("0".to_owned(), Vec::new(), Vec::new());
    loop {
        let page = line
            .instance
            .operator()
            .get(&format!("{path}?after={cursor}&limit=2"), 200);
        let letters = page["dead_letters"].as_array().expect("an array");
        let next = page["cursor"].as_str().expect("a cursor").to_owned();
        if letters.is_empty() {
            assert_eq!(next, cursor);
            break;
        }
        sizes.push(letters.len());
        jtis.extend(
            letters
                .iter()
                .map(|letter| letter["jti"].as_str().expect("a jti").to_owned()),
        );
        cursor = next;
    }
    let pushed: Vec<String> = line
        .receiver
        .requests()
        .iter()
        .map(|push| set_of(push).jti().to_owned())
        .collect();
    assert_eq!((jtis, sizes), (pushed, vec![2, 2, 1]));
}
