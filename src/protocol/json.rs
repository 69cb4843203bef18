//! JSON as security code needs it: one reading only, bounded depth, and a canonical form to hash and compare.
//!
//! A document with a repeated member name means different things to different parsers, so it is refused at any depth
//! (SSF-3.3-4, SUBID-R-3). Also here: the comparison of a `Content-Type` header with a media type.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;

use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// What makes a text unacceptable as strict JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonProblem {
    #[error("a member name is repeated in one object")]
    DuplicateMember,
    #[error("objects and arrays are nested too deeply")]
    TooDeep,
    #[error("the text ends too early")]
    Truncated,
    #[error("not valid JSON")]
    Syntax,
    #[error("not valid UTF-8")]
    NotUtf8,
}

/// A refused document and where reading stopped. Both numbers count from 1; the column counts bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{problem} (line {line}, column {column})")]
pub struct JsonError {
    pub problem: JsonProblem,
    pub line: usize,
    pub column: usize,
}

/// Reads one JSON value that fills all of `bytes` (white space around it is fine).
///
/// A scalar has depth 0, an object or array one more than its deepest member; more than `max_depth` is refused.
pub fn parse_strict(bytes: &[u8], max_depth: usize) -> Result<Value, JsonError> {
    parse(bytes, max_depth, Order::Any)
}

/// The same; and the names in the object that is the member `within`, in the order of the text, which a `Value` does not keep.
pub fn parse_in_order(bytes: &[u8], max_depth: usize, within: &str) -> Result<(Value, Vec<String>), JsonError> {
    let names = RefCell::default();
    let value = parse(bytes, max_depth, Order::Within(within, &names))?;
    Ok((value, names.into_inner()))
}

fn parse(bytes: &[u8], max_depth: usize, order: Order<'_>) -> Result<Value, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        JsonError {
            problem: JsonProblem::NotUtf8,
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
            column: 1 + before.len() - line_start,
        }
    })?;
    let own_problem = Cell::new(None);
    let mut reader = serde_json::Deserializer::from_str(text);
    let strict = Strict {
        depth_left: max_depth,
        problem: &own_problem,
        order,
    };
    strict
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| JsonError {
            problem: own_problem.get().unwrap_or(if error.is_eof() {
                JsonProblem::Truncated
            } else {
                JsonProblem::Syntax
            }),
            line: error.line(),
            column: error.column(),
        })
}

/// Reads bytes without judging them; nothing where they are not JSON. As text: beside serde's reader of text, the one of bytes
/// would be compiled, too.
pub fn read(bytes: &[u8]) -> Option<Value> {
    serde_json::from_str(std::str::from_utf8(bytes).ok()?).ok()
}

/// The same value always gives the same text: members sorted by name, no white space (SUBID-R-4).
///
/// Numbers keep the form they were written in, so `1` and `1.0` differ. Strings compare by code point (SUBID-R-1).
pub fn canonical(value: &Value) -> String {
    let mut out = Vec::new();
    write_canonical(value, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// Serialises to bytes. Writing to memory fails only for maps whose keys are not strings; no protocol type has one.
pub fn to_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Appends a text that is JSON as far as it goes, and a value after it. Writing to memory does not fail.
pub(super) fn append<T: Serialize + ?Sized>(out: &mut Vec<u8>, before: &[u8], value: &T) {
    out.extend_from_slice(before);
    let _ = serde_json::to_writer(out, value);
}

/// What can stand in a document that we make.
pub trait ToJson {
    fn to_json(&self) -> Value;
}

impl<T: ToJson + ?Sized> ToJson for &T {
    fn to_json(&self) -> Value {
        T::to_json(self)
    }
}

impl<T: ToJson> ToJson for Option<T> {
    fn to_json(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_json)
    }
}

impl<T: ToJson> ToJson for [T] {
    fn to_json(&self) -> Value {
        let mut items = Vec::with_capacity(self.len());
        for item in self {
            items.push(item.to_json());
        }
        Value::Array(items)
    }
}

impl<T: ToJson> ToJson for Vec<T> {
    fn to_json(&self) -> Value {
        self.as_slice().to_json()
    }
}

impl<T: ToJson, const N: usize> ToJson for [T; N] {
    fn to_json(&self) -> Value {
        self.as_slice().to_json()
    }
}

impl<A: ToJson, B: ToJson> ToJson for (A, B) {
    fn to_json(&self) -> Value {
        Value::Array(vec![self.0.to_json(), self.1.to_json()])
    }
}

impl ToJson for str {
    fn to_json(&self) -> Value {
        self.into()
    }
}

macro_rules! to_json {
    ($($plain:ty)*) => {$(
        impl ToJson for $plain {
            fn to_json(&self) -> Value {
                Value::from(self.clone())
            }
        }
    )*};
}

to_json!(Value String Map<String, Value> bool i32 u8 u16 u32 u64 usize i64);

impl ToJson for Cow<'_, str> {
    fn to_json(&self) -> Value {
        self.as_ref().into()
    }
}

