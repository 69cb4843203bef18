//! Where everybody is in the stream: who was removed is not, until added again (SSF-7.1-14).

use serde_json::json;

use super::{Scene, complex, email, opaque};

#[test]
fn who_was_removed_gets_no_more_events_until_added_again() {
    let scene = Scene::with_everybody();
    for subject in [
        email("ana@quarry.example"),
        opaque("1"),
        json!({"format": "phone_number", "phone_number": "+15550100"}),
        json!({"format": "aliases", "identifiers": [opaque("1"), opaque("2")]}),
        complex("tenant=A user=u"),
    ] {
        assert_eq!(scene.rule(&subject), "subject_default", "{subject}");
        // SSF-8.1.3.3-2: what is in by default can be removed as if it had been added.
        scene.remove(&subject);
        assert_eq!(scene.rule(&subject), "subject_removed", "{subject}");
        assert!(scene.delivers(&email("bob@quarry.example")), "and nobody else");
        // SSF-8.1.3.2-5
        scene.add(&subject);
        assert_eq!(scene.rule(&subject), "subject_default", "{subject}");
    }
}

#[test]
fn adding_and_removing_again_and_again_is_one_of_each() {
    let scene = Scene::with_everybody();
    let ana = email("ana@quarry.example");
    for _ in 0..2 {
        for _ in 0..3 {
            scene.remove(&ana);
            assert!(!scene.delivers(&ana));
        }
        scene.add(&ana);
        assert!(scene.delivers(&ana), "three removals are one");
        scene.add(&ana);
        assert!(scene.delivers(&ana));
    }
    // Adding who is there changes nothing, so nothing has to be taken back.
    scene.remove(&ana);
    assert!(!scene.delivers(&ana));
}

/// SSF-8.1.3.3-3: removed subject, event's subject, whether the event goes on.
#[test]
fn a_removal_covers_events_that_have_all_it_names_and_no_others() {
    let scene = Scene::with_everybody();
    for (removed, event, goes_on) in [
        ("tenant=A", "tenant=A", false),
        ("tenant=A", "tenant=A user=u", false),
        ("tenant=A user=u", "tenant=A user=u", false),
        ("tenant=A user=u", "tenant=A user=u session=s", false),
        ("badge=1", "badge=1 user=u", false),
        // The wildcard works one way: an event that lacks a member of the removed one is not covered.
        ("tenant=A user=u", "tenant=A", true),
        ("tenant=A user=u", "user=u", true),
        ("tenant=A user=u", "device=d", true),
        ("tenant=A", "user=u", true),
        ("tenant=A user=u", "tenant=A user=v", true),
        ("tenant=A", "tenant=B", true),
    ] {
        let subject = complex(removed);
        scene.remove(&subject);
        assert_eq!(scene.delivers(&complex(event)), goes_on, "{removed} removed / {event}");
        // SSF-8.1.3.1-6
        assert!(scene.delivers(&opaque("u")), "{removed} removed / a simple one");
        scene.add(&subject);
        assert!(scene.delivers(&complex(event)), "{removed} added again / {event}");
    }
}

#[test]
fn only_the_identical_addition_takes_a_removal_back() {
    let scene = Scene::with_everybody();
    scene.remove(&complex("tenant=A"));
    for other in ["tenant=A user=u", "user=u", "tenant=B"] {
        scene.add(&complex(other));
        assert!(!scene.delivers(&complex("tenant=A user=u")), "{other}");
    }
    scene.remove(&complex("tenant=A user=u"));
    scene.add(&complex("tenant=A"));
    assert!(scene.delivers(&complex("tenant=A user=v")));
    assert!(
        !scene.delivers(&complex("tenant=A user=u")),
        "this one is out by itself"
    );
    scene.add(&complex("tenant=A user=u"));
    assert!(scene.delivers(&complex("tenant=A user=u")));
}

#[test]
fn a_removal_in_other_words_is_the_same_removal() {
    let scene = Scene::with_everybody();
    let phone = json!({"format": "phone", "phone_number": "+15550100"});
    let phone_number = json!({"format": "phone_number", "phone_number": "+15550100"});
    // SSF-8.1.3.3-5
    scene.remove(&phone);
    assert!(!scene.delivers(&phone_number));
    scene.add(&phone_number);
    assert!(scene.delivers(&phone_number) && scene.delivers(&phone));
    let one = json!({"format": "aliases", "identifiers": [opaque("1"), opaque("2")]});
    let other = json!({"format": "aliases", "identifiers": [opaque("2"), opaque("1")]});
    scene.remove(&one);
    assert!(!scene.delivers(&other));
    assert!(scene.delivers(&opaque("1")), "not those it is made of");
    scene.add(&other);
    assert!(scene.delivers(&one));
}

#[test]
fn removals_are_there_after_the_process_died() {
    let mut scene = Scene::with_everybody();
    scene.remove(&email("ana@quarry.example"));
    scene.remove(&complex("tenant=A"));
    scene.remove(&opaque("back"));
    scene.add(&opaque("back"));
    scene.instance.restart();
    assert!(!scene.delivers(&email("ana@quarry.example")) && !scene.delivers(&complex("tenant=A user=u")));
    assert!(scene.delivers(&opaque("back")) && scene.delivers(&email("bob@quarry.example")));
}
