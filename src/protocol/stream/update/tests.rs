use super::*;
use crate::protocol::mutate;
use crate::protocol::record;
use crate::protocol::set::Audience;
use crate::protocol::stream::tests::{CHANGED, REVOKED, URL, configuration, push};
use crate::protocol::stream::{POLL, PUSH};
use serde_json::json;

const OWN: &str = "https://signals.quarry.example/ssf/poll/st-1";

/// The configuration after a request with these members.
fn after(before: &Configuration, mode: UpdateMode, mut members: Value) -> Result<Configuration, StreamError> {
    members["stream_id"] = json!("st-1");
    before.updated(&UpdateRequest::parse(&members).unwrap(), mode, OWN)
}

#[test]
fn a_request_is_read_whole() {
    let body = json!({
        "stream_id": "st-1",
        "iss": "https://signals.quarry.example",
        "aud": ["a"],
        "events_supported": [REVOKED],
        "events_delivered": [],
        "min_verification_interval": 30,
        "inactivity_timeout": null,
        "delivery": {"method": PUSH, "endpoint_url": URL, "authorization_header": "Bearer push-key-3"},
        "events_requested": [REVOKED, "urn:unknown", REVOKED],
        "description": "harbour production",
        "status": "enabled",
    });
    let mut request = UpdateRequest::parse(&body).unwrap();
    let mut expected = body.as_object().unwrap().clone();
    for name in ["stream_id", "delivery", "events_requested", "description", "status"] {
        expected.remove(name);
    }
    let whole = UpdateRequest {
        stream_id: "st-1".into(),
        delivery: Some(push(Some("Bearer push-key-3"))),
        poll_url: None,
        events_requested: Some(vec![REVOKED.into(), "urn:unknown".into(), REVOKED.into()]),
        description: Some("harbour production".into()),
        expected,
    };
    assert_eq!(request, whole);
    // Between our own parts it travels without the secret, which travels apart.
    assert!(!record::text(&request).contains("push-key-3"));
    assert_eq!(
        request.take_authorization(),
        Some(Secret::new("Bearer push-key-3".to_owned()))
    );
    assert_eq!(request.take_authorization(), None);
    let passed: UpdateRequest = record::read(&record::text(&request)).unwrap();
    assert_eq!(passed, request);
    assert_eq!(passed.delivery, Some(push(None)));
}

#[test]
fn a_stream_id_is_enough() {
    let mut request = UpdateRequest::parse(&json!({"stream_id": "st-1", "later": 1})).unwrap();
    assert_eq!(request.take_authorization(), None);
    assert_eq!(
        request,
        UpdateRequest {
            stream_id: "st-1".into(),
            delivery: None,
            poll_url: None,
            events_requested: None,
            description: None,
            expected: Map::new(),
        }
    );
}

#[test]
fn a_poll_url_is_kept_for_the_comparison() {
    for (delivery, poll_url) in [
        (json!({"method": POLL}), None),
        (json!({"method": POLL, "endpoint_url": OWN}), Some(OWN)),
        (json!({"method": PUSH, "endpoint_url": URL}), None),
    ] {
        let request = UpdateRequest::parse(&json!({"stream_id": "st-1", "delivery": delivery})).unwrap();
        assert_eq!(request.poll_url.as_deref(), poll_url, "{delivery}");
    }
}

