//! Looking for received events: by type, by subject, by time. What is looked for stands in small columns beside the body of
//! each event, so that a row is written for an event and none for finding it; a request looks at a bounded number of rows, and
//! its cursor goes on behind them.

use serde::Serialize;
use serde_json::Value as Json;

use crate::delivery::sql::{MAX_INT, Sql, SqlError, Value};
use crate::protocol::record::Record;
use crate::protocol::subject;

use super::inbox::{self, Accepted, Stored};
use crate::protocol::received::Received;

/// Rows that one request looks at.
pub const SCAN_ROWS: i64 = 5000;

/// Candidates that are taken up at once.
const AT_ONCE: i64 = 200;

/// Bytes of raw events in one page, and read at once; the first event is given whatever its size.
const PAGE_BYTES: i64 = 1024 * 1024;

/// A subject with more names than this is found by looking at the event itself.
const MAX_NAMES: usize = 64;

/// Clocks go back a little now and then: events may stand in another order than their times.
const SLACK_MS: u64 = 60_000;

/// What is looked for; what is absent is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Record)]
pub struct Search {
    #[serde(default)]
    pub event_type: Option<String>,
    /// The whole subject of an event, a member of it, or an alias.
    #[serde(default)]
    pub subject: Option<Json>,
    /// Received then or later, in Unix milliseconds.
    #[serde(default)]
    pub since: Option<u64>,
    /// Received before.
    #[serde(default)]
    pub until: Option<u64>,
}

/// What a request found.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    pub events: Vec<Stored>,
    /// Everything up to here was looked at.
    pub cursor: i64,
    /// Whether that was all there is.
    pub is_all: bool,
}

/// The columns of an event that finding it takes: its type, and a name for its subject, for each member and each alias of
/// it, eight bytes each. Nothing where the event has to be looked at.
pub fn columns(event: &Accepted) -> (Value, Value) {
    let names = names(&event.sub_id);
    let about = (names.len() <= MAX_NAMES).then(|| names.concat());
    (event.event_type.as_str().into(), about.into())
}

fn names(sub_id: &Json) -> Vec<[u8; 8]> {
    parts(sub_id).into_iter().map(subject::lane_key).collect()
}

/// A subject, its members, and the identifiers of whatever of these is an `aliases`.
fn parts(sub_id: &Json) -> Vec<&Json> {
    let mut parts = vec![sub_id];
    for (_, member) in subject::members(sub_id).unwrap_or_default() {
        parts.push(member);
    }
    let is_aliases = |part: &&Json| part.get("format").and_then(Json::as_str) == Some(subject::ALIASES);
    let aliases = parts.clone().into_iter().filter(is_aliases);
    let aliases = aliases.filter_map(|part| part.get("identifiers")?.as_array()).flatten();
    parts.extend(aliases);
    parts
}

/// The events after a cursor that are looked for, in order of arrival: at most `limit`, and fewer when they are long or rare.
pub fn find(sql: &dyn Sql, wanted: &Search, after: i64, limit: u32) -> Result<Page, SqlError> {
    let newest = inbox::newest(sql)?;
    let mut from = inbox::first_after(sql, after)?.unwrap_or(newest + 1);
    if let Some(since) = wanted.since {
        from = from.max(first_at(sql, since.saturating_sub(SLACK_MS), from, newest)?);
    }
    let end = match wanted.until {
        Some(until) => first_at(sql, until.saturating_add(SLACK_MS), from, newest)? - 1,
        None => newest,
    };
    let last = end.min(from.saturating_add(SCAN_ROWS - 1));
    let mut page = Page {
        events: Vec::new(),
        // What comes after the end is too late for what is looked for.
        cursor: after.max(if last >= end { newest } else { last }),
        is_all: last >= end,
    };
    let mut bytes = 0;
    while from <= last {
        let (some, goes_on) = candidates(sql, wanted, from, last, limit)?;
        for (event, length) in some {
            from = event.seq + 1;
            let received = needs_a_look(wanted).then(|| Received::read(&event.set)).flatten();
            if !is_wanted(wanted, received.as_ref()) {
                continue;
            }
            bytes += length;
            let full = page.events.len() >= limit as usize || bytes > PAGE_BYTES;
            if full && !page.events.is_empty() {
                page.cursor = event.seq - 1;
                page.is_all = false;
                return Ok(page);
            }
            page.events.push(event);
        }
        if !goes_on {
            break;
        }
        if page.events.len() >= limit as usize {
            page.cursor = from - 1;
            page.is_all = false;
            break;
        }
    }
    Ok(page)
}

