//! The crate authkestra-ssf as the receiver of what we push.

use authkestra_ssf::{
    AssuranceLevel, CaepEvent, ChangeDirection, ChangeType, ComplianceStatus, CredentialType, HandlerError,
    InitiatingEntity, SubjectIdentifier,
};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::theirs::{Handled, Theirs};
use crate::harness::{Instance, Options, eventually};
use crate::support::{ACCOUNT_DISABLED, ACME_AUDIENCE, PUSH, Stream, Tenant, event};

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type";

fn options() -> Options {
    Options::default().set("RETRY_BASE_MS", 20).set("RETRY_CAP_MS", 100)
}

/// A tenant with one stream to their endpoint.
struct Line {
    instance: Instance,
    tenant: Tenant,
    theirs: Theirs,
    stream: Stream,
}

impl Line {
    fn start(options: Options, settings: &Value, audience: &str) -> Self {
        let instance = Instance::start(options);
        let tenant = Tenant::create(&instance, "acme", settings);
        let theirs = Theirs::start(&instance, &tenant.issuer, audience);
        let client = tenant.receiver(&instance, &json!({"push_endpoints": [theirs.url()]}));
        let stream = client.stream(&json!({"delivery": {"method": PUSH, "endpoint_url": theirs.url()}}));
        Self {
            instance,
            tenant,
            theirs,
            stream,
        }
    }

    #[track_caller]
    fn publish(&self, events: &[Value]) {
        self.tenant.publish(&self.instance.operator(), events);
    }

    /// Makes another stream to them, and asks for a verification event: it is theirs when this returns.
    #[track_caller]
    fn verify_another(&self) -> (String, Handled) {
        let members = json!({"push_endpoints": [self.theirs.url()]});
        let client = self.tenant.receiver(&self.instance, &members);
        let stream = client.stream(&json!({"delivery": {"method": PUSH, "endpoint_url": self.theirs.url()}}));
        let asked = json!({"stream_id": stream.id, "state": "st-1 ü"});
        client
            .api
            .post_json(&self.tenant.path("/ssf/verification"), &asked, 204);
        (stream.id, self.theirs.handled(1).remove(0))
    }

    /// Waits until nothing is left to push.
    #[track_caller]
    fn until_idle(&self) -> Value {
        eventually("everything is delivered", || {
            let health = self.stream.health(&self.instance);
            (health["queued_events"] == json!(0)).then_some(health)
        })
    }
}

fn published(id: &str, kind: &str, sub_id: Value, event: Value) -> Value {
    json!({"id": id, "type": kind, "sub_id": sub_id, "event": event, "txn": format!("txn-{id}"), "toe": 1_795_263_000})
}

/// Every type that the crate knows is read as what was published, and the others are passed on as they are.
#[test]
fn they_take_every_event_that_we_push() {
    for alg in ["RS256", "ES256"] {
        let line = Line::start(options(), &json!({"signing_alg": alg}), ACME_AUDIENCE);
        let email = json!({"format": "email", "email": "ana@example.com"});
        let kinds = [
            (
                "session-revoked",
                json!({"format": "iss_sub", "iss": "https://idp.example", "sub": "9"}),
                json!({"event_timestamp": 1_795_263_000, "initiating_entity": "policy", "reason_admin": {"en": "Lost"}}),
            ),
            (
                "token-claims-change",
                json!({"format": "opaque", "id": "7"}),
                json!({"claims": {"role": "ro-admin"}}),
            ),
            (
                "credential-change",
                json!({"format": "phone_number", "phone_number": "+12065550100"}),
                json!({"credential_type": "fido2-roaming", "change_type": "create", "friendly_name": "Ana's key"}),
            ),
            (
                "assurance-level-change",
                email.clone(),
                json!({"namespace": "NIST-AAL", "current_level": "nist-aal2", "previous_level": "nist-aal1", "change_direction": "increase"}),
            ),
            (
                "device-compliance-change",
                json!({"format": "complex", "device": {"format": "opaque", "id": "d"}, "user": email}),
                json!({"previous_status": "compliant", "current_status": "not-compliant"}),
            ),
            ("session-presented", email.clone(), json!({"ips": ["192.0.2.1"]})),
        ];
        let mut events: Vec<Value> = kinds
            .iter()
            .map(|(kind, sub_id, event)| published(kind, &format!("{CAEP}/{kind}"), sub_id.clone(), event.clone()))
            .collect();
        events.push(published(
            "risc",
            ACCOUNT_DISABLED,
            email.clone(),
            json!({"reason": "hijacking"}),
        ));
        line.publish(&events);

        let handled = line.theirs.handled(events.len());
        for sent in &events {
            let found = handled
                .iter()
                .find(|handled| handled.set.txn.as_deref() == sent["txn"].as_str());
            let found = found.unwrap_or_else(|| panic!("{alg}: {sent} was not handled"));
            assert_eq!(found.event.event_type_uri(), sent["type"].as_str().expect("a type"));
            assert_eq!(serde_json::to_value(&found.set.sub_id).expect("JSON"), sent["sub_id"]);
            assert_eq!(found.set.events.values().collect::<Vec<_>>(), [&sent["event"]]);
            assert_eq!(found.set.toe, Some(1_795_263_000));
            // SSF-4.1.2-2, SSF-4.1.7-2: what SSF rules out is not there.
            assert_eq!((&found.set.sub, found.set.exp, found.set.nbf), (&None, None, None));
            check(&found.event, found.set.sub_id.as_ref());
        }
        assert_eq!(line.theirs.answers(), vec![202; events.len()]);
        let health = line.until_idle();
        assert_eq!(
            (&health["dead_letters"], &health["last_error"]),
            (&json!(0), &Value::Null)
        );
    }
}

