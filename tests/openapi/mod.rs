//! `www/openapi.json`: sound in itself, true to the router, and served. That every answer is as it says is seen to by the
//! harness, in all tests; here it is seen that the harness would notice.

mod answers;
mod document;
mod examples;
mod routes;

use crate::harness::openapi::{METHODS, Place};

/// Every operation: its method, the template of its path, and where it stands.
fn operations() -> Vec<(&'static str, String, Place)> {
    let mut operations = Vec::new();
    for (template, item) in Place::at("/paths").expect("the document has paths").children() {
        for method in METHODS {
            if let Some(operation) = item.get(&method.to_lowercase()) {
                operations.push((method, template.clone(), operation));
            }
        }
    }
    operations
}

/// Every object and array of the document, from `place` down. References are not followed.
fn walk(place: &Place, visit: &mut impl FnMut(&Place)) {
    visit(place);
    if place.value.get("$ref").is_some() {
        return;
    }
    for (_, child) in place.children() {
        walk(&child, visit);
    }
}

/// Every schema that stands by itself: the components', and those of parameters, headers and bodies.
fn schemas() -> Vec<Place> {
    let components = Place::at("/components/schemas").expect("the document has schemas");
    let mut schemas: Vec<Place> = components.children().into_iter().map(|(_, schema)| schema).collect();
    walk(&Place::root(), &mut |place| {
        let inside_a_schema = place.pointer.starts_with(&components.pointer);
        if !inside_a_schema && let Some(value) = place.value.get("schema").filter(|value| value.is_object()) {
            let pointer = format!("{}/schema", place.pointer);
            schemas.push(Place { pointer, value });
        }
    });
    schemas
}
