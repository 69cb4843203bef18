//! Streams that are not found any more, or seem not to be, and answers that say nothing of them.

use serde_json::{Value, json};

use super::{
    connect, health, options, problems, request, setup, until_done, until_no_problem, until_problem, until_received,
    until_set_up,
};
use crate::harness::{Fault, Instance, Reply, SsfTransmitter, eventually};
use crate::support::{ACME_AUDIENCE, Source, let_time_pass};

/// What a proxy or a login page answers.
fn page() -> Reply {
    Reply::status(200).body("<html>")
}

/// A status endpoint that is not there says nothing of the stream.
#[test]
fn a_status_that_is_not_found_costs_no_stream() {
    let instance = Instance::start(options().set("WATCH_S", 1));
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    transmitter.fail_always("GET /status", Reply::status(404));
    let source = Source::create(&instance, &request(&transmitter, "push"));
    until_done(&instance, &source);
    eventually("the stream is looked after again and again", || {
        (transmitter.requests("GET /status").len() > 2 && transmitter.requests("POST /verify").len() > 1).then_some(())
    });
    assert_eq!(transmitter.requests("POST /streams").len(), 1);
    assert_eq!(transmitter.requests("PATCH /streams").len(), 0);
    until_done(&instance, &source);
    assert!(!problems(&instance, &source).contains(&"stream_gone".to_owned()));
    // The operator is told what was answered.
    let answer = instance.operator().get(&format!("{}/status", source.path()), 502);
    assert!(
        answer["detail"].as_str().is_some_and(|text| text.contains("404")),
        "{answer}"
    );
    assert_eq!(transmitter.requests("POST /streams").len(), 1);
}

/// It is polled elsewhere: the configuration is looked at again, and where it leads.
#[test]
fn a_poll_that_moved_is_looked_for() {
    let (instance, transmitter, source) = connect(options(), "poll");
    let elsewhere: fn(&mut Value) =
        |stream| stream["delivery"]["endpoint_url"] = json!("https://elsewhere.example/poll");
    transmitter.fail("GET /streams", Fault::Changed(elsewhere));
    transmitter.fail("POST /poll", Fault::Instead(Reply::status(404)));
    transmitter.queue_as("wakes-the-poll", json!("x"));
    eventually("the step is done again", || {
        (transmitter.requests("PATCH /streams").len() == 1).then_some(())
    });
    let jti = transmitter.queue(&transmitter.draft());
    until_received(&instance, &source, &[jti]);
    until_no_problem(&instance, &source, "poll_failing");
    assert_eq!(transmitter.requests("POST /streams").len(), 1);
}

#[test]
fn a_poll_that_is_not_found_is_a_failing_poll() {
    let (instance, transmitter, source) = connect(options(), "poll");
    transmitter.fail_always("POST /poll", Reply::status(404));
    transmitter.queue_as("wakes-the-poll", json!("x"));
    until_problem(&instance, &source, "poll_failing");
    eventually("it is tried again", || {
        (transmitter.requests("POST /poll").len() > 5).then_some(())
    });
    assert_eq!(problems(&instance, &source), ["poll_failing"]);
    assert_eq!(transmitter.requests("PATCH /streams").len(), 0);
    transmitter.mend();
    let jti = transmitter.queue(&transmitter.draft());
    until_received(&instance, &source, &[jti]);
    until_no_problem(&instance, &source, "poll_failing");
}

/// A transmitter whose answers know nothing yet of the stream that it just made.
#[test]
fn streams_that_seem_gone_at_once_are_made_ever_more_seldom_and_do_not_stay() {
    let blind = |transmitter: &SsfTransmitter| {
        transmitter.fail_always("GET /status", Reply::status(404));
        transmitter.fail_always("GET /streams", Reply::status(404));
    };
    let instance = Instance::start(options().set("RETRY_BASE_MS", 60_000).set("RETRY_CAP_MS", 60_000));
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    blind(&transmitter);
    let source = Source::create(&instance, &request(&transmitter, "push"));
    until_problem(&instance, &source, "stream_gone");
    let shown = setup(&instance, &source);
    assert!(shown["steps"][3]["next_attempt_at"].is_u64(), "{shown:#}");
    assert_eq!(transmitter.requests("POST /streams").len(), 1);

    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    blind(&transmitter);
    let source = Source::create(&instance, &request(&transmitter, "push"));
    eventually("streams are made", || {
        (transmitter.requests("POST /streams").len() > 2).then_some(())
    });
    transmitter.mend();
    until_done(&instance, &source);
    until_no_problem(&instance, &source, "stream_gone");
    assert_eq!(transmitter.streams().len(), 1, "the others were deleted");
}

