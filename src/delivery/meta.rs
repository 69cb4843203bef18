//! The small table every object has: its schema version and single values, and the ordered migrations.
//!
//! An object without this table is empty: it was never created, or deleted itself.

use super::sql::{Row, Sql, SqlError, Value};

/// One step from a schema version to the next: statements run in order.
pub type Migration = &'static [&'static str];

/// Whether this object was ever created. Reads only, so that asking an empty object costs no storage.
pub fn exists(sql: &dyn Sql) -> Result<bool, SqlError> {
    let rows = sql.exec(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'meta'",
        &[],
    )?;
    Ok(!rows.is_empty())
}

/// Brings the object to the newest schema. `migrations[n]` leads from version n to n + 1; a newer database than this code
/// knows is left alone and reported.
pub fn migrate(sql: &dyn Sql, migrations: &[Migration]) -> Result<(), SqlError> {
    sql.exec(
        "CREATE TABLE IF NOT EXISTS meta (k TEXT PRIMARY KEY, v TEXT NOT NULL) WITHOUT ROWID",
        &[],
    )?;
    let current = match get(sql, "schema_version")? {
        Some(text) => text
            .parse::<usize>()
            .map_err(|error| SqlError::corrupt("schema_version", error))?,
        None => 0,
    };
    if current > migrations.len() {
        return Err(SqlError::corrupt(
            "schema_version",
            format!("{current} is newer than this program"),
        ));
    }
    if current == migrations.len() {
        return Ok(());
    }
    for migration in migrations.iter().skip(current) {
        for statement in *migration {
            sql.exec(statement, &[])?;
        }
    }
    set(sql, "schema_version", &migrations.len().to_string())
}

/// A single value.
pub fn get(sql: &dyn Sql, key: &str) -> Result<Option<String>, SqlError> {
    sql.exec("SELECT v FROM meta WHERE k = ?", &[key.into()])?
        .first()
        .map(|row: &Row| row.text(0).map(str::to_owned))
        .transpose()
}

/// A single value that is a number. One that cannot be read counts as absent.
pub fn number(sql: &dyn Sql, key: &str) -> Result<Option<u64>, SqlError> {
    Ok(get(sql, key)?.and_then(|text| text.parse().ok()))
}

/// Sets a single value: one row written.
pub fn set(sql: &dyn Sql, key: &str, value: &str) -> Result<(), SqlError> {
    sql.exec(
        "INSERT INTO meta (k, v) VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET v = excluded.v",
        &[key.into(), Value::from(value)],
    )
    .map(|_| ())
}

/// Takes a single value away.
pub fn delete(sql: &dyn Sql, key: &str) -> Result<(), SqlError> {
    sql.exec("DELETE FROM meta WHERE k = ?", &[key.into()]).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::super::sql::testing::TestSql;
    use super::*;

    const FIRST: Migration = &["CREATE TABLE one (a INTEGER PRIMARY KEY)"];
    const SECOND: Migration = &["ALTER TABLE one ADD COLUMN b TEXT"];

    #[test]
    fn an_object_that_was_never_created_is_seen_without_writing() {
        let sql = TestSql::default();
        assert!(!exists(&sql).unwrap());
        assert_eq!(sql.take_written_rows(), 0);
        migrate(&sql, &[FIRST]).unwrap();
        assert!(exists(&sql).unwrap());
    }

    #[test]
    fn an_older_database_is_brought_forward_and_keeps_its_rows() {
        let sql = TestSql::default();
        migrate(&sql, &[FIRST]).unwrap();
        sql.exec("INSERT INTO one (a) VALUES (7)", &[]).unwrap();
        migrate(&sql, &[FIRST, SECOND]).unwrap();
        migrate(&sql, &[FIRST, SECOND]).unwrap();
        let rows = sql.exec("SELECT a, b FROM one", &[]).unwrap();
        assert_eq!(rows[0].int(0).unwrap(), 7);
        assert_eq!(get(&sql, "schema_version").unwrap().as_deref(), Some("2"));
    }

    #[test]
    fn a_newer_database_is_refused_unchanged() {
        let sql = TestSql::default();
        migrate(&sql, &[FIRST, SECOND]).unwrap();
        assert!(matches!(
            migrate(&sql, &[FIRST]),
            Err(SqlError::Corrupt {
                what: "schema_version",
                ..
            })
        ));
    }
}
