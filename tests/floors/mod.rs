//! The floors of the house are kept: no file under `src` names a module on a higher floor, nor the platform outside `edge`.

mod rules;
mod tokens;

use std::fs;
use std::path::Path;

use rules::violations;

#[test]
fn every_source_file_keeps_to_its_floor() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = rust_files(&src);
    assert!(
        files.len() > 10,
        "only {} files found under {}",
        files.len(),
        src.display()
    );
    let found: Vec<String> = files
        .iter()
        .flat_map(|file| {
            violations(
                &relative(file, &src),
                &fs::read_to_string(src.join(file)).expect("a source file can be read"),
            )
        })
        .collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

fn rust_files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("a source folder can be read") {
        let path = entry.expect("a source folder can be read").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn relative(file: &Path, base: &Path) -> String {
    file.strip_prefix(base)
        .expect("a file is under its folder")
        .to_string_lossy()
        .into_owned()
}

/// What the rules say of a sample: the text after `src/{path}:`.
#[track_caller]
fn check(path: &str, source: &str, expected: &[&str]) {
    let prefix = format!("src/{path}:");
    let found: Vec<String> = violations(path, source)
        .iter()
        .map(|line| line.replacen(&prefix, "", 1))
        .collect();
    assert_eq!(found, expected, "{source}");
}

#[test]
fn a_higher_floor_is_found_wherever_it_is_named() {
    let delivery_names_edge = ["1: `delivery` (floor 2) names `edge` (floor 4)"];
    check(
        "delivery/outbox.rs",
        "use crate::edge::sql::EdgeSql;",
        &delivery_names_edge,
    );
    check(
        "delivery/outbox.rs",
        "fn f() { crate :: edge::clock::now() }",
        &delivery_names_edge,
    );
    check(
        "delivery/outbox.rs",
        "pub(in crate::edge) fn f() {}",
        &delivery_names_edge,
    );
    check("delivery/outbox.rs", "use super::super::edge;", &delivery_names_edge);
    check("delivery/mod.rs", "use super::edge;", &delivery_names_edge);
    check("delivery/mod.rs", "use self::super::edge;", &delivery_names_edge);
    check(
        "delivery/outbox.rs",
        "use crate::{protocol::set, edge::{sql, kv}};",
        &delivery_names_edge,
    );
    check(
        "delivery/outbox.rs",
        "use {std::fmt, crate::edge};",
        &delivery_names_edge,
    );
    check(
        "delivery/outbox/rows.rs",
        "use super::super::super::edge;",
        &delivery_names_edge,
    );
    check(
        "delivery/outbox.rs",
        "fn f<'a>(x: &'a str) {\n // quiet\n let c = '\\''; crate::edge::f(\"x\", c) }",
        &["3: `delivery` (floor 2) names `edge` (floor 4)"],
    );
}

#[test]
fn transmitter_and_receiver_never_name_each_other() {
    check(
        "transmitter/stream.rs",
        "\nuse crate::receiver::inbox;",
        &["2: `transmitter` and `receiver` stand side by side and must not name each other"],
    );
    check(
        "receiver/inbox.rs",
        "use crate::transmitter;",
        &["1: `receiver` and `transmitter` stand side by side and must not name each other"],
    );
}

#[test]
fn lower_floors_the_own_room_and_plain_words_may_be_named() {
    check(
        "transmitter/stream.rs",
        "use crate::{delivery::outbox, protocol, transmitter::filter};",
        &[],
    );
    check(
        "edge/router.rs",
        "use crate::receiver; use worker::Env; use js_sys::Date;",
        &[],
    );
    check("lib.rs", "use worker::event; use crate::edge;", &[]);
    check(
        "delivery/outbox.rs",
        "use super::edge; mod tests { use super::*; }",
        &[],
    );
    check(
        "delivery/outbox.rs",
        "let s = \"crate::edge\"; // crate::edge\n/* crate::edge /* nested */ worker::Env */",
        &[],
    );
    check(
        "delivery/outbox.rs",
        "let s = r#\"crate::edge \" worker::Env\"#; let edge = b\"crate::edge\"; let c = '\"'; let d = 'x';",
        &[],
    );
    check(
        "delivery/outbox.rs",
        "let worker = 1; self.worker.run(); courier::worker::run(); Self::worker::<u8>();",
        &[],
    );
}

#[test]
fn the_platform_is_named_in_edge_only() {
    let named = |line: u32, name: &str| format!("{line}: `protocol` names the platform (`{name}`)");
    for name in [
        "worker",
        "wasm_bindgen",
        "web_sys",
        "js_sys",
        "futures_util",
        "getrandom",
        "percent_encoding",
    ] {
        check("protocol/set.rs", &format!("use {name};"), &[&named(1, name)]);
        check(
            "protocol/set.rs",
            &format!("\n\nfn f() {{ ::{name}::f() }}"),
            &[&named(3, name)],
        );
        check(
            "protocol/set.rs",
            &format!("use {{std::fmt, {name}::X}};"),
            &[&named(1, name)],
        );
    }
    check(
        "protocol/set.rs",
        "#[worker::send]\nasync fn f() {}",
        &[&named(1, "worker")],
    );
    check("protocol/set.rs", "extern crate worker;", &[&named(1, "worker")]);
}

#[test]
fn a_file_outside_all_rooms_is_found() {
    check("helpers.rs", "", &["1: this file is in none of the rooms"]);
    check("util/mod.rs", "", &["1: this file is in none of the rooms"]);
}
