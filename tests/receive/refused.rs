//! SETs that are refused: 400 with the code of the standard, in words, and nothing is stored.

use base64ct::{Base64UrlUnpadded, Encoding};
use jwt_compact::alg::{Hs256, Hs256Key};
use jwt_compact::{Algorithm, AlgorithmSignature};
use serde_json::{Value, json};

use crate::harness::{Answer, Client, Draft, Key, Options};
use crate::support::{ACME_AUDIENCE, SESSION_REVOKED, assert_problem};

use super::Feed;

/// PUSH-2.3-2 to PUSH-2.3-6: the shape of a refusal.
#[track_caller]
fn assert_set_error(answer: &Answer, err: &str, what: &str) {
    assert_eq!(answer.status, 400, "{what}: {answer}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
    assert_eq!(answer.header("content-language"), Some("en"), "{what}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
    assert!(answer.header("x-request-id").is_some(), "{what}");
    let body = answer.json();
    assert_eq!(body["err"], json!(err), "{what}: {answer}");
    assert!(
        body["description"].as_str().is_some_and(|text| !text.is_empty()),
        "{what}: {answer}"
    );
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(2), "{what}: {answer}");
}

/// PUSH-2-1, PUSH-5.5-1, SET-2.4-1, SSF-4.1.3-1.
#[test]
fn a_token_that_is_no_acceptable_set_is_refused_with_the_reason() {
    // The issuer may be asked each time, so an unknown key is one that it does not have.
    let feed = Feed::start(Options::default().set("KEY_REFETCH_MS", 0));
    let good = || feed.transmitter.draft(ACME_AUDIENCE);
    let now = good().claims()["iat"].as_u64().expect("seconds");
    let event = json!({"event_timestamp": now});
    let events = |events: Value| good().claim("events", events).sign();
    let cases = vec![
        // The signature and its key.
        (
            "another key's signature",
            "invalid_key",
            good().forged_with(Key::Second).sign(),
        ),
        (
            "a key that is not published",
            "invalid_key",
            good().key(Key::Second).sign(),
        ),
        ("no signature, alg none", "invalid_key", good().unsigned()),
        (
            "alg None, spelled otherwise",
            "invalid_key",
            good().header("alg", "None").sign(),
        ),
        ("HMAC with the public key", "invalid_key", hmac_with_public_key(good())),
        (
            "an algorithm that is not accepted",
            "invalid_key",
            good().header("alg", "RS512").sign(),
        ),
        (
            "an algorithm that is not the key's",
            "invalid_key",
            good().header("alg", "ES256").sign(),
        ),
        (
            "a signature that is cut off",
            "invalid_key",
            cut_signature(&good().sign()),
        ),
        (
            "claims that were changed after signing",
            "invalid_key",
            with_claims_of(&good().sign(), &good().sign()),
        ),
        // What kind of token it is.
        (
            "an ID token's typ",
            "invalid_request",
            good().header("typ", "JWT").sign(),
        ),
        (
            "an access token's typ",
            "invalid_request",
            good().header("typ", "at+jwt").sign(),
        ),
        ("no typ", "invalid_request", good().header("typ", Value::Null).sign()),
        (
            "a demand that we do not know",
            "invalid_request",
            good().header("crit", json!(["b64"])).header("b64", false).sign(),
        ),
        // Whose it is and for whom.
        (
            "another issuer",
            "invalid_issuer",
            good().claim("iss", "https://evil.example").sign(),
        ),
        (
            "an issuer with a slash more",
            "invalid_issuer",
            good().claim("iss", format!("{}/", feed.transmitter.issuer())).sign(),
        ),
        (
            "another audience",
            "invalid_audience",
            good().claim("aud", "https://other.example").sign(),
        ),
        (
            "other audiences",
            "invalid_audience",
            good().claim("aud", json!(["a", "b"])).sign(),
        ),
        ("no audience", "invalid_audience", good().without("aud").sign()),
        (
            "an empty audience",
            "invalid_audience",
            good().claim("aud", json!([])).sign(),
        ),
        (
            "an audience that only begins alike",
            "invalid_audience",
            good().claim("aud", format!("{ACME_AUDIENCE}.evil")).sign(),
        ),
        // What it says.
        (
            "from the future",
            "invalid_request",
            good().claim("iat", now + 3600).sign(),
        ),
        ("no time", "invalid_request", good().without("iat").sign()),
        (
            "a time in words",
            "invalid_request",
            good().claim("iat", "yesterday").sign(),
        ),
        (
            "not valid before tomorrow",
            "invalid_request",
            good().claim("nbf", now + 86_400).sign(),
        ),
        (
            "exp, SSF-4.1.7-2",
            "invalid_request",
            good().claim("exp", now + 3600).sign(),
        ),
        ("sub, SSF-4.1.2-2", "invalid_request", good().claim("sub", "ana").sign()),
        ("no jti", "invalid_request", good().without("jti").sign()),
        ("an empty jti", "invalid_request", good().claim("jti", "").sign()),
        (
            "a jti that is a number",
            "invalid_request",
            good().claim("jti", 7).sign(),
        ),
        ("no events", "invalid_request", good().without("events").sign()),
        ("an empty events", "invalid_request", events(json!({}))),
        (
            "events in an array",
            "invalid_request",
            events(json!([SESSION_REVOKED])),
        ),
        (
            "two events, SSF-4.2.1-4",
            "invalid_request",
            events(json!({SESSION_REVOKED: event, "https://vendor.example/x": {}})),
        ),
        (
            "an event that is null, SET-2-1",
            "invalid_request",
            events(json!({SESSION_REVOKED: null})),
        ),
        (
            "an event that is a string",
            "invalid_request",
            events(json!({SESSION_REVOKED: "revoked"})),
        ),
        (
            "a member that its definition has otherwise",
            "invalid_request",
            events(json!({SESSION_REVOKED: {"event_timestamp": "now"}})),
        ),
        ("no subject", "invalid_request", good().without("sub_id").sign()),
        (
            "a subject without a format",
            "invalid_request",
            good().claim("sub_id", json!({"email": "ana@example.com"})).sign(),
        ),
        (
            "a subject that is a string",
            "invalid_request",
            good().claim("sub_id", "ana@example.com").sign(),
        ),
    ];
    for (what, err, set) in &cases {
        let answer = feed.source.push(&feed.instance, set, 400);
        assert_set_error(&answer, err, what);
        assert_eq!(feed.source.jtis(&feed.instance), [] as [&str; 0], "{what}");
    }
    // Refusals leave no trace: the jti of a refused SET is still free.
    let free = good();
    let refused = feed
        .source
        .push(&feed.instance, &free.clone().forged_with(Key::Second).sign(), 400);
    assert_set_error(&refused, "invalid_key", "a forgery");
    feed.source.push(&feed.instance, &free.sign(), 202);
    assert_eq!(feed.source.jtis(&feed.instance), [free.jti()]);
}

#[test]
fn a_body_that_is_no_token_is_an_invalid_request() {
    let feed = Feed::start(Options::default());
    let good = feed.transmitter.draft(ACME_AUDIENCE);
    let set = good.sign();
    let parts: Vec<&str> = set.split('.').collect();
    let header = |json: &str| format!("{}.{}.{}", encode(json.as_bytes()), parts[1], parts[2]);
    let claims = |json: &str| format!("{}.{}.{}", parts[0], encode(json.as_bytes()), parts[2]);
    let issuer = feed.transmitter.issuer();
    let bodies = vec![
        String::new(),
        "x".to_owned(),
        "..".to_owned(),
        "a.b".to_owned(),
        good.claims().to_string(),
        format!("{}.{}", parts[0], parts[1]),
        format!("{set}.{set}"),
        format!("{}.{}.{}.{}.{}", parts[0], parts[1], parts[2], parts[1], parts[2]),
        format!(" {set}"),
        format!("{set} "),
        format!("\n{set}"),
        format!("{set}\n\n"),
        format!("{set}="),
        format!("\"{set}\""),
        format!("SET={set}"),
        format!("{}.{}.!!!", parts[0], parts[1]),
        header("{"),
        header("[]"),
        header("null"),
        header(r#"{"typ":"secevent+jwt"}"#),
        header(r#"{"alg":"RS256","alg":"none","typ":"secevent+jwt"}"#),
        header(r#"{"alg":"RS256","typ":"secevent+jwt","kid":7}"#),
        header(r#"{"alg":"RS256","typ":"secevent+jwt","crit":[]}"#),
        claims("{"),
        claims("[]"),
        claims("null"),
        // One document, two readings.
        claims(&format!(r#"{{"iss":"{issuer}","iss":"https://evil.example"}}"#)),
        claims(&format!(r#"{{"iss":"{issuer}","events":{{"a":{{}},"a":{{}}}}}}"#)),
        claims(&format!(
            r#"{{"iss":"{issuer}","deep":{}1{}}}"#,
            "[".repeat(200),
            "]".repeat(200)
        )),
    ];
    for body in &bodies {
        let answer = feed.source.push(&feed.instance, body, 400);
        assert_set_error(&answer, "invalid_request", body);
    }
    let mut bytes = set.clone().into_bytes();
    bytes[10] = 0xff;
    let transmitter = feed.source.transmitter(&feed.instance);
    let answer = transmitter.send(
        "POST",
        &feed.source.receive_path(),
        &[("content-type", "application/secevent+jwt")],
        &bytes,
        400,
    );
    assert_set_error(&answer, "invalid_request", "bytes that are no text");
    assert_eq!(feed.source.jtis(&feed.instance), [] as [&str; 0]);
    assert_eq!(
        feed.transmitter.key_fetches(),
        0,
        "none of this is worth asking the issuer"
    );
}

#[test]
fn a_transmitter_that_does_not_authenticate_is_refused_before_its_token_is_read() {
    let feed = Feed::start(Options::default());
    let set = feed.transmitter.draft(ACME_AUDIENCE).sign();
    let (right, anyone) = (&feed.source.authorization, feed.instance.anyone());
    let with = |value: &str| anyone.clone().with_header("authorization", value);
    let wrong: Vec<Client> = vec![
        anyone.clone(),
        with("Bearer wrong"),
        with(&format!("{right}x")),
        with(&right[..right.len() - 1]),
        with(&right.to_lowercase()),
        with(right.trim_start_matches("Bearer ")),
        feed.instance.operator(),
    ];
    for client in &wrong {
        for body in [set.as_str(), "no token at all"] {
            // PUSH-2.3-8
            let answer = client.push_set(&feed.source.receive_path(), body, 400);
            assert_set_error(&answer, "authentication_failed", body);
            assert!(!answer.text().contains("token at all"));
        }
    }
    // Of the type of the body nothing is said to strangers either.
    let answer = anyone.send(
        "POST",
        &feed.source.receive_path(),
        &[("content-type", "text/plain")],
        set.as_bytes(),
        400,
    );
    assert_set_error(&answer, "authentication_failed", "a stranger's text");
    let answer = feed.source.transmitter(&feed.instance).send(
        "POST",
        &feed.source.receive_path(),
        &[("content-type", "text/plain")],
        set.as_bytes(),
        415,
    );
    assert_problem(&answer, 415);
    assert_eq!(feed.source.jtis(&feed.instance), [] as [&str; 0]);
    assert_eq!(feed.transmitter.key_fetches(), 0, "PUSH-5.4-1: cheap checks come first");
    feed.source.push(&feed.instance, &set, 202);
}

fn encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// An HS256 signature whose key is the public modulus: what a verifier would accept that takes the algorithm from the token.
fn hmac_with_public_key(draft: Draft) -> String {
    let jwk = Key::First.jwk();
    let modulus = Base64UrlUnpadded::decode_vec(jwk["n"].as_str().expect("a modulus")).expect("base64url");
    let token = draft.header("alg", "HS256").sign();
    let (input, _) = token.rsplit_once('.').expect("three parts");
    let signature = Hs256.sign(&Hs256Key::new(modulus), input.as_bytes());
    format!("{input}.{}", encode(&signature.as_bytes()))
}

fn cut_signature(set: &str) -> String {
    let (input, signature) = set.rsplit_once('.').expect("three parts");
    format!("{input}.{}", &signature[..signature.len() / 8 * 4])
}

/// The first one's header and signature around the second one's claims.
fn with_claims_of(set: &str, other: &str) -> String {
    let (mine, theirs): (Vec<&str>, Vec<&str>) = (set.split('.').collect(), other.split('.').collect());
    assert_ne!(mine[1], theirs[1], "two drafts differ in their jti");
    format!("{}.{}.{}", mine[0], theirs[1], mine[2])
}
