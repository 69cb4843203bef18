//! Security Event Tokens: the claims of RFC 8417 under the profile of SSF 1.0 section 4.
//!
//! [`Envelope`] is what our transmitter writes, [`Claims`] what our receiver reads. They share no parser on purpose:
//! a mistake made twice the same way would pass every test of our own.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::event::{STREAM_UPDATED, VERIFICATION};
use super::jose::jws::MAX_DEPTH;
use super::json::{self, JsonError, append};
use super::legacy::Legacy;
use super::record::{self, Fault, Record};

/// The JOSE `typ` of a SET (SSF-4.1.1-1).
pub const TYP: &str = "secevent+jwt";
/// The media type of a SET in an HTTP body (PUSH-2.1-2).
pub const MEDIA_TYPE: &str = "application/secevent+jwt";

/// Largest number taken for a time, in seconds: beyond it a JSON number no longer holds every integer.
const MAX_SECONDS: f64 = 9_007_199_254_740_991.0;

/// Whether a header's `typ` says SET: in any case, with or without `application/` (SSF-4.1.1-2).
pub fn typ_is_set(typ: Option<&str>) -> bool {
    typ.is_some_and(|typ| [TYP, MEDIA_TYPE].iter().any(|name| typ.eq_ignore_ascii_case(name)))
}

/// One or several receivers' names, as one JSON string or an array (SSF-4.1.8-1). Never empty.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Audience {
    One(String),
    Many(Vec<String>),
}

impl TryFrom<Value> for Audience {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        const SHAPE: &str = "an audience is a string or an array of strings";
        let audience = match value {
            Value::String(value) => Audience::One(value),
            Value::Array(_) => Audience::Many(Record::from_json(value).map_err(|_| SHAPE)?),
            _ => return Err(SHAPE),
        };
        match audience.values() {
            [] => Err("an audience has at least one value"),
            values if values.iter().any(String::is_empty) => Err("an audience value is not empty"),
            _ => Ok(audience),
        }
    }
}

impl json::ToJson for Audience {
    fn to_json(&self) -> Value {
        record::document(self)
    }
}

impl Record for Audience {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Audience::One(value) => value.write(out),
            Audience::Many(values) => values.write(out),
        }
    }

    fn take(value: Value, fault: &mut Fault) -> Self {
        fault.unless(Self::try_from(value).ok(), Self::Many(Vec::new()))
    }
}

impl Audience {
    /// All values, in order.
    pub fn values(&self) -> &[String] {
        match self {
            Audience::One(value) => std::slice::from_ref(value),
            Audience::Many(values) => values,
        }
    }

    /// Whether `name` is one of the values, compared exactly.
    pub fn contains(&self, name: &str) -> bool {
        self.values().iter().any(|value| value == name)
    }

    /// Whether the two share a value (SSF-4.1.8-6).
    pub fn intersects(&self, other: &Audience) -> bool {
        self.values().iter().any(|value| other.contains(value))
    }
}

/// Equal as sets: order and repeats do not count, one string equals an array of just it (SSF-8.1.1.3-11).
impl PartialEq for Audience {
    fn eq(&self, other: &Self) -> bool {
        self.values().iter().all(|value| other.contains(value))
            && other.values().iter().all(|value| self.contains(value))
    }
}

impl Eq for Audience {}

/// A SET about to be stored and signed: exactly one event, never `sub`, never `exp` (SSF-4.1.2-1, SSF-4.1.7-1, CIP-2.8.1-1).
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    pub iss: &'a str,
    pub jti: &'a str,
    /// Seconds since 1970.
    pub iat: i64,
    pub aud: &'a Audience,
    pub txn: Option<&'a str>,
    /// Seconds since 1970.
    pub toe: Option<i64>,
    /// As JSON.
    pub sub_id: &'a str,
    /// The event type's URI.
    pub event_type: &'a str,
    /// As JSON.
    pub event: &'a str,
}

