//! The alarm of a source: one run at a time, which does everything that is due, with the poll loop and the handing over beside
//! it, so that a poll that the transmitter holds, or a transmitter that hangs, delays nothing else.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{LocalBoxFuture, select};
use worker::Delay;

use crate::edge::clock::now_ms;
use crate::edge::command::{Answer, Refusal};
use crate::edge::log::{self, Level};
use crate::edge::together::together;
use crate::protocol::json::json;
use crate::receiver::source::Source;
use crate::receiver::tally::Tally;

use super::serve::{abort, boxed, fault};
use super::source::SourceObject;

/// A run starts nothing new after this; the next one goes on.
const RUN_MS: u64 = 20_000;

/// What is due so soon is waited for: another run would cost more.
const SOON_MS: u64 = 1_000;

/// A run that has not come round for so long hangs. Longer than any request of ours.
const HANGS_MS: u64 = 180_000;

/// An alarm that is overdue by this much was lost.
const OVERDUE_MS: u64 = 30_000;

/// What is known of runs in this life of the object.
#[derive(Default)]
pub struct Run {
    on: Cell<bool>,
    /// When the run last came round.
    beat: Cell<u64>,
    /// A poll is under way.
    pub polling: Cell<bool>,
    /// The run's other work is over, and so is its time.
    pub over: Cell<bool>,
    /// Whether the alarm was looked at in this life.
    looked: Cell<bool>,
    /// The alarm was overdue, and was set again.
    poked: Cell<bool>,
}

impl Run {
    pub fn is_on(&self) -> bool {
        self.on.get()
    }
}

