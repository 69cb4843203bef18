//! A stream as its object has it in memory, and what follows from its state: what is due when, what may leave, what its receiver
//! has to be told.

use serde_json::Value;

use crate::delivery::control::{Gate, Kind};
use crate::delivery::courier::Courier;
use crate::delivery::outbox::Outbox;
use crate::delivery::pace::Pace;
use crate::delivery::sql::Sql;
use crate::edge::clock::now_ms;
use crate::edge::command::Answer;
use crate::protocol::status::Status;
use crate::protocol::stream::Delivery;
use crate::transmitter::activity::Activity;
use crate::transmitter::filter::Filter;
use crate::transmitter::pulse::Pulse;
use crate::transmitter::status::announced;
use crate::transmitter::stream::Stream;
use crate::transmitter::terms::Terms;

use super::exchange::Attempts;
use super::serve::new_jti;

/// What a living stream object has in memory; all of it can be had again from storage.
pub struct Live {
    pub stream: Stream,
    pub filter: Filter,
    pub outbox: Outbox,
    /// How often the stream moved to another endpoint in this life: answers of an earlier one mean nothing for it.
    pub moves: u32,
    pub courier: Courier,
    pub activity: Activity,
    /// When verification events were asked for, and sent unasked.
    pub pulse: Pulse,
    /// How fast subjects are added and removed; forgotten with the object's life.
    pub subject_pace: Pace,
    pub attempts: Attempts,
    pub last_success_at: Option<u64>,
    pub last_error: Option<Value>,
    /// Answers since the cursor was written.
    pub unflushed: usize,
    pub flushed_at: u64,
    /// When delivered chunks may go.
    pub prune_at: Option<u64>,
    /// When subjects past their grace may go.
    pub grace_ends_at: Option<u64>,
}

impl Live {
    /// When the receiver counts as gone, unless it does something before.
    pub fn inactive_at(&self) -> Option<u64> {
        let is_on = self.stream.wishes.status() == Status::Enabled;
        self.activity.ends_at(self.inactivity_ms()).filter(|_| is_on)
    }

    /// When the next verification event is sent unasked.
    pub fn heartbeat_at(&self) -> Option<u64> {
        let is_on = self.stream.wishes.status() == Status::Enabled;
        let interval = u64::from(self.stream.terms.settings.verification_heartbeat) * 1000;
        self.pulse.next_beat(interval).filter(|_| is_on)
    }

    fn inactivity_ms(&self) -> u64 {
        self.stream.terms.inactivity_ms()
    }

    /// The receiver is active now.
    pub fn touch(&mut self, sql: &dyn Sql, now: u64) -> Answer<()> {
        let timeout = self.inactivity_ms();
        Ok(self.activity.touch(sql, now, timeout)?)
    }

    /// Takes new terms, in memory: an inactivity timeout that is another one counts from now.
    pub fn take_terms(&mut self, sql: &dyn Sql, terms: Terms, now: u64) -> Answer<()> {
        let timeout = self.inactivity_ms();
        self.stream.take_terms(terms);
        if self.inactivity_ms() != timeout {
            self.activity.start_anew(sql, now)?;
        }
        Ok(())
    }

    /// Adds a verification event to what waits; without a state nobody asked for it (SSF-8.1.4.2-3).
    pub fn verify(&mut self, sql: &dyn Sql, state: Option<&str>, now: u64) -> Answer<()> {
        let jti = new_jti()?;
        let claims = self.stream.verification(&jti, state, now);
        Ok(self.outbox.control().add(sql, Kind::Verification, jti, claims, now)?)
    }

    /// Lets out what the status allows, and tells the receiver of a change that it did not make itself (SSF-8.1.2-3). To be
    /// called whenever wishes or holds may have changed. Returns whether there is something new to send.
    pub fn follow_status(&mut self, sql: &dyn Sql, by_receiver: bool, now: u64) -> Answer<bool> {
        let wished = self.stream.wishes.status();
        let gate = match wished {
            Status::Enabled => Gate::Open,
            Status::Paused | Status::Disabled => Gate::UpdatesOnly,
        };
        self.outbox.set_gate(gate);
        let (status, reason) = announced(&self.stream.wishes, self.courier.hold().as_ref());
        if status == self.stream.announced {
            return Ok(false);
        }
        if status == Status::Disabled {
            self.courier.forget_lanes();
            let kept = self.courier.kept();
            self.outbox.drop_waiting(sql, &kept)?;
        }
        self.stream.announced = status;
        self.stream.rev += 1;
        self.stream.save(sql)?;
        if by_receiver {
            // It knows; and what still waits to tell it otherwise is not so any more.
            self.outbox.control().drop_all(sql, Kind::StreamUpdated)?;
            return Ok(false);
        }
        let jti = new_jti()?;
        let claims = self.stream.updated(&jti, status, reason.as_deref(), now);
        self.outbox.control().add(sql, Kind::StreamUpdated, jti, claims, now)?;
        Ok(true)
    }

    /// When there is something to push. A polled stream waits for its receiver, not for us.
    pub fn delivery_due(&self, now: u64) -> Option<u64> {
        match self.stream.configuration.delivery {
            Delivery::Push { .. } => self.courier.due_at(&self.outbox, now),
            Delivery::Poll => None,
        }
    }

    /// Writes delivery's progress down, if there is any.
    pub fn flush(&mut self, sql: &dyn Sql) -> Answer<()> {
        let kept = self.courier.kept();
        if self.outbox.is_dirty() || kept != self.outbox.courier_state() {
            self.outbox.flush(sql, &kept)?;
        }
        self.unflushed = 0;
        self.flushed_at = now_ms();
        Ok(())
    }
}
