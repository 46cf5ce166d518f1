//! The allocator of a handler: a bump allocator that reclaims only the last block.
//!
//! An instance lives for one call, so nothing needs to be freed. The goal is to stay in the first
//! page: growing the memory costs the host more than a whole call of an ordinary handler.

/// Size of a WebAssembly page in bytes.
const PAGE: usize = 65_536;

/// The free memory: addresses from `next` up to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line {
    next: usize,
    end: usize,
}

impl Line {
    /// Allocates a block of `size` bytes at a multiple of `align`, a power of two, and returns its
    /// start; `None` if memory is exhausted. `grow` adds pages at the end and returns whether it
    /// succeeded.
    fn alloc(&mut self, size: usize, align: usize, grow: impl FnOnce(usize) -> bool) -> Option<usize> {
        let start = self.next.checked_next_multiple_of(align)?;
        self.reach(start.checked_add(size)?, grow)?;
        Some(start)
    }

    /// Resizes the block at `start` in place, if it is the last one.
    fn resize(&mut self, start: usize, old: usize, new: usize, grow: impl FnOnce(usize) -> bool) -> Option<()> {
        if self.is_last(start, old) { self.reach(start.checked_add(new)?, grow) } else { None }
    }

    /// Frees the block at `start`, if it is the last one.
    fn dealloc(&mut self, start: usize, size: usize) {
        if self.is_last(start, size) {
            self.next = start;
        }
    }

    fn is_last(&self, start: usize, size: usize) -> bool {
        start.checked_add(size) == Some(self.next)
    }

    /// Moves `next`, and grows the memory if necessary.
    fn reach(&mut self, next: usize, grow: impl FnOnce(usize) -> bool) -> Option<()> {
        if next > self.end {
            let pages = (next - self.end).div_ceil(PAGE);
            // Computed first: memory that cannot be addressed must not be allocated.
            let end = pages.checked_mul(PAGE)?.checked_add(self.end)?;
            if !grow(pages) {
                return None;
            }
            self.end = end;
        }
        self.next = next;
        Some(())
    }
}

/// Rust's global allocator on a [`Line`]. Not for WASI, whose libc has its own allocator at the
/// same addresses.
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
#[expect(unsafe_code, reason = "a global allocator is unsafe to implement; the arithmetic above is safe and tested")]
mod global {
    use super::{Line, PAGE};
    use core::alloc::{GlobalAlloc, Layout};
    use core::arch::wasm32::{memory_grow, memory_size};
    use core::cell::Cell;
    use core::ptr;

    #[global_allocator]
    static ALLOCATOR: Allocator = Allocator { line: Cell::new(Line { next: 0, end: 0 }) };

    struct Allocator {
        // Until the first allocation `end` is 0, and the line is empty.
        line: Cell<Line>,
    }

    // SAFETY: the contract has no threads: the host disables them, and an instance is entered by
    // one call at a time.
    unsafe impl Sync for Allocator {}

    unsafe extern "C" {
        /// Placed by the linker after the stack and all static data.
        static __heap_base: u8;
    }

    impl Allocator {
        /// Returns the line, with its true bounds from the first use on.
        fn line(&self) -> Line {
            let line = self.line.get();
            if line.end == 0 {
                return Line { next: (&raw const __heap_base).addr(), end: memory_size::<0>() * PAGE };
            }
            line
        }
    }

    /// Only this allocator grows the memory, so new pages follow the old ones.
    fn grow(pages: usize) -> bool {
        memory_grow::<0>(pages) != usize::MAX
    }

    // SAFETY: `alloc` returns addresses in memory that exists (`Line::reach` moves past `end` only
    // when the memory has grown), above all static data, at the requested alignment, and `next`
    // never moves below a live block: only a block that ends at `next` is shrunk or freed. A
    // failure is a null pointer. No method panics: the arithmetic is checked. No method allocates.
    unsafe impl GlobalAlloc for Allocator {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let mut line = self.line();
            let start = line.alloc(layout.size(), layout.align(), grow);
            self.line.set(line);
            start.map_or(ptr::null_mut(), ptr::with_exposed_provenance_mut)
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            let mut line = self.line();
            line.dealloc(block.addr(), layout.size());
            self.line.set(line);
        }

        unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
            let mut line = self.line();
            let resized = line.resize(block.addr(), layout.size(), new_size, grow);
            self.line.set(line);
            if resized.is_some() || new_size <= layout.size() {
                return block;
            }
            // SAFETY: the caller guarantees that `new_size`, rounded up to the alignment, fits
            // `isize`.
            let layout_new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
            // SAFETY: the size is not 0, because it is greater than the old one.
            let moved = unsafe { self.alloc(layout_new) };
            if !moved.is_null() {
                // SAFETY: both blocks hold at least the old size, and do not overlap, because the
                // new one was just allocated.
                unsafe { ptr::copy_nonoverlapping(block, moved, layout.size()) };
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line() -> Line {
        Line { next: 20_001, end: PAGE }
    }

    fn never(_: usize) -> bool {
        panic!("grew")
    }

    #[test]
    fn blocks_follow_each_other_at_their_alignment() {
        let mut line = line();
        assert_eq!(line.alloc(3, 1, never), Some(20_001));
        assert_eq!(line.alloc(8, 8, never), Some(20_008));
        assert_eq!(line.next, 20_016);
    }

    #[test]
    fn only_the_last_block_is_resized_and_freed() {
        let mut line = line();
        let first = line.alloc(10, 1, never).unwrap();
        let last = line.alloc(10, 1, never).unwrap();
        assert_eq!(line.resize(first, 10, 20, never), None);
        line.dealloc(first, 10);
        assert_eq!(line.next, last + 10);
        assert_eq!(line.resize(last, 10, 100, never), Some(()));
        assert_eq!(line.resize(last, 100, 4, never), Some(()));
        line.dealloc(last, 4);
        assert_eq!(line.next, last);
    }

    #[test]
    fn a_page_is_used_to_its_last_byte_before_memory_grows() {
        let mut line = Line { next: PAGE - 8, end: PAGE };
        assert_eq!(line.alloc(8, 8, never), Some(PAGE - 8));
        assert_eq!(line.alloc(PAGE + 1, 1, |pages| pages == 2), Some(PAGE));
        assert_eq!(line.end, 3 * PAGE);
    }

    #[test]
    fn a_failed_allocation_changes_nothing() {
        let mut line = line();
        let before = line;
        assert_eq!(line.alloc(PAGE, 1, |_| false), None);
        assert_eq!(line.alloc(usize::MAX, 1, never), None);
        assert_eq!(line.alloc(usize::MAX - 20_001, 1, never), None);
        assert_eq!(line.resize(20_000, 1, usize::MAX, never), None);
        assert_eq!(line, before);
    }

    proptest! {
        /// Live blocks never overlap, stay in memory that exists, and keep their alignment.
        #[test]
        fn live_blocks_do_not_overlap(steps in prop::collection::vec((0..3_u8, 0..9_000_usize, 0..5_u32, any::<prop::sample::Index>()), 1..80)) {
            let mut line = line();
            let mut pages = 1;
            let mut live: Vec<(usize, usize)> = Vec::new();
            for (kind, size, align, pick) in steps {
                let mut grow = |more: usize| { pages += more; pages <= 4 };
                if kind == 0 || live.is_empty() {
                    let align = 1_usize << align;
                    if let Some(start) = line.alloc(size, align, &mut grow) {
                        prop_assert_eq!(start % align, 0);
                        live.push((start, size));
                    }
                } else if kind == 1 {
                    let (start, old) = live.swap_remove(pick.index(live.len()));
                    line.dealloc(start, old);
                } else {
                    let at = pick.index(live.len());
                    let (start, old) = live[at];
                    if line.resize(start, old, size, &mut grow).is_some() {
                        live[at] = (start, size);
                    }
                }
                prop_assert!(line.next <= line.end && line.end <= 4 * PAGE);
                let mut sorted: Vec<_> = live.iter().filter(|(_, size)| *size > 0).collect();
                sorted.sort_unstable();
                prop_assert!(sorted.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0));
                prop_assert!(sorted.iter().all(|(start, size)| *start >= 20_001 && start + size <= line.next));
            }
        }
    }
}
