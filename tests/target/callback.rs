//! Grants by callback: the sender names a URL, and it is called, but only where the operator said that this is the sender's.

use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{Options, Reply};

use super::{CALLBACK, ORIGIN, RATE, SENDER, Sender, Target, assert_grants_nothing, assert_options_answer, soon};

/// T-T-04: WH-4.1-20, WH-4.1-21, WH-4.1-29, WH-4.2-5
#[test]
fn the_callback_is_called_after_the_answer_and_grants() {
    let sender = Sender::start();
    let mut members = sender.members();
    members["allowed_rate"] = json!(60);
    // The default delay: the answer is with the sender long before.
    let target = Target::start(Options::default(), &members);
    let url = sender.callback();
    let answer = target.options(&[(ORIGIN, SENDER), (RATE, "600"), (CALLBACK, &url)], 200);
    let answered_at = Instant::now();
    assert_options_answer(&answer);
    assert_grants_nothing(&answer);
    assert_eq!(answer.text(), "");
    let pending = target.grant_of(SENDER).expect("it is on record");
    assert_eq!(
        (&pending["state"], &pending["via"], &pending["decided_at"]),
        (&json!("pending"), &Value::Null, &Value::Null)
    );
    assert_eq!(pending["requested_rate"], json!(600));
    assert_eq!(pending["callback"]["host"].as_str().map(str::is_empty), Some(false));
    assert_eq!(
        (&pending["callback"]["state"], &pending["callback"]["attempts"]),
        (&json!("waiting"), &json!(0))
    );
    assert!(pending["callback"]["next_attempt_at"].is_u64(), "{pending}");

    let call = sender.endpoint.wait_for(1);
    assert!(
        call.at > answered_at,
        "the answer is complete before the callback leaves"
    );
    assert_eq!((call.method.as_str(), call.target.as_str()), ("POST", url_path(&url)));
    assert_eq!(call.header("webhook-allowed-rate"), Some("60"));
    assert_eq!(call.header("webhook-allowed-origin"), Some(SENDER));
    assert!(call.header("user-agent").is_some());
    assert_eq!(call.body, b"");
    for name in ["authorization", "cookie", "referer"] {
        assert_eq!(call.header(name), None);
    }
    let granted = target.wait_for(SENDER, "granted", |grant| grant["state"] == "granted");
    assert_eq!(
        (&granted["via"], &granted["allowed_rate"], &granted["callback"]["state"]),
        (&json!("callback"), &json!(60), &json!("called"))
    );
    assert_eq!(granted["callback"]["attempts"], json!(1));
    assert_eq!(granted["callback"]["next_attempt_at"], Value::Null);
    assert!(
        granted["decided_at"].as_u64() > granted["asked_at"].as_u64(),
        "{granted}"
    );
    // And it counts.
    target.push(&[], 403);
    target.push(&[(ORIGIN, SENDER)], 202);
    assert_eq!(sender.calls().len(), 1);
}

fn url_path(url: &str) -> &str {
    let at = url.find("/handshake").expect("a path");
    &url[at..]
}

#[test]
fn the_callback_is_called_by_get_where_the_operator_chose_that() {
    let sender = Sender::start();
    let mut members = sender.members();
    members["callback_method"] = json!("GET");
    let target = Target::start(soon(), &members);
    target.options(&[(ORIGIN, SENDER), (RATE, "30"), (CALLBACK, &sender.callback())], 200);
    let call = sender.endpoint.wait_for(1);
    assert_eq!(call.method, "GET");
    assert_eq!(call.header("webhook-allowed-rate"), Some("30"));
    assert_eq!(call.header("webhook-allowed-origin"), Some(SENDER));
    target.wait_for(SENDER, "granted", |grant| grant["state"] == "granted");
}

