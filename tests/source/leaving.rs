//! A source that is deleted takes its stream at the transmitter with it.

use serde_json::json;

use super::{connect, options, request, until_done};
use crate::harness::{Fault, Instance, Reply, SsfTransmitter, eventually};
use crate::support::{ACME_AUDIENCE, Source, Tenant, let_time_pass};

#[test]
fn the_stream_goes_with_its_source() {
    let instance = Instance::start(options());
    for delivery in ["push", "poll"] {
        let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
        let source = Source::create(&instance, &request(&transmitter, delivery));
        until_done(&instance, &source);
        if delivery == "poll" {
            transmitter.forget_streams();
        }
        instance.operator().delete(&source.path(), 204);
        assert!(transmitter.streams().is_empty(), "404 there is as good");
        instance.operator().get(&source.path(), 404);
    }
}

#[test]
fn a_transmitter_that_is_down_is_asked_again_while_the_source_is_gone_for_all_others() {
    let (mut instance, transmitter, source) = connect(options(), "push");
    transmitter.fail_always("DELETE /streams", Reply::Reset);
    instance.operator().delete(&source.path(), 202);
    instance.operator().get(&source.path(), 404);
    source.push(&instance, &transmitter.draft().sign(), 404);
    assert_eq!(instance.operator().get("/admin/sources", 200), json!({"sources": []}));
    assert_eq!(transmitter.streams().len(), 1);
    transmitter.mend();
    let_time_pass(&mut instance);
    eventually("the stream is deleted", || {
        transmitter.streams().is_empty().then_some(())
    });
}

#[test]
fn a_stream_that_never_goes_is_left_behind() {
    let (instance, transmitter, source) = connect(options().set("LEAVE_BEHIND_S", 1), "poll");
    transmitter.fail_always("DELETE /streams", Reply::status(403));
    instance.operator().delete(&source.path(), 202);
    assert!(!instance.log_tail().contains("stream_left_behind"), "not at once");
    // As the alarm of the tenant does, again and again.
    eventually("it is left", || {
        let again = instance.operator().try_send("DELETE", &source.path(), &[], b"");
        (again.expect("an answer").status == 204).then_some(())
    });
    assert!(instance.log_tail().contains("stream_left_behind"));
    instance.operator().delete(&source.path(), 404);
}

/// SSF-8.1.1.1-15: the stream of which nobody here has heard goes, too.
#[test]
fn a_stream_that_was_made_unheard_goes_with_its_source() {
    let instance = Instance::start(options().set("RETRY_BASE_MS", 60_000).set("RETRY_CAP_MS", 60_000));
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    transmitter.fail("POST /streams", Fault::Lost);
    let source = Source::create(&instance, &request(&transmitter, "push"));
    eventually("it is made", || (!transmitter.streams().is_empty()).then_some(()));
    super::until_set_up(&instance, &source, "waiting");
    instance.operator().delete(&source.path(), 204);
    assert!(transmitter.streams().is_empty());
}

/// The same when the steps before it are done again at that moment.
#[test]
fn a_stream_that_was_made_unheard_is_not_forgotten_for_a_change() {
    let mut instance = Instance::start(options().set("RETRY_BASE_MS", 60_000).set("RETRY_CAP_MS", 60_000));
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    transmitter.fail("POST /streams", Fault::Lost);
    let source = Source::create(&instance, &request(&transmitter, "push"));
    eventually("it is made", || (!transmitter.streams().is_empty()).then_some(()));
    super::until_set_up(&instance, &source, "waiting");
    transmitter.fail_always("POST /token", Reply::status(503));
    let again = json!({"from": "token"});
    let path = format!("{}/setup", source.path());
    instance.operator().post_json(&path, &again, 202);
    instance.operator().delete(&source.path(), 202);
    transmitter.mend();
    let_time_pass(&mut instance);
    eventually("it is gone", || transmitter.streams().is_empty().then_some(()));
}

/// The request that makes the stream is under way when the source is deleted.
#[test]
fn a_stream_that_is_being_made_goes_with_its_source() {
    for what in ["GET /streams", "POST /streams"] {
        let mut instance = Instance::start(options());
        let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
        transmitter.hold(what);
        let source = Source::create(&instance, &request(&transmitter, "push"));
        eventually(what, || (!transmitter.requests(what).is_empty()).then_some(()));
        instance.operator().delete(&source.path(), 202);
        transmitter.release();
        if what == "POST /streams" {
            eventually("it is made", || (!transmitter.streams().is_empty()).then_some(()));
        }
        let_time_pass(&mut instance);
        eventually("the tenant has asked again, and the source is gone", || {
            let asked = transmitter.requests("GET /streams").len() + transmitter.requests("DELETE /streams").len();
            (asked > 1 && transmitter.streams().is_empty()).then_some(())
        });
        let made = transmitter.requests("POST /streams").len();
        assert_eq!(made, usize::from(what == "POST /streams"), "{what}");
    }
}

#[test]
fn a_tenant_that_is_deleted_takes_its_streams_along() {
    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    let tenant = Tenant::create(&instance, "acme", &json!({}));
    let wanted = request(&transmitter, "push");
    let source = instance
        .operator()
        .post_json(&tenant.path("/admin/sources"), &wanted, 201);
    let path = tenant.path(&format!(
        "/admin/sources/{}/setup",
        source["source_id"].as_str().expect("an id")
    ));
    eventually("it is set up", || {
        (instance.operator().get(&path, 200)["state"] == "done").then_some(())
    });
    instance.operator().delete(&tenant.admin_path(), 204);
    assert!(transmitter.streams().is_empty());
}
