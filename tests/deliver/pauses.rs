//! A delivery that is interfered with while it runs: paused, disabled, enabled, deleted, sent elsewhere. What is on its way at
//! that moment still counts, what is not stays where it is, and nothing is sent twice for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::harness::{Gate, Instance, Options, Reply, ScriptedReceiver, eventually};
use crate::manage::{Stream, Tenant, brief, briefs, events_and_truth, pushed_to};
use crate::support::{PUSH, assert_problem, event};

use super::soon;

/// A delivery with three pushes on their way, each held back, and one event that waits for the first of them.
struct Running {
    _instance: Instance,
    tenant: Tenant,
    endpoint: ScriptedReceiver,
    stream: Stream,
    gates: Vec<Gate>,
}

/// What is on its way, by subject.
const UNDER_WAY: [&str; 3] = ["a1", "b1", "c1"];

/// `a1` is of subject `a`.
fn events(ids: &[&str]) -> Vec<Value> {
    let of_subject = |id: &&str| event(id, &format!("{}@example.com", &id[..1]));
    ids.iter().map(of_subject).collect()
}

fn refusal() -> Reply {
    Reply::json(400, &json!({"err": "invalid_key", "description": "no such key"}))
}

impl Running {
    /// The pushes will be answered like this.
    #[track_caller]
    fn start(replies: [Reply; 3]) -> Self {
        Self::with(soon(), replies)
    }

    #[track_caller]
    fn with(options: Options, replies: [Reply; 3]) -> Self {
        let instance = Instance::start(options);
        let tenant = Tenant::default(&instance);
        let endpoint = ScriptedReceiver::start();
        let stream = tenant
            .receiver(&[&endpoint.url("/")])
            .push_stream(&endpoint.url("/events"));
        let gates = replies.map(|reply| endpoint.then_held(reply)).to_vec();
        // One after the other, so that it is known which gate is whose.
        for (number, id) in UNDER_WAY.iter().enumerate() {
            tenant.publish(&events(&[id]));
            endpoint.wait_for(number + 1);
        }
        tenant.publish(&events(&["a2"]));
        Self {
            _instance: instance,
            tenant,
            endpoint,
            stream,
            gates,
        }
    }

    /// As `start`, where all three will be taken.
    #[track_caller]
    fn well() -> Self {
        Self::start([202, 202, 202].map(Reply::status))
    }

    /// Lets the answers come.
    fn open(&self) {
        self.gates.iter().for_each(Gate::open);
    }

    #[track_caller]
    fn publish(&self, ids: &[&str]) {
        assert_eq!(self.tenant.publish(&events(ids)), 1);
    }

    fn queued(&self) -> u64 {
        self.stream.health()["queued_events"].as_u64().expect("a number")
    }

    #[track_caller]
    fn wait_for_queue(&self, length: u64) {
        eventually(&format!("{length} events wait"), || {
            (self.queued() == length).then_some(())
        });
    }

    /// Waits until all answers were taken in, so that whatever follows from them has begun.
    #[track_caller]
    fn wait_for_answers(&self, count: usize) {
        eventually(&format!("{count} answers are known"), || {
            (self.stream.deliveries().len() == count).then_some(())
        });
    }

    /// The published events that were pushed after those under way, sorted.
    fn later(&self) -> Vec<String> {
        let mut later = self.heard("/events").split_off(UNDER_WAY.len());
        later.sort();
        later
    }

    /// The published events that were pushed to a path.
    fn heard(&self, path: &str) -> Vec<String> {
        let pushed = briefs(&pushed_to(&self.endpoint, path));
        pushed.into_iter().filter(|brief| !brief.starts_with("now ")).collect()
    }

    fn move_to(&self, path: &str) {
        let delivery = json!({"method": PUSH, "endpoint_url": self.endpoint.url(path)});
        self.stream.patch(&json!({"delivery": delivery}));
    }
}

/// SSF-8.1.2.1-2
#[test]
fn a_pause_lets_what_is_under_way_arrive_and_keeps_the_rest() {
    let running = Running::well();
    assert_eq!(running.stream.set_status("paused"), json!({"status": "paused"}));
    running.publish(&["d1"]);
    assert_eq!(running.queued(), 5);
    running.open();
    running.wait_for_queue(2);
    assert_eq!(running.later(), [] as [&str; 0]);
    running.stream.set_status("enabled");
    running.wait_for_queue(0);
    assert_eq!(running.later(), ["a2", "d1"], "and nothing twice");
}

