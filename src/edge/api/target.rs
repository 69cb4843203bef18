//! `OPTIONS /receive/{source_id}`: the handshake as its target (CloudEvents web hooks, section 4), and the origins of a source
//! for its operator.

use serde_json::Value;

use crate::edge::command::{Asker, Refusal, SourceCommand, SourceReply};
use crate::edge::error::{ApiError, json_response, no_store};
use crate::edge::web::{HeaderMap, Response, StatusCode, header};
use crate::protocol::handshake::{
    ALLOWED_ORIGIN, ALLOWED_RATE, REQUEST_CALLBACK, REQUEST_ORIGIN, REQUEST_RATE, Rate, is_public_origin, normal_origin,
};
use crate::protocol::json::json;
use crate::protocol::push::ErrorBody;
use crate::protocol::set::SetErr;
use crate::receiver::source::Source;
use crate::receiver::target::Decision;

use super::ask::{Who, admit};
use super::call::Call;

/// What the URL does, whoever asks.
const ALLOW: &str = "POST, OPTIONS";

/// Answers who asks for consent. Whether there is such a source shows to nobody who is not allowed to push to it: an id that is
/// none, a source that allows nobody and one that allows others answer alike (WH-4.2-18).
pub async fn options(call: Call) -> Result<Response, ApiError> {
    let Call {
        edge,
        id: source_id,
        request,
        ..
    } = call;
    let headers = request.headers();
    if !headers.contains_key(REQUEST_ORIGIN) {
        // A browser's preflight, or somebody who is curious (WH-4.2-15).
        let mut response = Response::from(ApiError::method_not_allowed());
        response.headers.insert(header::ALLOW, ALLOW);
        return Ok(response);
    }
    let rate = match one(headers, REQUEST_RATE) {
        None if headers.contains_key(REQUEST_RATE) => Err(()),
        // A number (WH-4.1-9): who asks for no limit says nothing.
        text => text
            .map(|text| Rate::parse(text).filter(|rate| *rate != Rate::Unlimited).ok_or(()))
            .transpose(),
    };
    let rate = rate.map_err(|()| ApiError::bad_request("WebHook-Request-Rate must be a whole number above 0."))?;
    let written = one(headers, REQUEST_ORIGIN).unwrap_or_default();
    let loopback = edge.settings().allow_loopback;
    let origin = normal_origin(written).filter(|origin| loopback || is_public_origin(origin));
    let (Some(origin), Ok(source)) = (origin, edge.any_source(&source_id)) else {
        return Ok(answer(StatusCode::FORBIDDEN, &[]));
    };
    let asker = Asker {
        origin,
        written: written.to_owned(),
        rate,
        callback: one(headers, REQUEST_CALLBACK).map(str::to_owned),
        request: json!({
            "method": "OPTIONS",
            "url": format!("{}/receive/{source_id}", edge.origin()?),
            "headers": shown(headers),
        }),
    };
    match source.tell(SourceCommand::Handshake(Box::new(asker))).await? {
        Ok(SourceReply::Granted(Some(rate))) => Ok(answer(
            StatusCode::OK,
            // The one that asked, not `*`: what others see of it is of no use to them (WH-4.2-16).
            &[(ALLOWED_ORIGIN, written), (ALLOWED_RATE, &rate.text())],
        )),
        Ok(SourceReply::Granted(None)) => Ok(answer(StatusCode::OK, &[])),
        Err(Refusal::OriginRefused | Refusal::Gone | Refusal::NotFound) => Ok(answer(StatusCode::FORBIDDEN, &[])),
        Err(refusal) => Err(ApiError::refused(refusal)),
        Ok(_) => Err(ApiError::internal("source", "an unexpected reply")),
    }
}

/// WH-4.2-15
fn answer(status: StatusCode, granted: &[(&'static str, &str)]) -> Response {
    let mut headers = no_store();
    headers.insert(header::ALLOW, ALLOW);
    for (name, value) in granted {
        headers.insert(name, *value);
    }
    Response::empty(status, headers)
}

/// The headers of the handshake as they may be shown: the callback is a secret but for where it leads.
fn shown(headers: &HeaderMap) -> Vec<(&'static str, String)> {
    let names = [REQUEST_ORIGIN, REQUEST_CALLBACK, REQUEST_RATE, "user-agent"];
    let given = names.into_iter().filter_map(|name| Some((name, one(headers, name)?)));
    let clipped = |text: &str| text.chars().take(200).collect::<String>();
    given
        .map(|(name, value)| match name {
            REQUEST_CALLBACK => {
                let known: Vec<&str> = value.split(['/', '?', '#']).take(3).collect();
                (name, format!("{}/***", clipped(&known.join("/"))))
            }
            _ => (name, clipped(value)),
        })
        .collect()
}

/// The value of a header that stands there once.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(str::trim).filter(|value| !value.contains(','))
}

/// Whom a push says it comes from: by the header of today, or by the one of old (WH-2.1-8). Nothing where the source does not ask.
pub fn origin_of(source: &Source, headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    if !source.target.enforces() {
        return Ok(None);
    }
    let read = |name: &str| {
        headers
            .contains_key(name)
            .then(|| one(headers, name).and_then(normal_origin))
    };
    match (read(REQUEST_ORIGIN), read("origin")) {
        (Some(now), Some(old)) if now != old || now.is_none() => Err(ApiError::Set(ErrorBody::new(
            SetErr::InvalidRequest,
            "WebHook-Request-Origin and Origin differ",
        ))),
        (now, old) => Ok(now.or(old).flatten()),
    }
}

pub async fn grants(call: Call) -> Result<Response, ApiError> {
    let asked = admit(call, Who::Operator).await?;
    let source = asked.edge.source(&asked.id)?;
    shown_grants(source.ask(SourceCommand::Grants).await?)
}

/// The operator decides about an origin.
pub async fn decide(call: Call) -> Result<Response, ApiError> {
    let asked = admit(call, Who::Operator).await?;
    let decision = Decision::parse(&asked.given).map_err(|found| ApiError::invalid(&found))?;
    let source = asked.edge.source(&asked.id)?;
    shown_grants(source.ask(SourceCommand::Decide(decision)).await?)
}

fn shown_grants(reply: SourceReply) -> Result<Response, ApiError> {
    match reply {
        SourceReply::Grants(grants) => {
            let grants = Value::Array(grants);
            Ok(json_response(StatusCode::OK, &json!({"grants": grants})))
        }
        _ => Err(ApiError::internal("source", "an unexpected reply")),
    }
}
