//! Registrations by the operator that are not acceptable, and the place where they are not.

use serde_json::{Value, json};

use crate::harness::Key;
use crate::support::pointer_of;

use super::world::{Bad, World};

/// Changes one member of a good request; `Value::Null` as a marker takes it away.
fn changed(good: &Value, name: &str, value: Option<Value>) -> Value {
    let mut request = good.clone();
    let members = request.as_object_mut().expect("a request is an object");
    match value {
        Some(value) => members.insert(name.to_owned(), value),
        None => members.remove(name),
    };
    request
}

#[track_caller]
fn assert_refused(world: &World, path: &str, request: &Value, pointer: &str) {
    let text = request.to_string();
    let answer = world.problem(&world.instance.operator(), &Bad::json(path, &text), 400);
    assert_eq!(pointer_of(&answer), pointer, "{text}");
}

#[test]
fn clients_are_registered_with_what_counts_and_nothing_else() {
    let world = World::start();
    let good = json!({
        "client_name": "Acme",
        "scope": "ssf.read ssf.manage",
        "audience": "https://acme.example",
        "push_endpoints": ["https://acme.example/events"],
    });
    let own = |path: &str| json!([world.instance.url(path)]);
    let long = "n".repeat(201);
    for (name, value, pointer) in [
        ("client_name", None, "/client_name"),
        ("client_name", Some(json!("")), "/client_name"),
        ("client_name", Some(json!(long)), "/client_name"),
        ("client_name", Some(json!(null)), "/client_name"),
        ("client_name", Some(json!(["Acme"])), "/client_name"),
        ("scope", None, "/scope"),
        ("scope", Some(json!("")), "/scope"),
        ("scope", Some(json!("ssf.read admin")), "/scope"),
        ("scope", Some(json!("ssf.read  ssf.manage")), "/scope"),
        ("scope", Some(json!("SSF.READ")), "/scope"),
        ("scope", Some(json!(["ssf.read"])), "/scope"),
        ("audience", None, "/audience"),
        ("audience", Some(json!("")), "/audience"),
        ("audience", Some(json!([])), "/audience"),
        ("audience", Some(json!(["a", ""])), "/audience/1"),
        ("audience", Some(json!(["a", "a"])), "/audience/1"),
        ("audience", Some(json!({"aud": "a"})), "/audience"),
        ("push_endpoints", Some(json!("https://acme.example")), "/push_endpoints"),
        ("push_endpoints", Some(json!(null)), "/push_endpoints"),
        (
            "push_endpoints",
            Some(json!(["https://acme.example", 1])),
            "/push_endpoints/1",
        ),
        (
            "push_endpoints",
            Some(json!(["https://acme.example", "https://acme.example/"])),
            "/push_endpoints/1",
        ),
        (
            "push_endpoints",
            Some(json!(["http://acme.example/"])),
            "/push_endpoints/0",
        ),
        (
            "push_endpoints",
            Some(json!(["ftp://acme.example/"])),
            "/push_endpoints/0",
        ),
        (
            "push_endpoints",
            Some(json!(["acme.example/events"])),
            "/push_endpoints/0",
        ),
        (
            "push_endpoints",
            Some(json!(["https://user:word@acme.example/"])),
            "/push_endpoints/0",
        ),
        (
            "push_endpoints",
            Some(json!(["https://acme.example/#top"])),
            "/push_endpoints/0",
        ),
        (
            "push_endpoints",
            Some(json!(["https://192.0.2.1/"])),
            "/push_endpoints/0",
        ),
        (
            "push_endpoints",
            Some(json!(["https://[2001:db8::1]/"])),
            "/push_endpoints/0",
        ),
        (
            "push_endpoints",
            Some(json!(["https://3221225985/"])),
            "/push_endpoints/0",
        ),
        (
            "push_endpoints",
            Some(json!(["https://metadata.internal/"])),
            "/push_endpoints/0",
        ),
        (
            "push_endpoints",
            Some(json!(["https://intranet/"])),
            "/push_endpoints/0",
        ),
        (
            "push_endpoints",
            Some(json!(["https://acme.example:8443/"])),
            "/push_endpoints/0",
        ),
        ("push_endpoints", Some(own("/")), "/push_endpoints/0"),
        ("push_endpoints", Some(own("/events")), "/push_endpoints/0"),
        ("push_endpoints", Some(own("/receive/")), "/push_endpoints/0"),
        ("client_id", Some(json!("chosen")), "/client_id"),
        ("client_secret", Some(json!("chosen")), "/client_secret"),
        ("redirect_uris", Some(json!([])), "/redirect_uris"),
        ("a/b~c", Some(json!(1)), "/a~1b~0c"),
    ] {
        assert_refused(&world, "/admin/clients", &changed(&good, name, value), pointer);
    }
    world.assert_unchanged();
    let answer = world.instance.operator().post_json("/admin/clients", &good, 201);
    assert_eq!(answer["push_endpoints"], good["push_endpoints"]);
}

