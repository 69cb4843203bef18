//! A stream as its object keeps it, and how published events become its items.

use std::borrow::Cow;

use serde_json::Value;

use crate::delivery::chunk::{Content, Jti, Lane, NewItem};
use crate::delivery::courier::{Hold, LASTING_MS};
use crate::delivery::meta::{self, Migration};
use crate::delivery::sql::{Sql, SqlError};
use crate::delivery::{control, dead_letters, outbox};
use crate::protocol::cloudevent::Outgoing;
use crate::protocol::event::profile::{self, Profile};
use crate::protocol::event::publish::NewEvent;
use crate::protocol::forward::Form;
use crate::protocol::json::{canonical, json};
use crate::protocol::metadata::DefaultSubjects;
use crate::protocol::operator_request::OnDead;
use crate::protocol::record::{self, Record};
use crate::protocol::set::{Envelope, content_hash, jti_for, jti_text};
use crate::protocol::status::Status;
use crate::protocol::stream::Configuration;
use crate::protocol::{event, status, subject, verification};

use super::envelope;
use super::filter::{self, Filter, Rules};
use super::forward;
use super::grant::Grant;
use super::status::{Wish, Wishes, effective};
use super::terms::Terms;

/// The schema of a stream object, oldest first.
pub const MIGRATIONS: &[Migration] = &[
    outbox::FIRST_SCHEMA,
    RUN_SCHEMA,
    control::SCHEMA,
    filter::SCHEMA,
    outbox::COUNTED_SCHEMA,
    dead_letters::REDRIVE_SCHEMA,
    GRANT_SCHEMA,
];

/// What became of the endpoints' consent, one JSON document each.
const GRANT_SCHEMA: Migration = &["CREATE TABLE grant_history (id INTEGER PRIMARY KEY, record TEXT NOT NULL)"];

/// Until when the alarm run that is under way, if any, may take. Read by the watchdog only.
const RUN_SCHEMA: Migration = &[
    "CREATE TABLE run (one INTEGER PRIMARY KEY CHECK (one = 1), until INTEGER NOT NULL)",
    "INSERT INTO run VALUES (1, 0)",
];

/// A stream, all but its outbox and its subjects. The receiver's secret is only here in sealed form.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
pub struct Stream {
    pub tenant: String,
    pub client_id: String,
    pub configuration: Configuration,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_authorization: Option<String>,
    /// What CloudEvents are signed with, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub webhook_secrets: Vec<SealedSecret>,
    #[serde(default)]
    pub terms: Terms,
    #[serde(default)]
    pub wishes: Wishes,
    /// The status that the receiver was told last, or asked for itself.
    #[serde(default)]
    pub announced: Status,
    /// What the stream began with, or the operator chose for it since. `None` in streams of before there was a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_subjects: Option<DefaultSubjects>,
    #[serde(default)]
    pub choices: Choices,
    /// What the events of a source are handed on in; `None` for a stream of events that were published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<Form>,
    /// Whether the endpoint agreed.
    #[serde(default)]
    pub grant: Grant,
    /// Since when the outbox takes nothing new, in Unix milliseconds; `None` while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_since: Option<u64>,
    /// Unix milliseconds.
    pub created_at: u64,
    /// Grows with every change; a copy with a smaller one is stale.
    pub rev: u64,
}

/// A secret for webhook signatures, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
pub struct SealedSecret {
    pub sealed: String,
    /// Tells it from others: a part of its hash.
    pub id: String,
    /// An older one signs beside the newest until then, in Unix milliseconds; `None` for the newest.
    pub until: Option<u64>,
}

/// Most secrets of before that sign beside the newest (SW-6).
const MAX_OLD_SECRETS: usize = 2;

/// What the operator chose for the delivery of one stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Record)]
pub struct Choices {
    /// Pushes in flight at once; `None` leaves it to the deployment's setting. 1 is strict order.
    #[serde(default)]
    pub window: Option<u32>,
    #[serde(default)]
    pub on_dead: OnDead,
    /// Polls never say `moreAvailable`: there are clients that cannot read it (pitfall 3).
    #[serde(default)]
    pub omits_more_available: bool,
    /// Requests a minute that the endpoint is asked for; `None` leaves it to the deployment's setting.
    #[serde(default)]
    pub request_rate: Option<u32>,
    /// Pushes carry `Origin`, too: the name of that header in the first text of the web hooks (WH-2.1-7).
    #[serde(default)]
    pub legacy_origin_header: bool,
}

