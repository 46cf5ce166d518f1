//! Sanitization of untrusted text for logs, terminals and headers.

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup};
use icu_properties::{CodePointMapData, CodePointSetData};
use std::borrow::Cow;

/// Maximum length of a name in a message, in bytes.
pub(crate) const MAX_NAME: usize = 100;

/// Minimum similarity, from 0 to 1, at which a name counts as a misspelling of another.
const SIMILAR: f64 = 0.75;

/// Maximum number of items in a list, and their maximum total length in bytes.
const MAX_ITEMS: usize = 20;
const MAX_LIST: usize = 900;

/// Returns `text` on one line, truncated to `max` bytes with an ellipsis. Characters that [need an
/// escape](needs_escape) are written as `\u{…}`.
pub fn escape_untrusted(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    for c in text.chars() {
        let before = out.len();
        if needs_escape(c) {
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

/// Returns a list of names for a message, each escaped and in backticks: at most 20, and the number
/// of the others.
pub fn list_names(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    join(names, "`")
}

/// Returns a list of items for a message, as [`list_names`] does but without backticks.
pub fn list_items(items: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    join(items, "")
}

fn join(items: impl IntoIterator<Item = impl AsRef<str>>, quote: &str) -> String {
    let mut items = items.into_iter().enumerate();
    let mut out = String::new();
    while let Some((listed, item)) = items.next() {
        let item = escape_untrusted(item.as_ref(), MAX_NAME);
        if listed == MAX_ITEMS || out.len().saturating_add(item.len()) > MAX_LIST {
            let more = items.count().saturating_add(1);
            return format!("{out}, and {more} more");
        }
        out += if listed == 0 { "" } else { ", " };
        out.extend([quote, &item, quote]);
    }
    if out.is_empty() { "none".to_owned() } else { out }
}

/// Returns the end of a message about an unknown name, `` ; did you mean `…`? ``, with the most
/// similar of the known names. Empty if none is similar.
pub fn suggest_name<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    // The time grows with the square of the length.
    if unknown.len() > MAX_NAME {
        return String::new();
    }
    let similarity = |name| (strsim::jaro_winkler(unknown, name), name);
    let similar = known.into_iter().map(similarity).filter(|(score, _)| *score >= SIMILAR);
    let nearest = similar.max_by(|(one, name), (other, of)| one.total_cmp(other).then_with(|| of.cmp(name)));
    nearest.map(|(_, name)| format!("; did you mean `{}`?", escape_untrusted(name, MAX_NAME))).unwrap_or_default()
}

/// Returns `text` with `token` replaced: a careless handler's message must not put a live token
/// into a log.
pub(crate) fn redact_token<'a>(text: &'a str, token: &str) -> Cow<'a, str> {
    if token.is_empty() || !text.contains(token) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.replace(token, "[token]"))
    }
}

/// Returns whether `text` has nothing visible: it is empty, or has only spaces and hidden
/// characters.
pub(crate) fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c == ' ' || needs_escape(c))
}

/// Returns whether a character must be escaped before it is shown to a human, a terminal or a log.
///
/// These are controls, format characters, all spaces and separators except U+0020, private-use and
/// unassigned characters, those that Unicode does not render (`Default_Ignorable_Code_Point`), and
/// a few with an empty glyph.
pub fn needs_escape(c: char) -> bool {
    // The common case is ASCII.
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    GeneralCategoryGroup::Other.contains(category)
        || GeneralCategoryGroup::Separator.contains(category)
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        || BLANKS.contains(&c)
}

/// Symbols and marks that fonts leave empty although no Unicode property says so: the blank Braille
/// pattern, the object replacement character, the Khitan filler and the null notehead.
const BLANKS: [char; 4] = ['\u{2800}', '\u{fffc}', '\u{16fe4}', '\u{1d159}'];

#[cfg(test)]
mod tests {
    use super::{
        CodePointMapData, GeneralCategory, escape_untrusted, list_items, list_names, needs_escape, suggest_name,
    };

