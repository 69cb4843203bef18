//! Consent is for one endpoint and one rate: what changes of the stream make of it (WH-4-2, WH-4-8).

use serde_json::{Value, json};

use crate::harness::{Reply, ScriptedReceiver, eventually};
use crate::outbox::ids;
use crate::support::{POLL, PUSH};

use super::{World, assert_members, callback_of, consent, later, pushed, soon};

fn delivery(endpoint_url: &str) -> Value {
    json!({"delivery": {"method": PUSH, "endpoint_url": endpoint_url}})
}

/// T-H-10
#[test]
fn another_endpoint_ends_the_consent_at_once() {
    let world = World::start(soon());
    for method in ["PATCH", "PUT"] {
        let (old, asked) = world.asked(later());
        let old_callback = callback_of(&old.wait_for_ask(1));
        asked.call("POST", &old_callback, 200);
        world.publish(&["a1"]);
        asked.wait_until_idle();
        let new = ScriptedReceiver::start();
        let gate = new.then_consent_held(consent("240"));
        asked.stream.send(method, &delivery(&new.url("/events")), 200);
        let grant = asked.grant();
        let expected = json!({
            "state": "pending",
            "endpoint_url": new.url("/events"),
            "via": null,
            "allowed_rate": null,
            "granted_at": null,
            "expires_at": null,
            "pace": null,
        });
        assert_members(&grant, &expected, method);
        assert!(asked.is_held());
        asked.call("POST", &old_callback, 404);
        world.publish(&["a2"]);
        new.wait_for_ask(1);
        assert_eq!((new.pushes().len(), asked.queued()), (0, 1), "{method}");
        gate.open();
        let grant = asked.wait_for("granted");
        assert_eq!(grant["allowed_rate"], json!(240));
        asked.wait_until_idle();
        assert_eq!(
            (ids(&pushed(&old)), ids(&pushed(&new))),
            (vec!["a1".to_owned()], vec!["a2".to_owned()])
        );
        let urls: Vec<&Value> = grant["history"]
            .as_array()
            .expect("an array")
            .iter()
            .map(|entry| &entry["endpoint_url"])
            .collect();
        let (old_url, new_url) = (json!(old.url("/events")), json!(new.url("/events")));
        assert_eq!(urls, [&new_url, &new_url, &old_url, &old_url], "{grant}");
        assert_eq!(old.asks().len(), 1);
        asked.stream.delete();
    }
}

/// WH-4-8: the exact URL. Another path or query of the same host is another endpoint.
#[test]
fn consent_for_one_path_is_none_for_another() {
    let world = World::start(soon());
    let endpoint = ScriptedReceiver::start();
    endpoint.then_consent(consent("*")).otherwise_consent(later());
    let asked = world.asked_at(&endpoint.url("/events"));
    asked.wait_for("granted");
    for (nth, target) in [(2, "/events?tenant=1"), (3, "/events/"), (4, "/Events")] {
        asked.stream.patch(&delivery(&endpoint.url(target)));
        assert_eq!(asked.grant()["state"], json!("pending"), "{target}");
        assert_eq!(endpoint.wait_for_ask(nth).target, target);
    }
    // Back to the first: that consent is gone.
    asked.stream.patch(&delivery(&endpoint.url("/events")));
    assert_eq!(asked.grant()["state"], json!("pending"));
    endpoint.wait_for_ask(5);
}

/// WH-4-8: two streams to one endpoint share nothing.
#[test]
fn each_stream_needs_its_own_consent() {
    let world = World::start(soon());
    let endpoint = ScriptedReceiver::start();
    endpoint
        .then_consent(consent("*"))
        .otherwise_consent(Reply::status(403));
    let first = world.asked_at(&endpoint.url("/events"));
    first.wait_for("granted");
    let second = world.asked_at(&endpoint.url("/events"));
    second.wait_for("denied");
    assert_eq!(first.grant()["state"], json!("granted"));
    world.publish(&["a1"]);
    first.wait_until_idle();
    assert_eq!((endpoint.pushes().len(), second.queued()), (1, 1));
}

#[test]
fn the_same_endpoint_again_is_asked_only_where_it_had_not_agreed() {
    let world = World::start(soon());
    let (endpoint, asked) = world.agreed("*");
    let granted = asked.grant();
    for method in ["PATCH", "PUT"] {
        asked.stream.send(method, &delivery(&endpoint.url("/events")), 200);
    }
    asked.stream.patch(&json!({"delivery": {
        "method": PUSH,
        "endpoint_url": endpoint.url("/events"),
        "authorization_header": "Bearer new",
    }}));
    let after = asked.grant();
    for member in ["state", "granted_at", "allowed_rate", "history"] {
        assert_eq!(after[member], granted[member], "{member}");
    }
    for reply in [Reply::status(403), Reply::status(405)] {
        let (reluctant, asked) = world.asked(reply);
        asked.wait_until("the answer is known", |grant| grant["state"] != "pending");
        reluctant.otherwise_consent(consent("*"));
        asked.stream.patch(&delivery(&reluctant.url("/events")));
        asked.wait_for("granted");
        assert_eq!(reluctant.asks().len(), 2);
    }
    assert_eq!(endpoint.asks().len(), 1);
}