/// Why a stream whose outbox is full is not enabled. What waits is delivered all the same: else it would stay full.
const FULL: &str = "the outbox is full: new events are refused until the receiver has taken what waits";

impl Stream {
    /// Writes the stream down, creating the tables in an empty object.
    pub fn save(&self, sql: &dyn Sql) -> Result<(), SqlError> {
        meta::migrate(sql, MIGRATIONS)?;
        let text = record::text(self);
        meta::set(sql, "stream", &text)
    }

    /// The stream of this object, or `None` when it was never created or is deleted.
    pub fn load(sql: &dyn Sql) -> Result<Option<Self>, SqlError> {
        if !meta::exists(sql)? {
            return Ok(None);
        }
        meta::migrate(sql, MIGRATIONS)?;
        let Some(text) = meta::get(sql, "stream")? else {
            return Ok(None);
        };
        let mut stream: Self = record::read(&text).map_err(|error| SqlError::corrupt("stream", error))?;
        // Written before streams knew their terms.
        if stream.terms.rev == 0 {
            stream.terms.events.clone_from(&stream.configuration.events_supported);
        }
        Ok(Some(stream))
    }

    /// Takes new terms, unless it has newer ones: what may be delivered follows from them at once.
    pub fn take_terms(&mut self, terms: Terms) {
        if terms.rev < self.terms.rev {
            return;
        }
        self.configuration = self.configuration.with_supported(&terms.events);
        self.configuration.min_verification_interval = terms.min_verification_interval();
        self.configuration.inactivity_timeout = terms.inactivity_timeout();
        self.terms = terms;
        self.rev += 1;
    }

    /// A new secret signs from `now` on, those of before beside it for `overlap_ms`. Returns until when.
    pub fn add_secret(&mut self, sealed: String, id: String, overlap_ms: u64, now: u64) -> u64 {
        let until = now + overlap_ms;
        for old in &mut self.webhook_secrets {
            old.until = Some(old.until.map_or(until, |at| at.min(until)));
        }
        self.webhook_secrets.retain(|old| old.until.is_some_and(|at| at > now));
        self.webhook_secrets.truncate(MAX_OLD_SECRETS);
        let new = SealedSecret {
            sealed,
            id,
            until: None,
        };
        self.webhook_secrets.insert(0, new);
        until
    }

    /// The `source` of the stream's CloudEvents: their order is its own.
    pub fn event_source(&self) -> String {
        let configuration = &self.configuration;
        format!("{}/streams/{}", configuration.iss, configuration.stream_id)
    }

