//! Standard Webhooks signatures, version 1: HMAC-SHA-256 over id, time and body, in three headers beside the body.
//!
//! For events that are not signed themselves. A SET is, and gets none of this (SW-10).

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::secret::Secret;
use super::set::first_bytes;

/// The headers of a signed request, in lower case (SW-1).
pub const ID_HEADER: &str = "webhook-id";
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
pub const SIGNATURE_HEADER: &str = "webhook-signature";

/// How far the clocks of both sides may be apart, in seconds (SW-7).
pub const TOLERANCE_S: i64 = 300;

const SECRET_PREFIX: &str = "whsec_";
const VERSION_PREFIX: &str = "v1,";
/// Longest id (SW-2).
const MAX_ID: usize = 64;
/// Shortest secret, in bytes (SW-5).
const MIN_SECRET: usize = 24;
/// Longest secret, in bytes (SW-5): one block of the hash, so that none has to be hashed to become a key.
const MAX_SECRET: usize = 64;

/// What the sender signs and the receiver verifies with. A stream has its own (SW-6).
#[derive(Debug, Clone)]
pub struct WebhookSecret(Secret<Vec<u8>>);

/// A text is no secret of Standard Webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be whsec_ and the base64 of {MIN_SECRET} to {MAX_SECRET} bytes")]
pub struct MalformedSecret;

impl WebhookSecret {
    pub fn from_random(bytes: [u8; 32]) -> Self {
        WebhookSecret(Secret::new(bytes.to_vec()))
    }

    /// Reads the form in which secrets are shown and stored.
    pub fn parse(text: &str) -> Result<Self, MalformedSecret> {
        let encoded = text.strip_prefix(SECRET_PREFIX).ok_or(MalformedSecret)?;
        let bytes = Base64::decode_vec(encoded).map_err(|_| MalformedSecret)?;
        match bytes.len() {
            MIN_SECRET..=MAX_SECRET => Ok(WebhookSecret(Secret::new(bytes))),
            _ => Err(MalformedSecret),
        }
    }

    /// `whsec_…`: for the answer that shows it once, and for the seal.
    pub fn to_text(&self) -> String {
        let mut text = SECRET_PREFIX.to_owned();
        text.push_str(&Base64::encode_string(self.0.expose()));
        text
    }

    /// The MAC of `<id>.<timestamp>.<body>` (SW-2). Its key is the secret with zeros up to the length of a block, which is what
    /// HMAC makes of any key of at most that length.
    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> [u8; 32] {
        let mut key = [0; MAX_SECRET];
        for (place, byte) in key.iter_mut().zip(self.0.expose()) {
            *place = *byte;
        }
        let mut mac = <Hmac<Sha256> as hmac::digest::KeyInit>::new(&key.into());
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// The value of `webhook-signature`: one entry for each secret, in their order, which is newest first (SW-4, SW-6).
pub fn sign(secrets: &[&WebhookSecret], id: &str, timestamp_s: i64, body: &[u8]) -> String {
    let timestamp = timestamp_s.to_string();
    let mut header = String::new();
    for secret in secrets {
        if !header.is_empty() {
            header.push(' ');
        }
        header.push_str(VERSION_PREFIX);
        header.push_str(&Base64::encode_string(&secret.mac(id, &timestamp, body)));
    }
    header
}

/// The three headers of a request as they came.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    pub id: &'a str,
    pub timestamp: &'a str,
    pub signature: &'a str,
}

/// Why a signed request is not to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    #[error("webhook-id is not 1 to {MAX_ID} letters, digits, hyphens and underscores")]
    Id,
    #[error("webhook-timestamp is not a number of seconds")]
    Timestamp,
    #[error("webhook-timestamp is too far from the time here")]
    Untimely,
    #[error("webhook-signature is not made with a secret that is known here")]
    Signature,
}

