//! The To tag of our own answers. It follows from the request and the time, so that the ACK
//! of an answer is known by its tag without anything having been kept, and who shows one
//! has received it at his address.

use std::net::IpAddr;

use super::{Request, Secrets};
use crate::limits;
use crate::scan::{Message, Name};

impl Secrets {
    /// The To tag of our answers, at this time of day, to a request from `source`. No
    /// other request has it, and none can be foreseen.
    #[must_use]
    pub(crate) fn tag(
        &self,
        unix_s: u64,
        bytes: &[u8],
        message: &Message,
        source: IpAddr,
    ) -> [u8; 16] {
        self.tag_in(epoch(unix_s), bytes, message, source)
    }

    /// Whether an ACK shows the tag of our answer to its request, given now or a moment
    /// ago.
    pub(super) fn has_given(&self, unix_s: u64, ack: &Request<'_>, shown: &[u8]) -> bool {
        let (epoch, source) = (epoch(unix_s), ack.ingress.source.ip());
        [epoch, epoch.wrapping_sub(1)]
            .into_iter()
            .any(|epoch| self.tag_in(epoch, ack.bytes, ack.message, source) == shown)
    }

    fn tag_in(&self, epoch: u64, bytes: &[u8], message: &Message, source: IpAddr) -> [u8; 16] {
        let value = |name| {
            message
                .first(name)
                .map(|header| header.value.of(bytes))
                .unwrap_or_default()
        };
        // Without the method, so that a CANCEL is answered with the tag of its
        // INVITE (RFC 3261 §9.2).
        let cseq = message.cseq().to_be_bytes();
        let source = match source.to_canonical() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        };
        let (call_id, from) = (value(Name::CallId), value(Name::From));
        let mut rest = [0; 28];
        rest[..16].copy_from_slice(&source);
        rest[16..24].copy_from_slice(&epoch.to_be_bytes());
        rest[24..].copy_from_slice(&cseq);
        let mut tag = [0; 16];
        hex(self.mac([call_id, from, &rest[..]]), &mut tag);
        tag
    }
}

/// A tag is of its time, so that who had an address before cannot show what he received
/// there for ever.
const fn epoch(unix_s: u64) -> u64 {
    unix_s / limits::TAG_EPOCH_S
}

/// Writes `number` as 16 hexadecimal digits, all at once.
pub(crate) fn hex(number: u64, out: &mut [u8; 16]) {
    /// This byte, sixteen times.
    const fn each(byte: u8) -> u128 {
        u128::from_ne_bytes([byte; 16])
    }
    // Four bits to a byte, by halves.
    let mut digits = u128::from(number);
    digits = (digits | digits << 32) & 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff;
    digits = (digits | digits << 16) & 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff;
    digits = (digits | digits << 8) & 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
    digits = (digits | digits << 4) & each(0x0f);
    // One where it is ten or more, and so many further to the letters.
    let letters = (digits + each(6)) >> 4 & each(1);
    *out = (digits + each(b'0') + letters * u128::from(b'a' - b'0' - 10)).to_be_bytes();
}

#[cfg(test)]
mod tests {
    use super::hex;

    #[test]
    fn a_number_is_written_as_others_write_it() {
        for number in [0, 1, 9, 10, 0x0123_4567_89ab_cdef, 0xa0b1_c2d3, u64::MAX] {
            let mut out = [0; 16];
            hex(number, &mut out);
            assert_eq!(out, *format!("{number:016x}").as_bytes());
        }
    }
}
