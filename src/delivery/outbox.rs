//! What waits to be delivered: chunk rows in order, and one cursor row that says how far delivery has come.
//!
//! Accepted events lie in `chunk` until they are acknowledged and their time is over. In memory there is only the look-ahead:
//! the events from the head on, at most [`LOOK_AHEAD_EVENTS`] of them or [`LOOK_AHEAD_BYTES`]. Acknowledgements move the head
//! and are written down in [`Outbox::flush`]; what was acknowledged but not flushed is sent again after a crash, never lost.
//!
//! Control events (see [`super::control`]) wait here too, before all others; while the gate is not open nothing else leaves.
//!
//! After any [`SqlError`] the outbox in memory may differ from the stored one: drop it and load it again.

mod item;
mod keeping;
mod polled;
mod replay;

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use thiserror::Error;

use super::bounds::{Bounds, Queued};
use super::chunk::{HEAD, Jti, NewItem, pack, unpack};
use super::control::{Control, Gate, Kind};
use super::dead_letters::{self, Death};
use super::meta::Migration;
use super::recent::{Recent, Seen};
use super::sql::{Row, Sql, SqlError};

pub use item::{Item, Pos};
pub use replay::{Replayed, Search};

/// Events that delivery may look past a stuck one; also the most that a poll client can have outstanding.
pub const LOOK_AHEAD_EVENTS: usize = 1024;
/// The same bound in bytes of claims, whichever is reached first.
pub const LOOK_AHEAD_BYTES: usize = 1024 * 1024;

/// Tables of an outbox. `body` stands last so that counting chunks does not read them.
pub const FIRST_SCHEMA: Migration = &[
    "CREATE TABLE chunk (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, n INTEGER NOT NULL, bytes INTEGER NOT NULL, \
     body BLOB NOT NULL)",
    "CREATE TABLE cursor (one INTEGER PRIMARY KEY CHECK (one = 1), head_seq INTEGER NOT NULL, head_idx INTEGER NOT NULL, \
     acked BLOB NOT NULL, handed_seq INTEGER NOT NULL, handed_idx INTEGER NOT NULL, courier TEXT NOT NULL)",
    "INSERT INTO cursor VALUES (1, 1, 0, x'', 1, 0, '')",
    dead_letters::CREATE,
];

/// Each chunk says how much lies before it, so that what waits is counted by two rows, however long the queue is.
pub const COUNTED_SCHEMA: Migration = &[
    "CREATE TABLE counted (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, n INTEGER NOT NULL, bytes INTEGER NOT NULL, \
     n_before INTEGER NOT NULL, bytes_before INTEGER NOT NULL, body BLOB NOT NULL)",
    "INSERT INTO counted SELECT seq, at, n, bytes - 1, SUM(n) OVER (ORDER BY seq) - n, \
     SUM(bytes - 1) OVER (ORDER BY seq) - bytes + 1, body FROM chunk",
    "DROP TABLE chunk",
    "ALTER TABLE counted RENAME TO chunk",
];

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
    /// The batch goes beyond a bound. Nothing of it was stored.
    #[error("the outbox is full")]
    Full,
    #[error(transparent)]
    Sql(#[from] SqlError),
}

/// So many events with so many bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    events: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, item: &Item) {
        self.events += 1;
        self.bytes += item.size();
    }

    fn take(&mut self, item: &Item) {
        self.events = self.events.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(item.size());
    }
}

/// The outbox of one stream.
#[derive(Debug)]
pub struct Outbox {
    window: VecDeque<Item>,
    window_bytes: usize,
    /// How much of the window is not acknowledged.
    pending: Sum,
    /// The first event that is not in the window.
    next: Pos,
    /// The newest chunk.
    tail: i64,
    /// All events that were ever stored, and those of them that are done.
    stored: Sum,
    done: Sum,
    /// Everything before this was handed out to a poll client at least once.
    handed: Pos,
    recent: Option<Recent>,
    control: Control,
    gate: Gate,
    courier: String,
    /// Progress that is not written down yet.
    dirty: bool,
    bounds: Bounds,
    /// Whether acknowledged events are kept for a replay.
    keeps: bool,
    /// Chunks before this one lost their events already, if they are not kept.
    stripped_to: i64,
}

