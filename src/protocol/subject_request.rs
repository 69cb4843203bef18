//! Requests that change which subjects a stream carries: a receiver's, one subject at a time (SSF 1.0 section 8.1.3), and
//! the operator's, many at once.
//!
//! A format that no standard knows is accepted here although SSF-8.1.3.2-6 would refuse it: publishers may name subjects in
//! formats agreed upon with the receiver (SSF-3.4-1), and what an event can be about a receiver must be able to ask for.

use serde_json::{Map, Value};

use super::json::json;
use super::problem::{self, Invalid, Problem};
use super::stream;
use super::subject;

/// Most subjects in one request of the operator, added and removed together.
pub const MAX_BULK: usize = 1000;

/// A receiver wants events about a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddSubject {
    pub stream_id: String,
    /// Valid, and [`respelled`].
    pub subject: Value,
    /// Whether the receiver has checked that the subject is who it says; so it is unless it says no (SSF-8.1.3.2-3).
    pub verified: bool,
}

/// A receiver wants no more events about a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveSubject {
    pub stream_id: String,
    /// Valid, and [`respelled`].
    pub subject: Value,
}

/// The operator changes many subjects of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkSubjects {
    /// Valid, and [`respelled`], as `remove`.
    pub add: Vec<Value>,
    pub remove: Vec<Value>,
}

impl AddSubject {
    /// Reads the body of an add request. Unknown members are ignored.
    pub fn parse(value: &Value) -> Result<AddSubject, Invalid> {
        let members = problem::object(value)?;
        let verified = |value: &Value| value.as_bool().ok_or_else(|| Invalid::here(Problem::NotA("a boolean")));
        Ok(AddSubject {
            stream_id: stream::stream_id(members)?,
            subject: subject_member(members)?,
            verified: problem::optional(members, "verified", verified)?.unwrap_or(true),
        })
    }
}

impl RemoveSubject {
    /// Reads the body of a remove request. Unknown members are ignored.
    pub fn parse(value: &Value) -> Result<RemoveSubject, Invalid> {
        let members = problem::object(value)?;
        Ok(RemoveSubject {
            stream_id: stream::stream_id(members)?,
            subject: subject_member(members)?,
        })
    }
}

impl BulkSubjects {
    /// Reads the body: `add` and `remove`, at least one subject and at most [`MAX_BULK`] in all, no other members. The
    /// pointer of an error leads to the first fault (`/add/3/email`).
    pub fn parse(value: &Value) -> Result<BulkSubjects, Invalid> {
        Self::parse_at_most(value, MAX_BULK)
    }

    /// The same with another limit.
    pub fn parse_at_most(value: &Value, most: usize) -> Result<BulkSubjects, Invalid> {
        let members = problem::object(value)?;
        problem::only_members(members, &["add", "remove"])?;
        let add = subjects(members, "add", 0, most)?;
        let remove = subjects(members, "remove", add.len(), most)?;
        if add.is_empty() && remove.is_empty() {
            return Err(Invalid::here(Problem::Refused(
                "needs at least one subject in add or remove",
            )));
        }
        Ok(BulkSubjects { add, remove })
    }
}

/// The subjects of one member, where so many are there already; the limit in the error is that of the whole request.
fn subjects(members: &Map<String, Value>, name: &str, taken: usize, most: usize) -> Result<Vec<Value>, Invalid> {
    let Some(value) = members.get(name) else {
        return Ok(Vec::new());
    };
    let entries = value
        .as_array()
        .ok_or_else(|| Invalid::at(name, Problem::NotA("an array")))?;
    if entries.len() > most - taken {
        return Err(Invalid::here(Problem::TooMany(most)));
    }
    let read = |(at, entry)| one(entry).map_err(|found| found.under(at).under(name));
    entries.iter().enumerate().map(read).collect()
}

fn subject_member(members: &Map<String, Value>) -> Result<Value, Invalid> {
    problem::optional(members, "subject", one)?.ok_or_else(|| Invalid::at("subject", Problem::Missing))
}

fn one(value: &Value) -> Result<Value, Invalid> {
    let subject = respelled(value);
    subject::validate(&subject)?;
    Ok(subject)
}

/// The subject with RFC 9493's name of its format where the receiver wrote `phone`, as an example in SSF 1.0 does
/// (SSF-8.1.3.3-5): also inside a complex subject and among aliases. Whoever matches subjects can bring an event's into the
/// same spelling. A `phone` with other members than `phone_number` is a format agreed upon, and stays.
pub fn respelled(subject: &Value) -> Value {
    let mut subject = subject.clone();
    respell(&mut subject);
    subject
}

