//! Good events in each mode, and what becomes of their attributes.

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use crate::support::{ACME_AUDIENCE, Acme, SESSION_REVOKED, Set, event};

use super::super::{BATCHED, STRUCTURED, batched, binary, cloud_event, structured, with, without};
use super::{World, assert_accepted, data, required};

/// The claims that the publisher has a hand in.
fn essence(set: &Set) -> Value {
    let claim = |name: &str| set.claims.get(name).cloned().unwrap_or_default();
    json!({"sub_id": claim("sub_id"), "events": claim("events"), "txn": claim("txn"), "toe": claim("toe"), "aud": claim("aud")})
}

/// CE-3-1, CE-3-3: one event, four ways to say it, one kind of SET.
#[test]
fn each_mode_and_our_own_form_make_the_same_set() {
    let world = World::start();
    let operator = world.tenant.operator();
    let named = |id: &str| with(&cloud_event(id, "ana@example.com"), "data", data());
    assert_accepted(&structured(&operator, &named("1"), 202), 1, 1);
    assert_accepted(&binary(&operator, &named("2"), 202), 1, 1);
    assert_accepted(&batched(&operator, &[named("3")], 202), 1, 1);
    world
        .tenant
        .publish(&[with(&event("4", "ana@example.com"), "txn", "txn-x")]);
    let sets = world.waiting();
    assert_eq!(sets.len(), 4);
    for set in &sets {
        assert_eq!(essence(set), essence(&sets[0]));
    }
    assert_eq!(sets[0].claims["toe"], json!(1_795_263_000));
    assert_eq!(sets[0].claims["events"], json!({SESSION_REVOKED: data()["event"]}));
    assert_eq!(sets[0].text("aud"), ACME_AUDIENCE);
    assert_eq!(
        sets[0].claims["iss"],
        json!(world.tenant.issuer()),
        "not the event's own source"
    );
}

/// CE-1-7, CE-3-3, CE-4-1: media types in any case, with or without a charset that we know.
#[test]
fn media_types_are_read_as_such() {
    let world = World::start();
    let event = |number: usize| cloud_event(&format!("evt-{number}"), "ana@example.com");
    let types = [
        STRUCTURED,
        "Application/CloudEvents+JSON",
        "application/cloudevents+json; charset=utf-8",
        "application/cloudevents+json;charset=UTF-8",
        "application/cloudevents+json; charset=\"Utf-8\"",
        BATCHED,
        "APPLICATION/CLOUDEVENTS-BATCH+JSON",
        "application/cloudevents-batch+json; charset=utf-8",
    ];
    for (number, content_type) in types.iter().enumerate() {
        let body = match content_type.to_lowercase().contains("batch") {
            true => json!([event(number)]),
            false => event(number),
        };
        let answer = world.publish(&[("content-type", content_type)], &body.to_string(), 202);
        assert_accepted(&answer, 1, 1);
    }
    for (number, content_type) in [
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/vnd.example.event+json",
        "text/json",
    ]
    .iter()
    .enumerate()
    {
        let id = format!("binary-{number}");
        let headers = super::but(&required(&id), "content-type", content_type);
        assert_accepted(&world.publish(&headers, &data().to_string(), 202), 1, 1);
    }
    assert_eq!(world.queued(), 13);
}

/// Header names have no case, and JSON may be written as anybody likes.
#[test]
fn spelling_that_does_not_matter_does_not_matter() {
    let world = World::start();
    let headers = [
        ("CE-SpecVersion", "1.0"),
        ("Ce-Id", "evt-1"),
        ("cE-sOURCE", "https://idp.example.com/tenants/9"),
        ("CE-TYPE", SESSION_REVOKED),
        ("Content-Type", "application/json"),
    ];
    world.publish(&headers, &format!(" \r\n{}\n", data()), 202);
    let escaped = cloud_event("evt-2", "ana@example.com").to_string();
    let escaped = escaped
        .replace("\"specversion\"", "\"spec\\u0076ersion\"")
        .replace("ana@", "\\u0061na@");
    world.publish(&[("content-type", STRUCTURED)], &format!("\n\t{escaped}\n"), 202);
    let sets = world.waiting();
    assert_eq!(sets.len(), 2);
    assert!(sets.iter().all(|set| set.email() == "ana@example.com"));
}

