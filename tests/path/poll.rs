//! The whole path by poll.

use serde_json::json;

use crate::harness::{Instance, Options};
use crate::support::{ACME_AUDIENCE, Acme, POLL, Set, event, publish};

#[test]
fn a_polled_event_is_there_until_it_is_acknowledged() {
    let instance = Instance::start(Options::default());
    let acme = Acme::register(&instance, &[]);
    // SSF-8.1.1.1-8, SSF-8.1.1.1-9: no delivery means poll, at a URL of ours.
    let stream = acme.stream(&json!({}));
    let poll_url = instance.url(&stream.poll_path());
    assert_eq!(
        stream.configuration["delivery"],
        json!({"method": POLL, "endpoint_url": poll_url})
    );
    assert_eq!(
        stream.configuration.get("events_requested"),
        None,
        "what was not asked for is not claimed"
    );
    assert_eq!(
        stream.configuration["events_delivered"],
        stream.configuration["events_supported"]
    );
    assert_eq!(stream.poll_now(), []);

    assert_eq!(publish(&instance.operator(), &[event("evt-1", "ana@example.com")]), 1);
    let first = stream.poll_now();
    let jwks = instance.anyone().get("/jwks.json", 200);
    let set = Set::verified(&first[0].1, &jwks);
    assert_eq!((first.len(), set.jti()), (1, first[0].0.as_str()), "POLL-2.5-4");
    assert_eq!(
        (set.text("iss"), set.text("aud")),
        (instance.origin().as_str(), ACME_AUDIENCE)
    );
    assert_eq!(set.email(), "ana@example.com");

    // Not acknowledged: there again, the same claims to the byte.
    let second = stream.poll_now();
    assert_eq!(second.len(), 1);
    assert_eq!(Set::verified(&second[0].1, &jwks).claims_bytes, set.claims_bytes);
    assert_eq!(stream.health(&instance)["queued_events"], json!(1));

    let answer = stream.poll(&json!({"ack": [set.jti()], "returnImmediately": true}));
    assert_eq!(
        answer,
        json!({"sets": {}}),
        "POLL-R-1: acknowledgements count before SETs are chosen"
    );
    assert_eq!(stream.poll_now(), []);
    assert_eq!(stream.health(&instance)["queued_events"], json!(0));
    assert_eq!(stream.dead_letters(&instance), [] as [serde_json::Value; 0]);
}
