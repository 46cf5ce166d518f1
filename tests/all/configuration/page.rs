//! docs/configuration.md, written from the schema.

use super::schema;
use serde_json::Value;
use std::fs;
use std::path::Path;

const OPENING: &str = "\
# Configuration

This page lists every setting of the configuration, for operators: its type, range and default, and
what it does. It is generated from the types of the parser.

The configuration is a TOML file. Paths in it are relative to its folder. `keyward config schema`
prints the same as a JSON Schema, for editors, and `keyward check COMPONENT --config FILE` accepts
exactly the configurations that `keyward serve` runs. [serve.md](serve.md#configuration) shows them
in use.

The end of a name is its unit: `_bytes`, `_mib` (1,048,576 bytes), `_ms`, `_seconds`, `_days`. A
setting without a default may be omitted; its description then says what that means. A table with
capital letters in its name, such as `[clients.NAME]`, may occur several times, under names that you
choose.
";

/// Maximum width of prose, in characters.
const WIDTH: usize = 100;

/// `KEYWARD_BLESS=1` updates the page.
#[test]
fn the_page_lists_the_settings_of_the_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = page(&schema());
    if std::env::var_os("KEYWARD_BLESS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let copy = fs::read_to_string(&path).unwrap_or_default();
    assert!(copy == page, "docs/configuration.md is out of date: run with KEYWARD_BLESS=1, review the changes");
}

/// Returns the page: the handlers, the other sections, and the settings outside of sections.
fn page(schema: &Value) -> String {
    let mut page = OPENING.to_owned();
    let sections = schema["properties"].as_object().unwrap();
    let handlers = sections.iter().filter(|(name, _)| *name == "handlers");
    let others = sections.iter().filter(|(name, section)| *name != "handlers" && is_section(section));
    for (name, section) in handlers.chain(others) {
        write(&mut page, name, section, "##");
    }
    page += "\n## Outside of sections\n\nThese settings are at the beginning of the file.\n\n";
    table(&mut page, schema);
    page
}

/// Returns the table of a section, of which there may be several; `None` for a single setting.
fn fields(schema: &Value) -> Option<&Value> {
    if schema["properties"].is_object() {
        return Some(schema);
    }
    if !schema["title"].is_null() {
        return None;
    }
    let forms = schema["anyOf"].as_array().into_iter().flatten();
    let inner = [&schema["additionalProperties"], &schema["items"]];
    forms.chain(inner.into_iter().filter(|inner| inner.is_object())).find_map(fields)
}

/// Returns whether a setting has a heading: a table, or names that the operator chooses.
fn is_section(schema: &Value) -> bool {
    fields(schema).is_some() || schema["type"] == "object" && schema["title"].is_null()
}

fn write(page: &mut String, path: &str, schema: &Value, heading: &str) {
    let placeholder = if path.contains('.') { "LABEL" } else { "NAME" };
    let (path, shown) = match fields(schema) {
        Some(_) if schema["items"].is_object() => (path.to_owned(), format!("[[{path}]]")),
        Some(_) if schema["additionalProperties"].is_object() => {
            let path = format!("{path}.{placeholder}");
            (path.clone(), format!("[{path}]"))
        }
        _ => (path.to_owned(), format!("[{path}]")),
    };
    *page += &format!("\n{heading} `{shown}`\n\n");
    *page += &wrap(schema["description"].as_str().unwrap_or_else(|| panic!("{path} has no description")));
    let Some(fields) = fields(schema) else { return };
    *page += "\n";
    table(page, fields);
    for (name, section) in fields["properties"].as_object().unwrap() {
        if self::fields(section).is_some() {
            write(page, &format!("{path}.{name}"), section, &format!("{}#", heading));
        }
    }
}

/// Writes the table of the settings that are no sections.
fn table(page: &mut String, schema: &Value) {
    *page += "| setting | value | default | description |\n| --- | --- | --- | --- |\n";
    let is_root = !schema["$schema"].is_null();
    for (name, setting) in schema["properties"].as_object().unwrap() {
        if fields(setting).is_some() || is_root && is_section(setting) {
            continue;
        }
        let required = schema["required"].as_array().is_some_and(|names| names.iter().any(|other| other == name));
        let default = match setting.get("default") {
            Some(default) => format!("`{}`", super::inline(default)),
            None if required => "required".to_owned(),
            None => "none".to_owned(),
        };
        let description = setting["description"].as_str().unwrap_or_else(|| panic!("{name} has no description"));
        *page += &format!("| `{name}` | {} | {default} | {} |\n", value(setting), description.replace('|', "\\|"));
    }
}

/// Describes the values that a setting can have.
fn value(schema: &Value) -> String {
    if let Some(title) = schema["title"].as_str() {
        return title.to_owned();
    }
    if let Some(names) = schema["enum"].as_array() {
        let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        let (last, others) = names.split_last().unwrap();
        return format!("{} or {last}", others.join(", "));
    }
    match schema["type"].as_str() {
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("integer") => match (&schema["minimum"], &schema["maximum"]) {
            (min, Value::Null) => format!("whole number, from {min}"),
            (min, max) => format!("whole number, {min} to {max}"),
        },
        Some("string") => "text".to_owned(),
        Some("array") => format!("list of {}", value(&schema["items"])),
        Some("object") => format!("table of {}", value(&schema["additionalProperties"])),
        _ => panic!("{schema} has no title"),
    }
}

fn wrap(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().unwrap();
        if line.is_empty() {
            *line = word.to_owned();
        } else if line.chars().count() + 1 + word.chars().count() <= WIDTH {
            *line += &format!(" {word}");
        } else {
            lines.push(word.to_owned());
        }
    }
    format!("{}\n", lines.join("\n"))
}
