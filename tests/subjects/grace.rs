//! For a while after a removal events still go on (SSF-9.3-1), so that who removes a subject by malice is seen to do it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::eventually;

use super::{Scene, about, complex, email, opaque};

/// Ends are rounded up by at most an eighth of the time.
const LONGEST: Duration = Duration::from_millis(1125);
const SHORTEST: Duration = Duration::from_millis(1000);

fn with_grace(default_subjects: &str) -> Scene {
    Scene::start(&json!({"default_subjects": default_subjects, "subject_removal_grace": 1}))
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set")
}

#[track_caller]
fn explained(scene: &Scene, subject: &Value) -> Value {
    scene.explain(&about(subject))
}

/// Waits until the subject is out.
#[track_caller]
fn wait_until_out(scene: &Scene, subject: &Value) {
    eventually("the grace is over", || {
        (explained(scene, subject)["delivered"] == json!(false)).then_some(())
    });
}

#[test]
fn a_removed_subject_stays_for_the_grace_and_goes_then() {
    for (default_subjects, rule) in [("NONE", "subject_not_added"), ("ALL", "subject_removed")] {
        let scene = with_grace(default_subjects);
        let subjects = [email("ana@quarry.example"), complex("tenant=A user=u")];
        let mut ends = Vec::new();
        let asked = Instant::now();
        for subject in &subjects {
            scene.add(subject);
            let before = now();
            scene.remove(subject);
            let after = now();
            let during = scene.publish(subject);
            assert_eq!(
                during["rule"],
                json!("subject_in_grace"),
                "{default_subjects} {subject}"
            );
            let until = Duration::from_millis(during["matched"]["until"].as_u64().expect("an instant"));
            // Milliseconds are whole at the other end.
            assert!(
                until + Duration::from_millis(1) >= before + SHORTEST,
                "{until:?} {before:?}"
            );
            assert!(until <= after + LONGEST, "{until:?} {after:?}");
            ends.push(until);
        }
        for (subject, until) in subjects.iter().zip(ends) {
            wait_until_out(&scene, subject);
            assert!(
                asked.elapsed() >= SHORTEST - Duration::from_millis(1),
                "{:?}",
                asked.elapsed()
            );
            assert!(now() + Duration::from_millis(1) >= until, "not before it said");
            assert_eq!(scene.rule(subject), rule);
        }
        // The events that went on were delivered; the later ones are gone, and nothing else is.
        assert_eq!(scene.delivers(&email("bob@quarry.example")), default_subjects == "ALL");
    }
}

#[test]
fn who_is_added_again_during_the_grace_stays() {
    for default_subjects in ["NONE", "ALL"] {
        let scene = with_grace(default_subjects);
        let (ana, bob) = (email("ana@quarry.example"), email("bob@quarry.example"));
        for subject in [&ana, &bob] {
            scene.add(subject);
            scene.remove(subject);
        }
        scene.add(&ana);
        let rule = if default_subjects == "NONE" {
            "subject_added"
        } else {
            "subject_default"
        };
        assert_eq!(scene.rule(&ana), rule);
        // Bob was removed before Ana was added again: when he is out, her removal is forgotten.
        wait_until_out(&scene, &bob);
        assert_eq!(scene.rule(&ana), rule);
    }
}

#[test]
fn removing_again_does_not_begin_the_grace_anew() {
    for default_subjects in ["NONE", "ALL"] {
        let scene = with_grace(default_subjects);
        let ana = email("ana@quarry.example");
        scene.add(&ana);
        scene.remove(&ana);
        let until = explained(&scene, &ana)["matched"]["until"].clone();
        assert!(until.is_u64(), "{until}");
        let mut last = until.clone();
        eventually("the grace is over, however often it is asked for", || {
            scene.remove(&ana);
            let explained = explained(&scene, &ana);
            match explained["rule"].as_str() {
                Some("subject_in_grace") => {
                    last = explained["matched"]["until"].clone();
                    None
                }
                _ => Some(()),
            }
        });
        assert_eq!(last, until);
    }
}

#[test]
fn the_grace_of_a_removal_is_what_it_was_when_it_was_removed() {
    let scene = with_grace("NONE");
    let (ana, bob, cyd) = (opaque("ana"), opaque("bob"), opaque("cyd"));
    scene.bulk(&json!({"add": [ana, bob, cyd]}), 200);
    scene.remove(&ana);
    scene
        .tenant
        .change(&scene.instance, &json!({"subject_removal_grace": 3600}));
    scene.remove(&bob);
    wait_until_out(&scene, &ana);
    assert_eq!(scene.rule(&bob), "subject_in_grace");
    scene
        .tenant
        .change(&scene.instance, &json!({"subject_removal_grace": 0}));
    scene.remove(&cyd);
    assert_eq!(scene.rule(&cyd), "subject_not_added", "without a grace it is at once");
    assert_eq!(scene.rule(&bob), "subject_in_grace");
}

#[test]
fn a_grace_goes_on_while_the_process_is_dead() {
    let mut scene = with_grace("NONE");
    let (ana, bob) = (email("ana@quarry.example"), email("bob@quarry.example"));
    scene.add(&ana);
    scene.remove(&ana);
    let until = explained(&scene, &ana)["matched"]["until"]
        .as_u64()
        .expect("an instant");
    scene
        .tenant
        .change(&scene.instance, &json!({"subject_removal_grace": 3600}));
    scene.add(&bob);
    scene.remove(&bob);
    scene.instance.restart();
    wait_until_out(&scene, &ana);
    assert!(now().as_millis() + 1 >= u128::from(until));
    assert_eq!(scene.rule(&bob), "subject_in_grace");
    assert!(!scene.delivers(&ana));
    scene.add(&ana);
    assert!(scene.delivers(&ana));
}

#[test]
fn an_event_of_the_grace_is_delivered_after_it_too() {
    let scene = with_grace("NONE");
    let ana = email("ana@quarry.example");
    scene.add(&ana);
    scene.remove(&ana);
    assert_eq!(scene.tenant.publish(&scene.instance.operator(), &[about(&ana)]), 1);
    // What was accepted is accepted.
    wait_until_out(&scene, &ana);
    assert_eq!(scene.stream.poll_now().len(), 1);
}
