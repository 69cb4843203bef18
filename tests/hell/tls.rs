//! An https endpoint that speaks no TLS.

use serde_json::json;

use crate::harness::{Manner, Options, RawReceiver};
use crate::support::PUSH;

use super::{Hell, impatient, raw};

const UNREACHABLE: &str = "could not be reached";
const LATE: &str = "did not answer in time";

fn hell(options: Options) -> (Hell, [&'static str; 5]) {
    let plain = "HTTP/1.1 400 Bad Request\r\ncontent-length: 21\r\n\r\nThis is an HTTP port.";
    let endpoints = [
        ("answers in plain HTTP", Manner::Greet(raw(plain)), UNREACHABLE),
        (
            "answers 202 in plain HTTP",
            Manner::Greet(raw("HTTP/1.1 202 Accepted\r\n\r\n")),
            UNREACHABLE,
        ),
        (
            "answers with an alert",
            Manner::Greet(vec![0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x28]),
            UNREACHABLE,
        ),
        ("resets", Manner::Reset, UNREACHABLE),
        ("says nothing", Manner::Ignore, LATE),
    ];
    let causes = endpoints.each_ref().map(|(_, _, cause)| *cause);
    let receivers = endpoints
        .into_iter()
        .map(|(name, manner, _)| (name.to_owned(), RawReceiver::start(manner)))
        .collect();
    (
        Hell::with(options, receivers, |receiver| receiver.https_url("/events")),
        causes,
    )
}

#[test]
fn nothing_is_said_to_an_endpoint_without_tls_and_nothing_lost() {
    let (mut hell, causes) = hell(impatient());
    hell.publish();
    hell.wait_for_the_healthy();
    for (victim, cause) in hell.victims.iter().zip(causes) {
        let health = hell.wait_for_cause(victim, cause);
        assert_eq!(
            (&health["queued_events"], &health["dead_letters"]),
            (&json!(4), &json!(0)),
            "{}",
            victim.name
        );
        assert_eq!(victim.receiver.requests().len(), 0, "{}: SET-5.1-1", victim.name);
        // Its owner sees that the endpoint is a plain one, and says so.
        victim.receiver.turn(Manner::Behave);
        let moved = json!({
            "stream_id": victim.stream.id,
            "delivery": {"method": PUSH, "endpoint_url": victim.receiver.url("/events")},
        });
        victim.acme.api.patch_json("/ssf/streams", &moved, 200);
    }
    for victim in &hell.victims {
        hell.wait_for_everything(victim);
    }
    hell.assert_nothing_panicked();
}

#[test]
fn what_an_endpoint_without_tls_never_took_is_in_the_dead_letters() {
    // Nothing is tried twice here, so a slow machine may cost the healthy stream an event, too: it is not looked at.
    let (mut hell, causes) = hell(impatient().set("GIVE_UP_AFTER_S", 0));
    hell.publish();
    for (victim, cause) in hell.victims.iter().zip(causes) {
        hell.wait_until_idle(victim);
        let letters = victim.stream.dead_letters(&hell.instance);
        assert_eq!(letters.len(), 4, "{}", victim.name);
        for letter in letters {
            assert_eq!(
                (&letter["err"], &letter["attempts"]),
                (&json!("given_up"), &json!(1)),
                "{}",
                victim.name
            );
            let description = letter["description"].as_str().expect("words");
            // A slow machine may be too slow for any answer.
            let fits = description.contains(cause) || description.contains(LATE);
            assert!(fits, "{}: {description}", victim.name);
        }
    }
    hell.assert_nothing_panicked();
}
