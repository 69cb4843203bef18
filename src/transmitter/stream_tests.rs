use serde_json::json;

use super::*;
use crate::delivery::answer::HoldReason;
use crate::delivery::sql::testing::TestSql;
use crate::protocol::client::ClientMetadata;
use crate::protocol::event::profile::Profile;
use crate::protocol::oauth::ScopeSet;
use crate::protocol::set::{Audience, Claims};
use crate::protocol::stream::Delivery;
use crate::protocol::tenant::TenantSettings;
use crate::transmitter::explain::explain;
use crate::transmitter::status::Party;

const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const CHANGED: &str = "https://schemas.openid.net/secevent/caep/event-type/credential-change";
const PURGED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-purged";
const NOW: u64 = 1_795_262_400_999;

/// A stream as good as any.
pub fn stream() -> Stream {
    Stream {
        tenant: "default".into(),
        client_id: "c1".into(),
        configuration: Configuration {
            stream_id: "s1".into(),
            iss: "https://tx.example".into(),
            aud: Audience::One("https://rx.example".into()),
            delivery: Delivery::Push {
                endpoint_url: "https://rx.example/in".into(),
                authorization_header: None,
                cloudevents: None,
            },
            events_supported: vec![REVOKED.into(), CHANGED.into()],
            events_requested: Some(vec![REVOKED.into(), PURGED.into()]),
            events_delivered: vec![REVOKED.into()],
            description: None,
            min_verification_interval: None,
            inactivity_timeout: None,
        },
        sealed_authorization: Some("sealed".into()),
        webhook_secrets: Vec::new(),
        terms: Terms {
            rev: 1,
            events: vec![REVOKED.into(), CHANGED.into()],
            ..Terms::default()
        },
        wishes: Wishes::default(),
        announced: Status::Enabled,
        default_subjects: None,
        choices: Choices::default(),
        forward: None,
        grant: Grant::default(),
        full_since: None,
        created_at: 5,
        rev: 1,
    }
}

/// The tables of a stream, with its filter.
fn tables(stream: &Stream) -> (TestSql, Filter) {
    let sql = TestSql::default();
    stream.save(&sql).unwrap();
    let filter = Filter::load(&sql).unwrap();
    (sql, filter)
}

fn ana() -> Value {
    json!({"format": "email", "email": "ana@example.com"})
}

fn event(event_type: &str, id: Option<&str>) -> NewEvent {
    NewEvent {
        id: id.map(Into::into),
        event_type: event_type.into(),
        sub_id: ana(),
        event: json!({}),
        txn: None,
        toe: Some(7),
        traceparent: None,
        tracestate: None,
    }
}

fn published(event: NewEvent) -> Published {
    Published::new(event, "pub", "r".into()).unwrap()
}

fn items(stream: &Stream, events: &[Published]) -> Vec<(usize, NewItem)> {
    let (sql, filter) = tables(stream);
    stream.items(&sql, &filter, events, NOW, |_, _| Ok(None)).unwrap()
}

#[test]
fn a_stream_is_what_was_saved_and_an_empty_object_has_none() {
    let sql = TestSql::default();
    assert_eq!(Stream::load(&sql).unwrap(), None);
    assert_eq!(sql.take_written_rows(), 0);
    stream().save(&sql).unwrap();
    assert_eq!(Stream::load(&sql).unwrap(), Some(stream()));
}

