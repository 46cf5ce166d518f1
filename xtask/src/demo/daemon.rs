//! The end of the demo: `keyward serve`, called over HTTP.

use super::{Keyward, shorten, step, text};
use crate::run::Step;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// Starts the daemon, issues a token over HTTP, verifies it, and stops the daemon.
pub(super) fn show(keyward: &Keyward) -> Step {
    step("The same as a daemon. Without a configuration it creates one, and prints how to call it.");
    let daemon = Daemon::start(keyward)?;
    let curl = Command::new("curl").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !curl {
        println!("   (curl is not installed, so the demo sends the requests itself)");
    }

    step("The client `admin` issues a token for bob.");
    let body = r#"{"actor":"bob","expires_after":3600}"#;
    let create = Ask { bearer: &daemon.secret, body: Some(body), path: "/v1/tokens" };
    let created = daemon.ask(&create, curl)?;
    let token = created.split("\"token\":\"").nth(1).and_then(|rest| rest.split('"').next());
    let token = token.ok_or_else(|| format!("expected a token, got: {created}"))?;

    step("The bearer of a token can look up its actor.");
    let actor = Ask { bearer: token, body: None, path: "/v1/actor" };
    let good = daemon.ask(&actor, curl)?;
    if !good.contains("\"id\":\"bob\"") {
        return Err(format!("expected bob, got: {good}"));
    }

    step("A changed token is rejected.");
    let tampered = super::tampered(token);
    let bad = daemon.ask(&Ask { bearer: &tampered, ..actor }, curl)?;
    if !bad.contains("\"ok\":false") {
        return Err(format!("expected a rejection, got: {bad}"));
    }

    step("SIGTERM stops it after the requests in flight. Its log has one line per decision.");
    daemon.stop()
}

/// A running daemon, which is killed on drop.
struct Daemon {
    child: Child,
    address: String,
    secret: String,
    log: std::path::PathBuf,
}

impl Daemon {
    fn start(keyward: &Keyward) -> Result<Self, String> {
        // The demo's own folder has a configuration.
        let folder = keyward.folder.join("daemon");
        fs::create_dir(&folder).map_err(text)?;
        let log = folder.join("daemon.log");
        println!("   $ keyward serve --listen 127.0.0.1:0 --admin 127.0.0.1:0 2>daemon.log &");
        let child = Command::new(&keyward.program)
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).map_err(text)?)
            .spawn()
            .map_err(text)?;
        let mut daemon = Self { child, address: String::new(), secret: String::new(), log };
        let stdout = daemon.child.stdout.take().ok_or("the daemon has no standard output")?;
        for line in BufReader::new(stdout).lines() {
            let line = line.map_err(text)?;
            println!("   {line}");
            if let Some(address) = line.strip_prefix("keyward: listening on http://") {
                address.clone_into(&mut daemon.address);
            } else if line.trim_start().starts_with("curl ") {
                let secret = fs::read_to_string(folder.join("keyward-data/admin.secret")).map_err(text)?;
                secret.trim_end().clone_into(&mut daemon.secret);
                return Ok(daemon);
            }
        }
        Err("the daemon should have started".to_owned())
    }

    /// Prints a request as a curl command, sends it, and prints the response.
    fn ask(&self, ask: &Ask<'_>, curl: bool) -> Result<String, String> {
        let Ask { bearer, body, path } = ask;
        let url = format!("http://{}{path}", self.address);
        let mut words = vec!["-s".to_owned(), "-H".to_owned(), format!("Authorization: Bearer {bearer}")];
        let mut shown = format!("curl -s -H 'Authorization: Bearer {}'", shorten(bearer));
        if let Some(body) = body {
            words.extend(["-H", "Content-Type: application/json", "-d", body].map(str::to_owned));
            shown += &format!(" -H 'Content-Type: application/json' -d '{body}'");
        }
        println!("   $ {shown} {url}");
        let answer = if curl {
            let output = Command::new("curl").args(words).arg(url).output().map_err(text)?;
            String::from_utf8(output.stdout).map_err(text)?
        } else {
            self.send(ask)?
        };
        println!("   {answer}");
        Ok(answer)
    }

    /// Sends a request without curl.
    fn send(&self, ask: &Ask<'_>) -> Result<String, String> {
        let Ask { bearer, body, path } = ask;
        let (method, content) = match body {
            Some(body) => {
                let length = body.len();
                ("POST", format!("Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"))
            }
            None => ("GET", "\r\n".to_owned()),
        };
        let mut stream = TcpStream::connect(&self.address).map_err(text)?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {bearer}\r\n{content}"
        )
        .map_err(text)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(text)?;
        Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    fn stop(mut self) -> Step {
        let id = self.child.id().to_string();
        println!("   $ kill {id}");
        Command::new("sh").args(["-c", "kill \"$0\"", &id]).status().map_err(text)?;
        let status = self.child.wait().map_err(text)?;
        let log = fs::read_to_string(&self.log).map_err(text)?;
        for line in log.lines().filter(|line| line.contains("keyward::decision")) {
            println!("   {line}");
        }
        println!("   (exit status {})", status.code().unwrap_or(-1));
        if status.success() { Ok(()) } else { Err("that should have exited with status 0".to_owned()) }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail if the daemon has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request: POST if there is a JSON body, otherwise GET.
#[derive(Clone, Copy)]
struct Ask<'a> {
    bearer: &'a str,
    body: Option<&'a str>,
    path: &'a str,
}
