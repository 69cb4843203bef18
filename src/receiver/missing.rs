//! Keys that tokens name and the transmitter does not publish, or not yet. Its document may come from a cache that is older than a
//! new key, and a refusal is the end of an event: only keys that two fetches did not bring are missing for good.
//!
//! Kept in a row: whoever polls sleeps between two fetches, and would begin anew each time it wakes.

use serde::Serialize;

use crate::delivery::meta;
use crate::delivery::sql::{Sql, SqlError};
use crate::protocol::push::clip;
use crate::protocol::record::{self, Record};

/// So many are remembered; with more the oldest goes.
const MOST: usize = 16;

/// Of a `kid` so many bytes are remembered.
const MAX_KID: usize = 256;

#[derive(Default, Serialize, Record)]
struct Missing {
    /// Each with the instant at which a token named it first.
    kids: Vec<(String, u64)>,
}

/// Whether the key of this name is missing for good. A token that named it came at `came_at`; it `is_missing` in the document that
/// was fetched at `fetched_at`. A row for a name that is new here, and for one that was found.
pub fn for_good(
    sql: &dyn Sql,
    kid: &str,
    is_missing: bool,
    came_at: u64,
    fetched_at: u64,
    interval_ms: u64,
) -> Result<bool, SqlError> {
    let kid = clip(kid, MAX_KID);
    let mut missing: Missing = match meta::get(sql, "missing_kids")? {
        Some(text) => record::read(&text).map_err(|error| SqlError::corrupt("missing_kids", error))?,
        None => Missing::default(),
    };
    let known = missing.kids.iter().position(|(known, _)| known == kid);
    let since = known
        .and_then(|at| missing.kids.get(at))
        .map_or(came_at, |(_, since)| *since);
    // Two fetches after a token named it: the first may have been at once, the second not before the interval was over.
    let is_lost = is_missing && fetched_at >= since.saturating_add(interval_ms);
    match known {
        Some(at) if !is_missing => {
            missing.kids.remove(at);
        }
        None if is_missing && !is_lost => {
            if missing.kids.len() >= MOST {
                missing.kids.remove(0);
            }
            missing.kids.push((kid.to_owned(), came_at));
        }
        _ => return Ok(is_lost),
    }
    meta::set(sql, "missing_kids", &record::text(&missing))?;
    Ok(is_lost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::sql::testing::TestSql;
    use crate::receiver::source::MIGRATIONS;

    fn sql() -> TestSql {
        let sql = TestSql::default();
        meta::migrate(&sql, MIGRATIONS).unwrap();
        sql.take_written_rows();
        sql
    }

    /// Pitfalls 16 and 28: no event of a rotation is lost, and no key that never was holds the others up for long.
    #[test]
    fn a_key_is_missing_for_good_after_two_fetches() {
        let sql = sql();
        let look = |kid, is_missing, came_at, fetched_at| {
            let lost = for_good(&sql, kid, is_missing, came_at, fetched_at, 60_000).unwrap();
            (lost, sql.take_written_rows())
        };
        assert_eq!(
            look("new", true, 1000, 1005),
            (false, 1),
            "fetched for it, and not there"
        );
        assert_eq!(look("new", true, 30_000, 1005), (false, 0), "the same document");
        assert_eq!(look("other", true, 30_000, 1005), (false, 1));
        assert_eq!(look("new", true, 61_000, 61_005), (true, 0));
        assert_eq!(
            look("new", true, 61_010, 61_005),
            (true, 0),
            "each of those after it, at once"
        );
        assert_eq!(
            look("other", true, 61_010, 61_005),
            (false, 0),
            "one fetch since it was named"
        );
        assert_eq!(look("other", false, 122_000, 122_005), (false, 1), "it has come");
        assert_eq!(look("other", false, 122_000, 122_005), (false, 0));
        assert_eq!(
            look("other", true, 200_000, 200_005),
            (false, 1),
            "and gone: from the beginning"
        );
    }

    #[test]
    fn who_wants_no_interval_is_refused_at_once() {
        assert_eq!(for_good(&sql(), "new", true, 1000, 1005, 0), Ok(true));
    }

    #[test]
    fn invented_names_fill_nothing() {
        let sql = sql();
        for n in 0..100 {
            let kid = format!("{n} {}", "x".repeat(10_000));
            assert_eq!(for_good(&sql, &kid, true, n, n, 60_000), Ok(false));
        }
        let text = meta::get(&sql, "missing_kids").unwrap().unwrap();
        assert!(text.len() < MOST * (MAX_KID + 20), "{}", text.len());
        assert_eq!(
            for_good(&sql, &format!("99 {}", "x".repeat(300)), true, 0, 60_099, 60_000),
            Ok(true)
        );
    }
}
