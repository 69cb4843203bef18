//! Consent: when the stream's endpoint is asked, what its answers change, and what is remembered of it.

use serde_json::Value;

use super::Live;
use crate::delivery::answer::HoldReason;
use crate::delivery::sql::{Sql, SqlError};
use crate::protocol::handshake::{Answer, Rate, origin_of};
use crate::protocol::json::json;
use crate::protocol::operator_request::GrantAction;
use crate::protocol::stream::Delivery;
use crate::transmitter::grant::{Grant, Via};
use crate::transmitter::terms::Need;

/// Changes of the consent that are remembered.
const HISTORY: u32 = 50;

/// A question to an endpoint that is about to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub endpoint_url: String,
    pub issuer: String,
    /// The sender as the endpoint is to know it.
    pub origin: String,
    /// Requests a minute.
    pub rate: u32,
}

impl Ask {
    /// Scheme, host and port of this service: every issuer begins with it.
    pub fn our_origin(&self) -> &str {
        self.issuer.split("/t/").next().unwrap_or_default()
    }
}

impl Live {
    fn need(&self) -> Need {
        match &self.stream.configuration.delivery {
            Delivery::Push { endpoint_url, .. } => self.stream.terms.need(endpoint_url),
            Delivery::Poll => Need::Nothing,
        }
    }

    /// Requests a minute that the endpoint is asked for.
    pub fn request_rate(&self) -> u32 {
        let chosen = self.stream.choices.request_rate;
        chosen.unwrap_or(self.rules.consent.request_rate)
    }

    /// The name that endpoints know us by.
    pub fn origin(&self) -> String {
        origin_of(&self.stream.configuration.iss)
    }

    /// The stream or its terms are new: an endpoint that was registered may not be any more, or the other way round.
    pub fn follow_consent(&mut self, sql: &dyn Sql, now: u64) -> Result<(), SqlError> {
        let rules = self.rules.consent;
        let (need, required) = (self.need(), self.stream.grant.is_required());
        self.change_grant(sql, now, |grant| match need {
            Need::Nothing if required => grant.not_required(now),
            Need::Handshake if !required || grant.was_not_registered() => grant.require(&rules, now),
            Need::Registration => grant.not_registered(now),
            Need::Nothing | Need::Handshake => {}
        })
    }

    /// The stream has a new endpoint, or one that is to be taken for a new one.
    pub(super) fn consent_to_the_new(&mut self, sql: &dyn Sql, now: u64) -> Result<(), SqlError> {
        let rules = self.rules.consent;
        let need = self.need();
        self.change_grant(sql, now, |grant| match need {
            Need::Nothing => grant.not_required(now),
            Need::Handshake => grant.require(&rules, now),
            Need::Registration => grant.not_registered(now),
        })
    }

    /// Somebody wants the stream to go on: asks an endpoint that has not agreed, or was gone, anew (WH-4-2). False where its
    /// consent is no question.
    pub fn ask_for_consent(&mut self, sql: &dyn Sql, now: u64) -> Result<bool, SqlError> {
        let grant = &self.stream.grant;
        if !grant.is_required() || (grant.permits() && !self.is_gone()) || self.need() == Need::Registration {
            return Ok(false);
        }
        self.ask_anew(sql, now)?;
        Ok(true)
    }

    fn is_gone(&self) -> bool {
        self.courier.hold().is_some_and(|hold| hold.reason == HoldReason::Gone)
    }

    /// Asks the endpoint once more. One that was gone is asked as if nobody had asked it before.
    fn ask_anew(&mut self, sql: &dyn Sql, now: u64) -> Result<(), SqlError> {
        let gone = self.is_gone();
        if gone {
            self.courier.start_afresh();
        }
        let rules = self.rules.consent;
        self.change_grant(sql, now, |grant| match gone {
            true => grant.require(&rules, now),
            false => grant.ask_again(&rules, now),
        })
    }

    /// Asks for a higher rate than was asked for before, while the grant of the old one stands.
    pub(super) fn ask_for_more(&mut self, sql: &dyn Sql, now: u64) -> Result<(), SqlError> {
        let (rate, rules) = (self.request_rate(), self.rules.consent);
        let grant = &self.stream.grant;
        let more = grant.requested_rate.is_some_and(|asked| asked < rate);
        let goes = grant.permits()
            && grant
                .handshake
                .as_ref()
                .is_none_or(|handshake| handshake.next_at.is_none());
        if more && goes && grant.via != Some(Via::Operator) {
            self.change_grant(sql, now, |grant| grant.ask_again(&rules, now))?;
        }
        Ok(())
    }

