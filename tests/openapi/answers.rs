//! Answers that the harness lets pass, and answers that fail the test which sees them.

use serde_json::{Value, json};

use crate::harness::Answer;
use crate::harness::openapi::judge;

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// An answer of the Worker.
fn answer(status: u16, media: &str, body: &Value) -> Answer {
    let headers = [
        ("x-request-id", "r1"),
        ("cache-control", "no-store"),
        ("content-type", media),
    ];
    let headers = headers.iter().filter(|(_, value)| !value.is_empty());
    Answer {
        status,
        headers: headers
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        },
    }
}

/// A problem as all are.
fn problem(status: u16) -> Answer {
    let body = json!({"type": "about:blank", "title": "t", "status": status, "detail": "d", "request_id": "r1"});
    answer(status, PROBLEM, &body)
}

impl Answer {
    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }
}

fn console(more: Value) -> Answer {
    let mut body = json!({"name": "Heliograph", "version": "0.1.0", "origin": null, "admin": true});
    for (name, value) in more.as_object().expect("members") {
        body[name] = value.clone();
    }
    answer(200, JSON, &body)
}

#[test]
fn what_is_described_passes() {
    let challenge = r#"Bearer realm="ssf""#;
    let id = "0123456789abcdef".repeat(4);
    for (method, target, answer) in [
        ("GET", "/console.json", console(json!({}))),
        (
            "GET",
            "/console.json?x=/y",
            console(json!({"origin": "http://127.0.0.1:1"})),
        ),
        ("HEAD", "/console.json", answer(200, JSON, &Value::Null)),
        ("GET", "/ssf/streams", answer(200, JSON, &json!([]))),
        ("GET", "/t/acme/ssf/streams", answer(200, JSON, &json!([]))),
        ("GET", "/ssf/streams", problem(401).with("WWW-Authenticate", challenge)),
        ("DELETE", "/ssf/streams?stream_id=x", answer(204, "", &Value::Null)),
        ("POST", &format!("/receive/{id}"), answer(202, "", &Value::Null)),
        ("POST", "/ssf/verification", problem(429).with("retry-after", "3")),
        (
            "HEAD",
            "/handshake/x/y",
            answer(405, "", &Value::Null).with("allow", "GET, POST"),
        ),
        // Rules, not lists.
        ("GET", "/nothing", problem(404)),
        ("POST", "/admin/clients/", problem(404)),
        ("GET", "/t/acme/console.json", problem(404)),
        ("PUT", "/events", problem(405).with("allow", "POST")),
        ("SERVERS", "/console.json", problem(405).with("allow", "GET,HEAD")),
        ("PUT", "/t/nobody/events", problem(404)),
        ("PUT", "/.well-known/ssf-configuration/t/nobody", problem(404)),
        ("POST", "/openapi.json", answer(405, "", &Value::Null)),
        ("GET", "/nothing", problem(421)),
        ("PUT", "/events", problem(503)),
    ] {
        assert_eq!(judge(method, target, &answer), Ok(()), "{method} {target}: {answer}");
    }
}

#[test]
fn what_is_not_described_does_not() {
    let cut = Answer {
        body: b"{".to_vec(),
        ..console(json!({}))
    };
    for (method, target, answer, fault) in [
        ("GET", "/console.json", console(json!({"more": 1})), "more"),
        ("GET", "/console.json", console(json!({"admin": "yes"})), "/admin"),
        ("GET", "/console.json", console(json!({"origin": "nowhere"})), "/origin"),
        (
            "GET",
            "/console.json",
            answer(200, JSON, &json!({"name": "Heliograph"})),
            "version",
        ),
        ("GET", "/console.json", answer(200, JSON, &Value::Null), "no JSON"),
        ("GET", "/console.json", cut, "no JSON"),
        ("GET", "/console.json", answer(200, PROBLEM, &json!({})), "media type"),
        ("HEAD", "/console.json", console(json!({})), "no body"),
        ("GET", "/console.json", problem(421), "none of"),
        (
            "GET",
            "/console.json",
            console(json!({})).without("x-request-id"),
            "X-Request-Id",
        ),
        (
            "GET",
            "/console.json",
            console(json!({})).without("cache-control"),
            "Cache-Control",
        ),
        ("GET", "/ssf/streams", problem(401), "WWW-Authenticate"),
        (
            "GET",
            "/ssf/streams",
            problem(401).with("www-authenticate", "Basic"),
            "WWW-Authenticate",
        ),
        ("GET", "/ssf/streams", problem(418), "none of"),
        ("DELETE", "/ssf/streams", answer(204, JSON, &json!({})), "no body"),
        ("POST", "/ssf/verification", problem(429), "Retry-After"),
        (
            "POST",
            "/ssf/verification",
            problem(429).with("retry-after", "soon"),
            "Retry-After",
        ),
        ("GET", "/nothing", answer(200, JSON, &json!({})), "404"),
        ("GET", "/nothing", problem(403), "404"),
        ("GET", "/nothing", answer(404, "text/plain", &json!("x")), "media type"),
        ("PUT", "/events", problem(404), "405"),
        ("PUT", "/events", problem(405), "Allow"),
        (
            "GET",
            "/t/acme/admin/tenants",
            answer(200, JSON, &json!({"tenants": []})),
            "404",
        ),
    ] {
        let judged = judge(method, target, &answer);
        assert!(
            judged.as_ref().is_err_and(|found| found.contains(fault)),
            "{method} {target}: {judged:?} for {answer}"
        );
    }
}
