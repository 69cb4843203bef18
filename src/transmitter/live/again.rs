//! Sending again: dead letters that are given another chance, and replays of what was delivered.

use super::Live;
use crate::delivery::chunk::Jti;
use crate::delivery::dead_letters::{self, Chosen, DeadLetter};
use crate::delivery::outbox::{AppendError, Pos, Replayed, Search};
use crate::delivery::sql::{Sql, SqlError};
use crate::protocol::status::Status;

/// What became of one go at sending dead letters again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redriven {
    /// Letters that were found, and those that are in the outbox again.
    pub found: u64,
    pub letters: u64,
    /// Whether another go may find more. Without it the rest does not fit into the outbox, or there is none.
    pub go_on: bool,
}

/// Why nothing is replayed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    #[error("This service keeps no delivered events: RETENTION_S is 0.")]
    NothingKept,
    #[error("The stream is disabled: it neither sends nor holds events.")]
    Disabled,
    #[error(transparent)]
    Sql(#[from] SqlError),
}

impl Live {
    /// Puts dead letters back into the outbox, at its end, in the order in which they died: the same events with the same
    /// `jti`. One bounded go; a letter is in exactly one of the two places, always. Of all letters only those up to the id
    /// `newest` are meant: what dies again meanwhile is not.
    pub fn redrive(&mut self, sql: &dyn Sql, chosen: Chosen, newest: i64, now: u64) -> Result<Redriven, SqlError> {
        let letters = dead_letters::batch(sql, chosen, newest)?;
        let mut fitting = letters.as_slice();
        // What does not fit whole may fit in part.
        loop {
            let items: Vec<_> = fitting.iter().map(|letter| &letter.item).collect();
            match self.outbox.append_again(sql, &items, now) {
                Ok(()) => break,
                Err(AppendError::Sql(error)) => return Err(error),
                Err(AppendError::Full | AppendError::Conflict { .. }) => {
                    fitting = fitting.get(..fitting.len() / 2).unwrap_or_default();
                }
            }
        }
        for DeadLetter { id, .. } in fitting {
            dead_letters::remove(sql, *id)?;
        }
        Ok(Redriven {
            found: letters.len() as u64,
            letters: fitting.len() as u64,
            go_on: chosen == Chosen::All && !fitting.is_empty(),
        })
    }

    /// From which instant on (Unix milliseconds) events are kept for a replay.
    pub fn replayable_since(&self, now: u64) -> Result<u64, ReplayError> {
        if self.rules.retention_ms == 0 {
            return Err(ReplayError::NothingKept);
        }
        if self.stream.wishes.status() == Status::Disabled {
            return Err(ReplayError::Disabled);
        }
        Ok(now.saturating_sub(self.rules.retention_ms))
    }

    /// Looks for an event to replay from, a bounded number of rows at a time: see [`Search`]. What is older than the retention
    /// is not kept any more, even if it is still there.
    pub fn search(&self, sql: &dyn Sql, jti: &Jti, above: i64, now: u64) -> Result<Search, ReplayError> {
        let since = self.replayable_since(now)?;
        Ok(match self.outbox.search(sql, jti, above)? {
            Search::Found(place, at) if at < since && place < self.outbox.head() => Search::Above(place.seq),
            search => search,
        })
    }

    /// Everything from this place on waits once more. Answers to what is under way mean nothing any more.
    pub fn replay(&mut self, sql: &dyn Sql, from: Option<Pos>, now: u64) -> Result<Replayed, ReplayError> {
        self.replayable_since(now)?;
        let Some(from) = from else {
            return Ok(Replayed { events: 0, from: None });
        };
        self.replays += 1;
        let kept = self.courier.kept();
        let replayed = self.outbox.rewind(sql, from, &kept)?;
        self.flushed_at = now;
        self.unflushed = 0;
        self.follow_status(sql, false, now)?;
        Ok(replayed)
    }
}
