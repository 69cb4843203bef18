//! `/admin/sources/{source_id}/events`: what was received, looked for and waited for.

use serde_json::Value;

use crate::edge::command::{SourceCommand, SourceReply};
use crate::edge::error::{ApiError, json_response};
use crate::edge::web::{Response, StatusCode, Uri};
use crate::protocol::cloudevent::parse_time;
use crate::protocol::json::json;
use crate::protocol::json::{parse_strict, put};
use crate::protocol::problem::{self, Invalid};
use crate::protocol::received::{Received, is_cloudevent};
use crate::protocol::subject;
use crate::receiver::inbox::Stored;
use crate::receiver::search::Search;

use super::ask::{Asked, Who, admit, unexpected};
use super::call::Call;
use super::query::{page, parameter};

/// Most events in one answer.
const MAX_PAGE: u32 = 1000;

/// Longest wait, in seconds.
const MAX_WAIT_S: u64 = 25;

/// Longest type and deepest subject that are looked for.
const MAX_TYPE: usize = 2048;
const MAX_DEPTH: usize = 8;

pub async fn events(call: Call) -> Result<Response, ApiError> {
    let Asked { edge, id, parts, .. } = admit(call, Who::Operator).await?;
    let uri = &parts.uri;
    let (after, limit) = page(uri, MAX_PAGE)?;
    let command = SourceCommand::Events {
        search: Box::new(search(uri)?),
        after,
        limit,
        wait_ms: 1000 * read(uri, "wait", wait)?.unwrap_or(0),
    };
    let SourceReply::Events { events, cursor } = edge.source(&id)?.ask(command).await? else {
        return Err(unexpected());
    };
    let events: Vec<Value> = events.iter().map(show).collect();
    let answer = json!({"events": events, "cursor": cursor.to_string()});
    Ok(json_response(StatusCode::OK, &answer))
}

fn search(uri: &Uri) -> Result<Search, ApiError> {
    Ok(Search {
        event_type: read(uri, "type", event_type)?,
        subject: read(uri, "subject", sub_id)?,
        since: read(uri, "since", instant)?,
        until: read(uri, "until", instant)?,
    })
}

/// A parameter, with what is wrong with it in words: the pointer leads to it by its name.
fn read<T>(uri: &Uri, name: &'static str, read: fn(&str) -> Result<T, Invalid>) -> Result<Option<T>, ApiError> {
    let given = parameter(uri, name)?;
    let read = given.map(|text| read(&text)).transpose();
    read.map_err(|found| ApiError::invalid(&found.under(name)))
}

fn refused<T>(rule: &'static str) -> Result<T, Invalid> {
    Err(Invalid::here(problem::Problem::Refused(rule)))
}

fn event_type(text: &str) -> Result<String, Invalid> {
    problem::text(&json!(text), MAX_TYPE).map(str::to_owned)
}

fn sub_id(text: &str) -> Result<Value, Invalid> {
    let Ok(value) = parse_strict(text.as_bytes(), MAX_DEPTH) else {
        return refused("must be a subject identifier in JSON");
    };
    // Whatever was received can be looked for: of its format no more is asked than of a SET.
    match value.get("format").and_then(Value::as_str) {
        Some(subject::COMPLEX) | Some(subject::ALIASES) => subject::validate(&value)?,
        Some(_) => {}
        None => return refused("must be an object with a string format"),
    }
    Ok(value)
}

/// Unix milliseconds, or a date and time of RFC 3339.
fn instant(text: &str) -> Result<u64, Invalid> {
    let number = text.parse().ok().filter(|at| *at <= 1 << 53);
    let time = || parse_time(text).and_then(|seconds| u64::try_from(seconds).ok()?.checked_mul(1000));
    match number.or_else(time) {
        Some(at) => Ok(at),
        None => refused("must be Unix milliseconds, or a date and time with its offset (RFC 3339)"),
    }
}

fn wait(text: &str) -> Result<u64, Invalid> {
    match text.parse().ok().filter(|seconds| *seconds <= MAX_WAIT_S) {
        Some(seconds) => Ok(seconds),
        None => refused("must be a whole number of seconds from 0 to 25"),
    }
}

/// A stored event, what it says beside what it came in. It was verified before it was stored.
fn show(stored: &Stored) -> Value {
    let mut shown = json!({"received_at": stored.at, "intake": stored.intake});
    let form = if is_cloudevent(&stored.set) {
        "cloudevent"
    } else {
        "set"
    };
    put(&mut shown, form, stored.set.as_str());
    if let Some(received) = Received::read(&stored.set) {
        for (name, value) in [
            ("jti", json!(received.jti)),
            ("iss", json!(received.iss)),
            ("type", json!(received.event_type)),
            ("sub_id", received.sub_id),
            ("event", received.event),
            ("txn", json!(received.txn)),
            ("toe", json!(received.toe)),
            ("iat", json!(received.iat)),
        ] {
            put(&mut shown, name, value);
        }
        if form == "cloudevent" {
            put(&mut shown, "sequence", json!(received.sequence));
        }
    }
    shown
}
