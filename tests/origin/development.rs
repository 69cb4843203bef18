//! The operator's token in the page's hands: under the development setting, on a loopback name, and nowhere else.

use serde_json::json;

use crate::harness::{ADMIN_TOKEN, Instance, Options};

use super::at;

#[test]
fn the_page_gets_the_token_on_this_machine_under_the_development_setting() {
    let instance = Instance::start(Options::default().set("DEVELOPMENT", 1));
    let port = instance
        .origin()
        .rsplit_once(':')
        .map(|(_, port)| port.to_owned())
        .expect("a port");
    for host in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("[::1]:{port}"),
        "localhost".to_owned(),
    ] {
        let console = at(&instance, &host).get("/console.json", 200);
        assert_eq!(console["development_token"], json!(ADMIN_TOKEN), "{host}");
    }
    for host in [
        "heliograph.example".to_owned(),
        format!("localhost.evil.example:{port}"),
        format!("127.0.0.1.evil.example:{port}"),
        format!("evil.localhost.example:{port}"),
        format!("192.0.2.1:{port}"),
        format!("0.0.0.0:{port}"),
    ] {
        let answer = at(&instance, &host).send("GET", "/console.json", &[], b"", 200);
        assert!(!answer.to_string().contains(ADMIN_TOKEN), "{host}: {answer}");
    }
    // Nor may it be kept, or read by pages of other origins.
    let answer =
        instance
            .anyone()
            .with_header("origin", "https://evil.example")
            .send("GET", "/console.json", &[], b"", 200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[test]
fn nobody_gets_the_token_without_the_development_setting() {
    for options in [
        Options::default(),
        Options::default().set("DEVELOPMENT", 0),
        Options::default().set("DEVELOPMENT", 1).unset("ADMIN_TOKEN"),
    ] {
        let instance = Instance::start(options);
        let answer = instance.anyone().send("GET", "/console.json", &[], b"", 200);
        assert_eq!(answer.json().get("development_token"), None);
        assert!(!answer.to_string().contains(ADMIN_TOKEN));
    }
}
