//! Tests of `source`.

use super::*;
use crate::delivery::sql::testing::TestSql;
use serde_json::json;

fn policy() -> UrlPolicy {
    UrlPolicy {
        allow_loopback: false,
        own_host: None,
        ports: Vec::new(),
    }
}

/// SSF-7.2-1, SSF-8.1.1.3-6.
#[test]
fn a_source_needs_an_issuer_and_an_audience_and_nothing_is_accepted_and_ignored() {
    let good = json!({"issuer": "https://idp.example.com/t/9", "audience": ["a", "b"], "delivery": "push"});
    let request = SourceRequest::parse(&good, &policy()).ok().unwrap();
    assert_eq!(request.issuer, "https://idp.example.com/t/9");
    for (name, value, pointer) in [
        ("issuer", json!(null), "/issuer"),
        ("issuer", json!("http://idp.example.com"), "/issuer"),
        ("issuer", json!("https://idp.example.com?x"), "/issuer"),
        ("issuer", json!("https://idp.example.com#x"), "/issuer"),
        ("issuer", json!("https://localhost"), "/issuer"),
        ("audience", json!([]), "/audience"),
        ("audience", json!(""), "/audience"),
        ("delivery", json!("poll"), "/credentials"),
        ("delivery", json!("pull"), "/delivery"),
        ("credentials", json!({}), "/credentials/client_secret"),
        ("events_requested", json!(["urn:a"]), "/events_requested"),
        ("events_requested", json!([]), "/events_requested"),
        ("subjects", json!([]), "/subjects"),
        ("subjects", json!([{"format": "email"}]), "/subjects/0/email"),
        ("stream_id", json!("s"), "/stream_id"),
        ("poll_interval", json!(5), "/poll_interval"),
        ("poll_interval", json!(86_401), "/poll_interval"),
        ("legacy", json!(["all"]), "/legacy/0"),
        ("understood_members", json!([""]), "/understood_members/0"),
        ("jwks", json!({"keys": []}), "/jwks"),
        ("jwks", json!(5), "/jwks"),
        ("description", json!(5), "/description"),
    ] {
        let mut body = good.clone();
        body[name] = value.clone();
        let found = SourceRequest::parse(&body, &policy()).err().unwrap();
        assert_eq!(found.pointer, pointer, "{name} {value}");
    }
    for missing in ["issuer", "audience"] {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(missing);
        assert_eq!(
            SourceRequest::parse(&body, &policy()).err().unwrap().pointer,
            format!("/{missing}")
        );
    }
}

#[test]
fn a_source_of_cloudevents_has_nothing_that_is_for_sets() {
    let credentials = json!({"client_id": "c", "client_secret": "s"});
    let mut source: Source = record::read(OF_OLD).unwrap();
    for (name, value) in [
        ("credentials", credentials),
        ("jwks", json!({"keys": []})),
        ("legacy", json!(["typ"])),
    ] {
        let mut body = json!({"issuer": "https://idp.example.com", "audience": "a", "envelope": "cloudevent"});
        assert!(SourceRequest::parse(&body, &policy()).is_ok());
        body[name] = value.clone();
        let found = SourceRequest::parse(&body, &policy()).err().unwrap();
        assert_eq!(found.pointer, "/envelope", "{name}");
        if name != "jwks" {
            let both = json!({"envelope": "cloudevent", name: value});
            let found = source.patched(&both, &policy()).err().unwrap();
            assert_eq!(found.pointer, "/envelope", "{name}");
        }
    }
    source.jwks = Some(json!({}));
    let found = source.patched(&json!({"envelope": "cloudevent"}), &policy());
    assert_eq!(found.err().unwrap().pointer, "/envelope");
}

