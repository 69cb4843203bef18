//! Events that a source of ours hands over, to be handed on.

use super::{Live, NEXT_NUMBER};
use crate::delivery::chunk::NewItem;
use crate::delivery::meta;
use crate::delivery::outbox::AppendError;
use crate::delivery::sql::{Sql, SqlError};
use crate::protocol::forward::{Form, Handed, numbered};
use crate::protocol::received::Received;
use crate::protocol::set::{content_hash, jti_for};
use crate::protocol::status::Status;
use crate::protocol::stream::Delivery;
use crate::protocol::subject;
use crate::transmitter::forward::delivery;

impl Live {
    /// Takes over what the source received, in its order. What is here already is passed over: the source could not note that
    /// it had handed it over. A disabled stream takes nothing, and what it is given is gone (SSF-8.1.2.1-3). Returns how many
    /// of them are here now.
    pub fn hand(&mut self, sql: &dyn Sql, events: &[Handed], now: u64) -> Result<usize, AppendError> {
        if self.stream.wishes.status() == Status::Disabled {
            return Ok(0);
        }
        let mut number = self.next_number(sql)?;
        let mut items: Vec<NewItem> = Vec::with_capacity(events.len());
        for event in events {
            let jti = jti_for(&self.stream.configuration.stream_id, &event.iss, &event.jti);
            let content = content_hash(event.claims.as_bytes());
            if !self.outbox.is_new(sql, &jti, &content, now)? || items.iter().any(|item| item.jti == jti) {
                continue;
            }
            let received = Received::of_claims(event.claims.clone().into_bytes());
            items.push(NewItem {
                jti,
                content,
                lane: subject::lane_key(&received.map(|received| received.sub_id).unwrap_or_default()),
                claims: numbered(number, &event.claims),
            });
            number += 1;
        }
        self.take_in(sql, &items, now)?;
        if !items.is_empty() {
            self.set_next_number(sql, number)?;
        }
        // Those that were here before count, too: whoever handed them over may have heard nothing because this object died,
        // and with it the alarm that would have delivered them.
        Ok(events.len())
    }

    pub(super) fn set_next_number(&mut self, sql: &dyn Sql, next: u64) -> Result<(), SqlError> {
        meta::set(sql, NEXT_NUMBER, &next.to_string())?;
        self.next_number = Some(next);
        Ok(())
    }

