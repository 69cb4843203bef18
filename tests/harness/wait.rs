//! Waiting for a fact with a deadline.

use std::time::{Duration, Instant};

/// How long a test waits for anything. Far beyond what is needed, so that reaching it means failure, not a slow machine.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// How often a fact is looked at that cannot announce itself.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Asks `fact` until it gives a value. Panics with `what` when the deadline passes.
#[track_caller]
pub fn eventually<T>(what: &str, mut fact: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = fact() {
            return value;
        }
        assert!(started.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(LOOK_AGAIN);
    }
}
