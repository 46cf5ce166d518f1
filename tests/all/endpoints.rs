//! Endpoints that handlers may request, through the program and a server on the loopback interface.

use keyward_tests::cli::Folder;
use keyward_tests::hostile;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

/// A server that responds with the parameter `id` of each request, and notes its first line.
fn echo() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let lines = seen.clone();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut first = String::new();
            reader.read_line(&mut first).unwrap();
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            let id = first.split("id=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
            let head = format!("HTTP/1.1 403 No\r\nContent-Type: text/x\r\nContent-Length: {}\r\n\r\n", id.len());
            let _ = stream.write_all(format!("{head}{id}").as_bytes());
            lines.lock().unwrap().push(first.trim_end().to_owned());
        }
    });
    (port, seen)
}

/// The handler traps unless it gets the status 403, a type, and a body as long as its parameter.
#[test]
fn a_handler_requests_what_its_operator_configured() {
    let (port, seen) = echo();
    let config = |terms: &str| {
        format!(
            "[endpoints.site]\nurl = \"http://127.0.0.1:{port}/api?fixed=1\"\nguest_query = [\"id\"]\n{terms}\n\
             [[handlers]]\nname = \"site\"\ncomponent = \"site.wasm\"\nactors = [\"hostile:*\"]\nprefixes = [\"ho_\"]\n\
             http.mine = \"site\"\n"
        )
    };
    let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("endpoints"));
    folder.write("site.wasm", hostile::case("http-send-not-too-often").bytes, 0o644);
    let run = |terms: &str, args: &[&str]| {
        folder.write("keyward.toml", config(terms), 0o644);
        folder.run(args, "ho_token")
    };
    let verify = ["verify", "--config", "keyward.toml"];
    let accepted = run("private = [\"127.0.0.1\"]", &verify);
    assert_eq!((accepted.status, accepted.stdout.contains("hostile:")), (0, true), "{accepted:?}");
    let lines: Vec<_> = std::mem::take(&mut *seen.lock().unwrap());
    let [first, ..] = &lines[..] else { panic!("{lines:?}") };
    assert!(first.starts_with("GET /api?fixed=1&id=") && first.ends_with(" HTTP/1.1"), "{first}");
    assert_eq!(lines, vec![first.clone(); 4]);

    // Nothing is sent to an address that the operator does not list.
    let refused = run("", &verify);
    assert_eq!(refused.status, 3, "{refused:?}");
    assert!(seen.lock().unwrap().is_empty());

    let checked = run("", &["check", "site.wasm", "--config", "keyward.toml"]);
    assert!(checked.stdout.contains("mine (endpoint `site`)"), "{checked:?}");
}
