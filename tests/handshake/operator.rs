//! The operator's hand on a consent: asking, granting and revoking it, and everything that became of it before.

use serde_json::{Value, json};

use crate::harness::{Reply, ScriptedReceiver, eventually};
use crate::support::{assert_problem, pointer_of};

use super::{World, assert_members, callback_of, consent, later, now_ms, pushed, soon};

#[test]
fn an_operator_grants_at_a_rate_or_at_what_was_asked_for() {
    let world = World::start(soon());
    for reply in [later(), Reply::status(405), Reply::status(403), Reply::status(503)] {
        for (members, rate) in [
            (json!({"action": "grant"}), json!(600)),
            (json!({"action": "grant", "allowed_rate": 300}), json!(300)),
            (json!({"action": "grant", "allowed_rate": "*"}), json!("*")),
        ] {
            let (endpoint, asked) = world.asked(reply.clone());
            let callback = callback_of(&endpoint.wait_for_ask(1));
            asked.wait_for_exchange();
            world.publish(&["a1"]);
            let before = now_ms();
            let granted = asked.decide(&members, 200).json();
            let expected = json!({"state": "granted", "via": "operator", "allowed_rate": rate, "handshake": null});
            assert_members(&granted, &expected, "the answer");
            let at = granted["granted_at"].as_u64().expect("an instant");
            assert!((before..=now_ms()).contains(&at), "{granted}");
            assert_eq!(granted["expires_at"], json!(at + 30 * 86_400_000));
            let expected = json!({"state": "granted", "via": "operator", "allowed_rate": rate, "requested_rate": 600});
            assert_members(&granted["history"][0], &expected, "the history");
            // There is no question any more that could be answered.
            asked.call("POST", &callback, 404);
            asked.wait_until_idle();
            eventually("it arrived", || (pushed(&endpoint).len() == 1).then_some(()));
            asked.stream.delete();
        }
    }
}

#[test]
fn an_operator_revokes_a_consent_and_nothing_follows() {
    let world = World::start(soon());
    for (members, reason) in [
        (
            json!({"action": "revoke", "reason": "a complaint"}),
            json!("a complaint"),
        ),
        (json!({"action": "revoke"}), Value::Null),
    ] {
        let (endpoint, asked) = world.asked(later());
        let callback = callback_of(&endpoint.wait_for_ask(1));
        asked.call("GET", &callback, 200);
        let revoked = asked.decide(&members, 200).json();
        let expected = json!({
            "state": "denied", "via": "operator", "allowed_rate": null, "granted_at": null, "expires_at": null,
            "handshake": null, "pace": null, "detail": reason,
        });
        assert_members(&revoked, &expected, "the answer");
        let expected = json!({"state": "denied", "via": "operator", "allowed_rate": null, "detail": reason});
        assert_members(&revoked["history"][0], &expected, "the history");
        asked.call("POST", &callback, 404);
        world.publish(&["a1"]);
        assert_eq!(asked.queued(), 1);
        assert!(asked.is_held());
        // Its receiver may have the endpoint asked, which decides for itself.
        endpoint.otherwise_consent(consent("*"));
        asked.stream.try_status(&json!({"status": "enabled"}), 202);
        asked.wait_for("granted");
        endpoint.wait_for_push(1);
        asked.stream.delete();
    }
}

/// WH-4-2: who agreed already is asked, too, and his old word counts until he answers.
#[test]
fn an_operator_has_an_endpoint_asked() {
    let world = World::start(soon());
    let (endpoint, asked) = world.agreed("600");
    let gate = endpoint.then_consent_held(consent("1000"));
    let answer = asked.decide(&json!({"action": "ask"}), 202).json();
    assert_members(&answer, &json!({"state": "granted", "allowed_rate": 600}), "the answer");
    assert!(answer["handshake"]["callback_until"].is_u64(), "{answer}");
    endpoint.wait_for_ask(2);
    world.publish(&["a1"]);
    endpoint.wait_for_push(1);
    assert_eq!(asked.grant()["allowed_rate"], json!(600));
    gate.open();
    asked.wait_until("it is asked", |grant| grant["allowed_rate"] == 1000);

    for (reply, state) in [(Reply::status(403), "denied"), (Reply::status(404), "unsupported")] {
        let (reluctant, asked) = world.asked(reply);
        asked.wait_for(state);
        reluctant.otherwise_consent(later());
        let answer = asked.decide(&json!({"action": "ask"}), 202).json();
        assert_members(
            &answer,
            &json!({"state": "pending", "via": null, "detail": null}),
            "the answer",
        );
        asked.call("POST", &callback_of(&reluctant.wait_for_ask(2)), 200);
    }
    // A stronger word than that of somebody who could not answer.
    let (busy, asked) = world.asked(Reply::status(503));
    busy.wait_for_ask(2);
    busy.otherwise_consent(consent("5"));
    asked.decide(&json!({"action": "ask"}), 202);
    asked.wait_for("granted");
}

