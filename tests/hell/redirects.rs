//! Redirects: whoever is pointed at did not agree to anything and hears nothing.

use crate::harness::{Manner, Options, RawReceiver};

use super::{Hell, raw, soon};

/// SSF-6.1.1-7, WH-2.2-2, WH-2.2-23.
#[test]
fn nobody_is_visited_whom_an_endpoint_points_at() {
    let elsewhere = RawReceiver::start(Manner::Behave);
    let target = elsewhere.url("/events");
    let without_scheme = target.trim_start_matches("http:").to_owned();
    let answer = |head: &str| Manner::Say(raw(&format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n")));
    let statuses = [
        "301 Moved",
        "302 Found",
        "303 See Other",
        "307 Temporary",
        "308 Permanent",
        "300 Choices",
    ];
    let mut manners: Vec<(&str, Manner)> = statuses
        .iter()
        .map(|status| (*status, answer(&format!("{status}\r\nlocation: {target}"))))
        .collect();
    manners.extend([
        (
            "302 without a scheme",
            answer(&format!("302 Found\r\nlocation: {without_scheme}")),
        ),
        (
            "307 to TLS",
            answer(&format!(
                "307 Temporary\r\nlocation: {}",
                elsewhere.https_url("/events")
            )),
        ),
        (
            "307 twice",
            answer(&format!("307 Temporary\r\nlocation: {target}\r\nlocation: {target}")),
        ),
        ("307 to nowhere", answer("307 Temporary")),
        (
            "307 to nonsense",
            answer("307 Temporary\r\nlocation: http://[::1:80/%zz"),
        ),
        ("307 to a file", answer("307 Temporary\r\nlocation: file:///etc/passwd")),
        ("304 as if nothing changed", answer("304 Not Modified")),
    ]);
    let causes: Vec<String> = manners
        .iter()
        .map(|(name, _)| format!("the endpoint answered {}", &name[..3]))
        .collect();
    let causes: Vec<&str> = causes.iter().map(String::as_str).collect();
    Hell::start(soon(), manners).suffer_and_heal(&causes);
    assert_eq!(elsewhere.connections(), 0, "not even a connection");
}

#[test]
fn an_endpoint_that_points_at_itself_is_not_followed_in_circles() {
    let receiver = RawReceiver::start(Manner::Behave);
    let location = receiver.url("/events");
    receiver.turn(Manner::Say(raw(&format!(
        "HTTP/1.1 307 Temporary\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"
    ))));
    let refresh =
        format!("HTTP/1.1 503 Soon\r\nrefresh: 0; url={location}\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
    let receivers = vec![
        ("itself".to_owned(), receiver),
        ("refresh".to_owned(), RawReceiver::start(Manner::Say(raw(&refresh)))),
    ];
    let mut hell = Hell::with(Options::default(), receivers, |receiver| receiver.url("/events"));
    hell.publish();
    for (victim, cause) in hell.victims.iter().zip(["answered 307", "answered 503"]) {
        hell.wait_for_cause(victim, cause);
        victim.receiver.turn(Manner::Behave);
    }
    for victim in &hell.victims {
        hell.wait_for_everything(victim);
        let (requests, attempts) = (victim.receiver.requests(), victim.stream.deliveries(&hell.instance));
        assert!(
            requests.len() <= attempts.len(),
            "{}: every request is an attempt of its own: {} of {}",
            victim.name,
            requests.len(),
            attempts.len()
        );
    }
    hell.assert_nothing_panicked();
}
