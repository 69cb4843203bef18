//! The object of a source: its trust settings, the issuer's keys, the inbox.

use std::cell::{Cell, RefCell};

use serde_json::json;
use worker::{DurableObject, Env, Request, Response, State, durable_object};

use crate::delivery::pace::Pace;
use crate::edge::api::receive::{keys_copy, source_copy};
use crate::edge::clock::now_ms;
use crate::edge::command::{Addressed, Answer, Refusal, SourceCommand, SourceReply, SourceView};
use crate::edge::context;
use crate::edge::http::{self, Incoming, NoAnswer, Outgoing, OutgoingHeaders};
use crate::edge::kv;
use crate::edge::log::{self, Level};
use crate::edge::settings::Settings;
use crate::edge::sql::EdgeSql;
use crate::protocol::endpoint_url::{EndpointUrl, UrlPolicy};
use crate::protocol::jose::jwk::Jwks;
use crate::protocol::metadata::{SSF_CONFIGURATION, TransmitterMetadata, well_known_url};
use crate::receiver::inbox::{self, Accepted};
use crate::receiver::keys::{FetchedKeys, are_fresh, wait_ms};
use crate::receiver::source::{self, Source};

use super::bell::Bell;
use super::serve::{Alarm, Seldom, abort, boxed, fault, serve};
use super::target::Granted;

/// Time for the issuer's metadata, and again for its keys.
const FETCH_TIMEOUT_MS: u32 = 5_000;
/// Most bytes of either.
const FETCH_BYTES: usize = 256 * 1024;

#[durable_object(alarm)]
pub struct SourceObject {
    pub(super) state: State,
    env: Env,
    pub(super) sql: EdgeSql,
    pub(super) alarm: Alarm,
    source: RefCell<Option<Source>>,
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
    gone: Cell<bool>,
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
            fetched: Bell::default(),
            fetching: Cell::default(),
            asked_at: Cell::default(),
            copied_at: Seldom::default(),
            granted: RefCell::default(),
            paces: RefCell::default(),
            questions: Cell::default(),
            gone: Cell::default(),
        }
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        serve(request, |command| self.carry_out(command)).await
    }

    async fn alarm(&self) -> worker::Result<Response> {
        self.alarm.went_off();
        let called = self.call_back().await;
        let pruned = called.and_then(|()| self.prune());
        match pruned {
            Ok(due) => {
                for due in due.into_iter().chain(self.callback_due()) {
                    self.alarm.arm(&self.state, due).await;
                }
            }
            Err(Refusal::Gone) => {}
            Err(_) => self.alarm.arm(&self.state, now_ms() + 60_000).await,
        }
        Response::empty()
    }
}

impl SourceObject {
    pub(super) fn source(&self) -> Answer<Source> {
        if self.gone.get() {
            return Err(Refusal::Gone);
        }
        let mut slot = self.source.borrow_mut();
        if slot.is_none() {
            *slot = Source::load(&self.sql)?;
        }
        slot.clone().ok_or(Refusal::Gone)
    }

    async fn carry_out(&self, addressed: Addressed<SourceCommand>) -> Answer<SourceReply> {
        let is_ours = |source: &Source| addressed.tenant.as_ref().is_none_or(|tenant| *tenant == source.tenant);
        if !matches!(addressed.command, SourceCommand::Create { .. }) && !is_ours(&self.source()?) {
            return Err(Refusal::NotFound);
        }
        match addressed.command {
            SourceCommand::Create { source } => boxed(self.create(*source)).await,
            SourceCommand::View => {
                let view = self.view()?;
                // Whoever asks may have found no copy.
                if self.copied_at.due(now_ms()) {
                    let _ = kv::put(&self.env, &source_copy(&view.source.source_id), &view.source).await;
                }
                Ok(SourceReply::View(Box::new(view)))
            }
            SourceCommand::RefreshKeys => boxed(self.refresh_keys()).await,
            SourceCommand::Change { patch } => boxed(self.change(&patch)).await,
            SourceCommand::Handshake(asker) => boxed(self.asked(*asker)).await,
            SourceCommand::Grants => self.grants(),
            SourceCommand::Decide(decision) => boxed(self.decide(decision)).await,
            SourceCommand::Store { rev, event, origin } => self.store(rev, &event, origin.as_deref()).await,
            SourceCommand::Events { after, limit } => {
                self.source()?;
                Ok(SourceReply::Events(inbox::read(&self.sql, after, limit)?))
            }
            SourceCommand::Delete => boxed(self.delete()).await,
        }
    }

    fn view(&self) -> Answer<SourceView> {
        Ok(SourceView {
            source: self.source()?,
            keys: source::load_keys(&self.sql)?,
        })
    }

    async fn create(&self, source: Source) -> Answer<SourceReply> {
        if self.gone.get() {
            return Err(Refusal::Gone);
        }
        source.save(&self.sql)?;
        self.source.replace(Some(source.clone()));
        // The copy only saves calls to this object.
        let _ = kv::put(&self.env, &source_copy(&source.source_id), &source).await;
        Ok(SourceReply::Done)
    }

    /// Changes what may be changed of a source. Who judged by the old one judges again.
    async fn change(&self, patch: &serde_json::Value) -> Answer<SourceReply> {
        let source = self.source()?.patched(patch)?;
        source.save(&self.sql)?;
        self.source.replace(Some(source.clone()));
        self.forget_granted();
        let _ = kv::put(&self.env, &source_copy(&source.source_id), &source).await;
        self.view().map(|view| SourceReply::View(Box::new(view)))
    }

