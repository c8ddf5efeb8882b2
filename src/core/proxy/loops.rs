//! Loops (RFC 3261 §16.3-4, RFC 5393 §4.2): the second part of a branch of ours is a
//! hash over what the decision stood on, and a request that shows the same part in a
//! Via of ours comes for the second time with nothing changed.

use super::{Proxy, Request, Secrets};
use crate::scan::Name;
use crate::scan::via::Via;
use crate::send::Flows;

impl Proxy {
    /// Hash over what the decision stands on: Request-URI and the Route values
    /// used, not the method, not the Vias (L-2). `None` where the role
    /// looks for no loops.
    pub(super) fn loop_hash(&self, secrets: &Secrets, request: &Request<'_>) -> Option<u32> {
        if !self.plan.check_loops {
            return None;
        }
        let bytes = request.bytes;
        let value = |name| {
            request
                .message
                .first(name)
                .map(|header| header.value.of(bytes))
                .unwrap_or_default()
        };
        let fixed = [request.message.request_uri().of(bytes), value(Name::CallId)];
        let used = request.message.routes().iter().take(self.plan.pop + 1);
        let used = used.map(|route| route.value.of(bytes));
        let hash = secrets.print(fixed.into_iter().chain(used));
        u32::try_from(hash >> (64 - LOOP_BITS)).ok()
    }
}

impl Request<'_> {
    /// L-3: whether the request passed here before with the same decision
    /// before it. The branches of who looks for loops end with that.
    pub(super) fn meets_itself(&self, flows: &Flows, loop_hash: u32) -> bool {
        let bytes = self.bytes;
        self.message.values(bytes, Name::Via).any(|value| {
            let Ok(via) = Via::parse(bytes, value) else {
                return false;
            };
            flows.wrote(bytes, &via)
                && via
                    .branch
                    .is_some_and(|branch| part_of(branch.of(bytes)) == Some(loop_hash))
        })
    }
}

/// Appends the loop-detection part to a branch, where loops are looked for (L-1).
pub(super) fn write_part(hash: u32, out: &mut Vec<u8>) {
    out.extend((0..LOOP_LETTERS).map(|index| {
        let digit = char::from_digit(hash >> (5 * index) & 31, 32);
        u8::try_from(digit.unwrap_or_default()).unwrap_or_default()
    }));
}

/// The loop-detection part of a branch that is ours.
pub(super) fn part_of(branch: &[u8]) -> Option<u32> {
    let letters = branch.last_chunk::<{ LOOP_LETTERS as usize }>()?;
    letters.iter().rev().try_fold(0, |hash, letter| {
        Some(hash << 5 | char::from(*letter).to_digit(32)?)
    })
}

/// 30 bits: of the Vias of ours that another decision wrote, one in a thousand million
/// is taken for a loop.
const LOOP_LETTERS: u32 = 6;
/// Bits of the hash.
const LOOP_BITS: u32 = 5 * LOOP_LETTERS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_has_two_parts() {
        // L-2
        for (hash, text) in [
            (0x1f, "v00000"),
            (1 << 5, "010000"),
            ((1 << LOOP_BITS) - 1, "vvvvvv"),
            (0, "000000"),
        ] {
            let mut branch = b"z9hG4bKabc.d".to_vec();
            write_part(hash, &mut branch);
            assert_eq!(branch, format!("z9hG4bKabc.d{text}").as_bytes());
            assert_eq!(part_of(&branch), Some(hash));
            assert_eq!(part_of(&branch.to_ascii_uppercase()), Some(hash));
        }
        for other in ["short", "", "z9hG4bKabcv0000w", "z9hG4bKabc.0000"] {
            assert_eq!(part_of(other.as_bytes()), None, "{other}");
        }
    }
}