#[test]
fn everything_that_became_of_a_consent_is_remembered() {
    let mut world = World::start(soon());
    let endpoint = ScriptedReceiver::start();
    endpoint
        .then_consent(consent("120"))
        .otherwise_consent(Reply::status(405));
    let asked = world.asked_at(&endpoint.url("/events"));
    asked.wait_for("granted");
    asked.decide(&json!({"action": "revoke", "reason": "an audit"}), 200);
    asked.decide(&json!({"action": "ask"}), 202);
    asked.wait_for("unsupported");
    asked.call("GET", &callback_of(&endpoint.wait_for_ask(2)), 200);
    asked.decide(&json!({"action": "grant", "allowed_rate": 30}), 200);
    let url = endpoint.url("/events");
    let history = asked.grant()["history"].clone();
    let rows = history.as_array().expect("an array");
    let expected = [
        json!(["granted", "operator", 30]),
        json!(["granted", "callback_get", 600]),
        json!(["unsupported", "options", null]),
        json!(["pending", null, null]),
        json!(["denied", "operator", null]),
        json!(["granted", "options", 120]),
        json!(["pending", null, null]),
    ];
    let brief = |row: &Value| json!([row["state"], row["via"], row["allowed_rate"]]);
    assert_eq!(rows.iter().map(brief).collect::<Vec<_>>(), expected, "{history}");
    assert!(rows.iter().all(|row| row["endpoint_url"] == url.as_str()), "{history}");
    assert!(
        rows.windows(2)
            .all(|pair| pair[0]["at"].as_u64() >= pair[1]["at"].as_u64()),
        "{history}"
    );
    assert_eq!(rows[4]["detail"], json!("an audit"));
    world.instance.restart();
    assert_eq!(asked.grant()["history"], history);
}

#[test]
fn the_last_fifty_changes_are_remembered() {
    let world = World::start(soon());
    let (_endpoint, asked) = world.agreed("*");
    for rate in 1..=60 {
        asked.decide(&json!({"action": "grant", "allowed_rate": rate}), 200);
    }
    let grant = asked.grant();
    let rates: Vec<u64> = grant["history"]
        .as_array()
        .expect("an array")
        .iter()
        .filter_map(|row| row["allowed_rate"].as_u64())
        .collect();
    assert_eq!(rates, (11..=60).rev().collect::<Vec<u64>>());
}

#[test]
fn what_is_no_decision_is_refused_with_its_place() {
    let world = World::start(soon());
    let (endpoint, asked) = world.asked(Reply::status(403));
    asked.wait_for("denied");
    for (request, pointer) in [
        (json!([]), ""),
        (json!({}), "/action"),
        (json!({"action": null}), "/action"),
        (json!({"action": "allow"}), "/action"),
        (json!({"action": "Ask"}), "/action"),
        (json!({"action": "ask", "allowed_rate": 5}), "/allowed_rate"),
        (json!({"action": "ask", "reason": "why"}), "/reason"),
        (json!({"action": "grant", "reason": "why"}), "/reason"),
        (json!({"action": "grant", "allowed_rate": 0}), "/allowed_rate"),
        (json!({"action": "grant", "allowed_rate": -1}), "/allowed_rate"),
        (json!({"action": "grant", "allowed_rate": 1.5}), "/allowed_rate"),
        (json!({"action": "grant", "allowed_rate": 1_000_001}), "/allowed_rate"),
        (json!({"action": "grant", "allowed_rate": "60"}), "/allowed_rate"),
        (json!({"action": "grant", "allowed_rate": true}), "/allowed_rate"),
        (json!({"action": "revoke", "allowed_rate": 5}), "/allowed_rate"),
        (json!({"action": "revoke", "reason": 5}), "/reason"),
        (json!({"action": "revoke", "why": "x"}), "/why"),
    ] {
        let answer = asked.decide(&request, 400);
        assert_problem(&answer, 400);
        let found = answer.json()["pointer"].as_str().unwrap_or_default().to_owned();
        assert_eq!(found, pointer, "{request}");
    }
    let long = json!({"action": "revoke", "reason": "x".repeat(100_000)});
    assert_eq!(pointer_of(&asked.decide(&long, 400)), "/reason");
    assert_eq!(asked.grant()["state"], json!("denied"));
    assert_eq!(endpoint.asks().len(), 1);
}

#[test]
fn only_the_operator_sees_and_decides() {
    let world = World::start(soon());
    let (_endpoint, asked) = world.asked(Reply::status(403));
    let path = asked.grant_path();
    let grant = json!({"action": "grant"});
    for (client, status) in [(world.instance.anyone(), 401), (world.receiver.api.clone(), 401)] {
        assert_problem(&client.send("GET", &path, &[], b"", status), status);
        assert_problem(&client.send_json("POST", &path, &grant, status), status);
    }
    for id in ["0".repeat(64), "x".to_owned()] {
        let path = format!("/admin/streams/{id}/grant");
        let operator = world.tenant.operator();
        assert_problem(&operator.send("GET", &path, &[], b"", 404), 404);
        assert_problem(&operator.send_json("POST", &path, &grant, 404), 404);
    }
    // A stream of another tenant is none.
    let tenant = crate::manage::Tenant::create(&world.instance, &json!({}));
    let elsewhere = tenant.path(&path);
    world.tenant.operator().get(&elsewhere, 404);
    world.tenant.operator().send_json("POST", &elsewhere, &grant, 404);
    asked.wait_for("denied");
}
