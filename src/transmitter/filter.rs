//! Which subjects a stream wants: what its receiver added and removed (SSF 1.0 section 8.1.3).
//!
//! A stream may have a million subjects, so an event is judged without going through them. Subjects with the same member
//! names share a *shape*; the shapes alone are in memory. For each shape the event has certain members in common with all its
//! subjects, and one step into the index tells whether one of them has the same values there (see [`key`]). Judging costs at
//! most one row read per shape, and an addition as many rows as it has keys: one for a simple subject.
//!
//! A removal with a grace period moves the subject to a shape that ends with it. The ends are rounded up, so that few such
//! shapes stand side by side; when one has ended, it counts no more, and [`Filter::prune`] deletes it little by little.
//! After any [`SqlError`] the filter in memory may differ from the stored one: drop it and load it again.

mod bounds;
mod key;

use std::cmp::Reverse;

use serde_json::Value;
use thiserror::Error;

use crate::delivery::meta::Migration;
use crate::delivery::sql::{Sql, SqlError};
use crate::protocol::json::json;
use crate::protocol::list::insert_sorted;
use crate::protocol::metadata::DefaultSubjects;
use crate::protocol::record;

use key::{Hash, Parts};

/// Most members of a complex subject that is added or removed.
pub const MAX_MEMBERS: usize = key::MAX_PARTS;
/// Longest name of such a member, in bytes: all names are held in memory.
pub const MAX_NAME: usize = 128;
/// Most different sets of member names: those of the added subjects and those of the removed ones. Of the first, those in
/// their grace count too.
pub const MAX_SHAPES: usize = 32;

/// Ends of grace periods fall on multiples of this part of the period.
const GRACE_PARTS: u64 = 8;

/// Rows deleted in one go of pruning, so that one alarm stays short.
const PRUNE_ROWS: usize = 1000;

/// Tables of a filter. `until` is 0 for a shape without end.
pub const SCHEMA: Migration = &[
    "CREATE TABLE subject_shape (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, until INTEGER NOT NULL, names TEXT NOT NULL)",
    "CREATE TABLE subject_added (key BLOB PRIMARY KEY, verified INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE subject_removed (key BLOB PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID",
];

/// What the transmitter lays down about the subjects of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Under `NONE` the additions count, under `ALL` the removals.
    pub default_subjects: DefaultSubjects,
    /// Complex subjects without a common member do not match (SSF-8.1.3.1-8).
    pub require_shared_member: bool,
    /// How long a removed subject is still wanted (SSF-9.3-1).
    pub grace_ms: u64,
}

/// Whether the stream wants events about a subject, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// All subjects are in the stream, and no removal covers this one.
    ByDefault,
    /// An added subject matches. Of several it is one that shares the most members.
    Added {
        /// The member names of the added subject; none for a simple one.
        members: Vec<String>,
        verified: bool,
        /// Those of its members that the event's subject has too.
        shared: Vec<String>,
    },
    /// The subject is removed, but only from `until` on (Unix milliseconds).
    InGrace { until: u64 },
    /// No subject is in the stream by default, and none that was added matches.
    NotAdded,
    /// A removal covers the subject.
    Removed {
        /// The member names of the removed subject; none for a simple one.
        members: Vec<String>,
    },
}

impl Judgement {
    /// Whether events about the subject are sent.
    pub fn wanted(&self) -> bool {
        matches!(self, Self::ByDefault | Self::Added { .. } | Self::InGrace { .. })
    }
}

/// What a request changed. Repeating it is success all the same (SSF-8.1.3.2-5, SSF-8.1.3.3-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Made,
    /// It was so before: nothing was written.
    Nothing,
}

/// Why a subject is not taken. Nothing was written, unless storage failed.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum FilterError {
    #[error("a complex subject of a stream can have at most {MAX_MEMBERS} members")]
    TooManyMembers,
    #[error("the name of a member of a stream's subject can have at most {MAX_NAME} bytes")]
    NameTooLong,
    #[error("the subjects of a stream can have at most {MAX_SHAPES} different sets of members")]
    TooManyShapes,
    #[error(transparent)]
    Sql(#[from] SqlError),
}

/// What the subjects of a shape are in the stream for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Added,
    /// Added and removed again; they count as added until then.
    Leaving(u64),
    Removed,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Leaving(_) => "leaving",
            Self::Removed => "removed",
        }
    }

    /// Finds the first row from a key on: one row read.
    fn first(self) -> &'static str {
        match self {
            Self::Added | Self::Leaving(_) => {
                "SELECT key, verified FROM subject_added WHERE key >= ? ORDER BY key LIMIT 1"
            }
            Self::Removed => "SELECT key, since FROM subject_removed WHERE key >= ? ORDER BY key LIMIT 1",
        }
    }

    fn insert(self) -> &'static str {
        match self {
            Self::Added | Self::Leaving(_) => "INSERT OR REPLACE INTO subject_added (key, verified) VALUES (?, ?)",
            Self::Removed => "INSERT OR REPLACE INTO subject_removed (key, since) VALUES (?, ?)",
        }
    }

    fn delete(self) -> &'static str {
        match self {
            Self::Added | Self::Leaving(_) => "DELETE FROM subject_added WHERE key = ?",
            Self::Removed => "DELETE FROM subject_removed WHERE key = ?",
        }
    }
}

