//! The handshake as the stream object performs it: `OPTIONS` to an endpoint, and the callback that may answer it. What is asked
//! when, and what an answer means, is the transmitter's to say.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{join, select};
use serde_json::Value;
use worker::Delay;

use crate::delivery::retry::parse_retry_after;
use crate::edge::clock::now_ms;
use crate::edge::command::{Answer, Refusal, StreamReply, TenantCommand};
use crate::edge::http::{self, Incoming, NoAnswer, Outgoing, OutgoingHeaders};
use crate::edge::log::{self, Level};
use crate::edge::settings::Settings;
use crate::edge::{context, crypto, random};
use crate::protocol::endpoint_url::{EndpointUrl, UrlPolicy};
use crate::protocol::handshake::{self, REQUEST_CALLBACK, REQUEST_ORIGIN, REQUEST_RATE, read_callback};
use crate::protocol::json::json;
use crate::protocol::operator_request::GrantAction;
use crate::transmitter::grant::Via;
use crate::transmitter::live::Ask;

use super::exchange::USER_AGENT;
use super::serve::{call_failed, fault, seconds};
use super::stream::StreamObject;
use super::stub;

/// The pushes look around after this long in any case. A timer of more than 31 bits of milliseconds would go off at once.
const MOST_WAIT_MS: u64 = 60_000;

/// Callbacks a minute that are looked at.
const CALLBACKS_PER_MINUTE: u32 = 30;

impl StreamObject {
    /// Pushes what is due, and asks the endpoint for its consent beside that if it is time to. What becomes due while it is
    /// asked is not left waiting.
    pub(super) async fn work(&self) -> Answer<()> {
        let pushing = async {
            loop {
                let rung = self.bell.count();
                self.deliver().await?;
                if !self.asking.get() {
                    return Ok(());
                }
                let wait = self.with(|live| Ok(live.push_due(now_ms())))?;
                let wait = wait.map_or(MOST_WAIT_MS, |at| at.saturating_sub(now_ms()).clamp(1, MOST_WAIT_MS));
                let timer = pin!(Delay::from(Duration::from_millis(wait)));
                select(pin!(self.bell.after(rung)), timer).await;
            }
        };
        let (asked, pushed) = join(self.ask(), pushing).await;
        pushed.and(asked)
    }

    /// Asks the endpoint, if that is due.
    async fn ask(&self) -> Answer<()> {
        let Some(question) = self.with(|live| Ok(live.question(now_ms())))? else {
            return Ok(());
        };
        self.asking.set(true);
        let asked = self.ask_now(&question).await;
        self.asking.set(false);
        // Whatever was decided, the pushes look at it.
        self.bell.ring();
        asked
    }

    async fn ask_now(&self, question: &Ask) -> Answer<()> {
        let settings = context::settings(&self.env).map_err(|error| fault("settings", error))?;
        // The policy may have changed since the endpoint was registered.
        let policy = UrlPolicy::of_issuer(settings.allow_loopback, &question.issuer);
        let url = EndpointUrl::parse(&question.endpoint_url, &policy);
        let begun = self.begin_asking(question, url.as_ref().ok()).await;
        let Ok(Some((secret, hash))) = begun else {
            self.with(|live| {
                live.give_question_back(now_ms());
                Ok(())
            })?;
            return begun.map(|_| ());
        };
        let (answer, exchange) = match url {
            Ok(_) => self.send_options(question, &secret, &settings).await,
            Err(error) => (
                unsupported(format!("the endpoint is not allowed here: it {error}")),
                None,
            ),
        };
        self.last_ask.replace(exchange);
        let now = now_ms();
        let not_before = match &answer {
            handshake::Answer::Again {
                retry_after: Some(text),
                ..
            } => parse_retry_after(text, now).unwrap_or(0),
            _ => 0,
        };
        self.with(|live| {
            live.answered(&self.sql, &hash, answer, not_before, now)?;
            let grant = &live.stream.grant;
            log::line(
                Level::Info,
                "consent_asked",
                json!({"stream_id": live.stream.configuration.stream_id, "state": grant.state, "detail": grant.detail}),
            );
            Ok(())
        })
    }

    /// The secret of the attempt that leaves now, and its hash. `None`: it does not leave, because its host was asked often of late
    /// or the stream was changed.
    async fn begin_asking(&self, question: &Ask, url: Option<&EndpointUrl>) -> Answer<Option<(String, String)>> {
        // Our own endpoints are nobody else's.
        let is_ours = question
            .endpoint_url
            .starts_with(&format!("{}/receive/", question.our_origin()));
        if let Some(url) = url.filter(|_| !is_ours)
            && let Some(wait_ms) = self.others_asked(url).await?
        {
            let now = now_ms();
            self.with(|live| Ok(live.postpone_question(&self.sql, now + wait_ms, now)?))?;
            return Ok(None);
        }
        let secret = random::text::<24>().map_err(|error| call_failed(&error))?;
        let hash = crypto::sha256_hex(&secret);
        let begun = self.with(|live| Ok(live.begin_question(&self.sql, question, &hash, now_ms())?))?;
        Ok(begun.then_some((secret, hash)))
    }

