//! WebCrypto: making keys, signing, verifying, and sealing what is stored.
//!
//! Imported keys are cached for the life of the isolate. A `CryptoKey` belongs to no request, so it may be; nothing that
//! waits for anything is kept here.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::thread::LocalKey;

use base64ct::{Base64UrlUnpadded, Encoding};
use js_sys::{Array, Object, Reflect, Uint8Array};
use serde_json::Value;
use sha2::{Digest, Sha256};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Crypto, CryptoKey, CryptoKeyPair, SubtleCrypto};
use worker::wasm_bindgen_futures::JsFuture;

use crate::protocol::jose::jws::Alg;

/// Imported keys kept at once; with more the cache starts anew.
const MAX_CACHED_KEYS: usize = 256;

/// AES-GCM's nonce.
const NONCE_BYTES: usize = 12;

thread_local! {
    static KEYS: RefCell<HashMap<String, CryptoKey>> = RefCell::default();
    /// What every signature needs, looked up and made once: each call to JavaScript costs more than it seems.
    static SUBTLE: OnceCell<SubtleCrypto> = const { OnceCell::new() };
    static RS256: OnceCell<Object> = const { OnceCell::new() };
    static ES256: OnceCell<Object> = const { OnceCell::new() };
}

/// What WebCrypto refused, or stored matter that does not open.
#[derive(Debug, thiserror::Error)]
pub enum CryptoError {
    #[error("WebCrypto: {0}")]
    Platform(String),
    #[error("sealed matter does not open: it was changed, or KEY_ENCRYPTION_KEY was")]
    Seal,
    #[error("the event cannot be written as headers")]
    Headers,
}

impl From<JsValue> for CryptoError {
    fn from(error: JsValue) -> Self {
        let message = Reflect::get(&error, &"message".into())
            .ok()
            .and_then(|message| message.as_string());
        Self::Platform(message.or_else(|| error.as_string()).unwrap_or_default())
    }
}

/// Makes a key pair; returns the private JWK.
pub async fn generate(alg: Alg) -> Result<Value, CryptoError> {
    let algorithm = match alg {
        Alg::Rs256 => {
            let exponent = Uint8Array::from([1_u8, 0, 1].as_slice());
            object(&[
                ("name", "RSASSA-PKCS1-v1_5".into()),
                ("modulusLength", 2048.into()),
                ("publicExponent", exponent.into()),
                ("hash", "SHA-256".into()),
            ])?
        }
        Alg::Es256 => object(&[("name", "ECDSA".into()), ("namedCurve", "P-256".into())])?,
    };
    let subtle = subtle()?;
    let usages = Array::of2(&"sign".into(), &"verify".into());
    let pair: CryptoKeyPair = JsFuture::from(subtle.generate_key_with_object(&algorithm, true, &usages)?)
        .await?
        .unchecked_into();
    let jwk = JsFuture::from(subtle.export_key("jwk", &pair.get_private_key())?).await?;
    let text = js_sys::JSON::stringify(&jwk)?.as_string().unwrap_or_default();
    serde_json::from_str(&text).map_err(|error| CryptoError::Platform(error.to_string()))
}

/// A private key, from its JWK as `open` gives it when it is not cached under `kid` yet.
pub async fn signing_key(
    kid: &str,
    alg: Alg,
    private_jwk: impl AsyncFnOnce() -> Result<Vec<u8>, CryptoError>,
) -> Result<CryptoKey, CryptoError> {
    let name = format!("sign {kid}");
    if let Some(key) = cached(&name) {
        return Ok(key);
    }
    let jwk = private_jwk().await?;
    let jwk = String::from_utf8(jwk).map_err(|_| CryptoError::Seal)?;
    let key = import_jwk(&jwk, alg, "sign").await?;
    cache(name, &key);
    Ok(key)
}

/// A public key, from a JWK that `protocol::jose::jwk` has approved.
pub async fn verifying_key(public: &Value, alg: Alg) -> Result<CryptoKey, CryptoError> {
    let jwk = public.to_string();
    let name = format!("verify {} {jwk}", alg.name());
    if let Some(key) = cached(&name) {
        return Ok(key);
    }
    let key = import_jwk(&jwk, alg, "verify").await?;
    cache(name, &key);
    Ok(key)
}

/// Signs as JWS wants it: ECDSA signatures are the two numbers side by side.
pub async fn sign(key: &CryptoKey, alg: Alg, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let promise = subtle()?.sign_with_object_and_u8_array(&signature_algorithm(alg)?, key, data)?;
    Ok(Uint8Array::new(&JsFuture::from(promise).await?).to_vec())
}

/// Whether a signature is the key's.
pub async fn verify(key: &CryptoKey, alg: Alg, signature: &[u8], data: &[u8]) -> Result<bool, CryptoError> {
    let promise =
        subtle()?.verify_with_object_and_u8_array_and_u8_array(&signature_algorithm(alg)?, key, signature, data)?;
    Ok(JsFuture::from(promise).await?.as_bool().unwrap_or(false))
}

