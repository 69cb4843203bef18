//! Tenants that come and go: `default` makes them, each of them ends itself.

use crate::delivery::meta;
use crate::edge::address::DEFAULT_TENANT;
use crate::edge::auth::jwks_copy;
use crate::edge::clock::now_ms;
use crate::edge::command::{Answer, Refusal, TenantCommand, TenantReply};
use crate::edge::context::tenant_copy;
use crate::edge::kv;
use crate::edge::together::together;
use crate::protocol::tenant::TenantSettings;
use crate::transmitter::registry::{self, Child, Kind, State};

use super::children::AT_ONCE;
use super::serve::{boxed, call_failed, fault};
use super::stub;
use super::tenant::TenantObject;

/// Deleting a tenant keeps its caller waiting for this long at most.
const CLOSE_MS: u64 = 20_000;

impl TenantObject {
    pub(super) async fn create_tenant(
        &self,
        tenant: String,
        settings: Box<TenantSettings>,
        issuer: String,
    ) -> Answer<TenantReply> {
        if let Some(known) = registry::child(&self.sql, Kind::Tenant, &tenant)? {
            return Err(Refusal::Conflict {
                detail: match known.state {
                    State::Active => "There is a tenant of this name already.".to_owned(),
                    State::Pending | State::Deleting => {
                        "A tenant of this name is being created or deleted. Try again later.".to_owned()
                    }
                },
            });
        }
        let child = Child {
            id: tenant.clone(),
            kind: Kind::Tenant,
            state: State::Pending,
            owner: String::new(),
            label: issuer,
            created_at: now_ms(),
        };
        let object = stub::tenant(&self.env, &tenant).map_err(|error| call_failed(&error))?;
        let command = TenantCommand::Found { tenant, settings };
        let created = self.create_child(
            &child,
            None,
            boxed(async { Ok(object.tell(command).await?.map(|_| ())) }),
        );
        created.await.map_err(|refusal| match refusal {
            Refusal::Gone => Refusal::Conflict {
                detail: "The tenant was deleted while it was created.".to_owned(),
            },
            refusal => refusal,
        })?;
        Ok(TenantReply::Child(Child {
            state: State::Active,
            ..child
        }))
    }

    /// Deletes everything that this tenant has, then itself: at once for callers, who find nothing any more; piece by piece for
    /// its objects. `Begun` while some are left.
    pub(super) async fn close(&self, tenant: &str) -> Answer<TenantReply> {
        if tenant == DEFAULT_TENANT {
            return Err(Refusal::NotFound);
        }
        if self.gone.get() || !meta::exists(&self.sql)? {
            return Err(Refusal::Gone);
        }
        meta::migrate(&self.sql, registry::MIGRATIONS)?;
        registry::set_closing(&self.sql)?;
        let life = self.life.get();
        let over = || self.gone.get() || self.life.get() != life;
        let _ = kv::delete(&self.env, &tenant_copy(tenant)).await;
        let _ = kv::delete(&self.env, &jwks_copy(tenant)).await;
        let started = now_ms();
        let mut last = String::new();
        let mut failed = None;
        let mut waiting = false;
        loop {
            if over() {
                // Somebody else was faster; there may even be a new tenant of this name.
                return Ok(TenantReply::Done);
            }
            let children = registry::some_children(&self.sql, &last, AT_ONCE)?;
            let Some(end) = children.last() else { break };
            last.clone_from(&end.id);
            let deleted = together(children.iter().map(|child| self.delete_object(tenant, child))).await;
            if over() {
                return Ok(TenantReply::Done);
            }
            for (child, deleted) in children.iter().zip(deleted) {
                match deleted {
                    Ok(true) => registry::remove_child(&self.sql, &child.id)?,
                    // A source whose stream at its transmitter cannot be deleted now.
                    Ok(false) => waiting = true,
                    Err(refusal) => failed = Some(refusal),
                }
            }
            if now_ms().saturating_sub(started) >= CLOSE_MS {
                return Ok(TenantReply::Begun);
            }
        }
        if let Some(refusal) = failed {
            return Err(refusal);
        }
        if waiting {
            return Ok(TenantReply::Begun);
        }
        self.gone.set(true);
        let emptied = async {
            self.state.storage().delete_alarm().await?;
            self.state.storage().delete_all().await
        };
        emptied.await.map_err(|error| fault("delete", error))?;
        Ok(TenantReply::Done)
    }
}
