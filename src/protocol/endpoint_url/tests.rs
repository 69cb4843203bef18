use super::*;
use crate::protocol::mutate;

const RECEIVE: &str = "/receive/00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn production() -> UrlPolicy {
    UrlPolicy {
        allow_loopback: false,
        own_host: Some("signals.quarry.io".into()),
        ports: Vec::new(),
    }
}

fn development() -> UrlPolicy {
    UrlPolicy {
        allow_loopback: true,
        own_host: Some("localhost:8787".into()),
        ports: Vec::new(),
    }
}

fn refusal(text: &str, policy: &UrlPolicy) -> Option<UrlError> {
    EndpointUrl::parse(text, policy).err()
}

#[test]
fn public_https_urls_are_accepted_in_serialised_form() {
    for (text, expected) in [
        ("https://rp.harbour.io/events", "https://rp.harbour.io/events"),
        ("https://rp.harbour.io", "https://rp.harbour.io/"),
        ("https://rp.harbour.io:443/a", "https://rp.harbour.io/a"),
        ("HTTPS://RP.Harbour.IO/Events?a=B", "https://rp.harbour.io/Events?a=B"),
        ("https://rp.harbour.io./events", "https://rp.harbour.io/events"),
        ("https://rp.harbour.io/a/../b/%2e%2E/c", "https://rp.harbour.io/c"),
        ("https://xn--hxajbheg2az3al.gr/x", "https://xn--hxajbheg2az3al.gr/x"),
        ("https://a.b.c.d.e.co/", "https://a.b.c.d.e.co/"),
        ("https://1.2.3.4.co/", "https://1.2.3.4.co/"),
        ("https://notlocalhost.io/", "https://notlocalhost.io/"),
        ("https://mylocal.io/", "https://mylocal.io/"),
    ] {
        assert_eq!(
            EndpointUrl::parse(text, &production())
                .as_ref()
                .map(EndpointUrl::as_str),
            Ok(expected),
            "{text}"
        );
    }
}

