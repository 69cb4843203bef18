//! What settings do to a tenant's metadata, to new streams, and to those that are there already.

use serde_json::{Value, json};

use crate::harness::{Instance, Options, ScriptedReceiver};
use crate::support::{Acme, POLL, PUSH, Tenant, assert_problem, pointer_of};

#[track_caller]
fn metadata(instance: &Instance, tenant: &Tenant) -> Value {
    let path = format!("/.well-known/ssf-configuration{}", tenant.base);
    instance.anyone().get(&path, 200)
}

#[test]
fn what_receivers_have_to_know_stands_in_the_metadata_at_once() {
    let instance = Instance::start(Options::default());
    let acme = Tenant::create(&instance, "acme", &json!({}));
    let before = metadata(&instance, &acme);
    for (name, value) in [
        ("default_subjects", json!("NONE")),             // SSF-7.1-12
        ("delivery_methods_supported", json!([POLL])),   // SSF-7.1-4
        ("critical_subject_members", json!(["tenant"])), // SSF-7.1-10
    ] {
        let mut patch = json!({});
        patch[name] = value.clone();
        acme.change(&instance, &patch);
        let mut expected = before.clone();
        expected[name] = value.clone();
        assert_eq!(metadata(&instance, &acme), expected, "{name}");
        patch[name] = Value::Null;
        acme.change(&instance, &patch);
        assert_eq!(metadata(&instance, &acme), before, "{name}");
    }
    // The tenant at the origin has settings as well.
    let operator = instance.operator();
    operator.patch_json("/admin/tenants/default", &json!({"default_subjects": "NONE"}), 200);
    let origin = instance.anyone().get("/.well-known/ssf-configuration", 200);
    assert_eq!(origin["default_subjects"], json!("NONE"));
    assert_eq!(metadata(&instance, &acme), before);
}

#[test]
fn a_new_stream_is_delivered_by_a_method_that_the_tenant_supports() {
    let instance = Instance::start(Options::default());
    let acme = Tenant::create(&instance, "acme", &json!({"delivery_methods_supported": [PUSH]}));
    let receiver = ScriptedReceiver::start();
    let client = acme.receiver(&instance, &json!({"push_endpoints": [receiver.url("/")]}));
    let streams = acme.path("/ssf/streams");
    // SSF-8.1.1.1-8, SSF-8.1.1.1-10, pitfall 6: poll is what is assumed, and it is not offered.
    for request in [json!({}), json!({"delivery": {"method": POLL}})] {
        let refused = client.api.send_json("POST", &streams, &request, 400);
        assert_eq!(pointer_of(&refused), "/delivery/method");
    }
    let pushed = client.push_stream(&receiver.url("/events"));

    acme.change(&instance, &json!({"delivery_methods_supported": [POLL]}));
    let request = json!({"delivery": {"method": PUSH, "endpoint_url": receiver.url("/events")}});
    let refused = client.api.send_json("POST", &streams, &request, 400);
    assert_eq!(pointer_of(&refused), "/delivery/method");
    client.poll_stream();
    // A stream that is there keeps its method, and what it is not asked to change.
    assert_eq!(pushed.read(), pushed.configuration);
    let patch = json!({"stream_id": pushed.id, "description": "still pushed"});
    let patched = client.api.patch_json(&streams, &patch, 200);
    assert_eq!(patched["delivery"], pushed.configuration["delivery"]);
    acme.publish(
        &instance.operator(),
        &[crate::support::event("evt-1", "ana@example.com")],
    );
    receiver.wait_for(1);
}

#[test]
fn a_tenant_says_how_many_streams_a_client_has() {
    let instance = Instance::start(Options::default().set("STREAMS_PER_CLIENT", 1));
    let acme = Tenant::create(&instance, "acme", &json!({"streams_per_client": 2}));
    let beta = Tenant::create(&instance, "beta", &json!({}));
    let fill = |client: &Acme, tenant: &Tenant, count: usize| {
        for _ in 0..count {
            client.poll_stream();
        }
        let refused = client
            .api
            .send_json("POST", &tenant.path("/ssf/streams"), &json!({}), 409);
        // SSF-8.1.1.1-5
        assert_problem(&refused, 409);
    };
    let client = acme.receiver(&instance, &json!({}));
    fill(&client, &acme, 2);
    // Where a tenant says nothing the deployment does.
    fill(&beta.receiver(&instance, &json!({})), &beta, 1);
    // More are allowed at once; fewer take none away.
    acme.change(&instance, &json!({"streams_per_client": 3}));
    fill(&client, &acme, 1);
    acme.change(&instance, &json!({"streams_per_client": null}));
    fill(&client, &acme, 0);
    let listed = client.api.get(&acme.path("/ssf/streams"), 200);
    assert_eq!(listed.as_array().map(Vec::len), Some(3));
}

#[test]
fn intervals_stand_in_the_configuration_of_new_and_old_streams() {
    let instance = Instance::start(Options::default());
    let acme = Tenant::create(&instance, "acme", &json!({}));
    let client = acme.receiver(&instance, &json!({}));
    let old = client.poll_stream();
    // SSF-8.1.1-8, SSF-8.1.1-10: without a limit there is no such member.
    assert_eq!(old.configuration["min_verification_interval"], json!(10));
    assert_eq!(old.configuration.get("inactivity_timeout"), None);
    for (interval, timeout) in [(30, 86_400), (0, 0), (1, 3600)] {
        let patch = json!({"min_verification_interval": interval, "inactivity_timeout": timeout});
        acme.change(&instance, &patch);
        let new = client.poll_stream();
        let shown = |value: u32| (value > 0).then(|| json!(value));
        for configuration in [&old.read(), &new.configuration] {
            assert_eq!(configuration.get("min_verification_interval").cloned(), shown(interval));
            assert_eq!(configuration.get("inactivity_timeout").cloned(), shown(timeout));
        }
        new.delete();
    }
}

#[test]
fn a_change_reaches_every_one_of_many_streams() {
    let instance = Instance::start(Options::default());
    let acme = Tenant::create(&instance, "acme", &json!({"streams_per_client": 100}));
    // More than are told in one round.
    let client = acme.receiver(&instance, &json!({}));
    let streams: Vec<_> = (0..70).map(|_| client.poll_stream()).collect();
    acme.change(&instance, &json!({"min_verification_interval": 77}));
    crate::harness::eventually("the last one was told", || {
        let behind = streams
            .iter()
            .filter(|stream| stream.read()["min_verification_interval"] != 77);
        (behind.count() == 0).then_some(())
    });
}
