//! Polling a transmitter (RFC 8936): ask, judge, store, and say with the next request what was stored.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::select;
use serde_json::Value;
use worker::Delay;

use crate::edge::body;
use crate::edge::clock::now_ms;
use crate::edge::command::{Answer, Refusal};
use crate::edge::intake::{self as edge_intake, Judged};
use crate::edge::log::{self, Level};
use crate::edge::random;
use crate::protocol::json::json;
use crate::protocol::push::{ErrorBody, clip};
use crate::protocol::set::SetErr;
use crate::receiver::inbox::{KeysFrom, StoreOutcome};
use crate::receiver::intake;
use crate::receiver::keys::are_fresh;
use crate::receiver::poller::Rules;
use crate::receiver::remote::Trouble;
use crate::receiver::setup::{self, Setup};
use crate::receiver::source::Source;

use super::serve::{boxed, fault};
use super::set_up::FAILING;
use super::source::SourceObject;

/// Most bytes of a poll response; what is longer is asked for in smaller pieces.
const POLL_BYTES: usize = 4 * 1024 * 1024;

/// No answer for so long is one, too, however few polls that were: some transmitters name a time that is far away.
const SILENT_MS: u64 = 10 * 60_000;

/// Of a key so many bytes go to the log.
const MAX_JTI: usize = 256;

/// What becomes of a SET that came by poll.
enum Fate {
    Stored(StoreOutcome),
    Discarded,
    Refused(ErrorBody),
    /// Its key cannot be had before then.
    Waits(u64),
    /// Nobody knows, by a fault of ours: it comes again.
    Unknown,
    /// The source was changed while it was judged.
    Stale,
}

impl SourceObject {
    /// When to poll next; nothing where there is nothing to poll.
    pub(super) fn poll_due(&self) -> Answer<Option<u64>> {
        let source = self.source()?;
        let has_url = |setup: &mut Setup| setup.stream.as_ref().is_some_and(|stream| stream.poll_url.is_some());
        if !source.managed.poll || !self.with_setup(has_url)? {
            return Ok(None);
        }
        let pace = self.tally()?.pace;
        let mut poller = self.poller.borrow_mut();
        poller.go_on(pace);
        Ok(Some(poller.due()))
    }

    /// Polls for as long as the run goes on. Returns when the next poll is due.
    pub(super) async fn poll_on(&self, deadline: u64) -> Answer<Option<u64>> {
        loop {
            let rung = self.bell.count();
            let due = self.poll_due()?;
            let now = now_ms();
            if self.run.over.get() {
                return Ok(due);
            }
            if due.is_some_and(|at| at <= now) && now < deadline {
                self.run.polling.set(true);
                let polled = boxed(self.poll_once()).await;
                self.run.polling.set(false);
                self.bell.ring();
                polled?;
                continue;
            }
            let until = due
                .filter(|_| now < deadline)
                .unwrap_or(now + 60_000)
                .clamp(now + 1, now + 60_000);
            let time = Delay::from(Duration::from_millis(until - now));
            select(pin!(self.bell.after(rung)), time).await;
        }
    }

    fn poll_rules(&self, source: &Source) -> Answer<Rules> {
        let settings = self.settings()?;
        Ok(Rules {
            interval_ms: source.managed.poll_interval * 1000,
            idle_ms: settings.remote.poll_idle_ms,
            retry: settings.delivery.courier.retry,
        })
    }

    async fn poll_once(&self) -> Answer<()> {
        let source = self.source()?;
        let rules = self.poll_rules(&source)?;
        let stream = self.with_setup(|setup| setup.stream.clone())?.unwrap_or_default();
        let Some(url) = stream.poll_url else {
            // Whoever calls in a loop has to come to a wait.
            self.poller.borrow_mut().hold_until(now_ms() + 1000);
            return Ok(());
        };
        let request = self.poller.borrow().request(&rules);
        let timeout_ms = self.settings()?.remote.poll_timeout_ms;
        let sent_at = now_ms();
        let answer = self
            .authorized("POST", &url, Some(&request.body), timeout_ms, POLL_BYTES)
            .await;
        // As it is now: it may have been changed while the transmitter held the poll.
        let source = self.source()?;
        let now = now_ms();
        let sets = answer.and_then(|answer| {
            if !(200..300).contains(&answer.status) {
                return Err(answer
                    .hear()
                    .err()
                    .unwrap_or_else(|| Trouble::later("answered nothing")));
            }
            let mut poller = self.poller.borrow_mut();
            poller.answered(&request, &answer.body, answer.cut, &rules, sent_at, now)
        });
        let sets = match sets {
            Ok(sets) => sets,
            // It is not polled any more: nothing fails.
            Err(_) if !source.managed.poll => return Ok(()),
            Err(Trouble::Later { .. }) if !request.at_once && now.saturating_sub(sent_at) >= timeout_ms.into() => {
                self.poller.borrow_mut().held_too_long(now);
                return Ok(());
            }
            Err(trouble) => return self.poll_failed(&stream.stream_id, &url, trouble, &rules).await,
        };
        self.count(|tally| tally.last_poll_at = Some(now))?;
        let mut trouble = None;
        let came = !sets.is_empty();
        let mut new = false;
        for (key, set) in sets {
            let source = self.source()?;
            let fate = match set {
                Some(set) => self.take(&source, &key, &set).await?,
                None => {
                    self.count(|tally| tally.refused += 1)?;
                    Fate::Refused(ErrorBody::new(SetErr::InvalidRequest, "it is no text, and so no SET"))
                }
            };
            let mut poller = self.poller.borrow_mut();
            match fate {
                Fate::Stored(outcome) => {
                    new |= outcome == StoreOutcome::Stored;
                    poller.ack(&key);
                }
                Fate::Discarded => {
                    new = true;
                    poller.ack(&key);
                }
                Fate::Refused(error) => {
                    log::line(
                        Level::Warn,
                        "set_refused",
                        json!({"source_id": source.source_id, "jti": clip(&key, MAX_JTI), "err": error.err.as_str(), "description": error.description}),
                    );
                    poller.refuse(&key, error);
                }
                Fate::Waits(at) => {
                    new = true;
                    poller.hold_until(at);
                    // What comes after it stays behind it.
                    break;
                }
                Fate::Stale => new = true,
                // Only this one: a single event must not stop the stream (pitfall 16).
                Fate::Unknown => {
                    trouble = Some("an event could not be checked, by a fault of this service: its log says which")
                }
            }
        }
        self.problem("poll_failing", trouble)?;
        let mut poller = self.poller.borrow_mut();
        match (came, new) {
            (true, true) => poller.something_new(),
            (true, false) => poller.nothing_new(&rules, now_ms()),
            (false, _) => {}
        }
        Ok(())
    }

