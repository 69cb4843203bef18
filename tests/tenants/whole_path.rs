//! A named tenant from its discovery to a verified event, by push and by poll, and from one tenant to another.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Instance, Options, ScriptedReceiver, eventually};
use crate::support::{ACME_AUDIENCE, POLL, PUSH, SESSION_REVOKED, Set, Tenant, event};

/// Every URL in a document, however deep.
fn urls(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) if text.starts_with("http") => vec![text],
        Value::Array(elements) => elements.iter().flat_map(urls).collect(),
        Value::Object(members) => members.values().flat_map(urls).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_tenants_metadata_lies_where_its_issuer_leads_and_stays_below_it() {
    let instance = Instance::start(Options::default());
    let acme = Tenant::create(&instance, "acme", &json!({}));
    let anyone = instance.anyone();
    // SSF-7.2-2, SSF-7.2-3, pitfall 8
    let answer = anyone.send("GET", "/.well-known/ssf-configuration/t/acme", &[], b"", 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let metadata = answer.json();
    let issuer = &acme.issuer;
    let expected = json!({
        "spec_version": "1_0",
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/jwks.json"),
        "delivery_methods_supported": [PUSH, POLL],
        "configuration_endpoint": format!("{issuer}/ssf/streams"),
        "status_endpoint": format!("{issuer}/ssf/status"),
        "add_subject_endpoint": format!("{issuer}/ssf/subjects/add"),
        "remove_subject_endpoint": format!("{issuer}/ssf/subjects/remove"),
        "verification_endpoint": format!("{issuer}/ssf/verification"),
        "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}],
        "default_subjects": "ALL",
    });
    // SSF-7.2.3-3: what would be empty is left out.
    assert_eq!(metadata, expected);

    let server = anyone.get("/.well-known/oauth-authorization-server/t/acme", 200);
    assert_eq!(server["issuer"], json!(issuer));
    assert_eq!(server["token_endpoint"], json!(format!("{issuer}/oauth/token")));
    let resource = anyone.get("/.well-known/oauth-protected-resource/t/acme", 200);
    assert_eq!(
        (&resource["resource"], &resource["authorization_servers"]),
        (&json!(issuer), &json!([issuer]))
    );
    // Pitfall 7: every URL that is advertised carries the whole prefix.
    for document in [&metadata, &server, &resource] {
        for url in urls(document) {
            assert!(url == issuer || url.starts_with(&format!("{issuer}/")), "{url}");
        }
    }
    // And each of them is answered by somebody: by nobody would be 404, or 405 for the wrong method.
    for url in urls(&metadata).into_iter().filter(|url| url != issuer) {
        let method = if url.ends_with("/jwks.json") || url.ends_with("/streams") || url.ends_with("/status") {
            "GET"
        } else {
            "POST"
        };
        let status = anyone.try_send(method, url, &[], b"").expect("an answer").status;
        let expected = if url.ends_with("/jwks.json") { 200 } else { 401 };
        assert_eq!(status, expected, "{method} {url}");
    }
}

#[test]
fn an_event_published_in_a_tenant_is_polled_and_pushed_under_its_name() {
    let instance = Instance::start(Options::default());
    let acme = Tenant::create(&instance, "acme", &json!({}));
    let receiver = ScriptedReceiver::start();
    let client = acme.receiver(&instance, &json!({"push_endpoints": [receiver.url("/")]}));
    // RFC 9068: the token is of this issuer and for it.
    let token = Set::verified(&client.token, &acme.jwks(&instance));
    assert_eq!(
        (token.text("iss"), token.text("aud")),
        (acme.issuer.as_str(), acme.issuer.as_str())
    );

    let (polled, pushed) = (client.poll_stream(), client.push_stream(&receiver.url("/events")));
    let poll_url = format!("{}/ssf/poll/{}", acme.issuer, polled.id);
    for stream in [&polled, &pushed] {
        // SSF-8.1.1-2
        assert_eq!(stream.configuration["iss"], json!(acme.issuer));
        assert_eq!(stream.read(), stream.configuration);
    }
    assert_eq!(
        polled.configuration["delivery"],
        json!({"method": POLL, "endpoint_url": poll_url})
    );
    let listed = client.api.get("/t/acme/ssf/streams", 200);
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    let seen = instance.operator().get("/t/acme/admin/streams", 200);
    let seen: BTreeSet<&str> = seen["streams"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|stream| stream["stream_id"].as_str().expect("an id"))
        .collect();
    assert_eq!(seen, BTreeSet::from([polled.id.as_str(), pushed.id.as_str()]));

    // By the operator, and by a client that may.
    let publisher = acme.publisher(&instance);
    assert_eq!(
        acme.publish(&instance.operator(), &[event("evt-1", "ana@example.com")]),
        2
    );
    assert_eq!(acme.publish(&publisher.api, &[event("evt-2", "bob@example.com")]), 2);

    let jwks = acme.jwks(&instance);
    let check = |compact: &str| {
        let set = Set::verified(compact, &jwks);
        // SSF-4.1.6-1
        assert_eq!(
            (set.text("iss"), set.text("aud")),
            (acme.issuer.as_str(), ACME_AUDIENCE)
        );
        assert_eq!(set.header["typ"], json!("secevent+jwt"), "SSF-4.1.1-1");
        assert!(set.claims["events"].get(SESSION_REVOKED).is_some());
        set.text("txn").to_owned()
    };
    let everything = BTreeSet::from(["txn-evt-1".to_owned(), "txn-evt-2".to_owned()]);
    // The URL as the transmitter gave it, nothing put together by the receiver.
    let answer = client
        .api
        .post_json(&poll_url, &json!({"returnImmediately": true}), 200);
    let sets = crate::support::sets(&answer);
    assert_eq!(
        sets.iter().map(|(_, set)| check(set)).collect::<BTreeSet<_>>(),
        everything
    );
    let jtis: Vec<&str> = sets.iter().map(|(jti, _)| jti.as_str()).collect();
    polled.ack(&jtis);
    assert_eq!(polled.health(&instance)["queued_events"], json!(0));

    receiver.wait_for(2);
    let pushes: BTreeSet<String> = receiver.requests().iter().map(|push| check(push.text())).collect();
    assert_eq!(pushes, everything);
    let delivered = eventually("both deliveries are on record", || {
        Some(pushed.deliveries(&instance)).filter(|deliveries| deliveries.len() == 2)
    });
    assert!(delivered.iter().all(|delivery| delivery["outcome"] == "delivered"));

    polled.delete();
    assert_eq!(acme.publish(&publisher.api, &[event("evt-3", "ana@example.com")]), 1);
}

/// Two tenants as two parties: what one transmits the other receives, and finds its keys by discovery.
#[test]
fn an_event_goes_from_one_tenant_into_the_inbox_of_another() {
    let instance = Instance::start(Options::default());
    let [acme, beta] = ["acme", "beta"].map(|name| Tenant::create(&instance, name, &json!({})));
    let operator = instance.operator();
    let request = json!({"issuer": acme.issuer, "audience": ACME_AUDIENCE, "delivery": "push"});
    let source = operator.post_json(&beta.path("/admin/sources"), &request, 201);
    let source_id = source["source_id"].as_str().expect("an id");
    // What receives is at the origin, whosever it is.
    assert_eq!(
        source["receive_url"],
        json!(instance.url(&format!("/receive/{source_id}")))
    );

    let client = acme.receiver(&instance, &json!({"push_endpoints": [source["receive_url"]]}));
    client.stream(&json!({"delivery": {
        "method": PUSH,
        "endpoint_url": source["receive_url"],
        "authorization_header": source["authorization_header"],
    }}));
    assert_eq!(acme.publish(&operator, &[event("evt-1", "ana@example.com")]), 1);

    let inbox = beta.path(&format!("/admin/sources/{source_id}/events"));
    let received = eventually("the event is in the inbox", || {
        operator.get(&inbox, 200)["events"].get(0).cloned()
    });
    assert_eq!(received["iss"], json!(acme.issuer));
    assert_eq!(received["txn"], json!("txn-evt-1"));
    Set::verified(received["set"].as_str().expect("a SET"), &acme.jwks(&instance));
}
