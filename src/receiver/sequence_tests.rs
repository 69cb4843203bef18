use serde_json::json;

use super::*;
use crate::delivery::sql::testing::TestSql;
use crate::receiver::inbox::{Accepted, IntakeRecord, KeysFrom, store};

const GRACE: u64 = 1000;

struct World {
    sql: TestSql,
    order: Order,
    now: u64,
}

impl World {
    fn new() -> Self {
        let sql = TestSql::default();
        meta::migrate(&sql, crate::receiver::source::MIGRATIONS).unwrap();
        Self {
            order: Order::load(&sql).unwrap(),
            sql,
            now: 10_000,
        }
    }

    /// An event is received, a millisecond after the one before.
    fn come(&mut self, source: &str, sequence: &str) {
        self.now += 1;
        let raw = json!({"specversion": "1.0", "id": self.now.to_string(), "source": source, "type": "t",
                         "sequence": sequence, "data": {"sub_id": {"format": "opaque", "id": "1"}}});
        let event = Accepted {
            iss: source.into(),
            jti: self.now.to_string(),
            event_type: "t".into(),
            sub_id: json!({"format": "opaque", "id": "1"}),
            set: raw.to_string(),
            intake: IntakeRecord {
                kid: None,
                alg: "none".into(),
                keys: KeysFrom::Cached,
                keys_ms: 0,
                verify_ms: 0,
            },
        };
        store(&self.sql, &event, self.now).unwrap();
        let received = Received::read(&event.set).unwrap();
        self.sql.take_written_rows();
        self.order.take_in(&self.sql, &received, self.now).unwrap();
    }

    fn numbers(&mut self, source: &str, numbers: &[u64]) {
        for number in numbers {
            self.come(source, &format!("{number:020}"));
        }
    }

    fn wait(&mut self) {
        self.now += GRACE;
        self.order.keep_time(&self.sql, GRACE, self.now).unwrap();
    }

    fn told(&self) -> Vec<(u64, u64)> {
        self.order.told().iter().map(|hole| (hole.from, hole.to)).collect()
    }

    fn problem(&self) -> Option<String> {
        let problems = Problems::load(&self.sql).unwrap();
        let found = problems.list.into_iter().find(|problem| problem.code == PROBLEM);
        found.map(|problem| problem.detail)
    }
}

#[test]
fn a_hole_is_told_of_after_a_while_and_ends_when_what_was_missing_comes() {
    let mut world = World::new();
    world.numbers("a", &[7, 8, 11]);
    assert_eq!(
        world.sql.take_written_rows(),
        0,
        "nothing is written for what may still come"
    );
    assert_eq!(world.order.due_at(GRACE), Some(10_003 + GRACE));
    assert_eq!((world.told(), world.problem()), (vec![], None));
    world.wait();
    assert_eq!(world.told(), [(9, 10)]);
    assert_eq!(world.problem().as_deref(), Some("of a the numbers 9 to 10 are missing"));
    assert_eq!(world.order.due_at(GRACE), None);
    world.numbers("a", &[12, 10]);
    assert_eq!(world.told(), [(9, 9)]);
    assert_eq!(world.problem().as_deref(), Some("of a the numbers 9 to 9 are missing"));
    world.numbers("a", &[9]);
    assert_eq!((world.told(), world.problem()), (vec![], None));
}

#[test]
fn events_that_overtake_each_other_leave_no_hole_and_cost_nothing() {
    let mut world = World::new();
    world.numbers("a", &[1]);
    for start in (2..200).step_by(6) {
        world.numbers("a", &[start + 3, start, start + 5, start + 1, start + 4, start + 2]);
        assert_eq!(world.sql.take_written_rows(), 0);
    }
    assert_eq!(world.order.due_at(GRACE), None);
}

#[test]
fn each_source_has_an_order_of_its_own_and_other_texts_have_none() {
    let mut world = World::new();
    world.numbers("a", &[1, 2]);
    world.numbers("b", &[10, 11]);
    world.come("c", "x");
    world.come("c", "z");
    world.come("c", "-5");
    world.come("c", "99999999999999999999999");
    world.numbers("a", &[3]);
    world.numbers("b", &[14]);
    world.wait();
    assert_eq!(world.told(), [(12, 13)]);
    assert!(world.problem().is_some());
    // One that counts from the beginning again is no hole, and those of before are none any more.
    world.numbers("b", &[100]);
    world.numbers("a", &[5]);
    world.numbers("b", &[1, 2, 3]);
    world.wait();
    assert_eq!(world.told(), [(4, 4)], "only that of another");
    world.numbers("a", &[4]);
    assert_eq!((world.told(), world.problem()), (vec![], None));
    world.numbers("b", &[5]);
    world.wait();
    assert_eq!(world.told(), [(4, 4)]);
}

/// The first of all may be the one that is tried again.
#[test]
fn a_first_event_that_is_late_is_no_new_beginning() {
    let mut world = World::new();
    world.numbers("a", &[2, 3, 1, 4]);
    world.wait();
    assert_eq!(world.told(), []);
}

/// Storage that remembers the longest answer.
struct Measured<'a>(&'a TestSql, std::cell::Cell<usize>);

impl Sql for Measured<'_> {
    fn exec(
        &self,
        statement: &str,
        values: &[crate::delivery::sql::Value],
    ) -> Result<Vec<crate::delivery::sql::Row>, SqlError> {
        let rows = self.0.exec(statement, values)?;
        let bytes: usize = rows.iter().filter_map(|row| row.text(2).ok()).map(str::len).sum();
        self.1.set(self.1.get().max(bytes));
        Ok(rows)
    }
}

/// All that was not counted yet is read when the object begins, and an isolate has 128 MB.
#[test]
fn long_events_are_counted_a_few_at_a_time() {
    let mut world = World::new();
    let source = format!("https://tx.example/{}", "x".repeat(1900));
    for n in 0..150 {
        world.numbers(&source, &[2 * n + 1]);
    }
    let measured = Measured(&world.sql, std::cell::Cell::default());
    assert!(Order::load(&measured).unwrap() == world.order);
    assert!(measured.1.get() < 25 * 2200, "{}", measured.1.get());
}

#[test]
fn the_operator_ends_holes_and_a_restart_forgets_none() {
    let mut world = World::new();
    world.numbers("a", &[1, 3, 6]);
    for _ in 0..2 {
        world.order = Order::load(&world.sql).unwrap();
        world.wait();
        assert_eq!(world.told(), [(2, 2), (4, 5)]);
        assert!(world.problem().is_some_and(|detail| detail.ends_with("1 more holes")));
    }
    world.order.acknowledge(&world.sql, world.now).unwrap();
    assert_eq!((world.told(), world.problem()), (vec![], None));
    world.order = Order::load(&world.sql).unwrap();
    world.numbers("a", &[7]);
    world.wait();
    assert_eq!(world.told(), []);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut world = World::new();
    for n in 0..300_u64 {
        world.numbers("a", &[2 * n + 1]);
    }
    for n in 0..100 {
        world.numbers(&format!("s{n}"), &[1]);
        world.numbers("a", &[601 + n]);
    }
    world.wait();
    assert_eq!(world.told().len(), MAX_HOLES);
    assert_eq!(world.order.senders.len(), MAX_SENDERS);
    assert!(Order::load(&world.sql).unwrap() == world.order);
    for n in 0..1200 {
        world.numbers("a", &[701 + n]);
    }
    let kept: Order = record::read(&meta::get(&world.sql, ORDER).unwrap().unwrap()).unwrap();
    assert!(inbox::newest(&world.sql).unwrap() - kept.upto < CHECKPOINT);
}
