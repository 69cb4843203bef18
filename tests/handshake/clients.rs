//! Which endpoints are asked: those of a client that were not registered, all of them, or none because only registered ones are
//! taken (design 5). And what changes of a registration make of streams that are there already.

use serde_json::{Value, json};

use crate::harness::{Client, Instance, Reply, ScriptedReceiver, eventually};
use crate::manage::Tenant;
use crate::outbox::ids;
use crate::support::{ACME_AUDIENCE, Acme, POLL, PUSH, pointer_of};

use super::{Asked, World, assert_members, consent, later, pushed, soon};

/// A client whose registration changes, and its stream.
struct Registered<'a> {
    operator: Client,
    acme: Acme,
    world: &'a World,
}

impl<'a> Registered<'a> {
    #[track_caller]
    fn register(world: &'a World, members: &Value) -> Self {
        let mut registration =
            json!({"client_name": "Acme", "scope": "ssf.read ssf.manage", "audience": ACME_AUDIENCE});
        for (name, value) in members.as_object().expect("members are an object") {
            registration[name] = value.clone();
        }
        Self {
            operator: world.instance.operator(),
            acme: Acme::of_tenant(&world.instance, "", &registration),
            world,
        }
    }

    #[track_caller]
    fn change(&self, members: &Value) {
        self.operator.patch_json(&self.acme.path(), members, 200);
    }

    #[track_caller]
    fn shown(&self) -> Value {
        self.operator.get(&self.acme.path(), 200)
    }

    /// The state of the consent of one of its streams.
    #[track_caller]
    fn state(&self, id: &str) -> Value {
        self.operator.get(&format!("/admin/streams/{id}/grant"), 200)["state"].clone()
    }

    #[track_caller]
    fn wait_for(&self, id: &str, state: &str) {
        eventually(&format!("the grant is {state}"), || {
            (self.state(id) == *state).then_some(())
        });
    }

    fn instance(&self) -> &Instance {
        &self.world.instance
    }
}

fn registered_at(endpoint: &ScriptedReceiver, handshake: &str) -> Value {
    json!({"push_endpoints": [endpoint.url("/")], "handshake": handshake})
}

#[test]
fn a_client_has_its_handshake_as_it_was_registered() {
    let world = World::start(soon());
    assert_eq!(
        Registered::register(&world, &json!({})).shown()["handshake"],
        json!("unregistered")
    );
    for handshake in ["unregistered", "always", "never"] {
        let client = Registered::register(&world, &json!({"handshake": handshake}));
        assert_eq!(client.shown()["handshake"], json!(handshake));
        client.change(&json!({"client_name": "Other"}));
        assert_eq!(client.shown()["handshake"], json!(handshake));
    }
    let client = Registered::register(&world, &json!({}));
    for wrong in [json!("off"), json!("Always"), json!(true), json!(["always"]), json!("")] {
        let registration = json!({
            "client_name": "Acme",
            "scope": "ssf.read ssf.manage",
            "audience": ACME_AUDIENCE,
            "handshake": wrong,
        });
        let created = client.operator.send_json("POST", "/admin/clients", &registration, 400);
        assert_eq!(pointer_of(&created), "/handshake", "{wrong}");
        let change = json!({"handshake": wrong});
        let changed = client.operator.send_json("PATCH", &client.acme.path(), &change, 400);
        assert_eq!(pointer_of(&changed), "/handshake", "{wrong}");
    }
}

