//! Once a day every stream of a tenant deletes what it kept for long enough. The streams' own alarms do not stand for that:
//! setting them again after each delivery would cost a row each time, and nobody waits for it.
//!
//! Every hour each source is called: an alarm that was lost is set again by whoever asks, and nobody asks a source that polls.

use crate::delivery::meta;
use crate::edge::clock::now_ms;
use crate::edge::command::{Answer, SourceCommand, StreamCommand};
use crate::edge::together::together;
use crate::transmitter::registry::{self, Kind};

use super::children::AT_ONCE;
use super::stub;
use super::tenant::TenantObject;

const HOUR_MS: u64 = 60 * 60 * 1000;

/// Rounds of calls in one alarm; the next one goes on.
const ROUNDS: usize = 16;

/// Goes through all children of a kind, again and again.
struct Sweep {
    kind: Kind,
    every_ms: u64,
    /// Under this name: when the last one ended, in Unix milliseconds.
    at: &'static str,
    /// Under this name: the child that one under way came to.
    to: &'static str,
}

const SWEEPS: [Sweep; 2] = [
    Sweep {
        kind: Kind::Stream,
        every_ms: 24 * HOUR_MS,
        at: "swept_at",
        to: "swept_to",
    },
    Sweep {
        kind: Kind::Source,
        every_ms: HOUR_MS,
        at: "called_at",
        to: "called_to",
    },
];

impl TenantObject {
    /// Goes on with the sweeps that are due, and sees to it that the next ones come.
    pub(super) async fn sweep(&self) -> Answer<()> {
        for sweep in &SWEEPS {
            self.go_through(sweep).await?;
        }
        Ok(())
    }

    async fn go_through(&self, sweep: &Sweep) -> Answer<()> {
        if self.gone.get() || !meta::exists(&self.sql)? || registry::is_closing(&self.sql)? {
            return Ok(());
        }
        let ended_at = meta::number(&self.sql, sweep.at)?;
        let due = ended_at.map_or(0, |at| at + sweep.every_ms);
        if due > now_ms() {
            self.alarm.arm(&self.state, due).await;
            return Ok(());
        }
        let tenant = registry::name(&self.sql)?;
        let begun_at = meta::get(&self.sql, sweep.to)?.unwrap_or_default();
        let mut last = begun_at.clone();
        for _ in 0..ROUNDS {
            let children = registry::children_after(&self.sql, sweep.kind, &last, AT_ONCE)?;
            let Some(end) = children.last() else {
                if last.is_empty() {
                    // There are none: the first one will wake us.
                    return Ok(());
                }
                last.clear();
                break;
            };
            last.clone_from(&end.id);
            let called = children.iter().map(async |child| {
                // One that fails logged it, and has its turn next time.
                if sweep.kind == Kind::Source {
                    if let Ok(object) = stub::by_id(&self.env, "SOURCE", &child.id, Some(&tenant)) {
                        let _ = object.tell(SourceCommand::Sweep).await;
                    }
                } else if let Ok(object) = self.stream_object(&tenant, &child.id) {
                    let _ = object.tell(StreamCommand::Sweep).await;
                }
            });
            together(called).await;
            self.still_there()?;
        }
        let next = if last.is_empty() {
            meta::set(&self.sql, sweep.at, &now_ms().to_string())?;
            now_ms() + sweep.every_ms
        } else {
            now_ms() + 1
        };
        if last != begun_at {
            meta::set(&self.sql, sweep.to, &last)?;
        }
        self.alarm.arm(&self.state, next).await;
        Ok(())
    }
}