/// Makes a document, as serde's macro of this name does of what is written out. That one goes through serde for each value, and
/// has a way out for each that might fail. An object or array within another is written as a `json!` of its own.
macro_rules! json {
    ({ $($name:literal: $value:expr),* $(,)? }) => {{
        #[allow(unused_mut)]
        let mut members = ::serde_json::Map::new();
        $($crate::protocol::json::member(&mut members, $name, $crate::protocol::json::ToJson::to_json(&$value));)*
        ::serde_json::Value::Object(members)
    }};
    ([$($item:expr),* $(,)?]) => {
        ::serde_json::Value::Array(vec![$($crate::protocol::json::ToJson::to_json(&$item)),*])
    };
    ($value:expr) => {
        $crate::protocol::json::ToJson::to_json(&$value)
    };
}
pub(crate) use json;

/// Sets a member.
pub fn member(members: &mut Map<String, Value>, name: &str, value: Value) {
    members.insert(name.to_owned(), value);
}

/// An object of these members, put in one by one: to `collect` them, sorting is compiled anew for each place that does.
pub fn object(members: impl Iterator<Item = (String, Value)>) -> Map<String, Value> {
    let mut object = Map::new();
    object.extend(members);
    object
}

/// Sets a member of what is known to be an object; anything else stays as it is.
pub fn put(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value.into());
    }
}

/// Whether a `Content-Type` header names the media type `essence` (`type/subtype`), in any case and with any parameters.
pub fn content_type_is(header: Option<&str>, essence: &str) -> bool {
    header
        .and_then(|value| value.split(';').next())
        .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(essence))
}

fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(members) => {
            // A map keeps its members sorted by name, unless some dependency turns that off: a test watches over it.
            out.push(b'{');
            for (at, (name, member)) in members.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_scalar(name, out);
                out.push(b':');
                write_canonical(member, out);
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_canonical(item, out);
            }
            out.push(b']');
        }
        Value::String(text) => write_scalar(text, out),
        Value::Null | Value::Bool(_) | Value::Number(_) => write_scalar(value, out),
    }
}

/// Writing to memory does not fail.
pub(super) fn write_scalar<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(out, value);
}

/// Whose names are wanted in the order of the text.
#[derive(Clone, Copy)]
enum Order<'a> {
    Any,
    /// Those in the member of this name.
    Within(&'a str, &'a RefCell<Vec<String>>),
    /// Those of this object.
    Here(&'a RefCell<Vec<String>>),
}

/// Builds a `Value` while watching depth and names. The first own complaint is left in `problem`, because the reader's
/// error type carries only text.
#[derive(Clone, Copy)]
struct Strict<'a> {
    depth_left: usize,
    problem: &'a Cell<Option<JsonProblem>>,
    order: Order<'a>,
}

