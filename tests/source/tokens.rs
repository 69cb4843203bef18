//! How a source gets its access token.

use std::sync::atomic::{AtomicBool, Ordering};

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use super::{connect, options, request, until_done, until_problem, until_set_up};
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

/// CIP-2.7.1-5.
#[test]
fn a_token_that_is_not_accepted_is_replaced_once() {
    let (instance, transmitter, source) = connect(options(), "push");
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

/// CIP-2.7.1-5.
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

fn forms(transmitter: &SsfTransmitter) -> Vec<String> {
    let requests = transmitter.requests("POST /token");
    requests.iter().map(|request| request.text().to_owned()).collect()
}

/// CIP-2.7.2-1, CIP-2.7.2-7.
#[test]
fn the_scopes_are_those_that_the_transmitter_names_or_both_that_there_are() {
    let instance = Instance::start(options());
    let names: fn(&mut Value) = |document| document["scopes_supported"] = json!(["openid", "ssf.manage"]);
    for (fault, expected) in [
        (Fault::Changed(names), ["scope=ssf.manage&", ""]),
        (Fault::Instead(Reply::status(404)), ["scope=ssf.read+ssf.manage&", ""]),
        (Fault::Changed(|_| ()), ["", ""]),
    ] {
        let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
        transmitter.fail("GET /.well-known/oauth-protected-resource", fault);
        let mut wanted = request(&transmitter, "push");
        wanted["credentials"]["auth_method"] = json!("client_secret_post");
        wanted["credentials"]["token_endpoint"] = json!(format!("{}/token", transmitter.issuer()));
        let source = Source::create(&instance, &wanted);
        until_done(&instance, &source);
        let expected = format!(
            "grant_type=client_credentials&{}client_id=client&client_secret=secret",
            expected[0]
        );
        assert_eq!(forms(&transmitter), [expected]);
    }
    // One that knows none of them.
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    transmitter.fail(
        "GET /.well-known/oauth-protected-resource",
        Fault::Instead(Reply::status(404)),
    );
    let unknown = Reply::json(400, &json!({"error": "invalid_scope"}));
    transmitter.fail("POST /token", Fault::Instead(unknown));
    let mut wanted = request(&transmitter, "push");
    wanted["credentials"]["token_endpoint"] = json!(format!("{}/token", transmitter.issuer()));
    let source = Source::create(&instance, &wanted);
    until_done(&instance, &source);
    let forms = forms(&transmitter);
    assert_eq!(forms.len(), 2);
    assert!(forms[0].contains("scope=") && !forms[1].contains("scope="), "{forms:?}");
}

/// RFC 9728: who is named alone gets the credentials, though the document cannot be had for a moment.
#[test]
fn credentials_go_to_nobody_whom_the_transmitter_did_not_name() {
    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    transmitter.fail(
        "GET /.well-known/oauth-protected-resource",
        Fault::Instead(Reply::status(503)),
    );
    let issuer = transmitter.issuer();
    let own = json!({"issuer": issuer, "token_endpoint": format!("{issuer}/elsewhere")});
    transmitter.fail_always("GET /.well-known/openid-configuration", Reply::json(200, &own));
    let source = Source::create(&instance, &request(&transmitter, "push"));
    until_done(&instance, &source);
    assert!(transmitter.requests("POST /elsewhere").is_empty());
}

#[test]
fn a_token_endpoint_that_refuses_is_looked_up_again() {
    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    let moved: fn(&mut Value) = |document| {
        let endpoint = document["token_endpoint"]
            .as_str()
            .expect("a URL")
            .replace("/token", "/before");
        document["token_endpoint"] = json!(endpoint);
    };
    transmitter.fail("GET /.well-known/oauth-authorization-server/as", Fault::Changed(moved));
    let source = Source::create(&instance, &request(&transmitter, "push"));
    until_done(&instance, &source);
    assert_eq!(transmitter.requests("POST /before").len(), 1);
}

/// The answer to the question with the old credentials comes when there are new ones.
#[test]
fn a_token_of_credentials_that_were_replaced_is_not_used() {
    static CHANGED: AtomicBool = AtomicBool::new(false);
    let held: fn(&mut Value) = |_| {
        eventually("the credentials are changed", || {
            CHANGED.load(Ordering::SeqCst).then_some(())
        });
    };
    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    transmitter.fail("POST /token", Fault::Changed(held));
    let source = Source::create(&instance, &request(&transmitter, "push"));
    eventually("a token is asked for", || {
        (!forms(&transmitter).is_empty()).then_some(())
    });
    let new = json!({"credentials": {"client_id": "new", "client_secret": "s", "auth_method": "client_secret_post"}});
    instance.operator().patch_json(&source.path(), &new, 200);
    CHANGED.store(true, Ordering::SeqCst);
    until_done(&instance, &source);
    assert!(forms(&transmitter)[1].contains("client_id=new"));
    for request in transmitter.requests("POST /streams") {
        assert_ne!(request.header("authorization"), Some("Bearer token-1"));
    }
}

/// Pitfall 23: the other side repeats what it refuses.
#[test]
fn what_is_refused_shows_no_secret() {
    let instance = Instance::start(options().set("SETUP_AGAIN_S", 3600));
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    let mut wanted = request(&transmitter, "push");
    wanted["credentials"]["client_secret"] = json!("hunter2");
    let basic = Base64::encode_string(b"client:hunter2");
    let said =
        json!({"error": "invalid_client", "error_description": format!("Basic {basic} hunter2"), "you": "hunter2"});
    transmitter.fail("POST /token", Fault::Instead(Reply::json(401, &said)));
    let source = Source::create(&instance, &wanted);
    let shown = until_set_up(&instance, &source, "failed");
    assert!(shown.to_string().contains("invalid_client: Basic *** ***"), "{shown}");

    let said = Reply::json(400, &json!({"invalid": {"authorization_header": source.authorization}}));
    transmitter.fail("POST /streams", Fault::Instead(said));
    let from = json!({"from": "token"});
    instance
        .operator()
        .post_json(&format!("{}/setup", source.path()), &from, 202);
    let stream = eventually("the stream is refused", || {
        let shown = super::setup(&instance, &source);
        (shown["steps"][3]["state"] == "failed").then(|| shown.to_string())
    });
    assert!(stream.contains("Bearer ***"), "{stream}");
    let token = source.authorization.trim_start_matches("Bearer ");
    let log = instance.log_tail();
    for secret in ["hunter2", &basic, token] {
        assert!(
            !shown.to_string().contains(secret) && !stream.contains(secret) && !log.contains(secret),
            "{secret}"
        );
    }
}
