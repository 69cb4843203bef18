//! Keys of an issuer (RFC 7517): which of the published ones may verify, and which one a token means.
//!
//! The algorithm always comes from the key. A token's `alg` can only agree with it or be refused, which closes the
//! `none` and HMAC-with-a-public-key confusions for good (pitfall 26).

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::jws::{Alg, MAX_DEPTH};
use crate::protocol::json::json;
use crate::protocol::json::{self, JsonError};

/// Smallest RSA modulus, in bits (CIP-2.6-1).
pub const MIN_RSA_BITS: usize = 2048;
/// Largest RSA modulus, in bits: verification time grows with it, and nobody publishes more than this in earnest.
pub const MAX_RSA_BITS: usize = 8192;
/// Most keys read from one set; an issuer in the middle of a rotation publishes a handful.
pub const MAX_KEYS: usize = 100;

/// Why a key, or a whole key set, cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwkError {
    #[error("the key set is not acceptable JSON: {0}")]
    Json(JsonError),
    #[error("the key set has no array named keys")]
    NotAKeySet,
    #[error("the key set has more than {MAX_KEYS} keys")]
    TooManyKeys,
    #[error("the key is not a JSON object")]
    NotAnObject,
    #[error("the key type or curve is not supported")]
    UnsupportedType,
    #[error("the key member {0} is missing or malformed")]
    Member(&'static str),
    #[error("the key is not meant for verifying signatures")]
    Purpose,
    #[error("the key names another algorithm than its type allows")]
    Algorithm,
    #[error("the RSA modulus has {0} bits; {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted")]
    RsaSize(usize),
    #[error("the RSA exponent is even, 1, or longer than 8 bytes")]
    RsaExponent,
    #[error("the key was published with its private part")]
    PrivatePartPublished,
}

/// Why no key of a set may verify a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the token's algorithm is not RS256 or ES256")]
    AlgorithmRefused,
    #[error("the token's algorithm is not the one of the key it names")]
    AlgorithmMismatch,
    #[error("no key of the issuer has the token's kid")]
    UnknownKid,
    #[error("the key that the token names is not acceptable: {0}")]
    Rejected(JwkError),
    #[error("the token names no key (kid) and the issuer does not have exactly one of its algorithm")]
    NoKid,
}

/// One key that may verify signatures.
#[derive(Debug, Clone, PartialEq)]
pub struct Jwk {
    pub kid: Option<String>,
    /// Follows from the key's type, never from a token.
    pub alg: Alg,
    /// The smallest public JWK, ready to import: `kty`,`n`,`e` or `kty`,`crv`,`x`,`y`.
    pub public: Value,
}

/// A key set as read: the usable keys in order, and what was wrong with the others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Jwks {
    pub keys: Vec<Jwk>,
    /// `kid` (if it had one) and reason of every key that was left out.
    pub rejected: Vec<(Option<String>, JwkError)>,
}

impl Jwks {
    /// Reads a JWK Set. Keys that we cannot use are set aside, not fatal (RFC 7517 5).
    pub fn parse(bytes: &[u8]) -> Result<Jwks, JwkError> {
        let set = json::parse_strict(bytes, MAX_DEPTH).map_err(JwkError::Json)?;
        Jwks::from_value(&set)
    }

    /// As [`Jwks::parse`], for a set that is part of a larger document.
    pub fn from_value(set: &Value) -> Result<Jwks, JwkError> {
        let entries = set.get("keys").and_then(Value::as_array).ok_or(JwkError::NotAKeySet)?;
        if entries.len() > MAX_KEYS {
            return Err(JwkError::TooManyKeys);
        }
        let mut jwks = Jwks::default();
        for entry in entries {
            match Jwk::from_value(entry) {
                Ok(key) => jwks.keys.push(key),
                Err(reason) => jwks.rejected.push((kid_of(entry), reason)),
            }
        }
        Ok(jwks)
    }

    /// The key that a token with this header means.
    ///
    /// By `kid`, and then the token's `alg` has to be the key's. Without a `kid` only if there is exactly one key of
    /// that algorithm. After [`KeyError::UnknownKid`] a fresh copy of the set may help; after the others it cannot.
    pub fn find(&self, kid: Option<&str>, alg: &str) -> Result<&Jwk, KeyError> {
        let alg = Alg::from_name(alg).ok_or(KeyError::AlgorithmRefused)?;
        let Some(kid) = kid else {
            let mut fitting = self.keys.iter().filter(|key| key.alg == alg);
            return match (fitting.next(), fitting.next()) {
                (Some(only), None) => Ok(only),
                _ => Err(KeyError::NoKid),
            };
        };
        let mut named = self
            .keys
            .iter()
            .filter(|key| key.kid.as_deref() == Some(kid))
            .peekable();
        if named.peek().is_some() {
            return named.find(|key| key.alg == alg).ok_or(KeyError::AlgorithmMismatch);
        }
        let rejected = self.rejected.iter().find(|(other, _)| other.as_deref() == Some(kid));
        Err(rejected.map_or(KeyError::UnknownKid, |(_, reason)| KeyError::Rejected(reason.clone())))
    }
}

