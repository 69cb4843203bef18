//! Deployments that are not in order: a setting that is unknown, malformed or missing.

use serde_json::{Value, json};

use crate::harness::{ADMIN_TOKEN, Answer, Instance, Options, ScriptedTransmitter, eventually};
use crate::support::{ACME_AUDIENCE, Acme, KEY_ENCRYPTION_KEY, Source, assert_problem, restart_with};

#[test]
fn a_setting_that_is_not_understood_stops_everything_and_is_named() {
    for (name, value) in [
        ("WINDOWS", "6"),
        ("WINDOW", "0"),
        ("PUBLIC_URL", "https://heliograph.example/path"),
        ("ALLOW_LOOPBACK", "yes"),
        ("KEY_ENCRYPTION_KEY", "too-short-to-be-a-key"),
    ] {
        let instance = Instance::start_unchecked(Options::default().set(name, value));
        let anyone = instance.anyone();
        let first = eventually("the instance answers", || anyone.try_get("/console.json").ok());
        let others = [
            ("GET", "/jwks.json"),
            ("GET", "/.well-known/ssf-configuration"),
            ("POST", "/oauth/token"),
            ("GET", "/ssf/streams"),
            ("POST", "/events"),
            ("POST", "/receive/x"),
            ("GET", "/admin/clients"),
            ("GET", "/nothing"),
        ];
        let others = others.map(|(method, path)| instance.operator().send(method, path, &[], b"", 503));
        for answer in std::iter::once(&first).chain(&others) {
            assert_problem(answer, 503);
            let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
            assert!(detail.contains(name), "{name}={value}: {detail}");
            assert!(!answer.text().contains("too-short"), "no values: {answer}");
        }
    }
}

#[test]
fn the_encryption_key_is_required() {
    let instance = Instance::start_unchecked(Options::default().unset("KEY_ENCRYPTION_KEY"));
    let anyone = instance.anyone();
    let answer: Answer = eventually("the instance answers", || anyone.try_get("/console.json").ok());
    assert_problem(&answer, 503);
    assert!(
        answer.json()["detail"]
            .as_str()
            .is_some_and(|text| text.contains("KEY_ENCRYPTION_KEY is required")),
        "{answer}"
    );
}

#[test]
fn without_an_operators_token_nobody_manages_and_all_else_goes_on() {
    let mut instance = Instance::start(Options::default());
    let acme = Acme::register(&instance, &[]);
    let publisher = Acme::with_scope(&instance, "events.publish", &[]);
    let stream = acme.poll_stream();
    let transmitter = ScriptedTransmitter::start();
    let source = Source::register(&instance, &transmitter.issuer(), ACME_AUDIENCE);
    restart_with(
        &mut instance,
        &[("KEY_ENCRYPTION_KEY", KEY_ENCRYPTION_KEY), ("ALLOW_LOOPBACK", "1")],
    );

    for client in [
        instance.operator(),
        instance.anyone(),
        instance.anyone().bearer(""),
        acme.api.clone(),
    ] {
        for (method, path) in [
            ("GET", "/admin/clients".to_owned()),
            ("POST", "/admin/clients".to_owned()),
            ("GET", format!("/admin/clients/{}", acme.client_id)),
            ("GET", "/admin/streams".to_owned()),
            ("GET", format!("/admin/streams/{}", stream.id)),
            ("GET", format!("/admin/streams/{}/deliveries", stream.id)),
            ("GET", format!("/admin/streams/{}/dead-letters", stream.id)),
            ("GET", "/admin/sources".to_owned()),
            ("POST", "/admin/sources".to_owned()),
            ("GET", source.path()),
            ("DELETE", source.path()),
            ("GET", format!("{}/events", source.path())),
        ] {
            let answer = client.send(method, &path, &[], b"", 503);
            assert_problem(&answer, 503);
            assert!(
                answer.json()["detail"]
                    .as_str()
                    .is_some_and(|text| text.contains("ADMIN_TOKEN")),
                "{answer}"
            );
        }
    }
    assert_eq!(instance.anyone().get("/console.json", 200)["admin"], json!(false));
    // The token that was taken away publishes nothing either.
    let event = json!({"events": [crate::support::event("evt-1", "ana@example.com")]});
    instance.operator().send_json("POST", "/events", &event, 401);
    instance
        .anyone()
        .with_header("authorization", "Bearer")
        .send_json("POST", "/events", &event, 400);

    acme.new_token(&instance);
    publisher.api.post_json("/events", &event, 202);
    assert_eq!(stream.poll_now().len(), 1);
    source.push(&instance, &transmitter.draft(ACME_AUDIENCE).sign(), 202);
    instance.anyone().get("/jwks.json", 200);
    // With the token the operator finds everything as it was.
    let settings = [
        ("ADMIN_TOKEN", ADMIN_TOKEN),
        ("KEY_ENCRYPTION_KEY", KEY_ENCRYPTION_KEY),
        ("ALLOW_LOOPBACK", "1"),
    ];
    restart_with(&mut instance, &settings);
    assert_eq!(source.inbox(&instance).len(), 1);
    assert_eq!(instance.anyone().get("/console.json", 200)["admin"], json!(true));
}

#[test]
fn another_encryption_key_opens_nothing_and_breaks_nothing() {
    let mut instance = Instance::start(Options::default());
    let acme = Acme::register(&instance, &[]);
    let jwks = instance.anyone().get("/jwks.json", 200);
    let other = "b3RoZXIta2V5LWVuY3J5cHRpb24ta2V5LTMyLWJ5dGU";
    restart_with(
        &mut instance,
        &[
            ("ADMIN_TOKEN", ADMIN_TOKEN),
            ("KEY_ENCRYPTION_KEY", other),
            ("ALLOW_LOOPBACK", "1"),
        ],
    );
    // Pitfall 20: our fault, said as such, and nothing is overwritten.
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let client = instance.anyone().basic(&acme.client_id, &acme.client_secret);
    let answer = client.send("POST", "/oauth/token", &form, b"grant_type=client_credentials", 500);
    assert_problem(&answer, 500);
    assert_eq!(instance.anyone().get("/jwks.json", 200), jwks);
    let settings = [
        ("ADMIN_TOKEN", ADMIN_TOKEN),
        ("KEY_ENCRYPTION_KEY", KEY_ENCRYPTION_KEY),
        ("ALLOW_LOOPBACK", "1"),
    ];
    restart_with(&mut instance, &settings);
    acme.new_token(&instance);
    assert_eq!(instance.anyone().get("/jwks.json", 200), jwks);
}

#[test]
fn the_public_documents_may_be_kept_as_long_as_the_setting_says() {
    let instance = Instance::start(Options::default().set("JWKS_MAX_AGE_S", 7));
    instance.operator().get("/admin/clients", 200);
    let answer = instance.anyone().send("GET", "/jwks.json", &[], b"", 200);
    assert_eq!(answer.header("cache-control"), Some("public, max-age=7"));
    assert_ne!(answer.json()["keys"], Value::Null);
}
