//! What an operator decides for one tenant: which events it sends and how its streams behave.
//!
//! Every setting has a default, so that naming the tenant is enough. Stored settings are their JSON: what an older version did
//! not know takes its default, what a newer one added is passed over.

use serde_json::{Map, Value};

use super::event;
use super::jose::jws::Alg;
use super::json::json;
use super::list;
use super::metadata::DefaultSubjects;
use super::problem::{self, Invalid, Problem};
use super::record::{Fault, Record};
use super::status::Status;
use super::stream::{POLL, PUSH};

/// Longest tenant name, in characters: that of a label in a host name.
pub const MAX_NAME: usize = 63;
/// Most critical subject members, and the longest of their names, in characters.
pub const MAX_CRITICAL: usize = 16;
pub const MAX_CRITICAL_NAME: usize = 256;

/// Members of a tenant's document that no request sets.
const READ_ONLY: [&str; 2] = ["issuer", "created_at"];

/// The settings of a tenant. The names are those of the tenant's document; where a standard has a member of the name, it is
/// that one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantSettings {
    /// `None`: all that are built in, of whichever version runs. See [`TenantSettings::events_supported`].
    pub events_supported: Option<Vec<String>>,
    pub default_subjects: DefaultSubjects,
    pub signing_alg: Alg,
    /// One or both of [`PUSH`] and [`POLL`].
    pub delivery_methods_supported: Vec<String>,
    /// Members of a complex subject that receivers have to understand (SSF-3.6-2).
    pub critical_subject_members: Vec<String>,
    /// Seconds between two verifications that a receiver asks for; 0 is no limit (SSF-8.1.1-8).
    pub min_verification_interval: u32,
    /// Seconds without a sign of the receiver until `inactivity_action`; 0 is never (SSF-8.1.1-10).
    pub inactivity_timeout: u32,
    /// The status that an inactive stream gets: paused or disabled (SSF-8.1.1-13).
    pub inactivity_action: Status,
    /// Seconds between two verification events that nobody asked for; 0 is none (SSF-8.1.4-1).
    pub verification_heartbeat: u32,
    /// Seconds for which events about a removed subject are still sent (SSF-9.3-1).
    pub subject_removal_grace: u32,
    /// Complex subjects match only if they have a member in common (SSF-8.1.3.1-8).
    pub require_shared_subject_member: bool,
    /// `None`: as the deployment is set.
    pub streams_per_client: Option<u32>,
    /// Megabytes; a stream whose database is larger takes no further subjects.
    pub stream_storage_mb: u32,
    /// Additions and removals of subjects in one stream.
    pub subject_changes_per_minute: u32,
}

impl Default for TenantSettings {
    fn default() -> Self {
        TenantSettings {
            events_supported: None,
            default_subjects: DefaultSubjects::All,
            signing_alg: Alg::Rs256,
            delivery_methods_supported: vec![PUSH.to_owned(), POLL.to_owned()],
            critical_subject_members: Vec::new(),
            min_verification_interval: 10,
            inactivity_timeout: 0,
            inactivity_action: Status::Paused,
            verification_heartbeat: 0,
            subject_removal_grace: 0,
            require_shared_subject_member: false,
            streams_per_client: None,
            stream_storage_mb: 2000,
            subject_changes_per_minute: 6000,
        }
    }
}

/// Whether a tenant can have this name: 1 to [`MAX_NAME`] of `a` to `z`, `0` to `9` and hyphens, these only inside. It stands in
/// URLs as it is.
pub fn is_tenant_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !name.starts_with('-')
        && !name.ends_with('-')
}

impl TenantSettings {
    /// Reads the body of a request for a new tenant: its name, and any settings.
    pub fn parse_new(value: &Value) -> Result<(String, TenantSettings), Invalid> {
        let members = problem::object(value)?;
        let name = problem::optional(members, "tenant", tenant_name)?;
        let name = name.ok_or_else(|| Invalid::at("tenant", Problem::Missing))?;
        let mut settings = TenantSettings::default();
        for (member, value) in members.iter().filter(|(member, _)| *member != "tenant") {
            settings.set(member, value).map_err(|found| found.under(member))?;
        }
        Ok((name, settings))
    }

