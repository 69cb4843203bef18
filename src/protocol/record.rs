//! What we write and read back ourselves: rows, and what the Worker and its objects say to each other. Written in the form
//! that serde gives to such types, read by name from the parsed JSON.
//!
//! What serde derives is compiled once for each way in which it may be called, with every complaint it may have: for a hundred
//! record types that was a quarter of the whole Worker. Here, writing is to memory and cannot fail. Reading takes members out
//! of a map and explains nothing: a record of our own that does not read is a fault of ours, and its place in the log says
//! enough. Foreign text never comes here before [`super::json::parse_strict`] has read it.

pub use heliograph_record_derive::Record;
use serde_json::{Map, Value};

use super::json::write_scalar;

/// A record that does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record does not have the shape it was written in")]
pub struct Malformed;

/// What can be written and read back. Members that are not known are passed over: a newer version may have written them.
pub trait Record: Sized {
    /// Appends the JSON text.
    fn write(&self, out: &mut Vec<u8>);

    fn from_json(value: Value) -> Result<Self, Malformed>;

    /// What a member that is not there means.
    fn absent() -> Result<Self, Malformed> {
        Err(Malformed)
    }
}

/// The JSON text of a record.
pub fn text<T: Record>(record: &T) -> String {
    let mut out = Vec::new();
    record.write(&mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// Begins a member of the object that is being written. The name needs no escapes.
pub fn member(out: &mut Vec<u8>, name: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Writes an enum's variant that holds nothing.
pub fn plain_variant(out: &mut Vec<u8>, name: &str) {
    write_scalar(name, out);
}

/// Begins an enum's variant that holds something. A brace ends it.
pub fn holding_variant(out: &mut Vec<u8>, name: &str) {
    out.push(b'{');
    member(out, name);
}

/// Writes an array.
fn list<T: Record>(out: &mut Vec<u8>, items: &[T]) {
    out.push(b'[');
    for item in items {
        next_entry(out);
        item.write(out);
    }
    out.push(b']');
}

fn next_entry(out: &mut Vec<u8>) {
    if out.last() != Some(&b'[') {
        out.push(b',');
    }
}

/// Reads a record from its JSON text.
pub fn read<T: Record>(text: &str) -> Result<T, Malformed> {
    T::from_json(serde_json::from_str(text).map_err(|_| Malformed)?)
}

/// The members of an object, to be taken out one by one.
pub struct Members(Map<String, Value>);

impl Members {
    pub fn new(value: Value) -> Result<Self, Malformed> {
        match value {
            Value::Object(members) => Ok(Self(members)),
            _ => Err(Malformed),
        }
    }

    pub fn take<T: Record>(&mut self, name: &str) -> Result<T, Malformed> {
        match self.0.remove(name) {
            Some(value) => T::from_json(value),
            None => T::absent(),
        }
    }

    pub fn take_or_default<T: Record + Default>(&mut self, name: &str) -> Result<T, Malformed> {
        match self.0.remove(name) {
            Some(value) => T::from_json(value),
            None => Ok(T::default()),
        }
    }
}

/// An enum's variant: its name, or an object with its name and what it holds.
pub fn variant(value: Value) -> Result<(String, Value), Malformed> {
    match value {
        Value::String(name) => Ok((name, Value::Null)),
        Value::Object(members) => members.into_iter().next().ok_or(Malformed),
        _ => Err(Malformed),
    }
}

impl Record for Value {
    fn write(&self, out: &mut Vec<u8>) {
        write_scalar(self, out);
    }

    fn from_json(value: Value) -> Result<Self, Malformed> {
        Ok(value)
    }
}

impl Record for String {
    fn write(&self, out: &mut Vec<u8>) {
        write_scalar(self, out);
    }

    fn from_json(value: Value) -> Result<Self, Malformed> {
        match value {
            Value::String(text) => Ok(text),
            _ => Err(Malformed),
        }
    }
}

impl Record for bool {
    fn write(&self, out: &mut Vec<u8>) {
        write_scalar(self, out);
    }

    fn from_json(value: Value) -> Result<Self, Malformed> {
        value.as_bool().ok_or(Malformed)
    }
}

impl Record for i64 {
    fn write(&self, out: &mut Vec<u8>) {
        write_scalar(self, out);
    }

    fn from_json(value: Value) -> Result<Self, Malformed> {
        value.as_i64().ok_or(Malformed)
    }
}

macro_rules! unsigned {
    ($($number:ty)*) => {$(
        impl Record for $number {
            fn write(&self, out: &mut Vec<u8>) {
                write_scalar(self, out);
            }

            fn from_json(value: Value) -> Result<Self, Malformed> {
                value.as_u64().and_then(|number| Self::try_from(number).ok()).ok_or(Malformed)
            }
        }
    )*};
}

unsigned!(u8 u32 u64 usize);

impl Record for Map<String, Value> {
    fn write(&self, out: &mut Vec<u8>) {
        write_scalar(self, out);
    }

    fn from_json(value: Value) -> Result<Self, Malformed> {
        match value {
            Value::Object(members) => Ok(members),
            _ => Err(Malformed),
        }
    }
}

impl<T: Record> Record for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.write(out),
            None => out.extend_from_slice(b"null"),
        }
    }

    fn from_json(value: Value) -> Result<Self, Malformed> {
        match value {
            Value::Null => Ok(None),
            value => T::from_json(value).map(Some),
        }
    }

    fn absent() -> Result<Self, Malformed> {
        Ok(None)
    }
}

