//! Requests to others: bounded in time and bytes, never following a redirect, never cached.

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use worker::wasm_bindgen::JsValue;
use worker::{AbortController, Delay, Fetch, Headers, Method, Request, RequestInit, RequestRedirect};

/// A request to be sent.
pub struct Outgoing<'a> {
    pub method: Method,
    pub url: &'a str,
    pub headers: &'a [(&'static str, String)],
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
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The body did not fit, or broke off.
    pub cut: bool,
}

impl Incoming {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }
}

/// No answer.
pub enum NoAnswer {
    Timeout,
    /// The reason is for our log and the operator, not for strangers.
    Unreachable(String),
}

/// Sends a request and reads its answer within `timeout_ms` altogether.
pub async fn send(request: &Outgoing<'_>) -> Result<Incoming, NoAnswer> {
    let failed = |error: worker::Error| NoAnswer::Unreachable(error.to_string());
    let headers = Headers::new();
    for (name, value) in request.headers {
        headers.set(name, value).map_err(failed)?;
    }
    let mut init = RequestInit::new();
    init.with_method(request.method.clone())
        .with_headers(headers)
        .with_redirect(RequestRedirect::Manual)
        .with_body(request.body.map(JsValue::from_str));
    let outgoing = Request::new_with_init(request.url, &init).map_err(failed)?;
    // Not AbortSignal.timeout: its timers outlive the request, and an object may have only so many at a time.
    let controller = AbortController::default();
    let signal = controller.signal();
    let mut deadline = pin!(Delay::from(Duration::from_millis(u64::from(request.timeout_ms))));
    let fetch = Fetch::Request(outgoing);
    let answer = pin!(fetch.send_with_signal(&signal));
    let mut response = match select(answer, deadline.as_mut()).await {
        Either::Left((answer, _)) => answer.map_err(failed)?,
        Either::Right(_) => {
            controller.abort();
            return Err(NoAnswer::Timeout);
        }
    };
    let status = response.status_code();
    let headers = response.headers().entries().collect();
    let mut body = Vec::new();
    let mut cut = false;
    if let Ok(mut stream) = response.stream() {
        let needed = (request.needs_body)(status);
        let mut patience = pin!(async {
            let idle = async {
                if needed {
                    pending().await
                }
                Delay::from(IDLE_BODY).await;
            };
            select(deadline, pin!(idle)).await;
        });
        loop {
            match select(stream.next(), patience.as_mut()).await {
                Either::Left((None, _)) => break,
                Either::Left((Some(Ok(chunk)), _)) if body.len() + chunk.len() <= request.max_body => {
                    body.extend_from_slice(&chunk);
                }
                Either::Left((Some(Ok(chunk)), _)) => {
                    body.extend(chunk.into_iter().take(request.max_body - body.len()));
                    cut = true;
                }
                // The status has arrived; what is missing of the body does not change what it means.
                Either::Left((Some(Err(_)), _)) | Either::Right(_) => cut = true,
            }
            if cut {
                controller.abort();
                break;
            }
        }
    }
    Ok(Incoming {
        status,
        headers,
        body,
        cut,
    })
}
