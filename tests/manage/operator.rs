//! The operator's hand on the status of a stream: its receiver is told each time, and cannot undo it (SSF-8.1.2-3, SSF 8.1.5).

use serde_json::{Value, json};

use crate::harness::{Instance, Options, Reply, ScriptedReceiver, eventually};
use crate::support::{assert_problem, pointer_of};

use super::{
    STREAM_UPDATED, Stream, Tenant, about_ana, briefs, control_event, events_and_truth, pushed_to, sets,
    wait_for_pushes,
};

/// Every change of status there is, one after the other, from a stream that is enabled.
const PATH: [&str; 6] = ["paused", "disabled", "paused", "enabled", "disabled", "enabled"];

fn change(number: usize, status: &str) -> (Value, Value) {
    // Every other one for a reason.
    match number % 2 {
        0 => (
            json!({"status": status, "reason": format!("planned work {number}")}),
            json!({"status": status, "reason": format!("planned work {number}")}),
        ),
        _ => (json!({"status": status}), json!({"status": status})),
    }
}

/// SSF-8.1.2-3, SSF-8.1.5-2 to SSF-8.1.5-5
#[test]
fn each_change_is_pushed_once_whatever_the_stream_may_send_else() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, &json!({}));
    let endpoint = ScriptedReceiver::start();
    let receiver = tenant.receiver(&[&endpoint.url("/")]);
    // SSF-8.1.5-4: it is in none of the lists.
    let stream = receiver.stream(&json!({
        "delivery": {"method": crate::support::PUSH, "endpoint_url": endpoint.url("/events")},
        "events_requested": [],
    }));
    let mut jtis = Vec::new();
    for (number, status) in PATH.into_iter().enumerate() {
        let (request, told) = change(number, status);
        let health = stream.operate(&request);
        assert_eq!(
            (&health["status"], health.get("reason")),
            (&json!(status), told.get("reason").or(Some(&Value::Null)))
        );
        assert_eq!(stream.status(), told);
        let pushed = endpoint.wait_for(number + 1);
        let event = control_event(pushed.text(), &tenant, &stream, STREAM_UPDATED);
        assert_eq!(event, told, "SSF-8.1.5");
        jtis.push(crate::support::Set::decode(pushed.text()).jti().to_owned());
        // The same status is no change, whatever the reason.
        stream.operate(&json!({"status": status, "reason": "another reason"}));
        stream.operate(&json!({"status": status}));
    }
    stream.patch(&json!({"events_requested": [crate::support::SESSION_REVOKED]}));
    tenant.publish(&[about_ana("evt-1")]);
    endpoint.wait_for(PATH.len() + 1);
    let expected: Vec<String> = PATH
        .iter()
        .map(|status| format!("now {status}"))
        .chain(["evt-1".to_owned()])
        .collect();
    assert_eq!(briefs(&pushed_to(&endpoint, "/events")), expected);
    jtis.sort();
    jtis.dedup();
    assert_eq!(jtis.len(), PATH.len(), "each is an event of its own");
}

/// SSF-8.1.2-3, SSF-8.1.2-4
#[test]
fn each_change_stays_to_be_polled_until_it_is_acknowledged() {
    let mut instance = Instance::start(Options::default());
    let tenant = Tenant::default(&instance);
    let stream = tenant.receiver(&[]).stream(&json!({"events_requested": []}));
    for (number, status) in PATH.into_iter().enumerate() {
        let (request, told) = change(number, status);
        stream.operate(&request);
        stream.operate(&request);
        if number == 2 {
            instance.restart();
        }
        let answer = stream.poll(&json!({"returnImmediately": true}));
        assert_eq!(answer.get("moreAvailable"), None);
        let compact: Vec<&Value> = answer["sets"].as_object().expect("sets").values().collect();
        assert_eq!(compact.len(), 1, "{status}: {answer}");
        let event = control_event(compact[0].as_str().expect("a SET"), &tenant, &stream, STREAM_UPDATED);
        assert_eq!(event, told);
        // Again, until it is acknowledged; then never.
        assert_eq!(stream.poll(&json!({"returnImmediately": true})), answer);
        stream.ack(&sets(&answer));
        assert_eq!(
            stream.poll(&json!({"returnImmediately": true})),
            json!({"sets": {}}),
            "{status}"
        );
    }
    // Nobody came in between: all of it, in its order.
    for status in PATH {
        stream.operate(&json!({"status": status}));
    }
    let expected: Vec<String> = PATH.iter().map(|status| format!("now {status}")).collect();
    assert_eq!(briefs(&stream.drain()), expected);
}