    /// A stored event, accepted at `at` (Unix milliseconds), in the form that the stream has now.
    pub fn as_now<'a>(&self, stored: &'a [u8], at: u64) -> Cow<'a, [u8]> {
        if let Some(form) = self.forward {
            return forward::body(stored, form).into();
        }
        let Configuration { iss, aud, delivery, .. } = &self.configuration;
        match (delivery.cloudevents(), envelope::is_cloudevent(stored)) {
            (Some(_), false) => envelope::to_cloudevent(stored, &self.event_source()).into(),
            (None, true) => envelope::to_set(stored, iss, aud, seconds(at)).into(),
            _ => stored.into(),
        }
    }

    /// Where a receiver polls this stream: the stream's id makes the URL its own (SSF-6.1.2-3).
    pub fn poll_url(&self) -> String {
        let configuration = &self.configuration;
        format!("{}/ssf/poll/{}", configuration.iss, configuration.stream_id)
    }

    /// Our own wish after the receiver has been inactive for its timeout (SSF-8.1.1-13). Any wish of the receiver's ends it.
    pub fn fall_asleep(&mut self) {
        self.wishes.transmitter = Wish {
            status: self.terms.settings.inactivity_action,
            reason: Some(format!(
                "the receiver was inactive for {} seconds",
                self.terms.settings.inactivity_timeout
            )),
        };
    }

    /// How subjects are judged.
    pub fn subject_rules(&self) -> Rules {
        Rules {
            // CIP-2.4.2-1: whatever was chosen before its client took that profile.
            default_subjects: match self.terms.profile {
                Profile::CaepInterop => DefaultSubjects::All,
                Profile::Ssf | Profile::LegacySubject => self.default_subjects.unwrap_or(self.terms.default_subjects),
            },
            require_shared_member: self.terms.settings.require_shared_subject_member,
            grace_ms: u64::from(self.terms.settings.subject_removal_grace) * 1000,
        }
    }

    /// The status as a receiver sees it, with its reason.
    pub fn status(&self, hold: Option<&Hold>) -> (Status, Option<String>) {
        match self.grant.obstacle() {
            Some(why) => effective(&self.wishes, Some(why)),
            None => self.status_with(hold, self.full_since.is_some()),
        }
    }

    /// The status that a receiver is told about: blind to holds that are over before anybody could be told of them, and to
    /// consent, without which nobody is told anything.
    pub fn lasting_status(&self, hold: Option<&Hold>, now: u64) -> (Status, Option<String>) {
        let full = self.full_is_told_at().is_some_and(|at| at <= now);
        self.status_with(hold.filter(|hold| hold.lasting), full)
    }

    fn status_with(&self, hold: Option<&Hold>, full: bool) -> (Status, Option<String>) {
        let why = hold.map(|hold| format!("delivery waits: {}", hold.reason.text()));
        effective(&self.wishes, why.as_deref().or(full.then_some(FULL)))
    }

    /// When the receiver is told that the outbox is full, if it still is then.
    pub fn full_is_told_at(&self) -> Option<u64> {
        self.full_since.map(|since| since + LASTING_MS)
    }

    /// Whether this is the subject of the stream itself, which is always in it and cannot be removed (SSF-8.1.4.1-5).
    pub fn is_own_subject(&self, subject: &Value) -> bool {
        *subject == verification::subject(&self.configuration.stream_id)
    }

    /// The events this stream carries, with their place in the batch, as items with their final claims. An event is judged
    /// once, when it is accepted at `now` (Unix milliseconds); its `iat` and `jti` stay the same on every attempt. A disabled
    /// stream carries none (SSF-8.1.2.1-3). `number` gives a CloudEvent its place in the order of the stream.
    pub fn items(
        &self,
        sql: &dyn Sql,
        filter: &Filter,
        events: &[Published],
        now: u64,
        mut number: impl FnMut(&Jti, &Content) -> Result<Option<u64>, SqlError>,
    ) -> Result<Vec<(usize, NewItem)>, SqlError> {
        let mut items = Vec::new();
        if self.wishes.status() == Status::Disabled {
            return Ok(items);
        }
        let rules = self.subject_rules();
        for (index, event) in events.iter().enumerate() {
            if !self.configuration.events_delivered.contains(&event.event_type) {
                continue;
            }
            let wanted = filter.takes_all(&rules) || {
                let sub_id = parsed(&event.sub_id);
                filter.judge(sql, &sub_id, &rules, now)?.wanted() || self.is_own_subject(&sub_id)
            };
            if wanted {
                items.push((index, self.item(event, now, &mut number)?));
            }
        }
        Ok(items)
    }

    fn item(
        &self,
        event: &Published,
        now: u64,
        number: &mut impl FnMut(&Jti, &Content) -> Result<Option<u64>, SqlError>,
    ) -> Result<NewItem, SqlError> {
        let jti = jti_for(&self.configuration.stream_id, &event.source, &event.id);
        let shaped = (self.terms.profile != Profile::Ssf).then(|| {
            let (sub_id, given) = (parsed(&event.sub_id), parsed(&event.event));
            profile::shape(self.terms.profile, &event.event_type, &sub_id, &given).to_string()
        });
        let inside = shaped.as_deref().unwrap_or(&event.event);
        let claims = if self.configuration.delivery.cloudevents().is_some() {
            Outgoing {
                id: &jti_text(&jti),
                source: &self.event_source(),
                event_type: &event.event_type,
                time_s: event.toe.unwrap_or(seconds(now)),
                sequence: number(&jti, &event.content)?,
                traceparent: event.traceparent.as_deref(),
                tracestate: event.tracestate.as_deref(),
                sub_id: &event.sub_id,
                event: inside,
                txn: Some(&event.txn),
            }
            .to_structured()
        } else {
            self.claims(
                &jti,
                now,
                &event.txn,
                event.toe,
                &event.sub_id,
                &event.event_type,
                inside,
            )
        };
        Ok(NewItem {
            jti,
            content: event.content,
            lane: event.lane,
            claims,
        })
    }

    /// The claims of a verification event (SSF 8.1.4.1); without `state` when nobody asked for it (SSF-8.1.4.2-3).
    pub fn verification(&self, jti: &Jti, state: Option<&str>, now: u64) -> Vec<u8> {
        self.control_claims(jti, event::VERIFICATION, &verification::event(state), now)
    }

    /// The claims of a stream-updated event (SSF 8.1.5).
    pub fn updated(&self, jti: &Jti, status: Status, reason: Option<&str>, now: u64) -> Vec<u8> {
        self.control_claims(jti, event::STREAM_UPDATED, &status::updated_event(status, reason), now)
    }

    fn control_claims(&self, jti: &Jti, event_type: &str, event: &Value, now: u64) -> Vec<u8> {
        let stream_id = &self.configuration.stream_id;
        let txn = jti_text(&jti_for("txn", stream_id, &jti_text(jti)));
        let sub_id = verification::subject(stream_id).to_string();
        let claims = self.claims(jti, now, &txn, None, &sub_id, event_type, &event.to_string());
        self.as_now(&claims, now).into_owned()
    }

    #[allow(clippy::too_many_arguments)]
    fn claims(
        &self,
        jti: &Jti,
        now: u64,
        txn: &str,
        toe: Option<i64>,
        sub_id: &str,
        event_type: &str,
        event: &str,
    ) -> Vec<u8> {
        Envelope {
            iss: &self.configuration.iss,
            jti: &jti_text(jti),
            iat: seconds(now),
            aud: &self.configuration.aud,
            txn: Some(txn),
            toe,
            sub_id,
            event_type,
            event,
        }
        .to_claims()
    }
}

