//! The steps of a source's set-up as they are performed.

use serde_json::Value;

use crate::edge::clock::now_ms;
use crate::edge::command::{Answer, Refusal};
use crate::edge::log::{self, Level};
use crate::edge::random;
use crate::edge::together::together;
use crate::protocol::endpoint_url::EndpointUrl;
use crate::protocol::json::json;
use crate::receiver::remote::{self, Endpoints, RemoteStream, Trouble, Wanted, read_stream, stream_id, streams};
use crate::receiver::setup::{self, STEPS, Setup, StepState};
use crate::receiver::source::Source;
use crate::receiver::{wanted, watch};

use super::serve::boxed;
use super::source::{SourceObject, fetch_metadata, remote_policy};

/// Subjects that are asked for at once; after some rounds the other work has its turn.
const AT_ONCE: u32 = 6;
const ROUNDS: u32 = 4;

/// So many failures in a row, of a step or of polls, are a problem, though the next try may help.
pub(super) const FAILING: u32 = 3;

type Ended = Result<(StepState, Option<String>), Trouble>;

pub(super) fn ours(_: Refusal) -> Trouble {
    Trouble::later("a fault of this service: its log says which")
}

fn done() -> Ended {
    Ok((StepState::Done, None))
}

impl SourceObject {
    /// Performs the step whose turn it is. Returns when the next one is due.
    pub(super) async fn set_up(&self) -> Answer<Option<u64>> {
        let source = self.source()?;
        if !source.is_managed() {
            return Ok(None);
        }
        let began = now_ms();
        let Some((step, due)) = self.with_setup(|setup| setup.next(began))? else {
            self.forget_former_header(&source).await?;
            return Ok(None);
        };
        if due > began {
            return Ok(Some(due));
        }
        let turn = self.turn.get();
        match step {
            // Whoever deletes the source has to know that there may be a stream.
            setup::STREAM => self.change_setup(&mut |setup| setup.begin(step, began))?,
            // What is done in a moment, and harmless to repeat, needs no row that says it began.
            _ => self.with_setup(|setup| setup.begin(step, began))?,
        }
        self.bell.ring();
        let ended = match step {
            setup::DISCOVERY => boxed(self.discover(&source)).await,
            setup::KEYS => boxed(self.get_keys()).await,
            setup::TOKEN => boxed(self.get_token()).await,
            setup::STREAM => {
                self.making.set(true);
                let ended = boxed(self.get_stream(&source)).await;
                self.making.set(false);
                ended
            }
            setup::SUBJECTS => boxed(self.get_subjects()).await,
            _ => boxed(self.get_verified(turn)).await,
        };
        self.source()?;
        let now = now_ms();
        if turn != self.turn.get() {
            return Ok(Some(now));
        }
        let name = STEPS.get(step).copied().unwrap_or_default();
        let line =
            json!({"source_id": source.source_id, "step": name, "detail": ended.as_ref().err().map(Trouble::detail)});
        log::line(Level::Info, "setup_step", line);
        match ended {
            Ok((StepState::Waiting, detail)) => {
                let until = now + self.settings()?.remote.watch.answer_ms;
                let detail = detail.unwrap_or_default();
                self.change_setup(&mut |setup| {
                    // The answer may have come before this.
                    if !setup.is_over(step) {
                        setup.wait(step, &detail, until, now);
                    }
                })?;
                // What was asked for was taken: nothing fails any more.
                self.problem("setup_failed", None)?;
            }
            Ok((state, detail)) => {
                self.change_setup(&mut |setup| setup.end(step, state, detail.clone(), now))?;
                self.problem("setup_failed", None)?;
                match step {
                    setup::STREAM => self.problem("stream_gone", None)?,
                    // It came, or there is nobody who could be asked for it.
                    setup::VERIFICATION => self.problem("verification_unanswered", None)?,
                    _ => {}
                }
            }
            Err(trouble) => {
                let settings = self.settings()?;
                let failures = self.with_setup(|setup| setup.attempts(step))? + 1;
                let retry = settings.delivery.courier.retry;
                let wait = retry.backoff_ms(failures, random::draw()).max(retry.base_ms / 2);
                let again_ms = settings.remote.again_ms;
                self.change_setup(&mut |setup| setup.fail(step, &trouble, wait, again_ms, now))?;
                let lasting = !matches!(trouble, Trouble::Later { .. });
                // Whoever fetches the keys says so himself.
                if (lasting || failures >= FAILING) && step != setup::KEYS {
                    let code = match &trouble {
                        Trouble::Unauthorized(_) => "token_refused",
                        _ => "setup_failed",
                    };
                    self.problem(code, Some(&format!("{name}: {}", trouble.detail())))?;
                }
            }
        }
        let now = now_ms();
        Ok(self.with_setup(|setup| setup.next(now))?.map(|(_, due)| due))
    }

