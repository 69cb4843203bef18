//! Delivery by poll (RFC 8936): what is handed out, what acknowledgements do, and how long a poll is held.

mod answers;
mod held;
mod requests;

use serde_json::Value;

use crate::harness::{Instance, Options};
use crate::support::{Acme, Stream, event, publish};

/// A stream that is polled.
pub struct Polled {
    pub instance: Instance,
    pub acme: Acme,
    pub stream: Stream,
}

impl Polled {
    #[track_caller]
    pub fn start(options: Options) -> Self {
        let instance = Instance::start(options);
        let acme = Acme::register(&instance, &[]);
        let stream = acme.poll_stream();
        Self { instance, acme, stream }
    }

    /// Publishes events about `{from}@example.com` and so on.
    #[track_caller]
    pub fn publish(&self, numbers: std::ops::Range<u32>) {
        let events: Vec<Value> = numbers
            .map(|number| event(&format!("evt-{number}"), &format!("{number}@example.com")))
            .collect();
        assert_eq!(publish(&self.instance.operator(), &events), 1);
    }

    #[track_caller]
    pub fn queued(&self) -> u64 {
        self.stream.health(&self.instance)["queued_events"]
            .as_u64()
            .expect("a number")
    }
}
