//! CloudEvents published to `/events`.

mod accepted;
mod batches;
mod bodies;
mod headers;
mod identity;
mod refused;

use serde_json::{Value, json};

use crate::harness::{Answer, Instance, Options};
use crate::manage::{Stream, Tenant};
use crate::support::Set;

/// An instance with one stream that takes everything.
pub struct World {
    pub instance: Instance,
    pub tenant: Tenant,
    pub stream: Stream,
}

impl World {
    #[track_caller]
    pub fn start() -> Self {
        let instance = Instance::start(Options::default());
        let tenant = Tenant::default(&instance);
        let stream = tenant.receiver(&[]).poll_stream();
        Self {
            instance,
            tenant,
            stream,
        }
    }

    /// The SETs that wait, in no order. They go on waiting.
    #[track_caller]
    pub fn waiting(&self) -> Vec<Set> {
        self.stream.poll_now()
    }

    /// The SETs that wait, in their order. Then nothing waits any more.
    #[track_caller]
    pub fn drain(&self) -> Vec<Set> {
        self.stream.drain()
    }

    #[track_caller]
    pub fn queued(&self) -> u64 {
        self.stream.health()["queued_events"].as_u64().expect("a number")
    }

    /// Publishes to `/events` as the operator with these headers and this body.
    #[track_caller]
    pub fn publish(&self, headers: &[(&str, &str)], body: &str, expected: u16) -> Answer {
        let operator = self.tenant.operator();
        operator.send("POST", "/events", headers, body.as_bytes(), expected)
    }
}

/// 202 as for events in our own form.
#[track_caller]
pub fn assert_accepted(answer: &Answer, accepted: usize, streams: usize) {
    assert_eq!(
        answer.json(),
        json!({"accepted": accepted, "streams": streams, "refused": []}),
        "{answer}"
    );
}

/// The `ce-` headers that every event in binary mode needs.
pub fn required(id: &str) -> Vec<(&str, &str)> {
    vec![
        ("ce-specversion", "1.0"),
        ("ce-id", id),
        ("ce-source", "https://idp.example.com/tenants/9"),
        ("ce-type", crate::support::SESSION_REVOKED),
        ("content-type", "application/json"),
    ]
}

/// The data of an event about Ana.
pub fn data() -> Value {
    super::cloud_event("x", "ana@example.com")["data"].clone()
}

/// The headers with another value for one of them.
pub fn but<'a>(headers: &[(&'a str, &'a str)], name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut changed = lacking(headers, name);
    changed.push((name, value));
    changed
}

/// The headers without one of them.
pub fn lacking<'a>(headers: &[(&'a str, &'a str)], name: &str) -> Vec<(&'a str, &'a str)> {
    headers.iter().copied().filter(|(known, _)| *known != name).collect()
}
