//! Every setting of a deployment, in one table: name, unit, default, and what it is for.
//!
//! They come from wrangler `vars` and secrets, or from the environment under `npm run serve`. A value that does not parse, or
//! a name that is not in the table, makes the Worker refuse all requests: a setting is never accepted and ignored.

use base64ct::{Base64UrlUnpadded, Encoding};
use thiserror::Error;

use crate::delivery::bounds::Bounds;
use crate::delivery::courier;
use crate::delivery::retry::RetryPolicy;
use crate::protocol::operator_request::{MAX_RATE, MAX_WINDOW};
use crate::protocol::secret::Secret;
use crate::receiver::watch;
use crate::transmitter::{grant, live};

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    pub name: &'static str,
    /// As text; empty when there is none.
    pub default: &'static str,
    pub unit: &'static str,
    pub text: &'static str,
}

const fn row(name: &'static str, default: &'static str, unit: &'static str, text: &'static str) -> Setting {
    Setting {
        name,
        default,
        unit,
        text,
    }
}

/// The table. `src/edge/settings.json` is this in JSON, for the launcher; a test keeps them equal.
#[rustfmt::skip]
pub const TABLE: &[Setting] = &[
    row("ADMIN_TOKEN", "", "secret", "Bearer token of the operator. Unset: there is no admin API."),
    row("KEY_ENCRYPTION_KEY", "", "secret, 32 bytes base64url", "Encrypts private keys and receivers' secrets at rest. Required."),
    row("PUBLIC_URL", "", "origin", "Origin of every advertised URL. Unset: the origin of the first operator request, pinned then."),
    row("ALLOW_LOOPBACK", "0", "0 or 1", "1 accepts http and loopback endpoints: development and tests only."),
    row("DEVELOPMENT", "0", "0 or 1", "1 hands the operator's token to the page on a loopback host: development only."),
    row("WINDOW", "6", "pushes", "Pushes in flight at once on one stream; 1 gives strict order across subjects."),
    row("PUSH_TIMEOUT_MS", "15000", "ms", "A push without a complete answer by then has failed."),
    row("RETRY_BASE_MS", "1000", "ms", "Longest wait after the first failure; doubles with each further one."),
    row("RETRY_CAP_MS", "300000", "ms", "Longest wait between two attempts that the endpoint did not ask for."),
    row("GIVE_UP_AFTER_S", "259200", "s", "An event that failed for this long goes to the dead letters."),
    row("GIVE_UP_ATTEMPTS", "0", "attempts", "An event that failed so often goes there, too; 0 leaves it to the time."),
    row("RUN_MS", "20000", "ms", "One delivery run starts no push after this; the next run goes on."),
    row("LINGER_MS", "200", "ms", "Where events come faster than this, a delivery run with nothing to push waits so long for the next before it ends."),
    row("REQUEST_RATE", "600", "requests/min", "The rate that endpoints are asked for in the handshake, where the operator chose no other for the stream."),
    row("GRANT_TTL_S", "2592000", "s", "An endpoint's consent is asked for again after this; 0: it never ends."),
    row("GRANT_WINDOW_S", "86400", "s", "A handshake takes this long at most: until then an endpoint may use the callback, and one that cannot answer is asked again."),
    row("HANDSHAKE_TIMEOUT_MS", "10000", "ms", "An endpoint that has not answered OPTIONS by then is asked again later."),
    row("HANDSHAKE_RETRY_MS", "10000", "ms", "After this at first; then after 6 and 30 times as long."),
    row("HANDSHAKES_PER_HOST", "5", "requests", "OPTIONS that one host and port gets from one tenant in ten minutes; more wait."),
    row("CALLBACK_DELAY_MS", "1000", "ms", "As target: a sender's callback is called this long after its OPTIONS was answered."),
    row("CALLBACK_RETRY_MS", "2000", "ms", "As target: a callback that failed is called again after this, then after 5 and 30 times as long."),
    row("OUTBOX_EVENTS", "100000", "events", "A stream with so many waiting events takes nothing new: its share of a publish is refused."),
    row("OUTBOX_BYTES", "200000000", "bytes", "The same bound in bytes."),
    row("OUTBOX_AGE_S", "604800", "s", "A stream whose oldest event waits for longer takes nothing new either."),
    row("DEAD_LETTERS", "10000", "letters", "Dead letters of one stream; beyond them the oldest go."),
    row("DEAD_LETTER_RETENTION_S", "2592000", "s", "A dead letter is kept this long."),
    row("RETENTION_S", "604800", "s", "Delivered events are kept this long for replay; 0 keeps nothing of an event after its acknowledgement but, for 10 minutes, its id."),
    row("INBOX_RETENTION_S", "2592000", "s", "Received events are kept this long, and so is the memory of their jti."),
    row("SEQUENCE_GRACE_MS", "30000", "ms", "CloudEvents that are missing in the order of their source may come so late before that is told."),
    row("LONG_POLL_MS", "25000", "ms", "A poll without events is held this long."),
    row("STREAMS_PER_CLIENT", "10", "streams", "A client that has this many gets 409 for a further one."),
    row("TOKEN_TTL_S", "3600", "s", "Life of an access token; at most 3600."),
    row("JWKS_MAX_AGE_S", "300", "s", "How long others may cache our keys."),
    row("WATCH_S", "3600", "s", "A managed source's stream is looked after at its transmitter at least this often: its status is asked for, and a verification event."),
    row("VERIFICATION_WAIT_S", "600", "s", "A verification event that did not come by then is reported as a problem of the source."),
    row("SETUP_AGAIN_S", "3600", "s", "A step of a source's set-up that the transmitter refused is tried again after this."),
    row("REMOTE_TIMEOUT_MS", "10000", "ms", "A transmitter that has not answered a request of a source by then is asked again later; polls apart."),
    row("POLL_TIMEOUT_MS", "60000", "ms", "A poll of a source without a complete answer by then is given up, and followed by one that wants an answer at once."),
    row("POLL_IDLE_MS", "5000", "ms", "A transmitter that holds no polls is polled again after this when it has nothing, and then ever more seldom up to a minute."),
    row("LEAVE_BEHIND_S", "86400", "s", "A deleted source whose transmitter does not let go of the stream for this long is left behind there."),
    row("KEY_REFETCH_MS", "60000", "ms", "A source's issuer is asked for its keys at most this often."),
];

