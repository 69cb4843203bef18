//! The origins that asked to push to a source, and what was decided about each.

use serde::Serialize;
use serde_json::Value;

use crate::delivery::meta::{self, Migration};
use crate::delivery::sql::{Sql, SqlError};
use crate::protocol::handshake::Rate;
use crate::protocol::json::json;
use crate::protocol::record::{self, Record};

/// The table: one document for each origin.
pub const SCHEMA: Migration = &[
    "CREATE TABLE origin (name TEXT PRIMARY KEY, waits INTEGER NOT NULL, at INTEGER NOT NULL, \
                                 record TEXT NOT NULL)",
];

/// That somebody was granted once.
const GRANTED: &str = "granted";

/// Most origins that wait for a decision; the oldest makes room.
pub const MAX_WAITING: u32 = 20;
/// Most origins that were decided about.
const MAX_DECIDED: u32 = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Record)]
#[serde(rename_all = "snake_case")]
pub enum GrantState {
    Granted,
    Pending,
    Rejected,
}

/// How an origin was told, or by whom it was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Record)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    Options,
    Callback,
    Operator,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Record)]
#[serde(rename_all = "snake_case")]
pub enum CallbackState {
    /// It is called when its time has come, or when the operator approves.
    Waiting,
    Called,
    Failed,
    /// Its URL is not one that is called.
    Refused,
}

/// An origin's callback.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
pub struct Callback {
    /// Of the URL, for the operator.
    pub host: String,
    /// The URL, which is a secret.
    pub sealed: String,
    pub state: CallbackState,
    pub attempts: u32,
    /// Unix milliseconds; `None` while it waits for the operator, and when it is done.
    pub next_at: Option<u64>,
    pub detail: Option<String>,
}

/// An origin that asked. Times in Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Record)]
pub struct Grant {
    pub origin: String,
    pub state: GrantState,
    pub requested_rate: Option<Rate>,
    pub allowed_rate: Option<Rate>,
    /// What the operator allowed, of which it may have asked for less.
    #[serde(default)]
    pub approved_rate: Option<Rate>,
    pub asked_at: u64,
    pub decided_at: Option<u64>,
    pub via: Option<Via>,
    pub callback: Option<Callback>,
    /// Both sides of the last question, as they may be shown.
    pub exchange: Value,
}

impl Grant {
    /// The rate that is kept, where there is one.
    pub fn pace(&self) -> Option<u32> {
        self.allowed_rate.and_then(Rate::per_minute)
    }

    /// As the operator sees it: never the URL of a callback.
    pub fn to_json(&self) -> Value {
        json!({
            "origin": self.origin,
            "state": self.state,
            "requested_rate": self.requested_rate,
            "allowed_rate": self.allowed_rate,
            "asked_at": self.asked_at,
            "decided_at": self.decided_at,
            "via": self.via,
            "callback": self.callback.as_ref().map(|callback| json!({
                "host": callback.host,
                "state": callback.state,
                "attempts": callback.attempts,
                "next_attempt_at": callback.next_at,
                "detail": callback.detail,
            })),
            "exchange": self.exchange,
        })
    }

    /// Decides about the origin.
    pub fn decide(&mut self, state: GrantState, rate: Option<Rate>, via: Via, now: u64) {
        self.state = state;
        self.allowed_rate = rate;
        self.via = Some(via);
        self.decided_at = Some(now);
        if let Some(callback) = self.callback.as_mut().filter(|_| state == GrantState::Rejected) {
            callback.next_at = None;
        }
    }

    /// Whether the operator let it in.
    pub fn is_approved(&self) -> bool {
        self.state == GrantState::Granted && self.via == Some(Via::Operator)
    }

    /// Whether its callback was not called yet.
    pub fn awaits_call(&self) -> bool {
        self.callback
            .as_ref()
            .is_some_and(|callback| callback.state == CallbackState::Waiting)
    }
}

/// Whether any origin was ever granted: from then on origins are asked for.
pub fn any_was_granted(sql: &dyn Sql) -> Result<bool, SqlError> {
    Ok(meta::get(sql, GRANTED)?.is_some())
}

/// Until when an origin has paid for its rate, as far as that was written down, in microseconds.
pub fn paid_until(sql: &dyn Sql, origin: &str) -> Result<u64, SqlError> {
    Ok(meta::number(sql, &format!("pace {origin}"))?.unwrap_or(0))
}

pub fn save_paid_until(sql: &dyn Sql, origin: &str, paid_until_us: u64) -> Result<(), SqlError> {
    meta::set(sql, &format!("pace {origin}"), &paid_until_us.to_string())
}

/// All origins, newest question first.
pub fn all(sql: &dyn Sql) -> Result<Vec<Grant>, SqlError> {
    let rows = sql.exec("SELECT record FROM origin ORDER BY at DESC, name", &[])?;
    rows.iter().map(|row| read(row.text(0)?)).collect()
}

/// What is known of an origin.
pub fn find(sql: &dyn Sql, origin: &str) -> Result<Option<Grant>, SqlError> {
    let rows = sql.exec("SELECT record FROM origin WHERE name = ?", &[origin.into()])?;
    rows.first().map(|row| read(row.text(0)?)).transpose()
}

/// Writes an origin down. Of too many the oldest make room, each kind for its own: those that wait, those that were granted by
/// the rules, and those that the operator decided about, which no stranger may push out.
pub fn save(sql: &dyn Sql, grant: &Grant) -> Result<(), SqlError> {
    let text = record::text(grant);
    let waits: i64 = match (grant.state, grant.via) {
        (GrantState::Pending, _) => 1,
        (_, Some(Via::Operator)) => 2,
        _ => 0,
    };
    sql.exec(
        "INSERT INTO origin (name, waits, at, record) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET \
         waits = excluded.waits, at = excluded.at, record = excluded.record",
        &[
            grant.origin.as_str().into(),
            waits.into(),
            (grant.asked_at as i64).into(),
            text.as_str().into(),
        ],
    )?;
    if grant.state == GrantState::Granted && !any_was_granted(sql)? {
        meta::set(sql, GRANTED, "1")?;
    }
    let most = if waits == 1 { MAX_WAITING } else { MAX_DECIDED };
    sql.exec(
        "DELETE FROM origin WHERE waits = ?1 AND name IN (SELECT name FROM origin WHERE waits = ?1 ORDER BY at DESC, name \
         LIMIT -1 OFFSET ?2)",
        &[waits.into(), most.into()],
    )
    .map(|_| ())
}

/// The earliest instant at which a callback is due.
pub fn callback_due(grants: &[Grant]) -> Option<u64> {
    let due = grants.iter().filter(|grant| grant.awaits_call());
    due.filter_map(|grant| grant.callback.as_ref()?.next_at).min()
}

fn read(text: &str) -> Result<Grant, SqlError> {
    record::read(text).map_err(|error| SqlError::corrupt("origin", error))
}
