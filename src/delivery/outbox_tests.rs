use super::super::meta::migrate;
use super::super::sql::testing::{Fault, TestSql};
use super::*;

const NOW: u64 = 1_795_262_400_000;

fn database() -> TestSql {
    let sql = TestSql::default();
    migrate(&sql, &[FIRST_SCHEMA, crate::delivery::control::SCHEMA]).unwrap();
    sql.take_written_rows();
    sql
}

fn item(n: u32) -> NewItem {
    sized(n, 20)
}

fn sized(n: u32, size: usize) -> NewItem {
    let mut jti = [0; 16];
    jti[..4].copy_from_slice(&n.to_be_bytes());
    let mut claims = vec![b'x'; size];
    claims[..4].copy_from_slice(&n.to_be_bytes());
    NewItem {
        jti,
        content: [1; 8],
        lane: [(n % 7) as u8; 8],
        claims,
    }
}

fn number(item: &Item) -> u32 {
    u32::from_be_bytes(item.claims()[..4].try_into().unwrap())
}

fn waiting(outbox: &Outbox) -> Vec<u32> {
    outbox.window().filter(|item| !item.acked).map(number).collect()
}

fn append(outbox: &mut Outbox, sql: &TestSql, range: std::ops::Range<u32>) -> Appended {
    let items: Vec<_> = range.map(item).collect();
    sql.atomic(|sql| outbox.append(sql, &items, NOW)).unwrap()
}

#[test]
fn a_batch_of_fifty_costs_one_row_and_survives_a_restart_in_order() {
    let sql = database();
    let mut outbox = Outbox::load(&sql).unwrap();
    assert_eq!(append(&mut outbox, &sql, 0..50), Appended { stored: 50, again: 0 });
    assert_eq!(sql.take_written_rows(), 1);
    assert_eq!(waiting(&Outbox::load(&sql).unwrap()), (0..50).collect::<Vec<_>>());
}

#[test]
fn acknowledgements_out_of_order_are_kept_by_one_cursor_row() {
    let sql = database();
    let mut outbox = Outbox::load(&sql).unwrap();
    append(&mut outbox, &sql, 0..20);
    sql.take_written_rows();
    let places: Vec<_> = outbox.window().map(|item| item.pos).collect();
    for index in [0, 1, 3, 9, 17] {
        assert!(outbox.ack(places[index]));
        assert!(!outbox.ack(places[index]));
    }
    sql.atomic(|sql| outbox.flush(sql, "")).unwrap();
    assert_eq!(sql.take_written_rows(), 1);
    let again = Outbox::load(&sql).unwrap();
    assert_eq!(again.head(), places[2]);
    assert_eq!(
        waiting(&again),
        (0..20).filter(|n| ![0, 1, 3, 9, 17].contains(n)).collect::<Vec<_>>()
    );
}

#[test]
fn what_was_not_flushed_is_sent_again_never_lost() {
    let sql = database();
    let mut outbox = Outbox::load(&sql).unwrap();
    append(&mut outbox, &sql, 0..5);
    let first = outbox.head();
    outbox.ack(first);
    assert_eq!(waiting(&Outbox::load(&sql).unwrap()), [0, 1, 2, 3, 4]);
}

#[test]
fn a_long_queue_is_never_loaded_whole_and_comes_out_complete() {
    let sql = database();
    let mut outbox = Outbox::load(&sql).unwrap();
    for batch in 0..100 {
        append(&mut outbox, &sql, batch * 50..(batch + 1) * 50);
    }
    let mut outbox = Outbox::load(&sql).unwrap();
    let mut seen = Vec::new();
    while !outbox.is_empty() {
        outbox.refill(&sql).unwrap();
        assert!(outbox.window().count() <= LOOK_AHEAD_EVENTS);
        let place = outbox.head();
        seen.push(number(outbox.get(place).unwrap()));
        outbox.ack(place);
        if seen.len() % 777 == 0 {
            outbox.flush(&sql, "").unwrap();
            outbox = Outbox::load(&sql).unwrap();
        }
    }
    assert_eq!(seen, (0..5000).collect::<Vec<_>>());
}

