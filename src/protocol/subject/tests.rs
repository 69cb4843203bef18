use super::*;
use serde_json::json;

fn found(value: &Value) -> Option<(String, Problem)> {
    validate(value).err().map(|found| (found.pointer, found.problem))
}

/// RFC 9493 3.2 and SSF 3.5: every format with all it needs.
#[test]
fn every_registered_format_is_accepted() {
    for subject in [
        json!({"format": "account", "uri": "acct:imani.osei@quarry.example"}),
        json!({"format": "account", "uri": "ACCT:imani@quarry.example"}),
        json!({"format": "email", "email": "imani.osei+tag@quarry.example"}),
        json!({"format": "email", "email": "\"a b@c\"@quarry.example"}),
        json!({"format": "email", "email": "用户@例え.example"}),
        json!({"format": "iss_sub", "iss": "https://login.quarry.example/t/9", "sub": "emp-40417"}),
        json!({"format": "opaque", "id": " any string "}),
        json!({"format": "phone_number", "phone_number": "+442079460018"}),
        json!({"format": "did", "url": "did:example:harbour#k1"}),
        json!({"format": "did", "url": "did:web:quarry.example:u:1/path?q"}),
        json!({"format": "uri", "uri": "urn:uuid:0b7b4b0e-6c1a-4b0b-9f5e-2f6f5f9f7a10"}),
        json!({"format": "jwt_id", "iss": "https://login.quarry.example", "jti": "at-01HZX9"}),
        json!({"format": "saml_assertion_id", "issuer": "https://login.quarry.example/saml", "assertion_id": "_c1f7a2"}),
        json!({"format": "ip-addresses", "ip-addresses": ["198.51.100.7", "2001:0db8:0000:0000:0000:0000:0000:00a7", "::1"]}),
        json!({"format": "aliases", "identifiers": [{"format": "opaque", "id": "1"}, {"format": "opaque", "id": "2"}]}),
        json!({"format": "acme-badge", "badge": 7, "site": {"a": []}}), // SSF-3.4-1
        json!({"format": "complex", "tenant": {"format": "opaque", "id": "t"}, "user": {"format": "email", "email": "a@b.example"}}),
        json!({"format": "complex", "badge reader": {"format": "acme-badge"}}), // SSF-3.3-3
        json!({"format": "complex", "user": {"format": "aliases", "identifiers": [{"format": "opaque", "id": "1"}]}}), // SSF-3.3-5
    ] {
        assert_eq!(found(&subject), None, "{subject}");
    }
}

