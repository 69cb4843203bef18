//! How a source gets its access token.

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use super::{options, request, until_done, until_problem};
use crate::harness::{Fault, Instance, Reply, SsfTransmitter, eventually};
use crate::support::{ACME_AUDIENCE, Source};

/// A P-256 key that is used nowhere else (RFC 7517, appendix A.2).
fn private_key() -> Value {
    json!({"kty": "EC", "crv": "P-256", "kid": "k1", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
           "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM", "d": "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"})
}

fn form(transmitter: &SsfTransmitter) -> Vec<(String, String)> {
    let request = transmitter.requests("POST /token").remove(0);
    let pairs = request.text().split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn value<'a>(form: &'a [(String, String)], name: &str) -> &'a str {
    form.iter()
        .find(|(found, _)| found == name)
        .map_or("", |(_, value)| value)
}

#[test]
fn each_kind_of_credentials_gets_a_token() {
    let instance = Instance::start(options());
    for (credentials, kind) in [
        (json!({"access_token": "static"}), "access_token"),
        (
            json!({"client_id": "client", "client_secret": "se cret", "scope": "ssf.manage"}),
            "client_secret_basic",
        ),
        (
            json!({"client_id": "client", "client_secret": "secret", "auth_method": "client_secret_post"}),
            "client_secret_post",
        ),
        (
            json!({"client_id": "client", "private_key": private_key()}),
            "private_key_jwt",
        ),
    ] {
        let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
        let mut wanted = request(&transmitter, "poll");
        wanted["credentials"] = credentials;
        let source = Source::create(&instance, &wanted);
        until_done(&instance, &source);
        assert_eq!(source.created["credentials"]["kind"], json!(kind));
        if kind == "access_token" {
            assert!(transmitter.requests("POST /token").is_empty());
            continue;
        }
        let asked = transmitter.requests("POST /token").remove(0);
        let form = form(&transmitter);
        assert_eq!(value(&form, "grant_type"), "client_credentials");
        match kind {
            "client_secret_basic" => {
                let expected = format!("Basic {}", Base64::encode_string(b"client:se+cret"));
                assert_eq!(asked.header("authorization"), Some(expected.as_str()));
                assert_eq!(value(&form, "scope"), "ssf.manage");
            }
            "client_secret_post" => assert_eq!(value(&form, "client_secret"), "secret"),
            _ => {
                // RFC 7523: the assertion is ours, and for this endpoint alone.
                let assertion = value(&form, "client_assertion");
                let claims = assertion.split('.').nth(1).expect("claims");
                let claims = base64ct::Base64UrlUnpadded::decode_vec(claims);
                let claims: Value = serde_json::from_slice(&claims.expect("base64url")).expect("JSON");
                assert_eq!(claims["iss"], "client");
                assert_eq!(claims["aud"], json!(format!("{}/token", transmitter.issuer())));
                assert_eq!(
                    claims["exp"]
                        .as_i64()
                        .zip(claims["iat"].as_i64())
                        .map(|(exp, iat)| exp - iat),
                    Some(60)
                );
            }
        }
    }
}

#[test]
fn a_token_that_is_not_accepted_is_replaced_once() {
    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    let source = Source::create(&instance, &request(&transmitter, "push"));
    until_done(&instance, &source);
    assert_eq!(transmitter.requests("POST /token").len(), 1);
    transmitter.forget_tokens();
    instance.operator().get(&format!("{}/status", source.path()), 200);
    assert_eq!(transmitter.requests("POST /token").len(), 2);
    transmitter.fail("GET /status", Fault::Instead(Reply::status(401)));
    transmitter.fail("GET /status", Fault::Instead(Reply::status(401)));
    let answer = instance.operator().get(&format!("{}/status", source.path()), 502);
    assert!(
        answer["detail"].as_str().is_some_and(|detail| detail.contains("401")),
        "{answer}"
    );
    until_problem(&instance, &source, "token_refused");
    instance.operator().get(&format!("{}/status", source.path()), 200);
    super::until_no_problem(&instance, &source, "token_refused");
}

#[test]
fn a_token_is_renewed_before_it_ends() {
    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    transmitter.expires_in(json!("1"));
    let source = Source::create(&instance, &request(&transmitter, "push"));
    until_done(&instance, &source);
    let status = format!("{}/status", source.path());
    eventually("another token is asked for", || {
        instance.operator().get(&status, 200);
        (transmitter.requests("POST /token").len() > 1).then_some(())
    });
}

#[test]
fn wrong_credentials_are_a_problem_until_they_are_right() {
    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    let refusal = Reply::json(401, &json!({"error": "invalid_client"}));
    transmitter.fail_always("POST /token", refusal);
    let source = Source::create(&instance, &request(&transmitter, "push"));
    until_problem(&instance, &source, "token_refused");
    transmitter.mend();
    let credentials = json!({"client_id": "client", "client_secret": "right"});
    instance
        .operator()
        .patch_json(&source.path(), &json!({"credentials": credentials}), 200);
    until_done(&instance, &source);
    super::until_no_problem(&instance, &source, "token_refused");
}
