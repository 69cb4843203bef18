//! What a source hands on: the events after a cursor, in order of arrival. The cursor is written when the stream has them: a
//! crash in between hands them over again, and the stream knows the ids of ten minutes.

use crate::delivery::meta;
use crate::delivery::sql::{Sql, SqlError};
use crate::protocol::event;
use crate::protocol::forward::Handed;
use crate::protocol::received::Received;
use crate::protocol::set::{Audience, Envelope};

use super::inbox;
use super::search::{self, Search};

/// Most events handed over at once, and most bytes of their claims; a single one may be longer.
pub const MAX_EVENTS: u32 = 100;
const MAX_BYTES: usize = 256 * 1024;

/// Up to where everything was handed over.
const CURSOR: &str = "forwarded";

/// Events to hand over, and the cursor behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub events: Vec<Handed>,
    pub upto: i64,
    /// Stored ones that cannot be read any more, by their numbers: they stay behind.
    pub unread: Vec<i64>,
}

/// From here on: what is there already stays.
pub fn begin(sql: &dyn Sql) -> Result<(), SqlError> {
    advance(sql, inbox::newest(sql)?)
}

/// Notes that everything up to there was handed over: one row.
pub fn advance(sql: &dyn Sql, upto: i64) -> Result<(), SqlError> {
    meta::set(sql, CURSOR, &upto.to_string())
}

/// Up to where everything was handed over.
pub fn cursor(sql: &dyn Sql) -> Result<i64, SqlError> {
    let cursor = meta::number(sql, CURSOR)?.unwrap_or(0);
    Ok(i64::try_from(cursor).unwrap_or(0))
}

/// What comes after the cursor, at most so many; `None` when nothing does. What a stream says of itself is not handed over.
pub fn next(sql: &dyn Sql, after: i64, most: u32, audience: &Audience) -> Result<Option<Batch>, SqlError> {
    let page = search::find(sql, &Search::default(), after, most)?;
    let mut batch = Batch {
        events: Vec::new(),
        upto: after,
        unread: Vec::new(),
    };
    let mut bytes = 0;
    for stored in &page.events {
        let received = Received::read(&stored.set);
        let is_unread = received.is_none();
        let handed = received.and_then(|received| handed(received, stored.at, audience));
        bytes += handed.as_ref().map_or(0, |handed| handed.claims.len());
        if bytes > MAX_BYTES && !batch.events.is_empty() {
            break;
        }
        batch.events.extend(handed);
        batch.unread.extend(is_unread.then_some(stored.seq));
        batch.upto = stored.seq;
    }
    Ok((batch.upto > after).then_some(batch))
}

