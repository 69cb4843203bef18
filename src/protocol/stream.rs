//! The configuration of an event stream (SSF 1.0 section 8.1.1) and the requests that create and change one.
//!
//! Whether an endpoint URL is acceptable, and whether its owner consented, is decided elsewhere; here are the shapes.

use serde::Serialize;
use serde_json::{Map, Value};

use super::json::json;
use super::problem::{self, Invalid, Problem};
use super::record::{self, Fault, Record};
use super::secret::Secret;
use super::set::Audience;

mod cloudevents;
mod update;

pub use cloudevents::CloudEvents;
pub use update::{UpdateMode, UpdateRequest};

/// Delivery method URIs (SSF 1.0 section 6.1).
pub const PUSH: &str = "urn:ietf:rfc:8935";
pub const POLL: &str = "urn:ietf:rfc:8936";

/// A longer description is cut to this many characters (SSF-8.1.1-9 allows it).
pub const MAX_DESCRIPTION: usize = 256;
/// Most event types in one request; all that are registered today are two dozen.
pub const MAX_EVENTS_REQUESTED: usize = 256;
/// Longest event type URI and endpoint URL, in characters.
pub const MAX_URI: usize = 2048;
/// Longest `stream_id` that is looked up, in characters; ours are shorter.
pub const MAX_STREAM_ID: usize = 256;
/// Longest `authorization_header`, in characters: room for a JWT, not for a body.
pub const MAX_AUTHORIZATION: usize = 4096;

/// Members that only the transmitter sets; a request to create that has one is a mistake (SSF-8.1.1.1-13).
pub const TRANSMITTER_MEMBERS: [&str; 7] = [
    "stream_id",
    "iss",
    "aud",
    "events_supported",
    "events_delivered",
    "min_verification_interval",
    "inactivity_timeout",
];

/// What is wrong with a stream request, and where.
pub type StreamError = Invalid;

/// How the events of a stream leave us. Serialising leaves the receiver's secret out; whoever stores it seals it apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "method")]
pub enum Delivery {
    #[serde(rename = "urn:ietf:rfc:8935")]
    Push {
        endpoint_url: String,
        /// Sent as the `Authorization` header of every push, unchanged (SSF-6.1.1-4).
        #[serde(skip_serializing)]
        authorization_header: Option<Secret<String>>,
        /// Where the receiver wants CloudEvents instead of SETs.
        #[serde(skip_serializing_if = "Option::is_none")]
        cloudevents: Option<CloudEvents>,
    },
    /// Also what a request without `delivery` means (SSF-8.1.1.1-8).
    #[default]
    #[serde(rename = "urn:ietf:rfc:8936")]
    Poll,
}

impl TryFrom<Value> for Delivery {
    type Error = StreamError;

    fn try_from(value: Value) -> Result<Self, StreamError> {
        Delivery::parse(&value)
    }
}

impl Record for Delivery {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        record::member(out, "method");
        record::plain_variant(out, self.method());
        if let Delivery::Push {
            endpoint_url,
            cloudevents,
            ..
        } = self
        {
            record::member(out, "endpoint_url");
            endpoint_url.write(out);
            if let Some(cloudevents) = cloudevents {
                record::member(out, "cloudevents");
                cloudevents.write(out);
            }
        }
        out.push(b'}');
    }

    fn take(value: Value, fault: &mut Fault) -> Self {
        fault.unless(Self::try_from(value).ok(), Self::Poll)
    }
}

impl Delivery {
    /// The method's URI.
    pub fn method(&self) -> &'static str {
        match self {
            Delivery::Push { .. } => PUSH,
            Delivery::Poll => POLL,
        }
    }

    /// Reads the `delivery` member. For poll the URL is ours, whatever the receiver sent (SSF-8.1.1.1-11).
    pub fn parse(value: &Value) -> Result<Delivery, StreamError> {
        let members = problem::object(value)?;
        let method = members
            .get("method")
            .ok_or_else(|| Invalid::at("method", Problem::Missing))?;
        match method.as_str() {
            Some(POLL) if members.contains_key("cloudevents") => Err(Invalid::at(
                "cloudevents",
                Problem::Refused("is for push delivery only"),
            )),
            Some(POLL) => Ok(Delivery::Poll),
            Some(PUSH) => Ok(Delivery::Push {
                endpoint_url: endpoint_url(members).map_err(|found| found.under("endpoint_url"))?,
                authorization_header: members
                    .get("authorization_header")
                    .map(authorization_header)
                    .transpose()
                    .map_err(|found| found.under("authorization_header"))?,
                cloudevents: problem::optional(members, "cloudevents", CloudEvents::parse)?,
            }),
            _ => Err(Invalid::at("method", Problem::NotOneOf(&[PUSH, POLL]))),
        }
    }

    /// How CloudEvents are sent, where the receiver wants them.
    pub fn cloudevents(&self) -> Option<&CloudEvents> {
        match self {
            Delivery::Push { cloudevents, .. } => cloudevents.as_ref(),
            Delivery::Poll => None,
        }
    }

    /// Takes the receiver's secret out, for whoever seals it.
    pub fn take_authorization(&mut self) -> Option<Secret<String>> {
        match self {
            Delivery::Push {
                authorization_header, ..
            } => authorization_header.take(),
            Delivery::Poll => None,
        }
    }
}

/// The `stream_id` that a request names: required, a string of 1 to [`MAX_STREAM_ID`] characters. Whether there is such a
/// stream is another question.
pub fn stream_id(members: &Map<String, Value>) -> Result<String, StreamError> {
    let read = |value: &Value| problem::text(value, MAX_STREAM_ID).map(str::to_owned);
    problem::optional(members, "stream_id", read)?.ok_or_else(|| Invalid::at("stream_id", Problem::Missing))
}

