//! `[audit]`: the file of the audit log, its retention, and the policy for failed writes.

use super::schema::{NAME_PATTERN, json_schema_for, within};
use super::{ConfigError, Lines, Located, NAME, is_name};
use keyward_audit::{OnWriteFailure, Settings};
use schemars::{JsonSchema, json_schema};
use serde::Deserialize;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// The settings of the audit log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Audit {
    /// The path as written in the configuration.
    pub(crate) file: Located<PathBuf>,
    /// The name of this node; `None` to derive it from the machine's name and the port.
    pub(crate) node: Option<String>,
    /// All other settings; their `file` and `node` are not used.
    pub(crate) settings: Settings,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditTable {
    /// File of the log: one for all processes of this machine.
    #[schemars(with = "PathBuf")]
    file: Spanned<PathBuf>,
    /// Name of this process in its records: 1 to 64 of the characters `A-Z a-z 0-9 _ -`. Without
    /// it: the machine's name and the port of `listen`.
    #[schemars(with = "Option<String>", regex(pattern = NAME_PATTERN))]
    node: Option<Spanned<String>>,
    /// Size from which the file is renamed and a new one is started.
    #[schemars(with = "Option<u32>", transform = within(ROTATE_MIB))]
    #[schemars(extend("default" = Settings::new("").rotate_bytes >> 20))]
    rotate_mib: Option<Spanned<u64>>,
    /// Minimum age in days at which records are removed; none is kept for twice that time. The
    /// default applies unless `keep_files` is set.
    #[schemars(with = "Option<KeepDays>", extend("default" = Settings::new("").keep_days))]
    keep_days: Option<Spanned<KeepDays>>,
    /// Number of finished files to keep; older ones are removed. Without it: all, up to
    /// `keep_days`.
    #[schemars(with = "Option<u32>", transform = within(KEEP_FILES))]
    keep_files: Option<Spanned<u64>>,
    /// Effect on a change that cannot be recorded: `refuse` it (503), or `continue` with it and
    /// record it later.
    #[schemars(extend("default" = "refuse"))]
    when_stuck: Option<Policy>,
    /// Maximum time until a record is durable; after that, it counts as not written.
    #[schemars(with = "Option<u32>", transform = within(DEADLINE_MS))]
    #[schemars(extend("default" = millis(Settings::new("").deadline)))]
    deadline_ms: Option<Spanned<u64>>,
    /// Maximum number of refusals that are recorded in a second; more are only counted. Protects
    /// the log from floods.
    #[schemars(with = "Option<u32>", transform = within(NOTES_PER_SECOND))]
    #[schemars(extend("default" = Settings::new("").notes_per_second))]
    notes_per_second: Option<Spanned<u64>>,
    /// Maximum size of the recorded refusals of 24 hours, half of it at once; more are only
    /// counted. Keeps refusals from filling the disk.
    #[schemars(with = "Option<u32>", transform = within(MIB))]
    #[schemars(extend("default" = Settings::new("").notes_bytes_per_day >> 20))]
    notes_mib_per_day: Option<Spanned<u64>>,
    /// Free space of the file system that is left to changes: with less, refusals are only counted.
    #[schemars(with = "Option<u32>", transform = within(MIB))]
    #[schemars(extend("default" = Settings::new("").reserve_bytes >> 20))]
    reserve_mib: Option<Spanned<u64>>,
}

const ROTATE_MIB: RangeInclusive<u32> = 1..=65_536;
const KEEP_DAYS: RangeInclusive<u32> = 1..=36_500;
const KEEP_FILES: RangeInclusive<u32> = 1..=1_000_000;
const DEADLINE_MS: RangeInclusive<u32> = 1..=60_000;
const NOTES_PER_SECOND: RangeInclusive<u32> = 0..=1_000_000;
const MIB: RangeInclusive<u32> = 0..=1_048_576;

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "`keep_days` must be a whole number from 1 to 36500, or \"forever\"")]
enum KeepDays {
    Number(u64),
    Text(Forever),
}

