//! After a grant: whoever delivers says as whom, and was granted that (WH-4.2-19, WH-2.1-8).

use serde_json::{Value, json};

use crate::harness::{Answer, Options};
use crate::support::ACME_AUDIENCE;

use super::{ORIGIN, RATE, SENDER, Target, options_at};

/// PUSH-2.3-2: a refusal that a transmitter of SETs understands. Its status is 403.
#[track_caller]
fn assert_denied(answer: &Answer) {
    assert_eq!(answer.status, 403, "{answer}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer}");
    assert_eq!(answer.header("content-language"), Some("en"), "{answer}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer}");
    let body = answer.json();
    assert_eq!(body["err"], json!("access_denied"), "{answer}");
    assert!(
        body["description"].as_str().is_some_and(|text| !text.is_empty()),
        "{answer}"
    );
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(2), "{answer}");
}

#[test]
fn before_the_first_grant_nobody_has_to_say_who_delivers() {
    for members in [
        json!({}),
        json!({"allowed_origins": [SENDER]}),
        json!({"allowed_origins": [SENDER], "handshake": "callback"}),
        json!({"handshake": "operator"}),
    ] {
        let target = Target::start(Options::default(), &members);
        // Denials and questions that wait are no grants.
        target.options(&[(ORIGIN, "not a name")], 403);
        if !members["handshake"].is_null() {
            target.options(&[(ORIGIN, SENDER)], 200);
        }
        target.push(&[], 202);
        target.push(&[(ORIGIN, SENDER)], 202);
        target.push(&[(ORIGIN, "attacker.example.net")], 202);
        assert_eq!(target.received(), 3, "{members}");
    }
}

#[test]
fn after_a_grant_only_granted_origins_deliver() {
    let target = Target::start(
        Options::default(),
        &json!({"allowed_origins": [SENDER, "second.example.com", "third.example.com"]}),
    );
    target.push(&[], 202);
    target.be_granted(SENDER);
    // At once, although the isolate has just looked at the source.
    assert_denied(&target.push(&[], 403));
    target.be_granted("second.example.com");
    for good in [SENDER, "TX.Example.COM.", "second.example.com"] {
        target.push(&[(ORIGIN, good)], 202);
        // The header's name of 2019, which some senders still use.
        target.push(&[("origin", good)], 202);
        target.push(&[("origin", good), (ORIGIN, good)], 202);
    }
    assert_eq!(target.received(), 1 + 9);
    for bad in [
        // Allowed, but never asked.
        "third.example.com",
        "attacker.example.net",
        "tx.example.com.attacker.tld",
        "https://tx.example.com",
        "tx.example.com:443",
        "*",
        "",
        "null",
        "tx.example.com, second.example.com",
    ] {
        assert_denied(&target.push(&[(ORIGIN, bad)], 403));
        assert_denied(&target.push(&[("origin", bad)], 403));
    }
    assert_eq!(target.received(), 1 + 9, "what is refused is not stored");
    // The next source knows nothing of all this.
    let other = target.another(&json!({"allowed_origins": [SENDER]}));
    other.push(&target.instance, &target.transmitter.draft(ACME_AUDIENCE).sign(), 202);
}

/// WH-2.1-8: two names for one thing have to say the same.
#[test]
fn two_origins_that_differ_are_a_bad_request() {
    let target = Target::start(
        Options::default(),
        &json!({"allowed_origins": [SENDER, "second.example.com"]}),
    );
    target.be_granted(SENDER);
    target.be_granted("second.example.com");
    target.push(&[(ORIGIN, SENDER), ("origin", "TX.EXAMPLE.COM.")], 202);
    for other in ["second.example.com", "attacker.example.net", "https://tx.example.com"] {
        let answer = target.push(&[(ORIGIN, SENDER), ("origin", other)], 400);
        assert_eq!(answer.json()["err"], json!("invalid_request"), "{other}: {answer}");
    }
    assert_eq!(target.received(), 1);
}

