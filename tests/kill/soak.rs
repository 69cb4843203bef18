//! The long run: a publisher, a receiver of pushes that fails now and then, and a poller work without a pause while the
//! process is killed at random moments. Whatever was answered 202 arrives at both, each event under one `jti`, and what
//! is pushed comes in the order of its subject.
//!
//! `npm run soak` kills 50 times; `HELIOGRAPH_KILLS` says how often, and `HELIOGRAPH_SEED` repeats the moments and the
//! settings of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::scope;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::{Answer, Client, DEADLINE, Instance, Options, Recorded, Reply, ScriptedReceiver, eventually};
use crate::support::{Acme, Set, Stream, event, sets};

const KILLS: u64 = 6;

/// Most events of one request.
const MOST_IN_A_BATCH: u64 = 30;
/// Subjects that events are about in turn.
const SUBJECTS: usize = 7;
/// Events that may wait for the push receiver before the publisher holds its breath: enough to work on, little to wait
/// for at the end.
const MOST_WAITING: usize = 400;
/// Of so many pushes one fails, each time in another way.
const FAILS_ONE_IN: usize = 11;

/// What everybody looks at.
#[derive(Default)]
struct Watched {
    /// Events that were answered 202.
    accepted: AtomicUsize,
    /// Pushes so far, and those that were made to fail.
    pushes: AtomicUsize,
    failed: AtomicUsize,
    /// Different events that were pushed.
    arrived: Mutex<BTreeSet<String>>,
    /// No more is to be published.
    enough: AtomicBool,
    /// The poller has nothing more to come.
    done: AtomicBool,
}

/// Ends the publisher and the poller also when something else failed: whoever waits for them would wait for ever.
struct EndOfWork<'a>(&'a Watched);

impl Drop for EndOfWork<'_> {
    fn drop(&mut self) {
        self.0.enough.store(true, Ordering::SeqCst);
        self.0.done.store(true, Ordering::SeqCst);
    }
}

#[test]
fn nothing_is_lost_when_the_process_dies_at_random_moments_under_load() {
    let kills = number_of("HELIOGRAPH_KILLS").unwrap_or(KILLS) as usize;
    let seed = number_of("HELIOGRAPH_SEED").unwrap_or_else(a_new_seed);
    let mut random = Random(seed);
    let window = random.one_of(&[1, 3, 6, 16]);
    let (run_ms, linger_ms) = (random.one_of(&[150, 20_000]), random.one_of(&[0, 200]));
    println!("HELIOGRAPH_SEED={seed} HELIOGRAPH_KILLS={kills}: WINDOW={window} RUN_MS={run_ms} LINGER_MS={linger_ms}");

    let options = Options::default()
        .set("RETRY_BASE_MS", 20)
        .set("RETRY_CAP_MS", 100)
        .set("LONG_POLL_MS", 500)
        .set("WINDOW", window)
        .set("RUN_MS", run_ms)
        .set("LINGER_MS", linger_ms);
    let mut instance = Instance::start(options);
    let watched = Arc::new(Watched::default());
    let receiver = ScriptedReceiver::start();
    let deciding = Arc::clone(&watched);
    receiver.otherwise_decide(move |push| decide(&deciding, push));
    let pushed = Acme::register(&instance, &[&receiver.url("/")]).push_stream(&receiver.url("/events"));
    let poller = Acme::register(&instance, &[]);
    let polled = poller.poll_stream();
    let operator = instance.operator();

    let polled_events: BTreeSet<String> = scope(|threads| {
        let _end = EndOfWork(&watched);
        let publishing = threads.spawn(|| publish_without_a_pause(&operator, seed, &watched));
        let polling = threads.spawn(|| poll_without_a_pause(&poller.api, &polled, &watched));
        kill_at_random(&mut instance, kills, &mut random, &watched);
        watched.enough.store(true, Ordering::SeqCst);
        let published = publishing.join().expect("the publisher got its answers");
        wait_until_idle(&instance, &pushed, &polled);
        watched.done.store(true, Ordering::SeqCst);
        assert_eq!(watched.accepted.load(Ordering::SeqCst), published);
        polling.join().expect("the poller got its answers")
    });

    let pushes: Vec<Set> = receiver
        .requests()
        .iter()
        .map(|push| Set::decode(push.text()))
        .collect();
    let accepted = watched.accepted.load(Ordering::SeqCst);
    let expected: BTreeSet<String> = (0..accepted).map(txn_of).collect();
    let failed = watched.failed.load(Ordering::SeqCst);
    let repeated = pushes.len() - expected.len();
    println!(
        "{accepted} events, {} pushes, {failed} failed by the script, {} repeats by {kills} kills",
        pushes.len(),
        repeated.saturating_sub(failed)
    );
    assert_eq!(
        pushes
            .iter()
            .map(|set| set.text("txn").to_owned())
            .collect::<BTreeSet<_>>(),
        expected
    );
    assert_eq!(polled_events, expected);
    assert_one_set_for_each_event(&pushes);
    assert_first_deliveries_in_order(&pushes, window);
    // Design 4. A push that failed is repeated in any case; the others that came again did so because of the kills.
    assert!(
        repeated <= failed + kills * 2 * window,
        "{repeated} repeats, of which {failed} by the script: at most 2 × WINDOW for each of {kills} kills"
    );
}

