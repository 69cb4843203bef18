//! One finding about one place of a JSON document that somebody sent us: a JSON pointer (RFC 6901) and what is wrong.
//! The texts reach the peer as `detail`, so they name the rule and never repeat the value.

use std::fmt::Display;

use serde_json::{Map, Value};

use super::endpoint_url::UrlError;
use super::oauth::ScopeError;

/// What is wrong with the value at the pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("is required")]
    Missing,
    /// The expected JSON type, with its article.
    #[error("must be {0}")]
    NotA(&'static str),
    #[error("must not be empty")]
    Empty,
    #[error("is longer than {0} characters")]
    TooLong(usize),
    #[error("has more than {0} entries")]
    TooMany(usize),
    #[error("repeats an earlier entry")]
    Duplicate,
    #[error("is not a member of this object")]
    UnknownMember,
    #[error("must be one of: {}", .0.join(", "))]
    NotOneOf(&'static [&'static str]),
    /// A rule in words.
    #[error("{0}")]
    Refused(&'static str),
    #[error("{0}")]
    Url(UrlError),
    #[error("{0}")]
    Scope(ScopeError),
}

/// A problem and where it is. The pointer is relative to the document that was handed to the parser; "" is all of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", subject_of(.pointer))]
pub struct Invalid {
    pub pointer: String,
    pub problem: Problem,
}

impl Invalid {
    /// A problem of the value itself; see [`Invalid::under`] for giving it a place.
    pub fn here(problem: Problem) -> Self {
        Invalid {
            pointer: String::new(),
            problem,
        }
    }

    /// A problem of the direct member `name`.
    pub fn at(name: impl Display, problem: Problem) -> Self {
        Invalid::here(problem).inside(&name)
    }

    /// The same finding seen from one level further out, where the value is the member or entry `name`.
    pub fn under(self, name: impl Display) -> Self {
        self.inside(&name)
    }

    /// Apart from `under`, which is compiled for each kind of name.
    fn inside(self, name: &dyn Display) -> Self {
        let name = name.to_string().replace('~', "~0").replace('/', "~1");
        Invalid {
            pointer: format!("/{name}{}", self.pointer),
            ..self
        }
    }
}

/// The value as an object, else "must be an object".
pub fn object(value: &Value) -> Result<&Map<String, Value>, Invalid> {
    value
        .as_object()
        .ok_or_else(|| Invalid::here(Problem::NotA("an object")))
}

/// A non-empty string of at most `max` characters.
pub fn text(value: &Value, max: usize) -> Result<&str, Invalid> {
    let text = value.as_str().ok_or_else(|| Invalid::here(Problem::NotA("a string")))?;
    if text.is_empty() {
        return Err(Invalid::here(Problem::Empty));
    }
    if text.chars().nth(max).is_some() {
        return Err(Invalid::here(Problem::TooLong(max)));
    }
    Ok(text)
}

/// Applies `read` to a member that is there. A `null` is there, and wrong.
pub fn optional<T>(
    members: &Map<String, Value>,
    name: &str,
    read: fn(&Value) -> Result<T, Invalid>,
) -> Result<Option<T>, Invalid> {
    members
        .get(name)
        .map(read)
        .transpose()
        .map_err(|found| found.under(name))
}

/// Refuses any member that is not in `known`: what we would not act on, we do not accept.
pub fn only_members(object: &Map<String, Value>, known: &[&str]) -> Result<(), Invalid> {
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(Invalid::at(name, Problem::UnknownMember)),
        None => Ok(()),
    }
}

fn subject_of(pointer: &str) -> String {
    if pointer.is_empty() {
        String::from("the document ")
    } else {
        format!("{pointer} ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pointers_grow_outwards_and_are_escaped() {
        let found = Invalid::at("a/b~c", Problem::Missing).under(3).under("events");
        assert_eq!(found.pointer, "/events/3/a~1b~0c");
        assert_eq!(found.to_string(), "/events/3/a~1b~0c is required");
        assert_eq!(
            Invalid::here(Problem::NotA("an object")).to_string(),
            "the document must be an object"
        );
    }

    #[test]
    fn text_counts_characters_not_bytes() {
        assert_eq!(text(&json!("éé"), 2), Ok("éé"));
        assert_eq!(text(&json!("ééé"), 2), Err(Invalid::here(Problem::TooLong(2))));
        assert_eq!(text(&json!(""), 2), Err(Invalid::here(Problem::Empty)));
        assert_eq!(text(&json!(1), 2), Err(Invalid::here(Problem::NotA("a string"))));
    }

    #[test]
    fn unknown_members_are_named() {
        let value = json!({"a": 1, "b": 2});
        let members = object(&value).unwrap();
        assert_eq!(only_members(members, &["a", "b", "c"]), Ok(()));
        assert_eq!(only_members(members, &["a"]).unwrap_err().pointer, "/b");
    }
}