/// A record of the first version, which knew neither terms nor wishes.
#[test]
fn a_stream_of_an_older_version_supports_what_it_supported() {
    let sql = TestSql::default();
    meta::migrate(&sql, &MIGRATIONS[..2]).unwrap();
    let old = json!({
        "tenant": "default", "client_id": "c1", "created_at": 5, "rev": 1,
        "configuration": {
            "stream_id": "s1", "iss": "https://tx.example", "aud": "https://rx.example",
            "delivery": {"method": "urn:ietf:rfc:8935", "endpoint_url": "https://rx.example/in"},
            "events_supported": [REVOKED], "events_requested": null, "events_delivered": [REVOKED],
            "description": null, "min_verification_interval": null, "inactivity_timeout": null,
        },
    });
    meta::set(&sql, "stream", &old.to_string()).unwrap();
    let stream = Stream::load(&sql).unwrap().unwrap();
    assert_eq!(stream.terms.events, [REVOKED]);
    assert_eq!(stream.status(None), (Status::Enabled, None));
    let filter = Filter::load(&sql).unwrap();
    assert_eq!(
        stream
            .items(&sql, &filter, &[published(event(REVOKED, None))], NOW, |_, _| Ok(None))
            .unwrap()
            .len(),
        1
    );
}

/// SSF-4.1.6-1, SSF-4.2.1-4, SSF-4.1.9-1: the envelope of a published event.
#[test]
fn events_of_other_types_are_left_out_and_the_rest_become_sets() {
    let published = [
        published(event(CHANGED, Some("b"))),
        published(event(REVOKED, Some("a"))),
    ];
    let items = items(&stream(), &published);
    assert_eq!(items.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1]);
    let item = &items[0].1;
    let claims = Claims::parse(&item.claims).unwrap();
    assert_eq!(claims.iss, "https://tx.example");
    assert_eq!(claims.aud, Audience::One("https://rx.example".into()));
    assert_eq!(
        (claims.iat, claims.toe),
        (1_795_262_400, Some(7)),
        "whole seconds, never ahead"
    );
    assert_eq!(claims.event_type, REVOKED);
    assert_eq!(claims.jti, jti_text(&item.jti));
    assert!(claims.txn.is_some());
}

#[test]
fn a_retry_makes_the_same_jti_and_content_and_a_change_another_content() {
    let once = |event: NewEvent, source: &str, random: &str| {
        let published = Published::new(event, source, random.into()).unwrap();
        items(&stream(), &[published]).remove(0).1
    };
    let first = once(event(REVOKED, Some("a")), "pub", "r1");
    let again = once(event(REVOKED, Some("a")), "pub", "r2");
    assert_eq!((first.jti, first.content), (again.jti, again.content));
    let mut other = event(REVOKED, Some("a"));
    other.toe = Some(8);
    let other = once(other, "pub", "r3");
    assert_eq!(first.jti, other.jti);
    assert_ne!(first.content, other.content);
    let unnamed = |random| once(event(REVOKED, None), "pub", random).jti;
    assert_ne!(unnamed("r1"), unnamed("r2"));
    let elsewhere = once(event(REVOKED, Some("a")), "other", "r");
    assert_ne!(first.jti, elsewhere.jti, "ids of different publishers do not meet");
}

#[test]
fn an_event_that_grows_too_long_when_written_out_is_refused() {
    let mut long = event(REVOKED, None);
    long.event = json!({"a": "x".repeat(MAX_EVENT_BYTES)});
    assert_eq!(Published::new(long, "pub", "r".into()), Err(TooLarge));
    let mut grows = event(REVOKED, None);
    grows.event = serde_json::from_str(&format!("[{}1]", "1e15,".repeat(6_000))).unwrap();
    assert_eq!(Published::new(grows, "pub", "r".into()), Err(TooLarge));
}

/// SSF-8.1.2.1-2, SSF-8.1.2.1-3
#[test]
fn a_paused_stream_takes_events_and_a_disabled_one_takes_none() {
    for (status, expected) in [(Status::Enabled, 1), (Status::Paused, 1), (Status::Disabled, 0)] {
        let mut stream = stream();
        stream.wishes.operator.status = status;
        assert_eq!(items(&stream, &[published(event(REVOKED, None))]).len(), expected);
    }
}