fn handed(received: Received, at: u64, audience: &Audience) -> Option<Handed> {
    if [event::VERIFICATION, event::STREAM_UPDATED].contains(&received.event_type.as_str()) {
        return None;
    }
    let claims = received.claims.unwrap_or_else(|| {
        // A CloudEvent says the same in a SET's words, from its arrival on.
        let envelope = Envelope {
            iss: &received.iss,
            jti: &received.jti,
            iat: i64::try_from(at / 1000).unwrap_or(i64::MAX),
            aud: audience,
            txn: received.txn.as_deref(),
            toe: received.toe,
            sub_id: &received.sub_id.to_string(),
            event_type: &received.event_type,
            event: &received.event.to_string(),
        };
        envelope.to_claims()
    });
    Some(Handed {
        iss: received.iss,
        jti: received.jti,
        claims: String::from_utf8(claims).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::sql::testing::TestSql;
    use crate::protocol::received::tests::set;
    use crate::receiver::inbox::{Accepted, IntakeRecord, KeysFrom, store};
    use serde_json::{Value, json};

    const TYPE: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

    fn database() -> TestSql {
        let sql = TestSql::default();
        meta::migrate(&sql, crate::receiver::source::MIGRATIONS).unwrap();
        sql
    }

    fn put(sql: &TestSql, jti: &str, raw: String) {
        let intake = IntakeRecord {
            kid: None,
            alg: "RS256".into(),
            keys: KeysFrom::Cached,
            keys_ms: 0,
            verify_ms: 0,
        };
        let received = Received::read(&raw);
        let (event_type, sub_id) = received.map(|read| (read.event_type, read.sub_id)).unwrap_or_default();
        let event = Accepted {
            iss: "i".into(),
            jti: jti.into(),
            event_type,
            sub_id,
            set: raw,
            intake,
        };
        store(sql, &event, 7_000).unwrap();
    }

    fn claims(jti: &str, event_type: &str, filler: usize) -> Value {
        json!({"iss": "i", "jti": jti, "iat": 1, "aud": "a", "sub_id": {"format": "opaque", "id": "x".repeat(filler)},
               "events": {event_type: {}}})
    }

    fn next_ids(sql: &TestSql, after: i64, most: u32) -> Option<(Vec<String>, i64)> {
        let batch = next(sql, after, most, &Audience::One("a".into())).unwrap()?;
        Some((batch.events.into_iter().map(|handed| handed.jti).collect(), batch.upto))
    }

    #[test]
    fn events_are_handed_over_in_order_from_the_cursor_and_byte_for_byte() {
        let sql = database();
        put(&sql, "old", set(&claims("old", TYPE, 1)));
        begin(&sql).unwrap();
        let after = cursor(&sql).unwrap();
        assert_eq!(next_ids(&sql, after, 100), None);
        put(&sql, "a", set(&claims("a", TYPE, 1)));
        put(&sql, "v", set(&claims("v", event::VERIFICATION, 1)));
        put(&sql, "b", set(&claims("b", TYPE, 1)));
        put(&sql, "u", set(&claims("u", event::STREAM_UPDATED, 1)));
        assert_eq!(next_ids(&sql, after, 100), Some((vec!["a".into(), "b".into()], 5)));
        assert_eq!(next_ids(&sql, after, 1), Some((vec!["a".into()], 2)));
        assert_eq!(next_ids(&sql, 4, 100), Some((vec![], 5)), "the cursor goes on");
        assert_eq!(next_ids(&sql, 5, 100), None);
        let batch = next(&sql, after, 1, &Audience::One("a".into())).unwrap().unwrap();
        assert_eq!(batch.events[0].claims, claims("a", TYPE, 1).to_string());
        sql.take_written_rows();
        advance(&sql, 5).unwrap();
        assert_eq!((sql.take_written_rows(), cursor(&sql).unwrap()), (1, 5));
        // Pitfall 9.
        let old = "https://schemas.openid.net/secevent/risc/event-type/verification";
        put(&sql, "w", set(&claims("w", old, 1)));
        assert_eq!(next_ids(&sql, 5, 100), Some((vec![], 6)));
    }

    /// What the issuer signed for us reaches the owner, whatever its event has for members; what nobody can read is told of.
    #[test]
    fn a_subject_of_the_events_own_is_no_reason_to_stay_behind() {
        let sql = database();
        for (jti, own) in [
            ("a", json!({"text": "Hi"})),
            ("b", json!({"format": "email", "email": "b@c.example"})),
        ] {
            let mut claims = claims(jti, TYPE, 1);
            claims["events"] = json!({TYPE: {"subject": own}});
            put(&sql, jti, set(&claims));
        }
        put(&sql, "c", "not a SET".into());
        let batch = next(&sql, 0, 10, &Audience::One("a".into())).unwrap().unwrap();
        let ids: Vec<_> = batch.events.iter().map(|handed| handed.jti.as_str()).collect();
        assert_eq!((ids, batch.upto, batch.unread), (vec!["a", "b"], 3, vec![3]));
        let wanted = Search {
            event_type: Some(TYPE.to_owned()),
            ..Search::default()
        };
        assert_eq!(search::find(&sql, &wanted, 0, 10).unwrap().events.len(), 2);
    }

    #[test]
    fn a_cloudevent_is_handed_over_as_claims_and_long_ones_a_few_at_a_time() {
        let sql = database();
        let event = json!({"specversion": "1.0", "id": "c", "source": "https://tx.example/streams/1", "type": TYPE,
                           "time": "1970-01-01T00:00:05Z", "data": {"sub_id": {"format": "opaque", "id": "1"}}});
        put(&sql, "c", event.to_string());
        let batch = next(&sql, 0, 10, &Audience::One("me".into())).unwrap().unwrap();
        let read: Value = serde_json::from_str(&batch.events[0].claims).unwrap();
        assert_eq!(
            read,
            json!({"iss": "https://tx.example/streams/1", "jti": "c", "iat": 7, "aud": "me", "toe": 5,
                   "sub_id": {"format": "opaque", "id": "1"}, "events": {TYPE: {}}})
        );
        for n in 0..4 {
            put(&sql, &n.to_string(), set(&claims(&n.to_string(), TYPE, 120_000)));
        }
        assert_eq!(next_ids(&sql, 1, 100), Some((vec!["0".into(), "1".into()], 3)));
    }
}
