//! The status while an endpoint keeps us from delivering: paused until its own cause ends, or until its receiver asks us to try
//! again (SSF 8.1.2.2).

use serde_json::{Value, json};

use crate::harness::{Instance, Options, Reply, ScriptedReceiver, eventually};

use super::{Stream, Tenant, about_ana, briefs, events_and_truth, pushed_to, wait_for_pushes};
use crate::support::event;

/// So patient that nothing is tried again unless somebody asks.
fn patient() -> Options {
    Options::default()
        .set("RETRY_BASE_MS", 3_600_000)
        .set("RETRY_CAP_MS", 3_600_000)
}

struct Held {
    instance: Instance,
    endpoint: ScriptedReceiver,
    stream: Stream,
}

/// A stream whose endpoint answers like this, and has done so.
#[track_caller]
fn held(reply: Reply, events: &[Value], reason: &str) -> Held {
    let instance = Instance::start(patient());
    let tenant = Tenant::default(&instance);
    let endpoint = ScriptedReceiver::start();
    endpoint.otherwise(reply);
    let stream = tenant
        .receiver(&[&endpoint.url("/")])
        .push_stream(&endpoint.url("/events"));
    tenant.publish(events);
    eventually(&format!("the stream waits: {reason}"), || {
        (stream.health()["hold"]["reason"] == *reason).then_some(())
    });
    Held {
        instance,
        endpoint,
        stream,
    }
}

/// SSF-8.1.2.2-3
#[test]
fn a_receiver_that_wants_its_stream_back_has_its_endpoint_asked_again() {
    for (status, reason, words) in [
        (410, "gone", "gone"),
        (401, "unauthorized", "authorization"),
        (503, "retry_after", "asked to wait"),
        (405, "method_refused", "POST"),
        (307, "redirected", "redirect"),
    ] {
        let refuses = Reply::status(status).header("retry-after", "3600");
        let Held { endpoint, stream, .. } = &held(refuses, &[about_ana("evt-1")], reason);
        let paused = stream.status();
        assert_eq!(paused["status"], json!("paused"), "{status}");
        let why = paused["reason"].as_str().expect("SSF-8.1.2.1-12").to_owned();
        assert!(why.contains(words), "{status}: {why}");
        let health = stream.health();
        assert_eq!((&health["status"], &health["reason"]), (&json!("paused"), &json!(why)));
        let tried = endpoint.requests().len();

        // It refuses still: nothing is decided for its receiver's asking.
        let answer = stream.try_status(&json!({"status": "enabled"}), 202);
        assert_eq!(
            stream.without_id(answer.json()),
            paused,
            "{status}: 202 tells how things stand"
        );
        endpoint.wait_for(tried + 1);
        eventually("the refusal is known", || {
            (stream.deliveries().len() == tried + 1).then_some(())
        });
        assert_eq!(stream.status(), paused, "{status}");

        // It takes SETs again.
        endpoint.otherwise(Reply::status(202));
        stream.try_status(&json!({"status": "enabled"}), 202);
        eventually("everything is delivered", || {
            (stream.health()["queued_events"] == 0).then_some(())
        });
        let enabled = json!({"status": "enabled"});
        eventually("the stream is enabled", || (stream.status() == enabled).then_some(()));
        // Repeated, the request is answered with its outcome.
        assert_eq!(stream.set_status("enabled"), enabled);
        assert_eq!(stream.health()["hold"], json!(null));
        let delivered = stream.deliveries();
        assert_eq!(delivered[0]["outcome"], json!("delivered"), "{status}");
        let heard = || pushed_to(endpoint, "/events")[tried + 1..].to_vec();
        assert_eq!(events_and_truth("enabled", heard), ["evt-1"], "{status}");
    }
}

/// SSF-8.1.2.2-2: nobody has to be asked where only our own patience was at its end.
#[test]
fn a_receiver_whose_endpoint_kept_failing_has_its_stream_back_at_once() {
    let names = ["ana", "bob", "cyd", "dan", "eve", "fay"];
    let events = names.map(|name| event(name, &format!("{name}@example.com")));
    let Held { endpoint, stream, .. } = &held(Reply::status(500), &events, "failing");
    let paused = stream.status();
    assert_eq!(paused["status"], json!("paused"));
    assert!(
        paused["reason"].as_str().is_some_and(|why| why.contains("failing")),
        "{paused}"
    );
    endpoint.otherwise(Reply::status(202));
    assert_eq!(stream.set_status("enabled"), json!({"status": "enabled"}));
    eventually("everything is delivered", || {
        (stream.health()["queued_events"] == 0).then_some(())
    });
    assert_eq!(stream.status(), json!({"status": "enabled"}));
    let mut tried = events_and_truth("enabled", || pushed_to(endpoint, "/events"));
    tried.sort();
    tried.dedup();
    assert_eq!(tried, names);
}

