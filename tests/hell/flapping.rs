//! Endpoints that fail and work in turns.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Instance, Recorded, Reply, ScriptedReceiver, eventually};
use crate::support::{Acme, Stream, event, publish};

use super::{first_arrivals, impatient, set_of};

/// A stream whose receiver decides on every push.
fn beside(
    instance: &Instance,
    decide: impl Fn(&Recorded) -> Reply + Send + Sync + 'static,
) -> (ScriptedReceiver, Stream) {
    let receiver = ScriptedReceiver::start();
    receiver.otherwise_decide(decide);
    let acme = Acme::register(instance, &[&receiver.url("/")]);
    let stream = acme.push_stream(&receiver.url("/events"));
    (receiver, stream)
}

#[test]
fn endpoints_that_flap_get_everything_in_order() {
    let instance = Instance::start(impatient());
    let (healthy, healthy_stream) = beside(&instance, |_| Reply::status(202));
    let every_other = |failure: Reply| {
        let pushes = AtomicUsize::new(0);
        move |_: &Recorded| match pushes.fetch_add(1, Ordering::SeqCst) % 2 {
            0 => failure.clone(),
            _ => Reply::status(202),
        }
    };
    let first_seen = std::sync::OnceLock::new();
    let for_a_second = move |_: &Recorded| {
        let since = first_seen.get_or_init(Instant::now);
        Reply::status(if since.elapsed() < Duration::from_secs(1) {
            500
        } else {
            202
        })
    };
    let flapping = [
        ("fails for a second", beside(&instance, for_a_second)),
        (
            "fails every other time",
            beside(&instance, every_other(Reply::status(500))),
        ),
        ("resets every other time", beside(&instance, every_other(Reply::Reset))),
        ("stalls every other time", beside(&instance, every_other(Reply::Never))),
        (
            "is unauthorized every other time",
            beside(&instance, every_other(Reply::status(401))),
        ),
        (
            "redirects every other time",
            beside(&instance, every_other(Reply::status(307))),
        ),
    ];
    for round in 0..4 {
        let events: Vec<_> = (0..4)
            .map(|number| event(&format!("evt-{round}-{number}"), &format!("{number}@example.com")))
            .collect();
        assert_eq!(publish(&instance.operator(), &events), 7);
    }
    let done = |what: &str, stream: &Stream| {
        eventually(&format!("{what}: everything is delivered"), || {
            Some(stream.health(&instance)).filter(|health| health["queued_events"] == 0)
        })
    };
    done("the healthy one", &healthy_stream);
    let expected = first_arrivals(&healthy.requests());
    assert_eq!(expected.values().map(Vec::len).sum::<usize>(), 16);
    for (name, (receiver, stream)) in &flapping {
        let health = done(name, stream);
        assert_eq!(
            (&health["dead_letters"], &health["hold"]),
            (&json!(0), &json!(null)),
            "{name}"
        );
        assert!(health["last_error"]["detail"].is_string(), "{name}: {health}");
        let pushes = receiver.requests();
        assert_eq!(first_arrivals(&pushes), expected, "{name}");
        // The same event is the same SET on every attempt.
        for push in pushes.iter().map(set_of) {
            let first = pushes.iter().map(set_of).find(|first| first.jti() == push.jti());
            assert_eq!(
                first.expect("itself at least").claims_bytes,
                push.claims_bytes,
                "{name}"
            );
        }
    }
}
