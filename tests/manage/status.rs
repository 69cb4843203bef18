//! The status of a stream as its receiver sets it (SSF 8.1.2): what is told, what is held, and what is lost.

use serde_json::{Value, json};

use crate::harness::{Instance, Options, Reply, ScriptedReceiver, eventually};
use crate::support::{event, pointer_of};

use super::{Stream, Tenant, about_ana, briefs, pushed_to, wait_for_pushes};

const STATUSES: [&str; 3] = ["enabled", "paused", "disabled"];

fn transitions() -> impl Iterator<Item = (&'static str, &'static str)> {
    STATUSES
        .into_iter()
        .flat_map(|from| STATUSES.into_iter().map(move |to| (from, to)))
}

/// SSF-8.1.1-21
#[test]
fn a_new_stream_is_enabled_for_no_particular_reason() {
    let instance = Instance::start(Options::default());
    let stream = Tenant::default(&instance).receiver(&[]).poll_stream();
    assert_eq!(stream.status(), json!({"status": "enabled"}));
    let health = stream.health();
    assert_eq!(
        (&health["status"], &health["reason"], &health["status_set_by"]),
        (&json!("enabled"), &json!(null), &json!("receiver"))
    );
}

/// SSF-8.1.2.1-5, SSF-8.1.2.1-11, SSF-8.1.2.1-12, SSF-8.1.2.2-1, SSF-8.1.2.2-2, SSF-8.1.2.2-4, SSF-8.1.2.2-6
#[test]
fn any_status_follows_any_and_keeps_its_reason_until_the_next_one() {
    let mut instance = Instance::start(Options::default());
    let tenant = Tenant::default(&instance);
    let endpoint = ScriptedReceiver::start();
    let receiver = tenant.receiver(&[&endpoint.url("/")]);
    let streams = [receiver.push_stream(&endpoint.url("/events")), receiver.poll_stream()];
    let long = "é".repeat(256);
    for stream in &streams {
        for (number, (from, to)) in transitions().enumerate() {
            let because = |status: &str| format!("{number}: now {status}");
            for status in [from, to] {
                let told = json!({"status": status, "reason": because(status)});
                assert_eq!(
                    stream.set_status_because(status, Some(&because(status))),
                    told,
                    "{from} to {to}"
                );
                assert_eq!(stream.status(), told, "{from} to {to}");
                let health = stream.health();
                assert_eq!(
                    (&health["status"], &health["reason"], &health["status_set_by"]),
                    (&json!(status), &json!(because(status)), &json!("receiver"))
                );
            }
            // The same again, with other reasons and with none.
            for (reason, kept) in [
                (Some("another"), true),
                (Some(long.as_str()), true),
                (Some(""), false),
                (None, false),
            ] {
                let told = match reason.filter(|_| kept) {
                    Some(reason) => json!({"status": to, "reason": reason}),
                    None => json!({"status": to}),
                };
                assert_eq!(
                    stream.set_status_because(to, reason),
                    told,
                    "{from} to {to}, {reason:?}"
                );
                assert_eq!(stream.status(), told, "{from} to {to}, {reason:?}");
            }
        }
        stream.set_status_because("paused", Some("until the restart"));
    }
    // It is not the object's memory that knows.
    instance.restart();
    for stream in &streams {
        assert_eq!(
            stream.status(),
            json!({"status": "paused", "reason": "until the restart"})
        );
        stream.set_status("enabled");
    }
    // SSF-8.1.2.2-6: what the receiver did itself it is not told.
    tenant.publish(&[about_ana("evt-1")]);
    wait_for_pushes(&endpoint, "/events", 1);
    assert_eq!(briefs(&pushed_to(&endpoint, "/events")), ["evt-1"]);
    assert_eq!(briefs(&streams[1].poll_now()), ["evt-1"]);
}