fn endpoint_url(members: &Map<String, Value>) -> Result<String, StreamError> {
    let value = members
        .get("endpoint_url")
        .ok_or_else(|| Invalid::here(Problem::Missing))?;
    problem::text(value, MAX_URI).map(str::to_owned)
}

/// SSF-6.1.1-5: only what may stand in a header field; above all no line break.
fn authorization_header(value: &Value) -> Result<Secret<String>, StreamError> {
    let text = problem::text(value, MAX_AUTHORIZATION)?;
    let legal = text.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
    if !legal || text.trim() != text {
        return Err(Invalid::here(Problem::Refused("is not a legal header field value")));
    }
    Ok(Secret::new(text.to_owned()))
}

/// What a receiver may say when it creates a stream (SSF-8.1.1.1-7). Every member is optional, unknown ones are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateRequest {
    /// `None`: not given, which means poll.
    pub delivery: Option<Delivery>,
    /// `None`: no preference. As received, unknown types included.
    pub events_requested: Option<Vec<String>>,
    /// At most [`MAX_DESCRIPTION`] characters.
    pub description: Option<String>,
}

impl CreateRequest {
    /// Reads the body of a request to create a stream.
    pub fn parse(value: &Value) -> Result<CreateRequest, StreamError> {
        let members = problem::object(value)?;
        if let Some(name) = TRANSMITTER_MEMBERS.into_iter().find(|name| members.contains_key(*name)) {
            return Err(Invalid::at(name, Problem::Refused("is set by the transmitter")));
        }
        Ok(CreateRequest {
            delivery: problem::optional(members, "delivery", Delivery::parse)?,
            events_requested: problem::optional(members, "events_requested", events_requested)?,
            description: problem::optional(members, "description", description)?,
        })
    }
}

fn events_requested(value: &Value) -> Result<Vec<String>, StreamError> {
    let entries = value
        .as_array()
        .ok_or_else(|| Invalid::here(Problem::NotA("an array")))?;
    if entries.len() > MAX_EVENTS_REQUESTED {
        return Err(Invalid::here(Problem::TooMany(MAX_EVENTS_REQUESTED)));
    }
    let uri = |(at, entry)| {
        problem::text(entry, MAX_URI)
            .map(str::to_owned)
            .map_err(|found| found.under(at))
    };
    entries.iter().enumerate().map(uri).collect()
}

fn description(value: &Value) -> Result<String, StreamError> {
    let text = value.as_str().ok_or_else(|| Invalid::here(Problem::NotA("a string")))?;
    Ok(text.chars().take(MAX_DESCRIPTION).collect())
}

/// The event types that a stream carries: requested and supported, in the order requested, each once.
///
/// No request means all supported ones, an empty request means none (SSF-8.1.1-17, SSF-8.1.1-18).
pub fn events_delivered(requested: Option<&[String]>, supported: &[&str]) -> Vec<String> {
    let Some(requested) = requested else {
        return supported.iter().map(|uri| (*uri).to_owned()).collect();
    };
    let mut delivered: Vec<String> = Vec::new();
    for uri in requested {
        if supported.contains(&uri.as_str()) && !delivered.contains(uri) {
            delivered.push(uri.clone());
        }
    }
    delivered
}

/// A stream's whole configuration, as stored. Like [`Delivery`] it serialises without the receiver's secret.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
pub struct Configuration {
    pub stream_id: String,
    pub iss: String,
    pub aud: Audience,
    pub delivery: Delivery,
    pub events_supported: Vec<String>,
    pub events_requested: Option<Vec<String>>,
    pub events_delivered: Vec<String>,
    pub description: Option<String>,
    /// Seconds.
    pub min_verification_interval: Option<u32>,
    /// Seconds.
    pub inactivity_timeout: Option<u32>,
}

impl Configuration {
    /// The object that a receiver sees. `poll_url` is the stream's own poll endpoint. The `authorization_header` is
    /// never in it (SSF-6.1.1-6, pitfall 23).
    pub fn to_json(&self, poll_url: &str) -> Value {
        let endpoint_url = match &self.delivery {
            Delivery::Push { endpoint_url, .. } => endpoint_url,
            Delivery::Poll => poll_url,
        };
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
        put("stream_id", json!(self.stream_id));
        put("iss", json!(self.iss));
        put("aud", json!(self.aud));
        let mut delivery = json!({"method": self.delivery.method(), "endpoint_url": endpoint_url});
        if let Some(cloudevents) = self.delivery.cloudevents() {
            super::json::put(&mut delivery, "cloudevents", json!(cloudevents));
        }
        put("delivery", delivery);
        put("events_supported", json!(self.events_supported));
        if let Some(requested) = &self.events_requested {
            put("events_requested", json!(requested));
        }
        put("events_delivered", json!(self.events_delivered));
        if let Some(description) = &self.description {
            put("description", json!(description));
        }
        if let Some(seconds) = self.min_verification_interval {
            put("min_verification_interval", json!(seconds));
        }
        if let Some(seconds) = self.inactivity_timeout {
            put("inactivity_timeout", json!(seconds));
        }
        Value::Object(object)
    }

    /// The same stream where the transmitter supports these event types: what is delivered follows.
    pub fn with_supported(&self, supported: &[String]) -> Configuration {
        let uris: Vec<&str> = supported.iter().map(String::as_str).collect();
        Configuration {
            events_delivered: events_delivered(self.events_requested.as_deref(), &uris),
            events_supported: supported.to_vec(),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests;
