//! The object of a tenant: its clients, its list of streams and sources, who wants which events, its signing keys.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use subtle::ConstantTimeEq;
use worker::{DurableObject, Env, Request, Response, State, durable_object};

use crate::delivery::meta;
use crate::delivery::sql::SqlError;
use crate::edge::auth::JWKS_COPY;
use crate::edge::clock::{now_ms, now_s};
use crate::edge::command::{
    Answer, NewSource, NewStream, Refusal, SealedKey, SourceCommand, StreamCommand, TenantCommand, TenantReply,
};
use crate::edge::context::{self, DEFAULT_TENANT, TENANT_COPY, TenantCopy};
use crate::edge::settings::Settings;
use crate::edge::sql::EdgeSql;
use crate::edge::{crypto, kv, random};
use crate::protocol::client::ClientMetadata;
use crate::protocol::endpoint_url::{EndpointUrl, UrlPolicy, registered};
use crate::protocol::event::SUPPORTED;
use crate::protocol::jose::jwk;
use crate::protocol::jose::jws::{self, Alg, SigningHeader};
use crate::protocol::oauth::{self, AccessToken, ScopeSet};
use crate::protocol::secret::Secret;
use crate::protocol::set::Audience;
use crate::protocol::stream::{Configuration, Delivery, events_delivered};
use crate::receiver::source::Source;
use crate::transmitter::keyring::{self, SigningKey};
use crate::transmitter::registry::{self, Child, Client, Kind, State as ChildState};
use crate::transmitter::stream::Stream;

use super::serve::{Alarm, Seldom, call_failed, fault, serve};
use super::stub;

/// A change that spans objects and is still unfinished after this was cut off by a crash.
const REPAIR_AFTER_MS: u64 = 90_000;

/// What the seal of a private key authenticates, beside the object's id.
const KEY_PLACE: &str = "signing_key";

#[durable_object(alarm)]
pub struct TenantObject {
    state: State,
    env: Env,
    sql: EdgeSql,
    alarm: Alarm,
    /// When the copy of the keys was written last.
    copied_at: Seldom,
    /// Children whose change this instance is carrying out right now.
    busy: RefCell<HashSet<String>>,
}

impl DurableObject for TenantObject {
    fn new(state: State, env: Env) -> Self {
        let sql = EdgeSql(state.storage().sql());
        Self {
            state,
            env,
            sql,
            alarm: Alarm::default(),
            copied_at: Seldom::default(),
            busy: RefCell::default(),
        }
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        serve(request, |command| self.carry_out(command)).await
    }

    async fn alarm(&self) -> worker::Result<Response> {
        self.alarm.went_off();
        if self.repair().await.is_err() {
            self.alarm.arm(&self.state, now_ms() + REPAIR_AFTER_MS).await;
        }
        Response::empty()
    }
}

impl TenantObject {
    async fn carry_out(&self, command: TenantCommand) -> Answer<TenantReply> {
        meta::migrate(&self.sql, registry::MIGRATIONS)?;
        let settings = context::settings(&self.env).map_err(|error| fault("settings", error))?;
        match command {
            TenantCommand::PinOrigin { origin } => self.pin_origin(origin).await,
            TenantCommand::Origin => self.origin().await,
            TenantCommand::RegisterClient { metadata } => self.register_client(metadata),
            TenantCommand::Clients => Ok(TenantReply::Clients(registry::clients(&self.sql)?)),
            TenantCommand::Client { client_id } => self.client(&client_id).map(TenantReply::Client),
            TenantCommand::IssueToken {
                client_id,
                client_secret,
                scope,
                issuer,
            } => {
                self.issue_token(&settings, &client_id, &client_secret, scope, issuer)
                    .await
            }
            TenantCommand::Jwks => {
                self.signing_key(&settings).await?;
                let published = keyring::published(&self.sql)?;
                // Who asks found no copy, or one without the key it wants.
                if self.copied_at.due(now_ms()) {
                    let _ = kv::put(&self.env, JWKS_COPY, &published).await;
                }
                Ok(TenantReply::Jwks(published))
            }
            TenantCommand::SigningKey => {
                let key = self.signing_key(&settings).await?;
                let sealed_by = self.state.id().to_string();
                Ok(TenantReply::SigningKey(SealedKey {
                    kid: key.kid,
                    alg: key.alg,
                    sealed: key.sealed,
                    sealed_by,
                }))
            }
            TenantCommand::CreateStream(new) => self.create_stream(&settings, *new).await,
            TenantCommand::Streams { client_id } => {
                if let Some(client_id) = &client_id {
                    self.client(client_id)?;
                }
                let streams = registry::children(&self.sql, Kind::Stream, client_id.as_deref())?;
                Ok(TenantReply::Children(streams))
            }
            TenantCommand::DeleteStream { client_id, stream_id } => {
                let child = registry::child(&self.sql, Kind::Stream, &stream_id)?;
                let child = child
                    .filter(|child| child.owner == client_id)
                    .ok_or(Refusal::NotFound)?;
                self.delete_child(&child).await
            }
            TenantCommand::Route { event_types, client_id } => {
                if let Some(client_id) = client_id {
                    self.client(&client_id)?;
                }
                Ok(TenantReply::Route(registry::route(&self.sql, &event_types)?))
            }
            TenantCommand::CreateSource(new) => self.create_source(*new).await,
            TenantCommand::Sources => Ok(TenantReply::Children(registry::children(
                &self.sql,
                Kind::Source,
                None,
            )?)),
            TenantCommand::DeleteSource { source_id } => {
                let child = registry::child(&self.sql, Kind::Source, &source_id)?.ok_or(Refusal::NotFound)?;
                self.delete_child(&child).await
            }
        }
    }

