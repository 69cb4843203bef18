//! What each answer to the question leads to (WH-4-6, WH-4.2-6, WH-4.2-9).

use serde_json::{Value, json};

use crate::harness::{Reply, ScriptedReceiver, eventually};

use super::{Asked, ORIGIN, World, assert_members, callback_of, consent, later, pushed, soon};

/// Consent that is due to be ignored, for the status that it comes with.
fn with_consent(status: u16) -> Reply {
    Reply::status(status)
        .header("webhook-allowed-origin", ORIGIN)
        .header("webhook-allowed-rate", "120")
}

fn for_another(status: u16) -> Reply {
    Reply::status(status)
        .header("webhook-allowed-origin", "somebody.example")
        .header("webhook-allowed-rate", "120")
}

/// What an answer is expected to lead to.
#[derive(Clone, Debug)]
enum Leads {
    /// At this rate, with words about it or without.
    Granted(Value, bool),
    Later,
    Denied,
    Unsupported,
    Again,
}

fn rows() -> Vec<(String, Reply, Leads)> {
    let mut rows = Vec::new();
    let mut row = |what: &str, reply: Reply, leads: Leads| rows.push((what.to_owned(), reply, leads));

    for status in [200, 201, 202, 204] {
        row(
            &format!("{status} with consent"),
            with_consent(status),
            Leads::Granted(json!(120), false),
        );
    }
    row("any number", consent("*"), Leads::Granted(json!("*"), false));
    row(
        "anybody",
        Reply::status(200)
            .header("webhook-allowed-origin", "*")
            .header("webhook-allowed-rate", "5"),
        Leads::Granted(json!(5), false),
    );
    // WH-4.2-13
    row(
        "no rate",
        Reply::status(200).header("webhook-allowed-origin", ORIGIN),
        Leads::Granted(json!(60), true),
    );

    // WH-4.2-6: a status is no consent.
    for status in [200, 202, 204] {
        row(&format!("{status} alone"), Reply::status(status), Leads::Later);
    }
    row("a body that agrees", later().body(r#"{"consent": true}"#), Leads::Later);
    row(
        "a rate and no name",
        Reply::status(200).header("webhook-allowed-rate", "120"),
        Leads::Later,
    );

    // WH-4-6, WH-4.2-9
    row("another name", for_another(200), Leads::Denied);
    for status in [401, 403, 410] {
        row(&format!("{status} alone"), Reply::status(status), Leads::Denied);
        row(&format!("{status} with consent"), with_consent(status), Leads::Denied);
        row(&format!("{status} for another"), for_another(status), Leads::Denied);
    }

    for status in [400, 402, 404, 405, 406, 409, 415, 418, 421, 422, 451, 501] {
        row(&format!("{status} alone"), Reply::status(status), Leads::Unsupported);
    }
    for status in [301, 302, 307, 308, 404, 405, 501] {
        row(
            &format!("{status} with consent"),
            with_consent(status),
            Leads::Unsupported,
        );
        row(
            &format!("{status} for another"),
            for_another(status),
            Leads::Unsupported,
        );
    }

    for status in [408, 425, 429, 500, 502, 503, 504, 599] {
        row(&format!("{status} alone"), Reply::status(status), Leads::Again);
        row(&format!("{status} with consent"), with_consent(status), Leads::Again);
    }
    row("503 for another", for_another(503), Leads::Again);
    row("no answer", Reply::Close, Leads::Again);
    row("a reset", Reply::Reset, Leads::Again);
    rows
}

/// T-H-03: WH-4-6, WH-4.2-6, WH-4.2-7, WH-4.2-9, WH-4.2-13
#[test]
fn each_answer_leads_where_it_should() {
    let world = World::start(soon());
    for (what, reply, leads) in rows() {
        let endpoint = ScriptedReceiver::start();
        endpoint.otherwise_consent(reply);
        let asked = world.asked_at(&endpoint.url("/events"));
        world.publish(&["a1"]);
        let callback = callback_of(&endpoint.wait_for_ask(1));
        match leads {
            Leads::Granted(rate, has_words) => granted(&what, &asked, &rate, has_words),
            Leads::Later => {
                let grant = asked.wait_for_exchange();
                assert_members(&grant, &json!({"state": "pending", "via": null}), &what);
                waits(&what, &endpoint, &asked);
                // Nobody is pestered who may still call back.
                assert_eq!(grant["handshake"]["next_attempt_at"], Value::Null, "{what}");
                asked.call("GET", &callback, 200);
            }
            Leads::Denied => {
                asked.wait_for("denied");
                waits(&what, &endpoint, &asked);
                // A refusal is final: the callback that came with the question is void.
                asked.call("POST", &callback, 404);
                assert_eq!(asked.grant()["state"], json!("denied"), "{what}");
                assert_eq!(asked.grant()["handshake"], Value::Null, "{what}");
                assert_eq!(endpoint.asks().len(), 1, "{what}");
                asked.decide(&json!({"action": "grant"}), 200);
            }
            Leads::Unsupported => {
                asked.wait_for("unsupported");
                waits(&what, &endpoint, &asked);
                assert_eq!(endpoint.asks().len(), 1, "{what}");
                asked.call("POST", &callback, 200);
            }
            Leads::Again => {
                endpoint.wait_for_ask(2);
                waits(&what, &endpoint, &asked);
                assert_eq!(asked.grant()["state"], json!("pending"), "{what}");
                endpoint.otherwise_consent(consent("60"));
            }
        }
        let grant = asked.wait_for("granted");
        assert_eq!(grant["history"][0]["state"], json!("granted"), "{what}");
        asked.wait_until_idle();
        eventually("it arrived", || (endpoint.pushes().len() == 1).then_some(()));
        assert_eq!(crate::outbox::ids(&pushed(&endpoint)), ["a1"], "{what}");
        assert_eq!(asked.stream.health()["hold"], Value::Null, "{what}");
        asked.stream.delete();
    }
}

#[track_caller]
fn granted(what: &str, asked: &Asked, rate: &Value, has_words: bool) {
    let grant = asked.wait_for("granted");
    let expected = json!({"via": "options", "allowed_rate": rate, "requested_rate": 600, "handshake": null});
    assert_members(&grant, &expected, what);
    assert_eq!(grant["detail"].is_string(), has_words, "{what}: {grant}");
    let (granted_at, expires_at) = (grant["granted_at"].as_u64(), grant["expires_at"].as_u64());
    // WH-4-2: thirty days.
    assert_eq!(expires_at, granted_at.map(|at| at + 30 * 86_400_000), "{what}");
    let health = asked.stream.health();
    assert_eq!(
        health["grant"],
        json!({"state": "granted", "allowed_rate": rate}),
        "{what}"
    );
}

/// WH-4-5, T-H-08: nothing leaves, and everybody can see why.
#[track_caller]
fn waits(what: &str, endpoint: &ScriptedReceiver, asked: &Asked) {
    let grant = asked.grant();
    let nothing = json!({"allowed_rate": null, "granted_at": null, "expires_at": null, "pace": null});
    assert_members(&grant, &nothing, what);
    assert_eq!(grant["history"][0]["state"], grant["state"], "{what}: {grant}");
    let health = asked.stream.health();
    let expected = json!({"reason": "consent", "since": grant["since"], "until": null});
    assert_eq!(health["hold"], expected, "{what}");
    let expected = json!({"state": grant["state"], "allowed_rate": null});
    assert_eq!(health["grant"], expected, "{what}");
    let status = asked.stream.status();
    assert_eq!(status["status"], json!("paused"), "{what}");
    assert!(
        status["reason"]
            .as_str()
            .is_some_and(|why| why.contains("agree") || why.contains("consent"))
    );
    assert_eq!(endpoint.pushes().len(), 0, "{what}");
}

/// What was asked and answered is there to be looked at, but for the callback's secret.
#[test]
fn the_last_exchange_can_be_seen() {
    let world = World::start(soon());
    let (endpoint, asked) = world.asked(
        Reply::status(403)
            .header("allow", "POST")
            .header("x-why", "we do not know you"),
    );
    let grant = asked.wait_for("denied");
    let ask = endpoint.wait_for_ask(1);
    let exchange = &grant["exchange"];
    assert_members(
        &exchange["request"],
        &json!({"method": "OPTIONS", "url": endpoint.url("/events")}),
        "the request",
    );
    let place = world.instance.url(&format!("/handshake/{}/***", asked.stream.id));
    for (name, value) in [
        ("webhook-request-origin", ORIGIN),
        ("webhook-request-rate", "600"),
        ("webhook-request-callback", &place),
        ("user-agent", ask.header("user-agent").expect("WH-2.1-10")),
    ] {
        let headers = exchange["request"]["headers"].as_array().expect("an array");
        assert!(headers.contains(&json!([name, value])), "{exchange}");
    }
    assert_eq!(exchange["response"]["status"], json!(403));
    let headers = exchange["response"]["headers"].as_array().expect("an array");
    assert!(headers.contains(&json!(["x-why", "we do not know you"])), "{exchange}");
    assert_eq!(exchange["error"], Value::Null);
    assert!(exchange["at"].is_u64() && exchange["ms"].is_u64(), "{exchange}");

    let (_endpoint, unreachable) = world.asked(Reply::Close);
    let exchange = &unreachable.wait_for_exchange()["exchange"];
    assert_eq!(exchange["response"], Value::Null);
    assert!(exchange["error"].is_string(), "{exchange}");
}

/// WH-2.2-2, WH-4.1-12, SS-15
#[test]
fn no_redirect_of_a_question_is_followed() {
    let world = World::start(soon());
    let elsewhere = ScriptedReceiver::start();
    elsewhere.otherwise_consent(consent("*"));
    for status in [300, 301, 302, 303, 307, 308] {
        for location in [elsewhere.url("/events"), "/other".to_owned()] {
            let reply = Reply::status(status)
                .header("location", &location)
                .header("webhook-allowed-origin", ORIGIN)
                .header("webhook-allowed-rate", "*");
            let (endpoint, asked) = world.asked(reply);
            asked.wait_for("unsupported");
            let seen = endpoint.requests();
            assert_eq!(seen.len(), 1, "{status}: {seen:?}");
            asked.stream.delete();
        }
    }
    assert_eq!(elsewhere.requests().len(), 0);
}
