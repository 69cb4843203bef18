//! What is handed on: both forms, their signatures, their order, and what becomes of an endpoint's refusal.

use serde_json::{Value, json};

use crate::cloudevents::{STRUCTURED, assert_signed, header, pushed_to, verifies};
use crate::handshake::consent;
use crate::harness::{Reply, ScriptedReceiver, eventually};
use crate::support::{ACME_AUDIENCE, SESSION_REVOKED, Set};

use super::{Chain, of_subject, soon};

#[test]
fn an_event_goes_on_as_a_signed_cloudevent_of_its_issuer() {
    let chain = Chain::start(soon(), &json!({"authorization_header": "Bearer app"}));
    let draft = chain.transmitter.draft(ACME_AUDIENCE).claim("toe", 1_795_263_000);
    chain.source.push(&chain.instance, &draft.sign(), 202);
    let push = chain.endpoint.wait_for_push(1);
    assert_eq!(header(&push, "content-type"), STRUCTURED);
    assert_eq!(header(&push, "authorization"), "Bearer app");
    assert_signed(&push, &chain.secret());
    let claims = draft.claims();
    let event: Value = serde_json::from_str(push.text()).expect("JSON");
    assert_eq!(
        event,
        json!({
            "specversion": "1.0", "id": draft.jti(), "source": chain.transmitter.issuer(), "type": SESSION_REVOKED,
            "time": "2026-11-21T12:10:00Z", "sequence": "00000000000000000001", "datacontenttype": "application/json",
            "data": {"sub_id": claims["sub_id"], "event": claims["events"][SESSION_REVOKED], "txn": claims["txn"]},
        })
    );
    // Without a time of the event's own that of its SET is said.
    let second = chain.transmitter.draft(ACME_AUDIENCE);
    chain.source.push(&chain.instance, &second.sign(), 202);
    chain.endpoint.wait_for_push(2);
    let events = chain.arrived_at("/events");
    assert_eq!(events[1].sequence(), 2);
    assert!(events[1].text("time").starts_with("20"), "{:?}", events[1]);
    // A repeat is no second event.
    chain.source.push(&chain.instance, &second.sign(), 202);
    chain.receive_all(&["a1"]);
    chain.wait_for_ids(&["a1"]);
    assert_eq!(chain.ids(), [draft.jti(), second.jti(), "a1".to_owned()]);
}

#[test]
fn claims_go_on_byte_for_byte_and_signed() {
    let chain = Chain::start(soon(), &json!({"envelope": "claims"}));
    let set = chain.set("a1", "a@example.com");
    chain.source.push(&chain.instance, &set, 202);
    let push = chain.endpoint.wait_for_push(1);
    assert_eq!(header(&push, "content-type"), "application/json");
    assert_eq!(push.body, Set::decode(&set).claims_bytes);
    assert_signed(&push, &chain.secret());
    // What the operator sees of it.
    let deliveries = eventually("the delivery is on record", || {
        let deliveries = chain
            .operator()
            .get(&format!("{}/deliveries", chain.stream_path()), 200);
        (deliveries["deliveries"][0]["outcome"] == "delivered").then_some(deliveries)
    });
    assert_eq!(deliveries["deliveries"][0]["type"], json!(SESSION_REVOKED));
}

#[test]
fn the_same_id_on_every_attempt_and_order_for_each_subject() {
    let chain = Chain::start(soon(), &json!({}));
    for _ in 0..3 {
        chain.endpoint.then(Reply::status(503));
    }
    chain.receive_all(&["a1", "b1", "a2", "c1", "b2", "a3", "c2", "a4"]);
    let arrived = chain.wait_for_ids(&["a4", "b2", "c2"]);
    let mut last = arrived.clone();
    last.dedup();
    for (subject, expected) in [
        ('a', vec!["a1", "a2", "a3", "a4"]),
        ('b', vec!["b1", "b2"]),
        ('c', vec!["c1", "c2"]),
    ] {
        let mut of_it = of_subject(&arrived, subject);
        of_it.dedup();
        assert_eq!(of_it, expected, "{arrived:?}");
    }
    for push in chain.endpoint.pushes() {
        assert!(verifies(&push, &chain.secret()));
        let same: Vec<_> = chain
            .endpoint
            .pushes()
            .into_iter()
            .filter(|other| other.body == push.body)
            .collect();
        assert!(
            same.iter()
                .all(|other| header(other, "webhook-id") == header(&push, "webhook-id"))
        );
    }
    // The numbers are those of the order in which they came, without a hole.
    let mut numbers: Vec<u64> = chain
        .arrived_at("/events")
        .iter()
        .map(crate::cloudevents::Pushed::sequence)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (1..=8).collect::<Vec<u64>>());
}

