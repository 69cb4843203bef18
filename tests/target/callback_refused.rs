//! Callbacks that are not called (T-T-03): the URL is chosen by whoever reaches us, so it is called only where the operator
//! said so, and where any URL of others would be (WH-4.1-28, section 5 of the digest).

use serde_json::{Value, json};

use crate::harness::{Instance, Options, Reply, ScriptedReceiver};
use crate::support::pointer_of;

use super::{CALLBACK, ORIGIN, RATE, SENDER, Sender, Target, assert_grants_nothing, soon};

/// Asks with this callback, and expects that it is refused for good.
#[track_caller]
fn assert_refused(target: &Target, callback: &str) {
    assert_not_called(target, callback);
    let grant = target.grant_of(SENDER).expect("it is on record");
    assert!(
        [&Value::Null, &json!("refused")].contains(&&grant["callback"]["state"]),
        "{callback}: {grant}"
    );
}

/// Asks with this callback, and expects that nothing is called unless the operator says so.
#[track_caller]
fn assert_not_called(target: &Target, callback: &str) {
    let answer = target.options(&[(ORIGIN, SENDER), (RATE, "60"), (CALLBACK, callback)], 200);
    // The sender is told what others are told who wait: what we call is not its business to know.
    assert_grants_nothing(&answer);
    let grant = target.grant_of(SENDER).expect("it is on record");
    assert_eq!(grant["state"], json!("pending"), "{callback}: {grant}");
    if !grant["callback"].is_null() {
        assert_eq!(
            (&grant["callback"]["attempts"], &grant["callback"]["next_attempt_at"]),
            (&json!(0), &Value::Null),
            "{callback}: {grant}"
        );
    }
}

#[test]
fn hosts_and_ports_that_are_not_listed_are_not_called() {
    let (sender, foreign) = (Sender::start(), ScriptedReceiver::start());
    let target = Target::start(soon(), &sender.members());
    let port = sender.host().rsplit_once(':').expect("a port").1.to_owned();
    let foreign_port = foreign.url("").rsplit_once(':').expect("a port").1.to_owned();
    for callback in [
        foreign.url("/callback"),
        // The same machine, but not as it is listed.
        format!("http://localhost:{port}/callback"),
        format!("http://127.0.0.1/callback?{port}"),
        format!("https://127.0.0.1:{foreign_port}/callback"),
        format!("http://127.0.0.1:{foreign_port}/:{port}"),
        "https://tx.example.com/callback".to_owned(),
        format!("https://{SENDER}:{port}/callback"),
    ] {
        assert_not_called(&target, &callback);
    }
    for callback in [
        format!("http://sender@127.0.0.1:{port}/callback"),
        format!("http://127.0.0.1:{port}@127.0.0.1:{foreign_port}/callback"),
        format!("http://127.0.0.1:{port}.attacker.example.net/callback"),
        format!("http://127.0.0.1:{port}/callback#fragment"),
    ] {
        assert_refused(&target, &callback);
    }
    // The listed one is called; what should not be called before it was not.
    target.options(&[(ORIGIN, SENDER), (CALLBACK, &sender.callback())], 200);
    target.wait_for(SENDER, "granted", |grant| grant["state"] == "granted");
    assert_eq!((sender.calls().len(), foreign.requests().len()), (1, 0));
}

#[test]
fn without_a_list_nothing_is_called() {
    let sender = Sender::start();
    let members = json!({"allowed_origins": [SENDER], "handshake": "callback"});
    let target = Target::start(soon(), &members);
    assert_not_called(&target, &sender.callback());
    // Nor where the port is another than the usual one of the listed host.
    target.change(&json!({"callback_hosts": ["127.0.0.1"]}));
    assert_not_called(&target, &sender.callback());
    target.change(&json!({"callback_hosts": []}));
    assert_not_called(&target, &sender.callback());
    assert_eq!(sender.calls().len(), 0);
}

