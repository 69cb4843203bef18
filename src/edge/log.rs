//! One JSON line per thing worth knowing. Nothing secret ever goes in: no headers, no bodies, no tokens.

use crate::protocol::json::json;
use serde_json::{Map, Value};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// A peer's mistake or a refused request.
    Info,
    /// A peer that keeps us from our work.
    Warn,
    /// Our fault.
    Error,
}

/// Writes a line: `what` happened, with its circumstances.
pub fn line(level: Level, what: &str, circumstances: Value) {
    let mut line = match circumstances {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    line.insert("event".to_owned(), json!(what));
    let (name, write): (_, fn(&str)) = match level {
        Level::Info => ("info", |text| worker::console_log!("{text}")),
        Level::Warn => ("warn", |text| worker::console_warn!("{text}")),
        Level::Error => ("error", |text| worker::console_error!("{text}")),
    };
    line.insert("level".to_owned(), json!(name));
    write(&Value::Object(line).to_string());
}
