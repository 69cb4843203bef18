//! The inbox: events in the order of their arrival, read by cursor.

use serde_json::json;

use crate::harness::{Draft, Options};
use crate::support::ACME_AUDIENCE;

use super::Feed;

#[test]
fn an_inbox_is_read_page_by_page() {
    let feed = Feed::start(Options::default());
    assert_eq!(
        feed.source.page(&feed.instance, ""),
        json!({"events": [], "cursor": "0"})
    );

    let drafts: Vec<Draft> = (0..5).map(|_| feed.transmitter.draft(ACME_AUDIENCE)).collect();
    for draft in &drafts {
        feed.source.push(&feed.instance, &draft.sign(), 202);
    }
    let sent: Vec<String> = drafts.iter().map(Draft::jti).collect();
    assert_eq!(feed.source.jtis(&feed.instance), sent);

    let (mut cursor, mut read, mut sizes) = (String::new(), Vec::new(), Vec::new());
    loop {
        let page = feed.source.page(&feed.instance, &format!("?after={cursor}&limit=2"));
        let events = page["events"].as_array().expect("an array");
        let next = page["cursor"].as_str().expect("a cursor").to_owned();
        if events.is_empty() {
            assert_eq!(next, cursor, "the same cursor when nothing is new");
            break;
        }
        sizes.push(events.len());
        read.extend(
            events
                .iter()
                .map(|event| event["jti"].as_str().expect("a jti").to_owned()),
        );
        cursor = next;
    }
    assert_eq!((read, sizes), (sent, vec![2, 2, 1]));

    // A cursor stays good: what comes later comes after it.
    let late = feed.transmitter.draft(ACME_AUDIENCE);
    feed.source.push(&feed.instance, &late.sign(), 202);
    let page = feed.source.page(&feed.instance, &format!("?after={cursor}"));
    assert_eq!(page["events"].as_array().map(Vec::len), Some(1));
    assert_eq!(page["events"][0]["jti"], json!(late.jti()));
    // Reading takes nothing away.
    assert_eq!(feed.source.jtis(&feed.instance).len(), 6);
}