    async fn store(&self, rev: u64, event: &Accepted, origin: Option<&str>) -> Answer<SourceReply> {
        let source = self.source()?;
        if source.rev != rev {
            return Err(Refusal::Stale);
        }
        let now = now_ms();
        self.let_in(&source, origin, now)?;
        let outcome = inbox::store(&self.sql, event, now).map_err(|error| {
            // Half of a change must not stay: what is not committed goes with this life of the object.
            abort(&self.state, "a fault while storing");
            Refusal::from(error)
        })?;
        // A callback may have set the alarm for earlier; it looks after the events, too.
        if self.alarm.at().is_none() {
            let settings = self.settings()?;
            let oldest = inbox::oldest(&self.sql)?.unwrap_or(now);
            self.alarm.arm(&self.state, oldest + settings.inbox_retention_ms).await;
        }
        Ok(SourceReply::Stored(outcome))
    }

    fn prune(&self) -> Answer<Option<u64>> {
        let keep = self.settings()?.inbox_retention_ms;
        let now = now_ms();
        let oldest = inbox::prune(&self.sql, now.saturating_sub(keep) + 1)?;
        Ok(oldest.map(|at| (at + keep).max(now + 1)))
    }

    async fn delete(&self) -> Answer<SourceReply> {
        let source_id = self.state.id().to_string();
        self.gone.set(true);
        self.source.replace(None);
        self.fetched.ring();
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

    /// Fetches the issuer's keys, one caller at a time and not more often than the settings say.
    async fn refresh_keys(&self) -> Answer<SourceReply> {
        let source = self.source()?;
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
        self.fetching.set(true);
        self.asked_at.set(Some(started));
        let fetched = fetch_keys(&source, &settings).await;
        self.fetching.set(false);
        self.fetched.ring();
        if self.gone.get() {
            return Err(Refusal::Gone);
        }
        match fetched {
            Ok(keys) => {
                source::save_keys(&self.sql, &keys)?;
                let _ = kv::put(&self.env, &keys_copy(&source.source_id), &keys).await;
                Ok(SourceReply::Keys { keys, wait_ms: 0 })
            }
            Err(detail) => {
                log::line(
                    Level::Warn,
                    "keys_not_fetched",
                    json!({"source_id": source.source_id, "issuer": source.issuer, "detail": detail}),
                );
                Err(keys_unavailable())
            }
        }
    }

    /// The keys as they are. They count as fresh when somebody else's fetch brought them after `since`.
    fn stored_keys(&self, since: u64, interval_ms: u64) -> Answer<SourceReply> {
        self.source()?;
        let keys = source::load_keys(&self.sql)?.filter(|keys| are_fresh(keys, now_ms()));
        let keys = keys.ok_or_else(keys_unavailable)?;
        let fresh = keys.fetched_at >= since;
        let wait_ms = if fresh {
            0
        } else {
            wait_ms(self.asked_at.get(), now_ms(), interval_ms).max(1)
        };
        Ok(SourceReply::Keys { keys, wait_ms })
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

/// Metadata of the issuer, then its keys. The error is for our log.
async fn fetch_keys(source: &Source, settings: &Settings) -> Result<FetchedKeys, String> {
    // The issuer may be this very service: its own host is not refused here, nothing is posted to it.
    let policy = UrlPolicy {
        allow_loopback: settings.allow_loopback,
        own_host: None,
        ports: Vec::new(),
    };
    let metadata_url = well_known_url(&source.issuer, SSF_CONFIGURATION).map_err(|error| error.to_string())?;
    let metadata = fetch_json(&metadata_url, &policy).await?;
    let metadata = TransmitterMetadata::parse(&metadata.body, &source.issuer).map_err(|error| error.to_string())?;
    let jwks_uri = metadata.jwks_uri.ok_or("the metadata has no jwks_uri")?;
    let jwks = fetch_json(&jwks_uri, &policy).await?;
    let usable = Jwks::parse(&jwks.body).map_err(|error| error.to_string())?;
    if usable.keys.is_empty() {
        return Err("the issuer publishes no key that may verify".to_owned());
    }
    let jwks = serde_json::from_slice(&jwks.body).map_err(|error| error.to_string())?;
    Ok(FetchedKeys {
        jwks_uri,
        jwks,
        fetched_at: now_ms(),
    })
}

async fn fetch_json(url: &str, policy: &UrlPolicy) -> Result<Incoming, String> {
    let url = EndpointUrl::parse(url, policy).map_err(|error| format!("{url} {error}"))?;
    let headers = OutgoingHeaders::new(&[("accept", "application/json".to_owned())]);
    let request = Outgoing {
        method: "GET",
        url: url.as_str(),
        headers: &headers.map_err(|_| "the request cannot be made")?,
        body: None,
        max_body: FETCH_BYTES,
        needs_body: |_| true,
    };
    match http::send_within(&request, FETCH_TIMEOUT_MS).await {
        Ok(answer) if answer.cut => Err(format!(
            "{} answered with an incomplete or too large body",
            url.as_str()
        )),
        Ok(answer) if answer.status == 200 => Ok(answer),
        Ok(answer) => Err(format!("{} answered {}", url.as_str(), answer.status)),
        Err(NoAnswer::Timeout) => Err(format!("{} did not answer in time", url.as_str())),
        Err(NoAnswer::Unreachable(why)) => Err(format!("{} could not be reached: {why}", url.as_str())),
    }
}
