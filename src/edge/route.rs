//! From a method and a path to a handler.

use percent_encoding::percent_decode_str;

use super::api::call::{Call, Endpoint};
use super::context::Edge;
use super::error::ApiError;
use super::web::{Request, Response, header};

/// All routes: patterns of segments, where one in braces stands for any that is not empty.
#[derive(Default)]
pub struct Router(Vec<(&'static str, Methods)>);

/// What a path does, method by method.
pub struct Methods(Vec<(&'static str, Endpoint)>);

pub fn get(endpoint: Endpoint) -> Methods {
    Methods(Vec::new()).with("GET", endpoint)
}

pub fn post(endpoint: Endpoint) -> Methods {
    Methods(Vec::new()).with("POST", endpoint)
}

impl Methods {
    fn with(mut self, method: &'static str, endpoint: Endpoint) -> Self {
        self.0.push((method, endpoint));
        self
    }

    pub fn post(self, endpoint: Endpoint) -> Self {
        self.with("POST", endpoint)
    }

    pub fn put(self, endpoint: Endpoint) -> Self {
        self.with("PUT", endpoint)
    }

    pub fn patch(self, endpoint: Endpoint) -> Self {
        self.with("PATCH", endpoint)
    }

    pub fn delete(self, endpoint: Endpoint) -> Self {
        self.with("DELETE", endpoint)
    }

    pub fn options(self, endpoint: Endpoint) -> Self {
        self.with("OPTIONS", endpoint)
    }

    /// What answers GET answers HEAD.
    fn find(&self, method: &str) -> Option<Endpoint> {
        let method = if method == "HEAD" { "GET" } else { method };
        let found = self.0.iter().find(|(known, _)| *known == method);
        found.map(|(_, endpoint)| *endpoint)
    }

    /// An answer to any other method.
    fn refuse(&self) -> Response {
        let names: Vec<&str> = self.0.iter().map(|(method, _)| *method).collect();
        let mut response = Response::from(ApiError::method_not_allowed());
        let allowed = names.join(",").replace("GET", "GET,HEAD");
        response.headers.insert(header::ALLOW, allowed);
        response
    }
}

impl Router {
    pub fn route(mut self, pattern: &'static str, methods: Methods) -> Self {
        self.0.push((pattern, methods));
        self
    }

    /// Finds who answers a request: the answer itself where there is nobody.
    pub fn find(&self, edge: Edge, request: Request) -> Result<(Endpoint, Call), Response> {
        let path = request.uri().path();
        let fitting = self
            .0
            .iter()
            .filter_map(|(pattern, methods)| Some((captured(pattern, path)?, methods)));
        // What is named goes before what stands for anything.
        let found = fitting.min_by_key(|(values, _)| values.len());
        let (values, methods) = found.ok_or_else(ApiError::not_found)?;
        let endpoint = methods.find(request.method()).ok_or_else(|| methods.refuse())?;
        let mut values = values.into_iter().map(|value| percent_decode_str(value).decode_utf8());
        // A path that does not decode names nothing that exists.
        let mut next = || match values.next() {
            Some(value) => value.map(|value| value.into_owned()).map_err(|_| ApiError::not_found()),
            None => Ok(String::new()),
        };
        let (id, part) = (next()?, next()?);
        let call = Call {
            edge,
            id,
            part,
            request,
        };
        Ok((endpoint, call))
    }
}

/// What stands in the place of the segments in braces, if the path fits.
fn captured<'a>(pattern: &str, path: &'a str) -> Option<Vec<&'a str>> {
    let mut values = Vec::new();
    let mut segments = path.split('/');
    for wanted in pattern.split('/') {
        let segment = segments.next()?;
        if wanted.starts_with('{') && !segment.is_empty() {
            values.push(segment);
        } else if wanted != segment {
            return None;
        }
    }
    segments.next().is_none().then_some(values)
}
