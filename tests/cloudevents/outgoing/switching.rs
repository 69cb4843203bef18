//! A stream that changes between SETs and CloudEvents, and between modes, while events wait.

use serde_json::{Value, json};

use crate::harness::{Options, Recorded, Reply};
use crate::support::{PUSH, Set};

use super::super::{BATCHED, Line, STRUCTURED, delivery, events_of, header, soon};

/// What a push is and carries.
#[track_caller]
fn told(push: &Recorded) -> (String, Vec<String>) {
    let media_type = header(push, "content-type");
    let briefs = match media_type {
        "application/secevent+jwt" => vec![crate::manage::brief(&Set::decode(push.text()))],
        _ => events_of(push).iter().map(|event| event.brief().to_owned()).collect(),
    };
    (media_type.to_owned(), briefs)
}

fn sets(line: &Line) -> Value {
    json!({"method": PUSH, "endpoint_url": line.endpoint.url("/events")})
}

#[test]
fn what_waits_goes_out_as_the_stream_is_when_it_goes() {
    let line = Line::start(soon().set("WINDOW", 1), "structured");
    let ways = [
        (sets(&line), "application/secevent+jwt"),
        (delivery(&line.endpoint, &json!({"mode": "binary"})), "application/json"),
        (
            delivery(&line.endpoint, &json!({"mode": "batched", "max_events": 1})),
            BATCHED,
        ),
        (sets(&line), "application/secevent+jwt"),
        (delivery(&line.endpoint, &json!({"mode": "structured"})), STRUCTURED),
    ];
    for (round, (way, media_type)) in ways.into_iter().enumerate() {
        line.pause();
        let (first, second) = (format!("a{round}"), format!("b{round}"));
        line.publish(&[&first, &second]);
        line.stream.patch(&json!({"delivery": way}));
        let before = line.endpoint.requests().len();
        line.resume();
        line.wait_until_idle();
        let told: Vec<_> = line.endpoint.requests()[before..].iter().map(told).collect();
        let expected = [first, second].map(|id| (media_type.to_owned(), vec![id]));
        assert_eq!(told, expected, "round {round}");
    }
    assert_eq!(line.stream.health()["dead_letters"], json!(0));
}

/// A retry after the change is the same event in the new shape: same id, and nothing is lost or doubled.
#[test]
fn an_event_that_is_tried_again_after_the_change_keeps_its_id() {
    for (from, to) in [(true, false), (false, true)] {
        let line = Line::start(soon(), "structured");
        let cloudevents = delivery(&line.endpoint, &json!({"mode": "structured"}));
        if !from {
            line.stream.patch(&json!({"delivery": sets(&line)}));
        }
        let gate = line.endpoint.then_held(Reply::status(500));
        line.publish(&["a1", "a2"]);
        line.endpoint.wait_for(1);
        line.stream
            .patch(&json!({"delivery": if to { cloudevents } else { sets(&line) }}));
        gate.open();
        line.wait_until_idle();
        let id = |push: &Recorded| match header(push, "content-type") {
            STRUCTURED => events_of(push)[0].text("id").to_owned(),
            _ => Set::decode(push.text()).jti().to_owned(),
        };
        let pushes = line.endpoint.requests();
        let told: Vec<_> = pushes.iter().map(told).collect();
        assert_eq!(pushes.len(), 3, "{told:?}");
        assert_eq!(id(&pushes[0]), id(&pushes[1]), "{told:?}");
        assert_ne!(told[0].0, told[1].0);
        assert_eq!(told[2].1, ["a2"]);
    }
}

/// Numbers are those of the stream, whatever it is: who turns to CloudEvents later sees no gap from there on.
#[test]
fn numbers_go_on_across_the_change() {
    let line = Line::start(Options::default(), "structured");
    line.publish(&["a1"]);
    line.wait_until_idle();
    line.stream.patch(&json!({"delivery": sets(&line)}));
    line.publish(&["b1"]);
    line.wait_until_idle();
    line.stream
        .patch(&json!({"delivery": delivery(&line.endpoint, &json!({"mode": "binary"}))}));
    line.publish(&["c1", "d1"]);
    line.wait_until_idle();
    let pushes = line.endpoint.requests();
    let sequence = |push: &Recorded| events_of(push)[0].sequence();
    let mut later: Vec<u64> = pushes[2..].iter().map(sequence).collect();
    later.sort_unstable();
    assert_eq!(later.len(), 2);
    assert_eq!(later[1], later[0] + 1);
    assert!(later[0] > sequence(&pushes[0]), "no number stands for two events");
}
