//! `source` and `id` together are an event's identity, within its publisher (CE-1-2).

use serde_json::{Value, json};

use crate::support::{Acme, event, pointer_of};

use super::super::{batched, binary, cloud_event, structured, with, without};
use super::World;

#[test]
fn an_event_that_comes_again_in_any_mode_is_one_event() {
    let world = World::start();
    let operator = world.tenant.operator();
    let event = cloud_event("evt-1", "ana@example.com");
    for _ in 0..2 {
        structured(&operator, &event, 202);
        binary(&operator, &event, 202);
        batched(&operator, std::slice::from_ref(&event), 202);
    }
    // How it is said is no part of what is said.
    let mut said_otherwise = without(
        &with(&event, "time", "2026-11-21T13:10:00.250+01:00"),
        "datacontenttype",
    );
    said_otherwise["subject"] = json!("ana");
    structured(&operator, &said_otherwise, 202);
    assert_eq!(world.queued(), 1);
    // Also after it was delivered.
    let sets = world.waiting();
    world.stream.ack(&sets);
    structured(&operator, &event, 202);
    assert_eq!(world.queued(), 0);
}

#[test]
fn an_id_stands_for_one_event_of_its_source() {
    let world = World::start();
    let operator = world.tenant.operator();
    let event = cloud_event("evt-1", "ana@example.com");
    // Pairs that would be the same if they were only put together.
    let identities = [
        ("https://idp.example.com/a", "b/c"),
        ("https://idp.example.com/a/b", "c"),
        ("urn:x:a", "b:c"),
        ("urn:x:a:b", "c"),
        ("/relative", "1"),
        ("relative", "/1"),
        ("a", "b,c"),
        ("a,b", "c"),
        ("a%20b", "c"),
        ("a", "b c"),
        ("a", "%20b c"),
        ("https://idp.example.com/A", "b/c"),
        ("https://idp.example.com/a", "B/c"),
        ("https://idp.example.com/a/", "b/c"),
        ("https://idp.example.com/%61", "b/c"),
    ];
    let mut count = 0;
    for (source, id) in identities {
        let named = with(&with(&event, "source", source), "id", id);
        structured(&operator, &named, 202);
        count += 1;
        assert_eq!(world.queued(), count, "{source} {id}");
        structured(&operator, &named, 202);
        assert_eq!(world.queued(), count, "{source} {id}");
    }
}

#[test]
fn an_identity_that_stood_for_another_event_is_a_conflict() {
    let world = World::start();
    let operator = world.tenant.operator();
    let event = cloud_event("evt-1", "ana@example.com");
    structured(&operator, &event, 202);
    let mut other_event = event.clone();
    other_event["data"]["event"]["initiating_entity"] = json!("policy");
    let mut other_subject = event.clone();
    other_subject["data"]["sub_id"]["email"] = json!("bob@example.com");
    let mut other_txn = event.clone();
    other_txn["data"]["txn"] = json!("txn-2");
    for changed in [
        other_event,
        other_subject,
        other_txn,
        with(&event, "time", "2026-11-21T12:10:01Z"),
    ] {
        assert_eq!(pointer_of(&structured(&operator, &changed, 409)), "/id", "{changed}");
        assert_eq!(pointer_of(&binary(&operator, &changed, 409)), "/ce-id", "{changed}");
        let both = [cloud_event("evt-2", "ana@example.com"), changed.clone()];
        assert_eq!(pointer_of(&batched(&operator, &both, 409)), "/1/id", "{changed}");
    }
    assert_eq!(world.queued(), 1);
}

/// Publishers do not get in each other's way, nor does our own form in the way of theirs.
#[test]
fn each_publisher_has_identities_of_its_own() {
    let world = World::start();
    let first = Acme::with_scope(&world.instance, "events.publish", &[]);
    let second = Acme::with_scope(&world.instance, "events.publish", &[]);
    let operator = world.tenant.operator();
    let cloud = cloud_event("evt-1", "ana@example.com");
    for client in [&first.api, &second.api, &operator] {
        structured(client, &cloud, 202);
        structured(client, &cloud, 202);
    }
    assert_eq!(world.queued(), 3);
    // The native form's identity is the id alone: a CloudEvent that looks like it is another event.
    world.tenant.publish(&[event("evt-1", "bob@example.com")]);
    assert_eq!(world.queued(), 4);
    for source in [
        "urn:heliograph:operator",
        first.client_id.as_str(),
        second.client_id.as_str(),
    ] {
        let mut claimed = with(&cloud, "source", source);
        claimed["data"]["sub_id"]["email"] = json!("cyd@example.com");
        structured(&operator, &claimed, 202);
    }
    assert_eq!(world.queued(), 7);
    // Nobody takes another's id by naming it as the source.
    let mut forged = with(&cloud, "source", second.client_id.as_str());
    forged["id"] = json!("evt-9");
    forged["data"]["sub_id"]["email"] = json!("eve@example.com");
    structured(&first.api, &forged, 202);
    let native = json!({"events": [event("evt-9", "dan@example.com")]});
    second.api.post_json("/events", &native, 202);
    assert_eq!(world.queued(), 9);
    let subjects: Vec<String> = world.waiting().iter().map(|set| set.email().to_owned()).collect();
    assert!(subjects.contains(&"dan@example.com".to_owned()), "{subjects:?}");
}

/// Many at once, all the same: stored once.
#[test]
fn the_same_event_many_times_at_once_is_stored_once() {
    let world = World::start();
    let operator = world.tenant.operator();
    let event = cloud_event("evt-1", "ana@example.com");
    std::thread::scope(|scope| {
        for number in 0..9 {
            let (operator, event) = (&operator, &event);
            scope.spawn(move || match number % 3 {
                0 => structured(operator, event, 202),
                1 => binary(operator, event, 202),
                _ => batched(operator, std::slice::from_ref(event), 202),
            });
        }
    });
    assert_eq!(world.queued(), 1);
    let _: Value = world.stream.health();
}
