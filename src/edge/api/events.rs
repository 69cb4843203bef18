//! `/events`: publishing, in the native form or as CloudEvents. Every matching stream has stored the events before the answer is 202, or is named as one that
//! refused.

use crate::edge::command::{Addressed, Answer, Refusal, StreamCommand, StreamReply, TenantCommand, TenantReply};
use crate::edge::error::{ApiError, json_response, no_store};
use crate::edge::together::together;
use crate::edge::web::{HeaderMap, Response, StatusCode, header};
use crate::edge::{auth, body, random};
use crate::protocol::cloudevent::{CloudEvent, ContentMode, is_cloudevent};
use crate::protocol::event::publish::{NewEvent, PublishRequest};
use crate::protocol::json::json;
use crate::protocol::list::insert_sorted;
use crate::protocol::record;
use crate::transmitter::stream::Published;

use super::call::Call;

pub async fn publish(call: Call) -> Result<Response, ApiError> {
    let Call { edge, request, .. } = call;
    let (parts, payload) = request.into_parts();
    let publisher = auth::publisher(&edge, &parts.headers).await?;
    edge.issuer()?;
    let form = form(&parts.headers)?;
    let given = body::read(payload, body::PUBLISH_LIMIT)?;
    let given = read(form, &parts.headers, &given)?;
    let mut events = Vec::with_capacity(given.len());
    for (index, (source, event)) in given.into_iter().enumerate() {
        let random = if event.id.is_none() {
            random::text::<16>()?
        } else {
            String::new()
        };
        // A CloudEvent's `source` counts within its publisher: nobody can use up the ids of another one.
        let source = match source {
            Some(source) => format!("{} {source}", publisher.source()),
            None => publisher.source().to_owned(),
        };
        let place = |error| {
            let pointer = place(form, index, None);
            let detail = format!("{} {error}", if pointer.is_empty() { "The event" } else { &pointer });
            ApiError::at(&pointer, detail)
        };
        events.push(Published::new(event, &source, random).map_err(place)?);
    }
    let accepted = events.len();
    if accepted == 0 {
        // CE-3.3-1: a batch of nothing is no error.
        return Ok(Response::empty(StatusCode::NO_CONTENT, no_store()));
    }
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
        let pointer = place(form, index, Some("type"));
        let detail = format!("{pointer} is not among the event types that this tenant supports");
        return Err(ApiError::at(&pointer, detail));
    }
    let command = record::text(&Addressed {
        tenant: Some(edge.tenant_name().to_owned()),
        client_id: None,
        command: StreamCommand::Append { events },
    });
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
            Ok(Err(Refusal::IdConflict { index })) => {
                return Err(ApiError::id_conflict(index, place(form, index, Some("id"))));
            }
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

/// How the request holds its events; `None`: in the native form.
type Form = Option<ContentMode>;

fn form(headers: &HeaderMap) -> Result<Form, ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE);
    let form = is_cloudevent(content_type, headers.contains_key("ce-specversion"))
        .map_err(|error| ApiError::unsupported_format(format!("Not taken: {error}.")))?;
    if form.is_none() {
        body::require_type(headers, "application/json")?;
    }
    Ok(form)
}

/// The events of a request, each with the `source` that it names, if it is a CloudEvent.
fn read(form: Form, headers: &HeaderMap, bytes: &[u8]) -> Result<Vec<(Option<String>, NewEvent)>, ApiError> {
    let invalid = |found| ApiError::invalid(&found);
    let events = match form {
        None => {
            let asked = PublishRequest::parse(body::parse(bytes)?).map_err(invalid)?;
            return Ok(asked.events.into_iter().map(|event| (None, event)).collect());
        }
        Some(ContentMode::Structured) => vec![CloudEvent::from_structured(body::parse(bytes)?).map_err(invalid)?],
        Some(ContentMode::Batched) => CloudEvent::batch(body::parse(bytes)?).map_err(invalid)?,
        Some(ContentMode::Binary) => {
            let data = match bytes {
                [] => None,
                bytes => Some(body::parse(bytes)?),
            };
            vec![CloudEvent::from_binary(headers.entries(), data).map_err(invalid)?]
        }
    };
    let events = events.into_iter().enumerate().map(|(index, event)| {
        let (source, event) = event.into_event().map_err(|found| match form {
            Some(ContentMode::Batched) => ApiError::invalid(&found.under(index)),
            _ => ApiError::invalid(&found),
        })?;
        Ok((Some(source), event))
    });
    events.collect()
}

/// The pointer to an event of the request, or to an attribute of it.
fn place(form: Form, index: usize, attribute: Option<&str>) -> String {
    let event = match form {
        None => format!("/events/{index}"),
        Some(ContentMode::Batched) => format!("/{index}"),
        Some(ContentMode::Structured | ContentMode::Binary) => String::new(),
    };
    match (attribute, form) {
        (None, _) => event,
        (Some(attribute), Some(ContentMode::Binary)) => format!("/ce-{attribute}"),
        (Some(attribute), _) => format!("{event}/{attribute}"),
    }
}
