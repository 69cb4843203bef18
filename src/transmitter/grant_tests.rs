use super::*;

const NOW: u64 = 1_795_262_400_000;
const RULES: Rules = Rules {
    request_rate: 600,
    ttl_ms: 1_000_000,
    window_ms: 100_000,
    retry_ms: 1000,
    timeout_ms: 500,
};

fn asked() -> Grant {
    let mut grant = Grant::default();
    grant.require(&RULES, NOW);
    grant.begin("one", 600, &RULES, NOW);
    grant
}

fn yes(rate: u32) -> Answer {
    Answer::Granted {
        rate: Rate::PerMinute(rate),
        rate_missing: false,
    }
}

fn no() -> Answer {
    Answer::Refused("403".into())
}

fn again() -> Answer {
    Answer::Again {
        detail: "503".into(),
        retry_after: None,
    }
}

fn asks(grant: &Grant, now: u64) -> bool {
    grant.asks_at().is_some_and(|at| at <= now)
}

fn due_at(grant: &Grant) -> Option<u64> {
    [grant.asks_at(), grant.clock_at()].into_iter().flatten().min()
}

fn granted() -> Grant {
    let mut grant = asked();
    assert!(grant.answered("one", yes(120), 0, &RULES, NOW + 10));
    grant
}

#[test]
fn nobody_is_pushed_to_who_was_not_asked() {
    let mut grant = Grant::default();
    assert!(grant.permits() && !grant.is_required() && due_at(&grant).is_none());
    grant.require(&RULES, NOW);
    assert!(!grant.permits() && grant.is_required() && asks(&grant, NOW));
    grant.begin("one", 600, &RULES, NOW);
    assert!(!asks(&grant, NOW), "one attempt at a time");
    assert_eq!(
        due_at(&grant),
        Some(NOW + 1500),
        "a crash is followed by another attempt"
    );
    assert!(grant.answered("one", yes(120), 0, &RULES, NOW + 10));
    assert!(grant.permits());
    assert_eq!(
        (grant.pace(), grant.expires_at),
        (Some(120), Some(NOW + 10 + 1_000_000))
    );
    assert_eq!((grant.via, grant.granted_at), (Some(Via::Options), Some(NOW + 10)));
    assert!(!grant.answered("one", no(), 0, &RULES, NOW + 20), "it was answered");
}

/// WH-4-6, WH-4.2-6
#[test]
fn each_answer_leads_where_it_should() {
    for (answer, state, called_back) in [
        (no(), State::Denied, false),
        (Answer::Unsupported("405".into()), State::Unsupported, true),
        (Answer::Later, State::Pending, true),
        (again(), State::Pending, true),
    ] {
        let mut grant = asked();
        assert!(grant.answered("one", answer, 0, &RULES, NOW + 10));
        assert_eq!((grant.state, grant.permits()), (state, false));
        let good = grant.called_back("one", None, Via::CallbackGet, &RULES, NOW + 20);
        assert_eq!((good, grant.permits()), (called_back, called_back), "{state:?}");
    }
}

#[test]
fn an_endpoint_that_cannot_answer_is_asked_again_until_its_time_is_over() {
    let mut grant = asked();
    let mut now = NOW;
    for (attempt, wait) in [1000, 6000, 30_000, 30_000].into_iter().enumerate() {
        assert!(grant.answered(["one", "2", "3", "4"][attempt], again(), 0, &RULES, now));
        assert!(!asks(&grant, now + wait - 1) && asks(&grant, now + wait));
        now += wait;
        grant.begin(["2", "3", "4", "5"][attempt], 600, &RULES, now);
    }
    // What it asked for is obeyed.
    assert!(grant.answered("5", again(), now + 50_000, &RULES, now));
    assert!(!asks(&grant, now + 49_999));
    assert!(!grant.keep_time(&RULES, NOW + 99_999));
    assert!(grant.keep_time(&RULES, NOW + 100_000));
    assert_eq!((grant.state, due_at(&grant)), (State::Expired, None));
    assert!(!grant.called_back("5", None, Via::CallbackGet, &RULES, NOW + 100_000));
}

