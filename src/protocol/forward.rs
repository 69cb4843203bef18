//! What is received goes on to its owner: how he says where to, and what is handed from the source to the stream that
//! delivers it.

use serde::Serialize;
use serde_json::Value;

use super::endpoint_url::{EndpointUrl, UrlPolicy};
use super::json::{json, put};
use super::problem::{self, Invalid, Problem};
use super::record::Record;
use super::stream::{Delivery, PUSH};

/// What an event is handed on in. Both are signed as Standard Webhooks have it, with the secret of their stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Record)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// A CloudEvent in structured mode.
    #[default]
    Cloudevent,
    /// The claims of the SET as they were signed.
    Claims,
}

/// A stream that hands on what a source received, as the source knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Record)]
pub struct Forward {
    pub stream_id: String,
    pub endpoint_url: String,
    pub envelope: Form,
}

/// What an owner wishes: all of it for a new stream, a part to change one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Record)]
pub struct Wish {
    pub endpoint_url: String,
    pub envelope: Form,
    /// One entry: the header, or that there is none any more. Empty: it stays.
    pub authorization_header: Vec<Option<String>>,
}

impl Wish {
    /// Reads the member `forward`. What is left out stays as it is `now`; without that the endpoint is required.
    pub fn parse(value: &Value, now: Option<&Forward>, policy: &UrlPolicy) -> Result<Self, Invalid> {
        let read = || {
            let members = problem::object(value)?;
            problem::only_members(members, &["endpoint_url", "authorization_header", "envelope"])?;
            let envelope = match members.get("envelope") {
                None => now.map(|now| now.envelope).unwrap_or_default(),
                Some(Value::Null) => Form::default(),
                Some(value) => match value.as_str() {
                    Some("cloudevent") => Form::Cloudevent,
                    Some("claims") => Form::Claims,
                    _ => return Err(Invalid::at("envelope", Problem::NotOneOf(&["cloudevent", "claims"]))),
                },
            };
            let mut delivery = json!({"method": PUSH});
            let given = members.get("endpoint_url").cloned();
            if let Some(endpoint_url) = given.or_else(|| now.map(|now| json!(now.endpoint_url))) {
                put(&mut delivery, "endpoint_url", endpoint_url);
            }
            let header = members.get("authorization_header");
            if let Some(header) = header.filter(|header| !header.is_null()) {
                put(&mut delivery, "authorization_header", header.clone());
            }
            let mut delivery = Delivery::parse(&delivery)?;
            let header_now = delivery.take_authorization();
            let Delivery::Push { endpoint_url, .. } = delivery else {
                return Err(Invalid::at("endpoint_url", Problem::Missing));
            };
            let url = EndpointUrl::parse(&endpoint_url, policy)
                .map_err(|error| Invalid::at("endpoint_url", Problem::Url(error)))?;
            Ok(Self {
                endpoint_url: url.as_str().to_owned(),
                envelope,
                authorization_header: header
                    .map(|_| header_now.map(super::secret::Secret::into_inner))
                    .into_iter()
                    .collect(),
            })
        };
        read().map_err(|found: Invalid| found.under("forward"))
    }
}

/// A received event on its way to the stream that hands it on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Record)]
pub struct Handed {
    /// With `jti` what tells it from others.
    pub iss: String,
    pub jti: String,
    /// The claims of its SET, byte for byte.
    pub claims: String,
}

/// How the stream keeps it: its place in the order of the stream, always as long, and the claims.
const BEFORE_NUMBER: &[u8] = br#"{"sequence":""#;
const BEFORE_CLAIMS: &[u8] = br#"","claims":"#;
const NUMBER: usize = 20;

/// An event with its number, as it is stored: what it is handed on in is decided when it leaves.
pub fn numbered(sequence: u64, claims: &str) -> Vec<u8> {
    let number = format!("{sequence:0NUMBER$}");
    [BEFORE_NUMBER, number.as_bytes(), BEFORE_CLAIMS, claims.as_bytes(), b"}"].concat()
}

/// The number and the claims of what [`numbered`] made; nothing of anything else.
pub fn split(stored: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = stored.strip_prefix(BEFORE_NUMBER)?.split_at_checked(NUMBER)?;
    let claims = rest.strip_prefix(BEFORE_CLAIMS)?.strip_suffix(b"}")?;
    Some((std::str::from_utf8(number).ok()?.parse().ok()?, claims))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy() -> UrlPolicy {
        UrlPolicy::of_issuer(false, "https://signals.quarry.io")
    }

    #[test]
    fn a_wish_names_an_endpoint_and_a_change_only_what_changes() {
        let parse = |value: Value, now: Option<&Forward>| Wish::parse(&value, now, &policy());
        let new = parse(json!({"endpoint_url": "https://app.quarry.io/events"}), None).unwrap();
        assert_eq!((new.envelope, new.authorization_header.len()), (Form::Cloudevent, 0));
        let now = Forward {
            stream_id: "s".into(),
            endpoint_url: new.endpoint_url.clone(),
            envelope: Form::Claims,
        };
        let same = parse(json!({}), Some(&now)).unwrap();
        assert_eq!((same.endpoint_url, same.envelope), (new.endpoint_url, Form::Claims));
        let header = |value: Value| parse(json!({"authorization_header": value}), Some(&now)).unwrap();
        assert_eq!(
            header(json!("Bearer x")).authorization_header,
            [Some("Bearer x".to_owned())]
        );
        assert_eq!(header(json!(null)).authorization_header, [None]);
        assert_eq!(
            parse(json!({"envelope": null}), Some(&now)).unwrap().envelope,
            Form::Cloudevent
        );
        for (value, pointer) in [
            (json!(null), "/forward"),
            (json!("https://app.quarry.io"), "/forward"),
            (json!({}), "/forward/endpoint_url"),
            (json!({"endpoint_url": null}), "/forward/endpoint_url"),
            (json!({"endpoint_url": "http://app.example/"}), "/forward/endpoint_url"),
            (json!({"endpoint_url": "https://192.0.2.1/"}), "/forward/endpoint_url"),
            (
                json!({"endpoint_url": "https://signals.quarry.io/events"}),
                "/forward/endpoint_url",
            ),
            (
                json!({"endpoint_url": "https://app.quarry.io/", "envelope": "set"}),
                "/forward/envelope",
            ),
            (
                json!({"endpoint_url": "https://app.quarry.io/", "mode": "binary"}),
                "/forward/mode",
            ),
            (
                json!({"endpoint_url": "https://app.quarry.io/", "authorization_header": "a\nb"}),
                "/forward/authorization_header",
            ),
        ] {
            assert_eq!(parse(value.clone(), None).unwrap_err().pointer, pointer, "{value}");
        }
    }

    #[test]
    fn what_is_stored_comes_apart_again_byte_for_byte() {
        for (sequence, claims) in [(1, "{}"), (u64::MAX, r#"{"a": "}", "claims":""}"#)] {
            let stored = numbered(sequence, claims);
            assert_eq!(split(&stored), Some((sequence, claims.as_bytes())));
            assert!(serde_json::from_slice::<Value>(&stored).is_ok());
        }
        for other in ["", "{}", r#"{"sequence":"1","claims":{}}"#, r#"{"iss":"i"}"#] {
            assert_eq!(split(other.as_bytes()), None);
        }
    }
}
