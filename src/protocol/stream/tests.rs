use serde_json::json;

use super::*;

pub const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
pub const CHANGED: &str = "https://schemas.openid.net/secevent/caep/event-type/credential-change";
pub const URL: &str = "https://rp.harbour.example/ssf/in/7";

pub fn push(authorization: Option<&str>) -> Delivery {
    Delivery::Push {
        endpoint_url: URL.into(),
        authorization_header: authorization.map(|value| Secret::new(value.to_owned())),
        cloudevents: None,
    }
}

pub fn configuration(delivery: Delivery) -> Configuration {
    Configuration {
        stream_id: "st-1".into(),
        iss: "https://signals.quarry.example".into(),
        aud: Audience::One("https://rp.harbour.example/ssf".into()),
        delivery,
        events_supported: vec![REVOKED.into(), CHANGED.into()],
        events_requested: Some(vec![REVOKED.into(), "urn:unknown".into()]),
        events_delivered: vec![REVOKED.into()],
        description: Some("harbour production".into()),
        min_verification_interval: Some(30),
        inactivity_timeout: None,
    }
}

#[test]
fn an_empty_request_is_valid_and_means_poll() {
    // SSF-8.1.1.1-7, SSF-8.1.1.1-8; unknown members are ignored
    for body in [json!({}), json!({"later": {"a": 1}})] {
        let request = CreateRequest::parse(&body).unwrap();
        assert_eq!(request, CreateRequest::default());
        assert_eq!(request.delivery.unwrap_or_default().method(), "urn:ietf:rfc:8936");
    }
}

#[test]
fn a_push_request_is_read_whole() {
    let body = json!({
        "delivery": {"method": PUSH, "endpoint_url": URL, "authorization_header": "Bearer push-key-3", "extra": 1},
        "events_requested": [REVOKED, "urn:unknown", REVOKED],
        "description": "harbour production",
    });
    assert_eq!(
        CreateRequest::parse(&body),
        Ok(CreateRequest {
            delivery: Some(push(Some("Bearer push-key-3"))),
            // SSF-8.1.1-18: as received
            events_requested: Some(vec![REVOKED.into(), "urn:unknown".into(), REVOKED.into()]),
            description: Some("harbour production".into()),
        })
    );
}

#[test]
fn a_poll_url_from_the_receiver_is_ignored() {
    // SSF-8.1.1.1-11
    let body = json!({"delivery": {"method": POLL, "endpoint_url": "https://evil.example/"}});
    assert_eq!(
        CreateRequest::parse(&body).map(|request| request.delivery),
        Ok(Some(Delivery::Poll))
    );
}

#[test]
fn faults_are_found_and_placed() {
    // SSF-8.1.1.1-13, SSF-8.1.1.1-14, SSF-6.1.1-5
    let with_header =
        |value: Value| json!({"delivery": {"method": PUSH, "endpoint_url": URL, "authorization_header": value}});
    let illegal = || Problem::Refused("is not a legal header field value");
    let by_transmitter = || Problem::Refused("is set by the transmitter");
    for (body, pointer, problem) in [
        (json!([]), "", Problem::NotA("an object")),
        (json!("x"), "", Problem::NotA("an object")),
        (json!({"stream_id": "a"}), "/stream_id", by_transmitter()),
        (json!({"iss": "a"}), "/iss", by_transmitter()),
        (json!({"aud": "a"}), "/aud", by_transmitter()),
        (json!({"events_supported": []}), "/events_supported", by_transmitter()),
        (json!({"events_delivered": []}), "/events_delivered", by_transmitter()),
        (
            json!({"min_verification_interval": 1}),
            "/min_verification_interval",
            by_transmitter(),
        ),
        (
            json!({"inactivity_timeout": 1}),
            "/inactivity_timeout",
            by_transmitter(),
        ),
        (json!({"delivery": "push"}), "/delivery", Problem::NotA("an object")),
        (json!({"delivery": null}), "/delivery", Problem::NotA("an object")),
        (json!({"delivery": {}}), "/delivery/method", Problem::Missing),
        (
            json!({"delivery": {"method": "push"}}),
            "/delivery/method",
            Problem::NotOneOf(&[PUSH, POLL]),
        ), // pitfall 1
        (
            json!({"delivery": {"method": null}}),
            "/delivery/method",
            Problem::NotOneOf(&[PUSH, POLL]),
        ),
        (
            json!({"delivery": {"method": PUSH}}),
            "/delivery/endpoint_url",
            Problem::Missing,
        ),
        (
            json!({"delivery": {"method": PUSH, "endpoint_url": 1}}),
            "/delivery/endpoint_url",
            Problem::NotA("a string"),
        ),
        (
            json!({"delivery": {"method": PUSH, "endpoint_url": ""}}),
            "/delivery/endpoint_url",
            Problem::Empty,
        ),
        (with_header(json!("")), "/delivery/authorization_header", Problem::Empty),
        (
            with_header(json!(null)),
            "/delivery/authorization_header",
            Problem::NotA("a string"),
        ),
        (
            with_header(json!("Bearer a\r\nX-Evil: 1")),
            "/delivery/authorization_header",
            illegal(),
        ),
        (
            with_header(json!("Bearer a\n")),
            "/delivery/authorization_header",
            illegal(),
        ),
        (
            with_header(json!("Bearer \u{0}")),
            "/delivery/authorization_header",
            illegal(),
        ),
        (
            with_header(json!("Bearer é")),
            "/delivery/authorization_header",
            illegal(),
        ),
        (
            with_header(json!(" Bearer a")),
            "/delivery/authorization_header",
            illegal(),
        ),
        (
            with_header(json!("a".repeat(4097))),
            "/delivery/authorization_header",
            Problem::TooLong(4096),
        ),
        (
            json!({"events_requested": REVOKED}),
            "/events_requested",
            Problem::NotA("an array"),
        ),
        (
            json!({"events_requested": null}),
            "/events_requested",
            Problem::NotA("an array"),
        ),
        (
            json!({"events_requested": [REVOKED, 1]}),
            "/events_requested/1",
            Problem::NotA("a string"),
        ),
        (
            json!({"events_requested": vec!["urn:a"; 257]}),
            "/events_requested",
            Problem::TooMany(256),
        ),
        (json!({"description": 1}), "/description", Problem::NotA("a string")),
        (json!({"description": null}), "/description", Problem::NotA("a string")),
    ] {
        assert_eq!(
            CreateRequest::parse(&body),
            Err(Invalid {
                pointer: pointer.into(),
                problem
            }),
            "{body}"
        );
    }
}

