//! Tokens and keys together, checked against a token that OpenSSL signed and the algorithms of `jwt-compact`.

use base64ct::{Base64UrlUnpadded, Encoding};
use jwt_compact::jwk::JsonWebKey;
use jwt_compact::{Algorithm, AlgorithmSignature, alg};
use serde_json::{Value, json};

use super::jwk::{self, Jwk, JwkError, Jwks, KeyError, MAX_KEYS};
use super::jws::{self, Alg, JwsError, SigningHeader};
use crate::protocol::json::JsonProblem;
use crate::protocol::mutate;

/// A 2048-bit key made for these tests; its private part was thrown away after one signature.
const RSA_N: &str = "rdU9dN6FfUClirIP2kyxbnnArHdvoud-8uwqzxvWV_p2Em8c9mSMrxFRjaSMnGQ-j7tMY1JgVo4aj9Fbb_5uVhuq8RQgLRVsCYJsde7eycsnYJwpLffQfIUc7pUSUfr2AEn7O_fGUAjPSoY5PdC45FicYosnDVMUH632xDhKdBOCNw7Dp6sVZ2gHh3SP0PkJ7KM2YBYrSLf9B7yU5If3d8bVvXVgwDbh62EpgQJ5aiOjDrIQDfbYTqoSSgcXnkRd3imYaDz2yXz6yaCVPzVeckYPm1kkEwOBkTEli8FZI0FEvVidJ574OHexPOC1XIuJoULgDR9nR-wbAgr6Ox2BYw";
const RSA_THUMBPRINT: &str = "6x2UwqE_X-lUeteYOj4pT_dMsktGo14PF-IzPUSP2fA";
const RSA_TOKEN: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6InNlY2V2ZW50K2p3dCIsImtpZCI6ImsxIn0.eyJpc3MiOiJodHRwczovL3NpZ25hbHMucXVhcnJ5LmV4YW1wbGUvdC85IiwianRpIjoiai0xIn0.kj68gAg6KeolCChc44roLuDm8mbSaca0orzkR7kibD37GfcXKQCy5B2tB6xJAhtBhPUPP6GYWFvR1RaehxCRWY8YgVDkP7tr30oPSWHSEXD9AJeThRBHTogQskaTpcYUgavRsS6NQ77DDj1LHbOkVJG1yo_rKzC5sFuggibCIerPH4RJIR2Kpj5aDuysWhjjrOH-RlkjSc_qd7eH0tKIPPe_zHvEVaekisfsTQz6RalD5kwcAVwyYDjd8KTWTB8HyQJ-RlGzFG8PuKs8fvwNVouNCqBxNyuAcm1Oqrit2XAmcgpjEzkEnQ-G191BAGXtX5OnDqPnV_AHvbpa-XRdnA";
const EC_X: &str = "QWxPbXX0mhzPK8W5qJzrtz8V9TDGR5cdX-03CY4Tfak";
const EC_Y: &str = "-7J2_DgtZBtaxZovlOh9q_sIWgpRc0J50wGieku4j0s";
const EC_D: &str = "Fq9VyC3wNxAB_9ZKY1KAvNaTyb2uwlQNGSTxq7dEbg0";
const EC_THUMBPRINT: &str = "jJFbx6P1sbtifx6JLWxPbO0kEJLyRKZFUIXbxbQw2Ng";

fn rsa() -> Value {
    json!({"kty": "RSA", "kid": "k1", "n": RSA_N, "e": "AQAB"})
}

fn ec() -> Value {
    json!({"kty": "EC", "kid": "k2", "crv": "P-256", "x": EC_X, "y": EC_Y})
}

fn with(mut key: Value, name: &str, value: Value) -> Value {
    key[name] = value;
    key
}

fn without(mut key: Value, name: &str) -> Value {
    key.as_object_mut().unwrap().remove(name);
    key
}

