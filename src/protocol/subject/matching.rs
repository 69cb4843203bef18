//! When two subjects are the same, and when an event is about a subject that a receiver named (SSF 1.0 section 8.1.3.1).

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{ALIASES, COMPLEX};
use crate::protocol::json::canonical;
use crate::protocol::list::insert_sorted;
use crate::protocol::set::first_bytes;

/// A text that two subjects share exactly when they are identical: the same members with the same values, code point by
/// code point, in whatever order they are written (SSF-8.1.3.1-2, SSF-8.1.3.1-5).
///
/// The identifiers of an `aliases` count as a set (SSF-8.1.3.1-7), and the format name `phone` is taken for the
/// `phone_number` it means (SSF-8.1.3.3-5); both also inside a complex subject.
pub fn identity(value: &Value) -> String {
    canonical(&normal(value))
}

/// The first 16 bytes of the SHA-256 of [`identity`]: a name of fixed length for a subject.
pub fn fingerprint(value: &Value) -> [u8; 16] {
    first_bytes(&Sha256::digest(identity(value)))
}

/// The members of a complex subject, by name; nothing for a simple one. `format` is no member (SSF-8.1.3.1-9).
pub fn members(value: &Value) -> Option<Vec<(&str, &Value)>> {
    if value.get("format")?.as_str()? != COMPLEX {
        return None;
    }
    let all = value.as_object()?.iter().map(|(name, member)| (name.as_str(), member));
    // By name: maps are sorted (see `json::canonical`).
    let members: Vec<_> = all.filter(|(name, _)| *name != "format").collect();
    // SSF-3.3-1: without members it is no complex subject, and must not be one that matches every other.
    (!members.is_empty()).then_some(members)
}

fn normal(value: &Value) -> Value {
    let mut value = value.clone();
    let Some(members) = value.as_object_mut() else {
        return value;
    };
    match members.get("format").and_then(Value::as_str) {
        Some(COMPLEX) => {
            for (_, member) in members.iter_mut() {
                *member = normal(member);
            }
        }
        Some(ALIASES) => {
            if let Some(Value::Array(identifiers)) = members.get_mut("identifiers") {
                let mut set: Vec<String> = Vec::new();
                for identifier in identifiers.iter() {
                    insert_sorted(&mut set, identity(identifier));
                }
                *identifiers = set.into_iter().map(Value::String).collect();
            }
        }
        // With other members it is a format that the two sides have agreed on.
        Some("phone") if members.len() == 2 && members.contains_key("phone_number") => {
            members.insert("format".to_owned(), "phone_number".into());
        }
        _ => {}
    }
    value
}

/// Whether an event about `event` is about the added subject: to the letter, one subject with one other. The transmitter asks
/// an index instead, which the tests hold against this.
///
/// Simple subjects match when identical, complex ones when no member that both have differs (SSF-8.1.3.1-3), a simple and a
/// complex one never (SSF-8.1.3.1-6). `require_shared_member` refuses complex subjects without a common member
/// (SSF-8.1.3.1-8).
#[cfg(test)]
pub fn matches(added: &Value, event: &Value, require_shared_member: bool) -> bool {
    match (members(added), members(event)) {
        (None, None) => identity(added) == identity(event),
        (Some(added), Some(event)) => {
            let mut shared = added.iter().filter_map(|(name, member)| {
                let other = event.iter().find(|(other, _)| name == other)?.1;
                Some(identity(member) == identity(other))
            });
            match shared.next() {
                None => !require_shared_member,
                Some(first) => first && shared.all(|same| same),
            }
        }
        _ => false,
    }
}