/// Checks a request against every secret that is valid now, `now_s` and `tolerance_s` in seconds (SW-7). The id is then for the
/// caller to recognise a repeat by.
pub fn verify(
    secrets: &[&WebhookSecret],
    signed: &Signed,
    body: &[u8],
    now_s: i64,
    tolerance_s: i64,
) -> Result<(), Untrusted> {
    if !is_id(signed.id) {
        return Err(Untrusted::Id);
    }
    // Twelve digits are more than thirty thousand years.
    let legal = signed.timestamp.len() <= 12 && signed.timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let at = legal.then(|| signed.timestamp.parse().ok()).flatten();
    let at: i64 = at.ok_or(Untrusted::Timestamp)?;
    if now_s.saturating_sub(at).saturating_abs() > tolerance_s {
        return Err(Untrusted::Untimely);
    }
    for secret in secrets {
        let mac = secret.mac(signed.id, signed.timestamp, body);
        // Entries of versions that we do not know are passed over.
        for entry in signed
            .signature
            .split(' ')
            .filter_map(|entry| entry.strip_prefix(VERSION_PREFIX))
        {
            let matches = Base64::decode_vec(entry).is_ok_and(|given| given.ct_eq(&mac).into());
            if matches {
                return Ok(());
            }
        }
    }
    Err(Untrusted::Signature)
}

/// The id of a batch: the same events give the same one on every attempt (SW-3), in 24 characters.
pub fn id_of_batch(ids: &[&str]) -> String {
    let mut hash = Sha256::new();
    for id in ids {
        hash.update((id.len() as u64).to_be_bytes());
        hash.update(id.as_bytes());
    }
    Base64UrlUnpadded::encode_string(&first_bytes::<18>(&hash.finalize()))
}