/// WH-4.1-13, WH-4.1-22, WH-4.1-23
#[test]
fn a_callback_may_overtake_the_answer_and_be_repeated() {
    let mut grant = asked();
    assert!(!grant.called_back("two", None, Via::CallbackGet, &RULES, NOW + 1));
    assert!(grant.called_back("one", None, Via::CallbackGet, &RULES, NOW + 1));
    assert_eq!((grant.pace(), grant.via), (Some(600), Some(Via::CallbackGet)));
    let before = grant.clone();
    assert!(!grant.answered("one", Answer::Later, 0, &RULES, NOW + 2));
    assert!(!grant.answered("one", again(), 0, &RULES, NOW + 2));
    assert!(!asks(&grant, NOW + 50_000), "it has answered");
    assert!(grant.called_back("one", None, Via::CallbackGet, &RULES, NOW + 3));
    assert_eq!(grant, before, "the same again");
    assert!(grant.called_back("one", Some(Rate::PerMinute(7)), Via::CallbackPost, &RULES, NOW + 4));
    assert_eq!(grant.pace(), Some(7));
    assert!(grant.called_back("one", Some(Rate::Unlimited), Via::CallbackPost, &RULES, NOW + 5));
    assert_eq!((grant.pace(), grant.permits()), (None, true));
    assert!(
        grant.keep_time(&RULES, NOW + 100_000),
        "the window is over, the grant is not"
    );
    assert!(grant.permits());
    assert!(!grant.called_back("one", None, Via::CallbackGet, &RULES, NOW + 100_001));
    // Who says both yes and no has not agreed (WH-4.2-9).
    let mut grant = asked();
    assert!(grant.called_back("one", None, Via::CallbackGet, &RULES, NOW + 1));
    assert!(grant.answered("one", no(), 0, &RULES, NOW + 2));
    assert_eq!(grant.state, State::Denied);
    assert!(
        !grant.called_back("one", None, Via::CallbackGet, &RULES, NOW + 3),
        "final until it is asked anew"
    );
}

#[test]
fn any_attempt_of_a_handshake_may_be_answered_by_callback_and_none_of_another() {
    let mut grant = asked();
    assert!(grant.answered("one", again(), 0, &RULES, NOW));
    grant.begin("two", 600, &RULES, NOW + 1000);
    assert!(grant.called_back("one", None, Via::CallbackPost, &RULES, NOW + 1001));
    grant.require(&RULES, NOW + 2000);
    assert!(!grant.permits());
    assert!(!grant.called_back("one", None, Via::CallbackPost, &RULES, NOW + 2001));
    assert!(
        !grant.answered("two", yes(1), 0, &RULES, NOW + 2002),
        "an answer to a question of before"
    );
    for n in 0..20 {
        grant.begin(&format!("s{n}"), 600, &RULES, NOW + 3000);
    }
    assert!(
        grant
            .handshake
            .as_ref()
            .is_some_and(|handshake| handshake.secrets.len() == MAX_SECRETS)
    );
}

/// WH-4-2: while it is asked again, what was granted goes on.
#[test]
fn a_grant_that_is_over_goes_on_until_the_endpoint_has_answered_or_its_time_is_over() {
    let over = NOW + 10 + RULES.ttl_ms;
    for (answer, state, permits) in [
        (Some(yes(60)), State::Granted, true),
        (Some(no()), State::Denied, false),
        (Some(Answer::Unsupported("405".into())), State::Granted, true),
        (Some(Answer::Later), State::Granted, true),
        (None, State::Granted, true),
    ] {
        let mut grant = granted();
        assert_eq!(due_at(&grant), Some(over));
        assert!(!grant.keep_time(&RULES, over - 1) && grant.keep_time(&RULES, over));
        assert!(grant.permits() && asks(&grant, over) && grant.pace() == Some(120));
        assert!(!grant.keep_time(&RULES, over + 1), "it is being asked");
        grant.begin("again", 600, &RULES, over);
        let renewed = answer == Some(yes(60));
        if let Some(answer) = answer {
            assert!(grant.answered("again", answer, 0, &RULES, over + 5));
        }
        assert_eq!((grant.state, grant.permits()), (state, permits));
        if renewed {
            assert_eq!(
                (grant.pace(), due_at(&grant)),
                (Some(60), Some(over + 5 + RULES.ttl_ms))
            );
        } else if permits {
            assert!(grant.keep_time(&RULES, over + RULES.window_ms));
            assert_eq!((grant.state, grant.pace()), (State::Expired, None));
        }
    }
    let forever = Rules { ttl_ms: 0, ..RULES };
    let mut grant = asked();
    grant.answered("one", yes(1), 0, &forever, NOW);
    assert_eq!((due_at(&grant), grant.keep_time(&forever, u64::MAX)), (None, false));
}

#[test]
fn a_callback_that_is_good_for_longer_than_the_grant_does_not_keep_it() {
    let short = Rules { ttl_ms: 10, ..RULES };
    let mut grant = asked();
    assert!(grant.called_back("one", None, Via::CallbackGet, &short, NOW));
    assert_eq!(due_at(&grant), Some(NOW + 10));
    assert!(grant.keep_time(&short, NOW + 10) && asks(&grant, NOW + 10));
    assert!(!grant.called_back("one", None, Via::CallbackGet, &short, NOW + 11));
}

