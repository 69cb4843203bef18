//! A stream at work: what its object has in memory, and every decision about it. What is accepted and refused, what leaves and
//! when, what an answer leads to, what its receiver has to be told.
//!
//! Nothing here waits for anything. Each function is one change of state: the object calls it, then does what it says. After
//! a [`SqlError`] what is in memory may differ from what is stored: drop it and load it again.

mod again;
mod consent;
mod handed;
mod polling;
mod pushing;

use crate::delivery::answer::HoldReason;
use crate::delivery::bounds::Bounds;
use crate::delivery::chunk::{Content, Jti, NewItem};
use crate::delivery::control::{Gate, Kind};
use crate::delivery::courier::{self, Courier};
use crate::delivery::dead_letters;
use crate::delivery::meta;
use crate::delivery::outbox::{AppendError, Outbox};
use crate::delivery::pace::Pace;
use crate::delivery::recent::REMEMBER_MS;
use crate::delivery::sql::{Sql, SqlError};
use crate::delivery::tally::Tally;
use crate::protocol::set::jti_for;
use crate::protocol::status::Status;
use crate::protocol::stream::Delivery;

use super::activity::Activity;
use super::filter::Filter;
use super::grant;
use super::pulse::Pulse;
use super::status::Wish;
use super::stream::{Choices, Published, Stream};
use super::terms::Terms;

pub use again::{Redriven, ReplayError};
pub use consent::Ask;
pub use polling::Batch;
pub use pushing::{Job, Next, Run, Settled};

/// Where the place of the next CloudEvent lies.
const NEXT_NUMBER: &str = "next_number";

/// Progress is written down at least this often while pushes are answered.
const FLUSH_MS: u64 = 1000;

/// Goes at pruning, each a bounded number of rows, that are made in one turn.
const PRUNE_GOES: usize = 20;

/// What a deployment's settings say about delivery. Times in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub courier: courier::Policy,
    pub bounds: Bounds,
    /// Delivered events are kept this long for a replay; 0: not at all.
    pub retention_ms: u64,
    /// Most dead letters of a stream.
    pub dead_letters: u32,
    pub dead_letter_ms: u64,
    pub consent: grant::Rules,
}

impl Rules {
    /// How long a delivered chunk stays: ids are recognised for ten minutes, whatever else is kept.
    fn keep_ms(&self) -> u64 {
        self.retention_ms.max(REMEMBER_MS)
    }
}

/// What a living stream has in memory; all of it can be had again from storage.
pub struct Live {
    pub stream: Stream,
    pub filter: Filter,
    pub outbox: Outbox,
    pub courier: Courier,
    pub activity: Activity,
    /// When verification events were asked for, and sent unasked.
    pub pulse: Pulse,
    /// How fast subjects are added and removed; forgotten with the object's life.
    pub subject_pace: Pace,
    /// How often the callback is used.
    pub callback_pace: Pace,
    pub tally: Tally,
    pub rules: Rules,
    /// How often the stream moved to another endpoint in this life: what an earlier one refused means nothing for it.
    moves: u32,
    /// How often it was replayed in this life: answers from before mean nothing at all.
    replays: u32,
    /// Answers since the cursor was written, and when that was.
    unflushed: usize,
    flushed_at: u64,
    /// When delivered chunks may go.
    prune_at: Option<u64>,
    /// The place of the next CloudEvent, once it was looked up.
    next_number: Option<u64>,
}

impl Live {
    /// The stream of this object, or `None` when it was never created or is deleted.
    pub fn load(sql: &dyn Sql, rules: Rules, now: u64) -> Result<Option<Self>, SqlError> {
        let Some(stream) = Stream::load(sql)? else {
            return Ok(None);
        };
        let mut outbox = Outbox::load(sql)?;
        outbox.govern(rules.bounds, rules.retention_ms > 0);
        let mut live = Self {
            courier: Courier::new(rules.courier, outbox.courier_state()),
            filter: Filter::load(sql)?,
            activity: Activity::load(sql, stream.created_at, stream.terms.inactivity_ms())?,
            pulse: Pulse::load(sql, stream.created_at)?,
            subject_pace: Pace::default(),
            callback_pace: Pace::default(),
            tally: Tally::default(),
            rules,
            moves: 0,
            replays: 0,
            unflushed: 0,
            flushed_at: now,
            prune_at: None,
            next_number: None,
            stream,
            outbox,
        };
        live.courier.forget_the_gone(&live.outbox);
        live.follow_choices();
        live.courier.set_pace(live.stream.grant.pace());
        live.ask_for_more(sql, now)?;
        live.follow_status(sql, false, now)?;
        Ok(Some(live))
    }

