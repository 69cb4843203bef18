//! What `OPTIONS` is answered, and that strangers cannot tell from it what exists here.

use serde_json::json;

use crate::harness::{Answer, Options};
use crate::support::{assert_problem, without_request_id};

use super::{CALLBACK, ORIGIN, RATE, SENDER, Target, assert_grants_nothing, assert_options_answer, options_at};

/// T-T-01: WH-4.2-1, WH-4.2-2, WH-4.2-3, WH-4.2-8, WH-4.2-15
#[test]
fn an_allowed_origin_is_granted_with_both_headers() {
    let target = Target::start(
        Options::default(),
        &json!({"allowed_origins": ["other.example.com", SENDER], "allowed_rate": 120}),
    );
    let answer = target.options(&[(ORIGIN, SENDER), (RATE, "600")], 200);
    assert_options_answer(&answer);
    assert_eq!(answer.header("webhook-allowed-origin"), Some(SENDER));
    assert_eq!(answer.header("webhook-allowed-rate"), Some("120"));
    assert_eq!(answer.text(), "");
    assert!(answer.header("x-request-id").is_some());
    for name in ["webhook-allowed-origin", "webhook-allowed-rate", "allow"] {
        let times = answer
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        assert_eq!(times.count(), 1, "{name} in {answer}");
    }
    assert!(
        !answer
            .headers
            .iter()
            .any(|(name, _)| name.starts_with("access-control")),
        "{answer}"
    );

    let grant = target.grant_of(SENDER).expect("it is on record");
    assert_eq!(
        (
            &grant["state"],
            &grant["via"],
            &grant["requested_rate"],
            &grant["allowed_rate"]
        ),
        (&json!("granted"), &json!("options"), &json!(600), &json!(120))
    );
    assert!(
        grant["asked_at"].as_u64() <= grant["decided_at"].as_u64() && grant["decided_at"].is_u64(),
        "{grant}"
    );
    assert_eq!(grant["callback"], json!(null));
    let exchange = &grant["exchange"];
    assert_eq!(
        (&exchange["request"]["method"], &exchange["response"]["status"]),
        (&json!("OPTIONS"), &json!(200))
    );
    let url = target.instance.url(&target.source.receive_path());
    assert_eq!(exchange["request"]["url"], json!(url));
    let headers = exchange["response"]["headers"].as_array().expect("pairs");
    assert!(headers.contains(&json!(["webhook-allowed-rate", "120"])), "{headers:?}");
}

/// The source's other credentials play no part: the handshake is no authorisation (WH-4.1-11).
#[test]
fn no_credentials_are_needed_and_wrong_ones_change_nothing() {
    let target = Target::allowing();
    let anyone = target.instance.anyone();
    let plain = target.options(&[(ORIGIN, SENDER)], 200);
    for client in [
        anyone.clone().with_header("authorization", "Bearer wrong"),
        target.source.transmitter(&target.instance),
    ] {
        let answer = options_at(&client, &target.source.receive_path(), &[(ORIGIN, SENDER)], 200);
        assert_eq!(without_request_id(&answer), without_request_id(&plain));
    }
    let body = anyone.send(
        "OPTIONS",
        &target.source.receive_path(),
        &[(ORIGIN, SENDER)],
        b"{}",
        200,
    );
    assert_eq!(without_request_id(&body), without_request_id(&plain));
}

/// WH-4.2-1, WH-4.2-18: one answer for everything that is not granted, so that nobody learns what exists.
#[test]
fn a_denial_looks_the_same_whatever_its_reason() {
    let target = Target::start(
        Options::default(),
        &json!({"allowed_origins": [SENDER], "allowed_rate": 10}),
    );
    let (unset, deleted) = (
        target.another(&json!({})),
        target.another(&json!({"allowed_origins": [SENDER]})),
    );
    let calling = target.another(&json!({"allowed_origins": [SENDER], "handshake": "callback"}));
    target.instance.operator().delete(&deleted.path(), 204);
    let anyone = target.instance.anyone();
    let unknown = format!("/receive/{}", "0".repeat(64));
    let places = [
        (
            target.source.receive_path(),
            "attacker.example.com",
            "an origin that is not allowed",
        ),
        (
            calling.receive_path(),
            "attacker.example.com",
            "an origin that is not allowed, by callback",
        ),
        (unset.receive_path(), SENDER, "a source that allows none"),
        (deleted.receive_path(), SENDER, "a source that is gone"),
        (unknown, SENDER, "an id that never was"),
        ("/receive/x".to_owned(), SENDER, "an id that cannot be"),
        (
            format!("{}0", target.source.receive_path()),
            SENDER,
            "an id with a digit more",
        ),
        (
            target
                .source
                .receive_path()
                .to_uppercase()
                .replace("/RECEIVE", "/receive"),
            SENDER,
            "an id in capitals",
        ),
    ];
    let more: [&[(&str, &str)]; 4] = [
        &[],
        &[(RATE, "600")],
        &[(CALLBACK, "https://tx.example.com/callback/1")],
        &[
            ("access-control-request-method", "POST"),
            ("origin", "https://tx.example.com"),
        ],
    ];
    for headers in more {
        let mut first: Option<Answer> = None;
        for (path, origin, what) in &places {
            let mut all = vec![(ORIGIN, *origin)];
            all.extend_from_slice(headers);
            // Twice: what is remembered of the first answer must not show.
            for _ in 0..2 {
                let answer = options_at(&anyone, path, &all, 403);
                assert_options_answer(&answer);
                assert_eq!(answer.text(), "");
                assert_grants_nothing(&answer);
                let first = first.get_or_insert_with(|| answer.clone());
                assert_eq!(
                    without_request_id(first),
                    without_request_id(&answer),
                    "{what} {headers:?}"
                );
            }
        }
    }
    assert_eq!(target.grants(), [] as [serde_json::Value; 0], "denials leave no record");
    // What cannot be a rate is refused before anybody looks further, for an origin that is allowed, too.
    let mut first: Option<Answer> = None;
    let allowed = (target.source.receive_path(), SENDER, "an origin that is allowed");
    for (path, origin, what) in places.iter().chain([&allowed]) {
        let answer = options_at(&anyone, path, &[(ORIGIN, origin), (RATE, "many")], 400);
        assert_problem(&answer, 400);
        assert_grants_nothing(&answer);
        let first = first.get_or_insert_with(|| answer.clone());
        assert_eq!(without_request_id(first), without_request_id(&answer), "{what}");
    }
}

