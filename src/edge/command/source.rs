//! Commands to the object of a source, and what it answers.

use serde_json::Value;

use super::SourceSecrets;
use crate::protocol::forward::Forward;
use crate::protocol::handshake::Rate;
use crate::protocol::record::Record;
use crate::protocol::status::Status;
use crate::receiver::inbox::{Accepted, StoreOutcome, Stored};
use crate::receiver::intake::AboutStream;
use crate::receiver::keys::FetchedKeys;
use crate::receiver::search::Search;
use crate::receiver::source::Source;
use crate::receiver::target::Decision;

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
