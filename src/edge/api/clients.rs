//! `/admin/clients`: who may call, registered by the operator.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use crate::edge::auth;
use crate::edge::command::{Refusal, TenantCommand, TenantReply};
use crate::edge::context::Edge;
use crate::edge::error::{ApiError, json_response, no_store};
use crate::protocol::client::ClientMetadata;
use crate::protocol::endpoint_url::UrlPolicy;
use crate::protocol::json::put;
use crate::transmitter::registry::Client;

use super::call::Call;

pub async fn register(call: Call) -> Result<Response, ApiError> {
    let (edge, _, given) = call.operator().await?;
    let policy = UrlPolicy::of_issuer(edge.settings().allow_loopback, edge.origin()?);
    let metadata = ClientMetadata::parse(&given, &policy).map_err(|found| ApiError::invalid(&found))?;
    let reply = edge.tenant()?.ask(TenantCommand::RegisterClient { metadata }).await?;
    let TenantReply::Registered { client, client_secret } = reply else {
        return Err(ApiError::internal("tenant", "an unexpected reply"));
    };
    let mut shown = show_client(&client);
    put(&mut shown, "client_secret", client_secret);
    put(&mut shown, "client_secret_expires_at", 0);
    Ok(json_response(StatusCode::CREATED, &shown))
}

pub async fn list(call: Call) -> Result<Response, ApiError> {
    let Call { edge, request, .. } = call;
    auth::operator(&edge, request.headers()).await?;
    let TenantReply::Clients(clients) = edge.tenant()?.ask(TenantCommand::Clients).await? else {
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
    named(&edge, TenantCommand::Client { client_id }).await
}

/// Changes what is given. Streams keep their audience, which never changes (SSF-8.1.1-3), and their endpoints until they are
/// changed themselves; all else reaches them at once.
pub async fn change(call: Call) -> Result<Response, ApiError> {
    let (edge, client_id, patch) = call.operator().await?;
    let command = TenantCommand::ChangeClient {
        client_id,
        patch,
        issuer: edge.issuer()?,
    };
    named(&edge, command).await
}

/// The client's streams go with it, and its tokens are good for nothing any more.
pub async fn delete(call: Call) -> Result<Response, ApiError> {
    let Call {
        edge,
        id: client_id,
        request,
    } = call;
    auth::operator(&edge, request.headers()).await?;
    named(&edge, TenantCommand::DeleteClient { client_id }).await
}

async fn named(edge: &Edge, command: TenantCommand) -> Result<Response, ApiError> {
    match edge.tenant()?.tell(command).await? {
        Ok(TenantReply::Client(client)) => Ok(json_response(StatusCode::OK, &show_client(&client))),
        Ok(TenantReply::Done) => Ok((StatusCode::NO_CONTENT, no_store()).into_response()),
        // It is asked for here, not presented: not found, rather than not authorized.
        Err(Refusal::UnknownClient) => Err(ApiError::not_found()),
        Err(refusal) => Err(ApiError::refused(refusal)),
        Ok(_) => Err(ApiError::internal("tenant", "an unexpected reply")),
    }
}

/// A client in RFC 7591's member names. Its secret was shown once and is not known any more.
fn show_client(client: &Client) -> Value {
    let metadata = &client.metadata;
    let mut shown = json!({
        "client_id": client.client_id,
        "client_name": metadata.client_name,
        "scope": metadata.scope.to_string(),
        "audience": metadata.audience,
        "push_endpoints": metadata.push_endpoints,
        "profile": metadata.profile.name(),
        "client_id_issued_at": client.created_at / 1000,
        "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["client_credentials"],
    });
    if let Some(allowed) = &metadata.events_allowed {
        put(&mut shown, "events_allowed", json!(allowed));
    }
    if let Some(default_subjects) = &metadata.default_subjects {
        put(&mut shown, "default_subjects", json!(default_subjects));
    }
    shown
}
