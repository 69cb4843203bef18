//! Complex subjects without a common member: by the letter they match (SSF-8.1.3.1-8, pitfall 34); a tenant can choose
//! otherwise.

use serde_json::json;

use super::{Scene, complex, email};

/// Added subject, event's subject, whether they match by the letter, and with the guard.
const PAIRS: &[(&str, &str, bool, bool)] = &[
    ("user=u", "device=d", true, false),
    ("tenant=A", "user=u", true, false),
    ("tenant=A user=u", "device=d session=s", true, false),
    ("badge=1", "door=2", true, false),
    ("user=u device=d", "user=u session=s", true, true),
    ("tenant=A", "tenant=A user=u", true, true),
    ("tenant=A", "tenant=B user=u", false, false),
];

#[test]
fn subjects_without_a_common_member_match_unless_the_tenant_demands_one() {
    let scene = Scene::with_nobody();
    for guarded in [false, true, false] {
        let patch = json!({"require_shared_subject_member": guarded});
        scene.tenant.change(&scene.instance, &patch);
        for &(added, event, literal, with_guard) in PAIRS {
            for (added, event) in [(added, event), (event, added)] {
                let subject = complex(added);
                scene.add(&subject);
                let expected = if guarded { with_guard } else { literal };
                assert_eq!(
                    scene.delivers(&complex(event)),
                    expected,
                    "{added} / {event}, guarded: {guarded}"
                );
                scene.remove(&subject);
            }
        }
    }
}

#[test]
fn the_guard_counts_at_once_for_what_was_added_before() {
    let scene = Scene::with_nobody();
    scene.add(&complex("user=u"));
    scene.add(&email("ana@quarry.example"));
    let event = complex("device=d");
    assert!(scene.delivers(&event));
    scene
        .tenant
        .change(&scene.instance, &json!({"require_shared_subject_member": true}));
    assert_eq!(scene.rule(&event), "subject_not_added");
    // One that shares a member is found beside the one that does not.
    scene.add(&complex("device=d tenant=A"));
    assert!(scene.delivers(&event) && !scene.delivers(&complex("session=s")));
    // It is about complex subjects only.
    assert!(scene.delivers(&email("ana@quarry.example")));
    scene
        .tenant
        .change(&scene.instance, &json!({"require_shared_subject_member": null}));
    assert!(scene.delivers(&complex("session=s")));
}

#[test]
fn a_match_without_a_common_member_says_so() {
    let scene = Scene::with_nobody();
    scene.add(&complex("user=u"));
    let disjoint = scene.publish(&complex("device=d"));
    assert_eq!(disjoint["rule"], json!("subject_added"));
    assert_eq!(disjoint["matched"]["shared"], json!([]));
    assert_eq!(disjoint["matched"]["members"], json!(["user"]));
    let detail = disjoint["detail"].as_str().expect("words");
    assert!(
        detail.contains("require_shared_subject_member"),
        "what helps is named: {detail}"
    );
    let shared = scene.publish(&complex("user=u device=d"));
    assert_eq!(shared["matched"]["shared"], json!(["user"]));
    assert_ne!(shared["detail"], disjoint["detail"]);
}

#[test]
fn removals_do_not_ask_the_guard() {
    let scene = Scene::start(&json!({"require_shared_subject_member": true}));
    scene.remove(&complex("user=u"));
    assert!(scene.delivers(&complex("device=d")));
    assert!(!scene.delivers(&complex("user=u device=d")));
    assert!(scene.delivers(&email("ana@quarry.example")));
}
