//! Projects from templates.

use crate::Language;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::str::FromStr;

mod files {
    include!(concat!(env!("OUT_DIR"), "/files.rs"));
}

/// The name of the project in the templates, and the beginning of its tokens.
const NAME: (&str, &str) = ("my-handler", "my_");

/// The name of a project: 2 to 40 of the characters `a-z 0-9 -`, of which the first is a letter,
/// without a hyphen at the end or beside another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

/// An error of [`Name::from_str`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not 2 to 40 of the characters `a-z 0-9 -`, with a letter first and single hyphens between, such as `my-handler`"
)]
pub struct InvalidName;

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        let words_are_valid = name.split('-').all(|word| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        });
        let begins_with_letter = name.starts_with(|first: char| first.is_ascii_lowercase());
        if (2..=40).contains(&name.len()) && words_are_valid && begins_with_letter {
            return Ok(Self(name.to_owned()));
        }
        Err(InvalidName)
    }
}

impl Name {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the beginning of the project's tokens: the first word of its name, with `_`.
    pub fn prefix(&self) -> String {
        format!("{}_", self.0.split('-').next().unwrap_or_default())
    }
}

/// An error of [`create`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The folder exists.
    #[error("{0} exists: use another name, or remove it")]
    Exists(String),
    /// Go takes a module with one word for a package of its library.
    #[error("`{0}` may be a package of Go's library: use a name with a hyphen, such as `{0}-tokens`")]
    NotForGo(String),
    /// A file could not be written.
    #[error("{0} cannot be written: {1}")]
    Write(String, #[source] io::Error),
}

impl CreateError {
    /// Returns a stable code for `keyward explain`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Exists(_) => "folder-exists",
            Self::NotForGo(_) => "bad-go-name",
            Self::Write(..) => "io",
        }
    }
}

/// Creates a folder with a project: the template of a language, the contract in `wit/`, and for
/// Rust the SDK in `vendor/keyward-sdk/`.
///
/// # Errors
/// The folder exists, or a file cannot be written; it may then be incomplete.
pub fn create(folder: &Path, name: &Name, language: Language) -> Result<(), CreateError> {
    let shown = || folder.display().to_string();
    if language == Language::Go && !name.0.contains('-') {
        return Err(CreateError::NotForGo(name.0.clone()));
    }
    fs::create_dir(folder).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => CreateError::Exists(shown()),
        _ => CreateError::Write(shown(), error),
    })?;
    let template = format!("{language}/");
    for (path, content) in
        files::TEMPLATES.iter().filter_map(|(path, content)| Some((path.strip_prefix(&template)?, content)))
    {
        // cargo leaves folders with this file out of packages, so it has another name here.
        let path = if path == "Cargo.toml.in" { "Cargo.toml" } else { path };
        write(folder, path, &named(content, name))?;
    }
    for (path, content) in files::CONTRACT {
        write(folder, &format!("wit/{path}"), content)?;
    }
    if language == Language::Rust {
        let sdk = files::SDK.iter().map(|(path, content)| (format!("vendor/keyward-sdk/{path}"), *content));
        let contract =
            files::CONTRACT.iter().map(|(path, content)| (format!("vendor/keyward-sdk/wit/{path}"), *content));
        sdk.chain(contract).try_for_each(|(path, content)| write(folder, &path, content))?;
    }
    Ok(())
}

/// Returns a file with the name of the project. A file that is not text is unchanged.
fn named(content: &[u8], name: &Name) -> Vec<u8> {
    match str::from_utf8(content) {
        Ok(text) => text.replace(NAME.0, name.as_str()).replace(NAME.1, &name.prefix()).into_bytes(),
        Err(_) => content.to_owned(),
    }
}

fn write(folder: &Path, path: &str, content: &[u8]) -> Result<(), CreateError> {
    let file = folder.join(path);
    let written = file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&file, content));
    let mode = if file.extension().is_some_and(|extension| extension == "sh") { 0o755 } else { 0o644 };
    let written = written.and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(mode)));
    written.map_err(|error| CreateError::Write(file.display().to_string(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_packages_in_every_language() {
        for (name, prefix) in [("my-handler", "my_"), ("ab", "ab_"), ("a1-b2-c3", "a1_")] {
            assert_eq!(name.parse::<Name>().unwrap().prefix(), prefix);
        }
        let long = "a".repeat(41);
        for name in ["", "a", "My-handler", "my_handler", "-a", "a-", "a--b", "1a", "a b", "../a", "ä", &long] {
            assert_eq!(name.parse::<Name>(), Err(InvalidName), "{name}");
        }
    }

    #[test]
    fn a_project_has_its_name_everywhere() {
        let folder = tempfile::tempdir().unwrap();
        for language in Language::ALL {
            let project = folder.path().join(language.as_str());
            create(&project, &"acme-tokens".parse().unwrap(), language).unwrap();
            let mut files = vec![project.clone()];
            while let Some(path) = files.pop() {
                if path.is_dir() {
                    files.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                } else if !path.starts_with(project.join("vendor")) {
                    let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
                    assert!(!text.contains(NAME.0) && !text.contains(NAME.1), "{}", path.display());
                }
            }
            assert!(project.join("README.md").is_file() && project.join("handler.toml").is_file());
            assert!(matches!(create(&project, &"acme-tokens".parse().unwrap(), language), Err(CreateError::Exists(_))));
        }
        let one_word = create(&folder.path().join("x"), &"crypto".parse().unwrap(), Language::Go).unwrap_err();
        assert!(one_word.to_string().contains("crypto-tokens"), "{one_word}");
    }
}
