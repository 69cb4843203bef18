//! A tenant, its receivers and their streams, as the tests of the management API use them. Named tenants are cheap: whatever
//! needs other settings, or must not see the events of others, takes one of its own.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Instance};
use crate::support::{ACME_AUDIENCE, POLL, PUSH, Set};

use super::brief;

/// A tenant and its operator.
pub struct Tenant {
    /// As `/admin/tenants` has it.
    name: String,
    /// What paths begin with: empty for `default`.
    base: String,
    origin: String,
    anyone: Client,
    operator: Client,
}

impl Tenant {
    /// The tenant that is always there.
    pub fn default(instance: &Instance) -> Self {
        Self {
            name: "default".to_owned(),
            base: String::new(),
            origin: instance.origin(),
            anyone: instance.anyone(),
            operator: instance.operator(),
        }
    }

    /// A new tenant with these settings.
    #[track_caller]
    pub fn create(instance: &Instance, settings: &Value) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut request = settings.clone();
        request["tenant"] = json!(name);
        instance.operator().post_json("/admin/tenants", &request, 201);
        Self {
            base: format!("/t/{name}"),
            name,
            ..Self::default(instance)
        }
    }

    /// A path of this tenant.
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Where its metadata lies: the well-known part comes before the tenant's (SSF-7.2-2).
    pub fn metadata_path(&self) -> String {
        format!("/.well-known/ssf-configuration{}", self.base)
    }

    /// What its SETs and configurations carry as `iss`.
    pub fn issuer(&self) -> String {
        format!("{}{}", self.origin, self.base)
    }

    /// A client without credentials.
    pub fn anyone(&self) -> Client {
        self.anyone.clone()
    }

    /// A client with the operator's token.
    pub fn operator(&self) -> Client {
        self.operator.clone()
    }

    /// Changes settings; `null` puts a default back.
    #[track_caller]
    pub fn change(&self, settings: &Value) {
        self.operator
            .patch_json(&format!("/admin/tenants/{}", self.name), settings, 200);
    }

    #[track_caller]
    pub fn jwks(&self) -> Value {
        self.anyone.get(&self.path("/jwks.json"), 200)
    }

    /// A receiver that may do all that receivers may, and be pushed to at these endpoints.
    #[track_caller]
    pub fn receiver(&self, push_endpoints: &[&str]) -> Receiver {
        self.register(&json!({"push_endpoints": push_endpoints}))
    }

    /// A client that differs from the usual receiver in these members.
    #[track_caller]
    pub fn register(&self, members: &Value) -> Receiver {
        let mut registration = json!({
            "client_name": "Acme",
            "scope": "ssf.read ssf.manage",
            "audience": ACME_AUDIENCE,
        });
        for (name, value) in members.as_object().expect("members are an object") {
            registration[name] = value.clone();
        }
        let clients = self.path("/admin/clients");
        let registered = self.operator.post_json(&clients, &registration, 201);
        let text = |name: &str| registered[name].as_str().expect("a string").to_owned();
        let credentials = self.anyone().basic(&text("client_id"), &text("client_secret"));
        let form = [("grant_type", "client_credentials")];
        let token = credentials.post_form(&self.path("/oauth/token"), &form, 200);
        let token = token["access_token"].as_str().expect("an access token");
        Receiver {
            base: self.base.clone(),
            api: self.anyone().bearer(token),
            operator: self.operator(),
        }
    }

    /// Publishes events that are all good, and returns how many streams stored them.
    #[track_caller]
    pub fn publish(&self, events: &[Value]) -> u64 {
        let answer = self
            .operator
            .post_json(&self.path("/events"), &json!({"events": events}), 202);
        assert_eq!(answer["accepted"], json!(events.len()), "{answer}");
        answer["streams"].as_u64().expect("a number of streams")
    }
}

/// A registered client with a token.
#[derive(Clone)]
pub struct Receiver {
    base: String,
    /// Sends the token.
    pub api: Client,
    operator: Client,
}

