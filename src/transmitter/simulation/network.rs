//! The scripted network: what the endpoint takes, what it answers, and when. And what each answer has to mean, as a table of
//! its own that knows nothing of the one under test.

use std::time::{Duration, UNIX_EPOCH};

use super::draw::Draw;
use crate::delivery::answer::{Answer, HoldReason};

/// How the endpoint is at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Nothing ever goes wrong.
    Perfect,
    Healthy,
    /// Any answer may come.
    Wild,
    Down,
    Gone,
    Busy,
    Refusing,
    Forbidding,
    Slow,
    /// Fails at once, or does something else later: so that all of it comes together.
    Shaky,
}

const MOODS: [Mood; 13] = [
    Mood::Shaky,
    Mood::Shaky,
    Mood::Healthy,
    Mood::Healthy,
    Mood::Healthy,
    Mood::Wild,
    Mood::Wild,
    Mood::Down,
    Mood::Gone,
    Mood::Busy,
    Mood::Refusing,
    Mood::Forbidding,
    Mood::Slow,
];

impl Mood {
    pub fn draw(draw: &mut Draw) -> Self {
        draw.of(&MOODS)
    }
}

/// What becomes of a push.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// When the receiver has the event, if it ever does.
    pub taken_at: Option<u64>,
    pub answered_at: u64,
    pub answer: Answer,
}

fn shaky(draw: &mut Draw, now: u64) -> Exchange {
    let (status, retry_after, ms) = match draw.below(6) {
        0 => (202, None, draw.between(50, 600)),
        1 => (503, Some(draw.between(1, 4).to_string()), draw.between(20, 300)),
        _ => (503, None, draw.below(30)),
    };
    Exchange {
        taken_at: (status == 202).then_some(now + ms),
        answered_at: now + ms,
        answer: Answer::Response {
            status,
            set_error: None,
            retry_after,
        },
    }
}

/// Decides about a push that is sent now.
pub fn exchange(draw: &mut Draw, mood: Mood, now: u64, timeout_ms: u64) -> Exchange {
    if mood == Mood::Shaky {
        return shaky(draw, now);
    }
    let way = match mood {
        Mood::Perfect => draw.below(5),
        Mood::Slow => draw.below(timeout_ms),
        _ if draw.percent(15) => draw.below(timeout_ms / 2),
        _ => draw.of(&[0, 1, 3, 20, 50]),
    };
    let answered_at = now + way + draw.of(&[0, 1, 10]);
    let answer = answer(draw, mood, answered_at);
    let taken = match &answer {
        Answer::Response { status, .. } => (200..300).contains(status) || (*status >= 500 && draw.percent(10)),
        Answer::Timeout | Answer::Unreachable(_) => draw.percent(30),
    };
    if answer == Answer::Timeout {
        // It may even come after we stopped waiting.
        return Exchange {
            taken_at: taken.then(|| now + draw.below(2 * timeout_ms)),
            answered_at: now + timeout_ms,
            answer,
        };
    }
    Exchange {
        taken_at: taken.then_some(now + way),
        answered_at,
        answer,
    }
}

fn answer(draw: &mut Draw, mood: Mood, now: u64) -> Answer {
    let good = [200, 202, 202, 202, 204];
    let status = match mood {
        Mood::Perfect | Mood::Shaky => 202,
        Mood::Healthy | Mood::Slow if draw.percent(94) => draw.of(&good),
        Mood::Wild if draw.percent(45) => draw.of(&good),
        Mood::Healthy | Mood::Slow | Mood::Wild => draw.of(&[
            0, 1, 302, 400, 401, 403, 404, 405, 408, 409, 410, 413, 415, 415, 422, 425, 429, 451, 500, 501, 502, 503,
            503, 504,
        ]),
        Mood::Down => draw.of(&[0, 1, 1, 500, 502, 503, 503, 504]),
        Mood::Gone => draw.of(&[410, 410, 410, 404]),
        Mood::Busy => draw.of(&[202, 202, 429, 429, 503]),
        Mood::Refusing => draw.of(&[202, 400, 413, 415, 415, 422]),
        Mood::Forbidding => draw.of(&[401, 403, 302, 405, 451, 501]),
    };
    let retry_after = draw
        .percent(if mood == Mood::Busy { 70 } else { 20 })
        .then(|| match draw.below(8) {
            0 => "0".to_owned(),
            1 => "soon".to_owned(),
            2 => httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(now + draw.below(90_000))),
            3 => draw.between(60, 4000).to_string(),
            _ => draw.between(1, 40).to_string(),
        });
    match status {
        0 => Answer::Timeout,
        1 => Answer::Unreachable("reset".to_owned()),
        _ => Answer::Response {
            status,
            set_error: (status == 400 && draw.percent(70)).then(|| ("invalid_key".to_owned(), "no".to_owned())),
            retry_after: retry_after.filter(|_| status >= 300),
        },
    }
}

/// What an answer has to mean (WH-2.2-20 to WH-2.2-37).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    Taken,
    Dead {
        format: bool,
    },
    Retry,
    Hold {
        reason: HoldReason,
        /// The instant that the endpoint named.
        named: Option<u64>,
        counts: bool,
    },
}

/// Reads an answer that comes at `now`.
pub fn meaning(answer: &Answer, now: u64) -> Meaning {
    let Answer::Response {
        status, retry_after, ..
    } = answer
    else {
        return Meaning::Retry;
    };
    let named = retry_after.as_ref().and_then(|text| match text.parse::<u64>() {
        Ok(seconds) => Some(now + seconds * 1000),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            let at = date.duration_since(UNIX_EPOCH).ok()?.as_millis() as u64;
            Some(at.max(now))
        }
    });
    let hold = |reason| Meaning::Hold {
        reason,
        named,
        counts: true,
    };
    match status {
        200..300 => Meaning::Taken,
        300..400 => hold(HoldReason::Redirected),
        401 | 403 => hold(HoldReason::Unauthorized),
        405 | 501 => hold(HoldReason::MethodRefused),
        410 => hold(HoldReason::Gone),
        451 => hold(HoldReason::Legal),
        429 => Meaning::Hold {
            reason: HoldReason::RetryAfter,
            named: Some(named.unwrap_or(now + 60_000)),
            counts: false,
        },
        415 => Meaning::Dead { format: true },
        400 | 413 | 422 => Meaning::Dead { format: false },
        _ if named.is_some() => hold(HoldReason::RetryAfter),
        _ => Meaning::Retry,
    }
}
