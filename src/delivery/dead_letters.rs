//! Events that could not be delivered, kept with the reason until somebody looks.

use super::chunk::Jti;
use super::sql::{Sql, SqlError};

/// Oldest letters go when there are more: the table is for people to read, not a second outbox.
pub const MAX_DEAD_LETTERS: i64 = 10_000;

/// Why an event ended here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// The receiver's error code, or ours (`given_up`, `too_large`, …) where it gave none.
    pub err: String,
    pub description: String,
    /// Attempts made, the last included.
    pub attempts: u32,
}

/// A stored dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub id: i64,
    /// When it was given up, in Unix milliseconds.
    pub at: u64,
    pub jti: Jti,
    pub death: Death,
    pub claims: Vec<u8>,
}

/// The statement that makes the table; part of the outbox's first migration.
pub const CREATE: &str = "CREATE TABLE dead (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, jti BLOB NOT NULL, \
     attempts INTEGER NOT NULL, err TEXT NOT NULL, description TEXT NOT NULL, claims BLOB NOT NULL)";

/// Adds a letter and lets the oldest go beyond the bound: one row written, two at the bound.
pub fn add(sql: &dyn Sql, at: u64, jti: &Jti, death: &Death, claims: &[u8]) -> Result<(), SqlError> {
    sql.exec(
        "INSERT INTO dead (at, jti, attempts, err, description, claims) VALUES (?, ?, ?, ?, ?, ?)",
        &[
            (at as i64).into(),
            jti.as_slice().into(),
            death.attempts.into(),
            death.err.as_str().into(),
            death.description.as_str().into(),
            claims.into(),
        ],
    )?;
    sql.exec(
        "DELETE FROM dead WHERE id <= (SELECT MAX(id) FROM dead) - ?",
        &[MAX_DEAD_LETTERS.into()],
    )
    .map(|_| ())
}

/// How many letters there are.
pub fn count(sql: &dyn Sql) -> Result<u64, SqlError> {
    let rows = sql.exec("SELECT COUNT(*) FROM dead", &[])?;
    rows.first()
        .map_or(Ok(0), |row| Ok(u64::try_from(row.int(0)?).unwrap_or(0)))
}

/// Letters with an id above `after`, oldest first.
pub fn list(sql: &dyn Sql, after: i64, limit: u32) -> Result<Vec<DeadLetter>, SqlError> {
    sql.exec(
        "SELECT id, at, jti, attempts, err, description, claims FROM dead WHERE id > ? ORDER BY id LIMIT ?",
        &[after.into(), limit.into()],
    )?
    .iter()
    .map(|row| {
        Ok(DeadLetter {
            id: row.int(0)?,
            at: u64::try_from(row.int(1)?).unwrap_or(0),
            jti: Jti::try_from(row.blob(2)?).map_err(|error| SqlError::corrupt("dead letter", error))?,
            death: Death {
                attempts: u32::try_from(row.int(3)?).unwrap_or(u32::MAX),
                err: row.text(4)?.to_owned(),
                description: row.text(5)?.to_owned(),
            },
            claims: row.blob(6)?.to_vec(),
        })
    })
    .collect()
}
