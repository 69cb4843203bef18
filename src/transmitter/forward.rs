//! A stream that hands on what a source of ours received. It is in no route and no client's: its events come from the source,
//! are kept as they came, and get their form when they leave.

use serde_json::Value;

use crate::protocol::cloudevent::{ContentMode, Outgoing};
use crate::protocol::forward::{Form, split};
use crate::protocol::received::Received;
use crate::protocol::set::Audience;
use crate::protocol::status::Status;
use crate::protocol::stream::{CloudEvents, Configuration, Delivery};
use crate::transmitter::grant::Grant;
use crate::transmitter::status::Wishes;
use crate::transmitter::stream::{Choices, Stream};
use crate::transmitter::terms::Terms;

/// What a new one is made of.
#[derive(Debug, Clone, Copy)]
pub struct New<'a> {
    pub stream_id: &'a str,
    pub tenant: &'a str,
    pub source_id: &'a str,
    pub issuer: &'a str,
    pub endpoint_url: &'a str,
    pub form: Form,
}

impl New<'_> {
    pub fn stream(&self, terms: Terms, now: u64) -> Stream {
        let configuration = Configuration {
            stream_id: self.stream_id.to_owned(),
            iss: self.issuer.to_owned(),
            aud: Audience::One(self.source_id.to_owned()),
            delivery: delivery(self.endpoint_url, self.form),
            events_supported: Vec::new(),
            events_delivered: Vec::new(),
            events_requested: Some(Vec::new()),
            description: Some(format!("What source {} received", self.source_id)),
            min_verification_interval: None,
            inactivity_timeout: None,
        };
        Stream {
            tenant: self.tenant.to_owned(),
            client_id: self.source_id.to_owned(),
            configuration,
            sealed_authorization: None,
            webhook_secrets: Vec::new(),
            terms,
            wishes: Wishes::default(),
            announced: Status::Enabled,
            default_subjects: None,
            choices: Choices::default(),
            forward: Some(self.form),
            grant: Grant::default(),
            full_since: None,
            created_at: now,
            rev: 1,
        }
    }
}

/// How a stream of this form is delivered.
pub fn delivery(endpoint_url: &str, form: Form) -> Delivery {
    Delivery::Push {
        endpoint_url: endpoint_url.to_owned(),
        authorization_header: None,
        cloudevents: (form == Form::Cloudevent).then_some(CloudEvents {
            mode: ContentMode::Structured,
            max_events: None,
            max_bytes: None,
        }),
    }
}

/// A stored event in the form that it leaves in.
pub fn body(stored: &[u8], form: Form) -> Vec<u8> {
    let Some((sequence, claims)) = split(stored) else {
        return stored.to_vec();
    };
    let received = match form {
        Form::Claims => None,
        Form::Cloudevent => Received::of_claims(claims.to_vec()),
    };
    let Some(received) = received else {
        return claims.to_vec();
    };
    Outgoing {
        id: &received.jti,
        source: &received.iss,
        event_type: &received.event_type,
        time_s: received.toe.or(received.iat).unwrap_or(0),
        sequence: Some(sequence),
        traceparent: None,
        tracestate: None,
        sub_id: &received.sub_id.to_string(),
        event: &received.event.to_string(),
        txn: received.txn.as_deref(),
    }
    .to_structured()
}

/// The claims in a stored event of any stream, for whoever looks at it.
pub fn shown(stored: &[u8]) -> Option<Value> {
    let claims = split(stored).map_or(stored, |(_, claims)| claims);
    serde_json::from_slice(claims).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::forward::numbered;
    use serde_json::json;

    const TYPE: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

    #[test]
    fn an_event_leaves_as_its_claims_or_as_a_cloudevent_of_its_issuer() {
        let claims = format!(
            r#"{{"iss": "https://idp.example", "jti":"j", "iat": 60, "aud":"a", "sub_id":{{"format":"opaque","id":"1"}}, "events":{{"{TYPE}":{{"b":1,"a":2}}}}, "vendor": [1.0]}}"#
        );
        let stored = numbered(7, &claims);
        assert_eq!(body(&stored, Form::Claims), claims.as_bytes(), "byte for byte");
        let event: Value = serde_json::from_slice(&body(&stored, Form::Cloudevent)).unwrap();
        assert_eq!(
            event,
            json!({"specversion": "1.0", "id": "j", "source": "https://idp.example", "type": TYPE,
                   "time": "1970-01-01T00:01:00Z", "sequence": "00000000000000000007",
                   "datacontenttype": "application/json",
                   "data": {"sub_id": {"format": "opaque", "id": "1"}, "event": {"a": 2, "b": 1}}})
        );
        assert_eq!(shown(&stored).unwrap()["jti"], json!("j"));
        assert_eq!(shown(claims.as_bytes()), shown(&stored));
    }
}
