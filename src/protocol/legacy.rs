//! Shapes of before SSF 1.0 that some transmitters still send, taken where a source says so and brought into today's shape
//! before anything is judged. The SET itself is kept as it came.

use serde::Serialize;
use serde_json::{Map, Value};

use super::event::{STREAM_UPDATED, VERIFICATION};
use super::list;
use super::problem::{self, Invalid, Problem};
use super::record::Record;
use super::set::SetError;

const NAMES: &[&str] = &["subject_in_event", "event_uris", "typ", "risc_configuration"];

/// Where SSF's own two events lived before (pitfall 9).
const OLD_FAMILIES: [&str; 3] = ["sse", "caep", "risc"];

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Record)]
pub struct Legacy {
    /// The subject is a member of the event, and may say `subject_type` (RISC-3.1-3).
    pub subject_in_event: bool,
    /// Verification and stream-updated under the URIs of drafts.
    pub event_uris: bool,
    /// The header has no `typ`, or `JWT`.
    pub typ: bool,
    /// The metadata is at `risc-configuration`.
    pub risc_configuration: bool,
}

impl Legacy {
    /// For reading what was accepted.
    pub const ANY: Self = Self {
        subject_in_event: true,
        event_uris: true,
        typ: true,
        risc_configuration: true,
    };

    pub fn parse(value: &Value) -> Result<Self, Invalid> {
        let names = list::distinct(value, 0..=NAMES.len(), &|entry| {
            let name = problem::text(entry, 64)?;
            let known = NAMES.contains(&name).then(|| name.to_owned());
            known.ok_or_else(|| Invalid::here(Problem::NotOneOf(NAMES)))
        })?;
        let has = |name: &str| names.iter().any(|given| given == name);
        Ok(Self {
            subject_in_event: has("subject_in_event"),
            event_uris: has("event_uris"),
            typ: has("typ"),
            risc_configuration: has("risc_configuration"),
        })
    }

    pub fn names(self) -> Vec<&'static str> {
        let given = [
            self.subject_in_event,
            self.event_uris,
            self.typ,
            self.risc_configuration,
        ];
        NAMES
            .iter()
            .zip(given)
            .filter_map(|(name, given)| given.then_some(*name))
            .collect()
    }

    /// Brings claims into today's shape.
    pub fn respell(self, claims: &mut Value) -> Result<(), SetError> {
        let Some(members) = claims.as_object_mut() else {
            return Ok(());
        };
        if self.event_uris
            && let Some(events) = members.get_mut("events").and_then(Value::as_object_mut)
        {
            let known = std::mem::take(events);
            let count = known.len();
            events.extend(known.into_iter().map(|(uri, event)| (today(uri), event)));
            // Two names of one event are two events all the same (SSF-4.2.1-4).
            if events.len() < count {
                return Err(SetError::EventCount(count));
            }
        }
        match self.subject_in_event {
            true => lift_subject(members),
            false => Ok(()),
        }
    }
}

/// SSF-3.1.1-3: the event's own subject counts where there is no other; two that differ make the SET invalid.
fn lift_subject(claims: &mut Map<String, Value>) -> Result<(), SetError> {
    let events = claims.get("events").and_then(Value::as_object);
    let event = events.and_then(|events| events.values().next());
    let Some(mut subject) = event
        .and_then(|event| event.get("subject"))
        // What an event calls its `subject` is one only if it looks like one.
        .filter(|subject| {
            ["format", "subject_type"]
                .iter()
                .any(|name| subject.get(name).is_some())
        })
        .cloned()
    else {
        return Ok(());
    };
    if let Some(members) = subject.as_object_mut()
        && !members.contains_key("format")
        && let Some(Value::String(kind)) = members.remove("subject_type")
    {
        let kind = if kind == "iss-sub" { "iss_sub".to_owned() } else { kind };
        members.insert("format".to_owned(), Value::String(kind));
    }
    match claims.get("sub_id") {
        Some(known) if *known != subject => Err(SetError::Subject),
        Some(_) => Ok(()),
        None => {
            claims.insert("sub_id".to_owned(), subject);
            Ok(())
        }
    }
}

/// What an event of a draft is called today.
pub fn today(uri: String) -> String {
    let rest = uri.strip_prefix("https://schemas.openid.net/secevent/");
    let name = rest.and_then(|rest| rest.split_once("/event-type/"));
    match name {
        Some((family, "verification")) if OLD_FAMILIES.contains(&family) => VERIFICATION.to_owned(),
        Some((family, "stream-updated")) if OLD_FAMILIES.contains(&family) => STREAM_UPDATED.to_owned(),
        _ => uri,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_read_and_shown() {
        let legacy = Legacy::parse(&json!(["typ", "event_uris"])).unwrap();
        assert!(legacy.typ && legacy.event_uris && !legacy.subject_in_event);
        assert_eq!(legacy.names(), ["event_uris", "typ"]);
        assert_eq!(Legacy::parse(&json!(["x"])).unwrap_err().pointer, "/0");
        assert_eq!(Legacy::parse(&json!([])).unwrap(), Legacy::default());
    }

    /// SSF-3.1.1-3, RISC-3.1-3, pitfalls 2 and 9.
    #[test]
    fn old_shapes_become_todays_and_only_where_that_is_wanted() {
        let old = json!({"events": {"https://schemas.openid.net/secevent/sse/event-type/verification":
                                    {"subject": {"subject_type": "iss-sub", "iss": "i", "sub": "s"}}}});
        let mut same = old.clone();
        Legacy::default().respell(&mut same).unwrap();
        assert_eq!(same, old);
        let mut claims = old.clone();
        let all = Legacy::ANY;
        all.respell(&mut claims).unwrap();
        assert_eq!(claims["sub_id"], json!({"format": "iss_sub", "iss": "i", "sub": "s"}));
        assert!(claims["events"].get(VERIFICATION).is_some());
        all.respell(&mut claims).unwrap();
        claims["sub_id"] = json!({"format": "opaque", "id": "1"});
        assert_eq!(all.respell(&mut claims), Err(SetError::Subject), "two that differ");
        for mut odd in [
            json!([]),
            json!({}),
            json!({"events": {}}),
            json!({"events": {"a": {"subject": "ana"}}}),
            json!({"sub_id": {"format": "opaque", "id": "1"}, "events": {"a": {"subject": {"text": "Hi"}}}}),
        ] {
            let before = odd.clone();
            all.respell(&mut odd).unwrap();
            assert_eq!(odd, before);
        }
        let old = |family: &str| format!("https://schemas.openid.net/secevent/{family}/event-type/verification");
        let mut two = json!({"events": {old("sse"): {"state": "a"}, old("ssf"): {"state": "b"}}});
        assert_eq!(all.respell(&mut two), Err(SetError::EventCount(2)));
    }
}
