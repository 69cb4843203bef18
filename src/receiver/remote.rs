//! A transmitter's management API as its receiver uses it (SSF 1.0 section 8): the requests to send, and what answers mean.

use serde::Serialize;
use serde_json::{Map, Value};
use url::form_urlencoded::byte_serialize;

use crate::delivery::retry::parse_retry_after;
use crate::protocol::jose::jws::MAX_DEPTH;
use crate::protocol::json::{self, json};
use crate::protocol::metadata::TransmitterMetadata;
use crate::protocol::push::clip;
use crate::protocol::record::Record;
use crate::protocol::set::Audience;

/// Of a refusal's text so much is shown to the operator.
const MAX_DETAIL: usize = 300;

/// Method URNs (SSF-6.1).
pub const PUSH: &str = "urn:ietf:rfc:8935";
pub const POLL: &str = "urn:ietf:rfc:8936";

/// With this, and its id, ends the description that a source gives its stream.
pub const OURS: &str = "Heliograph source ";

/// Why a request did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It may work later; not before that instant (Unix milliseconds), if the peer named one.
    Later { detail: String, not_before: Option<u64> },
    /// Our token is not accepted.
    Unauthorized(String),
    /// What it was about is not there.
    Gone(String),
    /// It stands against what is there.
    Conflict(String),
    /// Trying again without a change would not help.
    Refused(String),
}

impl Trouble {
    pub fn later(detail: impl Into<String>) -> Self {
        Self::Later {
            detail: detail.into(),
            not_before: None,
        }
    }

    pub fn detail(&self) -> &str {
        match self {
            Self::Later { detail, .. } => detail,
            Self::Unauthorized(detail) | Self::Gone(detail) | Self::Conflict(detail) | Self::Refused(detail) => detail,
        }
    }
}

/// Reads an answer: its JSON body if it is a success. Total: every status has a meaning.
pub fn hear(status: u16, retry_after: Option<&str>, body: &[u8], now: u64) -> Result<Option<Value>, Trouble> {
    if (200..300).contains(&status) {
        // SSF-8.1.3.2-4: any success is one, whatever its body.
        return Ok(json::parse_strict(body, MAX_DEPTH).ok());
    }
    let said = String::from_utf8_lossy(body);
    let said: String = said
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let detail = match clip(&said, MAX_DETAIL) {
        "" => format!("answered {status}"),
        said => format!("answered {status}: {said}"),
    };
    let not_before = retry_after.and_then(|value| parse_retry_after(value, now));
    Err(match status {
        401 => Trouble::Unauthorized(detail),
        404 | 410 => Trouble::Gone(detail),
        409 => Trouble::Conflict(detail),
        408 | 421 | 425 | 429 | 500..=599 => Trouble::Later { detail, not_before },
        _ if not_before.is_some() => Trouble::Later { detail, not_before },
        300..=399 => Trouble::Refused(format!("{detail} (redirects are not followed)")),
        _ => Trouble::Refused(detail),
    })
}

/// A request to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub method: &'static str,
    pub url: String,
    pub body: Option<String>,
}

fn plan(method: &'static str, url: &str, body: Option<Value>) -> Plan {
    Plan {
        method,
        url: url.to_owned(),
        body: body.map(|body| body.to_string()),
    }
}

/// The transmitter's endpoints. A missing one means that it cannot do that (SSF-7.1-18).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Record)]
pub struct Endpoints {
    pub configuration: String,
    #[serde(default)]
    pub status: Option<String>,
    #[serde(default)]
    pub add_subject: Option<String>,
    #[serde(default)]
    pub remove_subject: Option<String>,
    #[serde(default)]
    pub verification: Option<String>,
}

impl Endpoints {
    /// From the transmitter's metadata, if a stream can be had there by this method.
    pub fn of(metadata: TransmitterMetadata, method: &str) -> Result<Self, String> {
        let methods = &metadata.delivery_methods_supported;
        // Keycloak and older transmitters name the methods as URIs.
        let fits = |known: &String| known == method || *known == legacy_method(method);
        if !methods.is_empty() && !methods.iter().any(fits) {
            return Err(format!("the transmitter does not deliver by {method}"));
        }
        Ok(Self {
            configuration: metadata
                .configuration_endpoint
                .ok_or("the transmitter's metadata has no configuration_endpoint")?,
            status: metadata.status_endpoint,
            add_subject: metadata.add_subject_endpoint,
            remove_subject: metadata.remove_subject_endpoint,
            verification: metadata.verification_endpoint,
        })
    }
}

