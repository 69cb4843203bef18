//! What a change of the configuration does to the events: with which secret they are pushed, where they go, and which come.

use serde_json::{Value, json};

use crate::harness::{Instance, Options, Reply, ScriptedReceiver, eventually};
use crate::support::{CREDENTIAL_CHANGE, POLL, PUSH, SESSION_REVOKED, Set, event};

use super::{Stream, Tenant, about_ana, brief, briefs, events_and_truth, pushed_to, wait_for_pushes};

/// Waits an hour, unless it is told otherwise.
fn come_back_later() -> Reply {
    Reply::status(503).header("retry-after", "3600")
}

fn push(endpoint_url: &str, authorization_header: Option<&str>) -> Value {
    let mut delivery = json!({"method": PUSH, "endpoint_url": endpoint_url});
    if let Some(header) = authorization_header {
        delivery["authorization_header"] = json!(header);
    }
    json!({"delivery": delivery})
}

#[track_caller]
fn wait_until_delivered(stream: &Stream) {
    eventually("everything is delivered", || {
        (stream.health()["queued_events"] == 0).then_some(())
    });
}

/// SSF-6.1.1-4, SSF-6.1.1-5, SSF-8.1.1.3-10
#[test]
fn the_next_push_carries_the_authorization_that_was_given_last_or_none() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::default(&instance);
    let endpoint = ScriptedReceiver::start();
    let url = endpoint.url("/events");
    let stream = tenant.receiver(&[&url]).stream(&push(&url, Some("Bearer first")));
    let own_document = stream.read();
    let steps: [(&str, Option<Value>, Option<&str>); 11] = [
        ("as created", None, Some("Bearer first")),
        ("PATCH", Some(json!({"description": "x"})), Some("Bearer first")),
        (
            "PATCH",
            Some(json!({"events_requested": [SESSION_REVOKED]})),
            Some("Bearer first"),
        ),
        (
            "PATCH",
            Some(push(&url, Some("Basic c2Vjb25k"))),
            Some("Basic c2Vjb25k"),
        ),
        ("PATCH", Some(push(&url, None)), None),
        (
            "PATCH",
            Some(push(&url, Some("token of no scheme"))),
            Some("token of no scheme"),
        ),
        ("PUT", Some(push(&url, Some("Bearer third"))), Some("Bearer third")),
        ("PUT", Some(push(&url, None)), None),
        ("PUT", Some(push(&url, Some("Bearer fourth"))), Some("Bearer fourth")),
        // It is never shown, so who writes back what was read has to give it again.
        ("PUT", Some(own_document), None),
        ("PATCH", Some(push(&url, Some("Bearer fifth"))), Some("Bearer fifth")),
    ];
    for (number, (method, members, expected)) in steps.iter().enumerate() {
        if let Some(members) = members {
            let answer = stream.send(method, members, 200);
            assert_eq!(
                answer.json()["delivery"],
                json!({"method": PUSH, "endpoint_url": url}),
                "SSF-6.1.1-6: the secret is not shown"
            );
        }
        tenant.publish(&[about_ana(&format!("evt-{number}"))]);
        let pushed = endpoint.wait_for(number + 1);
        assert_eq!(
            pushed.header("authorization"),
            *expected,
            "step {number}, {method} {members:?}"
        );
        wait_until_delivered(&stream);
    }
}

/// SSF-8.1.1.3-10: the secret of one endpoint is not shown to another.
#[test]
fn an_authorization_does_not_follow_the_stream_to_another_endpoint() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::default(&instance);
    let endpoint = ScriptedReceiver::start();
    let receiver = tenant.receiver(&[&endpoint.url("/")]);
    for (number, way) in [None, Some(json!({"delivery": {"method": POLL}}))]
        .into_iter()
        .enumerate()
    {
        let stream = receiver.stream(&push(&endpoint.url("/first"), Some("Bearer first")));
        if let Some(way) = way {
            stream.patch(&way);
        }
        stream.patch(&push(&endpoint.url("/second"), None));
        tenant.publish(&[about_ana(&format!("evt-{number}"))]);
        let pushed = endpoint.wait_for(number + 1);
        assert_eq!(
            (pushed.target.as_str(), pushed.header("authorization")),
            ("/second", None)
        );
        stream.delete();
    }
}

