//! A whole SSF transmitter, written for the tests and sharing nothing with the Worker: metadata, keys, tokens, streams,
//! status, subjects, verification, push and poll. It forgets nothing that was asked of it, and any request can be made to fail.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http_server::{HttpServer, Recorded, Reply};
use super::transmitter::{Draft, Key};
use super::wait::DEADLINE;

const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
const OLD_VERIFICATION: &str = "https://schemas.openid.net/secevent/risc/event-type/verification";

/// What goes wrong with the next request of a kind.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is not heard, and answered with this.
    Instead(Reply),
    /// It is carried out, and its answer is lost.
    Lost,
    /// It is carried out, and answered with this.
    Answered(Reply),
    /// It is carried out, and this is done to the body of its answer.
    Changed(fn(&mut Value)),
}

struct State {
    origin: String,
    audience: String,
    metadata: Value,
    published: Vec<Key>,
    /// Published as it is, beside those.
    odd_key: Option<Value>,
    signing: Key,
    /// Method and path, in order.
    faults: Vec<(String, Fault)>,
    /// Requests of this kind are not heard for now.
    held: Option<String>,
    seen: Vec<Recorded>,
    tokens: BTreeSet<String>,
    tokens_made: usize,
    expires_in: Value,
    streams: BTreeMap<String, Value>,
    streams_made: usize,
    only_one: bool,
    subjects: Vec<Value>,
    answers_verification: bool,
    verifies_as_of_old: bool,
    /// What polls get, by key and in this order; gone when acknowledged or refused.
    outbox: Vec<(String, Value)>,
    acked: Vec<String>,
    refused: BTreeMap<String, Value>,
    holds: Duration,
    decorates: Value,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics here")
    }
}

/// Its issuer is its origin. One client: `client`, with the secret `secret`.
pub struct SsfTransmitter {
    server: HttpServer,
    shared: Arc<Shared>,
}

