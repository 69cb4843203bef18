//! Pushing: what goes out next, and what each answer leads to.

use serde_json::Value;

use super::{FLUSH_MS, Live};
use crate::delivery::answer::{Answer, Verdict, judge};
use crate::delivery::chunk::Jti;
use crate::delivery::courier::{self, Outcome};
use crate::delivery::dead_letters::Death;
use crate::delivery::outbox::Pos;
use crate::delivery::sql::{Sql, SqlError};
use crate::protocol::cloudevent::ContentMode;
use crate::protocol::forward::Form;
use crate::protocol::json::json;
use crate::protocol::operator_request::OnDead;
use crate::protocol::status::Status;
use crate::protocol::stream::Delivery;
use crate::transmitter::status::Wish;

/// A run of pushes: everything they have in common, as it was when the run began.
#[derive(Debug, Clone)]
pub struct Run {
    pub endpoint_url: String,
    pub issuer: String,
    /// The sender as endpoints know it.
    pub origin: String,
    pub legacy_origin_header: bool,
    pub sealed_authorization: Option<String>,
    /// How CloudEvents are sent; `None`: SETs are, or claims.
    pub mode: Option<ContentMode>,
    /// Claims are sent as they are, signed as CloudEvents are.
    pub sends_claims: bool,
    /// The secrets to sign CloudEvents with, sealed.
    pub sealed_secrets: Vec<String>,
    /// When the first of them signs no more.
    secrets_until: Option<u64>,
    rev: u64,
    moves: u32,
    replays: u32,
}

/// An event to push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub pos: Pos,
    pub jti: Jti,
    pub claims: Vec<u8>,
    /// Events that go in the same request, after this one.
    pub riders: Vec<(Jti, Vec<u8>)>,
    /// 1 for the first.
    pub attempt: u32,
}

/// What a run does now.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Push(Job),
    /// Nothing now. There may be something at this instant (Unix milliseconds), after an answer, or when something comes.
    Nothing {
        due_at: Option<u64>,
    },
    /// The stream was changed: what this run knows may be old, so it starts no push any more. See [`Live::renew_run`].
    Over,
}

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// Its answer means nothing any more.
    Ignored,
    /// And why, unless it was delivered.
    Known(Outcome, Option<String>),
}

impl Live {
    /// Begins a run, if there is something to push now. Only one runs at a time: what an earlier one had under way and did
    /// not settle goes out again.
    pub fn begin_run(&mut self, sql: &dyn Sql, now: u64) -> Result<Option<Run>, SqlError> {
        self.courier.forget_in_flight();
        self.renew_run(sql, now)
    }

    /// Goes on with a run after the stream was changed, if there is still something to push now. What is under way stays so:
    /// each push is settled with the run that it was chosen for.
    pub fn renew_run(&mut self, sql: &dyn Sql, now: u64) -> Result<Option<Run>, SqlError> {
        self.outbox.refill(sql)?;
        let configuration = &self.stream.configuration;
        let Delivery::Push { endpoint_url, .. } = &configuration.delivery else {
            return Ok(None);
        };
        if self.courier.due_at(&self.outbox, now).is_none_or(|due| due > now) {
            return Ok(None);
        }
        Ok(Some(Run {
            endpoint_url: endpoint_url.clone(),
            issuer: configuration.iss.clone(),
            origin: self.origin(),
            legacy_origin_header: self.stream.choices.legacy_origin_header,
            sealed_authorization: self.stream.sealed_authorization.clone(),
            mode: configuration.delivery.cloudevents().map(|cloudevents| cloudevents.mode),
            sends_claims: self.stream.forward == Some(Form::Claims),
            sealed_secrets: self
                .stream
                .webhook_secrets
                .iter()
                .filter(|secret| secret.until.is_none_or(|until| until > now))
                .map(|secret| secret.sealed.clone())
                .collect(),
            secrets_until: self
                .stream
                .webhook_secrets
                .iter()
                .filter_map(|secret| secret.until)
                .filter(|until| *until > now)
                .min(),
            rev: self.stream.rev,
            moves: self.moves,
            replays: self.replays,
        }))
    }

    /// Chooses the next push of a run.
    pub fn next_push(&mut self, sql: &dyn Sql, run: &Run, now: u64) -> Result<Next, SqlError> {
        let expired = run.secrets_until.is_some_and(|until| until <= now);
        if self.stream.rev != run.rev || self.replays != run.replays || expired {
            return Ok(Next::Over);
        }
        self.outbox.refill(sql)?;
        let next = self.courier.next(&self.outbox, now);
        if self.courier.must_keep() {
            self.flush(sql, now)?;
        }
        let due_at = match next {
            courier::Next::Push(pos) => {
                let Some(item) = self.outbox.get(pos) else {
                    self.courier.forget(pos);
                    return Ok(Next::Nothing { due_at: None });
                };
                let riders = self.courier.riders(pos);
                let riders = riders.into_iter().filter_map(|rider| self.outbox.get(rider));
                return Ok(Next::Push(Job {
                    pos,
                    jti: item.jti,
                    claims: self.stream.as_now(item.claims(), item.at).into_owned(),
                    riders: riders
                        .map(|rider| (rider.jti, self.stream.as_now(rider.claims(), rider.at).into_owned()))
                        .collect(),
                    attempt: self.courier.attempts(&item.lane, pos) + 1,
                }));
            }
            courier::Next::WakeAt(at) => Some(at),
            courier::Next::AwaitAnswer | courier::Next::Idle => None,
        };
        Ok(Next::Nothing { due_at })
    }

