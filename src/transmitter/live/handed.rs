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
    /// it had handed it over. A disabled stream takes nothing, and what it is given is gone (SSF-8.1.2.1-3).
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
        Ok(items.len())
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
