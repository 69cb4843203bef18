//! Two Heliographs: one transmits, the other receives what it is given the issuer and a credential for.

use serde_json::{Value, json};

use super::{health, options, problems, until_done, until_no_problem, until_problem, until_received};
use crate::harness::{Instance, Options, eventually};
use crate::support::{
    ACCOUNT_DISABLED, ACME_AUDIENCE, Acme, CREDENTIAL_CHANGE, SESSION_REVOKED, Source, event, publish,
};

/// Who transmits, who receives, and what the one is to the other.
struct Two {
    sender: Instance,
    receiver: Instance,
    acme: Acme,
    source: Source,
}

impl Two {
    /// Connected and verified. `members` are the source's beside what connects it.
    #[track_caller]
    fn connect(delivery: &str, members: &Value) -> Self {
        let sender = Instance::start(Options::default().set("RETRY_BASE_MS", 20).set("RETRY_CAP_MS", 200));
        let receiver = Instance::start(options());
        let terms = json!({"default_subjects": "NONE", "min_verification_interval": 0});
        sender.operator().patch_json("/admin/tenants/default", &terms, 200);
        // The push endpoint is not known beforehand: whoever pushes is let in by its registration.
        let acme = Acme::register(&sender, &[&receiver.url("/")]);
        let mut wanted = json!({
            "issuer": sender.origin(), "audience": ACME_AUDIENCE, "delivery": delivery,
            "credentials": {"client_id": acme.client_id, "client_secret": acme.client_secret},
        });
        for (name, value) in members.as_object().expect("members are an object") {
            wanted[name] = value.clone();
        }
        let source = Source::create(&receiver, &wanted);
        until_done(&receiver, &source);
        Self {
            sender,
            receiver,
            acme,
            source,
        }
    }

    /// The `txn`s of the events in the inbox that are not about the stream, in order.
    #[track_caller]
    fn received(&self) -> Vec<String> {
        let inbox = self.source.inbox(&self.receiver);
        inbox
            .iter()
            .filter_map(|event| event["txn"].as_str().filter(|txn| txn.starts_with("txn-")))
            .map(str::to_owned)
            .collect()
    }

    #[track_caller]
    fn until_received(&self, txns: &[&str]) {
        eventually("the events are in the inbox", || {
            let mut found = self.received();
            found.sort();
            let mut expected = txns.to_vec();
            expected.sort_unstable();
            (found == expected).then_some(())
        });
    }

    /// The stream as the transmitter's operator sees it.
    #[track_caller]
    fn stream(&self) -> Value {
        let shown = self.receiver.operator().get(&self.source.path(), 200);
        let id = shown["stream"]["stream_id"].as_str().expect("an id");
        self.sender.operator().get(&format!("/admin/streams/{id}"), 200)
    }

    fn about(&self, what: &str) -> String {
        format!("{}/{what}", self.source.path())
    }
}

/// An event of some type about a number.
fn numbered(id: &str, kind: &str, number: u32, event: Value) -> Value {
    let subject = json!({"format": "opaque", "id": number.to_string()});
    json!({"id": id, "type": kind, "sub_id": subject, "event": event, "txn": format!("txn-{id}"), "toe": 1_795_263_000})
}

fn revoked(id: &str, number: u32) -> Value {
    numbered(id, SESSION_REVOKED, number, json!({}))
}

#[test]
fn one_instance_receives_from_another_by_push_and_by_poll() {
    for delivery in ["poll", "push"] {
        let two = Two::connect(
            delivery,
            &json!({"subjects": [{"format": "email", "email": "ana@example.com"}]}),
        );
        let events: Vec<_> = (0..30).map(|n| event(&n.to_string(), "ana@example.com")).collect();
        publish(&two.sender.operator(), &events);
        let count = || super::received(&two.receiver, &two.source).len();
        eventually("all came", || (count() == 30).then_some(()));
        let jtis = super::received(&two.receiver, &two.source);
        until_received(&two.receiver, &two.source, &jtis);
        // One subject: in the order of publishing.
        let expected: Vec<_> = (0..30).map(|n| format!("txn-{n}")).collect();
        assert_eq!(two.received(), expected, "{delivery}");
        let health = health(&two.receiver, &two.source);
        assert_eq!((&health["state"], &health["refused"]), (&json!("ok"), &json!(0)));
        assert_eq!(two.stream()["dead_letters"], json!(0));
    }
}

