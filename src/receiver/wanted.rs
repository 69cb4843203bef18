//! The subjects that a source wants added at the transmitter, each with how far that has come: added and removed one by one,
//! as the standard has it, and resumed where a crash left off.

use serde_json::Value;

use crate::delivery::meta::Migration;
use crate::delivery::sql::{Row, Sql, SqlError};
use crate::protocol::json::json;
use crate::protocol::subject::fingerprint;

/// `state`: one of the numbers below. The last: its removal was refused.
pub const SCHEMA: Migration = &[
    "CREATE TABLE wanted (seq INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, subject TEXT NOT NULL, state INTEGER NOT NULL, detail TEXT)",
];

const TO_ADD: i64 = 0;
const ADDED: i64 = 1;
const REFUSED: i64 = 2;
const TO_REMOVE: i64 = 3;
const KEPT: i64 = 4;

/// A subject whose turn it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    pub seq: i64,
    pub subject: Value,
    pub remove: bool,
}

/// Notes what is wanted from now on. Asking again for what is there already asks again only if it was refused.
pub fn change(sql: &dyn Sql, add: &[Value], remove: &[Value]) -> Result<(), SqlError> {
    for (subjects, state) in [(add, TO_ADD), (remove, TO_REMOVE)] {
        for subject in subjects {
            sql.exec(
                "INSERT INTO wanted (key, subject, state) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE \
                 SET state = excluded.state, detail = NULL WHERE NOT (state = 1 AND excluded.state = 0)",
                &[
                    fingerprint(subject).as_slice().into(),
                    subject.to_string().into(),
                    state.into(),
                ],
            )?;
        }
    }
    Ok(())
}

/// From now on exactly these are wanted.
pub fn replace(sql: &dyn Sql, subjects: &[Value]) -> Result<(), SqlError> {
    let kept: Vec<_> = subjects.iter().map(fingerprint).collect();
    for row in sql.exec("SELECT seq, key FROM wanted WHERE state <> 3", &[])? {
        let key = row.blob(1)?;
        if !kept.iter().any(|kept| kept == key) {
            let statement = "UPDATE wanted SET state = 3, detail = NULL WHERE seq = ?";
            sql.exec(statement, &[row.int(0)?.into()])?;
        }
    }
    change(sql, subjects, &[])
}

/// How many wait.
pub fn waiting(sql: &dyn Sql) -> Result<u64, SqlError> {
    count(sql, "SELECT COUNT(*) FROM wanted WHERE state IN (0, 3)")
}

/// How many were refused.
pub fn refused(sql: &dyn Sql) -> Result<u64, SqlError> {
    count(sql, "SELECT COUNT(*) FROM wanted WHERE state IN (2, 4)")
}

fn count(sql: &dyn Sql, statement: &str) -> Result<u64, SqlError> {
    let rows = sql.exec(statement, &[])?;
    rows.first()
        .map_or(Ok(0), |row| Ok(u64::try_from(row.int(0)?).unwrap_or(0)))
}

/// The next ones, oldest first.
pub fn due(sql: &dyn Sql, limit: u32) -> Result<Vec<Due>, SqlError> {
    let statement = "SELECT seq, subject, state FROM wanted WHERE state IN (0, 3) ORDER BY seq LIMIT ?";
    let read = |row: &Row| {
        Ok(Due {
            seq: row.int(0)?,
            subject: read_subject(row.text(1)?)?,
            remove: row.int(2)? == TO_REMOVE,
        })
    };
    sql.exec(statement, &[limit.into()])?.iter().map(read).collect()
}

fn read_subject(text: &str) -> Result<Value, SqlError> {
    serde_json::from_str(text).map_err(|error| SqlError::corrupt("subject", error))
}

/// What came of one: nothing but success for a removal lets it go; a refusal says why. Somebody may have wished otherwise
/// meanwhile: then that still waits.
pub fn settle(sql: &dyn Sql, due: &Due, refused: Option<&str>) -> Result<(), SqlError> {
    let was = if due.remove { TO_REMOVE } else { TO_ADD };
    match (refused, due.remove) {
        (None, true) => sql.exec(
            "DELETE FROM wanted WHERE seq = ? AND state = ?",
            &[due.seq.into(), was.into()],
        )?,
        _ => sql.exec(
            "UPDATE wanted SET state = ?, detail = ? WHERE seq = ? AND state = ?",
            &[
                match (refused, due.remove) {
                    (None, _) => ADDED,
                    (Some(_), false) => REFUSED,
                    (Some(_), true) => KEPT,
                }
                .into(),
                refused.into(),
                due.seq.into(),
                was.into(),
            ],
        )?,
    };
    Ok(())
}

