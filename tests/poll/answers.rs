//! What a poll hands out and what acknowledgements do.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::Options;
use crate::support::Set;

use super::Polled;

/// The numbers of the subjects in an answer, sorted.
#[track_caller]
fn numbers(answer: &Value) -> Vec<u32> {
    let sets = answer["sets"].as_object().expect("sets are an object");
    let number = |set: &Value| {
        let set = Set::decode(set.as_str().expect("a SET is a string"));
        set.email().trim_end_matches("@example.com").parse().expect("a number")
    };
    let mut numbers: Vec<u32> = sets.values().map(number).collect();
    numbers.sort_unstable();
    numbers
}

fn jtis(answer: &Value) -> Vec<String> {
    answer["sets"]
        .as_object()
        .expect("sets are an object")
        .keys()
        .cloned()
        .collect()
}

/// How a stream names an event: whoever can read the source can guess it.
fn jti_of(stream_id: &str, source: &str, event_id: &str) -> String {
    let mut hash = Sha256::new();
    for part in [stream_id, source, event_id] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Base64UrlUnpadded::encode_string(&hash.finalize()[..16])
}

#[test]
fn no_more_is_handed_out_than_asked_for_and_the_oldest_first() {
    let polled = Polled::start(Options::default());
    polled.publish(0..3);
    polled.publish(3..5);
    let poll = |max: u32| {
        polled
            .stream
            .poll(&json!({"maxEvents": max, "returnImmediately": true}))
    };
    for (max, expected, more) in [
        (1, vec![0], true),
        (2, vec![0, 1], true),
        (4, vec![0, 1, 2, 3], true),
        (5, vec![0, 1, 2, 3, 4], false),
        (6, vec![0, 1, 2, 3, 4], false),
        (4_000_000_000, vec![0, 1, 2, 3, 4], false),
    ] {
        let answer = poll(max);
        assert_eq!(numbers(&answer), expected, "maxEvents {max}");
        // Pitfall 3: the member is there only when it is true.
        assert_eq!(
            answer.get("moreAvailable"),
            more.then_some(&json!(true)),
            "maxEvents {max}"
        );
    }
    // POLL-2.2-1: 0 only acknowledges.
    let answer = poll(0);
    assert_eq!(answer["sets"], json!({}));
    let all = polled.stream.poll(&json!({"returnImmediately": true}));
    assert_eq!(numbers(&all), [0, 1, 2, 3, 4], "maxEvents is optional");

    // Nothing is left out when the middle is acknowledged.
    let middle = jtis(&poll(3));
    polled.stream.ack(&[&middle[1]]);
    assert_eq!(numbers(&poll(10)).len(), 4);
    assert_eq!(polled.queued(), 4);
}

#[test]
fn without_a_number_an_answer_has_a_bound() {
    let polled = Polled::start(Options::default());
    polled.publish(0..130);
    let mut rounds = Vec::new();
    let mut ack: Vec<String> = Vec::new();
    loop {
        let answer = polled.stream.poll(&json!({"ack": ack, "returnImmediately": true}));
        ack = jtis(&answer);
        rounds.push((ack.len(), answer.get("moreAvailable").is_some()));
        if ack.is_empty() {
            break;
        }
    }
    // POLL-R-7
    assert_eq!(rounds, [(100, true), (30, false), (0, false)]);
    assert_eq!(polled.queued(), 0);
}

