//! A new source of a tenant, with the stream that its events go on by.

use crate::edge::clock::now_ms;
use crate::edge::command::{Answer, NewSource, SourceCommand, TenantReply};
use crate::edge::settings::Settings;
use crate::protocol::endpoint_url::UrlPolicy;
use crate::protocol::forward::Wish;
use crate::transmitter::registry::{Child, Kind, State};

use super::forwards::seal_secret;
use super::serve::{boxed, call_failed};
use super::stub;
use super::tenant::TenantObject;

impl TenantObject {
    pub(super) async fn create_source(
        &self,
        settings: &Settings,
        tenant: String,
        new: NewSource,
    ) -> Answer<TenantReply> {
        let source_id = stub::new_id(&self.env, "SOURCE").map_err(|error| call_failed(&error))?;
        let wish = new.forward.as_ref().map(|given| {
            let policy = UrlPolicy::of_issuer(settings.allow_loopback, &given.issuer);
            Wish::parse(&given.forward, None, &policy)
        });
        let wish = wish.transpose()?;
        let mut source = new.source;
        if let Some(secret) = &new.webhook_secret {
            source.webhook_secret = Some(seal_secret(settings, &source_id, secret).await?);
        }
        (source.source_id, source.tenant) = (source_id.clone(), tenant.clone());
        (source.created_at, source.rev) = (now_ms(), 1);
        let child = Child {
            id: source_id.clone(),
            kind: Kind::Source,
            state: State::Pending,
            owner: String::new(),
            label: source.issuer.clone(),
            created_at: source.created_at,
        };
        let command = SourceCommand::Create {
            source: Box::new(source.clone()),
            secrets: new.secrets,
            subjects: new.subjects,
        };
        let object =
            stub::by_id(&self.env, "SOURCE", &source_id, Some(&tenant)).map_err(|error| call_failed(&error))?;
        self.create_child(
            &child,
            None,
            boxed(async { Ok(object.tell(command).await?.map(|_| ())) }),
        )
        .await?;
        if let (Some(wish), Some(given)) = (wish, new.forward)
            && let Err(refusal) = boxed(self.create_forward(&tenant, &source, wish, given)).await
        {
            // Nobody was told of the source either.
            let _ = self.delete_child(Kind::Source, &source_id, None).await;
            return Err(refusal);
        }
        Ok(TenantReply::Source(Box::new(source)))
    }
}
