use super::*;
use serde_json::json;

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";

fn uri(name: &str) -> String {
    let base = SUPPORTED
        .iter()
        .find(|event_type| event_type.name == name)
        .map(|event_type| event_type.family);
    format!("{}{name}", if base == Some(Family::Risc) { RISC } else { CAEP })
}

fn found(name: &str, event: &Value) -> Option<(String, Problem)> {
    validate(&uri(name), event)
        .err()
        .map(|found| (found.pointer, found.problem))
}

#[test]
fn all_types_of_both_profiles_are_there_once() {
    assert_eq!(
        SUPPORTED
            .iter()
            .filter(|event_type| event_type.family == Family::Caep)
            .count(),
        8
    );
    assert_eq!(
        SUPPORTED
            .iter()
            .filter(|event_type| event_type.family == Family::Risc)
            .count(),
        14
    );
    for event_type in SUPPORTED {
        let base = if event_type.family == Family::Caep { CAEP } else { RISC };
        assert_eq!(event_type.uri, format!("{base}{}", event_type.name));
        assert_eq!(supported_uris().iter().filter(|uri| **uri == event_type.uri).count(), 1);
        assert!(find(event_type.uri).is_some_and(|known| known.name == event_type.name));
    }
    // The transmitter's own events are not for publishers; near misses are not types.
    for other in [
        VERIFICATION,
        STREAM_UPDATED,
        "",
        "session-revoked",
        &format!("{RISC}session-revoked"),
        &format!("{CAEP}sessions-revoked"),
        &format!("{CAEP}session-revoked/"),
    ] {
        assert!(find(other).is_none(), "{other}");
    }
}

#[test]
fn good_events_pass() {
    for (name, event) in [
        ("session-revoked", json!({})), // CAEP-3.1-3
        (
            "session-revoked",
            json!({"event_timestamp": 1_795_263_000.25, "initiating_entity": "admin", "reason_admin": {"en": "x", "zh-Hant-TW": "y"},
                   "reason_user": {"es-410": "z"}, "extra": [1]}),
        ), // SSF-4.2.3-1
        ("token-claims-change", json!({"claims": {"department": null}})), // CAEP-3.2-4
        (
            "credential-change",
            json!({"credential_type": "x509", "change_type": "revoke", "x509_serial": "5f:0a"}),
        ),
        (
            "credential-change",
            json!({"credential_type": "agreed-between-us", "change_type": "create"}),
        ), // CAEP-3.3-9
        (
            "assurance-level-change",
            json!({"namespace": "our-alias", "current_level": "1", "previous_level": "2", "change_direction": "decrease"}),
        ),
        (
            "device-compliance-change",
            json!({"previous_status": "compliant", "current_status": "compliant"}),
        ), // CAEP-3.5-5
        (
            "session-established",
            json!({"fp_ua": "9c", "acr": "urn:x", "amr": ["pwd", "otp"], "ext_id": "f"}),
        ),
        ("session-presented", json!({"acr": 7})), // CAEP-3.7-3: not defined here
        (
            "risk-level-change",
            json!({"principal": "ROBOT", "current_level": "HIGH", "previous_level": "LOW", "risk_reason": "R"}),
        ), // CAEP-3.8-2
        ("account-disabled", json!({"reason": "something new"})), // RISC-2.3-2
        ("account-purged", json!({})),
        ("identifier-changed", json!({"new-value": "new@quarry.example"})),
        (
            "credential-compromise",
            json!({"credential_type": "password", "reason_admin": {"en": "x"}}),
        ),
        ("sessions-revoked", json!({})),
    ] {
        assert_eq!(found(name, &event), None, "{name} {event}");
    }
}

