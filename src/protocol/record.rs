//! What we write and read back ourselves: rows, and what the Worker and its objects say to each other. Written in the form
//! that serde gives to such types, read by name from the parsed JSON.
//!
//! What serde derives is compiled once for each way in which it may be called, with every complaint it may have: for a hundred
//! record types that was a quarter of the whole Worker. Here, writing is to memory and cannot fail. Reading takes members out
//! of a map and explains nothing: a record of our own that does not read is a fault of ours, and its place in the log says
//! enough. Foreign text never comes here before [`super::json::parse_strict`] has read it.

pub use heliograph_record_derive::Record;
use serde_json::{Map, Value};
use std::vec::IntoIter;

use super::json::{self, write_scalar};

/// A record that does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record does not have the shape it was written in")]
pub struct Malformed;

/// What can be written and read back. Members that are not known are passed over: a newer version may have written them.
pub trait Record: Sized {
    /// Appends the JSON text.
    fn write(&self, out: &mut Vec<u8>);

    /// Makes a record of `value` in any case, and says so in `fault` when it is not worth anything. To stop at the first member
    /// that does not read, there would have to be a way out of every other one, with all that was read before it to be dropped:
    /// that was half of the code that reads. Of `Null` something is made without going any deeper than the type itself goes.
    fn take(value: Value, fault: &mut Fault) -> Self;

    /// What a member that is not there means.
    fn absent(fault: &mut Fault) -> Self {
        fault.note();
        Self::take(Value::Null, fault)
    }

    fn from_json(value: Value) -> Result<Self, Malformed> {
        let mut fault = Fault(false);
        let record = Self::take(value, &mut fault);
        if fault.0 { Err(Malformed) } else { Ok(record) }
    }
}

/// Whether something did not read.
pub struct Fault(bool);

impl Fault {
    pub fn note(&mut self) {
        self.0 = true;
    }

    /// What was read, or else what stands in for it.
    pub fn unless<T>(&mut self, read: Option<T>, else_: T) -> T {
        read.unwrap_or_else(|| {
            self.note();
            else_
        })
    }
}

