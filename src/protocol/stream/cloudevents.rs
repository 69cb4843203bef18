//! A stream that carries CloudEvents instead of SETs: what its receiver says about it, as a member of `delivery`. Not of the
//! Shared Signals Framework.

use serde::Serialize;
use serde_json::Value;

use crate::protocol::cloudevent::ContentMode;
use crate::protocol::problem::{self, Invalid, Problem};
use crate::protocol::record::Record;

const MAX_EVENTS: u32 = 1000;
const DEFAULT_EVENTS: u32 = 100;
const MIN_BYTES: u32 = 1024;
const MAX_BYTES: u32 = 1024 * 1024;
const DEFAULT_BYTES: u32 = 256 * 1024;

/// How a stream's CloudEvents are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Record)]
pub struct CloudEvents {
    pub mode: ContentMode,
    /// Of one request in batched mode; `None` in the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_events: Option<u32>,
    /// Of one request's body in batched mode; a single event may be longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u32>,
}

impl CloudEvents {
    /// Reads the member. Batches are sent to whoever asks for them, and to nobody else (CE-3-2).
    pub fn parse(value: &Value) -> Result<Self, Invalid> {
        let members = problem::object(value)?;
        problem::only_members(members, &["mode", "max_events", "max_bytes", "secret"])?;
        // The secret is ours to make; one that comes back with the rest of a configuration means nothing.
        let mode = match members.get("mode").map(Value::as_str) {
            Some(Some("structured")) => ContentMode::Structured,
            Some(Some("binary")) => ContentMode::Binary,
            Some(Some("batched")) => ContentMode::Batched,
            Some(_) => {
                return Err(Invalid::at(
                    "mode",
                    Problem::NotOneOf(&["structured", "binary", "batched"]),
                ));
            }
            None => return Err(Invalid::at("mode", Problem::Missing)),
        };
        let bound = |name: &'static str, least: u32, most: u32, default: u32, wanted| match members.get(name) {
            Some(_) if mode != ContentMode::Batched => {
                Err(Invalid::at(name, Problem::Refused("is for the mode batched only")))
            }
            None => Ok((mode == ContentMode::Batched).then_some(default)),
            Some(value) => {
                let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
                let number = number.filter(|number| (least..=most).contains(number));
                number.map(Some).ok_or_else(|| Invalid::at(name, Problem::NotA(wanted)))
            }
        };
        Ok(Self {
            mode,
            max_events: bound(
                "max_events",
                1,
                MAX_EVENTS,
                DEFAULT_EVENTS,
                "a whole number from 1 to 1000",
            )?,
            max_bytes: bound(
                "max_bytes",
                MIN_BYTES,
                MAX_BYTES,
                DEFAULT_BYTES,
                "a whole number from 1024 to 1048576",
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_receiver_says_how_and_only_batches_have_bounds() {
        for (given, read) in [
            (json!({"mode": "structured"}), json!({"mode": "structured"})),
            (
                json!({"mode": "binary", "secret": "whsec_x"}),
                json!({"mode": "binary"}),
            ),
            (
                json!({"mode": "batched"}),
                json!({"mode": "batched", "max_events": 100, "max_bytes": 262_144}),
            ),
            (
                json!({"mode": "batched", "max_events": 1, "max_bytes": 1024}),
                json!({"mode": "batched", "max_events": 1, "max_bytes": 1024}),
            ),
        ] {
            let parsed = CloudEvents::parse(&given).unwrap();
            assert_eq!(json!(parsed), read, "{given}");
            assert_eq!(CloudEvents::from_json(read), Ok(parsed));
        }
        for (given, pointer) in [
            (json!("structured"), ""),
            (json!({}), "/mode"),
            (json!({"mode": "batch"}), "/mode"),
            (json!({"mode": "binary", "max_events": 5}), "/max_events"),
            (json!({"mode": "batched", "max_events": 0}), "/max_events"),
            (json!({"mode": "batched", "max_events": 1001}), "/max_events"),
            (json!({"mode": "batched", "max_bytes": 1023}), "/max_bytes"),
            (json!({"mode": "batched", "bytes": 1023}), "/bytes"),
        ] {
            assert_eq!(CloudEvents::parse(&given).unwrap_err().pointer, pointer, "{given}");
        }
    }
}
