//! `/admin/sources`: what we receive, from whom, and the inbox.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use crate::edge::command::{NewSource, Refusal, SourceCommand, SourceReply, TenantCommand, TenantReply};
use crate::edge::context::Edge;
use crate::edge::error::{ApiError, json_response, no_store};
use crate::edge::together::together;
use crate::edge::{auth, crypto, random};
use crate::protocol::endpoint_url::UrlPolicy;
use crate::protocol::jose::jws;
use crate::protocol::set::Claims;
use crate::receiver::inbox::Stored;
use crate::receiver::source::{Source, SourceRequest};

use super::ask::{Asked, Question, Who, admit, ask};
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
    let command = TenantCommand::CreateSource(Box::new(NewSource {
        issuer: wanted.issuer,
        audience: wanted.audience,
        description: wanted.description,
        jwks: wanted.jwks,
        target: wanted.target,
        authorization_hash: crypto::sha256_hex(&authorization_header),
    }));
    let TenantReply::Source(source) = edge.tenant()?.ask(command).await? else {
        return Err(ApiError::internal("tenant", "an unexpected reply"));
    };
    let mut shown = source.to_json(&receive_url(&edge, &source)?);
    if let Some(members) = shown.as_object_mut() {
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
            sources.push(source.to_json(&receive_url(&edge, &source)?));
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
    Ok(json_response(
        StatusCode::OK,
        &source.to_json(&receive_url(&edge, &source)?),
    ))
}

/// Changes members; what is absent stays.
pub async fn change(call: Call) -> Result<Response, ApiError> {
    let asked = admit(call, Who::Operator).await?;
    let command = SourceCommand::Change {
        patch: asked.given.clone(),
    };
    let SourceReply::View(view) = asked.edge.source(&asked.id)?.ask(command).await? else {
        return Err(ApiError::internal("source", "an unexpected reply"));
    };
    let shown = view.source.to_json(&receive_url(&asked.edge, &view.source)?);
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
        |_, _| Ok((StatusCode::NO_CONTENT, no_store()).into_response()),
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

async fn view(edge: &Edge, source_id: &str) -> Result<Option<Source>, ApiError> {
    match edge.source(source_id)?.tell(SourceCommand::View).await? {
        Ok(SourceReply::View(view)) => Ok(Some(view.source)),
        Err(Refusal::Gone | Refusal::NotFound) => Ok(None),
        Err(refusal) => Err(ApiError::refused(refusal)),
        Ok(_) => Err(ApiError::internal("source", "an unexpected reply")),
    }
}

fn receive_url(edge: &Edge, source: &Source) -> Result<String, ApiError> {
    Ok(format!("{}/receive/{}", edge.origin()?, source.source_id))
}

/// A stored event, its claims beside the SET they came in. The signature was verified before it was stored.
fn show_event(stored: &Stored) -> Value {
    let claims = jws::parse(&stored.set)
        .ok()
        .and_then(|token| Claims::parse(&token.assume_verified().claims).ok());
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
