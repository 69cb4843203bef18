//! The process dies in the middle of a change that spans objects: what is half made or half gone is not there for anybody, and
//! is cleared away.

use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::thread::scope;
use std::time::Instant;

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::harness::{Client, DEADLINE, Instance, Options, Reply, ScriptedReceiver, eventually};
use crate::support::{
    Acme, SESSION_REVOKED, Stream, Tenant, assert_problem, databases, event, has_table, let_time_pass,
};

use super::attempt;

/// So many that the process dies before all of them have been dealt with.
const MANY: u32 = 100;

/// The databases of the tenants' objects, seen from outside: the process does one thing after the other, so whoever asks it
/// how far it has come is told when it is done.
struct Inside(Vec<Connection>);

impl Inside {
    fn look(instance: &Instance) -> Self {
        let with_children = |path: PathBuf| {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
            let database = Connection::open_with_flags(path, flags).expect("a database");
            has_table(&database, "child").then_some(database)
        };
        Self(
            databases(instance, "TenantObject")
                .into_iter()
                .filter_map(with_children)
                .collect(),
        )
    }

    /// How many streams, sources and tenants there are of which this is so.
    fn children(&self, condition: &str) -> u32 {
        let sql = format!("SELECT COUNT(*) FROM child WHERE {condition}");
        let count = |database: &Connection| database.query_row(&sql, [], |row| row.get::<_, u32>(0));
        self.0.iter().map(|database| count(database).unwrap_or(0)).sum()
    }
}

/// Sends a request, kills the process as soon as `begun` says that its work is under way, and starts it again. Whether the
/// request was answered after all does not matter for what must hold then.
#[track_caller]
fn cut_off(
    instance: &mut Instance,
    client: &Client,
    (method, path, body): (&str, &str, &Value),
    begun: impl Fn(&Inside) -> bool,
) {
    let text = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let json = [("content-type", "application/json")];
    let inside = Inside::look(instance);
    let (sending, sent) = channel();
    scope(|threads| {
        threads.spawn(move || {
            sending.send(()).expect("somebody waits");
            let _answer = client.try_send(method, path, &json, text.as_bytes());
        });
        sent.recv().expect("it is sent");
        let started = Instant::now();
        while !begun(&inside) {
            assert!(started.elapsed() < DEADLINE, "{method} {path} has begun");
            std::hint::spin_loop();
        }
        instance.kill();
    });
    drop(inside);
    instance.restart();
}

/// A tenant with a client that has many streams.
#[track_caller]
fn crowded(instance: &Instance) -> (Tenant, Acme, Vec<Stream>) {
    let acme = Tenant::create(instance, "acme", &json!({"streams_per_client": 1000}));
    let client = acme.receiver(instance, &json!({}));
    let streams = (0..MANY).map(|_| client.poll_stream()).collect();
    (acme, client, streams)
}

fn status(client: &Client, path: &str) -> u16 {
    client.try_get(path).map_or(0, |answer| answer.status)
}

#[track_caller]
fn listed(instance: &Instance) -> Vec<String> {
    let answer = instance.operator().get("/admin/tenants", 200);
    let tenants = answer["tenants"].as_array().expect("an array");
    let name = |entry: &Value| entry["tenant"].as_str().expect("a name").to_owned();
    tenants.iter().map(name).collect()
}

#[test]
fn a_deletion_that_was_cut_off_hides_the_tenant_and_goes_on_by_itself() {
    let mut instance = Instance::start(Options::default());
    let operator = instance.operator();
    let (acme, client, streams) = crowded(&instance);
    let request = json!({"issuer": "https://idp.example", "audience": "x"});
    let source = operator.post_json(&acme.path("/admin/sources"), &request, 201);
    let begun = |inside: &Inside| inside.children("kind = 'stream'") < MANY - 10;
    cut_off(
        &mut instance,
        &operator,
        ("DELETE", &acme.admin_path(), &Value::Null),
        begun,
    );

    // Half gone is gone.
    operator.get(&acme.admin_path(), 404);
    assert_eq!(listed(&instance), ["default"]);
    for path in ["/jwks.json", "/admin/clients", "/admin/streams", "/admin/sources"] {
        operator.get(&acme.path(path), 404);
    }
    let events = json!({"events": [event("evt-1", "ana@example.com")]});
    operator.post_json(&acme.path("/events"), &events, 404);
    client.api.post_json(&acme.path("/ssf/streams"), &json!({}), 404);
    operator.get(&format!("/.well-known/ssf-configuration{}", acme.base), 404);

    let_time_pass(&mut instance);
    eventually("the name is free", || {
        let answer = attempt(&operator, "POST", "/admin/tenants", &json!({"tenant": "acme"}));
        match answer.status {
            201 => Some(()),
            409 => None,
            _ => panic!("{answer}"),
        }
    });
    // What was in the old tenant is not in the new one, where it would be found.
    for list in ["clients", "streams", "sources"] {
        assert_eq!(
            operator.get(&acme.path(&format!("/admin/{list}")), 200)[list],
            json!([])
        );
    }
    for stream in &streams {
        operator.get(&stream.admin_path(""), 404);
    }
    let source_id = source["source_id"].as_str().expect("an id");
    operator.get(&acme.path(&format!("/admin/sources/{source_id}")), 404);
    assert_eq!(acme.publish(&operator, &[event("evt-1", "ana@example.com")]), 0);
}

