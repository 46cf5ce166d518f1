//! Results in a guest's memory, in the layout of the canonical ABI. `tests/hostile/benign.wat`
//! lists the offsets.

/// Address at which the guest `answer-by-the-caller` places them.
const AREA: usize = 0x4000;

/// A result area, and the texts and lists behind it.
pub(crate) struct Area(pub(crate) Vec<u8>);

impl Area {
    /// Returns the result of `verify`: 96 bytes, all zero, which means accepted.
    pub(crate) fn verify() -> Self {
        Self(vec![0; 96])
    }

    /// Returns the result of `create`: 48 bytes, all zero, which means created.
    pub(crate) fn create() -> Self {
        Self(vec![0; 48])
    }

    pub(crate) fn byte(mut self, at: usize, value: u8) -> Self {
        self.0[at] = value;
        self
    }

    pub(crate) fn number(mut self, at: usize, value: u64) -> Self {
        self.0[at..at + 8].copy_from_slice(&value.to_le_bytes());
        self
    }

    /// Appends a text, or a list with entries of one byte, and writes its address and length at
    /// `at`.
    pub(crate) fn text(mut self, at: usize, text: impl AsRef<[u8]>) -> Self {
        self.put(at, text.as_ref(), 1);
        self
    }

    /// Appends a list of texts.
    pub(crate) fn texts(mut self, at: usize, texts: &[&str]) -> Self {
        let list = self.put(at, &vec![0; texts.len() * 8], 8);
        for (text, at) in texts.iter().zip((list..).step_by(8)) {
            self = self.text(at, text);
        }
        self
    }

    /// Appends a list of tuples, each of some texts and a list of texts.
    pub(crate) fn tuples(mut self, at: usize, tuples: &[(&[&str], &[&str])]) -> Self {
        let size = tuples.first().map_or(1, |(names, _)| (names.len() + 1) * 8);
        let list = self.put(at, &vec![0; tuples.len() * size], size);
        for ((names, actions), at) in tuples.iter().zip((list..).step_by(size)) {
            for (name, at) in names.iter().zip((at..).step_by(8)) {
                self = self.text(at, name);
            }
            self = self.texts(at + names.len() * 8, actions);
        }
        self
    }

    fn put(&mut self, at: usize, bytes: &[u8], size: usize) -> usize {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        let start = self.0.len();
        self.0.extend_from_slice(bytes);
        self.0[at..at + 4].copy_from_slice(&((AREA + start) as u32).to_le_bytes());
        self.0[at + 4..at + 8].copy_from_slice(&((bytes.len() / size) as u32).to_le_bytes());
        start
    }
}

/// Returns the bytes that an address and a length at `at` lead to, if they lie in the area or
/// behind it.
pub(crate) fn bytes_at(area: &[u8], at: usize) -> Option<&[u8]> {
    let [start, len] =
        [at, at + 4].map(|at| Some(u32::from_le_bytes(area.get(at..at + 4)?.try_into().unwrap()) as usize));
    let start = start?.checked_sub(AREA)?;
    area.get(start..start.checked_add(len?)?)
}

/// Returns the optional number whose discriminant is at `at`.
pub(crate) fn number_at(area: &[u8], at: usize) -> Option<u64> {
    (*area.get(at)? == 1).then_some(())?;
    Some(u64::from_le_bytes(area.get(at + 8..at + 16)?.try_into().unwrap()))
}
