//! A rate that is kept: the generic cell rate algorithm, as one number. What it costs to act is paid ahead in time; whoever is
//! ahead by more than the burst has to wait. There is no minute that begins or ends: counters of such minutes let twice the
//! rate through where two of them meet.

const MINUTE_US: u64 = 60_000_000;

/// How often somebody may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    cost_us: u64,
    burst_us: u64,
}

impl Limit {
    /// So many acts a minute, of which a whole minute's worth may come at once. Of a rate of 0 none is ever in time.
    pub fn with_minutes_burst(per_minute: u32) -> Self {
        let cost_us = cost(per_minute);
        Self {
            cost_us,
            burst_us: MINUTE_US,
        }
    }

    /// So many acts a minute, of which a second's worth may come at once, or a single one (WH-4.2-33): no minute ever holds
    /// more than the rate and [`Limit::burst`].
    pub fn granted(per_minute: u32) -> Self {
        let cost_us = cost(per_minute);
        Self {
            cost_us,
            burst_us: cost_us.saturating_mul(u64::from(Self::burst(per_minute))),
        }
    }

    /// Acts that may come at once at a granted rate.
    pub fn burst(per_minute: u32) -> u32 {
        (per_minute / 60).max(1)
    }
}

/// Rounded up: never faster than the rate.
fn cost(per_minute: u32) -> u64 {
    match u64::from(per_minute) {
        0 => u64::MAX,
        rate => MINUTE_US.div_ceil(rate),
    }
}

/// How far ahead somebody is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    pub paid_until_us: u64,
}

impl Pace {
    /// How many milliseconds to wait at `now` (Unix milliseconds) before an act is in time; 0: none.
    pub fn wait_ms(&self, limit: &Limit, now: u64) -> u64 {
        let now_us = now.saturating_mul(1000);
        let ahead = self.paid_until_us.max(now_us).saturating_add(limit.cost_us) - now_us;
        ahead.saturating_sub(limit.burst_us).div_ceil(1000)
    }

    /// Pays for an act, in time or not.
    pub fn pay(&mut self, limit: &Limit, now: u64) {
        let now_us = now.saturating_mul(1000);
        self.paid_until_us = self.paid_until_us.max(now_us).saturating_add(limit.cost_us);
    }

    /// Gives back what was paid last.
    pub fn give_back(&mut self, limit: &Limit) {
        self.paid_until_us = self.paid_until_us.saturating_sub(limit.cost_us);
    }

    /// Acts at `now`, or says how many milliseconds to wait before that is in time.
    pub fn act(&mut self, limit: &Limit, now: u64) -> Result<(), u64> {
        match self.wait_ms(limit, now) {
            0 => {
                self.pay(limit, now);
                Ok(())
            }
            wait_ms => Err(wait_ms),
        }
    }
}

/// So much more than what is paid is written down, so that it does not have to be for every act: what a restart may cost in time.
const LEAD_US: u64 = 2_000_000;

/// A pace that survives a restart: as far as is written down, it is paid for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeptPace {
    pub pace: Pace,
    reserved_us: u64,
}

impl KeptPace {
    /// As it was written down.
    pub fn new(reserved_us: u64) -> Self {
        Self {
            pace: Pace {
                paid_until_us: reserved_us,
            },
            reserved_us,
        }
    }

    /// What is written down, or has to be.
    pub fn reserved_us(&self) -> u64 {
        self.reserved_us
    }

