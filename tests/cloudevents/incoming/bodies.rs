//! Bodies: what formats are known, how large they may be, and what is no JSON of ours.

use serde_json::json;

use crate::support::{assert_problem, pointer_of};

use super::super::{BATCHED, STRUCTURED, cloud_event, structured, with};
use super::{World, assert_accepted, data, required};

/// WH-2.2-11, CE-3-4
#[test]
fn a_format_that_is_not_known_is_answered_415() {
    let world = World::start();
    let body = cloud_event("evt-1", "ana@example.com").to_string();
    for content_type in [
        "application/cloudevents+avro",
        "application/cloudevents+protobuf",
        "application/cloudevents+xml",
        "application/cloudevents+x",
        "application/cloudevents",
        "application/cloudevents-batch",
        "application/cloudevents-batch+avro",
        "application/cloudevents-batch+x",
        "application/cloudevents+json; charset=iso-8859-1",
        "application/cloudevents+json; charset=utf-16",
        "application/cloudevents-batch+json; charset=us-ascii-not",
        "application/cloudeventsx+json",
        "text/plain",
        "application/xml",
    ] {
        let answer = world.publish(&[("content-type", content_type)], &body, 415);
        assert_problem(&answer, 415);
    }
    // In binary mode the type is that of the data.
    for content_type in [
        "text/plain",
        "application/xml",
        "application/octet-stream",
        "application/json; charset=utf-16",
    ] {
        let headers = super::but(&required("x"), "content-type", content_type);
        assert_problem(&world.publish(&headers, &data().to_string(), 415), 415);
    }
    assert_eq!(world.queued(), 0);
}

/// CE-1-8, design 6: as large as any publish, no larger.
#[test]
fn a_body_over_the_limit_is_refused() {
    let world = World::start();
    let padded = |size: usize| {
        let mut event = cloud_event("evt-large", "ana@example.com");
        event["padding"] = json!("");
        let rest = size - event.to_string().len();
        event["padding"] = json!("x".repeat(rest));
        event.to_string()
    };
    // CE-1-8: 64 KiB at least.
    for size in [64 * 1024, 256 * 1024] {
        assert_accepted(
            &world.publish(&[("content-type", STRUCTURED)], &padded(size), 202),
            1,
            1,
        );
    }
    let large = padded(1024 * 1024 + 1);
    for headers in [
        vec![("content-type", STRUCTURED)],
        vec![("content-type", BATCHED)],
        required("x"),
    ] {
        assert_problem(&world.publish(&headers, &large, 413), 413);
    }
    assert_eq!(world.queued(), 1);
}

#[test]
fn what_is_no_json_is_refused() {
    let world = World::start();
    let good = cloud_event("evt-1", "ana@example.com").to_string();
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let bodies = [
        String::new(),
        " ".to_owned(),
        "{".to_owned(),
        good[..good.len() - 1].to_owned(),
        format!("{good}x"),
        format!("{good}{good}"),
        good.replace("\"specversion\"", "specversion"),
        // CE-4-10: one document, two readings.
        good.replace("\"id\":", "\"id\":\"other\",\"id\":"),
        good.replace("\"sub_id\":", "\"sub_id\":{},\"sub_id\":"),
        format!("\u{feff}{good}"),
    ];
    for body in &bodies {
        for (content_type, body) in [(STRUCTURED, body.clone()), (BATCHED, format!("[{body}"))] {
            assert_problem(&world.publish(&[("content-type", content_type)], &body, 400), 400);
        }
        assert_problem(&world.publish(&required("x"), body, 400), 400);
    }
    // SS-30
    let mut event = cloud_event("evt-1", "ana@example.com").to_string();
    event.truncate(event.len() - 1);
    let event = format!("{event},\"deep\":{deep}}}");
    assert_problem(&world.publish(&[("content-type", STRUCTURED)], &event, 400), 400);
    let operator = world.tenant.operator();
    let mut invalid = good.into_bytes();
    let at = invalid
        .windows(4)
        .position(|window| window == b"ana@")
        .expect("an address");
    invalid[at] = 0xff;
    assert_problem(
        &operator.send("POST", "/events", &[("content-type", STRUCTURED)], &invalid, 400),
        400,
    );
    assert_eq!(world.queued(), 0);
}

/// WH-2.1-4: an event without data says nothing about anybody.
#[test]
fn a_body_that_is_missing_is_refused() {
    let world = World::start();
    for headers in [
        vec![("content-type", STRUCTURED)],
        vec![("content-type", BATCHED)],
        required("x"),
    ] {
        assert_problem(&world.publish(&headers, "", 400), 400);
    }
    assert_eq!(world.queued(), 0);
}

/// CE-4-4, CE-4-5, CE-4-6
#[test]
fn data_that_is_not_what_it_says_is_refused() {
    let world = World::start();
    let operator = world.tenant.operator();
    let good = cloud_event("evt-1", "ana@example.com");
    let base64 = |value: &str| {
        let event = super::super::without(&good, "data");
        with(&event, "data_base64", value)
    };
    for (event, pointer) in [
        (with(&good, "data_base64", "e30="), "/data_base64"),
        (base64("no base64!"), "/data_base64"),
        (base64("e30"), "/data_base64"),
        (base64("eyJ4Ig=="), "/data_base64"),
        (base64("/w=="), "/data_base64"),
        (with(&base64("e30="), "data_base64", 5), "/data_base64"),
        (super::super::without(&good, "data"), "/data"),
        (with(&good, "data", json!(null)), "/data"),
        (with(&good, "data", data().to_string()), "/data"),
        (with(&good, "data", json!([])), "/data"),
        (with(&good, "datacontenttype", "text/plain"), "/datacontenttype"),
        (with(&good, "datacontenttype", "application/xml"), "/datacontenttype"),
        (with(&good, "datacontenttype", 5), "/datacontenttype"),
    ] {
        assert_eq!(pointer_of(&structured(&operator, &event, 400)), pointer, "{event}");
    }
    assert_eq!(world.queued(), 0);
}
