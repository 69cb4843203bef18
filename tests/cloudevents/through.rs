//! From a publisher of CloudEvents to receivers of SETs and of CloudEvents.

use serde_json::{Value, json};

use crate::harness::{Options, Recorded};
use crate::support::{ACME_AUDIENCE, PUSH, SESSION_REVOKED, Set, Source};

use super::{
    BATCHED, Line, MODES, Pushed, STRUCTURED, batched, binary, cloud_event, delivery, header, pushed_to, structured,
    with,
};

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACESTATE: &str = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7";

/// One event, published in each mode, arrives at a stream of SETs and at a stream of each mode.
#[test]
fn a_cloudevent_arrives_as_a_set_and_as_a_cloudevent() {
    let line = Line::start(Options::default(), "structured");
    for mode in ["binary", "batched"] {
        let mut other = delivery(&line.endpoint, &json!({"mode": mode}));
        other["endpoint_url"] = json!(line.endpoint.url(&format!("/{mode}")));
        line.receiver.stream(&json!({"delivery": other}));
    }
    line.receiver.push_stream(&line.endpoint.url("/sets"));
    let polled = line.receiver.poll_stream();
    let operator = line.tenant.operator();
    let published = ["a1", "b1", "c1"].map(|id| cloud_event(id, "ana@example.com"));
    structured(&operator, &published[0], 202);
    binary(&operator, &published[1], 202);
    let answer = batched(&operator, &published[2..], 202);
    assert_eq!(answer.json(), json!({"accepted": 1, "streams": 5, "refused": []}));

    crate::harness::eventually("all four endpoints have all", || {
        let requests = line.endpoint.requests();
        let count = |path: &str| requests.iter().filter(|push| push.target == path).count();
        let batched = pushed_to(&line.endpoint, "/batched").len();
        (count("/events") == 3 && count("/binary") == 3 && batched == 3 && count("/sets") == 3).then_some(())
    });
    for path in ["/events", "/binary", "/batched"] {
        let pushed = pushed_to(&line.endpoint, path);
        let briefs: Vec<&str> = pushed.iter().map(Pushed::brief).collect();
        assert_eq!(briefs, ["a1", "b1", "c1"], "{path}");
        for (pushed, published) in pushed.iter().zip(&published) {
            assert_eq!(pushed.data, published["data"], "{path}");
            assert_eq!(
                (pushed.text("type"), pushed.text("time")),
                (SESSION_REVOKED, "2026-11-21T12:10:00Z")
            );
            // It is the stream's event now: the publisher's names for it stay with the publisher.
            assert_ne!(pushed.text("id"), published["id"], "{path}");
            assert!(pushed.text("source").starts_with(&line.tenant.issuer()), "{path}");
        }
    }
    let jwks = line.tenant.jwks();
    let pushes: Vec<Recorded> = line
        .endpoint
        .requests()
        .into_iter()
        .filter(|push| push.target == "/sets")
        .collect();
    let sets = pushes.iter().map(|push| Set::verified(push.text(), &jwks));
    for (set, published) in sets.chain(polled.drain()).zip(published.iter().cycle()) {
        assert_eq!(set.claims["sub_id"], published["data"]["sub_id"]);
        assert_eq!(
            set.claims["events"],
            json!({SESSION_REVOKED: published["data"]["event"]})
        );
        assert_eq!(
            (&set.claims["txn"], &set.claims["toe"]),
            (&published["data"]["txn"], &json!(1_795_263_000))
        );
        assert_eq!(set.text("aud"), ACME_AUDIENCE);
    }
}

