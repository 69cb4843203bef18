//! Which status codes come when: for every operation, every status that SSF lists for it has a row that provokes it, or one
//! that says why it never comes.

use serde_json::{Value, json};

use crate::harness::{Answer, Instance, Options};
use crate::support::{assert_problem, pointer_of};

use super::rows::ROWS;
use super::world::World;

/// What a receiver may ask for (SSF 7 and 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Metadata,
    Create,
    Read,
    List,
    Update,
    Replace,
    Delete,
    ReadStatus,
    SetStatus,
    AddSubject,
    RemoveSubject,
    Verify,
}

use Operation::{
    AddSubject, Create, Delete, List, Metadata, Read, ReadStatus, RemoveSubject, Replace, SetStatus, Update, Verify,
};

/// The statuses of each operation: its success, and the errors that the standard's tables or our readings of it give it.
const LISTED: &[(Operation, &[u16])] = &[
    (Metadata, &[200]),
    (Create, &[201, 400, 401, 403, 409]),
    (Read, &[200, 401, 403, 404]),
    (List, &[200, 401, 403]),
    (Update, &[200, 202, 400, 401, 403, 404]),
    (Replace, &[200, 202, 400, 401, 403, 404]),
    (Delete, &[204, 400, 401, 403, 404]),
    (ReadStatus, &[200, 400, 401, 403, 404]),
    (SetStatus, &[200, 202, 400, 401, 403, 404]),
    (AddSubject, &[200, 400, 401, 403, 404, 429]),
    (RemoveSubject, &[204, 400, 401, 403, 404, 429]),
    // 403 is for scopes only (SSF 12, number 13).
    (Verify, &[204, 400, 401, 403, 404, 429]),
];

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Its own client, with all rights.
    Owner,
    /// Its own client, but its tenant allows each client no further stream.
    Full,
    /// No credentials.
    Nobody,
    /// A token that is none of ours.
    Forger,
    /// A client that may only read.
    Reader,
    /// A client that may only publish.
    Publisher,
}

/// Which stream it is about. Every row gets one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    Own,
    /// Disabled by its receiver.
    Disabled,
    /// Paused by the operator.
    Paused,
    /// Its endpoint said that it is gone.
    Gone,
    /// Verified a moment ago.
    Verified,
    /// Had as many subjects added and removed as a minute has room for.
    Busy,
    /// No id that was ever given out.
    Unknown,
    Deleted,
    OtherClients,
    OtherTenants,
}

/// Every stream that a receiver may not know of.
pub const NOT_THERE: [On; 4] = [On::Unknown, On::Deleted, On::OtherClients, On::OtherTenants];

