//! The signing keys of a tenant: which one signs, and which ones are published. Private parts are sealed before they come here.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::delivery::meta::Migration;
use crate::delivery::sql::{Row, Sql, SqlError};
use crate::protocol::jose::jws::Alg;

/// The table of keys.
pub const SCHEMA: Migration = &[
    "CREATE TABLE signing_key (kid TEXT PRIMARY KEY, alg TEXT NOT NULL, public TEXT NOT NULL, \
     sealed TEXT NOT NULL, created_at INTEGER NOT NULL) WITHOUT ROWID",
];

/// A signing key at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKey {
    pub kid: String,
    pub alg: Alg,
    /// The public JWK, as published.
    pub public: Value,
    /// The private JWK, encrypted.
    pub sealed: String,
    /// Unix milliseconds.
    pub created_at: u64,
}

/// The key that signs with `alg`: the newest one.
pub fn current(sql: &dyn Sql, alg: Alg) -> Result<Option<SigningKey>, SqlError> {
    sql.exec(
        "SELECT kid, alg, public, sealed, created_at FROM signing_key WHERE alg = ? ORDER BY created_at DESC, kid LIMIT 1",
        &[alg.name().into()],
    )?
    .first()
    .map(key)
    .transpose()
}

/// Adds a key unless there already is one for its algorithm: two first uses at once must not make two keys. Returns the key
/// that counts.
pub fn add_first(sql: &dyn Sql, new: SigningKey) -> Result<SigningKey, SqlError> {
    if let Some(earlier) = current(sql, new.alg)? {
        return Ok(earlier);
    }
    sql.exec(
        "INSERT INTO signing_key (kid, alg, public, sealed, created_at) VALUES (?, ?, ?, ?, ?)",
        &[
            new.kid.as_str().into(),
            new.alg.name().into(),
            new.public.to_string().into(),
            new.sealed.as_str().into(),
            (new.created_at as i64).into(),
        ],
    )?;
    Ok(new)
}

/// The public keys, newest first: the JWKS document's `keys`.
pub fn published(sql: &dyn Sql) -> Result<Vec<Value>, SqlError> {
    sql.exec(
        "SELECT kid, alg, public, sealed, created_at FROM signing_key ORDER BY created_at DESC, kid",
        &[],
    )?
    .iter()
    .map(|row| key(row).map(|key| key.public))
    .collect()
}

fn key(row: &Row) -> Result<SigningKey, SqlError> {
    let alg = row.text(1)?;
    Ok(SigningKey {
        kid: row.text(0)?.to_owned(),
        alg: Alg::from_name(alg).ok_or_else(|| SqlError::corrupt("signing key", alg))?,
        public: serde_json::from_str(row.text(2)?).map_err(|error| SqlError::corrupt("signing key", error))?,
        sealed: row.text(3)?.to_owned(),
        created_at: u64::try_from(row.int(4)?).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::meta::migrate;
    use crate::delivery::sql::testing::TestSql;
    use serde_json::json;

    fn key(kid: &str, alg: Alg) -> SigningKey {
        SigningKey {
            kid: kid.into(),
            alg,
            public: json!({"kid": kid}),
            sealed: "x".into(),
            created_at: 1,
        }
    }

    #[test]
    fn two_first_uses_make_one_key() {
        let sql = TestSql::default();
        migrate(&sql, &[SCHEMA]).unwrap();
        assert_eq!(current(&sql, Alg::Rs256).unwrap(), None);
        assert_eq!(add_first(&sql, key("a", Alg::Rs256)).unwrap().kid, "a");
        assert_eq!(add_first(&sql, key("b", Alg::Rs256)).unwrap().kid, "a");
        assert_eq!(add_first(&sql, key("c", Alg::Es256)).unwrap().kid, "c");
        assert_eq!(current(&sql, Alg::Rs256).unwrap(), Some(key("a", Alg::Rs256)));
        assert_eq!(published(&sql).unwrap().len(), 2);
    }
}