    /// These settings after a request that changes some: `null` puts a default back. The tenant's name is not changed.
    pub fn patched(&self, value: &Value) -> Result<TenantSettings, Invalid> {
        let mut settings = self.clone();
        for (member, value) in problem::object(value)? {
            if member == "tenant" {
                return Err(Invalid::at(member, Problem::Refused("cannot be changed")));
            }
            settings.set(member, value).map_err(|found| found.under(member))?;
        }
        Ok(settings)
    }

    /// All settings as the tenant's document shows them: with the values in effect, and `null` where the deployment decides.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut document = Map::new();
        let mut put = |name: &str, value: Value| document.insert(name.to_owned(), value);
        put("events_supported", json!(self.events_supported()));
        put("default_subjects", json!(self.default_subjects));
        put("signing_alg", json!(self.signing_alg.name()));
        put("delivery_methods_supported", json!(self.delivery_methods_supported));
        put("critical_subject_members", json!(self.critical_subject_members));
        put("min_verification_interval", json!(self.min_verification_interval));
        put("inactivity_timeout", json!(self.inactivity_timeout));
        put("inactivity_action", json!(self.inactivity_action.name()));
        put("verification_heartbeat", json!(self.verification_heartbeat));
        put("subject_removal_grace", json!(self.subject_removal_grace));
        put(
            "require_shared_subject_member",
            json!(self.require_shared_subject_member),
        );
        put("streams_per_client", json!(self.streams_per_client));
        put("stream_storage_mb", json!(self.stream_storage_mb));
        put("subject_changes_per_minute", json!(self.subject_changes_per_minute));
        document
    }

    /// The event types that the tenant sends: those chosen, or all built-in ones.
    pub fn events_supported(&self) -> Vec<String> {
        match &self.events_supported {
            Some(chosen) => chosen.clone(),
            None => event::supported_uris().into_iter().map(str::to_owned).collect(),
        }
    }

    /// Whether the tenant sends this event type.
    pub fn supports(&self, event_type: &str) -> bool {
        match &self.events_supported {
            Some(chosen) => chosen.iter().any(|uri| uri == event_type),
            None => event::is_built_in(event_type),
        }
    }

    /// Sets one member; `null` is its default.
    fn set(&mut self, name: &str, value: &Value) -> Result<(), Invalid> {
        let given = Some(value).filter(|value| !value.is_null());
        let default = TenantSettings::default();
        match name {
            "events_supported" => self.events_supported = given.map(event::type_list).transpose()?,
            "default_subjects" => {
                self.default_subjects = given.map_or(Ok(default.default_subjects), default_subjects)?;
            }
            "signing_alg" => self.signing_alg = given.map_or(Ok(default.signing_alg), signing_alg)?,
            "delivery_methods_supported" => {
                self.delivery_methods_supported = given.map_or(Ok(default.delivery_methods_supported), methods)?;
            }
            "critical_subject_members" => {
                self.critical_subject_members = given.map_or(Ok(default.critical_subject_members), critical)?;
            }
            "min_verification_interval" => {
                self.min_verification_interval = DAY.read(given, default.min_verification_interval)?;
            }
            "inactivity_timeout" => self.inactivity_timeout = YEAR.read(given, default.inactivity_timeout)?,
            "inactivity_action" => {
                self.inactivity_action = given.map_or(Ok(default.inactivity_action), inactivity_action)?;
            }
            "verification_heartbeat" => {
                self.verification_heartbeat = YEAR.read(given, default.verification_heartbeat)?
            }
            "subject_removal_grace" => self.subject_removal_grace = YEAR.read(given, default.subject_removal_grace)?,
            "require_shared_subject_member" => {
                self.require_shared_subject_member = given.map_or(Ok(default.require_shared_subject_member), flag)?;
            }
            "streams_per_client" => {
                self.streams_per_client = given.map(|value| STREAMS.read(Some(value), 0)).transpose()?;
            }
            "stream_storage_mb" => self.stream_storage_mb = MEGABYTES.read(given, default.stream_storage_mb)?,
            "subject_changes_per_minute" => {
                self.subject_changes_per_minute = CHANGES.read(given, default.subject_changes_per_minute)?;
            }
            _ if READ_ONLY.contains(&name) => return Err(Invalid::here(Problem::Refused("cannot be set"))),
            _ => return Err(Invalid::here(Problem::UnknownMember)),
        }
        Ok(())
    }
}

