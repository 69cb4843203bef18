//! Floor 3: what a receiver decides. Knows neither the platform nor its neighbour `transmitter/`.

pub mod cloudevents;
pub mod forward;
pub mod health;
pub mod inbox;
pub mod intake;
pub mod keys;
pub mod search;
pub mod sequence;
pub mod source;
pub mod target;
