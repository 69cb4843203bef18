//! Who calls: the operator by the deployment's token, a client by an access token.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::edge::web::{HeaderMap, header};
use crate::protocol::jose::jwk::{Jwks, KeyError};
use crate::protocol::jose::jws;
use crate::protocol::json::json;
use crate::protocol::oauth::{AccessToken, BearerError, Scope, bearer, typ_is_access_token};

use super::clock::{now_ms, now_s};
use super::command::{TenantCommand, TenantReply};
use super::context::Edge;
use super::error::ApiError;
use super::{crypto, kv};

/// Where the edge's copy of a tenant's keys lies.
pub fn jwks_copy(tenant: &str) -> String {
    format!("jwks:{tenant}")
}

/// Tenants whose keys an isolate remembers; with more it starts anew.
const MAX_TENANTS: usize = 256;

/// Our keys are looked at anew after this, so that a rotation reaches every isolate.
const KEYS_MAX_AGE_MS: u64 = 60_000;

/// But not more often than this, whatever `kid` a caller invents.
const KEYS_MIN_AGE_MS: u64 = 2_000;

thread_local! {
    static KEYS: RefCell<HashMap<String, (u64, Jwks)>> = RefCell::default();
}

const BAD_TOKEN: ApiError = ApiError::Bearer(BearerError::InvalidToken("the access token is not valid"));

/// Demands the operator's token. The first such request fixes our origin.
pub async fn operator(edge: &Edge, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(expected) = &edge.settings().admin_token else {
        return Err(ApiError::not_set_up(
            "This Worker has no ADMIN_TOKEN, so it cannot be managed. Set it with `wrangler secret put ADMIN_TOKEN`.",
        ));
    };
    let given = bearer(authorization(headers)).map_err(ApiError::Bearer)?;
    if !expected.eq_constant_time(given) {
        return Err(ApiError::Bearer(BearerError::InvalidToken(
            "this is not the operator's token",
        )));
    }
    edge.pin_origin().await
}

/// Demands an access token with this scope.
pub async fn client(edge: &Edge, headers: &HeaderMap, scope: Scope) -> Result<AccessToken, ApiError> {
    let token = bearer(authorization(headers)).map_err(ApiError::Bearer)?;
    let claims = access_token(edge, token).await?;
    if !claims.scope.permits(scope) {
        return Err(ApiError::Bearer(BearerError::InsufficientScope(scope)));
    }
    Ok(claims)
}

/// Who publishes: the operator, or a client.
pub struct Publisher {
    /// `None` for the operator.
    pub client_id: Option<String>,
}

impl Publisher {
    /// Whose event ids these are.
    pub fn source(&self) -> &str {
        self.client_id.as_deref().unwrap_or("urn:heliograph:operator")
    }
}

/// Demands the operator's token or an access token with `events.publish`.
pub async fn publisher(edge: &Edge, headers: &HeaderMap) -> Result<Publisher, ApiError> {
    let token = bearer(authorization(headers)).map_err(ApiError::Bearer)?;
    let is_operator = edge
        .settings()
        .admin_token
        .as_ref()
        .is_some_and(|expected| expected.eq_constant_time(token));
    if is_operator {
        edge.pin_origin().await?;
        return Ok(Publisher { client_id: None });
    }
    let claims = client(edge, headers, Scope::EventsPublish).await?;
    Ok(Publisher {
        client_id: Some(claims.client_id),
    })
}

/// A request's `Authorization` header.
pub fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)
}

/// Verifies one of our own access tokens: type, key, signature, issuer, audience, times.
async fn access_token(edge: &Edge, token: &str) -> Result<AccessToken, ApiError> {
    let issuer = edge.issuer()?;
    let unverified = jws::parse(token).map_err(|_| BAD_TOKEN)?;
    if !typ_is_access_token(unverified.header.typ.as_deref()) {
        return Err(BAD_TOKEN);
    }
    let mut keys = own_keys(edge, false).await?;
    let (kid, alg) = (unverified.header.kid.as_deref(), unverified.header.alg.as_str());
    if keys.find(kid, alg) == Err(KeyError::UnknownKid) {
        keys = own_keys(edge, true).await?;
    }
    let key = keys.find(kid, alg).map_err(|_| BAD_TOKEN)?;
    let fault = |error| ApiError::internal("verify an access token", error);
    let imported = crypto::verifying_key(&key.public, key.alg).await.map_err(fault)?;
    let input = unverified.signing_input.as_bytes();
    if !crypto::verify(&imported, key.alg, &unverified.signature, input)
        .await
        .map_err(fault)?
    {
        return Err(BAD_TOKEN);
    }
    let refused = |error| ApiError::Bearer(BearerError::from(error));
    let claims = AccessToken::parse(&unverified.assume_verified().claims).map_err(refused)?;
    claims.check(&issuer, now_s()).map_err(refused)?;
    Ok(claims)
}

/// Forgets the keys of a tenant that was made or deleted just now.
pub fn forget_keys(tenant: &str) {
    KEYS.with_borrow_mut(|known| known.remove(tenant));
}

/// Our published keys: from this isolate, from the edge's copy, or (when `fresh` is wanted) from the tenant.
async fn own_keys(edge: &Edge, fresh: bool) -> Result<Jwks, ApiError> {
    let now = now_ms();
    let max_age = if fresh { KEYS_MIN_AGE_MS } else { KEYS_MAX_AGE_MS };
    let tenant = edge.tenant_name();
    let known = KEYS.with_borrow(|keys| {
        keys.get(tenant)
            .filter(|(at, _)| now.saturating_sub(*at) < max_age)
            .cloned()
    });
    if let Some((_, keys)) = known {
        return Ok(keys);
    }
    let copy = if fresh {
        None
    } else {
        kv::get(edge.env(), &jwks_copy(tenant)).await
    };
    let published = match copy {
        Some(published) => published,
        None => match edge.tenant()?.ask(TenantCommand::Jwks).await? {
            TenantReply::Jwks(published) => published,
            _ => return Err(ApiError::internal("tenant", "an unexpected reply")),
        },
    };
    let keys = Jwks::from_value(&json!({"keys": published as Vec<serde_json::Value>}))
        .map_err(|error| ApiError::internal("our own keys", error))?;
    KEYS.with_borrow_mut(|known| {
        if known.len() >= MAX_TENANTS {
            known.clear();
        }
        known.insert(tenant.to_owned(), (now, keys.clone()));
    });
    Ok(keys)
}
