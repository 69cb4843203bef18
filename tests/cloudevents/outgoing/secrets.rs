//! The secret that signs a stream's CloudEvents: shown once, changed with an overlap, never seen elsewhere.

use std::collections::BTreeSet;

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use crate::harness::{Options, eventually};
use crate::outbox::now_ms;
use crate::support::{assert_problem, pointer_of};

use super::super::{Line, MODES, assert_signed, delivery, secret_in, signature_count, verifies};

/// Publishes one event and returns its push.
#[track_caller]
fn push_one(line: &Line, id: &str) -> crate::harness::Recorded {
    let here = || {
        let mut pushes = line.endpoint.requests();
        pushes.retain(|push| push.target == "/events");
        pushes
    };
    let before = here().len();
    line.publish(&[id]);
    line.wait_until_idle();
    let pushes = here();
    assert_eq!(pushes.len(), before + 1);
    pushes[before].clone()
}

#[track_caller]
fn new_secret(line: &Line, overlap_s: u64) -> String {
    let before = now_ms();
    let answer = line.rotate(&json!({"overlap_s": overlap_s}), 200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let answer = answer.json();
    let until = answer["old_until"].as_u64().expect("an instant");
    let expected = before + overlap_s * 1000..=now_ms() + overlap_s * 1000;
    assert!(expected.contains(&until), "{answer}");
    answer["secret"].as_str().expect("a secret").to_owned()
}

/// SW-5, SW-8: its own for each stream.
#[test]
fn each_stream_has_a_secret_of_its_own() {
    let line = Line::start(Options::default(), "structured");
    let mut secrets = BTreeSet::from([line.secret()]);
    for (number, mode) in MODES.into_iter().enumerate() {
        let mut delivery = delivery(&line.endpoint, &json!({"mode": mode}));
        delivery["endpoint_url"] = json!(line.endpoint.url(&format!("/{number}")));
        let stream = line.receiver.stream(&json!({"delivery": delivery}));
        secrets.insert(secret_in(&stream.configuration));
    }
    assert_eq!(secrets.len(), 4);
    line.publish(&["a1"]);
    line.wait_until_idle();
    for push in eventually("all four have it", || {
        Some(line.endpoint.requests()).filter(|pushes| pushes.len() == 4)
    }) {
        let matching: Vec<&String> = secrets.iter().filter(|secret| verifies(&push, secret)).collect();
        assert_eq!(matching.len(), 1, "{}", push.target);
    }
}

/// T-W-02: SW-6
#[test]
fn both_secrets_sign_while_they_overlap() {
    for mode in MODES {
        let line = Line::start(Options::default(), mode);
        let old = line.secret();
        assert_eq!(signature_count(&push_one(&line, "a1")), 1);
        let new = new_secret(&line, 3600);
        assert_ne!(old, new);
        let push = push_one(&line, "a2");
        assert_eq!(signature_count(&push), 2, "{mode}");
        assert_signed(&push, &new);
        assert_signed(&push, &old);
        // At most two old ones; the oldest goes.
        let newer = new_secret(&line, 3600);
        let newest = new_secret(&line, 3600);
        let push = push_one(&line, "a3");
        assert_eq!(signature_count(&push), 3, "{mode}");
        for secret in [&new, &newer, &newest] {
            assert_signed(&push, secret);
        }
        assert!(!verifies(&push, &old), "{mode}");
    }
}

#[test]
fn without_an_overlap_the_old_secret_ends_at_once() {
    let line = Line::start(Options::default(), "structured");
    let new = new_secret(&line, 0);
    let push = push_one(&line, "a1");
    assert_eq!(signature_count(&push), 1);
    assert_signed(&push, &new);
    assert!(!verifies(&push, &line.secret()));
}

#[test]
fn an_old_secret_ends_when_its_time_is_over() {
    // One run goes on all the time, so that what it began with does not change by itself.
    let line = Line::start(Options::default().set("LINGER_MS", 3000), "structured");
    let old = line.secret();
    let new = new_secret(&line, 2);
    let first = push_one(&line, "a0");
    assert!(verifies(&first, &old) && verifies(&first, &new));
    let mut number = 0;
    let alone = eventually("the old secret signs no more", || {
        number += 1;
        let push = push_one(&line, &format!("a{number}"));
        assert_signed(&push, &new);
        (!verifies(&push, &old)).then_some(push)
    });
    assert_eq!(signature_count(&alone), 1);
}

#[test]
fn a_day_is_the_overlap_that_nobody_chose() {
    let line = Line::start(Options::default(), "structured");
    let before = now_ms();
    let answer = line.rotate(&json!({}), 200).json();
    let until = answer["old_until"].as_u64().expect("an instant");
    assert!(
        (before + 86_400_000..=now_ms() + 86_400_000).contains(&until),
        "{answer}"
    );
}

#[test]
fn secrets_survive_a_restart() {
    let mut line = Line::start(Options::default(), "structured");
    let new = new_secret(&line, 604_800);
    line.instance.restart();
    let push = push_one(&line, "a1");
    assert_eq!(signature_count(&push), 2);
    assert_signed(&push, &new);
    assert_signed(&push, &line.secret());
}

#[test]
fn a_request_for_a_secret_that_is_none_is_refused() {
    let line = Line::start(Options::default(), "structured");
    for (request, pointer) in [
        (json!([]), ""),
        (json!({"overlap_s": -1}), "/overlap_s"),
        (json!({"overlap_s": 604_801}), "/overlap_s"),
        (json!({"overlap_s": 1.5}), "/overlap_s"),
        (json!({"overlap_s": "1"}), "/overlap_s"),
        (json!({"overlap": 1}), "/overlap"),
    ] {
        assert_eq!(pointer_of(&line.rotate(&request, 400)), pointer, "{request}");
    }
    // A stream of SETs has no such secret, nor one that is polled.
    let sets = line.receiver.push_stream(&line.endpoint.url("/sets"));
    let polled = line.receiver.poll_stream();
    let operator = line.tenant.operator();
    for stream in [&sets, &polled] {
        let path = format!("{}/webhook-secret", stream.admin_path());
        assert_problem(&operator.send_json("POST", &path, &json!({}), 409), 409);
    }
    let unknown = format!("/admin/streams/{}/webhook-secret", "0".repeat(64));
    assert_problem(&operator.send_json("POST", &unknown, &json!({}), 404), 404);
    // It is the operator's to ask.
    let path = format!("{}/webhook-secret", line.stream.admin_path());
    line.receiver.api.send_json("POST", &path, &json!({}), 401);
    let push = push_one(&line, "a1");
    assert_eq!(signature_count(&push), 1);
    assert_signed(&push, &line.secret());
}

/// CE-5-2, SW-8
#[test]
fn a_secret_is_shown_once_and_seen_nowhere_else() {
    let line = Line::start(Options::default(), "structured");
    let old = line.secret();
    let new = new_secret(&line, 3600);
    push_one(&line, "a1");
    let mut texts = vec![
        line.stream.read().to_string(),
        json!(line.receiver.list()).to_string(),
        line.stream.health().to_string(),
        json!(line.stream.deliveries()).to_string(),
        line.stream.status().to_string(),
        line.stream.patch(&json!({"description": "new"})).to_string(),
        line.tenant.operator().get("/admin/streams", 200).to_string(),
        line.tenant.operator().get("/admin/clients", 200).to_string(),
    ];
    // Other ways of changing a delivery that is CloudEvents already.
    for mode in ["binary", "batched", "structured"] {
        let changed = line
            .stream
            .patch(&json!({"delivery": delivery(&line.endpoint, &json!({"mode": mode}))}));
        assert_eq!(changed["delivery"]["cloudevents"]["mode"], json!(mode));
        texts.push(changed.to_string());
        texts.push(line.stream.read().to_string());
        let push = push_one(&line, &format!("b-{mode}"));
        assert_signed(&push, &new);
    }
    texts.push(std::fs::read_to_string(line.instance.data_dir().join("workerd.log")).expect("a log"));
    let bare = |secret: &str| secret.trim_start_matches("whsec_").to_owned();
    for text in texts {
        for secret in [&old, &new] {
            assert!(!text.contains(&bare(secret)), "{text}");
        }
    }
    // Nor can it be read on disk, in base64 or as bytes.
    for secret in [&old, &new] {
        let bytes = Base64::decode_vec(&bare(secret)).expect("base64");
        for needle in [bare(secret).into_bytes(), bytes] {
            assert!(!on_disk(&line, &needle), "a secret is on disk");
        }
    }
    assert!(
        on_disk(&line, line.stream.id.as_bytes()),
        "the search looks in the right place"
    );
}

fn on_disk(line: &Line, needle: &[u8]) -> bool {
    let mut folders = vec![
        line.instance.data_dir().join("objects"),
        line.instance.data_dir().join("kv"),
    ];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read(path)
                .unwrap_or_default()
                .windows(needle.len())
                .any(|window| window == needle)
            {
                return true;
            }
        }
    }
    false
}

/// Turned off and on again, a stream has another secret.
#[test]
fn a_stream_that_is_turned_to_cloudevents_again_has_a_new_secret() {
    let line = Line::start(Options::default(), "structured");
    let sets = line.stream.patch(&json!({"delivery": {
        "method": crate::support::PUSH, "endpoint_url": line.endpoint.url("/events"),
    }}));
    assert_eq!(sets["delivery"].get("cloudevents"), None);
    let again = line
        .stream
        .patch(&json!({"delivery": delivery(&line.endpoint, &json!({"mode": "structured"}))}));
    let secret = secret_in(&again);
    assert_ne!(secret, line.secret());
    let push = push_one(&line, "a1");
    assert_signed(&push, &secret);
    assert_eq!(
        push.header("webhook-signature").map(|text| text.split(' ').count()),
        Some(1)
    );
    let _: Value = line.stream.read();
}
