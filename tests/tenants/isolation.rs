//! Nothing of one tenant is anything in another: what is not there and what is somebody else's look alike.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Instance, Options, ScriptedReceiver};
use crate::support::{ACME_AUDIENCE, Acme, Set, Stream, Tenant, assert_problem, event, without_request_id};

use super::attempt;

/// Well-formed, and never given out.
const UNKNOWN_ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// One of everything in a tenant, which lives under `base`.
struct Household {
    base: String,
    receiver: Acme,
    publisher: Acme,
    stream: Stream,
    source_id: String,
}

impl Household {
    #[track_caller]
    fn set_up(instance: &Instance, base: &str) -> Self {
        let registration = json!({"client_name": "Acme", "scope": "ssf.read ssf.manage", "audience": ACME_AUDIENCE});
        let receiver = Acme::of_tenant(instance, base, &registration);
        let registration = json!({"client_name": "Back end", "scope": "events.publish"});
        let publisher = Acme::of_tenant(instance, base, &registration);
        let stream = receiver.poll_stream();
        let request = json!({"issuer": "https://idp.example", "audience": "x"});
        let source = instance
            .operator()
            .post_json(&format!("{base}/admin/sources"), &request, 201);
        Self {
            base: base.to_owned(),
            receiver,
            publisher,
            stream,
            source_id: source["source_id"].as_str().expect("an id").to_owned(),
        }
    }

    /// What its operator and its receiver see.
    #[track_caller]
    fn picture(&self, instance: &Instance) -> Value {
        let base = &self.base;
        let operator = instance.operator();
        let mut picture = json!({
            "configurations": self.receiver.api.get(&format!("{base}/ssf/streams"), 200),
            "status": self.receiver.api.get(&format!("{base}/ssf/status?stream_id={}", self.stream.id), 200),
            "queued": self.stream.health(instance)["queued_events"],
        });
        for list in ["clients", "streams", "sources"] {
            picture[list] = operator.get(&format!("{base}/admin/{list}"), 200)[list].clone();
        }
        picture
    }
}

/// `default` and two others.
fn households(instance: &Instance) -> [Household; 3] {
    for name in ["acme", "beta"] {
        Tenant::create(instance, name, &json!({}));
    }
    ["", "/t/acme", "/t/beta"].map(|base| Household::set_up(instance, base))
}

/// Every pair of two of them.
fn pairs(all: &[Household; 3]) -> impl Iterator<Item = (&Household, &Household)> {
    all.iter().flat_map(move |one| {
        let others = all.iter().filter(move |other| other.base != one.base);
        others.map(move |other| (one, other))
    })
}

#[track_caller]
fn assert_alike(theirs: &Answer, unknown: &Answer, status: u16, what: &str) {
    assert_eq!(theirs.status, status, "{what}: {theirs}");
    assert_eq!(without_request_id(theirs), without_request_id(unknown), "{what}");
}

/// Everything a receiver does with a stream.
fn acts_of_a_receiver(client: &Client, base: &str, stream_id: &str) -> Vec<(String, Answer)> {
    let subject = json!({"format": "email", "email": "ana@example.com"});
    let by_query = |path: &str| format!("{base}{path}?stream_id={stream_id}");
    let plain = |path: &str| format!("{base}{path}");
    [
        ("GET", by_query("/ssf/streams"), Value::Null),
        ("DELETE", by_query("/ssf/streams"), Value::Null),
        ("GET", by_query("/ssf/status"), Value::Null),
        (
            "PATCH",
            plain("/ssf/streams"),
            json!({"stream_id": stream_id, "description": "mine"}),
        ),
        ("PUT", plain("/ssf/streams"), json!({"stream_id": stream_id})),
        (
            "POST",
            plain("/ssf/status"),
            json!({"stream_id": stream_id, "status": "disabled"}),
        ),
        (
            "POST",
            plain("/ssf/subjects/add"),
            json!({"stream_id": stream_id, "subject": subject}),
        ),
        (
            "POST",
            plain("/ssf/subjects/remove"),
            json!({"stream_id": stream_id, "subject": subject}),
        ),
        ("POST", plain("/ssf/verification"), json!({"stream_id": stream_id})),
        (
            "POST",
            format!("{base}/ssf/poll/{stream_id}"),
            json!({"returnImmediately": true, "ack": ["x"]}),
        ),
    ]
    .into_iter()
    .map(|(method, path, body)| {
        let what = format!("{method} {}", path.replace(stream_id, "{id}"));
        (what, attempt(client, method, &path, &body))
    })
    .collect()
}

