//! Receiving by push (RFC 8935) from a transmitter that does as it is told: what is accepted, what is refused and how, whose
//! keys count, and what stands in the inbox afterwards.

mod accepted;
mod inbox;
mod keys;
mod refused;
mod stale;

use crate::harness::{Instance, Options, ScriptedTransmitter};
use crate::support::{ACME_AUDIENCE, Source};

/// A source and its transmitter.
pub struct Feed {
    pub instance: Instance,
    pub transmitter: ScriptedTransmitter,
    pub source: Source,
}

impl Feed {
    #[track_caller]
    pub fn start(options: Options) -> Self {
        let instance = Instance::start(options);
        let transmitter = ScriptedTransmitter::start();
        let source = Source::register(&instance, &transmitter.issuer(), ACME_AUDIENCE);
        Self {
            instance,
            transmitter,
            source,
        }
    }
}
