//! The granted rate over the real runtime: when requests arrive, however many events wait (WH-4.2-30, WH-4.2-31, WH-4.2-33 to WH-4.2-36, T-H-09).
//!
//! Granted are `rate` requests a minute, and `burst = max(1, rate / 60)` of them at once. So no span of time `t` holds more than
//! `burst + rate * t` requests as they leave. Here they are seen when they arrive: one that was slow on its way makes the span up
//! to the next look shorter than it was. For that a span is taken to be longer by [`JITTER`], and one request more is allowed,
//! which is the one at its very beginning.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Recorded, Reply, ScriptedReceiver, eventually};
use crate::outbox::ids;

use super::{Asked, World, callback_of, later, now_ms, pushed, soon};

/// How much longer one request may take to arrive than another: threads of a busy machine.
const JITTER: Duration = Duration::from_millis(500);

/// Checks every span that begins and ends with an arrival.
#[track_caller]
fn assert_paced(requests: &[Recorded], per_minute: u32) {
    let mut arrivals: Vec<Instant> = requests.iter().map(|request| request.at).collect();
    arrivals.sort();
    let burst = f64::from((per_minute / 60).max(1));
    let per_second = f64::from(per_minute) / 60.0;
    for (first, start) in arrivals.iter().enumerate() {
        for (last, end) in arrivals.iter().enumerate().skip(first) {
            let span = *end - *start + JITTER;
            let most = burst + per_second * span.as_secs_f64() + 1.0;
            let count = last - first + 1;
            assert!(
                count as f64 <= most,
                "{count} requests from {first} to {last} in {:?} at {per_minute}/min, where {most:.1} may be",
                *end - *start
            );
        }
    }
}

/// Ids of events about so many subjects: `a0`, `b0`…
fn many(count: usize) -> Vec<String> {
    let letters = b"abcdefghijklmnopqrst";
    (0..count)
        .map(|number| {
            format!(
                "{}{}",
                char::from(letters[number % letters.len()]),
                number / letters.len()
            )
        })
        .collect()
}

#[track_caller]
fn publish(world: &World, count: usize) {
    let all = many(count);
    world.publish(&all.iter().map(String::as_str).collect::<Vec<_>>());
}

/// WH-4.2-33
#[test]
fn arrivals_keep_the_granted_rate() {
    let world = World::start(soon());
    for (rate, count) in [("600", 60), ("120", 14), ("60", 6), ("7000", 300)] {
        let (endpoint, asked) = world.agreed(rate);
        let per_minute: u32 = rate.parse().expect("a number");
        let pace = asked.grant()["pace"].clone();
        assert_eq!(
            (&pace["per_minute"], &pace["burst"]),
            (&json!(per_minute), &json!((per_minute / 60).max(1))),
            "{pace}"
        );
        publish(&world, count);
        endpoint.wait_for_push(count);
        asked.wait_until_idle();
        assert_eq!(endpoint.pushes().len(), count);
        assert_paced(&endpoint.requests(), per_minute);
        asked.stream.delete();
    }
}

/// WH-4.2-30: whoever asks for it, a question waits for its turn like a push, and neither starves the other.
#[test]
fn questions_keep_the_granted_rate_as_well() {
    let world = World::start(soon().set("HANDSHAKES_PER_HOST", 1000));
    let (endpoint, asked) = world.agreed("60");
    publish(&world, 5);
    for nth in 2..=4 {
        asked.decide(&json!({"action": "ask"}), 202);
        endpoint.wait_for_ask(nth);
    }
    asked.wait_until_idle();
    assert_paced(&endpoint.requests(), 60);
}

/// Events that come one by one, and after a rest: what was not used is not saved up beyond the burst.
#[test]
fn a_rest_is_no_credit() {
    let world = World::start(soon());
    let (endpoint, asked) = world.agreed("120");
    world.publish(&["a1"]);
    asked.wait_until_idle();
    let rested = now_ms() + 3000;
    eventually("it rests", || (now_ms() > rested).then_some(()));
    publish(&world, 8);
    endpoint.wait_for_push(9);
    assert_paced(&endpoint.requests(), 120);
}

/// Without the rate these would take a minute and a half.
#[test]
fn any_number_of_requests_is_not_paced() {
    let world = World::start(soon().set("REQUEST_RATE", 60));
    let (endpoint, asked) = world.agreed("*");
    assert_eq!(asked.grant()["pace"], Value::Null);
    publish(&world, 100);
    endpoint.wait_for_push(100);
}

/// A restart neither forgets what was sent nor begins anew.
#[test]
fn arrivals_keep_the_granted_rate_across_a_kill() {
    let mut world = World::start(soon());
    let (endpoint, asked) = world.agreed("600");
    publish(&world, 60);
    for seen in [12, 30] {
        endpoint.wait_for_push(seen);
        world.instance.restart();
    }
    asked.wait_until_idle();
    // Some may have arrived twice, and count twice.
    let mut arrived = ids(&pushed(&endpoint));
    assert_paced(&endpoint.requests(), 600);
    arrived.sort();
    arrived.dedup();
    let mut wanted = many(60);
    wanted.sort();
    assert_eq!(arrived, wanted);
}

