//! Many tenants in one deployment: made, changed and deleted by the operator, each with its own issuer, keys, clients and
//! streams, and none of them visible from another.

mod clients;
mod crashes;
mod deleting;
mod effects;
mod events;
mod isolation;
mod lifecycle;
mod list;
mod profiles;
mod settings;
mod signing;
mod whole_path;

use serde_json::Value;

use crate::harness::{Answer, Client};

/// Sends a request and returns its answer, whatever it is.
#[track_caller]
fn attempt(client: &Client, method: &str, path: &str, body: &Value) -> Answer {
    let text = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let json = [("content-type", "application/json")];
    let headers = if body.is_null() { &[][..] } else { &json };
    client
        .try_send(method, path, headers, text.as_bytes())
        .expect("an answer")
}
