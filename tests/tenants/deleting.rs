//! A tenant that is deleted while it is in use, and one that gets the name of a deleted one.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;

use serde_json::{Value, json};

use crate::harness::{Client, DEADLINE, Instance, Options, ScriptedReceiver, eventually};
use crate::support::{Acme, Set, Stream, Tenant, assert_problem, event};

use super::attempt;

/// Publishes one event after the other, each about somebody else, until `enough` or until there is nothing to publish to.
/// Returns how many were accepted.
fn publish_until(client: &Client, tenant: &Tenant, name: &str, enough: &AtomicBool) -> usize {
    let started = std::time::Instant::now();
    let mut accepted = 0;
    while !enough.load(Ordering::SeqCst) {
        assert!(started.elapsed() < DEADLINE, "it has an end");
        let event = event(&format!("{name}-{accepted}"), &format!("{name}-{accepted}@example.com"));
        let answer = attempt(client, "POST", &tenant.path("/events"), &json!({"events": [event]}));
        match answer.status {
            202 => accepted += 1,
            404 => break,
            _ => panic!("neither accepted nor gone: {answer}"),
        }
    }
    accepted
}

/// Everything that a tenant has, by somebody who might.
#[track_caller]
fn assert_nothing_there(instance: &Instance, tenant: &Tenant, client: &Acme, streams: &[Stream]) {
    let (operator, anyone) = (instance.operator(), instance.anyone());
    let grant = [("grant_type", "client_credentials")];
    let basic = anyone.clone().basic(&client.client_id, &client.client_secret);
    basic.post_form(&tenant.path("/oauth/token"), &grant, 404);
    for path in ["/jwks.json", "/admin/clients", "/admin/streams", "/admin/sources"] {
        operator.get(&tenant.path(path), 404);
    }
    let registration = json!({"client_name": "Late", "scope": "events.publish"});
    operator.post_json(&tenant.path("/admin/clients"), &registration, 404);
    let source = json!({"issuer": "https://idp.example", "audience": "x"});
    operator.post_json(&tenant.path("/admin/sources"), &source, 404);
    let events = json!({"events": [event("evt-late", "ana@example.com")]});
    operator.post_json(&tenant.path("/events"), &events, 404);
    operator.get(&client.path(), 404);
    client.api.post_json(&tenant.path("/ssf/streams"), &json!({}), 404);
    client.api.get(&tenant.path("/ssf/streams"), 404);
    for stream in streams {
        operator.get(&stream.admin_path(""), 404);
        client.api.get(&stream.path(), 404);
        let poll = json!({"returnImmediately": true});
        client.api.post_json(&stream.poll_path(), &poll, 404);
        // Not from next door either.
        operator.get(&format!("/admin/streams/{}", stream.id), 404);
    }
    operator.get(&tenant.admin_path(), 404);
    operator.patch_json(&tenant.admin_path(), &json!({}), 404);
    let listed = operator.get("/admin/tenants", 200);
    let tenants = listed["tenants"].as_array().expect("an array");
    assert!(tenants.iter().all(|entry| entry["tenant"] != tenant.name), "{listed}");
    for document in [
        "ssf-configuration",
        "oauth-authorization-server",
        "oauth-protected-resource",
    ] {
        anyone.get(&format!("/.well-known/{document}{}", tenant.base), 404);
    }
}

