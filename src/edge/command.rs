//! What the Worker and the objects say to each other: one command and one reply enum per object class, JSON over POST.
//!
//! Commands may carry secrets; nothing here implements `Debug`, so that none can be logged by accident.

use serde_json::Value;

use crate::delivery::bounds::Queued;
use crate::protocol::client::ClientMetadata;
use crate::protocol::event::publish::NewEvent;
use crate::protocol::forward::{Forward, Handed, Wish};
use crate::protocol::handshake::Rate;
use crate::protocol::jose::jws::Alg;
use crate::protocol::metadata::DefaultSubjects;
use crate::protocol::oauth::ScopeSet;
use crate::protocol::operator_request::{GrantAction, OnDead, ReplayFrom};
use crate::protocol::record::{self, Fault, Members, Record};
use crate::protocol::set::Audience;
use crate::protocol::status::Status;
use crate::protocol::stream::{CloudEvents, UpdateMode, UpdateRequest};
use crate::protocol::tenant::TenantSettings;
use crate::receiver::cloudevents::Form;
use crate::receiver::inbox::{Accepted, StoreOutcome, Stored};
use crate::receiver::intake::AboutStream;
use crate::receiver::keys::FetchedKeys;
use crate::receiver::managed::Managed;
use crate::receiver::search::Search;
use crate::receiver::source::Source;
use crate::receiver::target::{Decision, Target};
use crate::receiver::token::Credentials;
use crate::transmitter::registry::{Child, Client};
use crate::transmitter::stream::{Published, Stream};
use crate::transmitter::terms::Terms;

/// A command with whom it is for. An object of another tenant, or a stream of another client, is not found.
pub struct Addressed<C> {
    /// `None`: from somebody who knows the object's id and nothing else, as remote transmitters do.
    pub tenant: Option<String>,
    /// The receiver that asks; `None` for the operator and for ourselves.
    pub client_id: Option<String>,
    pub command: C,
}

impl<C: Record> Record for Addressed<C> {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        record::member(out, "tenant");
        self.tenant.write(out);
        record::member(out, "client_id");
        self.client_id.write(out);
        record::member(out, "command");
        self.command.write(out);
        out.push(b'}');
    }

    fn take(value: Value, fault: &mut Fault) -> Self {
        let mut members = Members::new(value, fault);
        Self {
            tenant: members.take("tenant"),
            client_id: members.take("client_id"),
            command: members.take("command"),
        }
    }
}

/// Why an object did not do what it was asked to. The Worker turns it into the standard's own error.
#[derive(Record)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// There is no such thing, or not for this caller: the same answer on purpose.
    NotFound,
    /// The object is empty or deleted.
    Gone,
    /// The caller's client does not exist any more.
    UnknownClient,
    /// The client's secret or id is wrong.
    BadCredentials,
    /// The client may not have this scope.
    ScopeRefused,
    /// Something in the request is not acceptable, at this place.
    Invalid { pointer: String, detail: String },
    /// The caller may not do this, whatever its scope.
    Forbidden { detail: String },
    /// Too often. Worth trying again after so many seconds.
    TooMany { detail: String, retry_after_s: u32 },
    /// It stands against what is there.
    Conflict { detail: String },
    /// The outbox has no room for this.
    Full,
    /// The event at this index of the command carries an id that was used for another event.
    IdConflict { index: usize },
    /// The origin that asks, or that a push comes from, may not push here.
    OriginRefused,
    /// The caller's copy of the configuration is older than the object's.
    Stale,
    /// A remote party did not give what was needed; trying later may help.
    RemoteFailed { detail: String },
    /// A transmitter that we asked on somebody's behalf failed, or refused.
    Transmitter { detail: String },
    /// The SET is not acceptable here.
    Set { err: String, description: String },
    /// Our own fault; the object logged it.
    Internal,
}

/// What a command answers.
pub type Answer<R> = Result<R, Refusal>;

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
    pub issuer: String,
    pub audience: Audience,
    pub description: Option<String>,
    pub jwks: Option<Value>,
    pub target: Target,
    pub envelope: Form,
    pub webhook_secret: Option<String>,
    pub forward: Option<NewForward>,
    pub managed: Managed,
    pub origin: String,
    pub secrets: SourceSecrets,
    pub subjects: Vec<Value>,
    pub authorization_hash: String,
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

