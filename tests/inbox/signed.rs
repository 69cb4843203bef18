//! Signatures of CloudEvents that come in (Standard Webhooks).

use serde_json::json;

use crate::cloudevents::{BATCHED, STRUCTURED, cloud_event, signature};
use crate::harness::{Answer, Options};
use crate::outbox::now_ms;

use super::cloudevents::Line;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Sends with these three headers.
#[track_caller]
fn send(line: &Line, id: &str, timestamp: &str, signatures: &str, body: &str, expected: u16) -> Answer {
    let headers = [
        ("content-type", STRUCTURED),
        ("webhook-id", id),
        ("webhook-timestamp", timestamp),
        ("webhook-signature", signatures),
    ];
    line.send(&headers, body, expected)
}

fn now_s() -> i64 {
    i64::try_from(now_ms() / 1000).expect("a time of this century")
}

/// SW-7: every entry is tried, other versions are passed over, and the time counts.
#[test]
fn only_what_is_signed_with_the_secret_and_now_is_taken() {
    let line = Line::start(Options::default(), &json!({"webhook_secret": SECRET}));
    let shown = line.show();
    assert!(
        shown["webhook_secret_id"].is_string() && !shown.to_string().contains("whsec_"),
        "{shown}"
    );
    let body = cloud_event("1", "ana@example.com").to_string();
    let at = now_s().to_string();
    let sign =
        |secret: &str, id: &str, at: &str, body: &str| format!("v1,{}", signature(secret, id, at, body.as_bytes()));
    let right = sign(SECRET, "m1", &at, &body);
    let refused = |answer: Answer| assert_eq!(answer.json()["err"], json!("authentication_failed"), "{answer}");
    for (id, timestamp, signatures, body) in [
        ("m1", &*at, "", &*body),
        ("m1", &at, &sign(OTHER, "m1", &at, &body), &body),
        ("m1", &at, &sign(SECRET, "m2", &at, &body), &body),
        ("m1", &at, &right, &body.replace("ana", "eve")),
        ("m1", &at, &right.replace("v1,", "v2,"), &body),
        ("m1", "now", &right, &body),
        ("m.1", &at, &sign(SECRET, "m.1", &at, &body), &body),
    ] {
        refused(send(&line, id, timestamp, signatures, body, 400));
    }
    for far in [now_s() - 400, now_s() + 400] {
        let far = far.to_string();
        refused(send(&line, "m1", &far, &sign(SECRET, "m1", &far, &body), &body, 400));
    }
    refused(line.structured(&cloud_event("1", "ana@example.com"), 400));
    assert_eq!(line.source.jtis(&line.instance), [] as [String; 0]);

    let many = format!("v1a,AAAA {} v1,!!! {right}", sign(OTHER, "m1", &at, &body));
    send(&line, "m1", &at, &many, &body, 202);
    // Near enough.
    let near = (now_s() - 200).to_string();
    send(&line, "m1", &near, &sign(SECRET, "m1", &near, &body), &body, 202);
    let batch = json!([cloud_event("2", "ana@example.com"), cloud_event("3", "ana@example.com")]).to_string();
    let headers = [
        ("content-type", BATCHED),
        ("webhook-id", "batch"),
        ("webhook-timestamp", &*at),
        ("webhook-signature", &*sign(SECRET, "batch", &at, &batch)),
    ];
    line.send(&headers, &batch, 202);
    let inbox = line.source.inbox(&line.instance);
    assert_eq!(line.source.jtis(&line.instance), ["1", "2", "3"]);
    assert_eq!(inbox[0]["intake"]["alg"], json!("v1"));
}

#[test]
fn the_secret_is_changed_and_taken_back() {
    let line = Line::start(Options::default(), &json!({"webhook_secret": SECRET}));
    let before = line.show()["webhook_secret_id"].clone();
    let send_with = |secret: &str, event: &str, expected: u16| {
        let body = cloud_event(event, "ana@example.com").to_string();
        let at = now_s().to_string();
        let signed = format!("v1,{}", signature(secret, event, &at, body.as_bytes()));
        send(&line, event, &at, &signed, &body, expected);
    };
    send_with(SECRET, "1", 202);
    let operator = line.instance.operator();
    let changed = operator.patch_json(&line.source.path(), &json!({"webhook_secret": OTHER}), 200);
    assert_ne!(changed["webhook_secret_id"], before);
    send_with(SECRET, "2", 400);
    send_with(OTHER, "3", 202);
    operator.patch_json(&line.source.path(), &json!({"webhook_secret": null}), 200);
    line.structured(&cloud_event("4", "ana@example.com"), 202);
    assert_eq!(line.source.jtis(&line.instance), ["1", "3", "4"]);
}

/// It is in no file of the data folder as it was given, and not in the log.
#[test]
fn the_secret_is_nowhere_to_be_read() {
    let mut line = Line::start(Options::default(), &json!({"webhook_secret": SECRET}));
    line.instance.kill();
    let secret = SECRET.trim_start_matches("whsec_").as_bytes();
    let mut folders = vec![line.instance.data_dir().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap_or_default();
            files += 1;
            assert!(
                !bytes.windows(secret.len()).any(|window| window == secret),
                "{}",
                path.display()
            );
        }
    }
    assert!(files > 3);
}