/// SS-2 to SS-5, and T-X-01: none of these may ever be called, with or without loopback allowed.
#[test]
fn hostile_urls_are_refused() {
    use UrlError::*;
    for (text, expected) in [
        // not a URL, or one that only a lenient parser reads
        ("", Syntax),
        ("/events", Syntax),
        ("rp.harbour.io/events", Syntax),
        ("//rp.harbour.io/events", Syntax),
        ("https:rp.harbour.io", Syntax),
        ("https:/rp.harbour.io", Syntax),
        ("https:///rp.harbour.io", Syntax),
        ("https://", Syntax),
        ("https://%72p.harbour.io/", Syntax),
        ("https://rp.harbour.io:65536/", Syntax),
        // characters
        (" https://rp.harbour.io/", Characters),
        ("https://rp.harbour.io/a b", Characters),
        ("https://rp.harbour.io/\n", Characters),
        ("https://rp.har\tbour.io/", Characters),
        ("https://rp.harbour.io/\r\nx: y", Characters),
        ("https:\\\\rp.harbour.io\\", Characters),
        ("https://rp.harbour.io\\@evil.io/", Characters),
        ("https://bücher.io/", Characters),
        ("https://１２７.0.0.1/", Characters), // full-width digits
        ("https://127。0。0。1/", Characters), // full-width dots
        ("https://rp.harbour.io/\u{0}", Characters),
        ("https://rp.harbour.io/\u{7f}", Characters),
        // scheme
        ("http://rp.harbour.io/", Scheme),
        ("ftp://rp.harbour.io/", Scheme),
        ("wss://rp.harbour.io/", Scheme),
        ("file:///etc/passwd", Syntax),
        ("javascript:alert(1)", Syntax),
        ("data:text/plain,x", Syntax),
        ("gopher://rp.harbour.io/", Scheme),
        // user information and fragment
        ("https://user@rp.harbour.io/", UserInfo),
        ("https://user:pass@rp.harbour.io/", UserInfo),
        ("https://@rp.harbour.io/", UserInfo),
        ("https://:@rp.harbour.io/", UserInfo),
        ("https://rp.harbour.io@evil.io/", UserInfo),
        ("https://rp.harbour.io/#", Fragment),
        ("https://rp.harbour.io/#@evil.io", Fragment),
        // ports
        ("https://rp.harbour.io:8443/", Port),
        ("https://rp.harbour.io:22/", Port),
        ("https://rp.harbour.io:80/", Port),
        ("https://rp.harbour.io:0/", Port),
        // addresses in every spelling
        ("https://10.0.0.1/", IpAddress),
        ("https://8.8.8.8/", IpAddress),
        ("https://8.8.8.8./", IpAddress),
        ("https://169.254.169.254/latest/meta-data/", IpAddress),
        ("https://127.0.0.2/", IpAddress),
        ("https://2130706434/", IpAddress),
        ("https://0x7f.2/", IpAddress),
        ("https://0177.0.0.2/", IpAddress),
        ("https://0xa9fea9fe/", IpAddress),
        ("https://192.168.1/", IpAddress),
        ("https://0/", IpAddress),
        ("https://0.0.0.0/", IpAddress),
        ("https://[::]/", IpAddress),
        ("https://[::ffff:127.0.0.1]/", IpAddress),
        ("https://[::ffff:10.0.0.1]/", IpAddress),
        ("https://[::127.0.0.1]/", IpAddress),
        ("https://[64:ff9b::a00:1]/", IpAddress),
        ("https://[2002:a00:1::]/", IpAddress),
        ("https://[fe80::1]/", IpAddress),
        ("https://[fd00:ec2::254]/", IpAddress),
        ("https://[2606:4700::1111]/", IpAddress),
        ("https://[fe80::1%25eth0]/", Syntax),
        ("https://1.2.3.4.5/", Syntax),
        ("https://256.1.1.1/", Syntax),
        // names that are nobody's on the public internet
        ("https://intranet/", NotPublic),
        ("https://instance-data/", NotPublic),
        ("https://metadata.google.internal/", NotPublic),
        ("https://METADATA.google.internal./", NotPublic),
        ("https://printer.local/", NotPublic),
        ("https://wiki.intranet/", NotPublic),
        ("https://nas.lan/", NotPublic),
        ("https://nas.home/", NotPublic),
        ("https://nas.home.arpa/", NotPublic),
        ("https://dc1.corp/", NotPublic),
        ("https://x.private/", NotPublic),
        ("https://x.test/", NotPublic),
        ("https://x.invalid/", NotPublic),
        ("https://x.onion/", NotPublic),
        ("https://1.0.0.127.in-addr.arpa/", NotPublic),
        ("https://local/", NotPublic),
        ("https://a..io/", NotPublic),
        ("https://rp.harbour.io../", NotPublic),
        ("https://.rp.harbour.io/", NotPublic),
        ("https://-a.io/", NotPublic),
        ("https://a-.io/", NotPublic),
        ("https://a_b.io/", NotPublic),
        ("https://*.harbour.io/", NotPublic),
        ("https://a,b.io/", NotPublic),
    ] {
        for policy in [production(), development(), UrlPolicy::default()] {
            assert_eq!(refusal(text, &policy), Some(expected), "{text} {policy:?}");
        }
    }
}

#[test]
fn names_and_urls_have_a_length() {
    let long_name = format!("https://{}.io/", ["a".repeat(63).as_str(); 4].join("."));
    assert_eq!(refusal(&long_name, &production()), Some(UrlError::NotPublic));
    let long_label = format!("https://{}.io/", "a".repeat(64));
    assert_eq!(refusal(&long_label, &production()), Some(UrlError::NotPublic));
    let prefix = "https://rp.harbour.io/";
    for (length, expected) in [(MAX_LENGTH, None), (MAX_LENGTH + 1, Some(UrlError::TooLong))] {
        let text = format!("{prefix}{}", "a".repeat(length - prefix.len()));
        assert_eq!(refusal(&text, &production()), expected, "{length}");
    }
}

