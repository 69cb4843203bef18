//! Clients that change after they were registered, and clients that go.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Instance, Options, ScriptedReceiver, eventually};
use crate::support::{
    ACCOUNT_DISABLED, ACME_AUDIENCE, CREDENTIAL_CHANGE, PUSH, SESSION_REVOKED, Set, Stream, Tenant, assert_problem,
    event, pointer_of, without_request_id,
};

use super::attempt;

const BADGE_LOST: &str = "https://events.quarry.example/badge-lost";

/// One event of each of three types, under new ids.
fn three(round: &str) -> Vec<Value> {
    let contents = [
        (SESSION_REVOKED, json!({})),
        (
            CREDENTIAL_CHANGE,
            json!({"credential_type": "pin", "change_type": "create"}),
        ),
        (ACCOUNT_DISABLED, json!({})),
    ];
    contents
        .into_iter()
        .map(|(event_type, content)| {
            let mut event = event(&format!("{round}-{event_type}"), "ana@example.com");
            event["type"] = json!(event_type);
            event["event"] = content;
            event["txn"] = json!(round);
            event
        })
        .collect()
}

/// The types of what waits, acknowledged.
#[track_caller]
fn take(stream: &Stream) -> BTreeSet<String> {
    let sets = stream.poll_now();
    let jtis: Vec<&str> = sets.iter().map(|(jti, _)| jti.as_str()).collect();
    stream.ack(&jtis);
    let types = |set: &str| {
        Set::decode(set).claims["events"]
            .as_object()
            .expect("an object")
            .clone()
    };
    sets.iter()
        .flat_map(|(_, set)| types(set).into_iter().map(|(event_type, _)| event_type))
        .collect()
}

fn set_of(types: &[&str]) -> BTreeSet<String> {
    types.iter().map(|&event_type| event_type.to_owned()).collect()
}

