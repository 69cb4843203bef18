use super::*;
use crate::delivery::meta::migrate;
use crate::delivery::sql::testing::TestSql;
use crate::protocol::received::tests::set;
use crate::receiver::inbox::{Accepted, IntakeRecord, KeysFrom, SCHEMA, StoreOutcome, prune, store};
use serde_json::json;

const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const CHANGED: &str = "https://schemas.openid.net/secevent/caep/event-type/credential-change";

fn database() -> TestSql {
    let sql = TestSql::default();
    migrate(&sql, crate::receiver::source::MIGRATIONS).unwrap();
    sql.take_written_rows();
    sql
}

fn intake() -> IntakeRecord {
    IntakeRecord {
        kid: None,
        alg: "RS256".into(),
        keys: KeysFrom::Cached,
        keys_ms: 0,
        verify_ms: 0,
    }
}

fn put(sql: &TestSql, jti: &str, event_type: &str, sub_id: &Json, at: u64) {
    let claims = json!({"iss": "i", "jti": jti, "iat": 1, "aud": "a", "sub_id": sub_id, "events": {event_type: {}}});
    let event = Accepted {
        iss: "i".into(),
        jti: jti.into(),
        event_type: event_type.into(),
        sub_id: sub_id.clone(),
        set: set(&claims),
        intake: intake(),
    };
    assert_eq!(store(sql, &event, at).unwrap(), StoreOutcome::Stored);
}

fn email(address: &str) -> Json {
    json!({"format": "email", "email": address})
}

fn ids(events: &[Stored]) -> Vec<String> {
    let jti = |stored: &Stored| Received::read(&stored.set).unwrap().jti;
    events.iter().map(jti).collect()
}

/// All that is found, page by page.
fn all(sql: &TestSql, wanted: &Search, limit: u32) -> Vec<String> {
    let (mut cursor, mut found) = (0, Vec::new());
    loop {
        let page = find(sql, wanted, cursor, limit).unwrap();
        assert!(page.events.len() <= limit as usize && page.cursor >= cursor);
        found.extend(ids(&page.events));
        if page.cursor == cursor {
            assert!(page.is_all && page.events.is_empty());
            return found;
        }
        cursor = page.cursor;
    }
}

fn wants(value: Json) -> Search {
    Search::from_json(value).unwrap()
}

#[test]
fn an_event_is_found_by_type_time_and_every_name_of_its_subject_and_costs_two_rows() {
    let sql = database();
    let device = json!({"format": "opaque", "id": "laptop-1"});
    let aliases = json!({"format": "aliases", "identifiers": [email("ana@old.example"), email("ana@example.com")]});
    put(&sql, "plain", REVOKED, &email("ana@example.com"), 1_000_000);
    assert_eq!(sql.take_written_rows(), 2);
    put(&sql, "other", REVOKED, &email("bob@example.com"), 2_000_000);
    put(&sql, "aliases", CHANGED, &aliases, 3_000_000);
    let complex = json!({"format": "complex", "user": email("ana@example.com"), "device": device});
    put(&sql, "complex", REVOKED, &complex, 4_000_000);
    let inside = json!({"format": "complex", "user": aliases, "tenant": {"format": "opaque", "id": "t"}});
    put(&sql, "inside", CHANGED, &inside, 5_000_000);
    for (wanted, expected) in [
        (json!({}), vec!["plain", "other", "aliases", "complex", "inside"]),
        (json!({"event_type": REVOKED}), vec!["plain", "other", "complex"]),
        (json!({"event_type": &REVOKED[1..]}), vec![]),
        (
            json!({"subject": email("ana@example.com")}),
            vec!["plain", "aliases", "complex", "inside"],
        ),
        (json!({"subject": email("ana@old.example")}), vec!["aliases", "inside"]),
        (json!({"subject": email("Ana@example.com")}), vec![]),
        (json!({"subject": device}), vec!["complex"]),
        (json!({"subject": complex}), vec!["complex"]),
        (json!({"subject": aliases}), vec!["aliases", "inside"]),
        (
            json!({"subject": email("ana@example.com"), "event_type": CHANGED}),
            vec!["aliases", "inside"],
        ),
        (
            json!({"since": 2_000_000}),
            vec!["other", "aliases", "complex", "inside"],
        ),
        (
            json!({"since": 2_000_001, "until": 5_000_000}),
            vec!["aliases", "complex"],
        ),
        (json!({"until": 1_000_001}), vec!["plain"]),
        (json!({"since": 9_000_000}), vec![]),
        (json!({"until": 0}), vec![]),
        (json!({"since": 3, "until": 2}), vec![]),
    ] {
        for limit in [1, 2, 100] {
            assert_eq!(
                all(&sql, &wants(wanted.clone()), limit),
                expected,
                "{wanted} by {limit}"
            );
        }
    }
}

