//! What an operator registers about a client: receivers and publishers of events (member names of RFC 7591).
//!
//! Members that would change nothing are refused with their place, because accepted and ignored is worse than refused.

use serde::Serialize;
use serde_json::Value;

use super::endpoint_url::{EndpointUrl, UrlPolicy};
use super::event;
use super::event::profile::Profile;
use super::list;
use super::metadata::DefaultSubjects;
use super::oauth::{Scope, ScopeSet};
use super::problem::{self, Invalid, Problem};
use super::set::Audience;
use super::tenant;
use crate::protocol::record::Record;

/// Longest client name and audience value, in characters.
pub const MAX_NAME: usize = 200;
pub const MAX_AUDIENCE_VALUE: usize = 2048;
/// Most audience values of one client.
pub const MAX_AUDIENCE: usize = 16;
/// Most pre-registered push endpoints of one client.
pub const MAX_PUSH_ENDPOINTS: usize = 32;

/// What is wrong with client metadata, and where.
pub type ClientError = Invalid;

/// Which endpoints of a client are asked for their consent. Nothing turns both off, registration and handshake.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Record)]
#[serde(rename_all = "snake_case")]
pub enum HandshakeUse {
    /// Those that are not registered.
    #[default]
    Unregistered,
    /// All of them.
    Always,
    /// None: only registered ones are taken.
    Never,
}

/// A client as registered.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
pub struct ClientMetadata {
    pub client_name: String,
    pub scope: ScopeSet,
    /// The `aud` of the client's streams. Present whenever the scope lets it have streams; a mere publisher needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<Audience>,
    /// Endpoints and prefixes that need no handshake, in serialised form (see [`super::endpoint_url::registered`]).
    pub push_endpoints: Vec<String>,
    #[serde(default)]
    pub handshake: HandshakeUse,
    /// The event types that its streams may carry; `None`: all that the tenant supports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_allowed: Option<Vec<String>>,
    /// How the events of its streams look.
    #[serde(default)]
    pub profile: Profile,
    /// With which subjects its streams start; `None`: as the profile or else the tenant has it (CIP-2.4.2-2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_subjects: Option<DefaultSubjects>,
}

impl ClientMetadata {
    /// Reads the body of a registration.
    pub fn parse(value: &Value, policy: &UrlPolicy) -> Result<ClientMetadata, ClientError> {
        let members = problem::object(value)?;
        let required = |name: &str| members.get(name).ok_or_else(|| Invalid::at(name, Problem::Missing));
        let mut client = ClientMetadata {
            client_name: String::new(),
            scope: ScopeSet::default(),
            audience: None,
            push_endpoints: Vec::new(),
            handshake: HandshakeUse::default(),
            events_allowed: None,
            profile: Profile::default(),
            default_subjects: None,
        };
        for (name, value) in members {
            client
                .set(name, Some(value), policy)
                .map_err(|found| found.under(name))?;
        }
        required("client_name")?;
        required("scope")?;
        client.consistent()
    }

    /// This client after a request that changes some members: `null` removes one that is not required. What is not changed is
    /// not checked anew, except that the members have to go together.
    pub fn patched(&self, value: &Value, policy: &UrlPolicy) -> Result<ClientMetadata, ClientError> {
        let mut client = self.clone();
        for (name, value) in problem::object(value)? {
            let given = Some(value).filter(|value| !value.is_null());
            client.set(name, given, policy).map_err(|found| found.under(name))?;
        }
        client.consistent()
    }

    /// Sets one member, or removes it.
    fn set(&mut self, name: &str, given: Option<&Value>, policy: &UrlPolicy) -> Result<(), Invalid> {
        let required = || given.ok_or_else(|| Invalid::here(Problem::Missing));
        match name {
            "client_name" => self.client_name = problem::text(required()?, MAX_NAME)?.to_owned(),
            "scope" => self.scope = scope(required()?)?,
            "audience" => self.audience = given.map(audience).transpose()?,
            "push_endpoints" => {
                self.push_endpoints = given.map_or(Ok(Vec::new()), |value| push_endpoints(value, policy))?;
            }
            "handshake" => self.handshake = given.map_or(Ok(HandshakeUse::default()), handshake)?,
            "events_allowed" => self.events_allowed = given.map(event::type_list).transpose()?,
            "profile" => self.profile = given.map_or(Ok(Profile::default()), profile)?,
            "default_subjects" => self.default_subjects = given.map(tenant::default_subjects).transpose()?,
            _ => return Err(Invalid::here(Problem::UnknownMember)),
        }
        Ok(())
    }

