//! The inbox of a source: looked through by type, subject and time, waited for, and what of the order of CloudEvents it tells.

mod cloudevents;
mod gaps;
mod search;
mod signed;
mod through;
mod wait;

use serde_json::Value;

pub use crate::receive::Feed;

use crate::support::ACME_AUDIENCE;

impl Feed {
    /// Receives a SET about this subject, of this type, and returns its `jti`.
    #[track_caller]
    pub fn receive(&self, event_type: &str, sub_id: &Value) -> String {
        let draft = self.transmitter.draft(ACME_AUDIENCE);
        let now = draft.claims()["iat"].clone();
        let event = serde_json::json!({event_type: {"event_timestamp": now, "change_type": "create",
                                                    "credential_type": "password"}});
        let draft = draft.claim("sub_id", sub_id.clone()).claim("events", event);
        self.source.push(&self.instance, &draft.sign(), 202);
        draft.jti()
    }
}

/// Parameters as a query string has them.
pub fn query(parameters: &[(&str, &str)]) -> String {
    let encode = |text: &str| -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        text.bytes()
            .map(|byte| {
                if plain(byte) {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect()
    };
    let pairs = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", encode(value)));
    format!("?{}", pairs.collect::<Vec<_>>().join("&"))
}

/// The `jti`s of a page, in its order.
#[track_caller]
pub fn jtis(page: &Value) -> Vec<String> {
    let events = page["events"].as_array().expect("an array");
    events
        .iter()
        .map(|event| event["jti"].as_str().expect("a jti").to_owned())
        .collect()
}
