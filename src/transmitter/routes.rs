//! Which streams want which event types, and which streams have to be told something.
//!
//! The routing table may be wider than the truth, never narrower: it is widened before a stream changes, and narrowed by what
//! the stream says of itself afterwards. Answers of a stream may overtake each other, so each names the revisions it is of.

use crate::delivery::sql::{Sql, SqlError};
use crate::protocol::list::insert_sorted;

use super::registry::{Child, SETTINGS_REV, next_rev, number, select};

/// Values that one statement binds at most, beside another one.
const MAX_BOUND: usize = 64;

/// Routes of a stream that has no preference: it may want any type.
const ANY: &str = "*";

/// Streams that were not told the newest terms yet, a bounded number of them, by id.
pub fn behind(sql: &dyn Sql, after: &str, limit: u32) -> Result<Vec<Child>, SqlError> {
    select(
        sql,
        "WHERE id > ? AND kind = 'stream' AND state = 'active' AND terms_rev < MAX(wanted_rev, ?) ORDER BY id LIMIT ?",
        &[
            after.into(),
            (number(sql, SETTINGS_REV, 1)? as i64).into(),
            limit.into(),
        ],
    )
}

/// Notes that a stream is about to change, and has to be told its terms with it or after it: until it has those of the
/// returned revision, it is behind.
pub fn put_behind(sql: &dyn Sql, stream_id: &str) -> Result<u64, SqlError> {
    let rev = next_rev(sql)?;
    sql.exec(
        "UPDATE child SET wanted_rev = ? WHERE id = ?",
        &[(rev as i64).into(), stream_id.into()],
    )?;
    Ok(rev)
}

/// What a stream says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Noted<'a> {
    pub stream_id: &'a str,
    /// Its delivery method.
    pub method: &'a str,
    /// `None`: no preference.
    pub requested: Option<&'a [String]>,
    /// The revision of its terms, and of the stream itself.
    pub terms_rev: u64,
    pub stream_rev: u64,
}

/// Notes what a stream is like now, and narrows its routes to exactly the types that it requests. An answer that was overtaken
/// by a later one, or was given before a change that is under way, is passed over.
pub fn note(sql: &dyn Sql, noted: &Noted<'_>) -> Result<(), SqlError> {
    let current = sql.exec(
        "UPDATE child SET terms_rev = ?, stream_rev = ?, label = ? WHERE id = ? AND wanted_rev <= ? AND stream_rev <= ? \
         RETURNING 1",
        &[
            (noted.terms_rev as i64).into(),
            (noted.stream_rev as i64).into(),
            noted.method.into(),
            noted.stream_id.into(),
            (noted.terms_rev as i64).into(),
            (noted.stream_rev as i64).into(),
        ],
    )?;
    if current.is_empty() {
        return Ok(());
    }
    let known = sql.exec(
        "SELECT event_type FROM route WHERE stream_id = ?",
        &[noted.stream_id.into()],
    )?;
    let wanted = route_types(noted.requested);
    let mut unwanted = Vec::new();
    for row in &known {
        if !wanted.contains(&row.text(0)?) {
            unwanted.push(row.text(0)?);
        }
    }
    // As many at once as a statement of the platform may bind.
    for some in unwanted.chunks(MAX_BOUND) {
        let marks = vec!["?"; some.len()].join(", ");
        let mut values = vec![noted.stream_id.into()];
        values.extend(some.iter().map(|event_type| (*event_type).into()));
        sql.exec(
            &format!("DELETE FROM route WHERE stream_id = ? AND event_type IN ({marks})"),
            &values,
        )?;
    }
    widen(sql, noted.stream_id, noted.requested)
}

/// Routes these types to a stream, beside those that are routed to it already. `None`: the stream has no preference.
pub fn widen(sql: &dyn Sql, stream_id: &str, requested: Option<&[String]>) -> Result<(), SqlError> {
    for event_type in route_types(requested) {
        sql.exec(
            "INSERT OR IGNORE INTO route (event_type, stream_id) VALUES (?, ?)",
            &[event_type.into(), stream_id.into()],
        )?;
    }
    Ok(())
}

/// Routes follow what is requested, not what is delivered: so they stay right when the tenant's settings change.
fn route_types(requested: Option<&[String]>) -> Vec<&str> {
    requested.map_or_else(|| vec![ANY], |types| types.iter().map(String::as_str).collect())
}

/// The streams that may want any of these event types, each once.
pub fn route(sql: &dyn Sql, event_types: &[String]) -> Result<Vec<String>, SqlError> {
    let mut streams = Vec::new();
    for event_type in event_types.iter().map(String::as_str).chain([ANY]) {
        for row in sql.exec("SELECT stream_id FROM route WHERE event_type = ?", &[event_type.into()])? {
            insert_sorted(&mut streams, row.text(0)?.to_owned());
        }
    }
    Ok(streams)
}
