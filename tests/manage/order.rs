//! What is said first to who is wrong in more than one way, and what nobody learns about streams that are not theirs.

use serde_json::json;

use crate::harness::{Instance, Options};
use crate::support::{assert_problem, without_request_id};

use super::Stream;
use super::matrix::{By, NOT_THERE, On, Operation, With};
use super::world::{World, good_body, unregistered};

use Operation::{
    AddSubject, Create, Delete, List, Read, ReadStatus, RemoveSubject, Replace, SetStatus, Update, Verify,
};

/// Operations that take a body with a `stream_id`.
const WITH_BODY: [Operation; 6] = [Update, Replace, SetStatus, AddSubject, RemoveSubject, Verify];

/// Operations that name their stream in the query.
const WITH_QUERY: [Operation; 3] = [Read, Delete, ReadStatus];

/// SSF-8-6: 401, 403, 400 for a body that cannot be read, 404, 400 for what it asks of the stream, 429.
#[test]
fn of_two_faults_the_first_is_told() {
    let instance = Instance::start(Options::default());
    let world = World::new(&instance);
    let mut cases: Vec<(Operation, By, On, With, u16)> = Vec::new();
    for operation in WITH_BODY.into_iter().chain([Create]) {
        for body in ["{", r#"{"stream_id":1}"#, "[]"] {
            for by in [By::Nobody, By::Forger] {
                cases.push((operation, by, On::Own, With::Body(body), 401));
                cases.push((operation, by, On::OtherClients, With::Body(body), 401));
            }
            for by in [By::Reader, By::Publisher] {
                cases.push((operation, by, On::Own, With::Body(body), 403));
            }
            cases.push((operation, By::Owner, On::Own, With::Body(body), 400));
        }
    }
    for operation in WITH_BODY.into_iter().chain(WITH_QUERY) {
        for on in NOT_THERE {
            cases.push((operation, By::Nobody, on, With::Good, 401));
            cases.push((operation, By::Publisher, on, With::Good, 403));
        }
    }
    for operation in WITH_QUERY.into_iter().chain([List]) {
        cases.push((
            operation,
            By::Nobody,
            On::Own,
            With::Query("?stream_id=a&stream_id=b"),
            401,
        ));
        cases.push((
            operation,
            By::Publisher,
            On::Own,
            With::Query("?stream_id=a&stream_id=b"),
            403,
        ));
        cases.push((
            operation,
            By::Owner,
            On::Own,
            With::Query("?stream_id=a&stream_id=b"),
            400,
        ));
    }
    for on in NOT_THERE {
        // What the body is made of is told before whether there is such a stream.
        for (operation, body) in [
            (Update, r#"{"stream_id":"STREAM","description":1}"#),
            (Replace, r#"{"stream_id":"STREAM","delivery":{}}"#),
            (SetStatus, r#"{"stream_id":"STREAM","status":"on"}"#),
            (AddSubject, r#"{"stream_id":"STREAM","subject":{}}"#),
            (RemoveSubject, r#"{"stream_id":"STREAM","subject":{}}"#),
            (Verify, r#"{"stream_id":"STREAM","state":1}"#),
        ] {
            cases.push((operation, By::Owner, on, With::Body(body), 400));
        }
        // And that there is none, before what it could not do.
        for (operation, body) in [
            (Update, r#"{"stream_id":"STREAM","iss":"https://rival.example"}"#),
            (
                Update,
                r#"{"stream_id":"STREAM","delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"https://elsewhere.example/"}}"#,
            ),
            (Replace, r#"{"stream_id":"STREAM","aud":"https://rival.example"}"#),
            (
                Replace,
                r#"{"stream_id":"STREAM","delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"https://elsewhere.example/"}}"#,
            ),
            (
                RemoveSubject,
                r#"{"stream_id":"STREAM","subject":{"format":"opaque","id":"STREAM"}}"#,
            ),
        ] {
            cases.push((operation, By::Owner, on, With::Body(body), 404));
        }
    }
    // A limit of rates comes last.
    cases.push((
        Verify,
        By::Owner,
        On::Verified,
        With::Body(r#"{"stream_id":"STREAM","state":1}"#),
        400,
    ));
    for operation in [AddSubject, RemoveSubject] {
        cases.push((
            operation,
            By::Owner,
            On::Busy,
            With::Body(r#"{"stream_id":"STREAM","subject":{}}"#),
            400,
        ));
    }
    // Nothing of this is done, so one stream of each kind is enough.
    let mut streams: Vec<(On, Stream)> = Vec::new();
    for (operation, by, on, with, status) in cases {
        if streams.iter().all(|(known, _)| *known != on) {
            streams.push((on, world.stream(on)));
        }
        let (_, stream) = streams.iter().find(|(known, _)| *known == on).expect("made before");
        let answer = world.ask(operation, by, stream, with);
        assert_eq!(
            answer.status, status,
            "{operation:?} by {by:?} on {on:?} with {with:?}: {answer}"
        );
        assert_problem(&answer, status);
    }
}

/// SSF-8-6, SSF-8.1.4.2-9
#[test]
fn a_disabled_stream_is_told_so_before_it_is_told_to_wait() {
    let instance = Instance::start(Options::default());
    let world = World::new(&instance);
    let stream = world.stream(On::Verified);
    stream.set_status("disabled");
    stream.verify(&json!({}), 400);
    stream.set_status("enabled");
    stream.verify(&json!({}), 429);
}

/// SSF-8-2, SSF-8-5, pitfall 25
#[test]
fn a_stream_of_somebody_else_cannot_be_told_from_none() {
    let instance = Instance::start(Options::default());
    let world = World::new(&instance);
    let unknown = world.stream(On::Unknown);
    for operation in WITH_BODY.into_iter().chain(WITH_QUERY) {
        let none = world.ask(operation, By::Owner, &unknown, With::Good);
        assert_problem(&none, 404);
        assert_eq!(none.header("www-authenticate"), None);
        for on in NOT_THERE {
            let stream = world.stream(on);
            let answer = world.ask(operation, By::Owner, &stream, With::Good);
            assert_eq!(
                without_request_id(&answer),
                without_request_id(&none),
                "{operation:?} on {on:?}"
            );
        }
        // An id of a shape that we never give out.
        for id in [
            "no-such-stream",
            "%2e%2e",
            "..",
            "st-4e1d7b",
            &"f".repeat(63),
            &"F".repeat(64),
        ] {
            let mut stream = unknown.clone();
            stream.id = id.to_owned();
            let answer = world.ask(operation, By::Owner, &stream, With::Good);
            assert_eq!(
                without_request_id(&answer),
                without_request_id(&none),
                "{operation:?} {id}"
            );
        }
    }
}

/// SSF-8-2
#[test]
fn who_asks_for_a_stream_of_somebody_else_changes_nothing() {
    let instance = Instance::start(Options::default());
    let world = World::new(&instance);
    for on in [On::OtherClients, On::OtherTenants] {
        let stream = world.stream(on);
        let picture = || {
            let mut health = stream.health();
            // Looking costs rows and requests.
            for member in ["rows_read", "rows_written", "requests"] {
                health.as_object_mut().expect("an object").remove(member);
            }
            (health, stream.poll_now().len())
        };
        let before = picture();
        for operation in WITH_BODY.into_iter().chain(WITH_QUERY) {
            let body = good_body(operation, &stream.id);
            world.ask(operation, By::Owner, &stream, With::Good);
            assert_eq!(picture(), before, "{operation:?} with {body:?}");
        }
        let status = json!({"stream_id": stream.id, "status": "disabled"});
        let path = stream.receiver.path("/ssf/status");
        world.owner().api.send_json("POST", &path, &status, not_theirs(on));
        let moved = json!({"stream_id": stream.id, "delivery": unregistered()});
        let path = stream.receiver.path("/ssf/streams");
        for method in ["PATCH", "PUT"] {
            world.owner().api.send_json(method, &path, &moved, not_theirs(on));
        }
        assert_eq!(picture(), before);
    }
}

/// At another tenant's address the token is none.
fn not_theirs(on: On) -> u16 {
    if on == On::OtherTenants { 401 } else { 404 }
}
