//! The rows of the status-code matrix.

use super::matrix::By::{Forger, Full, Nobody, Owner, Publisher, Reader};
use super::matrix::On::{
    self, Busy, Deleted, Disabled, Gone, OtherClients, OtherTenants, Own, Paused, Unknown, Verified,
};
use super::matrix::Operation::{
    self, AddSubject, Create, Delete, List, Metadata, Read, ReadStatus, RemoveSubject, Replace, SetStatus, Update,
    Verify,
};
use super::matrix::With::{self, Body, Good, Query};
use super::matrix::{By, How, Row};

const fn row(operation: Operation, status: u16, by: By, on: On, with: With) -> Row {
    let how = How::Sent(by, on, with, None);
    Row { operation, status, how }
}

/// A 400 that names the place that is wrong.
const fn wrong(operation: Operation, on: On, body: &'static str, pointer: &'static str) -> Row {
    let how = How::Sent(Owner, on, Body(body), Some(pointer));
    Row {
        operation,
        status: 400,
        how,
    }
}

const fn never(operation: Operation, status: u16, why: &'static str) -> Row {
    let how = How::Never(why);
    Row { operation, status, how }
}

const NO_JSON: With = Body(r#"{"stream_id":"STREAM""#);
const TWICE: With = Body(r#"{"stream_id":"STREAM","stream_id":"STREAM"}"#);
const AT_ONCE: &str = "a change is stored before it is answered, so there is nothing to learn later";

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row(Metadata, 200, Nobody, Own, Good),

    row(Create, 201, Owner, Own, Good),
    row(Create, 201, Owner, Own, Body("{}")), // SSF-8.1.1.1-7
    row(Create, 400, Owner, Own, Body("{")),
    row(Create, 400, Owner, Own, Body(r#"{"description":"a","description":"b"}"#)),
    wrong(Create, Own, r#"{"delivery":{"method":"push"}}"#, "/delivery/method"), // SSF-8.1.1.1-14
    wrong(Create, Own, r#"{"delivery":{"method":"urn:ietf:rfc:8935"}}"#, "/delivery/endpoint_url"),
    wrong(Create, Own, r#"{"delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"https://elsewhere.example/"}}"#, "/delivery/endpoint_url"),
    wrong(Create, Own, r#"{"stream_id":"STREAM"}"#, "/stream_id"), // SSF-8.1.1.1-13
    row(Create, 401, Nobody, Own, Good),
    row(Create, 401, Forger, Own, Good),
    row(Create, 403, Reader, Own, Good),
    row(Create, 403, Publisher, Own, Good),
    row(Create, 409, Full, Own, Good), // SSF-8.1.1.1-5

    row(Read, 200, Owner, Own, Good),
    row(Read, 401, Nobody, Own, Good),
    row(Read, 401, Forger, Own, Good),
    row(Read, 403, Publisher, Own, Good),
    row(Read, 404, Owner, Unknown, Good),
    row(Read, 404, Owner, Deleted, Good),
    row(Read, 404, Owner, OtherClients, Good),
    row(Read, 404, Owner, OtherTenants, Good),
    row(Read, 404, Reader, Own, Good), // SSF-8-5
    row(Read, 404, Owner, Own, Query("?stream_id=")), // SSF-8.1.1.2-6

    row(List, 200, Owner, Own, Good),
    row(List, 200, Reader, Own, Good), // SSF-8.1.1.2-5: it has none
    row(List, 401, Nobody, Own, Good),
    row(List, 401, Forger, Own, Good),
    row(List, 403, Publisher, Own, Good),

    row(Update, 200, Owner, Own, Good),
    row(Update, 200, Owner, Paused, Good),
    row(Update, 200, Owner, Disabled, Good),
    row(Update, 200, Owner, Own, Body(r#"{"stream_id":"STREAM"}"#)),
    never(Update, 202, AT_ONCE),
    row(Update, 400, Owner, Own, NO_JSON),
    row(Update, 400, Owner, Own, TWICE),
    wrong(Update, Own, r#"{"description":"no id"}"#, "/stream_id"), // SSF-8.1.1.3-3
    wrong(Update, Own, r#"{"stream_id":"STREAM","aud":"https://rival.example"}"#, "/aud"), // SSF-8.1.1.3-7
    wrong(Update, Own, r#"{"stream_id":"STREAM","description":null}"#, "/description"), // SSF-8.1.1.3-12
    row(Update, 401, Nobody, Own, Good),
    row(Update, 401, Forger, Own, Good),
    row(Update, 403, Reader, Own, Good),
    row(Update, 403, Publisher, Own, Good),
    row(Update, 404, Owner, Unknown, Good),
    row(Update, 404, Owner, Deleted, Good),
    row(Update, 404, Owner, OtherClients, Good),
    row(Update, 404, Owner, OtherTenants, Good),

    row(Replace, 200, Owner, Own, Good),
    row(Replace, 200, Owner, Paused, Good),
    row(Replace, 200, Owner, Disabled, Good),
    row(Replace, 200, Owner, Own, Body(r#"{"stream_id":"STREAM"}"#)), // SSF-8.1.1.4-8
    never(Replace, 202, AT_ONCE),
    row(Replace, 400, Owner, Own, NO_JSON),
    row(Replace, 400, Owner, Own, TWICE),
    wrong(Replace, Own, r#"{"delivery":{"method":"urn:ietf:rfc:8936"}}"#, "/stream_id"), // SSF-8.1.1.4-3
    wrong(Replace, Own, r#"{"stream_id":"STREAM","iss":"https://rival.example"}"#, "/iss"), // SSF-8.1.1.4-7
    wrong(Replace, Own, r#"{"stream_id":"STREAM","events_requested":null}"#, "/events_requested"),
    row(Replace, 401, Nobody, Own, Good),
    row(Replace, 401, Forger, Own, Good),
    row(Replace, 403, Reader, Own, Good),
    row(Replace, 403, Publisher, Own, Good),
    row(Replace, 404, Owner, Unknown, Good),
    row(Replace, 404, Owner, Deleted, Good),
    row(Replace, 404, Owner, OtherClients, Good),
    row(Replace, 404, Owner, OtherTenants, Good),

    row(Delete, 204, Owner, Own, Good),
    row(Delete, 204, Owner, Paused, Good),
    row(Delete, 204, Owner, Disabled, Good),
    row(Delete, 400, Owner, Own, Query("")), // SSF-8.1.1.5-3
    row(Delete, 400, Owner, Own, Query("?stream_id=a&stream_id=b")),
    row(Delete, 401, Nobody, Own, Good),
    row(Delete, 401, Forger, Own, Good),
    row(Delete, 403, Reader, Own, Good),
    row(Delete, 403, Publisher, Own, Good),
    row(Delete, 404, Owner, Unknown, Good),
    row(Delete, 404, Owner, Deleted, Good), // SSF-8.1.1.5-4
    row(Delete, 404, Owner, OtherClients, Good),
    row(Delete, 404, Owner, OtherTenants, Good),

    row(ReadStatus, 200, Owner, Own, Good),
    row(ReadStatus, 200, Owner, Paused, Good),
    row(ReadStatus, 200, Owner, Disabled, Good),
    row(ReadStatus, 400, Owner, Own, Query("")), // SSF-8.1.2.1-9
    row(ReadStatus, 400, Owner, Own, Query("?stream_id=a&stream_id=b")),
    row(ReadStatus, 401, Nobody, Own, Good), // SSF-8.1.2.1-6
    row(ReadStatus, 401, Forger, Own, Good),
    row(ReadStatus, 403, Publisher, Own, Good), // SSF-8.1.2.1-7
    row(ReadStatus, 404, Owner, Unknown, Good), // SSF-8.1.2.1-8
    row(ReadStatus, 404, Owner, Deleted, Good),
    row(ReadStatus, 404, Owner, OtherClients, Good),
    row(ReadStatus, 404, Owner, OtherTenants, Good),
    row(ReadStatus, 404, Owner, Own, Query("?stream_id=")),

    row(SetStatus, 200, Owner, Own, Good),
    row(SetStatus, 200, Owner, Disabled, Good),
    row(SetStatus, 200, Owner, Paused, Body(r#"{"stream_id":"STREAM","status":"disabled"}"#)),
    row(SetStatus, 202, Owner, Gone, Good), // SSF-8.1.2.2-3: the endpoint has to be asked first
    row(SetStatus, 400, Owner, Own, NO_JSON),
    row(SetStatus, 400, Owner, Own, TWICE),
    wrong(SetStatus, Own, r#"{"status":"paused"}"#, "/stream_id"),
    wrong(SetStatus, Own, r#"{"stream_id":"STREAM"}"#, "/status"),
    wrong(SetStatus, Own, r#"{"stream_id":"STREAM","status":"Paused"}"#, "/status"), // SSF-8.1.2.2-4
    wrong(SetStatus, Own, r#"{"stream_id":"STREAM","status":"paused","reason":1}"#, "/reason"),
    row(SetStatus, 401, Nobody, Own, Good),
    row(SetStatus, 401, Forger, Own, Good),
    row(SetStatus, 403, Reader, Own, Good),
    row(SetStatus, 403, Publisher, Own, Good),
    row(SetStatus, 403, Owner, Paused, Good), // SSF-8.1.2.2-5
    row(SetStatus, 404, Owner, Unknown, Good),
    row(SetStatus, 404, Owner, Deleted, Good),
    row(SetStatus, 404, Owner, OtherClients, Good),
    row(SetStatus, 404, Owner, OtherTenants, Good),

    row(AddSubject, 200, Owner, Own, Good),
    row(AddSubject, 200, Owner, Disabled, Good),
    row(AddSubject, 200, Owner, Own, Body(r#"{"stream_id":"STREAM","subject":{"format":"opaque","id":"STREAM"}}"#)),
    row(AddSubject, 400, Owner, Own, NO_JSON),
    row(AddSubject, 400, Owner, Own, TWICE),
    wrong(AddSubject, Own, r#"{"subject":{"format":"opaque","id":"1"}}"#, "/stream_id"),
    wrong(AddSubject, Own, r#"{"stream_id":"STREAM"}"#, "/subject"), // SSF-8.1.3.2-6
    wrong(AddSubject, Own, r#"{"stream_id":"STREAM","subject":"ana@example.com"}"#, "/subject"),
    wrong(AddSubject, Own, r#"{"stream_id":"STREAM","subject":{"email":"ana@example.com"}}"#, "/subject/format"),
    wrong(AddSubject, Own, r#"{"stream_id":"STREAM","subject":{"format":"email"}}"#, "/subject/email"),
    wrong(AddSubject, Own, r#"{"stream_id":"STREAM","subject":{"format":"opaque","id":"1"},"verified":"yes"}"#, "/verified"),
    row(AddSubject, 401, Nobody, Own, Good),
    row(AddSubject, 401, Forger, Own, Good),
    row(AddSubject, 403, Reader, Own, Good),
    row(AddSubject, 403, Publisher, Own, Good),
    row(AddSubject, 404, Owner, Unknown, Good),
    row(AddSubject, 404, Owner, Deleted, Good),
    row(AddSubject, 404, Owner, OtherClients, Good),
    row(AddSubject, 404, Owner, OtherTenants, Good),
    row(AddSubject, 429, Owner, Busy, Good),

    row(RemoveSubject, 204, Owner, Own, Good), // SSF-8.1.3.3-2: it was never added
    row(RemoveSubject, 204, Owner, Disabled, Good),
    row(RemoveSubject, 400, Owner, Own, NO_JSON),
    row(RemoveSubject, 400, Owner, Own, TWICE),
    wrong(RemoveSubject, Own, r#"{"subject":{"format":"opaque","id":"1"}}"#, "/stream_id"),
    wrong(RemoveSubject, Own, r#"{"stream_id":"STREAM"}"#, "/subject"),
    wrong(RemoveSubject, Own, r#"{"stream_id":"STREAM","subject":{"format":"opaque"}}"#, "/subject/id"),
    row(RemoveSubject, 401, Nobody, Own, Good),
    row(RemoveSubject, 401, Forger, Own, Good),
    row(RemoveSubject, 403, Reader, Own, Good),
    row(RemoveSubject, 403, Publisher, Own, Good),
    row(RemoveSubject, 403, Owner, Own, Body(r#"{"stream_id":"STREAM","subject":{"format":"opaque","id":"STREAM"}}"#)), // SSF-8.1.3.3-4
    row(RemoveSubject, 404, Owner, Unknown, Good),
    row(RemoveSubject, 404, Owner, Deleted, Good),
    row(RemoveSubject, 404, Owner, OtherClients, Good),
    row(RemoveSubject, 404, Owner, OtherTenants, Good),
    row(RemoveSubject, 429, Owner, Busy, Good),

    row(Verify, 204, Owner, Own, Good),
    row(Verify, 204, Owner, Paused, Good), // SSF-8.1.4.2-9
    row(Verify, 204, Owner, Own, Body(r#"{"stream_id":"STREAM"}"#)),
    row(Verify, 400, Owner, Own, NO_JSON),
    row(Verify, 400, Owner, Own, TWICE),
    wrong(Verify, Disabled, r#"{"stream_id":"STREAM","state":"v-9c41e2"}"#, ""), // SSF-8.1.4.2-9
    wrong(Verify, Own, r#"{"state":"v-9c41e2"}"#, "/stream_id"),
    wrong(Verify, Own, r#"{"stream_id":"STREAM","state":null}"#, "/state"),
    row(Verify, 401, Nobody, Own, Good),
    row(Verify, 401, Forger, Own, Good),
    row(Verify, 403, Reader, Own, Good),
    row(Verify, 403, Publisher, Own, Good),
    row(Verify, 404, Owner, Unknown, Good),
    row(Verify, 404, Owner, Deleted, Good),
    row(Verify, 404, Owner, OtherClients, Good),
    row(Verify, 404, Owner, OtherTenants, Good),
    row(Verify, 429, Owner, Verified, Good), // SSF-8.1.1-11
];
