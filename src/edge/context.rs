//! What every handler of a request needs: bindings, settings, the tenant it is for, and our own origin.

use crate::edge::web::Uri;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use js_sys::{Array, Object};
use wasm_bindgen::JsCast;
use worker::Env;

use super::address::{DEFAULT_TENANT, base};
use super::clock::now_ms;
use super::command::{Refusal, TenantCommand, TenantCopy, TenantReply};
use super::error::ApiError;
use super::kv;
use super::object::stub::{self, ObjectStub};
use super::settings::{Settings, SettingsError};

/// That a tenant exists is believed for this long. Its objects know better in any case.
const TENANT_MAX_AGE_MS: u64 = 30_000;

/// Tenants that an isolate remembers; with more it starts anew.
const MAX_TENANTS: usize = 1000;

thread_local! {
    static SETTINGS: RefCell<Option<Result<Arc<Settings>, SettingsError>>> = const { RefCell::new(None) };
    /// Our origin never changes once it is known, so it may be remembered for the life of the isolate.
    static ORIGIN: RefCell<Option<String>> = const { RefCell::new(None) };
    /// When each tenant was found to exist.
    static TENANTS: RefCell<HashMap<String, u64>> = RefCell::default();
}

/// The settings of this deployment: read once in an isolate, since they cannot change within one.
pub fn settings(env: &Env) -> Result<Arc<Settings>, SettingsError> {
    SETTINGS.with_borrow_mut(|settings| settings.get_or_insert_with(|| read_settings(env).map(Arc::new)).clone())
}

/// Everything textual in the environment is a setting; bindings are objects.
fn read_settings(env: &Env) -> Result<Settings, SettingsError> {
    let pairs: Vec<(String, String)> = Object::entries(env.unchecked_ref())
        .iter()
        .filter_map(|entry| {
            let entry: Array = entry.unchecked_into();
            Some((entry.get(0).as_string()?, entry.get(1).as_string()?))
        })
        .collect();
    Settings::from_pairs(&pairs)
}

/// The context of one request.
#[derive(Clone)]
pub struct Edge(Arc<Inner>);

struct Inner {
    env: Env,
    settings: Arc<Settings>,
    url: Uri,
    tenant: String,
    origin: OnceLock<String>,
}

impl Edge {
    /// Looks our origin up: configured, remembered, or asked for. It may be unknown still.
    pub async fn new(env: Env, settings: Arc<Settings>, url: Uri, tenant: &str) -> Result<Self, ApiError> {
        let edge = Self(Arc::new(Inner {
            env,
            settings,
            url,
            tenant: tenant.to_owned(),
            origin: OnceLock::new(),
        }));
        if let Some(origin) = edge.look_up_origin().await? {
            let _ = edge.0.origin.set(origin);
        }
        Ok(edge)
    }

    async fn look_up_origin(&self) -> Result<Option<String>, ApiError> {
        if let Some(origin) = &self.0.settings.public_url {
            return Ok(Some(origin.clone()));
        }
        if let Some(origin) = ORIGIN.with_borrow(Clone::clone) {
            return Ok(Some(origin));
        }
        let copy = kv::get::<TenantCopy>(self.env(), &tenant_copy(DEFAULT_TENANT)).await;
        let origin = match copy.and_then(|copy| copy.origin) {
            Some(origin) => Some(origin),
            None => describe(stub::tenant(self.env(), DEFAULT_TENANT)?).await?.origin,
        };
        remember(origin.clone());
        Ok(origin)
    }

    /// Makes sure that there is such a tenant, before anything else is said.
    pub async fn require_tenant(&self) -> Result<(), ApiError> {
        let tenant = self.tenant_name();
        let now = now_ms();
        let known = TENANTS.with_borrow(|tenants| tenants.get(tenant).is_some_and(|at| now < at + TENANT_MAX_AGE_MS));
        if tenant == DEFAULT_TENANT || known {
            return Ok(());
        }
        self.described().await?;
        TENANTS.with_borrow_mut(|tenants| {
            if tenants.len() >= MAX_TENANTS {
                tenants.clear();
            }
            tenants.insert(tenant.to_owned(), now);
        });
        Ok(())
    }

    /// The tenant as the edge knows it; not found where there is none.
    pub async fn described(&self) -> Result<TenantCopy, ApiError> {
        let tenant = self.tenant_name();
        if let Some(copy) = kv::get(self.env(), &tenant_copy(tenant)).await {
            return Ok(copy);
        }
        if tenant != DEFAULT_TENANT {
            // A name that somebody made up must not wake an object of its own: `default` has the list.
            let command = TenantCommand::Tenant {
                tenant: tenant.to_owned(),
            };
            stub::tenant(self.env(), DEFAULT_TENANT)?.ask(command).await?;
        }
        describe(self.tenant()?).await
    }

