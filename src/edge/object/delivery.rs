//! Delivery as the stream object performs it: the alarm's pushes, and the answers to polls. What to push and what an answer
//! means is the courier's to say.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use worker::Delay;

use crate::delivery::answer::{Verdict, judge};
use crate::delivery::courier::{Next, Outcome};
use crate::delivery::dead_letters::Death;
use crate::edge::clock::now_ms;
use crate::edge::command::{Answer, PollCommand, Refusal, StreamReply, TenantCommand, TenantReply};
use crate::edge::log::{self, Level};
use crate::edge::settings::Settings;
use crate::edge::together::together;
use crate::edge::{context, crypto, random};
use crate::protocol::endpoint_url::{EndpointUrl, UrlPolicy};
use crate::protocol::secret::Secret;
use crate::protocol::set::{jti_bytes, jti_text};
use crate::protocol::stream::Delivery;
use crate::transmitter::stream::begin_run;

use super::exchange::{Job, Line, Pushed, Signer, push};
use super::live::Live;
use super::serve::{call_failed, fault};
use super::stream::{AUTHORIZATION_PLACE, StreamObject};
use super::stub;

/// Progress is written down at least this often during a run.
const FLUSH_MS: u64 = 1000;

/// A run that lasts longer than this says so in its row, and again each time this has passed.
const RENEW_MS: u64 = 10_000;

/// The tenant is asked for its signing key again when the copy is older than this at the start of a run.
const KEY_MAX_AGE_MS: u64 = 60_000;

/// SETs in one poll answer when the receiver names no number.
const DEFAULT_POLL_EVENTS: usize = 100;
/// And the most that it may name.
const MAX_POLL_EVENTS: usize = 1000;
/// Bytes of claims in one poll answer.
const MAX_POLL_BYTES: usize = 1024 * 1024;
/// Long polls held at once; older ones are answered empty.
const MAX_HELD_POLLS: u64 = 2;

impl StreamObject {
    /// One run of pushes: until nothing is due or the run's time is over.
    pub(super) async fn deliver(&self) -> Answer<()> {
        let started = now_ms();
        let settings = context::settings(&self.env).map_err(|error| fault("settings", error))?;
        let (push_to, rev, moves) = self.with(|live| {
            live.outbox.refill(&self.sql)?;
            live.courier.forget_in_flight();
            let due = live
                .courier
                .due_at(&live.outbox, started)
                .is_some_and(|due| due <= started);
            let push_to = match &live.stream.configuration.delivery {
                Delivery::Push { endpoint_url, .. } if due => Some((
                    endpoint_url.clone(),
                    live.stream.configuration.iss.clone(),
                    live.stream.sealed_authorization.clone(),
                )),
                _ => None,
            };
            Ok((push_to, live.stream.rev, live.moves))
        })?;
        let Some((endpoint_url, issuer, sealed)) = push_to else {
            return Ok(());
        };
        // The policy may have changed since the endpoint was registered.
        let policy = UrlPolicy::of_issuer(settings.allow_loopback, &issuer);
        if let Err(error) = EndpointUrl::parse(&endpoint_url, &policy) {
            let detail = format!("the endpoint is not allowed by the settings of this service: it {error}");
            self.with(|live| {
                live.last_error = Some(json!({"at": started, "detail": detail}));
                Ok(())
            })?;
            return Err(fault("push endpoint", error));
        }
        let authorization = match sealed {
            None => None,
            Some(sealed) => Some(self.open_authorization(&settings, &sealed).await?),
        };
        let signer = self.signer(&settings).await?;
        let line = Line {
            endpoint_url,
            authorization,
            signer,
            timeout_ms: settings.push_timeout_ms,
            rev,
            moves,
        };
        self.push_all(&line, &settings, started).await?;
        self.with(|live| live.flush(&self.sql))
    }

    async fn push_all(&self, line: &Line, settings: &Settings, started: u64) -> Answer<()> {
        let deadline = started + settings.run_ms;
        let mut renew_at = started + RENEW_MS;
        let mut pushes = FuturesUnordered::new();
        loop {
            let rung = self.bell.count();
            let now = now_ms();
            if now >= renew_at {
                renew_at = now + RENEW_MS;
                self.with(|_| Ok(begin_run(&self.sql, now + 2 * RENEW_MS + u64::from(line.timeout_ms))?))?;
            }
            if now < deadline {
                while let Some(job) = self.next_job(now, line.rev)? {
                    pushes.push(push(job, line));
                }
            }
            if pushes.is_empty() {
                return Ok(());
            }
            match select(pushes.next(), pin!(self.bell.after(rung))).await {
                Either::Left((Some(pushed), _)) => self.settle(pushed, settings, line.moves)?,
                // Something was appended: there may be a push to start beside those under way.
                Either::Left((None, _)) | Either::Right(_) => {}
            }
        }
    }

    fn next_job(&self, now: u64, rev: u64) -> Answer<Option<Job>> {
        self.with(|live| {
            // The stream was changed: what this run knows of its endpoint may be old. The next run knows better.
            if live.stream.rev != rev {
                return Ok(None);
            }
            live.outbox.refill(&self.sql)?;
            let Next::Push(pos) = live.courier.next(&live.outbox, now) else {
                return Ok(None);
            };
            Ok(live.outbox.get(pos).map(|item| Job {
                pos,
                jti: jti_text(&item.jti),
                claims: item.claims().to_vec(),
                attempt: live.courier.attempts(&item.lane) + 1,
            }))
        })
    }

