use super::*;

const US: &str = "tx.quarry.example";

fn answer(status: u16, headers: &[(&str, &str)]) -> Answer {
    let header = |name: &str| {
        let values: Vec<&str> = headers
            .iter()
            .filter(|(given, _)| *given == name)
            .map(|(_, value)| *value)
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    };
    read_answer(status, header, US, Some(600))
}

fn granted(rate: Rate) -> Answer {
    Answer::Granted {
        rate,
        rate_missing: false,
    }
}

/// WH-4.2-4, WH-4.2-12
#[test]
fn a_rate_is_digits_or_a_star() {
    for (text, rate) in [
        ("*", Some(Rate::Unlimited)),
        ("1", Some(Rate::PerMinute(1))),
        ("100", Some(Rate::PerMinute(100))),
        ("007", Some(Rate::PerMinute(7))),
        ("9999999999", Some(Rate::PerMinute(u32::MAX))),
        ("0", None),
        ("000", None),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("1e3", None),
        ("10000000000", None),
        ("**", None),
        ("٣", None),
        ("inf", None),
    ] {
        assert_eq!(Rate::parse(text), rate, "{text:?}");
    }
    assert_eq!(
        (Rate::Unlimited.text(), Rate::PerMinute(7).text()),
        ("*".into(), "7".into())
    );
    assert_eq!(Rate::Unlimited.min(Rate::PerMinute(3)), Rate::PerMinute(3));
    assert_eq!(Rate::PerMinute(5).min(Rate::PerMinute(3)), Rate::PerMinute(3));
    for rate in [Rate::Unlimited, Rate::PerMinute(7)] {
        let text = serde_json::to_string(&rate).unwrap();
        assert_eq!(crate::protocol::record::read::<Rate>(&text), Ok(rate));
    }
}

/// WH-4.2-2, WH-4.2-10, pitfall 22
#[test]
fn an_origin_is_compared_exactly() {
    for same in [US, "TX.Quarry.Example", "tx.quarry.example.", "*"] {
        assert_eq!(
            answer(200, &[(ALLOWED_ORIGIN, same), (ALLOWED_RATE, "120")]),
            granted(Rate::PerMinute(120)),
            "{same}"
        );
    }
    for other in [
        "tx.quarry.example.attacker.example",
        "quarry.example",
        "a.tx.quarry.example",
        "*.quarry.example",
        "tx.quarry.exampl",
        "tx.quarry.example..",
        "https://tx.quarry.example",
        "tx.quarry.example:443",
        "tx.quarry.example *",
    ] {
        assert!(
            matches!(
                answer(200, &[(ALLOWED_ORIGIN, other), (ALLOWED_RATE, "120")]),
                Answer::Refused(_)
            ),
            "{other}"
        );
    }
    // WH-4.2-11
    for list in ["tx.quarry.example, other.example", "tx.quarry.example,*", "", " "] {
        assert!(
            matches!(answer(200, &[(ALLOWED_ORIGIN, list)]), Answer::Unsupported(_)),
            "{list}"
        );
    }
    let twice = [(ALLOWED_ORIGIN, US), (ALLOWED_ORIGIN, US), (ALLOWED_RATE, "1")];
    assert!(matches!(answer(200, &twice), Answer::Unsupported(_)));
}

/// WH-4.2-3, WH-4.2-6, WH-4.2-9, WH-4.2-13, WH-4-6
#[test]
fn only_a_success_with_the_right_headers_is_consent() {
    let consent = [(ALLOWED_ORIGIN, US), (ALLOWED_RATE, "120")];
    for status in [200, 201, 202, 204, 299] {
        assert_eq!(answer(status, &consent), granted(Rate::PerMinute(120)));
        assert_eq!(answer(status, &[]), Answer::Later);
        assert_eq!(answer(status, &[(ALLOWED_RATE, "120")]), Answer::Later);
    }
    for status in [401, 403, 410] {
        assert!(matches!(answer(status, &consent), Answer::Refused(_)), "{status}");
    }
    for status in [301, 302, 303, 307, 308, 400, 404, 405, 415, 422, 501] {
        assert!(matches!(answer(status, &consent), Answer::Unsupported(_)), "{status}");
    }
    for status in [408, 425, 429, 500, 502, 503, 504, 599] {
        let again = answer(status, &[(ALLOWED_ORIGIN, US), ("retry-after", "7")]);
        assert!(
            matches!(&again, Answer::Again { retry_after: Some(after), .. } if after == "7"),
            "{status}"
        );
    }
    for (rate, expected) in [(600, 60), (60, 60), (7, 7)] {
        let header = |name: &str| (name == ALLOWED_ORIGIN).then(|| US.to_owned());
        let unsaid = Answer::Granted {
            rate: Rate::PerMinute(expected),
            rate_missing: true,
        };
        assert_eq!(read_answer(200, header, US, Some(rate)), unsaid);
    }
    for rate in ["0", "-1", "1.5", "", "12345678901", "1, 2"] {
        assert!(
            matches!(
                answer(200, &[(ALLOWED_ORIGIN, US), (ALLOWED_RATE, rate)]),
                Answer::Unsupported(_)
            ),
            "{rate:?}"
        );
    }
    assert_eq!(
        answer(200, &[(ALLOWED_ORIGIN, US), (ALLOWED_RATE, "*")]),
        granted(Rate::Unlimited)
    );
}

/// WH-4.1-21, WH-4.1-22, WH-4.1-25, WH-4.1-26
#[test]
fn a_callback_may_say_a_rate_and_must_not_name_somebody_else() {
    assert_eq!(read_callback(None, None, US), Ok(None));
    assert_eq!(
        read_callback(Some("300"), Some("TX.quarry.example"), US),
        Ok(Some(Rate::PerMinute(300)))
    );
    assert_eq!(read_callback(Some("*"), Some("*"), US), Ok(Some(Rate::Unlimited)));
    assert_eq!(read_callback(Some("0"), None, US), Err(CallbackFault::Rate));
    assert_eq!(
        read_callback(None, Some("other.example"), US),
        Err(CallbackFault::Origin)
    );
}

/// WH-4.1-2, WH-4.1-4
#[test]
fn an_origin_is_the_name_of_a_host() {
    for (issuer, origin) in [
        ("https://tx.quarry.example", "tx.quarry.example"),
        ("https://tx.quarry.example/t/acme", "tx.quarry.example"),
        ("http://localhost:8787/t/acme", "localhost"),
        ("nonsense", ""),
    ] {
        assert_eq!(origin_of(issuer), origin);
    }
    for (name, public) in [
        ("tx.quarry.example", true),
        ("tx.4you", true),
        ("localhost", false),
        ("null", false),
        ("127.0.0.1", false),
        ("[::1]", false),
    ] {
        assert_eq!(is_public_origin(name), public, "{name}");
    }
    for (text, normal) in [
        ("TX.Quarry.example.", Some("tx.quarry.example")),
        ("xn--bcher-kva.example", Some("xn--bcher-kva.example")),
        ("localhost", Some("localhost")),
        ("Null", None),
        ("127.0.0.1", Some("127.0.0.1")),
        ("[::1]", Some("[::1]")),
        ("", None),
        (".", None),
        ("a..b", None),
        ("-a.example", None),
        ("tx.quarry.example:443", None),
        ("https://tx.quarry.example", None),
        ("tx.quarry.example/", None),
        ("a b", None),
        ("bücher.example", None),
    ] {
        assert_eq!(normal_origin(text).as_deref(), normal, "{text:?}");
    }
}
