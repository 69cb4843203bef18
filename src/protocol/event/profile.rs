//! What some receivers want of an event object beyond SSF 1.0, chosen per client.

use std::borrow::Cow;

use serde_json::Value;

use super::Family;
use crate::protocol::json::json;
use crate::protocol::record::Record;

/// How the events of a client's streams look. The subject is always in `sub_id` too (SSF-3.1-1, SSF-3.1.1-2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Record)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// As published.
    #[default]
    Ssf,
    /// What the CAEP Interoperability Profile 1.0 promises.
    CaepInterop,
    /// The subject also where it was before SSF 1.0, for receivers of that time.
    LegacySubject,
}

impl Profile {
    /// The value of the `profile` member.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Ssf => "ssf",
            Profile::CaepInterop => "caep_interop",
            Profile::LegacySubject => "legacy_subject",
        }
    }
}

/// The event object as a client of this profile gets it.
///
/// `LegacySubject` repeats `sub_id` as the member `subject` of CAEP's and RISC's events (SSF-3.1.1-1), never of others
/// (SSF-3.1.2-2), and never over a `subject` that the publisher gave. `CaepInterop` gives CAEP's two interoperable events a
/// `reason_admin` that says something (CIP-3.1-2, CIP-3.2-4), if only that nothing was said.
pub fn shape<'a>(profile: Profile, event_type: &str, sub_id: &Value, event: &'a Value) -> Cow<'a, Value> {
    let known = match profile {
        Profile::Ssf => None,
        Profile::LegacySubject | Profile::CaepInterop => super::find(event_type),
    };
    let Some(known) = known else {
        return Cow::Borrowed(event);
    };
    let mut shaped = event.clone();
    let Some(members) = shaped.as_object_mut() else {
        return Cow::Borrowed(event);
    };
    match profile {
        Profile::Ssf => {}
        Profile::LegacySubject => {
            members.entry("subject").or_insert_with(|| sub_id.clone());
        }
        Profile::CaepInterop => {
            let interoperable =
                known.family == Family::Caep && matches!(known.name, "session-revoked" | "credential-change");
            if interoperable && !says_something(members.get("reason_admin")) {
                members.insert("reason_admin".to_owned(), json!({"en": "No reason was given."}));
            }
        }
    }
    Cow::Owned(shaped)
}

/// Whether at least one language has a message (CIP-3.2-5).
fn says_something(reason: Option<&Value>) -> bool {
    reason.and_then(Value::as_object).is_some_and(|messages| {
        messages
            .values()
            .any(|message| message.as_str().is_some_and(|text| !text.is_empty()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::{STREAM_UPDATED, VERIFICATION};
    use super::*;
    use crate::protocol::record;
    use serde_json::json;

    #[test]
    fn each_profile_shapes_what_it_is_about() {
        const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type";
        const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type";
        let sub_id = json!({"format": "email", "email": "ana@quarry.example"});
        let subject = || json!({"subject": sub_id});
        let filled = || json!({"reason_admin": {"en": "No reason was given."}});
        let given = || json!({"reason_admin": {"de": "", "en": "Policy"}});
        let change = json!({"credential_type": "pin", "change_type": "create"});
        let with = |event: &Value, more: Value| {
            let mut event = event.clone();
            event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            event
        };
        // The event object as published, as caep_interop has it, and as legacy_subject has it.
        for (event_type, event, interop, legacy) in [
            // SSF-3.1.1-1; CIP-3.1-2, CIP-3.2-4
            (format!("{CAEP}/session-revoked"), json!({}), filled(), subject()),
            (
                format!("{CAEP}/credential-change"),
                change.clone(),
                with(&change, filled()),
                with(&change, subject()),
            ),
            // CIP-3.2-5: one message is enough, and no message or the wrong shape is none.
            (
                format!("{CAEP}/session-revoked"),
                given(),
                given(),
                with(&given(), subject()),
            ),
            (
                format!("{CAEP}/session-revoked"),
                json!({"reason_admin": {"en": ""}}),
                filled(),
                json!({"reason_admin": {"en": ""}, "subject": sub_id}),
            ),
            (
                format!("{CAEP}/session-revoked"),
                json!({"reason_admin": {}}),
                filled(),
                json!({"reason_admin": {}, "subject": sub_id}),
            ),
            (
                format!("{CAEP}/session-revoked"),
                json!({"reason_admin": "plain"}),
                filled(),
                json!({"reason_admin": "plain", "subject": sub_id}),
            ),
            // The other types have no duty to say why.
            (
                format!("{CAEP}/session-established"),
                json!({"acr": "1"}),
                json!({"acr": "1"}),
                json!({"acr": "1", "subject": sub_id}),
            ),
            (format!("{RISC}/sessions-revoked"), json!({}), json!({}), subject()),
            (
                format!("{RISC}/account-purged"),
                json!({"a": 1}),
                json!({"a": 1}),
                json!({"a": 1, "subject": sub_id}),
            ),
            // What the publisher put there stays.
            (
                format!("{RISC}/account-purged"),
                json!({"subject": {"format": "opaque", "id": "1"}}),
                json!({"subject": {"format": "opaque", "id": "1"}}),
                json!({"subject": {"format": "opaque", "id": "1"}}),
            ),
            // SSF-3.1.2-1, SSF-3.1.2-2: neither new types nor SSF's own have the old place.
            (VERIFICATION.to_owned(), json!({}), json!({}), json!({})),
            (
                STREAM_UPDATED.to_owned(),
                json!({"status": "paused"}),
                json!({"status": "paused"}),
                json!({"status": "paused"}),
            ),
            ("urn:quarry:session-revoked".to_owned(), json!({}), json!({}), json!({})),
            (format!("{CAEP}/of-tomorrow"), json!({}), json!({}), json!({})),
        ] {
            for (profile, expected) in [
                (Profile::Ssf, &event),
                (Profile::CaepInterop, &interop),
                (Profile::LegacySubject, &legacy),
            ] {
                assert_eq!(
                    *shape(profile, &event_type, &sub_id, &event),
                    *expected,
                    "{profile:?} {event_type} {event}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_object_is_left_alone() {
        let event_type = super::super::SUPPORTED[0].uri;
        for profile in [Profile::Ssf, Profile::CaepInterop, Profile::LegacySubject] {
            assert_eq!(*shape(profile, event_type, &json!({}), &json!(null)), json!(null));
        }
    }

    #[test]
    fn a_profile_is_stored_under_its_name() {
        for profile in [Profile::Ssf, Profile::CaepInterop, Profile::LegacySubject] {
            assert_eq!(record::text(&profile), format!("\"{}\"", profile.name()));
            assert_eq!(Profile::from_json(json!(profile.name())).unwrap(), profile);
        }
        assert_eq!(Profile::default(), Profile::Ssf);
    }
}
