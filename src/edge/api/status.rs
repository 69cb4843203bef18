//! `/ssf/status`: the status of a stream (SSF 8.1.2).

use axum::response::Response;
use http::StatusCode;

use crate::edge::auth;
use crate::edge::command::{StreamCommand, StreamReply};
use crate::edge::error::{ApiError, json_response};
use crate::protocol::oauth::Scope;
use crate::protocol::status::{StatusRequest, to_json};

use super::call::Call;
use super::query::required;

pub async fn read(call: Call) -> Result<Response, ApiError> {
    let caller = auth::client(&call.edge, call.request.headers(), Scope::SsfRead).await?;
    // SSF-8.1.2.1-9
    let stream_id = required(&call.request, "stream_id")?;
    let stream = call.edge.stream(&stream_id)?.on_behalf_of(&caller.client_id);
    show(&stream_id, stream.ask(StreamCommand::Status).await?)
}

pub async fn set(call: Call) -> Result<Response, ApiError> {
    let (edge, caller, given) = call.receiver(Scope::SsfManage).await?;
    let wanted = StatusRequest::parse(&given).map_err(|found| ApiError::invalid(&found))?;
    let stream = edge.stream(&wanted.stream_id)?.on_behalf_of(&caller.client_id);
    let command = StreamCommand::SetStatus {
        status: wanted.status,
        reason: wanted.reason,
    };
    show(&wanted.stream_id, stream.ask(command).await?)
}

/// SSF-8.1.2.2-3: 202 while the endpoint is being asked.
fn show(stream_id: &str, reply: StreamReply) -> Result<Response, ApiError> {
    let StreamReply::Status { status, reason, asked } = reply else {
        return Err(ApiError::internal("stream", "an unexpected reply"));
    };
    let code = if asked { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok(json_response(code, &to_json(stream_id, status, reason.as_deref())))
}