/// The crate's own types say what was published.
fn check(event: &CaepEvent, sub_id: Option<&SubjectIdentifier>) {
    match event {
        CaepEvent::SessionRevoked(revoked) => {
            let metadata = &revoked.metadata;
            assert_eq!(metadata.initiating_entity, Some(InitiatingEntity::Policy));
            assert_eq!(metadata.event_timestamp, Some(1_795_263_000));
            let reason = metadata.reason_admin.as_ref().and_then(|reason| reason.get("en"));
            assert_eq!(reason.map(String::as_str), Some("Lost"));
            assert!(matches!(sub_id, Some(SubjectIdentifier::IssSub { sub, .. }) if sub == "9"));
        }
        CaepEvent::TokenClaimsChange(change) => assert_eq!(change.claims.get("role"), Some(&json!("ro-admin"))),
        CaepEvent::CredentialChange(change) => {
            assert_eq!(
                (&change.credential_type, &change.change_type),
                (&CredentialType::Fido2Roaming, &ChangeType::Create)
            );
        }
        CaepEvent::AssuranceLevelChange(change) => {
            assert_eq!(
                (&change.previous_level, &change.current_level, &change.change_direction),
                (&AssuranceLevel::Aal1, &AssuranceLevel::Aal2, &ChangeDirection::Increase)
            );
        }
        CaepEvent::DeviceComplianceChange(change) => {
            assert_eq!(
                (&change.previous_status, &change.current_status),
                (&ComplianceStatus::Compliant, &ComplianceStatus::NotCompliant)
            );
            assert!(matches!(sub_id, Some(SubjectIdentifier::Other { format, .. }) if format == "complex"));
        }
        CaepEvent::Unknown { .. } => {}
        other => panic!("{other:?}"),
    }
}

/// What the stream says of itself is a SET like any other to them.
#[test]
fn they_take_a_verification() {
    let line = Line::start(options(), &json!({}), ACME_AUDIENCE);
    let (stream_id, handled) = line.verify_another();
    assert!(handled.event.event_type_uri().ends_with("/ssf/event-type/verification"));
    assert_eq!(
        handled.set.events.values().collect::<Vec<_>>(),
        [&json!({"state": "st-1 ü"})]
    );
    assert_eq!(handled.set.sub_id, Some(SubjectIdentifier::Opaque { id: stream_id }));
}

/// PUSH-2-6: what they have already is acknowledged, and what they could not handle is sent again until they can.
#[test]
fn they_see_each_event_once_whatever_fails() {
    let line = Line::start(options(), &json!({}), ACME_AUDIENCE);
    line.theirs.lose_answers(2);
    line.publish(&[event("lost", "ana@example.com")]);
    let first = line.theirs.handled(1).remove(0);
    line.until_idle();
    // Accepted three times, and acted upon once: the `jti` was the same.
    assert_eq!(line.theirs.answers(), [202, 202, 202]);

    for _ in 0..2 {
        line.theirs
            .then(HandlerError::Internal("the data store is away".to_owned()));
    }
    line.publish(&[event("failed", "ana@example.com")]);
    let second = line.theirs.handled(1).remove(0);
    assert_eq!(second.set.txn.as_deref(), Some("txn-failed"));
    assert_ne!(second.set.jti, first.set.jti);
    let health = line.until_idle();
    assert_eq!(line.theirs.answers()[3..], [500, 500, 202]);
    assert_eq!(health["dead_letters"], json!(0));
}

/// PUSH-2.3-2: an event that they refuse is a dead letter with their reason, and the next one is pushed.
#[test]
fn what_they_refuse_is_a_dead_letter_with_their_reason() {
    let line = Line::start(options(), &json!({}), ACME_AUDIENCE);
    line.theirs.then(HandlerError::Rejected("not one of ours".to_owned()));
    line.publish(&[event("refused", "ana@example.com"), event("taken", "ana@example.com")]);
    let taken = line.theirs.handled(1).remove(0);
    assert_eq!(taken.set.txn.as_deref(), Some("txn-taken"));
    line.until_idle();
    let letters = line.stream.dead_letters(&line.instance);
    assert_eq!(letters.len(), 1);
    assert_eq!(
        (&letters[0]["err"], &letters[0]["description"]),
        (&json!("access_denied"), &json!("not one of ours"))
    );
    assert_eq!(line.theirs.answers(), [400, 202]);

    let line = Line::start(options(), &json!({}), "https://somebody.example");
    line.publish(&[event("strayed", "ana@example.com")]);
    line.until_idle();
    let letters = line.stream.dead_letters(&line.instance);
    assert_eq!(letters[0]["err"], json!("invalid_audience"));
}

/// Design 7: a key that is new to them is published before it signs. A stream that is there asks for it when its own is a minute
/// old, another one gets it at once.
#[test]
fn they_follow_the_rotation_of_our_keys() {
    let line = Line::start(options().set("JWKS_MAX_AGE_S", 1), &json!({}), ACME_AUDIENCE);
    line.publish(&[event("before", "ana@example.com")]);
    line.theirs.handled(1);
    assert_eq!(line.theirs.algs(), [Algorithm::RS256]);
    line.tenant.change(&line.instance, &json!({"signing_alg": "ES256"}));
    eventually("the new key signs", || {
        line.verify_another();
        (line.theirs.algs().last() == Some(&Algorithm::ES256)).then_some(())
    });
    let algs = line.theirs.algs();
    assert_eq!(
        algs[1],
        Algorithm::RS256,
        "the old key signs until everybody can know the new one"
    );
    assert_eq!(line.theirs.answers(), vec![202; algs.len()]);
}
