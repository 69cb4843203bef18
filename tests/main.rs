//! All integration tests, as one program: they drive the built Worker inside a real workerd over HTTP.
//!
//! A topic is a folder with a `mod.rs`, named below (a file directly under `tests/` would be a program of its own).
//! `npm test` builds what is missing and runs everything; `npm test -- NAME` runs the tests whose names contain NAME.

// The tests are native code: the clock and the sleep that are banned for the Worker work here.
#![allow(clippy::disallowed_methods)]

mod bad_input;
mod cloudevents;
mod conformance;
mod counterparts;
mod deliver;
mod floors;
mod forward;
mod handshake;
mod harness;
mod hell;
mod inbox;
mod kill;
mod manage;
mod openapi;
mod origin;
mod outbox;
mod path;
mod poll;
mod receive;
mod smoke;
mod source;
mod subjects;
mod support;
mod target;
mod tenants;
