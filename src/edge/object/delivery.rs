//! Delivery as the stream object performs it: the alarm's pushes, and the answers to polls. What to push and what an answer
//! means is the courier's to say.

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use worker::Delay;

use crate::delivery::courier::Outcome;
use crate::delivery::outbox::Pos;
use crate::edge::clock::now_ms;
use crate::edge::command::{Answer, PollCommand, Refusal, StreamReply, TenantCommand, TenantReply};
use crate::edge::log::{self, Level};
use crate::edge::settings::Settings;
use crate::edge::together::together;
use crate::edge::{context, crypto, random};
use crate::protocol::endpoint_url::{EndpointUrl, UrlPolicy};
use crate::protocol::json::json;
use crate::protocol::set::jti_text;
use crate::protocol::stream::Delivery;
use crate::protocol::webhook::WebhookSecret;
use crate::transmitter::live::{Batch, Job, Live, Next, Run, Settled};
use crate::transmitter::stream::begin_run;

use super::exchange::{Line, Pushed, Seal, Signer, Tickets, push};
use super::serve::{call_failed, fault};
use super::stream::{AUTHORIZATION_PLACE, StreamObject, WEBHOOK_SECRET_PLACE};
use super::stub;

/// A run that lasts longer than this says so in its row, and again each time this has passed.
const RENEW_MS: u64 = 10_000;

/// How often a run looks whether a push has taken too long.
const TICK_MS: u64 = 250;

/// A run whose time is over starts nothing more, so that it ends with what is under way. What has not ended after this long
/// hangs, and the others do not wait for it: the run goes on, for at most so many runs' time.
const DRAIN_MS: u64 = 1000;
const MOST_RUNS: u64 = 10;

/// The tenant is asked for its signing key again when the copy is older than this at the start of a run.
const KEY_MAX_AGE_MS: u64 = 60_000;

/// Long polls held at once; older ones are answered empty.
const MAX_HELD_POLLS: u64 = 2;

impl StreamObject {
    /// One run of pushes: until nothing is due or the run's time is over.
    pub(super) async fn deliver(&self) -> Answer<()> {
        let started = now_ms();
        let settings = context::settings(&self.env).map_err(|error| fault("settings", error))?;
        if let Some(run) = self.with(|live| Ok(live.begin_run(&self.sql, started)?))? {
            let line = self.line(&settings, run).await?;
            self.push_all(line, &settings, started).await?;
            self.with(|live| Ok(live.flush(&self.sql, now_ms())?))?;
        }
        Ok(())
    }

    /// Gets everything ready that the pushes of a run need.
    async fn line(&self, settings: &Settings, run: Run) -> Answer<Rc<Line>> {
        // The policy may have changed since the endpoint was registered.
        let policy = UrlPolicy::of_issuer(settings.allow_loopback, &run.issuer);
        if let Err(error) = EndpointUrl::parse(&run.endpoint_url, &policy) {
            let detail = format!("the endpoint is not allowed by the settings of this service: it {error}");
            self.with(|live| {
                live.tally.trouble(&detail, now_ms());
                Ok(())
            })?;
            return Err(fault("push endpoint", error));
        }
        let authorization = match &run.sealed_authorization {
            None => None,
            Some(sealed) => Some(self.open(settings, AUTHORIZATION_PLACE, sealed).await?),
        };
        let seal = match run.mode {
            None if !run.sends_claims => Seal::Set(self.signer(settings).await?),
            mode => {
                let mut secrets = Vec::with_capacity(run.sealed_secrets.len());
                for sealed in &run.sealed_secrets {
                    let secret = self.open(settings, WEBHOOK_SECRET_PLACE, sealed).await?;
                    let secret = WebhookSecret::parse(secret.expose());
                    secrets.push(secret.map_err(|error| fault("webhook secret", error))?);
                }
                Seal::Webhook { mode, secrets }
            }
        };
        let line = Line::new(run, authorization.as_ref(), seal);
        line.map(Rc::new)
            .ok_or_else(|| fault("the receiver's authorization header", "it cannot be sent"))
    }

