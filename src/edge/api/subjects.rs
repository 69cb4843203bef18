//! `/ssf/subjects/add` and `/ssf/subjects/remove` (SSF 8.1.3). The answer is the same whether or not anybody knows the subject
//! (SSF-9.1-4): adding is a statement of interest, not a question.

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::edge::command::StreamCommand;
use crate::edge::error::{ApiError, no_store};
use crate::protocol::oauth::Scope;
use crate::protocol::subject_request::{AddSubject, RemoveSubject};

use super::call::Call;

/// SSF-8.1.3.2-1: 200 and nothing else.
pub async fn add(call: Call) -> Result<Response, ApiError> {
    let (edge, caller, given) = call.receiver(Scope::SsfManage).await?;
    let wanted = AddSubject::parse(&given).map_err(|found| ApiError::invalid(&found))?;
    let stream = edge.stream(&wanted.stream_id)?.on_behalf_of(&caller.client_id);
    let command = StreamCommand::AddSubject {
        subject: wanted.subject,
        verified: wanted.verified,
    };
    stream.ask(command).await?;
    Ok((StatusCode::OK, no_store()).into_response())
}

/// SSF-8.1.3.3-1: 204, for a subject that was never added, too (SSF-8.1.3.3-2).
pub async fn remove(call: Call) -> Result<Response, ApiError> {
    let (edge, caller, given) = call.receiver(Scope::SsfManage).await?;
    let wanted = RemoveSubject::parse(&given).map_err(|found| ApiError::invalid(&found))?;
    let stream = edge.stream(&wanted.stream_id)?.on_behalf_of(&caller.client_id);
    let command = StreamCommand::RemoveSubject {
        subject: wanted.subject,
    };
    stream.ask(command).await?;
    Ok((StatusCode::NO_CONTENT, no_store()).into_response())
}
