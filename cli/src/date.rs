//! Times and durations for humans.

use keyward_audit::rfc3339;
use keyward_runtime::clock::UnixTime;
use std::time::{Duration, UNIX_EPOCH};

/// Formats Unix seconds as `2026-12-01 08:00:00 UTC`.
pub(crate) fn date(seconds: u64) -> String {
    let moment = rfc3339(Duration::from_secs(seconds));
    // The fraction is always zero.
    let (second, _) = moment.split_once('.').unwrap_or((&moment, ""));
    format!("{} UTC", second.replace('T', " "))
}

/// Formats Unix seconds as `2026-12-01 08:00`, in UTC.
pub(crate) fn date_to_the_minute(seconds: u64) -> String {
    date(seconds).chars().take("2026-12-01 08:00".len()).collect()
}

/// Formats a duration in its largest unit, rounded down: `59s`, `3m`, `2h`, `400d`.
pub(crate) fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Parses a time: seconds since 1970 with up to nine decimals, such as `1767225660.5`, or a date in
/// UTC with or without a time of day, as other commands print it: `2026-12-01`, `2026-12-01
/// 08:00:00 UTC`, `2026-12-01T08:00:00.5Z`. Nothing is rounded.
///
/// # Errors
/// Returns text that continues "the value of …" and does not repeat the value.
pub fn parse_at(text: &str) -> Result<UnixTime, &'static str> {
    const FORM: &str = "is not a time: write a date in UTC, such as \"2026-12-01 08:00:00\", or seconds since 1970 \
                        with at most nine decimals, such as 1767225660.5";
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    if whole.contains('-') {
        return parse_date(text).ok_or(FORM);
    }
    if !digits(whole) || !digits(decimals) || decimals.len() > 9 {
        return Err(FORM);
    }
    let seconds = whole.parse().ok().filter(|seconds| *seconds <= UnixTime::MAX_SECONDS);
    let seconds = seconds.ok_or("is after the year 9999: use an earlier time")?;
    let nanoseconds = format!("{decimals:0<9}").parse().map_err(|_| FORM)?;
    Ok(UnixTime { seconds, nanoseconds })
}

/// Parses a time like [`parse_at`], without a fraction of a second.
pub(crate) fn parse_second(text: &str) -> Result<UnixTime, &'static str> {
    let time = parse_at(text)?;
    if time.nanoseconds == 0 { Ok(time) } else { Err("has a fraction: write whole seconds") }
}

