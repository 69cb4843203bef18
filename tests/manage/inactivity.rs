//! Receivers that are not heard of any more (SSF-8.1.1-13 to SSF-8.1.1-16): their streams stop, and say so.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Instance, Options, Recorded, ScriptedReceiver, eventually};
use crate::support::{POLL, PUSH, Set};

use super::{
    STREAM_UPDATED, Stream, Tenant, about_ana, brief, briefs, control_event, events_and_truth, pushed_to,
    wait_for_pushes,
};

/// Streams of this tenant stop after so many seconds without a sign of their receiver.
#[track_caller]
fn impatient(instance: &Instance, seconds: u32, action: &str) -> Tenant {
    Tenant::create(
        instance,
        &json!({"inactivity_timeout": seconds, "inactivity_action": action, "min_verification_interval": 0}),
    )
}

/// Waits until a stream has stopped, without a sign of its receiver: the operator looks.
#[track_caller]
fn wait_until_it_stops(stream: &Stream) -> Value {
    eventually("the stream stops", || {
        Some(stream.health()).filter(|health| health["status_set_by"] == "transmitter")
    })
}

/// SSF-8.1.1-13, SSF-8.1.1-15, SSF-8.1.1-16
#[test]
fn a_receiver_that_only_acknowledges_pushes_loses_its_stream_and_is_told() {
    let instance = Instance::start(Options::default());
    for (action, kept) in [("paused", true), ("disabled", false)] {
        let tenant = impatient(&instance, 1, action);
        let endpoint = ScriptedReceiver::start();
        let created = Instant::now();
        let stream = tenant
            .receiver(&[&endpoint.url("/")])
            .push_stream(&endpoint.url("/events"));
        assert_eq!(stream.configuration["inactivity_timeout"], json!(1), "SSF-8.1.1-10");
        let mut published = 0;
        let told = eventually("its receiver is told", || {
            published += 1;
            tenant.publish(&[about_ana(&format!("evt-{published}"))]);
            let is_told = |request: &Recorded| brief(&Set::decode(request.text())).starts_with("now ");
            endpoint.requests().into_iter().find(is_told)
        });
        assert!(created.elapsed() >= Duration::from_millis(999), "not before its time");
        assert!(published > 1, "it was busy all the time");
        let event = control_event(told.text(), &tenant, &stream, STREAM_UPDATED);
        assert_eq!(event["status"], json!(action));
        let why = event["reason"].as_str().expect("a reason");
        assert!(why.contains("inactive"), "{why}");

        let health = stream.health();
        assert_eq!(
            (&health["status"], &health["reason"], &health["status_set_by"]),
            (&json!(action), &json!(why), &json!("transmitter"))
        );
        // Asking does not bring it back; wanting it does.
        assert_eq!(stream.status(), json!({"status": action, "reason": why}));
        assert_eq!(stream.read()["inactivity_timeout"], json!(1));
        let before = pushed_to(&endpoint, "/events").len();
        tenant.publish(&[about_ana("meanwhile")]);
        assert_eq!(stream.status()["status"], json!(action));
        assert_eq!(pushed_to(&endpoint, "/events").len(), before);
        // All the time that is needed from here on.
        tenant.change(&json!({"inactivity_timeout": 3600}));
        assert_eq!(stream.set_status("enabled"), json!({"status": "enabled"}));
        tenant.publish(&[about_ana("after")]);
        let heard = briefs(&eventually("events arrive again", || {
            let heard = pushed_to(&endpoint, "/events");
            (heard.last().map(brief) == Some("after".to_owned())).then_some(heard)
        }));
        assert_eq!(
            heard.iter().any(|brief| brief == "meanwhile"),
            kept,
            "{action}: {heard:?}"
        );
        let announced: Vec<&String> = heard.iter().filter(|brief| brief.starts_with("now ")).collect();
        assert_eq!(
            announced,
            [&format!("now {action}")],
            "what it did itself it is not told"
        );
        // It has to go on showing itself.
        tenant.change(&json!({"inactivity_timeout": 1}));
        wait_until_it_stops(&stream);
    }
}