    fn settle(&self, pushed: Pushed, settings: &Settings, moves: u32) -> Answer<()> {
        let now = now_ms();
        self.with(|live| {
            let verdict = judge(&pushed.answer, now);
            if live.moves != moves && verdict != Verdict::Delivered {
                // The endpoint that answers is not the stream's any more: it cannot speak for the new one.
                live.courier.forget(pushed.pos);
                return Ok(());
            }
            let outcome = live.courier.handle(pushed.pos, &verdict, now, random::draw());
            let detail = match &verdict {
                Verdict::Delivered => None,
                Verdict::Dead { err, description } => Some(format!("{err}: {description}")),
                Verdict::Retry { detail } | Verdict::Hold { detail, .. } => Some(detail.clone()),
            };
            match &outcome {
                Outcome::Delivered => {
                    live.outbox.ack(pushed.pos);
                    live.last_success_at = Some(now);
                }
                Outcome::Dead(death) => {
                    let kept = live.courier.kept();
                    live.outbox.bury(&self.sql, pushed.pos, death, now, &kept)?;
                    log_trouble("event_dead", live, detail.as_deref());
                }
                Outcome::RetryAt(_) | Outcome::HeldUntil(..) => log_trouble("push_failed", live, detail.as_deref()),
            }
            if let Some(detail) = &detail {
                live.last_error = Some(json!({"at": now, "detail": detail}));
            }
            live.unflushed += 1;
            if live.unflushed >= settings.window || now.saturating_sub(live.flushed_at) >= FLUSH_MS {
                live.flush(&self.sql)?;
            }
            live.attempts.remember(pushed.attempt, outcome, detail);
            live.follow_status(&self.sql, false, now)?;
            Ok(())
        })
    }

    async fn open_authorization(&self, settings: &Settings, sealed: &str) -> Answer<Secret<String>> {
        let place = self.place(AUTHORIZATION_PLACE);
        let failed = |error: &dyn std::fmt::Display| fault("the receiver's authorization header", error);
        let plain = crypto::open(settings.key_encryption_key.expose(), &place, sealed).await;
        let plain = plain.map_err(|error| failed(&error))?;
        String::from_utf8(plain)
            .map(Secret::new)
            .map_err(|error| failed(&error))
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
            self.acknowledge(live, &request)
        })?;
        let wanted = request
            .max_events
            .map_or(DEFAULT_POLL_EVENTS, |most| (most as usize).min(MAX_POLL_EVENTS));
        let deadline = now_ms()
            + if request.return_immediately {
                0
            } else {
                settings.long_poll_ms
            };
        let mut turn = None;
        let (items, more) = loop {
            let rung = self.bell.count();
            let (items, more, waits) = self.with(|live| {
                live.outbox.refill(&self.sql)?;
                // POLL-R-9: with maxEvents 0 the wait is the same, the answer empty.
                let (items, more) = live.outbox.hand_out(wanted, MAX_POLL_BYTES);
                if live.outbox.is_dirty() {
                    live.flush(&self.sql)?;
                }
                let waits = !live.outbox.is_empty();
                Ok((items, more, waits))
            })?;
            let left = deadline.saturating_sub(now_ms());
            if waits || left == 0 {
                break (items, more);
            }
            // Only polls that are held count. Whoever has waited longest makes room.
            let turn = *turn.get_or_insert_with(|| self.next_turn());
            if self.polls.get() >= turn + MAX_HELD_POLLS {
                break (items, more);
            }
            let held = Held::count(&self.held);
            select(pin!(self.bell.after(rung)), Delay::from(Duration::from_millis(left))).await;
            drop(held);
            // SSF-8.1.1-14: waiting is polling.
            self.with(|live| live.touch(&self.sql, now_ms()))?;
        };
        if items.is_empty() {
            return Ok(StreamReply::Sets { sets: Vec::new(), more });
        }
        let signer = self.signer(&settings).await?;
        let signed = together(items.iter().map(|item| signer.sign(item.claims()))).await;
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

    /// POLL-R-1 to POLL-R-4: what is unknown or was done before is passed over, `ack` goes before `setErrs`.
    fn acknowledge(&self, live: &mut Live, request: &PollCommand) -> Answer<()> {
        if request.ack.is_empty() && request.set_errs.is_empty() {
            return Ok(());
        }
        let now = now_ms();
        live.outbox.refill(&self.sql)?;
        let named = request.ack.iter().chain(request.set_errs.iter().map(|(jti, ..)| jti));
        let jtis: Vec<_> = named.filter_map(|jti| jti_bytes(jti)).collect();
        let found = live.outbox.handed_out(&jtis);
        let place = |jti: &str| jti_bytes(jti).and_then(|jti| found.get(&jti)).copied();
        for pos in request.ack.iter().filter_map(|jti| place(jti)) {
            live.outbox.ack(pos);
        }
        for (jti, err, description) in &request.set_errs {
            if let Some(pos) = place(jti) {
                let death = Death {
                    err: err.clone(),
                    description: description.clone(),
                    attempts: 1,
                };
                let kept = live.courier.kept();
                if live.outbox.bury(&self.sql, pos, &death, now, &kept)? {
                    log_trouble("event_dead", live, Some(err));
                }
            }
        }
        if live.outbox.is_dirty() {
            live.flush(&self.sql)?;
        }
        live.last_success_at = Some(now);
        Ok(())
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

fn log_trouble(what: &str, live: &Live, detail: Option<&str>) {
    let stream_id = &live.stream.configuration.stream_id;
    log::line(Level::Warn, what, json!({"stream_id": stream_id, "detail": detail}));
}
