//! The document in itself.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::openapi::{Place, is_file};

use super::{operations, schemas, walk};

#[test]
fn the_document_says_what_it_describes() {
    let root = Place::root();
    let version = root.value["openapi"].as_str().unwrap_or_default();
    assert!(version.starts_with("3.1."), "{version}");
    assert_eq!(
        root.value["info"]["version"],
        env!("CARGO_PKG_VERSION"),
        "the version of the service"
    );
    let servers: Vec<&Value> = root.value["servers"]
        .as_array()
        .expect("servers")
        .iter()
        .map(|server| &server["url"])
        .collect();
    assert_eq!(servers, ["/", "/t/{tenant}"]);
    for (template, item) in Place::at("/paths").expect("paths").children() {
        let own = item.value.get("servers");
        let at_the_origin = json!([{"url": "/"}]);
        assert!(own.is_none_or(|own| *own == at_the_origin), "{template}: {own:?}");
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_led_to() {
    let mut targets = BTreeSet::new();
    walk(&Place::root(), &mut |place| {
        if let Some(reference) = place.value.get("$ref") {
            let target = place.resolved();
            assert!(!target.value.is_null(), "{}: {reference}", place.pointer);
            targets.insert(target.pointer);
        }
    });
    // The answer to every method that is not described: no operation has it.
    targets.insert("/components/responses/MethodNotAllowed".to_owned());
    for (kind, components) in Place::at("/components").expect("components").children() {
        for (name, component) in components.children() {
            let used = targets
                .iter()
                .any(|target| *target == component.pointer || target.starts_with(&format!("{}/", component.pointer)));
            assert!(used || kind == "securitySchemes", "nothing refers to {kind} {name}");
        }
    }
}

#[test]
fn every_operation_is_told_apart_and_explained() {
    let declared: Vec<&Value> = Place::root().value["tags"]
        .as_array()
        .expect("tags")
        .iter()
        .map(|tag| &tag["name"])
        .collect();
    let (mut ids, mut tags) = (BTreeSet::new(), BTreeSet::new());
    for (method, template, operation) in operations() {
        let id = operation.value["operationId"].as_str().unwrap_or_default();
        assert!(
            !id.is_empty() && ids.insert(id),
            "{method} {template} has an id of its own: {id}"
        );
        for text in ["summary", "description"] {
            let text = operation.value.get(text);
            assert!(text.is_none_or(|text| text.as_str().is_some_and(|text| !text.is_empty())));
        }
        assert!(operation.value.get("summary").is_some(), "{id} has a summary");
        for tag in operation.value["tags"].as_array().expect("tags") {
            assert!(declared.contains(&tag), "{id} has the tag {tag}");
            tags.insert(tag.as_str().unwrap_or_default());
        }
        let responses = operation.get("responses").expect("responses");
        for (status, response) in responses.children() {
            let number: u16 = status.parse().unwrap_or_default();
            assert!((100..600).contains(&number), "{id} is answered {status}");
            let description = response.resolved().value["description"].as_str().unwrap_or_default();
            assert!(!description.is_empty(), "{id} {status} has a description");
        }
        let bodiless = ["GET", "DELETE", "OPTIONS"].contains(&method) || template.starts_with("/handshake/");
        assert_eq!(operation.get("requestBody").is_none(), bodiless, "{id}");
    }
    assert_eq!(tags.len(), declared.len(), "every tag is used");
}

#[test]
fn every_parameter_of_a_path_is_declared() {
    for (method, template, operation) in operations() {
        let (item, _) = operation
            .pointer
            .rsplit_once('/')
            .expect("an operation is in a path item");
        let item = Place::at(item).expect("a path item");
        let lists = [item.get("parameters"), operation.get("parameters")];
        let parameters: Vec<Place> = lists
            .into_iter()
            .flatten()
            .flat_map(|list| list.children())
            .map(|(_, parameter)| parameter.resolved())
            .collect();
        let in_path = |parameter: &&Place| parameter.value["in"] == json!("path");
        let declared: Vec<&str> = parameters
            .iter()
            .filter(in_path)
            .inspect(|parameter| assert_eq!(parameter.value["required"], json!(true)))
            .filter_map(|parameter| parameter.value["name"].as_str())
            .collect();
        let named = template
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        assert_eq!(declared, named.collect::<Vec<_>>(), "{method} {template}");
        let names: BTreeSet<String> = parameters
            .iter()
            .map(|parameter| format!("{} {}", parameter.value["in"], parameter.value["name"]))
            .collect();
        assert_eq!(names.len(), parameters.len(), "{method} {template} names each once");
    }
}

#[test]
fn every_operation_says_who_may_call_it() {
    let schemes = Place::at("/components/securitySchemes").expect("security schemes");
    let mut used = BTreeSet::new();
    for (method, template, operation) in operations() {
        let ways = operation.value.get("security").and_then(Value::as_array);
        let ways = ways.unwrap_or_else(|| panic!("{method} {template} says who may call it"));
        for (name, scopes) in ways.iter().filter_map(Value::as_object).flatten() {
            let scheme = schemes
                .get(name)
                .unwrap_or_else(|| panic!("{method} {template}: {name} is declared"));
            for scope in scopes.as_array().expect("scopes") {
                let known = &scheme.value["flows"]["clientCredentials"]["scopes"];
                assert!(
                    known.get(scope.as_str().unwrap_or_default()).is_some(),
                    "{method} {template}: the scope {scope} is declared"
                );
            }
            used.insert(name.as_str());
        }
        let responses = operation.get("responses").expect("responses");
        let is_closed = !ways.is_empty() && template != "/receive/{source_id}";
        assert_eq!(responses.get("401").is_some(), is_closed, "{method} {template}");
        let asks_for_scopes = ways.iter().any(|way| way.get("oauth2").is_some());
        assert!(
            !asks_for_scopes || responses.get("403").is_some(),
            "{method} {template}: a scope may be missing"
        );
    }
    let declared: Vec<String> = schemes.children().into_iter().map(|(name, _)| name).collect();
    assert_eq!(used.into_iter().collect::<Vec<_>>(), declared, "every scheme is used");
}

/// WH-2.2-1, WH-2.2-9, WH-2.2-12, WH-2.2-13: nothing redirects, errors have the body of their standard or problem details, and who
/// is told to wait is told how long.
#[test]
fn no_answer_redirects_and_every_error_says_what_is_wrong() {
    let schemas = "#/components/schemas";
    let own_bodies = [
        json!(format!("{schemas}/SetError")),
        json!(format!("{schemas}/OAuthError")),
    ];
    for (method, template, operation) in operations() {
        let (item, _) = operation
            .pointer
            .rsplit_once('/')
            .expect("an operation is in a path item");
        if is_file(&Place::at(item).expect("a path item")) {
            continue;
        }
        for (status, response) in operation.get("responses").expect("responses").children() {
            let here = format!("{method} {template} {status}");
            assert!(!status.starts_with('3'), "{here}");
            // A refused handshake says it by what is not there.
            if !["4", "5"].contains(&&status[..1]) || method == "OPTIONS" && status == "403" {
                continue;
            }
            let content = response.get("content").unwrap_or_else(|| panic!("{here} has a body"));
            for (media, body) in content.children() {
                let schema = &body.value["schema"]["$ref"];
                let own = media == "application/json" && own_bodies.contains(schema);
                assert!(media == "application/problem+json" || own, "{here}: {media} {schema}");
            }
            let retry_after = response.get("headers").and_then(|headers| headers.get("Retry-After"));
            let required = retry_after.and_then(|header| header.get("required"));
            assert!(
                status != "429" || required.is_some_and(|it| *it.value == json!(true)),
                "{here}"
            );
        }
    }
}

#[test]
fn every_schema_is_one() {
    let found = schemas();
    assert!(found.len() > 100, "they are found: {}", found.len());
    for place in found {
        let meta = jsonschema::meta::validate(place.value);
        assert!(meta.is_ok(), "{}: {:?}", place.pointer, meta.err());
        place.schema();
    }
}
