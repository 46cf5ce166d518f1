//! Requirements of dependencies.

use super::Source;

/// Rejects requirements that are not a full version. Each has to be a version that Keyward compiles
/// with, and `2` allows `2.0.0`.
pub(super) fn check(sources: &[Source], wrong: &mut Vec<String>) {
    for source in sources.iter().filter(|source| source.path == "Cargo.toml") {
        for line in short(&source.text) {
            wrong.push(format!("{}: not a full version, such as 2.14.2: {line}", source.path));
        }
    }
}

/// Returns the lines of dependencies whose version has fewer than three parts.
fn short(manifest: &str) -> impl Iterator<Item = &str> {
    let lines = manifest.lines().skip_while(|line| *line != "[workspace.dependencies]").skip(1);
    lines.take_while(|line| !line.starts_with('[')).filter(|line| {
        let value = line.split_once(" = ").map_or("", |(_, value)| value.trim_start_matches("{ version = "));
        let version = value.strip_prefix('"').and_then(|rest| rest.split('"').next());
        version.is_some_and(|version| version.split('.').count() < 3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_versions_are_found() {
        let manifest = "[workspace]\na = \"1\"\n[workspace.dependencies]\n# c\nb = \"2\"\nc = \"1.2.3\"\n\
                        d = { version = \"0.23\", features = [] }\ne = { path = \"e\" }\nf = \"=1.2.3\"\n[x]\ng = \"1\"\n";
        assert_eq!(short(manifest).collect::<Vec<_>>(), ["b = \"2\"", "d = { version = \"0.23\", features = [] }"]);
    }
}