impl<T: Record> Record for Box<T> {
    fn write(&self, out: &mut Vec<u8>) {
        T::write(self, out);
    }

    fn from_json(value: Value) -> Result<Self, Malformed> {
        T::from_json(value).map(Box::new)
    }
}

impl<T: Record> Record for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        list(out, self);
    }

    fn from_json(value: Value) -> Result<Self, Malformed> {
        match value {
            Value::Array(items) => items.into_iter().map(T::from_json).collect(),
            _ => Err(Malformed),
        }
    }
}

impl<const N: usize> Record for [u8; N] {
    fn write(&self, out: &mut Vec<u8>) {
        list(out, self);
    }

    fn from_json(value: Value) -> Result<Self, Malformed> {
        Self::try_from(Vec::from_json(value)?).map_err(|_| Malformed)
    }
}

impl<A: Record, B: Record> Record for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        self.0.write(out);
        next_entry(out);
        self.1.write(out);
        out.push(b']');
    }

    fn from_json(value: Value) -> Result<Self, Malformed> {
        let [a, b] = entries(value)?;
        Ok((A::from_json(a)?, B::from_json(b)?))
    }
}

impl<A: Record, B: Record, C: Record> Record for (A, B, C) {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        self.0.write(out);
        next_entry(out);
        self.1.write(out);
        next_entry(out);
        self.2.write(out);
        out.push(b']');
    }

    fn from_json(value: Value) -> Result<Self, Malformed> {
        let [a, b, c] = entries(value)?;
        Ok((A::from_json(a)?, B::from_json(b)?, C::from_json(c)?))
    }
}

impl<T: Record, E: Record> Record for Result<T, E> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Ok(value) => {
                holding_variant(out, "Ok");
                value.write(out);
            }
            Err(error) => {
                holding_variant(out, "Err");
                error.write(out);
            }
        }
        out.push(b'}');
    }

    fn from_json(value: Value) -> Result<Self, Malformed> {
        let (name, value) = variant(value)?;
        match name.as_str() {
            "Ok" => T::from_json(value).map(Ok),
            "Err" => E::from_json(value).map(Err),
            _ => Err(Malformed),
        }
    }
}

/// The entries of an array that has exactly so many.
fn entries<const N: usize>(value: Value) -> Result<[Value; N], Malformed> {
    match value {
        Value::Array(items) => items.try_into().map_err(|_| Malformed),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;
    use serde_json::json;

    #[derive(Debug, PartialEq, Serialize, Record)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Plain,
        LongName(String),
        Held(Box<Held>),
        Named {
            at: u64,
            why: Option<String>,
        },
        #[serde(rename = "RS256")]
        Renamed,
    }

    #[derive(Debug, PartialEq, Serialize, Record)]
    struct Held {
        #[serde(rename = "type")]
        text: String,
        bytes: [u8; 3],
        minus: i64,
        on: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        absent: Option<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        none: Vec<u32>,
        any: Value,
        list: Vec<(String, u32)>,
        answer: Result<(u8, bool, String), String>,
    }

    #[test]
    fn everything_that_is_written_reads_back() {
        let held = |answer| Held {
            text: "é\"".into(),
            bytes: [1, 2, 255],
            minus: -3,
            on: true,
            absent: None,
            none: vec![],
            any: json!({"a": [1, -2, 2.5, null, true, "x", {"b": {}}], "big": u64::MAX}),
            list: vec![("a".into(), 1)],
            answer,
        };
        for kind in [
            Kind::Plain,
            Kind::Renamed,
            Kind::LongName("a".into()),
            Kind::Held(Box::new(held(Err("no".into())))),
            Kind::Held(Box::new(held(Ok((7, false, "b".into()))))),
            Kind::Named {
                at: u64::MAX,
                why: None,
            },
        ] {
            assert_eq!(text(&kind), serde_json::to_string(&kind).unwrap());
            assert_eq!(read::<Kind>(&text(&kind)), Ok(kind));
        }
    }

    #[test]
    fn other_shapes_are_malformed_and_unknown_members_are_passed_over() {
        for text in [
            "",
            "1",
            "null",
            "[]",
            "{}",
            "\"other\"",
            "\"long_name\"",
            "{\"long_name\":{}}",
            "{\"named\":{}}",
            "{\"named\":[1,null]}",
            "{\"named\":{\"at\":-1}}",
            "{\"named\":{\"at\":1.5}}",
            "{\"named\":{\"at\":1}",
        ] {
            assert_eq!(read::<Kind>(text), Err(Malformed), "{text}");
        }
        assert_eq!(
            read::<Kind>("{\"named\":{\"at\":1,\"later\":[{}]}}"),
            Ok(Kind::Named { at: 1, why: None })
        );
        assert_eq!(read::<u8>("256"), Err(Malformed));
        assert_eq!(read::<[u8; 2]>("[1,2,3]"), Err(Malformed));
    }
}
