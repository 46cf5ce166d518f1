//! The handlers of `keyward new` in each language, beside the same components in plain wasmtime.

use crate::bare::Bare;
use crate::kernel::page_faults;
use crate::setup::{accepted, plain_request, runtime, signed, token};
use crate::stats::{at_most, median, nanos};
use keyward_kit::{Language, Name};
use keyward_runtime::component::ComponentInfo;
use keyward_runtime::keys::Scheme;
use keyward_runtime::limits::LimitKind;
use keyward_runtime::{Registry, Verdict};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs};
use tempfile::TempDir;

const ROUNDS: usize = 101;

/// The time that the calls of a round take together, in nanoseconds.
const ROUND: f64 = 2e6;

/// The highest multiple of plain wasmtime.
const BOUND: f64 = 1.2;

/// A handler to measure, loaded in Keyward and in plain wasmtime.
struct Subject {
    language: Language,
    component: Vec<u8>,
    info: ComponentInfo,
    /// CPU time of the compiler.
    compiled: Duration,
    registry: Registry,
    bare: Bare,
    token: String,
    /// A text that is no token.
    invalid: String,
    /// Number of calls in a round.
    calls: u32,
    rounds: Vec<Round>,
}

/// A call, on average over those of a round.
struct Round {
    /// Nanoseconds in Keyward.
    keyward: f64,
    /// Nanoseconds in Keyward of a token that is rejected at once: the cost of the start.
    start: f64,
    /// Nanoseconds in plain wasmtime.
    bare: f64,
    /// Page faults in Keyward.
    faults: f64,
}

/// Prints the table of `docs/languages.md`. With `KEYWARD_BLESS` the page is written.
pub(crate) fn run() {
    let folder = TempDir::new().unwrap();
    let name: Name = "my-handler".parse().unwrap();
    let mut subjects = Vec::new();
    for language in Language::ALL {
        match build(folder.path(), &name, language) {
            Some(component) => subjects.push(load(language, component, &name.prefix())),
            None => println!("(not measured: {language}, which was not built: `cargo xtask peers` installs its tools)"),
        }
    }
    for _ in 0..ROUNDS {
        subjects.iter_mut().for_each(Subject::measure);
    }
    let table = table(&subjects);
    println!("{table}");
    for Subject { language, rounds, .. } in &subjects {
        let multiples: Vec<_> = rounds.iter().map(|round| round.keyward / round.bare).collect();
        at_most(&format!("a call of the handler in {language}, relative to plain wasmtime"), &multiples, BOUND);
    }
    if env::var_os("KEYWARD_BLESS").is_some() {
        assert_eq!(subjects.len(), Language::ALL.len(), "the page has all languages");
        let bytes = subjects.iter().map(|subject| subject.token.len()).max().unwrap_or_default();
        let parts =
            [("BYTES", bytes.to_string()), ("TABLE", table), ("ROUNDS", ROUNDS.to_string()), ("MACHINE", machine())];
        let page = parts.iter().fold(PAGE.to_owned(), |page, (name, text)| page.replace(name, text));
        fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/languages.md"), page).unwrap();
    }
}

/// Creates and builds a project, and returns its component; `None` if a tool fails or is missing,
/// which it prints.
fn build(folder: &Path, name: &Name, language: Language) -> Option<Vec<u8>> {
    let (project, component) = (folder.join(language.as_str()), folder.join(format!("{language}.wasm")));
    keyward_kit::create(&project, name, language).unwrap();
    match language {
        Language::Rust => {
            // The versions of the workspace, which need no download.
            fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock"), project.join("Cargo.lock")).unwrap();
        }
        Language::Js | Language::Ts => {
            let packages = peers().join("template-ts/node_modules");
            std::os::unix::fs::symlink(packages, project.join("node_modules")).unwrap();
        }
        _ => {}
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([peers().join("venv/bin")].into_iter().chain(env::split_paths(&path))).unwrap();
    // This program as `keyward build`.
    let mut build = Command::new(env::current_exe().unwrap());
    build.current_dir(&project).args(["build", "--output"]).arg(&component).stdout(Stdio::null());
    build.env("PATH", path).env("CARGO_NET_OFFLINE", "true");
    // The flags of this build are not those of the project.
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"] {
        build.env_remove(name);
    }
    build.status().unwrap().success().then(|| fs::read(component).unwrap())
}

/// Returns the folder of `cargo xtask peers`. This program is TARGET/PROFILE/NAME.
fn peers() -> PathBuf {
    env::current_exe().unwrap().ancestors().nth(2).unwrap().join("peers")
}

