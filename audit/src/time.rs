//! Timestamps in RFC 3339 format, in UTC with milliseconds: their text sorts chronologically.

use std::time::{Duration, UNIX_EPOCH};

/// The last second of the year 9999, the last one that the format can represent.
const LAST: u64 = 253_402_300_799;

/// Formats a time since 1970-01-01T00:00:00Z, such as `2026-11-22T14:05:45.123Z`. Times after the
/// year 9999 are clamped to its last millisecond.
#[must_use]
pub fn rfc3339(since_1970: Duration) -> String {
    let last = Duration::new(LAST, 999_999_999);
    let moment = UNIX_EPOCH.checked_add(since_1970.min(last)).unwrap_or(UNIX_EPOCH);
    humantime::format_rfc3339_millis(moment).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_match_the_calendar() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_767_225_660_500, "2026-01-01T00:01:00.500Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "9999-12-31T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(Duration::from_millis(millis)), text);
        }
    }
}