    /// What no member shows alone.
    fn consistent(self) -> Result<ClientMetadata, Invalid> {
        if self.audience.is_none() && (self.scope.contains(Scope::SsfRead) || self.scope.contains(Scope::SsfManage)) {
            return Err(Invalid::at("audience", Problem::Missing));
        }
        if self.profile == Profile::CaepInterop && self.default_subjects == Some(DefaultSubjects::None) {
            // CIP-2.4.2-1: its receivers never add a subject, so they would never get an event.
            return Err(Invalid::at(
                "default_subjects",
                Problem::Refused("cannot be NONE with the profile caep_interop"),
            ));
        }
        Ok(self)
    }
}

fn scope(value: &Value) -> Result<ScopeSet, Invalid> {
    let text = value.as_str().ok_or_else(|| Invalid::here(Problem::NotA("a string")))?;
    ScopeSet::parse(text).map_err(|error| Invalid::here(Problem::Scope(error)))
}

fn audience(value: &Value) -> Result<Audience, Invalid> {
    let name = |value: &Value| problem::text(value, MAX_AUDIENCE_VALUE).map(str::to_owned);
    match value {
        Value::String(_) => name(value).map(Audience::One),
        Value::Array(_) => list::distinct(value, 1..=MAX_AUDIENCE, &name).map(Audience::Many),
        _ => Err(Invalid::here(Problem::NotA("a string or an array of strings"))),
    }
}

fn handshake(value: &Value) -> Result<HandshakeUse, Invalid> {
    match value.as_str() {
        Some("unregistered") => Ok(HandshakeUse::Unregistered),
        Some("always") => Ok(HandshakeUse::Always),
        Some("never") => Ok(HandshakeUse::Never),
        _ => Err(Invalid::here(Problem::NotOneOf(&["unregistered", "always", "never"]))),
    }
}

fn push_endpoints(value: &Value, policy: &UrlPolicy) -> Result<Vec<String>, Invalid> {
    list::distinct(value, 0..=MAX_PUSH_ENDPOINTS, &|entry| {
        let text = entry.as_str().ok_or_else(|| Invalid::here(Problem::NotA("a string")))?;
        let url = EndpointUrl::parse(text, policy).map_err(|error| Invalid::here(Problem::Url(error)))?;
        Ok(url.as_str().to_owned())
    })
}

