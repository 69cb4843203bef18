//! Verification events that nobody asked for (SSF-8.1.4-1): a heartbeat of the tenant's streams.

use std::time::Instant;

use serde_json::json;

use crate::harness::{Instance, Options, ScriptedReceiver, eventually};

use super::{Tenant, VERIFICATION, about_ana, briefs, control_event, pushed_to, wait_for_pushes};

/// SSF-8.1.4-1, SSF-8.1.4.2-3
#[test]
fn a_heartbeat_is_a_verification_without_a_state_once_an_interval() {
    let instance = Instance::start(Options::default());
    let started = Instant::now();
    let tenant = Tenant::create(&instance, &json!({"verification_heartbeat": 1}));
    let endpoint = ScriptedReceiver::start();
    let stream = tenant
        .receiver(&[&endpoint.url("/")])
        .push_stream(&endpoint.url("/events"));
    let third = endpoint.wait_for(3);
    for beat in endpoint.requests() {
        assert_eq!(control_event(beat.text(), &tenant, &stream, VERIFICATION), json!({}));
    }
    let beats = pushed_to(&endpoint, "/events");
    let jtis: std::collections::BTreeSet<&str> = beats.iter().map(|set| set.jti()).collect();
    assert_eq!(jtis.len(), beats.len(), "each is an event of its own");
    // Not more often than agreed: three take three intervals, as the server's clock counts whole milliseconds.
    assert!((third.at - started).as_millis() >= 2990, "{:?}", third.at - started);
    // It is none of the receiver's requests, which have their own interval.
    stream.verify(&json!({"state": "asked"}), 204);
    let asked = eventually("the one that was asked for", || {
        let beats = pushed_to(&endpoint, "/events");
        beats.iter().position(|set| super::brief(set) == "verification asked")
    });
    wait_for_pushes(&endpoint, "/events", asked + 2);
    assert_eq!(
        super::brief(&pushed_to(&endpoint, "/events")[asked + 1]),
        "verification"
    );
}

#[test]
fn the_heart_beats_only_while_the_stream_is_enabled() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, &json!({"verification_heartbeat": 1}));
    let endpoint = ScriptedReceiver::start();
    let receiver = tenant.receiver(&[&endpoint.url("/")]);
    receiver.push_stream(&endpoint.url("/alive"));
    let streams = ["paused", "disabled"].map(|status| {
        let path = format!("/{status}");
        let stream = receiver.push_stream(&endpoint.url(&path));
        wait_for_pushes(&endpoint, &path, 1);
        stream.set_status(status);
        (stream, path)
    });
    // What was under way has arrived after another beat; then it is silent, for longer than an interval.
    let beats = |more: usize| {
        let so_far = pushed_to(&endpoint, "/alive").len();
        wait_for_pushes(&endpoint, "/alive", so_far + more);
    };
    beats(1);
    let before = streams.each_ref().map(|(_, path)| pushed_to(&endpoint, path).len());
    beats(2);
    assert_eq!(
        streams.each_ref().map(|(_, path)| pushed_to(&endpoint, path).len()),
        before
    );
    for ((stream, path), before) in streams.iter().zip(before) {
        stream.set_status("enabled");
        let beating = wait_for_pushes(&endpoint, path, before + 1);
        assert!(briefs(&beating).iter().all(|brief| brief == "verification"), "{path}");
    }
}

#[test]
fn a_stream_that_nobody_polls_holds_one_heartbeat_and_not_more() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, &json!({"verification_heartbeat": 1}));
    let endpoint = ScriptedReceiver::start();
    let receiver = tenant.receiver(&[&endpoint.url("/")]);
    let polled = receiver.poll_stream();
    receiver.push_stream(&endpoint.url("/alive"));
    wait_for_pushes(&endpoint, "/alive", 3);
    let waiting = polled.poll_now();
    assert_eq!(briefs(&waiting), ["verification"]);
    polled.ack(&waiting);
    // What was asked for is not kept back by one that waits, and comes along with it.
    eventually("another one waits", || (polled.poll_now().len() == 1).then_some(()));
    tenant.change(&json!({"verification_heartbeat": 0}));
    polled.verify(&json!({"state": "asked"}), 204);
    tenant.publish(&[about_ana("evt-1")]);
    assert_eq!(briefs(&polled.drain()), ["verification", "verification asked", "evt-1"]);
}

#[test]
fn a_heartbeat_begins_and_ends_with_the_tenants_setting() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, &json!({}));
    let endpoint = ScriptedReceiver::start();
    let stream = tenant
        .receiver(&[&endpoint.url("/")])
        .push_stream(&endpoint.url("/events"));
    tenant.change(&json!({"verification_heartbeat": 1}));
    wait_for_pushes(&endpoint, "/events", 1);
    tenant.change(&json!({"verification_heartbeat": null}));
    // Another tenant's heart goes on, as a clock.
    let clock = Tenant::create(&instance, &json!({"verification_heartbeat": 1}));
    clock
        .receiver(&[&endpoint.url("/")])
        .push_stream(&endpoint.url("/clock"));
    wait_for_pushes(&endpoint, "/clock", 1);
    let beats = pushed_to(&endpoint, "/events").len();
    wait_for_pushes(&endpoint, "/clock", 3);
    assert_eq!(pushed_to(&endpoint, "/events").len(), beats);
    assert_eq!(stream.status(), json!({"status": "enabled"}));
}
