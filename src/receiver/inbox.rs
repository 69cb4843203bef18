//! Received events: each stored once, in order of arrival, read by cursor.
//!
//! De-duplication goes by issuer and `jti` and records only what was stored, together with it: an event that could not be
//! stored is answered with an error and will be accepted when it comes again.

use serde::Serialize;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::delivery::meta::Migration;
use crate::delivery::sql::{Row, Sql, SqlError, Value};
use crate::protocol::record::{self, Record};

use super::search;

/// The tables of an inbox.
pub const SCHEMA: Migration = &[
    "CREATE TABLE event (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, key BLOB NOT NULL, intake TEXT NOT NULL, body TEXT NOT NULL)",
    "CREATE TABLE seen (key BLOB PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID",
];

/// Type and subject of an event in columns of their own: looking for events does not take their bodies apart. They stand behind
/// the body, which costs nothing where an event fits on its page, as most do; before it, millions of events would have to be
/// copied at once.
pub const SEARCH_SCHEMA: Migration = &[
    "ALTER TABLE event ADD COLUMN type TEXT",
    "ALTER TABLE event ADD COLUMN about BLOB",
];

/// Most rows deleted in one go.
const PRUNE_ROWS: i64 = 500;

/// How an event was checked, for whoever reads it later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Record)]
pub struct IntakeRecord {
    pub kid: Option<String>,
    pub alg: String,
    /// `cached`, or `fetched` when the issuer's keys were fetched for this event.
    pub keys: KeysFrom,
    /// Time to get the keys, in milliseconds.
    pub keys_ms: u64,
    /// Time to verify the signature, in milliseconds.
    pub verify_ms: u64,
}

/// Where the verifying keys came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Record)]
#[serde(rename_all = "snake_case")]
pub enum KeysFrom {
    Cached,
    Fetched,
}

/// An accepted event to be stored.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
pub struct Accepted {
    pub iss: String,
    pub jti: String,
    pub event_type: String,
    pub sub_id: Json,
    /// The SET as received, or a CloudEvent in the JSON format.
    pub set: String,
    pub intake: IntakeRecord,
}

/// A stored event.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
pub struct Stored {
    pub seq: i64,
    /// When it was stored, in Unix milliseconds.
    pub at: u64,
    pub set: String,
    pub intake: IntakeRecord,
}

/// What storing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Record)]
#[serde(rename_all = "snake_case")]
pub enum StoreOutcome {
    Stored,
    /// It was there already: the transmitter gets the same answer (PUSH-2-7).
    Duplicate,
}

/// Whether this event is there already.
pub fn is_known(sql: &dyn Sql, iss: &str, jti: &str) -> Result<bool, SqlError> {
    let rows = sql.exec("SELECT 1 FROM seen WHERE key = ?", &[key(iss, jti).into()])?;
    Ok(!rows.is_empty())
}

/// Stores an event once: two rows, and none for a duplicate.
pub fn store(sql: &dyn Sql, event: &Accepted, now: u64) -> Result<StoreOutcome, SqlError> {
    let key = key(&event.iss, &event.jti);
    // Sequence numbers go on after everything was pruned: a reader's cursor must never point past new events.
    let remember = "INSERT INTO seen (key, seq) SELECT ?, COALESCE(MAX(seq), 0) + 1 FROM event WHERE true \
                    ON CONFLICT DO NOTHING RETURNING seq";
    let Some(seq) = number(sql, remember, &[key.as_slice().into()])? else {
        return Ok(StoreOutcome::Duplicate);
    };
    let intake = record::text(&event.intake);
    let (event_type, about) = search::columns(event);
    sql.exec(
        "INSERT INTO event (seq, at, key, type, about, intake, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
        &[
            seq.into(),
            (now as i64).into(),
            key.as_slice().into(),
            event_type,
            about,
            intake.into(),
            event.set.as_str().into(),
        ],
    )?;
    Ok(StoreOutcome::Stored)
}

/// The number of the event that was stored last; 0 before the first one.
pub fn newest(sql: &dyn Sql) -> Result<i64, SqlError> {
    number(sql, "SELECT MAX(seq) FROM event", &[]).map(|newest| newest.unwrap_or(0))
}

