//! A request to the token endpoint: the client credentials grant (RFC 6749 section 4.4), the client authenticated by
//! HTTP Basic or in the form (section 2.3.1). Errors are those of section 5.2.

use base64ct::{Base64, Encoding};
use serde_json::Value;

use super::bearer::REALM;
use super::scope::{ScopeError, ScopeSet};
use crate::protocol::json::json;
use crate::protocol::secret::Secret;

/// Longest client id or secret looked at, in bytes: ours are far shorter.
const MAX_CREDENTIAL: usize = 1024;

/// What the client asks for, and its credentials, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    pub client_id: String,
    pub client_secret: Secret<String>,
    /// `None`: all that the client is registered for.
    pub scope: Option<ScopeSet>,
}

/// The `error` of a refused token request (RFC 6749 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OAuthCode {
    InvalidRequest,
    InvalidClient,
    UnauthorizedClient,
    UnsupportedGrantType,
    InvalidScope,
}

impl OAuthCode {
    pub fn as_str(self) -> &'static str {
        match self {
            OAuthCode::InvalidRequest => "invalid_request",
            OAuthCode::InvalidClient => "invalid_client",
            OAuthCode::UnauthorizedClient => "unauthorized_client",
            OAuthCode::UnsupportedGrantType => "unsupported_grant_type",
            OAuthCode::InvalidScope => "invalid_scope",
        }
    }
}

/// A refused token request. The description is for developers and holds nothing of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}: {description}", .error.as_str())]
pub struct OAuthError {
    pub error: OAuthCode,
    pub description: &'static str,
}

impl OAuthError {
    pub fn new(error: OAuthCode, description: &'static str) -> Self {
        OAuthError { error, description }
    }

    /// For every credential that is missing, unknown or wrong alike: the answer does not tell which.
    pub fn invalid_client() -> Self {
        OAuthError::new(OAuthCode::InvalidClient, "client authentication failed")
    }

    /// The HTTP status of the answer.
    pub fn status(&self) -> u16 {
        if self.error == OAuthCode::InvalidClient {
            401
        } else {
            400
        }
    }

    /// The challenge that goes with a 401.
    pub fn www_authenticate(&self) -> Option<String> {
        (self.error == OAuthCode::InvalidClient).then(|| format!("Basic realm=\"{REALM}\", charset=\"UTF-8\""))
    }

    /// The JSON body.
    pub fn to_json(&self) -> Value {
        json!({"error": self.error.as_str(), "error_description": self.description})
    }
}

/// Reads the `Authorization` header and form body of a token request. Parameters we do not know are ignored, a repeated
/// one is refused (RFC 6749 3.2).
pub fn parse_token_request(authorization: Option<&str>, form: &[u8]) -> Result<TokenRequest, OAuthError> {
    let form = Form::parse(form)?;
    let credentials = match (authorization, form.get("client_secret")) {
        (Some(_), Some(_)) => {
            return Err(invalid_request("use either HTTP Basic or client_secret, not both"));
        }
        (Some(header), None) => {
            let basic = basic_credentials(header).ok_or_else(OAuthError::invalid_client)?;
            if form.get("client_id").is_some_and(|id| id != basic.0) {
                return Err(invalid_request("client_id differs from the authenticated client"));
            }
            Some(basic)
        }
        (None, Some(secret)) => form.get("client_id").map(|id| (id.to_owned(), secret.to_owned())),
        (None, None) => None,
    };
    match form.get("grant_type") {
        Some("client_credentials") => {}
        Some(_) => {
            let description = "only client_credentials is supported";
            return Err(OAuthError::new(OAuthCode::UnsupportedGrantType, description));
        }
        None => return Err(invalid_request("grant_type is missing")),
    }
    let (client_id, client_secret) = credentials.ok_or_else(OAuthError::invalid_client)?;
    if client_id.len() > MAX_CREDENTIAL || client_secret.len() > MAX_CREDENTIAL {
        return Err(OAuthError::invalid_client());
    }
    let scope = form
        .get("scope")
        .map(ScopeSet::parse)
        .transpose()
        .map_err(|error| match error {
            ScopeError::Unknown | ScopeError::Empty => {
                OAuthError::new(OAuthCode::InvalidScope, "the scope is unknown or malformed")
            }
        })?;
    Ok(TokenRequest {
        client_id,
        client_secret: Secret::new(client_secret),
        scope,
    })
}

