//! What an operator may say about a source's handshake, when it is created and later.

use serde_json::{Value, json};

use crate::harness::{Instance, Options};
use crate::support::{Source, assert_problem, pointer_of};

use super::with;

const ISSUER: &str = "https://idp.example.com";

/// Members with good values, all of them.
fn complete() -> Value {
    json!({
        "allowed_origins": ["tx.example.com", "second.example.com"],
        "allowed_rate": 120,
        "handshake": "callback",
        "callback_hosts": ["tx.example.com", "*.regions.example.com:553"],
        "callback_method": "GET",
        "description": "the identity provider",
    })
}

/// Bad values and the places of their faults.
fn bad() -> Vec<(&'static str, Value, &'static str)> {
    let twenty_one = |name: fn(usize) -> String| (0..21).map(name).collect::<Vec<_>>();
    vec![
        ("allowed_origins", json!("tx.example.com"), "/allowed_origins"),
        ("allowed_origins", json!([]), "/allowed_origins"),
        (
            "allowed_origins",
            json!(twenty_one(|n| format!("s{n}.example.com"))),
            "/allowed_origins",
        ),
        ("allowed_origins", json!([5]), "/allowed_origins/0"),
        ("allowed_origins", json!(["tx.example.com", ""]), "/allowed_origins/1"),
        (
            "allowed_origins",
            json!(["https://tx.example.com"]),
            "/allowed_origins/0",
        ),
        ("allowed_origins", json!(["tx.example.com:443"]), "/allowed_origins/0"),
        ("allowed_origins", json!(["tx.example.com/"]), "/allowed_origins/0"),
        ("allowed_origins", json!(["*.example.com"]), "/allowed_origins/0"),
        ("allowed_origins", json!(["tx example.com"]), "/allowed_origins/0"),
        ("allowed_origins", json!(["b\u{fc}cher.example"]), "/allowed_origins/0"),
        ("allowed_origins", json!(["-tx.example.com"]), "/allowed_origins/0"),
        ("allowed_origins", json!(["tx.example.com.."]), "/allowed_origins/0"),
        ("allowed_rate", json!(0), "/allowed_rate"),
        ("allowed_rate", json!(-1), "/allowed_rate"),
        ("allowed_rate", json!(1.5), "/allowed_rate"),
        ("allowed_rate", json!(1_000_001), "/allowed_rate"),
        ("allowed_rate", json!("60"), "/allowed_rate"),
        ("allowed_rate", json!("*"), "/allowed_rate"),
        ("handshake", json!("never"), "/handshake"),
        ("handshake", json!(true), "/handshake"),
        ("callback_hosts", json!("tx.example.com"), "/callback_hosts"),
        (
            "callback_hosts",
            json!(twenty_one(|n| format!("s{n}.example.com"))),
            "/callback_hosts",
        ),
        ("callback_hosts", json!(["https://tx.example.com"]), "/callback_hosts/0"),
        ("callback_hosts", json!(["tx.example.com:65536"]), "/callback_hosts/0"),
        ("callback_hosts", json!(["tx.example.com:"]), "/callback_hosts/0"),
        ("callback_hosts", json!(["tx.example.com:https"]), "/callback_hosts/0"),
        ("callback_hosts", json!(["tx.example.com", "*"]), "/callback_hosts/1"),
        ("callback_hosts", json!(["*."]), "/callback_hosts/0"),
        ("callback_hosts", json!(["tx.*.example.com"]), "/callback_hosts/0"),
        ("callback_hosts", json!(["*tx.example.com"]), "/callback_hosts/0"),
        (
            "callback_hosts",
            json!(["tx.example.com/callback"]),
            "/callback_hosts/0",
        ),
        ("callback_hosts", json!([7]), "/callback_hosts/0"),
        ("callback_method", json!("PUT"), "/callback_method"),
        ("callback_method", json!("post"), "/callback_method"),
        ("description", json!(5), "/description"),
        ("description", json!("x".repeat(257)), "/description"),
        ("alowed_origins", json!(["tx.example.com"]), "/alowed_origins"),
    ]
}

#[test]
fn a_source_shows_what_it_was_created_with() {
    let instance = Instance::start(Options::default());
    let source = Source::create(&instance, &with(ISSUER, &complete()));
    let shown = instance.operator().get(&source.path(), 200);
    for answer in [&source.created, &shown] {
        for (name, value) in complete().as_object().expect("an object") {
            assert_eq!(&answer[name], value, "{name}: {answer}");
        }
    }
    let listed = instance.operator().get("/admin/sources", 200);
    assert_eq!(listed["sources"], json!([shown]));
    // What stands where nobody said anything.
    let plain = Source::create(&instance, &with(ISSUER, &json!({}))).created;
    assert_eq!(
        (&plain["handshake"], &plain["callback_method"]),
        (&json!("answer"), &json!("POST"))
    );
    assert_eq!(
        (&plain["allowed_origins"], &plain["allowed_rate"]),
        (&json!([]), &Value::Null)
    );
    // Twenty of each are taken.
    let names: Vec<String> = (0..20).map(|number| format!("s{number}.example.com")).collect();
    Source::create(
        &instance,
        &with(ISSUER, &json!({"allowed_origins": names, "callback_hosts": names})),
    );
    Source::create(
        &instance,
        &with(ISSUER, &json!({"allowed_origins": ["*"], "allowed_rate": 1_000_000})),
    );
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    let instance = Instance::start(Options::default());
    let operator = instance.operator();
    for (name, value, pointer) in bad() {
        let mut members = complete();
        members[name] = value.clone();
        let answer = operator.send_json("POST", "/admin/sources", &with(ISSUER, &members), 400);
        assert_eq!(pointer_of(&answer), pointer, "{name} {value}");
    }
    assert_eq!(operator.get("/admin/sources", 200), json!({"sources": []}));
}

