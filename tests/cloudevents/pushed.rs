//! What an endpoint was pushed, taken apart and verified by code that the Worker has no part in.

use base64ct::{Base64, Encoding};
use jwt_compact::alg::{Hs256, Hs256Key};
use jwt_compact::{Algorithm, AlgorithmSignature};
use serde_json::{Map, Value, json};

use crate::harness::{Recorded, ScriptedReceiver};

use super::{BATCHED, STRUCTURED, header};

/// One CloudEvent of a push, whatever its mode.
#[derive(Clone, Debug, PartialEq)]
pub struct Pushed {
    /// All attributes, extensions too.
    pub attributes: Map<String, Value>,
    pub data: Value,
    /// What makes it this event and no other: its text as it was sent; in binary mode its `ce-` headers, too.
    pub bytes: Vec<u8>,
}

impl Pushed {
    #[track_caller]
    pub fn text(&self, attribute: &str) -> &str {
        let value = self.attributes.get(attribute).and_then(Value::as_str);
        value.unwrap_or_else(|| panic!("no {attribute} in {:?}", self.attributes))
    }

    /// The publisher's id, which the `txn` repeats.
    #[track_caller]
    pub fn brief(&self) -> &str {
        let txn = self.data["txn"].as_str().expect("a txn");
        txn.trim_start_matches("txn-")
    }

    pub fn email(&self) -> &str {
        self.data["sub_id"]["email"].as_str().unwrap_or_default()
    }

    /// CE-1-10: 20 digits.
    #[track_caller]
    pub fn sequence(&self) -> u64 {
        let text = self.text("sequence");
        assert!(
            text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_digit()),
            "{text}"
        );
        text.parse().expect("a number")
    }
}

/// The CloudEvents of everything that was pushed to a path.
#[track_caller]
pub fn pushed_to(endpoint: &ScriptedReceiver, path: &str) -> Vec<Pushed> {
    let requests = endpoint.requests();
    let here = requests
        .iter()
        .filter(|push| push.method == "POST" && push.target == path);
    here.flat_map(events_of).collect()
}

/// The events of one request, which has to be a CloudEvents request in one of the three modes.
#[track_caller]
pub fn events_of(push: &Recorded) -> Vec<Pushed> {
    match header(push, "content-type") {
        STRUCTURED => vec![event(push.text())],
        BATCHED => elements(push.text()).into_iter().map(event).collect(),
        "application/json" => vec![binary_event(push)],
        other => panic!("{other} is no media type of a CloudEvent"),
    }
}

#[track_caller]
fn event(text: &str) -> Pushed {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let mut attributes = value.as_object().unwrap_or_else(|| panic!("no object: {text}")).clone();
    let data = attributes.remove("data").unwrap_or_else(|| panic!("no data: {text}"));
    check_attributes(&attributes);
    Pushed {
        attributes,
        data,
        bytes: text.as_bytes().to_vec(),
    }
}

#[track_caller]
fn binary_event(push: &Recorded) -> Pushed {
    let mut attributes = Map::new();
    let mut bytes = Vec::new();
    let mut ce: Vec<(String, String)> = push
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .filter(|(name, _)| name.starts_with("ce-"))
        .collect();
    ce.sort();
    for (name, value) in ce {
        bytes.extend(format!("{name}: {value}\n").into_bytes());
        let name = name.trim_start_matches("ce-").to_owned();
        assert_ne!(name, "datacontenttype", "CE-3.1-1: content-type says it");
        let double = attributes.insert(name.clone(), json!(percent_decoded(&value)));
        assert_eq!(double, None, "{name} stands once");
    }
    attributes.insert("datacontenttype".to_owned(), json!("application/json"));
    check_attributes(&attributes);
    bytes.extend(&push.body);
    let data = serde_json::from_slice(&push.body).unwrap_or_else(|error| panic!("{error}: {}", push.text()));
    Pushed {
        attributes,
        data,
        bytes,
    }
}

