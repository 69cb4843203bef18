//! The object of a tenant: its settings, its clients, who wants which events, its signing keys. What it does to the objects it
//! leads is in [`super::children`].

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use subtle::ConstantTimeEq;
use worker::{DurableObject, Env, Request, Response, State, durable_object};

use crate::delivery::meta;
use crate::edge::address::DEFAULT_TENANT;
use crate::edge::auth::jwks_copy;
use crate::edge::clock::{now_ms, now_s};
use crate::edge::command::{Addressed, Answer, Refusal, SealedKey, TenantCommand, TenantCopy, TenantReply};
use crate::edge::context::{self, tenant_copy};
use crate::edge::settings::Settings;
use crate::edge::sql::EdgeSql;
use crate::edge::{crypto, kv, random};
use crate::protocol::client::ClientMetadata;
use crate::protocol::endpoint_url::UrlPolicy;
use crate::protocol::jose::jwk;
use crate::protocol::jose::jws::{self, Alg, SigningHeader};
use crate::protocol::oauth::{self, AccessToken, Scope, ScopeSet};
use crate::protocol::secret::Secret;
use crate::protocol::set::Audience;
use crate::protocol::tenant::TenantSettings;
use crate::transmitter::keyring::{self, SigningKey};
use crate::transmitter::registry::{self, Child, Client, Kind, State as ChildState};
use crate::transmitter::{asked, routes};

use super::children::RETRY_MS;
use super::serve::{Alarm, Meter, Seldom, boxed, fault, seconds, serve};

/// What the seal of a private key authenticates, beside the object's id.
const KEY_PLACE: &str = "signing_key";

#[durable_object(alarm)]
pub struct TenantObject {
    pub(super) state: State,
    pub(super) env: Env,
    pub(super) sql: EdgeSql,
    pub(super) alarm: Alarm,
    meter: Meter,
    /// When the copy of the keys was written last.
    copied_at: Seldom,
    /// And that of the settings.
    described_at: Seldom,
    /// How many tenants this instance has been: one that is deleted may be followed by another of its name.
    pub(super) life: Cell<u32>,
    /// Children whose change this instance is carrying out right now.
    pub(super) busy: RefCell<HashSet<String>>,
    /// Deleted in this life: nothing may touch storage again.
    pub(super) gone: Cell<bool>,
}

impl DurableObject for TenantObject {
    fn new(state: State, env: Env) -> Self {
        let sql = EdgeSql::new(state.storage().sql());
        Self {
            state,
            env,
            sql,
            alarm: Alarm::default(),
            meter: Meter::default(),
            copied_at: Seldom::default(),
            described_at: Seldom::default(),
            life: Cell::default(),
            busy: RefCell::default(),
            gone: Cell::default(),
        }
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        self.meter.request();
        serve(request, |addressed| self.carry_out(addressed)).await
    }

    async fn alarm(&self) -> worker::Result<Response> {
        self.alarm.went_off();
        let repaired = self.repair().await.is_ok();
        let swept = self.sweep().await.is_ok();
        if !(repaired && swept || self.gone.get()) {
            self.alarm.arm(&self.state, now_ms() + RETRY_MS).await;
        }
        Response::empty()
    }
}