#[test]
fn faults_are_found_and_placed() {
    use Problem::{Duplicate, Empty, Missing, NotA, Refused, TooLong, TooMany, UnknownMember};
    let nested = || Refused("is not allowed inside another subject");
    let opaque = |id: usize| json!({"format": "opaque", "id": id.to_string()});
    for (subject, pointer, problem) in [
        (json!("imani@quarry.example"), "", NotA("an object")),
        (json!(null), "", NotA("an object")),
        (json!({"email": "a@b.example"}), "/format", Missing), // SUBID-3-1
        (json!({"format": 1}), "/format", NotA("a string")),
        (json!({"format": ""}), "/format", Empty),
        (
            json!({"subject_type": "email", "email": "a@b.example"}),
            "/format",
            Missing,
        ), // RISC-3.1-2
        (json!({"format": "email"}), "/email", Missing), // SUBID-3-3
        (json!({"format": "email", "email": null}), "/email", NotA("a string")),
        (json!({"format": "email", "email": ""}), "/email", Empty),
        (
            json!({"format": "email", "email": "imani"}),
            "/email",
            Refused("must be an e-mail address"),
        ),
        (
            json!({"format": "email", "email": "@quarry.example"}),
            "/email",
            Refused("must be an e-mail address"),
        ),
        (
            json!({"format": "email", "email": "imani@"}),
            "/email",
            Refused("must be an e-mail address"),
        ),
        (
            json!({"format": "email", "email": "a@b.example\n"}),
            "/email",
            Refused("must be an e-mail address"),
        ),
        (
            json!({"format": "email", "email": "a@b.example", "name": "Imani"}),
            "/name",
            UnknownMember,
        ), // pitfall 1
        (
            json!({"format": "iss_sub", "iss": "https://a.example"}),
            "/sub",
            Missing,
        ),
        (json!({"format": "iss_sub", "iss": "", "sub": "1"}), "/iss", Empty),
        (json!({"format": "opaque", "id": 7}), "/id", NotA("a string")),
        (
            json!({"format": "opaque", "id": "a".repeat(MAX_TEXT + 1)}),
            "/id",
            TooLong(MAX_TEXT),
        ),
        (
            json!({"format": "account", "uri": "mailto:a@b.example"}),
            "/uri",
            Refused("must be an acct: URI"),
        ),
        (
            json!({"format": "account", "uri": "acct:"}),
            "/uri",
            Refused("must be an acct: URI"),
        ),
        (
            json!({"format": "account", "uri": "acct"}),
            "/uri",
            Refused("must be an acct: URI"),
        ),
        (
            json!({"format": "phone_number", "phone_number": "+44 20 7946 0018"}),
            "/phone_number",
            Refused("must be + and up to 15 digits (E.164)"),
        ),
        (
            json!({"format": "phone_number", "phone_number": "442079460018"}),
            "/phone_number",
            Refused("must be + and up to 15 digits (E.164)"),
        ),
        (
            json!({"format": "phone_number", "phone_number": "+1234567890123456"}),
            "/phone_number",
            Refused("must be + and up to 15 digits (E.164)"),
        ),
        (json!({"format": "did", "uri": "did:example:a"}), "/url", Missing), // SUBID-3.2.6-1
        (
            json!({"format": "did", "url": "did:example"}),
            "/url",
            Refused("must be a DID URL"),
        ),
        (
            json!({"format": "did", "url": "did:Example:a"}),
            "/url",
            Refused("must be a DID URL"),
        ),
        (
            json!({"format": "did", "url": "https://a.example"}),
            "/url",
            Refused("must be a DID URL"),
        ),
        (
            json!({"format": "uri", "uri": "/relative"}),
            "/uri",
            Refused("must be a URI with a scheme"),
        ),
        (
            json!({"format": "uri", "uri": "urn:"}),
            "/uri",
            Refused("must be a URI with a scheme"),
        ),
        (
            json!({"format": "uri", "uri": "1a:b"}),
            "/uri",
            Refused("must be a URI with a scheme"),
        ),
        (
            json!({"format": "uri", "uri": "urn:a b"}),
            "/uri",
            Refused("must be a URI with a scheme"),
        ),
        (json!({"format": "jwt_id", "issuer": "a", "jti": "b"}), "/iss", Missing), // SSF-3.5.1-1
        (json!({"format": "jwt_id", "iss": "a"}), "/jti", Missing),                // SSF-3.5.1-2
        (
            json!({"format": "saml_assertion_id", "issuer": "a"}),
            "/assertion_id",
            Missing,
        ), // SSF-3.5.2-2
        (
            json!({"format": "saml_assertion_id", "iss": "a", "assertion_id": "b"}),
            "/issuer",
            Missing,
        ), // SSF-3.5.2-1
        (
            json!({"format": "ip-addresses", "ip_addresses": ["::1"]}),
            "/ip-addresses",
            Missing,
        ), // SSF-3.5.3-1
        (
            json!({"format": "ip-addresses", "ip-addresses": []}),
            "/ip-addresses",
            Empty,
        ),
        (
            json!({"format": "ip-addresses", "ip-addresses": "::1"}),
            "/ip-addresses",
            NotA("an array"),
        ),
        (
            json!({"format": "ip-addresses", "ip-addresses": ["::1", "1.2.3"]}),
            "/ip-addresses/1",
            Refused("must be an IPv4 or IPv6 address"),
        ),
        (json!({"format": "aliases"}), "/identifiers", Missing),
        (json!({"format": "aliases", "identifiers": []}), "/identifiers", Empty), // SUBID-3.2.8-1
        (
            json!({"format": "aliases", "identifiers": [{"id": "1"}]}),
            "/identifiers/0/format",
            Missing,
        ),
        (
            json!({"format": "aliases", "identifiers": [opaque(1)], "id": "1"}),
            "/id",
            UnknownMember,
        ),
        (
            json!({"format": "aliases", "identifiers": [opaque(1), opaque(1)]}),
            "/identifiers/1",
            Duplicate,
        ), // SUBID-3.2.8-3
        (
            json!({"format": "aliases", "identifiers": [{"format": "aliases", "identifiers": [opaque(1)]}]}),
            "/identifiers/0/format",
            nested(),
        ), // SUBID-3.2.8-2
        (
            json!({"format": "aliases", "identifiers": [{"format": "complex", "user": opaque(1)}]}),
            "/identifiers/0/format",
            nested(),
        ), // SUBID-3.2.8-4
        (
            json!({"format": "aliases", "identifiers": (0..33).map(opaque).collect::<Vec<_>>()}),
            "/identifiers",
            TooMany(32),
        ),
        (
            json!({"format": "complex"}),
            "",
            Refused("needs at least one member besides format"),
        ), // SSF-3.3-1
        (
            json!({"format": "complex", "user": "imani"}),
            "/user",
            NotA("an object"),
        ),
        (
            json!({"format": "complex", "user": {"format": "email"}}),
            "/user/email",
            Missing,
        ),
        (
            json!({"format": "complex", "a/b": {"format": "email"}}),
            "/a~1b/email",
            Missing,
        ),
        (
            json!({"format": "complex", "user": {"format": "complex", "user": opaque(1)}}),
            "/user/format",
            nested(),
        ), // SSF-3.3-5
    ] {
        assert_eq!(found(&subject), Some((pointer.to_owned(), problem)), "{subject}");
    }
}

#[test]
fn equal_subjects_share_a_lane_and_others_do_not() {
    let key = |text: &str| lane_key(&serde_json::from_str(text).unwrap());
    let one = key(r#"{"format":"iss_sub","iss":"a","sub":"b"}"#);
    for (text, same) in [
        (r#"{ "sub" : "b", "iss":"\u0061","format":"iss_sub"}"#, true),
        (r#"{"format":"iss_sub","iss":"a","sub":"B"}"#, false), // SSF-8.1.3.1-5
        (r#"{"format":"iss_sub","iss":"ab","sub":""}"#, false),
        (r#"{"format":"iss_sub","iss":"a","sub":"b","extra":null}"#, false), // SUBID-3-4
    ] {
        assert_eq!(key(text) == one, same, "{text}");
    }
}