/// SSF-8.1.1-14, SSF-8.1.1-20
#[test]
fn every_call_about_a_stream_and_every_poll_of_it_keeps_it() {
    type Call = fn(&Stream);
    let calls: [(&str, &str, Call); 11] = [
        ("reads the status", PUSH, |stream| drop(stream.status())),
        ("sets the status", PUSH, |stream| drop(stream.set_status("enabled"))),
        ("reads the configuration", PUSH, |stream| drop(stream.read())),
        ("lists its streams", PUSH, |stream| drop(stream.receiver.list())),
        ("updates", PUSH, |stream| {
            drop(stream.patch(&json!({"description": "alive"})))
        }),
        ("replaces", POLL, |stream| {
            drop(stream.put(&json!({"description": "alive"})))
        }),
        ("verifies", PUSH, |stream| drop(stream.verify(&json!({}), 204))),
        ("adds a subject", PUSH, |stream| subject(stream, "add", 200)),
        ("removes a subject", PUSH, |stream| subject(stream, "remove", 204)),
        ("polls", POLL, |stream| drop(stream.poll_now())),
        ("acknowledges", POLL, |stream| stream.ack(&[])),
    ];
    let instance = Instance::start(Options::default());
    let tenant = impatient(&instance, 2, "paused");
    let endpoint = ScriptedReceiver::start();
    let url = endpoint.url("/events");
    // Each its own, for a list is a sign for all of its receiver's.
    let receivers = calls.map(|_| tenant.receiver(&[&url]));
    let silent = tenant.receiver(&[]);
    let streams: Vec<_> = calls
        .into_iter()
        .zip(&receivers)
        .map(|((what, method, call), receiver)| match method {
            PUSH => (what, call, receiver.push_stream(&url)),
            _ => (what, call, receiver.poll_stream()),
        })
        .collect();
    // One that nobody asks for, the youngest of them, is the clock.
    let silent = silent.poll_stream();
    eventually("the silent one stops", || {
        for (_, call, stream) in &streams {
            call(stream);
        }
        (silent.health()["status"] == "paused").then_some(())
    });
    for (what, _, stream) in &streams {
        assert_eq!(stream.health()["status"], json!("enabled"), "its receiver {what}");
    }
    for (_, _, stream) in &streams {
        wait_until_it_stops(stream);
    }
}

fn subject(stream: &Stream, change: &str, expected: u16) {
    let subject = json!({"format": "email", "email": "ana@example.com"});
    let body = json!({"stream_id": stream.id, "subject": subject});
    let path = stream.receiver.path(&format!("/ssf/subjects/{change}"));
    stream.receiver.api.send_json("POST", &path, &body, expected);
}

/// SSF-8.1.1-14: it polls for as long as its poll is held.
#[test]
fn who_waits_in_a_poll_is_there() {
    let instance = Instance::start(Options::default().set("LONG_POLL_MS", 2000));
    let tenant = impatient(&instance, 1, "paused");
    let stream = tenant.receiver(&[]).poll_stream();
    let started = Instant::now();
    assert_eq!(
        stream.poll(&json!({})),
        json!({"sets": {}}),
        "after {:?}",
        started.elapsed()
    );
    assert_eq!(stream.health()["status"], json!("enabled"));
    wait_until_it_stops(&stream);
}

/// SSF-8.1.1-14: its receiver's own activity, nobody else's, and for the stream in question.
#[test]
fn what_others_do_does_not_keep_a_stream() {
    let instance = Instance::start(Options::default());
    let tenant = impatient(&instance, 1, "paused");
    let receiver = tenant.receiver(&[]);
    let (silent, used) = (receiver.poll_stream(), receiver.poll_stream());
    let stranger = tenant.receiver(&[]);
    eventually("the silent one stops", || {
        used.status();
        stranger.api.get(&silent.status_path(), 404);
        stranger.api.get(&silent.path(), 404);
        tenant.anyone().get(&silent.status_path(), 401);
        receiver.api.get(&receiver.path("/ssf/status"), 400);
        tenant.publish(&[about_ana("evt-1")]);
        (silent.health()["status"] == "paused").then_some(())
    });
}

/// SSF-8.1.1-16, SSF-8.1.2-4
#[test]
fn a_stream_that_nobody_polls_stops_and_says_so_to_who_comes_back() {
    let instance = Instance::start(Options::default());
    let tenant = impatient(&instance, 1, "paused");
    let receiver = tenant.receiver(&[]);
    let streams = [receiver.poll_stream(), receiver.poll_stream()];
    tenant.publish(&[about_ana("evt-1")]);
    for stream in &streams {
        wait_until_it_stops(stream);
    }
    tenant.change(&json!({"inactivity_timeout": 3600}));
    // One that polls as if nothing had happened.
    let stream = &streams[0];
    let answer = stream.poll(&json!({"returnImmediately": true}));
    let compact: Vec<&Value> = answer["sets"].as_object().expect("sets").values().collect();
    assert_eq!(compact.len(), 1, "{answer}");
    let event = control_event(compact[0].as_str().expect("a SET"), &tenant, stream, STREAM_UPDATED);
    assert_eq!(event, stream.status());
    stream.ack(&super::sets(&answer));
    assert_eq!(stream.poll(&json!({"returnImmediately": true})), json!({"sets": {}}));
    stream.set_status("enabled");
    assert_eq!(briefs(&stream.drain()), ["evt-1"]);

    // One that knows from the status, and wants it back before it polls.
    let stream = &streams[1];
    assert_eq!(stream.status()["status"], json!("paused"));
    stream.set_status("enabled");
    let heard = stream.drain();
    assert_eq!(events_and_truth("enabled", || heard.clone()), ["evt-1"]);
}

