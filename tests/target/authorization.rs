//! The two ways in which a sender may show its token (T-T-06): the `Authorization` header, and a query parameter for those who
//! cannot set headers.

use serde_json::json;

use crate::harness::{Client, Options};
use crate::support::ACME_AUDIENCE;

use super::Target;

/// The path with the token of this source's transmitter.
fn path_with_token(target: &Target, before: &str, after: &str) -> String {
    let token = target.source.authorization.trim_start_matches("Bearer ");
    format!("{}?{before}access_token={token}{after}", target.source.receive_path())
}

#[track_caller]
fn push(target: &Target, client: &Client, path: &str, expected: u16) -> crate::harness::Answer {
    client.push_set(path, &target.transmitter.draft(ACME_AUDIENCE).sign(), expected)
}

/// WH-3-2, WH-3.2-1, WH-3.2-2, WH-3.2-4
#[test]
fn a_token_in_the_query_is_as_good_as_one_in_the_header() {
    let target = Target::start(Options::default(), &json!({}));
    let anyone = target.instance.anyone();
    for (before, after) in [
        ("", ""),
        ("a=b&", ""),
        ("", "&a=b"),
        ("access_tokens=x&", "&xaccess_token=y"),
    ] {
        let answer = push(&target, &anyone, &path_with_token(&target, before, after), 202);
        assert!(
            answer
                .header("cache-control")
                .is_some_and(|value| value.contains("private") || value.contains("no-store")),
            "{answer}"
        );
    }
    assert_eq!(target.received(), 4);
}

/// WH-3.2-8
#[test]
fn a_wrong_token_in_the_query_is_refused() {
    let target = Target::start(Options::default(), &json!({}));
    let anyone = target.instance.anyone();
    let path = target.source.receive_path();
    for path in [
        format!("{path}?access_token=wrong"),
        format!("{path}?access_token="),
        format!("{path}?access_token"),
        format!(
            "{path}?access_token=Bearer%20{}",
            target.source.authorization.trim_start_matches("Bearer ")
        ),
        path_with_token(&target, "access_token=wrong&", ""),
        path_with_token(&target, "", "&access_token=wrong"),
    ] {
        let answer = push(&target, &anyone, &path, 400);
        let err = answer.json()["err"].clone();
        assert!(
            [json!("authentication_failed"), json!("invalid_request")].contains(&err),
            "{path}: {answer}"
        );
    }
    assert_eq!(target.received(), 0);
}

/// WH-3.2-6: RFC 6750 wants one way per request.
#[test]
fn both_ways_at_once_are_a_bad_request() {
    let target = Target::start(Options::default(), &json!({}));
    let transmitter = target.source.transmitter(&target.instance);
    let answer = push(&target, &transmitter, &path_with_token(&target, "", ""), 400);
    assert_eq!(answer.json()["err"], json!("invalid_request"), "{answer}");
    assert_eq!(target.received(), 0);
}

/// WH-3.2-7
#[test]
fn a_token_in_the_query_is_not_in_the_log() {
    let target = Target::start(Options::default(), &json!({}));
    let anyone = target.instance.anyone();
    push(&target, &anyone, &path_with_token(&target, "", ""), 202);
    anyone.push_set(&path_with_token(&target, "a=", ""), "no SET", 400);
    let log = std::fs::read_to_string(target.instance.data_dir().join("workerd.log")).expect("a log");
    assert!(
        !log.contains(target.source.authorization.trim_start_matches("Bearer ")),
        "{log}"
    );
}
