//! What the operator is told about deliveries, before, during and after.

use serde_json::{Value, json};

use crate::harness::{Instance, Options, Reply, ScriptedReceiver, eventually};
use crate::support::{Acme, KEY_ENCRYPTION_KEY, PUSH, SESSION_REVOKED, event, publish, restart_with};

use super::{Line, set_of, soon};

#[test]
fn health_says_what_waits_what_failed_and_what_is_dead() {
    let line = Line::start(soon());
    let idle = line.health();
    assert_eq!(idle["stream_id"], json!(line.stream.id));
    assert_eq!(idle["configuration"], line.stream.configuration);
    for (member, value) in [
        ("queued_events", json!(0)),
        ("queued_bytes", json!(0)),
        ("oldest_at", json!(null)),
        ("hold", json!(null)),
        ("next_wake_at", json!(null)),
        ("last_success_at", json!(null)),
        ("last_error", json!(null)),
        ("dead_letters", json!(0)),
    ] {
        assert_eq!(idle[member], value, "{member}");
    }

    // Under way.
    let gate = line.receiver.then_held(Reply::status(202));
    line.publish(&[event("evt-1", "ana@example.com"), event("evt-2", "ana@example.com")]);
    line.receiver.wait_for(1);
    let busy = line.health();
    assert_eq!(busy["queued_events"], json!(2));
    assert!(busy["queued_bytes"].as_u64().is_some_and(|bytes| bytes > 300), "{busy}");
    let created = busy["created_at"].as_u64().expect("an instant");
    assert!(busy["oldest_at"].as_u64().is_some_and(|at| at >= created), "{busy}");

    // Delivered.
    gate.open();
    let done = line.wait_until_idle();
    assert!(done["last_success_at"].as_u64() >= busy["oldest_at"].as_u64(), "{done}");
    assert_eq!(
        (&done["queued_bytes"], &done["oldest_at"], &done["next_wake_at"]),
        (&json!(0), &json!(null), &json!(null))
    );

    // Refused.
    line.receiver.then(Reply::json(
        400,
        &json!({"err": "invalid_state", "description": "what state?"}),
    ));
    line.publish(&[event("evt-3", "ana@example.com")]);
    line.wait_for_dead_letter();
    let refused = line.health();
    assert_eq!(
        (&refused["dead_letters"], &refused["queued_events"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(refused["last_error"]["detail"], json!("invalid_state: what state?"));
    assert!(refused["last_error"]["at"].as_u64() >= done["last_success_at"].as_u64());
}

#[test]
fn every_attempt_is_on_record_with_request_and_answer_but_for_secrets() {
    let instance = Instance::start(soon());
    let receiver = ScriptedReceiver::start();
    let acme = Acme::register(&instance, &[&receiver.url("/")]);
    let endpoint = receiver.url("/events");
    let delivery = json!({"method": PUSH, "endpoint_url": endpoint, "authorization_header": "Bearer push-key-3"});
    let stream = acme.stream(&json!({"delivery": delivery}));
    receiver
        .then(Reply::status(503).header("x-reason", "tired").body("come again"))
        .then(Reply::status(202).body("y".repeat(10_000)));
    publish(&instance.operator(), &[event("evt-1", "ana@example.com")]);
    let push = receiver.wait_for(2);
    let attempts = eventually("both attempts are on record", || {
        Some(stream.deliveries(&instance)).filter(|attempts| attempts.len() == 2)
    });

    // Newest first.
    let (second, first) = (&attempts[0], &attempts[1]);
    for (attempt, number, outcome, status) in [(first, 1, "retry", 503), (second, 2, "delivered", 202)] {
        assert_eq!(attempt["jti"], set_of(&push).claims["jti"]);
        assert_eq!(attempt["type"], json!(SESSION_REVOKED));
        assert_eq!(
            (&attempt["attempt"], &attempt["outcome"], &attempt["status"]),
            (&json!(number), &json!(outcome), &json!(status))
        );
        let (signed, sent) = (
            attempt["signed_at"].as_u64().expect("ms"),
            attempt["sent_at"].as_u64().expect("ms"),
        );
        assert!(
            signed <= sent && attempt["sign_ms"].is_u64() && attempt["push_ms"].is_u64(),
            "{attempt}"
        );
        let request = &attempt["request"];
        assert_eq!(
            (&request["method"], &request["url"]),
            (&json!("POST"), &json!(endpoint))
        );
        let header = |name: &str| header(&request["headers"], name);
        assert_eq!(header("content-type"), Some("application/secevent+jwt".to_owned()));
        assert_eq!(header("accept"), Some("application/json".to_owned()));
        assert_eq!(header("authorization"), Some("***".to_owned()));
        assert_eq!(attempt["response"]["status"], json!(status));
    }
    assert_eq!(second["request"]["body"], json!(push.text()));
    assert_eq!(first["detail"], json!("the endpoint answered 503"));
    assert!(first["next_attempt_at"].as_u64() >= first["sent_at"].as_u64());
    assert_eq!(
        header(&first["response"]["headers"], "x-reason"),
        Some("tired".to_owned())
    );
    assert_eq!(first["response"]["body"], json!("come again"));
    assert_eq!(
        (&second["detail"], &second["next_attempt_at"]),
        (&json!(null), &json!(null))
    );
    assert_eq!(second["response"]["body"], json!("y".repeat(4096)), "clipped");
}

fn header(headers: &Value, name: &str) -> Option<String> {
    let headers = headers.as_array().expect("an array");
    headers
        .iter()
        .find(|header| header[0] == name)
        .map(|header| header[1].as_str().expect("a value").to_owned())
}

#[test]
fn an_attempt_without_an_answer_is_on_record_too() {
    let line = Line::start(soon());
    line.receiver.then(Reply::Reset);
    line.publish(&[event("evt-1", "ana@example.com")]);
    let attempts = eventually("both attempts are on record", || {
        Some(line.stream.deliveries(&line.instance)).filter(|attempts| attempts.len() == 2)
    });
    assert_eq!(
        (
            &attempts[1]["outcome"],
            &attempts[1]["status"],
            &attempts[1]["response"]
        ),
        (&json!("retry"), &json!(null), &json!(null))
    );
}

#[test]
fn the_last_fifty_attempts_are_kept() {
    let line = Line::start(Options::default());
    for batch in 0..3 {
        let events: Vec<Value> = (0..20)
            .map(|number| event(&format!("evt-{batch}-{number}"), "ana@example.com"))
            .collect();
        line.publish(&events);
    }
    line.wait_until_idle();
    let attempts = line.stream.deliveries(&line.instance);
    let pushed = line.receiver.requests();
    assert_eq!((attempts.len(), pushed.len()), (50, 60));
    let newest: Vec<Value> = pushed
        .iter()
        .rev()
        .take(50)
        .map(|push| set_of(push).claims["jti"].clone())
        .collect();
    assert_eq!(
        attempts
            .iter()
            .map(|attempt| attempt["jti"].clone())
            .collect::<Vec<_>>(),
        newest
    );
}

#[test]
fn an_endpoint_that_is_not_allowed_any_more_is_not_called_and_its_events_wait() {
    // Without lingering, what is acknowledged is written down when the queue is empty.
    let mut line = Line::start(Options::default().set("LINGER_MS", 0));
    line.publish(&[event("evt-1", "ana@example.com")]);
    line.wait_until_idle();
    // SSF-6.1.1-7: the same endpoint, where loopback is forbidden now.
    restart_with(
        &mut line.instance,
        &[
            ("ADMIN_TOKEN", crate::harness::ADMIN_TOKEN),
            ("KEY_ENCRYPTION_KEY", KEY_ENCRYPTION_KEY),
        ],
    );
    line.publish(&[event("evt-2", "ana@example.com")]);
    let health = eventually("the operator is told why", || {
        Some(line.health()).filter(|health| !health["last_error"].is_null())
    });
    assert_eq!(health["queued_events"], json!(1));
    assert_eq!(line.receiver.requests().len(), 1);
}
