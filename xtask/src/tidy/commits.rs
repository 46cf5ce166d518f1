//! Commit subjects.

use crate::run::capture;
use std::path::Path;
use std::process::Command;

/// The last commit before the rule was introduced.
const SINCE: &str = "a83db31647f3";

/// Maximum length of a subject, in characters.
pub(super) const MAX_SUBJECT: usize = 72;

/// Rejects subjects that are too long. A shallow clone without [`SINCE`] has nothing to check.
pub(super) fn check(root: &Path, wrong: &mut Vec<String>) -> Result<(), String> {
    for subject in subjects(root)? {
        if subject.chars().count() > MAX_SUBJECT {
            wrong.push(format!("commit `{subject}`: the subject has more than {MAX_SUBJECT} characters"));
        }
    }
    Ok(())
}

/// Returns the subjects since the rule was introduced, without merges.
pub(super) fn subjects(root: &Path) -> Result<Vec<String>, String> {
    let range = format!("{SINCE}..HEAD");
    let log = capture(Command::new("git").current_dir(root).args(["log", "--no-merges", "--format=%s", &range]))?;
    if !log.status.success() {
        return Ok(Vec::new());
    }
    Ok(String::from_utf8_lossy(&log.stdout).lines().map(str::to_owned).collect())
}