/// Nobody has registered the endpoint: the receiver is asked for its consent, and gives it to whom it asked for a stream.
#[test]
fn the_issuer_of_a_managed_stream_has_the_consent_to_push() {
    let sender = Instance::start(Options::default());
    let receiver = Instance::start(options());
    let acme = Acme::register(&sender, &[]);
    let wanted = json!({
        "issuer": sender.origin(), "audience": ACME_AUDIENCE,
        "credentials": {"client_id": acme.client_id, "client_secret": acme.client_secret},
    });
    let source = Source::create(&receiver, &wanted);
    until_done(&receiver, &source);
    let shown = receiver.operator().get(&source.path(), 200);
    let stream = shown["stream"]["stream_id"].as_str().expect("an id");
    let grant = sender.operator().get(&format!("/admin/streams/{stream}/grant"), 200);
    assert_eq!((&grant["state"], &grant["via"]), (&json!("granted"), &json!("options")));
    // That the stream stood still until then is over.
    eventually("all is well", || {
        (health(&receiver, &source)["state"] == "ok").then_some(())
    });
    publish(&sender.operator(), &[event("evt-1", "ana@example.com")]);
    eventually("the event is in the inbox", || {
        (source.inbox(&receiver).len() == 2).then_some(())
    });
    // Nobody else is.
    let answer = receiver.anyone().send(
        "OPTIONS",
        &source.receive_path(),
        &[("webhook-request-origin", "elsewhere.example")],
        b"",
        403,
    );
    assert_eq!(answer.header("webhook-allowed-origin"), None);
}

/// What is chosen here is what is sent there, now and after it was chosen anew.
#[test]
fn the_events_are_chosen_from_the_receiving_side() {
    for delivery in ["poll", "push"] {
        let two = Two::connect(delivery, &json!({"events_requested": [SESSION_REVOKED]}));
        let add = json!({"add": [{"format": "opaque", "id": "1"}]});
        two.receiver.operator().post_json(&two.about("subjects"), &add, 202);
        until_done(&two.receiver, &two.source);
        let of_all_types = |round: &str| {
            let change = json!({"credential_type": "password", "change_type": "update"});
            publish(
                &two.sender.operator(),
                &[
                    revoked(&format!("session-{round}"), 1),
                    numbered(&format!("credential-{round}"), CREDENTIAL_CHANGE, 1, change),
                    numbered(
                        &format!("account-{round}"),
                        ACCOUNT_DISABLED,
                        1,
                        json!({"reason": "hijacking"}),
                    ),
                ],
            );
        };
        of_all_types("1");
        two.until_received(&["txn-session-1"]);

        let others = json!({"events_requested": [CREDENTIAL_CHANGE, ACCOUNT_DISABLED]});
        two.receiver.operator().patch_json(&two.source.path(), &others, 200);
        until_done(&two.receiver, &two.source);
        let shown = two.receiver.operator().get(&two.source.path(), 200);
        let mut delivered = shown["stream"]["events_delivered"]
            .as_array()
            .expect("an array")
            .clone();
        delivered.sort_by_key(Value::to_string);
        assert_eq!(delivered, [json!(CREDENTIAL_CHANGE), json!(ACCOUNT_DISABLED)]);
        of_all_types("2");
        two.until_received(&["txn-session-1", "txn-credential-2", "txn-account-2"]);
    }
}

/// In bulk, and over again; what is published follows.
#[test]
fn subjects_are_added_and_removed_in_bulk_from_the_receiving_side() {
    const MANY: u32 = 300;
    for delivery in ["poll", "push"] {
        let two = Two::connect(delivery, &json!({}));
        let subjects = |numbers: std::ops::Range<u32>| -> Vec<Value> {
            numbers
                .map(|n| json!({"format": "opaque", "id": n.to_string()}))
                .collect()
        };
        publish(&two.sender.operator(), &[revoked("early", 7)]);
        let add = json!({"add": subjects(0..MANY)});
        let answer = two.receiver.operator().post_json(&two.about("subjects"), &add, 202);
        assert_eq!(answer, json!({"waiting": MANY}));
        until_done(&two.receiver, &two.source);
        publish(
            &two.sender.operator(),
            &[
                revoked("first", 0),
                revoked("last", MANY - 1),
                revoked("stranger", MANY),
            ],
        );
        two.until_received(&["txn-first", "txn-last"]);

        let remove = json!({"remove": subjects(0..MANY - 1)});
        two.receiver.operator().post_json(&two.about("subjects"), &remove, 202);
        until_done(&two.receiver, &two.source);
        eventually("none waits", || {
            let page = two.receiver.operator().get(&two.about("subjects?limit=1000"), 200);
            let left = page["subjects"].as_array().expect("an array").clone();
            (left.len() == 1 && left[0]["state"] == "added").then_some(())
        });
        publish(&two.sender.operator(), &[revoked("gone", 0), revoked("kept", MANY - 1)]);
        two.until_received(&["txn-first", "txn-last", "txn-kept"]);
        assert_eq!(problems(&two.receiver, &two.source), [] as [&str; 0]);
    }
}

