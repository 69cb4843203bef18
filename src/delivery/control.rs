//! Events about the stream itself: verification and stream-updated. They have a small table of their own and leave before the
//! events of the outbox, whose look-ahead they share: the outbox hands them out as its first items.

use std::collections::VecDeque;
use std::rc::Rc;

use super::chunk::{Jti, Lane};
use super::meta::Migration;
use super::outbox::{Item, Pos};
use super::sql::{Row, Sql, SqlError};

/// All control events of a stream go out one after the other.
pub const CONTROL_LANE: Lane = [0xff; 8];

/// Most control events of one kind that wait. The oldest of its kind makes room: what counts is how things stand now.
pub const MAX_WAITING: usize = 16;

/// The table of control events.
pub const SCHEMA: Migration = &[
    "CREATE TABLE control (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, at INTEGER NOT NULL, jti BLOB NOT NULL, \
     claims BLOB NOT NULL)",
];

/// What a control event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Verification,
    StreamUpdated,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Verification => "verification",
            Self::StreamUpdated => "stream-updated",
        }
    }
}

/// What may leave a stream now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Gate {
    #[default]
    Open,
    /// The stream is paused or disabled: its receiver hears of that, and of nothing else (SSF-8.1.5-2).
    UpdatesOnly,
    /// The endpoint did not agree to anything: nothing leaves.
    Closed,
}

/// The control events that wait, oldest first.
#[derive(Debug, Default)]
pub struct Control {
    waiting: VecDeque<(Kind, Item)>,
    last_id: i64,
    /// Answered, but their rows are still there.
    done: Vec<i64>,
}

impl Control {
    pub fn load(sql: &dyn Sql) -> Result<Self, SqlError> {
        let mut control = Self::default();
        for row in sql.exec("SELECT id, kind, at, jti, claims FROM control ORDER BY id", &[])? {
            let (kind, item) = read(row)?;
            control.last_id = -item.pos.seq;
            control.waiting.push_back((kind, item));
        }
        Ok(control)
    }

    /// Adds an event: one row, two when the oldest of its kind makes room.
    pub fn add(&mut self, sql: &dyn Sql, kind: Kind, jti: Jti, claims: Vec<u8>, now: u64) -> Result<(), SqlError> {
        self.last_id += 1;
        let id = self.last_id;
        sql.exec(
            "INSERT INTO control (id, kind, at, jti, claims) VALUES (?, ?, ?, ?, ?)",
            &[
                id.into(),
                kind.name().into(),
                (now as i64).into(),
                jti.as_slice().into(),
                claims.as_slice().into(),
            ],
        )?;
        self.waiting.push_back((kind, item(id, jti, claims, now)));
        if self.waiting.iter().filter(|(waiting, _)| *waiting == kind).count() > MAX_WAITING
            && let Some(at) = self.waiting.iter().position(|(waiting, _)| *waiting == kind)
            && let Some((_, oldest)) = self.waiting.remove(at)
        {
            sql.exec("DELETE FROM control WHERE id = ?", &[(-oldest.pos.seq).into()])?;
        }
        Ok(())
    }

    /// What may go out, in order.
    pub fn waiting(&self, gate: Gate) -> impl Iterator<Item = &Item> {
        self.waiting
            .iter()
            .filter(move |(kind, _)| match gate {
                Gate::Open => true,
                Gate::UpdatesOnly => *kind == Kind::StreamUpdated,
                Gate::Closed => false,
            })
            .map(|(_, item)| item)
    }

    /// Whether an event of this kind waits.
    pub fn has(&self, kind: Kind) -> bool {
        self.waiting.iter().any(|(waiting, _)| *waiting == kind)
    }

    pub fn get(&self, pos: Pos) -> Option<&Item> {
        self.waiting.iter().map(|(_, item)| item).find(|item| item.pos == pos)
    }

    /// Takes an event out, in memory. False when it is not there any more.
    pub fn done(&mut self, pos: Pos) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|(_, item)| item.pos != pos);
        let found = self.waiting.len() < before;
        if found {
            self.done.push(-pos.seq);
        }
        found
    }

    /// Deletes the rows of what is done.
    pub fn flush(&mut self, sql: &dyn Sql) -> Result<(), SqlError> {
        for id in self.done.drain(..) {
            sql.exec("DELETE FROM control WHERE id = ?", &[id.into()])?;
        }
        Ok(())
    }

    /// Forgets the events of a kind that wait: what they say is not so any more.
    pub fn drop_all(&mut self, sql: &dyn Sql, kind: Kind) -> Result<(), SqlError> {
        if self.has(kind) {
            self.waiting.retain(|(waiting, _)| *waiting != kind);
            sql.exec("DELETE FROM control WHERE kind = ?", &[kind.name().into()])?;
        }
        Ok(())
    }
}

