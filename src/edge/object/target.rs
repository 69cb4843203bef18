//! The source object as the target of the handshake: it answers who asks, calls callbacks, and lets in only whom it granted.

use crate::delivery::pace::{KeptPace, Limit};
use crate::edge::clock::now_ms;
use crate::edge::command::{Answer, Asker, Refusal, SourceReply};
use crate::edge::crypto;
use crate::edge::http::{self, NoAnswer, Outgoing, OutgoingHeaders};
use crate::edge::log::{self, Level};
use crate::edge::together::together;
use crate::protocol::endpoint_url::{EndpointUrl, UrlPolicy};
use crate::protocol::handshake::{ALLOWED_ORIGIN, ALLOWED_RATE, Rate};
use crate::protocol::json::json;
use crate::receiver::source::Source;
use crate::receiver::target::{
    self, Callback, CallbackState, Decision, Grant, GrantState, Judgement, Via, callback_due,
};

use super::exchange::USER_AGENT;
use super::serve::{fault, seconds};
use super::source::SourceObject;

/// What the seal of a callback's URL authenticates, beside the object's id.
const CALLBACK_PLACE: &str = "callback";

/// Waits between attempts of a callback, in units of the setting; after the last one it has failed (WH-4.1-29).
const CALLBACK_STEPS: [u64; 3] = [1, 5, 30];

/// Questions a minute that are answered.
const QUESTIONS_PER_MINUTE: u32 = 60;

/// An origin that may push, with how fast it does.
#[derive(Clone, Copy, Default)]
pub struct Pusher {
    rate: Option<u32>,
    paid: KeptPace,
}

const WANTS_APPROVAL: &str = "the operator has to approve it";

/// Who may push; read from storage once.
pub type Granted = Vec<(String, Pusher)>;

impl SourceObject {
    /// Answers an origin that asks, and remembers it.
    pub(super) async fn asked(&self, asker: Asker) -> Answer<SourceReply> {
        let source = self.source()?;
        let now = now_ms();
        let known = target::find(&self.sql, &asker.origin)?;
        let judgement = source.judge(&asker.origin, asker.rate, known.as_ref());
        if judgement == Judgement::Refused {
            return Err(Refusal::OriginRefused);
        }
        let mut pace = self.questions.get();
        pace.act(&Limit::with_minutes_burst(QUESTIONS_PER_MINUTE), now)
            .map_err(|wait_ms| too_many(QUESTIONS_PER_MINUTE, wait_ms))?;
        self.questions.set(pace);
        let callback = match (&asker.callback, judgement) {
            (None, _) | (_, Judgement::Granted(_)) => None,
            (Some(url), _) => Some(self.callback(&source, url, judgement, now).await?),
        };
        let mut grant = Grant {
            origin: asker.origin.clone(),
            state: GrantState::Pending,
            requested_rate: asker.rate,
            allowed_rate: None,
            approved_rate: None,
            asked_at: now,
            decided_at: None,
            via: None,
            callback,
            exchange: json!({"request": asker.request, "response": answer(&asker.written, judgement)}),
        };
        if let Judgement::Granted(rate) = judgement {
            grant.decide(GrantState::Granted, Some(rate), Via::Options, now);
        }
        self.source()?;
        // The operator may have decided while the callback was sealed.
        let known = target::find(&self.sql, &asker.origin)?;
        if known.as_ref().is_some_and(|known| known.state == GrantState::Rejected) {
            return Err(Refusal::OriginRefused);
        }
        // What was granted stands until the callback, or somebody, says otherwise; and what the operator decided is his.
        if let Some(before) = known.filter(|known| known.state == GrantState::Granted)
            && (grant.state == GrantState::Pending || before.via == Some(Via::Operator))
        {
            let told = grant.allowed_rate;
            (grant.state, grant.allowed_rate) = (before.state, told.or(before.allowed_rate));
            (grant.via, grant.decided_at) = (before.via, before.decided_at);
            grant.approved_rate = before.approved_rate;
        }
        target::save(&self.sql, &grant)?;
        self.forget_granted();
        self.arm_callback().await?;
        log::line(
            Level::Info,
            "origin_asked",
            json!({"source_id": source.source_id, "origin": grant.origin, "state": grant.state}),
        );
        Ok(SourceReply::Granted(match judgement {
            Judgement::Granted(rate) => Some(rate),
            _ => None,
        }))
    }

