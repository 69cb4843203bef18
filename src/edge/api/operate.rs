//! `/admin/streams/{stream_id}`, the parts that change something or explain: the operator's hand on a stream.

use crate::edge::command::{StreamCommand, StreamReply, TenantCommand};
use crate::edge::error::{ApiError, json_response, no_store};
use crate::edge::web::{Response, StatusCode};
use crate::protocol::event::publish::NewEvent;
use crate::protocol::json::json;
use crate::protocol::json::put;
use crate::protocol::operator_request::{OperatorRequest, ReplayFrom, chosen_letters, overlap_ms};
use crate::protocol::subject_request::BulkSubjects;

use super::ask::{Asked, Question, Reply, Who, ask, unexpected};
use super::call::{Answering, Call};
use super::streams;
use super::watch::show_health;

/// The operator's wishes. Only what is given changes.
pub fn change(call: Call) -> impl Answering {
    ask(
        call,
        Who::Operator,
        |asked| {
            let wanted = OperatorRequest::parse(&asked.given).map_err(|found| ApiError::invalid(&found))?;
            let command = StreamCommand::Operate {
                status: wanted.status.map(|status| (status, wanted.reason)),
                default_subjects: wanted.default_subjects.into_iter().collect(),
                window: wanted.window.into_iter().collect(),
                on_dead: wanted.on_dead,
                more_available: wanted.more_available,
                request_rate: wanted.request_rate.into_iter().collect(),
                legacy_origin_header: wanted.legacy_origin_header,
            };
            Ok(Question::Stream(asked.id.clone(), command))
        },
        show_health,
    )
}

/// A new secret to sign CloudEvents with: it is in this answer, and never again.
pub fn webhook_secret(call: Call) -> impl Answering {
    ask(
        call,
        Who::Operator,
        |asked| {
            let overlap_ms = overlap_ms(&asked.given).map_err(|found| ApiError::invalid(&found))?;
            let secret = streams::webhook_secret()?;
            asked.secret = Some(secret.clone());
            let command = StreamCommand::RotateSecret { secret, overlap_ms };
            Ok(Question::Stream(asked.id.clone(), command))
        },
        |asked, reply| {
            let Reply::Stream(_, StreamReply::Shown(mut shown)) = reply else {
                return Err(unexpected());
            };
            put(&mut shown, "secret", json!(asked.secret));
            Ok(json_response(StatusCode::OK, &shown))
        },
    )
}

pub fn delete(call: Call) -> impl Answering {
    ask(
        call,
        Who::Operator,
        |asked| {
            asked.edge.stream(&asked.id)?;
            Ok(Question::Tenant(TenantCommand::DeleteStream {
                client_id: None,
                stream_id: asked.id.clone(),
            }))
        },
        |_, _| Ok(Response::empty(StatusCode::NO_CONTENT, no_store())),
    )
}

/// Many subjects at once, as if the receiver had added or removed each of them: all or, after an error, none.
pub fn subjects(call: Call) -> impl Answering {
    ask(
        call,
        Who::Operator,
        |asked| {
            let BulkSubjects { add, remove } =
                BulkSubjects::parse(&asked.given).map_err(|found| ApiError::invalid(&found))?;
            asked.given = json!({"added": add.len(), "removed": remove.len()});
            Ok(Question::Stream(
                asked.id.clone(),
                StreamCommand::ChangeSubjects { add, remove },
            ))
        },
        |asked, _| Ok(json_response(StatusCode::OK, &asked.given)),
    )
}

pub fn explain(call: Call) -> impl Answering {
    ask(
        call,
        Who::Operator,
        |asked| {
            let event = NewEvent::parse(&asked.given).map_err(|found| ApiError::invalid(&found))?;
            let command = StreamCommand::Explain { event: Box::new(event) };
            Ok(Question::Stream(asked.id.clone(), command))
        },
        shown,
    )
}

/// Sends dead letters again.
pub fn redrive(call: Call) -> impl Answering {
    ask(
        call,
        Who::Operator,
        |asked| {
            let jti = letters(asked)?;
            Ok(Question::Stream(asked.id.clone(), StreamCommand::Redrive { jti }))
        },
        shown,
    )
}

/// Throws dead letters away.
pub fn purge(call: Call) -> impl Answering {
    ask(
        call,
        Who::Operator,
        |asked| {
            let jti = letters(asked)?;
            Ok(Question::Stream(asked.id.clone(), StreamCommand::Purge { jti }))
        },
        shown,
    )
}

/// Sends again what was delivered.
pub fn replay(call: Call) -> impl Answering {
    ask(
        call,
        Who::Operator,
        |asked| {
            let from = ReplayFrom::parse(&asked.given).map_err(|found| ApiError::invalid(&found))?;
            Ok(Question::Stream(asked.id.clone(), StreamCommand::Replay { from }))
        },
        shown,
    )
}

fn letters(asked: &Asked) -> Result<Option<[u8; 16]>, ApiError> {
    chosen_letters(&asked.given).map_err(|found| ApiError::invalid(&found))
}

/// What the stream said, as it is.
pub fn shown(_: &Asked, reply: Reply) -> Result<Response, ApiError> {
    match reply {
        Reply::Stream(_, StreamReply::Shown(shown)) => Ok(json_response(StatusCode::OK, &shown)),
        _ => Err(unexpected()),
    }
}