/// Whether a removal suppresses an event about `event`: all members of the removed subject are in the event's, and identical.
/// The wildcard works one way only, so that an unrelated removal cannot hide a narrow event (SSF-8.1.3.3-3).
#[cfg(test)]
pub fn covers(removed: &Value, event: &Value) -> bool {
    match (members(removed), members(event)) {
        (None, None) => identity(removed) == identity(event),
        (Some(removed), Some(event)) => removed.iter().all(|(name, member)| {
            let mut of_that_name = event.iter().filter(|(other, _)| name == other);
            of_that_name.any(|(_, other)| identity(member) == identity(other))
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    /// A complex subject of opaque members: `"tenant=A user=u"`.
    fn complex(members: &str) -> Value {
        let mut subject = json!({"format": "complex"});
        for member in members.split_whitespace() {
            let (name, id) = member.split_once('=').unwrap();
            subject[name] = json!({"format": "opaque", "id": id});
        }
        subject
    }

    #[test]
    fn subjects_are_identical_however_they_are_written() {
        for (left, right, same) in [
            // SSF-8.1.3.1-5: order and escapes are spelling; case, white space and further members are not.
            (
                r#"{"format":"iss_sub","iss":"i","sub":"s"}"#,
                r#"{"sub":"s", "iss":"\u0069","format":"iss_sub"}"#,
                true,
            ),
            (
                r#"{"format":"email","email":"a@x"}"#,
                r#"{"format":"email","email":"A@x"}"#,
                false,
            ),
            (
                r#"{"format":"email","email":"a@x"}"#,
                r#"{"format":"email","email":"a@x "}"#,
                false,
            ),
            (
                r#"{"format":"opaque","id":"1"}"#,
                r#"{"format":"opaque","id":"1","extra":null}"#,
                false,
            ),
            (
                r#"{"format":"opaque","id":"1"}"#,
                r#"{"format":"opaque","id":1}"#,
                false,
            ),
            // No composed and decomposed forms are folded.
            (
                "{\"format\":\"opaque\",\"id\":\"\u{e9}\"}",
                "{\"format\":\"opaque\",\"id\":\"e\u{301}\"}",
                false,
            ),
            // The order of other arrays counts.
            (
                r#"{"format":"ip-addresses","ip-addresses":["::1","::2"]}"#,
                r#"{"format":"ip-addresses","ip-addresses":["::2","::1"]}"#,
                false,
            ),
            // SSF-8.1.3.1-7: aliases are a set, and another subject than the one they hold.
            (
                r#"{"format":"aliases","identifiers":[{"format":"opaque","id":"1"},{"format":"opaque","id":"2"}]}"#,
                r#"{"identifiers":[{"id":"2","format":"opaque"},{"id":"1","format":"opaque"}],"format":"aliases"}"#,
                true,
            ),
            (
                r#"{"format":"aliases","identifiers":[{"format":"opaque","id":"1"},{"format":"opaque","id":"2"}]}"#,
                r#"{"format":"aliases","identifiers":[{"format":"opaque","id":"1"}]}"#,
                false,
            ),
            (
                r#"{"format":"aliases","identifiers":[{"format":"phone","phone_number":"+1"},{"format":"phone_number","phone_number":"+1"}]}"#,
                r#"{"format":"aliases","identifiers":[{"format":"phone_number","phone_number":"+1"}]}"#,
                true,
            ),
            (
                r#"{"format":"aliases","identifiers":[{"format":"opaque","id":"1"}]}"#,
                r#"{"format":"opaque","id":"1"}"#,
                false,
            ),
            (
                r#"{"format":"aliases","identifiers":[{"a":1}]}"#,
                r#"{"format":"aliases","identifiers":["{\"a\":1}"]}"#,
                false,
            ),
            (
                r#"{"format":"opaque","identifiers":["1","2"]}"#,
                r#"{"format":"opaque","identifiers":["2","1"]}"#,
                false,
            ),
            // SSF-8.1.3.3-5
            (
                r#"{"format":"phone","phone_number":"+1"}"#,
                r#"{"format":"phone_number","phone_number":"+1"}"#,
                true,
            ),
            (
                r#"{"format":"phone","id":"+1"}"#,
                r#"{"format":"phone_number","id":"+1"}"#,
                false,
            ),
            (
                r#"{"format":"phone","phone_number":"+1","sim":2}"#,
                r#"{"format":"phone_number","phone_number":"+1","sim":2}"#,
                false,
            ),
            (
                r#"{"format":"aliases","identifiers":[{"format":"phone","phone_number":"+1"}]}"#,
                r#"{"format":"aliases","identifiers":[{"format":"phone_number","phone_number":"+1"}]}"#,
                true,
            ),
            // Inside a complex subject as outside.
            (
                r#"{"format":"complex","a":{"format":"phone","phone_number":"+1"},"b":{"format":"aliases","identifiers":[{"format":"x"},{"format":"y"}]}}"#,
                r#"{"b":{"format":"aliases","identifiers":[{"format":"y"},{"format":"x"}]},"a":{"format":"phone_number","phone_number":"+1"},"format":"complex"}"#,
                true,
            ),
            (
                r#"{"format":"complex","user":{"format":"opaque","id":"1"}}"#,
                r#"{"format":"complex","device":{"format":"opaque","id":"1"}}"#,
                false,
            ),
        ] {
            let (left, right) = (parsed(left), parsed(right));
            assert_eq!(identity(&left) == identity(&right), same, "{left} {right}");
            assert_eq!(fingerprint(&left) == fingerprint(&right), same, "{left} {right}");
            assert_eq!(identity(&left), identity(&left.clone()));
        }
    }

    #[test]
    fn what_is_no_subject_has_an_identity_all_the_same() {
        for value in [json!(null), json!("a"), json!([1]), json!({}), json!({"format": 7})] {
            assert_eq!(identity(&value), canonical(&value));
            assert_eq!(members(&value), None);
        }
        assert_eq!(members(&json!({"format": "complex"})), None); // SSF-3.3-1
    }

    /// SSF-8.1.3.1-2, -3, -6, -8, -9 and pitfall 34: added subject, event's subject, by the letter, and with the guard.
    #[test]
    fn events_about_an_added_subject_are_recognised() {
        for (added, event, literal, guarded) in [
            ("tenant=A", "tenant=A user=u", true, true),
            ("user=u device=d", "user=u", true, true),
            ("user=u device=d", "user=u device=d", true, true),
            ("user=u group=g1", "user=u group=g2", false, false),
            ("tenant=A", "tenant=B user=u", false, false),
            ("tenant=A user=u", "tenant=A device=d", true, true),
            ("tenant=A user=u", "tenant=A user=v", false, false),
            ("user=u", "device=d", true, false),
            ("tenant=A", "user=u", true, false),
            ("badge=1 user=u", "badge=2 user=u", false, false),
            ("badge=1", "badge=1 user=u", true, true),
        ] {
            for (added, event) in [(added, event), (event, added)] {
                let (added, event) = (complex(added), complex(event));
                assert_eq!(matches(&added, &event, false), literal, "{added} {event}");
                assert_eq!(matches(&added, &event, true), guarded, "{added} {event}");
            }
        }
        let email = |address: &str| json!({"format": "email", "email": address});
        for guard in [false, true] {
            assert!(matches(&email("a@x"), &email("a@x"), guard));
            assert!(!matches(&email("a@x"), &email("A@x"), guard));
            let whole = json!({"format": "complex", "user": email("a@x")});
            assert!(!matches(&email("a@x"), &whole, guard)); // SSF-8.1.3.1-6
            assert!(!matches(&whole, &email("a@x"), guard));
        }
    }

    /// SSF-8.1.3.3-3: removed subject, event's subject.
    #[test]
    fn a_removal_covers_the_events_that_have_all_it_names() {
        for (removed, event, covered) in [
            ("tenant=A", "tenant=A user=u", true),
            ("tenant=A user=u", "tenant=A user=u", true),
            ("tenant=A user=u", "tenant=A", false),
            ("tenant=A user=u", "tenant=A user=v", false),
            ("tenant=A", "user=u", false),
            ("badge=1", "badge=1 user=u", true),
        ] {
            assert_eq!(covers(&complex(removed), &complex(event)), covered, "{removed} {event}");
        }
        let user = json!({"format": "opaque", "id": "u"});
        assert!(covers(&user, &user));
        assert!(!covers(&user, &json!({"format": "opaque", "id": "v"})));
        assert!(!covers(&user, &complex("user=u")));
        assert!(!covers(&complex("user=u"), &user));
    }
}
