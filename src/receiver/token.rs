//! Access tokens for a transmitter's management API: the credentials an operator gave, the token request made of them
//! (RFC 6749 4.4, RFC 7523 2.2, RFC 8707), what its answer means, and where the token endpoint is (RFC 9728, RFC 8414).

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use serde::Serialize;
use serde_json::{Map, Value};
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use crate::protocol::endpoint_url::{EndpointUrl, UrlPolicy};
use crate::protocol::jose::jwk::public_jwk;
use crate::protocol::jose::jws::{Alg, MAX_DEPTH};
use crate::protocol::json::{self, json};
use crate::protocol::metadata::{AUTHORIZATION_SERVER, PROTECTED_RESOURCE, well_known_url};
use crate::protocol::problem::{self, Invalid, Problem};
use crate::protocol::record::Record;

use super::remote::{Trouble, hear};

/// Longest of the texts that make credentials, in characters; a private RSA key of 8192 bits fits.
const MAX_TEXT: usize = 8192;

/// An assertion is good for this long, in seconds.
const ASSERTION_S: i64 = 60;

/// What a receiver needs, both at once: a transmitter may let nobody read who may only manage (CIP-2.7.2-2, CIP-2.7.2-7).
pub const SCOPES: [&str; 2] = ["ssf.read", "ssf.manage"];

/// A token that does not say how long it lives is asked for anew after this.
const UNSPECIFIED_LIFE_MS: u64 = 5 * 60_000;

/// How whoever asks for a token proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Record)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A token was given: nothing is asked for.
    AccessToken,
    ClientSecretBasic,
    ClientSecretPost,
    PrivateKeyJwt,
}

/// Credentials as they were given. They hold a secret: sealed before they are stored, and never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Record)]
pub struct Credentials {
    pub kind: Kind,
    #[serde(default)]
    pub client_id: String,
    /// The token, the client's secret, or its private key as the text of a JWK.
    pub secret: String,
    #[serde(default)]
    pub token_endpoint: Option<String>,
    #[serde(default)]
    pub scope: Option<String>,
    #[serde(default)]
    pub resource: Option<String>,
}

