//! URLs that others ask us to call: which of them we are willing to call at all.
//!
//! Purely syntactic (no name is resolved: the platform itself cannot reach private networks). One parser, and what is
//! stored, compared and called is always its serialisation (SS-1), because two parsers that disagree are a bypass.

use url::{Host, Url};

/// Longest URL, in bytes (SS-2).
pub const MAX_LENGTH: usize = 2048;

/// Ports of services that must never get a request of ours, whatever else is allowed (SS-3).
const REFUSED_PORTS: [u16; 11] = [0, 22, 25, 53, 445, 2375, 3306, 5432, 6379, 9200, 11211];

/// Names at which, and suffixes under which no public service lives (SS-5). The last ones have public suffixes, but are where
/// clouds tell their machines secrets.
const REFUSED_SUFFIXES: [&str; 22] = [
    "localhost",
    "local",
    "internal",
    "intranet",
    "lan",
    "home",
    "home.arpa",
    "corp",
    "private",
    "test",
    "invalid",
    "onion",
    "arpa",
    "example",
    "localdomain",
    "localdomain6",
    "svc",
    "alt",
    "metadata.goog",
    "metadata.tencentyun.com",
    "metadata.packet.net",
    "metadata.platformequinix.com",
];

/// What the deployment allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UrlPolicy {
    /// Admits http and https on almost any port for localhost, *.localhost, 127.0.0.1 and `[::1]`. For development and tests,
    /// where also the documentation names under `.example` are let in: they resolve nowhere.
    pub allow_loopback: bool,
    /// Our own `host` or `host:port` (no port: the scheme's default). Only `/receive/{source_id}` may be called there.
    pub own_host: Option<String>,
    /// Ports beside 443 that the operator listed (SS-3).
    pub ports: Vec<u16>,
}

impl UrlPolicy {
    /// The policy of whoever lives at this issuer, at whatever path.
    pub fn of_issuer(allow_loopback: bool, issuer: &str) -> Self {
        let issuer = Url::parse(issuer).ok();
        Self {
            allow_loopback,
            own_host: issuer.map(|url| url.authority().to_owned()),
            ports: Vec::new(),
        }
    }
}

/// Why a URL is refused. The texts name the rule, not the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("is longer than {MAX_LENGTH} bytes")]
    TooLong,
    #[error("contains white space, a backslash, a control or a non-ASCII character")]
    Characters,
    #[error("is not an absolute URL")]
    Syntax,
    #[error("must be an https URL")]
    Scheme,
    #[error("must not contain user information")]
    UserInfo,
    #[error("must not contain a fragment")]
    Fragment,
    #[error("must use port 443")]
    Port,
    #[error("must name its host, not give an IP address")]
    IpAddress,
    #[error("must have a public host name")]
    NotPublic,
    #[error("must not point at this service itself")]
    OwnHost,
}

/// An acceptable URL in its serialised form. Stored as text and parsed again before each use, as the policy may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointUrl(Url);

impl EndpointUrl {
    /// Checks rules SS-2 to SS-6.
    pub fn parse(text: &str, policy: &UrlPolicy) -> Result<EndpointUrl, UrlError> {
        check_text(text)?;
        let mut url = Url::parse(text).map_err(|_| UrlError::Syntax)?;
        check_authority_text(text)?;
        if url.fragment().is_some() {
            return Err(UrlError::Fragment);
        }
        drop_trailing_dot(&mut url)?;
        let loopback = policy.allow_loopback && is_loopback(&url);
        if url.scheme() != "https" && !(loopback && url.scheme() == "http") {
            return Err(UrlError::Scheme);
        }
        if let Some(own) = own_url(&url, policy).filter(|own| is_own(&url, own)) {
            let there = same_port(&url, &own) && !is_preview(&url, &own) && is_receive_endpoint(&url);
            return if there {
                Ok(EndpointUrl(url))
            } else {
                Err(UrlError::OwnHost)
            };
        }
        if !loopback {
            check_public(&url, policy)?;
        }
        if url.port().is_some_and(|port| REFUSED_PORTS.contains(&port)) {
            return Err(UrlError::Port);
        }
        Ok(EndpointUrl(url))
    }

    /// The one form that is stored, compared and called.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub fn host(&self) -> String {
        self.0.host_str().unwrap_or_default().to_owned()
    }

    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or_default()
    }

    /// Host and port.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host(), self.port())
    }

    /// Scheme, host and any unusual port: `https://rp.example`.
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }
}

/// Whether a client was registered with this endpoint beforehand.
///
/// An entry whose path ends in `/` (a bare origin does) covers everything below it, any other exactly itself. Both sides
/// are compared in serialised form, where dot segments are gone already.
pub fn registered(url: &EndpointUrl, entries: &[String]) -> bool {
    covers(&url.0, entries)
}