#[test]
fn the_look_ahead_is_bounded_in_bytes_too_and_acks_beyond_it_survive_a_reload() {
    let sql = database();
    let mut outbox = Outbox::load(&sql).unwrap();
    let items: Vec<_> = (0..40).map(|n| sized(n, 60_000)).collect();
    outbox.append(&sql, &items, NOW).unwrap();
    let places: Vec<_> = outbox.window().map(|item| item.pos).collect();
    assert!(places.len() < 40);
    let last = *places.last().unwrap();
    outbox.ack(last);
    outbox.flush(&sql, "").unwrap();
    let again = Outbox::load(&sql).unwrap();
    assert!(again.get(last).is_none());
    assert_eq!(again.window().count(), places.len());
}

#[test]
fn a_retry_with_the_same_id_is_harmless_and_another_event_under_it_a_conflict() {
    let sql = database();
    let mut outbox = Outbox::load(&sql).unwrap();
    append(&mut outbox, &sql, 0..3);
    assert_eq!(append(&mut outbox, &sql, 1..5), Appended { stored: 2, again: 2 });
    // The memory of ids is rebuilt from the chunks, delivered ones included.
    let mut outbox = Outbox::load(&sql).unwrap();
    while !outbox.is_empty() {
        outbox.ack(outbox.head());
    }
    outbox.flush(&sql, "").unwrap();
    let mut outbox = Outbox::load(&sql).unwrap();
    assert_eq!(append(&mut outbox, &sql, 0..5), Appended { stored: 0, again: 5 });
    let mut other = item(3);
    other.content = [9; 8];
    sql.take_written_rows();
    assert_eq!(
        outbox.append(&sql, &[item(90), other.clone()], NOW),
        Err(AppendError::Conflict { index: 1 })
    );
    assert_eq!(sql.take_written_rows(), 0);
    // Ten minutes later the id is free again.
    let later = NOW + super::super::recent::REMEMBER_MS + 1;
    assert_eq!(outbox.append(&sql, &[other], later).unwrap().stored, 1);
}

#[test]
fn the_same_id_twice_in_one_batch_is_stored_once() {
    let sql = database();
    let mut outbox = Outbox::load(&sql).unwrap();
    let appended = outbox.append(&sql, &[item(1), item(1)], NOW).unwrap();
    assert_eq!(appended, Appended { stored: 1, again: 1 });
    let mut other = item(2);
    other.content = [9; 8];
    assert_eq!(
        outbox.append(&sql, &[item(2), other], NOW),
        Err(AppendError::Conflict { index: 1 })
    );
}

#[test]
fn a_fault_before_or_after_any_write_leaves_all_of_a_batch_or_nothing() {
    for write in 0..3 {
        for fault in [Fault::Before(write), Fault::After(write)] {
            let sql = database();
            let mut outbox = Outbox::load(&sql).unwrap();
            let items: Vec<_> = (0..3).map(|n| sized(n, 200_000)).collect();
            sql.fail(fault);
            let result = sql.atomic(|sql| outbox.append(sql, &items, NOW));
            let kept = Outbox::load(&sql).unwrap().queued(&sql).unwrap().events;
            assert_eq!(kept, if result.is_ok() { 3 } else { 0 }, "{fault:?}");
            assert!(result.is_err(), "{fault:?} did not strike");
        }
    }
}

#[test]
fn a_buried_event_is_in_the_dead_letters_or_in_the_queue_never_both() {
    let death = Death {
        err: "invalid_request".into(),
        description: "no".into(),
        attempts: 2,
    };
    for fault in [
        None,
        Some(Fault::Before(0)),
        Some(Fault::After(0)),
        Some(Fault::Before(2)),
        Some(Fault::After(2)),
    ] {
        let sql = database();
        let mut outbox = Outbox::load(&sql).unwrap();
        append(&mut outbox, &sql, 0..2);
        if let Some(fault) = fault {
            sql.fail(fault);
        }
        let head = outbox.head();
        let result = sql.atomic(|sql| outbox.bury(sql, head, &death, NOW, ""));
        assert_eq!(result.is_err(), fault.is_some());
        let waiting = waiting(&Outbox::load(&sql).unwrap());
        let dead = dead_letters::list(&sql, 0, 10).unwrap();
        assert_eq!(waiting.len() + dead.len(), 2);
        if fault.is_none() {
            assert_eq!(dead[0].death, death);
            assert_eq!(dead[0].claims, item(0).claims);
        }
    }
}