#[test]
fn a_long_description_is_cut_between_characters() {
    // SSF-8.1.1-9
    let request = CreateRequest::parse(&json!({"description": "é".repeat(300)})).unwrap();
    assert_eq!(request.description, Some("é".repeat(MAX_DESCRIPTION)));
    let request = CreateRequest::parse(&json!({"description": ""})).unwrap();
    assert_eq!(request.description.as_deref(), Some(""));
}

#[test]
fn delivered_is_requested_and_supported() {
    // SSF-8.1.1-6, SSF-8.1.1-17, SSF-8.1.1-18
    let supported = ["a", "b", "c"];
    for (requested, expected) in [
        (None, vec!["a", "b", "c"]),
        (Some(vec![]), vec![]),
        (Some(vec!["c", "x", "a", "c"]), vec!["c", "a"]),
        (Some(vec!["x"]), vec![]),
        (Some(vec!["A"]), vec![]),
    ] {
        let requested: Option<Vec<String>> = requested.map(|uris| uris.into_iter().map(String::from).collect());
        assert_eq!(
            events_delivered(requested.as_deref(), &supported),
            expected,
            "{requested:?}"
        );
    }
}

#[test]
fn a_receiver_sees_everything_but_its_secret() {
    // SSF-6.1.1-6, pitfall 23
    let seen = configuration(push(Some("Bearer push-key-3"))).to_json("https://unused.example");
    assert_eq!(
        seen,
        json!({
            "stream_id": "st-1",
            "iss": "https://signals.quarry.example",
            "aud": "https://rp.harbour.example/ssf",
            "delivery": {"method": "urn:ietf:rfc:8935", "endpoint_url": URL},
            "events_supported": [REVOKED, CHANGED],
            "events_requested": [REVOKED, "urn:unknown"],
            "events_delivered": [REVOKED],
            "description": "harbour production",
            "min_verification_interval": 30,
        })
    );
    let poll = configuration(Delivery::Poll).to_json("https://signals.quarry.example/ssf/poll/st-1");
    assert_eq!(
        poll["delivery"],
        json!({"method": "urn:ietf:rfc:8936", "endpoint_url": "https://signals.quarry.example/ssf/poll/st-1"})
    );
}

#[test]
fn members_without_a_value_are_left_out() {
    let bare = Configuration {
        events_requested: None,
        description: None,
        min_verification_interval: None,
        ..configuration(Delivery::Poll)
    };
    let seen = bare.to_json("https://signals.quarry.example/p");
    for name in [
        "events_requested",
        "description",
        "min_verification_interval",
        "inactivity_timeout",
        "status",
    ] {
        assert_eq!(seen.get(name), None, "{name}");
    }
    assert!(seen["events_delivered"].is_array());
}

#[test]
fn storing_a_configuration_never_writes_the_secret() {
    for delivery in [push(Some("Bearer push-key-3")), push(None), Delivery::Poll] {
        let stored = crate::protocol::record::text(&configuration(delivery.clone()));
        assert!(
            !stored.contains("push-key-3") && !stored.contains("authorization"),
            "{stored}"
        );
        let read: Configuration = crate::protocol::record::read(&stored).unwrap();
        let without_secret = if delivery == Delivery::Poll {
            Delivery::Poll
        } else {
            push(None)
        };
        assert_eq!(read, configuration(without_secret));
    }
    assert!(!format!("{:?}", push(Some("Bearer push-key-3"))).contains("push-key-3"));
}