/// Subjects that have the same members and are in the stream for the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shape {
    id: u16,
    kind: Kind,
    /// In order; none for simple subjects.
    names: Vec<String>,
}

impl Shape {
    /// Every row of a subject of this shape. A removal is searched for by all of its members only, which needs one key.
    fn keys(&self, hashes: &[Hash]) -> Vec<Vec<u8>> {
        match self.kind {
            Kind::Removed => vec![key::whole(self.id, hashes)],
            Kind::Added | Kind::Leaving(_) => key::all(self.id, hashes),
        }
    }

    /// The value of a row whose key begins so, if there is one.
    fn find(&self, sql: &dyn Sql, beginning: &[u8]) -> Result<Option<i64>, SqlError> {
        match sql.exec(self.kind.first(), &[beginning.into()])?.first() {
            Some(row) if row.blob(0)?.starts_with(beginning) => row.int(1).map(Some),
            _ => Ok(None),
        }
    }

    fn insert(&self, sql: &dyn Sql, hashes: &[Hash], value: i64) -> Result<(), SqlError> {
        for key in self.keys(hashes) {
            sql.exec(self.kind.insert(), &[key.into(), value.into()])?;
        }
        Ok(())
    }
}

/// The subjects of one stream. In memory: their shapes.
#[derive(Debug, PartialEq, Eq)]
pub struct Filter {
    /// By number.
    shapes: Vec<Shape>,
}

/// In which order shapes are looked through: by the end of their validity, then by how much they share with the event.
type Rank = (Reverse<(u64, usize)>, u16);

impl Filter {
    /// Reads the shapes.
    pub fn load(sql: &dyn Sql) -> Result<Self, SqlError> {
        let rows = sql.exec("SELECT id, kind, until, names FROM subject_shape ORDER BY id", &[])?;
        let corrupt = |why: &str| SqlError::corrupt("subject_shape", why);
        let shapes = rows.iter().map(|row| {
            Ok(Shape {
                id: u16::try_from(row.int(0)?).map_err(|_| corrupt("id"))?,
                kind: match row.text(1)? {
                    "added" => Kind::Added,
                    "leaving" => Kind::Leaving(u64::try_from(row.int(2)?).unwrap_or(0)),
                    "removed" => Kind::Removed,
                    other => return Err(corrupt(other)),
                },
                names: record::read(row.text(3)?).map_err(|_| corrupt("names"))?,
            })
        });
        Ok(Self {
            shapes: shapes.collect::<Result<_, SqlError>>()?,
        })
    }

    /// Takes a subject into the stream: deletes the identical removal, and under `NONE` writes an addition, which also ends
    /// its grace. Rows written: one per key when it is new or `verified` changes, twice that when it was in its grace.
    pub fn add(
        &mut self,
        sql: &dyn Sql,
        subject: &Value,
        verified: bool,
        rules: &Rules,
        now: u64,
    ) -> Result<Change, FilterError> {
        let parts = Parts::of(subject);
        let hashes = parts.hashes();
        let mut change = Change::Nothing;
        if rules.default_subjects == DefaultSubjects::None {
            // First, because only this can be refused.
            change = self.write_addition(sql, &parts, &hashes, verified)?;
        }
        let cancelled = self.shapes.iter().filter(|shape| match shape.kind {
            Kind::Leaving(until) => change == Change::Made && until > now,
            Kind::Removed => true,
            Kind::Added => false,
        });
        for shape in named(cancelled, &parts) {
            if self.delete(sql, &shape, &hashes)?.is_some() {
                change = Change::Made;
            }
        }
        Ok(change)
    }

    /// Takes a subject out of the stream: ends the identical addition, and under `ALL` writes a removal, both at once or
    /// after the grace. Rows written: one for a removal; for an addition one per key, with a grace twice that.
    pub fn remove(&mut self, sql: &dyn Sql, subject: &Value, rules: &Rules, now: u64) -> Result<Change, FilterError> {
        let parts = Parts::of(subject);
        let hashes = parts.hashes();
        let mut change = Change::Nothing;
        if rules.default_subjects == DefaultSubjects::All {
            let shape = self.open(sql, Kind::Removed, &parts)?;
            if shape.find(sql, &key::whole(shape.id, &hashes))?.is_none() {
                shape.insert(sql, &hashes, now.saturating_add(rules.grace_ms) as i64)?;
                change = Change::Made;
            }
        }
        let added = self.shapes.iter().filter(|shape| shape.kind == Kind::Added);
        for shape in named(added, &parts) {
            if let Some(verified) = self.delete(sql, &shape, &hashes)? {
                change = Change::Made;
                if rules.grace_ms > 0 {
                    let leaving = self.open(sql, Kind::Leaving(end_of_grace(rules, now)), &parts)?;
                    leaving.insert(sql, &hashes, verified)?;
                }
            }
        }
        Ok(change)
    }

