//! Bodies over their limit: 413, although they were sent to their end. What is exactly as long as allowed is accepted.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::harness::{Answer, ScriptedTransmitter};
use crate::support::{ACME_AUDIENCE, Source, assert_problem};

use super::routes::{ROUTES, Route, Takes};
use super::world::{Bad, World};

/// A good body of exactly this many bytes, and the status it gets.
fn good_body(world: &World, route: &Route, length: usize) -> (Vec<u8>, u16) {
    let (mut body, status, padding) = match route.takes {
        // Empty parameters are none.
        Takes::Form => ("grant_type=client_credentials".to_owned(), 200, b'&'),
        _ => {
            let (body, status) = route.good_body(world);
            (body.to_string(), status, b' ')
        }
    };
    assert!(body.len() <= length);
    body.extend(std::iter::repeat_n(char::from(padding), length - body.len()));
    (body.into_bytes(), status)
}

fn content_type(route: &Route) -> &'static str {
    match route.takes {
        Takes::Form => "application/x-www-form-urlencoded",
        Takes::Set => "application/secevent+jwt",
        Takes::Json | Takes::Nothing => "application/json",
    }
}

#[test]
fn one_byte_too_many_is_too_many() {
    let world = World::start();
    let with_bodies: Vec<&Route> = ROUTES.iter().filter(|route| route.takes != Takes::Nothing).collect();
    assert_eq!(with_bodies.len(), 30);
    for route in &with_bodies {
        let client = match route.pattern {
            "/oauth/token" => world
                .instance
                .anyone()
                .basic(&world.acme.client_id, &world.acme.client_secret),
            _ => route.client(&world),
        };
        let path = route.path(&world);
        // What is drained goes far beyond the limit.
        let drained = if route.pattern == "/events" { 8 } else { 2 };
        for length in [route.limit() + 1, drained * 1024 * 1024] {
            let body = match route.takes {
                Takes::Set => vec![b'a'; length],
                _ => good_body(&world, route, length).0,
            };
            let request = Bad::sent(route.method, &path, content_type(route), &body);
            let answer = world.problem(&client, &request, 413);
            let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
            assert!(
                detail.contains(&route.limit().to_string()),
                "the limit is said: {detail}"
            );
        }
    }

    world.assert_unchanged();
    for route in with_bodies.iter().filter(|route| route.takes != Takes::Set) {
        let client = match route.pattern {
            "/oauth/token" => world
                .instance
                .anyone()
                .basic(&world.acme.client_id, &world.acme.client_secret),
            _ => route.client(&world),
        };
        let (body, status) = good_body(&world, route, route.limit());
        client.send(
            route.method,
            &route.path(&world),
            &[("content-type", content_type(route))],
            &body,
            status,
        );
    }
}

#[test]
fn who_may_not_call_hears_that_however_much_was_sent() {
    let world = World::start();
    for route in ROUTES.iter().filter(|route| route.takes == Takes::Json) {
        let large = vec![b' '; route.limit()];
        for _ in 0..10 {
            let path = route.path(&world);
            let request = Bad::sent(route.method, &path, "application/json", &large);
            world.problem(&world.instance.anyone(), &request, 401);
        }
    }
    world.assert_unchanged();
}

#[test]
fn a_set_may_be_as_long_as_a_body() {
    let world = World::start();
    let transmitter = ScriptedTransmitter::start();
    let source = Source::register(&world.instance, &transmitter.issuer(), ACME_AUDIENCE);
    let limit = 256 * 1024;
    // One draft for all: each new one has a `jti` of its own, which may be a digit longer.
    let draft = transmitter.draft(ACME_AUDIENCE);
    let set = |padding: usize| draft.clone().claim("padding", "x".repeat(padding)).sign();
    // Base64 reaches three of four lengths; the line end that a SET may have (PUSH-2.1-8) makes up for the fourth.
    let overhead = set(0).len();
    let near = (limit - overhead) * 3 / 4;
    let longest = (near - 8..near + 8)
        .map(set)
        .filter(|set| limit - 1 <= set.len() && set.len() <= limit)
        .max_by_key(String::len);
    let mut longest = longest.expect("a SET of about that length");
    if longest.len() < limit {
        longest.push('\n');
    }
    assert_eq!(longest.len(), limit);
    source.push(&world.instance, &longest, 202);
    assert_eq!(source.inbox(&world.instance)[0]["set"], json!(longest.trim_end()));

    let too_long: Answer = source.push(&world.instance, &format!("{longest}x"), 413);
    assert_problem(&too_long, 413);
    assert_eq!(source.inbox(&world.instance).len(), 1);
}

/// A length that is said, and is not true: in chunks there may come any number of bytes.
#[test]
fn who_sends_in_chunks_is_not_believed_a_length() {
    let world = World::start();
    let host = world.instance.origin().replace("http://", "");
    let mut socket = TcpStream::connect(&host).expect("a connection");
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        world.source.receive_path()
    );
    socket.write_all(head.as_bytes()).expect("the head is sent");
    let chunk = [b"10000\r\n".as_slice(), &[b'a'; 0x10000], b"\r\n"].concat();
    // Without an end: whoever waits for it answers never.
    for _ in 0..160 {
        if socket.write_all(&chunk).is_err() {
            break;
        }
    }
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a timeout");
    let mut status = [0; 12];
    socket.read_exact(&mut status).expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 413");
    world.assert_unchanged();
}
