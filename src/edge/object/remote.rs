//! A source at its transmitter: requests with its token, the steps of its set-up, looking after its stream, and leaving.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::Value;

use crate::delivery::meta;
use crate::edge::api::receive::source_copy;
use crate::edge::clock::{now_ms, now_s};
use crate::edge::command::{Answer, Refusal, SourceReply, SourceSecrets};
use crate::edge::http::{self, NoAnswer, Outgoing, OutgoingHeaders};
use crate::edge::kv;
use crate::edge::log::{self, Level};
use crate::edge::{crypto, random};
use crate::protocol::endpoint_url::{EndpointUrl, UrlPolicy};
use crate::protocol::jose::jws;
use crate::protocol::json::json;
use crate::protocol::record;
use crate::receiver::health::Problems;
use crate::receiver::remote::{Plan, Trouble, hear};
use crate::receiver::setup::{self, Setup, StepState};
use crate::receiver::source::Source;
use crate::receiver::token::{self, Credentials, Kind, Token};

use super::exchange::USER_AGENT;
use super::serve::fault;
use super::source::{SourceObject, fetch_json, remote_policy};

/// What the seals authenticate, beside the object's id; and the names under which they lie.
const CREDENTIALS: &str = "source_credentials";
const AUTHORIZATION: &str = "source_authorization";

/// Most bytes of an answer of the management API.
const BYTES: usize = 256 * 1024;

/// An answer as it came.
pub(super) struct Heard {
    pub status: u16,
    pub body: Vec<u8>,
    pub cut: bool,
    retry_after: Option<String>,
    /// Of what: for the operator to read.
    what: String,
}

impl Heard {
    /// What it means.
    pub fn hear(&self) -> Result<Option<Value>, Trouble> {
        let heard = hear(self.status, self.retry_after.as_deref(), &self.body, now_ms());
        heard.map_err(|trouble| about(&self.what, trouble))
    }
}

/// The same trouble, with what it was about.
fn about(what: &str, trouble: Trouble) -> Trouble {
    let say = |detail: String| format!("{what} {detail}");
    match trouble {
        Trouble::Later { detail, not_before } => Trouble::Later {
            detail: say(detail),
            not_before,
        },
        Trouble::Unauthorized(detail) => Trouble::Unauthorized(say(detail)),
        Trouble::Gone(detail) => Trouble::Gone(say(detail)),
        Trouble::Conflict(detail) => Trouble::Conflict(say(detail)),
        Trouble::Refused(detail) => Trouble::Refused(say(detail)),
    }
}

