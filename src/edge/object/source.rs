//! The object of a source: its trust settings, the issuer's keys, the inbox.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::Value;
use worker::{DurableObject, Env, Request, Response, State, durable_object};

use crate::delivery::meta;
use crate::delivery::pace::Pace;
use crate::edge::api::receive::{keys_copy, source_copy};
use crate::edge::clock::now_ms;
use crate::edge::command::{Addressed, Answer, Refusal, SourceCommand, SourceReply, SourceSecrets, SourceView};
use crate::edge::context;
use crate::edge::kv;
use crate::edge::settings::Settings;
use crate::edge::sql::EdgeSql;
use crate::protocol::endpoint_url::UrlPolicy;
use crate::protocol::jose::jwk::Jwks;
use crate::protocol::json;
use crate::protocol::metadata::{
    MetadataError, RISC_CONFIGURATION, SSF_CONFIGURATION, TransmitterMetadata, well_known_url,
};
use crate::receiver::inbox::{self, Accepted, StoreOutcome};
use crate::receiver::intake::AboutStream;
use crate::receiver::keys::{FetchedKeys, are_fresh, wait_ms};
use crate::receiver::poller::Poller;
use crate::receiver::remote::Trouble;
use crate::receiver::setup::Setup;
use crate::receiver::source::{self, Source};
use crate::receiver::tally::Tally;
use crate::receiver::token::Token;
use crate::receiver::wanted;

use super::bell::Bell;
use super::hand_over::HandOver;
use super::inbox::Inbox;
use super::remote::exchange;
use super::serve::{Alarm, Seldom, boxed, fault, serve};
use super::set_up::ours;
use super::source_run::Run;
use super::source_token::Asking;
use super::target::Granted;

/// Time for the issuer's metadata, and again for its keys.
const FETCH_TIMEOUT_MS: u32 = 5_000;
/// Most bytes of either.
const FETCH_BYTES: usize = 256 * 1024;

#[durable_object(alarm)]
pub struct SourceObject {
    pub(super) state: State,
    pub(super) env: Env,
    pub(super) sql: EdgeSql,
    pub(super) alarm: Alarm,
    pub(super) source: RefCell<Option<Rc<Source>>>,
    /// The issuer's keys as stored, once they were looked up.
    keys: RefCell<Option<Rc<FetchedKeys>>>,
    /// Rung when a fetch of keys ended.
    fetched: Bell,
    fetching: Cell<bool>,
    /// The last time the issuer was asked for its keys, whatever came of it.
    asked_at: Cell<Option<u64>>,
    /// When the edge's copy was written last.
    copied_at: Seldom,
    /// Who may push, while it is known.
    pub(super) granted: RefCell<Option<Granted>>,
    /// Who might before something changed, for how fast each pushed.
    pub(super) paces: RefCell<Granted>,
    /// How often origins ask.
    pub(super) questions: Cell<Pace>,
    /// What is known of the inbox, and who waits for it.
    pub(super) inbox: Inbox,
    pub(super) hand_over: HandOver,
    pub(super) gone: Cell<bool>,
    /// Deleted but for its stream at the transmitter.
    pub(super) left: Cell<bool>,
    /// Rung when there is something to do, or to see.
    pub(super) bell: Bell,
    pub(super) run: Run,
    pub(super) setup: RefCell<Option<Setup>>,
    /// Grows when steps are to be done again: what a step finds that began before does not count.
    pub(super) turn: Cell<u32>,
    /// A stream may be made at this moment.
    pub(super) making: Cell<bool>,
    pub(super) token: RefCell<Option<Token>>,
    pub(super) asking: Asking,
    pub(super) poller: RefCell<Poller>,
    /// After a failure to look after the stream: not before then.
    pub(super) watch_again: Cell<u64>,
    /// With whether it changed since it was written.
    pub(super) tally: RefCell<Option<(Tally, bool)>>,
    /// When what nothing but the tally knows was written down last.
    pub(super) told_at: Seldom,
}

impl DurableObject for SourceObject {
    fn new(state: State, env: Env) -> Self {
        let sql = EdgeSql::new(state.storage().sql());
        Self {
            state,
            env,
            sql,
            alarm: Alarm::default(),
            source: RefCell::default(),
            keys: RefCell::default(),
            fetched: Bell::default(),
            fetching: Cell::default(),
            asked_at: Cell::default(),
            copied_at: Seldom::default(),
            granted: RefCell::default(),
            paces: RefCell::default(),
            questions: Cell::default(),
            inbox: Inbox::default(),
            hand_over: HandOver::default(),
            gone: Cell::default(),
            left: Cell::default(),
            bell: Bell::default(),
            run: Run::default(),
            setup: RefCell::default(),
            turn: Cell::default(),
            making: Cell::default(),
            token: RefCell::default(),
            asking: Asking::default(),
            poller: RefCell::default(),
            watch_again: Cell::default(),
            tally: RefCell::default(),
            told_at: Seldom::default(),
        }
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        let response = serve(request, |command| self.carry_out(command)).await;
        self.watch_over().await;
        response
    }

