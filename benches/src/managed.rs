//! Token administration: pages of records among few and among many, and the cost of the audit.

mod browser;
mod creates;
mod pages;
mod verifies;

use crate::stats::{median, spread};
use keyward_audit::{Audit, Disk, Settings, Storage};
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

pub(crate) fn run() {
    pages::run();
    browser::run();
    creates::run();
    verifies::run();
}

/// A disk that counts syncs.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicU64>);

impl Counting {
    fn syncs(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Storage for Counting {
    fn write(&mut self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        Disk.write(file, bytes, at)
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Disk.sync(file)
    }
}

/// Opens an audit in `folder` with default settings except for its notes, and for a disk that other
/// programs keep busy.
fn audit(folder: &TempDir, name: &str, notes_per_second: u32, disk: Counting) -> Audit {
    let deadline = Duration::from_secs(60);
    let notes_bytes_per_day = u64::MAX;
    let settings =
        Settings { deadline, notes_per_second, notes_bytes_per_day, ..Settings::new(folder.path().join(name)) };
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Audit::open_on(settings, now, Box::new(disk)).unwrap()
}

/// Returns the median in microseconds.
fn micros(nanos: &[f64]) -> f64 {
    median(nanos.iter().copied()) / 1e3
}

/// Returns the ratios of two measurements, round by round.
fn ratio(of: &[f64], base: &[f64]) -> Vec<f64> {
    of.iter().zip(base).map(|(of, base)| of / base).collect()
}

/// Formats these ratios.
fn shown(of: &[f64], base: &[f64]) -> String {
    spread(&ratio(of, base))
}
