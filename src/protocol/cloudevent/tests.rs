mod faults;
mod writing;

use super::*;
use crate::protocol::json::parse_strict;
use crate::protocol::mutate;
use serde_json::json;

const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn good() -> Value {
    json!({
        "specversion": "1.0", "id": "evt-1", "source": "/idp/eu", "type": REVOKED, "time": "2026-01-02T04:04:05.5+01:00",
        "data": {"sub_id": {"format": "opaque", "id": "1"}, "event": {"initiating_entity": "admin"}, "txn": "tx-1"},
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut event = good();
    event[name] = value;
    event
}

fn without(name: &str) -> Value {
    let mut event = good();
    event.as_object_mut().unwrap().remove(name);
    event
}

fn with_data(data: Value) -> Value {
    with("data", data)
}

fn headers(changes: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut headers = vec![
        ("content-type", "application/json"),
        ("host", "signals.quarry.io"),
        ("ce-specversion", "1.0"),
        ("ce-id", "evt-1"),
        ("ce-source", "/idp/eu"),
        ("ce-type", REVOKED),
        ("ce-time", "2026-01-02T04:04:05.5+01:00"),
    ];
    for (name, value) in changes {
        match headers.iter_mut().find(|(given, _)| given == name) {
            Some((_, place)) => *place = value,
            None => headers.push((name, value)),
        }
    }
    headers.retain(|(_, value)| *value != "-");
    headers
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Both steps, as a request goes through them.
fn read(event: Value) -> Result<(String, NewEvent), Invalid> {
    CloudEvent::from_structured(event)?.into_event()
}

fn pointer(event: Value) -> String {
    read(event).expect_err("is refused").pointer
}

#[test]
fn the_content_type_tells_the_mode() {
    use ContentMode::{Batched, Binary, Structured};
    for (content_type, has_header, expected) in [
        // CE-3-3, T-T-07
        (Some("application/cloudevents+json"), false, Ok(Some(Structured))),
        (Some("application/cloudevents+json"), true, Ok(Some(Structured))),
        (Some("application/cloudevents-batch+json"), false, Ok(Some(Batched))),
        (Some("application/cloudevents-batch+json"), true, Ok(Some(Batched))),
        (Some("Application/CloudEvents+JSON"), false, Ok(Some(Structured))),
        (
            Some("application/CLOUDEVENTS-BATCH+json ; x=y"),
            false,
            Ok(Some(Batched)),
        ),
        (Some("application/json"), true, Ok(Some(Binary))),
        (Some("application/vnd.quarry+json"), true, Ok(Some(Binary))),
        (Some("text/json"), true, Ok(Some(Binary))),
        (None, true, Ok(Some(Binary))),
        (Some("application/json"), false, Ok(None)),
        (Some("application/json; charset=utf-16"), false, Ok(None)),
        (Some("text/plain"), false, Ok(None)),
        (Some(""), false, Ok(None)),
        (None, false, Ok(None)),
        // CE-4-1
        (
            Some("application/cloudevents+json; charset=utf-8"),
            false,
            Ok(Some(Structured)),
        ),
        (
            Some("application/cloudevents+json;Charset=\"UTF-8\""),
            false,
            Ok(Some(Structured)),
        ),
        (
            Some("application/cloudevents-batch+json;charset= Utf-8"),
            false,
            Ok(Some(Batched)),
        ),
        (Some("application/json;charset=utf-8"), true, Ok(Some(Binary))),
        (
            Some("application/cloudevents+json; charset=utf-16"),
            false,
            Err(UnsupportedFormat),
        ),
        (
            Some("application/cloudevents+json; charset"),
            false,
            Err(UnsupportedFormat),
        ),
        (
            Some("application/cloudevents+json; charset=utf-8; charset=latin1"),
            false,
            Err(UnsupportedFormat),
        ),
        (
            Some("application/json; charset=iso-8859-1"),
            true,
            Err(UnsupportedFormat),
        ),
        // CE-3-4
        (Some("application/cloudevents+avro"), false, Err(UnsupportedFormat)),
        (Some("application/cloudevents-batch+xml"), false, Err(UnsupportedFormat)),
        (Some("application/cloudevents-batch"), false, Err(UnsupportedFormat)),
        (Some("application/cloudevents"), true, Err(UnsupportedFormat)),
        (Some("application/cloudeventsx"), false, Err(UnsupportedFormat)),
        (Some("application/cloudevents+json+gzip"), false, Err(UnsupportedFormat)),
        // CE-3.1-5
        (Some("text/plain"), true, Err(UnsupportedFormat)),
        (Some("application/xml"), true, Err(UnsupportedFormat)),
        (Some("json"), true, Err(UnsupportedFormat)),
        (Some(""), true, Err(UnsupportedFormat)),
    ] {
        assert_eq!(
            is_cloudevent(content_type, has_header),
            expected,
            "{content_type:?} {has_header}"
        );
    }
}

#[test]
fn modes_are_written_as_settings_have_them() {
    for (mode, text) in [
        (ContentMode::Structured, "structured"),
        (ContentMode::Binary, "binary"),
        (ContentMode::Batched, "batched"),
    ] {
        assert_eq!(json!(mode), json!(text));
        assert_eq!(ContentMode::from_json(json!(text)), Ok(mode));
    }
}

fn expected() -> NewEvent {
    NewEvent {
        id: Some("evt-1".into()),
        event_type: REVOKED.into(),
        sub_id: json!({"format": "opaque", "id": "1"}),
        event: json!({"initiating_entity": "admin"}),
        txn: Some("tx-1".into()),
        toe: Some(1_767_323_045),
        traceparent: None,
        tracestate: None,
    }
}

/// T-T-07
#[test]
fn all_modes_hold_the_same_event() {
    let same = Ok(("/idp/eu".to_owned(), expected()));
    assert_eq!(read(good()), same);
    let data = good()["data"].take();
    let binary = CloudEvent::from_binary(&headers(&[]), Some(data));
    assert_eq!(binary.and_then(CloudEvent::into_event), same);
    let batch = CloudEvent::batch(json!([good(), good()])).unwrap();
    assert_eq!(batch.len(), 2);
    for event in batch {
        assert_eq!(event.into_event(), same);
    }
}

#[test]
fn what_is_not_given_is_not_there() {
    let mut event = with_data(json!({"sub_id": {"format": "opaque", "id": "1"}}));
    event.as_object_mut().unwrap().remove("time");
    let bare = NewEvent {
        event: json!({}),
        txn: None,
        toe: None,
        ..expected()
    };
    assert_eq!(read(event), Ok(("/idp/eu".to_owned(), bare)));
}

#[test]
fn a_trace_is_passed_on_and_other_extensions_are_not() {
    // CE-1-12
    let mut event = with("traceparent", json!(TRACEPARENT));
    event["tracestate"] = json!("rojo=00f067aa0ba902b7, congo=t61rcWkgMzE");
    for (name, value) in [
        ("sequence", json!("7")),
        ("partitionkey", json!("")),
        ("sampledrate", json!(-5)),
        ("most", json!(i32::MAX)),
        ("flag", json!(true)),
        ("absent", json!(null)),
        ("1st", json!("digits may come first")),
        ("averylongnamethatisonlynotrecommended", json!("é 😀")),
        ("expirytime", json!("not even a time")),
    ] {
        event[name] = value;
    }
    let traced = NewEvent {
        traceparent: Some(TRACEPARENT.into()),
        tracestate: Some("rojo=00f067aa0ba902b7, congo=t61rcWkgMzE".into()),
        ..expected()
    };
    assert_eq!(read(event), Ok(("/idp/eu".to_owned(), traced)));
}

/// CE-3.3-1, CE-3.3-2
#[test]
fn a_batch_is_refused_at_its_first_bad_event() {
    use Problem::{Missing, NotA, NotOneOf, TooMany};
    assert_eq!(CloudEvent::batch(json!([])), Ok(vec![]));
    assert_eq!(
        CloudEvent::batch(json!(vec![good(); 1000])).map(|events| events.len()),
        Ok(1000)
    );
    for (batch, pointer, problem) in [
        (good(), "", NotA("an array")),
        (json!(vec![good(); 1001]), "", TooMany(1000)),
        (json!([good(), 7]), "/1", NotA("an object")),
        (
            json!([good(), good(), without("id"), without("type")]),
            "/2/id",
            Missing,
        ),
        (
            json!([good(), with("specversion", json!("1.1"))]),
            "/1/specversion",
            NotOneOf(&["1.0"]),
        ),
    ] {
        let problem = Err(Invalid {
            pointer: pointer.into(),
            problem,
        });
        assert_eq!(CloudEvent::batch(batch), problem, "{pointer}");
    }
}

/// CE-3.1-1 to CE-3.1-5
#[test]
fn faults_in_binary_mode_are_named_by_header() {
    let data = || Some(good()["data"].take());
    let long = "a".repeat(257);
    for (changes, body, expected) in [
        (&[("ce-id", "-")][..], data(), "/ce-id"),
        (&[("ce-source", "-")], data(), "/ce-source"),
        (&[("ce-type", "-")], data(), "/ce-type"),
        (&[("ce-specversion", "-")], data(), "/ce-specversion"),
        (&[("ce-specversion", "2.0")], data(), "/ce-specversion"),
        (&[("ce-id", "")], data(), "/ce-id"),
        (&[("ce-id", &long)], data(), "/ce-id"),
        (&[("ce-id", "%C0%A0")], data(), "/ce-id"),
        (&[("ce-id", "100%")], data(), "/ce-id"),
        (&[("ce-id", "a%00")], data(), "/ce-id"), // CE-1-6
        (&[("ce-type", "com.quarry.lost")], data(), "/ce-type"),
        (&[("ce-time", "1960-01-01T00:00:00Z")], data(), "/ce-time"),
        (&[("ce-time", "now")], data(), "/ce-time"),
        (&[("ce-traceparent", "x")], data(), "/ce-traceparent"),
        (
            &[("ce-datacontenttype", "application/json")],
            data(),
            "/ce-datacontenttype",
        ),
        (&[("ce-data", "x")], data(), "/ce-data"),
        (&[("ce-data_base64", "e30=")], data(), "/ce-data_base64"),
        (&[("ce-my-extension", "x")], data(), "/ce-my-extension"),
        (&[("ce-", "x")], data(), "/ce-"),
        (&[("content-type", "text/plain")], data(), "/content-type"),
        (&[], None, "/data"),
        (&[], Some(json!({})), "/data/sub_id"),
        (&[], Some(json!([])), "/data"),
    ] {
        let event = CloudEvent::from_binary(&headers(changes), body);
        let found = event.and_then(CloudEvent::into_event).expect_err("is refused");
        assert_eq!(found.pointer, expected, "{changes:?}");
    }
    let mut twice = headers(&[]);
    twice.push(("ce-id".into(), "evt-1".into()));
    assert_eq!(
        CloudEvent::from_binary(&twice, data()),
        Err(Invalid::at("ce-id", Problem::Duplicate))
    );
}

#[test]
fn header_values_are_decoded_and_a_media_type_is_not_needed() {
    let changes = [
        ("content-type", "-"),
        ("ce-id", "Euro%20%e2%82%ac%20%F0%9F%98%80"),
        ("ce-source", "\"/idp/\\eu\""),
        ("ce-tracestate", "a=1,b=2"),
        ("ce-subject", "two words"),
        ("traceparent", "of the request, not of the event"),
    ];
    let event = CloudEvent::from_binary(&headers(&changes), None).unwrap();
    assert_eq!((event.id.as_str(), event.source.as_str()), ("Euro € 😀", "/idp/eu"));
    assert_eq!(
        (event.traceparent, event.tracestate.as_deref()),
        (None, Some("a=1,b=2"))
    );
}

#[test]
fn a_traceparent_has_its_shape() {
    for (text, expected) in [
        (TRACEPARENT, true),
        ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
        (
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more-of-it",
            true,
        ),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", false),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-", false),
        ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more", false),
        ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-é", false),
        ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false),
        ("00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01", false),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", false),
        ("", false),
    ] {
        assert_eq!(attribute::is_traceparent(text), expected, "{text}");
    }
}

/// Whatever arrives, reading ends, and what is taken keeps the rules.
#[test]
fn no_document_is_read_otherwise_than_the_rules_have_it() {
    let mut traced = with("traceparent", json!(TRACEPARENT));
    traced["datacontenttype"] = json!("application/json");
    let seeds = [good().to_string(), traced.to_string()];
    let seeds = seeds.each_ref().map(String::as_str);
    let mut taken = 0;
    for bytes in mutate::variants(&seeds, 20_000) {
        let Ok(value) = parse_strict(&bytes, 32) else { continue };
        let Ok((source, event)) = read(value) else { continue };
        taken += 1;
        assert!(!source.is_empty() && source.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(
            event
                .id
                .is_some_and(|id| !id.is_empty() && !id.contains(char::is_control))
        );
        assert!(event.toe.is_none_or(|toe| toe >= 0));
        assert!(event.traceparent.is_none_or(|text| text.is_ascii()));
    }
    assert!(taken > 100, "the seeds are no longer near the rules: {taken}");
}
