//! The object of a stream. It serialises everything that happens to the stream: its configuration, what is accepted for it,
//! and how that is delivered.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::json;
use worker::{DurableObject, Env, Request, Response, State, durable_object};

use crate::delivery::control::Kind;
use crate::delivery::courier::Courier;
use crate::delivery::dead_letters;
use crate::delivery::outbox::{AppendError, Outbox};
use crate::delivery::pace::Pace;
use crate::edge::clock::now_ms;
use crate::edge::command::{Addressed, Answer, Refusal, SealedKey, StreamCommand, StreamReply};
use crate::edge::sql::EdgeSql;
use crate::edge::{context, crypto};
use crate::protocol::set::{Claims, jti_text};
use crate::transmitter::activity::Activity;
use crate::transmitter::filter::Filter;
use crate::transmitter::pulse::Pulse;
use crate::transmitter::stream::{Published, Stream, run_until};

use super::bell::Bell;
use super::exchange::Attempts;
use super::live::Live;
use super::serve::{Alarm, abort, fault, serve};

/// What the seal of a receiver's authorization header authenticates, beside the object's id.
pub const AUTHORIZATION_PLACE: &str = "authorization_header";

/// A run that could not begin is tried again after this at first.
const RUN_AGAIN_MS: u64 = 5_000;

/// Work overdue by this much means that the alarm was lost or hangs.
const OVERDUE_MS: u64 = 30_000;

/// An event id is recognised for ten minutes, so a delivered chunk is kept at least that long.
const LEAST_RETENTION_MS: u64 = crate::delivery::recent::REMEMBER_MS;

#[durable_object(alarm)]
pub struct StreamObject {
    pub(super) state: State,
    pub(super) env: Env,
    pub(super) sql: EdgeSql,
    pub(super) alarm: Alarm,
    pub(super) live: RefCell<Option<Live>>,
    /// Rung when something was appended, or the stream is gone.
    pub(super) bell: Bell,
    pub(super) key: RefCell<Option<(u64, SealedKey)>>,
    /// Counts held polls, so that the oldest of too many held ones is let go.
    pub(super) polls: Cell<u64>,
    /// How many are held right now: who waits for events is there.
    pub(super) held: Rc<Cell<u32>>,
    /// Deleted in this life: nothing may touch storage again.
    pub(super) gone: Cell<bool>,
    /// A write failed: this instance is about to be replaced by one that starts from what is stored.
    broken: Cell<bool>,
    /// Since when a run is under way.
    running_since: Cell<Option<u64>>,
    /// Runs in a row that could not begin, by our own fault.
    failed_runs: Cell<u32>,
    poked_at: Cell<Option<u64>>,
}

impl DurableObject for StreamObject {
    fn new(state: State, env: Env) -> Self {
        let sql = EdgeSql::new(state.storage().sql());
        Self {
            state,
            env,
            sql,
            alarm: Alarm::default(),
            live: RefCell::default(),
            bell: Bell::default(),
            key: RefCell::default(),
            polls: Cell::default(),
            held: Rc::default(),
            gone: Cell::default(),
            broken: Cell::default(),
            running_since: Cell::default(),
            failed_runs: Cell::default(),
            poked_at: Cell::default(),
        }
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        let response = serve(request, |addressed| self.carry_out(addressed)).await;
        self.watch().await;
        response
    }

    /// Never fails: the platform would retry a few times and then drop the alarm. Failed work is armed again instead.
    async fn alarm(&self) -> worker::Result<Response> {
        self.alarm.went_off();
        self.poked_at.set(None);
        let started = now_ms();
        self.running_since.set(Some(started));
        let kept_time = self.keep_time(started);
        let delivered = match kept_time {
            Ok(()) => self.deliver().await,
            Err(refusal) => Err(refusal),
        };
        self.running_since.set(None);
        let pruned = self.prune();
        match delivered.and(pruned) {
            Ok(()) => {
                self.failed_runs.set(0);
                self.rearm().await;
            }
            Err(Refusal::Gone) => {}
            Err(_) => self.run_again_later(started).await,
        }
        Response::empty()
    }
}

