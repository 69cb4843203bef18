//! Which events a tenant sends: streams that are there follow every change, and event types of its own are types like any.

use serde_json::{Value, json};

use crate::harness::{Instance, Options};
use crate::support::{ACCOUNT_DISABLED, CREDENTIAL_CHANGE, SESSION_REVOKED, Set, Stream, Tenant, event, pointer_of};

const BADGE_LOST: &str = "https://events.quarry.example/badge-lost";
const DOOR_OPENED: &str = "urn:quarry:door-opened";

/// An event of any type, with a content that its type allows.
fn of_type(id: &str, event_type: &str) -> Value {
    let content = match event_type {
        CREDENTIAL_CHANGE => json!({"credential_type": "password", "change_type": "update"}),
        ACCOUNT_DISABLED => json!({"reason": "hijacking"}),
        SESSION_REVOKED => json!({}),
        _ => json!({"badge": {"number": 7}, "doors": ["north", 2, null]}),
    };
    let mut event = event(id, "ana@example.com");
    event["type"] = json!(event_type);
    event["event"] = content;
    event
}

/// The types of what waits in a stream, in order of their `txn`.
#[track_caller]
fn waiting(stream: &Stream) -> Vec<String> {
    let mut sets: Vec<Set> = stream.poll_now().iter().map(|(_, set)| Set::decode(set)).collect();
    sets.sort_by_key(|set| set.text("txn").to_owned());
    let event_type = |set: &Set| {
        let events = set.claims["events"].as_object().expect("events are an object");
        assert_eq!(events.len(), 1, "SSF-4.2.1-4");
        events.keys().next().cloned().unwrap_or_default()
    };
    sets.iter().map(event_type).collect()
}

#[test]
fn a_change_of_the_events_reaches_streams_that_are_there_at_once() {
    let instance = Instance::start(Options::default());
    let acme = Tenant::create(&instance, "acme", &json!({}));
    let client = acme.receiver(&instance, &json!({}));
    let everything = client.poll_stream();
    let asked = json!([CREDENTIAL_CHANGE, BADGE_LOST, SESSION_REVOKED, CREDENTIAL_CHANGE]);
    let chosen = client.stream(&json!({"events_requested": asked}));
    let nothing = client.stream(&json!({"events_requested": []}));
    assert_eq!(
        chosen.configuration["events_delivered"],
        json!([CREDENTIAL_CHANGE, SESSION_REVOKED])
    );
    for (supported, delivered) in [
        (json!([SESSION_REVOKED]), json!([SESSION_REVOKED])),
        (json!([ACCOUNT_DISABLED]), json!([])),
        // What was asked for before there was such a type is delivered once there is.
        (
            json!([SESSION_REVOKED, BADGE_LOST, DOOR_OPENED]),
            json!([BADGE_LOST, SESSION_REVOKED]),
        ),
        (json!(null), json!([CREDENTIAL_CHANGE, SESSION_REVOKED])),
    ] {
        let shown = acme.change(&instance, &json!({"events_supported": supported}))["events_supported"].clone();
        if !supported.is_null() {
            assert_eq!(shown, supported);
        }
        for stream in [&everything, &chosen, &nothing] {
            let configuration = stream.read();
            assert_eq!(configuration["events_supported"], shown, "SSF-8.1.1-4");
            // SSF-8.1.1-18
            assert_eq!(
                configuration.get("events_requested"),
                stream.configuration.get("events_requested")
            );
        }
        // SSF-8.1.1-6, SSF-8.1.1-17
        assert_eq!(everything.read()["events_delivered"], shown, "{supported}");
        assert_eq!(
            as_set(&chosen.read()["events_delivered"]),
            as_set(&delivered),
            "{supported}"
        );
        assert_eq!(nothing.read()["events_delivered"], json!([]));
    }
    assert_eq!(chosen.read(), chosen.configuration, "all is as it was");
}

fn as_set(types: &Value) -> std::collections::BTreeSet<String> {
    let types = types.as_array().expect("an array");
    types
        .iter()
        .map(|uri| uri.as_str().expect("a URI").to_owned())
        .collect()
}

