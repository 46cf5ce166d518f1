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
