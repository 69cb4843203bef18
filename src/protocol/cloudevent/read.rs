//! Reading CloudEvents: the JSON format, batches of it, and the binary mode of the HTTP binding.

use base64ct::{Base64, Encoding};
use serde_json::{Map, Value};

use super::{CloudEvent, attribute, header, timestamp};
use crate::protocol::event::MAX_TYPE;
use crate::protocol::event::publish::{MAX_EVENTS, MAX_ID};
use crate::protocol::json::parse_strict;
use crate::protocol::problem::{self, Invalid, Problem};

/// Longest `source`, in characters.
const MAX_SOURCE: usize = 2048;
/// Longest text of an attribute that has its own syntax, or none that concerns us; the limits of bodies and headers remain.
const ANY_LENGTH: usize = usize::MAX;
/// Deepest data in base64: see the readers of bodies.
const MAX_DEPTH: usize = 31;

impl CloudEvent {
    /// Reads the JSON format. Pointers lead into the document.
    pub fn from_structured(value: Value) -> Result<CloudEvent, Invalid> {
        let Value::Object(mut members) = value else {
            return Err(Invalid::here(Problem::NotA("an object")));
        };
        let data = members.remove("data");
        let encoded = members.remove("data_base64").filter(|value| !value.is_null());
        let attributes = Attributes {
            values: members,
            in_headers: false,
        };
        let mut event = attributes.read()?;
        event.data = match (data, encoded) {
            (data, None) => data,
            // CE-4-4
            (Some(_), Some(_)) => {
                let problem = Problem::Refused("cannot go together with data");
                return Err(Invalid::at("data_base64", problem));
            }
            (None, Some(encoded)) => {
                let says_json = attributes.text("datacontenttype", ANY_LENGTH)?.is_some();
                Some(decoded(&encoded, says_json).map_err(|found| found.under("data_base64"))?)
            }
        };
        Ok(event)
    }

    /// Reads an array of events in the JSON format, which may be empty (CE-3.3-1). Pointers start with the index.
    pub fn batch(value: Value) -> Result<Vec<CloudEvent>, Invalid> {
        let Value::Array(entries) = value else {
            return Err(Invalid::here(Problem::NotA("an array")));
        };
        if entries.len() > MAX_EVENTS {
            return Err(Invalid::here(Problem::TooMany(MAX_EVENTS)));
        }
        entries
            .into_iter()
            .enumerate()
            .map(|(at, entry)| CloudEvent::from_structured(entry).map_err(|found| found.under(at)))
            .collect()
    }

    /// Reads the binary mode. `headers` are all of the request's, their names in lower case. Pointers are the names of headers
    /// (`/ce-id`), or start with `/data`.
    pub fn from_binary(headers: &[(String, String)], body: Option<Value>) -> Result<CloudEvent, Invalid> {
        let attributes = Attributes {
            values: attributes_in(headers)?,
            in_headers: true,
        };
        let mut event = attributes.read()?;
        event.data = body;
        Ok(event)
    }
}

/// The attributes of an event in binary mode, by their names in the JSON format.
pub fn attributes_in(headers: &[(String, String)]) -> Result<Map<String, Value>, Invalid> {
    let mut values = Map::new();
    for (header, text) in headers {
        let Some(name) = header.strip_prefix("ce-") else {
            continue;
        };
        let problem = match header::decode(text) {
            // CE-3.1-1: the header `content-type` is this attribute, and the body is the data.
            _ if ["datacontenttype", "data", "data_base64"].contains(&name) => Problem::UnknownMember,
            None => Problem::Refused("is not percent-encoded UTF-8"),
            Some(value) => match values.insert(name.to_owned(), Value::String(value)) {
                None => continue,
                Some(_) => Problem::Duplicate,
            },
        };
        return Err(Invalid::at(header, problem));
    }
    if let Some((_, media_type)) = headers.iter().find(|(name, _)| name == "content-type") {
        values.insert("datacontenttype".to_owned(), Value::String(media_type.clone()));
    }
    Ok(values)
}

/// All attributes of an event, known or not.
struct Attributes {
    values: Map<String, Value>,
    in_headers: bool,
}

