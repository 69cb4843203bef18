//! `/receive/{source_id}`: push in (RFC 8935). The edge judges the token with what it knows of the source; the source's object
//! stores it, unless the edge knew something that is no longer so.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use subtle::ConstantTimeEq;

use crate::edge::clock::now_ms;
use crate::edge::command::{Refusal, SourceCommand, SourceReply, SourceView};
use crate::edge::context::Edge;
use crate::edge::error::{ApiError, no_store};
use crate::edge::intake::{self as edge_intake, Judged};
use crate::edge::object::serve::{boxed, seconds};
use crate::edge::web::{HeaderMap, Parts, Response, StatusCode, header};
use crate::edge::{auth, body, crypto, kv};
use crate::protocol::jose::jwk::Jwk;
use crate::protocol::jose::jws::Unverified;
use crate::protocol::json::content_type_is;
use crate::protocol::push::ErrorBody;
use crate::protocol::set::{MEDIA_TYPE, SetErr};
use crate::receiver::cloudevents::Form;
use crate::receiver::inbox::KeysFrom;
use crate::receiver::intake;
use crate::receiver::keys::{FetchedKeys, are_fresh};
use crate::receiver::source::Source;

use super::call::Call;
use super::query::parameter;
use super::{receive_cloudevents, target};

/// What an isolate knows of a source is looked up anew after this. The object checks in any case.
const VIEW_MAX_AGE_MS: u64 = 10_000;

/// Sources that an isolate remembers; with more it starts anew.
const MAX_VIEWS: usize = 256;

/// The object is asked again for what somebody was refused by whom it may not know, when that is so long ago.
const DOUBT_MS: u64 = 1_000;

/// What an isolate knows of a source.
struct Known {
    /// Since when, in Unix milliseconds.
    at: u64,
    /// From the object itself, not from the edge's copies.
    asked: bool,
    /// Nothing for a source that is gone.
    view: Option<Rc<SourceView>>,
}

thread_local! {
    static VIEWS: RefCell<HashMap<String, Known>> = RefCell::default();
}

/// Where the edge's copy of a source lies.
pub fn source_copy(source_id: &str) -> String {
    format!("source:{source_id}")
}

/// Where the edge's copy of the keys of a source's issuer lies.
pub fn keys_copy(source_id: &str) -> String {
    format!("issuer:{source_id}")
}

pub async fn push(call: Call) -> Result<Response, ApiError> {
    let Call {
        edge,
        id: source_id,
        request,
        ..
    } = call;
    let (parts, payload) = request.into_parts();
    edge.any_source(&source_id)?;
    let body = body::read(payload, body::LIMIT)?;
    let given = credentials(&parts)?;
    let view = view(&edge, &source_id, false).await?;
    match judge_and_store(&edge, view, &given, &parts.headers, &body, false).await? {
        Ok(()) => Ok(accepted()),
        // What we knew was old. Once more with what is so now.
        Err(Refusal::Stale) => {
            let view = self::view(&edge, &source_id, true).await?;
            match judge_and_store(&edge, view, &given, &parts.headers, &body, true).await? {
                Ok(()) => Ok(accepted()),
                Err(Refusal::Stale) => Err(ApiError::unavailable("The source is being changed.", 1)),
                Err(refusal) => Err(ApiError::refused(refusal)),
            }
        }
        Err(refusal) => {
            VIEWS.with_borrow_mut(|views| views.remove(&source_id));
            Err(ApiError::refused(refusal))
        }
    }
}

/// PUSH-2.2-1, PUSH-2.2-2: 202 and nothing else, for a repeated SET too.
fn accepted() -> Response {
    Response::empty(StatusCode::ACCEPTED, no_store())
}

