//! Verification (SSF 8.1.4): the event that a receiver asks for, and how often it may.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Instance, Options, Reply, ScriptedReceiver, eventually};
use crate::support::{assert_problem, pointer_of};

use super::{Tenant, VERIFICATION, about_ana, brief, briefs, control_event, pushed_to, wait_for_pushes};

/// Any number of verifications.
fn unlimited() -> Value {
    json!({"min_verification_interval": 0})
}

/// States that must come back as they went, with the events that carry them.
fn states() -> Vec<(Value, Value)> {
    let longest = "\u{1f511}".repeat(1024);
    let mut states = vec![(json!({}), json!({})), (json!({"later": {"a": 1}}), json!({}))];
    for state in [
        "v-9c41e2",
        "",
        " \t leading and trailing \n",
        "\u{e9} is not e\u{301}",
        "\u{0}\u{7f}\u{feff}\u{2028}\u{ffff}\u{10ffff}",
        "\"quoted\\\" </script> \u{1f468}\u{200d}\u{1f469}",
        longest.as_str(),
    ] {
        states.push((json!({"state": state}), json!({"state": state})));
    }
    states
}

/// SSF-8.1.4-2, SSF-8.1.4.1-1, SSF-8.1.4.2-1, SSF-8.1.4.2-2, SSF-8.1.4.2-8
#[test]
fn a_state_is_pushed_back_code_point_by_code_point() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, &unlimited());
    let endpoint = ScriptedReceiver::start();
    let receiver = tenant.receiver(&[&endpoint.url("/")]);
    // In none of its lists there is such a type.
    let stream = receiver.stream(&json!({
        "delivery": {"method": crate::support::PUSH, "endpoint_url": endpoint.url("/events")},
        "events_requested": [],
    }));
    for (number, (members, event)) in states().into_iter().enumerate() {
        let answer = stream.verify(&members, 204);
        assert_eq!(
            (answer.text().as_str(), answer.header("cache-control")),
            ("", Some("no-store"))
        );
        let pushed = endpoint.wait_for(number + 1);
        assert_eq!(control_event(pushed.text(), &tenant, &stream, VERIFICATION), event);
    }
    let jtis = pushed_to(&endpoint, "/events")
        .into_iter()
        .map(|set| set.jti().to_owned());
    assert_eq!(jtis.collect::<std::collections::BTreeSet<_>>().len(), states().len());
}

#[test]
fn a_state_is_polled_back_code_point_by_code_point() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, &unlimited());
    let stream = tenant.receiver(&[]).stream(&json!({"events_requested": []}));
    for (members, event) in states() {
        stream.verify(&members, 204);
        let answer = stream.poll(&json!({"returnImmediately": true}));
        let compact: Vec<&Value> = answer["sets"].as_object().expect("sets").values().collect();
        assert_eq!(compact.len(), 1, "{answer}");
        let text = compact[0].as_str().expect("a SET");
        assert_eq!(control_event(text, &tenant, &stream, VERIFICATION), event);
        stream.ack(&super::sets(&answer));
    }
    assert_eq!(stream.poll_now().len(), 0);
}

#[test]
fn a_state_that_is_none_is_refused_and_costs_nothing() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, &json!({"min_verification_interval": 3600}));
    let stream = tenant.receiver(&[]).poll_stream();
    for state in [json!(null), json!(7), json!(["x"]), json!({}), json!("é".repeat(1025))] {
        let refused = stream.verify(&json!({"state": state}), 400);
        assert_eq!(pointer_of(&refused), "/state");
    }
    assert_eq!(stream.poll_now().len(), 0);
    stream.verify(&json!({"state": "in time all the same"}), 204);
    assert_eq!(briefs(&stream.poll_now()), ["verification in time all the same"]);
}

/// SSF-8.1.1-19
#[test]
fn verification_and_stream_updated_are_in_no_list_of_events() {
    let instance = Instance::start(Options::default());
    let stream = Tenant::default(&instance).receiver(&[]).poll_stream();
    for list in ["events_supported", "events_delivered"] {
        let types = stream.configuration[list].as_array().expect("an array");
        assert!(!types.is_empty());
        for event_type in [VERIFICATION, super::STREAM_UPDATED] {
            assert!(!types.contains(&json!(event_type)), "{list}");
        }
    }
    // Asking for them by name changes nothing.
    let changed = stream.patch(&json!({"events_requested": [VERIFICATION]}));
    assert_eq!(changed["events_delivered"], json!([]));
}

