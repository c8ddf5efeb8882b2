//! What a completion is about, in the 64 bits that the kernel gives back.

use crate::id::Slot;

/// What completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CompletionId {
    /// Something that nobody waits for: a close, a cancellation.
    Nothing,
    /// The bell of the inbox from the control thread was rung.
    Inbox,
    /// The bell that another shard rings.
    Mesh,
    /// The time of the alarm has come.
    Alarm,
    /// A datagram came, by the index of the socket.
    Udp(u16),
    /// A UDP socket takes datagrams again, or has news of those it took.
    UdpReady(u16),
    /// A connection was accepted, by the index of the listener.
    Listener(u16),
    /// A connection waits at a listener that accepts none by itself.
    ListenerReady(u16),
    /// Bytes of a connection.
    Stream(Slot),
    /// A connection takes bytes again.
    Writable(Slot),
    /// A connection in its handshake has bytes.
    Readable(Slot),
    /// A connection is up, or cannot be.
    Connected(Slot),
    /// A staged datagram was not sent, by its index.
    Datagram(usize),
    /// A staged write to a stream was not done in full, by its index.
    Write(usize),
}

/// Bits of a slot's index; the kind stands above it, the generation below.
const INDEX_BITS: u32 = 28;
const KIND_SHIFT: u32 = 32 + INDEX_BITS;

pub(super) const NOTHING: u64 = 0;
pub(super) const INBOX: u64 = 1 << KIND_SHIFT;
pub(super) const MESH: u64 = 2 << KIND_SHIFT;

pub(super) const ALARM: u64 = 13 << KIND_SHIFT;

pub(super) const fn udp(index: u16) -> u64 {
    3 << KIND_SHIFT | index as u64
}

pub(super) const fn udp_ready(index: u16) -> u64 {
    4 << KIND_SHIFT | index as u64
}

pub(super) const fn listener(index: u16) -> u64 {
    5 << KIND_SHIFT | index as u64
}

pub(super) const fn listener_ready(index: u16) -> u64 {
    6 << KIND_SHIFT | index as u64
}

pub(super) const fn stream(slot: Slot) -> u64 {
    7 << KIND_SHIFT | of_slot(slot)
}

pub(super) const fn writable(slot: Slot) -> u64 {
    8 << KIND_SHIFT | of_slot(slot)
}

pub(super) const fn readable(slot: Slot) -> u64 {
    9 << KIND_SHIFT | of_slot(slot)
}

pub(super) const fn connected(slot: Slot) -> u64 {
    10 << KIND_SHIFT | of_slot(slot)
}

pub(super) const fn datagram(index: usize) -> u64 {
    11 << KIND_SHIFT | index as u64 & LOW
}

pub(super) const fn write(index: usize) -> u64 {
    12 << KIND_SHIFT | index as u64 & LOW
}

const LOW: u64 = u32::MAX as u64;

const fn of_slot(slot: Slot) -> u64 {
    (slot.index as u64) << 32 | slot.generation as u64
}

impl CompletionId {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "each field is cut out by its width"
    )]
    pub(super) const fn unpack(id: u64) -> Self {
        let low = id as u32;
        let slot = Slot {
            index: (id >> 32) as u32 & ((1 << INDEX_BITS) - 1),
            generation: low,
        };
        match id >> KIND_SHIFT {
            1 => Self::Inbox,
            2 => Self::Mesh,
            3 => Self::Udp(low as u16),
            4 => Self::UdpReady(low as u16),
            5 => Self::Listener(low as u16),
            6 => Self::ListenerReady(low as u16),
            7 => Self::Stream(slot),
            8 => Self::Writable(slot),
            9 => Self::Readable(slot),
            10 => Self::Connected(slot),
            11 => Self::Datagram(low as usize),
            12 => Self::Write(low as usize),
            13 => Self::Alarm,
            _ => Self::Nothing,
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
        let least = Slot {
            index: 0,
            generation: 0,
        };
        let most = Slot {
            index: (1 << INDEX_BITS) - 1,
            generation: u32::MAX,
        };
        for (packed, want) in [
            (NOTHING, CompletionId::Nothing),
            (INBOX, CompletionId::Inbox),
            (MESH, CompletionId::Mesh),
            (ALARM, CompletionId::Alarm),
            (udp(u16::MAX), CompletionId::Udp(u16::MAX)),
            (udp_ready(1), CompletionId::UdpReady(1)),
            (listener(7), CompletionId::Listener(7)),
            (
                listener_ready(u16::MAX),
                CompletionId::ListenerReady(u16::MAX),
            ),
            (datagram(3), CompletionId::Datagram(3)),
            (write(255), CompletionId::Write(255)),
        ] {
            assert_eq!(CompletionId::unpack(packed), want);
        }
        for slot in [least, most] {
            for (packed, want) in [
                (stream(slot), CompletionId::Stream(slot)),
                (writable(slot), CompletionId::Writable(slot)),
                (readable(slot), CompletionId::Readable(slot)),
                (connected(slot), CompletionId::Connected(slot)),
            ] {
                assert_eq!(CompletionId::unpack(packed), want);
            }
        }
    }
}
