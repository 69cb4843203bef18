//! The CAEP Interoperability Profile walked from one end to the other, as its conformance tests would: with nothing but what
//! the metadata says (SSF-8-1, CAEP-4-1, RISC-4-1, CIP-1-1). One test for each method of delivery.

mod cited;

use serde_json::{Value, json};

use crate::harness::{Client, Instance, Options, ScriptedReceiver};
use crate::support::{ACME_AUDIENCE, CREDENTIAL_CHANGE, POLL, PUSH, SESSION_REVOKED, Set};

const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";

/// What discovery tells a receiver.
struct Transmitter {
    metadata: Value,
    jwks: Value,
    origin: String,
}

impl Transmitter {
    /// CIP-2.3.1-1 to CIP-2.3.7-1, SSF-7.1-2, SSF-7.1-3, SSF-7.1.1-2, SSF-7.2.4-3. Under test everything is http on loopback:
    /// that URLs are https elsewhere follows from the issuer that they all begin with (SSF-7.1-13, CIP-2.1-1).
    fn discover(instance: &Instance) -> Self {
        let anyone = instance.anyone();
        let metadata = anyone.get("/.well-known/ssf-configuration", 200);
        let issuer = instance.origin();
        assert_eq!(metadata["spec_version"], json!("1_0"));
        assert_eq!(metadata["issuer"], json!(issuer));
        assert_eq!(metadata["delivery_methods_supported"], json!([PUSH, POLL]));
        let schemes = metadata["authorization_schemes"].as_array().expect("an array");
        assert!(schemes.contains(&json!({"spec_urn": "urn:ietf:rfc:6749"})));
        // CIP-2.4.2-2: its receivers take all subjects to be in the stream.
        assert_eq!(metadata["default_subjects"], json!("ALL"));
        for endpoint in [
            "jwks_uri",
            "configuration_endpoint",
            "status_endpoint",
            "verification_endpoint",
            "add_subject_endpoint",
            "remove_subject_endpoint",
        ] {
            let url = metadata[endpoint].as_str().unwrap_or_else(|| panic!("no {endpoint}"));
            assert!(url.starts_with(&format!("{issuer}/")), "{endpoint}: {url}");
        }
        // SSF-7.2.2-2: nothing at the place of old.
        anyone.get("/.well-known/risc-configuration", 404);
        let mut transmitter = Self {
            metadata,
            jwks: Value::Null,
            origin: issuer,
        };
        transmitter.jwks = anyone.get(&transmitter.path("jwks_uri"), 200);
        transmitter
    }

    fn path(&self, endpoint: &str) -> String {
        let url = self.metadata[endpoint].as_str().expect("a URL");
        url.strip_prefix(&self.origin).expect("a URL of the issuer").to_owned()
    }

    /// SSF-4.1.1-1, SSF-4.1.6-1, SSF-4.2.1-1, CIP-2.6-1, CIP-2.8.1-1: the one event of a SET, which is RS256 and verifies.
    fn verified(&self, set: &str, event_type: &str) -> Value {
        let set = Set::verified(set, &self.jwks);
        assert_eq!(set.header["alg"], json!("RS256"));
        assert_eq!(set.header["typ"], json!("secevent+jwt"));
        assert_eq!(
            (&set.claims["iss"], &set.claims["aud"]),
            (&json!(self.origin), &json!(ACME_AUDIENCE))
        );
        let events = set.claims["events"].as_object().expect("events are an object");
        assert_eq!(events.len(), 1, "{}", set.claims);
        let mut event = events
            .get(event_type)
            .cloned()
            .unwrap_or_else(|| panic!("{}", set.claims));
        event["sub_id"] = set.claims["sub_id"].clone();
        event
    }
}

/// CIP-2.7.1-2, CIP-2.7.1-3, CIP-2.7.2-2: a short-lived token of the client credentials grant, for scopes that begin with ssf.
fn token(instance: &Instance, push_endpoints: &[&str]) -> Client {
    let client = instance.operator().post_json(
        "/admin/clients",
        &json!({"client_name": "Interop", "scope": "ssf.read ssf.manage", "audience": ACME_AUDIENCE,
                "profile": "caep_interop", "push_endpoints": push_endpoints}),
        201,
    );
    let text = |name: &str| client[name].as_str().expect("a string").to_owned();
    let issued = instance
        .anyone()
        .basic(&text("client_id"), &text("client_secret"))
        .post_form(
            "/oauth/token",
            &[("grant_type", "client_credentials"), ("scope", "ssf.read ssf.manage")],
            200,
        );
    assert!(
        issued["expires_in"]
            .as_u64()
            .is_some_and(|seconds| (1..=3600).contains(&seconds))
    );
    let token = issued["access_token"].as_str().expect("a token");
    let claims = Set::decode(token).claims;
    let life = claims["exp"].as_i64().expect("exp") - claims["iat"].as_i64().expect("iat");
    assert!((1..=3600).contains(&life), "CIP-2.7.1-4");
    instance.anyone().bearer(token)
}

