//! Which events are about an added subject and are sent (SSF-8.1.3.1-1), and which are not (SSF-8.1.3.1-4), where nobody is in the
//! stream who was not added.

use serde_json::{Value, json};

use super::{Scene, complex, email, opaque};

/// One subject of every format, and its nearest neighbours: no two of them are identical.
fn strangers() -> Vec<Value> {
    vec![
        json!({"format": "account", "uri": "acct:ana@quarry.example"}),
        json!({"format": "account", "uri": "acct:Ana@quarry.example"}),
        email("ana@quarry.example"),
        // SSF-8.1.3.1-5, pitfall 30: neither case nor white space is folded.
        email("Ana@quarry.example"),
        email("ana@QUARRY.example"),
        json!({"format": "iss_sub", "iss": "https://idp.example", "sub": "1"}),
        json!({"format": "iss_sub", "iss": "https://idp.example/", "sub": "1"}),
        json!({"format": "iss_sub", "iss": "https://idp.example", "sub": "2"}),
        opaque("1"),
        opaque("1 "),
        opaque("01"),
        opaque("\u{e9}"),
        opaque("e\u{301}"),
        json!({"format": "phone_number", "phone_number": "+15550100"}),
        json!({"format": "phone_number", "phone_number": "+15550101"}),
        json!({"format": "did", "url": "did:example:ana"}),
        json!({"format": "did", "url": "did:example:ana#key-1"}),
        json!({"format": "uri", "uri": "urn:example:ana"}),
        json!({"format": "uri", "uri": "did:example:ana"}),
        json!({"format": "jwt_id", "iss": "https://idp.example", "jti": "1"}),
        json!({"format": "saml_assertion_id", "issuer": "https://idp.example", "assertion_id": "1"}),
        json!({"format": "ip-addresses", "ip-addresses": ["192.0.2.1"]}),
        json!({"format": "ip-addresses", "ip-addresses": ["192.0.2.1", "2001:db8::1"]}),
        json!({"format": "ip-addresses", "ip-addresses": ["2001:db8::1", "192.0.2.1"]}),
        json!({"format": "ip-addresses", "ip-addresses": ["2001:0db8:0000:0000:0000:0000:0000:0001"]}),
        // SSF-8.1.3.1-7: one alias more is another subject, and so is the alias alone.
        json!({"format": "aliases", "identifiers": [email("ana@quarry.example")]}),
        json!({"format": "aliases", "identifiers": [email("ana@quarry.example"), opaque("1")]}),
        // SSF-3.4-1: as agreed between the parties.
        json!({"format": "quarry-badge", "badge": 7}),
        json!({"format": "quarry-badge", "badge": "7"}),
        json!({"format": "quarry-badge", "badge": 7, "site": null}),
        json!({"format": "quarry-badge", "badge": {"numbers": [7, 8]}}),
        json!({"format": "quarry-badge", "badge": {"numbers": [8, 7]}}),
        // SSF-8.1.3.1-6: no rule brings a simple and a complex subject together.
        json!({"format": "complex", "user": email("ana@quarry.example")}),
        complex("user=1"),
    ]
}

#[test]
fn a_simple_subject_matches_itself_and_no_other() {
    let scene = Scene::with_nobody();
    let strangers = strangers();
    assert_eq!(
        scene.delivered_of(&strangers),
        [] as [Value; 0],
        "nobody is in the stream"
    );
    // SSF-8.1.3.1-2. The complex ones are no exception: theirs is one member, of different values.
    for added in &strangers {
        scene.add(added);
        assert_eq!(scene.delivered_of(&strangers), std::slice::from_ref(added));
        assert_eq!(scene.rule(added), "subject_added");
        scene.remove(added);
        assert_eq!(scene.rule(added), "subject_not_added");
    }
    // And where all of them are in, the one that is taken out is missing.
    scene.bulk(&json!({"add": strangers}), 200);
    for removed in strangers.iter().step_by(5) {
        scene.remove(removed);
        let mut others = strangers.clone();
        others.retain(|other| other != removed);
        assert_eq!(scene.delivered_of(&strangers), others, "{removed}");
        scene.add(removed);
    }
}

