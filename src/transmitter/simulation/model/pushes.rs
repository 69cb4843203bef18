//! Pushes: when one may start, and what its answer has to lead to.

use super::super::network::{Meaning, meaning};
use super::{Check, Model, NONE_YET, Tries, UnderWay, claim};
use crate::delivery::answer::{Answer, HoldReason};
use crate::delivery::chunk::{Jti, Lane};
use crate::delivery::control::CONTROL_LANE;
use crate::delivery::courier::{FAILURES_BEFORE_HOLD, Hold, NEVER, Outcome};
use crate::delivery::outbox::Pos;
use crate::protocol::status::Status;
use crate::transmitter::live::{Job, Settled};

/// A push that leaves.
pub struct Sent<'a> {
    pub id: u64,
    pub job: &'a Job,
    /// How often the stream had moved and was replayed when its run began.
    pub moves: u32,
    pub replays: u32,
    /// The stream was held when it was chosen, so it is the one that finds out whether the endpoint works again.
    pub probes: bool,
}

impl Model {
    fn tries(&mut self, pos: Pos, jti: &Jti) -> Option<&mut Tries> {
        if pos.seq < 0 {
            let control = self.controls.iter_mut().find(|control| control.jti == *jti);
            return control.map(|control| &mut control.tries);
        }
        let at = self.place(pos).filter(|at| self.places[*at].waits)?;
        Some(&mut self.places[at].tries)
    }

    /// A push leaves now: whether it may.
    pub fn started(&mut self, sent: &Sent<'_>, now: u64) -> Check {
        let Job { pos, jti, claims, .. } = sent.job;
        claim!(!self.polls, "a polled stream pushes");
        claim!(!self.gone, "something is pushed to an endpoint that is gone");
        claim!(
            now >= self.named,
            "pushed {} ms before the instant that the endpoint named",
            self.named - now
        );
        if let Some((reason, until)) = self.hold {
            claim!(
                now >= until,
                "pushed {} ms before the hold ({reason:?}) ends",
                until - now
            );
        }
        let limit = if sent.probes { 1 } else { self.window };
        claim!(self.under_way.len() < limit, "more than {limit} pushes are in flight");
        let lane = if pos.seq < 0 {
            // While it was signed it may have made room for another.
            let control = self.controls_ever.iter().find(|(known, _)| known == jti);
            let Some((_, verification)) = control else {
                return Err("a control event is pushed that there never was".to_owned());
            };
            claim!(
                self.wished() == Status::Enabled || !verification,
                "a verification event is pushed while the stream is {:?}",
                self.wished()
            );
            CONTROL_LANE
        } else {
            claim!(
                self.wished() == Status::Enabled,
                "an event is pushed while the stream is {:?}",
                self.wished()
            );
            self.may_start(*pos, jti, claims)?
        };
        let same = |other: &&UnderWay| other.lane == lane || self.window == 1;
        claim!(
            !self.under_way.iter().any(|other| same(&other)),
            "two events of one subject are in flight"
        );
        let next_at = self.tries(*pos, jti).map_or(0, |tries| tries.next_at);
        claim!(now >= next_at, "pushed {} ms before its next attempt", next_at - now);
        self.seen.pushes += 1;
        self.under_way.push(UnderWay {
            id: sent.id,
            pos: *pos,
            jti: *jti,
            lane,
            moves: sent.moves,
            replays: sent.replays,
        });
        Ok(())
    }

    fn may_start(&self, pos: Pos, jti: &Jti, claims: &[u8]) -> Check<Lane> {
        let Some(place) = self.place(pos).map(|at| &self.places[at]).filter(|place| place.waits) else {
            return Err(format!("{pos:?} is pushed, but it does not wait"));
        };
        let event = &self.events[place.event];
        claim!(
            event.jti == *jti && event.claims == claims,
            "{pos:?} is pushed with other claims"
        );
        let earlier = self
            .places
            .iter()
            .take_while(|other| other.pos < pos)
            .find(|other| other.waits && (self.window == 1 || self.events[other.event].lane == event.lane));
        claim!(
            earlier.is_none(),
            "{pos:?} is pushed, but {:?} of the same subject waits before it",
            earlier.map(|place| place.pos)
        );
        Ok(event.lane)
    }