/// The name that a delivery method had in drafts.
fn legacy_method(method: &str) -> &'static str {
    match method {
        PUSH => "https://schemas.openid.net/secevent/risc/delivery-method/push",
        _ => "https://schemas.openid.net/secevent/risc/delivery-method/poll",
    }
}

/// What we want of a stream: the receiver-supplied members.
#[derive(Clone)]
pub struct Wanted<'a> {
    /// For push; without it the stream is polled.
    pub endpoint_url: Option<&'a str>,
    pub authorization_header: Option<&'a str>,
    pub events_requested: &'a [String],
    pub description: &'a str,
}

impl Wanted<'_> {
    fn members(&self) -> Map<String, Value> {
        let mut delivery = Map::new();
        let method = if self.endpoint_url.is_some() { PUSH } else { POLL };
        delivery.insert("method".to_owned(), json!(method));
        for (name, value) in [
            ("endpoint_url", self.endpoint_url),
            ("authorization_header", self.authorization_header),
        ] {
            if let Some(value) = value {
                delivery.insert(name.to_owned(), json!(value));
            }
        }
        let mut members = Map::new();
        members.insert("delivery".to_owned(), Value::Object(delivery));
        // SSF-8.1.1.3-6: never an empty one.
        if !self.events_requested.is_empty() {
            members.insert("events_requested".to_owned(), json!(self.events_requested));
        }
        members.insert("description".to_owned(), json!(self.description));
        members
    }

    /// Whether the stream leads where it should: a change may have been taken, and ignored.
    pub fn leads_to_us(&self, stream: &Value) -> Result<(), String> {
        let Some(url) = self.endpoint_url else { return Ok(()) };
        let found = stream.pointer("/delivery/endpoint_url");
        match found.is_some_and(|found| found != url) || is_poll(stream) {
            true => Err("the transmitter delivers the stream elsewhere, or in another way".to_owned()),
            false => Ok(()),
        }
    }

    /// How many of the requested types of events the stream delivers, where it says so.
    pub fn delivered(&self, stream: &Value) -> Option<usize> {
        let delivered = stream.get("events_delivered")?.as_array()?;
        let is_delivered = |wanted: &&String| delivered.iter().any(|found| found == wanted.as_str());
        Some(self.events_requested.iter().filter(is_delivered).count())
    }

    /// Whether this is a stream that we made: it leads to us, or says that it is ours.
    pub fn owns(&self, stream: &Value) -> bool {
        match self.endpoint_url {
            Some(url) => stream.pointer("/delivery/endpoint_url").and_then(Value::as_str) == Some(url),
            None => {
                let found = stream.get("description").and_then(Value::as_str);
                found.is_some_and(|found| whose(found) == whose(self.description))
                    && stream.pointer("/delivery/endpoint_url").is_none_or(|_| is_poll(stream))
            }
        }
    }
}

/// Whose stream it is, by the end of its description: what stands before may have been another text when it was made.
fn whose(description: &str) -> &str {
    let own = description.rsplit(OURS).next().unwrap_or_default();
    own.trim_end_matches(')')
}

fn is_poll(stream: &Value) -> bool {
    let method = stream.pointer("/delivery/method").and_then(Value::as_str);
    method.is_some_and(|method| method == POLL || method == legacy_method(POLL))
}

fn with_id(url: &str, stream_id: &str) -> String {
    let id: String = byte_serialize(stream_id.as_bytes()).collect();
    // A space is %20 in a query as everywhere (SSF-8.1.1.2-6).
    let id = id.replace('+', "%20");
    let mark = if url.contains('?') { '&' } else { '?' };
    format!("{url}{mark}stream_id={id}")
}

impl Endpoints {
    pub fn list(&self) -> Plan {
        plan("GET", &self.configuration, None)
    }

    pub fn read(&self, stream_id: &str) -> Plan {
        plan("GET", &with_id(&self.configuration, stream_id), None)
    }

    pub fn create(&self, wanted: &Wanted<'_>) -> Plan {
        plan("POST", &self.configuration, Some(Value::Object(wanted.members())))
    }

    /// SSF-8.1.1.3-13: nothing that the transmitter supplies, but for the id.
    pub fn patch(&self, stream_id: &str, wanted: &Wanted<'_>) -> Plan {
        let mut members = wanted.members();
        members.insert("stream_id".to_owned(), json!(stream_id));
        plan("PATCH", &self.configuration, Some(Value::Object(members)))
    }

    pub fn delete(&self, stream_id: &str) -> Plan {
        plan("DELETE", &with_id(&self.configuration, stream_id), None)
    }

