//! The measured servers, each in its own process, which is this program again.

use crate::setup::{SECRET, signed, token};
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use keyward_runtime::keys::Scheme;
use keyward_runtime::{CreateRequest, Registry, Restrictions, Runtime, Verdict};
use keyward_server::SecretDigest;
use keyward_tests::daemon::Daemon;
use keyward_tests::hostile;
use std::fs::Permissions;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, ExitCode};
use std::sync::LazyLock;
use std::{env, fs, io, thread};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// The secret of the client `bench`.
pub(crate) const CALLER: &str = "0123456789abcdefghijklmnopqrstuv";

/// The path that a proxy calls.
pub(crate) const PATH: &str = "/v1/auth/forward/members";

/// The path on which the bare server calls the registry, and does nothing else.
pub(crate) const ASKS: &str = "/asks";

/// The daemon's registry in this process, to issue [`TOKEN`] and to measure its calls.
pub(crate) static REGISTRY: LazyLock<Registry> =
    LazyLock::new(|| Registry::builder(&Runtime::new().unwrap()).handler(signed(Scheme::HmacSha256)).build().unwrap());

/// A plain token that is valid for an hour. In some seconds the digits of the time repeat, and the
/// token would be compressed.
pub(crate) static TOKEN: LazyLock<String> = LazyLock::new(|| {
    let mut tokens = (3600..3700).map(|seconds| {
        let mut request = CreateRequest::new("someone@example.com");
        request.restrictions = Some(Restrictions::new().allow_all("vi"));
        request.expires_after = NonZeroU32::new(seconds);
        token(&REGISTRY, request)
    });
    tokens.find(|token| !token.starts_with("dstok_.")).unwrap()
});

/// A server in its own process.
pub(crate) struct Server {
    daemon: Daemon,
    _folder: TempDir,
}

impl Server {
    /// Starts `keyward serve`, with its log discarded and without a verdict cache: every token is a
    /// call.
    pub(crate) fn keyward() -> Self {
        Self::configured(&CONFIG.replace(ANSWERS, "limits = { verdict_cache_bytes = 0 }"))
    }

    /// Starts `keyward serve` as it is by default: a token that recurs within a second comes from
    /// the cache.
    pub(crate) fn keeping() -> Self {
        Self::configured(CONFIG)
    }

    fn configured(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        };
        write("keyward.toml", config.replace("DIGEST", &SecretDigest::of(CALLER).to_hex()).as_bytes());
        write("secret.key", &SECRET);
        write("hostile.wasm", &hostile::case("loop-verify").bytes);
        Self::start("serve --config keyward.toml", folder)
    }

    /// Starts a minimal axum server.
    pub(crate) fn bare() -> Self {
        Self::start("bare", tempfile::tempdir().unwrap())
    }

    fn start(words: &str, folder: TempDir) -> Self {
        let mut command = Command::new("sh");
        // The shell becomes the program.
        command.args(["-c", &format!("exec \"$0\" {words} 2>/dev/null")]).arg(env::current_exe().unwrap());
        command.current_dir(folder.path());
        match Daemon::spawn(command) {
            Ok(daemon) => Self { daemon, _folder: folder },
            Err(ended) => panic!("the server did not start: {ended:?}"),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.daemon.service()
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.daemon.admin()
    }

    /// Returns the CPU time of all its threads, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "hundredths of a second, not centuries")]
        let ticks = self.daemon.cpu_ticks() as f64;
        ticks / 100.0
    }

    /// Returns the resident memory in MiB.
    pub(crate) fn resident(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a process has no 2^52 bytes")]
        let bytes = self.daemon.resident() as f64;
        bytes / f64::from(1 << 20)
    }
}

/// The line of the configuration that may limit the verdict cache.
const ANSWERS: &str = "# limits";

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"

[server.limits]
header_seconds = 3600     # connections stay idle for as long as it takes to look at them

[keys.main]
secret = { file = "secret.key" }

[[handlers]]
name = "signed"
component = "builtin:signed"
prefixes = ["dstok_"]
keys.token = { ring = "main", namespace = "token" }
# limits

[[handlers]]
name = "hostile"
component = "hostile.wasm"
prefixes = ["ho_"]
actors = "any"

[clients.bench]
secret_sha256 = "DIGEST"
may = ["introspect", "verify"]

[policies]
members = "any"

[actions]
view-instance = "vi"
"#;

/// Runs as `keyward`.
pub(crate) fn keyward() -> ExitCode {
    let args: Vec<_> = env::args_os().collect();
    let mut stderr = io::stderr();
    let log = match keyward_cli::log_to_stderr(&args, &variable, &mut stderr) {
        Ok(log) => log,
        Err(status) => return status.into(),
    };
    let (mut stdin, mut stdout) = (io::stdin().lock(), io::stdout());
    let world = keyward_cli::Io {
        stdin: &mut stdin,
        stdout: &mut stdout,
        stdout_is_terminal: false,
        columns: 80,
        stderr: &mut stderr,
        stderr_is_terminal: false,
        env: &variable,
        worker: std::path::Path::new("/proc/self/exe"),
    };
    let status = keyward_cli::run(args, world);
    drop(log);
    status.into()
}

fn variable(name: &str) -> Option<std::ffi::OsString> {
    env::var_os(name)
}

/// Runs as the bare server.
pub(crate) fn bare() {
    LazyLock::force(&REGISTRY);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_io().build().unwrap();
    executor.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // Printed like the daemon's addresses, so that it is started the same way.
        let address = listener.local_addr().unwrap();
        println!("keyward: listening on http://{address}\nkeyward: admin on http://{address}");
        let asks = async |headers: HeaderMap| {
            let token = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
            match REGISTRY.verify(token.unwrap_or_default()).await {
                Ok(Verdict::Accepted(_)) => StatusCode::OK,
                _ => StatusCode::UNAUTHORIZED,
            }
        };
        let router = Router::new().route(PATH, get(async || {})).route(ASKS, get(asks));
        axum::serve(listener, router).await.unwrap();
    });
}
