//! Sixteen bytes at once: which of them are what.
//!
//! On x86-64 these are SSE2 instructions, on registers alone: no address is
//! formed here, and every such processor has them, so nothing is detected. The
//! compiler asks for `unsafe` all the same. The portable form below costs the
//! scan of an INVITE a third more, since it has no `pmovmskb` to turn sixteen
//! answers into bits; it is what other processors run and what the tests
//! compare with.

/// Bytes looked at in one step.
pub(crate) const LANES: usize = 16;

#[cfg(not(target_arch = "x86_64"))]
pub(crate) use plain::Lanes;
#[cfg(target_arch = "x86_64")]
pub(crate) use sse2::Lanes;

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "intrinsics that every x86-64 has, without addresses"
)]
mod sse2 {
    use core::arch::x86_64 as arch;

    use super::LANES;

    /// Sixteen bytes, or an answer for each: all ones or all zeros.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Lanes(arch::__m128i);

    impl Lanes {
        #[inline(always)]
        pub(crate) const fn load(bytes: &[u8; LANES]) -> Self {
            // SAFETY: any sixteen bytes are a value of either type.
            Self(unsafe { core::mem::transmute::<[u8; LANES], arch::__m128i>(*bytes) })
        }

        /// Which bytes are this one.
        #[inline(always)]
        pub(crate) fn are(self, byte: u8) -> Self {
            let all = Self::load(&[byte; LANES]);
            // SAFETY: SSE2 is part of x86-64.
            Self(unsafe { arch::_mm_cmpeq_epi8(self.0, all.0) })
        }

        /// Which bytes are `low`, or up to `more` above it.
        #[inline(always)]
        pub(crate) fn are_from(self, low: u8, more: u8) -> Self {
            let (low, more) = (Self::load(&[low; LANES]), Self::load(&[more; LANES]));
            // SAFETY: SSE2 is part of x86-64.
            let above = unsafe { arch::_mm_sub_epi8(self.0, low.0) };
            // SAFETY: SSE2 is part of x86-64.
            let at_most = unsafe { arch::_mm_min_epu8(above, more.0) };
            // SAFETY: SSE2 is part of x86-64.
            Self(unsafe { arch::_mm_cmpeq_epi8(at_most, above) })
        }

        /// Which bytes are neither `low` nor up to `more` above it, at most 127: two
        /// steps, where `are_from` takes three.
        #[inline(always)]
        pub(crate) fn are_not_from(self, low: u8, more: u8) -> Self {
            // What there is to compare has a sign, so the range begins at the lowest.
            let (low, last) = (
                Self::load(&[low ^ 0x80; LANES]),
                Self::load(&[more ^ 0x80; LANES]),
            );
            // SAFETY: SSE2 is part of x86-64.
            let above = unsafe { arch::_mm_sub_epi8(self.0, low.0) };
            // SAFETY: SSE2 is part of x86-64.
            Self(unsafe { arch::_mm_cmpgt_epi8(above, last.0) })
        }

        /// Every byte with these bits set.
        #[inline(always)]
        pub(crate) fn with(self, bits: u8) -> Self {
            self.or(Self::load(&[bits; LANES]))
        }

        /// Which of two answers is yes.
        #[inline(always)]
        pub(crate) fn or(self, other: Self) -> Self {
            // SAFETY: SSE2 is part of x86-64.
            Self(unsafe { arch::_mm_or_si128(self.0, other.0) })
        }

        /// Which of both answers are yes.
        #[inline(always)]
        pub(crate) fn and(self, other: Self) -> Self {
            // SAFETY: SSE2 is part of x86-64.
            Self(unsafe { arch::_mm_and_si128(self.0, other.0) })
        }

        /// Which answers are yes and the other ones no.
        #[inline(always)]
        pub(crate) fn and_not(self, other: Self) -> Self {
            // SAFETY: SSE2 is part of x86-64.
            Self(unsafe { arch::_mm_andnot_si128(other.0, self.0) })
        }

