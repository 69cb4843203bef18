//! A SET from its bytes to an accepted event, in a fixed order of checks (RFC 8417, RFC 8935 section 2, SSF 4).
//!
//! The order: shape, `typ`, algorithm, issuer, key, signature, then the claims. Until [`accept`] nothing of the token is
//! acted upon; `iss` is looked at early only so that a stranger's token is called that rather than a bad signature. The
//! signature itself is checked by whoever calls, between [`choose_key`] and [`accept`].

use serde::Serialize;
use serde_json::Value;

use crate::protocol::event;
use crate::protocol::jose::jwk::{Jwk, Jwks, KeyError};
use crate::protocol::jose::jws::{self, Alg, MAX_DEPTH, Unverified, Verified};
use crate::protocol::json;
use crate::protocol::push::ErrorBody;
use crate::protocol::record::Record;
use crate::protocol::set::{self, Audience, Claims, SetErr, SetError};
use crate::protocol::subject;

use crate::protocol::legacy::Legacy;

/// How far ahead of ours the issuer's clock may be, in seconds. There is no maximum age: held events are old.
pub const CLOCK_SKEW_S: i64 = 120;

/// Whom a source trusts: everything that binds a token to it, the keys apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// Compared exactly, as a string (SSF-4.1.6-2).
    pub issuer: String,
    pub audience: Audience,
    /// Shapes of old that are taken, too.
    pub legacy: Legacy,
}

/// Members of a complex subject that SSF defines (SSF-3.3-2): whoever reads events can be expected to know them.
const KNOWN_MEMBERS: [&str; 7] = [
    "user",
    "device",
    "session",
    "application",
    "tenant",
    "org_unit",
    "group",
];

/// Takes the body apart and refuses what no key could save: shape, type, algorithm, issuer.
pub fn screen<'a>(body: &'a [u8], trust: &Trust) -> Result<Unverified<'a>, ErrorBody> {
    let text = std::str::from_utf8(body).map_err(|_| refuse(SetErr::InvalidRequest, "the body is not a JWT"))?;
    // PUSH-2.1-8: a line end after the token is tolerated, nothing else around it.
    let token = text.strip_suffix('\n').unwrap_or(text);
    let token = token.strip_suffix('\r').unwrap_or(token);
    let unverified = jws::parse(token).map_err(|error| refuse(SetErr::InvalidRequest, error))?;
    let typ = unverified.header.typ.as_deref();
    let is_old = || trust.legacy.typ && typ.is_none_or(|typ| typ.eq_ignore_ascii_case("jwt"));
    if !(set::typ_is_set(typ) || is_old()) {
        return Err(refuse(SetErr::InvalidRequest, "the header's typ is not secevent+jwt"));
    }
    if Alg::from_name(&unverified.header.alg).is_none() {
        return Err(refuse(
            SetErr::InvalidKey,
            "the signature algorithm is not accepted here; use RS256 or ES256",
        ));
    }
    match unverified.peek("iss") {
        Some(issuer) if issuer == trust.issuer => Ok(unverified),
        Some(_) => Err(refuse(
            SetErr::InvalidIssuer,
            "iss is not the issuer this endpoint accepts",
        )),
        None => Err(refuse(
            SetErr::InvalidRequest,
            "the claims have no iss, or are not a JSON object",
        )),
    }
}

/// The key that must have signed: named by `kid`, its algorithm its own.
pub fn choose_key<'k>(token: &Unverified<'_>, keys: &'k Jwks) -> Result<&'k Jwk, KeyError> {
    keys.find(token.header.kid.as_deref(), &token.header.alg)
}

/// What a missing or unfit key is called on the wire.
pub fn key_refused(error: &KeyError) -> ErrorBody {
    refuse(SetErr::InvalidKey, error)
}

/// What a key that cannot be used, such as a point that is not on its curve, is called on the wire.
pub fn key_unusable() -> ErrorBody {
    refuse(SetErr::InvalidKey, "the key that the token names cannot be used")
}

/// What a signature that does not verify is called on the wire.
pub fn signature_refused() -> ErrorBody {
    refuse(
        SetErr::InvalidKey,
        "the signature does not verify with the issuer's key",
    )
}

