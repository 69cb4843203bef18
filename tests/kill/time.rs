//! What depends on the clock: alarms that get lost, and what is kept for long enough.

use rusqlite::Connection;

use crate::harness::{Instance, Options, Reply, ScriptedReceiver, eventually};
use crate::support::{Acme, Set, databases, event, has_table, let_time_pass, lose_alarms, publish};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[test]
fn an_alarm_that_got_lost_is_set_again_by_whoever_asks_for_the_stream() {
    let mut instance = Instance::start(Options::default());
    let receiver = ScriptedReceiver::start();
    let stream = Acme::register(&instance, &[&receiver.url("/")]).push_stream(&receiver.url("/events"));
    receiver.then(Reply::status(503).header("retry-after", "1"));
    publish(&instance.operator(), &[event("evt-1", "ana@example.com")]);
    let refused = Set::decode(receiver.wait_for(1).text());
    eventually("the hold is known", || {
        stream.health(&instance)["hold"]["reason"].is_string().then_some(())
    });
    instance.kill();
    lose_alarms(&instance, "StreamObject");
    instance.restart();
    stream.health(&instance);
    assert_eq!(Set::decode(receiver.wait_for(2).text()).jti(), refused.jti());
}

#[test]
fn delivered_events_and_dead_letters_go_with_the_daily_sweep_when_their_time_is_over() {
    let mut instance = Instance::start(Options::default().set("LINGER_MS", 0));
    let receiver = ScriptedReceiver::start();
    let stream = Acme::register(&instance, &[&receiver.url("/")]).push_stream(&receiver.url("/events"));
    for (day, status) in [(40, 202), (40, 422), (3, 202), (3, 422)] {
        receiver.then(Reply::status(status));
        let name = format!("{day}-{status}");
        publish(&instance.operator(), &[event(&name, "ana@example.com")]);
        eventually("it is settled", || {
            (stream.health(&instance)["queued_events"] == 0).then_some(())
        });
    }
    // Nothing waits any more, so the streams have no alarms. Their events grow old.
    instance.kill();
    let age = format!(
        "UPDATE chunk SET at = at - {} WHERE seq <= 2; UPDATE dead SET at = at - {} WHERE id = 1; \
         UPDATE chunk SET at = at - {} WHERE seq > 2",
        40 * DAY_MS,
        40 * DAY_MS,
        3 * DAY_MS
    );
    assert_eq!(counts(&instance, &age), [(4, 2)]);
    let_time_pass(&mut instance);
    eventually("the old ones are gone", || {
        (stream.health(&instance)["dead_letters"] == 1).then_some(())
    });
    instance.kill();
    assert_eq!(
        counts(&instance, ""),
        [(2, 1)],
        "delivered events are kept for RETENTION_S, letters for DEAD_LETTER_RETENTION_S"
    );
}

/// Changes the streams' databases, and counts their chunks and dead letters.
fn counts(instance: &Instance, change: &str) -> Vec<(u32, u32)> {
    let streams = databases(instance, "StreamObject").into_iter();
    let open = streams.map(|path| Connection::open(path).expect("a database"));
    let with_chunks = open.filter(|database| has_table(database, "chunk"));
    let count = |database: Connection| {
        database.execute_batch(change).expect("times are changed");
        let number = |table| {
            let sql = format!("SELECT COUNT(*) FROM {table}");
            database.query_row(&sql, [], |row| row.get(0)).expect("a count")
        };
        (number("chunk"), number("dead"))
    };
    with_chunks.map(count).collect()
}
