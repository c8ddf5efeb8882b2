//! Sixty-four bytes at once: which of them are what, as one number. Whoever
//! reads forward keeps that number, so that every byte is loaded once.

use super::lanes::{LANES, Lanes};

/// Bytes looked at in one step.
pub(crate) const BLOCK: usize = 64;

/// What was found in the 64 bytes looked at last, and was not passed yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockHits {
    /// Where the 64 bytes begin.
    base: usize,
    /// Which of them.
    left: u64,
}

impl BlockHits {
    /// Nothing yet; the bytes from `at` on are the first to be looked at.
    #[inline]
    pub(crate) const fn before(at: usize) -> Self {
        Self {
            base: at.wrapping_sub(BLOCK),
            left: 0,
        }
    }

    /// Whether nothing is left of it.
    #[inline]
    pub(crate) const fn is_empty(self) -> bool {
        self.left == 0
    }

    /// Where the first stands; behind all that was looked at when nothing is left.
    #[inline]
    pub(crate) const fn first(self) -> usize {
        self.base.wrapping_add(self.left.trailing_zeros() as usize)
    }

    /// Passes the first.
    #[inline]
    pub(crate) const fn pass(&mut self) {
        self.left &= self.left.wrapping_sub(1);
    }

    /// Passes all before `at`.
    #[inline]
    pub(crate) const fn pass_to(&mut self, at: usize) {
        let passed = at.saturating_sub(self.base);
        self.left = if passed < BLOCK {
            self.left >> passed << passed
        } else {
            0
        };
    }

    /// What is in the 64 bytes behind those at hand, from `at` on, by `which`; nothing when
    /// the bytes end there.
    ///
    /// It is a value, as all of `BlockHits` is, so that whoever reads forward keeps it in registers.
    #[inline(always)]
    pub(crate) fn look_next(
        self,
        bytes: &[u8],
        at: usize,
        which: impl Fn(&[u8; BLOCK]) -> u64,
    ) -> Self {
        let base = at.max(self.base.wrapping_add(BLOCK));
        match bytes.get(base..).and_then(<[u8]>::first_chunk) {
            Some(block) => Self {
                base,
                left: which(block),
            },
            None => self,
        }
    }

    /// Looks behind the 64 bytes at hand, from `at` to `end`, until there is
    /// something; `which` tells of the 64 from where it is asked.
    #[inline(always)]
    pub(crate) fn look_on(mut self, at: usize, end: usize, which: impl Fn(usize) -> u64) -> Self {
        while self.left == 0 {
            self.base = at.max(self.base.wrapping_add(BLOCK));
            if self.base >= end {
                break;
            }
            self.left = which(self.base);
        }
        self
    }
}

/// The answers for the bytes from `at` on, the first one's lowest; nothing is
/// said of what lies behind the end.
#[inline(always)]
pub(crate) fn bits(bytes: &[u8], at: usize, which: impl Fn(Lanes) -> u32) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    match (rest.first_chunk::<BLOCK>(), bytes.last_chunk::<BLOCK>()) {
        (Some(block), _) => of_block(block, which),
        (None, _) if rest.is_empty() => 0,
        // The last 64 bytes of all, shifted to where `at` is.
        (None, Some(last)) => of_block(last, which) >> BLOCK.wrapping_sub(rest.len()),
        (None, None) => of_few(rest, which),
    }
}

/// Fewer than a whole block, at least one.
#[cold]
#[inline(never)]
fn of_few(bytes: &[u8], which: impl Fn(Lanes) -> u32) -> u64 {
    let mut block = [0; BLOCK];
    for (index, &byte) in block.iter_mut().zip(bytes) {
        *index = byte;
    }
    let behind = BLOCK.wrapping_sub(bytes.len());
    of_block(&block, which) << behind >> behind
}

/// The answers for a whole block.
#[inline(always)]
pub(crate) fn of_block(block: &[u8; BLOCK], which: impl Fn(Lanes) -> u32) -> u64 {
    let (four, _) = block.as_chunks::<LANES>();
    four.iter().rev().fold(0, |bits, sixteen| {
        bits << LANES | u64::from(which(Lanes::load(sixteen)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_bit_and_none_stands_behind_the_end() {
        for length in 0..200 {
            for at in 0..=length {
                let bytes: Vec<u8> = (0..length).map(|index| u8::from(index % 7 == 0)).collect();
                let want = (at..length)
                    .take(BLOCK)
                    .filter(|&index| index % 7 == 0)
                    .fold(0, |bits, index| bits | 1_u64 << (index - at));
                let got = bits(&bytes, at, |sixteen| sixteen.are(1).bits());
                assert_eq!(got, want, "{at} of {length}");
            }
        }
    }
}
