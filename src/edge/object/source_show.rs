//! What an operator sees of a source, and what he may do with its stream.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::select;
use serde_json::Value;
use worker::Delay;

use crate::edge::clock::now_ms;
use crate::edge::command::{Answer, Refusal, SourceCommand, SourceReply};
use crate::protocol::json::json;
use crate::receiver::health::Problems;
use crate::receiver::remote::Trouble;
use crate::receiver::setup;
use crate::receiver::source::Source;
use crate::receiver::{wanted, watch};

use super::serve::seconds;
use super::source::SourceObject;

impl SourceObject {
    /// What an operator is told whose request failed there. Where the stream is gone it is made again.
    async fn failed(&self, stream_id: &str, trouble: Trouble) -> Refusal {
        let detail = trouble.detail().to_owned();
        let _ = self.is_there(stream_id, trouble).await;
        match self.gone.get() {
            true => Refusal::Gone,
            false => Refusal::Transmitter { detail },
        }
    }

    /// Where this source is pushed to.
    pub(super) fn receive_url(&self, source: &Source) -> Answer<String> {
        let settings = self.settings()?;
        let origin = settings.public_url.as_deref().unwrap_or(&source.origin);
        Ok(format!("{origin}/receive/{}", source.source_id))
    }

    /// Commands of the operator.
    pub(super) async fn manage_source(&self, command: SourceCommand) -> Answer<SourceReply> {
        let source = self.source()?;
        let stream_id = self.with_setup(|setup| setup.stream_id().unwrap_or_default().to_owned())?;
        let shown = match command {
            SourceCommand::Show { receive_url } => {
                let mut shown = source.to_json(&receive_url);
                if let Some(members) = shown.as_object_mut() {
                    members.insert("setup".to_owned(), self.setup_json(&source)?);
                    members.insert("stream".to_owned(), self.with_setup(|setup| setup.stream_json())?);
                    members.insert("sequence_gaps".to_owned(), self.gaps(&source)?);
                    members.insert("health".to_owned(), self.health(&source)?);
                }
                shown
            }
            SourceCommand::Health => self.health(&source)?,
            SourceCommand::Setup { wait_ms } => {
                let until = now_ms() + wait_ms;
                loop {
                    let rung = self.bell.count();
                    let source = self.source()?;
                    let over = self.with_setup(|setup| ["done", "failed"].contains(&setup.word()))?;
                    let left = until.saturating_sub(now_ms());
                    if over || left == 0 || !source.is_managed() {
                        break self.setup_json(&source)?;
                    }
                    let time = Delay::from(Duration::from_millis(left));
                    select(pin!(self.bell.after(rung)), time).await;
                }
            }
            SourceCommand::Repeat { from } => {
                require_managed(&source)?;
                self.repeat_from(from).await?;
                self.setup_json(&source)?
            }
            SourceCommand::Status => {
                require_managed(&source)?;
                require_stream(&stream_id)?;
                let found = match self.read_status().await {
                    Ok(found) => found,
                    Err(trouble) => return Err(self.failed(&stream_id, trouble).await),
                };
                self.status_json(found.is_some())?
            }
            SourceCommand::SetStatus { status, reason } => {
                require_managed(&source)?;
                let plan = self.with_setup(|setup| {
                    let endpoints = setup.endpoints.as_ref()?;
                    endpoints.set_status(setup.stream_id()?, status.name(), reason.as_deref())
                })?;
                let plan =
                    plan.ok_or_else(|| no_stream("the transmitter has no status endpoint, or there is no stream yet"))?;
                let found = match self.manage(&plan).await {
                    Ok(None) => self.read_status().await.map(|_| None),
                    found => found,
                };
                self.source()?;
                match found {
                    Ok(Some(found)) => self.have_status(&found)?,
                    Ok(None) => {}
                    Err(trouble) => return Err(self.failed(&stream_id, trouble).await),
                }
                self.status_json(true)?
            }
            SourceCommand::Subjects { after, limit } => wanted::list(&self.sql, after, limit)?,
            SourceCommand::ChangeSubjects { add, remove } => {
                require_managed(&source)?;
                wanted::change(&self.sql, &add, &remove)?;
                self.turn.set(self.turn.get() + 1);
                self.change_setup(&mut |known| known.again(setup::SUBJECTS))?;
                self.nudge().await;
                json!({"waiting": wanted::waiting(&self.sql)?})
            }
            SourceCommand::Verify => {
                require_managed(&source)?;
                require_stream(&stream_id)?;
                let now = now_ms();
                let wait = self.with_setup(|setup| watch::may_verify_in(setup, now))?;
                if wait > 0 {
                    return Err(Refusal::TooMany {
                        detail: "The transmitter does not want to be asked so soon again.".to_owned(),
                        retry_after_s: seconds(wait),
                    });
                }
                let asked = match self.ask_for_verification().await {
                    Ok(asked) => asked,
                    Err(trouble) => return Err(self.failed(&stream_id, trouble).await),
                };
                let state = asked.ok_or_else(|| no_stream("the transmitter has no verification endpoint"))?;
                self.nudge().await;
                json!({"state": state})
            }
            _ => return Err(Refusal::Internal),
        };
        Ok(SourceReply::Shown(shown))
    }

    fn setup_json(&self, source: &Source) -> Answer<Value> {
        match source.is_managed() {
            true => self.with_setup(|setup| setup.to_json()),
            false => Ok(json!({"state": "unmanaged", "steps": json!([])})),
        }
    }

    fn status_json(&self, known: bool) -> Answer<Value> {
        if !known {
            return Err(no_stream("the transmitter has no status endpoint"));
        }
        self.with_setup(|setup| json!({"status": setup.status, "reason": setup.reason}))
    }

    fn health(&self, source: &Source) -> Answer<Value> {
        let problems = Problems::load(&self.sql)?;
        let (is_set_up, verified_at) = self.with_setup(|setup| (setup.word() == "done", setup.verified_at))?;
        let state = if !problems.list.is_empty() {
            "attention"
        } else if source.is_managed() && !is_set_up {
            "setting_up"
        } else {
            "ok"
        };
        let mut gaps = self.gaps(source)?;
        let last_gap = gaps.as_array_mut().and_then(Vec::pop);
        let counted = self.tally()?;
        Ok(json!({
            "state": state,
            "problems": problems.to_json(),
            "received": counted.received,
            "duplicates": counted.duplicates,
            "refused": counted.refused,
            "discarded": counted.discarded,
            "last_event_at": counted.last_event_at,
            "last_verified_at": verified_at,
            "last_poll_at": counted.last_poll_at,
            "last_gap": last_gap,
        }))
    }
}

fn require_managed(source: &Source) -> Answer<()> {
    match source.is_managed() {
        true => Ok(()),
        false => Err(no_stream(
            "the source has no credentials, so its stream is not managed here",
        )),
    }
}

fn require_stream(stream_id: &str) -> Answer<()> {
    match stream_id {
        "" => Err(no_stream("there is no stream yet")),
        _ => Ok(()),
    }
}

fn no_stream(why: &str) -> Refusal {
    Refusal::Conflict {
        detail: format!("This cannot be done: {why}."),
    }
}
