//! Streams that nobody may create: with what the transmitter sets, with members of the wrong kind, and above all with an
//! endpoint that nobody agreed to.

use serde_json::{Value, json};

use crate::harness::{Instance, Options};
use crate::support::{Acme, POLL, PUSH, assert_problem, pointer_of};

use super::world::{Bad, World};

#[test]
fn a_stream_request_is_refused_with_the_place_that_is_wrong() {
    let world = World::start();
    let endpoint = world.pushed.configuration["delivery"]["endpoint_url"].clone();
    let push = |more: Value| {
        let mut delivery = json!({"method": PUSH, "endpoint_url": endpoint});
        for (name, value) in more.as_object().expect("an object") {
            delivery[name] = value.clone();
        }
        json!({"delivery": delivery})
    };
    let too_many: Vec<String> = (0..257)
        .map(|number| format!("https://vendor.example/{number}"))
        .collect();
    let mut cases = vec![
        (json!({"delivery": {"method": PUSH}}), "/delivery/endpoint_url"),
        (push(json!({"endpoint_url": null})), "/delivery/endpoint_url"),
        (push(json!({"endpoint_url": ""})), "/delivery/endpoint_url"),
        (push(json!({"endpoint_url": 1})), "/delivery/endpoint_url"),
        (
            push(json!({"endpoint_url": format!("{}{}", endpoint.as_str().unwrap(), "x".repeat(2049))})),
            "/delivery/endpoint_url",
        ),
        (json!({"delivery": null}), "/delivery"),
        (json!({"delivery": PUSH}), "/delivery"),
        (json!({"delivery": []}), "/delivery"),
        (json!({"delivery": {}}), "/delivery/method"),
        (json!({"delivery": {"method": null}}), "/delivery/method"),
        (json!({"delivery": {"method": "push"}}), "/delivery/method"),
        (json!({"delivery": {"method": "urn:ietf:rfc:8937"}}), "/delivery/method"),
        (json!({"delivery": {"method": [POLL]}}), "/delivery/method"),
        (json!({"events_requested": null}), "/events_requested"),
        (
            json!({"events_requested": "https://vendor.example/1"}),
            "/events_requested",
        ),
        (json!({"events_requested": {}}), "/events_requested"),
        (
            json!({"events_requested": ["https://vendor.example/1", 1]}),
            "/events_requested/1",
        ),
        (json!({"events_requested": [""]}), "/events_requested/0"),
        (json!({"events_requested": too_many}), "/events_requested"),
        (json!({"description": null}), "/description"),
        (json!({"description": 1}), "/description"),
    ];
    // SSF-8.1.1.1-13
    for (name, pointer) in [
        ("stream_id", "/stream_id"),
        ("iss", "/iss"),
        ("aud", "/aud"),
        ("events_supported", "/events_supported"),
        ("events_delivered", "/events_delivered"),
        ("min_verification_interval", "/min_verification_interval"),
        ("inactivity_timeout", "/inactivity_timeout"),
    ] {
        for value in [json!("x"), json!(null)] {
            let mut request = json!({});
            request[name] = value;
            cases.push((request, pointer));
        }
    }
    // SSF-6.1.1-5: only what a header field can hold.
    for illegal in [
        json!(null),
        json!(1),
        json!(""),
        json!(" "),
        json!("Bearer a\r\nx-evil: 1"),
        json!("Bearer a\nb"),
        json!("Bearer \u{0}"),
        json!("Bearer \u{7f}"),
        json!("Bearer é"),
        json!(" Bearer a"),
        json!("Bearer a "),
        json!("x".repeat(4097)),
    ] {
        cases.push((
            push(json!({"authorization_header": illegal})),
            "/delivery/authorization_header",
        ));
    }
    for (request, pointer) in cases {
        let text = request.to_string();
        let answer = world.problem(&world.acme.api, &Bad::json("/ssf/streams", &text), 400);
        assert_eq!(pointer_of(&answer), pointer, "{}", &text[..text.len().min(300)]);
        // Pitfall 23: what is wrong is named, not repeated.
        assert!(!answer.text().contains("x-evil"), "{answer}");
    }
    world.assert_unchanged();
    // SSF-8.1.1.1-13: members that nobody knows are ignored; SSF-8.1.1-9: a long description is cut.
    let request = json!({"unheard_of": {"x": 1}, "format": null, "description": "é".repeat(300)});
    let created = world.acme.api.post_json("/ssf/streams", &request, 201);
    assert_eq!((created.get("unheard_of"), created.get("format")), (None, None));
    assert_eq!(created["description"], json!("é".repeat(256)));
}

