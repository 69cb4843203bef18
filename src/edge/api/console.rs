//! `/console.json`: what the page needs at start. Public; it answers at every address, to tell the right one.

use crate::edge::context::Edge;
use crate::edge::error::{ApiError, json_response};
use crate::edge::web::{Response, StatusCode};
use crate::protocol::json::json;

use super::call::Call;

pub async fn show(Call { edge, .. }: Call) -> Result<Response, ApiError> {
    let settings = edge.settings();
    let mut console = json!({
        "name": "Heliograph",
        "version": env!("CARGO_PKG_VERSION"),
        "origin": edge.known_origin(),
        "admin": settings.admin_token.is_some(),
    });
    // A development token leaves this machine by no other name than a loopback one.
    if let Some(token) = settings
        .admin_token
        .as_ref()
        .filter(|_| settings.development && is_on_loopback(&edge))
        && let Some(members) = console.as_object_mut()
    {
        members.insert("development_token".to_owned(), json!(token.expose()));
    }
    Ok(json_response(StatusCode::OK, &console))
}

fn is_on_loopback(edge: &Edge) -> bool {
    let url = edge.request_origin().and_then(|origin| url::Url::parse(&origin).ok());
    url.is_some_and(|url| matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")))
}
