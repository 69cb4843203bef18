//! What waits to be delivered: chunk rows in order, and one cursor row that says how far delivery has come.
//!
//! Accepted events lie in `chunk` until they are acknowledged and their time is over. In memory there is only the look-ahead:
//! the events from the head on, at most [`LOOK_AHEAD_EVENTS`] of them or [`LOOK_AHEAD_BYTES`]. Acknowledgements move the head
//! and are written down in [`Outbox::flush`]; what was acknowledged but not flushed is sent again after a crash, never lost.
//!
//! Control events (see [`super::control`]) wait here too, before all others; while the gate is not open nothing else leaves.
//!
//! After any [`SqlError`] the outbox in memory may differ from the stored one: drop it and load it again.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::rc::Rc;

use serde::Serialize;
use thiserror::Error;

use super::chunk::{Jti, Lane, NewItem, pack, unpack};
use super::control::{Control, Gate, Kind};
use super::dead_letters::{self, Death};
use super::meta::Migration;
use super::recent::{Recent, Seen};
use super::sql::{Row, Sql, SqlError};
use crate::protocol::record::Record;

/// Events that delivery may look past a stuck one; also the most that a poll client can have outstanding.
pub const LOOK_AHEAD_EVENTS: usize = 1024;
/// The same bound in bytes of claims, whichever is reached first.
pub const LOOK_AHEAD_BYTES: usize = 1024 * 1024;

/// Rows deleted in one go when old chunks are pruned, so that one alarm stays short.
const PRUNE_ROWS: i64 = 500;

/// Tables of an outbox. `body` stands last so that counting chunks does not read them.
pub const FIRST_SCHEMA: Migration = &[
    "CREATE TABLE chunk (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, n INTEGER NOT NULL, bytes INTEGER NOT NULL, \
     body BLOB NOT NULL)",
    "CREATE TABLE cursor (one INTEGER PRIMARY KEY CHECK (one = 1), head_seq INTEGER NOT NULL, head_idx INTEGER NOT NULL, \
     acked BLOB NOT NULL, handed_seq INTEGER NOT NULL, handed_idx INTEGER NOT NULL, courier TEXT NOT NULL)",
    "INSERT INTO cursor VALUES (1, 1, 0, x'', 1, 0, '')",
    dead_letters::CREATE,
];

/// The place of an event: its chunk, and its index in there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pos {
    pub seq: i64,
    pub idx: u32,
}

/// An event within the look-ahead.
#[derive(Debug, Clone)]
pub struct Item {
    pub pos: Pos,
    pub jti: Jti,
    pub lane: Lane,
    /// When it was accepted, in Unix milliseconds.
    pub at: u64,
    pub acked: bool,
    body: Rc<Vec<u8>>,
    claims: Range<usize>,
}

impl Item {
    /// An item whose claims are all of `body`.
    pub fn whole(pos: Pos, jti: Jti, lane: Lane, at: u64, body: Rc<Vec<u8>>) -> Self {
        Self {
            pos,
            jti,
            lane,
            at,
            acked: false,
            claims: 0..body.len(),
            body,
        }
    }

