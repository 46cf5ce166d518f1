//! Preprocessing of a case's text before `wat` parses it.

use std::iter::Peekable;
use std::str::CharIndices;

/// Start of automatic data: above the result areas of `benign.wat`, below its heap.
const DATA: usize = 0x2000;

/// Splits a text into its outermost parenthesized forms, without the comments between them.
pub(super) fn forms(text: &str) -> Result<Vec<String>, String> {
    let mut forms = Vec::new();
    let mut depth = 0_u32;
    let mut start = 0;
    for (at, token) in tokens(text)? {
        match token {
            "(" => {
                if depth == 0 {
                    start = at;
                }
                depth += 1;
            }
            ")" => {
                depth = depth.checked_sub(1).ok_or("unbalanced closing parenthesis")?;
                if depth == 0 {
                    forms.push(text.get(start..=at).unwrap_or_default().to_owned());
                }
            }
            other if depth == 0 => return Err(format!("`{other}` is outside of all parentheses")),
            _ => {}
        }
    }
    if depth == 0 { Ok(forms) } else { Err("a parenthesis is not closed".to_owned()) }
}

/// Replaces each `(contains NAME)` with the parts shared by hand-written components.
pub(super) fn contains(text: &str) -> String {
    let text = text.replace("(include lowered)", include_str!("lowered.wat"));
    text.replace("(include lifted)", include_str!("lifted.wat"))
}

/// Expands each `(repeat N …)`, the innermost first.
pub(super) fn expand(text: &str) -> Result<String, String> {
    let tokens = tokens(text)?;
    let mut out = String::new();
    let mut from = 0;
    let mut rest = tokens.as_slice();
    while let Some(((open, first), after)) = rest.split_first() {
        rest = after;
        let [(_, "repeat"), (count_at, count), ..] = after else { continue };
        if *first != "(" {
            continue;
        }
        let times: usize = count.parse().map_err(|_| format!("`(repeat {count}` is not a number"))?;
        let mut depth = 1_u32;
        while depth > 0 {
            let ((at, token), after) = rest.split_first().ok_or("a repeat is not closed")?;
            rest = after;
            match *token {
                "(" => depth += 1,
                ")" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let body = expand(text.get(count_at + count.len()..*at).unwrap_or_default())?;
                out.push_str(text.get(from..*open).unwrap_or_default());
                for i in 0..times {
                    out.push_str(&body.replace("{i}", &i.to_string()));
                }
                from = at + 1;
            }
        }
    }
    out.push_str(text.get(from..).unwrap_or_default());
    Ok(out)
}

/// Replaces the base's fields with a case's fields of the same name, and adds the others.
pub(super) fn merge(mut fields: Vec<String>, own: Vec<String>) -> Result<Vec<String>, String> {
    for field in own {
        let key = key(&field)?;
        let mut place = None;
        if let Some(key) = &key {
            for (at, old) in fields.iter().enumerate() {
                if self::key(old)?.as_ref() == Some(key) {
                    place = Some(at);
                }
            }
        }
        match place.and_then(|at| fields.get_mut(at)) {
            Some(old) => *old = field,
            None => fields.push(field),
        }
    }
    Ok(fields)
}

/// Builds a core module from these fields.
///
/// Imports come first, and each `(data $name "…")` gets its own position.
pub(super) fn module(fields: &[String]) -> Result<String, String> {
    let mut imports = String::new();
    let mut others = String::new();
    let mut at = DATA;
    for field in fields {
        let tokens = tokens(field)?;
        let words: Vec<&str> = tokens.iter().map(|(_, token)| *token).collect();
        match words.as_slice() {
            ["(", "import", ..] => imports.extend(["  ", field, "\n"]),
            ["(", "data", name, strings @ .., ")"]
                if name.starts_with('$') && strings.iter().all(|string| string.starts_with('"')) =>
            {
                let len: usize = strings.iter().map(|string| string_len(string)).sum::<Result<_, _>>()?;
                let strings = strings.join(" ");
                others.push_str(&format!("  (data {name} (i32.const {at}) {strings})\n"));
                others.push_str(&format!("  (global {name}.ptr i32 (i32.const {at}))\n"));
                others.push_str(&format!("  (global {name}.len i32 (i32.const {len}))\n"));
                at = (at + len).next_multiple_of(16);
            }
            _ => others.extend(["  ", field, "\n"]),
        }
    }
    Ok(format!("(module\n{imports}{others})\n"))
}

