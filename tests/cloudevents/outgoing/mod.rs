//! Streams that are pushed CloudEvents instead of SETs.

mod batches;
mod control;
mod failures;
mod order;
mod secrets;
mod sequence;
mod settings;
mod switching;
mod wire;