/// Control events stand before the first chunk: their places are negative.
fn item(id: i64, jti: Jti, claims: Vec<u8>, at: u64) -> Item {
    let pos = Pos { seq: -id, idx: 0 };
    let claims = Rc::new(claims);
    Item::whole(pos, jti, CONTROL_LANE, at, claims)
}

fn read(mut row: Row) -> Result<(Kind, Item), SqlError> {
    let kind = match row.text(1)? {
        "verification" => Kind::Verification,
        "stream-updated" => Kind::StreamUpdated,
        other => return Err(SqlError::corrupt("control", other)),
    };
    let jti = Jti::try_from(row.blob(3)?).map_err(|error| SqlError::corrupt("control", error))?;
    let at = u64::try_from(row.int(2)?).unwrap_or(0);
    Ok((kind, item(row.int(0)?, jti, row.take_blob(4)?, at)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::meta::migrate;
    use crate::delivery::sql::testing::TestSql;

    fn control() -> (TestSql, Control) {
        let sql = TestSql::default();
        migrate(&sql, &[SCHEMA]).unwrap();
        let control = Control::load(&sql).unwrap();
        (sql, control)
    }

    fn jtis(control: &Control, gate: Gate) -> Vec<u8> {
        control.waiting(gate).map(|item| item.jti[0]).collect()
    }

    #[test]
    fn only_stream_updated_passes_a_pause_and_order_survives_a_restart() {
        let (sql, mut control) = control();
        control.add(&sql, Kind::Verification, [1; 16], vec![1], 5).unwrap();
        control.add(&sql, Kind::StreamUpdated, [2; 16], vec![2], 6).unwrap();
        control.add(&sql, Kind::Verification, [3; 16], vec![3], 7).unwrap();
        let control = Control::load(&sql).unwrap();
        assert_eq!(jtis(&control, Gate::Open), [1, 2, 3]);
        assert_eq!(jtis(&control, Gate::UpdatesOnly), [2]);
        assert!(jtis(&control, Gate::Closed).is_empty());
        let first = control.waiting(Gate::Open).next().unwrap();
        assert_eq!((first.claims(), first.at, first.lane), (&[1_u8][..], 5, CONTROL_LANE));
    }

    #[test]
    fn what_is_done_goes_with_the_next_flush_and_ids_do_not_come_back() {
        let (sql, mut control) = control();
        control.add(&sql, Kind::Verification, [1; 16], vec![1], 5).unwrap();
        let first = control.waiting(Gate::Open).next().unwrap().pos;
        assert!(control.done(first));
        assert!(!control.done(first));
        assert_eq!(Control::load(&sql).unwrap().waiting.len(), 1, "not flushed yet");
        control.flush(&sql).unwrap();
        assert!(Control::load(&sql).unwrap().waiting.is_empty());
        control.add(&sql, Kind::Verification, [2; 16], vec![2], 6).unwrap();
        assert_ne!(control.waiting(Gate::Open).next().unwrap().pos, first);
    }

    #[test]
    fn the_oldest_of_its_kind_makes_room_and_other_kinds_stay() {
        let (sql, mut control) = control();
        control.add(&sql, Kind::StreamUpdated, [99; 16], vec![], 0).unwrap();
        for n in 0..=MAX_WAITING as u8 {
            control.add(&sql, Kind::Verification, [n; 16], vec![], 1).unwrap();
        }
        let reloaded = Control::load(&sql).unwrap();
        for control in [&control, &reloaded] {
            let waiting = jtis(control, Gate::Open);
            assert_eq!(waiting.len(), MAX_WAITING + 1);
            assert_eq!((waiting[0], waiting[1]), (99, 1));
        }
        control.drop_all(&sql, Kind::Verification).unwrap();
        assert_eq!(jtis(&Control::load(&sql).unwrap(), Gate::Open), [99]);
        assert!(!control.has(Kind::Verification) && control.has(Kind::StreamUpdated));
    }
}