/// CIP-2.3.8.2-1 to CIP-2.3.8.2-4, CIP-2.7.3-3, CIP-2.7.3-4: what the profile wants of the management API, and only with a token.
fn manage(instance: &Instance, transmitter: &Transmitter, receiver: &Client, delivery: &Value) -> Value {
    let streams = transmitter.path("configuration_endpoint");
    let request = json!({"delivery": delivery, "events_requested": [SESSION_REVOKED, CREDENTIAL_CHANGE]});
    instance.anyone().post_json(&streams, &request, 401);
    instance.anyone().bearer("forged").post_json(&streams, &request, 401);
    let stream = receiver.post_json(&streams, &request, 201);
    let id = stream["stream_id"].as_str().expect("an id");
    // CIP-2.3.8.1-1, CIP-2.3.8.1-2, CIP-3.1-1, CIP-3.2-1
    assert_eq!(stream["delivery"]["method"], delivery["method"]);
    assert_eq!(stream["events_delivered"], json!([SESSION_REVOKED, CREDENTIAL_CHANGE]));
    assert_eq!(receiver.get(&format!("{streams}?stream_id={id}"), 200), stream);
    let status = format!("{}?stream_id={id}", transmitter.path("status_endpoint"));
    assert_eq!(
        receiver.get(&status, 200),
        json!({"stream_id": id, "status": "enabled"})
    );
    // CIP-2.3.5-1, CIP-2.3.5-2
    for word in ["paused", "disabled", "enabled"] {
        let wanted = json!({"stream_id": id, "status": word});
        assert_eq!(
            receiver.post_json(&transmitter.path("status_endpoint"), &wanted, 200),
            wanted
        );
    }
    // CIP-2.3.6-1
    let verify = json!({"stream_id": id, "state": "v-1"});
    receiver.post_json(&transmitter.path("verification_endpoint"), &verify, 204);
    stream
}

/// CIP-2.5-1, CIP-2.5-3, CIP-3.1-2, CIP-3.2-4: both use cases in both formats of subjects, one without a reason of the
/// publisher's.
fn publish(instance: &Instance) {
    let user = json!({"format": "iss_sub", "iss": "https://login.acme.example", "sub": "emp-1"});
    let events = json!([
        {"type": SESSION_REVOKED, "sub_id": {"format": "email", "email": "ana@acme.example"}, "event": {}},
        {"type": CREDENTIAL_CHANGE, "sub_id": user,
         "event": {"credential_type": "password", "change_type": "update", "reason_admin": {"en": "Reset"}}},
    ]);
    instance
        .operator()
        .post_json("/events", &json!({"events": events}), 202);
}

/// The three SETs, whatever their order: SSF-8.1.4.2-7.
fn check(transmitter: &Transmitter, stream: &Value, sets: &[String]) {
    let of_type = |event_type: &str| {
        let found: Vec<_> = sets
            .iter()
            .filter(|set| Set::decode(set).claims["events"].get(event_type).is_some())
            .collect();
        assert_eq!(found.len(), 1, "one {event_type}");
        transmitter.verified(found[0], event_type)
    };
    let verification = of_type(VERIFICATION);
    assert_eq!(verification["state"], json!("v-1"));
    assert_eq!(
        verification["sub_id"],
        json!({"format": "opaque", "id": stream["stream_id"]})
    );
    for (event_type, format) in [(SESSION_REVOKED, "email"), (CREDENTIAL_CHANGE, "iss_sub")] {
        let event = of_type(event_type);
        assert_eq!(event["sub_id"]["format"], json!(format));
        let reason = event["reason_admin"]["en"].as_str().unwrap_or_default();
        assert!(!reason.is_empty(), "{event_type} has a reason: {event}");
    }
}

#[test]
fn a_receiver_of_the_interop_profile_is_served_by_push() {
    let instance = Instance::start(Options::default());
    let endpoint = ScriptedReceiver::start();
    let receiver = token(&instance, &[&endpoint.url("/in")]);
    let transmitter = Transmitter::discover(&instance);
    let delivery = json!({"method": PUSH, "endpoint_url": endpoint.url("/in")});
    let stream = manage(&instance, &transmitter, &receiver, &delivery);
    publish(&instance);
    endpoint.wait_for(3);
    let text = |body: &Vec<u8>| String::from_utf8(body.clone()).expect("a SET is text");
    let sets: Vec<String> = endpoint.requests().iter().map(|push| text(&push.body)).collect();
    check(&transmitter, &stream, &sets);
}

#[test]
fn a_receiver_of_the_interop_profile_is_served_by_poll() {
    let instance = Instance::start(Options::default());
    let receiver = token(&instance, &[]);
    let transmitter = Transmitter::discover(&instance);
    let stream = manage(&instance, &transmitter, &receiver, &json!({"method": POLL}));
    publish(&instance);
    let url = stream["delivery"]["endpoint_url"].as_str().expect("a poll URL");
    let path = url.strip_prefix(&instance.origin()).expect("a URL of the issuer");
    let request = json!({"returnImmediately": true});
    // SSF-7.1.1-4: the poll endpoint wants the same token.
    instance.anyone().post_json(path, &request, 401);
    let answer = receiver.post_json(path, &request, 200);
    let sets = answer["sets"].as_object().expect("sets").values();
    let sets: Vec<String> = sets.map(|set| set.as_str().expect("a SET").to_owned()).collect();
    check(&transmitter, &stream, &sets);
}
