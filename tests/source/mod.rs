//! Sources whose stream is managed at the transmitter: set-up, push, poll, health, and how they end.

mod changes;
mod leaving;
mod legacy;
mod lost;
mod polling;
mod pushing;
mod set_up;
mod tokens;
mod two;

use serde_json::{Value, json};

use crate::harness::{Instance, Options, SsfTransmitter, eventually};
use crate::support::{ACME_AUDIENCE, Source};

/// Failures are mended fast.
fn options() -> Options {
    Options::default()
        .set("RETRY_BASE_MS", 40)
        .set("RETRY_CAP_MS", 200)
        .set("KEY_REFETCH_MS", 100)
        .set("POLL_IDLE_MS", 50)
        .set("SETUP_AGAIN_S", 1)
}

fn credentials() -> Value {
    json!({"client_id": "client", "client_secret": "secret"})
}

fn request(transmitter: &SsfTransmitter, delivery: &str) -> Value {
    json!({
        "issuer": transmitter.issuer(), "audience": ACME_AUDIENCE, "delivery": delivery, "credentials": credentials(),
    })
}

/// A source that is set up at this transmitter.
#[track_caller]
fn managed(instance: &Instance, transmitter: &SsfTransmitter, delivery: &str) -> Source {
    let source = Source::create(instance, &request(transmitter, delivery));
    until_done(instance, &source);
    source
}

/// The same, with both sides started for it.
#[track_caller]
fn connect(options: Options, delivery: &str) -> (Instance, SsfTransmitter, Source) {
    let instance = Instance::start(options);
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    let source = managed(&instance, &transmitter, delivery);
    (instance, transmitter, source)
}

#[track_caller]
fn setup(instance: &Instance, source: &Source) -> Value {
    instance.operator().get(&format!("{}/setup", source.path()), 200)
}

#[track_caller]
fn health(instance: &Instance, source: &Source) -> Value {
    instance.operator().get(&format!("{}/health", source.path()), 200)
}

#[track_caller]
fn until_done(instance: &Instance, source: &Source) {
    until_set_up(instance, source, "done");
}

#[track_caller]
fn until_set_up(instance: &Instance, source: &Source, state: &str) -> Value {
    let path = format!("{}/setup?wait=1", source.path());
    let mut last = Value::Null;
    let began = std::time::Instant::now();
    while began.elapsed() < crate::harness::DEADLINE {
        last = instance.operator().get(&path, 200);
        if last["state"] == state {
            return last;
        }
    }
    panic!("the set-up is not {state}: {last:#}");
}

/// The codes of the problems.
#[track_caller]
fn problems(instance: &Instance, source: &Source) -> Vec<String> {
    let health = health(instance, source);
    let problems = health["problems"].as_array().expect("an array");
    problems
        .iter()
        .map(|problem| problem["code"].as_str().expect("a code").to_owned())
        .collect()
}

#[track_caller]
fn until_problem(instance: &Instance, source: &Source, code: &str) {
    eventually(code, || {
        problems(instance, source)
            .iter()
            .any(|found| found == code)
            .then_some(())
    });
}

#[track_caller]
fn until_no_problem(instance: &Instance, source: &Source, code: &str) {
    eventually(code, || {
        (!problems(instance, source).iter().any(|found| found == code)).then_some(())
    });
}

/// The events of the inbox that are not about the stream.
#[track_caller]
fn received(instance: &Instance, source: &Source) -> Vec<String> {
    let inbox = source.inbox(instance);
    let about_others = |event: &&Value| !event["type"].as_str().unwrap_or_default().contains("/ssf/");
    inbox
        .iter()
        .filter(about_others)
        .map(|event| event["jti"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[track_caller]
fn until_received(instance: &Instance, source: &Source, expected: &[String]) {
    eventually("the events are in the inbox", || {
        let mut found = received(instance, source);
        let mut expected = expected.to_vec();
        found.sort();
        expected.sort();
        (found == expected).then_some(())
    });
}