/// SSF-8.1.1.3-14
#[test]
fn events_that_were_not_delivered_follow_the_stream_to_another_method() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, &json!({}));
    let endpoint = ScriptedReceiver::start();
    endpoint.otherwise(come_back_later());
    let receiver = tenant.receiver(&[&endpoint.url("/")]);
    for (round, method) in ["PATCH", "PUT"].into_iter().enumerate() {
        let stream = receiver.push_stream(&endpoint.url("/closed"));
        let name = |number: usize| format!("evt-{round}-{number}");
        let events: Vec<Value> = (1..=3).map(|number| about_ana(&name(number))).collect();
        tenant.publish(&events);
        eventually("the endpoint asked to wait", || {
            (stream.health()["hold"]["reason"] == "retry_after").then_some(())
        });
        assert_eq!(stream.status()["status"], json!("paused"), "a hold looks like a pause");

        // To poll: what the endpoint asked for concerns nobody any more.
        stream.send(method, &json!({"delivery": {"method": POLL}}), 200);
        assert_eq!(stream.health()["hold"], json!(null));
        assert_eq!(stream.status(), json!({"status": "enabled"}));
        let polled = stream.poll_now();
        let first = stream.drain_until(&name(1));
        assert_eq!(first.last().map(brief), Some(name(1)));
        tenant.publish(&[about_ana(&name(4))]);

        // And back, to another endpoint: what was acknowledged stays behind, handed out or not.
        let path = format!("/open-{round}");
        endpoint.otherwise(Reply::status(202));
        stream.send(method, &push(&endpoint.url(&path), None), 200);
        wait_until_delivered(&stream);
        let pushed = pushed_to(&endpoint, &path);
        assert_eq!(briefs(&pushed), [name(2), name(3), name(4)], "in their order");
        for set in &pushed[..2] {
            // The same claims, however they are delivered.
            assert!(polled.iter().any(|polled| polled.claims_bytes == set.claims_bytes));
        }
        assert_eq!(stream.dead_letters(), [] as [Value; 0]);
        let heard = || [first.clone(), pushed_to(&endpoint, &path)].concat();
        assert_eq!(events_and_truth("enabled", heard).len(), 4);
        let body = json!({"returnImmediately": true});
        receiver.api.post_json(&stream.poll_path(), &body, 404);
        stream.delete();
        endpoint.otherwise(come_back_later());
    }
}

/// SSF-8.1.1.3-14
#[test]
fn events_that_wait_for_an_endpoint_go_to_the_one_that_takes_its_place() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::default(&instance);
    let (old, new) = (ScriptedReceiver::start(), ScriptedReceiver::start());
    old.otherwise(come_back_later());
    let stream = tenant
        .receiver(&[&old.url("/"), &new.url("/")])
        .push_stream(&old.url("/events"));
    tenant.publish(&[about_ana("evt-1"), about_ana("evt-2")]);
    eventually("the endpoint asked to wait", || {
        (stream.health()["hold"]["reason"] == "retry_after").then_some(())
    });
    let tried = old.requests().len();
    stream.patch(&push(&new.url("/events"), None));
    wait_until_delivered(&stream);
    tenant.publish(&[about_ana("evt-3")]);
    wait_until_delivered(&stream);
    let heard = || pushed_to(&new, "/events");
    assert_eq!(events_and_truth("enabled", heard), ["evt-1", "evt-2", "evt-3"]);
    assert_eq!(old.requests().len(), tried, "the old one is left in peace");
}

#[test]
fn a_push_under_way_while_the_stream_moves_counts_when_it_is_accepted() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::default(&instance);
    let endpoint = ScriptedReceiver::start();
    let stream = tenant
        .receiver(&[&endpoint.url("/")])
        .push_stream(&endpoint.url("/events"));
    let gate = endpoint.then_held(Reply::status(202));
    tenant.publish(&[about_ana("evt-1")]);
    endpoint.wait_for(1);
    stream.patch(&json!({"delivery": {"method": POLL}}));
    // Whether it arrived is not known yet: at least once.
    assert_eq!(briefs(&stream.poll_now()), ["evt-1"]);
    tenant.publish(&[about_ana("evt-2")]);
    gate.open();
    eventually("it is known now", || {
        (briefs(&stream.poll_now()) == ["evt-2"]).then_some(())
    });
    assert_eq!(endpoint.requests().len(), 1);
}