impl Receiver {
    /// A path of its tenant.
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Creates any stream.
    #[track_caller]
    pub fn stream(&self, request: &Value) -> Stream {
        let configuration = self.api.post_json(&self.path("/ssf/streams"), request, 201);
        let id = configuration["stream_id"].as_str().expect("a stream has an id");
        Stream {
            id: id.to_owned(),
            configuration,
            receiver: self.clone(),
        }
    }

    #[track_caller]
    pub fn poll_stream(&self) -> Stream {
        self.stream(&json!({"delivery": {"method": POLL}}))
    }

    #[track_caller]
    pub fn push_stream(&self, endpoint_url: &str) -> Stream {
        self.stream(&json!({"delivery": {"method": PUSH, "endpoint_url": endpoint_url}}))
    }

    /// All of its configurations.
    #[track_caller]
    pub fn list(&self) -> Vec<Value> {
        let listed = self.api.get(&self.path("/ssf/streams"), 200);
        listed.as_array().expect("SSF-8.1.1.2-4: an array").clone()
    }
}

/// A stream as its receiver knows it, and as the operator sees it.
#[derive(Clone)]
pub struct Stream {
    pub id: String,
    /// The answer to its creation.
    pub configuration: Value,
    pub receiver: Receiver,
}

impl Stream {
    /// Where it is read and deleted.
    pub fn path(&self) -> String {
        self.receiver.path(&format!("/ssf/streams?stream_id={}", self.id))
    }

    pub fn status_path(&self) -> String {
        self.receiver.path(&format!("/ssf/status?stream_id={}", self.id))
    }

    pub fn poll_path(&self) -> String {
        self.receiver.path(&format!("/ssf/poll/{}", self.id))
    }

    #[track_caller]
    pub fn read(&self) -> Value {
        self.receiver.api.get(&self.path(), 200)
    }

    /// PATCHes or PUTs these members, with the id.
    #[track_caller]
    pub fn send(&self, method: &str, members: &Value, expected: u16) -> Answer {
        let mut body = members.clone();
        body["stream_id"] = json!(self.id);
        let path = self.receiver.path("/ssf/streams");
        self.receiver.api.send_json(method, &path, &body, expected)
    }

    /// Changes these members.
    #[track_caller]
    pub fn patch(&self, members: &Value) -> Value {
        self.send("PATCH", members, 200).json()
    }

    /// Replaces everything with these members.
    #[track_caller]
    pub fn put(&self, members: &Value) -> Value {
        self.send("PUT", members, 200).json()
    }

    #[track_caller]
    pub fn delete(&self) {
        self.receiver.api.delete(&self.path(), 204);
    }

    /// The status and its reason.
    #[track_caller]
    pub fn status(&self) -> Value {
        let answer = self.receiver.api.get(&self.status_path(), 200);
        self.without_id(answer)
    }

    /// Sends a status request with these members.
    #[track_caller]
    pub fn try_status(&self, members: &Value, expected: u16) -> Answer {
        let mut body = members.clone();
        body["stream_id"] = json!(self.id);
        let path = self.receiver.path("/ssf/status");
        self.receiver.api.send_json("POST", &path, &body, expected)
    }

    /// Sets a status without a reason.
    #[track_caller]
    pub fn set_status(&self, status: &str) -> Value {
        self.set_status_because(status, None)
    }

    /// Sets a status, and returns what the answer says of it.
    #[track_caller]
    pub fn set_status_because(&self, status: &str, reason: Option<&str>) -> Value {
        let mut members = json!({"status": status});
        if let Some(reason) = reason {
            members["reason"] = json!(reason);
        }
        let answer = self.try_status(&members, 200).json();
        self.without_id(answer)
    }

    /// Every answer about a status names its stream (SSF-8.1.2.1-5); what is left tells its status.
    #[track_caller]
    pub fn without_id(&self, mut answer: Value) -> Value {
        let id = answer.as_object_mut().expect("an object").remove("stream_id");
        assert_eq!(id, Some(json!(self.id)), "SSF-8.1.2.1-5, SSF-8.1.2.2-2");
        answer
    }

