//! The forms of tokens, as a component states them: a token of none of them is refused without a call.

/// Parts that a form may have.
const MAX_PARTS: usize = 16;

/// One form: parts that stand one behind the other, written as a regular expression of the kind `[0-9A-Za-z]{22}[^-]{0,43}`
/// and of no other. What it is about is what stands behind the prefix of a token, or all of one without a prefix, byte by byte.
///
/// Whether a text fits is seen in one pass, whatever the text is.
#[derive(Debug)]
pub(crate) struct Form(Vec<Part>);

/// So many of these bytes.
#[derive(Debug)]
struct Part {
    /// A bit for each ASCII character.
    ascii: u128,
    /// Whether all other bytes are allowed.
    others: bool,
    least: usize,
    most: usize,
}

impl Form {
    /// Reads a form. The error goes on from "the section `keyward:form`".
    pub(crate) fn parse(mut text: &str) -> Result<Self, &'static str> {
        let mut parts = Vec::new();
        while !text.is_empty() {
            let (part, rest) = Part::parse(text)?;
            parts.push(part);
            text = rest;
        }
        if parts.len() > MAX_PARTS {
            return Err("states a form of more than 16 parts");
        }
        let form = Self(parts);
        if form.is_ambiguous() {
            return Err("states a form in which one part could begin where the one before it ends or later: \
                        let their characters differ, or the first have a fixed length");
        }
        Ok(form)
    }

    /// Whether taking as many characters as a part may have could leave too few for those behind it.
    fn is_ambiguous(&self) -> bool {
        let mut behind = self.0.as_slice();
        while let Some((part, rest)) = behind.split_first() {
            // Those that may come next: up to the first that must.
            let must = rest.iter().position(|part| part.least > 0).map_or(rest.len(), |place| place.saturating_add(1));
            if part.least < part.most && rest.iter().take(must).any(|next| next.overlaps(part)) {
                return true;
            }
            behind = rest;
        }
        false
    }

    /// Whether a text is of this form.
    pub(crate) fn fits(&self, text: &str) -> bool {
        let mut rest = text.as_bytes();
        for part in &self.0 {
            let length = rest.iter().take(part.most).take_while(|byte| part.allows(**byte)).count();
            let Some(behind) = rest.get(length..).filter(|_| length >= part.least) else { return false };
            rest = behind;
        }
        rest.is_empty()
    }
}

impl Part {
    /// Reads the part that a text begins with: `[…]{n}` or `[…]{n,m}`.
    fn parse(text: &str) -> Result<(Self, &str), &'static str> {
        const WANTED: &str = "states a form that is not written as `[0-9A-Za-z_-]{22}[=]{0,2}`";
        let (class, rest) = text.strip_prefix('[').and_then(|text| text.split_once("]{")).ok_or(WANTED)?;
        let (counts, rest) = rest.split_once('}').ok_or(WANTED)?;
        let (least, most) = counts.split_once(',').unwrap_or((counts, counts));
        let count = |text: &str| text.parse::<u16>().ok().filter(|_| !text.starts_with('+')).map(usize::from);
        let (least, most) = count(least).zip(count(most)).filter(|(least, most)| least <= most).ok_or(WANTED)?;
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
                return Err("states a form with a range that is empty, or with other characters than printable ASCII");
            }
            named |= (*first..=*last).fold(0, |bits, byte| bits | bit(byte));
            class = behind;
        }
        let ascii = if others { !named } else { named };
        Ok((Self { ascii, others, least, most }, rest))
    }

    fn allows(&self, byte: u8) -> bool {
        if byte.is_ascii() { self.ascii & bit(byte) != 0 } else { self.others }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.ascii & other.ascii != 0 || self.others && other.others
    }
}

/// The bit of an ASCII character.
fn bit(byte: u8) -> u128 {
    1_u128.checked_shl(byte.into()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn form(text: &str) -> Form {
        Form::parse(text).unwrap()
    }

    #[test]
    fn a_text_fits_or_not() {
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
            assert_eq!(form(shape).fits(text), wanted, "{shape} {text:?}");
        }
    }

    #[test]
    fn what_is_no_form_is_refused() {
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
            assert!(Form::parse(text).is_err(), "{text}");
        }
    }

    /// Tries every way to divide a text among the parts.
    fn fits_somehow(parts: &[Part], text: &[u8]) -> bool {
        let Some((part, rest)) = parts.split_first() else { return text.is_empty() };
        (part.least..=part.most.min(text.len()))
            .any(|length| text[..length].iter().all(|byte| part.allows(*byte)) && fits_somehow(rest, &text[length..]))
    }

    proptest! {
        /// What one pass finds is what there is to be found.
        #[test]
        fn one_pass_is_enough(
            parts in prop::collection::vec(("a|b|c|ab|bc|\\^a|\\^ab", 0..3_u8, 0..3_u8), 0..5),
            text in "[abc\u{e9}]{0,8}",
        ) {
            let part = |(class, least, more): &(String, u8, u8)| format!("[{class}]{{{least},{}}}", least + more);
            let shape: String = parts.iter().map(part).collect();
            if let Ok(form) = Form::parse(&shape) {
                prop_assert_eq!(form.fits(&text), fits_somehow(&form.0, text.as_bytes()), "{} {}", shape, text);
            }
        }

        #[test]
        fn no_text_panics(form in "([\\[\\]{}^,0-9a-z-]|\\PC){0,60}", text in ".*") {
            if let Ok(form) = Form::parse(&form) {
                let _ = form.fits(&text);
            }
        }
    }
}
