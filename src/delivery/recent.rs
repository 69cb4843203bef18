//! What was accepted lately, so that a publisher's retry is recognised.
//!
//! The chunks themselves are the record (they are kept at least this long); this is their index in memory, rebuilt from them
//! when an object wakes. All objects of an isolate share its memory, so it is kept small: sixteen bytes an id.

use std::collections::{HashMap, VecDeque};

use super::chunk::{Content, Jti, unpack};
use super::sql::{MAX_INT, Sql, SqlError};

/// How long an event id is remembered.
pub const REMEMBER_MS: u64 = 10 * 60 * 1000;

/// Most ids held at once (about 4 MiB); beyond it the oldest are forgotten before their ten minutes are over.
const MAX_REMEMBERED: usize = 262_144;

/// A page of ids is closed when it covers so much time, or so many ids.
const PAGE_MS: u64 = 60_000;
const PAGE_IDS: usize = 16_384;

/// Chunk rows read at a time while looking back.
const LOOK_BACK_ROWS: i64 = 8;

/// Eight bytes of a `jti`: enough to tell apart what fits into ten minutes.
type Prefix = [u8; 8];

/// The ids accepted within the last ten minutes and what they stood for. They are forgotten a page at a time.
#[derive(Debug, Default)]
pub struct Recent {
    closed: VecDeque<Page>,
    open: HashMap<Prefix, Content>,
    /// When the first and the last id of the open page were accepted.
    since: u64,
    until: u64,
}

/// Ids in their order, for looking up.
#[derive(Debug)]
struct Page {
    until: u64,
    ids: Box<[(Prefix, Content)]>,
}

impl Page {
    fn new(until: u64, mut ids: Vec<(Prefix, Content)>) -> Self {
        ids.sort_unstable();
        Self {
            until,
            ids: ids.into_boxed_slice(),
        }
    }
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
        let mut recent = Self::default();
        let mut ids = Vec::new();
        let mut until = 0;
        let mut below = MAX_INT;
        'back: loop {
            let rows = sql.exec(
                "SELECT seq, at, body FROM chunk WHERE seq < ? ORDER BY seq DESC LIMIT ?",
                &[below.into(), LOOK_BACK_ROWS.into()],
            )?;
            for row in &rows {
                below = row.int(0)?;
                let at = u64::try_from(row.int(1)?).unwrap_or(0);
                if at < since || recent.closed.len() * PAGE_IDS >= MAX_REMEMBERED {
                    break 'back;
                }
                if ids.len() >= PAGE_IDS || (until > at + PAGE_MS && !ids.is_empty()) {
                    recent.closed.push_front(Page::new(until, std::mem::take(&mut ids)));
                }
                if ids.is_empty() {
                    until = at;
                }
                let records = unpack(row.blob(2)?)?;
                ids.extend(records.iter().map(|record| (prefix(&record.jti), record.content)));
            }
            if (rows.len() as i64) < LOOK_BACK_ROWS {
                break;
            }
        }
        if !ids.is_empty() {
            recent.closed.push_front(Page::new(until, ids));
        }
        Ok(recent)
    }

    /// Looks an id up.
    pub fn look_up(&self, jti: &Jti, content: &Content) -> Seen {
        let prefix = prefix(jti);
        let closed = || {
            let found = |page: &Page| {
                let at = page.ids.binary_search_by_key(&prefix, |(prefix, _)| *prefix).ok()?;
                page.ids.get(at).map(|(_, content)| *content)
            };
            self.closed.iter().rev().find_map(found)
        };
        match self.open.get(&prefix).copied().or_else(closed) {
            None => Seen::New,
            Some(known) if known == *content => Seen::Again,
            Some(_) => Seen::Conflict,
        }
    }

    /// Remembers an accepted event.
    pub fn remember(&mut self, jti: &Jti, content: Content, at: u64) {
        if self.open.len() >= PAGE_IDS || at.saturating_sub(self.since) >= PAGE_MS {
            self.close();
        }
        if self.open.is_empty() {
            self.since = at;
        }
        self.until = at;
        self.open.insert(prefix(jti), content);
    }

    /// Forgets what is older than ten minutes.
    pub fn expire(&mut self, now: u64) {
        let since = now.saturating_sub(REMEMBER_MS);
        while self.closed.front().is_some_and(|page| page.until < since) {
            self.closed.pop_front();
        }
        if self.until < since {
            self.open.clear();
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            let ids = self.open.drain().collect();
            self.closed.push_back(Page::new(self.until, ids));
        }
        let mut kept: usize = self.closed.iter().map(|page| page.ids.len()).sum();
        while kept > MAX_REMEMBERED
            && let Some(oldest) = self.closed.pop_front()
        {
            kept -= oldest.ids.len();
        }
    }
}

fn prefix(jti: &Jti) -> Prefix {
    let [a, b, c, d, e, f, g, h, ..] = *jti;
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jti(n: u32) -> Jti {
        let mut jti = [0; 16];
        jti[..4].copy_from_slice(&n.to_be_bytes());
        jti
    }

    #[test]
    fn ids_are_known_for_ten_minutes_and_little_longer_whatever_came_between() {
        let mut recent = Recent::default();
        let at = |n: u32| 1_000_000 + u64::from(n) * 100;
        for n in 0..20_000 {
            recent.expire(at(n));
            recent.remember(&jti(n), [1; 8], at(n));
            for age in [0, 1, 599, 3000, 5999] {
                if let Some(old) = n.checked_sub(age) {
                    assert_eq!(recent.look_up(&jti(old), &[1; 8]), Seen::Again, "{n} {age}");
                    assert_eq!(recent.look_up(&jti(old), &[2; 8]), Seen::Conflict);
                }
            }
            if let Some(old) = n.checked_sub(6000 + 601) {
                assert_eq!(recent.look_up(&jti(old), &[1; 8]), Seen::New, "{n}");
            }
        }
        recent.expire(at(20_000) + REMEMBER_MS + PAGE_MS);
        assert!(recent.open.is_empty() && recent.closed.is_empty());
    }

    #[test]
    fn of_very_many_the_oldest_are_forgotten() {
        let mut recent = Recent::default();
        let many = (MAX_REMEMBERED + 3 * PAGE_IDS) as u32;
        for n in 0..many {
            recent.remember(&jti(n), [1; 8], 5);
        }
        assert_eq!(recent.look_up(&jti(0), &[1; 8]), Seen::New);
        assert_eq!(recent.look_up(&jti(many - MAX_REMEMBERED as u32), &[1; 8]), Seen::Again);
        let held: usize = recent.closed.iter().map(|page| page.ids.len()).sum();
        assert!(held <= MAX_REMEMBERED && recent.open.len() <= PAGE_IDS);
    }
}