#[test]
fn acknowledging_is_idempotent_and_concerns_only_what_was_handed_out() {
    let polled = Polled::start(Options::default());
    polled.publish(0..2);
    let first = jtis(&polled.stream.poll(&json!({"maxEvents": 1, "returnImmediately": true}))).remove(0);

    // POLL-R-2: what is unknown, malformed, or somebody else's is passed over.
    let nonsense = json!([
        "",
        "x",
        "no-such-jti",
        "AAAAAAAAAAAAAAAAAAAAAA",
        "é",
        "a".repeat(10_000)
    ]);
    polled
        .stream
        .poll(&json!({"ack": nonsense, "returnImmediately": true, "maxEvents": 0}));
    assert_eq!(polled.queued(), 2);

    // The second one's jti, which nobody has been told yet: it cannot be acknowledged.
    let second = jti_of(&polled.stream.id, "urn:heliograph:operator", "evt-1");
    polled.stream.ack(&[&second]);
    let errors = json!({second.clone(): {"err": "invalid_key", "description": "guessed"}});
    polled
        .stream
        .poll(&json!({"setErrs": errors, "returnImmediately": true, "maxEvents": 0}));
    assert_eq!(polled.queued(), 2);
    assert_eq!(polled.stream.dead_letters(&polled.instance), [] as [Value; 0]);

    for _ in 0..2 {
        polled.stream.ack(&[&first, &first]);
        assert_eq!(polled.queued(), 1);
    }
    let rest = polled.stream.poll_now();
    assert_eq!(
        rest.iter().map(|(jti, _)| jti).collect::<Vec<_>>(),
        [&second],
        "the guess was right, and is good now"
    );
    polled.stream.ack(&[&second, &first]);
    assert_eq!(polled.queued(), 0);
}

#[test]
fn acknowledgements_count_before_sets_are_chosen() {
    let polled = Polled::start(Options::default());
    polled.publish(0..2);
    let first = polled.stream.poll(&json!({"maxEvents": 1, "returnImmediately": true}));
    let second = polled
        .stream
        .poll(&json!({"ack": jtis(&first), "maxEvents": 1, "returnImmediately": true}));
    assert_eq!((numbers(&first), numbers(&second)), (vec![0], vec![1]));
    assert_eq!(second.get("moreAvailable"), None);
}

#[test]
fn a_reported_error_makes_a_dead_letter_and_nothing_is_handed_out_again() {
    let polled = Polled::start(Options::default());
    polled.publish(0..3);
    let handed_out = jtis(&polled.stream.poll(&json!({"returnImmediately": true})));
    let [refused, both, good] = handed_out.as_slice() else {
        panic!("three events")
    };
    let errors = json!({
        refused: {"err": "invalid_audience", "description": "aud is not me"},
        both: {"err": "invalid_key", "description": "said of one that is acknowledged too"},
        "no-such-jti": {"err": "invalid_key"},
    });
    // POLL-2.6-1: in the words of a language; POLL-R-4: what is acknowledged too counts as acknowledged.
    let body = json!({"ack": [both], "setErrs": errors, "returnImmediately": true});
    let client = polled.acme.api.clone().with_header("content-language", "en");
    let answer = client.post_json(&polled.stream.poll_path(), &body, 200);
    assert_eq!(jtis(&answer), [good.as_str()]);

    let letters = polled.stream.dead_letters(&polled.instance);
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0]["jti"], json!(refused));
    assert_eq!(
        (&letters[0]["err"], &letters[0]["description"]),
        (&json!("invalid_audience"), &json!("aud is not me"))
    );
    assert_eq!(polled.stream.health(&polled.instance)["dead_letters"], json!(1));
    // Once more: it is dead already.
    client.post_json(&polled.stream.poll_path(), &body, 200);
    assert_eq!(polled.stream.dead_letters(&polled.instance).len(), 1);
    assert_eq!(polled.queued(), 1);
}

#[test]
fn the_health_of_a_polled_stream_is_true() {
    let polled = Polled::start(Options::default());
    polled.publish(0..2);
    let health = polled.stream.health(&polled.instance);
    assert_eq!(
        (&health["queued_events"], &health["dead_letters"]),
        (&json!(2), &json!(0))
    );
    assert!(
        health["oldest_at"].is_u64() && health["queued_bytes"].as_u64() > Some(300),
        "{health}"
    );
    assert_eq!(
        (&health["hold"], &health["last_error"], &health["last_success_at"]),
        (&json!(null), &json!(null), &json!(null))
    );
    assert_eq!(
        health["next_wake_at"],
        json!(null),
        "nobody is woken for a stream that is polled"
    );

    let handed_out = jtis(&polled.stream.poll(&json!({"returnImmediately": true})));
    polled
        .stream
        .ack(&handed_out.iter().map(String::as_str).collect::<Vec<_>>());
    let health = polled.stream.health(&polled.instance);
    assert_eq!(
        (&health["queued_events"], &health["oldest_at"]),
        (&json!(0), &json!(null))
    );
    assert!(health["last_success_at"].is_u64(), "{health}");
}
