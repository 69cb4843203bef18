//! `/admin/streams`: how the streams are doing.

use serde_json::Value;

use crate::edge::clock::now_ms;
use crate::edge::command::{Health, StreamCommand, StreamReply, TenantCommand, TenantReply};
use crate::edge::error::{ApiError, json_response};
use crate::edge::together::together;
use crate::edge::web::{Response, StatusCode};
use crate::protocol::json::json;
use crate::protocol::json::put;
use crate::protocol::set::jti_bytes;

use super::ask::{Asked, Question, Reply, Who, admit, ask, unexpected};
use super::call::{Answering, Call};
use super::operate::shown;
use super::query::{limit, page, parameter};
use super::streams::show;

/// Most streams in one answer: each of them is asked.
const MAX_STREAMS: u32 = 100;

/// Most dead letters in one answer.
const MAX_PAGE: u32 = 200;

/// A page of the streams, each with how it is doing: their objects are asked, all at once.
pub async fn list(call: Call) -> Result<Response, ApiError> {
    let asked = admit(call, Who::Operator).await?;
    let uri = &asked.parts.uri;
    let command = TenantCommand::Streams {
        client_id: None,
        after: parameter(uri, "after")?.unwrap_or_default(),
        limit: limit(uri, MAX_STREAMS)?,
    };
    let TenantReply::Streams { streams, usage } = asked.edge.tenant()?.ask(command).await? else {
        return Err(unexpected());
    };
    let health = streams
        .iter()
        .map(async |stream| asked.edge.stream(&stream.id)?.ask(StreamCommand::Health).await);
    let health = together(health).await;
    let shown: Vec<Value> = streams
        .iter()
        .zip(health)
        .map(|(stream, health)| {
            let mut shown = json!({"stream_id": stream.id, "client_id": stream.owner, "method": stream.label,
                               "created_at": stream.created_at});
            match health {
                Ok(StreamReply::Health(health)) => describe(&mut shown, &health),
                _ => put(&mut shown, "error", json!("The stream did not answer.")),
            }
            shown
        })
        .collect();
    let cursor = streams.last().map_or("", |stream| &stream.id);
    let usage = json!({"requests": usage.requests, "alarms": usage.alarms, "alarms_set": usage.alarms_set,
                       "rows_read": usage.rows_read, "rows_written": usage.rows_written});
    let answer = json!({"streams": shown, "cursor": cursor, "usage": usage});
    Ok(json_response(StatusCode::OK, &answer))
}

/// How a stream is doing, in short.
fn describe(shown: &mut Value, health: &Health) {
    put(shown, "status", json!(health.status.name()));
    put(shown, "reason", json!(health.reason));
    put(shown, "hold", json!(health.hold));
    put(shown, "outbox_full", json!(health.stream.full_since.is_some()));
    put(shown, "queued_events", json!(health.queued.events));
    put(shown, "queued_bytes", json!(health.queued.bytes));
    put(shown, "oldest_at", json!(health.queued.oldest_at));
    put(shown, "events_per_minute", json!(health.events_per_minute));
    put(shown, "last_success_at", json!(health.last_success_at));
    put(shown, "last_error", json!(health.last_error));
    put(shown, "dead_letters", json!(health.dead_letters));
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
    let choices = &stream.choices;
    let oldest_age = health.queued.oldest_at.map(|at| now_ms().saturating_sub(at) / 1000);
    let mut shown = json!({
        "stream_id": stream_id,
        "status_set_by": health.status_set_by,
        "default_subjects": stream.subject_rules().default_subjects,
        "profile": stream.terms.profile.name(),
        "window": choices.window,
        "on_dead": choices.on_dead,
        "more_available": !choices.omits_more_available,
        "request_rate": choices.request_rate,
        "legacy_origin_header": choices.legacy_origin_header,
        "grant": json!({"state": stream.grant.state, "allowed_rate": stream.grant.allowed_rate}),
        "requests": health.usage.requests,
        "alarms": health.usage.alarms,
        "alarms_set": health.usage.alarms_set,
        "subrequests": health.usage.subrequests,
        "rows_read": health.usage.rows_read,
        "rows_written": health.usage.rows_written,
        "database_bytes": health.database_bytes,
        "client_id": stream.client_id,
        "created_at": stream.created_at,
        "configuration": show(stream),
        "oldest_age_s": oldest_age,
        "next_wake_at": health.next_wake_at,
        "attempts": health.attempts,
        "delivered": health.delivered,
        "dead_letters_dropped": health.dead_letters_dropped,
    });
    describe(&mut shown, &health);
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

pub fn dead_letter(call: Call) -> impl Answering {
    ask(
        call,
        Who::Operator,
        |asked| {
            // What is no jti of ours names no letter.
            let jti = jti_bytes(&asked.part).ok_or_else(ApiError::not_found)?;
            Ok(Question::Stream(asked.id.clone(), StreamCommand::DeadLetter { jti }))
        },
        shown,
    )
}
