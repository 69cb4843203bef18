//! A receiver of pushes that does as it is told: it plays a script of replies, one per request, and records every request.
//! `OPTIONS`, by which a transmitter asks for consent, has a script of its own.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use super::http_server::{HttpServer, Recorded, Reply};
use super::wait::DEADLINE;

type Decide = dyn Fn(&Recorded) -> Reply + Send + Sync;

/// What happens to one request.
#[derive(Clone)]
enum Step {
    Reply(Reply),
    /// The reply is given once the gate opens.
    Held(Gate, Reply),
    Decide(Arc<Decide>),
}

struct Script {
    pushes: Steps,
    asks: Steps,
    seen: Vec<Recorded>,
}

/// What happens to requests of one kind.
struct Steps {
    steps: VecDeque<Step>,
    /// For every request after the script's end.
    otherwise: Step,
}

impl Steps {
    fn all(reply: Reply) -> Self {
        Self {
            steps: VecDeque::new(),
            otherwise: Step::Reply(reply),
        }
    }

    fn next(&mut self) -> Step {
        self.steps.pop_front().unwrap_or_else(|| self.otherwise.clone())
    }
}

struct Shared {
    script: Mutex<Script>,
    arrived: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Script> {
        self.script.lock().expect("no thread panicked while it held the script")
    }
}

/// Starts with empty scripts, and so answers 202 to every push and 405 to `OPTIONS`, as resources do that take no part in the
/// handshake.
pub struct ScriptedReceiver {
    server: HttpServer,
    shared: Arc<Shared>,
}

impl ScriptedReceiver {
    pub fn start() -> Self {
        let script = Script {
            pushes: Steps::all(Reply::status(202)),
            asks: Steps::all(Reply::status(405)),
            seen: Vec::new(),
        };
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            arrived: Condvar::new(),
        });
        let playing = Arc::clone(&shared);
        let server = HttpServer::start(move |request| play(&playing, request));
        Self { server, shared }
    }

    /// The absolute URL of a path here, for `endpoint_url` and `push_endpoints`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.origin())
    }

    /// Adds a reply to the script.
    pub fn then(&self, reply: Reply) -> &Self {
        self.shared.lock().pushes.steps.push_back(Step::Reply(reply));
        self
    }

    /// Adds a reply that is held back until the returned gate is opened.
    pub fn then_held(&self, reply: Reply) -> Gate {
        let gate = Gate::default();
        self.shared
            .lock()
            .pushes
            .steps
            .push_back(Step::Held(gate.clone(), reply));
        gate
    }

    /// What is done with every request after the script's end.
    pub fn otherwise(&self, reply: Reply) -> &Self {
        self.shared.lock().pushes.otherwise = Step::Reply(reply);
        self
    }

    /// Lets a function decide over every request after the script's end.
    pub fn otherwise_decide(&self, decide: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) -> &Self {
        self.shared.lock().pushes.otherwise = Step::Decide(Arc::new(decide));
        self
    }

    /// Adds an answer to `OPTIONS`.
    pub fn then_consent(&self, reply: Reply) -> &Self {
        self.shared.lock().asks.steps.push_back(Step::Reply(reply));
        self
    }

    /// Adds an answer to `OPTIONS` that is held back until the returned gate is opened.
    pub fn then_consent_held(&self, reply: Reply) -> Gate {
        let gate = Gate::default();
        self.shared.lock().asks.steps.push_back(Step::Held(gate.clone(), reply));
        gate
    }

    /// How every `OPTIONS` after the script's end is answered.
    pub fn otherwise_consent(&self, reply: Reply) -> &Self {
        self.shared.lock().asks.otherwise = Step::Reply(reply);
        self
    }

    /// All requests so far, in the order of their arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.lock().seen.clone()
    }

    /// All `OPTIONS` requests so far.
    pub fn asks(&self) -> Vec<Recorded> {
        self.shared
            .lock()
            .seen
            .iter()
            .filter(|seen| is_ask(seen))
            .cloned()
            .collect()
    }

    /// All other requests so far.
    pub fn pushes(&self) -> Vec<Recorded> {
        let script = self.shared.lock();
        script.seen.iter().filter(|seen| !is_ask(seen)).cloned().collect()
    }

    /// Waits for the `nth` request (the first is 1) and returns it. Panics when the deadline passes.
    #[track_caller]
    pub fn wait_for(&self, nth: usize) -> Recorded {
        self.wait_for_nth(nth, "request", |_| true)
    }

    /// As [`ScriptedReceiver::wait_for`], of `OPTIONS` requests alone.
    #[track_caller]
    pub fn wait_for_ask(&self, nth: usize) -> Recorded {
        self.wait_for_nth(nth, "OPTIONS", is_ask)
    }

    /// As [`ScriptedReceiver::wait_for`], of all other requests.
    #[track_caller]
    pub fn wait_for_push(&self, nth: usize) -> Recorded {
        self.wait_for_nth(nth, "push", |seen| !is_ask(seen))
    }

    #[track_caller]
    fn wait_for_nth(&self, nth: usize, what: &str, counts: impl Fn(&Recorded) -> bool) -> Recorded {
        let started = Instant::now();
        let mut script = self.shared.lock();
        loop {
            let mut counted = script.seen.iter().filter(|seen| counts(seen));
            if let Some(wanted) = counted.nth(nth - 1) {
                return wanted.clone();
            }
            let left = DEADLINE.saturating_sub(started.elapsed());
            assert!(
                !left.is_zero(),
                "{what} {nth} did not arrive within {DEADLINE:?}; there were {}",
                script.seen.iter().filter(|seen| counts(seen)).count()
            );
            script = self
                .shared
                .arrived
                .wait_timeout(script, left)
                .expect("no thread panicked while it held the script")
                .0;
        }
    }
}

/// Whether it is a question for consent, and no push.
fn is_ask(request: &Recorded) -> bool {
    request.method == "OPTIONS"
}

fn play(shared: &Shared, request: Recorded) -> Reply {
    let step = {
        let mut script = shared.lock();
        script.seen.push(request.clone());
        match is_ask(&request) {
            true => script.asks.next(),
            false => script.pushes.next(),
        }
    };
    shared.arrived.notify_all();
    match step {
        Step::Reply(reply) => reply,
        Step::Held(gate, reply) => {
            gate.wait();
            reply
        }
        Step::Decide(decide) => decide(&request),
    }
}

/// Holds a reply back until it is opened. Dropping the receiver does not open it.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().expect("nobody panics here") = true;
        self.0.1.notify_all();
    }

    /// Waits until it is open, at most for the deadline: a forgotten gate must not hold a thread for ever.
    fn wait(&self) {
        let open = self.0.0.lock().expect("nobody panics here");
        let _opened = self
            .0
            .1
            .wait_timeout_while(open, DEADLINE, |open| !*open)
            .expect("nobody panics here");
    }
}
