//! What an operator registers about a client: receivers and publishers of events (member names of RFC 7591).
//!
//! Members that would change nothing are refused with their place, because accepted and ignored is worse than refused.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::endpoint_url::{EndpointUrl, UrlPolicy};
use super::oauth::{Scope, ScopeSet};
use super::problem::{self, Invalid, Problem};
use super::set::Audience;

/// Longest client name and audience value, in characters.
pub const MAX_NAME: usize = 200;
pub const MAX_AUDIENCE_VALUE: usize = 2048;
/// Most audience values of one client.
pub const MAX_AUDIENCE: usize = 16;
/// Most pre-registered push endpoints of one client.
pub const MAX_PUSH_ENDPOINTS: usize = 32;

const MEMBERS: [&str; 4] = ["client_name", "scope", "audience", "push_endpoints"];

/// What is wrong with client metadata, and where.
pub type ClientError = Invalid;

/// A client as registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientMetadata {
    pub client_name: String,
    pub scope: ScopeSet,
    /// The `aud` of the client's streams. Present whenever the scope lets it have streams; a mere publisher needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<Audience>,
    /// Endpoints and prefixes that need no handshake, in serialised form (see [`super::endpoint_url::registered`]).
    pub push_endpoints: Vec<String>,
}

impl ClientMetadata {
    /// Reads the body of a registration.
    pub fn parse(value: &Value, policy: &UrlPolicy) -> Result<ClientMetadata, ClientError> {
        let members = problem::object(value)?;
        problem::only_members(members, &MEMBERS)?;
        let client_name = required(members, "client_name", |value| problem::text(value, MAX_NAME))?.to_owned();
        let scope = required(members, "scope", scope)?;
        let audience = members
            .get("audience")
            .map(audience)
            .transpose()
            .map_err(|found| found.under("audience"))?;
        if audience.is_none() && (scope.contains(Scope::SsfRead) || scope.contains(Scope::SsfManage)) {
            return Err(Invalid::at("audience", Problem::Missing));
        }
        let push_endpoints = match members.get("push_endpoints") {
            Some(value) => push_endpoints(value, policy).map_err(|found| found.under("push_endpoints"))?,
            None => Vec::new(),
        };
        Ok(ClientMetadata {
            client_name,
            scope,
            audience,
            push_endpoints,
        })
    }
}

fn required<'a, T>(
    members: &'a Map<String, Value>,
    name: &str,
    read: impl Fn(&'a Value) -> Result<T, Invalid>,
) -> Result<T, Invalid> {
    let value = members.get(name).ok_or_else(|| Invalid::at(name, Problem::Missing))?;
    read(value).map_err(|found| found.under(name))
}

fn scope(value: &Value) -> Result<ScopeSet, Invalid> {
    let text = value.as_str().ok_or_else(|| Invalid::here(Problem::NotA("a string")))?;
    ScopeSet::parse(text).map_err(|error| Invalid::here(Problem::Scope(error)))
}

fn audience(value: &Value) -> Result<Audience, Invalid> {
    let Some(entries) = value.as_array() else {
        return match value {
            Value::String(_) => Ok(Audience::One(problem::text(value, MAX_AUDIENCE_VALUE)?.to_owned())),
            _ => Err(Invalid::here(Problem::NotA("a string or an array of strings"))),
        };
    };
    match entries.len() {
        0 => Err(Invalid::here(Problem::Empty)),
        1..=MAX_AUDIENCE => unique(entries, |entry| {
            problem::text(entry, MAX_AUDIENCE_VALUE).map(str::to_owned)
        })
        .map(Audience::Many),
        _ => Err(Invalid::here(Problem::TooMany(MAX_AUDIENCE))),
    }
}

fn push_endpoints(value: &Value, policy: &UrlPolicy) -> Result<Vec<String>, Invalid> {
    let entries = value
        .as_array()
        .ok_or_else(|| Invalid::here(Problem::NotA("an array")))?;
    if entries.len() > MAX_PUSH_ENDPOINTS {
        return Err(Invalid::here(Problem::TooMany(MAX_PUSH_ENDPOINTS)));
    }
    unique(entries, |entry| {
        let text = entry.as_str().ok_or_else(|| Invalid::here(Problem::NotA("a string")))?;
        let url = EndpointUrl::parse(text, policy).map_err(|error| Invalid::here(Problem::Url(error)))?;
        Ok(url.as_str().to_owned())
    })
}

/// Reads every entry of an array, none twice.
fn unique(entries: &[Value], read: impl Fn(&Value) -> Result<String, Invalid>) -> Result<Vec<String>, Invalid> {
    let mut values: Vec<String> = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        let value = read(entry).map_err(|found| found.under(at))?;
        if values.contains(&value) {
            return Err(Invalid::at(at, Problem::Duplicate));
        }
        values.push(value);
    }
    Ok(values)
}