    #[test]
    fn escaped_text_stays_on_one_line() {
        assert_eq!(escape_untrusted("a\nb\u{1b}[2J\u{202e}c é", 99), "a\\u{a}b\\u{1b}[2J\\u{202e}c é");
    }

    #[test]
    fn long_text_is_truncated_to_its_limit() {
        assert_eq!(escape_untrusted("abc", 3), "abc");
        assert_eq!(escape_untrusted("abcdef", 5), "ab…");
        for max in 0..40 {
            for text in ["é日本😀\n\u{200b}abcdefghijklmnopqrstuvwxyz", "", "ab"] {
                assert!(escape_untrusted(text, max).len() <= max, "{max}");
            }
        }
    }

    #[test]
    fn long_lists_are_truncated_and_counted() {
        let names = |count: usize| (0..count).map(|number| format!("n{number}"));
        assert_eq!(list_names(names(0)), "none");
        assert_eq!(list_names(names(2)), "`n0`, `n1`");
        assert_eq!(list_items(["a", "b\n"]), "a, b\\u{a}");
        assert!(list_names(names(20)).ends_with(", `n19`"));
        assert!(list_names(names(21)).ends_with(", `n19`, and 1 more"));
        assert!(list_items(names(300_000)).ends_with(", n19, and 299980 more"));
        let long = list_items((0..300).map(|_| "\u{200b}".repeat(1_000_000)));
        assert!(long.len() < 1_000 && long.starts_with("\\u{200b}") && long.ends_with(" more"), "{long}");
    }

    #[test]
    fn the_most_similar_name_is_suggested() {
        let known = ["view-instance", "view-table", "insert-row"];
        for (unknown, suggested) in [
            ("view-instnce", "; did you mean `view-instance`?"),
            ("view-tabel", "; did you mean `view-table`?"),
            ("insert_row", "; did you mean `insert-row`?"),
            // The first letter of `і` and the `е` are Cyrillic.
            ("vіеw-table", "; did you mean `view-table`?"),
            ("fly", ""),
            ("", ""),
            (&"view-table".repeat(11), ""),
        ] {
            assert_eq!(suggest_name(unknown, known), suggested, "{unknown}");
        }
        assert_eq!(suggest_name("ab", ["ac", "ad", "aa"]), suggest_name("ab", ["aa", "ad", "ac"]), "a tie");
        assert_eq!(suggest_name("view", ["view\u{200b}"]), "; did you mean `view\\u{200b}`?");
        assert_eq!(suggest_name("view", []), "");
    }

