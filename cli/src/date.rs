//! Moments for people to read.

/// A moment as `2026-12-01 08:00:00 UTC`.
pub(crate) fn date(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// The date of a day since 1970-01-01, in the Gregorian calendar. Years begin in March here, so that the day that some years
/// have more is their last.
fn civil(days: u64) -> (u64, u64, u64) {
    const FOUR_CENTURIES: u64 = 146_097;
    // From 0000-03-01.
    let days = days.saturating_add(719_468);
    let (era, day) = (days / FOUR_CENTURIES, days % FOUR_CENTURIES);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march_is_0 = (5 * day + 2) / 153;
    let month = if march_is_0 < 10 { march_is_0 + 3 } else { march_is_0 - 9 };
    let day = day - (153 * march_is_0 + 2) / 5 + 1;
    (era.saturating_mul(400) + year + u64::from(month <= 2), month, day)
}

/// How long something took, in its largest unit: `59s`, `3m`, `2h`, `400d`.
pub(crate) fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_follows_the_one_before() {
        let length = |year: u64, month| match month {
            2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let (mut year, mut month, mut day) = (1970, 1, 1);
        // To the end of the year 2400.
        for days in 0..157_420 {
            assert_eq!(civil(days), (year, month, day), "{days}");
            (day, month, year) = match (day == length(year, month), month) {
                (false, _) => (day + 1, month, year),
                (true, 12) => (1, 1, year + 1),
                (true, _) => (1, month + 1, year),
            };
        }
        assert_eq!((year, month, day), (2401, 1, 1));
    }

    #[test]
    fn moments_and_ages_are_short() {
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
}
