//! The outbox of a stream: how much it takes, what becomes of events that could not be delivered, how events are sent again,
//! and the choices that a stream has about all this.

mod bounds;
mod gone;
mod letters;
mod list;
mod options;
mod redrive;
mod replay;
mod replay_refused;

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::{Answer, Instance, Options, Reply, ScriptedReceiver, eventually};
use crate::manage::{Receiver, Stream, Tenant, brief, pushed_to};
use crate::support::{Set, event};

/// A stream with everybody who has to do with it.
pub struct Outbox {
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

/// Nothing is tried again within a test, unless somebody asks for it.
pub fn patient() -> Options {
    Options::default()
        .set("RETRY_BASE_MS", 3_600_000)
        .set("RETRY_CAP_MS", 3_600_000)
}

/// A SET that the endpoint will never take (PUSH-2.3-2).
pub fn refusal() -> Reply {
    Reply::json(400, &json!({"err": "invalid_audience", "description": "aud is not me"}))
}

/// Events `a1`, `b1`…: the letter is the subject, and the `txn` tells them apart, since it repeats the id.
pub fn events(ids: &[&str]) -> Vec<Value> {
    ids.iter()
        .map(|id| event(id, &format!("{}@example.com", &id[..1])))
        .collect()
}

/// The ids of published events among SETs, in their order; what the stream says about itself is left out.
pub fn ids(sets: &[Set]) -> Vec<String> {
    let briefs = sets.iter().map(brief);
    briefs.filter(|brief| !brief.starts_with("now ")).collect()
}

/// Those that are about one subject.
pub fn about(ids: &[String], subject: &str) -> Vec<String> {
    ids.iter().filter(|id| id.starts_with(subject)).cloned().collect()
}

/// What makes a SET the same SET: its `jti`, and its claims to the byte.
pub fn essence(sets: &[Set]) -> Vec<(String, Vec<u8>)> {
    sets.iter()
        .map(|set| (set.jti().to_owned(), set.claims_bytes.clone()))
        .collect()
}

/// Unix milliseconds, of the clock that instances have too.
pub fn now_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    u64::try_from(elapsed.as_millis()).expect("a number of milliseconds")
}

/// An instant that is later than everything so far and earlier than everything from here on.
#[track_caller]
pub fn a_moment_between() -> u64 {
    let before = now_ms();
    let between = eventually("the clock goes on", || Some(now_ms()).filter(|now| *now > before));
    eventually("the clock goes on", || (now_ms() > between).then_some(between))
}

impl Outbox {
    /// A stream that is pushed to `/events` of the endpoint.
    #[track_caller]
    pub fn pushed(options: Options) -> Self {
        Self::start(options, |receiver, endpoint| {
            receiver.push_stream(&endpoint.url("/events"))
        })
    }

    /// A stream that is polled.
    #[track_caller]
    pub fn polled(options: Options) -> Self {
        Self::start(options, |receiver, _| receiver.poll_stream())
    }

    #[track_caller]
    fn start(options: Options, stream: impl FnOnce(&Receiver, &ScriptedReceiver) -> Stream) -> Self {
        let instance = Instance::start(options);
        let tenant = Tenant::default(&instance);
        let endpoint = ScriptedReceiver::start();
        let receiver = tenant.receiver(&[&endpoint.url("/")]);
        let stream = stream(&receiver, &endpoint);
        Self {
            instance,
            tenant,
            endpoint,
            receiver,
            stream,
        }
    }

    /// Publishes in one request; the answer.
    #[track_caller]
    pub fn publish(&self, ids: &[&str]) -> Value {
        let body = json!({"events": events(ids)});
        self.tenant.operator().post_json("/events", &body, 202)
    }

    /// Publishes what every stream has room for.
    #[track_caller]
    pub fn accept(&self, ids: &[&str]) {
        let answer = self.publish(ids);
        assert_eq!(
            (&answer["accepted"], &answer["refused"]),
            (&json!(ids.len()), &json!([])),
            "{ids:?}: {answer}"
        );
    }

    /// Publishes what this stream, and no other, has no room for.
    #[track_caller]
    pub fn refuse(&self, ids: &[&str]) {
        let queued = self.queued();
        let answer = self.publish(ids);
        let refused = json!([{"stream_id": self.stream.id, "reason": "outbox_full"}]);
        assert_eq!(answer["refused"], refused, "{ids:?}: {answer}");
        assert_eq!(self.queued(), queued, "{ids:?}: it is refused whole");
    }

