//! What was accepted lately, so that a publisher's retry is recognised.
//!
//! The chunks themselves are the record (they are kept at least this long); this is their index in memory, rebuilt from them
//! when an object wakes.

use std::collections::{HashMap, VecDeque};

use super::chunk::{Content, Jti, unpack};
use super::sql::{Sql, SqlError};

/// How long an event id is remembered.
pub const REMEMBER_MS: u64 = 10 * 60 * 1000;

/// Most ids held at once (about 16 MiB); beyond it the oldest are forgotten before their ten minutes are over.
const MAX_REMEMBERED: usize = 262_144;

/// Chunk rows read at a time while looking back.
const LOOK_BACK_ROWS: i64 = 8;

/// Eight bytes of a `jti`: enough to tell apart what fits into ten minutes.
type Prefix = [u8; 8];

/// The ids accepted within the last ten minutes and what they stood for.
#[derive(Debug, Default)]
pub struct Recent {
    contents: HashMap<Prefix, Content>,
    order: VecDeque<(u64, Prefix)>,
}

/// What a publisher's id means when it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    New,
    /// The same event again: nothing to store.
    Again,
    /// The id is taken by another event.
    Conflict,
}

impl Recent {
    /// Rebuilds the index from the chunks of the last ten minutes.
    pub fn load(sql: &dyn Sql, now: u64) -> Result<Self, SqlError> {
        let since = now.saturating_sub(REMEMBER_MS);
        let mut chunks = Vec::new();
        let mut below = i64::MAX >> 11; // 2^53 - 1: the largest integer the edge can bind
        'back: loop {
            let rows = sql.exec(
                "SELECT seq, at, body FROM chunk WHERE seq < ? ORDER BY seq DESC LIMIT ?",
                &[below.into(), LOOK_BACK_ROWS.into()],
            )?;
            let full = rows.len() as i64 == LOOK_BACK_ROWS;
            for row in &rows {
                below = row.int(0)?;
                let at = u64::try_from(row.int(1)?).unwrap_or(0);
                if at < since {
                    break 'back;
                }
                chunks.push((at, unpack(row.blob(2)?)?));
            }
            if !full {
                break;
            }
        }
        let mut recent = Self::default();
        for (at, records) in chunks.into_iter().rev() {
            for record in records {
                recent.remember(&record.jti, record.content, at);
            }
        }
        Ok(recent)
    }

    /// Looks an id up.
    pub fn look_up(&self, jti: &Jti, content: &Content) -> Seen {
        match self.contents.get(&prefix(jti)) {
            None => Seen::New,
            Some(known) if known == content => Seen::Again,
            Some(_) => Seen::Conflict,
        }
    }

    /// Remembers an accepted event.
    pub fn remember(&mut self, jti: &Jti, content: Content, at: u64) {
        let prefix = prefix(jti);
        if self.contents.insert(prefix, content).is_none() {
            self.order.push_back((at, prefix));
        }
        if self.order.len() > MAX_REMEMBERED {
            self.forget_first();
        }
    }

    /// Forgets what is older than ten minutes.
    pub fn expire(&mut self, now: u64) {
        let since = now.saturating_sub(REMEMBER_MS);
        while self.order.front().is_some_and(|(at, _)| *at < since) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, prefix)) = self.order.pop_front() {
            self.contents.remove(&prefix);
        }
    }
}

fn prefix(jti: &Jti) -> Prefix {
    let [a, b, c, d, e, f, g, h, ..] = *jti;
    [a, b, c, d, e, f, g, h]
}
