//! A folder of machine code that this host has compiled, each entry with an authentication code.

use hmac::{Hmac, KeyInit, Mac};
use rustix::fs::OFlags;
use rustix::process::geteuid;
use sha2::Sha256;
use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// The first bytes of an entry, with the version of its format.
const MAGIC: &[u8; 16] = b"keyward-machine1";
/// Length of the authentication code that follows [`MAGIC`], in bytes.
const CODE: usize = 32;
/// Maximum total size of the entries, in bytes.
const MAX_BYTES: u64 = 512 << 20;
/// The beginning of a file that is not complete yet, which no digest has.
const TEMPORARY: &str = "tmp-";
/// Age after which an incomplete file is removed: its writer has ended.
const ABANDONED: Duration = Duration::from_secs(3_600);

/// A private folder with the machine code of components, so that each is compiled once.
///
/// An entry is used only if its authentication code is valid for its bytes, the digest of the
/// component, the full version of wasmtime, the engine's settings and the features of this
/// processor. Everything else is a miss: the component is compiled again. The key must be secret,
/// kept outside of the folder, and used for nothing else.
pub struct ArtifactCache {
    folder: PathBuf,
    mac: Hmac<Sha256>,
    /// The authenticated text that differs between engines whose code is not interchangeable.
    engine: String,
}

/// An entry of an [`ArtifactCache`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheEntry {
    /// The SHA-256 of the component.
    pub sha256: [u8; 32],
    /// Size of the file, in bytes.
    pub bytes: u64,
    /// The time of its last use.
    pub used: SystemTime,
}

/// Machine code from an entry whose authentication code was valid. Created only by
/// [`ArtifactCache::get`].
pub(crate) struct Unsealed(Vec<u8>);

impl Unsealed {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl ArtifactCache {
    /// Opens the cache in `folder`, which is created with mode 0700 if it does not exist.
    ///
    /// # Errors
    /// The folder cannot be created, or users other than this one can access it.
    pub fn open(folder: impl Into<PathBuf>, key: [u8; 32]) -> io::Result<Self> {
        let folder = folder.into();
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        check_folder(&folder)?;
        let engine = keyward_engine::fingerprint().map_err(io::Error::other)?;
        #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
        let mac = Hmac::new_from_slice(&key).expect("any length");
        Ok(Self { folder, mac, engine })
    }

    /// Returns the machine code of the component with this SHA-256, or `None` on a miss. Logs why
    /// an entry that exists is not used.
    pub(crate) fn get(&self, digest: [u8; 32]) -> Option<Unsealed> {
        let found = check_folder(&self.folder).and_then(|()| self.read(digest));
        found
            .inspect_err(|error| {
                if error.kind() != io::ErrorKind::NotFound {
                    let (component, error) = (hex::encode(digest), error.to_string());
                    tracing::warn!(target: "keyward::load", component, error, "a cached component is not used");
                }
            })
            .ok()
    }

    fn read(&self, digest: [u8; 32]) -> io::Result<Unsealed> {
        let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let mut file = OpenOptions::new().read(true).custom_flags(no_link).open(self.path(digest))?;
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.uid() != geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
            return Err(io::Error::other("its file is not private to this user"));
        }
        if metadata.len() > MAX_BYTES {
            return Err(io::Error::other("its file is too large"));
        }
        let (mut magic, mut code) = ([0; MAGIC.len()], [0; CODE]);
        file.read_exact(&mut magic)?;
        file.read_exact(&mut code)?;
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
        (&file).take(MAX_BYTES).read_to_end(&mut bytes)?;
        if magic != *MAGIC || self.authentication(digest, &bytes).verify_slice(&code).is_err() {
            return Err(io::Error::other("it was not written by this version on this host, or has changed since"));
        }
        // The order of eviction; its failure costs at most a compilation.
        let _ = file.set_modified(SystemTime::now());
        Ok(Unsealed(bytes))
    }

    /// Keeps the machine code of the component with this SHA-256, and removes the entries that were
    /// not used for the longest time if the folder is full. A failure is logged.
    pub(crate) fn put(&self, digest: [u8; 32], code: &[u8]) {
        if let Err(error) = check_folder(&self.folder).and_then(|()| self.write(digest, code)) {
            let (component, error) = (hex::encode(digest), error.to_string());
            tracing::warn!(target: "keyward::load", component, error, "a compiled component is not kept in the cache");
        }
    }

