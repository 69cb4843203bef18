use serde_json::json;

use super::*;
use crate::protocol::{mutate, record};

const CUSTOM: &str = "https://events.quarry.example/badge-lost";

/// A tenant that chose everything, and nothing as the default has it.
fn chosen() -> Value {
    json!({
        "events_supported": [CUSTOM],
        "default_subjects": "NONE",
        "signing_alg": "ES256",
        "delivery_methods_supported": [POLL],
        "critical_subject_members": ["user", "badge"],
        "min_verification_interval": 0,
        "inactivity_timeout": 2_592_000,
        "inactivity_action": "disabled",
        "verification_heartbeat": 60,
        "subject_removal_grace": 300,
        "require_shared_subject_member": true,
        "streams_per_client": 1000,
        "stream_storage_mb": 1,
        "subject_changes_per_minute": 1_000_000,
    })
}

fn new(mut settings: Value) -> Result<(String, TenantSettings), Invalid> {
    settings["tenant"] = json!("acme");
    TenantSettings::parse_new(&settings)
}

#[test]
fn a_name_is_a_label() {
    let longest = "a".repeat(63);
    for name in ["a", "9", "acme", "a-b", "a--b", "0-9", "default", &longest] {
        assert!(is_tenant_name(name), "{name}");
        let body = json!({"tenant": name});
        assert_eq!(
            TenantSettings::parse_new(&body),
            Ok((name.to_owned(), TenantSettings::default()))
        );
    }
    let too_long = "a".repeat(64);
    for name in [
        "", "-", "-a", "a-", "Acme", "a_b", "a.b", "a b", "a/b", "..", "a%2f", "é", "a\n", &too_long,
    ] {
        assert!(!is_tenant_name(name), "{name}");
        let found = TenantSettings::parse_new(&json!({"tenant": name})).unwrap_err();
        assert_eq!(found.pointer, "/tenant", "{name}");
    }
}

