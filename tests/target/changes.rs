//! What changes of a source mean for those who ask next.

use serde_json::{Value, json};

use crate::harness::Options;

use super::{CALLBACK, ORIGIN, RATE, SENDER, Sender, Target, assert_grants_nothing, soon};

#[test]
fn a_change_counts_for_the_next_question() {
    let sender = Sender::start();
    let target = Target::start(soon(), &json!({}));
    target.options(&[(ORIGIN, SENDER)], 403);
    target.change(&json!({"allowed_origins": [SENDER]}));
    let rate_of = |answer: crate::harness::Answer| answer.header("webhook-allowed-rate").map(str::to_owned);
    assert_eq!(rate_of(target.options(&[(ORIGIN, SENDER)], 200)).as_deref(), Some("*"));
    target.change(&json!({"allowed_rate": 20}));
    assert_eq!(rate_of(target.options(&[(ORIGIN, SENDER)], 200)).as_deref(), Some("20"));
    target.change(&json!({"allowed_rate": 1, "handshake": "callback", "callback_hosts": [sender.host()]}));
    let waiting = target.options(&[(ORIGIN, SENDER), (RATE, "6"), (CALLBACK, &sender.callback())], 200);
    assert_grants_nothing(&waiting);
    assert_eq!(sender.endpoint.wait_for(1).header("webhook-allowed-rate"), Some("1"));
    target.change(&json!({"allowed_origins": ["other.example.com"]}));
    target.options(&[(ORIGIN, SENDER)], 403);
}

/// The list and the operator's word are two ways: in operator mode everybody may ask, listed or not.
#[test]
fn in_operator_mode_the_list_admits_nobody_by_itself() {
    let target = Target::start(
        Options::default(),
        &json!({"allowed_origins": [SENDER], "handshake": "operator"}),
    );
    for origin in [SENDER, "other.example.com"] {
        assert_grants_nothing(&target.options(&[(ORIGIN, origin)], 200));
    }
    assert_eq!(target.grants().len(), 2);
    for malformed in ["", "https://tx.example.com", "*", "tx.example.com:443"] {
        assert_grants_nothing(&target.options(&[(ORIGIN, malformed)], 403));
    }
    assert_eq!(target.grants().len(), 2, "what is no origin does not wait");
}

/// A rate that is lowered takes effect with the next handshake, as for every sender (WH-4.2-36): until then what was
/// granted is kept.
#[test]
fn a_grant_keeps_its_rate_until_it_is_asked_for_again() {
    let target = Target::start(
        Options::default(),
        &json!({"allowed_origins": [SENDER], "allowed_rate": 6000}),
    );
    target.options(&[(ORIGIN, SENDER)], 200);
    target.change(&json!({"allowed_rate": 1}));
    assert_eq!(target.grant_of(SENDER).expect("a grant")["allowed_rate"], json!(6000));
    for _ in 0..5 {
        target.push(&[(ORIGIN, SENDER)], 202);
    }
    target.options(&[(ORIGIN, SENDER)], 200);
    assert_eq!(target.grant_of(SENDER).expect("a grant")["allowed_rate"], json!(1));
}

/// The record of an origin is its last question and its last answer.
#[test]
fn the_newest_question_stands_first() {
    let target = Target::start(Options::default(), &json!({"allowed_origins": ["*"]}));
    let origins = |grants: Vec<Value>| {
        let names = grants
            .iter()
            .map(|grant| grant["origin"].as_str().expect("a name").to_owned());
        names.collect::<Vec<_>>()
    };
    for origin in ["a.example.com", "b.example.com", "c.example.com"] {
        target.options(&[(ORIGIN, origin)], 200);
        crate::outbox::a_moment_between();
    }
    assert_eq!(
        origins(target.grants()),
        ["c.example.com", "b.example.com", "a.example.com"]
    );
    target.options(&[(ORIGIN, "a.example.com"), (RATE, "5")], 200);
    assert_eq!(
        origins(target.grants()),
        ["a.example.com", "c.example.com", "b.example.com"]
    );
    assert_eq!(target.grants()[0]["requested_rate"], json!(5));
}
