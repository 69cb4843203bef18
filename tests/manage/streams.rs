//! Creating, reading, listing and deleting streams (SSF 8.1.1.1, 8.1.1.2, 8.1.1.5), within what the tenant and the client's
//! registration allow.

use serde_json::{Value, json};

use crate::harness::{Instance, Options, ScriptedReceiver};
use crate::support::{ACME_AUDIENCE, CREDENTIAL_CHANGE, POLL, PUSH, SESSION_REVOKED, assert_problem, pointer_of};

use super::{Tenant, about_ana, briefs, wait_for_pushes};

const UNHEARD_OF: &str = "https://vendor.example/event/unheard-of";

#[test]
fn a_stream_of_a_named_tenant_carries_the_tenants_issuer_and_urls() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, &json!({}));
    let receiver = tenant.receiver(&[]);
    let stream = receiver.poll_stream();
    let configuration = &stream.configuration;
    assert_eq!(configuration["iss"], json!(tenant.issuer()), "SSF-8.1.1-2");
    assert_eq!(configuration["aud"], json!(ACME_AUDIENCE));
    assert_eq!(
        configuration["delivery"],
        json!({"method": POLL, "endpoint_url": instance.url(&stream.poll_path())}),
        "SSF-6.1.2-3"
    );
    assert!(
        stream
            .id
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c)),
        "SSF-8.1.1-1: {}",
        stream.id
    );
    let metadata = tenant.anyone().get(&tenant.metadata_path(), 200);
    assert_eq!(metadata["issuer"], configuration["iss"], "SSF-8.1.1.1-3");
    for (member, path) in [
        ("configuration_endpoint", "/ssf/streams"),
        ("status_endpoint", "/ssf/status"),
        ("add_subject_endpoint", "/ssf/subjects/add"),
        ("remove_subject_endpoint", "/ssf/subjects/remove"),
        ("verification_endpoint", "/ssf/verification"),
    ] {
        assert_eq!(
            metadata[member],
            json!(format!("{}{path}", tenant.issuer())),
            "SSF-7.1-18"
        );
    }
    tenant.publish(&[about_ana("evt-1")]);
    let sets = stream.poll_now();
    assert_eq!(sets[0].claims["iss"], configuration["iss"], "SSF-4.1.6-1");
}

#[test]
fn a_receiver_lists_its_own_streams_and_reads_each() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, &json!({}));
    let (receiver, other) = (tenant.receiver(&["https://acme.example/"]), tenant.receiver(&[]));
    assert_eq!(receiver.list(), [] as [Value; 0], "SSF-8.1.1.2-5");
    let streams = [
        receiver.poll_stream(),
        receiver.push_stream("https://acme.example/events"),
        receiver.stream(&json!({"description": "a third one"})),
    ];
    let theirs = other.poll_stream();
    let listed = receiver.list();
    assert_eq!(listed.len(), streams.len());
    for stream in &streams {
        assert!(listed.contains(&stream.configuration), "{listed:?}");
        assert_eq!(stream.read(), stream.configuration, "SSF-8.1.1.2-3");
    }
    assert_eq!(other.list(), vec![theirs.configuration], "SSF-8-2");

    // Escaped or among other parameters it is the same id.
    let path = receiver.path("/ssf/streams");
    let escaped = format!("%{:x}{}", streams[0].id.as_bytes()[0], &streams[0].id[1..]);
    for query in [
        format!("?stream_id={escaped}"),
        format!("?x=1&stream_id={}&y", streams[0].id),
    ] {
        assert_eq!(
            receiver.api.get(&format!("{path}{query}"), 200),
            streams[0].configuration
        );
    }
    streams[0].delete();
    streams[0].receiver.api.get(&streams[0].path(), 404);
    assert_eq!(
        receiver.list(),
        [streams[1].configuration.clone(), streams[2].configuration.clone()]
    );
}

