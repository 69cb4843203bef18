//! Push in, with a stream of our own: states, the exact stream, status, keep-alive.

use serde_json::json;

use super::{
    connect, health, options, problems, received, request, until_done, until_no_problem, until_problem, until_set_up,
};
use crate::harness::{Fault, Instance, Key, Reply, SsfTransmitter, eventually};
use crate::support::{ACME_AUDIENCE, Source};

const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
const UPDATED: &str = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated";

/// SSF-8.1.4.1-2 to SSF-8.1.4.1-4, SSF-8.1.4.1-7, SSF-8.1.4.1-8, PUSH-2-7.
#[test]
fn verifications_have_to_be_ours() {
    let (instance, transmitter, source) = connect(options(), "push");
    let draft = |stream: &str, event| {
        let subject = json!({"format": "opaque", "id": stream});
        transmitter
            .draft()
            .claim("sub_id", subject)
            .claim("events", json!({VERIFICATION: event}))
    };
    for (set, err) in [
        (draft("stream-1", json!({"state": "stray"})), "invalid_state"),
        (draft("stream-2", json!({})), "invalid_request"),
    ] {
        let answer = source.push(&instance, &set.sign(), 400);
        assert_eq!(answer.json()["err"], json!(err));
        assert!(answer.header("content-language").is_some(), "PUSH-2.3-4");
    }
    source.push(&instance, &draft("stream-1", json!({})).sign(), 202);
    let counted = health(&instance, &source);
    assert_eq!(counted["refused"], json!(2));
    // The one that was awaited came; a repetition of it is answered as at first.
    let inbox = source.inbox(&instance);
    let first = inbox[0]["set"].as_str().expect("a SET").to_owned();
    source.push(&instance, &first, 202);
    assert_eq!(health(&instance, &source)["duplicates"], json!(1));
}

/// SSF-8.1.5-7, SSF-8.1.2.1-10.
#[test]
fn the_status_is_followed_and_can_be_set() {
    let (instance, transmitter, source) = connect(options(), "push");
    let updated = |event| {
        let subject = json!({"format": "opaque", "id": "stream-1"});
        transmitter
            .draft()
            .claim("sub_id", subject)
            .claim("events", json!({UPDATED: event}))
    };
    source.push(
        &instance,
        &updated(json!({"status": "paused", "reason": "busy"})).sign(),
        202,
    );
    assert_eq!(problems(&instance, &source), ["stream_paused"]);
    let shown = instance.operator().get(&source.path(), 200);
    assert_eq!(
        (&shown["stream"]["status"], &shown["stream"]["reason"]),
        (&json!("paused"), &json!("busy"))
    );
    source.push(&instance, &updated(json!({"status": "disabled"})).sign(), 202);
    assert_eq!(problems(&instance, &source), ["stream_disabled"]);
    let path = format!("{}/status", source.path());
    // What nobody has heard of is not enabled.
    transmitter.fail(
        "GET /status",
        Fault::Changed(|status| status["status"] = json!("dreaming")),
    );
    assert_eq!(instance.operator().get(&path, 200)["status"], "dreaming");
    assert_eq!(problems(&instance, &source), ["stream_paused"]);
    let answer = instance.operator().post_json(&path, &json!({"status": "enabled"}), 200);
    assert_eq!(answer, json!({"status": "enabled", "reason": null}));
    assert!(problems(&instance, &source).is_empty());
    let asked = transmitter.requests("POST /status");
    assert_eq!(asked.len(), 1);
    instance
        .operator()
        .post_json(&path, &json!({"status": "sleeping"}), 400);
}

/// The event itself ends the set-up, and with it what was wrong before it came.
#[test]
fn a_verification_that_failed_at_first_leaves_no_problem() {
    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    transmitter.fail_always("POST /verify", Reply::status(503));
    let source = Source::create(&instance, &request(&transmitter, "push"));
    until_problem(&instance, &source, "setup_failed");
    transmitter.mend();
    until_done(&instance, &source);
    until_no_problem(&instance, &source, "setup_failed");
}

