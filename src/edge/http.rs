//! Requests to others: bounded in time and bytes, never following a redirect, never cached.
//!
//! Straight to the platform's `fetch`, without the wrappers of the `worker` crate: a push is the most frequent thing that
//! Heliograph does, and each crossing into JavaScript costs.

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use js_sys::{Array, JSON, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{AbortController, Headers, ReadableStreamDefaultReader, RequestInit, RequestRedirect, Response};
use worker::Delay;
use worker::wasm_bindgen_futures::JsFuture;

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
}

/// A request to be sent.
pub struct Outgoing<'a> {
    pub method: &'static str,
    pub url: &'a str,
    pub headers: &'a OutgoingHeaders,
    pub body: Option<&'a str>,
    pub timeout_ms: u32,
    /// Bytes of the answer's body that are read; the rest is dropped.
    pub max_body: usize,
    /// Whether the body of an answer with this status says anything. Any other is not waited for.
    pub needs_body: fn(u16) -> bool,
}

/// A body that says nothing is read as far as it came by then.
const IDLE_BODY: Duration = Duration::from_secs(1);

/// What came back.
pub struct Incoming {
    pub status: u16,
    pub body: Vec<u8>,
    /// The body did not fit, or broke off.
    pub cut: bool,
    /// As JSON: an array of pairs. Seldom looked at.
    headers: String,
}

impl Incoming {
    /// Names in lower case, with their values.
    pub fn headers(&self) -> Vec<(String, String)> {
        serde_json::from_str(&self.headers).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let headers = self.headers().into_iter();
        headers
            .filter(|(found, _)| found == name)
            .map(|(_, value)| value)
            .next()
    }
}

/// No answer.
pub enum NoAnswer {
    Timeout,
    /// The reason is for our log and the operator, not for strangers.
    Unreachable(String),
}

fn failed(error: JsValue) -> NoAnswer {
    let text = error
        .dyn_ref::<js_sys::Error>()
        .map(|error| String::from(error.message()));
    NoAnswer::Unreachable(text.unwrap_or_else(|| format!("{error:?}")))
}

/// Sends a request and reads its answer within `timeout_ms` altogether.
pub async fn send(request: &Outgoing<'_>) -> Result<Incoming, NoAnswer> {
    let init = RequestInit::new();
    init.set_method(request.method);
    init.set_headers(&request.headers.0);
    init.set_redirect(RequestRedirect::Manual);
    if let Some(body) = request.body {
        init.set_body(&JsValue::from_str(body));
    }
    // Not AbortSignal.timeout: its timers outlive the request, and an object may have only so many at a time.
    let controller = AbortController::new().map_err(failed)?;
    init.set_signal(Some(&controller.signal()));
    let mut deadline = pin!(Delay::from(Duration::from_millis(u64::from(request.timeout_ms))));
    let answer = JsFuture::from(fetch(request.url, &init).map_err(failed)?);
    let response: Response = match select(answer, deadline.as_mut()).await {
        Either::Left((answer, _)) => answer.map_err(failed)?.unchecked_into(),
        Either::Right(_) => {
            controller.abort();
            return Err(NoAnswer::Timeout);
        }
    };
    let headers = response.headers();
    let mut incoming = Incoming {
        status: response.status(),
        body: Vec::new(),
        cut: false,
        headers: JSON::stringify(&Array::from(&headers)).map_or_else(|_| String::new(), String::from),
    };
    let is_empty = headers
        .get("content-length")
        .ok()
        .flatten()
        .is_some_and(|length| length == "0");
    let Some(body) = response.body().filter(|_| !is_empty) else {
        return Ok(incoming);
    };
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let needed = (request.needs_body)(incoming.status);
    let mut patience = pin!(async {
        let idle = async {
            if needed {
                pending().await
            }
            Delay::from(IDLE_BODY).await;
        };
        select(deadline, pin!(idle)).await;
    });
    while !incoming.cut {
        match select(JsFuture::from(reader.read()), patience.as_mut()).await {
            Either::Left((Ok(piece), _)) => match bytes(&piece) {
                None => break,
                Some(piece) => {
                    let room = request.max_body - incoming.body.len();
                    let taken = piece.length().min(u32::try_from(room).unwrap_or(u32::MAX));
                    incoming.cut = taken < piece.length();
                    incoming.body.extend_from_slice(&piece.subarray(0, taken).to_vec());
                }
            },
            // The status has arrived; what is missing of the body does not change what it means.
            Either::Left((Err(_), _)) | Either::Right(_) => incoming.cut = true,
        }
    }
    if incoming.cut {
        controller.abort();
    }
    Ok(incoming)
}

/// What a read of a stream gave; `None` at its end.
fn bytes(piece: &JsValue) -> Option<Uint8Array> {
    Reflect::get(piece, &"value".into()).ok()?.dyn_into().ok()
}
