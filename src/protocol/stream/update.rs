//! Requests that change a stream (SSF 1.0 sections 8.1.1.3 and 8.1.1.4): PATCH changes what it names, PUT says all that is
//! to remain.

use serde_json::{Map, Value};

use super::{
    Configuration, Delivery, MAX_EVENTS_REQUESTED, StreamError, TRANSMITTER_MEMBERS, description, events_requested,
    stream_id,
};
use crate::protocol::json;
use crate::protocol::problem::{self, Invalid, Problem};
use crate::protocol::record::Record;
use crate::protocol::secret::Secret;

/// What absent members of an [`UpdateRequest`] mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Record)]
#[serde(rename_all = "lowercase")]
pub enum UpdateMode {
    /// They stay as they are (SSF-8.1.1.3-5).
    Patch,
    /// They are deleted (SSF-8.1.1.4-4).
    Put,
}

/// The body of PATCH and PUT. Serialising it leaves the receiver's secret out; see [`UpdateRequest::take_authorization`].
#[derive(Debug, Clone, PartialEq, Eq, Record)]
pub struct UpdateRequest {
    pub stream_id: String,
    /// Replaces the whole member (SSF-8.1.1.3-10).
    pub delivery: Option<Delivery>,
    /// What a poll `delivery` named as its `endpoint_url`, which is ours to say.
    pub poll_url: Option<String>,
    /// As received, unknown types included.
    pub events_requested: Option<Vec<String>>,
    /// At most [`super::MAX_DESCRIPTION`] characters.
    pub description: Option<String>,
    /// The transmitter's members as given, without `stream_id`: the receiver says that they are so.
    pub expected: Map<String, Value>,
}

impl UpdateRequest {
    /// Reads the body. Faults are those of shape: a `null` where the receiver decides is one (SSF-8.1.1.3-12). Members that
    /// nobody knows are ignored; whether the transmitter's are right shows in [`Configuration::updated`].
    pub fn parse(value: &Value) -> Result<UpdateRequest, StreamError> {
        let members = problem::object(value)?;
        let stream_id = stream_id(members)?;
        let delivery = problem::optional(members, "delivery", Delivery::parse)?;
        let poll_url = match delivery {
            Some(Delivery::Poll) => problem::optional(members, "delivery", poll_url)?.flatten(),
            _ => None,
        };
        let expected = members
            .iter()
            .filter(|(name, _)| *name != "stream_id" && TRANSMITTER_MEMBERS.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()));
        Ok(UpdateRequest {
            stream_id,
            delivery,
            poll_url,
            events_requested: problem::optional(members, "events_requested", events_requested)?,
            description: problem::optional(members, "description", description)?,
            expected: json::object(expected),
        })
    }

    /// Takes the receiver's secret out of `delivery`, for whoever seals it.
    pub fn take_authorization(&mut self) -> Option<Secret<String>> {
        self.delivery.as_mut().and_then(Delivery::take_authorization)
    }
}

fn poll_url(delivery: &Value) -> Result<Option<String>, StreamError> {
    let read = |value: &Value| match value.as_str() {
        Some(url) => Ok(url.to_owned()),
        None => Err(Invalid::here(Problem::NotA("a string"))),
    };
    problem::optional(problem::object(delivery)?, "endpoint_url", read)
}

impl Configuration {
    /// This configuration after the request, or the first member of the transmitter's that the request has wrong.
    ///
    /// Those members are compared with the state before the update (SSF-8.1.1.3-7, -9): lists as sets, the audience with one
    /// string equal to an array of it, and a poll URL with `own_poll_url` (SSF-8.1.1.3-11). Then PATCH changes what it has;
    /// PUT also drops a description that it lacks, lets go of the choice of events, and falls back to poll
    /// (SSF-8.1.1.4-8). What is delivered follows from `events_supported`.
    ///
    /// What [`Configuration::to_json`] showed can be put back as it is (SSF-8.1.1.4-5), with one loss: it never shows
    /// `authorization_header`, so a receiver that reads, modifies and writes has to give that again or pushes go without.
    ///
    /// Whether the new delivery is supported, allowed and consented to is the caller's question.
    pub fn updated(
        &self,
        request: &UpdateRequest,
        mode: UpdateMode,
        own_poll_url: &str,
    ) -> Result<Configuration, StreamError> {
        let differs = || Problem::Refused("is not what the stream has");
        if let Some((name, _)) = request.expected.iter().find(|(name, value)| !self.has(name, value)) {
            return Err(Invalid::at(name, differs()));
        }
        if request.poll_url.as_deref().is_some_and(|url| url != own_poll_url) {
            return Err(Invalid::at("endpoint_url", differs()).under("delivery"));
        }
        let mut next = self.clone();
        if mode == UpdateMode::Put {
            next.delivery = Delivery::Poll;
            next.events_requested = None;
            next.description = None;
        }
        if let Some(delivery) = &request.delivery {
            next.delivery = delivery.clone();
        }
        if let Some(requested) = &request.events_requested {
            next.events_requested = Some(requested.clone());
        }
        if let Some(description) = &request.description {
            next.description = Some(description.clone());
        }
        Ok(next.with_supported(&self.events_supported))
    }

    /// Whether a member of the transmitter's has this value.
    fn has(&self, name: &str, value: &Value) -> bool {
        // As a number, so that a receiver whose JSON knows only floats can say 30.0.
        let seconds = |ours: Option<u32>| ours.is_some_and(|ours| value.as_f64() == Some(f64::from(ours)));
        match name {
            "iss" => value.as_str() == Some(self.iss.as_str()),
            "aud" if value.is_string() => same_set(std::slice::from_ref(value), self.aud.values()),
            "aud" => is_set(value, self.aud.values()),
            "events_supported" => is_set(value, &self.events_supported),
            "events_delivered" => is_set(value, &self.events_delivered),
            "min_verification_interval" => seconds(self.min_verification_interval),
            "inactivity_timeout" => seconds(self.inactivity_timeout),
            _ => false,
        }
    }
}

fn is_set(value: &Value, ours: &[String]) -> bool {
    value.as_array().is_some_and(|given| same_set(given, ours))
}

/// Whether both lists hold the same strings, whatever their order. No list of ours is longer than the limit, which bounds
/// the work.
fn same_set(given: &[Value], ours: &[String]) -> bool {
    given.len() <= MAX_EVENTS_REQUESTED
        && given
            .iter()
            .all(|entry| entry.as_str().is_some_and(|entry| ours.iter().any(|own| own == entry)))
        && ours
            .iter()
            .all(|own| given.iter().any(|entry| entry.as_str() == Some(own)))
}

#[cfg(test)]
mod tests;
