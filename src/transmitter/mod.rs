//! Floor 3: what a transmitter decides. Knows neither the platform nor its neighbour `receiver/`.

pub mod activity;
pub mod asked;
pub mod envelope;
pub mod explain;
pub mod filter;
pub mod forward;
pub mod grant;
pub mod keyring;
pub mod live;
pub mod pulse;
pub mod registry;
pub mod routes;
pub mod status;
pub mod stream;
pub mod terms;

#[cfg(test)]
mod simulation;
