//! What an operator says about a source whose stream we manage at its transmitter.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::protocol::endpoint_url::UrlPolicy;
use crate::protocol::event;
use crate::protocol::json::json;
use crate::protocol::list;
use crate::protocol::problem::{self, Invalid, Problem};
use crate::protocol::record::Record;
use crate::protocol::subject;
use crate::protocol::subject_request::respelled;

use super::setup;
use super::token::Credentials;
use crate::protocol::legacy::Legacy;

/// Most subjects in a source's own request; more are added later, in bulk.
const MAX_SUBJECTS: usize = 1000;

/// Longest time between two polls, in seconds.
const MAX_INTERVAL: u64 = 86_400;

/// Longest id of a stream at a transmitter, in characters.
const MAX_ID: usize = 1024;

/// Most names of members that the owner understands.
const MAX_MEMBERS: usize = 32;

/// The settings of a managed source. No secret is among them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Record)]
pub struct Managed {
    /// We poll; otherwise we are pushed to.
    pub poll: bool,
    /// What may be shown of the credentials. Without any nothing is managed.
    pub credentials: Option<Value>,
    pub events_requested: Option<Vec<String>>,
    /// Exactly this stream is taken.
    pub stream_id: Option<String>,
    /// Seconds; 0: the transmitter holds our polls.
    pub poll_interval: u64,
    pub legacy: Legacy,
    pub understood_members: Vec<String>,
}

/// What is not kept among the settings: a secret, and a list that may be long.
#[derive(Default)]
pub struct Given {
    /// `Some(None)`: taken back.
    pub credentials: Option<Option<Credentials>>,
    pub subjects: Option<Vec<Value>>,
    /// The earliest step of the set-up that this changes.
    pub from: Option<usize>,
    /// Members that mean something for a managed source only.
    managing: Vec<String>,
}

impl Given {
    pub fn repeats(&mut self, step: usize) {
        self.from = Some(self.from.map_or(step, |from| from.min(step)));
    }
}

impl Managed {
    /// Sets a member, or takes it back. `false`: there is none of this name here.
    pub fn set(
        &mut self,
        name: &str,
        value: Option<&Value>,
        given: &mut Given,
        policy: &UrlPolicy,
    ) -> Result<bool, Invalid> {
        match name {
            "delivery" => {
                self.poll = match value.map(Value::as_str) {
                    None | Some(Some("push")) => false,
                    Some(Some("poll")) => true,
                    Some(_) => return Err(Invalid::here(Problem::NotOneOf(&["push", "poll"]))),
                };
                given.repeats(setup::DISCOVERY);
            }
            "credentials" => {
                let credentials = value.map(|value| Credentials::parse(value, policy)).transpose()?;
                self.credentials = credentials.as_ref().map(Credentials::shown);
                given.credentials = Some(credentials);
                given.repeats(setup::DISCOVERY);
            }
            "events_requested" => {
                self.events_requested = value.map(event::type_list).transpose()?;
                given.repeats(setup::STREAM);
            }
            "subjects" => {
                given.subjects = Some(value.map(subjects).transpose()?.unwrap_or_default());
                given.repeats(setup::SUBJECTS);
            }
            "stream_id" => {
                let id = value.map(|value| problem::text(value, MAX_ID).map(str::to_owned));
                self.stream_id = id.transpose()?;
            }
            "poll_interval" => self.poll_interval = value.map(interval).transpose()?.unwrap_or(0),
            "legacy" => {
                let before = std::mem::take(&mut self.legacy);
                self.legacy = value.map(Legacy::parse).transpose()?.unwrap_or_default();
                if self.legacy.risc_configuration != before.risc_configuration {
                    given.repeats(setup::DISCOVERY);
                }
            }
            "understood_members" => {
                let name = |value: &Value| problem::text(value, 128).map(str::to_owned);
                let names = value.map(|value| list::distinct(value, 0..=MAX_MEMBERS, &name));
                self.understood_members = names.transpose()?.unwrap_or_default();
            }
            _ => return Ok(false),
        }
        if value.is_some() && ["events_requested", "subjects", "stream_id", "poll_interval"].contains(&name) {
            given.managing.push(name.to_owned());
        }
        Ok(true)
    }

    /// Whether the members go together.
    pub fn check(&self, given: &Given, has_keys: bool) -> Result<(), Invalid> {
        if self.credentials.is_some() {
            let refused = Problem::Refused("stands beside jwks: with keys given by hand nothing is managed");
            return if has_keys {
                Err(Invalid::at("credentials", refused))
            } else {
                Ok(())
            };
        }
        if self.poll {
            return Err(Invalid::at("credentials", Problem::Missing));
        }
        match given.managing.first() {
            Some(name) => Err(Invalid::at(name, Problem::Refused("needs credentials"))),
            None => Ok(()),
        }
    }

    /// What we ask for: all that we know, unless told otherwise.
    pub fn events(&self) -> Vec<String> {
        let all = || event::supported_uris().into_iter().map(str::to_owned).collect();
        self.events_requested.clone().unwrap_or_else(all)
    }

    pub fn show(&self, shown: &mut Map<String, Value>) {
        for (name, value) in [
            ("delivery", json!(if self.poll { "poll" } else { "push" })),
            ("managed", json!(self.credentials.is_some())),
            ("credentials", json!(self.credentials)),
            ("events_requested", json!(self.events_requested)),
            ("poll_interval", json!(self.poll_interval)),
            ("legacy", json!(self.legacy.names())),
            ("understood_members", json!(self.understood_members)),
        ] {
            shown.insert(name.to_owned(), value);
        }
    }
}

fn interval(value: &Value) -> Result<u64, Invalid> {
    let seconds = value.as_u64().filter(|seconds| *seconds <= MAX_INTERVAL);
    seconds.ok_or_else(|| Invalid::here(Problem::NotA("a whole number of seconds from 0 to 86400")))
}

fn subjects(value: &Value) -> Result<Vec<Value>, Invalid> {
    let entries = value
        .as_array()
        .ok_or_else(|| Invalid::here(Problem::NotA("an array")))?;
    if entries.len() > MAX_SUBJECTS {
        return Err(Invalid::here(Problem::TooMany(MAX_SUBJECTS)));
    }
    let read = |(at, entry): (usize, &Value)| {
        let subject = respelled(entry);
        subject::validate(&subject).map_err(|found| found.under(at))?;
        Ok(subject)
    };
    entries.iter().enumerate().map(read).collect()
}
