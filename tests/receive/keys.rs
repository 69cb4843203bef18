//! Whose keys count, and how often an issuer is asked for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{
    Answer, DEADLINE, Instance, Key, Options, Reply, ScriptedReceiver, ScriptedTransmitter, eventually,
};
use crate::support::{ACME_AUDIENCE, Source, assert_problem};

use super::Feed;

#[test]
fn an_unknown_key_asks_the_issuer_once_in_so_many_milliseconds() {
    // An hour: within this test it never asks again.
    let feed = Feed::start(Options::default().set("KEY_REFETCH_MS", 3_600_000));
    feed.source
        .push(&feed.instance, &feed.transmitter.draft(ACME_AUDIENCE).sign(), 202);
    assert_eq!(feed.transmitter.key_fetches(), 1);
    for number in 0..10 {
        let set = feed
            .transmitter
            .draft(ACME_AUDIENCE)
            .header("kid", format!("invented-{number}"))
            .sign();
        // Nobody knows yet whether it is the issuer's: put off, not refused.
        let answer = feed.source.push(&feed.instance, &set, 503);
        let wait: u64 = answer
            .header("retry-after")
            .and_then(|seconds| seconds.parse().ok())
            .expect("seconds");
        assert!((3500..=3600).contains(&wait), "until the issuer may be asked: {wait}");
    }
    assert_eq!(
        feed.transmitter.key_fetches(),
        1,
        "SSF-4.1.4-2: whoever sends tokens cannot make us flood the issuer"
    );
    feed.source
        .push(&feed.instance, &feed.transmitter.draft(ACME_AUDIENCE).sign(), 202);
}

#[test]
fn an_unknown_key_asks_the_issuer_again_after_that() {
    let interval = Duration::from_millis(500);
    let feed = Feed::start(Options::default().set("KEY_REFETCH_MS", interval.as_millis()));
    let started = Instant::now();
    feed.source
        .push(&feed.instance, &feed.transmitter.draft(ACME_AUDIENCE).sign(), 202);
    for fetches in 2..=4 {
        eventually("the issuer is asked again", || {
            let set = feed.transmitter.draft(ACME_AUDIENCE).header("kid", "invented").sign();
            refused_or_put_off(&feed, &set);
            (feed.transmitter.key_fetches() >= fetches).then_some(())
        });
        let asked = feed.transmitter.key_fetches();
        let most = 1 + started.elapsed().as_millis() / interval.as_millis();
        assert!(
            u128::from(asked as u64) <= most,
            "asked {asked} times in {:?}",
            started.elapsed()
        );
    }
}

/// A SET under an unknown key is refused, or put off until the issuer may be asked again; never accepted.
#[track_caller]
fn refused_or_put_off(feed: &Feed, set: &str) {
    let answer = push(feed, set);
    match answer.status {
        400 => assert_eq!(answer.json()["err"], json!("invalid_key")),
        503 => assert!(answer.header("retry-after").is_some(), "{answer}"),
        _ => panic!("neither refused nor put off: {answer}"),
    }
}

fn push(feed: &Feed, set: &str) -> Answer {
    let headers = [
        ("content-type", "application/secevent+jwt"),
        ("authorization", feed.source.authorization.as_str()),
    ];
    let answer = feed
        .instance
        .anyone()
        .try_send("POST", &feed.source.receive_path(), &headers, set.as_bytes());
    answer.expect("an answer")
}

#[test]
fn a_rotation_of_keys_loses_nothing() {
    let feed = Feed::start(Options::default().set("KEY_REFETCH_MS", 500));
    feed.source
        .push(&feed.instance, &feed.transmitter.draft(ACME_AUDIENCE).sign(), 202);
    // The issuer turns to a new key at once. For a transmitter like ours a 400 is the end of an event, so until the keys may be
    // fetched again the answer has to be one that makes it try again.
    for newest in [Key::Second, Key::First] {
        feed.transmitter.publish(&[newest]);
        let draft = feed.transmitter.draft(ACME_AUDIENCE).key(newest);
        let set = draft.sign();
        eventually("the event is accepted", || {
            let answer = push(&feed, &set);
            match answer.status {
                202 => Some(()),
                503 => {
                    assert!(answer.header("retry-after").is_some(), "{answer}");
                    None
                }
                _ => panic!("an event under the issuer's new key is lost: {answer}"),
            }
        });
        assert_eq!(feed.source.jtis(&feed.instance).last(), Some(&draft.jti()));
    }
}

#[test]
fn an_issuer_that_cannot_be_asked_is_asked_again_later() {
    let feed = Feed::start(Options::default().set("KEY_REFETCH_MS", 1));
    let drafts: Vec<_> = (0..6).map(|_| feed.transmitter.draft(ACME_AUDIENCE)).collect();
    let no_key = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]});
    for (reply, draft) in [
        Reply::Reset,
        Reply::Close,
        Reply::status(500),
        Reply::status(302).header("location", "/other.json"),
        Reply::json(200, &json!({"error": "none"})),
        Reply::json(200, &no_key),
    ]
    .into_iter()
    .zip(&drafts)
    {
        let what = format!("{reply:?}");
        feed.transmitter.answer_keys_with(Some(reply));
        let before = feed.transmitter.key_fetches();
        let answer = feed.source.push(&feed.instance, &draft.sign(), 503);
        assert_problem(&answer, 503);
        assert!(
            answer
                .header("retry-after")
                .is_some_and(|seconds| seconds.parse::<u32>().is_ok()),
            "{what}: {answer}"
        );
        assert!(feed.transmitter.key_fetches() > before, "{what}");
        assert_eq!(feed.source.jtis(&feed.instance), [] as [&str; 0], "{what}");
    }
    feed.transmitter.answer_keys_with(None);
    for draft in &drafts {
        eventually("the event is accepted", || {
            (push(&feed, &draft.sign()).status == 202).then_some(())
        });
    }
    let jtis: Vec<String> = drafts.iter().map(crate::harness::Draft::jti).collect();
    assert_eq!(feed.source.jtis(&feed.instance), jtis);
}

