//! `/ssf/streams`: the stream configuration endpoint (SSF 8.1.1).

use serde_json::Value;

use crate::edge::command::{NewStream, Refusal, StreamCommand, StreamReply, StreamUpdate, TenantCommand, TenantReply};
use crate::edge::error::{ApiError, json_response, no_store};
use crate::edge::together::together;
use crate::edge::web::{Response, StatusCode};
use crate::edge::{auth, crypto, random};
use crate::protocol::json::json;
use crate::protocol::json::put;
use crate::protocol::oauth::Scope;
use crate::protocol::secret::Secret;
use crate::protocol::stream::{CreateRequest, Delivery, UpdateMode, UpdateRequest};
use crate::protocol::webhook::WebhookSecret;
use crate::transmitter::stream::Stream;

use super::ask::{Question, Reply, Who, ask, unexpected};
use super::call::{Answering, Call};
use super::query::{parameter, required};

pub fn create(call: Call) -> impl Answering {
    ask(
        call,
        Who::Receiver(Scope::SsfManage),
        |asked| {
            let wanted = CreateRequest::parse(&asked.given).map_err(|found| ApiError::invalid(&found))?;
            let (endpoint_url, authorization_header, cloudevents) = match wanted.delivery.unwrap_or_default() {
                Delivery::Push {
                    endpoint_url,
                    authorization_header,
                    cloudevents,
                } => (
                    Some(endpoint_url),
                    authorization_header.map(Secret::into_inner),
                    cloudevents,
                ),
                Delivery::Poll => (None, None, None),
            };
            asked.secret = cloudevents.map(|_| webhook_secret()).transpose()?;
            Ok(Question::Tenant(TenantCommand::CreateStream(Box::new(NewStream {
                client_id: asked.client_id.clone(),
                issuer: asked.edge.issuer()?,
                endpoint_url,
                authorization_header,
                cloudevents,
                webhook_secret: asked.secret.clone(),
                events_requested: wanted.events_requested,
                description: wanted.description,
            }))))
        },
        |asked, reply| configured(StatusCode::CREATED, asked.secret.as_ref(), reply),
    )
}

/// With `stream_id` one configuration, without it all of the caller's (SSF-8.1.1.2-3, SSF-8.1.1.2-4).
pub async fn read(call: Call) -> Result<Response, ApiError> {
    let Call { edge, request, .. } = call;
    let caller = auth::client(&edge, request.headers(), Scope::SsfRead).await?;
    if let Some(stream_id) = parameter(request.uri(), "stream_id")? {
        let stream = edge.stream(&stream_id)?.on_behalf_of(&caller.client_id);
        let StreamReply::Stream(stream) = stream.ask(StreamCommand::Read).await? else {
            return Err(ApiError::internal("stream", "an unexpected reply"));
        };
        return Ok(json_response(StatusCode::OK, &show(&stream)));
    }
    let streams = TenantCommand::Streams {
        client_id: Some(caller.client_id.clone()),
        after: String::new(),
        limit: 0,
    };
    let TenantReply::Streams { streams: children, .. } = edge.tenant()?.ask(streams).await? else {
        return Err(ApiError::internal("tenant", "an unexpected reply"));
    };
    let reads = together(children.iter().map(async |child| {
        let stream = edge.stream(&child.id)?.on_behalf_of(&caller.client_id);
        stream.tell(StreamCommand::Read).await
    }))
    .await;
    let mut shown = Vec::with_capacity(reads.len());
    for read in reads {
        match read? {
            Ok(StreamReply::Stream(stream)) => shown.push(show(&stream)),
            // Deleted since the list was made.
            Err(Refusal::Gone) => {}
            Ok(_) | Err(_) => return Err(ApiError::internal("stream", "an unexpected reply")),
        }
    }
    Ok(json_response(StatusCode::OK, &Value::Array(shown)))
}

/// PATCH and PUT differ in what an absent member means (SSF-8.1.1.3-5, SSF-8.1.1.4-4) and in nothing else.
pub fn update(call: Call) -> impl Answering {
    ask(
        call,
        Who::Receiver(Scope::SsfManage),
        |asked| {
            let mut request = UpdateRequest::parse(&asked.given).map_err(|found| ApiError::invalid(&found))?;
            asked.edge.stream(&request.stream_id)?;
            let authorization_header = request.take_authorization().map(Secret::into_inner);
            let cloudevents = request.delivery.as_ref().and_then(Delivery::cloudevents);
            asked.secret = cloudevents.map(|_| webhook_secret()).transpose()?;
            let mode = match asked.parts.method.as_str() {
                "PUT" => UpdateMode::Put,
                _ => UpdateMode::Patch,
            };
            Ok(Question::Tenant(TenantCommand::UpdateStream(Box::new(StreamUpdate {
                client_id: asked.client_id.clone(),
                issuer: asked.edge.issuer()?,
                request,
                mode,
                authorization_header,
                webhook_secret: asked.secret.clone(),
            }))))
        },
        |asked, reply| {
            // The stream took it if it had none.
            let id = asked.secret.as_deref().map(crypto::secret_id);
            let taken = match &reply {
                Reply::Tenant(TenantReply::Stream(stream)) => {
                    stream.webhook_secrets.first().map(|secret| &secret.id) == id.as_ref()
                }
                _ => false,
            };
            configured(StatusCode::OK, asked.secret.as_ref().filter(|_| taken), reply)
        },
    )
}

/// SSF-8.1.1.5-2, SSF-8.1.1.5-3: one stream, named in the query; never all of them.
pub fn delete(call: Call) -> impl Answering {
    ask(
        call,
        Who::Receiver(Scope::SsfManage),
        |asked| {
            let stream_id = required(&asked.parts.uri, "stream_id")?;
            asked.edge.stream(&stream_id)?;
            Ok(Question::Tenant(TenantCommand::DeleteStream {
                client_id: Some(asked.client_id.clone()),
                stream_id,
            }))
        },
        |_, _| Ok(Response::empty(StatusCode::NO_CONTENT, no_store())),
    )
}

/// A new secret for webhook signatures, in its written form.
pub fn webhook_secret() -> Result<String, ApiError> {
    Ok(WebhookSecret::from_random(random::bytes()?).to_text())
}

fn configured(status: StatusCode, secret: Option<&String>, reply: Reply) -> Result<Response, ApiError> {
    let Reply::Tenant(TenantReply::Stream(stream)) = reply else {
        return Err(unexpected());
    };
    let mut shown = show(&stream);
    if let (Some(secret), Some(cloudevents)) = (secret, shown.pointer_mut("/delivery/cloudevents")) {
        put(cloudevents, "secret", json!(secret));
    }
    Ok(json_response(status, &shown))
}

/// A stream as its receiver sees it.
pub fn show(stream: &Stream) -> Value {
    stream.configuration.to_json(&stream.poll_url())
}
