//! How much a stream may keep waiting. What goes beyond is refused when it is published, never dropped later.

use crate::protocol::record::Record;

/// How much waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Record)]
pub struct Queued {
    pub events: u64,
    /// As stored: claims and what is kept beside them.
    pub bytes: u64,
    /// When the oldest waiting event was accepted, in Unix milliseconds.
    pub oldest_at: Option<u64>,
}

/// The most that may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub events: u64,
    pub bytes: u64,
    /// An outbox whose oldest event waits for longer takes nothing new.
    pub age_ms: u64,
}

impl Bounds {
    pub const NONE: Self = Self {
        events: u64::MAX,
        bytes: u64::MAX,
        age_ms: u64::MAX,
    };

    /// Whether so much more may wait.
    pub fn admit(&self, queued: &Queued, events: u64, bytes: u64, now: u64) -> bool {
        queued.events.saturating_add(events) <= self.events
            && queued.bytes.saturating_add(bytes) <= self.bytes
            && !self.is_stale(queued, now)
    }

    /// Whether an outbox that was full has room again: an eighth of each bound, so that it does not change with every event.
    pub fn relieved(&self, queued: &Queued, now: u64) -> bool {
        queued.events <= self.events - self.events.div_ceil(8)
            && queued.bytes <= self.bytes - self.bytes.div_ceil(8)
            && !self.is_stale(queued, now)
    }

    fn is_stale(&self, queued: &Queued, now: u64) -> bool {
        queued.oldest_at.is_some_and(|at| now.saturating_sub(at) > self.age_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        events: 80,
        bytes: 8000,
        age_ms: 1000,
    };

    fn queued(events: u64, bytes: u64, oldest_at: u64) -> Queued {
        Queued {
            events,
            bytes,
            oldest_at: Some(oldest_at),
        }
    }

    #[test]
    fn each_bound_alone_closes_the_door_and_none_a_moment_too_early() {
        for (queued, events, bytes, expected) in [
            (Queued::default(), 80, 8000, true),
            (queued(79, 0, 5000), 1, 1, true),
            (queued(80, 0, 5000), 1, 1, false),
            (queued(1, 7999, 5000), 1, 1, true),
            (queued(1, 7999, 5000), 1, 2, false),
            (queued(1, 1, 4000), 1, 1, true),
            (queued(1, 1, 3999), 1, 1, false),
            (queued(1, 1, 9999), 1, 1, true),
            (queued(1, 1, 5000), u64::MAX, u64::MAX, false),
        ] {
            assert_eq!(BOUNDS.admit(&queued, events, bytes, 5000), expected, "{queued:?}");
        }
        assert!(Bounds::NONE.admit(&queued(1, 1, 0), 9, 9, u64::MAX - 1));
    }

    #[test]
    fn it_opens_again_with_an_eighth_of_room() {
        for (queued, expected) in [
            (Queued::default(), true),
            (queued(70, 7000, 4000), true),
            (queued(71, 0, 5000), false),
            (queued(0, 7001, 5000), false),
            (queued(1, 1, 3999), false),
        ] {
            assert_eq!(BOUNDS.relieved(&queued, 5000), expected, "{queued:?}");
        }
        let one = Bounds { events: 1, ..BOUNDS };
        assert!(one.relieved(&Queued::default(), 0) && !one.relieved(&queued(1, 1, 0), 0));
    }
}
