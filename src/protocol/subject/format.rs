//! The simple identifier formats with fixed members: those of RFC 9493 section 3.2 and SSF 1.0 section 3.5.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::{MAX_TEXT, SubjectError, list};
use crate::protocol::problem::{self, Invalid, Problem};

/// A format: its name and its members. All are required and nothing else is allowed (SUBID-3-3).
pub(super) struct Format {
    name: &'static str,
    members: &'static [(&'static str, Rule)],
}

/// What a member's value has to be (SUBID-R-2 keeps this to what the standards demand).
enum Rule {
    /// Any non-empty string.
    Text,
    Matches(fn(&str) -> bool, &'static str),
    /// A non-empty array of IP addresses as text (SSF-3.5.3-1).
    IpAddresses,
}

use Rule::{IpAddresses, Matches, Text};

const FORMATS: &[Format] = &[
    Format {
        name: "account",
        members: &[("uri", Matches(is_account, "must be an acct: URI"))],
    },
    Format {
        name: "email",
        members: &[("email", Matches(is_email, "must be an e-mail address"))],
    },
    Format {
        name: "iss_sub",
        members: &[("iss", Text), ("sub", Text)],
    },
    Format {
        name: "opaque",
        members: &[("id", Text)],
    },
    Format {
        name: "phone_number",
        members: &[(
            "phone_number",
            Matches(is_phone_number, "must be + and up to 15 digits (E.164)"),
        )],
    },
    // SUBID-3.2.6-1: the member is `url`, not `uri` and not `did`.
    Format {
        name: "did",
        members: &[("url", Matches(is_did, "must be a DID URL"))],
    },
    Format {
        name: "uri",
        members: &[("uri", Matches(is_uri, "must be a URI with a scheme"))],
    },
    Format {
        name: "jwt_id",
        members: &[("iss", Text), ("jti", Text)],
    },
    // SSF 3.5.2: `issuer` here where jwt_id has `iss`.
    Format {
        name: "saml_assertion_id",
        members: &[("issuer", Text), ("assertion_id", Text)],
    },
    // SSF 3.5.3: hyphens, in both names.
    Format {
        name: "ip-addresses",
        members: &[("ip-addresses", IpAddresses)],
    },
];

impl Format {
    pub(super) fn find(name: &str) -> Option<&'static Format> {
        FORMATS.iter().find(|format| format.name == name)
    }

    pub(super) fn check(&self, members: &Map<String, Value>) -> Result<(), SubjectError> {
        for (name, rule) in self.members {
            let value = members.get(*name).ok_or_else(|| Invalid::at(name, Problem::Missing))?;
            rule.check(value).map_err(|found| found.under(name))?;
        }
        let described = |name: &String| name == "format" || self.members.iter().any(|(member, _)| name == member);
        match members.keys().find(|name| !described(name)) {
            Some(name) => Err(Invalid::at(name, Problem::UnknownMember)),
            None => Ok(()),
        }
    }
}

impl Rule {
    fn check(&self, value: &Value) -> Result<(), SubjectError> {
        match self {
            Text => problem::text(value, MAX_TEXT).map(|_| ()),
            Matches(matches, rule) if matches(problem::text(value, MAX_TEXT)?) => Ok(()),
            Matches(_, rule) => Err(Invalid::here(Problem::Refused(rule))),
            IpAddresses => list(value, |entry| match problem::text(entry, MAX_TEXT)?.parse::<IpAddr>() {
                Ok(_) => Ok(()),
                Err(_) => Err(Invalid::here(Problem::Refused("must be an IPv4 or IPv6 address"))),
            }),
        }
    }
}

/// `acct:user@host` (RFC 7565).
fn is_account(text: &str) -> bool {
    let rest = text
        .get(..5)
        .filter(|scheme| scheme.eq_ignore_ascii_case("acct:"))
        .and_then(|_| text.get(5..));
    rest.is_some_and(is_email)
}

/// Something on both sides of the last `@`, and nothing that no address has. More is for the mailbox's owner to say.
fn is_email(text: &str) -> bool {
    let parts = text.rsplit_once('@');
    parts
        .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains(char::is_whitespace))
        && !text.contains(char::is_control)
}

fn is_phone_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    (1..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// `did:method:id`, with whatever path, query or fragment.
fn is_did(text: &str) -> bool {
    let mut parts = text.splitn(3, ':');
    let method_is_legal =
        |method: &str| !method.is_empty() && method.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'));
    parts.next() == Some("did")
        && parts.next().is_some_and(method_is_legal)
        && parts.next().is_some_and(|id| !id.is_empty())
        && is_uri_text(text)
}

/// A scheme and something after it.
pub fn is_uri(text: &str) -> bool {
    let parts = text.split_once(':');
    parts.is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty()) && is_uri_text(text)
}

/// RFC 3986 3.1.
pub fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn is_uri_text(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}