    async fn origin(&self) -> Answer<TenantReply> {
        let origin = meta::get(&self.sql, "origin")?;
        if let Some(origin) = &origin {
            // Who asks found no copy.
            let _ = kv::put(&self.env, TENANT_COPY, &TenantCopy { origin: origin.clone() }).await;
        }
        Ok(TenantReply::Origin(origin))
    }

    async fn pin_origin(&self, origin: String) -> Answer<TenantReply> {
        let origin = match meta::get(&self.sql, "origin")? {
            Some(pinned) => pinned,
            None => {
                meta::set(&self.sql, "origin", &origin)?;
                // The copy only saves calls to this object: without it the edge asks here.
                let _ = kv::put(&self.env, TENANT_COPY, &TenantCopy { origin: origin.clone() }).await;
                origin
            }
        };
        Ok(TenantReply::Origin(Some(origin)))
    }

    fn client(&self, client_id: &str) -> Answer<Client> {
        let found = registry::client(&self.sql, client_id)?;
        found.map(|(client, _)| client).ok_or(Refusal::UnknownClient)
    }

    fn register_client(&self, metadata: ClientMetadata) -> Answer<TenantReply> {
        let random = |_| Refusal::Internal;
        let client_id = random::text::<12>().map_err(random)?;
        let client_secret = random::text::<32>().map_err(random)?;
        let client = Client {
            client_id,
            metadata,
            created_at: now_ms(),
        };
        registry::add_client(&self.sql, &client, crypto::sha256_hex(&client_secret).as_bytes())?;
        Ok(TenantReply::Registered { client, client_secret })
    }

    async fn issue_token(
        &self,
        settings: &Settings,
        client_id: &str,
        client_secret: &str,
        scope: Option<ScopeSet>,
        issuer: String,
    ) -> Answer<TenantReply> {
        let found = registry::client(&self.sql, client_id)?;
        let hash = crypto::sha256_hex(client_secret);
        // An unknown client takes as long as a wrong secret.
        let (client, expected) = found.map_or((None, Vec::new()), |(client, hash)| (Some(client), hash));
        let matches: bool = expected.ct_eq(hash.as_bytes()).into();
        let client = client.filter(|_| matches).ok_or(Refusal::BadCredentials)?;
        let granted = client.metadata.scope;
        let scope = scope.unwrap_or(granted);
        if !scope.is_subset(granted) {
            return Err(Refusal::ScopeRefused);
        }
        let key = self.signing_key(settings).await?;
        let now = now_s();
        let claims = AccessToken {
            iss: issuer.clone(),
            sub: client.client_id.clone(),
            aud: Audience::One(issuer),
            client_id: client.client_id,
            scope,
            iat: now,
            exp: now + settings.token_ttl_s,
            jti: random::text::<16>().map_err(|_| Refusal::Internal)?,
        };
        let header = SigningHeader {
            alg: key.alg,
            typ: oauth::TYP,
            kid: &key.kid,
        };
        let input = jws::signing_input(&header, &claims.to_claims());
        let place = self.place(KEY_PLACE);
        let private = crypto::signing_key(&key.kid, key.alg, async || {
            crypto::open(settings.key_encryption_key.expose(), &place, &key.sealed).await
        });
        let failed = |error| fault("sign an access token", error);
        let private = private.await.map_err(failed)?;
        let signature = crypto::sign(&private, key.alg, input.as_bytes())
            .await
            .map_err(failed)?;
        Ok(TenantReply::Token {
            access_token: jws::assemble(&input, &signature),
            expires_in: settings.token_ttl_s,
            scope,
        })
    }