impl StreamObject {
    /// Works on what is in memory, loading it first. After a fault of storage the object starts anew from what is stored.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Live) -> Answer<T>) -> Answer<T> {
        if self.gone.get() {
            return Err(Refusal::Gone);
        }
        if self.broken.get() {
            return Err(Refusal::Internal);
        }
        let mut slot = self.live.borrow_mut();
        if slot.is_none() {
            *slot = self.load()?;
        }
        let result = work(slot.as_mut().ok_or(Refusal::Gone)?);
        if matches!(result, Err(Refusal::Internal)) {
            *slot = None;
            self.broken.set(true);
            abort(&self.state, "a fault while writing");
        }
        result
    }

    fn load(&self) -> Answer<Option<Live>> {
        let Some(stream) = Stream::load(&self.sql)? else {
            return Ok(None);
        };
        let settings = context::settings(&self.env).map_err(|error| fault("settings", error))?;
        let outbox = Outbox::load(&self.sql)?;
        let filter = Filter::load(&self.sql)?;
        let keep = settings.retention_ms.max(LEAST_RETENTION_MS);
        let mut live = Live {
            courier: Courier::new(settings.courier(), outbox.courier_state()),
            prune_at: outbox.oldest_delivered(&self.sql)?.map(|at| at + keep),
            grace_ends_at: filter.next_due(),
            activity: Activity::load(&self.sql, stream.created_at, stream.terms.inactivity_ms())?,
            pulse: Pulse::load(&self.sql, stream.created_at)?,
            subject_pace: Pace::default(),
            moves: 0,
            filter,
            stream,
            outbox,
            attempts: Attempts::default(),
            last_success_at: None,
            last_error: None,
            unflushed: 0,
            flushed_at: now_ms(),
        };
        live.follow_status(&self.sql, false, now_ms())?;
        Ok(Some(live))
    }

    async fn carry_out(&self, addressed: Addressed<StreamCommand>) -> Answer<StreamReply> {
        let Addressed {
            tenant,
            client_id,
            command,
        } = addressed;
        if let StreamCommand::Create {
            stream,
            authorization_header,
        } = command
        {
            return self.create(*stream, authorization_header).await;
        }
        let by_receiver = client_id.is_some();
        // Another tenant's or client's stream is not there: the same answer as for an id that is none (SSF-8-5).
        self.with(|live| {
            let is_theirs = tenant.is_none_or(|tenant| tenant == live.stream.tenant)
                && client_id.is_none_or(|client_id| client_id == live.stream.client_id);
            if !is_theirs {
                return Err(Refusal::NotFound);
            }
            if by_receiver {
                live.touch(&self.sql, now_ms())?;
            }
            Ok(())
        })?;
        match command {
            StreamCommand::Create { .. } => Err(Refusal::Internal),
            StreamCommand::Read => self.with(|live| Ok(StreamReply::Stream(Box::new(live.stream.clone())))),
            StreamCommand::Delete => self.delete().await,
            StreamCommand::Append { events } => self.append(&events).await,
            StreamCommand::Poll { request } => {
                let reply = self.poll(request).await;
                self.rearm().await;
                reply
            }
            StreamCommand::Deliveries => self.with(|live| Ok(StreamReply::Deliveries(live.attempts.to_json()))),
            StreamCommand::DeadLetters { after, limit } => self.dead_letters(after, limit),
            managing => {
                let reply = self.manage(managing, by_receiver).await;
                // Whatever changed: polls that are held look again, and the alarm stands right.
                self.bell.ring();
                if self.running_since.get().is_none() {
                    self.rearm().await;
                }
                reply
            }
        }
    }

    async fn create(&self, mut stream: Stream, authorization_header: Option<String>) -> Answer<StreamReply> {
        stream.sealed_authorization = self.seal_authorization(authorization_header).await?;
        if self.gone.get() {
            return Err(Refusal::Gone);
        }
        stream.save(&self.sql)?;
        self.rearm().await;
        Ok(StreamReply::Done)
    }

    /// The receiver's secret as it is stored.
    pub(super) async fn seal_authorization(&self, header: Option<String>) -> Answer<Option<String>> {
        let Some(header) = header else {
            return Ok(None);
        };
        let settings = context::settings(&self.env).map_err(|error| fault("settings", error))?;
        let place = self.place(AUTHORIZATION_PLACE);
        let sealed = crypto::seal(settings.key_encryption_key.expose(), &place, header.as_bytes()).await;
        sealed.map(Some).map_err(|error| fault("seal", error))
    }

    /// Everything goes: queue, secrets, tables, alarm. The object answers "gone" from here on.
    async fn delete(&self) -> Answer<StreamReply> {
        self.gone.set(true);
        self.live.replace(None);
        self.bell.ring();
        let emptied = async {
            self.state.storage().delete_alarm().await?;
            self.state.storage().delete_all().await
        };
        emptied.await.map_err(|error| fault("delete", error))?;
        Ok(StreamReply::Done)
    }

    async fn append(&self, events: &[Published]) -> Answer<StreamReply> {
        let now = now_ms();
        let matched = self.with(|live| {
            let items = live.stream.items(&self.sql, &live.filter, events, now)?;
            let (indices, items): (Vec<_>, Vec<_>) = items.into_iter().unzip();
            match live.outbox.append(&self.sql, &items, now) {
                Ok(_) => Ok(items.len()),
                Err(AppendError::Conflict { index }) => Err(Refusal::IdConflict {
                    index: indices.get(index).copied().unwrap_or(index),
                }),
                Err(AppendError::Sql(error)) => Err(error.into()),
            }
        })?;
        if matched > 0 {
            self.bell.ring();
            // A run under way takes the new events in; it arms the alarm itself when it ends.
            if self.running_since.get().is_none() {
                self.rearm().await;
            }
        }
        Ok(StreamReply::Appended { matched })
    }

    fn dead_letters(&self, after: i64, limit: u32) -> Answer<StreamReply> {
        self.with(|_| {
            let letters = dead_letters::list(&self.sql, after, limit)?;
            let cursor = letters.last().map_or(after, |letter| letter.id);
            let dead_letters = letters
                .iter()
                .map(|letter| {
                    let claims = Claims::parse(&letter.claims).ok();
                    json!({
                        "jti": jti_text(&letter.jti),
                        "type": claims.as_ref().map(|claims| &claims.event_type),
                        "sub_id": claims.as_ref().map(|claims| &claims.sub_id),
                        "at": letter.at,
                        "err": letter.death.err,
                        "description": letter.death.description,
                        "attempts": letter.death.attempts,
                    })
                })
                .collect();
            Ok(StreamReply::DeadLetters { dead_letters, cursor })
        })
    }

    fn prune(&self) -> Answer<()> {
        let settings = context::settings(&self.env).map_err(|error| fault("settings", error))?;
        let keep = settings.retention_ms.max(LEAST_RETENTION_MS);
        let now = now_ms();
        self.with(|live| {
            if live.prune_at.is_some_and(|at| at <= now) {
                let oldest = live.outbox.prune(&self.sql, now.saturating_sub(keep) + 1)?;
                // Still due when there was more than one go's worth.
                live.prune_at = oldest.map(|at| (at + keep).max(now + 1));
            }
            if live.grace_ends_at.is_some_and(|at| at <= now) {
                live.grace_ends_at = live.filter.prune(&self.sql, now)?;
            }
            Ok(())
        })
    }

    /// When the oldest delivered chunk may go.
    fn next_prune(&self, live: &Live) -> Answer<Option<u64>> {
        let settings = context::settings(&self.env).map_err(|error| fault("settings", error))?;
        let keep = settings.retention_ms.max(LEAST_RETENTION_MS);
        Ok(live.outbox.oldest_delivered(&self.sql)?.map(|at| at + keep))
    }

    /// A run could not begin, or end, for reasons of ours: a key that does not open, a setting that forbids the endpoint. The
    /// events wait, the operator can see why, and the tries grow rarer.
    async fn run_again_later(&self, started: u64) {
        let failed = self.failed_runs.get().saturating_add(1);
        self.failed_runs.set(failed);
        let _ = self.with(|live| {
            let known = live.last_error.as_ref().and_then(|error| error.get("at")?.as_u64());
            if known.is_none_or(|at| at < started) {
                let detail = "delivery could not begin, by a fault of this service: its log says which";
                live.last_error = Some(json!({"at": started, "detail": detail}));
            }
            Ok(())
        });
        let Ok(settings) = context::settings(&self.env) else {
            return;
        };
        let wait = settings.retry.backoff_ms(failed, 1.0).max(RUN_AGAIN_MS);
        self.alarm.set(&self.state, now_ms() + wait).await;
    }

    /// What is due by the clock: a receiver that has been silent for too long, a verification event that nobody asked for.
    fn keep_time(&self, now: u64) -> Answer<()> {
        let new = self.with(|live| {
            if self.held.get() > 0 {
                live.touch(&self.sql, now)?;
            }
            if live.inactive_at().is_some_and(|at| at <= now) {
                live.stream.fall_asleep();
                live.stream.rev += 1;
                live.stream.save(&self.sql)?;
            }
            let mut new = live.follow_status(&self.sql, false, now)?;
            if live.heartbeat_at().is_some_and(|at| at <= now) {
                live.pulse.beat(&self.sql, now)?;
                // One that waits still says the same.
                if !live.outbox.control().has(Kind::Verification) {
                    live.verify(&self.sql, None, now)?;
                    new = true;
                }
            }
            Ok(new)
        })?;
        if new {
            self.bell.ring();
        }
        Ok(())
    }

    /// Sets the alarm to the earliest thing that waits: delivery of a push stream, what the clock brings, or pruning.
    pub(super) async fn rearm(&self) {
        let due = self.with(|live| {
            if live.prune_at.is_none() {
                live.prune_at = self.next_prune(live)?;
            }
            let due = [
                live.delivery_due(now_ms()),
                live.prune_at,
                live.grace_ends_at,
                live.inactive_at(),
                live.heartbeat_at(),
            ];
            Ok(due.into_iter().flatten().min())
        });
        if let Ok(Some(due)) = due {
            self.alarm.arm(&self.state, due).await;
        }
    }

    /// The watchdog, run by every request to the object: work that is long overdue means a lost or a hanging alarm. It is set
    /// again once; if that does not help, the object is restarted.
    async fn watch(&self) {
        let now = now_ms();
        if self.running_since.get().is_some_and(|since| since + OVERDUE_MS > now) {
            return;
        }
        let overdue = self.with(|live| {
            let first = live.outbox.window().next().map(|item| item.at);
            let due = live.delivery_due(now);
            let waits_since = first.filter(|_| due.is_some_and(|due| due <= now));
            let overdue = waits_since.is_some_and(|at| at + OVERDUE_MS < now) && live.flushed_at + OVERDUE_MS < now;
            Ok(overdue && run_until(&self.sql)? < now)
        });
        if !matches!(overdue, Ok(true)) {
            self.poked_at.set(None);
            return;
        }
        match self.poked_at.get() {
            None => {
                self.poked_at.set(Some(now));
                self.alarm.set(&self.state, now).await;
            }
            Some(at) if at + OVERDUE_MS < now => abort(&self.state, "the alarm hangs"),
            Some(_) => {}
        }
    }

    pub(super) fn place(&self, field: &str) -> String {
        format!("{} {field}", self.state.id())
    }
}
