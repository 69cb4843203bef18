//! Query strings.

use crate::edge::error::ApiError;
use crate::edge::web::Uri;

/// A parameter of the query, decoded. Given twice it would mean two things.
pub fn parameter(uri: &Uri, name: &str) -> Result<Option<String>, ApiError> {
    let query = uri.query().unwrap_or_default();
    let mut values = url::form_urlencoded::parse(query.as_bytes()).filter(|(found, _)| found == name);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some((_, value)), None) => Ok(Some(value.into_owned())),
        (Some(_), Some(_)) => Err(ApiError::bad_request(format!("{name} is given more than once."))),
    }
}

/// A cursor and a limit, as our lists take them: the cursor is what an earlier answer gave.
pub fn page(uri: &Uri, most: u32) -> Result<(i64, u32), ApiError> {
    let after = match parameter(uri, "after")? {
        None => 0,
        Some(text) if text.is_empty() => 0,
        Some(text) => text
            .parse()
            .ok()
            .filter(|after| (0..=i64::from(u32::MAX) << 20).contains(after))
            .ok_or_else(|| ApiError::bad_request("after must be a cursor from an earlier answer."))?,
    };
    Ok((after, limit(uri, most)?))
}

/// How many entries a list shall have.
pub fn limit(uri: &Uri, most: u32) -> Result<u32, ApiError> {
    match parameter(uri, "limit")? {
        None => Ok(most.min(100)),
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=most).contains(limit))
            .ok_or_else(|| ApiError::bad_request(format!("limit must be a whole number from 1 to {most}."))),
    }
}

/// A parameter that there has to be.
pub fn required(uri: &Uri, name: &str) -> Result<String, ApiError> {
    parameter(uri, name)?.ok_or_else(|| ApiError::bad_request(format!("Name it in the query: ?{name}=…")))
}
