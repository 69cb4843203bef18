//! The callback, by which an endpoint agrees later: a program by POST, a person with a browser by GET (WH-4.1-5 to WH-4.1-8,
//! WH-4.1-20 to WH-4.1-27).

use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{Answer, eventually};
use crate::support::without_request_id;

use super::{World, assert_members, callback_of, later, pushed, soon};

/// WH-4.1-27
#[track_caller]
fn assert_private(answer: &Answer) {
    for (name, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-robots-tag", "noindex"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{answer}");
    }
}

/// T-H-05: WH-4.1-8, WH-4.1-20, WH-4.1-21, WH-4.1-22, WH-4.1-23
#[test]
fn get_and_post_grant_at_the_rate_they_say_or_at_the_one_that_was_asked_for() {
    let world = World::start(soon());
    for (method, via) in [("GET", "callback_get"), ("POST", "callback_post")] {
        for (said, rate) in [(None, json!(600)), (Some("300"), json!(300)), (Some("*"), json!("*"))] {
            let (endpoint, asked) = world.asked(later());
            world.publish(&["a1"]);
            let callback = callback_of(&endpoint.wait_for_ask(1));
            asked.wait_for_exchange();
            let headers: Vec<_> = said.map(|said| ("webhook-allowed-rate", said)).into_iter().collect();
            let answer = asked.call_with(method, &callback, &headers, 200);
            assert_private(&answer);
            let kind = answer.header("content-type").unwrap_or_default();
            assert!(kind.starts_with("text/plain"), "{answer}");
            let text = answer.text();
            assert!(
                !text.trim().is_empty() && text.trim_end().lines().count() == 1,
                "{answer}"
            );
            let expected = json!({"state": "granted", "via": via, "allowed_rate": rate, "requested_rate": 600});
            let grant = asked.grant();
            assert_members(&grant, &expected, method);
            assert!(grant["granted_at"].is_u64() && grant["expires_at"].is_u64(), "{grant}");
            assert_members(&grant["history"][0], &expected, method);
            asked.wait_until_idle();
            eventually("it arrived", || (pushed(&endpoint).len() == 1).then_some(()));
            assert_eq!(endpoint.asks().len(), 1);
            asked.stream.delete();
        }
    }
}

