//! `Retry-After` as endpoints write it, over HTTP: obeyed in every legal form, harmless in every other.

use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::harness::{Manner, eventually};

use super::{Hell, events_of, raw, soon};

/// An answer 503 with this header.
fn asks_to_wait(value: &str) -> Manner {
    Manner::Say(raw(&format!(
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: {value}\r\ncontent-length: 0\r\n\r\n"
    )))
}

/// The three forms of a date in HTTP (RFC 9110, section 5.6.7).
fn forms(date: SystemTime) -> [String; 3] {
    let fixed = httpdate::fmt_http_date(date);
    let parts: Vec<&str> = fixed.split([' ', ',']).filter(|part| !part.is_empty()).collect();
    let [weekday, day, month, year, time, _] = parts[..] else {
        panic!("not the form that was expected: {fixed}")
    };
    let long = [
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
    ];
    let long = long
        .iter()
        .find(|long| long.starts_with(weekday))
        .expect("a day of the week");
    let of_rfc_850 = format!("{long}, {day}-{month}-{} {time} GMT", &year[2..]);
    let of_asctime = format!("{weekday} {month} {:>2} {time} {year}", day.trim_start_matches('0'));
    [fixed, of_rfc_850, of_asctime]
}

/// In Unix milliseconds.
fn hold_of(health: &Value) -> Option<(u64, u64)> {
    let until = health["hold"]["until"].as_u64()?;
    Some((health["last_error"]["at"].as_u64()?, until))
}

/// WH-2.2-10, WH-2.2-40, WH-2.2-36.
#[test]
fn every_form_is_obeyed_to_the_second() {
    let names = [
        "IMF-fixdate",
        "RFC 850",
        "asctime",
        "seconds",
        "seconds among odd headers",
    ];
    let mut hell = Hell::start(soon(), names.map(|name| (name, Manner::Behave)).to_vec());
    // Whole seconds, and some time from now.
    let now = SystemTime::now();
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).expect("the clock is set");
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(since_epoch.as_secs() + 3);
    let not_before = Instant::now() + date.duration_since(now).expect("later");
    let odd = "  2 \t\r\nserver: \u{ff}\u{fe}\u{fffd}\u{1f4a9}\r\nx: \"\\\r\nx: y".to_owned();
    let values = forms(date).into_iter().chain(["2".to_owned(), odd]);
    for (victim, value) in hell.victims.iter().zip(values) {
        victim.receiver.turn(asks_to_wait(&value));
    }
    hell.publish();
    for victim in &hell.victims {
        let health = hell.wait_for_cause(victim, "answered 503");
        assert_eq!(health["hold"]["reason"], json!("retry_after"), "{}", victim.name);
        victim.receiver.turn(Manner::Behave);
    }
    hell.wait_for_the_healthy();
    for victim in &hell.victims {
        hell.wait_for_everything(victim);
        let pushes = victim.receiver.requests();
        // At most one of each subject was under way when the first was refused.
        let refused = pushes.iter().take(2).filter(|push| push.at < not_before).count();
        let of_seconds = pushes[0].at + Duration::from_secs(2);
        let not_before = if victim.name.starts_with("seconds") {
            of_seconds
        } else {
            not_before
        };
        for push in &pushes[refused.max(1)..] {
            // The clock that holds counts whole milliseconds.
            assert!(
                push.at + Duration::from_millis(1) >= not_before,
                "{}: {:?}",
                victim.name,
                not_before - push.at
            );
        }
    }
}

/// WH-2.2-41: as if it were not there.
#[test]
fn what_cannot_be_read_counts_as_absent() {
    let digits = "9".repeat(4000);
    let values = [
        "-1",
        "+1",
        "1.5",
        "1e15",
        "NaN",
        "inf",
        "99999999999",
        "18446744073709551616",
        "0x10",
        "1 2",
        "1, 2",
        "1;2",
        "soon",
        "",
        "Mon, 99 Foo 2026 99:99:99 GMT",
        "Sun, 06 Nov 1994 08:49:37",
        "1994-11-06T08:49:37Z",
        "\u{661}\u{662}",
        &digits,
    ];
    let manners = values.iter().map(|value| (*value, asks_to_wait(value))).collect();
    Hell::start(soon(), manners).suffer_and_heal(&["answered 503"; 19]);
}

/// WH-2.2-42, WH-2.2-36: what is over already, or soon, shortens no wait.
#[test]
fn a_wait_of_no_time_does_not_switch_the_back_off_off() {
    let values = [
        "0",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ];
    let manners = values.iter().map(|value| (*value, asks_to_wait(value))).collect();
    // The first wait is a millisecond at most, the tenth half a second.
    let mut hell = Hell::start(soon().set("RETRY_BASE_MS", 1).set("RETRY_CAP_MS", 2_000), manners);
    hell.publish();
    for victim in &hell.victims {
        eventually(&format!("{}: it waits longer and longer", victim.name), || {
            let health = victim.stream.health(&hell.instance);
            let (at, until) = hold_of(&health)?;
            (health["hold"]["reason"] == "retry_after" && until > at + 200).then_some(())
        });
        victim.receiver.turn(Manner::Behave);
    }
    hell.wait_for_the_healthy();
    for victim in &hell.victims {
        hell.wait_for_everything(victim);
    }
}

/// WH-2.2-10, WH-2.2-43: however long it is, it is obeyed, and its receiver can end it.
#[test]
fn a_wait_beyond_all_clocks_is_kept_until_its_receiver_ends_it() {
    let values = [
        "9999999999",
        "8000000000",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri Dec 31 23:59:59 9999",
        "Wed, 01 Jan 2200 00:00:00 GMT",
    ];
    let manners = values.iter().map(|value| (*value, asks_to_wait(value))).collect();
    let mut hell = Hell::start(soon(), manners);
    hell.publish();
    hell.wait_for_the_healthy();
    for victim in &hell.victims {
        let health = hell.wait_for_cause(victim, "answered 503");
        let (at, until) = hold_of(&health).expect("a hold");
        assert!(until - at > 100 * 365 * 86_400_000, "{}: {health}", victim.name);
        assert_eq!(health["status"], json!("paused"), "{}", victim.name);
    }
    // It lasts, whatever else comes.
    hell.publish();
    hell.wait_for_the_healthy();
    for victim in &hell.victims {
        let pushes = events_of(&victim.receiver.requests()).count();
        assert!(pushes <= 2, "{}: {pushes}, at most one of each subject", victim.name);
        let alarms = victim.stream.health(&hell.instance)["alarms"].as_u64();
        assert!(
            alarms.is_some_and(|alarms| alarms < 20),
            "{}: {alarms:?}: it sleeps",
            victim.name
        );
        victim.receiver.turn(Manner::Behave);
        let enabled = json!({"stream_id": victim.stream.id, "status": "enabled"});
        victim.acme.api.post_json("/ssf/status", &enabled, 202);
    }
    for victim in &hell.victims {
        hell.wait_for_everything(victim);
    }
    hell.assert_nothing_panicked();
    hell.assert_not_logged("alarm_not_set");
}
