//! What a filter costs: rows written, and the work of judging.

use super::*;

#[test]
fn an_addition_writes_one_row_per_key_and_a_removal_one() {
    let (sql, mut filter) = database();
    for (members, rows) in (1..).zip([1, 2, 3, 6, 10, 20, 35, 70]) {
        filter.add(&sql, &wide(members, "u"), true, &NONE, NOW).unwrap();
        filter.remove(&sql, &wide(members, "w"), &ALL, NOW).unwrap();
        sql.take_written_rows();
        filter.add(&sql, &wide(members, "v"), true, &NONE, NOW).unwrap();
        assert_eq!(sql.take_written_rows(), rows, "{members} members");
        filter.remove(&sql, &wide(members, "x"), &ALL, NOW).unwrap();
        assert_eq!(sql.take_written_rows(), 1);
    }
}

/// SSF-8.1.3.2-5, SSF-8.1.3.3-2: what each request writes, in order.
#[test]
fn requests_write_what_they_change_and_no_more() {
    let leaving = Rules { grace_ms: HOUR, ..NONE };
    let pending = Rules { grace_ms: HOUR, ..ALL };
    let (sql, mut filter) = database();
    // What is done to which subject, under which rules; rows.
    for (what, text, rules, rows) in [
        ("add", "u", NONE, 2), // with the shape
        ("add", "v", NONE, 1),
        ("add", "v", NONE, 0),
        ("doubt", "v", NONE, 1),
        ("doubt", "v", NONE, 0),
        ("remove", "w", NONE, 0),
        ("remove", "user=u", NONE, 0),
        ("remove", "v", NONE, 1),
        ("remove", "v", NONE, 0),
        ("add", "v", NONE, 1),
        ("remove", "v", leaving, 3), // deleted, written, and the shape of the grace
        ("remove", "v", leaving, 0),
        ("add", "v", NONE, 3),
        ("add", "tenant=A user=u", NONE, 3), // with the shape
        ("add", "tenant=A user=v", NONE, 2),
        ("add", "tenant=A user=v", NONE, 0),
        ("doubt", "tenant=A user=v", NONE, 2),
        ("remove", "tenant=A user=v", NONE, 2),
        ("remove", "tenant=A user=u", NONE, 3), // and the shape
        ("add", "tenant=A user=u device=d", NONE, 4),
        ("remove", "tenant=A user=u device=d", leaving, 8), // the last of one shape, the first of another
        ("add", "w", ALL, 0),
        ("remove", "w", ALL, 2), // with the shape
        ("remove", "w", ALL, 0),
        ("remove", "x", pending, 1),
        ("remove", "x", ALL, 0),
        ("remove", "a=1 b=2 c=3 d=4 e=5 f=6 g=7 h=8", ALL, 2),
        ("remove", "a=1 b=2 c=3 d=4 e=5 f=6 g=7 h=9", ALL, 1),
        ("add", "a=1 b=2 c=3 d=4 e=5 f=6 g=7 h=9", ALL, 1),
        ("add", "x", ALL, 1),
        ("add", "w", NONE, 3),   // the removal with its shape, and the addition
        ("remove", "u", ALL, 3), // the addition, the removal and its shape
    ] {
        let subject = subject(text);
        let change = match what {
            "remove" => filter.remove(&sql, &subject, &rules, NOW),
            what => filter.add(&sql, &subject, what == "add", &rules, NOW),
        };
        let expected = if rows == 0 { Change::Nothing } else { Change::Made };
        assert_eq!(
            (change, sql.take_written_rows()),
            (Ok(expected), rows),
            "{what} {text} {rules:?}"
        );
        assert_eq!(Filter::load(&sql).unwrap(), filter);
    }
}

/// Steps of the engine for judging various events and for one addition. The thousand subjects of the stream are in it, and
/// `others` for each of their rows, with the same first member.
fn work(others: u32) -> Vec<i64> {
    let (sql, mut filter) = database();
    let grace = Rules { grace_ms: HOUR, ..NONE };
    let texts = |n: u32| [format!("u{n}"), format!("tenant=t{} user=u{n}", n % 7)];
    for subject in (0..500).flat_map(texts).map(|text| subject(&text)) {
        filter.add(&sql, &subject, true, &NONE, NOW).unwrap();
    }
    for subject in (0..100).flat_map(texts).map(|text| subject(&text)) {
        filter.remove(&sql, &subject, &grace, NOW).unwrap();
        filter.remove(&sql, &subject, &ALL, NOW).unwrap();
    }
    for (table, value) in [("subject_added", "verified"), ("subject_removed", "since")] {
        sql.exec(
            &format!(
                "WITH RECURSIVE other (n) AS (SELECT 1 WHERE 1 <= ?1 UNION ALL SELECT n + 1 FROM other WHERE n < ?1) \
                 INSERT INTO {table} SELECT CAST(substr(key, 1, length(key) - 16) || randomblob(16) AS BLOB), {value} \
                 FROM {table}, other"
            ),
            &[others.into()],
        )
        .unwrap();
    }
    let rows = sql.exec("SELECT COUNT(*) FROM subject_added", &[]).unwrap();
    assert_eq!(rows[0].int(0).unwrap(), 1_500 * (1 + i64::from(others)));
    let mut work = Vec::new();
    for event in [
        "u1",
        "u400",
        "nobody",
        "tenant=t1",
        "tenant=t1 user=u1",
        "tenant=t1 user=nobody",
        "user=u400",
        "user=nobody",
        "device=d",
    ] {
        for rules in [NONE, ALL] {
            for at in [NOW, NOW + 2 * HOUR] {
                sql.take_steps();
                filter.judge(&sql, &subject(event), &rules, at).unwrap();
                work.push(sql.take_steps());
            }
        }
    }
    filter.add(&sql, &subject("another"), true, &NONE, NOW).unwrap();
    work.push(sql.take_steps());
    work
}

#[test]
fn judging_takes_as_much_work_among_a_hundred_thousand_subjects_as_among_a_thousand() {
    assert_eq!(work(0), work(99));
}
