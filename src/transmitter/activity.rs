//! Whether a receiver is still there (SSF-8.1.1-13 to SSF-8.1.1-16). A receiver is active when it calls the management API for
//! the stream or polls it; that it takes our pushes does not count (SSF-8.1.1-15).
//!
//! Every call moves the instant, but not every call may cost a row. So it is written down only when it moved by a tenth of
//! the timeout, and after a restart that tenth is granted on top: a stream is never called inactive too early.

use crate::delivery::meta;
use crate::delivery::sql::{Sql, SqlError};

const KEY: &str = "active_at";

/// When the receiver of a stream was last active. All times in Unix milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Activity {
    /// At the latest; after a restart it may have been earlier.
    last: u64,
    written: u64,
}

impl Activity {
    /// What is known after a restart.
    pub fn load(sql: &dyn Sql, created_at: u64, timeout_ms: u64) -> Result<Self, SqlError> {
        let written = meta::number(sql, KEY)?.unwrap_or(created_at);
        Ok(Self {
            last: written + slack(timeout_ms),
            written,
        })
    }

    /// The receiver is active now. Writes at most one row, and that seldom; none at all without a timeout.
    pub fn touch(&mut self, sql: &dyn Sql, now: u64, timeout_ms: u64) -> Result<(), SqlError> {
        self.last = now;
        if timeout_ms > 0 && now.saturating_sub(self.written) >= slack(timeout_ms).max(1) {
            meta::set(sql, KEY, &now.to_string())?;
            self.written = now;
        }
        Ok(())
    }

    /// The timeout is another one from now on: nobody could know of it before, so it counts from here. One row.
    pub fn start_anew(&mut self, sql: &dyn Sql, now: u64) -> Result<(), SqlError> {
        self.last = now;
        self.written = now;
        meta::set(sql, KEY, &now.to_string())
    }

    /// When the receiver counts as gone, if it does nothing until then. `None`: never.
    pub fn ends_at(&self, timeout_ms: u64) -> Option<u64> {
        (timeout_ms > 0).then(|| self.last + timeout_ms)
    }
}

fn slack(timeout_ms: u64) -> u64 {
    timeout_ms / 10
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::meta::migrate;
    use crate::delivery::sql::testing::TestSql;

    #[test]
    fn calls_move_the_end_and_few_of_them_cost_a_row() {
        let sql = TestSql::default();
        migrate(&sql, &[]).unwrap();
        sql.take_written_rows();
        let timeout = 10_000;
        let mut activity = Activity::load(&sql, 500, timeout).unwrap();
        for now in 1000..3000 {
            activity.touch(&sql, now, timeout).unwrap();
        }
        assert_eq!(activity.ends_at(timeout), Some(2999 + timeout));
        assert_eq!(sql.take_written_rows(), 2, "every tenth of the timeout");
        let restarted = Activity::load(&sql, 500, timeout).unwrap();
        assert!(
            restarted.ends_at(timeout) >= activity.ends_at(timeout),
            "never too early"
        );
        assert!(restarted.ends_at(timeout) <= activity.ends_at(timeout).map(|end| end + timeout / 10));
    }

    #[test]
    fn without_a_timeout_nothing_ends_and_nothing_is_written() {
        let sql = TestSql::default();
        migrate(&sql, &[]).unwrap();
        sql.take_written_rows();
        let mut activity = Activity::load(&sql, 500, 0).unwrap();
        activity.touch(&sql, 5000, 0).unwrap();
        assert_eq!((activity.ends_at(0), sql.take_written_rows()), (None, 0));
        activity.start_anew(&sql, 9000).unwrap();
        let restarted = Activity::load(&sql, 500, 1000).unwrap();
        assert!(
            restarted.ends_at(1000) >= Some(10_000),
            "a timeout that comes later counts from then"
        );
    }
}
