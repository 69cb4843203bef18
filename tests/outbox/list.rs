//! `/admin/streams` as the operator watches many streams at once, and the numbers in the health of one.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Options, Reply, eventually};
use crate::manage::{Stream, Tenant};
use crate::support::{POLL, PUSH, assert_problem};

use super::{Outbox, events, now_ms, patient, soon};

const MEMBERS: [&str; 15] = [
    "stream_id",
    "client_id",
    "method",
    "created_at",
    "status",
    "reason",
    "hold",
    "outbox_full",
    "queued_events",
    "queued_bytes",
    "oldest_at",
    "events_per_minute",
    "last_success_at",
    "last_error",
    "dead_letters",
];

#[track_caller]
fn page(tenant: &Tenant, query: &str) -> Value {
    tenant
        .operator()
        .get(&format!("{}{query}", tenant.path("/admin/streams")), 200)
}

#[track_caller]
fn ids_of(page: &Value) -> Vec<String> {
    let streams = page["streams"].as_array().expect("an array");
    let id = |stream: &Value| stream["stream_id"].as_str().expect("an id").to_owned();
    streams.iter().map(id).collect()
}

/// The row of one stream.
#[track_caller]
fn row(outbox: &Outbox, stream: &Stream) -> Value {
    let page = page(&outbox.tenant, "");
    let streams = page["streams"].as_array().expect("an array");
    let found = streams.iter().find(|row| row["stream_id"] == *stream.id);
    found
        .unwrap_or_else(|| panic!("{} is not in {page}", stream.id))
        .clone()
}

#[track_caller]
fn number(health: &Value, member: &str) -> u64 {
    health[member]
        .as_u64()
        .unwrap_or_else(|| panic!("no {member} in {health}"))
}

#[test]
fn streams_are_listed_page_by_page_in_the_order_of_their_ids() {
    let outbox = Outbox::polled(Options::default());
    let tenant = Tenant::create(&outbox.instance, &json!({"streams_per_client": 10}));
    let empty = page(&tenant, "");
    assert_eq!((&empty["streams"], &empty["cursor"]), (&json!([]), &json!("")));
    let receiver = tenant.receiver(&[]);
    let mut streams: Vec<Stream> = (0..5).map(|_| receiver.poll_stream()).collect();
    streams.sort_by(|one, other| one.id.cmp(&other.id));
    let mut expected: Vec<String> = streams.iter().map(|stream| stream.id.clone()).collect();
    let whole = page(&tenant, "");
    assert_eq!(
        (ids_of(&whole), &whole["cursor"]),
        (expected.clone(), &json!(expected[4]))
    );
    assert_eq!(page(&tenant, "?limit=100&after=")["streams"], whole["streams"]);

    let walk = |expected: &[String]| {
        let (mut after, mut walked, mut sizes) = (String::new(), Vec::new(), Vec::new());
        loop {
            let page = page(&tenant, &format!("?limit=2&after={after}"));
            let found = ids_of(&page);
            let cursor = page["cursor"].as_str().expect("a cursor").to_owned();
            if found.is_empty() {
                assert_eq!(cursor, "");
                break;
            }
            assert_eq!(Some(&cursor), found.last());
            sizes.push(found.len());
            walked.extend(found);
            after = cursor;
        }
        assert_eq!(walked, expected);
        sizes
    };
    assert_eq!(walk(&expected), [2, 2, 1]);
    // A cursor is good when its stream is gone.
    streams[1].delete();
    let gone = expected.remove(1);
    assert_eq!(ids_of(&page(&tenant, &format!("?after={gone}"))), expected[1..]);
    assert_eq!(walk(&expected), [2, 2]);
    let beyond = page(&tenant, "?after=g");
    assert_eq!((&beyond["streams"], &beyond["cursor"]), (&json!([]), &json!("")));
    assert_eq!(
        ids_of(&page(&outbox.tenant, "")),
        [outbox.stream.id.as_str()],
        "no other tenant's"
    );
}

#[test]
fn a_page_is_asked_for_in_bounds() {
    let outbox = Outbox::polled(Options::default());
    for limit in ["0", "101", "-1", "x", "1.5", "99999999999999999999"] {
        let path = format!("/admin/streams?limit={limit}");
        let answer = outbox.tenant.operator().send("GET", &path, &[], b"", 400);
        assert_problem(&answer, 400);
    }
    for limit in [1, 100] {
        assert_eq!(ids_of(&page(&outbox.tenant, &format!("?limit={limit}"))).len(), 1);
    }
}

