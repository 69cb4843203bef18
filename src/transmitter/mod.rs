//! Floor 3: what a transmitter decides. Knows neither the platform nor its neighbour `receiver/`.

pub mod keyring;
pub mod registry;
pub mod stream;