/// Whole seconds, never ahead of the clock.
fn seconds(at_ms: u64) -> i64 {
    i64::try_from(at_ms / 1000).unwrap_or(i64::MAX)
}

/// What this service wrote itself.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// An accepted event on its way to the streams, the same for each of them. Subject and event are written once: most streams
/// have no need to look into them.
#[derive(Debug, Clone, PartialEq, Record)]
pub struct Published {
    /// Whose `id` it is.
    pub source: String,
    /// The publisher's id, or a random one: then a retry is another event.
    pub id: String,
    #[serde(rename = "type")]
    pub event_type: String,
    /// As JSON, in canonical form.
    pub sub_id: String,
    pub event: String,
    pub txn: String,
    /// Seconds since 1970.
    pub toe: Option<i64>,
    /// The trace that it belongs to. No part of what it says: another attempt may be another span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
    /// Which events it must not overtake.
    pub lane: Lane,
    /// What tells a harmless retry from another event under the same id.
    pub content: [u8; 8],
}

/// Longest event, written out with its subject: a SET beyond this is more than receivers take (CE-1-8).
pub const MAX_EVENT_BYTES: usize = 64 * 1024;

/// An event is longer than [`MAX_EVENT_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is longer than {MAX_EVENT_BYTES} bytes")]
pub struct TooLarge;

impl Published {
    /// Completes what a publisher sent. `random` stands in for a missing id. Without a `txn` of the publisher's, one is
    /// derived, so that the SETs of one event carry the same on all streams (SSF-4.1.9-1, SSF-4.1.9-2).
    pub fn new(event: NewEvent, source: &str, random: String) -> Result<Self, TooLarge> {
        let (sub_id, inside) = (canonical(&event.sub_id), canonical(&event.event));
        let (event_type, txn, toe) = (json!(event.event_type), json!(event.txn), json!(event.toe));
        let content = format!("[{event_type},{sub_id},{inside},{txn},{toe}]");
        if content.len() > MAX_EVENT_BYTES {
            return Err(TooLarge);
        }
        let id = event.id.unwrap_or(random);
        let txn = event.txn.unwrap_or_else(|| jti_text(&jti_for("txn", source, &id)));
        Ok(Self {
            source: source.to_owned(),
            id,
            event_type: event.event_type,
            lane: subject::lane_key(&event.sub_id),
            sub_id,
            event: inside,
            txn,
            toe: event.toe,
            traceparent: event.traceparent,
            tracestate: event.tracestate,
            content: content_hash(content.as_bytes()),
        })
    }
}

/// Notes until when the run that begins may take: one row.
pub fn begin_run(sql: &dyn Sql, until: u64) -> Result<(), SqlError> {
    sql.exec("UPDATE run SET until = ? WHERE one = 1", &[(until as i64).into()])
        .map(|_| ())
}

/// Until when the last run that began may take, in Unix milliseconds; 0 when there was none.
pub fn run_until(sql: &dyn Sql) -> Result<u64, SqlError> {
    let rows = sql.exec("SELECT until FROM run", &[])?;
    rows.first()
        .map_or(Ok(0), |row| Ok(u64::try_from(row.int(0)?).unwrap_or(0)))
}

#[cfg(test)]
#[path = "stream_tests.rs"]
pub(super) mod tests;
