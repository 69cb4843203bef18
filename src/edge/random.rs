//! Randomness of the platform.

use base64ct::{Base64UrlUnpadded, Encoding};

use super::error::ApiError;

/// `N` bytes, base64url: ids and secrets.
pub fn text<const N: usize>() -> Result<String, ApiError> {
    Ok(Base64UrlUnpadded::encode_string(&bytes::<N>()?))
}

/// `N` bytes.
pub fn bytes<const N: usize>() -> Result<[u8; N], ApiError> {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).map_err(|error| ApiError::internal("randomness", error))?;
    Ok(bytes)
}

/// Uniform in 0..1, for jitter. Without randomness the longest wait is the safe one.
pub fn draw() -> f64 {
    getrandom::u32().map_or(1.0, |value| f64::from(value) / f64::from(u32::MAX))
}