#[test]
fn what_fails_after_the_pause_is_tried_again_after_it() {
    let running = Running::start([Reply::status(500), Reply::Reset, Reply::status(202)]);
    running.stream.set_status("paused");
    running.open();
    running.wait_for_answers(3);
    assert_eq!(running.queued(), 3);
    assert_eq!(running.later(), [] as [&str; 0]);
    running.stream.set_status("enabled");
    running.wait_for_queue(0);
    assert_eq!(running.later(), ["a1", "a2", "b1"]);
    assert_eq!(running.stream.dead_letters(), [] as [Value; 0]);
}

#[test]
fn what_is_refused_after_the_pause_is_dead() {
    let running = Running::start([refusal(), Reply::status(202), Reply::status(413)]);
    running.stream.set_status("paused");
    running.open();
    running.wait_for_queue(1);
    assert_eq!(running.stream.dead_letters().len(), 2);
    running.stream.set_status("enabled");
    running.wait_for_queue(0);
    assert_eq!(running.later(), ["a2"]);
    assert_eq!(running.stream.dead_letters().len(), 2);
}

/// Its receiver is told at once, whatever is under way (SSF-8.1.5-2).
#[test]
fn a_pause_of_the_operators_is_told_and_lets_nothing_else_pass() {
    let running = Running::well();
    running
        .stream
        .operate(&json!({"status": "paused", "reason": "an audit"}));
    running.open();
    running.wait_for_queue(1);
    let told = running.endpoint.wait_for(4);
    assert_eq!(brief(&crate::support::Set::decode(told.text())), "now paused");
    assert_eq!(running.later(), [] as [&str; 0]);
    running.stream.operate(&json!({"status": "enabled"}));
    running.wait_for_queue(0);
    let heard = || pushed_to(&running.endpoint, "/events");
    assert_eq!(events_and_truth("enabled", heard).len(), 4);
    assert_eq!(running.later(), ["a2"]);
}

#[test]
fn a_stream_that_is_enabled_while_pushes_are_under_way_waits_for_none_of_them_but_its_own() {
    let running = Running::well();
    running.stream.set_status("paused");
    running.stream.set_status("enabled");
    // Other subjects go on beside what is on its way still.
    running.publish(&["d1"]);
    running.endpoint.wait_for(4);
    assert_eq!(running.later(), ["d1"], "a2 waits for a1, and a1 is not sent again");
    running.open();
    running.wait_for_queue(0);
    assert_eq!(running.later(), ["a2", "d1"]);
}

/// Who asks for its stream has repaired something, perhaps: nothing waits for its turn any longer.
#[test]
fn an_event_that_waits_for_another_attempt_is_tried_when_its_stream_is_enabled() {
    let patient = Options::default()
        .set("RETRY_BASE_MS", 3_600_000)
        .set("RETRY_CAP_MS", 3_600_000);
    let running = Running::with(patient, [500, 202, 202].map(Reply::status));
    running.open();
    running.wait_for_answers(3);
    assert_eq!((running.queued(), running.later()), (2, vec![]));
    running.endpoint.then(Reply::status(500));
    running.stream.set_status("paused");
    running.stream.set_status("enabled");
    running.endpoint.wait_for(4);
    running.wait_for_answers(4);
    assert_eq!((running.queued(), running.later()), (2, vec!["a1".to_owned()]));
    running.stream.operate(&json!({"status": "enabled"}));
    running.wait_for_queue(0);
    assert_eq!(running.later(), ["a1", "a1", "a2"]);
}