impl Jwk {
    /// Reads one published key and checks purpose, algorithm and strength.
    pub fn from_value(value: &Value) -> Result<Jwk, JwkError> {
        let members = value.as_object().ok_or(JwkError::NotAnObject)?;
        let (alg, public) = public_part(members)?;
        // A private part in public is no longer private: whoever read it can sign in the issuer's name.
        if members.contains_key("d") {
            return Err(JwkError::PrivatePartPublished);
        }
        check_purpose(members)?;
        if members
            .get("alg")
            .is_some_and(|named| named.as_str() != Some(alg.name()))
        {
            return Err(JwkError::Algorithm);
        }
        check_strength(&public)?;
        Ok(Jwk {
            kid: kid_of(value),
            alg,
            public,
        })
    }
}

/// The key's SHA-256 thumbprint (RFC 7638), base64url: 43 characters that depend on the public part only.
pub fn thumbprint(public: &Value) -> Result<String, JwkError> {
    let (_, minimal) = public_part(public.as_object().ok_or(JwkError::NotAnObject)?)?;
    check_strength(&minimal)?;
    // The canonical form of exactly the required members is what RFC 7638 3.3 hashes.
    Ok(Base64UrlUnpadded::encode_string(&Sha256::digest(json::canonical(
        &minimal,
    ))))
}

/// The JWK to publish for a key of ours: public members, `kid`, `alg` and `use` only, whatever else the input holds.
pub fn public_jwk(private_or_public: &Value, alg: Alg, kid: &str) -> Result<Value, JwkError> {
    let members = private_or_public.as_object().ok_or(JwkError::NotAnObject)?;
    let (actual, mut public) = public_part(members)?;
    if actual != alg {
        return Err(JwkError::Algorithm);
    }
    check_strength(&public)?;
    if let Some(members) = public.as_object_mut() {
        members.insert("kid".into(), kid.into());
        members.insert("alg".into(), alg.name().into());
        members.insert("use".into(), "sig".into());
    }
    Ok(public)
}

fn kid_of(value: &Value) -> Option<String> {
    value.get("kid").and_then(Value::as_str).map(str::to_owned)
}

/// Picks the public members by name, so that nothing else can slip through, and tells the algorithm of the type.
fn public_part(members: &Map<String, Value>) -> Result<(Alg, Value), JwkError> {
    let text = |name: &'static str| members.get(name).and_then(Value::as_str).ok_or(JwkError::Member(name));
    match text("kty")? {
        "RSA" => Ok((Alg::Rs256, json!({"kty": "RSA", "n": text("n")?, "e": text("e")?}))),
        "EC" if text("crv")? == "P-256" => Ok((
            Alg::Es256,
            json!({"kty": "EC", "crv": "P-256", "x": text("x")?, "y": text("y")?}),
        )),
        _ => Err(JwkError::UnsupportedType),
    }
}

/// RFC 7517 4.2 and 4.3: `use` is absent or `sig`, `key_ops` is absent or names `verify`.
fn check_purpose(members: &Map<String, Value>) -> Result<(), JwkError> {
    let used_for_signatures = members.get("use").is_none_or(|purpose| purpose.as_str() == Some("sig"));
    let may_verify = members.get("key_ops").is_none_or(|operations| {
        operations
            .as_array()
            .is_some_and(|list| list.iter().any(|operation| operation.as_str() == Some("verify")))
    });
    if used_for_signatures && may_verify {
        Ok(())
    } else {
        Err(JwkError::Purpose)
    }
}

fn check_strength(minimal: &Value) -> Result<(), JwkError> {
    let bytes = |name: &'static str| {
        let text = minimal.get(name).and_then(Value::as_str).unwrap_or_default();
        Base64UrlUnpadded::decode_vec(text).map_err(|_| JwkError::Member(name))
    };
    if minimal.get("n").is_none() {
        // P-256: both coordinates have the length of the field (RFC 7518 6.2.1.2).
        for name in ["x", "y"] {
            if bytes(name)?.len() != 32 {
                return Err(JwkError::Member(name));
            }
        }
        return Ok(());
    }
    let (modulus, exponent) = (bytes("n")?, bytes("e")?);
    let bits = bit_length(&modulus);
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
        return Err(JwkError::RsaSize(bits));
    }
    let odd = exponent.last().is_some_and(|byte| byte & 1 == 1);
    if odd && (2..=64).contains(&bit_length(&exponent)) {
        Ok(())
    } else {
        Err(JwkError::RsaExponent)
    }
}

fn bit_length(big_endian: &[u8]) -> usize {
    let significant = big_endian.iter().skip_while(|byte| **byte == 0);
    match significant.clone().next() {
        Some(first) => significant.count() * 8 - first.leading_zeros() as usize,
        None => 0,
    }
}
