//! [`TokenPattern`]s, which a component declares: a token that matches none of them is rejected
//! without a call.

/// Maximum number of parts in a pattern.
const MAX_PARTS: usize = 16;

/// A pattern: a sequence of parts, written as a regular expression that only consists of parts such
/// as `[0-9A-Za-z]{22}[^-]{0,43}`.
///
/// A pattern describes the bytes after a token's prefix, or the whole token if it has no prefix.
/// Matching takes one pass over the text.
#[derive(Debug)]
pub(crate) struct TokenPattern(Vec<Part>);

/// A byte class with a range of repetitions.
#[derive(Debug)]
struct Part {
    /// The allowed ASCII characters, a bit for each.
    ascii: u128,
    /// `true` if all non-ASCII bytes are allowed.
    others: bool,
    min: usize,
    max: usize,
}

impl TokenPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// Returns a predicate for the subject "the section `keyward:token-patterns`".
    pub(crate) fn parse(mut text: &str) -> Result<Self, &'static str> {
        let mut parts = Vec::new();
        while !text.is_empty() {
            let (part, rest) = Part::parse(text)?;
            parts.push(part);
            text = rest;
        }
        if parts.len() > MAX_PARTS {
            return Err("has a pattern with more than 16 parts");
        }
        let form = Self(parts);
        if form.is_ambiguous() {
            return Err(
                "has an ambiguous pattern, in which a part of variable length allows characters of a part that may \
                        follow it: use different characters, or give the first part a fixed length",
            );
        }
        Ok(form)
    }

    /// Returns whether matching as many characters as possible for a part could leave too few for
    /// the parts after it.
    fn is_ambiguous(&self) -> bool {
        let mut behind = self.0.as_slice();
        while let Some((part, rest)) = behind.split_first() {
            // The parts that may follow directly: all up to the first that must match something.
            let must = rest.iter().position(|part| part.min > 0).map_or(rest.len(), |place| place.saturating_add(1));
            if part.min < part.max && rest.iter().take(must).any(|next| next.overlaps(part)) {
                return true;
            }
            behind = rest;
        }
        false
    }

    /// Returns whether `text` matches the pattern.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let mut rest = text.as_bytes();
        for part in &self.0 {
            let length = rest.iter().take(part.max).take_while(|byte| part.allows(**byte)).count();
            let Some(behind) = rest.get(length..).filter(|_| length >= part.min) else { return false };
            rest = behind;
        }
        rest.is_empty()
    }
}

impl Part {
    /// Parses the part at the start of `text`, `[…]{n}` or `[…]{n,m}`, and returns it with the
    /// rest.
    fn parse(text: &str) -> Result<(Self, &str), &'static str> {
        const WANTED: &str = "has a pattern that is not written like `[0-9A-Za-z_-]{22}[=]{0,2}`";
        let (class, rest) = text.strip_prefix('[').and_then(|text| text.split_once("]{")).ok_or(WANTED)?;
        let (counts, rest) = rest.split_once('}').ok_or(WANTED)?;
        let (min, max) = counts.split_once(',').unwrap_or((counts, counts));
        let count = |text: &str| text.parse::<u16>().ok().filter(|_| !text.starts_with('+')).map(usize::from);
        let (min, max) = count(min).zip(count(max)).filter(|(min, max)| min <= max).ok_or(WANTED)?;
        let (others, class) = class.strip_prefix('^').map_or((false, class), |class| (true, class));
        if class.is_empty() {
            return Err(WANTED);
        }
        let mut named = 0;
        let mut class = class.as_bytes();
        while let Some((first, behind)) = class.split_first() {
            let (last, behind) = match behind {
                [b'-', last, behind @ ..] => (last, behind),
                _ => (first, behind),
            };
            if first > last || !(b' '..=b'~').contains(first) || !(b' '..=b'~').contains(last) {
                return Err("has a pattern with an empty range, or with characters other than printable ASCII");
            }
            named |= (*first..=*last).fold(0, |bits, byte| bits | bit(byte));
            class = behind;
        }
        let ascii = if others { !named } else { named };
        Ok((Self { ascii, others, min, max }, rest))
    }

    fn allows(&self, byte: u8) -> bool {
        if byte.is_ascii() { self.ascii & bit(byte) != 0 } else { self.others }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.ascii & other.ascii != 0 || self.others && other.others
    }
}

