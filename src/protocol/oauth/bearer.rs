//! Bearer tokens on requests (RFC 6750): finding the token, and saying what is wrong in `WWW-Authenticate`.

use super::scope::Scope;

/// The realm that every challenge names.
pub const REALM: &str = "ssf";

/// Why a request is not let through (RFC 6750 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BearerError {
    /// No credentials, or another scheme: the challenge then has no error code.
    #[error("an access token is required")]
    Missing,
    #[error("{0}")]
    InvalidRequest(&'static str),
    #[error("{0}")]
    InvalidToken(&'static str),
    #[error("the token lacks the scope {}", .0.name())]
    InsufficientScope(Scope),
}

impl BearerError {
    /// The HTTP status of the answer.
    pub fn status(self) -> u16 {
        match self {
            BearerError::InvalidRequest(_) => 400,
            BearerError::Missing | BearerError::InvalidToken(_) => 401,
            BearerError::InsufficientScope(_) => 403,
        }
    }

    /// The value of `WWW-Authenticate`. Its texts are ours and free of quotes.
    pub fn www_authenticate(self) -> String {
        match self {
            BearerError::Missing => format!("Bearer realm=\"{REALM}\""),
            BearerError::InvalidRequest(text) => challenge("invalid_request", text),
            BearerError::InvalidToken(text) => challenge("invalid_token", text),
            BearerError::InsufficientScope(scope) => {
                format!(
                    "Bearer realm=\"{REALM}\", error=\"insufficient_scope\", scope=\"{}\"",
                    scope.name()
                )
            }
        }
    }
}

fn challenge(error: &str, description: &str) -> String {
    format!("Bearer realm=\"{REALM}\", error=\"{error}\", error_description=\"{description}\"")
}

/// The token of an `Authorization` header (CIP-2.7.3-1). Tokens anywhere else are not looked for (CIP-2.7.3-2).
pub fn bearer(authorization: Option<&str>) -> Result<&str, BearerError> {
    let (scheme, rest) = match authorization {
        Some(value) => value.trim().split_once(' ').unwrap_or((value.trim(), "")),
        None => return Err(BearerError::Missing),
    };
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(BearerError::Missing);
    }
    let token = rest.trim_start();
    if token.is_empty() {
        return Err(BearerError::InvalidRequest("the Authorization header has no token"));
    }
    if !is_token68(token) {
        return Err(BearerError::InvalidToken("malformed"));
    }
    Ok(token)
}

/// The grammar of RFC 6750 section 2.1: token characters, then padding.
fn is_token68(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    !body.is_empty()
        && body
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_token_or_says_why_not() {
        let malformed = Err(BearerError::InvalidToken("malformed"));
        let empty = Err(BearerError::InvalidRequest("the Authorization header has no token"));
        for (header, expected) in [
            (Some("Bearer a.b-c_d~e+f/g=="), Ok("a.b-c_d~e+f/g==")),
            (Some("bearer  abc "), Ok("abc")),
            (Some("BEARER abc"), Ok("abc")),
            (Some("Bearer"), empty),
            (Some("Bearer  "), empty),
            (Some("Bearer two words"), malformed),
            (Some("Bearer a=b"), malformed),
            (Some("Bearer ="), malformed),
            (Some("Bearer \"abc\""), malformed),
            (Some("Basic abc"), Err(BearerError::Missing)), // RFC 6750 3: another scheme counts as no credentials
            (Some("Bearerabc"), Err(BearerError::Missing)),
            (Some(""), Err(BearerError::Missing)),
            (None, Err(BearerError::Missing)),
        ] {
            assert_eq!(bearer(header), expected, "{header:?}");
        }
    }

    #[test]
    fn challenges_follow_the_interop_profile() {
        // CIP-2.7.3-5
        for (error, status, challenge) in [
            (BearerError::Missing, 401, r#"Bearer realm="ssf""#),
            (
                BearerError::InvalidToken("expired"),
                401,
                r#"Bearer realm="ssf", error="invalid_token", error_description="expired""#,
            ),
            (
                BearerError::InvalidRequest("x"),
                400,
                r#"Bearer realm="ssf", error="invalid_request", error_description="x""#,
            ),
            (
                BearerError::InsufficientScope(Scope::SsfManage),
                403,
                r#"Bearer realm="ssf", error="insufficient_scope", scope="ssf.manage""#,
            ),
        ] {
            assert_eq!((error.status(), error.www_authenticate().as_str()), (status, challenge));
        }
    }
}
