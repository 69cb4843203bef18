//! The rules of the house (docs/architecture.md): which room may name which, and where the platform may be named.

use super::tokens::{Token, tokens};

/// The rooms and their floors. A room names only rooms on floors below its own.
const ROOMS: [(&str, u8); 5] = [
    ("protocol", 1),
    ("delivery", 2),
    ("transmitter", 3),
    ("receiver", 3),
    ("edge", 4),
];

/// Named only in `src/edge` and `src/lib.rs`. Mostly crates that exist for wasm only.
const PLATFORM: [&str; 8] = [
    "worker",
    "wasm_bindgen",
    "wasm_bindgen_futures",
    "web_sys",
    "js_sys",
    "futures_util",
    "getrandom",
    "percent_encoding",
];

/// What is wrong in one file, as `path:line: reason`. `path` is relative to `src`.
pub fn violations(path: &str, source: &str) -> Vec<String> {
    let parts: Vec<&str> = path.split('/').collect();
    if parts == ["lib.rs"] {
        return Vec::new();
    }
    let Some(&(room, floor)) = ROOMS
        .iter()
        .find(|(room, _)| parts[0] == *room || parts[0] == format!("{room}.rs"))
    else {
        return vec![format!("src/{path}:1: this file is in none of the rooms")];
    };

    let tokens = tokens(source);
    let mut found = Vec::new();
    let mut report = |line: usize, reason: String| found.push(format!("src/{path}:{line}: {reason}"));
    for (name, line) in rooms_named(&tokens, module_depth(&parts)) {
        let Some(&(_, other)) = ROOMS.iter().find(|(room, _)| *room == name) else {
            continue;
        };
        if other > floor {
            report(line, format!("`{room}` (floor {floor}) names `{name}` (floor {other})"));
        } else if other == floor && name != room {
            report(
                line,
                format!("`{room}` and `{name}` stand side by side and must not name each other"),
            );
        }
    }
    if room != "edge" {
        for token in platform_named(&tokens) {
            report(token.line, format!("`{room}` names the platform (`{}`)", token.text));
        }
    }
    found
}

/// How many modules are above the file's own: `super` that often is the crate.
fn module_depth(parts: &[&str]) -> usize {
    if parts.last() == Some(&"mod.rs") {
        parts.len() - 1
    } else {
        parts.len()
    }
}

/// All names that follow `crate::` or a chain of `super::` that reaches the crate, also inside a group.
fn rooms_named<'a>(tokens: &[Token<'a>], depth: usize) -> Vec<(&'a str, usize)> {
    let mut names = Vec::new();
    for start in 0..tokens.len() {
        let begins = start == 0 || tokens[start - 1].text != "::";
        let after = match tokens[start].text {
            "crate" | "heliograph" => start + 1,
            "super" | "self" if begins => match end_of_supers(tokens, start, depth) {
                Some(end) => end,
                None => continue,
            },
            _ => continue,
        };
        if tokens.get(after).is_some_and(|token| token.text == "::") {
            names.extend(heads(&tokens[after + 1..]));
        }
    }
    names
}

/// The index after a chain of `super`s, if it climbs out of the room. Inside an inline module it takes one more: a longer
/// chain counts too.
fn end_of_supers(tokens: &[Token<'_>], start: usize, depth: usize) -> Option<usize> {
    let mut at = start;
    let mut supers = 0;
    loop {
        supers += usize::from(tokens.get(at)?.text == "super");
        let goes_on = tokens.get(at + 1).is_some_and(|token| token.text == "::")
            && tokens.get(at + 2).is_some_and(|token| token.text == "super");
        if !goes_on {
            return (supers >= depth).then_some(at + 1);
        }
        at += 2;
    }
}

/// The first segment of a path, or of each path of a group: `a::b` gives a, `{a::b, c::{d, e}}` gives a and c.
fn heads<'a>(tokens: &[Token<'a>]) -> Vec<(&'a str, usize)> {
    let Some(first) = tokens.first() else { return Vec::new() };
    if first.text != "{" {
        return vec![(first.text, first.line)];
    }
    let mut found = Vec::new();
    let mut nesting = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "{" => nesting += 1,
            "}" => nesting -= 1,
            name if nesting == 1 && matches!(tokens[at - 1].text, "{" | ",") => found.push((name, token.line)),
            _ => {}
        }
        if nesting == 0 {
            break;
        }
    }
    found
}

/// Platform crates that are named as the first segment of a path, or brought in by `use`.
fn platform_named<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<&'t Token<'a>> {
    let text = |at: Option<usize>| at.and_then(|at| tokens.get(at)).map_or("", |token| token.text);
    (0..tokens.len())
        .filter(|&at| PLATFORM.contains(&tokens[at].text))
        .filter(|&at| {
            let before = text(at.checked_sub(1));
            let path_starts = before != "::" || !is_segment(text(at.checked_sub(2)));
            let is_path = text(Some(at + 1)) == "::" || matches!(before, "use" | "crate");
            path_starts && before != "." && is_path
        })
        .map(|at| &tokens[at])
        .collect()
}

/// Whether this token can stand before `::` as a path segment: `use ::worker` has none.
fn is_segment(text: &str) -> bool {
    text == ">" || (text != "use" && text.starts_with(|c: char| c.is_alphabetic() || c == '_'))
}
