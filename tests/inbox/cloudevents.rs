//! A source whose events are CloudEvents: in each mode, from whom, and each once.

use serde_json::{Value, json};

use crate::cloudevents::{BATCHED, STRUCTURED, cloud_event, headers_of, with, without};
use crate::harness::{Answer, Instance, Options};
use crate::support::{ACME_AUDIENCE, Source, pointer_of};

/// Whose events `cloud_event` makes.
pub const ISSUER: &str = "https://idp.example.com/tenants/9";

/// An instance with such a source.
pub struct Line {
    pub instance: Instance,
    pub source: Source,
}

impl Line {
    #[track_caller]
    pub fn start(options: Options, members: &Value) -> Self {
        let instance = Instance::start(options);
        let mut request = json!({"issuer": ISSUER, "audience": ACME_AUDIENCE, "envelope": "cloudevent"});
        for (name, value) in members.as_object().expect("members are an object") {
            request[name] = value.clone();
        }
        let source = Source::create(&instance, &request);
        Self { instance, source }
    }

    /// Sends any body with the source's credentials.
    #[track_caller]
    pub fn send(&self, headers: &[(&str, &str)], body: &str, expected: u16) -> Answer {
        let client = self.source.transmitter(&self.instance);
        client.send("POST", &self.source.receive_path(), headers, body.as_bytes(), expected)
    }

    #[track_caller]
    pub fn structured(&self, event: &Value, expected: u16) -> Answer {
        self.send(&[("content-type", STRUCTURED)], &event.to_string(), expected)
    }

    #[track_caller]
    pub fn show(&self) -> Value {
        self.instance.operator().get(&self.source.path(), 200)
    }
}

