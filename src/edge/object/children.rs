//! The objects that a tenant leads: its streams and sources, and for `default` the other tenants. A change that spans objects
//! begins with a row that says so and ends with one; the alarm finishes what a crash left in between.

use crate::delivery::meta;
use crate::delivery::sql::SqlError;
use crate::edge::clock::now_ms;
use crate::edge::command::{
    Answer, NewStream, Refusal, SourceCommand, SourceReply, StreamCommand, StreamReply, StreamUpdate, TenantCommand,
    TenantReply,
};
use crate::edge::error::ApiError;
use crate::edge::settings::Settings;
use crate::edge::together::together;
use crate::protocol::client::{ClientMetadata, HandshakeUse};
use crate::protocol::endpoint_url::{EndpointUrl, UrlPolicy, registered};
use crate::protocol::oauth::Scope;
use crate::protocol::status::Status;
use crate::protocol::stream::{CloudEvents, Configuration, Delivery, UpdateMode};
use crate::protocol::tenant::TenantSettings;
use crate::transmitter::grant::Grant;
use crate::transmitter::registry::{self, Child, Kind, State};
use crate::transmitter::routes::{self, Noted};
use crate::transmitter::status::Wishes;
use crate::transmitter::stream::{Choices, Stream};
use crate::transmitter::terms::Terms;

use super::serve::{Boxed, boxed, call_failed, fault};
use super::stub::{self, ObjectStub};
use super::tenant::TenantObject;

/// A change that spans objects and is still unfinished after this was cut off by a crash.
const REPAIR_AFTER_MS: u64 = 90_000;

/// What could not be finished is tried again after this.
pub const RETRY_MS: u64 = 10_000;

/// Objects that are called at once.
pub(super) const AT_ONCE: u32 = 16;

/// Calls of this many rounds are made while somebody waits; the alarm makes the rest.
const ROUNDS: usize = 4;

impl TenantObject {
    pub(super) async fn create_stream(
        &self,
        settings: &Settings,
        tenant: String,
        new: NewStream,
    ) -> Answer<TenantReply> {
        let client = self.client_with(&new.client_id, Scope::SsfManage)?;
        let chosen = registry::settings(&self.sql)?;
        let held = registry::count_children(&self.sql, Kind::Stream, &client.client_id)?;
        let limit = chosen.streams_per_client.map_or(settings.streams_per_client, u64::from);
        if held >= limit {
            return Err(Refusal::Conflict {
                detail: format!("This client has {held} streams already; its limit is {limit}."),
            });
        }
        let policy = UrlPolicy::of_issuer(settings.allow_loopback, &new.issuer);
        let delivery = delivery(
            &chosen,
            &client.metadata,
            &policy,
            new.endpoint_url.as_deref(),
            new.cloudevents,
        )?;
        let stream_id = stub::new_id(&self.env, "STREAM").map_err(|error| call_failed(&error))?;
        let terms = Terms::new(registry::terms_rev(&self.sql)?, &chosen, &client.metadata);
        let default_subjects = terms.default_subjects;
        let configuration = Configuration {
            stream_id: stream_id.clone(),
            iss: new.issuer,
            aud: client
                .metadata
                .audience
                .ok_or_else(|| fault("client", "it has no audience"))?,
            delivery,
            events_supported: Vec::new(),
            events_delivered: Vec::new(),
            events_requested: new.events_requested,
            description: new.description,
            min_verification_interval: terms.min_verification_interval(),
            inactivity_timeout: terms.inactivity_timeout(),
        };
        let stream = Stream {
            tenant,
            client_id: client.client_id.clone(),
            configuration: configuration.with_supported(&terms.events),
            sealed_authorization: None,
            webhook_secrets: Vec::new(),
            terms,
            // SSF-8.1.1-21
            wishes: Wishes::default(),
            announced: Status::Enabled,
            // SSF-7.1-14, SSF-7.1-15: what a new stream starts with; a later change of the tenant's is for later streams.
            default_subjects: Some(default_subjects),
            choices: Choices::default(),
            forward: None,
            grant: Grant::default(),
            full_since: None,
            created_at: now_ms(),
            rev: 1,
        };
        let child = Child {
            id: stream_id,
            kind: Kind::Stream,
            state: State::Pending,
            owner: client.client_id,
            label: stream.configuration.delivery.method().to_owned(),
            created_at: stream.created_at,
        };
        let command = StreamCommand::Create {
            stream: Box::new(stream.clone()),
            authorization_header: new.authorization_header,
            webhook_secret: new.webhook_secret,
        };
        let object = self.stream_object(&stream.tenant, &child.id)?;
        let requested = stream.configuration.events_requested.as_deref();
        let created = self.create_child(
            &child,
            requested,
            boxed(async { Ok(object.tell(command).await?.map(|_| ())) }),
        );
        match created.await {
            // Its client is gone, and then no token of it is good for anything.
            Err(Refusal::Gone) => Err(Refusal::UnknownClient),
            created => created.map(|()| TenantReply::Stream(Box::new(stream))),
        }
    }