/// The number of the first event after a cursor.
pub fn first_after(sql: &dyn Sql, after: i64) -> Result<Option<i64>, SqlError> {
    number(sql, "SELECT MIN(seq) FROM event WHERE seq > ?", &[after.into()])
}

fn number(sql: &dyn Sql, statement: &str, values: &[Value]) -> Result<Option<i64>, SqlError> {
    let rows = sql.exec(statement, values)?;
    rows.first().map_or(Ok(None), |row| row.optional_int(0))
}

/// A row of sequence number, time, intake and body.
pub(super) fn stored(row: &Row) -> Result<Stored, SqlError> {
    Ok(Stored {
        seq: row.int(0)?,
        at: u64::try_from(row.int(1)?).unwrap_or(0),
        intake: record::read(row.text(2)?).map_err(|error| SqlError::corrupt("intake", error))?,
        set: row.text(3)?.to_owned(),
    })
}

/// Lets events stored before `before` go, a bounded number at a time and never the newest: its number is where the next one
/// goes on. Returns when the oldest of the rest was stored, if more than the newest is left.
pub fn prune(sql: &dyn Sql, before: u64) -> Result<Option<u64>, SqlError> {
    // They lie in the order of their times, but for small steps of the clock: what lies behind the first that stays is not
    // looked at. This is asked often, and an inbox may hold millions.
    let first = oldest(sql)?;
    if first.is_none_or(|at| at >= before) {
        return Ok(first);
    }
    let old = "SELECT MAX(seq) FROM (SELECT seq, at FROM event WHERE seq < (SELECT MAX(seq) FROM event) \
               ORDER BY seq LIMIT ?) WHERE at < ?";
    if let Some(last) = number(sql, old, &[PRUNE_ROWS.into(), (before as i64).into()])? {
        sql.exec(
            "DELETE FROM seen WHERE key IN (SELECT key FROM event WHERE seq <= ?)",
            &[last.into()],
        )?;
        sql.exec("DELETE FROM event WHERE seq <= ?", &[last.into()])?;
    }
    oldest(sql)
}

/// When the oldest event that may be pruned one day was stored.
pub fn oldest(sql: &dyn Sql) -> Result<Option<u64>, SqlError> {
    let rows = sql.exec(
        "SELECT at FROM event WHERE seq < (SELECT MAX(seq) FROM event) ORDER BY seq LIMIT 1",
        &[],
    )?;
    rows.first()
        .map(|row| row.int(0).map(|at| u64::try_from(at).unwrap_or(0)))
        .transpose()
}