/// A suffix covers what is below it, not itself and not what only ends alike.
#[test]
fn a_suffix_covers_hosts_below_it_only() {
    let target = Target::start(
        soon().set("CALLBACK_RETRY_MS", 600_000),
        &json!({
            "allowed_origins": [SENDER], "handshake": "callback",
            "callback_hosts": ["*.regions.example.com", "*.events.example.com:553", "one.example.com"],
        }),
    );
    for callback in [
        "https://regions.example.com/1",
        "https://evilregions.example.com/1",
        "https://a.regions.example.com.attacker.tld/1",
        "https://a.regions.example.com:8443/1",
        "https://a.events.example.com/1",
        "https://a.events.example.com:443/1",
        "https://sub.one.example.com/1",
        "https://one.example.com:553/1",
    ] {
        assert_not_called(&target, callback);
    }
    for callback in [
        "http://one.example.com/1",
        "http://one.example.com:443/1",
        "ftp://one.example.com/1",
        "//one.example.com/1",
        "one.example.com/1",
        "https://one.example.com\\@attacker.example.net/1",
        "",
    ] {
        assert_refused(&target, callback);
    }
    // They resolve nowhere, so each is tried and fails; that it is tried is what counts.
    for callback in [
        "https://a.regions.example.com/1",
        "https://A.B.Regions.Example.Com./1",
        "https://a.events.example.com:553/1",
        "https://one.example.com:443/1",
        "https://ONE.example.com/1?x=y",
    ] {
        target.options(&[(ORIGIN, SENDER), (CALLBACK, callback)], 200);
        let grant = target.grant_of(SENDER).expect("it is on record");
        let tried = grant["callback"]["next_attempt_at"].is_u64() || grant["callback"]["attempts"] == 1;
        assert!(tried, "{callback}: {grant}");
    }
}

/// SS-3: ports that speak other protocols are never called, whatever was listed.
#[test]
fn ports_of_other_services_are_refused() {
    let instance = Instance::start(soon());
    let operator = instance.operator();
    for port in [22, 25, 53, 445, 2375, 3306, 5432, 6379, 9200, 11211] {
        for host in ["tx.example.com", "127.0.0.1"] {
            let listed = json!({
                "allowed_origins": [SENDER], "handshake": "callback", "callback_hosts": [format!("{host}:{port}")],
            });
            let request = super::with("https://idp.example.com", &listed).to_string();
            let headers = [("content-type", "application/json")];
            let answer = operator
                .try_send("POST", "/admin/sources", &headers, request.as_bytes())
                .expect("an answer");
            if answer.status == 400 {
                assert_eq!(pointer_of(&answer), "/callback_hosts/0", "{port}");
                continue;
            }
            let id = answer.json()["source_id"].as_str().expect("an id").to_owned();
            let scheme = if host == "127.0.0.1" { "http" } else { "https" };
            let callback = format!("{scheme}://{host}:{port}/callback");
            let headers = [(ORIGIN, SENDER), (CALLBACK, callback.as_str())];
            super::options_at(&instance.anyone(), &format!("/receive/{id}"), &headers, 200);
            let grants = operator.get(&format!("/admin/sources/{id}/grants"), 200);
            assert_eq!(
                grants["grants"][0]["callback"]["state"],
                json!("refused"),
                "{callback}: {grants}"
            );
        }
    }
}

/// SS-2, SS-4, SS-5: what may be called of others at all.
#[test]
fn addresses_that_are_not_public_are_not_called() {
    // As in production: loopback is not let in.
    let sender = Sender::start();
    let port = sender.host().rsplit_once(':').expect("a port").1.to_owned();
    let instance = Instance::start(soon().unset("ALLOW_LOOPBACK"));
    let operator = instance.operator();
    for host in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        "10.0.0.1".to_owned(),
        "[::1]".to_owned(),
        "metadata.google.internal".to_owned(),
        "169.254.169.254".to_owned(),
    ] {
        let members = json!({"allowed_origins": [SENDER], "handshake": "callback", "callback_hosts": [host]});
        let request = super::with("https://idp.example.com", &members);
        let headers = [("content-type", "application/json")];
        let answer = operator
            .try_send("POST", "/admin/sources", &headers, request.to_string().as_bytes())
            .expect("an answer");
        if answer.status == 400 {
            assert_eq!(pointer_of(&answer), "/callback_hosts/0", "{answer}");
            continue;
        }
        // Listed or not, it is not called.
        assert_eq!(answer.status, 201, "{answer}");
        let id = answer.json()["source_id"].as_str().expect("an id").to_owned();
        let path = format!("/receive/{id}");
        for scheme in ["https", "http"] {
            let callback = format!("{scheme}://{host}/callback");
            let headers = [(ORIGIN, SENDER), (CALLBACK, callback.as_str())];
            super::options_at(&instance.anyone(), &path, &headers, 200);
            let grants = operator.get(&format!("/admin/sources/{id}/grants"), 200);
            let state = &grants["grants"][0]["callback"]["state"];
            assert!(
                [&Value::Null, &json!("refused")].contains(&state),
                "{callback}: {grants}"
            );
        }
    }
    assert_eq!(sender.calls().len(), 0);
}