/// What is sent with it.
#[derive(Clone, Copy, Debug)]
pub enum With {
    /// What is right for the operation.
    Good,
    /// This body; STREAM stands for the stream's id.
    Body(&'static str),
    /// This query in place of `stream_id`.
    Query(&'static str),
}

pub struct Row {
    pub operation: Operation,
    pub status: u16,
    pub how: How,
}

pub enum How {
    /// This request provokes it; a 400 names this place, where it names one.
    Sent(By, On, With, Option<&'static str>),
    /// It never comes, because…
    Never(&'static str),
}

#[test]
fn every_status_that_is_listed_for_an_operation_has_a_row_and_no_other_has() {
    for (operation, statuses) in LISTED {
        for status in *statuses {
            let found = ROWS
                .iter()
                .any(|row| (row.operation, row.status) == (*operation, *status));
            assert!(found, "{operation:?} {status} has no row");
        }
    }
    for row in ROWS {
        let listed = LISTED
            .iter()
            .any(|(operation, statuses)| *operation == row.operation && statuses.contains(&row.status));
        assert!(listed, "{:?} {} is not listed", row.operation, row.status);
        if let How::Never(why) = row.how {
            assert!(!why.is_empty());
        }
    }
}

#[test]
fn every_row_is_answered_as_it_says() {
    let instance = Instance::start(Options::default());
    let world = World::new(&instance);
    for (number, row) in ROWS.iter().enumerate() {
        let How::Sent(by, on, with, pointer) = row.how else {
            continue;
        };
        let answer = world.ask(row.operation, by, &world.stream(on), with);
        let row_text = format!("row {number}, {:?} by {by:?} on {on:?} with {with:?}", row.operation);
        assert_eq!(answer.status, row.status, "{row_text}: {answer}");
        check(row.operation, by, &answer, &row_text);
        match (pointer, row.status) {
            (Some(pointer), 400) => assert_eq!(pointer_of(&answer), pointer, "{row_text}"),
            (None, 400) => assert_eq!(answer.json().get("pointer"), None, "{row_text}"),
            _ => {}
        }
    }
}

/// What every answer of an operation has, beside its status.
#[track_caller]
fn check(operation: Operation, by: By, answer: &Answer, row: &str) {
    if operation == Metadata {
        assert_eq!(answer.header("content-type"), Some("application/json"), "SSF-7.2.3-1");
        return;
    }
    assert_eq!(answer.header("cache-control"), Some("no-store"), "SSF-8-8, {row}");
    assert_eq!(
        answer
            .header("retry-after")
            .map(|wait| wait.parse::<u32>().is_ok_and(|wait| wait > 0)),
        (answer.status == 429).then_some(true),
        "SSF-8.1.4.2-8, {row}: {answer}"
    );
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    // Reading needs less than changing.
    let scope = match operation {
        Read | List | ReadStatus => "ssf.read",
        _ => "ssf.manage",
    };
    // SSF-8-7: with the error codes of RFC 6750 section 3.1, and none for who brought no credentials.
    let wanted = match (answer.status, by) {
        (401, By::Nobody) => r#"Bearer realm="ssf""#.to_owned(),
        (401, _) => r#"Bearer realm="ssf", error="invalid_token""#.to_owned(),
        (403, By::Reader | By::Publisher) => {
            format!(r#"Bearer realm="ssf", error="insufficient_scope", scope="{scope}""#)
        }
        _ => String::new(),
    };
    let fits = match answer.status {
        401 if by != By::Nobody => challenge.starts_with(&wanted),
        _ => challenge == wanted,
    };
    assert!(fits, "{row}: {answer}");
    match answer.status {
        204 => assert_eq!(answer.text(), "", "{row}"),
        200 if operation == AddSubject => assert_eq!(answer.text(), "", "SSF-8.1.3.2-1"),
        200..=299 => {
            assert_eq!(answer.header("content-type"), Some("application/json"), "{row}");
            check_document(operation, &answer.json(), row);
        }
        status => assert_problem(answer, status),
    }
}

/// The shape of a success.
#[track_caller]
fn check_document(operation: Operation, document: &Value, row: &str) {
    let members = |document: &Value| -> Vec<String> {
        let members = document.as_object().unwrap_or_else(|| panic!("{row}: {document}"));
        members.keys().cloned().collect()
    };
    let required: &[&str] = match operation {
        // SSF-8.1.1: the members that a configuration has to have.
        Create | Read | Update | Replace => &["stream_id", "iss", "aud", "events_delivered", "delivery"],
        ReadStatus | SetStatus => &["stream_id", "status"],
        _ => {
            assert_eq!(operation, List);
            assert!(document.is_array(), "SSF-8.1.1.2-4, {row}: {document}");
            return;
        }
    };
    let found = members(document);
    for member in required {
        assert!(
            found.iter().any(|name| name == member),
            "{row}: no {member} in {document}"
        );
    }
    if required.len() > 2 {
        assert_eq!(
            document.get("status"),
            None,
            "SSF-8.1.1: not a member of a configuration"
        );
        assert!(document["delivery"]["endpoint_url"].is_string(), "SSF-8.1.1.1-9");
    } else {
        let known = [json!("enabled"), json!("paused"), json!("disabled")];
        assert!(known.contains(&document["status"]), "SSF-8.1.2.1-11");
    }
}
