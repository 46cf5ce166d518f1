//! Recognition of tokens by their shape, and their removal from texts for logs. No handler is
//! called and no store is read.

use super::Registry;
use crate::checksum;
use crate::token::is_token_byte;
use std::borrow::Cow;
use subtle::ConstantTimeEq;

/// Replacement of a token in a log.
const REDACTED: &str = "[token]";

/// Minimum length of the part of a token after its prefix, and of a random word. Names are shorter,
/// and so is the rest of a UUID after its first group.
const SHORTEST: usize = 24;

/// Minimum length of the part after a prefix that no name has.
const TOO_LONG: usize = 40;

/// Minimum length of a random word of lower-case letters and digits, such as 16 bytes in
/// hexadecimal.
const SHORTEST_LOWER: usize = 32;

/// Minimum length of a prefix that identifies a token by itself.
const TELLING: usize = 4;

/// The kind of id that a text is given as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers name one of the two kinds of id")]
pub enum IdKind {
    /// The id of an actor.
    Actor,
    /// The id of a token.
    Token,
}

impl Registry {
    /// Returns whether `text` looks like a token of one of the handlers, also within other text: by
    /// a prefix followed by as much text as tokens have, by the shape of a signed token, by a
    /// checksum, or because it is one of a handler's secrets. In place of a token's id, a prefix
    /// alone suffices, unless it is as short as `eyJ` and its handler declares token patterns; an
    /// actor's id may start with a prefix, for example `dstok_team`.
    pub(super) fn resembles_token(&self, text: &str, kind: IdKind) -> bool {
        let text = text.trim();
        let is_claimed = || {
            let claimed = self.0.prefixes.iter().filter(|(prefix, _)| text.starts_with(prefix.as_str()));
            let mut owners = claimed.map(|(prefix, place)| (prefix, self.0.handlers.get(*place)));
            owners.any(|(prefix, handler)| {
                prefix.len() >= TELLING || handler.is_none_or(|handler| handler.is_of_its_form(text))
            })
        };
        // A secret may have characters that tokens do not have.
        words(text).any(|word| self.is_token_like(word))
            || self.is_exactly_token(text)
            || kind == IdKind::Token && is_claimed()
    }

    /// Returns `text` with each word that looks like a token replaced by
    /// `[token]`, for a log.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.replace(text, |word| self.is_token_like(word))
    }

    /// Returns the decoded path of a URL with tokens [redacted](Self::redact), and with every other
    /// random word: applications put tokens of their own into paths.
    pub fn redact_path<'a>(&self, path: &'a str) -> Cow<'a, str> {
        self.replace(path, |word| is_random(word) || is_random_in_lower_case(word) || self.is_token_like(word))
    }

    /// Replaces the words of a text that are secret. Of a word with slashes, only the parts that
    /// are secret by themselves are replaced, if there are any.
    fn replace<'a>(&self, text: &'a str, is_secret: impl Fn(&str) -> bool) -> Cow<'a, str> {
        let redacted = |word: &str| {
            if word.contains('/') && word.split('/').any(&is_secret) {
                let parts: Vec<_> = word.split('/').map(|part| if is_secret(part) { REDACTED } else { part }).collect();
                return Some(parts.join("/"));
            }
            is_secret(word).then(|| REDACTED.to_owned())
        };
        if !words(text).any(|word| redacted(word).is_some()) {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        for part in text.split_inclusive(|c| !is_token_char(c)) {
            let word = part.trim_end_matches(|c| !is_token_char(c));
            match redacted(word) {
                Some(redacted) => out.extend([&redacted, part.strip_prefix(word).unwrap_or_default()]),
                None => out += part,
            }
        }
        Cow::Owned(out)
    }

    fn is_token_like(&self, word: &str) -> bool {
        has_shape(word, self.0.prefixes.iter().map(|(prefix, _)| prefix)) || self.is_exactly_token(word)
    }

    /// Returns whether a text has the checksum of a handler's tokens, or is one of its secrets.
    fn is_exactly_token(&self, text: &str) -> bool {
        self.0.handlers.iter().any(|handler| {
            let mut secrets = handler.bound.secrets.iter();
            handler.has_checksum() && checksum::matches(text)
                || secrets.any(|(_, secret)| bool::from(secret.expose().ct_eq(text.as_bytes())))
        })
    }
}

/// Returns whether `text` looks like a token with one of these prefixes, or like a signed token,
/// also within other text. An id may start with a prefix, for example `dstok_team`.
///
/// ```
/// use keyward_runtime::text::resembles_token;
/// let prefixes = ["dstok_".to_owned()];
/// assert!(resembles_token("dstok_eyJhIjoicm9vdCJ9.zpVQnUO2ipfYFWSxJCGhrKH9dDU", &prefixes));
/// assert!(!resembles_token("dstok_team", &prefixes));
/// ```
pub fn resembles_token<'a>(text: &str, prefixes: impl IntoIterator<Item = &'a String, IntoIter: Clone>) -> bool {
    let prefixes = prefixes.into_iter();
    words(text).any(|word| has_shape(word, prefixes.clone()))
}

