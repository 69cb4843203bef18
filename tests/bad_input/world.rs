//! An instance in which there is one of everything, and a picture of it that must not change.

use std::cell::RefCell;
use std::collections::HashSet;

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Instance, Options, ScriptedReceiver, eventually};
use crate::support::{ACME_AUDIENCE, Acme, Source, Stream, assert_problem, event, publish};

pub struct World {
    pub instance: Instance,
    /// May do all that a receiver may.
    pub acme: Acme,
    /// May only read.
    pub reader: Acme,
    /// May only publish.
    pub publisher: Acme,
    pub polled: Stream,
    pub pushed: Stream,
    pub source: Source,
    /// Of the polled stream's dead letter.
    pub dead_jti: String,
    before: Value,
    request_ids: RefCell<HashSet<String>>,
    /// The refused requests since nothing was seen to have changed.
    unchecked: RefCell<Vec<String>>,
    _receiver: ScriptedReceiver,
}

/// A request as the tables give it. Without a content type none is sent.
pub struct Bad<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub content_type: Option<&'a str>,
    pub body: &'a [u8],
}

impl<'a> Bad<'a> {
    pub fn json(path: &'a str, body: &'a str) -> Self {
        Self::body(path, "application/json", body.as_bytes())
    }

    pub fn body(path: &'a str, content_type: &'a str, body: &'a [u8]) -> Self {
        Self::sent("POST", path, content_type, body)
    }

    pub fn sent(method: &'a str, path: &'a str, content_type: &'a str, body: &'a [u8]) -> Self {
        Self {
            method,
            path,
            content_type: Some(content_type),
            body,
        }
    }

    pub fn bare(method: &'a str, path: &'a str) -> Self {
        Self {
            method,
            path,
            content_type: None,
            body: b"",
        }
    }
}

/// The tenant that is there beside `default`.
pub const TENANT: &str = "acme";

/// Members of a stream's health that change by themselves, or by being looked at.
const RESTLESS: [&str; 8] = [
    "next_wake_at",
    "rows_read",
    "rows_written",
    "requests",
    "alarms",
    "alarms_set",
    "oldest_age_s",
    "events_per_minute",
];

/// How many refused requests go by before the world is looked at: one look costs ten requests.
const LOOK_AFTER: usize = 25;

impl World {
    pub fn start() -> Self {
        Self::with(Options::default())
    }

    pub fn with(options: Options) -> Self {
        let instance = Instance::start(options);
        let receiver = ScriptedReceiver::start();
        let acme = Acme::register(&instance, &[&receiver.url("/")]);
        let reader = Acme::with_scope(&instance, "ssf.read", &[]);
        let publisher = Acme::with_scope(&instance, "events.publish", &[]);
        let polled = acme.poll_stream();
        let pushed = acme.push_stream(&receiver.url("/events"));
        let source = Source::register(&instance, &instance.origin(), ACME_AUDIENCE);
        let tenant = json!({"tenant": TENANT});
        instance.operator().post_json("/admin/tenants", &tenant, 201);
        publish(&instance.operator(), &[event("evt-dead", "ana@example.com")]);
        let (dead_jti, _) = polled.poll_now().remove(0);
        let errors = json!({dead_jti.as_str(): {"err": "invalid_key", "description": "no such key"}});
        polled.poll(&json!({"setErrs": errors, "maxEvents": 0, "returnImmediately": true}));
        publish(&instance.operator(), &[event("evt-0", "ana@example.com")]);
        polled.poll_now();
        let mut world = Self {
            instance,
            acme,
            reader,
            publisher,
            polled,
            pushed,
            source,
            dead_jti,
            before: Value::Null,
            request_ids: RefCell::default(),
            unchecked: RefCell::default(),
            _receiver: receiver,
        };
        world.look_again();
        world
    }

    /// Sends a request that has to be refused, and checks that the answer is told apart by its id. End with `assert_unchanged`.
    #[track_caller]
    pub fn refused(&self, client: &Client, request: &Bad<'_>, status: u16) -> Answer {
        let headers: Vec<(&str, &str)> = request
            .content_type
            .iter()
            .map(|value| ("content-type", *value))
            .collect();
        let answer = client.send(request.method, request.path, &headers, request.body, status);
        let id = answer
            .header("x-request-id")
            .unwrap_or_else(|| panic!("no request id: {answer}"))
            .to_owned();
        assert!(
            !id.is_empty() && self.request_ids.borrow_mut().insert(id),
            "the id was used before: {answer}"
        );
        self.unchecked
            .borrow_mut()
            .push(format!("{} {}", request.method, request.path));
        if self.unchecked.borrow().len() >= LOOK_AFTER {
            self.assert_unchanged();
        }
        answer
    }

    /// As `refused`, where the answer is a problem.
    #[track_caller]
    pub fn problem(&self, client: &Client, request: &Bad<'_>, status: u16) -> Answer {
        let answer = self.refused(client, request, status);
        assert_problem(&answer, status);
        answer
    }

    #[track_caller]
    pub fn assert_unchanged(&self) {
        let requests = self.unchecked.take().join("\n");
        let now = self.picture();
        for (part, before) in self.before.as_object().expect("a picture has parts") {
            assert_eq!(&now[part], before, "{part} changed by one of\n{requests}");
        }
    }

    /// What is there now is what must stay from here on. A restart may have the last event delivered once more.
    pub fn look_again(&mut self) {
        eventually("the event is delivered", || {
            (self.pushed.health(&self.instance)["queued_events"] == json!(0)).then_some(())
        });
        self.before = self.picture();
    }

    fn picture(&self) -> Value {
        let operator = self.instance.operator();
        let at_rest = |mut document: Value| {
            let members = document.as_object_mut().expect("an object");
            members.retain(|name, _| !RESTLESS.contains(&name.as_str()));
            document
        };
        let health = [&self.polled, &self.pushed].map(|stream| at_rest(stream.health(&self.instance)));
        let streams = operator.get("/admin/streams", 200)["streams"].clone();
        let streams: Vec<Value> = streams
            .as_array()
            .expect("an array")
            .iter()
            .cloned()
            .map(at_rest)
            .collect();
        let mut sources = operator.get("/admin/sources", 200);
        for source in sources["sources"].as_array_mut().expect("an array") {
            // What is refused counts.
            source["health"]["refused"] = json!(0);
        }
        let settings = ["default", TENANT].map(|name| operator.get(&format!("/admin/tenants/{name}"), 200));
        let grant = format!("/admin/streams/{}/grant", self.pushed.id);
        let dead = [&self.polled, &self.pushed].map(|stream| stream.dead_letters(&self.instance));
        json!({
            "tenants": operator.get("/admin/tenants", 200),
            "settings": settings,
            "clients": operator.get("/admin/clients", 200),
            "streams": streams,
            "sources": sources,
            "configurations": self.acme.api.get("/ssf/streams", 200),
            "health": health,
            "dead_letters": dead,
            "grant": operator.get(&grant, 200),
            "origins": operator.get(&format!("/admin/sources/{}/grants", self.source.id), 200),
            "inbox": self.source.page(&self.instance, ""),
            "keys": self.instance.anyone().get("/jwks.json", 200),
        })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let forgotten = !std::thread::panicking() && !self.unchecked.borrow().is_empty();
        assert!(!forgotten, "the test ends without `assert_unchanged`");
    }
}
