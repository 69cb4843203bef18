//! Bodies that are not what the URL takes: malformed or ambiguous JSON, and other media types.

use serde_json::json;

use super::routes::{ROUTES, Takes};
use super::world::{Bad, World};

/// No JSON, or JSON that two parsers may read in two ways.
const MALFORMED: &[&[u8]] = &[
    b"{",
    b"x",
    b"{} {}",
    b"{}x",
    b"[1,]",
    b"{'a':1}",
    b"{\"a\":1,}",
    b"{\"a\":01}",
    b"{\"a\":NaN}",
    b"{\"a\":1,\"a\":1}",
    b"{\"a\":{\"b\":1,\"\\u0062\":2}}",
    b"{\"events\":[],\"events\":[]}",
    b"{\"a\":\"\xff\"}",
    b"{\"a\":\"\\ud800\"}",
    b"{\"a\":\"\n\"}",
    b"\xef\xbb\xbf{}",
    b"\x00",
];

#[test]
fn malformed_json_is_refused() {
    let world = World::start();
    let deep = [b"{\"a\":".repeat(70), b"1".to_vec(), b"}".repeat(70)].concat();
    let endless = b"[".repeat(100_000);
    for route in ROUTES.iter().filter(|route| route.takes == Takes::Json) {
        let (path, client) = (route.path(&world), route.client(&world));
        for body in MALFORMED.iter().copied().chain([deep.as_slice(), &endless]) {
            let request = Bad::sent(route.method, &path, "application/json", body);
            let answer = world.problem(&client, &request, 400);
            assert_eq!(
                answer.json().get("pointer"),
                None,
                "a place only in what could be read: {answer}"
            );
        }
        // A poll may have an empty body (POLL-R-8); nothing else may.
        if route.pattern != "/ssf/poll/{stream_id}" {
            for empty in [&b""[..], b" \n"] {
                let request = Bad::sent(route.method, &path, "application/json", empty);
                world.problem(&client, &request, 400);
            }
        }
        for no_object in ["[]", "null", "1", "\"{}\"", "true"] {
            let request = Bad::sent(route.method, &path, "application/json", no_object.as_bytes());
            let answer = world.problem(&client, &request, 400);
            assert_eq!(answer.json()["pointer"], json!(""), "the whole document is wrong");
        }
    }
    world.assert_unchanged();
}

#[test]
fn a_body_that_says_it_is_something_else_is_not_read() {
    let world = World::start();
    for route in ROUTES.iter().filter(|route| route.takes == Takes::Json) {
        let (path, client) = (route.path(&world), route.client(&world));
        for wrong in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/jsonp",
            "application/json-seq",
            "*/*",
        ] {
            world.problem(&client, &Bad::sent(route.method, &path, wrong, b"{}"), 415);
        }
        // SSF-8-8: any spelling of the right type, or none, gets as far as the body.
        for right in [Some("application/json"), Some("Application/JSON; charset=utf-8"), None] {
            let request = Bad {
                method: route.method,
                path: &path,
                content_type: right,
                body: b"{",
            };
            world.problem(&client, &request, 400);
        }
    }
    world.assert_unchanged();
}

#[test]
fn a_set_under_another_type_is_not_read() {
    let world = World::start();
    let path = world.source.receive_path();
    let transmitter = world.source.transmitter(&world.instance);
    // PUSH-2.1-7
    for wrong in [
        Some("application/jwt"),
        Some("application/json"),
        Some("text/plain"),
        Some("application/secevent"),
        None,
    ] {
        let request = Bad {
            method: "POST",
            path: &path,
            content_type: wrong,
            body: b"a.b.c",
        };
        world.problem(&transmitter, &request, 415);
    }
    let spelled = Bad::body(&path, "Application/SecEvent+JWT; charset=us-ascii", b"a.b.c");
    let answer = world.refused(&transmitter, &spelled, 400);
    assert_eq!(answer.json()["err"], json!("invalid_request"));
    world.assert_unchanged();
}
