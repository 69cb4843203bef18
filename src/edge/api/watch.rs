//! `/admin/streams`: how the streams are doing.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use crate::edge::command::{StreamCommand, StreamReply, TenantCommand, TenantReply};
use crate::edge::error::{ApiError, json_response};

use super::ask::{Asked, Question, Reply, Who, ask, unexpected};
use super::call::{Answering, Call};
use super::query::page;
use super::streams::show;

/// Most dead letters in one answer.
const MAX_PAGE: u32 = 200;

pub fn list(call: Call) -> impl Answering {
    ask(
        call,
        Who::Operator,
        |_| Ok(Question::Tenant(TenantCommand::Streams { client_id: None })),
        |_, reply| {
            let Reply::Tenant(TenantReply::Children(streams)) = reply else {
                return Err(unexpected());
            };
            let streams: Vec<Value> = streams
                .iter()
                .map(|stream| {
                    json!({"stream_id": stream.id, "client_id": stream.owner, "method": stream.label,
                           "created_at": stream.created_at})
                })
                .collect();
            Ok(json_response(StatusCode::OK, &json!({"streams": streams})))
        },
    )
}

pub fn health(call: Call) -> impl Answering {
    ask(
        call,
        Who::Operator,
        |asked| Ok(Question::Stream(asked.id.clone(), StreamCommand::Health)),
        show_health,
    )
}

/// How a stream is doing, as the operator sees it.
pub fn show_health(_: &Asked, reply: Reply) -> Result<Response, ApiError> {
    let Reply::Stream(stream_id, StreamReply::Health(health)) = reply else {
        return Err(unexpected());
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

pub fn deliveries(call: Call) -> impl Answering {
    ask(
        call,
        Who::Operator,
        |asked| Ok(Question::Stream(asked.id.clone(), StreamCommand::Deliveries)),
        |_, reply| match reply {
            Reply::Stream(_, StreamReply::Deliveries(deliveries)) => {
                Ok(json_response(StatusCode::OK, &json!({"deliveries": deliveries})))
            }
            _ => Err(unexpected()),
        },
    )
}

pub fn dead_letters(call: Call) -> impl Answering {
    ask(
        call,
        Who::Operator,
        |asked| {
            let (after, limit) = page(&asked.parts.uri, MAX_PAGE)?;
            let command = StreamCommand::DeadLetters { after, limit };
            Ok(Question::Stream(asked.id.clone(), command))
        },
        |_, reply| match reply {
            Reply::Stream(_, StreamReply::DeadLetters { dead_letters, cursor }) => Ok(json_response(
                StatusCode::OK,
                &json!({"dead_letters": dead_letters, "cursor": cursor.to_string()}),
            )),
            _ => Err(unexpected()),
        },
    )
}
