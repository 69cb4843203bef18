//! One subject's misery beside another's, on the same stream (design 4: a failure delays only its own lane).

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Instance, Options, Reply, ScriptedReceiver, eventually};
use crate::support::{Acme, Stream, event, publish};

use super::{set_of, soon};

/// A stream whose receiver never answers what is about Ana.
fn hanging_on_ana(options: Options) -> (Instance, ScriptedReceiver, Stream) {
    let instance = Instance::start(options.set("PUSH_TIMEOUT_MS", 60_000));
    let receiver = ScriptedReceiver::start();
    let acme = Acme::register(&instance, &[&receiver.url("/")]);
    let stream = acme.push_stream(&receiver.url("/events"));
    receiver.then(Reply::Never);
    publish(&instance.operator(), &[event("ana-1", "ana@example.com")]);
    receiver.wait_for(1);
    (instance, receiver, stream)
}

#[test]
fn a_subject_that_hangs_does_not_hold_up_another_ones_next_attempt() {
    let (instance, receiver, stream) = hanging_on_ana(soon());
    receiver.then(Reply::status(500)).then(Reply::Reset);
    publish(
        &instance.operator(),
        &[event("bob-1", "bob@example.com"), event("bob-2", "bob@example.com")],
    );
    // Three attempts of the first, one of the second; and nobody asks the stream anything meanwhile.
    let pushes: Vec<String> = (2..=5)
        .map(|nth| set_of(&receiver.wait_for(nth)).text("txn").to_owned())
        .collect();
    assert_eq!(pushes, ["txn-bob-1", "txn-bob-1", "txn-bob-1", "txn-bob-2"]);
    eventually("only ana's event waits", || {
        (stream.health(&instance)["queued_events"] == json!(1)).then_some(())
    });
}

#[test]
fn a_subject_that_hangs_does_not_hold_up_others_when_the_run_is_over() {
    let (instance, receiver, stream) = hanging_on_ana(soon().set("RUN_MS", 1000));
    let hangs_since = Instant::now();
    let mut published = 0;
    // Through the end of the run in which Ana's push left, and of the next.
    while hangs_since.elapsed() < Duration::from_millis(2500) {
        published += 1;
        let next = event(&format!("bob-{published}"), "bob@example.com");
        publish(&instance.operator(), &[next]);
        let push = set_of(&receiver.wait_for(1 + published));
        assert_eq!(push.text("txn"), format!("txn-bob-{published}"));
    }
    eventually("only ana's event waits", || {
        (stream.health(&instance)["queued_events"] == json!(1)).then_some(())
    });
}
