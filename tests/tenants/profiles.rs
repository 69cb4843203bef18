//! Profiles: the same published event as receivers of each kind get it.

use serde_json::{Value, json};

use crate::harness::{Instance, Options, ScriptedReceiver};
use crate::support::{ACCOUNT_DISABLED, Acme, CREDENTIAL_CHANGE, SESSION_REVOKED, Set, Stream, Tenant, event};

const PROFILES: [&str; 3] = ["ssf", "caep_interop", "legacy_subject"];
const SESSION_ESTABLISHED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-established";
const SESSIONS_REVOKED: &str = "https://schemas.openid.net/secevent/risc/event-type/sessions-revoked";
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
const STREAM_UPDATED: &str = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated";
const BADGE_LOST: &str = "https://events.quarry.example/badge-lost";

/// A tenant in which there is a client of each profile, with a polled stream.
struct Party {
    instance: Instance,
    tenant: Tenant,
    clients: [Acme; 3],
    streams: [Stream; 3],
}

impl Party {
    #[track_caller]
    fn start(settings: &Value) -> Self {
        let instance = Instance::start(Options::default());
        let tenant = Tenant::create(&instance, "acme", settings);
        let clients = PROFILES.map(|profile| tenant.receiver(&instance, &json!({"profile": profile})));
        let streams = [0, 1, 2].map(|at: usize| clients[at].poll_stream());
        Self {
            instance,
            tenant,
            clients,
            streams,
        }
    }

    /// Publishes one event and returns it as each of the three gets it.
    #[track_caller]
    fn publish(&self, event_type: &str, sub_id: &Value, content: &Value) -> [Set; 3] {
        let mut event = event("", "ana@example.com");
        event.as_object_mut().expect("an object").remove("id");
        event["type"] = json!(event_type);
        event["sub_id"] = sub_id.clone();
        event["event"] = content.clone();
        assert_eq!(self.tenant.publish(&self.instance.operator(), &[event]), 3);
        self.take()
    }

    /// The one SET that waits in each stream, verified and acknowledged.
    #[track_caller]
    fn take(&self) -> [Set; 3] {
        let jwks = self.tenant.jwks(&self.instance);
        [0, 1, 2].map(|at: usize| {
            let mut waiting = self.streams[at].poll_now();
            assert_eq!(waiting.len(), 1, "{}", PROFILES[at]);
            let (jti, set) = waiting.remove(0);
            self.streams[at].ack(&[&jti]);
            Set::verified(&set, &jwks)
        })
    }
}

/// The only event of a SET.
#[track_caller]
fn only_event(set: &Set) -> (&String, &Value) {
    let events = set.claims["events"].as_object().expect("events are an object");
    // SSF-4.2.1-4, CIP-2.8.1-1
    assert_eq!(events.len(), 1, "{}", set.claims);
    events.iter().next().expect("one")
}

fn with(event: &Value, name: &str, value: &Value) -> Value {
    let mut event = event.clone();
    event[name] = value.clone();
    event
}

