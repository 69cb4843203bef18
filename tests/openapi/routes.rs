//! The document against the router, and the document as an instance serves it.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::harness::openapi::{Place, is_file, path_item};
use crate::harness::{Instance, Options};

use super::operations;

/// Where a tenant's discovery documents end, and all its other URLs begin.
const TENANT: &str = "/t/{tenant}";

/// The methods and patterns of the router's own list.
fn routed() -> BTreeSet<(String, String)> {
    let source = include_str!("../../src/edge/router.rs").replace(['\n', ' '], "");
    let mut routed = BTreeSet::new();
    for part in source.split(".route(\"").skip(1) {
        let (pattern, rest) = part.split_once('"').expect("a pattern ends");
        let handlers = rest.split(".route(").next().unwrap_or_default();
        for method in ["get", "post", "put", "patch", "delete", "options", "any"] {
            if handlers.contains(&format!(",{method}(")) || handlers.contains(&format!(").{method}(")) {
                routed.insert((method.to_uppercase(), of_any_tenant(pattern)));
            }
        }
    }
    routed
}

/// A pattern without its tenant: how the router tells tenants apart is its own affair.
fn of_any_tenant(pattern: &str) -> String {
    let rest = pattern.strip_prefix(TENANT).unwrap_or(pattern);
    rest.strip_suffix(TENANT).unwrap_or(rest).to_owned()
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let in_the_worker = |operation: &Place| {
        let (item, _) = operation
            .pointer
            .rsplit_once('/')
            .expect("an operation is in a path item");
        !is_file(&Place::at(item).expect("a path item"))
    };
    let described: BTreeSet<(String, String)> = operations()
        .into_iter()
        .filter(|(_, _, operation)| in_the_worker(operation))
        .map(|(method, template, _)| (method.to_owned(), of_any_tenant(&template)))
        .collect();
    let routed = routed();
    let undescribed: Vec<_> = routed.difference(&described).collect();
    assert!(undescribed.is_empty(), "not in the document: {undescribed:?}");
    let missing: Vec<_> = described.difference(&routed).collect();
    assert!(missing.is_empty(), "not in the router: {missing:?}");
}

#[test]
fn every_discovery_document_has_its_place_for_tenants() {
    let templates: BTreeSet<String> = operations().into_iter().map(|(_, template, _)| template).collect();
    let well_known = |template: &&String| template.starts_with("/.well-known/");
    let (tenants, origins): (Vec<&String>, Vec<&String>) = templates
        .iter()
        .filter(well_known)
        .partition(|template| template.ends_with(TENANT));
    let expected: Vec<String> = origins.iter().map(|origin| format!("{origin}{TENANT}")).collect();
    assert_eq!(tenants, expected.iter().collect::<Vec<_>>());
    assert_eq!(tenants.len(), 3);
}

#[test]
fn what_is_only_at_the_origin_is_not_below_a_tenant() {
    for (path, found) in [
        ("/jwks.json", true),
        ("/t/acme/jwks.json", true),
        ("/t/acme/ssf/poll/x", true),
        ("/t/acme/admin/clients", true),
        ("/admin/tenants/acme", true),
        ("/t/acme/admin/tenants", false),
        ("/t/acme/console.json", false),
        ("/t/acme/receive/x", false),
        ("/handshake/x/y", true),
        ("/t/acme/handshake/x/y", false),
        ("/t/acme/openapi.json", false),
        ("/t/acme/t/acme/jwks.json", false),
        ("/t//jwks.json", false),
        ("/t/acme", false),
        ("/ssf/poll/", false),
        ("/ssf/poll/x/y", false),
        ("//events", false),
    ] {
        assert_eq!(path_item(path).is_some(), found, "{path}");
    }
}

#[test]
fn every_static_file_that_is_described_is_there() {
    let www = Path::new(env!("CARGO_MANIFEST_DIR")).join("www");
    for (_, template, operation) in operations() {
        let (item, _) = operation
            .pointer
            .rsplit_once('/')
            .expect("an operation is in a path item");
        if is_file(&Place::at(item).expect("a path item")) {
            let file = if template == "/" { "/index.html" } else { &template };
            assert!(www.join(&file[1..]).is_file(), "{template}");
        }
    }
}

#[test]
fn an_instance_serves_the_document() {
    let instance = Instance::start(Options::default());
    let anyone = instance.anyone();
    let answer = anyone.send("GET", "/openapi.json", &[], b"", 200);
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer}");
    assert_eq!(answer.text(), include_str!("../../www/openapi.json"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{answer}");
    let tag = answer.header("etag").expect("a tag").to_owned();
    anyone.send("GET", "/openapi.json", &[("if-none-match", &tag)], b"", 304);
    anyone.send("HEAD", "/openapi.json", &[], b"", 200);
    anyone.send("POST", "/openapi.json", &[], b"", 405);
    // A tenant has no copy of its own.
    anyone.get("/t/acme/openapi.json", 404);
    let page = anyone.send("GET", "/", &[], b"", 200);
    assert_eq!(page.header("access-control-allow-origin"), None, "{:?}", page.headers);
    // What the document says of the tenant `default` is so: the server is the origin itself.
    let origin = instance.operator().get("/console.json", 200)["origin"].clone();
    assert!(origin == Value::Null || origin == instance.origin(), "{origin}");
}