/// SSF-7.1-14, SSF-7.1-15, SSF-7.1-17
#[test]
fn default_subjects_decide_unless_the_operator_chose_for_this_stream() {
    let own = published(NewEvent {
        sub_id: verification::subject("s1"),
        ..event(REVOKED, None)
    });
    for (terms, chosen, expected) in [
        (DefaultSubjects::All, None, 2),
        (DefaultSubjects::None, None, 1),
        (DefaultSubjects::None, Some(DefaultSubjects::All), 2),
        (DefaultSubjects::All, Some(DefaultSubjects::None), 1),
    ] {
        let mut stream = stream();
        stream.terms.default_subjects = terms;
        stream.default_subjects = chosen;
        let events = [published(event(REVOKED, None)), own.clone()];
        assert_eq!(
            items(&stream, &events).len(),
            expected,
            "the stream's own subject is always in it"
        );
    }
}

/// The recorded vectors of the interop switches; SSF-3.1.1-1, SSF-3.1.1-2, CIP-3.1-2.
#[test]
fn each_profile_has_its_shape_of_events() {
    for (profile, expected) in [
        (Profile::Ssf, json!({})),
        (
            Profile::CaepInterop,
            json!({"reason_admin": {"en": "No reason was given."}}),
        ),
        (Profile::LegacySubject, json!({"subject": ana()})),
    ] {
        let mut stream = stream();
        stream.terms.profile = profile;
        let claims = Claims::parse(&items(&stream, &[published(event(REVOKED, None))])[0].1.claims).unwrap();
        assert_eq!((claims.sub_id, claims.event), (ana(), expected), "{profile:?}");
    }
}

/// SSF-8.1.4.1-1, SSF-8.1.4.2-2, SSF-8.1.4.2-3, SSF-8.1.5-5
#[test]
fn control_events_are_about_the_stream_itself() {
    let stream = stream();
    let read = |claims: Vec<u8>| Claims::parse(&claims).unwrap();
    let asked = read(stream.verification(&[1; 16], Some("v-1"), NOW));
    assert_eq!(asked.sub_id, json!({"format": "opaque", "id": "s1"}));
    assert_eq!(
        (asked.event_type.as_str(), asked.event),
        (event::VERIFICATION, json!({"state": "v-1"}))
    );
    let unasked = read(stream.verification(&[2; 16], None, NOW));
    assert_eq!(unasked.event, json!({}));
    let updated = read(stream.updated(&[3; 16], Status::Paused, Some("why"), NOW));
    assert_eq!(updated.sub_id, asked.sub_id);
    assert_eq!(
        (updated.event_type.as_str(), updated.event),
        (event::STREAM_UPDATED, json!({"status": "paused", "reason": "why"}))
    );
    assert_ne!(asked.txn, unasked.txn);
}

#[test]
fn new_terms_change_what_is_delivered_and_old_ones_change_nothing() {
    let metadata = ClientMetadata {
        client_name: "Acme".into(),
        scope: ScopeSet::parse("ssf.read").unwrap(),
        audience: Some(Audience::One("a".into())),
        push_endpoints: vec![],
        handshake: crate::protocol::client::HandshakeUse::default(),
        events_allowed: Some(vec![PURGED.into(), REVOKED.into()]),
        profile: Profile::Ssf,
        default_subjects: None,
    };
    let settings = TenantSettings {
        events_supported: Some(vec![CHANGED.into(), PURGED.into()]),
        min_verification_interval: 30,
        inactivity_timeout: 60,
        ..TenantSettings::default()
    };
    let mut stream = stream();
    stream.take_terms(Terms::new(3, &settings, &metadata));
    assert_eq!(stream.configuration.events_supported, [PURGED], "supported and allowed");
    assert_eq!(stream.configuration.events_delivered, [PURGED], "and requested");
    assert_eq!(stream.configuration.min_verification_interval, Some(30));
    assert_eq!(stream.configuration.inactivity_timeout, Some(60));
    let before = stream.clone();
    stream.take_terms(Terms::new(2, &TenantSettings::default(), &metadata));
    assert_eq!(stream, before);
}

