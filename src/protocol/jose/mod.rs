//! Signed tokens in compact form (RFC 7515) and the keys that verify them (RFC 7517, RFC 7638).
//!
//! Signatures are made and checked by the platform; this room parses, assembles and decides which key may be used.

pub mod jwk;
pub mod jws;

#[cfg(test)]
mod tests;
