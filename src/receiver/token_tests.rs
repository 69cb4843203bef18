use serde_json::json;

use super::*;

fn policy() -> UrlPolicy {
    UrlPolicy::default()
}

fn credentials(value: Value) -> Credentials {
    Credentials::parse(&value, &policy()).unwrap_or_else(|found| panic!("{found}"))
}

#[test]
fn credentials_are_of_exactly_one_kind() {
    for (value, kind) in [
        (json!({"access_token": "a.b-c"}), Kind::AccessToken),
        (json!({"client_id": "c", "client_secret": "s"}), Kind::ClientSecretBasic),
        (
            json!({"client_id": "c", "client_secret": "s", "auth_method": "client_secret_post", "scope": "a b"}),
            Kind::ClientSecretPost,
        ),
    ] {
        assert_eq!(credentials(value.clone()).kind, kind, "{value}");
    }
    for (value, pointer) in [
        (json!("x"), ""),
        (json!({}), "/client_secret"),
        (json!({"access_token": ""}), "/access_token"),
        (json!({"access_token": "a b"}), "/access_token"),
        (json!({"access_token": "a", "client_id": "c"}), "/client_id"),
        (json!({"client_secret": "s"}), "/client_id"),
        (json!({"client_id": "c", "client_secret": 5}), "/client_secret"),
        (
            json!({"client_id": "c", "client_secret": "s", "auth_method": "none"}),
            "/auth_method",
        ),
        (
            json!({"client_id": "c", "client_secret": "s", "private_key": {}}),
            "/client_secret",
        ),
        (json!({"client_id": "c", "private_key": {}}), "/private_key"),
        (
            json!({"client_id": "c", "private_key": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA"}}),
            "/private_key",
        ),
        (
            json!({"client_id": "c", "client_secret": "s", "token_endpoint": "http://a.example"}),
            "/token_endpoint",
        ),
        (
            json!({"client_id": "c", "client_secret": "s", "surprise": 1}),
            "/surprise",
        ),
    ] {
        let found = Credentials::parse(&value, &policy()).err().map(|found| found.pointer);
        assert_eq!(found.as_deref(), Some(pointer), "{value}");
    }
}

/// Pitfall 23.
#[test]
fn what_is_shown_holds_no_secret() {
    let shown = credentials(json!({"client_id": "c", "client_secret": "hunter2", "scope": "ssf.manage"})).shown();
    assert_eq!(
        shown,
        json!({"kind": "client_secret_basic", "client_id": "c", "scope": "ssf.manage"})
    );
    assert_eq!(
        credentials(json!({"access_token": "hunter2"})).shown(),
        json!({"kind": "access_token"})
    );
}

#[test]
fn a_token_request_proves_who_asks_in_the_chosen_way() {
    let (header, form) =
        credentials(json!({"client_id": "a b", "client_secret": "s:t", "resource": "https://r"})).request("", None);
    assert_eq!(
        header.unwrap(),
        format!("Basic {}", Base64::encode_string(b"a+b:s%3At"))
    );
    assert_eq!(form, "grant_type=client_credentials&resource=https%3A%2F%2Fr");
    let post = json!({"client_id": "c", "client_secret": "s", "auth_method": "client_secret_post"});
    let (header, form) = credentials(post).request("ssf.read", None);
    assert_eq!(
        (header, form.as_str()),
        (
            None,
            "grant_type=client_credentials&scope=ssf.read&client_id=c&client_secret=s"
        )
    );
    let claims: Value = serde_json::from_slice(
        &credentials(json!({"client_id": "c", "client_secret": "s"})).assertion_claims("https://as/token", "j", 100),
    )
    .unwrap();
    assert_eq!(
        claims,
        json!({"iss": "c", "sub": "c", "aud": "https://as/token", "jti": "j", "iat": 100, "exp": 160})
    );
}

#[test]
fn a_token_is_renewed_before_it_ends() {
    let read = |body: &str| read(200, None, body.as_bytes(), 1_000);
    for (body, renew_at) in [
        (
            r#"{"access_token":"t","token_type":"Bearer","expires_in":3600}"#,
            1_000 + 3_540_000,
        ),
        (
            r#"{"access_token":"t","token_type":"bearer","expires_in":10}"#,
            1_000 + 8_000,
        ),
        (r#"{"access_token":"t","expires_in":"10"}"#, 1_000 + 8_000),
        (r#"{"access_token":"t","expires_in":0}"#, 1_000),
        (r#"{"access_token":"t"}"#, 1_000 + 240_000),
    ] {
        assert_eq!(
            read(body).ok().and_then(|token| token.renew_at),
            Some(renew_at),
            "{body}"
        );
    }
    for body in [
        "",
        "[]",
        "{}",
        r#"{"access_token":""}"#,
        r#"{"access_token":"a b"}"#,
        r#"{"access_token":"t","token_type":"DPoP"}"#,
    ] {
        assert!(matches!(read(body), Err(Trouble::Refused(_))), "{body}");
    }
    let error = br#"{"error":"invalid_client"}"#;
    assert!(matches!(
        super::read(401, None, error, 0),
        Err(Trouble::Unauthorized(_))
    ));
    assert!(matches!(
        super::read(503, Some("7"), b"", 0),
        Err(Trouble::Later {
            not_before: Some(7_000),
            ..
        })
    ));
}

/// CIP-2.7.2-1: what the resource does not know is not asked for.
#[test]
fn the_scopes_are_those_of_ours_that_the_resource_names() {
    for (document, expected) in [
        (
            json!({"resource": "https://a.example", "scopes_supported": ["openid", "ssf.read", 5, "ssf.manage.create", "ssf.manage"]}),
            "ssf.read ssf.manage",
        ),
        (
            json!({"resource": "https://a.example", "scopes_supported": ["ssf.manage"]}),
            "ssf.manage",
        ),
        (json!({"resource": "https://a.example"}), ""),
    ] {
        let found = resource(document.to_string().as_bytes(), "https://a.example").unwrap();
        assert_eq!(found.scope, expected, "{document}");
    }
}

/// Pitfall 23: peers repeat what they refuse.
#[test]
fn what_a_refusal_repeats_of_our_secrets_is_in_no_detail() {
    let given = credentials(json!({"client_id": "c", "client_secret": "s/1 2"}));
    let (header, _) = given.request("", None);
    let header = header.unwrap();
    let sent = given.sent(Some(&header), Some("a.b.c"));
    let body =
        format!("{{\"error\":\"no\",\"error_description\":\"{header} s/1 2 a.b.c s%2F1+2 !\",\"you\":\"said\"}}");
    let body = masked(body.as_bytes(), &sent.iter().map(String::as_str).collect::<Vec<_>>());
    let Err(Trouble::Refused(detail)) = super::read(400, None, &body, 0) else {
        panic!()
    };
    assert_eq!(detail, "answered 400: no: Basic *** *** *** *** !");
    let request = json!({"delivery": {"authorization_header": "Bearer x-y", "method": "m"}}).to_string();
    assert_eq!(header_in(&request), "x-y");
    assert_eq!(header_in("{}"), "");
    assert_eq!(masked(b"as it was", &["", header_in("{}")]), b"as it was");
}

/// RFC 9728 3.3, RFC 8414 3.1 and 3.3, pitfall 8.
#[test]
fn the_token_endpoint_is_found_only_in_documents_about_whom_they_should_be() {
    let resource = br#"{"resource":"https://a.example/t/9","authorization_servers":["https://as.example/x",5]}"#;
    assert_eq!(
        super::resource(resource, "https://a.example/t/9").unwrap().servers,
        ["https://as.example/x"]
    );
    assert!(super::resource(resource, "https://a.example").is_none());
    let server = br#"{"issuer":"https://as.example/x","token_endpoint":"https://as.example/token"}"#;
    assert_eq!(
        endpoint(server, "https://as.example/x").unwrap(),
        "https://as.example/token"
    );
    assert_eq!(endpoint(server, "https://as.example/x/"), None);
    assert_eq!(
        server_urls("https://as.example/x"),
        [
            "https://as.example/.well-known/oauth-authorization-server/x",
            "https://as.example/.well-known/openid-configuration/x",
            "https://as.example/x/.well-known/openid-configuration",
        ]
    );
    assert_eq!(server_urls("https://as.example").len(), 2);
}
