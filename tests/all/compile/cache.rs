//! The cache of compiled components: everything unexpected is a miss.

use crate::compile::outcome;
use keyward_runtime::compile::ArtifactCache;
use keyward_runtime::{LoadError, Runtime};
use keyward_tests::cli::{Folder, keyward};
use keyward_tests::daemon::Daemon;
use keyward_tests::hostile;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

const KEY: [u8; 32] = [7; 32];

/// A folder with the entries of two components.
struct World {
    folder: PathBuf,
    one: Vec<u8>,
    two: Vec<u8>,
}

impl World {
    fn new(name: &str) -> Self {
        let folder = Folder::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile-cache").join(name));
        let world = Self {
            folder: folder.path().join("cache"),
            one: hostile::case("benign").bytes,
            two: hostile::case("accepts-everything").bytes,
        };
        for bytes in [&world.one, &world.two] {
            world.compile(bytes).unwrap();
        }
        world
    }

    fn cache(&self) -> ArtifactCache {
        ArtifactCache::open(&self.folder, KEY).unwrap()
    }

    /// Loads a component with the cache and a worker.
    fn compile(&self, bytes: &[u8]) -> Result<(), LoadError> {
        let runtime = Runtime::builder().worker(keyward()).cache(self.cache()).build().unwrap();
        runtime.inspect(bytes).map(drop)
    }

    /// Returns whether a component is loaded from the cache, by a runtime that can compile nothing.
    fn has(&self, bytes: &[u8]) -> bool {
        let cache = ArtifactCache::open(&self.folder, KEY);
        let Ok(cache) = cache else { return false };
        let runtime = Runtime::builder().cache(cache).build().unwrap();
        match outcome(runtime.inspect(bytes)) {
            Ok(_) => true,
            Err(("no-compiler", _)) => false,
            Err(other) => panic!("{other:?}"),
        }
    }

    fn entry(&self, bytes: &[u8]) -> PathBuf {
        let digest = digest(bytes);
        self.folder.join(digest)
    }
}