/// The stored form: the document, but without a choice of events where none was made, so that it follows the version.
impl From<TenantSettings> for Value {
    fn from(settings: TenantSettings) -> Value {
        let mut stored = settings.to_json();
        stored.insert("events_supported".to_owned(), json!(settings.events_supported));
        Value::Object(stored)
    }
}

impl TryFrom<Value> for TenantSettings {
    type Error = Invalid;

    fn try_from(stored: Value) -> Result<Self, Invalid> {
        let mut settings = TenantSettings::default();
        for (member, value) in problem::object(&stored)? {
            match settings.set(member, value) {
                Err(found) if found.problem != Problem::UnknownMember => return Err(found.under(member)),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(settings)
    }
}

impl Record for TenantSettings {
    fn write(&self, out: &mut Vec<u8>) {
        Value::from(self.clone()).write(out);
    }

    fn take(stored: Value, fault: &mut Fault) -> Self {
        fault.unless(Self::try_from(stored).ok(), Self::default())
    }
}

/// Reads a `default_subjects` member: exactly `ALL` or `NONE` (SSF-7.1-12).
pub fn default_subjects(value: &Value) -> Result<DefaultSubjects, Invalid> {
    match value.as_str() {
        Some("ALL") => Ok(DefaultSubjects::All),
        Some("NONE") => Ok(DefaultSubjects::None),
        _ => Err(Invalid::here(Problem::NotOneOf(&["ALL", "NONE"]))),
    }
}

fn tenant_name(value: &Value) -> Result<String, Invalid> {
    let name = problem::text(value, MAX_NAME)?;
    if !is_tenant_name(name) {
        return Err(Invalid::here(Problem::Refused(
            "must be of the letters a to z, digits, and hyphens between them",
        )));
    }
    Ok(name.to_owned())
}

fn signing_alg(value: &Value) -> Result<Alg, Invalid> {
    let alg = value.as_str().and_then(Alg::from_name);
    alg.ok_or_else(|| Invalid::here(Problem::NotOneOf(&["RS256", "ES256"])))
}

fn methods(value: &Value) -> Result<Vec<String>, Invalid> {
    list::distinct(value, 1..=2, &|entry| match entry.as_str() {
        Some(method @ (PUSH | POLL)) => Ok(method.to_owned()),
        _ => Err(Invalid::here(Problem::NotOneOf(&[PUSH, POLL]))),
    })
}

fn critical(value: &Value) -> Result<Vec<String>, Invalid> {
    list::distinct(value, 0..=MAX_CRITICAL, &|entry| {
        match problem::text(entry, MAX_CRITICAL_NAME)? {
            // SSF-8.1.3.1-9: it marks the container and is no part of it.
            "format" => Err(Invalid::here(Problem::Refused("is not a part of a subject"))),
            name => Ok(name.to_owned()),
        }
    })
}

fn inactivity_action(value: &Value) -> Result<Status, Invalid> {
    match value.as_str() {
        Some("paused") => Ok(Status::Paused),
        Some("disabled") => Ok(Status::Disabled),
        _ => Err(Invalid::here(Problem::NotOneOf(&["paused", "disabled"]))),
    }
}

fn flag(value: &Value) -> Result<bool, Invalid> {
    value.as_bool().ok_or_else(|| Invalid::here(Problem::NotA("a boolean")))
}

/// What a number may be, both ends included, and the same in words.
struct Range(u32, u32, &'static str);

const DAY: Range = Range(0, 86_400, "a whole number of seconds from 0 to 86400");
const YEAR: Range = Range(0, 31_536_000, "a whole number of seconds from 0 to 31536000");
const STREAMS: Range = Range(1, 1000, "a whole number from 1 to 1000");
const MEGABYTES: Range = Range(1, 9000, "a whole number from 1 to 9000");
const CHANGES: Range = Range(1, 1_000_000, "a whole number from 1 to 1000000");

impl Range {
    fn read(&self, given: Option<&Value>, default: u32) -> Result<u32, Invalid> {
        let Some(value) = given else { return Ok(default) };
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number
            .filter(|number| (self.0..=self.1).contains(number))
            .ok_or_else(|| Invalid::here(Problem::NotA(self.2)))
    }
}

#[cfg(test)]
mod tests;
