//! What a stream says about itself, as CloudEvents: verification and stream-updated.

use serde_json::{Value, json};

use crate::harness::{Instance, Options, ScriptedReceiver, eventually};
use crate::manage::{STREAM_UPDATED, Stream, Tenant, VERIFICATION};

use super::super::{BATCHED, Line, MODES, Pushed, STRUCTURED, assert_signed, delivery, events_of, header, secret_in};

/// Everything but the event of what a stream says about itself.
#[track_caller]
fn check_control(pushed: &Pushed, stream: &Stream, issuer: &str, event_type: &str) {
    assert_eq!(pushed.text("type"), event_type);
    assert_eq!(pushed.text("source"), format!("{issuer}/streams/{}", stream.id));
    let names: Vec<&str> = pushed.attributes.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["datacontenttype", "id", "source", "specversion", "time", "type"],
        "no sequence"
    );
    assert_eq!(pushed.data["sub_id"], json!({"format": "opaque", "id": stream.id}));
    assert!(
        !pushed.data["txn"].as_str().unwrap_or_default().is_empty(),
        "{}",
        pushed.data
    );
}

#[test]
fn a_verification_comes_as_a_cloudevent() {
    for mode in MODES {
        let instance = Instance::start(Options::default());
        let tenant = Tenant::create(&instance, &json!({"min_verification_interval": 0}));
        let endpoint = ScriptedReceiver::start();
        let receiver = tenant.receiver(&[&endpoint.url("/")]);
        let stream = receiver.stream(&json!({"delivery": delivery(&endpoint, &json!({"mode": mode}))}));
        let secret = secret_in(&stream.configuration);
        for (number, (members, event)) in [
            (json!({}), json!({})),
            (json!({"state": "v-9c41e2"}), json!({"state": "v-9c41e2"})),
            (
                json!({"state": "\u{1f511}\u{0}\"\\"}),
                json!({"state": "\u{1f511}\u{0}\"\\"}),
            ),
        ]
        .into_iter()
        .enumerate()
        {
            stream.verify(&members, 204);
            let push = endpoint.wait_for(number + 1);
            let media_type = match mode {
                "structured" => STRUCTURED,
                "batched" => BATCHED,
                _ => "application/json",
            };
            assert_eq!(header(&push, "content-type"), media_type);
            assert_signed(&push, &secret);
            let events = events_of(&push);
            assert_eq!(events.len(), 1, "{mode}");
            check_control(&events[0], &stream, &tenant.issuer(), VERIFICATION);
            assert_eq!(events[0].data["event"], event, "{mode}");
        }
        let health = eventually("it is idle", || {
            Some(stream.health()).filter(|health| health["queued_events"] == 0)
        });
        assert_eq!(health["dead_letters"], json!(0));
    }
}

#[test]
fn a_change_of_the_status_comes_as_a_cloudevent() {
    for mode in MODES {
        let line = Line::start(Options::default(), mode);
        line.publish(&["a1"]);
        line.wait_until_idle();
        // The operator's doing, which the receiver has to be told (SSF-8.1.5-1).
        line.stream
            .operate(&json!({"status": "paused", "reason": "maintenance"}));
        let push = line.endpoint.wait_for(2);
        let told = events_of(&push).remove(0);
        check_control(&told, &line.stream, &line.tenant.issuer(), STREAM_UPDATED);
        assert_eq!(
            told.data["event"],
            json!({"status": "paused", "reason": "maintenance"}),
            "{mode}"
        );
        assert_signed(&push, &line.secret());
        line.publish(&["a2"]);
        line.stream.operate(&json!({"status": "enabled"}));
        line.wait_until_idle();
        let pushed = line.pushed();
        let types: Vec<&str> = pushed.iter().map(|event| event.text("type")).collect();
        assert_eq!(types[1..3], [STREAM_UPDATED, STREAM_UPDATED], "{mode}: {types:?}");
        assert_eq!(pushed[2].data["event"]["status"], json!("enabled"), "{mode}");
        // They took no number.
        assert_eq!(pushed[3].sequence(), pushed[0].sequence() + 1, "{mode}");
    }
}

/// They come before the events that wait, and alone: a receiver of batches finds nothing of another kind beside them.
#[test]
fn a_verification_comes_before_the_events_that_wait() {
    for mode in MODES {
        let line = Line::start(Options::default().set("WINDOW", 1), mode);
        let gate = line.endpoint.then_held(crate::harness::Reply::status(202));
        line.publish(&["a1"]);
        line.endpoint.wait_for(1);
        line.publish(&["b1", "c1"]);
        line.stream.verify(&json!({"state": "s"}), 204);
        gate.open();
        line.wait_until_idle();
        let pushed = line.pushed();
        let types: Vec<bool> = pushed.iter().map(|event| event.text("type") == VERIFICATION).collect();
        assert_eq!(types, [false, true, false, false], "{mode}");
        assert_eq!(pushed[1].data["event"], json!({"state": "s"}));
        assert!(pushed[1].attributes.get("sequence").is_none_or(Value::is_null));
    }
}
