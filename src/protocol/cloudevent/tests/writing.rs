//! What we send.

use super::*;

fn outgoing() -> Outgoing<'static> {
    Outgoing {
        id: "jti-1",
        source: "https://tx.quarry.io/streams/1",
        event_type: REVOKED,
        time_s: 1_767_323_045,
        sequence: None,
        traceparent: None,
        tracestate: None,
        sub_id: r#"{"format":"opaque","id":"1"}"#,
        event: r#"{"a": "}]\",\"datacontenttype\":"}"#,
        txn: Some("tx\"1"),
    }
}

#[test]
fn an_event_is_written_in_one_order() {
    let bare = concat!(
        r#"{"specversion":"1.0","id":"jti-1","source":"https://tx.quarry.io/streams/1","#,
        r#""type":"https://schemas.openid.net/secevent/caep/event-type/session-revoked","time":"2026-01-02T03:04:05Z","#,
        r#""datacontenttype":"application/json","#,
        r#""data":{"sub_id":{"format":"opaque","id":"1"},"event":{"a": "}]\",\"datacontenttype\":"},"txn":"tx\"1"}}"#
    );
    assert_eq!(String::from_utf8(outgoing().to_structured()).unwrap(), bare);
    let full = Outgoing {
        sequence: Some(17),
        traceparent: Some(TRACEPARENT),
        tracestate: Some("a=\"1\""),
        ..outgoing()
    };
    // CE-1-10, CE-1-12
    let extensions = format!(
        r#""time":"2026-01-02T03:04:05Z","sequence":"00000000000000000017","traceparent":"{TRACEPARENT}","tracestate":"a=\"1\"","data"#
    );
    let expected = bare.replacen(r#""time":"2026-01-02T03:04:05Z","data"#, &extensions, 1);
    assert_eq!(String::from_utf8(full.to_structured()).unwrap(), expected);
    let most = Outgoing {
        sequence: Some(u64::MAX),
        ..outgoing()
    };
    assert!(
        String::from_utf8(most.to_structured())
            .unwrap()
            .contains(r#""sequence":"18446744073709551615""#)
    );
}

/// CE-3.1-1 to CE-3.1-3: the other modes are made of the same bytes.
#[test]
fn binary_and_batched_mode_say_what_structured_mode_says() {
    let event = Outgoing {
        id: r#","datacontenttype":"application/json","data":"#,
        sequence: Some(2),
        tracestate: Some("a=\"50%\", b=2"),
        ..outgoing()
    };
    let structured = event.to_structured();
    let (headers, body) = to_binary(&structured).unwrap();
    let data = br#"{"sub_id":{"format":"opaque","id":"1"},"event":{"a": "}]\",\"datacontenttype\":"},"txn":"tx\"1"}"#;
    assert_eq!(body, data);
    let expected = [
        ("content-type", "application/json"),
        ("ce-id", ",%22datacontenttype%22:%22application/json%22,%22data%22:"),
        ("ce-sequence", "00000000000000000002"),
        ("ce-source", "https://tx.quarry.io/streams/1"),
        ("ce-specversion", "1.0"),
        ("ce-time", "2026-01-02T03:04:05Z"),
        ("ce-tracestate", "a=%2250%25%22,%20b=2"),
        ("ce-type", REVOKED),
    ];
    assert_eq!(
        headers,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    let read_back = CloudEvent::from_binary(&headers, parse_strict(&body, 8).ok()).unwrap();
    let whole = CloudEvent::from_structured(parse_strict(&structured, 8).unwrap()).unwrap();
    assert_eq!(read_back.clone().into_event(), whole.clone().into_event());
    let batch = to_batch(&[&structured, &outgoing().to_structured()]);
    let batch = CloudEvent::batch(parse_strict(&batch, 8).unwrap()).unwrap();
    assert_eq!((batch.len(), &batch[0]), (2, &whole));
    assert_eq!(to_batch(&[]), b"[]");
    for other in [
        "",
        "{}",
        r#"{"data":{}}"#,
        r#"{"id":1,"datacontenttype":"application/json","data":{}}"#,
    ] {
        assert_eq!(to_binary(other.as_bytes()), None, "{other}");
    }
}