/// The same subject in other words.
#[test]
fn a_subject_is_the_same_however_it_is_written() {
    let phone = json!({"format": "phone", "phone_number": "+15550100"});
    let phone_number = json!({"format": "phone_number", "phone_number": "+15550100"});
    let two = [email("ana@quarry.example"), opaque("1")];
    let aliases = json!({"format": "aliases", "identifiers": two});
    let turned = json!({"identifiers": [two[1], two[0]], "format": "aliases"});
    let parsed = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let scene = Scene::with_nobody();
    for (one, other) in [
        // SSF-8.1.3.3-5: as an example of the standard has it.
        (phone.clone(), phone_number.clone()),
        (
            json!({"format": "complex", "user": phone}),
            json!({"format": "complex", "user": phone_number}),
        ),
        // SSF-8.1.3.1-7: a set has no order.
        (aliases.clone(), turned.clone()),
        (
            json!({"format": "complex", "user": aliases}),
            json!({"format": "complex", "user": turned}),
        ),
        (
            json!({"format": "aliases", "identifiers": [phone, opaque("1")]}),
            json!({"format": "aliases", "identifiers": [opaque("1"), phone_number]}),
        ),
        // SSF-8.1.3.1-5: nor have members, and escapes are spelling.
        (
            parsed(r#"{"format":"iss_sub","iss":"https://idp.example","sub":"1"}"#),
            parsed(r#"{"sub":"\u0031","iss":"https:\/\/idp.example","format":"iss_sub"}"#),
        ),
        (
            parsed(r#"{"format":"complex","user":{"format":"opaque","id":"u"},"tenant":{"format":"opaque","id":"t"}}"#),
            parsed(r#"{"tenant":{"id":"t","format":"opaque"},"user":{"id":"u","format":"opaque"},"format":"complex"}"#),
        ),
    ] {
        for (added, event) in [(&one, &other), (&other, &one)] {
            scene.add(added);
            assert!(scene.delivers(event), "{added} {event}");
            // Added twice is added once, and gone when it is removed in other words.
            scene.add(event);
            scene.remove(event);
            assert!(!scene.delivers(added) && !scene.delivers(event), "{added} {event}");
        }
    }
}

/// Added subject, event's subject, whether they match by SSF-8.1.3.1-3.
const COMPLEX: &[(&str, &str, bool)] = &[
    ("tenant=A", "tenant=A user=u", true),
    ("user=u device=d", "user=u", true),
    ("user=u device=d", "user=u device=d", true),
    ("user=u group=g1", "user=u group=g2", false),
    ("tenant=A", "tenant=B user=u", false),
    ("tenant=A user=u", "tenant=A device=d", true),
    ("tenant=A user=u", "tenant=A user=v", false),
    ("tenant=A user=u session=s", "session=s", true),
    ("tenant=A user=u session=s", "tenant=A user=u session=t", false),
    // Nothing in common differs in nothing (SSF-8.1.3.1-8, pitfall 34).
    ("user=u", "device=d", true),
    // SSF-8.1.3.1-9: any name counts as the named ones do.
    ("badge=1 user=u", "badge=2 user=u", false),
    ("badge=1", "badge=1 user=u", true),
    // The same value under another name is another member.
    ("user=x tenant=A", "device=x tenant=B", false),
];

#[test]
fn complex_subjects_match_unless_a_member_that_both_have_differs() {
    let scene = Scene::with_nobody();
    for &(added, event, expected) in COMPLEX {
        // Wildcards work both ways, so the table reads both ways.
        for (added, event) in [(added, event), (event, added)] {
            let subject = complex(added);
            scene.add(&subject);
            assert_eq!(scene.delivers(&complex(event)), expected, "{added} / {event}");
            // SSF-8.1.3.1-6: a simple one never does.
            assert!(!scene.delivers(&opaque("u")), "{added} / a simple one");
            scene.remove(&subject);
            let left = scene.delivered_of(&[subject, complex(event)]);
            assert_eq!(left, [] as [Value; 0], "{added} removed / {event}");
        }
    }
}

#[test]
fn every_one_of_many_added_subjects_counts() {
    let scene = Scene::with_nobody();
    let mut added = vec![email("ana@quarry.example"), opaque("1")];
    let of_two = (0..40).map(|number| complex(&format!("tenant=A user=u{number}")));
    let of_three = (0..40).map(|number| complex(&format!("tenant=B user=u{number} device=d{number}")));
    added.extend(of_two.chain(of_three));
    scene.bulk(&json!({"add": added}), 200);
    for (event, expected) in [
        ("tenant=A user=u7", true),
        ("tenant=A user=u7 session=s", true),
        ("tenant=A", true),
        ("tenant=B", true),
        ("user=u39", true),
        ("tenant=B device=d39", true),
        ("tenant=B user=u1 device=d1", true),
        // A mixture of two added ones is neither.
        ("tenant=B user=u1 device=d2", false),
        ("tenant=A user=u40", false),
        ("tenant=C user=u1", false),
        ("tenant=C", false),
    ] {
        assert_eq!(scene.delivers(&complex(event)), expected, "{event}");
    }
    // One by one they go, and no other one with them.
    scene.remove(&complex("tenant=A user=u7"));
    for (event, expected) in [
        ("tenant=A user=u7", false),
        ("tenant=A user=u8", true),
        ("tenant=A", true),
    ] {
        assert_eq!(scene.delivers(&complex(event)), expected, "{event}");
    }
    assert!(scene.delivers(&email("ana@quarry.example")));
}

#[test]
fn a_complex_subject_of_as_many_members_as_allowed_is_found_by_any_of_them() {
    let scene = Scene::with_nobody();
    let all: Vec<String> = (0..8).map(|number| format!("m{number}=v{number}")).collect();
    scene.add(&complex(&all.join(" ")));
    for (number, member) in all.iter().enumerate() {
        let others: Vec<&str> = all
            .iter()
            .filter(|other| *other != member)
            .map(String::as_str)
            .collect();
        let (own, others) = (complex(member), others.join(" "));
        let other = complex(&format!("m{number}=other"));
        let (all_but_one, one_differs) = (complex(&others), complex(&format!("{others} m{number}=other")));
        let delivered = scene.delivered_of(&[own.clone(), other, all_but_one.clone(), one_differs]);
        assert_eq!(delivered, [own, all_but_one], "{member}");
    }
    // An event may have more.
    assert!(scene.delivers(&complex(&format!("{} m9=v9 m10=v10", all.join(" ")))));
}

#[test]
fn subjects_are_there_after_the_process_died() {
    let mut scene = Scene::with_nobody();
    scene.add(&email("ana@quarry.example"));
    scene.add(&complex("tenant=A user=u"));
    scene.add(&opaque("removed"));
    scene.remove(&opaque("removed"));
    scene.instance.restart();
    assert!(scene.delivers(&email("ana@quarry.example")));
    assert!(scene.delivers(&complex("tenant=A device=d")));
    assert!(!scene.delivers(&opaque("removed")) && !scene.delivers(&email("bob@quarry.example")));
    scene.remove(&email("ana@quarry.example"));
    assert!(!scene.delivers(&email("ana@quarry.example")));
}
