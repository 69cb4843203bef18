//! Grants that an operator decides: who waits, what each decision means, and how many may wait.

use serde_json::{Value, json};

use crate::harness::{Answer, Options, Reply};
use crate::support::{assert_problem, pointer_of};

use super::{
    CALLBACK, ORIGIN, RATE, SENDER, Sender, Target, assert_grants_nothing, assert_options_answer, grants_path, soon,
};

/// A source where an operator decides.
fn decided() -> Value {
    json!({"handshake": "operator"})
}

#[track_caller]
fn state_of(target: &Target, origin: &str) -> (Value, Value, Value) {
    let grant = target.grant_of(origin).unwrap_or_else(|| panic!("nothing of {origin}"));
    (
        grant["state"].clone(),
        grant["via"].clone(),
        grant["allowed_rate"].clone(),
    )
}

/// The answer to a decision shows all grants as they are now.
#[track_caller]
fn assert_shows(answer: &Answer, target: &Target) {
    assert_eq!(answer.json(), json!({"grants": target.grants()}));
}

#[test]
fn whoever_asks_waits_and_an_approval_counts_from_the_next_question() {
    let target = Target::start(Options::default(), &decided());
    let asks = |expected: Option<&str>| {
        let answer = target.options(&[(ORIGIN, SENDER), (RATE, "6000")], 200);
        assert_options_answer(&answer);
        assert_eq!(answer.header("webhook-allowed-rate"), expected);
        match expected {
            None => assert_grants_nothing(&answer),
            Some(_) => assert_eq!(answer.header("webhook-allowed-origin"), Some(SENDER)),
        }
    };
    asks(None);
    assert_eq!(state_of(&target, SENDER), (json!("pending"), Value::Null, Value::Null));
    asks(None);
    assert_eq!(target.grants().len(), 1);

    let answer = target.decide(&json!({"origin": SENDER, "action": "approve"}), 200);
    assert_shows(&answer, &target);
    assert_eq!(
        state_of(&target, SENDER),
        (json!("granted"), json!("operator"), json!(6000))
    );
    asks(Some("6000"));
    assert_eq!(
        state_of(&target, SENDER),
        (json!("granted"), json!("operator"), json!(6000))
    );
    target.push(&[], 403);
    target.push(&[(ORIGIN, SENDER)], 202);
    // Another one still waits, and delivers nothing.
    let other = target.options(&[(ORIGIN, "other.example.com")], 200);
    assert_grants_nothing(&other);
    target.push(&[(ORIGIN, "other.example.com")], 403);
}

#[test]
fn an_operator_may_set_the_rate() {
    let target = Target::start(Options::default(), &decided());
    for (origin, rate, header) in [
        ("a.example.com", json!(7), "7"),
        // Who names a rate is granted it where there is no limit.
        ("b.example.com", json!("*"), "2000000"),
        ("c.example.com", json!(1_000_000), "1000000"),
    ] {
        target.options(&[(ORIGIN, origin), (RATE, "2000000")], 200);
        target.decide(
            &json!({"origin": origin, "action": "approve", "allowed_rate": rate}),
            200,
        );
        assert_eq!(state_of(&target, origin), (json!("granted"), json!("operator"), rate));
        let answer = target.options(&[(ORIGIN, origin), (RATE, "2000000")], 200);
        assert_eq!(answer.header("webhook-allowed-rate"), Some(header), "{answer}");
    }
    // A smaller wish is granted as it is.
    let answer = target.options(&[(ORIGIN, "c.example.com"), (RATE, "9")], 200);
    assert_eq!(answer.header("webhook-allowed-rate"), Some("9"), "{answer}");
    // It does not make the decision smaller.
    let answer = target.options(&[(ORIGIN, "c.example.com"), (RATE, "500")], 200);
    assert_eq!(answer.header("webhook-allowed-rate"), Some("500"), "{answer}");
    let answer = target.options(&[(ORIGIN, "b.example.com")], 200);
    assert_eq!(answer.header("webhook-allowed-rate"), Some("*"), "{answer}");
}

#[test]
fn a_rejection_stands_until_the_operator_thinks_again() {
    let target = Target::start(Options::default(), &decided());
    target.options(&[(ORIGIN, SENDER)], 200);
    let answer = target.decide(&json!({"origin": SENDER, "action": "reject"}), 200);
    assert_shows(&answer, &target);
    let (state, _, rate) = state_of(&target, SENDER);
    assert_eq!((state, rate), (json!("rejected"), Value::Null));
    // Asking again does not wear the operator out.
    for _ in 0..2 {
        let headers = [(ORIGIN, SENDER)];
        let asked = target.instance.anyone();
        let again = asked
            .try_send("OPTIONS", &target.source.receive_path(), &headers, b"")
            .expect("an answer");
        assert!([200, 403].contains(&again.status), "{again}");
        assert_grants_nothing(&again);
        assert_eq!(state_of(&target, SENDER).0, json!("rejected"));
    }
    target.decide(&json!({"origin": SENDER, "action": "approve"}), 200);
    let granted = target.options(&[(ORIGIN, SENDER)], 200);
    assert_eq!(granted.header("webhook-allowed-origin"), Some(SENDER));
    target.push(&[(ORIGIN, SENDER)], 202);
}