fn verifies<A: Algorithm>(algorithm: &A, public: &Value, signing_input: &str, signature: &[u8]) -> bool
where
    A::VerifyingKey: for<'a> TryFrom<&'a JsonWebKey<'a>, Error: std::fmt::Debug>,
{
    let typed: JsonWebKey<'_> = serde_json::from_value(public.clone()).unwrap();
    let key = A::VerifyingKey::try_from(&typed).unwrap();
    A::Signature::try_from_slice(signature)
        .is_ok_and(|signature| algorithm.verify_signature(&signature, &key, signing_input.as_bytes()))
}

#[test]
fn a_token_signed_elsewhere_verifies_with_the_key_it_names() {
    let keys = Jwks::parse(json!({"keys": [ec(), rsa()]}).to_string().as_bytes()).unwrap();
    let token = jws::parse(RSA_TOKEN).unwrap();
    let key = keys.find(token.header.kid.as_deref(), &token.header.alg).unwrap();
    assert_eq!(
        (key.alg, token.header.typ.as_deref()),
        (Alg::Rs256, Some("secevent+jwt"))
    );
    assert!(verifies(
        &alg::Rsa::rs256(),
        &key.public,
        token.signing_input,
        &token.signature
    ));
    assert_eq!(token.peek("iss").as_deref(), Some("https://signals.quarry.example/t/9"));
    assert_eq!(
        token.assume_verified().claims,
        br#"{"iss":"https://signals.quarry.example/t/9","jti":"j-1"}"#
    );
}

#[test]
fn a_changed_token_does_not_verify() {
    let changed = RSA_TOKEN
        .replace("Imp0aSI6ImotMSJ9", "Imp0aSI6ImotMiJ9")
        .replace("anRpIjoiai0xIn0", "anRpIjoiai0yIn0");
    assert_ne!(changed, RSA_TOKEN);
    let token = jws::parse(&changed).unwrap();
    assert!(!verifies(
        &alg::Rsa::rs256(),
        &rsa(),
        token.signing_input,
        &token.signature
    ));
}

