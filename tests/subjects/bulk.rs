//! Many subjects at once, by the operator.

use serde_json::{Value, json};

use crate::support::{assert_problem, pointer_of};

use super::{Scene, complex, email, opaque};

fn many(range: std::ops::Range<u32>) -> Vec<Value> {
    range.map(|number| opaque(&number.to_string())).collect()
}

#[test]
fn a_thousand_subjects_are_added_and_removed_at_once() {
    let scene = Scene::with_nobody();
    let answer = scene.bulk(&json!({"add": many(0..1000)}), 200);
    assert_eq!(answer.json(), json!({"added": 1000, "removed": 0}));
    for (id, expected) in [("0", true), ("999", true), ("1000", false)] {
        assert_eq!(scene.delivers(&opaque(id)), expected, "{id}");
    }
    let answer = scene.bulk(&json!({"add": many(1000..1400), "remove": many(0..600)}), 200);
    assert_eq!(answer.json(), json!({"added": 400, "removed": 600}));
    for (id, expected) in [
        ("0", false),
        ("599", false),
        ("600", true),
        ("1399", true),
        ("1400", false),
    ] {
        assert_eq!(scene.delivers(&opaque(id)), expected, "{id}");
    }
    let answer = scene.bulk(&json!({"remove": many(600..601)}), 200);
    assert_eq!(answer.json(), json!({"added": 0, "removed": 1}));
    assert!(!scene.delivers(&opaque("600")));
}

#[test]
fn it_is_as_if_the_receiver_had_done_it() {
    let scene = Scene::with_nobody();
    let subjects = [
        email("ana@quarry.example"),
        complex("tenant=A user=u"),
        json!({"format": "phone", "phone_number": "+15550100"}),
    ];
    for _ in 0..2 {
        scene.bulk(&json!({"add": subjects}), 200);
        assert!(subjects.iter().all(|subject| scene.delivers(subject)));
    }
    for subject in &subjects {
        scene.remove(subject);
        assert!(!scene.delivers(subject), "{subject}");
        scene.add(subject);
    }
    scene.bulk(&json!({"remove": subjects}), 200);
    assert!(!subjects.iter().any(|subject| scene.delivers(subject)));
    // First all additions, then all removals.
    scene.bulk(
        &json!({"remove": [opaque("1")], "add": [opaque("1"), opaque("2")]}),
        200,
    );
    assert!(!scene.delivers(&opaque("1")) && scene.delivers(&opaque("2")));
}

#[test]
fn a_request_that_is_not_acceptable_is_named_by_its_place_and_changes_nothing() {
    let scene = Scene::with_nobody();
    let good = opaque("1");
    let nine: Vec<String> = (0..9).map(|number| format!("m{number}=v")).collect();
    let nine = complex(&nine.join(" "));
    for (body, pointer) in [
        (json!([]), ""),
        (json!({}), ""),
        (json!({"add": [], "remove": []}), ""),
        (json!({"add": good}), "/add"),
        (json!({"add": null}), "/add"),
        (json!({"add": [good], "remove": "x"}), "/remove"),
        (json!({"add": [good], "stream_id": scene.stream.id}), "/stream_id"),
        (json!({"add": [good, 7]}), "/add/1"),
        (json!({"add": [good, {"format": "email"}]}), "/add/1/email"),
        (
            json!({"add": [good, good, good, {"format": "complex", "user": {}}]}),
            "/add/3/user/format",
        ),
        (
            json!({"add": [good], "remove": [good, {"format": "opaque", "id": ""}]}),
            "/remove/1/id",
        ),
        // What only the stream can judge.
        (json!({"add": [good, nine]}), "/add/1"),
        (json!({"add": many(0..1001)}), ""),
        (json!({"remove": many(0..1001)}), ""),
        (json!({"add": many(0..600), "remove": many(0..401)}), ""),
    ] {
        let refused = scene.bulk(&body, 400);
        let shown: String = body.to_string().chars().take(200).collect();
        assert_eq!(pointer_of(&refused), pointer, "{shown}");
        assert!(!scene.delivers(&good), "all or nothing: {shown}");
    }
}

#[test]
fn a_request_that_comes_to_what_cannot_be_removed_changes_nothing() {
    let scene = Scene::with_nobody();
    scene.add(&opaque("there"));
    let own = json!({"format": "opaque", "id": scene.stream.id});
    let body = json!({"add": [opaque("new")], "remove": [opaque("there"), own]});
    assert_problem(&scene.bulk(&body, 403), 403);
    assert!(scene.delivers(&opaque("there")), "not removed");
    assert!(!scene.delivers(&opaque("new")), "not added");
    // Nor is it so after a restart: what was taken back was taken back for good.
    let mut scene = scene;
    scene.instance.restart();
    assert!(scene.delivers(&opaque("there")) && !scene.delivers(&opaque("new")));
}

#[test]
fn what_the_operator_does_does_not_count_against_the_receiver() {
    let scene = Scene::start(&json!({"default_subjects": "NONE", "subject_changes_per_minute": 1}));
    for round in 0..3 {
        scene.bulk(&json!({"add": many(round * 10..round * 10 + 10)}), 200);
    }
    scene.add(&opaque("mine"));
    scene.change(
        "add",
        &json!({"stream_id": scene.stream.id, "subject": opaque("too soon")}),
        429,
    );
    scene.bulk(&json!({"remove": many(0..30)}), 200);
    assert!(scene.delivers(&opaque("mine")) && !scene.delivers(&opaque("0")));
}
