//! The caller's side of an object: a command out, a reply back.

use futures_util::future::{Either, select};
use js_sys::Promise;
use std::time::Duration;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{RequestInit, Response};
use worker::wasm_bindgen_futures::JsFuture;
use worker::{Delay, Env};

use crate::edge::command::{
    Addressed, Answer, SourceCommand, SourceReply, StreamCommand, StreamReply, TenantCommand, TenantReply,
};
use crate::edge::error::ApiError;
use crate::edge::http::message;
use crate::protocol::record::{self, Record};

/// A call that takes longer is given up: a panic elsewhere in the isolate may have swallowed its answer. Longer than any
/// long poll.
const TIMEOUT: Duration = Duration::from_secs(60);

#[wasm_bindgen]
extern "C" {
    /// An object as JavaScript knows it. Called as it is: what the crate wraps around requests and answers made each call a
    /// tenth slower.
    type Fetcher;

    #[wasm_bindgen(method, catch)]
    fn fetch(this: &Fetcher, url: &str, init: &RequestInit) -> Result<Promise, JsValue>;
}

/// An object to talk to, and on whose behalf.
pub struct ObjectStub {
    fetcher: Fetcher,
    tenant: Option<String>,
    client_id: Option<String>,
}

/// A command and what answers it.
pub trait Command: Record {
    type Reply: Record;
}

impl Command for TenantCommand {
    type Reply = TenantReply;
}

impl Command for StreamCommand {
    type Reply = StreamReply;
}

impl Command for SourceCommand {
    type Reply = SourceReply;
}

/// The object of a tenant.
pub fn tenant(env: &Env, name: &str) -> Result<ObjectStub, ApiError> {
    let stub = env
        .durable_object("TENANT")
        .and_then(|namespace| namespace.get_by_name(name));
    let stub = stub.map_err(|error| ApiError::internal("tenant object", error))?;
    Ok(ObjectStub {
        fetcher: stub.into_rpc(),
        tenant: Some(name.to_owned()),
        client_id: None,
    })
}

/// An object by its id, if it belongs to this tenant. On the platform a forged id is refused here.
pub fn by_id(env: &Env, binding: &str, id: &str, tenant: Option<&str>) -> Result<ObjectStub, ApiError> {
    let is_id = id.len() == 64 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_id {
        return Err(ApiError::not_found());
    }
    let namespace = env
        .durable_object(binding)
        .map_err(|error| ApiError::internal(binding, error))?;
    let stub = namespace.id_from_string(id).and_then(|id| id.get_stub());
    Ok(ObjectStub {
        fetcher: stub.map_err(|_| ApiError::not_found())?.into_rpc(),
        tenant: tenant.map(str::to_owned),
        client_id: None,
    })
}

/// A new object's id.
pub fn new_id(env: &Env, binding: &str) -> Result<String, ApiError> {
    let id = env
        .durable_object(binding)
        .and_then(|namespace| Ok(namespace.unique_id()?.to_string()));
    id.map_err(|error| ApiError::internal(binding, error))
}

impl ObjectStub {
    /// The same object, on behalf of a receiver: a stream of another one is not found.
    pub fn on_behalf_of(self, client_id: &str) -> Self {
        Self {
            client_id: Some(client_id.to_owned()),
            ..self
        }
    }

    /// Sends a command; a refusal becomes the API's error.
    pub async fn ask<C: Command>(&self, command: C) -> Result<C::Reply, ApiError> {
        self.tell(command).await?.map_err(ApiError::refused)
    }

    /// Sends a command; the refusal is the caller's to read.
    pub async fn tell<C: Command>(&self, command: C) -> Result<Answer<C::Reply>, ApiError> {
        let addressed = Addressed {
            tenant: self.tenant.clone(),
            client_id: self.client_id.clone(),
            command,
        };
        self.send(&record::text(&addressed)).await
    }

    /// As [`ObjectStub::tell`], for a command that was serialised once for several objects.
    pub async fn send<R: Record>(&self, body: &str) -> Result<Answer<R>, ApiError> {
        let answer = self.call(body).await?;
        record::read(&answer).map_err(|error| ApiError::internal("reply", error))
    }

    /// Apart from `send`, which is compiled for each kind of reply.
    async fn call(&self, body: &str) -> Result<String, ApiError> {
        let unreachable = |error: &str| {
            ApiError::internal("object", error);
            ApiError::unavailable("A part of the service did not answer.", 1)
        };
        let init = RequestInit::new();
        init.set_method("POST");
        init.set_body(&JsValue::from_str(body));
        let call = async {
            let response = JsFuture::from(self.fetcher.fetch("http://object/", &init)?).await?;
            JsFuture::from(response.unchecked_into::<Response>().text()?).await
        };
        match select(Box::pin(call), Delay::from(TIMEOUT)).await {
            Either::Left((Ok(answer), _)) => Ok(answer.as_string().unwrap_or_default()),
            Either::Left((Err(error), _)) => Err(unreachable(&message(&error))),
            Either::Right(_) => Err(unreachable("timeout")),
        }
    }
}