#[test]
fn a_name_is_enough_and_everything_else_has_its_default() {
    let (_, settings) = new(json!({})).unwrap();
    assert_eq!(settings, TenantSettings::default());
    assert_eq!(
        Value::Object(settings.to_json()),
        json!({
            "events_supported": event::supported_uris(),
            "default_subjects": "ALL", // CIP-2.4.2-2
            "signing_alg": "RS256", // CIP-2.6-1
            "delivery_methods_supported": ["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"], // CIP-2.3.8.1-1
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
    );
    assert_eq!(settings.events_supported().len(), 22);
}

#[test]
fn everything_can_be_chosen_shown_and_put_back() {
    let (name, settings) = new(chosen()).unwrap();
    assert_eq!(name, "acme");
    assert_eq!(Value::Object(settings.to_json()), chosen());
    assert_eq!(settings.events_supported(), [CUSTOM]);
    // As shown it is also a change: of nothing.
    assert_eq!(settings.patched(&chosen()), Ok(settings.clone()));
    assert_eq!(settings.patched(&json!({})), Ok(settings.clone()));
    assert_eq!(TenantSettings::default().patched(&chosen()), Ok(settings.clone()));
    // Each on its own, there and back.
    for (name, value) in settings.to_json() {
        let changed = TenantSettings::default()
            .patched(&json!({name.clone(): value}))
            .unwrap();
        assert_ne!(changed, TenantSettings::default(), "{name}");
        assert_eq!(
            changed.patched(&json!({name.clone(): null})),
            Ok(TenantSettings::default()),
            "{name}"
        );
        assert_eq!(
            new(json!({name: null})).map(|(_, new)| new),
            Ok(TenantSettings::default())
        );
    }
}

#[test]
fn stored_settings_of_other_versions_are_read() {
    let (_, settings) = new(chosen()).unwrap();
    for settings in [settings, TenantSettings::default()] {
        let stored = record::text(&settings);
        assert_eq!(record::read::<TenantSettings>(&stored), Ok(settings.clone()));
        assert_eq!(
            crate::protocol::record::read::<TenantSettings>(&stored).unwrap(),
            settings
        );
    }
    // Older: without what it did not know. Newer: with what we do not know.
    assert_eq!(record::read::<TenantSettings>("{}"), Ok(TenantSettings::default()));
    assert_eq!(
        record::read::<TenantSettings>(r#"{"later":{"a":1},"inactivity_timeout":60}"#),
        Ok(TenantSettings {
            inactivity_timeout: 60,
            ..TenantSettings::default()
        })
    );
    // Where nothing was chosen, nothing is stored as chosen.
    assert_eq!(Value::from(TenantSettings::default())["events_supported"], json!(null));
    for text in [
        "[]",
        "null",
        r#"{"inactivity_timeout":-1}"#,
        r#"{"events_supported":[""]}"#,
    ] {
        assert_eq!(record::read::<TenantSettings>(text), Err(record::Malformed), "{text}");
    }
}

#[test]
fn faults_are_found_and_placed() {
    use Problem::{Duplicate, Empty, Missing, NotA, NotOneOf, Refused, TooMany, UnknownMember};
    const DAY: Problem = NotA("a whole number of seconds from 0 to 86400");
    const YEAR: Problem = NotA("a whole number of seconds from 0 to 31536000");
    for (settings, pointer, problem) in [
        (json!({"events_supported": []}), "/events_supported", Empty),
        (
            json!({"events_supported": CUSTOM}),
            "/events_supported",
            NotA("an array"),
        ),
        (
            json!({"events_supported": [CUSTOM, CUSTOM]}),
            "/events_supported/1",
            Duplicate,
        ),
        (
            json!({"events_supported": [CUSTOM, "badge-lost"]}),
            "/events_supported/1",
            Refused("must be a URI with a scheme"),
        ),
        (
            json!({"events_supported": [event::VERIFICATION]}),
            "/events_supported/0",
            Refused("is sent by the transmitter alone"),
        ), // SSF-8.1.1-19
        (
            json!({"default_subjects": "all"}),
            "/default_subjects",
            NotOneOf(&["ALL", "NONE"]),
        ), // SSF-7.1-12
        (
            json!({"signing_alg": "none"}),
            "/signing_alg",
            NotOneOf(&["RS256", "ES256"]),
        ),
        (json!({"signing_alg": 1}), "/signing_alg", NotOneOf(&["RS256", "ES256"])),
        (
            json!({"delivery_methods_supported": []}),
            "/delivery_methods_supported",
            Empty,
        ),
        (
            json!({"delivery_methods_supported": [PUSH, "push"]}),
            "/delivery_methods_supported/1",
            NotOneOf(&[PUSH, POLL]),
        ),
        (
            json!({"delivery_methods_supported": [PUSH, PUSH]}),
            "/delivery_methods_supported/1",
            Duplicate,
        ),
        (
            json!({"critical_subject_members": (0..17).map(|at| at.to_string()).collect::<Vec<_>>()}),
            "/critical_subject_members",
            TooMany(16),
        ),
        (
            json!({"critical_subject_members": ["user", "format"]}),
            "/critical_subject_members/1",
            Refused("is not a part of a subject"),
        ),
        (
            json!({"critical_subject_members": [""]}),
            "/critical_subject_members/0",
            Empty,
        ),
        (
            json!({"min_verification_interval": 86_401}),
            "/min_verification_interval",
            DAY,
        ),
        (
            json!({"min_verification_interval": -1}),
            "/min_verification_interval",
            DAY,
        ),
        (
            json!({"min_verification_interval": 1.5}),
            "/min_verification_interval",
            DAY,
        ),
        (
            json!({"min_verification_interval": "10"}),
            "/min_verification_interval",
            DAY,
        ),
        (json!({"inactivity_timeout": 31_536_001}), "/inactivity_timeout", YEAR),
        (
            json!({"inactivity_timeout": 4_294_967_296_u64}),
            "/inactivity_timeout",
            YEAR,
        ),
        (
            json!({"inactivity_action": "enabled"}),
            "/inactivity_action",
            NotOneOf(&["paused", "disabled"]),
        ),
        (
            json!({"inactivity_action": "delete"}),
            "/inactivity_action",
            NotOneOf(&["paused", "disabled"]),
        ),
        (
            json!({"verification_heartbeat": 31_536_001}),
            "/verification_heartbeat",
            YEAR,
        ),
        (
            json!({"subject_removal_grace": 31_536_001}),
            "/subject_removal_grace",
            YEAR,
        ),
        (
            json!({"require_shared_subject_member": 1}),
            "/require_shared_subject_member",
            NotA("a boolean"),
        ),
        (
            json!({"streams_per_client": 0}),
            "/streams_per_client",
            NotA("a whole number from 1 to 1000"),
        ),
        (
            json!({"streams_per_client": 1001}),
            "/streams_per_client",
            NotA("a whole number from 1 to 1000"),
        ),
        (
            json!({"stream_storage_mb": 0}),
            "/stream_storage_mb",
            NotA("a whole number from 1 to 9000"),
        ),
        (
            json!({"stream_storage_mb": 9001}),
            "/stream_storage_mb",
            NotA("a whole number from 1 to 9000"),
        ),
        (
            json!({"subject_changes_per_minute": 0}),
            "/subject_changes_per_minute",
            NotA("a whole number from 1 to 1000000"),
        ),
        (
            json!({"subject_changes_per_minute": 1_000_001}),
            "/subject_changes_per_minute",
            NotA("a whole number from 1 to 1000000"),
        ),
        (json!({"retention": 1}), "/retention", UnknownMember),
        (json!({"retention": null}), "/retention", UnknownMember),
        (
            json!({"issuer": "https://a.example"}),
            "/issuer",
            Refused("cannot be set"),
        ),
        (json!({"created_at": null}), "/created_at", Refused("cannot be set")),
    ] {
        let expected = Invalid {
            pointer: pointer.into(),
            problem,
        };
        assert_eq!(
            TenantSettings::default().patched(&settings).as_ref(),
            Err(&expected),
            "{settings}"
        );
        assert_eq!(new(settings.clone()), Err(expected), "{settings}");
    }
    let no_object = Invalid::here(NotA("an object"));
    assert_eq!(TenantSettings::parse_new(&json!("acme")), Err(no_object.clone()));
    assert_eq!(TenantSettings::default().patched(&json!([])), Err(no_object));
    assert_eq!(
        TenantSettings::parse_new(&json!({})),
        Err(Invalid::at("tenant", Missing))
    );
    assert_eq!(
        TenantSettings::parse_new(&json!({"tenant": null})),
        Err(Invalid::at("tenant", NotA("a string")))
    );
    assert_eq!(
        TenantSettings::default().patched(&json!({"tenant": "acme"})),
        Err(Invalid::at("tenant", Refused("cannot be changed")))
    );
}

/// What is accepted is within bounds: shown, it is accepted again with the same meaning.
#[test]
fn no_body_upsets_the_parser() {
    let mut numbers = chosen();
    numbers["tenant"] = json!("acme");
    let few =
        r#"{"tenant":"a-1","stream_storage_mb":9000,"critical_subject_members":["user"],"inactivity_timeout":null}"#;
    let mut accepted = 0;
    for bytes in mutate::variants(&[&numbers.to_string(), few], 20_000) {
        let Ok(body) = serde_json::from_slice::<Value>(&bytes) else {
            continue;
        };
        if let Ok((name, settings)) = TenantSettings::parse_new(&body) {
            accepted += 1;
            assert!(is_tenant_name(&name), "{body}");
            let mut shown = settings.to_json();
            shown.insert("tenant".into(), json!(name));
            let (_, again) = TenantSettings::parse_new(&Value::Object(shown)).unwrap();
            assert_eq!(again.to_json(), settings.to_json(), "{body}");
        }
    }
    assert!(accepted > 500, "the seeds are no longer near the rules: {accepted}");
}