#[test]
fn an_endpoint_has_to_be_registered_for_a_client_that_is_never_asked_for_consent() {
    let instance = Instance::start(Options::default());
    let never_asked = |push_endpoints: &[&str]| {
        let registration = json!({
            "client_name": "Acme",
            "scope": "ssf.read ssf.manage",
            "audience": "https://acme.example",
            "push_endpoints": push_endpoints,
            "handshake": "never",
        });
        Acme::of_tenant(&instance, "", &registration)
    };
    let acme = never_asked(&[
        "https://acme.example/hooks/",
        "https://exact.example/events?tenant=1",
        "https://origin.example",
    ]);
    let create = |endpoint: &str, status: u16| {
        let request = json!({"delivery": {"method": PUSH, "endpoint_url": endpoint}});
        let answer = acme.api.send_json("POST", "/ssf/streams", &request, status);
        if status == 400 {
            assert_eq!(pointer_of(&answer), "/delivery/endpoint_url", "{endpoint}");
        }
        answer
    };
    for refused in [
        "https://other.example/hooks/a",
        "https://acme.example/",
        "https://acme.example/hooks",
        "https://acme.example/hooksters/a",
        "https://acme.example/hooks/../admin",
        "https://acme.example/hooks/%2e%2e/admin",
        "https://acme.example/hooks/..%2fadmin",
        "https://acme.example/hooks/a%5c..%5c..%5cadmin",
        "https://acme.example/hooks\\..\\admin",
        "https://acme.example.evil.example/hooks/a",
        "https://evil.example/https://acme.example/hooks/a",
        "https://acme.example@evil.example/hooks/a",
        "https://acme.example:8443/hooks/a",
        // WH-2.1-1
        "http://acme.example/hooks/a",
        "https://acme.example/hooks/a#b",
        "https://user@acme.example/hooks/a",
        "https:/acme.example/hooks/a",
        "//acme.example/hooks/a",
        " https://acme.example/hooks/a",
        "https://acme.example/hooks/a\n",
        "https://exact.example/events",
        "https://exact.example/events?tenant=2",
        "https://exact.example/events?tenant=1&x=1",
        "https://exact.example/events/a?tenant=1",
        "https://sub.origin.example/",
    ] {
        create(refused, 400);
    }
    assert_eq!(acme.api.get("/ssf/streams", 200), json!([]));
    for (given, kept) in [
        ("https://acme.example/hooks/a?x=1", "https://acme.example/hooks/a?x=1"),
        ("HTTPS://ACME.example:443/hooks/b/../c", "https://acme.example/hooks/c"),
        (
            "https://exact.example/events?tenant=1",
            "https://exact.example/events?tenant=1",
        ),
        ("https://origin.example/anything", "https://origin.example/anything"),
    ] {
        let created = create(given, 201).json();
        assert_eq!(
            created["delivery"]["endpoint_url"],
            json!(kept),
            "the one form that is stored and called"
        );
    }
    // What is registered for one client is registered for it alone.
    let other = never_asked(&[]);
    let request = json!({"delivery": {"method": PUSH, "endpoint_url": "https://acme.example/hooks/a"}});
    assert_problem(&other.api.send_json("POST", "/ssf/streams", &request, 400), 400);
}

#[test]
fn our_own_host_is_no_endpoint_but_for_its_inboxes() {
    let instance = Instance::start(Options::default());
    let port = instance
        .origin()
        .rsplit_once(':')
        .map(|(_, port)| port.to_owned())
        .expect("a port");
    let inbox = format!("/receive/{}", "0123456789abcdef".repeat(4));
    let acme = Acme::register(&instance, &[&instance.url(&inbox)]);
    let own_names = [
        instance.origin(),
        format!("http://localhost:{port}"),
        format!("http://[::1]:{port}"),
        format!("https://a.localhost:{port}"),
    ];
    for origin in &own_names {
        for path in [
            "/",
            "/events",
            "/admin/clients",
            "/receive/",
            "/receive/x",
            &format!("{inbox}/events"),
            &format!("{inbox}?x=1"),
        ] {
            let endpoint = format!("{origin}{path}");
            let stream = json!({"delivery": {"method": PUSH, "endpoint_url": endpoint}});
            let refused = acme.api.send_json("POST", "/ssf/streams", &stream, 400);
            assert_eq!(pointer_of(&refused), "/delivery/endpoint_url", "{endpoint}");
            let client =
                json!({"client_name": "Self", "scope": "ssf.manage", "audience": "x", "push_endpoints": [endpoint]});
            let refused = instance.operator().send_json("POST", "/admin/clients", &client, 400);
            assert_eq!(pointer_of(&refused), "/push_endpoints/0", "{endpoint}");
        }
    }
    acme.push_stream(&instance.url(&inbox));
}

#[test]
fn without_the_development_setting_only_public_https_endpoints_count() {
    let instance = Instance::start(Options::default().unset("ALLOW_LOOPBACK"));
    let acme = Acme::register(&instance, &["https://hooks.acme.com/"]);
    for endpoint in [
        "http://hooks.acme.com/events",
        "http://127.0.0.1:9/events",
        "https://127.0.0.1/events",
        "https://localhost/events",
        "https://[::1]/events",
        "https://2130706433/events",
        "https://0x7f.1/events",
        "https://rp.localhost/events",
        "https://rp.example/events",
        "https://rp.internal/events",
        "https://10.0.0.1/events",
        "https://hooks.acme.com:8443/events",
    ] {
        let stream = json!({"delivery": {"method": PUSH, "endpoint_url": endpoint}});
        let refused = acme.api.send_json("POST", "/ssf/streams", &stream, 400);
        assert_eq!(pointer_of(&refused), "/delivery/endpoint_url", "{endpoint}");
        let client = json!({"client_name": "A", "scope": "ssf.manage", "audience": "x", "push_endpoints": [endpoint]});
        let refused = instance.operator().send_json("POST", "/admin/clients", &client, 400);
        assert_eq!(pointer_of(&refused), "/push_endpoints/0", "{endpoint}");
    }
    for issuer in [
        "http://127.0.0.1:9",
        "http://idp.acme.com",
        "https://localhost",
        "https://idp.example",
    ] {
        let source = json!({"issuer": issuer, "audience": "x"});
        let refused = instance.operator().send_json("POST", "/admin/sources", &source, 400);
        assert_eq!(pointer_of(&refused), "/issuer", "{issuer}");
    }
    acme.push_stream("https://hooks.acme.com/events");
}