#[test]
fn a_token_of_one_tenant_is_no_token_in_another() {
    let instance = Instance::start(Options::default());
    let all = households(&instance);
    let before: Vec<Value> = all.iter().map(|one| one.picture(&instance)).collect();
    for (one, other) in pairs(&all) {
        // Signed by nobody: the signature is another token's.
        let parts: Vec<&str> = other.receiver.token.split('.').collect();
        let foreign_end = one.receiver.token.rsplit('.').next().expect("a signature");
        let forged = instance
            .anyone()
            .bearer(&format!("{}.{}.{foreign_end}", parts[0], parts[1]));
        for client in [&one.receiver.api, &one.publisher.api] {
            let theirs = acts_of_a_receiver(client, &other.base, &other.stream.id);
            let unknown = acts_of_a_receiver(&forged, &other.base, &other.stream.id);
            for ((what, theirs), (_, unknown)) in theirs.iter().zip(&unknown) {
                assert_alike(theirs, unknown, 401, what);
            }
            for (path, body) in [
                ("/ssf/streams", json!({})),
                ("/events", json!({"events": [event("evt-1", "ana@example.com")]})),
            ] {
                let path = format!("{}{path}", other.base);
                let theirs = attempt(client, "POST", &path, &body);
                assert_alike(&theirs, &attempt(&forged, "POST", &path, &body), 401, &path);
                assert!(
                    theirs
                        .header("www-authenticate")
                        .is_some_and(|header| header.contains("invalid_token")),
                    "SSF-8-7: {theirs}"
                );
            }
        }
    }
    let after: Vec<Value> = all.iter().map(|one| one.picture(&instance)).collect();
    assert_eq!(after, before);
}

#[test]
fn a_client_of_one_tenant_gets_no_token_from_another() {
    let instance = Instance::start(Options::default());
    let all = households(&instance);
    let grant = [("grant_type", "client_credentials")];
    let ask = |base: &str, id: &str, secret: &str| {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(grant)
            .finish();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let client = instance.anyone().basic(id, secret);
        client.send("POST", &format!("{base}/oauth/token"), &headers, body.as_bytes(), 401)
    };
    for (one, other) in pairs(&all) {
        let theirs = ask(&other.base, &one.receiver.client_id, &one.receiver.client_secret);
        let unknown = ask(&other.base, "nobody", "secret");
        assert_eq!(without_request_id(&theirs), without_request_id(&unknown));
        assert_eq!(theirs.json()["error"], json!("invalid_client"));
    }
}

#[test]
fn a_stream_of_one_tenant_is_not_found_by_a_receiver_of_another() {
    let instance = Instance::start(Options::default());
    let all = households(&instance);
    let before: Vec<Value> = all.iter().map(|one| one.picture(&instance)).collect();
    for (one, other) in pairs(&all) {
        // SSF-8-5, with a good token of the tenant that is asked.
        let theirs = acts_of_a_receiver(&other.receiver.api, &other.base, &one.stream.id);
        let unknown = acts_of_a_receiver(&other.receiver.api, &other.base, UNKNOWN_ID);
        assert_eq!(theirs.len(), 10);
        for ((what, theirs), (_, unknown)) in theirs.iter().zip(&unknown) {
            assert_problem(theirs, 404);
            assert_alike(theirs, unknown, 404, what);
        }
    }
    let after: Vec<Value> = all.iter().map(|one| one.picture(&instance)).collect();
    assert_eq!(after, before);
}

#[test]
fn the_operator_finds_in_a_tenant_what_is_of_this_tenant() {
    let instance = Instance::start(Options::default());
    let all = households(&instance);
    let before: Vec<Value> = all.iter().map(|one| one.picture(&instance)).collect();
    let operator = instance.operator();
    let subject = json!({"format": "email", "email": "ana@example.com"});
    let stream_acts = [
        ("GET", "", Value::Null),
        ("PATCH", "", json!({"status": "disabled"})),
        ("DELETE", "", Value::Null),
        ("GET", "/deliveries", Value::Null),
        ("GET", "/dead-letters", Value::Null),
        ("POST", "/subjects", json!({"add": [subject]})),
        ("POST", "/explain", event("evt-1", "ana@example.com")),
    ];
    let client_acts = [
        ("GET", "", Value::Null),
        ("PATCH", "", json!({"client_name": "Taken"})),
        ("DELETE", "", Value::Null),
    ];
    let source_acts = [
        ("GET", "", Value::Null),
        ("DELETE", "", Value::Null),
        ("GET", "/events", Value::Null),
    ];
    for (one, other) in pairs(&all) {
        for (list, id, acts) in [
            ("streams", one.stream.id.as_str(), &stream_acts[..]),
            ("clients", one.receiver.client_id.as_str(), &client_acts[..]),
            ("sources", one.source_id.as_str(), &source_acts[..]),
        ] {
            let unknown_id = if list == "clients" { "nobody" } else { UNKNOWN_ID };
            for (method, rest, body) in acts {
                let at = |id: &str| format!("{}/admin/{list}/{id}{rest}", other.base);
                let theirs = attempt(&operator, method, &at(id), body);
                let unknown = attempt(&operator, method, &at(unknown_id), body);
                assert_problem(&theirs, 404);
                assert_alike(&theirs, &unknown, 404, &format!("{method} {list}{rest}"));
            }
        }
    }
    let after: Vec<Value> = all.iter().map(|one| one.picture(&instance)).collect();
    assert_eq!(after, before);
}