    /// The key that signs; made on first use.
    async fn signing_key(&self, settings: &Settings) -> Answer<SigningKey> {
        const ALG: Alg = Alg::Rs256;
        if let Some(key) = keyring::current(&self.sql, ALG)? {
            return Ok(key);
        }
        let failed = |error| fault("make a signing key", error);
        let private = crypto::generate(ALG).await.map_err(failed)?;
        let key_failed = |error| fault("make a signing key", error);
        let kid = jwk::thumbprint(&private).map_err(key_failed)?;
        let public = jwk::public_jwk(&private, ALG, &kid).map_err(key_failed)?;
        let plain = Secret::new(private.to_string());
        let key = settings.key_encryption_key.expose();
        let sealed = crypto::seal(key, &self.place(KEY_PLACE), plain.expose().as_bytes())
            .await
            .map_err(failed)?;
        // Another request may have made one meanwhile; the one that is stored counts.
        let new = SigningKey {
            kid,
            alg: ALG,
            public,
            sealed,
            created_at: now_ms(),
        };
        Ok(keyring::add_first(&self.sql, new)?)
    }

    fn place(&self, field: &str) -> String {
        format!("{} {field}", self.state.id())
    }

    async fn create_stream(&self, settings: &Arc<Settings>, new: NewStream) -> Answer<TenantReply> {
        let client = self.client(&new.client_id)?;
        let held = registry::count_children(&self.sql, Kind::Stream, &client.client_id)?;
        if held >= settings.streams_per_client {
            return Err(Refusal::Conflict {
                detail: format!("This client has {held} streams already, which is its limit."),
            });
        }
        let delivery = delivery(settings, &client.metadata, &new)?;
        let supported: Vec<&str> = SUPPORTED.iter().map(|event_type| event_type.uri).collect();
        let stream_id = stub::new_id(&self.env, "STREAM").map_err(|error| call_failed(&error))?;
        let stream = Stream {
            tenant: DEFAULT_TENANT.to_owned(),
            client_id: client.client_id.clone(),
            configuration: Configuration {
                stream_id: stream_id.clone(),
                iss: new.issuer,
                aud: client
                    .metadata
                    .audience
                    .ok_or_else(|| fault("client", "it has no audience"))?,
                delivery,
                events_supported: supported.iter().map(|uri| (*uri).to_owned()).collect(),
                events_delivered: events_delivered(new.events_requested.as_deref(), &supported),
                events_requested: new.events_requested,
                description: new.description,
                min_verification_interval: None,
                inactivity_timeout: None,
            },
            sealed_authorization: None,
            created_at: now_ms(),
            rev: 1,
        };
        let child = Child {
            id: stream_id.clone(),
            kind: Kind::Stream,
            state: ChildState::Pending,
            owner: client.client_id,
            label: stream.configuration.delivery.method().to_owned(),
            created_at: stream.created_at,
        };
        let routes = stream.configuration.events_delivered.clone();
        let command = StreamCommand::Create {
            stream: Box::new(stream.clone()),
            authorization_header: new.authorization_header,
        };
        let object = stub::by_id(&self.env, "STREAM", &stream_id).map_err(|error| call_failed(&error))?;
        self.create_child(&child, &routes, async || {
            object.tell(&command).await.map(|answer| answer.map(|_| ()))
        })
        .await?;
        Ok(TenantReply::Stream(Box::new(stream)))
    }

    async fn create_source(&self, new: NewSource) -> Answer<TenantReply> {
        let source_id = stub::new_id(&self.env, "SOURCE").map_err(|error| call_failed(&error))?;
        let source = Source {
            source_id: source_id.clone(),
            tenant: DEFAULT_TENANT.to_owned(),
            issuer: new.issuer,
            audience: new.audience,
            description: new.description,
            jwks: new.jwks,
            authorization_hash: new.authorization_hash,
            created_at: now_ms(),
            rev: 1,
        };
        let child = Child {
            id: source_id.clone(),
            kind: Kind::Source,
            state: ChildState::Pending,
            owner: String::new(),
            label: source.issuer.clone(),
            created_at: source.created_at,
        };
        let command = SourceCommand::Create {
            source: Box::new(source.clone()),
        };
        let object = stub::by_id(&self.env, "SOURCE", &source_id).map_err(|error| call_failed(&error))?;
        self.create_child(&child, &[], async || {
            object.tell(&command).await.map(|answer| answer.map(|_| ()))
        })
        .await?;
        Ok(TenantReply::Source(Box::new(source)))
    }