    fn write(&self, digest: [u8; 32], code: &[u8]) -> io::Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("{TEMPORARY}{}-{}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let temporary = self.folder.join(name);
        let written =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).and_then(|mut file| {
                file.write_all(MAGIC)?;
                file.write_all(&self.authentication(digest, code).finalize().into_bytes())?;
                file.write_all(code)?;
                file.sync_all()
            });
        let done = written.and_then(|()| fs::rename(&temporary, self.path(digest)));
        if done.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        done.and_then(|()| self.evict())
    }

    fn evict(&self) -> io::Result<()> {
        let mut total = 0_u64;
        for entry in Self::entries(&self.folder)? {
            total = total.saturating_add(entry.bytes);
            if total > MAX_BYTES {
                fs::remove_file(self.path(entry.sha256))?;
            }
        }
        for file in fs::read_dir(&self.folder)? {
            let file = file?;
            let age = || file.metadata().ok()?.modified().ok()?.elapsed().ok();
            if is_temporary(&file.path()) && age().is_some_and(|age| age > ABANDONED) {
                fs::remove_file(file.path())?;
            }
        }
        Ok(())
    }

    /// Returns the entries in a folder, the last used one first, without reading their code.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn entries(folder: &Path) -> io::Result<Vec<CacheEntry>> {
        let mut entries = Vec::new();
        for file in fs::read_dir(folder)? {
            let file = file?;
            let mut sha256 = [0; 32];
            if hex::decode_to_slice(file.file_name().as_encoded_bytes(), &mut sha256).is_err() {
                continue;
            }
            // Another process may have removed it.
            if let Ok(metadata) = file.metadata() {
                entries.push(CacheEntry { sha256, bytes: metadata.len(), used: metadata.modified()? });
            }
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.used));
        Ok(entries)
    }

    /// Removes the entries in a folder, and returns their number. Other files are left alone.
    ///
    /// # Errors
    /// The folder cannot be read, or a file cannot be removed.
    pub fn clear(folder: &Path) -> io::Result<usize> {
        let entries = Self::entries(folder)?;
        for entry in &entries {
            fs::remove_file(folder.join(hex::encode(entry.sha256)))?;
        }
        for file in fs::read_dir(folder)? {
            let path = file?.path();
            if is_temporary(&path) {
                fs::remove_file(path)?;
            }
        }
        Ok(entries.len())
    }

    fn path(&self, digest: [u8; 32]) -> PathBuf {
        self.folder.join(hex::encode(digest))
    }

    /// Returns the authentication of machine code: each part of fixed length or after its length,
    /// so that no two different inputs are the same bytes.
    fn authentication(&self, digest: [u8; 32], code: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(MAGIC);
        mac.update(&digest);
        mac.update(&u64::try_from(self.engine.len()).unwrap_or(u64::MAX).to_le_bytes());
        mac.update(self.engine.as_bytes());
        mac.update(code);
        mac
    }
}

impl fmt::Debug for ArtifactCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArtifactCache").field("folder", &self.folder).finish_non_exhaustive()
    }
}

fn is_temporary(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes()))
}

/// Checks that only this user can access the folder.
fn check_folder(folder: &Path) -> io::Result<()> {
    let metadata = fs::metadata(folder)?;
    if metadata.is_dir() && metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o077 == 0 {
        return Ok(());
    }
    let folder = folder.display();
    let text =
        format!("the folder {folder} is not private to this user: change its owner, or run `chmod 700 {folder}`");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries of another version of wasmtime, other settings or another processor are misses.
    #[test]
    fn an_entry_is_bound_to_the_engine() {
        let folder = std::env::temp_dir().join(format!("keyward-cache-{}", process::id()));
        let mut cache = ArtifactCache::open(&folder, [7; 32]).unwrap();
        cache.put([1; 32], b"code");
        let own = cache.engine.clone();
        assert!(own.contains(&keyward_engine::wasmtime_version()));
        for (part, other) in [
            (keyward_engine::wasmtime_version(), "48.0.7".to_owned()),
            ("epoch_interruption: true".to_owned(), "epoch_interruption: false".to_owned()),
            (keyward_engine::processor().join(" "), "x86_64 sse3".to_owned()),
        ] {
            cache.engine = own.replace(&part, &other);
            assert_ne!(cache.engine, own, "{part}");
            assert!(cache.get([1; 32]).is_none(), "{other} instead of {part}");
        }
        cache.engine = own;
        assert_eq!(cache.get([1; 32]).unwrap().into_bytes(), b"code");
        assert_eq!(ArtifactCache::clear(&folder).unwrap(), 1);
        fs::remove_dir(folder).unwrap();
    }

    #[test]
    fn the_entries_that_were_not_used_for_the_longest_time_are_removed_first() {
        let folder = std::env::temp_dir().join(format!("keyward-evicted-{}", process::id()));
        let cache = ArtifactCache::open(&folder, [7; 32]).unwrap();
        // Sparse files of half the maximum.
        for (number, age) in [(1, 30), (2, 10), (3, 20)] {
            let file = fs::File::create(cache.path([number; 32])).unwrap();
            file.set_len(MAX_BYTES / 2).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        let abandoned = folder.join("tmp-1-1");
        fs::File::create(&abandoned).unwrap().set_modified(SystemTime::now() - Duration::from_secs(7_200)).unwrap();
        cache.put([4; 32], b"");
        let kept: Vec<_> = ArtifactCache::entries(&folder).unwrap().iter().map(|entry| entry.sha256[0]).collect();
        assert_eq!(kept, [4, 2]);
        assert!(!abandoned.exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
