//! Events to publish.

use serde_json::{Value, json};

use crate::harness::Client;

pub const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
pub const CREDENTIAL_CHANGE: &str = "https://schemas.openid.net/secevent/caep/event-type/credential-change";
pub const ACCOUNT_DISABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";

/// A session-revoked event about the holder of an e-mail address.
pub fn event(id: &str, email: &str) -> Value {
    json!({
        "id": id,
        "type": SESSION_REVOKED,
        "sub_id": {"format": "email", "email": email},
        "event": {"event_timestamp": 1_795_263_000, "initiating_entity": "admin", "reason_admin": {"en": "Lost laptop"}},
        "txn": format!("txn-{id}"),
        "toe": 1_795_263_000,
    })
}

/// Publishes events that are all good, and returns how many streams stored them.
#[track_caller]
pub fn publish(publisher: &Client, events: &[Value]) -> u64 {
    let answer = publisher.post_json("/events", &json!({"events": events}), 202);
    assert_eq!(
        (&answer["accepted"], &answer["refused"]),
        (&json!(events.len()), &json!([])),
        "{answer}"
    );
    answer["streams"].as_u64().expect("a number of streams")
}