/// Restarts the process so many times: after some time, or after some further pushes, so that it also dies right behind
/// one.
fn kill_at_random(instance: &mut Instance, kills: usize, random: &mut Random, watched: &Watched) {
    for kill in 0..kills {
        if random.below(2) == 0 {
            std::thread::sleep(Duration::from_millis(random.below(700)));
        } else {
            let pushes = watched.pushes.load(Ordering::SeqCst) + 1 + random.below(120) as usize;
            eventually(&format!("events flow before kill {kill}"), || {
                (watched.pushes.load(Ordering::SeqCst) >= pushes).then_some(())
            });
        }
        instance.restart();
    }
}

/// Publishes batch after batch, each until it is accepted. Returns the number of events.
fn publish_without_a_pause(operator: &Client, seed: u64, watched: &Watched) -> usize {
    let (mut published, mut random) = (0, Random(!seed));
    while !watched.enough.load(Ordering::SeqCst) {
        if published >= held(&watched.arrived).len() + MOST_WAITING {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        let end = published + 1 + random.below(MOST_IN_A_BATCH) as usize;
        let batch: Vec<Value> = (published..end)
            .map(|number| event(&format!("evt-{number}"), &format!("{}@example.com", number % SUBJECTS)))
            .collect();
        let body = json!({"events": batch});
        let answer = until_answered("the batch is accepted", || {
            let headers = [("content-type", "application/json")];
            operator
                .try_send("POST", "/events", &headers, body.to_string().as_bytes())
                .ok()
        });
        assert_eq!(
            (answer.status, &answer.json()["refused"]),
            (202, &json!([])),
            "{answer}"
        );
        published = end;
        watched.accepted.store(published, Ordering::SeqCst);
    }
    published
}

/// Polls, and acknowledges in the next poll what came, until everything is done. Returns the `txn` of all that came.
fn poll_without_a_pause(api: &Client, stream: &Stream, watched: &Watched) -> BTreeSet<String> {
    let (mut txns, mut jtis) = (BTreeSet::new(), BTreeSet::new());
    let mut to_ack: Vec<String> = Vec::new();
    while !watched.done.load(Ordering::SeqCst) {
        let body = json!({"ack": to_ack, "maxEvents": 50, "returnImmediately": false}).to_string();
        let answer = until_answered("the poll is answered", || {
            let headers = [("content-type", "application/json")];
            api.try_send("POST", &stream.poll_path(), &headers, body.as_bytes())
                .ok()
        });
        assert_eq!(answer.status, 200, "{answer}");
        to_ack.clear();
        for (jti, set) in sets(&answer.json()) {
            let set = Set::decode(&set);
            assert_eq!(set.jti(), jti);
            // POLL-R-1: every poll says what came before, and says it until it is answered. So nothing comes twice.
            assert!(
                jtis.insert(jti.clone()),
                "handed out again after its acknowledgement: {jti}"
            );
            assert!(
                txns.insert(set.text("txn").to_owned()),
                "one event has one jti: {}",
                set.claims
            );
            to_ack.push(jti);
        }
    }
    assert!(
        to_ack.is_empty(),
        "the queue is empty, so all of them were acknowledged"
    );
    txns
}

/// Sends again until there is an answer that is not 503: the process may be dying or not there.
fn until_answered(what: &str, mut send: impl FnMut() -> Option<Answer>) -> Answer {
    eventually(what, || send().filter(|answer| answer.status != 503))
}

/// Answers a push: mostly as it should be.
fn decide(watched: &Watched, push: &Recorded) -> Reply {
    let txn = Set::decode(push.text()).text("txn").to_owned();
    held(&watched.arrived).insert(txn);
    let number = watched.pushes.fetch_add(1, Ordering::SeqCst);
    if !number.is_multiple_of(FAILS_ONE_IN) {
        return Reply::status(202);
    }
    watched.failed.fetch_add(1, Ordering::SeqCst);
    match number / FAILS_ONE_IN % 3 {
        0 => Reply::status(500),
        1 => Reply::Reset,
        _ => Reply::Close,
    }
}

fn wait_until_idle(instance: &Instance, pushed: &Stream, polled: &Stream) {
    // As long as it goes on; a backlog on a slow machine is no failure.
    let (mut left, mut since) = (usize::MAX, Instant::now());
    loop {
        let health = [pushed.health(instance), polled.health(instance)];
        let queued: u64 = health
            .iter()
            .filter_map(|health| health["queued_events"].as_u64())
            .sum();
        if queued == 0 {
            assert!(health.iter().all(|health| health["dead_letters"] == 0), "{health:?}");
            return;
        }
        if (queued as usize) < left {
            (left, since) = (queued as usize, Instant::now());
        }
        assert!(since.elapsed() < DEADLINE, "{queued} events do not arrive: {health:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The same event is the same SET on every attempt, and no other event has its `jti`.
fn assert_one_set_for_each_event(pushes: &[Set]) {
    let mut of_event: BTreeMap<&str, &Set> = BTreeMap::new();
    for set in pushes {
        let first = of_event.entry(set.text("txn")).or_insert(set);
        assert_eq!((first.jti(), &first.claims_bytes), (set.jti(), &set.claims_bytes));
    }
    let jtis: BTreeSet<&str> = of_event.values().map(|set| set.jti()).collect();
    assert_eq!(jtis.len(), of_event.len());
}

/// Of each subject, what came first was published first; with a window of 1, of all of them. Repeats are passed over:
/// they follow from the kills.
fn assert_first_deliveries_in_order(pushes: &[Set], window: usize) {
    let mut last_of: BTreeMap<&str, usize> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for set in pushes {
        let txn = set.text("txn");
        let number: usize = txn.trim_start_matches("txn-evt-").parse().expect("a number");
        if seen.insert(txn) {
            let lane = if window == 1 { "all" } else { set.email() };
            let last = last_of.insert(lane, number);
            assert!(last.is_none_or(|last| last < number), "{txn} came after {last:?}");
        }
    }
}

fn txn_of(number: usize) -> String {
    format!("txn-evt-{number}")
}

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics here")
}

#[track_caller]
fn number_of(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable} must be a number, not {value}")),
    )
}

fn a_new_seed() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    since_epoch.as_nanos() as u64
}

/// SplitMix64: the moments of a run can be had again from its seed.
struct Random(u64);

impl Random {
    fn one_of(&mut self, choices: &[usize]) -> usize {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}