/// WH-4.2-17, as the header of the callback says it.
#[test]
fn the_callback_carries_the_rate_that_is_granted() {
    for (allowed, asked, carried) in [
        (Value::Null, None, "*"),
        (Value::Null, Some("40"), "40"),
        (json!(30), None, "30"),
        (json!(30), Some("10"), "10"),
    ] {
        let sender = Sender::start();
        let mut members = sender.members();
        if !allowed.is_null() {
            members["allowed_rate"] = allowed.clone();
        }
        let target = Target::start(soon(), &members);
        let callback = sender.callback();
        let mut headers = vec![(ORIGIN, SENDER), (CALLBACK, callback.as_str())];
        headers.extend(asked.map(|rate| (RATE, rate)));
        target.options(&headers, 200);
        let call = sender.endpoint.wait_for(1);
        assert_eq!(
            call.header("webhook-allowed-rate"),
            Some(carried),
            "{allowed} {asked:?}"
        );
    }
}

/// WH-4.1-29
#[test]
fn a_callback_that_fails_is_tried_again() {
    let sender = Sender::start();
    let target = Target::start(soon(), &sender.members());
    sender
        .endpoint
        .then(Reply::status(500))
        .then(Reply::Reset)
        .then(Reply::status(503));
    target.options(&[(ORIGIN, SENDER), (RATE, "600"), (CALLBACK, &sender.callback())], 200);
    let calls = [1, 2, 3, 4].map(|nth| sender.endpoint.wait_for(nth));
    for call in &calls {
        assert_eq!((&call.method, &call.target), (&calls[0].method, &calls[0].target));
        assert_eq!(call.header("webhook-allowed-rate"), Some("600"));
    }
    let granted = target.wait_for(SENDER, "granted", |grant| grant["state"] == "granted");
    assert_eq!(granted["callback"]["attempts"], json!(4));
    assert_eq!(sender.calls().len(), 4);
}

#[test]
fn a_callback_that_fails_for_good_leaves_the_decision_to_the_operator() {
    let sender = Sender::start();
    let target = Target::start(soon(), &sender.members());
    sender.endpoint.otherwise(Reply::status(500));
    target.options(&[(ORIGIN, SENDER), (RATE, "600"), (CALLBACK, &sender.callback())], 200);
    let failed = target.wait_for(SENDER, "the callback has failed", |grant| {
        grant["callback"]["state"] == "failed"
    });
    assert_eq!(
        (
            &failed["state"],
            &failed["callback"]["attempts"],
            &failed["callback"]["next_attempt_at"]
        ),
        (&json!("pending"), &json!(4), &Value::Null)
    );
    assert!(
        failed["callback"]["detail"]
            .as_str()
            .is_some_and(|text| text.contains("500")),
        "{failed}"
    );
    assert_eq!(sender.calls().len(), 4, "once, and three times more");
    target.push(&[], 202);
    // The operator may grant all the same; the sender may ask again, too.
    target.decide(&json!({"origin": SENDER, "action": "approve"}), 200);
    let granted = target.grant_of(SENDER).expect("a grant");
    assert_eq!(
        (&granted["state"], &granted["via"]),
        (&json!("granted"), &json!("operator"))
    );
    target.push(&[(ORIGIN, SENDER)], 202);
}

#[test]
fn asking_again_names_the_callback_anew() {
    let sender = Sender::start();
    let target = Target::start(soon(), &sender.members());
    sender.endpoint.otherwise(Reply::status(500));
    target.options(&[(ORIGIN, SENDER), (CALLBACK, &sender.endpoint.url("/first"))], 200);
    target.wait_for(SENDER, "the callback has failed", |grant| {
        grant["callback"]["state"] == "failed"
    });
    sender.endpoint.otherwise(Reply::status(200));
    target.options(&[(ORIGIN, SENDER), (CALLBACK, &sender.endpoint.url("/second"))], 200);
    target.wait_for(SENDER, "granted", |grant| grant["state"] == "granted");
    let last = sender.calls().pop().expect("a call");
    assert_eq!(last.target, "/second");
    assert_eq!(target.grants().len(), 1, "one origin, one record");
}

