//! The whole path by push, with the instance as its own receiver.

use serde_json::{Value, json};

use crate::harness::{Instance, Options, eventually};
use crate::support::{ACME_AUDIENCE, Acme, PUSH, SESSION_REVOKED, Set, Source, event, publish};

#[test]
fn an_event_goes_from_its_publisher_to_an_inbox() {
    let instance = Instance::start(Options::default());
    let origin = instance.origin();
    let source = Source::register(&instance, &origin, ACME_AUDIENCE);
    let receive_url = instance.url(&source.receive_path());
    assert_eq!(source.created["receive_url"], json!(receive_url));
    assert_eq!(source.created["issuer"], json!(origin));

    let acme = Acme::register(&instance, &[&receive_url]);
    check_metadata(&instance);
    let jwks = check_keys(&instance);

    let request = json!({
        "delivery": {"method": PUSH, "endpoint_url": receive_url, "authorization_header": source.authorization},
        "events_requested": [SESSION_REVOKED, "https://vendor.example/event/unheard-of"],
        "description": "Acme's sessions",
    });
    let stream = acme.stream(&request);
    // SSF-8.1.1-1 to SSF-8.1.1-9, SSF-8.1.1-18: unknown types are echoed, and not delivered.
    let configuration = &stream.configuration;
    assert_eq!(configuration["iss"], json!(origin));
    assert_eq!(configuration["aud"], json!(ACME_AUDIENCE));
    assert_eq!(
        configuration["delivery"],
        json!({"method": PUSH, "endpoint_url": receive_url})
    );
    assert_eq!(configuration["events_requested"], request["events_requested"]);
    assert_eq!(configuration["events_delivered"], json!([SESSION_REVOKED]));
    assert_eq!(configuration["description"], json!("Acme's sessions"));
    let supported = configuration["events_supported"].as_array().expect("an array");
    assert!(supported.contains(&json!(SESSION_REVOKED)), "{supported:?}");
    assert_eq!(acme.api.get(&stream.path(), 200), stream.configuration);

    let published = event("evt-1", "ana@example.com");
    assert_eq!(publish(&instance.operator(), std::slice::from_ref(&published)), 1);

    let page = eventually("the event is in the inbox", || {
        let page = source.page(&instance, "?limit=10");
        page["events"]
            .as_array()
            .is_some_and(|events| !events.is_empty())
            .then_some(page)
    });
    let received = &page["events"][0];
    let set = Set::verified(received["set"].as_str().expect("a SET"), &jwks);
    check_claims(&set, &origin, &published);

    // The same event, whoever tells of it.
    assert_eq!(received["jti"], set.claims["jti"]);
    assert_eq!(received["iss"], json!(origin));
    assert_eq!(received["type"], json!(SESSION_REVOKED));
    assert_eq!(received["sub_id"], published["sub_id"]);
    assert_eq!(received["event"], published["event"]);
    assert_eq!(
        (&received["txn"], &received["toe"]),
        (&published["txn"], &published["toe"])
    );
    assert_eq!(received["iat"], set.claims["iat"]);
    assert_eq!(received["intake"]["kid"], set.header["kid"]);
    assert_eq!(received["intake"]["alg"], json!("RS256"));
    let delivery = eventually("the delivery is on record", || {
        stream.deliveries(&instance).first().cloned()
    });
    assert_eq!(delivery["jti"], set.claims["jti"]);
    assert_eq!(
        (&delivery["outcome"], &delivery["status"]),
        (&json!("delivered"), &json!(202))
    );
    assert_eq!(
        delivery["response"]["body"],
        json!(""),
        "PUSH-2.2-2: an accepted SET is answered with nothing"
    );

    // Read on from the cursor: nothing, and the cursor stays.
    let cursor = page["cursor"].as_str().expect("a cursor");
    let rest = source.page(&instance, &format!("?after={cursor}"));
    assert_eq!(rest, json!({"events": [], "cursor": cursor}));
    assert_eq!(stream.health(&instance)["queued_events"], json!(0));
}