/// Design 5: a client registered with its endpoints sees no `OPTIONS`. Nor does one that polls.
#[test]
fn registered_endpoints_and_polled_streams_are_never_asked() {
    let world = World::start(soon());
    let endpoint = ScriptedReceiver::start();
    endpoint.otherwise_consent(Reply::status(403));
    for handshake in ["unregistered", "never"] {
        let client = Registered::register(&world, &registered_at(&endpoint, handshake));
        let pushed = client.acme.push_stream(&endpoint.url("/events"));
        let polled = client.acme.poll_stream();
        for (stream, url) in [(&pushed, json!(endpoint.url("/events"))), (&polled, Value::Null)] {
            let path = format!("/admin/streams/{}/grant", stream.id);
            let grant = client.operator.get(&path, 200);
            let expected = json!({
                "state": "not_required", "endpoint_url": url, "allowed_rate": null, "via": null, "granted_at": null,
                "expires_at": null, "handshake": null, "exchange": null, "pace": null, "history": [],
            });
            assert_members(&grant, &expected, handshake);
            let health = stream.health(client.instance());
            assert_eq!(health["grant"], json!({"state": "not_required", "allowed_rate": null}));
            assert_eq!(health["hold"], Value::Null);
            // There is nothing to decide.
            for request in [
                json!({"action": "ask"}),
                json!({"action": "grant"}),
                json!({"action": "revoke"}),
            ] {
                let answer = client.operator.send_json("POST", &path, &request, 409);
                crate::support::assert_problem(&answer, 409);
            }
        }
        world.publish(&["a1"]);
        eventually("it is delivered", || {
            (pushed.health(client.instance())["queued_events"] == 0).then_some(())
        });
        assert_eq!(polled.poll_now().len(), 1);
        pushed.delete();
        polled.delete();
    }
    assert_eq!((endpoint.asks().len(), endpoint.pushes().len()), (0, 2));
}

#[test]
fn a_client_may_have_all_of_its_endpoints_asked() {
    let world = World::start(soon());
    let endpoint = ScriptedReceiver::start();
    endpoint.otherwise_consent(later());
    let client = Registered::register(&world, &registered_at(&endpoint, "always"));
    let stream = client.acme.push_stream(&endpoint.url("/events"));
    endpoint.wait_for_ask(1);
    assert_eq!(client.state(&stream.id), json!("pending"));
    let path = format!("/admin/streams/{}/grant", stream.id);
    client.operator.post_json(&path, &json!({"action": "grant"}), 200);
    world.publish(&["a1"]);
    endpoint.wait_for_push(1);
}

#[test]
fn where_only_registered_endpoints_are_taken_others_are_refused_and_not_asked() {
    let world = World::start(soon());
    let endpoint = ScriptedReceiver::start();
    let registration = json!({"push_endpoints": [endpoint.url("/good/")], "handshake": "never"});
    let client = Registered::register(&world, &registration);
    let wrong = json!({"delivery": {"method": PUSH, "endpoint_url": endpoint.url("/bad/events")}});
    let api = &client.acme.api;
    assert_eq!(
        pointer_of(&api.send_json("POST", "/ssf/streams", &wrong, 400)),
        "/delivery/endpoint_url"
    );
    let stream = client.acme.push_stream(&endpoint.url("/good/events"));
    for method in ["PATCH", "PUT"] {
        let mut update = wrong.clone();
        update["stream_id"] = json!(stream.id);
        let answer = api.send_json(method, "/ssf/streams", &update, 400);
        assert_eq!(pointer_of(&answer), "/delivery/endpoint_url", "{method}");
    }
    world.publish(&["a1"]);
    assert_eq!(endpoint.wait_for_push(1).target, "/good/events");
    assert_eq!(endpoint.asks().len(), 0);
}

/// An endpoint that is registered later needs no consent any more; one that is not registered any more needs it.
#[test]
fn a_registration_that_changes_changes_what_its_streams_need() {
    let world = World::start(soon());
    let endpoint = ScriptedReceiver::start();
    endpoint.otherwise_consent(later());
    let client = Registered::register(&world, &json!({}));
    let stream = client.acme.push_stream(&endpoint.url("/events"));
    world.publish(&["a1"]);
    endpoint.wait_for_ask(1);
    assert_eq!(client.state(&stream.id), json!("pending"));

    client.change(&json!({"push_endpoints": [endpoint.url("/")]}));
    client.wait_for(&stream.id, "not_required");
    endpoint.wait_for_push(1);
    client.change(&json!({"push_endpoints": []}));
    client.wait_for(&stream.id, "pending");
    endpoint.wait_for_ask(2);
    world.publish(&["a2"]);
    client.change(&json!({"push_endpoints": [endpoint.url("/events")]}));
    client.wait_for(&stream.id, "not_required");
    endpoint.wait_for_push(2);

    client.change(&json!({"handshake": "always"}));
    client.wait_for(&stream.id, "pending");
    endpoint.wait_for_ask(3);
    world.publish(&["a3"]);
    client.change(&json!({"handshake": "unregistered"}));
    client.wait_for(&stream.id, "not_required");
    endpoint.wait_for_push(3);
    let asked = world
        .tenant
        .operator()
        .get(&format!("/admin/streams/{}/grant", stream.id), 200);
    let states: Vec<&str> = asked["history"]
        .as_array()
        .expect("an array")
        .iter()
        .filter_map(|entry| entry["state"].as_str())
        .collect();
    let turns = ["not_required", "pending"].repeat(3);
    assert_eq!(states, turns, "newest first");
}

