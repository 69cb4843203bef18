//! A stored event taken apart again. It was judged before it was stored: here nothing is checked, and what cannot be read is
//! not there.

use serde_json::{Map, Value};

use super::cloudevent::CloudEvent;
use super::jose::jws;
use super::json;
use super::legacy::Legacy;

/// What a stored event says, whatever it came in.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// The issuer of a SET, the `source` of a CloudEvent.
    pub iss: String,
    /// With `iss` the identity of the event.
    pub jti: String,
    pub event_type: String,
    pub sub_id: Value,
    pub event: Value,
    pub txn: Option<String>,
    /// Seconds since 1970.
    pub toe: Option<i64>,
    /// Of a SET, in seconds since 1970.
    pub iat: Option<i64>,
    /// Its number, as whoever sent a CloudEvent counts.
    pub sequence: Option<String>,
    /// Of a SET: byte for byte as they were signed.
    pub claims: Option<Vec<u8>>,
}

/// Whether the raw form is a CloudEvent's: no compact SET begins so.
pub fn is_cloudevent(raw: &str) -> bool {
    raw.trim_ascii_start().starts_with('{')
}

impl Received {
    /// Takes the raw form of a stored event apart.
    pub fn read(raw: &str) -> Option<Self> {
        if is_cloudevent(raw) {
            let event = CloudEvent::from_structured(serde_json::from_str(raw).ok()?).ok()?;
            return Self::of_cloudevent(event);
        }
        let claims = jws::parse(raw).ok()?.assume_verified().claims;
        Self::of_claims(claims)
    }

    /// The claims of a SET that was verified.
    pub fn of_claims(bytes: Vec<u8>) -> Option<Self> {
        let mut claims = json::read(&bytes)?;
        let is_of_today = claims.get("sub_id").is_some();
        let legacy = Legacy {
            // Beside a subject of today's place the event may have a `subject` of its own, which is nobody's business here.
            subject_in_event: !is_of_today,
            ..Legacy::ANY
        };
        legacy.respell(&mut claims).ok()?;
        let Value::Object(mut claims) = claims else {
            return None;
        };
        let (event_type, mut event) = match claims.remove("events")? {
            Value::Object(events) => events.into_iter().next()?,
            _ => return None,
        };
        // It has another place now.
        if let Some(event) = event.as_object_mut().filter(|_| !is_of_today) {
            event.remove("subject");
        }
        Some(Self {
            iss: text(&mut claims, "iss")?,
            jti: text(&mut claims, "jti")?,
            event_type,
            sub_id: claims.remove("sub_id").unwrap_or_default(),
            event,
            txn: text(&mut claims, "txn"),
            toe: seconds(&claims, "toe"),
            iat: seconds(&claims, "iat"),
            sequence: None,
            claims: Some(bytes),
        })
    }

    /// A CloudEvent whose data is what our own have: whom it is about, and maybe what happened.
    pub fn of_cloudevent(event: CloudEvent) -> Option<Self> {
        let Some(Value::Object(mut data)) = event.data else {
            return None;
        };
        Some(Self {
            iss: event.source,
            jti: event.id,
            event_type: event.event_type,
            sub_id: data.remove("sub_id").unwrap_or_default(),
            event: data.remove("event").unwrap_or_else(|| Value::Object(Map::new())),
            txn: text(&mut data, "txn"),
            toe: event.time.filter(|time| *time >= 0),
            iat: None,
            sequence: event.sequence,
            claims: None,
        })
    }
}

fn text(members: &mut Map<String, Value>, name: &str) -> Option<String> {
    match members.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// Whole seconds; a fraction is cut off.
fn seconds(members: &Map<String, Value>, name: &str) -> Option<i64> {
    let number = members.get(name)?.as_f64()?;
    (number >= 0.0).then_some(number.floor() as i64)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use base64ct::{Base64UrlUnpadded, Encoding};
    use serde_json::json;

    const TYPE: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

    /// A SET of these claims that nobody signed.
    pub fn set(claims: &Value) -> String {
        let part = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
        format!(
            "{}.{}.c2ln",
            part(&json!({"alg": "RS256", "typ": "secevent+jwt"})),
            part(claims)
        )
    }

    #[test]
    fn a_set_and_a_cloudevent_say_the_same() {
        let subject = json!({"format": "email", "email": "ana@example.com"});
        let claims = json!({"iss": "https://tx.example", "jti": "j1", "iat": 5.9, "aud": "me", "txn": "t", "toe": 4,
                            "sub_id": subject, "events": {TYPE: {"a": 1}}});
        let of_set = Received::read(&set(&claims)).unwrap();
        let cloudevent = json!({"specversion": "1.0", "id": "j1", "source": "https://tx.example", "type": TYPE,
                                "time": "1970-01-01T00:00:04Z", "sequence": "07",
                                "data": {"sub_id": subject, "event": {"a": 1}, "txn": "t"}});
        let of_cloudevent = Received::read(&cloudevent.to_string()).unwrap();
        assert_eq!((of_set.iat, of_cloudevent.iat), (Some(5), None));
        assert_eq!(of_cloudevent.sequence.as_deref(), Some("07"));
        assert_eq!(of_set.claims, Some(claims.to_string().into_bytes()));
        let alike = |received: Received| Received {
            iat: None,
            sequence: None,
            claims: None,
            ..received
        };
        assert_eq!(alike(of_set), alike(of_cloudevent));
    }

    #[test]
    fn what_is_of_another_time_or_kind_is_read_as_far_as_it_goes() {
        let legacy =
            json!({"iss": "i", "jti": "j", "events": {TYPE: {"subject": {"format": "opaque", "id": "1"}, "a": 1}}});
        let read = Received::read(&set(&legacy)).unwrap();
        assert_eq!(read.sub_id, json!({"format": "opaque", "id": "1"}));
        assert_eq!(read.event, json!({"a": 1}));
        // What was accepted is not judged again: such an event has a `subject` of its own.
        let own = json!({"subject": {"format": "email", "email": "a@b.example"}});
        let both = json!({"iss": "i", "jti": "j", "sub_id": {"format": "opaque", "id": "1"}, "events": {TYPE: own}});
        let read = Received::read(&set(&both)).unwrap();
        assert_eq!((read.sub_id, read.event), (json!({"format": "opaque", "id": "1"}), own));
        for raw in [
            "",
            "a.b",
            "{}",
            "{",
            "[]",
            &set(&json!([])),
            &set(&json!({"iss": "i", "jti": "j"})),
        ] {
            assert_eq!(Received::read(raw), None, "{raw}");
        }
    }
}