impl Envelope<'_> {
    /// The claims set as JSON bytes: what is stored, and later signed without a change. The subject and the event stand in it
    /// as they were written once for all streams.
    pub fn to_claims(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + self.sub_id.len() + self.event.len());
        append(&mut out, b"{\"iss\":", self.iss);
        append(&mut out, b",\"jti\":", self.jti);
        append(&mut out, b",\"iat\":", &self.iat);
        append(&mut out, b",\"aud\":", self.aud);
        if let Some(txn) = self.txn {
            append(&mut out, b",\"txn\":", txn);
        }
        if let Some(toe) = self.toe {
            append(&mut out, b",\"toe\":", &toe);
        }
        out.extend_from_slice(b",\"sub_id\":");
        out.extend_from_slice(self.sub_id.as_bytes());
        append(&mut out, b",\"events\":{", self.event_type);
        out.push(b':');
        out.extend_from_slice(self.event.as_bytes());
        out.extend_from_slice(b"}}");
        out
    }
}

/// The claims of a received SET whose signature was verified. Members we do not know are ignored (SSF-4.2.3-2).
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    pub iss: String,
    pub jti: String,
    /// Seconds since 1970; a fraction is cut off.
    pub iat: i64,
    pub aud: Audience,
    /// Not valid before this time, in seconds since 1970.
    pub nbf: Option<i64>,
    pub txn: Option<String>,
    /// Seconds since 1970.
    pub toe: Option<i64>,
    /// Null where it is about nobody, which only what was said of streams once may be.
    pub sub_id: Value,
    /// The event type's URI.
    pub event_type: String,
    /// The event object.
    pub event: Value,
}

