//! A push endpoint whose owner uses the crate authkestra-ssf: it decides over every push, and its answer is sent as it is.
//!
//! The crate has no server and no client of its own: it is handed a content type and a body, and keys by a trait. So it needs
//! neither https nor a name; the socket is the harness's, and the keys come from the JWKS that the transmitter names.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use authkestra_ssf::{
    CaepEvent, HandlerError, InMemorySetReplayGuard, KeyResolveError, PushReceiver, SecurityEventToken, SetHandler,
    SetKeyResolver, SetVerifier,
};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, decode_header};

use crate::harness::{Client, Instance, Recorded, Reply, ScriptedReceiver, eventually};

/// What a handler was given.
pub struct Handled {
    pub set: SecurityEventToken,
    pub event: CaepEvent,
}

#[derive(Default)]
struct Log {
    handled: Vec<Handled>,
    /// What the handler says to the next events; then it is content.
    says: VecDeque<HandlerError>,
    /// So many of the next answers get lost on their way.
    lose: usize,
    answers: Vec<u16>,
    algs: Vec<Algorithm>,
}

pub struct Theirs {
    receiver: ScriptedReceiver,
    log: Arc<Mutex<Log>>,
}

impl Theirs {
    /// Takes SETs of this issuer for this audience.
    pub fn start(instance: &Instance, issuer: &str, audience: &str) -> Self {
        let base = issuer
            .strip_prefix(&instance.origin())
            .expect("an issuer of this instance");
        let keys = PublishedKeys {
            client: instance.anyone(),
            path: format!("{base}/jwks.json"),
            known: Mutex::new(None),
        };
        let verifier = SetVerifier::builder(issuer)
            .audience(audience)
            .algorithms([Algorithm::RS256, Algorithm::ES256])
            .key_resolver(Arc::new(keys))
            .replay_guard(Arc::new(InMemorySetReplayGuard::new(Duration::from_secs(3600))))
            .build()
            .expect("the settings are complete");
        let log = Arc::new(Mutex::new(Log::default()));
        let theirs = PushReceiver::new(Arc::new(verifier)).with_handler(Arc::new(Handler(Arc::clone(&log))));
        let receiver = ScriptedReceiver::start();
        let deciding = Arc::clone(&log);
        receiver.otherwise_decide(move |request| decide(&theirs, &deciding, request));
        Self { receiver, log }
    }

    pub fn url(&self) -> String {
        self.receiver.url("/events")
    }

    /// What its handler says to the next event.
    pub fn then(&self, error: HandlerError) {
        self.log.lock().expect("nobody panics here").says.push_back(error);
    }

    /// The answers to the next pushes do not arrive.
    pub fn lose_answers(&self, count: usize) {
        self.log.lock().expect("nobody panics here").lose = count;
    }

    /// Waits until this many events were handled, and takes them.
    #[track_caller]
    pub fn handled(&self, count: usize) -> Vec<Handled> {
        eventually("the events are handled", || {
            let mut log = self.log.lock().expect("nobody panics here");
            (log.handled.len() >= count).then(|| std::mem::take(&mut log.handled))
        })
    }

    /// The statuses of its answers, also of those that were lost.
    pub fn answers(&self) -> Vec<u16> {
        self.log.lock().expect("nobody panics here").answers.clone()
    }

    /// What the SETs were signed with, in the order of their arrival.
    pub fn algs(&self) -> Vec<Algorithm> {
        self.log.lock().expect("nobody panics here").algs.clone()
    }
}

fn decide(theirs: &PushReceiver, log: &Mutex<Log>, request: &Recorded) -> Reply {
    let answer = at_once(theirs.receive(request.header("content-type"), &request.body));
    let mut log = log.lock().expect("nobody panics here");
    log.answers.push(answer.status());
    log.algs.extend(decode_header(&request.body).map(|header| header.alg));
    if log.lose > 0 {
        log.lose -= 1;
        return Reply::Reset;
    }
    let mut reply = Reply::status(answer.status()).body(answer.body());
    for (name, value) in [
        ("content-type", answer.content_type()),
        ("content-language", answer.content_language()),
    ] {
        if let Some(value) = value {
            reply = reply.header(name, value);
        }
    }
    reply
}

/// The crate's futures wait for its traits only, and those are answered at once here.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here is waited for"),
    }
}

struct Handler(Arc<Mutex<Log>>);

#[async_trait]
impl SetHandler for Handler {
    async fn handle(&self, set: &SecurityEventToken, event: &CaepEvent) -> Result<(), HandlerError> {
        let mut log = self.0.lock().expect("nobody panics here");
        if let Some(error) = log.says.pop_front() {
            return Err(error);
        }
        log.handled.push(Handled {
            set: set.clone(),
            event: event.clone(),
        });
        Ok(())
    }
}

/// The transmitter's keys, fetched again for a `kid` that is not among them.
struct PublishedKeys {
    client: Client,
    path: String,
    known: Mutex<Option<JwkSet>>,
}

#[async_trait]
impl SetKeyResolver for PublishedKeys {
    async fn resolve(&self, _issuer: &str, kid: Option<&str>) -> Result<DecodingKey, KeyResolveError> {
        let unknown = || KeyResolveError::UnknownKid(kid.map(str::to_owned));
        let unavailable = |error: String| KeyResolveError::Unavailable(error);
        let kid = kid.ok_or_else(unknown)?;
        let mut known = self.known.lock().expect("nobody panics here");
        if known.as_ref().is_none_or(|keys| keys.find(kid).is_none()) {
            let answer = self
                .client
                .try_get(&self.path)
                .map_err(|error| unavailable(error.to_string()))?;
            let keys = serde_json::from_value(answer.json()).map_err(|error| unavailable(error.to_string()))?;
            *known = Some(keys);
        }
        let key = known.as_ref().and_then(|keys| keys.find(kid)).ok_or_else(unknown)?;
        DecodingKey::from_jwk(key).map_err(|error| unavailable(error.to_string()))
    }
}