    async fn push_all(&self, mut line: Rc<Line>, settings: &Settings, started: u64) -> Answer<()> {
        let mut deadline = started + settings.run_ms;
        let last = started + MOST_RUNS * settings.run_ms;
        let mut renew_at = started + RENEW_MS;
        let tickets = Tickets::default();
        let mut pushes = FuturesUnordered::new();
        let mut clock = Clock::default();
        // So coarse is the time that a push may take.
        let tick = u64::from(settings.push_timeout_ms / 4).clamp(10, TICK_MS);
        let mut idle_since = None;
        loop {
            let rung = self.bell.count();
            let now = now_ms();
            if now >= renew_at {
                renew_at = now + RENEW_MS;
                self.with(|_| {
                    Ok(begin_run(
                        &self.sql,
                        now + 2 * RENEW_MS + u64::from(settings.push_timeout_ms),
                    )?)
                })?;
            }
            let clock_at = self.with(|live| Ok(live.clock_at()))?;
            if clock_at.is_some_and(|at| at <= now) {
                self.keep_time(now)?;
            }
            if now >= deadline + DRAIN_MS && now < last && !pushes.is_empty() {
                deadline = now + settings.run_ms;
            }
            // When there may be something, unless this run is over.
            let due_at = loop {
                if now >= deadline {
                    break None;
                }
                match self.with(|live| Ok(live.next_push(&self.sql, &line.run, now)?))? {
                    Next::Push(job) => pushes.push(self.push_one(job, Rc::clone(&line), &tickets)),
                    Next::Nothing { due_at } => break Some(due_at),
                    Next::Over => match self.with(|live| Ok(live.renew_run(&self.sql, now)?))? {
                        Some(run) => match self.line(settings, run).await {
                            Ok(renewed) => line = renewed,
                            // What is under way is answered first.
                            Err(_) if !pushes.is_empty() => break None,
                            Err(refusal) => return Err(refusal),
                        },
                        None => break None,
                    },
                }
            };
            if !pushes.is_empty() {
                idle_since = None;
                // Something was appended, the time of something has come, or something has taken too long.
                let until = [due_at.flatten(), clock_at].into_iter().flatten();
                let until = until.fold(now + tick, |first, at| first.min(at));
                let (rings, comes) = (pin!(self.bell.after(rung)), pin!(clock.until(until)));
                let more = select(rings, comes);
                if let Either::Left((Some((pos, pushed, line)), _)) = select(pushes.next(), more).await {
                    self.settle(pos, pushed, &line)?;
                }
                tickets.watch(settings.push_timeout_ms, now_ms());
                continue;
            }
            // Where events come one soon after the other, waiting for the next one is cheaper than another run: that takes two
            // rows more. Where they come seldom the wait itself would cost more.
            let until = *idle_since.get_or_insert(now) + settings.linger_ms;
            let Some(due_at) = due_at else {
                return Ok(());
            };
            let nothing_comes = match due_at {
                Some(at) => at > until,
                None => !self.is_busy(settings.linger_ms),
            };
            if until <= now || nothing_comes {
                return Ok(());
            }
            let until = due_at.unwrap_or(until);
            select(pin!(self.bell.after(rung)), pin!(clock.until(until))).await;
        }
    }

    /// Signs and pushes, unless the stream was changed in between.
    async fn push_one(&self, job: Job, line: Rc<Line>, tickets: &Tickets) -> (Pos, Option<Pushed>, Rc<Line>) {
        let pos = job.pos;
        let may_go = || {
            self.with(|live| Ok(live.may_send(&line.run, now_ms())))
                .is_ok_and(|current| current)
        };
        let pushed = push(job, &line, tickets, may_go).await;
        if pushed.is_some() {
            self.meter.subrequest();
        }
        (pos, pushed, line)
    }

    fn settle(&self, pos: Pos, pushed: Option<Pushed>, line: &Line) -> Answer<()> {
        let now = now_ms();
        let Some(Pushed { answer, attempt }) = pushed else {
            return self.with(|live| {
                live.not_sent(pos, now);
                Ok(())
            });
        };
        let settled = self.with(|live| {
            let settled = live.settle(&self.sql, &line.run, pos, &answer, now, random::draw())?;
            match &settled {
                Settled::Known(Outcome::Dead(_), detail) => log_trouble("event_dead", live, detail.as_deref()),
                Settled::Known(Outcome::RetryAt(_) | Outcome::HeldUntil(..), detail) => {
                    log_trouble("push_failed", live, detail.as_deref());
                }
                Settled::Known(Outcome::Delivered, _) | Settled::Ignored => {}
            }
            Ok(settled)
        })?;
        if let Settled::Known(outcome, detail) = settled {
            self.attempts.borrow_mut().remember(attempt, outcome, detail);
        }
        Ok(())
    }

