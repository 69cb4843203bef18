//! What a tenant knows by heart: its clients, its streams and sources, and which streams want which event types.
//!
//! Changes that span objects begin here with a row that says so and end here when the other object has done its part; the
//! tenant's alarm finishes what a crash left in between. The routing table may be wider than the truth, never narrower.

use serde::{Deserialize, Serialize};

use crate::delivery::meta::Migration;
use crate::delivery::sql::{Row, Sql, SqlError};
use crate::protocol::client::ClientMetadata;
use crate::protocol::record;

use super::keyring;

/// The schema of a tenant object, oldest first.
pub const MIGRATIONS: &[Migration] = &[FIRST_SCHEMA, keyring::SCHEMA];

const FIRST_SCHEMA: Migration = &[
    "CREATE TABLE client (client_id TEXT PRIMARY KEY, secret_hash BLOB NOT NULL, created_at INTEGER NOT NULL, \
     metadata TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE child (id TEXT PRIMARY KEY, kind TEXT NOT NULL, state TEXT NOT NULL, owner TEXT NOT NULL, \
     label TEXT NOT NULL, created_at INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE route (event_type TEXT NOT NULL, stream_id TEXT NOT NULL, PRIMARY KEY (event_type, stream_id)) WITHOUT ROWID",
];

/// A registered client. Its secret is known only as a hash, apart from this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    pub client_id: String,
    /// RFC 7591 member names, as they were accepted.
    pub metadata: ClientMetadata,
    /// Unix milliseconds.
    pub created_at: u64,
}

/// What kind of object a child is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Stream,
    Source,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Source => "source",
        }
    }
}

/// How far a change that spans objects has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// A stream or a source of the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    pub id: String,
    pub kind: Kind,
    pub state: State,
    /// A stream's client; empty for a source.
    pub owner: String,
    /// A stream's delivery method; a source's issuer.
    pub label: String,
    /// Unix milliseconds.
    pub created_at: u64,
}

/// Registers a client.
pub fn add_client(sql: &dyn Sql, client: &Client, secret_hash: &[u8]) -> Result<(), SqlError> {
    let metadata = serde_json::to_string(&client.metadata).map_err(|error| SqlError::corrupt("client", error))?;
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
/// first: whatever follows it, repair finds.
pub fn begin_child(sql: &dyn Sql, child: &Child, event_types: &[String]) -> Result<(), SqlError> {
    sql.exec(
        "INSERT INTO child (id, kind, state, owner, label, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        &[
            child.id.as_str().into(),
            child.kind.name().into(),
            child.state.name().into(),
            child.owner.as_str().into(),
            child.label.as_str().into(),
            (child.created_at as i64).into(),
        ],
    )?;
    for event_type in event_types {
        sql.exec(
            "INSERT OR IGNORE INTO route (event_type, stream_id) VALUES (?, ?)",
            &[event_type.as_str().into(), child.id.as_str().into()],
        )?;
    }
    Ok(())
}

/// Notes how far a child's change has come.
pub fn set_state(sql: &dyn Sql, id: &str, state: State) -> Result<(), SqlError> {
    sql.exec(
        "UPDATE child SET state = ? WHERE id = ?",
        &[state.name().into(), id.into()],
    )
    .map(|_| ())
}

/// Forgets a child and its routes, after its object is gone.
pub fn remove_child(sql: &dyn Sql, id: &str) -> Result<(), SqlError> {
    sql.exec("DELETE FROM route WHERE stream_id = ?", &[id.into()])?;
    sql.exec("DELETE FROM child WHERE id = ?", &[id.into()]).map(|_| ())
}

/// One child in whatever state.
pub fn child(sql: &dyn Sql, kind: Kind, id: &str) -> Result<Option<Child>, SqlError> {
    sql.exec(
        "SELECT id, kind, state, owner, label, created_at FROM child WHERE id = ? AND kind = ?",
        &[id.into(), kind.name().into()],
    )?
    .first()
    .map(read_child)
    .transpose()
}

