//! Every setting of a tenant at its bounds and beyond them.

use serde_json::{Map, Value, json};

use crate::harness::{Instance, Options};
use crate::support::{POLL, PUSH, Tenant, assert_problem, pointer_of};

const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
const STREAM_UPDATED: &str = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated";

/// A setting, values that it takes, and values that it does not, with the place inside it that is wrong.
struct Case {
    name: &'static str,
    good: Vec<Value>,
    bad: Vec<(Value, &'static str)>,
}

fn types(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("urn:quarry:event-{number}")).collect()
}

/// A number of this range.
fn number(name: &'static str, least: u64, most: u64) -> Case {
    let mut bad: Vec<(Value, &str)> = [
        json!(most + 1),
        json!(4_294_967_296_u64 + least),
        json!(-1),
        json!(1.5),
        json!(most.to_string()),
        json!(true),
        json!([least]),
    ]
    .map(|value| (value, ""))
    .into();
    if least > 0 {
        bad.push((json!(least - 1), ""));
    }
    let good = vec![json!(least), json!(most), json!((least + most) / 2)];
    Case { name, good, bad }
}

fn words(name: &'static str, words: &[&str]) -> Case {
    let good = words.iter().map(|word| json!(word)).collect();
    let mut bad = vec![
        (json!(""), ""),
        (json!("x"), ""),
        (json!(1), ""),
        (json!([words[0]]), ""),
    ];
    bad.extend(words.iter().map(|word| {
        let turned: String = word
            .chars()
            .map(|letter| {
                if letter.is_lowercase() {
                    letter.to_ascii_uppercase()
                } else {
                    letter.to_ascii_lowercase()
                }
            })
            .collect();
        (json!(turned), "")
    }));
    Case { name, good, bad }
}

fn cases() -> Vec<Case> {
    let longest = format!("urn:{}", "e".repeat(2044));
    let longer = format!("urn:{}", "e".repeat(2045));
    let members: Vec<String> = (0..17).map(|number| format!("member-{number}")).collect();
    vec![
        Case {
            name: "events_supported",
            good: vec![json!(["urn:quarry:badge-lost"]), json!(types(256)), json!([longest])],
            bad: vec![
                (json!([]), ""),
                (json!(types(257)), ""),
                (json!("urn:quarry:badge-lost"), ""),
                (json!({}), ""),
                (json!([longer]), "/0"),
                (json!(["urn:a:b", 7]), "/1"),
                (json!(["urn:a:b", ""]), "/1"),
                (json!(["urn:a:b", null]), "/1"),
                (json!(["session-revoked"]), "/0"),
                (json!(["urn:"]), "/0"),
                (json!([":b"]), "/0"),
                (json!(["1urn:b"]), "/0"),
                (json!(["urn:a b"]), "/0"),
                (json!(["urn:é"]), "/0"),
                (json!(["urn:a:b", "urn:a:c", "urn:a:b"]), "/2"),
                // SSF-8.1.1-19: these two are not for publishers, and flow in any case.
                (json!([VERIFICATION]), "/0"),
                (json!(["urn:a:b", STREAM_UPDATED]), "/1"),
            ],
        },
        // SSF-7.1-12
        words("default_subjects", &["ALL", "NONE"]),
        words("signing_alg", &["RS256", "ES256"]),
        Case {
            name: "delivery_methods_supported",
            good: vec![json!([PUSH]), json!([POLL]), json!([POLL, PUSH])],
            bad: vec![
                // SSF-7.2.3-3
                (json!([]), ""),
                (json!(PUSH), ""),
                (json!(["push"]), "/0"),
                (json!([PUSH, 1]), "/1"),
                (json!([PUSH, PUSH]), "/1"),
                (json!([PUSH, POLL, "urn:ietf:rfc:8937"]), ""),
            ],
        },
        Case {
            name: "critical_subject_members",
            good: vec![json!([]), json!(["tenant"]), json!(members[..16]), json!(["any name"])],
            bad: vec![
                (json!(members), ""),
                (json!("tenant"), ""),
                (json!(["tenant", ""]), "/1"),
                (json!(["tenant", 1]), "/1"),
                (json!(["tenant", "user", "tenant"]), "/2"),
                (json!(["m".repeat(257)]), "/0"),
                // SSF-8.1.3.1-9
                (json!(["format"]), "/0"),
            ],
        },
        number("min_verification_interval", 0, 86_400),
        number("inactivity_timeout", 0, 31_536_000),
        words("inactivity_action", &["paused", "disabled"]),
        number("verification_heartbeat", 0, 31_536_000),
        number("subject_removal_grace", 0, 31_536_000),
        Case {
            name: "require_shared_subject_member",
            good: vec![json!(true), json!(false)],
            bad: vec![(json!("true"), ""), (json!(1), ""), (json!([]), "")],
        },
        number("streams_per_client", 1, 1000),
        number("stream_storage_mb", 1, 9000),
        number("subject_changes_per_minute", 1, 1_000_000),
    ]
}