/// Returns the bit of an ASCII character.
fn bit(byte: u8) -> u128 {
    1_u128.checked_shl(byte.into()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn form(text: &str) -> TokenPattern {
        TokenPattern::parse(text).unwrap()
    }

    #[test]
    fn a_text_matches_or_does_not() {
        for (shape, text, wanted) in [
            ("[0-9A-Za-z_-]{0,43}", "", true),
            ("[0-9A-Za-z_-]{0,3}", "a-Z", true),
            ("[0-9A-Za-z_-]{0,3}", "a-Z_", false),
            ("[0-9]{2}[0-9]{2}", "1234", true),
            ("[0-9]{2}[0-9]{2}", "123", false),
            ("[ -,.-~]{0,9}[-]{1}[ -,.-~]{1,9}", "a-b", true),
            ("[ -,.-~]{0,9}[-]{1}[ -,.-~]{1,9}", "-b", true),
            ("[ -,.-~]{0,9}[-]{1}[ -,.-~]{1,9}", "a-", false),
            ("[ -,.-~]{0,9}[-]{1}[ -,.-~]{1,9}", "a-b-c", false),
            ("[a]{1}", "é", false),
            ("[^-]{0,9}", "é\n", true),
            ("[^-]{0,9}", "é-", false),
            ("[^a-c]{1}[a-c]{0,9}", "-abc", true),
            ("[^^]{0,9}", "a^", false),
            ("[ -~]{0,9}", "\u{7f}", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(form(shape).matches(text), wanted, "{shape} {text:?}");
        }
    }

    #[test]
    fn an_invalid_pattern_is_refused() {
        for text in [
            "a",
            "[a]",
            "[a]{}",
            "[a]{1",
            "[a]{2,1}",
            "[a]{-1}",
            "[a]{+1}",
            "[a]{1,}",
            "[a]{65536}",
            "[]{1}",
            "[^]{1}",
            "[^a]{0,1}[^b]{1}",
            "[z-a]{1}",
            "[\u{e9}]{1}",
            "[\t]{1}",
            "[a]{1}b",
            "[a]{0,1}[ab]{1}",
            "[a]{0,1}[b]{0,1}[a]{1}",
            &"[a]{1}".repeat(17),
        ] {
            assert!(TokenPattern::parse(text).is_err(), "{text}");
        }
    }

    /// Returns whether any division of `text` among the parts matches.
    fn fits_somehow(parts: &[Part], text: &[u8]) -> bool {
        let Some((part, rest)) = parts.split_first() else { return text.is_empty() };
        (part.min..=part.max.min(text.len()))
            .any(|length| text[..length].iter().all(|byte| part.allows(*byte)) && fits_somehow(rest, &text[length..]))
    }

    proptest! {
        /// A single pass finds a match exactly if an exhaustive search does.
        #[test]
        fn one_pass_is_enough(
            parts in prop::collection::vec(("a|b|c|ab|bc|\\^a|\\^ab", 0..3_u8, 0..3_u8), 0..5),
            text in "[abc\u{e9}]{0,8}",
        ) {
            let part = |(class, min, more): &(String, u8, u8)| format!("[{class}]{{{min},{}}}", min + more);
            let shape: String = parts.iter().map(part).collect();
            if let Ok(form) = TokenPattern::parse(&shape) {
                prop_assert_eq!(form.matches(&text), fits_somehow(&form.0, text.as_bytes()), "{} {}", shape, text);
            }
        }

        #[test]
        fn no_text_panics(form in "([\\[\\]{}^,0-9a-z-]|\\PC){0,60}", text in ".*") {
            if let Ok(form) = TokenPattern::parse(&form) {
                let _ = form.matches(&text);
            }
        }
    }
}