#[test]
fn the_lists_of_a_tenant_show_what_is_its_own() {
    let instance = Instance::start(Options::default());
    let all = households(&instance);
    let operator = instance.operator();
    let ids = |household: &Household, list: &str, name: &str| -> BTreeSet<String> {
        let answer = operator.get(&format!("{}/admin/{list}", household.base), 200);
        let entries = answer[list].as_array().expect("an array");
        let id = |entry: &Value| entry[name].as_str().expect("an id").to_owned();
        entries.iter().map(id).collect()
    };
    for one in &all {
        let clients = [&one.receiver.client_id, &one.publisher.client_id].map(String::clone);
        assert_eq!(ids(one, "clients", "client_id"), BTreeSet::from(clients));
        assert_eq!(
            ids(one, "streams", "stream_id"),
            BTreeSet::from([one.stream.id.clone()])
        );
        assert_eq!(
            ids(one, "sources", "source_id"),
            BTreeSet::from([one.source_id.clone()])
        );
        let own = one.receiver.api.get(&format!("{}/ssf/streams", one.base), 200);
        assert_eq!(own, json!([one.stream.configuration]), "SSF-8-2");
    }
}

#[test]
fn an_event_reaches_the_streams_of_its_tenant_and_no_others() {
    let instance = Instance::start(Options::default());
    let all = households(&instance);
    let operator = instance.operator();
    // The same ids in each tenant stand for what each tenant says.
    for (number, one) in all.iter().enumerate() {
        for publisher in [&operator, &one.publisher.api] {
            let events = json!({"events": [event("evt-1", &format!("{number}@example.com"))]});
            for _ in 0..2 {
                let answer = publisher.post_json(&format!("{}/events", one.base), &events, 202);
                assert_eq!(answer["streams"], json!(1), "{answer}");
            }
        }
    }
    let mut jtis = BTreeSet::new();
    for (number, one) in all.iter().enumerate() {
        let jwks = instance.anyone().get(&format!("{}/jwks.json", one.base), 200);
        let sets = one.stream.poll_now();
        assert_eq!(sets.len(), 2, "the operator's and the publisher's");
        for (jti, set) in sets {
            let set = Set::verified(&set, &jwks);
            assert_eq!(set.email(), format!("{number}@example.com"));
            assert_eq!(set.claims["iss"], one.stream.configuration["iss"]);
            assert!(jtis.insert(jti));
        }
        // A conflict is found within a tenant.
        let other = json!({"events": [event("evt-1", "else@example.com")]});
        operator.post_json(&format!("{}/events", one.base), &other, 409);
    }
}

#[test]
fn no_two_tenants_share_a_key() {
    let instance = Instance::start(Options::default());
    let all = households(&instance);
    let mut kids = BTreeSet::new();
    for one in &all {
        let jwks = instance.anyone().get(&format!("{}/jwks.json", one.base), 200);
        for key in jwks["keys"].as_array().expect("an array") {
            assert!(kids.insert(key["kid"].to_string()), "{key}");
            assert!(kids.insert(key["n"].to_string()), "{key}");
        }
    }
    assert_eq!(kids.len(), 6);
}

#[test]
fn an_endpoint_is_registered_for_a_client_of_one_tenant() {
    let instance = Instance::start(Options::default());
    let receiver = ScriptedReceiver::start();
    let [acme, beta] = ["acme", "beta"].map(|name| Tenant::create(&instance, name, &json!({})));
    acme.receiver(&instance, &json!({"push_endpoints": [receiver.url("/")]}));
    let other = beta.receiver(&instance, &json!({"handshake": "never"}));
    let request = json!({"delivery": {"method": crate::support::PUSH, "endpoint_url": receiver.url("/events")}});
    let refused = other.api.send_json("POST", &beta.path("/ssf/streams"), &request, 400);
    assert_eq!(crate::support::pointer_of(&refused), "/delivery/endpoint_url");
}
