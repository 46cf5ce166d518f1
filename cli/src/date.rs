//! Times and durations for humans.

use keyward_audit::rfc3339;
use std::time::Duration;

/// Formats Unix seconds as `2026-12-01 08:00:00 UTC`.
pub(crate) fn date(seconds: u64) -> String {
    let moment = rfc3339(Duration::from_secs(seconds));
    // The fraction is always zero.
    let (second, _) = moment.split_once('.').unwrap_or((&moment, ""));
    format!("{} UTC", second.replace('T', " "))
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
