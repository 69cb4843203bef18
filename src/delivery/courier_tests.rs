use super::super::chunk::NewItem;
use super::super::meta::migrate;
use super::super::outbox::{COUNTED_SCHEMA, FIRST_SCHEMA};
use super::super::sql::testing::TestSql;
use super::*;

pub(super) const NOW: u64 = 1_000_000;
pub(super) const POLICY: Policy = Policy {
    window: 3,
    retry: RetryPolicy {
        base_ms: 100,
        cap_ms: 10_000,
        give_up_after_ms: 60_000,
        give_up_attempts: 0,
    },
};

/// An outbox whose n-th event is about the n-th of these subjects.
pub(super) fn outbox(subjects: &[u8]) -> (TestSql, Outbox) {
    let sql = TestSql::default();
    migrate(&sql, &[FIRST_SCHEMA, crate::delivery::control::SCHEMA, COUNTED_SCHEMA]).unwrap();
    let mut outbox = Outbox::load(&sql).unwrap();
    let items: Vec<_> = (1_u8..)
        .zip(subjects)
        .map(|(n, subject)| NewItem {
            jti: [n; 16],
            content: [n; 8],
            lane: [*subject; 8],
            claims: vec![n],
        })
        .collect();
    outbox.append(&sql, &items, NOW).unwrap();
    (sql, outbox)
}

pub(super) fn at(n: u32) -> Pos {
    Pos { seq: 1, idx: n }
}

pub(super) fn retry() -> Verdict {
    Verdict::Retry { detail: "503".into() }
}

pub(super) fn hold(reason: HoldReason, not_before: Option<u64>) -> Verdict {
    Verdict::Hold {
        reason,
        detail: "no".into(),
        not_before,
        counts: true,
    }
}

#[test]
fn pushes_run_side_by_side_across_subjects_and_one_by_one_within() {
    let (_sql, mut outbox) = outbox(&[1, 1, 2, 3, 4]);
    let mut courier = Courier::new(POLICY, "");
    assert_eq!(courier.next(&outbox, NOW), Next::Push(at(0)));
    assert_eq!(courier.next(&outbox, NOW), Next::Push(at(2)));
    assert_eq!(courier.next(&outbox, NOW), Next::Push(at(3)));
    assert_eq!(courier.next(&outbox, NOW), Next::AwaitAnswer);
    assert_eq!(courier.handle(at(0), &Verdict::Delivered, NOW, 0.5), Outcome::Delivered);
    outbox.ack(at(0));
    assert_eq!(courier.next(&outbox, NOW), Next::Push(at(1)));
}

#[test]
fn a_failing_subject_waits_alone_and_keeps_its_order() {
    let (_sql, mut outbox) = outbox(&[1, 1, 2]);
    let mut courier = Courier::new(POLICY, "");
    courier.next(&outbox, NOW);
    assert_eq!(courier.handle(at(0), &retry(), NOW, 1.0), Outcome::RetryAt(NOW + 100));
    assert_eq!(courier.next(&outbox, NOW), Next::Push(at(2)));
    courier.handle(at(2), &Verdict::Delivered, NOW, 0.0);
    outbox.ack(at(2));
    assert_eq!(courier.next(&outbox, NOW), Next::WakeAt(NOW + 100));
    assert_eq!(courier.next(&outbox, NOW + 100), Next::Push(at(0)));
    assert_eq!(courier.attempts(&[1; 8], at(0)), 1);
}

#[test]
fn a_window_of_one_is_strict_order_across_subjects() {
    let (_sql, outbox) = outbox(&[1, 2, 3]);
    let mut courier = Courier::new(Policy { window: 1, ..POLICY }, "");
    assert_eq!(courier.next(&outbox, NOW), Next::Push(at(0)));
    courier.handle(at(0), &retry(), NOW, 1.0);
    assert_eq!(courier.next(&outbox, NOW), Next::WakeAt(NOW + 100));
}

