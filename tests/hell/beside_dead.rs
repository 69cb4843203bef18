//! How long an event takes to a healthy receiver, beside fifty dead ones and alone.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Manner, Options, RawReceiver, eventually};
use crate::support::{CREDENTIAL_CHANGE, event, publish};

use super::{Hell, raw};

const DEAD: usize = 50;

/// Pairs of events whose time is taken, at least.
const PAIRS: usize = 60;
/// And for as long as it takes until the dead ones were tried so often meanwhile.
const TRIES: usize = 40;

/// Dead in different ways, in turn.
fn dead() -> Vec<(String, RawReceiver)> {
    let say = |text: &str| Some(Manner::Say(raw(text)));
    let slowly = Manner::Drip {
        answer: raw("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"),
        every: Duration::from_millis(200),
    };
    let manners = [
        None,
        Some(Manner::Reset),
        Some(Manner::Ignore),
        Some(Manner::Silence),
        Some(slowly),
        Some(Manner::SayAndStall(raw(
            "HTTP/1.1 500 No\r\ncontent-length: 10\r\n\r\n",
        ))),
        say("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"),
        say("HTTP/1.1 503 No\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"),
        say("HTTP/1.1 307 No\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n"),
        say("220 mail.example ESMTP\r\n"),
    ];
    let start = |manner: &Option<Manner>| match manner {
        None => RawReceiver::refusing(),
        Some(manner) => RawReceiver::start(manner.clone()),
    };
    let turns = manners.iter().cycle().take(DEAD).enumerate();
    turns
        .map(|(number, manner)| (format!("dead {number}"), start(manner)))
        .collect()
}

/// The median time from the start of a publish request to the end of its push request at the healthy receiver, beside
/// the dead ones and alone, each in an instance of its own. Event by event in turn, so that whatever else the machine
/// does hits both.
///
/// The dead ones are streams of the same tenant with events waiting, and are retried all the time. What is timed is of
/// a type that only the healthy stream wants: an event for 51 streams is 51 events to store, which costs a runtime of
/// one thread the same whether they are dead or alive.
#[test]
fn a_healthy_receiver_hardly_notices_fifty_dead_ones() {
    // The defaults, but for a cap that keeps up the first seconds' pace of retries.
    let options = Options::default()
        .set("PUSH_TIMEOUT_MS", 1000)
        .set("RETRY_CAP_MS", 4000);
    let mut beside = Hell::with(options.clone(), dead(), |receiver| receiver.url("/events"));
    let alone = Hell::start(options, Vec::new());
    beside.publish();
    beside.wait_for_the_healthy();
    eventually("all of the dead have failed", || {
        let failed = |health: serde_json::Value| health["last_error"].is_object();
        beside
            .victims
            .iter()
            .all(|dead| failed(dead.stream.health(&beside.instance)))
            .then_some(())
    });

    // What only first uses cost is not counted.
    for warm_up in 0..5 {
        time(&alone, warm_up);
        time(&beside, warm_up);
    }
    let tried = || {
        beside
            .victims
            .iter()
            .map(|dead| dead.receiver.connections())
            .sum::<usize>()
    };
    let (tried_before, mut times) = (tried(), (Vec::new(), Vec::new()));
    while times.0.len() < PAIRS || tried() < tried_before + TRIES {
        let number = 5 + times.0.len();
        times.0.push(time(&alone, number));
        times.1.push(time(&beside, number));
    }
    let tries = tried() - tried_before;
    let (alone, beside_dead) = (median(times.0), median(times.1));
    println!(
        "publish to receive, median: alone {alone:?}, beside {DEAD} dead ones {beside_dead:?} ({tries} tries of theirs)"
    );
    assert!(
        beside_dead <= alone * 2,
        "alone {alone:?}, beside {DEAD} dead ones {beside_dead:?}"
    );

    for dead in &beside.victims {
        let health = dead.stream.health(&beside.instance);
        assert_eq!(
            (&health["queued_events"], &health["dead_letters"]),
            (&json!(4), &json!(0)),
            "{}",
            dead.name
        );
    }
    beside.assert_nothing_panicked();
}

/// Publishes an event for the healthy receiver only, and waits until it is there.
fn time(hell: &Hell, number: usize) -> Duration {
    let mut event = event(&format!("timed-{number}"), "ana@example.com");
    event["type"] = json!(CREDENTIAL_CHANGE);
    event["event"] = json!({"credential_type": "password", "change_type": "update"});
    let operator = hell.instance.operator();
    let arrived = hell.healthy.requests().len();
    let before = Instant::now();
    assert_eq!(publish(&operator, &[event]), 1);
    hell.healthy.wait_for(arrived + 1).at - before
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