#[test]
fn each_profile_gets_the_event_in_its_own_shape() {
    let party = Party::start(&json!({"events_supported": [
        SESSION_REVOKED, CREDENTIAL_CHANGE, SESSION_ESTABLISHED, ACCOUNT_DISABLED, SESSIONS_REVOKED, BADGE_LOST,
    ]}));
    let email = json!({"format": "email", "email": "ana@example.com"});
    let complex = json!({"format": "complex", "tenant": {"format": "opaque", "id": "t"}, "user": email});
    let reason = json!({"en": "Lost laptop"});
    let change = json!({"credential_type": "pin", "change_type": "create"});
    // The type, its content, whether interop fills in a reason, and whether the subject goes in the old place, too.
    for (event_type, content, fills, repeats) in [
        // CIP-3.1-2, CIP-3.2-4
        (SESSION_REVOKED, json!({}), true, true),
        (SESSION_REVOKED, json!({"initiating_entity": "policy"}), true, true),
        (CREDENTIAL_CHANGE, change.clone(), true, true),
        // What the publisher said is what is sent (CIP-3.2-5).
        (SESSION_REVOKED, json!({"reason_admin": reason}), false, true),
        (CREDENTIAL_CHANGE, with(&change, "reason_admin", &reason), false, true),
        // Only the profile's two event types have to say why.
        (SESSION_ESTABLISHED, json!({"acr": "1"}), false, true),
        // RISC's event of nearly the same name is not CAEP's.
        (SESSIONS_REVOKED, json!({}), false, true),
        (ACCOUNT_DISABLED, json!({"reason": "hijacking"}), false, true),
        // SSF-3.1.2-1, SSF-3.1.2-2: new types have one place for their subject.
        (BADGE_LOST, json!({"badge": 7}), false, false),
    ] {
        for sub_id in [&email, &complex] {
            let [plain, interop, legacy] = party.publish(event_type, sub_id, &content);
            for set in [&plain, &interop, &legacy] {
                assert_eq!(only_event(set).0, event_type);
                assert_eq!(&set.claims["sub_id"], sub_id, "SSF-3.1-1, SSF-3.1.1-2");
                assert_eq!(set.claims.get("subject"), None);
            }
            assert_eq!(only_event(&plain).1, &content, "{event_type}: as published");

            let filled = only_event(&interop).1;
            if fills {
                let messages = filled["reason_admin"].as_object().expect("a language map");
                let says = |message: &Value| message.as_str().is_some_and(|text| !text.is_empty());
                assert!(messages.values().any(says), "{filled}");
                assert_eq!(filled, &with(&content, "reason_admin", &filled["reason_admin"]));
            } else {
                assert_eq!(filled, &content, "{event_type}");
            }

            // SSF-3.1.1-1
            let expected = if repeats {
                with(&content, "subject", sub_id)
            } else {
                content.clone()
            };
            assert_eq!(only_event(&legacy).1, &expected, "{event_type}");
        }
    }
}

#[test]
fn the_transmitters_own_events_look_the_same_to_everybody() {
    let party = Party::start(&json!({}));
    let operator = party.instance.operator();
    for (client, stream) in party.clients.iter().zip(&party.streams) {
        let request = json!({"stream_id": stream.id, "state": "v-1"});
        let path = party.tenant.path("/ssf/verification");
        client.api.send_json("POST", &path, &request, 204);
    }
    for (set, stream) in party.take().iter().zip(&party.streams) {
        assert_eq!(only_event(set), (&VERIFICATION.to_owned(), &json!({"state": "v-1"})));
        // SSF-8.1.4.1-1
        assert_eq!(set.claims["sub_id"], json!({"format": "opaque", "id": stream.id}));
    }
    for stream in &party.streams {
        let change = json!({"status": "paused", "reason": "storage work"});
        operator.patch_json(&stream.admin_path(""), &change, 200);
    }
    for (set, stream) in party.take().iter().zip(&party.streams) {
        let (event_type, content) = only_event(set);
        assert_eq!(event_type, STREAM_UPDATED);
        assert_eq!(content, &json!({"status": "paused", "reason": "storage work"}));
        // SSF-8.1.5-5
        assert_eq!(set.claims["sub_id"], json!({"format": "opaque", "id": stream.id}));
    }
}