/// SSF-7.1: absolute URLs below the issuer. RFC 8414 and RFC 9728 lead to the token endpoint.
fn check_metadata(instance: &Instance) {
    let origin = instance.origin();
    let metadata = instance.anyone().get("/.well-known/ssf-configuration", 200);
    assert_eq!(metadata["spec_version"], json!("1_0"));
    assert_eq!(metadata["issuer"], json!(origin));
    assert_eq!(metadata["jwks_uri"], json!(format!("{origin}/jwks.json")));
    assert_eq!(
        metadata["configuration_endpoint"],
        json!(format!("{origin}/ssf/streams"))
    );
    assert_eq!(
        metadata["delivery_methods_supported"],
        json!([PUSH, "urn:ietf:rfc:8936"])
    );
    assert_eq!(
        metadata["authorization_schemes"],
        json!([{"spec_urn": "urn:ietf:rfc:6749"}])
    );
    assert_eq!(metadata["default_subjects"], json!("ALL"));
    for (member, path) in [
        ("status_endpoint", "/ssf/status"),
        ("add_subject_endpoint", "/ssf/subjects/add"),
        ("remove_subject_endpoint", "/ssf/subjects/remove"),
        ("verification_endpoint", "/ssf/verification"),
    ] {
        assert_eq!(metadata[member], json!(format!("{origin}{path}")), "SSF-7.1-18");
    }
    assert_eq!(metadata.get("critical_subject_members"), None, "SSF-7.2.3-3: never []");

    let resource = instance.anyone().get("/.well-known/oauth-protected-resource", 200);
    assert_eq!(resource["resource"], json!(origin));
    assert_eq!(resource["authorization_servers"], json!([origin]));
    let server = instance.anyone().get("/.well-known/oauth-authorization-server", 200);
    assert_eq!(server["issuer"], json!(origin));
    assert_eq!(server["token_endpoint"], json!(format!("{origin}/oauth/token")));
    assert_eq!(server["grant_types_supported"], json!(["client_credentials"]));
}

/// One RSA key of 2048 bits, its public part only; the same on every request.
fn check_keys(instance: &Instance) -> Value {
    let jwks = instance.anyone().get("/jwks.json", 200);
    let keys = jwks["keys"].as_array().expect("an array");
    assert_eq!(keys.len(), 1, "{jwks}");
    let members: Vec<&str> = keys[0]
        .as_object()
        .expect("a JWK is an object")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"], "public members only");
    assert_eq!(
        (&keys[0]["kty"], &keys[0]["alg"], &keys[0]["use"]),
        (&json!("RSA"), &json!("RS256"), &json!("sig"))
    );
    assert_eq!(
        keys[0]["n"].as_str().map(str::len),
        Some(342),
        "256 bytes in base64url are 2048 bits"
    );
    assert_eq!(instance.anyone().get("/jwks.json", 200), jwks);
    jwks
}

/// A SET as SSF 4 wants it, made of this event.
fn check_claims(set: &Set, issuer: &str, published: &Value) {
    assert_eq!(set.header["typ"], json!("secevent+jwt"), "SSF-4.1.1-1");
    assert_eq!(set.header["alg"], json!("RS256"));
    assert_eq!(set.claims["iss"], json!(issuer), "SSF-4.1.6-1");
    assert_eq!(set.claims["aud"], json!(ACME_AUDIENCE));
    assert!(set.claims["iat"].is_u64(), "SET-2.2-2: {}", set.claims);
    assert_eq!(set.claims["sub_id"], published["sub_id"], "SET-2.2-10");
    assert_eq!(
        (&set.claims["txn"], &set.claims["toe"]),
        (&published["txn"], &published["toe"])
    );
    let mut events = serde_json::Map::new();
    events.insert(SESSION_REVOKED.to_owned(), published["event"].clone());
    assert_eq!(
        set.claims["events"],
        Value::Object(events),
        "SSF-4.2.1-4: exactly one event"
    );
    for (claim, requirement) in [("sub", "SSF-4.1.2-1"), ("exp", "SSF-4.1.7-1")] {
        assert_eq!(set.claims.get(claim), None, "{requirement}");
    }
}