impl TenantObject {
    async fn carry_out(&self, addressed: Addressed<TenantCommand>) -> Answer<TenantReply> {
        let settings = context::settings(&self.env).map_err(|error| fault("settings", error))?;
        let tenant = addressed.tenant.unwrap_or_default();
        let command = match addressed.command {
            TenantCommand::Found { tenant, settings } => return boxed(self.found(&tenant, &settings)).await,
            TenantCommand::Close => return boxed(self.close(&tenant)).await,
            command => command,
        };
        self.require_open(&tenant)?;
        match command {
            TenantCommand::PinOrigin { origin } => boxed(self.pin_origin(origin)).await,
            TenantCommand::Describe => boxed(self.describe(&tenant)).await,
            TenantCommand::ChangeSettings { patch } => boxed(self.change_settings(&tenant, &patch)).await,
            TenantCommand::CreateTenant {
                tenant,
                settings,
                issuer,
            } => boxed(self.create_tenant(tenant, settings, issuer)).await,
            TenantCommand::Tenants { after, limit } => Ok(TenantReply::Children(registry::children_after(
                &self.sql,
                Kind::Tenant,
                &after,
                limit,
            )?)),
            TenantCommand::Tenant { tenant } => self.tenant(tenant),
            TenantCommand::DeleteTenant { tenant } => boxed(self.delete_child(Kind::Tenant, &tenant, None)).await,
            TenantCommand::RegisterClient { metadata } => self.register_client(metadata),
            TenantCommand::Clients => Ok(TenantReply::Clients(registry::clients(&self.sql)?)),
            TenantCommand::Client { client_id } => self.client(&client_id).map(TenantReply::Client),
            TenantCommand::ChangeClient {
                client_id,
                patch,
                issuer,
            } => {
                let policy = UrlPolicy::of_issuer(settings.allow_loopback, &issuer);
                let mut client = self.client(&client_id)?;
                client.metadata = client.metadata.patched(&patch, &policy).map_err(Refusal::from)?;
                registry::change_client(&self.sql, &client_id, &client.metadata)?;
                boxed(self.tell_terms()).await?;
                Ok(TenantReply::Client(client))
            }
            TenantCommand::DeleteClient { client_id } => {
                self.client(&client_id)?;
                // Nothing new can be made for it from here on, and no token is issued to it.
                boxed(self.delete_client(&client_id)).await
            }
            TenantCommand::IssueToken {
                client_id,
                client_secret,
                scope,
                issuer,
            } => boxed(self.issue_token(&settings, &client_id, &client_secret, scope, issuer)).await,
            TenantCommand::Jwks => {
                boxed(self.signing_key(&settings, registry::settings(&self.sql)?.signing_alg, false)).await?;
                let published = keyring::published(&self.sql)?;
                // Who asks found no copy, or one without the key it wants.
                if self.copied_at.due(now_ms()) {
                    let _ = kv::put_for_a_while(&self.env, &jwks_copy(&tenant), &published).await;
                }
                Ok(TenantReply::Jwks(published))
            }
            TenantCommand::SigningKey { alg, at_once } => {
                let key = boxed(self.signing_key(&settings, alg, at_once)).await?;
                let sealed_by = self.state.id().to_string();
                Ok(TenantReply::SigningKey(SealedKey {
                    kid: key.kid,
                    alg: key.alg,
                    sealed: key.sealed,
                    sealed_by,
                }))
            }
            TenantCommand::CountQuestion { host } => {
                asked::ask(&self.sql, &host, settings.handshakes_per_host, now_ms())?.map_err(|wait_ms| {
                    Refusal::TooMany {
                        detail: "This host was asked too often lately.".to_owned(),
                        retry_after_s: seconds(wait_ms),
                    }
                })?;
                Ok(TenantReply::Done)
            }
            TenantCommand::CreateStream(new) => boxed(self.create_stream(&settings, tenant, *new)).await,
            TenantCommand::Streams {
                client_id,
                after,
                limit,
            } => {
                let streams = match &client_id {
                    Some(client_id) => {
                        self.client_with(client_id, Scope::SsfRead)?;
                        registry::children(&self.sql, Kind::Stream, Some(client_id))?
                    }
                    None => registry::children_after(&self.sql, Kind::Stream, &after, limit)?,
                };
                let usage = self.meter.read(&self.alarm, &self.sql);
                Ok(TenantReply::Streams { streams, usage })
            }
            TenantCommand::UpdateStream(update) => boxed(self.update_stream(&settings, &tenant, *update)).await,
            TenantCommand::DeleteStream { client_id, stream_id } => {
                boxed(self.delete_child(Kind::Stream, &stream_id, client_id.as_deref())).await
            }
            TenantCommand::Route { event_types, client_id } => {
                if let Some(client_id) = client_id {
                    self.client_with(&client_id, Scope::EventsPublish)?;
                }
                let chosen = registry::settings(&self.sql)?;
                Ok(TenantReply::Route {
                    streams: routes::route(&self.sql, &event_types)?,
                    unsupported: event_types
                        .into_iter()
                        .filter(|event_type| !chosen.supports(event_type))
                        .collect(),
                })
            }
            TenantCommand::CreateSource(new) => boxed(self.create_source(&settings, tenant, *new)).await,
            TenantCommand::Sources => Ok(TenantReply::Children(registry::children(
                &self.sql,
                Kind::Source,
                None,
            )?)),
            TenantCommand::ChangeSource(change) => boxed(self.change_source(&settings, *change)).await,
            TenantCommand::DeleteSource { source_id } => boxed(self.delete_child(Kind::Source, &source_id, None)).await,
            TenantCommand::Found { .. } | TenantCommand::Close => Err(Refusal::Internal),
        }
    }

