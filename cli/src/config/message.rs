//! Messages of the TOML reader, as sentences for operators. They never repeat a value, which may be
//! a secret.

use keyward_runtime::text::suggest_name;

/// Names of settings that have been replaced, with the current ones.
const RENAMED: &[(&str, &str)] =
    &[("callers", "clients"), ("operations", "admin"), ("answer_bytes", "verdict_cache_bytes")];

/// Returns a message of the TOML reader as a sentence, without the values that it repeats.
pub(crate) fn reword(message: &str) -> String {
    if let Some(rest) = message.strip_prefix("unknown field ") {
        return unknown_field(rest);
    }
    if let Some(field) = message.strip_prefix("missing field ") {
        return format!("{field} is missing; add it");
    }
    if let Some(rest) = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: ")) {
        let kind = rest.split(['"', '`', ',']).next().unwrap_or_default().trim_end();
        let expected = match rest.rsplit_once(", expected ").map(|(_, expected)| expected).unwrap_or_default() {
            "a map" => "a table",
            "a sequence" => "a list",
            "u32" | "u64" | "usize" => "a whole number",
            "a nonzero u32" | "a nonzero u64" => "a whole number from 1",
            expected if expected.starts_with("struct ") => "a table",
            expected => expected,
        };
        return format!("this {kind} has the wrong type; expected {expected}");
    }
    if message == "duplicate key" {
        return "duplicate key; remove one".to_owned();
    }
    message.to_owned()
}

/// Returns the sentence for `` `name`, expected … `` or `` `name`, there are no fields ``.
fn unknown_field(rest: &str) -> String {
    let (name, expected) = rest.split_once(", ").unwrap_or((rest, ""));
    let plain = name.trim_matches('`');
    if let Some((old, new)) = RENAMED.iter().find(|(old, _)| *old == plain) {
        return format!("`{old}` is now called `{new}`; rename it");
    }
    let hint = suggest_name(plain, expected.split('`').skip(1).step_by(2));
    format!("unknown field {name}; {expected}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_gets_its_new_name_or_the_nearest_one() {
        for (message, sentence) in [
            ("unknown field `callers`, expected `clients`", "`callers` is now called `clients`; rename it"),
            (
                "unknown field `listne`, expected one of `listen`, `admin`",
                "unknown field `listne`; expected one of `listen`, `admin`; did you mean `listen`?",
            ),
            (
                "unknown field `x`, expected one of `listen`, `admin`",
                "unknown field `x`; expected one of `listen`, `admin`",
            ),
            ("unknown field `x`, there are no fields", "unknown field `x`; there are no fields"),
        ] {
            assert_eq!(reword(message), sentence);
        }
    }
}