/// Reads the claims of a token whose signature was verified: issuer again, audience, times, one event. `now` in seconds.
pub fn accept(token: &Verified, trust: &Trust, now: i64) -> Result<Claims, ErrorBody> {
    let claims = read(&token.claims, trust.legacy).map_err(|error| refuse(error.code(), error))?;
    if claims.iss != trust.issuer {
        return Err(refuse(
            SetErr::InvalidIssuer,
            "iss is not the issuer this endpoint accepts",
        ));
    }
    if !claims.aud.intersects(&trust.audience) {
        return Err(refuse(SetErr::InvalidAudience, "aud does not name this recipient"));
    }
    if claims.iat > now.saturating_add(CLOCK_SKEW_S) {
        return Err(refuse(SetErr::InvalidRequest, "iat lies in the future"));
    }
    if claims.nbf.is_some_and(|nbf| nbf > now.saturating_add(CLOCK_SKEW_S)) {
        return Err(refuse(SetErr::InvalidRequest, "nbf lies in the future"));
    }
    Ok(claims)
}

fn read(claims: &[u8], legacy: Legacy) -> Result<Claims, SetError> {
    let mut claims = json::parse_strict(claims, MAX_DEPTH).map_err(SetError::Json)?;
    legacy.respell(&mut claims)?;
    Claims::from_value(claims, legacy)
}

/// What an event says about the stream it came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Record)]
#[serde(rename_all = "snake_case")]
pub enum AboutStream {
    Verification {
        stream_id: Option<String>,
        state: Option<String>,
    },
    Updated {
        stream_id: Option<String>,
        status: String,
        reason: Option<String>,
    },
}

impl AboutStream {
    pub fn of(claims: &Claims) -> Option<Self> {
        let text = |name: &str| claims.event.get(name).and_then(Value::as_str).map(str::to_owned);
        let is_opaque = claims.sub_id.get("format").and_then(Value::as_str) == Some("opaque");
        let stream_id = claims
            .sub_id
            .get("id")
            .and_then(Value::as_str)
            .filter(|_| is_opaque)
            .map(str::to_owned);
        match claims.event_type.as_str() {
            event::VERIFICATION => Some(Self::Verification {
                stream_id,
                state: text("state"),
            }),
            event::STREAM_UPDATED => Some(Self::Updated {
                stream_id,
                status: text("status").unwrap_or_default(),
                reason: text("reason"),
            }),
            _ => None,
        }
    }

    /// Whether it may be about this stream and is not out of the blue (SSF-8.1.4.1-4, SSF-8.1.4.1-7, SSF-8.1.4.1-8). Of old it did
    /// not say which stream it is about.
    pub fn check(&self, ours: Option<&str>, legacy: Legacy, expects: &dyn Fn(&str) -> bool) -> Result<(), ErrorBody> {
        let (Self::Verification { stream_id, .. } | Self::Updated { stream_id, .. }) = self;
        let names_none = legacy.event_uris && stream_id.is_none();
        if !names_none && ours.is_some_and(|ours| stream_id.as_deref() != Some(ours)) {
            return Err(refuse(
                SetErr::InvalidRequest,
                "sub_id is not the stream of this source",
            ));
        }
        match self {
            Self::Verification { state: Some(state), .. } if !expects(state) => Err(refuse(
                SetErr::InvalidState,
                "nobody asked for a verification with this state",
            )),
            _ => Ok(()),
        }
    }
}

/// The member of the subject that the transmitter calls critical and that nobody here understands (SSF-3.6-3, SSF-3.6-4).
pub fn not_understood<'a>(sub_id: &Value, critical: &'a [String], understood: &[String]) -> Option<&'a str> {
    if sub_id.get("format").and_then(Value::as_str) != Some(subject::COMPLEX) {
        return None;
    }
    let bad = |name: &&String| {
        let Some(member) = sub_id.get(name.as_str()) else {
            return false;
        };
        let known = KNOWN_MEMBERS.contains(&name.as_str()) || understood.contains(name);
        !known || subject::validate(member).is_err()
    };
    critical.iter().find(bad).map(String::as_str)
}

