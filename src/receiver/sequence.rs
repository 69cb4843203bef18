//! Holes in the order of CloudEvents: each `source` counts its events (CE-1-10), so that a receiver can tell that some are
//! missing. Events overtake each other, so a hole is one only after a while.
//!
//! What is known is written down when a hole is told of, and now and then; what came since is counted again from the inbox.

use serde::Serialize;
use serde_json::Value;

use crate::delivery::meta;
use crate::delivery::sql::{Sql, SqlError};
use crate::protocol::json::json;
use crate::protocol::received::Received;
use crate::protocol::record::{self, Record};

use super::health::Problems;
use super::inbox;

/// The code of the problem.
pub const PROBLEM: &str = "sequence_gap";

const ORDER: &str = "sequence";

/// Most senders whose numbers are followed; beyond it who was silent for longest is forgotten.
const MAX_SENDERS: usize = 64;

/// Most holes that are kept; beyond it the oldest go.
const MAX_HOLES: usize = 100;

/// Events after which the state is written down, so that no more of them have to be counted again.
const CHECKPOINT: i64 = 1000;

/// Events that are read at once: they may be long.
const AT_ONCE: i64 = 20;

/// A sender at a number up to here has only begun: an early number that comes then was overtaken. Later it is one that counts from
/// the beginning again.
const BEGINNING: u64 = 64;

/// Numbers that are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Record)]
pub struct Hole {
    /// The CloudEvents' `source`.
    pub source: String,
    pub from: u64,
    pub to: u64,
    /// When an event behind them came, in Unix milliseconds.
    pub since: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Record)]
struct Sender {
    source: String,
    /// The highest number that came.
    last: u64,
}

/// What is known of the order of a source's events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Record)]
pub struct Order {
    /// Events up to here were counted.
    upto: i64,
    /// Who was heard last is last.
    senders: Vec<Sender>,
    holes: Vec<Hole>,
    /// Holes of this instant or before were told of.
    told_upto: u64,
}

impl Order {
    /// What was written down, and what came since.
    pub fn load(sql: &dyn Sql) -> Result<Self, SqlError> {
        let mut order = match meta::get(sql, ORDER)? {
            Some(text) => record::read(&text).map_err(|error| SqlError::corrupt(ORDER, error))?,
            None => Self::default(),
        };
        // One that was never written down begins with what came lately.
        order.upto = order.upto.max(inbox::newest(sql)? - CHECKPOINT);
        let mut seen = order.upto;
        loop {
            let rows = sql.exec(
                "SELECT seq, at, body FROM event WHERE seq > ? ORDER BY seq LIMIT ?",
                &[seen.into(), AT_ONCE.into()],
            )?;
            if rows.is_empty() {
                return Ok(order);
            }
            for row in &rows {
                seen = row.int(0)?;
                let at = u64::try_from(row.int(1)?).unwrap_or(0);
                if let Some(received) = Received::read(row.text(2)?) {
                    order.count(&received, at);
                }
            }
        }
    }

    fn save(&mut self, sql: &dyn Sql) -> Result<(), SqlError> {
        self.upto = inbox::newest(sql)?;
        meta::set(sql, ORDER, &record::text(self))
    }

    /// Takes in an event that was stored just now. Whether something that was told of is not so any more.
    pub fn take_in(&mut self, sql: &dyn Sql, received: &Received, now: u64) -> Result<(), SqlError> {
        let told = self.told();
        self.count(received, now);
        if self.told() != told {
            self.tell(sql, now)?;
        } else if inbox::newest(sql)? - self.upto >= CHECKPOINT {
            self.save(sql)?;
        }
        Ok(())
    }

