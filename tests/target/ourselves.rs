//! Both sides at once: a stream of ours whose endpoint is an inbox of ours, which nobody registered beforehand.

use serde_json::{Value, json};

use crate::harness::{Instance, Options, eventually};
use crate::support::{ACME_AUDIENCE, Acme, PUSH, Source, Stream, event, publish};

/// Our own name as a sender: the issuer's host.
const OURSELVES: &str = "127.0.0.1";

struct Loop {
    instance: Instance,
    source: Source,
    stream: Stream,
}

impl Loop {
    #[track_caller]
    fn start(members: impl FnOnce(&Instance) -> Value) -> Self {
        let options = Options::default()
            .set("CALLBACK_DELAY_MS", 200)
            .set("CALLBACK_RETRY_MS", 50)
            .set("HANDSHAKE_RETRY_MS", 50);
        let instance = Instance::start(options);
        let request = super::with(&instance.origin(), &members(&instance));
        let source = Source::create(&instance, &request);
        let acme = Acme::register(&instance, &[]);
        let delivery = json!({
            "method": PUSH,
            "endpoint_url": instance.url(&source.receive_path()),
            "authorization_header": source.authorization,
        });
        let stream = acme.stream(&json!({"delivery": delivery}));
        Self {
            instance,
            source,
            stream,
        }
    }

    #[track_caller]
    fn grant(&self) -> Value {
        self.instance.operator().get(&self.stream.admin_path("/grant"), 200)
    }

    #[track_caller]
    fn wait_for_grant(&self) -> Value {
        eventually("the stream is granted", || {
            Some(self.grant()).filter(|grant| grant["state"] == "granted")
        })
    }

    /// Publishes, and waits until the events are in the inbox.
    #[track_caller]
    fn deliver(&self, ids: &[&str]) {
        let before = self.source.jtis(&self.instance).len();
        let events: Vec<Value> = ids.iter().map(|id| event(id, "ana@example.com")).collect();
        publish(&self.instance.operator(), &events);
        eventually("they are in the inbox", || {
            (self.source.jtis(&self.instance).len() == before + ids.len()).then_some(())
        });
    }

    #[track_caller]
    fn target_grant(&self) -> Value {
        let grants = super::grants(&self.instance, &self.source);
        assert_eq!(grants.len(), 1);
        assert_eq!(grants[0]["origin"], json!(OURSELVES));
        grants[0].clone()
    }
}

#[test]
fn a_stream_to_ourselves_is_granted_by_the_answer_and_delivers() {
    let ring = Loop::start(|_| json!({"allowed_origins": [OURSELVES], "allowed_rate": 6000}));
    let grant = ring.wait_for_grant();
    assert_eq!(
        (&grant["via"], &grant["origin"]),
        (&json!("options"), &json!(OURSELVES))
    );
    // The smaller of what we ask (REQUEST_RATE, 600) and what we allow.
    assert_eq!(grant["allowed_rate"], json!(600));
    ring.deliver(&["evt-1", "evt-2"]);
    assert_eq!(ring.target_grant()["state"], json!("granted"));
    // Whoever pushes without saying who it is, is refused: the stream says it on each delivery.
    let set = ring.source.inbox(&ring.instance)[0]["set"]
        .as_str()
        .expect("a SET")
        .to_owned();
    ring.source.push(&ring.instance, &set, 403);
}

#[test]
fn a_stream_to_ourselves_is_granted_by_the_callback_and_delivers() {
    let ring = Loop::start(|instance| {
        let host = instance.origin().trim_start_matches("http://").to_owned();
        json!({"allowed_origins": [OURSELVES], "allowed_rate": 300, "handshake": "callback", "callback_hosts": [host]})
    });
    let grant = ring.wait_for_grant();
    assert_eq!(
        (&grant["via"], &grant["allowed_rate"]),
        (&json!("callback_post"), &json!(300))
    );
    ring.deliver(&["evt-1", "evt-2"]);
    let seen = ring.target_grant();
    assert_eq!((&seen["state"], &seen["via"]), (&json!("granted"), &json!("callback")));
}

