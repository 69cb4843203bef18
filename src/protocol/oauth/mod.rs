//! OAuth as far as a transmitter needs it: the token endpoint with client credentials (RFC 6749), bearer tokens on
//! requests (RFC 6750), and our own access tokens (RFC 9068).

mod access_token;
mod bearer;
mod scope;
mod token_request;

pub use access_token::{AccessToken, MAX_LIFETIME, TYP, TokenError, typ_is_access_token};
pub use bearer::{BearerError, REALM, bearer};
pub use scope::{Scope, ScopeError, ScopeSet};
pub use token_request::{OAuthCode, OAuthError, TokenRequest, parse_token_request};
