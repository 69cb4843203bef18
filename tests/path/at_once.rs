//! The same thing asked for many times at once.

use std::collections::BTreeSet;
use std::thread::scope;

use serde_json::{Value, json};

use crate::harness::{Instance, Options};
use crate::support::{Acme, Set, event, publish};

const CALLERS: usize = 8;

/// Does it in as many threads as there are callers.
fn at_once<T: Send>(work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    scope(|threads| {
        let work = &work;
        let callers: Vec<_> = (0..CALLERS).map(|number| threads.spawn(move || work(number))).collect();
        callers
            .into_iter()
            .map(|caller| caller.join().expect("no panic"))
            .collect()
    })
}

#[test]
fn many_first_uses_make_one_key() {
    let instance = Instance::start(Options::default());
    let registration = json!({"client_name": "Acme", "scope": "ssf.manage", "audience": "https://acme.example"});
    let client = instance.operator().post_json("/admin/clients", &registration, 201);
    let text = |name: &str| client[name].as_str().expect("a string").to_owned();
    let (id, secret) = (text("client_id"), text("client_secret"));
    // Design 7: two first uses must not make two keys.
    let kids = at_once(|number| {
        if number % 2 == 0 {
            let jwks = instance.anyone().get("/jwks.json", 200);
            assert_eq!(jwks["keys"].as_array().map(Vec::len), Some(1), "{jwks}");
            return jwks["keys"][0]["kid"].clone();
        }
        let basic = instance.anyone().basic(&id, &secret);
        let token = basic.post_form("/oauth/token", &[("grant_type", "client_credentials")], 200);
        Set::decode(token["access_token"].as_str().expect("a token")).header["kid"].clone()
    });
    let kids: BTreeSet<String> = kids.iter().map(Value::to_string).collect();
    assert_eq!(kids.len(), 1, "{kids:?}");
}

#[test]
fn an_event_published_many_times_at_once_is_stored_once() {
    let instance = Instance::start(Options::default());
    let stream = Acme::register(&instance, &[]).poll_stream();
    let stored = at_once(|_| publish(&instance.operator(), &[event("evt-1", "ana@example.com")]));
    assert_eq!(stored, [1; CALLERS]);
    assert_eq!(stream.poll_now().len(), 1);
}

#[test]
fn events_published_at_once_are_all_stored() {
    let instance = Instance::start(Options::default());
    let stream = Acme::register(&instance, &[]).poll_stream();
    at_once(|caller| {
        for number in 0..5 {
            publish(
                &instance.operator(),
                &[event(&format!("evt-{caller}-{number}"), "ana@example.com")],
            );
        }
    });
    assert_eq!(stream.poll_now().len(), 5 * CALLERS);
}

#[test]
fn streams_created_at_once_do_not_pass_the_limit() {
    let instance = Instance::start(Options::default().set("STREAMS_PER_CLIENT", 3));
    let acme = Acme::register(&instance, &[]);
    let json = [("content-type", "application/json")];
    let mut statuses = at_once(|_| {
        acme.api
            .try_send("POST", "/ssf/streams", &json, b"{}")
            .expect("an answer")
            .status
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 201, 201, 409, 409, 409, 409, 409]);
    assert_eq!(acme.api.get("/ssf/streams", 200).as_array().map(Vec::len), Some(3));
}

#[test]
fn a_stream_deleted_many_times_at_once_is_deleted_once() {
    let instance = Instance::start(Options::default());
    let acme = Acme::register(&instance, &[]);
    let stream = acme.poll_stream();
    let statuses = at_once(|_| {
        acme.api
            .try_send("DELETE", &stream.path(), &[], b"")
            .expect("an answer")
            .status
    });
    assert!(
        statuses.iter().all(|status| [204, 404].contains(status)),
        "{statuses:?}"
    );
    assert!(statuses.contains(&204), "{statuses:?}");
    assert_eq!(acme.api.get("/ssf/streams", 200), json!([]));
    acme.poll_stream();
}
