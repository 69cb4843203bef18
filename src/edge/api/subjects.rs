//! `/ssf/subjects/add` and `/ssf/subjects/remove` (SSF 8.1.3). The answer is the same whether or not anybody knows the subject
//! (SSF-9.1-4): adding is a statement of interest, not a question.

use crate::edge::command::StreamCommand;
use crate::edge::error::{ApiError, no_store};
use crate::edge::web::{Response, StatusCode};
use crate::protocol::oauth::Scope;
use crate::protocol::subject_request::{AddSubject, RemoveSubject};

use super::ask::{Question, Who, ask};
use super::call::{Answering, Call};

/// SSF-8.1.3.2-1: 200 and nothing else.
pub fn add(call: Call) -> impl Answering {
    ask(
        call,
        Who::Receiver(Scope::SsfManage),
        |asked| {
            let AddSubject {
                stream_id,
                subject,
                verified,
            } = AddSubject::parse(&asked.given).map_err(|found| ApiError::invalid(&found))?;
            Ok(Question::Stream(
                stream_id,
                StreamCommand::AddSubject { subject, verified },
            ))
        },
        |_, _| Ok(Response::empty(StatusCode::OK, no_store())),
    )
}

/// SSF-8.1.3.3-1: 204, for a subject that was never added, too (SSF-8.1.3.3-2).
pub fn remove(call: Call) -> impl Answering {
    ask(
        call,
        Who::Receiver(Scope::SsfManage),
        |asked| {
            let RemoveSubject { stream_id, subject } =
                RemoveSubject::parse(&asked.given).map_err(|found| ApiError::invalid(&found))?;
            Ok(Question::Stream(stream_id, StreamCommand::RemoveSubject { subject }))
        },
        |_, _| Ok(Response::empty(StatusCode::NO_CONTENT, no_store())),
    )
}