#[test]
fn a_deletion_that_was_cut_off_can_be_asked_for_again() {
    let mut instance = Instance::start(Options::default());
    let operator = instance.operator();
    let (acme, _, streams) = crowded(&instance);
    let begun = |inside: &Inside| inside.children("kind = 'stream'") < MANY - 10;
    cut_off(
        &mut instance,
        &operator,
        ("DELETE", &acme.admin_path(), &Value::Null),
        begun,
    );
    let again = attempt(&operator, "DELETE", &acme.admin_path(), &Value::Null);
    // 404: it was done already.
    assert!([202, 204, 404].contains(&again.status), "{again}");
    eventually("it is gone for good", || {
        let answer = attempt(&operator, "DELETE", &acme.admin_path(), &Value::Null);
        (answer.status == 404).then_some(())
    });
    operator.post_json("/admin/tenants", &json!({"tenant": "acme"}), 201);
    for stream in &streams {
        operator.get(&stream.admin_path(""), 404);
    }
}

#[test]
fn a_creation_that_was_cut_off_made_a_whole_tenant_or_none() {
    let mut instance = Instance::start(Options::default());
    let operator = instance.operator();
    operator.get("/admin/tenants", 200);
    for round in 0..5 {
        let name = format!("acme-{round}");
        let (path, document) = (format!("/t/{name}"), format!("/admin/tenants/{name}"));
        let request = json!({"tenant": name, "default_subjects": "NONE"});
        // At once, when it has begun, and when it is there.
        let begun = |inside: &Inside| match round {
            0 => true,
            1 | 2 => inside.children(&format!("id = '{name}'")) > 0,
            _ => inside.children(&format!("id = '{name}' AND state = 'active'")) > 0,
        };
        cut_off(&mut instance, &operator, ("POST", "/admin/tenants", &request), begun);
        let is_there = status(&operator, &document) == 200;
        assert_eq!(listed(&instance).contains(&name), is_there, "{name}");
        if is_there {
            assert_eq!(operator.get(&document, 200)["default_subjects"], json!("NONE"));
            operator.get(&format!("{path}/jwks.json"), 200);
        }
        let_time_pass(&mut instance);
        eventually("there is one, made now or then", || {
            let answer = attempt(&operator, "POST", "/admin/tenants", &request);
            match (answer.status, status(&operator, &document)) {
                (201, _) => {
                    assert!(!is_there, "a name is given once: {answer}");
                    Some(())
                }
                (409, 200) => {
                    assert!(is_there, "nobody made it but we: {answer}");
                    Some(())
                }
                (409, 404) => None,
                _ => panic!("{answer}"),
            }
        });
        operator.get(&format!("{path}/jwks.json"), 200);
        let metadata = operator.get(&format!("/.well-known/ssf-configuration{path}"), 200);
        assert_eq!(metadata["default_subjects"], json!("NONE"));
    }
}

