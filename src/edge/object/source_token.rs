//! How a source gets its access token: its credentials, where the token endpoint is, and what is asked of it.

use base64ct::{Base64UrlUnpadded, Encoding};
use std::cell::{Cell, RefCell};

use crate::edge::clock::{now_ms, now_s};
use crate::edge::{crypto, random};
use crate::protocol::endpoint_url::UrlPolicy;
use crate::protocol::jose::jws;
use crate::protocol::json::json;
use crate::protocol::record;
use crate::receiver::remote::Trouble;
use crate::receiver::setup::Setup;
use crate::receiver::token::{self, Credentials, Kind, Token};

use super::bell::Bell;
use super::remote::{BYTES, CREDENTIALS, about, exchange};
use super::set_up::ours;
use super::source::{SourceObject, fetch_json, remote_policy};

/// The question for a token that is under way: whoever else needs one waits for its answer.
#[derive(Default)]
pub struct Asking {
    on: Cell<bool>,
    over: Bell,
    failed: RefCell<Option<Trouble>>,
}

impl SourceObject {
    /// The credentials as they were given (pitfall 20: those that cannot be opened are a problem of their own).
    async fn credentials(&self) -> Result<Credentials, Trouble> {
        self.may_manage()?;
        let opened = self.unseal(CREDENTIALS).await;
        self.may_manage()?;
        let told = self.problem("credentials_unreadable", opened.as_ref().err().map(Trouble::detail));
        told.map_err(ours)?;
        let unreadable = |_| Trouble::Refused("the stored credentials cannot be read".to_owned());
        record::read(&opened?).map_err(unreadable)
    }

    fn known_token(&self) -> Option<Token> {
        let now = now_ms();
        let is_good = |token: &Token| token.renew_at.is_none_or(|at| at > now);
        self.token.borrow().clone().filter(is_good)
    }

    /// An access token that is good for a while.
    pub(super) async fn access_token(&self) -> Result<Token, Trouble> {
        if let Some(token) = self.known_token() {
            return Ok(token);
        }
        let rung = self.asking.over.count();
        if self.asking.on.replace(true) {
            self.asking.over.after(rung).await;
            let failed = || self.asking.failed.borrow().clone();
            let lost = || Trouble::later("no token could be had");
            return self.known_token().ok_or_else(|| failed().unwrap_or_else(lost));
        }
        let asked = loop {
            let turn = self.turn.get();
            let asked = self.new_token().await;
            // What the credentials of before got is not for those of now.
            if turn == self.turn.get() {
                break asked;
            }
        };
        self.token.replace(asked.as_ref().ok().cloned());
        self.asking.failed.replace(asked.as_ref().err().cloned());
        self.asking.on.set(false);
        self.asking.over.ring();
        asked
    }

    async fn new_token(&self) -> Result<Token, Trouble> {
        let credentials = self.credentials().await?;
        if credentials.kind == Kind::AccessToken {
            return Ok(Token {
                value: credentials.secret,
                renew_at: None,
            });
        }
        let token = self.ask_for_token(&credentials).await;
        // What a token endpoint says of our credentials is no lack of a token.
        token.map_err(|trouble| match trouble {
            Trouble::Refused(detail) | Trouble::Gone(detail) => Trouble::Unauthorized(detail),
            trouble => trouble,
        })
    }

