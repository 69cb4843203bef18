//! The rhythm of verification events: how often a receiver may ask for one (SSF-8.1.1-11), and when one is sent unasked, as
//! a heartbeat (SSF-8.1.4-1). Both instants outlive a restart.

use crate::delivery::meta;
use crate::delivery::sql::{Sql, SqlError};

const ASKED: &str = "verification_asked_at";
const BEAT: &str = "heartbeat_at";

/// When verification events were made. All times in Unix milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Pulse {
    asked_at: Option<u64>,
    beat_at: u64,
}

impl Pulse {
    /// A stream that was never asked for one counts its heartbeats from its creation.
    pub fn load(sql: &dyn Sql, created_at: u64) -> Result<Self, SqlError> {
        Ok(Self {
            asked_at: meta::number(sql, ASKED)?,
            beat_at: meta::number(sql, BEAT)?.unwrap_or(created_at),
        })
    }

    /// The receiver asks for an event: noted in one row, or refused with the milliseconds that are left of the interval. A
    /// request exactly at its end is in time (SSF-8.1.4.2-9).
    pub fn ask(&mut self, sql: &dyn Sql, interval_ms: u64, now: u64) -> Result<Result<(), u64>, SqlError> {
        let allowed_at = self.asked_at.map_or(0, |at| at + interval_ms);
        if now < allowed_at {
            return Ok(Err(allowed_at - now));
        }
        if interval_ms > 0 {
            meta::set(sql, ASKED, &now.to_string())?;
        }
        self.asked_at = Some(now);
        Ok(Ok(()))
    }

    /// When the next heartbeat is due; `None` without an interval.
    pub fn next_beat(&self, interval_ms: u64) -> Option<u64> {
        (interval_ms > 0).then(|| self.beat_at + interval_ms)
    }

    /// A heartbeat is made now: one row.
    pub fn beat(&mut self, sql: &dyn Sql, now: u64) -> Result<(), SqlError> {
        self.beat_at = now;
        meta::set(sql, BEAT, &now.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::meta::migrate;
    use crate::delivery::sql::testing::TestSql;

    fn database() -> TestSql {
        let sql = TestSql::default();
        migrate(&sql, &[]).unwrap();
        sql
    }

    /// SSF-8.1.1-11, SSF-8.1.1-12, SSF-8.1.4.2-9
    #[test]
    fn one_request_an_interval_across_restarts() {
        let sql = database();
        let mut pulse = Pulse::load(&sql, 0).unwrap();
        assert_eq!(pulse.ask(&sql, 100, 5).unwrap(), Ok(()));
        assert_eq!(pulse.ask(&sql, 100, 6).unwrap(), Err(99));
        let mut pulse = Pulse::load(&sql, 0).unwrap();
        assert_eq!(pulse.ask(&sql, 100, 104).unwrap(), Err(1));
        assert_eq!(pulse.ask(&sql, 100, 105).unwrap(), Ok(()));
        assert_eq!(pulse.ask(&sql, 0, 105).unwrap(), Ok(()), "no interval, no limit");
    }

    #[test]
    fn heartbeats_count_from_the_last_one() {
        let sql = database();
        let mut pulse = Pulse::load(&sql, 1000).unwrap();
        assert_eq!((pulse.next_beat(0), pulse.next_beat(50)), (None, Some(1050)));
        pulse.beat(&sql, 1060).unwrap();
        assert_eq!(Pulse::load(&sql, 1000).unwrap().next_beat(50), Some(1110));
    }
}
