//! Read copies at the edge. Written only by the object that owns the data; whoever reads must cope with an old one.

use serde::Serialize;
use worker::Env;

use crate::protocol::record::{self, Record};

use super::error::ApiError;

/// How long a copy may be served from the edge's own cache, in seconds: the least the platform allows.
const CACHE_TTL_S: u64 = 30;

/// How long copies live that only their own writing repairs, in seconds.
const COPY_TTL_S: u64 = 600;

/// A copy, or nothing when there is none or it cannot be read: the object has the truth.
pub async fn get<T: Record>(env: &Env, key: &str) -> Option<T> {
    let text = env
        .kv("CONFIG")
        .ok()?
        .get(key)
        .cache_ttl(CACHE_TTL_S)
        .text()
        .await
        .ok()??;
    record::read(&text).ok()
}

/// Writes a copy.
pub async fn put<T: Serialize>(env: &Env, key: &str, value: &T) -> Result<(), ApiError> {
    write(env, key, value, None).await
}

async fn write<T: Serialize>(env: &Env, key: &str, value: &T, ttl_s: Option<u64>) -> Result<(), ApiError> {
    let fault = |error: &dyn std::fmt::Display| ApiError::internal("kv", error);
    let text = serde_json::to_string(value).map_err(|error| fault(&error))?;
    let store = env.kv("CONFIG").map_err(|error| fault(&error))?;
    // As bytes: for a text the library has all that it takes to write any value as one.
    let put = store.put_bytes(key, text.as_bytes()).map_err(|error| fault(&error))?;
    let put = match ttl_s {
        Some(seconds) => put.expiration_ttl(seconds),
        None => put,
    };
    put.execute().await.map_err(|error| fault(&error))
}

/// Writes a copy that goes away by itself: one that was written late, or not at all after a change, is not believed for ever.
pub async fn put_for_a_while<T: Serialize>(env: &Env, key: &str, value: &T) -> Result<(), ApiError> {
    write(env, key, value, Some(COPY_TTL_S)).await
}

/// Takes a copy away.
pub async fn delete(env: &Env, key: &str) -> Result<(), ApiError> {
    let fault = |error: &dyn std::fmt::Display| ApiError::internal("kv", error);
    let store = env.kv("CONFIG").map_err(|error| fault(&error))?;
    store.delete(key).await.map_err(|error| fault(&error))
}
