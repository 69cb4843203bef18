//! Push delivery (RFC 8935): the error body of a refused SET. Read leniently, because foreign receivers write it.

use serde_json::Value;

use super::json::{self, json};
use super::set::SetErr;

/// The language of our own descriptions (PUSH-2.3-4).
pub const CONTENT_LANGUAGE: &str = "en";

/// Longest `description` kept of a foreign error, in bytes: enough to understand it, too little to fill a table with.
pub const MAX_DESCRIPTION: usize = 1024;
/// Longest foreign `err` kept, in bytes.
pub const MAX_ERR: usize = 64;

/// Why a SET was refused (RFC 8935 2.3), in a push answer or under `setErrs` of a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorBody {
    pub err: SetErr,
    pub description: String,
}

impl ErrorBody {
    pub fn new(err: SetErr, description: impl Into<String>) -> Self {
        ErrorBody {
            err,
            description: description.into(),
        }
    }

    /// `{"err": …, "description": …}`.
    pub fn to_json(&self) -> Value {
        json!({"err": self.err.as_str(), "description": self.description})
    }

    /// Reads a foreign receiver's body. `None` when it is no JSON object with a string `err`; a description that is
    /// missing or no string is "". Long values are clipped.
    pub fn parse(bytes: &[u8]) -> Option<ErrorBody> {
        ErrorBody::from_value(&json::parse_strict(bytes, 8).ok()?)
    }

    /// As [`ErrorBody::parse`], for a value that is part of a larger document.
    pub fn from_value(value: &Value) -> Option<ErrorBody> {
        let err = clip(value.get("err")?.as_str()?, MAX_ERR);
        let description = value.get("description").and_then(Value::as_str).unwrap_or_default();
        Some(ErrorBody::new(SetErr::from(err), clip(description, MAX_DESCRIPTION)))
    }
}

/// At most the first `max` bytes, ending at a character boundary.
pub fn clip(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn error_bodies_survive_the_round_trip() {
        // PUSH-2.3-3
        let body = ErrorBody::new(SetErr::InvalidAudience, "aud is not this recipient");
        let bytes = body.to_json().to_string();
        assert_eq!(
            bytes,
            r#"{"description":"aud is not this recipient","err":"invalid_audience"}"#
        );
        assert_eq!(ErrorBody::parse(bytes.as_bytes()), Some(body));
    }

    #[test]
    fn foreign_bodies_are_read_leniently() {
        for (text, expected) in [
            (r#"{"err":"invalid_key"}"#, Some((SetErr::InvalidKey, ""))),
            (
                r#"{"err":"jwtAud","description":"x","more":1}"#,
                Some((SetErr::Other("jwtAud".into()), "x")),
            ),
            (
                r#"{"err":"access_denied","description":{"en":"x"}}"#,
                Some((SetErr::AccessDenied, "")),
            ),
            (
                r#"{"err":"Invalid_Key","description":"case counts"}"#,
                Some((SetErr::Other("Invalid_Key".into()), "case counts")),
            ),
            (r#"{"err":1}"#, None),
            (r#"{"error":"invalid_request"}"#, None),
            (r#"["err"]"#, None),
            ("<html>", None),
            ("", None),
        ] {
            let expected = expected.map(|(err, description)| ErrorBody::new(err, description));
            assert_eq!(ErrorBody::parse(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn long_values_are_clipped_between_characters() {
        let text = json!({"err": "e".repeat(1000), "description": "é".repeat(1000)}).to_string();
        let body = ErrorBody::parse(text.as_bytes()).unwrap();
        assert_eq!(body.err.as_str().len(), MAX_ERR);
        assert_eq!(body.description, "é".repeat(512));
        for (text, max, expected) in [("aé", 2, "a"), ("aé", 3, "aé"), ("", 5, ""), ("abc", 0, "")] {
            assert_eq!(clip(text, max), expected);
        }
    }
}
