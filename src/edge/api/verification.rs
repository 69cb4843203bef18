//! `/ssf/verification`: asks for a verification event (SSF 8.1.4.2).

use crate::edge::command::StreamCommand;
use crate::edge::error::{ApiError, no_store};
use crate::edge::web::{Response, StatusCode};
use crate::protocol::oauth::Scope;
use crate::protocol::verification::VerificationRequest;

use super::ask::{Question, Who, ask};
use super::call::{Answering, Call};

/// SSF-8.1.4.2-1: 204 says that the event is on its way, not that it arrived.
pub fn request(call: Call) -> impl Answering {
    ask(
        call,
        Who::Receiver(Scope::SsfManage),
        |asked| {
            let VerificationRequest { stream_id, state } =
                VerificationRequest::parse(&asked.given).map_err(|found| ApiError::invalid(&found))?;
            Ok(Question::Stream(stream_id, StreamCommand::Verify { state }))
        },
        |_, _| Ok(Response::empty(StatusCode::NO_CONTENT, no_store())),
    )
}