/// An endpoint that only ever calls back says the same each time, and means it each time.
#[test]
fn a_callback_renews_a_grant_that_it_gave_in_the_same_words() {
    let mut grant = asked();
    assert!(grant.called_back("one", None, Via::CallbackPost, &RULES, NOW + 5));
    let over = NOW + 5 + RULES.ttl_ms;
    assert_eq!(grant.expires_at, Some(over));
    assert!(grant.keep_time(&RULES, over));
    grant.begin("again", 600, &RULES, over);
    assert!(grant.answered("again", Answer::Later, 0, &RULES, over + 1));
    assert!(grant.called_back("again", None, Via::CallbackPost, &RULES, over + 2));
    let renewed = grant.clone();
    assert_eq!(
        (renewed.granted_at, renewed.expires_at),
        (Some(over + 2), Some(over + 2 + RULES.ttl_ms))
    );
    assert!(grant.called_back("again", None, Via::CallbackPost, &RULES, over + 3));
    assert_eq!(grant, renewed, "the same again");
    assert!(grant.keep_time(&RULES, over + RULES.window_ms), "its handshake is over");
    assert!(grant.permits());
}

#[test]
fn more_may_be_asked_for_while_what_is_granted_stands() {
    let mut grant = granted();
    grant.ask_again(&RULES, NOW + 20);
    assert!(grant.permits() && asks(&grant, NOW + 20));
    grant.begin("more", 1200, &RULES, NOW + 20);
    assert!(grant.keep_time(&RULES, NOW + 20 + RULES.window_ms), "nobody answered");
    assert_eq!((grant.state, grant.pace()), (State::Granted, Some(120)));
    let mut denied = asked();
    denied.answered("one", no(), 0, &RULES, NOW);
    denied.ask_again(&RULES, NOW + 30);
    assert_eq!(
        (denied.state, denied.since, asks(&denied, NOW + 30)),
        (State::Pending, NOW + 30, true)
    );
    let mut free = Grant::default();
    free.ask_again(&RULES, NOW);
    assert_eq!(free.state, State::NotRequired);
}

#[test]
fn the_operator_may_grant_and_revoke() {
    let mut grant = asked();
    grant.grant_by_hand(Rate::PerMinute(600), &RULES, NOW + 1);
    assert_eq!((grant.pace(), grant.via), (Some(600), Some(Via::Operator)));
    assert!(!grant.answered("one", no(), 0, &RULES, NOW + 2), "he knows better");
    grant.revoke(Some("a complaint".into()), NOW + 3);
    assert_eq!(
        (grant.state, grant.via, grant.pace()),
        (State::Denied, Some(Via::Operator), None)
    );
    assert_eq!(grant.detail.as_deref(), Some("a complaint"));
    assert_eq!((due_at(&grant), grant.keep_time(&RULES, NOW + 4)), (None, false));
    grant.grant_by_hand(Rate::Unlimited, &RULES, NOW + 5);
    assert!(grant.permits() && grant.pace().is_none());
}

#[test]
fn an_endpoint_that_lost_its_registration_is_asked_when_that_would_do() {
    let mut grant = granted();
    grant.not_registered(NOW + 1);
    assert_eq!(
        (grant.state, grant.permits(), grant.was_not_registered()),
        (State::Denied, false, true)
    );
    let before = grant.clone();
    grant.not_registered(NOW + 2);
    assert_eq!(grant, before, "said once");
    let mut revoked = granted();
    revoked.revoke(Some(NOT_REGISTERED.to_owned()), NOW + 1);
    assert!(
        !revoked.was_not_registered(),
        "whatever the operator says, it is his word"
    );
    grant.require(&RULES, NOW + 3);
    assert!(asks(&grant, NOW + 3) && !grant.was_not_registered());
}

#[test]
fn others_of_the_same_host_come_first() {
    let mut grant = Grant::default();
    grant.require(&RULES, NOW);
    grant.postpone(NOW + 700, NOW);
    assert!(!asks(&grant, NOW + 699) && asks(&grant, NOW + 700));
    assert_eq!(due_at(&grant), Some(NOW + 700));
    assert_eq!(
        grant.clock_at(),
        Some(NOW + 700 + RULES.window_ms),
        "it loses no time by that"
    );
    let text = crate::protocol::record::text(&granted());
    assert_eq!(crate::protocol::record::read::<Grant>(&text), Ok(granted()));
    assert_eq!(crate::protocol::record::read::<Grant>("{}"), Ok(Grant::default()));
}
