//! `/ssf/verification`: asks for a verification event (SSF 8.1.4.2).

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::edge::command::StreamCommand;
use crate::edge::error::{ApiError, no_store};
use crate::protocol::oauth::Scope;
use crate::protocol::verification::VerificationRequest;

use super::call::Call;

/// SSF-8.1.4.2-1: 204 says that the event is on its way, not that it arrived.
pub async fn request(call: Call) -> Result<Response, ApiError> {
    let (edge, caller, given) = call.receiver(Scope::SsfManage).await?;
    let wanted = VerificationRequest::parse(&given).map_err(|found| ApiError::invalid(&found))?;
    let stream = edge.stream(&wanted.stream_id)?.on_behalf_of(&caller.client_id);
    stream.ask(StreamCommand::Verify { state: wanted.state }).await?;
    Ok((StatusCode::NO_CONTENT, no_store()).into_response())
}
