//! The rate that an endpoint granted, as the courier keeps it. Every request counts, whatever becomes of it (WH-4.2-30).

use super::Courier;
use crate::delivery::pace::{KeptPace, Limit};
use crate::protocol::record::Record;

const WHOLE: u64 = 1000;
const MINUTE_MS: u64 = 60_000;

/// The part that survives a restart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Record)]
pub struct Kept {
    reserved_us: u64,
    #[serde(default)]
    eased_at: u64,
    #[serde(default)]
    share: u64,
}

/// A granted rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paced {
    per_minute: u32,
    paid: KeptPace,
    /// When the endpoint asked to wait last, and what it gets of its rate since, in thousandths (WH-4.2-34).
    eased_at: u64,
    share: u64,
}

impl Paced {
    pub fn new(per_minute: u32, kept: Kept) -> Self {
        Self {
            per_minute,
            paid: KeptPace::new(kept.reserved_us),
            eased_at: kept.eased_at,
            share: if kept.eased_at == 0 { WHOLE } else { kept.share },
        }
    }

    pub fn kept(&self) -> Kept {
        Kept {
            reserved_us: self.paid.reserved_us(),
            eased_at: self.eased_at,
            share: if self.eased_at == 0 { 0 } else { self.share },
        }
    }

    /// Requests a minute at `now`: after the endpoint asked to wait half as many, and a tenth more with every minute since.
    pub fn effective(&self, now: u64) -> u32 {
        let minutes = now.saturating_sub(self.eased_at) / MINUTE_MS;
        let share = self.share.saturating_add(minutes.saturating_mul(100)).min(WHOLE);
        u32::try_from(u64::from(self.per_minute) * share / WHOLE).map_or(self.per_minute, |rate| rate.max(1))
    }

    /// How many milliseconds before the next request is in time; 0: none.
    pub fn wait_ms(&self, now: u64) -> u64 {
        self.paid.pace.wait_ms(&Limit::granted(self.effective(now)), now)
    }

    pub fn pay(&mut self, now: u64) {
        self.paid.pace.pay(&Limit::granted(self.effective(now)), now);
    }

    pub fn give_back(&mut self, now: u64) {
        self.paid.pace.give_back(&Limit::granted(self.effective(now)));
    }

    /// Whether more is paid than is written down; then [`Paced::kept`] has to be, before the request goes out.
    pub fn reserve(&mut self) -> bool {
        self.paid.reserve()
    }

    /// The endpoint asked to wait: it gets less for a while.
    pub fn ease(&mut self, now: u64) {
        let effective = u64::from(self.effective(now));
        self.share = effective * WHOLE / u64::from(self.per_minute.max(1)) / 2;
        self.eased_at = now;
    }
}

impl Courier {
    /// From now on so many requests a minute are sent; `None`: as many as there are. What was sent already counts.
    pub fn set_pace(&mut self, per_minute: Option<u32>) {
        let kept = self.kept_pace().unwrap_or_default();
        self.pace = per_minute.map(|per_minute| match self.pace {
            Some(pace) => Paced { per_minute, ..pace },
            None => Paced::new(per_minute, kept),
        });
        self.kept_pace = kept;
    }

    /// Forgets what was sent: it went to another endpoint.
    pub fn forget_pace(&mut self) {
        self.pace = None;
        self.kept_pace = Kept::default();
    }

    /// The requests a minute at `now`, and the instant of the next one.
    pub fn pace(&self, now: u64) -> Option<(u32, u64)> {
        self.pace.map(|pace| (pace.effective(now), now + pace.wait_ms(now)))
    }

    /// A request goes out, maybe one that is none of [`Courier::next`]'s: it counts as well.
    pub fn pay(&mut self, now: u64) {
        if let Some(pace) = &mut self.pace {
            pace.pay(now);
        }
    }

    /// What was paid for last does not go out.
    pub fn give_back(&mut self, now: u64) {
        if let Some(pace) = &mut self.pace {
            pace.give_back(now);
        }
    }

    /// Whether [`Courier::kept`] has to be written down before what was chosen goes out.
    pub fn must_keep(&mut self) -> bool {
        self.pace.as_mut().is_some_and(Paced::reserve)
    }

    /// What must survive a restart, where a rate was granted some time.
    pub(super) fn kept_pace(&self) -> Option<Kept> {
        let kept = self.pace.map_or(self.kept_pace, |pace| pace.kept());
        (kept != Kept::default()).then_some(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_262_400_000;

    fn paced(per_minute: u32) -> Paced {
        Paced::new(per_minute, Kept::default())
    }

    /// WH-4.2-34
    #[test]
    fn an_endpoint_that_asks_to_wait_gets_half_and_wins_back_a_tenth_a_minute() {
        let mut paced = paced(600);
        assert_eq!(paced.effective(NOW), 600);
        paced.ease(NOW);
        for (minutes, rate) in [(0, 300), (1, 360), (4, 540), (5, 600), (50, 600)] {
            assert_eq!(paced.effective(NOW + minutes * MINUTE_MS), rate, "{minutes}");
        }
        paced.ease(NOW + MINUTE_MS);
        assert_eq!(paced.effective(NOW + MINUTE_MS), 180);
        let mut slow = self::paced(1);
        slow.ease(NOW);
        slow.ease(NOW);
        assert_eq!(slow.effective(NOW), 1, "never nothing");
    }

    /// WH-4.2-33: what was paid for is not paid for again after a restart, and seldom has to be written.
    #[test]
    fn a_restart_is_no_way_around_the_rate() {
        for per_minute in [1, 60, 120, 600] {
            let (mut paced, mut written, mut sent) = (paced(per_minute), 0, Vec::new());
            for step in 0..6 * 6000 {
                let now = NOW + step * 10;
                if paced.wait_ms(now) > 0 {
                    continue;
                }
                paced.pay(now);
                written += u32::from(paced.reserve());
                sent.push(now);
                // A death after one in seven.
                if sent.len() % 7 == 0 {
                    paced = Paced::new(per_minute, paced.kept());
                }
            }
            let most = (per_minute + Limit::burst(per_minute)) as usize;
            for start in &sent {
                let within = sent
                    .iter()
                    .filter(|at| (*start..*start + MINUTE_MS).contains(*at))
                    .count();
                assert!(within <= most, "{within} of {most}");
            }
            assert!(sent.len() as u32 <= 6 * per_minute + 1);
            assert!(written <= sent.len() as u32);
        }
    }
}
