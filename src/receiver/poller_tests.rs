use super::*;
use crate::protocol::set::SetErr;
use serde_json::json;

const RULES: Rules = Rules {
    interval_ms: 0,
    idle_ms: 5000,
    retry: RetryPolicy {
        base_ms: 1000,
        cap_ms: 300_000,
        give_up_after_ms: 0,
        give_up_attempts: 0,
    },
};

fn body(request: &Request) -> Value {
    serde_json::from_str(&request.body).unwrap()
}

/// Answers the next request with this after `took` milliseconds; returns the keys.
fn turn(poller: &mut Poller, rules: &Rules, answer: &str, took: u64, now: u64) -> Vec<String> {
    let request = poller.request(rules);
    let sets = poller
        .answered(&request, answer.as_bytes(), false, rules, now - took, now)
        .unwrap();
    sets.into_iter().map(|(key, _)| key).collect()
}

/// POLL-R-20, POLL-R-23, POLL-2.4.1-1.
#[test]
fn acks_are_kept_until_a_request_with_them_was_answered() {
    let mut poller = Poller::default();
    assert_eq!(
        body(&poller.request(&RULES)),
        json!({"maxEvents": 100, "returnImmediately": false})
    );
    assert_eq!(
        turn(&mut poller, &RULES, r#"{"sets":{"a":"x.y.z","b":5}}"#, 0, 10),
        ["a", "b"]
    );
    poller.ack("a");
    poller.refuse("b", ErrorBody::new(SetErr::InvalidRequest, "no"));
    let request = poller.request(&RULES);
    assert_eq!(body(&request)["ack"], json!(["a"]));
    assert_eq!(
        body(&request)["setErrs"],
        json!({"b": {"err": "invalid_request", "description": "no"}})
    );
    poller.failed(&Trouble::later("503"), &RULES, 1.0, 20);
    assert_eq!(poller.due(), 1020);
    assert_eq!(poller.request(&RULES), request, "once more with the same");
    poller.ack("c");
    poller.answered(&request, b"{}", false, &RULES, 0, 2000).unwrap();
    assert_eq!(
        body(&poller.request(&RULES))["ack"],
        json!(["c"]),
        "what came meanwhile stays"
    );
}

/// SET-5.3-1: the text's order is all there is.
#[test]
fn sets_are_read_in_the_order_of_the_text_and_not_without_end() {
    let mut poller = Poller::default();
    let answer = r#"{"sets":{"c":"x","a":5,"\u0062":"y"}}"#;
    assert_eq!(turn(&mut poller, &RULES, answer, 0, 10), ["c", "a", "b"]);
    let many: Vec<_> = (0..1000).map(|n| format!("\"{}\":0", 1000 - n)).collect();
    let found = turn(
        &mut poller,
        &RULES,
        &format!("{{\"sets\":{{{}}}}}", many.join(",")),
        0,
        10,
    );
    assert_eq!(
        (found.len(), found[0].as_str(), found[199].as_str()),
        (200, "1000", "801")
    );
}

/// Pitfall 3.
#[test]
fn every_shape_of_more_available_and_of_no_sets_is_read() {
    for (answer, more) in [
        (r#"{"sets":{},"moreAvailable":true}"#, true),
        (r#"{"sets":{},"moreAvailable":"true"}"#, true),
        (r#"{"sets":{},"moreAvailable":1}"#, true),
        (r#"{"sets":null,"moreAvailable":"false"}"#, false),
        (r#"{"moreAvailable":{}}"#, false),
        (r#"{"sets":{},"moreAvailable":null}"#, false),
        ("{}", false),
        ("", false),
    ] {
        let mut poller = Poller::default();
        assert!(turn(&mut poller, &RULES, answer, 0, 10).is_empty());
        assert_eq!(poller.request(&RULES).at_once, more, "{answer}");
    }
    for answer in ["[]", "null", "<html>", r#"{"sets":[]}"#, r#"{"sets":"x"}"#] {
        let mut poller = Poller::default();
        let request = poller.request(&RULES);
        assert!(
            poller
                .answered(&request, answer.as_bytes(), false, &RULES, 0, 10)
                .is_err(),
            "{answer}"
        );
    }
}

#[test]
fn a_transmitter_that_does_not_hold_is_asked_less_and_less_until_something_comes() {
    let mut poller = Poller::default();
    let mut now = 0;
    let mut waits = Vec::new();
    for _ in 0..8 {
        turn(&mut poller, &RULES, "{}", 0, now);
        waits.push(poller.due() - now);
        now = poller.due();
    }
    assert_eq!(waits, [0, 0, 5000, 10_000, 20_000, 40_000, 60_000, 60_000]);
    turn(&mut poller, &RULES, r#"{"sets":{"a":"x"}}"#, 0, now);
    poller.something_new();
    assert_eq!((poller.due(), poller.request(&RULES).at_once), (now, false));
    let mut busy = Poller::default();
    for _ in 0..3 {
        turn(&mut busy, &RULES, r#"{"sets":{},"moreAvailable":true}"#, 0, now);
    }
    assert_eq!(
        busy.due(),
        now + 5000,
        "more that never comes is no reason to ask all the time"
    );
    let mut held = Poller::default();
    for _ in 0..10 {
        now += 25_000;
        turn(&mut held, &RULES, "{}", 25_000, now);
        assert_eq!((held.due(), held.request(&RULES).at_once), (now, false));
    }
}

#[test]
fn short_polls_go_on_until_nothing_is_left_and_then_wait() {
    let rules = Rules {
        interval_ms: 30_000,
        ..RULES
    };
    let mut poller = Poller::default();
    assert!(poller.request(&rules).at_once);
    turn(&mut poller, &rules, r#"{"sets":{"a":"x"}}"#, 0, 10);
    assert_eq!(poller.due(), 10);
    turn(&mut poller, &rules, "{}", 0, 20);
    assert_eq!(poller.due(), 30_020);
}

#[test]
fn failures_back_off_and_named_times_are_obeyed() {
    let mut poller = Poller::default();
    for (n, expected) in [(1, 1000), (2, 2000), (3, 4000)] {
        poller.failed(&Trouble::later(""), &RULES, 1.0, 0);
        assert_eq!((poller.failures(), poller.due()), (n, expected));
    }
    poller.failed(
        &Trouble::Later {
            detail: String::new(),
            not_before: Some(90_000),
        },
        &RULES,
        1.0,
        0,
    );
    assert_eq!(poller.due(), 90_000);
    poller.failed(&Trouble::Refused(String::new()), &RULES, 0.0, 0);
    assert_eq!(poller.due(), 300_000);
    poller.failed(&Trouble::later(""), &RULES, 0.0, 0);
    assert_eq!(poller.due(), 500, "never at once");
}

/// The object that polls lives for seconds; what it waits for may be hours away.
#[test]
fn a_pace_outlives_the_object() {
    let again = |poller: &Poller, now: u64| {
        let mut next = Poller::default();
        assert_eq!(next.kept(now), None, "nobody knows yet");
        next.go_on(poller.kept(now).unwrap());
        next
    };
    let mut poller = Poller::default();
    poller.go_on(Pace::default());
    let hour = Trouble::Later {
        detail: String::new(),
        not_before: Some(3_600_000),
    };
    for n in 1..=3 {
        poller.failed(&hour, &RULES, 1.0, n);
        poller = again(&poller, n);
        assert_eq!((poller.failures(), poller.due()), (n as u32, 3_600_000));
    }
    let mut changed = Poller::default();
    changed.start_over();
    changed.go_on(poller.kept(3).unwrap());
    assert_eq!(changed.due(), 0, "what was before a change counts no more");
    let rules = Rules {
        interval_ms: 86_400_000,
        ..RULES
    };
    turn(&mut poller, &rules, "{}", 0, 10);
    assert_eq!(again(&poller, 10).due(), 86_400_010);
    let mut well = Poller::default();
    well.go_on(Pace::default());
    turn(&mut well, &RULES, "{}", 25_000, 50_000);
    assert_eq!(well.kept(50_000), Some(Pace::default()), "no row while all is well");
}

#[test]
fn a_transmitter_may_hold_a_poll_for_longer_than_we_wait() {
    let mut poller = Poller::default();
    poller.ack("a");
    for now in [60_000, 120_000, 180_000] {
        assert!(!poller.request(&RULES).at_once);
        poller.held_too_long(now);
        assert_eq!((poller.failures(), poller.due()), (0, now));
        let request = poller.request(&RULES);
        assert!(request.at_once, "is it there, and has it heard?");
        assert_eq!(body(&request).get("ack").is_some(), now == 60_000);
        turn(&mut poller, &RULES, "{}", 0, now);
    }
}

#[test]
fn an_answer_that_does_not_fit_is_asked_for_in_smaller_pieces() {
    let mut poller = Poller::default();
    for expected in [50, 25, 12, 6, 3, 1] {
        let request = poller.request(&RULES);
        assert!(poller.answered(&request, b"{", true, &RULES, 0, 10).unwrap().is_empty());
        assert_eq!(body(&poller.request(&RULES))["maxEvents"], json!(expected));
    }
    let request = poller.request(&RULES);
    assert!(poller.answered(&request, b"{", true, &RULES, 0, 10).is_err());
}