impl Credentials {
    /// Reads what an operator gave: exactly one kind, and nothing that would have no effect.
    pub fn parse(value: &Value, policy: &UrlPolicy) -> Result<Self, Invalid> {
        let members = problem::object(value)?;
        let text = |name: &'static str| {
            problem::optional(members, name, |value| problem::text(value, MAX_TEXT).map(str::to_owned))
        };
        if let Some(secret) = text("access_token")? {
            problem::only_members(members, &["access_token"])?;
            if secret.contains(|c: char| !c.is_ascii_graphic()) {
                return Err(Invalid::at(
                    "access_token",
                    Problem::Refused("has characters that no header can carry"),
                ));
            }
            return Ok(Self {
                kind: Kind::AccessToken,
                client_id: String::new(),
                secret,
                token_endpoint: None,
                scope: None,
                resource: None,
            });
        }
        let common = ["client_id", "token_endpoint", "scope", "resource"];
        let (kind, secret) = match members.get("private_key") {
            Some(key) => {
                problem::only_members(members, &[&common[..], &["private_key"]].concat())?;
                (
                    Kind::PrivateKeyJwt,
                    private_key(key).map_err(|found| found.under("private_key"))?,
                )
            }
            None => {
                problem::only_members(members, &[&common[..], &["client_secret", "auth_method"]].concat())?;
                let kind = match members.get("auth_method").map(Value::as_str) {
                    None | Some(Some("client_secret_basic")) => Kind::ClientSecretBasic,
                    Some(Some("client_secret_post")) => Kind::ClientSecretPost,
                    Some(_) => {
                        let methods = &["client_secret_basic", "client_secret_post"];
                        return Err(Invalid::at("auth_method", Problem::NotOneOf(methods)));
                    }
                };
                let secret = text("client_secret")?;
                (
                    kind,
                    secret.ok_or_else(|| Invalid::at("client_secret", Problem::Missing))?,
                )
            }
        };
        let token_endpoint = text("token_endpoint")?;
        if let Some(url) = &token_endpoint {
            let checked = EndpointUrl::parse(url, policy);
            checked.map_err(|error| Invalid::at("token_endpoint", Problem::Url(error)))?;
        }
        Ok(Self {
            kind,
            client_id: text("client_id")?.ok_or_else(|| Invalid::at("client_id", Problem::Missing))?,
            secret,
            token_endpoint,
            scope: text("scope")?,
            resource: text("resource")?,
        })
    }

    /// What may be shown of them.
    pub fn shown(&self) -> Value {
        let mut shown = Map::new();
        shown.insert("kind".to_owned(), json!(self.kind));
        let texts = [
            ("client_id", Some(&self.client_id).filter(|id| !id.is_empty())),
            ("token_endpoint", self.token_endpoint.as_ref()),
            ("scope", self.scope.as_ref()),
            ("resource", self.resource.as_ref()),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                shown.insert(name.to_owned(), json!(text));
            }
        }
        Value::Object(shown)
    }

    /// The algorithm and the `kid` of the private key.
    pub fn key(&self) -> Option<(Alg, Option<String>)> {
        let key: Value = serde_json::from_str(&self.secret).ok()?;
        let kid = key.get("kid").and_then(Value::as_str).map(str::to_owned);
        Some((alg_of(&key)?, kid))
    }

    /// What the assertion says that proves who we are (RFC 7523, section 3).
    pub fn assertion_claims(&self, token_endpoint: &str, jti: &str, now_s: i64) -> Vec<u8> {
        let claims = json!({
            "iss": self.client_id, "sub": self.client_id, "aud": token_endpoint,
            "jti": jti, "iat": now_s, "exp": now_s + ASSERTION_S,
        });
        claims.to_string().into_bytes()
    }

    /// The token request: its `Authorization` header, if any, and its form.
    pub fn request(&self, scope: &str, assertion: Option<&str>) -> (Option<String>, String) {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        for (name, value) in [
            ("scope", scope),
            ("resource", self.resource.as_deref().unwrap_or_default()),
        ] {
            if !value.is_empty() {
                form.append_pair(name, value);
            }
        }
        let mut header = None;
        match self.kind {
            Kind::AccessToken => {}
            Kind::ClientSecretBasic => {
                // RFC 6749 2.3.1: both parts are form-encoded before they are joined.
                let pair = format!("{}:{}", encoded(&self.client_id), encoded(&self.secret));
                header = Some(format!("Basic {}", Base64::encode_string(pair.as_bytes())));
            }
            Kind::ClientSecretPost => {
                form.append_pair("client_id", &self.client_id);
                form.append_pair("client_secret", &self.secret);
            }
            Kind::PrivateKeyJwt => {
                form.append_pair("client_id", &self.client_id);
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                form.append_pair("client_assertion_type", kind);
                form.append_pair("client_assertion", assertion.unwrap_or_default());
            }
        }
        (header, form.finish())
    }

    /// What of a token request is secret, in each form that it was sent in.
    pub fn sent(&self, authorization: Option<&str>, assertion: Option<&str>) -> Vec<String> {
        let basic = authorization.and_then(|header| header.strip_prefix("Basic "));
        let sent = [basic, assertion, Some(&self.secret)].into_iter().flatten();
        sent.map(str::to_owned).chain([encoded(&self.secret)]).collect()
    }
}

fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

/// A body without what is secret.
pub fn masked(body: &[u8], secrets: &[&str]) -> Vec<u8> {
    let mut text = String::from_utf8_lossy(body).into_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "***");
    }
    text.into_bytes()
}

/// The secret in the request for a stream: what the transmitter has to send.
pub fn header_in(body: &str) -> &str {
    let (_, header) = body.split_once(r#""authorization_header":""#).unwrap_or_default();
    let header = header.split('"').next().unwrap_or_default();
    header.strip_prefix("Bearer ").unwrap_or(header)
}

/// A private JWK that we can sign with, as its text.
fn private_key(value: &Value) -> Result<String, Invalid> {
    problem::object(value)?;
    let refused = || {
        Invalid::here(Problem::Refused(
            "must be a private key: RSA of 2048 bits or more, or EC P-256",
        ))
    };
    let alg = alg_of(value).ok_or_else(refused)?;
    // Strength and shape are those of the public part.
    public_jwk(value, alg, "").map_err(|_| refused())?;
    let parts: &[&str] = match alg {
        Alg::Rs256 => &["d", "p", "q", "dp", "dq", "qi"],
        Alg::Es256 => &["d"],
    };
    let decodes = |name: &&str| {
        let text = value.get(name).and_then(Value::as_str).unwrap_or_default();
        !text.is_empty() && Base64UrlUnpadded::decode_vec(text).is_ok()
    };
    match parts.iter().all(decodes) {
        true => Ok(value.to_string()),
        false => Err(refused()),
    }
}

fn alg_of(key: &Value) -> Option<Alg> {
    match key.get("kty")?.as_str()? {
        "RSA" => Some(Alg::Rs256),
        "EC" => Some(Alg::Es256),
        _ => None,
    }
}

/// A token while it is good. In memory only.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    pub value: String,
    /// From this instant (Unix milliseconds) a new one is asked for; `None`: never.
    pub renew_at: Option<u64>,
}