    /// Characters that have been used to hide, forge or break text, with their names.
    const HIDDEN: &[(char, &str)] = &[
        ('\0', "null"),
        ('\u{7f}', "delete"),
        ('\u{85}', "next line"),
        ('\u{a0}', "no-break space"),
        ('\u{ad}', "soft hyphen"),
        ('\u{34f}', "combining grapheme joiner"),
        ('\u{600}', "Arabic number sign"),
        ('\u{61c}', "Arabic letter mark"),
        ('\u{70f}', "Syriac abbreviation mark"),
        ('\u{115f}', "Hangul choseong filler"),
        ('\u{1160}', "Hangul jungseong filler"),
        ('\u{1680}', "Ogham space mark"),
        ('\u{17b4}', "Khmer vowel inherent aq"),
        ('\u{17b5}', "Khmer vowel inherent aa"),
        ('\u{180b}', "Mongolian free variation selector one"),
        ('\u{180e}', "Mongolian vowel separator"),
        ('\u{2000}', "en quad"),
        ('\u{200b}', "zero width space"),
        ('\u{200d}', "zero width joiner"),
        ('\u{200f}', "right-to-left mark"),
        ('\u{2028}', "line separator"),
        ('\u{2029}', "paragraph separator"),
        ('\u{202e}', "right-to-left override"),
        ('\u{202f}', "narrow no-break space"),
        ('\u{205f}', "medium mathematical space"),
        ('\u{2060}', "word joiner"),
        ('\u{2064}', "invisible plus"),
        ('\u{2065}', "unassigned, default-ignorable"),
        ('\u{2066}', "left-to-right isolate"),
        ('\u{2800}', "Braille pattern blank"),
        ('\u{3000}', "ideographic space"),
        ('\u{3164}', "Hangul filler"),
        ('\u{e000}', "private use"),
        ('\u{fdd0}', "noncharacter"),
        ('\u{fe00}', "variation selector-1"),
        ('\u{fe0f}', "variation selector-16"),
        ('\u{feff}', "byte order mark"),
        ('\u{ffa0}', "halfwidth Hangul filler"),
        ('\u{fff0}', "unassigned, default-ignorable"),
        ('\u{fff9}', "interlinear annotation anchor"),
        ('\u{fffc}', "object replacement character"),
        ('\u{ffff}', "noncharacter"),
        ('\u{13430}', "Egyptian hieroglyph vertical joiner"),
        ('\u{16fe4}', "Khitan small script filler"),
        ('\u{1bca0}', "shorthand format letter overlap"),
        ('\u{1d159}', "musical symbol null notehead"),
        ('\u{1d173}', "musical symbol begin beam"),
        ('\u{e0001}', "language tag"),
        ('\u{e0041}', "tag Latin capital letter A"),
        ('\u{e007f}', "cancel tag"),
        ('\u{e0100}', "variation selector-17"),
        ('\u{e01ef}', "variation selector-256"),
        ('\u{f0000}', "private use"),
        ('\u{10ffff}', "noncharacter"),
    ];

    #[test]
    fn characters_that_hide_or_forge_text_are_escaped() {
        for (c, name) in HIDDEN {
            assert!(needs_escape(*c), "{name}");
            assert_eq!(escape_untrusted(&c.to_string(), 20), c.escape_unicode().to_string(), "{name}");
        }
    }

    #[test]
    fn text_in_any_script_is_unchanged() {
        for text in [
            "The quick brown fox, 42 € – ok?",
            "Füße déjà-vu Ωμέγα Привет",
            "日本語、ひらがな カタカナ 한국어",
            "עברית العربية हिन्दी ภาษาไทย தமிழ்",
            "e\u{301}",
            "😀✓→§",
            "�",
        ] {
            assert_eq!(escape_untrusted(text, 999), text);
        }
    }

    /// Compares with the standard library, which has its own tables of the categories: it escapes
    /// what it does not print, and characters assigned since its version of Unicode.
    #[test]
    fn every_character_is_escaped_or_printed_by_its_category() {
        const BLANK_LETTERS: [char; 4] = ['\u{115f}', '\u{1160}', '\u{3164}', '\u{ffa0}'];
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            // After a letter, so that combining marks are not escaped for being alone.
            let escaped = format!("a{c}").escape_debug().any(|escaped| escaped == '{') && c != '{';
            let by_category = escaped || c.is_control();
            let is_assigned_since = !matches!(
                CodePointMapData::<GeneralCategory>::new().get(c),
                GeneralCategory::Control
                    | GeneralCategory::Format
                    | GeneralCategory::Surrogate
                    | GeneralCategory::PrivateUse
                    | GeneralCategory::Unassigned
                    | GeneralCategory::SpaceSeparator
                    | GeneralCategory::LineSeparator
                    | GeneralCategory::ParagraphSeparator
            );
            assert!(
                !by_category || needs_escape(c) || is_assigned_since,
                "{c:?} is a control, a space or no character"
            );
            let is_letter = c.is_alphanumeric() && !BLANK_LETTERS.contains(&c);
            assert!(!(is_letter && needs_escape(c)), "{c:?} is a letter or a digit");
            let is_named = HIDDEN.iter().any(|(named, _)| *named == c);
            let is_mark_or_filler = matches!(c, '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{fe00}'..='\u{fe0f}'
                | '\u{e0100}'..='\u{e01ef}');
            assert!(!needs_escape(c) || by_category || is_named || is_mark_or_filler, "{c:?} is hidden for no reason");
        }
    }
}