#[test]
fn a_request_that_is_refused_changes_nothing() {
    let instance = Instance::start(Options::default());
    let stream = Tenant::default(&instance).receiver(&[]).poll_stream();
    let told = stream.set_status_because("paused", Some("night shift"));
    for (members, pointer) in [
        (json!({"status": "Enabled"}), "/status"),
        (json!({"status": "stopped"}), "/status"),
        (json!({"status": ""}), "/status"),
        (json!({"status": null}), "/status"),
        (json!({"status": ["enabled"]}), "/status"),
        (json!({"reason": "no status"}), "/status"),
        (json!({"status": "enabled", "reason": null}), "/reason"),
        (json!({"status": "enabled", "reason": {"en": "why"}}), "/reason"),
        (json!({"status": "enabled", "reason": "x".repeat(257)}), "/reason"),
    ] {
        assert_eq!(pointer_of(&stream.try_status(&members, 400)), pointer, "{members}");
        assert_eq!(stream.status(), told, "{members}");
    }
    // What nobody knows is ignored.
    stream.try_status(
        &json!({"status": "paused", "reason": "night shift", "subject": {"format": "x"}}),
        200,
    );
    assert_eq!(stream.status(), told);
}

/// Streams of one method that go through all transitions at once, one event in each status.
struct Walk {
    streams: Vec<(&'static str, &'static str, String, Stream)>,
}

impl Walk {
    fn new(create: impl Fn(&str) -> Stream) -> Self {
        let path = |from: &str, to: &str| format!("/{from}-{to}");
        Self {
            streams: transitions()
                .map(|(from, to)| (from, to, path(from, to), create(&path(from, to))))
                .collect(),
        }
    }

    fn turn(&self, status: impl Fn(&'static str, &'static str) -> &'static str) {
        for (from, to, _, stream) in &self.streams {
            stream.set_status(status(from, to));
        }
    }
}

/// What a receiver gets in the end of A, B, C and D, where A was published when the stream was enabled, B in status `from`, C in
/// status `to`, and D when it was enabled again. `arrived`: whether A, and B while enabled, had been delivered before.
fn survivors(from: &str, to: &str, arrived: bool) -> Vec<&'static str> {
    let loses = |status: &str| status == "disabled";
    let mut expected = Vec::new();
    if arrived || !(loses(from) || loses(to)) {
        expected.push("A");
    }
    if !loses(from) && (!loses(to) || (arrived && from == "enabled")) {
        expected.push("B");
    }
    if !loses(to) {
        expected.push("C");
    }
    expected.push("D");
    expected
}

/// SSF-8.1.2.1-1 to SSF-8.1.2.1-3, and the state machine of SSF 8.1.2.2
#[test]
fn pushes_go_out_when_enabled_wait_when_paused_and_are_lost_when_disabled() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, &json!({"streams_per_client": 20}));
    let endpoint = ScriptedReceiver::start();
    let receiver = tenant.receiver(&[&endpoint.url("/")]);
    let walk = Walk::new(|path| receiver.push_stream(&endpoint.url(path)));
    let arrived = |path: &str| briefs(&pushed_to(&endpoint, path));
    let wait = |path: &str, expected: &[&str]| {
        wait_for_pushes(&endpoint, path, expected.len());
        assert_eq!(arrived(path), expected, "{path}");
    };
    tenant.publish(&[about_ana("A")]);
    for (_, _, path, _) in &walk.streams {
        wait(path, &["A"]);
    }
    walk.turn(|from, _| from);
    tenant.publish(&[about_ana("B")]);
    for (_, _, path, _) in walk.streams.iter().filter(|(from, ..)| *from == "enabled") {
        wait(path, &["A", "B"]);
    }
    walk.turn(|_, to| to);
    tenant.publish(&[about_ana("C")]);
    for (from, to, path, _) in walk.streams.iter().filter(|(_, to, ..)| *to == "enabled") {
        let expected = survivors(from, to, true);
        wait(path, &expected[..expected.len() - 1]);
    }
    // The enabled ones have everything: time enough for the others to do what they must not.
    for (from, to, path, _) in walk.streams.iter().filter(|(_, to, ..)| *to != "enabled") {
        let expected: &[&str] = if *from == "enabled" { &["A", "B"] } else { &["A"] };
        assert_eq!(arrived(path), expected, "nothing leaves a stream that is {to}");
    }
    walk.turn(|_, _| "enabled");
    tenant.publish(&[about_ana("D")]);
    for (from, to, path, stream) in &walk.streams {
        wait(path, &survivors(from, to, true));
        eventually("nothing waits", || {
            (stream.health()["queued_events"] == 0).then_some(())
        });
        assert_eq!(
            stream.dead_letters(),
            [] as [Value; 0],
            "SSF-8.1.2.1-3: lost, not failed"
        );
    }
    for (from, to, path, _) in &walk.streams {
        assert_eq!(arrived(path), survivors(from, to, true), "once each");
    }
}