/// `time` becomes `toe`, in whole seconds.
#[test]
fn the_time_of_an_event_is_kept_in_seconds() {
    let world = World::start();
    let operator = world.tenant.operator();
    let times = [
        ("2026-11-21T12:10:00Z", 1_795_263_000),
        ("2026-11-21T12:10:00.000Z", 1_795_263_000),
        ("2026-11-21T12:10:00.999999999Z", 1_795_263_000),
        ("2026-11-21T13:10:00+01:00", 1_795_263_000),
        ("2026-11-21T07:40:00-04:30", 1_795_263_000),
        ("2026-11-21t12:10:00z", 1_795_263_000),
        ("2024-02-29T23:59:59Z", 1_709_251_199),
        ("2026-11-21T12:10:00-00:00", 1_795_263_000),
    ];
    for (number, (time, _)) in times.iter().enumerate() {
        let event = cloud_event(&format!("evt-{number}"), "ana@example.com");
        structured(&operator, &with(&event, "time", *time), 202);
    }
    structured(
        &operator,
        &without(&cloud_event("evt-none", "ana@example.com"), "time"),
        202,
    );
    let toes: Vec<Value> = world.drain().iter().map(|set| set.claims["toe"].clone()).collect();
    let mut expected: Vec<Value> = times.iter().map(|(_, toe)| json!(toe)).collect();
    expected.push(Value::Null);
    assert_eq!(toes, expected);
}

/// CE-4-3
#[test]
fn an_attribute_that_is_null_is_not_there() {
    let world = World::start();
    let operator = world.tenant.operator();
    let mut event = cloud_event("evt-1", "ana@example.com");
    for name in [
        "subject",
        "dataschema",
        "datacontenttype",
        "time",
        "traceparent",
        "tracestate",
        "myextension",
        "data_base64",
    ] {
        event[name] = Value::Null;
    }
    assert_accepted(&structured(&operator, &event, 202), 1, 1);
    assert_accepted(&batched(&operator, &[with(&event, "id", "evt-2")], 202), 1, 1);
    for set in world.waiting() {
        assert_eq!(set.claims.get("toe"), None);
    }
}

/// Attributes that we do not act on, ours to ignore (CE-1-3); in data only what we know.
#[test]
fn attributes_that_nobody_here_knows_are_ignored() {
    let world = World::start();
    let operator = world.tenant.operator();
    let mut event = cloud_event("evt-1", "ana@example.com");
    for (name, value) in [
        ("subject", json!("somebody")),
        ("dataschema", json!("https://idp.example.com/schema.json")),
        ("sequence", json!("00000000000000000001")),
        ("partitionkey", json!("p-1")),
        ("priority", json!(3)),
        ("urgent", json!(true)),
        ("dataref", json!("https://attacker.example.net/")),
        ("expirytime", json!("2100-01-01T00:00:00Z")),
    ] {
        event[name] = value;
    }
    assert_accepted(&structured(&operator, &event, 202), 1, 1);
    let mut headers = required("evt-2");
    headers.extend([
        ("ce-subject", "somebody"),
        ("ce-partitionkey", "p-1"),
        ("ce-priority", "3"),
    ]);
    // Not attributes at all.
    headers.extend([
        ("x-forwarded-for", "10.0.0.1"),
        ("cexid", "x"),
        ("traceparent", "no trace of the event"),
    ]);
    world.publish(&headers, &data().to_string(), 202);
    for set in world.waiting() {
        assert_eq!(set.claims["sub_id"], data()["sub_id"]);
        assert_eq!(
            set.claims["txn"],
            data()["txn"].as_str().map_or(Value::Null, |_| json!(set.text("txn")))
        );
    }
}