/// A new stream knows none of them, and may take what another one refused.
pub fn start_over(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.exec("DELETE FROM wanted WHERE state IN (3, 4)", &[])?;
    sql.exec("UPDATE wanted SET state = 0, detail = NULL WHERE state IN (1, 2)", &[])?;
    Ok(())
}

/// A page for the operator.
pub fn list(sql: &dyn Sql, after: i64, limit: u32) -> Result<Value, SqlError> {
    let rows = sql.exec(
        "SELECT seq, subject, state, COALESCE(detail, '') FROM wanted WHERE seq > ? ORDER BY seq LIMIT ?",
        &[after.into(), limit.into()],
    )?;
    let mut cursor = after;
    let mut subjects = Vec::with_capacity(rows.len());
    for row in &rows {
        cursor = row.int(0)?;
        let state = match row.int(2)? {
            ADDED => "added",
            REFUSED | KEPT => "refused",
            _ => "waiting",
        };
        let detail = Some(row.text(3)?).filter(|detail| !detail.is_empty());
        subjects.push(json!({"subject": read_subject(row.text(1)?)?, "state": state, "detail": detail}));
    }
    Ok(json!({"subjects": subjects, "cursor": cursor.to_string()}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::meta::migrate;
    use crate::delivery::sql::testing::TestSql;
    use serde_json::json;

    fn subject(n: u32) -> Value {
        json!({"format": "opaque", "id": n.to_string()})
    }

    fn states(sql: &TestSql) -> Vec<String> {
        let list = list(sql, 0, 100).unwrap();
        let entries = list["subjects"].as_array().unwrap().iter();
        entries
            .map(|entry| {
                format!(
                    "{}{}",
                    entry["subject"]["id"].as_str().unwrap(),
                    entry["state"].as_str().unwrap()
                )
            })
            .collect()
    }

    #[test]
    fn subjects_are_settled_one_by_one_and_what_is_left_is_found_again() {
        let sql = TestSql::default();
        migrate(&sql, &[SCHEMA]).unwrap();
        change(&sql, &[subject(1), subject(2), subject(3)], &[]).unwrap();
        assert_eq!(waiting(&sql).unwrap(), 3);
        let first = due(&sql, 2).unwrap();
        settle(&sql, &first[0], None).unwrap();
        settle(&sql, &first[1], Some("answered 400")).unwrap();
        assert_eq!(states(&sql), ["1added", "2refused", "3waiting"]);
        assert_eq!((waiting(&sql).unwrap(), refused(&sql).unwrap()), (1, 1));
        change(&sql, &[subject(1), subject(2)], &[]).unwrap();
        assert_eq!(
            states(&sql),
            ["1added", "2waiting", "3waiting"],
            "what was refused is asked again"
        );
        change(&sql, &[], &[subject(1)]).unwrap();
        let removal = due(&sql, 1).unwrap().remove(0);
        assert!(removal.remove);
        change(&sql, &[subject(1)], &[]).unwrap();
        settle(&sql, &removal, None).unwrap();
        assert_eq!(states(&sql)[0], "1waiting", "wanted again while it was removed");
        replace(&sql, &[subject(2), subject(4)]).unwrap();
        let removals: Vec<bool> = due(&sql, 10).unwrap().iter().map(|due| due.remove).collect();
        assert_eq!(
            removals,
            [true, false, true, false],
            "1 and 3 go, 2 is asked again, 4 comes"
        );
        change(&sql, &[subject(1), subject(3)], &[]).unwrap();
        start_over(&sql).unwrap();
        assert_eq!(waiting(&sql).unwrap(), 4);
    }

    #[test]
    fn a_new_stream_is_asked_for_what_another_refused_and_keeps_nobody_who_should_go() {
        let sql = TestSql::default();
        migrate(&sql, &[SCHEMA]).unwrap();
        change(&sql, &[subject(1), subject(2)], &[subject(3)]).unwrap();
        for due in due(&sql, 3).unwrap() {
            settle(&sql, &due, Some("answered 403").filter(|_| due.seq != 1)).unwrap();
        }
        assert_eq!(states(&sql), ["1added", "2refused", "3refused"]);
        assert_eq!(refused(&sql).unwrap(), 2);
        start_over(&sql).unwrap();
        assert_eq!(
            (states(&sql), refused(&sql).unwrap()),
            (vec!["1waiting".to_owned(), "2waiting".to_owned()], 0)
        );
        assert!(due(&sql, 9).unwrap().iter().all(|due| !due.remove));
    }
}
