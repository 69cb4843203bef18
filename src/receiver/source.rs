//! A source: a remote transmitter's stream that we receive, and what binds its tokens to us.

use serde_json::{Map, Value};
use url::Url;

use crate::delivery::meta::{self, Migration};
use crate::delivery::sql::{Sql, SqlError};
use crate::protocol::endpoint_url::{EndpointUrl, UrlPolicy};
use crate::protocol::forward::Forward;
use crate::protocol::handshake::{Rate, normal_origin};
use crate::protocol::jose::jwk::Jwks;
use crate::protocol::json::json;
use crate::protocol::legacy::Legacy;
use crate::protocol::problem::{self, Invalid, Problem};
use crate::protocol::record::{self, Record};
use crate::protocol::set::Audience;

use super::cloudevents::{self, Form, SourceSecret};
use super::inbox;
use super::intake::Trust;
use super::keys::FetchedKeys;
use super::managed::{Given, Managed};
use super::remote::OURS;
use super::setup;
use super::target::{self, Grant, GrantState, Judgement, Target};
use super::wanted;

/// The schema of a source object, oldest first.
pub const MIGRATIONS: &[Migration] = &[inbox::SCHEMA, target::SCHEMA, inbox::SEARCH_SCHEMA, wanted::SCHEMA];

const MEMBERS: &[&str] = &[
    "issuer",
    "audience",
    "description",
    "jwks",
    "envelope",
    "webhook_secret",
    "forward",
];

/// Longest `description`, in characters.
const MAX_DESCRIPTION: usize = 256;

/// What an operator says about a new source.
pub struct SourceRequest {
    pub issuer: String,
    pub audience: Audience,
    pub description: Option<String>,
    /// Keys given by hand: then nothing is discovered.
    pub jwks: Option<Value>,
    pub target: Target,
    pub envelope: Form,
    pub webhook_secret: Option<String>,
    /// As given: what it may say is not the source's to judge.
    pub forward: Option<Value>,
    pub managed: Managed,
    pub given: Given,
}

impl SourceRequest {
    /// Reads the body of a request to create a source. Members that would have no effect are refused, not ignored.
    pub fn parse(body: &Value, policy: &UrlPolicy) -> Result<Self, Invalid> {
        let members = problem::object(body)?;
        let mut target = Target::default();
        let (mut managed, mut given) = (Managed::default(), Given::default());
        for (name, value) in members {
            if MEMBERS.contains(&name.as_str()) {
                continue;
            }
            let set = match managed.set(name, Some(value), &mut given, policy) {
                Ok(false) => target.set(name, Some(value)),
                set => set.map(|_| ()),
            };
            set.map_err(|found| found.under(name))?;
        }
        let envelope = cloudevents::form(members.get("envelope")).map_err(|found| found.under("envelope"))?;
        check_envelope(envelope, &managed, members.contains_key("jwks"))?;
        managed.check(&given, members.contains_key("jwks"))?;
        Ok(Self {
            webhook_secret: cloudevents::secret(members, envelope)?,
            envelope,
            forward: members.get("forward").cloned(),
            issuer: issuer(members, policy)?,
            audience: audience(members)?,
            description: match members.get("description") {
                None => None,
                Some(value) => Some(
                    problem::text(value, MAX_DESCRIPTION)
                        .map_err(|found| found.under("description"))?
                        .to_owned(),
                ),
            },
            jwks: match members.get("jwks") {
                None => None,
                Some(value) => Some(usable_keys(value)?),
            },
            target,
            managed,
            given,
        })
    }
}

/// CloudEvents are signed with no key of the issuer, and no transmitter's stream carries them.
fn check_envelope(envelope: Form, managed: &Managed, has_keys: bool) -> Result<(), Invalid> {
    let is_of_sets = managed.credentials.is_some() || has_keys || managed.legacy != Legacy::default();
    match envelope == Form::Cloudevent && is_of_sets {
        true => Err(Invalid::at(
            "envelope",
            Problem::Refused("is for SETs where there are credentials, jwks or legacy"),
        )),
        false => Ok(()),
    }
}