#[test]
fn faults_are_found_and_placed() {
    use Problem::{Empty, Missing, NotA, NotOneOf, Refused};
    for (name, event, pointer, problem) in [
        ("session-revoked", json!(null), "", NotA("an object")),
        ("session-revoked", json!([]), "", NotA("an object")),
        (
            "session-revoked",
            json!({"event_timestamp": "now"}),
            "/event_timestamp",
            NotA("a number of seconds"),
        ), // CAEP-2-1
        (
            "session-revoked",
            json!({"event_timestamp": null}),
            "/event_timestamp",
            NotA("a number of seconds"),
        ), // pitfall 16
        (
            "session-revoked",
            json!({"event_timestamp": -1}),
            "/event_timestamp",
            Refused("must not be before 1970"),
        ),
        (
            "session-revoked",
            json!({"event_timestamp": 1_795_263_000_000_u64}),
            "/event_timestamp",
            Refused("must be in seconds, not milliseconds"),
        ), // CAEP-2-7
        (
            "session-revoked",
            json!({"initiating_entity": "Admin"}),
            "/initiating_entity",
            NotOneOf(&["admin", "user", "policy", "system"]),
        ), // CAEP-2-2
        (
            "session-revoked",
            json!({"reason_admin": "plain"}),
            "/reason_admin",
            NotA("an object"),
        ), // CAEP-2-3
        ("session-revoked", json!({"reason_admin": {}}), "/reason_admin", Empty),
        (
            "session-revoked",
            json!({"reason_user": {"en": ""}}),
            "/reason_user/en",
            Empty,
        ),
        (
            "session-revoked",
            json!({"reason_user": {"en": 1}}),
            "/reason_user/en",
            NotA("a string"),
        ),
        (
            "session-revoked",
            json!({"reason_user": {"": "x"}}),
            "/reason_user/",
            Refused("must be named by a language tag (BCP 47)"),
        ),
        (
            "session-revoked",
            json!({"reason_user": {"en_GB": "x"}}),
            "/reason_user/en_GB",
            Refused("must be named by a language tag (BCP 47)"),
        ),
        (
            "session-revoked",
            json!({"reason_user": {"en-": "x"}}),
            "/reason_user/en-",
            Refused("must be named by a language tag (BCP 47)"),
        ),
        ("token-claims-change", json!({}), "/claims", Missing), // CAEP-3.2-1
        ("token-claims-change", json!({"claims": {}}), "/claims", Empty), // CAEP-3.2-4
        (
            "token-claims-change",
            json!({"claims": []}),
            "/claims",
            NotA("an object"),
        ),
        (
            "credential-change",
            json!({"change_type": "create"}),
            "/credential_type",
            Missing,
        ), // CAEP-3.3-1
        (
            "credential-change",
            json!({"credential_type": "pin"}),
            "/change_type",
            Missing,
        ),
        (
            "credential-change",
            json!({"credential_type": "", "change_type": "create"}),
            "/credential_type",
            Empty,
        ),
        (
            "credential-change",
            json!({"credential_type": "pin", "change_type": "created"}),
            "/change_type",
            NotOneOf(&["create", "revoke", "update", "delete"]),
        ), // CAEP-3.3-2
        (
            "credential-change",
            json!({"credential_type": "x509", "change_type": "create", "x509_serial": 7}),
            "/x509_serial",
            NotA("a string"),
        ), // CAEP-3.3-5
        (
            "assurance-level-change",
            json!({"current_level": "1"}),
            "/namespace",
            Missing,
        ), // CAEP-3.4-1
        (
            "assurance-level-change",
            json!({"namespace": "NIST-AAL"}),
            "/current_level",
            Missing,
        ), // CAEP-3.4-2; without CAEP-3.4-3's previous_level all is well
        (
            "assurance-level-change",
            json!({"namespace": "n", "current_level": "1", "change_direction": "up"}),
            "/change_direction",
            NotOneOf(&["increase", "decrease"]),
        ), // CAEP-3.4-4
        (
            "device-compliance-change",
            json!({"current_status": "compliant"}),
            "/previous_status",
            Missing,
        ), // CAEP-3.5-1
        (
            "device-compliance-change",
            json!({"previous_status": "compliant", "current_status": "noncompliant"}),
            "/current_status",
            NotOneOf(&["compliant", "not-compliant"]),
        ), // CAEP-3.5-2
        (
            "session-established",
            json!({"amr": "pwd"}),
            "/amr",
            NotA("an array of strings"),
        ), // CAEP-3.6-3
        (
            "session-established",
            json!({"amr": ["pwd", 1]}),
            "/amr/1",
            NotA("a string"),
        ),
        (
            "risk-level-change",
            json!({"current_level": "HIGH"}),
            "/principal",
            Missing,
        ),
        (
            "risk-level-change",
            json!({"principal": "USER", "current_level": "high"}),
            "/current_level",
            NotOneOf(&["LOW", "MEDIUM", "HIGH"]),
        ), // CAEP-3.8-3, CAEP-3.8-7
        (
            "risk-level-change",
            json!({"principal": "USER", "current_level": "HIGH", "previous_level": "NONE"}),
            "/previous_level",
            NotOneOf(&["LOW", "MEDIUM", "HIGH"]),
        ), // CAEP-3.8-4
        (
            "account-disabled",
            json!({"reason": {"en": "x"}}),
            "/reason",
            NotA("a string"),
        ),
        (
            "identifier-changed",
            json!({"new-value": 1}),
            "/new-value",
            NotA("a string"),
        ), // RISC-2.5-5
        ("credential-compromise", json!({}), "/credential_type", Missing), // RISC-2.7-2
        (
            "credential-compromise",
            json!({"credential_type": "pin", "reason_user": "plain"}),
            "/reason_user",
            NotA("an object"),
        ), // RISC-2.7-6
    ] {
        assert_eq!(
            found(name, &event),
            Some((pointer.to_owned(), problem)),
            "{name} {event}"
        );
    }
}

