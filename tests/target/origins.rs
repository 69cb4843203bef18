//! Which origin is allowed: exact names, whatever their case, with or without one trailing dot; nothing else.

use serde_json::json;

use crate::harness::Options;

use super::{ORIGIN, SENDER, Target, assert_grants_nothing, options_at};

/// What looks like an origin and is none.
const MALFORMED: &[&str] = &[
    "",
    "*",
    ".",
    "..",
    "null",
    "https://trusted.example.com",
    "trusted.example.com:443",
    "trusted.example.com/",
    "trusted.example.com?x",
    "trusted.example.com#x",
    "user@trusted.example.com",
    "trusted.example.com..",
    ".trusted.example.com",
    "trusted..example.com",
    "trusted.example.com,trusted.example.com",
    "trusted.example.com, attacker.example.net",
    "trusted.example.com attacker.example.net",
    "trusted.example.com;q=1",
    "trusted%2eexample%2ecom",
    "trusted_example.example.com",
    "-trusted.example.com",
    "*.example.com",
    "\"trusted.example.com\"",
];

/// T-T-02: WH-4.2-10, WH-4.2-16, pitfall 22
#[test]
fn names_are_compared_whole() {
    let target = Target::start(
        Options::default(),
        &json!({"allowed_origins": ["trusted.example.com", "Second.Example.com.", "xn--bcher-kva.example", "paypal.example.com"]}),
    );
    for good in [
        "trusted.example.com",
        "TRUSTED.example.COM",
        "trusted.example.com.",
        "TRUSTED.example.com.",
        "second.example.com",
        "SECOND.example.com.",
        "xn--bcher-kva.example",
        "XN--BCHER-KVA.example.",
    ] {
        let answer = target.options(&[(ORIGIN, good)], 200);
        // WH-4.2-2: what was asked comes back, so that a sender which compares letter by letter finds itself.
        assert_eq!(answer.header("webhook-allowed-origin"), Some(good), "{answer}");
    }
    let near = [
        "trusted.example.com.attacker.tld",
        "trusted.example.com.attacker.tld.",
        "attackertrusted.example.com",
        "attacker.trusted.example.com",
        "trusted.example.co",
        "trusted.example.comm",
        "rusted.example.com",
        "example.com",
        "com",
        "trusted-example.com",
        "trusted.example.com-",
        "second.example",
        // Not the name with the umlaut, though it looks like it in some fonts.
        "bucher.example",
        "xn--bcher-kvb.example",
        "bcher-kva.example",
        // paypal with a Cyrillic a.
        "xn--pypal-4ve.example.com",
        "attacker.example.net",
    ];
    let long = format!("{}.example.com", "a".repeat(300));
    for bad in near.iter().chain(MALFORMED).copied().chain([long.as_str()]) {
        let answer = target.options(&[(ORIGIN, bad)], 403);
        assert_grants_nothing(&answer);
    }
    // One origin per request.
    for headers in [
        [(ORIGIN, "trusted.example.com"), (ORIGIN, "attacker.example.net")],
        [(ORIGIN, "attacker.example.net"), (ORIGIN, "trusted.example.com")],
        [(ORIGIN, "trusted.example.com"), (ORIGIN, "trusted.example.com")],
    ] {
        assert_grants_nothing(&target.options(&headers, 403));
    }
    // However it was spelled, it is one origin.
    let mut origins: Vec<String> = target
        .grants()
        .iter()
        .map(|grant| grant["origin"].as_str().expect("a name").to_owned())
        .collect();
    origins.sort();
    assert_eq!(
        origins,
        ["second.example.com", "trusted.example.com", "xn--bcher-kva.example"]
    );
}

/// WH-4.2-16: `*` allows everybody, and grants each one by its own name.
#[test]
fn an_asterisk_allows_every_origin_by_its_own_name() {
    let target = Target::start(Options::default(), &json!({"allowed_origins": ["*"]}));
    for origin in [SENDER, "trusted.example.com.attacker.tld", "Anybody.example.net."] {
        let answer = target.options(&[(ORIGIN, origin)], 200);
        assert_eq!(answer.header("webhook-allowed-origin"), Some(origin), "{answer}");
    }
    for bad in MALFORMED {
        assert_grants_nothing(&target.options(&[(ORIGIN, bad)], 403));
    }
    // Only who asked was granted.
    target.push(&[(ORIGIN, SENDER)], 202);
    target.push(&[(ORIGIN, "never-asked.example.net")], 403);
}

#[test]
fn each_source_has_origins_of_its_own() {
    let target = Target::allowing();
    let other = target.another(&json!({"allowed_origins": ["other.example.com"]}));
    let anyone = target.instance.anyone();
    target.options(&[(ORIGIN, SENDER)], 200);
    target.options(&[(ORIGIN, "other.example.com")], 403);
    options_at(&anyone, &other.receive_path(), &[(ORIGIN, "other.example.com")], 200);
    options_at(&anyone, &other.receive_path(), &[(ORIGIN, SENDER)], 403);
    assert_eq!(super::grants(&target.instance, &other).len(), 1);
    assert_eq!(target.grants().len(), 1);
}