/// Compiles and loads a component, and issues its token.
fn load(language: Language, component: Vec<u8>, prefix: &str) -> Subject {
    let before = thread_cpu();
    keyward_engine::Compiler::new(None).unwrap().compile(&component).unwrap();
    let compiled = thread_cpu() - before;
    let runtime = runtime();
    let info = runtime.inspect(component.as_slice()).unwrap();
    let mut config = signed(Scheme::HmacSha256);
    config.component = component.as_slice().into();
    (config.prefixes, config.wasi) = (vec![prefix.to_owned()], language.needs_wasi());
    let registry = Registry::builder(&runtime).handler(config).build().unwrap();
    let (bare, token) = (Bare::new(&component), token(&registry, plain_request()));
    bare.verify(&token);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
    let calls = (ROUND / nanos(1, || bare.verify(&token))) as u32;
    let calls = calls.clamp(1, 200);
    let invalid = format!("{prefix}x");
    Subject { language, component, info, compiled, registry, bare, token, invalid, calls, rounds: Vec::new() }
}

impl Subject {
    /// Runs a round: calls in Keyward, and as many in plain wasmtime, of the same token.
    fn measure(&mut self) {
        let Self { registry, bare, token, invalid, calls, .. } = self;
        let before = page_faults();
        let keyward = nanos(*calls, || accepted(registry.verify_blocking(black_box(token))));
        let faults = (page_faults() - before) as f64 / f64::from(*calls);
        let bare = nanos(*calls, || bare.verify(black_box(token)));
        let start = nanos(*calls, || rejected(registry.verify_blocking(black_box(invalid))));
        self.rounds.push(Round { keyward, start, bare, faults });
    }

    /// Returns the linear memory at the end of a call, in bytes.
    fn memory(&self) -> u64 {
        let peaks = self.registry.handlers().flat_map(|handler| handler.peaks);
        peaks.filter(|peak| peak.limit == LimitKind::Memory).map(|peak| peak.used).sum()
    }
}

fn table(subjects: &[Subject]) -> String {
    let mut table = HEAD.to_owned();
    for subject in subjects {
        let Subject { language, component, info, compiled, rounds, .. } = subject;
        let middle = |of: fn(&Round) -> f64| median(rounds.iter().map(of));
        table += &format!(
            "| `{language}` | {} | {} | {} | {:.2} | {} | {:.0} | {:.0} | {:.0} | **{:.2}** |\n",
            component.len() / 1_000,
            info.imports.len(),
            info.wasi.len(),
            compiled.as_secs_f64(),
            subject.memory() >> 10,
            middle(|round| round.faults),
            middle(|round| round.start) / 1e3,
            middle(|round| round.keyward) / 1e3,
            middle(|round| round.keyward / round.bare),
        );
    }
    table
}

fn rejected(verdict: Result<Verdict, keyward_runtime::Error>) {
    match verdict {
        Ok(Verdict::Rejected(_)) => {}
        other => panic!("{other:?}"),
    }
}

/// Describes this machine, for a sentence.
fn machine() -> String {
    let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{cores} cores of an {}", model.map_or(env::consts::ARCH, |(_, name)| name))
}

fn thread_cpu() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

const HEAD: &str = "\
| `--lang` | component, KB | imports | of WASI | compiled, s | memory, KiB | page faults | start, µs | a call, µs | times plain wasmtime |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
";

/// The page, with the names of its variable parts in capital letters.
const PAGE: &str = "\
# The cost of each language

This page is for authors who choose a language, and for operators who run the result. It compares
the handlers that `keyward new` writes in each language, as `keyward build` builds them. Their
tokens have one format. Each handler verifies one of its own: BYTES bytes, with restrictions, and a
signature (HMAC-SHA256) that the host verifies.

TABLE
The figures are medians of ROUNDS rounds on MACHINE.

`cargo xtask bench languages` prints the table, and whether each multiple is at most 1.2. With
`KEYWARD_BLESS=1` it writes this page. No test compares the page, because times differ between
machines. The tools of the languages must be installed, as by `cargo xtask peers`.

| column | meaning |
| --- | --- |
| component | size of the file |
| imports | number of interfaces of Keyward that it imports, such as `keys` |
| of WASI | number of interfaces of WASI that it imports; if there are any, the operator must [grant](components.md#wasi) WASI |
| compiled | CPU time of the compiler, which runs once for each component if there is a [cache](components.md#the-cache) |
| memory | linear memory at the end of a call, of which `limits.memory_mib` allows 16 MiB by default |
| page faults | number of pages that the kernel provides during a call |
| start | time of a call for a text that the handler rejects at once: of the instance, and of the language's runtime |
| a call | time of `Registry::verify` for the token, without the verdict cache |
| times plain wasmtime | the time of such a call, divided by that of the same call without Keyward |

\"Without Keyward\" means wasmtime, in the same run and with the same settings: it creates an instance
of the component, and calls `verify` with the token. Its host functions do only their work, and WASI
is that of `wasmtime-wasi`. The rest of a call is Keyward's: routing, admission, limits, ticks,
policy and the verdict. They take 2 to 3 µs for a handler without WASI, which is more than a fifth
of a call of the handler in Rust, and little compared with an interpreter.

Every call has a fresh instance, so a runtime starts in every call. A component of Python or
JavaScript is a snapshot of an interpreter that has already started: a call copies the pages that it
writes to, and the kernel reclaims them afterwards. Go's runtime starts from the beginning. The
start is about half of a call in these languages. In the other half, Python and JavaScript are
interpreted: a component cannot compile code while it runs.
";
