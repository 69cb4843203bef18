use super::*;
use crate::delivery::meta::migrate;
use crate::delivery::sql::testing::{Fault, TestSql};

const NOW: u64 = 1_795_262_400_000;
const SCHEMAS: &[Migration] = &[
    FIRST_SCHEMA,
    crate::delivery::control::SCHEMA,
    COUNTED_SCHEMA,
    dead_letters::REDRIVE_SCHEMA,
];

fn database() -> TestSql {
    let sql = TestSql::default();
    migrate(&sql, SCHEMAS).unwrap();
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
    let later = NOW + crate::delivery::recent::REMEMBER_MS + 1;
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
            let kept = Outbox::load(&sql).unwrap().queued().events;
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
        Some(Fault::Before(1)),
        Some(Fault::After(1)),
    ] {
        let sql = database();
        let mut outbox = Outbox::load(&sql).unwrap();
        append(&mut outbox, &sql, 0..2);
        if let Some(fault) = fault {
            sql.fail(fault);
        }
        let head = outbox.head();
        let result = sql.atomic(|sql| outbox.bury(sql, head, &death, NOW, 9, ""));
        assert_eq!(result.is_err(), fault.is_some());
        let waiting = waiting(&Outbox::load(&sql).unwrap());
        let dead = dead_letters::list(&sql, 0, 10).unwrap();
        assert_eq!(waiting.len() + dead.len(), 2);
        if fault.is_none() {
            assert_eq!(dead[0].death, death);
            assert_eq!(dead[0].item, item(0));
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
    assert_eq!(outbox.queued(), Queued::default());
    let mut outbox = Outbox::load(&sql).unwrap();
    assert_eq!(left(&outbox), [9]);
    assert_eq!(
        outbox.append(&sql, &[item(1), item(3)], NOW + 1).unwrap(),
        Appended { stored: 2, again: 0 },
        "what was dropped is forgotten: published again it is a new event"
    );
    assert_eq!(left(&outbox), [9, 1, 3]);
    assert_eq!(outbox.hand_out(10, 1000).0.len(), 3);
    assert_eq!(outbox.handed_out(&[[9; 16]]).len(), 1);
}

#[test]
fn a_full_outbox_takes_nothing_of_a_batch_but_knows_what_it_has() {
    let sql = database();
    let mut outbox = Outbox::load(&sql).unwrap();
    let bounds = Bounds {
        events: 5,
        bytes: 1000,
        age_ms: 1000,
    };
    outbox.govern(bounds, true);
    append(&mut outbox, &sql, 0..4);
    sql.take_written_rows();
    let batch = [item(3), item(4), item(5)];
    assert_eq!(outbox.append(&sql, &batch, NOW), Err(AppendError::Full));
    assert_eq!(sql.take_written_rows(), 0);
    assert_eq!(outbox.append(&sql, &[item(3)], NOW).unwrap().again, 1);
    // Nothing of a refused batch is remembered: it may come again.
    assert_eq!(outbox.append(&sql, &[item(4)], NOW).unwrap().stored, 1);
    assert!(!outbox.is_relieved(NOW));
    outbox.ack(outbox.head());
    assert!(outbox.is_relieved(NOW));
    assert!(!outbox.is_relieved(NOW + 1001), "the oldest is too old");
    assert_eq!(outbox.append(&sql, &[item(5)], NOW + 1001), Err(AppendError::Full));
    assert_eq!(outbox.append(&sql, &[sized(6, 900)], NOW), Err(AppendError::Full));
    assert_eq!(outbox.append(&sql, &[sized(6, 500)], NOW).unwrap().stored, 1);
}

#[test]
fn what_waits_is_counted_exactly_however_it_came_to_wait() {
    let sql = database();
    let mut outbox = Outbox::load(&sql).unwrap();
    let bytes = |events: u64| events * (HEAD as u64 + 20);
    for batch in 0..40 {
        append(&mut outbox, &sql, batch * 50..(batch + 1) * 50);
    }
    let mut left: u64 = 2000;
    for round in 0_u32..300 {
        outbox.refill(&sql).unwrap();
        let places: Vec<_> = outbox
            .window()
            .filter(|item| !item.acked)
            .map(|item| item.pos)
            .collect();
        let place = places[(round as usize * 37) % places.len()];
        assert!(outbox.ack(place));
        left -= 1;
        if round % 11 == 0 {
            outbox.flush(&sql, "").unwrap();
            outbox.prune(&sql, NOW + 1).unwrap();
            outbox = Outbox::load(&sql).unwrap();
        }
        let queued = outbox.queued();
        assert_eq!((queued.events, queued.bytes), (left, bytes(left)), "round {round}");
    }
}

#[test]
fn counting_a_long_queue_reads_no_more_than_a_short_one() {
    let loading = |chunks: u32| {
        let sql = database();
        let mut outbox = Outbox::load(&sql).unwrap();
        for batch in 0..chunks {
            append(&mut outbox, &sql, batch * 300..(batch + 1) * 300);
        }
        sql.take_steps();
        assert_eq!(Outbox::load(&sql).unwrap().queued().events, u64::from(chunks) * 300);
        sql.take_steps()
    };
    assert_eq!(loading(5), loading(200));
}

#[test]
fn where_nothing_is_kept_only_ids_outlive_the_acknowledgement() {
    let sql = database();
    let mut outbox = Outbox::load(&sql).unwrap();
    outbox.govern(Bounds::NONE, false);
    append(&mut outbox, &sql, 0..3);
    append(&mut outbox, &sql, 3..6);
    for _ in 0..4 {
        outbox.ack(outbox.head());
    }
    outbox.flush(&sql, "").unwrap();
    let bodies = |sql: &TestSql| -> Vec<usize> {
        let rows = sql.exec("SELECT LENGTH(body) FROM chunk ORDER BY seq", &[]).unwrap();
        rows.iter().map(|row| row.int(0).unwrap() as usize).collect()
    };
    assert_eq!(bodies(&sql), [1 + 3 * HEAD, 1 + 3 * (HEAD + 20)]);
    outbox.ack(outbox.head());
    outbox.ack(outbox.head());
    outbox.flush(&sql, "").unwrap();
    assert_eq!(bodies(&sql), [1 + 3 * HEAD, 1 + 3 * HEAD]);
    let mut outbox = Outbox::load(&sql).unwrap();
    assert_eq!(append(&mut outbox, &sql, 0..6), Appended { stored: 0, again: 6 });
    assert_eq!(outbox.search(&sql, &item(1).jti, 0), Ok(Search::Above(2)));
    // Even if somebody went back there, what is gone is gone.
    outbox.rewind(&sql, Pos::of(1), "").unwrap();
    assert!(outbox.is_empty());
    assert_eq!(outbox.queued(), Queued::default());
}

#[test]
fn an_older_database_is_counted_when_it_is_brought_forward() {
    let sql = TestSql::default();
    migrate(&sql, &[FIRST_SCHEMA, crate::delivery::control::SCHEMA]).unwrap();
    for (seq, range) in [(4, 0..3), (5, 3..8), (6, 8..9)] {
        let items: Vec<_> = range.map(item).collect();
        let (count, body) = pack(&items).remove(0);
        sql.exec(
            "INSERT INTO chunk (seq, at, n, bytes, body) VALUES (?, ?, ?, ?, ?)",
            &[
                i64::from(seq).into(),
                (NOW as i64).into(),
                count.into(),
                (body.len() as i64).into(),
                body.into(),
            ],
        )
        .unwrap();
    }
    sql.exec("UPDATE cursor SET head_seq = 5, head_idx = 2", &[]).unwrap();
    migrate(&sql, SCHEMAS).unwrap();
    let mut outbox = Outbox::load(&sql).unwrap();
    assert_eq!(waiting(&outbox), [5, 6, 7, 8]);
    assert_eq!(outbox.queued().bytes, 4 * (HEAD as u64 + 20));
    append(&mut outbox, &sql, 20..21);
    assert_eq!(Outbox::load(&sql).unwrap().queued().events, 5);
}

#[test]
fn a_replay_goes_back_to_an_event_and_survives_a_restart() {
    let sql = database();
    let mut outbox = Outbox::load(&sql).unwrap();
    append(&mut outbox, &sql, 0..5);
    outbox.append(&sql, &[item(5), item(6), item(7)], NOW + 1000).unwrap();
    for _ in 0..6 {
        outbox.ack(outbox.head());
    }
    outbox.ack(Pos { seq: 2, idx: 2 });
    outbox.flush(&sql, "").unwrap();
    assert_eq!(outbox.queued().events, 1);
    let Ok(Search::Found(to, NOW)) = outbox.search(&sql, &item(3).jti, 0) else {
        panic!("it is kept");
    };
    sql.take_written_rows();
    let replayed = sql.atomic(|sql| outbox.rewind(sql, to, "")).unwrap();
    assert_eq!(sql.take_written_rows(), 1);
    assert_eq!((replayed.events, replayed.from), (5, Some((item(3).jti, NOW))));
    assert_eq!(waiting(&outbox), [3, 4, 5, 6, 7]);
    let mut outbox = Outbox::load(&sql).unwrap();
    assert_eq!(waiting(&outbox), [3, 4, 5, 6, 7]);
    assert_eq!(outbox.queued().events, 5);
    // By time: chunks are accepted at one instant.
    assert_eq!(outbox.first_since(&sql, NOW + 1), Ok(Some(Pos::of(2))));
    assert_eq!(outbox.first_since(&sql, NOW), Ok(Some(Pos::of(1))));
    assert_eq!(outbox.first_since(&sql, u64::MAX), Ok(None));
    assert_eq!(outbox.search(&sql, &[77; 16], 0), Ok(Search::Above(2)));
    assert_eq!(outbox.search(&sql, &[77; 16], 2), Ok(Search::NotKept));
    // What waits before the place that is asked for goes on waiting.
    outbox.ack(Pos { seq: 2, idx: 1 });
    let replayed = outbox.rewind(&sql, Pos::of(2), "").unwrap();
    assert_eq!(replayed.events, 3);
    assert_eq!(waiting(&outbox), [3, 4, 5, 6, 7]);
}

#[test]
fn only_what_is_handed_out_after_a_replay_can_be_acknowledged() {
    let sql = database();
    let mut outbox = Outbox::load(&sql).unwrap();
    append(&mut outbox, &sql, 0..4);
    outbox.hand_out(4, usize::MAX);
    outbox.ack(outbox.head());
    outbox.rewind(&sql, Pos::of(1), "").unwrap();
    let jtis: Vec<Jti> = (0..4).map(|n| item(n).jti).collect();
    assert!(outbox.handed_out(&jtis).is_empty());
    outbox.hand_out(2, usize::MAX);
    assert_eq!(outbox.handed_out(&jtis).len(), 2);
}