    async fn ask_for_token(&self, credentials: &Credentials) -> Result<Token, Trouble> {
        let settings = self.settings().map_err(ours)?;
        let policy = remote_policy(&settings);
        let turn = self.turn.get();
        let note = |endpoint: Option<&str>, scope: Option<&str>| match turn == self.turn.get() {
            true => self.change_setup(&mut |setup: &mut Setup| {
                (setup.token_endpoint, setup.scope) = (endpoint.map(str::to_owned), scope.map(str::to_owned));
            }),
            false => Ok(()),
        };
        let (endpoint, scope) = self
            .with_setup(|setup| (setup.token_endpoint.clone(), setup.scope.clone()))
            .map_err(ours)?;
        let named = credentials.token_endpoint.clone();
        let (endpoint, mut scope) = match (named.clone().or(endpoint), credentials.scope.clone().or(scope)) {
            (Some(endpoint), Some(scope)) => (endpoint, scope),
            (_, scope) => {
                let (endpoint, required) = self.find_token_endpoint(named.clone(), &policy).await?;
                note(Some(&endpoint), Some(&required)).map_err(ours)?;
                (endpoint, scope.unwrap_or(required))
            }
        };
        loop {
            let assertion = match credentials.kind {
                Kind::PrivateKeyJwt => Some(assertion(credentials, &endpoint).await?),
                _ => None,
            };
            let (authorization, form) = credentials.request(&scope, assertion.as_deref());
            let secrets = credentials.sent(authorization.as_deref(), assertion.as_deref());
            let mut headers = vec![
                ("accept", "application/json".to_owned()),
                ("content-type", "application/x-www-form-urlencoded".to_owned()),
            ];
            headers.extend(authorization.map(|value| ("authorization", value)));
            let timeout_ms = settings.remote.timeout_ms;
            let mut heard = exchange("POST", &endpoint, &headers, Some(&form), &policy, timeout_ms, BYTES).await?;
            heard.mask(&secrets.iter().map(String::as_str).collect::<Vec<_>>());
            let token = token::read(heard.status, heard.retry_after.as_deref(), &heard.body, now_ms());
            let Err(trouble) = token else { return token };
            // Nobody asked for these scopes, and nobody said that they are needed.
            if credentials.scope.is_none() && !scope.is_empty() && trouble.detail().contains("invalid_scope") {
                scope.clear();
                note(Some(&endpoint), Some("")).map_err(ours)?;
                continue;
            }
            // It may be another one by now: the next try looks again.
            if named.is_none() && !matches!(trouble, Trouble::Later { .. }) {
                note(None, None).map_err(ours)?;
            }
            return Err(about(&heard.what, trouble));
        }
    }

    /// The token endpoint, unless it was named, and the scopes that the transmitter wants (CIP-2.7.2-1): RFC 9728, then RFC 8414 with
    /// the places of OpenID Connect. A transmitter without the former may be its own server.
    async fn find_token_endpoint(
        &self,
        named: Option<String>,
        policy: &UrlPolicy,
    ) -> Result<(String, String), Trouble> {
        let issuer = self.source_left().map_err(ours)?.issuer.clone();
        let mut servers = vec![issuer.clone()];
        let mut scope = token::SCOPES.join(" ");
        if let Some(url) = token::resource_url(&issuer) {
            match fetch_json(&url, policy).await {
                Ok(body) => {
                    if let Some(resource) = token::resource(&body, &issuer) {
                        scope = resource.scope;
                        servers = Some(resource.servers)
                            .filter(|found| !found.is_empty())
                            .unwrap_or(servers);
                    }
                }
                // Whoever it names alone gets the credentials: that it does not say so now is no reason to try another.
                Err(trouble @ Trouble::Later { .. }) if named.is_none() => return Err(trouble),
                Err(_) => {}
            }
        }
        if let Some(endpoint) = named {
            return Ok((endpoint, scope));
        }
        let mut later = None;
        // More than a few would be a way to make us call many.
        for server in servers.iter().take(3) {
            for url in token::server_urls(server) {
                match fetch_json(&url, policy).await {
                    Ok(body) => {
                        if let Some(endpoint) = token::endpoint(&body, server) {
                            return Ok((endpoint, scope));
                        }
                    }
                    Err(trouble @ Trouble::Later { .. }) => later = Some(trouble),
                    Err(_) => {}
                }
            }
        }
        Err(later.unwrap_or_else(|| {
            let text = "no token endpoint was found for the issuer: name it as token_endpoint in credentials";
            Trouble::Refused(text.to_owned())
        }))
    }
}

/// Proof that we hold the private key (RFC 7523).
async fn assertion(credentials: &Credentials, endpoint: &str) -> Result<String, Trouble> {
    let failed = || Trouble::Refused("the private key cannot sign".to_owned());
    let (alg, kid) = credentials.key().ok_or_else(failed)?;
    let jti = random::text::<16>().map_err(|_| Trouble::later("no randomness"))?;
    let claims = credentials.assertion_claims(endpoint, &jti, now_s());
    let mut header = json!({"alg": alg.name(), "typ": "JWT"});
    if let (Some(kid), Some(members)) = (kid, header.as_object_mut()) {
        members.insert("kid".to_owned(), json!(kid));
    }
    let encode = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
    let input = format!("{}.{}", encode(header.to_string().as_bytes()), encode(&claims));
    let name = crypto::sha256_hex(&credentials.secret);
    let secret = credentials.secret.clone();
    let key = crypto::signing_key(&name, alg, async || Ok(secret.into_bytes())).await;
    let key = key.map_err(|_| failed())?;
    let signature = crypto::sign(&key, alg, input.as_bytes()).await.map_err(|_| failed())?;
    Ok(jws::assemble(&input, &signature))
}
