//! Where the events of sources go on to: the tenant makes, changes and deletes the streams that hand them on. Such a stream is
//! a child like any other, whose owner is the source; what a crash leaves of it half made goes again, and the source is told.

use serde_json::Value;

use crate::edge::clock::now_ms;
use crate::edge::command::{
    Answer, NewForward, Refusal, SourceChange, SourceCommand, SourceReply, StreamCommand, TenantReply,
};
use crate::edge::crypto;
use crate::edge::settings::Settings;
use crate::protocol::endpoint_url::UrlPolicy;
use crate::protocol::forward::{Forward, Wish};
use crate::protocol::stream::PUSH;
use crate::receiver::cloudevents::{SECRET_PLACE, SourceSecret};
use crate::receiver::source::Source;
use crate::transmitter::forward::New;
use crate::transmitter::registry::{self, Child, Kind, State};
use crate::transmitter::terms::Terms;

use super::serve::{boxed, call_failed, fault};
use super::source::remote_policy;
use super::stub::{self, ObjectStub};
use super::tenant::TenantObject;

impl TenantObject {
    /// Changes where the events of a source go on to, one caller at a time: two would make two streams, and one of them would be
    /// nobody's.
    pub(super) async fn change_source(&self, settings: &Settings, change: SourceChange) -> Answer<TenantReply> {
        let turn = format!("{} forward", change.source_id);
        if !self.busy.borrow_mut().insert(turn.clone()) {
            return Err(Refusal::Conflict {
                detail: "Where the events of this source go on to is just being changed.".to_owned(),
            });
        }
        let changed = boxed(self.change_forward(settings, change)).await;
        self.busy.borrow_mut().remove(&turn);
        changed
    }

    /// Changes a source whose events go on to somewhere else from here on, or nowhere. What could be refused is looked at
    /// before anything changes.
    async fn change_forward(&self, settings: &Settings, change: SourceChange) -> Answer<TenantReply> {
        let SourceChange {
            source_id,
            patch,
            forward,
        } = change;
        let tenant = registry::name(&self.sql)?;
        let known = registry::child(&self.sql, Kind::Source, &source_id)?;
        known
            .filter(|child| child.state == State::Active)
            .ok_or(Refusal::NotFound)?;
        let object = self.source_object(&tenant, &source_id)?;
        let SourceReply::View(view) = object
            .tell(SourceCommand::View)
            .await
            .map_err(|error| call_failed(&error))??
        else {
            return Err(fault("source", "an unexpected reply"));
        };
        if !patch.is_null() {
            view.source.patched(&patch, &remote_policy(settings))?;
        }
        let stands = registry::children(&self.sql, Kind::Stream, Some(&source_id))?;
        // One that was cut off while it was made is as good as none.
        let now_to = view.source.forward.clone();
        let now_to = now_to.filter(|now_to| stands.iter().any(|child| child.id == now_to.stream_id));
        let policy = UrlPolicy::of_issuer(settings.allow_loopback, &forward.issuer);
        let wish = match &forward.forward {
            Value::Null => None,
            value => Some(Wish::parse(value, now_to.as_ref(), &policy)?),
        };
        if !patch.is_null() {
            let command = SourceCommand::Change { patch };
            object.tell(command).await.map_err(|error| call_failed(&error))??;
        }
        let is_new = wish.is_some() && now_to.is_none();
        match (wish, now_to) {
            (None, None) => {
                if let Some(dead) = view.source.forward {
                    tell_source(&object, None, Some(dead.stream_id)).await?;
                }
            }
            (None, Some(now_to)) => {
                self.delete_child(Kind::Stream, &now_to.stream_id, Some(&source_id))
                    .await?;
            }
            (Some(wish), None) => boxed(self.create_forward(&tenant, &view.source, wish, forward)).await?,
            (Some(wish), Some(now_to)) => {
                let known = Forward {
                    endpoint_url: wish.endpoint_url.clone(),
                    envelope: wish.envelope,
                    ..now_to
                };
                let stream = self.stream_object(&tenant, &known.stream_id)?;
                let command = StreamCommand::HandTo { wish: Box::new(wish) };
                stream.tell(command).await.map_err(|error| call_failed(&error))??;
                tell_source(&object, Some(known), None).await?;
            }
        }
        Ok(TenantReply::SourceChanged { is_new })
    }