#[test]
fn a_stream_that_becomes_polled_needs_no_consent_and_pushed_again_needs_a_new_one() {
    let world = World::start(soon());
    let (endpoint, asked) = world.asked(later());
    let callback = callback_of(&endpoint.wait_for_ask(1));
    asked.call("POST", &callback, 200);
    asked.stream.patch(&json!({"delivery": {"method": POLL}}));
    let grant = asked.grant();
    let expected = json!({"state": "not_required", "endpoint_url": null, "allowed_rate": null, "handshake": null});
    assert_members(&grant, &expected, "polled");
    assert_eq!(asked.stream.health()["hold"], Value::Null);
    asked.call("POST", &callback, 404);
    world.publish(&["a1"]);
    assert_eq!(ids(&asked.stream.drain()), ["a1"]);
    asked.stream.patch(&delivery(&endpoint.url("/events")));
    assert_eq!(asked.grant()["state"], json!("pending"));
    asked.call("POST", &callback, 404);
    asked.call("POST", &callback_of(&endpoint.wait_for_ask(2)), 200);
    world.publish(&["a2"]);
    endpoint.wait_for_push(1);
}

/// WH-4-2, WH-4.2-36
#[test]
fn a_higher_rate_is_asked_for_while_the_old_one_goes_on() {
    let world = World::start(soon().set("REQUEST_RATE", 600));
    let (endpoint, asked) = world.agreed("600");
    let gate = endpoint.then_consent_held(consent("1200"));
    asked.stream.operate(&json!({"request_rate": 1200}));
    let ask = endpoint.wait_for_ask(2);
    assert_eq!(ask.header("webhook-request-rate"), Some("1200"));
    world.publish(&["a1"]);
    endpoint.wait_for_push(1);
    let during = asked.grant();
    assert_members(
        &during,
        &json!({"state": "granted", "allowed_rate": 600}),
        "the old one stands",
    );
    assert_eq!(during["pace"]["per_minute"], json!(600));
    gate.open();
    let raised = asked.wait_until("the rate is raised", |grant| grant["allowed_rate"] == 1200);
    assert_eq!(raised["pace"]["per_minute"], json!(1200));
    // Less needs nobody's consent, and what was asked for already is not asked for again.
    asked.stream.operate(&json!({"request_rate": 60}));
    asked.stream.operate(&json!({"request_rate": 1200}));
    asked.stream.operate(&json!({"request_rate": null}));
    world.publish(&["a2"]);
    endpoint.wait_for_push(2);
    asked.wait_until_idle();
    assert_eq!(endpoint.asks().len(), 2);
}

#[test]
fn an_endpoint_that_is_asked_for_more_may_refuse_everything() {
    let world = World::start(soon());
    let (endpoint, asked) = world.agreed("600");
    endpoint.otherwise_consent(Reply::status(403));
    asked.stream.operate(&json!({"request_rate": 601}));
    asked.wait_for("denied");
    assert!(asked.is_held());
}

/// Who does not answer that question goes on as before: nothing is over.
#[test]
fn a_higher_rate_that_is_not_answered_leaves_the_old_one() {
    let world = World::start(soon().set("GRANT_WINDOW_S", 2));
    for reply in [later(), Reply::status(405), Reply::status(503)] {
        let (endpoint, asked) = world.agreed("600");
        endpoint.otherwise_consent(reply);
        asked.stream.operate(&json!({"request_rate": 1000}));
        endpoint.wait_for_ask(2);
        let grant = asked.wait_until("the window is over", |grant| grant["handshake"].is_null());
        assert_members(&grant, &json!({"state": "granted", "allowed_rate": 600}), "as before");
        asked.stream.delete();
    }
}

/// By the deployment's setting, too: the stream finds out when it is next looked at.
#[test]
fn a_setting_that_is_raised_is_asked_for() {
    let mut world = World::start(soon());
    let (endpoint, asked) = world.agreed("600");
    let settings = [
        ("ADMIN_TOKEN", crate::harness::ADMIN_TOKEN),
        ("KEY_ENCRYPTION_KEY", crate::support::KEY_ENCRYPTION_KEY),
        ("ALLOW_LOOPBACK", "1"),
        ("REQUEST_RATE", "900"),
    ];
    endpoint.otherwise_consent(consent("900"));
    crate::support::restart_with(&mut world.instance, &settings);
    world.publish(&["a1"]);
    let grant = eventually("the rate is raised", || {
        Some(asked.grant()).filter(|grant| grant["allowed_rate"] == 900)
    });
    assert_members(&grant, &json!({"state": "granted", "requested_rate": 900}), "raised");
    assert_eq!(endpoint.wait_for_ask(2).header("webhook-request-rate"), Some("900"));
}
