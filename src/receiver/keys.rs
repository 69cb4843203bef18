//! The keys of a transmitter we receive from: where they are, what they were when last fetched, when to fetch again.

use crate::protocol::record::Record;
use serde_json::Value;

/// Keys as last fetched.
#[derive(Debug, Clone, PartialEq, Record)]
pub struct FetchedKeys {
    /// From the transmitter's metadata.
    pub jwks_uri: String,
    /// The JWKS document.
    pub jwks: Value,
    /// Unix milliseconds.
    pub fetched_at: u64,
    /// Members of complex subjects that the transmitter calls critical, from its metadata.
    #[serde(default)]
    pub critical: Vec<String>,
}

/// Keys older than this are fetched anew before they are used: a key the issuer withdrew must not count for ever.
pub const MAX_AGE_MS: u64 = 24 * 3_600_000;

/// For how long the issuer may not be asked for its keys. An unknown `kid` is a reason to look again, but whoever sends
/// tokens must not be able to make us flood the issuer: once per `interval_ms`, whatever came of it.
pub fn wait_ms(last_attempt: Option<u64>, now: u64, interval_ms: u64) -> u64 {
    match last_attempt {
        // A clock that was set back must not lock the keys out.
        Some(at) if at <= now => interval_ms.saturating_sub(now - at),
        _ => 0,
    }
}

/// Whether fetched keys still count.
pub fn are_fresh(keys: &FetchedKeys, now: u64) -> bool {
    now.saturating_sub(keys.fetched_at) < MAX_AGE_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SSF-4.1.4-2, pitfall 28.
    #[test]
    fn an_unknown_kid_makes_one_fetch_per_interval() {
        for (last, now, expected) in [
            (None, 0, 0),
            (Some(1000), 1000, 60_000),
            (Some(1000), 60_999, 1),
            (Some(1000), 61_000, 0),
            (Some(1_000_000), 1000, 0),
        ] {
            assert_eq!(wait_ms(last, now, 60_000), expected, "{last:?} {now}");
        }
    }
}
