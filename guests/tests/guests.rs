//! Checks that built-in handlers are small, and import only what they use.

use keyward_handlers::{HARDCODED, SIGNED};
use wasmparser::{Parser, Payload};

#[test]
fn guests_have_one_page_and_only_the_imports_and_settings_they_use() {
    let expected = [
        (
            SIGNED,
            &["clock", "keys", "settings", "random", "digest", "log"][..],
            "allow_signed_tokens: bool\nmax_signed_tokens_ttl: u64\nunique_tokens: bool\n",
        ),
        (HARDCODED, &["settings", "secrets", "log"], "actors: json\n"),
    ];
    for (handler, interfaces, names) in expected {
        let package = handler.name();
        let (mut pages, mut imports, mut settings, mut exports, mut depth) = (vec![], vec![], None, vec![], 0);
        for payload in Parser::new(0).parse_all(handler.component()) {
            match payload.unwrap() {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth -= 1,
                Payload::MemorySection(section) => {
                    pages.extend(section.into_iter().map(|memory| memory.unwrap().initial))
                }
                Payload::ComponentImportSection(section) if depth == 0 => {
                    imports.extend(section.into_iter().map(|import| import.unwrap().name.name.to_owned()));
                }
                Payload::ExportSection(section) => {
                    exports.extend(section.into_iter().map(|export| export.unwrap().name.to_owned()));
                }
                Payload::CustomSection(section) if section.name() == "keyward:settings" => {
                    settings = Some(String::from_utf8(section.data().to_vec()).unwrap());
                }
                _ => {}
            }
        }
        assert_eq!(pages, [1], "{package}");
        let wanted = ["types"].iter().chain(interfaces).map(|name| format!("keyward:handler/{name}@0.1.0"));
        assert_eq!(imports, wanted.collect::<Vec<_>>(), "{package}");
        assert_eq!(settings.as_deref(), Some(names), "{package}");
        assert!(!exports.iter().any(|name| name.starts_with("cabi_post_")), "{package}: {exports:?}");
    }
}