/// CE-3.2-2: in structured mode the body is the event, whatever headers say.
#[test]
fn headers_beside_a_structured_event_do_not_matter() {
    let world = World::start();
    let event = cloud_event("evt-1", "ana@example.com");
    let headers = [
        ("content-type", STRUCTURED),
        ("ce-id", "another"),
        ("ce-source", "https://attacker.example.net/"),
        ("ce-type", "x"),
        ("ce-specversion", "0.3"),
    ];
    assert_accepted(&world.publish(&headers, &event.to_string(), 202), 1, 1);
    // It is the event of its body: the same again is no other.
    structured(&world.tenant.operator(), &event, 202);
    assert_eq!(world.waiting().len(), 1);
}

/// CE-3-3: `application/json` without `ce-specversion` is our own form, as ever.
#[test]
fn our_own_form_stays_as_it_is() {
    let world = World::start();
    let body = json!({"events": [event("evt-1", "ana@example.com")]}).to_string();
    for headers in [
        vec![("content-type", "application/json")],
        vec![("content-type", "application/json"), ("ce-id", "x")],
        vec![
            ("content-type", "application/json"),
            ("ce-source", "x"),
            ("ce-type", "x"),
        ],
    ] {
        assert_accepted(&world.publish(&headers, &body, 202), 1, 1);
    }
    // With it, the same body is the data of an event, and no good one.
    world.publish(&required("evt-2"), &body, 400);
    assert_eq!(world.waiting().len(), 1);
}

/// CE-4-5: data in base64 is data all the same, where it says that it is JSON.
#[test]
fn data_in_base64_is_data() {
    let world = World::start();
    let operator = world.tenant.operator();
    let encoded = Base64::encode_string(data().to_string().as_bytes());
    let event = without(&cloud_event("evt-1", "ana@example.com"), "data");
    let event = with(&event, "data_base64", encoded);
    assert_accepted(&structured(&operator, &event, 202), 1, 1);
    // Said in another way it is the same event.
    structured(
        &operator,
        &with(&cloud_event("evt-1", "ana@example.com"), "data", data()),
        202,
    );
    let sets = world.waiting();
    assert_eq!(sets.len(), 1);
    assert_eq!(sets[0].claims["sub_id"], data()["sub_id"]);
}

/// Who may publish events may publish them in this form, and nobody else.
#[test]
fn publishing_needs_the_right_to_publish() {
    let world = World::start();
    let publisher = Acme::with_scope(&world.instance, "events.publish", &[]);
    let reader = Acme::with_scope(&world.instance, "ssf.read ssf.manage", &[]);
    let event = cloud_event("evt-1", "ana@example.com");
    for (client, status) in [
        (world.instance.anyone(), 401),
        (world.instance.anyone().bearer("wrong"), 401),
        (reader.api, 403),
    ] {
        structured(&client, &event, status);
        binary(&client, &event, status);
        batched(&client, std::slice::from_ref(&event), status);
        batched(&client, &[], status);
        // What is in the body is nothing to strangers.
        super::super::send(&client, "application/cloudevents+avro", &json!("x"), status);
    }
    assert_eq!(world.queued(), 0);
    structured(&publisher.api, &event, 202);
    assert_eq!(world.queued(), 1);
}

/// Each tenant has a place of its own for them.
#[test]
fn a_tenant_takes_cloudevents_at_its_own_place() {
    let world = World::start();
    let acme = crate::support::Tenant::create(&world.instance, "acme", &json!({}));
    let stream = acme.receiver(&world.instance, &json!({})).poll_stream();
    let headers = [("content-type", STRUCTURED)];
    let body = cloud_event("evt-1", "ana@example.com").to_string();
    let operator = world.tenant.operator();
    assert_accepted(
        &operator.send("POST", &acme.path("/events"), &headers, body.as_bytes(), 202),
        1,
        1,
    );
    assert_eq!((stream.poll_now().len(), world.queued()), (1, 0));
}
