//! What integration tests are written with: a running Worker (`Instance`), a client that states the status it expects
//! (`Client`), and peers that do as they are told (`ScriptedReceiver`, `ScriptedTransmitter`). Every answer of an instance has to
//! be one that `www/openapi.json` describes.
//!
//! Everything waits for facts with a deadline; nothing sleeps for a fixed time and hopes.

// A tool box: not every test program uses every tool.
#![allow(dead_code, unused_imports)]

mod client;
mod http_server;
mod instance;
pub mod openapi;
mod raw_receiver;
mod receiver;
mod ssf_transmitter;
mod transmitter;
mod wait;

pub use client::{Answer, Client};
pub use http_server::{Recorded, Reply};
pub use instance::{ADMIN_TOKEN, Instance, Options};
pub use raw_receiver::{Manner, RawReceiver};
pub use receiver::{Gate, ScriptedReceiver};
pub use ssf_transmitter::{Fault, SsfTransmitter};
pub use transmitter::{Draft, Key, ScriptedTransmitter};
pub use wait::{DEADLINE, eventually};