#[test]
fn an_issuer_that_fails_is_not_asked_for_every_event() {
    let feed = Feed::start(Options::default().set("KEY_REFETCH_MS", 3_600_000));
    feed.transmitter.answer_keys_with(Some(Reply::status(500)));
    for _ in 0..5 {
        feed.source
            .push(&feed.instance, &feed.transmitter.draft(ACME_AUDIENCE).sign(), 503);
    }
    assert_eq!(feed.transmitter.key_fetches(), 1);
}

#[test]
fn metadata_that_names_another_issuer_is_not_trusted() {
    let instance = Instance::start(Options::default().set("KEY_REFETCH_MS", 1));
    let site = ScriptedReceiver::start();
    let origin = site.url("");
    let asked_for_keys = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked_for_keys);
    let (claimed, keys_at) = ("https://idp.example".to_owned(), site.url("/keys"));
    site.otherwise_decide(move |request| match request.target.as_str() {
        "/.well-known/ssf-configuration" => Reply::json(200, &json!({"issuer": claimed, "jwks_uri": keys_at})),
        _ => {
            counter.fetch_add(1, Ordering::SeqCst);
            Reply::json(200, &json!({"keys": [Key::First.jwk()]}))
        }
    });
    let source = Source::register(&instance, &origin, ACME_AUDIENCE);
    let signer = ScriptedTransmitter::start();
    // SSF-4.1.6-2: neither its own name nor the one it claims.
    let as_itself = signer.draft(ACME_AUDIENCE).claim("iss", origin.as_str()).sign();
    source.push(&instance, &as_itself, 503);
    let as_claimed = signer.draft(ACME_AUDIENCE).claim("iss", "https://idp.example").sign();
    let refused = source.push(&instance, &as_claimed, 400);
    assert_eq!(refused.json()["err"], json!("invalid_issuer"));
    assert_eq!(source.jtis(&instance), [] as [&str; 0]);
    assert_eq!(
        asked_for_keys.load(Ordering::SeqCst),
        0,
        "nothing that such metadata names is fetched"
    );
}

/// SSF-7.2.1-1.
#[test]
fn the_issuers_metadata_lie_where_its_path_is_inserted() {
    let instance = Instance::start(Options::default());
    let site = ScriptedReceiver::start();
    let issuer = site.url("/tenants/one");
    let (claimed, keys_at) = (issuer.clone(), site.url("/keys"));
    site.otherwise_decide(move |request| match request.target.as_str() {
        // Pitfall 8: insertion, not suffix.
        "/.well-known/ssf-configuration/tenants/one" => {
            Reply::json(200, &json!({"issuer": claimed, "jwks_uri": keys_at}))
        }
        "/keys" => Reply::json(200, &json!({"keys": [Key::First.jwk()]})),
        _ => Reply::status(404),
    });
    let source = Source::register(&instance, &issuer, ACME_AUDIENCE);
    let signer = ScriptedTransmitter::start();
    source.push(
        &instance,
        &signer.draft(ACME_AUDIENCE).claim("iss", issuer.as_str()).sign(),
        202,
    );
    let asked: Vec<(String, String)> = site
        .requests()
        .into_iter()
        .map(|request| (request.method, request.target))
        .collect();
    let get = |target: &str| ("GET".to_owned(), target.to_owned());
    assert_eq!(asked, [get("/.well-known/ssf-configuration/tenants/one"), get("/keys")]);
}

#[test]
fn keys_given_by_hand_are_the_only_ones_and_nothing_is_fetched() {
    let instance = Instance::start(Options::default().set("KEY_REFETCH_MS", 1));
    let transmitter = ScriptedTransmitter::start();
    let request =
        json!({"issuer": transmitter.issuer(), "audience": ACME_AUDIENCE, "jwks": {"keys": [Key::First.jwk()]}});
    let source = Source::create(&instance, &request);
    assert_eq!(source.created["jwks"], request["jwks"]);
    transmitter.publish(&[Key::First, Key::Second]);
    source.push(&instance, &transmitter.draft(ACME_AUDIENCE).sign(), 202);
    let refused = source.push(
        &instance,
        &transmitter.draft(ACME_AUDIENCE).key(Key::Second).sign(),
        400,
    );
    assert_eq!(refused.json()["err"], json!("invalid_key"));
    // With one key given, a token need not name it.
    source.push(
        &instance,
        &transmitter
            .draft(ACME_AUDIENCE)
            .header("kid", serde_json::Value::Null)
            .sign(),
        202,
    );
    assert_eq!(source.jtis(&instance).len(), 2);
    assert_eq!(transmitter.key_fetches(), 0);
}

#[test]
fn an_issuer_that_never_answers_holds_nobody_for_long() {
    let feed = Feed::start(Options::default());
    feed.transmitter.answer_keys_with(Some(Reply::Never));
    let started = Instant::now();
    let answer = feed
        .source
        .push(&feed.instance, &feed.transmitter.draft(ACME_AUDIENCE).sign(), 503);
    assert!(answer.header("retry-after").is_some());
    assert!(started.elapsed() < DEADLINE, "{:?}", started.elapsed());
}