/// POLL-R-2, POLL-R-7: only what was handed out can be acknowledged.
#[test]
fn a_poll_hands_out_the_oldest_again_until_it_is_acknowledged() {
    let sql = database();
    let mut outbox = Outbox::load(&sql).unwrap();
    append(&mut outbox, &sql, 0..5);
    let (out, more) = outbox.hand_out(2, usize::MAX);
    assert_eq!(out.iter().map(number).collect::<Vec<_>>(), [0, 1]);
    assert!(more);
    sql.atomic(|sql| outbox.flush(sql, "")).unwrap();
    let mut outbox = Outbox::load(&sql).unwrap();
    let jtis: Vec<Jti> = (0..5).map(|n| item(n).jti).collect();
    let found = outbox.handed_out(&jtis);
    assert_eq!(found.len(), 2, "an ack reaches no further than what was handed out");
    assert_eq!(outbox.hand_out(2, usize::MAX).0.len(), 2);
    for place in found.values() {
        outbox.ack(*place);
    }
    let (out, more) = outbox.hand_out(10, usize::MAX);
    assert_eq!(out.iter().map(number).collect::<Vec<_>>(), [2, 3, 4]);
    assert!(!more, "moreAvailable only when true");
    assert_eq!(outbox.hand_out(10, 45).0.len(), 2);
    assert_eq!(outbox.hand_out(10, 1).0.len(), 1);
}

#[test]
fn delivered_chunks_are_pruned_by_age_waiting_ones_never() {
    let sql = database();
    let mut outbox = Outbox::load(&sql).unwrap();
    append(&mut outbox, &sql, 0..3);
    outbox.append(&sql, &[item(10)], NOW + 1000).unwrap();
    outbox.append(&sql, &[item(11)], NOW + 2000).unwrap();
    for _ in 0..4 {
        outbox.ack(outbox.head());
    }
    assert_eq!(outbox.prune(&sql, NOW + 500).unwrap(), Some(NOW + 1000));
    assert_eq!(outbox.prune(&sql, NOW + 9000).unwrap(), None);
    outbox.flush(&sql, "").unwrap();
    let mut outbox = Outbox::load(&sql).unwrap();
    assert_eq!(waiting(&outbox), [11]);
    // Sequence numbers go on after everything was pruned.
    outbox.ack(outbox.head());
    outbox.flush(&sql, "").unwrap();
    outbox.prune(&sql, NOW + 9000).unwrap();
    let mut outbox = Outbox::load(&sql).unwrap();
    assert!(outbox.is_empty());
    outbox.append(&sql, &[item(12)], NOW + 3000).unwrap();
    assert_eq!(waiting(&Outbox::load(&sql).unwrap()), [12]);
}

#[test]
fn a_disabled_stream_drops_what_waits_and_counts_on_from_there() {
    use crate::delivery::control::Kind;
    let sql = database();
    let mut outbox = Outbox::load(&sql).unwrap();
    outbox.append(&sql, &[item(1), item(2)], NOW).unwrap();
    outbox
        .control()
        .add(&sql, Kind::Verification, [8; 16], vec![8], NOW)
        .unwrap();
    outbox
        .control()
        .add(&sql, Kind::StreamUpdated, [9; 16], vec![9], NOW)
        .unwrap();
    outbox.drop_waiting(&sql, "").unwrap();
    let left = |outbox: &Outbox| outbox.window().map(|item| item.jti[3]).collect::<Vec<_>>();
    assert_eq!(left(&outbox), [9]);
    assert_eq!(outbox.queued(&sql).unwrap(), Queued::default());
    let mut outbox = Outbox::load(&sql).unwrap();
    assert_eq!(left(&outbox), [9]);
    assert_eq!(
        outbox.append(&sql, &[item(1), item(3)], NOW + 1).unwrap(),
        Appended { stored: 1, again: 1 },
        "a retry of what was dropped stays dropped"
    );
    assert_eq!(left(&outbox), [9, 3]);
    assert_eq!(outbox.hand_out(10, 1000).0.len(), 2);
    assert_eq!(outbox.handed_out(&[[9; 16]]).len(), 1);
}
