//! Read copies at the edge. Written only by the object that owns the data; whoever reads must cope with an old one.

use worker::Env;

use crate::protocol::record::{self, Record};

use super::error::ApiError;

/// How long a copy may be served from the edge's own cache, in seconds: the least the platform allows.
const CACHE_TTL_S: u64 = 30;

/// How long copies live that only their own writing repairs, in seconds.
const COPY_TTL_S: u64 = 600;

/// A copy, or nothing when there is none or it cannot be read: the object has the truth.
pub async fn get<T: Record>(env: &Env, key: &str) -> Option<T> {
    record::read(&read(env, key).await?).ok()
}

/// Apart from `get`, which is compiled for each kind of copy.
async fn read(env: &Env, key: &str) -> Option<String> {
    let store = env.kv("CONFIG").ok()?;
    store.get(key).cache_ttl(CACHE_TTL_S).text().await.ok()?
}

/// Writes a copy.
pub async fn put<T: Record>(env: &Env, key: &str, value: &T) -> Result<(), ApiError> {
    write(env, key, &record::text(value), None).await
}

async fn write(env: &Env, key: &str, text: &str, ttl_s: Option<u64>) -> Result<(), ApiError> {
    let fault = |error: &dyn std::fmt::Display| ApiError::internal("kv", error);
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
pub async fn put_for_a_while<T: Record>(env: &Env, key: &str, value: &T) -> Result<(), ApiError> {
    write(env, key, &record::text(value), Some(COPY_TTL_S)).await
}

/// Takes a copy away.
pub async fn delete(env: &Env, key: &str) -> Result<(), ApiError> {
    let fault = |error: &dyn std::fmt::Display| ApiError::internal("kv", error);
    let store = env.kv("CONFIG").map_err(|error| fault(&error))?;
    store.delete(key).await.map_err(|error| fault(&error))
}
