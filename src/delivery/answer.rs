//! What an endpoint's answer means, as one table (WH-2.2-20 to WH-2.2-37; design.md 4).

use super::retry::parse_retry_after;
use crate::protocol::record::Record;

/// What came back from a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Response {
        status: u16,
        /// `err` and `description` of the body, where it was a SET error (RFC 8935, section 2.3).
        set_error: Option<(String, String)>,
        retry_after: Option<String>,
    },
    /// No complete answer within the time a push may take.
    Timeout,
    /// Refused, reset, unresolvable, broken TLS.
    Unreachable(String),
}

/// Why a whole stream waits, rather than one subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, Record)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// 429, or any other failure with `Retry-After`.
    RetryAfter,
    /// 401 or 403.
    Unauthorized,
    /// 3xx: redirects are never followed.
    Redirected,
    /// 405 or 501.
    MethodRefused,
    /// 410: the endpoint is retired.
    Gone,
    /// 451.
    Legal,
    /// 415, twice in a row.
    FormatRefused,
    /// Too many failures in a row, whatever they were.
    Failing,
}

impl HoldReason {
    /// The reason in words, for receivers and operators.
    pub fn text(self) -> &'static str {
        match self {
            Self::RetryAfter => "the endpoint asked to wait",
            Self::Unauthorized => "the endpoint refused our authorization",
            Self::Redirected => "the endpoint redirects, which is never followed",
            Self::MethodRefused => "the endpoint does not take POST requests",
            Self::Gone => "the endpoint says that it is gone",
            Self::Legal => "the endpoint refuses for legal reasons",
            Self::FormatRefused => "the endpoint does not take SETs",
            Self::Failing => "the endpoint keeps failing",
        }
    }
}

/// What is to be done with the event and its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    /// It can never succeed.
    Dead {
        err: String,
        description: String,
    },
    /// Only this subject's lane waits.
    Retry {
        detail: String,
    },
    /// The whole stream waits, at least until `not_before` (Unix milliseconds) where the peer named an instant.
    Hold {
        reason: HoldReason,
        detail: String,
        not_before: Option<u64>,
        /// Whether it counts as an attempt of the event.
        counts: bool,
    },
}

/// What kills an event that is answered 415. One such answer may be the event's fault, two in a row are the endpoint's
/// (WH-2.2-33).
pub const FORMAT_REFUSED: &str = "format_refused";

/// A 429 that does not say when to come back is given a minute (WH-2.2-34).
const UNSPECIFIED_RATE_WAIT_MS: u64 = 60_000;

/// Reads an answer. Total: every status has a meaning.
pub fn judge(answer: &Answer, now: u64) -> Verdict {
    let (status, set_error, retry_after) = match answer {
        Answer::Timeout => return retry("the endpoint did not answer in time"),
        Answer::Unreachable(why) => return retry(&format!("the endpoint could not be reached: {why}")),
        Answer::Response {
            status,
            set_error,
            retry_after,
        } => (*status, set_error, retry_after),
    };
    let not_before = retry_after.as_deref().and_then(|value| parse_retry_after(value, now));
    let detail = format!("the endpoint answered {status}");
    let hold = |reason| Verdict::Hold {
        reason,
        detail: detail.clone(),
        not_before,
        counts: true,
    };
    match status {
        // RFC 8935 wants 202; a receiver that says 200 or 204 has accepted all the same (PUSH-2.3-7).
        200..=299 => Verdict::Delivered,
        300..=399 => hold(HoldReason::Redirected),
        // The receiver has read the SET and says what is wrong with it.
        400 if set_error.is_some() => {
            let (err, description) = set_error.clone().unwrap_or_default();
            Verdict::Dead { err, description }
        }
        401 | 403 => hold(HoldReason::Unauthorized),
        405 | 501 => hold(HoldReason::MethodRefused),
        400 | 406 | 411 | 414 | 422 | 431 => dead("refused", &detail),
        415 => dead(FORMAT_REFUSED, &detail),
        413 => dead("too_large", &detail),
        410 => hold(HoldReason::Gone),
        429 => Verdict::Hold {
            reason: HoldReason::RetryAfter,
            detail,
            not_before: Some(not_before.unwrap_or(now.saturating_add(UNSPECIFIED_RATE_WAIT_MS))),
            // An event is not to blame for the rate it meets (WH-2.2-34).
            counts: false,
        },
        451 => hold(HoldReason::Legal),
        // Whoever names a time is obeyed, whatever else the answer says (WH-2.2-36).
        _ if not_before.is_some() => hold(HoldReason::RetryAfter),
        404 | 408 | 409 | 421 | 425 | 500..=599 => retry(&detail),
        402..=499 => dead("refused", &detail),
        _ => retry(&detail),
    }
}

fn retry(detail: &str) -> Verdict {
    Verdict::Retry {
        detail: detail.to_owned(),
    }
}

fn dead(err: &str, description: &str) -> Verdict {
    Verdict::Dead {
        err: err.to_owned(),
        description: description.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16) -> Answer {
        Answer::Response {
            status,
            set_error: None,
            retry_after: None,
        }
    }

    fn word(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Delivered => "delivered",
            Verdict::Dead { .. } => "dead",
            Verdict::Retry { .. } => "retry",
            Verdict::Hold { .. } => "hold",
        }
    }

    /// WH-2.2-20 to WH-2.2-36, PUSH-2.3-7.
    #[test]
    fn every_status_has_its_meaning() {
        for (statuses, expected) in [
            (&[200, 201, 202, 204, 226][..], "delivered"),
            (&[300, 301, 302, 303, 304, 307, 308], "hold"),
            (&[400, 406, 411, 413, 414, 415, 418, 422, 431], "dead"),
            (&[401, 403, 405, 410, 429, 451, 501], "hold"),
            (&[404, 408, 409, 421, 425, 500, 502, 503, 504, 507, 508, 599], "retry"),
        ] {
            for status in statuses {
                assert_eq!(word(&judge(&answered(*status), 0)), expected, "{status}");
            }
        }
        for status in 0..=u16::MAX {
            judge(&answered(status), 0);
        }
    }

    #[test]
    fn a_set_error_is_kept_with_the_dead_letter() {
        let answer = Answer::Response {
            status: 400,
            set_error: Some(("invalid_audience".into(), "not me".into())),
            retry_after: None,
        };
        assert_eq!(
            judge(&answer, 0),
            Verdict::Dead {
                err: "invalid_audience".into(),
                description: "not me".into()
            }
        );
    }

    /// WH-2.2-10, WH-2.2-34, WH-2.2-36, WH-2.2-41.
    #[test]
    fn retry_after_is_obeyed_on_any_failure_and_an_unreadable_one_counts_as_absent() {
        for (status, header, expected) in [
            (429, Some("7"), Some(8_000)),
            (429, None, Some(61_000)),
            (429, Some("soon"), Some(61_000)),
            (503, Some("120"), Some(121_000)),
            (404, Some("1"), Some(2_000)),
            (503, Some("-1"), None),
        ] {
            let answer = Answer::Response {
                status,
                set_error: None,
                retry_after: header.map(Into::into),
            };
            let not_before = match judge(&answer, 1_000) {
                Verdict::Hold { not_before, .. } => not_before,
                _ => None,
            };
            assert_eq!(not_before, expected, "{status} {header:?}");
        }
    }

    #[test]
    fn a_silent_or_unreachable_endpoint_is_tried_again() {
        assert_eq!(word(&judge(&Answer::Timeout, 0)), "retry");
        assert_eq!(word(&judge(&Answer::Unreachable("refused".into()), 0)), "retry");
    }
}
