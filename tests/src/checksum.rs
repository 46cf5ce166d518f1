//! An implementation of token checksums that is independent of the code under test.

/// Returns `text` followed by its CRC-32 as six base-62 digits with leading zeros.
#[must_use]
pub fn with_checksum(text: &str) -> String {
    let mut number = crc32fast::hash(text.as_bytes());
    let digits = [(); 6].map(|()| {
        let digit = (number % 62) as u8;
        number /= 62;
        char::from(match digit {
            0..10 => b'0' + digit,
            10..36 => b'A' + digit - 10,
            _ => b'a' + digit - 36,
        })
    });
    text.chars().chain(digits.into_iter().rev()).collect()
}
