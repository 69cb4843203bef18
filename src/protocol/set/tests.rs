use super::*;
use crate::protocol::mutate;
use serde_json::json;

const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

fn good() -> Value {
    json!({
        "iss": "https://signals.quarry.example/t/9",
        "jti": "j-1",
        "iat": 1_795_262_400,
        "aud": "https://rp.harbour.example/ssf",
        "txn": "tx-1",
        "toe": 1_795_262_391,
        "sub_id": {"format": "opaque", "id": "u-1"},
        "events": {SESSION_REVOKED: {"initiating_entity": "policy"}},
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = good();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = good();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn parse(claims: &Value) -> Result<Claims, SetError> {
    Claims::parse(claims.to_string().as_bytes())
}

#[test]
fn what_we_write_is_the_profile_to_the_letter() {
    let aud = Audience::One("https://rp.harbour.example/ssf".into());
    let sub_id = json!({"format": "email", "email": "imani.osei@quarry.example"}).to_string();
    let event = json!({"state": "v"}).to_string();
    let envelope = Envelope {
        iss: "https://signals.quarry.example",
        jti: "j",
        iat: 7,
        aud: &aud,
        txn: None,
        toe: None,
        sub_id: &sub_id,
        event_type: "urn:e",
        event: &event,
    };
    assert_eq!(
        String::from_utf8(envelope.to_claims()).unwrap(),
        concat!(
            r#"{"iss":"https://signals.quarry.example","jti":"j","iat":7,"aud":"https://rp.harbour.example/ssf","#,
            r#""sub_id":{"email":"imani.osei@quarry.example","format":"email"},"events":{"urn:e":{"state":"v"}}}"#
        )
    );
    let full = Envelope {
        txn: Some("t\"x"),
        toe: Some(5),
        ..envelope
    };
    let claims: Value = serde_json::from_slice(&full.to_claims()).unwrap();
    assert_eq!((&claims["txn"], &claims["toe"]), (&json!("t\"x"), &json!(5)));
    // SSF-4.1.2-1, SSF-4.1.7-1
    assert!(claims.get("sub").is_none() && claims.get("exp").is_none());
}

#[test]
fn a_good_set_is_read_whole() {
    let claims = parse(&with("unknown", json!({"ignored": true}))).unwrap();
    assert_eq!(
        claims,
        Claims {
            iss: "https://signals.quarry.example/t/9".into(),
            jti: "j-1".into(),
            iat: 1_795_262_400,
            aud: Audience::One("https://rp.harbour.example/ssf".into()),
            nbf: None,
            txn: Some("tx-1".into()),
            toe: Some(1_795_262_391),
            sub_id: json!({"format": "opaque", "id": "u-1"}),
            event_type: SESSION_REVOKED.into(),
            event: json!({"initiating_entity": "policy"}),
        }
    );
}

#[test]
fn tolerated_variations() {
    assert_eq!(
        parse(&with("iat", json!(1_795_262_400.9))).map(|claims| claims.iat),
        Ok(1_795_262_400)
    );
    assert_eq!(parse(&with("nbf", json!(5))).map(|claims| claims.nbf), Ok(Some(5)));
    assert_eq!(parse(&without("txn")).map(|claims| claims.txn), Ok(None));
    assert_eq!(parse(&with("txn", json!(7))).map(|claims| claims.txn), Ok(None));
    assert_eq!(parse(&with("toe", json!("now"))).map(|claims| claims.toe), Ok(None));
    assert!(parse(&with("aud", json!(["a", "b"]))).is_ok_and(|claims| claims.aud.contains("b"))); // SSF-4.1.8-1
    // SSF-3.4-3: an unknown format with unknown members is kept as it is
    let odd = json!({"format": "acme-badge", "badge": 7});
    assert_eq!(parse(&with("sub_id", odd.clone())).map(|claims| claims.sub_id), Ok(odd));
    // SSF-4.2.3-2: so is an unknown event type
    assert_eq!(
        parse(&with("events", json!({"urn:x": {}}))).map(|claims| claims.event_type),
        Ok("urn:x".into())
    );
}

#[test]
fn refusals_name_the_claim_and_the_code() {
    use SetErr::{InvalidAudience, InvalidIssuer, InvalidRequest};
    for (claims, expected, code) in [
        (without("iss"), SetError::Issuer, InvalidIssuer),
        (with("iss", json!("")), SetError::Issuer, InvalidIssuer),
        (with("iss", json!(["a"])), SetError::Issuer, InvalidIssuer),
        (without("aud"), SetError::Audience, InvalidAudience),
        (with("aud", json!([])), SetError::Audience, InvalidAudience),
        (with("aud", json!("")), SetError::Audience, InvalidAudience),
        (with("aud", json!(["a", 1])), SetError::Audience, InvalidAudience),
        (without("jti"), SetError::Jti, InvalidRequest), // SET-2.2-3
        (with("jti", json!("")), SetError::Jti, InvalidRequest),
        (with("jti", json!(5)), SetError::Jti, InvalidRequest),
        (without("iat"), SetError::Time("iat"), InvalidRequest), // SET-2.2-2
        (with("iat", json!("1795262400")), SetError::Time("iat"), InvalidRequest),
        (with("iat", json!(-1)), SetError::Time("iat"), InvalidRequest),
        (with("iat", json!(1e300)), SetError::Time("iat"), InvalidRequest),
        (with("nbf", json!("later")), SetError::Time("nbf"), InvalidRequest),
        (with("sub", json!("u-1")), SetError::Forbidden("sub"), InvalidRequest), // SSF-4.1.2-2
        (with("sub", Value::Null), SetError::Forbidden("sub"), InvalidRequest),
        (
            with("exp", json!(9_999_999_999_u64)),
            SetError::Forbidden("exp"),
            InvalidRequest,
        ), // SSF-4.1.7-2
        (without("events"), SetError::Events, InvalidRequest),
        (
            with("events", json!([SESSION_REVOKED])),
            SetError::Events,
            InvalidRequest,
        ),
        (with("events", json!({})), SetError::EventCount(0), InvalidRequest), // SSF-4.2.1-4
        (
            with("events", json!({"urn:a": {}, "urn:b": {}})),
            SetError::EventCount(2),
            InvalidRequest,
        ),
        (with("events", json!({"urn:a": null})), SetError::Event, InvalidRequest), // SET-2-1
        (with("events", json!({"urn:a": "x"})), SetError::Event, InvalidRequest),
        (without("sub_id"), SetError::Subject, InvalidRequest), // SSF-3.1-1
        (with("sub_id", json!("u-1")), SetError::Subject, InvalidRequest),
        (with("sub_id", json!({"id": "u-1"})), SetError::Subject, InvalidRequest),
        (with("sub_id", json!({"format": 1})), SetError::Subject, InvalidRequest),
        (json!([]), SetError::NotAnObject, InvalidRequest),
    ] {
        let error = parse(&claims).unwrap_err();
        assert_eq!((error.code(), error), (code, expected), "{claims}");
    }
}

#[test]
fn repeated_members_and_deep_nesting_are_refused() {
    // SUBID-R-3
    let text = good().to_string().replacen("\"u-1\"", "\"u-1\",\"id\":\"u-2\"", 1);
    let deep = good()
        .to_string()
        .replacen("\"u-1\"", &format!("{}1{}", "[".repeat(64), "]".repeat(64)), 1);
    for text in [text.as_str(), deep.as_str(), "", "{"] {
        assert!(
            matches!(Claims::parse(text.as_bytes()), Err(SetError::Json(_))),
            "{text}"
        );
    }
}

#[test]
fn typ_is_compared_as_a_media_type() {
    // SSF-4.1.1-2
    for (typ, expected) in [
        (Some("secevent+jwt"), true),
        (Some("SecEvent+JWT"), true),
        (Some("application/secevent+jwt"), true),
        (Some("JWT"), false),
        (Some("at+jwt"), false),
        (Some("secevent+jwt "), false),
        (Some(""), false),
        (None, false),
    ] {
        assert_eq!(typ_is_set(typ), expected, "{typ:?}");
    }
}

#[test]
fn audiences_compare_as_sets() {
    let read = |value: Value| Audience::from_json(value);
    for (left, right, equal, intersect) in [
        (json!("a"), json!(["a"]), true, true), // SSF-8.1.1.3-11
        (json!(["a", "b"]), json!(["b", "a", "b"]), true, true),
        (json!(["a", "b"]), json!("a"), false, true),
        (json!("a"), json!("A"), false, false),
        (json!("https://a"), json!("https://a/"), false, false),
    ] {
        let (left, right) = (read(left).unwrap(), read(right).unwrap());
        assert_eq!(
            (left == right, left.intersects(&right)),
            (equal, intersect),
            "{left:?} {right:?}"
        );
    }
    for value in [
        json!([]),
        json!(""),
        json!(["a", ""]),
        json!([1]),
        json!(null),
        json!({"a": 1}),
    ] {
        assert!(read(value.clone()).is_err(), "{value}");
    }
    // One value stays a string, several stay an array: receivers see what was registered.
    for value in [json!("a"), json!(["a"]), json!(["a", "b"])] {
        assert_eq!(serde_json::to_value(read(value.clone()).unwrap()).unwrap(), value);
    }
}

#[test]
fn codes_are_the_registered_ones_and_any_other() {
    for code in [
        "invalid_request",
        "invalid_key",
        "invalid_issuer",
        "invalid_audience",
        "authentication_failed",
        "access_denied",
        "invalid_state",
    ] {
        let read = SetErr::from(code);
        assert!(!matches!(read, SetErr::Other(_)), "{code}");
        assert_eq!((read.as_str(), read.to_string().as_str()), (code, code));
    }
    assert_eq!(SetErr::from("INVALID_KEY"), SetErr::Other("INVALID_KEY".into()));
}

#[test]
fn a_jti_depends_on_all_three_parts_and_where_they_end() {
    let jti = jti_for("stream", "source", "evt-1");
    assert_eq!(jti, jti_for("stream", "source", "evt-1"));
    for (stream, source, event) in [
        ("strea", "msource", "evt-1"),
        ("stream", "sourceevt", "-1"),
        ("stream", "", "sourceevt-1"),
        ("stream", "source", "evt-2"),
    ] {
        assert_ne!(jti, jti_for(stream, source, event));
    }
    let text = jti_text(&jti);
    assert_eq!(text.len(), 22);
    // Stored events refer to it across versions, so the derivation is pinned here.
    assert_eq!(text, "_Y-XKVEqNq2ilX7immLfvQ");
}

#[test]
fn content_hashes_tell_contents_apart() {
    assert_eq!(content_hash(b""), [0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14]);
    assert_ne!(content_hash(b"a"), content_hash(b"b"));
}

/// Any bytes are claims or are refused, and what is read obeys the profile.
#[test]
fn no_bytes_upset_the_claims_parser() {
    let seed = good().to_string();
    let mut accepted = 0;
    for bytes in mutate::variants(&[&seed], 20_000) {
        if let Ok(claims) = Claims::parse(&bytes) {
            accepted += 1;
            assert!(!claims.jti.is_empty() && !claims.iss.is_empty() && claims.iat >= 0);
            assert!(claims.event.is_object() && claims.sub_id["format"].is_string());
        }
    }
    assert!(accepted > 100, "{accepted}");
}
