//! Which events a stream carries by their subjects (SSF 8.1.3): what is added and removed, what matches, what the operator is
//! told about it, and that this is what happens.

mod answers;
mod bulk;
mod choice;
mod explain;
mod grace;
mod guard;
mod limits;
mod matching;
mod removals;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Answer, Instance, Options};
use crate::support::{Acme, SESSION_REVOKED, Set, Stream, Tenant};

/// A tenant with one receiver and its one stream.
struct Scene {
    instance: Instance,
    tenant: Tenant,
    client: Acme,
    stream: Stream,
}

impl Scene {
    #[track_caller]
    fn start(settings: &Value) -> Self {
        let instance = Instance::start(Options::default());
        let tenant = Tenant::create(&instance, "acme", settings);
        let client = tenant.receiver(&instance, &json!({}));
        let stream = client.poll_stream();
        Self {
            instance,
            tenant,
            client,
            stream,
        }
    }

    /// A stream in which nobody is, unless added.
    #[track_caller]
    fn with_nobody() -> Self {
        Self::start(&json!({"default_subjects": "NONE"}))
    }

    /// A stream in which everybody is, unless removed.
    #[track_caller]
    fn with_everybody() -> Self {
        Self::start(&json!({"default_subjects": "ALL"}))
    }

    /// The receiver adds a subject.
    #[track_caller]
    fn add(&self, subject: &Value) -> Answer {
        self.change("add", &json!({"stream_id": self.stream.id, "subject": subject}), 200)
    }

    /// The receiver removes a subject.
    #[track_caller]
    fn remove(&self, subject: &Value) -> Answer {
        self.change("remove", &json!({"stream_id": self.stream.id, "subject": subject}), 204)
    }

    /// `add` or `remove`, with any body.
    #[track_caller]
    fn change(&self, act: &str, body: &Value, expected: u16) -> Answer {
        let path = self.tenant.path(&format!("/ssf/subjects/{act}"));
        self.client.api.send_json("POST", &path, body, expected)
    }

    /// The operator changes many.
    #[track_caller]
    fn bulk(&self, body: &Value, expected: u16) -> Answer {
        let path = self.stream.admin_path("/subjects");
        self.instance.operator().send_json("POST", &path, body, expected)
    }

    /// What the operator is told would become of an event.
    #[track_caller]
    fn explain(&self, event: &Value) -> Value {
        let path = self.stream.admin_path("/explain");
        let explained = self.instance.operator().post_json(&path, event, 200);
        assert_eq!(explained["stream_id"], json!(self.stream.id));
        assert!(
            explained["detail"].as_str().is_some_and(|detail| !detail.is_empty()),
            "{explained}"
        );
        explained
    }

    /// Publishes an event about this subject, takes it out of the stream if it is there, and returns what was explained
    /// before. Fails when that was not so.
    #[track_caller]
    fn publish(&self, sub_id: &Value) -> Value {
        let explained = self.explain(&about(sub_id));
        let delivered = !self.delivered_of(std::slice::from_ref(sub_id)).is_empty();
        let foretold = explained["delivered"] == json!(true);
        assert_eq!(
            delivered, foretold,
            "what is explained is what happens: {sub_id} {explained}"
        );
        explained
    }

    /// Publishes an event about each of these subjects, and returns those whose events came.
    #[track_caller]
    fn delivered_of(&self, subjects: &[Value]) -> Vec<Value> {
        let event = |(at, sub_id): (usize, &Value)| {
            let mut event = about(sub_id);
            event["txn"] = json!(format!("txn-{at}"));
            event
        };
        let events: Vec<Value> = subjects.iter().enumerate().map(event).collect();
        let streams = self.tenant.publish(&self.instance.operator(), &events);
        let sets = self.stream.poll_now();
        assert_eq!(streams, u64::from(!sets.is_empty()), "{subjects:?}");
        let jtis: Vec<&str> = sets.iter().map(|(jti, _)| jti.as_str()).collect();
        self.stream.ack(&jtis);
        let delivered: BTreeSet<String> = sets
            .iter()
            .map(|(_, set)| Set::decode(set).text("txn").to_owned())
            .collect();
        assert_eq!(sets.len(), delivered.len(), "each of them once");
        let came = |at: usize| delivered.contains(&format!("txn-{at}"));
        let subjects = subjects.iter().enumerate().filter(|(at, _)| came(*at));
        subjects.map(|(_, subject)| subject.clone()).collect()
    }

    /// Whether an event about this subject is delivered.
    #[track_caller]
    fn delivers(&self, sub_id: &Value) -> bool {
        self.publish(sub_id)["delivered"] == json!(true)
    }

    /// By which rule that is decided.
    #[track_caller]
    fn rule(&self, sub_id: &Value) -> String {
        self.publish(sub_id)["rule"].as_str().expect("a rule").to_owned()
    }
}

/// An event that is about nothing else.
fn about(sub_id: &Value) -> Value {
    json!({"type": SESSION_REVOKED, "sub_id": sub_id, "event": {}})
}

fn email(address: &str) -> Value {
    json!({"format": "email", "email": address})
}

fn opaque(id: &str) -> Value {
    json!({"format": "opaque", "id": id})
}

/// A complex subject of opaque members: `"tenant=A user=u"`.
fn complex(members: &str) -> Value {
    let mut subject = json!({"format": "complex"});
    for member in members.split_whitespace() {
        let (name, id) = member.split_once('=').expect("a name and an id");
        subject[name] = opaque(id);
    }
    subject
}