/// Why claims are not those of an acceptable SET.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    #[error("the claims are not acceptable JSON: {0}")]
    Json(JsonError),
    #[error("the claims are not a JSON object")]
    NotAnObject,
    #[error("iss is missing or not a non-empty string")]
    Issuer,
    #[error("aud is missing or not a string or array of strings")]
    Audience,
    #[error("jti is missing or not a non-empty string")]
    Jti,
    #[error("{0} is missing or not a number of seconds")]
    Time(&'static str),
    #[error("a SET must not have the claim {0}")]
    Forbidden(&'static str),
    #[error("events is missing or not a JSON object")]
    Events,
    #[error("events has {0} members; exactly one is accepted")]
    EventCount(usize),
    #[error("the event is not a JSON object")]
    Event,
    #[error("sub_id is missing or not an object with a string format")]
    Subject,
}

impl SetError {
    /// The code to answer with (PUSH-2.3-3).
    pub fn code(&self) -> SetErr {
        match self {
            SetError::Issuer => SetErr::InvalidIssuer,
            SetError::Audience => SetErr::InvalidAudience,
            _ => SetErr::InvalidRequest,
        }
    }
}

impl Claims {
    /// Reads the claims of a SET in the order of checks that the answer codes follow: issuer, audience, then the rest.
    pub fn parse(bytes: &[u8]) -> Result<Claims, SetError> {
        Claims::from_value(
            json::parse_strict(bytes, MAX_DEPTH).map_err(SetError::Json)?,
            Legacy::default(),
        )
    }

    /// As [`Claims::parse`], for claims that were brought into shape before.
    pub fn from_value(claims: Value, legacy: Legacy) -> Result<Claims, SetError> {
        let Value::Object(claims) = claims else {
            return Err(SetError::NotAnObject);
        };
        let iss = non_empty(&claims, "iss").ok_or(SetError::Issuer)?;
        let aud = claims
            .get("aud")
            .and_then(|aud| Audience::try_from(aud.clone()).ok())
            .ok_or(SetError::Audience)?;
        let jti = non_empty(&claims, "jti").ok_or(SetError::Jti)?;
        let iat = claims.get("iat").and_then(seconds).ok_or(SetError::Time("iat"))?;
        // SSF-4.1.3-1: with the typ check, these two keep a SET from being taken for an ID Token or access token.
        if let Some(name) = ["sub", "exp"].into_iter().find(|name| claims.contains_key(*name)) {
            return Err(SetError::Forbidden(name));
        }
        let nbf = match claims.get("nbf") {
            Some(nbf) => Some(seconds(nbf).ok_or(SetError::Time("nbf"))?),
            None => None,
        };
        let (event_type, event) = only_event(&claims)?;
        let sub_id = claims
            .get("sub_id")
            .filter(|sub_id| sub_id.get("format").is_some_and(Value::is_string));
        // What a transmitter of old says of a stream may be about nobody.
        let is_about_nobody = legacy.event_uris
            && !claims.contains_key("sub_id")
            && [VERIFICATION, STREAM_UPDATED].contains(&event_type.as_str());
        let sub_id = sub_id.or(is_about_nobody.then_some(&Value::Null));
        Ok(Claims {
            iss,
            jti,
            iat,
            aud,
            nbf,
            // Correlation and time of event are extras: a peer that gets their type wrong still revoked a session.
            txn: claims.get("txn").and_then(Value::as_str).map(str::to_owned),
            toe: claims.get("toe").and_then(seconds),
            sub_id: sub_id.ok_or(SetError::Subject)?.clone(),
            event_type,
            event,
        })
    }
}

/// SSF-4.2.1-4: exactly one event, and its value is an object (SET-2-1).
fn only_event(claims: &Map<String, Value>) -> Result<(String, Value), SetError> {
    let events = claims
        .get("events")
        .and_then(Value::as_object)
        .ok_or(SetError::Events)?;
    let mut entries = events.iter();
    match (entries.next(), entries.next()) {
        (Some((event_type, event)), None) if event.is_object() => Ok((event_type.clone(), event.clone())),
        (Some(_), None) => Err(SetError::Event),
        _ => Err(SetError::EventCount(events.len())),
    }
}

fn non_empty(claims: &Map<String, Value>, name: &str) -> Option<String> {
    claims
        .get(name)?
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// A NumericDate (RFC 7519 2) as whole seconds.
fn seconds(value: &Value) -> Option<i64> {
    let number = value.as_f64()?;
    (0.0..=MAX_SECONDS).contains(&number).then_some(number.floor() as i64)
}

/// The registered SET error codes (RFC 8935 2.4 and SSF-11-2), and whatever else a peer may answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetErr {
    InvalidRequest,
    InvalidKey,
    InvalidIssuer,
    InvalidAudience,
    AuthenticationFailed,
    AccessDenied,
    InvalidState,
    /// Only ever received: the registry is open.
    Other(String),
}

impl SetErr {
    const REGISTERED: [SetErr; 7] = [
        SetErr::InvalidRequest,
        SetErr::InvalidKey,
        SetErr::InvalidIssuer,
        SetErr::InvalidAudience,
        SetErr::AuthenticationFailed,
        SetErr::AccessDenied,
        SetErr::InvalidState,
    ];

    /// The code as it stands in `err`.
    pub fn as_str(&self) -> &str {
        match self {
            SetErr::InvalidRequest => "invalid_request",
            SetErr::InvalidKey => "invalid_key",
            SetErr::InvalidIssuer => "invalid_issuer",
            SetErr::InvalidAudience => "invalid_audience",
            SetErr::AuthenticationFailed => "authentication_failed",
            SetErr::AccessDenied => "access_denied",
            SetErr::InvalidState => "invalid_state",
            SetErr::Other(code) => code,
        }
    }
}

impl From<&str> for SetErr {
    fn from(code: &str) -> Self {
        let registered = SetErr::REGISTERED.into_iter().find(|known| known.as_str() == code);
        registered.unwrap_or_else(|| SetErr::Other(code.to_owned()))
    }
}

impl std::fmt::Display for SetErr {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The `jti` of an event in a stream: the same event published again gets the same one, other events never do.
///
/// The first half of a SHA-256 over the three parts, each with its length before it, so that no two splits collide.
pub fn jti_for(stream_id: &str, source: &str, event_id: &str) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in [stream_id, source, event_id] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    first_bytes(&hash.finalize())
}

/// A `jti` as it stands in the SET: base64url, 22 characters.
pub fn jti_text(jti: &[u8; 16]) -> String {
    Base64UrlUnpadded::encode_string(jti)
}

/// The bytes behind a `jti` of ours, or nothing when it is none.
pub fn jti_bytes(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    let decoded = Base64UrlUnpadded::decode(text, &mut bytes).ok()?;
    (decoded.len() == 16).then_some(bytes)
}

/// Tells same from changed content under one `jti`. Not a security boundary: both sides come from the same publisher.
pub fn content_hash(bytes: &[u8]) -> [u8; 8] {
    first_bytes(&Sha256::digest(bytes))
}

/// The first `N` bytes of a digest that is longer than that.
pub(super) fn first_bytes<const N: usize>(digest: &[u8]) -> [u8; N] {
    digest.first_chunk().copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests;