#[test]
fn faults_of_shape_are_found_and_placed() {
    use Problem::{Empty, Missing, NotA, NotOneOf, TooLong, TooMany};
    let with = |name: &str, value: Value| {
        let mut body = json!({"stream_id": "st-1"});
        body[name] = value;
        body
    };
    for (body, pointer, problem) in [
        (json!([]), "", NotA("an object")),
        (json!({}), "/stream_id", Missing), // SSF-8.1.1.3-3
        (json!({"stream_id": 7}), "/stream_id", NotA("a string")),
        (json!({"stream_id": ""}), "/stream_id", Empty),
        (json!({"stream_id": "a".repeat(257)}), "/stream_id", TooLong(256)),
        // SSF-8.1.1.3-12
        (with("delivery", json!(null)), "/delivery", NotA("an object")),
        (with("description", json!(null)), "/description", NotA("a string")),
        (
            with("events_requested", json!(null)),
            "/events_requested",
            NotA("an array"),
        ),
        (with("delivery", json!({})), "/delivery/method", Missing),
        (
            with("delivery", json!({"method": "poll"})),
            "/delivery/method",
            NotOneOf(&[PUSH, POLL]),
        ),
        (
            with("delivery", json!({"method": PUSH})),
            "/delivery/endpoint_url",
            Missing,
        ),
        (
            with("delivery", json!({"method": POLL, "endpoint_url": null})),
            "/delivery/endpoint_url",
            NotA("a string"),
        ),
        (
            with("events_requested", json!([REVOKED, null])),
            "/events_requested/1",
            NotA("a string"),
        ),
        (
            with("events_requested", json!(vec!["urn:a"; 257])),
            "/events_requested",
            TooMany(256),
        ),
    ] {
        let pointer = pointer.to_owned();
        assert_eq!(UpdateRequest::parse(&body), Err(Invalid { pointer, problem }), "{body}");
    }
}

#[test]
fn patch_changes_what_it_names() {
    // SSF-8.1.1.3-4, SSF-8.1.1.3-5, SSF-8.1.1.3-12
    let before = configuration(push(None));
    let patch = |members: Value| after(&before, UpdateMode::Patch, members).unwrap();
    assert_eq!(patch(json!({})), before);
    assert_eq!(
        patch(json!({"description": ""})),
        Configuration {
            description: Some(String::new()),
            ..before.clone()
        }
    );
    assert_eq!(
        patch(json!({"events_requested": [CHANGED, REVOKED, "urn:x"]})),
        Configuration {
            events_requested: Some(vec![CHANGED.into(), REVOKED.into(), "urn:x".into()]),
            events_delivered: vec![CHANGED.into(), REVOKED.into()],
            ..before.clone()
        }
    );
    assert_eq!(
        patch(json!({"events_requested": []})).events_delivered,
        Vec::<String>::new()
    );
    // SSF-8.1.1.3-10: not merged, so the secret is the one given, or none.
    assert_eq!(
        patch(json!({"delivery": {"method": PUSH, "endpoint_url": URL, "authorization_header": "Bearer b"}})),
        Configuration {
            delivery: push(Some("Bearer b")),
            ..before.clone()
        }
    );
    let with_secret = configuration(push(Some("Bearer a")));
    let without = json!({"delivery": {"method": PUSH, "endpoint_url": URL}});
    assert_eq!(
        after(&with_secret, UpdateMode::Patch, without).unwrap().delivery,
        push(None)
    );
    assert_eq!(
        after(&with_secret, UpdateMode::Patch, json!({})).unwrap().delivery,
        push(Some("Bearer a"))
    );
    // SSF-8.1.1.3-14
    assert_eq!(patch(json!({"delivery": {"method": POLL}})).delivery, Delivery::Poll);
}

#[test]
fn put_keeps_what_it_names() {
    // SSF-8.1.1.4-4, SSF-8.1.1.4-8
    let before = configuration(push(None));
    assert_eq!(
        after(&before, UpdateMode::Put, json!({})),
        Ok(Configuration {
            delivery: Delivery::Poll,
            events_requested: None,
            events_delivered: vec![REVOKED.into(), CHANGED.into()],
            description: None,
            ..before.clone()
        })
    );
    let all = json!({
        "delivery": {"method": PUSH, "endpoint_url": "https://rp.harbour.example/new"},
        "events_requested": [CHANGED],
        "description": "new",
    });
    assert_eq!(
        after(&before, UpdateMode::Put, all),
        Ok(Configuration {
            delivery: Delivery::Push {
                endpoint_url: "https://rp.harbour.example/new".into(),
                authorization_header: None,
                cloudevents: None,
            },
            events_requested: Some(vec![CHANGED.into()]),
            events_delivered: vec![CHANGED.into()],
            description: Some("new".into()),
            ..before
        })
    );
}

