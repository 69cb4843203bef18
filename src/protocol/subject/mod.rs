//! Subject identifiers (RFC 9493, SSF 1.0 section 3): what a publisher may name as the subject of an event.
//!
//! This is the strict, transmitting side. A receiver keeps identifiers as they come (SSF-3.4-3) and does not use it.

mod format;
mod matching;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::problem::{self, Invalid, Problem};
use super::set::first_bytes;
use format::Format;
pub use format::{is_scheme, is_uri};
#[cfg(test)]
pub use matching::{covers, matches};
pub use matching::{fingerprint, identity, members};

/// Marks the container of several simple subjects (SSF 1.0 section 3.3).
pub const COMPLEX: &str = "complex";
/// Several identifiers of one subject (RFC 9493 3.2.8).
pub const ALIASES: &str = "aliases";

/// Most members of a complex subject, and most identifiers in an `aliases`.
pub const MAX_MEMBERS: usize = 32;
/// Longest string in an identifier, in characters.
pub const MAX_TEXT: usize = 2048;

/// What is wrong with a subject, and where in it.
pub type SubjectError = Invalid;

/// Checks the primary subject of an event: a simple or a complex one.
pub fn validate(value: &Value) -> Result<(), SubjectError> {
    let members = problem::object(value)?;
    if format_name(members)? == COMPLEX {
        complex(members)
    } else {
        simple(members)
    }
}

/// Which queue of a stream an event belongs to: equal subjects, however written, share one (SUBID-R-4).
pub fn lane_key(value: &Value) -> [u8; 8] {
    first_bytes(&Sha256::digest(identity(value)))
}

fn format_name(members: &Map<String, Value>) -> Result<&str, SubjectError> {
    let format = members
        .get("format")
        .ok_or_else(|| Invalid::at("format", Problem::Missing))?;
    problem::text(format, MAX_TEXT).map_err(|found| found.under("format"))
}

/// At least one member, and each a simple subject (SSF-3.3-1, SSF-3.3-5). Their names are free (SSF-3.3-3).
fn complex(members: &Map<String, Value>) -> Result<(), SubjectError> {
    let parts: Vec<_> = members.iter().filter(|(name, _)| *name != "format").collect();
    match parts.len() {
        0 => {
            return Err(Invalid::here(Problem::Refused(
                "needs at least one member besides format",
            )));
        }
        1..=MAX_MEMBERS => {}
        _ => return Err(Invalid::here(Problem::TooMany(MAX_MEMBERS))),
    }
    parts
        .into_iter()
        .try_for_each(|(name, part)| nested(part, &[COMPLEX]).map_err(|found| found.under(name)))
}

/// A simple subject inside another one, where some formats have no place.
fn nested(value: &Value, unwanted: &[&str]) -> Result<(), SubjectError> {
    let members = problem::object(value)?;
    if unwanted.contains(&format_name(members)?) {
        return Err(Invalid::at(
            "format",
            Problem::Refused("is not allowed inside another subject"),
        ));
    }
    simple(members)
}

fn simple(members: &Map<String, Value>) -> Result<(), SubjectError> {
    let name = format_name(members)?;
    if name == ALIASES {
        return aliases(members);
    }
    match Format::find(name) {
        Some(format) => format.check(members),
        // SSF-3.4-1: a proprietary format, whose members the two sides have agreed on.
        None => Ok(()),
    }
}

/// One or more identifiers, each neither `aliases` nor `complex` (SUBID-3.2.8-2, SUBID-3.2.8-4), without exact repeats.
fn aliases(members: &Map<String, Value>) -> Result<(), SubjectError> {
    problem::only_members(members, &["format", "identifiers"])?;
    let identifiers = members
        .get("identifiers")
        .ok_or_else(|| Invalid::at("identifiers", Problem::Missing))?;
    list(identifiers, |identifier| nested(identifier, &[ALIASES, COMPLEX])).map_err(|found| found.under("identifiers"))
}

/// A non-empty array of distinct values that all pass `check`.
fn list(value: &Value, check: impl Fn(&Value) -> Result<(), SubjectError>) -> Result<(), SubjectError> {
    let entries = value
        .as_array()
        .ok_or_else(|| Invalid::here(Problem::NotA("an array")))?;
    match entries.len() {
        0 => return Err(Invalid::here(Problem::Empty)),
        1..=MAX_MEMBERS => {}
        _ => return Err(Invalid::here(Problem::TooMany(MAX_MEMBERS))),
    }
    for (at, entry) in entries.iter().enumerate() {
        check(entry).map_err(|found| found.under(at))?;
        if entries.iter().take(at).any(|earlier| earlier == entry) {
            return Err(Invalid::at(at, Problem::Duplicate));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
