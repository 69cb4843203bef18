//! Every error an answer can have, mapped to HTTP in one place: the standard's own body where there is one, else problem
//! details (RFC 9457).

use std::fmt::Display;

use serde_json::Value;

use crate::edge::web::{Body, HeaderMap, Response, StatusCode, header};
use crate::protocol::json::json;
use crate::protocol::oauth::{BearerError, OAuthError};
use crate::protocol::problem::Invalid;
use crate::protocol::push::{CONTENT_LANGUAGE, ErrorBody};
use crate::protocol::set::SetErr;

use super::command::Refusal;
use super::log::{self, Level};

/// What went wrong, by whose fault it was.
#[derive(Debug)]
pub enum ApiError {
    /// The request is at fault.
    Problem(Problem),
    /// The token endpoint's own errors (RFC 6749, section 5.2).
    OAuth(OAuthError),
    /// A missing or insufficient access token (RFC 6750, section 3).
    Bearer(BearerError),
    /// A SET that is not accepted (RFC 8935, section 2.3).
    Set(ErrorBody),
    /// A SET from an origin that may not push (WH-4.2-19): the same body, with the status of a refusal.
    Denied(ErrorBody),
    /// Our fault; logged where it happened.
    Internal,
}

/// Problem details.
#[derive(Debug)]
pub struct Problem {
    pub status: StatusCode,
    pub title: &'static str,
    pub detail: String,
    pub pointer: Option<String>,
    pub retry_after_s: Option<u32>,
}

impl ApiError {
    fn problem(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self::Problem(Problem {
            status,
            title,
            detail: detail.into(),
            pointer: None,
            retry_after_s: None,
        })
    }

    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::problem(StatusCode::BAD_REQUEST, "Bad request", detail)
    }

    pub fn invalid(found: &Invalid) -> Self {
        Self::at(&found.pointer, found.to_string())
    }

    pub fn at(pointer: &str, detail: String) -> Self {
        Self::Problem(Problem {
            status: StatusCode::BAD_REQUEST,
            title: "Bad request",
            detail,
            pointer: Some(pointer.to_owned()),
            retry_after_s: None,
        })
    }

    pub fn not_found() -> Self {
        Self::problem(
            StatusCode::NOT_FOUND,
            "Not found",
            "There is nothing here, or not for you.",
        )
    }

    pub fn method_not_allowed() -> Self {
        Self::problem(
            StatusCode::METHOD_NOT_ALLOWED,
            "Method not allowed",
            "See the Allow header for what this URL does.",
        )
    }

    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::problem(StatusCode::CONFLICT, "Conflict", detail)
    }

    pub fn too_large(limit: usize) -> Self {
        Self::problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "Body too large",
            format!("This URL takes bodies of at most {limit} bytes."),
        )
    }

    pub fn unsupported_media_type(wanted: &str) -> Self {
        Self::problem(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Unsupported media type",
            format!("Send {wanted}."),
        )
    }

    /// A body that says it is of a kind that is not read here.
    pub fn unsupported_format(detail: String) -> Self {
        Self::problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type", detail)
    }

    pub fn misdirected(origin: &str) -> Self {
        Self::problem(
            StatusCode::MISDIRECTED_REQUEST,
            "Misdirected request",
            format!("This service answers at {origin} only."),
        )
    }

    /// 503, worth trying again.
    pub fn unavailable(detail: impl Into<String>, retry_after_s: u32) -> Self {
        Self::Problem(Problem {
            status: StatusCode::SERVICE_UNAVAILABLE,
            title: "Not available now",
            detail: detail.into(),
            pointer: None,
            retry_after_s: Some(retry_after_s),
        })
    }

    /// 503 that only whoever deployed this can mend.
    pub fn not_set_up(detail: impl Into<String>) -> Self {
        Self::problem(StatusCode::SERVICE_UNAVAILABLE, "Not set up", detail)
    }

    /// Logs what was at fault and keeps it from the caller.
    pub fn internal(what: &str, error: impl Display) -> Self {
        log_internal(what, &error);
        Self::Internal
    }

    /// An object's refusal as seen by a caller of the management API.
    pub fn refused(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound | Refusal::Gone => Self::not_found(),
            Refusal::UnknownClient => {
                Self::Bearer(BearerError::InvalidToken("the client of this token is not registered"))
            }
            Refusal::BadCredentials => Self::OAuth(OAuthError::invalid_client()),
            Refusal::ScopeRefused => Self::OAuth(OAuthError::new(
                crate::protocol::oauth::OAuthCode::InvalidScope,
                "the client is not registered for this scope",
            )),
            Refusal::Invalid { pointer, detail } => Self::at(&pointer, detail),
            Refusal::Forbidden { detail } => Self::problem(StatusCode::FORBIDDEN, "Forbidden", detail),
            Refusal::TooMany { detail, retry_after_s } => Self::Problem(Problem {
                status: StatusCode::TOO_MANY_REQUESTS,
                title: "Too many requests",
                detail,
                pointer: None,
                retry_after_s: Some(retry_after_s),
            }),
            Refusal::Conflict { detail } => Self::conflict(detail),
            Refusal::Full => Self::conflict("The outbox of the stream is full.".to_owned()),
            Refusal::IdConflict { index } => Self::id_conflict(index, format!("/events/{index}/id")),
            Refusal::OriginRefused => Self::Denied(ErrorBody::new(
                SetErr::AccessDenied,
                "this endpoint has granted no pushes from there",
            )),
            Refusal::RemoteFailed { detail } => Self::unavailable(detail, 5),
            Refusal::Transmitter { detail } => Self::problem(StatusCode::BAD_GATEWAY, "The transmitter failed", detail),
            Refusal::Set { err, description } => Self::Set(ErrorBody::new(SetErr::from(err.as_str()), description)),
            // A stale copy is dealt with where it was used; if it comes here, that was forgotten.
            Refusal::Stale | Refusal::Internal => Self::Internal,
        }
    }

    /// The event at this index of the request uses an id that stood for another event.
    pub fn id_conflict(index: usize, pointer: String) -> Self {
        Self::Problem(Problem {
            status: StatusCode::CONFLICT,
            title: "Conflict",
            detail: format!(
                "The id of event {index} was used for another event within the last ten minutes. \
                 Streams that did not carry that one have taken this batch."
            ),
            pointer: Some(pointer),
            retry_after_s: None,
        })
    }
}