    /// Whether a push that was chosen may go out still: the stream is as it was when the run began, and does not wait. To be
    /// asked after every wait, before anything is sent.
    pub fn may_send(&self, run: &Run, now: u64) -> bool {
        self.stream.rev == run.rev && self.replays == run.replays && !self.courier.is_held(now)
    }

    /// A chosen push was not sent after all.
    pub fn not_sent(&mut self, pos: Pos, now: u64) {
        self.courier.not_sent(pos, now);
    }

    /// Takes the answer to a push. `draw` is uniform in 0..1.
    pub fn settle(
        &mut self,
        sql: &dyn Sql,
        run: &Run,
        pos: Pos,
        answer: &Answer,
        now: u64,
        draw: f64,
    ) -> Result<Settled, SqlError> {
        self.tally.attempts += 1;
        if self.replays != run.replays {
            self.courier.forget(pos);
            return Ok(Settled::Ignored);
        }
        let verdict = judge(answer, now);
        if self.moves != run.moves && verdict != Verdict::Delivered {
            // The endpoint that answers is not the stream's any more: it cannot speak for the new one.
            self.courier.forget(pos);
            return Ok(Settled::Ignored);
        }
        let riders = self.courier.riders(pos);
        let beside = self.courier.handle_riders(pos, &verdict, now, draw);
        let (outcome, deaths) = match beside {
            Ok(deaths) => (self.courier.handle(pos, &verdict, now, draw), deaths),
            Err(outcome) => (outcome, Vec::new()),
        };
        let detail = match &verdict {
            Verdict::Delivered => None,
            Verdict::Dead { err, description } => Some(format!("{err}: {description}")),
            Verdict::Retry { detail } | Verdict::Hold { detail, .. } => Some(detail.clone()),
        };
        match &outcome {
            Outcome::Delivered => {
                for pos in riders.into_iter().chain([pos]) {
                    self.tally.delivered(u32::from(self.outbox.ack(pos)), now);
                }
            }
            Outcome::Dead(death) => self.died(sql, pos, death, now)?,
            Outcome::RetryAt(_) | Outcome::HeldUntil(..) => {}
        }
        for (pos, death) in &deaths {
            self.died(sql, *pos, death, now)?;
        }
        if let Some(detail) = &detail {
            self.tally.trouble(detail, now);
        }
        self.unflushed += 1;
        // What an endpoint asked for is written down before anything else can happen (WH-2.2-10).
        let asked = matches!(verdict, Verdict::Hold { .. }) || matches!(outcome, Outcome::HeldUntil(..));
        if asked || self.unflushed >= self.courier.window() || now.saturating_sub(self.flushed_at) >= FLUSH_MS {
            self.flush(sql, now)?;
        }
        self.follow_status(sql, false, now)?;
        Ok(Settled::Known(outcome, detail))
    }

    /// An event cannot be delivered: it is buried, or the stream stops before it, as the operator chose.
    fn died(&mut self, sql: &dyn Sql, pos: Pos, death: &Death, now: u64) -> Result<(), SqlError> {
        // What tells of the stream itself never stands in its way.
        if self.stream.choices.on_dead == OnDead::Skip || pos.seq < 0 {
            let kept = self.courier.kept();
            let most = self.rules.dead_letters;
            self.outbox.bury(sql, pos, death, now, most, &kept)?;
        } else if self.outbox.get(pos).is_some() {
            let (err, why) = (&death.err, &death.description);
            self.stream.wishes.transmitter = Wish {
                status: Status::Paused,
                reason: Some(format!("an event cannot be delivered: {err}: {why}")),
            };
            self.stream.rev += 1;
            self.stream.save(sql)?;
        }
        // What was dropped or replayed meanwhile is nobody's fault.
        Ok(())
    }

    /// Why delivery waits, since when and until when, for whoever looks after the stream.
    pub fn shown_hold(&self) -> Option<Value> {
        let grant = &self.stream.grant;
        if !grant.permits() {
            return Some(json!({"reason": "consent", "since": grant.since, "until": Value::Null}));
        }
        let hold = self.courier.hold();
        let endpoint = hold.map(|hold| {
            let until = Some(hold.until).filter(|until| *until < courier::NEVER);
            json!({"reason": hold.reason, "since": hold.since, "until": until})
        });
        let full = self.stream.full_since;
        endpoint.or_else(|| full.map(|since| json!({"reason": "outbox_full", "since": since, "until": Value::Null})))
    }
}
