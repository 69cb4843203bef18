//! The keys of a tenant: with which algorithm it signs, and how it changes its mind.

use serde_json::{Value, json};

use crate::harness::{Instance, Options, ScriptedReceiver, eventually};
use crate::support::{Acme, Set, Stream, Tenant, event};

/// Publishes an event and returns the SET that the stream hands out, verified, with its acknowledgement given.
#[track_caller]
fn next_set(instance: &Instance, tenant: &Tenant, stream: &Stream) -> Set {
    let id = format!("evt-{}", stream.poll_now().len());
    tenant.publish(&instance.operator(), &[nameless(&id)]);
    let (jti, set) = stream.poll_now().pop().expect("an event");
    stream.ack(&[&jti]);
    // Read after it came: what signs has to be published by then.
    Set::verified(&set, &tenant.jwks(instance))
}

fn nameless(txn: &str) -> Value {
    let mut event = event(txn, "ana@example.com");
    event.as_object_mut().expect("an object").remove("id");
    event
}

#[track_caller]
fn algs(jwks: &Value) -> Vec<&str> {
    let keys = jwks["keys"].as_array().expect("an array");
    let mut algs: Vec<&str> = keys.iter().map(|key| key["alg"].as_str().expect("an alg")).collect();
    algs.sort_unstable();
    algs
}

#[track_caller]
fn token_alg(instance: &Instance, tenant: &Tenant, client: &Acme) -> Value {
    let token = client.new_token(instance);
    Set::verified(&token, &tenant.jwks(instance)).header["alg"].clone()
}

#[test]
fn a_tenant_that_chose_es256_signs_everything_with_it() {
    let instance = Instance::start(Options::default());
    let acme = Tenant::create(&instance, "acme", &json!({"signing_alg": "ES256"}));
    let receiver = ScriptedReceiver::start();
    let client = acme.receiver(&instance, &json!({"push_endpoints": [receiver.url("/")]}));
    let (polled, pushed) = (client.poll_stream(), client.push_stream(&receiver.url("/events")));
    let set = next_set(&instance, &acme, &polled);
    let push = Set::verified(receiver.wait_for(1).text(), &acme.jwks(&instance));
    for signed in [&set, &push, &Set::verified(&client.token, &acme.jwks(&instance))] {
        assert_eq!(signed.header["alg"], json!("ES256"));
    }
    assert_eq!(set.header["kid"], push.header["kid"]);
    assert_ne!(set.jti(), push.jti());
    assert_eq!(pushed.configuration["iss"], push.claims["iss"]);

    // One key, its public part only (RFC 7518 6.2.1), under its thumbprint.
    let jwks = acme.jwks(&instance);
    let keys = jwks["keys"].as_array().expect("an array");
    assert_eq!(keys.len(), 1, "{jwks}");
    let members: Vec<&String> = keys[0].as_object().expect("a JWK is an object").keys().collect();
    assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    assert_eq!(
        (&keys[0]["kty"], &keys[0]["crv"], &keys[0]["use"]),
        (&json!("EC"), &json!("P-256"), &json!("sig"))
    );
    assert_eq!(keys[0]["kid"], set.header["kid"]);
    // The choice is this tenant's alone.
    assert_eq!(algs(&instance.anyone().get("/jwks.json", 200)), ["RS256"]);
}

#[test]
fn a_new_key_is_published_before_it_signs_and_the_old_one_signs_meanwhile() {
    // Twice this long (design 7), which is far longer than this test takes.
    let instance = Instance::start(Options::default().set("JWKS_MAX_AGE_S", 3600));
    let acme = Tenant::create(&instance, "acme", &json!({}));
    let client = acme.receiver(&instance, &json!({}));
    let old = client.poll_stream();
    let before = next_set(&instance, &acme, &old);
    assert_eq!(algs(&acme.jwks(&instance)), ["RS256"]);

    acme.change(&instance, &json!({"signing_alg": "ES256"}));
    let new = client.poll_stream();
    for stream in [&old, &new] {
        let after = next_set(&instance, &acme, stream);
        assert_eq!(after.header, before.header, "the same algorithm and the same key");
    }
    assert_eq!(token_alg(&instance, &acme, &client), json!("RS256"));
    let jwks = acme.jwks(&instance);
    assert_eq!(algs(&jwks), ["ES256", "RS256"], "published already");
    // A change of mind needs no third key.
    acme.change(&instance, &json!({"signing_alg": "RS256"}));
    assert_eq!(token_alg(&instance, &acme, &client), json!("RS256"));
    acme.change(&instance, &json!({"signing_alg": "ES256"}));
    assert_eq!(token_alg(&instance, &acme, &client), json!("RS256"));
    assert_eq!(acme.jwks(&instance), jwks);
}

