//! Delivery by push (RFC 8935) to a receiver that does as it is told: the request, what each answer leads to, in which order
//! events go out, and what the operator is told about it.

mod answers;
mod failures;
mod health;
mod holds;
mod order;
mod pauses;
mod request;

use serde_json::Value;

use crate::harness::{Instance, Options, Recorded, ScriptedReceiver, eventually};
use crate::support::{Acme, Set, Stream, publish};

/// A stream and the receiver it is pushed to.
pub struct Line {
    pub instance: Instance,
    pub receiver: ScriptedReceiver,
    pub stream: Stream,
}

/// Retries come soon.
pub fn soon() -> Options {
    Options::default().set("RETRY_BASE_MS", 20).set("RETRY_CAP_MS", 100)
}

impl Line {
    #[track_caller]
    pub fn start(options: Options) -> Self {
        Self::on(Instance::start(options))
    }

    /// Another stream to another receiver, in place of this one.
    #[track_caller]
    pub fn anew(self) -> Self {
        self.stream.delete();
        Self::on(self.instance)
    }

    #[track_caller]
    fn on(instance: Instance) -> Self {
        let receiver = ScriptedReceiver::start();
        let acme = Acme::register(&instance, &[&receiver.url("/")]);
        let stream = acme.push_stream(&receiver.url("/events"));
        Self {
            instance,
            receiver,
            stream,
        }
    }

    #[track_caller]
    pub fn publish(&self, events: &[Value]) {
        assert_eq!(publish(&self.instance.operator(), events), 1);
    }

    #[track_caller]
    pub fn health(&self) -> Value {
        self.stream.health(&self.instance)
    }

    /// Waits until nothing is queued any more.
    #[track_caller]
    pub fn wait_until_idle(&self) -> Value {
        eventually("the queue is empty", || {
            Some(self.health()).filter(|health| health["queued_events"] == 0)
        })
    }

    /// Waits for the one dead letter.
    #[track_caller]
    pub fn wait_for_dead_letter(&self) -> Value {
        eventually("there is a dead letter", || {
            self.stream.dead_letters(&self.instance).pop()
        })
    }
}

/// The SET of a push.
#[track_caller]
pub fn set_of(request: &Recorded) -> Set {
    Set::decode(request.text())
}