/// Issuer and `jti` with their lengths kept apart, so that no pair can stand for another.
fn key(iss: &str, jti: &str) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update((iss.len() as u64).to_le_bytes());
    hash.update(iss.as_bytes());
    hash.update(jti.as_bytes());
    hash.finalize().iter().take(16).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::meta::migrate;
    use crate::delivery::sql::testing::{Fault, TestSql};
    use crate::receiver::search::{Search, find};

    fn read(sql: &TestSql, after: i64, limit: u32) -> Result<Vec<Stored>, SqlError> {
        find(sql, &Search::default(), after, limit).map(|page| page.events)
    }

    fn database() -> TestSql {
        let sql = TestSql::default();
        migrate(&sql, &[SCHEMA, SEARCH_SCHEMA]).unwrap();
        sql.take_written_rows();
        sql
    }

    fn event(iss: &str, jti: &str) -> Accepted {
        Accepted {
            iss: iss.into(),
            jti: jti.into(),
            event_type: "urn:t".into(),
            sub_id: Json::Null,
            set: format!("set of {iss} {jti}"),
            intake: IntakeRecord {
                kid: Some("k".into()),
                alg: "RS256".into(),
                keys: KeysFrom::Cached,
                keys_ms: 0,
                verify_ms: 1,
            },
        }
    }

    /// PUSH-2-7, PUSH-2.2-1, pitfall 13.
    #[test]
    fn an_event_is_stored_once_by_issuer_and_jti() {
        let sql = database();
        assert_eq!(store(&sql, &event("a", "1"), 5).unwrap(), StoreOutcome::Stored);
        assert_eq!(sql.take_written_rows(), 2);
        assert_eq!(store(&sql, &event("a", "1"), 6).unwrap(), StoreOutcome::Duplicate);
        assert_eq!(sql.take_written_rows(), 0);
        assert_eq!(store(&sql, &event("b", "1"), 7).unwrap(), StoreOutcome::Stored);
        assert_eq!(
            store(&sql, &event("a1", ""), 7).unwrap(),
            StoreOutcome::Stored,
            "not the same as a, 1"
        );
        let read = read(&sql, 0, 10).unwrap();
        assert_eq!(read.iter().map(|stored| stored.seq).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(read[0].set, "set of a 1");
    }

    #[test]
    fn a_page_of_long_events_is_short_and_reading_on_misses_none() {
        let sql = database();
        for n in 0..5 {
            let mut long = event("a", &n.to_string());
            long.set = "x".repeat(600_000);
            store(&sql, &long, n).unwrap();
        }
        let mut cursor = 0;
        let mut pages = Vec::new();
        while let Some(last) = read(&sql, cursor, 100).unwrap().last() {
            pages.push(last.seq - cursor);
            cursor = last.seq;
        }
        assert_eq!(pages, [1, 1, 1, 1, 1]);
    }

    #[test]
    fn a_fault_while_storing_leaves_the_event_to_come_again() {
        for fault in [Fault::Before(0), Fault::After(0), Fault::Before(1), Fault::After(1)] {
            let sql = database();
            sql.fail(fault);
            assert!(sql.atomic(|sql| store(sql, &event("a", "1"), 5)).is_err());
            assert_eq!(
                store(&sql, &event("a", "1"), 6).unwrap(),
                StoreOutcome::Stored,
                "{fault:?}"
            );
            assert_eq!(read(&sql, 0, 10).unwrap().len(), 1);
        }
    }

    /// It is looked for at every turn of a source's run.
    #[test]
    fn what_is_not_old_yet_costs_nothing_to_look_for() {
        let steps = |events: u64| {
            let sql = database();
            for n in 0..events {
                store(&sql, &event("a", &n.to_string()), 1000 + n).unwrap();
            }
            sql.take_steps();
            assert_eq!(prune(&sql, 1000).unwrap(), Some(1000));
            let steps = sql.take_steps();
            oldest(&sql).unwrap();
            assert_eq!(
                steps,
                sql.take_steps(),
                "the newest and the oldest are read, and no other"
            );
            steps
        };
        assert_eq!(steps(2000), steps(2));
        // Some that are old are no reason to look at all the others.
        let steps = |events: u64| {
            let sql = database();
            for n in 0..events {
                store(&sql, &event("a", &n.to_string()), 1000 + n).unwrap();
            }
            sql.take_steps();
            assert_eq!(prune(&sql, 1010).unwrap(), Some(1010));
            sql.take_steps()
        };
        assert_eq!(steps(2000), steps(1000));
    }

    #[test]
    fn a_cursor_reads_every_event_once_and_never_points_past_new_ones() {
        let sql = database();
        for n in 0..5 {
            store(&sql, &event("a", &n.to_string()), n).unwrap();
        }
        let first = read(&sql, 0, 2).unwrap();
        let cursor = first.last().unwrap().seq;
        assert_eq!(read(&sql, cursor, 10).unwrap().len(), 3);
        assert_eq!(prune(&sql, 3).unwrap(), Some(3));
        assert_eq!(prune(&sql, 100).unwrap(), None);
        let newest = read(&sql, 0, 10).unwrap();
        assert_eq!(newest.len(), 1, "the newest stays");
        store(&sql, &event("a", "9"), 200).unwrap();
        assert_eq!(read(&sql, newest[0].seq, 10).unwrap().len(), 1);
        assert_eq!(store(&sql, &event("a", "9"), 201).unwrap(), StoreOutcome::Duplicate);
        assert_eq!(
            store(&sql, &event("a", "0"), 201).unwrap(),
            StoreOutcome::Stored,
            "forgotten with its event"
        );
    }
}
