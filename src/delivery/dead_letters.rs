//! Events that could not be delivered, kept with the reason until somebody looks.

use super::chunk::{Jti, NewItem};
use super::meta::{self, Migration};
use super::sql::{Row, Sql, SqlError};

/// Bytes of claims that are sent again in one go.
const BATCH_BYTES: usize = 1024 * 1024;
/// And letters.
const BATCH_LETTERS: u32 = 500;

/// Why an event ended here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// The receiver's error code, or ours (`given_up`, `too_large`, …) where it gave none.
    pub err: String,
    pub description: String,
    /// Attempts made, the last included.
    pub attempts: u32,
}

/// A stored dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub id: i64,
    /// When it was given up, in Unix milliseconds.
    pub at: u64,
    pub death: Death,
    pub item: NewItem,
}

/// Which letters something is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen {
    /// The one of this event.
    One(Jti),
    All,
}

/// The statement that makes the table; part of the outbox's first migration.
pub const CREATE: &str = "CREATE TABLE dead (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, jti BLOB NOT NULL, \
     attempts INTEGER NOT NULL, err TEXT NOT NULL, description TEXT NOT NULL, claims BLOB NOT NULL)";

/// What an event needs to be sent again as it was. Letters from before do not have it.
pub const REDRIVE_SCHEMA: Migration = &[
    "ALTER TABLE dead ADD COLUMN content BLOB NOT NULL DEFAULT x'0000000000000000'",
    "ALTER TABLE dead ADD COLUMN lane BLOB NOT NULL DEFAULT x'0000000000000000'",
];

const COLUMNS: &str = "SELECT id, at, jti, attempts, err, description, claims, content, lane FROM dead";

/// The number of letters that had to make room for others, ever.
const DROPPED: &str = "dead_letters_dropped";

/// Adds a letter: one row. Beyond `most` letters the oldest go, which is counted: two rows more.
pub fn add(sql: &dyn Sql, at: u64, item: &NewItem, death: &Death, most: u32) -> Result<(), SqlError> {
    sql.exec(
        "INSERT INTO dead (at, jti, attempts, err, description, claims, content, lane) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        &[
            (at as i64).into(),
            item.jti.as_slice().into(),
            death.attempts.into(),
            death.err.as_str().into(),
            death.description.as_str().into(),
            item.claims.as_slice().into(),
            item.content.as_slice().into(),
            item.lane.as_slice().into(),
        ],
    )?;
    // Fewer ids than that span cannot be too many letters; only then is it worth counting.
    let span = number(sql, "SELECT MAX(id) - MIN(id) FROM dead", 0)?;
    let over = if span < u64::from(most) {
        0
    } else {
        count(sql)?.saturating_sub(u64::from(most))
    };
    if over > 0 {
        sql.exec(
            "DELETE FROM dead WHERE id IN (SELECT id FROM dead ORDER BY id LIMIT ?)",
            &[(over as i64).into()],
        )?;
        meta::set(sql, DROPPED, &(dropped(sql)? + over).to_string())?;
    }
    Ok(())
}

/// How many letters there are.
pub fn count(sql: &dyn Sql) -> Result<u64, SqlError> {
    number(sql, "SELECT COUNT(*) FROM dead", 0)
}

/// How many letters made room for others so far.
pub fn dropped(sql: &dyn Sql) -> Result<u64, SqlError> {
    Ok(meta::number(sql, DROPPED)?.unwrap_or(0))
}

/// Letters with an id above `after`, oldest first.
pub fn list(sql: &dyn Sql, after: i64, limit: u32) -> Result<Vec<DeadLetter>, SqlError> {
    sql.exec(
        &format!("{COLUMNS} WHERE id > ? ORDER BY id LIMIT ?"),
        &[after.into(), limit.into()],
    )?
    .into_iter()
    .map(read)
    .collect()
}

/// The newest letter of an event.
pub fn find(sql: &dyn Sql, jti: &Jti) -> Result<Option<DeadLetter>, SqlError> {
    let rows = sql.exec(
        &format!("{COLUMNS} WHERE jti = ? ORDER BY id DESC LIMIT 1"),
        &[jti.as_slice().into()],
    )?;
    rows.into_iter().next().map(read).transpose()
}

