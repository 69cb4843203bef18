//! A tenant from its creation to its deletion, as the operator sees it.

use serde_json::{Value, json};

use crate::harness::{Instance, Options};
use crate::support::{POLL, PUSH, SESSION_REVOKED, Tenant, assert_problem, pointer_of};

use super::attempt;

/// What a tenant is like whose creator said nothing but its name, apart from its name, issuer, time and events.
fn defaults() -> Value {
    json!({
        "default_subjects": "ALL",
        "signing_alg": "RS256",
        "delivery_methods_supported": [PUSH, POLL],
        "critical_subject_members": [],
        "min_verification_interval": 10,
        "inactivity_timeout": 0,
        "inactivity_action": "paused",
        "verification_heartbeat": 0,
        "subject_removal_grace": 0,
        "require_shared_subject_member": false,
        "streams_per_client": null,
        "stream_storage_mb": 2000,
        "subject_changes_per_minute": 6000,
    })
}

/// The document without the members that every tenant has its own of.
fn settings(document: &Value) -> Value {
    let mut settings = document.clone();
    for own in ["tenant", "issuer", "created_at", "events_supported"] {
        let taken = settings.as_object_mut().expect("a document is an object").remove(own);
        assert!(taken.is_some(), "{own} of {document}");
    }
    settings
}

#[test]
fn a_name_is_enough_and_everything_else_has_a_default() {
    let instance = Instance::start(Options::default());
    let operator = instance.operator();
    let created = operator.post_json("/admin/tenants", &json!({"tenant": "acme"}), 201);
    assert_eq!(created["tenant"], json!("acme"));
    assert_eq!(created["issuer"], json!(instance.url("/t/acme")));
    assert!(
        created["created_at"].as_u64() > Some(1_700_000_000_000),
        "ms: {created}"
    );
    assert_eq!(settings(&created), defaults());
    let events = created["events_supported"].as_array().expect("an array");
    assert_eq!(events.len(), 22, "all that are built in");
    assert!(events.contains(&json!(SESSION_REVOKED)));

    let answer = operator.send("GET", "/admin/tenants/acme", &[], b"", 200);
    assert_eq!(answer.json(), created);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    // The tenant at the origin is like any other, and nobody had to create it.
    let default = operator.get("/admin/tenants/default", 200);
    assert_eq!(settings(&default), defaults());
    assert_eq!(
        (&default["tenant"], &default["issuer"]),
        (&json!("default"), &json!(instance.origin()))
    );
    assert_eq!(default["events_supported"], created["events_supported"]);
    assert_eq!(operator.get("/admin/tenants/default", 200), default);
}

#[test]
fn a_tenant_is_created_with_settings_and_changed_member_by_member() {
    let instance = Instance::start(Options::default());
    let operator = instance.operator();
    let chosen = json!({
        "events_supported": [SESSION_REVOKED, "urn:quarry:badge-lost"],
        "default_subjects": "NONE",
        "signing_alg": "ES256",
        "delivery_methods_supported": [POLL],
        "critical_subject_members": ["tenant", "user"],
        "min_verification_interval": 30,
        "inactivity_timeout": 86_400,
        "inactivity_action": "disabled",
        "verification_heartbeat": 3600,
        "subject_removal_grace": 60,
        "require_shared_subject_member": true,
        "streams_per_client": 3,
        "stream_storage_mb": 50,
        "subject_changes_per_minute": 600,
    });
    let mut request = chosen.clone();
    request["tenant"] = json!("acme");
    let created = operator.post_json("/admin/tenants", &request, 201);
    for (name, value) in chosen.as_object().expect("an object") {
        assert_eq!(&created[name], value, "{name}");
    }
    assert_eq!(operator.get("/admin/tenants/acme", 200), created);

    // Nothing given, nothing changed.
    assert_eq!(operator.patch_json("/admin/tenants/acme", &json!({}), 200), created);
    let changed = operator.patch_json("/admin/tenants/acme", &json!({"stream_storage_mb": 51}), 200);
    let mut expected = created.clone();
    expected["stream_storage_mb"] = json!(51);
    assert_eq!(changed, expected, "and nothing else");
    assert_eq!(operator.get("/admin/tenants/acme", 200), expected);

    // `null` puts the default back, one by one.
    for (name, value) in defaults().as_object().expect("an object") {
        let mut patch = json!({});
        patch[name] = Value::Null;
        let changed = operator.patch_json("/admin/tenants/acme", &patch, 200);
        expected[name] = value.clone();
        assert_eq!(changed, expected, "{name}");
    }
    let built_in = operator.get("/admin/tenants/default", 200)["events_supported"].clone();
    let back = operator.patch_json("/admin/tenants/acme", &json!({"events_supported": null}), 200);
    assert_eq!(back["events_supported"], built_in);
    // All that was of this tenant alone.
    assert_eq!(
        settings(&operator.get("/admin/tenants/default", 200)),
        defaults(),
        "default was never changed"
    );
}

