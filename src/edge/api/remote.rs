//! `/admin/sources/{source_id}/…`: how a source is doing, and its stream at the transmitter.

use serde_json::Value;

use crate::edge::body;
use crate::edge::command::{SourceCommand, SourceReply};
use crate::edge::error::{ApiError, json_response};
use crate::edge::web::{Response, StatusCode, Uri};
use crate::protocol::problem::{self, Invalid, Problem};
use crate::protocol::status::{Status, reason};
use crate::protocol::subject_request::BulkSubjects;
use crate::receiver::setup::STEPS;

use super::ask::{Asked, Who, admit_within, unexpected};
use super::call::{Answering, Call};
use super::query::{page, parameter};

/// Longest time that an answer about the set-up waits for its end, in seconds.
const MAX_WAIT: u64 = 25;

/// Most subjects in one answer.
const MAX_PAGE: u32 = 1000;

/// Most subjects in one request.
const MAX_CHANGED: usize = 10_000;

type Ask = fn(&Asked) -> Result<SourceCommand, ApiError>;

fn put(call: Call, status: StatusCode, command: Ask) -> impl Future<Output = Result<Response, ApiError>> {
    put_within(call, status, body::LIMIT, command)
}

async fn put_within(call: Call, status: StatusCode, limit: usize, command: Ask) -> Result<Response, ApiError> {
    let asked = admit_within(call, Who::Operator, limit).await?;
    let source = asked.edge.source(&asked.id)?;
    match source.ask(command(&asked)?).await? {
        SourceReply::Shown(shown) => Ok(json_response(status, &shown)),
        _ => Err(unexpected()),
    }
}

pub fn health(call: Call) -> impl Answering {
    put(call, StatusCode::OK, |_| Ok(SourceCommand::Health))
}

pub fn setup(call: Call) -> impl Answering {
    put(call, StatusCode::OK, |asked| {
        let wait_ms = wait(&asked.parts.uri)? * 1000;
        Ok(SourceCommand::Setup { wait_ms })
    })
}

pub fn repeat(call: Call) -> impl Answering {
    put(call, StatusCode::ACCEPTED, |asked| {
        let from = step(&asked.given).map_err(|found| ApiError::invalid(&found))?;
        Ok(SourceCommand::Repeat { from })
    })
}

pub fn status(call: Call) -> impl Answering {
    put(call, StatusCode::OK, |_| Ok(SourceCommand::Status))
}

pub fn set_status(call: Call) -> impl Answering {
    put(call, StatusCode::OK, |asked| {
        let (status, reason) = wished(&asked.given).map_err(|found| ApiError::invalid(&found))?;
        Ok(SourceCommand::SetStatus { status, reason })
    })
}

pub fn subjects(call: Call) -> impl Answering {
    put(call, StatusCode::OK, |asked| {
        let (after, limit) = page(&asked.parts.uri, MAX_PAGE)?;
        Ok(SourceCommand::Subjects { after, limit })
    })
}

pub fn change_subjects(call: Call) -> impl Answering {
    put_within(call, StatusCode::ACCEPTED, body::PUBLISH_LIMIT, |asked| {
        let BulkSubjects { add, remove } =
            BulkSubjects::parse_at_most(&asked.given, MAX_CHANGED).map_err(|found| ApiError::invalid(&found))?;
        Ok(SourceCommand::ChangeSubjects { add, remove })
    })
}

pub fn verify(call: Call) -> impl Answering {
    put(call, StatusCode::ACCEPTED, |asked| {
        let members = problem::object(&asked.given).and_then(|members| problem::only_members(members, &[]));
        members.map_err(|found| ApiError::invalid(&found))?;
        Ok(SourceCommand::Verify)
    })
}

fn wait(uri: &Uri) -> Result<u64, ApiError> {
    match parameter(uri, "wait")? {
        None => Ok(0),
        Some(text) => text
            .parse()
            .ok()
            .filter(|seconds| *seconds <= MAX_WAIT)
            .ok_or_else(|| ApiError::bad_request(format!("wait must be a whole number from 0 to {MAX_WAIT}."))),
    }
}

fn step(given: &Value) -> Result<usize, Invalid> {
    let members = problem::object(given)?;
    problem::only_members(members, &["from"])?;
    let name = members
        .get("from")
        .ok_or_else(|| Invalid::at("from", Problem::Missing))?;
    let known = STEPS.iter().position(|step| name.as_str() == Some(*step));
    known.ok_or_else(|| Invalid::at("from", Problem::NotOneOf(&STEPS)))
}

fn wished(given: &Value) -> Result<(Status, Option<String>), Invalid> {
    let members = problem::object(given)?;
    problem::only_members(members, &["status", "reason"])?;
    let status = problem::optional(members, "status", Status::parse)?;
    Ok((
        status.ok_or_else(|| Invalid::at("status", Problem::Missing))?,
        reason(members)?,
    ))
}
