//! Judging a SET, whichever way it came: the checks of `receiver::intake`, with the signature checked by WebCrypto in between.

use crate::protocol::event;
use crate::protocol::jose::jwk::{Jwk, Jwks, KeyError};
use crate::protocol::jose::jws::Unverified;
use crate::protocol::json::json;
use crate::protocol::legacy;
use crate::protocol::push::ErrorBody;
use crate::protocol::set::SetErr;
use crate::receiver::inbox::{Accepted, IntakeRecord, KeysFrom};
use crate::receiver::intake::{self, AboutStream};
use crate::receiver::source::Source;

use super::clock::{now_ms, now_s};
use super::crypto::{self, CryptoError};
use super::log::{self, Level};

/// A SET that is good.
pub struct Judged {
    pub event: Accepted,
    pub about: Option<AboutStream>,
    /// It is taken and not kept: nobody here understands a part of its subject that is critical (SSF-3.6-3).
    pub discard: bool,
}

/// The key that a token names, in this document. Nothing for one that is not there and `may_come` yet; anything else that is wrong
/// with it nobody can mend.
pub fn choose(token: &Unverified<'_>, document: &serde_json::Value, may_come: bool) -> Result<Option<Jwk>, ErrorBody> {
    // A document of keys was read before it was kept.
    let keys = Jwks::from_value(document).unwrap_or_default();
    match intake::choose_key(token, &keys) {
        Ok(key) => Ok(Some(key.clone())),
        Err(KeyError::UnknownKid | KeyError::NoKid) if may_come => Ok(None),
        Err(error) => Err(intake::key_refused(&error)),
    }
}

/// The checks from the signature to the event's members. `began`: when the search for the key did.
pub async fn judge(
    source: &Source,
    critical: &[String],
    set: &str,
    token: Unverified<'_>,
    (key, keys): (&Jwk, KeysFrom),
    began: u64,
) -> Result<Result<Judged, ErrorBody>, CryptoError> {
    let found = now_ms();
    // What looks like a key, and is none, is the issuer's fault: it must not hold up what is signed with others.
    let Ok(imported) = crypto::verifying_key(&key.public, key.alg).await else {
        return Ok(Err(intake::key_unusable()));
    };
    let input = token.signing_input.as_bytes();
    if !crypto::verify(&imported, key.alg, &token.signature, input).await? {
        return Ok(Err(intake::signature_refused()));
    }
    let verified_at = now_ms();
    let token = token.assume_verified();
    let claims = match intake::accept(&token, &source.trust(), now_s()) {
        Ok(claims) => claims,
        Err(error) => return Ok(Err(error)),
    };
    // A type we know must be what its definition says; one we do not know is kept as it is.
    if event::find(&claims.event_type).is_some()
        && let Err(found) = event::validate(&claims.event_type, &claims.event)
    {
        return Ok(Err(ErrorBody::new(
            SetErr::InvalidRequest,
            format!("the event {found}"),
        )));
    }
    let strange = intake::not_understood(&claims.sub_id, critical, &source.managed.understood_members);
    if let Some(member) = strange {
        log::line(
            Level::Warn,
            "event_discarded",
            json!({"source_id": source.source_id, "jti": claims.jti, "critical_member": member}),
        );
    }
    Ok(Ok(Judged {
        about: AboutStream::of(&claims),
        discard: strange.is_some(),
        event: Accepted {
            iss: claims.iss,
            jti: claims.jti,
            // As whoever looks for it later reads it.
            event_type: legacy::today(claims.event_type),
            sub_id: claims.sub_id,
            set: set.trim_end().to_owned(),
            intake: IntakeRecord {
                kid: token.header.kid,
                alg: token.header.alg,
                keys,
                keys_ms: found.saturating_sub(began),
                verify_ms: verified_at.saturating_sub(found),
            },
        },
    }))
}
