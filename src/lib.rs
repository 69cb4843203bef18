//! Heliograph: a transmitter and receiver of security events at the edge.
//!
//! Five floors; a room imports only rooms on floors below it (see `docs/architecture.md`). This file is the top one:
//! the Worker's entry point and the Durable Objects it exports, nothing else.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![deny(clippy::await_holding_refcell_ref)]

pub mod delivery;
pub mod edge;
pub mod protocol;
pub mod receiver;
pub mod transmitter;

#[cfg(target_arch = "wasm32")]
pub use edge::object::{source::SourceObject, stream::StreamObject, tenant::TenantObject};

/// The Worker.
#[cfg(target_arch = "wasm32")]
#[worker::event(fetch)]
async fn fetch(
    request: web_sys::Request,
    env: worker::Env,
    _context: worker::Context,
) -> worker::Result<web_sys::Response> {
    edge::router::handle(request, env).await
}