#[test]
fn what_we_assemble_others_can_verify() {
    let private = with(ec(), "d", json!(EC_D));
    let header = SigningHeader {
        alg: Alg::Es256,
        typ: "secevent+jwt",
        kid: "k2",
    };
    let input = jws::signing_input(&header, br#"{"jti":"a"}"#);
    let typed: JsonWebKey<'_> = serde_json::from_value(private).unwrap();
    let signing_key = <alg::Es256 as Algorithm>::SigningKey::try_from(&typed).unwrap();
    let signature = alg::Es256.sign(&signing_key, input.as_bytes());
    let token = jws::assemble(&input, &signature.as_bytes());

    let read = jws::parse(&token).unwrap();
    assert_eq!(
        (read.header.alg.as_str(), read.header.kid.as_deref()),
        ("ES256", Some("k2"))
    );
    assert_eq!((read.signing_input, read.signature.len()), (input.as_str(), 64));
    let key = Jwk::from_value(&ec()).unwrap();
    assert!(verifies(&alg::Es256, &key.public, read.signing_input, &read.signature));
    assert_eq!(read.assume_verified().claims, br#"{"jti":"a"}"#);
}

#[test]
fn malformed_tokens_are_refused_with_the_reason() {
    let part = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
    let claims = part(r#"{"iss":"a"}"#);
    let with_header = |header: &str| format!("{}.{claims}.c2ln", part(header));
    for (token, expected) in [
        (String::new(), JwsError::Structure),
        ("..".into(), JwsError::Header),
        ("a.b".into(), JwsError::Structure),
        (format!("{RSA_TOKEN}."), JwsError::Structure),
        (format!("{RSA_TOKEN}.e30.e30"), JwsError::Structure), // five parts are a JWE
        (format!("{RSA_TOKEN}\n"), JwsError::Base64),
        (format!(" {RSA_TOKEN}"), JwsError::Base64),
        (format!("{RSA_TOKEN}="), JwsError::Base64),
        (RSA_TOKEN.replacen('_', "/", 1), JwsError::Base64),
        (with_header(r#"{"typ":"secevent+jwt"}"#), JwsError::Header),
        (with_header(r#"{"alg":1}"#), JwsError::Header),
        (with_header(r#"{"alg":"RS256","kid":7}"#), JwsError::Header),
        (with_header(r#"{"alg":"RS256","typ":[]}"#), JwsError::Header),
        (with_header(r#"["RS256"]"#), JwsError::Header),
        (with_header(r#"{"alg":"RS256","cty":"cbor"}"#), JwsError::ContentType),
        (
            with_header(r#"{"alg":"RS256","crit":["b64"],"b64":false}"#),
            JwsError::Critical,
        ),
        (with_header(r#"{"alg":"RS256","crit":[]}"#), JwsError::Critical), // RFC 7515 4.1.11: never empty
        (with_header(r#"{"alg":"RS256","crit":null}"#), JwsError::Critical),
    ] {
        match jws::parse(&token) {
            Err(JwsError::HeaderJson(_)) if expected == JwsError::Header => {}
            other => assert_eq!(other, Err(expected), "{token}"),
        }
    }
    // delivery.md 3.2 step 2: no member twice, known to the token library or not
    for header in [
        r#"{"alg":"RS256","alg":"none"}"#,
        r#"{"alg":"RS256","jwk":{},"jwk":{}}"#,
        r#"{"alg":"RS256","kid":"a","kid":"b"}"#,
    ] {
        match jws::parse(&with_header(header)) {
            Err(JwsError::HeaderJson(error)) => assert_eq!(error.problem, JsonProblem::DuplicateMember),
            other => panic!("{header}: {other:?}"),
        }
    }
}

#[test]
fn keys_in_the_header_are_not_looked_at() {
    let header = Base64UrlUnpadded::encode_string(
        br#"{"alg":"ES256","jku":"https://evil.example","x5u":"x","jwk":{"kty":"EC"},"kid":"k2"}"#,
    );
    let token = format!("{header}.e30.c2ln");
    let token = jws::parse(&token).unwrap();
    assert_eq!((token.header.kid.as_deref(), token.header.typ), (Some("k2"), None));
}

#[test]
fn peeking_gives_strings_of_strict_objects_only() {
    let peek = |claims: &str| {
        let token = format!(
            "eyJhbGciOiJSUzI1NiJ9.{}.c2ln",
            Base64UrlUnpadded::encode_string(claims.as_bytes())
        );
        jws::parse(&token).unwrap().peek("iss")
    };
    for (claims, expected) in [
        (r#"{"iss":"a"}"#, Some("a")),
        (r#"{"iss":["a"]}"#, None),
        (r#"{"iss":"a","iss":"b"}"#, None),
        (r#"["iss"]"#, None),
        ("{}", None),
        ("\u{0}", None),
    ] {
        assert_eq!(peek(claims).as_deref(), expected, "{claims}");
    }
}

#[test]
fn unusable_keys_are_set_aside_with_the_reason() {
    let short = Base64UrlUnpadded::encode_string(&[0xff; 128]);
    let padded_short = Base64UrlUnpadded::encode_string(&[vec![0; 128], vec![0xff; 255]].concat());
    let huge = Base64UrlUnpadded::encode_string(&[0xff; 1025]);
    for (key, expected) in [
        (rsa(), None),
        (ec(), None),
        (with(rsa(), "use", json!("sig")), None),
        (with(rsa(), "key_ops", json!(["sign", "verify"])), None),
        (
            with(with(rsa(), "alg", json!("RS256")), "x5c", json!(["ignored"])),
            None,
        ),
        (with(rsa(), "e", json!("Aw")), None), // exponent 3
        (json!("key"), Some(JwkError::NotAnObject)),
        (json!({"kty": "oct", "k": "c2VjcmV0"}), Some(JwkError::UnsupportedType)), // HMAC has no place in public
        (
            json!({"kty": "OKP", "crv": "Ed25519", "x": EC_X}),
            Some(JwkError::UnsupportedType),
        ),
        (with(ec(), "crv", json!("P-384")), Some(JwkError::UnsupportedType)),
        (without(rsa(), "kty"), Some(JwkError::Member("kty"))),
        (without(rsa(), "n"), Some(JwkError::Member("n"))),
        (with(rsa(), "e", json!(65537)), Some(JwkError::Member("e"))),
        (with(rsa(), "n", json!("not base64!")), Some(JwkError::Member("n"))),
        (with(ec(), "x", json!("AQ")), Some(JwkError::Member("x"))),
        (
            with(ec(), "y", json!(format!("AAAA{EC_Y}"))),
            Some(JwkError::Member("y")),
        ),
        (with(rsa(), "use", json!("enc")), Some(JwkError::Purpose)),
        (with(rsa(), "use", Value::Null), Some(JwkError::Purpose)),
        (with(rsa(), "key_ops", json!(["encrypt"])), Some(JwkError::Purpose)),
        (with(rsa(), "key_ops", json!("verify")), Some(JwkError::Purpose)),
        (with(rsa(), "alg", json!("RS512")), Some(JwkError::Algorithm)),
        (with(rsa(), "alg", json!("ES256")), Some(JwkError::Algorithm)),
        (with(ec(), "alg", json!("HS256")), Some(JwkError::Algorithm)),
        (with(rsa(), "n", json!(short)), Some(JwkError::RsaSize(1024))), // CIP-2.6-2
        (with(rsa(), "n", json!(padded_short)), Some(JwkError::RsaSize(2040))),
        (with(rsa(), "n", json!(huge)), Some(JwkError::RsaSize(8200))),
        (with(rsa(), "n", json!("")), Some(JwkError::RsaSize(0))),
        (with(rsa(), "e", json!("AQ")), Some(JwkError::RsaExponent)), // 1
        (with(rsa(), "e", json!("AQAA")), Some(JwkError::RsaExponent)), // even
        (with(rsa(), "e", json!("")), Some(JwkError::RsaExponent)),
        (with(ec(), "d", json!(EC_D)), Some(JwkError::PrivatePartPublished)),
        (with(rsa(), "d", json!("AQAB")), Some(JwkError::PrivatePartPublished)),
    ] {
        assert_eq!(Jwk::from_value(&key).err(), expected, "{key}");
        let set = Jwks::from_value(&json!({"keys": [key, rsa()]})).unwrap();
        assert_eq!(
            (set.keys.len(), set.rejected.len()),
            if expected.is_none() { (2, 0) } else { (1, 1) }
        );
    }
}

#[test]
fn a_set_is_an_object_with_keys() {
    assert_eq!(Jwks::parse(br#"{"keys":[],"more":1}"#), Ok(Jwks::default()));
    for text in ["[]", "{}", r#"{"keys":{}}"#] {
        assert_eq!(Jwks::parse(text.as_bytes()), Err(JwkError::NotAKeySet), "{text}");
    }
    assert!(matches!(
        Jwks::parse(br#"{"keys":[],"keys":[]}"#),
        Err(JwkError::Json(_))
    ));
    assert!(matches!(Jwks::parse(b"<html>"), Err(JwkError::Json(_))));
    let many = json!({"keys": vec![json!({}); MAX_KEYS + 1]});
    assert_eq!(Jwks::from_value(&many), Err(JwkError::TooManyKeys));
}

#[test]
fn a_token_gets_the_key_it_names_or_none() {
    let weak = with(with(rsa(), "kid", json!("weak")), "use", json!("enc"));
    let keys = Jwks::from_value(&json!({"keys": [rsa(), ec(), weak, with(ec(), "kid", json!("k3"))]})).unwrap();
    for (kid, alg, expected) in [
        (Some("k1"), "RS256", Ok(Some("k1"))),
        (Some("k2"), "ES256", Ok(Some("k2"))),
        (Some("k3"), "ES256", Ok(Some("k3"))),
        // pitfall 26: the token does not choose the algorithm
        (Some("k1"), "none", Err(KeyError::AlgorithmRefused)),
        (Some("k1"), "HS256", Err(KeyError::AlgorithmRefused)),
        (Some("k1"), "RS512", Err(KeyError::AlgorithmRefused)),
        (Some("k1"), "rs256", Err(KeyError::AlgorithmRefused)),
        (Some("k1"), "ES256", Err(KeyError::AlgorithmMismatch)),
        (Some("k2"), "RS256", Err(KeyError::AlgorithmMismatch)),
        (Some("k9"), "RS256", Err(KeyError::UnknownKid)),
        (Some(""), "RS256", Err(KeyError::UnknownKid)),
        (Some("weak"), "RS256", Err(KeyError::Rejected(JwkError::Purpose))),
        (None, "RS256", Ok(Some("k1"))),
        (None, "ES256", Err(KeyError::NoKid)),
    ] {
        let found = keys.find(kid, alg).map(|key| key.kid.as_deref());
        assert_eq!(found, expected, "{kid:?} {alg}");
    }
    assert_eq!(Jwks::default().find(None, "RS256"), Err(KeyError::NoKid));
}

#[test]
fn one_kid_may_name_a_key_of_each_type() {
    // RFC 7517 4.5
    let keys = Jwks::from_value(&json!({"keys": [rsa(), with(ec(), "kid", json!("k1"))]})).unwrap();
    assert_eq!(keys.find(Some("k1"), "RS256").map(|key| key.alg), Ok(Alg::Rs256));
    assert_eq!(keys.find(Some("k1"), "ES256").map(|key| key.alg), Ok(Alg::Es256));
}

#[test]
fn thumbprints_depend_on_the_public_part_only() {
    // RFC 7638, computed independently
    for (key, expected) in [
        (rsa(), RSA_THUMBPRINT),
        (
            with(with(rsa(), "alg", json!("RS256")), "use", json!("sig")),
            RSA_THUMBPRINT,
        ),
        (ec(), EC_THUMBPRINT),
        (with(without(ec(), "kid"), "d", json!(EC_D)), EC_THUMBPRINT),
    ] {
        assert_eq!(jwk::thumbprint(&key).as_deref(), Ok(expected));
    }
    assert_eq!(
        jwk::thumbprint(&json!({"kty": "oct", "k": "AQAB"})),
        Err(JwkError::UnsupportedType)
    );
}

#[test]
fn published_keys_hold_no_private_member() {
    let mut private = with(rsa(), "key_ops", json!(["sign"]));
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "anything"] {
        private[name] = json!("c2VjcmV0");
    }
    assert_eq!(
        jwk::public_jwk(&private, Alg::Rs256, "new"),
        Ok(json!({"kty": "RSA", "n": RSA_N, "e": "AQAB", "kid": "new", "alg": "RS256", "use": "sig"}))
    );
    let published = jwk::public_jwk(&with(ec(), "d", json!(EC_D)), Alg::Es256, "e").unwrap();
    assert_eq!(
        published,
        json!({"kty": "EC", "crv": "P-256", "x": EC_X, "y": EC_Y, "kid": "e", "alg": "ES256", "use": "sig"})
    );
    assert!(Jwk::from_value(&published).is_ok());
    assert_eq!(jwk::public_jwk(&rsa(), Alg::Es256, "x"), Err(JwkError::Algorithm));
}

#[test]
fn algorithm_names_are_the_registered_ones() {
    for (alg, name) in [(Alg::Rs256, "RS256"), (Alg::Es256, "ES256")] {
        assert_eq!(
            (alg.name(), Alg::from_name(name), json!(alg)),
            (name, Some(alg), json!(name))
        );
    }
    assert_eq!(Alg::from_name("none"), None);
}

/// Any text parses or is refused; what parses is split at its own dots.
#[test]
fn no_text_upsets_the_token_parser() {
    let mut accepted = 0;
    for bytes in mutate::variants(&[RSA_TOKEN, "eyJhbGciOiJub25lIn0.e30.", "..", "a.b.c.d.e"], 5_000) {
        let Ok(text) = std::str::from_utf8(&bytes) else {
            continue;
        };
        let Ok(token) = jws::parse(text) else { continue };
        accepted += 1;
        assert!(text.starts_with(token.signing_input));
        assert_eq!(jws::assemble(token.signing_input, &token.signature), text);
        let _ = token.peek("iss");
    }
    assert!(accepted > 10, "{accepted}");
}
