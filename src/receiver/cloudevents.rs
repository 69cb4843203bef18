//! A source whose events come as CloudEvents: what says so, what its secret is, and which events are its own.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::protocol::cloudevent::CloudEvent;
use crate::protocol::event;
use crate::protocol::problem::{self, Invalid, Problem};
use crate::protocol::push::ErrorBody;
use crate::protocol::received::Received;
use crate::protocol::record::Record;
use crate::protocol::set::SetErr;
use crate::protocol::webhook::WebhookSecret;

/// What the events of a source come in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Record)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// SETs, signed with a key of the issuer.
    #[default]
    Set,
    /// CloudEvents, signed with a secret of both sides or not at all.
    Cloudevent,
}

/// The secret that the sender signs with, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Record)]
pub struct SourceSecret {
    pub sealed: String,
    /// Tells it from others: a part of its hash.
    pub id: String,
}

/// What the seal of that secret authenticates, beside the object's id.
pub const SECRET_PLACE: &str = "webhook_secret";

/// Reads the member `envelope`.
pub fn form(given: Option<&Value>) -> Result<Form, Invalid> {
    match given.map(Value::as_str) {
        None | Some(Some("set")) => Ok(Form::Set),
        Some(Some("cloudevent")) => Ok(Form::Cloudevent),
        Some(_) => Err(Invalid::here(Problem::NotOneOf(&["set", "cloudevent"]))),
    }
}

/// Reads the member `webhook_secret`, which only CloudEvents are signed with.
pub fn secret(members: &Map<String, Value>, form: Form) -> Result<Option<String>, Invalid> {
    let read = |value: &Value| {
        let text = problem::text(value, 128)?;
        match WebhookSecret::parse(text) {
            Ok(_) if form == Form::Cloudevent => Ok(text.to_owned()),
            Ok(_) => Err(Invalid::here(Problem::Refused(
                "is for a source with the envelope cloudevent only",
            ))),
            Err(_) => Err(Invalid::here(Problem::Refused(
                "must be whsec_ and the base64 of 24 to 64 bytes",
            ))),
        }
    };
    let given = members.get("webhook_secret").filter(|value| !value.is_null());
    let read = given.map(read).transpose();
    read.map_err(|found| found.under("webhook_secret"))
}

/// Whether a CloudEvent from this `source` is of this issuer: the issuer itself, or below it.
pub fn is_of(issuer: &str, source: &str) -> bool {
    let Some(rest) = source.strip_prefix(issuer) else {
        return false;
    };
    let is_below = rest.is_empty() || rest.starts_with('/') || issuer.ends_with('/');
    // A path that leads up again leads elsewhere.
    is_below && !rest.split('/').any(|segment| segment == "..")
}

/// Judges an event whose sender was recognised. Of its data as much is asked as of a SET.
pub fn judge(event: CloudEvent, issuer: &str) -> Result<Received, ErrorBody> {
    let refuse = |err, description: &str| Err(ErrorBody::new(err, description.to_owned()));
    if !is_of(issuer, &event.source) {
        return refuse(
            SetErr::InvalidIssuer,
            "source is not the issuer this endpoint accepts, nor below it",
        );
    }
    let Some(received) = Received::of_cloudevent(event) else {
        return refuse(SetErr::InvalidRequest, "data is missing or not an object");
    };
    if !received.sub_id.get("format").is_some_and(Value::is_string) {
        return refuse(
            SetErr::InvalidRequest,
            "/data/sub_id is missing or not an object with a string format",
        );
    }
    if !received.event.is_object() {
        return refuse(SetErr::InvalidRequest, "/data/event is not an object");
    }
    // A type we know must be what its definition says; one we do not know is kept as it is.
    if event::find(&received.event_type).is_some()
        && let Err(found) = event::validate(&received.event_type, &received.event)
    {
        return refuse(SetErr::InvalidRequest, &found.under("event").under("data").to_string());
    }
    Ok(received)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_source_is_the_issuer_or_below_it() {
        for (issuer, source, is) in [
            ("https://tx.example", "https://tx.example", true),
            ("https://tx.example", "https://tx.example/streams/1", true),
            ("https://tx.example/", "https://tx.example/streams/1", true),
            ("https://tx.example/t/a", "https://tx.example/t/a/streams/1", true),
            ("https://tx.example/t/a", "https://tx.example/t/ab", false),
            ("https://tx.example/t/a", "https://tx.example/t/a/../b", false),
            ("https://tx.example/t/a", "https://tx.example/t", false),
            ("https://tx.example", "https://tx.example.evil", false),
            ("https://tx.example", "https://TX.example", false),
            ("https://tx.example", "urn:x:https://tx.example", false),
        ] {
            assert_eq!(is_of(issuer, source), is, "{issuer} {source}");
        }
    }

    #[test]
    fn the_data_says_whom_it_is_about_and_maybe_what_happened() {
        let revoked = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
        let event = |event_type: &str, data: Value| {
            let event = json!({"specversion": "1.0", "id": "1", "source": "https://tx.example/s", "type": event_type,
                               "data": data});
            judge(CloudEvent::from_structured(event).unwrap(), "https://tx.example")
        };
        let subject = json!({"format": "opaque", "id": "1"});
        let good = event("com.example.thing", json!({"sub_id": subject, "vendor": 1})).unwrap();
        assert_eq!((good.event, good.sub_id), (json!({}), subject.clone()));
        assert!(event(revoked, json!({"sub_id": subject, "event": {"event_timestamp": 5}})).is_ok());
        for data in [
            json!(null),
            json!([]),
            json!({}),
            json!({"sub_id": "ana"}),
            json!({"sub_id": {"format": 5}}),
            json!({"sub_id": subject, "event": []}),
            json!({"sub_id": subject, "event": {"initiating_entity": 5}}),
        ] {
            assert_eq!(
                event(revoked, data.clone()).unwrap_err().err,
                SetErr::InvalidRequest,
                "{data}"
            );
        }
    }

    #[test]
    fn a_secret_is_for_cloudevents() {
        let members = |value: Value| json!({"webhook_secret": value}).as_object().unwrap().clone();
        let good = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        assert_eq!(
            secret(&members(json!(good)), Form::Cloudevent).unwrap().as_deref(),
            Some(good)
        );
        assert_eq!(secret(&members(json!(null)), Form::Set), Ok(None));
        for (value, form) in [
            (json!(good), Form::Set),
            (json!("whsec_x"), Form::Cloudevent),
            (json!(5), Form::Cloudevent),
        ] {
            assert_eq!(secret(&members(value), form).unwrap_err().pointer, "/webhook_secret");
        }
    }
}
