//! The consent of push endpoints: `/admin/streams/{stream_id}/grant` for the operator, and `/handshake/{stream_id}/{secret}`,
//! the callback by which an endpoint agrees (CloudEvents web hooks, section 4.1.3).

use crate::edge::address::DEFAULT_TENANT;
use crate::edge::command::{StreamCommand, StreamReply};
use crate::edge::crypto;
use crate::edge::error::{ApiError, json_response};
use crate::edge::web::{HeaderMap, Response, StatusCode, header};
use crate::protocol::handshake::{ALLOWED_ORIGIN, ALLOWED_RATE};
use crate::protocol::operator_request::GrantAction;

use super::ask::{Question, Reply, Who, ask, unexpected};
use super::call::{Answering, Call};
use super::operate::shown;

pub fn show(call: Call) -> impl Answering {
    ask(
        call,
        Who::Operator,
        |asked| Ok(Question::Stream(asked.id.clone(), StreamCommand::Grant)),
        shown,
    )
}

/// Asking takes its time: 202. The other decisions stand at once.
pub fn decide(call: Call) -> impl Answering {
    ask(
        call,
        Who::Operator,
        |asked| {
            let action = GrantAction::parse(&asked.given).map_err(|found| ApiError::invalid(&found))?;
            Ok(Question::Stream(asked.id.clone(), StreamCommand::Decide { action }))
        },
        |asked, reply| {
            let status = match asked.given.get("action").and_then(|action| action.as_str()) {
                Some("ask") => StatusCode::ACCEPTED,
                _ => StatusCode::OK,
            };
            match reply {
                Reply::Stream(_, StreamReply::Shown(grant)) => Ok(json_response(status, &grant)),
                _ => Err(unexpected()),
            }
        },
    )
}

/// WH-4.1-23: GET, as a person with a browser does it, or POST. Whoever knows the secret agrees.
pub async fn call_back(call: Call) -> Result<Response, ApiError> {
    let Call {
        edge,
        id: stream_id,
        part: secret,
        request,
    } = call;
    let posted = match request.method() {
        "GET" => false,
        "POST" => true,
        _ => return Err(ApiError::method_not_allowed()),
    };
    // The callback is the service's own, not a tenant's.
    if edge.tenant_name() != DEFAULT_TENANT {
        return Err(ApiError::not_found());
    }
    let text = |name: &str| request.headers().get(name).map(str::to_owned);
    let command = StreamCommand::CallBack {
        secret: crypto::sha256_hex(&secret),
        posted,
        rate: text(ALLOWED_RATE),
        allowed: text(ALLOWED_ORIGIN),
    };
    let StreamReply::Shown(granted) = edge.any_stream(&stream_id)?.ask(command).await? else {
        return Err(unexpected());
    };
    let rate = match granted.get("allowed_rate").and_then(|rate| rate.as_u64()) {
        Some(rate) => format!("{rate} requests a minute"),
        None => "any number of requests".to_owned(),
    };
    let line = format!("Thank you: this endpoint agreed to receive events, at {rate}.\n");
    let mut headers = HeaderMap::default();
    headers.insert(header::CONTENT_TYPE, "text/plain; charset=utf-8");
    Ok(Response::new(StatusCode::OK, headers, line))
}

/// The URL is a secret (WH-4.1-27), and takes two methods, whatever else the router would answer.
pub fn keep_private(response: &mut Response) {
    let refused = response.status == StatusCode::METHOD_NOT_ALLOWED;
    let headers = &mut response.headers;
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        ("x-robots-tag", "noindex"),
    ] {
        headers.insert(name, value);
    }
    if refused {
        headers.insert(header::ALLOW, "GET, POST");
    }
}