#[test]
fn a_name_is_given_once_and_not_while_somebody_has_it() {
    let instance = Instance::start(Options::default());
    let operator = instance.operator();
    let created = operator.post_json(
        "/admin/tenants",
        &json!({"tenant": "acme", "signing_alg": "ES256"}),
        201,
    );
    for name in ["acme", "default"] {
        let before = operator.get(&format!("/admin/tenants/{name}"), 200);
        for request in [json!({"tenant": name}), json!({"tenant": name, "signing_alg": "RS256"})] {
            assert_problem(&operator.send_json("POST", "/admin/tenants", &request, 409), 409);
        }
        assert_eq!(operator.get(&format!("/admin/tenants/{name}"), 200), before);
    }
    assert_eq!(operator.get("/admin/tenants/acme", 200), created);
}

#[test]
fn a_name_stands_in_urls_as_it_is() {
    let instance = Instance::start(Options::default());
    let operator = instance.operator();
    let longest = "a".repeat(63);
    for good in ["a", "0", "a-b", "a--b", "9-to-5", "t", "admin", "ssf", &longest] {
        let tenant = Tenant::create(&instance, good, &json!({}));
        let metadata = format!("/.well-known/ssf-configuration/t/{good}");
        assert_eq!(
            instance.anyone().get(&metadata, 200)["issuer"],
            json!(tenant.issuer),
            "{good}"
        );
        operator.get(&tenant.admin_path(), 200);
    }
    let too_long = "a".repeat(64);
    for bad in [
        json!(""),
        json!("Acme"),
        json!("-acme"),
        json!("acme-"),
        json!("-"),
        json!("ac_me"),
        json!("ac.me"),
        json!("ac/me"),
        json!("ac me"),
        json!("ac%6de"),
        json!("é"),
        json!(too_long),
        json!(1),
        json!(null),
        json!(["acme"]),
    ] {
        let refused = operator.send_json("POST", "/admin/tenants", &json!({"tenant": bad}), 400);
        assert_eq!(pointer_of(&refused), "/tenant", "{bad}");
    }
    let nameless = operator.send_json("POST", "/admin/tenants", &json!({"signing_alg": "ES256"}), 400);
    assert_eq!(pointer_of(&nameless), "/tenant");
    let listed = operator.get("/admin/tenants", 200);
    assert_eq!(listed["tenants"].as_array().map(Vec::len), Some(10), "{listed}");
}

#[test]
fn a_deleted_tenant_is_not_there_and_default_always_is() {
    let instance = Instance::start(Options::default());
    let operator = instance.operator();
    let tenant = Tenant::create(&instance, "acme", &json!({}));
    let deleted = operator.send("DELETE", &tenant.admin_path(), &[], b"", 204);
    assert_eq!(
        (deleted.text().as_str(), deleted.header("cache-control")),
        ("", Some("no-store"))
    );
    for (method, body) in [("GET", Value::Null), ("PATCH", json!({})), ("DELETE", Value::Null)] {
        let there = attempt(&operator, method, &tenant.admin_path(), &body);
        let never = attempt(&operator, method, "/admin/tenants/nobody", &body);
        assert_problem(&there, 404);
        assert_eq!(
            crate::support::without_request_id(&there),
            crate::support::without_request_id(&never),
            "{method}"
        );
    }

    let before = operator.get("/admin/tenants/default", 200);
    assert_problem(&operator.send("DELETE", "/admin/tenants/default", &[], b"", 409), 409);
    assert_eq!(operator.get("/admin/tenants/default", 200), before);
    instance.anyone().get("/.well-known/ssf-configuration", 200);
}