/// SSF-8.1.1-13, SSF-8.1.1-16
#[test]
fn an_inactive_receivers_stream_is_paused_by_us_until_it_asks() {
    let mut stream = stream();
    stream.terms.settings.inactivity_timeout = 60;
    stream.fall_asleep();
    let (status, reason) = stream.status(None);
    assert_eq!(
        (status, stream.wishes.strictest().1),
        (Status::Paused, Party::Transmitter)
    );
    assert!(reason.unwrap().contains("60 seconds"));
    stream.wishes.receiver_wishes(Wish::default()).unwrap();
    assert_eq!(stream.status(None), (Status::Enabled, None));
}

#[test]
fn explain_names_the_rule_that_decides() {
    let mut stream = stream();
    stream.terms.default_subjects = DefaultSubjects::None;
    let (sql, mut filter) = tables(&stream);
    let rules = stream.subject_rules();
    let tenant = json!({"format": "opaque", "id": "t1"});
    let complex = |name: &str| json!({"format": "complex", name: tenant});
    let added = json!({"format": "complex", "tenant": tenant, "user": ana()});
    filter.add(&sql, &added, false, &rules, NOW).unwrap();
    let explained = |stream: &Stream, filter: &Filter, event_type: &str, sub_id: &Value, hold: Option<&Hold>| {
        let event = NewEvent {
            sub_id: sub_id.clone(),
            ..event(event_type, None)
        };
        explain(&sql, stream, filter, hold, &event, NOW).unwrap()
    };
    for (event_type, sub_id, delivered, rule) in [
        (PURGED, ana(), false, "type_not_supported"),
        (CHANGED, ana(), false, "type_not_requested"),
        (REVOKED, ana(), false, "subject_not_added"),
        (REVOKED, complex("tenant"), true, "subject_added"),
        // Pitfall 34: no member in common.
        (REVOKED, complex("device"), true, "subject_added"),
        (REVOKED, verification::subject("s1"), true, "stream_subject"),
    ] {
        let answer = explained(&stream, &filter, event_type, &sub_id, None);
        assert_eq!(
            (&answer["delivered"], &answer["rule"]),
            (&json!(delivered), &json!(rule)),
            "{answer}"
        );
        assert_eq!(answer["held"], json!(false));
    }
    let answer = explained(&stream, &filter, REVOKED, &complex("tenant"), None);
    assert_eq!(
        answer["matched"],
        json!({"members": ["tenant", "user"], "shared": ["tenant"], "verified": false})
    );
    let hold = Hold::new(HoldReason::Failing, NOW);
    let answer = explained(&stream, &filter, REVOKED, &complex("tenant"), Some(&hold));
    assert_eq!((&answer["delivered"], &answer["held"]), (&json!(true), &json!(true)));
    stream.default_subjects = Some(DefaultSubjects::All);
    assert_eq!(
        explained(&stream, &filter, REVOKED, &ana(), None)["rule"],
        "subject_default"
    );
    filter.remove(&sql, &ana(), &stream.subject_rules(), NOW).unwrap();
    let answer = explained(&stream, &filter, REVOKED, &ana(), None);
    assert_eq!(
        (&answer["delivered"], &answer["rule"]),
        (&json!(false), &json!("subject_removed"))
    );
    stream.wishes.receiver.status = Status::Disabled;
    assert_eq!(
        explained(&stream, &filter, REVOKED, &ana(), None)["rule"],
        "stream_disabled"
    );
}

#[test]
fn the_run_row_tells_how_long_a_run_may_take() {
    let sql = TestSql::default();
    stream().save(&sql).unwrap();
    assert_eq!(run_until(&sql).unwrap(), 0);
    sql.take_written_rows();
    begin_run(&sql, 1_795_262_400_000).unwrap();
    assert_eq!(run_until(&sql).unwrap(), 1_795_262_400_000);
    assert_eq!(sql.take_written_rows(), 1);
}
