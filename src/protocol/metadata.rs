//! Discovery documents: the transmitter's configuration (SSF 1.0 section 7), and the OAuth ones that lead a client to
//! its token endpoint (RFC 8414, RFC 9728).

use serde::Serialize;
use serde_json::Value;
use url::Url;

use super::json::{self, JsonError, json};
use super::record::{self, Record};

/// The version of SSF that we speak (SSF-7.1-1).
pub const SPEC_VERSION: &str = "1_0";
/// Well-known suffixes (SSF-11-1, RFC 8414 3, RFC 9728 3).
pub const SSF_CONFIGURATION: &str = "ssf-configuration";
/// The same before SSF 1.0 (SSF-7.2.2-3).
pub const RISC_CONFIGURATION: &str = "risc-configuration";
pub const AUTHORIZATION_SERVER: &str = "oauth-authorization-server";
pub const PROTECTED_RESOURCE: &str = "oauth-protected-resource";
/// Names OAuth 2.0 in `authorization_schemes` (SSF-7.1.1-5, CIP-2.3.7-1).
pub const OAUTH: &str = "urn:ietf:rfc:6749";

/// Whether new streams start with all subjects or none (SSF-7.1-12).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Record)]
#[serde(rename_all = "UPPERCASE")]
pub enum DefaultSubjects {
    #[default]
    All,
    None,
}

/// One element of `authorization_schemes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Record)]
pub struct AuthorizationScheme {
    pub spec_urn: String,
}

/// A transmitter's configuration: ours to publish, or a foreign one as read. Absent means unsupported (SSF-7.1-18).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Record)]
pub struct TransmitterMetadata {
    /// Absent means the draft `1_0-ID1` (SSF-7.1-1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec_version: Option<String>,
    pub issuer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delivery_methods_supported: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration_endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_subject_endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remove_subject_endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub critical_subject_members: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorization_schemes: Vec<AuthorizationScheme>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_subjects: Option<DefaultSubjects>,
}

/// Why a discovery document, or the issuer it is looked up by, cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    #[error("the issuer must be an http or https URL without user information, query and fragment")]
    IssuerUrl,
    #[error("the document is not acceptable JSON: {0}")]
    Json(JsonError),
    #[error("the document is not a JSON object with a string issuer, or a member has the wrong type")]
    Shape,
    #[error("the document's issuer is not the expected one")]
    WrongIssuer,
}

impl TransmitterMetadata {
    /// The document to serve. Arrays without elements are left out (SSF-7.2.3-3).
    pub fn to_json(&self) -> Value {
        record::document(self)
    }

    /// Reads a foreign document. Its `issuer` has to be the expected one, character by character (SSF-7.2.4-2); unknown
    /// members are ignored. The URLs in it are foreign text: check each before calling it.
    pub fn parse(bytes: &[u8], expected_issuer: &str) -> Result<TransmitterMetadata, MetadataError> {
        let document = json::parse_strict(bytes, 16).map_err(MetadataError::Json)?;
        // Serde would also read a JSON array into a struct, by position.
        if !document.is_object() {
            return Err(MetadataError::Shape);
        }
        let metadata = TransmitterMetadata::from_json(document).map_err(|_| MetadataError::Shape)?;
        if metadata.issuer != expected_issuer {
            return Err(MetadataError::WrongIssuer);
        }
        Ok(metadata)
    }
}

/// Our OAuth server's document (RFC 8414): client credentials only.
pub fn authorization_server(issuer: &str, token_endpoint: &str, jwks_uri: &str, scopes: &[&str]) -> Value {
    json!({
        "issuer": issuer,
        "token_endpoint": token_endpoint,
        "jwks_uri": jwks_uri,
        "scopes_supported": scopes,
        // Required even though there is no authorization endpoint to answer any.
        "response_types_supported": json!([]),
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    })
}

/// The document of our management API as a protected resource (RFC 9728; CIP-2.7.2-1).
pub fn protected_resource(resource: &str, authorization_server: &str, scopes: &[&str]) -> Value {
    json!({
        "resource": resource,
        "authorization_servers": [authorization_server],
        "scopes_supported": scopes,
        "bearer_methods_supported": ["header"],
    })
}