json_schema_for!(KeepDays, |_| json_schema!({
    "title": format!("whole number, {} to {}, or `\"forever\"`", KEEP_DAYS.start(), KEEP_DAYS.end()),
    "anyOf": [
        { "type": "integer", "minimum": KEEP_DAYS.start(), "maximum": KEEP_DAYS.end() },
        { "const": "forever" },
    ],
}));

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Forever {
    Forever,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Policy {
    Refuse,
    Continue,
}

impl AuditTable {
    pub(super) fn checked(self, lines: Lines<'_>) -> Result<Audit, ConfigError> {
        let Self { file, node, rotate_mib, keep_days, keep_files, when_stuck, deadline_ms, .. } = self;
        let Self { notes_per_second, notes_mib_per_day, reserve_mib, .. } = self;
        if file.get_ref().file_name().is_none() {
            return Err(lines
                .error(Some(file.span()), "`file` does not name a file: use a name such as `file = \"audit.jsonl\"`"));
        }
        if let Some(node) = node.as_ref().filter(|node| !is_name(node.get_ref())) {
            return Err(lines.error(Some(node.span()), format!("`node` must be {NAME}")));
        }
        let number = |given: Option<Spanned<u64>>, name: &str, range: RangeInclusive<u32>| match given {
            None => Ok(None),
            Some(given) => match u32::try_from(*given.get_ref()).ok().filter(|number| range.contains(number)) {
                Some(number) => Ok(Some(number)),
                None => {
                    let text = format!("`{name}` must be a whole number from {} to {}", range.start(), range.end());
                    Err(lines.error(Some(given.span()), text))
                }
            },
        };
        let mut settings = Settings::new("");
        if let Some(mib) = number(rotate_mib, "rotate_mib", ROTATE_MIB)? {
            settings.rotate_bytes = u64::from(mib) << 20;
        }
        settings.keep_files = number(keep_files, "keep_files", KEEP_FILES)?;
        settings.keep_days = match keep_days.map(|days| (days.span(), days.into_inner())) {
            Some((_, KeepDays::Text(Forever::Forever))) => None,
            Some((span, KeepDays::Number(days))) => number(Some(Spanned::new(span, days)), "keep_days", KEEP_DAYS)?,
            // An operator who keeps a number of files has chosen a retention.
            None => settings.keep_days.filter(|_| settings.keep_files.is_none()),
        };
        if let Some(ms) = number(deadline_ms, "deadline_ms", DEADLINE_MS)? {
            settings.deadline = Duration::from_millis(ms.into());
        }
        if let Some(notes) = number(notes_per_second, "notes_per_second", NOTES_PER_SECOND)? {
            settings.notes_per_second = notes;
        }
        if let Some(mib) = number(notes_mib_per_day, "notes_mib_per_day", MIB)? {
            settings.notes_bytes_per_day = u64::from(mib) << 20;
        }
        if let Some(mib) = number(reserve_mib, "reserve_mib", MIB)? {
            settings.reserve_bytes = u64::from(mib) << 20;
        }
        if let Some(policy) = when_stuck {
            settings.when_stuck = match policy {
                Policy::Refuse => OnWriteFailure::Refuse,
                Policy::Continue => OnWriteFailure::Continue,
            };
        }
        Ok(Audit { file: lines.at(file), node: node.map(Spanned::into_inner), settings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn audit(members: &str) -> Result<Audit, (usize, String)> {
        let text = format!(
            "[[handlers]]\nname = \"h\"\ncomponent = \"builtin:hardcoded\"\nprefixes = [\"h_\"]\n[audit]\n{members}"
        );
        match Config::parse(&text) {
            Ok(config) => Ok(config.audit.unwrap()),
            Err(ConfigError { line, text }) => Err((line.unwrap_or(0), text)),
        }
    }

    #[test]
    fn omitted_settings_have_their_defaults() {
        let Audit { file, node, settings } = audit("file = \"a/audit.jsonl\"").unwrap();
        assert_eq!((file, node), (Located { line: 6, value: "a/audit.jsonl".into() }, None));
        assert_eq!(settings, Settings::new(""));
    }

    #[test]
    fn every_setting_can_be_set() {
        let audit = audit(
            "file = \"x\"\nnode = \"a-1\"\nrotate_mib = 1\nkeep_days = 2\nkeep_files = 3\nwhen_stuck = \"continue\"\n\
             deadline_ms = 5\nnotes_per_second = 0\nnotes_mib_per_day = 6\nreserve_mib = 7",
        );
        let Audit { file: _, node, settings } = audit.unwrap();
        assert_eq!(node.as_deref(), Some("a-1"));
        let wanted = Settings {
            rotate_bytes: 1 << 20,
            keep_days: Some(2),
            keep_files: Some(3),
            when_stuck: OnWriteFailure::Continue,
            deadline: Duration::from_millis(5),
            notes_per_second: 0,
            notes_bytes_per_day: 6 << 20,
            reserve_bytes: 7 << 20,
            ..Settings::new("")
        };
        assert_eq!(settings, wanted);
    }

    #[test]
    fn retention_has_a_default_unless_the_operator_chooses_another() {
        for (members, keep_days, keep_files) in [
            ("", Some(400), None),
            ("keep_days = 30", Some(30), None),
            ("keep_days = \"forever\"", None, None),
            ("keep_files = 9", None, Some(9)),
            ("keep_files = 9\nkeep_days = 30", Some(30), Some(9)),
            ("keep_files = 9\nkeep_days = \"forever\"", None, Some(9)),
        ] {
            let settings = audit(&format!("file = \"x\"\n{members}")).unwrap().settings;
            assert_eq!((settings.keep_days, settings.keep_files), (keep_days, keep_files), "{members}");
        }
    }

    #[test]
    fn errors_name_the_setting_and_its_line() {
        for (members, wanted) in [
            ("keep_days = 1", (5, "`file` is missing; add it")),
            ("file = \"\"", (6, "`file` does not name a file")),
            ("file = \"..\"", (6, "`file` does not name a file")),
            ("file = \"x\"\nnode = \"a b\"", (7, "`node` must be 1 to 64 of the characters")),
            ("file = \"x\"\nrotate_mib = 0", (7, "`rotate_mib` must be a whole number from 1 to 65536")),
            ("file = \"x\"\nkeep_days = 0", (7, "`keep_days` must be a whole number from 1 to 36500")),
            (
                "file = \"x\"\nkeep_days = \"never\"",
                (7, "`keep_days` must be a whole number from 1 to 36500, or \"forever\""),
            ),
            ("file = \"x\"\nkeep_files = 0", (7, "`keep_files` must be a whole number from 1 to 1000000")),
            ("file = \"x\"\ndeadline_ms = 60001", (7, "`deadline_ms` must be a whole number from 1 to 60000")),
            (
                "file = \"x\"\nnotes_per_second = 4294967296",
                (7, "`notes_per_second` must be a whole number from 0 to 1000000"),
            ),
            (
                "file = \"x\"\nnotes_mib_per_day = 1048577",
                (7, "`notes_mib_per_day` must be a whole number from 0 to 1048576"),
            ),
            ("file = \"x\"\nreserve_mib = -1", (7, "this integer has the wrong type; expected a whole number")),
            ("file = \"x\"\nwhen_stuck = \"wait\"", (7, "unknown variant `wait`")),
            ("file = \"x\"\nkeep = 1", (7, "unknown field `keep`")),
        ] {
            let (line, text) = audit(members).unwrap_err();
            assert!(line == wanted.0 && text.starts_with(wanted.1), "{members}: {line}: {text}");
        }
    }
}
