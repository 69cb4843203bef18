//! The object of a stream. It serialises everything that happens to the stream: its configuration, what is accepted for it,
//! and how that is delivered.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;

use serde_json::Value;
use worker::{DurableObject, Env, Request, Response, State, durable_object};

use crate::delivery::outbox::AppendError;
use crate::edge::clock::now_ms;
use crate::edge::command::{Addressed, Answer, Refusal, SealedKey, StreamCommand, StreamReply};
use crate::edge::settings::Settings;
use crate::edge::sql::EdgeSql;
use crate::edge::{context, crypto};
use crate::protocol::secret::Secret;
use crate::transmitter::live::Live;
use crate::transmitter::stream::{Stream, run_until};

use super::bell::Bell;
use super::exchange::Attempts;
use super::serve::{Alarm, Meter, abort, fault, new_jti, serve};

/// What the seal of a receiver's authorization header authenticates, beside the object's id.
pub const AUTHORIZATION_PLACE: &str = "authorization_header";

/// The same of a secret for webhook signatures.
pub const WEBHOOK_SECRET_PLACE: &str = "webhook_secret";

/// A run that could not begin is tried again after this at first.
const RUN_AGAIN_MS: u64 = 5_000;

/// Work overdue by this much means that the alarm was lost or hangs.
const OVERDUE_MS: u64 = 30_000;

