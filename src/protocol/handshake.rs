//! The validation handshake of CloudEvents web hooks (section 4): what is asked, and what the answers mean. Both sides use it.
//!
//! Consent is a header that names the asker, never a status code alone (WH-4.2-6), and what contradicts itself is none.

use serde::{Serialize, Serializer};
use serde_json::Value;
use url::{Host, Url};

use super::record::{self, Fault, Record};

/// Headers of requests and answers, in lower case.
pub const REQUEST_ORIGIN: &str = "webhook-request-origin";
pub const REQUEST_CALLBACK: &str = "webhook-request-callback";
pub const REQUEST_RATE: &str = "webhook-request-rate";
pub const ALLOWED_ORIGIN: &str = "webhook-allowed-origin";
pub const ALLOWED_RATE: &str = "webhook-allowed-rate";

/// A target that says nothing of the rate it was asked about gets at most this many requests a minute (WH-4.2-13).
const UNSAID_RATE: u32 = 60;

/// How many requests a minute somebody may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// `*`
    Unlimited,
    /// At least 1.
    PerMinute(u32),
}

impl Rate {
    /// Reads the value of a header (WH-4.2-4, WH-4.2-12): `*`, or one to ten digits that are more than zero.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Unlimited);
        }
        let digits = (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse::<u64>().ok().filter(|number| digits && *number > 0)?;
        Some(Self::PerMinute(u32::try_from(number).unwrap_or(u32::MAX)))
    }

    /// As a header has it.
    pub fn text(self) -> String {
        match self {
            Self::Unlimited => "*".to_owned(),
            Self::PerMinute(number) => number.to_string(),
        }
    }

    /// The stricter of both.
    pub fn min(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unlimited, rate) | (rate, Self::Unlimited) => rate,
            (Self::PerMinute(one), Self::PerMinute(other)) => Self::PerMinute(one.min(other)),
        }
    }

    /// Requests a minute, where there is a limit.
    pub fn per_minute(self) -> Option<u32> {
        match self {
            Self::Unlimited => None,
            Self::PerMinute(number) => Some(number),
        }
    }
}

/// In JSON a number, or `"*"`.
impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unlimited => serializer.serialize_str("*"),
            Self::PerMinute(number) => serializer.serialize_u32(*number),
        }
    }
}

impl super::json::ToJson for Rate {
    fn to_json(&self) -> Value {
        record::document(self)
    }
}

impl Record for Rate {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Unlimited => record::plain_variant(out, "*"),
            Self::PerMinute(number) => number.write(out),
        }
    }

    fn take(value: Value, fault: &mut Fault) -> Self {
        match value.as_u64().and_then(|number| u32::try_from(number).ok()) {
            Some(number) if number > 0 => Self::PerMinute(number),
            None if value == "*" => Self::Unlimited,
            _ => {
                fault.note();
                Self::Unlimited
            }
        }
    }
}

/// The origin by which a sender is known to targets: the host of its issuer. It names the system, not one machine or port
/// (WH-4.1-2, WH-4.1-4).
pub fn origin_of(issuer: &str) -> String {
    let url = Url::parse(issuer).ok();
    url.as_ref().and_then(Url::host_str).unwrap_or_default().to_owned()
}

/// An origin in the form that is compared and kept: lower case, without one trailing dot (WH-4.2-10). `None` for what is no
/// host name: letters, digits and inner hyphens in labels, nothing else. Loopback addresses are for development. `null` is what
/// browsers say for an origin without a name.
pub fn normal_origin(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let address = name.starts_with('[') && matches!(Host::parse(&name), Ok(Host::Ipv6(_)));
    let host = name.len() <= 253 && name != "null" && name.split('.').all(super::endpoint_url::is_host_label);
    (address || host).then_some(name)
}

/// Whether an origin is one that the public knows (WH-4.1-4): at least two labels, and no address.
pub fn is_public_origin(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    name.contains('.') && !last.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a target that names `allowed` means the sender `origin` (WH-4.2-2, WH-4.2-10). Exactly: a prefix, a suffix or a list
/// is somebody else.
pub fn allows(allowed: &str, origin: &str) -> bool {
    let allowed = allowed.trim_matches([' ', '\t']);
    let plain = |text: &str| text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    allowed == "*" || plain(allowed) == plain(origin)
}

/// What a target answered to `OPTIONS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Granted {
        rate: Rate,
        /// The target did not say it, though it was asked.
        rate_missing: bool,
    },
    /// It does not want our events. Final until it is asked anew.
    Refused(String),
    /// It does not take part in the handshake, or not so that it could be understood.
    Unsupported(String),
    /// It may grant later, through the callback.
    Later,
    /// It could not answer now.
    Again {
        detail: String,
        retry_after: Option<String>,
    },
}

/// Reads an answer. `header` gives a header's value, several of one name joined by commas as HTTP has it.
pub fn read_answer(
    status: u16,
    header: impl Fn(&str) -> Option<String>,
    origin: &str,
    requested: Option<u32>,
) -> Answer {
    match status {
        200..=299 => {}
        // WH-4-6, WH-4.2-9: whatever the headers say.
        401 | 403 | 410 => return Answer::Refused(format!("the endpoint answered {status}")),
        408 | 425 | 429 | 500 | 502..=599 => {
            return Answer::Again {
                detail: format!("the endpoint answered {status}"),
                retry_after: header("retry-after"),
            };
        }
        300..=399 => {
            return Answer::Unsupported(format!("the endpoint answered {status}: redirects are not followed"));
        }
        _ => return Answer::Unsupported(format!("the endpoint answered {status}: it does not take part")),
    }
    let Some(allowed) = header(ALLOWED_ORIGIN) else {
        // A rate without an origin is no consent either.
        return Answer::Later;
    };
    if allowed.contains(',') || allowed.trim().is_empty() {
        return Answer::Unsupported("the endpoint's WebHook-Allowed-Origin is not one name".to_owned());
    }
    if !allows(&allowed, origin) {
        return Answer::Refused("the endpoint allows another origin".to_owned());
    }
    match (header(ALLOWED_RATE), requested) {
        (Some(text), _) => match Rate::parse(text.trim_matches([' ', '\t'])) {
            Some(rate) => Answer::Granted {
                rate,
                rate_missing: false,
            },
            None => Answer::Unsupported("the endpoint's WebHook-Allowed-Rate is no rate".to_owned()),
        },
        (None, requested) => Answer::Granted {
            rate: Rate::PerMinute(requested.unwrap_or(UNSAID_RATE).min(UNSAID_RATE)),
            rate_missing: true,
        },
    }
}

/// What a target said through the callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallbackFault {
    #[error("WebHook-Allowed-Rate must be * or a whole number above 0 of at most ten digits")]
    Rate,
    #[error("WebHook-Allowed-Origin does not name this service")]
    Origin,
}

/// Reads the headers of a callback: the rate, if it says one (WH-4.1-21, WH-4.1-25, WH-4.1-26).
pub fn read_callback(rate: Option<&str>, allowed: Option<&str>, origin: &str) -> Result<Option<Rate>, CallbackFault> {
    if allowed.is_some_and(|allowed| !allows(allowed, origin)) {
        return Err(CallbackFault::Origin);
    }
    rate.map(|text| Rate::parse(text.trim_matches([' ', '\t'])).ok_or(CallbackFault::Rate))
        .transpose()
}

#[cfg(test)]
mod tests;