/// The JSON text of a record.
pub fn text<T: Record>(record: &T) -> String {
    let mut out = Vec::new();
    record.write(&mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// A record as a document that goes on to others. It is written and read back: that takes less code than another way to write.
pub fn document<T: Record>(record: &T) -> Value {
    json::read(text(record).as_bytes()).unwrap_or_default()
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
pub struct Members<'a> {
    members: Map<String, Value>,
    fault: &'a mut Fault,
}

impl<'a> Members<'a> {
    pub fn new(value: Value, fault: &'a mut Fault) -> Self {
        let members = Map::take(value, fault);
        Self { members, fault }
    }

    pub fn take<T: Record>(&mut self, name: &str) -> T {
        match self.members.remove(name) {
            Some(value) => T::take(value, self.fault),
            None => T::absent(self.fault),
        }
    }

    pub fn take_or_default<T: Record + Default>(&mut self, name: &str) -> T {
        match self.members.remove(name) {
            Some(value) => T::take(value, self.fault),
            None => T::default(),
        }
    }
}

/// An enum's variant, its name or an object with its name and what it holds: its place among the names, and what it holds.
pub fn variant(value: Value, names: &[&str], fault: &mut Fault) -> (usize, Value) {
    let (name, value) = match value {
        Value::String(name) => (name, Value::Null),
        Value::Object(members) => members.into_iter().next().unwrap_or_default(),
        _ => Default::default(),
    };
    match names.iter().position(|known| *known == name) {
        Some(place) => (place, value),
        None => {
            fault.note();
            (usize::MAX, Value::Null)
        }
    }
}

impl Record for Value {
    fn write(&self, out: &mut Vec<u8>) {
        write_scalar(self, out);
    }

    fn take(value: Value, _: &mut Fault) -> Self {
        value
    }
}

impl Record for String {
    fn write(&self, out: &mut Vec<u8>) {
        write_scalar(self, out);
    }

    fn take(value: Value, fault: &mut Fault) -> Self {
        match value {
            Value::String(text) => text,
            _ => {
                fault.note();
                Self::new()
            }
        }
    }
}

impl Record for bool {
    fn write(&self, out: &mut Vec<u8>) {
        write_scalar(self, out);
    }

    fn take(value: Value, fault: &mut Fault) -> Self {
        fault.unless(value.as_bool(), false)
    }
}

impl Record for i64 {
    fn write(&self, out: &mut Vec<u8>) {
        write_scalar(self, out);
    }

    fn take(value: Value, fault: &mut Fault) -> Self {
        fault.unless(value.as_i64(), 0)
    }
}

macro_rules! unsigned {
    ($($number:ty)*) => {$(
        impl Record for $number {
            fn write(&self, out: &mut Vec<u8>) {
                write_scalar(self, out);
            }

            fn take(value: Value, fault: &mut Fault) -> Self {
                fault.unless(value.as_u64().and_then(|number| Self::try_from(number).ok()), 0)
            }
        }
    )*};
}

unsigned!(u8 u32 u64 usize);

impl Record for Map<String, Value> {
    fn write(&self, out: &mut Vec<u8>) {
        write_scalar(self, out);
    }

    fn take(value: Value, fault: &mut Fault) -> Self {
        match value {
            Value::Object(members) => members,
            _ => {
                fault.note();
                Self::new()
            }
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

    fn take(value: Value, fault: &mut Fault) -> Self {
        match value {
            Value::Null => None,
            value => Some(T::take(value, fault)),
        }
    }

    fn absent(_: &mut Fault) -> Self {
        None
    }
}

impl<T: Record> Record for Box<T> {
    fn write(&self, out: &mut Vec<u8>) {
        T::write(self, out);
    }

    fn take(value: Value, fault: &mut Fault) -> Self {
        Box::new(T::take(value, fault))
    }
}

impl<T: Record> Record for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        list(out, self);
    }

    fn take(value: Value, fault: &mut Fault) -> Self {
        let items = entries(value, fault);
        let mut list = Self::with_capacity(items.len());
        for item in items {
            list.push(T::take(item, fault));
        }
        list
    }
}

impl<const N: usize> Record for [u8; N] {
    fn write(&self, out: &mut Vec<u8>) {
        list(out, self);
    }

    fn take(value: Value, fault: &mut Fault) -> Self {
        let bytes = Vec::take(value, fault);
        fault.unless(Self::try_from(bytes).ok(), [0; N])
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

    fn take(value: Value, fault: &mut Fault) -> Self {
        let mut items = tuple(value, 2, fault);
        let mut next = || items.next().unwrap_or_default();
        (A::take(next(), fault), B::take(next(), fault))
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

    fn take(value: Value, fault: &mut Fault) -> Self {
        let mut items = tuple(value, 3, fault);
        let mut next = || items.next().unwrap_or_default();
        (A::take(next(), fault), B::take(next(), fault), C::take(next(), fault))
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

    fn take(value: Value, fault: &mut Fault) -> Self {
        match variant(value, &["Ok", "Err"], fault) {
            (0, value) => Ok(T::take(value, fault)),
            (_, value) => Err(E::take(value, fault)),
        }
    }
}

/// The entries of an array.
fn entries(value: Value, fault: &mut Fault) -> IntoIter<Value> {
    match value {
        Value::Array(items) => items.into_iter(),
        _ => {
            fault.note();
            Vec::new().into_iter()
        }
    }
}

/// The entries of an array that has exactly so many.
fn tuple(value: Value, count: usize, fault: &mut Fault) -> IntoIter<Value> {
    let items = entries(value, fault);
    if items.len() != count {
        fault.note();
    }
    items
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