/// SSF-8.1.2.1-1 to SSF-8.1.2.1-3, SSF-8.1.2-4
#[test]
fn polls_are_given_what_waits_when_enabled_and_nothing_else() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, &json!({"streams_per_client": 20}));
    let receiver = tenant.receiver(&[]);
    let walk = Walk::new(|_| receiver.poll_stream());
    let check_silence = |status: fn(&'static str, &'static str) -> &'static str| {
        for (from, to, _, stream) in &walk.streams {
            let answer = stream.poll(&json!({"returnImmediately": true}));
            if status(from, to) == "enabled" {
                assert_ne!(answer["sets"], json!({}), "{from} to {to}");
            } else {
                // No hint of what is held either.
                assert_eq!(answer, json!({"sets": {}}), "{from} to {to}");
            }
        }
    };
    tenant.publish(&[about_ana("A")]);
    walk.turn(|from, _| from);
    tenant.publish(&[about_ana("B")]);
    check_silence(|from, _| from);
    walk.turn(|_, to| to);
    tenant.publish(&[about_ana("C")]);
    check_silence(|_, to| to);
    walk.turn(|_, _| "enabled");
    tenant.publish(&[about_ana("D")]);
    for (from, to, _, stream) in &walk.streams {
        let expected = survivors(from, to, false);
        assert_eq!(
            stream.health()["queued_events"],
            json!(expected.len()),
            "{from} to {to}"
        );
        assert_eq!(briefs(&stream.drain()), expected, "{from} to {to}");
        assert_eq!(stream.dead_letters(), [] as [Value; 0]);
    }
}

/// SSF-8.1.2.1-4
#[test]
fn what_was_held_leaves_in_the_order_of_its_making() {
    let mut instance = Instance::start(Options::default());
    let tenant = Tenant::default(&instance);
    let endpoint = ScriptedReceiver::start();
    let receiver = tenant.receiver(&[&endpoint.url("/")]);
    let streams = [receiver.push_stream(&endpoint.url("/events")), receiver.poll_stream()];
    for stream in &streams {
        stream.set_status("paused");
    }
    let subjects = ["ana@example.com", "bob@example.com", "cyd@example.com"];
    let mut published: Vec<String> = Vec::new();
    for batch in 0..4 {
        let events: Vec<Value> = (0..12)
            .map(|number| event(&format!("{batch}-{number:02}"), subjects[number % 3]))
            .collect();
        published.extend(
            events
                .iter()
                .map(|event| event["id"].as_str().expect("an id").to_owned()),
        );
        tenant.publish(&events);
    }
    // Held in storage, not in memory.
    instance.restart();
    for stream in &streams {
        assert_eq!(stream.health()["queued_events"], json!(published.len()));
        stream.set_status("enabled");
    }
    let pushed = wait_for_pushes(&endpoint, "/events", published.len());
    for (number, subject) in subjects.iter().enumerate() {
        let about: Vec<_> = pushed.iter().filter(|set| set.email() == *subject).cloned().collect();
        let expected: Vec<&String> = published.iter().skip(number).step_by(3).collect();
        assert_eq!(briefs(&about).iter().collect::<Vec<_>>(), expected, "{subject}");
    }
    assert_eq!(pushed.len(), published.len());
    assert_eq!(briefs(&streams[1].drain()), published);
}

