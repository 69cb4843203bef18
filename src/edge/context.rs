//! What every handler of a request needs: bindings, settings, the request's id, and our own origin.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

use http::Uri;
use js_sys::{Array, Object};
use wasm_bindgen::JsCast;
use worker::Env;

use super::command::{TenantCommand, TenantReply};
use super::error::ApiError;
use super::kv;
use super::object::stub::{self, ObjectStub};
use super::settings::{Settings, SettingsError};

/// The one tenant that lives at the origin itself.
pub const DEFAULT_TENANT: &str = "default";

thread_local! {
    static SETTINGS: RefCell<Option<Result<Arc<Settings>, SettingsError>>> = const { RefCell::new(None) };
    /// Our origin never changes once it is known, so it may be remembered for the life of the isolate.
    static ORIGIN: RefCell<Option<String>> = const { RefCell::new(None) };
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
    origin: OnceLock<String>,
}

impl Edge {
    /// Looks our origin up: configured, remembered, or asked for. It may be unknown still.
    pub async fn new(env: Env, settings: Arc<Settings>, url: Uri) -> Result<Self, ApiError> {
        let edge = Self(Arc::new(Inner {
            env,
            settings,
            url,
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
        let origin = match kv::get::<TenantCopy>(self.env(), TENANT_COPY).await {
            Some(copy) => Some(copy.origin),
            None => match self.tenant()?.ask(&TenantCommand::Origin).await? {
                TenantReply::Origin(origin) => origin,
                _ => return Err(ApiError::internal("tenant", "an unexpected reply")),
            },
        };
        remember(origin.clone());
        Ok(origin)
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

    /// Our origin, which is also the issuer of the tenant `default`.
    pub fn origin(&self) -> Result<&str, ApiError> {
        self.known_origin().ok_or_else(|| {
            ApiError::not_set_up("The address of this service is not fixed yet: the first operator request does that.")
        })
    }

    /// The origin that this request was sent to.
    pub fn request_origin(&self) -> Option<String> {
        let scheme = self.0.url.scheme_str()?;
        let url = url::Url::parse(&format!("{scheme}://{}", self.0.url.authority()?)).ok()?;
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
        let TenantReply::Origin(Some(origin)) = self.tenant()?.ask(&TenantCommand::PinOrigin { origin: here }).await?
        else {
            return Err(ApiError::internal("tenant", "an unexpected reply"));
        };
        if !self.is_at(&origin) {
            return Err(ApiError::misdirected(&origin));
        }
        remember(Some(origin.clone()));
        let _ = self.0.origin.set(origin);
        Ok(())
    }

    pub fn tenant(&self) -> Result<ObjectStub, ApiError> {
        stub::tenant(self.env(), DEFAULT_TENANT)
    }

    /// The object of a stream. An id that is none is not found, before any object wakes.
    pub fn stream(&self, stream_id: &str) -> Result<ObjectStub, ApiError> {
        stub::by_id(self.env(), "STREAM", stream_id)
    }

    /// The object of a source.
    pub fn source(&self, source_id: &str) -> Result<ObjectStub, ApiError> {
        stub::by_id(self.env(), "SOURCE", source_id)
    }
}

/// Where the edge's copy of the tenant lies.
pub const TENANT_COPY: &str = "tenant:default";

/// What the edge knows of a tenant without asking it.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct TenantCopy {
    pub origin: String,
}

fn remember(origin: Option<String>) {
    if origin.is_some() {
        ORIGIN.set(origin);
    }
}