    /// From this step on everything is done again.
    pub(super) async fn repeat_from(&self, step: usize) -> Answer<()> {
        self.begin_again(step)?;
        self.nudge().await;
        Ok(())
    }

    /// The same, written down and not begun: part of a change that must not be half done.
    pub(super) fn begin_again(&self, step: usize) -> Answer<()> {
        self.turn.set(self.turn.get() + 1);
        if step <= setup::TOKEN {
            self.token.replace(None);
        }
        self.watch_again.set(0);
        self.change_setup(&mut |setup| {
            if step == setup::DISCOVERY {
                (setup.token_endpoint, setup.scope) = (None, None);
            }
            setup.repeat_from(step);
        })
    }

    /// SSF-7.2: the metadata, and that everything it leads to may be called.
    async fn discover(&self, source: &Source) -> Ended {
        let policy = remote_policy(&*self.settings().map_err(ours)?);
        let metadata = fetch_metadata(source, &policy).await?;
        let method = if source.managed.poll {
            remote::POLL
        } else {
            remote::PUSH
        };
        let endpoints = Endpoints::of(metadata, method).map_err(Trouble::Refused)?;
        let urls = [
            Some(&endpoints.configuration),
            endpoints.status.as_ref(),
            endpoints.add_subject.as_ref(),
            endpoints.remove_subject.as_ref(),
            endpoints.verification.as_ref(),
        ];
        for url in urls.into_iter().flatten() {
            let checked = EndpointUrl::parse(url, &policy);
            checked
                .map_err(|error| Trouble::Refused(format!("the transmitter's metadata names {url}, which {error}")))?;
        }
        self.source().map_err(ours)?;
        self.with_setup(|setup| setup.endpoints = Some(endpoints))
            .map_err(ours)?;
        done()
    }

    async fn get_keys(&self) -> Ended {
        self.fetch_keys(now_ms()).await?;
        done()
    }

    async fn get_token(&self) -> Ended {
        let token = self.access_token().await?;
        Ok((
            StepState::Done,
            token.renew_at.is_none().then(|| "the token was given".to_owned()),
        ))
    }

    pub(super) fn endpoints(&self) -> Result<Endpoints, Trouble> {
        let endpoints = self.with_setup(|setup| setup.endpoints.clone()).map_err(ours)?;
        endpoints.ok_or_else(|| Trouble::later("discovery has to come first"))
    }

    /// Takes the stream that is ours, or makes one. After an answer that was lost the one that it was about is found in the list
    /// (SSF-8.1.1.1-15).
    async fn get_stream(&self, source: &Source) -> Ended {
        let endpoints = self.endpoints()?;
        let (header, url) = if source.managed.poll {
            (None, None)
        } else {
            (
                Some(self.authorization_header().await?),
                Some(self.receive_url(source).map_err(ours)?),
            )
        };
        let (events, description) = (source.managed.events(), source.stream_description());
        let wanted = Wanted {
            endpoint_url: url.as_deref(),
            authorization_header: header.as_deref(),
            events_requested: &events,
            description: &description,
        };
        if let Some(stream_id) = self.known_stream()?.or_else(|| source.managed.stream_id.clone()) {
            match self.adopt(source, &endpoints, &stream_id, &wanted).await {
                Err(Trouble::Gone(detail)) if source.managed.stream_id.is_some() => {
                    return Err(Trouble::Refused(detail));
                }
                Err(Trouble::Gone(_)) => {}
                adopted => return adopted,
            }
        }
        let listed = self.listed(&endpoints).await?;
        if let Some(stream_id) = listed.iter().find(|stream| wanted.owns(stream)).and_then(stream_id) {
            return self.adopt(source, &endpoints, &stream_id, &wanted).await;
        }
        // Whoever deletes the source has to hear of all that was made.
        self.source().map_err(ours)?;
        match self.manage(&endpoints.create(&wanted)).await {
            Ok(None) => Err(Trouble::later(
                "the transmitter took the request for a stream and shows none yet",
            )),
            Ok(Some(created)) => {
                let stream = read_stream(&created, &source.issuer, &source.audience);
                match stream.and_then(|stream| wanted.leads_to_us(&created).map(|()| stream)) {
                    Ok(stream) => {
                        let delivered = wanted.delivered(&created);
                        self.have_stream(source, &endpoints, stream, delivered).await
                    }
                    Err(detail) => {
                        // SSF-8.1.1.1-3: what was made just now, and is not what it should be, does not stay.
                        if let Some(stream_id) = stream_id(&created) {
                            let _ = self.manage(&endpoints.delete(&stream_id)).await;
                        }
                        Err(Trouble::Refused(detail))
                    }
                }
            }
            // SSF-8.1.1.1-6: only one is allowed, and that one is there.
            Err(Trouble::Conflict(detail)) => match self.listed(&endpoints).await?.as_slice() {
                [only] => match stream_id(only) {
                    Some(stream_id) => self.adopt(source, &endpoints, &stream_id, &wanted).await,
                    None => Err(Trouble::Refused(detail)),
                },
                _ => Err(Trouble::Refused(format!(
                    "{detail}; which stream to take is not clear: name it as stream_id"
                ))),
            },
            Err(trouble) => Err(trouble),
        }
    }