#[test]
fn loopback_needs_the_setting() {
    for (text, strict) in [
        ("http://localhost:9000/hook", UrlError::Scheme),
        ("https://localhost/hook", UrlError::NotPublic),
        ("https://localhost./hook", UrlError::NotPublic),
        ("https://LOCALHOST:9000/hook", UrlError::Port),
        ("http://rp.localhost:9000/", UrlError::Scheme),
        ("https://rp.localhost/", UrlError::NotPublic),
        ("http://127.0.0.1:9000/", UrlError::Scheme),
        ("https://127.0.0.1/", UrlError::IpAddress),
        ("https://127.1/", UrlError::IpAddress),
        ("https://[::1]:9000/", UrlError::IpAddress),
        ("http://[::1]:9000/", UrlError::Scheme),
    ] {
        assert_eq!(refusal(text, &production()), Some(strict), "{text}");
        assert_eq!(refusal(text, &development()), None, "{text}");
    }
    // Everything else holds for loopback too.
    for (text, expected) in [
        ("http://user@localhost:9000/", UrlError::UserInfo),
        ("http://localhost:9000/#a", UrlError::Fragment),
        ("ftp://localhost:9000/", UrlError::Scheme),
        ("http://localhost.harbour.io/", UrlError::Scheme),
        ("http://127.0.0.1.harbour.io/", UrlError::Scheme),
    ] {
        assert_eq!(refusal(text, &development()), Some(expected), "{text}");
    }
}

/// SS-5 refuses them; where loopback is allowed the examples of our own documentation may be typed as they stand.
#[test]
fn documentation_names_are_for_development() {
    assert_eq!(
        refusal("https://acme.example/events", &production()),
        Some(UrlError::NotPublic)
    );
    assert_eq!(refusal("https://acme.example/events", &development()), None);
    assert_eq!(
        refusal("http://acme.example/events", &development()),
        Some(UrlError::Scheme)
    );
}

/// SS-6 with the exception of design 11, and T-X-04.
#[test]
fn our_own_host_takes_pushes_and_nothing_else() {
    for (path, expected) in [
        (RECEIVE.to_owned(), None),
        (format!("{RECEIVE}?a=b"), Some(UrlError::OwnHost)),
        (format!("{RECEIVE}/"), Some(UrlError::OwnHost)),
        (format!("{RECEIVE}0"), Some(UrlError::OwnHost)),
        (
            RECEIVE.to_uppercase().replacen("RECEIVE", "receive", 1),
            Some(UrlError::OwnHost),
        ),
        ("/receive/".to_owned(), Some(UrlError::OwnHost)),
        (format!("/x/..{RECEIVE}"), None),
        (format!("/t/acme{RECEIVE}"), Some(UrlError::OwnHost)),
        ("/events".to_owned(), Some(UrlError::OwnHost)),
        ("/".to_owned(), Some(UrlError::OwnHost)),
    ] {
        for origin in [
            "https://signals.quarry.io",
            "https://SIGNALS.quarry.io.",
            "https://signals.quarry.io:443",
        ] {
            assert_eq!(
                refusal(&format!("{origin}{path}"), &production()),
                expected,
                "{origin}{path}"
            );
        }
        for origin in [
            "http://localhost:8787",
            "http://127.0.0.1:8787",
            "http://[::1]:8787",
            "https://localhost:8787",
        ] {
            assert_eq!(
                refusal(&format!("{origin}{path}"), &development()),
                expected,
                "{origin}{path}"
            );
        }
    }
    // On a public name every port is ours, on loopback only our own.
    assert_eq!(
        refusal("https://signals.quarry.io:8443/events", &production()),
        Some(UrlError::OwnHost)
    );
    assert_eq!(refusal("http://localhost:8788/events", &development()), None);
    // Being ours is no way round the scheme.
    assert_eq!(
        refusal(&format!("http://signals.quarry.io{RECEIVE}"), &production()),
        Some(UrlError::Scheme)
    );
    // Neighbours are not us.
    assert_eq!(refusal("https://a.signals.quarry.io/events", &production()), None);
    assert_eq!(refusal("https://signals.quarry.io.evil.co/events", &production()), None);
}