/// Some of the events that may be those, by their columns, with their lengths; and whether there may be others behind them.
fn candidates(
    sql: &dyn Sql,
    wanted: &Search,
    from: i64,
    last: i64,
    limit: u32,
) -> Result<(Vec<(Stored, i64)>, bool), SqlError> {
    const LOOK: &str = "FROM event WHERE seq BETWEEN ?1 AND ?2 AND (?3 IS NULL OR type IS NULL OR type = ?3) \
                        AND (?4 IS NULL OR about IS NULL OR instr(about, ?4) > 0) AND at >= ?5 AND at < ?6 \
                        ORDER BY seq LIMIT ?7";
    let name = wanted.subject.as_ref().map(subject::lane_key);
    let at = |at: Option<u64>, otherwise| at.map_or(otherwise, |at| i64::try_from(at).unwrap_or(MAX_INT).min(MAX_INT));
    let values = |last: i64, most: i64| -> [Value; 7] {
        [
            from.into(),
            last.into(),
            wanted.event_type.as_deref().into(),
            name.as_ref().map(<[u8; 8]>::as_slice).into(),
            at(wanted.since, 0).into(),
            at(wanted.until, MAX_INT).into(),
            most.into(),
        ]
    };
    let most = AT_ONCE.min(i64::from(limit) + 1);
    let lengths = sql.exec(&format!("SELECT seq, LENGTH(body) {LOOK}"), &values(last, most))?;
    let (mut fitting, mut bytes, mut until) = (0, 0, from);
    for row in &lengths {
        bytes += row.int(1)?;
        if fitting > 0 && bytes > PAGE_BYTES {
            break;
        }
        fitting += 1;
        until = row.int(0)?;
    }
    if fitting == 0 {
        return Ok((Vec::new(), false));
    }
    let goes_on = fitting < lengths.len() || lengths.len() as i64 == most;
    let rows = sql.exec(
        &format!("SELECT seq, at, intake, body, LENGTH(body) {LOOK}"),
        &values(until, most),
    )?;
    let events = rows.iter().map(|row| Ok((inbox::stored(row)?, row.int(4)?)));
    Ok((events.collect::<Result<_, SqlError>>()?, goes_on))
}

fn needs_a_look(wanted: &Search) -> bool {
    wanted.event_type.is_some() || wanted.subject.is_some()
}

/// The columns only say what may be: names are short, and events of before there were columns have none.
fn is_wanted(wanted: &Search, received: Option<&Received>) -> bool {
    let Some(received) = received else {
        return !needs_a_look(wanted);
    };
    let is_type = |wanted: &String| *wanted == received.event_type;
    let is_subject = |wanted: &Json| {
        let wanted = subject::identity(wanted);
        let mut parts = parts(&received.sub_id).into_iter();
        parts.any(|part| subject::identity(part) == wanted)
    };
    wanted.event_type.as_ref().is_none_or(is_type) && wanted.subject.as_ref().is_none_or(is_subject)
}

/// The first event from `from` on that was received at this instant or later, by halves; the one after `newest` when none was.
fn first_at(sql: &dyn Sql, at: u64, from: i64, newest: i64) -> Result<i64, SqlError> {
    let (mut low, mut high) = (from, newest + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let rows = sql.exec(
            "SELECT at FROM event WHERE seq >= ? ORDER BY seq LIMIT 1",
            &[middle.into()],
        )?;
        let is_before = match rows.first() {
            Some(row) => u64::try_from(row.int(0)?).unwrap_or(0) < at,
            None => false,
        };
        if is_before {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