    pub fn read_status(&self, stream_id: &str) -> Option<Plan> {
        Some(plan("GET", &with_id(self.status.as_ref()?, stream_id), None))
    }

    pub fn set_status(&self, stream_id: &str, status: &str, reason: Option<&str>) -> Option<Plan> {
        let mut body = json!({"stream_id": stream_id, "status": status});
        if let (Some(reason), Some(members)) = (reason, body.as_object_mut()) {
            members.insert("reason".to_owned(), json!(reason));
        }
        Some(plan("POST", self.status.as_ref()?, Some(body)))
    }

    pub fn add_subject(&self, stream_id: &str, subject: &Value) -> Option<Plan> {
        let body = json!({"stream_id": stream_id, "subject": subject, "verified": true});
        Some(plan("POST", self.add_subject.as_ref()?, Some(body)))
    }

    pub fn remove_subject(&self, stream_id: &str, subject: &Value) -> Option<Plan> {
        let body = json!({"stream_id": stream_id, "subject": subject});
        Some(plan("POST", self.remove_subject.as_ref()?, Some(body)))
    }

    pub fn verify(&self, stream_id: &str, state: &str) -> Option<Plan> {
        let body = json!({"stream_id": stream_id, "state": state});
        Some(plan("POST", self.verification.as_ref()?, Some(body)))
    }
}

/// Our stream as the transmitter describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Record)]
pub struct RemoteStream {
    pub stream_id: String,
    /// Where it is polled.
    #[serde(default)]
    pub poll_url: Option<String>,
    #[serde(default)]
    pub events_delivered: Vec<String>,
    #[serde(default)]
    pub events_requested: Vec<String>,
    /// Seconds.
    #[serde(default)]
    pub min_verification_interval: Option<u64>,
    #[serde(default)]
    pub inactivity_timeout: Option<u64>,
}