/// Sends one request and reads its answer. The URL is checked each time: it is foreign text, and the settings may have changed.
pub(super) async fn exchange(
    method: &'static str,
    url: &str,
    headers: &[(&'static str, String)],
    body: Option<&str>,
    policy: &UrlPolicy,
    timeout_ms: u32,
    max_body: usize,
) -> Result<Heard, Trouble> {
    // A query may hold what only the two of us should know.
    let said = |url: &str| url.split('?').next().unwrap_or_default().to_owned();
    let checked =
        EndpointUrl::parse(url, policy).map_err(|error| Trouble::Refused(format!("{} {error}", said(url))))?;
    let url = checked.as_str();
    let what = format!("{method} {}", said(url));
    let agent = [("user-agent", USER_AGENT.to_owned())];
    let headers = OutgoingHeaders::new(&[headers, &agent].concat());
    let request = Outgoing {
        method,
        url,
        headers: &headers.map_err(|_| Trouble::Refused("the request cannot be made".to_owned()))?,
        body,
        max_body,
        needs_body: |_| true,
    };
    match http::send_within(&request, timeout_ms).await {
        Ok(answer) => Ok(Heard {
            status: answer.status,
            retry_after: answer.header("retry-after"),
            cut: answer.cut,
            body: answer.body,
            what,
        }),
        Err(NoAnswer::Timeout) => Err(Trouble::later(format!("{what} was not answered in time"))),
        Err(NoAnswer::Unreachable(why)) => Err(Trouble::later(format!("{what} could not be reached: {why}"))),
    }
}

impl SourceObject {
    /// Works on what is known of the other side, loading it first.
    pub(super) fn with_setup<T>(&self, work: impl FnOnce(&mut Setup) -> T) -> Answer<T> {
        if self.gone.get() {
            return Err(Refusal::Gone);
        }
        let mut slot = self.setup.borrow_mut();
        if slot.is_none() {
            *slot = Some(Setup::load(&self.sql)?);
        }
        Ok(work(slot.get_or_insert_default()))
    }

    /// Changes it, writes it down, and lets those know who wait for it.
    pub(super) fn change_setup(&self, change: &mut dyn FnMut(&mut Setup)) -> Answer<()> {
        self.with_setup(|setup| {
            change(setup);
            setup.save(&self.sql)
        })??;
        self.write_tally()?;
        self.bell.ring();
        Ok(())
    }

    /// Notes a problem, or that it is over.
    pub(super) fn problem(&self, code: &str, detail: Option<&str>) -> Answer<()> {
        if self.gone.get() {
            return Err(Refusal::Gone);
        }
        let news = Problems::load(&self.sql)?.note(&self.sql, code, detail, now_ms())?;
        if let (true, Some(detail)) = (news, detail) {
            let source_id = self.state.id().to_string();
            let line = json!({"source_id": source_id, "code": code, "detail": detail});
            log::line(Level::Warn, "source_problem", line);
        }
        Ok(())
    }

    /// Secrets as they are stored, under the names they are stored by.
    pub(super) async fn seal_secrets(&self, secrets: &SourceSecrets) -> Answer<Vec<(&'static str, String)>> {
        let mut sealed = Vec::new();
        let plain = secrets.credentials.as_ref().map(record::text);
        let header = secrets.authorization_header.clone();
        for (name, plain) in [(CREDENTIALS, plain), (AUTHORIZATION, header)] {
            if let Some(plain) = plain {
                sealed.push((name, self.seal(name, &plain).await?));
            }
        }
        Ok(sealed)
    }

    pub(super) fn keep_secrets(&self, sealed: &[(&'static str, String)]) -> Answer<()> {
        for (name, sealed) in sealed {
            meta::set(&self.sql, name, sealed)?;
        }
        self.token.replace(None);
        Ok(())
    }

    async fn seal(&self, name: &str, plain: &str) -> Answer<String> {
        let settings = self.settings()?;
        let place = format!("{} {name}", self.state.id());
        let sealed = crypto::seal(settings.key_encryption_key.expose(), &place, plain.as_bytes()).await;
        sealed.map_err(|error| fault("seal", error))
    }

    async fn unseal(&self, name: &str) -> Result<String, Trouble> {
        let lost = || Trouble::Refused("the stored secret cannot be opened: KEY_ENCRYPTION_KEY was changed".to_owned());
        let settings = self.settings().map_err(|_| lost())?;
        let sealed = meta::get(&self.sql, name).ok().flatten().ok_or_else(lost)?;
        let place = format!("{} {name}", self.state.id());
        let opened = crypto::open(settings.key_encryption_key.expose(), &place, &sealed).await;
        String::from_utf8(opened.map_err(|_| lost())?).map_err(|_| lost())
    }

    /// What the transmitter has to send. One that cannot be opened any more is replaced, and both are good until the
    /// transmitter knows.
    pub(super) async fn authorization_header(&self) -> Result<String, Trouble> {
        if let Ok(header) = self.unseal(AUTHORIZATION).await {
            return Ok(header);
        }
        let ours = |_| Trouble::later("a fault of this service: its log says which");
        let header = format!(
            "Bearer {}",
            random::text::<32>().map_err(|_| Trouble::later("no randomness"))?
        );
        let sealed = self.seal(AUTHORIZATION, &header).await.map_err(ours)?;
        let mut source = self.source().map_err(ours)?;
        source.former_hash = Some(std::mem::replace(
            &mut source.authorization_hash,
            crypto::sha256_hex(&header),
        ));
        source.rev += 1;
        let saved = source.save(&self.sql).map_err(Refusal::from);
        saved
            .and_then(|()| Ok(meta::set(&self.sql, AUTHORIZATION, &sealed)?))
            .map_err(ours)?;
        self.put_source(&source).await;
        Ok(header)
    }

    /// Once an event came with the new header nobody needs the one before.
    pub(super) async fn forget_former_header(&self, mut source: Source) -> Answer<()> {
        if source.former_hash.take().is_some() {
            source.rev += 1;
            source.save(&self.sql)?;
            self.put_source(&source).await;
        }
        Ok(())
    }

    /// The credentials as they were given (pitfall 20: those that cannot be opened are a problem of their own).
    async fn credentials(&self) -> Result<Credentials, Trouble> {
        let opened = self.unseal(CREDENTIALS).await;
        let told = self.problem("credentials_unreadable", opened.as_ref().err().map(Trouble::detail));
        told.map_err(|_| Trouble::later("a fault of this service: its log says which"))?;
        let unreadable = |_| Trouble::Refused("the stored credentials cannot be read".to_owned());
        record::read(&opened?).map_err(unreadable)
    }

    /// An access token that is good for a while.
    pub(super) async fn access_token(&self) -> Result<Token, Trouble> {
        let now = now_ms();
        let is_good = |token: &Token| token.renew_at.is_none_or(|at| at > now);
        if let Some(token) = self.token.borrow().clone().filter(is_good) {
            return Ok(token);
        }
        let credentials = self.credentials().await?;
        let token = match credentials.kind {
            Kind::AccessToken => Token {
                value: credentials.secret,
                renew_at: None,
            },
            _ => {
                let token = self.ask_for_token(&credentials).await;
                // What a token endpoint says of our credentials is no lack of a token.
                token.map_err(|trouble| match trouble {
                    Trouble::Refused(detail) | Trouble::Gone(detail) => Trouble::Unauthorized(detail),
                    trouble => trouble,
                })?
            }
        };
        self.token.replace(Some(token.clone()));
        Ok(token)
    }

    async fn ask_for_token(&self, credentials: &Credentials) -> Result<Token, Trouble> {
        let ours = |_| Trouble::later("a fault of this service: its log says which");
        let settings = self.settings().map_err(ours)?;
        let policy = remote_policy(&settings);
        let known = self.with_setup(|setup| setup.token_endpoint.clone()).map_err(ours)?;
        let endpoint = match credentials.token_endpoint.clone().or(known) {
            Some(endpoint) => endpoint,
            None => {
                let found = self.find_token_endpoint(&policy).await?;
                let mut note = |setup: &mut Setup| setup.token_endpoint = Some(found.clone());
                self.change_setup(&mut note).map_err(ours)?;
                found
            }
        };
        let assertion = match credentials.kind {
            Kind::PrivateKeyJwt => Some(assertion(credentials, &endpoint).await?),
            _ => None,
        };
        let (authorization, form) = credentials.request(assertion.as_deref());
        let mut headers = vec![
            ("accept", "application/json".to_owned()),
            ("content-type", "application/x-www-form-urlencoded".to_owned()),
        ];
        headers.extend(authorization.map(|value| ("authorization", value)));
        let timeout_ms = settings.remote.timeout_ms;
        let heard = exchange("POST", &endpoint, &headers, Some(&form), &policy, timeout_ms, BYTES).await?;
        let token = token::read(heard.status, heard.retry_after.as_deref(), &heard.body, now_ms());
        token.map_err(|trouble| about(&heard.what, trouble))
    }

    /// RFC 9728, then RFC 8414 with the places of OpenID Connect. A transmitter without the former may be its own server.
    async fn find_token_endpoint(&self, policy: &UrlPolicy) -> Result<String, Trouble> {
        let issuer = self
            .source_left()
            .map_err(|_| Trouble::later("the source is gone"))?
            .issuer;
        let mut servers = vec![issuer.clone()];
        let mut later = None;
        if let Some(url) = token::resource_url(&issuer) {
            match fetch_json(&url, policy).await {
                Ok(body) => {
                    servers = token::servers(&body, &issuer)
                        .filter(|found| !found.is_empty())
                        .unwrap_or(servers)
                }
                Err(trouble @ Trouble::Later { .. }) => later = Some(trouble),
                Err(_) => {}
            }
        }
        // More than a few would be a way to make us call many.
        for server in servers.iter().take(3) {
            for url in token::server_urls(server) {
                match fetch_json(&url, policy).await {
                    Ok(body) => {
                        if let Some(endpoint) = token::endpoint(&body, server) {
                            return Ok(endpoint);
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

    /// Sends a request with our token. One that is not accepted is replaced, once.
    pub(super) async fn authorized(
        &self,
        method: &'static str,
        url: &str,
        body: Option<&str>,
        timeout_ms: u32,
        max_body: usize,
    ) -> Result<Heard, Trouble> {
        let ours = |_| Trouble::later("a fault of this service: its log says which");
        let policy = remote_policy(&*self.settings().map_err(ours)?);
        let mut again = true;
        loop {
            let token = match self.access_token().await {
                Err(trouble @ Trouble::Unauthorized(_)) => {
                    self.problem("token_refused", Some(trouble.detail())).map_err(ours)?;
                    return Err(trouble);
                }
                token => token?,
            };
            let mut headers = vec![
                ("accept", "application/json".to_owned()),
                ("authorization", format!("Bearer {}", token.value)),
            ];
            if body.is_some() {
                headers.push(("content-type", "application/json".to_owned()));
                // POLL-2.6-1: whatever else the body says, refusals in it are in this language.
                headers.push(("content-language", "en".to_owned()));
            }
            let heard = exchange(method, url, &headers, body, &policy, timeout_ms, max_body).await?;
            if heard.status != 401 {
                self.problem("token_refused", None).map_err(ours)?;
                return Ok(heard);
            }
            let is_used = self.token.borrow().as_ref() == Some(&token);
            if is_used {
                self.token.replace(None);
            }
            if !again || token.renew_at.is_none() {
                let detail = heard.hear().err();
                let detail = detail.as_ref().map(Trouble::detail);
                self.problem("token_refused", detail).map_err(ours)?;
                return Ok(heard);
            }
            again = false;
        }
    }

    /// A request of the management API.
    pub(super) async fn manage(&self, plan: &Plan) -> Result<Option<Value>, Trouble> {
        let settings = self.settings();
        let settings = settings.map_err(|_| Trouble::later("a fault of this service: its log says which"))?;
        let body = plan.body.as_deref();
        let heard = self
            .authorized(plan.method, &plan.url, body, settings.remote.timeout_ms, BYTES)
            .await?;
        if heard.cut && heard.status < 300 {
            return Err(Trouble::later(format!(
                "{} answered with too much or broke off",
                heard.what
            )));
        }
        heard.hear()
    }

    /// Deletes the stream at the transmitter, then the source. `Begun` while the transmitter does not do it; from the first
    /// moment the source is gone for everybody else.
    pub(super) async fn leave(&self) -> Answer<SourceReply> {
        let source = self.source_left()?;
        let now = now_ms();
        let left_at = match meta::number(&self.sql, "left_at")? {
            Some(at) => at,
            None => {
                let may_have = self.with_setup(|setup| {
                    let begun = self.making.get() || setup.state(setup::STREAM) != StepState::Todo;
                    let known = setup.stream.is_some() || setup.former.is_some();
                    setup.endpoints.is_some() && (known || begun)
                })?;
                if !(source.is_managed() && may_have) {
                    return self.delete().await;
                }
                meta::set(&self.sql, "left_at", &now.to_string())?;
                self.left.set(true);
                self.bell.ring();
                let _ = kv::delete(&self.env, &source_copy(&source.source_id)).await;
                now
            }
        };
        // What is being made now is known when the tenant asks again.
        if self.making.get() || now < meta::number(&self.sql, "leave_at")?.unwrap_or(0) {
            return Ok(SourceReply::Begun);
        }
        let left = self.delete_stream(&source).await;
        if self.gone.get() {
            return Err(Refusal::Gone);
        }
        let Err(trouble) = left else {
            return self.delete().await;
        };
        let until = left_at.saturating_add(self.settings()?.remote.leave_behind_ms);
        let line = json!({"source_id": source.source_id, "detail": trouble.detail()});
        if now >= until {
            log::line(Level::Error, "stream_left_behind", line);
            return self.delete().await;
        }
        log::line(Level::Warn, "stream_not_deleted", line);
        // Ever more seldom, as time goes by. The tenant asks every few seconds.
        let wait = (now.saturating_sub(left_at) / 4).min(3_600_000);
        meta::set(&self.sql, "leave_at", &(now + wait).min(until).to_string())?;
        Ok(SourceReply::Begun)
    }

    /// Whatever is not there any more is as good as deleted.
    async fn delete_stream(&self, source: &Source) -> Result<(), Trouble> {
        let lost = |_| Trouble::later("a fault of this service: its log says which");
        let (known, is_all, endpoints) = self
            .with_setup(|setup| {
                let known = [setup.stream_id(), setup.former.as_deref()];
                let known: Vec<_> = known.into_iter().flatten().map(str::to_owned).collect();
                (known, setup.is_over(setup::STREAM), setup.endpoints.clone())
            })
            .map_err(lost)?;
        let Some(endpoints) = endpoints else { return Ok(()) };
        let delete = async |stream_id: &str| match self.manage(&endpoints.delete(stream_id)).await {
            Ok(_) | Err(Trouble::Gone(_)) => Ok(()),
            Err(trouble) => Err(trouble),
        };
        for stream_id in &known {
            delete(stream_id).await?;
        }
        // Another one may have been made meanwhile.
        match is_all {
            true => Ok(()),
            false => match self.find_unheard(source, &endpoints).await? {
                Some(stream_id) => delete(&stream_id).await,
                None => Ok(()),
            },
        }
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
