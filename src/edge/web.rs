//! Requests and answers as our handlers see them: whole, and in types of our own. Those of the `http` crate and a router on top
//! of them can do a great deal more, and were a tenth of the Worker.

use js_sys::{Array, JSON};
use serde_json::Value;

use crate::protocol::record;

/// A status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusCode(pub u16);

impl StatusCode {
    pub const OK: Self = Self(200);
    pub const CREATED: Self = Self(201);
    pub const ACCEPTED: Self = Self(202);
    pub const NO_CONTENT: Self = Self(204);
    pub const BAD_REQUEST: Self = Self(400);
    pub const FORBIDDEN: Self = Self(403);
    pub const NOT_FOUND: Self = Self(404);
    pub const METHOD_NOT_ALLOWED: Self = Self(405);
    pub const CONFLICT: Self = Self(409);
    pub const PAYLOAD_TOO_LARGE: Self = Self(413);
    pub const UNSUPPORTED_MEDIA_TYPE: Self = Self(415);
    pub const MISDIRECTED_REQUEST: Self = Self(421);
    pub const TOO_MANY_REQUESTS: Self = Self(429);
    pub const INTERNAL_SERVER_ERROR: Self = Self(500);
    pub const BAD_GATEWAY: Self = Self(502);
    pub const SERVICE_UNAVAILABLE: Self = Self(503);
}

/// Names of headers, in lower case as everywhere here.
pub mod header {
    pub const ACCESS_CONTROL_ALLOW_ORIGIN: &str = "access-control-allow-origin";
    pub const ALLOW: &str = "allow";
    pub const AUTHORIZATION: &str = "authorization";
    pub const CACHE_CONTROL: &str = "cache-control";
    pub const CONTENT_LANGUAGE: &str = "content-language";
    pub const CONTENT_TYPE: &str = "content-type";
    pub const REFERRER_POLICY: &str = "referrer-policy";
    pub const RETRY_AFTER: &str = "retry-after";
    pub const WWW_AUTHENTICATE: &str = "www-authenticate";
}

/// Headers by their names in lower case. Of a request, the platform has joined those of one name with commas.
#[derive(Default)]
pub struct HeaderMap(Vec<(String, String)>);

impl HeaderMap {
    /// Takes those of a request over, all at once: each crossing into JavaScript costs.
    fn of(headers: &web_sys::Headers) -> Self {
        let text = JSON::stringify(&Array::from(headers)).map(String::from);
        Self(text.map_or_else(|_| Vec::new(), |text| record::read(&text).unwrap_or_default()))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Sets a header, in the place of one of this name.
    pub fn insert(&mut self, name: &str, value: impl Into<String>) {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), value.into()));
    }

    pub fn entries(&self) -> &[(String, String)] {
        &self.0
    }

    /// As a JSON array of names and values. What no header can hold is left out.
    pub fn into_text(mut self) -> String {
        let fits = |byte| matches!(byte, b'\t' | b' '..=b'~');
        self.0.retain(|(_, value)| value.bytes().all(fits));
        record::text(&self.0)
    }
}

/// Where a request goes.
#[derive(Clone)]
pub struct Uri {
    /// Scheme and authority.
    pub base: String,
    path: String,
    query: Option<String>,
}

impl Uri {
    /// Of a URL as the platform writes it.
    fn of(url: &str) -> Self {
        let url = url.split('#').next().unwrap_or_default();
        let host = url.find("://").map_or(0, |at| at + 3);
        let rest = url.get(host..).unwrap_or_default();
        let end = host + rest.find(['/', '?']).unwrap_or(rest.len());
        let (base, target) = url.split_at(end);
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        Self {
            base: base.to_owned(),
            path: if path.is_empty() { "/" } else { path }.to_owned(),
            query,
        }
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn set_path(&mut self, path: String) {
        self.path = path;
    }

    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
}

/// A request but for its body.
pub struct Parts {
    pub method: String,
    pub uri: Uri,
    pub headers: HeaderMap,
}

impl Parts {
    pub fn of(request: &web_sys::Request) -> Self {
        Self {
            method: request.method(),
            uri: Uri::of(&request.url()),
            headers: HeaderMap::of(&request.headers()),
        }
    }
}

/// A request that has come in whole.
pub struct Request {
    pub parts: Parts,
    pub body: Vec<u8>,
}

impl Request {
    pub fn method(&self) -> &str {
        &self.parts.method
    }

    pub fn uri(&self) -> &Uri {
        &self.parts.uri
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    pub fn into_parts(self) -> (Parts, Vec<u8>) {
        (self.parts, self.body)
    }
}

/// What an answer says.
pub enum Body {
    Text(String),
    /// Problem details: the id of the request is written into them on the way out.
    Problem(Value),
}

/// An answer.
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Body,
}

impl Response {
    pub fn new(status: StatusCode, headers: HeaderMap, body: String) -> Self {
        Self {
            status,
            headers,
            body: Body::Text(body),
        }
    }

    pub fn empty(status: StatusCode, headers: HeaderMap) -> Self {
        Self::new(status, headers, String::new())
    }
}
