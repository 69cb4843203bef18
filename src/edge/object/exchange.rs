//! One push: sign, send, read the answer, and remember both sides for whoever looks.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::Value;
use web_sys::CryptoKey;

use crate::delivery::answer::Answer;
use crate::delivery::courier::Outcome;
use crate::edge::clock::now_ms;
use crate::edge::crypto::{self, CryptoError};
use crate::edge::http::{self, Incoming, NoAnswer, Outgoing, OutgoingHeaders, Ticket};
use crate::protocol::cloudevent::{self, ContentMode};
use crate::protocol::handshake::REQUEST_ORIGIN;
use crate::protocol::jose::jws::{self, Alg, SigningHeader};
use crate::protocol::json::{self, json};
use crate::protocol::push::{ErrorBody, clip};
use crate::protocol::secret::Secret;
use crate::protocol::set;
use crate::protocol::webhook::{self, WebhookSecret};
use crate::transmitter::live::{Job, Run};

/// Attempts kept in memory for the operator.
const KEPT: usize = 50;

/// Bytes of a body that are kept of an attempt, and read of an answer.
const BODY_BYTES: usize = 4096;

/// Who we say we are.
pub const USER_AGENT: &str = concat!("Heliograph/", env!("CARGO_PKG_VERSION"));

/// Everything that the pushes of one run have in common.
pub struct Line {
    pub run: Run,
    seal: Seal,
    headers: OutgoingHeaders,
    shown: Rc<Shown>,
}

