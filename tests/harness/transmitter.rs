//! A remote transmitter as a source sees it: its metadata and keys over HTTP, and SETs signed with its RSA key, good ones
//! and forged ones. Signing is jwt-compact's own, independent of the Worker's.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding};
use jwt_compact::alg::{Rsa, RsaPrivateKey, RsaPublicKey};
use jwt_compact::{Algorithm, AlgorithmSignature};
use serde_json::{Value, json};

use super::http_server::{HttpServer, Recorded, Reply};

/// One of the keys that tests sign with. Making one takes a second, so all transmitters of a test program share them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The one that a transmitter publishes at first.
    First,
    /// Another one: not published until `publish` says so.
    Second,
}

impl Key {
    pub fn kid(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
        }
    }

    /// The public part, as it stands in a JWKS.
    pub fn jwk(self) -> Value {
        let public = RsaPublicKey::from(self.private());
        let mut jwk = serde_json::to_value(jwt_compact::jwk::JsonWebKey::from(&public)).expect("a JWK is JSON");
        jwk["kid"] = json!(self.kid());
        jwk["alg"] = json!("RS256");
        jwk["use"] = json!("sig");
        jwk
    }

    fn private(self) -> &'static RsaPrivateKey {
        static KEYS: [OnceLock<RsaPrivateKey>; 2] = [const { OnceLock::new() }; 2];
        KEYS[self as usize]
            .get_or_init(|| RsaPrivateKey::new(&mut rand_core::OsRng, 2048).expect("an RSA key can be made"))
    }
}

struct State {
    published: Mutex<Vec<Key>>,
    /// Given instead of the keys, when set.
    key_reply: Mutex<Option<Reply>>,
    key_fetches: AtomicUsize,
}

/// Its issuer is its origin. Publishes `Key::First` from the start.
pub struct ScriptedTransmitter {
    server: HttpServer,
    state: Arc<State>,
}

impl ScriptedTransmitter {
    pub fn start() -> Self {
        let state = Arc::new(State {
            published: Mutex::new(vec![Key::First]),
            key_reply: Mutex::new(None),
            key_fetches: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&state);
        let server = HttpServer::start(move |request| answer(&serving, &request));
        Self { server, state }
    }

    pub fn issuer(&self) -> String {
        self.server.origin()
    }

    /// Replaces the published keys.
    pub fn publish(&self, keys: &[Key]) {
        *self.state.published.lock().expect("nobody panics here") = keys.to_vec();
    }

    /// Answers requests for the keys with this instead; `None` gives the keys again.
    pub fn answer_keys_with(&self, reply: Option<Reply>) {
        *self.state.key_reply.lock().expect("nobody panics here") = reply;
    }

    /// How often the keys were asked for.
    pub fn key_fetches(&self) -> usize {
        self.state.key_fetches.load(Ordering::SeqCst)
    }

    /// A well-formed session-revoked SET for `audience`, to be changed and signed.
    pub fn draft(&self, audience: &str) -> Draft {
        Draft::of(&self.issuer(), audience)
    }
}

fn answer(state: &State, request: &Recorded) -> Reply {
    let origin = format!("http://{}", request.header("host").unwrap_or_default());
    match request.target.as_str() {
        "/.well-known/ssf-configuration" => Reply::json(
            200,
            &json!({
                "spec_version": "1_0",
                "issuer": origin,
                "jwks_uri": format!("{origin}/jwks.json"),
                "delivery_methods_supported": ["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"],
            }),
        ),
        "/jwks.json" => {
            state.key_fetches.fetch_add(1, Ordering::SeqCst);
            let instead = state.key_reply.lock().expect("nobody panics here").clone();
            instead.unwrap_or_else(|| {
                let keys: Vec<Value> = state
                    .published
                    .lock()
                    .expect("nobody panics here")
                    .iter()
                    .map(|key| key.jwk())
                    .collect();
                Reply::json(200, &json!({"keys": keys}))
            })
        }
        _ => Reply::status(404),
    }
}

/// A SET before it is signed. Every part can be made wrong.
#[derive(Clone, Debug)]
pub struct Draft {
    key: Key,
    header: Value,
    claims: Value,
}

impl Draft {
    /// A well-formed session-revoked SET.
    pub fn of(issuer: &str, audience: &str) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("the clock is set")
            .as_secs();
        Draft {
            key: Key::First,
            header: json!({"alg": "RS256", "typ": "secevent+jwt", "kid": Key::First.kid()}),
            claims: json!({
                "iss": issuer,
                "aud": audience,
                "iat": now,
                "jti": format!("set-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)),
                "txn": "txn-1",
                "sub_id": {"format": "email", "email": "ana@example.com"},
                "events": {
                    "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {
                        "event_timestamp": now,
                        "initiating_entity": "admin",
                    },
                },
            }),
        }
    }

    /// Sets a claim.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    /// Takes a claim away.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.claims.as_object_mut().expect("claims are an object").remove(name);
        self
    }

    /// Sets a member of the header; null takes it away.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        match value.into() {
            Value::Null => {
                self.header.as_object_mut().expect("a header is an object").remove(name);
            }
            value => self.header[name] = value,
        }
        self
    }

    /// Signs with this key and names it in the header.
    #[must_use]
    pub fn key(mut self, key: Key) -> Self {
        self.key = key;
        self.header("kid", key.kid())
    }

    /// Signs with this key, while the header names another: a wrong signature.
    #[must_use]
    pub fn forged_with(mut self, key: Key) -> Self {
        self.key = key;
        self
    }

    pub fn jti(&self) -> String {
        self.claims["jti"].as_str().unwrap_or_default().to_owned()
    }

    pub fn claims(&self) -> &Value {
        &self.claims
    }

    /// The compact SET with an RS256 signature, whatever the header says.
    pub fn sign(&self) -> String {
        let input = self.signing_input();
        let signature = Rsa::rs256().sign(self.key.private(), input.as_bytes());
        format!("{input}.{}", encode(&signature.as_bytes()))
    }

    /// The compact SET with `alg: none` and an empty signature.
    pub fn unsigned(self) -> String {
        format!("{}.", self.header("alg", "none").signing_input())
    }

    fn signing_input(&self) -> String {
        format!(
            "{}.{}",
            encode(self.header.to_string().as_bytes()),
            encode(self.claims.to_string().as_bytes())
        )
    }
}

fn encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}