    /// Asks for a verification event.
    #[track_caller]
    pub fn verify(&self, members: &Value, expected: u16) -> Answer {
        let mut body = members.clone();
        body["stream_id"] = json!(self.id);
        let path = self.receiver.path("/ssf/verification");
        self.receiver.api.send_json("POST", &path, &body, expected)
    }

    #[track_caller]
    pub fn poll(&self, request: &Value) -> Value {
        self.receiver.api.post_json(&self.poll_path(), request, 200)
    }

    /// What a poll that does not wait is given now.
    #[track_caller]
    pub fn poll_now(&self) -> Vec<Set> {
        let answer = self.poll(&json!({"returnImmediately": true, "maxEvents": 1000}));
        sets(&answer)
    }

    /// Acknowledges, and asks for nothing.
    #[track_caller]
    pub fn ack(&self, acked: &[Set]) {
        let jtis: Vec<&str> = acked.iter().map(Set::jti).collect();
        let answer = self.poll(&json!({"returnImmediately": true, "maxEvents": 0, "ack": jtis}));
        assert_eq!(answer["sets"], json!({}));
    }

    /// The first so many of what waits. They are not acknowledged.
    #[track_caller]
    pub fn hand_out(&self, count: usize) -> Vec<Set> {
        let handed_out = sets(&self.poll(&json!({"returnImmediately": true, "maxEvents": count})));
        assert_eq!(handed_out.len(), count);
        handed_out
    }

    /// The first of what waits, if there is any. It is not acknowledged.
    #[track_caller]
    pub fn first(&self) -> Option<Set> {
        sets(&self.poll(&json!({"returnImmediately": true, "maxEvents": 1}))).pop()
    }

    /// Polls one by one, acknowledging each, until there is nothing: what waited, in its order.
    #[track_caller]
    pub fn drain(&self) -> Vec<Set> {
        let mut drained: Vec<Set> = Vec::new();
        while let Some(set) = self.first() {
            self.ack(std::slice::from_ref(&set));
            drained.push(set);
        }
        drained
    }

    /// As [`Stream::drain`], up to the event with this brief.
    #[track_caller]
    pub fn drain_until(&self, last: &str) -> Vec<Set> {
        let mut drained: Vec<Set> = Vec::new();
        while drained.last().is_none_or(|set| brief(set) != last) {
            let set = self.first().unwrap_or_else(|| panic!("{last} does not come"));
            self.ack(std::slice::from_ref(&set));
            drained.push(set);
        }
        drained
    }

    /// Where the operator has it.
    pub fn admin_path(&self) -> String {
        self.receiver.path(&format!("/admin/streams/{}", self.id))
    }

    #[track_caller]
    pub fn health(&self) -> Value {
        self.receiver.operator.get(&self.admin_path(), 200)
    }

    /// The operator changes something; the health afterwards.
    #[track_caller]
    pub fn operate(&self, change: &Value) -> Value {
        self.receiver.operator.patch_json(&self.admin_path(), change, 200)
    }

    /// The attempts to push, newest first.
    #[track_caller]
    pub fn deliveries(&self) -> Vec<Value> {
        let path = format!("{}/deliveries", self.admin_path());
        let answer = self.receiver.operator.get(&path, 200);
        answer["deliveries"].as_array().expect("an array").clone()
    }

    #[track_caller]
    pub fn dead_letters(&self) -> Vec<Value> {
        let path = format!("{}/dead-letters", self.admin_path());
        let answer = self.receiver.operator.get(&path, 200);
        answer["dead_letters"].as_array().expect("an array").clone()
    }
}

/// The SETs of a poll answer.
#[track_caller]
pub fn sets(answer: &Value) -> Vec<Set> {
    let sets = answer["sets"].as_object().expect("sets are an object");
    let decode = |(jti, set): (&String, &Value)| {
        let set = Set::decode(set.as_str().expect("a SET is a string"));
        assert_eq!(set.jti(), jti, "POLL-2.5-4");
        set
    };
    sets.iter().map(decode).collect()
}