/// Killed again and again at a low rate: no life begins with a burst of its own.
#[test]
fn each_life_pays_for_the_one_before() {
    let mut world = World::start(soon());
    let (endpoint, asked) = world.agreed("60");
    publish(&world, 6);
    for _ in 0..4 {
        endpoint.wait_for_push(1);
        world.instance.restart();
    }
    asked.wait_until_idle();
    assert_paced(&endpoint.requests(), 60);
}

/// Whoever may revoke and grant does not get more through by it.
#[test]
fn a_consent_that_comes_back_does_not_begin_anew() {
    let world = World::start(soon());
    let (endpoint, asked) = world.agreed("60");
    publish(&world, 6);
    for nth in 1..=4 {
        endpoint.wait_for_push(nth);
        asked.decide(&json!({"action": "revoke"}), 200);
        asked.decide(&json!({"action": "grant", "allowed_rate": 60}), 200);
    }
    asked.wait_until_idle();
    assert_paced(&endpoint.pushes(), 60);
}

/// How long after one request another one came.
#[track_caller]
fn gap(earlier: &Recorded, later: &Recorded) -> Duration {
    later.at.saturating_duration_since(earlier.at)
}

/// WH-4.2-30: at one request in two seconds.
#[test]
fn retries_count() {
    let world = World::start(soon());
    let (endpoint, asked) = world.agreed("30");
    endpoint.then(Reply::status(500)).then(Reply::Close);
    world.publish(&["a1"]);
    endpoint.wait_for_push(3);
    asked.wait_until_idle();
    let pushes = endpoint.pushes();
    for pair in pushes.windows(2) {
        let waited = gap(&pair[0], &pair[1]);
        assert!(waited + JITTER >= Duration::from_secs(2), "{waited:?}");
    }
    assert_paced(&pushes, 30);
}

/// WH-4.2-30
#[test]
fn questions_count() {
    let world = World::start(soon());
    let (endpoint, asked) = world.agreed("30");
    asked.decide(&json!({"action": "ask"}), 202);
    let ask = endpoint.wait_for_ask(2);
    world.publish(&["a1"]);
    let push = endpoint.wait_for_push(1);
    let waited = gap(&ask, &push);
    assert!(waited + JITTER >= Duration::from_secs(2), "{waited:?}");
}

/// Verification and stream-updated events are requests like others.
#[test]
fn what_tells_of_the_stream_counts() {
    let world = World::start(soon());
    let (endpoint, asked) = world.agreed("60");
    asked.stream.verify(&json!({"state": "v-1"}), 204);
    asked.stream.operate(&json!({"status": "paused", "reason": "an audit"}));
    asked.stream.operate(&json!({"status": "enabled"}));
    world.publish(&["a1", "b1"]);
    endpoint.wait_for_push(4);
    asked.wait_until_idle();
    assert_paced(&endpoint.pushes(), 60);
}

/// WH-4.2-36: a callback that lowers the rate does so at once, and one that raises it, too.
#[test]
fn a_rate_that_changes_counts_from_then_on() {
    let world = World::start(soon());
    let (endpoint, asked) = world.asked(later());
    let callback = callback_of(&endpoint.wait_for_ask(1));
    asked.call_with("POST", &callback, &[("webhook-allowed-rate", "6000")], 200);
    publish(&world, 20);
    asked.wait_until_idle();
    asked.call_with("POST", &callback, &[("webhook-allowed-rate", "60")], 200);
    assert_eq!(asked.grant()["pace"]["per_minute"], json!(60));
    let before = endpoint.pushes().len();
    world.publish(&["a1", "b1", "c1", "d1"]);
    endpoint.wait_for_push(before + 4);
    assert_paced(&endpoint.pushes()[before..], 60);
    world.publish(&[
        "a2", "b2", "c2", "d2", "e2", "f2", "g2", "h2", "i2", "j2", "k2", "l2", "m2", "n2", "o2", "p2",
    ]);
    let raised = endpoint.wait_for_push(before + 5).at;
    asked.call_with("POST", &callback, &[("webhook-allowed-rate", "*")], 200);
    let last = endpoint.wait_for_push(before + 20);
    // Sixteen at one a second would take longer.
    assert!(last.at - raised < Duration::from_secs(12), "{:?}", last.at - raised);
}

/// Publishes an event that the endpoint takes at the second time, having asked for less; waits until it gets so much.
#[track_caller]
fn is_too_much(world: &World, endpoint: &ScriptedReceiver, asked: &Asked, id: &str, per_minute: u32) {
    endpoint.then(Reply::status(429).header("retry-after", "1"));
    world.publish(&[id]);
    let grant = asked.wait_until("it gets half as many", |grant| {
        grant["pace"]["per_minute"] == per_minute
    });
    assert_eq!(grant["allowed_rate"], json!(600), "what was granted stands");
    asked.wait_until_idle();
}

/// WH-4.2-34: half as many afterwards. That the rest comes back by the minute is too slow for here.
#[test]
fn an_endpoint_that_says_too_many_gets_half_as_many() {
    let mut world = World::start(soon());
    let (endpoint, asked) = world.agreed("600");
    is_too_much(&world, &endpoint, &asked, "a1", 300);
    world.instance.restart();
    assert_eq!(
        asked.grant()["pace"]["per_minute"],
        json!(300),
        "a restart does not forget it"
    );
    is_too_much(&world, &endpoint, &asked, "a2", 150);
    let before = endpoint.pushes().len();
    publish(&world, 12);
    endpoint.wait_for_push(before + 12);
    assert_paced(&endpoint.pushes()[before..], 150);
}
