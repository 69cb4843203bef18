//! The care for a source's stream: verification events asked for and awaited, the status followed, a stream that is gone made
//! again.

use serde_json::Value;

use crate::edge::clock::now_ms;
use crate::edge::command::{Answer, Refusal};
use crate::edge::log::{self, Level};
use crate::edge::random;
use crate::protocol::json::json;
use crate::receiver::intake::AboutStream;
use crate::receiver::remote::Trouble;
use crate::receiver::setup;
use crate::receiver::source::Source;
use crate::receiver::watch;

use super::set_up::ours;
use super::source::SourceObject;

impl SourceObject {
    pub(super) fn silence(&self) -> Answer<()> {
        let detail = "a verification event that was asked for did not come: the stream may carry nothing";
        self.problem("verification_unanswered", Some(detail))
    }

    /// Asks for a verification event; returns its state. What is expected is written down before (SSF-8.1.4.2-7).
    pub(super) async fn ask_for_verification(&self) -> Result<Option<String>, Trouble> {
        let (endpoints, stream_id) = (self.endpoints()?, self.stream_id()?);
        let state = random::text::<16>().map_err(|_| Trouble::later("no randomness"))?;
        let Some(plan) = endpoints.verify(&stream_id, &state) else {
            return Ok(None);
        };
        let now = now_ms();
        self.change_setup(&mut |setup| setup.expect(&state, now))
            .map_err(ours)?;
        match self.manage(&plan).await {
            Ok(_) => Ok(Some(state)),
            // Nobody knows whether it was heard.
            Err(trouble @ Trouble::Later { not_before: None, .. }) => Err(trouble),
            Err(trouble) => {
                self.change_setup(&mut |setup| setup.forget(&state)).map_err(ours)?;
                Err(trouble)
            }
        }
    }

    /// Keeps the stream alive, and notices what happened to it. Returns when it is looked after next.
    pub(super) async fn look_after(&self) -> Answer<Option<u64>> {
        let rules = self.settings()?.remote.watch;
        let now = now_ms();
        let (due, silent, is_set_up) = self.with_setup(|setup| {
            let due = watch::due(setup, &rules, now);
            (
                due,
                watch::silence_at(setup, &rules),
                setup.is_over(setup::VERIFICATION),
            )
        })?;
        let Some(due) = due.map(|due| due.max(self.watch_again.get())) else {
            return Ok(None);
        };
        let silent = silent.filter(|_| is_set_up);
        if silent.is_some_and(|at| at <= now) {
            self.silence()?;
        }
        let silent = silent.filter(|at| *at > now);
        if due > now {
            return Ok(Some(silent.map_or(due, |at| at.min(due))));
        }
        let stream_id = self.with_setup(|setup| setup.stream_id().unwrap_or_default().to_owned())?;
        let looked = match self.read_status().await {
            // That it is there is as good a sign of life.
            Err(trouble) => self.is_there(&stream_id, trouble).await.map(|_| ()),
            Ok(_) => Ok(()),
        };
        let looked = match looked {
            Ok(()) => self.verify_now_and_then(&rules).await,
            looked => looked,
        };
        self.source()?;
        let now = now_ms();
        match looked {
            Ok(()) => self.change_setup(&mut |setup| setup.watched_at = Some(now))?,
            // The set-up goes on from there.
            Err(_) if self.with_setup(|setup| setup.stream_id() != Some(&stream_id))? => return Ok(None),
            Err(trouble) => {
                log::line(
                    Level::Warn,
                    "stream_not_watched",
                    json!({"source_id": self.state.id().to_string(), "detail": trouble.detail()}),
                );
                let again = match trouble {
                    Trouble::Later { not_before, .. } => not_before.unwrap_or(0).max(now + rules.every_ms.min(60_000)),
                    _ => now + rules.every_ms,
                };
                self.watch_again.set(again);
                return Ok(Some(again));
            }
        }
        let due = self.with_setup(|setup| watch::due(setup, &rules, now))?;
        Ok(due.into_iter().chain(silent).min())
    }

    /// SSF-8.1.4: a stream that carries nothing else still has to carry this.
    async fn verify_now_and_then(&self, rules: &watch::Rules) -> Result<(), Trouble> {
        let now = now_ms();
        let wanted = self.with_setup(|setup| {
            let old = watch::wants_verification(setup, rules, now);
            // A disabled stream refuses, a paused one keeps it back.
            let is_enabled = setup.status.as_deref().is_none_or(|status| status == "enabled");
            setup.is_over(setup::VERIFICATION) && old && is_enabled && watch::may_verify_in(setup, now) == 0
        });
        if wanted.map_err(ours)? {
            self.ask_for_verification().await?;
        }
        Ok(())
    }