#[test]
fn a_type_that_the_tenant_does_not_send_cannot_be_published() {
    let instance = Instance::start(Options::default());
    let acme = Tenant::create(
        &instance,
        "acme",
        &json!({"events_supported": [SESSION_REVOKED, BADGE_LOST]}),
    );
    let other = Tenant::create(&instance, "beta", &json!({}));
    let stream = acme.receiver(&instance, &json!({})).poll_stream();
    let (operator, publisher) = (instance.operator(), acme.publisher(&instance));
    for wrong in [CREDENTIAL_CHANGE, ACCOUNT_DISABLED, DOOR_OPENED] {
        let events = [of_type("evt-good", SESSION_REVOKED), of_type("evt-bad", wrong)];
        for client in [&operator, &publisher.api] {
            let refused = client.send_json("POST", &acme.path("/events"), &json!({"events": events}), 400);
            assert_eq!(pointer_of(&refused), "/events/1/type", "{wrong}");
        }
    }
    assert_eq!(stream.poll_now(), [], "all of a request or nothing");
    // Somebody else's type is not ours.
    let custom = json!({"events": [of_type("evt-1", BADGE_LOST)]});
    let refused = operator.send_json("POST", &other.path("/events"), &custom, 400);
    assert_eq!(pointer_of(&refused), "/events/0/type");

    acme.change(&instance, &json!({"events_supported": [CREDENTIAL_CHANGE]}));
    let gone = json!({"events": [of_type("evt-1", SESSION_REVOKED)]});
    let refused = operator.send_json("POST", &acme.path("/events"), &gone, 400);
    assert_eq!(pointer_of(&refused), "/events/0/type");
    assert_eq!(acme.publish(&operator, &[of_type("evt-2", CREDENTIAL_CHANGE)]), 1);
    assert_eq!(waiting(&stream), [CREDENTIAL_CHANGE]);
}

#[test]
fn a_type_of_the_tenants_own_is_registered_requested_published_and_delivered() {
    let instance = Instance::start(Options::default());
    let acme = Tenant::create(&instance, "acme", &json!({}));
    let operator = instance.operator();
    let client = acme.receiver(&instance, &json!({}));
    let badges = client.stream(&json!({"events_requested": [BADGE_LOST]}));
    assert_eq!(
        badges.configuration["events_delivered"],
        json!([]),
        "not before it is registered"
    );
    let supported = json!([SESSION_REVOKED, BADGE_LOST, DOOR_OPENED]);
    acme.change(&instance, &json!({"events_supported": supported}));
    let everything = client.poll_stream();
    assert_eq!(everything.configuration["events_delivered"], supported);
    assert_eq!(badges.read()["events_delivered"], json!([BADGE_LOST]));

    let events = [
        of_type("evt-1", BADGE_LOST),
        of_type("evt-2", DOOR_OPENED),
        of_type("evt-3", SESSION_REVOKED),
    ];
    assert_eq!(acme.publish(&operator, &events), 2);
    assert_eq!(waiting(&badges), [BADGE_LOST]);
    assert_eq!(waiting(&everything), [BADGE_LOST, DOOR_OPENED, SESSION_REVOKED]);
    let (_, set) = badges.poll_now().remove(0);
    let set = Set::verified(&set, &acme.jwks(&instance));
    // SSF-4.2.3-1: its content is its own, and goes out as it came in.
    assert_eq!(set.claims["events"][BADGE_LOST], events[0]["event"]);
    assert_eq!(set.claims["sub_id"], events[0]["sub_id"], "SSF-3.1.2-1");

    // The outline counts for these types as well.
    for (member, value, place) in [
        ("event", json!([]), "/events/0/event"),
        ("event", json!("lost"), "/events/0/event"),
        ("sub_id", json!({"format": "email"}), "/events/0/sub_id/email"),
        ("subject", json!({"format": "opaque", "id": "1"}), "/events/0/subject"), // SSF-3.1.2-2
    ] {
        let mut wrong = of_type("evt-4", BADGE_LOST);
        wrong[member] = value;
        let refused = operator.send_json("POST", &acme.path("/events"), &json!({"events": [wrong]}), 400);
        assert_eq!(pointer_of(&refused), place);
    }
}

#[test]
fn the_transmitters_own_two_types_cannot_be_published_whatever_a_tenant_registers() {
    let instance = Instance::start(Options::default());
    let acme = Tenant::create(&instance, "acme", &json!({"events_supported": [BADGE_LOST]}));
    let stream = acme.receiver(&instance, &json!({})).poll_stream();
    for name in ["verification", "stream-updated"] {
        let uri = format!("https://schemas.openid.net/secevent/ssf/event-type/{name}");
        let mut forged = of_type("evt-1", BADGE_LOST);
        forged["type"] = json!(uri);
        forged["sub_id"] = json!({"format": "opaque", "id": stream.id});
        let body = json!({"events": [of_type("evt-0", BADGE_LOST), forged]});
        let refused = instance.operator().send_json("POST", &acme.path("/events"), &body, 400);
        assert_eq!(pointer_of(&refused), "/events/1/type", "{name}");
    }
    assert_eq!(stream.poll_now(), []);
}