    async fn alarm(&self) -> worker::Result<Response> {
        self.alarm.went_off();
        self.carry_on().await;
        Response::empty()
    }
}

impl SourceObject {
    pub(super) fn source(&self) -> Answer<Rc<Source>> {
        if self.gone.get() {
            return Err(Refusal::Gone);
        }
        let source = self.source_left()?;
        if self.left.get() {
            Err(Refusal::Gone)
        } else {
            Ok(source)
        }
    }

    /// The source, also while it is only there to delete its stream.
    pub(super) fn source_left(&self) -> Answer<Rc<Source>> {
        if self.gone.get() {
            return Err(Refusal::Gone);
        }
        let mut slot = self.source.borrow_mut();
        if slot.is_none() {
            *slot = Source::load(&self.sql)?.map(Rc::new);
            self.left
                .set(slot.is_some() && meta::number(&self.sql, "left_at")?.is_some());
        }
        slot.clone().ok_or(Refusal::Gone)
    }

    async fn carry_out(&self, addressed: Addressed<SourceCommand>) -> Answer<SourceReply> {
        let is_ours = |source: &Source| addressed.tenant.as_ref().is_none_or(|tenant| *tenant == source.tenant);
        let found = match addressed.command {
            SourceCommand::Create { .. } => None,
            SourceCommand::Delete => Some(self.source_left()?),
            _ => Some(self.source()?),
        };
        if !found.as_deref().is_none_or(is_ours) {
            return Err(Refusal::NotFound);
        }
        match addressed.command {
            SourceCommand::Create {
                source,
                secrets,
                subjects,
            } => boxed(self.create(*source, secrets, &subjects)).await,
            SourceCommand::View => {
                let view = self.view()?;
                // Whoever asks may have found no copy.
                if self.copied_at.due(now_ms()) {
                    let _ = kv::put(&self.env, &source_copy(&view.source.source_id), &view.source).await;
                }
                Ok(SourceReply::View(Box::new(view)))
            }
            SourceCommand::KeysFor { kid, alg } => {
                let (keys, wait_ms) = boxed(self.keys_for(kid.as_deref(), &alg)).await?;
                let keys = Rc::unwrap_or_clone(keys);
                Ok(SourceReply::Keys { keys, wait_ms })
            }
            SourceCommand::Change { patch } => boxed(self.change(&patch)).await,
            SourceCommand::Handshake(asker) => boxed(self.asked(*asker)).await,
            SourceCommand::Grants => self.grants(),
            SourceCommand::Decide(decision) => boxed(self.decide(decision)).await,
            SourceCommand::Forward { forward, instead_of } => {
                boxed(self.set_forward(forward, instead_of.as_deref())).await
            }
            SourceCommand::StoreAll { rev, events, origin } => self.store(rev, &events, origin.as_deref(), None).await,
            SourceCommand::Store {
                rev,
                event,
                origin,
                about,
            } => {
                let events = std::slice::from_ref(&event);
                self.store(rev, events, origin.as_deref(), about.as_ref()).await
            }
            SourceCommand::Events {
                search,
                after,
                limit,
                wait_ms,
            } => boxed(self.events(&search, after, limit, wait_ms)).await,
            SourceCommand::Delete => boxed(self.leave()).await,
            SourceCommand::Count { rev, discarded } => {
                if self.source()?.rev != rev {
                    return Err(Refusal::Stale);
                }
                let now = now_ms();
                self.count(|tally| match discarded {
                    true => (tally.discarded, tally.last_event_at) = (tally.discarded + 1, Some(now)),
                    false => tally.refused += 1,
                })?;
                self.write_tally_seldom()?;
                Ok(SourceReply::Done)
            }
            SourceCommand::Sweep => Ok(SourceReply::Done),
            managing => boxed(self.manage_source(managing)).await,
        }
    }

    pub(super) fn view(&self) -> Answer<SourceView> {
        Ok(SourceView {
            source: (*self.source()?).clone(),
            keys: self.keys()?.map(|keys| (*keys).clone()),
        })
    }

    async fn create(&self, source: Source, secrets: SourceSecrets, subjects: &[Value]) -> Answer<SourceReply> {
        let sealed = self.seal_secrets(&secrets).await?;
        if self.gone.get() {
            return Err(Refusal::Gone);
        }
        source.save(&self.sql)?;
        self.keep_secrets(&sealed)?;
        wanted::change(&self.sql, subjects, &[])?;
        self.source.replace(Some(Rc::new(source.clone())));
        // The copy only saves calls to this object.
        let _ = kv::put(&self.env, &source_copy(&source.source_id), &source).await;
        if source.is_managed() {
            self.nudge().await;
        }
        Ok(SourceReply::Done)
    }