/// The active children of a kind, of one owner or of all, oldest first.
pub fn children(sql: &dyn Sql, kind: Kind, owner: Option<&str>) -> Result<Vec<Child>, SqlError> {
    sql.exec(
        "SELECT id, kind, state, owner, label, created_at FROM child WHERE kind = ? AND state = 'active' \
         AND (? IS NULL OR owner = ?) ORDER BY created_at, id",
        &[kind.name().into(), owner.into(), owner.into()],
    )?
    .iter()
    .map(read_child)
    .collect()
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
    sql.exec(
        "SELECT id, kind, state, owner, label, created_at FROM child WHERE state <> 'active'",
        &[],
    )?
    .iter()
    .map(read_child)
    .collect()
}

fn read_child(row: &Row) -> Result<Child, SqlError> {
    let kind = match row.text(1)? {
        "stream" => Kind::Stream,
        "source" => Kind::Source,
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

/// The streams that may want any of these event types, each once.
pub fn route(sql: &dyn Sql, event_types: &[String]) -> Result<Vec<String>, SqlError> {
    let mut streams = std::collections::BTreeSet::new();
    for event_type in event_types {
        for row in sql.exec(
            "SELECT stream_id FROM route WHERE event_type = ?",
            &[event_type.as_str().into()],
        )? {
            streams.insert(row.text(0)?.to_owned());
        }
    }
    Ok(streams.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::meta::migrate;
    use crate::delivery::sql::testing::{Fault, TestSql};
    use crate::protocol::oauth::ScopeSet;
    use crate::protocol::set::Audience;

    fn database() -> TestSql {
        let sql = TestSql::default();
        migrate(&sql, MIGRATIONS).unwrap();
        sql
    }

    fn stream(id: &str, owner: &str) -> Child {
        Child {
            id: id.into(),
            kind: Kind::Stream,
            state: State::Pending,
            owner: owner.into(),
            label: "urn:ietf:rfc:8936".into(),
            created_at: 1,
        }
    }

    fn types(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_stream_is_routed_to_before_it_is_listed_and_listed_no_longer_before_it_is_unrouted() {
        let sql = database();
        begin_child(&sql, &stream("s1", "c1"), &types(&["a", "b"])).unwrap();
        assert_eq!(route(&sql, &types(&["a"])).unwrap(), ["s1"]);
        assert!(children(&sql, Kind::Stream, None).unwrap().is_empty());
        assert_eq!(unfinished(&sql).unwrap().len(), 1);
        set_state(&sql, "s1", State::Active).unwrap();
        assert_eq!(children(&sql, Kind::Stream, Some("c1")).unwrap().len(), 1);
        assert!(children(&sql, Kind::Stream, Some("c2")).unwrap().is_empty());
        set_state(&sql, "s1", State::Deleting).unwrap();
        assert!(children(&sql, Kind::Stream, None).unwrap().is_empty());
        assert_eq!(route(&sql, &types(&["a", "b"])).unwrap(), ["s1"]);
        remove_child(&sql, "s1").unwrap();
        assert!(route(&sql, &types(&["a", "b"])).unwrap().is_empty());
        assert!(unfinished(&sql).unwrap().is_empty());
    }

    #[test]
    fn a_fault_while_beginning_leaves_no_half_of_it() {
        for write in 0..3 {
            for fault in [Fault::Before(write), Fault::After(write)] {
                let sql = database();
                sql.fail(fault);
                let begun = sql.atomic(|sql| begin_child(sql, &stream("s1", "c1"), &types(&["a", "b"])));
                assert!(begun.is_err());
                assert!(route(&sql, &types(&["a", "b"])).unwrap().is_empty());
                assert_eq!(count_children(&sql, Kind::Stream, "c1").unwrap(), 0);
            }
        }
    }

    #[test]
    fn clients_are_kept_with_a_hash_only() {
        let sql = database();
        let acme = Client {
            client_id: "c1".into(),
            metadata: ClientMetadata {
                client_name: "Acme".into(),
                scope: ScopeSet::parse("ssf.read").unwrap(),
                audience: Some(Audience::One("a".into())),
                push_endpoints: vec![],
            },
            created_at: 3,
        };
        add_client(&sql, &acme, &[1, 2]).unwrap();
        assert_eq!(client(&sql, "c1").unwrap(), Some((acme.clone(), vec![1, 2])));
        assert_eq!(client(&sql, "c2").unwrap(), None);
        assert_eq!(clients(&sql).unwrap(), std::slice::from_ref(&acme));
        assert!(add_client(&sql, &acme, &[3]).is_err());
    }
}
