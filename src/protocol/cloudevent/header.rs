//! The values of attributes as `ce-` headers hold them (CloudEvents HTTP binding section 3.1.3).

/// Percent-encodes what a header should not hold: everything but visible ASCII, and of that `"` and `%` (CE-3.1-3).
pub(super) fn encode(value: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |half: u8| DIGITS.get(usize::from(half)).copied().map_or('0', char::from);
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_graphic() && byte != b'"' && byte != b'%' {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(digit(byte >> 4));
            out.push(digit(byte & 15));
        }
    }
    out
}

/// Undoes a quoted string, as senders of long ago wrote them, and then one round of percent-encoding (CE-3.1-4). `None` for
/// what has no one reading: a quote without an end, a `%` without two digits, what is no UTF-8, bare bytes beyond ASCII.
pub(super) fn decode(value: &str) -> Option<String> {
    let unquoted = match value.strip_prefix('"') {
        Some(quoted) => unquote(quoted)?,
        None => value.to_owned(),
    };
    let mut out = Vec::with_capacity(unquoted.len());
    let mut bytes = unquoted.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => out.push(hex(bytes.next()?)? << 4 | hex(bytes.next()?)?),
            // White space, too: only newer senders encode it.
            _ if byte.is_ascii() => out.push(byte),
            _ => return None,
        }
    }
    String::from_utf8(out).ok()
}

/// What stands before the closing quote, which ends the value (RFC 9110 5.6.4).
fn unquote(quoted: &str) -> Option<String> {
    let mut out = String::with_capacity(quoted.len());
    let mut rest = quoted.chars();
    loop {
        match rest.next()? {
            '"' => return rest.as_str().is_empty().then_some(out),
            '\\' => out.push(rest.next()?),
            other => out.push(other),
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::mutate;

    /// The vectors of CE-3.1-3.
    #[test]
    fn values_are_encoded_as_the_binding_has_it() {
        for (value, header) in [
            ("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
            ("100% \"sure\"", "100%25%20%22sure%22"),
            ("ünï", "%C3%BCn%C3%AF"),
            ("\t", "%09"),
            ("\u{7f}", "%7F"),
            ("plain", "plain"),
            ("", ""),
            ("!~/?:@\\", "!~/?:@\\"),
        ] {
            assert_eq!(encode(value), header);
            assert_eq!(decode(header).as_deref(), Some(value));
        }
    }

    /// CE-3.1-4, T-T-07
    #[test]
    fn old_and_careless_senders_are_understood_where_there_is_one_reading() {
        for (header, value) in [
            ("%e2%82%ac", Some("€")),
            ("%70lain", Some("plain")),
            ("two words", Some("two words")),
            ("in \"the\" middle", Some("in \"the\" middle")),
            ("\"two words\"", Some("two words")),
            (r#""a \"b\" \\ \c""#, Some(r#"a "b" \ c"#)),
            (r#""%22\%32""#, Some("\"2")),
            ("%2522", Some("%22")),
            ("\"\"", Some("")),
            ("\"", None),
            ("\"open", None),
            ("\"open\\\"", None),
            ("\"a\"b", None),
            ("%C0%A0", None),
            ("%ED%A0%80", None),
            ("%F5%80%80%80", None),
            ("%E2%82", None),
            ("100%", None),
            ("%2", None),
            ("%zz", None),
            ("%+1", None),
            ("% 1", None),
            ("é", None),
        ] {
            assert_eq!(decode(header).as_deref(), value, "{header}");
        }
    }

    #[test]
    fn what_was_encoded_decodes_and_needs_nothing_more() {
        for bytes in mutate::variants(&["Euro € 😀 100%", "\"a\\\"b\"", "%41é"], 5_000) {
            let value = String::from_utf8_lossy(&bytes).into_owned();
            let header = encode(&value);
            assert!(header.bytes().all(|byte| byte.is_ascii_graphic()), "{value:?}");
            assert_eq!(decode(&header), Some(value));
        }
    }
}
