//! Every URL of the service, and what is done to each request on its way in and out.

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderName, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::BodyExt;
use serde_json::json;
use worker::{Env, HttpRequest, ResponseBuilder};

use super::address::locate;
use super::api::call::endpoint;
use super::api::{
    clients, consent, console, events, inbox, operate, poll, receive, remote, sources, status, streams, subjects,
    target, tenants, token, verification, watch, well_known,
};
use super::context::{self, Edge};
use super::error::{ApiError, ProblemBody};
use super::log::{self, Level};
use super::{body, clock, random};

/// The header that carries the request's id back; the log has the same.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

thread_local! {
    static ROUTER: Router = router();
}

fn router() -> Router {
    Router::new()
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
        .fallback(|| async { ApiError::not_found() })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() })
}

/// Answers a request, whatever happens.
pub async fn handle(request: HttpRequest, env: Env) -> worker::Result<worker::Response> {
    let started = clock::now_ms();
    let request_id = random::text::<12>().unwrap_or_default();
    let method = request.method().clone();
    let path = without_secret(request.uri().path());
    let (parts, body) = request.into_parts();
    let entered = match body::receive(body).await {
        Ok(body) => enter(Request::from_parts(parts, body), env).await,
        Err(error) => Err(error),
    };
    let mut response = entered.unwrap_or_else(IntoResponse::into_response);
    if path.starts_with("/handshake/") {
        consent::keep_private(&mut response);
    }
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let level = if status.is_server_error() {
            Level::Error
        } else {
            Level::Info
        };
        log::line(
            level,
            "request_failed",
            json!({"request_id": request_id, "method": method.as_str(), "path": path, "status": status.as_u16(),
                   "ms": clock::now_ms().saturating_sub(started)}),
        );
    }
    leave(response, &request_id).await
}

/// A path as the log may have it: that of a callback ends in a secret.
fn without_secret(path: &str) -> String {
    match path.split_once("/handshake/") {
        Some((before, rest)) => format!("{before}/handshake/{}/***", rest.split('/').next().unwrap_or_default()),
        None => path.to_owned(),
    }
}

async fn enter(mut request: Request<Body>, env: Env) -> Result<Response, ApiError> {
    let settings = context::settings(&env).map_err(|error| {
        log::line(Level::Error, "settings_refused", json!({"error": error.to_string()}));
        ApiError::not_set_up(format!("The settings of this deployment are refused: {error}."))
    })?;
    let path = request.uri().path();
    let (tenant, path) = locate(path).ok_or_else(ApiError::not_found)?;
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
    let target = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    *request.uri_mut() = Uri::try_from(target).map_err(|_| ApiError::not_found())?;
    request.extensions_mut().insert(edge);
    let mut router = ROUTER.with(Clone::clone);
    match tower_service::Service::call(&mut router, request).await {
        Ok(response) => Ok(response),
        Err(never) => match never {},
    }
}

/// Completes the answer. Bodies are whole already, so they go out as bytes: a stream of one piece costs more than its piece.
async fn leave(response: Response, request_id: &str) -> worker::Result<worker::Response> {
    let (mut parts, body) = response.into_parts();
    if let Ok(value) = HeaderValue::from_str(request_id) {
        parts.headers.insert(REQUEST_ID, value);
    }
    let bytes = match parts.extensions.remove::<ProblemBody>() {
        Some(ProblemBody(mut problem)) => {
            if let Some(members) = problem.as_object_mut() {
                members.insert("request_id".to_owned(), json!(request_id));
            }
            problem.to_string().into_bytes()
        }
        None => body
            .collect()
            .await
            .map(|body| body.to_bytes().to_vec())
            .unwrap_or_default(),
    };
    let mut builder = ResponseBuilder::new().with_status(parts.status.as_u16());
    for (name, value) in &parts.headers {
        if *name != header::CONTENT_LENGTH
            && let Ok(value) = value.to_str()
        {
            builder = builder.with_header(name.as_str(), value)?;
        }
    }
    if bytes.is_empty() || parts.status == StatusCode::NO_CONTENT {
        Ok(builder.empty())
    } else {
        Ok(builder.fixed(bytes))
    }
}