/// What can be shown of the requests of a run: never the receiver's secret.
struct Shown {
    url: String,
    headers: Vec<(&'static str, String)>,
}

impl Line {
    /// `None` when the headers cannot be sent.
    pub fn new(run: Run, authorization: Option<&Secret<String>>, seal: Seal) -> Option<Self> {
        let content_type = match &seal {
            Seal::Set(_) => set::MEDIA_TYPE,
            Seal::Webhook { mode, .. } => match mode {
                Some(ContentMode::Structured) => cloudevent::STRUCTURED,
                Some(ContentMode::Batched) => cloudevent::BATCHED,
                // Of the data, or of claims.
                Some(ContentMode::Binary) | None => "application/json",
            },
        };
        let mut headers = vec![
            ("content-type", content_type.to_owned()),
            ("accept", "application/json".to_owned()),
            ("user-agent", USER_AGENT.to_owned()),
            // WH-2.1-6: on every push, whoever asked for it or not.
            (REQUEST_ORIGIN, run.origin.clone()),
        ];
        if run.legacy_origin_header {
            headers.push(("origin", run.origin.clone()));
        }
        let mut shown = headers.clone();
        if let Some(authorization) = authorization {
            // SSF-6.1.1-4: exactly what the receiver gave, scheme included.
            headers.push(("authorization", authorization.expose().clone()));
            shown.push(("authorization", "***".to_owned()));
        }
        Some(Self {
            headers: OutgoingHeaders::new(&headers).ok()?,
            shown: Rc::new(Shown {
                url: run.endpoint_url.clone(),
                headers: shown,
            }),
            run,
            seal,
        })
    }
}

/// What makes a request of an event.
pub enum Seal {
    Set(Signer),
    Webhook {
        /// How the body holds CloudEvents; `None`: it holds claims.
        mode: Option<ContentMode>,
        /// Newest first.
        secrets: Vec<WebhookSecret>,
    },
}

impl Seal {
    /// The body, and the headers that this request alone has.
    async fn seal(&self, job: &Job) -> Result<(String, Vec<(String, String)>), CryptoError> {
        let (mode, secrets) = match self {
            Self::Set(signer) => return Ok((signer.sign(&job.claims).await?, Vec::new())),
            Self::Webhook { mode, secrets } => (mode, secrets),
        };
        let id = set::jti_text(&job.jti);
        let (id, mut headers, body) = match mode {
            Some(ContentMode::Structured) | None => (id, Vec::new(), job.claims.clone()),
            Some(ContentMode::Binary) => {
                let (headers, body) = cloudevent::to_binary(&job.claims).ok_or(CryptoError::Headers)?;
                (id, headers, body)
            }
            Some(ContentMode::Batched) => {
                let events = [job.claims.as_slice()].into_iter();
                let events: Vec<&[u8]> = events
                    .chain(job.riders.iter().map(|(_, event)| event.as_slice()))
                    .collect();
                let riders = job.riders.iter().map(|(jti, _)| set::jti_text(jti));
                let ids: Vec<String> = [id].into_iter().chain(riders).collect();
                let names: Vec<&str> = ids.iter().map(String::as_str).collect();
                (webhook::id_of_batch(&names), Vec::new(), cloudevent::to_batch(&events))
            }
        };
        let timestamp = i64::try_from(now_ms() / 1000).unwrap_or(i64::MAX);
        let signed: Vec<&WebhookSecret> = secrets.iter().collect();
        let signature = webhook::sign(&signed, &id, timestamp, &body);
        headers.push((webhook::ID_HEADER.to_owned(), id));
        headers.push((webhook::TIMESTAMP_HEADER.to_owned(), timestamp.to_string()));
        headers.push((webhook::SIGNATURE_HEADER.to_owned(), signature));
        Ok((String::from_utf8_lossy(&body).into_owned(), headers))
    }
}

/// A key to sign with.
pub struct Signer {
    pub kid: String,
    pub alg: Alg,
    pub key: CryptoKey,
}

impl Signer {
    /// Makes the SET of these claims.
    pub async fn sign(&self, claims: &[u8]) -> Result<String, CryptoError> {
        let header = SigningHeader {
            alg: self.alg,
            typ: set::TYP,
            kid: &self.kid,
        };
        let input = jws::signing_input(&header, claims);
        let signature = crypto::sign(&self.key, self.alg, input.as_bytes()).await?;
        Ok(jws::assemble(&input, &signature))
    }
}

/// A push that came to an end.
pub struct Pushed {
    pub answer: Answer,
    pub attempt: Attempt,
}

/// What is remembered of a push.
pub struct Attempt {
    jti: String,
    number: u32,
    signed_at: u64,
    sign_ms: u64,
    sent_at: u64,
    push_ms: u64,
    line: Rc<Shown>,
    /// Headers of this request alone.
    headers: Vec<(String, String)>,
    events: usize,
    body: String,
    response: Option<Incoming>,
}

/// Signs and pushes one event (RFC 8935, section 2.1). An answer that never comes is an answer too. `None`: it was not sent,
/// because `may_go` did not hold any more when it was signed. While it is under way its ticket lies in `tickets`: somebody has
/// to watch over it.
pub async fn push(job: Job, line: &Line, tickets: &Tickets, may_go: impl FnOnce() -> bool) -> Option<Pushed> {
    let signed_at = now_ms();
    let sealed = line.seal.seal(&job).await;
    if !may_go() {
        return None;
    }
    let sent_at = now_ms();
    let mut attempt = Attempt {
        jti: set::jti_text(&job.jti),
        number: job.attempt,
        signed_at,
        sign_ms: sent_at.saturating_sub(signed_at),
        sent_at,
        push_ms: 0,
        line: Rc::clone(&line.shown),
        headers: Vec::new(),
        events: 1 + job.riders.len(),
        body: String::new(),
        response: None,
    };
    let answer = match sealed {
        Ok((body, headers)) => {
            let sent = send(&body, &headers, line, tickets).await;
            attempt.push_ms = now_ms().saturating_sub(sent_at);
            (attempt.body, attempt.headers) = (body, headers);
            match sent {
                Ok(response) => {
                    let answer = read(&response);
                    attempt.response = Some(response);
                    answer
                }
                Err(NoAnswer::Timeout) => Answer::Timeout,
                Err(NoAnswer::Unreachable(why)) => Answer::Unreachable(why),
            }
        }
        // Ours to mend, not the receiver's to suffer: the event waits.
        Err(error) => Answer::Unreachable(format!("signing failed: {error}")),
    };
    Some(Pushed { answer, attempt })
}

async fn send(body: &str, headers: &[(String, String)], line: &Line, tickets: &Tickets) -> Result<Incoming, NoAnswer> {
    let own = (!headers.is_empty()).then(|| line.headers.with(headers)).transpose()?;
    let ticket = Rc::new(Ticket::new()?);
    tickets.0.borrow_mut().push(Rc::clone(&ticket));
    let request = Outgoing {
        method: "POST",
        url: &line.run.endpoint_url,
        headers: own.as_ref().unwrap_or(&line.headers),
        body: Some(body),
        max_body: BODY_BYTES,
        // PUSH-2.3-3: only there it says what is wrong.
        needs_body: |status| status == 400,
    };
    let answer = http::send(&request, &ticket).await;
    tickets.0.borrow_mut().retain(|other| !Rc::ptr_eq(other, &ticket));
    answer
}

/// The requests of a run that are under way.
#[derive(Default)]
pub struct Tickets(RefCell<Vec<Rc<Ticket>>>);

impl Tickets {
    /// Ends those that have taken too long.
    pub fn watch(&self, timeout_ms: u32, now: u64) {
        for ticket in self.0.borrow().iter() {
            ticket.watch(timeout_ms, now);
        }
    }
}

fn read(response: &Incoming) -> Answer {
    let set_error = (response.status == 400)
        .then(|| ErrorBody::parse(&response.body))
        .flatten()
        .map(|error| (error.err.as_str().to_owned(), error.description));
    Answer::Response {
        status: response.status,
        set_error,
        // A success is not read any further: there are many.
        retry_after: (response.status >= 300)
            .then(|| response.header("retry-after"))
            .flatten(),
    }
}

impl Attempt {
    /// The attempt as the operator sees it.
    fn to_json(&self, outcome: &Outcome, detail: Option<&str>) -> Value {
        let (word, next_attempt_at) = match outcome {
            Outcome::Delivered => ("delivered", None),
            Outcome::Dead(_) => ("dead", None),
            Outcome::RetryAt(at) => ("retry", Some(*at)),
            Outcome::HeldUntil(at, _) => ("held", Some(*at)),
        };
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let common = self.line.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let common = common.filter(|(name, _)| !self.headers.iter().any(|(own, _)| own == name));
        let headers: Vec<_> = common.chain(own).collect();
        json!({
            "jti": self.jti,
            "type": event_type(&self.headers, &self.body),
            "events": self.events,
            "attempt": self.number,
            "signed_at": self.signed_at,
            "sign_ms": self.sign_ms,
            "sent_at": self.sent_at,
            "push_ms": self.push_ms,
            "outcome": word,
            "status": self.response.as_ref().map(|response| response.status),
            "detail": detail,
            "next_attempt_at": next_attempt_at,
            "request": json!({
                "method": "POST",
                "url": self.line.url,
                "headers": headers,
                "body": clip(&self.body, BODY_BYTES),
            }),
            "response": self.response.as_ref().map(|response| json!({
                "status": response.status,
                "headers": response.headers(),
                "body": String::from_utf8_lossy(&response.body),
                "cut": response.cut,
            })),
        })
    }
}

/// The type of the first event in a request of ours.
fn event_type(headers: &[(String, String)], body: &str) -> Option<String> {
    if let Some((_, event_type)) = headers.iter().find(|(name, _)| name == "ce-type") {
        return Some(event_type.clone());
    }
    if body.starts_with(['{', '[']) {
        let document: Value = serde_json::from_str(body).ok()?;
        let event = document.get(0).unwrap_or(&document);
        return match event.get("type") {
            Some(event_type) => event_type.as_str().map(str::to_owned),
            None => of_claims(event),
        };
    }
    let claims = Base64UrlUnpadded::decode_vec(body.split('.').nth(1)?).ok()?;
    let claims = json::read(&claims)?;
    of_claims(&claims)
}

fn of_claims(claims: &Value) -> Option<String> {
    claims.get("events")?.as_object()?.keys().next().cloned()
}

/// The last attempts of a stream, newest first. In memory only: recording must not cost a row for each delivery.
#[derive(Default)]
pub struct Attempts(VecDeque<(Attempt, Outcome, Option<String>)>);

impl Attempts {
    pub fn remember(&mut self, attempt: Attempt, outcome: Outcome, detail: Option<String>) {
        self.0.truncate(KEPT - 1);
        self.0.push_front((attempt, outcome, detail));
    }

    pub fn to_json(&self) -> Vec<Value> {
        self.0
            .iter()
            .map(|(attempt, outcome, detail)| attempt.to_json(outcome, detail.as_deref()))
            .collect()
    }
}