/// WH-4.1-23: the body is of no interest, whatever it is.
#[test]
fn a_callback_may_have_any_body() {
    let world = World::start(soon());
    let bodies: [(&str, Vec<u8>); 4] = [
        ("application/json", br#"{"allowed_rate": 1}"#.to_vec()),
        ("application/json", b"{".to_vec()),
        ("application/x-www-form-urlencoded", b"webhook-allowed-rate=1".to_vec()),
        ("application/octet-stream", vec![0xff; 1024]),
    ];
    for (kind, body) in bodies {
        let (endpoint, asked) = world.asked(later());
        let callback = callback_of(&endpoint.wait_for_ask(1));
        let answer = world
            .instance
            .anyone()
            .send("POST", &callback, &[("content-type", kind)], &body, 200);
        assert_private(&answer);
        assert_eq!(asked.grant()["allowed_rate"], json!(600));
        asked.stream.delete();
    }
}

/// WH-4.1-23: repeated, it may change the rate, as often as its endpoint likes.
#[test]
fn a_callback_is_good_until_its_window_is_over_and_may_change_the_rate() {
    let world = World::start(soon());
    let (endpoint, asked) = world.asked(later());
    let callback = callback_of(&endpoint.wait_for_ask(1));
    asked.wait_for_exchange();
    let until = asked.grant()["handshake"]["callback_until"]
        .as_u64()
        .expect("an instant");
    let asked_at = asked.grant()["handshake"]["asked_at"].as_u64().expect("an instant");
    // WH-4.1-24: a day from when it began, which is a little before it was asked.
    assert!(
        (86_390_000..=86_400_000).contains(&(until - asked_at)),
        "{until} {asked_at}"
    );

    asked.call("POST", &callback, 200);
    let first = asked.grant();
    asked.call("POST", &callback, 200);
    let again = asked.grant();
    for member in ["granted_at", "since", "allowed_rate", "via", "history"] {
        assert_eq!(again[member], first[member], "{member}: nothing new was said");
    }
    for (rate, via, method) in [
        ("30", "callback_get", "GET"),
        ("1000", "callback_post", "POST"),
        ("*", "callback_post", "POST"),
        ("5", "callback_get", "GET"),
    ] {
        asked.call_with(method, &callback, &[("webhook-allowed-rate", rate)], 200);
        let rate = rate.parse::<u64>().map_or_else(|_| json!(rate), |rate| json!(rate));
        let grant = asked.grant();
        assert_members(
            &grant,
            &json!({"state": "granted", "allowed_rate": rate, "via": via}),
            method,
        );
        assert_members(&grant["history"][0], &json!({"allowed_rate": rate, "via": via}), method);
        assert_eq!(
            grant["handshake"]["callback_until"],
            json!(until),
            "no longer for being used"
        );
    }
    assert_eq!(endpoint.asks().len(), 1);
}

/// T-H-07: WH-4.1-23. Who does not know the secret learns nothing, not even that there is such a stream.
#[test]
fn a_wrong_secret_is_no_callback() {
    let world = World::start(soon());
    let (endpoint, asked) = world.asked(later());
    let callback = callback_of(&endpoint.wait_for_ask(1));
    asked.wait_for_exchange();
    let (other_endpoint, other) = world.asked(later());
    let callback_of_other = callback_of(&other_endpoint.wait_for_ask(1));
    let registered = world.tenant.receiver(&["https://acme.example/"]);
    let registered = registered.push_stream("https://acme.example/events");
    let polled = world.receiver.poll_stream();

    let place = |id: &str| world.instance.url(&format!("/handshake/{id}"));
    let secret = callback.rsplit('/').next().expect("a secret").to_owned();
    let of_other = callback_of_other.rsplit('/').next().expect("a secret").to_owned();
    let (front, last) = secret.split_at(secret.len() - 1);
    let changed = format!("{front}{}", if last == "A" { "B" } else { "A" });
    let mine = place(&asked.stream.id);
    let nowhere = world.instance.anyone().send("GET", "/nothing/here", &[], b"", 404);
    for url in [
        format!("{mine}/{changed}"),
        format!("{mine}/{front}"),
        format!("{mine}/{secret}A"),
        format!("{mine}/{}", secret.to_ascii_uppercase()),
        format!("{mine}/{of_other}"),
        format!("{mine}/x"),
        format!("{mine}/{secret}/more"),
        mine.clone(),
        format!("{}/{secret}", place(&other.stream.id)),
        format!("{}/{secret}", place(&registered.id)),
        format!("{}/{secret}", place(&polled.id)),
        format!("{}/{secret}", place(&"0".repeat(64))),
        format!("{}/{secret}", place("x")),
    ] {
        for method in ["GET", "POST"] {
            let answer = asked.call(method, &url, 404);
            let (status, _, body) = without_request_id(&answer);
            assert_eq!((status, body), (404, without_request_id(&nowhere).2), "{url}");
        }
        // What is wrong with the headers is not looked at before.
        asked.call_with("POST", &url, &[("webhook-allowed-rate", "0")], 404);
    }
    for wrong in [
        format!("{mine}/{changed}"),
        format!("{}/{secret}", place(&other.stream.id)),
    ] {
        assert_private(&asked.call("POST", &wrong, 404));
    }
    for stream in [&asked, &other] {
        assert_eq!(stream.grant()["state"], json!("pending"));
    }
    asked.call("POST", &callback, 200);
    assert_eq!(
        other.grant()["state"],
        json!("pending"),
        "WH-4-8: streams share nothing"
    );
}

/// T-H-07: WH-4.1-23. What a browser or a crawler does by itself is no consent.
#[test]
fn no_other_method_grants() {
    let world = World::start(soon());
    let (endpoint, asked) = world.asked(later());
    let callback = callback_of(&endpoint.wait_for_ask(1));
    for method in ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"] {
        let answer = asked.call(method, &callback, 405);
        assert_private(&answer);
        let allow = answer.header("allow").unwrap_or_default().replace(' ', "");
        assert_eq!(allow, "GET,POST", "{method}: {answer}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_eq!(asked.grant()["state"], json!("pending"), "{method}");
    }
    asked.call("GET", &callback, 200);
}

/// T-H-07: a handshake that is over took its callbacks with it.
#[test]
fn an_old_secret_is_void() {
    let world = World::start(soon());
    let (endpoint, asked) = world.asked(later());
    let first = callback_of(&endpoint.wait_for_ask(1));
    asked.wait_for_exchange();
    // Asked again within the same handshake: any of its questions may be answered, for the answer may have been on its way.
    asked.decide(&json!({"action": "ask"}), 202);
    let second = callback_of(&endpoint.wait_for_ask(2));
    assert_ne!(first, second, "WH-4.1-7: one for each question");
    asked.call_with("POST", &first, &[("webhook-allowed-rate", "11")], 200);
    asked.call_with("POST", &second, &[("webhook-allowed-rate", "12")], 200);
    assert_eq!(asked.grant()["allowed_rate"], json!(12));
    asked.decide(&json!({"action": "revoke"}), 200);
    for callback in [&first, &second] {
        assert_private(&asked.call("POST", callback, 404));
    }
    asked.decide(&json!({"action": "ask"}), 202);
    let third = callback_of(&endpoint.wait_for_ask(3));
    for callback in [&first, &second] {
        asked.call("GET", callback, 404);
    }
    assert_eq!(asked.grant()["state"], json!("pending"));
    asked.call("GET", &third, 200);

    // Who answered the question itself has nothing left to say.
    let (endpoint, answered) = world.agreed("120");
    let callback = callback_of(&endpoint.wait_for_ask(1));
    answered.call_with("POST", &callback, &[("webhook-allowed-rate", "100000")], 404);
    assert_eq!(answered.grant()["allowed_rate"], json!(120));
    // A stream that is gone has no callback.
    asked.stream.delete();
    asked.call("GET", &third, 404);
}

/// WH-4.1-27: thirty a minute, good and bad together. Where the test takes its time a few more come through, one in two seconds.
#[test]
fn a_callback_is_used_thirty_times_a_minute() {
    let world = World::start(soon());
    let (endpoint, asked) = world.asked(later());
    let callback = callback_of(&endpoint.wait_for_ask(1));
    let (_endpoint, neighbour) = world.asked(later());
    let anyone = world.instance.anyone();
    let started = Instant::now();
    let mut taken: u64 = 0;
    let refused = loop {
        let method = if taken.is_multiple_of(2) { "GET" } else { "POST" };
        let answer = anyone.try_send(method, &callback, &[], b"").expect("an answer");
        if answer.status != 200 {
            break answer;
        }
        taken += 1;
    };
    let most = 30 + started.elapsed().as_secs() / 2 + 1;
    assert_eq!(refused.status, 429, "{refused}");
    assert!((30..=most).contains(&taken), "{taken} of {most}");
    assert_private(&refused);
    let wait = refused.header("retry-after").and_then(|text| text.parse::<u64>().ok());
    assert!(wait.is_some_and(|wait| (1..=60).contains(&wait)), "{refused}");
    crate::support::assert_problem(&refused, 429);
    assert_eq!(asked.grant()["state"], json!("granted"));

    // The neighbour's are counted for themselves, and wrong ones as well.
    let wrong = world.instance.url(&format!("/handshake/{}/wrong", neighbour.stream.id));
    let started = Instant::now();
    let statuses = |count: u64| -> Vec<u16> {
        let tried = (0..count).map(|_| anyone.try_send("POST", &wrong, &[], b"").expect("an answer"));
        tried.map(|answer| answer.status).collect()
    };
    assert_eq!(statuses(30), [404; 30]);
    let most = started.elapsed().as_secs() / 2 + 1;
    let more = statuses(most + 5);
    assert!(more.contains(&429), "{more:?}");
    assert_eq!(neighbour.grant()["handshake"]["attempts"], json!(1));
    assert_eq!(neighbour.grant()["granted_at"], Value::Null);
}
