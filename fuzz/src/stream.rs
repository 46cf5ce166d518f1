//! Reproducible random numbers, and random inputs built from them.

/// A stream of random numbers: SplitMix64, which is small and random enough for choices.
#[derive(Debug)]
pub struct Stream(u64);

impl Stream {
    /// Creates the stream of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns an input: mostly a seed with some changes, sometimes random bytes.
    pub fn input(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        if seeds.is_empty() || self.below(16) == 0 {
            let len = self.below(200);
            return self.bytes(len);
        }
        let mut input = seeds[self.below(seeds.len())].clone();
        // Half of the inputs have one change: with many changes few inputs get far.
        loop {
            self.change(&mut input, seeds);
            if self.below(2) == 0 {
                return input;
            }
        }
    }

    /// Applies one change to a bit, a byte, a number, a piece, or the end.
    fn change(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        if input.is_empty() {
            *input = self.bytes(8);
            return;
        }
        let at = self.below(input.len());
        // Pieces are mostly short, because small changes leave most of a valid input intact.
        let most = if self.below(4) == 0 { input.len() - at } else { (input.len() - at).min(16) };
        let end = at + self.below(most + 1);
        match self.below(10) {
            0 => input[at] ^= 1 << self.below(8),
            1 => input[at] = self.next() as u8,
            2 => input[at] = self.telling(),
            3 => {
                let number = [0, 1, 4, 0x60, 0x4000, 0x4060, 0xffff, 0x1_0000, 0x2_0000, 0x7fff_ffff, u32::MAX];
                let number = number[self.below(11)].wrapping_sub(self.below(3) as u32).to_le_bytes();
                let at = at & !3;
                input.iter_mut().skip(at).zip(number).for_each(|(byte, new)| *byte = new);
            }
            4 => drop(input.drain(at..end)),
            5 => {
                let piece = input[at..end].to_vec();
                let to = self.below(input.len());
                input.splice(to..to, piece);
            }
            6 => {
                let piece = self.bytes(end - at);
                input.splice(at..at, piece);
            }
            7 => {
                let piece = self.piece(seeds);
                input.splice(at..end, piece);
            }
            8 => input.truncate(at),
            _ => input.extend_from_slice(&self.piece(seeds)),
        }
    }

    /// Returns a byte that has a meaning to one reader or another.
    fn telling(&mut self) -> u8 {
        const TELLING: &[u8] = b"\x00\x01\x02\x07\x7f\x80\xff \n\"\\'.,:;=-_{}[]#0123789aeEutf";
        TELLING[self.below(TELLING.len())]
    }

    /// Returns a piece of a seed.
    fn piece(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let seed = &seeds[self.below(seeds.len())];
        let start = self.below(seed.len() + 1);
        let end = start + self.below((seed.len() - start).min(64) + 1);
        seed[start..end].to_vec()
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