    /// `default` is always there. Any other tenant is there from [`TenantCommand::Found`] to [`TenantCommand::Close`]; before
    /// and after that nothing is written.
    fn require_open(&self, tenant: &str) -> Answer<()> {
        if self.gone.get() {
            return Err(Refusal::Gone);
        }
        if tenant == DEFAULT_TENANT {
            return Ok(meta::migrate(&self.sql, registry::MIGRATIONS)?);
        }
        if !meta::exists(&self.sql)? {
            return Err(Refusal::Gone);
        }
        meta::migrate(&self.sql, registry::MIGRATIONS)?;
        match registry::is_closing(&self.sql)? {
            true => Err(Refusal::Gone),
            false => Ok(()),
        }
    }

    /// Makes this object a tenant, and says so to the edge.
    async fn found(&self, tenant: &str, settings: &TenantSettings) -> Answer<TenantReply> {
        // One of this name may have been deleted in this life of the object: that is over, or its row would still be there.
        if self.gone.replace(false) {
            self.life.set(self.life.get() + 1);
            self.alarm.went_off();
            self.copied_at.forget();
        }
        self.described_at.forget();
        meta::migrate(&self.sql, registry::MIGRATIONS)?;
        registry::set_name(&self.sql, tenant)?;
        registry::set_settings(&self.sql, settings)?;
        self.describe(tenant).await
    }

    async fn describe(&self, tenant: &str) -> Answer<TenantReply> {
        let copy = TenantCopy {
            origin: meta::get(&self.sql, "origin")?,
            settings: registry::settings(&self.sql)?,
        };
        // Who asks found no copy. It only saves calls to this object. Nobody keeps one of a service that has no address yet.
        let settings = context::settings(&self.env).map_err(|error| fault("settings", error))?;
        let has_address = tenant != DEFAULT_TENANT || copy.origin.is_some() || settings.public_url.is_some();
        if has_address && self.described_at.due(now_ms()) {
            let _ = kv::put_for_a_while(&self.env, &tenant_copy(tenant), &copy).await;
        }
        Ok(TenantReply::Described(Box::new(copy)))
    }

    async fn change_settings(&self, tenant: &str, patch: &serde_json::Value) -> Answer<TenantReply> {
        let changed = registry::settings(&self.sql)?.patched(patch).map_err(Refusal::from)?;
        registry::set_settings(&self.sql, &changed)?;
        self.described_at.forget();
        let described = self.describe(tenant).await;
        self.tell_terms().await?;
        described
    }