#[test]
fn what_changes_at_the_transmitter_repeats_the_step_that_tells_it() {
    let source: Source = record::read(OF_OLD).unwrap();
    let credentials = json!({"client_id": "c", "client_secret": "s"});
    let (source, _) = source
        .patched(&json!({"credentials": credentials}), &policy())
        .ok()
        .unwrap();
    for (patch, from) in [
        (json!({"description": "new"}), Some(setup::STREAM)),
        (json!({"description": null}), Some(setup::STREAM)),
        (json!({"events_requested": null}), Some(setup::STREAM)),
        (json!({"subjects": []}), Some(setup::SUBJECTS)),
        (json!({"delivery": "poll"}), Some(setup::DISCOVERY)),
        (json!({"legacy": ["risc_configuration"]}), Some(setup::DISCOVERY)),
        (json!({"legacy": ["typ"]}), None),
        (json!({"poll_interval": 5}), None),
    ] {
        let (_, given) = source.patched(&patch, &policy()).ok().unwrap();
        assert_eq!(given.from, from, "{patch}");
    }
}

/// As it lay in the databases of instances that knew no management, no envelopes and no forwarding.
const OF_OLD: &str = r#"{"source_id":"s","tenant":"default","issuer":"https://idp.example.com","audience":"a","target":{},
    "authorization_hash":"00","created_at":1,"rev":1}"#;

#[test]
fn a_source_of_an_older_version_is_read_as_one_that_nobody_manages() {
    let sql = TestSql::default();
    meta::migrate(&sql, MIGRATIONS).unwrap();
    meta::set(&sql, "source", OF_OLD).unwrap();
    let source = Source::load(&sql).unwrap().unwrap();
    assert!(!source.is_managed() && source.forward.is_none() && source.envelope == Form::Set);
    assert_eq!((source.issuer.as_str(), source.rev), ("https://idp.example.com", 1));
}

#[test]
fn only_who_was_asked_for_a_stream_may_push_without_being_named() {
    let unmanaged: Source = record::read(OF_OLD).unwrap();
    let mut managed = unmanaged.clone();
    managed.managed.credentials = Some(json!({}));
    let mut polled = managed.clone();
    polled.managed.poll = true;
    let mut strict = managed.clone();
    strict.target.allowed_origins = vec!["other.example.com".into()];
    let granted = Judgement::Granted(Rate::PerMinute(6));
    for (source, origin, expected) in [
        (&managed, "idp.example.com", granted),
        (&managed, "other.example.com", Judgement::Refused),
        (&unmanaged, "idp.example.com", Judgement::Refused),
        (&polled, "idp.example.com", Judgement::Refused),
        (&strict, "idp.example.com", Judgement::Refused),
        (&strict, "other.example.com", granted),
    ] {
        assert_eq!(
            source.judge(origin, Some(Rate::PerMinute(6)), None),
            expected,
            "{origin}"
        );
    }
}

#[test]
fn a_source_and_its_keys_are_what_was_saved() {
    let sql = TestSql::default();
    let source = Source {
        source_id: "s".into(),
        tenant: "default".into(),
        issuer: "https://idp.example.com".into(),
        audience: Audience::One("a".into()),
        description: None,
        jwks: None,
        target: Target::default(),
        envelope: Form::Cloudevent,
        webhook_secret: Some(SourceSecret {
            sealed: "x".into(),
            id: "y".into(),
        }),
        forward: None,
        managed: Managed::default(),
        origin: String::new(),
        authorization_hash: "00".into(),
        former_hash: None,
        created_at: 1,
        rev: 1,
    };
    assert_eq!(Source::load(&sql).unwrap(), None);
    source.save(&sql).unwrap();
    assert_eq!(Source::load(&sql).unwrap(), Some(source));
    assert_eq!(load_keys(&sql).unwrap(), None);
    let keys = FetchedKeys {
        jwks_uri: "https://x".into(),
        jwks: json!({"keys": []}),
        fetched_at: 5,
        critical: Vec::new(),
    };
    save_keys(&sql, &keys).unwrap();
    assert_eq!(load_keys(&sql).unwrap(), Some(keys));
}
