//! Many timers, one alarm: an object has a single alarm, which stands at the earliest of its timers.

/// What an object may be waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// The next push, retry or probe.
    Deliver,
    /// Old chunks or inbox rows may go.
    Prune,
    /// A change spanning objects was left unfinished.
    Repair,
    /// A read copy for the edge could not be written.
    Publish,
}

const TIMERS: usize = 4;

/// The timers of one object, in Unix milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timers {
    due: [Option<u64>; TIMERS],
}

impl Timers {
    fn slot(&mut self, timer: Timer) -> &mut Option<u64> {
        let [deliver, prune, repair, publish] = &mut self.due;
        match timer {
            Timer::Deliver => deliver,
            Timer::Prune => prune,
            Timer::Repair => repair,
            Timer::Publish => publish,
        }
    }

    /// Sets or clears one timer.
    pub fn set(&mut self, timer: Timer, at: Option<u64>) {
        *self.slot(timer) = at;
    }

    /// Takes the timer away when it is due.
    pub fn take_due(&mut self, timer: Timer, now: u64) -> bool {
        let slot = self.slot(timer);
        let due = slot.is_some_and(|at| at <= now);
        if due {
            *slot = None;
        }
        due
    }

    /// Where the alarm must stand, if anywhere.
    pub fn next(&self) -> Option<u64> {
        self.due.iter().flatten().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alarm_stands_at_the_earliest_timer() {
        let mut timers = Timers::default();
        assert_eq!(timers.next(), None);
        timers.set(Timer::Prune, Some(50));
        timers.set(Timer::Deliver, Some(20));
        assert_eq!(timers.next(), Some(20));
        assert!(!timers.take_due(Timer::Deliver, 19));
        assert!(timers.take_due(Timer::Deliver, 20));
        assert_eq!(timers.next(), Some(50));
        timers.set(Timer::Prune, None);
        assert_eq!(timers.next(), None);
    }
}
