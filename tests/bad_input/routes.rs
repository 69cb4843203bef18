//! Every route of the service, as the other tables go through them; held against the router's own list.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::Client;
use crate::support::{ACME_AUDIENCE, event};

use super::world::{TENANT, World};

/// Whose credentials a route wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    Anyone,
    Operator,
    /// A client with `ssf.read`.
    Reader,
    /// A client with `ssf.manage`.
    Manager,
    /// The operator, or a client with `events.publish`.
    Publisher,
    /// Whoever knows the authorization header of the source.
    Transmitter,
}

/// What a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    Json,
    Form,
    Set,
}

#[derive(Clone, Copy, Debug)]
pub struct Route {
    pub method: &'static str,
    pub pattern: &'static str,
    pub caller: Caller,
    pub takes: Takes,
}

const fn route(method: &'static str, pattern: &'static str, caller: Caller, takes: Takes) -> Route {
    Route {
        method,
        pattern,
        caller,
        takes,
    }
}

use Caller::{Anyone, Manager, Operator, Publisher, Reader, Transmitter};
use Takes::{Form, Json, Nothing, Set};

pub const ROUTES: &[Route] = &[
    route("GET", "/console.json", Anyone, Nothing),
    route("GET", "/.well-known/ssf-configuration", Anyone, Nothing),
    route("GET", "/.well-known/oauth-authorization-server", Anyone, Nothing),
    route("GET", "/.well-known/oauth-protected-resource", Anyone, Nothing),
    route("GET", "/jwks.json", Anyone, Nothing),
    route("POST", "/oauth/token", Anyone, Form),
    route("GET", "/ssf/streams", Reader, Nothing),
    route("POST", "/ssf/streams", Manager, Json),
    route("PATCH", "/ssf/streams", Manager, Json),
    route("PUT", "/ssf/streams", Manager, Json),
    route("DELETE", "/ssf/streams", Manager, Nothing),
    route("GET", "/ssf/status", Reader, Nothing),
    route("POST", "/ssf/status", Manager, Json),
    route("POST", "/ssf/subjects/add", Manager, Json),
    route("POST", "/ssf/subjects/remove", Manager, Json),
    route("POST", "/ssf/verification", Manager, Json),
    route("POST", "/ssf/poll/{stream_id}", Manager, Json),
    route("POST", "/events", Publisher, Json),
    route("GET", "/handshake/{stream_id}/{secret}", Anyone, Nothing),
    route("POST", "/handshake/{stream_id}/{secret}", Anyone, Nothing),
    route("POST", "/receive/{source_id}", Transmitter, Set),
    route("OPTIONS", "/receive/{source_id}", Anyone, Nothing),
    route("GET", "/admin/tenants", Operator, Nothing),
    route("POST", "/admin/tenants", Operator, Json),
    route("GET", "/admin/tenants/{tenant}", Operator, Nothing),
    route("PATCH", "/admin/tenants/{tenant}", Operator, Json),
    route("DELETE", "/admin/tenants/{tenant}", Operator, Nothing),
    route("GET", "/admin/clients", Operator, Nothing),
    route("POST", "/admin/clients", Operator, Json),
    route("GET", "/admin/clients/{client_id}", Operator, Nothing),
    route("PATCH", "/admin/clients/{client_id}", Operator, Json),
    route("DELETE", "/admin/clients/{client_id}", Operator, Nothing),
    route("GET", "/admin/streams", Operator, Nothing),
    route("GET", "/admin/streams/{stream_id}", Operator, Nothing),
    route("PATCH", "/admin/streams/{stream_id}", Operator, Json),
    route("DELETE", "/admin/streams/{stream_id}", Operator, Nothing),
    route("POST", "/admin/streams/{stream_id}/subjects", Operator, Json),
    route("POST", "/admin/streams/{stream_id}/explain", Operator, Json),
    route("GET", "/admin/streams/{stream_id}/deliveries", Operator, Nothing),
    route("GET", "/admin/streams/{stream_id}/dead-letters", Operator, Nothing),
    route(
        "GET",
        "/admin/streams/{stream_id}/dead-letters/{jti}",
        Operator,
        Nothing,
    ),
    route(
        "POST",
        "/admin/streams/{stream_id}/dead-letters/redrive",
        Operator,
        Json,
    ),
    route("POST", "/admin/streams/{stream_id}/dead-letters/purge", Operator, Json),
    route("POST", "/admin/streams/{stream_id}/webhook-secret", Operator, Json),
    route("GET", "/admin/streams/{stream_id}/grant", Operator, Nothing),
    route("POST", "/admin/streams/{stream_id}/grant", Operator, Json),
    route("POST", "/admin/streams/{stream_id}/replay", Operator, Json),
    route("GET", "/admin/sources", Operator, Nothing),
    route("POST", "/admin/sources", Operator, Json),
    route("GET", "/admin/sources/{source_id}", Operator, Nothing),
    route("PATCH", "/admin/sources/{source_id}", Operator, Json),
    route("DELETE", "/admin/sources/{source_id}", Operator, Nothing),
    route("GET", "/admin/sources/{source_id}/grants", Operator, Nothing),
    route("POST", "/admin/sources/{source_id}/grants", Operator, Json),
    route("GET", "/admin/sources/{source_id}/health", Operator, Nothing),
    route("GET", "/admin/sources/{source_id}/setup", Operator, Nothing),
    route("POST", "/admin/sources/{source_id}/setup", Operator, Json),
    route("GET", "/admin/sources/{source_id}/status", Operator, Nothing),
    route("POST", "/admin/sources/{source_id}/status", Operator, Json),
    route("GET", "/admin/sources/{source_id}/subjects", Operator, Nothing),
    route("POST", "/admin/sources/{source_id}/subjects", Operator, Json),
    route("POST", "/admin/sources/{source_id}/verification", Operator, Json),
    route("GET", "/admin/sources/{source_id}/events", Operator, Nothing),
];