#[test]
fn a_stream_is_kept_alive_and_its_silence_is_noticed() {
    let instance = Instance::start(options().set("WATCH_S", 1).set("VERIFICATION_WAIT_S", 1));
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    transmitter.answer_verification(false);
    let source = Source::create(&instance, &request(&transmitter, "push"));
    until_problem(&instance, &source, "verification_unanswered");
    transmitter.answer_verification(true);
    until_set_up(&instance, &source, "done");
    until_no_problem(&instance, &source, "verification_unanswered");
    let asked = transmitter.requests("GET /status").len();
    eventually("it is looked after", || {
        (transmitter.requests("GET /status").len() > asked + 1).then_some(())
    });
    let verified = transmitter.requests("POST /verify").len();
    eventually("it is verified again", || {
        (transmitter.requests("POST /verify").len() > verified).then_some(())
    });
    transmitter.forget_streams();
    eventually("there is a new stream", || {
        (!transmitter.streams().is_empty()).then_some(())
    });
    until_done(&instance, &source);
}

#[test]
fn a_verification_can_be_asked_for() {
    let (instance, _transmitter, source) = connect(options(), "push");
    let before = health(&instance, &source)["last_verified_at"].as_u64();
    let path = format!("{}/verification", source.path());
    let asked = instance.operator().post_json(&path, &json!({}), 202);
    assert!(asked["state"].as_str().is_some_and(|state| !state.is_empty()));
    eventually("it came", || {
        (health(&instance, &source)["last_verified_at"].as_u64() > before).then_some(())
    });
}

#[test]
fn a_new_key_of_the_transmitter_loses_nothing() {
    let (instance, transmitter, source) = connect(options().set("KEY_REFETCH_MS", 1000), "push");
    transmitter.sign_with(Key::Second, &[Key::First, Key::Second]);
    let draft = transmitter.draft();
    // A retrying transmitter: what is not taken yet is never refused.
    eventually("it is taken", || match transmitter.push(&draft.sign()) {
        Some(202) => Some(()),
        other => {
            assert!(other.is_none_or(|status| status == 503), "{other:?}");
            None
        }
    });
    assert_eq!(received(&instance, &source), [draft.jti()]);
}

/// The document of keys may be older than the key: what two fetches did not bring is not there.
#[test]
fn a_key_that_is_not_published_is_waited_for_and_not_for_ever() {
    let (instance, transmitter, source) = connect(options().set("KEY_REFETCH_MS", 1000), "push");
    let fetches = || transmitter.requests("GET /jwks.json").len();
    let before = fetches();
    transmitter.sign_with(Key::Second, &[Key::First]);
    let draft = transmitter.draft();
    let push = || transmitter.push(&draft.sign());
    eventually("the keys are fetched without it", || {
        assert_eq!(push(), Some(503));
        (fetches() > before).then_some(())
    });
    transmitter.sign_with(Key::Second, &[Key::First, Key::Second]);
    eventually("it is taken", || match push() {
        Some(202) => Some(()),
        other => {
            assert_eq!(other, Some(503));
            None
        }
    });
    assert_eq!(received(&instance, &source), [draft.jti()]);

    let lost = || transmitter.push(&transmitter.draft().header("kid", "withdrawn").sign());
    assert_eq!(lost(), Some(503));
    eventually("it is missing for good", || match lost() {
        Some(400) => Some(()),
        other => {
            assert_eq!(other, Some(503));
            None
        }
    });
    let before = fetches();
    assert_eq!(
        (lost(), lost()),
        (Some(400), Some(400)),
        "each of those after it, at once"
    );
    assert!(fetches() <= before + 1);
}

/// Between two pushes the object sleeps.
#[test]
fn the_counts_are_those_of_all_lives() {
    let (mut instance, transmitter, source) = connect(options(), "push");
    for _ in 0..3 {
        assert_eq!(transmitter.push(&transmitter.draft().sign()), Some(202));
    }
    assert_eq!(
        transmitter.push(&transmitter.draft().forged_with(Key::Second).sign()),
        Some(400)
    );
    let counts = |instance: &Instance| {
        let health = health(instance, &source);
        ["received", "refused", "duplicates", "last_event_at"].map(|name| health[name].clone())
    };
    let before = counts(&instance);
    assert_eq!(before[..3], [json!(4), json!(1), json!(0)], "with the verification");
    instance.restart();
    assert_eq!(counts(&instance), before);
    assert_eq!(transmitter.push(&transmitter.draft().sign()), Some(202));
    assert_eq!(counts(&instance)[0], json!(5));
}

#[test]
fn a_source_that_polls_takes_no_pushes() {
    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    let source = Source::create(&instance, &request(&transmitter, "poll"));
    assert_eq!(source.created["receive_url"], json!(null));
    assert!(source.created.get("authorization_header").is_none());
    source.push(&instance, &transmitter.draft().sign(), 404);
}