fn of(name: &str, value: &Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value.clone())]))
}

#[test]
fn every_setting_takes_what_is_within_its_bounds() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, "acme", &json!({}));
    let operator = instance.operator();
    let known = operator.get(&tenant.admin_path(), 200);
    let mut expected = known.clone();
    let mut seen = vec!["tenant", "issuer", "created_at"];
    for case in cases() {
        for value in &case.good {
            expected[case.name] = value.clone();
            let changed = tenant.change(&instance, &of(case.name, value));
            assert_eq!(changed, expected, "{} {value}", case.name);
        }
        seen.push(case.name);
    }
    assert_eq!(operator.get(&tenant.admin_path(), 200), expected);
    let mut members: Vec<&str> = known
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    members.sort_unstable();
    seen.sort_unstable();
    assert_eq!(members, seen, "every setting has its row");
}

#[test]
fn what_is_beyond_them_is_refused_with_its_place_and_changes_nothing() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, "acme", &json!({"default_subjects": "NONE"}));
    let operator = instance.operator();
    let before = operator.get(&tenant.admin_path(), 200);
    for case in cases() {
        for (value, place) in &case.bad {
            let expected = format!("/{}{place}", case.name);
            let mut request = of(case.name, value);
            let patched = operator.send_json("PATCH", &tenant.admin_path(), &request, 400);
            assert_eq!(pointer_of(&patched), expected, "{} {value}", case.name);
            request["tenant"] = json!("beta");
            let posted = operator.send_json("POST", "/admin/tenants", &request, 400);
            assert_eq!(pointer_of(&posted), expected, "{} {value}", case.name);
        }
    }
    assert_eq!(operator.get(&tenant.admin_path(), 200), before);
    operator.get("/admin/tenants/beta", 404);
}

#[test]
fn a_member_that_no_request_sets_is_refused_and_the_good_ones_beside_it_too() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::create(&instance, "acme", &json!({}));
    let operator = instance.operator();
    let before = operator.get(&tenant.admin_path(), 200);
    for (name, value) in [
        ("tenant", json!("acme")),
        ("tenant", json!("other")),
        ("tenant", json!(null)),
        ("issuer", before["issuer"].clone()),
        ("issuer", json!("https://idp.example")),
        ("issuer", json!(null)),
        ("created_at", before["created_at"].clone()),
        ("created_at", json!(0)),
        ("created_at", json!(null)),
        ("unheard_of", json!(1)),
        ("unheard_of", json!(null)),
        ("Signing_alg", json!("ES256")),
        ("", json!(1)),
    ] {
        let pointer = format!("/{name}");
        let mut request = json!({"default_subjects": "NONE", "require_shared_subject_member": true});
        request[name] = value.clone();
        let answer = operator.send_json("PATCH", &tenant.admin_path(), &request, 400);
        assert_eq!(pointer_of(&answer), pointer, "{name} {value}");
        if name != "tenant" {
            request["tenant"] = json!("beta");
            let answer = operator.send_json("POST", "/admin/tenants", &request, 400);
            assert_eq!(pointer_of(&answer), pointer, "{name} {value}");
        }
    }
    for no_object in [json!([]), json!("acme"), json!(null), json!(7)] {
        for (method, path) in [("PATCH", tenant.admin_path()), ("POST", "/admin/tenants".to_owned())] {
            let answer = operator.send_json(method, &path, &no_object, 400);
            assert_eq!(pointer_of(&answer), "", "{method} {no_object}");
        }
    }
    assert_eq!(
        operator.get(&tenant.admin_path(), 200),
        before,
        "all of a request or nothing"
    );
    operator.get("/admin/tenants/beta", 404);
    assert_problem(
        &operator.send_json("PATCH", "/admin/tenants/beta", &json!({}), 404),
        404,
    );
}