/// SSF-8.1.2.1-3
#[test]
fn a_stream_that_is_disabled_drops_what_waits_and_what_is_under_way() {
    for replies in [
        [202, 202, 202].map(Reply::status),
        [Reply::status(500), Reply::Reset, refusal()],
    ] {
        let running = Running::start(replies.clone());
        assert_eq!(running.stream.set_status("disabled"), json!({"status": "disabled"}));
        assert_eq!(running.queued(), 0, "{replies:?}");
        assert_eq!(running.tenant.publish(&events(&["d1"])), 0, "{replies:?}");
        running.open();
        running.wait_for_answers(3);
        assert_eq!(running.stream.dead_letters(), [] as [Value; 0], "{replies:?}");
        running.stream.set_status("enabled");
        running.publish(&["a3", "e1"]);
        running.wait_for_queue(0);
        assert_eq!(running.later(), ["a3", "e1"], "{replies:?}");
        assert_eq!(running.stream.dead_letters(), [] as [Value; 0], "{replies:?}");
    }
}

/// An answer to what was dropped is none to what came after.
#[test]
fn answers_to_what_was_dropped_do_not_touch_what_was_accepted_since() {
    for replies in [
        [202, 202, 202].map(Reply::status),
        [Reply::status(500), Reply::Reset, refusal()],
    ] {
        let running = Running::start(replies.clone());
        running.stream.set_status("disabled");
        running.stream.set_status("enabled");
        running.publish(&["a3", "b3", "c3"]);
        running.open();
        running.wait_for_queue(0);
        assert_eq!(running.later(), ["a3", "b3", "c3"], "{replies:?}");
        assert_eq!(running.stream.dead_letters(), [] as [Value; 0], "{replies:?}");
        let health = running.stream.health();
        assert_eq!((&health["hold"], &health["status"]), (&Value::Null, &json!("enabled")));
    }
}

#[test]
fn a_disabling_by_the_operator_is_told_and_drops_as_much() {
    let running = Running::well();
    running.stream.operate(&json!({"status": "disabled"}));
    assert_eq!(running.queued(), 0);
    running.open();
    running.endpoint.wait_for(4);
    running.stream.operate(&json!({"status": "enabled"}));
    running.publish(&["a3"]);
    running.wait_for_queue(0);
    let heard = || pushed_to(&running.endpoint, "/events");
    events_and_truth("enabled", heard);
    assert_eq!(running.later(), ["a3"]);
}

#[test]
fn a_stream_that_is_deleted_ends_whatever_the_answers_say() {
    for replies in [
        [202, 202, 202].map(Reply::status),
        [Reply::status(500), Reply::Reset, refusal()],
        [Reply::status(410), Reply::status(429), Reply::status(401)],
    ] {
        let running = Running::start(replies.clone());
        let neighbour = running.stream.receiver.push_stream(&running.endpoint.url("/neighbour"));
        running.stream.delete();
        let answer = running
            .tenant
            .operator()
            .send("GET", &running.stream.admin_path(), &[], b"", 404);
        assert_problem(&answer, 404);
        running.open();
        // Life goes on beside it, at the same endpoint and for the same client.
        for number in 0..10 {
            running.publish(&[&format!("a{}", number + 3)]);
        }
        eventually("the neighbour has everything", || {
            (neighbour.health()["queued_events"] == 0).then_some(())
        });
        assert_eq!(running.heard("/neighbour").len(), 10);
        assert_eq!(running.later(), [] as [&str; 0], "{replies:?}");
        running
            .tenant
            .operator()
            .send("GET", &running.stream.admin_path(), &[], b"", 404);
    }
}

/// SSF-8.1.1.3-14
#[test]
fn a_push_that_is_taken_counts_although_the_stream_has_moved() {
    let running = Running::well();
    running.move_to("/other");
    running.open();
    running.wait_for_queue(0);
    assert_eq!(running.later(), [] as [&str; 0]);
    assert_eq!(running.heard("/other"), ["a2"]);
}

/// The old endpoint cannot speak for the new one.
#[test]
fn a_push_that_fails_when_the_stream_has_moved_goes_to_the_new_endpoint() {
    for replies in [
        [Reply::status(500), Reply::Reset, refusal()],
        [Reply::status(410), Reply::status(401), Reply::status(415)],
        [
            Reply::status(429).header("retry-after", "3600"),
            Reply::status(413),
            Reply::status(307),
        ],
    ] {
        let running = Running::start(replies.clone());
        running.move_to("/other");
        running.open();
        running.wait_for_queue(0);
        assert_eq!(running.later(), [] as [&str; 0], "{replies:?}");
        let mut moved = running.heard("/other");
        assert_eq!(
            moved.iter().filter(|id| id.starts_with('a')).collect::<Vec<_>>(),
            ["a1", "a2"],
            "{replies:?}"
        );
        moved.sort();
        assert_eq!(moved, ["a1", "a2", "b1", "c1"], "{replies:?}");
        let health = running.stream.health();
        assert_eq!(
            (&health["hold"], &health["dead_letters"], &health["status"]),
            (&Value::Null, &json!(0), &json!("enabled")),
            "{replies:?}"
        );
    }
}

