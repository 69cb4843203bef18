//! Publishing: who may, what is stored once, and which streams an event goes to.

use std::collections::BTreeSet;

use serde_json::json;

use crate::harness::{Instance, Options};
use crate::support::{ACCOUNT_DISABLED, Acme, CREDENTIAL_CHANGE, SESSION_REVOKED, Set, event, pointer_of, publish};

#[test]
fn an_event_published_twice_is_stored_once() {
    let instance = Instance::start(Options::default());
    let stream = Acme::register(&instance, &[]).poll_stream();
    let operator = instance.operator();
    for _ in 0..2 {
        assert_eq!(
            publish(&operator, &[event("evt-1", "ana@example.com")]),
            1,
            "a repeat is accepted all the same"
        );
    }
    // Members in another order are the same event, and a repeat within one request is one too.
    let text = event("evt-1", "ana@example.com");
    let reversed: Vec<String> = text
        .as_object()
        .expect("an object")
        .iter()
        .rev()
        .map(|(name, value)| format!("{name:?}:{value}"))
        .collect();
    let body = format!(r#"{{"events":[{{{0}}},{{{0}}}]}}"#, reversed.join(","));
    operator.send(
        "POST",
        "/events",
        &[("content-type", "application/json")],
        body.as_bytes(),
        202,
    );
    assert_eq!(stream.poll_now().len(), 1);

    // Also after it was delivered.
    let jti = stream.poll_now().remove(0).0;
    stream.ack(&[&jti]);
    publish(&operator, &[event("evt-1", "ana@example.com")]);
    assert_eq!(stream.poll_now(), []);
}

#[test]
fn an_event_without_an_id_is_a_new_one_each_time() {
    let instance = Instance::start(Options::default());
    let stream = Acme::register(&instance, &[]).poll_stream();
    let mut nameless = event("", "ana@example.com");
    nameless.as_object_mut().expect("an object").remove("id");
    publish(&instance.operator(), &[nameless.clone(), nameless.clone()]);
    publish(&instance.operator(), &[nameless]);
    let jtis: BTreeSet<String> = stream.poll_now().into_iter().map(|(jti, _)| jti).collect();
    assert_eq!(jtis.len(), 3);
}

#[test]
fn an_id_that_stood_for_another_event_is_a_conflict_and_nothing_is_stored() {
    let instance = Instance::start(Options::default());
    let stream = Acme::register(&instance, &[]).poll_stream();
    let operator = instance.operator();
    publish(&operator, &[event("evt-1", "ana@example.com")]);

    let mut other_event = event("evt-1", "ana@example.com");
    other_event["event"]["initiating_entity"] = json!("policy");
    let mut other_time = event("evt-1", "ana@example.com");
    other_time["toe"] = json!(1_795_263_001);
    let mut other_cause = event("evt-1", "ana@example.com");
    other_cause["txn"] = json!("txn-2");
    for changed in [event("evt-1", "bob@example.com"), other_event, other_time, other_cause] {
        let batch = json!({"events": [event("evt-new", "cyd@example.com"), changed]});
        let refused = operator.send_json("POST", "/events", &batch, 409);
        assert_eq!(pointer_of(&refused), "/events/1/id");
    }
    let twice = json!({"events": [event("evt-2", "ana@example.com"), event("evt-2", "bob@example.com")]});
    assert_eq!(
        pointer_of(&operator.send_json("POST", "/events", &twice, 409)),
        "/events/1/id"
    );

    let sets = stream.poll_now();
    assert_eq!(sets.len(), 1, "all of a request or nothing");
    assert_eq!(Set::decode(&sets[0].1).email(), "ana@example.com");
}

#[test]
fn a_client_with_the_scope_publishes_in_its_own_name() {
    let instance = Instance::start(Options::default());
    let stream = Acme::register(&instance, &[]).poll_stream();
    let publisher = Acme::with_scope(&instance, "events.publish", &[]);
    let other = Acme::with_scope(&instance, "events.publish", &[]);

    // The same id from three publishers is three events.
    for client in [&publisher.api, &other.api, &instance.operator()] {
        assert_eq!(publish(client, &[event("evt-1", "ana@example.com")]), 1);
        assert_eq!(publish(client, &[event("evt-1", "ana@example.com")]), 1);
    }
    let jtis: BTreeSet<String> = stream.poll_now().into_iter().map(|(jti, _)| jti).collect();
    assert_eq!(jtis.len(), 3);
}

#[test]
fn a_stream_carries_the_types_it_asked_for() {
    let instance = Instance::start(Options::default());
    let acme = Acme::register(&instance, &[]);
    let everything = acme.stream(&json!({}));
    let sessions = acme.stream(&json!({"events_requested": [SESSION_REVOKED, SESSION_REVOKED]}));
    let nothing = acme.stream(&json!({"events_requested": []}));
    let unknown = acme.stream(&json!({"events_requested": ["https://vendor.example/event/unheard-of"]}));
    // SSF-8.1.1-17, SSF-8.1.1-18
    assert_eq!(sessions.configuration["events_delivered"], json!([SESSION_REVOKED]));
    assert_eq!(nothing.configuration["events_delivered"], json!([]));
    assert_eq!(unknown.configuration["events_delivered"], json!([]));

    let mut disabled = event("evt-2", "ana@example.com");
    disabled["type"] = json!(ACCOUNT_DISABLED);
    disabled["event"] = json!({"reason": "hijacking"});
    let mut changed = event("evt-3", "ana@example.com");
    changed["type"] = json!(CREDENTIAL_CHANGE);
    changed["event"] = json!({"credential_type": "password", "change_type": "update"});
    let operator = instance.operator();
    assert_eq!(publish(&operator, &[disabled.clone()]), 1);
    assert_eq!(
        publish(&operator, &[event("evt-1", "ana@example.com"), disabled, changed]),
        2
    );

    assert_eq!(everything.poll_now().len(), 3);
    let only = sessions.poll_now();
    assert_eq!(only.len(), 1);
    assert!(Set::decode(&only[0].1).claims["events"].get(SESSION_REVOKED).is_some());
    assert_eq!((nothing.poll_now(), unknown.poll_now()), (vec![], vec![]));
}

#[test]
fn the_sets_of_one_event_share_their_txn_and_nothing_that_tells_streams_apart() {
    let instance = Instance::start(Options::default());
    let streams = [
        Acme::register(&instance, &[]).poll_stream(),
        Acme::register(&instance, &[]).poll_stream(),
    ];
    let mut causeless = event("evt-1", "ana@example.com");
    causeless.as_object_mut().expect("an object").remove("txn");
    assert_eq!(publish(&instance.operator(), &[causeless]), 2);
    let sets = streams.map(|stream| Set::decode(&stream.poll_now()[0].1));
    // SSF-4.1.9-1, SSF-4.1.9-3
    assert_eq!(sets[0].text("txn"), sets[1].text("txn"));
    assert_ne!(sets[0].jti(), sets[1].jti());
}