    async fn poll_failed(&self, stream_id: &str, url: &str, trouble: Trouble, rules: &Rules) -> Answer<()> {
        let mut found = None;
        if let Trouble::Gone(_) = trouble {
            found = self.is_there(stream_id, trouble.clone()).await.ok().flatten();
        }
        // Another stream than that one has nothing to do with it.
        if self.with_setup(|setup| setup.stream_id() != Some(stream_id))? {
            return Ok(());
        }
        let now_at = found.as_ref().and_then(|found| found.pointer("/delivery/endpoint_url"));
        if now_at.and_then(Value::as_str).is_some_and(|now_at| now_at != url) {
            // It is polled elsewhere by now: the step looks at that URL before it is taken.
            self.begin_again(setup::STREAM)?;
            self.nudge().await;
        }
        let now = now_ms();
        let (failures, due) = {
            let mut poller = self.poller.borrow_mut();
            poller.failed(&trouble, rules, random::draw(), now);
            (poller.failures(), poller.due())
        };
        let answered_at = self.tally()?.last_poll_at.unwrap_or(now);
        // The next life of this object must know that it has to wait.
        self.write_tally()?;
        let lasting = !matches!(trouble, Trouble::Later { .. });
        let silent = due.saturating_sub(answered_at) > SILENT_MS + rules.interval_ms;
        if failures >= FAILING || lasting || silent {
            self.problem("poll_failing", Some(trouble.detail()))?;
        }
        Ok(())
    }

    /// Judges one SET and stores it.
    async fn take(&self, source: &Source, name: &str, set: &str) -> Answer<Fate> {
        let refused = |error| {
            self.count(|tally| tally.refused += 1)?;
            Ok(Fate::Refused(error))
        };
        // As by push. What fits into no row would end this object with each poll anew.
        if set.len() > body::LIMIT {
            return refused(ErrorBody::new(SetErr::InvalidRequest, "it is longer than 256 KiB"));
        }
        let token = match intake::screen(set.as_bytes(), &source.trust()) {
            Ok(token) => token,
            Err(error) => return refused(error),
        };
        let began = now_ms();
        let (mut keys, mut from) = (self.keys()?.filter(|keys| are_fresh(keys, began)), KeysFrom::Cached);
        let mut chosen = Ok(None);
        if let Some(known) = &keys {
            chosen = edge_intake::choose(&token, &known.jwks, true);
        }
        if matches!(chosen, Ok(None)) {
            let header = &token.header;
            let (fetched, wait_ms) = match self.keys_for(header.kid.as_deref(), &header.alg).await {
                Err(Refusal::RemoteFailed { .. }) => {
                    return Ok(Fate::Waits(now_ms() + self.settings()?.key_refetch_ms.max(1000)));
                }
                fetched => fetched?,
            };
            chosen = edge_intake::choose(&token, &fetched.jwks, wait_ms > 0);
            if matches!(chosen, Ok(None)) {
                // The issuer may have a new key that its document does not show yet.
                return Ok(Fate::Waits(now_ms() + wait_ms));
            }
            (keys, from) = (Some(fetched), KeysFrom::Fetched);
        }
        let key = match chosen {
            Ok(key) => key.ok_or_else(|| fault("keys", "no key was chosen"))?,
            Err(error) => return refused(error),
        };
        let critical = keys.as_ref().map_or(&[][..], |keys| &keys.critical);
        let judged = edge_intake::judge(source, critical, set, token, (&key, from), began).await;
        let Judged { event, about, discard } = match judged {
            Ok(Ok(judged)) => judged,
            Ok(Err(error)) => return refused(error),
            Err(error) => {
                fault("verify a SET", error);
                return Ok(Fate::Unknown);
            }
        };
        // POLL-2.5-4: under the key, whatever it says of itself.
        if event.jti != name {
            return refused(ErrorBody::new(
                SetErr::InvalidRequest,
                "its jti is not the key it came under",
            ));
        }
        let now = now_ms();
        if self.source()?.rev != source.rev {
            // Judged by what is not so any more. It comes again.
            return Ok(Fate::Stale);
        }
        if discard {
            self.count(|tally| (tally.discarded, tally.last_event_at) = (tally.discarded + 1, Some(now)))?;
            return Ok(Fate::Discarded);
        }
        match self.keep(source, &event, about.as_ref(), now) {
            Ok(outcome) => {
                self.arrived(source).await?;
                Ok(Fate::Stored(outcome))
            }
            Err(Refusal::Set { err, description }) => {
                Ok(Fate::Refused(ErrorBody::new(SetErr::from(err.as_str()), description)))
            }
            Err(refusal) => Err(refusal),
        }
    }
}