    #[track_caller]
    pub fn queued(&self) -> u64 {
        self.stream.health()["queued_events"].as_u64().expect("a number")
    }

    /// Waits until nothing waits in the outbox.
    #[track_caller]
    pub fn wait_until_idle(&self) {
        eventually("everything is delivered", || (self.queued() == 0).then_some(()));
    }

    /// Waits for a hold with this reason; the hold.
    #[track_caller]
    pub fn wait_for_hold(&self, reason: &str) -> Value {
        eventually(&format!("the stream waits: {reason}"), || {
            Some(self.stream.health()["hold"].clone()).filter(|hold| hold["reason"] == *reason)
        })
    }

    /// Waits for so many dead letters; the letters.
    #[track_caller]
    pub fn wait_for_letters(&self, count: usize) -> Vec<Value> {
        eventually(&format!("there are {count} dead letters"), || {
            Some(self.stream.dead_letters()).filter(|letters| letters.len() == count)
        })
    }

    /// All that the endpoint was pushed so far.
    #[track_caller]
    pub fn arrived(&self) -> Vec<Set> {
        pushed_to(&self.endpoint, "/events")
    }

    /// Publishes events that all die, in their order, and returns them. The endpoint takes everything afterwards.
    #[track_caller]
    pub fn bury(&self, ids: &[&str]) -> Vec<Set> {
        let before = self.stream.dead_letters().len();
        let seen = self.endpoint.requests().len();
        self.endpoint.otherwise(refusal());
        for (number, id) in ids.iter().enumerate() {
            self.accept(&[id]);
            self.wait_for_letters(before + number + 1);
        }
        self.endpoint.otherwise(Reply::status(202));
        self.arrived()[seen..].to_vec()
    }

    /// As [`Outbox::bury`] for a stream that is polled: its receiver says what is wrong with each.
    #[track_caller]
    pub fn bury_polled(&self, ids: &[&str]) -> Vec<Set> {
        self.accept(ids);
        let sets: Vec<Set> = ids.iter().map(|_| self.report(&refused_by_poll())).collect();
        assert_eq!(crate::manage::briefs(&sets), ids);
        sets
    }

    /// Polls the first of what waits and reports this error for it.
    #[track_caller]
    pub fn report(&self, error: &Value) -> Set {
        let set = self.stream.first().expect("something waits");
        let errors = json!({set.jti(): error});
        self.stream
            .poll(&json!({"returnImmediately": true, "maxEvents": 0, "setErrs": errors}));
        set
    }

    /// Sends a request to a place below the operator's path of the stream.
    #[track_caller]
    pub fn ask(&self, rest: &str, body: &Value, expected: u16) -> Answer {
        let path = format!("{}{rest}", self.stream.admin_path());
        self.tenant.operator().send_json("POST", &path, body, expected)
    }

    /// Sends dead letters again.
    #[track_caller]
    pub fn redrive(&self, body: &Value) -> Value {
        self.ask("/dead-letters/redrive", body, 200).json()
    }

    /// Deletes dead letters.
    #[track_caller]
    pub fn purge(&self, body: &Value) -> Value {
        self.ask("/dead-letters/purge", body, 200).json()
    }

    /// Sends again what was accepted from somewhere on.
    #[track_caller]
    pub fn replay(&self, body: &Value) -> Value {
        self.ask("/replay", body, 200).json()
    }

    /// One dead letter with its claims.
    #[track_caller]
    pub fn letter(&self, jti: &str, expected: u16) -> Value {
        let path = format!("{}/dead-letters/{jti}", self.stream.admin_path());
        self.tenant.operator().get(&path, expected)
    }

    /// Its receiver asks for `enabled`: decided at once, or told how things stand (SSF-8.1.2.2-3).
    #[track_caller]
    pub fn ask_for_enabled(&self) -> Value {
        let path = self.receiver.path("/ssf/status");
        let body = json!({"stream_id": self.stream.id, "status": "enabled"}).to_string();
        let headers = [("content-type", "application/json")];
        let answer = self.receiver.api.try_send("POST", &path, &headers, body.as_bytes());
        let answer = answer.expect("an answer");
        assert!([200, 202].contains(&answer.status), "{answer}");
        self.stream.without_id(answer.json())
    }
}

/// What a polling receiver says of a SET that it does not take (POLL-2.2-4).
pub fn refused_by_poll() -> Value {
    json!({"err": "invalid_audience", "description": "aud is not me"})
}
