//! Where events are: what is stored, dropped, buried, sent again, handed out and acknowledged.

use super::super::plan::Source;
use super::{Check, Control, Event, Letter, Model, NONE_YET, Place, claim};
use crate::delivery::chunk::Jti;
use crate::delivery::control::{CONTROL_LANE, Gate, MAX_WAITING};
use crate::delivery::dead_letters::{self, Chosen};
use crate::delivery::outbox::{Item, Pos};
use crate::delivery::sql::Sql;
use crate::protocol::set::jti_bytes;
use crate::protocol::status::Status;
use crate::transmitter::live::{Batch, Live};

/// What has to become of a published batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// So many events are the stream's.
    Accepted(usize),
    Full,
    Conflict,
}

impl Model {
    fn fresh<'a>(&self, batch: &[&'a Source]) -> Vec<&'a Source> {
        let mut fresh: Vec<&Source> = Vec::new();
        for source in batch {
            let known = self
                .events
                .iter()
                .any(|event| event.jti == source.jti && event.remembered);
            if !known && !fresh.iter().any(|other| other.jti == source.jti) {
                fresh.push(source);
            }
        }
        fresh
    }

    fn admits(&self, events: u64, bytes: u64, now: u64) -> bool {
        let waiting: Vec<&Place> = self.places.iter().filter(|place| place.waits).collect();
        let used: u64 = waiting.iter().map(|place| self.events[place.event].size).sum();
        let stale = waiting.first().is_some_and(|place| now - place.at > self.bounds.age_ms);
        waiting.len() as u64 + events <= self.bounds.events && used + bytes <= self.bounds.bytes && !stale
    }

    /// What has to become of a batch: all of it is stored or nothing, and it is refused exactly when it goes beyond a bound.
    pub fn fate(&self, batch: &[&Source], now: u64) -> Fate {
        if self.wished() == Status::Disabled {
            return Fate::Accepted(0);
        }
        let fresh = self.fresh(batch);
        let bytes = fresh.iter().map(|source| source.size).sum();
        if fresh.is_empty() || self.admits(fresh.len() as u64, bytes, now) {
            Fate::Accepted(batch.len())
        } else {
            Fate::Full
        }
    }

    /// A batch was accepted.
    pub fn accepted(&mut self, batch: &[&Source], live: &Live, now: u64) -> Check {
        let fresh = self.fresh(batch);
        if fresh.is_empty() || self.wished() == Status::Disabled {
            return Ok(());
        }
        let first = self.events.len();
        for source in &fresh {
            self.events.push(Event {
                jti: source.jti,
                lane: source.lane,
                claims: Vec::new(),
                size: source.size,
                accepted_at: now,
                taken: false,
                excused: false,
                remembered: true,
            });
        }
        self.store(&(first..self.events.len()).collect::<Vec<_>>(), now);
        // From here on these are the bytes that have to be sent, each time.
        for place in self.places.iter().filter(|place| place.pos.seq == self.tail) {
            let item = live.outbox.get(place.pos);
            let event = &mut self.events[place.event];
            let Some(item) = item.filter(|item| item.jti == event.jti) else {
                return Err(format!("an accepted event is not at {:?}", place.pos));
            };
            event.claims = item.claims().to_vec();
        }
        Ok(())
    }

    /// One more chunk.
    fn store(&mut self, events: &[usize], at: u64) {
        self.tail += 1;
        for (idx, event) in (0..).zip(events) {
            self.places.push(Place {
                event: *event,
                pos: Pos { seq: self.tail, idx },
                at,
                waits: true,
                gone: false,
                tries: NONE_YET,
            });
        }
    }

    /// The stream was disabled: what waits is lost, and so are its chunks.
    pub(super) fn drop_waiting(&mut self) {
        self.seen.drops += 1;
        let head = self.head();
        for place in self.places.iter_mut().filter(|place| place.pos.seq >= head.seq) {
            place.gone = true;
            if place.waits {
                place.waits = false;
                self.events[place.event].excused = true;
            }
        }
        for event in &mut self.events {
            event.remembered = false;
        }
        self.handed = self.handed.max(Pos::of(self.tail + 1));
        self.controls.retain(|control| !control.verification);
        self.every_try(|tries| {
            tries.sure = false;
            tries.next_at = 0;
        });
    }

    pub(super) fn place(&self, pos: Pos) -> Option<usize> {
        self.places.binary_search_by_key(&pos, |place| place.pos).ok()
    }

    /// An event goes from its place to the dead letters. Whether it was there.
    pub(super) fn bury(&mut self, pos: Pos, jti: Jti, now: u64) -> bool {
        let event = if pos.seq < 0 {
            let Some(at) = self.controls.iter().position(|control| control.jti == jti) else {
                return false;
            };
            self.controls.remove(at);
            self.events.push(Event {
                jti,
                lane: CONTROL_LANE,
                claims: Vec::new(),
                size: 0,
                accepted_at: now,
                taken: false,
                excused: true,
                remembered: false,
            });
            self.events.len() - 1
        } else {
            let Some(at) = self.place(pos).filter(|at| self.places[*at].waits) else {
                return false;
            };
            self.places[at].waits = false;
            self.places[at].event
        };
        self.events[event].excused = true;
        self.letters.push(Letter { event, at: now });
        let over = self.letters.len().saturating_sub(self.most_letters);
        self.letters.drain(..over);
        self.letters_changed = true;
        self.seen.deaths += 1;
        true
    }

    /// A letter is in exactly one place, in the order in which they died, and as it was.
    pub fn compare_letters(&mut self, sql: &dyn Sql) -> Check {
        self.letters_changed = false;
        let letters = dead_letters::list(sql, 0, 10_000).map_err(|error| error.to_string())?;
        let found: Vec<Jti> = letters.iter().map(|letter| letter.item.jti).collect();
        let expected: Vec<Jti> = self
            .letters
            .iter()
            .map(|letter| self.events[letter.event].jti)
            .collect();
        claim!(
            found == expected,
            "the dead letters are {found:02x?} instead of {expected:02x?}"
        );
        for (letter, ours) in letters.iter().zip(&self.letters) {
            let event = &mut self.events[ours.event];
            if event.claims.is_empty() {
                // A control event: it is known from here on.
                event.claims.clone_from(&letter.item.claims);
                event.size = 36 + event.claims.len() as u64;
            }
            claim!(
                letter.at == ours.at && letter.item.claims == event.claims,
                "a dead letter is not as it was"
            );
        }
        Ok(())
    }

    /// What is old was deleted.
    pub fn pruned(&mut self, now: u64) {
        let before = self.letters.len();
        self.letters.retain(|letter| letter.at + self.dead_letter_ms >= now);
        self.letters_changed |= self.letters.len() < before;
        let head = self.head();
        for place in self.places.iter_mut().filter(|place| place.pos.seq < head.seq) {
            place.gone |= place.at + self.keep_ms <= now;
        }
    }

    /// The letters that are chosen: one event's newest, or all.
    pub fn chosen(&self, chosen: Chosen) -> Vec<usize> {
        match chosen {
            Chosen::All => (0..self.letters.len()).collect(),
            Chosen::One(jti) => {
                let found = self
                    .letters
                    .iter()
                    .rposition(|letter| self.events[letter.event].jti == jti);
                found.into_iter().collect()
            }
        }
    }

    /// So many of the chosen letters fit into the outbox.
    pub fn fitting(&self, letters: &[usize], now: u64) -> usize {
        let mut bytes = 0;
        let fits = |(n, letter): (usize, &usize)| {
            bytes += self.events[self.letters[*letter].event].size;
            self.admits(n as u64 + 1, bytes, now)
        };
        letters.iter().enumerate().map(fits).take_while(|fits| *fits).count()
    }

    /// The first so many of the chosen letters are in the outbox again.
    pub fn redriven(&mut self, letters: &[usize], count: usize, now: u64) {
        if count == 0 {
            return;
        }
        let events: Vec<usize> = letters[..count]
            .iter()
            .map(|letter| self.letters[*letter].event)
            .collect();
        for letter in letters[..count].iter().rev() {
            self.letters.remove(*letter);
        }
        self.store(&events, now);
        self.letters_changed = true;
        self.seen.redriven += count as u64;
    }

    pub fn purged(&mut self, chosen: Chosen) -> u64 {
        let before = self.letters.len();
        let events = &self.events;
        self.letters.retain(|letter| match chosen {
            Chosen::All => false,
            Chosen::One(jti) => events[letter.event].jti != jti,
        });
        self.letters_changed = true;
        (before - self.letters.len()) as u64
    }

    /// The first place of what was stored at that instant or later.
    pub fn since(&self, since: u64) -> Option<Pos> {
        let kept = self.places.iter().filter(|place| !place.gone && place.at >= since);
        kept.map(|place| place.pos).next()
    }

    /// The first place of an event that waits or was stored then or later.
    pub fn first(&self, jti: &Jti, since: u64) -> Option<Pos> {
        let head = self.head();
        let mut places = self
            .places
            .iter()
            .filter(|place| !place.gone && self.events[place.event].jti == *jti);
        places
            .find(|place| place.at >= since || place.pos >= head)
            .map(|place| place.pos)
    }

    /// The first place that waits, or where it will be.
    fn head(&self) -> Pos {
        let first = self.places.iter().find(|place| place.waits);
        first.map_or(Pos::of(self.tail + 1), |place| place.pos)
    }

    /// Everything from there on waits once more: so many events.
    pub fn replayed(&mut self, from: Pos) -> u64 {
        self.replays += 1;
        self.seen.replays += 1;
        let mut events = 0;
        for place in self.places.iter_mut().filter(|place| place.pos >= from && !place.gone) {
            events += 1;
            if !place.waits {
                place.waits = true;
                place.tries = NONE_YET;
            }
        }
        self.every_try(|tries| tries.sure = false);
        self.handed = self.handed.min(from);
        events
    }

    /// A verification event waits from now on. The oldest of too many makes room.
    pub fn verification(&mut self, jti: Jti) {
        self.controls_ever.push((jti, true));
        self.controls.push(Control {
            jti,
            verification: true,
            tries: NONE_YET,
        });
        if self.controls.iter().filter(|control| control.verification).count() > MAX_WAITING {
            let oldest = self.controls.iter().position(|control| control.verification);
            oldest.map(|at| self.controls.remove(at));
        }
    }

    /// Stream-updated events, which the stream makes by itself and takes back when its status changes again.
    pub fn notice_updates(&mut self, live: &mut Live) {
        for item in live.outbox.control().waiting(Gate::UpdatesOnly) {
            if !self.controls.iter().any(|control| control.jti == item.jti) {
                self.controls_ever.push((item.jti, false));
                self.controls.push(Control {
                    jti: item.jti,
                    verification: false,
                    tries: NONE_YET,
                });
            }
        }
    }

    /// Verification events wait exactly when they were asked for and neither delivered nor dropped.
    pub(super) fn compare_controls(&mut self, live: &mut Live) -> Check {
        self.notice_updates(live);
        let waiting: Vec<Jti> = live.outbox.control().waiting(Gate::Open).map(|item| item.jti).collect();
        let lost = |control: &&Control| control.verification && !waiting.contains(&control.jti);
        claim!(
            !self.controls.iter().any(|control| lost(&control)),
            "a verification event is lost"
        );
        self.controls.retain(|control| waiting.contains(&control.jti));
        claim!(
            self.controls.len() == waiting.len(),
            "a verification event came from nowhere"
        );
        Ok(())
    }

    /// A poll acknowledges and refuses.
    pub fn acknowledged(&mut self, ack: &[String], refused: &[(String, String, String)], now: u64) {
        let handed = self.handed;
        let find = |model: &Self, text: &String| -> Option<(Pos, Jti)> {
            let jti = jti_bytes(text)?;
            let mut places = model.places.iter().rev();
            let place = places.find(|place| place.pos < handed && place.waits && model.events[place.event].jti == jti);
            let control = || model.controls.iter().any(|control| control.jti == jti);
            place.map_or(control().then_some((Pos::of(-1), jti)), |place| Some((place.pos, jti)))
        };
        let refused: Vec<_> = refused.iter().filter_map(|(jti, ..)| find(self, jti)).collect();
        for (pos, jti) in ack.iter().filter_map(|jti| find(self, jti)).collect::<Vec<_>>() {
            self.done(pos, &jti);
        }
        for (pos, jti) in refused {
            self.bury(pos, jti, now);
        }
    }

    /// It was delivered.
    pub(super) fn done(&mut self, pos: Pos, jti: &Jti) {
        if pos.seq < 0 {
            self.controls.retain(|control| control.jti != *jti);
        } else if let Some(at) = self.place(pos) {
            self.places[at].waits = false;
        }
        self.acknowledged += 1;
    }

    /// What a poll is given: oldest first, as much as it wants.
    pub fn handed_out(&mut self, batch: &Batch, most: usize) -> Check {
        let events: Vec<&Item> = batch.items.iter().filter(|item| item.pos.seq >= 0).collect();
        let controls = batch.items.len() - events.len();
        let open = self.wished() == Status::Enabled;
        let waiting = self.places.iter().filter(|place| place.waits && open);
        let expected: Vec<Pos> = waiting.clone().map(|place| place.pos).take(most - controls).collect();
        let found: Vec<Pos> = events.iter().map(|item| item.pos).collect();
        claim!(found == expected, "a poll was given {found:?} instead of {expected:?}");
        let more = waiting.count() > expected.len() && !self.omits_more;
        claim!(
            batch.more == more || controls > 0 || most == 0,
            "a poll was told more: {}",
            batch.more
        );
        for item in events {
            let place = self.place(item.pos).map(|at| self.places[at].event);
            let event = place.map(|event| &self.events[event]);
            claim!(
                event.is_some_and(|event| event.jti == item.jti && event.claims == item.claims()),
                "a poll was given other claims"
            );
            let after = Pos {
                idx: item.pos.idx + 1,
                ..item.pos
            };
            self.handed = self.handed.max(after);
        }
        Ok(())
    }
}
