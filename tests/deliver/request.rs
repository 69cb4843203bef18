//! The push itself, as it arrives.

use serde_json::json;

use crate::harness::{Instance, Options, ScriptedReceiver};
use crate::support::{Acme, PUSH, Set, event, publish};

use super::{Line, set_of};

#[test]
fn a_push_is_the_set_and_the_headers_of_the_standard() {
    let instance = Instance::start(Options::default());
    let receiver = ScriptedReceiver::start();
    let acme = Acme::register(&instance, &[&receiver.url("/")]);
    // SSF-6.1.1-4: exactly this, whatever it is.
    let authorization = r#"Custom  key="a,b";	v=1, ~`!@#$%^&*(){}[]|\:;'<>?/"#;
    let endpoint_url = receiver.url("/events/a%20b?tenant=1&x=%2F");
    let stream = acme.stream(&json!({
        "delivery": {"method": PUSH, "endpoint_url": endpoint_url, "authorization_header": authorization},
    }));
    publish(&instance.operator(), &[event("evt-1", "ana@example.com")]);

    let push = receiver.wait_for(1);
    assert_eq!(
        (push.method.as_str(), push.target.as_str()),
        ("POST", "/events/a%20b?tenant=1&x=%2F"),
        "PUSH-2.1-1"
    );
    assert_eq!(
        push.header("content-type"),
        Some("application/secevent+jwt"),
        "PUSH-2.1-2"
    );
    assert_eq!(push.header("accept"), Some("application/json"), "PUSH-2.1-3");
    assert_eq!(push.header("authorization"), Some(authorization), "SSF-6.1.1-4");
    for name in ["content-type", "accept", "authorization", "host", "content-length"] {
        let values = push
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .count();
        assert_eq!(values, 1, "{name} stands once: {:?}", push.headers);
    }
    // PUSH-2.1-4: the token and nothing around it.
    let set = Set::verified(push.text(), &instance.anyone().get("/jwks.json", 200));
    assert_eq!(set.email(), "ana@example.com");
    assert_eq!(
        stream.configuration["delivery"].get("authorization_header"),
        None,
        "SSF-6.1.1-6"
    );
}

#[test]
fn without_an_authorization_header_none_is_sent() {
    let line = Line::start(Options::default());
    line.publish(&[event("evt-1", "ana@example.com")]);
    let push = line.receiver.wait_for(1);
    assert_eq!(push.header("authorization"), None, "SSF-6.1.1-5");
    assert_eq!(push.header("cookie"), None);
}

#[test]
fn each_event_of_a_batch_is_pushed_by_itself_and_once() {
    let line = Line::start(Options::default());
    let batch: Vec<_> = (0..50)
        .map(|number| event(&format!("evt-{number}"), &format!("{number}@example.com")))
        .collect();
    line.publish(&batch);
    line.receiver.wait_for(50);
    line.wait_until_idle();
    let pushes = line.receiver.requests();
    assert_eq!(pushes.len(), 50, "PUSH-2-9: what was accepted is not sent again");
    let mut subjects: Vec<String> = pushes.iter().map(|push| set_of(push).email().to_owned()).collect();
    subjects.sort();
    let mut expected: Vec<String> = (0..50).map(|number| format!("{number}@example.com")).collect();
    expected.sort();
    assert_eq!(subjects, expected);
}
