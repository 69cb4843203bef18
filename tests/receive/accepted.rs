//! SETs that are accepted: 202 and nothing else, each stored once.

use serde_json::{Value, json};

use crate::harness::{Draft, Instance, Options, ScriptedTransmitter};
use crate::support::{ACME_AUDIENCE, CREDENTIAL_CHANGE, SESSION_REVOKED, Source};

use super::Feed;

/// PUSH-2-11, SSF-4.1.9-4: two with the same `txn` are two.
#[test]
fn a_good_set_is_accepted_and_stored_once_however_often_it_comes() {
    let feed = Feed::start(Options::default());
    let draft = feed.transmitter.draft(ACME_AUDIENCE);
    let set = draft.sign();
    for _ in 0..3 {
        // PUSH-2-7: a repeat is answered like the first.
        let answer = feed.source.push(&feed.instance, &set, 202);
        assert_eq!(answer.text(), "", "PUSH-2.2-2");
        assert_eq!(answer.header("content-type"), None);
        assert!(answer.header("x-request-id").is_some());
    }
    let inbox = feed.source.inbox(&feed.instance);
    assert_eq!(inbox.len(), 1);
    let (event, claims) = (&inbox[0], draft.claims());
    for claim in ["jti", "iss", "sub_id", "txn", "iat"] {
        assert_eq!(event[claim], claims[claim], "{claim}");
    }
    assert_eq!(event["type"], json!(SESSION_REVOKED));
    assert_eq!(event["event"], claims["events"][SESSION_REVOKED]);
    assert_eq!(event["toe"], Value::Null, "the transmitter did not say");
    assert_eq!(event["set"], json!(set));
    assert_eq!(
        (&event["intake"]["kid"], &event["intake"]["alg"]),
        (&json!("first"), &json!("RS256"))
    );
    assert_eq!(event["intake"]["keys"], json!("fetched"));
    assert!(
        event["received_at"]
            .as_u64()
            .is_some_and(|at| at / 1000 >= claims["iat"].as_u64().unwrap_or(u64::MAX))
    );

    // The same jti with other claims is the same event (PUSH-2.1-11).
    feed.source
        .push(&feed.instance, &draft.claim("txn", "another").sign(), 202);
    feed.source
        .push(&feed.instance, &feed.transmitter.draft(ACME_AUDIENCE).sign(), 202);
    let inbox = feed.source.inbox(&feed.instance);
    assert_eq!(inbox.len(), 2);
    assert_eq!(inbox[1]["intake"]["keys"], json!("cached"));
}

#[test]
fn a_set_that_comes_many_times_at_once_is_stored_once() {
    let feed = Feed::start(Options::default());
    let set = feed.transmitter.draft(ACME_AUDIENCE).sign();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| feed.source.push(&feed.instance, &set, 202));
        }
    });
    assert_eq!(feed.source.jtis(&feed.instance).len(), 1);
    assert_eq!(feed.transmitter.key_fetches(), 1, "all wait for one fetch of the keys");
}

#[test]
fn a_set_may_be_old_and_say_more_than_we_know() {
    let feed = Feed::start(Options::default());
    let draft = || feed.transmitter.draft(ACME_AUDIENCE);
    let event = |event_type: &str, content: Value| json!({event_type: content});
    let now = draft().claims()["iat"].as_u64().expect("seconds");
    let vendor = "https://vendor.example/event/unheard-of";
    let cases: Vec<(&str, Draft)> = vec![
        ("an old one: events are held", draft().claim("iat", 1)),
        ("a clock that is a little ahead", draft().claim("iat", now + 60)),
        ("a time with a fraction", draft().claim("iat", 1_795_263_000.5)),
        (
            "several audiences, SSF-4.1.8-6",
            draft().claim("aud", json!(["https://other.example", ACME_AUDIENCE])),
        ),
        (
            "the long media type, SSF-4.1.1-2",
            draft().header("typ", "application/secevent+jwt"),
        ),
        ("a media type in capitals", draft().header("typ", "SECEVENT+JWT")),
        (
            "claims that nobody knows, SSF-4.2.3-2",
            draft().claim("vendor_claim", json!({"a": [1]})),
        ),
        (
            "an unknown event type",
            draft().claim("events", event(vendor, json!({"anything": [1, null]}))),
        ),
        (
            "an event without members",
            draft().claim("events", event(vendor, json!({}))),
        ),
        (
            "unknown members of a known type",
            draft().claim("events", event(SESSION_REVOKED, json!({"vendor": {"x": 1}}))),
        ),
        (
            "a subject format that nobody knows, SSF-3.4-3",
            draft().claim("sub_id", json!({"format": "vendor", "x": 1})),
        ),
        ("no correlation", draft().without("txn")),
        (
            "a credential-change without a reason, CIP-3-1",
            draft().claim(
                "events",
                event(
                    CREDENTIAL_CHANGE,
                    json!({"credential_type": "password", "change_type": "update"}),
                ),
            ),
        ),
        (
            "header members that name keys",
            draft()
                .header("jku", "http://127.0.0.1:9/evil")
                .header("jwk", json!({"kty": "RSA"})),
        ),
        ("valid since long ago", draft().claim("nbf", 1)),
    ];
    for (number, (what, draft)) in cases.iter().enumerate() {
        let answer = feed.source.push(&feed.instance, &draft.sign(), 202);
        assert_eq!(answer.text(), "", "{what}");
        assert_eq!(feed.source.jtis(&feed.instance).len(), number + 1, "{what}");
    }
    // PUSH-2.1-8: a line end is tolerated, and not kept.
    for end in ["\n", "\r\n"] {
        let set = draft().sign();
        feed.source.push(&feed.instance, &format!("{set}{end}"), 202);
        assert_eq!(
            feed.source.inbox(&feed.instance).last().expect("an event")["set"],
            json!(set)
        );
    }
}

