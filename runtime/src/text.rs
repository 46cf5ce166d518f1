//! Text from strangers, made fit for logs, terminals and headers.

use std::borrow::Cow;

/// `text` on one line of printable characters, cut at `max` bytes with an ellipsis. Controls, and the characters that
/// reorder or hide text, are written as `\u{…}`.
pub(crate) fn printable(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    for c in text.chars() {
        let before = out.len();
        if is_hidden(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
        if out.len() > max {
            out.truncate(before);
            while out.len().saturating_add('…'.len_utf8()) > max && out.pop().is_some() {}
            if '…'.len_utf8() <= max {
                out.push('…');
            }
            break;
        }
    }
    out
}

/// The same without a token in it: a careless handler's words must not put a live token into a log.
pub(crate) fn without_token<'a>(text: &'a str, token: &str) -> Cow<'a, str> {
    if token.is_empty() || !text.contains(token) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.replace(token, "[token]"))
    }
}

/// Whether a character breaks a line, moves a terminal's cursor, reorders text or cannot be seen: what must be escaped in
/// text from strangers before a person or a log gets it.
pub fn is_hidden(c: char) -> bool {
    // Nearly all text is ASCII.
    !matches!(c, ' '..='~')
        && (c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'))
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn stays_on_one_line() {
        assert_eq!(printable("a\nb\u{1b}[2J\u{202e}c é", 99), "a\\u{a}b\\u{1b}[2J\\u{202e}c é");
    }

    #[test]
    fn is_cut_within_its_bytes() {
        assert_eq!(printable("abc", 3), "abc");
        assert_eq!(printable("abcdef", 5), "ab…");
        for max in 0..40 {
            for text in ["é日本😀\n\u{200b}abcdefghijklmnopqrstuvwxyz", "", "ab"] {
                assert!(printable(text, max).len() <= max, "{max}");
            }
        }
    }
}