impl Route {
    /// A path that exists in this world.
    pub fn path(&self, world: &World) -> String {
        let path = self
            .pattern
            .replace("{stream_id}", &world.polled.id)
            .replace("{jti}", &world.dead_jti)
            .replace("{secret}", "nobody-was-told-this")
            .replace("{source_id}", &world.source.id)
            .replace("{client_id}", &world.acme.client_id)
            .replace("{tenant}", TENANT);
        match (self.method, self.pattern) {
            ("DELETE", "/ssf/streams") | ("GET", "/ssf/status") => format!("{path}?stream_id={}", world.polled.id),
            _ => path,
        }
    }

    /// A JSON body that it takes in this world, and the status that it answers.
    pub fn good_body(&self, world: &World) -> (Value, u16) {
        let stream_id = &world.polled.id;
        let subject = json!({"format": "email", "email": "ana@example.com"});
        match (self.method, self.pattern) {
            ("POST", "/ssf/streams") => (json!({}), 201),
            ("PATCH" | "PUT", "/ssf/streams") => (json!({"stream_id": stream_id}), 200),
            ("POST", "/ssf/status") => (json!({"stream_id": stream_id, "status": "enabled"}), 200),
            ("POST", "/ssf/subjects/add") => (json!({"stream_id": stream_id, "subject": subject}), 200),
            ("POST", "/ssf/subjects/remove") => (json!({"stream_id": stream_id, "subject": subject}), 204),
            ("POST", "/ssf/verification") => (json!({"stream_id": stream_id}), 204),
            ("POST", "/ssf/poll/{stream_id}") => (json!({"returnImmediately": true}), 200),
            ("POST", "/events") => (json!({"events": [event("evt-good", "ana@example.com")]}), 202),
            ("POST", "/admin/tenants") => (json!({"tenant": "another"}), 201),
            ("PATCH", "/admin/tenants/{tenant}") => (json!({"default_subjects": "NONE"}), 200),
            ("POST", "/admin/clients") => (json!({"client_name": "Good", "scope": "events.publish"}), 201),
            ("PATCH", "/admin/clients/{client_id}") => (json!({"client_name": "Good"}), 200),
            ("PATCH", "/admin/streams/{stream_id}") => (json!({"status": "enabled"}), 200),
            ("POST", "/admin/streams/{stream_id}/subjects") => (json!({"add": [subject]}), 200),
            ("POST", "/admin/streams/{stream_id}/explain") => (event("evt-good", "ana@example.com"), 200),
            ("POST", "/admin/streams/{stream_id}/dead-letters/redrive") => (json!({"all": true}), 200),
            ("POST", "/admin/streams/{stream_id}/dead-letters/purge") => (json!({"all": true}), 200),
            // They were read to their ends: a stream that is polled signs nothing so, and has nobody to ask.
            ("POST", "/admin/streams/{stream_id}/webhook-secret") => (json!({"overlap_s": 60}), 409),
            ("POST", "/admin/streams/{stream_id}/grant") => (json!({"action": "ask"}), 409),
            // Everything since an instant that is yet to come is nothing.
            ("POST", "/admin/streams/{stream_id}/replay") => (json!({"since": 9_007_199_254_740_991_u64}), 200),
            ("PATCH", "/admin/sources/{source_id}") => (json!({"description": "Good"}), 200),
            // It was read to its end: nobody of that name asked.
            ("POST", "/admin/sources/{source_id}/grants") => {
                (json!({"origin": "tx.example.com", "action": "approve"}), 404)
            }
            // They were read to their ends: the source is not managed.
            ("POST", "/admin/sources/{source_id}/setup") => (json!({"from": "stream"}), 409),
            ("POST", "/admin/sources/{source_id}/status") => (json!({"status": "enabled"}), 409),
            ("POST", "/admin/sources/{source_id}/subjects") => (json!({"add": [subject]}), 409),
            ("POST", "/admin/sources/{source_id}/verification") => (json!({}), 409),
            ("POST", "/admin/sources") => (json!({"issuer": "https://idp.example", "audience": ACME_AUDIENCE}), 201),
            other => panic!("no good body for {other:?}"),
        }
    }

