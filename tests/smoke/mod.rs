//! The harness itself: an instance starts, answers, dies and comes back; its peers do as they are told.

use serde_json::json;

use crate::harness::{Client, Instance, Key, Options, Recorded, Reply, ScriptedReceiver, ScriptedTransmitter};

#[test]
fn an_instance_says_what_it_is() {
    let instance = Instance::start(Options::default());
    let answer = instance.anyone().get("/console.json", 200);
    assert_eq!(answer["name"], "Heliograph");
}

#[test]
fn a_killed_instance_comes_back_on_the_same_port() {
    let mut instance = Instance::start(Options::default());
    instance.kill();
    assert!(
        instance.anyone().try_get("/console.json").is_err(),
        "a killed instance refuses connections"
    );
    instance.restart();
    instance.anyone().get("/console.json", 200);
}

#[test]
fn a_receiver_plays_its_script_and_records_what_came() {
    let receiver = ScriptedReceiver::start();
    receiver
        .then(Reply::status(503).header("retry-after", "1"))
        .then(Reply::Reset)
        .then(Reply::Close);
    let gate = receiver.then_held(Reply::json(400, &json!({"err": "invalid_key"})));
    let push = |body: &'static str| {
        let url = receiver.url("/events");
        std::thread::spawn(move || {
            Client::to(&url).try_send("POST", "", &[("content-type", "text/plain")], body.as_bytes())
        })
    };

    assert_eq!(
        push("one")
            .join()
            .expect("no panic")
            .expect("an answer")
            .header("retry-after"),
        Some("1")
    );
    assert!(push("two").join().expect("no panic").is_err());
    assert!(push("three").join().expect("no panic").is_err());
    let held = push("four");
    let fourth: Recorded = receiver.wait_for(4);
    assert_eq!(
        (fourth.method.as_str(), fourth.target.as_str(), fourth.text()),
        ("POST", "/events", "four")
    );
    assert!(!held.is_finished(), "held until the gate opens");
    gate.open();
    assert_eq!(
        held.join().expect("no panic").expect("an answer").json()["err"],
        "invalid_key"
    );
    assert_eq!(push("five").join().expect("no panic").expect("an answer").status, 202);
    assert_eq!(receiver.requests().len(), 5);
}

#[test]
fn a_transmitter_publishes_the_key_it_signs_with() {
    let transmitter = ScriptedTransmitter::start();
    let keys = Client::to(&transmitter.issuer()).get("/jwks.json", 200);
    assert_eq!(keys["keys"], json!([Key::First.jwk()]));
    assert_eq!(transmitter.key_fetches(), 1);
    let draft = transmitter.draft("https://acme.example");
    assert_eq!(draft.sign().split('.').count(), 3);
    assert_ne!(draft.sign(), draft.clone().forged_with(Key::Second).sign());
    assert!(draft.unsigned().ends_with('.'));
}