impl Attributes {
    /// Reads everything but the data (CE-1-1, CE-1-3).
    fn read(&self) -> Result<CloudEvent, Invalid> {
        for (name, value) in &self.values {
            // CE-4-3
            let value = if value.is_null() { &Value::Bool(false) } else { value };
            attribute::check(name, value).map_err(|found| self.place(name, found))?;
        }
        if self.required("specversion", ANY_LENGTH)? != "1.0" {
            return Err(self.refuse("specversion", Problem::NotOneOf(&["1.0"])));
        }
        let id = self.required("id", MAX_ID)?;
        let source = self.required("source", MAX_SOURCE)?;
        let event_type = self.required("type", MAX_TYPE)?;
        self.matching("source", attribute::is_uri_reference, "must be a URI reference")?;
        self.matching("dataschema", attribute::is_absolute_uri, "must be a URI with a scheme")?;
        self.matching("datacontenttype", is_readable, "must be a media type of JSON in UTF-8")?;
        self.text("subject", ANY_LENGTH)?;
        let time = match self.text("time", ANY_LENGTH)? {
            Some(text) => Some(timestamp::parse(text).ok_or_else(|| {
                self.refuse(
                    "time",
                    Problem::Refused("must be a date and time with its offset (RFC 3339)"),
                )
            })?),
            None => None,
        };
        let trace = "must be as W3C Trace Context has it";
        let traceparent = self.matching("traceparent", attribute::is_traceparent, trace)?;
        let tracestate = self.matching("tracestate", attribute::is_tracestate, trace)?;
        Ok(CloudEvent {
            id: id.to_owned(),
            source: source.to_owned(),
            event_type: event_type.to_owned(),
            time,
            traceparent: traceparent.map(str::to_owned),
            tracestate: tracestate.map(str::to_owned),
            sequence: self.sequence(),
            data: None,
            in_headers: self.in_headers,
        })
    }

    /// A text by its definition; there are senders that write a number. What is neither is nobody's place in an order.
    fn sequence(&self) -> Option<String> {
        match self.values.get("sequence") {
            Some(Value::String(text)) => Some(text.clone()).filter(|text| !text.is_empty()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        }
    }

    fn required(&self, name: &str, max: usize) -> Result<&str, Invalid> {
        self.text(name, max)?.ok_or_else(|| self.refuse(name, Problem::Missing))
    }

    /// An attribute that is a string; `null` is none (CE-4-3).
    fn text(&self, name: &str, max: usize) -> Result<Option<&str>, Invalid> {
        match self.values.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => problem::text(value, max)
                .map(Some)
                .map_err(|found| self.place(name, found)),
        }
    }

    /// An attribute that is a string with a syntax.
    fn matching(&self, name: &str, matches: fn(&str) -> bool, rule: &'static str) -> Result<Option<&str>, Invalid> {
        let text = self.text(name, ANY_LENGTH)?;
        if text.is_none_or(matches) {
            Ok(text)
        } else {
            Err(self.refuse(name, Problem::Refused(rule)))
        }
    }

    fn refuse(&self, name: &str, problem: Problem) -> Invalid {
        self.place(name, Invalid::here(problem))
    }

    fn place(&self, name: &str, found: Invalid) -> Invalid {
        found.under(attribute::pointer(name, self.in_headers))
    }
}

fn is_readable(media_type: &str) -> bool {
    attribute::is_json(media_type) && attribute::is_utf8(media_type)
}

/// Data that was sent as bytes. Without a media type nothing says that they are JSON (CE-4-5).
fn decoded(encoded: &Value, says_json: bool) -> Result<Value, Invalid> {
    if !says_json {
        return Err(Invalid::here(Problem::Refused(
            "is JSON only where datacontenttype says so",
        )));
    }
    let text = encoded
        .as_str()
        .ok_or_else(|| Invalid::here(Problem::NotA("a string")))?;
    let bytes = Base64::decode_vec(text).map_err(|_| Invalid::here(Problem::NotA("base64 with padding")))?;
    parse_strict(&bytes, MAX_DEPTH).map_err(|_| Invalid::here(Problem::Refused("does not hold acceptable JSON")))
}
