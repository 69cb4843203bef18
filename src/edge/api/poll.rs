//! `/ssf/poll/{stream_id}`: poll delivery (RFC 8936).

use crate::edge::command::{PollCommand, StreamCommand, StreamReply};
use crate::edge::error::{ApiError, json_text, no_store};
use crate::edge::web::{Response, StatusCode};
use crate::edge::{auth, body};
use crate::protocol::oauth::Scope;
use crate::protocol::poll::{PollError, PollRequest, response};

use super::call::Call;

pub async fn poll(call: Call) -> Result<Response, ApiError> {
    let Call {
        edge,
        id: stream_id,
        request,
        ..
    } = call;
    let (parts, payload) = request.into_parts();
    // Acknowledging takes events away, so reading rights are not enough.
    let caller = auth::client(&edge, &parts.headers, Scope::SsfManage).await?;
    let bytes = body::read(payload, body::LIMIT)?;
    body::require_type(&parts.headers, "application/json")?;
    let asked = PollRequest::parse(&bytes).map_err(|error| match error {
        PollError::Member(found) => ApiError::invalid(&found),
        PollError::Json(_) => ApiError::bad_request(format!("{error}.")),
    })?;
    let request = PollCommand {
        max_events: asked.max_events,
        return_immediately: asked.return_immediately,
        ack: asked.ack,
        set_errs: asked
            .set_errs
            .into_iter()
            .map(|(jti, error)| (jti, error.err.as_str().to_owned(), error.description))
            .collect(),
    };
    let stream = edge.stream(&stream_id)?.on_behalf_of(&caller.client_id);
    let StreamReply::Sets { sets, more } = stream.ask(StreamCommand::Poll { request }).await? else {
        return Err(ApiError::internal("stream", "an unexpected reply"));
    };
    Ok(json_text(StatusCode::OK, no_store(), response(&sets, more)))
}
