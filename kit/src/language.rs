//! The languages of templates.

use std::fmt;

/// A language for which there is a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Language {
    /// Rust, for `wasm32-unknown-unknown`.
    Rust,
    /// Python, with componentize-py.
    Python,
    /// JavaScript, with componentize-js.
    Js,
    /// TypeScript, with tsc and componentize-js.
    Ts,
    /// C, with clang and wasi-libc.
    C,
    /// Go, with its own compiler.
    Go,
}

impl Language {
    /// All languages.
    pub const ALL: [Self; 6] = [Self::Rust, Self::Python, Self::Js, Self::Ts, Self::C, Self::Go];

    /// Returns the name in options and project files, such as `ts`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Js => "js",
            Self::Ts => "ts",
            Self::C => "c",
            Self::Go => "go",
        }
    }

    /// Returns whether components of this language import WASI.
    pub fn needs_wasi(self) -> bool {
        matches!(self, Self::Python | Self::Js | Self::Ts | Self::Go)
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
