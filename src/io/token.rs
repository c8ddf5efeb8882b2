//! What an event says it is about, in the 64 bits that the kernel gives back.

use crate::id::Slot;

/// The owner of a watched descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// The inbox from the control thread.
    Inbox,
    /// The timer.
    Alarm,
    /// The bell that another shard rings.
    Mesh,
    /// A UDP socket, by its place among them.
    Udp(u16),
    /// A TCP listener, by its place among them.
    Listener(u16),
    /// A connection.
    Stream(Slot),
    /// The set of the accepted connections that are in their handshake.
    Greetings,
}

/// Bits of a slot's index; the kind stands above it, the generation below.
const INDEX_BITS: u32 = 29;
const KIND_SHIFT: u32 = 32 + INDEX_BITS;

pub(super) const INBOX: u64 = 0;
pub(super) const ALARM: u64 = 1 << KIND_SHIFT;

pub(super) const MESH: u64 = 5 << KIND_SHIFT;
pub(super) const HANDSHAKES: u64 = 6 << KIND_SHIFT;

pub(super) const fn udp(index: u16) -> u64 {
    2 << KIND_SHIFT | index as u64
}

pub(super) const fn listener(index: u16) -> u64 {
    3 << KIND_SHIFT | index as u64
}

pub(super) const fn stream(slot: Slot) -> u64 {
    4 << KIND_SHIFT | (slot.index as u64) << 32 | slot.generation as u64
}

impl Token {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "each field is cut out by its width"
    )]
    pub(super) const fn unpack(token: u64) -> Self {
        let low = token as u32;
        match token >> KIND_SHIFT {
            0 => Self::Inbox,
            1 => Self::Alarm,
            2 => Self::Udp(low as u16),
            3 => Self::Listener(low as u16),
            5 => Self::Mesh,
            6 => Self::Greetings,
            _ => {
                let index = (token >> 32) as u32 & ((1 << INDEX_BITS) - 1);
                Self::Stream(Slot {
                    index,
                    generation: low,
                })
            }
        }
    }
}

const _: () = assert!(
    2 * crate::limits::STREAMS_MAX <= 1 << INDEX_BITS,
    "a slot fits its bits"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let slot = Slot {
            index: (1 << INDEX_BITS) - 1,
            generation: u32::MAX,
        };
        for (packed, want) in [
            (INBOX, Token::Inbox),
            (ALARM, Token::Alarm),
            (MESH, Token::Mesh),
            (udp(u16::MAX), Token::Udp(u16::MAX)),
            (listener(7), Token::Listener(7)),
            (stream(slot), Token::Stream(slot)),
            (
                stream(Slot {
                    index: 0,
                    generation: 0,
                }),
                Token::Stream(Slot {
                    index: 0,
                    generation: 0,
                }),
            ),
        ] {
            assert_eq!(Token::unpack(packed), want);
        }
    }
}
