//! The rate that goes with a grant: the smaller of what was asked and what is allowed.

use serde_json::{Value, json};

use crate::harness::Options;
use crate::support::assert_problem;

use super::{ORIGIN, RATE, SENDER, Target, assert_grants_nothing};

/// WH-4.2-3, WH-4.2-4, WH-4.2-17
#[test]
fn the_smaller_of_both_rates_is_granted() {
    let target = Target::allowing();
    for (allowed, asked, granted) in [
        (json!(60), Some("600"), "60"),
        (json!(60), Some("30"), "30"),
        (json!(60), Some("60"), "60"),
        (json!(60), Some("0007"), "7"),
        (json!(60), Some("9999999999"), "60"),
        (json!(60), None, "60"),
        (json!(1), Some("2"), "1"),
        (json!(1_000_000), Some("1000001"), "1000000"),
        (Value::Null, Some("600"), "600"),
        (Value::Null, Some("1"), "1"),
        // Nobody names a limit.
        (Value::Null, None, "*"),
    ] {
        target.change(&json!({"allowed_rate": allowed}));
        let mut headers = vec![(ORIGIN, SENDER)];
        headers.extend(asked.map(|rate| (RATE, rate)));
        let answer = target.options(&headers, 200);
        let given = answer.header("webhook-allowed-rate");
        assert_eq!(given, Some(granted), "{allowed} {asked:?}");
        let grant = target.grant_of(SENDER).expect("a grant");
        let number: Option<u64> = granted.parse().ok();
        assert_eq!(
            grant["allowed_rate"],
            number.map_or(json!("*"), |rate| json!(rate)),
            "{grant}"
        );
        let number: Option<u64> = asked.and_then(|rate| rate.parse().ok());
        if number.is_none_or(|rate| rate <= 1_000_001) {
            assert_eq!(grant["requested_rate"], json!(number), "{grant}");
        }
    }
    assert_eq!(target.grants().len(), 1, "asking again is the same grant");
}

