//! CloudEvents in and out: published to `/events` in each mode, and pushed instead of SETs to streams that want them. Beside these
//! tests, those in JavaScript let the SDK of the CloudEvents project be the other side.

mod incoming;
mod outgoing;
mod pushed;
mod through;

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Instance, Options, Recorded, ScriptedReceiver, eventually};
use crate::manage::{Receiver, Stream, Tenant};
use crate::support::{PUSH, SESSION_REVOKED};

pub use pushed::{Pushed, assert_signed, events_of, pushed_to, signature, signature_count, verifies};

/// Media types of the JSON format (CE-4-1, CE-3.3-1).
pub const STRUCTURED: &str = "application/cloudevents+json";
pub const BATCHED: &str = "application/cloudevents-batch+json";

/// The three modes, as a stream is asked for them.
pub const MODES: [&str; 3] = ["structured", "binary", "batched"];

/// A stream that is pushed CloudEvents, with everybody who has to do with it.
pub struct Line {
    pub instance: Instance,
    pub tenant: Tenant,
    pub endpoint: ScriptedReceiver,
    pub receiver: Receiver,
    pub stream: Stream,
}

/// Retries come soon.
pub fn soon() -> Options {
    Options::default().set("RETRY_BASE_MS", 20).set("RETRY_CAP_MS", 100)
}

/// A delivery to `/events` in a mode.
pub fn delivery(endpoint: &ScriptedReceiver, cloudevents: &Value) -> Value {
    json!({"method": PUSH, "endpoint_url": endpoint.url("/events"), "cloudevents": cloudevents})
}

impl Line {
    #[track_caller]
    pub fn start(options: Options, mode: &str) -> Self {
        Self::with(options, &json!({"mode": mode}))
    }

    /// With these members of `delivery.cloudevents`.
    #[track_caller]
    pub fn with(options: Options, cloudevents: &Value) -> Self {
        Self::on(Instance::start(options), cloudevents)
    }

    #[track_caller]
    pub fn on(instance: Instance, cloudevents: &Value) -> Self {
        let tenant = Tenant::default(&instance);
        let endpoint = ScriptedReceiver::start();
        let receiver = tenant.receiver(&[&endpoint.url("/")]);
        let stream = receiver.stream(&json!({"delivery": delivery(&endpoint, cloudevents)}));
        Self {
            instance,
            tenant,
            endpoint,
            receiver,
            stream,
        }
    }

    /// What the stream's first answer said its secret is.
    #[track_caller]
    pub fn secret(&self) -> String {
        secret_in(&self.stream.configuration)
    }

    /// Publishes events `a1`, `b1`…: the letter is the subject, the `txn` repeats the id.
    #[track_caller]
    pub fn publish(&self, ids: &[&str]) {
        self.tenant.publish(&crate::outbox::events(ids));
    }

    /// Everything that was pushed so far, event by event in its order.
    #[track_caller]
    pub fn pushed(&self) -> Vec<Pushed> {
        pushed_to(&self.endpoint, "/events")
    }

    /// Waits until nothing is queued any more.
    #[track_caller]
    pub fn wait_until_idle(&self) -> Value {
        eventually("the queue is empty", || {
            Some(self.stream.health()).filter(|health| health["queued_events"] == 0)
        })
    }

    /// Holds everything back.
    #[track_caller]
    pub fn pause(&self) {
        self.stream.set_status("paused");
    }

    /// Lets everything go.
    #[track_caller]
    pub fn resume(&self) {
        self.stream.set_status("enabled");
    }

    /// Asks for a new secret; the answer.
    #[track_caller]
    pub fn rotate(&self, request: &Value, expected: u16) -> Answer {
        let path = format!("{}/webhook-secret", self.stream.admin_path());
        self.tenant.operator().send_json("POST", &path, request, expected)
    }
}

/// The secret that an answer shows.
#[track_caller]
pub fn secret_in(configuration: &Value) -> String {
    let secret = configuration["delivery"]["cloudevents"]["secret"].as_str();
    secret
        .unwrap_or_else(|| panic!("no secret in {configuration}"))
        .to_owned()
}

/// A session-revoked event as a CloudEvent in the JSON format.
pub fn cloud_event(id: &str, email: &str) -> Value {
    json!({
        "specversion": "1.0",
        "id": id,
        "source": "https://idp.example.com/tenants/9",
        "type": SESSION_REVOKED,
        "time": "2026-11-21T12:10:00Z",
        "datacontenttype": "application/json",
        "data": {
            "sub_id": {"format": "email", "email": email},
            "event": {"event_timestamp": 1_795_263_000, "initiating_entity": "admin", "reason_admin": {"en": "Lost laptop"}},
            "txn": format!("txn-{id}"),
        },
    })
}

/// The event without one of its members.
pub fn without(event: &Value, name: &str) -> Value {
    let mut changed = event.clone();
    changed.as_object_mut().expect("an object").remove(name);
    changed
}

/// The event with another value for a member.
pub fn with(event: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut changed = event.clone();
    changed[name] = value.into();
    changed
}

/// Publishes one event in structured mode.
#[track_caller]
pub fn structured(client: &Client, event: &Value, expected: u16) -> Answer {
    send(client, STRUCTURED, event, expected)
}

/// Publishes events in batched mode.
#[track_caller]
pub fn batched(client: &Client, events: &[Value], expected: u16) -> Answer {
    send(client, BATCHED, &json!(events), expected)
}

#[track_caller]
pub fn send(client: &Client, content_type: &str, body: &Value, expected: u16) -> Answer {
    let headers = [("content-type", content_type)];
    client.send("POST", "/events", &headers, body.to_string().as_bytes(), expected)
}

/// Publishes one event in binary mode, its attributes as headers. Their values have to be such as need no encoding.
#[track_caller]
pub fn binary(client: &Client, event: &Value, expected: u16) -> Answer {
    let headers = headers_of(event);
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    client.send(
        "POST",
        "/events",
        &headers,
        event["data"].to_string().as_bytes(),
        expected,
    )
}

/// The headers of an event in binary mode (CE-3.1-1, CE-3.1-2).
pub fn headers_of(event: &Value) -> Vec<(String, String)> {
    let members = event.as_object().expect("an object").iter();
    members
        .filter(|(name, _)| *name != "data")
        .map(|(name, value)| {
            let name = match name.as_str() {
                "datacontenttype" => "content-type".to_owned(),
                name => format!("ce-{name}"),
            };
            (name, value.as_str().expect("an attribute that is text").to_owned())
        })
        .collect()
}

/// The header of a push, which has to be there once.
#[track_caller]
pub fn header<'a>(push: &'a Recorded, name: &str) -> &'a str {
    let mut values = push
        .headers
        .iter()
        .filter(|(known, _)| known.eq_ignore_ascii_case(name));
    let value = values
        .next()
        .unwrap_or_else(|| panic!("no {name} in {:?}", push.headers));
    assert_eq!(values.next(), None, "{name} stands once");
    &value.1
}