#[test]
fn a_tenant_is_deleted_while_its_events_flow() {
    let instance = Instance::start(Options::default());
    let operator = instance.operator();
    let [acme, beta] = ["acme", "beta"].map(|name| Tenant::create(&instance, name, &json!({})));
    let (receiver, other_receiver) = (ScriptedReceiver::start(), ScriptedReceiver::start());
    let endpoints = json!({"push_endpoints": [receiver.url("/")], "scope": "ssf.read ssf.manage events.publish"});
    let clients = [0, 1].map(|_| acme.receiver(&instance, &endpoints));
    let mut streams = Vec::new();
    for client in &clients {
        for number in 0..3 {
            streams.push(client.push_stream(&receiver.url(&format!("/events/{number}"))));
        }
        streams.push(client.poll_stream());
    }
    let held = clients[0].stream(&json!({"events_requested": []}));
    let request = json!({"issuer": "https://idp.example", "audience": "x"});
    let sources = [0, 1].map(|_| operator.post_json(&acme.path("/admin/sources"), &request, 201));
    let other = beta.receiver(&instance, &json!({"push_endpoints": [other_receiver.url("/")]}));
    let (other_polled, _) = (other.poll_stream(), other.push_stream(&other_receiver.url("/events")));

    let enough = AtomicBool::new(false);
    let others = scope(|threads| {
        let by_operator = threads.spawn(|| publish_until(&operator, &acme, "operator", &AtomicBool::new(false)));
        let by_client = threads.spawn(|| publish_until(&clients[1].api, &acme, "client", &AtomicBool::new(false)));
        let next_door = threads.spawn(|| publish_until(&operator, &beta, "beta", &enough));
        let poll = threads.spawn(|| attempt(&clients[0].api, "POST", &held.poll_path(), &json!({})));
        receiver.wait_for(30);
        let deleted = attempt(&operator, "DELETE", &acme.admin_path(), &Value::Null);
        assert!([202, 204].contains(&deleted.status), "{deleted}");
        assert_eq!(deleted.text(), "");
        assert_nothing_there(&instance, &acme, &clients[0], &streams);
        // Who published or waited learns of it at once.
        let accepted = by_operator.join().expect("no panic") + by_client.join().expect("no panic");
        assert!(accepted >= 5, "{accepted}");
        assert_problem(&poll.join().expect("no panic"), 404);
        other_receiver.wait_for(other_receiver.requests().len() + 1);
        enough.store(true, Ordering::SeqCst);
        next_door.join().expect("no panic")
    });

    assert_nothing_there(&instance, &acme, &clients[1], &streams);
    for source in &sources {
        let url = source["receive_url"].as_str().expect("a URL");
        let authorization = source["authorization_header"].as_str().expect("a header");
        let transmitter = instance.anyone().with_header("authorization", authorization);
        assert_problem(&transmitter.push_set(url, "a.b.c", 404), 404);
    }
    // Nobody next door lost anything.
    let arrived: BTreeSet<String> = other_polled
        .poll_now()
        .iter()
        .map(|(_, set)| Set::decode(set).text("txn").to_owned())
        .collect();
    assert_eq!(arrived.len(), others);
    eventually("everything is pushed", || {
        (other_receiver.requests().len() == others).then_some(())
    });
}

#[test]
fn nothing_is_pushed_for_a_tenant_that_is_gone() {
    let instance = Instance::start(Options::default().set("RETRY_BASE_MS", 20).set("RETRY_CAP_MS", 50));
    let operator = instance.operator();
    let [acme, beta] = ["acme", "beta"].map(|name| Tenant::create(&instance, name, &json!({})));
    let receiver = ScriptedReceiver::start();
    // What is refused for now would be sent again every few milliseconds.
    receiver.otherwise(crate::harness::Reply::status(503));
    let streams = [&acme, &beta].map(|tenant| {
        let client = tenant.receiver(&instance, &json!({"push_endpoints": [receiver.url("/")]}));
        client.push_stream(&receiver.url(&format!("/{}", tenant.name)))
    });
    for tenant in [&acme, &beta] {
        tenant.publish(&operator, &[event("evt-1", "ana@example.com")]);
    }
    let pushes = |tenant: &Tenant| {
        let requests = receiver.requests();
        let path = format!("/{}", tenant.name);
        requests.iter().filter(|request| request.target == path).count()
    };
    eventually("both are tried again and again", || {
        (pushes(&acme) > 3 && pushes(&beta) > 3).then_some(())
    });
    operator.delete(&acme.admin_path(), 204);
    // One may have been on its way.
    let (before, next_door) = (pushes(&acme) + 1, pushes(&beta));
    eventually("the other one is still tried", || {
        (pushes(&beta) > next_door + 10).then_some(())
    });
    assert!(pushes(&acme) <= before, "{} after {before}", pushes(&acme));
    operator.get(&streams[0].admin_path(""), 404);
    assert_eq!(streams[1].health(&instance)["queued_events"], json!(1));
}