    /// The claims to sign: the same bytes on every attempt.
    pub fn claims(&self) -> &[u8] {
        self.body.get(self.claims.clone()).unwrap_or_default()
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Appended {
    pub stored: usize,
    /// Events that had been accepted before, under the same id and with the same content.
    pub again: usize,
}

#[derive(Debug, PartialEq, Eq, Error)]
pub enum AppendError {
    /// The event at `index` carries an id that lately stood for another event. Nothing of the batch was stored.
    #[error("event {index} has an id that was used for another event within the last ten minutes")]
    Conflict { index: usize },
    #[error(transparent)]
    Sql(#[from] SqlError),
}

/// How much waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Record)]
pub struct Queued {
    pub events: u64,
    pub bytes: u64,
    /// When the oldest waiting event was accepted, in Unix milliseconds.
    pub oldest_at: Option<u64>,
}

/// The outbox of one stream.
#[derive(Debug)]
pub struct Outbox {
    window: VecDeque<Item>,
    window_bytes: usize,
    /// The first event that is not in the window.
    next: Pos,
    /// The newest chunk.
    tail: i64,
    /// Everything before this was handed out to a poll client at least once.
    handed: Pos,
    recent: Option<Recent>,
    control: Control,
    gate: Gate,
    courier: String,
    /// Progress that is not written down yet.
    dirty: bool,
}

impl Outbox {
    /// Reads the cursor and the look-ahead.
    pub fn load(sql: &dyn Sql) -> Result<Self, SqlError> {
        let rows = sql.exec(
            "SELECT head_seq, head_idx, acked, handed_seq, handed_idx, courier FROM cursor",
            &[],
        )?;
        let row = rows
            .first()
            .ok_or_else(|| SqlError::corrupt("cursor", "there is none"))?;
        let head = pos(row, 0)?;
        let acked = row.blob(2)?.to_vec();
        let newest = sql.exec("SELECT MAX(seq) FROM chunk", &[])?;
        let newest = newest.first().map_or(Ok(None), |row| row.optional_int(0))?;
        let mut outbox = Self {
            window: VecDeque::new(),
            window_bytes: 0,
            next: head,
            // Chunks behind the head may all be pruned: sequence numbers go on all the same.
            tail: newest.unwrap_or(0).max(head.seq - 1),
            handed: pos(row, 3)?,
            recent: None,
            control: Control::load(sql)?,
            gate: Gate::Open,
            courier: row.text(5)?.to_owned(),
            dirty: false,
        };
        outbox.refill(sql)?;
        for (index, item) in outbox.window.iter_mut().enumerate() {
            item.acked = bit(&acked, index);
        }
        outbox.advance();
        Ok(outbox)
    }

    /// What the courier asked to be kept with the cursor, as it was last flushed.
    pub fn courier_state(&self) -> &str {
        &self.courier
    }

    /// Stores a batch, leaving out what was accepted before. All of it or nothing.
    pub fn append(&mut self, sql: &dyn Sql, items: &[NewItem], now: u64) -> Result<Appended, AppendError> {
        let recent = match &mut self.recent {
            Some(recent) => recent,
            none => none.insert(Recent::load(sql, now)?),
        };
        recent.expire(now);
        let mut fresh: Vec<&NewItem> = Vec::with_capacity(items.len());
        let mut in_batch: HashMap<Jti, [u8; 8]> = HashMap::new();
        for (index, item) in items.iter().enumerate() {
            let seen = match in_batch.get(&item.jti) {
                Some(content) if *content == item.content => Seen::Again,
                Some(_) => Seen::Conflict,
                None => recent.look_up(&item.jti, &item.content),
            };
            match seen {
                Seen::New => {
                    in_batch.insert(item.jti, item.content);
                    fresh.push(item);
                }
                Seen::Again => {}
                Seen::Conflict => return Err(AppendError::Conflict { index }),
            }
        }
        let appended = Appended {
            stored: fresh.len(),
            again: items.len() - fresh.len(),
        };
        for item in &fresh {
            recent.remember(&item.jti, item.content, now);
        }
        for (count, body) in pack(fresh) {
            let seq = self.tail + 1;
            sql.exec(
                "INSERT INTO chunk (seq, at, n, bytes, body) VALUES (?, ?, ?, ?, ?)",
                &[
                    seq.into(),
                    (now as i64).into(),
                    count.into(),
                    (body.len() as i64).into(),
                    body.as_slice().into(),
                ],
            )?;
            self.tail = seq;
            if self.next == (Pos { seq, idx: 0 }) && self.has_room() {
                self.take_in(seq, now, body)?;
            }
        }
        Ok(appended)
    }

    /// The control events, to add some.
    pub fn control(&mut self) -> &mut Control {
        &mut self.control
    }

    /// Decides what may leave from now on.
    pub fn set_gate(&mut self, gate: Gate) {
        self.gate = gate;
    }

    /// What may leave, in order: control events, then the look-ahead with acknowledged events among it.
    pub fn window(&self) -> impl Iterator<Item = &Item> {
        let events = self.window.iter().filter(|_| self.gate == Gate::Open);
        self.control.waiting(self.gate).chain(events)
    }

    /// An event of the look-ahead that is not acknowledged yet.
    pub fn get(&self, pos: Pos) -> Option<&Item> {
        if pos.seq < 0 {
            return self.control.get(pos);
        }
        let index = self.window.binary_search_by_key(&pos, |item| item.pos).ok()?;
        self.window.get(index).filter(|item| !item.acked)
    }

    /// Whether nothing waits that may leave.
    pub fn is_empty(&self) -> bool {
        let events_may_leave = self.gate == Gate::Open && !(self.window.is_empty() && self.next.seq > self.tail);
        !events_may_leave && self.control.waiting(self.gate).next().is_none()
    }

    /// Marks an event as done, in memory; [`Outbox::flush`] writes it down. False when it was done before.
    pub fn ack(&mut self, pos: Pos) -> bool {
        if pos.seq < 0 {
            let done = self.control.done(pos);
            self.dirty |= done;
            return done;
        }
        let Ok(index) = self.window.binary_search_by_key(&pos, |item| item.pos) else {
            return false;
        };
        let Some(item) = self.window.get_mut(index).filter(|item| !item.acked) else {
            return false;
        };
        item.acked = true;
        self.dirty = true;
        self.advance();
        true
    }

    /// Moves an event to the dead letters: written together with the cursor, so that it is in exactly one place.
    pub fn bury(&mut self, sql: &dyn Sql, pos: Pos, death: &Death, now: u64, courier: &str) -> Result<bool, SqlError> {
        let Some(item) = self.get(pos).cloned() else {
            return Ok(false);
        };
        dead_letters::add(sql, now, &item.jti, death, item.claims())?;
        self.ack(pos);
        self.flush(sql, courier)?;
        Ok(true)
    }

    /// Whether there is progress that [`Outbox::flush`] has not written down.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Writes the cursor: one row.
    pub fn flush(&mut self, sql: &dyn Sql, courier: &str) -> Result<(), SqlError> {
        let head = self.head();
        sql.exec(
            "UPDATE cursor SET head_seq = ?, head_idx = ?, acked = ?, handed_seq = ?, handed_idx = ?, courier = ? WHERE one = 1",
            &[
                head.seq.into(),
                head.idx.into(),
                self.bitmap().into(),
                self.handed.seq.into(),
                self.handed.idx.into(),
                courier.into(),
            ],
        )?;
        self.control.flush(sql)?;
        self.courier.clear();
        self.courier.push_str(courier);
        self.dirty = false;
        Ok(())
    }

    /// Drops every event that waits, and the verifications: what a disabled stream held is lost (SSF-8.1.2.1-3). Two rows.
    pub fn drop_waiting(&mut self, sql: &dyn Sql, courier: &str) -> Result<(), SqlError> {
        self.control.drop_all(sql, Kind::Verification)?;
        self.window.clear();
        self.window_bytes = 0;
        self.next = Pos {
            seq: self.tail + 1,
            idx: 0,
        };
        self.handed = self.handed.max(self.next);
        self.flush(sql, courier)
    }

    /// Loads further chunks while the look-ahead has room.
    pub fn refill(&mut self, sql: &dyn Sql) -> Result<(), SqlError> {
        while self.has_room() && self.next.seq <= self.tail {
            let mut rows = sql.exec("SELECT at, body FROM chunk WHERE seq = ?", &[self.next.seq.into()])?;
            match rows.first_mut() {
                Some(row) => {
                    let at = u64::try_from(row.int(0)?).unwrap_or(0);
                    let body = row.take_blob(1)?;
                    self.take_in(self.next.seq, at, body)?;
                }
                None => {
                    self.next = Pos {
                        seq: self.next.seq + 1,
                        idx: 0,
                    }
                }
            }
        }
        Ok(())
    }

    /// Up to `max_events` waiting events of at most `max_bytes` (the first is given whatever its size), oldest first,
    /// and whether more could be had now. They stay until they are acknowledged. Flush before answering: an acknowledgement
    /// reaches no further than what was written down as handed out.
    pub fn hand_out(&mut self, max_events: usize, max_bytes: usize) -> (Vec<Item>, bool) {
        let mut out: Vec<Item> = Vec::new();
        let mut bytes = 0;
        let mut more = self.gate == Gate::Open && self.next.seq <= self.tail;
        for item in self.window().filter(|item| !item.acked) {
            bytes += item.claims.len();
            if out.len() == max_events || (bytes > max_bytes && !out.is_empty()) {
                more = true;
                break;
            }
            out.push(item.clone());
        }
        if let Some(last) = out.last() {
            let after = Pos {
                seq: last.pos.seq,
                idx: last.pos.idx + 1,
            };
            self.dirty |= after > self.handed;
            self.handed = self.handed.max(after);
        }
        (out, more)
    }

    /// The place of each of these events, if it was handed out and is not acknowledged yet.
    pub fn handed_out(&self, jtis: &[Jti]) -> HashMap<Jti, Pos> {
        let wanted: std::collections::HashSet<&Jti> = jtis.iter().collect();
        // Acknowledgements count whatever the stream's status is.
        let events = self.window.iter().take_while(|item| item.pos < self.handed);
        self.control
            .waiting(Gate::Open)
            .chain(events)
            .filter(|item| !item.acked && wanted.contains(&item.jti))
            .map(|item| (item.jti, item.pos))
            .collect()
    }

    /// Counts what waits. Reads one row a waiting chunk: for people, not for hot paths.
    pub fn queued(&self, sql: &dyn Sql) -> Result<Queued, SqlError> {
        let head = self.head();
        let rows = sql.exec(
            "SELECT COALESCE(SUM(n), 0), COALESCE(SUM(bytes), 0) FROM chunk WHERE seq >= ?",
            &[head.seq.into()],
        )?;
        let (events, bytes) = match rows.first() {
            Some(row) => (row.int(0)?, row.int(1)?),
            None => (0, 0),
        };
        let done = u64::from(head.idx) + self.window.iter().filter(|item| item.acked).count() as u64;
        Ok(Queued {
            events: u64::try_from(events).unwrap_or(0).saturating_sub(done),
            bytes: if self.window.is_empty() && self.next.seq > self.tail {
                0
            } else {
                u64::try_from(bytes).unwrap_or(0)
            },
            oldest_at: self.window.front().map(|item| item.at),
        })
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

    /// The first event that is not acknowledged, or where it will be.
    pub fn head(&self) -> Pos {
        self.window.front().map_or(self.next, |item| item.pos)
    }

    fn has_room(&self) -> bool {
        self.window.len() < LOOK_AHEAD_EVENTS && self.window_bytes < LOOK_AHEAD_BYTES
    }

    fn take_in(&mut self, seq: i64, at: u64, body: Vec<u8>) -> Result<(), SqlError> {
        let records = unpack(&body)?;
        let body = Rc::new(body);
        for (idx, record) in (0_u32..).zip(&records).skip(self.next.idx as usize) {
            if !self.has_room() {
                self.next = Pos { seq, idx };
                return Ok(());
            }
            self.window_bytes += record.claims.len();
            self.window.push_back(Item {
                pos: Pos { seq, idx },
                jti: record.jti,
                lane: record.lane,
                at,
                acked: false,
                body: Rc::clone(&body),
                claims: record.claims.clone(),
            });
        }
        self.next = Pos { seq: seq + 1, idx: 0 };
        Ok(())
    }

    fn advance(&mut self) {
        while self.window.front().is_some_and(|item| item.acked) {
            if let Some(item) = self.window.pop_front() {
                self.window_bytes -= item.claims.len();
            }
        }
    }

    fn bitmap(&self) -> Vec<u8> {
        let mut bits = Vec::new();
        for (index, _) in self.window.iter().enumerate().filter(|(_, item)| item.acked) {
            if bits.len() <= index / 8 {
                bits.resize(index / 8 + 1, 0);
            }
            if let Some(byte) = bits.get_mut(index / 8) {
                *byte |= 1 << (index % 8);
            }
        }
        bits
    }
}

fn bit(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

fn pos(row: &Row, column: usize) -> Result<Pos, SqlError> {
    Ok(Pos {
        seq: row.int(column)?,
        idx: u32::try_from(row.int(column + 1)?).map_err(|error| SqlError::corrupt("cursor", error))?,
    })
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