#[test]
fn sources_are_created_with_what_counts_and_nothing_else() {
    let world = World::start();
    let good = json!({"issuer": "https://idp.example", "audience": "https://acme.example", "delivery": "push"});
    let mut private = Key::First.jwk();
    private["d"] = json!("AQAB");
    let mut short = Key::First.jwk();
    short["n"] = json!(short["n"].as_str().expect("a modulus")[..170]);
    let mut encrypting = Key::First.jwk();
    encrypting["use"] = json!("enc");
    let jwks = |key: Value| Some(json!({"keys": [key]}));
    for (name, value, pointer) in [
        ("issuer", None, "/issuer"),
        ("issuer", Some(json!("")), "/issuer"),
        ("issuer", Some(json!(1)), "/issuer"),
        ("issuer", Some(json!("idp.example")), "/issuer"),
        ("issuer", Some(json!("http://idp.example")), "/issuer"),
        ("issuer", Some(json!("https://idp.example?tenant=1")), "/issuer"),
        ("issuer", Some(json!("https://idp.example/#a")), "/issuer"),
        ("issuer", Some(json!("https://169.254.169.254/")), "/issuer"),
        ("audience", None, "/audience"),
        ("audience", Some(json!("")), "/audience"),
        ("audience", Some(json!([])), "/audience"),
        ("audience", Some(json!([""])), "/audience"),
        ("audience", Some(json!(7)), "/audience"),
        ("delivery", Some(json!("poll")), "/credentials"),
        ("delivery", Some(json!(null)), "/delivery"),
        ("delivery", Some(json!("urn:ietf:rfc:8935")), "/delivery"),
        ("description", Some(json!(null)), "/description"),
        ("description", Some(json!("d".repeat(257))), "/description"),
        ("jwks", Some(json!(null)), "/jwks"),
        ("jwks", Some(json!({})), "/jwks"),
        ("jwks", Some(json!({"keys": []})), "/jwks"),
        (
            "jwks",
            Some(json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]})),
            "/jwks",
        ),
        ("jwks", jwks(private), "/jwks"),
        ("jwks", jwks(short), "/jwks"),
        ("jwks", jwks(encrypting), "/jwks"),
        ("envelope", Some(json!("jwt")), "/envelope"),
        ("envelope", Some(json!(["set"])), "/envelope"),
        ("webhook_secret", Some(json!("whsec_c2hvcnQ=")), "/webhook_secret"),
        ("sequence_gaps", Some(json!([])), "/sequence_gaps"),
        ("forward", Some(json!(null)), "/forward"),
        ("forward", Some(json!("https://acme.example/events")), "/forward"),
        ("forward", Some(json!({})), "/forward/endpoint_url"),
        (
            "forward",
            Some(json!({"endpoint_url": "http://acme.example/"})),
            "/forward/endpoint_url",
        ),
        (
            "forward",
            Some(json!({"endpoint_url": "https://acme.quarry.io/", "envelope": "set"})),
            "/forward/envelope",
        ),
        (
            "forward",
            Some(json!({"endpoint_url": "https://acme.quarry.io/", "webhook_secret": "whsec_"})),
            "/forward/webhook_secret",
        ),
        ("credentials", Some(json!({})), "/credentials/client_secret"),
        (
            "credentials",
            Some(json!({"access_token": ""})),
            "/credentials/access_token",
        ),
        ("credentials", Some(json!(null)), "/credentials"),
        ("events_requested", Some(json!(["urn:example:a"])), "/events_requested"),
        ("subjects", Some(json!([])), "/subjects"),
        ("stream_id", Some(json!("s")), "/stream_id"),
        ("poll_interval", Some(json!(1)), "/poll_interval"),
        ("legacy", Some(json!(["everything"])), "/legacy/0"),
        ("understood_members", Some(json!("ship")), "/understood_members"),
        (
            "authorization_header",
            Some(json!("Bearer chosen")),
            "/authorization_header",
        ),
        ("source_id", Some(json!("chosen")), "/source_id"),
    ] {
        assert_refused(&world, "/admin/sources", &changed(&good, name, value), pointer);
    }
    world.assert_unchanged();
    world.instance.operator().post_json("/admin/sources", &good, 201);
}
