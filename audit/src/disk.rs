//! What can block or fail: the two operations on a file that a record waits for.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Ways to write to a file.
pub trait Storage: Send {
    /// Writes all bytes at that place.
    ///
    /// # Errors
    /// Some of them may have been written.
    fn write(&mut self, file: &File, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    /// It may be durable or not.
    fn sync(&mut self, file: &File) -> io::Result<()>;
}

/// A disk, as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Storage for Disk {
    fn write(&mut self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}