/// CE-1-1, CE-1-4, CE-1-6, CE-4-2, CE-4-3: what holds for every event.
#[track_caller]
fn check_attributes(attributes: &Map<String, Value>) {
    assert_eq!(attributes.get("specversion"), Some(&json!("1.0")), "{attributes:?}");
    for required in ["id", "source", "type"] {
        let text = attributes.get(required).and_then(Value::as_str).unwrap_or_default();
        assert!(!text.is_empty(), "{required} in {attributes:?}");
    }
    for (name, value) in attributes {
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
                && name.len() <= 20,
            "{name}"
        );
        let text = value.as_str().unwrap_or_else(|| panic!("{name} in {attributes:?}"));
        assert!(!text.is_empty() && !text.contains(char::is_control), "{name}: {text:?}");
    }
}

/// The elements of a JSON array as they stand in its text.
#[track_caller]
fn elements(text: &str) -> Vec<&str> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let inner = inner.unwrap_or_else(|| panic!("no array: {text}"));
    let (mut depth, mut quoted, mut escaped, mut start) = (0, false, false, 0);
    let mut found = Vec::new();
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => {
                found.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&inner[start..]);
    found
}

/// One round of percent-decoding (CE-3.1-4). What is not encoded has to be printable ASCII (CE-3.1-3).
#[track_caller]
fn percent_decoded(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        assert!((0x21..=0x7e).contains(&byte) && byte != b'"', "{byte:#x} in {value}");
        if byte == b'%' {
            let digits: Vec<u8> = rest.by_ref().take(2).collect();
            let digits = std::str::from_utf8(&digits).expect("two digits");
            bytes.push(u8::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{value}")));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| panic!("{value}"))
}

/// How many signatures a push carries.
#[track_caller]
pub fn signature_count(push: &Recorded) -> usize {
    header(push, "webhook-signature").split(' ').count()
}

/// Whether one of its signatures was made with this secret (SW-1 to SW-5, SW-7).
#[track_caller]
pub fn verifies(push: &Recorded, secret: &str) -> bool {
    let (id, timestamp) = (header(push, "webhook-id"), header(push, "webhook-timestamp"));
    assert!(
        (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)),
        "SW-2: {id}"
    );
    let wanted = format!("v1,{}", signature(secret, id, timestamp, &push.body));
    let entries: Vec<&str> = header(push, "webhook-signature").split(' ').collect();
    for entry in &entries {
        assert!(entry.starts_with("v1,"), "{entries:?}");
    }
    entries.contains(&wanted.as_str())
}

/// A push is signed with this secret, now, and with no JWS.
#[track_caller]
pub fn assert_signed(push: &Recorded, secret: &str) {
    assert!(verifies(push, secret), "SW-2: {:?}\n{}", push.headers, push.text());
    let timestamp: u64 = header(push, "webhook-timestamp").parse().expect("SW-1: whole seconds");
    let now = crate::outbox::now_ms() / 1000;
    assert!(timestamp.abs_diff(now) <= 60, "{timestamp} {now}");
}

/// HMAC-SHA-256 over id, timestamp and body, in base64.
#[track_caller]
pub fn signature(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let encoded = secret.strip_prefix("whsec_").expect("SW-5: whsec_");
    let key = Base64::decode_vec(encoded).expect("SW-5: base64");
    assert!((24..=64).contains(&key.len()), "SW-5: {} bytes", key.len());
    let mut message = format!("{id}.{timestamp}.").into_bytes();
    message.extend_from_slice(body);
    Base64::encode_string(&Hs256.sign(&Hs256Key::new(&key), &message).as_bytes())
}

/// T-W-01: the check itself, against the public vector of the reference library and the one of our own digest.
#[test]
fn the_check_of_signatures_knows_the_vectors() {
    let vectors = [
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            r#"{"test": 2432232314}"#,
            "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "msg_0001",
            "1767323045",
            r#"{"specversion":"1.0","id":"evt-0001","source":"https://tx.example.com/streams/1","type":"com.example.ping","time":"2026-01-02T03:04:05Z","datacontenttype":"application/json","data":{"n":1}}"#,
            "zq296voftE+GrARORldzhdLVRZk7ZpIZdDn5ZXXa10k=",
        ),
    ];
    for (secret, id, timestamp, body, expected) in vectors {
        assert_eq!(signature(secret, id, timestamp, body.as_bytes()), expected);
    }
}

#[test]
fn the_elements_of_an_array_are_found() {
    assert_eq!(
        elements(r#"[{"a":"]},{"},[1,"\",",{"b":[2,3]}],"x"]"#),
        [r#"{"a":"]},{"}"#, r#"[1,"\",",{"b":[2,3]}]"#, r#""x""#]
    );
}