    /// Whether events about a subject are wanted at `now`. Reads at most one row per shape.
    pub fn judge(&self, sql: &dyn Sql, subject: &Value, rules: &Rules, now: u64) -> Result<Judgement, SqlError> {
        let parts = Parts::of(subject);
        match rules.default_subjects {
            DefaultSubjects::All => self.judge_removals(sql, &parts, now),
            DefaultSubjects::None => self.judge_additions(sql, &parts, rules, now),
        }
    }

    /// Whether no subject needs to be looked at.
    pub fn takes_all(&self, rules: &Rules) -> bool {
        rules.default_subjects == DefaultSubjects::All && self.shapes.iter().all(|shape| shape.kind != Kind::Removed)
    }

    /// A removal covers an event in which all its members are present and identical (SSF-8.1.3.3-3).
    fn judge_removals(&self, sql: &dyn Sql, parts: &Parts, now: u64) -> Result<Judgement, SqlError> {
        let mut hashes = None;
        let mut pending = u64::MAX;
        for shape in self.shapes.iter().filter(|shape| shape.kind == Kind::Removed) {
            let places = parts.places(&shape.names).filter(|places| !places.contains(&None));
            let Some(places) = places else { continue };
            let hashes = hashes.get_or_insert_with(|| parts.hashes());
            let found = shape.find(sql, &key::beginning(shape.id, &places, hashes))?;
            match found.map(|since| u64::try_from(since).unwrap_or(0)) {
                Some(since) if since <= now => {
                    return Ok(Judgement::Removed {
                        members: shape.names.clone(),
                    });
                }
                Some(since) => pending = pending.min(since),
                None => {}
            }
        }
        Ok(match pending {
            u64::MAX => Judgement::ByDefault,
            until => Judgement::InGrace { until },
        })
    }

    /// An addition matches when none of the members that both subjects have differs (SSF-8.1.3.1-3).
    fn judge_additions(&self, sql: &dyn Sql, parts: &Parts, rules: &Rules, now: u64) -> Result<Judgement, SqlError> {
        let mut candidates: Vec<(Rank, _, _)> = Vec::new();
        for shape in &self.shapes {
            let until = match shape.kind {
                Kind::Added => u64::MAX,
                Kind::Leaving(until) if until > now => until,
                Kind::Leaving(_) | Kind::Removed => continue,
            };
            let Some(places) = parts.places(&shape.names) else {
                continue;
            };
            let shared = places.iter().flatten().count();
            if shared > 0 || !rules.require_shared_member {
                // What is valid longest comes first, then what says most about the event.
                let rank = (Reverse((until, shared)), shape.id);
                let place = candidates.partition_point(|(earlier, ..)| *earlier < rank);
                candidates.insert(place, (rank, shape, places));
            }
        }
        let hashes = if candidates.is_empty() {
            Vec::new()
        } else {
            parts.hashes()
        };
        for (_, shape, places) in candidates {
            let Some(verified) = shape.find(sql, &key::beginning(shape.id, &places, &hashes))? else {
                continue;
            };
            let shared = shape.names.iter().zip(&places).filter(|(_, place)| place.is_some());
            return Ok(match shape.kind {
                Kind::Leaving(until) => Judgement::InGrace { until },
                _ => Judgement::Added {
                    members: shape.names.clone(),
                    verified: verified != 0,
                    shared: shared.map(|(name, _)| name.clone()).collect(),
                },
            });
        }
        Ok(Judgement::NotAdded)
    }

    /// When a grace ends next and [`Filter::prune`] has something to do, in Unix milliseconds.
    pub fn next_due(&self) -> Option<u64> {
        let ends = self.shapes.iter().filter_map(|shape| match shape.kind {
            Kind::Leaving(until) => Some(until),
            Kind::Added | Kind::Removed => None,
        });
        ends.min()
    }