    /// Begins with a row, creates the object, ends with the row. A crash in between leaves a row that repair deletes: nobody
    /// was told of the object.
    async fn create_child(
        &self,
        child: &Child,
        routes: &[String],
        create: impl AsyncFnOnce() -> Result<Answer<()>, crate::edge::error::ApiError>,
    ) -> Answer<()> {
        // Armed before the first row: whatever is left in the middle from here on is found.
        self.alarm.arm(&self.state, now_ms() + REPAIR_AFTER_MS).await;
        self.busy.borrow_mut().insert(child.id.clone());
        registry::begin_child(&self.sql, child, routes)?;
        let created = create()
            .await
            .map_err(|error| call_failed(&error))
            .and_then(|answer| answer);
        self.busy.borrow_mut().remove(&child.id);
        created?;
        Ok(registry::set_state(&self.sql, &child.id, ChildState::Active)?)
    }

    async fn delete_child(&self, child: &Child) -> Answer<TenantReply> {
        registry::set_state(&self.sql, &child.id, ChildState::Deleting)?;
        self.busy.borrow_mut().insert(child.id.clone());
        self.alarm.arm(&self.state, now_ms() + REPAIR_AFTER_MS).await;
        let deleted = self.delete_object(child).await;
        self.busy.borrow_mut().remove(&child.id);
        deleted?;
        registry::remove_child(&self.sql, &child.id)?;
        Ok(TenantReply::Done)
    }

    async fn delete_object(&self, child: &Child) -> Answer<()> {
        let answer = match child.kind {
            Kind::Stream => {
                let object = stub::by_id(&self.env, "STREAM", &child.id).map_err(|error| call_failed(&error))?;
                object
                    .tell(&StreamCommand::Delete)
                    .await
                    .map(|answer| answer.map(|_| ()))
            }
            Kind::Source => {
                let object = stub::by_id(&self.env, "SOURCE", &child.id).map_err(|error| call_failed(&error))?;
                object
                    .tell(&SourceCommand::Delete)
                    .await
                    .map(|answer| answer.map(|_| ()))
            }
        };
        match answer.map_err(|error| call_failed(&error))? {
            // Gone already is as good.
            Ok(()) | Err(Refusal::Gone) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    /// Ends what a crash left unfinished: half-made and half-deleted children both go.
    async fn repair(&self) -> Result<(), SqlError> {
        if !meta::exists(&self.sql)? {
            return Ok(());
        }
        meta::migrate(&self.sql, registry::MIGRATIONS)?;
        let mut left = false;
        for left_over in registry::unfinished(&self.sql)? {
            // Looked at anew: while another child was being deleted this one may have been completed.
            let child = registry::child(&self.sql, left_over.kind, &left_over.id)?;
            let Some(child) = child.filter(|child| child.state != ChildState::Active) else {
                continue;
            };
            let busy = self.busy.borrow().contains(&child.id);
            if busy || self.delete_object(&child).await.is_err() {
                left = true;
                continue;
            }
            registry::remove_child(&self.sql, &child.id)?;
        }
        if left {
            self.alarm.arm(&self.state, now_ms() + REPAIR_AFTER_MS).await;
        }
        Ok(())
    }
}

/// How a new stream is delivered. Nobody is pushed to who did not agree: an endpoint has to be registered for its client.
fn delivery(settings: &Settings, client: &ClientMetadata, new: &NewStream) -> Answer<Delivery> {
    let Some(endpoint_url) = &new.endpoint_url else {
        return Ok(Delivery::Poll);
    };
    let own_host = new.issuer.split_once("://").map(|(_, host)| host.to_owned());
    let policy = UrlPolicy {
        allow_loopback: settings.allow_loopback,
        own_host,
    };
    let invalid = |detail: String| Refusal::Invalid {
        pointer: "/delivery/endpoint_url".to_owned(),
        detail,
    };
    let url = EndpointUrl::parse(endpoint_url, &policy)
        .map_err(|error| invalid(format!("/delivery/endpoint_url {error}")))?;
    if !registered(&url, &client.push_endpoints) {
        return Err(invalid(
            "/delivery/endpoint_url is not among the push endpoints registered for this client".to_owned(),
        ));
    }
    Ok(Delivery::Push {
        endpoint_url: url.as_str().to_owned(),
        authorization_header: None,
    })
}
