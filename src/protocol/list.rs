//! Arrays of distinct strings, as registrations and settings have them.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::problem::{Invalid, Problem};

/// Reads an array of as many entries as `sizes` allows, each with `read`, no two with the same result.
pub fn distinct(
    value: &Value,
    sizes: RangeInclusive<usize>,
    read: &dyn Fn(&Value) -> Result<String, Invalid>,
) -> Result<Vec<String>, Invalid> {
    let entries = value
        .as_array()
        .ok_or_else(|| Invalid::here(Problem::NotA("an array")))?;
    if entries.len() < *sizes.start() {
        return Err(Invalid::here(Problem::Empty));
    }
    if entries.len() > *sizes.end() {
        return Err(Invalid::here(Problem::TooMany(*sizes.end())));
    }
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

/// Puts a value where it belongs in a sorted list, unless it is there already. The general sorts of the standard library are
/// several kilobytes for each type they sort; our lists are short, or nearly in order as they come.
pub fn insert_sorted<T: Ord>(sorted: &mut Vec<T>, value: T) {
    if let Err(place) = sorted.binary_search(&value) {
        sorted.insert(place, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::problem;
    use serde_json::json;

    #[test]
    fn entries_are_counted_read_and_compared_as_read() {
        let lower = |value: &Value| problem::text(value, 5).map(str::to_lowercase);
        for (value, expected) in [
            (json!(["a", "B"]), Ok(vec!["a".to_owned(), "b".to_owned()])),
            (json!("a"), Err(Invalid::here(Problem::NotA("an array")))),
            (json!({}), Err(Invalid::here(Problem::NotA("an array")))),
            (json!([]), Err(Invalid::here(Problem::Empty))),
            (json!(["a", "b", "c", "d"]), Err(Invalid::here(Problem::TooMany(3)))),
            (json!(["a", 1]), Err(Invalid::at(1, Problem::NotA("a string")))),
            (json!(["a", "b", "A"]), Err(Invalid::at(2, Problem::Duplicate))),
        ] {
            assert_eq!(distinct(&value, 1..=3, &lower), expected, "{value}");
        }
        assert_eq!(distinct(&json!([]), 0..=3, &lower), Ok(vec![]));
    }
}