#[test]
fn nothing_goes_on_before_the_endpoint_agreed_or_the_operator_did() {
    let endpoint = ScriptedReceiver::start();
    let chain = Chain::to(endpoint, soon(), &json!({}));
    chain.receive_all(&["a1", "b1"]);
    chain.endpoint.wait_for_ask(1);
    eventually("the refusal is known", || {
        (chain.health()["grant"]["state"] == "unsupported").then_some(())
    });
    eventually("both wait for consent", || {
        let health = chain.health();
        (health["queued_events"] == 2 && health["hold"]["reason"] == "consent").then_some(())
    });
    assert_eq!(chain.endpoint.pushes().len(), 0);
    chain.operator().post_json(
        &format!("{}/grant", chain.stream_path()),
        &json!({"action": "grant"}),
        200,
    );
    let mut arrived = chain.wait_for_ids(&["a1", "b1"]);
    arrived.sort();
    assert_eq!(arrived, ["a1", "b1"]);
}

#[test]
fn what_an_endpoint_refuses_for_good_is_a_dead_letter_that_can_be_sent_again() {
    let chain = Chain::start(soon(), &json!({}));
    let refused = json!({"err": "invalid_request", "description": "no thanks"});
    chain.endpoint.then(Reply::json(400, &refused));
    chain.receive_all(&["a1"]);
    let path = format!("{}/dead-letters", chain.stream_path());
    let letters = eventually("there is a dead letter", || {
        let letters = chain.operator().get(&path, 200);
        (letters["dead_letters"] != json!([])).then_some(letters)
    });
    let letter = &letters["dead_letters"][0];
    assert_eq!(
        (&letter["type"], &letter["sub_id"]["email"], &letter["err"]),
        (
            &json!(SESSION_REVOKED),
            &json!("a@example.com"),
            &json!("invalid_request")
        )
    );
    let jti = letter["jti"].as_str().expect("a jti");
    let whole = chain.operator().get(&format!("{path}/{jti}"), 200);
    assert_eq!(whole["claims"]["jti"], json!("a1"));
    chain.receive_all(&["b1"]);
    chain.wait_for_ids(&["b1"]);
    chain
        .operator()
        .post_json(&format!("{path}/redrive"), &json!({"all": true}), 200);
    eventually("it arrives", || (chain.ids() == ["a1", "b1", "a1"]).then_some(()));
    let first = chain.endpoint.pushes();
    assert_eq!(header(&first[0], "webhook-id"), header(&first[2], "webhook-id"));
}

#[test]
fn a_full_stream_holds_the_source_up_and_loses_nothing() {
    let endpoint = ScriptedReceiver::start();
    endpoint.otherwise_consent(Reply::status(503));
    let chain = Chain::to(endpoint, soon().set("OUTBOX_EVENTS", 3), &json!({}));
    let ids = ["a1", "b1", "c1", "d1", "e1", "f1", "g1"];
    chain.receive_all(&ids);
    let waiting = eventually("the source says that it waits", || chain.problem("forward_waiting"));
    assert!(
        waiting["detail"].as_str().is_some_and(|detail| detail.contains("full")),
        "{waiting}"
    );
    assert_eq!(chain.health()["queued_events"], json!(3));
    assert_eq!(
        chain.source.jtis(&chain.instance),
        ids,
        "the inbox takes in all the same"
    );
    chain.endpoint.otherwise_consent(consent("*"));
    let mut arrived = chain.wait_for_ids(&ids);
    arrived.sort();
    assert_eq!(arrived, ids);
    eventually("it waits no more", || {
        chain.problem("forward_waiting").is_none().then_some(())
    });
}

#[test]
fn what_a_stream_says_of_itself_stays_in_the_inbox() {
    let chain = Chain::start(soon(), &json!({}));
    for (id, event_type) in [
        ("v", "https://schemas.openid.net/secevent/ssf/event-type/verification"),
        ("u", "https://schemas.openid.net/secevent/ssf/event-type/stream-updated"),
    ] {
        let event = json!({event_type: {"status": "enabled"}});
        let event = if id == "v" { json!({event_type: {}}) } else { event };
        let draft = chain
            .transmitter
            .draft(ACME_AUDIENCE)
            .claim("jti", id)
            .claim("events", event);
        chain.source.push(&chain.instance, &draft.sign(), 202);
    }
    chain.receive_all(&["a1"]);
    assert_eq!(chain.wait_for_ids(&["a1"]), ["a1"]);
    assert_eq!(chain.source.jtis(&chain.instance), ["v", "u", "a1"]);
    // Nor does the stream that hands them on say anything of itself.
    let status = json!({"status": "paused"});
    chain.operator().patch_json(&chain.stream_path(), &status, 200);
    chain
        .operator()
        .patch_json(&chain.stream_path(), &json!({"status": "enabled"}), 200);
    chain.receive_all(&["a2"]);
    chain.wait_for_ids(&["a2"]);
    assert_eq!(pushed_to(&chain.endpoint, "/events").len(), 2);
}
