//! Polling (RFC 8936): what a receiver acknowledges, and what it is given.

use super::Live;
use crate::delivery::dead_letters::Death;
use crate::delivery::outbox::Item;
use crate::delivery::sql::{Sql, SqlError};
use crate::protocol::set::jti_bytes;

/// SETs in one answer when the receiver names no number.
const DEFAULT_EVENTS: usize = 100;
/// And the most that it may name.
const MOST_EVENTS: usize = 1000;
/// Bytes of claims in one answer.
const MOST_BYTES: usize = 1024 * 1024;

/// What a poll is answered with.
pub struct Batch {
    pub items: Vec<Item>,
    /// More could be had now, and the receiver may be told so.
    pub more: bool,
    /// Nothing waits: a poll that may be held is held.
    pub nothing_waits: bool,
}

impl Live {
    /// POLL-R-1 to POLL-R-4: what is unknown or was done before is passed over, `ack` goes before `set_errs` (`jti`, `err`,
    /// `description`). Written down before this returns: what went to the dead letters, in words.
    pub fn acknowledge(
        &mut self,
        sql: &dyn Sql,
        ack: &[String],
        set_errs: &[(String, String, String)],
        now: u64,
    ) -> Result<Vec<String>, SqlError> {
        let mut buried = Vec::new();
        if ack.is_empty() && set_errs.is_empty() {
            return Ok(buried);
        }
        self.outbox.refill(sql)?;
        let named = ack.iter().chain(set_errs.iter().map(|(jti, ..)| jti));
        let jtis: Vec<_> = named.filter_map(|jti| jti_bytes(jti)).collect();
        let found = self.outbox.handed_out(&jtis);
        let place = |jti: &str| jti_bytes(jti).and_then(|jti| found.get(&jti)).copied();
        let mut taken = 0;
        for pos in ack.iter().filter_map(|jti| place(jti)) {
            taken += u32::from(self.outbox.ack(pos));
        }
        for (jti, err, description) in set_errs {
            if let Some(pos) = place(jti) {
                let death = Death {
                    err: err.clone(),
                    description: description.clone(),
                    attempts: 1,
                };
                let kept = self.courier.kept();
                let most = self.rules.dead_letters;
                if self.outbox.bury(sql, pos, &death, now, most, &kept)? {
                    let detail = format!("{err}: {description}");
                    self.tally.trouble(&detail, now);
                    buried.push(detail);
                }
            }
        }
        if self.outbox.is_dirty() {
            self.flush(sql, now)?;
        }
        self.tally.delivered(taken, now);
        self.follow_status(sql, false, now)?;
        Ok(buried)
    }

    /// What waits, at most `max_events` of it: oldest first, again and again until it is acknowledged. What is handed out is
    /// written down before this returns.
    pub fn hand_out(&mut self, sql: &dyn Sql, max_events: Option<u32>, now: u64) -> Result<Batch, SqlError> {
        self.outbox.refill(sql)?;
        let wanted = max_events.map_or(DEFAULT_EVENTS, |most| (most as usize).min(MOST_EVENTS));
        // POLL-R-9: with maxEvents 0 the wait is the same, the answer empty.
        let (items, more) = self.outbox.hand_out(wanted, MOST_BYTES);
        if self.outbox.is_dirty() {
            self.flush(sql, now)?;
        }
        Ok(Batch {
            items,
            more: more && !self.stream.choices.omits_more_available,
            nothing_waits: self.outbox.is_empty(),
        })
    }
}