/// What its receiver stopped itself needs no signs of it.
#[test]
fn a_stream_that_is_stopped_already_is_left_as_it_is() {
    let instance = Instance::start(Options::default());
    let tenant = impatient(&instance, 1, "disabled");
    let receiver = tenant.receiver(&[]);
    let by_receiver = ["paused", "disabled"].map(|status| {
        let stream = receiver.poll_stream();
        stream.set_status_because(status, Some("night shift"));
        (stream, status)
    });
    let by_operator = receiver.poll_stream();
    by_operator.operate(&json!({"status": "paused", "reason": "an audit"}));
    for _ in 0..2 {
        wait_until_it_stops(&tenant.receiver(&[]).poll_stream());
    }
    for (stream, status) in &by_receiver {
        assert_eq!(stream.health()["status_set_by"], json!("receiver"));
        assert_eq!(stream.status(), json!({"status": status, "reason": "night shift"}));
        assert_eq!(stream.poll_now().len(), 0);
    }
    assert_eq!(by_operator.status(), json!({"status": "paused", "reason": "an audit"}));
    assert_eq!(briefs(&by_operator.drain()), ["now paused"]);
    // Its time begins when it goes on.
    by_operator.operate(&json!({"status": "enabled"}));
    assert_eq!(briefs(&by_operator.drain()), ["now enabled"]);
    wait_until_it_stops(&by_operator);
}

#[test]
fn the_operator_can_bring_it_back_and_its_receiver_is_told() {
    let instance = Instance::start(Options::default());
    let tenant = impatient(&instance, 1, "paused");
    let endpoint = ScriptedReceiver::start();
    let stream = tenant
        .receiver(&[&endpoint.url("/")])
        .push_stream(&endpoint.url("/events"));
    wait_until_it_stops(&stream);
    tenant.change(&json!({"inactivity_timeout": 3600}));
    let health = stream.operate(&json!({"status": "enabled"}));
    assert_eq!(
        (&health["status"], &health["reason"]),
        (&json!("enabled"), &json!(null))
    );
    tenant.publish(&[about_ana("evt-1")]);
    let heard = wait_for_pushes(&endpoint, "/events", 3);
    assert_eq!(briefs(&heard), ["now paused", "now enabled", "evt-1"]);
}

#[test]
fn a_timeout_is_shown_and_kept_as_the_tenant_has_it_now() {
    let mut instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, &json!({}));
    let stream = tenant.receiver(&[]).poll_stream();
    assert_eq!(stream.configuration.get("inactivity_timeout"), None);
    tenant.change(&json!({"inactivity_timeout": 3600}));
    assert_eq!(stream.read()["inactivity_timeout"], json!(3600));
    tenant.change(&json!({"inactivity_timeout": 0}));
    assert_eq!(stream.read().get("inactivity_timeout"), None);
    tenant.change(&json!({"inactivity_timeout": 1}));
    assert_eq!(stream.read()["inactivity_timeout"], json!(1));
    // It does not take a request to notice, nor a process that lives as long.
    instance.restart();
    wait_until_it_stops(&stream);
    tenant.change(&json!({"inactivity_timeout": null}));
    stream.set_status("enabled");
    let silent = impatient(&instance, 1, "paused").receiver(&[]).poll_stream();
    wait_until_it_stops(&silent);
    assert_eq!(stream.health()["status"], json!("enabled"));
}

/// SSF-8.1.1-14: a receiver that was there all the time has not been inactive when its tenant begins to care.
#[test]
fn a_new_timeout_does_not_stop_a_stream_that_was_in_use() {
    let mut instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, &json!({}));
    let stream = tenant.receiver(&[]).poll_stream();
    let created = Instant::now();
    let mut active = created;
    eventually("it is older than the timeout", || {
        active = Instant::now();
        stream.read();
        (created.elapsed() > Duration::from_millis(2500)).then_some(())
    });
    instance.restart();
    tenant.change(&json!({"inactivity_timeout": 2}));
    wait_until_it_stops(&stream);
    assert!(
        active.elapsed() >= Duration::from_millis(1990),
        "{:?}",
        active.elapsed()
    );
}