#[test]
fn five_failures_in_a_row_hold_the_stream_and_one_event_probes() {
    let (_sql, mut outbox) = outbox(&[1, 2, 3, 4, 5, 6, 7, 8]);
    let mut courier = Courier::new(POLICY, "");
    let mut failed = 0;
    while failed < 5 {
        match courier.next(&outbox, NOW) {
            Next::Push(place) => {
                courier.handle(place, &retry(), NOW, 1.0);
                failed += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(courier.hold().map(|hold| hold.reason), Some(HoldReason::Failing));
    let Next::WakeAt(probe_at) = courier.next(&outbox, NOW) else {
        panic!("not held")
    };
    let Next::Push(probe) = courier.next(&outbox, probe_at) else {
        panic!("no probe")
    };
    assert_eq!(
        courier.next(&outbox, probe_at),
        Next::AwaitAnswer,
        "only one event probes"
    );
    courier.handle(probe, &Verdict::Delivered, probe_at, 0.0);
    outbox.ack(probe);
    assert_eq!(courier.hold(), None);
    for _ in 0..3 {
        assert!(matches!(courier.next(&outbox, probe_at), Next::Push(_)));
    }
}

/// WH-2.2-10, WH-2.2-34, WH-2.2-44.
#[test]
fn retry_after_holds_the_whole_stream_in_full_and_costs_the_event_no_attempt() {
    let (_sql, outbox) = outbox(&[1, 2]);
    let mut courier = Courier::new(POLICY, "");
    courier.next(&outbox, NOW);
    courier.next(&outbox, NOW);
    let verdict = Verdict::Hold {
        reason: HoldReason::RetryAfter,
        detail: "429".into(),
        not_before: Some(NOW + 7000),
        counts: false,
    };
    assert_eq!(
        courier.handle(at(0), &verdict, NOW, 1.0),
        Outcome::HeldUntil(NOW + 7100, HoldReason::RetryAfter)
    );
    // The other push had left before: its success does not lift what the endpoint asked for.
    courier.handle(at(1), &Verdict::Delivered, NOW, 0.0);
    assert_eq!(courier.next(&outbox, NOW + 7099), Next::WakeAt(NOW + 7100));
    assert_eq!(courier.next(&outbox, NOW + 7100), Next::Push(at(0)));
    assert_eq!(courier.attempts(&[1; 8], at(0)), 0);
}

/// WH-2.2-36: `Retry-After` on another failure is obeyed, and counts as the failure it is.
#[test]
fn an_endpoint_that_is_always_busy_does_not_keep_an_event_for_ever() {
    let (_sql, outbox) = outbox(&[1]);
    let mut courier = Courier::new(POLICY, "");
    let mut now = NOW;
    let mut attempts = 0;
    loop {
        assert_eq!(courier.next(&outbox, now), Next::Push(at(0)));
        attempts += 1;
        match courier.handle(at(0), &hold(HoldReason::RetryAfter, Some(now + 25_000)), now, 0.0) {
            Outcome::HeldUntil(until, _) => now = until,
            Outcome::Dead(death) => {
                assert_eq!((death.err.as_str(), death.attempts), ("given_up", attempts));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(attempts, 4);
}

#[test]
fn a_shorter_hold_never_cuts_a_longer_one() {
    let (_sql, outbox) = outbox(&[1, 2]);
    let mut courier = Courier::new(POLICY, "");
    courier.next(&outbox, NOW);
    courier.next(&outbox, NOW);
    courier.handle(at(0), &hold(HoldReason::RetryAfter, Some(NOW + 50_000)), NOW, 0.0);
    courier.handle(at(1), &hold(HoldReason::RetryAfter, Some(NOW + 1_000)), NOW, 0.0);
    assert_eq!(courier.next(&outbox, NOW), Next::WakeAt(NOW + 50_000));
}

#[test]
fn an_event_that_fails_for_too_long_is_given_up_and_its_subject_goes_on() {
    let (_sql, mut outbox) = outbox(&[1, 1]);
    let mut courier = Courier::new(POLICY, "");
    courier.next(&outbox, NOW);
    courier.handle(at(0), &retry(), NOW, 0.0);
    let late = NOW + 60_000;
    assert_eq!(courier.next(&outbox, late), Next::Push(at(0)));
    let Outcome::Dead(death) = courier.handle(at(0), &retry(), late, 0.0) else {
        panic!("not given up")
    };
    assert_eq!((death.err.as_str(), death.attempts), ("given_up", 2));
    outbox.ack(at(0));
    assert_eq!(courier.next(&outbox, late), Next::Push(at(1)));
}

#[test]
fn what_spaces_the_retries_survives_a_restart() {
    let (_sql, outbox) = outbox(&[1, 2]);
    let mut courier = Courier::new(POLICY, "");
    assert_eq!(courier.kept(), "");
    courier.next(&outbox, NOW);
    courier.handle(at(0), &retry(), NOW, 1.0);
    courier.next(&outbox, NOW);
    courier.handle(at(1), &hold(HoldReason::RetryAfter, Some(NOW + 5_000)), NOW, 0.0);
    let mut again = Courier::new(POLICY, &courier.kept());
    assert_eq!(again.attempts(&[1; 8], at(0)), 1);
    assert_eq!(again.next(&outbox, NOW + 4_999), Next::WakeAt(NOW + 5_000));
    assert_eq!(Courier::new(POLICY, "not json").kept(), "");
}

#[test]
fn nothing_to_send_is_idle_even_under_a_hold() {
    let (_sql, mut outbox) = outbox(&[1]);
    let mut courier = Courier::new(POLICY, "");
    courier.next(&outbox, NOW);
    courier.handle(at(0), &hold(HoldReason::Gone, None), NOW, 1.0);
    outbox.ack(at(0));
    assert_eq!(courier.next(&outbox, NOW), Next::Idle);
}

#[test]
fn control_events_go_first_and_alone_pass_a_closed_gate() {
    use crate::delivery::control::{Gate, Kind};
    let (sql, mut outbox) = outbox(&[1, 2]);
    let control = outbox.control();
    control.add(&sql, Kind::Verification, [8; 16], vec![8], NOW).unwrap();
    control.add(&sql, Kind::StreamUpdated, [9; 16], vec![9], NOW).unwrap();
    let mut courier = Courier::new(POLICY, "");
    outbox.set_gate(Gate::UpdatesOnly);
    let update = Pos { seq: -2, idx: 0 };
    assert_eq!(courier.next(&outbox, NOW), Next::Push(update));
    assert_eq!(
        courier.next(&outbox, NOW),
        Next::AwaitAnswer,
        "a paused stream sends nothing else"
    );
    assert_eq!(courier.handle(update, &retry(), NOW, 1.0), Outcome::RetryAt(NOW + 100));
    assert_eq!(courier.next(&outbox, NOW), Next::WakeAt(NOW + 100));
    outbox.set_gate(Gate::Open);
    assert_eq!(
        courier.next(&outbox, NOW),
        Next::Push(at(0)),
        "its failure does not hold the events"
    );
    assert_eq!(courier.next(&outbox, NOW + 100), Next::Push(Pos { seq: -1, idx: 0 }));
    assert_eq!(
        courier.next(&outbox, NOW + 100),
        Next::AwaitAnswer,
        "the other event does not overtake it on the way"
    );
}

#[test]
fn a_hold_remembers_when_it_began_and_somebody_may_ask_again() {
    let (_sql, outbox) = outbox(&[1]);
    let mut courier = Courier::new(POLICY, "");
    courier.next(&outbox, NOW);
    courier.handle(at(0), &hold(HoldReason::Legal, None), NOW, 1.0);
    courier.next(&outbox, NOW + 200);
    courier.handle(at(0), &hold(HoldReason::Legal, Some(NOW + 90_000)), NOW + 200, 1.0);
    let stands = courier.hold().unwrap();
    assert_eq!((stands.since, stands.until), (NOW, NOW + 90_100));
    assert!(stands.lasting);
    assert!(
        courier.ask_again(NOW + 300),
        "the endpoint refused: it has to say otherwise"
    );
    assert_eq!(courier.next(&outbox, NOW + 300), Next::Push(at(0)));
    assert!(courier.hold().unwrap().lasting, "asking does not make it short");
    courier.forget(at(0));
    assert_eq!(
        courier.next(&outbox, NOW + 300),
        Next::Push(at(0)),
        "forgotten, it goes out again"
    );
    courier.forget_in_flight();
    let mut failing = Courier::new(POLICY, "");
    for n in 0..FAILURES_BEFORE_HOLD {
        failing.handle(at(n), &retry(), NOW, 1.0);
    }
    assert_eq!(failing.hold().map(|hold| hold.reason), Some(HoldReason::Failing));
    assert!(!failing.ask_again(NOW));
    assert_eq!(failing.hold(), None);
    courier.start_afresh();
    assert_eq!((courier.hold(), courier.kept().as_str()), (None, ""));
}

#[test]
fn what_waited_through_a_pause_is_not_given_up_at_the_first_failure_after_it() {
    let (_sql, outbox) = outbox(&[1]);
    let mut courier = Courier::new(POLICY, "");
    courier.next(&outbox, NOW);
    courier.handle(at(0), &retry(), NOW, 1.0);
    let later = NOW + POLICY.retry.give_up_after_ms + 1;
    courier.ask_again(later);
    courier.next(&outbox, later);
    assert_eq!(
        courier.handle(at(0), &retry(), later, 1.0),
        Outcome::RetryAt(later + 100)
    );
}

/// WH-2.2-7, WH-2.2-31
#[test]
fn an_endpoint_that_is_gone_is_never_tried_by_time_and_once_when_somebody_asks() {
    let (_sql, outbox) = outbox(&[1, 2]);
    let mut courier = Courier::new(POLICY, "");
    courier.next(&outbox, NOW);
    let gone = hold(HoldReason::Gone, Some(NOW + 5));
    assert_eq!(
        courier.handle(at(0), &gone, NOW, 1.0),
        Outcome::HeldUntil(NEVER, HoldReason::Gone)
    );
    let mut courier = Courier::new(POLICY, &courier.kept());
    assert_eq!(courier.next(&outbox, NEVER - 1), Next::Idle);
    assert_eq!(courier.due_at(&outbox, NOW), None);
    // A late success of before says nothing about now.
    courier.handle(at(1), &Verdict::Delivered, NOW, 1.0);
    assert!(courier.hold().is_some_and(|hold| hold.lasting));
    assert!(courier.ask_again(NOW + 10));
    assert_eq!(courier.next(&outbox, NOW + 10), Next::Push(at(0)));
    courier.handle(at(0), &gone, NOW + 10, 1.0);
    assert_eq!(courier.next(&outbox, NEVER - 1), Next::Idle);
}

/// WH-2.2-33
#[test]
fn one_415_may_be_the_events_fault_and_two_in_a_row_are_the_endpoints() {
    let refused = Verdict::Dead {
        err: FORMAT_REFUSED.into(),
        description: "415".into(),
    };
    let (_sql, outbox) = outbox(&[1, 2, 3]);
    let mut courier = Courier::new(POLICY, "");
    for n in 0..3 {
        assert_eq!(courier.next(&outbox, NOW), Next::Push(at(n)));
    }
    assert!(matches!(courier.handle(at(0), &refused, NOW, 1.0), Outcome::Dead(_)));
    courier.handle(at(1), &Verdict::Delivered, NOW, 1.0);
    assert!(matches!(courier.handle(at(2), &refused, NOW, 1.0), Outcome::Dead(_)));
    let mut courier = Courier::new(POLICY, &courier.kept());
    courier.next(&outbox, NOW);
    assert_eq!(
        courier.handle(at(0), &refused, NOW, 1.0),
        Outcome::HeldUntil(NOW + 100, HoldReason::FormatRefused)
    );
    courier.next(&outbox, NOW + 100);
    courier.handle(at(0), &Verdict::Delivered, NOW + 100, 1.0);
    assert_eq!(courier.hold(), None);
}

#[test]
fn an_event_is_given_up_after_so_many_attempts_where_that_is_wanted() {
    let (_sql, outbox) = outbox(&[1]);
    let mut policy = POLICY;
    policy.retry.give_up_attempts = 3;
    let mut courier = Courier::new(policy, "");
    let mut now = NOW;
    for attempt in 1..=3 {
        assert_eq!(courier.next(&outbox, now), Next::Push(at(0)));
        match courier.handle(at(0), &retry(), now, 1.0) {
            Outcome::RetryAt(next_at) => now = next_at,
            Outcome::Dead(death) => {
                assert_eq!((attempt, death.attempts, death.err.as_str()), (3, 3, "given_up"));
                return;
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("it is never given up");
}

/// WH-2.2-36
#[test]
fn a_retry_after_that_is_over_at_once_does_not_switch_the_back_off_off() {
    let (_sql, outbox) = outbox(&[1]);
    let mut courier = Courier::new(POLICY, "");
    let mut now = NOW;
    for expected in [100, 200, 400, 800] {
        courier.next(&outbox, now);
        let outcome = courier.handle(at(0), &hold(HoldReason::RetryAfter, Some(now)), now, 1.0);
        assert_eq!(outcome, Outcome::HeldUntil(now + expected, HoldReason::RetryAfter));
        now += expected;
    }
}

#[test]
fn a_hanging_push_does_not_hide_when_others_are_due() {
    let (_sql, outbox) = outbox(&[1, 2]);
    let mut courier = Courier::new(POLICY, "");
    courier.next(&outbox, NOW);
    courier.next(&outbox, NOW);
    courier.handle(at(1), &retry(), NOW, 1.0);
    assert_eq!(courier.next(&outbox, NOW), Next::WakeAt(NOW + 100));
    assert_eq!(courier.next(&outbox, NOW + 100), Next::Push(at(1)));
    courier.handle(at(1), &hold(HoldReason::RetryAfter, Some(NOW + 900)), NOW + 100, 0.0);
    assert_eq!(courier.next(&outbox, NOW + 100), Next::WakeAt(NOW + 900));
}

/// WH-2.2-10
#[test]
fn what_the_endpoint_asked_for_stands_whatever_else_happens() {
    let asks = hold(HoldReason::RetryAfter, Some(NOW + 50_000));
    // The event that is answered so is given up.
    let (_sql, outbox_of) = outbox(&[1, 2, 3]);
    let mut policy = POLICY;
    policy.retry.give_up_attempts = 1;
    let mut courier = Courier::new(policy, "");
    courier.next(&outbox_of, NOW);
    assert!(matches!(courier.handle(at(0), &asks, NOW, 0.0), Outcome::Dead(_)));
    assert_eq!(courier.hold().map(|hold| hold.until), Some(NOW + 50_000));
    // Others fail, and then one under way succeeds.
    let mut courier = Courier::new(Policy { window: 9, ..POLICY }, "");
    let (_sql, outbox) = outbox(&[1, 2, 3, 4, 5, 6, 7, 8]);
    for n in 0..8 {
        assert_eq!(courier.next(&outbox, NOW), Next::Push(at(n)));
    }
    courier.handle(at(0), &asks, NOW, 0.0);
    for n in 1..=6 {
        courier.handle(at(n), &retry(), NOW + 49_000, 1.0);
    }
    assert!(courier.hold().is_some_and(|hold| hold.until >= NOW + 50_000));
    courier.handle(at(7), &Verdict::Delivered, NOW + 49_100, 1.0);
    let stands = courier.hold().expect("the endpoint's own word");
    assert_eq!(stands.until, NOW + 50_000);
}

#[test]
fn attempts_are_the_events_own_and_no_change_of_the_window_forgets_a_wait() {
    let (_sql, outbox) = outbox(&[1, 1]);
    let mut policy = POLICY;
    policy.retry.give_up_attempts = 2;
    let mut courier = Courier::new(policy, "");
    courier.next(&outbox, NOW);
    courier.handle(at(0), &retry(), NOW, 1.0);
    for window in [1, 3, 1] {
        courier.set_window(window);
        assert_eq!(courier.next(&outbox, NOW), Next::WakeAt(NOW + 100));
    }
    // Another event of the subject comes first now: it has failed once, too, and not twice.
    courier.forget_in_flight();
    assert_eq!(courier.attempts(&[1; 8], at(1)), 0);
    courier.in_flight.insert(at(1), ([1; 8], at(1)));
    assert_eq!(
        courier.handle(at(1), &retry(), NOW + 100, 1.0),
        Outcome::RetryAt(NOW + 200)
    );
}

#[test]
fn an_event_under_way_is_not_chosen_again_when_the_window_grows() {
    let (_sql, outbox) = outbox(&[1, 1, 2]);
    let mut courier = Courier::new(Policy { window: 1, ..POLICY }, "");
    assert_eq!(courier.next(&outbox, NOW), Next::Push(at(0)));
    courier.set_window(3);
    assert_eq!(courier.next(&outbox, NOW), Next::Push(at(2)));
    assert_eq!(courier.next(&outbox, NOW), Next::AwaitAnswer);
}