#[test]
fn a_row_says_what_the_health_of_its_stream_says() {
    let outbox = Outbox::pushed(patient().set("OUTBOX_EVENTS", 5));
    let polled = outbox.receiver.poll_stream();
    let agree = |stream: &Stream, method: &str| {
        let (row, health) = (row(&outbox, stream), stream.health());
        let members: BTreeSet<&str> = row.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(members, MEMBERS.into_iter().collect());
        assert_eq!(row["method"], json!(method));
        for member in MEMBERS.iter().filter(|member| **member != "method") {
            assert_eq!(row[*member], health[*member], "{member}");
        }
        row
    };
    let new = agree(&outbox.stream, PUSH);
    assert_eq!(
        (
            &new["status"],
            &new["queued_events"],
            &new["last_success_at"],
            &new["outbox_full"]
        ),
        (&json!("enabled"), &json!(0), &Value::Null, &json!(false))
    );
    // Delivered, dead, waiting, held.
    outbox.accept(&["a1"]);
    outbox.wait_until_idle();
    let busy = agree(&outbox.stream, PUSH);
    assert_eq!((&busy["events_per_minute"], &busy["reason"]), (&json!(1), &Value::Null));
    assert!(busy["last_success_at"].is_u64());
    outbox.bury(&["a2"]);
    let wait = Reply::status(503).header("retry-after", "3600");
    outbox.endpoint.otherwise(wait);
    outbox.accept(&["a3", "b3"]);
    outbox.wait_for_hold("retry_after");
    let held = agree(&outbox.stream, PUSH);
    assert_eq!(
        (
            &held["status"],
            &held["queued_events"],
            &held["dead_letters"],
            &held["hold"]["reason"]
        ),
        (&json!("paused"), &json!(2), &json!(1), &json!("retry_after"))
    );
    assert!(
        held["last_error"]["detail"].is_string() && held["oldest_at"].is_u64(),
        "{held}"
    );

    // The polled one has four by now, has room for one, and then is full.
    assert_eq!(agree(&polled, POLL)["queued_events"], json!(4));
    outbox.accept(&["c1"]);
    outbox.publish(&["d1"]);
    let full = agree(&polled, POLL);
    assert_eq!(
        (&full["outbox_full"], &full["hold"]["reason"], &full["queued_events"]),
        (&json!(true), &json!("outbox_full"), &json!(5))
    );
    polled.set_status_because("disabled", Some("for good"));
    let disabled = agree(&polled, POLL);
    assert_eq!(
        (&disabled["status"], &disabled["reason"], &disabled["queued_events"]),
        (&json!("disabled"), &json!("for good"), &json!(0))
    );
}

#[test]
fn the_usage_of_the_tenant_grows_with_what_is_asked_of_it() {
    let outbox = Outbox::polled(Options::default());
    let usage = || page(&outbox.tenant, "")["usage"].clone();
    let first = usage();
    outbox.accept(&["a1"]);
    outbox.receiver.poll_stream();
    let second = usage();
    for (member, grows) in [
        ("requests", true),
        ("rows_written", true),
        ("rows_read", true),
        ("alarms", false),
    ] {
        let (before, after) = (number(&first, member), number(&second, member));
        assert!(
            if grows { after > before } else { after >= before },
            "{member}: {before} {after}"
        );
    }
}

#[test]
fn pushes_and_deliveries_are_counted() {
    let mut outbox = Outbox::pushed(soon());
    let before = outbox.stream.health();
    for member in ["attempts", "delivered", "events_per_minute", "subrequests"] {
        assert!(before[member].is_u64(), "{member} of {before}");
    }
    assert_eq!((number(&before, "attempts"), number(&before, "delivered")), (0, 0));
    outbox.endpoint.then(Reply::status(500)).then(Reply::Reset);
    outbox.accept(&["a1", "b1", "c1"]);
    outbox.wait_until_idle();
    outbox.bury(&["d1"]);
    let after = outbox.stream.health();
    assert_eq!(
        ["attempts", "delivered", "events_per_minute"].map(|member| number(&after, member)),
        [6, 3, 3],
        "the dead are not delivered"
    );
    assert!(
        number(&after, "subrequests") >= number(&before, "subrequests") + 6,
        "{after}"
    );
    for member in ["requests", "alarms", "alarms_set", "rows_written"] {
        assert!(
            number(&after, member) > number(&before, member),
            "{member}: {before}\n{after}"
        );
    }
    // They count since the object woke.
    outbox.instance.restart();
    let anew = outbox.stream.health();
    assert_eq!(
        ["attempts", "delivered", "events_per_minute"].map(|member| number(&anew, member)),
        [0, 0, 0]
    );
}

#[test]
fn what_is_polled_counts_as_delivered_when_it_is_acknowledged() {
    let outbox = Outbox::polled(Options::default());
    outbox.accept(&["a1", "b1", "c1"]);
    let handed_out = outbox.stream.hand_out(3);
    let counted = || {
        let health = outbox.stream.health();
        ["attempts", "delivered", "events_per_minute"].map(|member| number(&health, member))
    };
    assert_eq!(counted(), [0, 0, 0]);
    outbox.stream.ack(&handed_out[..2]);
    outbox.stream.ack(&handed_out[..2]);
    assert_eq!(counted(), [0, 2, 2], "once each");
    outbox.report(&super::refused_by_poll());
    assert_eq!(counted(), [0, 2, 2]);
}

#[test]
fn the_age_of_the_oldest_event_is_told() {
    let outbox = Outbox::polled(Options::default());
    assert_eq!(outbox.stream.health()["oldest_age_s"], Value::Null);
    outbox.accept(&["a1"]);
    let health = eventually("it is a second old", || {
        Some(outbox.stream.health()).filter(|health| number(health, "oldest_age_s") >= 1)
    });
    let age = now_ms() - number(&health, "oldest_at");
    assert!(number(&health, "oldest_age_s") <= age / 1000, "{age} {health}");
    outbox.stream.drain();
    assert_eq!(outbox.stream.health()["oldest_age_s"], Value::Null);
}

#[test]
fn a_stream_that_was_deleted_is_not_listed() {
    let outbox = Outbox::polled(Options::default());
    let second = outbox.receiver.poll_stream();
    outbox.stream.delete();
    assert_eq!(ids_of(&page(&outbox.tenant, "")), [second.id.as_str()]);
    let body = json!({"events": events(&["a1"])});
    outbox.tenant.operator().post_json("/events", &body, 202);
    assert_eq!(row(&outbox, &second)["queued_events"], json!(1));
}
