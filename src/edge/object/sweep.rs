//! Once a day every stream of a tenant deletes what it kept for long enough. The streams' own alarms do not stand for that:
//! setting them again after each delivery would cost a row each time, and nobody waits for it.

use crate::delivery::meta;
use crate::edge::clock::now_ms;
use crate::edge::command::{Answer, StreamCommand};
use crate::edge::together::together;
use crate::transmitter::registry::{self, Kind};

use super::children::AT_ONCE;
use super::tenant::TenantObject;

const EVERY_MS: u64 = 24 * 60 * 60 * 1000;

/// Rounds of calls in one alarm; the next one goes on.
const ROUNDS: usize = 16;

/// When the last sweep ended, in Unix milliseconds; and the stream that one under way came to.
const SWEPT_AT: &str = "swept_at";
const SWEPT_TO: &str = "swept_to";

impl TenantObject {
    /// Goes on with the sweep, if one is due, and sees to it that the next one comes.
    pub(super) async fn sweep(&self) -> Answer<()> {
        if self.gone.get() || !meta::exists(&self.sql)? || registry::is_closing(&self.sql)? {
            return Ok(());
        }
        let swept_at = meta::number(&self.sql, SWEPT_AT)?;
        let due = swept_at.map_or(0, |at| at + EVERY_MS);
        if due > now_ms() {
            self.alarm.arm(&self.state, due).await;
            return Ok(());
        }
        let tenant = registry::name(&self.sql)?;
        let begun_at = meta::get(&self.sql, SWEPT_TO)?.unwrap_or_default();
        let mut last = begun_at.clone();
        for _ in 0..ROUNDS {
            let streams = registry::children_after(&self.sql, Kind::Stream, &last, AT_ONCE)?;
            let Some(end) = streams.last() else {
                if last.is_empty() {
                    // There are no streams: the first one will wake us.
                    return Ok(());
                }
                last.clear();
                break;
            };
            last.clone_from(&end.id);
            let swept = streams.iter().map(async |stream| {
                // One that fails logged it, and has its turn tomorrow.
                if let Ok(object) = self.stream_object(&tenant, &stream.id) {
                    let _ = object.tell(StreamCommand::Sweep).await;
                }
            });
            together(swept).await;
            self.still_there()?;
        }
        let next = if last.is_empty() {
            meta::set(&self.sql, SWEPT_AT, &now_ms().to_string())?;
            now_ms() + EVERY_MS
        } else {
            now_ms() + 1
        };
        if last != begun_at {
            meta::set(&self.sql, SWEPT_TO, &last)?;
        }
        self.alarm.arm(&self.state, next).await;
        Ok(())
    }
}
