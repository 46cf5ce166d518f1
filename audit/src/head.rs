//! Heads: the number and hash of a line, which identify that line and all lines before it.

use crate::allowance::Allowance;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// A position in the chain: identifies a line and all lines before it.
///
/// Its text form is `SEQ:HASH`. It is written to a file beside the audit log, and can be stored
/// elsewhere to check later that the history has not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// The number of the line, from 1; 0 for the start of the chain.
    pub seq: u64,
    /// Its hash; zeros for the start of the chain.
    pub hash: [u8; 32],
}

/// The end of the store's revocation list: the number of its last entry, and a digest of that
/// entry.
///
/// The audit keeps it next to the head, so that a store without this entry is recognized as an
/// older copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListEnd {
    /// The number of the entry.
    pub number: u64,
    /// Its digest, as computed by the store.
    pub digest: u64,
}

/// The content of the head file: the head and, on the same line, the end of the revocation list and
/// the used allowance of notes, if they were noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Beside {
    pub(crate) head: Head,
    pub(crate) list: Option<ListEnd>,
    pub(crate) allowance: Option<Allowance>,
}

impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head.fmt(f)?;
        if let Some(ListEnd { number, digest }) = self.list {
            write!(f, " revocations={number}:{digest:016x}")?;
        }
        if let Some(allowance) = self.allowance {
            write!(f, " notes={}", allowance.micros())?;
        }
        Ok(())
    }
}

impl Beside {
    /// Parses the line. Unknown fields behind the head are ignored.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let line = text.trim_end();
        let mut fields = line.split(' ').filter(|_| line.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        let head = fields.next()?.parse().ok()?;
        let list = fields.clone().find_map(|field| {
            let (number, digest) = field.strip_prefix("revocations=")?.split_once(':')?;
            Some(ListEnd { number: number.parse().ok()?, digest: u64::from_str_radix(digest, 16).ok()? })
        });
        let allowance = fields.find_map(|field| field.strip_prefix("notes=")?.parse().ok());
        Some(Self { head, list, allowance: allowance.map(Allowance::of_micros) })
    }
}

impl Head {
    /// Computes the hash of the next line: the SHA-256 of this line's hash, as 64 hexadecimal
    /// digits, and the next line's text without the member `hash`.
    pub(crate) fn next(&self, text: &str) -> [u8; 32] {
        Sha256::new().chain_update(hex::encode(self.hash)).chain_update(text).chain_update("}").finalize().into()
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, hex::encode(self.hash))
    }
}

impl FromStr for Head {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str =
            "not a head: expected SEQ:HASH, a number and 64 hexadecimal digits, as printed by `keyward audit verify`";
        let (seq, hash) = text.split_once(':').ok_or(FORM)?;
        let seq = Some(seq).filter(|seq| !seq.is_empty() && seq.bytes().all(|byte| byte.is_ascii_digit()));
        let seq = seq.and_then(|seq| seq.parse().ok()).ok_or(FORM)?;
        Ok(Self { seq, hash: unhex(hash).ok_or(FORM)? })
    }
}

/// Decodes 64 lower-case hexadecimal digits.
pub(crate) fn unhex(digits: &str) -> Option<[u8; 32]> {
    // A hash has a single textual form, so that equal hashes are equal texts.
    let is_lower = !digits.bytes().any(|byte| byte.is_ascii_uppercase());
    let mut bytes = [0; 32];
    hex::decode_to_slice(digits, &mut bytes).ok().filter(|()| is_lower).map(|()| bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_file_reads_back_with_and_without_other_fields() {
        let head = Head { seq: 7, hash: [9; 32] };
        for list in [None, Some(ListEnd { number: u64::MAX, digest: 1 }), Some(ListEnd { number: 3, digest: u64::MAX })]
        {
            for allowance in [None, Some(Allowance::default()), Some(Allowance::of_micros(u64::MAX))] {
                let beside = Beside { head, list, allowance };
                assert_eq!(Beside::read(&format!("{beside}\n")), Some(beside));
            }
        }
        let alone = Beside { head, list: None, allowance: None };
        assert_eq!(Beside::read(&head.to_string()), Some(alone), "the format without other fields");
        for odd in ["revocations=1", "revocations=x:0", "later=1", "revocations=1:g", "notes=", "notes=-1"] {
            assert_eq!(Beside::read(&format!("{head} {odd}")), Some(alone), "{odd}");
        }
        for none in ["revocations=1:0".to_owned(), format!("{head}\n\0\0"), format!("{head}\n{head}\n"), String::new()]
        {
            assert_eq!(Beside::read(&none), None, "{none:?}");
        }
    }

    #[test]
    fn a_head_has_exactly_one_spelling() {
        let mut head = Head { seq: 12, hash: [0; 32] };
        head.hash[0] = 0x0a;
        head.hash[31] = 0xf1;
        let text = format!("12:0a{}f1", "0".repeat(60));
        assert_eq!(head.to_string(), text);
        assert_eq!(text.parse(), Ok(head));
        for other in [&text[3..], &text[..66], &text.to_uppercase(), &format!("+{text}"), &format!("{text}0"), ":", ""]
        {
            assert!(other.parse::<Head>().is_err(), "{other}");
        }
    }
}