#[test]
fn a_request_looks_at_so_many_rows_and_its_cursor_goes_on_behind_them() {
    let sql = database();
    let rare = email("rare@example.com");
    for n in 0..12_001_u64 {
        let subject = if n % 6000 == 0 {
            rare.clone()
        } else {
            email("all@example.com")
        };
        put(&sql, &n.to_string(), REVOKED, &subject, n);
    }
    let wanted = wants(json!({"subject": rare}));
    let first = find(&sql, &wanted, 0, 10).unwrap();
    assert_eq!(
        (ids(&first.events), first.cursor, first.is_all),
        (vec!["0".into()], 5000, false)
    );
    let second = find(&sql, &wanted, first.cursor, 10).unwrap();
    assert_eq!((ids(&second.events), second.cursor), (vec!["6000".into()], 10_000));
    assert_eq!(all(&sql, &wanted, 1), ["0", "6000", "12000"]);
    // By time nothing has to be looked at that is too old.
    let late = wants(json!({"subject": rare, "since": 100_000}));
    assert_eq!(find(&sql, &late, 0, 10).unwrap().cursor, 12_001);
    // What was pruned takes up no room of a scan.
    while prune(&sql, 11_000).unwrap().is_some_and(|oldest| oldest < 11_000) {}
    let page = find(&sql, &wanted, 0, 10).unwrap();
    assert_eq!(
        (ids(&page.events), page.cursor, page.is_all),
        (vec!["12000".into()], 12_001, true)
    );
}

/// Events may come between two pages: none is missed, none comes twice.
#[test]
fn paging_misses_nothing_while_events_come_in() {
    for limit in 1..6 {
        let sql = database();
        let (mut cursor, mut found, mut sent) = (0, Vec::new(), Vec::new());
        for n in 0..60_u64 {
            let subject = if n % 3 == 0 {
                "bob@example.com"
            } else {
                "ana@example.com"
            };
            put(&sql, &n.to_string(), REVOKED, &email(subject), n);
            if n % 3 != 0 {
                sent.push(n.to_string());
            }
            if n % 2 == 0 {
                let page = find(
                    &sql,
                    &wants(json!({"subject": email("ana@example.com")})),
                    cursor,
                    limit,
                )
                .unwrap();
                cursor = page.cursor;
                found.extend(ids(&page.events));
            }
        }
        let wanted = wants(json!({"subject": email("ana@example.com")}));
        loop {
            let page = find(&sql, &wanted, cursor, limit).unwrap();
            found.extend(ids(&page.events));
            if page.cursor == cursor {
                break;
            }
            cursor = page.cursor;
        }
        assert_eq!(found, sent, "{limit}");
    }
}

#[test]
fn long_events_make_short_pages() {
    let sql = database();
    for n in 0..5_u64 {
        put(&sql, &n.to_string(), REVOKED, &email(&"x".repeat(450_000)), n);
    }
    let page = find(&sql, &Search::default(), 0, 100).unwrap();
    assert_eq!((page.events.len(), page.cursor, page.is_all), (1, 1, false));
    assert_eq!(all(&sql, &wants(json!({"event_type": REVOKED})), 100).len(), 5);
}

/// An inbox of the first schema, as it was stored then.
#[test]
fn events_of_before_there_was_a_search_are_found() {
    let sql = TestSql::default();
    migrate(&sql, &[SCHEMA, crate::receiver::target::SCHEMA]).unwrap();
    for n in 1..=300_i64 {
        let subject = email(if n % 100 == 0 {
            "ana@example.com"
        } else {
            "bob@example.com"
        });
        let claims =
            json!({"iss": "i", "jti": n.to_string(), "iat": 1, "aud": "a", "sub_id": subject, "events": {REVOKED: {}}});
        let intake = serde_json::to_string(&intake()).unwrap();
        sql.exec(
            "INSERT INTO event (seq, at, key, intake, body) VALUES (?, ?, ?, ?, ?)",
            &[n.into(), n.into(), vec![1].into(), intake.into(), set(&claims).into()],
        )
        .unwrap();
    }
    sql.take_written_rows();
    migrate(&sql, crate::receiver::source::MIGRATIONS).unwrap();
    assert!(
        sql.take_written_rows() < 10,
        "none of them is written again, however many there are"
    );
    put(&sql, "new", CHANGED, &email("ana@example.com"), 1000);
    let ana = wants(json!({"subject": email("ana@example.com")}));
    assert_eq!(all(&sql, &ana, 100), ["100", "200", "300", "new"]);
    assert_eq!(all(&sql, &wants(json!({"event_type": CHANGED})), 7), ["new"]);
    assert_eq!(all(&sql, &Search::default(), 9).len(), 301);
}

#[test]
fn a_subject_of_very_many_names_is_found_all_the_same() {
    let sql = database();
    let many: Vec<Json> = (0..200).map(|n| email(&format!("u{n}@example.com"))).collect();
    put(
        &sql,
        "many",
        REVOKED,
        &json!({"format": "aliases", "identifiers": many}),
        1,
    );
    assert_eq!(all(&sql, &wants(json!({"subject": many[150]})), 10), ["many"]);
    assert_eq!(
        all(&sql, &wants(json!({"subject": email("v@example.com")})), 10),
        [] as [&str; 0]
    );
}
