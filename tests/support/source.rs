//! A source: what an instance receives from somebody.

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Instance};

pub struct Source {
    pub id: String,
    /// What its transmitter has to send.
    pub authorization: String,
    /// The answer to its creation.
    pub created: Value,
}

impl Source {
    /// A source that fetches the keys of its issuer.
    #[track_caller]
    pub fn register(instance: &Instance, issuer: &str, audience: &str) -> Self {
        Self::create(
            instance,
            &json!({"issuer": issuer, "audience": audience, "delivery": "push"}),
        )
    }

    /// Any source.
    #[track_caller]
    pub fn create(instance: &Instance, request: &Value) -> Self {
        let created = instance.operator().post_json("/admin/sources", request, 201);
        let text = |name: &str| created[name].as_str().expect("a string").to_owned();
        Self {
            id: text("source_id"),
            // A source that polls has none.
            authorization: created["authorization_header"].as_str().unwrap_or_default().to_owned(),
            created,
        }
    }

    pub fn receive_path(&self) -> String {
        format!("/receive/{}", self.id)
    }

    /// How the operator manages it.
    pub fn path(&self) -> String {
        format!("/admin/sources/{}", self.id)
    }

    /// A transmitter with the right credentials.
    pub fn transmitter(&self, instance: &Instance) -> Client {
        instance.anyone().with_header("authorization", &self.authorization)
    }

    /// Pushes with the right credentials.
    #[track_caller]
    pub fn push(&self, instance: &Instance, set: &str, expected: u16) -> Answer {
        self.transmitter(instance).push_set(&self.receive_path(), set, expected)
    }

    /// A page of the inbox.
    #[track_caller]
    pub fn page(&self, instance: &Instance, query: &str) -> Value {
        instance.operator().get(&format!("{}/events{query}", self.path()), 200)
    }

    /// All of a small inbox.
    #[track_caller]
    pub fn inbox(&self, instance: &Instance) -> Vec<Value> {
        self.page(instance, "?limit=1000")["events"]
            .as_array()
            .expect("an array")
            .clone()
    }

    /// The `jti`s of the inbox, in order.
    #[track_caller]
    pub fn jtis(&self, instance: &Instance) -> Vec<String> {
        let jti = |event: &Value| event["jti"].as_str().expect("an event has a jti").to_owned();
        self.inbox(instance).iter().map(jti).collect()
    }
}
