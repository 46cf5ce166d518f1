//! The files of the configuration and the machine.

use super::Finding;
use crate::config::StorePlace;
use crate::config_file::ConfigFile;
use crate::date::age;
use crate::private_file::file_error;
use keyward_runtime::clock::{Clock, SystemClock};
use rustix::fs::{Access, access};
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::path::{Path, PathBuf};

/// Age from which a backup is reported, in seconds: two days.
const OLD_BACKUP: u64 = 2 * 86_400;

/// Reports the files that the daemon writes, and the machine.
pub(super) fn findings(loaded: &ConfigFile, backup: Option<&Path>) -> Vec<Finding> {
    let mut findings: Vec<_> = written(loaded).into_iter().map(|(check, file)| writable(check, &file)).collect();
    findings.extend(backup.map(recent));
    findings.extend([clock(), core_dumps(), swap(), open_files(loaded), randomness(), engine()]);
    findings
}

/// Returns the files that the daemon writes.
fn written(loaded: &ConfigFile) -> Vec<(&'static str, PathBuf)> {
    let mut files = Vec::new();
    if let Some(store) = &loaded.config.store
        && let StorePlace::Sqlite(path) = &store.place.value
    {
        files.push(("store", loaded.path(path)));
    }
    files.extend(loaded.audit_settings().map(|settings| ("audit log", settings.file)));
    files.extend(loaded.pending_file().map(|file| ("pending revocations", file)));
    files
}

/// Checks that this user can write to a file, or create it.
fn writable(check: &'static str, file: &Path) -> Finding {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let target = if file.exists() { file } else { folder };
    match access(target, Access::WRITE_OK) {
        Ok(()) => Finding::ok(check, format!("{} can be written", file.display())),
        Err(error) => {
            let text = format!("{} cannot be written: {}", target.display(), file_error(&error.into()));
            Finding::danger(check, text)
        }
    }
}

fn recent(backup: &Path) -> Finding {
    let age_of = |file: &Path| Some(fs::metadata(file).ok()?.modified().ok()?.elapsed().ok()?.as_secs());
    match age_of(backup) {
        None => Finding::danger("backup", format!("there is no backup {}", backup.display())),
        Some(seconds) if seconds > OLD_BACKUP => {
            Finding::note("backup", format!("{} is {} old", backup.display(), age(seconds)))
        }
        Some(seconds) => Finding::ok("backup", format!("{} is {} old", backup.display(), age(seconds))),
    }
}

fn clock() -> Finding {
    match SystemClock.now() {
        // A clock that was never set shows a time before this program was written.
        Some(now) if now.seconds > 1_790_000_000 => Finding::ok("clock", "it is set"),
        _ => Finding::danger("clock", "it shows a time before 2026: correct it"),
    }
}

fn core_dumps() -> Finding {
    match getrlimit(Resource::Core).current {
        Some(0) => Finding::ok("core dumps", "they are off"),
        _ => Finding::note("core dumps", "they are on, and would contain keys: set `LimitCORE=0`, or `ulimit -c 0`"),
    }
}

fn swap() -> Finding {
    // The first line is the head of the table.
    match fs::read_to_string("/proc/swaps") {
        Ok(text) if text.lines().count() > 1 => {
            Finding::note("swap", "it is on, and may contain keys: encrypt it, or switch it off")
        }
        Ok(_) => Finding::ok("swap", "it is off"),
        Err(_) => Finding::note("swap", "/proc/swaps cannot be read"),
    }
}

fn open_files(loaded: &ConfigFile) -> Finding {
    let wanted = u64::try_from(loaded.config.server.config.limits.connections).unwrap_or(u64::MAX);
    match getrlimit(Resource::Nofile).maximum {
        Some(maximum) if maximum < wanted.saturating_add(64) => Finding::note(
            "open files",
            format!("{maximum} are allowed, so the daemon accepts fewer than {wanted} connections: raise `ulimit -n`"),
        ),
        _ => Finding::ok("open files", format!("enough for {wanted} connections")),
    }
}

fn randomness() -> Finding {
    match getrandom::fill(&mut [0; 32]) {
        Ok(()) => Finding::ok("randomness", "the operating system provides it"),
        Err(error) => Finding::danger("randomness", format!("the operating system returned none: {error}")),
    }
}

fn engine() -> Finding {
    let text = format!("wasmtime {} on {}", keyward_engine::wasmtime_version(), keyward_engine::processor().join(" "));
    Finding::ok("engine", text)
}
