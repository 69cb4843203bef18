//! A tenant as an operator creates it, and what is done in it.

use serde_json::{Value, json};

use crate::harness::{Client, Instance};

use super::acme::{ACME_AUDIENCE, Acme};

/// A tenant other than `default`.
pub struct Tenant {
    pub name: String,
    /// Where it lives, below the origin.
    pub base: String,
    /// Its base URL, which is also its issuer.
    pub issuer: String,
}

impl Tenant {
    /// Creates a tenant with these settings; the others have their defaults.
    #[track_caller]
    pub fn create(instance: &Instance, name: &str, settings: &Value) -> Self {
        let mut request = settings.clone();
        request["tenant"] = json!(name);
        let created = instance.operator().post_json("/admin/tenants", &request, 201);
        let base = format!("/t/{name}");
        let issuer = instance.url(&base);
        assert_eq!(created["issuer"], json!(issuer));
        let name = name.to_owned();
        Self { name, base, issuer }
    }

    /// A path within the tenant, as it is seen from outside.
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Where the operator manages it.
    pub fn admin_path(&self) -> String {
        format!("/admin/tenants/{}", self.name)
    }

    /// Changes settings.
    #[track_caller]
    pub fn change(&self, instance: &Instance, settings: &Value) -> Value {
        instance.operator().patch_json(&self.admin_path(), settings, 200)
    }

    #[track_caller]
    pub fn jwks(&self, instance: &Instance) -> Value {
        instance.anyone().get(&self.path("/jwks.json"), 200)
    }

    /// Registers a receiver, with these members beside what every receiver has or in place of it.
    #[track_caller]
    pub fn receiver(&self, instance: &Instance, members: &Value) -> Acme {
        let mut registration =
            json!({"client_name": "Acme", "scope": "ssf.read ssf.manage", "audience": ACME_AUDIENCE});
        for (name, value) in members.as_object().expect("members are an object") {
            registration[name] = value.clone();
        }
        Acme::of_tenant(instance, &self.base, &registration)
    }

    /// Registers a client that may only publish.
    #[track_caller]
    pub fn publisher(&self, instance: &Instance) -> Acme {
        let registration = json!({"client_name": "Back end", "scope": "events.publish"});
        Acme::of_tenant(instance, &self.base, &registration)
    }

    /// Publishes events that are all good, and returns how many streams stored them.
    #[track_caller]
    pub fn publish(&self, publisher: &Client, events: &[Value]) -> u64 {
        let answer = publisher.post_json(&self.path("/events"), &json!({"events": events}), 202);
        assert_eq!(
            (&answer["accepted"], &answer["refused"]),
            (&json!(events.len()), &json!([])),
            "{answer}"
        );
        answer["streams"].as_u64().expect("a number of streams")
    }
}
