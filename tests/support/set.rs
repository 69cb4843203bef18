//! SETs taken apart and verified by jwt-compact's own algorithms: nothing of the Worker's code is asked.

use base64ct::{Base64UrlUnpadded, Encoding};
use jwt_compact::alg::{Es256, Rsa, RsaPublicKey};
use jwt_compact::jwk::JsonWebKey;
use jwt_compact::{Algorithm, AlgorithmExt, UntrustedToken};
use serde_json::Value;

/// A compact SET, decoded.
#[derive(Clone, Debug)]
pub struct Set {
    pub header: Value,
    pub claims: Value,
    /// As signed, byte for byte.
    pub claims_bytes: Vec<u8>,
}

impl Set {
    /// Decodes without verifying.
    #[track_caller]
    pub fn decode(compact: &str) -> Self {
        let parts: Vec<&str> = compact.split('.').collect();
        assert_eq!(parts.len(), 3, "a compact JWS has three parts: {compact}");
        let bytes =
            |part: &str| Base64UrlUnpadded::decode_vec(part).unwrap_or_else(|error| panic!("{error}: {compact}"));
        let json = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error}: {compact}"));
        let claims_bytes = bytes(parts[1]);
        Self {
            header: json(&bytes(parts[0])),
            claims: json(&claims_bytes),
            claims_bytes,
        }
    }

    /// Decodes after verifying with the key of a JWKS that the header names.
    #[track_caller]
    pub fn verified(compact: &str, jwks: &Value) -> Self {
        let set = Self::decode(compact);
        let keys = jwks["keys"].as_array().expect("a JWKS has keys");
        let key = keys.iter().find(|key| key["kid"] == set.header["kid"]);
        let key = key.unwrap_or_else(|| panic!("no key {} in {jwks}", set.header["kid"]));
        assert_eq!(key["alg"], set.header["alg"], "the key's algorithm and the token's");
        let alg = key["alg"].as_str().unwrap_or_default();
        let key: JsonWebKey<'_> = serde_json::from_value(key.clone()).expect("a JWK");
        let token = UntrustedToken::new(compact).expect("a token");
        let verified = match alg {
            "RS256" => {
                let key = RsaPublicKey::try_from(&key).expect("an RSA key");
                Rsa::rs256().validator::<Value>(&key).validate(&token).map(|_| ())
            }
            "ES256" => {
                let key = <Es256 as Algorithm>::VerifyingKey::try_from(&key).expect("a key on P-256");
                Es256.validator::<Value>(&key).validate(&token).map(|_| ())
            }
            other => panic!("no key of ours signs with {other}"),
        };
        verified.expect("the signature verifies");
        set
    }

    /// A claim that is a string.
    #[track_caller]
    pub fn text(&self, claim: &str) -> &str {
        self.claims[claim]
            .as_str()
            .unwrap_or_else(|| panic!("no {claim} in {}", self.claims))
    }

    pub fn jti(&self) -> &str {
        self.text("jti")
    }

    /// The e-mail address of its subject.
    pub fn email(&self) -> &str {
        self.claims["sub_id"]["email"].as_str().unwrap_or_default()
    }
}