async fn judge_and_store(
    edge: &Edge,
    view: Rc<SourceView>,
    given: &str,
    headers: &HeaderMap,
    body: &[u8],
    is_fresh: bool,
) -> Result<Result<(), Refusal>, ApiError> {
    let (rev, source_id) = (view.source.rev, view.source.source_id.clone());
    if let Err(refused) = let_in(&view.source, given) {
        // It may have been changed a moment ago. Strangers, too, come here: they do not get the object asked each time.
        return match is_fresh || asked_lately(&source_id) {
            true => Err(refused),
            false => Ok(Err(Refusal::Stale)),
        };
    }
    let takes_cloudevents = view.source.envelope == Form::Cloudevent;
    if takes_cloudevents != receive_cloudevents::comes_so(headers) && !is_fresh {
        return Ok(Err(Refusal::Stale));
    }
    let judged = match takes_cloudevents {
        true => boxed(receive_cloudevents::judge_all(edge, &view.source, headers, body)).await,
        false => judge(edge, &view, headers, body).await,
    };
    // Whoever is let in counts, whatever it brings. The object sees whether it was judged by what is so now: a refusal would be
    // the end of the event, as much as storing it.
    let (command, refused) = match judged {
        Ok(Some(command)) => (command, None),
        Ok(None) => return Ok(Ok(())),
        Err(error @ ApiError::Set(_)) => (SourceCommand::Count { rev, discarded: false }, Some(error)),
        Err(error) => return Err(error),
    };
    let reply = edge.any_source(&source_id)?.tell(command).await?;
    match (reply, refused) {
        (Ok(_), Some(refused)) => Err(refused),
        (reply, _) => Ok(reply.map(|_| ())),
    }
}

/// Whether somebody who says this may push here at all.
fn let_in(source: &Source, given: &str) -> Result<(), ApiError> {
    if source.managed.poll {
        // Nobody was told this URL.
        return Err(ApiError::not_found());
    }
    authenticate(source, given)
}

/// The checks in their fixed order (see `receiver::intake`), from the content type to the event's members. Returns what the
/// object has to do.
async fn judge(
    edge: &Edge,
    view: &SourceView,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Option<SourceCommand>, ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE);
    if !content_type_is(content_type, MEDIA_TYPE) {
        return Err(ApiError::unsupported_media_type(MEDIA_TYPE));
    }
    let token = intake::screen(body, &view.source.trust()).map_err(ApiError::Set)?;
    let began = now_ms();
    let (key, keys, critical) = find_key(edge, view, &token).await?;
    let set = std::str::from_utf8(body).unwrap_or_default();
    let judged = edge_intake::judge(&view.source, &critical, set, token, (&key, keys), began).await;
    let Judged { event, about, discard } = judged
        .map_err(|error| ApiError::internal("verify a SET", error))?
        .map_err(ApiError::Set)?;
    let rev = view.source.rev;
    Ok(Some(match discard {
        true => SourceCommand::Count { rev, discarded: true },
        false => SourceCommand::Store {
            rev,
            event,
            origin: target::origin_of(&view.source, headers)?,
            about,
        },
    }))
}

/// What the transmitter says to be let in: an `Authorization` header, or the same token in the query (WH-3-2). One of them
/// (WH-3.2-6).
fn credentials(parts: &Parts) -> Result<String, ApiError> {
    let token = parameter(&parts.uri, "access_token").map_err(|_| {
        ApiError::Set(ErrorBody::new(
            SetErr::InvalidRequest,
            "there is more than one token in the query",
        ))
    })?;
    match (auth::authorization(&parts.headers), token) {
        (Some(_), Some(_)) => Err(ApiError::Set(ErrorBody::new(
            SetErr::InvalidRequest,
            "there is a token in the query and another in the Authorization header",
        ))),
        (Some(header), None) => Ok(header.to_owned()),
        (None, token) => Ok(token.map(|token| format!("Bearer {token}")).unwrap_or_default()),
    }
}

/// PUSH-2.3-8: wrong credentials are a SET error too.
fn authenticate(source: &Source, given: &str) -> Result<(), ApiError> {
    let given = crypto::sha256_hex(given);
    let same = |hash: &str| bool::from(given.as_bytes().ct_eq(hash.as_bytes()));
    // One that is being changed is known to the transmitter in one form or the other.
    if same(&source.authorization_hash) || source.former_hash.as_deref().is_some_and(same) {
        return Ok(());
    }
    let error = ErrorBody::new(
        SetErr::AuthenticationFailed,
        "the Authorization header is not the one of this endpoint",
    );
    Err(ApiError::Set(error))
}

