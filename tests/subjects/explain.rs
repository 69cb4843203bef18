//! Every rule by which an event is delivered or is not, as the operator is told it; and in each case it is what happens.

use serde_json::{Value, json};

use crate::harness::{Reply, ScriptedReceiver, eventually};
use crate::support::{ACCOUNT_DISABLED, CREDENTIAL_CHANGE, SESSION_REVOKED, Set, event, pointer_of};

use super::{Scene, complex, email};

const ANA: &str = "ana@quarry.example";

#[track_caller]
fn operate(scene: &Scene, change: &Value) {
    let path = scene.stream.admin_path("");
    scene.instance.operator().patch_json(&path, change, 200);
}

/// An event of a type that needs no content.
fn of_type(event_type: &str) -> Value {
    json!({"type": event_type, "sub_id": email(ANA), "event": {}})
}

/// How many events wait that somebody published: not those of the stream itself, which tell of its status.
#[track_caller]
fn waiting(scene: &Scene) -> usize {
    let own = json!({"format": "opaque", "id": scene.stream.id});
    let sets = scene.stream.poll_now();
    sets.iter()
        .filter(|(_, set)| Set::decode(set).claims["sub_id"] != own)
        .count()
}

#[test]
fn each_rule_has_its_name_and_decides_as_it_says() {
    let scene = Scene::with_nobody();
    let ana = email(ANA);
    let assert_rule = |subject: &Value, rule: &str, delivered: bool| {
        let explained = scene.publish(subject);
        assert_eq!(
            (&explained["rule"], &explained["delivered"]),
            (&json!(rule), &json!(delivered)),
            "{explained}"
        );
        assert_eq!(explained["held"], json!(false));
        explained
    };
    assert_rule(&ana, "subject_not_added", false);
    scene.add(&ana);
    let matched = assert_rule(&ana, "subject_added", true)["matched"].clone();
    assert_eq!(matched, json!({"members": [], "shared": [], "verified": true}));
    scene.add(&complex("tenant=A user=u device=d"));
    scene.add(&complex("tenant=A"));
    // Of several that match it is the one that says most.
    let matched = assert_rule(&complex("tenant=A user=u"), "subject_added", true)["matched"].clone();
    assert_eq!(matched["members"], json!(["device", "tenant", "user"]));
    assert_eq!(matched["shared"], json!(["tenant", "user"]));
    let own = json!({"format": "opaque", "id": scene.stream.id});
    assert_rule(&own, "stream_subject", true);

    scene
        .tenant
        .change(&scene.instance, &json!({"subject_removal_grace": 3600}));
    scene.remove(&ana);
    let matched = assert_rule(&ana, "subject_in_grace", true)["matched"].clone();
    assert!(matched["until"].is_u64(), "{matched}");

    scene
        .tenant
        .change(&scene.instance, &json!({"subject_removal_grace": 0}));
    operate(&scene, &json!({"default_subjects": "ALL"}));
    assert_rule(&email("bob@quarry.example"), "subject_default", true);
    scene.remove(&complex("tenant=A user=u"));
    let explained = assert_rule(&complex("tenant=A user=u session=s"), "subject_removed", false);
    assert_eq!(explained["matched"], json!({"members": ["tenant", "user"]}));
    assert_rule(&complex("tenant=A"), "subject_default", true);
    assert_rule(&own, "stream_subject", true);
}

#[test]
fn the_type_comes_before_the_status_and_the_status_before_the_subject() {
    let scene = Scene::start(&json!({"events_supported": [SESSION_REVOKED, ACCOUNT_DISABLED]}));
    let request = json!({"events_requested": [SESSION_REVOKED]});
    let scene = Scene {
        stream: scene.client.stream(&request),
        ..scene
    };
    let rule = |event: &Value| {
        let explained = scene.explain(event);
        assert_eq!(explained["delivered"], json!(false), "{explained}");
        explained["rule"].as_str().expect("a rule").to_owned()
    };
    let credential_change = json!({
        "type": CREDENTIAL_CHANGE,
        "sub_id": email(ANA),
        "event": {"credential_type": "pin", "change_type": "create"},
    });
    scene.remove(&email(ANA));
    operate(&scene, &json!({"status": "disabled"}));
    assert_eq!(rule(&credential_change), "type_not_supported");
    assert_eq!(rule(&of_type("urn:quarry:badge-lost")), "type_not_supported");
    assert_eq!(rule(&of_type(ACCOUNT_DISABLED)), "type_not_requested");
    assert_eq!(rule(&of_type(SESSION_REVOKED)), "stream_disabled");
    operate(&scene, &json!({"status": "enabled"}));
    assert_eq!(rule(&of_type(SESSION_REVOKED)), "subject_removed");

    // What its client may not have the stream does not support.
    let patch = json!({"events_allowed": [ACCOUNT_DISABLED]});
    scene.instance.operator().patch_json(&scene.client.path(), &patch, 200);
    assert_eq!(rule(&of_type(SESSION_REVOKED)), "type_not_supported");
    assert_eq!(rule(&of_type(ACCOUNT_DISABLED)), "type_not_requested");
    // And it is so: two streams, of which one has no preference.
    let operator = scene.instance.operator();
    assert_eq!(scene.tenant.publish(&operator, &[of_type(SESSION_REVOKED)]), 0);
    assert_eq!(scene.tenant.publish(&operator, &[of_type(ACCOUNT_DISABLED)]), 1);
    assert_eq!(waiting(&scene), 0);
}

