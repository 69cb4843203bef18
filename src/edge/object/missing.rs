//! The key of a token that is not among the known ones: fetched, waited for, or missing for good.

use std::rc::Rc;

use crate::edge::clock::now_ms;
use crate::edge::command::Answer;
use crate::protocol::jose::jwk::{Jwks, KeyError};
use crate::receiver::keys::FetchedKeys;
use crate::receiver::missing;

use super::source::SourceObject;

impl SourceObject {
    /// The issuer's keys for a token with this header, fetched anew if they may be. Where its key is not among them `wait_ms` says
    /// when to look again; 0 that it never will be.
    pub(super) async fn keys_for(&self, kid: Option<&str>, alg: &str) -> Answer<(Rc<FetchedKeys>, u64)> {
        let came_at = now_ms();
        let (keys, wait_ms) = self.refresh_keys().await?;
        // A document of keys was read before it was kept.
        let published = Jwks::from_value(&keys.jwks).unwrap_or_default();
        let found = published.find(kid, alg);
        let is_missing = matches!(found, Err(KeyError::UnknownKid | KeyError::NoKid));
        let interval_ms = self.settings()?.key_refetch_ms;
        let kid = kid.unwrap_or_default();
        let lost = missing::for_good(&self.sql, kid, is_missing, came_at, keys.fetched_at, interval_ms)?;
        let wait_ms = match (is_missing, lost) {
            (true, true) => 0,
            (true, false) if wait_ms == 0 => (keys.fetched_at + interval_ms).saturating_sub(now_ms()).max(1),
            _ => wait_ms,
        };
        Ok((keys, wait_ms))
    }
}