    pub(super) fn keep_consent(&mut self, sql: &dyn Sql, now: u64) -> Result<(), SqlError> {
        let rules = self.rules.consent;
        self.change_grant(sql, now, |grant| {
            grant.keep_time(&rules, now);
        })
    }

    /// When the endpoint is asked next. It is a request like any other: it keeps to the rate (WH-4.2-30) and waits until the
    /// instant that the endpoint named (WH-2.2-10), and one that is gone is asked nothing (WH-2.2-7).
    pub fn question_at(&self, now: u64) -> Option<u64> {
        let at = self.stream.grant.asks_at()?;
        let held = match self.courier.hold() {
            Some(hold) if hold.reason == HoldReason::Gone => return None,
            Some(hold) if hold.reason == HoldReason::RetryAfter => hold.until,
            _ => 0,
        };
        let paced = self.courier.pace(now).map_or(0, |(_, next_at)| next_at);
        Some(at.max(held).max(paced))
    }

    /// The question that is due now, if one is. It is paid for, so that no push takes its turn: see
    /// [`Live::give_question_back`].
    pub fn question(&mut self, now: u64) -> Option<Ask> {
        let ask = self
            .ask()
            .filter(|_| self.question_at(now).is_some_and(|at| at <= now))?;
        self.courier.pay(now);
        Some(ask)
    }

    /// It was not asked after all.
    pub fn give_question_back(&mut self, now: u64) {
        self.courier.give_back(now);
    }

    fn ask(&self) -> Option<Ask> {
        let configuration = &self.stream.configuration;
        Some(Ask {
            endpoint_url: self.endpoint_url()?.to_owned(),
            issuer: configuration.iss.clone(),
            origin: self.origin(),
            rate: self.request_rate(),
        })
    }

    /// The question is not asked before `at`.
    pub fn postpone_question(&mut self, sql: &dyn Sql, at: u64, now: u64) -> Result<(), SqlError> {
        self.stream.grant.postpone(at, now);
        self.stream.save(sql)
    }

    /// Writes an attempt down before it leaves, so that the callback is known when it comes first (WH-4.1-13). False when the
    /// stream was changed since the question was due: nothing is asked then.
    pub fn begin_question(&mut self, sql: &dyn Sql, ask: &Ask, secret: &str, now: u64) -> Result<bool, SqlError> {
        let asks = self.stream.grant.asks_at().is_some_and(|at| at <= now);
        if !asks || self.ask().as_ref() != Some(ask) {
            return Ok(false);
        }
        self.stream.grant.begin(secret, ask.rate, &self.rules.consent, now);
        self.stream.save(sql)?;
        if self.courier.must_keep() {
            self.flush(sql, now)?;
        }
        Ok(true)
    }

    /// Takes the answer to the attempt with that secret.
    pub fn answered(
        &mut self,
        sql: &dyn Sql,
        secret: &str,
        answer: Answer,
        not_before: u64,
        now: u64,
    ) -> Result<(), SqlError> {
        let rules = self.rules.consent;
        let (before, asked_at) = (self.courier.pace(now), self.asked_at());
        self.change_grant(sql, now, |grant| {
            grant.answered(secret, answer, not_before, &rules, now);
        })?;
        self.pay_for_question(sql, before.is_none(), asked_at, now)
    }

    fn asked_at(&self) -> Option<u64> {
        self.stream.grant.handshake.as_ref()?.asked_at
    }

    /// The question that brought a rate counts against it as well (WH-4.2-30).
    fn pay_for_question(
        &mut self,
        sql: &dyn Sql,
        is_new: bool,
        asked_at: Option<u64>,
        now: u64,
    ) -> Result<(), SqlError> {
        if let (true, Some(asked_at), Some(_)) = (is_new, asked_at, self.courier.pace(now)) {
            self.courier.pay(asked_at);
            if self.courier.must_keep() {
                self.flush(sql, now)?;
            }
        }
        Ok(())
    }

    /// Somebody used the callback with that secret. False when it is none.
    pub fn called_back(
        &mut self,
        sql: &dyn Sql,
        secret: &str,
        rate: Option<Rate>,
        via: Via,
        now: u64,
    ) -> Result<bool, SqlError> {
        let rules = self.rules.consent;
        let mut known = false;
        let (before, asked_at) = (self.courier.pace(now), self.asked_at());
        self.change_grant(sql, now, |grant| {
            known = grant.called_back(secret, rate, via, &rules, now)
        })?;
        self.pay_for_question(sql, before.is_none(), asked_at, now)?;
        Ok(known)
    }

