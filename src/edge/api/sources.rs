//! `/admin/sources`: what we receive, from whom, and the inbox.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use crate::edge::command::{NewSource, Refusal, SourceCommand, SourceReply, SourceSecrets, TenantCommand, TenantReply};
use crate::edge::context::Edge;
use crate::edge::error::{ApiError, json_response, no_store};
use crate::edge::together::together;
use crate::edge::{auth, crypto, random};
use crate::protocol::endpoint_url::UrlPolicy;
use crate::receiver::inbox::Stored;
use crate::receiver::intake::stored_claims;
use crate::receiver::source::SourceRequest;

use super::ask::{Asked, Question, Reply, Who, admit, ask};
use super::call::{Answering, Call};
use super::query::page;

/// Most events in one answer.
const MAX_PAGE: u32 = 1000;

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
    // Where nothing is managed nobody needs it again.
    let kept = wanted.managed.credentials.as_ref().filter(|_| !wanted.managed.poll);
    let secrets = SourceSecrets {
        credentials: wanted.given.credentials.flatten(),
        authorization_header: kept.map(|_| authorization_header.clone()),
    };
    let polled = wanted.managed.poll;
    let command = TenantCommand::CreateSource(Box::new(NewSource {
        issuer: wanted.issuer,
        audience: wanted.audience,
        description: wanted.description,
        jwks: wanted.jwks,
        target: wanted.target,
        managed: wanted.managed,
        origin: edge.origin()?.to_owned(),
        secrets,
        subjects: wanted.given.subjects.unwrap_or_default(),
        authorization_hash: crypto::sha256_hex(&authorization_header),
    }));
    let TenantReply::Source(source) = edge.tenant()?.ask(command).await? else {
        return Err(ApiError::internal("tenant", "an unexpected reply"));
    };
    let mut shown = view(&edge, &source.source_id).await?.ok_or_else(ApiError::not_found)?;
    if let Some(members) = shown.as_object_mut().filter(|_| !polled) {
        members.insert("authorization_header".to_owned(), json!(authorization_header));
    }
    Ok(json_response(StatusCode::CREATED, &shown))
}

pub async fn list(call: Call) -> Result<Response, ApiError> {
    let Call { edge, request, .. } = call;
    auth::operator(&edge, request.headers()).await?;
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
    let Call {
        edge,
        id: source_id,
        request,
        ..
    } = call;
    auth::operator(&edge, request.headers()).await?;
    let source = view(&edge, &source_id).await?.ok_or_else(ApiError::not_found)?;
    Ok(json_response(StatusCode::OK, &source))
}

/// Changes members; what is absent stays.
pub async fn change(call: Call) -> Result<Response, ApiError> {
    let asked = admit(call, Who::Operator).await?;
    let command = SourceCommand::Change {
        patch: asked.given.clone(),
    };
    asked.edge.source(&asked.id)?.ask(command).await?;
    let shown = view(&asked.edge, &asked.id).await?.ok_or_else(ApiError::not_found)?;
    Ok(json_response(StatusCode::OK, &shown))
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
            Ok((status, no_store()).into_response())
        },
    )
}

pub async fn events(call: Call) -> Result<Response, ApiError> {
    let Call {
        edge,
        id: source_id,
        request,
        ..
    } = call;
    auth::operator(&edge, request.headers()).await?;
    let (after, limit) = page(request.uri(), MAX_PAGE)?;
    let SourceReply::Events(stored) = edge
        .source(&source_id)?
        .ask(SourceCommand::Events { after, limit })
        .await?
    else {
        return Err(ApiError::internal("source", "an unexpected reply"));
    };
    let cursor = stored.last().map_or(after, |event| event.seq);
    let events: Vec<Value> = stored.iter().map(show_event).collect();
    Ok(json_response(
        StatusCode::OK,
        &json!({"events": events, "cursor": cursor.to_string()}),
    ))
}

async fn view(edge: &Edge, source_id: &str) -> Result<Option<Value>, ApiError> {
    let object = edge.source(source_id)?;
    let receive_url = format!("{}/receive/{source_id}", edge.origin()?);
    match object.tell(SourceCommand::Show { receive_url }).await? {
        Ok(SourceReply::Shown(source)) => Ok(Some(source)),
        Err(Refusal::Gone | Refusal::NotFound) => Ok(None),
        Err(refusal) => Err(ApiError::refused(refusal)),
        Ok(_) => Err(ApiError::internal("source", "an unexpected reply")),
    }
}

/// A stored event, its claims beside the SET they came in. The signature was verified before it was stored.
fn show_event(stored: &Stored) -> Value {
    let claims = stored_claims(&stored.set);
    let mut shown = json!({"received_at": stored.at, "set": stored.set, "intake": stored.intake});
    if let (Some(claims), Some(members)) = (claims, shown.as_object_mut()) {
        members.insert("jti".to_owned(), json!(claims.jti));
        members.insert("iss".to_owned(), json!(claims.iss));
        members.insert("type".to_owned(), json!(claims.event_type));
        members.insert("sub_id".to_owned(), claims.sub_id);
        members.insert("event".to_owned(), claims.event);
        members.insert("txn".to_owned(), json!(claims.txn));
        members.insert("toe".to_owned(), json!(claims.toe));
        members.insert("iat".to_owned(), json!(claims.iat));
    }
    shown
}
