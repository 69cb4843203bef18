//! How often each host is asked for its consent (WH-4.1-14): whoever may create streams must not be able to turn us on others.

use crate::delivery::meta::Migration;
use crate::delivery::sql::{Sql, SqlError};

/// The table of a tenant's questions, of the last ten minutes.
pub const SCHEMA: Migration = &["CREATE TABLE asked (id INTEGER PRIMARY KEY, host TEXT NOT NULL, at INTEGER NOT NULL)"];

/// So long a question counts.
const WITHIN_MS: u64 = 600_000;

/// Counts a question to `host` (with its port) at `now`, or says how many milliseconds to wait where the last ten minutes had
/// `most` of them.
pub fn ask(sql: &dyn Sql, host: &str, most: u32, now: u64) -> Result<Result<(), u64>, SqlError> {
    let over = now.saturating_sub(WITHIN_MS) as i64;
    sql.exec("DELETE FROM asked WHERE at <= ?", &[over.into()])?;
    let at = sql.exec(
        "SELECT at FROM asked WHERE host = ? ORDER BY at DESC LIMIT 1 OFFSET ?",
        &[host.into(), (i64::from(most) - 1).into()],
    )?;
    if let Some(row) = at.first() {
        let at = u64::try_from(row.int(0)?).unwrap_or(0);
        return Ok(Err((at + WITHIN_MS).saturating_sub(now).max(1)));
    }
    sql.exec(
        "INSERT INTO asked (host, at) VALUES (?, ?)",
        &[host.into(), (now as i64).into()],
    )?;
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::meta::migrate;
    use crate::delivery::sql::testing::TestSql;

    #[test]
    fn a_host_is_asked_so_often_and_then_again_when_the_first_is_ten_minutes_old() {
        let sql = TestSql::default();
        migrate(&sql, &[SCHEMA]).unwrap();
        let now = 1_795_262_400_000;
        for n in 0..3 {
            assert_eq!(ask(&sql, "rp.example:443", 3, now + n * 1000), Ok(Ok(())));
        }
        assert_eq!(ask(&sql, "rp.example:443", 3, now + 5000), Ok(Err(WITHIN_MS - 5000)));
        assert_eq!(ask(&sql, "rp.example:8443", 3, now + 5000), Ok(Ok(())), "another host");
        assert_eq!(ask(&sql, "rp.example:443", 3, now + WITHIN_MS), Ok(Ok(())));
        assert_eq!(ask(&sql, "rp.example:443", 3, now + WITHIN_MS), Ok(Err(1000)));
    }
}