    async fn listed(&self, endpoints: &Endpoints) -> Result<Vec<Value>, Trouble> {
        let heard = self.heard(&endpoints.list()).await?;
        match heard.hear() {
            // Some answer so when there is none, or with nothing at all.
            Ok(None) if heard.body.trim_ascii().is_empty() => Ok(Vec::new()),
            Err(Trouble::Gone(_)) => Ok(Vec::new()),
            Ok(body) => streams(body),
            Err(trouble) => Err(trouble),
        }
    }

    /// Takes a stream that is there, and gives it our members.
    async fn adopt(&self, source: &Source, endpoints: &Endpoints, stream_id: &str, wanted: &Wanted<'_>) -> Ended {
        let read = |found: &Value| {
            let stream = read_stream(found, &source.issuer, &source.audience);
            let stream = stream.map_err(Trouble::Refused)?;
            match stream.stream_id == stream_id {
                true => Ok(stream),
                false => Err(Trouble::Refused(
                    "the transmitter answered with another stream".to_owned(),
                )),
            }
        };
        // Whose it is comes before any change of it.
        read(&self.manage(&endpoints.read(stream_id)).await?.unwrap_or_default())?;
        let (changed, not_us): (_, fn(String) -> Trouble) =
            match self.manage(&endpoints.patch(stream_id, wanted)).await? {
                // SSF-8.1.1.3: a change that was taken may be shown later.
                None => (
                    self.manage(&endpoints.read(stream_id)).await?.unwrap_or_default(),
                    Trouble::later,
                ),
                Some(changed) => (changed, Trouble::Refused),
            };
        let stream = read(&changed)?;
        wanted.leads_to_us(&changed).map_err(not_us)?;
        let delivered = wanted.delivered(&changed);
        self.have_stream(source, endpoints, stream, delivered).await
    }

    /// A stream that may have been made for us, without our having heard of it.
    pub(super) async fn find_unheard(&self, source: &Source, endpoints: &Endpoints) -> Result<Option<String>, Trouble> {
        let url = match source.managed.poll {
            true => None,
            false => Some(self.receive_url(source).map_err(ours)?),
        };
        let description = source.stream_description();
        let wanted = Wanted {
            endpoint_url: url.as_deref(),
            authorization_header: None,
            events_requested: &[],
            description: &description,
        };
        let listed = self.listed(endpoints).await?;
        Ok(listed.iter().find(|stream| wanted.owns(stream)).and_then(stream_id))
    }

    /// `delivered`: how many of the requested types of events, where the transmitter says so.
    async fn have_stream(
        &self,
        source: &Source,
        endpoints: &Endpoints,
        stream: RemoteStream,
        delivered: Option<usize>,
    ) -> Ended {
        if source.managed.poll {
            let policy = remote_policy(&*self.settings().map_err(ours)?);
            let url = stream.poll_url.as_deref();
            let url = url.ok_or_else(|| Trouble::Refused("the stream has no URL to poll".to_owned()))?;
            let checked = EndpointUrl::parse(url, &policy);
            checked.map_err(|error| Trouble::Refused(format!("the stream's URL to poll {error}")))?;
        }
        let known = self.known_stream()?;
        let is_new = known.as_ref() != Some(&stream.stream_id);
        if is_new {
            wanted::start_over(&self.sql).map_err(|error| ours(error.into()))?;
        }
        let keep = |setup: &mut Setup| {
            setup.stream = Some(stream.clone());
            (setup.former, setup.watched_at) = (None, None);
            if is_new {
                (setup.status, setup.reason) = (None, None);
                setup.expected.clear();
            }
        };
        self.change_setup(&mut { keep }).map_err(ours)?;
        if is_new {
            self.forget_problems_of_stream().map_err(ours)?;
        }
        self.poller.borrow_mut().start_over();
        if let Some(former) = known.filter(|_| is_new) {
            // It was not found any more; should it come back, it would carry every event a second time.
            let _ = self.manage(&endpoints.delete(&former)).await;
            self.source().map_err(ours)?;
        }
        let requested = source.managed.events().len();
        let missing = delivered.filter(|delivered| *delivered < requested);
        let detail =
            missing.map(|delivered| format!("{delivered} of the {requested} requested types of events are delivered"));
        // With the types of old the names may differ.
        let is_none = missing == Some(0) && !source.managed.legacy.event_uris;
        let problem = detail.as_deref().filter(|_| is_none);
        self.problem("events_refused", problem).map_err(ours)?;
        Ok((StepState::Done, detail))
    }

