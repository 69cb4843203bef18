//! Commands to the object of a stream, and what it answers.

use serde_json::Value;

use super::StreamUpdate;
use crate::delivery::bounds::Queued;
use crate::protocol::event::publish::NewEvent;
use crate::protocol::forward::{Handed, Wish};
use crate::protocol::metadata::DefaultSubjects;
use crate::protocol::operator_request::{GrantAction, OnDead, ReplayFrom};
use crate::protocol::record::Record;
use crate::protocol::status::Status;
use crate::transmitter::stream::{Published, Stream};
use crate::transmitter::terms::Terms;

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
