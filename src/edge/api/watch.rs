//! `/admin/streams`: how the streams are doing.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use crate::edge::auth;
use crate::edge::command::{StreamCommand, StreamReply, TenantCommand, TenantReply};
use crate::edge::error::{ApiError, json_response};

use super::call::Call;
use super::query::page;
use super::streams::show;

/// Most dead letters in one answer.
const MAX_PAGE: u32 = 200;

pub async fn list(call: Call) -> Result<Response, ApiError> {
    let Call { edge, request, .. } = call;
    auth::operator(&edge, request.headers()).await?;
    let TenantReply::Children(streams) = edge.tenant()?.ask(TenantCommand::Streams { client_id: None }).await? else {
        return Err(ApiError::internal("tenant", "an unexpected reply"));
    };
    let streams: Vec<Value> = streams
        .iter()
        .map(|stream| {
            json!({"stream_id": stream.id, "client_id": stream.owner, "method": stream.label, "created_at": stream.created_at})
        })
        .collect();
    Ok(json_response(StatusCode::OK, &json!({"streams": streams})))
}

pub async fn health(call: Call) -> Result<Response, ApiError> {
    let Call {
        edge,
        id: stream_id,
        request,
    } = call;
    auth::operator(&edge, request.headers()).await?;
    show_health(&stream_id, edge.stream(&stream_id)?.ask(StreamCommand::Health).await?)
}

/// How a stream is doing, as the operator sees it.
pub fn show_health(stream_id: &str, reply: StreamReply) -> Result<Response, ApiError> {
    let StreamReply::Health(health) = reply else {
        return Err(ApiError::internal("stream", "an unexpected reply"));
    };
    let stream = &health.stream;
    let shown = json!({
        "stream_id": stream_id,
        "status": health.status.name(),
        "reason": health.reason,
        "status_set_by": health.status_set_by,
        "default_subjects": stream.subject_rules().default_subjects,
        "profile": stream.terms.profile.name(),
        "rows_read": health.rows_read,
        "rows_written": health.rows_written,
        "database_bytes": health.database_bytes,
        "client_id": stream.client_id,
        "created_at": stream.created_at,
        "configuration": show(stream),
        "queued_events": health.queued.events,
        "queued_bytes": health.queued.bytes,
        "oldest_at": health.queued.oldest_at,
        "hold": health.hold,
        "next_wake_at": health.next_wake_at,
        "last_success_at": health.last_success_at,
        "last_error": health.last_error,
        "dead_letters": health.dead_letters,
    });
    Ok(json_response(StatusCode::OK, &shown))
}

pub async fn deliveries(call: Call) -> Result<Response, ApiError> {
    let Call {
        edge,
        id: stream_id,
        request,
    } = call;
    auth::operator(&edge, request.headers()).await?;
    let StreamReply::Deliveries(deliveries) = edge.stream(&stream_id)?.ask(StreamCommand::Deliveries).await? else {
        return Err(ApiError::internal("stream", "an unexpected reply"));
    };
    Ok(json_response(StatusCode::OK, &json!({"deliveries": deliveries})))
}

pub async fn dead_letters(call: Call) -> Result<Response, ApiError> {
    let Call {
        edge,
        id: stream_id,
        request,
    } = call;
    auth::operator(&edge, request.headers()).await?;
    let (after, limit) = page(&request, MAX_PAGE)?;
    let reply = edge
        .stream(&stream_id)?
        .ask(StreamCommand::DeadLetters { after, limit })
        .await?;
    let StreamReply::DeadLetters { dead_letters, cursor } = reply else {
        return Err(ApiError::internal("stream", "an unexpected reply"));
    };
    Ok(json_response(
        StatusCode::OK,
        &json!({"dead_letters": dead_letters, "cursor": cursor.to_string()}),
    ))
}
