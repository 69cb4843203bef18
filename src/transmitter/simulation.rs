//! The simulation: streams at work, as they are, on a virtual clock against a scripted network.
//!
//! Each run draws a policy, a script and an endpoint from its seed. It plays the object around [`super::live::Live`] and lets
//! time jump to whatever comes next: an alarm, an answer, somebody's wish, the object's death at the worst of moments, storage
//! that fails before or after any write. A [`model`] that knows nothing of the code says what has to be true after each step.
//!
//! A run that goes wrong names its seed. `HELIOGRAPH_SEED` repeats it, `HELIOGRAPH_RUNS` sets how many there are.

mod draw;
mod model;
mod network;
mod plan;
mod shell;
mod steps;
mod tally;

use std::env;

use crate::delivery::sql::testing::TestSql;
use crate::protocol::status::Status;
use crate::transmitter::status::Wish;
use crate::transmitter::stream::Choices;
use model::{Check, claim};
use network::Mood;
use shell::World;
use tally::Seen;

/// Runs of both tests together.
const RUNS: u64 = 20_000;

/// Runs that share a database.
const SHARED: u64 = 200;

/// Lines of what happened that a failure shows.
const SHOWN: usize = 60;

#[test]
fn nothing_is_lost_or_out_of_order_or_too_early_whatever_happens_1() {
    simulate(0);
}

#[test]
fn nothing_is_lost_or_out_of_order_or_too_early_whatever_happens_2() {
    simulate(1);
}

/// Every second seed.
fn simulate(half: u64) {
    if let Some(seed) = number("HELIOGRAPH_SEED") {
        if seed % 2 == half {
            one(&TestSql::default(), seed, true)
                .1
                .unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        }
        return;
    }
    let runs = number("HELIOGRAPH_RUNS").unwrap_or(RUNS) / 2;
    let mut seen = Seen::default();
    let mut sql = TestSql::default();
    for run in 0..runs {
        if run % SHARED == 0 {
            sql = TestSql::default();
        }
        let seed = 2 * run + half;
        let (found, result) = one(&sql, seed, false);
        if let Err(why) = result {
            let _ = one(&TestSql::default(), seed, true);
            panic!(
                "seed {seed}, run {run}: {why}\nrepeat it: HELIOGRAPH_SEED={seed} cargo test --lib transmitter::simulation"
            );
        }
        seen.add(&found);
    }
    println!("{runs} runs: {seen:?}");
    assert!(
        runs < 5000 || seen.least() * 100 > runs,
        "something hardly ever happens: {seen:?}"
    );
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

/// One run. When it fails and is to be traced, the last of what happened is shown.
fn one(sql: &TestSql, seed: u64, traced: bool) -> (Seen, Check) {
    let mut world = World::new(sql, seed, traced);
    let result = live(&mut world);
    if let (Some(trace), Err(_)) = (&world.trace, &result) {
        let rules = &world.plan.rules;
        println!("{rules:?}\nwindow now {}", world.model.window);
        for line in &trace[trace.len().saturating_sub(SHOWN)..] {
            println!("{line}");
        }
    }
    (world.model.seen, result)
}

/// A life: the script, then everything is well and has to end well.
fn live(world: &mut World<'_>) -> Check {
    for _ in 0..world.plan.steps {
        world.step()?;
    }
    world.note(|| "everything is well from here on".to_owned());
    world.mood = Mood::Perfect;
    world.plan.faults = 0;
    world.plan.crashes = 0;
    world.choose_these(Choices::default())?;
    let enabled = || Wish {
        status: Status::Enabled,
        reason: None,
    };
    world.operator_wishes_for(enabled())?;
    world.receiver_wishes_for(enabled())?;
    // What was under way may say once more that the endpoint is gone.
    world.pass(world.now + 60_000, 1000)?;
    world.receiver_wishes_for(enabled())?;
    for _ in 0..400 {
        if world.model.polls {
            world.poll()?;
        }
        if !world.model.waits() {
            break;
        }
        let week = world.now + 7 * 86_400_000;
        world.pass(if world.model.polls { world.now + 1 } else { week }, 200)?;
    }
    world.model.concluded()?;
    world.pass(world.now + 86_400_000, 1000)?;
    let hold = world.live.courier.hold();
    claim!(
        hold.is_none() || world.model.polls,
        "a hold stays after everything is well: {hold:?}"
    );
    claim!(world.live.stream.full_since.is_none(), "an empty outbox stays full");
    claim!(world.is_quiet() || world.model.polls, "something is still to come");
    world.die()?;
    world.compare()?;
    world.model.compare_letters(world.sql)
}
