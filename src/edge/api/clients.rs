//! `/admin/clients`: who may call, registered by the operator.

use serde_json::Value;

use crate::edge::command::{TenantCommand, TenantReply};
use crate::edge::error::{ApiError, json_response, no_store};
use crate::edge::web::{Response, StatusCode};
use crate::protocol::client::ClientMetadata;
use crate::protocol::endpoint_url::UrlPolicy;
use crate::protocol::json::json;
use crate::protocol::json::put;
use crate::transmitter::registry::Client;

use super::ask::{Asked, Question, Reply, Who, ask, unexpected};
use super::call::{Answering, Call};

pub fn register(call: Call) -> impl Answering {
    ask(
        call,
        Who::Operator,
        |asked| {
            let policy = UrlPolicy::of_issuer(asked.edge.settings().allow_loopback, asked.edge.origin()?);
            let metadata = ClientMetadata::parse(&asked.given, &policy).map_err(|found| ApiError::invalid(&found))?;
            Ok(Question::Tenant(TenantCommand::RegisterClient { metadata }))
        },
        |_, reply| {
            let Reply::Tenant(TenantReply::Registered { client, client_secret }) = reply else {
                return Err(unexpected());
            };
            let mut shown = show_client(&client);
            put(&mut shown, "client_secret", client_secret);
            put(&mut shown, "client_secret_expires_at", 0);
            Ok(json_response(StatusCode::CREATED, &shown))
        },
    )
}

pub fn list(call: Call) -> impl Answering {
    ask(
        call,
        Who::Operator,
        |_| Ok(Question::Tenant(TenantCommand::Clients)),
        |_, reply| {
            let Reply::Tenant(TenantReply::Clients(clients)) = reply else {
                return Err(unexpected());
            };
            let clients: Vec<Value> = clients.iter().map(show_client).collect();
            Ok(json_response(StatusCode::OK, &json!({"clients": clients})))
        },
    )
}

pub fn show(call: Call) -> impl Answering {
    ask(
        call,
        Who::Operator,
        |asked| {
            let client_id = asked.id.clone();
            Ok(Question::Tenant(TenantCommand::Client { client_id }))
        },
        named,
    )
}

/// Changes what is given. Streams keep their audience, which never changes (SSF-8.1.1-3), and their endpoints until they are
/// changed themselves; all else reaches them at once.
pub fn change(call: Call) -> impl Answering {
    ask(
        call,
        Who::Operator,
        |asked| {
            Ok(Question::Tenant(TenantCommand::ChangeClient {
                client_id: asked.id.clone(),
                patch: asked.given.take(),
                issuer: asked.edge.issuer()?,
            }))
        },
        named,
    )
}

/// The client's streams go with it, and its tokens are good for nothing any more.
pub fn delete(call: Call) -> impl Answering {
    ask(
        call,
        Who::Operator,
        |asked| {
            let client_id = asked.id.clone();
            Ok(Question::Tenant(TenantCommand::DeleteClient { client_id }))
        },
        |_, _| Ok(Response::empty(StatusCode::NO_CONTENT, no_store())),
    )
}

fn named(_: &Asked, reply: Reply) -> Result<Response, ApiError> {
    match reply {
        Reply::Tenant(TenantReply::Client(client)) => Ok(json_response(StatusCode::OK, &show_client(&client))),
        _ => Err(unexpected()),
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
        "handshake": metadata.handshake,
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