fn refuse(err: SetErr, description: impl ToString) -> ErrorBody {
    ErrorBody::new(err, description.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64ct::{Base64UrlUnpadded, Encoding};
    use serde_json::{Value, json};

    const NOW: i64 = 1_795_262_400;
    const TYPE: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

    fn trust() -> Trust {
        Trust {
            issuer: "https://tx.example".into(),
            audience: Audience::One("me".into()),
            legacy: Legacy::default(),
        }
    }

    fn claims() -> Value {
        json!({"iss": "https://tx.example", "jti": "j1", "iat": NOW, "aud": "me", "txn": "t",
               "sub_id": {"format": "opaque", "id": "1"}, "events": {TYPE: {}}})
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[name] = value;
        claims
    }

    fn token(header: &Value, claims: &Value) -> String {
        let part = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
        format!("{}.{}.c2ln", part(header), part(claims))
    }

    fn header() -> Value {
        json!({"typ": "secevent+jwt", "alg": "RS256", "kid": "k1"})
    }

    fn err(result: Result<impl std::fmt::Debug, ErrorBody>) -> String {
        result.unwrap_err().err.to_string()
    }

    /// The order and codes of `delivery.md` 1.3; pitfalls 2, 9, 24, 26.
    #[test]
    fn what_no_key_could_save_is_refused_before_any_key_is_looked_at() {
        let cases: &[(Value, Value, &str)] = &[
            (json!({"typ": "JWT", "alg": "RS256"}), claims(), "invalid_request"),
            (json!({"alg": "RS256"}), claims(), "invalid_request"),
            (json!({"typ": "secevent+jwt", "alg": "none"}), claims(), "invalid_key"),
            (json!({"typ": "secevent+jwt", "alg": "HS256"}), claims(), "invalid_key"),
            (
                json!({"typ": "secevent+jwt", "alg": "RS256", "crit": ["x"]}),
                claims(),
                "invalid_request",
            ),
            (header(), with("iss", json!("https://tx.example/")), "invalid_issuer"),
            (header(), with("iss", json!(5)), "invalid_request"),
            (header(), json!([]), "invalid_request"),
        ];
        for (header, claims, expected) in cases {
            assert_eq!(
                err(screen(token(header, claims).as_bytes(), &trust())),
                *expected,
                "{header} {claims}"
            );
        }
        for body in [&b""[..], b"{}", b"a.b", b"a.b.c.d.e", b"\xff\xfe"] {
            assert_eq!(err(screen(body, &trust())), "invalid_request");
        }
        for around in ["{}", "{}\n", "{}\r\n"] {
            let body = around.replace("{}", &token(&header(), &claims()));
            assert!(screen(body.as_bytes(), &trust()).is_ok());
        }
    }

    /// SSF-4.1.2-2, SSF-4.1.6-2, SSF-4.1.7-2, SSF-4.1.8-6, SSF-4.2.1-4.
    #[test]
    fn verified_claims_are_bound_to_this_source() {
        let verified = |claims: &Value| {
            screen(token(&header(), claims).as_bytes(), &trust())
                .map(Unverified::assume_verified)
                .and_then(|verified| accept(&verified, &trust(), NOW))
        };
        assert_eq!(verified(&claims()).unwrap().jti, "j1");
        assert!(verified(&with("aud", json!(["you", "me"]))).is_ok());
        assert!(
            verified(&with("iat", json!(NOW - 10_000_000))).is_ok(),
            "held events are old"
        );
        assert!(verified(&with("iat", json!(NOW + CLOCK_SKEW_S))).is_ok());
        assert!(verified(&with("unknown", json!(1))).is_ok());
        for (claims, expected) in [
            (with("aud", json!("you")), "invalid_audience"),
            (with("iat", json!(NOW + CLOCK_SKEW_S + 1)), "invalid_request"),
            (with("nbf", json!(NOW + CLOCK_SKEW_S + 1)), "invalid_request"),
            (with("exp", json!(NOW + 60)), "invalid_request"),
            (with("sub", json!("ana")), "invalid_request"),
            (with("events", json!({})), "invalid_request"),
            (with("events", json!({TYPE: {}, "urn:b": {}})), "invalid_request"),
            (with("events", json!({TYPE: null})), "invalid_request"),
            (with("jti", json!("")), "invalid_request"),
        ] {
            assert_eq!(err(verified(&claims)), expected, "{claims}");
        }
        for missing in ["aud", "iat", "jti", "events", "sub_id"] {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(missing);
            assert!(verified(&claims).is_err(), "{missing}");
        }
    }
    /// SSF-8.1.4.1-4, SSF-8.1.4.1-7, SSF-8.1.4.1-8, pitfall 24.
    #[test]
    fn what_is_said_about_a_stream_has_to_be_about_ours() {
        let about = |event_type: &str, event: Value, sub_id: Value| {
            let mut claims = with("sub_id", sub_id);
            claims["events"] = json!({event_type: event});
            AboutStream::of(&Claims::from_value(claims, Legacy::default()).unwrap())
        };
        let ours = json!({"format": "opaque", "id": "s1"});
        assert_eq!(about(TYPE, json!({}), ours.clone()), None);
        let judge = |about: Option<AboutStream>| {
            let checked = about
                .unwrap()
                .check(Some("s1"), Legacy::default(), &|state| state == "asked");
            checked.err().map(|error| error.err.to_string())
        };
        for (event, sub_id, expected) in [
            (json!({"state": "asked"}), ours.clone(), None),
            (json!({}), ours.clone(), None),
            (json!({"state": "stray"}), ours.clone(), Some("invalid_state")),
            (
                json!({"state": "asked"}),
                json!({"format": "opaque", "id": "s2"}),
                Some("invalid_request"),
            ),
            (
                json!({"state": "asked"}),
                json!({"format": "email", "email": "s1", "id": "s1"}),
                Some("invalid_request"),
            ),
        ] {
            assert_eq!(
                judge(about(event::VERIFICATION, event.clone(), sub_id)).as_deref(),
                expected,
                "{event}"
            );
        }
        assert_eq!(
            judge(about(event::STREAM_UPDATED, json!({"status": "paused"}), ours)),
            None
        );
    }

    /// Google's verification says nothing of whom it is about: the `state` binds it to the question.
    #[test]
    fn a_verification_of_old_is_about_nobody_and_still_bound_by_its_state() {
        let old = "https://schemas.openid.net/secevent/risc/event-type/verification";
        let judge = |legacy: Legacy, event_type: &str, sub_id: Option<Value>, state: &str| {
            let mut claims = with("events", json!({event_type: {"state": state}}));
            claims.as_object_mut().unwrap().remove("sub_id");
            if let Some(sub_id) = sub_id {
                claims["sub_id"] = sub_id;
            }
            let read = read(claims.to_string().as_bytes(), legacy).ok()?;
            let about = AboutStream::of(&read)?;
            about.check(Some("s1"), legacy, &|state| state == "asked").ok()
        };
        let lenient = Legacy {
            event_uris: true,
            ..Legacy::default()
        };
        assert_eq!(judge(lenient, old, None, "asked"), Some(()));
        assert_eq!(judge(Legacy::ANY, old, None, "asked"), Some(()));
        assert_eq!(judge(lenient, old, None, "stray"), None);
        assert_eq!(
            judge(lenient, old, Some(json!(5)), "asked"),
            None,
            "a subject that is none"
        );
        let other = json!({"format": "opaque", "id": "s2"});
        assert_eq!(judge(lenient, old, Some(other), "asked"), None, "of another stream");
        assert_eq!(
            judge(lenient, TYPE, None, "asked"),
            None,
            "anything else is about somebody"
        );
        assert_eq!(judge(Legacy::default(), event::VERIFICATION, None, "asked"), None);
    }

    /// SSF-3.6-3, SSF-3.6-4, SSF-3.6-5.
    #[test]
    fn a_critical_member_that_nobody_understands_is_found() {
        let subject = json!({"format": "complex", "user": {"format": "email", "email": "a@b.example"}, "ship": {"format": "opaque", "id": "1"}});
        let strange = json!({"format": "complex", "user": {"format": "email"}});
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (subject, critical, understood, expected) in [
            (&subject, names(&["user"]), names(&[]), None),
            (&subject, names(&["user", "ship"]), names(&[]), Some("ship")),
            (&subject, names(&["ship"]), names(&["ship"]), None),
            (&subject, names(&["absent"]), names(&[]), None),
            (&strange, names(&["user"]), names(&[]), Some("user")),
            (
                &json!({"format": "opaque", "id": "1", "ship": 1}),
                names(&["ship"]),
                names(&[]),
                None,
            ),
        ] {
            assert_eq!(
                not_understood(subject, &critical, &understood),
                expected,
                "{subject} {critical:?}"
            );
        }
    }
}
