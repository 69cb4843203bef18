//! Floor 1: the standards as types and rules. Pure and total: no clock, no I/O, no randomness, no panic.

pub mod client;
pub mod cloudevent;
pub mod endpoint_url;
pub mod event;
pub mod forward;
pub mod handshake;
pub mod jose;
pub mod json;
pub mod legacy;
pub mod list;
pub mod metadata;
#[cfg(test)]
mod mutate;
pub mod oauth;
pub mod operator_request;
pub mod poll;
pub mod problem;
pub mod push;
pub mod received;
pub mod record;
pub mod secret;
pub mod set;
pub mod status;
pub mod stream;
pub mod subject;
pub mod subject_request;
pub mod tenant;
pub mod verification;
pub mod webhook;
