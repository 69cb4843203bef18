//! What a tenant knows by heart: its settings, its clients, its streams and sources. The tenant `default` knows the other
//! tenants, too. Which streams want which event types is in [`super::routes`].
//!
//! Changes that span objects begin here with a row that says so and end here when the other object has done its part; the
//! tenant's alarm finishes what a crash left in between.

use crate::delivery::meta::{self, Migration};
use crate::delivery::sql::{Row, Sql, SqlError, Value};
use crate::protocol::client::ClientMetadata;
use crate::protocol::record::{self, Record};
use crate::protocol::tenant::TenantSettings;

use super::{asked, keyring, routes};

/// The schema of a tenant object, oldest first.
pub const MIGRATIONS: &[Migration] = &[
    FIRST_SCHEMA,
    keyring::SCHEMA,
    keyring::OVERLAP_SCHEMA,
    TERMS_SCHEMA,
    asked::SCHEMA,
];

/// Which revision of the terms each stream has, which one it should have at least, and which state of the stream was noted
/// here last: answers of a stream may overtake each other. A stream that is behind is told by the tenant's alarm.
const TERMS_SCHEMA: Migration = &[
    "ALTER TABLE child ADD COLUMN terms_rev INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE child ADD COLUMN wanted_rev INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE child ADD COLUMN stream_rev INTEGER NOT NULL DEFAULT 0",
];

const NAME: &str = "tenant";
const FIRST_USED: &str = "first_used_at";
const CLOSING: &str = "closing";
const SETTINGS: &str = "settings";
/// Grows with every change of terms, whomever it concerns.
const TERMS_REV: &str = "terms_rev";
/// Where that stood at the last change that concerned all streams.
pub(super) const SETTINGS_REV: &str = "settings_rev";

const FIRST_SCHEMA: Migration = &[
    "CREATE TABLE client (client_id TEXT PRIMARY KEY, secret_hash BLOB NOT NULL, created_at INTEGER NOT NULL, \
     metadata TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE child (id TEXT PRIMARY KEY, kind TEXT NOT NULL, state TEXT NOT NULL, owner TEXT NOT NULL, \
     label TEXT NOT NULL, created_at INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE route (event_type TEXT NOT NULL, stream_id TEXT NOT NULL, PRIMARY KEY (event_type, stream_id)) WITHOUT ROWID",
];

/// A registered client. Its secret is known only as a hash, apart from this.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
pub struct Client {
    pub client_id: String,
    /// RFC 7591 member names, as they were accepted.
    pub metadata: ClientMetadata,
    /// Unix milliseconds.
    pub created_at: u64,
}

/// What kind of object a child is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Record)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Stream,
    Source,
    /// Another tenant; its id is its name. Only `default` has such.
    Tenant,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Source => "source",
            Self::Tenant => "tenant",
        }
    }
}

/// How far a change that spans objects has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, Record)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The other object may or may not exist yet; nobody was told of it.
    Pending,
    Active,
    /// The other object may or may not be gone yet.
    Deleting,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Deleting => "deleting",
        }
    }
}

/// A stream or a source of the tenant, or another tenant.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
pub struct Child {
    pub id: String,
    pub kind: Kind,
    pub state: State,
    /// A stream's client; empty for a source.
    pub owner: String,
    /// A stream's delivery method; a source's or tenant's issuer.
    pub label: String,
    /// Unix milliseconds.
    pub created_at: u64,
}

/// The tenant's own name. `default` was never told its own.
pub fn name(sql: &dyn Sql) -> Result<String, SqlError> {
    Ok(meta::get(sql, NAME)?.unwrap_or_else(|| "default".to_owned()))
}

/// Gives the tenant its name.
pub fn set_name(sql: &dyn Sql, name: &str) -> Result<(), SqlError> {
    meta::set(sql, NAME, name)
}

/// When the tenant was used first, in Unix milliseconds: now, if nobody asked before.
pub fn first_used(sql: &dyn Sql, now: u64) -> Result<u64, SqlError> {
    let known = number(sql, FIRST_USED, 0)?;
    if known > 0 {
        return Ok(known);
    }
    meta::set(sql, FIRST_USED, &now.to_string())?;
    Ok(now)
}

/// Whether the tenant is being deleted.
pub fn is_closing(sql: &dyn Sql) -> Result<bool, SqlError> {
    Ok(meta::get(sql, CLOSING)?.is_some())
}

/// From here on there is only deleting.
pub fn set_closing(sql: &dyn Sql) -> Result<(), SqlError> {
    if is_closing(sql)? {
        return Ok(());
    }
    sql.exec("UPDATE child SET state = 'deleting'", &[])?;
    meta::set(sql, CLOSING, "1")
}

