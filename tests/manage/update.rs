//! PATCH and PUT of a stream's configuration (SSF 8.1.1.3, 8.1.1.4): what changes, what stays, and what has to be right.

use serde_json::{Value, json};

use crate::harness::{Instance, Options};
use crate::support::{CREDENTIAL_CHANGE, POLL, PUSH, SESSION_REVOKED, pointer_of};

use super::{Stream, Tenant, about_ana};

const ENDPOINT: &str = "https://acme.example/events";
const OTHER_ENDPOINT: &str = "https://acme.example/other";

/// A tenant in which every member that the transmitter supplies is there.
fn complete(instance: &Instance) -> Tenant {
    Tenant::create(
        instance,
        &json!({"inactivity_timeout": 86_400, "min_verification_interval": 30, "streams_per_client": 100}),
    )
}

/// The two methods, with everything that a receiver may say.
fn requests() -> [Value; 2] {
    let delivery = [
        json!({"method": POLL}),
        json!({"method": PUSH, "endpoint_url": ENDPOINT}),
    ];
    delivery.map(|delivery| {
        json!({
            "delivery": delivery,
            "events_requested": [SESSION_REVOKED, CREDENTIAL_CHANGE],
            "description": "Acme's sessions",
        })
    })
}

fn streams(tenant: &Tenant) -> [Stream; 2] {
    // So that an endpoint that is not registered is wrong.
    let receiver = tenant.register(&json!({"push_endpoints": ["https://acme.example/"], "handshake": "never"}));
    requests().map(|request| receiver.stream(&request))
}

/// A configuration with some members changed.
fn with(configuration: &Value, members: &Value) -> Value {
    let mut changed = configuration.clone();
    for (name, value) in members.as_object().expect("members are an object") {
        changed[name] = value.clone();
    }
    changed
}

fn without(configuration: &Value, name: &str) -> Value {
    let mut changed = configuration.clone();
    changed.as_object_mut().expect("an object").remove(name);
    changed
}

/// SSF-8.1.1.3-1, SSF-8.1.1.3-4, SSF-8.1.1.3-5
#[test]
fn patch_changes_what_is_given_and_nothing_else() {
    let instance = Instance::start(Options::default());
    let tenant = complete(&instance);
    for stream in streams(&tenant) {
        for (given, changes) in [
            (json!({}), json!({})),
            (json!({"unheard_of": 1}), json!({})),
            (json!({"description": "new"}), json!({"description": "new"})),
            (json!({"description": ""}), json!({"description": ""})),
            (
                json!({"events_requested": [CREDENTIAL_CHANGE]}),
                json!({"events_requested": [CREDENTIAL_CHANGE], "events_delivered": [CREDENTIAL_CHANGE]}),
            ),
            (
                json!({"events_requested": []}),
                json!({"events_requested": [], "events_delivered": []}),
            ),
            (
                json!({"delivery": {"method": PUSH, "endpoint_url": OTHER_ENDPOINT}}),
                json!({"delivery": {"method": PUSH, "endpoint_url": OTHER_ENDPOINT}}),
            ),
            (
                json!({"delivery": {"method": POLL}, "description": "both"}),
                json!({
                    "delivery": {"method": POLL, "endpoint_url": instance.url(&stream.poll_path())},
                    "description": "both",
                }),
            ),
        ] {
            let before = stream.read();
            let answer = stream.patch(&given);
            assert_eq!(answer, with(&before, &changes), "{given}");
            assert_eq!(stream.read(), answer, "{given}");
        }
        assert_eq!(stream.receiver.list().len(), 2);
    }
}