    /// Changes what the receiver may change. Routes are widened before the stream knows, and narrowed when it does.
    pub(super) async fn update_stream(
        &self,
        settings: &Settings,
        tenant: &str,
        mut update: StreamUpdate,
    ) -> Answer<TenantReply> {
        let client = self.client_with(&update.client_id, Scope::SsfManage)?;
        let stream_id = update.request.stream_id.clone();
        let child = registry::child(&self.sql, Kind::Stream, &stream_id)?;
        let child = child
            .filter(|child| child.owner == client.client_id && child.state == State::Active)
            .ok_or(Refusal::NotFound)?;
        let chosen = registry::settings(&self.sql)?;
        let endpoint = match (&update.request.delivery, update.mode) {
            (Some(Delivery::Push { endpoint_url, .. }), _) => Some(Some(endpoint_url.as_str())),
            (Some(Delivery::Poll), _) | (None, UpdateMode::Put) => Some(None),
            (None, UpdateMode::Patch) => None,
        };
        if let Some(endpoint) = endpoint {
            let policy = UrlPolicy::of_issuer(settings.allow_loopback, &update.issuer);
            let cloudevents = update
                .request
                .delivery
                .as_ref()
                .and_then(Delivery::cloudevents)
                .copied();
            let delivery = delivery(&chosen, &client.metadata, &policy, endpoint, cloudevents)?;
            update.request.delivery = update.request.delivery.map(|_| delivery);
        }
        let widens = update.request.events_requested.is_some() || update.mode == UpdateMode::Put;
        let rev = if widens {
            self.alarm.arm(&self.state, now_ms() + REPAIR_AFTER_MS).await;
            routes::widen(&self.sql, &stream_id, update.request.events_requested.as_deref())?;
            routes::put_behind(&self.sql, &stream_id)?
        } else {
            registry::terms_rev(&self.sql)?
        };
        let object = self.stream_object(tenant, &stream_id)?.on_behalf_of(&client.client_id);
        let command = StreamCommand::Update {
            update: Box::new(update),
            terms: Box::new(Terms::new(rev, &chosen, &client.metadata)),
        };
        match object.tell(command).await.map_err(|error| call_failed(&error))? {
            Ok(StreamReply::Stream(stream)) => {
                self.note_stream(&stream)?;
                Ok(TenantReply::Stream(stream))
            }
            Ok(_) => Err(fault("stream", "an unexpected reply")),
            Err(refusal) => {
                // Nothing changed there, so nothing is wanted beyond what was: else refused requests would pile up routes.
                if widens {
                    let _ = self.tell_one(tenant, &child).await;
                }
                Err(refusal)
            }
        }
    }

    /// To be asked after every await: a tenant that was deleted meanwhile has no tables any more.
    pub(super) fn still_there(&self) -> Answer<()> {
        if self.gone.get() { Err(Refusal::Gone) } else { Ok(()) }
    }

    fn note_stream(&self, stream: &Stream) -> Answer<()> {
        self.still_there()?;
        let configuration = &stream.configuration;
        let noted = Noted {
            stream_id: &configuration.stream_id,
            method: configuration.delivery.method(),
            requested: configuration.events_requested.as_deref(),
            terms_rev: stream.terms.rev,
            stream_rev: stream.rev,
        };
        Ok(routes::note(&self.sql, &noted)?)
    }

    /// Tells the streams that are behind their terms: the first ones now, the others by the alarm.
    pub(super) async fn tell_terms(&self) -> Answer<()> {
        self.alarm.arm(&self.state, now_ms() + REPAIR_AFTER_MS).await;
        let tenant = registry::name(&self.sql)?;
        let mut last = String::new();
        let mut failed = false;
        for _ in 0..ROUNDS {
            self.still_there()?;
            let behind = routes::behind(&self.sql, &last, AT_ONCE)?;
            let Some(end) = behind.last() else {
                if failed {
                    self.alarm.arm(&self.state, now_ms() + RETRY_MS).await;
                }
                return Ok(());
            };
            // One that fails does not hold the others up.
            last.clone_from(&end.id);
            let told = together(behind.iter().map(|child| self.tell_one(&tenant, child))).await;
            failed |= told.iter().any(Result::is_err);
        }
        self.alarm
            .arm(&self.state, now_ms() + if failed { RETRY_MS } else { 1 })
            .await;
        Ok(())
    }