/// SSF-8.1.1-6, SSF-8.1.1.3-12
#[test]
fn what_arrives_follows_what_is_requested() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, &json!({}));
    let endpoint = ScriptedReceiver::start();
    let receiver = tenant.receiver(&[&endpoint.url("/")]);
    let pushed = receiver.push_stream(&endpoint.url("/events"));
    let polled = receiver.poll_stream();
    let changed = |id: &str| {
        let mut changed = event(id, "ana@example.com");
        changed["type"] = json!(CREDENTIAL_CHANGE);
        changed["event"] = json!({"credential_type": "password", "change_type": "update"});
        changed
    };
    let mut expected: Vec<String> = Vec::new();
    for (round, (method, members, sessions, credentials)) in [
        ("PATCH", json!({}), true, true),
        ("PATCH", json!({"events_requested": [SESSION_REVOKED]}), true, false),
        ("PATCH", json!({"description": "does not matter"}), true, false),
        ("PATCH", json!({"events_requested": [CREDENTIAL_CHANGE]}), false, true),
        ("PATCH", json!({"events_requested": []}), false, false),
        (
            "PATCH",
            json!({"events_requested": ["https://vendor.example/event/unheard-of"]}),
            false,
            false,
        ),
        (
            "PUT",
            json!({"events_requested": [CREDENTIAL_CHANGE, SESSION_REVOKED]}),
            true,
            true,
        ),
        ("PUT", json!({"events_requested": [SESSION_REVOKED]}), true, false),
        // Nothing said: all of them.
        ("PUT", json!({}), true, true),
    ]
    .into_iter()
    .enumerate()
    {
        for stream in [&pushed, &polled] {
            let mut members = members.clone();
            if method == "PUT" {
                members["delivery"] = stream.configuration["delivery"].clone();
            }
            stream.send(method, &members, 200);
        }
        let (session, credential) = (format!("session-{round}"), format!("credential-{round}"));
        for (wanted, event) in [(sessions, about_ana(&session)), (credentials, changed(&credential))] {
            let streams = tenant.publish(std::slice::from_ref(&event));
            assert_eq!(streams, if wanted { 2 } else { 0 }, "{method} {members}: {event}");
            if wanted {
                expected.push(event["id"].as_str().expect("an id").to_owned());
            }
        }
        assert_eq!(briefs(&wait_for_pushes(&endpoint, "/events", expected.len())), expected);
    }
    assert_eq!(briefs(&polled.drain()), expected);
    wait_until_delivered(&pushed);
    assert_eq!(briefs(&pushed_to(&endpoint, "/events")), expected);
}

/// A poll that is held ends when its stream is not polled any more.
#[test]
fn a_poll_that_is_held_while_its_stream_becomes_a_push_stream_takes_nothing_from_it() {
    let instance = Instance::start(Options::default().set("LONG_POLL_MS", 25_000));
    let tenant = Tenant::default(&instance);
    let endpoint = ScriptedReceiver::start();
    let receiver = tenant.receiver(&[&endpoint.url("/")]);
    let stream = &receiver.poll_stream();
    std::thread::scope(|threads| {
        let held = threads.spawn(|| {
            let headers = [("content-type", "application/json")];
            receiver.api.try_send("POST", &stream.poll_path(), &headers, b"{}")
        });
        stream.health();
        stream.patch(&push(&endpoint.url("/events"), None));
        tenant.publish(&[about_ana("evt-1")]);
        let pushed: Vec<Set> = wait_for_pushes(&endpoint, "/events", 1);
        assert_eq!(briefs(&pushed), ["evt-1"]);
        let answer = held.join().expect("no panic").expect("an answer");
        assert!([200, 404].contains(&answer.status), "{answer}");
    });
    wait_until_delivered(stream);
    assert_eq!(endpoint.requests().len(), 1);
}