/// SSF-8.1.5-2, SSF-8.1.5-6: the announcement leaves, and what waited behind it does not.
#[test]
fn a_stream_that_is_stopped_says_so_and_then_nothing() {
    let instance = Instance::start(Options::default().set("WINDOW", 1));
    let tenant = Tenant::create(&instance, &json!({}));
    let endpoint = ScriptedReceiver::start();
    let receiver = tenant.receiver(&[&endpoint.url("/")]);
    for (status, held) in [("paused", vec!["2", "3"]), ("disabled", vec![])] {
        let path = format!("/{status}");
        let stream = receiver.push_stream(&endpoint.url(&path));
        let gate = endpoint.then_held(Reply::status(202));
        let name = |number: &str| format!("{status}-{number}");
        tenant.publish(&["1", "2", "3"].map(|number| about_ana(&name(number))));
        wait_for_pushes(&endpoint, &path, 1);
        stream.operate(&json!({"status": status}));
        gate.open();
        let told = [name("1"), format!("now {status}")];
        assert_eq!(briefs(&wait_for_pushes(&endpoint, &path, 2)), told);
        stream.operate(&json!({"status": "enabled"}));
        tenant.publish(&[about_ana(&name("4"))]);
        let mut expected = told.to_vec();
        // SSF-8.1.5-3: on re-enabling, before what was held.
        expected.push("now enabled".to_owned());
        expected.extend(held.into_iter().map(name));
        expected.push(name("4"));
        assert_eq!(briefs(&wait_for_pushes(&endpoint, &path, expected.len())), expected);
        stream.delete();
    }
}

/// SSF-8.1.5-6: an endpoint that is down hears of it when it is up again.
#[test]
fn an_announcement_is_tried_again_until_it_is_taken() {
    let instance = Instance::start(Options::default().set("RETRY_BASE_MS", 20).set("RETRY_CAP_MS", 50));
    let tenant = Tenant::default(&instance);
    let endpoint = ScriptedReceiver::start();
    let stream = tenant
        .receiver(&[&endpoint.url("/")])
        .push_stream(&endpoint.url("/events"));
    for reply in [Reply::status(500), Reply::Reset, Reply::status(503)] {
        endpoint.then(reply);
    }
    stream.operate(&json!({"status": "disabled", "reason": "an audit"}));
    let pushed = wait_for_pushes(&endpoint, "/events", 4);
    for again in &pushed {
        assert_eq!(again.claims_bytes, pushed[0].claims_bytes, "the same claims each time");
    }
    eventually("it is taken", || {
        let attempts = stream.deliveries();
        attempts
            .iter()
            .any(|attempt| attempt["outcome"] == "delivered")
            .then_some(())
    });
    assert_eq!(endpoint.requests().len(), 4);
    assert_eq!(stream.status(), json!({"status": "disabled", "reason": "an audit"}));
}

/// SSF-8.1.2.2-5
#[test]
fn what_the_operator_stopped_its_receiver_cannot_start_but_it_may_be_stricter() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::default(&instance);
    let receiver = tenant.receiver(&[]);
    for (operator, refused, allowed) in [
        ("paused", vec!["enabled"], vec!["paused", "disabled"]),
        ("disabled", vec!["enabled", "paused"], vec!["disabled"]),
    ] {
        let stream = receiver.poll_stream();
        let told = json!({"status": operator, "reason": "an audit"});
        stream.operate(&told);
        stream.ack(&stream.poll_now());
        let before = stream.health();
        for status in refused {
            let answer = stream.try_status(&json!({"status": status, "reason": "my own wish"}), 403);
            assert_problem(&answer, 403);
            assert!(answer.text().contains("an audit"), "it says why: {answer}");
            assert_eq!(answer.header("www-authenticate"), None, "another token would not help");
            assert_eq!(stream.status(), told, "{operator} to {status}");
            let health = stream.health();
            for member in ["status", "reason", "status_set_by", "configuration", "queued_events"] {
                assert_eq!(health[member], before[member], "{operator} to {status}");
            }
        }
        assert_eq!(before["status_set_by"], json!("operator"));
        for status in allowed {
            assert_eq!(stream.set_status_because(status, None)["status"], json!(status));
        }
        // Of the receiver's own changes it is not told, and nothing that was refused was kept for later.
        assert_eq!(stream.poll(&json!({"returnImmediately": true})), json!({"sets": {}}));
        stream.operate(&json!({"status": "enabled"}));
        assert_eq!(
            stream.status(),
            json!({"status": "disabled"}),
            "its own wish counts still"
        );
        assert_eq!(stream.health()["status_set_by"], json!("receiver"));
        assert_eq!(stream.poll_now().len(), 0, "nothing changed, so nothing is announced");
        assert_eq!(stream.set_status("enabled"), json!({"status": "enabled"}));
    }
}

