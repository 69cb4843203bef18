//! What others may know of us without asking for anything: metadata and keys.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::{Value, json};

use crate::edge::command::{TenantCommand, TenantReply};
use crate::edge::context::Edge;
use crate::edge::error::ApiError;
use crate::edge::{auth, kv};
use crate::protocol::metadata::{self, AuthorizationScheme, DefaultSubjects, OAUTH, SPEC_VERSION, TransmitterMetadata};
use crate::protocol::oauth::Scope;
use crate::protocol::stream::{POLL, PUSH};

use super::call::Call;

pub async fn ssf_configuration(Call { edge, .. }: Call) -> Result<Response, ApiError> {
    let issuer = edge.origin()?;
    let metadata = TransmitterMetadata {
        spec_version: Some(SPEC_VERSION.to_owned()),
        issuer: issuer.to_owned(),
        jwks_uri: Some(format!("{issuer}/jwks.json")),
        delivery_methods_supported: vec![PUSH.to_owned(), POLL.to_owned()],
        configuration_endpoint: Some(format!("{issuer}/ssf/streams")),
        status_endpoint: None,
        add_subject_endpoint: None,
        remove_subject_endpoint: None,
        verification_endpoint: None,
        critical_subject_members: Vec::new(),
        authorization_schemes: vec![AuthorizationScheme {
            spec_urn: OAUTH.to_owned(),
        }],
        default_subjects: Some(DefaultSubjects::All),
    };
    Ok(public(&edge, &metadata.to_json()))
}

pub async fn authorization_server(Call { edge, .. }: Call) -> Result<Response, ApiError> {
    let issuer = edge.origin()?;
    let document = metadata::authorization_server(
        issuer,
        &format!("{issuer}/oauth/token"),
        &format!("{issuer}/jwks.json"),
        &Scope::ALL.map(Scope::name),
    );
    Ok(public(&edge, &document))
}

pub async fn protected_resource(Call { edge, .. }: Call) -> Result<Response, ApiError> {
    let issuer = edge.origin()?;
    let document = metadata::protected_resource(issuer, issuer, &Scope::ALL.map(Scope::name));
    Ok(public(&edge, &document))
}

pub async fn jwks(Call { edge, .. }: Call) -> Result<Response, ApiError> {
    edge.origin()?;
    let published: Vec<Value> = match kv::get(edge.env(), auth::JWKS_COPY).await {
        Some(published) => published,
        None => match edge.tenant()?.ask(&TenantCommand::Jwks).await? {
            TenantReply::Jwks(published) => published,
            _ => return Err(ApiError::internal("tenant", "an unexpected reply")),
        },
    };
    Ok(public(&edge, &json!({"keys": published})))
}

/// A document that may be cached, and read by pages of other origins: it says nothing that is not public.
fn public(edge: &Edge, document: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (
            header::CACHE_CONTROL,
            format!("public, max-age={}", edge.settings().jwks_max_age_s),
        ),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*".to_owned()),
    ];
    (StatusCode::OK, headers, document.to_string()).into_response()
}