    /// How many milliseconds to wait because this endpoint's host was asked too often lately. The tenant counts.
    async fn others_asked(&self, url: &EndpointUrl) -> Answer<Option<u64>> {
        let tenant = self.with(|live| Ok(live.stream.tenant.clone()))?;
        let tenant = stub::tenant(&self.env, &tenant).map_err(|error| call_failed(&error))?;
        self.meter.subrequest();
        let command = TenantCommand::CountQuestion { host: url.authority() };
        match tenant.tell(command).await.map_err(|error| call_failed(&error))? {
            Ok(_) => Ok(None),
            Err(Refusal::TooMany { retry_after_s, .. }) => Ok(Some(u64::from(retry_after_s) * 1000)),
            Err(refusal) => Err(refusal),
        }
    }

    async fn send_options(
        &self,
        question: &Ask,
        secret: &str,
        settings: &Settings,
    ) -> (handshake::Answer, Option<Value>) {
        let stream_id = self.state.id().to_string();
        // The callback is the service's, whatever the tenant.
        let origin = question.our_origin();
        let callback = |secret| format!("{origin}/handshake/{stream_id}/{secret}");
        let headers = |callback: String| {
            [
                (REQUEST_ORIGIN, question.origin.clone()),
                (REQUEST_CALLBACK, callback),
                (REQUEST_RATE, question.rate.to_string()),
                ("user-agent", USER_AGENT.to_owned()),
            ]
        };
        let Ok(outgoing) = OutgoingHeaders::new(&headers(callback(secret))) else {
            return (unsupported("the request cannot be made".to_owned()), None);
        };
        let request = Outgoing {
            method: "OPTIONS",
            url: &question.endpoint_url,
            headers: &outgoing,
            body: None,
            max_body: 1024,
            needs_body: |_| false,
        };
        let at = now_ms();
        self.meter.subrequest();
        let answer = http::send_within(&request, settings.delivery.consent.timeout_ms).await;
        let exchange = json!({
            "at": at,
            "ms": now_ms().saturating_sub(at),
            "request": json!({"method": "OPTIONS", "url": question.endpoint_url, "headers": headers(callback("***"))}),
            "response": answer.as_ref().ok().map(|response| json!({
                "status": response.status,
                "headers": response.headers(),
            })),
            "error": match &answer {
                Ok(_) => None,
                Err(NoAnswer::Timeout) => Some("no answer in time"),
                Err(NoAnswer::Unreachable(why)) => Some(why.as_str()),
            },
        });
        // An endpoint may repeat in its answer what it was asked.
        let exchange = match exchange.to_string() {
            text if text.contains(secret) => serde_json::from_str(&text.replace(secret, "***")).unwrap_or_default(),
            _ => exchange,
        };
        let read = |response: &Incoming| {
            let header = |name: &str| response.header(name);
            handshake::read_answer(response.status, header, &question.origin, Some(question.rate))
        };
        let answer = match &answer {
            Ok(response) => read(response),
            Err(NoAnswer::Timeout) => again("the endpoint did not answer in time".to_owned()),
            Err(NoAnswer::Unreachable(why)) => again(format!("the endpoint could not be reached: {why}")),
        };
        (answer, Some(exchange))
    }

    /// Somebody calls the callback: `secret` is the hash of what the URL carries.
    pub(super) fn called_back(
        &self,
        secret: &str,
        posted: bool,
        rate: Option<&str>,
        allowed: Option<&str>,
    ) -> Answer<StreamReply> {
        let now = now_ms();
        self.with(|live| {
            let mut pace = live.callback_pace;
            let limit = crate::delivery::pace::Limit::with_minutes_burst(CALLBACKS_PER_MINUTE);
            pace.act(&limit, now).map_err(|wait_ms| Refusal::TooMany {
                detail: format!("This callback takes {CALLBACKS_PER_MINUTE} requests a minute."),
                retry_after_s: seconds(wait_ms),
            })?;
            live.callback_pace = pace;
            // Who does not know the secret learns nothing about the rest.
            if !live.stream.grant.knows(secret, now) {
                return Err(Refusal::NotFound);
            }
            let rate = read_callback(rate, allowed, &live.origin()).map_err(|found| Refusal::Invalid {
                pointer: String::new(),
                detail: format!("{found}."),
            })?;
            let via = if posted { Via::CallbackPost } else { Via::CallbackGet };
            live.called_back(&self.sql, secret, rate, via, now)?;
            let rate = live.stream.grant.allowed_rate;
            log::line(
                Level::Info,
                "consent_called_back",
                json!({"stream_id": live.stream.configuration.stream_id, "allowed_rate": rate}),
            );
            Ok(StreamReply::Shown(json!({"allowed_rate": rate})))
        })
    }

    /// The operator decides about the consent.
    pub(super) fn decide(&self, action: GrantAction) -> Answer<StreamReply> {
        self.with(|live| {
            if !live.decide(&self.sql, action, now_ms())? {
                return Err(Refusal::Conflict {
                    detail: "There is nothing to decide: the endpoint of this stream is registered, or there is none, or its client may have \
                             registered endpoints only."
                        .to_owned(),
                });
            }
            Ok(())
        })?;
        self.shown_grant()
    }

    pub(super) fn shown_grant(&self) -> Answer<StreamReply> {
        let exchange = self.last_ask.borrow();
        self.with(|live| {
            let shown = live.shown_grant(&self.sql, exchange.as_ref(), now_ms())?;
            Ok(StreamReply::Shown(shown))
        })
    }
}

fn unsupported(detail: String) -> handshake::Answer {
    handshake::Answer::Unsupported(detail)
}

fn again(detail: String) -> handshake::Answer {
    handshake::Answer::Again {
        detail,
        retry_after: None,
    }
}
