//! Error answers taken apart.

use serde_json::{Value, json};

use crate::harness::Answer;

/// Checks everything that all problem bodies have in common (RFC 9457): type, status, words, and the request's id, the same as
/// in the header.
#[track_caller]
pub fn assert_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{answer}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer}");
    let problem = answer.json();
    assert_eq!(
        (&problem["type"], &problem["status"]),
        (&json!("about:blank"), &json!(status)),
        "{answer}"
    );
    for member in ["title", "detail", "request_id"] {
        assert!(
            problem[member].as_str().is_some_and(|text| !text.is_empty()),
            "{member} of {answer}"
        );
    }
    assert_eq!(
        answer.header("x-request-id"),
        problem["request_id"].as_str(),
        "{answer}"
    );
}

/// The place that a problem names.
#[track_caller]
pub fn pointer_of(answer: &Answer) -> String {
    assert_problem(answer, answer.status);
    answer.json()["pointer"]
        .as_str()
        .unwrap_or_else(|| panic!("no pointer in {answer}"))
        .to_owned()
}

/// All of an answer that should be the same for two callers who may not know the difference: not what is each answer's own,
/// nor what the connection says.
pub fn without_request_id(answer: &Answer) -> (u16, Vec<(String, String)>, Value) {
    let mut headers = answer.headers.clone();
    headers.retain(|(name, _)| !["x-request-id", "date", "connection"].contains(&name.to_ascii_lowercase().as_str()));
    headers.sort();
    let mut body = answer.json();
    if let Some(members) = body.as_object_mut() {
        members.remove("request_id");
    }
    (answer.status, headers, body)
}
