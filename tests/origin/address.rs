//! The one origin at which the service answers: given, or pinned by the first operator request.

use serde_json::{Value, json};

use crate::harness::{ADMIN_TOKEN, Client, Instance, Options};
use crate::support::{Acme, assert_problem};

use super::at;

/// One request to each part of the service.
const EVERYWHERE: &[(&str, &str)] = &[
    ("GET", "/.well-known/ssf-configuration"),
    ("GET", "/.well-known/oauth-authorization-server"),
    ("GET", "/.well-known/oauth-protected-resource"),
    ("GET", "/jwks.json"),
    ("POST", "/oauth/token"),
    ("GET", "/ssf/streams"),
    ("POST", "/events"),
    ("POST", "/receive/x"),
    ("GET", "/admin/clients"),
    ("GET", "/nothing"),
];

#[track_caller]
fn assert_misdirected(client: &Client, origin: &str) {
    for (method, path) in EVERYWHERE {
        let answer = client.send(method, path, &[], b"", 421);
        assert_problem(&answer, 421);
        assert!(
            answer.json()["detail"]
                .as_str()
                .is_some_and(|text| text.contains(origin)),
            "{answer}"
        );
    }
    // The page has to learn where the service lives.
    assert_eq!(client.get("/console.json", 200)["origin"], json!(origin));
}

#[test]
fn a_given_address_is_the_only_one() {
    let instance = Instance::start(Options::default().set("PUBLIC_URL", "https://heliograph.example"));
    let here = at(&instance, "heliograph.example");
    let metadata = here.get("/.well-known/ssf-configuration", 200);
    assert_eq!(metadata["issuer"], json!("https://heliograph.example"));
    assert_eq!(metadata["jwks_uri"], json!("https://heliograph.example/jwks.json"));
    here.get("/jwks.json", 200);
    here.clone().bearer(ADMIN_TOKEN).get("/admin/clients", 200);
    // A proxy in front may speak TLS for us, or not; the name counts.
    for scheme in ["http", "https"] {
        here.clone()
            .with_header("x-forwarded-proto", scheme)
            .get("/jwks.json", 200);
    }

    let port = instance
        .origin()
        .rsplit_once(':')
        .map(|(_, port)| port.to_owned())
        .expect("a port");
    for host in [
        format!("127.0.0.1:{port}"),
        "localhost".to_owned(),
        "heliograph.example.evil.example".to_owned(),
        "sub.heliograph.example".to_owned(),
        "heliograph.example:8443".to_owned(),
    ] {
        assert_misdirected(&at(&instance, &host), "https://heliograph.example");
        assert_misdirected(&at(&instance, &host).bearer(ADMIN_TOKEN), "https://heliograph.example");
    }
    assert_eq!(
        here.get("/console.json", 200)["origin"],
        json!("https://heliograph.example"),
        "nobody moved it"
    );
}

#[test]
fn without_one_the_first_operator_request_fixes_it() {
    let mut instance = Instance::start(Options::default());
    let anyone = instance.anyone();
    let port = instance
        .origin()
        .rsplit_once(':')
        .map(|(_, port)| port.to_owned())
        .expect("a port");
    let elsewhere = at(&instance, &format!("localhost:{port}"));

    // Not fixed yet: nothing is said that names an address, wherever it is asked.
    for client in [&anyone, &elsewhere] {
        assert_eq!(client.get("/console.json", 200)["origin"], Value::Null);
        for path in [
            "/.well-known/ssf-configuration",
            "/.well-known/oauth-authorization-server",
            "/.well-known/oauth-protected-resource",
            "/jwks.json",
        ] {
            assert_problem(&client.send("GET", path, &[], b"", 503), 503);
        }
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let token =
            client
                .clone()
                .basic("a", "b")
                .send("POST", "/oauth/token", &form, b"grant_type=client_credentials", 503);
        assert_problem(&token, 503);
    }
    // Nobody but the operator fixes it; a client's token cannot even be judged before.
    let stranger = elsewhere.clone().bearer("wrong");
    stranger.get("/admin/clients", 401);
    elsewhere.get("/admin/clients", 401);
    for (method, path) in [("POST", "/events"), ("GET", "/ssf/streams")] {
        stranger.send(method, path, &[], b"{}", 503);
        elsewhere.send(method, path, &[], b"{}", 401);
    }
    assert_eq!(anyone.get("/console.json", 200)["origin"], Value::Null);

    instance.operator().get("/admin/clients", 200);
    for restarts in 0..2 {
        assert_eq!(anyone.get("/console.json", 200)["origin"], json!(instance.origin()));
        assert_eq!(
            anyone.get("/.well-known/ssf-configuration", 200)["issuer"],
            json!(instance.origin())
        );
        assert_misdirected(&elsewhere, &instance.origin());
        assert_misdirected(&elsewhere.clone().bearer(ADMIN_TOKEN), &instance.origin());
        if restarts == 0 {
            instance.restart();
        }
    }
}

#[test]
fn a_publishing_operator_fixes_it_too() {
    let instance = Instance::start(Options::default());
    let port = instance
        .origin()
        .rsplit_once(':')
        .map(|(_, port)| port.to_owned())
        .expect("a port");
    let here = at(&instance, &format!("localhost:{port}"));
    let publish = json!({"events": [crate::support::event("evt-1", "ana@example.com")]});
    here.clone().bearer(ADMIN_TOKEN).post_json("/events", &publish, 202);
    assert_eq!(
        here.get("/.well-known/ssf-configuration", 200)["issuer"],
        json!(format!("http://localhost:{port}"))
    );
    instance.anyone().get("/.well-known/ssf-configuration", 421);
}

#[test]
fn of_many_first_requests_one_wins() {
    let instance = Instance::start(Options::default());
    let port = instance
        .origin()
        .rsplit_once(':')
        .map(|(_, port)| port.to_owned())
        .expect("a port");
    let hosts = [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("a.localhost:{port}"),
    ];
    let statuses: Vec<u16> = std::thread::scope(|threads| {
        let first = |host: &String| {
            let client = at(&instance, host).bearer(ADMIN_TOKEN);
            threads.spawn(move || client.try_get("/admin/clients").expect("an answer").status)
        };
        let requests: Vec<_> = hosts.iter().cycle().take(9).map(first).collect();
        requests
            .into_iter()
            .map(|request| request.join().expect("no panic"))
            .collect()
    });
    let origin = instance.anyone().get("/console.json", 200)["origin"]
        .as_str()
        .expect("an origin")
        .to_owned();
    for (host, status) in hosts.iter().cycle().zip(statuses) {
        let expected = if origin == format!("http://{host}") { 200 } else { 421 };
        assert_eq!(status, expected, "{host}, while the service lives at {origin}");
    }
}

#[test]
fn streams_keep_the_issuer_they_were_made_with() {
    let instance = Instance::start(Options::default());
    let acme = Acme::register(&instance, &[]);
    let stream = acme.poll_stream();
    assert_eq!(stream.configuration["iss"], json!(instance.origin()));
    // A scheme that a proxy claims does not make another origin.
    let proxied = acme.api.clone().with_header("x-forwarded-proto", "https");
    assert_eq!(proxied.get("/ssf/streams", 200), json!([stream.configuration]));
}