fn invalid_request(description: &'static str) -> OAuthError {
    OAuthError::new(OAuthCode::InvalidRequest, description)
}

/// Id and secret of an HTTP Basic header, each form-decoded on top of Base64 (RFC 6749 2.3.1).
fn basic_credentials(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let decoded = String::from_utf8(Base64::decode_vec(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let (id, secret) = (form_decode(id.as_bytes())?, form_decode(secret.as_bytes())?);
    (!id.is_empty()).then_some((id, secret))
}

/// The parameters of a form, each at most once. Empty ones count as left out (RFC 6749 3.2).
struct Form(Vec<(String, String)>);

impl Form {
    fn parse(bytes: &[u8]) -> Result<Form, OAuthError> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in bytes.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = form_decode(halves.next().unwrap_or_default());
            let value = form_decode(halves.next().unwrap_or_default());
            let (Some(name), Some(value)) = (name, value) else {
                return Err(invalid_request("the form is not correctly encoded"));
            };
            if parameters.iter().any(|(other, _)| *other == name) {
                return Err(invalid_request("a parameter is repeated"));
            }
            if parameters.len() == MAX_PARAMETERS {
                return Err(invalid_request("there are too many parameters"));
            }
            parameters.push((name, value));
        }
        Ok(Form(parameters))
    }

    fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self
            .0
            .iter()
            .find(|(other, value)| other == name && !value.is_empty())?;
        Some(value)
    }
}

/// Most parameters in a form; they are compared pairwise.
const MAX_PARAMETERS: usize = 64;

