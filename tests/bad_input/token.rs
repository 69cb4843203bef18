//! Token requests that are refused (RFC 6749 section 5.2), and the few that are not.

use base64ct::{Base64, Encoding};
use serde_json::json;

use crate::harness::{Answer, Client};
use crate::support::without_request_id;

use super::world::{Bad, World};

const FORM: &str = "application/x-www-form-urlencoded";
const GRANT: &str = "grant_type=client_credentials";

/// An error body of the token endpoint.
#[track_caller]
fn assert_error(answer: &Answer, error: &str) {
    let body = answer.json();
    assert_eq!(body["error"], json!(error), "{answer}");
    assert!(
        body["error_description"].as_str().is_some_and(|text| !text.is_empty()),
        "{answer}"
    );
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer}");
    let challenge = (error == "invalid_client").then_some(r#"Basic realm="ssf", charset="UTF-8""#);
    assert_eq!(answer.header("www-authenticate"), challenge, "{answer}");
}

#[test]
fn a_client_that_does_not_authenticate_gets_no_token() {
    let world = World::start();
    let (id, secret) = (world.acme.client_id.as_str(), world.acme.client_secret.as_str());
    let anyone = world.instance.anyone();
    let header = |value: &str| anyone.clone().with_header("authorization", value);
    let encoded = |text: &str| header(&format!("Basic {}", Base64::encode_string(text.as_bytes())));
    let longer = format!("{secret}x");
    let with_form = |id: &str, secret: &str| format!("{GRANT}&client_id={id}&client_secret={secret}");
    let long = "s".repeat(2000);
    let wrong: Vec<(Client, String)> = vec![
        (anyone.clone(), GRANT.to_owned()),
        (anyone.clone(), format!("{GRANT}&client_id={id}")),
        (anyone.clone(), format!("{GRANT}&client_secret={secret}")),
        (anyone.clone(), with_form(id, "wrong")),
        (anyone.clone(), with_form("nobody", secret)),
        (anyone.clone().basic(id, "wrong"), GRANT.to_owned()),
        (anyone.clone().basic(id, ""), GRANT.to_owned()),
        (anyone.clone().basic(id, &longer), GRANT.to_owned()),
        (anyone.clone().basic(id, &secret[1..]), GRANT.to_owned()),
        (anyone.clone().basic(id, &secret.to_uppercase()), GRANT.to_owned()),
        (anyone.clone().basic(&world.reader.client_id, secret), GRANT.to_owned()),
        (anyone.clone().basic("nobody", secret), GRANT.to_owned()),
        (anyone.clone().basic("", secret), GRANT.to_owned()),
        (anyone.clone().basic(id, &long), GRANT.to_owned()),
        (anyone.clone().bearer(&world.acme.token), GRANT.to_owned()),
        (world.instance.operator(), GRANT.to_owned()),
        (header("Basic"), GRANT.to_owned()),
        (header("Basic !!!"), GRANT.to_owned()),
        (encoded("no colon"), GRANT.to_owned()),
        (encoded(&format!("{id}:%zz")), GRANT.to_owned()),
    ];
    let mut all = Vec::new();
    for (client, form) in &wrong {
        let answer = world.refused(client, &Bad::body("/oauth/token", FORM, form.as_bytes()), 401);
        assert_error(&answer, "invalid_client");
        all.push(without_request_id(&answer));
    }
    all.dedup();
    assert_eq!(all.len(), 1, "no answer tells what was wrong: {all:?}");
    world.assert_unchanged();
}

