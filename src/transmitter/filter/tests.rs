mod cost;
mod reference;

use serde_json::json;

use super::*;
use crate::delivery::meta::migrate;
use crate::delivery::sql::testing::{Fault, TestSql};
use crate::protocol::subject::{covers, identity, matches, members};

const NOW: u64 = 1_795_262_400_000;
const HOUR: u64 = 3_600_000;

const NONE: Rules = Rules {
    default_subjects: DefaultSubjects::None,
    require_shared_member: false,
    grace_ms: 0,
};
const ALL: Rules = Rules {
    default_subjects: DefaultSubjects::All,
    ..NONE
};

fn database() -> (TestSql, Filter) {
    let sql = TestSql::default();
    migrate(&sql, &[SCHEMA]).unwrap();
    let filter = Filter::load(&sql).unwrap();
    sql.take_written_rows();
    (sql, filter)
}

fn simple(id: &str) -> Value {
    json!({"format": "opaque", "id": id})
}

/// A complex subject of opaque members, `"tenant=A user=u"`; without `=` a simple one.
fn subject(text: &str) -> Value {
    if !text.contains('=') {
        return simple(text);
    }
    let mut subject = json!({"format": "complex"});
    for member in text.split_whitespace() {
        let (name, id) = member.split_once('=').unwrap();
        subject[name] = simple(id);
    }
    subject
}