    /// A source that was changed and saved becomes the one that counts.
    pub(super) async fn put_source(&self, source: &Source) {
        self.have_source(source);
        self.copy_source().await;
    }

    pub(super) fn have_source(&self, source: &Source) {
        self.source.replace(Some(Rc::new(source.clone())));
        self.forget_granted();
    }

    /// The edge's copy, of what is so now.
    pub(super) async fn copy_source(&self) {
        if let Ok(source) = self.source() {
            let _ = kv::put(&self.env, &source_copy(&source.source_id), &*source).await;
        }
    }

    async fn store(
        &self,
        rev: u64,
        events: &[Accepted],
        origin: Option<&str>,
        about: Option<&AboutStream>,
    ) -> Answer<SourceReply> {
        let source = self.source()?;
        if source.rev != rev {
            return Err(Refusal::Stale);
        }
        let now = now_ms();
        self.let_in(&source, origin, now)?;
        let mut outcome = StoreOutcome::Duplicate;
        for event in events {
            if self.keep(&source, event, about, now)? == StoreOutcome::Stored {
                outcome = StoreOutcome::Stored;
            }
        }
        if outcome == StoreOutcome::Duplicate {
            self.write_tally_seldom()?;
        }
        self.arrived(&source).await?;
        if about.is_some() && source.is_managed() {
            // It may end the set-up, or say that the stream has to be looked at.
            self.nudge().await;
        }
        // A callback may have set the alarm for earlier; it looks after the events, too.
        if self.alarm.at().is_none() && !self.run.is_on() {
            let settings = self.settings()?;
            let oldest = inbox::oldest(&self.sql)?.unwrap_or(now);
            self.alarm.arm(&self.state, oldest + settings.inbox_retention_ms).await;
        }
        Ok(SourceReply::Stored(outcome))
    }

    pub(super) fn prune(&self) -> Answer<Option<u64>> {
        let source = self.source()?;
        let keep = self.settings()?.inbox_retention_ms;
        let now = now_ms();
        self.keep_what_was_counted(&source, now.saturating_sub(keep) + 1)?;
        let oldest = inbox::prune(&self.sql, now.saturating_sub(keep) + 1)?;
        Ok(oldest.map(|at| (at + keep).max(now + 1)))
    }

    pub(super) async fn delete(&self) -> Answer<SourceReply> {
        let source_id = self.state.id().to_string();
        self.gone.set(true);
        self.source.replace(None);
        self.fetched.ring();
        self.inbox.arrived.ring();
        self.bell.ring();
        let emptied = async {
            self.state.storage().delete_alarm().await?;
            self.state.storage().delete_all().await
        };
        emptied.await.map_err(|error| fault("delete", error))?;
        // A copy that stays for a while costs a wasted call: this object says "gone" whatever the copy says.
        let _ = kv::delete(&self.env, &source_copy(&source_id)).await;
        let _ = kv::delete(&self.env, &keys_copy(&source_id)).await;
        Ok(SourceReply::Done)
    }

    /// The issuer's keys as they were fetched last.
    pub(super) fn keys(&self) -> Answer<Option<Rc<FetchedKeys>>> {
        let mut slot = self.keys.borrow_mut();
        if slot.is_none() {
            *slot = source::load_keys(&self.sql)?.map(Rc::new);
        }
        Ok(slot.clone())
    }

    /// Fetches the issuer's keys for somebody who sends tokens: one caller at a time, and not more often than the settings say.
    /// Returns them, and when the issuer may be asked again, in milliseconds from now; 0 when it was asked just now.
    pub(super) async fn refresh_keys(&self) -> Answer<(Rc<FetchedKeys>, u64)> {
        self.source()?;
        let settings = self.settings()?;
        let started = now_ms();
        let rung = self.fetched.count();
        if self.fetching.get() {
            self.fetched.after(rung).await;
            return self.stored_keys(started, settings.key_refetch_ms);
        }
        if wait_ms(self.asked_at.get(), started, settings.key_refetch_ms) > 0 {
            return self.stored_keys(started, settings.key_refetch_ms);
        }
        let fetched = self.fetch_keys(started).await;
        self.source()?;
        match fetched {
            Ok(keys) => Ok((keys, 0)),
            // What keeps them is the operator's to know.
            Err(_) => Err(keys_unavailable()),
        }
    }

