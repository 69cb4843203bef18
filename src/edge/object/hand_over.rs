//! What a source received goes on to its owner: the source object hands it over to the stream that delivers it, which takes it
//! or says that it is full.

use std::cell::Cell;
use std::rc::Rc;

use crate::edge::clock::now_ms;
use crate::edge::command::{Answer, Refusal, SourceReply, StreamCommand, StreamReply};
use crate::edge::log::{self, Level};
use crate::edge::random;
use crate::protocol::forward::{Forward, Wish};
use crate::protocol::json::json;
use crate::receiver::forward::{self, Batch, MAX_EVENTS};
use crate::receiver::source::Source;

use super::serve::boxed;
use super::source::SourceObject;
use super::stream::StreamObject;
use super::stub;

/// One run hands over for this long; the next one goes on.
const RUN_MS: u64 = 20_000;

const PROBLEM: &str = "forward_waiting";

/// How handing over stands in this life of the object.
#[derive(Default)]
pub struct HandOver {
    /// Up to where everything was handed over, once it was looked up.
    cursor: Cell<Option<i64>>,
    /// A run is under way: it looks again before it ends.
    running: Cell<bool>,
    failed: Cell<u32>,
    retry_at: Cell<u64>,
    /// Events at once, where the stream had no room for more.
    most: Cell<Option<u32>>,
}

impl SourceObject {
    /// Where its events go on to from here on: those that are here already stay here.
    pub(super) async fn set_forward(&self, forward: Option<Forward>, instead_of: Option<&str>) -> Answer<SourceReply> {
        let mut source = Rc::unwrap_or_clone(self.source()?);
        let now_to = source.forward.as_ref().map(|forward| forward.stream_id.clone());
        if forward.is_none() && instead_of != now_to.as_deref() {
            return Ok(SourceReply::Done);
        }
        if forward.as_ref().map(|forward| &forward.stream_id) != now_to.as_ref() {
            forward::begin(&self.sql)?;
            self.hand_over.cursor.set(None);
            self.hand_over.failed.set(0);
            self.hand_over.retry_at.set(0);
            self.forward_waits(None)?;
        }
        source.forward = forward;
        source.rev += 1;
        source.save(&self.sql)?;
        self.put_source(&source).await;
        Ok(SourceReply::Done)
    }

    /// Sees to it that what came is handed over soon.
    pub(super) async fn nudge_forward(&self, source: &Source) {
        let waits = self.hand_over.running.get() || self.hand_over.retry_at.get() > now_ms();
        if source.forward.is_some() && !waits {
            self.nudge().await;
        }
    }

    /// Hands over what waits. Returns when to go on, if something is left.
    pub(super) async fn hand_over(&self) -> Answer<Option<u64>> {
        self.hand_over.running.set(true);
        let result = boxed(self.hand_all_over()).await;
        self.hand_over.running.set(false);
        result
    }

    async fn hand_all_over(&self) -> Answer<Option<u64>> {
        let started = now_ms();
        loop {
            let source = self.source()?;
            let Some(to) = &source.forward else {
                return Ok(None);
            };
            let now = now_ms();
            let after = match self.hand_over.cursor.get() {
                Some(after) => after,
                None => forward::cursor(&self.sql)?,
            };
            self.hand_over.cursor.set(Some(after));
            let most = self.hand_over.most.get().unwrap_or(MAX_EVENTS);
            let next = forward::next(&self.sql, after, most, &source.audience)?;
            let Some(Batch { events, upto, unread }) = next else {
                return Ok(None);
            };
            if !unread.is_empty() {
                let which = json!({"source_id": source.source_id, "events": unread});
                log::line(Level::Error, "events_not_readable", which);
            }
            if events.is_empty() {
                self.hand_over.cursor.set(Some(upto));
                continue;
            }
            if self.hand_over.retry_at.get() > now {
                return Ok(Some(self.hand_over.retry_at.get()));
            }
            if started + RUN_MS <= now {
                return Ok(Some(now + 1));
            }
            let count = events.len();
            let object = stub::by_id(&self.env, "STREAM", &to.stream_id, Some(&source.tenant));
            let answer = match object {
                Ok(object) => object.tell(StreamCommand::Hand { events }).await,
                Err(error) => Err(error),
            };
            // It may go elsewhere by now, or nowhere.
            let now_to = self.source()?;
            let now_to = now_to.forward.as_ref();
            if now_to.is_none_or(|now_to| now_to.stream_id != to.stream_id) {
                continue;
            }
            let why = match answer {
                Ok(Ok(StreamReply::Appended { .. })) => {
                    forward::advance(&self.sql, upto)?;
                    self.hand_over.cursor.set(Some(upto));
                    self.hand_over.failed.set(0);
                    // Where there was no room for all there may be more of it again.
                    let more = most.saturating_mul(2);
                    self.hand_over.most.set(Some(more).filter(|more| *more < MAX_EVENTS));
                    self.forward_waits(None)?;
                    continue;
                }
                Ok(Err(Refusal::Full)) if count > 1 => {
                    // A part of them may still have room.
                    self.hand_over.most.set(Some((count / 2) as u32));
                    continue;
                }
                Ok(Err(Refusal::Full)) => "the stream that hands the events on is full",
                Ok(Err(Refusal::Gone)) => {
                    self.set_forward(None, Some(&to.stream_id)).await?;
                    return Ok(None);
                }
                Ok(_) | Err(_) => "the stream that hands the events on does not answer",
            };
            let failed = self.hand_over.failed.get().saturating_add(1);
            self.hand_over.failed.set(failed);
            let retry = self.settings()?.delivery.courier.retry;
            let wait = retry.backoff_ms(failed, 0.5 + random::draw() / 2.0).max(1);
            self.hand_over.retry_at.set(now_ms() + wait);
            self.forward_waits(Some(why))?;
        }
    }

    /// Notes that events wait to be handed over, or that none does any more.
    fn forward_waits(&self, why: Option<&str>) -> Answer<()> {
        self.problem(PROBLEM, why)
    }
}

impl StreamObject {
    /// The owner of the source says anew where its events go, or in what.
    pub(super) async fn hand_to(&self, wish: Wish) -> Answer<StreamReply> {
        let header = match wish.authorization_header.into_iter().next() {
            Some(header) => Some(self.seal_authorization(header).await?),
            None => None,
        };
        self.with(|live| {
            if live.stream.forward.is_none() {
                return Err(Refusal::NotFound);
            }
            live.hand_to(&self.sql, &wish.endpoint_url, wish.envelope, header, now_ms())?;
            Ok(StreamReply::Done)
        })
    }
}
