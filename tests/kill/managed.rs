//! Two thousand events from a transmitter that repeats what was not taken, while the receiving runtime dies twenty times: each
//! of them is in the inbox, once.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::harness::{Draft, Instance, Options, SsfTransmitter, eventually};
use crate::support::{ACME_AUDIENCE, Source, let_time_pass, lose_alarms};

const EVENTS: usize = 2_000;
const KILLS: usize = 20;

fn start(delivery: &str) -> (Instance, Arc<SsfTransmitter>, Source) {
    let options = Options::default().set("RETRY_BASE_MS", 20).set("RETRY_CAP_MS", 100);
    let instance = Instance::start(options);
    let transmitter = Arc::new(SsfTransmitter::start(ACME_AUDIENCE));
    let source = Source::create(
        &instance,
        &json!({"issuer": transmitter.issuer(), "audience": ACME_AUDIENCE, "delivery": delivery,
                "credentials": {"client_id": "client", "client_secret": "secret"}}),
    );
    let path = format!("{}/setup?wait=1", source.path());
    eventually("it is set up", || {
        (instance.operator().get(&path, 200)["state"] == "done").then_some(())
    });
    (instance, transmitter, source)
}

/// Every event of the inbox that is not about the stream, page by page.
fn inbox(instance: &Instance, source: &Source) -> Vec<String> {
    let mut jtis = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = source.page(instance, &format!("?limit=1000&after={cursor}"));
        let events = page["events"].as_array().expect("an array");
        if events.is_empty() {
            return jtis;
        }
        let others = events
            .iter()
            .filter(|event| !event["type"].as_str().unwrap_or_default().contains("/ssf/"));
        jtis.extend(others.map(|event| event["jti"].as_str().expect("a jti").to_owned()));
        cursor = page["cursor"].as_str().expect("a cursor").to_owned();
    }
}

fn assert_each_once(instance: &Instance, source: &Source, drafts: &[Draft]) -> Vec<String> {
    let found = inbox(instance, source);
    let once: HashSet<&String> = found.iter().collect();
    assert_eq!(once.len(), found.len(), "none is there twice");
    let wanted: Vec<String> = drafts.iter().map(Draft::jti).collect();
    let missing: Vec<_> = wanted.iter().filter(|jti| !once.contains(jti)).collect();
    assert!(missing.is_empty(), "{} are missing", missing.len());
    assert_eq!(found.len(), EVENTS);
    found
}

#[test]
fn pushed_events_are_in_the_inbox_once_though_the_receiver_dies_twenty_times() {
    let (mut instance, transmitter, source) = start("push");
    let drafts: Arc<Vec<Draft>> = Arc::new((0..EVENTS).map(|_| transmitter.draft()).collect());
    let (next, taken) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let senders: Vec<_> = (0..4)
        .map(|_| {
            let (transmitter, drafts) = (Arc::clone(&transmitter), Arc::clone(&drafts));
            let (next, taken) = (Arc::clone(&next), Arc::clone(&taken));
            std::thread::spawn(move || {
                while let Some(draft) = drafts.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let set = draft.sign();
                    eventually("it is taken", || (transmitter.push(&set) == Some(202)).then_some(()));
                    taken.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for kill in 1..=KILLS {
        let so_far = kill * EVENTS / (KILLS + 1);
        eventually("events come", || (taken.load(Ordering::SeqCst) >= so_far).then_some(()));
        instance.restart();
    }
    for sender in senders {
        sender.join().expect("a sender ends well");
    }
    assert_each_once(&instance, &source, &drafts);
}

#[test]
fn polled_events_are_in_the_inbox_once_though_the_receiver_dies_twenty_times() {
    let (mut instance, transmitter, source) = start("poll");
    let mut drafts = Vec::new();
    for kill in 1..=KILLS {
        while drafts.len() < kill * EVENTS / KILLS {
            let draft = transmitter.draft();
            transmitter.queue(&draft);
            drafts.push(draft);
        }
        let half = drafts.len() - EVENTS / KILLS / 2;
        eventually("some are acknowledged", || {
            (transmitter.acked().len() >= half).then_some(())
        });
        instance.restart();
    }
    eventually("all are acknowledged", || (transmitter.queued() == 0).then_some(()));
    let found = assert_each_once(&instance, &source, &drafts);
    // SET-5.3-1: in the order in which the transmitter handed them out.
    let sent: Vec<_> = drafts.iter().map(Draft::jti).collect();
    assert!(found == sent, "in order");
}

/// Pitfall 19: nobody asks a source that polls, so somebody has to look whether it still does.
#[test]
fn a_source_that_polls_does_so_again_though_its_alarm_was_lost() {
    let (mut instance, transmitter, source) = start("poll");
    instance.kill();
    lose_alarms(&instance, "SourceObject");
    transmitter.queue(&transmitter.draft());
    let_time_pass(&mut instance);
    eventually("it is polled", || (transmitter.queued() == 0).then_some(()));
    assert_eq!(inbox(&instance, &source).len(), 1);
}