        /// The answers, the first byte's lowest.
        #[inline(always)]
        pub(crate) fn bits(self) -> u32 {
            // SAFETY: SSE2 is part of x86-64.
            unsafe { arch::_mm_movemask_epi8(self.0) }.cast_unsigned()
        }
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod plain {
    use super::LANES;

    /// Sixteen bytes, or an answer for each: all ones or all zeros.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Lanes([u8; LANES]);

    impl Lanes {
        pub(crate) fn load(bytes: &[u8; LANES]) -> Self {
            Self(*bytes)
        }

        /// Which bytes are this one.
        pub(crate) fn are(self, byte: u8) -> Self {
            self.are_from(byte, 0)
        }

        /// Which bytes are `low`, or up to `more` above it.
        pub(crate) fn are_from(self, low: u8, more: u8) -> Self {
            let answer = |byte: u8| {
                if byte.wrapping_sub(low) <= more {
                    0xff
                } else {
                    0
                }
            };
            Self(self.0.map(answer))
        }

        /// Which bytes are neither `low` nor up to `more` above it.
        pub(crate) fn are_not_from(self, low: u8, more: u8) -> Self {
            Self(self.are_from(low, more).0.map(|answer| !answer))
        }

        /// Every byte with these bits set.
        pub(crate) fn with(self, bits: u8) -> Self {
            Self(self.0.map(|byte| byte | bits))
        }

        /// Which of two answers is yes.
        pub(crate) fn or(self, other: Self) -> Self {
            let mut answers = self.0;
            for (answer, other) in answers.iter_mut().zip(other.0) {
                *answer |= other;
            }
            Self(answers)
        }

        /// Which of both answers are yes.
        pub(crate) fn and(self, other: Self) -> Self {
            let mut answers = self.0;
            for (answer, other) in answers.iter_mut().zip(other.0) {
                *answer &= other;
            }
            Self(answers)
        }

        /// Which answers are yes and the other ones no.
        pub(crate) fn and_not(self, other: Self) -> Self {
            self.and(Self(other.0.map(|answer| !answer)))
        }

        /// The answers, the first byte's lowest.
        pub(crate) fn bits(self) -> u32 {
            let bit = |bits: u32, answer: &u8| bits << 1 | u32::from(answer >> 7);
            self.0.iter().rev().fold(0, bit)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Byte by byte is the slow reference.
    #[test]
    fn both_ways_give_the_same_answers() {
        let mut bytes = [0_u8; LANES];
        for round in 0..=255_u8 {
            for (index, byte) in bytes.iter_mut().enumerate() {
                let index = u8::try_from(index).unwrap();
                *byte = index.wrapping_mul(17).wrapping_add(round);
            }
            let (fast, slow) = (Lanes::load(&bytes), plain::Lanes::load(&bytes));
            for (low, more) in [(b'0', 9), (0, 13), (b'a', 25), (0x7f, 0x80), (250, 5)] {
                assert_eq!(
                    fast.with(0x20)
                        .are_from(low, more)
                        .or(fast.are(b';'))
                        .bits(),
                    slow.with(0x20)
                        .are_from(low, more)
                        .or(slow.are(b';'))
                        .bits(),
                    "{low} {more} {round}"
                );
                if more < 128 {
                    let no = slow.are_from(low, more).bits() ^ 0xffff;
                    assert_eq!(fast.are_not_from(low, more).bits(), no, "{low} {more}");
                    assert_eq!(slow.are_not_from(low, more).bits(), no, "{low} {more}");
                }
            }
            let (some, most) = (fast.are_from(1, 60), fast.are_from(0, 99));
            let (slow_some, slow_most) = (slow.are_from(1, 60), slow.are_from(0, 99));
            assert_eq!(some.and(most).bits(), slow_some.and(slow_most).bits());
            assert_eq!(
                most.and_not(some).bits(),
                slow_most.and_not(slow_some).bits()
            );
            assert_eq!(most.and_not(some).bits(), most.bits() & !some.bits());
        }
    }
}