/// Encrypts what is to be stored. `place` (object and field) is authenticated with it: sealed matter opens nowhere else.
pub async fn seal(key: &[u8], place: &str, plain: &[u8]) -> Result<String, CryptoError> {
    let mut nonce = [0_u8; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|error| CryptoError::Platform(error.to_string()))?;
    let key = sealing_key(key).await?;
    let promise = subtle()?.encrypt_with_object_and_u8_array(&gcm(&nonce, place)?, &key, plain)?;
    let sealed = Uint8Array::new(&JsFuture::from(promise).await?).to_vec();
    Ok(Base64UrlUnpadded::encode_string(&[nonce.as_slice(), &sealed].concat()))
}

/// Opens what [`seal`] made.
pub async fn open(key: &[u8], place: &str, sealed: &str) -> Result<Vec<u8>, CryptoError> {
    let bytes = Base64UrlUnpadded::decode_vec(sealed).map_err(|_| CryptoError::Seal)?;
    let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES).ok_or(CryptoError::Seal)?;
    let key = sealing_key(key).await?;
    let promise = subtle()?.decrypt_with_object_and_u8_array(&gcm(nonce, place)?, &key, sealed)?;
    let plain = JsFuture::from(promise).await.map_err(|_| CryptoError::Seal)?;
    Ok(Uint8Array::new(&plain).to_vec())
}

/// What tells a secret from others, and says nothing about it.
pub fn secret_id(secret: &str) -> String {
    let mut id = sha256_hex(secret);
    id.truncate(16);
    id
}

/// SHA-256 in hexadecimal: how secrets that are only compared are kept.
pub fn sha256_hex(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

async fn sealing_key(key: &[u8]) -> Result<CryptoKey, CryptoError> {
    let name = "seal".to_owned();
    if let Some(key) = cached(&name) {
        return Ok(key);
    }
    let usages = Array::of2(&"encrypt".into(), &"decrypt".into());
    let raw = Uint8Array::from(key);
    let promise = subtle()?.import_key_with_str("raw", &raw, "AES-GCM", false, &usages)?;
    let imported: CryptoKey = JsFuture::from(promise).await?.unchecked_into();
    cache(name, &imported);
    Ok(imported)
}

async fn import_jwk(jwk: &str, alg: Alg, usage: &str) -> Result<CryptoKey, CryptoError> {
    let algorithm = match alg {
        Alg::Rs256 => object(&[("name", "RSASSA-PKCS1-v1_5".into()), ("hash", "SHA-256".into())])?,
        Alg::Es256 => object(&[("name", "ECDSA".into()), ("namedCurve", "P-256".into())])?,
    };
    let jwk: Object = js_sys::JSON::parse(jwk)?.unchecked_into();
    // Members that would make WebCrypto refuse a use we want: they were judged before.
    for member in ["key_ops", "ext", "use", "alg"] {
        Reflect::delete_property(&jwk, &member.into())?;
    }
    let promise = subtle()?.import_key_with_object("jwk", &jwk, &algorithm, false, &Array::of1(&usage.into()))?;
    Ok(JsFuture::from(promise).await?.unchecked_into())
}

fn signature_algorithm(alg: Alg) -> Result<Object, CryptoError> {
    match alg {
        Alg::Rs256 => once(&RS256, || object(&[("name", "RSASSA-PKCS1-v1_5".into())])),
        Alg::Es256 => once(&ES256, || {
            object(&[("name", "ECDSA".into()), ("hash", "SHA-256".into())])
        }),
    }
}

fn once<T: Clone>(
    known: &'static LocalKey<OnceCell<T>>,
    make: impl FnOnce() -> Result<T, CryptoError>,
) -> Result<T, CryptoError> {
    if let Some(found) = known.with(|known| known.get().cloned()) {
        return Ok(found);
    }
    let made = make()?;
    known.with(|known| {
        let _ = known.set(made.clone());
    });
    Ok(made)
}

fn gcm(nonce: &[u8], place: &str) -> Result<Object, CryptoError> {
    object(&[
        ("name", "AES-GCM".into()),
        ("iv", Uint8Array::from(nonce).into()),
        ("additionalData", Uint8Array::from(place.as_bytes()).into()),
    ])
}

fn object(members: &[(&str, JsValue)]) -> Result<Object, CryptoError> {
    let object = Object::new();
    for (name, value) in members {
        Reflect::set(&object, &JsValue::from_str(name), value)?;
    }
    Ok(object)
}

fn subtle() -> Result<SubtleCrypto, CryptoError> {
    once(&SUBTLE, || {
        let crypto: Crypto = Reflect::get(&js_sys::global(), &"crypto".into())?.unchecked_into();
        Ok(crypto.subtle())
    })
}

fn cached(name: &str) -> Option<CryptoKey> {
    KEYS.with_borrow(|keys| keys.get(name).cloned())
}

fn cache(name: String, key: &CryptoKey) {
    KEYS.with_borrow_mut(|keys| {
        if keys.len() >= MAX_CACHED_KEYS {
            keys.clear();
        }
        keys.insert(name, key.clone());
    });
}
