//! How much a stream takes: members of a subject, kinds of subjects, changes a minute, storage.

use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::eventually;
use crate::support::{assert_problem, pointer_of, without_request_id};

use super::{Scene, complex, email, opaque};

/// A complex subject of so many members.
fn wide(members: usize, value: u32) -> Value {
    let members: Vec<String> = (0..members).map(|number| format!("m{number}={value}")).collect();
    complex(&members.join(" "))
}

#[test]
fn a_subject_has_so_many_members_and_names_so_long() {
    for default_subjects in ["NONE", "ALL"] {
        let scene = Scene::start(&json!({"default_subjects": default_subjects}));
        let act = if default_subjects == "NONE" { "add" } else { "remove" };
        let (good, ok) = if act == "add" { (true, 200) } else { (false, 204) };
        let request = |subject: &Value| json!({"stream_id": scene.stream.id, "subject": subject});
        scene.change(act, &request(&wide(8, 1)), ok);
        assert_eq!(scene.delivers(&wide(8, 1)), good);
        let mut longest = json!({"format": "complex"});
        longest["n".repeat(128)] = opaque("x");
        scene.change(act, &request(&longest), ok);
        assert_eq!(scene.delivers(&longest), good);

        let mut longer = json!({"format": "complex"});
        longer["n".repeat(129)] = opaque("x");
        for too_much in [wide(9, 1), wide(32, 1), longer] {
            let refused = scene.change(act, &request(&too_much), 400);
            assert_eq!(pointer_of(&refused), "/subject");
            // An event may be about it, and is judged like any.
            scene.publish(&too_much);
        }
        assert_eq!(pointer_of(&scene.change(act, &request(&wide(33, 1)), 400)), "/subject");
    }
}

#[test]
fn the_subjects_of_a_stream_have_so_many_sets_of_members() {
    let scene = Scene::with_nobody();
    let of_its_own = |number: u32| complex(&format!("m{number}=1"));
    let all: Vec<Value> = (0..32).map(of_its_own).collect();
    scene.bulk(&json!({"add": all}), 200);
    let one_more = json!({"stream_id": scene.stream.id, "subject": complex("more=1")});
    assert_problem(&scene.change("add", &one_more, 403), 403);
    // Of the same sets there may be any number, and a set that is not needed any more makes room.
    scene.add(&complex("m7=2"));
    scene.remove(&of_its_own(7));
    assert_problem(&scene.change("add", &one_more, 403), 403);
    scene.remove(&complex("m7=2"));
    scene.change("add", &one_more, 200);
}

/// SSF-9.1-4
#[test]
fn who_changes_subjects_too_fast_is_slowed_down_whatever_they_are() {
    let scene = Scene::start(&json!({"default_subjects": "NONE", "subject_changes_per_minute": 3}));
    scene.bulk(&json!({"add": [opaque("known")]}), 200);
    scene.add(&opaque("1"));
    scene.remove(&opaque("1"));
    scene.add(&opaque("2"));
    let mut refusals = Vec::new();
    for (act, subject) in [
        ("add", opaque("known")),
        ("add", opaque("2")),
        ("add", opaque("nobody")),
        ("remove", opaque("known")),
        ("remove", opaque("nobody")),
    ] {
        let body = json!({"stream_id": scene.stream.id, "subject": subject});
        let refused = scene.change(act, &body, 429);
        assert_problem(&refused, 429);
        let wait = refused.header("retry-after").expect("Retry-After").parse::<u32>();
        // A third of a minute for each.
        assert!((1..=20).contains(&wait.expect("seconds")), "{refused}");
        let (status, mut headers, body) = without_request_id(&refused);
        headers.retain(|(name, _)| name != "retry-after");
        refusals.push((status, headers, body));
    }
    refusals.dedup();
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert!(scene.delivers(&opaque("known")) && !scene.delivers(&opaque("nobody")));

    // Each stream has its own pace; a complex subject costs as many as it has members; and a change of the setting counts at once.
    let other = scene.client.poll_stream();
    let request = |members: &str| json!({"stream_id": other.id, "subject": complex(members)});
    scene.change("add", &request("a=1 b=1 c=1 d=1"), 429);
    scene.change("add", &request("a=1 b=1"), 200);
    scene.change("remove", &request("a=1 b=1"), 429);
    scene.change("remove", &request("a=1"), 204);
    scene
        .tenant
        .change(&scene.instance, &json!({"subject_changes_per_minute": 6000}));
    scene.add(&opaque("3"));
}