/// SSF-8.1.1.1-15: what is no list does not say that there is no stream of ours.
#[test]
fn an_answer_that_is_no_list_makes_and_leaves_no_stream() {
    let mut instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    transmitter.fail_always("GET /streams", page());
    let source = Source::create(&instance, &request(&transmitter, "push"));
    until_problem(&instance, &source, "setup_failed");
    assert!(transmitter.requests("POST /streams").is_empty());
    transmitter.mend();
    until_done(&instance, &source);
    assert_eq!(transmitter.streams().len(), 1);

    let again = json!({"from": "stream"});
    transmitter.fail_always("GET /streams", page());
    let path = format!("{}/setup", source.path());
    instance.operator().post_json(&path, &again, 202);
    transmitter.fail_always("DELETE /streams", Reply::status(503));
    instance.operator().delete(&source.path(), 202);
    transmitter.mend();
    let_time_pass(&mut instance);
    eventually("it is deleted", || transmitter.streams().is_empty().then_some(()));
}

/// SSF-8.1.1.1, SSF-8.1.1.3: 202, taken and not done yet.
#[test]
fn what_was_accepted_without_an_answer_is_looked_at() {
    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    transmitter.fail("POST /streams", Fault::Answered(Reply::status(202)));
    transmitter.fail("PATCH /streams", Fault::Answered(Reply::status(202)));
    let source = Source::create(&instance, &request(&transmitter, "push"));
    until_done(&instance, &source);
    assert_eq!(transmitter.requests("POST /streams").len(), 1);
    assert_eq!(transmitter.requests("PATCH /streams").len(), 1);
    assert_eq!(transmitter.streams().len(), 1);
}

#[test]
fn a_stream_without_the_requested_events_is_a_problem() {
    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    transmitter.fail(
        "POST /streams",
        Fault::Changed(|stream| stream["events_delivered"] = json!([])),
    );
    let source = Source::create(&instance, &request(&transmitter, "push"));
    let shown = until_set_up(&instance, &source, "done");
    let detail = shown["steps"][3]["detail"].as_str().unwrap_or_default();
    assert!(detail.starts_with("0 of the "), "{shown:#}");
    assert_eq!(problems(&instance, &source), ["events_refused"]);
    let again = json!({"from": "stream"});
    let path = format!("{}/setup", source.path());
    instance.operator().post_json(&path, &again, 202);
    until_no_problem(&instance, &source, "events_refused");
    until_done(&instance, &source);
    eventually("the health is good", || {
        (health(&instance, &source)["state"] == "ok").then_some(())
    });
}

/// What works is not given up for what is changed.
#[test]
fn a_change_that_is_refused_stops_no_poll() {
    let (instance, transmitter, source) = connect(options().set("SETUP_AGAIN_S", 3600), "poll");
    transmitter.fail_always("PATCH /streams", Reply::status(400));
    let change = json!({"events_requested": ["https://example.com/refused"]});
    instance.operator().patch_json(&source.path(), &change, 200);
    until_set_up(&instance, &source, "failed");
    let jtis: Vec<String> = (0..3).map(|_| transmitter.queue(&transmitter.draft())).collect();
    until_received(&instance, &source, &jtis);
    eventually("all are acknowledged", || (transmitter.queued() == 0).then_some(()));
    assert_eq!(problems(&instance, &source), ["setup_failed"]);
}

fn subject(n: u32) -> Value {
    json!({"format": "opaque", "id": n.to_string()})
}