/// What a transmitter did not authenticate for is not told.
#[test]
fn credentials_come_before_origins() {
    let target = Target::allowing();
    target.be_granted(SENDER);
    for headers in [&[][..], &[(ORIGIN, SENDER)], &[(ORIGIN, "attacker.example.net")]] {
        let mut all = vec![("content-type", "application/secevent+jwt")];
        all.extend_from_slice(headers);
        let anyone = target.instance.anyone();
        let answer = anyone.send("POST", &target.source.receive_path(), &all, b"x", 400);
        assert_eq!(answer.json()["err"], json!("authentication_failed"), "{headers:?}");
    }
    // What is wrong with a SET is told to who authenticated; whether it is taken is a question of the origin then.
    target.push_this("no SET at all", &[(ORIGIN, SENDER)], 400);
    assert_denied(&target.push(&[], 403));
}

/// A revocation closes the door for its origin, and does not open it for others.
#[test]
fn a_revoked_origin_delivers_no_more_nor_does_anybody_else() {
    let target = Target::allowing();
    target.be_granted(SENDER);
    target.push(&[(ORIGIN, SENDER)], 202);
    target.decide(&json!({"origin": SENDER, "action": "revoke"}), 200);
    assert_denied(&target.push(&[(ORIGIN, SENDER)], 403));
    assert_denied(&target.push(&[], 403));
    assert_ne!(
        target.grant_of(SENDER).expect("it is on record")["state"],
        json!("granted")
    );
    assert_eq!(target.received(), 1);
}

/// The list rules: who is taken off it delivers no more, granted or not.
#[test]
fn an_origin_that_is_no_longer_allowed_delivers_no_more() {
    let target = Target::start(
        Options::default(),
        &json!({"allowed_origins": [SENDER, "second.example.com"]}),
    );
    target.be_granted(SENDER);
    target.be_granted("second.example.com");
    target.change(&json!({"allowed_origins": ["second.example.com"]}));
    assert_denied(&target.push(&[(ORIGIN, SENDER)], 403));
    target.push(&[(ORIGIN, "second.example.com")], 202);
    target.options(&[(ORIGIN, SENDER)], 403);
    // Without a list nobody is asked for an origin.
    target.change(&json!({"allowed_origins": Value::Null}));
    target.push(&[], 202);
    target.push(&[(ORIGIN, "attacker.example.net")], 202);
    target.options(&[(ORIGIN, "second.example.com")], 403);
    assert_eq!(target.received(), 3);
}

/// What the edge remembers of a source may be old; a grant, a revocation and a change count at once.
#[test]
fn old_copies_at_the_edge_do_not_matter() {
    let target = Target::start(
        Options::default().kv_stale_ms(600_000),
        &json!({"allowed_origins": [SENDER]}),
    );
    target.push(&[], 202);
    target.be_granted(SENDER);
    assert_denied(&target.push(&[], 403));
    target.push(&[(ORIGIN, SENDER)], 202);
    target.decide(&json!({"origin": SENDER, "action": "revoke"}), 200);
    assert_denied(&target.push(&[(ORIGIN, SENDER)], 403));
    target.change(&json!({"allowed_origins": ["second.example.com"]}));
    target.options(&[(ORIGIN, SENDER)], 403);
    target.options(&[(ORIGIN, "second.example.com"), (RATE, "60")], 200);
    target.push(&[(ORIGIN, "second.example.com")], 202);
    target.instance.operator().delete(&target.source.path(), 204);
    let path = target.source.receive_path();
    options_at(&target.instance.anyone(), &path, &[(ORIGIN, "second.example.com")], 403);
}

/// Many at once: each is either taken or not, and the count holds.
#[test]
fn deliveries_at_once_share_one_rate() {
    let target = Target::start(
        Options::default(),
        &json!({"allowed_origins": [SENDER], "allowed_rate": 2}),
    );
    target.options(&[(ORIGIN, SENDER), (RATE, "600")], 200);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let pushes: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let set = target.transmitter.draft(ACME_AUDIENCE).sign();
                    let headers = [("content-type", "application/secevent+jwt"), (ORIGIN, SENDER)];
                    let client = target.source.transmitter(&target.instance);
                    let path = target.source.receive_path();
                    let answer = client.try_send("POST", &path, &headers, set.as_bytes());
                    answer.expect("an answer").status
                })
            })
            .collect();
        pushes.into_iter().map(|push| push.join().expect("a status")).collect()
    });
    let taken = statuses.iter().filter(|status| **status == 202).count();
    assert!((1..=2).contains(&taken), "{statuses:?}");
    assert!(
        statuses.iter().all(|status| [202, 429].contains(status)),
        "{statuses:?}"
    );
    assert_eq!(target.received(), taken);
}
