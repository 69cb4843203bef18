//! What publishers, receivers and operators do: one step of a run's script, chosen at random.

use super::model::places::Fate;
use super::model::{Check, claim};
use super::network::Mood;
use super::plan::{self, EVENTS_EACH, Source, sources};
use super::shell::{World, short};
use crate::delivery::answer::HoldReason;
use crate::delivery::control::Gate;
use crate::delivery::dead_letters::{self, Chosen};
use crate::delivery::outbox::{AppendError, Search};
use crate::protocol::operator_request::OnDead;
use crate::protocol::set::jti_text;
use crate::protocol::status::Status;
use crate::protocol::stream::Delivery;
use crate::transmitter::live::ReplayError;
use crate::transmitter::status::Wish;
use crate::transmitter::stream::Choices;

const STATUSES: [Status; 6] = [
    Status::Enabled,
    Status::Enabled,
    Status::Enabled,
    Status::Paused,
    Status::Paused,
    Status::Disabled,
];

impl World<'_> {
    /// One step, and some time before it.
    pub fn step(&mut self) -> Check {
        self.wait()?;
        if self.draw.percent(self.plan.crashes) {
            self.die()?;
        }
        match self.draw.below(100) {
            0..40 => self.publish()?,
            40..54 => self.turn_mood(),
            54..60 => self.receiver_wishes()?,
            60..65 => self.operator_wishes()?,
            65..69 => self.update()?,
            69..74 => self.verify()?,
            74..81 => self.replay()?,
            81..86 => self.redrive()?,
            86..88 => self.purge()?,
            88..93 => self.choose()?,
            93..95 => self.prune()?,
            _ => {}
        }
        if self.model.polls && self.draw.percent(60) {
            self.poll()?;
        }
        self.compare()?;
        self.is_armed()
    }

    fn wait(&mut self) -> Check {
        let ms = match self.draw.below(16) {
            0..5 => {
                let events = self.draw.between(1, 12);
                return self.pass(self.now + 30_000_000, events);
            }
            5..8 => 0,
            8..11 => self.draw.below(60),
            11..13 => self.draw.below(3000),
            13..15 => self.draw.below(60_000),
            _ => self.draw.below(1_500_000),
        };
        self.pass(self.now + ms, 300)
    }

    fn turn_mood(&mut self) {
        self.mood = Mood::draw(&mut self.draw);
        let mood = self.mood;
        self.note(|| format!("the endpoint is {mood:?}"));
    }

    fn publish(&mut self) -> Check {
        let now = self.now;
        let mut batch: Vec<&Source> = Vec::new();
        for _ in 0..self.draw.of(&[1, 1, 2, 3, 5, 8, 11]) {
            let subject = self.draw.below(self.plan.subjects) as usize;
            let source = &sources()[subject * EVENTS_EACH + self.draw.below(EVENTS_EACH as u64) as usize];
            // An id that is old enough to be forgotten stands for another event, which is no matter of ours.
            if !self.model.accepted_ever(source) || self.model.repeatable(source, now) {
                batch.push(source);
            }
        }
        let fate = self.model.fate(&batch, now);
        let mut events: Vec<_> = batch.iter().map(|source| source.published.clone()).collect();
        let conflicts = self.draw.percent(2) && fate == Fate::Accepted(batch.len()) && !events.is_empty();
        if conflicts {
            // Another event under the id of the first one.
            let index = sources()
                .iter()
                .position(|source| source.jti == batch[0].jti)
                .unwrap_or(0);
            events.push(plan::published(index / EVENTS_EACH, index % EVENTS_EACH, true));
        }
        let accepted = self.turn(|live, sql| match live.accept(sql, &events, now) {
            Ok(events) => Ok(Fate::Accepted(events)),
            Err(AppendError::Full) => Ok(Fate::Full),
            Err(AppendError::Conflict { .. }) => Ok(Fate::Conflict),
            Err(AppendError::Sql(error)) => Err(error),
        })?;
        let Some(accepted) = accepted else {
            return Ok(());
        };
        let names = || batch.iter().map(|source| short(&source.jti)).collect::<Vec<_>>();
        self.note(|| format!("publish {:?}: {accepted:?}", names()));
        let fate = if conflicts { Fate::Conflict } else { fate };
        claim!(accepted == fate, "a batch is {accepted:?} instead of {fate:?}");
        match fate {
            Fate::Accepted(_) => self.model.accepted(&batch, &self.live, now)?,
            Fate::Full => self.model.seen.refused += 1,
            Fate::Conflict => {}
        }
        self.compare()?;
        if self.draw.percent(self.plan.crashes) {
            self.unarmed = true;
            return self.die();
        }
        if accepted == Fate::Accepted(0) {
            return Ok(());
        }
        self.ring()
    }

    fn wish(&mut self) -> Wish {
        Wish {
            status: self.draw.of(&STATUSES),
            reason: None,
        }
    }

    fn receiver_wishes(&mut self) -> Check {
        let wish = self.wish();
        let disables = wish.status == Status::Disabled;
        self.receiver_wishes_for(wish)?;
        if disables && self.draw.percent(60) {
            // A stream that stayed disabled would see little of what is to come.
            self.wait()?;
            self.receiver_wishes_for(Wish::default())?;
        }
        Ok(())
    }

    pub fn receiver_wishes_for(&mut self, wish: Wish) -> Check {
        let now = self.now;
        let jti = self.draw.jti();
        let status = wish.status;
        let wished = self.turn(|live, sql| live.receiver_wishes(sql, wish, jti, now))?;
        self.note(|| format!("the receiver wishes {status:?}: {wished:?}"));
        let Some(wished) = wished else {
            return Ok(());
        };
        let allowed = self.model.receiver_wishes(status, now);
        claim!(allowed == wished.is_ok(), "the receiver's wish is {wished:?}");
        let asks = self
            .live
            .outbox
            .control()
            .waiting(Gate::Open)
            .any(|item| item.jti == jti);
        if asks {
            claim!(wished == Ok(true), "an endpoint is asked that had not refused");
            self.model.verification(jti);
        }
        self.ring()
    }

    fn operator_wishes(&mut self) -> Check {
        let wish = self.wish();
        self.operator_wishes_for(wish)
    }

    pub fn operator_wishes_for(&mut self, wish: Wish) -> Check {
        let now = self.now;
        let status = wish.status;
        let wished = self.turn(|live, sql| live.operator_wishes(sql, wish, now))?;
        self.note(|| format!("the operator wishes {status:?}: {}", wished.is_some()));
        if wished.is_some() {
            self.model.operator_wishes(status, now);
            return self.ring();
        }
        Ok(())
    }

    /// `StreamObject::update`: the receiver changes its configuration.
    fn update(&mut self) -> Check {
        let now = self.now;
        self.endpoints += 1;
        let delivery = match self.draw.below(4) {
            0 => None,
            1 if self.plan.switches => Some(Delivery::Poll),
            2 if !self.plan.switches => Some(self.live.stream.configuration.delivery.clone()),
            _ if self.plan.polls && !self.plan.switches => Some(Delivery::Poll),
            _ => Some(plan::push(self.endpoints)),
        };
        let hold = self.live.courier.hold();
        let anew = hold.is_some_and(|hold| matches!(hold.reason, HoldReason::Unauthorized | HoldReason::Gone));
        let before = &self.live.stream.configuration.delivery;
        let moved = delivery.as_ref().is_some_and(|delivery| delivery != before || anew);
        let polls = delivery.as_ref().map(|delivery| *delivery == Delivery::Poll);
        let updated = self.turn(|live, sql| {
            if let Some(delivery) = delivery {
                live.stream.configuration.delivery = delivery;
            }
            live.stream.rev += 1;
            live.stream.save(sql)?;
            if moved { live.moved(sql, false, now) } else { Ok(()) }
        })?;
        self.note(|| {
            format!(
                "the receiver updates: moved {moved}, polls {polls:?}, {}",
                updated.is_some()
            )
        });
        if updated.is_some() {
            if moved {
                self.model.moved();
            }
            self.model.polls = polls.unwrap_or(self.model.polls);
            return self.ring();
        }
        Ok(())
    }

    fn verify(&mut self) -> Check {
        let now = self.now;
        let several = if self.draw.percent(8) { 18 } else { 1 };
        for _ in 0..several {
            if self.model.wished() == Status::Disabled {
                return Ok(());
            }
            let jti = self.draw.jti();
            if self.turn(|live, sql| live.verify(sql, Some("s"), jti, now))?.is_none() {
                return Ok(());
            }
            self.model.verification(jti);
            self.note(|| format!("the receiver asks for verification {}", short(&jti)));
            self.ring()?;
        }
        Ok(())
    }

    fn replay(&mut self) -> Check {
        let now = self.now;
        let may = self.live.replayable_since(now);
        if self.plan.rules.retention_ms == 0 {
            claim!(may == Err(ReplayError::NothingKept), "{may:?}");
            return Ok(());
        }
        if self.model.wished() == Status::Disabled {
            claim!(may == Err(ReplayError::Disabled), "{may:?}");
            return Ok(());
        }
        let events = self.model.events.len() as u64;
        let (found, expected) = if self.draw.percent(50) || events == 0 {
            let back = self
                .draw
                .of(&[100, 5_000, 100_000, 3_000_000, 100_000_000, 100_000_000]);
            let since = now.saturating_sub(self.draw.below(back + 1).min(self.plan.rules.retention_ms - 1));
            let found = self
                .live
                .outbox
                .first_since(self.sql, since)
                .map_err(|error| error.to_string())?;
            (found, self.model.since(since))
        } else {
            let jti = self.model.events[self.draw.below(events) as usize].jti;
            let mut above = 0;
            let found = loop {
                match self
                    .live
                    .search(self.sql, &jti, above, now)
                    .map_err(|error| error.to_string())?
                {
                    Search::Found(pos, _) => break Some(pos),
                    Search::Above(seq) => above = seq,
                    Search::NotKept => break None,
                }
            };
            (found, self.model.first(&jti, now - self.plan.rules.retention_ms))
        };
        claim!(
            found == expected,
            "a replay would begin at {found:?} instead of {expected:?}"
        );
        let Some(from) = found else {
            return Ok(());
        };
        let replayed = self.turn(|live, sql| match live.replay(sql, Some(from), now) {
            Ok(replayed) => Ok(replayed),
            Err(ReplayError::Sql(error)) => Err(error),
            Err(error) => panic!("{error}"),
        })?;
        self.note(|| format!("replay from {from:?}: {replayed:?}"));
        if let Some(replayed) = replayed {
            let events = self.model.replayed(from);
            claim!(
                replayed.events == events,
                "replays {} events instead of {events}",
                replayed.events
            );
            self.compare()?;
            return self.ring();
        }
        Ok(())
    }

    fn chosen(&mut self) -> Chosen {
        let events = self.model.events.len() as u64;
        if self.draw.percent(60) || events == 0 {
            return Chosen::All;
        }
        Chosen::One(self.model.events[self.draw.below(events) as usize].jti)
    }

    /// `StreamObject::redrive`
    fn redrive(&mut self) -> Check {
        if self.model.wished() == Status::Disabled {
            return Ok(());
        }
        let now = self.now;
        let chosen = self.chosen();
        let mut fitting = None;
        let newest = dead_letters::newest(self.sql).map_err(|error| error.to_string())?;
        loop {
            let letters = self.model.chosen(chosen);
            let fits = self.model.fitting(&letters, now);
            let most = *fitting.get_or_insert(fits);
            let Some(go) = self.turn(|live, sql| live.redrive(sql, chosen, newest, now))? else {
                // Goes before this one were written down, but nobody was told.
                self.unarmed = true;
                return Ok(());
            };
            self.note(|| format!("redrive {chosen:?}: {go:?}"));
            let count = go.letters as usize;
            claim!(
                go.found as usize == letters.len() && count <= fits,
                "redrives {go:?} of {} where {fits} fit",
                letters.len()
            );
            self.model.redriven(&letters, count, now);
            fitting = Some(most - count);
            self.compare()?;
            if !go.go_on || self.draw.percent(self.plan.crashes) {
                claim!(go.go_on || most == count, "{} letters that fit were left", most - count);
                break;
            }
        }
        self.ring()
    }

    fn purge(&mut self) -> Check {
        let chosen = self.chosen();
        if let Some(purged) = self.turn(|_, sql| dead_letters::purge(sql, chosen))? {
            self.note(|| format!("purge {chosen:?}: {purged}"));
            let expected = self.model.purged(chosen);
            claim!(purged == expected, "purged {purged} letters instead of {expected}");
        }
        Ok(())
    }

    fn choose(&mut self) -> Check {
        let window = self.draw.of(&[None, None, Some(1), Some(2), Some(5)]);
        let pauses = self.draw.percent(30);
        let choices = Choices {
            request_rate: None,
            legacy_origin_header: false,
            window,
            on_dead: if pauses { OnDead::Pause } else { OnDead::Skip },
            omits_more_available: self.draw.percent(30),
        };
        self.choose_these(choices)
    }

    pub fn choose_these(&mut self, choices: Choices) -> Check {
        let now = self.now;
        if self.turn(|live, sql| live.choose(sql, choices, now))?.is_some() {
            self.note(|| format!("{choices:?}"));
            let window = choices.window.map_or(self.plan.window(), |window| window as usize);
            self.model.set_window(window);
            self.model.pauses_on_dead = choices.on_dead == OnDead::Pause;
            self.model.omits_more = choices.omits_more_available;
            return self.ring();
        }
        Ok(())
    }

    /// `StreamObject::poll`
    pub fn poll(&mut self) -> Check {
        let now = self.now;
        let careful = self.mood == Mood::Perfect;
        let mut ack = Vec::new();
        let mut refused = Vec::new();
        // What it acknowledges it has; now and then it names what it was never given.
        for event in 0..self.model.events.len() {
            let jti = jti_text(&self.model.events[event].jti);
            if self.model.is_held(event) && (careful || self.draw.percent(50)) {
                if !careful && self.draw.percent(10) {
                    refused.push((jti, "invalid_key".to_owned(), "no".to_owned()));
                } else {
                    ack.push(jti);
                }
            } else if self.draw.percent(2) && !careful {
                refused.push((jti, "invalid_key".to_owned(), "no".to_owned()));
            }
        }
        ack.extend(self.model.held_controls().iter().map(jti_text));
        ack.extend(self.draw.percent(10).then(|| "unknown".to_owned()));
        let done = self.turn(|live, sql| live.acknowledge(sql, &ack, &refused, now))?;
        self.note(|| format!("poll acknowledges {ack:?} and refuses {refused:?}: {}", done.is_some()));
        if done.is_none() {
            return Ok(());
        }
        self.model.acknowledged(&ack, &refused, now);
        self.model.rested();
        self.compare()?;
        let most = if careful {
            1000
        } else {
            self.draw.of(&[0, 1, 2, 5, 100])
        };
        let Some(batch) = self.turn(|live, sql| live.hand_out(sql, Some(most), now))? else {
            return Ok(());
        };
        self.model.handed_out(&batch, most as usize)?;
        self.model.seen.polls += 1;
        let jtis: Vec<_> = batch.items.iter().map(|item| item.jti).collect();
        self.note(|| format!("poll is given {:?}", jtis.iter().map(short).collect::<Vec<_>>()));
        if !careful && self.draw.percent(15) {
            // The answer is lost.
            return Ok(());
        }
        for jti in &jtis {
            self.model.taken(jti)?;
        }
        self.prune()?;
        self.rearm();
        Ok(())
    }
}
