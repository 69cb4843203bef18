//! A request on its way to its handler. All handlers have one shape, so that what leads to them exists once and not once for
//! each of them.

use std::future::Future;
use std::pin::Pin;

use crate::edge::context::Edge;
use crate::edge::error::ApiError;
use crate::edge::web::{Request, Response};

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

pub type Answer = Pin<Box<dyn Future<Output = Result<Response, ApiError>>>>;

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