/// CIP-2.5-2, and every other format that the standards have.
#[test]
fn a_subject_may_have_any_format() {
    let feed = Feed::start(Options::default());
    for subject in [
        json!({"format": "email", "email": "ana@example.com"}),
        json!({"format": "iss_sub", "iss": "https://idp.example", "sub": "7"}),
        json!({"format": "opaque", "id": "7"}),
        json!({"format": "account", "uri": "acct:ana@example.com"}),
        json!({"format": "phone_number", "phone_number": "+12065550100"}),
        json!({"format": "did", "url": "did:example:7"}),
        json!({"format": "uri", "uri": "urn:example:7"}),
        json!({"format": "aliases", "identifiers": [{"format": "opaque", "id": "7"}]}),
        json!({"format": "jwt_id", "iss": "https://idp.example", "jti": "7"}),
        json!({"format": "saml_assertion_id", "issuer": "https://idp.example", "assertion_id": "7"}),
        json!({"format": "complex", "user": {"format": "opaque", "id": "7"}, "device": {"format": "opaque", "id": "8"}}),
    ] {
        let draft = feed.transmitter.draft(ACME_AUDIENCE).claim("sub_id", subject.clone());
        feed.source.push(&feed.instance, &draft.sign(), 202);
        let inbox = feed.source.inbox(&feed.instance);
        assert_eq!(inbox.last().expect("an event")["sub_id"], subject);
    }
}

#[test]
fn each_source_has_an_inbox_and_credentials_of_its_own() {
    let instance = Instance::start(Options::default());
    let transmitter = ScriptedTransmitter::start();
    let first = Source::register(&instance, &transmitter.issuer(), ACME_AUDIENCE);
    let second = Source::register(&instance, &transmitter.issuer(), ACME_AUDIENCE);
    let other_audience = Source::register(&instance, &transmitter.issuer(), "https://other.example");
    assert_ne!(first.authorization, second.authorization);

    // Pitfall 24: the same SET for two inboxes is an event of each.
    let set = transmitter.draft(ACME_AUDIENCE).sign();
    for source in [&first, &second] {
        source.push(&instance, &set, 202);
    }
    let refused = other_audience.push(&instance, &set, 400);
    assert_eq!(refused.json()["err"], json!("invalid_audience"));
    let mixed_up = first.transmitter(&instance).push_set(&second.receive_path(), &set, 400);
    assert_eq!(mixed_up.json()["err"], json!("authentication_failed"));
    assert_eq!(
        [&first, &second, &other_audience].map(|source| source.jtis(&instance).len()),
        [1, 1, 0]
    );

    instance.operator().delete(&first.path(), 204);
    first.push(&instance, &set, 404);
    assert_eq!(second.jtis(&instance).len(), 1, "a neighbour's inbox stays");
    let listed = instance.operator().get("/admin/sources", 200);
    let ids: Vec<&Value> = listed["sources"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|source| &source["source_id"])
        .collect();
    assert_eq!(ids.len(), 2);
    assert!(!ids.contains(&&json!(first.id)));
    instance.operator().delete(&first.path(), 404);
    instance.operator().get(&first.path(), 404);
    instance.operator().get(&format!("{}/events", first.path()), 404);
}