    fn count(&mut self, received: &Received, at: u64) {
        let Some(number) = received.sequence.as_deref().and_then(number) else {
            return;
        };
        let known = self.senders.iter().position(|sender| sender.source == received.iss);
        let Some(known) = known else {
            self.senders.push(Sender {
                source: received.iss.clone(),
                last: number,
            });
            if self.senders.len() > MAX_SENDERS {
                let forgotten = self.senders.remove(0);
                self.holes.retain(|hole| hole.source != forgotten.source);
            }
            return;
        };
        let mut sender = self.senders.remove(known);
        let next = sender.last.saturating_add(1);
        if number > next {
            self.holes.push(Hole {
                source: received.iss.clone(),
                from: next,
                to: number - 1,
                since: at,
            });
            let most = self.holes.len().saturating_sub(MAX_HOLES);
            self.holes.drain(..most);
        }
        if number >= next {
            sender.last = number;
        } else if !self.fill(&received.iss, number) && number <= 1 && sender.last > BEGINNING {
            // It counts from the beginning again: nothing will fill what was missing before.
            sender.last = number;
            self.holes.retain(|hole| hole.source != sender.source);
        }
        self.senders.push(sender);
    }

    /// One of those that were missing came: its hole gets smaller, or two of it.
    fn fill(&mut self, source: &str, number: u64) -> bool {
        let in_it = |hole: &Hole| hole.source == source && (hole.from..=hole.to).contains(&number);
        let Some(at) = self.holes.iter().position(in_it) else {
            return false;
        };
        let hole = self.holes.remove(at);
        if number < hole.to {
            let from = number + 1;
            self.holes.insert(at, Hole { from, ..hole.clone() });
        }
        if number > hole.from {
            let to = number - 1;
            self.holes.insert(at, Hole { to, ..hole });
        }
        true
    }

    /// The holes that were told of.
    pub fn told(&self) -> Vec<Hole> {
        let told = self.holes.iter().filter(|hole| hole.since <= self.told_upto);
        told.cloned().collect()
    }

    /// When a hole is to be told of, if nothing fills it before.
    pub fn due_at(&self, grace_ms: u64) -> Option<u64> {
        let untold = self.holes.iter().filter(|hole| hole.since > self.told_upto);
        untold.map(|hole| hole.since.saturating_add(grace_ms)).min()
    }

    /// Tells of the holes that have been there for long enough.
    pub fn keep_time(&mut self, sql: &dyn Sql, grace_ms: u64, now: u64) -> Result<(), SqlError> {
        if self.due_at(grace_ms).is_some_and(|due| due <= now) {
            self.told_upto = now.saturating_sub(grace_ms);
            self.tell(sql, now)?;
        }
        Ok(())
    }

    /// The operator knows of the holes: they are holes no more.
    pub fn acknowledge(&mut self, sql: &dyn Sql, now: u64) -> Result<(), SqlError> {
        self.holes.clear();
        self.tell(sql, now)
    }

    /// Writes down what is so, before events are forgotten that it was counted from.
    pub fn keep(&mut self, sql: &dyn Sql) -> Result<(), SqlError> {
        match inbox::newest(sql)? > self.upto && !self.senders.is_empty() {
            true => self.save(sql),
            false => Ok(()),
        }
    }

    fn tell(&mut self, sql: &dyn Sql, now: u64) -> Result<(), SqlError> {
        self.save(sql)?;
        let told = self.told();
        let detail = told.first().map(|first| {
            let Hole { source, from, to, .. } = first;
            let more = told.len() - 1;
            match more {
                0 => format!("of {source} the numbers {from} to {to} are missing"),
                _ => format!("of {source} the numbers {from} to {to} are missing, and there are {more} more holes"),
            }
        });
        Problems::load(sql)?.note(sql, PROBLEM, detail.as_deref(), now)?;
        Ok(())
    }

    /// The holes as an operator sees them.
    pub fn to_json(&self) -> Value {
        json!(self.told())
    }
}

/// A number as it is commonly written: digits, whatever zeros stand before them. Of other texts only the order is known, and
/// not what would come in between.
fn number(text: &str) -> Option<u64> {
    let digits = text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
#[path = "sequence_tests.rs"]
mod tests;
