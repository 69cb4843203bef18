//! The rules for the attributes of CloudEvents: names, types, characters, and the syntax of those that have one
//! (CloudEvents 1.0 section 3).

use serde_json::Value;

use crate::protocol::problem::{Invalid, Problem};
use crate::protocol::subject::{is_scheme, is_uri};

/// Longest `tracestate`, in bytes: what W3C Trace Context wants to be passed on at least.
const MAX_TRACESTATE: usize = 512;

/// The member of the document, or else the header, that has the attribute. The media type of the data has a header of its own
/// (CE-3.1-1).
pub(super) fn pointer(name: &str, in_headers: bool) -> String {
    match (in_headers, name) {
        (false, _) => name.to_owned(),
        (true, "datacontenttype") => "content-type".to_owned(),
        (true, _) => format!("ce-{name}"),
    }
}

/// Checks what holds for every attribute, also for those that we do not know (CE-1-4, CE-1-5, CE-1-6).
pub(super) fn check(name: &str, value: &Value) -> Result<(), Invalid> {
    if !is_name(name) {
        return Err(Invalid::here(Problem::Refused(
            "is no name of an attribute: those have lower-case letters and digits",
        )));
    }
    match value {
        Value::Bool(_) => Ok(()),
        Value::Number(number) if number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()) => Ok(()),
        Value::Number(_) => Err(Invalid::here(Problem::NotA("a whole number of 32 bits"))),
        Value::String(text) if text.chars().all(is_legal) => Ok(()),
        Value::String(_) => Err(Invalid::here(Problem::Refused(
            "has a control character or one that is not assigned",
        ))),
        _ => Err(Invalid::here(Problem::NotA("a string, a whole number or a boolean"))),
    }
}

/// `data` is the payload and can be no attribute. How long a name is and what it begins with is only a recommendation.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name != "data"
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn is_legal(character: char) -> bool {
    let code = u32::from(character);
    !matches!(code, 0..=0x1f | 0x7f..=0x9f | 0xfdd0..=0xfdef) && code & 0xfffe != 0xfffe
}

/// An absolute URI in the characters that URIs have.
pub(super) fn is_absolute_uri(text: &str) -> bool {
    is_uri(text) && is_uri_reference(text)
}

/// RFC 3986 4.1, but for the inner syntax of the authority: `source` need not be absolute (CE-1-1).
pub(super) fn is_uri_reference(text: &str) -> bool {
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    // Before the first slash, a colon can only end a scheme.
    let first = rest.split('/').next().unwrap_or_default();
    let rest = match first.split_once(':') {
        Some((scheme, _)) if !is_scheme(scheme) => return false,
        Some((scheme, _)) => rest.get(scheme.len() + 1..).unwrap_or_default(),
        None => rest,
    };
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    // Brackets are for addresses in the authority, and a fragment has no second beginning.
    has_uri_characters(text)
        && [path, query, fragment]
            .iter()
            .all(|part| !part.contains(['[', ']', '#']))
        && {
            let host = authority.rsplit('@').next().unwrap_or_default();
            match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
                Some((address, port)) => !address.contains('[') && (port.is_empty() || port.starts_with(':')),
                None => !authority.contains(['[', ']']),
            }
        }
}

/// RFC 3986 2: and every `%` stands before two hexadecimal digits.
fn has_uri_characters(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
    let encoded = |rest: &[u8]| {
        rest.first_chunk::<2>()
            .is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    };
    text.bytes().all(legal) && text.split('%').skip(1).all(|rest| encoded(rest.as_bytes()))
}

/// Whether a media type is one of JSON, with or without a suffix (CE-4-6, CE-1-7).
pub(super) fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim_ascii();
    essence.split_once('/').is_some_and(|(main, sub)| {
        let form = sub.rsplit('+').next().unwrap_or_default();
        !main.is_empty() && form.eq_ignore_ascii_case("json")
    })
}

/// Whether a media type names no other charset than UTF-8 (CE-4-1).
pub(super) fn is_utf8(media_type: &str) -> bool {
    media_type.split(';').skip(1).all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim_ascii();
        let value = value
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or(value);
        !name.trim_ascii().eq_ignore_ascii_case("charset") || value.eq_ignore_ascii_case("utf-8")
    })
}

/// W3C Trace Context 3.2: `00-{32 digits}-{16 digits}-{2 digits}`, the digits lower-case hexadecimal and the ids not all zero.
/// Versions to come may have more after it.
pub(super) fn is_traceparent(text: &str) -> bool {
    let mut parts = text.splitn(5, '-');
    let mut part = |length: usize| {
        parts
            .next()
            .filter(|part| part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
    };
    let is_set = |id: &str| id.bytes().any(|byte| byte != b'0');
    let (version, trace_id, parent_id, flags) = (part(2), part(32), part(16), part(2));
    let known_length = version != Some("00") || parts.next().is_none();
    version.is_some_and(|version| version != "ff")
        && trace_id.is_some_and(is_set)
        && parent_id.is_some_and(is_set)
        && flags.is_some()
        && known_length
        && text.len() <= MAX_TRACESTATE
        && is_header_text(text)
}

/// W3C Trace Context 3.3, as far as a header has to hold it: what is in there is the tracing systems' own.
pub(super) fn is_tracestate(text: &str) -> bool {
    text.len() <= MAX_TRACESTATE && is_header_text(text)
}

/// Visible ASCII, with spaces only inside.
fn is_header_text(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') && text.trim_ascii() == text
}
