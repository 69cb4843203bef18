//! Endpoints that misbehave when they are asked: too slow, without an end, or not in HTTP. None of it is an answer (WH-4.1-12), and
//! once they answer properly that counts.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Manner, RawReceiver, eventually};

use super::{Asked, World, soon};

/// The beginning of an answer that agrees, up to where more headers or the body follow.
const CONSENT: &str = "HTTP/1.1 200 OK\r\nwebhook-allowed-origin: 127.0.0.1\r\nwebhook-allowed-rate: 60\r\n";

fn world() -> World {
    World::start(soon().set("HANDSHAKE_TIMEOUT_MS", 300).set("HANDSHAKES_PER_HOST", 1000))
}

fn agreeing() -> Manner {
    Manner::Say(format!("{CONSENT}content-length: 0\r\nconnection: close\r\n\r\n").into_bytes())
}

/// Waits until it is tried again, and lets it agree then.
#[track_caller]
fn is_asked_again(endpoint: &RawReceiver, asked: &Asked, what: &str) {
    let before = endpoint.connections();
    eventually(&format!("{what}: asked again"), || {
        (endpoint.connections() >= before + 2).then_some(())
    });
    let grant = asked.grant();
    assert_eq!(grant["state"], json!("pending"), "{what}: {grant}");
    assert!(asked.is_held());
    endpoint.turn(agreeing());
    asked.wait_for("granted");
    eventually("nothing is left open", || (endpoint.open() == 0).then_some(()));
    let posted = endpoint.requests().iter().any(|request| request.method == "POST");
    assert!(!posted, "{what}");
    asked.stream.delete();
}

#[test]
fn what_is_no_answer_is_asked_again() {
    let world = world();
    let say = |text: &str| Manner::Say(text.as_bytes().to_vec());
    let stall = |text: &str| Manner::SayAndStall(text.as_bytes().to_vec());
    let manners = [
        ("silence", Manner::Silence),
        ("not even read", Manner::Ignore),
        ("reset", Manner::Reset),
        ("closed", say("")),
        ("half a status", stall("HTTP/1.1 2")),
        ("half a header", stall(CONSENT.trim_end())),
        ("headers without an end", stall(CONSENT)),
        ("headers cut off", say(CONSENT)),
        ("no HTTP", say("agreed\r\n\r\n")),
        ("another protocol", say("SSH-2.0-OpenSSH_9.6\r\n")),
        ("no status", say("HTTP/1.1 \r\n\r\n")),
        ("a status of words", say("HTTP/1.1 OK\r\n\r\n")),
        ("nothing but an interim answer", stall("HTTP/1.1 100 Continue\r\n\r\n")),
        (
            "a header without a name",
            say(&format!("{CONSENT}: x\r\ncontent-length: 0\r\n\r\n")),
        ),
        ("headers for ever", Manner::Endless(CONSENT.as_bytes().to_vec())),
        (
            "a byte at a time",
            Manner::Drip {
                answer: format!("{CONSENT}\r\n").into_bytes(),
                every: Duration::from_millis(100),
            },
        ),
    ];
    for (what, manner) in manners {
        let endpoint = RawReceiver::start(manner);
        let asked = world.asked_at(&endpoint.url("/events"));
        is_asked_again(&endpoint, &asked, what);
    }
}

#[test]
fn an_endpoint_that_is_not_there_is_asked_again() {
    let world = world();
    let endpoint = RawReceiver::refusing();
    let asked = world.asked_at(&endpoint.url("/events"));
    let grant = asked.wait_until("two attempts were made", |grant| {
        grant["handshake"]["attempts"].as_u64() >= Some(2)
    });
    assert_eq!(grant["state"], json!("pending"));
    endpoint.turn(agreeing());
    asked.wait_for("granted");
}

/// WH-4.1-12: the headers count, and of the body no more is read than the runtime has in its hands.
#[test]
fn the_body_of_an_answer_is_of_no_interest_however_long_or_slow() {
    let world = world();
    let head = |rest: &str| format!("{CONSENT}{rest}\r\n");
    let manners = [
        (
            "no end",
            Manner::Endless(head("content-type: text/html\r\n").into_bytes()),
        ),
        (
            "chunks without an end",
            Manner::Endless([head("transfer-encoding: chunked\r\n").as_bytes(), b"ffffffff\r\n"].concat()),
        ),
        (
            "it does not come",
            Manner::SayAndStall(head("content-length: 10\r\n").into_bytes()),
        ),
        (
            "it breaks off",
            Manner::SayAndReset([head("content-length: 10\r\n").as_bytes(), b"abc"].concat()),
        ),
        (
            "no gzip",
            Manner::Say(
                [
                    head("content-encoding: gzip\r\ncontent-length: 3\r\n").as_bytes(),
                    b"abc",
                ]
                .concat(),
            ),
        ),
    ];
    for (what, manner) in manners {
        let endpoint = RawReceiver::start(manner);
        let asked = world.asked_at(&endpoint.url("/events"));
        let grant = asked.wait_for("granted");
        assert_eq!(grant["allowed_rate"], json!(60), "{what}");
        assert!(
            endpoint.most_written() < 16 * 1024 * 1024,
            "{what}: {}",
            endpoint.most_written()
        );
        asked.stream.delete();
        eventually("nothing is left open", || (endpoint.open() == 0).then_some(()));
    }
}