/// Commands to the object of a stream.
#[derive(Record)]
#[serde(rename_all = "snake_case")]
pub enum StreamCommand {
    Create {
        stream: Box<Stream>,
        authorization_header: Option<String>,
        webhook_secret: Option<String>,
    },
    Read,
    /// The terms go with the change, so that its answer is known from an earlier one.
    Update {
        update: Box<StreamUpdate>,
        terms: Box<Terms>,
    },
    TakeTerms {
        terms: Box<Terms>,
    },
    Delete,
    Append {
        events: Vec<Published>,
    },
    /// A source hands over what it received.
    Hand {
        events: Vec<Handed>,
    },
    /// Where what is handed over goes, and in what.
    HandTo {
        wish: Box<Wish>,
    },
    Poll {
        request: PollCommand,
    },
    Status,
    SetStatus {
        status: Status,
        reason: Option<String>,
    },
    AddSubject {
        subject: Value,
        verified: bool,
    },
    RemoveSubject {
        subject: Value,
    },
    /// Many at once, for the operator.
    ChangeSubjects {
        add: Vec<Value>,
        remove: Vec<Value>,
    },
    Verify {
        state: Option<String>,
    },
    Explain {
        event: Box<NewEvent>,
    },
    /// The operator's wishes; what is absent stays.
    Operate {
        status: Option<(Status, Option<String>)>,
        /// One entry: the choice, or that there is none any more.
        default_subjects: Vec<Option<DefaultSubjects>>,
        /// One entry: the number, or that it is the setting's again.
        window: Vec<Option<u32>>,
        on_dead: Option<OnDead>,
        more_available: Option<bool>,
        /// One entry: the number, or that it is the setting's again.
        request_rate: Vec<Option<u32>>,
        legacy_origin_header: Option<bool>,
    },
    /// The endpoint's consent, for the operator.
    Grant,
    Decide {
        action: GrantAction,
    },
    /// A new secret for webhook signatures; those of before sign beside it for a while.
    RotateSecret {
        secret: String,
        overlap_ms: u64,
    },
    /// Somebody calls the handshake's callback.
    CallBack {
        /// SHA-256 of the secret, in hex.
        secret: String,
        posted: bool,
        rate: Option<String>,
        allowed: Option<String>,
    },
    Health,
    Deliveries,
    DeadLetters {
        after: i64,
        limit: u32,
    },
    DeadLetter {
        jti: [u8; 16],
    },
    /// All letters, or the one of this event.
    Redrive {
        jti: Option<[u8; 16]>,
    },
    Purge {
        jti: Option<[u8; 16]>,
    },
    Replay {
        from: ReplayFrom,
    },
    /// Deletes what was kept for long enough. The tenant asks for it once a day.
    Sweep,
}

/// A poll request on its way to the stream.
#[derive(Record)]
pub struct PollCommand {
    pub max_events: Option<u32>,
    pub return_immediately: bool,
    pub ack: Vec<String>,
    /// `jti`, `err`, `description`.
    pub set_errs: Vec<(String, String, String)>,
}

/// What a stream answers.
#[derive(Record)]
#[serde(rename_all = "snake_case")]
pub enum StreamReply {
    Done,
    Stream(Box<Stream>),
    Status {
        status: Status,
        reason: Option<String>,
        /// Not decided yet: the endpoint is asked first.
        asked: bool,
    },
    /// A document for whoever asked, as it is.
    Shown(Value),
    /// How many of the events this stream carries; accepted before counts too.
    Appended {
        matched: usize,
    },
    Sets {
        sets: Vec<(String, String)>,
        more: bool,
    },
    Health(Box<Health>),
    Deliveries(Vec<Value>),
    DeadLetters {
        dead_letters: Vec<Value>,
        cursor: i64,
    },
}

/// How a stream is doing.
#[derive(Record)]
pub struct Health {
    pub stream: Stream,
    pub status: Status,
    pub reason: Option<String>,
    pub status_set_by: String,
    pub queued: Queued,
    /// Why delivery waits, since when and until when.
    pub hold: Option<Value>,
    pub next_wake_at: Option<u64>,
    /// Since the object woke.
    pub last_success_at: Option<u64>,
    pub last_error: Option<Value>,
    pub attempts: u64,
    pub delivered: u64,
    /// Within the last minute.
    pub events_per_minute: u32,
    pub dead_letters: u64,
    /// Letters that made room for others, ever.
    pub dead_letters_dropped: u64,
    pub usage: Usage,
    pub database_bytes: u64,
}