    /// Asks for the status, and heeds it.
    pub(super) async fn read_status(&self) -> Result<Option<Value>, Trouble> {
        let (endpoints, stream_id) = (self.endpoints()?, self.stream_id()?);
        let Some(plan) = endpoints.read_status(&stream_id) else {
            // The configuration is as good a sign of life.
            return self.manage(&endpoints.read(&stream_id)).await.map(|_| None);
        };
        let found = self.manage(&plan).await?.unwrap_or_default();
        self.have_status(&found).map_err(ours)?;
        Ok(Some(found))
    }

    pub(super) fn have_status(&self, found: &Value) -> Answer<()> {
        let text = |name: &str| found.get(name).and_then(Value::as_str).map(str::to_owned);
        match text("status") {
            Some(status) => self.status_is(&status, text("reason")),
            None => Ok(()),
        }
    }

    fn status_is(&self, status: &str, reason: Option<String>) -> Answer<()> {
        let now = Some(status.to_owned());
        if self.with_setup(|setup| setup.status != now || setup.reason != reason)? {
            self.change_setup(&mut |setup| (setup.status, setup.reason) = (now.clone(), reason.clone()))?;
        }
        let detail = format!(
            "the stream is {status}: {}",
            reason.as_deref().unwrap_or("no reason was given")
        );
        let is = |code: &str| match (status, code) {
            ("enabled", _) => None,
            ("disabled", "stream_disabled") => Some(detail.as_str()),
            // SSF-8.1.2.1-10: whatever else it is, it is not enabled.
            (other, "stream_paused") if other != "disabled" => Some(detail.as_str()),
            _ => None,
        };
        self.problem("stream_paused", is("stream_paused"))?;
        self.problem("stream_disabled", is("stream_disabled"))
    }

    /// What a request about the stream was answered with. After 404 its configuration says whether it is there: an endpoint that
    /// is not, or that hears of a new stream later than others, must not cost a stream that is well. One that is gone is set up
    /// anew; the stream that it was about may be another one than we have by now.
    pub(super) async fn is_there(&self, stream_id: &str, trouble: Trouble) -> Result<Option<Value>, Trouble> {
        let Trouble::Gone(detail) = trouble else {
            return Err(trouble);
        };
        let found = self.manage(&self.endpoints()?.read(stream_id)).await;
        if !matches!(found, Err(Trouble::Gone(_))) {
            return found;
        }
        let settings = self.settings().map_err(ours)?;
        let retry = settings.delivery.courier.retry;
        let backoff = |failures| retry.backoff_ms(failures, random::draw()).max(retry.base_ms / 2);
        if self
            .with_setup(|setup| setup.stream_id() == Some(stream_id))
            .map_err(ours)?
        {
            self.problem("stream_gone", Some(&detail)).map_err(ours)?;
            self.turn.set(self.turn.get() + 1);
            let now = now_ms();
            self.change_setup(&mut |setup| setup.lose_stream(&backoff, now))
                .map_err(ours)?;
            self.forget_problems_of_stream().map_err(ours)?;
            self.nudge().await;
        }
        Err(Trouble::Gone(detail))
    }

    /// What was wrong with one stream is over when there is another.
    pub(super) fn forget_problems_of_stream(&self) -> Answer<()> {
        let codes = ["verification_unanswered", "stream_paused", "stream_disabled"];
        codes.into_iter().try_for_each(|code| self.problem(code, None))
    }

    /// Whether what an event says of the stream can be.
    pub(super) fn check_about(&self, source: &Source, about: &AboutStream, now: u64) -> Answer<()> {
        let checked = self.with_setup(|setup| {
            about.check(setup.stream_id(), source.managed.legacy, &|state| {
                setup.expects(state, now)
            })
        })?;
        checked.map_err(|error| {
            let counted = self.count(|tally| tally.refused += 1);
            counted.err().unwrap_or(Refusal::Set {
                err: error.err.as_str().to_owned(),
                description: error.description,
            })
        })
    }

    /// Heeds what an event says of the stream.
    pub(super) fn heed(&self, about: &AboutStream, now: u64) -> Answer<()> {
        match about {
            AboutStream::Verification { state: Some(state), .. } => {
                self.change_setup(&mut |setup| {
                    setup.verified(state, now);
                    // It does not stand still, whatever was heard of it before.
                    if setup.status.as_deref() != Some("enabled") {
                        setup.watched_at = None;
                    }
                })?;
                self.problem("verification_unanswered", None)?;
                match self.with_setup(|setup| setup.next(now))? {
                    None => self.problem("setup_failed", None),
                    Some(_) => Ok(()),
                }
            }
            // The transmitter's own idea: a sign of life, and no answer.
            AboutStream::Verification { state: None, .. } => Ok(()),
            AboutStream::Updated { status, reason, .. } => self.status_is(status, reason.clone()),
        }
    }
}
