//! The question as it arrives, and what every push carries.

use serde_json::{Value, json};

use crate::harness::{Options, Recorded, ScriptedReceiver, eventually};
use crate::manage::Tenant;
use crate::support::{PUSH, Set};

use super::{ORIGIN, World, callback_of, consent, later, soon};

/// Names of headers that the runtime adds to every request by itself.
const OF_THE_RUNTIME: [&str; 4] = ["host", "content-length", "accept-encoding", "connection"];

#[track_caller]
fn assert_once(request: &Recorded, name: &str, value: &str) {
    let values: Vec<&str> = request
        .headers
        .iter()
        .filter(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(values, [value], "{name} of {:?}", request.headers);
}

/// T-H-01: WH-4.1-1, WH-4.1-2, WH-4.1-4, WH-4.1-5, WH-4.1-6, WH-4.1-9, WH-4.1-10, WH-4.1-11
#[test]
fn the_question_goes_to_the_exact_endpoint_with_three_headers_and_nothing_secret() {
    let world = World::start(soon());
    let endpoint = ScriptedReceiver::start();
    endpoint.otherwise_consent(consent("120"));
    let target = "/events/a%20b?tenant=1&x=%2F&tenant=2";
    let stream = world.receiver.stream(&json!({"delivery": {
        "method": PUSH,
        "endpoint_url": endpoint.url(target),
        "authorization_header": "Bearer for-deliveries-only",
    }}));
    let ask = endpoint.wait_for_ask(1);
    assert_eq!((ask.method.as_str(), ask.target.as_str()), ("OPTIONS", target));
    assert_once(&ask, "webhook-request-origin", ORIGIN);
    assert_once(&ask, "webhook-request-rate", "600");
    assert!(ask.body.is_empty(), "{ask:?}");

    let callback = callback_of(&ask);
    assert_once(&ask, "webhook-request-callback", &callback);
    let place = world.instance.url(&format!("/handshake/{}/", stream.id));
    let secret = callback.strip_prefix(&place).expect("it names its stream");
    // 128 bits take 22 characters of base64url.
    let is_text = secret
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    assert!(secret.len() >= 22 && is_text, "WH-4.1-7: {secret}");

    let agent = ask.header("user-agent").expect("WH-2.1-10");
    assert!(agent.starts_with("Heliograph/"), "{agent}");
    let known = [
        "webhook-request-origin",
        "webhook-request-rate",
        "webhook-request-callback",
        "user-agent",
    ];
    for (name, value) in &ask.headers {
        let name = name.to_ascii_lowercase();
        assert!(
            known.contains(&name.as_str()) || OF_THE_RUNTIME.contains(&name.as_str()),
            "{name}: {value}"
        );
    }
}

/// WH-2.1-5, WH-2.1-6, WH-4.1-3
#[test]
fn every_push_names_its_sender_as_the_question_did_whether_asked_or_registered() {
    let world = World::start(soon());
    let (asked, consented) = world.agreed("*");
    let registered = ScriptedReceiver::start();
    world
        .tenant
        .receiver(&[&registered.url("/")])
        .push_stream(&registered.url("/events"));
    world.publish(&["a1", "b1"]);
    consented.stream.verify(&json!({"state": "v-1"}), 204);
    for endpoint in [&asked, &registered] {
        for nth in [1, 2] {
            let push = endpoint.wait_for_push(nth);
            assert_eq!(push.method, "POST", "WH-2.1-2");
            assert_once(&push, "webhook-request-origin", ORIGIN);
            // WH-2.1-7: never by default.
            assert_eq!(push.header("origin"), None, "{:?}", push.headers);
            for name in ["webhook-request-callback", "webhook-request-rate"] {
                assert_eq!(push.header(name), None, "{name} belongs to the question");
            }
        }
    }
    let verification = asked.wait_for_push(3);
    assert_once(&verification, "webhook-request-origin", ORIGIN);
}

/// WH-2.1-7
#[test]
fn the_operator_may_have_the_old_header_sent_too() {
    let mut world = World::start(soon());
    let (endpoint, asked) = world.agreed("*");
    assert_eq!(asked.stream.health()["legacy_origin_header"], json!(false));
    let health = asked.stream.operate(&json!({"legacy_origin_header": true}));
    assert_eq!(health["legacy_origin_header"], json!(true));
    // By its event: what was pushed just before a restart may come twice.
    let push_of = |id: &str| {
        eventually("it is pushed", || {
            let mut pushes = endpoint.pushes().into_iter();
            pushes.find(|push| crate::manage::brief(&Set::decode(push.text())) == id)
        })
    };
    world.publish(&["a1"]);
    let push = push_of("a1");
    assert_once(&push, "origin", ORIGIN);
    assert_once(&push, "webhook-request-origin", ORIGIN);
    // The question is of the text that has its own name for it.
    assert_eq!(endpoint.wait_for_ask(1).header("origin"), None);

    world.instance.restart();
    world.publish(&["a2"]);
    assert_once(&push_of("a2"), "origin", ORIGIN);
    asked.stream.operate(&json!({"legacy_origin_header": false}));
    world.publish(&["a3"]);
    assert_eq!(push_of("a3").header("origin"), None);
}

/// WH-4.1-10: the deployment's rate, or the one that the operator chose for the stream.
#[test]
fn the_rate_that_is_asked_for_can_be_chosen() {
    let world = World::start(soon().set("REQUEST_RATE", 77));
    let (endpoint, asked) = world.asked(later());
    assert_once(&endpoint.wait_for_ask(1), "webhook-request-rate", "77");
    asked.wait_for_exchange();
    let health = asked.stream.health();
    assert_eq!(health["request_rate"], Value::Null);
    assert_eq!(asked.grant()["requested_rate"], json!(77));

    assert_eq!(
        asked.stream.operate(&json!({"request_rate": 5}))["request_rate"],
        json!(5)
    );
    asked.decide(&json!({"action": "ask"}), 202);
    assert_once(&endpoint.wait_for_ask(2), "webhook-request-rate", "5");
    assert_eq!(asked.grant()["requested_rate"], json!(5));
    asked.stream.operate(&json!({"request_rate": null}));
    asked.wait_until("the second attempt is over", |grant| {
        grant["handshake"]["next_attempt_at"].is_null()
    });
    asked.decide(&json!({"action": "ask"}), 202);
    assert_once(&endpoint.wait_for_ask(3), "webhook-request-rate", "77");
}

#[test]
fn a_rate_or_a_header_that_cannot_be_is_refused_with_its_place() {
    let world = World::start(soon());
    let (_endpoint, asked) = world.agreed("*");
    for (change, pointer) in [
        (json!({"request_rate": 0}), "/request_rate"),
        (json!({"request_rate": 1_000_001}), "/request_rate"),
        (json!({"request_rate": "*"}), "/request_rate"),
        (json!({"request_rate": 1.5}), "/request_rate"),
        (json!({"legacy_origin_header": null}), "/legacy_origin_header"),
        (json!({"legacy_origin_header": "yes"}), "/legacy_origin_header"),
    ] {
        let path = asked.stream.admin_path();
        let answer = world.tenant.operator().send_json("PATCH", &path, &change, 400);
        assert_eq!(crate::support::pointer_of(&answer), pointer, "{change}");
    }
    let health = asked.stream.health();
    assert_eq!(
        (&health["request_rate"], &health["legacy_origin_header"]),
        (&Value::Null, &json!(false))
    );
}

/// The callback is the service's own, whatever the tenant; the name is the same for all.
#[test]
fn a_named_tenant_asks_under_the_same_name_and_its_callback_stands_outside_of_it() {
    let world = World::start(soon());
    let tenant = Tenant::create(&world.instance, &json!({}));
    let endpoint = ScriptedReceiver::start();
    endpoint.otherwise_consent(later());
    let stream = tenant.register(&json!({})).push_stream(&endpoint.url("/events"));
    let ask = endpoint.wait_for_ask(1);
    assert_once(&ask, "webhook-request-origin", ORIGIN);
    let callback = callback_of(&ask);
    let place = world.instance.url(&format!("/handshake/{}/", stream.id));
    assert!(callback.starts_with(&place), "{callback}");
    let asked = world.watch(stream);
    // Within any tenant there is no such path, this one included.
    let (origin, rest) = callback.split_at(world.instance.origin().len());
    for path in [tenant.path(rest), format!("/t/nobody{rest}")] {
        for method in ["GET", "POST"] {
            asked.call(method, &format!("{origin}{path}"), 404);
        }
    }
    assert_eq!(asked.grant()["state"], json!("pending"));
    asked.call("POST", &callback, 200);
    assert_eq!(asked.grant()["state"], json!("granted"));
    tenant.publish(&crate::outbox::events(&["a1"]));
    assert_once(&endpoint.wait_for_push(1), "webhook-request-origin", ORIGIN);
}

/// WH-4.1-2: the issuer's host, in lower case and without its port, and not what the request was sent to.
#[test]
fn the_name_is_that_of_the_public_url() {
    let options = Options::default().set("PUBLIC_URL", "https://Events.Heliograph.example:8443");
    let instance = crate::harness::Instance::start(options);
    let here = instance
        .operator()
        .with_header("host", "events.heliograph.example:8443");
    let client = json!({"client_name": "Acme", "scope": "ssf.read ssf.manage", "audience": "https://acme.example"});
    let client = here.post_json("/admin/clients", &client, 201);
    let text = |name: &str| client[name].as_str().expect("a string").to_owned();
    let form = [("grant_type", "client_credentials")];
    let basic = here.clone().basic(&text("client_id"), &text("client_secret"));
    let token = basic.post_form("/oauth/token", &form, 200);
    let receiver = here.clone().bearer(token["access_token"].as_str().expect("a token"));

    // The origin is matched whatever the case, with a dot at its end or without (WH-4.2-10).
    let cases = [
        ("EVENTS.heliograph.Example", "granted"),
        ("events.heliograph.example.", "granted"),
        ("events.heliograph.example..", "denied"),
        ("events.heliograph.example:8443", "denied"),
        ("https://events.heliograph.example:8443", "denied"),
        ("heliograph.example", "denied"),
        ("*.heliograph.example", "denied"),
        ("events.heliograph.example.attacker.example", "denied"),
    ];
    for (allowed, state) in cases {
        let endpoint = ScriptedReceiver::start();
        endpoint.otherwise_consent(
            crate::harness::Reply::status(200)
                .header("webhook-allowed-origin", allowed)
                .header("webhook-allowed-rate", "60"),
        );
        let delivery = json!({"delivery": {"method": PUSH, "endpoint_url": endpoint.url("/events")}});
        let stream = receiver.post_json("/ssf/streams", &delivery, 201);
        let id = stream["stream_id"].as_str().expect("an id");
        let ask = endpoint.wait_for_ask(1);
        assert_once(&ask, "webhook-request-origin", "events.heliograph.example");
        let callback = callback_of(&ask);
        let place = format!("https://events.heliograph.example:8443/handshake/{id}/");
        assert!(callback.starts_with(&place), "{callback}");
        let grant = eventually("the answer is known", || {
            let grant = here.get(&format!("/admin/streams/{id}/grant"), 200);
            (grant["state"] != "pending").then_some(grant)
        });
        assert_eq!(
            (&grant["state"], &grant["origin"]),
            (&json!(state), &json!("events.heliograph.example")),
            "{allowed}: {grant}"
        );
    }
}