    async fn signer(&self, settings: &Settings) -> Answer<Signer> {
        let now = now_ms();
        let known = self
            .key
            .borrow()
            .clone()
            .filter(|(at, _)| now.saturating_sub(*at) < KEY_MAX_AGE_MS);
        let key = match known {
            Some((_, key)) => key,
            None => {
                let (tenant, (alg, at_once)) = self.with(|live| {
                    let stream = &live.stream;
                    Ok((stream.tenant.clone(), stream.terms.signing()))
                })?;
                let tenant = stub::tenant(&self.env, &tenant).map_err(|error| call_failed(&error))?;
                self.meter.subrequest();
                let reply = tenant
                    .ask(TenantCommand::SigningKey { alg, at_once })
                    .await
                    .map_err(|error| call_failed(&error))?;
                let TenantReply::SigningKey(key) = reply else {
                    return Err(fault("tenant", "an unexpected reply"));
                };
                self.key.replace(Some((now, key.clone())));
                key
            }
        };
        let private = crypto::signing_key(&key.kid, key.alg, async || {
            let place = format!("{} signing_key", key.sealed_by);
            crypto::open(settings.key_encryption_key.expose(), &place, &key.sealed).await
        });
        let private = private.await.map_err(|error| fault("signing key", error))?;
        Ok(Signer {
            kid: key.kid,
            alg: key.alg,
            key: private,
        })
    }

    /// Answers a poll (RFC 8936): acknowledgements first and durably, then what waits, then what comes while we hold it.
    pub(super) async fn poll(&self, request: PollCommand) -> Answer<StreamReply> {
        let settings = context::settings(&self.env).map_err(|error| fault("settings", error))?;
        self.with(|live| {
            if live.stream.configuration.delivery != Delivery::Poll {
                return Err(Refusal::NotFound);
            }
            for detail in live.acknowledge(&self.sql, &request.ack, &request.set_errs, now_ms())? {
                log_trouble("event_dead", live, Some(&detail));
            }
            Ok(())
        })?;
        let deadline = now_ms()
            + if request.return_immediately {
                0
            } else {
                settings.long_poll_ms
            };
        let mut turn = None;
        let Batch { items, more, .. } = loop {
            let rung = self.bell.count();
            let batch = self.with(|live| Ok(live.hand_out(&self.sql, request.max_events, now_ms())?))?;
            let left = deadline.saturating_sub(now_ms());
            if !batch.nothing_waits || left == 0 {
                break batch;
            }
            // Only polls that are held count. Whoever has waited longest makes room.
            let turn = *turn.get_or_insert_with(|| self.next_turn());
            if self.polls.get() >= turn + MAX_HELD_POLLS {
                break batch;
            }
            let held = Held::count(&self.held);
            select(pin!(self.bell.after(rung)), Delay::from(Duration::from_millis(left))).await;
            drop(held);
            // SSF-8.1.1-14: waiting is polling.
            self.with(|live| Ok(live.touch(&self.sql, now_ms())?))?;
        };
        if items.is_empty() {
            return Ok(StreamReply::Sets { sets: Vec::new(), more });
        }
        let signer = self.signer(&settings).await?;
        let claims = self.with(|live| {
            let claims = items.iter().map(|item| live.stream.as_now(item.claims(), item.at));
            Ok(claims.collect::<Vec<_>>())
        })?;
        let signed = together(claims.iter().map(|claims| signer.sign(claims))).await;
        let sets: Result<Vec<_>, _> = items
            .iter()
            .zip(signed)
            .map(|(item, set)| set.map(|set| (jti_text(&item.jti), set)))
            .collect();
        Ok(StreamReply::Sets {
            sets: sets.map_err(|error| fault("sign", error))?,
            more,
        })
    }

    fn next_turn(&self) -> u64 {
        let turn = self.polls.get() + 1;
        self.polls.set(turn);
        self.bell.ring();
        turn
    }
}

/// One poll that is held, for as long as this lives.
struct Held(Rc<Cell<u32>>);

impl Held {
    fn count(held: &Rc<Cell<u32>>) -> Self {
        held.set(held.get() + 1);
        Self(Rc::clone(held))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Wakes a run. Its timer stands as long as it is good for what is wanted: setting one for every push costs more than waking
/// now and then for nothing.
#[derive(Default)]
struct Clock(Option<(u64, Pin<Box<Delay>>)>);

impl Clock {
    /// Waits until then (Unix milliseconds) at the latest.
    async fn until(&mut self, at: u64) {
        let now = now_ms();
        let (_, delay) = match self.0.take_if(|(stands, _)| *stands <= at && *stands > now) {
            Some(stands) => self.0.insert(stands),
            None => {
                let delay = Delay::from(Duration::from_millis(at.saturating_sub(now).max(1)));
                self.0.insert((at, Box::pin(delay)))
            }
        };
        delay.as_mut().await;
        self.0 = None;
    }
}

fn log_trouble(what: &str, live: &Live, detail: Option<&str>) {
    let stream_id = &live.stream.configuration.stream_id;
    log::line(Level::Warn, what, json!({"stream_id": stream_id, "detail": detail}));
}
