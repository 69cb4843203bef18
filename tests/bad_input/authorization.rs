//! Missing, wrong and insufficient credentials (RFC 6750 section 3): what `WWW-Authenticate` says, to the letter.

use base64ct::{Base64UrlUnpadded, Encoding};
use jwt_compact::Algorithm;
use jwt_compact::AlgorithmSignature;
use jwt_compact::alg::{Hs256, Hs256Key};
use serde_json::{Value, json};

use crate::harness::{ADMIN_TOKEN, Answer, Client, Options, ScriptedTransmitter, eventually};
use crate::support::{Acme, KEY_ENCRYPTION_KEY, restart_with};

use super::routes::{Caller, ROUTES, Route};
use super::world::{Bad, World};

const NO_TOKEN: &str = r#"Bearer realm="ssf""#;
const EMPTY: &str =
    r#"Bearer realm="ssf", error="invalid_request", error_description="the Authorization header has no token""#;
const MALFORMED: &str = r#"Bearer realm="ssf", error="invalid_token", error_description="malformed""#;
const NOT_THE_OPERATOR: &str =
    r#"Bearer realm="ssf", error="invalid_token", error_description="this is not the operator's token""#;
const NOT_VALID: &str =
    r#"Bearer realm="ssf", error="invalid_token", error_description="the access token is not valid""#;
const EXPIRED: &str = r#"Bearer realm="ssf", error="invalid_token", error_description="expired""#;

fn protected() -> impl Iterator<Item = &'static Route> {
    ROUTES
        .iter()
        .filter(|route| !matches!(route.caller, Caller::Anyone | Caller::Transmitter))
}

#[track_caller]
fn assert_challenge(world: &World, client: &Client, route: &Route, status: u16, challenge: &str) -> Answer {
    let path = route.path(world);
    let answer = world.problem(client, &Bad::bare(route.method, &path), status);
    assert_eq!(
        answer.header("www-authenticate"),
        Some(challenge),
        "{} {path}",
        route.method
    );
    answer
}

#[test]
fn without_credentials_nothing_is_done() {
    let world = World::start();
    let anyone = world.instance.anyone();
    for route in protected() {
        for header in [None, Some("Basic dXNlcjpwYXNz"), Some("Token abc"), Some("Bearerabc")] {
            let client = header.map_or_else(
                || anyone.clone(),
                |header| anyone.clone().with_header("authorization", header),
            );
            assert_challenge(&world, &client, route, 401, NO_TOKEN);
        }
        assert_challenge(
            &world,
            &anyone.clone().with_header("authorization", "Bearer"),
            route,
            400,
            EMPTY,
        );
        for malformed in ["Bearer a b", "Bearer \"abc\"", "Bearer =="] {
            let client = anyone.clone().with_header("authorization", malformed);
            assert_challenge(&world, &client, route, 401, MALFORMED);
        }
    }
    // CIP-2.7.3-2: a token anywhere but in the header is none.
    let query = format!("/ssf/streams?access_token={}", world.acme.token);
    let answer = world.problem(&anyone, &Bad::bare("GET", &query), 401);
    assert_eq!(answer.header("www-authenticate"), Some(NO_TOKEN));
    world.assert_unchanged();
}

#[test]
fn a_token_that_is_not_the_right_one_opens_nothing() {
    let mut world = World::start();
    let anyone = world.instance.anyone();
    let longer = format!("{ADMIN_TOKEN}x");
    // Making keys takes its time, and a stream's object that hears nothing for long forgets what it counted.
    let forged = forgeries(&world);
    world.look_again();
    for route in protected() {
        let (wrong, challenge) = match route.caller {
            Caller::Operator => {
                let wrong = [
                    "abc",
                    &longer,
                    &ADMIN_TOKEN[1..],
                    &world.acme.token,
                    &world.publisher.token,
                ];
                (wrong.map(str::to_owned).to_vec(), NOT_THE_OPERATOR)
            }
            Caller::Publisher => (forged.clone(), NOT_VALID),
            _ => (
                forged.iter().cloned().chain([ADMIN_TOKEN.to_owned()]).collect(),
                NOT_VALID,
            ),
        };
        for token in wrong {
            assert_challenge(&world, &anyone.clone().bearer(&token), route, 401, challenge);
        }
    }
    // The schemes of HTTP are named in any case.
    let client = anyone.with_header("authorization", &format!("bEARER {}", world.acme.token));
    client.get("/ssf/streams", 200);
    world.assert_unchanged();
}

