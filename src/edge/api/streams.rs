//! `/ssf/streams`: the stream configuration endpoint (SSF 8.1.1).

use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use http::StatusCode;
use serde_json::Value;

use crate::edge::auth;
use crate::edge::command::{NewStream, Refusal, StreamCommand, StreamReply, StreamUpdate, TenantCommand, TenantReply};
use crate::edge::error::{ApiError, json_response, no_store};
use crate::protocol::oauth::Scope;
use crate::protocol::stream::{CreateRequest, Delivery, UpdateMode, UpdateRequest};
use crate::transmitter::stream::Stream;

use super::call::Call;
use super::query::{parameter, required};

pub async fn create(call: Call) -> Result<Response, ApiError> {
    let (edge, caller, given) = call.receiver(Scope::SsfManage).await?;
    let wanted = CreateRequest::parse(&given).map_err(|found| ApiError::invalid(&found))?;
    let (endpoint_url, authorization_header) = match wanted.delivery.unwrap_or_default() {
        Delivery::Push {
            endpoint_url,
            authorization_header,
        } => (
            Some(endpoint_url),
            authorization_header.map(|header| header.into_inner()),
        ),
        Delivery::Poll => (None, None),
    };
    let command = TenantCommand::CreateStream(Box::new(NewStream {
        client_id: caller.client_id,
        issuer: edge.issuer()?,
        endpoint_url,
        authorization_header,
        events_requested: wanted.events_requested,
        description: wanted.description,
    }));
    configured(StatusCode::CREATED, edge.tenant()?.ask(command).await?)
}

/// With `stream_id` one configuration, without it all of the caller's (SSF-8.1.1.2-3, SSF-8.1.1.2-4).
pub async fn read(call: Call) -> Result<Response, ApiError> {
    let Call { edge, request, .. } = call;
    let caller = auth::client(&edge, request.headers(), Scope::SsfRead).await?;
    if let Some(stream_id) = parameter(&request, "stream_id")? {
        let stream = edge.stream(&stream_id)?.on_behalf_of(&caller.client_id);
        let StreamReply::Stream(stream) = stream.ask(StreamCommand::Read).await? else {
            return Err(ApiError::internal("stream", "an unexpected reply"));
        };
        return Ok(json_response(StatusCode::OK, &show(&stream)));
    }
    let streams = TenantCommand::Streams {
        client_id: Some(caller.client_id.clone()),
    };
    let TenantReply::Children(children) = edge.tenant()?.ask(streams).await? else {
        return Err(ApiError::internal("tenant", "an unexpected reply"));
    };
    let reads = join_all(children.iter().map(async |child| {
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

pub async fn update(call: Call) -> Result<Response, ApiError> {
    reconfigure(call, UpdateMode::Patch).await
}

pub async fn replace(call: Call) -> Result<Response, ApiError> {
    reconfigure(call, UpdateMode::Put).await
}

/// PATCH and PUT differ in what an absent member means (SSF-8.1.1.3-5, SSF-8.1.1.4-4) and in nothing else.
async fn reconfigure(call: Call, mode: UpdateMode) -> Result<Response, ApiError> {
    let (edge, caller, given) = call.receiver(Scope::SsfManage).await?;
    let mut request = UpdateRequest::parse(&given).map_err(|found| ApiError::invalid(&found))?;
    edge.stream(&request.stream_id)?;
    let authorization_header = request.take_authorization().map(|header| header.into_inner());
    let command = TenantCommand::UpdateStream(Box::new(StreamUpdate {
        client_id: caller.client_id,
        issuer: edge.issuer()?,
        request,
        mode,
        authorization_header,
    }));
    configured(StatusCode::OK, edge.tenant()?.ask(command).await?)
}

/// SSF-8.1.1.5-2, SSF-8.1.1.5-3: one stream, named in the query; never all of them.
pub async fn delete(call: Call) -> Result<Response, ApiError> {
    let Call { edge, request, .. } = call;
    let caller = auth::client(&edge, request.headers(), Scope::SsfManage).await?;
    let stream_id = required(&request, "stream_id")?;
    edge.stream(&stream_id)?;
    let command = TenantCommand::DeleteStream {
        client_id: Some(caller.client_id),
        stream_id,
    };
    edge.tenant()?.ask(command).await?;
    Ok((StatusCode::NO_CONTENT, no_store()).into_response())
}

fn configured(status: StatusCode, reply: TenantReply) -> Result<Response, ApiError> {
    match reply {
        TenantReply::Stream(stream) => Ok(json_response(status, &show(&stream))),
        _ => Err(ApiError::internal("tenant", "an unexpected reply")),
    }
}

/// A stream as its receiver sees it.
pub fn show(stream: &Stream) -> Value {
    stream.configuration.to_json(&stream.poll_url())
}
