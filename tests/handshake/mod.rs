//! Nobody is pushed to who did not agree: the validation handshake of CloudEvents web hooks (section 4) as the sender performs it,
//! what answers, callbacks and people make of it, and the rate that it grants.

mod answers;
mod callback;
mod changes;
mod clients;
mod garbage;
mod guard;
mod holds;
mod kill;
mod operator;
mod order;
mod overtaking;
mod pace;
mod request;
mod revival;
mod secrets;
mod time;
mod values;

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Instance, Options, Recorded, Reply, ScriptedReceiver, eventually};
use crate::manage::{Receiver, Stream, Tenant};
use crate::support::Set;

/// The name that endpoints know an instance by: the host of its issuer, without the port (WH-4.1-2).
pub const ORIGIN: &str = "127.0.0.1";

/// Retries of all kinds come soon.
pub fn soon() -> Options {
    Options::default()
        .set("HANDSHAKE_RETRY_MS", 20)
        .set("RETRY_BASE_MS", 20)
        .set("RETRY_CAP_MS", 100)
}

/// Consent at this rate (WH-4.2-2, WH-4.2-3).
pub fn consent(rate: &str) -> Reply {
    Reply::status(200)
        .header("allow", "POST, OPTIONS")
        .header("webhook-allowed-origin", ORIGIN)
        .header("webhook-allowed-rate", rate)
}

/// What a target answers that may agree later, through the callback (WH-4.2-5).
pub fn later() -> Reply {
    Reply::status(200).header("allow", "POST, OPTIONS")
}

/// Unix milliseconds, of the clock that instances have too.
pub fn now_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    u64::try_from(elapsed.as_millis()).expect("a number of milliseconds")
}

/// An instance and a receiver for which no endpoint is registered.
pub struct World {
    pub instance: Instance,
    pub tenant: Tenant,
    pub receiver: Receiver,
}

impl World {
    #[track_caller]
    pub fn start(options: Options) -> Self {
        let instance = Instance::start(options);
        let tenant = Tenant::default(&instance);
        let receiver = tenant.register(&json!({}));
        Self {
            instance,
            tenant,
            receiver,
        }
    }

    /// A stream to an endpoint that answers every `OPTIONS` so.
    #[track_caller]
    pub fn asked(&self, reply: Reply) -> (ScriptedReceiver, Asked) {
        let endpoint = ScriptedReceiver::start();
        endpoint.otherwise_consent(reply);
        let asked = self.asked_at(&endpoint.url("/events"));
        (endpoint, asked)
    }

    /// As [`World::asked`], and it agreed.
    #[track_caller]
    pub fn agreed(&self, rate: &str) -> (ScriptedReceiver, Asked) {
        let (endpoint, asked) = self.asked(consent(rate));
        asked.wait_for("granted");
        (endpoint, asked)
    }

    /// A stream to any endpoint.
    #[track_caller]
    pub fn asked_at(&self, endpoint_url: &str) -> Asked {
        self.watch(self.receiver.push_stream(endpoint_url))
    }

    /// A stream of any receiver, with the eyes of its operator.
    pub fn watch(&self, stream: Stream) -> Asked {
        Asked {
            stream,
            operator: self.tenant.operator(),
            anyone: self.tenant.anyone(),
        }
    }

    /// Publishes events about the holders of addresses, which begin with the first letter of their ids.
    #[track_caller]
    pub fn publish(&self, ids: &[&str]) {
        self.tenant.publish(&crate::outbox::events(ids));
    }
}

/// A stream whose endpoint is asked.
pub struct Asked {
    pub stream: Stream,
    operator: Client,
    anyone: Client,
}

impl Asked {
    pub fn grant_path(&self) -> String {
        format!("{}/grant", self.stream.admin_path())
    }

    /// All about its consent.
    #[track_caller]
    pub fn grant(&self) -> Value {
        self.operator.get(&self.grant_path(), 200)
    }

    /// Waits until its consent stands so; all about it.
    #[track_caller]
    pub fn wait_for(&self, state: &str) -> Value {
        self.wait_until(&format!("the grant is {state}"), |grant| grant["state"] == *state)
    }

    /// Waits until something is true of its consent; all about it.
    #[track_caller]
    pub fn wait_until(&self, what: &str, mut is: impl FnMut(&Value) -> bool) -> Value {
        eventually(what, || Some(self.grant()).filter(|grant| is(grant)))
    }

    /// Waits until an attempt to ask has been answered, whatever came of it.
    #[track_caller]
    pub fn wait_for_exchange(&self) -> Value {
        self.wait_until("an attempt is over", |grant| !grant["exchange"].is_null())
    }

    /// The operator decides.
    #[track_caller]
    pub fn decide(&self, request: &Value, expected: u16) -> Answer {
        self.operator.send_json("POST", &self.grant_path(), request, expected)
    }

    /// Whether pushing waits for consent.
    #[track_caller]
    pub fn is_held(&self) -> bool {
        self.stream.health()["hold"]["reason"] == "consent"
    }

    #[track_caller]
    pub fn queued(&self) -> u64 {
        self.stream.health()["queued_events"].as_u64().expect("a number")
    }

    /// Waits until nothing waits.
    #[track_caller]
    pub fn wait_until_idle(&self) {
        eventually("everything is delivered", || (self.queued() == 0).then_some(()));
    }

    /// Uses a callback without any header.
    #[track_caller]
    pub fn call(&self, method: &str, url: &str, expected: u16) -> Answer {
        self.call_with(method, url, &[], expected)
    }

    /// Uses a callback.
    #[track_caller]
    pub fn call_with(&self, method: &str, url: &str, headers: &[(&str, &str)], expected: u16) -> Answer {
        self.anyone.send(method, url, headers, b"", expected)
    }
}

/// The callback that an `OPTIONS` offered.
#[track_caller]
pub fn callback_of(ask: &Recorded) -> String {
    let url = ask.header("webhook-request-callback");
    url.unwrap_or_else(|| panic!("no callback in {ask:?}")).to_owned()
}

/// What was pushed so far, in its order.
#[track_caller]
pub fn pushed(endpoint: &ScriptedReceiver) -> Vec<Set> {
    let pushes = endpoint.pushes();
    pushes.iter().map(|push| Set::decode(push.text())).collect()
}

/// Checks members of a JSON object, the others being as they may.
#[track_caller]
pub fn assert_members(object: &Value, expected: &Value, what: &str) {
    for (name, value) in expected.as_object().expect("members are an object") {
        assert_eq!(&object[name], value, "{what}: {name} of {object}");
    }
}
