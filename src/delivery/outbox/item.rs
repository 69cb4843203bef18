//! An event that waits, and its place.

use std::ops::Range;
use std::rc::Rc;

use crate::delivery::chunk::{self, Content, HEAD, Jti, Lane, NewItem};
use crate::protocol::record::Record;

/// The place of an event: its chunk, and its index in there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Record)]
pub struct Pos {
    pub seq: i64,
    pub idx: u32,
}

impl Pos {
    /// The first place of a chunk.
    pub fn of(seq: i64) -> Self {
        Self { seq, idx: 0 }
    }
}

/// An event within the look-ahead.
#[derive(Debug, Clone)]
pub struct Item {
    pub pos: Pos,
    pub jti: Jti,
    pub lane: Lane,
    pub content: Content,
    /// When it was accepted, in Unix milliseconds.
    pub at: u64,
    pub acked: bool,
    body: Rc<Vec<u8>>,
    claims: Range<usize>,
}

impl Item {
    /// The event that `record` describes within its chunk's body.
    pub(super) fn of(pos: Pos, record: &chunk::Record, at: u64, body: &Rc<Vec<u8>>) -> Self {
        Self {
            pos,
            jti: record.jti,
            lane: record.lane,
            content: record.content,
            at,
            // Nothing but its id is kept of it: it was delivered before.
            acked: record.claims.is_empty(),
            body: Rc::clone(body),
            claims: record.claims.clone(),
        }
    }

    /// An event that came with nobody's id and whose claims are all of `body`.
    pub fn whole(pos: Pos, jti: Jti, lane: Lane, at: u64, body: Rc<Vec<u8>>) -> Self {
        Self {
            pos,
            jti,
            lane,
            content: [0; 8],
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

    /// Bytes that it takes in its chunk.
    pub fn size(&self) -> u64 {
        (HEAD + self.claims.len()) as u64
    }

    /// As it was when it was accepted.
    pub fn to_new(&self) -> NewItem {
        NewItem {
            jti: self.jti,
            content: self.content,
            lane: self.lane,
            claims: self.claims().to_vec(),
        }
    }
}
