//! Workers that fail, lie, or are killed.

use super::with_worker;
use keyward_runtime::compile::WorkerLimits;
use keyward_runtime::{LoadError, Runtime};
use keyward_tests::cli::{Folder, keyward};
use keyward_tests::daemon::wait_for;
use keyward_tests::hostile;
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

fn folder(name: &str) -> Folder {
    Folder::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile").join(name))
}

/// Loads a component with a worker that is a shell script.
fn load_with(folder: &Folder, name: &str, script: &str) -> Result<(), LoadError> {
    let program = folder.path().join(name);
    folder.write(name, format!("#!/bin/sh\n{script}\n"), 0o700);
    let limits = WorkerLimits { wall: Duration::from_secs(2), ..WorkerLimits::default() };
    let runtime = Runtime::builder().worker_within(program, limits).build().unwrap();
    runtime.inspect(hostile::case("benign").bytes).map(drop)
}

#[test]
fn a_worker_that_fails_or_lies_is_an_error_and_ends() {
    let folder = folder("scripts");
    let large = "\\0\\0\\377\\377\\377\\377\\377\\377\\377\\177";
    for (name, script, code, told) in [
        ("ends", "exit 0", "compile-worker", "status 0"),
        ("fails", "exit 1", "compile-worker", "status 1"),
        ("has-no-cage", "exit 3", "compile-worker", "cannot enter its cage"),
        ("panics", "cat >/dev/null; exit 101", "invalid", "makes the compiler panic"),
        ("says-nothing", "cat >/dev/null", "compile-worker", "status 0"),
        ("is-another-program", "cat", "compile-worker", "status 0"),
        ("ends-in-the-head", "printf '\\0'", "compile-worker", "status 0"),
        ("ends-in-the-length", "printf '\\0\\0\\5\\0'", "compile-worker", "status 0"),
        ("ends-in-the-code", "printf '\\0\\0\\5\\0\\0\\0\\0\\0\\0\\0abc'", "compile-worker", "status 0"),
        ("is-of-no-kind", "printf '\\7\\0\\0\\0\\0\\0\\0\\0\\0\\0'", "compile-worker", "status 0"),
        ("promises-much", &format!("printf '{large}'"), "compile-worker", "status 0"),
        ("sends-no-code", "printf '\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0'", "invalid", "does not compile"),
        ("sends-text-as-code", "printf '\\0\\0\\5\\0\\0\\0\\0\\0\\0\\0hello'", "invalid", "does not compile"),
        ("replies-and-fails", "printf '\\1\\0\\2\\0\\0\\0\\0\\0\\0\\0no'; exit 1", "compile-worker", "status 1"),
        ("refuses", "printf '\\1\\0\\4\\0\\0\\0\\0\\0\\0\\0a\\33[b'", "invalid", "a\\u{1b}[b"),
        ("waits", "while :; do sleep 1; done", "compile-limit", "its time (2 s)"),
        ("replies-and-waits", "printf '\\1\\0\\2\\0\\0\\0\\0\\0\\0\\0no'; sleep 60", "compile-limit", "its time (2 s)"),
        ("writes-forever", "while :; do echo yes; done", "compile-worker", "was ended"),
        ("is-killed", "kill -9 $$", "compile-limit", "its CPU time (60 s)"),
        ("runs-out-of-memory", "kill -ABRT $$", "compile-limit", "its memory (2048 MiB) or stack"),
        ("crashes", "kill -SEGV $$", "compile-limit", "its memory (2048 MiB) or stack"),
        ("is-ended", "kill -TERM $$", "compile-worker", "was ended by"),
    ] {
        let error = load_with(&folder, name, script).expect_err(name);
        let text = error.to_string();
        assert_eq!(error.code(), code, "{name}: {text}");
        assert!(text.contains(told) && text.len() < 400, "{name}: {text}");
    }
    let error = Runtime::builder().worker("no/worker").build().unwrap().inspect(hostile::case("benign").bytes);
    let error = error.unwrap_err();
    assert_eq!(error.code(), "compile-worker");
    assert!(error.to_string().starts_with("the compile worker no/worker cannot be started (No such file"), "{error}");
}

#[test]
fn a_worker_inherits_no_environment_and_no_files() {
    let folder = folder("inherits");
    let seen = folder.path().join("seen");
    let script = format!("exec >{}; cat /proc/$$/environ; ls /proc/$$/fd; ps -o pid=,pgid= -p $$", seen.display());
    load_with(&folder, "looks", &script).unwrap_err();
    let seen = fs::read_to_string(seen).unwrap();
    let [files @ .., ids] = &seen.lines().collect::<Vec<_>>()[..] else { panic!("{seen}") };
    let [pid, group] = ids.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{seen}") };
    assert_eq!(pid, group, "a group of its own");
    // The shell itself opens its script under another number.
    assert_eq!(files.iter().filter(|file| file.len() == 1).collect::<Vec<_>>(), [&"0", &"1", &"2"], "{seen}");
    assert!(!seen.contains("CARGO") && !seen.contains("HOME="), "{seen}");
}

/// Starts a worker, and waits until it is in its cage.
fn caged(memory_bytes: u64, cpu_seconds: u64) -> Child {
    let mut command = Command::new(keyward());
    command.args(["compile-worker", &memory_bytes.to_string(), &cpu_seconds.to_string()]);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the cage", || status(child.id(), "Seccomp").as_deref() == Some("2"));
    child
}