#[test]
fn a_stream_to_ourselves_waits_for_the_operator_of_the_target() {
    let ring = Loop::start(|instance| {
        let host = instance.origin().trim_start_matches("http://").to_owned();
        json!({"handshake": "operator", "callback_hosts": [host], "callback_method": "GET"})
    });
    eventually("the question is there", || {
        (!super::grants(&ring.instance, &ring.source).is_empty()).then_some(())
    });
    publish(&ring.instance.operator(), &[event("evt-0", "ana@example.com")]);
    let health = ring.stream.health(&ring.instance);
    assert_eq!(
        (&health["hold"]["reason"], &health["queued_events"]),
        (&json!("consent"), &json!(1))
    );
    let path = super::grants_path(&ring.source);
    let decision = json!({"origin": OURSELVES, "action": "approve", "allowed_rate": 240});
    ring.instance.operator().post_json(&path, &decision, 200);
    let grant = ring.wait_for_grant();
    assert_eq!(
        (&grant["via"], &grant["allowed_rate"]),
        (&json!("callback_get"), &json!(240))
    );
    eventually("what waited is delivered", || {
        (ring.source.jtis(&ring.instance).len() == 1).then_some(())
    });
    ring.deliver(&["evt-1"]);
}

/// The same with somebody else: two deployments, of which each has only its own side.
#[test]
fn a_stream_to_another_deployment_is_granted_by_its_callback_and_delivers() {
    let sender = Instance::start(Options::default());
    let host = sender.origin().trim_start_matches("http://").to_owned();
    let members = json!({"allowed_origins": [OURSELVES], "handshake": "callback", "callback_hosts": [host]});
    let target = Instance::start(super::soon());
    let source = Source::create(&target, &super::with(&sender.origin(), &members));
    let delivery = json!({
        "method": PUSH,
        "endpoint_url": target.url(&source.receive_path()),
        "authorization_header": source.authorization,
    });
    let stream = Acme::register(&sender, &[]).stream(&json!({"delivery": delivery}));
    publish(&sender.operator(), &[event("evt-1", "ana@example.com")]);
    eventually("the event is in the inbox", || {
        (source.jtis(&target).len() == 1).then_some(())
    });
    let grant = sender.operator().get(&stream.admin_path("/grant"), 200);
    assert_eq!(
        (&grant["state"], &grant["via"]),
        (&json!("granted"), &json!("callback_post"))
    );
    let seen = super::grants(&target, &source);
    assert_eq!(
        (&seen[0]["state"], &seen[0]["origin"]),
        (&json!("granted"), &json!(OURSELVES))
    );
}

/// A source that wants nothing from us is not pushed to.
#[test]
fn a_stream_to_a_source_that_does_not_allow_us_is_denied() {
    for members in [json!({}), json!({"allowed_origins": ["other.example.com"]})] {
        let ring = Loop::start(|_| members);
        let grant = eventually("the stream is denied", || {
            Some(ring.grant()).filter(|grant| grant["state"] == "denied")
        });
        assert_eq!(grant["exchange"]["response"]["status"], json!(403));
        publish(&ring.instance.operator(), &[event("evt-1", "ana@example.com")]);
        let health = ring.stream.health(&ring.instance);
        assert_eq!(
            (&health["hold"]["reason"], &health["queued_events"]),
            (&json!("consent"), &json!(1))
        );
        assert_eq!(ring.source.jtis(&ring.instance), [] as [&str; 0]);
        assert_eq!(ring.source.created["audience"], json!(ACME_AUDIENCE));
    }
}

/// The target's rate paces the sender: nothing is refused, everything arrives.
#[test]
fn a_small_rate_paces_the_stream_and_loses_nothing() {
    let ring = Loop::start(|_| json!({"allowed_origins": [OURSELVES], "allowed_rate": 240}));
    assert_eq!(ring.wait_for_grant()["allowed_rate"], json!(240));
    let events: Vec<Value> = (0..16)
        .map(|number| event(&format!("evt-{number}"), &format!("{number}@example.com")))
        .collect();
    let started = std::time::Instant::now();
    publish(&ring.instance.operator(), &events);
    eventually("all are in the inbox", || {
        (ring.source.jtis(&ring.instance).len() == events.len()).then_some(())
    });
    // Four each second, and at most four at once.
    assert!(
        started.elapsed().as_millis() >= (16 - 4 - 2) * 250,
        "{:?}",
        started.elapsed()
    );
    let health = ring.stream.health(&ring.instance);
    assert_eq!(health["dead_letters"], json!(0));
}