#[test]
fn an_unusual_port_of_ours_is_part_of_the_name() {
    let policy = UrlPolicy {
        allow_loopback: false,
        own_host: Some("signals.quarry.io:8443".into()),
        ports: Vec::new(),
    };
    assert_eq!(
        refusal(&format!("https://signals.quarry.io:8443{RECEIVE}"), &policy),
        None
    );
    assert_eq!(
        refusal("https://signals.quarry.io:8443/events", &policy),
        Some(UrlError::OwnHost)
    );
    assert_eq!(
        refusal("https://signals.quarry.io/events", &policy),
        Some(UrlError::OwnHost)
    );
}

/// SS-6
#[test]
fn previews_of_ours_are_ours_and_take_nothing() {
    let policy = UrlPolicy {
        allow_loopback: false,
        own_host: Some("signals.quarry.workers.dev".into()),
        ports: Vec::new(),
    };
    for (text, expected) in [
        (format!("https://signals.quarry.workers.dev{RECEIVE}"), None),
        (
            format!("https://4f2c1a-signals.quarry.workers.dev{RECEIVE}"),
            Some(UrlError::OwnHost),
        ),
        (
            "https://a-SIGNALS.quarry.workers.dev./events".to_owned(),
            Some(UrlError::OwnHost),
        ),
        ("https://rp.quarry.workers.dev/".to_owned(), None),
        ("https://a.signals.quarry.workers.dev/".to_owned(), None),
        ("https://signals.harbour.workers.dev/".to_owned(), None),
    ] {
        assert_eq!(refusal(&text, &policy), expected, "{text}");
    }
}

#[test]
fn an_origin_has_no_path() {
    for (text, expected) in [
        ("https://rp.harbour.io/a?b", "https://rp.harbour.io"),
        ("http://localhost:9000/a", "http://localhost:9000"),
        ("http://[::1]:9000/", "http://[::1]:9000"),
    ] {
        assert_eq!(EndpointUrl::parse(text, &development()).unwrap().origin(), expected);
    }
}

#[test]
fn registered_entries_cover_themselves_or_what_is_below_them() {
    let entries: Vec<String> = [
        "https://a.io/",
        "https://b.io/hooks/",
        "https://c.io/exact",
        "https://d.io/q?x=/",
    ]
    .map(String::from)
    .into();
    for (text, expected) in [
        ("https://a.io", true),
        ("https://a.io/anything/at?all=1", true),
        ("https://A.io:443/x", true),
        ("https://a.io.evil.co/", false), // pitfall 22: never a prefix of the text
        ("https://aa.io/", false),
        ("https://x.a.io/", false),
        ("https://b.io/hooks/", true),
        ("https://b.io/hooks/1?y", true),
        ("https://b.io/hooks", false),
        ("https://b.io/hooksX/1", false),
        ("https://b.io/hooks/../admin", false),
        ("https://b.io/hooks/%2e%2e/admin", false),
        ("https://b.io/hooks/..%2fadmin", false),
        ("https://b.io/hooks/..%5Cadmin", false),
        ("https://b.io/", false),
        ("https://c.io/exact", true),
        ("https://c.io/./exact", true),
        ("https://c.io/exact/", false),
        ("https://c.io/exact/1", false),
        ("https://c.io/exact?x", false),
        ("https://c.io/EXACT", false),
        ("https://d.io/q?x=/", true),
        ("https://d.io/q?x=/y", false),
    ] {
        let url = EndpointUrl::parse(text, &production()).unwrap();
        assert_eq!(registered(&url, &entries), expected, "{text}");
    }
    let url = EndpointUrl::parse("https://a.io/", &production()).unwrap();
    assert!(!registered(&url, &[]) && !registered(&url, &["not a url".into()]));
}