fn digest(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_component_is_compiled_once() {
    let world = World::new("once");
    assert!(world.has(&world.one) && world.has(&world.two));
    let entries = ArtifactCache::entries(&world.folder).unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(ArtifactCache::clear(&world.folder).unwrap(), 2);
    assert!(!world.has(&world.one) && !world.has(&world.two));
}

#[test]
fn every_range_of_an_entry_is_authenticated() {
    let world = World::new("tampered");
    let entry = world.entry(&world.one);
    let intact = fs::read(&entry).unwrap();
    let positions = (0..64).chain((64..intact.len()).step_by(intact.len() / 200)).chain([intact.len() - 1]);
    for position in positions {
        let mut tampered = intact.clone();
        tampered[position] ^= 1 << (position % 8);
        fs::write(&entry, &tampered).unwrap();
        assert!(!world.has(&world.one), "byte {position} of {}", intact.len());
    }
    for length in [0, 1, 15, 16, 47, 48, 49, 4_096, intact.len() - 1] {
        fs::write(&entry, &intact[..length]).unwrap();
        assert!(!world.has(&world.one), "{length} bytes of {}", intact.len());
    }
    fs::write(&entry, [&*intact, b"\0"].concat()).unwrap();
    assert!(!world.has(&world.one), "a byte more");
    // A miss is compiled again.
    world.compile(&world.one).unwrap();
    assert!(world.has(&world.one));
}

#[test]
fn an_entry_of_another_component_or_key_is_a_miss() {
    let world = World::new("swapped");
    let (one, two) = (world.entry(&world.one), world.entry(&world.two));
    let bytes = [fs::read(&one).unwrap(), fs::read(&two).unwrap()];
    fs::write(&one, &bytes[1]).unwrap();
    fs::write(&two, &bytes[0]).unwrap();
    assert!(!world.has(&world.one) && !world.has(&world.two));
    fs::write(&one, &bytes[0]).unwrap();
    assert!(world.has(&world.one));
    let other = ArtifactCache::open(&world.folder, [8; 32]).unwrap();
    let runtime = Runtime::builder().cache(other).build().unwrap();
    assert_eq!(runtime.inspect(&*world.one).unwrap_err().code(), "no-compiler");
}

#[test]
fn an_entry_that_others_can_reach_is_a_miss() {
    let world = World::new("shared");
    let entry = world.entry(&world.one);
    let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    for mode in [0o604, 0o640, 0o602, 0o620, 0o601, 0o666] {
        set(&entry, mode);
        assert!(!world.has(&world.one), "mode {mode:o}");
    }
    set(&entry, 0o600);
    assert!(world.has(&world.one));
    // Only root can give a file away.
    if rustix::process::geteuid().is_root() {
        chown(&entry, Some(1), None).unwrap();
        assert!(!world.has(&world.one), "another owner");
        chown(&entry, Some(0), None).unwrap();
        chown(&world.folder, Some(1), None).unwrap();
        assert!(ArtifactCache::open(&world.folder, KEY).is_err(), "another owner of the folder");
        chown(&world.folder, Some(0), None).unwrap();
    }
    let cache = world.cache();
    for mode in [0o755, 0o710, 0o770] {
        set(&world.folder, mode);
        assert!(ArtifactCache::open(&world.folder, KEY).is_err(), "mode {mode:o} of the folder");
    }
    // Also if the mode changes once it is open.
    let runtime = Runtime::builder().cache(cache).build().unwrap();
    assert_eq!(runtime.inspect(&*world.one).unwrap_err().code(), "no-compiler");
    set(&world.folder, 0o700);

    let moved = entry.with_extension("moved");
    fs::rename(&entry, &moved).unwrap();
    symlink(&moved, &entry).unwrap();
    assert!(!world.has(&world.one), "a link");
    fs::remove_file(&entry).unwrap();
    fs::create_dir(&entry).unwrap();
    assert!(!world.has(&world.one), "a folder");
}

#[test]
fn a_cache_that_cannot_be_written_is_no_error() {
    let world = World::new("unwritable");
    // A folder is in the place of each entry, which even root cannot replace by a file.
    for bytes in [&world.one, &world.two] {
        let entry = world.entry(bytes);
        fs::remove_file(&entry).unwrap();
        fs::create_dir(&entry).unwrap();
        world.compile(bytes).unwrap();
    }
    assert_eq!(fs::read_dir(&world.folder).unwrap().count(), 2, "no temporary file is left");
}

/// Returns a folder with the configuration of a third-party handler.
fn third_party(name: &str) -> Folder {
    let folder = Folder::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile-cache").join(name));
    let config = "cache = { folder = \"cache\", key = \"cache.key\" }\n[server]\nlisten = \"127.0.0.1:0\"\n\
                  admin = \"127.0.0.1:0\"\n[[handlers]]\nname = \"third\"\ncomponent = \"third.wasm\"\nactors = \"any\"\n";
    folder.write("keyward.toml", config, 0o600);
    folder.write("third.wasm", hostile::case("accepts-everything").bytes, 0o600);
    folder
}

/// `keyward serve` creates the cache, and `keyward cache` lists and clears it.
#[test]
fn the_program_keeps_a_cache() {
    let folder = third_party("program");
    let list = || folder.run(&["cache", "list", "--config", "keyward.toml"], "").stdout;
    let compiled = |stderr: &str| stderr.matches("\"message\":\"compiled\"").count();

    assert_eq!(compiled(&Daemon::start(&folder, "keyward.toml").stop().stderr), 1);
    assert_eq!(compiled(&Daemon::start(&folder, "keyward.toml").stop().stderr), 0);
    let digest = digest(&hostile::case("accepts-everything").bytes);
    assert!(list().contains(&digest) && list().ends_with("  third\n"), "{}", list());

    // A command uses the cache, and a damaged entry is compiled again.
    let entry = folder.path().join("cache").join(&digest);
    let verify = || folder.run(&["verify", "--config", "keyward.toml"], "token");
    assert_eq!(verify().stderr, "");
    let intact = fs::read(&entry).unwrap();
    fs::write(&entry, &intact[1..]).unwrap();
    let ran = verify();
    assert_eq!(ran.stdout, "accepted by third: {\"id\":\"hostile:alice\"}\n");
    assert!(ran.stderr.contains("a cached component is not used"), "{}", ran.stderr);

    let ran = folder.run(&["cache", "clear", "--config", "keyward.toml"], "");
    assert_eq!(ran.stdout, "removed 1 compiled component\n");
    assert_eq!(list(), "no component is cached\n");

    // A cache that cannot be used is no error.
    fs::write(folder.path().join("cache.key"), "short").unwrap();
    let ended = Daemon::start(&folder, "keyward.toml").stop();
    assert!(ended.stderr.contains("the cache of `[cache]` is not used"), "{}", ended.stderr);
}

/// A full disk keeps a component from being cached, not from being loaded.
#[test]
fn a_full_disk_is_no_error() {
    let folder = third_party("full");
    // Root may use the reserved blocks of a full disk, but this limit applies to it: 8 KiB a file.
    let mut shell = std::process::Command::new("/bin/sh");
    shell
        .current_dir(folder.path())
        .args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" serve --config keyward.toml"])
        .arg(keyward());
    let ended = Daemon::spawn(shell).unwrap().stop();
    assert!(ended.stderr.contains("is not kept in the cache"), "{}", ended.stderr);
    assert_eq!(fs::read_dir(folder.path().join("cache")).unwrap().count(), 0, "no part of the file is left");
}
