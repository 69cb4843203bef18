//! Who says whether a stream begins with everybody or with nobody: the tenant, for a client its registration, for one stream
//! the operator.

use serde_json::{Value, json};

use crate::support::{assert_problem, pointer_of};

use super::{Scene, about, email, opaque};

#[track_caller]
fn default_subjects(scene: &Scene) -> Value {
    scene.stream.health(&scene.instance)["default_subjects"].clone()
}

#[track_caller]
fn choose(scene: &Scene, value: &Value) {
    let path = scene.stream.admin_path("");
    let health = scene
        .instance
        .operator()
        .patch_json(&path, &json!({"default_subjects": value}), 200);
    assert_eq!(health["default_subjects"], default_subjects(scene));
}

/// Whether an event comes to the scene's own stream, of several.
#[track_caller]
fn comes_to_the_first(scene: &Scene, subject: &Value) -> bool {
    let before = scene.stream.poll_now().len();
    scene.tenant.publish(&scene.instance.operator(), &[about(subject)]);
    scene.stream.poll_now().len() > before
}

/// SSF-7.1-14, SSF-7.1-15: `default_subjects` is about new streams.
#[test]
fn a_stream_begins_as_its_client_says_and_else_as_its_tenant_does() {
    let scene = Scene::start(&json!({}));
    let operator = scene.instance.operator();
    for (tenant, client, begins_with) in [
        (json!(null), json!(null), "ALL"),
        (json!("NONE"), json!(null), "NONE"),
        (json!("NONE"), json!("ALL"), "ALL"),
        (json!("ALL"), json!("NONE"), "NONE"),
        (json!("ALL"), json!("ALL"), "ALL"),
    ] {
        scene
            .tenant
            .change(&scene.instance, &json!({"default_subjects": tenant}));
        operator.patch_json(&scene.client.path(), &json!({"default_subjects": client}), 200);
        let stream = scene.client.poll_stream();
        let shown = stream.health(&scene.instance)["default_subjects"].clone();
        assert_eq!(shown, json!(begins_with), "tenant {tenant}, client {client}");
        scene.tenant.publish(&operator, &[about(&email("ana@quarry.example"))]);
        let came = stream.poll_now().len() == 1;
        assert_eq!(came, begins_with == "ALL", "tenant {tenant}, client {client}");
        stream.delete();
    }
}

/// A stream that began with nobody must not tell of everybody because somebody changed a default.
#[test]
fn a_stream_stays_as_it_began_until_the_operator_says_otherwise() {
    let scene = Scene::with_nobody();
    let operator = scene.instance.operator();
    let ana = email("ana@quarry.example");
    let assert_in = |expected: bool, what: &str| {
        assert_eq!(scene.delivers(&ana), expected, "{what}");
        let shown = if expected { "ALL" } else { "NONE" };
        assert_eq!(default_subjects(&scene), json!(shown), "{what}");
    };
    assert_in(false, "as the tenant had it");
    scene
        .tenant
        .change(&scene.instance, &json!({"default_subjects": "ALL"}));
    assert_in(false, "the tenant's change is for new streams");
    operator.patch_json(&scene.client.path(), &json!({"default_subjects": "ALL"}), 200);
    assert_in(false, "and so is the client's");
    choose(&scene, &json!("ALL"));
    assert_in(true, "the operator's is for this one");
    operator.patch_json(&scene.client.path(), &json!({"default_subjects": "NONE"}), 200);
    assert_in(true, "and holds");
    // `null` is what a new stream would begin with.
    choose(&scene, &Value::Null);
    assert_in(false, "the client's");
    operator.patch_json(&scene.client.path(), &json!({"default_subjects": null}), 200);
    choose(&scene, &Value::Null);
    assert_in(true, "the tenant's");
}