/// A revocation would mean nothing if the sender had only to ask again.
#[test]
fn who_was_revoked_is_not_granted_again_by_asking() {
    for way in ["answer", "callback", "operator"] {
        let sender = Sender::start();
        let mut members = sender.members();
        members["handshake"] = json!(way);
        let target = Target::start(soon(), &members);
        let ask = || {
            let headers = [(ORIGIN, SENDER), (CALLBACK, &*sender.callback())];
            let anyone = target.instance.anyone();
            anyone
                .try_send("OPTIONS", &target.source.receive_path(), &headers, b"")
                .expect("an answer")
        };
        ask();
        if way == "operator" {
            target.decide(&json!({"origin": SENDER, "action": "approve"}), 200);
        }
        target.wait_for(SENDER, "granted, and nothing is under way any more", |grant| {
            let settled = grant["callback"].is_null() || grant["callback"]["state"] == "called";
            grant["state"] == "granted" && settled
        });
        let answer = target.decide(&json!({"origin": SENDER, "action": "revoke"}), 200);
        assert_shows(&answer, &target);
        let calls = sender.calls().len();
        let again = ask();
        assert_grants_nothing(&again);
        assert_ne!(state_of(&target, SENDER).0, json!("granted"), "{way}");
        target.push(&[(ORIGIN, SENDER)], 403);
        assert_eq!(sender.calls().len(), calls, "{way}");
        // The operator's word brings it back.
        target.decide(&json!({"origin": SENDER, "action": "approve"}), 200);
        target.push(&[(ORIGIN, SENDER)], 202);
    }
}

/// WH-4.1-30: an approval is what the sender waits for, so its callback is told, where it may be called.
#[test]
fn an_approval_calls_the_callback_that_waits() {
    let sender = Sender::start();
    let members = json!({"handshake": "operator", "callback_hosts": [sender.host()]});
    let target = Target::start(soon(), &members);
    target.options(&[(ORIGIN, SENDER), (RATE, "600"), (CALLBACK, &sender.callback())], 200);
    let waiting = target.grant_of(SENDER).expect("it is on record");
    assert_eq!(waiting["callback"]["attempts"], json!(0), "{waiting}");
    assert_eq!(sender.calls().len(), 0);
    target.decide(&json!({"origin": SENDER, "action": "approve", "allowed_rate": 30}), 200);
    let call = sender.endpoint.wait_for(1);
    assert_eq!(call.header("webhook-allowed-rate"), Some("30"));
    assert_eq!(call.header("webhook-allowed-origin"), Some(SENDER));
    let granted = target.wait_for(SENDER, "called", |grant| grant["callback"]["state"] == "called");
    assert_eq!(
        (&granted["state"], &granted["via"]),
        (&json!("granted"), &json!("operator"))
    );
}

#[test]
fn a_rejection_calls_nobody() {
    let sender = Sender::start();
    let members = json!({"handshake": "operator", "callback_hosts": [sender.host()]});
    let target = Target::start(soon(), &members);
    target.options(&[(ORIGIN, SENDER), (CALLBACK, &sender.callback())], 200);
    target.decide(&json!({"origin": SENDER, "action": "reject"}), 200);
    // The next callback, of another origin, is the first.
    target.options(
        &[
            (ORIGIN, "other.example.com"),
            (CALLBACK, &sender.endpoint.url("/other")),
        ],
        200,
    );
    target.decide(&json!({"origin": "other.example.com", "action": "approve"}), 200);
    assert_eq!(sender.endpoint.wait_for(1).target, "/other");
    target.wait_for("other.example.com", "called", |grant| {
        grant["callback"]["state"] == "called"
    });
    assert_eq!(sender.calls().len(), 1);
}

/// A rejection while the callback is still tried ends that.
#[test]
fn a_decision_ends_the_attempts_of_a_callback() {
    let sender = Sender::start();
    let target = Target::start(soon().set("CALLBACK_RETRY_MS", 600_000), &sender.members());
    sender.endpoint.then(Reply::status(500));
    target.options(&[(ORIGIN, SENDER), (CALLBACK, &sender.callback())], 200);
    target.wait_for(SENDER, "tried once", |grant| grant["callback"]["attempts"] == 1);
    target.decide(&json!({"origin": SENDER, "action": "reject"}), 200);
    let grant = target.grant_of(SENDER).expect("it is on record");
    assert_eq!(grant["state"], json!("rejected"));
    assert!(
        grant["callback"].is_null() || grant["callback"]["next_attempt_at"].is_null(),
        "{grant}"
    );
}