impl SsfTransmitter {
    pub fn start(audience: &str) -> Self {
        let state = State {
            origin: String::new(),
            audience: audience.to_owned(),
            metadata: json!({}),
            published: vec![Key::First],
            odd_key: None,
            signing: Key::First,
            faults: Vec::new(),
            held: None,
            seen: Vec::new(),
            tokens: BTreeSet::new(),
            tokens_made: 0,
            expires_in: json!(3600),
            streams: BTreeMap::new(),
            streams_made: 0,
            only_one: false,
            subjects: Vec::new(),
            answers_verification: true,
            verifies_as_of_old: false,
            outbox: Vec::new(),
            acked: Vec::new(),
            refused: BTreeMap::new(),
            holds: Duration::from_secs(5),
            decorates: json!({}),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let serving = Arc::clone(&shared);
        let server = HttpServer::start(move |request| serve(&serving, request));
        let origin = server.origin();
        {
            let mut state = shared.lock();
            state.metadata = json!({
                "spec_version": "1_0", "issuer": origin, "jwks_uri": format!("{origin}/jwks.json"),
                "delivery_methods_supported": ["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"],
                "configuration_endpoint": format!("{origin}/streams"), "status_endpoint": format!("{origin}/status"),
                "add_subject_endpoint": format!("{origin}/add"), "remove_subject_endpoint": format!("{origin}/remove"),
                "verification_endpoint": format!("{origin}/verify"),
            });
            state.origin = origin;
        }
        Self { server, shared }
    }

    pub fn issuer(&self) -> String {
        self.server.origin()
    }

    /// Sets a member of the metadata; null takes it away.
    pub fn metadata(&self, name: &str, value: Value) {
        let mut state = self.shared.lock();
        match value {
            Value::Null => drop(state.metadata.as_object_mut().expect("an object").remove(name)),
            value => state.metadata[name] = value,
        }
    }

    /// The next request of this method and path goes wrong.
    pub fn fail(&self, what: &str, fault: Fault) {
        self.shared.lock().faults.push((what.to_owned(), fault));
    }

    /// Every request of this kind goes wrong, until `mend`.
    pub fn fail_always(&self, what: &str, reply: Reply) {
        self.fail(&format!("*{what}"), Fault::Instead(reply));
    }

    /// Requests of this kind wait until `release`, and are carried out then.
    pub fn hold(&self, what: &str) {
        self.shared.lock().held = Some(what.to_owned());
    }

    pub fn release(&self) {
        self.shared.lock().held = None;
        self.shared.changed.notify_all();
    }

    pub fn mend(&self) {
        self.shared.lock().faults.clear();
    }

    /// Requests of this method and path, so far.
    pub fn requests(&self, what: &str) -> Vec<Recorded> {
        let state = self.shared.lock();
        state
            .seen
            .iter()
            .filter(|request| kind(request) == what)
            .cloned()
            .collect()
    }

    pub fn expires_in(&self, value: Value) {
        self.shared.lock().expires_in = value;
    }

    /// No token is good any more.
    pub fn forget_tokens(&self) {
        self.shared.lock().tokens.clear();
    }

    pub fn allow_one_stream(&self) {
        self.shared.lock().only_one = true;
    }

    /// A stream that somebody made before.
    pub fn add_stream(&self, stream: Value) {
        let id = stream["stream_id"].as_str().expect("an id").to_owned();
        self.shared.lock().streams.insert(id, stream);
    }

    pub fn streams(&self) -> Vec<Value> {
        self.shared.lock().streams.values().cloned().collect()
    }

    pub fn forget_streams(&self) {
        self.shared.lock().streams.clear();
    }

    pub fn subjects(&self) -> Vec<Value> {
        self.shared.lock().subjects.clone()
    }

    pub fn answer_verification(&self, answer: bool) {
        self.shared.lock().answers_verification = answer;
    }

    /// Verifies as Google does: by an event of RISC that is about nobody.
    pub fn verify_as_of_old(&self) {
        self.shared.lock().verifies_as_of_old = true;
    }

    /// Signs with this key from now on, and publishes these.
    pub fn sign_with(&self, key: Key, published: &[Key]) {
        let mut state = self.shared.lock();
        (state.signing, state.published) = (key, published.to_vec());
    }

    /// Publishes this, too, whatever it is.
    pub fn publish_oddly(&self, jwk: Value) {
        self.shared.lock().odd_key = Some(jwk);
    }

    /// For how long a poll without events is held.
    pub fn hold_polls(&self, time: Duration) {
        self.shared.lock().holds = time;
    }

    /// These members stand in every poll response.
    pub fn decorate_polls(&self, members: Value) {
        self.shared.lock().decorates = members;
    }

    pub fn draft(&self) -> Draft {
        let state = self.shared.lock();
        Draft::of(&state.origin, &state.audience).key(state.signing)
    }

    /// Puts a SET into the outbox; returns its `jti`.
    pub fn queue(&self, draft: &Draft) -> String {
        self.queue_as(&draft.jti(), json!(draft.sign()));
        draft.jti()
    }

    pub fn queue_as(&self, key: &str, set: Value) {
        self.shared.lock().outbox.push((key.to_owned(), set));
        self.shared.changed.notify_all();
    }

    pub fn queued(&self) -> usize {
        self.shared.lock().outbox.len()
    }

    pub fn acked(&self) -> Vec<String> {
        self.shared.lock().acked.clone()
    }

    /// What polls reported under `setErrs`.
    pub fn refused(&self) -> BTreeMap<String, Value> {
        self.shared.lock().refused.clone()
    }

    /// Pushes a SET to the first stream, once. The status, if there was an answer.
    pub fn push(&self, set: &str) -> Option<u16> {
        let stream = self.streams().into_iter().next()?;
        push(&stream, set)
    }
}

fn kind(request: &Recorded) -> String {
    let path = request.target.split('?').next().unwrap_or_default();
    format!("{} {path}", request.method)
}

fn serve(shared: &Arc<Shared>, request: Recorded) -> Reply {
    let name = kind(&request);
    let fault = {
        let mut state = shared.lock();
        state.seen.push(request.clone());
        while state.held.as_deref() == Some(name.as_str()) {
            state = shared.changed.wait(state).expect("nobody panics here");
        }
        let always = format!("*{name}");
        let at = state
            .faults
            .iter()
            .position(|(what, _)| *what == name || *what == always);
        at.map(|at| match state.faults[at].0.starts_with('*') {
            true => state.faults[at].1.clone(),
            false => state.faults.remove(at).1,
        })
    };
    match fault {
        Some(Fault::Instead(reply)) => reply,
        Some(Fault::Lost) => {
            carry_out(shared, &name, &request);
            Reply::Reset
        }
        Some(Fault::Answered(reply)) => {
            carry_out(shared, &name, &request);
            reply
        }
        Some(Fault::Changed(change)) => match carry_out(shared, &name, &request) {
            Reply::Answer { status, body, .. } => {
                let mut body: Value = serde_json::from_slice(&body).expect("JSON");
                change(&mut body);
                Reply::json(status, &body)
            }
            other => other,
        },
        None => carry_out(shared, &name, &request),
    }
}

fn carry_out(shared: &Arc<Shared>, name: &str, request: &Recorded) -> Reply {
    let mut state = shared.lock();
    let origin = state.origin.clone();
    match name {
        "GET /.well-known/ssf-configuration" | "GET /.well-known/risc-configuration" => {
            return Reply::json(200, &state.metadata);
        }
        "GET /.well-known/oauth-protected-resource" => {
            return Reply::json(
                200,
                &json!({"resource": origin, "authorization_servers": [format!("{origin}/as")]}),
            );
        }
        "GET /.well-known/oauth-authorization-server/as" => {
            let document = json!({"issuer": format!("{origin}/as"), "token_endpoint": format!("{origin}/token")});
            return Reply::json(200, &document);
        }
        "GET /jwks.json" => {
            let keys = state.published.iter().map(|key| key.jwk());
            let keys: Vec<Value> = keys.chain(state.odd_key.clone()).collect();
            return Reply::json(200, &json!({"keys": keys}));
        }
        "POST /token" => {
            state.tokens_made += 1;
            let token = format!("token-{}", state.tokens_made);
            state.tokens.insert(token.clone());
            return Reply::json(
                200,
                &json!({"access_token": token, "token_type": "Bearer", "expires_in": state.expires_in}),
            );
        }
        _ => {}
    }
    let token = request
        .header("authorization")
        .and_then(|value| value.strip_prefix("Bearer "));
    if !token.is_some_and(|token| token == "static" || state.tokens.contains(token)) {
        return Reply::json(401, &json!({"error": "invalid_token"}));
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let asked = request.target.split_once("stream_id=").map(|(_, id)| id.to_owned());
    match name {
        "GET /streams" => match asked {
            None => Reply::json(200, &json!(state.streams.values().collect::<Vec<_>>())),
            Some(id) => state
                .streams
                .get(&id)
                .map_or(Reply::status(404), |stream| Reply::json(200, stream)),
        },
        "POST /streams" => {
            if state.only_one && !state.streams.is_empty() {
                return Reply::json(409, &json!({"detail": "one is enough"}));
            }
            state.streams_made += 1;
            let id = format!("stream-{}", state.streams_made);
            let mut stream = json!({"stream_id": id, "iss": origin, "aud": state.audience, "status": "enabled"});
            put(&mut stream, &body, &origin);
            state.streams.insert(id, stream.clone());
            Reply::json(201, &stream)
        }
        "PATCH /streams" => {
            let id = body["stream_id"].as_str().unwrap_or_default().to_owned();
            match state.streams.get_mut(&id) {
                None => Reply::status(404),
                Some(stream) => {
                    put(stream, &body, &origin);
                    Reply::json(200, stream)
                }
            }
        }
        "DELETE /streams" => match state.streams.remove(&asked.unwrap_or_default()) {
            Some(_) => Reply::status(204),
            None => Reply::status(404),
        },
        "GET /status" | "POST /status" => {
            let id = asked.unwrap_or_else(|| body["stream_id"].as_str().unwrap_or_default().to_owned());
            match state.streams.get_mut(&id) {
                None => Reply::status(404),
                Some(stream) => {
                    if let Some(status) = body.get("status") {
                        stream["status"] = status.clone();
                    }
                    Reply::json(200, &json!({"stream_id": id, "status": stream["status"]}))
                }
            }
        }
        "POST /add" => {
            state.subjects.push(body["subject"].clone());
            Reply::status(200)
        }
        "POST /remove" => {
            state.subjects.retain(|subject| *subject != body["subject"]);
            Reply::status(204)
        }
        "POST /verify" => {
            let id = body["stream_id"].as_str().unwrap_or_default();
            let Some(stream) = state.streams.get(id).cloned() else {
                return Reply::status(404);
            };
            if state.answers_verification {
                let draft = Draft::of(&origin, &state.audience)
                    .key(state.signing)
                    .claim("sub_id", json!({"format": "opaque", "id": id}))
                    .claim("events", json!({VERIFICATION: {"state": body["state"]}}));
                let draft = match state.verifies_as_of_old {
                    true => draft
                        .without("sub_id")
                        .claim("events", json!({OLD_VERIFICATION: {"state": body["state"]}})),
                    false => draft,
                };
                send(shared, &mut state, stream, &draft);
            }
            Reply::status(204)
        }
        "POST /poll" => poll(shared, state, &body),
        _ => Reply::status(404),
    }
}

fn put(stream: &mut Value, body: &Value, origin: &str) {
    for name in ["delivery", "events_requested", "description"] {
        if let Some(value) = body.get(name) {
            stream[name] = value.clone();
        }
    }
    stream["events_delivered"] = stream["events_requested"].clone();
    if stream["delivery"]["method"] == "urn:ietf:rfc:8936" {
        stream["delivery"]["endpoint_url"] = json!(format!("{origin}/poll"));
    }
}

/// By the stream's own way; a push is repeated until it is taken.
fn send(shared: &Arc<Shared>, state: &mut State, stream: Value, draft: &Draft) {
    let set = draft.sign();
    if stream["delivery"]["method"] == "urn:ietf:rfc:8936" {
        state.outbox.push((draft.jti(), json!(set)));
        shared.changed.notify_all();
        return;
    }
    std::thread::spawn(move || {
        let began = Instant::now();
        while began.elapsed() < DEADLINE && push(&stream, &set) != Some(202) {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
}

fn push(stream: &Value, set: &str) -> Option<u16> {
    let url = stream["delivery"]["endpoint_url"].as_str()?;
    let (host, path) = url.strip_prefix("http://")?.split_once('/')?;
    let authorization = stream["delivery"]["authorization_header"].as_str().unwrap_or_default();
    let mut connection = TcpStream::connect(host).ok()?;
    connection.set_read_timeout(Some(DEADLINE)).ok()?;
    let head = format!(
        "POST /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/secevent+jwt\r\nauthorization: {authorization}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{set}",
        set.len()
    );
    connection.write_all(head.as_bytes()).ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

fn poll(shared: &Shared, mut state: MutexGuard<'_, State>, body: &Value) -> Reply {
    for jti in body["ack"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if take_out(&mut state, jti) {
            state.acked.push(jti.to_owned());
        }
    }
    for (jti, error) in body["setErrs"].as_object().into_iter().flatten() {
        take_out(&mut state, jti);
        state.refused.insert(jti.clone(), error.clone());
    }
    let until = Instant::now() + state.holds;
    while state.outbox.is_empty() && body["returnImmediately"] != json!(true) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        state = shared.changed.wait_timeout(state, left).expect("nobody panics here").0;
    }
    let most = body["maxEvents"].as_u64().unwrap_or(100) as usize;
    let sets = state.outbox.iter().take(most);
    let sets: Vec<_> = sets.map(|(key, set)| format!("{}:{set}", json!(key))).collect();
    let mut others = state.decorates.clone();
    if state.outbox.len() > most && others.get("moreAvailable").is_none() {
        others["moreAvailable"] = json!(true);
    }
    let members = others.as_object().expect("an object").iter();
    let members: String = members
        .map(|(name, value)| format!(",{}:{value}", json!(name)))
        .collect();
    // As text: a `Value` would sort the SETs by their keys.
    let answer = format!("{{\"sets\":{{{}}}{members}}}", sets.join(","));
    Reply::status(200)
        .header("content-type", "application/json")
        .body(answer)
}

/// Whether it was there.
fn take_out(state: &mut State, jti: &str) -> bool {
    let before = state.outbox.len();
    state.outbox.retain(|(key, _)| key != jti);
    state.outbox.len() < before
}
