//! Floor 2: getting stored items out, in order, at least once.
//!
//! Nothing here knows a platform, a clock or a network: time and random draws are parameters, storage is the [`sql::Sql`]
//! trait, and every decision is a return value that the objects in `edge/` carry out.

pub mod answer;
pub mod bounds;
pub mod chunk;
pub mod control;
pub mod courier;
pub mod dead_letters;
pub mod meta;
pub mod outbox;
pub mod pace;
pub mod recent;
pub mod retry;
pub mod sql;
pub mod tally;
