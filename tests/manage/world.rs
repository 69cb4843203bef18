//! An instance with everybody who may ask and every stream that may be asked for, made when a row wants it.

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Instance, Reply, ScriptedReceiver, eventually};
use crate::support::{POLL, PUSH};

use super::matrix::{By, On, Operation, With};
use super::{Receiver, Stream, Tenant, about_ana};

pub struct World {
    tenant: Tenant,
    owner: Receiver,
    rival: Receiver,
    elsewhere: Receiver,
    full: Receiver,
    reader: Receiver,
    publisher: Receiver,
    endpoint: ScriptedReceiver,
}

impl World {
    #[track_caller]
    pub fn new(instance: &Instance) -> Self {
        let endpoint = ScriptedReceiver::start();
        endpoint.otherwise(Reply::status(410).header("retry-after", "3600"));
        // So slow that nothing comes back while the rows are walked.
        let tenant = Tenant::create(
            instance,
            &json!({"streams_per_client": 1000, "min_verification_interval": 3600, "subject_changes_per_minute": 1}),
        );
        let small = Tenant::create(instance, &json!({"streams_per_client": 1}));
        let full = small.receiver(&[]);
        full.poll_stream();
        Self {
            // Others are asked about endpoints that are not registered; here they are wrong.
            owner: tenant.register(&json!({"push_endpoints": [endpoint.url("/")], "handshake": "never"})),
            rival: tenant.receiver(&[]),
            elsewhere: Tenant::create(instance, &json!({"streams_per_client": 1000})).receiver(&[]),
            full,
            reader: tenant.register(&json!({"scope": "ssf.read"})),
            publisher: tenant.register(&json!({"scope": "events.publish"})),
            tenant,
            endpoint,
        }
    }

    /// A new stream that is so.
    #[track_caller]
    pub fn stream(&self, on: On) -> Stream {
        let stream = match on {
            On::OtherClients => self.rival.poll_stream(),
            On::OtherTenants => self.elsewhere.poll_stream(),
            On::Gone => self.owner.push_stream(&self.endpoint.url("/events")),
            _ => self.owner.poll_stream(),
        };
        match on {
            On::Own | On::OtherClients | On::OtherTenants => {}
            On::Disabled => {
                stream.set_status("disabled");
            }
            On::Paused => {
                stream.operate(&json!({"status": "paused", "reason": "an audit"}));
            }
            On::Gone => {
                self.tenant.publish(&[about_ana(&stream.id)]);
                eventually("the endpoint has said that it is gone", || {
                    (stream.health()["hold"]["reason"] == "gone").then_some(())
                });
            }
            On::Verified => {
                stream.verify(&json!({}), 204);
            }
            On::Busy => {
                self.ask(Operation::AddSubject, By::Owner, &stream, With::Good);
            }
            On::Deleted => stream.delete(),
            On::Unknown => {
                return Stream {
                    id: "0123456789abcdef".repeat(4),
                    ..stream
                };
            }
        }
        stream
    }

    /// The client that the rows are about.
    pub fn owner(&self) -> &Receiver {
        &self.owner
    }

    fn client(&self, by: By) -> Client {
        match by {
            By::Owner => self.owner.api.clone(),
            By::Full => self.full.api.clone(),
            By::Nobody => self.tenant.anyone(),
            By::Forger => self.tenant.anyone().bearer("eyJhbGciOiJub25lIn0.e30."),
            By::Reader => self.reader.api.clone(),
            By::Publisher => self.publisher.api.clone(),
        }
    }

    /// Sends a request, whatever its answer.
    #[track_caller]
    pub fn ask(&self, operation: Operation, by: By, stream: &Stream, with: With) -> Answer {
        let (method, path) = route(operation);
        let mut target = match (operation, by) {
            (Operation::Metadata, _) => self.tenant.metadata_path(),
            (_, By::Full) => self.full.path(path),
            _ => self.owner.path(path),
        };
        let in_query = matches!(operation, Operation::Read | Operation::Delete | Operation::ReadStatus);
        match with {
            With::Query(query) => target.push_str(query),
            _ if in_query => target.push_str(&format!("?stream_id={}", stream.id)),
            _ => {}
        }
        let body = match (with, good_body(operation, &stream.id)) {
            (With::Body(text), _) => Some(text.replace("STREAM", &stream.id)),
            (_, good) => good.map(|body| body.to_string()),
        };
        let headers: &[(&str, &str)] = match body {
            Some(_) => &[("content-type", "application/json")],
            None => &[],
        };
        let body = body.unwrap_or_default();
        self.client(by)
            .try_send(method, &target, headers, body.as_bytes())
            .unwrap_or_else(|error| panic!("no answer to {method} {target}: {error}"))
    }
}

fn route(operation: Operation) -> (&'static str, &'static str) {
    match operation {
        Operation::Metadata => ("GET", ""),
        Operation::Create => ("POST", "/ssf/streams"),
        Operation::Read | Operation::List => ("GET", "/ssf/streams"),
        Operation::Update => ("PATCH", "/ssf/streams"),
        Operation::Replace => ("PUT", "/ssf/streams"),
        Operation::Delete => ("DELETE", "/ssf/streams"),
        Operation::ReadStatus => ("GET", "/ssf/status"),
        Operation::SetStatus => ("POST", "/ssf/status"),
        Operation::AddSubject => ("POST", "/ssf/subjects/add"),
        Operation::RemoveSubject => ("POST", "/ssf/subjects/remove"),
        Operation::Verify => ("POST", "/ssf/verification"),
    }
}

/// The body of a request that is right, for operations that have one.
pub fn good_body(operation: Operation, stream_id: &str) -> Option<Value> {
    let subject = json!({"format": "email", "email": "ana@example.com"});
    match operation {
        Operation::Create => Some(json!({"delivery": {"method": POLL}, "description": "Acme"})),
        Operation::Update => Some(json!({"stream_id": stream_id, "description": "Acme's other one"})),
        Operation::Replace => {
            Some(json!({"stream_id": stream_id, "delivery": {"method": POLL}, "description": "Acme's new one"}))
        }
        Operation::SetStatus => Some(json!({"stream_id": stream_id, "status": "enabled"})),
        Operation::AddSubject => Some(json!({"stream_id": stream_id, "subject": subject, "verified": true})),
        Operation::RemoveSubject => Some(json!({"stream_id": stream_id, "subject": subject})),
        Operation::Verify => Some(json!({"stream_id": stream_id, "state": "v-9c41e2"})),
        Operation::Metadata | Operation::Read | Operation::List | Operation::Delete | Operation::ReadStatus => None,
    }
}

/// A delivery that no client is registered for.
pub fn unregistered() -> Value {
    json!({"method": PUSH, "endpoint_url": "https://elsewhere.example/events"})
}
