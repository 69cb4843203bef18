//! Secrets stay where they belong: not in answers, not in the log, not readable on disk.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::harness::{ADMIN_TOKEN, Answer, Client, Instance, Options, Reply, ScriptedReceiver, eventually};
use crate::support::{ACME_AUDIENCE, Acme, PUSH, Source, Stream, event, publish};

/// What the endpoint of the stream wants to see.
const AUTHORIZATION: &str = "Bearer push-key-3-of-acme";

struct World {
    instance: Instance,
    acme: Acme,
    receiver: ScriptedReceiver,
    stream: Stream,
    source: Source,
}

impl World {
    fn start() -> Self {
        let instance = Instance::start(Options::default());
        let receiver = ScriptedReceiver::start();
        let acme = Acme::register(&instance, &[&receiver.url("/")]);
        let endpoint = receiver.url("/events");
        let delivery = json!({"method": PUSH, "endpoint_url": endpoint, "authorization_header": AUTHORIZATION});
        let stream = acme.stream(&json!({"delivery": delivery}));
        let source = Source::register(&instance, &instance.origin(), ACME_AUDIENCE);
        Self {
            instance,
            acme,
            receiver,
            stream,
            source,
        }
    }

    /// Everything that anybody can read, and some of what goes wrong.
    fn answers(&self) -> Vec<Answer> {
        let (operator, acme, anyone) = (self.instance.operator(), &self.acme.api, self.instance.anyone());
        let wrong = anyone.clone().basic(&self.acme.client_id, "wrong");
        let get = |client: &Client, path: &str| client.send("GET", path, &[], b"", 200);
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let stream = format!("/admin/streams/{}", self.stream.id);
        vec![
            get(&anyone, "/console.json"),
            get(&anyone, "/jwks.json"),
            get(&anyone, "/.well-known/ssf-configuration"),
            get(acme, "/ssf/streams"),
            get(acme, &self.stream.path()),
            get(&operator, "/admin/clients"),
            get(&operator, &format!("/admin/clients/{}", self.acme.client_id)),
            get(&operator, "/admin/streams"),
            get(&operator, &stream),
            get(&operator, &format!("{stream}/deliveries")),
            get(&operator, &format!("{stream}/dead-letters")),
            get(&operator, "/admin/sources"),
            get(&operator, &self.source.path()),
            get(&operator, &format!("{}/events", self.source.path())),
            wrong.send("POST", "/oauth/token", &form, b"grant_type=client_credentials", 401),
            self.source.push(&self.instance, "not.a.set", 400),
            anyone
                .bearer(&format!("{}x", self.acme.token))
                .send("GET", "/ssf/streams", &[], b"", 401),
        ]
    }
}

#[test]
fn no_answer_and_no_line_of_the_log_holds_a_secret() {
    let world = World::start();
    world
        .receiver
        .then(Reply::status(500))
        .then(Reply::json(400, &json!({"err": "access_denied", "description": "no"})));
    publish(&world.instance.operator(), &[event("evt-1", "ana@example.com")]);
    let dead = eventually("the event is a dead letter", || {
        world.stream.dead_letters(&world.instance).pop()
    });
    assert_eq!(dead["err"], json!("access_denied"));
    publish(&world.instance.operator(), &[event("evt-2", "ana@example.com")]);
    let pushed = world.receiver.wait_for(3);
    assert_eq!(
        pushed.header("authorization"),
        Some(AUTHORIZATION),
        "the secret is in use"
    );
    eventually("all attempts are on record", || {
        (world.stream.deliveries(&world.instance).len() == 3).then_some(())
    });

    let secrets = [
        ("the receiver's authorization header", AUTHORIZATION),
        ("the client's secret", &world.acme.client_secret),
        ("the client's access token", &world.acme.token),
        ("the source's authorization header", &world.source.authorization),
        ("the operator's token", ADMIN_TOKEN),
    ];
    // Without its scheme a secret is as good.
    let bare = |secret: &str| secret.trim_start_matches("Bearer ").to_owned();
    let log = || fs::read_to_string(world.instance.data_dir().join("workerd.log")).expect("workerd's log");
    eventually("the failed requests are in the log", || {
        log().contains("event_dead").then_some(())
    });
    let texts = world
        .answers()
        .into_iter()
        .map(|answer| answer.to_string())
        .chain([log()]);
    for text in texts {
        for (what, secret) in &secrets {
            assert!(!text.contains(&bare(secret)), "{what} is in: {text}");
        }
    }
}

#[test]
fn private_keys_and_authorization_headers_are_unreadable_on_disk() {
    let world = World::start();
    publish(&world.instance.operator(), &[event("evt-1", "ana@example.com")]);
    world.receiver.wait_for(1);
    let jwks = world.instance.anyone().get("/jwks.json", 200);
    let modulus = jwks["keys"][0]["n"].as_str().expect("a modulus");
    let endpoint = world.receiver.url("/events");

    let mut files = Vec::new();
    for store in ["objects", "kv"] {
        list_files(&world.instance.data_dir().join(store), &mut files);
    }
    let holds = |needle: &str| {
        let holds = |file: &PathBuf| {
            let bytes = fs::read(file).unwrap_or_default();
            bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
        };
        files.iter().any(holds)
    };
    // What may be read is found: the search looks in the right place.
    for public in [modulus, endpoint.as_str(), &world.acme.client_id, "ana@example.com"] {
        assert!(holds(public), "{public} is not on disk");
    }
    // The private members of an RSA key, however its JSON was written.
    for member in ["d", "p", "q", "dp", "dq", "qi"] {
        for spelling in [format!("\"{member}\":\""), format!("\"{member}\": \"")] {
            assert!(!holds(&spelling), "a private key is on disk: {spelling}");
        }
    }
    for secret in [
        AUTHORIZATION,
        "push-key-3-of-acme",
        &world.acme.client_secret,
        &world.acme.token,
    ] {
        assert!(!holds(secret), "{secret} is on disk");
    }
    assert!(
        !holds(world.source.authorization.trim_start_matches("Bearer ")),
        "the source's secret is on disk"
    );
}

fn list_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a data folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            list_files(&path, files);
        } else {
            files.push(path);
        }
    }
}
