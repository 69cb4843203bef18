//! The object around a stream, as `edge/object/stream.rs` and `edge/object/delivery.rs` are it, on a virtual clock: turns, the
//! one alarm, runs of pushes that linger, and deaths at any moment.

use super::draw::Draw;
use super::model::{Check, Model, Sent, claim};
use super::network::{Mood, exchange};
use super::plan::{self, BEGIN, Plan};
use crate::delivery::answer::Answer;
use crate::delivery::chunk::HEAD;
use crate::delivery::sql::testing::{Fault, TestSql};
use crate::delivery::sql::{Sql, SqlError};
use crate::transmitter::live::{Job, Live, Next, Run};
use crate::transmitter::stream::begin_run;

/// As in `edge/object/delivery.rs`.
const RENEW_MS: u64 = 10_000;
const MOST_RUNS: u64 = 10;
const DRAIN_MS: u64 = 1000;

/// One run of the simulation.
pub struct World<'a> {
    pub sql: &'a TestSql,
    pub plan: Plan,
    pub draw: Draw,
    pub now: u64,
    pub live: Live,
    pub model: Model,
    pub mood: Mood,
    pub endpoints: u64,
    alarm: Option<u64>,
    pub unarmed: bool,
    run: Option<Running>,
    /// What is on its way to the receiver, and when it comes. It outlives the object.
    arrivals: Vec<(u64, [u8; 16])>,
    flights: u64,
    /// What happened, if anybody wants to know.
    pub trace: Option<Vec<String>>,
}

/// A run of pushes.
struct Running {
    run: Run,
    moves: u32,
    replays: u32,
    deadline: u64,
    last: u64,
    renew_at: u64,
    idle_since: Option<u64>,
    wake_at: Option<u64>,
    flights: Vec<Flight>,
}

/// A push: first it is signed, then it is under way.
struct Flight {
    id: u64,
    job: Job,
    run: Run,
    moves: u32,
    replays: u32,
    held: bool,
    at: u64,
    answer: Option<Answer>,
}

/// What comes next.
#[derive(Clone, Copy)]
enum Due {
    Arrival(usize),
    Flight(usize),
    Run,
    Alarm,
}

impl<'a> World<'a> {
    pub fn new(sql: &'a TestSql, seed: u64, traced: bool) -> Self {
        let mut draw = Draw::new(seed);
        let plan = Plan::draw(&mut draw);
        empty(sql);
        plan::stream(plan.polls).save(sql).unwrap();
        let live = Live::load(sql, plan.rules, BEGIN).unwrap().unwrap();
        let model = Model::new(&plan);
        Self {
            sql,
            plan,
            draw,
            now: BEGIN,
            live,
            model,
            mood: Mood::Healthy,
            endpoints: 0,
            alarm: None,
            unarmed: false,
            run: None,
            arrivals: Vec::new(),
            flights: 0,
            trace: traced.then(Vec::new),
        }
    }