#[test]
fn a_new_key_signs_once_everybody_had_the_time_to_know_it() {
    let instance = Instance::start(Options::default().set("JWKS_MAX_AGE_S", 1));
    let acme = Tenant::create(&instance, "acme", &json!({}));
    let client = acme.receiver(&instance, &json!({}));
    assert_eq!(token_alg(&instance, &acme, &client), json!("RS256"));
    let old_token = client.new_token(&instance);

    let asked = std::time::Instant::now();
    acme.change(&instance, &json!({"signing_alg": "ES256"}));
    eventually("the new key signs", || {
        // Whatever signs, its key is published: `token_alg` verifies with what is read after it.
        (token_alg(&instance, &acme, &client) == "ES256").then_some(())
    });
    assert!(
        asked.elapsed() >= std::time::Duration::from_millis(1999),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(algs(&acme.jwks(&instance)), ["ES256", "RS256"]);
    let new = next_set(&instance, &acme, &client.poll_stream());
    assert_eq!(new.header["alg"], json!("ES256"));
    // What was signed before is good still.
    instance
        .anyone()
        .bearer(&old_token)
        .get(&acme.path("/ssf/streams"), 200);
    Set::verified(&old_token, &acme.jwks(&instance));
}

#[test]
fn a_client_of_the_interop_profile_gets_rs256_where_all_else_is_es256() {
    let instance = Instance::start(Options::default());
    let acme = Tenant::create(&instance, "acme", &json!({"signing_alg": "ES256"}));
    let plain = acme.receiver(&instance, &json!({}));
    let interop = acme.receiver(&instance, &json!({"profile": "caep_interop"}));
    let (plain_stream, interop_stream) = (plain.poll_stream(), interop.poll_stream());
    acme.publish(&instance.operator(), &[event("evt-1", "ana@example.com")]);
    let one = |stream: &Stream| {
        let (_, set) = stream.poll_now().remove(0);
        Set::verified(&set, &acme.jwks(&instance)).header["alg"].clone()
    };
    // CIP-2.6-1 leaves no choice, and no time: CIP-2.3.3-1, the key is in the document when the SET arrives.
    assert_eq!(one(&interop_stream), json!("RS256"));
    assert_eq!(one(&plain_stream), json!("ES256"));
    assert_eq!(algs(&acme.jwks(&instance)), ["ES256", "RS256"]);
    let rsa = acme.jwks(&instance)["keys"]
        .as_array()
        .expect("an array")
        .iter()
        .find(|key| key["kty"] == "RSA")
        .cloned()
        .expect("an RSA key");
    assert_eq!(rsa["n"].as_str().map(str::len), Some(342), "2048 bits");
    // Tokens are between the tenant and its clients, and signed as the tenant chose.
    for client in [&plain, &interop] {
        assert_eq!(token_alg(&instance, &acme, client), json!("ES256"));
    }
}

#[test]
fn a_client_that_turns_to_the_interop_profile_gets_rs256_from_then_on() {
    let instance = Instance::start(Options::default());
    let acme = Tenant::create(&instance, "acme", &json!({"signing_alg": "ES256"}));
    let client = acme.receiver(&instance, &json!({}));
    let stream = client.poll_stream();
    assert_eq!(next_set(&instance, &acme, &stream).header["alg"], json!("ES256"));
    let operator = instance.operator();
    operator.patch_json(&client.path(), &json!({"profile": "caep_interop"}), 200);
    assert_eq!(next_set(&instance, &acme, &stream).header["alg"], json!("RS256"));
    operator.patch_json(&client.path(), &json!({"profile": null}), 200);
    assert_eq!(next_set(&instance, &acme, &stream).header["alg"], json!("ES256"));
}