/// SSF-8.1.1.4-1, SSF-8.1.1.4-3, SSF-8.1.1.4-4, SSF-8.1.1.4-8
#[test]
fn put_deletes_what_it_does_not_give() {
    let instance = Instance::start(Options::default());
    let tenant = complete(&instance);
    for (stream, request) in streams(&tenant).into_iter().zip(requests()) {
        let full = stream.configuration.clone();
        let poll = json!({"method": POLL, "endpoint_url": instance.url(&stream.poll_path())});
        for (absent, expected) in [
            ("description", without(&full, "description")),
            (
                "events_requested",
                with(
                    &without(&full, "events_requested"),
                    &json!({"events_delivered": full["events_supported"]}),
                ),
            ),
            ("delivery", with(&full, &json!({"delivery": poll}))),
            ("nothing", full.clone()),
        ] {
            assert_eq!(stream.put(&request), full);
            let answer = stream.put(&without(&request, absent));
            assert_eq!(answer, expected, "without {absent}");
            assert_eq!(stream.read(), expected, "without {absent}");
        }
        let bare = stream.put(&json!({}));
        for absent in ["description", "events_requested"] {
            assert_eq!(bare.get(absent), None);
        }
        assert_eq!(
            (&bare["delivery"], &bare["events_delivered"]),
            (&poll, &bare["events_supported"])
        );
    }
}

/// SSF-8.1.1.4-5, pitfall 12
#[test]
fn what_was_read_can_be_written_back() {
    let instance = Instance::start(Options::default());
    let tenant = complete(&instance);
    for stream in streams(&tenant) {
        for method in ["PUT", "PATCH"] {
            let read = stream.read();
            for member in ["min_verification_interval", "inactivity_timeout", "events_supported"] {
                assert!(read.get(member).is_some(), "{member} is there to be written back");
            }
            assert_eq!(stream.send(method, &read, 200).json(), read, "{method}");
            // Modified in between, as it is meant to be.
            let wanted = with(&read, &json!({"description": format!("after {method}")}));
            assert_eq!(stream.send(method, &wanted, 200).json(), wanted, "{method}");
            assert_eq!(stream.read(), wanted);
        }
    }
}

/// SSF-8.1.1.3-11: lists are sets; an audience of one is that one.
#[test]
fn members_of_the_transmitter_may_be_spelled_differently() {
    let instance = Instance::start(Options::default());
    let tenant = complete(&instance);
    let reversed = |value: &Value| -> Value {
        let list = value.as_array().expect("an array");
        list.iter().rev().cloned().collect()
    };
    for audience in [
        json!("https://acme.example"),
        json!(["https://acme.example"]),
        json!(["https://acme.example/a", "https://acme.example/b"]),
    ] {
        let stream = tenant.register(&json!({"audience": audience})).poll_stream();
        let read = stream.configuration.clone();
        assert_eq!(read["aud"], audience);
        let mut spellings = vec![
            json!({"events_supported": reversed(&read["events_supported"])}),
            json!({"events_delivered": reversed(&read["events_delivered"])}),
            json!({"min_verification_interval": 30.0, "inactivity_timeout": 8.64e4}),
            json!({"delivery": read["delivery"]}),
            json!({"delivery": {"method": POLL}}),
        ];
        let mut twice = read["events_delivered"].as_array().expect("an array").clone();
        twice.push(twice[0].clone());
        spellings.push(json!({"events_delivered": twice}));
        match &audience {
            Value::String(one) => spellings.push(json!({"aud": [one]})),
            Value::Array(one) if one.len() == 1 => spellings.push(json!({"aud": one[0]})),
            both => spellings.push(json!({"aud": reversed(both)})),
        }
        for spelling in spellings {
            for method in ["PATCH", "PUT"] {
                let answer = stream.send(method, &spelling, 200).json();
                assert_eq!(answer, read, "{method} {spelling}: our own spelling stays");
            }
        }
    }
}