    fn tenant(&self, tenant: String) -> Answer<TenantReply> {
        let found = if tenant == DEFAULT_TENANT {
            Some(Child {
                id: tenant,
                kind: Kind::Tenant,
                state: ChildState::Active,
                owner: String::new(),
                label: String::new(),
                created_at: registry::first_used(&self.sql, now_ms())?,
            })
        } else {
            registry::child(&self.sql, Kind::Tenant, &tenant)?.filter(|child| child.state == ChildState::Active)
        };
        found.map(TenantReply::Child).ok_or(Refusal::NotFound)
    }

    async fn pin_origin(&self, origin: String) -> Answer<TenantReply> {
        let origin = match meta::get(&self.sql, "origin")? {
            Some(pinned) => pinned,
            None => {
                meta::set(&self.sql, "origin", &origin)?;
                self.described_at.forget();
                self.describe(DEFAULT_TENANT).await?;
                origin
            }
        };
        Ok(TenantReply::Origin(origin))
    }

    pub(super) fn client(&self, client_id: &str) -> Answer<Client> {
        let found = registry::client(&self.sql, client_id)?;
        found.map(|(client, _)| client).ok_or(Refusal::UnknownClient)
    }

    /// A client, if it still has this scope: its token may be from before that was changed (CIP-2.7.3-4).
    pub(super) fn client_with(&self, client_id: &str, scope: Scope) -> Answer<Client> {
        let client = self.client(client_id)?;
        if client.metadata.scope.permits(scope) {
            Ok(client)
        } else {
            Err(Refusal::Forbidden {
                detail: "The client is not registered for this scope any more.".to_owned(),
            })
        }
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
        let alg = registry::settings(&self.sql)?.signing_alg;
        let key = self.signing_key(settings, alg, false).await?;
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

    /// The key that signs with `alg`; made on first use. While there is another one that signs, a new one is published for
    /// twice as long as others may keep our keys, before it signs (design: rotation with overlap), unless it is needed at once.
    async fn signing_key(&self, settings: &Settings, alg: Alg, at_once: bool) -> Answer<SigningKey> {
        let now = now_ms();
        let key = match keyring::newest(&self.sql, alg)? {
            Some(key) => key,
            None => self.make_key(settings, alg, now).await?,
        };
        if at_once || key.signs_from <= now {
            return Ok(key);
        }
        let current = keyring::current(&self.sql, alg, now)?;
        current.ok_or_else(|| fault("signing key", "none signs"))
    }

    async fn make_key(&self, settings: &Settings, alg: Alg, now: u64) -> Answer<SigningKey> {
        let failed = |error| fault("make a signing key", error);
        let private = crypto::generate(alg).await.map_err(failed)?;
        let key_failed = |error| fault("make a signing key", error);
        let kid = jwk::thumbprint(&private).map_err(key_failed)?;
        let public = jwk::public_jwk(&private, alg, &kid).map_err(key_failed)?;
        let plain = Secret::new(private.to_string());
        let key = settings.key_encryption_key.expose();
        let sealed = crypto::seal(key, &self.place(KEY_PLACE), plain.expose().as_bytes())
            .await
            .map_err(failed)?;
        if self.gone.get() {
            return Err(Refusal::Gone);
        }
        let first = keyring::current(&self.sql, alg, now)?.is_none();
        let new = SigningKey {
            kid,
            alg,
            public,
            sealed,
            created_at: now,
            signs_from: if first {
                0
            } else {
                now + 2 * settings.jwks_max_age_s * 1000
            },
        };
        // Another request may have made one meanwhile; the one that is stored counts.
        let made = keyring::add_first(&self.sql, new)?;
        if !first {
            // There is a copy already, and it lacks this key.
            let tenant = registry::name(&self.sql)?;
            let published = keyring::published(&self.sql)?;
            let _ = kv::put_for_a_while(&self.env, &jwks_copy(&tenant), &published).await;
        }
        Ok(made)
    }

    fn place(&self, field: &str) -> String {
        format!("{} {field}", self.state.id())
    }
}