/// WH-2.2-2, SS-15
#[test]
fn redirects_are_not_followed() {
    let (sender, elsewhere) = (Sender::start(), ScriptedReceiver::start());
    let target = Target::start(soon(), &sender.members());
    for status in [301, 302, 303, 307] {
        sender
            .endpoint
            .then(Reply::status(status).header("location", &elsewhere.url("/callback")));
    }
    target.options(&[(ORIGIN, SENDER), (CALLBACK, &sender.callback())], 200);
    let failed = target.wait_for(SENDER, "the callback has failed", |grant| {
        grant["callback"]["state"] == "failed" || grant["state"] == "granted"
    });
    assert_eq!(failed["state"], json!("pending"), "a redirect is no success: {failed}");
    assert_eq!(elsewhere.requests().len(), 0);
}

/// WH-4.1-28: only an allowed origin gets anything called.
#[test]
fn an_origin_that_is_not_allowed_gets_nothing_called() {
    let sender = Sender::start();
    let target = Target::start(soon(), &sender.members());
    for origin in ["attacker.example.net", "tx.example.com.attacker.tld", ""] {
        target.options(&[(ORIGIN, origin), (CALLBACK, &sender.callback())], 403);
    }
    // A source that answers at once does not call either: its answer is the grant.
    let answering = target.another(&json!({"allowed_origins": [SENDER]}));
    let headers = [(ORIGIN, SENDER), (CALLBACK, &*sender.callback())];
    super::options_at(&target.instance.anyone(), &answering.receive_path(), &headers, 200);
    // The next one is called, and is the first.
    target.options(&[(ORIGIN, SENDER), (CALLBACK, &sender.endpoint.url("/good"))], 200);
    assert_eq!(sender.endpoint.wait_for(1).target, "/good");
    target.wait_for(SENDER, "granted", |grant| grant["state"] == "granted");
    assert_eq!(sender.calls().len(), 1);
}

#[test]
fn repeated_callback_headers_are_no_callback() {
    let (sender, foreign) = (Sender::start(), ScriptedReceiver::start());
    let target = Target::start(soon(), &sender.members());
    let (good, bad) = (sender.callback(), foreign.url("/callback"));
    let headers = [(ORIGIN, SENDER), (CALLBACK, good.as_str()), (CALLBACK, bad.as_str())];
    target.options(&headers, 200);
    let grant = target.grant_of(SENDER).expect("it is on record");
    assert!(
        [&Value::Null, &json!("refused")].contains(&&grant["callback"]["state"]),
        "{grant}"
    );
    assert_eq!((sender.calls().len(), foreign.requests().len()), (0, 0));
}

/// SS-21: an answer without an end, or none at all, holds nothing up.
#[test]
fn a_callback_endpoint_that_hangs_is_given_up() {
    let sender = Sender::start();
    let target = Target::start(
        Options::default()
            .set("CALLBACK_DELAY_MS", 20)
            .set("CALLBACK_RETRY_MS", 10)
            .set("HANDSHAKE_TIMEOUT_MS", 1000),
        &sender.members(),
    );
    sender.endpoint.then(Reply::Never).then(Reply::status(204));
    target.options(&[(ORIGIN, SENDER), (CALLBACK, &sender.callback())], 200);
    sender.endpoint.wait_for(1);
    // The source answers others meanwhile.
    target.push(&[], 202);
    target.wait_for(SENDER, "granted", |grant| grant["state"] == "granted");
    assert_eq!(sender.calls().len(), 2);
}
