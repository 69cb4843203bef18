//! The values of the headers that grant: which name is ours, and what a rate is.

use serde_json::{Value, json};

use crate::harness::Reply;

use super::{ORIGIN, World, assert_members, callback_of, consent, soon};

/// T-H-02: WH-4.2-2, WH-4.2-10, WH-4.2-11
#[test]
fn only_our_own_name_or_anybody_is_consent() {
    let world = World::start(soon());
    for (allowed, state) in [
        (&["127.0.0.1"][..], "granted"),
        (&["127.0.0.1."], "granted"),
        (&["*"], "granted"),
        (&[" 127.0.0.1 "], "granted"),
        (&["127.0.0.1.."], "denied"),
        (&[".127.0.0.1"], "denied"),
        (&["127.0.0"], "denied"),
        (&["127.0.0.1.attacker.example"], "denied"),
        (&["attacker.127.0.0.1"], "denied"),
        (&["27.0.0.1"], "denied"),
        (&["127.0.0.10"], "denied"),
        (&["*.0.0.1"], "denied"),
        (&["**"], "denied"),
        (&["127.0.0.1:80"], "denied"),
        (&["http://127.0.0.1"], "denied"),
        (&["\"127.0.0.1\""], "denied"),
        (&["127.0.0.1 somebody.example"], "denied"),
        (&["null"], "denied"),
        // Not one name, but several or none: nobody can say which counts.
        (&["127.0.0.1, somebody.example"], "unsupported"),
        (&["127.0.0.1,127.0.0.1"], "unsupported"),
        (&["*, 127.0.0.1"], "unsupported"),
        (&["127.0.0.1,"], "unsupported"),
        (&["127.0.0.1", "127.0.0.1"], "unsupported"),
        (&["127.0.0.1", "somebody.example"], "unsupported"),
        (&["*", "*"], "unsupported"),
        (&["127.0.0.1", ""], "unsupported"),
        (&[""], "unsupported"),
    ] {
        let mut reply = Reply::status(200).header("webhook-allowed-rate", "120");
        for value in allowed {
            reply = reply.header("webhook-allowed-origin", value);
        }
        let (endpoint, asked) = world.asked(reply);
        let grant = asked.wait_until("the answer is known", |grant| grant["state"] != "pending");
        assert_eq!(grant["state"], json!(state), "{allowed:?}: {grant}");
        let callback = callback_of(&endpoint.wait_for_ask(1));
        if state == "denied" {
            asked.call("POST", &callback, 404);
        }
        if state == "unsupported" {
            asked.call("POST", &callback, 200);
        }
        asked.stream.delete();
    }
}

/// Rates that are none: WH-4.2-12. An empty one says nothing, which is not the same as being silent.
const NO_RATES: [&str; 18] = [
    "0",
    "00",
    "-1",
    "+1",
    "1.5",
    "1,5",
    "",
    "12345678901",
    "00000000001",
    "1e3",
    "0x10",
    "ten",
    "NaN",
    "inf",
    "**",
    "60/min",
    "6 0",
    "\u{ff11}",
];

