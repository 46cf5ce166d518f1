//! The servers that are measured, each in a process of its own: this program again.

use crate::setup::{SECRET, signed, token};
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use keyward_runtime::{CreateRequest, Registry, Restrictions, Runtime, Scheme, Verdict};
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

/// The secret of the caller `bench`.
pub(crate) const CALLER: &str = "0123456789abcdefghijklmnopqrstuv";

/// The path that a proxy asks.
pub(crate) const PATH: &str = "/v1/auth/forward/members";

/// The path on which the bare server asks the registry, and does nothing else.
pub(crate) const ASKS: &str = "/asks";

/// The registry that the daemon has, here: for [`TOKEN`], and for what one of its calls takes.
pub(crate) static REGISTRY: LazyLock<Registry> =
    LazyLock::new(|| Registry::builder(&Runtime::new().unwrap()).handler(signed(Scheme::HmacSha256)).build().unwrap());

/// A plain token that is good for an hour: in some seconds the time's own digits repeat, and it would be compressed.
pub(crate) static TOKEN: LazyLock<String> = LazyLock::new(|| {
    let mut tokens = (3600..3700).map(|seconds| {
        let mut request = CreateRequest::new("someone@example.com");
        request.restrictions = Some(Restrictions::new().allow_all("vi"));
        request.expires_after = NonZeroU32::new(seconds);
        token(&REGISTRY, request)
    });
    tokens.find(|token| !token.starts_with("dstok_.")).unwrap()
});

/// A server in a process of its own.
pub(crate) struct Server {
    daemon: Daemon,
    _folder: TempDir,
}

impl Server {
    /// `keyward serve`. Its log costs what a log costs, and goes nowhere. It keeps no answers: every token is a call.
    pub(crate) fn keyward() -> Self {
        Self::configured(&CONFIG.replace(ANSWERS, "limits = { answer_bytes = 0 }"))
    }

    /// The same as it is by default: a token that comes again in a second is answered from memory.
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

    /// The least that axum does for a request.
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

    pub(crate) fn operations(&self) -> SocketAddr {
        self.daemon.operations()
    }

    /// CPU time that all its threads have used, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "hundredths of a second, not centuries")]
        let ticks = self.daemon.cpu_ticks() as f64;
        ticks / 100.0
    }

    /// Resident memory in MiB.
    pub(crate) fn resident(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a process has no 2^52 bytes")]
        let bytes = self.daemon.resident() as f64;
        bytes / f64::from(1 << 20)
    }
}

/// Where the configuration may say what answers may take.
const ANSWERS: &str = "# limits";

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
operations = "127.0.0.1:0"

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

[callers.bench]
secret_sha256 = "DIGEST"
may = ["introspect", "verify"]

[policies]
members = "any"

[actions]
view-instance = "vi"
"#;

/// Is `keyward serve`.
pub(crate) fn keyward() -> ExitCode {
    let args: Vec<_> = env::args_os().collect();
    let mut stderr = io::stderr();
    let log = match keyward_cli::log_to_stderr(&args, &variable, &mut stderr) {
        Ok(log) => log,
        Err(status) => return status.into(),
    };
    let (mut stdin, mut stdout) = (io::empty(), io::stdout());
    let world = keyward_cli::World { stdin: &mut stdin, stdout: &mut stdout, stderr: &mut stderr, env: &variable };
    let status = keyward_cli::run(args, world);
    drop(log);
    status.into()
}

fn variable(name: &str) -> Option<std::ffi::OsString> {
    env::var_os(name)
}

/// Is the bare server.
pub(crate) fn bare() {
    LazyLock::force(&REGISTRY);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_io().build().unwrap();
    executor.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // In the daemon's words, so that it is started as the daemon is.
        let address = listener.local_addr().unwrap();
        println!("keyward: listening on http://{address}\nkeyward: operations on http://{address}");
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