/// The parsed settings of this deployment.
#[derive(Debug, Clone)]
pub struct Settings {
    pub admin_token: Option<Secret<String>>,
    pub key_encryption_key: Secret<Vec<u8>>,
    pub public_url: Option<String>,
    pub allow_loopback: bool,
    pub development: bool,
    pub push_timeout_ms: u32,
    pub delivery: live::Rules,
    pub run_ms: u64,
    pub linger_ms: u64,
    pub inbox_retention_ms: u64,
    pub sequence_grace_ms: u64,
    pub long_poll_ms: u64,
    pub streams_per_client: u64,
    pub token_ttl_s: i64,
    pub jwks_max_age_s: u64,
    pub key_refetch_ms: u64,
    pub handshakes_per_host: u32,
    pub callback_delay_ms: u64,
    pub callback_retry_ms: u64,
    pub remote: Remote,
}

/// How a source deals with its transmitter.
#[derive(Debug, Clone, Copy)]
pub struct Remote {
    pub watch: watch::Rules,
    pub again_ms: u64,
    pub timeout_ms: u32,
    pub poll_timeout_ms: u32,
    pub poll_idle_ms: u64,
    pub leave_behind_ms: u64,
}

/// Why a deployment's settings are refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingsError {
    #[error("{0} is not a setting")]
    Unknown(String),
    #[error("{0} is required")]
    Missing(&'static str),
    #[error("{name} must be {wanted}")]
    Malformed { name: &'static str, wanted: String },
}

impl Settings {
    /// Reads settings from names and values, as an environment gives them. An empty value counts as not set.
    pub fn from_pairs(pairs: &[(String, String)]) -> Result<Self, SettingsError> {
        if let Some((name, _)) = pairs.iter().find(|(name, _)| TABLE.iter().all(|row| row.name != name)) {
            return Err(SettingsError::Unknown(name.clone()));
        }
        let given = Given(pairs);
        let key = given
            .text("KEY_ENCRYPTION_KEY")
            .ok_or(SettingsError::Missing("KEY_ENCRYPTION_KEY"))?;
        let key = Base64UrlUnpadded::decode_vec(key.trim_end_matches('='))
            .ok()
            .filter(|bytes| bytes.len() == 32)
            .ok_or_else(|| malformed("KEY_ENCRYPTION_KEY", "32 bytes in base64url"))?;
        Ok(Self {
            admin_token: given.text("ADMIN_TOKEN").map(admin_token).transpose()?,
            key_encryption_key: Secret::new(key),
            public_url: given.text("PUBLIC_URL").map(origin).transpose()?,
            allow_loopback: given.flag("ALLOW_LOOPBACK")?,
            development: given.flag("DEVELOPMENT")?,
            push_timeout_ms: u32::try_from(given.number("PUSH_TIMEOUT_MS", 1, 60_000)?).unwrap_or(u32::MAX),
            delivery: delivery(&given)?,
            // An alarm may run for 15 minutes on the platform; deploys want it far shorter.
            run_ms: given.number("RUN_MS", 1, 600_000)?,
            // It is time that an object is paid for, and a run that goes on may not outlive its alarm.
            linger_ms: given.number("LINGER_MS", 0, 10_000)?,
            inbox_retention_ms: given.number("INBOX_RETENTION_S", 60, 315_360_000)? * 1000,
            sequence_grace_ms: given.number("SEQUENCE_GRACE_MS", 1, 86_400_000)?,
            long_poll_ms: given.number("LONG_POLL_MS", 0, 25_000)?,
            streams_per_client: given.number("STREAMS_PER_CLIENT", 1, 1_000)?,
            token_ttl_s: i64::try_from(given.number("TOKEN_TTL_S", 1, 3600)?).unwrap_or(3600),
            jwks_max_age_s: given.number("JWKS_MAX_AGE_S", 0, 86_400)?,
            key_refetch_ms: given.number("KEY_REFETCH_MS", 0, 86_400_000)?,
            handshakes_per_host: u32::try_from(given.number("HANDSHAKES_PER_HOST", 1, 1_000_000)?).unwrap_or(1),
            callback_delay_ms: given.number("CALLBACK_DELAY_MS", 1, 60_000)?,
            callback_retry_ms: given.number("CALLBACK_RETRY_MS", 1, 600_000)?,
            remote: remote(&given)?,
        })
    }
}

fn delivery(given: &Given) -> Result<live::Rules, SettingsError> {
    const YEAR_S: u64 = 31_536_000;
    let ms = |name, least| Ok(given.number(name, least, YEAR_S)? * 1000);
    let count = |name, most| Ok(u32::try_from(given.number(name, 0, most)?).unwrap_or(u32::MAX));
    Ok(live::Rules {
        courier: courier::Policy {
            window: given.number("WINDOW", 1, u64::from(MAX_WINDOW))? as usize,
            retry: RetryPolicy {
                base_ms: given.number("RETRY_BASE_MS", 1, 3_600_000)?,
                cap_ms: given.number("RETRY_CAP_MS", 1, 86_400_000)?,
                give_up_after_ms: ms("GIVE_UP_AFTER_S", 0)?,
                give_up_attempts: count("GIVE_UP_ATTEMPTS", 1_000_000)?,
            },
        },
        bounds: Bounds {
            events: given.number("OUTBOX_EVENTS", 1, 100_000_000)?,
            // An object stores 10 GB at most, and what was delivered is kept beside what waits.
            bytes: given.number("OUTBOX_BYTES", 1, 4_000_000_000)?,
            age_ms: ms("OUTBOX_AGE_S", 1)?,
        },
        retention_ms: ms("RETENTION_S", 0)?,
        dead_letters: count("DEAD_LETTERS", 1_000_000)?,
        dead_letter_ms: ms("DEAD_LETTER_RETENTION_S", 1)?,
        consent: grant::Rules {
            request_rate: u32::try_from(given.number("REQUEST_RATE", 1, u64::from(MAX_RATE))?).unwrap_or(MAX_RATE),
            ttl_ms: ms("GRANT_TTL_S", 0)?,
            window_ms: given.number("GRANT_WINDOW_S", 1, 604_800)? * 1000,
            retry_ms: given.number("HANDSHAKE_RETRY_MS", 1, 3_600_000)?,
            timeout_ms: u32::try_from(given.number("HANDSHAKE_TIMEOUT_MS", 1, 60_000)?).unwrap_or(60_000),
        },
    })
}

fn remote(given: &Given) -> Result<Remote, SettingsError> {
    let seconds = |name| Ok(given.number(name, 1, 31_536_000)? * 1000);
    let timeout = |name, most| Ok(u32::try_from(given.number(name, 1, most)?).unwrap_or(u32::MAX));
    Ok(Remote {
        watch: watch::Rules {
            every_ms: seconds("WATCH_S")?,
            answer_ms: seconds("VERIFICATION_WAIT_S")?,
        },
        again_ms: seconds("SETUP_AGAIN_S")?,
        timeout_ms: timeout("REMOTE_TIMEOUT_MS", 60_000)?,
        poll_timeout_ms: timeout("POLL_TIMEOUT_MS", 120_000)?,
        poll_idle_ms: given.number("POLL_IDLE_MS", 1, 3_600_000)?,
        leave_behind_ms: seconds("LEAVE_BEHIND_S")?,
    })
}

struct Given<'a>(&'a [(String, String)]);

