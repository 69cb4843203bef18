//! The dead letters of a stream, and its replays: what an operator does about events that did not arrive.

use std::time::Duration;

use serde_json::Value;
use worker::Delay;

use crate::delivery::chunk::Jti;
use crate::delivery::dead_letters::{self, Chosen, DeadLetter};
use crate::delivery::outbox::Search;
use crate::edge::clock::now_ms;
use crate::edge::command::{Answer, Refusal, StreamReply};
use crate::protocol::json::{json, put};
use crate::protocol::operator_request::ReplayFrom;
use crate::protocol::set::jti_text;
use crate::protocol::status::Status;
use crate::transmitter::live::ReplayError;
use crate::transmitter::{envelope, forward};

use super::stream::StreamObject;

impl StreamObject {
    pub(super) fn dead_letters(&self, after: i64, limit: u32) -> Answer<StreamReply> {
        self.letters(|| {
            let letters = dead_letters::list(&self.sql, after, limit)?;
            let cursor = letters.last().map_or(after, |letter| letter.id);
            let dead_letters = letters.iter().map(shown).collect();
            Ok(StreamReply::DeadLetters { dead_letters, cursor })
        })
    }

    /// Does something with the letters. Those whose time is over are gone before anybody looks.
    fn letters<T>(&self, work: impl FnOnce() -> Answer<T>) -> Answer<T> {
        self.with(|live| {
            live.prune_letters(&self.sql, now_ms())?;
            work()
        })
    }

    /// One letter, with everything that its event says.
    pub(super) fn dead_letter(&self, jti: &Jti) -> Answer<StreamReply> {
        self.letters(|| {
            let letter = dead_letters::find(&self.sql, jti)?.ok_or(Refusal::NotFound)?;
            let mut answer = shown(&letter);
            let claims = forward::shown(&letter.item.claims);
            put(&mut answer, "claims", json!(claims));
            Ok(StreamReply::Shown(answer))
        })
    }

    pub(super) fn purge(&self, jti: Option<Jti>) -> Answer<StreamReply> {
        self.letters(|| {
            let purged = dead_letters::purge(&self.sql, chosen(jti))?;
            if purged == 0 && jti.is_some() {
                return Err(Refusal::NotFound);
            }
            self.done("purged", purged)
        })
    }

    /// Sends letters again, a bounded number in each turn: other requests come in between.
    pub(super) async fn redrive(&self, jti: Option<Jti>) -> Answer<StreamReply> {
        let mut redriven = 0;
        let newest = self.letters(|| Ok(dead_letters::newest(&self.sql)?))?;
        loop {
            let go = self.with(|live| {
                if live.stream.wishes.status() == Status::Disabled {
                    return Err(disabled());
                }
                Ok(live.redrive(&self.sql, chosen(jti), newest, now_ms())?)
            })?;
            redriven += go.letters;
            // Should this object die between two goes, what is in the outbox again is not forgotten.
            self.rearm().await;
            match (jti, go.found, go.letters) {
                (Some(_), 0, _) => return Err(Refusal::NotFound),
                (Some(_), _, 0) => return Err(Refusal::Full),
                _ if go.go_on => breathe().await,
                _ => break,
            }
        }
        self.with(|_| self.done("redriven", redriven))
    }

    fn done(&self, what: &str, letters: u64) -> Answer<StreamReply> {
        let remaining = dead_letters::count(&self.sql)?;
        let mut shown = json!({"remaining": remaining});
        put(&mut shown, what, letters);
        Ok(StreamReply::Shown(shown))
    }

    pub(super) async fn replay(&self, from: ReplayFrom) -> Answer<StreamReply> {
        let place = match from {
            ReplayFrom::Since(since) => self.with(|live| {
                let kept_since = live.replayable_since(now_ms())?;
                if since < kept_since {
                    return Err(invalid(
                        "/since",
                        format!("/since lies before what is kept, which begins at {kept_since}"),
                    ));
                }
                Ok(live.outbox.first_since(&self.sql, since)?)
            })?,
            ReplayFrom::Jti(jti) => {
                let mut above = 0;
                loop {
                    match self.with(|live| Ok(live.search(&self.sql, &jti, above, now_ms())?))? {
                        Search::Found(place, _) => break Some(place),
                        Search::Above(seq) => above = seq,
                        Search::NotKept => {
                            return Err(invalid("/jti", "/jti is not among the events that are kept".to_owned()));
                        }
                    }
                    breathe().await;
                }
            }
        };
        self.with(|live| {
            let replayed = live.replay(&self.sql, place, now_ms())?;
            let from = replayed.from.map(|(jti, at)| json!({"jti": jti_text(&jti), "at": at}));
            Ok(StreamReply::Shown(json!({"replayed": replayed.events, "from": from})))
        })
    }
}

impl From<ReplayError> for Refusal {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Sql(error) => error.into(),
            ReplayError::NothingKept | ReplayError::Disabled => Refusal::Conflict {
                detail: error.to_string(),
            },
        }
    }
}

fn disabled() -> Refusal {
    ReplayError::Disabled.into()
}

fn invalid(pointer: &str, detail: String) -> Refusal {
    Refusal::Invalid {
        pointer: pointer.to_owned(),
        detail,
    }
}

fn chosen(jti: Option<Jti>) -> Chosen {
    jti.map_or(Chosen::All, Chosen::One)
}

/// Lets others have their turn.
async fn breathe() {
    Delay::from(Duration::ZERO).await;
}

/// A letter as the operator sees it.
fn shown(letter: &DeadLetter) -> Value {
    let (event_type, sub_id) = envelope::type_and_subject(&letter.item.claims);
    json!({
        "jti": jti_text(&letter.item.jti),
        "type": event_type,
        "sub_id": sub_id,
        "at": letter.at,
        "err": letter.death.err,
        "description": letter.death.description,
        "attempts": letter.death.attempts,
    })
}