/// CE-1-12
#[test]
fn a_trace_is_passed_on_as_it_came() {
    for mode in MODES {
        let line = Line::start(Options::default(), mode);
        let sets = line.receiver.poll_stream();
        let operator = line.tenant.operator();
        let plain = cloud_event("none", "ana@example.com");
        let traced = with(&with(&plain, "traceparent", TRACEPARENT), "tracestate", TRACESTATE);
        structured(&operator, &with(&traced, "id", "s"), 202);
        binary(&operator, &with(&traced, "id", "b"), 202);
        batched(&operator, &[with(&traced, "id", "l"), plain.clone()], 202);
        let only_parent = with(&with(&plain, "traceparent", TRACEPARENT), "id", "p");
        structured(&operator, &only_parent, 202);
        line.wait_until_idle();
        let pushed = line.pushed();
        let traces: Vec<(Option<&str>, Option<&str>)> = pushed
            .iter()
            .map(|event| {
                let text = |name: &str| event.attributes.get(name).and_then(Value::as_str);
                (text("traceparent"), text("tracestate"))
            })
            .collect();
        let both = (Some(TRACEPARENT), Some(TRACESTATE));
        assert_eq!(
            traces,
            [both, both, both, (None, None), (Some(TRACEPARENT), None)],
            "{mode}"
        );
        // The trace is no part of what the event says: SETs are as ever.
        for set in sets.drain() {
            assert!(!set.claims.to_string().contains("traceparent"), "{}", set.claims);
        }
    }
}

/// CE-3.1-3: a trace state with characters that headers cannot carry.
#[test]
fn a_trace_state_is_encoded_where_it_has_to_be() {
    let state = "vendor=a b,other=100%\"x\"";
    let line = Line::start(Options::default(), "binary");
    let mut event = with(&cloud_event("evt-1", "ana@example.com"), "tracestate", state);
    event["traceparent"] = json!(TRACEPARENT);
    structured(&line.tenant.operator(), &event, 202);
    let push = line.endpoint.wait_for(1);
    assert_eq!(header(&push, "ce-tracestate"), "vendor=a%20b,other=100%25%22x%22");
    assert_eq!(super::events_of(&push)[0].text("tracestate"), state);
}

/// A repeat with another trace is the same event: what traces see does not change what happened.
#[test]
fn a_repeat_with_another_trace_is_no_conflict() {
    let line = Line::start(Options::default(), "structured");
    let operator = line.tenant.operator();
    let event = cloud_event("evt-1", "ana@example.com");
    structured(&operator, &with(&event, "traceparent", TRACEPARENT), 202);
    structured(&operator, &event, 202);
    let other = TRACEPARENT.replace('b', "c");
    structured(&operator, &with(&event, "traceparent", other), 202);
    line.wait_until_idle();
    let pushed = line.pushed();
    assert_eq!(pushed.len(), 1);
    assert_eq!(pushed[0].text("traceparent"), TRACEPARENT);
}

/// What we push as CloudEvents can be published again, here or elsewhere: the digest of events is the same.
#[test]
fn what_is_pushed_can_be_published() {
    for (mode, media_type) in [("structured", STRUCTURED), ("batched", BATCHED)] {
        let line = Line::start(Options::default(), mode);
        let polled = line.receiver.poll_stream();
        line.publish(&["a1"]);
        let push = line.endpoint.wait_for(1);
        let first = polled.drain();
        let headers = [("content-type", media_type)];
        line.tenant
            .operator()
            .send("POST", "/events", &headers, &push.body, 202);
        let again = polled.drain();
        let essence = |set: &Set| {
            let claim = |name: &str| set.claims[name].clone();
            [claim("sub_id"), claim("events"), claim("txn"), claim("toe")]
        };
        assert_eq!(again.len(), 1, "{mode}");
        assert_eq!(essence(&again[0]), essence(&first[0]), "{mode}");
    }
}

/// A receiver of SETs knows no CloudEvents: our own inbox refuses them, and says so by the status that means the format.
#[test]
fn an_inbox_of_sets_refuses_cloudevents() {
    let line = Line::start(super::soon(), "structured");
    let source = Source::register(&line.instance, &line.tenant.issuer(), ACME_AUDIENCE);
    let delivery = json!({
        "method": PUSH,
        "endpoint_url": line.instance.url(&source.receive_path()),
        "authorization_header": source.authorization,
        "cloudevents": {"mode": "structured"},
    });
    let receiver = line.tenant.receiver(&[&line.instance.url(&source.receive_path())]);
    let stream = receiver.stream(&json!({"delivery": delivery}));
    line.publish(&["a1"]);
    let letter = crate::harness::eventually("it is refused", || stream.dead_letters().pop());
    assert!(
        letter["description"].as_str().is_some_and(|text| text.contains("415")),
        "{letter}"
    );
    assert_eq!(source.jtis(&line.instance), [] as [&str; 0]);
}