/// Design 3: no grant of anything rests on the edge's copies alone, however old they are.
#[test]
fn a_copy_that_outlives_its_tenant_gives_nothing() {
    let instance = Instance::start(Options::default().kv_stale_ms(60_000));
    let operator = instance.operator();
    let acme = Tenant::create(&instance, "acme", &json!({}));
    let client = acme.receiver(&instance, &json!({"scope": "ssf.read ssf.manage events.publish"}));
    let stream = client.poll_stream();
    let document = format!("/.well-known/ssf-configuration{}", acme.base);
    for path in [&document, &acme.path("/jwks.json")] {
        instance.anyone().get(path, 200);
    }
    // Settings that the copies do not have yet count all the same.
    acme.change(&instance, &json!({"events_supported": ["urn:quarry:badge-lost"]}));
    let events = json!({"events": [event("evt-1", "ana@example.com")]});
    operator.post_json(&acme.path("/events"), &events, 400);
    assert_eq!(stream.read()["events_delivered"], json!(["urn:quarry:badge-lost"]));

    operator.delete(&acme.admin_path(), 204);
    let grant = [("grant_type", "client_credentials")];
    let basic = instance.anyone().basic(&client.client_id, &client.client_secret);
    basic.post_form(&acme.path("/oauth/token"), &grant, 404);
    for (client, method, path, body) in [
        (&client.api, "POST", "/ssf/streams", json!({})),
        (&client.api, "GET", "/ssf/streams", Value::Null),
        (&client.api, "POST", "/events", events.clone()),
        (&operator, "POST", "/events", events),
        (&operator, "GET", "/admin/streams", Value::Null),
        (
            &operator,
            "POST",
            "/admin/clients",
            json!({"client_name": "A", "scope": "events.publish"}),
        ),
    ] {
        assert_problem(&attempt(client, method, &acme.path(path), &body), 404);
    }
    client.api.get(&stream.path(), 404);
    operator.get(&acme.admin_path(), 404);
}

#[test]
fn a_name_that_is_free_again_begins_with_nothing() {
    let instance = Instance::start(Options::default());
    let operator = instance.operator();
    let settings = json!({"events_supported": ["urn:quarry:badge-lost"], "default_subjects": "NONE"});
    let first = Tenant::create(&instance, "acme", &settings);
    let old = first.receiver(&instance, &json!({"scope": "ssf.read ssf.manage events.publish"}));
    let stream = old.poll_stream();
    let request = json!({"issuer": "https://idp.example", "audience": "x"});
    operator.post_json(&first.path("/admin/sources"), &request, 201);
    let old_jwks = first.jwks(&instance);
    operator.delete(&first.admin_path(), 204);

    let second = Tenant::create(&instance, "acme", &json!({}));
    assert_eq!(second.issuer, first.issuer);
    let document = operator.get(&second.admin_path(), 200);
    assert_eq!(document["default_subjects"], json!("ALL"));
    assert_eq!(document["events_supported"].as_array().map(Vec::len), Some(22));
    for list in ["clients", "streams", "sources"] {
        let answer = operator.get(&second.path(&format!("/admin/{list}")), 200);
        assert_eq!(answer[list], json!([]));
    }
    let kids = |jwks: &Value| -> BTreeSet<String> {
        let keys = jwks["keys"].as_array().expect("an array");
        keys.iter().map(|key| key["kid"].to_string()).collect()
    };
    let new_jwks = second.jwks(&instance);
    assert!(kids(&new_jwks).is_disjoint(&kids(&old_jwks)), "{new_jwks}");

    // The old client is nobody, with its token and with its secret.
    for (method, path, body) in [
        ("GET", "/ssf/streams", Value::Null),
        ("POST", "/ssf/streams", json!({})),
        (
            "POST",
            "/events",
            json!({"events": [event("evt-1", "ana@example.com")]}),
        ),
    ] {
        let answer = attempt(&old.api, method, &second.path(path), &body);
        assert_problem(&answer, 401);
    }
    let grant = [("grant_type", "client_credentials")];
    let basic = instance.anyone().basic(&old.client_id, &old.client_secret);
    basic.post_form(&second.path("/oauth/token"), &grant, 401);
    operator.get(&stream.admin_path(""), 404);

    // And the new one has all its rights at once.
    let new = second.receiver(&instance, &json!({}));
    assert_eq!(new.api.get(&second.path("/ssf/streams"), 200), json!([]));
    let stream = new.poll_stream();
    second.publish(&operator, &[event("evt-1", "ana@example.com")]);
    let (_, set) = stream.poll_now().remove(0);
    Set::verified(&set, &new_jwks);
}

