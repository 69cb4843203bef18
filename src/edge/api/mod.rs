//! One file per resource: parse the request, ask an object or a pure function, shape the answer.

pub mod ask;
pub mod call;
pub mod clients;
pub mod consent;
pub mod console;
pub mod events;
pub mod inbox;
pub mod operate;
pub mod poll;
pub mod query;
pub mod receive;
pub mod receive_cloudevents;
pub mod remote;
pub mod sources;
pub mod status;
pub mod streams;
pub mod subjects;
pub mod target;
pub mod tenants;
pub mod token;
pub mod verification;
pub mod watch;
pub mod well_known;