/// Tokens that look like ours and are not.
fn forgeries(world: &World) -> Vec<String> {
    let origin = world.instance.origin();
    let jwks = world.instance.anyone().get("/jwks.json", 200);
    let key = &jwks["keys"][0];
    let claims = claims(&world.acme.token);
    let transmitter = ScriptedTransmitter::start();
    let mut draft = transmitter
        .draft(&origin)
        .without("events")
        .without("sub_id")
        .header("typ", "at+jwt");
    for (name, value) in claims.as_object().expect("claims are an object") {
        draft = draft.claim(name, value.clone());
    }
    let foreign = draft.sign();
    let with_our_kid = draft.clone().header("kid", key["kid"].clone()).sign();
    let without_kid = draft.clone().header("kid", Value::Null).sign();
    let unsigned = draft.clone().header("kid", key["kid"].clone()).unsigned();
    let hmac = signed_with_public_key(
        &draft.header("kid", key["kid"].clone()).header("alg", "HS256").sign(),
        key,
    );
    let mut wider = claims.clone();
    wider["scope"] = json!("ssf.read ssf.manage events.publish");
    let parts: Vec<&str> = world.acme.token.split('.').collect();
    let tampered = format!("{}.{}.{}", parts[0], encode(wider.to_string().as_bytes()), parts[2]);
    // SET-4.3-1: a SET of ours carries our signature, and opens nothing.
    let (_, set) = world.polled.poll_now().remove(0);
    vec![
        "abc".to_owned(),
        "a.b.c".to_owned(),
        foreign,
        with_our_kid,
        without_kid,
        unsigned,
        hmac,
        tampered,
        set,
    ]
}

/// The same token under an HMAC whose key is the public modulus: what a confused verifier would accept.
fn signed_with_public_key(token: &str, jwk: &Value) -> String {
    let modulus = Base64UrlUnpadded::decode_vec(jwk["n"].as_str().expect("a modulus")).expect("base64url");
    let (input, _) = token.rsplit_once('.').expect("three parts");
    let signature = Hs256.sign(&Hs256Key::new(modulus), input.as_bytes());
    format!("{input}.{}", encode(&signature.as_bytes()))
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&Base64UrlUnpadded::decode_vec(part).expect("base64url")).expect("claims")
}

fn encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

#[test]
fn a_token_of_another_service_opens_nothing_here() {
    let (here, there) = (World::start(), World::start());
    for route in protected().filter(|route| route.caller != Caller::Operator) {
        let client = here.instance.anyone().bearer(&there.acme.token);
        assert_challenge(&here, &client, route, 401, NOT_VALID);
    }
    here.assert_unchanged();
}

#[test]
fn an_expired_token_opens_nothing() {
    let mut world = World::with(Options::default());
    // Its picture is taken with a token that lasts; the one that expires comes after.
    let lasting = world.acme.token.clone();
    restart_with(
        &mut world.instance,
        &[
            ("ADMIN_TOKEN", ADMIN_TOKEN),
            ("KEY_ENCRYPTION_KEY", KEY_ENCRYPTION_KEY),
            ("ALLOW_LOOPBACK", "1"),
            ("TOKEN_TTL_S", "1"),
        ],
    );
    world.look_again();
    let short = world.acme.new_token(&world.instance);
    assert_ne!(short, lasting);
    let times = claims(&short);
    assert_eq!(
        times["exp"].as_u64().expect("exp") - times["iat"].as_u64().expect("iat"),
        1
    );
    let client = world.instance.anyone().bearer(&short);
    eventually("the token expires", || {
        let answer = client.try_get("/ssf/streams").expect("an answer");
        (answer.status == 401).then_some(())
    });
    for route in protected().filter(|route| route.caller != Caller::Operator) {
        assert_challenge(&world, &client, route, 401, EXPIRED);
    }
    world.assert_unchanged();
}

#[test]
fn a_scope_that_does_not_suffice_is_named() {
    let world = World::start();
    let (acme, reader, publisher) = (&world.acme.api, &world.reader.api, &world.publisher.api);
    let narrowed = narrowed(&world.acme, &world);
    for route in protected() {
        let (scope, callers) = match route.caller {
            Caller::Reader => ("ssf.read", vec![publisher]),
            Caller::Manager => ("ssf.manage", vec![publisher, reader, &narrowed]),
            Caller::Publisher => ("events.publish", vec![acme, reader]),
            _ => continue,
        };
        let challenge = format!(r#"Bearer realm="ssf", error="insufficient_scope", scope="{scope}""#);
        for client in callers {
            assert_challenge(&world, client, route, 403, &challenge);
        }
    }
    world.assert_unchanged();
    // CIP-2.7.2-8: what may be managed may be read.
    let manager = Acme::with_scope(&world.instance, "ssf.manage", &[]);
    for client in [reader, &narrowed, &manager.api] {
        client.get("/ssf/streams", 200);
    }
}

/// A client's token for less than it is registered for.
fn narrowed(acme: &Acme, world: &World) -> Client {
    let form = [("grant_type", "client_credentials"), ("scope", "ssf.read")];
    let token_client = world.instance.anyone().basic(&acme.client_id, &acme.client_secret);
    let token = token_client.post_form("/oauth/token", &form, 200);
    assert_eq!(token["scope"], json!("ssf.read"));
    world
        .instance
        .anyone()
        .bearer(token["access_token"].as_str().expect("a token"))
}
