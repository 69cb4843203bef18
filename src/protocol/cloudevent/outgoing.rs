//! Writing CloudEvents. An event is written once, in the JSON format; the other content modes are made of those bytes, so that
//! all attempts and all modes say the same (CE-4-10).

use serde_json::Value;

use super::{header, timestamp};
use crate::protocol::json::{append, parse_strict};

/// What stands between the attributes and the data. No text in JSON can hold it: its quotes would have a backslash.
const DATA: &[u8] = br#","datacontenttype":"application/json","data":"#;

/// An event about to be stored.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    pub id: &'a str,
    pub source: &'a str,
    /// The event type's URI.
    pub event_type: &'a str,
    /// Seconds since 1970.
    pub time_s: i64,
    /// Its number in the stream, by which receivers can tell that none is missing (CE-1-10).
    pub sequence: Option<u64>,
    pub traceparent: Option<&'a str>,
    pub tracestate: Option<&'a str>,
    /// As JSON.
    pub sub_id: &'a str,
    /// As JSON.
    pub event: &'a str,
    pub txn: Option<&'a str>,
}

impl Outgoing<'_> {
    /// The event as a JSON document: what is stored, and sent in structured mode.
    pub fn to_structured(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + self.sub_id.len() + self.event.len());
        append(&mut out, br#"{"specversion":"1.0","id":"#, self.id);
        append(&mut out, br#","source":"#, self.source);
        append(&mut out, br#","type":"#, self.event_type);
        append(&mut out, br#","time":"#, timestamp::format(self.time_s).as_str());
        if let Some(sequence) = self.sequence {
            // Of one length, because receivers compare it as text.
            append(&mut out, br#","sequence":"#, format!("{sequence:020}").as_str());
        }
        if let Some(traceparent) = self.traceparent {
            append(&mut out, br#","traceparent":"#, traceparent);
        }
        if let Some(tracestate) = self.tracestate {
            append(&mut out, br#","tracestate":"#, tracestate);
        }
        out.extend_from_slice(DATA);
        out.extend_from_slice(br#"{"sub_id":"#);
        out.extend_from_slice(self.sub_id.as_bytes());
        out.extend_from_slice(br#","event":"#);
        out.extend_from_slice(self.event.as_bytes());
        if let Some(txn) = self.txn {
            append(&mut out, br#","txn":"#, txn);
        }
        out.extend_from_slice(b"}}");
        out
    }
}

/// Names in lower case, and values.
pub type Headers = Vec<(String, String)>;

/// The same event in binary mode: its headers, `content-type` among them, and its body (CE-3.1-1, CE-3.1-2). `None` for what
/// [`Outgoing::to_structured`] did not write.
pub fn to_binary(structured: &[u8]) -> Option<(Headers, Vec<u8>)> {
    let at = structured.windows(DATA.len()).position(|window| window == DATA)?;
    let (attributes, rest) = structured.split_at_checked(at)?;
    let body = rest.strip_prefix(DATA)?.strip_suffix(b"}")?;
    let Ok(Value::Object(attributes)) = parse_strict(&[attributes, b"}"].concat(), 1) else {
        return None;
    };
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    for (name, value) in &attributes {
        headers.push((format!("ce-{name}"), header::encode(value.as_str()?)));
    }
    Some((headers, body.to_vec()))
}

/// Several events in batched mode (CE-3.3-1).
pub fn to_batch(events: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![b'['];
    for (at, event) in events.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(event);
    }
    out.push(b']');
    out
}
