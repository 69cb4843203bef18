//! Shapes of before SSF 1.0: refused, unless the source says otherwise (pitfalls 2 and 9).

use serde_json::json;

use super::{options, until_done};
use crate::harness::{Instance, Reply, SsfTransmitter};
use crate::support::{ACME_AUDIENCE, Source};

const DISABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";

#[test]
fn old_shapes_are_taken_where_the_source_says_so() {
    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    let create = |legacy| {
        let request = json!({"issuer": transmitter.issuer(), "audience": ACME_AUDIENCE, "legacy": legacy});
        Source::create(&instance, &request)
    };
    let strict = create(json!([]));
    let lenient = create(json!(["subject_in_event", "event_uris", "typ"]));
    let event = json!({DISABLED: {"subject": {"subject_type": "iss-sub", "iss": "https://idp.example", "sub": "7"}}});
    let old = transmitter.draft().without("sub_id").claim("events", event);
    for set in [
        old.clone().sign(),
        transmitter.draft().header("typ", json!(null)).sign(),
        transmitter.draft().header("typ", "JWT").sign(),
    ] {
        strict.push(&instance, &set, 400);
        lenient.push(&instance, &set, 202);
    }
    let stored = &lenient.inbox(&instance)[0];
    assert_eq!(
        stored["sub_id"],
        json!({"format": "iss_sub", "iss": "https://idp.example", "sub": "7"})
    );
    assert_eq!(stored["set"], json!(old.sign()), "kept as it came");
    // SSF-3.1.1-3: two that differ.
    let both = old.claim("sub_id", json!({"format": "opaque", "id": "1"}));
    lenient.push(&instance, &both.sign(), 400);
    // Who knows of today's place only sees a member of the event, and finds it with all it says.
    strict.push(&instance, &both.sign(), 202);
    let path = format!("{}/events?type={}", strict.path(), DISABLED);
    let found = instance.operator().get(&path, 200);
    assert_eq!(found["events"][0]["jti"], json!(both.jti()), "{found}");
    assert_eq!(found["events"][0]["sub_id"], json!({"format": "opaque", "id": "1"}));
    assert_eq!(found["events"][0]["event"]["subject"]["sub"], json!("7"));
    // What a draft called otherwise is found as it is shown.
    let draft = "https://schemas.openid.net/secevent/risc/event-type/verification";
    let set = transmitter.draft().claim("events", json!({draft: {}}));
    strict.push(&instance, &set.sign(), 202);
    let shown = strict.inbox(&instance).pop().expect("it is stored")["type"].clone();
    let path = format!("{}/events?type={}", strict.path(), shown.as_str().expect("a type"));
    assert_eq!(
        instance.operator().get(&path, 200)["events"][0]["jti"],
        json!(set.jti())
    );
}

/// Pitfall 9: what Google asks back with.
#[test]
fn a_verification_of_old_ends_the_set_up() {
    let instance = Instance::start(options());
    for delivery in ["push", "poll"] {
        let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
        transmitter.verify_as_of_old();
        let mut request = super::request(&transmitter, delivery);
        request["legacy"] = json!(["subject_in_event", "event_uris", "typ"]);
        let source = Source::create(&instance, &request);
        until_done(&instance, &source);
        let verification = &source.inbox(&instance)[0];
        assert_eq!(verification["sub_id"], json!(null), "it is about nobody");
        assert!(verification["event"]["state"].is_string());
    }
}

/// SSF-7.2.2-3.
#[test]
fn the_metadata_may_be_where_it_was_before() {
    let instance = Instance::start(options().set("SETUP_AGAIN_S", 3600));
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    transmitter.fail_always("GET /.well-known/ssf-configuration", Reply::status(404));
    let mut wanted = super::request(&transmitter, "push");
    let strict = Source::create(&instance, &wanted);
    super::until_set_up(&instance, &strict, "failed");
    wanted["legacy"] = json!(["risc_configuration"]);
    let lenient = Source::create(&instance, &wanted);
    until_done(&instance, &lenient);
}