#[test]
fn tenants_are_managed_at_the_origin_and_nowhere_else() {
    let instance = Instance::start(Options::default());
    let operator = instance.operator();
    let acme = Tenant::create(&instance, "acme", &json!({}));
    Tenant::create(&instance, "beta", &json!({}));
    let before = operator.get("/admin/tenants", 200);
    let receiver = acme.receiver(&instance, &json!({"scope": "ssf.read ssf.manage events.publish"}));
    for base in ["/t/acme", "/t/default", "/t/nobody"] {
        for (method, path, body) in [
            ("GET", "/admin/tenants", Value::Null),
            ("POST", "/admin/tenants", json!({"tenant": "other"})),
            ("GET", "/admin/tenants/beta", Value::Null),
            ("PATCH", "/admin/tenants/beta", json!({"signing_alg": "ES256"})),
            ("DELETE", "/admin/tenants/beta", Value::Null),
            ("DELETE", "/admin/tenants/acme", Value::Null),
        ] {
            let answer = attempt(&operator, method, &format!("{base}{path}"), &body);
            assert_problem(&answer, 404);
        }
    }
    // Not for a client either, whatever it may do in its tenant.
    for client in [&receiver.api, &instance.anyone()] {
        for (method, body) in [
            ("GET", Value::Null),
            ("PATCH", json!({"signing_alg": "ES256"})),
            ("DELETE", Value::Null),
        ] {
            assert_problem(&attempt(client, method, "/admin/tenants/acme", &body), 401);
        }
    }
    assert_eq!(operator.get("/admin/tenants", 200), before);
    assert_eq!(operator.get("/admin/tenants/beta", 200)["signing_alg"], json!("RS256"));
}

#[test]
fn a_url_below_no_tenant_or_with_nothing_of_a_tenants_is_not_found() {
    let instance = Instance::start(Options::default());
    Tenant::create(&instance, "acme", &json!({}));
    let operator = instance.operator();
    operator.get("/t/acme/jwks.json", 200);
    for path in [
        "/t",
        "/t/",
        "/t/acme",
        "/t/acme/",
        "/t//jwks.json",
        "/t/ACME/jwks.json",
        "/t/ac%6De/jwks.json",
        "/t/acme%2fjwks.json",
        "/t/nobody/jwks.json",
        "/t/nobody/ssf/streams",
        "/t/nobody/events",
        "/t/nobody/oauth/token",
        "/t/nobody/admin/clients",
        "/t/acme/jwks.json/",
        "/t/acme/ssf",
        "/t/acme/console.json",
        "/t/acme/openapi.json",
        "/t/acme/receive/x",
        "/t/acme/t/acme/jwks.json",
        // `default` has one place.
        "/t/default/jwks.json",
        "/t/default/ssf/streams",
        "/.well-known/ssf-configuration/t/default",
        // SSF-7.2-2, pitfall 8: inserted, not appended, and without an end of its own.
        "/t/acme/.well-known/ssf-configuration",
        "/t/acme/.well-known/oauth-authorization-server",
        "/.well-known/ssf-configuration/t/acme/",
        "/.well-known/ssf-configuration/t/nobody",
        "/.well-known/ssf-configuration/acme",
        "/.well-known/ssf-configuration/",
        "/.well-known/jwks.json/t/acme",
    ] {
        for method in ["GET", "POST"] {
            let answer = attempt(&operator, method, path, &Value::Null);
            assert_eq!(answer.status, 404, "{method} {path}: {answer}");
        }
    }
}
