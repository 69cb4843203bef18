//! How many SETs came and what became of them: counted in memory, written down when something else is written.

use serde::Serialize;

use crate::delivery::meta;
use crate::delivery::sql::{Sql, SqlError};
use crate::protocol::record::{self, Record};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Record)]
pub struct Tally {
    pub received: u64,
    pub duplicates: u64,
    pub refused: u64,
    pub discarded: u64,
    /// Unix milliseconds.
    pub last_event_at: Option<u64>,
    pub last_poll_at: Option<u64>,
}

impl Tally {
    pub fn load(sql: &dyn Sql) -> Result<Self, SqlError> {
        let text = meta::get(sql, "tally")?;
        text.map_or(Ok(Self::default()), |text| {
            record::read(&text).map_err(|error| SqlError::corrupt("tally", error))
        })
    }

    /// One row.
    pub fn save(&self, sql: &dyn Sql) -> Result<(), SqlError> {
        meta::set(sql, "tally", &record::text(self))
    }
}
