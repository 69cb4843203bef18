//! Every answer of an instance, held against `www/openapi.json`: what is not described there must not be answered.
//!
//! Rules, not lists, say what needs no description: a path that the document does not know is answered 404, a method that it
//! does not know for a path 405; and wherever a deployment is addressed wrongly or not set up, 421 and 503.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};

use jsonschema::{Registry, Validator};
use serde_json::{Value, json};

use super::client::Answer;

const TEXT: &str = include_str!("../../www/openapi.json");

/// Where references into the document begin; nothing is fetched from there.
const URI: &str = "https://heliograph.example/openapi.json";

/// The methods that a path item can describe; its other members are none.
pub const METHODS: [&str; 8] = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"];

/// Answers that may come before anybody looks at path and method.
const BEFORE_ROUTING: [(u16, &str); 2] = [(421, "Misdirected"), (503, "Unavailable")];

/// Findings shown of one body.
const MOST_FINDINGS: usize = 5;
/// Characters shown of a finding, which repeats the value it is about.
const MOST_OF_A_FINDING: usize = 300;

/// A value of the document and where it stands, as a JSON pointer.
#[derive(Clone, Debug)]
pub struct Place {
    pub pointer: String,
    pub value: &'static Value,
}

impl Place {
    /// The whole document.
    #[track_caller]
    pub fn root() -> Self {
        static DOCUMENT: OnceLock<Value> = OnceLock::new();
        let value = DOCUMENT.get_or_init(|| serde_json::from_str(TEXT).expect("the document is JSON"));
        Self {
            pointer: String::new(),
            value,
        }
    }

    /// What stands at a pointer.
    pub fn at(pointer: &str) -> Option<Self> {
        let value = Self::root().value.pointer(pointer)?;
        let pointer = pointer.to_owned();
        Some(Self { pointer, value })
    }

    /// A member of an object, or an element of an array, behind a reference too.
    pub fn get(&self, name: &str) -> Option<Self> {
        let Self { pointer, .. } = self.resolved();
        Self::at(&format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")))
    }

    /// The members of an object or the elements of an array, behind a reference too, with their names or places.
    pub fn children(&self) -> Vec<(String, Self)> {
        let names: Vec<String> = match self.resolved().value {
            Value::Object(members) => members.keys().cloned().collect(),
            Value::Array(elements) => (0..elements.len()).map(|place| place.to_string()).collect(),
            _ => Vec::new(),
        };
        let child = |name: String| self.get(&name).map(|child| (name, child));
        names.into_iter().filter_map(child).collect()
    }

    /// What a reference leads to; anything else is itself.
    #[track_caller]
    pub fn resolved(&self) -> Self {
        match self.value.get("$ref").and_then(Value::as_str) {
            None => self.clone(),
            Some(reference) => {
                let target = reference.strip_prefix('#').and_then(Self::at);
                target.unwrap_or_else(|| panic!("{} leads nowhere: {reference}", self.pointer))
            }
        }
    }

    /// The schema at this place, compiled once.
    #[track_caller]
    pub fn schema(&self) -> &'static Validator {
        static REGISTRY: OnceLock<Registry<'static>> = OnceLock::new();
        static COMPILED: Mutex<Option<HashMap<String, &'static Validator>>> = Mutex::new(None);
        let registry = REGISTRY.get_or_init(|| {
            let registry = Registry::new().add(URI, Self::root().value);
            let prepared = registry.and_then(|registry| registry.prepare());
            prepared.expect("all references of the document are its own")
        });
        let mut compiled = COMPILED.lock().expect("schemas of the document compile");
        let compiled = compiled.get_or_insert_default();
        compiled.entry(self.pointer.clone()).or_insert_with(|| {
            // Path templates have braces, which a fragment may not.
            let fragment = self.pointer.replace('{', "%7B").replace('}', "%7D");
            let validator = jsonschema::options()
                .with_registry(registry)
                .offline()
                .should_validate_formats(true)
                .build(&json!({"$ref": format!("{URI}#{fragment}")}));
            Box::leak(Box::new(
                validator.unwrap_or_else(|error| panic!("{} is no schema: {error}", self.pointer)),
            ))
        })
    }

    /// Why a value is not what the schema at this place says; empty when it is.
    #[track_caller]
    pub fn faults(&self, value: &Value) -> String {
        let faults = self.schema().iter_errors(value).take(MOST_FINDINGS);
        let shown = faults.map(|fault| {
            let finding: String = fault.to_string().chars().take(MOST_OF_A_FINDING).collect();
            format!("at \"{}\": {finding}", fault.instance_path())
        });
        shown.collect::<Vec<_>>().join("\n")
    }
}

/// Panics unless the document describes this answer to a request for `target`, a path with its query.
#[track_caller]
pub(super) fn check(method: &str, target: &str, answer: &Answer) {
    if let Err(fault) = judge(method, target, answer) {
        panic!("www/openapi.json does not describe this answer to {method} {target}: {fault}\n\n{answer}");
    }
}

