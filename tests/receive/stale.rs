//! What the edge remembers of a source may be old. It may cost a wasted call, never a wrong act.

use serde_json::json;

use crate::harness::Options;
use crate::support::{ACME_AUDIENCE, Source, assert_problem};

use super::Feed;

/// Longer than any test.
const STALE_MS: u64 = 600_000;

#[test]
fn a_deleted_source_stores_nothing_although_its_copies_are_still_there() {
    let feed = Feed::start(Options::default().kv_stale_ms(STALE_MS));
    let operator = feed.instance.operator();
    // One that was in use, so that the isolate knows it too, and one that only KV knows.
    feed.source
        .push(&feed.instance, &feed.transmitter.draft(ACME_AUDIENCE).sign(), 202);
    let unused = Source::register(&feed.instance, &feed.transmitter.issuer(), ACME_AUDIENCE);
    for source in [&feed.source, &unused] {
        operator.delete(&source.path(), 204);
        for _ in 0..2 {
            let answer = source.push(&feed.instance, &feed.transmitter.draft(ACME_AUDIENCE).sign(), 404);
            assert_problem(&answer, 404);
        }
        operator.get(&source.path(), 404);
        operator.get(&format!("{}/events", source.path()), 404);
    }
    assert_eq!(operator.get("/admin/sources", 200), json!({"sources": []}));
}

#[test]
fn a_new_source_works_at_once_although_no_copy_is_there_yet() {
    let feed = Feed::start(Options::default().kv_stale_ms(STALE_MS));
    for _ in 0..3 {
        let source = Source::register(&feed.instance, &feed.transmitter.issuer(), ACME_AUDIENCE);
        source.push(&feed.instance, &feed.transmitter.draft(ACME_AUDIENCE).sign(), 202);
        assert_eq!(source.jtis(&feed.instance).len(), 1);
    }
}

/// A refusal is the end of an event at its transmitter, so it rests on no copy either.
#[test]
fn what_a_source_begins_to_take_is_taken_at_once_although_its_copies_are_old() {
    let feed = Feed::start(Options::default().kv_stale_ms(STALE_MS));
    let old = feed.transmitter.draft(ACME_AUDIENCE).header("typ", "JWT").sign();
    feed.source.push(&feed.instance, &old, 400);
    let lenient = json!({"legacy": ["typ"]});
    feed.instance.operator().patch_json(&feed.source.path(), &lenient, 200);
    feed.source.push(&feed.instance, &old, 202);
    let strict = json!({"legacy": []});
    feed.instance.operator().patch_json(&feed.source.path(), &strict, 200);
    feed.source.push(&feed.instance, &old, 400);
    assert_eq!(feed.source.inbox(&feed.instance).len(), 1);
}
