//! `/ssf/status`: the status of a stream (SSF 8.1.2).

use crate::edge::command::{StreamCommand, StreamReply};
use crate::edge::error::{ApiError, json_response};
use crate::edge::web::{Response, StatusCode};
use crate::protocol::oauth::Scope;
use crate::protocol::status::{StatusRequest, to_json};

use super::ask::{Asked, Question, Reply, Who, ask, unexpected};
use super::call::{Answering, Call};
use super::query::required;

pub fn read(call: Call) -> impl Answering {
    ask(
        call,
        Who::Receiver(Scope::SsfRead),
        // SSF-8.1.2.1-9
        |asked| {
            Ok(Question::Stream(
                required(&asked.parts.uri, "stream_id")?,
                StreamCommand::Status,
            ))
        },
        show,
    )
}

pub fn set(call: Call) -> impl Answering {
    ask(
        call,
        Who::Receiver(Scope::SsfManage),
        |asked| {
            let wanted = StatusRequest::parse(&asked.given).map_err(|found| ApiError::invalid(&found))?;
            let command = StreamCommand::SetStatus {
                status: wanted.status,
                reason: wanted.reason,
            };
            Ok(Question::Stream(wanted.stream_id, command))
        },
        show,
    )
}

/// SSF-8.1.2.2-3: 202 while the endpoint is being asked.
fn show(_: &Asked, reply: Reply) -> Result<Response, ApiError> {
    let Reply::Stream(stream_id, StreamReply::Status { status, reason, asked }) = reply else {
        return Err(unexpected());
    };
    let code = if asked { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok(json_response(code, &to_json(&stream_id, status, reason.as_deref())))
}
