//! SETs that were accepted: answered 202, then the process dies.

use serde_json::json;

use crate::harness::{Instance, Options, ScriptedTransmitter};
use crate::support::{ACME_AUDIENCE, Source};

#[test]
fn an_inbox_survives_and_a_repeat_is_still_a_repeat() {
    let mut instance = Instance::start(Options::default());
    let transmitter = ScriptedTransmitter::start();
    let source = Source::register(&instance, &transmitter.issuer(), ACME_AUDIENCE);
    let (first, second) = (transmitter.draft(ACME_AUDIENCE), transmitter.draft(ACME_AUDIENCE));
    source.push(&instance, &first.sign(), 202);
    let before = source.page(&instance, "");
    let cursor = before["cursor"].as_str().expect("a cursor").to_owned();

    instance.restart();
    assert_eq!(source.page(&instance, ""), before);
    // PUSH-2-8: the transmitter that did not see our answer sends again.
    source.push(&instance, &first.sign(), 202);
    source.push(&instance, &second.sign(), 202);
    assert_eq!(source.jtis(&instance), [first.jti(), second.jti()]);
    let new = source.page(&instance, &format!("?after={cursor}"));
    assert_eq!(
        new["events"].as_array().map(Vec::len),
        Some(1),
        "a reader goes on where it was"
    );
    assert_eq!(new["events"][0]["jti"], json!(second.jti()));
    assert_eq!(transmitter.key_fetches(), 1, "the issuer's keys are kept");
}

#[test]
fn every_accepted_set_is_there_after_the_process_died_at_once() {
    let mut instance = Instance::start(Options::default());
    let transmitter = ScriptedTransmitter::start();
    let source = Source::register(&instance, &transmitter.issuer(), ACME_AUDIENCE);
    let mut accepted = Vec::new();
    for _ in 0..4 {
        for _ in 0..3 {
            let draft = transmitter.draft(ACME_AUDIENCE);
            source.push(&instance, &draft.sign(), 202);
            accepted.push(draft.jti());
        }
        instance.restart();
        assert_eq!(source.jtis(&instance), accepted);
    }
}

#[test]
fn a_source_that_was_deleted_stays_so() {
    let mut instance = Instance::start(Options::default());
    let transmitter = ScriptedTransmitter::start();
    let source = Source::register(&instance, &transmitter.issuer(), ACME_AUDIENCE);
    source.push(&instance, &transmitter.draft(ACME_AUDIENCE).sign(), 202);
    instance.operator().delete(&source.path(), 204);
    instance.restart();
    source.push(&instance, &transmitter.draft(ACME_AUDIENCE).sign(), 404);
    assert_eq!(instance.operator().get("/admin/sources", 200), json!({"sources": []}));
}