/// The id of the newest letter; 0 when there is none.
pub fn newest(sql: &dyn Sql) -> Result<i64, SqlError> {
    let rows = sql.exec("SELECT MAX(id) FROM dead", &[])?;
    Ok(rows.first().map_or(Ok(None), |row| row.optional_int(0))?.unwrap_or(0))
}

/// The oldest letters among the chosen ones, as many as are sent again in one go; of all only those up to the id `newest`.
pub fn batch(sql: &dyn Sql, chosen: Chosen, newest: i64) -> Result<Vec<DeadLetter>, SqlError> {
    if let Chosen::One(jti) = chosen {
        return Ok(find(sql, &jti)?.into_iter().collect());
    }
    // Sizes first: the letters may be long, and only so many shall be in memory.
    let sizes = sql.exec(
        "SELECT LENGTH(claims) FROM dead WHERE id <= ? ORDER BY id LIMIT ?",
        &[newest.into(), BATCH_LETTERS.into()],
    )?;
    let mut bytes = 0;
    let mut letters = 0;
    for row in &sizes {
        bytes += usize::try_from(row.int(0)?).unwrap_or(0);
        if letters > 0 && bytes > BATCH_BYTES {
            break;
        }
        letters += 1;
    }
    list(sql, 0, letters)
}

/// Deletes one letter.
pub fn remove(sql: &dyn Sql, id: i64) -> Result<(), SqlError> {
    sql.exec("DELETE FROM dead WHERE id = ?", &[id.into()]).map(|_| ())
}

/// Deletes the chosen letters. Returns how many there were.
pub fn purge(sql: &dyn Sql, chosen: Chosen) -> Result<u64, SqlError> {
    let before = count(sql)?;
    match chosen {
        Chosen::One(jti) => sql.exec("DELETE FROM dead WHERE jti = ?", &[jti.as_slice().into()])?,
        Chosen::All => sql.exec("DELETE FROM dead", &[])?,
    };
    Ok(before - count(sql)?)
}

/// Deletes letters from before that instant (Unix milliseconds).
pub fn prune(sql: &dyn Sql, before: u64) -> Result<(), SqlError> {
    // Letters come in the order of time: the first one says whether there is anything to do.
    let oldest = number(sql, "SELECT at FROM dead ORDER BY id LIMIT 1", u64::MAX)?;
    if oldest < before {
        sql.exec("DELETE FROM dead WHERE at < ?", &[(before as i64).into()])?;
    }
    Ok(())
}

fn number(sql: &dyn Sql, statement: &str, none: u64) -> Result<u64, SqlError> {
    let rows = sql.exec(statement, &[])?;
    let found = rows.first().map_or(Ok(None), |row| row.optional_int(0))?;
    Ok(found.map_or(none, |found| u64::try_from(found).unwrap_or(0)))
}

