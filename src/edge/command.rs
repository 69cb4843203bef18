//! What the Worker and the objects say to each other: one command and one reply enum per object class, JSON over POST.
//!
//! Commands may carry secrets; nothing here implements `Debug`, so that none can be logged by accident.

mod source;
mod stream;
mod tenant;

pub use source::*;
pub use stream::*;
pub use tenant::*;

use crate::protocol::record::{self, Fault, Members, Record};
use serde_json::Value;

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