    /// Whether more is paid than is written down; then that has to be, before the act.
    pub fn reserve(&mut self) -> bool {
        let beyond = self.pace.paid_until_us > self.reserved_us;
        if beyond {
            self.reserved_us = self.pace.paid_until_us.saturating_add(LEAD_US);
        }
        beyond
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_262_400_000;

    #[test]
    fn a_minutes_worth_comes_at_once_and_the_rest_at_the_rate() {
        let (mut pace, limit) = (Pace::default(), Limit::with_minutes_burst(60));
        for _ in 0..60 {
            assert_eq!(pace.act(&limit, NOW), Ok(()));
        }
        assert_eq!(pace.act(&limit, NOW), Err(1000));
        assert_eq!(pace.act(&limit, NOW + 999), Err(1));
        assert_eq!(pace.act(&limit, NOW + 1000), Ok(()));
        assert_eq!(pace.act(&limit, NOW + 1000), Err(1000));
    }

    /// Whoever comes as often as he can, at instants as they fall: a small generator of numbers stands in for them.
    fn taken(limit: &Limit, minutes: u64, mut seed: u64) -> Vec<u64> {
        let mut pace = Pace::default();
        let (mut at, mut taken) = (0, Vec::new());
        while at < minutes * 60_000 {
            while pace.act(limit, NOW + at).is_ok() {
                taken.push(at);
            }
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // Now and then nobody comes for a while, and what was saved up is spent at once.
            at += match seed >> 60 {
                0 => seed >> 32 & 0x7fff,
                _ => seed >> 32 & 0x1f,
            };
        }
        taken
    }

    /// The most acts in any window of a minute that begins with one.
    fn busiest_minute(taken: &[u64]) -> usize {
        let within =
            |start: u64| taken.partition_point(|at| *at < start + 60_000) - taken.partition_point(|at| *at < start);
        taken.iter().map(|start| within(*start)).max().unwrap_or(0)
    }

    #[test]
    fn no_minute_ever_holds_more_than_twice_the_rate() {
        for per_minute in [1_u32, 7, 60, 6000] {
            let busiest = busiest_minute(&taken(&Limit::with_minutes_burst(per_minute), 3, 1));
            assert!(busiest <= 2 * per_minute as usize, "{busiest} at {per_minute}");
        }
    }

    /// WH-4.2-33, T-H-09
    #[test]
    fn no_minute_ever_holds_more_than_what_was_granted_and_the_burst() {
        for per_minute in [1_u32, 2, 7, 59, 60, 61, 100, 119, 120, 600, 1009, 6000, 60_000] {
            for seed in 0..8 {
                let taken = taken(&Limit::granted(per_minute), 6, seed);
                let most = (per_minute + Limit::burst(per_minute)) as usize;
                let busiest = busiest_minute(&taken);
                assert!(busiest <= most, "{busiest} of {most} at {per_minute}, seed {seed}");
            }
            // And whoever is always there gets what was granted.
            let (mut pace, limit) = (Pace::default(), Limit::granted(per_minute));
            let acts = (0..120_000).filter(|at| pace.act(&limit, NOW + at).is_ok()).count();
            assert!(acts + 1 >= 2 * per_minute as usize, "{acts} at {per_minute}");
        }
        assert_eq!((Limit::burst(1), Limit::burst(119), Limit::burst(120)), (1, 1, 2));
    }

    #[test]
    fn what_is_paid_without_asking_is_waited_for_and_what_is_given_back_is_not() {
        let (mut pace, limit) = (Pace::default(), Limit::granted(60));
        pace.pay(&limit, NOW);
        pace.pay(&limit, NOW);
        assert_eq!(pace.wait_ms(&limit, NOW), 2000);
        pace.give_back(&limit);
        assert_eq!(pace.wait_ms(&limit, NOW), 1000);
    }

    #[test]
    fn a_rate_of_nothing_is_never_in_time_and_old_clocks_do_no_harm() {
        assert!(Pace::default().act(&Limit::with_minutes_burst(0), NOW).is_err());
        let (mut pace, limit) = (Pace::default(), Limit::with_minutes_burst(60));
        pace.act(&limit, NOW).unwrap();
        assert_eq!(pace.act(&limit, NOW - 1000), Ok(()));
        assert_eq!(Pace::default().act(&Limit::granted(u32::MAX), u64::MAX), Ok(()));
    }
}