/// Reads a stream configuration. It has to be of this issuer and for us (SSF-8.1.1.1-3, SSF-8.1.1.1-12).
pub fn read_stream(found: &Value, issuer: &str, audience: &Audience) -> Result<RemoteStream, String> {
    let text = |name: &str| found.get(name).and_then(Value::as_str);
    if text("iss") != Some(issuer) {
        return Err("the stream's iss is not the issuer".to_owned());
    }
    let aud = found.get("aud").and_then(|aud| Audience::try_from(aud.clone()).ok());
    if !aud.is_some_and(|aud| aud.intersects(audience)) {
        return Err("the stream's aud does not name the audience of this source".to_owned());
    }
    let list = |name: &str| -> Vec<String> {
        let entries = found.get(name).and_then(Value::as_array).into_iter().flatten();
        entries.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let seconds = |name: &str| found.get(name).and_then(Value::as_u64);
    let poll_url = found.pointer("/delivery/endpoint_url").and_then(Value::as_str);
    Ok(RemoteStream {
        stream_id: stream_id(found).ok_or("the stream has no stream_id")?,
        poll_url: poll_url.filter(|_| is_poll(found)).map(str::to_owned),
        events_delivered: list("events_delivered"),
        events_requested: list("events_requested"),
        min_verification_interval: seconds("min_verification_interval"),
        inactivity_timeout: seconds("inactivity_timeout"),
    })
}

/// The streams of a list; some transmitters answer with the one they have, not in an array. What is no list says nothing of which
/// streams there are.
pub fn streams(body: Option<Value>) -> Result<Vec<Value>, Trouble> {
    let listed = match body {
        Some(Value::Array(streams)) => Some(streams),
        Some(stream @ Value::Object(_)) => Some(vec![stream]),
        _ => None,
    };
    listed
        .filter(|streams| streams.iter().all(|stream| stream_id(stream).is_some()))
        .ok_or_else(|| Trouble::later("the transmitter answered with something that is no list of streams"))
}

/// The id by which a stream is known there.
pub fn stream_id(stream: &Value) -> Option<String> {
    let id = stream.get("stream_id").and_then(Value::as_str);
    id.filter(|id| !id.is_empty()).map(str::to_owned)
}

#[cfg(test)]
#[path = "remote_tests.rs"]
mod stream_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn endpoints() -> Endpoints {
        Endpoints {
            configuration: "https://tx.example/streams".into(),
            status: Some("https://tx.example/status?v=1".into()),
            ..Endpoints::default()
        }
    }

    #[test]
    fn every_answer_has_its_meaning() {
        for (status, expected) in [
            (401, "unauthorized"),
            (404, "gone"),
            (410, "gone"),
            (409, "conflict"),
            (429, "later"),
            (500, "later"),
            (503, "later"),
            (400, "refused"),
            (403, "refused"),
            (302, "refused"),
            (405, "refused"),
        ] {
            let word = match hear(status, None, b"no", 0).unwrap_err() {
                Trouble::Later { .. } => "later",
                Trouble::Unauthorized(_) => "unauthorized",
                Trouble::Gone(_) => "gone",
                Trouble::Conflict(_) => "conflict",
                Trouble::Refused(_) => "refused",
            };
            assert_eq!(word, expected, "{status}");
        }
        for status in [200, 201, 202, 204] {
            assert_eq!(hear(status, None, b"not JSON", 0), Ok(None), "{status}");
        }
        assert_eq!(hear(200, None, b"{}", 0), Ok(Some(json!({}))));
        let Err(Trouble::Later { not_before, detail }) = hear(429, Some("2"), b"slow\ndown", 1000) else {
            panic!()
        };
        assert_eq!((not_before, detail.as_str()), (Some(3000), "answered 429: slow down"));
        assert!(hear(500, None, &[b'x'; 100_000], 0).unwrap_err().detail().len() < 400);
    }

    /// SSF-8.1.1.2-6, SSF-8.1.1.3-3, SSF-8.1.1.3-13, SSF-8.1.1.5-2.
    #[test]
    fn requests_name_the_stream_where_they_should_and_send_nothing_of_the_transmitters() {
        let endpoints = endpoints();
        assert_eq!(
            endpoints.delete("a b&c").url,
            "https://tx.example/streams?stream_id=a%20b%26c"
        );
        assert_eq!(
            endpoints.read_status("x").unwrap().url,
            "https://tx.example/status?v=1&stream_id=x"
        );
        assert_eq!(endpoints.verify("x", "s"), None, "SSF-7.1-18");
        let wanted = Wanted {
            endpoint_url: Some("https://me.example/receive/1"),
            authorization_header: Some("Bearer x"),
            events_requested: &["urn:a".to_owned()],
            description: "d",
        };
        let body: Value = serde_json::from_str(&endpoints.patch("x", &wanted).body.unwrap()).unwrap();
        assert_eq!(
            body,
            json!({
                "stream_id": "x", "description": "d", "events_requested": ["urn:a"],
                "delivery": {"method": PUSH, "endpoint_url": "https://me.example/receive/1", "authorization_header": "Bearer x"},
            })
        );
        let polled = Wanted {
            endpoint_url: None,
            authorization_header: None,
            events_requested: &[],
            description: "d",
        };
        let body: Value = serde_json::from_str(&endpoints.create(&polled).body.unwrap()).unwrap();
        assert_eq!(body, json!({"description": "d", "delivery": {"method": POLL}}));
        assert!(wanted.owns(&json!({"delivery": {"method": PUSH, "endpoint_url": "https://me.example/receive/1"}})));
        assert!(!wanted.owns(&json!({"description": "d"})));
        assert!(polled.owns(
            &json!({"description": "d", "delivery": {"method": POLL, "endpoint_url": "https://tx.example/poll"}})
        ));
        assert!(
            !polled
                .owns(&json!({"description": "d", "delivery": {"method": PUSH, "endpoint_url": "https://o.example"}}))
        );
        assert!(!polled.owns(&json!({"description": "other", "delivery": {"method": POLL}})));
        let polled = Wanted {
            description: "now (Heliograph source 1)",
            ..polled
        };
        for (description, expected) in [
            ("Heliograph source 1", true),
            ("before (Heliograph source 1)", true),
            ("before (Heliograph source 11)", false),
            ("now", false),
        ] {
            let stream = json!({"description": description, "delivery": {"method": POLL}});
            assert_eq!(polled.owns(&stream), expected, "{description}");
        }
    }

    #[test]
    fn a_transmitter_has_to_deliver_in_the_way_that_is_wanted() {
        let metadata = |methods: &[&str]| TransmitterMetadata {
            configuration_endpoint: Some("https://tx.example/streams".into()),
            delivery_methods_supported: methods.iter().map(|method| (*method).to_owned()).collect(),
            ..TransmitterMetadata::default()
        };
        assert!(Endpoints::of(metadata(&[PUSH, POLL]), POLL).is_ok());
        assert!(Endpoints::of(metadata(&[]), POLL).is_ok(), "says nothing");
        assert!(
            Endpoints::of(
                metadata(&["https://schemas.openid.net/secevent/risc/delivery-method/push"]),
                PUSH
            )
            .is_ok()
        );
        assert!(Endpoints::of(metadata(&[PUSH]), POLL).is_err());
        assert!(Endpoints::of(TransmitterMetadata::default(), PUSH).is_err());
    }
}