impl<'a> Strict<'a> {
    fn refuse<E: serde::de::Error>(self, problem: JsonProblem) -> E {
        self.problem.set(Some(problem));
        E::custom(problem)
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Strict<'a>, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Strict {
                depth_left,
                order: Order::Any,
                ..self
            }),
            None => Err(self.refuse(JsonProblem::TooDeep)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(self.refuse(JsonProblem::DuplicateMember));
            }
            let order = match self.order {
                Order::Within(within, names) if within == name => Order::Here(names),
                Order::Here(names) => {
                    names.borrow_mut().push(name.clone());
                    Order::Any
                }
                _ => Order::Any,
            };
            let member = access.next_value_seed(Strict { order, ..inner })?;
            members.insert(name, member);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &[u8], max_depth: usize) -> Option<JsonProblem> {
        parse_strict(text, max_depth).err().map(|error| error.problem)
    }

    #[test]
    fn accepts_what_serde_json_accepts() {
        for text in [
            "null",
            " true\n",
            "0",
            "-0",
            "1e3",
            "18446744073709551615",
            "\"\\u0041\\ud83d\\ude00\"",
            "[]",
            "{}",
            r#"{"a":[1,{"b":null},-2.5],"c":"\n"}"#,
        ] {
            assert_eq!(
                parse_strict(text.as_bytes(), 8),
                Ok(serde_json::from_str(text).unwrap()),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_with_the_reason() {
        use JsonProblem::*;
        for (text, expected) in [
            (r#"{"a":1,"a":1}"#, DuplicateMember),
            (r#"[{"x":{"a":1,"b":2,"\u0061":3}}]"#, DuplicateMember), // SUBID-R-1: escapes are decoded first
            ("", Truncated),
            ("{\"a\":", Truncated),
            ("{} {}", Syntax),
            ("{}x", Syntax),
            ("{'a':1}", Syntax),
            ("[1,]", Syntax),
            ("01", Syntax),
            ("1e999", Syntax),
            ("NaN", Syntax),
            (r#""\ud800""#, Syntax),
            ("\u{feff}{}", Syntax),
        ] {
            assert_eq!(problem(text.as_bytes(), 8), Some(expected), "{text}");
        }
        assert_eq!(problem(b"\"\xff\"", 8), Some(NotUtf8));
        assert_eq!(problem(b"{\"a\":\"\xc0\xaf\"}", 8), Some(NotUtf8));
    }

    #[test]
    fn the_order_of_the_text_is_known_where_it_is_wanted() {
        let names = |text: &str| parse_in_order(text.as_bytes(), 8, "sets").map(|(_, names)| names.join(" "));
        for (text, expected) in [
            (
                r#"{"x":{"q":1},"sets":{"b":{"z":1,"sets":{"y":2}},"\u0061":2,"c":3},"p":4}"#,
                "b a c",
            ),
            (r#"{"sets":[{"b":1}]}"#, ""),
            (r#"{"sets":"b"}"#, ""),
            (r#"[{"sets":{"b":1}}]"#, ""),
            ("{}", ""),
        ] {
            assert_eq!(names(text).as_deref(), Ok(expected), "{text}");
            assert_eq!(
                parse_in_order(text.as_bytes(), 8, "sets").unwrap().0,
                parse_strict(text.as_bytes(), 8).unwrap()
            );
        }
        assert!(names(r#"{"sets":{"a":1,"a":2}}"#).is_err());
    }

    #[test]
    fn depth_is_counted_in_containers() {
        for (text, max_depth, fits) in [
            ("1", 0, true),
            ("[]", 0, false),
            ("[]", 1, true),
            ("[[1]]", 1, false),
            (r#"{"a":[{}]}"#, 3, true),
        ] {
            assert_eq!(
                parse_strict(text.as_bytes(), max_depth).is_ok(),
                fits,
                "{text} {max_depth}"
            );
        }
        let bomb = "[".repeat(100_000);
        assert_eq!(problem(bomb.as_bytes(), 32), Some(JsonProblem::TooDeep));
        assert!(
            parse_strict(bomb.as_bytes(), usize::MAX).is_err(),
            "the reader's own limit still holds"
        );
    }

    #[test]
    fn says_where() {
        let error = parse_strict(b"{\n  \"a\": 1,\n  \"a\": 2\n}", 8).unwrap_err();
        assert_eq!((error.problem, error.line), (JsonProblem::DuplicateMember, 3));
        let error = parse_strict(b"{\n\"\xff\"}", 8).unwrap_err();
        assert_eq!((error.line, error.column), (2, 2));
    }

    #[test]
    fn canonical_form_ignores_order_and_spelling_only() {
        for (left, right, same) in [
            (
                r#"{"b":1,"a":[true,null]}"#,
                r#"{ "a" : [true, null], "\u0062":1 }"#,
                true,
            ),
            (r#"{"a":{"c":1,"b":2}}"#, r#"{"a":{"b":2,"c":1}}"#, true),
            (r#"{"a":"x"}"#, r#"{"a":"X"}"#, false),
            ("[1,2]", "[2,1]", false),
            (r#"{"a":"1"}"#, r#"{"a":1}"#, false),
            (r#"{"a":"b\",\"c\":\"d"}"#, r#"{"a":"b","c":"d"}"#, false), // SUBID-R-4: escaped, never concatenated raw
        ] {
            let forms: Vec<_> = [left, right]
                .iter()
                .map(|text| canonical(&serde_json::from_str(text).unwrap()))
                .collect();
            assert_eq!(forms[0] == forms[1], same, "{left} {right}");
        }
        assert_eq!(
            canonical(&serde_json::json!({"z": [1, {"y": "é\n", "x": 1.5}], "a": false})),
            r#"{"a":false,"z":[1,{"x":1.5,"y":"é\n"}]}"#
        );
    }

    #[test]
    fn content_types_compare_without_case_and_parameters() {
        // PUSH-2.1-7
        for (header, expected) in [
            (Some("application/secevent+jwt"), true),
            (Some("Application/SECEVENT+JWT ; charset=utf-8"), true),
            (Some(" application/secevent+jwt"), true),
            (Some("application/secevent+jwtx"), false),
            (Some("application/json; a=application/secevent+jwt"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(
                content_type_is(header, "application/secevent+jwt"),
                expected,
                "{header:?}"
            );
        }
    }
}