    /// Adds and removes subjects until none waits, some at once.
    async fn get_subjects(&self) -> Ended {
        let endpoints = self.endpoints()?;
        let stream_id = self.stream_id()?;
        let stored = |error: crate::delivery::sql::SqlError| ours(error.into());
        for _ in 0..ROUNDS {
            let due = wanted::due(&self.sql, AT_ONCE).map_err(stored)?;
            if due.is_empty() {
                break;
            }
            let asked = due.iter().map(async |due| {
                let plan = match due.remove {
                    true => endpoints.remove_subject(&stream_id, &due.subject),
                    false => endpoints.add_subject(&stream_id, &due.subject),
                };
                let Some(plan) = plan else {
                    return Err(Trouble::Refused("the transmitter has no endpoint for that".to_owned()));
                };
                self.manage(&plan).await
            });
            let answers = together(asked).await;
            self.source().map_err(ours)?;
            let (mut trouble, mut is_there) = (None, false);
            for (due, answer) in due.iter().zip(answers) {
                let settled = match answer {
                    // There already, or not there any more: as it should be.
                    Ok(_) | Err(Trouble::Conflict(_)) => wanted::settle(&self.sql, due, None),
                    Err(Trouble::Gone(_)) if due.remove => wanted::settle(&self.sql, due, None),
                    Err(refusal @ (Trouble::Refused(_) | Trouble::Gone(_))) => {
                        // Of a stream that is gone it says nothing about the subject.
                        if matches!(refusal, Trouble::Gone(_)) && !is_there {
                            self.is_there(&stream_id, refusal.clone()).await?;
                            is_there = true;
                        }
                        wanted::settle(&self.sql, due, Some(refusal.detail()))
                    }
                    Err(other) => {
                        trouble = Some(other);
                        Ok(())
                    }
                };
                settled.map_err(stored)?;
            }
            if let Some(trouble) = trouble {
                return Err(trouble);
            }
        }
        let waiting = wanted::waiting(&self.sql).map_err(stored)?;
        if waiting > 0 {
            return Ok((StepState::Doing, Some(format!("{waiting} subjects wait"))));
        }
        let refused = wanted::refused(&self.sql).map_err(stored)?;
        let detail = (refused > 0).then(|| format!("the transmitter refused {refused} subjects"));
        self.problem("subjects_refused", detail.as_deref()).map_err(ours)?;
        Ok((StepState::Done, detail))
    }

    /// The stream that we have, or had last.
    fn known_stream(&self) -> Result<Option<String>, Trouble> {
        let known = self.with_setup(|setup| setup.stream_id().or(setup.former.as_deref()).map(str::to_owned));
        known.map_err(ours)
    }

    pub(super) fn stream_id(&self) -> Result<String, Trouble> {
        let known = self.with_setup(|setup| setup.stream_id().map(str::to_owned));
        known
            .map_err(ours)?
            .ok_or_else(|| Trouble::later("there is no stream yet"))
    }

    async fn get_verified(&self, turn: u32) -> Ended {
        let now = now_ms();
        let rules = self.settings().map_err(ours)?.remote.watch;
        let silent = self
            .with_setup(|setup| watch::silence_at(setup, &rules))
            .map_err(ours)?;
        if silent.is_some_and(|at| at <= now) {
            self.silence().map_err(ours)?;
        }
        let wait = self
            .with_setup(|setup| watch::may_verify_in(setup, now))
            .map_err(ours)?;
        if wait > 0 {
            return Err(Trouble::Later {
                detail: "the transmitter does not want to be asked so soon again".to_owned(),
                not_before: Some(now + wait),
            });
        }
        match self.ask_for_verification().await? {
            None => Ok((
                StepState::Skipped,
                Some("the transmitter has no verification endpoint".to_owned()),
            )),
            Some(state) if turn == self.turn.get() => {
                let came = self.with_setup(|setup| !setup.expects(&state, now)).map_err(ours)?;
                match came {
                    true => done(),
                    false => Ok((
                        StepState::Waiting,
                        Some("the verification event was asked for".to_owned()),
                    )),
                }
            }
            Some(_) => done(),
        }
    }
}