    async fn tell_one(&self, tenant: &str, child: &Child) -> Answer<()> {
        let rev = registry::terms_rev(&self.sql)?;
        let terms = self.terms_of(&child.owner, rev)?;
        let command = StreamCommand::TakeTerms { terms: Box::new(terms) };
        let answer = self.stream_object(tenant, &child.id)?.tell(command).await;
        match answer.map_err(|error| call_failed(&error))?? {
            StreamReply::Stream(stream) => self.note_stream(&stream),
            _ => Err(fault("stream", "an unexpected reply")),
        }
    }

    /// Begins with a row, creates the object, ends with the row. A crash in between leaves a row that repair deletes: nobody
    /// was told of the object.
    pub(super) async fn create_child(
        &self,
        child: &Child,
        requested: Option<&[String]>,
        create: Boxed<'_, Result<Answer<()>, ApiError>>,
    ) -> Answer<()> {
        let life = self.life.get();
        let tenant = registry::name(&self.sql)?;
        // Armed before the first row: whatever is left in the middle from here on is found.
        self.alarm.arm(&self.state, now_ms() + REPAIR_AFTER_MS).await;
        self.busy.borrow_mut().insert(child.id.clone());
        let begun = registry::begin_child(&self.sql, child, requested);
        let created = match begun {
            Ok(()) => create
                .await
                .map_err(|error| call_failed(&error))
                .and_then(|answer| answer),
            Err(error) => Err(error.into()),
        };
        self.busy.borrow_mut().remove(&child.id);
        created?;
        let same_life = !self.gone.get() && life == self.life.get();
        if same_life && registry::activate(&self.sql, &child.id)? {
            return Ok(());
        }
        // Its client or tenant was deleted meanwhile, perhaps before the object was there to be deleted.
        let deleted = self.delete_object(&tenant, child).await;
        if same_life && !self.gone.get() && deleted? {
            registry::remove_child(&self.sql, &child.id)?;
        }
        Err(Refusal::Gone)
    }

    /// Deletes a child; with an owner, if it is the owner's. `Begun` when that takes longer than a caller should wait.
    pub(super) async fn delete_child(&self, kind: Kind, id: &str, owner: Option<&str>) -> Answer<TenantReply> {
        let child = registry::child(&self.sql, kind, id)?
            .filter(|child| owner.is_none_or(|owner| child.owner == owner))
            .ok_or(Refusal::NotFound)?;
        if kind == Kind::Source {
            self.alarm.arm(&self.state, now_ms() + REPAIR_AFTER_MS).await;
        }
        // From here on nothing is made for it any more.
        registry::set_state(&self.sql, id, State::Deleting)?;
        if kind == Kind::Source {
            boxed(self.delete_forwards(id)).await?;
        }
        if !self.busy.borrow_mut().insert(id.to_owned()) {
            // Somebody is at it, or it is just being made: whoever that is, or repair, ends it.
            return Ok(TenantReply::Begun);
        }
        let tenant = registry::name(&self.sql)?;
        self.alarm.arm(&self.state, now_ms() + REPAIR_AFTER_MS).await;
        let deleted = self.delete_object(&tenant, &child).await;
        self.busy.borrow_mut().remove(id);
        let deleted = deleted?;
        if self.gone.get() {
            return Ok(TenantReply::Done);
        }
        if deleted {
            registry::remove_child(&self.sql, id)?;
            return Ok(TenantReply::Done);
        }
        self.alarm.arm(&self.state, now_ms() + begun_again(kind)).await;
        Ok(TenantReply::Begun)
    }

    /// Deletes a client and its streams: those that cannot be deleted now, repair deletes.
    pub(super) async fn delete_client(&self, client_id: &str) -> Answer<TenantReply> {
        self.alarm.arm(&self.state, now_ms() + REPAIR_AFTER_MS).await;
        let tenant = registry::name(&self.sql)?;
        let streams = registry::remove_client(&self.sql, client_id)?;
        for some in streams.chunks(AT_ONCE as usize) {
            let deleted = together(some.iter().map(|stream| self.delete_object(&tenant, stream))).await;
            self.still_there()?;
            for (stream, deleted) in some.iter().zip(deleted) {
                if deleted.is_ok() {
                    registry::remove_child(&self.sql, &stream.id)?;
                }
            }
        }
        Ok(TenantReply::Done)
    }