#[test]
fn a_stream_whose_creation_was_cut_off_is_whole_or_takes_no_room() {
    let mut instance = Instance::start(Options::default().set("STREAMS_PER_CLIENT", 4));
    let operator = instance.operator();
    let acme = Tenant::create(&instance, "acme", &json!({}));
    let client = acme.receiver(&instance, &json!({}));
    let path = acme.path("/ssf/streams");
    let own = || client.api.get(&path, 200).as_array().expect("an array").clone();
    for round in 1..4 {
        let begun = |inside: &Inside| round > 1 || inside.children("kind = 'stream'") > 0;
        cut_off(&mut instance, &client.api, ("POST", &path, &json!({})), begun);
        let known = own();
        assert!(known.len() <= round, "{known:?}");
        for configuration in &known {
            let id = configuration["stream_id"].as_str().expect("an id");
            operator.get(&acme.path(&format!("/admin/streams/{id}")), 200);
        }
        assert_eq!(
            acme.publish(&operator, &[event(&format!("evt-{round}"), "a@example.com")]),
            known.len() as u64
        );
    }
    let_time_pass(&mut instance);
    let room = 4 - own().len();
    for _ in 0..room {
        eventually("there is room", || {
            (attempt(&client.api, "POST", &path, &json!({})).status == 201).then_some(())
        });
    }
    assert_problem(&client.api.send_json("POST", &path, &json!({}), 409), 409);
    assert_eq!(own().len(), 4);
}

#[test]
fn a_client_whose_deletion_was_cut_off_is_gone_and_so_are_its_streams_in_the_end() {
    let mut instance = Instance::start(Options::default());
    let operator = instance.operator();
    let (acme, client, streams) = crowded(&instance);
    let kept = acme.receiver(&instance, &json!({})).poll_stream();
    let path = client.path();
    let begun = |inside: &Inside| inside.children("kind = 'stream'") < MANY;
    cut_off(&mut instance, &operator, ("DELETE", &path, &Value::Null), begun);
    operator.get(&path, 404);
    client.api.post_json(&acme.path("/ssf/streams"), &json!({}), 401);

    let_time_pass(&mut instance);
    eventually("its streams are gone", || {
        let answer = operator.get(&acme.path("/admin/streams"), 200);
        (answer["streams"].as_array().map(Vec::len) == Some(1)).then_some(())
    });
    for stream in &streams {
        operator.get(&stream.admin_path(""), 404);
    }
    assert_eq!(acme.publish(&operator, &[event("evt-1", "ana@example.com")]), 1);
    assert_eq!(kept.poll_now().len(), 1);
}

#[test]
fn settings_that_were_cut_off_on_their_way_reach_every_stream() {
    let mut instance = Instance::start(Options::default());
    let operator = instance.operator();
    let (acme, _, streams) = crowded(&instance);
    let patch = json!({"events_supported": [SESSION_REVOKED], "min_verification_interval": 77});
    let before = Inside::look(&instance);
    let known = (0..).find(|rev| before.children(&format!("terms_rev > {rev}")) == 0);
    let newer = format!("terms_rev > {}", known.expect("a revision"));
    let begun = |inside: &Inside| inside.children(&newer) > 5;
    cut_off(&mut instance, &operator, ("PATCH", &acme.admin_path(), &patch), begun);
    assert_eq!(
        operator.get(&acme.admin_path(), 200)["min_verification_interval"],
        json!(77)
    );

    let_time_pass(&mut instance);
    for stream in &streams {
        eventually("it knows its terms", || {
            let configuration = stream.read();
            let told = configuration["events_delivered"] == json!([SESSION_REVOKED]);
            (told && configuration["min_verification_interval"] == 77).then_some(())
        });
    }
}

#[test]
fn nothing_goes_out_for_a_tenant_that_was_deleted_before_the_process_died() {
    let mut instance = Instance::start(Options::default().set("RETRY_BASE_MS", 20).set("RETRY_CAP_MS", 50));
    let operator = instance.operator();
    let [acme, beta] = ["acme", "beta"].map(|name| Tenant::create(&instance, name, &json!({})));
    let receiver = ScriptedReceiver::start();
    receiver.otherwise(Reply::status(503));
    for tenant in [&acme, &beta] {
        let client = tenant.receiver(&instance, &json!({"push_endpoints": [receiver.url("/")]}));
        client.push_stream(&receiver.url(&format!("/{}", tenant.name)));
        tenant.publish(&operator, &[event("evt-1", "ana@example.com")]);
    }
    let pushes = |path: &str| receiver.requests().iter().filter(|push| push.target == path).count();
    eventually("both are tried", || {
        (pushes("/acme") > 1 && pushes("/beta") > 1).then_some(())
    });
    operator.delete(&acme.admin_path(), 204);
    instance.restart();
    let (before, next_door) = (pushes("/acme"), pushes("/beta"));
    eventually("the other one is still tried", || {
        (pushes("/beta") > next_door + 5).then_some(())
    });
    assert_eq!(pushes("/acme"), before);
    operator.get(&acme.admin_path(), 404);
    assert_eq!(listed(&instance), ["default", "beta"]);
}