/// Ours to choose (SSF-8.1.4.2-7): who asks does not wait behind the queue.
#[test]
fn a_verification_comes_before_the_events_that_wait() {
    let instance = Instance::start(Options::default().set("WINDOW", 1));
    let tenant = Tenant::create(&instance, &unlimited());
    let endpoint = ScriptedReceiver::start();
    let receiver = tenant.receiver(&[&endpoint.url("/")]);
    let streams = [receiver.push_stream(&endpoint.url("/events")), receiver.poll_stream()];
    let gate = endpoint.then_held(Reply::status(202));
    tenant.publish(&["evt-1", "evt-2", "evt-3"].map(about_ana));
    endpoint.wait_for(1);
    for stream in &streams {
        stream.verify(&json!({"state": "a"}), 204);
        stream.verify(&json!({"state": "b"}), 204);
    }
    gate.open();
    let pushed = wait_for_pushes(&endpoint, "/events", 5);
    assert_eq!(
        briefs(&pushed),
        ["evt-1", "verification a", "verification b", "evt-2", "evt-3"],
        "only what is under way cannot be overtaken"
    );
    assert_eq!(
        briefs(&streams[1].drain()),
        ["verification a", "verification b", "evt-1", "evt-2", "evt-3"]
    );
}

/// SSF-8.1.1-11, SSF-8.1.4.2-8
#[test]
fn who_asks_too_often_is_told_when_to_come_back() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, &json!({"min_verification_interval": 3600}));
    let receiver = tenant.receiver(&[]);
    let stream = receiver.poll_stream();
    assert_eq!(
        stream.configuration["min_verification_interval"],
        json!(3600),
        "SSF-8.1.1-8"
    );
    stream.verify(&json!({"state": "first"}), 204);
    for _ in 0..3 {
        let refused = stream.verify(&json!({"state": "too soon"}), 429);
        assert_problem(&refused, 429);
        let wait: u64 = refused
            .header("retry-after")
            .and_then(|wait| wait.parse().ok())
            .expect("seconds");
        assert!((3590..=3600).contains(&wait), "{wait}");
    }
    // The interval is each stream's own, not its client's.
    let other = receiver.poll_stream();
    other.verify(&json!({"state": "other"}), 204);
    assert_eq!(
        briefs(&stream.poll_now()),
        ["verification first"],
        "the refused ones make no event"
    );
    assert_eq!(briefs(&other.poll_now()), ["verification other"]);
    // Without a limit there is none, at once and for streams that are there.
    tenant.change(&unlimited());
    assert_eq!(stream.read().get("min_verification_interval"), None);
    for state in ["a", "b"] {
        stream.verify(&json!({"state": state}), 204);
    }
    assert_eq!(stream.poll_now().len(), 3);
}

/// SSF-8.1.1-12: a request that was refused does not begin the interval anew.
#[test]
fn who_keeps_to_the_interval_is_never_refused() {
    let mut instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, &json!({"min_verification_interval": 1}));
    let stream = tenant.receiver(&[]).poll_stream();
    let mut accepted: Vec<(Instant, Instant)> = Vec::new();
    for number in 0..3 {
        // Also across a restart.
        if number == 1 {
            instance.restart();
        }
        eventually("the interval is over", || {
            let sent = Instant::now();
            let body = json!({"stream_id": stream.id, "state": number.to_string()}).to_string();
            let path = stream.receiver.path("/ssf/verification");
            let headers = [("content-type", "application/json")];
            let answer = stream.receiver.api.try_send("POST", &path, &headers, body.as_bytes());
            let answer = answer.expect("an answer");
            if answer.status == 429 {
                assert_eq!(answer.header("retry-after"), Some("1"), "{answer}");
                return None;
            }
            assert_eq!(answer.status, 204, "{answer}");
            accepted.push((sent, Instant::now()));
            Some(())
        });
    }
    for pair in accepted.windows(2) {
        // The server saw each between its being sent and its being answered.
        let apart = pair[1].1 - pair[0].0;
        assert!(apart >= Duration::from_millis(999), "{apart:?}");
    }
    assert_eq!(
        briefs(&stream.drain()),
        ["verification 0", "verification 1", "verification 2"]
    );
}