#[test]
fn what_was_read_can_be_put_back() {
    // SSF-8.1.1.4-5
    let several = Audience::Many(vec!["a".into(), "b".into()]);
    for before in [
        configuration(push(None)),
        configuration(Delivery::Poll),
        Configuration {
            aud: several,
            events_requested: None,
            events_delivered: vec![REVOKED.into(), CHANGED.into()],
            description: None,
            min_verification_interval: None,
            inactivity_timeout: Some(3600),
            ..configuration(Delivery::Poll)
        },
        Configuration {
            events_requested: Some(vec![]),
            events_delivered: vec![],
            ..configuration(push(None))
        },
    ] {
        for mode in [UpdateMode::Put, UpdateMode::Patch] {
            let seen = before.to_json(OWN);
            assert_eq!(after(&before, mode, seen), Ok(before.clone()), "{mode:?}");
        }
        // With a change of the events, the old events_delivered is still the right one (SSF-8.1.1.3-9).
        let mut seen = before.to_json(OWN);
        seen["events_requested"] = json!([CHANGED]);
        let changed = after(&before, UpdateMode::Put, seen).unwrap();
        assert_eq!(changed.events_delivered, [CHANGED]);
    }
    // SSF-6.1.1-6: the secret was not shown, so it does not come back.
    let secret = configuration(push(Some("Bearer a")));
    let put_back = after(&secret, UpdateMode::Put, secret.to_json(OWN)).unwrap();
    assert_eq!(put_back, configuration(push(None)));
}

#[test]
fn what_the_transmitter_said_is_compared_with_the_state_before() {
    // SSF-8.1.1.3-7, SSF-8.1.1.3-8, SSF-8.1.1.3-9, SSF-8.1.1.3-11, SSF-8.1.1.4-7
    let aud = "https://rp.harbour.example/ssf";
    for (members, pointer) in [
        (json!({"iss": "https://signals.quarry.example"}), None),
        (json!({"iss": "https://signals.quarry.example/"}), Some("/iss")),
        (json!({"iss": null}), Some("/iss")),
        (json!({"aud": aud}), None),
        (json!({"aud": [aud]}), None),
        (json!({"aud": [aud, aud]}), None),
        (json!({"aud": [aud, "b"]}), Some("/aud")),
        (json!({"aud": []}), Some("/aud")),
        (json!({"aud": "b"}), Some("/aud")),
        (json!({"aud": 1}), Some("/aud")),
        (json!({"events_supported": [CHANGED, REVOKED]}), None),
        (json!({"events_supported": [CHANGED, REVOKED, CHANGED]}), None),
        (json!({"events_supported": [REVOKED]}), Some("/events_supported")),
        (
            json!({"events_supported": [CHANGED, REVOKED, "urn:x"]}),
            Some("/events_supported"),
        ),
        (
            json!({"events_supported": [CHANGED, REVOKED, 1]}),
            Some("/events_supported"),
        ),
        (
            json!({"events_supported": vec![REVOKED; 257]}),
            Some("/events_supported"),
        ),
        (json!({"events_supported": REVOKED}), Some("/events_supported")),
        (json!({"events_delivered": [REVOKED]}), None),
        (
            json!({"events_delivered": [REVOKED], "events_requested": [CHANGED]}),
            None,
        ),
        (
            json!({"events_delivered": [CHANGED], "events_requested": [CHANGED]}),
            Some("/events_delivered"),
        ),
        (json!({"min_verification_interval": 30}), None),
        (json!({"min_verification_interval": 30.0}), None),
        (
            json!({"min_verification_interval": 31}),
            Some("/min_verification_interval"),
        ),
        (
            json!({"min_verification_interval": "30"}),
            Some("/min_verification_interval"),
        ),
        // The stream has none.
        (json!({"inactivity_timeout": 0}), Some("/inactivity_timeout")),
        (json!({"inactivity_timeout": null}), Some("/inactivity_timeout")),
        (json!({"delivery": {"method": POLL}}), None),
        (json!({"delivery": {"method": POLL, "endpoint_url": OWN}}), None),
        (
            json!({"delivery": {"method": POLL, "endpoint_url": "https://evil.example/"}}),
            Some("/delivery/endpoint_url"),
        ),
        (
            json!({"delivery": {"method": POLL, "endpoint_url": ""}}),
            Some("/delivery/endpoint_url"),
        ),
        (json!({"delivery": {"method": PUSH, "endpoint_url": URL}}), None),
    ] {
        for mode in [UpdateMode::Patch, UpdateMode::Put] {
            for delivery in [push(None), Delivery::Poll] {
                let found = after(&configuration(delivery), mode, members.clone()).err();
                let expected = pointer.map(|pointer| Invalid {
                    pointer: pointer.to_owned(),
                    problem: Problem::Refused("is not what the stream has"),
                });
                assert_eq!(found, expected, "{mode:?} {members}");
            }
        }
    }
    let several = Configuration {
        aud: Audience::Many(vec!["a".into(), "b".into()]),
        ..configuration(Delivery::Poll)
    };
    for (aud, same) in [(json!(["b", "a"]), true), (json!("a"), false), (json!(["a"]), false)] {
        let result = after(&several, UpdateMode::Patch, json!({"aud": aud}));
        assert_eq!(result.is_ok(), same, "{aud}");
    }
}

