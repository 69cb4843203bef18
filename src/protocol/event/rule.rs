//! The kinds of members that event objects have, and their checks.

use serde_json::{Map, Value};

use super::EventError;
use crate::protocol::problem::{self, Invalid, Problem};

/// Longest string in an event object that has a rule, in characters.
const MAX_TEXT: usize = 4096;
/// Above this a "number of seconds" is certainly milliseconds: it is the year 5138 (CAEP-2-7).
pub(super) const MAX_SECONDS: f64 = 1e11;

/// A member that an event type defines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    name: &'static str,
    required: bool,
    rule: Rule,
}

/// What a member's value has to be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    /// A string, of an open set where the standard lists values.
    Text,
    /// One string of a closed set.
    OneOf(&'static [&'static str]),
    /// Seconds since 1970, fractions allowed (CAEP-2-1).
    Seconds,
    /// Language tags to messages, at least one (CAEP-2-3).
    LanguageMap,
    /// An object with at least one member (CAEP-3.2-4).
    Claims,
    /// An array of strings (CAEP-3.6-3).
    TextArray,
}

impl Member {
    pub(super) const fn required(name: &'static str, rule: Rule) -> Member {
        Member {
            name,
            required: true,
            rule,
        }
    }

    pub(super) const fn optional(name: &'static str, rule: Rule) -> Member {
        Member {
            name,
            required: false,
            rule,
        }
    }

    pub(super) fn check(&self, event: &Map<String, Value>) -> Result<(), EventError> {
        match event.get(self.name) {
            Some(value) => self.rule.check(value).map_err(|found| found.under(self.name)),
            None if self.required => Err(Invalid::at(self.name, Problem::Missing)),
            None => Ok(()),
        }
    }
}

impl Rule {
    fn check(self, value: &Value) -> Result<(), EventError> {
        match self {
            Rule::Text => problem::text(value, MAX_TEXT).map(|_| ()),
            Rule::OneOf(values) if value.as_str().is_some_and(|text| values.contains(&text)) => Ok(()),
            Rule::OneOf(values) => Err(Invalid::here(Problem::NotOneOf(values))),
            Rule::Seconds => seconds(value),
            Rule::LanguageMap => language_map(value),
            Rule::Claims => non_empty_object(value).map(|_| ()),
            Rule::TextArray => text_array(value),
        }
    }
}

/// A time in seconds that is plausible as such. Shared with `toe` of a publish request.
pub(super) fn seconds(value: &Value) -> Result<(), EventError> {
    let number = value
        .as_f64()
        .ok_or_else(|| Invalid::here(Problem::NotA("a number of seconds")))?;
    if number < 0.0 {
        return Err(Invalid::here(Problem::Refused("must not be before 1970")));
    }
    if number > MAX_SECONDS {
        return Err(Invalid::here(Problem::Refused("must be in seconds, not milliseconds")));
    }
    Ok(())
}

fn non_empty_object(value: &Value) -> Result<&Map<String, Value>, EventError> {
    let members = problem::object(value)?;
    if members.is_empty() {
        Err(Invalid::here(Problem::Empty))
    } else {
        Ok(members)
    }
}

fn language_map(value: &Value) -> Result<(), EventError> {
    for (tag, message) in non_empty_object(value)? {
        if !is_language_tag(tag) {
            return Err(Invalid::at(
                tag,
                Problem::Refused("must be named by a language tag (BCP 47)"),
            ));
        }
        problem::text(message, MAX_TEXT).map_err(|found| found.under(tag))?;
    }
    Ok(())
}

/// The outline of BCP 47: letters first, then groups of up to eight letters and digits.
fn is_language_tag(tag: &str) -> bool {
    let mut groups = tag.split('-');
    let sized = |group: &str| (1..=8).contains(&group.len());
    groups
        .next()
        .is_some_and(|first| sized(first) && first.bytes().all(|byte| byte.is_ascii_alphabetic()))
        && groups.all(|group| sized(group) && group.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

fn text_array(value: &Value) -> Result<(), EventError> {
    let entries = value
        .as_array()
        .ok_or_else(|| Invalid::here(Problem::NotA("an array of strings")))?;
    let check = |(at, entry)| {
        problem::text(entry, MAX_TEXT)
            .map(|_| ())
            .map_err(|found: Invalid| found.under(at))
    };
    entries.iter().enumerate().try_for_each(check)
}
