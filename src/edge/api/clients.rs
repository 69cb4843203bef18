//! `/admin/clients`: who may call, registered by the operator.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use crate::edge::command::{Refusal, TenantCommand, TenantReply};
use crate::edge::error::{ApiError, json_response};
use crate::edge::{auth, body};
use crate::protocol::client::ClientMetadata;
use crate::protocol::endpoint_url::UrlPolicy;
use crate::transmitter::registry::Client;

use super::call::Call;

pub async fn register(call: Call) -> Result<Response, ApiError> {
    let Call { edge, request, .. } = call;
    let (parts, payload) = request.into_parts();
    auth::operator(&edge, &parts.headers).await?;
    let given = body::read_json(&parts.headers, payload, body::LIMIT).await?;
    let own_host = edge.origin()?.split_once("://").map(|(_, host)| host.to_owned());
    let policy = UrlPolicy {
        allow_loopback: edge.settings().allow_loopback,
        own_host,
    };
    let metadata = ClientMetadata::parse(&given, &policy).map_err(|found| ApiError::invalid(&found))?;
    let reply = edge.tenant()?.ask(&TenantCommand::RegisterClient { metadata }).await?;
    let TenantReply::Registered { client, client_secret } = reply else {
        return Err(ApiError::internal("tenant", "an unexpected reply"));
    };
    let mut shown = show_client(&client);
    if let Some(members) = shown.as_object_mut() {
        members.insert("client_secret".to_owned(), json!(client_secret));
        members.insert("client_secret_expires_at".to_owned(), json!(0));
    }
    Ok(json_response(StatusCode::CREATED, &shown))
}

pub async fn list(call: Call) -> Result<Response, ApiError> {
    let Call { edge, request, .. } = call;
    auth::operator(&edge, request.headers()).await?;
    let TenantReply::Clients(clients) = edge.tenant()?.ask(&TenantCommand::Clients).await? else {
        return Err(ApiError::internal("tenant", "an unexpected reply"));
    };
    let clients: Vec<Value> = clients.iter().map(show_client).collect();
    Ok(json_response(StatusCode::OK, &json!({"clients": clients})))
}

pub async fn show(call: Call) -> Result<Response, ApiError> {
    let Call {
        edge,
        id: client_id,
        request,
    } = call;
    auth::operator(&edge, request.headers()).await?;
    match edge.tenant()?.tell(&TenantCommand::Client { client_id }).await? {
        Ok(TenantReply::Client(client)) => Ok(json_response(StatusCode::OK, &show_client(&client))),
        // It is asked for here, not presented: not found, rather than not authorized.
        Err(Refusal::UnknownClient) => Err(ApiError::not_found()),
        Err(refusal) => Err(ApiError::refused(refusal)),
        Ok(_) => Err(ApiError::internal("tenant", "an unexpected reply")),
    }
}

/// A client in RFC 7591's member names. Its secret was shown once and is not known any more.
fn show_client(client: &Client) -> Value {
    let metadata = &client.metadata;
    json!({
        "client_id": client.client_id,
        "client_name": metadata.client_name,
        "scope": metadata.scope.to_string(),
        "audience": metadata.audience,
        "push_endpoints": metadata.push_endpoints,
        "client_id_issued_at": client.created_at / 1000,
        "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["client_credentials"],
    })
}
