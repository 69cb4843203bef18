//! A stream that hands on lives and dies with its source, and follows its tenant's settings as others do.

use serde_json::json;

use crate::harness::eventually;

use super::{Chain, soon};

#[test]
fn a_source_takes_its_stream_with_it() {
    let chain = Chain::start(soon(), &json!({}));
    let stream = chain.stream_path();
    chain.operator().delete(&chain.source.path(), 204);
    chain.operator().get(&stream, 404);
    assert_eq!(chain.operator().get("/admin/streams", 200)["streams"], json!([]));
    chain.operator().delete(&chain.source.path(), 404);
}

#[test]
fn a_stream_that_the_operator_deletes_is_not_handed_anything_any_more() {
    let chain = Chain::start(soon(), &json!({}));
    chain.receive_all(&["a1"]);
    chain.wait_for_ids(&["a1"]);
    chain.operator().delete(&chain.stream_path(), 204);
    assert_eq!(chain.forward(), json!(null));
    chain.receive_all(&["a2"]);
    // It can be begun again, with what comes then.
    let shown = chain.patch(&json!({"endpoint_url": chain.endpoint.url("/events")}));
    assert!(shown["forward"]["webhook_secret"].is_string(), "{shown}");
    chain.receive_all(&["a3"]);
    assert_eq!(chain.wait_for_ids(&["a3"]), ["a1", "a3"]);
}

#[test]
fn a_paused_stream_keeps_what_it_is_handed() {
    let chain = Chain::start(soon(), &json!({}));
    let status = |status: &str| {
        let patch = json!({"status": status});
        chain.operator().patch_json(&chain.stream_path(), &patch, 200)
    };
    status("paused");
    chain.receive_all(&["a1", "b1"]);
    eventually("both are kept", || (chain.health()["queued_events"] == 2).then_some(()));
    assert_eq!(chain.endpoint.pushes().len(), 0);
    status("enabled");
    chain.wait_for_ids(&["a1", "b1"]);
}

#[test]
fn a_disabled_stream_drops_what_it_is_handed_and_the_inbox_keeps_it() {
    let chain = Chain::start(soon(), &json!({}));
    chain.receive_all(&["a1"]);
    chain.wait_for_ids(&["a1"]);
    let patch = |status: &str| {
        let patch = json!({"status": status});
        chain.operator().patch_json(&chain.stream_path(), &patch, 200)
    };
    patch("disabled");
    let requests = || chain.health()["requests"].as_u64().expect("a number");
    let before = requests();
    chain.receive_all(&["a2"]);
    // Each look is a request, too.
    let mut looks = 0;
    eventually("it is handed over", || {
        looks += 1;
        (requests() > before + looks).then_some(())
    });
    patch("enabled");
    chain.receive_all(&["a3"]);
    assert_eq!(chain.wait_for_ids(&["a3"]), ["a1", "a3"]);
    assert_eq!(chain.source.jtis(&chain.instance), ["a1", "a2", "a3"]);
    let health = chain.operator().get(&format!("{}/health", chain.source.path()), 200);
    assert_eq!(health["state"], "ok");
}

#[test]
fn the_tenants_settings_reach_it() {
    let chain = Chain::start(soon(), &json!({}));
    chain
        .operator()
        .patch_json("/admin/tenants/default", &json!({"min_verification_interval": 77}), 200);
    eventually("the stream has the new terms", || {
        (chain.health()["configuration"]["min_verification_interval"] == 77).then_some(())
    });
    chain.receive_all(&["a1"]);
    chain.wait_for_ids(&["a1"]);
    assert_eq!(chain.health()["status"], json!("enabled"));
}

#[test]
fn a_tenant_that_goes_takes_it_along() {
    let chain = Chain::start(soon(), &json!({}));
    chain
        .operator()
        .post_json("/admin/tenants", &json!({"tenant": "acme"}), 201);
    let forward = json!({"endpoint_url": chain.endpoint.url("/acme")});
    let request = json!({"issuer": chain.transmitter.issuer(), "audience": "https://acme.example", "forward": forward});
    let created = chain.operator().post_json("/t/acme/admin/sources", &request, 201);
    let stream_id = created["forward"]["stream_id"].as_str().expect("a stream");
    // Each tenant sees its own.
    chain.operator().get(&format!("/admin/streams/{stream_id}"), 404);
    chain.operator().get(&format!("/t/acme/admin/streams/{stream_id}"), 200);
    chain.operator().send("DELETE", "/admin/tenants/acme", &[], b"", 204);
    chain.operator().get(&format!("/t/acme/admin/streams/{stream_id}"), 404);
}
