//! A daemon with ten hostile handlers, which is reloaded again and again, also with bombs.

use keyward_tests::bombs;
use keyward_tests::cli::Folder;
use keyward_tests::daemon::{Daemon, wait_for};
use keyward_tests::hostile;
use keyward_tests::http::{Connection, Request};
use rustix::process::Signal;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

/// Returns a configuration with a handler for valid tokens, and a third-party one for each name.
fn config(folder: &Folder, extra: &[(&str, Vec<u8>)]) -> String {
    let mut text = String::from(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[policies]\nany = \"any\"\n\
         [keys.main]\nsecret = { file = \"secret.key\" }\n\
         [[handlers]]\nname = \"good\"\ncomponent = \"builtin:hardcoded\"\nprefixes = [\"good_\"]\n\
         settings.actors = { bot = { id = \"bot\" } }\nsecrets.bot = { file = \"token\" }\n",
    );
    let cases = hostile::TEN_KINDS.map(|name| (name, hostile::case(name).bytes));
    for (number, (name, bytes)) in cases.iter().chain(extra).enumerate() {
        let file = format!("{name}.wasm");
        folder.write(&file, bytes, 0o600);
        text += &format!(
            "[[handlers]]\nname = \"{name}\"\ncomponent = \"{file}\"\nactors = [\"hostile:*\"]\nprefixes = [\"h{number}_\"]\n"
        );
    }
    text
}

#[test]
fn hostile_handlers_and_bombs_disturb_no_valid_token() {
    let folder = Folder::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile-daemon"));
    folder.write("secret.key", [b'x'; 40], 0o600);
    folder.write("token", "good_token-of-a-bot", 0o600);
    let calm = config(&folder, &[]);
    let shape = bombs::with_code(&[], 1, 0, &b"\x20\0\x04\x40\x05\x0b".repeat(20_000));
    // Passes the shape check: the worker refuses it once it has compiled it.
    let slow = bombs::with_code(&[], 1, 300, &bombs::live(300, 15));
    let armed = [config(&folder, &[("shape", shape)]), config(&folder, &[("slow", slow)])];
    folder.write("keyward.toml", &calm, 0o600);
    let daemon = Daemon::start(&folder, "keyward.toml");

    is_not_grown_by(&daemon, &folder, &armed, &calm);

    let seconds = std::env::var("KEYWARD_SOAK_SECONDS").map_or(8, |seconds| seconds.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(seconds);
    let (done, answers) = (AtomicBool::new(false), AtomicU64::new(0));
    let wrong = Mutex::new(Vec::new());
    let to = daemon.service();
    thread::scope(|scope| {
        for (token, status) in [("good_token-of-a-bot", 200), ("good_token-of-a-bat", 401)] {
            let (done, answers, wrong) = (&done, &answers, &wrong);
            scope.spawn(move || {
                let mut connection = Connection::open(to).unwrap();
                while !done.load(Ordering::Relaxed) {
                    let response = connection.ask(&Request::get("/v1/auth/forward/any").bearer(token)).unwrap();
                    answers.fetch_add(1, Ordering::Relaxed);
                    if response.status != status {
                        wrong.lock().unwrap().push((token, response.status));
                    }
                }
            });
        }
        let done = &done;
        scope.spawn(move || {
            let mut connection = Connection::open(to).unwrap();
            for number in (0..hostile::TEN_KINDS.len()).cycle() {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let token = format!("h{number}_token");
                let response = connection.ask(&Request::get("/v1/auth/forward/any").bearer(&token)).unwrap();
                // A handler may accept its own tokens, for the actors that it may vouch for.
                assert!([200, 401, 503].contains(&response.status), "{token}: {response:?}");
            }
        });
        for armed in armed.iter().cycle() {
            if Instant::now() >= end {
                break;
            }
            fail_to_reload(&daemon, &folder, armed, &calm);
        }
        done.store(true, Ordering::Relaxed);
    });
    let (answers, wrong) = (answers.into_inner(), wrong.into_inner().unwrap());
    println!("{answers} answers, {} wrong", wrong.len());
    assert!(answers > 0 && wrong.is_empty(), "wrong among {answers} answers: {wrong:?}");
}

/// Reloads with a configuration that is refused, and restores the file.
fn fail_to_reload(daemon: &Daemon, folder: &Folder, armed: &str, calm: &str) {
    let failures = || daemon.stderr().matches("reload failed; keeping the previous configuration").count();
    let before = failures();
    folder.write("keyward.toml", armed, 0o600);
    daemon.signal(Signal::HUP);
    wait_for("the failed reload", || failures() > before);
    folder.write("keyward.toml", calm, 0o600);
}

/// Checks that a refused component makes the daemon grow by less than 1 MiB.
fn is_not_grown_by(daemon: &Daemon, folder: &Folder, armed: &[String], calm: &str) {
    // Buffers and arenas of the allocator grow to their size first.
    let growth: Vec<_> = (0..6)
        .map(|_| {
            let before = daemon.resident();
            armed.iter().for_each(|armed| fail_to_reload(daemon, folder, armed, calm));
            daemon.resident().saturating_sub(before) / 2
        })
        .collect();
    assert!(growth.iter().skip(3).all(|growth| *growth < MIB), "a failed load makes the daemon grow: {growth:?}");
}