    /// The owner of the source says anew where its events go, or in what. `header` is sealed, or that there is none any more.
    pub fn hand_to(
        &mut self,
        sql: &dyn Sql,
        endpoint_url: &str,
        form: Form,
        header: Option<Option<String>>,
        now: u64,
    ) -> Result<(), SqlError> {
        let stream = &mut self.stream;
        let before = std::mem::replace(&mut stream.configuration.delivery, delivery(endpoint_url, form));
        let was_there = matches!(&before, Delivery::Push { endpoint_url: url, .. } if url == endpoint_url);
        let moves = !was_there || header.is_some();
        stream.forward = Some(form);
        stream.sealed_authorization = header.unwrap_or(stream.sealed_authorization.take());
        stream.rev += 1;
        stream.save(sql)?;
        match moves {
            true => self.moved(sql, was_there, now),
            false => self.follow_consent(sql, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::bounds::Bounds;
    use crate::delivery::courier;
    use crate::delivery::retry::RetryPolicy;
    use crate::delivery::sql::testing::TestSql;
    use crate::protocol::forward::split;
    use crate::protocol::status::Status;
    use crate::protocol::tenant::TenantSettings;
    use crate::transmitter::forward::New;
    use crate::transmitter::grant;
    use crate::transmitter::live::Rules;
    use crate::transmitter::status::Wish;
    use crate::transmitter::terms::Terms;

    const NOW: u64 = 1_795_262_400_000;

    fn rules(events: u64) -> Rules {
        Rules {
            courier: courier::Policy {
                window: 6,
                retry: RetryPolicy {
                    base_ms: 1000,
                    cap_ms: 1000,
                    give_up_after_ms: 1_000_000,
                    give_up_attempts: 0,
                },
            },
            bounds: Bounds {
                events,
                bytes: 1_000_000,
                age_ms: 1_000_000_000,
            },
            retention_ms: 0,
            dead_letters: 10,
            dead_letter_ms: 1000,
            consent: grant::Rules {
                request_rate: 600,
                ttl_ms: 0,
                window_ms: 1000,
                retry_ms: 10,
                timeout_ms: 10,
            },
        }
    }

    fn live(sql: &TestSql, events: u64) -> Live {
        let new = New {
            stream_id: "s1",
            tenant: "default",
            source_id: "source-1",
            issuer: "https://tx.example",
            endpoint_url: "https://app.example/in",
            form: Form::Cloudevent,
        };
        new.stream(Terms::of_forward(1, &TenantSettings::default()), NOW)
            .save(sql)
            .unwrap();
        Live::load(sql, rules(events), NOW).unwrap().unwrap()
    }

    fn handed(jti: &str, subject: &str) -> Handed {
        let claims = format!(
            r#"{{"iss":"i","jti":"{jti}","iat":1,"sub_id":{{"format":"opaque","id":"{subject}"}},"events":{{"t":{{}}}}}}"#
        );
        Handed {
            iss: "i".into(),
            jti: jti.into(),
            claims,
        }
    }

    /// Number and id of all that is queued.
    fn queued(sql: &TestSql, live: &mut Live) -> Vec<(u64, String)> {
        live.outbox.refill(sql).unwrap();
        let read = |stored: &[u8]| {
            let (number, claims) = split(stored).unwrap();
            (number, Received::of_claims(claims.to_vec()).unwrap().jti)
        };
        live.outbox.window().map(|item| read(item.claims())).collect()
    }

    #[test]
    fn what_is_handed_over_again_is_known_and_numbers_have_no_hole() {
        let sql = TestSql::default();
        let mut stream = live(&sql, 100);
        let first = [handed("1", "a"), handed("2", "b"), handed("1", "a")];
        assert_eq!(stream.hand(&sql, &first, NOW).unwrap(), 3);
        // The source died before it noted it, and so did the stream.
        let mut stream = Live::load(&sql, rules(100), NOW).unwrap().unwrap();
        let again = [handed("1", "a"), handed("2", "b"), handed("3", "a")];
        assert_eq!(stream.hand(&sql, &again, NOW + 1).unwrap(), 3);
        let expected = [(1, "1".into()), (2, "2".into()), (3, "3".into())];
        assert_eq!(queued(&sql, &mut stream), expected);
        let lanes: Vec<_> = stream.outbox.window().map(|item| item.lane).collect();
        assert!(lanes[0] == lanes[2] && lanes[0] != lanes[1], "a lane for each subject");
        // Nothing new: but what is here may still wait for an alarm.
        assert_eq!(stream.hand(&sql, &again, NOW + 1).unwrap(), 3);
        assert_eq!(queued(&sql, &mut stream).len(), 3);
    }

    #[test]
    fn a_full_stream_takes_nothing_of_a_batch_and_a_disabled_one_drops_it() {
        let sql = TestSql::default();
        let mut stream = live(&sql, 2);
        stream.hand(&sql, &[handed("1", "a")], NOW).unwrap();
        let two = [handed("2", "a"), handed("3", "a")];
        assert!(matches!(stream.hand(&sql, &two, NOW), Err(AppendError::Full)));
        assert_eq!(stream.hand(&sql, &two[..1], NOW).unwrap(), 1);
        assert_eq!(
            queued(&sql, &mut stream).last(),
            Some(&(2, "2".into())),
            "no number is used up"
        );
        let disabled = Wish {
            status: Status::Disabled,
            reason: None,
        };
        stream.operator_wishes(&sql, disabled, NOW).unwrap();
        assert_eq!(stream.hand(&sql, &[handed("4", "a")], NOW).unwrap(), 0);
        assert_eq!(queued(&sql, &mut stream), []);
        assert!(
            !stream
                .outbox
                .control()
                .has(crate::delivery::control::Kind::StreamUpdated)
        );
    }
}
