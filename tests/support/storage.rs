//! The objects' databases, from outside: to see how far something has come, and to let time pass that no test can wait for. The
//! tables of the platform's own are those of the pinned workerd.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::Connection;

use crate::harness::Instance;

/// The files of all objects of a class, and the platform's own beside them.
pub fn databases(instance: &Instance, class: &str) -> Vec<PathBuf> {
    let files = |folder: PathBuf| {
        let entries = fs::read_dir(folder).expect("a folder of the platform's");
        entries.map(|entry| entry.expect("an entry").path())
    };
    let is_of_class = |folder: &PathBuf| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&format!("{class}-"))
    };
    let classes = files(instance.data_dir().join("objects")).filter(is_of_class);
    let is_database = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "sqlite");
    classes.flat_map(files).filter(is_database).collect()
}

pub fn has_table(database: &Connection, name: &str) -> bool {
    let sql = "SELECT COUNT(*) FROM sqlite_master WHERE name = ?";
    let found = database.query_row(sql, [name], |row| row.get::<_, u32>(0));
    found.is_ok_and(|found| found > 0)
}

/// Sets the alarms of the tenants' objects to now, as if the time until them had passed.
pub fn let_time_pass(instance: &mut Instance) {
    instance.kill();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    let now = i64::try_from(now.as_nanos()).expect("a time of this century");
    change_alarms(instance, "TenantObject", |database, table| {
        let sql = match table {
            // The platform keeps an object's alarm twice: in the object, and in a list of all.
            Alarms::OfObject => "UPDATE _cf_METADATA SET value = ?1 WHERE key = 1 AND value > ?1",
            Alarms::OfAll => "UPDATE _cf_ALARM SET scheduled_time = ?1 WHERE scheduled_time > ?1",
        };
        database.execute(sql, [now]).expect("an alarm is moved");
    });
    instance.restart();
}

/// Takes the alarms of the objects of a class away, as if the platform had lost them. The process is not running.
pub fn lose_alarms(instance: &Instance, class: &str) {
    change_alarms(instance, class, |database, table| {
        let sql = match table {
            Alarms::OfObject => "DELETE FROM _cf_METADATA WHERE key = 1",
            Alarms::OfAll => "DELETE FROM _cf_ALARM",
        };
        database.execute(sql, []).expect("an alarm is lost");
    });
}

enum Alarms {
    OfObject,
    OfAll,
}

fn change_alarms(instance: &Instance, class: &str, change: impl Fn(&Connection, Alarms)) {
    for path in databases(instance, class) {
        let database = Connection::open(path).expect("a database");
        if has_table(&database, "_cf_METADATA") {
            change(&database, Alarms::OfObject);
        }
        if has_table(&database, "_cf_ALARM") {
            change(&database, Alarms::OfAll);
        }
    }
}