/// Anybody may ask, so there is a bound; the oldest question goes, and no decision does.
#[test]
fn at_most_twenty_wait() {
    let target = Target::start(Options::default(), &decided());
    let origin = |number: usize| format!("s{number}.example.com");
    target.options(&[(ORIGIN, "granted.example.com")], 200);
    target.decide(&json!({"origin": "granted.example.com", "action": "approve"}), 200);
    target.options(&[(ORIGIN, "rejected.example.com")], 200);
    target.decide(&json!({"origin": "rejected.example.com", "action": "reject"}), 200);
    for number in 0..23 {
        target.options(&[(ORIGIN, &origin(number))], 200);
    }
    let grants = target.grants();
    let of_state = |state: &str| {
        let with_state = grants.iter().filter(|grant| grant["state"] == *state);
        let names = with_state.map(|grant| grant["origin"].as_str().expect("a name").to_owned());
        names.collect::<Vec<_>>()
    };
    // Newest first.
    let expected: Vec<String> = (3..23).rev().map(origin).collect();
    assert_eq!(of_state("pending"), expected);
    assert_eq!(of_state("granted"), ["granted.example.com"]);
    assert_eq!(of_state("rejected"), ["rejected.example.com"]);
    target.decide(&json!({"origin": origin(0), "action": "approve"}), 404);
}

#[test]
fn a_decision_that_is_none_is_refused_with_its_place() {
    let target = Target::start(Options::default(), &decided());
    target.options(&[(ORIGIN, SENDER)], 200);
    for (request, pointer) in [
        (json!([]), ""),
        (json!({"action": "approve"}), "/origin"),
        (json!({"origin": 5, "action": "approve"}), "/origin"),
        (json!({"origin": SENDER}), "/action"),
        (json!({"origin": SENDER, "action": "bless"}), "/action"),
        (json!({"origin": SENDER, "action": null}), "/action"),
        (
            json!({"origin": SENDER, "action": "approve", "allowed_rate": 0}),
            "/allowed_rate",
        ),
        (
            json!({"origin": SENDER, "action": "approve", "allowed_rate": 1.5}),
            "/allowed_rate",
        ),
        (
            json!({"origin": SENDER, "action": "approve", "allowed_rate": 1_000_001}),
            "/allowed_rate",
        ),
        (
            json!({"origin": SENDER, "action": "approve", "allowed_rate": "60"}),
            "/allowed_rate",
        ),
        (json!({"origin": SENDER, "action": "approve", "rate": 60}), "/rate"),
        (
            json!({"origin": SENDER, "action": "reject", "allowed_rate": 60}),
            "/allowed_rate",
        ),
        (
            json!({"origin": SENDER, "action": "revoke", "allowed_rate": 60}),
            "/allowed_rate",
        ),
    ] {
        assert_eq!(pointer_of(&target.decide(&request, 400)), pointer, "{request}");
    }
    assert_eq!(state_of(&target, SENDER).0, json!("pending"));
    for action in ["approve", "reject", "revoke"] {
        let unknown = target.decide(&json!({"origin": "never-asked.example.com", "action": action}), 404);
        assert_problem(&unknown, 404);
    }
    // The name counts, not its spelling.
    target.decide(&json!({"origin": "TX.Example.com.", "action": "approve"}), 200);
    assert_eq!(state_of(&target, SENDER).0, json!("granted"));
}

/// Only who may change sources may decide.
#[test]
fn strangers_neither_see_nor_decide() {
    let target = Target::start(Options::default(), &decided());
    target.options(&[(ORIGIN, SENDER)], 200);
    let path = grants_path(&target.source);
    let acme = crate::support::Acme::register(&target.instance, &[]);
    for client in [
        target.instance.anyone(),
        acme.api,
        target.source.transmitter(&target.instance),
    ] {
        let decision = json!({"origin": SENDER, "action": "approve"});
        client.send("GET", &path, &[], b"", 401);
        client.send_json("POST", &path, &decision, 401);
        client.send_json("PATCH", &target.source.path(), &json!({"allowed_rate": 1}), 401);
    }
    let operator = target.instance.operator();
    operator.get(&format!("/admin/sources/{}/grants", "0".repeat(64)), 404);
    target.instance.operator().delete(&target.source.path(), 204);
    operator.get(&path, 404);
    operator.send_json("POST", &path, &json!({"origin": SENDER, "action": "approve"}), 404);
    operator.send_json("PATCH", &target.source.path(), &json!({"allowed_rate": 1}), 404);
}