    /// When the receiver counts as gone, unless it does something before.
    fn inactive_at(&self) -> Option<u64> {
        let is_on = self.stream.wishes.status() == Status::Enabled;
        self.activity
            .ends_at(self.stream.terms.inactivity_ms())
            .filter(|_| is_on)
    }

    /// When the next verification event is sent unasked.
    fn heartbeat_at(&self) -> Option<u64> {
        let is_on = self.stream.wishes.status() == Status::Enabled;
        let interval = u64::from(self.stream.terms.settings.verification_heartbeat) * 1000;
        self.pulse.next_beat(interval).filter(|_| is_on)
    }

    /// When there is something to push. A polled stream waits for its receiver, not for us.
    pub fn push_due(&self, now: u64) -> Option<u64> {
        match self.stream.configuration.delivery {
            Delivery::Push { .. } => self.courier.due_at(&self.outbox, now),
            Delivery::Poll => None,
        }
    }

    /// When the clock brings something else than a push: see [`Live::keep_time`].
    pub fn clock_at(&self) -> Option<u64> {
        let told = self.stream.full_is_told_at();
        let due = [
            self.inactive_at(),
            self.heartbeat_at(),
            self.filter.next_due(),
            told.filter(|_| self.stream.announced == Status::Enabled),
            self.stream.grant.clock_at(),
        ];
        due.into_iter().flatten().min()
    }

    /// The earliest instant at which there is anything to do: the one alarm of the object stands for all of it. Pruning is not
    /// part of it, for that can wait until somebody else wakes the object.
    pub fn wake_at(&self, now: u64) -> Option<u64> {
        let due = [self.push_due(now), self.clock_at(), self.question_at(now)];
        due.into_iter().flatten().min()
    }

    /// Since when a push is overdue, if one is: for the watchdog.
    pub fn overdue_since(&self, now: u64) -> Option<u64> {
        let due = self.push_due(now).is_some_and(|due| due <= now);
        let first = self.outbox.window().next().map(|item| item.at);
        first.filter(|_| due).map(|at| at.max(self.flushed_at))
    }

    /// The receiver is active now.
    pub fn touch(&mut self, sql: &dyn Sql, now: u64) -> Result<(), SqlError> {
        let timeout = self.stream.terms.inactivity_ms();
        self.activity.touch(sql, now, timeout)
    }

    /// Does what is due by the clock: a receiver that has been silent for too long, a verification event that nobody asked for
    /// (`jti` is for that one), subjects past their grace. Returns whether there is something new to send.
    pub fn keep_time(&mut self, sql: &dyn Sql, jti: Jti, now: u64) -> Result<bool, SqlError> {
        if self.inactive_at().is_some_and(|at| at <= now) {
            self.stream.fall_asleep();
            self.stream.rev += 1;
            self.stream.save(sql)?;
        }
        if self.filter.next_due().is_some_and(|at| at <= now) {
            self.filter.prune(sql, now)?;
        }
        self.keep_consent(sql, now)?;
        let mut new = self.follow_status(sql, false, now)?;
        if self.heartbeat_at().is_some_and(|at| at <= now) {
            self.pulse.beat(sql, now)?;
            // One that waits still says the same.
            if !self.outbox.control().has(Kind::Verification) {
                self.verify(sql, None, jti, now)?;
                new = true;
            }
        }
        Ok(new)
    }

    /// Deletes what was kept for long enough: delivered chunks and dead letters. Cheap when there is nothing.
    pub fn prune(&mut self, sql: &dyn Sql, now: u64) -> Result<(), SqlError> {
        let keep = self.rules.keep_ms();
        for _ in 0..PRUNE_GOES {
            if self.prune_at.is_none() {
                self.prune_at = self.outbox.oldest_delivered(sql)?.map(|at| at + keep);
            }
            if self.prune_at.is_none_or(|at| at > now) {
                break;
            }
            let oldest = self.outbox.prune(sql, now.saturating_sub(keep) + 1)?;
            self.prune_at = oldest.map(|at| at + keep);
        }
        self.prune_letters(sql, now)
    }

    /// Deletes dead letters whose time is over. One row read when there are none.
    pub fn prune_letters(&self, sql: &dyn Sql, now: u64) -> Result<(), SqlError> {
        dead_letters::prune(sql, now.saturating_sub(self.rules.dead_letter_ms))
    }