#[test]
fn an_event_for_a_disabled_stream_is_lost_and_for_a_paused_one_it_is_held() {
    let scene = Scene::with_everybody();
    let operator = scene.instance.operator();
    operate(&scene, &json!({"status": "disabled", "reason": "storage work"}));
    let explained = scene.explain(&of_type(SESSION_REVOKED));
    // SSF-8.1.2.1-3
    assert_eq!(
        (&explained["rule"], &explained["delivered"], &explained["held"]),
        (&json!("stream_disabled"), &json!(false), &json!(false))
    );
    assert_eq!(
        (&explained["status"], &explained["reason"]),
        (&json!("disabled"), &json!("storage work"))
    );
    assert_eq!(scene.tenant.publish(&operator, &[of_type(SESSION_REVOKED)]), 0);

    operate(&scene, &json!({"status": "paused", "reason": "more work"}));
    let explained = scene.explain(&of_type(SESSION_REVOKED));
    // SSF-8.1.2.1-2
    assert_eq!(
        (&explained["rule"], &explained["delivered"], &explained["held"]),
        (&json!("subject_default"), &json!(true), &json!(true))
    );
    assert_eq!(
        (&explained["status"], &explained["reason"]),
        (&json!("paused"), &json!("more work"))
    );
    // Held is what would be delivered, and nothing else.
    scene.remove(&email("bob@quarry.example"));
    let mut other = of_type(SESSION_REVOKED);
    other["sub_id"] = email("bob@quarry.example");
    let explained = scene.explain(&other);
    assert_eq!(
        (&explained["delivered"], &explained["held"]),
        (&json!(false), &json!(false))
    );

    assert_eq!(scene.tenant.publish(&operator, &[of_type(SESSION_REVOKED)]), 1);
    assert_eq!(waiting(&scene), 0);
    operate(&scene, &json!({"status": "enabled"}));
    assert_eq!(waiting(&scene), 1, "the one of the pause, not the one before");
    let explained = scene.explain(&of_type(SESSION_REVOKED));
    assert_eq!(
        (&explained["status"], &explained["held"]),
        (&json!("enabled"), &json!(false))
    );
    assert_eq!(explained.get("reason"), None);
}

#[test]
fn an_event_for_an_endpoint_that_asked_us_to_wait_is_held() {
    let scene = Scene::with_everybody();
    let receiver = ScriptedReceiver::start();
    receiver.otherwise(Reply::status(503).header("retry-after", "3600"));
    let client = scene
        .tenant
        .receiver(&scene.instance, &json!({"push_endpoints": [receiver.url("/")]}));
    let stream = client.push_stream(&receiver.url("/events"));
    let path = stream.admin_path("/explain");
    let explain = || {
        scene
            .instance
            .operator()
            .post_json(&path, &of_type(SESSION_REVOKED), 200)
    };
    assert_eq!(explain()["held"], json!(false));
    scene
        .tenant
        .publish(&scene.instance.operator(), &[of_type(SESSION_REVOKED)]);
    let explained = eventually("the stream waits", || {
        Some(explain()).filter(|explained| explained["held"] == json!(true))
    });
    assert_eq!(
        (&explained["delivered"], &explained["status"]),
        (&json!(true), &json!("paused"))
    );
    assert!(explained["reason"].is_string(), "{explained}");
}

#[test]
fn an_explanation_is_of_one_event_as_it_would_be_published_and_leaves_no_trace() {
    let scene = Scene::with_everybody();
    let before = scene.stream.health(&scene.instance);
    let written = |health: &Value| health["rows_written"].as_u64().expect("a number");
    for _ in 0..3 {
        let explained = scene.explain(&event("evt-1", ANA));
        assert_eq!(explained["delivered"], json!(true));
    }
    let after = scene.stream.health(&scene.instance);
    assert_eq!(written(&after), written(&before), "nothing is written");
    assert_eq!(after["queued_events"], json!(0));
    assert_eq!(scene.stream.poll_now(), []);
    // The id is free still.
    let mut other = event("evt-1", "bob@example.com");
    other["sub_id"] = email(ANA);
    assert_eq!(scene.tenant.publish(&scene.instance.operator(), &[other]), 1);

    let path = scene.stream.admin_path("/explain");
    let mut wrong_subject = event("evt-1", ANA);
    wrong_subject["sub_id"] = json!({"format": "email"});
    let mut own_type = event("evt-1", ANA);
    own_type["type"] = json!("https://schemas.openid.net/secevent/ssf/event-type/verification");
    for (body, pointer) in [
        (json!([]), ""),
        (json!({"events": [event("evt-1", ANA)]}), "/events"),
        (json!({"sub_id": email(ANA)}), "/type"),
        (json!({"type": SESSION_REVOKED}), "/sub_id"),
        (wrong_subject, "/sub_id/email"),
        (own_type, "/type"),
        (
            json!({"type": CREDENTIAL_CHANGE, "sub_id": email(ANA), "event": {}}),
            "/event/credential_type",
        ),
    ] {
        let refused = scene.instance.operator().send_json("POST", &path, &body, 400);
        assert_eq!(pointer_of(&refused), pointer, "{body}");
    }
}