/// Decodes `application/x-www-form-urlencoded` text. Unlike the WHATWG decoder it refuses what is malformed, because
/// credentials that were repaired on the way are not the credentials that were sent.
fn form_decode(encoded: &[u8]) -> Option<String> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut bytes = encoded.iter();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex_digit(*bytes.next()?)? * 16 + hex_digit(*bytes.next()?)?,
            other => *other,
        });
    }
    String::from_utf8(decoded).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::mutate;
    use serde_json::json;

    const GRANT: &str = "grant_type=client_credentials";

    fn basic(text: &str) -> String {
        format!("Basic {}", Base64::encode_string(text.as_bytes()))
    }

    fn code(authorization: Option<&str>, form: &str) -> Result<(), OAuthCode> {
        parse_token_request(authorization, form.as_bytes())
            .map(|_| ())
            .map_err(|error| error.error)
    }

    #[test]
    fn both_ways_of_authenticating_are_read() {
        let header = basic("id:s3cret");
        for (authorization, form) in [
            (Some(header.as_str()), GRANT.to_owned()),
            (Some(header.as_str()), format!("{GRANT}&client_id=id&resource=x")),
            (Some(&*header.replace("Basic", "basic")), GRANT.to_owned()),
            (None, format!("{GRANT}&client_id=id&client_secret=s3cret&scope=")),
        ] {
            let request = parse_token_request(authorization, form.as_bytes()).unwrap();
            assert_eq!(
                (request.client_id.as_str(), request.client_secret.expose().as_str()),
                ("id", "s3cret")
            );
            assert_eq!(request.scope, None);
        }
    }

    #[test]
    fn credentials_are_form_decoded_inside_basic() {
        // RFC 6749 2.3.1; the secret may hold colons, the id only an encoded one
        let request = parse_token_request(Some(&basic("a%3Ab+c:p%C3%A9:%2B%25")), GRANT.as_bytes()).unwrap();
        assert_eq!(
            (request.client_id.as_str(), request.client_secret.expose().as_str()),
            ("a:b c", "pé:+%")
        );
    }

    #[test]
    fn the_scope_is_read() {
        let form = format!("{GRANT}&scope=ssf.read+ssf.manage");
        let request = parse_token_request(Some(&basic("id:s")), form.as_bytes()).unwrap();
        assert_eq!(request.scope, ScopeSet::parse("ssf.read ssf.manage").ok());
    }

    #[test]
    fn refusals_have_the_code_of_the_standard() {
        use OAuthCode::*;
        let good = basic("id:s");
        let good = Some(good.as_str());
        let long = basic(&format!("id:{}", "s".repeat(MAX_CREDENTIAL + 1)));
        for (authorization, form, expected) in [
            (good, "", InvalidRequest),
            (good, "scope=ssf.read", InvalidRequest),
            (good, "grant_type=", InvalidRequest),
            (good, "grant_type=password", UnsupportedGrantType),
            (good, "grant_type=Client_Credentials", UnsupportedGrantType),
            (
                good,
                "grant_type=client_credentials&grant_type=client_credentials",
                InvalidRequest,
            ),
            (good, "grant_type=client_credentials&x=1&x=2", InvalidRequest),
            (good, "grant_type=client_credentials&client_secret=s", InvalidRequest),
            (good, "grant_type=client_credentials&client_id=other", InvalidRequest),
            (good, "grant_type=client_credentials&scope=admin", InvalidScope),
            (good, "grant_type=client_credentials&x=%zz", InvalidRequest),
            (good, "grant_type=client_credentials&x=%ff", InvalidRequest),
            (good, "grant_type=client_credentials&x=%4", InvalidRequest),
            (good, "{\"grant_type\":\"client_credentials\"}", InvalidRequest),
            (None, GRANT, InvalidClient),
            (None, "grant_type=client_credentials&client_id=id", InvalidClient),
            (None, "grant_type=client_credentials&client_secret=s", InvalidClient),
            (Some("Bearer abc"), GRANT, InvalidClient),
            (Some("Basic"), GRANT, InvalidClient),
            (Some("Basic !!!"), GRANT, InvalidClient),
            (Some(&basic("no colon")), GRANT, InvalidClient),
            (Some(&basic(":s")), GRANT, InvalidClient),
            (Some(&basic("%zz:s")), GRANT, InvalidClient),
            (Some(&long), GRANT, InvalidClient),
        ] {
            assert_eq!(code(authorization, form), Err(expected), "{authorization:?} {form}");
        }
    }

    #[test]
    fn errors_know_their_answer() {
        let error = OAuthError::invalid_client();
        assert_eq!(
            (error.status(), error.www_authenticate().as_deref()),
            (401, Some(r#"Basic realm="ssf", charset="UTF-8""#))
        );
        assert_eq!(
            error.to_json(),
            json!({"error": "invalid_client", "error_description": "client authentication failed"})
        );
        let error = invalid_request("grant_type is missing");
        assert_eq!((error.status(), error.www_authenticate()), (400, None));
    }

    #[test]
    fn no_form_or_header_upsets_the_parser() {
        let form = format!("{GRANT}&client_id=a%20b&client_secret=%C3%A9&scope=ssf.read+ssf.manage");
        for bytes in mutate::variants(&[&form], 10_000) {
            if let Ok(request) = parse_token_request(None, &bytes) {
                assert!(!request.client_id.is_empty() && !request.client_secret.expose().is_empty());
            }
        }
        for bytes in mutate::variants(&[&basic("id:s3cret"), "Basic"], 10_000) {
            let Ok(header) = String::from_utf8(bytes) else { continue };
            if let Ok(request) = parse_token_request(Some(&header), GRANT.as_bytes()) {
                assert!(!request.client_id.is_empty());
            }
        }
    }
}
