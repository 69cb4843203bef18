//! What is refused in the JSON format, and where.

use serde_json::json;

use super::*;

/// CE-1-1 to CE-1-6, CE-4-2 to CE-4-5
#[test]
fn faults_of_attributes_are_found_and_placed() {
    use Problem::{Empty, Missing, NotA, NotOneOf, Refused, TooLong};
    const TRACE: Problem = Refused("must be as W3C Trace Context has it");
    const CHARACTERS: Problem = Refused("has a control character or one that is not assigned");
    const NAME: Problem = Refused("is no name of an attribute: those have lower-case letters and digits");
    const URI: Problem = Refused("must be a URI reference");
    const TIME: Problem = Refused("must be a date and time with its offset (RFC 3339)");
    for (event, pointer, problem) in [
        (json!([]), "", NotA("an object")),
        (json!(null), "", NotA("an object")),
        (without("specversion"), "/specversion", Missing),
        (with("specversion", json!("0.3")), "/specversion", NotOneOf(&["1.0"])),
        (with("specversion", json!("1.0.2")), "/specversion", NotOneOf(&["1.0"])),
        (with("specversion", json!(1)), "/specversion", NotA("a string")),
        (without("id"), "/id", Missing),
        (with("id", json!(null)), "/id", Missing), // CE-4-3
        (with("id", json!("")), "/id", Empty),
        (with("id", json!(7)), "/id", NotA("a string")),
        (with("id", json!("a".repeat(257))), "/id", TooLong(256)),
        (without("source"), "/source", Missing),
        (with("source", json!("")), "/source", Empty),
        (with("source", json!("a".repeat(2049))), "/source", TooLong(2048)),
        (with("source", json!("two words")), "/source", URI),
        (with("source", json!("über")), "/source", URI),
        (with("source", json!("1st:rest")), "/source", URI),
        (with("source", json!(":rest")), "/source", URI),
        (with("source", json!("a%2")), "/source", URI),
        (with("source", json!("a%zz")), "/source", URI),
        (with("source", json!("a#b#c")), "/source", URI),
        (with("source", json!("/a[1]")), "/source", URI),
        (with("source", json!("//[::1")), "/source", URI),
        (with("source", json!("//[::1]x/")), "/source", URI),
        (with("source", json!("<a>")), "/source", URI),
        (without("type"), "/type", Missing),
        (with("type", json!("")), "/type", Empty),
        (
            with("type", json!("com.quarry.lost")),
            "/type",
            Refused("must be a URI with a scheme"),
        ),
        (
            with("type", json!(event::VERIFICATION)),
            "/type",
            Refused("is sent by the transmitter alone"),
        ),
        (with("time", json!("yesterday")), "/time", TIME),
        (with("time", json!("")), "/time", Empty),
        (with("time", json!(1_767_323_045)), "/time", NotA("a string")),
        (
            with("time", json!("1969-12-31T23:59:59Z")),
            "/time",
            Refused("must not be before 1970"),
        ),
        (with("subject", json!("")), "/subject", Empty),
        (with("subject", json!(1)), "/subject", NotA("a string")),
        (with("dataschema", json!("")), "/dataschema", Empty),
        (
            with("dataschema", json!("schemas/1")),
            "/dataschema",
            Refused("must be a URI with a scheme"),
        ),
        (
            with("datacontenttype", json!("text/plain")),
            "/datacontenttype",
            Refused("must be a media type of JSON in UTF-8"),
        ),
        (
            with("datacontenttype", json!("application/json; charset=utf-16")),
            "/datacontenttype",
            Refused("must be a media type of JSON in UTF-8"),
        ),
        (with("datacontenttype", json!("")), "/datacontenttype", Empty),
        (with("traceparent", json!("00-1-1-1")), "/traceparent", TRACE),
        (with("tracestate", json!("a=é")), "/tracestate", TRACE),
        (with("tracestate", json!("a".repeat(513))), "/tracestate", TRACE),
        (with("tracestate", json!(" a=b")), "/tracestate", TRACE),
        (with("Source", json!("x")), "/Source", NAME),
        (with("my_extension", json!("x")), "/my_extension", NAME),
        (with("", json!("x")), "/", NAME),
        (with("naïve", json!("x")), "/naïve", NAME),
        (with("other", json!(1.5)), "/other", NotA("a whole number of 32 bits")),
        (with("other", json!(1.0)), "/other", NotA("a whole number of 32 bits")),
        (
            with("other", json!(2_147_483_648_i64)),
            "/other",
            NotA("a whole number of 32 bits"),
        ),
        (
            with("other", json!(u64::MAX)),
            "/other",
            NotA("a whole number of 32 bits"),
        ),
        (
            with("other", json!({})),
            "/other",
            NotA("a string, a whole number or a boolean"),
        ),
        (
            with("other", json!(["a"])),
            "/other",
            NotA("a string, a whole number or a boolean"),
        ),
        (with("other", json!("a\u{0}")), "/other", CHARACTERS),
        (with("other", json!("a\tb")), "/other", CHARACTERS),
        (with("other", json!("\u{7f}")), "/other", CHARACTERS),
        (with("other", json!("\u{9f}")), "/other", CHARACTERS),
        (with("other", json!("\u{fdd0}")), "/other", CHARACTERS),
        (with("other", json!("\u{ffff}")), "/other", CHARACTERS),
        (with("id", json!("\u{10fffe}")), "/id", CHARACTERS),
    ] {
        let problem = Err(Invalid {
            pointer: pointer.into(),
            problem,
        });
        assert_eq!(read(event.clone()), problem, "{event}");
    }
}