#[test]
fn a_description_is_kept_and_a_long_one_is_cut() {
    let instance = Instance::start(Options::default());
    let receiver = Tenant::default(&instance).receiver(&[]);
    let long = "é".repeat(300);
    for (given, kept) in [
        ("", ""),
        ("Acme \u{1f511} production\n", "Acme \u{1f511} production\n"),
        (long.as_str(), &long[..2 * 256]),
    ] {
        // SSF-8.1.1-9
        let stream = receiver.stream(&json!({"description": given}));
        assert_eq!(stream.configuration["description"], json!(kept));
        for method in ["PATCH", "PUT"] {
            let changed = stream
                .send(method, &json!({"description": format!("{given}!")}), 200)
                .json();
            let expected: String = format!("{given}!").chars().take(256).collect();
            assert_eq!(changed["description"], json!(expected), "{method}");
        }
        stream.delete();
    }
}

#[test]
fn what_is_delivered_is_what_is_both_requested_and_supported() {
    let instance = Instance::start(Options::default());
    let custom = "https://vendor.example/event/badge-lost";
    let tenant = Tenant::create(
        &instance,
        &json!({"events_supported": [CREDENTIAL_CHANGE, custom, SESSION_REVOKED]}),
    );
    let receiver = tenant.receiver(&[]);
    let limited = tenant.register(&json!({"events_allowed": [SESSION_REVOKED, UNHEARD_OF]}));
    let all = json!([CREDENTIAL_CHANGE, custom, SESSION_REVOKED]);
    for (client, requested, supported, delivered) in [
        // SSF-8.1.1-17: no preference means all, none means none.
        (&receiver, None, all.clone(), all.clone()),
        (&receiver, Some(json!([])), all.clone(), json!([])),
        // SSF-8.1.1-18: echoed as it was, in its order; delivered once.
        (
            &receiver,
            Some(json!([SESSION_REVOKED, UNHEARD_OF, custom, SESSION_REVOKED])),
            all.clone(),
            json!([SESSION_REVOKED, custom]),
        ),
        (&receiver, Some(json!([UNHEARD_OF])), all.clone(), json!([])),
        // What the operator does not allow the client is not supported for it.
        (&limited, None, json!([SESSION_REVOKED]), json!([SESSION_REVOKED])),
        (
            &limited,
            Some(json!([custom, UNHEARD_OF])),
            json!([SESSION_REVOKED]),
            json!([]),
        ),
    ] {
        let request = match &requested {
            Some(requested) => json!({"events_requested": requested}),
            None => json!({}),
        };
        let stream = client.stream(&request);
        assert_eq!(stream.configuration["events_supported"], supported, "SSF-8.1.1-4");
        assert_eq!(stream.configuration.get("events_requested"), requested.as_ref());
        assert_eq!(stream.configuration["events_delivered"], delivered, "SSF-8.1.1-6");
        stream.delete();
    }
}

/// SSF-8.1.1.1-4, SSF-8.1.1.1-5, SSF-8.1.1.1-6
#[test]
fn a_client_has_as_many_streams_as_its_tenant_says() {
    let instance = Instance::start(Options::default().set("STREAMS_PER_CLIENT", 1));
    for most in [1, 3] {
        let tenant = Tenant::create(&instance, &json!({"streams_per_client": most}));
        let receiver = tenant.receiver(&[]);
        let path = receiver.path("/ssf/streams");
        let streams: Vec<_> = (0..most).map(|_| receiver.poll_stream()).collect();
        assert_problem(&receiver.api.send_json("POST", &path, &json!({}), 409), 409);
        let listed = receiver.list();
        assert_eq!(listed.len(), most, "the refused one is not there");
        // What there is can be used all the same, and others are not concerned.
        streams[0].patch(&json!({"description": "the one there is"}));
        tenant.receiver(&[]).poll_stream();
        streams[0].delete();
        receiver.poll_stream();
        receiver.api.post_json(&path, &json!({}), 409);
        // More room, at once.
        tenant.change(&json!({"streams_per_client": most + 1}));
        receiver.poll_stream();
        receiver.api.post_json(&path, &json!({}), 409);
        // Less room takes nothing away. Without a choice of its own the tenant has the deployment's.
        tenant.change(&json!({"streams_per_client": null}));
        assert_eq!(receiver.list().len(), most + 1);
        receiver.api.post_json(&path, &json!({}), 409);
    }
}