/// No dot is in there, so that id, time and body have one place each in what is signed.
fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::mutate;

    const V1_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const V1_BODY: &[u8] = br#"{"test": 2432232314}"#;
    const V1: Signed = Signed {
        id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp: "1614265330",
        signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    };
    const V1_TIME: i64 = 1_614_265_330;

    const V2_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const V2_BODY: &str = concat!(
        r#"{"specversion":"1.0","id":"evt-0001","source":"https://tx.example.com/streams/1","type":"com.example.ping","#,
        r#""time":"2026-01-02T03:04:05Z","datacontenttype":"application/json","data":{"n":1}}"#
    );
    const V2_HEADER: &str = "v1,zq296voftE+GrARORldzhdLVRZk7ZpIZdDn5ZXXa10k=";

    fn secret(text: &str) -> WebhookSecret {
        WebhookSecret::parse(text).unwrap()
    }

    fn verified(signed: Signed, body: &[u8], now_s: i64) -> Result<(), Untrusted> {
        verify(&[&secret(V1_SECRET)], &signed, body, now_s, TOLERANCE_S)
    }

    /// T-W-01, SW-1, SW-2, SW-4
    #[test]
    fn public_vectors_come_out() {
        assert_eq!(sign(&[&secret(V1_SECRET)], V1.id, V1_TIME, V1_BODY), V1.signature);
        let numbered = WebhookSecret::from_random(std::array::from_fn(|at| at as u8));
        assert_eq!(numbered.to_text(), V2_SECRET);
        assert_eq!(V2_BODY.len(), 189);
        assert_eq!(
            sign(&[&numbered], "msg_0001", 1_767_323_045, V2_BODY.as_bytes()),
            V2_HEADER
        );
        assert_eq!(verified(V1, V1_BODY, V1_TIME), Ok(()));
    }

    #[test]
    fn secrets_are_read_and_written_and_never_printed() {
        for text in [V1_SECRET, V2_SECRET] {
            assert_eq!(secret(text).to_text(), text);
            assert_eq!(format!("{:?}", secret(text)), "WebhookSecret(***)");
        }
        let encoded = |length: usize| format!("whsec_{}", Base64::encode_string(&vec![7; length]));
        // SW-5
        for (length, legal) in [(0, false), (23, false), (24, true), (64, true), (65, false)] {
            assert_eq!(WebhookSecret::parse(&encoded(length)).is_ok(), legal, "{length}");
        }
        for text in [
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa--",
            "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
        ] {
            assert_eq!(WebhookSecret::parse(text).err(), Some(MalformedSecret), "{text}");
        }
    }

    /// T-W-02, SW-6, SW-7
    #[test]
    fn while_secrets_overlap_either_verifies() {
        let (old, new) = (secret(V1_SECRET), secret(V2_SECRET));
        let both = sign(&[&new, &old], V1.id, V1_TIME, V1_BODY);
        let of_new = sign(&[&new], V1.id, V1_TIME, V1_BODY);
        assert_eq!(both, format!("{of_new} {}", V1.signature));
        let signed = |signature| Signed { signature, ..V1 };
        for (known, signature, expected) in [
            (&[&old][..], both.as_str(), Ok(())),
            (&[&new], &both, Ok(())),
            (&[&new, &old], V1.signature, Ok(())),
            (&[&new, &old], &of_new, Ok(())),
            (&[&old], &of_new, Err(Untrusted::Signature)),
            (&[], &both, Err(Untrusted::Signature)),
        ] {
            assert_eq!(
                verify(known, &signed(signature), V1_BODY, V1_TIME, TOLERANCE_S),
                expected,
                "{signature}"
            );
        }
        assert_eq!(sign(&[], V1.id, V1_TIME, V1_BODY), "");
    }

    /// T-W-03, SW-7
    #[test]
    fn old_and_future_requests_are_untimely() {
        for (now, expected) in [
            (V1_TIME - 300, Ok(())),
            (V1_TIME + 300, Ok(())),
            (V1_TIME - 301, Err(Untrusted::Untimely)),
            (V1_TIME + 301, Err(Untrusted::Untimely)),
            (i64::MIN, Err(Untrusted::Untimely)),
            (i64::MAX, Err(Untrusted::Untimely)),
        ] {
            assert_eq!(verified(V1, V1_BODY, now), expected, "{now}");
        }
    }

    /// T-W-04, SW-2, SW-4, SW-7
    #[test]
    fn whatever_is_changed_is_noticed() {
        use Untrusted::{Id, Signature, Timestamp};
        assert_eq!(verified(V1, br#"{"test":  2432232314}"#, V1_TIME), Err(Signature));
        let id = |id| Signed { id, ..V1 };
        let timestamp = |timestamp| Signed { timestamp, ..V1 };
        let signature = |signature| Signed { signature, ..V1 };
        for (signed, expected) in [
            (id("msg_p5jXN8AQM9LWM0D4loKWxJeK"), Signature),
            (id(""), Id),
            (id("msg.1"), Id),
            (id("msg 1"), Id),
            (id(&"a".repeat(65)), Id),
            (timestamp("1614265331"), Signature),
            (timestamp("01614265330"), Signature),
            (timestamp(""), Timestamp),
            (timestamp("+1614265330"), Timestamp),
            (timestamp("-1"), Timestamp),
            (timestamp("1614265330.0"), Timestamp),
            (timestamp("1e9"), Timestamp),
            (timestamp("9999999999999"), Timestamp),
            (timestamp("99999999999999999999"), Timestamp),
            (signature(""), Signature),
            (signature("v1,"), Signature),
            (signature("v1"), Signature),
            (signature("g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="), Signature),
            (signature("v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="), Signature),
            (signature("V1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="), Signature),
            (signature("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE"), Signature),
            (signature("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OI="), Signature),
            (signature("v1,g0hM9SsE+OTPJTGt"), Signature),
        ] {
            assert_eq!(verified(signed, V1_BODY, V1_TIME), Err(expected), "{signed:?}");
        }
        let among_others = format!("v1a,AAAA v1,broken  v9,x {} v1,", V1.signature);
        assert_eq!(verified(signature(&among_others), V1_BODY, V1_TIME), Ok(()));
    }

    #[test]
    fn no_other_header_verifies() {
        for bytes in mutate::variants(&[V1.signature], 5_000) {
            let signature = String::from_utf8_lossy(&bytes);
            let holds_it = signature.split(' ').any(|entry| entry == V1.signature);
            let signed = Signed {
                signature: &signature,
                ..V1
            };
            assert_eq!(verified(signed, V1_BODY, V1_TIME).is_ok(), holds_it, "{signature}");
        }
    }

    /// SW-3
    #[test]
    fn a_batch_has_the_id_of_its_events() {
        let id = id_of_batch(&["a", "b"]);
        assert_eq!(id, id_of_batch(&["a", "b"]));
        assert!(id.len() == 24 && is_id(&id), "{id}");
        for other in [&["b", "a"][..], &["ab"], &["a"], &["a", "b", ""], &[]] {
            assert_ne!(id, id_of_batch(other), "{other:?}");
        }
    }
}
