//! `/oauth/token`: client credentials for an access token (RFC 6749, section 4.4).

use crate::edge::command::{TenantCommand, TenantReply};
use crate::edge::error::{ApiError, json_response};
use crate::edge::web::{Response, StatusCode, header};
use crate::edge::{auth, body};
use crate::protocol::json::{content_type_is, json};
use crate::protocol::oauth::{OAuthCode, OAuthError, parse_token_request};

use super::call::Call;

const FORM: &str = "application/x-www-form-urlencoded";

pub async fn issue(call: Call) -> Result<Response, ApiError> {
    let Call { edge, request, .. } = call;
    let (parts, payload) = request.into_parts();
    let form = body::read(payload, body::LIMIT)?;
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    if !content_type_is(content_type, FORM) {
        let error = OAuthError::new(OAuthCode::InvalidRequest, "send application/x-www-form-urlencoded");
        return Err(ApiError::OAuth(error));
    }
    let asked = parse_token_request(auth::authorization(&parts.headers), &form).map_err(ApiError::OAuth)?;
    let command = TenantCommand::IssueToken {
        client_id: asked.client_id,
        client_secret: asked.client_secret.into_inner(),
        scope: asked.scope,
        issuer: edge.issuer()?,
    };
    let TenantReply::Token {
        access_token,
        expires_in,
        scope,
    } = edge.tenant()?.ask(command).await?
    else {
        return Err(ApiError::internal("tenant", "an unexpected reply"));
    };
    let token = json!({
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": expires_in,
        "scope": scope.to_string(),
    });
    Ok(json_response(StatusCode::OK, &token))
}