/// Returns whether a word has the shape of a signed token, or of one with a prefix.
fn has_shape<'a>(word: &str, mut prefixes: impl Iterator<Item = &'a String>) -> bool {
    is_signed(word) || prefixes.any(|prefix| has_prefix(word, prefix))
}

/// Returns whether `prefix` is in the word, followed by as much text as tokens have. Behind a
/// letter or digit, that text must look random or be very long.
fn has_prefix(word: &str, prefix: &str) -> bool {
    if word.len() < SHORTEST {
        return false;
    }
    word.match_indices(prefix).any(|(at, _)| {
        let (before, token) = word.split_at(at);
        let rest = token.strip_prefix(prefix).unwrap_or_default();
        let begins = !before.ends_with(char::is_alphanumeric) && prefix.len() >= TELLING;
        rest.len() >= SHORTEST && (begins || is_random(rest)) || rest.len() >= TOO_LONG
    })
}

/// Returns whether a word has the shape of a signed token, with or without its prefix: a part that
/// begins like a JSON object in base64url, or like a compressed one behind a dot, and a signature
/// after the last dot.
fn is_signed(word: &str) -> bool {
    let is_base64 = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let is_signature = |last: &str| last.len() >= SHORTEST && is_base64(last);
    (word.contains("eyJ") || word.contains(".eJ")) && word.rsplit_once('.').is_some_and(|(_, last)| is_signature(last))
}

/// Returns whether a word looks random: it is long and has upper-case letters, lower-case letters
/// and digits.
pub(super) fn is_random(word: &str) -> bool {
    word.len() >= SHORTEST
        && has(word, u8::is_ascii_uppercase)
        && has(word, u8::is_ascii_lowercase)
        && has(word, u8::is_ascii_digit)
}

/// Returns whether a word contains what looks like random bytes in hexadecimal or base 36. A UUID
/// has hyphens.
fn is_random_in_lower_case(word: &str) -> bool {
    word.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|part| part.len() >= SHORTEST_LOWER && has(part, u8::is_ascii_alphabetic) && has(part, u8::is_ascii_digit))
}

fn has(word: &str, kind: impl Fn(&u8) -> bool) -> bool {
    word.as_bytes().iter().any(kind)
}

/// Returns the runs of characters that tokens may have.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_token_char(c)).filter(|word| !word.is_empty())
}

fn is_token_char(c: char) -> bool {
    u8::try_from(c).is_ok_and(is_token_byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_words_differ_from_names() {
        for (word, random, lower) in [
            ("", false, false),
            ("ann@example.com", false, false),
            ("service-account-of-the-billing-team-0043", false, false),
            ("01890a5d-ac96-774b-bcce-b302099a8057", false, false),
            ("01ARZ3NDEKTSV4RRFFQ69G5FAV", false, false),
            ("d41d8cd98f00b204e9800998ecf8427e", false, true),
            ("d41d8cd98f00b204e9800998ecf8427e.xml", false, true),
            ("How-To-Issue-Tokens-In-10-Minutes", true, false),
            ("zpVQnUO2ipfYFWSxJCGhrKH9", true, false),
        ] {
            assert_eq!((is_random(word), is_random_in_lower_case(word)), (random, lower), "{word}");
        }
    }

    #[test]
    fn tokens_are_found_with_and_without_their_prefix() {
        let token = "dstok_eyJhIjoicm9vdCIsInQiOjE3NjcyMjU2MDB9.zpVQnUO2ipfYFWSxJCGhrKH9dDU";
        let (_, rest) = token.split_at(6);
        assert!(is_signed(token) && is_signed(rest) && has_prefix(token, "dstok_"));
        assert!(has_prefix(&format!("x{token}"), "dstok_") && !has_prefix(rest, "dstok_"));
        for name in ["dstok_team", "mydstok_0123456789012345678901234567", "dstok_01890a5d-ac96-774b-bcce"] {
            assert!(!has_prefix(name, "dstok_") && !is_signed(name), "{name}");
        }
        assert!(is_signed(".eJyrVkpUslIqyi8pVdJRKgEy8xLTU4H8WgBsJgdo.zpVQnUO2ipfYFWSxJCGhrKH9dDU"));
        for name in ["com.example.v2.BillingReconciliationWorker2", "Reports.2026.final-version-of-the-report"] {
            assert!(!is_signed(name), "{name}");
        }
        // A prefix of three letters is part of many names.
        assert!(!has_prefix("a_kw-0123456789-0123456789-01", "kw-"));
    }
}