/// Rates, and what they mean: WH-4.2-4, WH-4.2-12.
fn rates() -> [(&'static str, Value); 7] {
    [
        ("100", json!(100)),
        ("*", json!("*")),
        ("007", json!(7)),
        ("0000000060", json!(60)),
        ("1", json!(1)),
        ("601", json!(601)),
        (" 5 ", json!(5)),
    ]
}

/// T-H-04
#[test]
fn a_rate_is_a_number_above_zero_or_any() {
    let world = World::start(soon());
    for (text, rate) in rates() {
        let (_endpoint, asked) = world.asked(consent(text));
        let grant = asked.wait_until("the answer is known", |grant| grant["state"] != "pending");
        assert_members(&grant, &json!({"state": "granted", "allowed_rate": rate}), text);
        asked.stream.delete();
    }
    // More than anybody can send.
    let (_endpoint, asked) = world.asked(consent("9999999999"));
    let rate = asked.wait_for("granted")["allowed_rate"].clone();
    assert!(
        rate.as_u64().is_some_and(|rate| rate >= 1_000_000) || rate == "*",
        "{rate}"
    );
    asked.stream.delete();

    for text in NO_RATES {
        let (endpoint, asked) = world.asked(consent(text));
        let grant = asked.wait_until("the answer is known", |grant| grant["state"] != "pending");
        assert_members(&grant, &json!({"state": "unsupported", "allowed_rate": null}), text);
        assert_eq!(endpoint.asks().len(), 1, "{text}");
        asked.stream.delete();
    }
    for repeated in [["60", "60"], ["60", "*"], ["60", ""]] {
        let reply = consent(repeated[0]).header("webhook-allowed-rate", repeated[1]);
        let (_endpoint, asked) = world.asked(reply);
        let grant = asked.wait_until("the answer is known", |grant| grant["state"] != "pending");
        assert_eq!(grant["state"], json!("unsupported"), "{repeated:?}: WH-4.2-11");
        asked.stream.delete();
    }
}

/// WH-4.1-26: nothing is granted, and the callback stays good. WH-4.1-22 and WH-4.2-4 for the others.
#[test]
fn a_rate_of_the_callback_is_read_the_same_way() {
    let world = World::start(soon());
    let (endpoint, asked) = world.asked(super::later());
    let callback = callback_of(&endpoint.wait_for_ask(1));
    // One minute takes thirty: what is no rate first, half of each on one stream.
    let (one, other) = NO_RATES.split_at(NO_RATES.len() / 2);
    for text in one.iter().filter(|text| text.is_ascii()) {
        let headers = [("webhook-allowed-rate", *text)];
        let answer = asked.call_with("POST", &callback, &headers, 400);
        crate::support::assert_problem(&answer, 400);
        assert_eq!(asked.grant()["state"], json!("pending"), "{text}");
    }
    for (text, rate) in rates() {
        asked.call_with("POST", &callback, &[("webhook-allowed-rate", text)], 200);
        assert_eq!(asked.grant()["allowed_rate"], rate, "{text}");
    }
    // Once granted, a bad one changes nothing either.
    let granted = asked.grant();
    let (endpoint, another) = world.asked(super::later());
    let callback_of_another = callback_of(&endpoint.wait_for_ask(1));
    for text in other.iter().filter(|text| text.is_ascii()) {
        let headers = [("webhook-allowed-rate", *text)];
        another.call_with("GET", &callback_of_another, &headers, 400);
    }
    asked.call_with("GET", &callback, &[("webhook-allowed-rate", "0")], 400);
    let after = asked.grant();
    for member in ["state", "allowed_rate", "via", "granted_at", "history"] {
        assert_eq!(after[member], granted[member], "{member}");
    }
    another.call("GET", &callback_of_another, 200);
    assert_eq!(another.grant()["allowed_rate"], json!(600));
}

/// WH-4.1-25
#[test]
fn a_callback_that_names_an_origin_has_to_name_ours() {
    let world = World::start(soon());
    let (endpoint, asked) = world.asked(super::later());
    let callback = callback_of(&endpoint.wait_for_ask(1));
    for name in [
        "somebody.example",
        "127.0.0.1.attacker.example",
        "127.0.0",
        "**",
        "127.0.0.1, a.example",
        "",
    ] {
        for method in ["GET", "POST"] {
            let headers = [("webhook-allowed-origin", name), ("webhook-allowed-rate", "5")];
            let answer = asked.call_with(method, &callback, &headers, 400);
            crate::support::assert_problem(&answer, 400);
            assert_eq!(asked.grant()["state"], json!("pending"), "{name}");
        }
    }
    for (name, rate) in [(ORIGIN, 7), ("127.0.0.1.", 8), ("*", 9)] {
        let text = rate.to_string();
        let headers = [("webhook-allowed-origin", name), ("webhook-allowed-rate", &text)];
        asked.call_with("POST", &callback, &headers, 200);
        assert_eq!(asked.grant()["allowed_rate"], json!(rate), "{name}");
    }
}