    /// A stream of its own for the events of a source. The source is told before the stream counts as made: one that it was
    /// not told of would wait for events for ever.
    pub(super) async fn create_forward(
        &self,
        tenant: &str,
        source: &Source,
        wish: Wish,
        given: NewForward,
    ) -> Answer<()> {
        let stream_id = stub::new_id(&self.env, "STREAM").map_err(|error| call_failed(&error))?;
        let terms = self.terms_of(&source.source_id, registry::terms_rev(&self.sql)?)?;
        let new = New {
            stream_id: &stream_id,
            tenant,
            source_id: &source.source_id,
            issuer: &given.issuer,
            endpoint_url: &wish.endpoint_url,
            form: wish.envelope,
        };
        let stream = new.stream(terms, now_ms());
        let child = Child {
            id: stream_id.clone(),
            kind: Kind::Stream,
            state: State::Pending,
            owner: source.source_id.clone(),
            label: PUSH.to_owned(),
            created_at: stream.created_at,
        };
        let command = StreamCommand::Create {
            stream: Box::new(stream),
            authorization_header: wish.authorization_header.into_iter().next().flatten(),
            webhook_secret: Some(given.webhook_secret),
        };
        let forward = Forward {
            stream_id: stream_id.clone(),
            endpoint_url: wish.endpoint_url,
            envelope: wish.envelope,
        };
        let object = self.stream_object(tenant, &stream_id)?;
        let told = self.source_object(tenant, &source.source_id)?;
        let create = boxed(async {
            if let Err(refusal) = object.tell(command).await? {
                return Ok(Err(refusal));
            }
            if let Err(refusal) = tell_source(&told, Some(forward), None).await {
                return Ok(Err(refusal));
            }
            Ok(self.still_has(&source.source_id))
        });
        self.create_child(&child, Some(&[]), create).await
    }

    /// Whether that source is not being deleted: what is made for it now would be nobody's.
    fn still_has(&self, source_id: &str) -> Answer<()> {
        self.still_there()?;
        let child = registry::child(&self.sql, Kind::Source, source_id)?;
        let stands = child.is_some_and(|child| child.state == State::Active);
        if stands { Ok(()) } else { Err(Refusal::Gone) }
    }

    /// A stream is about to be deleted: if it hands on what a source received, the source hands over nothing any more.
    pub(super) async fn forget_forward(&self, tenant: &str, stream: &Child) -> Answer<()> {
        if registry::child(&self.sql, Kind::Source, &stream.owner)?.is_none() {
            return Ok(());
        }
        let source = self.source_object(tenant, &stream.owner)?;
        match tell_source(&source, None, Some(stream.id.clone())).await {
            Err(Refusal::Gone) => Ok(()),
            told => told,
        }
    }

    /// A source is about to be deleted: what hands its events on goes first.
    pub(super) async fn delete_forwards(&self, source_id: &str) -> Answer<()> {
        for stream in registry::children(&self.sql, Kind::Stream, Some(source_id))? {
            self.delete_child(Kind::Stream, &stream.id, Some(source_id)).await?;
        }
        Ok(())
    }

    /// The terms of a stream: its client's, or those of one that hands on what a source received.
    pub(super) fn terms_of(&self, owner: &str, rev: u64) -> Answer<Terms> {
        let settings = registry::settings(&self.sql)?;
        if let Some((client, _)) = registry::client(&self.sql, owner)? {
            return Ok(Terms::new(rev, &settings, &client.metadata));
        }
        match registry::child(&self.sql, Kind::Source, owner)? {
            Some(_) => Ok(Terms::of_forward(rev, &settings)),
            None => Err(Refusal::UnknownClient),
        }
    }

    fn source_object(&self, tenant: &str, source_id: &str) -> Answer<ObjectStub> {
        stub::by_id(&self.env, "SOURCE", source_id, Some(tenant)).map_err(|error| call_failed(&error))
    }
}

async fn tell_source(source: &ObjectStub, forward: Option<Forward>, instead_of: Option<String>) -> Answer<()> {
    let command = SourceCommand::Forward { forward, instead_of };
    let told = source.tell(command).await.map_err(|error| call_failed(&error))?;
    told.map(|_| ())
}

/// The secret of a source's sender as it is stored.
pub async fn seal_secret(settings: &Settings, source_id: &str, secret: &str) -> Answer<SourceSecret> {
    let place = format!("{source_id} {SECRET_PLACE}");
    let sealed = crypto::seal(settings.key_encryption_key.expose(), &place, secret.as_bytes()).await;
    Ok(SourceSecret {
        sealed: sealed.map_err(|error| fault("seal", error))?,
        id: crypto::secret_id(secret),
    })
}
