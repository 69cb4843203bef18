//! The secrets of callbacks are for the endpoint alone: whoever has one can agree in its name (WH-4.1-7).

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::harness::{Reply, ScriptedReceiver};

use super::{World, callback_of, consent, later, soon};

fn secret_of(callback: &str) -> String {
    callback.rsplit('/').next().expect("a secret").to_owned()
}

/// All files below a folder.
fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the instance's") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

fn holds(content: &[u8], secret: &str) -> bool {
    content.windows(secret.len()).any(|window| window == secret.as_bytes())
}

#[test]
fn a_secret_is_stored_as_its_hash_and_shown_to_nobody() {
    let mut world = World::start(soon());
    let endpoint = ScriptedReceiver::start();
    endpoint
        .then_consent(Reply::status(503))
        .then_consent(later())
        .then_consent(Reply::status(405))
        .otherwise_consent(consent("600"));
    let asked = world.asked_at(&endpoint.url("/events"));
    endpoint.wait_for_ask(2);
    asked.wait_until("the second was answered", |grant| {
        grant["handshake"]["next_attempt_at"].is_null()
    });
    let mut secrets: Vec<String> = endpoint.asks().iter().map(|ask| secret_of(&callback_of(ask))).collect();
    asked.call("GET", &callback_of(&endpoint.wait_for_ask(2)), 200);
    asked.call_with(
        "POST",
        &callback_of(&endpoint.wait_for_ask(1)),
        &[("webhook-allowed-rate", "0")],
        400,
    );
    let shown = [
        asked.grant().to_string(),
        asked.decide(&json!({"action": "revoke"}), 200).text(),
    ];
    // Void ones are no less secret: people take the wrong URL.
    asked.call("POST", &callback_of(&endpoint.wait_for_ask(2)), 404);
    let place = format!("/t/nobody/handshake/{}/{}", asked.stream.id, secrets[0]);
    asked.call("POST", &world.instance.url(&place), 404);
    let place = format!("/handshake/{}/{}/more", asked.stream.id, secrets[0]);
    asked.call("POST", &world.instance.url(&place), 404);
    asked.decide(&json!({"action": "ask"}), 202);
    asked.wait_for("unsupported");
    asked.decide(&json!({"action": "ask"}), 202);
    asked.wait_for("granted");
    world.publish(&["a1"]);
    endpoint.wait_for_push(1);
    asked.wait_until_idle();
    secrets.extend(endpoint.asks().iter().skip(2).map(|ask| secret_of(&callback_of(ask))));
    assert_eq!(secrets.len(), 4);
    let operator = world.tenant.operator();
    let path = asked.stream.admin_path();
    let views = ["", "/grant", "/deliveries", "/dead-letters"].map(|rest| operator.get(&format!("{path}{rest}"), 200));
    let views = views.iter().map(ToString::to_string).chain(shown);
    let receivers = [asked.stream.read(), asked.stream.status()].map(|view| view.to_string());
    let pushes = endpoint.pushes().into_iter().map(|push| format!("{push:?}"));
    let seen: Vec<String> = views.chain(receivers).chain(pushes).collect();
    for secret in &secrets {
        assert!(seen.iter().all(|view| !view.contains(secret)), "{secret} in {seen:?}");
    }

    // What lies on the disk: the log, the databases, and what has not come into them yet.
    world.instance.kill();
    let mut stored = Vec::new();
    files(world.instance.data_dir(), &mut stored);
    let names: Vec<String> = stored.iter().map(|path| path.display().to_string()).collect();
    assert!(names.iter().any(|name| name.ends_with("workerd.log")), "{names:?}");
    assert!(names.iter().any(|name| name.contains("StreamObject")), "{names:?}");
    for path in &stored {
        let content = fs::read(path).expect("a file of the instance's");
        for secret in &secrets {
            assert!(!holds(&content, secret), "{secret} in {}", path.display());
        }
    }
}
