//! A request on its way to its handler. All handlers have one shape, so that the router's machinery exists once and not once
//! for each of them.

use std::future::Future;
use std::pin::Pin;

use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use worker::send::SendFuture;

use crate::edge::context::Edge;
use crate::edge::error::ApiError;

/// What a handler gets.
pub struct Call {
    pub edge: Edge,
    /// The id in the path; empty where the route has none.
    pub id: String,
    /// The second one of a path that has two.
    pub part: String,
    pub request: Request,
}

/// The work of a handler.
pub trait Answering: Future<Output = Result<Response, ApiError>> {}

impl<F: Future<Output = Result<Response, ApiError>>> Answering for F {}

type Answer = Pin<Box<dyn Future<Output = Result<Response, ApiError>>>>;

/// A handler as the router keeps it. Made by [`endpoint!`].
#[derive(Clone, Copy)]
pub struct Endpoint(pub fn(Call) -> Answer);

/// Turns a handler function into an [`Endpoint`].
macro_rules! endpoint {
    ($handler:path) => {
        $crate::edge::api::call::Endpoint(|call| Box::pin($handler(call)))
    };
}
pub(crate) use endpoint;

impl Handler<(), ()> for Endpoint {
    type Future = Pin<Box<dyn Future<Output = Response> + Send>>;

    fn call(self, request: Request, _state: ()) -> Self::Future {
        Box::pin(SendFuture::new(async move {
            let call = match Call::new(request).await {
                Ok(call) => call,
                Err(error) => return error.into_response(),
            };
            (self.0)(call).await.unwrap_or_else(IntoResponse::into_response)
        }))
    }
}

impl Call {
    async fn new(request: Request) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let edge = parts.extensions.remove::<Edge>();
        let edge = edge.ok_or_else(|| ApiError::internal("router", "a request without its context"))?;
        // A path that does not decode names nothing that exists.
        let parameters = RawPathParams::from_request_parts(&mut parts, &())
            .await
            .map_err(|_| ApiError::not_found())?;
        let mut values = parameters.iter().map(|(_, value)| value.to_owned());
        let id = values.next().unwrap_or_default();
        let part = values.next().unwrap_or_default();
        Ok(Self {
            edge,
            id,
            part,
            request: Request::from_parts(parts, body),
        })
    }
}
