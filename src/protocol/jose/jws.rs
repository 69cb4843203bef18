//! Compact JWS (RFC 7515): taking a token apart, and putting one together around a signature made elsewhere.
//!
//! Parsing never yields claims: they come out of an [`Unverified`] only by saying that the signature was checked
//! (pitfall: helpers that return unverified claims as if they were good).

use base64ct::{Base64UrlUnpadded, Encoding};
use jwt_compact::{ParseError, UntrustedToken};
use serde::{Deserialize, Serialize};
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
    let untrusted = UntrustedToken::<Extensions>::try_from(token).map_err(|error| match error {
        ParseError::InvalidTokenStructure => JwsError::Structure,
        ParseError::InvalidBase64Encoding => JwsError::Base64,
        ParseError::UnsupportedContentType(_) => JwsError::ContentType,
        ParseError::MalformedHeader(_) => strict_header_error(token),
        _ => JwsError::Header,
    })?;
    let (signing_input, _) = token.rsplit_once('.').ok_or(JwsError::Structure)?;
    let (header_part, claims_part) = signing_input.split_once('.').ok_or(JwsError::Structure)?;
    check_header_json(header_part)?;
    if untrusted.header().other_fields.crit.is_some() {
        return Err(JwsError::Critical);
    }
    Ok(Unverified {
        header: Header {
            alg: untrusted.algorithm().to_owned(),
            typ: untrusted.header().token_type.clone(),
            kid: untrusted.header().key_id.clone(),
        },
        signing_input,
        signature: untrusted.signature_bytes().to_vec(),
        claims: Base64UrlUnpadded::decode_vec(claims_part).map_err(|_| JwsError::Base64)?,
    })
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

/// Header members beyond those that the token library reads itself.
#[derive(Debug, Clone, Deserialize)]
struct Extensions {
    /// Any value at all counts: an empty or malformed `crit` is as unacceptable as an extension we lack.
    #[serde(default, deserialize_with = "present")]
    crit: Option<Value>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The library's header reader ignores repeated members that it does not know, so the header is read strictly as well.
fn check_header_json(header_part: &str) -> Result<(), JwsError> {
    let header = Base64UrlUnpadded::decode_vec(header_part).map_err(|_| JwsError::Base64)?;
    match json::parse_strict(&header, MAX_DEPTH) {
        Ok(Value::Object(_)) => Ok(()),
        Ok(_) => Err(JwsError::Header),
        Err(error) => Err(JwsError::HeaderJson(error)),
    }
}

/// Says more exactly what the library found wrong with a header.
fn strict_header_error(token: &str) -> JwsError {
    let header_part = token.split('.').next().unwrap_or_default();
    check_header_json(header_part).err().unwrap_or(JwsError::Header)
}