/// Returns the key of the field that this one replaces in a base, such as `func $verify`,
/// `export "memory"` or `start`.
///
/// Unnamed fields replace nothing.
fn key(field: &str) -> Result<Option<String>, String> {
    let tokens = tokens(field)?;
    let words: Vec<&str> = tokens.iter().map(|(_, token)| *token).collect();
    Ok(match words.as_slice() {
        ["(", "import", module, name, ..] => Some(format!("import {module} {name}")),
        ["(", "export", name, ..] => Some(format!("export {name}")),
        ["(", "start", ..] => Some("start".to_owned()),
        ["(", kind, name, ..] if name.starts_with('$') => Some(format!("{kind} {name}")),
        _ => None,
    })
}

/// Returns the length in bytes of a string of the text format, with quotes and escapes resolved.
fn string_len(string: &str) -> Result<usize, String> {
    let mut len = 0;
    let inner = string.strip_prefix('"').and_then(|string| string.strip_suffix('"'));
    let mut rest = inner.ok_or_else(|| format!("{string} is not a string"))?.chars();
    while let Some(c) = rest.next() {
        len += match c {
            '\\' => match rest.next() {
                Some('t' | 'n' | 'r' | '"' | '\'' | '\\') => 1,
                Some('u') => return Err("write a character as it is, or its bytes, instead of \\u{…}".to_owned()),
                Some(_) => {
                    rest.next();
                    1
                }
                None => return Err(format!("{string} ends in a backslash")),
            },
            c => c.len_utf8(),
        };
    }
    Ok(len)
}

/// Splits a text into parentheses, strings and words with their positions, skipping whitespace and
/// comments.
fn tokens(text: &str) -> Result<Vec<(usize, &str)>, String> {
    let mut tokens = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((start, c)) = chars.next() {
        match c {
            c if c.is_whitespace() => continue,
            ';' => {
                skip_line(&mut chars);
                continue;
            }
            '(' | ')' => {}
            '"' => skip_string(&mut chars).ok_or("a string is not closed")?,
            _ => while chars.next_if(|(_, c)| !c.is_whitespace() && !"();\"".contains(*c)).is_some() {},
        }
        let end = chars.peek().map_or(text.len(), |(end, _)| *end);
        tokens.push((start, text.get(start..end).unwrap_or_default()));
    }
    Ok(tokens)
}

fn skip_line(chars: &mut Peekable<CharIndices<'_>>) {
    while chars.next_if(|(_, c)| *c != '\n').is_some() {}
}

fn skip_string(chars: &mut Peekable<CharIndices<'_>>) -> Option<()> {
    loop {
        match chars.next()?.1 {
            '"' => return Some(()),
            '\\' => {
                chars.next()?;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_split_at_the_outermost_parentheses() {
        let text = "(a (b) \")\") ;; (no\n (c)";
        assert_eq!(forms(text).unwrap(), ["(a (b) \")\")", "(c)"]);
        for bad in ["(a", "a)", ")", "(a) b", "(\""] {
            assert!(forms(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_repeat_is_expanded() {
        assert_eq!(expand("(a (repeat 3 (b {i})) c)").unwrap(), "(a  (b 0) (b 1) (b 2) c)");
        assert_eq!(expand("(repeat 2 (repeat 2 x{i}))").unwrap(), "  x0 x1  x0 x1");
        assert!(expand("(repeat x y)").is_err());
        assert!(expand("(repeat 2 y").is_err());
    }

    #[test]
    fn a_field_replaces_the_field_of_the_same_name() {
        let base = vec!["(func $a)".to_owned(), "(export \"m\" (memory 0))".to_owned()];
        let own = ["(func $a nop)", "(func $b)", "(func)", "(func)"].map(str::to_owned).to_vec();
        let merged = merge(base, own).unwrap();
        assert_eq!(merged, ["(func $a nop)", "(export \"m\" (memory 0))", "(func $b)", "(func)", "(func)"]);
    }

    #[test]
    fn data_gets_a_position_and_a_length() {
        let text = module(&["(data $x \"a\\00\\\"\" \"é\")".to_owned(), "(data $y \"z\")".to_owned()]).unwrap();
        assert!(text.contains("(global $x.ptr i32 (i32.const 8192))"), "{text}");
        assert!(text.contains("(global $x.len i32 (i32.const 5))"), "{text}");
        assert!(text.contains("(data $y (i32.const 8208) \"z\")"), "{text}");
    }
}