#[test]
fn the_interop_profile_holds_whatever_its_tenant_chose() {
    let party = Party::start(&json!({"signing_alg": "ES256", "default_subjects": "NONE"}));
    let [plain, interop, _] = &party.streams;
    let mut events = vec![event("evt-1", "ana@example.com")];
    events[0]["event"] = json!({});
    // CIP-2.4.2-1: without a subject added; the others wait to be asked.
    assert_eq!(party.tenant.publish(&party.instance.operator(), &events), 1);
    assert_eq!(plain.poll_now(), []);
    let (_, set) = interop.poll_now().remove(0);
    let set = Set::verified(&set, &party.tenant.jwks(&party.instance));
    // CIP-2.6-1
    assert_eq!(set.header["alg"], json!("RS256"));
    assert_eq!(set.header["typ"], json!("secevent+jwt"));
    assert!(only_event(&set).1["reason_admin"]["en"].is_string(), "CIP-3.1-2");
    for (member, requirement) in [("sub", "SSF-4.1.2-1"), ("exp", "SSF-4.1.7-1")] {
        assert_eq!(set.claims.get(member), None, "{requirement}");
    }

    // CIP-2.3.8.1-1: by push as by poll; CIP-2.3: what the metadata has to have.
    let receiver = ScriptedReceiver::start();
    let client = party.tenant.receiver(
        &party.instance,
        &json!({"profile": "caep_interop", "push_endpoints": [receiver.url("/")]}),
    );
    client.push_stream(&receiver.url("/events"));
    party
        .tenant
        .publish(&party.instance.operator(), &[event("evt-2", "ana@example.com")]);
    let push = Set::verified(receiver.wait_for(1).text(), &party.tenant.jwks(&party.instance));
    assert_eq!(push.header["alg"], json!("RS256"));
    let metadata = party
        .instance
        .anyone()
        .get("/.well-known/ssf-configuration/t/acme", 200);
    assert_eq!(metadata["spec_version"], json!("1_0"), "CIP-2.3.1-1");
    for member in [
        "delivery_methods_supported", // CIP-2.3.2-1
        "jwks_uri",                   // CIP-2.3.3-1
        "configuration_endpoint",     // CIP-2.3.4-1
        "status_endpoint",            // CIP-2.3.5-1
        "verification_endpoint",      // CIP-2.3.6-1
        "authorization_schemes",      // CIP-2.3.7-1
    ] {
        assert!(metadata.get(member).is_some(), "{member}");
    }
}

#[test]
fn an_event_that_is_published_again_is_the_same_one_in_every_shape() {
    let party = Party::start(&json!({}));
    let operator = party.instance.operator();
    for _ in 0..2 {
        let mut again = event("evt-1", "ana@example.com");
        again["event"] = json!({});
        assert_eq!(party.tenant.publish(&operator, &[again]), 3);
    }
    let [plain, interop, legacy] = party.take();
    assert_eq!(plain.text("txn"), interop.text("txn"), "SSF-4.1.9-3");
    assert_eq!(plain.text("txn"), legacy.text("txn"));
}

#[test]
fn an_event_keeps_the_shape_that_it_had_when_it_was_accepted() {
    let party = Party::start(&json!({}));
    let operator = party.instance.operator();
    let (client, stream) = (&party.clients[0], &party.streams[0]);
    party.tenant.publish(&operator, &[event("evt-1", "ana@example.com")]);
    let before = stream.poll_now();
    operator.patch_json(&client.path(), &json!({"profile": "legacy_subject"}), 200);
    // The same SET on every attempt: same claims, and so the same signature.
    assert_eq!(stream.poll_now(), before);
    party.tenant.publish(&operator, &[event("evt-2", "ana@example.com")]);
    let after = stream.poll_now();
    let subjects = after.iter().filter(|(_, set)| {
        let set = Set::decode(set);
        only_event(&set).1.get("subject") == Some(&set.claims["sub_id"])
    });
    assert_eq!((after.len(), subjects.count()), (2, 1));
}

/// CIP-2.4.2-1; and a refusal changes nothing, whatever else the request asked for.
#[test]
fn an_operator_cannot_take_the_subjects_from_a_stream_of_the_interop_profile() {
    let party = Party::start(&json!({}));
    let operator = party.instance.operator();
    for (stream, status) in [(&party.streams[0], 200), (&party.streams[1], 409)] {
        let path = party.tenant.path(&format!("/admin/streams/{}", stream.id));
        let asked = json!({"status": "paused", "default_subjects": "NONE"});
        operator.patch_json(&path, &asked, status);
        let health = stream.health(&party.instance);
        let expected = if status == 200 {
            ["paused", "NONE"]
        } else {
            ["enabled", "ALL"]
        };
        assert_eq!(json!([health["status"], health["default_subjects"]]), json!(expected));
    }
}
