//! The signing keys of a tenant: which one signs, and which ones are published. Private parts are sealed before they come here.

use serde_json::Value;

use crate::delivery::meta::Migration;
use crate::delivery::sql::{Row, Sql, SqlError};
use crate::protocol::jose::jws::Alg;
use crate::protocol::record::Record;

/// The table of keys.
pub const SCHEMA: Migration = &[
    "CREATE TABLE signing_key (kid TEXT PRIMARY KEY, alg TEXT NOT NULL, public TEXT NOT NULL, \
     sealed TEXT NOT NULL, created_at INTEGER NOT NULL) WITHOUT ROWID",
];

/// From when on a key signs: until then it is only published, so that whoever keeps a copy of our keys comes to know it.
pub const OVERLAP_SCHEMA: Migration = &["ALTER TABLE signing_key ADD COLUMN signs_from INTEGER NOT NULL DEFAULT 0"];

/// A signing key at rest.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
pub struct SigningKey {
    pub kid: String,
    pub alg: Alg,
    /// The public JWK, as published.
    pub public: Value,
    /// The private JWK, encrypted.
    pub sealed: String,
    /// Unix milliseconds.
    pub created_at: u64,
    /// Unix milliseconds.
    pub signs_from: u64,
}

/// The newest key for `alg`, whether it signs already or not.
pub fn newest(sql: &dyn Sql, alg: Alg) -> Result<Option<SigningKey>, SqlError> {
    sql.exec(
        "SELECT kid, alg, public, sealed, created_at, signs_from FROM signing_key WHERE alg = ? \
         ORDER BY created_at DESC, kid LIMIT 1",
        &[alg.name().into()],
    )?
    .first()
    .map(key)
    .transpose()
}

/// The key to sign with at `now`: the newest one for `alg` that signs, else the newest that signs for whatever algorithm,
/// because a tenant that changed its algorithm goes on with the old key until the new one had time to become known.
pub fn current(sql: &dyn Sql, alg: Alg, now: u64) -> Result<Option<SigningKey>, SqlError> {
    sql.exec(
        "SELECT kid, alg, public, sealed, created_at, signs_from FROM signing_key WHERE signs_from <= ? \
         ORDER BY alg = ? DESC, created_at DESC, kid LIMIT 1",
        &[(now as i64).into(), alg.name().into()],
    )?
    .first()
    .map(key)
    .transpose()
}

/// Adds a key unless there already is one for its algorithm: two first uses at once must not make two keys. Returns the key
/// that counts.
pub fn add_first(sql: &dyn Sql, new: SigningKey) -> Result<SigningKey, SqlError> {
    if let Some(earlier) = newest(sql, new.alg)? {
        return Ok(earlier);
    }
    sql.exec(
        "INSERT INTO signing_key (kid, alg, public, sealed, created_at, signs_from) VALUES (?, ?, ?, ?, ?, ?)",
        &[
            new.kid.as_str().into(),
            new.alg.name().into(),
            new.public.to_string().into(),
            new.sealed.as_str().into(),
            (new.created_at as i64).into(),
            (new.signs_from as i64).into(),
        ],
    )?;
    Ok(new)
}

/// The public keys, newest first: the JWKS document's `keys`.
pub fn published(sql: &dyn Sql) -> Result<Vec<Value>, SqlError> {
    sql.exec(
        "SELECT kid, alg, public, sealed, created_at, signs_from FROM signing_key ORDER BY created_at DESC, kid",
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
        signs_from: u64::try_from(row.int(5)?).unwrap_or(0),
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
            signs_from: 0,
        }
    }

    #[test]
    fn two_first_uses_make_one_key() {
        let sql = TestSql::default();
        migrate(&sql, &[SCHEMA, OVERLAP_SCHEMA]).unwrap();
        assert_eq!(newest(&sql, Alg::Rs256).unwrap(), None);
        assert_eq!(add_first(&sql, key("a", Alg::Rs256)).unwrap().kid, "a");
        assert_eq!(add_first(&sql, key("b", Alg::Rs256)).unwrap().kid, "a");
        assert_eq!(add_first(&sql, key("c", Alg::Es256)).unwrap().kid, "c");
        assert_eq!(newest(&sql, Alg::Rs256).unwrap(), Some(key("a", Alg::Rs256)));
        assert_eq!(published(&sql).unwrap().len(), 2);
    }

    #[test]
    fn a_key_is_published_before_it_signs_and_the_old_one_signs_meanwhile() {
        let sql = TestSql::default();
        migrate(&sql, &[SCHEMA, OVERLAP_SCHEMA]).unwrap();
        add_first(&sql, key("old", Alg::Rs256)).unwrap();
        let mut new = key("new", Alg::Es256);
        new.signs_from = 100;
        add_first(&sql, new).unwrap();
        let signs = |alg, now| current(&sql, alg, now).unwrap().unwrap().kid;
        assert_eq!(signs(Alg::Es256, 99), "old");
        assert_eq!(signs(Alg::Es256, 100), "new");
        assert_eq!(signs(Alg::Rs256, 100), "old");
        assert_eq!(published(&sql).unwrap().len(), 2);
    }
}
