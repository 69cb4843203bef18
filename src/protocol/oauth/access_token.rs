//! Access tokens that our own token endpoint issues: signed JWTs in the shape of RFC 9068.

use serde::Serialize;
use serde_json::Value;

use super::bearer::BearerError;
use super::scope::ScopeSet;
use crate::protocol::jose::jws::MAX_DEPTH;
use crate::protocol::json;
use crate::protocol::record::{self, Record};
use crate::protocol::set::Audience;

/// The JOSE `typ` of an access token (RFC 9068 2.1).
pub const TYP: &str = "at+jwt";
/// Longest accepted time between `iat` and `exp`, in seconds (CIP-2.7.1-4).
pub const MAX_LIFETIME: i64 = 3600;
/// How far the clock of another machine may be ahead of ours, in seconds.
const CLOCK_SKEW: i64 = 60;

/// Whether a header's `typ` says access token, in any case, with or without `application/`.
pub fn typ_is_access_token(typ: Option<&str>) -> bool {
    typ.is_some_and(|typ| typ.eq_ignore_ascii_case(TYP) || typ.eq_ignore_ascii_case("application/at+jwt"))
}

/// The claims of an access token. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Record)]
pub struct AccessToken {
    pub iss: String,
    /// With client credentials the client itself (RFC 9068 2.2).
    pub sub: String,
    pub aud: Audience,
    pub client_id: String,
    pub scope: ScopeSet,
    pub iat: i64,
    pub exp: i64,
    pub jti: String,
}

/// Why a token whose signature is good does not open the door. The texts go into `WWW-Authenticate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub enum TokenError {
    Malformed,
    SecurityEventToken,
    Issuer,
    Audience,
    Expired,
    NotYet,
    Lifetime,
}

impl TokenError {
    /// The reason in words, without quotes.
    pub fn text(self) -> &'static str {
        match self {
            TokenError::Malformed => "malformed claims",
            TokenError::SecurityEventToken => "a security event token is not an access token",
            TokenError::Issuer => "wrong issuer",
            TokenError::Audience => "wrong audience",
            TokenError::Expired => "expired",
            TokenError::NotYet => "issued in the future",
            TokenError::Lifetime => "lifetime too long",
        }
    }
}

impl From<TokenError> for BearerError {
    fn from(error: TokenError) -> Self {
        BearerError::InvalidToken(error.text())
    }
}

impl AccessToken {
    /// The claims set as JSON bytes, to be signed.
    pub fn to_claims(&self) -> Vec<u8> {
        record::text(self).into_bytes()
    }

    /// Reads the claims of a token whose signature was verified. One with `events` is a SET (SET-4.3-1).
    pub fn parse(bytes: &[u8]) -> Result<AccessToken, TokenError> {
        let claims = json::parse_strict(bytes, MAX_DEPTH).map_err(|_| TokenError::Malformed)?;
        if claims.get("events").is_some() {
            return Err(TokenError::SecurityEventToken);
        }
        // Serde would also read a JSON array into a struct, by position.
        if !matches!(claims, Value::Object(_)) {
            return Err(TokenError::Malformed);
        }
        AccessToken::from_json(claims).map_err(|_| TokenError::Malformed)
    }

    /// Whether the token is good at `now` (seconds since 1970) for the service `issuer`, which is also its audience.
    pub fn check(&self, issuer: &str, now: i64) -> Result<(), TokenError> {
        if self.iss != issuer {
            return Err(TokenError::Issuer);
        }
        if !self.aud.contains(issuer) {
            return Err(TokenError::Audience);
        }
        if self.exp <= now {
            return Err(TokenError::Expired);
        }
        if self.iat > now.saturating_add(CLOCK_SKEW) {
            return Err(TokenError::NotYet);
        }
        if self.exp.saturating_sub(self.iat) > MAX_LIFETIME {
            return Err(TokenError::Lifetime);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ISSUER: &str = "https://signals.quarry.example/t/9";

    fn token() -> AccessToken {
        AccessToken {
            iss: ISSUER.into(),
            sub: "client-1".into(),
            aud: Audience::One(ISSUER.into()),
            client_id: "client-1".into(),
            scope: ScopeSet::parse("ssf.read ssf.manage").unwrap(),
            iat: 1_795_262_400,
            exp: 1_795_266_000,
            jti: "t-1".into(),
        }
    }

    #[test]
    fn claims_survive_the_round_trip() {
        let claims = token().to_claims();
        assert_eq!(AccessToken::parse(&claims), Ok(token()));
        let value: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(value["scope"], "ssf.read ssf.manage");
        assert_eq!(value["aud"], ISSUER);
    }

    #[test]
    fn other_tokens_are_refused() {
        let good: Value = serde_json::from_slice(&token().to_claims()).unwrap();
        let with = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            claims.to_string()
        };
        for (claims, expected) in [
            (with("events", json!({})), Err(TokenError::SecurityEventToken)), // SET-4.3-1
            (with("events", Value::Null), Err(TokenError::SecurityEventToken)),
            (with("exp", json!("soon")), Err(TokenError::Malformed)),
            (with("exp", Value::Null), Err(TokenError::Malformed)),
            (with("aud", json!([])), Err(TokenError::Malformed)),
            (
                good.to_string().replacen('{', r#"{"iss":"https://evil.example","#, 1),
                Err(TokenError::Malformed),
            ),
            (
                r#"["a","b","c","d","ssf.read",1,2,"e"]"#.to_owned(),
                Err(TokenError::Malformed),
            ),
            ("null".to_owned(), Err(TokenError::Malformed)),
            (with("extra", json!({"a": 1})), Ok(token())),
        ] {
            assert_eq!(AccessToken::parse(claims.as_bytes()), expected, "{claims}");
        }
    }

    #[test]
    fn issuer_audience_and_times_are_checked() {
        let now = token().iat;
        for (at, issuer, expected) in [
            (now, ISSUER, Ok(())),
            (now - 60, ISSUER, Ok(())),
            (now - 61, ISSUER, Err(TokenError::NotYet)),
            (now + 3599, ISSUER, Ok(())),
            (now + 3600, ISSUER, Err(TokenError::Expired)),
            (now, "https://signals.quarry.example/t/9/", Err(TokenError::Issuer)), // SSF-7.2.4-2: exact
        ] {
            assert_eq!(token().check(issuer, at), expected, "{at} {issuer}");
        }
        let other = AccessToken {
            aud: Audience::One("https://other.example".into()),
            ..token()
        };
        assert_eq!(other.check(ISSUER, now), Err(TokenError::Audience));
        let long = AccessToken {
            exp: now + MAX_LIFETIME + 1,
            ..token()
        };
        assert_eq!(long.check(ISSUER, now), Err(TokenError::Lifetime)); // CIP-2.7.1-4
        let odd = AccessToken {
            iat: i64::MIN,
            exp: i64::MAX,
            ..token()
        };
        assert_eq!(odd.check(ISSUER, now), Err(TokenError::Lifetime));
    }

    #[test]
    fn typ_tells_access_tokens_from_events() {
        for (typ, expected) in [
            (Some("at+jwt"), true),
            (Some("AT+JWT"), true),
            (Some("application/at+jwt"), true),
            (Some("secevent+jwt"), false),
            (Some("JWT"), false),
            (None, false),
        ] {
            assert_eq!(typ_is_access_token(typ), expected, "{typ:?}");
        }
    }
}