#[test]
fn the_scheme_and_port_of_an_entry_count() {
    let entries = ["http://localhost:9000/".to_owned()];
    for (text, expected) in [
        ("http://localhost:9000/x", true),
        ("https://localhost:9000/x", false),
        ("http://localhost:9001/x", false),
        ("http://127.0.0.1:9000/x", false),
    ] {
        assert_eq!(
            registered(&EndpointUrl::parse(text, &development()).unwrap(), &entries),
            expected,
            "{text}"
        );
    }
}

/// SS-1: what was accepted once is accepted again as it was stored, means the same, and keeps every rule.
#[test]
fn accepted_urls_are_fixed_points() {
    let seeds = [
        "https://rp.harbour.io/events?a=b",
        "https://RP.harbour.io.:443/a/../b/%2e/c",
        "http://localhost:9000/hook",
        "https://[::1]:9000/",
        "https://xn--hxajbheg2az3al.gr/x",
        "https://signals.quarry.io/receive/00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
    ];
    let mut accepted = 0;
    for bytes in mutate::variants(&seeds, 20_000) {
        let Ok(text) = String::from_utf8(bytes) else { continue };
        for policy in [production(), development()] {
            let Ok(url) = EndpointUrl::parse(&text, &policy) else {
                continue;
            };
            accepted += 1;
            assert_eq!(EndpointUrl::parse(url.as_str(), &policy).as_ref(), Ok(&url), "{text}");
            assert!(registered(&url, &[url.as_str().to_owned()]), "{text}");
            assert!(url.as_str().bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
            assert!(!url.as_str().contains(['#', '\\']), "{text}");
            if policy == production() {
                assert!(
                    url.origin().starts_with("https://") && !url.origin().ends_with('.'),
                    "{text}"
                );
            }
        }
    }
    assert!(accepted > 1_000, "the seeds are no longer near the rules: {accepted}");
}

/// The characters that a line of the corpus stands for: `⟨U+000A⟩` and `⟨64*a⟩`.
fn written_out(text: &str) -> String {
    let mut out = String::new();
    for (at, piece) in text.split('⟨').enumerate() {
        let Some((marked, rest)) = piece.split_once('⟩').filter(|_| at > 0) else {
            out.push_str(piece);
            continue;
        };
        match marked.split_once('*') {
            Some((count, repeated)) => out.push_str(&repeated.repeat(count.parse().unwrap())),
            None => {
                let code = u32::from_str_radix(marked.strip_prefix("U+").unwrap(), 16).unwrap();
                out.push(char::from_u32(code).unwrap());
            }
        }
        out.push_str(rest);
    }
    out
}

/// T-X-01 and all of SS-1 to SS-6, one line a case; see the head of the file.
#[test]
fn the_corpus_of_hostile_urls_keeps_its_verdicts() {
    let mut cases = 0;
    let mut wrong = Vec::new();
    for line in include_str!("hostile.txt").lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let [verdict, text, note] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("not three columns: {line}");
        };
        let text = written_out(text);
        let (strict, loopback) = verdict.split_once('/').unwrap_or((verdict, verdict));
        for (allow_loopback, expected) in [(false, strict), (true, loopback)] {
            let policy = UrlPolicy {
                allow_loopback,
                ..production()
            };
            let found = match EndpointUrl::parse(&text, &policy) {
                Ok(_) => "Accepted".to_owned(),
                Err(error) => format!("{error:?}"),
            };
            if found != expected {
                wrong.push(format!(
                    "{text} ({note}, loopback {allow_loopback}): {found}, not {expected}"
                ));
            }
        }
        cases += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases >= 400, "the corpus has shrunk: {cases}");
}