/// Whether the document describes this answer, and if not, what is wrong with one of the two.
pub fn judge(method: &str, target: &str, answer: &Answer) -> Result<(), String> {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let response = described(method, path, answer.status)?;
    let Some(response) = response else {
        return Ok(());
    };
    check_headers(&response, answer)?;
    check_body(&response, method, answer).map_err(|fault| format!("{fault} ({})", response.pointer))
}

/// The response object for an answer; none where only its status counts.
fn described(method: &str, path: &str, status: u16) -> Result<Option<Place>, String> {
    let item = path_item(path);
    let operation = item.as_ref().and_then(|item| operation(item, method));
    let early = BEFORE_ROUTING.iter().find(|(early, _)| *early == status);
    let shared = |name: &str| Place::at(&format!("/components/responses/{name}"));
    match (item, operation) {
        (Some(_), Some(operation)) => {
            let responses = operation.get("responses");
            let listed = responses.as_ref().and_then(|all| all.get(&status.to_string()));
            let name = operation.value["operationId"].as_str().unwrap_or_default();
            let known = || responses.map_or(Vec::new(), |all| all.children());
            let names = || known().into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(", ");
            listed
                .map(|response| Some(response.resolved()))
                .ok_or_else(|| format!("{name} is answered {status}, which is none of {}", names()))
        }
        (Some(item), None) => match (status, early) {
            (_, Some((_, name))) => Ok(shared(name)),
            // What stands before the Worker says no more than the status.
            (405, None) if is_file(&item) => Ok(None),
            (405, None) => Ok(shared("MethodNotAllowed")),
            // Whether there is such a tenant comes first.
            (404, None) if path.contains("/t/") => Ok(shared("NotFound")),
            _ => Err(format!("no operation of {} has this method: 405", item.pointer)),
        },
        (None, _) => match (status, early) {
            (_, Some((_, name))) => Ok(shared(name)),
            (404, None) => Ok(shared("NotFound")),
            _ => Err("no path is like this one: 404".to_owned()),
        },
    }
}

/// The path item whose template fits. Under `/t/{tenant}` there is what has no server of its own.
pub fn path_item(path: &str) -> Option<Place> {
    let tenant = path
        .strip_prefix("/t/")
        .and_then(|rest| Some((rest.find('/').filter(|end| *end > 0)?, rest)));
    let tenant_path = tenant.and_then(|(end, rest)| rest.get(end..));
    let paths = Place::at("/paths").map_or(Vec::new(), |paths| paths.children());
    paths
        .into_iter()
        .find(|(template, item)| {
            let below_tenant = || item.value.get("servers").is_none();
            fits(template, path) || tenant_path.is_some_and(|path| below_tenant() && fits(template, path))
        })
        .map(|(_, item)| item)
}

fn fits(template: &str, path: &str) -> bool {
    let (wanted, given): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    let segment_fits = |(wanted, given): (&&str, &&str)| match wanted.starts_with('{') {
        true => !given.is_empty(),
        false => wanted == given,
    };
    wanted.len() == given.len() && wanted.iter().zip(&given).all(segment_fits)
}

fn operation(item: &Place, method: &str) -> Option<Place> {
    let known = METHODS.contains(&method);
    // HEAD goes with GET.
    let name = if method == "HEAD" { "GET" } else { method };
    known.then(|| item.get(&name.to_lowercase())).flatten()
}

/// Whether a path is a static file, which the Worker never sees: such answers have no request id.
pub fn is_file(item: &Place) -> bool {
    let good = ["get", "responses", "200", "headers"];
    let headers = good.iter().try_fold(item.clone(), |place, name| place.get(name));
    headers.is_some_and(|headers| headers.get("X-Request-Id").is_none())
}

fn check_headers(response: &Place, answer: &Answer) -> Result<(), String> {
    let headers = response.get("headers").map_or(Vec::new(), |headers| headers.children());
    for (name, header) in headers {
        let required = header
            .get("required")
            .is_some_and(|required| required.value == &json!(true));
        let schema = header.get("schema");
        match (answer.header(&name), schema) {
            (None, _) if required => return Err(format!("the header {name} is missing")),
            (Some(text), Some(schema)) => {
                let is_number = schema.get("type").is_some_and(|kind| kind.value == &json!("integer"));
                let number = text.parse::<u64>().ok().filter(|_| is_number);
                let faults = schema.faults(&number.map_or_else(|| json!(text), |number| json!(number)));
                if !faults.is_empty() {
                    return Err(format!("the header {name} {faults}"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_body(response: &Place, method: &str, answer: &Answer) -> Result<(), String> {
    let content = response.get("content");
    let (Some(content), false) = (content, method == "HEAD") else {
        return match answer.body.is_empty() {
            true => Ok(()),
            false => Err("there should be no body".to_owned()),
        };
    };
    let given = answer.header("content-type").unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    let media = content
        .get(essence)
        .ok_or_else(|| format!("the media type is \"{given}\""))?;
    if !essence.ends_with("json") {
        return Ok(());
    }
    let body = serde_json::from_slice(&answer.body).map_err(|error| format!("the body is no JSON: {error}"))?;
    let faults = media.get("schema").map_or(String::new(), |schema| schema.faults(&body));
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}
