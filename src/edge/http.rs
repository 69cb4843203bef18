//! Requests to others: bounded in time and bytes, never following a redirect, never cached.

use futures_util::StreamExt;
use worker::wasm_bindgen::JsValue;
use worker::{AbortSignal, Fetch, Headers, Method, Request, RequestInit, RequestRedirect};

use super::clock::now_ms;

/// A request to be sent.
pub struct Outgoing<'a> {
    pub method: Method,
    pub url: &'a str,
    pub headers: &'a [(&'static str, String)],
    pub body: Option<&'a str>,
    pub timeout_ms: u32,
    /// Bytes of the answer's body that are read; the rest is dropped.
    pub max_body: usize,
}

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
    let started = now_ms();
    let failed = |error: worker::Error| {
        // The platform reports an aborted fetch in several ways; time tells them apart from a refusal.
        if now_ms().saturating_sub(started) >= u64::from(request.timeout_ms) {
            NoAnswer::Timeout
        } else {
            NoAnswer::Unreachable(error.to_string())
        }
    };
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
    let signal = AbortSignal::from(web_sys::AbortSignal::timeout_with_u32(request.timeout_ms));
    let mut response = Fetch::Request(outgoing)
        .send_with_signal(&signal)
        .await
        .map_err(failed)?;
    let status = response.status_code();
    let headers = response.headers().entries().collect();
    let mut body = Vec::new();
    let mut cut = false;
    if let Ok(mut stream) = response.stream() {
        while let Some(chunk) = stream.next().await {
            match chunk {
                Ok(chunk) if body.len() + chunk.len() <= request.max_body => body.extend_from_slice(&chunk),
                Ok(chunk) => {
                    body.extend(chunk.into_iter().take(request.max_body - body.len()));
                    cut = true;
                    break;
                }
                // The status has arrived; what is missing of the body does not change what it means.
                Err(_) => {
                    cut = true;
                    break;
                }
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