    /// A callback as it is kept. It is called by itself only where the operator listed its host (WH-4.1-28).
    async fn callback(&self, source: &Source, url: &str, judgement: Judgement, now: u64) -> Answer<Callback> {
        let settings = self.settings()?;
        let place = format!("{} {CALLBACK_PLACE}", self.state.id());
        let checked = check(source, url, settings.allow_loopback);
        let sealed = match checked {
            Ok(_) => crypto::seal(settings.key_encryption_key.expose(), &place, url.as_bytes()).await,
            // It is never called, and may be of any length.
            Err(_) => Ok(String::new()),
        };
        let listed = checked
            .as_ref()
            .is_ok_and(|url| source.target.may_call(&url.host(), url.port()));
        let by_itself = judgement == Judgement::CalledBack && listed;
        Ok(Callback {
            host: checked.as_ref().map(EndpointUrl::authority).unwrap_or_default(),
            sealed: sealed.map_err(|error| fault("seal", error))?,
            state: match checked {
                Ok(_) => CallbackState::Waiting,
                Err(_) => CallbackState::Refused,
            },
            attempts: 0,
            // After the answer is out (WH-4.1-29).
            next_at: by_itself.then(|| now + settings.callback_delay_ms),
            detail: match checked {
                Ok(_) if by_itself => None,
                Ok(_) => Some(WANTS_APPROVAL.to_owned()),
                Err(error) => Some(format!("the callback {error}")),
            },
        })
    }

    /// The operator decides about an origin.
    pub(super) async fn decide(&self, decision: Decision) -> Answer<SourceReply> {
        let source = self.source()?;
        let now = now_ms();
        let mut grant = target::find(&self.sql, &decision.origin)?.ok_or(Refusal::NotFound)?;
        match decision.approved {
            Some(approval) => {
                let rate = approval.allowed_rate;
                let rate = rate.unwrap_or_else(|| source.target.rate_for(grant.requested_rate));
                grant.decide(GrantState::Granted, Some(rate), Via::Operator, now);
                grant.approved_rate = Some(rate);
                if let Some(callback) = grant.callback.as_mut()
                    && callback.state == CallbackState::Waiting
                {
                    callback.next_at = Some(now);
                }
            }
            None => grant.decide(GrantState::Rejected, None, Via::Operator, now),
        }
        target::save(&self.sql, &grant)?;
        self.forget_granted();
        self.arm_callback().await?;
        self.grants()
    }

    pub(super) fn grants(&self) -> Answer<SourceReply> {
        self.source()?;
        let grants = target::all(&self.sql)?;
        Ok(SourceReply::Grants(grants.iter().map(Grant::to_json).collect()))
    }

    /// Calls the callbacks that are due.
    pub(super) async fn call_back(&self) -> Answer<()> {
        let source = self.source()?;
        let now = now_ms();
        let is_due = |grant: &Grant| {
            let due = grant.callback.as_ref().and_then(|callback| callback.next_at);
            grant.awaits_call() && due.is_some_and(|at| at <= now)
        };
        let (due, not_any_more): (Vec<Grant>, Vec<Grant>) = target::all(&self.sql)?
            .into_iter()
            .filter(is_due)
            .partition(|grant| source.target.calls_back(grant));
        for grant in not_any_more {
            self.leave_to_operator(grant)?;
        }
        // All at once: one that hangs does not hold up the others.
        let calls = together(due.iter().map(async |grant| {
            let decided = grant.allowed_rate.filter(|_| grant.via == Some(Via::Operator));
            let rate = decided.unwrap_or_else(|| source.target.rate_for(grant.requested_rate));
            (rate, self.call(&source, grant, rate).await)
        }))
        .await;
        for (grant, (rate, called)) in due.iter().zip(calls) {
            let source = self.source()?;
            // Somebody may have decided otherwise, or asked anew, meanwhile.
            let Some(mut grant) = target::find(&self.sql, &grant.origin)?
                .filter(|found| found.asked_at == grant.asked_at && found.awaits_call())
            else {
                continue;
            };
            if !source.target.calls_back(&grant) {
                self.leave_to_operator(grant)?;
                continue;
            }
            if let Some(callback) = &mut grant.callback {
                callback.attempts += 1;
                let retry_ms = self.settings()?.callback_retry_ms;
                let step = CALLBACK_STEPS.get(callback.attempts as usize - 1);
                callback.next_at = step.map(|times| now_ms() + times * retry_ms);
                match &called {
                    Ok(()) => (callback.state, callback.next_at) = (CallbackState::Called, None),
                    Err(_) if step.is_none() => callback.state = CallbackState::Failed,
                    Err(_) => {}
                }
                callback.detail = called.as_ref().err().cloned();
            }
            if called.is_ok() && grant.via != Some(Via::Operator) {
                grant.decide(GrantState::Granted, Some(rate), Via::Callback, now_ms());
            }
            target::save(&self.sql, &grant)?;
            self.forget_granted();
            log::line(
                Level::Info,
                "callback_called",
                json!({"source_id": source.source_id, "origin": grant.origin, "detail": called.err()}),
            );
        }
        Ok(())
    }

    /// The callback is not called by itself any more.
    fn leave_to_operator(&self, mut grant: Grant) -> Answer<()> {
        if let Some(callback) = &mut grant.callback {
            callback.next_at = None;
            callback.detail = Some(WANTS_APPROVAL.to_owned());
        }
        Ok(target::save(&self.sql, &grant)?)
    }

