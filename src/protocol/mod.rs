//! Floor 1: the standards as types and rules. Pure and total: no clock, no I/O, no randomness, no panic.

pub mod client;
pub mod endpoint_url;
pub mod event;
pub mod jose;
pub mod json;
pub mod metadata;
#[cfg(test)]
mod mutate;
pub mod oauth;
pub mod poll;
pub mod problem;
pub mod push;
pub mod record;
pub mod secret;
pub mod set;
pub mod stream;
pub mod subject;