/// What an object did since it woke: the platform charges for each of these.
#[derive(Clone, Copy, Record)]
pub struct Usage {
    pub requests: u64,
    pub alarms: u64,
    /// Each is a row written, on top of the others.
    pub alarms_set: u64,
    pub subrequests: u64,
    pub rows_read: u64,
    pub rows_written: u64,
}

/// Commands to the object of a source.
#[derive(Record)]
#[serde(rename_all = "snake_case")]
pub enum SourceCommand {
    Create {
        source: Box<Source>,
        secrets: SourceSecrets,
        subjects: Vec<Value>,
    },
    /// The source and the keys it has.
    View,
    /// All that an operator may see.
    Show {
        receive_url: String,
    },
    Health,
    /// How far the set-up is; held for so long while it is under way.
    Setup {
        wait_ms: u64,
    },
    /// The set-up again, from this step.
    Repeat {
        from: usize,
    },
    /// Of the stream at the transmitter.
    Status,
    SetStatus {
        status: Status,
        reason: Option<String>,
    },
    Subjects {
        after: i64,
        limit: u32,
    },
    ChangeSubjects {
        add: Vec<Value>,
        remove: Vec<Value>,
    },
    /// Asks the transmitter for a verification event.
    Verify,
    /// A SET was refused, or taken and not kept.
    Count {
        /// Of the source as whoever judged it knew it.
        rev: u64,
        discarded: bool,
    },
    /// Changes members by what a PATCH gave.
    Change {
        patch: Value,
    },
    /// Somebody asks whether it may push (WH-4.1-1).
    Handshake(Box<Asker>),
    Grants,
    Decide(Decision),
    /// Fetches the issuer's keys for a token whose key is not among the known ones, unless that was done a moment ago.
    KeysFor {
        kid: Option<String>,
        alg: String,
    },
    /// Nothing: that somebody asks lets it look whether its alarm is as it should be.
    Sweep,
    /// Where its events go on to. None: nowhere any more, if they went to `instead_of`.
    Forward {
        forward: Option<Forward>,
        instead_of: Option<String>,
    },
    /// As `Store`, of several events of one request.
    StoreAll {
        rev: u64,
        events: Vec<Accepted>,
        origin: Option<String>,
    },
    /// Stores an accepted event, if the caller judged it by the current configuration.
    Store {
        rev: u64,
        event: Accepted,
        /// Whom the push says it comes from, in compared form.
        origin: Option<String>,
        /// What it says about its stream.
        about: Option<AboutStream>,
    },
    /// What is looked for after a cursor; waits for it that long.
    Events {
        search: Box<Search>,
        after: i64,
        limit: u32,
        wait_ms: u64,
    },
    Delete,
}

/// Somebody who asks whether it may push to a source.
#[derive(Record)]
pub struct Asker {
    /// In compared form.
    pub origin: String,
    /// As it was written: it is answered so.
    pub written: String,
    pub rate: Option<Rate>,
    pub callback: Option<String>,
    /// The request as it may be shown.
    pub request: Value,
}

/// What a source answers.
#[derive(Record)]
#[serde(rename_all = "snake_case")]
pub enum SourceReply {
    Done,
    /// Begun: the transmitter cannot be reached now.
    Begun,
    /// A document for whoever asked, as it is.
    Shown(Value),
    View(Box<SourceView>),
    /// The keys, and for how long the issuer may not be asked again: 0 when they were fetched just now.
    Keys {
        keys: FetchedKeys,
        wait_ms: u64,
    },
    /// What the answer to `OPTIONS` grants; nothing where it is to come later.
    Granted(Option<Rate>),
    Grants(Vec<Value>),
    Stored(StoreOutcome),
    Events {
        events: Vec<Stored>,
        cursor: i64,
    },
}

/// What the edge needs to know of a source to judge a token.
#[derive(Clone, Record)]
pub struct SourceView {
    pub source: Source,
    pub keys: Option<FetchedKeys>,
}
