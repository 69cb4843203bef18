//! A stream as its object keeps it, and how published events become its items.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::delivery::chunk::NewItem;
use crate::delivery::meta::{self, Migration};
use crate::delivery::outbox;
use crate::delivery::sql::{Sql, SqlError};
use crate::protocol::event::publish::NewEvent;
use crate::protocol::json::canonical;
use crate::protocol::record;
use crate::protocol::set::{Envelope, content_hash, jti_for, jti_text};
use crate::protocol::stream::Configuration;
use crate::protocol::subject;

/// The schema of a stream object, oldest first.
pub const MIGRATIONS: &[Migration] = &[outbox::FIRST_SCHEMA, RUN_SCHEMA];

/// Until when the alarm run that is under way, if any, may take. Read by the watchdog only.
const RUN_SCHEMA: Migration = &[
    "CREATE TABLE run (one INTEGER PRIMARY KEY CHECK (one = 1), until INTEGER NOT NULL)",
    "INSERT INTO run VALUES (1, 0)",
];

/// A stream, all but its outbox. The receiver's secret is only here in sealed form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    pub tenant: String,
    pub client_id: String,
    pub configuration: Configuration,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_authorization: Option<String>,
    /// Unix milliseconds.
    pub created_at: u64,
    /// Grows with every change; a copy with a smaller one is stale.
    pub rev: u64,
}

impl Stream {
    /// Writes the stream down, creating the tables in an empty object.
    pub fn save(&self, sql: &dyn Sql) -> Result<(), SqlError> {
        meta::migrate(sql, MIGRATIONS)?;
        let text = serde_json::to_string(self).map_err(|error| SqlError::corrupt("stream", error))?;
        meta::set(sql, "stream", &text)
    }

    /// The stream of this object, or `None` when it was never created or is deleted.
    pub fn load(sql: &dyn Sql) -> Result<Option<Self>, SqlError> {
        if !meta::exists(sql)? {
            return Ok(None);
        }
        meta::migrate(sql, MIGRATIONS)?;
        meta::get(sql, "stream")?
            .map(|text| record::read(&text).map_err(|error| SqlError::corrupt("stream", error)))
            .transpose()
    }

    /// The events this stream carries, with their place in the batch, as items with their final claims. `iat` is the moment
    /// of acceptance, in seconds: it and the `jti` stay the same on every attempt.
    pub fn items(&self, events: &[Published], iat: i64) -> Vec<(usize, NewItem)> {
        let carried = events.iter().enumerate().filter(|(_, event)| self.wants(event));
        carried.map(|(index, event)| (index, self.item(event, iat))).collect()
    }

    /// Whether the type is delivered on this stream. An event is judged once, when it is accepted.
    fn wants(&self, event: &Published) -> bool {
        self.configuration.events_delivered.contains(&event.event_type)
    }

    fn item(&self, event: &Published, iat: i64) -> NewItem {
        let configuration = &self.configuration;
        let jti = jti_for(&configuration.stream_id, &event.source, &event.id);
        let claims = Envelope {
            iss: &configuration.iss,
            jti: &jti_text(&jti),
            iat,
            aud: &configuration.aud,
            txn: Some(&event.txn),
            toe: event.toe,
            sub_id: &event.sub_id,
            event_type: &event.event_type,
            event: &event.event,
        }
        .to_claims();
        NewItem {
            jti,
            content: event.content,
            lane: subject::lane_key(&event.sub_id),
            claims,
        }
    }
}

/// An accepted event on its way to the streams, the same for each of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Published {
    /// Whose `id` it is.
    pub source: String,
    /// The publisher's id, or a random one: then a retry is another event.
    pub id: String,
    #[serde(rename = "type")]
    pub event_type: String,
    pub sub_id: Value,
    pub event: Value,
    pub txn: String,
    /// Seconds since 1970.
    pub toe: Option<i64>,
    /// What tells a harmless retry from another event under the same id.
    pub content: [u8; 8],
}

/// Longest event, written out with its subject: a SET beyond this is more than receivers take (CE-1-8).
pub const MAX_EVENT_BYTES: usize = 64 * 1024;

/// An event is longer than [`MAX_EVENT_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is longer than {MAX_EVENT_BYTES} bytes")]
pub struct TooLarge;

impl Published {
    /// Completes what a publisher sent. `random` stands in for a missing id. Without a `txn` of the publisher's, one is
    /// derived, so that the SETs of one event carry the same on all streams (SSF-4.1.9-1, SSF-4.1.9-2).
    pub fn new(event: NewEvent, source: &str, random: String) -> Result<Self, TooLarge> {
        let content = canonical(&json!([
            event.event_type,
            event.sub_id,
            event.event,
            event.txn,
            event.toe
        ]));
        if content.len() > MAX_EVENT_BYTES {
            return Err(TooLarge);
        }
        let id = event.id.unwrap_or(random);
        let txn = event.txn.unwrap_or_else(|| jti_text(&jti_for("txn", source, &id)));
        Ok(Self {
            source: source.to_owned(),
            id,
            event_type: event.event_type,
            sub_id: event.sub_id,
            event: event.event,
            txn,
            toe: event.toe,
            content: content_hash(content.as_bytes()),
        })
    }
}

