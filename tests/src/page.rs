//! Pages of `docs/authors/`, followed as a reader does: the commands run, and print what is shown.
//!
//! A block `sh` has commands. A block such as `toml,file=keyward.toml` is a file that the reader
//! writes, and `diff,file=src/lib.rs` a change of one. A block `text` is output, in which `…` is
//! anything. Other blocks are only read.

use crate::cli::keyward;
use crate::peers;
use rustix::process::{Pid, Signal, kill_process_group};
use std::env;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The commands of a page and the output that it shows.
#[derive(Debug)]
pub struct Page {
    steps: Vec<String>,
    shown: Vec<String>,
}

impl Page {
    /// Reads a page such as `rust.md`, with other texts in place of some of its own.
    ///
    /// # Panics
    ///
    /// Panics if the page does not exist.
    #[must_use]
    #[expect(clippy::unwrap_used, reason = "a test cannot continue without its page")]
    pub fn read(name: &str, replaced: &[(&str, &str)]) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/authors").join(name);
        let text = fs::read_to_string(path).unwrap();
        Self::parse(&replaced.iter().fold(text, |text, (old, new)| text.replace(old, new)))
    }

    fn parse(text: &str) -> Self {
        let mut page = Self { steps: Vec::new(), shown: Vec::new() };
        for block in text.split("\n```").skip(1).step_by(2) {
            let (info, content) = block.split_once('\n').unwrap_or((block, ""));
            match info.split_once(",file=") {
                Some(("diff", file)) => page.steps.push(heredoc(&format!("patch -s -F0 {file}"), &patch(content))),
                Some((_, file)) => page.steps.push(heredoc(&format!("cat >{file}"), content)),
                None if info == "sh" => page.steps.push(content.to_owned()),
                None if info == "text" => page.shown.extend(content.lines().map(str::to_owned)),
                None => {}
            }
        }
        page
    }

    /// Follows the page in a folder, and returns the output. `setup` runs after the first block,
    /// which creates a project. Processes that the page leaves behind are killed.
    ///
    /// # Panics
    ///
    /// Panics if a command fails, or the output is not as shown.
    #[expect(clippy::unwrap_used, reason = "a test cannot continue without a shell")]
    pub fn follow(&self, folder: &Path, setup: &str) -> String {
        let bin = folder.join("bin");
        fs::create_dir_all(&bin).unwrap();
        symlink(keyward(), bin.join("keyward")).unwrap();
        let mut steps: Vec<_> = self.steps.iter().map(String::as_str).collect();
        steps.insert(1, setup);

        // A pipe would stay open for as long as a daemon runs.
        let path = folder.join("output");
        let output = File::create(&path).unwrap();
        let mut shell = shell(&bin, &steps.join("\n"));
        shell.current_dir(folder).process_group(0).stdin(Stdio::null());
        let mut shell = shell.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        let status = shell.wait().unwrap();
        // Fails if no process is left.
        let _ = kill_process_group(Pid::from_child(&shell), Signal::KILL);

        let output = fs::read_to_string(path).unwrap();
        assert!(status.success(), "{output}");
        for shown in &self.shown {
            assert!(output.lines().any(|line| is_shown(shown, line)), "no line is `{shown}`:\n{output}");
        }
        output
    }
}

/// Returns a shell with the tools of all languages.
fn shell(bin: &Path, script: &str) -> Command {
    let tools = peers::program("componentize-py").and_then(|program| program.parent().map(Path::to_owned));
    let path = env::var_os("PATH").unwrap_or_default();
    let path = [bin.to_owned()].into_iter().chain(tools).chain(env::split_paths(&path));
    let mut command = Command::new("sh");
    command.args(["-ec", script]).env("PATH", env::join_paths(path).unwrap_or_default());
    command.env("CARGO_NET_OFFLINE", "true").env("CARGO_INCREMENTAL", "0");
    // Dependencies are compiled once for all pages.
    command.env("CARGO_BUILD_BUILD_DIR", keyward().with_file_name("author-projects"));
    // The flags of this build are not those of the project.
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "KEYWARD_LOG"] {
        command.env_remove(name);
    }
    command
}

fn heredoc(command: &str, content: &str) -> String {
    format!("{command} <<'END OF BLOCK'\n{content}\nEND OF BLOCK")
}

/// Returns changes, which `@@` separates, as a patch. Its line numbers mean nothing: `patch` finds
/// the lines.
fn patch(changes: &str) -> String {
    let mut patch = "--- old\n+++ new".to_owned();
    for change in changes.split("\n@@\n") {
        let count = |other: char| change.lines().filter(|line| !line.starts_with(other)).count();
        patch += &format!("\n@@ -1,{} +1,{} @@\n{change}", count('+'), count('-'));
    }
    patch
}

/// Returns whether a line is shown as this text.
fn is_shown(shown: &str, line: &str) -> bool {
    let mut rest = line;
    shown.split('…').all(|part| rest.split_once(part).map(|(_, after)| rest = after).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_commands_files_changes_and_output() {
        let page = Page::parse(
            "# Page\n\n```sh\ncd a\n```\n\n```toml,file=b\nc = 1\n```\n\n```diff,file=b\n-c = 1\n+c = 2\n@@\n d\n+e\n f\n```\n\n\
             ```console\nno\n```\n\n```text\n1 …s\nok\n```\n",
        );
        let file = "cat >b <<'END OF BLOCK'\nc = 1\nEND OF BLOCK";
        let change = "patch -s -F0 b <<'END OF BLOCK'\n--- old\n+++ new\n@@ -1,1 +1,1 @@\n-c = 1\n+c = 2\n@@ -1,2 +1,3 @@\n d\n+e\n f\nEND OF BLOCK";
        assert_eq!(page.steps, ["cd a", file, change]);
        assert_eq!(page.shown, ["1 …s", "ok"]);
    }

    #[test]
    fn an_ellipsis_is_any_text() {
        for (shown, line, wanted) in [
            ("ok", "all ok", true),
            ("1 … in …s", "1 token in 2s", true),
            ("1 … in …s", "1 token", false),
            ("…", "", true),
            ("b…a", "a b", false),
        ] {
            assert_eq!(is_shown(shown, line), wanted, "{shown}");
        }
    }
}
