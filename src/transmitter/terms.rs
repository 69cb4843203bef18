//! What the tenant's settings and the client's registration lay down for a stream. The tenant's object sends them to each of
//! its streams, at creation and after every change.

use crate::protocol::client::{ClientMetadata, HandshakeUse};
use crate::protocol::endpoint_url::still_registered;
use crate::protocol::event::profile::Profile;
use crate::protocol::jose::jws::Alg;
use crate::protocol::metadata::DefaultSubjects;
use crate::protocol::record::Record;
use crate::protocol::tenant::TenantSettings;

/// What an endpoint needs before anything is pushed to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Nothing,
    Handshake,
    /// It would have to be registered, and is not.
    Registration,
}

/// The terms of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Record)]
pub struct Terms {
    /// Grows with every change in the tenant; older terms never replace newer ones.
    pub rev: u64,
    /// What the tenant supports and the client is allowed: the stream's `events_supported`.
    pub events: Vec<String>,
    pub profile: Profile,
    pub default_subjects: DefaultSubjects,
    #[serde(default)]
    pub handshake: HandshakeUse,
    /// The endpoints that were registered for the client. `None` in terms of before there was a handshake: they are taken to
    /// be what they were then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_endpoints: Option<Vec<String>>,
    /// All else, as the tenant has it. Its own list of events is left out: `events` counts.
    pub settings: TenantSettings,
}

impl Terms {
    /// The terms that follow from a tenant's settings and a client's registration.
    pub fn new(rev: u64, settings: &TenantSettings, client: &ClientMetadata) -> Self {
        let mut events = settings.events_supported();
        if let Some(allowed) = &client.events_allowed {
            events.retain(|uri| allowed.contains(uri));
        }
        // CIP-2.4.2-1: a receiver of that profile takes all subjects to be in its stream.
        let default_subjects = match client.profile {
            Profile::CaepInterop => DefaultSubjects::All,
            Profile::Ssf | Profile::LegacySubject => client.default_subjects.unwrap_or(settings.default_subjects),
        };
        Self {
            rev,
            events,
            profile: client.profile,
            default_subjects,
            handshake: client.handshake,
            push_endpoints: Some(client.push_endpoints.clone()),
            settings: TenantSettings {
                events_supported: None,
                ..settings.clone()
            },
        }
    }

    /// Those of a stream that hands on what a source received: its endpoint is asked, whoever it is, and nobody is there to
    /// be inactive or to be told anything.
    pub fn of_forward(rev: u64, settings: &TenantSettings) -> Self {
        Self {
            rev,
            push_endpoints: Some(Vec::new()),
            settings: TenantSettings {
                events_supported: None,
                inactivity_timeout: 0,
                verification_heartbeat: 0,
                ..settings.clone()
            },
            ..Self::default()
        }
    }

    /// What an endpoint needs before anything is pushed to it (design 5).
    pub fn need(&self, endpoint_url: &str) -> Need {
        let Some(registered) = &self.push_endpoints else {
            return Need::Nothing;
        };
        match (still_registered(endpoint_url, registered), self.handshake) {
            (true, HandshakeUse::Unregistered | HandshakeUse::Never) => Need::Nothing,
            (false, HandshakeUse::Never) => Need::Registration,
            (_, HandshakeUse::Always | HandshakeUse::Unregistered) => Need::Handshake,
        }
    }

    /// The algorithm that signs, and whether a new key for it signs at once instead of being published for a while first:
    /// CIP-2.6-1 leaves no choice.
    pub fn signing(&self) -> (Alg, bool) {
        match self.profile {
            Profile::CaepInterop => (Alg::Rs256, true),
            Profile::Ssf | Profile::LegacySubject => (self.settings.signing_alg, false),
        }
    }

    /// Seconds, or `None` where there is no such limit: as the stream's configuration shows it.
    pub fn min_verification_interval(&self) -> Option<u32> {
        Some(self.settings.min_verification_interval).filter(|seconds| *seconds > 0)
    }

    /// Milliseconds; 0 where streams may be inactive for ever.
    pub fn inactivity_ms(&self) -> u64 {
        u64::from(self.settings.inactivity_timeout) * 1000
    }

    /// Seconds, or `None` where streams may be inactive for ever.
    pub fn inactivity_timeout(&self) -> Option<u32> {
        Some(self.settings.inactivity_timeout).filter(|seconds| *seconds > 0)
    }
}
