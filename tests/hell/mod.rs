//! Receivers from hell: endpoints that refuse, stall, babble, redirect or fail in every way that a network allows, side
//! by side in one tenant with a receiver that works. Nothing is lost, the operator is told why, and the healthy one
//! notices nothing.

mod answers;
mod beside_dead;
mod bodies;
mod connections;
mod flapping;
mod lanes;
mod redirects;
mod retry_after;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::{Value, json};

use crate::harness::{Instance, Manner, Options, RawReceiver, Recorded, ScriptedReceiver, eventually};
use crate::support::{Acme, PUSH, SESSION_REVOKED, Set, Stream, event, publish};

/// Retries come soon.
pub fn soon() -> Options {
    Options::default().set("RETRY_BASE_MS", 20).set("RETRY_CAP_MS", 100)
}

/// And an answer that does not come is soon missed. On a slow machine that may be one that was under way.
pub fn impatient() -> Options {
    soon().set("PUSH_TIMEOUT_MS", 500)
}

/// What a client may have unless a setting says otherwise.
const STREAMS_PER_CLIENT: usize = 10;

/// An endpoint from hell and its stream.
pub struct Victim {
    /// What is wrong with it, for whoever reads a failure.
    pub name: String,
    pub receiver: RawReceiver,
    pub acme: Rc<Acme>,
    pub stream: Stream,
}

/// Victims beside one healthy receiver: what is published goes to all of them. The healthy one wants other types, too.
pub struct Hell {
    pub instance: Instance,
    pub healthy: ScriptedReceiver,
    healthy_stream: Stream,
    pub victims: Vec<Victim>,
    /// What was published, as `txn` by subject, in order.
    published: BTreeMap<String, Vec<String>>,
}

impl Hell {
    /// With receivers of these manners.
    #[track_caller]
    pub fn start(options: Options, manners: Vec<(&str, Manner)>) -> Self {
        let receivers = manners
            .into_iter()
            .map(|(name, manner)| (name.to_owned(), RawReceiver::start(manner)))
            .collect();
        Self::with(options, receivers, |receiver| receiver.url("/events"))
    }

    /// With these receivers, at these endpoints of theirs.
    #[track_caller]
    pub fn with(
        options: Options,
        receivers: Vec<(String, RawReceiver)>,
        endpoint: impl Fn(&RawReceiver) -> String,
    ) -> Self {
        let instance = Instance::start(options);
        let healthy = ScriptedReceiver::start();
        let healthy_stream = Acme::register(&instance, &[&healthy.url("/")]).push_stream(&healthy.url("/events"));
        let mut victims = Vec::new();
        let mut receivers = receivers.into_iter().peekable();
        while receivers.peek().is_some() {
            let some: Vec<_> = receivers.by_ref().take(STREAMS_PER_CLIENT).collect();
            let endpoints = some.iter().map(|(_, receiver)| endpoint(receiver));
            let registered: Vec<String> = endpoints
                .chain(some.iter().map(|(_, receiver)| receiver.url("/")))
                .collect();
            let registered: Vec<&str> = registered.iter().map(String::as_str).collect();
            let acme = Rc::new(Acme::register(&instance, &registered));
            victims.extend(some.into_iter().map(|(name, receiver)| Victim {
                stream: acme.stream(&json!({
                    "delivery": {"method": PUSH, "endpoint_url": endpoint(&receiver)},
                    "events_requested": [SESSION_REVOKED],
                })),
                acme: Rc::clone(&acme),
                name,
                receiver,
            }));
        }
        Self {
            instance,
            healthy,
            healthy_stream,
            victims,
            published: BTreeMap::new(),
        }
    }

    /// Publishes some events on two subjects to everybody.
    #[track_caller]
    pub fn publish(&mut self) {
        let number: usize = self.published.values().map(Vec::len).sum();
        let events: Vec<Value> = (number..number + 4)
            .map(|number| event(&format!("evt-{number}"), &format!("{}@example.com", number % 2)))
            .collect();
        let stored_by = publish(&self.instance.operator(), &events);
        assert_eq!(stored_by as usize, self.victims.len() + 1);
        for event in events {
            let text = |value: &Value| value.as_str().expect("a string").to_owned();
            let of_subject = self.published.entry(text(&event["sub_id"]["email"])).or_default();
            of_subject.push(text(&event["txn"]));
        }
    }

