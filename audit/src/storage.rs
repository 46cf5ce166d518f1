//! Storage: the file operations that a record waits for, which can block or fail.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The file operations of the writer thread.
pub trait Storage: Send {
    /// Writes all bytes at the offset `at`.
    ///
    /// # Errors
    /// Some of the bytes may have been written.
    fn write(&mut self, file: &File, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Makes all written bytes durable.
    ///
    /// # Errors
    /// The bytes may be durable or not.
    fn sync(&mut self, file: &File) -> io::Result<()>;

    /// Returns the number of bytes that this process can still write to the file's file system. The
    /// default is no limit.
    ///
    /// # Errors
    /// The number cannot be determined.
    fn free_bytes(&mut self, file: &File) -> io::Result<u64> {
        let _ = file;
        Ok(u64::MAX)
    }
}

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Storage for Disk {
    fn write(&mut self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn free_bytes(&mut self, file: &File) -> io::Result<u64> {
        let found = rustix::fs::fstatvfs(file)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}