/// SSF-8.1.1.1-8 to SSF-8.1.1.1-10
#[test]
fn a_delivery_method_that_the_tenant_does_not_support_is_refused() {
    let instance = Instance::start(Options::default());
    let endpoint = "https://acme.example/events";
    let push = json!({"delivery": {"method": PUSH, "endpoint_url": endpoint}});
    let poll = json!({"delivery": {"method": POLL}});
    for (supported, good, bad) in [
        (
            PUSH,
            &push,
            vec![
                poll.clone(),
                json!({}),
                json!({"description": "no delivery means poll"}),
            ],
        ),
        (POLL, &poll, vec![push.clone()]),
    ] {
        let tenant = Tenant::create(&instance, &json!({"delivery_methods_supported": [supported]}));
        let metadata = tenant.anyone().get(&tenant.metadata_path(), 200);
        assert_eq!(metadata["delivery_methods_supported"], json!([supported]), "SSF-7.1-4");
        let receiver = tenant.receiver(&[endpoint]);
        let path = receiver.path("/ssf/streams");
        let stream = receiver.stream(good);
        for request in &bad {
            let refused = receiver.api.send_json("POST", &path, request, 400);
            assert_eq!(pointer_of(&refused), "/delivery/method", "{request}");
            // SSF-8.1.1.4-8: for PUT, too, no delivery means poll; for PATCH it means no change.
            let refused = stream.send("PUT", request, 400);
            assert_eq!(pointer_of(&refused), "/delivery/method", "{request}");
            if request.get("delivery").is_some() {
                let refused = stream.send("PATCH", request, 400);
                assert_eq!(pointer_of(&refused), "/delivery/method", "{request}");
            }
        }
        assert_eq!(
            json!(receiver.list()),
            json!([stream.configuration]),
            "nothing came of it"
        );
        stream.patch(&json!({"description": "still mine"}));
        // A stream that is there stays when its method goes; it can be moved, and not be moved back.
        let other = if supported == PUSH { POLL } else { PUSH };
        tenant.change(&json!({"delivery_methods_supported": [other]}));
        assert_eq!(stream.read()["delivery"], stream.configuration["delivery"]);
        let moved = stream.patch(&bad[0]);
        assert_eq!(moved["delivery"]["method"], json!(other));
        stream.send("PATCH", good, 400);
    }
}

/// SSF-8.1.1.5-4
#[test]
fn a_deleted_stream_is_gone_for_every_operation_and_its_sibling_is_not() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, &json!({}));
    let endpoint = ScriptedReceiver::start();
    let receiver = tenant.receiver(&[&endpoint.url("/")]);
    let [gone, kept] = ["/gone", "/kept"].map(|path| receiver.push_stream(&endpoint.url(path)));
    // Something waits in it, and would leave when it is enabled.
    for stream in [&gone, &kept] {
        stream.set_status("paused");
    }
    tenant.publish(&[about_ana("evt-1")]);
    gone.verify(&json!({"state": "never"}), 204);
    gone.delete();
    for (answer, what) in [
        (gone.try_status(&json!({"status": "enabled"}), 404), "status"),
        (gone.verify(&json!({}), 404), "verification"),
        (gone.send("PATCH", &json!({}), 404), "PATCH"),
        (gone.send("PUT", &json!({}), 404), "PUT"),
    ] {
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
    }
    receiver.api.get(&gone.status_path(), 404);
    receiver.api.delete(&gone.path(), 404);
    receiver
        .api
        .post_json(&gone.poll_path(), &json!({"returnImmediately": true}), 404);
    tenant.operator().get(&gone.admin_path(), 404);

    kept.set_status("enabled");
    assert_eq!(briefs(&wait_for_pushes(&endpoint, "/kept", 1)), ["evt-1"]);
    tenant.publish(&[about_ana("evt-2")]);
    assert_eq!(briefs(&wait_for_pushes(&endpoint, "/kept", 2)), ["evt-1", "evt-2"]);
    assert_eq!(
        endpoint.requests().len(),
        2,
        "nothing was pushed to the endpoint of the deleted one"
    );
}