#[test]
fn a_patch_changes_what_is_given_and_null_takes_it_away() {
    let instance = Instance::start(Options::default());
    let operator = instance.operator();
    let source = Source::create(&instance, &with(ISSUER, &complete()));
    let patch = |members: Value| operator.patch_json(&source.path(), &members, 200);
    let shown = || operator.get(&source.path(), 200);
    let first = shown();
    // A change that changes nothing is a mistake, here as with streams.
    operator.send_json("PATCH", &source.path(), &json!({}), 400);
    let mut expected = first.clone();
    for (name, value) in [
        ("allowed_origins", json!(["new.example.com"])),
        ("allowed_rate", json!(1)),
        ("handshake", json!("operator")),
        ("callback_hosts", json!([])),
        ("callback_method", json!("POST")),
        ("description", json!("another")),
    ] {
        expected[name] = value.clone();
        assert_eq!(patch(json!({name: value})), expected);
        assert_eq!(shown(), expected);
    }
    // All at once, and back.
    assert_eq!(patch(complete()), first);
    let gone = patch(json!({
        "allowed_origins": null, "allowed_rate": null, "handshake": null, "callback_hosts": null, "callback_method": null,
        "description": null,
    }));
    let plain = Source::create(&instance, &with(ISSUER, &json!({}))).created;
    for name in [
        "allowed_origins",
        "allowed_rate",
        "handshake",
        "callback_hosts",
        "callback_method",
        "description",
    ] {
        assert_eq!(gone[name], plain[name], "{name}: {gone}");
    }
    // What it is bound to stays: its issuer, audience, address and credentials.
    for name in ["source_id", "issuer", "audience", "receive_url", "created_at"] {
        assert_eq!(gone[name], first[name], "{name}");
    }
}

#[test]
fn a_patch_with_a_fault_changes_nothing() {
    let instance = Instance::start(Options::default());
    let operator = instance.operator();
    let source = Source::create(&instance, &with(ISSUER, &complete()));
    let before = operator.get(&source.path(), 200);
    for (name, value, pointer) in bad() {
        let mut members = json!({"description": "changed"});
        members[name] = value.clone();
        let answer = operator.send_json("PATCH", &source.path(), &members, 400);
        assert_eq!(pointer_of(&answer), pointer, "{name} {value}");
        assert_eq!(operator.get(&source.path(), 200), before, "{name} {value}");
    }
    assert_problem(&operator.send_json("PATCH", &source.path(), &json!([]), 400), 400);
    let unknown = format!("/admin/sources/{}", "0".repeat(64));
    assert_problem(
        &operator.send_json("PATCH", &unknown, &json!({"allowed_rate": 1}), 404),
        404,
    );
}

/// A source lives in its tenant; its grants do, too.
#[test]
fn a_tenant_has_no_part_in_the_sources_of_another() {
    let instance = Instance::start(Options::default());
    let operator = instance.operator();
    let (ours, theirs) = (
        crate::support::Tenant::create(&instance, "ours", &json!({})),
        crate::support::Tenant::create(&instance, "theirs", &json!({})),
    );
    let members = json!({"allowed_origins": ["tx.example.com"]});
    let created = operator.post_json(&ours.path("/admin/sources"), &with(ISSUER, &members), 201);
    let id = created["source_id"].as_str().expect("an id");
    let path = format!("/admin/sources/{id}");
    operator.patch_json(&ours.path(&path), &json!({"allowed_rate": 60}), 200);
    let anyone = instance.anyone();
    let headers = [(super::ORIGIN, "tx.example.com")];
    let answer = super::options_at(&anyone, &format!("/receive/{id}"), &headers, 200);
    assert_eq!(answer.header("webhook-allowed-rate"), Some("60"));
    let grants = operator.get(&ours.path(&format!("{path}/grants")), 200);
    assert_eq!(grants["grants"][0]["state"], json!("granted"));
    for base in [theirs.path(&path), path.clone()] {
        operator.get(&base, 404);
        operator.send_json("PATCH", &base, &json!({"allowed_rate": 1}), 404);
        operator.get(&format!("{base}/grants"), 404);
        let revoke = json!({"origin": "tx.example.com", "action": "revoke"});
        operator.send_json("POST", &format!("{base}/grants"), &revoke, 404);
    }
    // OPTIONS of a tenant that has no such address.
    anyone.send("OPTIONS", &ours.path(&format!("/receive/{id}")), &headers, b"", 404);
}