#[test]
fn what_a_client_is_allowed_narrows_streams_that_are_there_at_once() {
    let instance = Instance::start(Options::default());
    let acme = Tenant::create(&instance, "acme", &json!({}));
    let operator = instance.operator();
    let client = acme.receiver(&instance, &json!({"events_allowed": [SESSION_REVOKED, BADGE_LOST]}));
    let free = acme.receiver(&instance, &json!({})).poll_stream();
    let everything = client.poll_stream();
    let chosen = client.stream(&json!({"events_requested": [CREDENTIAL_CHANGE, SESSION_REVOKED]}));
    // What the tenant does not support is not delivered, whoever is allowed to have it.
    assert_eq!(everything.configuration["events_supported"], json!([SESSION_REVOKED]));
    let all = operator.get(&acme.admin_path(), 200)["events_supported"].clone();
    for (round, (allowed, supported, by_default, by_request)) in [
        (
            json!([SESSION_REVOKED, BADGE_LOST]),
            json!([SESSION_REVOKED]),
            vec![SESSION_REVOKED],
            vec![SESSION_REVOKED],
        ),
        (
            json!([ACCOUNT_DISABLED, CREDENTIAL_CHANGE]),
            json!([CREDENTIAL_CHANGE, ACCOUNT_DISABLED]),
            vec![CREDENTIAL_CHANGE, ACCOUNT_DISABLED],
            vec![CREDENTIAL_CHANGE],
        ),
        (json!([BADGE_LOST]), json!([]), vec![], vec![]),
        (
            json!(null),
            all,
            vec![SESSION_REVOKED, CREDENTIAL_CHANGE, ACCOUNT_DISABLED],
            vec![CREDENTIAL_CHANGE, SESSION_REVOKED],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let shown = operator.patch_json(&client.path(), &json!({"events_allowed": allowed}), 200);
        assert_eq!(
            shown.get("events_allowed"),
            Some(&allowed).filter(|allowed| !allowed.is_null())
        );
        for stream in [&everything, &chosen] {
            assert_eq!(stream.read()["events_supported"], supported, "{allowed}");
        }
        let delivered = |stream: &Stream| {
            let types = stream.read()["events_delivered"].as_array().expect("an array").clone();
            types
                .iter()
                .map(|uri| uri.as_str().expect("a URI").to_owned())
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(delivered(&chosen), set_of(&by_request), "{allowed}");
        // Publishing is for all: what one client may not have another gets.
        acme.publish(&operator, &three(&format!("round-{round}")));
        assert_eq!(take(&everything), set_of(&by_default), "{allowed}");
        assert_eq!(take(&chosen), set_of(&by_request), "{allowed}");
        assert_eq!(take(&free).len(), 3);
    }
}

#[test]
fn the_profile_of_a_client_reaches_its_streams_at_once() {
    let instance = Instance::start(Options::default());
    let acme = Tenant::create(&instance, "acme", &json!({"default_subjects": "NONE"}));
    let operator = instance.operator();
    let client = acme.receiver(&instance, &json!({}));
    let stream = client.poll_stream();
    for (patch, profile, default_subjects) in [
        (json!({}), "ssf", "NONE"),
        // This is for new streams, as in the tenant.
        (json!({"default_subjects": "ALL"}), "ssf", "NONE"),
        (json!({"profile": "legacy_subject"}), "legacy_subject", "NONE"),
        // CIP-2.4.2-1: that receiver never adds a subject.
        (json!({"profile": "caep_interop"}), "caep_interop", "ALL"),
        (json!({"default_subjects": null}), "caep_interop", "ALL"),
        (json!({"profile": null}), "ssf", "NONE"),
    ] {
        let shown = operator.patch_json(&client.path(), &patch, 200);
        assert_eq!(shown["profile"], json!(profile), "{patch}");
        assert_eq!(operator.get(&client.path(), 200), shown);
        let health = stream.health(&instance);
        assert_eq!(
            (&health["profile"], &health["default_subjects"]),
            (&json!(profile), &json!(default_subjects)),
            "{patch}"
        );
    }
}

#[test]
fn a_change_of_a_client_that_is_not_acceptable_changes_nothing() {
    let instance = Instance::start(Options::default());
    let acme = Tenant::create(&instance, "acme", &json!({}));
    let operator = instance.operator();
    let interop = acme.receiver(&instance, &json!({"profile": "caep_interop"}));
    let picky = acme.receiver(&instance, &json!({"default_subjects": "NONE"}));
    let stream = picky.poll_stream();
    let picture = || {
        let health = |member: &str| stream.health(&instance)[member].clone();
        json!([
            operator.get(&interop.path(), 200),
            operator.get(&picky.path(), 200),
            health("profile"),
            health("default_subjects"),
        ])
    };
    let before = picture();
    let too_many: Vec<String> = (0..257).map(|number| format!("urn:quarry:{number}")).collect();
    for (client, patch, pointer) in [
        (&picky, json!([]), ""),
        (&picky, json!(null), ""),
        (&picky, json!({"client_name": null}), "/client_name"),
        (&picky, json!({"client_name": ""}), "/client_name"),
        (&picky, json!({"scope": null}), "/scope"),
        (&picky, json!({"scope": "admin"}), "/scope"),
        (&picky, json!({"audience": null}), "/audience"),
        (&picky, json!({"audience": []}), "/audience"),
        (
            &picky,
            json!({"push_endpoints": ["http://acme.example"]}),
            "/push_endpoints/0",
        ),
        (
            &picky,
            json!({"push_endpoints": "https://acme.example"}),
            "/push_endpoints",
        ),
        (&picky, json!({"events_allowed": []}), "/events_allowed"),
        (
            &picky,
            json!({"events_allowed": [SESSION_REVOKED, "x"]}),
            "/events_allowed/1",
        ),
        (
            &picky,
            json!({"events_allowed": [SESSION_REVOKED, SESSION_REVOKED]}),
            "/events_allowed/1",
        ),
        (&picky, json!({"events_allowed": too_many}), "/events_allowed"),
        (&picky, json!({"profile": "caep"}), "/profile"),
        (&picky, json!({"profile": 1}), "/profile"),
        (&picky, json!({"default_subjects": "all"}), "/default_subjects"),
        // What does not go together, whichever of the two comes last.
        (&picky, json!({"profile": "caep_interop"}), "/default_subjects"),
        (&interop, json!({"default_subjects": "NONE"}), "/default_subjects"),
        (
            &picky,
            json!({"profile": "caep_interop", "default_subjects": "NONE"}),
            "/default_subjects",
        ),
        // What is not for a request to set.
        (&picky, json!({"client_id": picky.client_id}), "/client_id"),
        (&picky, json!({"client_secret": "chosen"}), "/client_secret"),
        (&picky, json!({"client_id_issued_at": 1}), "/client_id_issued_at"),
        (&picky, json!({"client_name": "Good", "unheard_of": 1}), "/unheard_of"),
        (&picky, json!({"client_name": "Good", "profile": "x"}), "/profile"),
    ] {
        let refused = operator.send_json("PATCH", &client.path(), &patch, 400);
        assert_eq!(pointer_of(&refused), pointer, "{patch}");
    }
    // Registered like this nobody is in the first place.
    for (members, pointer) in [
        (
            json!({"profile": "caep_interop", "default_subjects": "NONE"}),
            "/default_subjects",
        ),
        (json!({"profile": "legacy"}), "/profile"),
        (json!({"profile": null}), "/profile"),
        (json!({"events_allowed": null}), "/events_allowed"),
        (json!({"events_allowed": []}), "/events_allowed"),
        (json!({"default_subjects": ["ALL"]}), "/default_subjects"),
    ] {
        let mut request = json!({"client_name": "A", "scope": "ssf.read", "audience": "a"});
        for (name, value) in members.as_object().expect("an object") {
            request[name] = value.clone();
        }
        let refused = operator.send_json("POST", &acme.path("/admin/clients"), &request, 400);
        assert_eq!(pointer_of(&refused), pointer, "{request}");
    }
    let nobody = operator.send_json("PATCH", &acme.path("/admin/clients/nobody"), &json!({}), 404);
    assert_problem(&nobody, 404);
    assert_eq!(picture(), before);
}

#[test]
fn a_clients_rights_change_for_what_it_does_from_then_on() {
    let instance = Instance::start(Options::default());
    let acme = Tenant::create(&instance, "acme", &json!({}));
    let operator = instance.operator();
    let receiver = ScriptedReceiver::start();
    let client = acme.receiver(
        &instance,
        &json!({"push_endpoints": [receiver.url("/old/")], "handshake": "never"}),
    );
    let streams = acme.path("/ssf/streams");
    let old = client.push_stream(&receiver.url("/old/events"));

    // SSF-8.1.1-3: the audience of a stream never changes.
    let patch =
        json!({"audience": ["https://new.example"], "push_endpoints": [receiver.url("/new/")], "client_name": "New"});
    let shown = operator.patch_json(&client.path(), &patch, 200);
    for (name, value) in patch.as_object().expect("an object") {
        assert_eq!(&shown[name], value, "{name}");
    }
    assert_eq!(old.read(), old.configuration);
    assert_eq!(old.configuration["aud"], json!(ACME_AUDIENCE));
    let new = client.push_stream(&receiver.url("/new/events"));
    assert_eq!(new.configuration["aud"], json!(["https://new.example"]));
    let request = json!({"delivery": {"method": PUSH, "endpoint_url": receiver.url("/old/events")}});
    let refused = client.api.send_json("POST", &streams, &request, 400);
    assert_eq!(pointer_of(&refused), "/delivery/endpoint_url");
    // What is not registered any more is not pushed to.
    eventually("the old stream waits", || {
        (old.health(&instance)["hold"]["reason"] == "consent").then_some(())
    });
    assert_eq!(acme.publish(&operator, &[event("evt-1", "ana@example.com")]), 2);
    assert_eq!(receiver.wait_for(1).target, "/new/events");
    assert_eq!(old.health(&instance)["queued_events"], json!(1));

    // A scope that is gone is gone for the older token, too, and the next one does not have it.
    operator.patch_json(&client.path(), &json!({"scope": "ssf.read"}), 200);
    client.api.get(&streams, 200);
    assert_problem(&client.api.send_json("POST", &streams, &json!({}), 403), 403);
    let change = json!({"stream_id": old.id, "description": "changed"});
    assert_problem(&client.api.send_json("PATCH", &streams, &change, 403), 403);
    let narrow = instance.anyone().bearer(&client.new_token(&instance));
    narrow.get(&old.path(), 200);
    narrow.post_json(&streams, &json!({}), 403);
    let basic = instance.anyone().basic(&client.client_id, &client.client_secret);
    let wide = [("grant_type", "client_credentials"), ("scope", "ssf.manage")];
    let refused = basic.post_form(&acme.path("/oauth/token"), &wide, 400);
    assert_eq!(refused["error"], json!("invalid_scope"));
    // A client without streams needs no audience.
    let publisher = acme.publisher(&instance);
    let patch = json!({"scope": "events.publish ssf.read"});
    let refused = operator.send_json("PATCH", &publisher.path(), &patch, 400);
    assert_eq!(pointer_of(&refused), "/audience");
}

#[test]
fn a_deleted_client_takes_its_streams_with_it_and_its_token_is_worth_nothing() {
    let instance = Instance::start(Options::default());
    let acme = Tenant::create(&instance, "acme", &json!({}));
    let operator = instance.operator();
    let scope = json!({"scope": "ssf.read ssf.manage events.publish"});
    let (gone, stays) = (acme.receiver(&instance, &scope), acme.receiver(&instance, &json!({})));
    let streams: Vec<Stream> = (0..3).map(|_| gone.poll_stream()).collect();
    let kept = stays.poll_stream();
    assert_eq!(acme.publish(&gone.api, &[event("evt-1", "ana@example.com")]), 4);

    let deleted = operator.send("DELETE", &gone.path(), &[], b"", 204);
    assert_eq!(
        (deleted.text().as_str(), deleted.header("cache-control")),
        ("", Some("no-store"))
    );
    let listed = operator.get(&acme.path("/admin/clients"), 200);
    assert_eq!(listed["clients"].as_array().map(Vec::len), Some(1), "{listed}");
    let listed = operator.get(&acme.path("/admin/streams"), 200);
    assert_eq!(listed["streams"].as_array().map(Vec::len), Some(1), "{listed}");
    for stream in &streams {
        for rest in ["", "/deliveries", "/dead-letters"] {
            operator.get(&stream.admin_path(rest), 404);
        }
    }
    for (method, body) in [("GET", Value::Null), ("PATCH", json!({})), ("DELETE", Value::Null)] {
        let theirs = attempt(&operator, method, &gone.path(), &body);
        let never = attempt(&operator, method, &acme.path("/admin/clients/nobody"), &body);
        assert_problem(&theirs, 404);
        assert_eq!(without_request_id(&theirs), without_request_id(&never), "{method}");
    }

    // The token is well signed and has time left; there is nobody behind it.
    let id = &streams[0].id;
    let subject = json!({"format": "email", "email": "ana@example.com"});
    for (method, path, body, status) in [
        ("POST", "/ssf/streams".to_owned(), json!({}), 401),
        ("GET", "/ssf/streams".to_owned(), Value::Null, 401),
        ("PATCH", "/ssf/streams".to_owned(), json!({"stream_id": id}), 401),
        ("PUT", "/ssf/streams".to_owned(), json!({"stream_id": id}), 401),
        (
            "POST",
            "/events".to_owned(),
            json!({"events": [event("evt-2", "ana@example.com")]}),
            401,
        ),
        ("GET", format!("/ssf/streams?stream_id={id}"), Value::Null, 404),
        ("DELETE", format!("/ssf/streams?stream_id={id}"), Value::Null, 404),
        ("GET", format!("/ssf/status?stream_id={id}"), Value::Null, 404),
        (
            "POST",
            "/ssf/status".to_owned(),
            json!({"stream_id": id, "status": "enabled"}),
            404,
        ),
        (
            "POST",
            "/ssf/subjects/add".to_owned(),
            json!({"stream_id": id, "subject": subject}),
            404,
        ),
        (
            "POST",
            "/ssf/subjects/remove".to_owned(),
            json!({"stream_id": id, "subject": subject}),
            404,
        ),
        ("POST", "/ssf/verification".to_owned(), json!({"stream_id": id}), 404),
        (
            "POST",
            format!("/ssf/poll/{id}"),
            json!({"returnImmediately": true}),
            404,
        ),
        // Nor does it help with another's stream.
        ("GET", format!("/ssf/streams?stream_id={}", kept.id), Value::Null, 404),
    ] {
        let answer = attempt(&gone.api, method, &acme.path(&path), &body);
        assert_problem(&answer, status);
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert_eq!(
            challenge.contains("invalid_token"),
            status == 401,
            "{method} {path}: {answer}"
        );
    }
    let basic = instance.anyone().basic(&gone.client_id, &gone.client_secret);
    let grant = [("grant_type", "client_credentials")];
    let refused = basic.post_form(&acme.path("/oauth/token"), &grant, 401);
    assert_eq!(refused["error"], json!("invalid_client"));

    // Nobody else notices.
    assert_eq!(kept.poll_now().len(), 1);
    assert_eq!(acme.publish(&operator, &[event("evt-3", "ana@example.com")]), 1);
    assert_eq!(kept.poll_now().len(), 2);
    stays.poll_stream();
}