/// Apart from [`ApiError::internal`], which is compiled for each kind of error.
fn log_internal(what: &str, error: &dyn Display) {
    log::line(
        Level::Error,
        "internal_error",
        json!({"what": what, "error": error.to_string()}),
    );
}

impl From<ApiError> for Response {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Problem(problem) => {
                let mut headers = HeaderMap::default();
                if let Some(seconds) = problem.retry_after_s {
                    headers.insert(header::RETRY_AFTER, seconds.to_string());
                }
                problem_response(
                    problem.status,
                    headers,
                    problem.title,
                    &problem.detail,
                    problem.pointer.as_deref(),
                )
            }
            ApiError::OAuth(error) => {
                let mut headers = no_store();
                challenge(&mut headers, error.www_authenticate());
                let status = StatusCode(error.status());
                json_with(status, headers, &error.to_json())
            }
            ApiError::Bearer(error) => {
                let mut headers = HeaderMap::default();
                challenge(&mut headers, Some(error.www_authenticate()));
                let status = StatusCode(error.status());
                problem_response(
                    status,
                    headers,
                    "Not authorized",
                    "See the WWW-Authenticate header.",
                    None,
                )
            }
            ApiError::Set(error) => set_error(StatusCode::BAD_REQUEST, &error),
            ApiError::Denied(error) => set_error(StatusCode::FORBIDDEN, &error),
            ApiError::Internal => problem_response(
                StatusCode::INTERNAL_SERVER_ERROR,
                HeaderMap::default(),
                "Internal error",
                "This is our fault. The log has the cause under this request's id.",
                None,
            ),
        }
    }
}

fn set_error(status: StatusCode, error: &ErrorBody) -> Response {
    let mut headers = no_store();
    headers.insert(header::CONTENT_LANGUAGE, CONTENT_LANGUAGE);
    json_with(status, headers, &error.to_json())
}

/// A JSON answer that nobody may keep.
pub fn json_response(status: StatusCode, value: &Value) -> Response {
    json_with(status, no_store(), value)
}

/// The header of answers that nobody may keep.
pub fn no_store() -> HeaderMap {
    let mut headers = HeaderMap::default();
    headers.insert(header::CACHE_CONTROL, "no-store");
    headers
}

/// An answer with what is JSON already.
pub fn json_text(status: StatusCode, mut headers: HeaderMap, text: String) -> Response {
    headers.insert(header::CONTENT_TYPE, "application/json");
    Response::new(status, headers, text)
}

fn json_with(status: StatusCode, headers: HeaderMap, value: &Value) -> Response {
    json_text(status, headers, value.to_string())
}

fn challenge(headers: &mut HeaderMap, value: Option<String>) {
    if let Some(value) = value {
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
}

fn problem_response(
    status: StatusCode,
    mut headers: HeaderMap,
    title: &'static str,
    detail: &str,
    pointer: Option<&str>,
) -> Response {
    let mut body = json!({"type": "about:blank", "title": title, "status": status.0, "detail": detail});
    if let (Some(pointer), Some(members)) = (pointer, body.as_object_mut()) {
        members.insert("pointer".to_owned(), json!(pointer));
    }
    headers.insert(header::CACHE_CONTROL, "no-store");
    headers.insert(header::CONTENT_TYPE, "application/problem+json");
    Response {
        status,
        headers,
        body: Body::Problem(body),
    }
}
