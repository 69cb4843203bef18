//! What a receiver is told when it adds and removes: that it was heard, and nothing about the subject (SSF-9.1-1, SSF-9.1-4, SSF-9.2-1).

use serde_json::{Value, json};

use crate::harness::Answer;
use crate::support::{assert_problem, event, pointer_of, without_request_id};

use super::{Scene, about, complex, email, opaque};

/// All of an answer but what is each answer's own, checked to be an empty success.
#[track_caller]
fn silence(answer: &Answer, status: u16) -> (u16, Vec<(String, String)>, Value) {
    assert_eq!((answer.status, answer.text().as_str()), (status, ""), "{answer}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "SSF-8-8");
    without_request_id(answer)
}

/// SSF-8.1.3.2-1, SSF-8.1.3.2-5, SSF-8.1.3.3-1, SSF-8.1.3.3-2, SSF-9.1-2, pitfall 25.
#[test]
fn all_subjects_are_answered_alike() {
    for default_subjects in ["NONE", "ALL"] {
        let scene = Scene::start(&json!({"default_subjects": default_subjects}));
        // Known from events, known from before, and known to nobody.
        scene
            .tenant
            .publish(&scene.instance.operator(), &[event("evt-1", "known@example.com")]);
        scene.add(&email("there@example.com"));
        scene.remove(&email("away@example.com"));
        let mut added = Vec::new();
        let mut removed = Vec::new();
        for subject in [
            email("known@example.com"),
            email("there@example.com"),
            email("away@example.com"),
            email("nobody@example.com"),
            opaque("x"),
            complex("tenant=A user=u"),
            json!({"format": "aliases", "identifiers": [opaque("1"), email("a@b")]}),
            json!({"format": "phone", "phone_number": "+15550100"}),
            json!({"format": "quarry-badge", "badge": 7}),
        ] {
            for _ in 0..2 {
                added.push(silence(&scene.add(&subject), 200));
            }
            for _ in 0..2 {
                removed.push(silence(&scene.remove(&subject), 204));
            }
            added.push(silence(&scene.add(&subject), 200));
            for verified in [true, false] {
                let body = json!({"stream_id": scene.stream.id, "subject": subject, "verified": verified});
                added.push(silence(&scene.change("add", &body, 200), 200));
            }
        }
        added.dedup();
        removed.dedup();
        assert_eq!((added.len(), removed.len()), (1, 1), "{added:?} {removed:?}");
    }
}

/// SSF-8.1.4.1-5, SSF-7.1-17, SSF-8.1.3.3-4
#[test]
fn the_streams_own_subject_is_always_in_it() {
    for default_subjects in ["NONE", "ALL"] {
        let scene = Scene::start(&json!({"default_subjects": default_subjects}));
        let own = json!({"format": "opaque", "id": scene.stream.id});
        let assert_in = || assert_eq!(scene.rule(&own), "stream_subject");
        assert_in();
        let refused = scene.change("remove", &json!({"stream_id": scene.stream.id, "subject": own}), 403);
        assert_problem(&refused, 403);
        assert_eq!(
            refused.header("www-authenticate"),
            None,
            "it is not a matter of the token: {refused}"
        );
        assert_problem(&scene.bulk(&json!({"remove": [own]}), 403), 403);
        assert_in();
        silence(&scene.add(&own), 200);
        assert_problem(
            &scene.change("remove", &json!({"stream_id": scene.stream.id, "subject": own}), 403),
            403,
        );
        assert_in();
        // Another stream's is a subject like any.
        let other = scene.client.poll_stream();
        let others = json!({"format": "opaque", "id": other.id});
        silence(&scene.remove(&others), 204);
        assert_eq!(scene.explain(&about(&others))["delivered"], json!(false));

        // What the transmitter has to say of the stream comes in any case.
        scene
            .stream
            .poll_now()
            .iter()
            .for_each(|(jti, _)| scene.stream.ack(&[jti]));
        let path = scene.tenant.path("/ssf/verification");
        let request = json!({"stream_id": scene.stream.id});
        scene.client.api.send_json("POST", &path, &request, 204);
        assert_eq!(scene.stream.poll_now().len(), 1);
    }
}

/// SSF-8.1.3.2-6
#[test]
fn a_request_that_is_not_acceptable_is_named_by_its_place_and_changes_nothing() {
    let scene = Scene::with_nobody();
    let id = &scene.stream.id;
    let ana = email("ana@quarry.example");
    for (body, pointer) in [
        (json!({"subject": ana}), "/stream_id"),
        (json!({"stream_id": 7, "subject": ana}), "/stream_id"),
        (json!({"stream_id": id}), "/subject"),
        (json!({"stream_id": id, "subject": null}), "/subject"),
        (json!({"stream_id": id, "subject": "ana@quarry.example"}), "/subject"),
        (json!({"stream_id": id, "subject": [ana]}), "/subject"),
        (json!({"stream_id": id, "subject": {}}), "/subject/format"),
        (
            json!({"stream_id": id, "subject": {"format": "email"}}),
            "/subject/email",
        ),
        (
            json!({"stream_id": id, "subject": {"format": "email", "email": "ana"}}),
            "/subject/email",
        ),
        // Pitfall 1
        (
            json!({"stream_id": id, "subject": {"format": "email", "email": "a@b", "name": "A"}}),
            "/subject/name",
        ),
        (
            json!({"stream_id": id, "subject": {"format": "phone", "phone_number": "0151"}}),
            "/subject/phone_number",
        ),
        (
            json!({"stream_id": id, "subject": {"format": "aliases", "identifiers": []}}),
            "/subject/identifiers",
        ),
        (json!({"stream_id": id, "subject": {"format": "complex"}}), "/subject"),
        (
            json!({"stream_id": id, "subject": {"format": "complex", "user": "ana"}}),
            "/subject/user",
        ),
        (
            json!({"stream_id": id, "subject": {"format": "complex", "user": complex("user=u")}}),
            "/subject/user/format",
        ),
    ] {
        for act in ["add", "remove"] {
            let refused = scene.change(act, &body, 400);
            assert_eq!(pointer_of(&refused), pointer, "{act} {body}");
        }
    }
    for verified in [json!("true"), json!(1), json!(null), json!([])] {
        let body = json!({"stream_id": id, "subject": ana, "verified": verified});
        assert_eq!(pointer_of(&scene.change("add", &body, 400)), "/verified", "{body}");
    }
    assert!(!scene.delivers(&ana));
    // What nobody knows is passed over.
    scene.change("add", &json!({"stream_id": id, "subject": ana, "later": 1}), 200);
    assert!(scene.delivers(&ana));
}

#[test]
fn whether_a_subject_is_verified_is_kept_and_shown() {
    let scene = Scene::with_nobody();
    let ana = email("ana@quarry.example");
    let verified = || scene.publish(&ana)["matched"]["verified"].clone();
    for (given, shown) in [
        (json!(null), true), // SSF-8.1.3.2-3
        (json!(false), false),
        (json!(false), false),
        (json!(true), true),
        (json!(false), false),
        (json!(null), true),
    ] {
        let mut body = json!({"stream_id": scene.stream.id, "subject": ana});
        if given.is_boolean() {
            body["verified"] = given.clone();
        }
        scene.change("add", &body, 200);
        // SSF-8.1.3.2: it is a claim of the receiver's, and delivered either way.
        assert_eq!(verified(), json!(shown), "{given}");
    }
    // Of complex ones as well, and each subject has its own.
    let body = json!({"stream_id": scene.stream.id, "subject": complex("tenant=A user=u"), "verified": false});
    scene.change("add", &body, 200);
    assert_eq!(scene.publish(&complex("user=u"))["matched"]["verified"], json!(false));
    assert_eq!(verified(), json!(true));
    scene.bulk(&json!({"add": [complex("tenant=A user=u")]}), 200);
    assert_eq!(scene.publish(&complex("user=u"))["matched"]["verified"], json!(true));
}
