//! What goes over the wire: headers and bytes in each mode.

use serde_json::{Value, json};

use crate::harness::{Options, Recorded};
use crate::support::{PUSH, SESSION_REVOKED, Tenant, event};

use super::super::{BATCHED, Line, MODES, STRUCTURED, assert_signed, delivery, events_of, header};

/// The event that is published, as its CloudEvent has to be, byte for byte.
fn expected(line: &Line, id: &str, sequence: &str) -> String {
    let published = event("evt-1", "ana@example.com");
    let source = format!("{}/streams/{}", line.tenant.issuer(), line.stream.id);
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"{source}","type":"{SESSION_REVOKED}","time":"2026-11-21T12:10:00Z","sequence":"{sequence}","datacontenttype":"application/json","data":{}}}"#,
        data(&published),
    )
}

fn data(published: &Value) -> String {
    let member = |name: &str| published[name].to_string();
    format!(
        r#"{{"sub_id":{},"event":{},"txn":{}}}"#,
        member("sub_id"),
        member("event"),
        member("txn")
    )
}

/// What every push has, in each mode.
#[track_caller]
fn check_request(line: &Line, push: &Recorded) {
    assert_eq!((push.method.as_str(), push.target.as_str()), ("POST", "/events"));
    // WH-2.1-6, WH-2.1-7, WH-2.1-10
    assert_eq!(header(push, "webhook-request-origin"), "127.0.0.1");
    assert!(!header(push, "user-agent").is_empty());
    for absent in ["origin", "cookie", "referer", "ce-datacontenttype", "authorization"] {
        assert_eq!(push.header(absent), None, "{absent}");
    }
    assert_signed(push, &line.secret());
    // No JWS: nothing in it is a token of three parts.
    assert!(!push.text().contains("eyJ"), "{}", push.text());
}

fn ce_headers(push: &Recorded) -> Vec<(String, String)> {
    let lower = push
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    let mut ce: Vec<(String, String)> = lower.filter(|(name, _)| name.starts_with("ce-")).collect();
    ce.sort();
    ce
}

/// CE-3.2-1, CE-3.2-2, CE-4-1, CE-4-2, CE-4-3, CE-4-6
#[test]
fn a_structured_event_is_its_whole_body() {
    let line = Line::start(Options::default(), "structured");
    line.tenant.publish(&[event("evt-1", "ana@example.com")]);
    let push = line.endpoint.wait_for(1);
    check_request(&line, &push);
    assert_eq!(header(&push, "content-type"), STRUCTURED);
    assert_eq!(ce_headers(&push), []);
    let events = events_of(&push);
    assert_eq!(
        push.text(),
        expected(&line, events[0].text("id"), events[0].text("sequence"))
    );
    assert_eq!(header(&push, "webhook-id"), events[0].text("id"));
}

/// CE-3.1-1, CE-3.1-2, CE-3.1-3
#[test]
fn a_binary_event_has_its_attributes_in_headers() {
    let line = Line::start(Options::default(), "binary");
    let published = event("evt-1", "ana@example.com");
    line.tenant.publish(std::slice::from_ref(&published));
    let push = line.endpoint.wait_for(1);
    check_request(&line, &push);
    assert_eq!(header(&push, "content-type"), "application/json");
    assert_eq!(push.text(), data(&published));
    let events = events_of(&push);
    let source = format!("{}/streams/{}", line.tenant.issuer(), line.stream.id);
    let pairs = [
        ("ce-id", events[0].text("id")),
        ("ce-sequence", events[0].text("sequence")),
        ("ce-source", &source),
        ("ce-specversion", "1.0"),
        ("ce-time", "2026-11-21T12:10:00Z"),
        ("ce-type", SESSION_REVOKED),
    ];
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(ce_headers(&push), pairs);
    assert_eq!(header(&push, "webhook-id"), events[0].text("id"));
}

/// CE-3.3-1
#[test]
fn a_batch_of_one_is_an_array_all_the_same() {
    let line = Line::start(Options::default(), "batched");
    line.tenant.publish(&[event("evt-1", "ana@example.com")]);
    let push = line.endpoint.wait_for(1);
    check_request(&line, &push);
    assert_eq!(header(&push, "content-type"), BATCHED);
    assert_eq!(ce_headers(&push), []);
    let events = events_of(&push);
    assert_eq!(events.len(), 1);
    let event = expected(&line, events[0].text("id"), events[0].text("sequence"));
    assert_eq!(push.text(), format!("[{event}]"));
}

/// The id is the `jti` that the record of deliveries has, and that the SET would have had.
#[test]
fn the_id_is_the_one_that_the_operator_sees() {
    for mode in MODES {
        let line = Line::start(Options::default(), mode);
        line.publish(&["a1"]);
        line.wait_until_idle();
        let pushed = line.pushed();
        let deliveries = crate::harness::eventually("the delivery is on record", || {
            Some(line.stream.deliveries()).filter(|deliveries| !deliveries.is_empty())
        });
        assert_eq!(deliveries[0]["jti"], json!(pushed[0].text("id")), "{mode}");
        assert_eq!(deliveries[0]["type"], json!(SESSION_REVOKED), "{mode}");
        assert_eq!(
            (&deliveries[0]["outcome"], &deliveries[0]["status"]),
            (&json!("delivered"), &json!(202))
        );
    }
}