fn required<'a>(members: &'a Map<String, Value>, name: &'static str) -> Result<&'a Value, Invalid> {
    members.get(name).ok_or_else(|| Invalid::at(name, Problem::Missing))
}

/// The issuer is kept letter by letter, since it is compared that way; that it is a URL we may fetch from is checked beside.
fn issuer(members: &Map<String, Value>, policy: &UrlPolicy) -> Result<String, Invalid> {
    let place = |found: Invalid| found.under("issuer");
    let text = problem::text(required(members, "issuer")?, 2048).map_err(place)?;
    EndpointUrl::parse(text, policy).map_err(|error| place(Invalid::here(Problem::Url(error))))?;
    if text.contains(['?', '#']) {
        return Err(place(Invalid::here(Problem::Refused(
            "must have no query and no fragment",
        ))));
    }
    Ok(text.to_owned())
}

fn audience(members: &Map<String, Value>) -> Result<Audience, Invalid> {
    let value = required(members, "audience")?;
    Audience::try_from(value.clone())
        .map_err(|_| Invalid::at("audience", Problem::NotA("a non-empty string or an array of such")))
}

fn usable_keys(value: &Value) -> Result<Value, Invalid> {
    match Jwks::from_value(value) {
        Ok(keys) if !keys.keys.is_empty() => Ok(value.clone()),
        _ => Err(Invalid::at(
            "jwks",
            Problem::Refused("has no key that may verify: RSA of 2048 bits or more, or EC P-256"),
        )),
    }
}

/// A source as its object keeps it.
#[derive(Debug, Clone, PartialEq, Record)]
pub struct Source {
    pub source_id: String,
    pub tenant: String,
    pub issuer: String,
    pub audience: Audience,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Value>,
    #[serde(default)]
    pub target: Target,
    #[serde(default)]
    pub envelope: Form,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_secret: Option<SourceSecret>,
    /// Where its events go on to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<Forward>,
    #[serde(default)]
    pub managed: Managed,
    /// Where this service lives, as whoever created the source saw it.
    #[serde(default)]
    pub origin: String,
    /// SHA-256 of the `Authorization` value a transmitter must send, in hexadecimal.
    pub authorization_hash: String,
    /// The same of the one before, until the transmitter was told of the new one.
    #[serde(default)]
    pub former_hash: Option<String>,
    /// Unix milliseconds.
    pub created_at: u64,
    /// Grows with every change; a copy with a smaller one is stale.
    pub rev: u64,
}

impl Source {
    /// What binds a token to this source.
    pub fn trust(&self) -> Trust {
        Trust {
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            legacy: self.managed.legacy,
        }
    }

    /// Whether we manage its stream at the transmitter.
    /// What is answered to an origin that asks whether it may push here. Whoever set the stream up has asked its issuer to: its
    /// host is granted, unless the operator says who may push.
    pub fn judge(&self, origin: &str, requested: Option<Rate>, known: Option<&Grant>) -> Judgement {
        let invited = || {
            let issuer = Url::parse(&self.issuer).ok();
            let host = issuer.as_ref().and_then(Url::host_str).and_then(normal_origin);
            let is_pushed = self.is_managed() && !self.managed.poll && !self.target.enforces();
            is_pushed
                && host.as_deref() == Some(origin)
                && known.is_none_or(|known| known.state != GrantState::Rejected)
        };
        match self.target.judge(origin, requested, known) {
            Judgement::Refused if invited() => Judgement::Granted(self.target.rate_for(requested)),
            judged => judged,
        }
    }

    pub fn is_managed(&self) -> bool {
        self.managed.credentials.is_some()
    }

