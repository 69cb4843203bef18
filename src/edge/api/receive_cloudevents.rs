//! CloudEvents at `/receive/{source_id}`, where the source says that its events come so: recognised by the source's
//! `Authorization`, and by a signature of Standard Webhooks where there is a secret.

use crate::edge::clock::{now_ms, now_s};
use crate::edge::command::SourceCommand;
use crate::edge::context::Edge;
use crate::edge::crypto;
use crate::edge::error::ApiError;
use crate::edge::web::{HeaderMap, header};
use crate::protocol::cloudevent::{CloudEvent, ContentMode, UnsupportedFormat, attributes_in, is_cloudevent};
use crate::protocol::json::{parse_strict, put};
use crate::protocol::push::ErrorBody;
use crate::protocol::set::SetErr;
use crate::protocol::webhook::{
    ID_HEADER, SIGNATURE_HEADER, Signed, TIMESTAMP_HEADER, TOLERANCE_S, WebhookSecret, verify,
};
use crate::receiver::cloudevents::{SECRET_PLACE, judge};
use crate::receiver::inbox::{Accepted, IntakeRecord, KeysFrom};
use crate::receiver::source::Source;

use super::target;

/// Deepest document.
const MAX_DEPTH: usize = 32;

/// Judges all events of a request. Returns what the object has to do, if they are good.
pub async fn judge_all(
    edge: &Edge,
    source: &Source,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Option<SourceCommand>, ApiError> {
    let started = now_ms();
    let signed = check_signature(edge, source, headers, body).await?;
    let intake = IntakeRecord {
        kid: None,
        alg: if signed { "v1" } else { "none" }.to_owned(),
        keys: KeysFrom::Cached,
        keys_ms: 0,
        verify_ms: now_ms().saturating_sub(started),
    };
    let mut events = Vec::new();
    for (raw, event) in read(headers, body)? {
        let received = judge(event, &source.issuer).map_err(ApiError::Set)?;
        events.push(Accepted {
            iss: received.iss,
            jti: received.jti,
            event_type: received.event_type,
            sub_id: received.sub_id,
            set: raw,
            intake: intake.clone(),
        });
    }
    if events.is_empty() {
        // CE-3.3-1: a batch of nothing is no error.
        return Ok(None);
    }
    Ok(Some(SourceCommand::StoreAll {
        rev: source.rev,
        events,
        origin: target::origin_of(source, headers)?,
    }))
}

fn mode_of(headers: &HeaderMap) -> Result<Option<ContentMode>, UnsupportedFormat> {
    let content_type = headers.get(header::CONTENT_TYPE);
    is_cloudevent(content_type, headers.contains_key("ce-specversion"))
}

/// Whether a request says that it holds CloudEvents.
pub fn comes_so(headers: &HeaderMap) -> bool {
    !matches!(mode_of(headers), Ok(None))
}

/// Whether there was a signature to check, and it is right (SW-7).
async fn check_signature(edge: &Edge, source: &Source, headers: &HeaderMap, body: &[u8]) -> Result<bool, ApiError> {
    let Some(secret) = &source.webhook_secret else {
        return Ok(false);
    };
    let place = format!("{} {SECRET_PLACE}", source.source_id);
    let key = edge.settings().key_encryption_key.expose();
    let unusable = |error: &dyn std::fmt::Display| {
        ApiError::internal("the webhook secret of a source", error);
        ApiError::unavailable(
            "The secret of this endpoint cannot be read; its operator has to give it again.",
            60,
        )
    };
    let secret = crypto::open(key, &place, &secret.sealed)
        .await
        .map_err(|error| unusable(&error))?;
    let secret = WebhookSecret::parse(&String::from_utf8_lossy(&secret)).map_err(|error| unusable(&error))?;
    let text = |name: &str| headers.get(name).unwrap_or_default();
    let signed = Signed {
        id: text(ID_HEADER),
        timestamp: text(TIMESTAMP_HEADER),
        signature: text(SIGNATURE_HEADER),
    };
    match verify(&[&secret], &signed, body, now_s(), TOLERANCE_S) {
        Ok(()) => Ok(true),
        Err(error) => Err(refused(SetErr::AuthenticationFailed, error)),
    }
}

fn refused(err: SetErr, description: impl ToString) -> ApiError {
    ApiError::Set(ErrorBody::new(err, description.to_string()))
}

/// The events of a request, each with its raw form: the JSON format as it came, or made of what came.
fn read(headers: &HeaderMap, body: &[u8]) -> Result<Vec<(String, CloudEvent)>, ApiError> {
    let mode = mode_of(headers).map_err(|error| ApiError::unsupported_format(format!("Not taken: {error}.")))?;
    let invalid = |error: &dyn std::fmt::Display| refused(SetErr::InvalidRequest, error);
    let parse = || parse_strict(body, MAX_DEPTH).map_err(|error| invalid(&error));
    let structured = |document| CloudEvent::from_structured(document).map_err(|found| invalid(&found));
    match mode {
        None => Err(ApiError::unsupported_media_type("a CloudEvent")),
        Some(ContentMode::Structured) => {
            let event = structured(parse()?)?;
            Ok(vec![(String::from_utf8_lossy(body).into_owned(), event)])
        }
        Some(ContentMode::Batched) => {
            let document = parse()?;
            let raw: Vec<String> = document
                .as_array()
                .into_iter()
                .flatten()
                .map(ToString::to_string)
                .collect();
            let events = CloudEvent::batch(document).map_err(|found| invalid(&found))?;
            Ok(raw.into_iter().zip(events).collect())
        }
        Some(ContentMode::Binary) => {
            let mut document = attributes_in(headers.entries())
                .map_err(|found| invalid(&found))?
                .into();
            if !body.is_empty() {
                put(&mut document, "data", parse()?);
            }
            Ok(vec![(document.to_string(), structured(document)?)])
        }
    }
}