impl Given<'_> {
    fn text(&self, name: &'static str) -> Option<&str> {
        let given = self
            .0
            .iter()
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.as_str());
        let default = || TABLE.iter().find(|row| row.name == name).map(|row| row.default);
        given
            .filter(|value| !value.is_empty())
            .or_else(default)
            .filter(|value| !value.is_empty())
    }

    fn flag(&self, name: &'static str) -> Result<bool, SettingsError> {
        match self.text(name) {
            None | Some("0") => Ok(false),
            Some("1") => Ok(true),
            Some(_) => Err(malformed(name, "0 or 1")),
        }
    }

    fn number(&self, name: &'static str, least: u64, most: u64) -> Result<u64, SettingsError> {
        let wanted = || malformed(name, &format!("a whole number from {least} to {most}"));
        let text = self.text(name).ok_or_else(wanted)?;
        text.parse::<u64>()
            .ok()
            .filter(|value| (least..=most).contains(value))
            .ok_or_else(wanted)
    }
}

/// A token that a client can present: only these characters may stand in a bearer token (RFC 6750, section 2.1).
fn admin_token(text: &str) -> Result<Secret<String>, SettingsError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if text.trim_end_matches('=').bytes().all(legal) {
        Ok(Secret::new(text.to_owned()))
    } else {
        Err(malformed("ADMIN_TOKEN", "made of letters, digits and -._~+/ only"))
    }
}

