//! Verification of a stream (SSF 1.0 section 8.1.4): the request for it, and the event that answers.

use serde_json::Value;

use super::json::json;
use super::problem::{self, Invalid, Problem};
use super::stream;

/// Longest `state`, in characters: room for a signed token, which is the largest thing that correlates.
pub const MAX_STATE: usize = 1024;

/// A receiver's request to send it a verification event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationRequest {
    pub stream_id: String,
    /// To be said back as it is: neither trimmed nor normalised, and an empty one is one too (SSF-8.1.4.2-2). At most
    /// [`MAX_STATE`] characters.
    pub state: Option<String>,
}

impl VerificationRequest {
    /// Reads the body of a request. Unknown members are ignored.
    pub fn parse(value: &Value) -> Result<VerificationRequest, Invalid> {
        let members = problem::object(value)?;
        Ok(VerificationRequest {
            stream_id: stream::stream_id(members)?,
            state: problem::optional(members, "state", state)?,
        })
    }
}

fn state(value: &Value) -> Result<String, Invalid> {
    let text = value.as_str().ok_or_else(|| Invalid::here(Problem::NotA("a string")))?;
    if text.chars().nth(MAX_STATE).is_some() {
        return Err(Invalid::here(Problem::TooLong(MAX_STATE)));
    }
    Ok(text.to_owned())
}

/// The event object. Without `state`: nobody asked for the event, or nobody gave one (SSF-8.1.4.2-3, SSF-8.1.4.2-8).
pub fn event(state: Option<&str>) -> Value {
    match state {
        Some(state) => json!({"state": state}),
        None => json!({}),
    }
}

/// The subject of everything that a stream says about itself: verification and stream-updated (SSF-8.1.4.1-1,
/// SSF-8.1.5-5).
pub fn subject(stream_id: &str) -> Value {
    json!({"format": "opaque", "id": stream_id})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{mutate, subject as subjects};
    use serde_json::json;

    #[test]
    fn a_state_comes_back_as_it_went() {
        // SSF-8.1.4.2-2
        let longest = "\u{1f511}".repeat(MAX_STATE);
        for state in [
            "v-9c41e2", "", " a\t\n", "e\u{301}", "\u{e9}", "\u{0}", "\u{feff}", &longest,
        ] {
            let body = json!({"stream_id": "st-1", "state": state});
            let request = VerificationRequest::parse(&body).unwrap();
            assert_eq!(
                request,
                VerificationRequest {
                    stream_id: "st-1".into(),
                    state: Some(state.into())
                }
            );
            assert_eq!(event(request.state.as_deref()), json!({"state": state}));
        }
    }

    #[test]
    fn without_a_state_the_event_has_none() {
        // SSF-8.1.4.2-3, SSF-8.1.4.2-8
        for body in [
            json!({"stream_id": "st-1"}),
            json!({"stream_id": "st-1", "later": {"a": 1}}),
        ] {
            let request = VerificationRequest::parse(&body).unwrap();
            assert_eq!(event(request.state.as_deref()), json!({}));
        }
    }

    #[test]
    fn faults_are_found_and_placed() {
        use Problem::{Empty, Missing, NotA, TooLong};
        for (body, pointer, problem) in [
            (json!("st-1"), "", NotA("an object")),
            (json!({"state": "x"}), "/stream_id", Missing),
            (json!({"stream_id": null}), "/stream_id", NotA("a string")),
            (json!({"stream_id": ""}), "/stream_id", Empty),
            (json!({"stream_id": "a".repeat(257)}), "/stream_id", TooLong(256)),
            (json!({"stream_id": "st-1", "state": null}), "/state", NotA("a string")),
            (json!({"stream_id": "st-1", "state": 7}), "/state", NotA("a string")),
            (
                json!({"stream_id": "st-1", "state": "é".repeat(1025)}),
                "/state",
                TooLong(1024),
            ),
        ] {
            let pointer = pointer.to_owned();
            assert_eq!(
                VerificationRequest::parse(&body),
                Err(Invalid { pointer, problem }),
                "{body}"
            );
        }
    }

    #[test]
    fn a_stream_is_an_opaque_subject() {
        // SSF-8.1.4.1-1, SSF-8.1.5-5
        assert_eq!(subject("st-1"), json!({"format": "opaque", "id": "st-1"}));
        assert_eq!(subjects::validate(&subject("st-1")), Ok(()));
    }

    /// What is accepted is said back as it was given.
    #[test]
    fn no_body_upsets_the_parser() {
        let mut accepted = 0;
        for bytes in mutate::variants(&[r#"{"stream_id":"st-1","state":"v-9c41e2"}"#], 10_000) {
            let Ok(body) = serde_json::from_slice::<Value>(&bytes) else {
                continue;
            };
            if let Ok(request) = VerificationRequest::parse(&body) {
                accepted += 1;
                assert_eq!(
                    event(request.state.as_deref()).get("state"),
                    body.get("state"),
                    "{body}"
                );
            }
        }
        assert!(accepted > 500, "the seed is no longer near the rules: {accepted}");
    }
}
