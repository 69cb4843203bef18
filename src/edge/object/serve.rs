//! The object's side of a call, and what all objects do alike.

use std::cell::Cell;
use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;

use js_sys::{Function, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use worker::{Request, Response, ScheduledTime, State};

use crate::delivery::chunk::Jti;
use crate::delivery::sql::SqlError;
use crate::edge::clock::now_ms;
use crate::edge::command::{Addressed, Answer, Refusal, Usage};
use crate::edge::error::ApiError;
use crate::edge::log::{self, Level};
use crate::edge::random;
use crate::edge::sql::EdgeSql;
use crate::protocol::json::json;
use crate::protocol::problem::Invalid;
use crate::protocol::record::{self, Record};

/// Reads a command, has it carried out, writes the answer.
pub async fn serve<C, R, F>(mut request: Request, carry_out: impl FnOnce(Addressed<C>) -> F) -> worker::Result<Response>
where
    C: Record,
    R: Record,
    F: Future<Output = Answer<R>>,
{
    let body = request.text().await?;
    let answer: Answer<R> = match record::read(&body) {
        Ok(command) => carry_out(command).await,
        Err(error) => Err(fault("command", error)),
    };
    // Without a type: nobody asks for it, and each header is a call more.
    Ok(Response::builder().fixed(record::text(&answer).into_bytes()))
}

/// Logs a fault of ours and says no more than that.
pub fn fault(what: &str, error: impl Display) -> Refusal {
    log_fault(what, &error);
    Refusal::Internal
}

/// Apart from `fault`, which is compiled for each kind of error.
fn log_fault(what: &str, error: &dyn Display) {
    log::line(
        Level::Error,
        "object_fault",
        json!({"what": what, "error": error.to_string()}),
    );
}

impl From<SqlError> for Refusal {
    fn from(error: SqlError) -> Self {
        fault("storage", error)
    }
}

/// A finding about a document that only the object could judge.
impl From<Invalid> for Refusal {
    fn from(found: Invalid) -> Self {
        Self::Invalid {
            detail: found.to_string(),
            pointer: found.pointer,
        }
    }
}

/// The `jti` of an event that nobody published.
pub fn new_jti() -> Answer<Jti> {
    random::bytes().map_err(|_| Refusal::Internal)
}

/// Work that somebody else has made ready.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Work of its own size, apart from the work that waits for it. What is seldom done must not be part of what is done often: one
/// large function compresses badly, and is slow to begin with.
pub fn boxed<'a, T>(work: impl Future<Output = T> + 'a) -> Boxed<'a, T> {
    Box::pin(work)
}

/// Whole seconds to wait, as answers say it.
pub fn seconds(wait_ms: u64) -> u32 {
    u32::try_from(wait_ms.div_ceil(1000)).unwrap_or(u32::MAX)
}

/// What an object makes of an error from a call it made itself.
pub fn call_failed(error: &ApiError) -> Refusal {
    fault("call", format!("{error:?}"))
}

/// An alarm is never set for later than this: a year.
const FARTHEST_MS: u64 = 365 * 24 * 60 * 60 * 1000;

/// The one alarm of an object, and where it stands: setting it costs a row, so it is moved only when it must be.
#[derive(Default)]
pub struct Alarm {
    at: Cell<Option<u64>>,
    went_off: Cell<u64>,
    set: Cell<u64>,
}

impl Alarm {
    /// Makes sure that the object wakes at `due` (Unix milliseconds) or before.
    pub async fn arm(&self, state: &State, due: u64) {
        if self.at.get().is_none() {
            self.look(state).await;
        }
        if self.at.get().is_none_or(|at| at > due) {
            self.set(state, due).await;
        }
    }

    /// Where it stands: a new instance does not know yet where an earlier one has set it.
    pub async fn look(&self, state: &State) {
        let stands = state.storage().get_alarm().await.ok().flatten();
        self.at.set(stands.and_then(|at| u64::try_from(at).ok()));
    }

    /// Sets the alarm, wherever it stands.
    pub async fn set(&self, state: &State, due: u64) {
        // An alarm for this very instant, set while one runs, has been seen to get lost; and one for a time that is centuries
        // away is refused. One that is early finds nothing to do and is set anew.
        let now = now_ms();
        let due = due.clamp(now + 1, now + FARTHEST_MS);
        self.at.set(Some(due));
        self.set.set(self.set.get() + 1);
        let offset = i64::try_from(due.saturating_sub(now_ms())).unwrap_or(i64::MAX);
        if let Err(error) = state.storage().set_alarm(ScheduledTime::from(offset)).await {
            self.at.set(None);
            log::line(Level::Error, "alarm_not_set", json!({"error": error.to_string()}));
        }
    }

    /// The alarm went off: it stands nowhere now.
    pub fn went_off(&self) {
        self.at.set(None);
        self.went_off.set(self.went_off.get() + 1);
    }

    /// Where it stands, as far as this instance knows.
    pub fn at(&self) -> Option<u64> {
        self.at.get()
    }
}

/// Counts what an object did since it woke.
#[derive(Default)]
pub struct Meter {
    requests: Cell<u64>,
    subrequests: Cell<u64>,
}

impl Meter {
    /// A request came in.
    pub fn request(&self) {
        self.requests.set(self.requests.get() + 1);
    }

    /// A request went out.
    pub fn subrequest(&self) {
        self.subrequests.set(self.subrequests.get() + 1);
    }

    /// All that is charged for.
    pub fn read(&self, alarm: &Alarm, sql: &EdgeSql) -> Usage {
        let (rows_read, rows_written) = sql.rows();
        Usage {
            requests: self.requests.get(),
            alarms: alarm.went_off.get(),
            alarms_set: alarm.set.get(),
            subrequests: self.subrequests.get(),
            rows_read,
            rows_written,
        }
    }
}

/// Something that is done at most once a minute, such as writing a copy that callers can ask for as often as they like.
#[derive(Default)]
pub struct Seldom {
    last: Cell<Option<u64>>,
}

impl Seldom {
    const EVERY_MS: u64 = 60_000;

    /// It may be done at once.
    pub fn forget(&self) {
        self.last.set(None);
    }

    /// Whether it may be done now; then it counts as done.
    pub fn due(&self, now: u64) -> bool {
        let due = self
            .last
            .get()
            .is_none_or(|last| now.saturating_sub(last) >= Self::EVERY_MS);
        if due {
            self.last.set(Some(now));
        }
        due
    }
}

/// Restarts the object from what is stored; what was written in this turn goes with it. Whoever is being served sees an error.
///
/// The call ends the execution it is made in, so it is made from a microtask: wasm frames that never return would keep their
/// part of the stack that all objects of the isolate share.
pub fn abort(state: &State, why: &str) {
    log::line(Level::Error, "object_aborted", json!({"why": why}));
    let raw: &JsValue = state.as_raw().as_ref();
    let queued = Reflect::get(raw, &"abort".into())
        .and_then(|abort| abort.dyn_into::<Function>())
        .and_then(|abort| {
            abort
                .dyn_ref::<Function>()
                .map(|abort| abort.bind1(raw, &why.into()))
                .ok_or(JsValue::NULL)
        })
        .and_then(|bound| {
            let queue: Function = Reflect::get(&js_sys::global(), &"queueMicrotask".into())?.dyn_into()?;
            queue.call1(&JsValue::UNDEFINED, &bound)
        });
    if queued.is_err() {
        log::line(Level::Error, "abort_failed", json!({}));
    }
}
