//! What was granted, what waits and what was used up outlive the process.

use serde_json::{Value, json};

use crate::harness::{Options, Reply};

use super::{CALLBACK, ORIGIN, RATE, SENDER, Sender, Target, assert_grants_nothing, soon};

#[test]
fn grants_and_decisions_survive_a_restart() {
    let mut target = Target::start(Options::default(), &json!({"handshake": "operator"}));
    for (origin, action) in [
        ("approved.example.com", Some("approve")),
        ("rejected.example.com", Some("reject")),
        ("waiting.example.com", None),
    ] {
        target.options(&[(ORIGIN, origin), (RATE, "6000")], 200);
        if let Some(action) = action {
            target.decide(&json!({"origin": origin, "action": action}), 200);
        }
    }
    let before = target.grants();
    target.instance.restart();
    assert_eq!(target.grants(), before);
    let granted = target.options(&[(ORIGIN, "approved.example.com"), (RATE, "6000")], 200);
    assert_eq!(granted.header("webhook-allowed-rate"), Some("6000"));
    assert_grants_nothing(&target.options(&[(ORIGIN, "waiting.example.com")], 200));
    target.push(&[], 403);
    target.push(&[(ORIGIN, "waiting.example.com")], 403);
    target.push(&[(ORIGIN, "rejected.example.com")], 403);
    target.push(&[(ORIGIN, "approved.example.com")], 202);
}

/// Whoever crashes does not get its rate anew.
#[test]
fn a_rate_that_is_used_up_is_used_up_after_a_restart() {
    let mut target = Target::start(
        Options::default(),
        &json!({"allowed_origins": [SENDER], "allowed_rate": 1}),
    );
    target.options(&[(ORIGIN, SENDER)], 200);
    target.push(&[(ORIGIN, SENDER)], 202);
    let refused = target.push(&[(ORIGIN, SENDER)], 429);
    let wait = |answer: &crate::harness::Answer| -> u64 {
        answer
            .header("retry-after")
            .and_then(|text| text.parse().ok())
            .expect("seconds")
    };
    target.instance.restart();
    let again = target.push(&[(ORIGIN, SENDER)], 429);
    // What is paid is written down a little ahead, so that it is not for every push: a crash costs the sender so much.
    assert!(wait(&again) <= wait(&refused) + 3, "{again}");
}

/// A callback that waits is called when the process is back; the answer before the crash was complete.
#[test]
fn a_callback_that_waits_is_called_after_a_restart() {
    let sender = Sender::start();
    let mut target = Target::start(Options::default().set("CALLBACK_DELAY_MS", 2000), &sender.members());
    target.options(&[(ORIGIN, SENDER), (RATE, "60"), (CALLBACK, &sender.callback())], 200);
    target.instance.kill();
    assert_eq!(sender.calls().len(), 0, "it was not due yet");
    target.instance.restart();
    let call = sender.endpoint.wait_for(1);
    assert_eq!(call.header("webhook-allowed-rate"), Some("60"));
    let granted = target.wait_for(SENDER, "granted", |grant| grant["state"] == "granted");
    assert_eq!(granted["via"], json!("callback"));
}

/// A crash while the callback is under way: it is called again, which the sender takes as the same grant.
#[test]
fn a_callback_under_way_is_called_again_after_a_restart() {
    let sender = Sender::start();
    let mut target = Target::start(soon(), &sender.members());
    let _never_opened = sender.endpoint.then_held(Reply::status(200));
    target.options(&[(ORIGIN, SENDER), (CALLBACK, &sender.callback())], 200);
    sender.endpoint.wait_for(1);
    target.instance.kill();
    target.instance.restart();
    let again = sender.endpoint.wait_for(2);
    assert_eq!(again.target, sender.calls()[0].target);
    target.wait_for(SENDER, "granted", |grant| grant["state"] == "granted");
}

/// A source that is deleted takes its grants along, and what it would have called.
#[test]
fn nothing_is_called_for_a_source_that_is_gone() {
    let sender = Sender::start();
    let target = Target::start(Options::default().set("CALLBACK_DELAY_MS", 300), &sender.members());
    target.options(&[(ORIGIN, SENDER), (CALLBACK, &sender.callback())], 200);
    target.instance.operator().delete(&target.source.path(), 204);
    // One that was created later, and whose callback comes later, is the first to be called.
    let later = target.another(&sender.members());
    let headers = [(ORIGIN, SENDER), (CALLBACK, &*sender.endpoint.url("/later"))];
    super::options_at(&target.instance.anyone(), &later.receive_path(), &headers, 200);
    assert_eq!(sender.endpoint.wait_for(1).target, "/later");
    let created = super::grants(&target.instance, &later);
    assert_eq!(created.len(), 1);
    assert_ne!(created[0]["callback"], Value::Null);
}
