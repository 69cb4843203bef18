//! A source at its transmitter: requests with its token, the steps of its set-up, looking after its stream, and leaving.

use std::rc::Rc;

use serde_json::Value;

use crate::delivery::meta;
use crate::edge::api::receive::source_copy;
use crate::edge::clock::now_ms;
use crate::edge::command::{Answer, Refusal, SourceReply, SourceSecrets};
use crate::edge::http::{self, NoAnswer, Outgoing, OutgoingHeaders};
use crate::edge::kv;
use crate::edge::log::{self, Level};
use crate::edge::{crypto, random};
use crate::protocol::endpoint_url::{EndpointUrl, UrlPolicy};
use crate::protocol::json::json;
use crate::protocol::record;
use crate::receiver::health::Problems;
use crate::receiver::remote::{Plan, Trouble, hear};
use crate::receiver::setup::{self, Setup};
use crate::receiver::source::Source;
use crate::receiver::token;

use super::exchange::USER_AGENT;
use super::serve::fault;
use super::source::{SourceObject, remote_policy};

/// What the seals authenticate, beside the object's id; and the names under which they lie.
pub(super) const CREDENTIALS: &str = "source_credentials";
const AUTHORIZATION: &str = "source_authorization";

/// Most bytes of an answer of the management API.
pub(super) const BYTES: usize = 256 * 1024;

/// An answer as it came.
pub(super) struct Heard {
    pub status: u16,
    pub body: Vec<u8>,
    pub cut: bool,
    pub retry_after: Option<String>,
    /// Of what: for the operator to read.
    pub what: String,
}

impl Heard {
    /// Whoever refuses a request may repeat it: what is secret of it is in no detail, and so in no log.
    pub fn mask(&mut self, secrets: &[&str]) {
        if self.status >= 300 {
            self.body = token::masked(&self.body, secrets);
        }
    }

    /// What it means.
    pub fn hear(&self) -> Result<Option<Value>, Trouble> {
        let heard = hear(self.status, self.retry_after.as_deref(), &self.body, now_ms());
        heard.map_err(|trouble| about(&self.what, trouble))
    }
}

/// The same trouble, with what it was about.
pub(super) fn about(what: &str, trouble: Trouble) -> Trouble {
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
    let what = format!("{method} {}", url.split('?').next().unwrap_or_default());
    let checked = EndpointUrl::parse(url, policy).map_err(|error| Trouble::Refused(format!("{what} {error}")))?;
    let url = checked.as_str();
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

    /// They were taken back.
    pub(super) fn forget_secrets(&self) -> Answer<()> {
        for name in [CREDENTIALS, AUTHORIZATION] {
            meta::delete(&self.sql, name)?;
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

    pub(super) async fn unseal(&self, name: &str) -> Result<String, Trouble> {
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
        let mut source = Rc::unwrap_or_clone(self.source().map_err(ours)?);
        // One of before stands until a set-up ends: of those after it the transmitter may have heard of none.
        let before = std::mem::replace(&mut source.authorization_hash, crypto::sha256_hex(&header));
        source.former_hash.get_or_insert(before);
        source.rev += 1;
        let saved = source.save(&self.sql).map_err(Refusal::from);
        saved
            .and_then(|()| Ok(meta::set(&self.sql, AUTHORIZATION, &sealed)?))
            .map_err(ours)?;
        self.put_source(&source).await;
        Ok(header)
    }

    /// Once an event came with the new header nobody needs the one before.
    pub(super) async fn forget_former_header(&self, source: &Source) -> Answer<()> {
        if source.former_hash.is_some() {
            let mut source = source.clone();
            source.former_hash = None;
            source.rev += 1;
            source.save(&self.sql)?;
            self.put_source(&source).await;
        }
        Ok(())
    }

    /// Nothing is asked any more, and no answer heeded, once the credentials were taken back.
    pub(super) fn may_manage(&self) -> Result<(), Trouble> {
        match self.source_left() {
            Ok(source) if source.is_managed() => Ok(()),
            _ => Err(Trouble::later("the stream is not managed any more")),
        }
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
            let mut heard = exchange(method, url, &headers, body, &policy, timeout_ms, max_body).await?;
            heard.mask(&[&token.value, token::header_in(body.unwrap_or_default())]);
            self.may_manage()?;
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
        self.heard(plan).await?.hear()
    }

    /// The answer to one, whole.
    pub(super) async fn heard(&self, plan: &Plan) -> Result<Heard, Trouble> {
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
        Ok(heard)
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
                    let begun = self.making.get() || setup.may_have_stream;
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