/// SSF-8.1.4.2-9
#[test]
fn a_paused_stream_keeps_it_and_a_disabled_one_refuses_it() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, &unlimited());
    let endpoint = ScriptedReceiver::start();
    let receiver = tenant.receiver(&[&endpoint.url("/")]);
    let pushed = receiver.push_stream(&endpoint.url("/events"));
    let polled = receiver.poll_stream();
    for stream in [&pushed, &polled] {
        stream.set_status("paused");
        stream.verify(&json!({"state": "paused"}), 204);
        assert_eq!(stream.health()["status"], json!("paused"), "nothing is enabled by it");
    }
    assert_eq!(polled.poll(&json!({"returnImmediately": true})), json!({"sets": {}}));
    for stream in [&pushed, &polled] {
        stream.set_status("enabled");
    }
    assert_eq!(
        briefs(&wait_for_pushes(&endpoint, "/events", 1)),
        ["verification paused"]
    );
    assert_eq!(briefs(&polled.drain()), ["verification paused"]);
    for stream in [&pushed, &polled] {
        // Held when it is disabled: lost as everything is (SSF-8.1.2.1-3).
        stream.set_status("paused");
        stream.verify(&json!({"state": "lost"}), 204);
        stream.set_status("disabled");
        let refused = stream.verify(&json!({"state": "refused"}), 400);
        assert_problem(&refused, 400);
        assert!(refused.text().contains("disabled"), "{refused}");
        stream.set_status("enabled");
        stream.verify(&json!({"state": "last"}), 204);
    }
    assert_eq!(
        briefs(&wait_for_pushes(&endpoint, "/events", 2)),
        ["verification paused", "verification last"]
    );
    assert_eq!(briefs(&polled.drain()), ["verification last"]);
}

/// SSF-8.1.4.1-4, SSF-11-2
#[test]
fn a_receiver_that_does_not_know_the_state_is_heard_and_the_stream_goes_on() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, &unlimited());
    let endpoint = ScriptedReceiver::start();
    let receiver = tenant.receiver(&[&endpoint.url("/")]);
    let refusal = json!({"err": "invalid_state", "description": "never heard of it"});
    endpoint.then(Reply::json(400, &refusal));
    let pushed = receiver.push_stream(&endpoint.url("/events"));
    let polled = receiver.poll_stream();
    for stream in [&pushed, &polled] {
        stream.verify(&json!({"state": "whose?"}), 204);
    }
    let set = polled.first().expect("the verification");
    let errors = json!({"returnImmediately": true, "setErrs": {set.jti(): refusal}});
    assert_eq!(polled.poll(&errors), json!({"sets": {}}));
    for stream in [&pushed, &polled] {
        let letter = eventually("it is a dead letter", || stream.dead_letters().pop());
        assert_eq!(
            (&letter["type"], &letter["err"]),
            (&json!(VERIFICATION), &json!("invalid_state"))
        );
        assert_eq!(letter["sub_id"], json!({"format": "opaque", "id": stream.id}));
        assert_eq!(stream.status(), json!({"status": "enabled"}));
    }
    tenant.publish(&[about_ana("evt-1")]);
    let arrived = wait_for_pushes(&endpoint, "/events", 2);
    assert_eq!(brief(&arrived[1]), "evt-1");
    assert_eq!(briefs(&polled.drain()), ["evt-1"]);
}

#[test]
fn a_poll_that_is_held_is_answered_with_it() {
    let instance = Instance::start(Options::default().set("LONG_POLL_MS", 25_000));
    let stream = &Tenant::default(&instance).receiver(&[]).poll_stream();
    std::thread::scope(|threads| {
        let held = threads.spawn(|| super::sets(&stream.poll(&json!({}))));
        stream.health();
        stream.verify(&json!({"state": "now"}), 204);
        assert_eq!(briefs(&held.join().expect("no panic")), ["verification now"]);
    });
}

/// SSF-8.1.4-3: what it proves it proves about the stream as it is, after whatever restart.
#[test]
fn a_verification_that_was_promised_survives_a_restart() {
    let mut instance = Instance::start(Options::default());
    let tenant = Tenant::default(&instance);
    let endpoint = ScriptedReceiver::start();
    let receiver = tenant.receiver(&[&endpoint.url("/")]);
    let pushed = receiver.push_stream(&endpoint.url("/events"));
    let polled = receiver.poll_stream();
    for stream in [&pushed, &polled] {
        stream.set_status("paused");
        stream.verify(&json!({"state": "kept"}), 204);
    }
    instance.restart();
    for stream in [&pushed, &polled] {
        stream.set_status("enabled");
    }
    assert_eq!(briefs(&wait_for_pushes(&endpoint, "/events", 1)), ["verification kept"]);
    assert_eq!(briefs(&polled.drain()), ["verification kept"]);
}
