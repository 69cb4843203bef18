//! What a source received goes on to an application of its owner: with its consent, in order for each subject, and nothing of it
//! lost whatever dies on the way.

mod changes;
mod handing;
mod kill;
mod life;

use serde_json::{Value, json};

use crate::cloudevents::{Pushed, pushed_to};
use crate::handshake::consent;
use crate::harness::{Client, Instance, Options, ScriptedReceiver, ScriptedTransmitter, eventually};
use crate::support::{ACME_AUDIENCE, Source};

/// Retries of all kinds come soon.
pub fn soon() -> Options {
    Options::default()
        .set("HANDSHAKE_RETRY_MS", 20)
        .set("RETRY_BASE_MS", 20)
        .set("RETRY_CAP_MS", 100)
}

/// A source whose events go on to an endpoint, with everybody who has to do with it.
pub struct Chain {
    pub instance: Instance,
    pub transmitter: ScriptedTransmitter,
    pub endpoint: ScriptedReceiver,
    pub source: Source,
}

impl Chain {
    /// To an endpoint that consents.
    #[track_caller]
    pub fn start(options: Options, forward: &Value) -> Self {
        let endpoint = ScriptedReceiver::start();
        endpoint.otherwise_consent(consent("*"));
        Self::to(endpoint, options, forward)
    }

    /// With these members of `forward` beside the endpoint.
    #[track_caller]
    pub fn to(endpoint: ScriptedReceiver, options: Options, forward: &Value) -> Self {
        let instance = Instance::start(options);
        let transmitter = ScriptedTransmitter::start();
        let mut forward = forward.clone();
        forward["endpoint_url"] = json!(endpoint.url("/events"));
        let request = json!({"issuer": transmitter.issuer(), "audience": ACME_AUDIENCE, "forward": forward});
        let source = Source::create(&instance, &request);
        Self {
            instance,
            transmitter,
            endpoint,
            source,
        }
    }

    pub fn operator(&self) -> Client {
        self.instance.operator()
    }

    /// What the source shows of it now.
    #[track_caller]
    pub fn forward(&self) -> Value {
        self.operator().get(&self.source.path(), 200)["forward"].clone()
    }

    #[track_caller]
    pub fn stream_id(&self) -> String {
        let forward = self.forward();
        forward["stream_id"]
            .as_str()
            .unwrap_or_else(|| panic!("no stream: {forward}"))
            .to_owned()
    }

    #[track_caller]
    pub fn stream_path(&self) -> String {
        format!("/admin/streams/{}", self.stream_id())
    }

    #[track_caller]
    pub fn health(&self) -> Value {
        self.operator().get(&self.stream_path(), 200)
    }

    /// What the answer that made the stream said its secret is.
    #[track_caller]
    pub fn secret(&self) -> String {
        secret_in(&self.source.created)
    }

    /// Receives an event about the holder of an address; its `jti` and its `txn` say which.
    #[track_caller]
    pub fn receive(&self, id: &str, email: &str) {
        self.source.push(&self.instance, &self.set(id, email), 202);
    }

    pub fn set(&self, id: &str, email: &str) -> String {
        let draft = self.transmitter.draft(ACME_AUDIENCE);
        let subject = json!({"format": "email", "email": email});
        draft
            .claim("jti", id)
            .claim("txn", format!("txn-{id}"))
            .claim("sub_id", subject)
            .sign()
    }

    /// Receives events `a1`, `b1`…: the letter is the subject.
    #[track_caller]
    pub fn receive_all(&self, ids: &[&str]) {
        for id in ids {
            self.receive(id, &format!("{}@example.com", &id[..1]));
        }
    }

    #[track_caller]
    pub fn patch(&self, forward: &Value) -> Value {
        self.operator()
            .patch_json(&self.source.path(), &json!({"forward": forward}), 200)
    }

    /// The CloudEvents that arrived at a path, in their order.
    #[track_caller]
    pub fn arrived_at(&self, path: &str) -> Vec<Pushed> {
        pushed_to(&self.endpoint, path)
    }

    /// Their ids.
    #[track_caller]
    pub fn ids(&self) -> Vec<String> {
        self.arrived_at("/events")
            .iter()
            .map(|event| event.text("id").to_owned())
            .collect()
    }

    /// Waits until these have arrived, in whatever order and however often; all that did.
    #[track_caller]
    pub fn wait_for_ids(&self, ids: &[&str]) -> Vec<String> {
        eventually("all arrive", || {
            let arrived = self.ids();
            ids.iter()
                .all(|id| arrived.iter().any(|arrived| arrived == id))
                .then_some(arrived)
        })
    }

    /// The problem of this code that the source has, if it has one.
    #[track_caller]
    pub fn problem(&self, code: &str) -> Option<Value> {
        problem(&self.operator().get(&self.source.path(), 200), code)
    }
}

/// The problem of this code among those of a source as it is shown.
#[track_caller]
pub fn problem(source: &Value, code: &str) -> Option<Value> {
    let problems = source["health"]["problems"].as_array().expect("problems");
    problems.iter().find(|problem| problem["code"] == code).cloned()
}

/// The secret that an answer shows.
#[track_caller]
pub fn secret_in(source: &Value) -> String {
    let secret = source["forward"]["webhook_secret"].as_str();
    secret.unwrap_or_else(|| panic!("no secret in {source}")).to_owned()
}

/// The ids of one subject among others, whose first letter it is.
pub fn of_subject(ids: &[String], subject: char) -> Vec<&str> {
    ids.iter()
        .map(String::as_str)
        .filter(|id| id.starts_with(subject))
        .collect()
}