#[test]
fn of_other_types_only_the_outline_is_known() {
    assert_eq!(validate("urn:x:y", &json!({"claims": 1})), Ok(()));
    assert_eq!(
        validate("urn:x:y", &json!([])),
        Err(Invalid::here(Problem::NotA("an object")))
    );
}

#[test]
fn a_type_is_named_by_a_uri() {
    use Problem::{Empty, NotA, Refused, TooLong};
    let no_uri = || Some(Refused("must be a URI with a scheme"));
    let longest = format!("urn:{}", "a".repeat(2044));
    for (name, problem) in [
        (json!(uri("session-revoked")), None),
        (json!("urn:quarry:badge-lost"), None),
        (json!("https://events.quarry.example/%C3%A9?a#b"), None),
        (json!("x-y+z.1:a"), None),
        (json!(longest), None),
        (json!(format!("{longest}a")), Some(TooLong(2048))),
        (json!(""), Some(Empty)),
        (json!(null), Some(NotA("a string"))),
        (json!("session-revoked"), no_uri()),
        (json!("urn:"), no_uri()),
        (json!(":a"), no_uri()),
        (json!("1a:b"), no_uri()),
        (json!("a_b:c"), no_uri()),
        (json!("urn:a b"), no_uri()),
        (json!(" urn:a"), no_uri()),
        (json!("urn:\u{e9}"), no_uri()),
        (json!("urn:a\n"), no_uri()),
        (json!(VERIFICATION), Some(Refused("is sent by the transmitter alone"))),
        (json!(STREAM_UPDATED), Some(Refused("is sent by the transmitter alone"))),
    ] {
        assert_eq!(type_uri(&name).err().map(|found| found.problem), problem, "{name}");
    }
}

#[test]
fn a_list_of_types_names_each_once() {
    use Problem::{Duplicate, Empty, NotA, Refused, TooMany};
    let most: Vec<String> = (0..257).map(|at| format!("urn:a:{at}")).collect();
    for (list, pointer, problem) in [
        (json!("urn:a:b"), "", NotA("an array")),
        (json!([]), "", Empty),
        (json!(most), "", TooMany(256)),
        (json!(["urn:a:b", "urn:a:c", "urn:a:b"]), "/2", Duplicate),
        (json!(["urn:a:b", 1]), "/1", NotA("a string")),
        (json!([VERIFICATION]), "/0", Refused("is sent by the transmitter alone")),
    ] {
        let pointer = pointer.to_owned();
        assert_eq!(type_list(&list), Err(Invalid { pointer, problem }), "{list}");
    }
    assert_eq!(type_list(&json!(most[1..])).as_deref(), Ok(&most[1..]));
    let built_in: Vec<String> = supported_uris().into_iter().map(String::from).collect();
    assert_eq!(type_list(&json!(built_in)), Ok(built_in));
}

#[test]
fn identifier_events_are_about_an_address_or_number() {
    // RISC-2.5-2, RISC-2.6-2
    for (name, format, accepted) in [
        ("identifier-changed", "email", true),
        ("identifier-recycled", "phone_number", true),
        ("identifier-recycled", "phone", false), // RISC-2.6-3
        ("identifier-changed", "opaque", false),
        ("account-purged", "opaque", true),
        ("session-revoked", "complex", true),
    ] {
        let result = validate_subject(&uri(name), &json!({"format": format}));
        assert_eq!(result.is_ok(), accepted, "{name} {format}");
    }
}
