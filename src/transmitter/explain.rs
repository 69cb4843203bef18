//! Why an event would be delivered on a stream, or would not: the same questions in the same order as at its acceptance, with
//! the rule that answered.

use serde_json::Value;

use crate::delivery::courier::Hold;
use crate::delivery::sql::{Sql, SqlError};
use crate::protocol::event::publish::NewEvent;
use crate::protocol::json::json;
use crate::protocol::json::put;
use crate::protocol::status::Status;

use super::filter::{Filter, Judgement};
use super::stream::Stream;

/// The answer for one event at `now` (Unix milliseconds): `delivered`, `rule`, `detail`, `held` (it would wait first), and
/// for a subject that matched one in the stream, `matched`.
pub fn explain(
    sql: &dyn Sql,
    stream: &Stream,
    filter: &Filter,
    hold: Option<&Hold>,
    event: &NewEvent,
    now: u64,
) -> Result<Value, SqlError> {
    let judgement = filter.judge(sql, &event.sub_id, &stream.subject_rules(), now)?;
    let (delivered, rule, detail) = rule(stream, &event.event_type, &event.sub_id, &judgement);
    let (status, reason) = stream.status(hold);
    let mut answer = json!({
        "stream_id": stream.configuration.stream_id,
        "delivered": delivered,
        "held": delivered && status == Status::Paused,
        "rule": rule,
        "detail": detail,
        "status": status.name(),
    });
    if let Some(reason) = reason {
        put(&mut answer, "reason", json!(reason));
    }
    let matched = match judgement {
        Judgement::Added {
            members,
            shared,
            verified,
        } => json!({"members": members, "shared": shared, "verified": verified}),
        Judgement::Removed { members } => json!({"members": members}),
        Judgement::InGrace { until } => json!({"until": until}),
        Judgement::ByDefault | Judgement::NotAdded => return Ok(answer),
    };
    if rule.starts_with("subject_") {
        put(&mut answer, "matched", matched);
    }
    Ok(answer)
}

fn rule(
    stream: &Stream,
    event_type: &String,
    sub_id: &Value,
    judgement: &Judgement,
) -> (bool, &'static str, &'static str) {
    let configuration = &stream.configuration;
    if !configuration.events_supported.contains(event_type) {
        return (
            false,
            "type_not_supported",
            "The tenant does not support this event type, or the stream's client is not allowed to have it.",
        );
    }
    if !configuration.events_delivered.contains(event_type) {
        return (
            false,
            "type_not_requested",
            "The receiver did not request this event type.",
        );
    }
    if stream.wishes.status() == Status::Disabled {
        return (
            false,
            "stream_disabled",
            "The stream is disabled: events are neither sent nor held.",
        );
    }
    if stream.is_own_subject(sub_id) {
        return (true, "stream_subject", "The subject is the stream itself.");
    }
    match judgement {
        Judgement::ByDefault => (
            true,
            "subject_default",
            "All subjects are in this stream by default, and this one was not removed.",
        ),
        Judgement::Removed { .. } => (
            false,
            "subject_removed",
            "The subject was removed: the event's subject has all members of a removed one, with the same values.",
        ),
        Judgement::Added { members, shared, .. } if shared.is_empty() && !members.is_empty() => (
            true,
            "subject_added",
            "The event's subject and an added one have no member in common, so none differs, and they match. The tenant's \
             setting require_shared_subject_member excludes such matches.",
        ),
        Judgement::Added { .. } => (true, "subject_added", "The event's subject matches one that was added."),
        Judgement::InGrace { .. } => (
            true,
            "subject_in_grace",
            "The matching subject was removed, but its events go on for the grace period.",
        ),
        Judgement::NotAdded => (
            false,
            "subject_not_added",
            "No subject is in this stream by default, and none that was added matches.",
        ),
    }
}