    pub fn note(&mut self, words: impl FnOnce() -> String) {
        let at = self.now - BEGIN;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{at:>10} {}", words()));
        }
    }

    /// One turn of the object: everything it writes, or nothing. `None`: storage failed, and the object began anew.
    pub fn turn<T>(&mut self, work: impl FnOnce(&mut Live, &dyn Sql) -> Result<T, SqlError>) -> Check<Option<T>> {
        if self.draw.permille(self.plan.faults) {
            let n = self.draw.below(4) as u32;
            let fault = if self.draw.percent(50) {
                Fault::Before(n)
            } else {
                Fault::After(n)
            };
            self.sql.fail(fault);
        }
        let live = &mut self.live;
        match self.sql.atomic(|sql| work(live, sql)) {
            Ok(value) => {
                self.model.notice_updates(&mut self.live);
                Ok(Some(value))
            }
            Err(SqlError::Engine(why)) if why.starts_with("injected") => {
                self.note(|| format!("storage fails: {why}"));
                self.model.seen.faults += 1;
                self.die()?;
                Ok(None)
            }
            Err(error) => Err(format!("storage: {error}")),
        }
    }

    /// The object dies with all that it has in memory, and is loaded again. What it sent is still on its way.
    pub fn die(&mut self) -> Check {
        if self.run.take().is_some() {
            // The platform repeats an alarm that did not end.
            let again = self.now + self.draw.of(&[0, 1, 2000]);
            self.alarm = Some(self.alarm.map_or(again, |at| at.min(again)));
        }
        let loaded = self.sql.atomic(|sql| Live::load(sql, self.plan.rules, self.now));
        self.live = loaded.map_err(|error| error.to_string())?.ok_or("the stream is gone")?;
        self.note(|| "the object dies and is loaded again".to_owned());
        self.model.restarted(&mut self.live)
    }

    /// What follows each command: a run under way looks again, or the alarm is set.
    pub fn ring(&mut self) -> Check {
        self.compare()?;
        if self.run.is_some() {
            self.pump()
        } else {
            self.rearm();
            Ok(())
        }
    }

    pub fn rearm(&mut self) {
        self.unarmed = false;
        if let Some(due) = self.live.wake_at(self.now)
            && self.alarm.is_none_or(|at| at > due)
        {
            self.alarm = Some(due.clamp(self.now + 1, self.now + 365 * 86_400_000));
        }
    }

    fn next(&self) -> Option<(u64, Due)> {
        let mut next: Option<(u64, Due)> = None;
        let mut offer = |at: u64, due: Due| {
            if next.is_none_or(|(first, _)| at < first) {
                next = Some((at, due));
            }
        };
        for (index, (at, _)) in self.arrivals.iter().enumerate() {
            offer(*at, Due::Arrival(index));
        }
        if let Some(run) = &self.run {
            for (index, flight) in run.flights.iter().enumerate() {
                offer(flight.at, Due::Flight(index));
            }
            run.wake_at.into_iter().for_each(|at| offer(at, Due::Run));
        } else {
            self.alarm.into_iter().for_each(|at| offer(at, Due::Alarm));
        }
        next
    }

    /// Lets time pass until then, or for so many events, whichever comes first.
    pub fn pass(&mut self, until: u64, mut events: u64) -> Check {
        while events > 0 {
            let Some((at, due)) = self.next().filter(|(at, _)| *at <= until) else {
                self.now = self.now.max(until);
                return Ok(());
            };
            events -= 1;
            self.now = self.now.max(at);
            match due {
                Due::Arrival(index) => {
                    let (_, jti) = self.arrivals.swap_remove(index);
                    self.note(|| format!("the receiver takes {}", short(&jti)));
                    self.model.taken(&jti)?;
                }
                Due::Flight(index) => self.flight(index)?,
                Due::Run => self.pump()?,
                Due::Alarm => self.go_off()?,
            }
            self.compare()?;
            self.is_armed()?;
        }
        Ok(())
    }

    /// What has to be true between any two steps.
    pub fn compare(&mut self) -> Check {
        self.model.compare(&mut self.live)?;
        if self.model.letters_changed {
            self.model.compare_letters(self.sql)?;
        }
        Ok(())
    }

    /// What waits for nothing but time has an alarm, unless the object died before it could answer whoever brought it.
    pub fn is_armed(&self) -> Check {
        let armed = self.unarmed || self.run.is_some() || self.alarm.is_some();
        claim!(armed || !self.model.must_wake(), "something waits, but no alarm is set");
        Ok(())
    }

    /// Where nothing is kept, nothing of a delivered event is left but what recognises its id.
    pub fn is_stripped(&self) -> Check {
        if self.plan.rules.retention_ms == 0 {
            let statement = "SELECT COUNT(*) FROM chunk WHERE seq < ? AND LENGTH(body) > 1 + n * ?";
            let values = [self.live.outbox.head().seq.into(), (HEAD as i64).into()];
            let rows = self.sql.exec(statement, &values).map_err(|error| error.to_string())?;
            claim!(rows[0].int(0) == Ok(0), "claims of delivered events are kept");
        }
        Ok(())
    }

    /// Whether anything is still to come.
    pub fn is_quiet(&self) -> bool {
        self.next().is_none()
    }

    /// `StreamObject::alarm`
    fn go_off(&mut self) -> Check {
        self.alarm = None;
        let now = self.now;
        let begun = if self.keep_time()? {
            self.turn(|live, sql| live.begin_run(sql, now))?
        } else {
            None
        };
        let Some(begun) = begun else {
            self.alarm = Some(now + 2000);
            return Ok(());
        };
        let Some(run) = begun else {
            return self.end();
        };
        self.note(|| "a run begins".to_owned());
        self.run = Some(Running {
            run,
            moves: self.model.moves,
            replays: self.model.replays,
            deadline: now + self.plan.run_ms,
            last: now + MOST_RUNS * self.plan.run_ms,
            renew_at: now + RENEW_MS,
            idle_since: None,
            wake_at: None,
            flights: Vec::new(),
        });
        self.pump()
    }

    /// `StreamObject::keep_time`. False when storage failed.
    fn keep_time(&mut self) -> Check<bool> {
        let (now, jti) = (self.now, self.draw.jti());
        Ok(self.turn(|live, sql| live.keep_time(sql, jti, now))?.is_some())
    }

    /// `StreamObject::push_all`, from one wait to the next.
    fn pump(&mut self) -> Check {
        let now = self.now;
        let Some(run) = &mut self.run else {
            return Ok(());
        };
        run.wake_at = None;
        if now >= run.deadline + DRAIN_MS && now < run.last && !run.flights.is_empty() {
            run.deadline = now + self.plan.run_ms;
        }
        if now >= run.renew_at {
            run.renew_at = now + RENEW_MS;
            let until = now + 2 * RENEW_MS;
            if self.turn(|_, sql| begin_run(sql, until))?.is_none() {
                return Ok(());
            }
        }
        let clock_at = self.live.clock_at();
        if clock_at.is_some_and(|at| at <= now) && !self.keep_time()? {
            return Ok(());
        }
        let mut due_at = None;
        while let Some(run) = &mut self.run
            && now < run.deadline
        {
            // It reads, but does not write.
            let next = self
                .live
                .next_push(self.sql, &run.run, now)
                .map_err(|error| error.to_string())?;
            match next {
                Next::Push(job) => self.sign(job),
                Next::Nothing { due_at: due } => {
                    due_at = Some(due);
                    break;
                }
                Next::Over => {
                    let renewed = self.live.renew_run(self.sql, now).map_err(|error| error.to_string())?;
                    let Some(renewed) = renewed else { break };
                    run.run = renewed;
                    run.moves = self.model.moves;
                    run.replays = self.model.replays;
                }
            }
        }
        let Some(run) = &mut self.run else {
            return Ok(());
        };
        if !run.flights.is_empty() {
            run.idle_since = None;
            let until = due_at.unwrap_or((now < run.last).then_some(run.deadline + DRAIN_MS));
            let until = [until, clock_at].into_iter().flatten().min();
            run.wake_at = until.map(|at| at.max(now + 1));
            return Ok(());
        }
        let until = *run.idle_since.get_or_insert(now) + self.plan.linger_ms;
        match due_at {
            Some(due) if until > now && due.is_none_or(|at| at <= until) => {
                run.wake_at = Some(due.unwrap_or(until).max(now + 1));
                Ok(())
            }
            _ => {
                let flushed = self.turn(|live, sql| live.flush(sql, now))?;
                if flushed.is_some() {
                    self.note(|| "the run ends".to_owned());
                    self.model.rested();
                    self.run = None;
                    self.is_stripped()?;
                    return self.end();
                }
                Ok(())
            }
        }
    }

    /// The end of an alarm.
    fn end(&mut self) -> Check {
        self.prune()?;
        self.rearm();
        Ok(())
    }

    pub fn prune(&mut self) -> Check {
        let now = self.now;
        if self.turn(|live, sql| live.prune(sql, now))?.is_some() {
            self.model.pruned(now);
        }
        Ok(())
    }

    fn sign(&mut self, job: Job) {
        self.flights += 1;
        let id = self.flights;
        let held = self.live.courier.hold().is_some();
        self.note(|| format!("#{id} signs {}", short(&job.jti)));
        let at = self.now + self.draw.between(0, self.plan.sign_ms);
        if let Some(run) = &mut self.run {
            run.flights.push(Flight {
                id,
                job,
                run: run.run.clone(),
                moves: run.moves,
                replays: run.replays,
                held,
                at,
                answer: None,
            });
        }
    }

    /// A push is signed, or answered.
    fn flight(&mut self, index: usize) -> Check {
        let Some(run) = &mut self.run else {
            return Ok(());
        };
        let now = self.now;
        let flight = &mut run.flights[index];
        let Some(answer) = flight.answer.take() else {
            if !self.live.may_send(&flight.run, now) {
                let flight = run.flights.swap_remove(index);
                self.live.not_sent(flight.job.pos, now);
                self.note(|| format!("#{} is not sent", flight.id));
                return self.pump();
            }
            let exchange = exchange(&mut self.draw, self.mood, now, self.plan.timeout_ms);
            flight.at = exchange.answered_at;
            flight.answer = Some(exchange.answer.clone());
            let sent = Sent {
                id: flight.id,
                job: &flight.job,
                moves: flight.moves,
                replays: flight.replays,
                probes: flight.held,
            };
            self.model.started(&sent, now)?;
            let (id, pos, jti) = (flight.id, flight.job.pos, flight.job.jti);
            self.arrivals.extend(exchange.taken_at.map(|at| (at, jti)));
            self.note(|| {
                let comes = (exchange.taken_at.map(|at| at - now), exchange.answered_at - now);
                format!(
                    "#{id} pushes {} at {pos:?}; it comes after {comes:?} ms: {:?}",
                    short(&jti),
                    exchange.answer
                )
            });
            return Ok(());
        };
        let flight = run.flights.swap_remove(index);
        let draw = self.draw.unit();
        let settled = self.turn(|live, sql| live.settle(sql, &flight.run, flight.job.pos, &answer, now, draw))?;
        let Some(settled) = settled else {
            return Ok(());
        };
        let hold = self.live.courier.hold();
        self.note(|| format!("#{} {}: {settled:?}, {hold:?}", flight.id, short(&flight.job.jti)));
        self.model.answered(flight.id, &answer, &settled, hold, now)?;
        self.compare()?;
        self.pump()
    }
}

/// The beginning of an event's id, enough for a reader.
pub fn short(jti: &[u8; 16]) -> String {
    format!("{:02x}{:02x}", jti[0], jti[1])
}

/// Makes a database as new; much faster than a new one.
fn empty(sql: &TestSql) {
    let statements = [
        "DELETE FROM chunk",
        "DELETE FROM dead",
        "DELETE FROM control",
        "DELETE FROM meta WHERE k <> 'schema_version'",
        "UPDATE cursor SET head_seq = 1, head_idx = 0, acked = x'', handed_seq = 1, handed_idx = 0, courier = ''",
        "UPDATE run SET until = 0",
    ];
    plan::stream(false).save(sql).unwrap();
    for statement in statements {
        sql.exec(statement, &[]).unwrap();
    }
}