fn respell(value: &mut Value) {
    let Some(members) = value.as_object_mut() else { return };
    match members.get("format").and_then(Value::as_str) {
        Some("phone") if members.len() == 2 && members.contains_key("phone_number") => {
            members.insert("format".to_owned(), json!("phone_number"));
        }
        // The name of the format is no object, so it passes unchanged.
        Some(subject::COMPLEX) => members.values_mut().for_each(respell),
        Some(subject::ALIASES) => {
            let identifiers = members.get_mut("identifiers").and_then(Value::as_array_mut);
            identifiers.into_iter().flatten().for_each(respell);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::mutate;
    use serde_json::json;

    fn email() -> Value {
        json!({"format": "email", "email": "imani.osei@quarry.example"})
    }

    #[test]
    fn a_subject_is_verified_unless_the_receiver_denies_it() {
        // SSF-8.1.3.2-3
        for (body, verified) in [
            (json!({"stream_id": "st-1", "subject": email()}), true),
            (json!({"stream_id": "st-1", "subject": email(), "verified": true}), true),
            (
                json!({"stream_id": "st-1", "subject": email(), "verified": false}),
                false,
            ),
            (json!({"stream_id": "st-1", "subject": email(), "later": 1}), true),
        ] {
            assert_eq!(
                AddSubject::parse(&body),
                Ok(AddSubject {
                    stream_id: "st-1".into(),
                    subject: email(),
                    verified
                }),
                "{body}"
            );
        }
    }

    #[test]
    fn a_removal_needs_no_more_than_stream_and_subject() {
        let body = json!({"stream_id": "st-1", "subject": email(), "verified": "passed over"});
        assert_eq!(
            RemoveSubject::parse(&body),
            Ok(RemoveSubject {
                stream_id: "st-1".into(),
                subject: email()
            })
        );
    }

    #[test]
    fn every_kind_of_subject_can_be_named() {
        for (given, kept) in [
            (
                json!({"format": "iss_sub", "iss": "https://a.example", "sub": "1"}),
                None,
            ),
            (
                json!({"format": "complex", "tenant": {"format": "opaque", "id": "t"}, "user": email()}),
                None,
            ),
            (json!({"format": "aliases", "identifiers": [email()]}), None),
            // SSF-3.4-1: agreed between the parties
            (json!({"format": "quarry-badge", "badge": {"no": 7}}), None),
            (json!({"format": "phone", "number": "0151"}), None),
            (
                json!({"format": "phone", "phone_number": "+15550100", "ext": "1"}),
                None,
            ),
            // SSF-8.1.3.3-5
            (
                json!({"format": "phone", "phone_number": "+15550100"}),
                Some(json!({"format": "phone_number", "phone_number": "+15550100"})),
            ),
            (
                json!({"format": "complex", "user": {"format": "phone", "phone_number": "+15550100"}, "device": {"format": "opaque", "id": "d"}}),
                Some(
                    json!({"format": "complex", "user": {"format": "phone_number", "phone_number": "+15550100"}, "device": {"format": "opaque", "id": "d"}}),
                ),
            ),
            (
                json!({"format": "aliases", "identifiers": [email(), {"format": "phone", "phone_number": "+15550100"}]}),
                Some(
                    json!({"format": "aliases", "identifiers": [email(), {"format": "phone_number", "phone_number": "+15550100"}]}),
                ),
            ),
        ] {
            let kept = kept.unwrap_or_else(|| given.clone());
            let body = json!({"stream_id": "st-1", "subject": given});
            assert_eq!(
                AddSubject::parse(&body).map(|request| request.subject).as_ref(),
                Ok(&kept),
                "{given}"
            );
            assert_eq!(
                RemoveSubject::parse(&body).map(|request| request.subject).as_ref(),
                Ok(&kept),
                "{given}"
            );
            let bulk = BulkSubjects::parse(&json!({"add": [given], "remove": [given]}));
            assert_eq!(
                bulk,
                Ok(BulkSubjects {
                    add: vec![kept.clone()],
                    remove: vec![kept]
                }),
                "{given}"
            );
        }
    }

    #[test]
    fn faults_of_a_receiver_are_found_and_placed() {
        use Problem::{Missing, NotA, Refused, TooLong, UnknownMember};
        // SSF-8.1.3.2-6
        for (body, pointer, problem) in [
            (json!([]), "", NotA("an object")),
            (json!({"subject": email()}), "/stream_id", Missing),
            (
                json!({"stream_id": {}, "subject": email()}),
                "/stream_id",
                NotA("a string"),
            ),
            (
                json!({"stream_id": "a".repeat(257), "subject": email()}),
                "/stream_id",
                TooLong(256),
            ),
            (json!({"stream_id": "st-1"}), "/subject", Missing),
            (
                json!({"stream_id": "st-1", "subject": null}),
                "/subject",
                NotA("an object"),
            ),
            (
                json!({"stream_id": "st-1", "subject": "a@b.example"}),
                "/subject",
                NotA("an object"),
            ),
            (
                json!({"stream_id": "st-1", "subject": {"email": "a@b.example"}}),
                "/subject/format",
                Missing,
            ),
            (
                json!({"stream_id": "st-1", "subject": {"format": "email"}}),
                "/subject/email",
                Missing,
            ),
            (
                json!({"stream_id": "st-1", "subject": {"format": "email", "email": "a@b.example", "name": "A"}}),
                "/subject/name",
                UnknownMember,
            ),
            (
                json!({"stream_id": "st-1", "subject": {"format": "complex", "user": {"format": "opaque"}}}),
                "/subject/user/id",
                Missing,
            ),
            (
                json!({"stream_id": "st-1", "subject": {"format": "phone", "phone_number": "0151"}}),
                "/subject/phone_number",
                Refused("must be + and up to 15 digits (E.164)"),
            ),
        ] {
            let expected = Invalid {
                pointer: pointer.into(),
                problem,
            };
            assert_eq!(AddSubject::parse(&body).as_ref(), Err(&expected), "{body}");
            assert_eq!(RemoveSubject::parse(&body), Err(expected), "{body}");
        }
        for verified in [json!("true"), json!(1), json!(null)] {
            let body = json!({"stream_id": "st-1", "subject": email(), "verified": verified});
            assert_eq!(
                AddSubject::parse(&body),
                Err(Invalid::at("verified", NotA("a boolean"))),
                "{body}"
            );
        }
    }

    #[test]
    fn faults_of_the_operator_are_found_and_placed() {
        use Problem::{Missing, NotA, Refused, TooMany, UnknownMember};
        let nothing = || Refused("needs at least one subject in add or remove");
        for (body, pointer, problem) in [
            (json!([email()]), "", NotA("an object")),
            (json!({}), "", nothing()),
            (json!({"add": [], "remove": []}), "", nothing()),
            (
                json!({"add": [email()], "stream_id": "st-1"}),
                "/stream_id",
                UnknownMember,
            ),
            (json!({"add": email()}), "/add", NotA("an array")),
            (json!({"remove": null}), "/remove", NotA("an array")),
            (
                json!({"add": [email(), email(), email(), {"format": "email"}]}),
                "/add/3/email",
                Missing,
            ),
            (
                json!({"add": [email()], "remove": [email(), 1]}),
                "/remove/1",
                NotA("an object"),
            ),
            (json!({"add": vec![email(); 1001]}), "", TooMany(1000)),
            (
                json!({"add": vec![email(); 600], "remove": vec![email(); 401]}),
                "",
                TooMany(1000),
            ),
        ] {
            let pointer = pointer.to_owned();
            assert_eq!(BulkSubjects::parse(&body), Err(Invalid { pointer, problem }), "{body}");
        }
        let most = json!({"add": vec![email(); 600], "remove": vec![email(); 400]});
        let read = BulkSubjects::parse(&most).map(|bulk| (bulk.add.len(), bulk.remove.len()));
        assert_eq!(read, Ok((600, 400)));
    }

    /// What is accepted is a valid subject in its last spelling.
    #[test]
    fn no_body_upsets_the_parsers() {
        let seeds = [
            r#"{"stream_id":"st-1","subject":{"format":"phone","phone_number":"+15550100"},"verified":true}"#,
            r#"{"stream_id":"st-1","subject":{"format":"complex","user":{"format":"aliases","identifiers":[{"format":"opaque","id":"1"}]}}}"#,
        ];
        let mut accepted = 0;
        for bytes in mutate::variants(&seeds, 20_000) {
            let Ok(body) = serde_json::from_slice::<Value>(&bytes) else {
                continue;
            };
            let removed = RemoveSubject::parse(&body);
            if let Ok(request) = AddSubject::parse(&body) {
                accepted += 1;
                assert_eq!(subject::validate(&request.subject), Ok(()), "{body}");
                assert_eq!(respelled(&request.subject), request.subject, "{body}");
                assert_eq!(
                    removed.map(|removed| removed.subject).as_ref(),
                    Ok(&request.subject),
                    "{body}"
                );
            }
        }
        assert!(accepted > 500, "the seeds are no longer near the rules: {accepted}");
    }
}