#[test]
fn a_name_is_given_and_taken_many_times() {
    let instance = Instance::start(Options::default());
    let mut seen = BTreeSet::new();
    for round in 0..4 {
        let tenant = Tenant::create(&instance, "acme", &json!({}));
        let client = tenant.receiver(&instance, &json!({}));
        let stream = client.poll_stream();
        assert!(seen.insert(stream.id.clone()), "an id is not given twice");
        assert_eq!(
            tenant.publish(&instance.operator(), &[event("evt-1", "ana@example.com")]),
            1,
            "round {round}"
        );
        assert_eq!(stream.poll_now().len(), 1);
        instance.operator().delete(&tenant.admin_path(), 204);
        instance.anyone().get(&tenant.path("/jwks.json"), 404);
    }
}

#[test]
fn many_deletions_at_once_are_one_and_so_are_many_creations() {
    let instance = Instance::start(Options::default());
    let operator = instance.operator();
    for _ in 0..3 {
        let all_at_once = |method: &str, path: &str, body: &Value| -> Vec<u16> {
            scope(|threads| {
                let callers: Vec<_> = (0..6)
                    .map(|_| threads.spawn(|| attempt(&operator, method, path, body).status))
                    .collect();
                callers
                    .into_iter()
                    .map(|caller| caller.join().expect("no panic"))
                    .collect()
            })
        };
        let mut created = all_at_once("POST", "/admin/tenants", &json!({"tenant": "acme"}));
        created.sort_unstable();
        assert_eq!(created, [201, 409, 409, 409, 409, 409]);
        let deleted = all_at_once("DELETE", "/admin/tenants/acme", &Value::Null);
        assert!(deleted.contains(&204), "{deleted:?}");
        assert!(
            deleted.iter().all(|status| [202, 204, 404].contains(status)),
            "{deleted:?}"
        );
        operator.get("/admin/tenants/acme", 404);
    }
}

#[test]
fn creating_and_deleting_at_once_leaves_a_whole_tenant_or_none() {
    let instance = Instance::start(Options::default());
    let (operator, anyone) = (instance.operator(), instance.anyone());
    for round in 0..10 {
        scope(|threads| {
            for caller in 0..6 {
                let operator = &operator;
                threads.spawn(move || {
                    for step in 0..4 {
                        let answer = match (caller + step + round) % 3 {
                            0 => attempt(operator, "POST", "/admin/tenants", &json!({"tenant": "acme"})),
                            _ => attempt(operator, "DELETE", "/admin/tenants/acme", &Value::Null),
                        };
                        assert!([201, 202, 204, 404, 409].contains(&answer.status), "{answer}");
                    }
                });
            }
        });
        // Whoever is asked says the same.
        let shown = attempt(&operator, "GET", "/admin/tenants/acme", &Value::Null).status;
        let jwks = attempt(&anyone, "GET", "/t/acme/jwks.json", &Value::Null).status;
        let clients = attempt(&operator, "GET", "/t/acme/admin/clients", &Value::Null).status;
        let listed = operator.get("/admin/tenants", 200)["tenants"].as_array().map(Vec::len) == Some(2);
        assert!([200, 404].contains(&shown), "{shown}");
        assert_eq!((jwks, clients, listed), (shown, shown, shown == 200), "round {round}");
    }
    // And it can be had and used.
    attempt(&operator, "DELETE", "/admin/tenants/acme", &Value::Null);
    let acme = Tenant::create(&instance, "acme", &json!({}));
    let stream = acme.receiver(&instance, &json!({})).poll_stream();
    assert_eq!(acme.publish(&operator, &[event("evt-1", "ana@example.com")]), 1);
    assert_eq!(stream.poll_now().len(), 1);
}