/// The strictest wish counts; each party takes back its own only.
#[test]
fn a_stream_is_on_when_both_its_receiver_and_the_operator_want_it() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::default(&instance);
    let stream = tenant.receiver(&[]).poll_stream();
    for (who, status, effective, tells) in [
        ("receiver", "paused", "paused", false),
        ("operator", "paused", "paused", false),
        ("operator", "disabled", "disabled", true),
        ("operator", "paused", "paused", true),
        ("operator", "enabled", "paused", false),
        ("receiver", "enabled", "enabled", false),
        ("operator", "enabled", "enabled", false),
        ("operator", "paused", "paused", true),
        ("receiver", "disabled", "disabled", false),
        ("operator", "enabled", "disabled", false),
        ("operator", "disabled", "disabled", false),
        ("receiver", "disabled", "disabled", false),
        ("operator", "enabled", "disabled", false),
        ("receiver", "enabled", "enabled", false),
    ] {
        match who {
            "receiver" => drop(stream.set_status(status)),
            _ => drop(stream.operate(&json!({"status": status}))),
        }
        assert_eq!(stream.status()["status"], json!(effective), "{who} wants {status}");
        let told: Vec<String> = tells.then(|| format!("now {effective}")).into_iter().collect();
        assert_eq!(briefs(&stream.drain()), told, "{who} wants {status}");
    }
}

/// SSF-8.1.5-7: what waited to tell its receiver of a status is not told any more when its receiver has chosen another.
#[test]
fn what_its_receiver_hears_last_is_true() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::default(&instance);
    let receiver = tenant.receiver(&[]);
    for (changes, status) in [
        (vec![("operator", "paused"), ("receiver", "disabled")], "disabled"),
        (
            vec![
                ("operator", "paused"),
                ("receiver", "disabled"),
                ("operator", "enabled"),
            ],
            "disabled",
        ),
        (
            vec![("operator", "paused"), ("receiver", "paused"), ("operator", "enabled")],
            "paused",
        ),
        (
            vec![
                ("operator", "paused"),
                ("receiver", "paused"),
                ("operator", "enabled"),
                ("receiver", "enabled"),
            ],
            "enabled",
        ),
        (
            vec![
                ("operator", "disabled"),
                ("operator", "enabled"),
                ("receiver", "paused"),
            ],
            "paused",
        ),
        (vec![("receiver", "paused"), ("operator", "disabled")], "disabled"),
    ] {
        let stream = receiver.poll_stream();
        for (who, status) in &changes {
            match *who {
                "receiver" => drop(stream.set_status(status)),
                _ => drop(stream.operate(&json!({"status": status}))),
            }
        }
        assert_eq!(stream.status(), json!({"status": status}), "{changes:?}");
        let heard = stream.drain();
        events_and_truth(status, || heard.clone());
        stream.delete();
    }
}

#[test]
fn a_poll_that_is_held_hears_of_it_at_once() {
    let instance = Instance::start(Options::default().set("LONG_POLL_MS", 25_000));
    let tenant = Tenant::default(&instance);
    let stream = &tenant.receiver(&[]).poll_stream();
    for status in ["paused", "enabled"] {
        std::thread::scope(|threads| {
            let held = threads.spawn(|| sets(&stream.poll(&json!({}))));
            stream.health();
            stream.operate(&json!({"status": status}));
            let told = held.join().expect("no panic");
            assert_eq!(briefs(&told), [format!("now {status}")]);
            stream.ack(&told);
        });
    }
}

/// What is not about the status leaves it alone, and the other way round.
#[test]
fn the_operator_changes_what_is_named_and_nothing_else() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::default(&instance);
    let stream: Stream = tenant.receiver(&[]).poll_stream();
    stream.operate(&json!({"status": "paused", "reason": "an audit"}));
    let health = stream.operate(&json!({"default_subjects": "NONE"}));
    assert_eq!(
        (&health["status"], &health["reason"], &health["default_subjects"]),
        (&json!("paused"), &json!("an audit"), &json!("NONE"))
    );
    let health = stream.operate(&json!({"status": "enabled"}));
    assert_eq!(
        (&health["status"], &health["default_subjects"]),
        (&json!("enabled"), &json!("NONE"))
    );
    let before = stream.health();
    for (members, pointer) in [
        (json!({}), ""),
        (json!({"status": "off"}), "/status"),
        (json!({"status": null}), "/status"),
        (json!({"reason": "no status"}), "/status"),
        (json!({"status": "paused", "reason": 1}), "/reason"),
        (
            json!({"status": "paused", "default_subjects": "none"}),
            "/default_subjects",
        ),
        (json!({"status": "paused", "description": "x"}), "/description"),
    ] {
        let refused = tenant
            .operator()
            .send_json("PATCH", &stream.admin_path(), &members, 400);
        assert_eq!(pointer_of(&refused), pointer, "{members}");
        assert_eq!(stream.health()["status"], before["status"], "{members}");
    }
    let unknown = stream.admin_path().replace(&stream.id, &"0123456789abcdef".repeat(4));
    let answer = tenant
        .operator()
        .send_json("PATCH", &unknown, &json!({"status": "paused"}), 404);
    assert_problem(&answer, 404);
}
