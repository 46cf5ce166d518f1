//! The proxies: each started from its files in `examples/`, with the command given there.

use super::keyward::{Keyward, examples};
use keyward_tests::daemon::wait_for;
use keyward_tests::http::{Connection, Request};
use keyward_tests::peers;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A kind of proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    /// The name of the proxy.
    pub(super) name: &'static str,
    /// The program.
    program: &'static str,
    /// Another file that it requires.
    needs: Option<&'static str>,
    /// Its folder in `examples/`, and its configuration file.
    folder: &'static str,
    file: &'static str,
    /// Its method of authorization.
    pub(super) asks: Asks,
    /// Set if it soon times out on a missing response. The others wait for 15 or 30 seconds,
    /// whatever their configuration.
    pub(super) gives_up: bool,
}

/// A method of authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    /// Forward authentication on its own path, for a policy.
    Policy,
    /// Introspection; the proxy decides by itself.
    Introspection {
        /// Set for TLS.
        tls: bool,
    },
}

/// All proxies, in the order of the table.
pub(super) const ALL: [Kind; 7] = [
    Kind {
        name: "nginx",
        program: "nginx",
        needs: None,
        folder: "nginx",
        file: "nginx.conf",
        asks: Asks::Policy,
        gives_up: true,
    },
    Kind {
        name: "Caddy",
        program: "caddy",
        needs: None,
        folder: "caddy",
        file: "Caddyfile",
        asks: Asks::Policy,
        gives_up: true,
    },
    Kind {
        name: "HAProxy",
        program: "haproxy",
        needs: None,
        folder: "haproxy",
        file: "haproxy.cfg",
        asks: Asks::Policy,
        gives_up: true,
    },
    Kind {
        name: "Traefik",
        program: "traefik",
        needs: None,
        folder: "traefik",
        file: "traefik.yaml",
        asks: Asks::Policy,
        gives_up: false,
    },
    Kind {
        name: "Envoy",
        program: "envoy",
        needs: None,
        folder: "envoy",
        file: "envoy.yaml",
        asks: Asks::Policy,
        gives_up: true,
    },
    Kind {
        name: "mod_auth_openidc",
        program: "apache2",
        needs: Some("/usr/lib/apache2/modules/mod_auth_openidc.so"),
        folder: "apache",
        file: "openidc.conf",
        asks: Asks::Introspection { tls: true },
        gives_up: true,
    },
    Kind {
        name: "mod_oauth2",
        program: "apache2",
        needs: Some("/usr/lib/apache2/modules/mod_oauth2.so"),
        folder: "apache",
        file: "oauth2.conf",
        asks: Asks::Introspection { tls: false },
        gives_up: false,
    },
];

impl Kind {
    /// Returns whether the proxy is installed.
    pub(super) fn is_installed(self) -> bool {
        peers::program(self.program).is_some() && self.needs.is_none_or(|file| Path::new(file).is_file())
    }

    /// Returns whether the subject is encoded: in headers it is, by introspection it is not.
    pub(super) fn encodes(self) -> bool {
        self.asks == Asks::Policy
    }
}

/// A running proxy. Its processes are killed on drop.
pub(super) struct Proxy {
    kind: Kind,
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Proxy {
    /// Starts a proxy in front of an application, and waits until it passes a public path.
    pub(super) fn start(kind: Kind, keyward: &Keyward, application: SocketAddr) -> Self {
        Self::start_edited(kind, keyward, application, &[])
    }

    /// Starts a proxy with these replacements in its files, each of which must be possible.
    pub(super) fn start_edited(
        kind: Kind,
        keyward: &Keyward,
        application: SocketAddr,
        edits: &[(&str, String)],
    ) -> Self {
        // Another program may take the port before the proxy does.
        let started = (0..5).find_map(|_| {
            let mut proxy = Self::try_start(kind, keyward, application, edits);
            proxy.is_ready().then_some(proxy)
        });
        started.unwrap_or_else(|| panic!("{} did not start", kind.name))
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    fn try_start(kind: Kind, keyward: &Keyward, application: SocketAddr, edits: &[(&str, String)]) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).unwrap();
        // Not in the tests' folder, because a server that drops root privileges must have access.
        let folder = TempDir::with_prefix("keyward-").unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let ports = [("8080", free), ("8787", keyward.address()), ("9000", application)];
        let ports = ports.map(|(in_example, address)| (in_example, address.port().to_string()));
        let edits = [&ports, edits].concat();
        let own = folder.path().join(kind.folder);
        fs::create_dir(&own).unwrap();
        let mut all = String::new();
        for entry in examples().join(kind.folder).read_dir().unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            all += &text;
            let text = edits.iter().fold(text, |text, (from, to)| text.replace(from, to));
            fs::write(own.join(path.file_name().unwrap()), text).unwrap();
        }
        assert!(edits.iter().all(|(in_example, _)| all.contains(in_example)), "{}: {edits:?}", kind.name);
        if let Asks::Introspection { tls } = kind.asks {
            if tls {
                fs::copy(keyward.certificate(), own.join("tls.pem")).unwrap();
            }
            let config = fs::read_to_string(own.join(kind.file)).unwrap();
            let secret = commented(&config, "# secret.conf").replace('…', &keyward.secret);
            assert!(secret.contains(&keyward.secret), "{}: {secret}", kind.name);
            fs::write(own.join("secret.conf"), secret).unwrap();
        }
        let config = fs::read_to_string(own.join(kind.file)).unwrap();
        let command = commented(&config, "# From this folder");
        let command = command.lines().next().filter(|line| line.starts_with(kind.program)).unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let program = peers::program(kind.program).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let child = Command::new("sh")
            .args(["-c", &format!("exec {command}")])
            .current_dir(folder.path())
            .env("PATH", format!("{}:{path}", program.parent().unwrap().display()))
            // Caddy stores data there.
            .env("HOME", folder.path())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { kind, child, address: free, folder }
    }

    fn is_ready(&mut self) -> bool {
        let mut ended = false;
        wait_for(self.kind.name, || {
            ended = self.child.try_wait().unwrap().is_some();
            let answer = Connection::open(self.address).and_then(|mut connection| {
                connection.ask(&Request::get("/public/ready").header("Connection", "close"))
            });
            ended || answer.is_ok_and(|answer| answer.status == 200)
        });
        if ended {
            eprintln!("{}", self.log());
        }
        !ended
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        format!("--- the log of {}:\n{log}", self.kind.name)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        // A graceful shutdown first, which leaves nothing in the system. Some wait for their
        // clients.
        if kill_process(pid, Signal::TERM).is_ok() {
            let until = std::time::Instant::now() + std::time::Duration::from_secs(2);
            while self.child.try_wait().unwrap().is_none() && std::time::Instant::now() < until {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
        // No process may remain.
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

/// Returns the lines of a comment, indented like code, after the line that starts with `begins`.
pub(super) fn commented(text: &str, begins: &str) -> String {
    let mut lines = text.lines().skip_while(|line| !line.starts_with(begins)).skip(1);
    let mut code = String::new();
    while let Some(line) = lines.next().and_then(|line| line.strip_prefix("#   ")) {
        code += line;
        code += "\n";
    }
    code
}