/// A complex subject of `n` members, all with this value.
fn wide(n: usize, id: &str) -> Value {
    let members: Vec<_> = (0..n).map(|at| format!("m{at}={id}")).collect();
    subject(&members.join(" "))
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn rows_in(sql: &TestSql) -> i64 {
    let tables = ["subject_shape", "subject_added", "subject_removed"];
    let counts = tables.map(|table| {
        let rows = sql.exec(&format!("SELECT COUNT(*) FROM {table}"), &[]).unwrap();
        rows[0].int(0).unwrap()
    });
    counts.iter().sum()
}

/// SSF-8.1.3.1-2, -3, -6, -8, -9 and pitfall 34: added, event, wanted by the letter, wanted with the guard.
#[test]
fn an_event_about_an_added_subject_is_wanted() {
    for (added, event, literal, guarded) in [
        ("tenant=A", "tenant=A user=u", true, true),
        ("user=u device=d", "user=u", true, true),
        ("user=u device=d", "device=d", true, true),
        ("user=u device=d", "user=u device=d session=s", true, true),
        ("user=u group=g1", "user=u group=g2", false, false),
        ("tenant=A", "tenant=B user=u", false, false),
        ("tenant=A user=u device=d", "tenant=A device=d", true, true),
        ("tenant=A user=u device=d", "tenant=A device=e", false, false),
        ("tenant=A", "user=u", true, false),
        ("user=u", "device=d", true, false),
        ("badge=1 user=u", "badge=2 user=u", false, false),
        ("badge=1", "badge=1", true, true),
        ("u", "u", true, true),
        ("u", "U", false, false),
        ("u", "user=u", false, false),
        ("user=u", "u", false, false),
    ] {
        let (sql, mut filter) = database();
        let (added, event) = (subject(added), subject(event));
        filter.add(&sql, &added, true, &NONE, NOW).unwrap();
        for (require_shared_member, wanted) in [(false, literal), (true, guarded)] {
            let rules = Rules {
                require_shared_member,
                ..NONE
            };
            let judgement = filter.judge(&sql, &event, &rules, NOW).unwrap();
            assert_eq!(judgement.wanted(), wanted, "{added} {event} {judgement:?}");
            assert_eq!(matches(&added, &event, require_shared_member), wanted);
        }
    }
}

#[test]
fn the_judgement_names_the_addition_that_says_most() {
    let (sql, mut filter) = database();
    for (added, verified) in [
        ("device=d", true),
        ("tenant=A user=u", false),
        ("tenant=A", true),
        ("u", false),
    ] {
        filter.add(&sql, &subject(added), verified, &NONE, NOW).unwrap();
    }
    for (event, members, verified, shared) in [
        ("tenant=A user=u", vec!["tenant", "user"], false, vec!["tenant", "user"]),
        ("tenant=A user=v", vec!["tenant"], true, vec!["tenant"]),
        ("session=s", vec!["device"], true, vec![]),
        ("u", vec![], false, vec![]),
    ] {
        assert_eq!(
            filter.judge(&sql, &subject(event), &NONE, NOW).unwrap(),
            Judgement::Added {
                members: strings(&members),
                verified,
                shared: strings(&shared)
            },
            "{event}"
        );
    }
    assert_eq!(
        filter.judge(&sql, &subject("v"), &NONE, NOW).unwrap(),
        Judgement::NotAdded
    );
}

/// SSF-8.1.3.3-3: removed, event, covered.
#[test]
fn a_removal_covers_the_events_that_have_all_it_names() {
    for (removed, event, covered) in [
        ("tenant=A", "tenant=A user=u", true),
        ("tenant=A user=u", "tenant=A user=u", true),
        ("tenant=A user=u", "tenant=A", false),
        ("tenant=A user=u", "tenant=A user=v", false),
        ("tenant=A", "user=u", false),
        ("u", "u", true),
        ("u", "user=u", false),
        ("user=u", "u", false),
    ] {
        let (sql, mut filter) = database();
        let (removed, event) = (subject(removed), subject(event));
        filter.remove(&sql, &removed, &ALL, NOW).unwrap();
        let expected = if covered {
            let names = members(&removed).unwrap_or_default();
            Judgement::Removed {
                members: names.into_iter().map(|(name, _)| name.to_owned()).collect(),
            }
        } else {
            Judgement::ByDefault
        };
        let judgement = filter.judge(&sql, &event, &ALL, NOW).unwrap();
        assert_eq!(judgement, expected, "{removed} {event}");
        assert_eq!(covers(&removed, &event), covered);
    }
}

#[test]
fn other_spellings_are_the_same_subject() {
    let aliases = |ids: [&str; 2]| json!({"format": "aliases", "identifiers": ids.map(simple)});
    let phone = |format: &str| json!({"format": format, "phone_number": "+442079460018"});
    for (one, other) in [
        (aliases(["a", "b"]), aliases(["b", "a"])), // SSF-8.1.3.1-7
        (phone("phone"), phone("phone_number")),    // SSF-8.1.3.3-5
        (
            json!({"format": "complex", "user": aliases(["a", "b"]), "device": phone("phone")}),
            json!({"format": "complex", "device": phone("phone_number"), "user": aliases(["b", "a"])}),
        ),
    ] {
        let (sql, mut filter) = database();
        filter.add(&sql, &one, true, &NONE, NOW).unwrap();
        assert!(filter.judge(&sql, &other, &NONE, NOW).unwrap().wanted());
        assert_eq!(filter.add(&sql, &other, true, &NONE, NOW), Ok(Change::Nothing));
        assert_eq!(filter.remove(&sql, &other, &NONE, NOW), Ok(Change::Made));
        assert_eq!(rows_in(&sql), 0);
    }
}

#[test]
fn no_subject_passes_for_another_by_its_names_or_values() {
    let whole = json!({"format": "complex", "": simple("u")});
    let crafted = [
        simple("u"),
        simple(&identity(&simple("u"))),
        json!({"format": "complex", "simple": simple("u")}),
        whole.clone(),
        simple(&identity(&whole)),
        json!({"format": "complex", "a\",\"b": simple("u")}),
        json!({"format": "complex", "a": simple("u"), "b": simple("u")}),
        json!({"format": "complex", "a": simple("u\u{0}"), "b": simple("")}),
        json!({"format": "complex", "a": simple("u"), "b": simple("\u{0}")}),
        json!({"format": "complex", "a": simple("b"), "b": simple("a")}),
        json!({"format": "complex", "a": simple("a"), "b": simple("b")}),
        json!({"format": "complex"}),
    ];
    let guarded = Rules {
        require_shared_member: true,
        ..NONE
    };
    for added in &crafted {
        let (sql, mut filter) = database();
        filter.add(&sql, added, true, &guarded, NOW).unwrap();
        filter.remove(&sql, added, &ALL, NOW).unwrap();
        filter.add(&sql, added, true, &guarded, NOW).unwrap();
        for event in &crafted {
            let wanted = filter.judge(&sql, event, &guarded, NOW).unwrap().wanted();
            assert_eq!(wanted, matches(added, event, true), "{added} {event}");
        }
    }
}

/// SSF-9.3-1. The grace is granted in full, and at most an eighth more.
#[test]
fn a_removed_addition_is_wanted_until_its_grace_is_over() {
    let rules = Rules { grace_ms: 800, ..NONE };
    for text in ["u", "tenant=A user=u"] {
        let (sql, mut filter) = database();
        let subject = subject(text);
        filter.add(&sql, &subject, true, &rules, NOW).unwrap();
        filter.remove(&sql, &subject, &rules, NOW + 1).unwrap();
        let until = NOW + 900;
        assert_eq!(filter.next_due(), Some(until));
        for (at, judgement) in [
            (NOW + 801, Judgement::InGrace { until }),
            (until - 1, Judgement::InGrace { until }),
            (until, Judgement::NotAdded),
        ] {
            assert_eq!(filter.judge(&sql, &subject, &rules, at), Ok(judgement), "{text}");
        }
        assert_eq!(filter.prune(&sql, until - 1), Ok(Some(until)));
        // Another removal does not prolong it, and no later setting shortens it.
        for rules in [rules, NONE] {
            assert_eq!(filter.remove(&sql, &subject, &rules, NOW + 700), Ok(Change::Nothing));
            assert!(filter.judge(&sql, &subject, &rules, until - 1).unwrap().wanted());
        }
        assert_eq!(filter.prune(&sql, until), Ok(None));
        assert_eq!(rows_in(&sql), 0);
    }
}

#[test]
fn adding_again_ends_the_grace_whether_or_not_it_is_over() {
    let rules = Rules { grace_ms: 800, ..NONE };
    for at in [NOW, NOW + 799, NOW + 5_000] {
        let (sql, mut filter) = database();
        let subject = subject("tenant=A user=u");
        filter.add(&sql, &subject, true, &rules, NOW).unwrap();
        filter.remove(&sql, &subject, &rules, NOW).unwrap();
        assert_eq!(filter.add(&sql, &subject, false, &rules, at), Ok(Change::Made));
        assert_eq!(filter.prune(&sql, NOW + 9_000), Ok(None));
        let judgement = filter.judge(&sql, &subject, &rules, NOW + 9_000).unwrap();
        assert!(matches!(judgement, Judgement::Added { verified: false, .. }));
        filter.remove(&sql, &subject, &NONE, NOW + 9_000).unwrap();
        assert_eq!(rows_in(&sql), 0);
    }
}

#[test]
fn a_live_addition_is_preferred_to_one_in_grace() {
    let (sql, mut filter) = database();
    let rules = Rules { grace_ms: HOUR, ..NONE };
    for text in ["tenant=A user=u", "user=u"] {
        filter.add(&sql, &subject(text), true, &rules, NOW).unwrap();
    }
    filter.remove(&sql, &subject("tenant=A user=u"), &rules, NOW).unwrap();
    let event = subject("tenant=A user=u");
    let judged = |filter: &Filter| filter.judge(&sql, &event, &rules, NOW + 1).unwrap();
    assert!(matches!(judged(&filter), Judgement::Added { members, .. } if members == ["user"]));
    filter.remove(&sql, &subject("user=u"), &rules, NOW + HOUR / 2).unwrap();
    // The later of both ends.
    assert!(matches!(judged(&filter), Judgement::InGrace { until } if until >= NOW + HOUR + HOUR / 2));
}

#[test]
fn a_removal_from_all_subjects_takes_effect_after_the_grace() {
    let (sql, mut filter) = database();
    let rules = Rules { grace_ms: 800, ..ALL };
    filter.remove(&sql, &subject("tenant=A"), &rules, NOW).unwrap();
    let event = subject("tenant=A user=u");
    let until = NOW + 800;
    let removed = Judgement::Removed {
        members: strings(&["tenant"]),
    };
    for (at, judgement) in [
        (NOW, Judgement::InGrace { until }),
        (until - 1, Judgement::InGrace { until }),
        (until, removed.clone()),
    ] {
        assert_eq!(filter.judge(&sql, &event, &rules, at), Ok(judgement));
    }
    // A second one, in effect at once, decides; adding it back leaves the first.
    filter.remove(&sql, &event, &ALL, NOW).unwrap();
    assert!(!filter.judge(&sql, &event, &rules, NOW).unwrap().wanted());
    filter.add(&sql, &event, true, &rules, NOW).unwrap();
    assert_eq!(
        filter.judge(&sql, &event, &rules, NOW),
        Ok(Judgement::InGrace { until })
    );
    filter.add(&sql, &subject("tenant=A"), true, &rules, NOW).unwrap();
    assert_eq!(filter.judge(&sql, &event, &rules, until), Ok(Judgement::ByDefault));
    assert_eq!((rows_in(&sql), filter.next_due()), (0, None));
}

/// The operator may change `default_subjects`: what does not count now is kept, and the receiver's last word on it too.
#[test]
fn additions_and_removals_outlast_a_change_of_the_default() {
    let (sql, mut filter) = database();
    filter.add(&sql, &subject("u"), true, &NONE, NOW).unwrap();
    filter.add(&sql, &subject("v"), true, &NONE, NOW).unwrap();
    filter.remove(&sql, &subject("w"), &ALL, NOW).unwrap();
    let judged = |filter: &Filter, rules: &Rules| {
        ["u", "v", "w", "x"].map(|id| filter.judge(&sql, &subject(id), rules, NOW).unwrap().wanted())
    };
    assert_eq!(judged(&filter, &NONE), [true, true, false, false]);
    assert_eq!(judged(&filter, &ALL), [true, true, false, true]);
    filter.remove(&sql, &subject("v"), &ALL, NOW).unwrap();
    filter.add(&sql, &subject("w"), true, &NONE, NOW).unwrap();
    assert_eq!(judged(&filter, &NONE), [true, false, true, false]);
    assert_eq!(judged(&filter, &ALL), [true, false, true, true]);
}

#[test]
fn what_is_too_much_is_refused_before_anything_is_written() {
    let (sql, mut filter) = database();
    let long = |n: usize| subject(&format!("{}=u", "n".repeat(n)));
    for (subject, error) in [
        (wide(MAX_MEMBERS + 1, "u"), FilterError::TooManyMembers),
        (long(MAX_NAME + 1), FilterError::NameTooLong),
    ] {
        assert_eq!(filter.add(&sql, &subject, true, &NONE, NOW), Err(error));
        assert!(filter.remove(&sql, &subject, &ALL, NOW).is_err());
        // It cannot be in there, so this is no error.
        assert_eq!(filter.add(&sql, &subject, true, &ALL, NOW), Ok(Change::Nothing));
        assert_eq!(filter.remove(&sql, &subject, &NONE, NOW), Ok(Change::Nothing));
    }
    assert_eq!(sql.take_written_rows(), 0);
    for accepted in [wide(MAX_MEMBERS, "u"), long(MAX_NAME)] {
        filter.add(&sql, &accepted, true, &NONE, NOW).unwrap();
    }
    for n in 2..MAX_SHAPES {
        let subject = subject(&format!("a{n}=u"));
        filter.add(&sql, &subject, true, &NONE, NOW).unwrap();
    }
    sql.take_written_rows();
    let more = subject("more=u");
    assert_eq!(
        filter.add(&sql, &more, true, &NONE, NOW),
        Err(FilterError::TooManyShapes)
    );
    assert_eq!(
        filter.remove(&sql, &subject("a2=u"), &ALL, NOW),
        Err(FilterError::TooManyShapes)
    );
    assert_eq!(sql.take_written_rows(), 0);
    assert_eq!(Filter::load(&sql).unwrap(), filter);
    // What leaves makes room when it is gone, not before; it may come back at any time.
    let grace = Rules { grace_ms: HOUR, ..NONE };
    let known = subject("a2=u");
    assert_eq!(filter.remove(&sql, &known, &grace, NOW), Ok(Change::Made));
    assert_eq!(
        filter.add(&sql, &more, true, &NONE, NOW),
        Err(FilterError::TooManyShapes)
    );
    assert_eq!(filter.add(&sql, &known, true, &NONE, NOW), Ok(Change::Made));
    assert_eq!(filter.remove(&sql, &known, &grace, NOW), Ok(Change::Made));
    filter.prune(&sql, NOW + 2 * HOUR).unwrap();
    assert_eq!(filter.add(&sql, &more, true, &NONE, NOW), Ok(Change::Made));
}

#[test]
fn a_fault_anywhere_in_a_change_leaves_all_of_it_or_nothing() {
    let grace = Rules { grace_ms: HOUR, ..NONE };
    let pending = Rules { grace_ms: HOUR, ..ALL };
    type Step = fn(&mut Filter, &TestSql, &Rules) -> Result<(), FilterError>;
    const CHANGED: &str = "tenant=A user=u device=d";
    let add: Step = |filter, sql, rules| filter.add(sql, &subject(CHANGED), true, rules, NOW).map(|_| ());
    let doubt: Step = |filter, sql, rules| filter.add(sql, &subject(CHANGED), false, rules, NOW).map(|_| ());
    let remove: Step = |filter, sql, rules| filter.remove(sql, &subject(CHANGED), rules, NOW).map(|_| ());
    let prune: Step = |filter, sql, _| Ok(filter.prune(sql, NOW + 3 * HOUR).map(|_| ())?);
    // What happened before, and what fails.
    for (before, change, rules) in [
        (vec![], add, NONE),
        (vec![(add, NONE)], doubt, NONE),
        (vec![(add, NONE)], remove, NONE),
        (vec![(add, NONE)], remove, grace),
        (vec![(add, NONE), (remove, grace)], add, NONE),
        (vec![(add, NONE), (remove, grace)], prune, NONE),
        (vec![], remove, pending),
        (vec![(remove, ALL)], add, ALL),
        (vec![(remove, ALL)], add, NONE),
        (vec![(add, NONE)], remove, pending),
    ] {
        let prepared = || {
            let (sql, mut filter) = database();
            for (step, rules) in &before {
                step(&mut filter, &sql, rules).unwrap();
            }
            (sql, filter)
        };
        let stored = |sql: &TestSql| {
            ["subject_shape", "subject_added", "subject_removed"]
                .map(|table| sql.exec(&format!("SELECT * FROM {table} ORDER BY 1"), &[]).unwrap())
        };
        let (sql, mut filter) = prepared();
        let nothing = stored(&sql);
        change(&mut filter, &sql, &rules).unwrap();
        let all = stored(&sql);
        assert_ne!(nothing, all);
        let mut failed = 0;
        loop {
            let outcomes = [Fault::Before(failed), Fault::After(failed)].map(|fault| {
                let (sql, mut filter) = prepared();
                sql.fail(fault);
                let result = sql.atomic(|sql| change(&mut filter, sql, &rules));
                assert_eq!(stored(&sql), if result.is_ok() { all.clone() } else { nothing.clone() });
                // Loaded again, the same change works.
                let mut filter = Filter::load(&sql).unwrap();
                change(&mut filter, &sql, &rules).unwrap();
                assert_eq!(stored(&sql), all);
                result.is_err()
            });
            if outcomes == [false, false] {
                break;
            }
            failed += 1;
        }
        assert!(failed >= 2, "there was more than one write to fail");
    }
}

#[test]
fn pruning_goes_on_until_all_is_gone_and_ended_subjects_do_not_count_meanwhile() {
    let (sql, mut filter) = database();
    let rules = Rules { grace_ms: 800, ..NONE };
    let subjects: Vec<_> = (0..PRUNE_ROWS)
        .map(|n| subject(&format!("tenant=A user={n}")))
        .collect();
    let others: Vec<_> = (0..20).map(|n| subject(&format!("a{n}=u"))).collect();
    for subject in subjects.iter().chain(&others) {
        filter.add(&sql, subject, true, &rules, NOW).unwrap();
        filter.remove(&sql, subject, &rules, NOW).unwrap();
    }
    let due = filter.next_due().unwrap();
    let event = subject("tenant=A device=d");
    let mut goes = 0;
    while let Some(at) = filter.next_due() {
        assert_eq!(at, due);
        assert_eq!(filter.judge(&sql, &event, &rules, due), Ok(Judgement::NotAdded));
        sql.take_written_rows();
        filter.prune(&sql, due).unwrap();
        assert!((1..=PRUNE_ROWS as u64).contains(&sql.take_written_rows()));
        filter = Filter::load(&sql).unwrap();
        goes += 1;
    }
    assert!((3..=4).contains(&goes));
    assert_eq!(rows_in(&sql), 0);
}
