//! Events that are looked for, and queries that mean nothing.

use serde_json::{Value, json};

use crate::harness::Options;
use crate::support::{CREDENTIAL_CHANGE, SESSION_REVOKED, pointer_of};

use super::{Feed, jtis, query};

fn email(address: &str) -> Value {
    json!({"format": "email", "email": address})
}

#[test]
fn events_are_found_by_type_subject_and_time() {
    let feed = Feed::start(Options::default());
    let device = json!({"format": "opaque", "id": "laptop-1"});
    let ana = email("ana@example.com");
    let aliases = json!({"format": "aliases", "identifiers": [email("ana@old.example"), ana]});
    let plain = feed.receive(SESSION_REVOKED, &ana);
    let other = feed.receive(CREDENTIAL_CHANGE, &email("bob@example.com"));
    let complex = feed.receive(
        SESSION_REVOKED,
        &json!({"format": "complex", "user": ana, "device": device}),
    );
    let aliased = feed.receive(CREDENTIAL_CHANGE, &aliases);
    let all = feed.source.page(&feed.instance, "");
    let at = |index: usize| all["events"][index]["received_at"].to_string();
    let find = |parameters: &[(&str, &str)]| jtis(&feed.source.page(&feed.instance, &query(parameters)));

    let (ana, device) = (ana.to_string(), device.to_string());
    assert_eq!(find(&[("type", SESSION_REVOKED)]), [plain.clone(), complex.clone()]);
    assert_eq!(find(&[("type", "https://vendor.example/none")]), [] as [String; 0]);
    assert_eq!(
        find(&[("subject", &ana)]),
        [plain.clone(), complex.clone(), aliased.clone()]
    );
    assert_eq!(find(&[("subject", &device)]), std::slice::from_ref(&complex));
    assert_eq!(
        find(&[("subject", &email("ana@old.example").to_string())]),
        std::slice::from_ref(&aliased)
    );
    assert_eq!(
        find(&[("subject", &ana), ("type", CREDENTIAL_CHANGE)]),
        std::slice::from_ref(&aliased)
    );
    // Members in another order are the same subject (SSF-8.1.3.1-5).
    let swapped = r#"{"email":"bob@example.com","format":"email"}"#;
    assert_eq!(find(&[("subject", swapped)]), std::slice::from_ref(&other));
    assert_eq!(
        find(&[("since", "2020-01-01T00:00:00+01:00")]),
        [plain.clone(), other.clone(), complex.clone(), aliased.clone()]
    );
    assert_eq!(find(&[("until", "2020-01-01T00:00:00Z")]), [] as [String; 0]);
    assert!(find(&[("since", &at(3))]).contains(&aliased));
    assert!(!find(&[("until", &at(3))]).contains(&aliased));

    // Page by page, and the cursor of the last one is that of the whole inbox.
    let first = feed
        .source
        .page(&feed.instance, &query(&[("subject", &ana), ("limit", "2")]));
    assert_eq!(jtis(&first), [plain, complex]);
    let cursor = first["cursor"].as_str().expect("a cursor");
    let rest = feed.source.page(
        &feed.instance,
        &query(&[("subject", &ana), ("limit", "2"), ("after", cursor)]),
    );
    assert_eq!((jtis(&rest), &rest["cursor"]), (vec![aliased], &all["cursor"]));
}

#[test]
fn a_query_that_means_nothing_is_refused_with_its_place() {
    let feed = Feed::start(Options::default());
    let path = format!("{}/events", feed.source.path());
    for (name, value) in [
        ("type", ""),
        ("subject", ""),
        ("subject", "ana@example.com"),
        ("subject", "[]"),
        ("subject", "{}"),
        ("subject", r#"{"format":5}"#),
        (
            "subject",
            r#"{"format":"email","format":"email","email":"a@example.com"}"#,
        ),
        ("subject", r#"{"format":"complex"}"#),
        ("subject", r#"{"format":"aliases","identifiers":[]}"#),
        ("since", "yesterday"),
        ("since", "-1"),
        ("since", "1e3"),
        ("since", "1960-01-01T00:00:00Z"),
        ("until", "2026-11-21"),
        ("until", "99999999999999999999"),
        ("wait", "26"),
        ("wait", "-1"),
        ("wait", "soon"),
    ] {
        let operator = feed.instance.operator();
        let answer = operator.send("GET", &format!("{path}{}", query(&[(name, value)])), &[], b"", 400);
        assert!(
            pointer_of(&answer).starts_with(&format!("/{name}")),
            "{name}={value}: {answer}"
        );
    }
    for twice in ["type=a&type=b", "wait=0&wait=0", "after=x", "limit=0"] {
        feed.instance.operator().get(&format!("{path}?{twice}"), 400);
    }
    // Parameters of nobody mean nothing, as everywhere.
    feed.instance.operator().get(&format!("{path}?colour=red"), 200);
}
