//! A client as an operator registers it, and its streams.

use serde_json::{Value, json};

use crate::harness::{Client, Instance};

/// Delivery methods as SSF names them (SSF-6.1.1-1, SSF-6.1.2-1).
pub const PUSH: &str = "urn:ietf:rfc:8935";
pub const POLL: &str = "urn:ietf:rfc:8936";

/// What Acme's streams carry as `aud`.
pub const ACME_AUDIENCE: &str = "https://acme.example";

/// A registered client with an access token for all its scopes.
pub struct Acme {
    /// Where its tenant lives, below the origin: empty for `default`.
    base: String,
    pub client_id: String,
    pub client_secret: String,
    pub token: String,
    /// Sends the token.
    pub api: Client,
}

impl Acme {
    /// A receiver that may be pushed to at these endpoints.
    #[track_caller]
    pub fn register(instance: &Instance, push_endpoints: &[&str]) -> Self {
        Self::with_scope(instance, "ssf.read ssf.manage", push_endpoints)
    }

    /// A client with other rights.
    #[track_caller]
    pub fn with_scope(instance: &Instance, scope: &str, push_endpoints: &[&str]) -> Self {
        let registration = json!({
            "client_name": "Acme",
            "scope": scope,
            "audience": ACME_AUDIENCE,
            "push_endpoints": push_endpoints,
        });
        Self::of_tenant(instance, "", &registration)
    }

    /// Any client of the tenant that lives under `base`.
    #[track_caller]
    pub fn of_tenant(instance: &Instance, base: &str, registration: &Value) -> Self {
        let path = format!("{base}/admin/clients");
        let registered = instance.operator().post_json(&path, registration, 201);
        let text = |name: &str| registered[name].as_str().expect("a string").to_owned();
        let (client_id, client_secret) = (text("client_id"), text("client_secret"));
        let token = token(instance, base, &client_id, &client_secret);
        let api = instance.anyone().bearer(&token);
        Self {
            base: base.to_owned(),
            client_id,
            client_secret,
            token,
            api,
        }
    }

    /// Asks for another access token.
    #[track_caller]
    pub fn new_token(&self, instance: &Instance) -> String {
        token(instance, &self.base, &self.client_id, &self.client_secret)
    }

    /// Where the operator manages it.
    pub fn path(&self) -> String {
        format!("{}/admin/clients/{}", self.base, self.client_id)
    }

    /// Creates a stream that is polled.
    #[track_caller]
    pub fn poll_stream(&self) -> Stream {
        self.stream(&json!({"delivery": {"method": POLL}}))
    }

    /// Creates a stream that is pushed to this endpoint.
    #[track_caller]
    pub fn push_stream(&self, endpoint_url: &str) -> Stream {
        self.stream(&json!({"delivery": {"method": PUSH, "endpoint_url": endpoint_url}}))
    }

    /// Creates any stream.
    #[track_caller]
    pub fn stream(&self, request: &Value) -> Stream {
        let configuration = self.api.post_json(&format!("{}/ssf/streams", self.base), request, 201);
        Stream {
            base: self.base.clone(),
            id: configuration["stream_id"]
                .as_str()
                .expect("a stream has an id")
                .to_owned(),
            configuration,
            api: self.api.clone(),
        }
    }
}

#[track_caller]
fn token(instance: &Instance, base: &str, client_id: &str, client_secret: &str) -> String {
    let client = instance.anyone().basic(client_id, client_secret);
    let answer = client.post_form(
        &format!("{base}/oauth/token"),
        &[("grant_type", "client_credentials")],
        200,
    );
    answer["access_token"].as_str().expect("an access token").to_owned()
}

/// A stream as its receiver knows it.
pub struct Stream {
    base: String,
    pub id: String,
    pub configuration: Value,
    api: Client,
}

impl Stream {
    /// Where it is polled.
    pub fn poll_path(&self) -> String {
        format!("{}/ssf/poll/{}", self.base, self.id)
    }

    /// Where it is read and deleted.
    pub fn path(&self) -> String {
        format!("{}/ssf/streams?stream_id={}", self.base, self.id)
    }

    /// Where the operator manages it, and what follows.
    pub fn admin_path(&self, rest: &str) -> String {
        format!("{}/admin/streams/{}{rest}", self.base, self.id)
    }

    /// Its configuration as it is now.
    #[track_caller]
    pub fn read(&self) -> Value {
        self.api.get(&self.path(), 200)
    }

    /// Polls as the request says.
    #[track_caller]
    pub fn poll(&self, request: &Value) -> Value {
        self.api.post_json(&self.poll_path(), request, 200)
    }

    /// Polls without waiting: the SETs that were handed out, by `jti`.
    #[track_caller]
    pub fn poll_now(&self) -> Vec<(String, String)> {
        sets(&self.poll(&json!({"returnImmediately": true, "maxEvents": 1000})))
    }

    /// Acknowledges, and asks for nothing.
    #[track_caller]
    pub fn ack(&self, jtis: &[&str]) {
        self.poll(&json!({"returnImmediately": true, "maxEvents": 0, "ack": jtis}));
    }

    #[track_caller]
    pub fn delete(&self) {
        self.api.delete(&self.path(), 204);
    }

    /// How the operator sees it.
    #[track_caller]
    pub fn health(&self, instance: &Instance) -> Value {
        instance.operator().get(&self.admin_path(""), 200)
    }

    /// The last attempts, newest first.
    #[track_caller]
    pub fn deliveries(&self, instance: &Instance) -> Vec<Value> {
        let answer = instance.operator().get(&self.admin_path("/deliveries"), 200);
        answer["deliveries"].as_array().expect("an array").clone()
    }

    #[track_caller]
    pub fn dead_letters(&self, instance: &Instance) -> Vec<Value> {
        let answer = instance.operator().get(&self.admin_path("/dead-letters"), 200);
        answer["dead_letters"].as_array().expect("an array").clone()
    }
}

/// The SETs of a poll answer, by `jti`.
#[track_caller]
pub fn sets(answer: &Value) -> Vec<(String, String)> {
    let sets = answer["sets"].as_object().expect("sets are an object");
    let text = |set: &Value| set.as_str().expect("a SET is a string").to_owned();
    sets.iter().map(|(jti, set)| (jti.clone(), text(set))).collect()
}