#[test]
fn a_stream_that_moves_there_and_back_sends_nothing_twice() {
    let running = Running::well();
    running.move_to("/other");
    running.move_to("/events");
    running.open();
    running.wait_for_queue(0);
    assert_eq!(running.later(), ["a2"]);
    assert_eq!(running.heard("/other"), [] as [&str; 0]);
}

#[test]
fn a_change_that_is_not_about_delivery_changes_nothing_in_it() {
    let running = Running::start([Reply::status(202), Reply::status(500), Reply::status(202)]);
    running.stream.patch(&json!({"description": "new"}));
    running.publish(&["d1"]);
    running.endpoint.wait_for(4);
    running.stream.operate(&json!({"default_subjects": "ALL"}));
    running.stream.verify(&json!({}), 204);
    running.open();
    running.wait_for_queue(0);
    eventually("the verification came", || {
        let later = running.later();
        (later == ["a2", "b1", "d1", "verification"]).then_some(())
    });
}

/// SSF-6.1.1-4
#[test]
fn a_new_authorization_is_used_by_every_push_that_begins_after_it() {
    let running = Running::start([Reply::status(202), Reply::status(500), Reply::status(202)]);
    let url = running.endpoint.url("/events");
    let delivery = json!({"method": PUSH, "endpoint_url": url, "authorization_header": "Bearer new"});
    running.stream.patch(&json!({"delivery": delivery}));
    running.open();
    running.wait_for_queue(0);
    let requests = running.endpoint.requests();
    let sent: Vec<Option<&str>> = requests.iter().map(|request| request.header("authorization")).collect();
    assert_eq!(sent, [None, None, None, Some("Bearer new"), Some("Bearer new")]);
    assert_eq!(running.later(), ["a2", "b1"]);
}

/// At any moment: no answer is lost, and no failure is there to repeat a push for.
#[test]
fn a_stream_that_is_changed_all_the_time_sends_every_event_once_and_in_order() {
    let instance = Instance::start(Options::default());
    let tenant = Tenant::default(&instance);
    let endpoint = ScriptedReceiver::start();
    // Not all as fast as others, so that answers come at all moments.
    let count = AtomicUsize::new(0);
    endpoint.otherwise_decide(move |_| {
        for _ in 0..count.fetch_add(1, Ordering::SeqCst) % 5 {
            std::thread::yield_now();
        }
        Reply::status(202)
    });
    let stream = tenant.receiver(&[&endpoint.url("/")]).push_stream(&endpoint.url("/0"));
    let mut published: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for round in 0..30 {
        let ids: Vec<String> = ["a", "b", "c", "d", "e"]
            .iter()
            .flat_map(|subject| [0, 1].map(|number| format!("{subject}{round}-{number}")))
            .collect();
        tenant.publish(&events(&ids.iter().map(String::as_str).collect::<Vec<_>>()));
        for id in ids {
            published.entry(id[..1].to_owned()).or_default().push(id);
        }
        match round % 4 {
            0 => {
                stream.set_status("paused");
                stream.set_status("enabled");
            }
            1 => {
                let delivery = json!({"method": PUSH, "endpoint_url": endpoint.url(&format!("/{}", round % 3))});
                stream.patch(&json!({"delivery": delivery}));
            }
            2 => {
                stream.patch(&json!({"description": format!("round {round}")}));
            }
            _ => {
                stream.set_status("paused");
            }
        }
    }
    stream.set_status("enabled");
    eventually("everything is delivered", || {
        (stream.health()["queued_events"] == 0).then_some(())
    });
    let mut arrived: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for push in endpoint.requests() {
        let id = brief(&crate::support::Set::decode(push.text()));
        arrived.entry(id[..1].to_owned()).or_default().push(id);
    }
    assert_eq!(arrived, published);
}
