//! Requests to others: bounded in time and bytes, never following a redirect, never cached.
//!
//! Straight to the platform's `fetch`, without the wrappers of the `worker` crate: a push is the most frequent thing that
//! Heliograph does, and each crossing into JavaScript costs. For the same reason a request has no timer of its own: whoever
//! sends many watches over all of them with one.

use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use js_sys::{Array, JSON, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{AbortController, Headers, ReadableStreamDefaultReader, RequestInit, RequestRedirect, Response};
use worker::Delay;
use worker::wasm_bindgen_futures::JsFuture;

use crate::protocol::record;

use super::clock::now_ms;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch)]
    fn fetch(url: &str, init: &RequestInit) -> Result<Promise, JsValue>;
}

/// Headers of requests, made once for many of them.
pub struct OutgoingHeaders(Headers);

impl OutgoingHeaders {
    pub fn new(headers: &[(&'static str, String)]) -> Result<Self, NoAnswer> {
        let made = Headers::new().map_err(failed)?;
        for (name, value) in headers {
            made.set(name, value).map_err(failed)?;
        }
        Ok(Self(made))
    }

    /// The same with some more.
    pub fn with(&self, headers: &[(String, String)]) -> Result<Self, NoAnswer> {
        let made = Headers::new_with_headers(&self.0).map_err(failed)?;
        for (name, value) in headers {
            made.set(name, value).map_err(failed)?;
        }
        Ok(Self(made))
    }
}

/// A request to be sent.
pub struct Outgoing<'a> {
    pub method: &'static str,
    pub url: &'a str,
    pub headers: &'a OutgoingHeaders,
    pub body: Option<&'a str>,
    /// Bytes of the answer's body that are read; the rest is dropped.
    pub max_body: usize,
    /// Whether the body of an answer with this status says anything. Any other is not waited for.
    pub needs_body: fn(u16) -> bool,
}

/// A body that says nothing is read as far as it came by then.
const IDLE_BODY_MS: u64 = 1000;

/// What came back.
pub struct Incoming {
    pub status: u16,
    pub body: Vec<u8>,
    /// The body did not fit, or broke off.
    pub cut: bool,
    headers: Headers,
}

impl Incoming {
    /// Names in lower case, with their values. Taken over only when somebody looks.
    pub fn headers(&self) -> Vec<(String, String)> {
        let text = JSON::stringify(&Array::from(&self.headers)).map(String::from);
        text.map_or_else(|_| Vec::new(), |text| record::read(&text).unwrap_or_default())
    }

    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).ok().flatten()
    }
}

/// No answer.
pub enum NoAnswer {
    Timeout,
    /// The reason is for our log and the operator, not for strangers.
    Unreachable(String),
}

fn failed(error: JsValue) -> NoAnswer {
    NoAnswer::Unreachable(message(&error))
}

/// What an exception of the platform says.
pub fn message(error: &JsValue) -> String {
    let text = error
        .dyn_ref::<js_sys::Error>()
        .map(|error| String::from(error.message()));
    text.unwrap_or_else(|| format!("{error:?}"))
}

/// A request under way. Somebody has to watch over it.
pub struct Ticket {
    controller: AbortController,
    sent_at: u64,
    /// Since when a body is read that says nothing.
    idle_since: Cell<Option<u64>>,
    /// It took too long.
    late: Cell<bool>,
}

impl Ticket {
    pub fn new() -> Result<Self, NoAnswer> {
        Ok(Self {
            controller: AbortController::new().map_err(failed)?,
            sent_at: now_ms(),
            idle_since: Cell::default(),
            late: Cell::default(),
        })
    }

    /// Ends the request if it has taken more than `timeout_ms`, or its answer more than it is worth.
    pub fn watch(&self, timeout_ms: u32, now: u64) {
        let late = now.saturating_sub(self.sent_at) >= u64::from(timeout_ms);
        let idle = self
            .idle_since
            .get()
            .is_some_and(|since| now.saturating_sub(since) >= IDLE_BODY_MS);
        if late || idle {
            self.late.set(true);
            self.controller.abort();
        }
    }
}

/// Sends a request and reads its answer within `timeout_ms` altogether.
pub async fn send_within(request: &Outgoing<'_>, timeout_ms: u32) -> Result<Incoming, NoAnswer> {
    let ticket = Ticket::new()?;
    let answer = pin!(send(request, &ticket));
    let time = Delay::from(Duration::from_millis(u64::from(timeout_ms)));
    match select(answer, time).await {
        Either::Left((answer, _)) => answer,
        Either::Right((_, answer)) => {
            ticket.watch(0, now_ms());
            answer.await
        }
    }
}

/// Sends a request and reads its answer, for as long as who watches over the ticket lets it.
pub async fn send(request: &Outgoing<'_>, ticket: &Ticket) -> Result<Incoming, NoAnswer> {
    let init = RequestInit::new();
    init.set_method(request.method);
    init.set_headers(&request.headers.0);
    init.set_redirect(RequestRedirect::Manual);
    if let Some(body) = request.body {
        init.set_body(&JsValue::from_str(body));
    }
    init.set_signal(Some(&ticket.controller.signal()));
    let answer = JsFuture::from(fetch(request.url, &init).map_err(failed)?).await;
    let response: Response = match answer {
        Ok(response) => response.unchecked_into(),
        Err(_) if ticket.late.get() => return Err(NoAnswer::Timeout),
        Err(error) => return Err(failed(error)),
    };
    let mut incoming = Incoming {
        status: response.status(),
        body: Vec::new(),
        cut: false,
        headers: response.headers(),
    };
    let is_empty = incoming.header("content-length").is_some_and(|length| length == "0");
    let Some(body) = response.body().filter(|_| !is_empty) else {
        return Ok(incoming);
    };
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    if !(request.needs_body)(incoming.status) {
        ticket.idle_since.set(Some(now_ms()));
    }
    while !incoming.cut {
        match JsFuture::from(reader.read()).await {
            Ok(piece) => match bytes(&piece) {
                None => break,
                Some(piece) => {
                    let room = request.max_body - incoming.body.len();
                    let taken = piece.length().min(u32::try_from(room).unwrap_or(u32::MAX));
                    incoming.cut = taken < piece.length();
                    incoming.body.extend_from_slice(&piece.subarray(0, taken).to_vec());
                }
            },
            // The status has arrived; what is missing of the body does not change what it means.
            Err(_) => incoming.cut = true,
        }
    }
    if incoming.cut {
        ticket.controller.abort();
    }
    Ok(incoming)
}

/// What a read of a stream gave; `None` at its end.
pub fn bytes(piece: &JsValue) -> Option<Uint8Array> {
    Reflect::get(piece, &"value".into()).ok()?.dyn_into().ok()
}