fn status(pid: u32, name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

#[test]
fn a_worker_is_in_its_cage_before_it_reads() {
    let mut child = caged(1 << 30, 5);
    let pid = child.id();
    for (name, value) in [("NoNewPrivs", "1"), ("Threads", "1")] {
        assert_eq!(status(pid, name).as_deref(), Some(value), "{name}");
    }
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    for (name, soft, hard) in [
        ("Max cpu time", "5", "6"),
        ("Max file size", "0", "0"),
        ("Max data size", "1073741824", "1073741824"),
        ("Max core file size", "0", "0"),
        ("Max processes", "0", "0"),
    ] {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        assert_eq!(line.split_whitespace().take(2).collect::<Vec<_>>(), [soft, hard], "{name}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_worker_with_wrong_arguments_ends() {
    for args in [&[][..], &["1"], &["x", "1"], &["1", "-1"], &["1", "1", "1"]] {
        let ended = Command::new(keyward()).arg("compile-worker").args(args).stdin(Stdio::null()).output().unwrap();
        assert_eq!((ended.status.code(), ended.stdout.len()), (Some(2), 0), "{args:?}");
    }
}

/// Returns the processes whose program is `program`.
fn processes(program: &Path) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let pids = entries.filter(|entry| fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == program));
    pids.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// Returns a copy of the program, so that its processes are those of one test.
fn copy(folder: &Folder) -> PathBuf {
    let program = folder.path().canonicalize().unwrap().join("worker");
    fs::copy(keyward(), &program).unwrap();
    program
}

/// A worker that is killed at any moment leaves an error, and the next one is not affected.
#[test]
fn a_worker_may_be_killed_at_any_moment() {
    let folder = folder("killed");
    let program = copy(&folder);
    let bytes = hostile::case("benign").bytes;
    let (mut killed, mut loaded) = (0, 0);
    for step in 0..60_u32 {
        let runtime = Runtime::builder().worker(&program).build().unwrap();
        let outcome = thread::scope(|scope| {
            let load = scope.spawn(|| runtime.inspect(&*bytes).map(drop));
            let until = Instant::now() + Duration::from_millis(u64::from(step));
            while !load.is_finished() {
                for pid in processes(&program) {
                    if Instant::now() >= until {
                        let _ = kill_process(pid, Signal::KILL);
                    }
                }
            }
            load.join().unwrap()
        });
        match outcome {
            Ok(()) => loaded += 1,
            Err(error) => {
                assert_eq!(error.code(), "compile-limit", "{error}");
                killed += 1;
            }
        }
        assert_eq!(processes(&program), []);
    }
    assert!(killed > 0, "{killed} were killed, {loaded} loaded");
    Runtime::builder().worker(&program).build().unwrap().inspect(&*bytes).unwrap();
}

#[test]
fn a_worker_dies_with_its_parent() {
    let folder = folder("orphan");
    let program = copy(&folder);
    folder.write(
        "slow.wasm",
        keyward_tests::bombs::with_code(&[], 4, 300, &keyward_tests::bombs::live(300, 300)),
        0o600,
    );
    let mut check = Command::new(&program).args(["check", "slow.wasm"]).current_dir(folder.path()).spawn().unwrap();
    wait_for("the worker", || processes(&program).len() == 2);
    check.kill().unwrap();
    check.wait().unwrap();
    wait_for("the end of the worker", || processes(&program).is_empty());
}

#[test]
fn one_worker_runs_at_a_time() {
    let folder = folder("queue");
    let program = copy(&folder);
    let runtime = Runtime::builder().worker(&program).build().unwrap();
    let most = thread::scope(|scope| {
        let cases = ["benign", "accepts-everything", "loop-verify", "trap-divide", "answer-by-the-caller"];
        let loads = cases.map(|name| scope.spawn(|| runtime.inspect(hostile::case(name).bytes).map(drop)));
        let mut most = 0;
        while !loads.iter().all(thread::ScopedJoinHandle::is_finished) {
            most = most.max(processes(&program).len());
        }
        for load in loads {
            load.join().unwrap().unwrap();
        }
        most
    });
    assert_eq!(most, 1);
}

#[test]
fn limits_of_the_worker_are_enforced() {
    let bytes = keyward_tests::bombs::with_code(&[], 8, 300, &keyward_tests::bombs::live(300, 300));
    let second = Duration::from_secs(1);
    for (limits, told) in [
        (WorkerLimits { cpu: second, ..WorkerLimits::default() }, "its CPU time (1 s)"),
        (WorkerLimits { wall: second, ..WorkerLimits::default() }, "its time (1 s)"),
        (WorkerLimits { memory_bytes: 32 << 20, ..WorkerLimits::default() }, "its memory (32 MiB)"),
    ] {
        let error = with_worker(limits).inspect(&*bytes).unwrap_err();
        assert_eq!(error.code(), "compile-limit", "{error}");
        assert!(error.to_string().contains(told), "{error}");
    }
}

/// A write to a worker that has ended is not the end of this process.
#[test]
fn a_large_component_may_be_left_unread() {
    let folder = folder("unread");
    folder.write("worker", "#!/bin/sh\nexit 1\n", 0o700);
    let runtime = Runtime::builder().worker(folder.path().join("worker")).build().unwrap();
    let mut bytes = hostile::case("benign").bytes;
    let mut data = b"\x01x".to_vec();
    data.extend(vec![0; 8 << 20]);
    keyward_tests::bombs::section(&mut bytes, 0, &data);
    let error = runtime.inspect(bytes).unwrap_err();
    assert_eq!(error.code(), "compile-worker", "{error}");
}