/// Who was granted and asks again is not cut off while its callback is on the way.
#[test]
fn a_grant_stands_while_its_origin_asks_again() {
    let sender = Sender::start();
    let target = Target::start(soon(), &sender.members());
    target.options(&[(ORIGIN, SENDER), (RATE, "6000"), (CALLBACK, &sender.callback())], 200);
    target.wait_for(SENDER, "granted", |grant| grant["state"] == "granted");
    let gate = sender.endpoint.then_held(Reply::status(200));
    target.options(&[(ORIGIN, SENDER), (RATE, "6000"), (CALLBACK, &sender.callback())], 200);
    sender.endpoint.wait_for(2);
    target.push(&[(ORIGIN, SENDER)], 202);
    gate.open();
    target.wait_for(SENDER, "granted", |grant| grant["state"] == "granted");
    target.push(&[(ORIGIN, SENDER)], 202);
}

/// WH-4.1-28: the rules of now count, not those of when it asked.
#[test]
fn a_callback_under_way_is_left_to_an_operator_who_decides_from_now_on() {
    let sender = Sender::start();
    let target = Target::start(soon(), &sender.members());
    let gate = sender.endpoint.then_held(Reply::status(500));
    target.options(&[(ORIGIN, SENDER), (CALLBACK, &sender.callback())], 200);
    sender.endpoint.wait_for(1);
    target.change(&json!({"handshake": "operator"}));
    gate.open();
    target.wait_for(SENDER, "left to the operator", |grant| {
        grant["state"] == "pending" && grant["callback"]["next_attempt_at"].is_null()
    });
    assert_eq!(sender.calls().len(), 1);
    target.push(&[(ORIGIN, SENDER)], 202);
    target.decide(&json!({"origin": SENDER, "action": "approve"}), 200);
    sender.endpoint.wait_for(2);
    target.wait_for(SENDER, "called", |grant| grant["callback"]["state"] == "called");
}

/// WH-4.1-30: the URL holds the sender's secret.
#[test]
fn the_secret_of_a_callback_is_shown_and_written_nowhere() {
    let (sender, secret) = (Sender::start(), "s3cret-of-the-sender");
    let target = Target::start(soon(), &sender.members());
    let url = sender.callback();
    assert!(url.contains(secret));
    sender.endpoint.then(Reply::status(500));
    target.options(&[(ORIGIN, SENDER), (CALLBACK, &url)], 200);
    target.wait_for(SENDER, "granted", |grant| grant["state"] == "granted");
    // Another waits, so that its URL is still kept.
    target.change(&json!({"handshake": "operator"}));
    let other = format!("https://waiting.example.com/{secret}");
    target.options(&[(ORIGIN, "waiting.example.com"), (CALLBACK, &other)], 200);
    let operator = target.instance.operator();
    let source = target.source.path();
    let texts = [
        operator.send("GET", &format!("{source}/grants"), &[], b"", 200).text(),
        operator.send("GET", &source, &[], b"", 200).text(),
        operator.send("GET", "/admin/sources", &[], b"", 200).text(),
        std::fs::read_to_string(target.instance.data_dir().join("workerd.log")).expect("a log"),
    ];
    assert!(texts[0].contains("waiting.example.com"));
    for text in texts {
        assert!(!text.contains(secret), "{text}");
    }
    let mut files = Vec::new();
    list_files(&target.instance.data_dir().join("objects"), &mut files);
    let holds = |needle: &str| {
        let is_in = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
        files.iter().any(|file| is_in(&std::fs::read(file).unwrap_or_default()))
    };
    assert!(holds("waiting.example.com"), "the search looks in the right place");
    assert!(!holds(secret), "the callback is on disk");
}

fn list_files(folder: &std::path::Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => list_files(&path, files),
            false => files.push(path),
        }
    }
}