    /// The answer to a push was settled at `now`: whether the right thing came of it.
    pub fn answered(&mut self, id: u64, answer: &Answer, settled: &Settled, hold: Option<Hold>, now: u64) -> Check {
        let Some(at) = self.under_way.iter().position(|push| push.id == id) else {
            return Err("an answer without a push".to_owned());
        };
        let push = self.under_way.remove(at);
        let meaning = meaning(answer, now);
        let hold = hold.map(|hold| (hold.reason, hold.until));
        let foreign = push.moves != self.moves && meaning != Meaning::Taken;
        if push.replays != self.replays || foreign {
            claim!(
                *settled == Settled::Ignored,
                "an answer from before means something: {settled:?}"
            );
            return Ok(());
        }
        let Settled::Known(outcome, _) = settled else {
            return Err("an answer means nothing".to_owned());
        };
        match meaning {
            Meaning::Taken => {
                claim!(*outcome == Outcome::Delivered, "{answer:?} led to {outcome:?}");
                self.format_refused = Some(false);
                self.done(push.pos, &push.jti);
                self.works(hold, now)?;
            }
            Meaning::Dead { format } => {
                let second = if format { self.format_refused } else { Some(false) };
                let died = matches!(outcome, Outcome::Dead(_));
                if let (Outcome::HeldUntil(..), Some(true) | None) = (outcome, second) {
                    self.failed(&push, true, outcome, now)?;
                    self.holds(HoldReason::FormatRefused, hold)?;
                } else if let (Outcome::Dead(death), Some(true) | None) = (outcome, second)
                    && death.err == "given_up"
                {
                    self.failed(&push, true, outcome, now)?;
                    self.holds(HoldReason::FormatRefused, hold)?;
                } else {
                    claim!(died && second != Some(true), "{answer:?} led to {outcome:?}");
                    self.format_refused = Some(format);
                    self.works(hold, now)?;
                    self.dead(&push, now);
                }
            }
            Meaning::Retry => {
                self.failures += 1;
                self.failed(&push, true, outcome, now)?;
                claim!(
                    hold.is_some() || self.failures < FAILURES_BEFORE_HOLD,
                    "{} failures in a row hold nothing",
                    self.failures
                );
                self.extends(hold)?;
            }
            Meaning::Hold { reason, named, counts } => {
                self.failed(&push, counts, outcome, now)?;
                self.named = self.named.max(named.unwrap_or(0));
                self.gone |= reason == HoldReason::Gone;
                self.holds(reason, hold)?;
            }
        }
        self.hold = hold;
        Ok(())
    }

    /// An attempt failed: the event is tried again, but not for ever.
    fn failed(&mut self, push: &UnderWay, counts: bool, outcome: &Outcome, now: u64) -> Check {
        let given_up = matches!(outcome, Outcome::Dead(death) if death.err == "given_up");
        claim!(
            given_up || !matches!(outcome, Outcome::Dead(_) | Outcome::Delivered),
            "led to {outcome:?}"
        );
        let (most, after) = self.give_up;
        let Some(tries) = self.tries(push.pos, &push.jti) else {
            // Dropped meanwhile.
            return Ok(());
        };
        if counts {
            tries.failed += 1;
            let first = *tries.first_failed_at.get_or_insert(now);
            let over = now - first >= after || (most > 0 && tries.failed >= most);
            claim!(
                over || !given_up,
                "given up after {} attempts in {} ms",
                tries.failed,
                now - first
            );
            // Control events take turns on their lane, and may begin anew then.
            let sure = tries.sure && push.lane != CONTROL_LANE;
            claim!(
                given_up || !over || !sure,
                "not given up after {} attempts",
                tries.failed
            );
        } else {
            claim!(!given_up, "given up by an attempt that does not count");
        }
        if let Outcome::RetryAt(at) = outcome {
            tries.next_at = *at;
        }
        if given_up {
            self.dead(push, now);
        }
        Ok(())
    }

    fn dead(&mut self, push: &UnderWay, now: u64) {
        if !self.pauses_on_dead || push.pos.seq < 0 {
            self.bury(push.pos, push.jti, now);
        } else if let Some(tries) = self.tries(push.pos, &push.jti) {
            *tries = NONE_YET;
            self.transmitter = Status::Paused;
            self.seen.pauses += 1;
        }
    }

    /// The endpoint took or read something: that ends a hold whose time is over, or that was only for failures.
    fn works(&mut self, hold: Option<(HoldReason, u64)>, now: u64) -> Check {
        self.failures = 0;
        if let (Some((reason, until)), None) = (self.hold, hold) {
            claim!(
                until <= now || reason == HoldReason::Failing,
                "the hold {reason:?} ended too early"
            );
            claim!(!self.gone, "an endpoint that is gone is asked again");
            claim!(
                self.named <= now,
                "a success ended the hold {reason:?} {} ms before the instant that the endpoint named",
                self.named - now
            );
        } else if let (Some(before), Some(after)) = (self.hold, hold) {
            let peers = before.0 == HoldReason::Failing && after.1 >= self.named;
            claim!(before == after || peers, "a success made {before:?} into {after:?}");
        } else {
            claim!(hold.is_none(), "a success made a hold");
        }
        Ok(())
    }

    /// The endpoint wants the stream to wait.
    fn holds(&mut self, reason: HoldReason, hold: Option<(HoldReason, u64)>) -> Check {
        let Some((_, until)) = hold else {
            return Err(format!("an answer that holds the stream ({reason:?}) held nothing"));
        };
        claim!(
            until >= self.named,
            "held until {} ms before the instant that was named",
            self.named - until
        );
        claim!(
            !self.gone || until == NEVER,
            "an endpoint that is gone is tried again by time"
        );
        self.seen.holds += 1;
        self.extends(hold)
    }

    fn extends(&self, hold: Option<(HoldReason, u64)>) -> Check {
        if let Some((reason, until)) = self.hold {
            let after = hold.map_or(0, |(_, until)| until);
            claim!(
                after >= until,
                "a failure made the hold ({reason:?}) {} ms shorter",
                until - after
            );
        }
        Ok(())
    }
}