#[test]
fn a_source_may_be_any_uri_reference() {
    for source in [
        "https://idp.quarry.io/eu?x=1&y=[]#top".replace("[]", "%5B%5D").as_str(),
        "https://ops@[2001:db8::1]:8443/a",
        "//idp.quarry.io",
        "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
        "mailto:cncf-wg@lists.cncf.io",
        "1-555-123-4567",
        "sensors/tn-1234567/alerts",
        "./a:b",
        "/a:b",
        "?q",
        "#f",
        "x",
    ] {
        assert_eq!(
            read(with("source", json!(source))).map(|read| read.0),
            Ok(source.to_owned()),
            "{source}"
        );
    }
}

#[test]
fn data_is_the_subject_and_the_event_and_nothing_else() {
    use Problem::{Missing, NotA, TooLong, UnknownMember};
    let sub_id = || json!({"format": "opaque", "id": "1"});
    for (event, pointer, problem) in [
        (without("data"), "/data", Missing),
        (with_data(json!(null)), "/data", NotA("an object")), // CE-4-8
        (with_data(json!("{}")), "/data", NotA("an object")), // CE-4-6
        (with_data(json!({})), "/data/sub_id", Missing),
        (
            with_data(json!({"sub_id": {"format": "email"}})),
            "/data/sub_id/email",
            Missing,
        ),
        (
            with_data(json!({"sub_id": sub_id(), "event": []})),
            "/data/event",
            NotA("an object"),
        ),
        (
            with_data(json!({"sub_id": sub_id(), "event": {"reason_admin": "x"}})),
            "/data/event/reason_admin",
            NotA("an object"),
        ),
        (
            with_data(json!({"sub_id": sub_id(), "txn": null})),
            "/data/txn",
            NotA("a string"),
        ),
        (
            with_data(json!({"sub_id": sub_id(), "txn": "a".repeat(257)})),
            "/data/txn",
            TooLong(256),
        ),
        (
            with_data(json!({"sub_id": sub_id(), "toe": 1})),
            "/data/toe",
            UnknownMember,
        ),
        (
            with_data(json!({"sub_id": sub_id(), "id": "1"})),
            "/data/id",
            UnknownMember,
        ),
        (
            with_data(json!({"sub_id": sub_id(), "subject": {}})),
            "/data/subject",
            UnknownMember,
        ), // SSF-3.1.2-2
    ] {
        let problem = Err(Invalid {
            pointer: pointer.into(),
            problem,
        });
        assert_eq!(read(event.clone()), problem, "{event}");
    }
}

/// CE-4-4, CE-4-5
#[test]
fn data_may_come_as_bytes_that_say_they_are_json() {
    // {"sub_id":{"format":"opaque","id":"1"}}
    const ENCODED: &str = "eyJzdWJfaWQiOnsiZm9ybWF0Ijoib3BhcXVlIiwiaWQiOiIxIn19";
    let event = |encoded: Value, media_type: Value| {
        let mut event = without("data");
        event["data_base64"] = encoded;
        event["datacontenttype"] = media_type;
        event
    };
    for media_type in ["application/json", "Application/Vnd.Quarry+JSON; charset=UTF-8"] {
        let (_, new) = read(event(json!(ENCODED), json!(media_type))).unwrap();
        assert_eq!(
            (new.sub_id, new.event),
            (json!({"format": "opaque", "id": "1"}), json!({}))
        );
    }
    let json = json!("application/json");
    for (event, expected) in [
        (event(json!(ENCODED), json!(null)), "/data_base64"),
        (event(json!(7), json.clone()), "/data_base64"),
        (event(json!("e30"), json.clone()), "/data_base64"), // no padding
        (event(json!("e30= "), json.clone()), "/data_base64"),
        (event(json!("e3-_"), json.clone()), "/data_base64"), // the URL's alphabet
        (event(json!("e30="), json.clone()), "/data/sub_id"), // {}
        (event(json!("e30se30="), json.clone()), "/data_base64"), // {},{}
        (event(json!("eyJhIjoxLCJhIjoyfQ=="), json.clone()), "/data_base64"), // {"a":1,"a":2}
        (event(json!("/w=="), json.clone()), "/data_base64"), // no UTF-8
        (event(json!(""), json.clone()), "/data_base64"),
        (event(json!(null), json.clone()), "/data"),
        (with("data_base64", json!(ENCODED)), "/data_base64"),
    ] {
        assert_eq!(pointer(event.clone()), expected, "{event}");
    }
    assert_eq!(pointer(with("data_base64", json!(ENCODED))), "/data_base64");
    // A null is no second payload.
    assert!(read(with("data_base64", json!(null))).is_ok());
}
