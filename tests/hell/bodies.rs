//! Answers whose headers come and whose bodies do not end well: the status has been said, so it decides; and neither
//! the body nor its absence holds the stream for longer than a push may take.

use serde_json::{Value, json};

use crate::harness::{Manner, eventually};

use super::{Hell, raw, soon};

/// Bodies that are broken in every way, after these headers.
fn broken_bodies(status: &str) -> Vec<(&'static str, Manner)> {
    let after = |rest: &str| raw(&format!("HTTP/1.1 {status}\r\n{rest}"));
    let chunked = "transfer-encoding: chunked\r\n\r\n";
    let mut huge = after("content-length: 10485760\r\n\r\n");
    huge.resize(huge.len() + 10 * 1024 * 1024, b'h');
    vec![
        (
            "closes in the body",
            Manner::Say(after("content-length: 100\r\n\r\nhalf a bo")),
        ),
        (
            "resets in the body",
            Manner::SayAndReset(after("content-length: 100\r\n\r\nhalf a bo")),
        ),
        (
            "stalls before the body",
            Manner::SayAndStall(after("content-length: 100\r\n\r\n")),
        ),
        (
            "stalls in the body",
            Manner::SayAndStall(after("content-length: 100\r\n\r\nhalf a bo")),
        ),
        ("never closes", Manner::SayAndStall(after("\r\nof unknown length"))),
        (
            "stalls in a chunk",
            Manner::SayAndStall(after(&format!("{chunked}ff\r\nhalf a chunk"))),
        ),
        (
            "says what is no chunk",
            Manner::SayAndStall(after(&format!("{chunked}five\r\nhello\r\n"))),
        ),
        ("has no end", Manner::Endless(after("\r\n"))),
        (
            "has no end of its chunk",
            Manner::Endless(after(&format!("{chunked}ffffffffff\r\n"))),
        ),
        ("is huge", Manner::Say(huge)),
    ]
}

#[test]
fn a_success_is_one_whatever_becomes_of_its_body() {
    // The time that an answer has is far beyond the one that anything here waits for.
    let mut hell = Hell::start(soon().set("PUSH_TIMEOUT_MS", 60_000), broken_bodies("202 Accepted"));
    hell.publish();
    hell.wait_for_the_healthy();
    for victim in &hell.victims {
        hell.wait_for_everything_once(victim);
        assert!(
            victim.receiver.most_written() < 64 << 20,
            "{} is read to no end",
            victim.name
        );
    }
    for victim in &hell.victims {
        eventually(&format!("{}: its connections are let go", victim.name), || {
            (victim.receiver.open() == 0).then_some(())
        });
    }
    hell.assert_nothing_panicked();
}

#[test]
fn a_failure_is_one_whatever_becomes_of_its_body() {
    let manners = broken_bodies("500 Internal Server Error");
    let causes = vec!["the endpoint answered 500"; manners.len()];
    Hell::start(soon(), manners).suffer_and_heal(&causes);
}

#[test]
fn a_refusal_that_breaks_off_is_a_dead_letter_with_what_is_known() {
    let whole = r#"{"err":"invalid_audience","description":"not mine"}"#;
    let start = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n";
    let answer = |length: usize, body: &str| raw(&format!("{start}content-length: {length}\r\n\r\n{body}"));
    let spaces = " ".repeat(100_000);
    let manners = vec![
        ("whole", Manner::Say(answer(whole.len(), whole))),
        ("half", Manner::Say(answer(whole.len(), &whole[..20]))),
        ("stalled", Manner::SayAndStall(answer(whole.len(), &whole[..20]))),
        (
            "too long",
            Manner::Say(answer(spaces.len() + whole.len(), &format!("{spaces}{whole}"))),
        ),
    ];
    // What was refused is waited for: it may say why.
    let mut hell = Hell::start(soon().set("PUSH_TIMEOUT_MS", 2000), manners);
    hell.publish();
    hell.wait_for_the_healthy();
    for victim in &hell.victims {
        let health = hell.wait_until_idle(victim);
        assert_eq!(
            (&health["dead_letters"], &health["hold"]),
            (&json!(4), &Value::Null),
            "{}",
            victim.name
        );
        for letter in victim.stream.dead_letters(&hell.instance) {
            // What was said in time and whole is kept; a half sentence is none.
            let told = match victim.name.as_str() {
                "whole" => ("invalid_audience", "not mine"),
                _ => ("refused", "the endpoint answered 400"),
            };
            assert_eq!(
                (&letter["err"], &letter["description"]),
                (&json!(told.0), &json!(told.1)),
                "{}",
                victim.name
            );
        }
    }
    hell.assert_nothing_panicked();
}