#[durable_object(alarm)]
pub struct StreamObject {
    pub(super) state: State,
    pub(super) env: Env,
    pub(super) sql: EdgeSql,
    pub(super) alarm: Alarm,
    live: RefCell<Option<Live>>,
    /// The last pushes, for the operator.
    pub(super) attempts: RefCell<Attempts>,
    pub(super) meter: Meter,
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
    /// When events were last accepted, and how long after those before.
    accepted: Cell<(u64, u64)>,
    /// Runs in a row that could not begin, by our own fault.
    failed_runs: Cell<u32>,
    poked_at: Cell<Option<u64>>,
    /// The endpoint is being asked for its consent.
    pub(super) asking: Cell<bool>,
    /// Both sides of the last such question, for the operator.
    pub(super) last_ask: RefCell<Option<Value>>,
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
            attempts: RefCell::default(),
            meter: Meter::default(),
            bell: Bell::default(),
            key: RefCell::default(),
            polls: Cell::default(),
            held: Rc::default(),
            gone: Cell::default(),
            broken: Cell::default(),
            running_since: Cell::default(),
            accepted: Cell::default(),
            failed_runs: Cell::default(),
            poked_at: Cell::default(),
            asking: Cell::default(),
            last_ask: RefCell::default(),
        }
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        self.meter.request();
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
            Ok(()) => self.work().await,
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
        let mut live = self.loaded()?;
        let result = work(&mut live);
        drop(live);
        if matches!(result, Err(Refusal::Internal)) {
            self.start_anew();
        }
        result
    }

    /// What is in memory. Apart from `with`, which is compiled for each kind of work.
    fn loaded(&self) -> Answer<RefMut<'_, Live>> {
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
        RefMut::filter_map(slot, Option::as_mut).map_err(|_| Refusal::Gone)
    }

    fn start_anew(&self) {
        self.live.replace(None);
        self.broken.set(true);
        abort(&self.state, "a fault while writing");
    }

    fn load(&self) -> Answer<Option<Live>> {
        let settings = context::settings(&self.env).map_err(|error| fault("settings", error))?;
        Ok(Live::load(&self.sql, settings.delivery, now_ms())?)
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
            webhook_secret,
        } = command
        {
            return self.create(*stream, authorization_header, webhook_secret).await;
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
            StreamCommand::Append { events } => self.append(&|live, now| live.accept(&self.sql, &events, now)).await,
            StreamCommand::Hand { events } => self.append(&|live, now| live.hand(&self.sql, &events, now)).await,
            StreamCommand::Poll { request } => {
                let reply = self.poll(request).await;
                let pruned = self.prune();
                self.rearm().await;
                pruned.and(reply)
            }
            StreamCommand::Deliveries => Ok(StreamReply::Deliveries(self.attempts.borrow().to_json())),
            StreamCommand::DeadLetters { after, limit } => self.dead_letters(after, limit),
            StreamCommand::DeadLetter { jti } => self.dead_letter(&jti),
            StreamCommand::Purge { jti } => self.purge(jti),
            StreamCommand::Sweep => self.prune().map(|()| StreamReply::Done),
            managing => {
                let reply = self.manage(managing, by_receiver).await;
                // Whatever changed: polls that are held look again, and the alarm stands right.
                self.bell.ring();
                self.rearm().await;
                reply
            }
        }
    }

    async fn create(
        &self,
        mut stream: Stream,
        authorization_header: Option<String>,
        webhook_secret: Option<String>,
    ) -> Answer<StreamReply> {
        stream.sealed_authorization = self.seal_authorization(authorization_header).await?;
        if let Some((sealed, id)) = self.seal_webhook_secret(webhook_secret).await? {
            stream.add_secret(sealed, id, 0, now_ms());
        }
        if self.gone.get() {
            return Err(Refusal::Gone);
        }
        stream.save(&self.sql)?;
        self.with(|live| Ok(live.follow_consent(&self.sql, now_ms())?))?;
        self.rearm().await;
        Ok(StreamReply::Done)
    }

    /// The receiver's secret as it is stored.
    pub(super) async fn seal_authorization(&self, header: Option<String>) -> Answer<Option<String>> {
        match header {
            Some(header) => self.seal(AUTHORIZATION_PLACE, &header).await.map(Some),
            None => Ok(None),
        }
    }

    /// A secret for webhook signatures as it is stored, and what tells it from others.
    pub(super) async fn seal_webhook_secret(&self, secret: Option<String>) -> Answer<Option<(String, String)>> {
        match secret {
            Some(secret) => {
                let sealed = self.seal(WEBHOOK_SECRET_PLACE, &secret).await?;
                Ok(Some((sealed, crypto::secret_id(&secret))))
            }
            None => Ok(None),
        }
    }

    async fn seal(&self, place: &str, secret: &str) -> Answer<String> {
        let settings = context::settings(&self.env).map_err(|error| fault("settings", error))?;
        let sealed = crypto::seal(
            settings.key_encryption_key.expose(),
            &self.place(place),
            secret.as_bytes(),
        )
        .await;
        sealed.map_err(|error| fault("seal", error))
    }

    /// A secret as it was before it was sealed.
    pub(super) async fn open(&self, settings: &Settings, place: &str, sealed: &str) -> Answer<Secret<String>> {
        let plain = crypto::open(settings.key_encryption_key.expose(), &self.place(place), sealed).await;
        let plain = plain.map_err(|error| fault(place, error))?;
        String::from_utf8(plain)
            .map(Secret::new)
            .map_err(|error| fault(place, error))
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

    async fn append(&self, accept: &dyn Fn(&mut Live, u64) -> Result<usize, AppendError>) -> Answer<StreamReply> {
        let now = now_ms();
        let accepted = self.with(|live| match accept(live, now) {
            Ok(matched) => Ok(Some(matched)),
            // What is remembered of it was written: no reason to start anew.
            Err(AppendError::Full) => Ok(None),
            Err(AppendError::Conflict { index }) => Err(Refusal::IdConflict { index }),
            Err(AppendError::Sql(error)) => Err(error.into()),
        })?;
        if accepted != Some(0) {
            let (last, _) = self.accepted.get();
            self.accepted.set((now, now.saturating_sub(last)));
            self.bell.ring();
            self.rearm().await;
        }
        match accepted {
            Some(matched) => Ok(StreamReply::Appended { matched }),
            None => Err(Refusal::Full),
        }
    }

    /// Whether the next event is likely to come within that time.
    pub(super) fn is_busy(&self, within_ms: u64) -> bool {
        let (last, gap) = self.accepted.get();
        last > 0 && gap <= within_ms
    }

    fn prune(&self) -> Answer<()> {
        self.with(|live| Ok(live.prune(&self.sql, now_ms())?))
    }

    /// A run could not begin, or end, for reasons of ours: a key that does not open, a setting that forbids the endpoint. The
    /// events wait, the operator can see why, and the tries grow rarer.
    async fn run_again_later(&self, started: u64) {
        let failed = self.failed_runs.get().saturating_add(1);
        self.failed_runs.set(failed);
        let _ = self.with(|live| {
            if live.tally.last_error.as_ref().is_none_or(|error| error.at < started) {
                let detail = "delivery could not begin, by a fault of this service: its log says which";
                live.tally.trouble(detail, started);
            }
            Ok(())
        });
        let Ok(settings) = context::settings(&self.env) else {
            return;
        };
        let wait = settings
            .delivery
            .courier
            .retry
            .backoff_ms(failed, 1.0)
            .max(RUN_AGAIN_MS);
        self.alarm.set(&self.state, now_ms() + wait).await;
    }

    /// What is due by the clock. Who waits for events in a held poll is there.
    pub(super) fn keep_time(&self, now: u64) -> Answer<()> {
        let jti = new_jti()?;
        let new = self.with(|live| {
            if self.held.get() > 0 {
                live.touch(&self.sql, now)?;
            }
            Ok(live.keep_time(&self.sql, jti, now)?)
        })?;
        if new {
            self.bell.ring();
        }
        Ok(())
    }

    /// Sets the alarm to the earliest thing that waits. A run under way takes in what is new, and does this when it ends.
    pub(super) async fn rearm(&self) {
        if self.running_since.get().is_some() {
            return;
        }
        if let Ok(Some(due)) = self.with(|live| Ok(live.wake_at(now_ms()))) {
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
            let overdue = live.overdue_since(now).is_some_and(|at| at + OVERDUE_MS < now);
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