/// SSF-8.1.1.3-7, SSF-8.1.1.3-9, SSF-8.1.1.4-7, pitfall 12
#[test]
fn a_member_of_the_transmitter_that_differs_is_refused_with_its_place() {
    let instance = Instance::start(Options::default());
    let tenant = complete(&instance);
    for stream in streams(&tenant) {
        let read = stream.read();
        let all = read["events_supported"].as_array().expect("an array").clone();
        let cases = [
            (
                "iss",
                vec![json!("https://rival.example"), json!(format!("{}/", tenant.issuer()))],
            ),
            (
                "aud",
                vec![
                    json!("https://rival.example"),
                    json!([]),
                    json!([read["aud"], "https://rival.example"]),
                    json!("HTTPS://ACME.EXAMPLE"),
                ],
            ),
            (
                "events_supported",
                vec![
                    json!([]),
                    json!(all[1..]),
                    json!([all.clone(), vec![json!("https://x.example")]].concat()),
                ],
            ),
            // Compared with what is delivered before the update.
            (
                "events_delivered",
                vec![
                    json!([]),
                    json!([SESSION_REVOKED]),
                    json!([CREDENTIAL_CHANGE]),
                    json!(all),
                ],
            ),
            (
                "min_verification_interval",
                vec![json!(29), json!(0), json!(30.5), json!("30"), json!(-30)],
            ),
            ("inactivity_timeout", vec![json!(86_401), json!(0), json!("86400")]),
        ];
        for (member, values) in cases {
            for value in values
                .into_iter()
                .chain([json!(null), json!({}), json!(true), json!([1])])
            {
                // Nothing of a refused request is done: neither what is right in it.
                let mut members = json!({"description": "changed", "events_requested": [CREDENTIAL_CHANGE]});
                members[member] = value;
                for method in ["PATCH", "PUT"] {
                    let refused = stream.send(method, &members, 400);
                    assert_eq!(pointer_of(&refused), format!("/{member}"), "{method} {members}");
                }
                assert_eq!(stream.read(), read, "{members}");
            }
        }
    }
}

/// SSF-8.1.1.3-7: what the stream does not have cannot have a value.
#[test]
fn a_limit_that_is_not_set_cannot_be_claimed() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, &json!({"min_verification_interval": 0}));
    let stream = tenant.receiver(&[]).poll_stream();
    for member in ["min_verification_interval", "inactivity_timeout"] {
        assert_eq!(stream.configuration.get(member), None);
        for value in [json!(0), json!(10), json!(null)] {
            let mut members = json!({});
            members[member] = value;
            for method in ["PATCH", "PUT"] {
                let refused = stream.send(method, &members, 400);
                assert_eq!(pointer_of(&refused), format!("/{member}"), "{method} {members}");
            }
        }
    }
    // Once they are set, they are shown and may be claimed, in a stream that was there before.
    tenant.change(&json!({"min_verification_interval": 20, "inactivity_timeout": 3600}));
    let claimed = json!({"min_verification_interval": 20, "inactivity_timeout": 3600});
    let read = stream.read();
    assert_eq!(read, with(&stream.configuration, &claimed));
    assert_eq!(stream.patch(&claimed), read);
    assert_eq!(stream.put(&read), read);
}

/// SSF-8.1.1.3-12, SSF-6.1.1-7
#[test]
fn members_of_the_receiver_that_are_wrong_are_refused_with_their_place() {
    let instance = Instance::start(Options::default());
    let tenant = complete(&instance);
    for stream in streams(&tenant) {
        let read = stream.read();
        let poll_url = instance.url(&stream.poll_path());
        for (members, pointer) in [
            (json!({"description": null}), "/description"),
            (json!({"description": 1}), "/description"),
            (json!({"events_requested": null}), "/events_requested"),
            (json!({"events_requested": SESSION_REVOKED}), "/events_requested"),
            (json!({"events_requested": [SESSION_REVOKED, 1]}), "/events_requested/1"),
            (json!({"delivery": null}), "/delivery"),
            (json!({"delivery": []}), "/delivery"),
            (json!({"delivery": {}}), "/delivery/method"),
            (json!({"delivery": {"method": null}}), "/delivery/method"),
            (json!({"delivery": {"method": "poll"}}), "/delivery/method"),
            (json!({"delivery": {"method": PUSH}}), "/delivery/endpoint_url"),
            (
                json!({"delivery": {"method": PUSH, "endpoint_url": null}}),
                "/delivery/endpoint_url",
            ),
            // Neither registered nor allowed at all.
            (
                json!({"delivery": {"method": PUSH, "endpoint_url": "https://elsewhere.example/events"}}),
                "/delivery/endpoint_url",
            ),
            (
                json!({"delivery": {"method": PUSH, "endpoint_url": "https://10.0.0.1/events"}}),
                "/delivery/endpoint_url",
            ),
            (
                json!({"delivery": {"method": PUSH, "endpoint_url": poll_url}}),
                "/delivery/endpoint_url",
            ),
            (
                json!({"delivery": {"method": PUSH, "endpoint_url": ENDPOINT, "authorization_header": null}}),
                "/delivery/authorization_header",
            ),
            (
                json!({"delivery": {"method": PUSH, "endpoint_url": ENDPOINT, "authorization_header": "a\r\nb: c"}}),
                "/delivery/authorization_header",
            ),
            // SSF-8.1.1.3-11: where a stream is polled is for us to say.
            (
                json!({"delivery": {"method": POLL, "endpoint_url": format!("{poll_url}/")}}),
                "/delivery/endpoint_url",
            ),
            (
                json!({"delivery": {"method": POLL, "endpoint_url": ENDPOINT}}),
                "/delivery/endpoint_url",
            ),
            (
                json!({"delivery": {"method": POLL, "endpoint_url": null}}),
                "/delivery/endpoint_url",
            ),
        ] {
            let mut body = members.clone();
            for method in ["PATCH", "PUT"] {
                let refused = stream.send(method, &body, 400);
                assert_eq!(pointer_of(&refused), pointer, "{method} {body}");
                // Whatever else is right in it.
                body["unheard_of"] = json!({"description": "changed"});
            }
            assert_eq!(stream.read(), read, "{members}");
        }
    }
}

