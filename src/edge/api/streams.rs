//! `/ssf/streams`: the stream configuration endpoint (SSF 8.1.1).

use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use http::StatusCode;
use serde_json::Value;

use crate::edge::command::{NewStream, Refusal, StreamCommand, StreamReply, TenantCommand, TenantReply};
use crate::edge::error::{ApiError, json_response, no_store};
use crate::edge::{auth, body};
use crate::protocol::oauth::Scope;
use crate::protocol::stream::{CreateRequest, Delivery};
use crate::transmitter::stream::Stream;

use super::call::Call;
use super::query::parameter;

pub async fn create(call: Call) -> Result<Response, ApiError> {
    let Call { edge, request, .. } = call;
    let (parts, payload) = request.into_parts();
    let caller = auth::client(&edge, &parts.headers, Scope::SsfManage).await?;
    let given = body::read_json(&parts.headers, payload, body::LIMIT).await?;
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
        issuer: edge.origin()?.to_owned(),
        endpoint_url,
        authorization_header,
        events_requested: wanted.events_requested,
        description: wanted.description,
    }));
    let TenantReply::Stream(stream) = edge.tenant()?.ask(&command).await? else {
        return Err(ApiError::internal("tenant", "an unexpected reply"));
    };
    Ok(json_response(StatusCode::CREATED, &show(&stream)))
}

/// With `stream_id` one configuration, without it all of the caller's (SSF-8.1.1.2-3, SSF-8.1.1.2-4).
pub async fn read(call: Call) -> Result<Response, ApiError> {
    let Call { edge, request, .. } = call;
    let caller = auth::client(&edge, request.headers(), Scope::SsfRead).await?;
    let command = StreamCommand::Read {
        client_id: Some(caller.client_id.clone()),
    };
    if let Some(stream_id) = parameter(&request, "stream_id")? {
        let StreamReply::Stream(stream) = edge.stream(&stream_id)?.ask(&command).await? else {
            return Err(ApiError::internal("stream", "an unexpected reply"));
        };
        return Ok(json_response(StatusCode::OK, &show(&stream)));
    }
    let streams = TenantCommand::Streams {
        client_id: Some(caller.client_id),
    };
    let TenantReply::Children(children) = edge.tenant()?.ask(&streams).await? else {
        return Err(ApiError::internal("tenant", "an unexpected reply"));
    };
    let reads = join_all(
        children
            .iter()
            .map(async |child| edge.stream(&child.id)?.tell(&command).await),
    )
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

/// SSF-8.1.1.5-2, SSF-8.1.1.5-3: one stream, named in the query; never all of them.
pub async fn delete(call: Call) -> Result<Response, ApiError> {
    let Call { edge, request, .. } = call;
    let caller = auth::client(&edge, request.headers(), Scope::SsfManage).await?;
    let stream_id = parameter(&request, "stream_id")?
        .ok_or_else(|| ApiError::bad_request("Name the stream to delete in the query: ?stream_id=…"))?;
    edge.stream(&stream_id)?;
    let command = TenantCommand::DeleteStream {
        client_id: caller.client_id,
        stream_id,
    };
    edge.tenant()?.ask(&command).await?;
    Ok((StatusCode::NO_CONTENT, no_store()).into_response())
}

/// A stream as its receiver sees it.
pub fn show(stream: &Stream) -> Value {
    let configuration = &stream.configuration;
    configuration.to_json(&format!("{}/ssf/poll/{}", configuration.iss, configuration.stream_id))
}
