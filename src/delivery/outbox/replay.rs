//! Going to a place in the outbox: where delivery had come to, or back to events that were delivered and are still kept.

use crate::delivery::sql::MAX_INT;

use super::{HEAD, Jti, Outbox, Pos, Sql, SqlError, Sum, sum, unpack};

/// Chunk rows read at a time while looking for an event.
const SEARCH_ROWS: i64 = 8;

/// How far a search for an event came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// There, and accepted at this instant (Unix milliseconds).
    Found(Pos, u64),
    /// Not up to this chunk: go on above it.
    Above(i64),
    /// Nowhere among what is kept.
    NotKept,
}

/// What waits once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    pub events: u64,
    /// The first of them, and when it was accepted, in Unix milliseconds.
    pub from: Option<(Jti, u64)>,
}

impl Outbox {
    /// The first event of what was accepted at this instant (Unix milliseconds) or later.
    pub fn first_since(&self, sql: &dyn Sql, since: u64) -> Result<Option<Pos>, SqlError> {
        let since = i64::try_from(since).unwrap_or(MAX_INT).min(MAX_INT);
        let rows = sql.exec(
            "SELECT seq FROM chunk WHERE at >= ? ORDER BY seq LIMIT 1",
            &[since.into()],
        )?;
        rows.first().map(|row| Ok(Pos::of(row.int(0)?))).transpose()
    }

    /// Looks for an event, from the oldest on, a few chunks at a time: `above` is what the search before said. An event that was
    /// sent again from the dead letters lies twice; it was accepted at its first place.
    pub fn search(&self, sql: &dyn Sql, jti: &Jti, above: i64) -> Result<Search, SqlError> {
        let rows = sql.exec(
            "SELECT seq, at, body FROM chunk WHERE seq > ? ORDER BY seq LIMIT ?",
            &[above.into(), SEARCH_ROWS.into()],
        )?;
        let mut last = None;
        for row in &rows {
            let seq = row.int(0)?;
            let records = unpack(row.blob(2)?)?;
            let found = (0_u32..)
                .zip(&records)
                .find(|(_, record)| record.jti == *jti && !record.claims.is_empty());
            if let Some((idx, _)) = found {
                let at = u64::try_from(row.int(1)?).unwrap_or(0);
                return Ok(Search::Found(Pos { seq, idx }, at));
            }
            last = Some(seq);
        }
        Ok(last.map_or(Search::NotKept, Search::Above))
    }

    /// Everything from `to` on waits once more, and nothing before it that is done. Answers to what is under way mean
    /// nothing from here on, and only what is handed out anew can be acknowledged. One row.
    pub fn rewind(&mut self, sql: &dyn Sql, to: Pos, courier: &str) -> Result<Replayed, SqlError> {
        let rows = sql.exec("SELECT n_before, at, body FROM chunk WHERE seq = ?", &[to.seq.into()])?;
        let Some(row) = rows.first() else {
            return Ok(Replayed { events: 0, from: None });
        };
        let before = u64::try_from(row.int(0)?).unwrap_or(0) + u64::from(to.idx);
        let at = u64::try_from(row.int(1)?).unwrap_or(0);
        let first = unpack(row.blob(2)?)?.get(to.idx as usize).map(|record| record.jti);
        if to < self.head() {
            self.start_at(sql, to)?;
        } else {
            // What waits before it goes on waiting.
            for item in self.window.iter_mut().filter(|item| item.pos >= to && item.acked) {
                item.acked = false;
                self.done.take(item);
                self.pending.add(item);
            }
        }
        self.handed = self.handed.min(to);
        self.stripped_to = self.stripped_to.min(to.seq);
        self.flush(sql, courier)?;
        Ok(Replayed {
            events: self.stored.events.saturating_sub(before),
            from: first.map(|jti| (jti, at)),
        })
    }

    /// Begins at `head`, wherever the look-ahead was, with nothing from there on acknowledged.
    pub(super) fn start_at(&mut self, sql: &dyn Sql, head: Pos) -> Result<(), SqlError> {
        self.clear_window();
        self.next = head;
        self.done = self.stored_before(sql, head.seq)?;
        if head.idx > 0 {
            let rows = sql.exec("SELECT body FROM chunk WHERE seq = ?", &[head.seq.into()])?;
            if let Some(row) = rows.first() {
                for record in unpack(row.blob(0)?)?.iter().take(head.idx as usize) {
                    self.done.events += 1;
                    self.done.bytes += (HEAD + record.claims.len()) as u64;
                }
            }
        }
        self.refill(sql)
    }

    /// What was stored before this chunk.
    pub(super) fn stored_before(&self, sql: &dyn Sql, seq: i64) -> Result<Sum, SqlError> {
        let rows = sql.exec(
            "SELECT n_before, bytes_before FROM chunk WHERE seq >= ? ORDER BY seq LIMIT 1",
            &[seq.into()],
        )?;
        rows.first().map_or(Ok(self.stored), |row| sum(row, 0))
    }
}
