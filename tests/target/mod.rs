//! The target's side of the CloudEvents handshake: who is answered what on `OPTIONS /receive/{source_id}`, the callback that grants
//! later, what the operator decides, and what a grant means for the deliveries that follow.

mod answers;
mod authorization;
mod callback;
mod callback_refused;
mod changes;
mod durable;
mod enforcement;
mod operator;
mod origins;
mod ourselves;
mod rates;
mod settings;

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Instance, Options, Recorded, ScriptedReceiver, ScriptedTransmitter, eventually};
use crate::support::{ACME_AUDIENCE, Source};

/// The header that makes an `OPTIONS` request a handshake.
pub const ORIGIN: &str = "webhook-request-origin";
pub const RATE: &str = "webhook-request-rate";
pub const CALLBACK: &str = "webhook-request-callback";

/// A sender that most sources here allow.
pub const SENDER: &str = "tx.example.com";

/// A source, who feeds it, and the instance that both belong to.
pub struct Target {
    pub instance: Instance,
    pub transmitter: ScriptedTransmitter,
    pub source: Source,
}

impl Target {
    /// A source with these members beside what every source has.
    #[track_caller]
    pub fn start(options: Options, members: &Value) -> Self {
        let instance = Instance::start(options);
        let transmitter = ScriptedTransmitter::start();
        let source = create(&instance, &transmitter, members);
        Self {
            instance,
            transmitter,
            source,
        }
    }

    /// A source that allows `SENDER` and answers at once.
    #[track_caller]
    pub fn allowing() -> Self {
        Self::start(Options::default(), &json!({"allowed_origins": [SENDER]}))
    }

    /// Another source of the same instance.
    #[track_caller]
    pub fn another(&self, members: &Value) -> Source {
        create(&self.instance, &self.transmitter, members)
    }

    /// Sends `OPTIONS` with these headers.
    #[track_caller]
    pub fn options(&self, headers: &[(&str, &str)], expected: u16) -> Answer {
        options_at(&self.instance.anyone(), &self.source.receive_path(), headers, expected)
    }

    /// Asks for a grant as this origin, and expects it.
    #[track_caller]
    pub fn be_granted(&self, origin: &str) -> Answer {
        let answer = self.options(&[(ORIGIN, origin), (RATE, "6000")], 200);
        assert_eq!(answer.header("webhook-allowed-origin"), Some(origin), "{answer}");
        answer
    }

    /// All grants, newest first.
    #[track_caller]
    pub fn grants(&self) -> Vec<Value> {
        grants(&self.instance, &self.source)
    }

    /// What is known of one origin.
    #[track_caller]
    pub fn grant_of(&self, origin: &str) -> Option<Value> {
        self.grants().into_iter().find(|grant| grant["origin"] == json!(origin))
    }

    /// Waits until the grant of an origin is like this.
    #[track_caller]
    pub fn wait_for(&self, origin: &str, what: &str, fact: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("{origin}: {what}"), || self.grant_of(origin).filter(&fact))
    }

    /// The operator's decision about an origin.
    #[track_caller]
    pub fn decide(&self, request: &Value, expected: u16) -> Answer {
        let path = grants_path(&self.source);
        self.instance.operator().send_json("POST", &path, request, expected)
    }

    /// Changes the source.
    #[track_caller]
    pub fn change(&self, members: &Value) -> Value {
        self.instance.operator().patch_json(&self.source.path(), members, 200)
    }

    /// Pushes a new SET with these headers.
    #[track_caller]
    pub fn push(&self, headers: &[(&str, &str)], expected: u16) -> Answer {
        self.push_this(&self.transmitter.draft(ACME_AUDIENCE).sign(), headers, expected)
    }

    /// Pushes this SET with these headers.
    #[track_caller]
    pub fn push_this(&self, set: &str, headers: &[(&str, &str)], expected: u16) -> Answer {
        let mut all = vec![
            ("content-type", "application/secevent+jwt"),
            ("accept", "application/json"),
        ];
        all.extend_from_slice(headers);
        let client = self.source.transmitter(&self.instance);
        client.send("POST", &self.source.receive_path(), &all, set.as_bytes(), expected)
    }

    /// How many events the inbox has.
    #[track_caller]
    pub fn received(&self) -> usize {
        self.source.jtis(&self.instance).len()
    }
}

#[track_caller]
fn create(instance: &Instance, transmitter: &ScriptedTransmitter, members: &Value) -> Source {
    Source::create(instance, &with(&transmitter.issuer(), members))
}

/// The request for a source with these members.
pub fn with(issuer: &str, members: &Value) -> Value {
    let mut request = json!({"issuer": issuer, "audience": ACME_AUDIENCE, "delivery": "push"});
    for (name, value) in members.as_object().expect("members are an object") {
        request[name] = value.clone();
    }
    request
}

#[track_caller]
pub fn options_at(client: &Client, path: &str, headers: &[(&str, &str)], expected: u16) -> Answer {
    client.send("OPTIONS", path, headers, b"", expected)
}

pub fn grants_path(source: &Source) -> String {
    format!("{}/grants", source.path())
}

#[track_caller]
pub fn grants(instance: &Instance, source: &Source) -> Vec<Value> {
    let answer = instance.operator().get(&grants_path(source), 200);
    answer["grants"].as_array().expect("an array").clone()
}

/// The methods that an answer allows, in alphabetical order.
pub fn allowed_methods(answer: &Answer) -> Vec<String> {
    let mut methods: Vec<String> = answer
        .header("allow")
        .unwrap_or_default()
        .split(',')
        .map(|method| method.trim().to_owned())
        .collect();
    methods.sort();
    methods
}

/// Nothing in it grants anything, nor tells a browser that it may.
#[track_caller]
pub fn assert_grants_nothing(answer: &Answer) {
    for (name, _) in &answer.headers {
        let name = name.to_ascii_lowercase();
        assert!(
            !name.starts_with("webhook-allowed") && !name.starts_with("access-control"),
            "{name} in {answer}"
        );
    }
}

/// WH-4.2-8, and what all answers to `OPTIONS` have in common.
#[track_caller]
pub fn assert_options_answer(answer: &Answer) {
    assert_eq!(allowed_methods(answer), ["OPTIONS", "POST"], "{answer}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer}");
}

/// A sender with a callback endpoint of its own.
pub struct Sender {
    pub endpoint: ScriptedReceiver,
}

impl Sender {
    pub fn start() -> Self {
        Self {
            endpoint: ScriptedReceiver::start(),
        }
    }

    /// The callback URL with a secret of its own.
    pub fn callback(&self) -> String {
        self.endpoint.url("/handshake/stream-1/s3cret-of-the-sender?a=b&c=%20d")
    }

    /// Its host and port, for `callback_hosts`.
    pub fn host(&self) -> String {
        self.endpoint.url("").trim_start_matches("http://").to_owned()
    }

    /// What a source needs to grant this sender by its callback.
    pub fn members(&self) -> Value {
        json!({"allowed_origins": [SENDER], "handshake": "callback", "callback_hosts": [self.host()]})
    }

    /// The requests so far.
    pub fn calls(&self) -> Vec<Recorded> {
        self.endpoint.requests()
    }
}

/// Callbacks leave soon, and are tried again soon.
pub fn soon() -> Options {
    Options::default()
        .set("CALLBACK_DELAY_MS", 20)
        .set("CALLBACK_RETRY_MS", 10)
}