/// An origin: scheme and authority in their serialised form, nothing after.
fn origin(text: &str) -> Result<String, SettingsError> {
    let wanted = || malformed("PUBLIC_URL", "an http or https origin without a path");
    let url = url::Url::parse(text).map_err(|_| wanted())?;
    let origin = url.origin().ascii_serialization();
    let bare = matches!(url.scheme(), "http" | "https")
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if bare { Ok(origin) } else { Err(wanted()) }
}

fn malformed(name: &'static str, wanted: &str) -> SettingsError {
    SettingsError::Malformed {
        name,
        wanted: wanted.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: (&str, &str) = ("KEY_ENCRYPTION_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Settings::from_pairs(&pairs)
    }

    #[test]
    fn only_the_key_is_required_and_the_rest_has_defaults() {
        assert_eq!(read(&[]).unwrap_err(), SettingsError::Missing("KEY_ENCRYPTION_KEY"));
        let settings = read(&[KEY]).unwrap();
        assert_eq!(settings.admin_token, None);
        assert_eq!(
            (settings.delivery.courier.window, settings.push_timeout_ms),
            (6, 15_000)
        );
        assert_eq!(settings.delivery.courier.retry.give_up_after_ms, 72 * 3_600_000);
        assert!(!settings.allow_loopback && !settings.development);
        assert!(!format!("{settings:?}").contains("AAEC"), "secrets stay out of logs");
    }

    #[test]
    fn what_is_unknown_or_malformed_is_refused() {
        assert_eq!(
            read(&[KEY, ("WINDOWS", "6")]).unwrap_err(),
            SettingsError::Unknown("WINDOWS".into())
        );
        for (name, value) in [
            ("WINDOW", "0"),
            ("WINDOW", "six"),
            ("WINDOW", "-1"),
            ("WINDOW", "1.5"),
            ("TOKEN_TTL_S", "3601"),
            ("LONG_POLL_MS", "25001"),
            ("ALLOW_LOOPBACK", "true"),
            ("ADMIN_TOKEN", "correct horse"),
            ("ADMIN_TOKEN", "p@ss"),
            ("PUBLIC_URL", "heliograph.example"),
            ("PUBLIC_URL", "https://heliograph.example/path"),
            ("PUBLIC_URL", "https://u:p@heliograph.example"),
            ("PUBLIC_URL", "ftp://heliograph.example"),
        ] {
            let error = read(&[KEY, (name, value)]).unwrap_err();
            assert!(
                matches!(error, SettingsError::Malformed { name: found, .. } if found == name),
                "{name}={value}"
            );
        }
        assert!(read(&[("KEY_ENCRYPTION_KEY", "c2hvcnQ")]).is_err());
    }

    #[test]
    fn an_origin_is_kept_in_one_form_and_an_empty_value_counts_as_unset() {
        let settings = read(&[KEY, ("PUBLIC_URL", "HTTPS://Heliograph.example:443/"), ("WINDOW", "")]).unwrap();
        assert_eq!(settings.public_url.as_deref(), Some("https://heliograph.example"));
        assert_eq!(settings.delivery.courier.window, 6);
    }

    #[test]
    fn the_launchers_list_is_this_table() {
        let rows: Vec<_> = TABLE
            .iter()
            .map(
                |row| serde_json::json!({"name": row.name, "default": row.default, "unit": row.unit, "text": row.text}),
            )
            .collect();
        let expected = format!("{}\n", serde_json::to_string_pretty(&rows).unwrap());
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/edge/settings.json");
        if std::env::var_os("UPDATE_SETTINGS").is_some() {
            std::fs::write(path, &expected).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(
            found, expected,
            "run: UPDATE_SETTINGS=1 cargo test --lib the_launchers_list"
        );
    }
}
