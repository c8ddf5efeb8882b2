//! Where a byte stands in a text of some dozen: `memchr` is for longer ones, where it costs less
//! a byte, and more before it begins than all of this.

use super::lanes::{LANES, Lanes};

/// Where `byte` stands first.
#[must_use]
#[inline(never)]
pub(crate) fn find(text: &[u8], byte: u8) -> Option<usize> {
    first(text, |lanes| lanes.are(byte).bits(), |one| one == byte)
}

/// Where `byte` or `other` stands first.
#[must_use]
#[inline(never)]
pub(crate) fn find_either(text: &[u8], byte: u8, other: u8) -> Option<usize> {
    first(
        text,
        |lanes| lanes.are(byte).or(lanes.are(other)).bits(),
        |one| one == byte || one == other,
    )
}

#[inline(always)]
fn first(text: &[u8], which: impl Fn(Lanes) -> u32, is_it: impl Fn(u8) -> bool) -> Option<usize> {
    let in_lanes = |at: usize, lanes: &[u8; LANES]| {
        let found = which(Lanes::load(lanes));
        (found != 0).then(|| at.wrapping_add(found.trailing_zeros() as usize))
    };
    let (whole, rest) = text.as_chunks::<LANES>();
    let mut at = 0;
    for lanes in whole {
        let found = in_lanes(at, lanes);
        if found.is_some() {
            return found;
        }
        at = at.wrapping_add(LANES);
    }
    // Of the last sixteen some were looked at before, and are none of them.
    match text.last_chunk() {
        Some(last) => in_lanes(text.len().wrapping_sub(LANES), last),
        None => rest.iter().position(|byte| is_it(*byte)),
    }
}

#[cfg(test)]
#[expect(
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect"
)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_found_wherever_it_stands() {
        for length in 0..70 {
            let text = vec![b'x'; length];
            assert_eq!(find(&text, b','), None);
            assert_eq!(find_either(&text, b',', b';'), None);
            for at in 0..length {
                let mut text = text.clone();
                text[at] = b';';
                // Another one behind it counts for nothing.
                *text.last_mut().unwrap() = b';';
                assert_eq!(find(&text, b';'), Some(at), "{at} of {length}");
                assert_eq!(find_either(&text, b',', b';'), Some(at), "{at} of {length}");
                text[at / 2] = b',';
                assert_eq!(find_either(&text, b',', b';'), Some(at / 2));
                assert_eq!(find_either(&text, b';', b','), Some(at / 2));
            }
        }
    }
}