#[test]
fn subjects_that_a_lost_stream_did_not_take_are_added_to_the_next() {
    let (instance, transmitter, source) = connect(options(), "push");
    transmitter.forget_streams();
    for _ in 0..3 {
        transmitter.fail("POST /add", Fault::Instead(Reply::status(404)));
    }
    let path = format!("{}/subjects", source.path());
    let add: Vec<Value> = (0..3).map(subject).collect();
    instance.operator().post_json(&path, &json!({"add": add}), 202);
    eventually("they are added", || {
        let mut added = transmitter.subjects();
        added.sort_by_key(Value::to_string);
        (added == add).then_some(())
    });
    until_done(&instance, &source);
    assert_eq!(transmitter.streams().len(), 1);
    let listed = instance.operator().get(&path, 200);
    for entry in listed["subjects"].as_array().expect("an array") {
        assert_eq!(entry["state"], "added", "{listed}");
    }
    // Where the stream is there 404 is about the subject.
    transmitter.fail("POST /add", Fault::Instead(Reply::status(404)));
    instance.operator().post_json(&path, &json!({"add": [subject(3)]}), 202);
    until_problem(&instance, &source, "subjects_refused");
    assert_eq!(transmitter.streams()[0]["stream_id"], "stream-2");
}

/// The transmitter does not find the stream, and then it does.
#[test]
fn a_stream_that_comes_back_is_the_same_and_who_should_go_still_goes() {
    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    let mut wanted = request(&transmitter, "push");
    wanted["subjects"] = json!([subject(1), subject(2)]);
    let source = Source::create(&instance, &wanted);
    until_done(&instance, &source);
    transmitter.fail_always("POST /remove", Reply::status(503));
    let path = format!("{}/subjects", source.path());
    instance
        .operator()
        .post_json(&path, &json!({"remove": [subject(1)]}), 202);
    eventually("the removal is tried", || {
        (!transmitter.requests("POST /remove").is_empty()).then_some(())
    });
    transmitter.fail("GET /status", Fault::Instead(Reply::status(404)));
    transmitter.fail("GET /streams", Fault::Instead(Reply::status(404)));
    instance.operator().get(&format!("{}/status", source.path()), 502);
    assert_eq!(transmitter.requests("POST /add").len(), 2);
    transmitter.mend();
    eventually("it is removed", || {
        (transmitter.subjects() == [subject(2)]).then_some(())
    });
    until_done(&instance, &source);
    assert_eq!(transmitter.requests("POST /streams").len(), 1);
    assert_eq!(transmitter.requests("POST /add").len(), 2, "the stream has them");
}

#[test]
fn before_there_is_a_stream_nobody_is_asked_about_it() {
    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    transmitter.fail_always("POST /streams", Reply::status(503));
    let source = Source::create(&instance, &request(&transmitter, "push"));
    let path = |name: &str| format!("{}/{name}", source.path());
    instance.operator().get(&path("status"), 409);
    let status = json!({"status": "enabled"});
    instance.operator().post_json(&path("status"), &status, 409);
    instance.operator().post_json(&path("verification"), &json!({}), 409);
    assert!(transmitter.requests("GET /status").is_empty());
    // As many subjects as may be: they wait.
    let subject = |n: usize| json!({"format": "email", "email": format!("somebody.{n}@long.example.com")});
    let add: Vec<Value> = (0..10_000).map(subject).collect();
    let answer = instance
        .operator()
        .post_json(&path("subjects"), &json!({"add": add}), 202);
    assert_eq!(answer, json!({"waiting": 10_000}));
}

/// The answer to a poll of the stream before says nothing of the one that there is.
#[test]
fn a_late_answer_about_the_stream_before_costs_nothing() {
    let (instance, transmitter, source) = connect(options(), "poll");
    let polls = transmitter.requests("POST /poll").len();
    transmitter.hold("POST /poll");
    transmitter.queue_as("wakes-the-poll", json!("x"));
    eventually("a poll is held", || {
        (transmitter.requests("POST /poll").len() > polls).then_some(())
    });
    transmitter.forget_streams();
    instance.operator().get(&format!("{}/status", source.path()), 502);
    eventually("there is a new stream, and it is known", || {
        let shown = instance.operator().get(&source.path(), 200);
        (shown["stream"]["stream_id"] == "stream-2").then_some(())
    });
    transmitter.fail("POST /poll", Fault::Instead(Reply::status(404)));
    transmitter.release();
    until_done(&instance, &source);
    let jti = transmitter.queue(&transmitter.draft());
    until_received(&instance, &source, &[jti]);
    assert_eq!(transmitter.requests("POST /streams").len(), 2);
    assert_eq!(transmitter.requests("PATCH /streams").len(), 0);
    assert!(problems(&instance, &source).is_empty());
}
