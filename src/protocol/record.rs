//! Reading back what we wrote ourselves: rows, and what the Worker and its objects say to each other.
//!
//! A derived reader is compiled once for each way in which its reader may call it. This one calls in a single way (objects by
//! name, never by position) and explains nothing: a record of our own that does not read is a fault of ours, and its place in
//! the log says enough. For a hundred record types that is a tenth of the whole Worker. Foreign text never comes here; see
//! [`super::json::parse_strict`].

use std::fmt;

use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};
use serde_json::{Map, Value, map};

/// A record that does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record does not have the shape it was written in")]
pub struct Malformed;

impl serde::de::Error for Malformed {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }

    fn invalid_type(_: serde::de::Unexpected<'_>, _: &dyn serde::de::Expected) -> Self {
        Self
    }

    fn invalid_value(_: serde::de::Unexpected<'_>, _: &dyn serde::de::Expected) -> Self {
        Self
    }

    fn invalid_length(_: usize, _: &dyn serde::de::Expected) -> Self {
        Self
    }

    fn unknown_variant(_: &str, _: &'static [&'static str]) -> Self {
        Self
    }

    fn unknown_field(_: &str, _: &'static [&'static str]) -> Self {
        Self
    }

    fn missing_field(_: &'static str) -> Self {
        Self
    }

    fn duplicate_field(_: &'static str) -> Self {
        Self
    }
}

/// Reads a record from its JSON text.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Malformed> {
    from_value(serde_json::from_str(text).map_err(|_| Malformed)?)
}

/// Reads a record from a JSON value.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Malformed> {
    T::deserialize(Reader(value))
}

struct Reader(Value);

impl<'de> IntoDeserializer<'de, Malformed> for Reader {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! numbers {
    ($($method:ident => $get:ident, $visit:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
            visitor.$visit(self.0.$get().ok_or(Malformed)?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader {
    type Error = Malformed;

    /// For values that are JSON themselves.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), ..) => visitor.visit_u64(value),
                (_, Some(value), _) => visitor.visit_i64(value),
                (.., Some(value)) => visitor.visit_f64(value),
                (None, None, None) => Err(Malformed),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(items) => visitor.visit_seq(Items(items.into_iter())),
            Value::Object(members) => visitor.visit_map(Members::new(members)),
        }
    }

    numbers! {
        deserialize_u8 => as_u64, visit_u64;
        deserialize_u16 => as_u64, visit_u64;
        deserialize_u32 => as_u64, visit_u64;
        deserialize_u64 => as_u64, visit_u64;
        deserialize_i8 => as_i64, visit_i64;
        deserialize_i16 => as_i64, visit_i64;
        deserialize_i32 => as_i64, visit_i64;
        deserialize_i64 => as_i64, visit_i64;
        deserialize_f32 => as_f64, visit_f64;
        deserialize_f64 => as_f64, visit_f64;
        deserialize_bool => as_bool, visit_bool;
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        match self.0 {
            Value::String(text) => visitor.visit_string(text),
            _ => Err(Malformed),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.deserialize_string(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.deserialize_string(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Malformed> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        match self.0 {
            Value::Array(items) => visitor.visit_seq(Items(items.into_iter())),
            _ => Err(Malformed),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Malformed> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        match self.0 {
            Value::Object(members) => visitor.visit_map(Members::new(members)),
            _ => Err(Malformed),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        match self.0 {
            Value::String(name) => visitor.visit_enum(Variant(name, Value::Null)),
            Value::Object(members) => {
                let (name, value) = members.into_iter().next().ok_or(Malformed)?;
                visitor.visit_enum(Variant(name, value))
            }
            _ => Err(Malformed),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! { i128 u128 char bytes byte_buf unit unit_struct }
}

struct Items(std::vec::IntoIter<Value>);

impl<'de> SeqAccess<'de> for Items {
    type Error = Malformed;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Malformed> {
        self.0.next().map(|value| seed.deserialize(Reader(value))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Members {
    rest: map::IntoIter,
    value: Value,
}

impl Members {
    fn new(members: Map<String, Value>) -> Self {
        Self {
            rest: members.into_iter(),
            value: Value::Null,
        }
    }
}

impl<'de> MapAccess<'de> for Members {
    type Error = Malformed;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Malformed> {
        let Some((name, value)) = self.rest.next() else {
            return Ok(None);
        };
        self.value = value;
        let name: StringDeserializer<Malformed> = name.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Malformed> {
        seed.deserialize(Reader(self.value.take()))
    }
}

/// A variant's name and what it holds.
struct Variant(String, Value);

impl<'de> EnumAccess<'de> for Variant {
    type Error = Malformed;
    type Variant = Reader;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Reader), Malformed> {
        let name: StringDeserializer<Malformed> = self.0.into_deserializer();
        Ok((seed.deserialize(name)?, Reader(self.1)))
    }
}

impl<'de> VariantAccess<'de> for Reader {
    type Error = Malformed;

    fn unit_variant(self) -> Result<(), Malformed> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Malformed> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Malformed> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Malformed> {
        self.deserialize_map(visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Plain,
        Pair(String, i64),
        Held(Box<Held>),
        Named { at: u64, why: Option<String> },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Held {
        text: String,
        bytes: [u8; 3],
        ratio: f64,
        minus: i32,
        on: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        absent: Option<String>,
        any: Value,
        list: Vec<(String, u32)>,
        answer: Result<u8, String>,
    }

    #[test]
    fn everything_that_is_written_reads_back() {
        let held = Held {
            text: "é\"".into(),
            bytes: [1, 2, 255],
            ratio: 0.25,
            minus: -3,
            on: true,
            absent: None,
            any: json!({"a": [1, -2, 2.5, null, true, "x", {"b": {}}], "big": u64::MAX}),
            list: vec![("a".into(), 1)],
            answer: Err("no".into()),
        };
        for kind in [
            Kind::Plain,
            Kind::Pair("a".into(), i64::MIN),
            Kind::Held(Box::new(held)),
            Kind::Named {
                at: u64::MAX,
                why: None,
            },
        ] {
            assert_eq!(read::<Kind>(&serde_json::to_string(&kind).unwrap()), Ok(kind));
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
            "{\"pair\":[\"a\"]}",
            "{\"pair\":{}}",
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
    }
}
