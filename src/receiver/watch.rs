//! Keeping a stream alive and noticing silence (SSF-8.1.1-15, SSF-8.1.4): when to ask for the status and for a verification
//! event, and when an answer is overdue. A push that we answer is no activity of ours at the transmitter.

use super::setup::Setup;

/// How a stream is looked after, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// At least this often.
    pub every_ms: u64,
    /// A verification event should have come by then.
    pub answer_ms: u64,
}

/// However little the transmitter waits for, its stream is looked after no more often: the number is foreign text.
const SELDOM_MS: u64 = 10_000;

/// When the stream is looked after next: half of what the transmitter waits for, if that is sooner. 0 is how some say that they
/// wait for nothing.
pub fn due(setup: &Setup, rules: &Rules, now: u64) -> Option<u64> {
    let stream = setup.stream.as_ref()?;
    let half = stream
        .inactivity_timeout
        .filter(|seconds| *seconds > 0)
        .map(|seconds| seconds.saturating_mul(500).max(SELDOM_MS));
    let every = half.unwrap_or(rules.every_ms).min(rules.every_ms);
    Some(setup.watched_at.map_or(now, |at| at.saturating_add(every)))
}

/// Whether a verification event is wanted when the stream is looked after: one each time, however long the last answer took, and
/// fewer where that is more often than we would.
pub fn wants_verification(setup: &Setup, rules: &Rules, now: u64) -> bool {
    let last = setup.asked_at.max(setup.verified_at);
    last.is_none_or(|at| now.saturating_sub(at) >= rules.every_ms / 2)
}

/// For how long the transmitter does not want to be asked for a verification event (SSF-8.1.1-12).
pub fn may_verify_in(setup: &Setup, now: u64) -> u64 {
    let interval = setup
        .stream
        .as_ref()
        .and_then(|stream| stream.min_verification_interval)
        .unwrap_or(0);
    let until = setup
        .asked_at
        .map_or(0, |at| at.saturating_add(interval.saturating_mul(1000)));
    until.saturating_sub(now)
}

/// When an answer that did not come yet is overdue.
pub fn silence_at(setup: &Setup, rules: &Rules) -> Option<u64> {
    setup.unanswered_since().map(|at| at.saturating_add(rules.answer_ms))
}

#[cfg(test)]
mod tests {
    use super::super::remote::RemoteStream;
    use super::*;

    const RULES: Rules = Rules {
        every_ms: 3_600_000,
        answer_ms: 600_000,
    };

    #[test]
    fn a_stream_is_kept_alive_within_what_its_transmitter_allows() {
        let mut setup = Setup::new();
        assert_eq!(due(&setup, &RULES, 5), None, "there is none yet");
        setup.stream = Some(RemoteStream::default());
        assert_eq!(due(&setup, &RULES, 5), Some(5));
        setup.watched_at = Some(1000);
        assert_eq!(due(&setup, &RULES, 5), Some(3_601_000));
        for (timeout, expected) in [(60, 31_000), (86_400, 3_601_000), (0, 3_601_000), (1, 11_000)] {
            setup.stream = Some(RemoteStream {
                inactivity_timeout: Some(timeout),
                ..RemoteStream::default()
            });
            assert_eq!(due(&setup, &RULES, 5), Some(expected), "{timeout}");
        }
    }

    /// SSF-8.1.4: by the answer's delay alone every second one would be left out.
    #[test]
    fn each_look_asks_for_a_verification_event_and_more_frequent_ones_do_not() {
        let mut setup = Setup::new();
        assert!(wants_verification(&setup, &RULES, 0));
        setup.expect("a", 1000);
        setup.verified("a", 1500);
        assert!(!wants_verification(&setup, &RULES, 61_000));
        assert!(wants_verification(&setup, &RULES, 1000 + RULES.every_ms));
    }

    #[test]
    fn questions_respect_the_interval_and_silence_is_noticed() {
        let mut setup = Setup::new();
        setup.stream = Some(RemoteStream {
            min_verification_interval: Some(60),
            ..RemoteStream::default()
        });
        assert_eq!((may_verify_in(&setup, 0), silence_at(&setup, &RULES)), (0, None));
        setup.expect("a", 1000);
        setup.expect("b", 2000);
        assert_eq!(may_verify_in(&setup, 10_000), 52_000);
        assert_eq!(may_verify_in(&setup, 62_000), 0);
        assert_eq!(silence_at(&setup, &RULES), Some(601_000), "since the first one");
        setup.verified("b", 3000);
        assert_eq!(silence_at(&setup, &RULES), None);
    }
}
