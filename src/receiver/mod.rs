//! Floor 3: what a receiver decides. Knows neither the platform nor its neighbour `transmitter/`.

pub mod cloudevents;
pub mod forward;
pub mod health;
pub mod inbox;
pub mod intake;
pub mod keys;
pub mod managed;
pub mod missing;
pub mod poller;
pub mod remote;
pub mod search;
pub mod sequence;
pub mod setup;
pub mod source;
pub mod tally;
pub mod target;
pub mod token;
pub mod wanted;
pub mod watch;
