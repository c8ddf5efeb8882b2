//! Finds a byte in a short text. Most values are shorter than what a call
//! into `memchr` costs, so the first words are looked at in place, eight bytes
//! at a time; what is longer goes to `memchr` after all.

/// Bytes looked at in place before `memchr` is asked.
const NEAR: usize = 64;

/// Offset of the first `byte` in `text`.
#[inline]
pub(super) fn find(byte: u8, text: &[u8]) -> Option<usize> {
    let mut rest = text;
    let mut at = 0_usize;
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        if let Some(offset) = in_word(byte, *word) {
            return Some(at.wrapping_add(offset));
        }
        at = at.wrapping_add(8);
        rest = after;
        if at == NEAR {
            return memchr::memchr(byte, rest).map(|offset| at.wrapping_add(offset));
        }
    }
    rest.iter()
        .position(|&other| other == byte)
        .map(|offset| at.wrapping_add(offset))
}

/// The same in eight bytes: where `byte` stands a zero is made, and the lowest
/// zero is the lowest byte that borrows when one is taken from each.
#[inline]
fn in_word(byte: u8, word: [u8; 8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);
    let differs = u64::from_le_bytes(word) ^ u64::from_le_bytes([byte; 8]);
    let found = differs.wrapping_sub(ONES) & !differs & HIGHS;
    if found == 0 {
        None
    } else {
        usize::try_from(found.trailing_zeros() >> 3).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `memchr` is the slow twin.
    #[test]
    fn the_first_of_a_byte_is_found_wherever_it_stands() {
        for length in 0..100 {
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