    /// Whether the object is gone now. Gone already is as good.
    pub(super) async fn delete_object(&self, tenant: &str, child: &Child) -> Answer<bool> {
        let answer: Result<Answer<bool>, ApiError> = match child.kind {
            Kind::Stream => {
                boxed(self.forget_forward(tenant, child)).await?;
                let object = self.stream_object(tenant, &child.id)?;
                let answer = object.tell(StreamCommand::Delete).await;
                answer.map(|answer| answer.map(|_| true))
            }
            Kind::Source => {
                let object = stub::by_id(&self.env, "SOURCE", &child.id, Some(tenant));
                let object = object.map_err(|error| call_failed(&error))?;
                let answer = object.tell(SourceCommand::Delete).await;
                answer.map(|answer| answer.map(|reply| !matches!(reply, SourceReply::Begun)))
            }
            Kind::Tenant => {
                let object = stub::tenant(&self.env, &child.id).map_err(|error| call_failed(&error))?;
                let answer = object.tell(TenantCommand::Close).await;
                answer.map(|answer| answer.map(|reply| matches!(reply, TenantReply::Done)))
            }
        };
        match answer.map_err(|error| call_failed(&error))? {
            Err(Refusal::Gone) => Ok(true),
            answer => answer,
        }
    }

    /// Ends what a crash left unfinished: half-made and half-deleted children both go, and streams that are behind are told.
    pub(super) async fn repair(&self) -> Result<(), SqlError> {
        // A tenant that is being deleted is driven by `default`.
        if self.gone.get() || !meta::exists(&self.sql)? || registry::is_closing(&self.sql)? {
            return Ok(());
        }
        meta::migrate(&self.sql, registry::MIGRATIONS)?;
        let tenant = registry::name(&self.sql)?;
        let mut again = None;
        for left_over in registry::unfinished(&self.sql)? {
            // Looked at anew: while another child was being deleted this one may have been completed.
            let child = registry::child(&self.sql, left_over.kind, &left_over.id)?;
            let Some(child) = child.filter(|child| child.state != State::Active) else {
                continue;
            };
            if !self.busy.borrow_mut().insert(child.id.clone()) {
                again = Some(RETRY_MS);
                continue;
            }
            let forwards = match child.kind {
                Kind::Source => boxed(self.delete_forwards(&child.id)).await,
                _ => Ok(()),
            };
            let deleted = match forwards {
                Ok(()) => self.delete_object(&tenant, &child).await,
                Err(refusal) => Err(refusal),
            };
            self.busy.borrow_mut().remove(&child.id);
            if self.gone.get() {
                return Ok(());
            }
            match deleted {
                Ok(true) => registry::remove_child(&self.sql, &child.id)?,
                Ok(false) => again = Some(begun_again(child.kind)),
                Err(_) => again = Some(RETRY_MS),
            }
        }
        if !routes::behind(&self.sql, "", 1)?.is_empty() && self.tell_terms().await.is_err() {
            again = Some(RETRY_MS);
        }
        if let Some(wait) = again {
            self.alarm.arm(&self.state, now_ms() + wait).await;
        }
        Ok(())
    }

    pub(super) fn stream_object(&self, tenant: &str, stream_id: &str) -> Answer<ObjectStub> {
        stub::by_id(&self.env, "STREAM", stream_id, Some(tenant)).map_err(|error| call_failed(&error))
    }
}

/// What was begun goes on after this. A source waits for somebody else, the others for themselves.
fn begun_again(kind: Kind) -> u64 {
    match kind {
        Kind::Source => RETRY_MS,
        // Its sources may be what it waits for.
        Kind::Tenant => 1000,
        Kind::Stream => 1,
    }
}

/// How a stream is delivered; without an endpoint by poll. Nobody is pushed to who did not agree: an endpoint that is not
/// registered for its client is asked, unless the client may have registered ones only (design 5).
fn delivery(
    settings: &TenantSettings,
    client: &ClientMetadata,
    policy: &UrlPolicy,
    endpoint_url: Option<&str>,
    cloudevents: Option<CloudEvents>,
) -> Answer<Delivery> {
    let delivery = match endpoint_url {
        None => Delivery::Poll,
        Some(endpoint_url) => {
            let invalid = |detail: String| Refusal::Invalid {
                pointer: "/delivery/endpoint_url".to_owned(),
                detail,
            };
            let url = EndpointUrl::parse(endpoint_url, policy)
                .map_err(|error| invalid(format!("/delivery/endpoint_url {error}")))?;
            if client.handshake == HandshakeUse::Never && !registered(&url, &client.push_endpoints) {
                return Err(invalid(
                    "/delivery/endpoint_url is not among the push endpoints registered for this client, and no other is taken"
                        .to_owned(),
                ));
            }
            Delivery::Push {
                endpoint_url: url.as_str().to_owned(),
                authorization_header: None,
                cloudevents,
            }
        }
    };
    // SSF-8.1.1.1-10: requested or assumed.
    let supported = &settings.delivery_methods_supported;
    if !supported.iter().any(|method| method == delivery.method()) {
        return Err(Refusal::Invalid {
            pointer: "/delivery/method".to_owned(),
            detail: format!("/delivery/method must be one of: {}", supported.join(", ")),
        });
    }
    Ok(delivery)
}