/// CIP-2.4.2-1
#[test]
fn a_stream_of_the_interop_profile_has_everybody_in_it_as_long_as_it_is_one() {
    let scene = Scene::with_nobody();
    let operator = scene.instance.operator();
    let ana = email("ana@quarry.example");
    let profile = |name: Value| {
        operator.patch_json(&scene.client.path(), &json!({"profile": name}), 200);
    };
    assert!(!scene.delivers(&ana));
    profile(json!("caep_interop"));
    assert!(scene.delivers(&ana));
    assert_eq!(default_subjects(&scene), json!("ALL"));
    let request = json!({"default_subjects": "NONE"});
    assert_problem(
        &operator.send_json("PATCH", &scene.stream.admin_path(""), &request, 409),
        409,
    );
    assert!(scene.delivers(&ana));
    profile(json!("ssf"));
    assert!(!scene.delivers(&ana), "as it began");
}

#[test]
fn one_client_or_one_stream_is_no_other() {
    let scene = Scene::with_nobody();
    let ana = email("ana@quarry.example");
    let open = scene
        .tenant
        .receiver(&scene.instance, &json!({"default_subjects": "ALL"}));
    let theirs = open.poll_stream();
    let second = scene.client.poll_stream();
    choose(&scene, &json!("ALL"));
    assert!(comes_to_the_first(&scene, &ana));
    assert_eq!([&theirs, &second].map(|stream| stream.poll_now().len()), [1, 0]);
    // SSF-7.1-12: the metadata says what the tenant says.
    let metadata = scene
        .instance
        .anyone()
        .get("/.well-known/ssf-configuration/t/acme", 200);
    assert_eq!(metadata["default_subjects"], json!("NONE"));
    // A subject is added to one stream.
    choose(&scene, &json!("NONE"));
    scene.change("add", &json!({"stream_id": second.id, "subject": ana}), 200);
    assert!(!comes_to_the_first(&scene, &ana));
    assert_eq!(second.poll_now().len(), 1);
}

#[test]
fn what_was_added_and_removed_is_remembered_while_the_other_choice_counts() {
    let scene = Scene::with_nobody();
    let [ana, bob, cyd] = ["ana", "bob", "cyd"].map(|name| email(&format!("{name}@quarry.example")));
    scene.add(&ana);
    choose(&scene, &json!("ALL"));
    assert!([&ana, &bob, &cyd].iter().all(|subject| scene.delivers(subject)));
    scene.remove(&bob);
    assert!(scene.delivers(&ana) && !scene.delivers(&bob) && scene.delivers(&cyd));
    choose(&scene, &json!("NONE"));
    assert!(scene.delivers(&ana) && !scene.delivers(&bob) && !scene.delivers(&cyd));
    // A removal takes an addition with it, whichever counts.
    choose(&scene, &json!("ALL"));
    scene.remove(&ana);
    choose(&scene, &json!("NONE"));
    assert!(!scene.delivers(&ana));
    // And an addition a removal.
    scene.add(&bob);
    choose(&scene, &json!("ALL"));
    assert!(scene.delivers(&bob) && !scene.delivers(&ana));
}

#[test]
fn a_choice_is_one_of_two_words_or_none() {
    let scene = Scene::with_nobody();
    let operator = scene.instance.operator();
    let path = scene.stream.admin_path("");
    for wrong in [
        json!("all"),
        json!(""),
        json!(1),
        json!(true),
        json!(["ALL"]),
        json!({}),
    ] {
        let refused = operator.send_json("PATCH", &path, &json!({"default_subjects": wrong}), 400);
        assert_eq!(pointer_of(&refused), "/default_subjects", "{wrong}");
    }
    assert_eq!(default_subjects(&scene), json!("NONE"));
    assert!(!scene.delivers(&opaque("1")));
    // It survives, as the operator's other wishes do.
    let mut scene = scene;
    choose(&scene, &json!("ALL"));
    scene.instance.restart();
    assert_eq!(default_subjects(&scene), json!("ALL"));
    assert!(scene.delivers(&opaque("1")));
}