    /// Keys that were fetched after `since`. Who comes here may ask the issuer.
    pub(super) async fn fetch_keys(&self, since: u64) -> Result<Rc<FetchedKeys>, Trouble> {
        loop {
            let rung = self.fetched.count();
            if !self.fetching.get() {
                break;
            }
            self.fetched.after(rung).await;
            let stored = self.keys().map_err(ours)?;
            if let Some(keys) = stored.filter(|keys| keys.fetched_at >= since) {
                return Ok(keys);
            }
        }
        let source = self.source().map_err(ours)?;
        let policy = remote_policy(&*self.settings().map_err(ours)?);
        self.fetching.set(true);
        self.asked_at.set(Some(now_ms()));
        let fetched = fetch_keys_of(&source, &policy).await;
        self.fetching.set(false);
        self.fetched.ring();
        let detail = fetched.as_ref().err().map(Trouble::detail);
        self.problem("keys_unavailable", detail).map_err(ours)?;
        let keys = Rc::new(fetched?);
        source::save_keys(&self.sql, &keys).map_err(|error| ours(error.into()))?;
        self.keys.replace(Some(keys.clone()));
        let _ = kv::put(&self.env, &keys_copy(&source.source_id), &*keys).await;
        Ok(keys)
    }

    /// The keys as they are. They count as fresh when somebody else's fetch brought them after `since`.
    fn stored_keys(&self, since: u64, interval_ms: u64) -> Answer<(Rc<FetchedKeys>, u64)> {
        self.source()?;
        let keys = self.keys()?.filter(|keys| are_fresh(keys, now_ms()));
        let keys = keys.ok_or_else(keys_unavailable)?;
        let fresh = keys.fetched_at >= since;
        let wait_ms = if fresh {
            0
        } else {
            wait_ms(self.asked_at.get(), now_ms(), interval_ms).max(1)
        };
        Ok((keys, wait_ms))
    }

    pub(super) fn settings(&self) -> Answer<std::sync::Arc<Settings>> {
        context::settings(&self.env).map_err(|error| fault("settings", error))
    }
}

fn keys_unavailable() -> Refusal {
    Refusal::RemoteFailed {
        detail: "The issuer's keys cannot be had now.".to_owned(),
    }
}

/// Where requests of a source may go. The issuer may be this very service: its own host is not refused.
pub(super) fn remote_policy(settings: &Settings) -> UrlPolicy {
    UrlPolicy {
        allow_loopback: settings.allow_loopback,
        own_host: None,
        ports: Vec::new(),
    }
}

/// Metadata of the issuer, then its keys.
async fn fetch_keys_of(source: &Source, policy: &UrlPolicy) -> Result<FetchedKeys, Trouble> {
    let refused = |detail: &dyn std::fmt::Display| Trouble::Refused(detail.to_string());
    let metadata = fetch_metadata(source, policy).await?;
    let jwks_uri = metadata
        .jwks_uri
        .ok_or_else(|| refused(&"the metadata has no jwks_uri"))?;
    let body = fetch_json(&jwks_uri, policy).await?;
    let usable = Jwks::parse(&body).map_err(|error| refused(&error))?;
    if usable.keys.is_empty() {
        return Err(refused(&"the issuer publishes no key that may verify"));
    }
    let jwks = json::read(&body).ok_or_else(|| refused(&"the key set is not JSON"))?;
    Ok(FetchedKeys {
        jwks_uri,
        jwks,
        fetched_at: now_ms(),
        critical: metadata.critical_subject_members,
    })
}

/// SSF-7.2.2-3: the place of old only where the operator says that the transmitter is of that kind.
pub(super) async fn fetch_metadata(source: &Source, policy: &UrlPolicy) -> Result<TransmitterMetadata, Trouble> {
    let refused = |error: MetadataError| Trouble::Refused(error.to_string());
    let url = |suffix| well_known_url(&source.issuer, suffix).map_err(refused);
    let mut fetched = fetch_json(&url(SSF_CONFIGURATION)?, policy).await;
    if source.managed.legacy.risc_configuration && matches!(fetched, Err(Trouble::Gone(_))) {
        fetched = fetch_json(&url(RISC_CONFIGURATION)?, policy).await;
    }
    TransmitterMetadata::parse(&fetched?, &source.issuer).map_err(refused)
}

pub(super) async fn fetch_json(url: &str, policy: &UrlPolicy) -> Result<Vec<u8>, Trouble> {
    let headers = [("accept", "application/json".to_owned())];
    let answer = exchange("GET", url, &headers, None, policy, FETCH_TIMEOUT_MS, FETCH_BYTES).await?;
    match answer.status {
        200 if !answer.cut => Ok(answer.body),
        200 => Err(Trouble::later(format!(
            "{} answered with an incomplete or too large body",
            answer.what
        ))),
        _ => answer.hear().and(Err(Trouble::later(format!(
            "{} answered {}",
            answer.what, answer.status
        )))),
    }
}
