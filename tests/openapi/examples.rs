//! The examples of the document, and how closed its shapes are.

use serde_json::{Value, json};

use crate::harness::openapi::Place;

use super::{operations, schemas, walk};

/// The examples beside a schema, as parameters, headers and bodies have them.
fn examples(place: &Place) -> Vec<Place> {
    let named = place.get("examples").map_or(Vec::new(), |examples| examples.children());
    let named = named.into_iter().filter_map(|(_, example)| example.get("value"));
    place.get("example").into_iter().chain(named).collect()
}

#[test]
fn every_example_is_what_its_schema_says() {
    let mut checked = 0;
    let mut check = |schema: &Place, example: &Place| {
        let faults = schema.faults(example.value);
        assert!(faults.is_empty(), "{}: {faults}", example.pointer);
        checked += 1;
    };
    walk(&Place::root(), &mut |place| {
        let is_schema = place.pointer.starts_with("/components/schemas");
        if !is_schema && let Some(schema) = place.get("schema") {
            examples(place).iter().for_each(|example| check(&schema, example));
        }
    });
    for schema in schemas() {
        let own = schema.value.get("examples").and_then(Value::as_array);
        for place in 0..own.map_or(0, Vec::len) {
            let example = Place::at(&format!("{}/examples/{place}", schema.pointer)).expect("an example");
            check(&schema, &example);
        }
    }
    assert!(checked > 80, "they are found: {checked}");
}

#[test]
fn every_json_body_has_an_example() {
    for (method, template, operation) in operations() {
        let responses = operation.get("responses").expect("responses").children();
        let bodies = responses.into_iter().map(|(_, response)| response);
        for body in bodies.chain(operation.get("requestBody")) {
            let content = body.get("content").map_or(Vec::new(), |content| content.children());
            for (media, body) in content.iter().filter(|(media, _)| media.ends_with("json")) {
                let is_itself = template == "/openapi.json";
                assert!(
                    is_itself || !examples(body).is_empty(),
                    "{method} {template}: {media} at {}",
                    body.pointer
                );
            }
        }
    }
}

#[test]
fn no_answer_may_have_a_member_that_is_not_described() {
    let mut closed = 0;
    for (method, template, operation) in operations() {
        for (status, response) in operation.get("responses").expect("responses").children() {
            let content = response.get("content").map_or(Vec::new(), |content| content.children());
            for (media, body) in content.iter().filter(|(media, _)| media.ends_with("json")) {
                let schema = body.get("schema").expect("a body has a schema");
                for example in examples(body) {
                    for changed in with_one_more(example.value) {
                        let faults = schema.faults(&changed);
                        assert!(
                            !faults.is_empty(),
                            "{method} {template} {status} {media} would take {changed}"
                        );
                        closed += 1;
                    }
                }
            }
        }
    }
    assert!(closed > 300, "they are found: {closed}");
}

/// The value with a member more: in itself, or in the first element of an array.
fn with_one_more(value: &Value) -> Vec<Value> {
    match value {
        Value::Object(members) => {
            let mut more = members.clone();
            more.insert("undescribed".to_owned(), json!("x"));
            vec![Value::Object(more)]
        }
        Value::Array(elements) => {
            let changed = elements.first().map_or(Vec::new(), with_one_more);
            changed.into_iter().map(|element| json!([element])).collect()
        }
        _ => Vec::new(),
    }
}