/// Members that were not published are not there; a `txn` there always is (SSF-4.1.9-1).
#[test]
fn what_was_not_said_is_not_there() {
    for mode in MODES {
        let line = Line::start(Options::default(), mode);
        let before = crate::outbox::now_ms();
        let sub_id = json!({"format": "opaque", "id": "1"});
        line.tenant
            .publish(&[json!({"type": SESSION_REVOKED, "sub_id": sub_id})]);
        line.wait_until_idle();
        let after = crate::outbox::now_ms();
        let pushed = line.pushed().remove(0);
        let names: Vec<&str> = pushed.attributes.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "datacontenttype",
                "id",
                "sequence",
                "source",
                "specversion",
                "time",
                "type"
            ],
            "{mode}"
        );
        assert_eq!((&pushed.data["sub_id"], &pushed.data["event"]), (&sub_id, &json!({})));
        assert!(!pushed.data["txn"].as_str().unwrap_or_default().is_empty(), "{mode}");
        assert_eq!(pushed.data.as_object().map(serde_json::Map::len), Some(3), "{mode}");
        // When it was accepted.
        let time = unix_ms(pushed.text("time"));
        assert!(
            before / 1000 * 1000 <= time && time <= after,
            "{mode}: {before} {time} {after}"
        );
    }
}

/// RFC 3339 in UTC, in Unix milliseconds.
#[track_caller]
fn unix_ms(time: &str) -> u64 {
    let text = time.strip_suffix('Z').unwrap_or_else(|| panic!("not in UTC: {time}"));
    let (text, millis) = text.split_once('.').unwrap_or((text, "0"));
    let digits: Vec<u64> = text
        .split(['-', 'T', ':'])
        .map(|part| part.parse().unwrap_or_else(|_| panic!("{time}")))
        .collect();
    let [year, month, day, hour, minute, second] = digits[..] else {
        panic!("{time}");
    };
    assert_eq!(text.len(), 19, "{time}");
    // Days since 1970 in the calendar whose years begin with March.
    let (year, month) = if month <= 2 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 306 + 5) / 10 + day - 1 - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    seconds * 1000
        + format!("{millis:0<3}")
            .parse::<u64>()
            .unwrap_or_else(|_| panic!("{time}"))
}

#[test]
fn unix_ms_knows_its_calendar() {
    assert_eq!(unix_ms("2026-11-21T12:10:00Z"), 1_795_263_000_000);
    assert_eq!(unix_ms("1970-01-01T00:00:00.5Z"), 500);
    assert_eq!(unix_ms("2024-02-29T23:59:59.123Z"), 1_709_251_199_123);
}

/// CE-3.1-3: what a header cannot carry as it is is encoded; what the JSON carries is not touched.
#[test]
fn text_of_all_kinds_arrives_as_it_was_published() {
    let odd_type = "https://events.quarry.example/50%25%20off";
    let email = "\u{fc}n\u{ef}\u{20ac}\u{1f600}\"\\@example.com";
    for mode in MODES {
        let instance = crate::harness::Instance::start(Options::default());
        let acme = Tenant::create(&instance, "acme", &json!({"events_supported": [odd_type]}));
        let endpoint = crate::harness::ScriptedReceiver::start();
        let receiver = acme.receiver(&instance, &json!({"push_endpoints": [endpoint.url("/")]}));
        receiver.stream(&json!({"delivery": delivery(&endpoint, &json!({"mode": mode}))}));
        let content =
            json!({"text": "tab\t, line\n, nul\u{0}, \u{2028} and \u{10ffff}", "number": 1e300, "none": null});
        let published = json!({
            "id": "evt-1", "type": odd_type, "sub_id": {"format": "opaque", "id": email}, "event": content, "txn": email,
        });
        acme.publish(&instance.operator(), &[published]);
        let push = endpoint.wait_for(1);
        let pushed = events_of(&push).remove(0);
        assert_eq!(pushed.text("type"), odd_type, "{mode}");
        assert_eq!(
            pushed.text("source"),
            format!("{}/streams/{}", acme.issuer, stream_of(&pushed)),
            "{mode}"
        );
        assert_eq!(
            (&pushed.data["sub_id"]["id"], &pushed.data["event"], &pushed.data["txn"]),
            (&json!(email), &content, &json!(email)),
            "{mode}"
        );
        if mode == "binary" {
            assert_eq!(
                header(&push, "ce-type"),
                "https://events.quarry.example/50%2525%2520off"
            );
        }
    }
}

fn stream_of(pushed: &super::super::Pushed) -> String {
    let source = pushed.text("source");
    source.rsplit_once('/').map(|(_, id)| id.to_owned()).unwrap_or_default()
}

/// The receiver's own header goes along; it has nothing to do with the signature.
#[test]
fn an_authorization_header_goes_along() {
    for mode in MODES {
        let line = Line::start(Options::default(), mode);
        let mut delivery = delivery(&line.endpoint, &json!({"mode": mode}));
        delivery["authorization_header"] = json!("Bearer push-key-3");
        line.stream.patch(&json!({"delivery": delivery}));
        line.publish(&["a1"]);
        let push = line.endpoint.wait_for(1);
        assert_eq!(header(&push, "authorization"), "Bearer push-key-3", "{mode}");
        assert_signed(&push, &line.secret());
    }
}

/// WH-2.1-7: the header's old name is sent only where the operator says so.
#[test]
fn the_old_origin_header_is_a_choice() {
    let line = Line::start(Options::default(), "structured");
    let health = line.stream.operate(&json!({"legacy_origin_header": true}));
    assert_eq!(health["legacy_origin_header"], json!(true));
    line.publish(&["a1"]);
    let push = line.endpoint.wait_for(1);
    assert_eq!(
        (header(&push, "origin"), header(&push, "webhook-request-origin")),
        ("127.0.0.1", "127.0.0.1")
    );
    line.stream.operate(&json!({"legacy_origin_header": false}));
    line.publish(&["a2"]);
    assert_eq!(line.endpoint.wait_for(2).header("origin"), None);
    assert_eq!(line.stream.read()["delivery"]["method"], json!(PUSH));
}
