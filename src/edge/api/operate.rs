//! `/admin/streams/{stream_id}`, the parts that change something or explain: the operator's hand on a stream.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use crate::edge::auth;
use crate::edge::command::{StreamCommand, StreamReply, TenantCommand};
use crate::edge::error::{ApiError, json_response, no_store};
use crate::protocol::event::publish::NewEvent;
use crate::protocol::operator_request::OperatorRequest;
use crate::protocol::subject_request::BulkSubjects;

use super::call::Call;
use super::watch::show_health;

/// The operator's wishes. Only what is given changes.
pub async fn change(call: Call) -> Result<Response, ApiError> {
    let (edge, stream_id, given) = call.operator().await?;
    let wanted = OperatorRequest::parse(&given).map_err(|found| ApiError::invalid(&found))?;
    let command = StreamCommand::Operate {
        status: wanted.status.map(|status| (status, wanted.reason)),
        default_subjects: wanted.default_subjects.into_iter().collect(),
    };
    show_health(&stream_id, edge.stream(&stream_id)?.ask(command).await?)
}

pub async fn delete(call: Call) -> Result<Response, ApiError> {
    let Call { edge, id, request } = call;
    auth::operator(&edge, request.headers()).await?;
    edge.stream(&id)?;
    let command = TenantCommand::DeleteStream {
        client_id: None,
        stream_id: id,
    };
    edge.tenant()?.ask(command).await?;
    Ok((StatusCode::NO_CONTENT, no_store()).into_response())
}

/// Many subjects at once, as if the receiver had added or removed each of them: all or, after an error, none.
pub async fn subjects(call: Call) -> Result<Response, ApiError> {
    let (edge, stream_id, given) = call.operator().await?;
    let BulkSubjects { add, remove } = BulkSubjects::parse(&given).map_err(|found| ApiError::invalid(&found))?;
    let shown = json!({"added": add.len(), "removed": remove.len()});
    let command = StreamCommand::ChangeSubjects { add, remove };
    edge.stream(&stream_id)?.ask(command).await?;
    Ok(json_response(StatusCode::OK, &shown))
}

pub async fn explain(call: Call) -> Result<Response, ApiError> {
    let (edge, stream_id, given) = call.operator().await?;
    let event = NewEvent::parse(&given).map_err(|found| ApiError::invalid(&found))?;
    let command = StreamCommand::Explain { event: Box::new(event) };
    let StreamReply::Explained(shown) = edge.stream(&stream_id)?.ask(command).await? else {
        return Err(ApiError::internal("stream", "an unexpected reply"));
    };
    Ok(json_response(StatusCode::OK, &shown))
}
