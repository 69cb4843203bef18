//! Every URL of the service, and what is done to each request on its way in and out.

use js_sys::JSON;
use web_sys::ResponseInit;
use worker::Env;

use crate::protocol::json::json;
use crate::protocol::json::put;

use super::address::locate;
use super::api::call::{Endpoint, endpoint};
use super::api::{
    clients, consent, console, events, inbox, operate, poll, receive, remote, sources, status, streams, subjects,
    target, tenants, token, verification, watch, well_known,
};
use super::context::{self, Edge};
use super::error::ApiError;
use super::log::{self, Level};
use super::route::{Router, get, post};
use super::web::{Body, Parts, Request, Response, StatusCode};
use super::{body, clock, random};

/// The header that carries the request's id back; the log has the same.
const REQUEST_ID: &str = "x-request-id";

thread_local! {
    static ROUTER: Router = router();
}

fn router() -> Router {
    Router::default()
        .route("/console.json", get(endpoint!(console::show)))
        .route(
            "/.well-known/ssf-configuration",
            get(endpoint!(well_known::ssf_configuration)),
        )
        .route(
            "/.well-known/oauth-authorization-server",
            get(endpoint!(well_known::authorization_server)),
        )
        .route(
            "/.well-known/oauth-protected-resource",
            get(endpoint!(well_known::protected_resource)),
        )
        .route("/jwks.json", get(endpoint!(well_known::jwks)))
        .route("/oauth/token", post(endpoint!(token::issue)))
        .route(
            "/ssf/streams",
            get(endpoint!(streams::read))
                .post(endpoint!(streams::create))
                .patch(endpoint!(streams::update))
                .put(endpoint!(streams::update))
                .delete(endpoint!(streams::delete)),
        )
        .route("/ssf/status", get(endpoint!(status::read)).post(endpoint!(status::set)))
        .route("/ssf/subjects/add", post(endpoint!(subjects::add)))
        .route("/ssf/subjects/remove", post(endpoint!(subjects::remove)))
        .route("/ssf/verification", post(endpoint!(verification::request)))
        .route("/ssf/poll/{stream_id}", post(endpoint!(poll::poll)))
        .route("/events", post(endpoint!(events::publish)))
        .route(
            "/handshake/{stream_id}/{secret}",
            get(endpoint!(consent::call_back)).post(endpoint!(consent::call_back)),
        )
        .route(
            "/receive/{source_id}",
            post(endpoint!(receive::push)).options(endpoint!(target::options)),
        )
        .route(
            "/admin/tenants",
            get(endpoint!(tenants::list)).post(endpoint!(tenants::create)),
        )
        .route(
            "/admin/tenants/{tenant}",
            get(endpoint!(tenants::show))
                .patch(endpoint!(tenants::change))
                .delete(endpoint!(tenants::delete)),
        )
        .route(
            "/admin/clients",
            get(endpoint!(clients::list)).post(endpoint!(clients::register)),
        )
        .route(
            "/admin/clients/{client_id}",
            get(endpoint!(clients::show))
                .patch(endpoint!(clients::change))
                .delete(endpoint!(clients::delete)),
        )
        .route("/admin/streams", get(endpoint!(watch::list)))
        .route(
            "/admin/streams/{stream_id}",
            get(endpoint!(watch::health))
                .patch(endpoint!(operate::change))
                .delete(endpoint!(operate::delete)),
        )
        .route(
            "/admin/streams/{stream_id}/subjects",
            post(endpoint!(operate::subjects)),
        )
        .route("/admin/streams/{stream_id}/explain", post(endpoint!(operate::explain)))
        .route(
            "/admin/streams/{stream_id}/deliveries",
            get(endpoint!(watch::deliveries)),
        )
        .route(
            "/admin/streams/{stream_id}/dead-letters",
            get(endpoint!(watch::dead_letters)),
        )
        .route(
            "/admin/streams/{stream_id}/dead-letters/{jti}",
            get(endpoint!(watch::dead_letter)),
        )
        .route(
            "/admin/streams/{stream_id}/dead-letters/redrive",
            post(endpoint!(operate::redrive)),
        )
        .route(
            "/admin/streams/{stream_id}/dead-letters/purge",
            post(endpoint!(operate::purge)),
        )
        .route(
            "/admin/streams/{stream_id}/webhook-secret",
            post(endpoint!(operate::webhook_secret)),
        )
        .route(
            "/admin/streams/{stream_id}/grant",
            get(endpoint!(consent::show)).post(endpoint!(consent::decide)),
        )
        .route("/admin/streams/{stream_id}/replay", post(endpoint!(operate::replay)))
        .route(
            "/admin/sources",
            get(endpoint!(sources::list)).post(endpoint!(sources::create)),
        )
        .route(
            "/admin/sources/{source_id}",
            get(endpoint!(sources::show))
                .patch(endpoint!(sources::change))
                .delete(endpoint!(sources::delete)),
        )
        .route(
            "/admin/sources/{source_id}/grants",
            get(endpoint!(target::grants)).post(endpoint!(target::decide)),
        )
        .route("/admin/sources/{source_id}/health", get(endpoint!(remote::health)))
        .route(
            "/admin/sources/{source_id}/setup",
            get(endpoint!(remote::setup)).post(endpoint!(remote::repeat)),
        )
        .route(
            "/admin/sources/{source_id}/status",
            get(endpoint!(remote::status)).post(endpoint!(remote::set_status)),
        )
        .route(
            "/admin/sources/{source_id}/subjects",
            get(endpoint!(remote::subjects)).post(endpoint!(remote::change_subjects)),
        )
        .route(
            "/admin/sources/{source_id}/verification",
            post(endpoint!(remote::verify)),
        )
        .route("/admin/sources/{source_id}/events", get(endpoint!(inbox::events)))
}

