//! Request bodies within their limits.

use axum::body::Body;
use http::HeaderMap;
use http_body_util::BodyExt;
use serde_json::Value;

use crate::protocol::json::{content_type_is, parse_strict};

use super::error::ApiError;

/// Most bytes of a body, but for publishing.
pub const LIMIT: usize = 256 * 1024;
/// Most bytes of a publishing body.
pub const PUBLISH_LIMIT: usize = 1024 * 1024;

/// A body over its limit is read up to here before it is refused: a client that is still sending would not see the answer.
const DRAIN: usize = 8 * 1024 * 1024;

/// Nesting beyond this is no document of ours, and would be no SET that others can read: an event stands one deeper in its SET
/// than in the data of a CloudEvent.
const MAX_DEPTH: usize = 31;

/// Takes a request's body in before anything is answered: a client that is still sending when the connection closes does not
/// see the answer. Of a body over every limit as much is kept as shows that.
pub async fn receive(mut body: worker::Body) -> Result<Body, ApiError> {
    let mut kept = Vec::new();
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::bad_request("The body ended before it was complete."))?;
        let Ok(data) = frame.into_data() else { continue };
        total += data.len();
        let room = (PUBLISH_LIMIT + 1).saturating_sub(kept.len());
        kept.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
        if total > DRAIN {
            break;
        }
    }
    Ok(Body::from(kept))
}

/// The received body, if it has at most `limit` bytes.
pub async fn read(body: Body, limit: usize) -> Result<Vec<u8>, ApiError> {
    let bytes = body
        .collect()
        .await
        .map_err(|error| ApiError::internal("body", error))?
        .to_bytes();
    if bytes.len() > limit {
        Err(ApiError::too_large(limit))
    } else {
        Ok(bytes.to_vec())
    }
}

/// Reads a JSON body. A missing `Content-Type` is forgiven, a different one is not (SSF-8-8).
pub async fn read_json(headers: &HeaderMap, body: Body, limit: usize) -> Result<Value, ApiError> {
    let bytes = read(body, limit).await?;
    require_type(headers, "application/json")?;
    parse(&bytes)
}

/// Parses a JSON body: strictly, so that no two readers of one document can disagree about it.
pub fn parse(bytes: &[u8]) -> Result<Value, ApiError> {
    parse_strict(bytes, MAX_DEPTH)
        .map_err(|error| ApiError::bad_request(format!("The body is not acceptable JSON: {error}.")))
}

/// Refuses a body that says it is something else.
pub fn require_type(headers: &HeaderMap, essence: &str) -> Result<(), ApiError> {
    let given = headers.get(http::header::CONTENT_TYPE);
    let fits = given.is_none_or(|given| content_type_is(given.to_str().ok(), essence));
    if fits {
        Ok(())
    } else {
        Err(ApiError::unsupported_media_type(essence))
    }
}
