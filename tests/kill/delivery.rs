//! Events that were accepted: published, answered 202, then the process dies.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Instance, Options, Reply, ScriptedReceiver, eventually};
use crate::support::{Acme, Set, event, pointer_of, publish};

/// Retries come soon after a restart.
fn options() -> Options {
    Options::default().set("RETRY_BASE_MS", 20).set("RETRY_CAP_MS", 100)
}

#[test]
fn an_event_whose_push_was_not_answered_arrives_after_the_restart() {
    let mut instance = Instance::start(options());
    let receiver = ScriptedReceiver::start();
    let acme = Acme::register(&instance, &[&receiver.url("/")]);
    let stream = acme.push_stream(&receiver.url("/events"));
    let held = receiver.then_held(Reply::status(202));
    publish(
        &instance.operator(),
        &[event("evt-1", "ana@example.com"), event("evt-2", "ana@example.com")],
    );
    let first = Set::decode(receiver.wait_for(1).text());
    instance.kill();
    held.open();

    instance.restart();
    // Nobody needs to ask for anything: the alarm is stored too.
    let again = Set::decode(receiver.wait_for(2).text());
    assert_eq!((again.jti(), &again.claims_bytes), (first.jti(), &first.claims_bytes));
    let second = Set::decode(receiver.wait_for(3).text());
    assert_eq!(second.text("txn"), "txn-evt-2");
    eventually("the queue is empty", || {
        (stream.health(&instance)["queued_events"] == json!(0)).then_some(())
    });
    assert_eq!(receiver.requests().len(), 3);
}

#[test]
fn an_event_that_waits_for_its_next_attempt_arrives_after_the_restart() {
    let mut instance = Instance::start(options());
    let receiver = ScriptedReceiver::start();
    let acme = Acme::register(&instance, &[&receiver.url("/")]);
    let stream = acme.push_stream(&receiver.url("/events"));
    receiver.then(Reply::status(503).header("retry-after", "1"));
    publish(&instance.operator(), &[event("evt-1", "ana@example.com")]);
    let refused = receiver.wait_for(1);
    eventually("the hold is known", || {
        stream.health(&instance)["hold"]["reason"].is_string().then_some(())
    });
    instance.restart();
    let again = receiver.wait_for(2);
    assert_eq!(Set::decode(again.text()).jti(), Set::decode(refused.text()).jti());
    assert!(
        (again.at - refused.at).as_millis() >= 999,
        "Retry-After is kept over the restart"
    );
}

#[test]
fn a_polled_event_and_its_acknowledgement_survive() {
    let mut instance = Instance::start(options());
    let acme = Acme::register(&instance, &[]);
    let stream = acme.poll_stream();
    publish(
        &instance.operator(),
        &[event("evt-1", "ana@example.com"), event("evt-2", "bob@example.com")],
    );
    instance.restart();
    let before = stream.poll_now();
    assert_eq!(before.len(), 2);

    instance.restart();
    // Handed out before, so it may be acknowledged without being seen again.
    let first = before
        .iter()
        .find(|(_, set)| Set::decode(set).email() == "ana@example.com")
        .expect("ana's event");
    stream.ack(&[&first.0]);
    instance.restart();
    let after = stream.poll_now();
    assert_eq!(after.len(), 1, "what was acknowledged stays so");
    let second = before.iter().find(|(jti, _)| *jti != first.0).expect("bob's event");
    assert_eq!(
        &after[0], second,
        "the same event: same claims, and RS256 signs them the same way"
    );
}

#[test]
fn an_id_is_still_remembered() {
    let mut instance = Instance::start(options());
    let stream = Acme::register(&instance, &[]).poll_stream();
    publish(&instance.operator(), &[event("evt-1", "ana@example.com")]);
    instance.restart();
    publish(&instance.operator(), &[event("evt-1", "ana@example.com")]);
    assert_eq!(
        stream.poll_now().len(),
        1,
        "a publisher that got no answer may send again"
    );
    let other = json!({"events": [event("evt-1", "bob@example.com")]});
    assert_eq!(
        pointer_of(&instance.operator().send_json("POST", "/events", &other, 409)),
        "/events/0/id"
    );
}

#[test]
fn dead_letters_stay() {
    let mut instance = Instance::start(options());
    let receiver = ScriptedReceiver::start();
    let stream = Acme::register(&instance, &[&receiver.url("/")]).push_stream(&receiver.url("/events"));
    receiver.then(Reply::json(
        400,
        &json!({"err": "invalid_audience", "description": "no"}),
    ));
    publish(&instance.operator(), &[event("evt-1", "ana@example.com")]);
    let letters = eventually("there is a dead letter", || {
        Some(stream.dead_letters(&instance)).filter(|letters| letters.len() == 1)
    });
    instance.restart();
    assert_eq!(stream.dead_letters(&instance), letters);
    publish(&instance.operator(), &[event("evt-2", "ana@example.com")]);
    let next = Set::decode(receiver.wait_for(2).text());
    assert_eq!(next.text("txn"), "txn-evt-2", "a dead event is not sent again");
}

#[test]
fn nothing_accepted_is_lost_however_often_the_process_dies() {
    let mut instance = Instance::start(options());
    let receiver = ScriptedReceiver::start();
    let acme = Acme::register(&instance, &[&receiver.url("/")]);
    let stream = acme.push_stream(&receiver.url("/events"));
    // Some pushes are lost on the way, so that the process dies with all kinds of things unfinished.
    let count = std::sync::atomic::AtomicUsize::new(0);
    receiver.otherwise_decide(
        move |_| match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % 4 {
            1 => Reply::status(500),
            3 => Reply::Reset,
            _ => Reply::status(202),
        },
    );
    let mut published = BTreeSet::new();
    let mut kills = 0;
    for round in 0..5 {
        let batch: Vec<Value> = (0..20)
            .map(|number| event(&format!("evt-{round}-{number}"), &format!("{}@example.com", number % 5)))
            .collect();
        publish(&instance.operator(), &batch);
        published.extend(
            batch
                .iter()
                .map(|event| event["txn"].as_str().expect("a txn").to_owned()),
        );
        // After some of them were pushed.
        receiver.wait_for(round * 10 + 1);
        instance.restart();
        kills += 1;
    }
    eventually("the queue is empty", || {
        (stream.health(&instance)["queued_events"] == json!(0)).then_some(())
    });
    let pushes: Vec<Set> = receiver
        .requests()
        .iter()
        .map(|push| Set::decode(push.text()))
        .collect();
    let arrived: BTreeSet<String> = pushes.iter().map(|set| set.text("txn").to_owned()).collect();
    assert_eq!(arrived, published);
    // One event has one jti, however often it was sent.
    let jtis: BTreeSet<&str> = pushes.iter().map(Set::jti).collect();
    assert_eq!(jtis.len(), published.len());
    assert_eq!(stream.health(&instance)["dead_letters"], json!(0));
    // Every second push failed by the script. Of the others, what is not an event's own one comes from the kills.
    let failed = pushes.len() / 2;
    let repeated = pushes.len() - failed - published.len();
    assert!(
        repeated <= kills * 2 * 6,
        "{repeated} repeats: at most 2 × WINDOW for each kill (design 4)"
    );
}
