//! What is done to a stream beside delivering its events: its configuration, status, subjects and verification, and looking
//! at it. Decisions are the transmitter's; this carries them out in one turn each.

use serde_json::Value;

use crate::delivery::answer::HoldReason;
use crate::delivery::dead_letters;
use crate::delivery::pace::Limit;
use crate::edge::clock::now_ms;
use crate::edge::command::{Answer, Health, Refusal, StreamCommand, StreamReply, StreamUpdate};
use crate::protocol::event::profile::Profile;
use crate::protocol::json::json;
use crate::protocol::metadata::DefaultSubjects;
use crate::protocol::status::Status;
use crate::protocol::stream::{Delivery, UpdateMode};
use crate::protocol::subject;
use crate::transmitter::explain::explain;
use crate::transmitter::filter::FilterError;
use crate::transmitter::live::Live;
use crate::transmitter::status::Wish;
use crate::transmitter::terms::Terms;

use super::serve::{new_jti, seconds};
use super::stream::StreamObject;

impl StreamObject {
    pub(super) async fn manage(&self, command: StreamCommand, by_receiver: bool) -> Answer<StreamReply> {
        match command {
            StreamCommand::Update { update, terms } => self.update(*update, *terms).await,
            StreamCommand::Redrive { jti } => self.redrive(jti).await,
            StreamCommand::Replay { from } => self.replay(from).await,
            StreamCommand::TakeTerms { terms } => self.take_terms(*terms),
            StreamCommand::Grant => self.shown_grant(),
            StreamCommand::RotateSecret { secret, overlap_ms } => self.rotate_secret(secret, overlap_ms).await,
            StreamCommand::Decide { action } => self.decide(action),
            StreamCommand::CallBack {
                secret,
                posted,
                rate,
                allowed,
            } => self.called_back(&secret, posted, rate.as_deref(), allowed.as_deref()),
            StreamCommand::Status => self.with(|live| Ok(shown_status(live, false))),
            StreamCommand::SetStatus { status, reason } => self.set_status(Wish { status, reason }),
            StreamCommand::AddSubject { subject, verified } => {
                self.with(|live| {
                    self.pay_for_subject(live, &subject, by_receiver)?;
                    // Under ALL adding only takes a removal back.
                    if live.stream.subject_rules().default_subjects == DefaultSubjects::None {
                        self.require_storage(live)?;
                    }
                    self.add_subject(live, "/subject", &subject, verified)
                })?;
                Ok(StreamReply::Done)
            }
            StreamCommand::RemoveSubject { subject } => {
                self.with(|live| {
                    self.pay_for_subject(live, &subject, by_receiver)?;
                    if live.stream.subject_rules().default_subjects == DefaultSubjects::All {
                        self.require_storage(live)?;
                    }
                    self.remove_subject(live, "/subject", &subject)
                })?;
                Ok(StreamReply::Done)
            }
            StreamCommand::ChangeSubjects { add, remove } => self.change_subjects(&add, &remove),
            StreamCommand::Verify { state } => self.verify(state.as_deref()),
            StreamCommand::Explain { event } => self.with(|live| {
                let hold = live.courier.hold();
                let explained = explain(&self.sql, &live.stream, &live.filter, hold.as_ref(), &event, now_ms())?;
                Ok(StreamReply::Shown(explained))
            }),
            operate @ StreamCommand::Operate { .. } => self.operate(operate),
            StreamCommand::Health => self.health(),
            StreamCommand::HandTo { wish } => self.hand_to(*wish).await,
            _ => Err(Refusal::Internal),
        }
    }

