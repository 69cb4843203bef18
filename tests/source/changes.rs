//! What an operator changes of a source: done in one go, and told to the transmitter; and what credentials leave behind that
//! were taken back.

use rusqlite::Connection;
use serde_json::{Value, json};

use super::{
    connect, credentials, options, problems, received, request, setup, until_done, until_no_problem, until_problem,
    until_received, until_set_up,
};
use crate::harness::{ADMIN_TOKEN, Client, Fault, Instance, Key, Reply, SsfTransmitter, eventually};
use crate::support::{ACME_AUDIENCE, POLL, Source, databases, has_table};

/// Single values of the sources' objects as they are stored.
fn stored(instance: &Instance, name: &str) -> Vec<String> {
    let read = |path| {
        let database = Connection::open(path).ok()?;
        let sql = "SELECT v FROM meta WHERE k = ?";
        database.query_row(sql, [name], |row| row.get::<_, String>(0)).ok()
    };
    databases(instance, "SourceObject")
        .into_iter()
        .filter_map(read)
        .collect()
}

/// The runtime dies when a change is stored and its copy is still on its way to KV.
#[test]
fn a_change_that_is_cut_off_is_done_all_the_same() {
    let revoked = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
    for (patch, sign) in [
        (json!({"delivery": "poll"}), r#""poll":true"#),
        (json!({"events_requested": [revoked]}), revoked),
    ] {
        let mut instance = Instance::start(options().kv_slow_ms(600));
        let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
        let source = Source::create(&instance, &request(&transmitter, "push"));
        until_done(&instance, &source);
        let (origin, path) = (instance.origin(), source.path());
        let body = patch.to_string().into_bytes();
        let asking = std::thread::spawn(move || {
            let json = [("content-type", "application/json")];
            let operator = Client::to(&origin).bearer(ADMIN_TOKEN);
            drop(operator.try_send("PATCH", &path, &json, &body));
        });
        eventually("it is stored", || {
            stored(&instance, "source")
                .iter()
                .any(|text| text.contains(sign))
                .then_some(())
        });
        instance.restart();
        asking.join().expect("nobody panics");
        eventually("the transmitter is told", || {
            let stream = transmitter.streams().remove(0);
            let told = stream["events_requested"] == json!([revoked]) || stream["delivery"]["method"] == POLL;
            told.then_some(())
        });
        until_done(&instance, &source);
        if sign != revoked {
            let jti = transmitter.queue(&transmitter.draft());
            until_received(&instance, &source, &[jti]);
        }
    }
}

/// As a crash left it: a source that is polled, with a stream that is pushed. Its object still does its work.
#[test]
fn a_stream_without_a_url_to_poll_is_not_polled() {
    let (mut instance, transmitter, source) = connect(options().set("WATCH_S", 1), "push");
    instance.kill();
    for path in databases(&instance, "SourceObject") {
        let database = Connection::open(path).expect("a database");
        if !has_table(&database, "meta") {
            continue;
        }
        let sql = r#"UPDATE meta SET v = replace(v, '"poll":false', '"poll":true') WHERE k = 'source'"#;
        database.execute(sql, []).expect("it is changed");
    }
    let asked = transmitter.requests("GET /status").len();
    instance.restart();
    eventually("the stream is looked after", || {
        (transmitter.requests("GET /status").len() > asked + 1).then_some(())
    });
    let from = json!({"from": "stream"});
    instance
        .operator()
        .post_json(&format!("{}/setup", source.path()), &from, 202);
    until_done(&instance, &source);
    let jti = transmitter.queue(&transmitter.draft());
    until_received(&instance, &source, &[jti]);
}

#[test]
fn credentials_that_were_taken_back_are_gone() {
    let watched = || options().set("WATCH_S", 1).set("VERIFICATION_WAIT_S", 1);
    let (instance, transmitter, source) = connect(watched(), "push");
    transmitter.answer_verification(false);
    until_problem(&instance, &source, "verification_unanswered");
    let nothing = json!({"credentials": null});
    let shown = instance.operator().patch_json(&source.path(), &nothing, 200);
    assert_eq!(
        (
            &shown["managed"],
            &shown["credentials"],
            &shown["stream"],
            &shown["setup"]["state"]
        ),
        (&json!(false), &Value::Null, &Value::Null, &json!("unmanaged"))
    );
    assert_eq!(shown["health"]["state"], "ok", "{shown:#}");
    assert!(stored(&instance, "source_credentials").is_empty() && stored(&instance, "source_authorization").is_empty());
    instance
        .operator()
        .post_json(&format!("{}/setup", source.path()), &json!({"from": "token"}), 409);

    // While another one is looked after several times, nothing is asked of this one's.
    let other = SsfTransmitter::start(ACME_AUDIENCE);
    let second = Source::create(&instance, &request(&other, "push"));
    until_done(&instance, &second);
    let all = || ["GET /status", "POST /verify", "POST /token"].map(|what| transmitter.requests(what).len());
    let (asked, looked) = (all(), other.requests("GET /status").len());
    eventually("the other is looked after", || {
        (other.requests("GET /status").len() >= looked + 2).then_some(())
    });
    assert_eq!(all(), asked);
    assert_eq!(transmitter.streams().len(), 1, "it stays as it is");
    let draft = transmitter.draft();
    assert_eq!(transmitter.push(&draft.sign()), Some(202), "and goes on pushing");
    assert_eq!(received(&instance, &source), [draft.jti()]);
    assert!(problems(&instance, &source).is_empty());

    transmitter.answer_verification(true);
    let again = json!({"credentials": credentials()});
    instance.operator().patch_json(&source.path(), &again, 200);
    until_done(&instance, &source);
    assert_eq!(transmitter.streams().len(), 1);
    assert_eq!(transmitter.push(&transmitter.draft().sign()), Some(202));
    let polled = Source::create(&instance, &request(&other, "poll"));
    let refused = instance.operator().patch_json(&polled.path(), &nothing, 400);
    assert_eq!(refused["pointer"], "/credentials", "{refused}");
}

#[test]
fn the_transmitter_is_told_a_new_description_and_the_stream_is_still_ours() {
    let (instance, transmitter, source) = connect(options(), "poll");
    // It was not told: only the list says which stream is ours.
    transmitter.fail("PATCH /streams", Fault::Instead(Reply::status(404)));
    let named = json!({"description": "Staff"});
    instance.operator().patch_json(&source.path(), &named, 200);
    eventually("it is told", || {
        let said = transmitter.streams().remove(0)["description"].clone();
        said.as_str()
            .is_some_and(|text| text.starts_with("Staff ("))
            .then_some(())
    });
    until_done(&instance, &source);
    assert_eq!(transmitter.streams().len(), 1);
}

#[test]
fn problems_of_polling_end_with_it() {
    let (instance, transmitter, source) = connect(options(), "poll");
    transmitter.fail_always("POST /poll", Reply::status(503));
    transmitter.queue_as("wakes-the-poll", json!("x"));
    until_problem(&instance, &source, "poll_failing");
    let pushed = json!({"delivery": "push"});
    instance.operator().patch_json(&source.path(), &pushed, 200);
    until_done(&instance, &source);
    assert!(problems(&instance, &source).is_empty());
}

/// The stream that was paused is gone, and there is no status of the new one to say otherwise.
#[test]
fn problems_of_a_stream_end_with_it() {
    let (instance, transmitter, source) = connect(options().set("WATCH_S", 1), "push");
    let path = format!("{}/status", source.path());
    instance.operator().post_json(&path, &json!({"status": "paused"}), 200);
    until_problem(&instance, &source, "stream_paused");
    transmitter.metadata("status_endpoint", Value::Null);
    let from = json!({"from": "discovery"});
    instance
        .operator()
        .post_json(&format!("{}/setup", source.path()), &from, 202);
    until_done(&instance, &source);
    assert_eq!(problems(&instance, &source), ["stream_paused"]);
    transmitter.forget_streams();
    until_no_problem(&instance, &source, "stream_paused");
    until_done(&instance, &source);
}

#[test]
fn the_step_of_the_keys_says_what_is_wrong_with_them() {
    let instance = Instance::start(options().set("KEY_REFETCH_MS", 60_000).set("SETUP_AGAIN_S", 3600));
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    transmitter.sign_with(Key::First, &[]);
    let source = Source::create(&instance, &request(&transmitter, "push"));
    let shown = until_set_up(&instance, &source, "failed");
    let detail = shown["steps"][1]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("no key"), "{shown:#}");
    assert_eq!(problems(&instance, &source), ["keys_unavailable"]);
    transmitter.sign_with(Key::First, &[Key::First]);
    // The operator does not wait for the interval that strangers have to.
    let from = json!({"from": "keys"});
    instance
        .operator()
        .post_json(&format!("{}/setup", source.path()), &from, 202);
    until_done(&instance, &source);
    assert!(problems(&instance, &source).is_empty());
    assert_eq!(setup(&instance, &source)["steps"][1]["state"], "done");
}

#[test]
fn a_source_that_nobody_manages_says_when_the_keys_cannot_be_had() {
    let instance = Instance::start(options());
    let transmitter = SsfTransmitter::start(ACME_AUDIENCE);
    let source = Source::register(&instance, &transmitter.issuer(), ACME_AUDIENCE);
    transmitter.fail_always("GET /jwks.json", Reply::status(500));
    let set = transmitter.draft().sign();
    let answer = source.transmitter(&instance).try_send(
        "POST",
        &source.receive_path(),
        &[("content-type", "application/secevent+jwt")],
        set.as_bytes(),
    );
    let answer = answer.expect("an answer");
    assert!(answer.status >= 500 && !answer.text().contains("jwks"), "{answer}");
    assert_eq!(problems(&instance, &source), ["keys_unavailable"]);
    transmitter.mend();
    eventually("it is taken", || {
        let taken = source.transmitter(&instance).try_send(
            "POST",
            &source.receive_path(),
            &[("content-type", "application/secevent+jwt")],
            set.as_bytes(),
        );
        (taken.is_ok_and(|answer| answer.status == 202)).then_some(())
    });
    assert!(problems(&instance, &source).is_empty());
}
