//! `/events`: publishing. Every matching stream has stored the events before the answer is 202, or is named as one that
//! refused.

use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use crate::edge::command::{Addressed, Answer, Refusal, StreamCommand, StreamReply, TenantCommand, TenantReply};
use crate::edge::error::{ApiError, json_response};
use crate::edge::object::stub;
use crate::edge::together::together;
use crate::edge::{auth, body, random};
use crate::protocol::event::publish::PublishRequest;
use crate::protocol::list::insert_sorted;
use crate::transmitter::stream::Published;

use super::call::Call;

pub async fn publish(call: Call) -> Result<Response, ApiError> {
    let Call { edge, request, .. } = call;
    let (parts, payload) = request.into_parts();
    let publisher = auth::publisher(&edge, &parts.headers).await?;
    edge.issuer()?;
    let given = body::read_json(&parts.headers, payload, body::PUBLISH_LIMIT).await?;
    let asked = PublishRequest::parse(given).map_err(|found| ApiError::invalid(&found))?;
    let source = publisher.source().to_owned();
    let mut events = Vec::with_capacity(asked.events.len());
    for (index, event) in asked.events.into_iter().enumerate() {
        let random = if event.id.is_none() {
            random::text::<16>()?
        } else {
            String::new()
        };
        let place = |error| ApiError::at(&format!("/events/{index}"), format!("/events/{index} {error}"));
        events.push(Published::new(event, &source, random).map_err(place)?);
    }
    let accepted = events.len();
    let mut event_types: Vec<String> = Vec::new();
    for event in &events {
        insert_sorted(&mut event_types, event.event_type.clone());
    }
    let route = TenantCommand::Route {
        event_types,
        client_id: publisher.client_id,
    };
    let TenantReply::Route { streams, unsupported } = edge.tenant()?.ask(route).await? else {
        return Err(ApiError::internal("tenant", "an unexpected reply"));
    };
    if let Some(index) = events.iter().position(|event| unsupported.contains(&event.event_type)) {
        let pointer = format!("/events/{index}/type");
        let detail = format!("{pointer} is not among the event types that this tenant supports");
        return Err(ApiError::at(&pointer, detail));
    }
    let command = stub::text(&Addressed {
        tenant: Some(edge.tenant_name().to_owned()),
        client_id: None,
        command: StreamCommand::Append { events },
    })?;
    let answers: Vec<Result<Answer<StreamReply>, ApiError>> = together(
        streams
            .iter()
            .map(async |stream_id| edge.stream(stream_id)?.send(&command).await),
    )
    .await;
    let mut stored_by = 0;
    let mut refused = Vec::new();
    let mut failed = None;
    for (stream_id, answer) in streams.iter().zip(answers) {
        match answer {
            Ok(Ok(StreamReply::Appended { matched })) => stored_by += usize::from(matched > 0),
            // Its share is not accepted; the others' is.
            Ok(Err(Refusal::Full)) => refused.push(json!({"stream_id": stream_id, "reason": "outbox_full"})),
            // The route was wider than the truth: the stream is deleted, or not there yet.
            Ok(Err(Refusal::Gone)) => {}
            Ok(Err(Refusal::IdConflict { index })) => return Err(ApiError::id_conflict(index)),
            Ok(Ok(_)) | Ok(Err(_)) => {
                failed = Some(ApiError::unavailable("Not every stream could store the events.", 1))
            }
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        // With ids, trying again is safe: what was stored is recognised.
        Some(error) => Err(error),
        None => Ok(json_response(
            StatusCode::ACCEPTED,
            &json!({"accepted": accepted, "streams": stored_by, "refused": refused}),
        )),
    }
}