fn read(mut row: Row) -> Result<DeadLetter, SqlError> {
    let corrupt = |error| SqlError::corrupt("dead letter", error);
    Ok(DeadLetter {
        id: row.int(0)?,
        at: u64::try_from(row.int(1)?).unwrap_or(0),
        death: Death {
            attempts: u32::try_from(row.int(3)?).unwrap_or(u32::MAX),
            err: row.text(4)?.to_owned(),
            description: row.text(5)?.to_owned(),
        },
        item: NewItem {
            jti: Jti::try_from(row.blob(2)?).map_err(corrupt)?,
            content: row.blob(7)?.try_into().map_err(corrupt)?,
            lane: row.blob(8)?.try_into().map_err(corrupt)?,
            claims: row.take_blob(6)?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::meta::migrate;
    use crate::delivery::sql::testing::TestSql;

    fn database() -> TestSql {
        let sql = TestSql::default();
        migrate(&sql, &[&[CREATE], REDRIVE_SCHEMA]).unwrap();
        sql.take_written_rows();
        sql
    }

    fn item(n: u8, size: usize) -> NewItem {
        NewItem {
            jti: [n; 16],
            content: [n; 8],
            lane: [n % 3; 8],
            claims: vec![n; size],
        }
    }

    fn bury(sql: &TestSql, n: u8, at: u64, most: u32) {
        let death = Death {
            err: "refused".into(),
            description: "no".into(),
            attempts: 1,
        };
        add(sql, at, &item(n, 5), &death, most).unwrap();
    }

    fn left(sql: &TestSql) -> Vec<u8> {
        let letters = list(sql, 0, 1000).unwrap();
        letters.iter().map(|letter| letter.item.jti[0]).collect()
    }

    #[test]
    fn the_oldest_make_room_and_are_counted() {
        let sql = database();
        for n in 1..=3 {
            bury(&sql, n, 10, 3);
        }
        assert_eq!(sql.take_written_rows(), 3, "one row each");
        bury(&sql, 4, 10, 3);
        assert_eq!(left(&sql), [2, 3, 4]);
        // Gaps in the ids are no letters.
        assert_eq!(purge(&sql, Chosen::One([3; 16])).unwrap(), 1);
        bury(&sql, 5, 10, 3);
        assert_eq!(left(&sql), [2, 4, 5]);
        assert_eq!(dropped(&sql).unwrap(), 1);
        bury(&sql, 6, 10, 1);
        assert_eq!((left(&sql), dropped(&sql).unwrap()), (vec![6], 4));
    }

    #[test]
    fn a_letter_is_found_by_its_event_and_is_as_it_was() {
        let sql = database();
        bury(&sql, 1, 10, 9);
        bury(&sql, 2, 11, 9);
        let found = find(&sql, &[2; 16]).unwrap().unwrap();
        assert_eq!((found.at, found.item), (11, item(2, 5)));
        assert_eq!(find(&sql, &[3; 16]).unwrap(), None);
        assert_eq!(purge(&sql, Chosen::One([3; 16])).unwrap(), 0);
        assert_eq!(purge(&sql, Chosen::All).unwrap(), 2);
        assert_eq!(count(&sql).unwrap(), 0);
    }

    #[test]
    fn what_is_sent_again_in_one_go_is_bounded_but_never_nothing() {
        let sql = database();
        let death = Death {
            err: String::new(),
            description: String::new(),
            attempts: 1,
        };
        for (n, size) in [(1, 2_000_000), (2, 400_000), (3, 400_000), (4, 400_000)] {
            add(&sql, 1, &item(n, size), &death, 9).unwrap();
        }
        for expected in [&[1][..], &[2, 3], &[4], &[]] {
            let batch = batch(&sql, Chosen::All, newest(&sql).unwrap()).unwrap();
            assert_eq!(
                batch.iter().map(|letter| letter.item.jti[0]).collect::<Vec<_>>(),
                expected
            );
            assert!(super::batch(&sql, Chosen::All, 0).unwrap().is_empty());
            for letter in batch {
                remove(&sql, letter.id).unwrap();
            }
        }
    }

    #[test]
    fn letters_go_with_age() {
        let sql = database();
        for n in 1..=3 {
            bury(&sql, n, u64::from(n) * 100, 9);
        }
        sql.take_written_rows();
        prune(&sql, 100).unwrap();
        assert_eq!(sql.take_written_rows(), 0);
        prune(&sql, 201).unwrap();
        assert_eq!(left(&sql), [3]);
    }

    #[test]
    fn letters_of_an_older_schema_are_read() {
        let sql = TestSql::default();
        migrate(&sql, &[&[CREATE]]).unwrap();
        sql.exec(
            "INSERT INTO dead (at, jti, attempts, err, description, claims) VALUES (1, ?, 2, 'e', 'd', x'07')",
            &[[9; 16].as_slice().into()],
        )
        .unwrap();
        migrate(&sql, &[&[CREATE], REDRIVE_SCHEMA]).unwrap();
        let letter = list(&sql, 0, 1).unwrap().remove(0);
        assert_eq!((letter.item.claims, letter.item.lane), (vec![7], [0; 8]));
    }
}