impl Outbox {
    /// Reads the cursor and the look-ahead. There are no bounds, and everything is kept, until [`Outbox::govern`].
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
        let newest = sql.exec(
            "SELECT seq, n_before + n, bytes_before + bytes FROM chunk ORDER BY seq DESC LIMIT 1",
            &[],
        )?;
        let (newest, stored) = match newest.first() {
            Some(row) => (row.int(0)?, sum(row, 1)?),
            None => (0, Sum::default()),
        };
        let mut outbox = Self {
            window: VecDeque::new(),
            window_bytes: 0,
            pending: Sum::default(),
            next: head,
            // Chunks behind the head may all be pruned: their numbers are not used again, unless a replay goes back behind them.
            tail: newest.max(head.seq - 1),
            stored,
            done: stored,
            handed: pos(row, 3)?,
            recent: None,
            control: Control::load(sql)?,
            gate: Gate::Open,
            courier: row.text(5)?.to_owned(),
            dirty: false,
            bounds: Bounds::NONE,
            keeps: true,
            stripped_to: head.seq,
        };
        outbox.start_at(sql, head)?;
        for (index, item) in outbox.window.iter_mut().enumerate() {
            if bit(&acked, index) && !item.acked {
                item.acked = true;
                outbox.done.add(item);
                outbox.pending.take(item);
            }
        }
        outbox.advance();
        Ok(outbox)
    }

    /// Sets how much may wait, and whether acknowledged events are kept for a replay.
    pub fn govern(&mut self, bounds: Bounds, keeps: bool) {
        self.bounds = bounds;
        self.keeps = keeps;
    }

    /// What the courier asked to be kept with the cursor, as it was last flushed.
    pub fn courier_state(&self) -> &str {
        &self.courier
    }

    /// Stores a batch, leaving out what was accepted before. All of it or nothing.
    pub fn append(&mut self, sql: &dyn Sql, items: &[NewItem], now: u64) -> Result<Appended, AppendError> {
        let recent = self.recent(sql, now)?;
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
        self.store(sql, &fresh, now)?;
        Ok(appended)
    }

    /// Stores events that were in the outbox before, at its end.
    pub fn append_again(&mut self, sql: &dyn Sql, items: &[&NewItem], now: u64) -> Result<(), AppendError> {
        self.store(sql, items, now)
    }

    fn store(&mut self, sql: &dyn Sql, items: &[&NewItem], now: u64) -> Result<(), AppendError> {
        let bytes = items.iter().map(|item| (HEAD + item.claims.len()) as u64).sum();
        if !items.is_empty() && !self.bounds.admit(&self.queued(), items.len() as u64, bytes, now) {
            return Err(AppendError::Full);
        }
        if let Some(recent) = &mut self.recent {
            for item in items {
                recent.remember(&item.jti, item.content, now);
            }
        }
        for (count, body) in pack(items.iter().copied()) {
            let seq = self.tail + 1;
            // The first byte is the format's.
            let bytes = body.len() as u64 - 1;
            sql.exec(
                "INSERT INTO chunk (seq, at, n, bytes, n_before, bytes_before, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
                &[
                    seq.into(),
                    (now as i64).into(),
                    count.into(),
                    (bytes as i64).into(),
                    (self.stored.events as i64).into(),
                    (self.stored.bytes as i64).into(),
                    body.as_slice().into(),
                ],
            )?;
            self.tail = seq;
            self.stored.events += u64::from(count);
            self.stored.bytes += bytes;
            if self.next == Pos::of(seq) && self.has_room() {
                self.take_in(seq, now, body)?;
            }
        }
        Ok(())
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
        self.done.add(item);
        self.pending.take(item);
        self.dirty = true;
        self.advance();
        true
    }

    /// Moves an event to the dead letters: written together with the cursor, so that it is in exactly one place. At most
    /// `most` letters are kept.
    pub fn bury(
        &mut self,
        sql: &dyn Sql,
        pos: Pos,
        death: &Death,
        now: u64,
        most: u32,
        courier: &str,
    ) -> Result<bool, SqlError> {
        let Some(item) = self.get(pos).map(Item::to_new) else {
            return Ok(false);
        };
        dead_letters::add(sql, now, &item, death, most)?;
        self.ack(pos);
        self.flush(sql, courier)?;
        Ok(true)
    }

    /// Whether there is progress that [`Outbox::flush`] has not written down.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Writes the cursor: one row. Where nothing is kept, one more for each chunk that is done.
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
        if !self.keeps {
            self.strip(sql, head.seq)?;
        }
        self.stripped_to = head.seq;
        self.courier.clear();
        self.courier.push_str(courier);
        self.dirty = false;
        Ok(())
    }

    /// Drops every event that waits, and the verifications: what a disabled stream held is lost (SSF-8.1.2.1-3), and so is the
    /// memory of its ids.
    pub fn drop_waiting(&mut self, sql: &dyn Sql, courier: &str) -> Result<(), SqlError> {
        self.control.drop_all(sql, Kind::Verification)?;
        // The delivered ones beside them in their first chunk go, too: no replay may bring back what was dropped.
        let from = self.head().seq;
        self.stored = self.stored_before(sql, from)?;
        sql.exec("DELETE FROM chunk WHERE seq >= ?", &[from.into()])?;
        self.recent = None;
        self.clear_window();
        self.next = Pos::of(self.tail + 1);
        self.done = self.stored;
        self.handed = self.handed.max(self.next);
        self.flush(sql, courier)
    }

    /// Loads further chunks, once half of the look-ahead is done: it would read a chunk for every single event otherwise.
    pub fn refill(&mut self, sql: &dyn Sql) -> Result<(), SqlError> {
        let enough =
            self.pending.events >= LOOK_AHEAD_EVENTS as u64 / 2 || self.pending.bytes >= LOOK_AHEAD_BYTES as u64 / 2;
        if enough {
            return Ok(());
        }
        while self.has_room() && self.next.seq <= self.tail {
            let mut rows = sql.exec("SELECT at, body FROM chunk WHERE seq = ?", &[self.next.seq.into()])?;
            match rows.first_mut() {
                Some(row) => {
                    let at = u64::try_from(row.int(0)?).unwrap_or(0);
                    let body = row.take_blob(1)?;
                    self.take_in(self.next.seq, at, body)?;
                }
                None => self.next = Pos::of(self.next.seq + 1),
            }
        }
        Ok(())
    }

    /// How much waits. Refill before asking.
    pub fn queued(&self) -> Queued {
        let events = self.stored.events.saturating_sub(self.done.events);
        Queued {
            events,
            // A replay over events that are not kept any more leaves their bytes behind.
            bytes: if events == 0 {
                0
            } else {
                self.stored.bytes.saturating_sub(self.done.bytes)
            },
            oldest_at: self.window.front().map(|item| item.at),
        }
    }

    /// Whether there is room again, after the outbox was full.
    pub fn is_relieved(&self, now: u64) -> bool {
        self.bounds.relieved(&self.queued(), now)
    }

    /// The first event that is not acknowledged, or where it will be.
    pub fn head(&self) -> Pos {
        self.window.front().map_or(self.next, |item| item.pos)
    }

    fn has_room(&self) -> bool {
        self.window.len() < LOOK_AHEAD_EVENTS && self.window_bytes < LOOK_AHEAD_BYTES
    }

    fn clear_window(&mut self) {
        self.window.clear();
        self.window_bytes = 0;
        self.pending = Sum::default();
    }

    fn take_in(&mut self, seq: i64, at: u64, body: Vec<u8>) -> Result<(), SqlError> {
        let records = unpack(&body)?;
        let body = Rc::new(body);
        for (idx, record) in (0_u32..).zip(&records).skip(self.next.idx as usize) {
            if !self.has_room() {
                self.next = Pos { seq, idx };
                return Ok(());
            }
            let item = Item::of(Pos { seq, idx }, record, at, &body);
            self.window_bytes += record.claims.len();
            if item.acked {
                self.done.add(&item);
            } else {
                self.pending.add(&item);
            }
            self.window.push_back(item);
        }
        self.next = Pos::of(seq + 1);
        self.advance();
        Ok(())
    }

    fn advance(&mut self) {
        while self.window.front().is_some_and(|item| item.acked) {
            if let Some(item) = self.window.pop_front() {
                self.window_bytes -= item.claims().len();
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

fn sum(row: &Row, column: usize) -> Result<Sum, SqlError> {
    let number = |column| -> Result<u64, SqlError> { Ok(u64::try_from(row.int(column)?).unwrap_or(0)) };
    Ok(Sum {
        events: number(column)?,
        bytes: number(column + 1)?,
    })
}

#[cfg(test)]
mod tests;
