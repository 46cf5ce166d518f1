//! Token checksums like those of GitHub and npm: truncated, mistyped and nearly all invented tokens
//! are rejected without a call.

/// Number of base-62 digits in which the CRC-32 is written.
const DIGITS: usize = 6;

/// Returns whether the last six characters of `token` are the CRC-32 (IEEE 802.3) of the text
/// before them: a base-62 number with the digits `0-9 A-Z a-z`, most significant first, with
/// leading zeros.
pub(crate) fn matches(token: &str) -> bool {
    let Some((text, given)) = token.len().checked_sub(DIGITS).and_then(|at| token.split_at_checked(at)) else {
        return false;
    };
    let number = given.bytes().try_fold(0_u64, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte.wrapping_sub(b'0'),
            b'A'..=b'Z' => byte.wrapping_sub(b'A').wrapping_add(10),
            b'a'..=b'z' => byte.wrapping_sub(b'a').wrapping_add(36),
            _ => return None,
        };
        // Six base-62 digits stay below 2^36.
        Some(number.wrapping_mul(62).wrapping_add(digit.into()))
    });
    number == Some(crc32fast::hash(text.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_checksum_has_one_spelling() {
        // CRC-32 of "123456789" is 0xCBF43926 = 3,421,780,262.
        assert!(matches("1234567893jZRME"));
        for other in ["1234567893jZRMp", "1234567893Jzrme", "123456788_3jZRME", "3jZRME", "", "é3jZRME", "\u{1f600}"] {
            assert!(!matches(other), "{other}");
        }
        // The CRC-32 of the empty string is 0.
        assert!(matches("000000"));
        assert!(!matches("00000") && !matches("0000000"));
    }

    proptest! {
        #[test]
        fn every_changed_character_is_detected(text in "\\PC{0,40}", place in 0..46_usize, with in any::<char>()) {
            let mut number = u64::from(crc32fast::hash(text.as_bytes()));
            let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
            let mut checksum = [0; DIGITS];
            for place in checksum.iter_mut().rev() {
                *place = digits[usize::try_from(number % 62).unwrap()];
                number /= 62;
            }
            let token = format!("{text}{}", str::from_utf8(&checksum).unwrap());
            prop_assert!(matches(&token));
            let mut changed: Vec<char> = token.chars().collect();
            let place = place % changed.len();
            changed[place] = with;
            let changed: String = changed.into_iter().collect();
            prop_assert_eq!(matches(&changed), changed == token);
        }
    }
}