#[test]
fn other_supported_types_change_what_is_delivered() {
    let before = configuration(Delivery::Poll);
    let wider = before.with_supported(&["urn:unknown".into(), REVOKED.into()]);
    assert_eq!(wider.events_delivered, [REVOKED, "urn:unknown"]);
    assert_eq!(wider.events_requested, before.events_requested);
    let narrower = wider.with_supported(&[CHANGED.into()]);
    assert_eq!(narrower.events_delivered, Vec::<String>::new());
    assert_eq!(narrower.events_supported, [CHANGED]);
}

/// Whatever is accepted leaves a configuration that is itself acceptable, and its transmitter's members alone.
#[test]
fn no_body_upsets_the_update() {
    let before = configuration(push(None));
    let mut bare = configuration(Delivery::Poll).to_json(OWN);
    for name in ["events_supported", "events_requested", "events_delivered"] {
        bare.as_object_mut().unwrap().remove(name);
    }
    let seeds = [
        before.to_json(OWN).to_string(),
        bare.to_string(),
        json!({"stream_id": "st-1", "events_requested": ["a"], "description": "x"}).to_string(),
    ];
    let seeds: Vec<&str> = seeds.iter().map(String::as_str).collect();
    let mut accepted = 0;
    for bytes in mutate::variants(&seeds, 20_000) {
        let Ok(body) = serde_json::from_slice::<Value>(&bytes) else {
            continue;
        };
        let Ok(request) = UpdateRequest::parse(&body) else {
            continue;
        };
        for mode in [UpdateMode::Patch, UpdateMode::Put] {
            let Ok(next) = before.updated(&request, mode, OWN) else {
                continue;
            };
            accepted += 1;
            assert_eq!((&next.iss, &next.aud), (&before.iss, &before.aud), "{body}");
            assert!(
                next.events_delivered
                    .iter()
                    .all(|uri| next.events_supported.contains(uri))
            );
            let again = after(&next, UpdateMode::Put, next.to_json(OWN)).unwrap();
            assert_eq!(again.to_json(OWN), next.to_json(OWN), "{body}");
        }
    }
    assert!(accepted > 500, "the seeds are no longer near the rules: {accepted}");
}
