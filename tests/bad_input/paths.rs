//! Ids that nobody has, methods that a URL does not know, URLs that are none, and lists asked for in a wrong way.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{assert_problem, without_request_id};

use super::routes::{Caller, ROUTES, Route, Takes, patterns};
use super::world::{Bad, TENANT, World};

#[test]
fn an_id_that_nobody_has_is_not_found() {
    let world = World::start();
    let forged = "0123456789abcdef".repeat(4);
    let upper = world.polled.id.to_uppercase();
    let swapped_end = swap_last_digit(&world.polled.id);
    let long = "a".repeat(2000);
    let mut unknown = vec![
        forged.as_str(),
        &upper,
        &swapped_end,
        &long,
        &world.polled.id[1..],
        "x",
        "0",
        "%20",
        "..%2f..",
        "%00",
        "é",
    ];
    unknown.push("' OR 1=1 --");
    let unknown: Vec<String> = unknown
        .into_iter()
        .map(|id| id.replace(' ', "%20").replace('é', "%c3%a9"))
        .collect();
    let with_id = |route: &&Route| route.pattern.contains('{') && route.method != "OPTIONS";
    for route in ROUTES.iter().filter(with_id) {
        let (before, rest) = route.pattern.split_once('{').expect("a parameter");
        let (_, after) = rest.split_once('}').expect("a parameter ends");
        let client = route.client(&world);
        let body = match route.takes {
            Takes::Json => route.good_body(&world).0.to_string(),
            _ => String::new(),
        };
        let mut answers = BTreeSet::new();
        for id in &unknown {
            let path = format!("{before}{id}{after}");
            let request = match route.takes {
                Takes::Set => Bad::body(&path, "application/secevent+jwt", b"a.b.c"),
                Takes::Json => Bad::sent(route.method, &path, "application/json", body.as_bytes()),
                Takes::Nothing | Takes::Form => Bad::bare(route.method, &path),
            };
            let answer = world.problem(&client, &request, 404);
            answers.insert(format!("{:?}", without_request_id(&answer)));
        }
        assert_eq!(answers.len(), 1, "all unknown ids look alike: {answers:?}");
    }
    // The other places for an id: the query, and the body.
    for id in &unknown {
        let path = format!("/ssf/streams?stream_id={id}");
        world.problem(&world.acme.api, &Bad::bare("GET", &path), 404);
        world.problem(&world.acme.api, &Bad::bare("DELETE", &path), 404);
        let path = format!("/ssf/status?stream_id={id}");
        world.problem(&world.acme.api, &Bad::bare("GET", &path), 404);
    }
    for route in ROUTES.iter().filter(|route| route.takes == Takes::Json) {
        let (good, _) = route.good_body(&world);
        if good.get("stream_id").is_none() {
            continue;
        }
        for id in [&forged, &upper, &swapped_end, "x", "0", "%00", "é", "' OR 1=1 --"] {
            let mut body = good.clone();
            body["stream_id"] = json!(id);
            let body = body.to_string();
            let request = Bad::sent(route.method, route.pattern, "application/json", body.as_bytes());
            world.problem(&world.acme.api, &request, 404);
        }
    }
    // A source's id is no stream's, and the other way round.
    let operator = world.instance.operator();
    world.problem(
        &operator,
        &Bad::bare("GET", &format!("/admin/streams/{}", world.source.id)),
        404,
    );
    world.problem(
        &operator,
        &Bad::bare("GET", &format!("/admin/sources/{}", world.polled.id)),
        404,
    );
    world.problem(
        &operator,
        &Bad::bare("DELETE", &format!("/admin/sources/{}", world.polled.id)),
        404,
    );
    world.problem(
        &world.acme.api,
        &Bad::bare("DELETE", &format!("/ssf/streams?stream_id={}", world.source.id)),
        404,
    );
    world.assert_unchanged();
}

/// WH-4.1-23, WH-4.1-27
#[test]
fn a_callback_that_nobody_was_told_of_is_as_unknown_as_its_stream() {
    let world = World::start();
    let anyone = world.instance.anyone();
    let forged = "0123456789abcdef".repeat(4);
    for method in ["GET", "POST"] {
        let mut answers = BTreeSet::new();
        for (id, secret) in [
            (world.polled.id.as_str(), "x"),
            (&world.pushed.id, "x"),
            (&world.pushed.id, "%00"),
            (&world.source.id, "x"),
            (&forged, "x"),
        ] {
            let answer = world.problem(&anyone, &Bad::bare(method, &format!("/handshake/{id}/{secret}")), 404);
            answers.insert(format!("{:?}", without_request_id(&answer)));
            assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{answer}");
            assert_eq!(answer.header("x-robots-tag"), Some("noindex"), "{answer}");
        }
        assert_eq!(answers.len(), 1, "{answers:?}");
        // It is the service's, not a tenant's.
        let below = format!("/t/{TENANT}/handshake/{}/x", world.pushed.id);
        world.problem(&anyone, &Bad::bare(method, &below), 404);
    }
    world.assert_unchanged();
}

