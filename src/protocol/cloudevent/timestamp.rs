//! Timestamps of RFC 3339, to the second, in the calendar that is extended to all years of four digits.

/// 9999-12-31T23:59:59Z: later years do not fit the format.
const LAST: i64 = 253_402_300_799;
const DAY_S: i64 = 86_400;

/// Seconds since 1970, negative before; a fraction is cut off, towards the past. A leap second counts as the second after it,
/// and only where there can be one.
pub fn parse(text: &str) -> Option<i64> {
    let mut rest = text.as_bytes();
    let year = digits(&mut rest, 4)?;
    mark(&mut rest, b"-")?;
    let month = digits(&mut rest, 2)?;
    mark(&mut rest, b"-")?;
    let day = digits(&mut rest, 2)?;
    mark(&mut rest, b"Tt")?;
    let hour = digits(&mut rest, 2)?;
    mark(&mut rest, b":")?;
    let minute = digits(&mut rest, 2)?;
    mark(&mut rest, b":")?;
    let second = digits(&mut rest, 2)?;
    if mark(&mut rest, b".").is_some() {
        digits(&mut rest, 1)?;
        while digits(&mut rest, 1).is_some() {}
    }
    let sign = mark(&mut rest, b"Zz+-")?;
    let offset = match sign {
        b'+' | b'-' => {
            let hours = digits(&mut rest, 2)?;
            mark(&mut rest, b":")?;
            let minutes = digits(&mut rest, 2)?;
            let amount = (hours <= 23 && minutes <= 59).then_some(hours * 3600 + minutes * 60)?;
            if sign == b'-' { -amount } else { amount }
        }
        _ => 0,
    };
    let legal = rest.is_empty()
        && (1..=12).contains(&month)
        && (1..=month_length(year, month)).contains(&day)
        && hour <= 23
        && minute <= 59
        && second <= 60;
    if !legal {
        return None;
    }
    let at = days_since_1970(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second - offset;
    // Leap seconds end the last day of a month, in UTC.
    if second == 60 && (at % DAY_S != 0 || date(at.div_euclid(DAY_S)).2 != 1) {
        return None;
    }
    (at <= LAST).then_some(at)
}

/// The instant in UTC. What is before 1970 or after the year 9999 becomes the nearest that is not.
pub(super) fn format(seconds: i64) -> String {
    let seconds = seconds.clamp(0, LAST);
    let (year, month, day) = date(seconds / DAY_S);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Takes so many digits off the front.
fn digits(rest: &mut &[u8], count: usize) -> Option<i64> {
    let (taken, after) = rest.split_at_checked(count)?;
    let mut number = 0;
    for byte in taken {
        number = number * 10 + i64::from(byte.is_ascii_digit().then(|| byte - b'0')?);
    }
    *rest = after;
    Some(number)
}

/// Takes one of these bytes off the front.
fn mark(rest: &mut &[u8], expected: &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    expected.contains(first).then(|| *rest = after)?;
    Some(*first)
}

fn month_length(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The years here begin with March, so that the leap day is the last: then the months before one have a fixed length. 719468
/// days lie between March of the year 0 and 1970.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

/// Year, month and day of a day that is not before the year 0.
fn date(days_since_1970: i64) -> (i64, i64, i64) {
    let days = days_since_1970 + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (year * 365 + year / 4 - year / 100);
    let month = (day * 5 + 2) / 153;
    let day = day - (month * 153 + 2) / 5 + 1;
    let next_year = i64::from(month >= 10);
    (era * 400 + year + next_year, (month + 2) % 12 + 1, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::mutate;

    #[test]
    fn timestamps_are_read_as_instants() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-01-02T03:04:05Z", 1_767_323_045),
            ("2026-01-02t03:04:05z", 1_767_323_045),
            ("2026-01-02T04:34:05+01:30", 1_767_323_045),
            ("2026-01-01T19:04:05-08:00", 1_767_323_045),
            ("2026-01-02T03:04:05-00:00", 1_767_323_045),
            ("2026-01-02T03:04:05.999999999999999999999Z", 1_767_323_045),
            ("2026-01-02T03:04:05.0+00:00", 1_767_323_045),
            ("1969-12-31T23:59:59.5Z", -1),
            ("1970-01-01T00:00:00+00:01", -60),
            ("2000-02-29T00:00:00Z", 951_782_400),
            ("2016-12-31T23:59:60Z", 1_483_228_800),
            ("2016-12-31T15:59:60-08:00", 1_483_228_800),
            ("2015-07-01T08:59:60.5+09:00", 1_435_708_800),
            ("9999-12-31T23:59:59Z", LAST),
            ("0000-01-01T00:00:00Z", -62_167_219_200),
        ] {
            assert_eq!(parse(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_timestamp_is_refused() {
        for text in [
            "",
            "now",
            "1767323045",
            "2026-01-02",
            "2026-01-02T03:04:05",
            "2026-01-02 03:04:05Z",
            "2026-01-02T03:04Z",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05,5Z",
            "2026-01-02T03:04:05+01",
            "2026-01-02T03:04:05+0100",
            "2026-01-02T03:04:05+24:00",
            "2026-01-02T03:04:05+01:60",
            "2026-01-02T03:04:05Z ",
            " 2026-01-02T03:04:05Z",
            "2026-01-02T03:04:05ZZ",
            "2026-1-2T3:4:5Z",
            "26-01-02T03:04:05Z",
            "+2026-01-02T03:04:05Z",
            "12026-01-02T03:04:05Z",
            "2026-00-02T03:04:05Z",
            "2026-13-02T03:04:05Z",
            "2026-01-00T03:04:05Z",
            "2026-01-32T03:04:05Z",
            "2026-04-31T03:04:05Z",
            "2026-02-29T03:04:05Z",
            "2100-02-29T03:04:05Z",
            "2026-01-02T24:00:00Z",
            "2026-01-02T03:60:00Z",
            "2026-01-02T03:04:61Z",
            "2026-01-02T03:04:60Z",
            "2026-01-02T23:59:60Z",
            "2016-12-31T23:59:60+01:00",
            "9999-12-31T23:59:59-00:01",
            "9999-12-31T23:59:60Z",
            "２０２６-01-02T03:04:05Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_until_the_year_9999_is_written_and_read_back() {
        let mut expected = (1970, 1, 1);
        for day in 0..=LAST / DAY_S {
            assert_eq!(date(day), expected);
            let at = day * DAY_S + day % DAY_S;
            assert_eq!(parse(&format(at)), Some(at));
            let (year, month, last) = expected;
            expected = match last == month_length(year, month) {
                true if month == 12 => (year + 1, 1, 1),
                true => (year, month + 1, 1),
                false => (year, month, last + 1),
            };
        }
        assert_eq!(expected, (10_000, 1, 1));
    }

    #[test]
    fn times_beyond_the_format_are_clamped() {
        assert_eq!(format(i64::MIN), "1970-01-01T00:00:00Z");
        assert_eq!(format(i64::MAX), "9999-12-31T23:59:59Z");
        assert_eq!(format(1_767_323_045), "2026-01-02T03:04:05Z");
    }

    #[test]
    fn no_text_is_beyond_the_calendar() {
        let mut read = 0;
        for bytes in mutate::variants(&["2026-01-02T03:04:05.5+01:30", "2016-12-31T23:59:60Z"], 50_000) {
            let Some(at) = parse(&String::from_utf8_lossy(&bytes)) else {
                continue;
            };
            read += 1;
            assert!(at <= LAST);
            if at >= 0 {
                assert_eq!(parse(&format(at)), Some(at));
            }
        }
        assert!(read > 100, "the seeds are no longer near the rules: {read}");
    }
}