/// Reads the answer of a token endpoint (RFC 6749, section 5).
pub fn read(status: u16, retry_after: Option<&str>, body: &[u8], now: u64) -> Result<Token, Trouble> {
    // What else a refusal says may be what we said.
    let refusal = (status >= 300).then(|| said(body));
    let body = refusal.as_deref().map_or(body, str::as_bytes);
    let answer = hear(status, retry_after, body, now)?;
    let refused = |detail: &str| Trouble::Refused(detail.to_owned());
    let answer = answer.ok_or_else(|| refused("the token endpoint answered without a token"))?;
    let value = answer.get("access_token").and_then(Value::as_str).unwrap_or_default();
    if value.is_empty() || value.contains(|c: char| !c.is_ascii_graphic()) {
        return Err(refused("the token endpoint answered without a token"));
    }
    let is_bearer = |kind: &str| kind.eq_ignore_ascii_case("bearer");
    if !answer.get("token_type").and_then(Value::as_str).is_none_or(is_bearer) {
        return Err(refused("the token endpoint gave a token that is no bearer token"));
    }
    // Peers write the number as a text, too.
    let life = answer.get("expires_in");
    let life = life.and_then(|life| life.as_u64().or_else(|| life.as_str()?.parse().ok()));
    let life_ms = life.map_or(UNSPECIFIED_LIFE_MS, |seconds| seconds.saturating_mul(1000));
    // A fifth of its life before its end, and never more than a minute before it.
    let margin = (life_ms / 5).min(60_000);
    Ok(Token {
        value: value.to_owned(),
        renew_at: Some(now.saturating_add(life_ms - margin)),
    })
}

/// Why a token endpoint refused (RFC 6749, section 5.2).
fn said(body: &[u8]) -> String {
    let answer = json::read(body).unwrap_or_default();
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let parts = [text("error"), text("error_description")];
    parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
}

/// What a protected resource says of itself (RFC 9728, section 2).
pub struct Resource {
    /// The authorization servers.
    pub servers: Vec<String>,
    /// Of our scopes those that it knows.
    pub scope: String,
}

pub fn resource(body: &[u8], resource: &str) -> Option<Resource> {
    let document = json::parse_strict(body, MAX_DEPTH).ok()?;
    // RFC 9728 3.3: a document about something else must not be used.
    if document.get("resource")?.as_str()? != resource {
        return None;
    }
    let list = |name: &str| {
        let entries = document.get(name).and_then(Value::as_array).into_iter().flatten();
        entries.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut scopes = list("scopes_supported");
    scopes.retain(|scope| SCOPES.contains(&scope.as_str()));
    Some(Resource {
        servers: list("authorization_servers"),
        scope: scopes.join(" "),
    })
}

/// The token endpoint in the metadata of an authorization server (RFC 8414, section 3.3: of that very issuer).
pub fn endpoint(body: &[u8], server: &str) -> Option<String> {
    let document = json::parse_strict(body, MAX_DEPTH).ok()?;
    if document.get("issuer")?.as_str()? != server {
        return None;
    }
    Some(document.get("token_endpoint")?.as_str()?.to_owned())
}

/// Where a resource says who issues tokens for it.
pub fn resource_url(issuer: &str) -> Option<String> {
    well_known_url(issuer, PROTECTED_RESOURCE).ok()
}

/// Where an authorization server's metadata may be, in order: RFC 8414's own place, and the two of OpenID Connect.
pub fn server_urls(server: &str) -> Vec<String> {
    const OPENID: &str = "openid-configuration";
    let inserted = [AUTHORIZATION_SERVER, OPENID].map(|suffix| well_known_url(server, suffix).ok());
    let appended = Url::parse(server)
        .ok()
        .filter(|url| url.path() != "/")
        .map(|_| format!("{}/.well-known/{OPENID}", server.trim_end_matches('/')));
    inserted.into_iter().chain([appended]).flatten().collect()
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
