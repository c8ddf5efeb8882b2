//! Finds a byte in a short text. Most values are shorter than what a call
//! into `memchr` costs, so the first bytes are looked at in place, sixteen at a
//! time; what is longer goes to `memchr` after all.

use super::lanes::{LANES, Lanes};

/// Bytes looked at in place before `memchr` is asked.
const NEAR: usize = 128;

/// Offset of the first `byte` in `text`.
#[inline]
pub(super) fn find(byte: u8, text: &[u8]) -> Option<usize> {
    let mut rest = text;
    let mut at = 0_usize;
    while let Some((sixteen, after)) = rest.split_first_chunk::<LANES>() {
        let found = Lanes::load(sixteen).are(byte).bits();
        if found != 0 {
            return Some(at.wrapping_add(found.trailing_zeros() as usize));
        }
        at = at.wrapping_add(LANES);
        rest = after;
        if at == NEAR {
            return memchr::memchr(byte, rest).map(|offset| at.wrapping_add(offset));
        }
    }
    if let (Some(last), 1..) = (text.last_chunk::<LANES>(), at) {
        // The last sixteen again, without those that were looked at.
        let seen = LANES.wrapping_sub(rest.len());
        let found = Lanes::load(last).are(byte).bits() >> seen;
        return (found != 0).then(|| at.wrapping_add(found.trailing_zeros() as usize));
    }
    rest.iter().position(|&other| other == byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `memchr` is the slow twin.
    #[test]
    fn the_first_of_a_byte_is_found_wherever_it_stands() {
        for length in 0..160 {
            for at in 0..=length {
                for fill in [b'a', b';', b'9', 0xba, 0x80, 0] {
                    let mut text = vec![fill; length];
                    text.splice(at.min(length).saturating_sub(1)..at, [b':']);
                    text.extend_from_slice(b"xx:");
                    for end in [at, text.len()] {
                        let text = text.get(..end).unwrap();
                        assert_eq!(
                            find(b':', text),
                            memchr::memchr(b':', text),
                            "{}",
                            text.escape_ascii()
                        );
                    }
                }
            }
        }
    }
}