    pub fn env(&self) -> &Env {
        &self.0.env
    }

    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Our origin, if it is known yet.
    pub fn known_origin(&self) -> Option<&str> {
        self.0.origin.get().map(String::as_str)
    }

    /// Whom this request is for.
    pub fn tenant_name(&self) -> &str {
        &self.0.tenant
    }

    /// The tenant's base URL, which is also its issuer.
    pub fn issuer(&self) -> Result<String, ApiError> {
        Ok(base(self.origin()?, self.tenant_name()))
    }

    /// Our origin.
    pub fn origin(&self) -> Result<&str, ApiError> {
        self.known_origin().ok_or_else(|| {
            ApiError::not_set_up("The address of this service is not fixed yet: the first operator request does that.")
        })
    }

    /// The origin that this request was sent to.
    pub fn request_origin(&self) -> Option<String> {
        let url = url::Url::parse(&self.0.url.base).ok()?;
        Some(url.origin().ascii_serialization())
    }

    /// Whether the request came to where we live. A proxy in front may have spoken TLS for us, so the scheme does not count.
    pub fn is_at(&self, origin: &str) -> bool {
        let authority = |text: &str| {
            let url = url::Url::parse(text).ok()?;
            let port = url.port_or_known_default().filter(|port| ![80, 443].contains(port));
            Some((url.host_str()?.to_owned(), port))
        };
        self.request_origin()
            .is_some_and(|here| authority(&here) == authority(origin))
    }

    /// Fixes the origin at this request's, unless that was done before.
    pub async fn pin_origin(&self) -> Result<(), ApiError> {
        if self.known_origin().is_some() {
            return Ok(());
        }
        let here = self
            .request_origin()
            .ok_or_else(|| ApiError::bad_request("The request names no host."))?;
        let default = stub::tenant(self.env(), DEFAULT_TENANT)?;
        let TenantReply::Origin(origin) = default.ask(TenantCommand::PinOrigin { origin: here }).await? else {
            return Err(ApiError::internal("tenant", "an unexpected reply"));
        };
        if !self.is_at(&origin) {
            return Err(ApiError::misdirected(&origin));
        }
        remember(Some(origin.clone()));
        let _ = self.0.origin.set(origin);
        Ok(())
    }

    /// The object of the tenant.
    pub fn tenant(&self) -> Result<ObjectStub, ApiError> {
        stub::tenant(self.env(), self.tenant_name())
    }

    /// The object of a stream of the tenant. An id that is none is not found, before any object wakes.
    pub fn stream(&self, stream_id: &str) -> Result<ObjectStub, ApiError> {
        stub::by_id(self.env(), "STREAM", stream_id, Some(self.tenant_name()))
    }

    /// The object of a stream, whosever it is: for those who know a secret of it.
    pub fn any_stream(&self, stream_id: &str) -> Result<ObjectStub, ApiError> {
        stub::by_id(self.env(), "STREAM", stream_id, None)
    }

    /// The object of a source of the tenant.
    pub fn source(&self, source_id: &str) -> Result<ObjectStub, ApiError> {
        stub::by_id(self.env(), "SOURCE", source_id, Some(self.tenant_name()))
    }

    /// The object of a source, whosever it is: for those who push to it.
    pub fn any_source(&self, source_id: &str) -> Result<ObjectStub, ApiError> {
        stub::by_id(self.env(), "SOURCE", source_id, None)
    }
}

/// Where the edge's copy of a tenant lies.
pub fn tenant_copy(tenant: &str) -> String {
    format!("tenant:{tenant}")
}

async fn describe(tenant: ObjectStub) -> Result<TenantCopy, ApiError> {
    match tenant.tell(TenantCommand::Describe).await? {
        Ok(TenantReply::Described(copy)) => Ok(*copy),
        Err(Refusal::Gone) => Err(ApiError::not_found()),
        Err(refusal) => Err(ApiError::refused(refusal)),
        Ok(_) => Err(ApiError::internal("tenant", "an unexpected reply")),
    }
}

/// Forgets what this isolate knows of a tenant that was made or deleted just now. Other isolates forget by themselves.
pub fn forget_tenant(tenant: &str) {
    TENANTS.with_borrow_mut(|tenants| tenants.remove(tenant));
}

fn remember(origin: Option<String>) {
    if origin.is_some() {
        ORIGIN.set(origin);
    }
}