#[test]
fn events_come_in_each_mode_and_each_is_stored_once() {
    let line = Line::start(Options::default(), &json!({}));
    let event = |id: &str| with(&cloud_event(id, "ana@example.com"), "vendor", "x");
    let answer = line.structured(&event("s"), 202);
    assert_eq!(answer.text(), "");
    let binary = event("b");
    let headers = headers_of(&binary);
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    line.send(&headers, &binary["data"].to_string(), 202);
    let batch = json!([event("c1"), event("s"), event("c2")]);
    line.send(&[("content-type", BATCHED)], &batch.to_string(), 202);
    line.send(&[("content-type", BATCHED)], "[]", 202);
    // The identity is `source` and `id` (CE-1-2).
    line.structured(&event("s"), 202);
    line.structured(&with(&event("s"), "source", format!("{ISSUER}/other")), 202);
    let inbox = line.source.inbox(&line.instance);
    let ids: Vec<&str> = inbox
        .iter()
        .map(|event| event["jti"].as_str().expect("an id"))
        .collect();
    assert_eq!(ids, ["s", "b", "c1", "c2", "s"]);
    let (sent, stored) = (event("s"), &inbox[0]);
    for (name, value) in [
        ("iss", &sent["source"]),
        ("type", &sent["type"]),
        ("sub_id", &sent["data"]["sub_id"]),
        ("event", &sent["data"]["event"]),
        ("txn", &sent["data"]["txn"]),
        ("toe", &json!(1_795_263_000)),
        ("iat", &Value::Null),
        ("sequence", &Value::Null),
    ] {
        assert_eq!(&stored[name], value, "{name}");
    }
    assert_eq!(stored["cloudevent"], json!(sent.to_string()), "as it was received");
    assert_eq!((&stored["intake"]["alg"], stored.get("set")), (&json!("none"), None));
    for (at, id) in [(1, "b"), (2, "c1")] {
        let raw = inbox[at]["cloudevent"].as_str().expect("a document");
        assert_eq!(
            serde_json::from_str::<Value>(raw).expect("JSON"),
            event(id),
            "all of it"
        );
    }
    // They are found like all others.
    let subject = super::query(&[("subject", r#"{"format":"email","email":"ana@example.com"}"#)]);
    assert_eq!(super::jtis(&line.source.page(&line.instance, &subject)).len(), 5);
}

#[test]
fn what_is_no_event_of_this_issuer_is_refused_as_a_set_would_be() {
    let line = Line::start(Options::default(), &json!({}));
    let good = cloud_event("1", "ana@example.com");
    let data = |data: Value| with(&good, "data", data);
    let subject = good["data"]["sub_id"].clone();
    for (event, err) in [
        (
            with(&good, "source", "https://idp.example.com/tenants/99"),
            "invalid_issuer",
        ),
        (with(&good, "source", "https://idp.example.com"), "invalid_issuer"),
        (with(&good, "source", format!("{ISSUER}/../1")), "invalid_issuer"),
        (with(&good, "specversion", "0.3"), "invalid_request"),
        (without(&good, "id"), "invalid_request"),
        (without(&good, "type"), "invalid_request"),
        (without(&good, "data"), "invalid_request"),
        (data(json!({})), "invalid_request"),
        (data(json!({"sub_id": "ana"})), "invalid_request"),
        (data(json!({"sub_id": subject, "event": 5})), "invalid_request"),
        (
            data(json!({"sub_id": subject, "event": {"initiating_entity": "nobody"}})),
            "invalid_request",
        ),
        (json!([]), "invalid_request"),
    ] {
        let answer = line.structured(&event, 400);
        assert_eq!(answer.json()["err"], json!(err), "{event}");
    }
    // The body is the data, and with it what a signature is over: no header is.
    for (name, value) in [
        ("ce-data", good["data"].to_string()),
        ("ce-data_base64", "e30=".to_owned()),
    ] {
        let mut headers = headers_of(&good);
        headers.push((name.to_owned(), value));
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(line.send(&headers, "", 400).json()["err"], json!("invalid_request"));
    }
    // All of a batch, or none.
    let batch = json!([good, without(&good, "id")]).to_string();
    let answer = line.send(&[("content-type", BATCHED)], &batch, 400);
    assert!(
        answer.json()["description"]
            .as_str()
            .is_some_and(|text| text.contains("/1")),
        "{answer}"
    );
    line.send(&[("content-type", STRUCTURED)], "{", 400);
    line.send(&[("content-type", "application/cloudevents+avro")], "x", 415);
    line.send(&[("content-type", "application/json")], "{}", 415);
    line.send(&[("content-type", "application/secevent+jwt")], "a.b.c", 415);
    let stranger = line.instance.anyone().bearer("stranger");
    let headers = [("content-type", STRUCTURED)];
    let body = good.to_string();
    let answer = stranger.send("POST", &line.source.receive_path(), &headers, body.as_bytes(), 400);
    assert_eq!(answer.json()["err"], json!("authentication_failed"));
    assert_eq!(line.source.jtis(&line.instance), [] as [String; 0]);
    // Data may say more than we know.
    let more = json!({"sub_id": subject, "vendor": {"a": 1}});
    line.structured(&with(&data(more), "type", "com.vendor.thing"), 202);
}

#[test]
fn a_source_says_what_its_events_come_in() {
    let line = Line::start(Options::default(), &json!({}));
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let operator = line.instance.operator();
    let good = json!({"issuer": ISSUER, "audience": ACME_AUDIENCE, "envelope": "cloudevent"});
    for (name, value, pointer) in [
        ("envelope", json!("jwt"), "/envelope"),
        ("envelope", json!(null), "/envelope"),
        ("webhook_secret", json!("secret"), "/webhook_secret"),
        ("webhook_secret", json!(5), "/webhook_secret"),
        ("jwks", json!({"keys": []}), "/envelope"),
        ("sequence_gaps", json!(null), "/sequence_gaps"),
    ] {
        let answer = operator.send_json("POST", "/admin/sources", &with(&good, name, value.clone()), 400);
        assert_eq!(pointer_of(&answer), pointer, "{name} {value}");
    }
    let set = json!({"issuer": ISSUER, "audience": ACME_AUDIENCE, "webhook_secret": secret});
    let answer = operator.send_json("POST", "/admin/sources", &set, 400);
    assert_eq!(pointer_of(&answer), "/webhook_secret");
    for (patch, pointer) in [
        (json!({"sequence_gaps": []}), "/sequence_gaps"),
        (json!({"envelope": 5}), "/envelope"),
        (json!({"envelope": "set", "webhook_secret": secret}), "/webhook_secret"),
        (json!({"webhook_secret": "whsec_"}), "/webhook_secret"),
    ] {
        let answer = operator.send_json("PATCH", &line.source.path(), &patch, 400);
        assert_eq!(pointer_of(&answer), pointer, "{patch}");
    }
    let patch = |patch: Value| operator.patch_json(&line.source.path(), &patch, 200);
    assert!(patch(json!({"webhook_secret": secret}))["webhook_secret_id"].is_string());
    assert_eq!(patch(json!({"envelope": null}))["webhook_secret_id"], json!(null));
    // It takes SETs now, and no CloudEvents; and the other way round, at once.
    line.structured(&cloud_event("1", "ana@example.com"), 415);
    patch(json!({"envelope": "cloudevent"}));
    line.structured(&cloud_event("1", "ana@example.com"), 202);
}