/// Nobody's wish is overridden by a hold, and no hold by a wish.
#[test]
fn under_a_hold_the_receivers_own_wish_is_kept() {
    let gone = Reply::status(410).header("retry-after", "3600");
    let Held {
        instance,
        endpoint,
        stream,
    } = &held(gone, &[about_ana("evt-1")], "gone");
    let tried = endpoint.requests().len();
    stream.verify(&json!({"state": "waits too"}), 204);
    for (status, reason) in [("paused", "night shift"), ("disabled", "for good")] {
        let told = json!({"status": status, "reason": reason});
        assert_eq!(
            stream.set_status_because(status, Some(reason)),
            told,
            "200: it can be decided"
        );
        assert_eq!(stream.status(), told, "its own reason comes first");
    }
    assert_eq!(stream.health()["queued_events"], json!(0), "SSF-8.1.2.1-3");
    assert_eq!(
        endpoint.requests().len(),
        tried,
        "nothing passes an endpoint that is gone"
    );
    // With nothing else to ask it with, a verification event does: SSF-8.1.4-1, without a state (SSF-8.1.4.2-3).
    endpoint.otherwise(Reply::status(202));
    let answer = stream.try_status(&json!({"status": "enabled"}), 202);
    assert_eq!(answer.json()["status"], json!("paused"));
    eventually("the endpoint was asked", || {
        (stream.status() == json!({"status": "enabled"})).then_some(())
    });
    Tenant::default(instance).publish(&[about_ana("evt-2")]);
    // The question, that the stream is enabled, the event.
    endpoint.wait_for(tried + 3);
    let heard = || pushed_to(endpoint, "/events")[tried..].to_vec();
    assert_eq!(events_and_truth("enabled", heard), ["verification", "evt-2"]);
}

/// SSF-6.1.1-4: what the endpoint refused was the old secret; nobody has to wait, or ask, for the new one to be tried.
#[test]
fn a_new_authorization_is_tried_at_once_where_the_old_one_was_refused() {
    let refuses = Reply::status(401).header("retry-after", "3600");
    let Held { endpoint, stream, .. } = &held(refuses, &[about_ana("evt-1")], "unauthorized");
    let tried = endpoint.requests().len();
    endpoint.otherwise_decide(|request| match request.header("authorization") {
        Some("Bearer new") => Reply::status(202),
        _ => Reply::status(401),
    });
    let mut delivery = stream.configuration["delivery"].clone();
    delivery["authorization_header"] = json!("Bearer new");
    stream.patch(&json!({"delivery": delivery}));
    endpoint.wait_for(tried + 1);
    eventually("it works", || {
        (stream.status() == json!({"status": "enabled"})).then_some(())
    });
    eventually("everything is delivered", || {
        (stream.health()["queued_events"] == 0).then_some(())
    });
    let heard = || pushed_to(endpoint, "/events")[tried..].to_vec();
    assert_eq!(events_and_truth("enabled", heard), ["evt-1"]);
}

/// A hold that is over at once is not worth telling.
#[test]
fn a_short_hold_is_not_announced() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::default(&instance);
    let endpoint = ScriptedReceiver::start();
    endpoint.then(Reply::status(503).header("retry-after", "2"));
    let stream = tenant
        .receiver(&[&endpoint.url("/")])
        .push_stream(&endpoint.url("/events"));
    tenant.publish(&[about_ana("evt-1")]);
    eventually("the stream waits", || {
        (stream.status()["status"] == "paused").then_some(())
    });
    eventually("the stream goes on", || {
        (stream.status()["status"] == "enabled").then_some(())
    });
    tenant.publish(&[about_ana("evt-2")]);
    let pushed = wait_for_pushes(&endpoint, "/events", 3);
    assert_eq!(briefs(&pushed), ["evt-1", "evt-1", "evt-2"]);
}

/// The operator is no more than its receiver: who wants the stream enabled has the endpoint asked.
#[test]
fn an_operator_that_wants_a_stream_back_has_its_endpoint_asked_again() {
    let wait = Reply::status(503).header("retry-after", "3600");
    let Held { endpoint, stream, .. } = &held(wait, &[about_ana("evt-1")], "retry_after");
    let tried = endpoint.requests().len();
    let paused = stream.status();
    let health = stream.operate(&json!({"status": "paused", "reason": "an audit"}));
    assert_eq!(
        (&health["reason"], &health["status_set_by"]),
        (&json!("an audit"), &json!("operator"))
    );
    stream.try_status(&json!({"status": "enabled"}), 403);
    assert_eq!(endpoint.requests().len(), tried, "neither of them asks it anything");
    // It refuses still.
    stream.operate(&json!({"status": "enabled"}));
    endpoint.wait_for(tried + 1);
    eventually("the refusal is known", || {
        (stream.deliveries().len() == tried + 1).then_some(())
    });
    assert_eq!(stream.status(), paused, "its own word stands");
    endpoint.otherwise(Reply::status(202));
    stream.operate(&json!({"status": "enabled"}));
    eventually("everything is delivered", || {
        (stream.health()["queued_events"] == 0).then_some(())
    });
    assert_eq!(stream.status(), json!({"status": "enabled"}));
    let heard = || pushed_to(endpoint, "/events")[tried + 1..].to_vec();
    assert_eq!(events_and_truth("enabled", heard), ["evt-1"]);
}