    /// Whether it belongs to the handshake of web hooks, which has answers of its own to ids that nobody has and to `HEAD`.
    pub fn is_of_the_handshake(&self) -> bool {
        self.pattern.starts_with("/handshake/") || self.method == "OPTIONS"
    }

    /// Whether its answer is somebody else's, whom the source of this world does not manage.
    pub fn asks_a_transmitter(&self) -> bool {
        self.pattern == "/admin/sources/{source_id}/status"
    }

    /// Somebody who may.
    pub fn client(&self, world: &World) -> Client {
        match self.caller {
            Anyone => world.instance.anyone(),
            Operator | Publisher => world.instance.operator(),
            Reader | Manager => world.acme.api.clone(),
            Transmitter => world.source.transmitter(&world.instance),
        }
    }

    /// Most bytes of a body (design 6).
    pub fn limit(&self) -> usize {
        if ["/events", "/admin/sources/{source_id}/subjects"].contains(&self.pattern) {
            1024 * 1024
        } else {
            256 * 1024
        }
    }
}

/// The patterns, each once, with the methods they answer to.
pub fn patterns() -> Vec<(&'static str, BTreeSet<&'static str>)> {
    let mut patterns: Vec<(&str, BTreeSet<&str>)> = Vec::new();
    for route in ROUTES {
        match patterns.iter_mut().find(|(pattern, _)| *pattern == route.pattern) {
            Some((_, methods)) => {
                methods.insert(route.method);
            }
            None => patterns.push((route.pattern, BTreeSet::from([route.method]))),
        }
    }
    for (pattern, methods) in &mut patterns {
        // WH-4.1-23: what merely looks at a link must not agree to anything.
        if methods.contains("GET") && !pattern.starts_with("/handshake/") {
            methods.insert("HEAD");
        }
    }
    patterns
}

#[test]
fn the_table_names_every_route() {
    let source = include_str!("../../src/edge/router.rs").replace(['\n', ' '], "");
    let mut routed = BTreeSet::new();
    for part in source.split(".route(\"").skip(1) {
        let (pattern, rest) = part.split_once('"').expect("a pattern ends");
        let handlers = rest.split(".route(").next().unwrap_or_default();
        for method in ["get", "post", "put", "patch", "delete", "options", "any"] {
            if handlers.contains(&format!(",{method}(")) || handlers.contains(&format!(").{method}(")) {
                routed.insert((method.to_uppercase(), pattern.to_owned()));
            }
        }
    }
    let known: BTreeSet<_> = ROUTES
        .iter()
        .map(|route| (route.method.to_owned(), route.pattern.to_owned()))
        .collect();
    assert_eq!(known, routed, "every route of the router has its row here");
}