/// SSF-8.1.2.1-2, SSF-8.1.2.1-3: paused here, held there; enabled again, nothing is missing. Disabled, what comes is dropped there.
#[test]
fn the_status_is_driven_from_the_receiving_side() {
    for delivery in ["poll", "push"] {
        let two = Two::connect(delivery, &json!({"subjects": [{"format": "opaque", "id": "1"}]}));
        let set = |status: &str| {
            let answer = two.receiver.operator().post_json(
                &two.about("status"),
                &json!({"status": status, "reason": "from here"}),
                200,
            );
            assert_eq!(answer["status"], json!(status));
            assert_eq!(
                two.receiver.operator().get(&two.about("status"), 200)["status"],
                json!(status)
            );
            assert_eq!(two.stream()["status"], json!(status));
        };
        set("paused");
        until_problem(&two.receiver, &two.source, "stream_paused");
        publish(&two.sender.operator(), &[revoked("held", 1)]);
        assert_eq!(two.stream()["queued_events"], json!(1));
        set("enabled");
        two.until_received(&["txn-held"]);
        until_no_problem(&two.receiver, &two.source, "stream_paused");

        set("disabled");
        until_problem(&two.receiver, &two.source, "stream_disabled");
        publish(&two.sender.operator(), &[revoked("dropped", 1)]);
        set("enabled");
        until_no_problem(&two.receiver, &two.source, "stream_disabled");
        publish(&two.sender.operator(), &[revoked("later", 1)]);
        two.until_received(&["txn-held", "txn-later"]);

        // What the transmitter's side does is seen here, too.
        let id = two.stream()["stream_id"].as_str().expect("an id").to_owned();
        let paused = json!({"stream_id": id, "status": "paused"});
        two.acme.api.post_json("/ssf/status", &paused, 200);
        eventually("it is noticed or asked for", || {
            (two.receiver.operator().get(&two.about("status"), 200)["status"] == "paused").then_some(())
        });
        until_problem(&two.receiver, &two.source, "stream_paused");
    }
}

/// Asked for from here, it comes back over the stream; not more often than the transmitter wishes.
#[test]
fn a_verification_is_asked_for_from_the_receiving_side() {
    for delivery in ["poll", "push"] {
        let two = Two::connect(delivery, &json!({}));
        let before = health(&two.receiver, &two.source)["last_verified_at"].as_u64();
        let asked = two
            .receiver
            .operator()
            .post_json(&two.about("verification"), &json!({}), 202);
        eventually("it came", || {
            (health(&two.receiver, &two.source)["last_verified_at"].as_u64() > before).then_some(())
        });
        let inbox = two.source.inbox(&two.receiver);
        let last = inbox.last().expect("an event");
        assert_eq!(last["event"], asked);

        let terms = json!({"min_verification_interval": 3});
        two.sender.operator().patch_json("/admin/tenants/default", &terms, 200);
        let again = json!({"from": "stream"});
        two.receiver.operator().post_json(&two.about("setup"), &again, 202);
        eventually("the interval is known", || {
            let shown = two.receiver.operator().get(&two.source.path(), 200);
            (shown["stream"]["min_verification_interval"] == json!(3)).then_some(())
        });
        until_done(&two.receiver, &two.source);
        let answer = two
            .receiver
            .operator()
            .send_json("POST", &two.about("verification"), &json!({}), 429);
        assert!(answer.header("retry-after").is_some(), "{answer}");
    }
}

/// SSF-8.1.1.5-4: a source that is deleted takes its stream with it; a stream that is deleted there is made again.
#[test]
fn either_side_may_delete() {
    for delivery in ["poll", "push"] {
        let two = Two::connect(delivery, &json!({"subjects": [{"format": "opaque", "id": "1"}]}));
        let first = two.stream()["stream_id"].as_str().expect("an id").to_owned();
        two.acme.api.delete(&format!("/ssf/streams?stream_id={first}"), 204);
        if delivery == "push" {
            // Nobody polls: whoever asks finds out.
            two.receiver.operator().send("GET", &two.about("status"), &[], b"", 502);
        }
        let second = eventually("there is another stream", || {
            let listed = two.sender.operator().get("/admin/streams", 200);
            let id = listed["streams"][0]["stream_id"].as_str()?.to_owned();
            (id != first).then_some(id)
        });
        until_done(&two.receiver, &two.source);
        until_no_problem(&two.receiver, &two.source, "stream_gone");
        assert_eq!(two.stream()["stream_id"], json!(second));
        // It has the subjects of the one before.
        publish(&two.sender.operator(), &[revoked("after", 1)]);
        two.until_received(&["txn-after"]);

        two.receiver.operator().delete(&two.source.path(), 204);
        let streams = two.sender.operator().get("/admin/streams", 200);
        assert_eq!(streams["streams"], json!([]), "the stream went with its source");
        two.receiver.operator().get(&two.source.path(), 404);
    }
}