/// WH-4.2-15, WH-4.2-18
#[test]
fn who_may_not_push_does_not_learn_whether_there_is_a_source() {
    let world = World::start();
    let anyone = world.instance.anyone();
    let forged = "0123456789abcdef".repeat(4);
    let mut answers = BTreeSet::new();
    for id in [world.source.id.as_str(), &world.polled.id, &forged, "x", "%00"] {
        let path = format!("/receive/{id}");
        // A browser asks for its pages, and an asker who does not say who he is asks for nothing.
        let preflight = [
            ("origin", "https://page.example"),
            ("access-control-request-method", "POST"),
        ];
        for headers in [&[][..], &preflight] {
            let answer = anyone.send("OPTIONS", &path, headers, b"", 405);
            assert_problem(&answer, 405);
            assert_eq!(answer.header("allow"), Some("POST, OPTIONS"), "{answer}");
            assert_eq!(answer.header("access-control-allow-origin"), None, "{answer}");
        }
        for origin in ["tx.example.com", "", "https://tx.example.com", "a.example, b.example"] {
            let answer = anyone.send("OPTIONS", &path, &[("webhook-request-origin", origin)], b"", 403);
            answers.insert(format!("{:?}", without_request_id(&answer)));
        }
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    world.assert_unchanged();
}

/// The same id but for its last digit: well-formed, and never given out.
fn swap_last_digit(id: &str) -> String {
    let (start, end) = id.split_at(id.len() - 1);
    format!("{start}{}", if end == "0" { "1" } else { "0" })
}

/// PUSH-2.1-9.
#[test]
fn a_method_that_a_url_does_not_know_is_refused_with_those_it_knows() {
    let world = World::start();
    for (pattern, allowed) in patterns() {
        let row = ROUTES.iter().find(|route| route.pattern == pattern).expect("a route");
        let path = row.path(&world).replace("?stream_id=", "?ignored=");
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            if allowed.contains(method) {
                continue;
            }
            let answer = world.refused(&world.instance.anyone(), &Bad::bare(method, &path), 405);
            if method != "HEAD" {
                assert_problem(&answer, 405);
            }
            let named = answer
                .header("allow")
                .unwrap_or_else(|| panic!("no Allow: {answer}"))
                .to_owned();
            let named: BTreeSet<&str> = named.split(',').map(str::trim).collect();
            assert_eq!(named, allowed, "{method} {path}");
        }
    }
    world.assert_unchanged();
}

#[test]
fn head_is_get_without_the_body() {
    let world = World::start();
    let plain = |route: &&Route| route.method == "GET" && !route.is_of_the_handshake() && !route.asks_a_transmitter();
    for route in ROUTES.iter().filter(plain) {
        let (path, client) = (route.path(&world), route.client(&world));
        let answer = client.send("HEAD", &path, &[], b"", 200);
        assert_eq!(answer.text(), "", "{path}");
        assert!(answer.header("x-request-id").is_some());
    }
}

#[test]
fn a_url_that_is_none_is_not_found() {
    let world = World::start();
    let anyone = world.instance.anyone();
    for path in [
        "/ssf",
        "/ssf/stream",
        "/ssf/streams/",
        "/ssf/poll",
        "/ssf/poll/",
        "/events/",
        "/receive",
        "/receive/",
        "/handshake",
        "/handshake/x",
        "/handshake/x/",
        "/handshake/x/y/z",
        "/admin",
        "/admin/",
        "/admin/clients/",
        "/admin/streams/x/y",
        "/oauth",
        "/.well-known/openid-configuration",
        "/jwks.json/",
        "/t/other/ssf/streams",
        "/nothing",
        "/console.json/x",
        "//events",
    ] {
        for method in ["GET", "POST", "DELETE"] {
            world.problem(&anyone, &Bad::bare(method, path), 404);
        }
    }
    world.assert_unchanged();
}

#[test]
fn lists_are_asked_for_in_bounds() {
    let world = World::start();
    let operator = world.instance.operator();
    for (list, most) in [
        (format!("/admin/sources/{}/events", world.source.id), 1000),
        (format!("/admin/sources/{}/subjects", world.source.id), 1000),
        (format!("/admin/streams/{}/dead-letters", world.polled.id), 200),
    ] {
        for (name, values) in [
            (
                "limit",
                vec!["0", "-1", "x", "1.5", "99999999999999999999", "1e2", "%31%30x"],
            ),
            ("after", vec!["-1", "x", "1.5", "99999999999999999999", "0x10"]),
        ] {
            for value in values {
                let path = format!("{list}?{name}={value}");
                let answer = world.problem(&operator, &Bad::bare("GET", &path), 400);
                let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
                assert!(detail.contains(name), "{detail}");
            }
        }
        world.problem(&operator, &Bad::bare("GET", &format!("{list}?limit={}", most + 1)), 400);
        for good in [
            format!("{list}?limit={most}"),
            format!("{list}?limit=1&after=0"),
            format!("{list}?after="),
        ] {
            operator.get(&good, 200);
        }
    }
    // A page of tenants begins after a name.
    for value in ["0", "-1", "x", "201"] {
        let path = format!("/admin/tenants?limit={value}");
        world.problem(&operator, &Bad::bare("GET", &path), 400);
    }
    operator.get("/admin/tenants?limit=200&after=", 200);
    world.assert_unchanged();
}

#[test]
fn public_documents_may_be_kept_and_all_else_may_not() {
    let world = World::start();
    let plain = |route: &&Route| route.method == "GET" && !route.is_of_the_handshake() && !route.asks_a_transmitter();
    for route in ROUTES.iter().filter(plain) {
        let answer = route.client(&world).send("GET", &route.path(&world), &[], b"", 200);
        let public = route.caller == Caller::Anyone && route.pattern != "/console.json";
        let expected = if public { "public, max-age=300" } else { "no-store" };
        assert_eq!(answer.header("cache-control"), Some(expected), "{}", route.pattern);
        assert_eq!(
            answer.header("content-type"),
            Some("application/json"),
            "{}",
            route.pattern
        );
        assert_eq!(
            answer.header("access-control-allow-origin"),
            public.then_some("*"),
            "{}",
            route.pattern
        );
    }
}
