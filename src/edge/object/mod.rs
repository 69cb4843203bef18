//! The Durable Objects. Thin: load, call a lower floor, do what it says.

pub mod bell;
pub mod serve;
pub mod source;
mod source_change;
mod source_run;
mod source_show;
mod source_token;
pub mod stream;
pub mod stub;
mod target;
pub mod tenant;

mod children;
mod consent;
mod delivery;
mod exchange;
mod forwards;
mod hand_over;
mod inbox;
mod keep;
mod letters;
mod look_after;
mod manage;
mod missing;
mod new_source;
mod poll_in;
mod remote;
mod set_up;
mod sweep;
mod tenancy;
