//! The inbox as the source object serves it: readers that wait for what comes.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::time::Duration;

use futures_util::future::select;
use serde_json::Value;
use worker::Delay;

use crate::delivery::sql::SqlError;
use crate::edge::clock::now_ms;
use crate::edge::command::{Answer, SourceReply};
use crate::protocol::json::json;
use crate::protocol::received::Received;
use crate::receiver::cloudevents::Form;
use crate::receiver::inbox::{self, Accepted, StoreOutcome};
use crate::receiver::search::{self, Page, Search};
use crate::receiver::sequence::Order;
use crate::receiver::source::Source;

use super::bell::Bell;
use super::source::SourceObject;

/// Readers that wait at once; older ones are answered with what there is.
const MAX_WAITING: u64 = 8;

/// What the object knows of its inbox in this life.
#[derive(Default)]
pub struct Inbox {
    /// Rung when an event was stored, or the source is gone.
    pub arrived: Bell,
    /// Counts readers that wait, so that the oldest of too many is let go.
    turns: Cell<u64>,
    /// The order of the CloudEvents, once it was looked up.
    order: RefCell<Option<Order>>,
}

impl SourceObject {
    /// Stores an event, and counts it.
    pub(super) fn take_in(&self, source: &Source, event: &Accepted, now: u64) -> Result<StoreOutcome, SqlError> {
        if source.envelope == Form::Cloudevent {
            // Looked up before the event is there to be counted.
            self.order(|_| Ok(()))?;
        }
        let outcome = inbox::store(&self.sql, event, now)?;
        if source.envelope == Form::Cloudevent
            && outcome == StoreOutcome::Stored
            && let Some(received) = Received::read(&event.set)
        {
            self.order(|order| order.take_in(&self.sql, &received, now))?;
        }
        Ok(outcome)
    }

    fn order<T>(&self, work: impl FnOnce(&mut Order) -> Result<T, SqlError>) -> Result<T, SqlError> {
        let mut slot = self.inbox.order.borrow_mut();
        let order = match &mut *slot {
            Some(order) => order,
            none => none.insert(Order::load(&self.sql)?),
        };
        work(order)
    }

    /// Sees to it that a hole that stays is told of.
    pub(super) async fn watch_order(&self, source: &Source) -> Answer<()> {
        if source.envelope == Form::Cloudevent {
            let grace = self.settings()?.sequence_grace_ms;
            if let Some(due) = self.order(|order| Ok(order.due_at(grace)))? {
                self.alarm.arm(&self.state, due).await;
            }
        }
        Ok(())
    }

    /// Tells of holes that stayed. Returns when the next one is to be told of.
    pub(super) fn keep_order(&self) -> Answer<Option<u64>> {
        if self.source()?.envelope != Form::Cloudevent {
            return Ok(None);
        }
        let grace = self.settings()?.sequence_grace_ms;
        Ok(self.order(|order| {
            order.keep_time(&self.sql, grace, now_ms())?;
            Ok(order.due_at(grace))
        })?)
    }

    /// Events of before then are about to be pruned, and the order may have been counted from them.
    pub(super) fn keep_what_was_counted(&self, source: &Source, before: u64) -> Answer<()> {
        let is_old = inbox::oldest(&self.sql)?.is_some_and(|at| at < before);
        if source.envelope == Form::Cloudevent && is_old {
            self.order(|order| order.keep(&self.sql))?;
        }
        Ok(())
    }

    /// The operator knows of all holes.
    pub(super) fn acknowledge_gaps(&self) -> Answer<()> {
        Ok(self.order(|order| order.acknowledge(&self.sql, now_ms()))?)
    }

    /// The holes in the order of its CloudEvents.
    pub(super) fn gaps(&self, source: &Source) -> Answer<Value> {
        match source.envelope {
            Form::Cloudevent => Ok(self.order(|order| Ok(order.to_json()))?),
            Form::Set => Ok(json!([])),
        }
    }

    /// Events were stored: who waits for them is told, and what follows from them is done soon.
    pub(super) async fn arrived(&self, source: &Source) -> Answer<()> {
        self.inbox.arrived.ring();
        self.nudge_forward(source).await;
        self.watch_order(source).await
    }

    /// What is looked for, or what comes of it within that time. Who gets nothing goes on from the cursor: so far everything
    /// was looked at.
    pub(super) async fn events(&self, wanted: &Search, after: i64, limit: u32, wait_ms: u64) -> Answer<SourceReply> {
        let deadline = now_ms() + wait_ms;
        let mut cursor = after;
        let mut turn = None;
        loop {
            let rung = self.inbox.arrived.count();
            self.source()?;
            let Page {
                events,
                cursor: seen,
                is_all,
            } = search::find(&self.sql, wanted, cursor, limit)?;
            cursor = seen;
            let left = deadline.saturating_sub(now_ms());
            if !events.is_empty() || !is_all || left == 0 {
                return Ok(SourceReply::Events { events, cursor });
            }
            let turn = *turn.get_or_insert_with(|| {
                self.inbox.turns.set(self.inbox.turns.get() + 1);
                self.inbox.arrived.ring();
                self.inbox.turns.get()
            });
            if self.inbox.turns.get() >= turn + MAX_WAITING {
                return Ok(SourceReply::Events { events, cursor });
            }
            let timer = pin!(Delay::from(Duration::from_millis(left)));
            // The first one in line has rung itself.
            select(pin!(self.inbox.arrived.after(rung)), timer).await;
        }
    }
}
