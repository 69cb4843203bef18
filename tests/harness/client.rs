//! An HTTP client for tests. The status that is expected is an argument of every call; any other panics with the request,
//! the answer and the end of workerd's log. So does an answer of an instance that its description does not know.

use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;

use base64ct::{Base64, Encoding};
use serde_json::Value;
use ureq::http::Request;

use super::instance::log_tail;
use super::openapi;
use super::wait::DEADLINE;

/// Long enough for a held poll, far from endless.
const TIMEOUT: std::time::Duration = DEADLINE.saturating_mul(2);

/// No answer of ours comes near this.
const MAX_BODY: u64 = 64 * 1024 * 1024;

/// Whom requests go to and on whose behalf.
#[derive(Clone, Debug)]
pub struct Client {
    origin: String,
    headers: Vec<(String, String)>,
    log: Option<PathBuf>,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header, whatever the spelling of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when there is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {self}"))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}", self.status)?;
        for (name, value) in &self.headers {
            writeln!(out, "{name}: {value}")?;
        }
        write!(out, "\n{}", self.text())
    }
}

impl Client {
    pub(super) fn new(origin: String, log: Option<PathBuf>) -> Self {
        Self {
            origin,
            headers: Vec::new(),
            log,
        }
    }

    /// A client of any other server.
    pub fn to(origin: &str) -> Self {
        Self::new(origin.to_owned(), None)
    }

    /// Sends this header with every request, in place of one of the same name.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends a bearer token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.with_header("authorization", &format!("Bearer {token}"))
    }

    /// Sends HTTP Basic credentials.
    #[must_use]
    pub fn basic(self, user: &str, password: &str) -> Self {
        let credentials = Base64::encode_string(format!("{user}:{password}").as_bytes());
        self.with_header("authorization", &format!("Basic {credentials}"))
    }

    #[track_caller]
    pub fn get(&self, path: &str, expected: u16) -> Value {
        self.send("GET", path, &[], b"", expected).json()
    }

    #[track_caller]
    pub fn delete(&self, path: &str, expected: u16) -> Value {
        self.send("DELETE", path, &[], b"", expected).json()
    }

    #[track_caller]
    pub fn post_json(&self, path: &str, body: &Value, expected: u16) -> Value {
        self.send_json("POST", path, body, expected).json()
    }

    #[track_caller]
    pub fn put_json(&self, path: &str, body: &Value, expected: u16) -> Value {
        self.send_json("PUT", path, body, expected).json()
    }

    #[track_caller]
    pub fn patch_json(&self, path: &str, body: &Value, expected: u16) -> Value {
        self.send_json("PATCH", path, body, expected).json()
    }

    /// Posts a form, as token endpoints want it.
    #[track_caller]
    pub fn post_form(&self, path: &str, fields: &[(&str, &str)], expected: u16) -> Value {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.send(
            "POST",
            path,
            &[("content-type", "application/x-www-form-urlencoded")],
            body.as_bytes(),
            expected,
        )
        .json()
    }

    /// Pushes a SET as RFC 8935 does.
    #[track_caller]
    pub fn push_set(&self, path: &str, set: &str, expected: u16) -> Answer {
        let headers = [
            ("content-type", "application/secevent+jwt"),
            ("accept", "application/json"),
        ];
        self.send("POST", path, &headers, set.as_bytes(), expected)
    }

    /// Sends a JSON body and returns the whole answer.
    #[track_caller]
    pub fn send_json(&self, method: &str, path: &str, body: &Value, expected: u16) -> Answer {
        self.send(
            method,
            path,
            &[("content-type", "application/json")],
            body.to_string().as_bytes(),
            expected,
        )
    }

    /// Sends anything and returns the whole answer.
    #[track_caller]
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8], expected: u16) -> Answer {
        let described = || {
            format!(
                "{method} {path} {headers:?}\n{}",
                String::from_utf8_lossy(&body[..body.len().min(2048)])
            )
        };
        let answer = self
            .try_send(method, path, headers, body)
            .unwrap_or_else(|error| panic!("no answer ({error}) to {}\n{}", described(), self.log_tail()));
        assert!(
            answer.status == expected,
            "expected {expected}, got {answer}\n\nto {}\n{}",
            described(),
            self.log_tail()
        );
        answer
    }

    /// As `get`, for a server that may not be there.
    #[track_caller]
    pub fn try_get(&self, path: &str) -> Result<Answer, ureq::Error> {
        self.try_send("GET", path, &[], b"")
    }

    /// As `send`, for a server that may not be there.
    #[track_caller]
    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}{path}", self.origin)
        };
        let mut request = Request::builder().method(method).uri(url);
        let own = headers.iter().map(|&(name, value)| (name, value));
        let common = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in common
            .filter(|(name, _)| !headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name)))
            .chain(own)
        {
            request = request.header(name, value);
        }
        let mut response = if body.is_empty() && method != "POST" {
            agent().run(request.body(())?)?
        } else {
            agent().run(request.body(body)?)?
        };
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let body = response.body_mut().with_config().limit(MAX_BODY).read_to_vec()?;
        let answer = Answer {
            status: response.status().as_u16(),
            headers,
            body,
        };
        // Only instances have a log; what other servers answer is theirs to say.
        if self.log.is_some() {
            openapi::check(method, target(path), &answer);
        }
        Ok(answer)
    }

    fn log_tail(&self) -> String {
        self.log
            .as_ref()
            .map(|log| format!("--- workerd ---\n{}", log_tail(log)))
            .unwrap_or_default()
    }
}

/// The path and query of a URL, or of what is one already.
fn target(url: &str) -> &str {
    match url.strip_prefix("http").and_then(|rest| rest.split_once("://")) {
        None => url,
        Some((_, rest)) => rest.find('/').map_or("/", |start| &rest[start..]),
    }
}

/// Follows nothing, retries nothing, keeps no connection: a test sees exactly what one request gets, also after a restart.
fn agent() -> &'static ureq::Agent {
    static AGENT: OnceLock<ureq::Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(0)
            .allow_non_standard_methods(true)
            .proxy(None)
            .timeout_global(Some(TIMEOUT))
            .build()
            .into()
    })
}