    /// Waits until the healthy receiver has everything, in order.
    #[track_caller]
    pub fn wait_for_the_healthy(&self) {
        eventually("the healthy receiver has everything", || {
            (self.healthy_stream.health(&self.instance)["queued_events"] == 0).then_some(())
        });
        assert_eq!(first_arrivals(&self.healthy.requests()), self.published);
        assert_eq!(self.healthy_stream.health(&self.instance)["dead_letters"], 0);
    }

    /// Waits until the operator is told why this victim fails.
    #[track_caller]
    pub fn wait_for_cause(&self, victim: &Victim, cause: &str) -> Value {
        eventually(
            &format!("{}: the operator is told that it {cause}", victim.name),
            || {
                let health = victim.stream.health(&self.instance);
                let detail = health["last_error"]["detail"].as_str().unwrap_or_default();
                detail.contains(cause).then_some(health)
            },
        )
    }

    /// Waits until this victim has nothing queued.
    #[track_caller]
    pub fn wait_until_idle(&self, victim: &Victim) -> Value {
        eventually(&format!("{}: everything is delivered", victim.name), || {
            Some(victim.stream.health(&self.instance)).filter(|health| health["queued_events"] == 0)
        })
    }

    /// Waits until this victim's receiver, which behaves now, has everything, in order and with one `jti` for each
    /// event.
    #[track_caller]
    pub fn wait_for_everything(&self, victim: &Victim) {
        let health = self.wait_until_idle(victim);
        let healed = (&health["dead_letters"], &health["hold"]);
        assert_eq!(healed, (&json!(0), &json!(null)), "{}", victim.name);
        let requests = victim.receiver.requests();
        assert_eq!(first_arrivals(&requests), self.published, "{}", victim.name);
        let jtis: BTreeSet<String> = events_of(&requests).map(|set| set.jti().to_owned()).collect();
        assert_eq!(jtis.len(), self.published.values().map(Vec::len).sum::<usize>());
    }

    /// As [`Hell::wait_for_everything`], where nothing was to be sent twice.
    #[track_caller]
    pub fn wait_for_everything_once(&self, victim: &Victim) {
        self.wait_for_everything(victim);
        assert_eq!(
            victim.receiver.requests().len(),
            4,
            "{}: nothing is sent again",
            victim.name
        );
    }

    /// The whole story of receivers that get nothing until they behave: the healthy one is not held up by them, the
    /// operator is told the cause (a part of its words by the victim's place), nothing is lost.
    #[track_caller]
    pub fn suffer_and_heal(mut self, causes: &[&str]) {
        self.publish();
        self.wait_for_the_healthy();
        for (victim, cause) in self.victims.iter().zip(causes) {
            let health = self.wait_for_cause(victim, cause);
            let waiting = (&health["queued_events"], &health["dead_letters"]);
            assert_eq!(waiting, (&json!(4), &json!(0)), "{}: {health}", victim.name);
        }
        // In the middle of it.
        self.publish();
        self.wait_for_the_healthy();
        for victim in &self.victims {
            victim.receiver.turn(Manner::Behave);
        }
        for victim in &self.victims {
            self.wait_for_everything(victim);
        }
        self.assert_nothing_panicked();
    }

    /// A panic in one place is an outage of all (platform.md 0.8), though the process may go on.
    #[track_caller]
    pub fn assert_nothing_panicked(&self) {
        self.assert_not_logged("panicked");
        self.assert_not_logged("object_fault");
    }

    /// That no line of workerd's log contains this.
    #[track_caller]
    pub fn assert_not_logged(&self, what: &str) {
        let log = std::fs::read(self.instance.data_dir().join("workerd.log")).expect("there is a log");
        let log = String::from_utf8_lossy(&log);
        assert_eq!(log.lines().find(|line| line.contains(what)), None);
    }
}

/// The SET of a push.
#[track_caller]
pub fn set_of(request: &Recorded) -> Set {
    Set::decode(request.text())
}

/// What was pushed, but for events about the stream itself.
pub fn events_of(pushes: &[Recorded]) -> impl Iterator<Item = Set> {
    pushes.iter().map(set_of).filter(|set| !set.email().is_empty())
}

/// By subject, the `txn` of each event in the order in which they came first.
pub fn first_arrivals(pushes: &[Recorded]) -> BTreeMap<String, Vec<String>> {
    let mut arrived: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for set in events_of(pushes) {
        let of_subject = arrived.entry(set.email().to_owned()).or_default();
        let txn = set.text("txn").to_owned();
        if !of_subject.contains(&txn) {
            of_subject.push(txn);
        }
    }
    arrived
}

/// Bytes of an answer.
pub fn raw(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}
