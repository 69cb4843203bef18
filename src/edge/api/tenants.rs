//! `/admin/tenants`: the tenants of this deployment and their settings. At the origin only.

use serde_json::Value;

use crate::edge::address::{DEFAULT_TENANT, base};
use crate::edge::auth;
use crate::edge::command::{Refusal, TenantCommand, TenantCopy, TenantReply};
use crate::edge::context::{self, Edge};
use crate::edge::error::{ApiError, json_response, no_store};
use crate::edge::object::stub;
use crate::edge::web::{Response, StatusCode};
use crate::protocol::json::json;
use crate::protocol::json::{self, put};
use crate::protocol::tenant::{TenantSettings, is_tenant_name};
use crate::transmitter::registry::Child;

use super::ask::{Asked, Who, admit};
use super::call::Call;
use super::query::{limit, parameter};

/// Most tenants in one answer.
const MAX_PAGE: u32 = 200;

pub async fn create(call: Call) -> Result<Response, ApiError> {
    let Asked { edge, given, .. } = admit(call, Who::Operator).await?;
    let (tenant, settings) = TenantSettings::parse_new(&given).map_err(|found| ApiError::invalid(&found))?;
    if tenant == DEFAULT_TENANT {
        return Err(ApiError::conflict(
            "The tenant default is always there. Change it with PATCH.",
        ));
    }
    forget(&tenant);
    let command = TenantCommand::CreateTenant {
        issuer: base(edge.origin()?, &tenant),
        tenant,
        settings: Box::new(settings.clone()),
    };
    let TenantReply::Child(child) = edge.tenant()?.ask(command).await? else {
        return Err(ApiError::internal("tenant", "an unexpected reply"));
    };
    Ok(json_response(StatusCode::CREATED, &document(&child, &settings)))
}

/// Page by page in the order of the names; `default` comes first.
pub async fn list(call: Call) -> Result<Response, ApiError> {
    let Call { edge, request, .. } = call;
    auth::operator(&edge, request.headers()).await?;
    let after = parameter(request.uri(), "after")?.unwrap_or_default();
    let limit = limit(request.uri(), MAX_PAGE)?;
    let first = after.is_empty();
    let command = TenantCommand::Tenants {
        // After `default` come all others, whatever their names.
        after: Some(after).filter(|after| after != DEFAULT_TENANT).unwrap_or_default(),
        limit: limit - u32::from(first),
    };
    let TenantReply::Children(children) = edge.tenant()?.ask(command).await? else {
        return Err(ApiError::internal("tenant", "an unexpected reply"));
    };
    let mut tenants: Vec<Value> = Vec::with_capacity(children.len() + 1);
    if first {
        let default = find(&edge, DEFAULT_TENANT.to_owned()).await?;
        tenants.push(Value::Object(entry(&default)));
    }
    tenants.extend(children.iter().map(|child| Value::Object(entry(child))));
    let mut shown = json!({});
    // Whoever wants more goes on after the last one.
    if tenants.len() as u32 >= limit {
        let last = tenants.last().and_then(|last| last.get("tenant")).cloned();
        put(&mut shown, "cursor", last);
    }
    put(&mut shown, "tenants", Value::Array(tenants));
    Ok(json_response(StatusCode::OK, &shown))
}

pub async fn show(call: Call) -> Result<Response, ApiError> {
    let Call { edge, id, request, .. } = call;
    auth::operator(&edge, request.headers()).await?;
    let child = find(&edge, id).await?;
    let settings = settings(&edge, &child.id, TenantCommand::Describe).await?;
    Ok(json_response(StatusCode::OK, &document(&child, &settings)))
}

pub async fn change(call: Call) -> Result<Response, ApiError> {
    let Asked {
        edge, id, given: patch, ..
    } = admit(call, Who::Operator).await?;
    let child = find(&edge, id).await?;
    let settings = settings(&edge, &child.id, TenantCommand::ChangeSettings { patch }).await?;
    Ok(json_response(StatusCode::OK, &document(&child, &settings)))
}

/// 204, or 202 when there is so much to delete that it goes on in the background. Either way the tenant is closed now.
pub async fn delete(call: Call) -> Result<Response, ApiError> {
    let Call { edge, id, request, .. } = call;
    auth::operator(&edge, request.headers()).await?;
    if id == DEFAULT_TENANT {
        return Err(ApiError::conflict(
            "The tenant default cannot be deleted: it keeps the list of the others.",
        ));
    }
    let command = TenantCommand::DeleteTenant { tenant: id.clone() };
    let reply = edge.tenant()?.ask(command).await?;
    forget(&id);
    let code = match reply {
        TenantReply::Done => StatusCode::NO_CONTENT,
        _ => StatusCode::ACCEPTED,
    };
    Ok(Response::empty(code, no_store()))
}

fn forget(tenant: &str) {
    context::forget_tenant(tenant);
    auth::forget_keys(tenant);
}

async fn find(edge: &Edge, tenant: String) -> Result<Child, ApiError> {
    if !is_tenant_name(&tenant) {
        return Err(ApiError::not_found());
    }
    match edge.tenant()?.ask(TenantCommand::Tenant { tenant }).await? {
        // `default` was never created, so only we know where it lives.
        TenantReply::Child(child) if child.id == DEFAULT_TENANT => Ok(Child {
            label: edge.origin()?.to_owned(),
            ..child
        }),
        TenantReply::Child(child) => Ok(child),
        _ => Err(ApiError::internal("tenant", "an unexpected reply")),
    }
}

async fn settings(edge: &Edge, tenant: &str, command: TenantCommand) -> Result<TenantSettings, ApiError> {
    match stub::tenant(edge.env(), tenant)?.tell(command).await? {
        Ok(TenantReply::Described(copy)) => {
            let TenantCopy { settings, .. } = *copy;
            Ok(settings)
        }
        Ok(_) => Err(ApiError::internal("tenant", "an unexpected reply")),
        Err(Refusal::Gone) => Err(ApiError::not_found()),
        Err(refusal) => Err(ApiError::refused(refusal)),
    }
}

fn entry(child: &Child) -> serde_json::Map<String, Value> {
    let members = [
        ("tenant".to_owned(), json!(child.id)),
        ("issuer".to_owned(), json!(child.label)),
        ("created_at".to_owned(), json!(child.created_at)),
    ];
    json::object(members.into_iter())
}

fn document(child: &Child, settings: &TenantSettings) -> Value {
    let mut shown = entry(child);
    shown.extend(settings.to_json());
    Value::Object(shown)
}