#[test]
fn the_stream_is_named_in_the_body_and_nowhere_else() {
    let instance = Instance::start(Options::default());
    let receiver = Tenant::default(&instance).receiver(&[]);
    let stream = receiver.poll_stream();
    for method in ["PATCH", "PUT"] {
        for id in [json!(null), json!(""), json!(7), json!([stream.id])] {
            let refused = receiver
                .api
                .send_json(method, &stream.path(), &json!({"stream_id": id}), 400);
            assert_eq!(pointer_of(&refused), "/stream_id", "SSF-8.1.1.3-3, {method} {id}");
        }
        let refused = receiver
            .api
            .send_json(method, &stream.path(), &json!({"description": "x"}), 400);
        assert_eq!(pointer_of(&refused), "/stream_id", "{method}");
    }
    assert_eq!(stream.read(), stream.configuration);
}

/// SSF-8.1.1.4-9
#[test]
fn a_change_of_the_configuration_leaves_status_subjects_and_queue_alone() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, &json!({"default_subjects": "NONE"}));
    let receiver = tenant.receiver(&[]);
    let stream = receiver.poll_stream();
    let subject = json!({"format": "email", "email": "ana@example.com"});
    let add = json!({"stream_id": stream.id, "subject": subject});
    receiver
        .api
        .send_json("POST", &receiver.path("/ssf/subjects/add"), &add, 200);
    tenant.publish(&[about_ana("evt-1")]);
    let queued = stream.poll_now();
    for status in ["paused", "enabled"] {
        let set = stream.set_status_because(status, Some("night shift"));
        for (method, members) in [
            ("PATCH", json!({"description": "x"})),
            ("PATCH", json!({"delivery": {"method": POLL}})),
            ("PATCH", json!({"events_requested": [CREDENTIAL_CHANGE]})),
            ("PUT", json!({})),
            (
                "PUT",
                json!({"description": "y", "events_requested": [SESSION_REVOKED]}),
            ),
        ] {
            stream.send(method, &members, 200);
            assert_eq!(stream.status(), set, "{method} {members}");
        }
    }
    let jti = |sets: &[crate::support::Set]| sets.iter().map(|set| set.jti().to_owned()).collect::<Vec<_>>();
    assert_eq!(jti(&stream.poll_now()), jti(&queued));
    // The subject is still in it, and no other is.
    tenant.publish(&[about_ana("evt-2"), crate::support::event("evt-3", "bob@example.com")]);
    assert_eq!(stream.poll_now().len(), 2);
}

#[test]
fn changes_at_the_same_time_are_made_one_after_the_other() {
    let instance = Instance::start(Options::default());
    let stream = &Tenant::default(&instance).receiver(&[]).poll_stream();
    std::thread::scope(|threads| {
        for number in 0..8 {
            threads.spawn(move || {
                let members = json!({"description": format!("{number}"), "events_requested": [format!("https://x.example/{number}")]});
                stream.patch(&members);
            });
        }
    });
    let read = stream.read();
    let number = read["description"].as_str().expect("a description");
    assert_eq!(read["events_requested"], json!([format!("https://x.example/{number}")]));
}
