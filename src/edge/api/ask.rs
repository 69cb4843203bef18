//! The way that most requests go: authenticate, read the body, put one question to one object, shape its answer. A handler of
//! this kind says what the question is and how the answer looks; the way itself exists once.

use serde_json::Value;

use crate::edge::command::{Refusal, StreamCommand, StreamReply, TenantCommand, TenantReply};
use crate::edge::context::Edge;
use crate::edge::error::ApiError;
use crate::edge::web::{Parts, Response};
use crate::edge::{auth, body};
use crate::protocol::oauth::Scope;

use super::call::Call;

/// Who may ask.
#[derive(Clone, Copy)]
pub enum Who {
    /// A client with this scope, about its own.
    Receiver(Scope),
    Operator,
}

/// A request of somebody who may ask.
pub struct Asked {
    pub edge: Edge,
    /// Empty for the operator.
    pub client_id: String,
    /// The id in the path; empty where there is none.
    pub id: String,
    /// The second one; empty where there is none.
    pub part: String,
    pub parts: Parts,
    /// The JSON body; null where the method has none.
    pub given: Value,
    /// A secret that the question made: the answer shows it, this once.
    pub secret: Option<String>,
}

/// What is asked of whom.
pub enum Question {
    Stream(String, StreamCommand),
    Tenant(TenantCommand),
}

/// Its answer.
pub enum Reply {
    Stream(String, StreamReply),
    Tenant(TenantReply),
}

/// Authenticates, then parses, then asks (SSF-8-6). A client that the operator names and nobody knows is not found.
pub async fn ask(
    call: Call,
    who: Who,
    question: fn(&mut Asked) -> Result<Question, ApiError>,
    show: fn(&Asked, Reply) -> Result<Response, ApiError>,
) -> Result<Response, ApiError> {
    let mut asked = admit(call, who).await?;
    let reply = match question(&mut asked)? {
        Question::Stream(stream_id, command) => {
            let stream = asked.edge.stream(&stream_id)?;
            let stream = match who {
                Who::Receiver(_) => stream.on_behalf_of(&asked.client_id),
                Who::Operator => stream,
            };
            Reply::Stream(stream_id, stream.ask(command).await?)
        }
        Question::Tenant(command) => match (asked.edge.tenant()?.tell(command).await?, who) {
            (Ok(reply), _) => Reply::Tenant(reply),
            (Err(Refusal::UnknownClient), Who::Operator) => return Err(ApiError::not_found()),
            (Err(refusal), _) => return Err(ApiError::refused(refusal)),
        },
    };
    show(&asked, reply)
}

/// Lets in who may ask, and takes the body in.
pub fn admit(call: Call, who: Who) -> impl Future<Output = Result<Asked, ApiError>> {
    admit_within(call, who, body::LIMIT)
}

/// The same, with a body of up to `limit` bytes.
pub async fn admit_within(call: Call, who: Who, limit: usize) -> Result<Asked, ApiError> {
    let Call {
        edge,
        id,
        part,
        request,
    } = call;
    let (parts, payload) = request.into_parts();
    let client_id = match who {
        Who::Receiver(scope) => auth::client(&edge, &parts.headers, scope).await?.client_id,
        Who::Operator => {
            auth::operator(&edge, &parts.headers).await?;
            String::new()
        }
    };
    let given = match parts.method.as_str() {
        "GET" | "HEAD" | "DELETE" => Value::Null,
        _ => body::read_json(&parts.headers, payload, limit)?,
    };
    Ok(Asked {
        edge,
        client_id,
        id,
        part,
        parts,
        given,
        secret: None,
    })
}

/// An object answered something else than it was asked.
pub fn unexpected() -> ApiError {
    ApiError::internal("object", "an unexpected reply")
}
