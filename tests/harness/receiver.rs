//! A receiver of pushes that does as it is told: it plays a script of replies, one per request, and records every request.

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
    steps: VecDeque<Step>,
    /// For every request after the script's end.
    otherwise: Step,
    seen: Vec<Recorded>,
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

/// Starts with an empty script, and so answers 202 to everything.
pub struct ScriptedReceiver {
    server: HttpServer,
    shared: Arc<Shared>,
}

impl ScriptedReceiver {
    pub fn start() -> Self {
        let script = Script {
            steps: VecDeque::new(),
            otherwise: Step::Reply(Reply::status(202)),
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
        self.shared.lock().steps.push_back(Step::Reply(reply));
        self
    }

    /// Adds a reply that is held back until the returned gate is opened.
    pub fn then_held(&self, reply: Reply) -> Gate {
        let gate = Gate::default();
        self.shared.lock().steps.push_back(Step::Held(gate.clone(), reply));
        gate
    }

    /// What is done with every request after the script's end.
    pub fn otherwise(&self, reply: Reply) -> &Self {
        self.shared.lock().otherwise = Step::Reply(reply);
        self
    }

    /// Lets a function decide over every request after the script's end.
    pub fn otherwise_decide(&self, decide: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) -> &Self {
        self.shared.lock().otherwise = Step::Decide(Arc::new(decide));
        self
    }

    /// All requests so far, in the order of their arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.lock().seen.clone()
    }

    /// Waits for the `nth` request (the first is 1) and returns it. Panics when the deadline passes.
    #[track_caller]
    pub fn wait_for(&self, nth: usize) -> Recorded {
        let started = Instant::now();
        let mut script = self.shared.lock();
        while script.seen.len() < nth {
            let left = DEADLINE.saturating_sub(started.elapsed());
            assert!(
                !left.is_zero(),
                "request {nth} did not arrive within {DEADLINE:?}; there were {}",
                script.seen.len()
            );
            script = self
                .shared
                .arrived
                .wait_timeout(script, left)
                .expect("no thread panicked while it held the script")
                .0;
        }
        script.seen[nth - 1].clone()
    }
}

fn play(shared: &Shared, request: Recorded) -> Reply {
    let step = {
        let mut script = shared.lock();
        script.seen.push(request.clone());
        script.steps.pop_front().unwrap_or_else(|| script.otherwise.clone())
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
