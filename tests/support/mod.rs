//! Set-up that the topics share: a registered receiver with its token and streams, sources, events, and answers and SETs
//! taken apart by code that the Worker has no part in.

mod acme;
mod answers;
mod events;
mod reconfigure;
mod set;
mod source;
mod storage;
mod tenant;

pub use acme::{ACME_AUDIENCE, Acme, POLL, PUSH, Stream, sets};
pub use answers::{assert_problem, pointer_of, without_request_id};
pub use events::{ACCOUNT_DISABLED, CREDENTIAL_CHANGE, SESSION_REVOKED, event, publish};
pub use reconfigure::{KEY_ENCRYPTION_KEY, restart_with};
pub use set::Set;
pub use source::Source;
pub use storage::{databases, has_table, let_time_pass, lose_alarms};
pub use tenant::Tenant;
