//! What an event is wrapped in: a SET's claims, or a CloudEvent. An accepted event is stored in its final form; one that waits
//! while its stream takes the other form is wrapped anew when it leaves.

use serde_json::Value;

use super::forward;

use crate::protocol::cloudevent::{CloudEvent, Outgoing};
use crate::protocol::json::parse_strict;
use crate::protocol::set::{Audience, Claims, Envelope};

/// How a stored CloudEvent begins, and a SET's claims never do.
const CLOUDEVENT: &[u8] = br#"{"specversion":"#;

/// Deepest stored event.
const MAX_DEPTH: usize = 64;

pub fn is_cloudevent(stored: &[u8]) -> bool {
    stored.starts_with(CLOUDEVENT)
}

/// A stored CloudEvent as the claims of a SET; `iat` in seconds. What is no such event stays as it is.
pub fn to_set(stored: &[u8], iss: &str, aud: &Audience, iat: i64) -> Vec<u8> {
    let read = || {
        let document = parse_strict(stored, MAX_DEPTH).ok()?;
        let event = CloudEvent::from_structured(document).ok()?;
        let data = event.data?;
        let (sub_id, inside) = (data.get("sub_id")?.to_string(), data.get("event")?.to_string());
        let envelope = Envelope {
            iss,
            jti: &event.id,
            iat,
            aud,
            txn: data.get("txn").and_then(Value::as_str),
            // The time of acceptance is in the place of one that the publisher did not say.
            toe: event.time.filter(|time| *time != iat),
            sub_id: &sub_id,
            event_type: &event.event_type,
            event: &inside,
        };
        Some(envelope.to_claims())
    };
    read().unwrap_or_else(|| stored.to_vec())
}

/// Stored claims of a SET as a CloudEvent from `source`. It has no number in the order of the stream: those are given when
/// events are accepted.
pub fn to_cloudevent(stored: &[u8], source: &str) -> Vec<u8> {
    let Ok(claims) = Claims::parse(stored) else {
        return stored.to_vec();
    };
    Outgoing {
        id: &claims.jti,
        source,
        event_type: &claims.event_type,
        time_s: claims.toe.unwrap_or(claims.iat),
        sequence: None,
        traceparent: None,
        tracestate: None,
        sub_id: &claims.sub_id.to_string(),
        event: &claims.event.to_string(),
        txn: claims.txn.as_deref(),
    }
    .to_structured()
}

/// The event type and the subject of a stored event, for whoever looks at it; null where there is none.
pub fn type_and_subject(stored: &[u8]) -> (Value, Value) {
    let mut document = forward::shown(stored).unwrap_or_default();
    if is_cloudevent(stored) {
        let sub_id = document.pointer_mut("/data/sub_id").map(Value::take);
        return (member(&mut document, "type"), sub_id.unwrap_or_default());
    }
    let events = document.get("events").and_then(Value::as_object);
    let event_type = events.and_then(|events| events.keys().next().cloned());
    (event_type.into(), member(&mut document, "sub_id"))
}

fn member(document: &mut Value, name: &str) -> Value {
    document.get_mut(name).map(Value::take).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TYPE: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

    fn claims(toe: Option<i64>) -> Vec<u8> {
        Envelope {
            iss: "https://tx.example",
            jti: "j-1",
            iat: 1_795_262_400,
            aud: &Audience::One("https://rx.example".into()),
            txn: Some("t-1"),
            toe,
            sub_id: r#"{"format":"email","email":"ana@example.com"}"#,
            event_type: TYPE,
            event: r#"{"initiating_entity":"admin"}"#,
        }
        .to_claims()
    }

    #[test]
    fn an_event_says_the_same_in_either_form() {
        for toe in [Some(1_795_000_000), None] {
            let set = claims(toe);
            assert!(!is_cloudevent(&set));
            let event = to_cloudevent(&set, "https://tx.example/streams/s1");
            assert!(is_cloudevent(&event));
            let document: Value = serde_json::from_slice(&event).unwrap();
            assert_eq!(
                document,
                json!({
                    "specversion": "1.0", "id": "j-1", "source": "https://tx.example/streams/s1", "type": TYPE,
                    "time": if toe.is_some() { "2026-11-18T11:06:40Z" } else { "2026-11-21T12:00:00Z" },
                    "datacontenttype": "application/json",
                    "data": {
                        "sub_id": {"format": "email", "email": "ana@example.com"},
                        "event": {"initiating_entity": "admin"},
                        "txn": "t-1",
                    },
                })
            );
            let subject = json!({"format": "email", "email": "ana@example.com"});
            for stored in [&set, &event] {
                assert_eq!(type_and_subject(stored), (json!(TYPE), subject.clone()));
            }
            let back = to_set(
                &event,
                "https://tx.example",
                &Audience::One("https://rx.example".into()),
                1_795_262_400,
            );
            let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
            assert_eq!(read(&back), read(&set), "{toe:?}");
        }
    }

    #[test]
    fn what_is_neither_stays_as_it_is() {
        let aud = Audience::One("a".into());
        assert_eq!(to_set(b"{}", "i", &aud, 1), b"{}");
        assert_eq!(to_cloudevent(b"{}", "s"), b"{}");
        assert_eq!(type_and_subject(b"{}"), (Value::Null, Value::Null));
        assert_eq!(type_and_subject(b"no"), (Value::Null, Value::Null));
    }
}