/// WH-4.2-7, WH-4.2-15: without the header it is no handshake, but perhaps a browser's question, which gets no answer of use.
#[test]
fn options_without_an_origin_is_a_method_that_is_not_there() {
    let target = Target::allowing();
    let unset = target.another(&json!({}));
    let preflight: &[(&str, &str)] = &[
        ("origin", "https://tx.example.com"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type"),
    ];
    let mut first: Option<Answer> = None;
    for path in [
        target.source.receive_path(),
        unset.receive_path(),
        format!("/receive/{}", "0".repeat(64)),
        "/receive/x".to_owned(),
    ] {
        for headers in [preflight, &[], &[(RATE, "600")], &[("origin", SENDER)]] {
            let answer = options_at(&target.instance.anyone(), &path, headers, 405);
            assert_problem(&answer, 405);
            assert_options_answer(&answer);
            assert_grants_nothing(&answer);
            let first = first.get_or_insert_with(|| answer.clone());
            assert_eq!(
                without_request_id(first),
                without_request_id(&answer),
                "{path} {headers:?}"
            );
        }
    }
    assert_eq!(target.grants(), [] as [serde_json::Value; 0]);
}

#[test]
fn other_methods_are_not_there_either() {
    let target = Target::allowing();
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        let anyone = target.instance.anyone();
        let answer = anyone.send(method, &target.source.receive_path(), &[(ORIGIN, SENDER)], b"", 405);
        assert_options_answer(&answer);
        assert_grants_nothing(&answer);
    }
}

/// T-T-05, as far as SETs are concerned: RFC 8935 answers wrong credentials with 400.
#[test]
fn each_refusal_of_a_delivery_has_its_status() {
    let target = Target::allowing();
    target.be_granted(SENDER);
    let origin: &[(&str, &str)] = &[(ORIGIN, SENDER)];
    // WH-2.2-5: taken, not yet acted on, nothing to say.
    let accepted = target.push(origin, 202);
    assert_eq!((accepted.text().as_str(), accepted.header("content-type")), ("", None));
    let transmitter = target.source.transmitter(&target.instance);
    let path = target.source.receive_path();
    let send = |content_type: Option<&str>, body: &[u8], expected| {
        let mut headers = origin.to_vec();
        headers.extend(content_type.map(|value| ("content-type", value)));
        transmitter.send("POST", &path, &headers, body, expected)
    };
    // WH-2.2-11, WH-2.1-4
    assert_problem(&send(Some("text/plain"), b"x", 415), 415);
    assert_problem(&send(None, b"x", 415), 415);
    let empty = send(Some("application/secevent+jwt"), b"", 400);
    assert_eq!(empty.json()["err"], json!("invalid_request"));
    let huge = send(Some("application/secevent+jwt"), &vec![b'x'; 257 * 1024], 413);
    assert_problem(&huge, 413);
    let stranger = target.instance.anyone().send(
        "POST",
        &path,
        &[(ORIGIN, SENDER), ("content-type", "application/secevent+jwt")],
        b"x",
        400,
    );
    assert_eq!(stranger.json()["err"], json!("authentication_failed"));
    assert_eq!(target.received(), 1);
}

/// T-T-08: SS-32
#[test]
fn a_delivery_that_comes_again_is_taken_once() {
    let target = Target::allowing();
    target.be_granted(SENDER);
    let set = target.transmitter.draft(crate::support::ACME_AUDIENCE).sign();
    for _ in 0..3 {
        target.push_this(&set, &[(ORIGIN, SENDER)], 202);
    }
    assert_eq!(target.received(), 1);
}