/// Answers a request, whatever happens.
pub async fn handle(request: web_sys::Request, env: Env) -> worker::Result<web_sys::Response> {
    let started = clock::now_ms();
    let request_id = random::text::<12>().unwrap_or_default();
    let parts = Parts::of(&request);
    let method = parts.method.clone();
    let path = without_secret(parts.uri.path());
    let entered = match body::receive(&request, &parts.headers).await {
        Ok(body) => enter(Request { parts, body }, env).await,
        Err(error) => Err(error),
    };
    let mut response = entered.unwrap_or_else(Response::from);
    if path.starts_with("/handshake/") {
        consent::keep_private(&mut response);
    }
    let StatusCode(status) = response.status;
    if status >= 400 {
        let level = if status >= 500 { Level::Error } else { Level::Info };
        log::line(
            level,
            "request_failed",
            json!({"request_id": request_id, "method": method, "path": path, "status": status,
                   "ms": clock::now_ms().saturating_sub(started)}),
        );
    }
    leave(response, &request_id)
}

/// A path as the log may have it: that of a callback ends in a secret.
fn without_secret(path: &str) -> String {
    match path.split_once("/handshake/") {
        Some((before, rest)) => format!("{before}/handshake/{}/***", rest.split('/').next().unwrap_or_default()),
        None => path.to_owned(),
    }
}

async fn enter(mut request: Request, env: Env) -> Result<Response, ApiError> {
    let settings = context::settings(&env).map_err(|error| {
        log::line(Level::Error, "settings_refused", json!({"error": error.to_string()}));
        ApiError::not_set_up(format!("The settings of this deployment are refused: {error}."))
    })?;
    let (tenant, path) = locate(request.uri().path()).ok_or_else(ApiError::not_found)?;
    let edge = Edge::new(env, settings, request.uri().clone(), tenant).await?;
    // The page asks this one where the service lives, so it answers everywhere.
    if path != "/console.json"
        && let Some(origin) = edge.known_origin()
        && !edge.is_at(origin)
    {
        return Err(ApiError::misdirected(origin));
    }
    edge.require_tenant().await?;
    // Handlers see the path within the tenant, alone, as a server would give it to them.
    let path = path.to_owned();
    request.parts.uri.set_path(path);
    let is_head = request.method() == "HEAD";
    let mut response = match ROUTER.with(|router| router.find(edge, request)) {
        Ok((Endpoint(handler), call)) => handler(call).await.unwrap_or_else(Response::from),
        Err(response) => response,
    };
    if is_head && let Body::Text(text) = &mut response.body {
        text.clear();
    }
    Ok(response)
}

/// Completes the answer. It is made of as few calls to JavaScript as may be: each costs more than it seems.
fn leave(mut response: Response, request_id: &str) -> worker::Result<web_sys::Response> {
    response.headers.insert(REQUEST_ID, request_id);
    let text = match response.body {
        Body::Problem(mut problem) => {
            put(&mut problem, "request_id", request_id);
            problem.to_string()
        }
        Body::Text(text) => text,
    };
    let init = ResponseInit::new();
    init.set_status(response.status.0);
    init.set_headers(&JSON::parse(&response.headers.into_text())?);
    let has_body = !text.is_empty() && response.status != StatusCode::NO_CONTENT;
    Ok(web_sys::Response::new_with_opt_str_and_init(
        has_body.then_some(&text),
        &init,
    )?)
}
