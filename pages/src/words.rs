//! Rights and times in words.

use humantime::format_rfc3339_seconds;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::text::escape_untrusted;
use keyward_runtime::{Registry, Restrictions};
use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

/// Maximum length of a name in bytes.
const NAME: usize = 200;

/// Maximum length of a description in bytes.
const TEXT: usize = 1_000;

/// Returns a name in visible characters.
pub(crate) fn name(text: &str) -> String {
    escape_untrusted(text, NAME)
}

/// Returns a description in visible characters.
pub(crate) fn text(text: &str) -> String {
    escape_untrusted(text, TEXT)
}

/// Returns what a token allows, in one or more phrases.
pub(crate) fn rights(registry: &Registry, restrictions: Option<&Restrictions>) -> Vec<String> {
    let Some(restrictions) = restrictions else { return vec!["everything that you may do".to_owned()] };
    let mut places: BTreeMap<(Option<&str>, Option<&str>), Vec<String>> = BTreeMap::new();
    for (action, database, resource) in restrictions.iter() {
        places.entry((database, resource)).or_default().push(name(registry.action(action).unwrap_or(action)));
    }
    if places.is_empty() {
        return vec!["nothing".to_owned()];
    }
    let phrase = |((database, resource), actions): ((Option<&str>, Option<&str>), Vec<String>)| {
        let place = match (database, resource) {
            (None, _) => "on everything".to_owned(),
            (Some(database), None) => format!("on the database {}", name(database)),
            (Some(database), Some(resource)) => format!("on {} in the database {}", name(resource), name(database)),
        };
        format!("{} {place}", actions.join(", "))
    };
    places.into_iter().map(phrase).collect()
}

/// A time on a page.
pub(crate) struct Moment {
    /// The time in RFC 3339, for `datetime`.
    pub(crate) machine: String,
    /// The time in UTC.
    pub(crate) full: String,
    /// The time relative to now, such as `in 3 days`.
    pub(crate) relative: String,
}

impl Moment {
    pub(crate) fn new(at: UnixTime, now: UnixTime) -> Self {
        let machine = format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(at.seconds)).to_string();
        let full = format!("{} UTC", machine.replace('T', " ").get(..16).unwrap_or_default());
        let relative = match (at.seconds.checked_sub(now.seconds), now.seconds.checked_sub(at.seconds)) {
            (Some(0), _) | (None, None) => "now".to_owned(),
            // A token of 30 days has them a moment later, too.
            (Some(left), _) => format!("in {}", span(if left < 3_600 { left } else { left.saturating_add(60) })),
            (_, Some(past)) => format!("{} ago", span(past)),
        };
        Self { machine, full, relative }
    }
}

/// Returns a number of seconds in its largest unit, rounded down.
pub(crate) fn span(seconds: u64) -> String {
    let (number, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_runtime::Runtime;

    #[test]
    fn times_are_relative_and_in_utc() {
        let now = UnixTime::from_seconds(1_893_456_000);
        let moment = |seconds| Moment::new(UnixTime::from_seconds(seconds), now);
        assert_eq!(moment(1_893_456_000).full, "2030-01-01 00:00 UTC");
        assert_eq!(moment(1_893_456_000).machine, "2030-01-01T00:00:00Z");
        for (seconds, wanted) in [
            (1_893_456_000, "now"),
            (1_893_456_001, "in 1 second"),
            (1_893_455_940, "1 minute ago"),
            (1_893_459_600, "in 1 hour"),
            (1_893_456_000 + 172_700, "in 47 hours"),
            (1_893_456_000 + 172_799, "in 2 days"),
            (1_893_456_000 + 3_599, "in 59 minutes"),
            (1_893_456_000 + 172_800, "in 2 days"),
            (0, "21915 days ago"),
        ] {
            assert_eq!(moment(seconds).relative, wanted);
        }
    }

    #[test]
    fn rights_are_in_full_names_and_visible_characters() {
        let runtime = Runtime::new().unwrap();
        let registry = Registry::builder(&runtime).action("view-table", "vt").build().unwrap();
        let all = |restrictions: Option<&Restrictions>| rights(&registry, restrictions).join("; ");
        assert_eq!(all(None), "everything that you may do");
        assert_eq!(all(Some(&Restrictions::new())), "nothing");
        let some = Restrictions::new()
            .allow_all("vt")
            .allow_all("x")
            .allow_database("shop\u{202e}", "vt")
            .allow_resource("shop", "orders", "vt");
        assert_eq!(
            all(Some(&some)),
            "view-table, x on everything; view-table on orders in the database shop; view-table on the database \
             shop\\u{202e}"
        );
    }
}
