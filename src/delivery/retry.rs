//! When to try again: exponential back-off with full jitter, and the peer's own `Retry-After`.

use std::time::UNIX_EPOCH;

/// How failing pushes are spaced and when they are given up. Times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    pub base_ms: u64,
    pub cap_ms: u64,
    /// Counted from an event's first failed attempt.
    pub give_up_after_ms: u64,
    /// So many attempts are the most; 0 leaves it to the time.
    pub give_up_attempts: u32,
}

impl RetryPolicy {
    /// The wait after the `failures`-th failure in a row (1 for the first): `draw`, uniform in 0..1, of the doubled base,
    /// never more than the cap.
    pub fn backoff_ms(&self, failures: u32, draw: f64) -> u64 {
        let doublings = failures.saturating_sub(1).min(40);
        let ceiling = self.base_ms.saturating_mul(1_u64 << doublings).min(self.cap_ms);
        // A draw outside 0..1 is a caller's mistake; it may cost jitter, never a wild wait.
        let draw = if draw.is_finite() { draw.clamp(0.0, 1.0) } else { 1.0 };
        (ceiling as f64 * draw) as u64
    }
}

/// The instant before which the peer wants no further request, in Unix milliseconds, or `None` when the header is
/// unreadable: then it counts as absent, never as zero (WH-2.2-40..42).
///
/// Seconds are plain ASCII digits, at most ten; dates are the three forms of HTTP. A date in the past means now.
pub fn parse_retry_after(value: &str, now_ms: u64) -> Option<u64> {
    let value = value.trim_matches([' ', '\t']);
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        if value.len() > 10 {
            return None;
        }
        let seconds: u64 = value.parse().ok()?;
        return Some(now_ms.saturating_add(seconds.saturating_mul(1000)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let at = date.duration_since(UNIX_EPOCH).ok()?;
    Some(u64::try_from(at.as_millis()).ok()?.max(now_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        base_ms: 1000,
        cap_ms: 300_000,
        give_up_after_ms: 72 * 3_600_000,
        give_up_attempts: 0,
    };

    #[test]
    fn waits_double_up_to_the_cap_and_jitter_spans_them_whole() {
        for (failures, ceiling) in [
            (1, 1000),
            (2, 2000),
            (3, 4000),
            (9, 256_000),
            (10, 300_000),
            (u32::MAX, 300_000),
        ] {
            assert_eq!(POLICY.backoff_ms(failures, 1.0), ceiling, "{failures}");
            assert_eq!(POLICY.backoff_ms(failures, 0.0), 0);
            assert_eq!(POLICY.backoff_ms(failures, 0.5), ceiling / 2);
        }
        for draw in [f64::NAN, f64::INFINITY, -1.0, 2.0] {
            assert!(POLICY.backoff_ms(1, draw) <= 1000);
        }
    }

    /// WH-2.2-40, WH-2.2-41, WH-2.2-42.
    #[test]
    fn retry_after_is_read_in_every_legal_form_and_nothing_else() {
        let now = 1_000_000_000_000; // 2001-09-09T01:46:40Z
        let cases: &[(&str, Option<u64>)] = &[
            ("7", Some(now + 7000)),
            (" 0 ", Some(now)),
            ("9999999999", Some(now + 9_999_999_999_000)),
            ("Sun, 09 Sep 2001 01:47:40 GMT", Some(now + 60_000)),
            ("Sunday, 09-Sep-01 01:47:40 GMT", Some(now + 60_000)),
            ("Sun Sep  9 01:47:40 2001", Some(now + 60_000)),
            ("Fri, 01 Jan 1971 00:00:00 GMT", Some(now)),
            ("-5", None),
            ("+5", None),
            ("1.5", None),
            ("1e15", None),
            ("inf", None),
            ("NaN", None),
            ("", None),
            ("12345678901", None),
            ("7 s", None),
            ("٧", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_retry_after(text, now), *expected, "{text:?}");
        }
    }
}
