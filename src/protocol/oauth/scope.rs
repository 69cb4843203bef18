//! The scopes of this service, and sets of them (RFC 6749 section 3.3; names from the CAEP interop profile).

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::protocol::record::{Fault, Record};

/// One scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Reading stream configurations and status (CIP-2.7.2-4).
    SsfRead,
    /// All management of streams, and polling (CIP-2.7.2-3).
    SsfManage,
    /// Publishing events.
    EventsPublish,
}

impl Scope {
    pub const ALL: [Scope; 3] = [Scope::SsfRead, Scope::SsfManage, Scope::EventsPublish];

    /// The scope's name in tokens and requests.
    pub fn name(self) -> &'static str {
        match self {
            Scope::SsfRead => "ssf.read",
            Scope::SsfManage => "ssf.manage",
            Scope::EventsPublish => "events.publish",
        }
    }

    /// The scope of that exact name.
    pub fn from_name(name: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// A scope value that we do not grant anything for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    #[error("must be one or more of ssf.read, ssf.manage, events.publish, separated by single spaces")]
    Unknown,
    #[error("must name at least one scope")]
    Empty,
}

/// A set of scopes. As text, also in JSON, their names joined by a space, always in the same order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct ScopeSet(u8);

impl ScopeSet {
    pub const EMPTY: ScopeSet = ScopeSet(0);

    /// Reads a scope value in which every name has to be known. Repeats are harmless.
    pub fn parse(text: &str) -> Result<ScopeSet, ScopeError> {
        if text.is_empty() {
            return Err(ScopeError::Empty);
        }
        text.split(' ')
            .map(|name| Scope::from_name(name).ok_or(ScopeError::Unknown))
            .collect()
    }

    /// Reads the scopes of a token, passing over names that mean nothing to us.
    pub fn known_in(text: &str) -> ScopeSet {
        text.split(' ').filter_map(Scope::from_name).collect()
    }

    /// Whether the very scope is in the set.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & bit(scope) != 0
    }

    /// Whether the set suffices for what `scope` protects: managing includes reading (CIP-2.7.2-8).
    pub fn permits(self, scope: Scope) -> bool {
        self.contains(scope) || (scope == Scope::SsfRead && self.contains(Scope::SsfManage))
    }

    /// Whether every scope of this set is in `other`.
    pub fn is_subset(self, other: ScopeSet) -> bool {
        self.0 & !other.0 == 0
    }

    pub fn is_empty(self) -> bool {
        self == ScopeSet::EMPTY
    }

    /// The scopes, always in the same order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }
}

fn bit(scope: Scope) -> u8 {
    1 << scope as u8
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        ScopeSet(scopes.into_iter().fold(0, |bits, scope| bits | bit(scope)))
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.iter().enumerate() {
            if at > 0 {
                formatter.write_str(" ")?;
            }
            formatter.write_str(scope.name())?;
        }
        Ok(())
    }
}

impl From<ScopeSet> for String {
    fn from(scopes: ScopeSet) -> Self {
        scopes.to_string()
    }
}

/// Reading back what we stored: names that a newer version wrote are passed over, never an error.
impl Record for ScopeSet {
    fn write(&self, out: &mut Vec<u8>) {
        self.to_string().write(out);
    }

    fn take(value: Value, fault: &mut Fault) -> Self {
        ScopeSet::known_in(&String::take(value, fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_known_names_only() {
        for (text, expected) in [
            ("ssf.read", Ok("ssf.read")),
            (
                "events.publish ssf.manage ssf.read",
                Ok("ssf.read ssf.manage events.publish"),
            ),
            ("ssf.read ssf.read", Ok("ssf.read")),
            ("", Err(ScopeError::Empty)),
            ("ssf.read  ssf.manage", Err(ScopeError::Unknown)),
            (" ssf.read", Err(ScopeError::Unknown)),
            ("SSF.READ", Err(ScopeError::Unknown)),
            ("ssf.manage.poll", Err(ScopeError::Unknown)), // CIP-2.7.2-8: a suffixed scope is another scope
        ] {
            assert_eq!(
                ScopeSet::parse(text).map(|scopes| scopes.to_string()),
                expected.map(String::from),
                "{text}"
            );
        }
    }

    #[test]
    fn managing_includes_reading_and_nothing_else() {
        let set = |text| ScopeSet::parse(text).unwrap();
        for (held, needed, expected) in [
            ("ssf.manage", Scope::SsfRead, true),
            ("ssf.manage", Scope::SsfManage, true),
            ("ssf.read", Scope::SsfManage, false),
            ("events.publish", Scope::SsfRead, false),
            ("ssf.read ssf.manage", Scope::EventsPublish, false),
        ] {
            assert_eq!(set(held).permits(needed), expected, "{held} {needed:?}");
        }
        assert!(!set("ssf.manage").contains(Scope::SsfRead));
    }

    #[test]
    fn subsets() {
        let set = |text| ScopeSet::parse(text).unwrap();
        assert!(set("ssf.read").is_subset(set("ssf.read ssf.manage")));
        assert!(!set("ssf.read events.publish").is_subset(set("ssf.read ssf.manage")));
        assert!(ScopeSet::EMPTY.is_subset(ScopeSet::EMPTY) && ScopeSet::EMPTY.is_empty());
    }

    #[test]
    fn json_form_is_the_text() {
        let scopes: ScopeSet = crate::protocol::record::read("\"ssf.manage later.scope ssf.read\"").unwrap();
        assert_eq!(serde_json::to_string(&scopes).unwrap(), "\"ssf.read ssf.manage\"");
    }
}
