//! Every requirement of a list is shown by a test that names it, or a document says why none does. The lists have the numbers,
//! one a line.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// On a sender and on a target of web hooks.
#[test]
fn every_requirement_of_web_hooks_is_shown_or_explained() {
    let (_, list) = split_document("docs/handshake.md");
    assert_shown_or_explained("tests/conformance/webhooks.txt", "", &list);
}

/// On a receiver of security events: what binds it, and what is recommended to it.
#[test]
fn every_requirement_on_receivers_is_shown_or_explained() {
    let (before, list) = split_document("docs/conformance.md");
    assert_shown_or_explained("tests/conformance/receiver.txt", &before, &list);
}

/// A document before and behind the heading of its list.
fn split_document(path: &str) -> (String, String) {
    let document = read(&Path::new(ROOT).join(path));
    let (before, list) = document.split_once(HEADING).expect("the document has the list");
    (before.to_owned(), list.to_owned())
}

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Where a document lists what no test names.
const HEADING: &str = "\n## Requirements that no test names\n";

/// Each of `numbers` is named by a test, or in one of the tables of `before`, or in `list`, which has nothing that a test names.
#[track_caller]
fn assert_shown_or_explained(numbers: &str, before: &str, list: &str) {
    let numbers = read(&Path::new(ROOT).join(numbers));
    let numbers: Vec<&str> = numbers.lines().collect();
    let cited = cited(Path::new(ROOT), &numbers);
    let in_first_columns = |tables: &str| {
        let rows = tables.lines().filter_map(|line| line.strip_prefix("| "));
        let columns: Vec<&str> = rows.filter_map(|row| row.split(" | ").next()).collect();
        named(&columns.join("\n"), &numbers)
    };
    let (explained_before, explained) = (in_first_columns(before), in_first_columns(list));
    let missing: Vec<_> = numbers
        .iter()
        .filter(|number| {
            ![&cited, &explained_before, &explained]
                .iter()
                .any(|set| set.contains(*number))
        })
        .collect();
    assert!(
        missing.is_empty(),
        "no test names them, and nothing explains it: {missing:?}"
    );
    let both: Vec<_> = cited.intersection(&explained).collect();
    assert!(both.is_empty(), "a test names them, so the list must not: {both:?}");
}

#[test]
fn numbers_are_found_one_by_one_and_in_ranges() {
    let numbers = ["WH-4-1", "WH-4-2", "WH-4.1-1", "WH-4.1-2", "WH-4.1-10", "SS-1", "SS-10"];
    for (text, found) in [
        ("nothing", &[][..]),
        ("(WH-4-1) SS-10.", &["SS-10", "WH-4-1"]),
        ("WH-4.1-1 to WH-4.1-10", &["WH-4.1-1", "WH-4.1-10", "WH-4.1-2"]),
        ("WH-4.1-2 to\n    //! WH-4.1-10, x", &["WH-4.1-10", "WH-4.1-2"]),
        ("SS-1 and SS-10, XSS-1, SS-100", &["SS-1", "SS-10"]),
    ] {
        let expected: BTreeSet<&str> = found.iter().copied().collect();
        assert_eq!(named(text, &numbers), expected, "{text}");
    }
}

/// The numbers that tests name: those of `tests/`, and what of `src/` is compiled for tests only.
fn cited<'a>(root: &Path, numbers: &[&'a str]) -> BTreeSet<&'a str> {
    let own = root.join("tests/conformance/cited.rs");
    let mut found = BTreeSet::new();
    for path in files(&root.join("tests")).into_iter().filter(|path| *path != own) {
        found.extend(named(&read(&path), numbers));
    }
    for path in files(&root.join("src")) {
        let text = read(&path);
        let of_tests = path.iter().any(|part| {
            let part = part.to_string_lossy();
            part == "tests" || part == "tests.rs" || part.ends_with("_tests.rs")
        });
        let part = if of_tests {
            text.as_str()
        } else {
            text.split_once("#[cfg(test)]").map_or("", |(_, tests)| tests)
        };
        found.extend(named(part, numbers));
    }
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every source file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry of the folder").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|end| end == "rs" || end == "mjs"))
        .collect()
}

/// The numbers that a text names, one by one or as `A to B`.
fn named<'a>(text: &str, numbers: &[&'a str]) -> BTreeSet<&'a str> {
    let words: Vec<&str> = text
        .split_whitespace()
        .filter(|word| !["//", "///", "//!", "*"].contains(word))
        .collect();
    let mut found = BTreeSet::new();
    for (at, word) in words.iter().enumerate() {
        for number in number_in(word) {
            found.extend(numbers.iter().filter(|known| **known == number));
            let end = words.get(at + 2).filter(|_| words.get(at + 1) == Some(&"to"));
            let Some(end) = end.and_then(|end| number_in(end).next()) else {
                continue;
            };
            let place = |wanted: &str| numbers.iter().position(|known| *known == wanted);
            if let (Some(first), Some(last)) = (place(number), place(end)) {
                found.extend(numbers.get(first..=last).unwrap_or_default());
            }
        }
    }
    found
}

/// What may be a number in a word: between characters that no number has.
fn number_in(word: &str) -> impl Iterator<Item = &str> {
    let parts = word.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.'));
    parts
        .map(|part| part.trim_end_matches(['.', '-']))
        .filter(|part| part.contains('-'))
}