    /// Deletes subjects whose grace is over, a limited number in one go. Returns when to go on: at once when that is not
    /// after `now`.
    pub fn prune(&mut self, sql: &dyn Sql, now: u64) -> Result<Option<u64>, SqlError> {
        let mut left = PRUNE_ROWS;
        loop {
            let over = self
                .shapes
                .iter()
                .find(|shape| matches!(shape.kind, Kind::Leaving(until) if until <= now));
            let Some(id) = over.map(|shape| shape.id).filter(|_| left > 0) else {
                return Ok(self.next_due());
            };
            let deleted = sql.exec(
                "DELETE FROM subject_added WHERE key IN \
                 (SELECT key FROM subject_added WHERE key >= ? AND key < ? ORDER BY key LIMIT ?) RETURNING 1",
                &[
                    key::of_shape(id).into(),
                    key::of_shape(id.saturating_add(1)).into(),
                    (left as i64).into(),
                ],
            )?;
            left = left.saturating_sub(deleted.len());
            if left > 0 {
                self.close(sql, id)?;
                left -= 1;
            }
        }
    }

    /// Writes an addition where there is none, and corrects `verified` where there is one.
    fn write_addition(
        &mut self,
        sql: &dyn Sql,
        parts: &Parts,
        hashes: &[Hash],
        verified: bool,
    ) -> Result<Change, FilterError> {
        let verified = i64::from(verified);
        let shape = self.open(sql, Kind::Added, parts)?;
        match shape.find(sql, &key::whole(shape.id, hashes))? {
            Some(known) if known == verified => return Ok(Change::Nothing),
            Some(_) => {
                for key in shape.keys(hashes) {
                    sql.exec(
                        "UPDATE subject_added SET verified = ? WHERE key = ?",
                        &[verified.into(), key.into()],
                    )?;
                }
            }
            None => shape.insert(sql, hashes, verified)?,
        }
        Ok(Change::Made)
    }

    /// Deletes a subject, and its shape if it was the last one. Returns the value of its rows, nothing when it was not there.
    fn delete(&mut self, sql: &dyn Sql, shape: &Shape, hashes: &[Hash]) -> Result<Option<i64>, SqlError> {
        let value = shape.find(sql, &key::whole(shape.id, hashes))?;
        if value.is_some() {
            for key in shape.keys(hashes) {
                sql.exec(shape.kind.delete(), &[key.into()])?;
            }
            if shape.find(sql, &key::of_shape(shape.id))?.is_none() {
                self.close(sql, shape.id)?;
            }
        }
        Ok(value)
    }

    /// The distinct sets of names, apart for what is in the stream and what was removed.
    fn name_sets(&self) -> Vec<(bool, Vec<String>)> {
        let mut sets = Vec::new();
        for shape in &self.shapes {
            insert_sorted(&mut sets, (shape.kind == Kind::Removed, shape.names.clone()));
        }
        sets
    }

    /// The shape of these names, made when there is none. The caller puts a subject in.
    fn open(&mut self, sql: &dyn Sql, kind: Kind, parts: &Parts) -> Result<Shape, FilterError> {
        let of_kind = self.shapes.iter().filter(|shape| shape.kind == kind);
        if let Some(shape) = named(of_kind, parts).pop() {
            return Ok(shape);
        }
        let names = parts.owned_names();
        let until = match kind {
            // What is in the stream can leave it, and counts until it has: else leaving would make room for more.
            Kind::Leaving(until) => until,
            Kind::Added | Kind::Removed => {
                bounds::take_in(&mut self.name_sets(), kind == Kind::Removed, &names)?;
                0
            }
        };
        // The first number that is free: shapes with a grace come and go for ever.
        let numbered = self.shapes.iter().enumerate();
        let at = numbered.take_while(|(at, shape)| *at == usize::from(shape.id)).count();
        let shape = Shape {
            id: u16::try_from(at).map_err(|error| SqlError::corrupt("subject_shape", error))?,
            kind,
            names,
        };
        sql.exec(
            "INSERT INTO subject_shape (id, kind, until, names) VALUES (?, ?, ?, ?)",
            &[
                i64::from(shape.id).into(),
                kind.name().into(),
                (until as i64).into(),
                json!(shape.names).to_string().into(),
            ],
        )?;
        self.shapes.insert(at, shape.clone());
        Ok(shape)
    }

    /// Forgets a shape without subjects.
    fn close(&mut self, sql: &dyn Sql, id: u16) -> Result<(), SqlError> {
        sql.exec("DELETE FROM subject_shape WHERE id = ?", &[i64::from(id).into()])?;
        self.shapes.retain(|shape| shape.id != id);
        Ok(())
    }
}

/// Those of the shapes that have the names of these parts.
fn named<'a>(shapes: impl Iterator<Item = &'a Shape>, parts: &Parts) -> Vec<Shape> {
    shapes.filter(|shape| shape.names == parts.names).cloned().collect()
}

/// The first common end at which the grace that begins now has been granted in full.
fn end_of_grace(rules: &Rules, now: u64) -> u64 {
    let step = (rules.grace_ms / GRACE_PARTS).max(1);
    now.saturating_add(rules.grace_ms).div_ceil(step).saturating_mul(step)
}

#[cfg(test)]
mod tests;