/// The same of a URL that was checked before, as it is stored.
pub fn still_registered(url: &str, entries: &[String]) -> bool {
    Url::parse(url).is_ok_and(|url| covers(&url, entries))
}

fn covers(url: &Url, entries: &[String]) -> bool {
    entries.iter().filter_map(|entry| Url::parse(entry).ok()).any(|entry| {
        let prefix = entry.path().ends_with('/') && entry.query().is_none() && entry.fragment().is_none();
        if !prefix {
            return entry == *url;
        }
        entry.origin() == url.origin()
            && url
                .path()
                .strip_prefix(entry.path())
                .is_some_and(|rest| !has_encoded_separator(rest))
    })
}

/// An encoded slash or backslash may become a separator at the target, and dots after it climb out of the prefix.
fn has_encoded_separator(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    path.contains("%2f") || path.contains("%5c")
}

fn check_text(text: &str) -> Result<(), UrlError> {
    if text.len() > MAX_LENGTH {
        return Err(UrlError::TooLong);
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return Err(UrlError::Characters);
    }
    Ok(())
}

/// The parser repairs `https:host`, `https:///host` and `https://@host`, and decodes `%` in host names. None of that
/// comes from an honest configuration, so the text itself has to be in order.
fn check_authority_text(text: &str) -> Result<(), UrlError> {
    let (_, rest) = text.split_once("://").ok_or(UrlError::Syntax)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(UrlError::UserInfo);
    }
    if authority.is_empty() || authority.contains('%') {
        return Err(UrlError::Syntax);
    }
    Ok(())
}

/// `rp.example.` and `rp.example` are one host (SS-4).
fn drop_trailing_dot(url: &mut Url) -> Result<(), UrlError> {
    let stripped = match url.host() {
        Some(Host::Domain(name)) => name.strip_suffix('.').map(str::to_owned),
        _ => None,
    };
    match stripped {
        // One more would be dropped where the rest is an address.
        Some(name) if name.ends_with('.') => Err(UrlError::NotPublic),
        Some(name) => url.set_host(Some(&name)).map_err(|_| UrlError::NotPublic),
        None => Ok(()),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address == std::net::Ipv4Addr::LOCALHOST,
        Some(Host::Ipv6(address)) => address == std::net::Ipv6Addr::LOCALHOST,
        None => false,
    }
}

/// Whether the URL leads back to us (SS-6). On a public name every port is ours; on loopback, where many services share
/// one host, the port decides, and all loopback names are one.
fn is_own(url: &Url, own: &Url) -> bool {
    if is_loopback(own) {
        is_loopback(url) && same_port(url, own)
    } else {
        own.host() == url.host() || is_preview(url, own)
    }
}

/// Versions of a Worker that are not deployed are at its name on `workers.dev` with something before it, and share its objects.
fn is_preview(url: &Url, own: &Url) -> bool {
    let own = own.host_str().filter(|own| own.ends_with(".workers.dev"));
    let before = own.and_then(|own| url.host_str()?.strip_suffix(own));
    before.is_some_and(|before| before.ends_with('-'))
}

fn same_port(url: &Url, own: &Url) -> bool {
    url.port_or_known_default() == own.port_or_known_default()
}

/// Our own origin, read with the other URL's scheme.
fn own_url(url: &Url, policy: &UrlPolicy) -> Option<Url> {
    let mut own = Url::parse(&format!("{}://{}/", url.scheme(), policy.own_host.as_deref()?)).ok()?;
    drop_trailing_dot(&mut own).ok()?;
    Some(own)
}

/// Our own `/receive/{source_id}`: the one place here that expects pushes (design 11).
fn is_receive_endpoint(url: &Url) -> bool {
    let id = url.path().strip_prefix("/receive/").unwrap_or_default();
    url.query().is_none() && id.len() == 64 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn check_public(url: &Url, policy: &UrlPolicy) -> Result<(), UrlError> {
    let name = match url.host() {
        Some(Host::Domain(name)) => name,
        Some(_) => return Err(UrlError::IpAddress),
        None => return Err(UrlError::Syntax),
    };
    if url
        .port()
        .is_some_and(|port| REFUSED_PORTS.contains(&port) || !policy.ports.contains(&port))
    {
        return Err(UrlError::Port);
    }
    let labels: Vec<&str> = name.split('.').collect();
    if name.len() > 253 || labels.len() < 2 || !labels.iter().all(|label| is_host_label(label)) {
        return Err(UrlError::NotPublic);
    }
    let refused = REFUSED_SUFFIXES.iter().any(|suffix| {
        let under = name
            .strip_suffix(suffix)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        under && !(policy.allow_loopback && *suffix == "example")
    });
    if refused { Err(UrlError::NotPublic) } else { Ok(()) }
}

/// Letters, digits and inner hyphens, as host names have them; the parser has made it lower case and A-label form.
pub(super) fn is_host_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests;
