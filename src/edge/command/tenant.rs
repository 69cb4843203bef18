//! Commands to the object of a tenant, and what it answers.

use serde_json::Value;

use super::Usage;
use crate::protocol::client::ClientMetadata;
use crate::protocol::jose::jws::Alg;
use crate::protocol::oauth::ScopeSet;
use crate::protocol::record::Record;
use crate::protocol::stream::{CloudEvents, UpdateMode, UpdateRequest};
use crate::protocol::tenant::TenantSettings;
use crate::receiver::source::Source;
use crate::receiver::token::Credentials;
use crate::transmitter::registry::{Child, Client};
use crate::transmitter::stream::Stream;

/// Commands to the object of a tenant.
#[derive(Record)]
#[serde(rename_all = "snake_case")]
pub enum TenantCommand {
    /// Fixes the origin unless that was done before.
    PinOrigin {
        origin: String,
    },
    /// What the edge keeps a copy of.
    Describe,
    /// Makes this object a tenant, other than `default`.
    Found {
        tenant: String,
        settings: Box<TenantSettings>,
    },
    /// Changes settings by what a PATCH gave.
    ChangeSettings {
        patch: Value,
    },
    /// Deletes everything that the tenant has, piece by piece, and then the tenant.
    Close,
    /// The rest concerns other tenants and is for `default` only.
    CreateTenant {
        tenant: String,
        settings: Box<TenantSettings>,
        issuer: String,
    },
    Tenants {
        after: String,
        limit: u32,
    },
    Tenant {
        tenant: String,
    },
    DeleteTenant {
        tenant: String,
    },
    RegisterClient {
        metadata: ClientMetadata,
    },
    Clients,
    Client {
        client_id: String,
    },
    /// Changes a registration by what a PATCH gave.
    ChangeClient {
        client_id: String,
        patch: Value,
        issuer: String,
    },
    DeleteClient {
        client_id: String,
    },
    /// Checks a client's secret and signs an access token.
    IssueToken {
        client_id: String,
        client_secret: String,
        scope: Option<ScopeSet>,
        issuer: String,
    },
    /// The published keys; makes the first one.
    Jwks,
    /// The key that signs now, sealed. One that is new for its algorithm may have to be known for a while first.
    SigningKey {
        alg: Alg,
        at_once: bool,
    },
    CreateStream(Box<NewStream>),
    /// One of its streams is about to ask an endpoint of this host and port for its consent.
    CountQuestion {
        host: String,
    },
    /// The streams of one client, or a page of all.
    Streams {
        client_id: Option<String>,
        after: String,
        limit: u32,
    },
    UpdateStream(Box<StreamUpdate>),
    /// With a client: if it is the client's own.
    DeleteStream {
        client_id: Option<String>,
        stream_id: String,
    },
    /// Which streams may want these types, and which types the tenant does not support. With a client: whether it still
    /// exists, too.
    Route {
        event_types: Vec<String>,
        client_id: Option<String>,
    },
    CreateSource(Box<NewSource>),
    Sources,
    /// Changes a source by what a PATCH gave, when that says where its events go on to.
    ChangeSource(Box<SourceChange>),
    DeleteSource {
        source_id: String,
    },
}

/// A stream to be created, checked by the Worker as far as it can.
#[derive(Record)]
pub struct NewStream {
    pub client_id: String,
    pub issuer: String,
    /// `None` for poll.
    pub endpoint_url: Option<String>,
    pub authorization_header: Option<String>,
    pub cloudevents: Option<CloudEvents>,
    /// To sign CloudEvents with.
    pub webhook_secret: Option<String>,
    pub events_requested: Option<Vec<String>>,
    pub description: Option<String>,
}

/// A stream's receiver-supplied members to be changed. The secret among them travels apart.
#[derive(Clone, Record)]
pub struct StreamUpdate {
    pub client_id: String,
    pub issuer: String,
    pub request: UpdateRequest,
    pub mode: UpdateMode,
    pub authorization_header: Option<String>,
    /// For a stream that begins to carry CloudEvents with this change.
    pub webhook_secret: Option<String>,
}

/// A source to be created.
#[derive(Record)]
pub struct NewSource {
    /// Its id, its tenant, its times and what is sealed are the tenant's to fill in.
    pub source: Source,
    pub webhook_secret: Option<String>,
    pub forward: Option<NewForward>,
    pub secrets: SourceSecrets,
    pub subjects: Vec<Value>,
}

/// Where the events of a source go on to, as it was given.
#[derive(Record)]
pub struct NewForward {
    /// Of this tenant.
    pub issuer: String,
    pub forward: Value,
    /// For a stream that is new with this.
    pub webhook_secret: String,
}

/// A change of a source and of where its events go on to.
#[derive(Record)]
pub struct SourceChange {
    pub source_id: String,
    /// All else that is changed; null when nothing is.
    pub patch: Value,
    pub forward: NewForward,
}

/// What a source keeps sealed.
#[derive(Clone, Default, Record)]
pub struct SourceSecrets {
    pub credentials: Option<Credentials>,
    /// What its transmitter has to send. Needed where we tell it so ourselves.
    pub authorization_header: Option<String>,
}

/// What a tenant answers.
#[derive(Record)]
#[serde(rename_all = "snake_case")]
pub enum TenantReply {
    Done,
    /// Begun; what is left is done in the background.
    Begun,
    Origin(String),
    Described(Box<TenantCopy>),
    Registered {
        client: Client,
        client_secret: String,
    },
    Clients(Vec<Client>),
    Client(Client),
    Token {
        access_token: String,
        expires_in: i64,
        scope: ScopeSet,
    },
    Jwks(Vec<Value>),
    SigningKey(SealedKey),
    Stream(Box<Stream>),
    Source(Box<Source>),
    /// Whether it has a new stream: then the secret is its.
    SourceChanged {
        is_new: bool,
    },
    Child(Child),
    Children(Vec<Child>),
    Streams {
        streams: Vec<Child>,
        usage: Usage,
    },
    Route {
        streams: Vec<String>,
        unsupported: Vec<String>,
    },
}

/// What the edge may know of a tenant without asking it.
#[derive(Clone, Record)]
pub struct TenantCopy {
    /// Only `default` knows it, once it is fixed.
    #[serde(default)]
    pub origin: Option<String>,
    #[serde(default)]
    pub settings: TenantSettings,
}

/// A signing key as a tenant lends it to its streams.
#[derive(Clone, Record)]
pub struct SealedKey {
    pub kid: String,
    pub alg: Alg,
    pub sealed: String,
    /// The object that sealed it: part of what the seal authenticates.
    pub sealed_by: String,
}
