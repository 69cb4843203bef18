//! Below HTTP: connections that do not come about, break, or lead nowhere.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Manner, RawReceiver};

use super::{Hell, impatient, raw, soon};

const UNREACHABLE: &str = "could not be reached";
const LATE: &str = "did not answer in time";

#[test]
fn an_endpoint_that_refuses_connections_gets_everything_when_it_listens() {
    let refusing = vec![("refuses".to_owned(), RawReceiver::refusing())];
    let hell = Hell::with(soon(), refusing, |receiver| receiver.url("/events"));
    hell.suffer_and_heal(&[UNREACHABLE]);
}

#[test]
fn connections_that_break_lose_nothing() {
    let manners = vec![
        ("resets at once", Manner::Reset),
        ("closes without an answer", Manner::Say(Vec::new())),
        ("resets without an answer", Manner::SayAndReset(Vec::new())),
        ("closes in the status line", Manner::Say(raw("HTTP/1.1 202 Acc"))),
        (
            "closes in the headers",
            Manner::Say(raw("HTTP/1.1 202 Accepted\r\ncontent-le")),
        ),
        (
            "closes before the headers end",
            Manner::Say(raw("HTTP/1.1 202 Accepted\r\nserver: x\r\n")),
        ),
        (
            "resets in the headers",
            Manner::SayAndReset(raw("HTTP/1.1 202 Accepted\r\nserver: x\r\n")),
        ),
    ];
    let causes = vec![UNREACHABLE; manners.len()];
    Hell::start(soon(), manners).suffer_and_heal(&causes);
}

#[test]
fn endpoints_that_stall_have_failed_after_their_time() {
    let slowly = |answer: &str| Manner::Drip {
        answer: raw(answer),
        every: Duration::from_millis(200),
    };
    let manners = vec![
        ("reads nothing", Manner::Ignore),
        ("says nothing", Manner::Silence),
        ("stalls in the status line", Manner::SayAndStall(raw("HTTP/1.1 20"))),
        (
            "stalls in the headers",
            Manner::SayAndStall(raw("HTTP/1.1 202 Accepted\r\nserver: x\r\n")),
        ),
        (
            "says a byte at a time",
            slowly("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"),
        ),
    ];
    // WH-2.2-37
    let causes = vec![LATE; manners.len()];
    Hell::start(impatient(), manners).suffer_and_heal(&causes);
}

#[test]
fn headers_without_end_are_given_up() {
    let manners = vec![
        (
            "headers without end",
            Manner::Endless(raw("HTTP/1.1 202 Accepted\r\nx: ")),
        ),
        ("a status line without end", Manner::Endless(raw("HTTP/1.1 202 "))),
    ];
    let mut hell = Hell::start(soon(), manners);
    hell.publish();
    hell.wait_for_the_healthy();
    for victim in &hell.victims {
        let health = hell.wait_for_cause(victim, "the endpoint");
        assert_eq!(
            (&health["queued_events"], &health["dead_letters"]),
            (&json!(4), &json!(0))
        );
        victim.receiver.turn(Manner::Behave);
        hell.wait_for_everything(victim);
        assert!(
            victim.receiver.most_written() < 64 << 20,
            "{}",
            victim.receiver.most_written()
        );
    }
    hell.assert_nothing_panicked();
}