/// SSF-8.1.2.1-2, SSF-8.1.2.1-3
#[test]
fn a_push_that_fails_after_the_stream_was_stopped_is_not_tried_again_until_it_goes_on() {
    let instance = Instance::start(Options::default().set("RETRY_BASE_MS", 20).set("RETRY_CAP_MS", 40));
    let tenant = Tenant::create(&instance, &json!({}));
    let endpoint = ScriptedReceiver::start();
    let receiver = tenant.receiver(&[&endpoint.url("/")]);
    for (status, again) in [("paused", 1), ("disabled", 0)] {
        let path = format!("/{status}");
        let stream = receiver.push_stream(&endpoint.url(&path));
        let gate = endpoint.then_held(Reply::status(500));
        tenant.publish(&[about_ana(&format!("evt-{status}"))]);
        wait_for_pushes(&endpoint, &path, 1);
        stream.set_status(status);
        gate.open();
        eventually("the attempt has failed", || {
            (stream.deliveries().len() == 1).then_some(())
        });
        // Another stream with the same patience tries again and again meanwhile.
        let other = ScriptedReceiver::start();
        other.otherwise(Reply::status(500));
        let busy = tenant.receiver(&[&other.url("/")]).push_stream(&other.url("/events"));
        tenant.publish(&[about_ana(&format!("other-{status}"))]);
        other.wait_for(4);
        busy.delete();
        assert_eq!(pushed_to(&endpoint, &path).len(), 1, "not while it is {status}");
        stream.set_status("enabled");
        let name = format!("last-{status}");
        tenant.publish(&[about_ana(&name)]);
        let expected: Vec<String> = [
            format!("evt-{status}"),
            format!("evt-{status}"),
            format!("other-{status}"),
        ]
        .into_iter()
        .take(1 + 2 * again)
        .chain([name])
        .collect();
        assert_eq!(briefs(&wait_for_pushes(&endpoint, &path, expected.len())), expected);
        stream.delete();
    }
}

/// SSF-8.1.2-4
#[test]
fn acknowledgements_count_in_every_status() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, &json!({}));
    let stream = tenant.receiver(&[]).poll_stream();
    let events: Vec<Value> = (1..=4).map(|number| about_ana(&format!("evt-{number}"))).collect();
    tenant.publish(&events);
    let handed_out = stream.hand_out(2);
    stream.set_status("paused");
    // One is accepted, one refused.
    let answer = stream.poll(&json!({
        "returnImmediately": true,
        "ack": [handed_out[0].jti()],
        "setErrs": {handed_out[1].jti(): {"err": "invalid_audience", "description": "not me"}},
    }));
    assert_eq!(answer, json!({"sets": {}}));
    assert_eq!(stream.health()["queued_events"], json!(2));
    assert_eq!(stream.dead_letters()[0]["err"], json!("invalid_audience"));
    stream.ack(&handed_out);
    stream.set_status("enabled");
    assert_eq!(briefs(&stream.poll_now()).len(), 2);
    assert_eq!(briefs(&stream.drain()), ["evt-3", "evt-4"]);
    // Disabled there is nothing to acknowledge, and nothing wrong with doing it.
    stream.set_status("disabled");
    stream.ack(&handed_out);
}

/// SSF-8.1.2.1-1
#[test]
fn a_poll_that_is_held_is_answered_when_its_stream_goes_on() {
    let instance = Instance::start(Options::default().set("LONG_POLL_MS", 25_000));
    let tenant = Tenant::default(&instance);
    let stream = &tenant.receiver(&[]).poll_stream();
    stream.set_status("paused");
    std::thread::scope(|threads| {
        let held = threads.spawn(|| super::sets(&stream.poll(&json!({}))));
        stream.health();
        tenant.publish(&[about_ana("evt-1")]);
        assert!(!held.is_finished(), "what is held is not handed out");
        stream.set_status("enabled");
        assert_eq!(briefs(&held.join().expect("no panic")), ["evt-1"]);
    });
}

/// SSF-8.1.2-1
#[test]
fn streams_of_one_receiver_have_each_their_own_status() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::default(&instance);
    let receiver = tenant.receiver(&[]);
    let streams = STATUSES.map(|_| receiver.poll_stream());
    for (stream, status) in streams.iter().zip(STATUSES) {
        stream.set_status(status);
    }
    for (stream, status) in streams.iter().zip(STATUSES) {
        assert_eq!(stream.status(), json!({"status": status}));
    }
    assert_eq!(
        tenant.publish(&[about_ana("evt-1")]),
        2,
        "the disabled one takes nothing in"
    );
    let got = streams.each_ref().map(|stream| stream.poll_now().len());
    assert_eq!(got, [1, 0, 0]);
}
