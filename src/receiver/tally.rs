//! How many SETs came and what became of them: counted in memory, written down when something else is written. Those that were stored
//! since then are counted again from the inbox, so that a short life of the object needs no row of its own.

use serde::Serialize;

use crate::delivery::meta;
use crate::delivery::sql::{Sql, SqlError};
use crate::protocol::record::{self, Record};

use super::poller::Pace;

/// So many are counted again at most.
const MANY: u64 = 500;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Record)]
pub struct Tally {
    pub received: u64,
    pub duplicates: u64,
    pub refused: u64,
    pub discarded: u64,
    /// Unix milliseconds.
    pub last_event_at: Option<u64>,
    pub last_poll_at: Option<u64>,
    /// How polls go on: beside the counts, which are written after them.
    #[serde(default)]
    pub pace: Pace,
    /// The newest event of the inbox that is counted; `None` in rows of a version that did not say.
    #[serde(default)]
    upto: Option<i64>,
    /// `received` as it was written down.
    #[serde(default)]
    written: u64,
}

impl Tally {
    pub fn load(sql: &dyn Sql) -> Result<Self, SqlError> {
        let Some(text) = meta::get(sql, "tally")? else {
            let mut tally = Self::default();
            tally.catch_up(sql, 0)?;
            return Ok(tally);
        };
        let mut tally: Self = record::read(&text).map_err(|error| SqlError::corrupt("tally", error))?;
        tally.written = tally.received;
        if let Some(upto) = tally.upto {
            tally.catch_up(sql, upto)?;
        }
        Ok(tally)
    }

    /// Counts the events that came after this one.
    fn catch_up(&mut self, sql: &dyn Sql, upto: i64) -> Result<(), SqlError> {
        let rows = sql.exec(
            "SELECT COUNT(*), COALESCE(MAX(at), 0) FROM event WHERE seq > ?",
            &[upto.into()],
        )?;
        if let Some(row) = rows.first() {
            let number = |at| row.int(at).map(|number| u64::try_from(number).unwrap_or(0));
            self.received += number(0)?;
            self.last_event_at = self.last_event_at.max(Some(number(1)?).filter(|at| *at > 0));
        }
        Ok(())
    }

    /// It is time to write it down: counting again would take long.
    pub fn is_long(&self) -> bool {
        self.received >= self.written + MANY
    }

    /// One row.
    pub fn save(&mut self, sql: &dyn Sql) -> Result<(), SqlError> {
        let rows = sql.exec("SELECT COALESCE(MAX(seq), 0) FROM event", &[])?;
        self.upto = rows.first().map(|row| row.int(0)).transpose()?;
        self.written = self.received;
        meta::set(sql, "tally", &record::text(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::sql::testing::TestSql;
    use crate::receiver::source::MIGRATIONS;

    fn store(sql: &TestSql, at: i64) {
        sql.exec(
            "INSERT INTO event (at, key, intake, body) VALUES (?, x'00', '', '')",
            &[at.into()],
        )
        .unwrap();
    }

    /// A life that stores one event and ends without writing its counts.
    #[test]
    fn what_short_lives_stored_is_counted() {
        let sql = TestSql::default();
        meta::migrate(&sql, MIGRATIONS).unwrap();
        assert_eq!(Tally::load(&sql).unwrap(), Tally::default());
        for at in 1..=3 {
            store(&sql, at);
        }
        let mut tally = Tally::load(&sql).unwrap();
        assert_eq!((tally.received, tally.last_event_at), (3, Some(3)));
        tally.refused = 2;
        tally.save(&sql).unwrap();
        assert_eq!(Tally::load(&sql).unwrap(), tally, "none is counted twice");
        for at in 4..=600 {
            store(&sql, at);
        }
        let mut tally = Tally::load(&sql).unwrap();
        assert_eq!(
            (tally.received, tally.refused, tally.last_event_at),
            (600, 2, Some(600))
        );
        assert!(tally.is_long());
        tally.save(&sql).unwrap();
        assert!(!tally.is_long());
    }

    #[test]
    fn a_row_of_an_older_version_is_taken_as_it_is() {
        let sql = TestSql::default();
        meta::migrate(&sql, MIGRATIONS).unwrap();
        store(&sql, 1);
        let of_old = r#"{"received":7,"duplicates":0,"refused":0,"discarded":0,"last_event_at":null,"last_poll_at":5}"#;
        meta::set(&sql, "tally", of_old).unwrap();
        let mut tally = Tally::load(&sql).unwrap();
        assert_eq!(
            (tally.received, tally.last_poll_at, tally.pace),
            (7, Some(5), Pace::default())
        );
        tally.save(&sql).unwrap();
        store(&sql, 2);
        assert_eq!(Tally::load(&sql).unwrap().received, 8);
    }
}