impl SourceObject {
    /// One run. Whatever comes of it, the alarm is set for what waits.
    pub(super) async fn carry_on(&self) {
        let started = now_ms();
        self.run.on.set(true);
        self.run.over.set(false);
        self.run.poked.set(false);
        self.run.beat.set(started);
        let deadline = started + RUN_MS;
        let work: LocalBoxFuture<'_, Answer<Option<u64>>> = Box::pin(async {
            let worked = self.work(deadline).await;
            self.run.over.set(true);
            self.bell.ring();
            worked
        });
        let polls: LocalBoxFuture<'_, Answer<Option<u64>>> = Box::pin(self.poll_on(deadline));
        let handed: LocalBoxFuture<'_, Answer<Option<u64>>> = Box::pin(self.hand_on());
        let ended = together([work, polls, handed].into_iter()).await;
        let written = self.write_tally();
        self.run.on.set(false);
        if self.gone.get() {
            return;
        }
        let mut due: Option<u64> = None;
        let written = written.map(|()| None);
        for result in ended.into_iter().chain([written]) {
            let at = match result {
                Ok(at) => at,
                Err(Refusal::Gone) => return,
                Err(_) => Some(now_ms() + 10_000),
            };
            due = due.into_iter().chain(at).min();
        }
        if let Some(due) = due {
            self.alarm.arm(&self.state, due).await;
        }
    }

    /// Does what is due until nothing is, or the run's time is over. Returns when something is due next.
    async fn work(&self, deadline: u64) -> Answer<Option<u64>> {
        loop {
            let rung = self.bell.count();
            self.run.beat.set(now_ms());
            self.source()?;
            boxed(self.call_back()).await?;
            let dues = [
                self.callback_due(),
                self.keep_order()?,
                boxed(self.set_up()).await?,
                boxed(self.look_after()).await?,
                self.prune()?,
            ];
            let now = now_ms();
            let due = dues.into_iter().flatten().min();
            let over = now >= deadline;
            let poll = self.poll_due()?.filter(|_| !over);
            let soon = due.filter(|_| !over).into_iter().chain(poll).min();
            // A ring since this turn began: what was found done then may have to be done again.
            let rang = self.bell.count() != rung;
            if !self.run.polling.get() && over && rang {
                return Ok(Some(now));
            }
            if !self.run.polling.get() && !rang && soon.is_none_or(|at| at > now + SOON_MS) {
                return Ok(due);
            }
            // A poll that began may outlive the run's time; the rest does not wait for it.
            let until = due.unwrap_or(now + 5_000).clamp(now + 1, now + 5_000);
            let time = Delay::from(Duration::from_millis(until - now));
            select(pin!(self.bell.after(rung)), time).await;
        }
    }

    /// Hands over what comes while the run lasts: beside the rest, which may wait for a transmitter.
    async fn hand_on(&self) -> Answer<Option<u64>> {
        loop {
            let rung = self.bell.count();
            let due = self.hand_over().await?;
            if self.run.over.get() {
                return Ok(due);
            }
            let now = now_ms();
            let until = due.unwrap_or(now + RUN_MS).clamp(now + 1, now + RUN_MS);
            let time = Delay::from(Duration::from_millis(until - now));
            select(pin!(self.bell.after(rung)), time).await;
        }
    }

    /// There is something to do.
    pub(super) async fn nudge(&self) {
        self.bell.ring();
        // A run that is about to end hears no bell any more.
        let heard = self.run.is_on() && !self.run.over.get();
        if !heard && !self.gone.get() {
            self.alarm.arm(&self.state, now_ms()).await;
        }
    }

    /// The watchdog, run by every request to the object (pitfall 19): an alarm that was lost is set again, a run that hangs ends with
    /// this life of the object.
    pub(super) async fn watch_over(&self) {
        let now = now_ms();
        if self.run.is_on() {
            if self.run.beat.get() + HANGS_MS < now && !self.run.polling.get() {
                abort(&self.state, "the run of a source hangs");
            }
            return;
        }
        // Everybody else's alarm only removes what is old.
        let hangs_on_it = |source: Rc<Source>| source.is_managed() || source.forward.is_some();
        if !self.source().is_ok_and(hangs_on_it) {
            return;
        }
        if self.alarm.at().is_none() && !self.run.looked.replace(true) {
            self.alarm.look(&self.state).await;
            if !self.run.is_on() && self.alarm.at().is_none() {
                self.alarm.set(&self.state, now).await;
            }
        }
        if self.run.is_on() || self.alarm.at().is_none_or(|at| at + OVERDUE_MS >= now) {
            return;
        }
        // One that was set again and did not go off waits behind a run that will never end: it began in a life that is over.
        if self.run.poked.replace(true) {
            abort(&self.state, "the alarm hangs");
            return;
        }
        let line = json!({"source_id": self.state.id().to_string()});
        log::line(Level::Warn, "alarm_overdue", line);
        self.alarm.set(&self.state, now).await;
    }

    /// What was counted.
    pub(super) fn tally(&self) -> Answer<Tally> {
        let mut slot = self.tally.borrow_mut();
        if slot.is_none() {
            *slot = Some((Tally::load(&self.sql)?, false));
        }
        Ok(slot.map(|(tally, _)| tally).unwrap_or_default())
    }

    /// Counts; written down later.
    pub(super) fn count(&self, change: impl FnOnce(&mut Tally)) -> Answer<()> {
        let mut tally = self.tally()?;
        change(&mut tally);
        self.tally.replace(Some((tally, true)));
        Ok(())
    }

    /// What came and is not in the inbox is known to nobody else, and this life may end in a moment.
    pub(super) fn write_tally_seldom(&self) -> Answer<()> {
        match self.told_at.due(now_ms()) {
            true => self.write_tally(),
            false => Ok(()),
        }
    }

    /// What is in the inbox can be counted again, as long as it is little.
    pub(super) fn write_long_tally(&self) -> Answer<()> {
        match self.tally()?.is_long() {
            true => self.write_tally(),
            false => Ok(()),
        }
    }

    pub(super) fn write_tally(&self) -> Answer<()> {
        if self.gone.get() {
            return Ok(());
        }
        let pace = self.poller.borrow().kept(now_ms());
        let mut slot = self.tally.borrow_mut();
        let Some((tally, changed)) = slot.as_mut() else {
            return Ok(());
        };
        if let Some(pace) = pace.filter(|pace| *pace != tally.pace) {
            (tally.pace, *changed) = (pace, true);
        }
        if *changed {
            tally.save(&self.sql).map_err(|error| fault("tally", error))?;
            *changed = false;
        }
        Ok(())
    }
}