/// A consent that was given stands, whatever else changes about the client.
#[test]
fn a_consent_outlives_changes_that_do_not_concern_it() {
    let world = World::start(soon());
    let endpoint = ScriptedReceiver::start();
    endpoint.otherwise_consent(consent("*"));
    let client = Registered::register(&world, &json!({}));
    let stream = client.acme.push_stream(&endpoint.url("/events"));
    client.wait_for(&stream.id, "granted");
    client.change(&json!({"client_name": "Other"}));
    client.change(&json!({"push_endpoints": ["https://elsewhere.example/"]}));
    client.change(&json!({"handshake": "always"}));
    client.change(&json!({"handshake": "unregistered"}));
    world.publish(&["a1"]);
    endpoint.wait_for_push(1);
    assert_eq!(client.state(&stream.id), json!("granted"));
    assert_eq!(endpoint.asks().len(), 1);
}

/// Where only a registration would do, a consent does not, and nobody is asked for it.
#[test]
fn a_client_that_is_never_asked_loses_what_is_not_registered() {
    let world = World::start(soon());
    let endpoint = ScriptedReceiver::start();
    endpoint.otherwise_consent(consent("*"));
    let client = Registered::register(&world, &json!({}));
    let stream = client.acme.push_stream(&endpoint.url("/events"));
    client.wait_for(&stream.id, "granted");
    client.change(&json!({"handshake": "never"}));
    client.wait_for(&stream.id, "denied");
    world.publish(&["a1"]);
    assert_eq!(stream.health(client.instance())["hold"]["reason"], json!("consent"));
    let status = json!({"stream_id": stream.id, "status": "enabled"});
    client.acme.api.send_json("POST", "/ssf/status", &status, 200);
    let polled = client.acme.poll_stream();
    assert_eq!(polled.poll_now().len(), 0);
    assert_eq!((endpoint.asks().len(), endpoint.pushes().len()), (1, 0), "nobody asks");
    // Nor is there anything that the operator could decide.
    let path = format!("/admin/streams/{}/grant", stream.id);
    for request in [
        json!({"action": "ask"}),
        json!({"action": "grant"}),
        json!({"action": "revoke"}),
    ] {
        client.operator.send_json("POST", &path, &request, 409);
    }

    client.change(&json!({"push_endpoints": [endpoint.url("/")]}));
    client.wait_for(&stream.id, "not_required");
    endpoint.wait_for_push(1);
    let sets = endpoint.pushes();
    assert_eq!(ids(&pushed(&endpoint)).len(), sets.len());
    assert_eq!(endpoint.asks().len(), 1);
}

/// Tenants by themselves: the same endpoint may be registered in one and asked in another.
#[test]
fn a_registration_counts_in_its_own_tenant() {
    let world = World::start(soon());
    let endpoint = ScriptedReceiver::start();
    endpoint.otherwise_consent(later());
    world.tenant.receiver(&[&endpoint.url("/")]);
    let tenant = Tenant::create(&world.instance, &json!({}));
    let stream = tenant.register(&json!({})).push_stream(&endpoint.url("/events"));
    let asked: Asked = world.watch(stream);
    endpoint.wait_for_ask(1);
    assert_eq!(asked.grant()["state"], json!("pending"));
    asked.stream.patch(&json!({"delivery": {"method": POLL}}));
    assert_eq!(asked.grant()["state"], json!("not_required"));
}
