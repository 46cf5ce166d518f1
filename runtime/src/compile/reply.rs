//! The reply of a compile worker: the parent treats it as foreign data.

use std::io::{self, Read, Write};

/// Maximum length of the compiler's text, in bytes.
const MAX_TEXT: u64 = 4_096;

/// The defences of the cage that the kernel may lack, by bit of [`Reply::missing`].
pub(super) const DEFENCES: [&str; 3] = ["no_new_privs", "Landlock", "seccomp"];

/// The reply of a worker.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// The [`DEFENCES`] that the worker ran without, as bits.
    pub(super) missing: u8,
    /// The machine code, or the reason that the compiler gave for its refusal.
    pub(super) result: Result<Vec<u8>, String>,
}

impl Reply {
    /// Writes the reply: a byte for the kind, one for the missing defences, the length as a
    /// little-endian `u64`, and the machine code or text.
    pub(super) fn write(&self, mut to: impl Write) -> io::Result<()> {
        let (kind, bytes) = match &self.result {
            Ok(code) => (0, code.as_slice()),
            Err(text) => (1, text.as_bytes()),
        };
        to.write_all(&[kind, self.missing])?;
        to.write_all(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes())?;
        to.write_all(bytes)?;
        to.flush()
    }

    /// Reads a reply with at most `max_code` bytes of machine code.
    ///
    /// # Errors
    /// The stream ends early, or is not a reply.
    pub(super) fn read(mut from: impl Read, max_code: u64) -> io::Result<Self> {
        let (mut head, mut length) = ([0; 2], [0; 8]);
        from.read_exact(&mut head)?;
        from.read_exact(&mut length)?;
        let ([kind, missing], length) = (head, u64::from_le_bytes(length));
        let max = match kind {
            0 => max_code,
            1 => MAX_TEXT,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        if length > max {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = Vec::new();
        from.take(length).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()) != Ok(length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let result = if kind == 0 { Ok(bytes) } else { Err(String::from_utf8_lossy(&bytes).into_owned()) };
        Ok(Self { missing, result })
    }

    /// Creates the reply for a refusal of the compiler, whose text is truncated.
    pub(super) fn refused(missing: u8, mut text: String) -> Self {
        text.truncate(text.floor_char_boundary(usize::try_from(MAX_TEXT).unwrap_or(usize::MAX)));
        Self { missing, result: Err(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_reply_is_read_as_it_was_written(missing: u8, code: Vec<u8>, text: String) {
            for reply in [Reply { missing, result: Ok(code.clone()) }, Reply::refused(missing, text.clone())] {
                let mut bytes = Vec::new();
                reply.write(&mut bytes).unwrap();
                prop_assert_eq!(&Reply::read(&*bytes, 1 << 20).unwrap(), &reply);
                for end in 0..bytes.len() {
                    prop_assert!(Reply::read(&bytes[..end], 1 << 20).is_err());
                }
            }
        }

        #[test]
        fn any_bytes_are_read_within_the_maximum(bytes: Vec<u8>, max in 0_u64..64) {
            if let Ok(Reply { result: Ok(code), .. }) = Reply::read(&*bytes, max) {
                prop_assert!(code.len() as u64 <= max);
            }
        }
    }

    #[test]
    fn a_length_beyond_the_maximum_allocates_nothing() {
        let mut bytes = vec![0, 0];
        bytes.extend(u64::MAX.to_le_bytes());
        assert_eq!(Reply::read(&*bytes, 1 << 30).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
