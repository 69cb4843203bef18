//! What is kept of delivered events, and for how long: for replays all of it, for recognising ids at least their heads.

use super::{Outbox, Sql, SqlError};
use crate::delivery::chunk::{Content, Jti, stripped};
use crate::delivery::recent::{Recent, Seen};

/// Rows deleted in one go when old chunks are pruned, so that one turn stays short.
const PRUNE_ROWS: i64 = 500;

impl Outbox {
    /// Takes the events out of chunks that are done. What is left of them recognises their ids.
    pub(super) fn strip(&self, sql: &dyn Sql, below: i64) -> Result<(), SqlError> {
        for seq in self.stripped_to..below {
            let rows = sql.exec("SELECT body FROM chunk WHERE seq = ?", &[seq.into()])?;
            if let Some(row) = rows.first() {
                let body = stripped(row.blob(0)?)?;
                sql.exec("UPDATE chunk SET body = ? WHERE seq = ?", &[body.into(), seq.into()])?;
            }
        }
        Ok(())
    }

    /// Deletes delivered chunks that were accepted before `before`, a bounded number at a time. Returns when the oldest
    /// remaining delivered chunk was accepted, if there is one.
    pub fn prune(&self, sql: &dyn Sql, before: u64) -> Result<Option<u64>, SqlError> {
        let head = self.head().seq;
        sql.exec(
            "DELETE FROM chunk WHERE at < ? AND seq IN (SELECT seq FROM chunk WHERE seq < ? ORDER BY seq LIMIT ?)",
            &[(before as i64).into(), head.into(), PRUNE_ROWS.into()],
        )?;
        self.oldest_delivered(sql)
    }

    /// When the oldest delivered chunk that is still kept was accepted.
    pub fn oldest_delivered(&self, sql: &dyn Sql) -> Result<Option<u64>, SqlError> {
        let rows = sql.exec(
            "SELECT at FROM chunk WHERE seq < ? ORDER BY seq LIMIT 1",
            &[self.head().seq.into()],
        )?;
        rows.first()
            .map(|row| row.int(0).map(|at| u64::try_from(at).unwrap_or(0)))
            .transpose()
    }

    /// Whether this event was not accepted before, as far as that is remembered.
    pub fn is_new(&mut self, sql: &dyn Sql, jti: &Jti, content: &Content, now: u64) -> Result<bool, SqlError> {
        Ok(self.recent(sql, now)?.look_up(jti, content) == Seen::New)
    }

    pub(super) fn recent(&mut self, sql: &dyn Sql, now: u64) -> Result<&mut Recent, SqlError> {
        let recent = match &mut self.recent {
            Some(recent) => recent,
            none => none.insert(Recent::load(sql, now)?),
        };
        recent.expire(now);
        Ok(recent)
    }
}