    /// The operator grants or revokes. False where there is nothing to decide.
    pub fn decide(&mut self, sql: &dyn Sql, action: GrantAction, now: u64) -> Result<bool, SqlError> {
        // Where only registered endpoints are taken, no consent would be enough.
        if !self.stream.grant.is_required() || self.need() == Need::Registration {
            return Ok(false);
        }
        let (rules, asked) = (self.rules.consent, self.request_rate());
        match action {
            GrantAction::Ask => self.ask_anew(sql, now)?,
            GrantAction::Grant { allowed_rate } => {
                let rate = allowed_rate.unwrap_or(Rate::PerMinute(asked));
                self.change_grant(sql, now, |grant| grant.grant_by_hand(rate, &rules, now))?;
            }
            GrantAction::Revoke { reason } => self.change_grant(sql, now, |grant| grant.revoke(reason, now))?,
        }
        Ok(true)
    }

    /// Changes the grant; what follows from another standing follows at once, and is remembered.
    fn change_grant(&mut self, sql: &dyn Sql, now: u64, change: impl FnOnce(&mut Grant)) -> Result<(), SqlError> {
        let before = self.stream.grant.clone();
        change(&mut self.stream.grant);
        self.follow_change(sql, now, &before)
    }

    /// Apart from `change_grant`, which is compiled for each kind of change.
    fn follow_change(&mut self, sql: &dyn Sql, now: u64, before: &Grant) -> Result<(), SqlError> {
        let grant = &self.stream.grant;
        if grant == before {
            return Ok(());
        }
        let standing = |grant: &Grant| {
            (
                grant.state,
                grant.allowed_rate,
                grant.via,
                grant.granted_at,
                grant.since,
            )
        };
        if standing(grant) != standing(before) {
            let rate = self.request_rate();
            let record = json!({
                "at": now,
                "state": grant.state,
                "via": grant.via,
                "endpoint_url": self.endpoint_url(),
                "requested_rate": grant.requested_rate.or(grant.is_required().then_some(rate)),
                "allowed_rate": grant.allowed_rate,
                "detail": grant.detail,
            });
            sql.exec(
                "INSERT INTO grant_history (record) VALUES (?)",
                &[record.to_string().into()],
            )?;
            sql.exec(
                "DELETE FROM grant_history WHERE id <= (SELECT MAX(id) FROM grant_history) - ?",
                &[HISTORY.into()],
            )?;
            self.courier.set_pace(grant.pace());
            self.stream.rev += 1;
        }
        self.stream.save(sql)?;
        self.follow_status(sql, false, now)?;
        Ok(())
    }

    fn endpoint_url(&self) -> Option<&str> {
        match &self.stream.configuration.delivery {
            Delivery::Push { endpoint_url, .. } => Some(endpoint_url),
            Delivery::Poll => None,
        }
    }

    /// All about the consent, for the operator. The secrets of callbacks are not part of it.
    pub fn shown_grant(&self, sql: &dyn Sql, exchange: Option<&Value>, now: u64) -> Result<Value, SqlError> {
        let grant = &self.stream.grant;
        let rows = sql.exec("SELECT record FROM grant_history ORDER BY id DESC", &[])?;
        let history: Vec<Value> = rows
            .iter()
            .filter_map(|row| serde_json::from_str(row.text(0).ok()?).ok())
            .collect();
        let pace = self.courier.pace(now).map(|(per_minute, next_at)| {
            json!({"per_minute": per_minute, "burst": crate::delivery::pace::Limit::burst(per_minute), "next_at": next_at})
        });
        Ok(json!({
            "state": grant.state,
            "since": grant.since,
            "endpoint_url": self.endpoint_url(),
            "origin": self.origin(),
            "requested_rate": self.request_rate(),
            "allowed_rate": grant.allowed_rate,
            "via": grant.via,
            "granted_at": grant.granted_at,
            "expires_at": grant.expires_at,
            "detail": grant.detail,
            "handshake": grant.handshake.as_ref().map(|handshake| json!({
                "asked_at": handshake.asked_at,
                "attempts": handshake.attempts,
                "next_attempt_at": self.question_at(now),
                "callback_until": handshake.until,
            })),
            "exchange": exchange,
            "pace": pace,
            "history": history,
        }))
    }
}