/// Notes until when the run that begins may take: one row.
pub fn begin_run(sql: &dyn Sql, until: u64) -> Result<(), SqlError> {
    sql.exec("UPDATE run SET until = ? WHERE one = 1", &[(until as i64).into()])
        .map(|_| ())
}

/// Until when the last run that began may take, in Unix milliseconds; 0 when there was none.
pub fn run_until(sql: &dyn Sql) -> Result<u64, SqlError> {
    let rows = sql.exec("SELECT until FROM run", &[])?;
    rows.first()
        .map_or(Ok(0), |row| Ok(u64::try_from(row.int(0)?).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::sql::testing::TestSql;
    use crate::protocol::set::{Audience, Claims};
    use crate::protocol::stream::Delivery;

    const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
    const CHANGED: &str = "https://schemas.openid.net/secevent/caep/event-type/credential-change";

    fn stream() -> Stream {
        Stream {
            tenant: "default".into(),
            client_id: "c1".into(),
            configuration: Configuration {
                stream_id: "s1".into(),
                iss: "https://tx.example".into(),
                aud: Audience::One("https://rx.example".into()),
                delivery: Delivery::Push {
                    endpoint_url: "https://rx.example/in".into(),
                    authorization_header: None,
                },
                events_supported: vec![REVOKED.into(), CHANGED.into()],
                events_requested: None,
                events_delivered: vec![REVOKED.into()],
                description: None,
                min_verification_interval: None,
                inactivity_timeout: None,
            },
            sealed_authorization: Some("sealed".into()),
            created_at: 5,
            rev: 1,
        }
    }

    fn event(event_type: &str, id: Option<&str>) -> NewEvent {
        NewEvent {
            id: id.map(Into::into),
            event_type: event_type.into(),
            sub_id: json!({"format": "email", "email": "ana@example.com"}),
            event: json!({}),
            txn: None,
            toe: Some(7),
        }
    }

    #[test]
    fn a_stream_is_what_was_saved_and_an_empty_object_has_none() {
        let sql = TestSql::default();
        assert_eq!(Stream::load(&sql).unwrap(), None);
        assert_eq!(sql.take_written_rows(), 0);
        stream().save(&sql).unwrap();
        assert_eq!(Stream::load(&sql).unwrap(), Some(stream()));
    }

    /// SSF-4.1.6-1, SSF-4.2.1-4, SSF-4.1.9-1: the envelope of a published event.
    #[test]
    fn events_of_other_types_are_left_out_and_the_rest_become_sets() {
        let published: Vec<_> = [event(CHANGED, Some("b")), event(REVOKED, Some("a"))]
            .into_iter()
            .map(|event| Published::new(event, "pub", "r".into()).unwrap())
            .collect();
        let items = stream().items(&published, 99);
        assert_eq!(items.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1]);
        let item = &items[0].1;
        let claims = Claims::parse(&item.claims).unwrap();
        assert_eq!(claims.iss, "https://tx.example");
        assert_eq!(claims.aud, Audience::One("https://rx.example".into()));
        assert_eq!((claims.iat, claims.toe), (99, Some(7)));
        assert_eq!(claims.event_type, REVOKED);
        assert_eq!(claims.jti, jti_text(&item.jti));
        assert!(claims.txn.is_some());
    }

    #[test]
    fn a_retry_makes_the_same_jti_and_content_and_a_change_another_content() {
        let once = |event: NewEvent, random: &str| {
            stream()
                .items(&[Published::new(event, "pub", random.into()).unwrap()], 1)
                .remove(0)
                .1
        };
        let first = once(event(REVOKED, Some("a")), "r1");
        let again = once(event(REVOKED, Some("a")), "r2");
        assert_eq!((first.jti, first.content), (again.jti, again.content));
        let mut other = event(REVOKED, Some("a"));
        other.toe = Some(8);
        let other = once(other, "r3");
        assert_eq!(first.jti, other.jti);
        assert_ne!(first.content, other.content);
        assert_ne!(
            once(event(REVOKED, None), "r1").jti,
            once(event(REVOKED, None), "r2").jti
        );
        let elsewhere = stream()
            .items(
                &[Published::new(event(REVOKED, Some("a")), "other", "r".into()).unwrap()],
                1,
            )
            .remove(0)
            .1;
        assert_ne!(first.jti, elsewhere.jti, "ids of different publishers do not meet");
    }

    #[test]
    fn an_event_that_grows_too_long_when_written_out_is_refused() {
        let mut long = event(REVOKED, None);
        long.event = json!({"a": "x".repeat(MAX_EVENT_BYTES)});
        assert_eq!(Published::new(long, "pub", "r".into()), Err(TooLarge));
        let mut grows = event(REVOKED, None);
        grows.event = serde_json::from_str(&format!("[{}1]", "1e15,".repeat(6_000))).unwrap();
        assert_eq!(Published::new(grows, "pub", "r".into()), Err(TooLarge));
    }

    #[test]
    fn the_run_row_tells_how_long_a_run_may_take() {
        let sql = TestSql::default();
        stream().save(&sql).unwrap();
        assert_eq!(run_until(&sql).unwrap(), 0);
        sql.take_written_rows();
        begin_run(&sql, 1_795_262_400_000).unwrap();
        assert_eq!(run_until(&sql).unwrap(), 1_795_262_400_000);
        assert_eq!(sql.take_written_rows(), 1);
    }
}