    async fn update(&self, update: StreamUpdate, terms: Terms) -> Answer<StreamReply> {
        let StreamUpdate {
            request,
            mode,
            authorization_header,
            webhook_secret,
            ..
        } = update;
        let webhook_secret = self.seal_webhook_secret(webhook_secret).await?;
        let sealed = self.seal_authorization(authorization_header).await?;
        self.with(|live| {
            let stream = &mut live.stream;
            let changed = stream.configuration.updated(&request, mode, &stream.poll_url())?;
            // Where the endpoint refused our authorization, another one is as good as another endpoint; and one that was gone
            // is there again when its receiver names it (WH-2.2-31).
            let anew = !stream.grant.permits()
                || live
                    .courier
                    .hold()
                    .is_some_and(|hold| matches!(hold.reason, HoldReason::Unauthorized | HoldReason::Gone));
            let moved = changed.delivery != stream.configuration.delivery || (anew && request.delivery.is_some());
            // SSF-8.1.1.3-10: a delivery object replaces the whole one, its secret included.
            if request.delivery.is_some() || mode == UpdateMode::Put {
                stream.sealed_authorization = sealed;
            }
            let url = |delivery: &Delivery| match delivery {
                Delivery::Push { endpoint_url, .. } => Some(endpoint_url.clone()),
                Delivery::Poll => None,
            };
            let the_same = url(&changed.delivery) == url(&stream.configuration.delivery);
            match (changed.delivery.cloudevents(), webhook_secret) {
                (None, _) => stream.webhook_secrets.clear(),
                (Some(_), Some((sealed, id))) if stream.webhook_secrets.is_empty() => {
                    stream.add_secret(sealed, id, 0, now_ms());
                }
                (Some(_), _) => {}
            }
            stream.configuration = changed;
            stream.rev += 1;
            live.take_terms(&self.sql, terms, now_ms())?;
            live.stream.save(&self.sql)?;
            if moved {
                live.moved(&self.sql, the_same, now_ms())?;
            } else {
                live.follow_consent(&self.sql, now_ms())?;
            }
            Ok(StreamReply::Stream(Box::new(live.stream.clone())))
        })
    }

    /// Another secret signs from here on.
    async fn rotate_secret(&self, secret: String, overlap_ms: u64) -> Answer<StreamReply> {
        let sealed = self.seal_webhook_secret(Some(secret)).await?;
        self.with(|live| {
            let signs = live.stream.configuration.delivery.cloudevents().is_some() || live.stream.forward.is_some();
            let (Some((sealed, id)), true) = (sealed, signs) else {
                return Err(Refusal::Conflict {
                    detail: "This stream carries SETs, which are signed with the keys of the issuer.".to_owned(),
                });
            };
            let now = now_ms();
            let old_until = live.stream.add_secret(sealed, id, overlap_ms, now);
            live.changed(&self.sql, now)?;
            Ok(StreamReply::Shown(json!({"old_until": old_until})))
        })
    }

    fn take_terms(&self, terms: Terms) -> Answer<StreamReply> {
        self.with(|live| {
            // CIP-2.6-1: a key for another algorithm may be wanted at once.
            self.key.replace(None);
            live.take_terms(&self.sql, terms, now_ms())?;
            live.stream.save(&self.sql)?;
            live.follow_consent(&self.sql, now_ms())?;
            Ok(StreamReply::Stream(Box::new(live.stream.clone())))
        })
    }

    /// The receiver wishes a status (SSF 8.1.2.2).
    fn set_status(&self, wish: Wish) -> Answer<StreamReply> {
        let jti = new_jti()?;
        self.with(|live| {
            let wished = live.receiver_wishes(&self.sql, wish, jti, now_ms())?;
            let asked = wished.map_err(|operators| Refusal::Forbidden {
                detail: format!(
                    "The operator of this transmitter has {} this stream{}.",
                    operators.status.name(),
                    operators.reason.map(|reason| format!(": {reason}")).unwrap_or_default()
                ),
            })?;
            Ok(shown_status(live, asked))
        })
    }