    async fn call(&self, source: &Source, grant: &Grant, rate: Rate) -> Result<(), String> {
        let settings = self.settings().map_err(|_| "the settings are refused")?;
        let sealed = grant.callback.as_ref().map(|callback| callback.sealed.as_str());
        let place = format!("{} {CALLBACK_PLACE}", self.state.id());
        let opened = crypto::open(settings.key_encryption_key.expose(), &place, sealed.unwrap_or_default()).await;
        let url = opened.map_err(|_| "the stored URL cannot be opened")?;
        let url = String::from_utf8(url).map_err(|_| "the stored URL cannot be read")?;
        // Checked again before each use.
        let url = check(source, &url, settings.allow_loopback).map_err(|error| format!("the callback {error}"))?;
        let headers = OutgoingHeaders::new(&[
            (ALLOWED_RATE, rate.text()),
            (ALLOWED_ORIGIN, grant.origin.clone()),
            ("user-agent", USER_AGENT.to_owned()),
        ]);
        let request = Outgoing {
            method: source.target.callback_method.name(),
            url: url.as_str(),
            headers: &headers.map_err(|_| "the request cannot be made")?,
            body: None,
            max_body: 1024,
            needs_body: |_| false,
        };
        match http::send_within(&request, settings.delivery.consent.timeout_ms).await {
            Ok(answer) if (200..300).contains(&answer.status) => Ok(()),
            Ok(answer) => Err(format!("the sender answered {}", answer.status)),
            Err(NoAnswer::Timeout) => Err("the sender did not answer in time".to_owned()),
            Err(NoAnswer::Unreachable(_)) => Err("the sender could not be reached".to_owned()),
        }
    }

    /// When a callback is due.
    pub(super) fn callback_due(&self) -> Option<u64> {
        let grants = target::all(&self.sql).ok()?;
        callback_due(&grants)
    }

    async fn arm_callback(&self) -> Answer<()> {
        if let Some(due) = self.callback_due() {
            self.alarm.arm(&self.state, due).await;
        }
        Ok(())
    }

    /// Whether a push from there is let in (WH-4.2-19, WH-4.2-35): only where origins are allowed and one was granted is
    /// anybody asked who he is (design 5).
    pub(super) fn let_in(&self, source: &Source, origin: Option<&str>, now: u64) -> Answer<()> {
        if !source.target.enforces() {
            return Ok(());
        }
        let mut slot = self.granted.borrow_mut();
        if slot.is_none() {
            *slot = Some(self.pushers(source)?);
        }
        let granted = slot.get_or_insert_default();
        if granted.is_empty() && !target::any_was_granted(&self.sql)? {
            return Ok(());
        }
        let found = granted.iter_mut().find(|(name, _)| Some(name.as_str()) == origin);
        let Some((name, pusher)) = found else {
            return Err(Refusal::OriginRefused);
        };
        let Some(rate) = pusher.rate else { return Ok(()) };
        let acted = pusher.paid.pace.act(&Limit::granted(rate), now);
        acted.map_err(|wait_ms| too_many(rate, wait_ms))?;
        if pusher.paid.reserve() {
            target::save_paid_until(&self.sql, name, pusher.paid.reserved_us())?;
        }
        Ok(())
    }

    fn pushers(&self, source: &Source) -> Answer<Granted> {
        let earlier = self.paces.take();
        let mut granted = Granted::new();
        for grant in target::all(&self.sql)? {
            if !source.target.lets_in(&grant) {
                continue;
            }
            let known = earlier.iter().find(|(name, _)| *name == grant.origin);
            let paid = match known {
                Some((_, pusher)) => pusher.paid,
                None => KeptPace::new(target::paid_until(&self.sql, &grant.origin)?),
            };
            let rate = grant.pace();
            granted.push((grant.origin, Pusher { rate, paid }));
        }
        Ok(granted)
    }

    /// Who may push is read again from storage; how fast each did is remembered.
    pub(super) fn forget_granted(&self) {
        if let Some(granted) = self.granted.take() {
            self.paces.replace(granted);
        }
    }
}

/// A callback's URL by the rules for all URLs of others, and with no other port than a listed one.
fn check(
    source: &Source,
    url: &str,
    allow_loopback: bool,
) -> Result<EndpointUrl, crate::protocol::endpoint_url::UrlError> {
    let ports = source
        .target
        .callback_hosts
        .iter()
        .filter_map(|host| host.rsplit_once(':')?.1.parse().ok());
    let policy = UrlPolicy {
        allow_loopback,
        own_host: None,
        ports: ports.collect(),
    };
    EndpointUrl::parse(url, &policy)
}

/// The answer as it may be shown: the Worker sends the same.
fn answer(origin: &str, judgement: Judgement) -> serde_json::Value {
    let mut headers = vec![
        ("allow", "POST, OPTIONS".to_owned()),
        ("cache-control", "no-store".to_owned()),
    ];
    if let Judgement::Granted(rate) = judgement {
        headers.push((ALLOWED_ORIGIN, origin.to_owned()));
        headers.push((ALLOWED_RATE, rate.text()));
    }
    json!({"status": 200, "headers": headers})
}

fn too_many(rate: u32, wait_ms: u64) -> Refusal {
    Refusal::TooMany {
        detail: format!("At most {rate} requests a minute are taken from there."),
        retry_after_s: seconds(wait_ms),
    }
}
