//! `/admin/sources`: what we receive, and from whom.

use serde_json::{Map, Value};

use crate::edge::command::{
    NewForward, NewSource, Refusal, SourceChange, SourceCommand, SourceReply, SourceSecrets, TenantCommand, TenantReply,
};
use crate::edge::context::Edge;
use crate::edge::error::{ApiError, json_response, no_store};
use crate::edge::together::together;
use crate::edge::web::{Response, StatusCode};
use crate::edge::{crypto, random};
use crate::protocol::endpoint_url::UrlPolicy;
use crate::protocol::json::json;
use crate::protocol::json::put;
use crate::receiver::source::{Source, SourceRequest};

use super::ask::{Asked, Question, Reply, Who, admit, ask, unexpected};
use super::call::{Answering, Call};
use super::streams;

pub async fn create(call: Call) -> Result<Response, ApiError> {
    let Asked { edge, given, .. } = admit(call, Who::Operator).await?;
    // The issuer may be ourselves: nothing but metadata and keys is asked of it.
    let policy = UrlPolicy {
        allow_loopback: edge.settings().allow_loopback,
        own_host: None,
        ports: Vec::new(),
    };
    let wanted = SourceRequest::parse(&given, &policy).map_err(|found| ApiError::invalid(&found))?;
    let authorization_header = format!("Bearer {}", random::text::<32>()?);
    let secret = streams::webhook_secret()?;
    let forward = match wanted.forward {
        Some(forward) => Some(NewForward {
            issuer: edge.issuer()?,
            forward,
            webhook_secret: secret.clone(),
        }),
        None => None,
    };
    let is_forwarded = forward.is_some();
    // Where nothing is managed nobody needs it again.
    let kept = wanted.managed.credentials.as_ref().filter(|_| !wanted.managed.poll);
    let secrets = SourceSecrets {
        credentials: wanted.given.credentials.flatten(),
        authorization_header: kept.map(|_| authorization_header.clone()),
    };
    let polled = wanted.managed.poll;
    let source = Source {
        source_id: String::new(),
        tenant: String::new(),
        issuer: wanted.issuer,
        audience: wanted.audience,
        description: wanted.description,
        jwks: wanted.jwks,
        target: wanted.target,
        envelope: wanted.envelope,
        webhook_secret: None,
        forward: None,
        managed: wanted.managed,
        origin: edge.origin()?.to_owned(),
        authorization_hash: crypto::sha256_hex(&authorization_header),
        former_hash: None,
        created_at: 0,
        rev: 0,
    };
    let command = TenantCommand::CreateSource(Box::new(NewSource {
        source,
        webhook_secret: wanted.webhook_secret,
        forward,
        secrets,
        subjects: wanted.given.subjects.unwrap_or_default(),
    }));
    let TenantReply::Source(source) = edge.tenant()?.ask(command).await? else {
        return Err(ApiError::internal("tenant", "an unexpected reply"));
    };
    // With its set-up, and with the stream that hands its events on.
    let mut shown = view(&edge, &source.source_id).await?.ok_or_else(ApiError::not_found)?;
    if !polled {
        put(&mut shown, "authorization_header", authorization_header);
    }
    if is_forwarded {
        show_secret(&mut shown, secret);
    }
    Ok(json_response(StatusCode::CREATED, &shown))
}

pub async fn list(call: Call) -> Result<Response, ApiError> {
    let Asked { edge, .. } = admit(call, Who::Operator).await?;
    let TenantReply::Children(children) = edge.tenant()?.ask(TenantCommand::Sources).await? else {
        return Err(ApiError::internal("tenant", "an unexpected reply"));
    };
    let views = together(children.iter().map(async |child| view(&edge, &child.id).await)).await;
    let mut sources = Vec::with_capacity(views.len());
    for source in views {
        // One that was deleted since the list was made is left out.
        if let Some(source) = source? {
            sources.push(source);
        }
    }
    Ok(json_response(StatusCode::OK, &json!({"sources": sources})))
}

pub async fn show(call: Call) -> Result<Response, ApiError> {
    let Asked { edge, id, .. } = admit(call, Who::Operator).await?;
    let shown = view(&edge, &id).await?.ok_or_else(ApiError::not_found)?;
    Ok(json_response(StatusCode::OK, &shown))
}

/// Changes members; what is absent stays. Where its events go on to is the tenant's to change: it has the stream.
pub async fn change(call: Call) -> Result<Response, ApiError> {
    let mut asked = admit(call, Who::Operator).await?;
    let mut secret = None;
    let forward = asked.given.as_object_mut().and_then(|given| given.remove("forward"));
    if let Some(forward) = forward {
        asked.edge.source(&asked.id)?;
        let webhook_secret = streams::webhook_secret()?;
        let is_all = asked.given.as_object().is_some_and(Map::is_empty);
        let change = SourceChange {
            source_id: asked.id.clone(),
            patch: if is_all { Value::Null } else { asked.given },
            forward: NewForward {
                issuer: asked.edge.issuer()?,
                forward,
                webhook_secret: webhook_secret.clone(),
            },
        };
        let command = TenantCommand::ChangeSource(Box::new(change));
        let TenantReply::SourceChanged { is_new } = asked.edge.tenant()?.ask(command).await? else {
            return Err(unexpected());
        };
        secret = is_new.then_some(webhook_secret);
    } else {
        let command = SourceCommand::Change { patch: asked.given };
        asked.edge.source(&asked.id)?.ask(command).await?;
    }
    let shown = view(&asked.edge, &asked.id).await?;
    let mut shown = shown.ok_or_else(ApiError::not_found)?;
    if let Some(secret) = secret {
        show_secret(&mut shown, secret);
    }
    Ok(json_response(StatusCode::OK, &shown))
}

/// The secret that events are handed on with: in this answer, and never again.
fn show_secret(shown: &mut Value, secret: String) {
    if let Some(forward) = shown.get_mut("forward") {
        put(forward, "webhook_secret", secret);
    }
}

pub fn delete(call: Call) -> impl Answering {
    ask(
        call,
        Who::Operator,
        |asked| {
            asked.edge.source(&asked.id)?;
            let source_id = asked.id.clone();
            Ok(Question::Tenant(TenantCommand::DeleteSource { source_id }))
        },
        |_, reply| {
            // Begun: its transmitter cannot be reached now.
            let begun = matches!(reply, Reply::Tenant(TenantReply::Begun));
            let status = if begun {
                StatusCode::ACCEPTED
            } else {
                StatusCode::NO_CONTENT
            };
            Ok(Response::empty(status, no_store()))
        },
    )
}

/// A source as the operator sees it.
async fn view(edge: &Edge, source_id: &str) -> Result<Option<Value>, ApiError> {
    let object = edge.source(source_id)?;
    let receive_url = format!("{}/receive/{source_id}", edge.origin()?);
    match object.tell(SourceCommand::Show { receive_url }).await? {
        Ok(SourceReply::Shown(source)) => Ok(Some(source)),
        Err(Refusal::Gone | Refusal::NotFound) => Ok(None),
        Err(refusal) => Err(ApiError::refused(refusal)),
        Ok(_) => Err(unexpected()),
    }
}