#[test]
fn a_token_request_is_refused_in_the_words_of_the_standard() {
    let world = World::start();
    let acme = world
        .instance
        .anyone()
        .basic(&world.acme.client_id, &world.acme.client_secret);
    let secret = &world.acme.client_secret;
    let many: String = (0..70).map(|number| format!("&p{number}=1")).collect();
    for (form, error) in [
        (String::new(), "invalid_request"),
        ("scope=ssf.read".to_owned(), "invalid_request"),
        ("grant_type=".to_owned(), "invalid_request"),
        (format!("{GRANT}&{GRANT}"), "invalid_request"),
        (format!("{GRANT}&scope=ssf.read&scope=ssf.manage"), "invalid_request"),
        (format!("{GRANT}&x=%zz"), "invalid_request"),
        (format!("{GRANT}&x=%ff"), "invalid_request"),
        (format!("{GRANT}{many}"), "invalid_request"),
        // RFC 6749 2.3: one way of authenticating in a request.
        (format!("{GRANT}&client_secret={secret}"), "invalid_request"),
        (
            format!("{GRANT}&client_id={}&client_secret={secret}", world.acme.client_id),
            "invalid_request",
        ),
        (
            format!("{GRANT}&client_id={}", world.reader.client_id),
            "invalid_request",
        ),
        (
            "grant_type=password&username=a&password=b".to_owned(),
            "unsupported_grant_type",
        ),
        ("grant_type=Client_Credentials".to_owned(), "unsupported_grant_type"),
        (
            "grant_type=authorization_code&code=x".to_owned(),
            "unsupported_grant_type",
        ),
        (format!("{GRANT}&scope=admin"), "invalid_scope"),
        (format!("{GRANT}&scope=ssf.read+admin"), "invalid_scope"),
        (format!("{GRANT}&scope=ssf.read++ssf.manage"), "invalid_scope"),
        (format!("{GRANT}&scope=SSF.READ"), "invalid_scope"),
        // Known, but not this client's.
        (format!("{GRANT}&scope=events.publish"), "invalid_scope"),
        (format!("{GRANT}&scope=ssf.read+events.publish"), "invalid_scope"),
    ] {
        let answer = world.refused(&acme, &Bad::body("/oauth/token", FORM, form.as_bytes()), 400);
        assert_error(&answer, error);
    }
    let json = json!({"grant_type": "client_credentials"}).to_string();
    for (content_type, body) in [
        (Some("application/json"), json.as_str()),
        (Some("text/plain"), GRANT),
        (None, GRANT),
    ] {
        let request = Bad {
            method: "POST",
            path: "/oauth/token",
            content_type,
            body: body.as_bytes(),
        };
        assert_error(&world.refused(&acme, &request, 400), "invalid_request");
    }
    world.assert_unchanged();
}

#[test]
fn a_client_authenticates_in_either_way_and_gets_what_it_asks_for() {
    let world = World::start();
    let anyone = world.instance.anyone();
    let (id, secret) = (world.acme.client_id.as_str(), world.acme.client_secret.as_str());
    let basic = anyone.clone().basic(id, secret);
    let grant = ("grant_type", "client_credentials");
    for (client, fields, scope) in [
        (&basic, vec![grant], "ssf.read ssf.manage"),
        (&basic, vec![grant, ("scope", "")], "ssf.read ssf.manage"),
        (
            &basic,
            vec![grant, ("scope", "ssf.manage ssf.read ssf.manage")],
            "ssf.read ssf.manage",
        ),
        (
            &basic,
            vec![grant, ("client_id", id), ("resource", "https://x.example")],
            "ssf.read ssf.manage",
        ),
        (
            &anyone,
            vec![grant, ("client_id", id), ("client_secret", secret)],
            "ssf.read ssf.manage",
        ),
        (
            &anyone,
            vec![
                grant,
                ("client_id", id),
                ("client_secret", secret),
                ("scope", "ssf.manage"),
            ],
            "ssf.manage",
        ),
    ] {
        let answer = client.post_form("/oauth/token", &fields, 200);
        assert_eq!(
            (&answer["token_type"], &answer["expires_in"]),
            (&json!("Bearer"), &json!(3600))
        );
        assert_eq!(answer["scope"], json!(scope), "{fields:?}");
        let token = answer["access_token"].as_str().expect("a token");
        anyone.clone().bearer(token).get("/ssf/streams", 200);
    }
}
