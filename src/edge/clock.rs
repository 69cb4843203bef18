//! The time, from the only clock that works here. In production it stands still during synchronous work.

/// Unix milliseconds.
pub fn now_ms() -> u64 {
    js_sys::Date::now() as u64
}

/// Unix seconds, cut off: a token is never post-dated.
pub fn now_s() -> i64 {
    (now_ms() / 1000) as i64
}