    /// Takes new terms, in memory: an inactivity timeout that is another one counts from now.
    pub fn take_terms(&mut self, sql: &dyn Sql, terms: Terms, now: u64) -> Result<(), SqlError> {
        let timeout = self.stream.terms.inactivity_ms();
        self.stream.take_terms(terms);
        if self.stream.terms.inactivity_ms() != timeout {
            self.activity.start_anew(sql, now)?;
        }
        Ok(())
    }

    /// Accepts what this stream carries of a batch. Returns how many events that are, those that were accepted before
    /// included. [`AppendError::Full`] holds the stream; no refusal stores anything of the batch.
    pub fn accept(&mut self, sql: &dyn Sql, events: &[Published], now: u64) -> Result<usize, AppendError> {
        let mut numbered: Vec<Jti> = Vec::new();
        let first = self.next_number(sql)?;
        let outbox = &mut self.outbox;
        // Only what is new gets a number, so that none is missing.
        let number = |jti: &Jti, content: &Content| {
            if !outbox.is_new(sql, jti, content, now)? || numbered.contains(jti) {
                return Ok(None);
            }
            numbered.push(*jti);
            Ok(Some(first + numbered.len() as u64 - 1))
        };
        let items = self.stream.items(sql, &self.filter, events, now, number)?;
        let (indices, items): (Vec<_>, Vec<_>) = items.into_iter().unzip();
        self.take_in(sql, &items, now).map_err(|error| match error {
            AppendError::Conflict { index } => AppendError::Conflict {
                index: indices.get(index).copied().unwrap_or(index),
            },
            error => error,
        })?;
        if !numbered.is_empty() {
            self.set_next_number(sql, first + numbered.len() as u64)?;
        }
        Ok(items.len())
    }

    fn take_in(&mut self, sql: &dyn Sql, items: &[NewItem], now: u64) -> Result<(), AppendError> {
        let appended = self.outbox.append(sql, items, now);
        match appended {
            Ok(_) if self.stream.full_since.is_some() => {
                self.follow_status(sql, false, now)?;
            }
            // A batch that is larger than the whole outbox is no reason to take nothing else.
            Err(AppendError::Full) if self.stream.full_since.is_none() && self.outbox.queued().events > 0 => {
                self.stream.full_since = Some(now);
                self.stream.rev += 1;
                self.stream.save(sql)?;
            }
            _ => {}
        }
        appended.map(|_| ())
    }

    /// The place of the next event in the order of a stream of CloudEvents (CE-1-10).
    fn next_number(&mut self, sql: &dyn Sql) -> Result<u64, SqlError> {
        if self.stream.configuration.delivery.cloudevents().is_none() && self.stream.forward.is_none() {
            return Ok(0);
        }
        if self.next_number.is_none() {
            self.next_number = Some(meta::number(sql, NEXT_NUMBER)?.unwrap_or(1));
        }
        Ok(self.next_number.unwrap_or(1))
    }

    /// Adds a verification event to what waits; without a state nobody asked for it (SSF-8.1.4.2-3).
    pub fn verify(&mut self, sql: &dyn Sql, state: Option<&str>, jti: Jti, now: u64) -> Result<(), SqlError> {
        let claims = self.stream.verification(&jti, state, now);
        self.outbox.control().add(sql, Kind::Verification, jti, claims, now)
    }

    /// The receiver wishes a status (SSF 8.1.2.2). `Ok(true)`: its endpoint had refused, and is asked again before anything
    /// is decided (SSF-8.1.2.2-3); `jti` is for the event it may be asked with. `Err`: the operator's wish forbids it, and
    /// nothing changed.
    pub fn receiver_wishes(
        &mut self,
        sql: &dyn Sql,
        wish: Wish,
        jti: Jti,
        now: u64,
    ) -> Result<Result<bool, Wish>, SqlError> {
        let enables = wish.status == Status::Enabled;
        if let Err(operators) = self.stream.wishes.receiver_wishes(wish) {
            return Ok(Err(operators));
        }
        let asks_for_consent = enables && self.ask_for_consent(sql, now)?;
        let probes = enables && !asks_for_consent && self.courier.ask_again(now);
        if probes && self.outbox.is_empty() {
            // Something has to go out for the endpoint to answer.
            self.verify(sql, None, jti, now)?;
        }
        self.stream.rev += 1;
        self.stream.save(sql)?;
        self.flush(sql, now)?;
        self.follow_status(sql, true, now)?;
        Ok(Ok(asks_for_consent || probes))
    }

    /// The operator wishes a status. Enabling ends our own wish, and asks an endpoint again that had refused.
    pub fn operator_wishes(&mut self, sql: &dyn Sql, wish: Wish, now: u64) -> Result<(), SqlError> {
        let enables = wish.status == Status::Enabled;
        self.stream.wishes.operator = wish;
        if enables {
            if !self.ask_for_consent(sql, now)? {
                self.courier.ask_again(now);
            }
            self.flush(sql, now)?;
            self.stream.wishes.transmitter = Wish::default();
            self.touch(sql, now)?;
        }
        self.changed(sql, now)
    }

