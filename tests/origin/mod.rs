//! Where the service lives, and what it does when its deployment is not in order.

mod address;
mod development;
mod settings;

use crate::harness::{Client, Instance};

/// A client that speaks to the same port under another name.
pub fn at(instance: &Instance, host: &str) -> Client {
    instance.anyone().with_header("host", host)
}
