//! Request bodies within their limits.

use js_sys::Uint8Array;
use serde_json::Value;
use wasm_bindgen::JsCast;
use web_sys::ReadableStreamDefaultReader;
use worker::wasm_bindgen_futures::JsFuture;

use crate::edge::web::{HeaderMap, header};
use crate::protocol::json::{content_type_is, parse_strict};

use super::error::ApiError;
use super::http;

/// Most bytes of a body, but for publishing and for lists of subjects.
pub const LIMIT: usize = 256 * 1024;
/// Most bytes of those.
pub const PUBLISH_LIMIT: usize = 1024 * 1024;

/// A body over its limit is read up to here before it is refused: a client that is still sending would not see the answer.
const DRAIN: usize = 8 * 1024 * 1024;

/// Nesting beyond this is no document of ours, and would be no SET that others can read: an event stands one deeper in its SET
/// than in the data of a CloudEvent.
const MAX_DEPTH: usize = 31;

/// Takes a request's body in before anything is answered: a client that is still sending when the connection closes does not
/// see the answer. Of a body over every limit as much is kept as shows that.
pub async fn receive(request: &web_sys::Request, headers: &HeaderMap) -> Result<Vec<u8>, ApiError> {
    let broken_off = |_| ApiError::bad_request("The body ended before it was complete.");
    let mut kept = Vec::new();
    let mut total = 0;
    let Some(body) = request.body() else { return Ok(kept) };
    // Most say how long they are, and are short: in one piece they are here sooner. In chunks it may be longer than it says.
    let announced = headers.get("content-length").and_then(|length| length.parse().ok());
    let is_whole = announced.is_some_and(|length: usize| length <= PUBLISH_LIMIT);
    if is_whole && !headers.contains_key("transfer-encoding") {
        let whole = JsFuture::from(request.array_buffer().map_err(broken_off)?).await;
        return Ok(Uint8Array::new(&whole.map_err(broken_off)?).to_vec());
    }
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    loop {
        let piece = JsFuture::from(reader.read()).await;
        let piece = piece.map_err(broken_off)?;
        let Some(data) = http::bytes(&piece) else { break };
        total += data.length() as usize;
        let room = (PUBLISH_LIMIT + 1).saturating_sub(kept.len());
        let taken = data.length().min(u32::try_from(room).unwrap_or(u32::MAX));
        kept.extend_from_slice(&data.subarray(0, taken).to_vec());
        if total > DRAIN {
            break;
        }
    }
    Ok(kept)
}

/// The received body, if it has at most `limit` bytes.
pub fn read(body: Vec<u8>, limit: usize) -> Result<Vec<u8>, ApiError> {
    if body.len() > limit {
        Err(ApiError::too_large(limit))
    } else {
        Ok(body)
    }
}

/// Reads a JSON body. A missing `Content-Type` is forgiven, a different one is not (SSF-8-8).
pub fn read_json(headers: &HeaderMap, body: Vec<u8>, limit: usize) -> Result<Value, ApiError> {
    let bytes = read(body, limit)?;
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
    let given = headers.get(header::CONTENT_TYPE);
    let fits = given.is_none_or(|given| content_type_is(Some(given), essence));
    if fits {
        Ok(())
    } else {
        Err(ApiError::unsupported_media_type(essence))
    }
}