#[test]
fn retry_after_is_as_long_as_it_takes() {
    let scene = Scene::start(&json!({"default_subjects": "NONE", "subject_changes_per_minute": 60}));
    let request = |number: u32| json!({"stream_id": scene.stream.id, "subject": opaque(&number.to_string())});
    let path = scene.tenant.path("/ssf/subjects/add");
    let mut sent = 0;
    // A minute's worth comes at once; while it is sent, one or two more may have become due.
    let refused = loop {
        sent += 1;
        let body = request(sent).to_string();
        let json = [("content-type", "application/json")];
        let answer = scene
            .client
            .api
            .try_send("POST", &path, &json, body.as_bytes())
            .expect("an answer");
        match answer.status {
            200 => assert!(sent < 200, "there is a limit"),
            _ => break answer,
        }
    };
    let told = Instant::now();
    assert_problem(&refused, 429);
    assert!(sent > 60, "{sent}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    let taken = eventually("it is taken again", || {
        let body = request(sent).to_string();
        let json = [("content-type", "application/json")];
        let answer = scene.client.api.try_send("POST", &path, &json, body.as_bytes());
        (answer.expect("an answer").status == 200).then(|| told.elapsed())
    });
    assert!(taken.as_millis() < 1500, "{taken:?} after a second was named");
}

#[test]
fn a_stream_that_stores_too_much_takes_no_further_subjects() {
    let scene = Scene::start(&json!({"default_subjects": "NONE", "stream_storage_mb": 1}));
    scene.add(&email("ana@quarry.example"));
    // Subjects of eight members take the most room: some 10 KB each.
    let mut added = 0;
    let refused = loop {
        assert!(added < 400, "a megabyte is full by then");
        let batch: Vec<Value> = (added..added + 20).map(|value| wide(8, value)).collect();
        let path = scene.stream.admin_path("/subjects");
        let body = json!({"add": batch}).to_string();
        let json = [("content-type", "application/json")];
        let operator = scene.instance.operator();
        let answer = operator
            .try_send("POST", &path, &json, body.as_bytes())
            .expect("an answer");
        match answer.status {
            200 => added += 20,
            _ => break answer,
        }
    };
    assert_problem(&refused, 403);
    assert!(added >= 20, "some fit");
    assert!(!scene.delivers(&wide(8, added)), "all of a request or nothing");
    let health = scene.stream.health(&scene.instance);
    assert!(health["database_bytes"].as_u64() > Some(500_000), "{health}");

    // Full is full; but what is there works, and can be removed.
    scene
        .tenant
        .change(&scene.instance, &json!({"stream_storage_mb": 9000}));
    let mut more = added;
    while scene.stream.health(&scene.instance)["database_bytes"].as_u64() <= Some(1_000_000) {
        scene.bulk(&json!({"add": [wide(8, more)]}), 200);
        more += 1;
    }
    scene.tenant.change(&scene.instance, &json!({"stream_storage_mb": 1}));
    let mut refusals = Vec::new();
    // Pitfall 25: whoever is asked for.
    for subject in [
        email("bob@quarry.example"),
        email("ana@quarry.example"),
        wide(8, 0),
        wide(8, 9999),
    ] {
        let body = json!({"stream_id": scene.stream.id, "subject": subject});
        let refused = scene.change("add", &body, 403);
        assert_problem(&refused, 403);
        refusals.push(without_request_id(&refused));
    }
    refusals.dedup();
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert!(scene.delivers(&email("ana@quarry.example")) && scene.delivers(&wide(8, 0)));
    // The way out: one by one, or many at once.
    scene.remove(&wide(8, 0));
    for first in (1..more).step_by(100) {
        let some: Vec<Value> = (first..more.min(first + 100)).map(|value| wide(8, value)).collect();
        scene.bulk(&json!({"remove": some}), 200);
    }
    assert!(!scene.delivers(&wide(8, 0)));
    scene.add(&email("bob@quarry.example"));
    assert!(scene.delivers(&email("bob@quarry.example")));
}

#[test]
fn where_everybody_is_in_the_stream_it_is_removals_that_it_stores() {
    let scene = Scene::start(&json!({"stream_storage_mb": 1}));
    let mut removed = 0;
    // A removal takes one row however many members its subject has.
    while scene.stream.health(&scene.instance)["database_bytes"].as_u64() <= Some(1_000_000) {
        assert!(removed < 60_000, "a megabyte is full by then");
        let some: Vec<Value> = (removed..removed + 1000).map(|value| wide(1, value)).collect();
        scene.bulk(&json!({"remove": some}), 200);
        removed += 1000;
    }
    let body = json!({"stream_id": scene.stream.id, "subject": email("ana@quarry.example")});
    assert_problem(&scene.change("remove", &body, 403), 403);
    assert!(scene.delivers(&email("ana@quarry.example")) && !scene.delivers(&wide(1, 0)));
    // Who is added again needs no room.
    for first in (0..removed).step_by(1000) {
        let some: Vec<Value> = (first..first + 1000).map(|value| wide(1, value)).collect();
        scene.bulk(&json!({"add": some}), 200);
    }
    assert!(scene.delivers(&wide(1, 0)));
    scene.remove(&email("ana@quarry.example"));
}
