//! Answers that are no HTTP, or hardly.

use std::time::Duration;

use crate::harness::Manner;

use super::{Hell, raw, soon};

const UNREACHABLE: &str = "could not be reached";

#[test]
fn what_is_not_http_is_no_answer() {
    let high = |byte: usize| (byte % 256) as u8 | 0x80;
    let after_the_status = |rest: &str| Manner::Say(raw(&format!("HTTP/1.1 202 Accepted\r\n{rest}\r\n")));
    let manners = vec![
        ("an SSH server", Manner::Say(raw("SSH-2.0-OpenSSH_9.9\r\n"))),
        ("a mail server", Manner::Greet(raw("220 mail.example ESMTP\r\n"))),
        (
            "a page without a head",
            Manner::Say(raw("<html><body>202 Accepted</body></html>")),
        ),
        ("zeros", Manner::Say(vec![0; 4096])),
        ("high bytes", Manner::Say((0..4096).map(high).collect())),
        ("line ends", Manner::Say(raw(&"\r\n".repeat(2000)))),
        (
            "a TLS alert",
            Manner::Say(vec![0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x28]),
        ),
        ("an HTTP/2 frame", Manner::Say(vec![0, 0, 0, 4, 0, 0, 0, 0, 0])),
        (
            "headers that are none",
            after_the_status("no colon here\r\n: no name\r\n"),
        ),
        (
            "two lengths",
            after_the_status("content-length: 0\r\ncontent-length: 5\r\n"),
        ),
        ("a length below nothing", after_the_status("content-length: -1\r\n")),
    ];
    let causes = vec![UNREACHABLE; manners.len()];
    Hell::start(soon(), manners).suffer_and_heal(&causes);
}

#[test]
fn a_status_that_means_nothing_is_a_failure() {
    let lines = [
        ("HTTP/1.1 999 Odd", "the endpoint answered 999"),
        ("HTTP/1.1 600 Odd", "the endpoint answered 600"),
        // No protocol was to be switched.
        ("HTTP/1.1 101 Switching Protocols", "the endpoint answered 101"),
        // WH-2.2-22: these announce an answer, and none comes.
        ("HTTP/1.1 100 Continue", UNREACHABLE),
        ("HTTP/1.1 103 Early Hints", UNREACHABLE),
        ("HTTP/1.1 199 Odd", UNREACHABLE),
        ("HTTP/1.1 000 Zero", UNREACHABLE),
        ("HTTP/1.1 0 Zero", UNREACHABLE),
        ("HTTP/1.1 99 Low", UNREACHABLE),
        ("HTTP/1.1 2020 Long", UNREACHABLE),
        ("HTTP/1.1 65738 Wraps to 202 in 16 bits", UNREACHABLE),
        ("HTTP/1.1 4294967498 Wraps to 202 in 32 bits", UNREACHABLE),
        ("HTTP/1.1 -202 Minus", UNREACHABLE),
        ("HTTP/1.1 202.0 Point", UNREACHABLE),
        ("HTTP/1.1 2e2 Exponent", UNREACHABLE),
        ("HTTP/1.1 Accepted", UNREACHABLE),
        ("HTTP/1.1", UNREACHABLE),
        ("HTTP/2 202", UNREACHABLE),
        ("ICY 202 OK", UNREACHABLE),
    ];
    let say = |line: &str| Manner::Say(raw(&format!("{line}\r\ncontent-length: 0\r\n\r\n")));
    let manners = lines.iter().map(|(line, _)| (*line, say(line))).collect();
    Hell::start(soon(), manners).suffer_and_heal(&lines.map(|(_, cause)| cause));
}

#[test]
fn a_success_may_be_oddly_said() {
    let many: String = (0..200)
        .map(|number| format!("x-{number}: {}\r\n", "v".repeat(100)))
        .collect();
    let manners = vec![
        ("without a reason", raw("HTTP/1.1 202\r\ncontent-length: 0\r\n\r\n")),
        ("of an old kind", raw("HTTP/1.0 202 Accepted\r\n\r\n")),
        (
            "after an announcement",
            raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"),
        ),
        (
            "after early hints",
            raw("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        ),
        (
            "with line feeds only",
            raw("HTTP/1.1 202 Accepted\ncontent-length: 0\n\n"),
        ),
        (
            "with many headers",
            raw(&format!("HTTP/1.1 202 Accepted\r\n{many}content-length: 0\r\n\r\n")),
        ),
        (
            "with a header of high bytes",
            b"HTTP/1.1 202 Accepted\r\nserver: \xff\xfe\xe9\r\ncontent-length: 0\r\n\r\n".to_vec(),
        ),
        (
            "with a reason of high bytes",
            b"HTTP/1.1 202 \xff\xfe\xe9\r\ncontent-length: 0\r\n\r\n".to_vec(),
        ),
        (
            "in a body that is no text",
            b"HTTP/1.1 202 Accepted\r\ncontent-length: 4\r\n\r\n\xff\xfe\x00\xe9".to_vec(),
        ),
        (
            "with a second answer behind it",
            raw("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\nHTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"),
        ),
        (
            "as 204 with a body",
            raw("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello"),
        ),
    ];
    let slowly = Manner::Drip {
        answer: raw("HTTP/1.1 202 Accepted\r\ncontent-length: 4\r\n\r\nslow"),
        every: Duration::from_millis(2),
    };
    let manners = manners.into_iter().map(|(name, bytes)| (name, Manner::Say(bytes)));
    let manners = manners.chain([("a byte at a time", slowly)]).collect();
    let mut hell = Hell::start(soon(), manners);
    hell.publish();
    hell.wait_for_the_healthy();
    for victim in &hell.victims {
        hell.wait_for_everything_once(victim);
    }
    // Whatever it was, the operator can look at it.
    for victim in &hell.victims {
        let attempts = victim.stream.deliveries(&hell.instance);
        assert!(attempts.len() >= 4, "{}: {attempts:?}", victim.name);
    }
    hell.assert_nothing_panicked();
}
