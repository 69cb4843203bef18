//! The object's side of a call, and what all objects do alike.

use std::cell::Cell;
use std::future::Future;

use js_sys::{Function, Reflect};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use wasm_bindgen::JsCast;
use worker::{Request, Response, ScheduledTime, State};

use crate::delivery::sql::SqlError;
use crate::edge::clock::now_ms;
use crate::edge::command::{Answer, Refusal};
use crate::edge::error::ApiError;
use crate::edge::log::{self, Level};

/// Reads a command, has it carried out, writes the answer.
pub async fn serve<C, R, F>(mut request: Request, carry_out: impl FnOnce(C) -> F) -> worker::Result<Response>
where
    C: DeserializeOwned,
    R: Serialize,
    F: Future<Output = Answer<R>>,
{
    let body = request.text().await?;
    let answer: Answer<R> = match serde_json::from_str(&body) {
        Ok(command) => carry_out(command).await,
        Err(error) => Err(fault("command", error)),
    };
    let text = serde_json::to_string(&answer).map_err(|error| worker::Error::RustError(error.to_string()))?;
    Response::ok(text)
}

/// Logs a fault of ours and says no more than that.
pub fn fault(what: &str, error: impl ToString) -> Refusal {
    log::line(
        Level::Error,
        "object_fault",
        json!({"what": what, "error": error.to_string()}),
    );
    Refusal::Internal
}

impl From<SqlError> for Refusal {
    fn from(error: SqlError) -> Self {
        fault("storage", error)
    }
}

/// What an object makes of an error from a call it made itself.
pub fn call_failed(error: &ApiError) -> Refusal {
    fault("call", format!("{error:?}"))
}

/// The one alarm of an object, and where it stands: setting it costs a row, so it is moved only when it must be.
#[derive(Default)]
pub struct Alarm {
    at: Cell<Option<u64>>,
}

impl Alarm {
    /// Makes sure that the object wakes at `due` (Unix milliseconds) or before.
    pub async fn arm(&self, state: &State, due: u64) {
        // An alarm for this very instant, set while one runs, has been seen to get lost.
        let due = due.max(now_ms() + 1);
        if self.at.get().is_some_and(|at| at <= due) {
            return;
        }
        self.at.set(Some(due));
        let offset = i64::try_from(due.saturating_sub(now_ms())).unwrap_or(i64::MAX);
        if let Err(error) = state.storage().set_alarm(ScheduledTime::from(offset)).await {
            self.at.set(None);
            log::line(Level::Error, "alarm_not_set", json!({"error": error.to_string()}));
        }
    }

    /// The alarm went off: it stands nowhere now.
    pub fn went_off(&self) {
        self.at.set(None);
    }

    /// Where it stands, as far as this instance knows.
    pub fn at(&self) -> Option<u64> {
        self.at.get()
    }
}

/// Restarts the object from what is stored. Whoever is being served by it sees an error.
pub fn abort(state: &State, why: &str) {
    log::line(Level::Error, "object_aborted", json!({"why": why}));
    let raw: &wasm_bindgen::JsValue = state.as_raw().as_ref();
    let called = Reflect::get(raw, &"abort".into())
        .and_then(|abort| abort.dyn_into::<Function>())
        .and_then(|abort| abort.call1(raw, &why.into()));
    if called.is_err() {
        log::line(Level::Error, "abort_failed", json!({}));
    }
}
