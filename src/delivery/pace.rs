//! A rate that is kept: the generic cell rate algorithm, as one number. What it costs to act is paid ahead in time; whoever is
//! ahead by more than a minute's worth has to wait.

/// How far ahead somebody may be, in microseconds: a minute's worth of acts may come at once.
const BURST_US: u64 = 60_000_000;

/// How far ahead somebody is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    paid_until_us: u64,
}

impl Pace {
    /// Acts at `now` (Unix milliseconds) at a rate of `per_minute`, or says how many milliseconds to wait before that is in
    /// time again. A rate of 0 never is.
    pub fn act(&mut self, per_minute: u32, now: u64) -> Result<(), u64> {
        let now_us = now.saturating_mul(1000);
        let cost = BURST_US.checked_div(u64::from(per_minute)).unwrap_or(u64::MAX);
        let paid = self.paid_until_us.max(now_us).saturating_add(cost);
        let ahead = paid - now_us;
        if ahead > BURST_US {
            return Err((ahead - BURST_US).div_ceil(1000));
        }
        self.paid_until_us = paid;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_262_400_000;

    #[test]
    fn a_minutes_worth_comes_at_once_and_the_rest_at_the_rate() {
        let mut pace = Pace::default();
        for _ in 0..60 {
            assert_eq!(pace.act(60, NOW), Ok(()));
        }
        assert_eq!(pace.act(60, NOW), Err(1000));
        assert_eq!(pace.act(60, NOW + 999), Err(1));
        assert_eq!(pace.act(60, NOW + 1000), Ok(()));
        assert_eq!(pace.act(60, NOW + 1000), Err(1000));
    }

    #[test]
    fn no_minute_ever_holds_more_than_twice_the_rate() {
        for per_minute in [1_u32, 7, 60, 6000] {
            let mut pace = Pace::default();
            let taken: Vec<u64> = (0..180_000)
                .step_by(5)
                .flat_map(|at| std::iter::repeat_n(at, 3))
                .filter(|at| pace.act(per_minute, NOW + at).is_ok())
                .collect();
            for start in (0..120_000).step_by(1000) {
                let within = taken.iter().filter(|at| (start..start + 60_000).contains(*at)).count();
                assert!(within <= 2 * per_minute as usize, "{within} at {per_minute}");
            }
        }
    }

    #[test]
    fn a_rate_of_nothing_is_never_in_time_and_old_clocks_do_no_harm() {
        assert!(Pace::default().act(0, NOW).is_err());
        let mut pace = Pace::default();
        pace.act(60, NOW).unwrap();
        assert_eq!(pace.act(60, NOW - 1000), Ok(()));
        assert_eq!(Pace::default().act(u32::MAX, u64::MAX), Ok(()));
    }
}
