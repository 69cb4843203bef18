//! Readers that wait for events.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Options, eventually};
use crate::support::{CREDENTIAL_CHANGE, SESSION_REVOKED};

use super::{Feed, jtis, query};

/// Far below the wait that is asked for.
const AT_ONCE: Duration = Duration::from_secs(8);

#[test]
fn who_waits_is_answered_as_soon_as_there_is_something() {
    let feed = Feed::start(Options::default());
    let subject = json!({"format": "email", "email": "ana@example.com"});
    // What is there is answered without waiting.
    let first = feed.receive(SESSION_REVOKED, &subject);
    let started = Instant::now();
    let page = feed.source.page(&feed.instance, "?wait=25");
    assert_eq!(jtis(&page), [first]);
    let cursor = page["cursor"].as_str().expect("a cursor").to_owned();

    let found = thread::scope(|scope| {
        let waits = scope.spawn(|| feed.source.page(&feed.instance, &format!("?wait=25&after={cursor}")));
        let looks = scope.spawn(|| {
            let parameters = [("wait", "25"), ("after", &*cursor), ("type", CREDENTIAL_CHANGE)];
            feed.source.page(&feed.instance, &query(&parameters))
        });
        let second = feed.receive(SESSION_REVOKED, &subject);
        assert_eq!(jtis(&waits.join().expect("a page")), [second]);
        // It is not what the other one looks for.
        assert!(!looks.is_finished());
        let third = feed.receive(CREDENTIAL_CHANGE, &subject);
        assert_eq!(jtis(&looks.join().expect("a page")), std::slice::from_ref(&third));
        third
    });
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    assert!(jtis(&feed.source.page(&feed.instance, &format!("?after={cursor}"))).contains(&found));
}

#[test]
fn who_waits_for_nothing_is_answered_when_the_time_is_over() {
    let feed = Feed::start(Options::default());
    let started = Instant::now();
    let page = feed.source.page(&feed.instance, "?wait=1");
    assert_eq!(page, json!({"events": [], "cursor": "0"}));
    assert!(
        started.elapsed() >= Duration::from_millis(990),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn of_too_many_who_wait_the_oldest_is_answered() {
    let feed = Feed::start(Options::default());
    thread::scope(|scope| {
        let started = Instant::now();
        let oldest = scope.spawn(|| feed.source.page(&feed.instance, "?wait=25"));
        let mut others = Vec::new();
        eventually("the oldest is answered", || {
            if oldest.is_finished() {
                return Some(());
            }
            if others.len() < 16 {
                others.push(scope.spawn(|| feed.source.page(&feed.instance, "?wait=25")));
            }
            None
        });
        assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
        assert_eq!(oldest.join().expect("a page")["events"], json!([]));
        // The source ends, and with it all that wait: 404 for them, without waiting on.
        let event = json!({"format": "email", "email": "ana@example.com"});
        feed.receive(SESSION_REVOKED, &event);
        for other in others {
            other.join().expect("a page");
        }
        assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    });
}

#[test]
fn who_waits_at_a_source_that_is_deleted_is_told() {
    let feed = Feed::start(Options::default());
    let path = format!("{}/events?wait=25", feed.source.path());
    thread::scope(|scope| {
        let started = Instant::now();
        let waits = scope.spawn(|| feed.instance.operator().try_get(&path).expect("an answer").status);
        // It may not wait yet: then it is told all the same.
        feed.instance.operator().delete(&feed.source.path(), 204);
        assert_eq!(waits.join().expect("a status"), 404);
        assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    });
}

#[test]
fn paging_misses_no_event_while_others_come_in() {
    let feed = Feed::start(Options::default());
    let ana = json!({"format": "email", "email": "ana@example.com"});
    let bob = json!({"format": "email", "email": "bob@example.com"});
    thread::scope(|scope| {
        let sends = scope.spawn(|| {
            let send = |n: usize| {
                (
                    n.is_multiple_of(2),
                    feed.receive(SESSION_REVOKED, if n.is_multiple_of(2) { &ana } else { &bob }),
                )
            };
            let sent: Vec<_> = (0..60).map(send).filter(|(is_ana, _)| *is_ana).collect();
            sent.into_iter().map(|(_, jti)| jti).collect::<Vec<_>>()
        });
        let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
        while found.len() < 30 {
            let subject = ana.to_string();
            let parameters = [
                ("subject", &*subject),
                ("limit", "3"),
                ("wait", "5"),
                ("after", &*cursor),
            ];
            let page = feed.source.page(&feed.instance, &query(&parameters));
            found.extend(jtis(&page));
            page["cursor"].as_str().expect("a cursor").clone_into(&mut cursor);
        }
        assert_eq!(found, sends.join().expect("what was sent"));
    });
}
