//! Compact JWS (RFC 7515): taking a token apart, and putting one together around a signature made elsewhere.
//!
//! Parsing never yields claims: they come out of an [`Unverified`] only by saying that the signature was checked
//! (pitfall: helpers that return unverified claims as if they were good).

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::Serialize;
use serde_json::Value;

use crate::protocol::json::{self, JsonError};
use crate::protocol::record::Record;

/// Deepest nesting accepted in a header or in claims; the standards' own documents need about six levels.
pub const MAX_DEPTH: usize = 32;

/// The signature algorithms that we make and accept. No others exist here, so none can be talked into use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Record)]
pub enum Alg {
    /// RSASSA-PKCS1-v1_5 with SHA-256; the interop profile's only choice (CIP-2.6-1).
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256; the signature is the 64 bytes `r || s`.
    #[serde(rename = "ES256")]
    Es256,
}

impl Alg {
    /// The name in a JOSE header.
    pub fn name(self) -> &'static str {
        match self {
            Alg::Rs256 => "RS256",
            Alg::Es256 => "ES256",
        }
    }

    /// The algorithm of that exact name, if it is one of ours.
    pub fn from_name(name: &str) -> Option<Alg> {
        [Alg::Rs256, Alg::Es256].into_iter().find(|alg| alg.name() == name)
    }
}

/// Why a text is not a token that we can read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    #[error("a token has exactly three parts separated by dots")]
    Structure,
    #[error("a part of the token is not unpadded base64url")]
    Base64,
    #[error("the token header is not acceptable JSON: {0}")]
    HeaderJson(JsonError),
    #[error("the token header lacks a usable alg, typ or kid")]
    Header,
    #[error("the token header demands an extension (crit) that is not supported")]
    Critical,
    #[error("the token's content type (cty) is not JSON")]
    ContentType,
}

/// The header members that matter. `jku`, `x5u` and `jwk` are deliberately not kept: keys never come from the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub alg: String,
    pub typ: Option<String>,
    pub kid: Option<String>,
}

/// A token that was taken apart and nothing more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverified<'a> {
    pub header: Header,
    /// What the signature covers: the first two parts with their dot, as received.
    pub signing_input: &'a str,
    /// The signature's bytes; empty for an unsecured token, which no key accepts.
    pub signature: Vec<u8>,
    claims: Vec<u8>,
}

/// A token whose signature its holder has checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub header: Header,
    /// The claims as signed, byte for byte.
    pub claims: Vec<u8>,
}

/// Takes a compact token apart (RFC 7515 5.2, steps 1 to 7). Nothing about it is trustworthy yet.
pub fn parse(token: &str) -> Result<Unverified<'_>, JwsError> {
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(JwsError::Structure);
    };
    let (signing_input, _) = token.rsplit_once('.').ok_or(JwsError::Structure)?;
    let decoded = |part| Base64UrlUnpadded::decode_vec(part).map_err(|_| JwsError::Base64);
    let (header, claims, signature) = (decoded(header)?, decoded(claims)?, decoded(signature)?);
    Ok(Unverified {
        header: Header::parse(&header)?,
        signing_input,
        signature,
        claims,
    })
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, JwsError> {
        let header = json::parse_strict(bytes, MAX_DEPTH).map_err(JwsError::HeaderJson)?;
        let members = header.as_object().ok_or(JwsError::Header)?;
        // An extension that we lack, or a list of none: RFC 7515 4.1.11 allows neither.
        if members.contains_key("crit") {
            return Err(JwsError::Critical);
        }
        let text = |name| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(JwsError::Header),
        };
        let content_type = text("cty")?;
        if content_type.is_some_and(|content_type| !content_type.eq_ignore_ascii_case("json")) {
            return Err(JwsError::ContentType);
        }
        Ok(Self {
            alg: text("alg")?.ok_or(JwsError::Header)?,
            typ: text("typ")?,
            kid: text("kid")?,
        })
    }
}

impl Unverified<'_> {
    /// Releases the claims. Call it only after the signature over `signing_input` was verified with a key of the issuer.
    pub fn assume_verified(self) -> Verified {
        Verified {
            header: self.header,
            claims: self.claims,
        }
    }

    /// One top-level string claim, unverified: for choosing whose keys to try, never to act on. `None` when the claims
    /// are not a strict JSON object or the member is no string.
    pub fn peek(&self, member: &str) -> Option<String> {
        let claims = json::parse_strict(&self.claims, MAX_DEPTH).ok()?;
        claims.get(member)?.as_str().map(str::to_owned)
    }
}

/// The header of a token that we are about to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SigningHeader<'a> {
    pub alg: Alg,
    pub typ: &'a str,
    pub kid: &'a str,
}

/// The text to sign: header and claims, each base64url, joined by a dot (RFC 7515 5.1).
pub fn signing_input(header: &SigningHeader<'_>, claims: &[u8]) -> String {
    let header = json::to_bytes(header);
    let mut input = Base64UrlUnpadded::encode_string(&header);
    input.push('.');
    input.push_str(&Base64UrlUnpadded::encode_string(claims));
    input
}

/// The finished compact token.
pub fn assemble(signing_input: &str, signature: &[u8]) -> String {
    format!("{signing_input}.{}", Base64UrlUnpadded::encode_string(signature))
}