    /// How its stream is called at the transmitter. It ends with who we are, since that alone tells ours from the streams of
    /// other sources that somebody described alike.
    pub fn stream_description(&self) -> String {
        let own = format!("{OURS}{}", self.source_id);
        match &self.description {
            Some(description) => format!("{description} ({own})"),
            None => own,
        }
    }

    /// The object that an operator sees.
    pub fn to_json(&self, receive_url: &str) -> Value {
        let mut shown = json!({
            "source_id": self.source_id,
            "issuer": self.issuer,
            "audience": self.audience,
            "description": self.description,
            "jwks": self.jwks,
            "envelope": self.envelope,
            "webhook_secret_id": self.webhook_secret.as_ref().map(|secret| &secret.id),
            "forward": self.forward,
            "receive_url": Some(receive_url).filter(|_| !self.managed.poll),
            "created_at": self.created_at,
        });
        self.target.show(&mut shown);
        if let Some(members) = shown.as_object_mut() {
            self.managed.show(members);
        }
        shown
    }

    /// This source after a request that changes some members: `null` takes one back.
    pub fn patched(&self, value: &Value, policy: &UrlPolicy) -> Result<(Self, Given), Invalid> {
        let mut source = self.clone();
        let mut changed = Given::default();
        let members = problem::object(value)?;
        if members.is_empty() {
            return Err(Invalid::here(Problem::Empty));
        }
        for (name, value) in members {
            let given = Some(value).filter(|value| !value.is_null());
            let set = match name.as_str() {
                "description" => given
                    .map(|value| problem::text(value, MAX_DESCRIPTION).map(str::to_owned))
                    .transpose()
                    .map(|text| {
                        source.description = text;
                        changed.repeats(setup::STREAM);
                    }),
                "envelope" => cloudevents::form(given).map(|form| source.envelope = form),
                // What it says is judged below, and is sealed by whoever may.
                "webhook_secret" => Ok(()),
                "sequence_gaps" if given.is_none() => Ok(()),
                "sequence_gaps" => Err(Invalid::here(Problem::Refused("takes null only: it acknowledges them"))),
                "stream_id" => Err(Invalid::here(Problem::UnknownMember)),
                _ => match source.managed.set(name, given, &mut changed, policy) {
                    Ok(false) => source.target.set(name, given),
                    set => set.map(|_| ()),
                },
            };
            set.map_err(|found| found.under(name))?;
        }
        check_envelope(source.envelope, &source.managed, source.jwks.is_some())?;
        source.managed.check(&changed, source.jwks.is_some())?;
        cloudevents::secret(members, source.envelope)?;
        if source.envelope == Form::Set || members.get("webhook_secret").is_some_and(Value::is_null) {
            source.webhook_secret = None;
        }
        source.rev += 1;
        Ok((source, changed))
    }

    /// Writes the source down, creating the tables in an empty object.
    pub fn save(&self, sql: &dyn Sql) -> Result<(), SqlError> {
        meta::migrate(sql, MIGRATIONS)?;
        let text = record::text(self);
        meta::set(sql, "source", &text)
    }

    /// The source of this object, or `None` when it was never created or is deleted.
    pub fn load(sql: &dyn Sql) -> Result<Option<Self>, SqlError> {
        if !meta::exists(sql)? {
            return Ok(None);
        }
        meta::migrate(sql, MIGRATIONS)?;
        meta::get(sql, "source")?
            .map(|text| record::read(&text).map_err(|error| SqlError::corrupt("source", error)))
            .transpose()
    }
}

/// Keeps the transmitter's keys with the source.
pub fn save_keys(sql: &dyn Sql, keys: &FetchedKeys) -> Result<(), SqlError> {
    let text = record::text(keys);
    meta::set(sql, "keys", &text)
}

/// The transmitter's keys as last fetched.
pub fn load_keys(sql: &dyn Sql) -> Result<Option<FetchedKeys>, SqlError> {
    meta::get(sql, "keys")?
        .map(|text| record::read(&text).map_err(|error| SqlError::corrupt("keys", error)))
        .transpose()
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