fn profile(value: &Value) -> Result<Profile, Invalid> {
    match value.as_str() {
        Some("ssf") => Ok(Profile::Ssf),
        Some("caep_interop") => Ok(Profile::CaepInterop),
        Some("legacy_subject") => Ok(Profile::LegacySubject),
        _ => Err(Invalid::here(Problem::NotOneOf(&[
            "ssf",
            "caep_interop",
            "legacy_subject",
        ]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::endpoint_url::UrlError;
    use crate::protocol::mutate;
    use crate::protocol::oauth::ScopeError;
    use crate::protocol::record;
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
                handshake: crate::protocol::client::HandshakeUse::default(),
                events_allowed: None,
                profile: Profile::Ssf,
                default_subjects: None,
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
    fn a_receiver_may_be_special() {
        let body = with("events_allowed", json!(["urn:quarry:badge-lost"]));
        assert_eq!(
            parse(&body).map(|client| client.events_allowed),
            Ok(Some(vec!["urn:quarry:badge-lost".into()]))
        );
        for (name, profile) in [
            ("ssf", Profile::Ssf),
            ("caep_interop", Profile::CaepInterop),
            ("legacy_subject", Profile::LegacySubject),
        ] {
            assert_eq!(profile.name(), name);
            assert_eq!(
                parse(&with("profile", json!(name))).map(|client| client.profile),
                Ok(profile)
            );
        }
    }

    #[test]
    fn clients_stored_before_profiles_are_read() {
        let stored = json!({"client_name": "Acme", "scope": "events.publish", "push_endpoints": []});
        let client: ClientMetadata = ClientMetadata::from_json(stored).unwrap();
        assert_eq!(
            (client.events_allowed, client.profile, client.default_subjects),
            (None, Profile::Ssf, None)
        );
    }

    #[test]
    fn a_change_changes_what_it_names() {
        let policy = UrlPolicy::default();
        let before = parse(&good()).unwrap();
        let whole = json!({
            "client_name": "Quarry",
            "scope": "ssf.read",
            "audience": ["a", "b"],
            "push_endpoints": ["https://quarry.io"],
            "events_allowed": ["urn:quarry:badge-lost"],
            "profile": "legacy_subject",
            "default_subjects": "NONE",
        });
        let changed = before.patched(&whole, &policy).unwrap();
        assert_eq!(changed, parse(&whole).unwrap());
        assert_eq!(before.patched(&json!({}), &policy), Ok(before.clone()));
        assert_eq!(
            before.patched(&json!({"client_name": "Quarry"}), &policy),
            Ok(ClientMetadata {
                client_name: "Quarry".into(),
                ..before.clone()
            })
        );
        let nothing =
            json!({"push_endpoints": null, "events_allowed": null, "profile": null, "default_subjects": null});
        assert_eq!(
            changed.patched(&nothing, &policy),
            Ok(ClientMetadata {
                push_endpoints: vec![],
                events_allowed: None,
                profile: Profile::Ssf,
                default_subjects: None,
                ..changed.clone()
            })
        );
        let no_streams = json!({"audience": null, "scope": "events.publish"});
        assert_eq!(
            before.patched(&no_streams, &policy).map(|client| client.audience),
            Ok(None)
        );
        // An endpoint that today's policy refuses stands in the way of nothing else.
        let stored = ClientMetadata {
            push_endpoints: vec!["http://localhost:9/".into()],
            ..before
        };
        assert!(stored.patched(&json!({"client_name": "Quarry"}), &policy).is_ok());
    }

    #[test]
    fn faults_of_a_change_are_found_and_placed() {
        use Problem::{Missing, NotA, Refused, UnknownMember};
        let together = || Refused("cannot be NONE with the profile caep_interop");
        let interop = parse(&with("profile", json!("caep_interop"))).unwrap();
        for (change, pointer, problem) in [
            (json!(null), "", NotA("an object")),
            (json!({"client_id": "mine"}), "/client_id", UnknownMember),
            (json!({"client_secret": null}), "/client_secret", UnknownMember),
            (json!({"client_name": null}), "/client_name", Missing),
            (json!({"client_name": 7}), "/client_name", NotA("a string")),
            (json!({"scope": null}), "/scope", Missing),
            (json!({"audience": null}), "/audience", Missing),
            (
                json!({"push_endpoints": ["https://acme.io", "http://acme.io"]}),
                "/push_endpoints/1",
                Problem::Url(UrlError::Scheme),
            ),
            (json!({"default_subjects": "NONE"}), "/default_subjects", together()), // CIP-2.4.2-1
        ] {
            let pointer = pointer.to_owned();
            let result = interop.patched(&change, &UrlPolicy::default());
            assert_eq!(result, Err(Invalid { pointer, problem }), "{change}");
        }
        let picky = parse(&with("default_subjects", json!("NONE"))).unwrap();
        let change = json!({"profile": "caep_interop"});
        assert_eq!(
            picky.patched(&change, &UrlPolicy::default()),
            Err(Invalid::at("default_subjects", together()))
        );
        let both = json!({"profile": "caep_interop", "default_subjects": null});
        assert!(picky.patched(&both, &UrlPolicy::default()).is_ok());
    }

    /// What is accepted can be stored, and is accepted again as it was understood.
    #[test]
    fn no_body_upsets_the_parser() {
        let mut special = good();
        special["profile"] = json!("legacy_subject");
        special["default_subjects"] = json!("NONE");
        special["events_allowed"] = json!(["urn:a:b"]);
        let mut accepted = 0;
        for bytes in mutate::variants(&[&special.to_string()], 20_000) {
            let Ok(body) = serde_json::from_slice::<Value>(&bytes) else {
                continue;
            };
            if let Ok(client) = parse(&body) {
                accepted += 1;
                let stored: Value = record::read(&record::text(&client)).unwrap();
                assert_eq!(parse(&stored).as_ref(), Ok(&client), "{body}");
                assert_eq!(ClientMetadata::from_json(stored).unwrap(), client, "{body}");
            }
        }
        assert!(accepted > 500, "the seed is no longer near the rules: {accepted}");
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
            (
                with("audience", json!(null)),
                "/audience",
                Problem::NotA("a string or an array of strings"),
            ),
            (
                with("push_endpoints", json!(null)),
                "/push_endpoints",
                Problem::NotA("an array"),
            ),
            (with("events_allowed", json!([])), "/events_allowed", Problem::Empty),
            (
                with("events_allowed", json!(null)),
                "/events_allowed",
                Problem::NotA("an array"),
            ),
            (
                with("events_allowed", json!(["urn:a:b", "session-revoked"])),
                "/events_allowed/1",
                Problem::Refused("must be a URI with a scheme"),
            ),
            (
                with("profile", json!("caep")),
                "/profile",
                Problem::NotOneOf(&["ssf", "caep_interop", "legacy_subject"]),
            ),
            (
                with("default_subjects", json!("none")),
                "/default_subjects",
                Problem::NotOneOf(&["ALL", "NONE"]),
            ),
            (
                json!({"client_name": "A", "scope": "ssf.read", "audience": "a", "profile": "caep_interop", "default_subjects": "NONE"}),
                "/default_subjects",
                Problem::Refused("cannot be NONE with the profile caep_interop"),
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