    /// The operator chooses how the stream is delivered.
    pub fn choose(&mut self, sql: &dyn Sql, choices: Choices, now: u64) -> Result<(), SqlError> {
        self.stream.choices = choices;
        self.follow_choices();
        self.ask_for_more(sql, now)?;
        self.changed(sql, now)
    }

    /// Writes the stream down after somebody else than its receiver changed it.
    pub fn changed(&mut self, sql: &dyn Sql, now: u64) -> Result<(), SqlError> {
        self.stream.rev += 1;
        self.stream.save(sql)?;
        self.follow_status(sql, false, now)?;
        Ok(())
    }

    /// The receiver named an endpoint, maybe the same one again: whatever the endpoint did before is forgotten, its consent
    /// included (WH-4-2), unless it agreed and is `the_same`.
    pub fn moved(&mut self, sql: &dyn Sql, the_same: bool, now: u64) -> Result<(), SqlError> {
        self.moves += 1;
        let gone = self.courier.hold().is_some_and(|hold| hold.reason == HoldReason::Gone);
        self.courier.start_afresh();
        self.follow_choices();
        if the_same && self.stream.grant.permits() && !gone {
            self.follow_consent(sql, now)?;
        } else {
            if !the_same {
                self.courier.forget_pace();
            }
            self.consent_to_the_new(sql, now)?;
        }
        self.flush(sql, now)?;
        self.follow_status(sql, true, now)?;
        Ok(())
    }

    fn follow_choices(&mut self) {
        let window = self.stream.choices.window.map(|window| window as usize);
        self.courier.set_window(window.unwrap_or(self.rules.courier.window));
        let cloudevents = self.stream.configuration.delivery.cloudevents();
        self.courier.set_batch(cloudevents.and_then(|cloudevents| {
            Some(courier::Batch {
                max_events: cloudevents.max_events? as usize,
                max_bytes: cloudevents.max_bytes? as usize,
            })
        }));
    }

    /// Lets out what the status allows, and tells the receiver of a change that it did not make itself (SSF-8.1.2-3). To be
    /// called whenever wishes or holds may have changed. Returns whether there is something new to send.
    fn follow_status(&mut self, sql: &dyn Sql, by_receiver: bool, now: u64) -> Result<bool, SqlError> {
        let wished = self.stream.wishes.status();
        let gate = match wished {
            _ if !self.stream.grant.permits() => Gate::Closed,
            Status::Enabled => Gate::Open,
            Status::Paused | Status::Disabled => Gate::UpdatesOnly,
        };
        self.outbox.set_gate(gate);
        if wished == Status::Disabled && self.stream.announced != Status::Disabled {
            self.courier.forget_lanes();
            let kept = self.courier.kept();
            self.outbox.drop_waiting(sql, &kept)?;
        }
        let relieved = self.stream.full_since.is_some() && self.outbox.is_relieved(now);
        if relieved {
            self.stream.full_since = None;
        }
        let (status, reason) = self.stream.lasting_status(self.courier.hold().as_ref(), now);
        let news = status != self.stream.announced;
        if !news && !relieved {
            return Ok(false);
        }
        self.stream.announced = status;
        self.stream.rev += 1;
        self.stream.save(sql)?;
        if !news {
            return Ok(false);
        }
        if by_receiver || self.stream.forward.is_some() {
            // It knows, or was told by nobody that this is a stream; and what still waits to tell it otherwise is not so any more.
            self.outbox.control().drop_all(sql, Kind::StreamUpdated)?;
            return Ok(false);
        }
        // Each change has a revision of its own, and so an id.
        let rev = self.stream.rev.to_string();
        let jti = jti_for(&self.stream.configuration.stream_id, "stream-updated", &rev);
        let claims = self.stream.updated(&jti, status, reason.as_deref(), now);
        self.outbox.control().add(sql, Kind::StreamUpdated, jti, claims, now)?;
        Ok(true)
    }

    /// Writes delivery's progress down, if there is any.
    pub fn flush(&mut self, sql: &dyn Sql, now: u64) -> Result<(), SqlError> {
        let kept = self.courier.kept();
        if self.outbox.is_dirty() || kept != self.outbox.courier_state() {
            self.outbox.flush(sql, &kept)?;
        }
        self.unflushed = 0;
        self.flushed_at = now;
        Ok(())
    }
}