/// The tenant's settings; the defaults until something is chosen.
pub fn settings(sql: &dyn Sql) -> Result<TenantSettings, SqlError> {
    match meta::get(sql, SETTINGS)? {
        Some(text) => record::read(&text).map_err(|error| SqlError::corrupt(SETTINGS, error)),
        None => Ok(TenantSettings::default()),
    }
}

/// Sets the tenant's settings. All streams are behind from here on, until they are told.
pub fn set_settings(sql: &dyn Sql, settings: &TenantSettings) -> Result<(), SqlError> {
    let text = record::text(settings);
    meta::set(sql, SETTINGS, &text)?;
    let rev = next_rev(sql)?;
    meta::set(sql, SETTINGS_REV, &rev.to_string())
}

pub(super) fn next_rev(sql: &dyn Sql) -> Result<u64, SqlError> {
    let rev = terms_rev(sql)? + 1;
    meta::set(sql, TERMS_REV, &rev.to_string())?;
    Ok(rev)
}

pub(super) fn number(sql: &dyn Sql, key: &str, otherwise: u64) -> Result<u64, SqlError> {
    Ok(meta::number(sql, key)?.unwrap_or(otherwise))
}

/// The revision of the terms as they are now.
pub fn terms_rev(sql: &dyn Sql) -> Result<u64, SqlError> {
    number(sql, TERMS_REV, 1)
}

/// Registers a client.
pub fn add_client(sql: &dyn Sql, client: &Client, secret_hash: &[u8]) -> Result<(), SqlError> {
    let metadata = record::text(&client.metadata);
    sql.exec(
        "INSERT INTO client (client_id, secret_hash, created_at, metadata) VALUES (?, ?, ?, ?)",
        &[
            client.client_id.as_str().into(),
            secret_hash.into(),
            (client.created_at as i64).into(),
            metadata.into(),
        ],
    )
    .map(|_| ())
}

/// Changes a client's metadata. Its streams are behind from here on.
pub fn change_client(sql: &dyn Sql, client_id: &str, metadata: &ClientMetadata) -> Result<(), SqlError> {
    let text = record::text(metadata);
    sql.exec(
        "UPDATE client SET metadata = ? WHERE client_id = ?",
        &[text.into(), client_id.into()],
    )?;
    let rev = next_rev(sql)?;
    sql.exec(
        "UPDATE child SET wanted_rev = ? WHERE kind = 'stream' AND owner = ?",
        &[(rev as i64).into(), client_id.into()],
    )
    .map(|_| ())
}

/// Forgets a client. Its streams, in whatever state, are being deleted from here on: they are returned, and what is not
/// finished with them now, repair finds.
pub fn remove_client(sql: &dyn Sql, client_id: &str) -> Result<Vec<Child>, SqlError> {
    sql.exec(
        "UPDATE child SET state = 'deleting' WHERE kind = 'stream' AND owner = ?",
        &[client_id.into()],
    )?;
    sql.exec("DELETE FROM client WHERE client_id = ?", &[client_id.into()])?;
    select(sql, "WHERE kind = 'stream' AND owner = ?", &[client_id.into()])
}

/// A client and the hash of its secret.
pub fn client(sql: &dyn Sql, client_id: &str) -> Result<Option<(Client, Vec<u8>)>, SqlError> {
    sql.exec(
        "SELECT client_id, created_at, metadata, secret_hash FROM client WHERE client_id = ?",
        &[client_id.into()],
    )?
    .first()
    .map(|row| Ok((read_client(row)?, row.blob(3)?.to_vec())))
    .transpose()
}

/// All clients, by id.
pub fn clients(sql: &dyn Sql) -> Result<Vec<Client>, SqlError> {
    sql.exec(
        "SELECT client_id, created_at, metadata FROM client ORDER BY client_id",
        &[],
    )?
    .iter()
    .map(read_client)
    .collect()
}

fn read_client(row: &Row) -> Result<Client, SqlError> {
    Ok(Client {
        client_id: row.text(0)?.to_owned(),
        created_at: u64::try_from(row.int(1)?).unwrap_or(0),
        metadata: record::read(row.text(2)?).map_err(|error| SqlError::corrupt("client", error))?,
    })
}

/// Writes the row that a change begins with, and for a stream its routes: wider before the object exists. The row comes
/// first: whatever follows it, repair finds. `requested` is for streams.
pub fn begin_child(sql: &dyn Sql, child: &Child, requested: Option<&[String]>) -> Result<(), SqlError> {
    sql.exec(
        "INSERT INTO child (id, kind, state, owner, label, created_at, terms_rev) VALUES (?, ?, ?, ?, ?, ?, ?)",
        &[
            child.id.as_str().into(),
            child.kind.name().into(),
            child.state.name().into(),
            child.owner.as_str().into(),
            child.label.as_str().into(),
            (child.created_at as i64).into(),
            (terms_rev(sql)? as i64).into(),
        ],
    )?;
    match child.kind {
        Kind::Stream => routes::widen(sql, &child.id, requested),
        Kind::Source | Kind::Tenant => Ok(()),
    }
}