    fn operate(&self, wanted: StreamCommand) -> Answer<StreamReply> {
        let StreamCommand::Operate {
            status,
            default_subjects,
            window,
            on_dead,
            more_available,
            request_rate,
            legacy_origin_header,
        } = wanted
        else {
            return Err(Refusal::Internal);
        };
        let subjects = default_subjects.into_iter().next();
        self.with(|live| {
            let now = now_ms();
            // A refusal changes nothing, not even in memory: so it comes first.
            let is_interop = live.stream.terms.profile == Profile::CaepInterop;
            if is_interop && subjects == Some(Some(DefaultSubjects::None)) {
                return Err(Refusal::Conflict {
                    detail: "Receivers of the interoperability profile take all subjects to be in their stream."
                        .to_owned(),
                });
            }
            if let Some(subjects) = subjects {
                live.stream.default_subjects = Some(subjects.unwrap_or(live.stream.terms.default_subjects));
            }
            let mut choices = live.stream.choices;
            choices.window = window.into_iter().next().unwrap_or(choices.window);
            choices.on_dead = on_dead.unwrap_or(choices.on_dead);
            choices.omits_more_available = more_available.map_or(choices.omits_more_available, |says| !says);
            choices.request_rate = request_rate.into_iter().next().unwrap_or(choices.request_rate);
            choices.legacy_origin_header = legacy_origin_header.unwrap_or(choices.legacy_origin_header);
            live.choose(&self.sql, choices, now)?;
            if let Some((status, reason)) = status {
                live.operator_wishes(&self.sql, Wish { status, reason }, now)?;
            }
            Ok(())
        })?;
        self.health()
    }

    /// SSF-9.1-4: who tries subjects out is slowed down, whatever they are.
    /// A complex subject counts as many as it has members.
    fn pay_for_subject(&self, live: &mut Live, subject: &Value, by_receiver: bool) -> Answer<()> {
        if !by_receiver {
            return Ok(());
        }
        let per_minute = live.stream.terms.settings.subject_changes_per_minute;
        let members = subject::members(subject).map_or(1, |members| members.len());
        let mut pace = live.subject_pace;
        let limit = Limit::with_minutes_burst(per_minute);
        for _ in 0..members {
            pace.act(&limit, now_ms()).map_err(|wait_ms| Refusal::TooMany {
                detail: format!("This stream takes {per_minute} changes of subjects a minute."),
                retry_after_s: seconds(wait_ms),
            })?;
        }
        live.subject_pace = pace;
        Ok(())
    }

    fn require_storage(&self, live: &Live) -> Answer<()> {
        let limit_mb = live.stream.terms.settings.stream_storage_mb;
        if self.sql.size() > u64::from(limit_mb) * 1_000_000 {
            return Err(Refusal::Forbidden {
                detail: format!("This stream stores more than {limit_mb} MB, its limit: it takes no further subjects."),
            });
        }
        Ok(())
    }

    fn add_subject(&self, live: &mut Live, pointer: &str, subject: &Value, verified: bool) -> Answer<()> {
        // SSF-8.1.4.1-5: it is in the stream anyway.
        if live.stream.is_own_subject(subject) {
            return Ok(());
        }
        let rules = live.stream.subject_rules();
        live.filter
            .add(&self.sql, subject, verified, &rules, now_ms())
            .map(|_| ())
            .map_err(|error| refused(error, pointer))
    }

    fn remove_subject(&self, live: &mut Live, pointer: &str, subject: &Value) -> Answer<()> {
        // SSF-8.1.3.3-4
        if live.stream.is_own_subject(subject) {
            return Err(own_subject());
        }
        let rules = live.stream.subject_rules();
        live.filter
            .remove(&self.sql, subject, &rules, now_ms())
            .map_err(|error| refused(error, pointer))?;
        Ok(())
    }