/// WH-4.1-9
#[test]
fn a_rate_that_is_none_is_refused_and_grants_nothing() {
    let target = Target::allowing();
    for rate in [
        "0",
        "00",
        "-1",
        "+1",
        "1.5",
        "1,5",
        "1e3",
        "0x10",
        "60/min",
        "60 60",
        "60,60",
        "60, 60",
        "many",
        "*",
        "99999999999",
        "100000000000000000000",
        "",
    ] {
        let answer = target.options(&[(ORIGIN, SENDER), (RATE, rate)], 400);
        assert_problem(&answer, 400);
        assert_grants_nothing(&answer);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let twice = target.options(&[(ORIGIN, SENDER), (RATE, "60"), (RATE, "60")], 400);
    assert_grants_nothing(&twice);
    assert_eq!(target.grants(), [] as [Value; 0]);
    // A good grant outlives a bad question.
    target.be_granted(SENDER);
    target.options(&[(ORIGIN, SENDER), (RATE, "many")], 400);
    assert_eq!(target.grant_of(SENDER).expect("a grant")["state"], json!("granted"));
}

/// WH-4.2-35: over the granted rate the answer is 429 with the time to wait, and nothing is stored.
#[test]
fn deliveries_above_the_rate_are_held_off_and_go_on_after_the_wait() {
    // Two each second, so at most two at once.
    let target = Target::start(
        Options::default(),
        &json!({"allowed_origins": [SENDER], "allowed_rate": 120}),
    );
    // Before there is a grant nothing is counted.
    for _ in 0..8 {
        target.push(&[], 202);
    }
    target.options(&[(ORIGIN, SENDER), (RATE, "600")], 200);
    let started = std::time::Instant::now();
    let (mut taken, mut refused) = (0_u32, 0_u32);
    let transmitter = target.source.transmitter(&target.instance);
    while taken < 7 {
        let set = target.transmitter.draft(crate::support::ACME_AUDIENCE).sign();
        let headers = [("content-type", "application/secevent+jwt"), (ORIGIN, SENDER)];
        let path = target.source.receive_path();
        let answer = transmitter
            .try_send("POST", &path, &headers, set.as_bytes())
            .expect("an answer");
        match answer.status {
            202 => taken += 1,
            429 => {
                refused += 1;
                let wait: u64 = answer
                    .header("retry-after")
                    .and_then(|text| text.parse().ok())
                    .expect("WH-2.2-9");
                // The next one may go after half a second, in whole seconds.
                assert_eq!(wait, 1, "{answer}");
                assert_eq!(answer.header("cache-control"), Some("no-store"));
            }
            _ => panic!("{answer}"),
        }
        assert!(
            started.elapsed() < crate::harness::DEADLINE,
            "{taken} taken, {refused} refused"
        );
        // Two at once, then one each half second.
        let most = 3 + started.elapsed().as_millis() / 500;
        assert!(
            u128::from(taken) <= most,
            "{taken} were taken within {:?}",
            started.elapsed()
        );
    }
    assert!(refused > 0);
    assert_eq!(target.received(), 8 + 7, "what is refused is not stored");
}

/// The rate belongs to the origin: one does not use up what another was granted.
#[test]
fn each_origin_has_a_rate_of_its_own() {
    let target = Target::start(
        Options::default(),
        &json!({"allowed_origins": [SENDER, "calm.example.com"], "allowed_rate": 1}),
    );
    target.be_rated(SENDER, "1");
    target.be_rated("calm.example.com", "1");
    target.push(&[(ORIGIN, SENDER)], 202);
    let wait = exhaust(&target);
    // A minute for each, less what has passed.
    assert!((1..=60).contains(&wait), "{wait}");
    target.push(&[(ORIGIN, "calm.example.com")], 202);
}

/// Asking again does not begin the count anew, or the rate would be nothing.
#[test]
fn asking_again_is_no_way_around_the_rate() {
    let target = one_a_minute();
    exhaust(&target);
    target.be_rated(SENDER, "1");
    target.push(&[(ORIGIN, SENDER)], 429);
}

/// Without a limit there is none, nor one that the operator lifted.
#[test]
fn an_origin_without_a_limit_is_never_held_off() {
    let target = one_a_minute();
    exhaust(&target);
    target.change(&json!({"allowed_rate": null}));
    let answer = target.options(&[(ORIGIN, SENDER)], 200);
    assert_eq!(answer.header("webhook-allowed-rate"), Some("*"));
    for _ in 0..20 {
        target.push(&[(ORIGIN, SENDER)], 202);
    }
}

/// What is refused for another reason is refused for that, and its SET is not lost to a rate.
#[test]
fn the_rate_counts_for_those_who_authenticate() {
    let target = one_a_minute();
    let stranger = target.instance.anyone();
    for _ in 0..5 {
        let headers = [("content-type", "application/secevent+jwt"), (ORIGIN, SENDER)];
        let answer = stranger.send("POST", &target.source.receive_path(), &headers, b"x", 400);
        assert_eq!(answer.json()["err"], json!("authentication_failed"));
    }
    // A stranger cannot use up what the sender was granted.
    target.push(&[(ORIGIN, SENDER)], 202);
}

/// A target whose sender was granted one request a minute.
#[track_caller]
fn one_a_minute() -> Target {
    let target = Target::start(
        Options::default(),
        &json!({"allowed_origins": [SENDER], "allowed_rate": 1}),
    );
    target.be_rated(SENDER, "1");
    target
}

impl Target {
    #[track_caller]
    fn be_rated(&self, origin: &str, rate: &str) {
        let answer = self.options(&[(ORIGIN, origin), (RATE, "600")], 200);
        assert_eq!(answer.header("webhook-allowed-rate"), Some(rate));
    }
}

/// Pushes until the rate is used up, which must come soon; the seconds to wait.
#[track_caller]
fn exhaust(target: &Target) -> u64 {
    let transmitter = target.source.transmitter(&target.instance);
    for _ in 0..3 {
        let set = target.transmitter.draft(crate::support::ACME_AUDIENCE).sign();
        let headers = [("content-type", "application/secevent+jwt"), (ORIGIN, SENDER)];
        let path = target.source.receive_path();
        let answer = transmitter
            .try_send("POST", &path, &headers, set.as_bytes())
            .expect("an answer");
        if answer.status == 429 {
            return answer
                .header("retry-after")
                .and_then(|text| text.parse().ok())
                .expect("WH-2.2-9");
        }
    }
    panic!("three deliveries fit into a rate of one a minute");
}