/// Notes how far a child's change has come.
pub fn set_state(sql: &dyn Sql, id: &str, state: State) -> Result<(), SqlError> {
    sql.exec(
        "UPDATE child SET state = ? WHERE id = ?",
        &[state.name().into(), id.into()],
    )
    .map(|_| ())
}

/// Ends a creation. False when the child was deleted meanwhile.
pub fn activate(sql: &dyn Sql, id: &str) -> Result<bool, SqlError> {
    let rows = sql.exec(
        "UPDATE child SET state = 'active' WHERE id = ? AND state = 'pending' RETURNING 1",
        &[id.into()],
    )?;
    Ok(!rows.is_empty())
}

/// Forgets a child and its routes, after its object is gone. One that is active was made anew under the same id: it stays.
pub fn remove_child(sql: &dyn Sql, id: &str) -> Result<(), SqlError> {
    let removed = sql.exec(
        "DELETE FROM child WHERE id = ? AND state <> 'active' RETURNING 1",
        &[id.into()],
    )?;
    if removed.is_empty() {
        return Ok(());
    }
    sql.exec("DELETE FROM route WHERE stream_id = ?", &[id.into()])
        .map(|_| ())
}

/// One child in whatever state.
pub fn child(sql: &dyn Sql, kind: Kind, id: &str) -> Result<Option<Child>, SqlError> {
    Ok(select(sql, "WHERE id = ? AND kind = ?", &[id.into(), kind.name().into()])?.pop())
}

/// The active children of a kind, of one owner or of all, oldest first.
pub fn children(sql: &dyn Sql, kind: Kind, owner: Option<&str>) -> Result<Vec<Child>, SqlError> {
    select(
        sql,
        "WHERE kind = ? AND state = 'active' AND (? IS NULL OR owner = ?) ORDER BY created_at, id",
        &[kind.name().into(), owner.into(), owner.into()],
    )
}

/// The active children of a kind whose ids come after `after`, by id.
pub fn children_after(sql: &dyn Sql, kind: Kind, after: &str, limit: u32) -> Result<Vec<Child>, SqlError> {
    select(
        sql,
        "WHERE id > ? AND kind = ? AND state = 'active' ORDER BY id LIMIT ?",
        &[after.into(), kind.name().into(), limit.into()],
    )
}

/// Children in whatever state, a bounded number of them, by id: for deleting a tenant piece by piece.
pub fn some_children(sql: &dyn Sql, after: &str, limit: u32) -> Result<Vec<Child>, SqlError> {
    select(sql, "WHERE id > ? ORDER BY id LIMIT ?", &[after.into(), limit.into()])
}

/// How many children of a kind an owner has, unfinished ones included: for limits.
pub fn count_children(sql: &dyn Sql, kind: Kind, owner: &str) -> Result<u64, SqlError> {
    let rows = sql.exec(
        "SELECT COUNT(*) FROM child WHERE kind = ? AND owner = ?",
        &[kind.name().into(), owner.into()],
    )?;
    rows.first()
        .map_or(Ok(0), |row| Ok(u64::try_from(row.int(0)?).unwrap_or(0)))
}

/// Children whose change was left in the middle.
pub fn unfinished(sql: &dyn Sql) -> Result<Vec<Child>, SqlError> {
    select(sql, "WHERE state <> 'active'", &[])
}

/// The children that `rest` of a SELECT statement leaves.
pub(super) fn select(sql: &dyn Sql, rest: &str, values: &[Value]) -> Result<Vec<Child>, SqlError> {
    let statement = format!("SELECT id, kind, state, owner, label, created_at FROM child {rest}");
    sql.exec(&statement, values)?.iter().map(read_child).collect()
}

fn read_child(row: &Row) -> Result<Child, SqlError> {
    let kind = match row.text(1)? {
        "stream" => Kind::Stream,
        "source" => Kind::Source,
        "tenant" => Kind::Tenant,
        other => return Err(SqlError::corrupt("child", other)),
    };
    let state = match row.text(2)? {
        "pending" => State::Pending,
        "active" => State::Active,
        "deleting" => State::Deleting,
        other => return Err(SqlError::corrupt("child", other)),
    };
    Ok(Child {
        id: row.text(0)?.to_owned(),
        kind,
        state,
        owner: row.text(3)?.to_owned(),
        label: row.text(4)?.to_owned(),
        created_at: u64::try_from(row.int(5)?).unwrap_or(0),
    })
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
