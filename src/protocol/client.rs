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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::endpoint_url::UrlError;
    use crate::protocol::oauth::ScopeError;
    use serde_json::json;

    fn good() -> Value {
        json!({
            "client_name": "Acme",
            "scope": "ssf.read ssf.manage",
            "audience": "https://acme.io",
            "push_endpoints": ["https://acme.io/events", "https://HOOKS.acme.io"],
        })
    }

    fn parse(body: &Value) -> Result<ClientMetadata, ClientError> {
        ClientMetadata::parse(body, &UrlPolicy::default())
    }

    fn with(name: &str, value: Value) -> Value {
        let mut body = good();
        body[name] = value;
        body
    }

    fn without(name: &str) -> Value {
        let mut body = good();
        body.as_object_mut().unwrap().remove(name);
        body
    }

    #[test]
    fn a_receiver_is_read_with_its_endpoints_serialised() {
        assert_eq!(
            parse(&good()),
            Ok(ClientMetadata {
                client_name: "Acme".into(),
                scope: ScopeSet::parse("ssf.read ssf.manage").unwrap(),
                audience: Some(Audience::One("https://acme.io".into())),
                push_endpoints: vec!["https://acme.io/events".into(), "https://hooks.acme.io/".into()],
            })
        );
        assert_eq!(
            parse(&without("push_endpoints")).map(|client| client.push_endpoints),
            Ok(vec![])
        );
        let several = parse(&with("audience", json!(["a", "b"]))).unwrap();
        assert_eq!(several.audience, Some(Audience::Many(vec!["a".into(), "b".into()])));
    }

    #[test]
    fn a_publisher_needs_no_audience() {
        let body = json!({"client_name": "Back end", "scope": "events.publish"});
        assert_eq!(parse(&body).map(|client| client.audience), Ok(None));
    }

    #[test]
    fn faults_are_found_and_placed() {
        for (body, pointer, problem) in [
            (json!(null), "", Problem::NotA("an object")),
            (
                with("redirect_uris", json!([])),
                "/redirect_uris",
                Problem::UnknownMember,
            ),
            (with("client_id", json!("mine")), "/client_id", Problem::UnknownMember),
            (without("client_name"), "/client_name", Problem::Missing),
            (with("client_name", json!("")), "/client_name", Problem::Empty),
            (
                with("client_name", json!("a".repeat(201))),
                "/client_name",
                Problem::TooLong(200),
            ),
            (without("scope"), "/scope", Problem::Missing),
            (with("scope", json!(["ssf.read"])), "/scope", Problem::NotA("a string")),
            (
                with("scope", json!("admin")),
                "/scope",
                Problem::Scope(ScopeError::Unknown),
            ),
            (with("scope", json!("")), "/scope", Problem::Scope(ScopeError::Empty)),
            (without("audience"), "/audience", Problem::Missing),
            (with("audience", json!([])), "/audience", Problem::Empty),
            (with("audience", json!(["a", ""])), "/audience/1", Problem::Empty),
            (with("audience", json!(["a", "a"])), "/audience/1", Problem::Duplicate),
            (
                with("audience", json!(7)),
                "/audience",
                Problem::NotA("a string or an array of strings"),
            ),
            (
                with("push_endpoints", json!("https://acme.io")),
                "/push_endpoints",
                Problem::NotA("an array"),
            ),
            (
                with("push_endpoints", json!(["https://acme.io", 1])),
                "/push_endpoints/1",
                Problem::NotA("a string"),
            ),
            (
                with("push_endpoints", json!(["http://acme.io"])),
                "/push_endpoints/0",
                Problem::Url(UrlError::Scheme),
            ),
            (
                with("push_endpoints", json!(["https://10.0.0.1/"])),
                "/push_endpoints/0",
                Problem::Url(UrlError::IpAddress),
            ),
            (
                with("push_endpoints", json!(["https://acme.io", "https://ACME.io/"])),
                "/push_endpoints/1",
                Problem::Duplicate,
            ),
            (
                with("push_endpoints", json!(vec!["https://acme.io"; 33])),
                "/push_endpoints",
                Problem::TooMany(32),
            ),
        ] {
            assert_eq!(
                parse(&body),
                Err(Invalid {
                    pointer: pointer.into(),
                    problem
                }),
                "{body}"
            );
        }
    }
}
