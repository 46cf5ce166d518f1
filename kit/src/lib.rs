//! The author kit of Keyward: projects of token handlers, and their builds.
//!
//! [`create`] writes a project that builds, [`Project::build`] runs the tool of its language and
//! makes a component of the result, and [`encode()`] makes one of a core module. The commands
//! `keyward new` and `keyward build` are thin layers over them.
//!
//! ```
//! use keyward_kit::{Language, Name};
//!
//! let folder = std::env::temp_dir().join(format!("keyward-kit-{}", std::process::id()));
//! let name: Name = "my-handler".parse()?;
//! keyward_kit::create(&folder, &name, Language::Rust)?;
//! assert!(folder.join("wit/world.wit").is_file());
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod encode;
mod language;
mod project;
mod template;

pub use encode::{Declarations, EncodeError, encode};
pub use language::Language;
pub use project::{BuildError, Project, encode_file};
pub use template::{CreateError, InvalidName, Name, create};