    /// All or none: what could be refused is looked at before anything is written.
    fn change_subjects(&self, add: &[Value], remove: &[Value]) -> Answer<StreamReply> {
        self.with(|live| {
            if remove.iter().any(|subject| live.stream.is_own_subject(subject)) {
                return Err(own_subject());
            }
            let (removed, written, name) = match live.stream.subject_rules().default_subjects {
                DefaultSubjects::None => (false, add, "add"),
                DefaultSubjects::All => (true, remove, "remove"),
            };
            // What makes room is taken by a stream that is full, too.
            if !written.is_empty() {
                self.require_storage(live)?;
            }
            let room = live.filter.room_for(removed, written);
            room.map_err(|(at, error)| refused(error, &format!("/{name}/{at}")))?;
            for (at, subject) in add.iter().enumerate() {
                self.add_subject(live, &format!("/add/{at}"), subject, true)?;
            }
            for (at, subject) in remove.iter().enumerate() {
                self.remove_subject(live, &format!("/remove/{at}"), subject)?;
            }
            Ok(StreamReply::Done)
        })
    }

    /// The receiver asks for a verification event (SSF 8.1.4.2).
    fn verify(&self, state: Option<&str>) -> Answer<StreamReply> {
        let now = now_ms();
        let jti = new_jti()?;
        self.with(|live| {
            // SSF-8.1.4.2-9: a paused stream holds the event, a disabled one can neither send nor hold it.
            if live.stream.wishes.status() == Status::Disabled {
                return Err(Refusal::Invalid {
                    pointer: String::new(),
                    detail: "The stream is disabled, so no verification event can be sent.".to_owned(),
                });
            }
            let interval = live.stream.terms.settings.min_verification_interval;
            live.pulse
                .ask(&self.sql, u64::from(interval) * 1000, now)?
                .map_err(|wait_ms| Refusal::TooMany {
                    detail: format!("This stream takes one verification request in {interval} seconds."),
                    retry_after_s: seconds(wait_ms),
                })?;
            live.verify(&self.sql, state, jti, now)?;
            Ok(StreamReply::Done)
        })
    }

    fn health(&self) -> Answer<StreamReply> {
        let usage = self.meter.read(&self.alarm, &self.sql);
        self.with(|live| {
            let now = now_ms();
            let hold = live.courier.hold();
            let (status, reason) = live.stream.status(hold.as_ref());
            let waits = match live.stream.full_since {
                _ if hold.is_some() || !live.stream.grant.permits() => Some("endpoint"),
                Some(_) => Some("transmitter"),
                None => None,
            };
            live.outbox.refill(&self.sql)?;
            let tally = &live.tally;
            Ok(StreamReply::Health(Box::new(Health {
                stream: live.stream.clone(),
                status,
                reason,
                status_set_by: match (waits, live.stream.wishes.strictest()) {
                    (Some(who), (wish, _)) if wish.status == Status::Enabled => who.to_owned(),
                    (_, (_, party)) => party.name().to_owned(),
                },
                queued: live.outbox.queued(),
                hold: live.shown_hold(),
                next_wake_at: live.push_due(now),
                last_success_at: tally.last_success_at,
                last_error: tally
                    .last_error
                    .as_ref()
                    .map(|error| json!({"at": error.at, "detail": error.detail})),
                attempts: tally.attempts,
                delivered: tally.delivered,
                events_per_minute: tally.per_minute(now),
                dead_letters: dead_letters::count(&self.sql)?,
                dead_letters_dropped: dead_letters::dropped(&self.sql)?,
                usage,
                database_bytes: self.sql.size(),
            })))
        })
    }
}

fn own_subject() -> Refusal {
    Refusal::Forbidden {
        detail: "The subject of the stream itself cannot be removed.".to_owned(),
    }
}

fn shown_status(live: &Live, asked: bool) -> StreamReply {
    let (status, reason) = live.stream.status(live.courier.hold().as_ref());
    StreamReply::Status { status, reason, asked }
}

fn refused(error: FilterError, pointer: &str) -> Refusal {
    match error {
        FilterError::TooManyMembers | FilterError::NameTooLong => Refusal::Invalid {
            pointer: pointer.to_owned(),
            detail: format!("{pointer} {error}"),
        },
        FilterError::TooManyShapes => Refusal::Forbidden {
            detail: error.to_string(),
        },
        FilterError::Sql(error) => error.into(),
    }
}
