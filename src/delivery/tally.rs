//! How delivery has gone since the object woke. In memory only: counting must not cost rows.

/// Seconds that one bucket covers.
const BUCKET_S: u64 = 5;
/// Buckets of a minute.
const BUCKETS: usize = 12;

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Unix milliseconds.
    pub at: u64,
    pub detail: String,
}

/// Counts of one stream.
#[derive(Debug, Default)]
pub struct Tally {
    /// Pushes that came to an end.
    pub attempts: u64,
    /// Events that their receiver took.
    pub delivered: u64,
    pub last_success_at: Option<u64>,
    pub last_error: Option<Trouble>,
    buckets: [(u64, u32); BUCKETS],
}

impl Tally {
    /// The receiver took so many events at `now` (Unix milliseconds).
    pub fn delivered(&mut self, events: u32, now: u64) {
        self.delivered += u64::from(events);
        self.last_success_at = Some(now);
        let period = now / 1000 / BUCKET_S;
        if let Some(bucket) = self.buckets.get_mut((period % BUCKETS as u64) as usize) {
            if bucket.0 != period {
                *bucket = (period, 0);
            }
            bucket.1 = bucket.1.saturating_add(events);
        }
    }

    /// Something went wrong at `now` (Unix milliseconds).
    pub fn trouble(&mut self, detail: &str, now: u64) {
        self.last_error = Some(Trouble {
            at: now,
            detail: detail.to_owned(),
        });
    }

    /// Events that were taken within the last minute, give or take five seconds.
    pub fn per_minute(&self, now: u64) -> u32 {
        let period = now / 1000 / BUCKET_S;
        self.buckets
            .iter()
            .filter(|(at, _)| *at <= period && *at + BUCKETS as u64 > period)
            .fold(0, |sum, (_, events)| sum.saturating_add(*events))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_counted_and_then_forgotten() {
        let mut tally = Tally::default();
        for second in 0..120 {
            tally.delivered(2, 1_000_000 + second * 1000);
        }
        assert_eq!((tally.delivered, tally.last_success_at), (240, Some(1_119_000)));
        assert_eq!(tally.per_minute(1_119_000), 120);
        assert_eq!(tally.per_minute(1_119_000 + 30_000), 60);
        assert_eq!(tally.per_minute(1_119_000 + 60_000), 0);
        assert_eq!(tally.per_minute(0), 0);
    }
}
