//! What others may know of us without asking for anything: metadata and keys.

use serde_json::Value;

use crate::edge::command::{TenantCommand, TenantReply};
use crate::edge::context::Edge;
use crate::edge::error::ApiError;
use crate::edge::web::{HeaderMap, Response, StatusCode, header};
use crate::edge::{auth, kv};
use crate::protocol::json::json;
use crate::protocol::metadata::{self, AuthorizationScheme, OAUTH, SPEC_VERSION, TransmitterMetadata};
use crate::protocol::oauth::Scope;

use super::call::Call;

pub async fn ssf_configuration(Call { edge, .. }: Call) -> Result<Response, ApiError> {
    let issuer = edge.issuer()?;
    let settings = edge.described().await?.settings;
    let metadata = TransmitterMetadata {
        spec_version: Some(SPEC_VERSION.to_owned()),
        issuer: issuer.clone(),
        jwks_uri: Some(format!("{issuer}/jwks.json")),
        delivery_methods_supported: settings.delivery_methods_supported,
        configuration_endpoint: Some(format!("{issuer}/ssf/streams")),
        status_endpoint: Some(format!("{issuer}/ssf/status")),
        add_subject_endpoint: Some(format!("{issuer}/ssf/subjects/add")),
        remove_subject_endpoint: Some(format!("{issuer}/ssf/subjects/remove")),
        verification_endpoint: Some(format!("{issuer}/ssf/verification")),
        critical_subject_members: settings.critical_subject_members,
        authorization_schemes: vec![AuthorizationScheme {
            spec_urn: OAUTH.to_owned(),
        }],
        default_subjects: Some(settings.default_subjects),
    };
    Ok(public(&edge, &metadata.to_json()))
}

pub async fn authorization_server(Call { edge, .. }: Call) -> Result<Response, ApiError> {
    edge.described().await?;
    let issuer = edge.issuer()?;
    let document = metadata::authorization_server(
        &issuer,
        &format!("{issuer}/oauth/token"),
        &format!("{issuer}/jwks.json"),
        &Scope::ALL.map(Scope::name),
    );
    Ok(public(&edge, &document))
}

pub async fn protected_resource(Call { edge, .. }: Call) -> Result<Response, ApiError> {
    edge.described().await?;
    let issuer = edge.issuer()?;
    let document = metadata::protected_resource(&issuer, &issuer, &Scope::ALL.map(Scope::name));
    Ok(public(&edge, &document))
}

pub async fn jwks(Call { edge, .. }: Call) -> Result<Response, ApiError> {
    edge.origin()?;
    let published: Vec<Value> = match kv::get(edge.env(), &auth::jwks_copy(edge.tenant_name())).await {
        Some(published) => published,
        None => match edge.tenant()?.ask(TenantCommand::Jwks).await? {
            TenantReply::Jwks(published) => published,
            _ => return Err(ApiError::internal("tenant", "an unexpected reply")),
        },
    };
    Ok(public(&edge, &json!({"keys": published})))
}

/// A document that may be cached, and read by pages of other origins: it says nothing that is not public.
fn public(edge: &Edge, document: &Value) -> Response {
    let mut headers = HeaderMap::default();
    headers.insert(header::CONTENT_TYPE, "application/json");
    let max_age = edge.settings().jwks_max_age_s;
    headers.insert(header::CACHE_CONTROL, format!("public, max-age={max_age}"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    Response::new(StatusCode::OK, headers, document.to_string())
}
