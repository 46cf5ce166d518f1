//! Real applications in PHP, Python (WSGI) and Java (Tomcat) behind each proxy: their own view of a
//! request's path and headers never shows more than Keyward authorized.

use super::cases::{self, Case, Wanted};
use super::keyward::{Keyward, TOKENS};
use super::proxy::{Asks, Kind, Proxy};
use keyward_tests::daemon::wait_for;
use keyward_tests::http::Request;
use keyward_tests::peers;
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// The folder of Tomcat on Debian.
const TOMCAT: &str = "/usr/share/tomcat10";

/// The application that nginx reaches by FastCGI, as configured in `php.conf`.
const FASTCGI: &str = "PHP by FastCGI";

/// A running application in its usual server. Its processes are killed on drop.
pub(super) struct RealApplication {
    name: &'static str,
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

/// Starts each application that is installed.
pub(super) fn start_all() -> Vec<RealApplication> {
    let start = |name, is_installed: bool, command: fn(SocketAddr, &Path) -> Command| {
        if !is_installed {
            peers::skip(name, "it is not installed");
            return None;
        }
        Some(RealApplication::start(name, command))
    };
    let has = |program| peers::program(program).is_some();
    let tomcat = Path::new(TOMCAT).join("bin/bootstrap.jar").is_file() && has("java");
    let all = [
        start("PHP", has("php"), php),
        start(FASTCGI, has("php-cgi"), php_fastcgi),
        start("WSGI", has("gunicorn"), wsgi),
        start("Tomcat", tomcat, tomcat10),
    ];
    all.into_iter().flatten().collect()
}

impl RealApplication {
    fn start(name: &'static str, command: fn(SocketAddr, &Path) -> Command) -> Self {
        // Another program may take the port before the application does.
        let started = (0..5).find_map(|_| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let address = listener.local_addr().unwrap();
            drop(listener);
            let folder = TempDir::new().unwrap();
            let mut child = command(address, folder.path())
                .process_group(0)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut ended = false;
            wait_for(name, || {
                ended = child.try_wait().unwrap().is_some();
                ended || TcpStream::connect(address).is_ok()
            });
            let application = Self { name, child, address, _folder: folder };
            (!ended).then_some(application)
        });
        started.unwrap_or_else(|| panic!("{name} did not start"))
    }

    /// Returns whether the example of this proxy can forward requests to the application.
    pub(super) fn is_for(&self, kind: Kind) -> bool {
        self.name != FASTCGI || kind.name == "nginx"
    }

    /// Returns the changes to the example of the proxy.
    fn edits(&self) -> Vec<(&'static str, String)> {
        if self.name != FASTCGI {
            return Vec::new();
        }
        let include = ("proxy_pass http://application;", "include php.conf;".to_owned());
        vec![include, ("/srv/app/app.php", source("app.php").display().to_string())]
    }
}

impl Drop for RealApplication {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_raw(self.child.id().cast_signed()).unwrap(), Signal::KILL);
        let _ = self.child.wait();
    }
}

fn php(address: SocketAddr, _: &Path) -> Command {
    let mut php = command("php");
    php.args(["-S", &address.to_string()]).arg(source("app.php"));
    php
}

/// PHP as PHP-FPM runs it.
fn php_fastcgi(address: SocketAddr, _: &Path) -> Command {
    let mut php = command("php-cgi");
    php.args(["-b", &address.to_string()]);
    php
}

fn wsgi(address: SocketAddr, _: &Path) -> Command {
    let mut gunicorn = command("gunicorn");
    // By default, it accepts 100 headers.
    gunicorn.args(["--bind", &address.to_string(), "--threads", "4", "--limit-request-fields", "200", "app"]);
    gunicorn.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(source(""));
    gunicorn
}

fn tomcat10(address: SocketAddr, folder: &Path) -> Command {
    for file in ["conf/server.xml", "webapps/ROOT/app.jsp", "webapps/ROOT/WEB-INF/web.xml"] {
        let text = fs::read_to_string(source("tomcat").join(file)).unwrap();
        let to = folder.join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, text.replace("9000", &address.port().to_string())).unwrap();
    }
    let mut java = command("java");
    java.args(["-cp", &format!("{TOMCAT}/bin/bootstrap.jar:{TOMCAT}/bin/tomcat-juli.jar")])
        .arg(format!("-Dcatalina.home={TOMCAT}"))
        .arg("-Dorg.apache.catalina.startup.EXIT_ON_INIT_FAILURE=true")
        .arg(format!("-Dcatalina.base={}", folder.display()))
        .args(["org.apache.catalina.startup.Bootstrap", "start"])
        .current_dir(folder);
    java
}

fn command(program: &str) -> Command {
    Command::new(peers::program(program).unwrap())
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("applications").join(name)
}

/// Sends every case to an application behind a proxy. Returns the errors.
pub(super) fn check(kind: Kind, application: &RealApplication) -> Vec<String> {
    let name = format!("{}-{}", kind.name, application.name);
    let keyward = Keyward::start(&name, kind.asks == Asks::Introspection { tls: true });
    let proxy = Proxy::start_edited(kind, &keyward, application.address, &application.edits());
    let checked = cases::ALL.iter().map(|case| check_case(case, kind, &proxy));
    checked.filter_map(Result::err).map(|error| format!("{name}: {error}")).collect()
}

fn check_case(case: &Case, kind: Kind, proxy: &Proxy) -> Result<(), String> {
    let request = (case.request)(&TOKENS).header("Connection", "close");
    let response = request.send(proxy.address());
    // Only the application responds like this.
    let view = response.body.strip_prefix(b"path: ").map(|view| view.to_vec());
    let views: Vec<Vec<u8>> = match case.wanted {
        Wanted::Passes(token) => {
            let token = token(&TOKENS);
            let [_, rest @ ..] = &token.identity;
            vec![expected(&request, token.subject(kind.encodes()), rest)]
        }
        // Apache sends `-`, the others send nothing.
        Wanted::PassesWithoutIdentity => ["", "-"].map(|none| expected(&request, none, &[none; 4])).to_vec(),
        _ => Vec::new(),
    };
    let right = view.as_ref().map_or(views.is_empty(), |view| views.contains(view));
    if right { Ok(()) } else { Err(format!("{}: {response:?}", case.name)) }
}

/// Returns the view of an application that receives this path and identity.
fn expected(request: &Request, subject: &str, rest: &[impl AsRef<str>; 4]) -> Vec<u8> {
    let head = String::from_utf8_lossy(&request.to_bytes()).into_owned();
    let path = head.split([' ', '?']).nth(1).unwrap_or_default();
    let [token_id, scopes, handler, expires] = rest.each_ref().map(AsRef::as_ref);
    let lines =
        [("SUBJECT", subject), ("TOKEN_ID", token_id), ("SCOPES", scopes), ("HANDLER", handler), ("EXPIRES", expires)];
    let lines = lines.map(|(name, value)| format!("{name}: {value}\n"));
    format!("{path}\n{}", lines.concat()).into_bytes()
}
