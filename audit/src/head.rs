//! A place in the chain: the number of a line, and its hash, which stands for all lines up to it.

use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// A line of the chain and all before it. Its text is `SEQ:HASH`; so it stands in the file beside the audit, and so it can be
/// noted elsewhere, to tell later whether the history is still the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// The number of the line, from 1; 0 where there is none yet.
    pub seq: u64,
    /// Its hash; zeros where there is none yet.
    pub hash: [u8; 32],
}

/// The end of the store's list of revocations: the number of its last entry, and a digest of that. It is noted beside the
/// head, so that a store which lacks it is found to be an older copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListEnd {
    /// The number of the entry.
    pub number: u64,
    /// Its digest, whatever the store takes for one.
    pub digest: u64,
}

/// The file beside the audit: the head, and behind it on the same line, if it was noted, the end of the list of revocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Beside {
    pub(crate) head: Head,
    pub(crate) list: Option<ListEnd>,
}

impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head.fmt(f)?;
        match self.list {
            Some(ListEnd { number, digest }) => write!(f, " revocations={number}:{digest:016x}"),
            None => Ok(()),
        }
    }
}

impl Beside {
    /// Parses the line. A field behind the head that is not understood is ignored.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let line = text.trim_end();
        let mut fields = line.split(' ').filter(|_| line.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        let head = fields.next()?.parse().ok()?;
        let list = fields.find_map(|field| {
            let (number, digest) = field.strip_prefix("revocations=")?.split_once(':')?;
            Some(ListEnd { number: number.parse().ok()?, digest: u64::from_str_radix(digest, 16).ok()? })
        });
        Some(Self { head, list })
    }
}

impl Head {
    /// The hash of the line behind this one: SHA-256 of this line's hash, as 64 hexadecimal digits, and that line's text
    /// without the member `hash`.
    pub(crate) fn next(&self, text: &str) -> [u8; 32] {
        Sha256::new().chain_update(hex(&self.hash)).chain_update(text).chain_update("}").finalize().into()
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, hex(&self.hash))
    }
}

impl FromStr for Head {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str =
            "is no head: write SEQ:HASH, a number and 64 hexadecimal digits, as `keyward audit verify` does";
        let (seq, hash) = text.split_once(':').ok_or(FORM)?;
        let seq = Some(seq).filter(|seq| !seq.is_empty() && seq.bytes().all(|byte| byte.is_ascii_digit()));
        let seq = seq.and_then(|seq| seq.parse().ok()).ok_or(FORM)?;
        Ok(Self { seq, hash: unhex(hash).ok_or(FORM)? })
    }
}

/// 64 digits.
pub(crate) fn hex(bytes: &[u8; 32]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The bytes that 64 digits stand for, in their one spelling.
pub(crate) fn unhex(digits: &str) -> Option<[u8; 32]> {
    let value = |digit: &u8| match digit {
        b'0'..=b'9' => Some(digit.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(digit.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = digits
        .as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(value(high)? << 4 | value(low)?),
            _ => None,
        })
        .collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_beside_an_audit_reads_back_with_a_list_or_without() {
        let head = Head { seq: 7, hash: [9; 32] };
        for list in [None, Some(ListEnd { number: u64::MAX, digest: 1 }), Some(ListEnd { number: 3, digest: u64::MAX })]
        {
            let beside = Beside { head, list };
            assert_eq!(Beside::read(&format!("{beside}\n")), Some(beside));
        }
        assert_eq!(Beside::read(&head.to_string()), Some(Beside { head, list: None }), "as it was written before");
        for odd in ["revocations=1", "revocations=x:0", "later=1", "revocations=1:g"] {
            assert_eq!(Beside::read(&format!("{head} {odd}")), Some(Beside { head, list: None }), "{odd}");
        }
        for none in ["revocations=1:0".to_owned(), format!("{head}\n\0\0"), format!("{head}\n{head}\n"), String::new()]
        {
            assert_eq!(Beside::read(&none), None, "{none:?}");
        }
    }

    #[test]
    fn a_head_has_one_spelling() {
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