/// Parses a date in UTC, from 1970 to 9999, with or without a time of day.
fn parse_date(text: &str) -> Option<UnixTime> {
    let local = text.strip_suffix('Z').or_else(|| text.strip_suffix(" UTC")).unwrap_or(text);
    // Offsets are not parsed, so that no time is taken for another one.
    let is_exact = local.len() <= "2026-12-01 08:00:00.123456789".len();
    if !is_exact || !local.bytes().all(|byte| byte.is_ascii_digit() || b"-T :.".contains(&byte)) {
        return None;
    }
    let rest = match local.len() {
        10 if local == text => " 00:00:00",
        16 => ":00",
        _ => "",
    };
    let time = humantime::parse_rfc3339_weak(&format!("{local}{rest}Z")).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    Some(UnixTime { seconds: since.as_secs(), nanoseconds: since.subsec_nanos() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_and_ages_are_formatted() {
        for (seconds, wanted) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (1_767_225_599, "2025-12-31 23:59:59 UTC"),
            (951_827_696, "2000-02-29 12:34:56 UTC"),
            (253_402_300_799, "9999-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(date(seconds), wanted);
        }
        let ages = [0, 59, 60, 3_599, 3_600, 86_399, 86_400, 34_560_000].map(age);
        assert_eq!(ages, ["0s", "59s", "1m", "59m", "1h", "23h", "1d", "400d"]);
        assert!(!date(u64::MAX).is_empty());
    }

    #[test]
    fn times_are_parsed_as_they_are_printed() {
        let at = |seconds, nanoseconds| Ok(UnixTime { seconds, nanoseconds });
        for text in ["1796112000", "2026-12-01 08:00:00 UTC", "2026-12-01 08:00:00", "2026-12-01T08:00:00Z"] {
            assert_eq!(parse_at(text), at(1_796_112_000, 0), "{text}");
            assert_eq!(parse_second(text), at(1_796_112_000, 0), "{text}");
        }
        assert_eq!(parse_second("2026-12-01 08:00"), at(1_796_112_000, 0));
        assert_eq!(date_to_the_minute(1_796_112_059), "2026-12-01 08:00");
        assert_eq!(parse_at("2026-12-01"), at(1_796_083_200, 0));
        assert_eq!(parse_at("2026-12-01T08:00:00.123Z"), at(1_796_112_000, 123_000_000));
        assert_eq!(parse_at("1796112000.5"), at(1_796_112_000, 500_000_000));
        for text in [
            "",
            "-1",
            "1e9",
            "now",
            "2026-13-01",
            "2026-02-29",
            "2026-12-01Z",
            "2026-12-01 UTC",
            "2026-12-01T",
            "2026-12-01 08",
            "2026-12-01 25:00:00",
            "2026-12-01T08:00:00+02:00",
            "2026-12-01 08:00:00 CET",
            "1969-12-31",
            "10000-01-01",
            "01-12-2026",
            "2026-12-01 08:00:00.1234567891",
            " 2026-12-01",
            "253402300800",
        ] {
            assert!(parse_at(text).is_err(), "{text}");
        }
        assert!(parse_second("1796112000.5").is_err() && parse_second("2026-12-01T08:00:00.5Z").is_err());
    }

    #[test]
    fn times_are_exact() {
        let at = |text| parse_at(text).map(|at| (at.seconds, at.nanoseconds));
        assert_eq!(at("0"), Ok((0, 0)));
        assert_eq!(at("1767225660.5"), Ok((1_767_225_660, 500_000_000)));
        assert_eq!(at("1767225660.000000001"), Ok((1_767_225_660, 1)));
        assert_eq!(at("253402300799.999999999"), Ok((253_402_300_799, 999_999_999)));
        for bad in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1.0000000000", "1.-5", "1 ", "1.2.3", "١", "253402300800"]
        {
            assert!(parse_at(bad).is_err(), "{bad}");
        }
        assert!(parse_at("99999999999999999999999999").is_err());
    }

    #[test]
    fn whole_seconds_are_whole() {
        for (text, wanted) in [("0", 0), ("1767225600", 1_767_225_600), ("7.0", 7), ("253402300799", 253_402_300_799)] {
            assert_eq!(parse_second(text), Ok(UnixTime::from_seconds(wanted)), "{text}");
        }
        for bad in ["", "x", "-1", "1e9"] {
            assert!(parse_second(bad).unwrap_err().contains("is not a time"), "{bad}");
        }
        assert!(parse_second("1.5").unwrap_err().contains("whole seconds"));
        assert!(parse_second("99999999999999999999").unwrap_err().contains("after the year 9999"));
    }

    proptest! {
        #[test]
        fn every_time_round_trips(seconds in 0..=253_402_300_799_u64, nanoseconds in 0..1_000_000_000_u32) {
            let text = format!("{seconds}.{nanoseconds:09}");
            prop_assert_eq!(parse_at(&text), Ok(UnixTime { seconds, nanoseconds }));
        }

        #[test]
        fn every_printed_time_is_parsed(seconds in 0..=253_402_300_799_u64, millis in 0..1_000_u32) {
            let time = UnixTime { seconds, nanoseconds: millis * 1_000_000 };
            prop_assert_eq!(parse_at(&date(seconds)), Ok(UnixTime { seconds, nanoseconds: 0 }));
            prop_assert_eq!(parse_at(&rfc3339(Duration::new(seconds, time.nanoseconds))), Ok(time));
        }

        #[test]
        fn any_text_is_a_time_or_an_error(text in prop_oneof!["\\PC{0,30}", "[0-9TZ :.UC+-]{0,30}"]) {
            let _ = (parse_at(&text), parse_second(&text));
        }
    }
}