/// The key the token names: among the keys given by hand, or those of the issuer, fetched anew when it is not there.
async fn find_key(
    edge: &Edge,
    view: &SourceView,
    token: &Unverified<'_>,
) -> Result<(Jwk, KeysFrom, Vec<String>), ApiError> {
    let choose = |document, may_come| edge_intake::choose(token, document, may_come).map_err(ApiError::Set);
    if let Some(given) = &view.source.jwks
        && let Some(key) = choose(given, false)?
    {
        return Ok((key, KeysFrom::Cached, Vec::new()));
    }
    if let Some(known) = view.keys.as_ref().filter(|keys| are_fresh(keys, now_ms()))
        && let Some(key) = choose(&known.jwks, true)?
    {
        return Ok((key, KeysFrom::Cached, known.critical.clone()));
    }
    let source_id = &view.source.source_id;
    let command = SourceCommand::KeysFor {
        kid: token.header.kid.clone(),
        alg: token.header.alg.clone(),
    };
    let reply = edge.any_source(source_id)?.ask(command).await?;
    let SourceReply::Keys { keys: fetched, wait_ms } = reply else {
        return Err(ApiError::internal("source", "an unexpected reply"));
    };
    // The issuer may have a new key that its document does not show yet. A refusal would be the end of the event; it comes again.
    let Some(key) = choose(&fetched.jwks, wait_ms > 0)? else {
        return Err(ApiError::unavailable(
            "The key is not known yet; the issuer is asked again then.",
            seconds(wait_ms),
        ));
    };
    let critical = fetched.critical.clone();
    VIEWS.with_borrow_mut(|views| {
        if let Some(Known { view: Some(view), .. }) = views.get_mut(source_id) {
            Rc::make_mut(view).keys = Some(fetched);
        }
    });
    let keys = if wait_ms == 0 {
        KeysFrom::Fetched
    } else {
        KeysFrom::Cached
    };
    Ok((key, keys, critical))
}

/// What is known of a source: by this isolate, by the edge's copies, or by the object itself (when `fresh`).
async fn view(edge: &Edge, source_id: &str, fresh: bool) -> Result<Rc<SourceView>, ApiError> {
    if !fresh {
        let now = now_ms();
        let known = VIEWS.with_borrow(|views| {
            let known = views.get(source_id);
            let known = known.filter(|known| now.saturating_sub(known.at) < VIEW_MAX_AGE_MS);
            known.map(|known| known.view.clone())
        });
        if let Some(view) = known {
            return view.ok_or_else(ApiError::not_found);
        }
        if let Some(source) = kv::get::<Source>(edge.env(), &source_copy(source_id)).await {
            let keys = kv::get::<FetchedKeys>(edge.env(), &keys_copy(source_id)).await;
            let view = Rc::new(SourceView { source, keys });
            remember(source_id, false, Some(view.clone()));
            return Ok(view);
        }
    }
    match edge.any_source(source_id)?.tell(SourceCommand::View).await? {
        Ok(SourceReply::View(view)) => {
            let view = Rc::new(*view);
            remember(source_id, true, Some(view.clone()));
            Ok(view)
        }
        Err(Refusal::Gone) => {
            remember(source_id, true, None);
            Err(ApiError::not_found())
        }
        Err(refusal) => Err(ApiError::refused(refusal)),
        Ok(_) => Err(ApiError::internal("source", "an unexpected reply")),
    }
}

fn asked_lately(source_id: &str) -> bool {
    let now = now_ms();
    VIEWS.with_borrow(|views| {
        let known = views.get(source_id);
        known.is_some_and(|known| known.asked && now.saturating_sub(known.at) < DOUBT_MS)
    })
}

fn remember(source_id: &str, asked: bool, view: Option<Rc<SourceView>>) {
    VIEWS.with_borrow_mut(|views| {
        if views.len() >= MAX_VIEWS {
            views.clear();
        }
        let at = now_ms();
        views.insert(source_id.to_owned(), Known { at, asked, view });
    });
}