/// Where an issuer's document is: `/.well-known/{suffix}` goes between host and path, and a path loses its last `/`
/// first (SSF-7.2-2, SSF-7.2.1-2, pitfall 8).
pub fn well_known_url(issuer: &str, suffix: &str) -> Result<String, MetadataError> {
    let url = Url::parse(issuer).map_err(|_| MetadataError::IssuerUrl)?;
    let plain = matches!(url.scheme(), "https" | "http")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !plain {
        return Err(MetadataError::IssuerUrl);
    }
    let path = url.path().strip_suffix('/').unwrap_or(url.path());
    Ok(format!(
        "{}/.well-known/{suffix}{path}",
        url.origin().ascii_serialization()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// SSF-7.2.1-2.
    #[test]
    fn well_known_goes_between_host_and_path() {
        // SSF 7.2 vectors
        for (issuer, expected) in [
            (
                "https://signals.quarry.example",
                "https://signals.quarry.example/.well-known/ssf-configuration",
            ),
            (
                "https://signals.quarry.example/",
                "https://signals.quarry.example/.well-known/ssf-configuration",
            ),
            (
                "https://signals.quarry.example/t/9",
                "https://signals.quarry.example/.well-known/ssf-configuration/t/9",
            ),
            (
                "https://signals.quarry.example/t/9/",
                "https://signals.quarry.example/.well-known/ssf-configuration/t/9",
            ),
            (
                "https://signals.quarry.example:8443/a",
                "https://signals.quarry.example:8443/.well-known/ssf-configuration/a",
            ),
            (
                "http://localhost:8787",
                "http://localhost:8787/.well-known/ssf-configuration",
            ),
        ] {
            assert_eq!(well_known_url(issuer, SSF_CONFIGURATION).as_deref(), Ok(expected));
        }
        for issuer in [
            "",
            "DEFAULT",
            "signals.quarry.example",
            "urn:example:a",
            "ftp://a.example",
            "https://a.example?x",
            "https://a.example#x",
            "https://u@a.example",
            "https://u:p@a.example",
            "file:///etc/passwd",
        ] {
            assert_eq!(
                well_known_url(issuer, SSF_CONFIGURATION),
                Err(MetadataError::IssuerUrl),
                "{issuer}"
            );
        }
    }

    #[test]
    fn our_document_has_no_empty_members() {
        // SSF-7.2.3-3; CIP-2.3.*
        let ours = TransmitterMetadata {
            spec_version: Some(SPEC_VERSION.into()),
            issuer: "https://a.example".into(),
            jwks_uri: Some("https://a.example/jwks.json".into()),
            delivery_methods_supported: vec!["urn:ietf:rfc:8935".into()],
            authorization_schemes: vec![AuthorizationScheme { spec_urn: OAUTH.into() }],
            default_subjects: Some(DefaultSubjects::All),
            ..TransmitterMetadata::default()
        };
        let document = ours.to_json();
        assert_eq!(
            document,
            json!({
                "spec_version": "1_0",
                "issuer": "https://a.example",
                "jwks_uri": "https://a.example/jwks.json",
                "delivery_methods_supported": ["urn:ietf:rfc:8935"],
                "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}],
                "default_subjects": "ALL",
            })
        );
        assert_eq!(
            TransmitterMetadata::parse(document.to_string().as_bytes(), "https://a.example"),
            Ok(ours)
        );
    }

    #[test]
    fn foreign_documents_are_bound_to_their_issuer() {
        let parse = |text: &str| TransmitterMetadata::parse(text.as_bytes(), "https://a.example/t/9");
        let issuer = r#""issuer":"https://a.example/t/9""#;
        let read = parse(&format!(
            r#"{{{issuer},"unknown":[1],"authorization_schemes":[{{"spec_urn":"urn:x","y":1}}]}}"#
        ));
        assert_eq!(
            read.map(|metadata| (metadata.jwks_uri, metadata.spec_version)),
            Ok((None, None))
        );
        for (text, expected) in [
            (
                r#"{"issuer":"https://a.example/t/9/"}"#.to_owned(),
                MetadataError::WrongIssuer,
            ), // SSF-7.2.4-2
            (
                r#"{"issuer":"https://A.example/t/9"}"#.to_owned(),
                MetadataError::WrongIssuer,
            ),
            (r#"{"issuer":7}"#.to_owned(), MetadataError::Shape),
            ("{}".to_owned(), MetadataError::Shape),
            ("[]".to_owned(), MetadataError::Shape),
            (r#"[null,"https://a.example/t/9"]"#.to_owned(), MetadataError::Shape),
            (format!(r#"{{{issuer},"jwks_uri":7}}"#), MetadataError::Shape),
            (
                format!(r#"{{{issuer},"default_subjects":"SOME"}}"#),
                MetadataError::Shape,
            ),
        ] {
            assert_eq!(parse(&text), Err(expected), "{text}");
        }
        assert!(matches!(
            parse(&format!("{{{issuer},{issuer}}}")),
            Err(MetadataError::Json(_))
        ));
        assert!(matches!(parse("<html>"), Err(MetadataError::Json(_))));
    }

    #[test]
    fn oauth_documents_name_what_we_do() {
        let server = authorization_server(
            "https://a.example",
            "https://a.example/oauth/token",
            "https://a.example/jwks.json",
            &["ssf.read"],
        );
        assert_eq!(server["grant_types_supported"], json!(["client_credentials"]));
        let resource = protected_resource("https://a.example", "https://a.example", &["ssf.read"]);
        assert_eq!(resource["bearer_methods_supported"], json!(["header"])); // CIP-2.7.3-2
    }
}
